"""How rough a cost is, measured: Lipschitz constants, local minima, descent with clipping."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rnnlib.smoothness.scalar_cells import Cell
from rnnlib.smoothness.sensitivities import cost_derivatives, sensitivities
from rnnlib.smoothness.theorem1 import Loss


class Measured(NamedTuple):
    """Lower bounds on the Lipschitz constants of V and of its gradient: the best points found.

    Attributes:
        l_v: the largest norm of the gradient, shape ``(losses, lengths)``.
        dl_v: the largest spectral norm of the Hessian, shape ``(losses, lengths)``.
        at: where, as ``(x0, theta)``, shape ``(2, losses, lengths, 1 + n_theta)``, first for the
            gradient, then for the Hessian.
    """

    l_v: Tensor
    dl_v: Tensor
    at: Tensor


def roughness_at(
    cell: Cell, points: Tensor, targets: Tensor, lengths: Sequence[int], losses: Sequence[Loss]
) -> Tensor:
    """Return the norms of gradient and Hessian of V by ``(x0, theta)`` at given points.

    Where the cell has a given initial state, the derivatives are by ``theta`` alone.

    Args:
        cell: from `rnnlib.smoothness.scalar_cells`.
        points: ``(x0, theta)``, shape ``(K, 1 + n_theta)``; a given ``x0`` stands in for theirs.
        targets: shape ``(max(lengths), 1)``.
        lengths: the values of N.
        losses: the losses.

    Returns:
        Shape ``(2, losses, lengths, K)``, gradients first.

    Raises:
        ValueError: lengths that are not in ``1..len(targets)``.
    """
    if min(lengths) < 1 or max(lengths) > len(targets):
        raise ValueError(
            f"lengths run from {min(lengths)} to {max(lengths)}; they must lie in 1..{len(targets)}"
            f", the number of targets."
        )
    theta = dict(zip(cell.system.theta, points[:, 1:].unbind(-1), strict=True))
    free = cell.x0 is None
    x0 = points[:, :1] if cell.x0 is None else torch.full_like(points[:, :1], cell.x0)
    s = sensitivities(cell.system.at(theta), x0, max(lengths), with_x0=free, order=2)
    index = torch.as_tensor(lengths) - 1
    both = []
    for loss in losses:
        c = cost_derivatives(s, targets[: max(lengths)], loss.function)
        assert c.hessian is not None  # of order 2
        bend = torch.linalg.eigvalsh(c.hessian[index]).abs().amax(-1)  # symmetric
        both.append(torch.stack([c.gradient[index].norm(dim=-1), bend]))
    return torch.stack(both, dim=1)


@torch.no_grad()
def measured_constants(
    cell: Cell,
    targets: Tensor,
    lengths: Sequence[int],
    losses: Sequence[Loss],
    *,
    rounds: int = 30,
    elite: int = 4,
    children: int = 16,
    digits: float = 12.0,
    seed: int = 0,
) -> Measured:
    """Search a cell's box for the steepest and for the most curved point of V at every length.

    A climb without gradients, since the peaks are as narrow as ``L_f^-N``: every round keeps the
    best points for each length, loss and norm, and perturbs them by steps whose size is drawn
    log-uniformly over ``digits`` decades, one coordinate or all. It starts from uniform random
    points and the box's centre, corners and centres of faces. What it returns are values that V
    attains, so they can only be too small.

    Args:
        cell: from `rnnlib.smoothness.scalar_cells`.
        targets: shape ``(max(lengths), 1)``.
        lengths: the values of N.
        losses: the losses.
        rounds: how many rounds.
        elite: how many points survive for each length, loss and norm.
        children: how many perturbed copies these have together.
        digits: how many decades the sizes of the steps span.
        seed: of the search.
    """
    generator = torch.Generator().manual_seed(seed)
    n, groups = len(cell.low), 2 * len(losses) * len(lengths)
    width = cell.high - cell.low

    def uniform(*shape):
        return torch.rand(*shape, dtype=torch.float64, generator=generator)

    grid = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0]).double()] * n)
    points = cell.low + width * torch.cat([grid, uniform(groups * children, n)])
    best = points.new_empty(groups, 0)
    best_points = points.new_empty(groups, 0, n)
    for _ in range(rounds):
        values = roughness_at(cell, points, targets, lengths, losses).reshape(groups, -1)
        pool = points.expand(groups, *points.shape)
        values = torch.cat([best, values], dim=1)
        pool = torch.cat([best_points, pool], dim=1)
        best, order = values.topk(elite, dim=1)
        best_points = pool.gather(1, order[..., None].expand(-1, -1, n))
        parent = torch.randint(elite, (groups, children), generator=generator)
        points = best_points.gather(1, parent[..., None].expand(-1, -1, n))
        step = 10 ** (-digits * uniform(groups, children, 1)) * (2 * uniform(*points.shape) - 1)
        single = torch.eye(n, dtype=torch.float64)[
            torch.randint(n, (groups, children), generator=generator)
        ]
        step = step * torch.where(uniform(groups, children, 1) < 0.5, single, 1.0)
        points = (points + width * step).clamp(cell.low, cell.high).reshape(-1, n)
    shape = (2, len(losses), len(lengths))
    l_v, dl_v = best[:, 0].reshape(shape)
    return Measured(l_v, dl_v, best_points[:, 0].reshape(*shape, n))


class Fit(NamedTuple):
    """A least-squares slope with its standard error."""

    slope: float
    error: float


def power_law(lengths: ArrayLike, values: ArrayLike) -> Fit:
    """Return k of ``values ~ lengths^k``, fitted on logarithms."""
    return _slope(np.log(np.asarray(lengths, dtype=float)), values)


def exponential_rate(lengths: ArrayLike, values: ArrayLike) -> Fit:
    """Return k of ``values ~ exp(k lengths)``, fitted on logarithms."""
    return _slope(np.asarray(lengths, dtype=float), values)


def _slope(x, values) -> Fit:
    y = np.asarray(values, dtype=float)
    if len(x) != len(y) or len(x) < 3 or not (np.isfinite(y) & (y > 0)).all():
        raise ValueError(
            f"values has {len(y)} entries for {len(x)} lengths, smallest {y.min(initial=0):g}; a "
            f"fit needs three or more, positive and finite."
        )
    (slope, _), covariance = np.polyfit(x, np.log(y), 1, cov="unscaled")
    residual = np.log(y) - np.polyval(np.polyfit(x, np.log(y), 1), x)
    return Fit(float(slope), float(np.sqrt(covariance[0, 0] * (residual**2).sum() / (len(x) - 2))))


def count_local_minima(values: ArrayLike) -> np.ndarray:
    """Count the interior local minima of sampled curves; a flat valley counts once.

    Args:
        values: shape ``(*batch, points)``.

    Returns:
        Integers, shape ``(*batch,)``. Samples at the two ends are never minima.

    Raises:
        ValueError: values that are not finite.
    """
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError(
            f"values has {(~np.isfinite(values)).sum()} entries that are not finite; leave these "
            f"points out before counting."
        )
    sign = np.sign(np.diff(values, axis=-1))
    last = np.zeros(sign.shape[:-1])
    count = np.zeros(sign.shape[:-1], dtype=int)
    for step in np.moveaxis(sign, -1, 0):
        count += (last < 0) & (step > 0)
        last = np.where(step == 0, last, step)
    return count


def minima_density(
    curve: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    spacings: Sequence[float],
    *,
    windows: int = 32,
    points: int = 256,
    seed: int = 0,
) -> np.ndarray:
    """Count local minima per unit length in random windows, at ever finer spacings.

    A curve whose minima are resolved gives the same density at all smaller spacings.

    Args:
        curve: from coordinates ``(K,)`` to values ``(K,)``.
        low: the lower end of the interval.
        high: its upper end.
        spacings: distances between neighbouring samples.
        windows: how many windows at each spacing.
        points: samples in a window.
        seed: of the windows' places, which all spacings share.

    Returns:
        Shape ``(spacings, windows)``, minima per unit length in each window.

    Raises:
        ValueError: fewer than three points, or a window longer than the interval.
    """
    longest = max(spacings) * points
    if points < 3 or not 0 < min(spacings) or longest > high - low:
        raise ValueError(
            f"points={points}, spacings={list(spacings)}: a window of at least 3 points must fit "
            f"into the interval of length {high - low:g}."
        )
    centres = np.random.default_rng(seed).uniform(
        low + longest / 2, high - longest / 2, (windows, 1)
    )
    density = []
    for spacing in spacings:
        grid = centres + spacing * (np.arange(points) - points / 2)
        values = np.asarray(curve(grid.reshape(-1))).reshape(grid.shape)
        density.append(count_local_minima(values) / (spacing * (points - 2)))
    return np.array(density)


def descend(
    cost_of: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    rate: float,
    clip: float | Tensor = torch.inf,
) -> Tensor:
    """Run plain gradient descent from many starts at once, with the gradient's norm clipped.

    Args:
        cost_of: from points ``(*batch, n)`` to costs ``(*batch,)``, each of its own point only.
        start: shape ``(*batch, n)``.
        steps: how many steps.
        rate: the learning rate.
        clip: the largest norm of a gradient, a number or of a shape that broadcasts against
            ``(*batch,)``; infinite for none.

    Returns:
        The points passed through, shape ``(steps + 1, *batch, n)``.

    Raises:
        ValueError: fewer than one step, a rate or clip that is not positive.
    """
    clip = torch.as_tensor(clip, dtype=start.dtype)
    if steps < 1 or not rate > 0 or not (clip > 0).all():
        raise ValueError(f"steps={steps}, rate={rate}, clip={clip}: all must be positive.")
    path = [start.detach().clone()]
    for _ in range(steps):
        point = path[-1].requires_grad_()
        (gradient,) = torch.autograd.grad(cost_of(point).sum(), point)
        norm = gradient.norm(dim=-1)
        scale = (clip / norm.clamp(min=torch.finfo(norm.dtype).tiny)).clamp(max=1)
        path[-1] = point.detach()
        path.append(path[-1] - rate * scale[..., None] * gradient)
    return torch.stack(path)

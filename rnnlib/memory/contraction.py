"""How much one step stretches distances: lower bounds on a Lipschitz constant, by search.

On a convex region the smallest ``L`` of equation (5) is the supremum of the Jacobian's induced
norm, whatever the norm (mean value inequality). A search over the region therefore bounds ``L``
from below. What bounds it from above is a proof: see `rnnlib.memory.certificates`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlib.systems import System, jacobian

POWER_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class Norm:
    """The norm ``max_k ||(v / weights)_k||_p`` over equal blocks ``k`` of the state.

    One block and ``p = 2`` is a (weighted) Euclidean norm; ``p = inf`` is a weighted max norm
    whatever the blocks; two blocks and ``p = 2`` measure an LSTM's ``h`` and ``c`` apart.

    Attributes:
        weights: positive, shape ``(n_x,)``; a larger weight makes a component count less.
        p: 2 or ``float("inf")``.
        blocks: how many blocks of ``n_x / blocks`` components each.
    """

    weights: Tensor
    p: float = 2
    blocks: int = 1

    def __post_init__(self):
        if self.p not in (2, float("inf")):
            raise ValueError(f"p is {self.p!r}; use 2 or float('inf').")
        if not (torch.isfinite(self.weights) & (self.weights > 0)).all():
            raise ValueError(
                f"weights has its smallest entry at {float(self.weights.min()):g}; every weight of "
                f"a norm must be positive and finite."
            )
        if self.blocks < 1 or len(self.weights) % self.blocks:
            raise ValueError(
                f"blocks is {self.blocks}; it must divide the {len(self.weights)} components."
            )

    def __call__(self, v: Tensor) -> Tensor:
        """Return the norm of vectors of shape ``(*batch, n_x)``, shape ``(*batch,)``."""
        blocks = (v / self.weights).unflatten(-1, (self.blocks, -1))
        return torch.linalg.vector_norm(blocks, ord=self.p, dim=-1).amax(-1)

    def induced(self, matrix: Tensor) -> Tensor:
        """Return the induced norm of matrices, ``max_v |A v| / |v|``.

        It is exact for ``p = inf`` (largest weighted row sum of absolute values) and for one block
        (largest singular value). For several blocks with ``p = 2`` a power iteration returns a
        value that is attained, hence a lower bound.

        Args:
            matrix: shape ``(*batch, n_x, n_x)``.

        Returns:
            Shape ``(*batch,)``, differentiable.
        """
        scaled = matrix * self.weights / self.weights[:, None]
        if self.p != 2:
            return scaled.abs().sum(-1).amax(-1)
        if self.blocks == 1:
            return torch.linalg.matrix_norm(scaled, ord=2)
        rows = scaled.unflatten(-2, (self.blocks, -1))  # batch, block, row, column
        with torch.no_grad():
            v = torch.linalg.svd(rows, full_matrices=False).Vh[..., 0, :]
            for _ in range(POWER_ITERATIONS):
                v = (rows.mT @ (rows @ v.unsqueeze(-1))).squeeze(-1)
                v = v.unflatten(-1, (self.blocks, -1))
                v = torch.nn.functional.normalize(v, dim=-1).flatten(-2)
        return torch.linalg.vector_norm(rows @ v.unsqueeze(-1), dim=(-2, -1)).amax(-1)

    @property
    def distortion(self) -> float:
        """The smallest ``k`` for which bounds in this norm hold for the Euclidean one times ``k``.

        If ``|A v| <= L |v|`` in this norm then ``|A v|_2 <= k L |v|_2``.
        """
        if self.p == 2:
            longest = self.weights.unflatten(0, (self.blocks, -1)).amax(-1).norm()
        else:
            longest = self.weights.norm()
        return float(longest / self.weights.min())


class LowerBound(NamedTuple):
    """A stretch that the map attains, and where.

    Attributes:
        constant: the largest stretch found, at most the Lipschitz constant up to rounding.
        x: the state at which it was found, shape ``(n_x,)``.
        z: the input there, shape ``(n_z,)``, or None.
        w: the other state, shape ``(n_x,)``, if it was found between two states, or None.
    """

    constant: float
    x: Tensor
    z: Tensor | None
    w: Tensor | None = None


def lipschitz_lower_bound(
    system: System,
    low: Tensor | float,
    high: Tensor | float,
    *,
    norm: int | float | Norm = 2,
    inputs: tuple[Tensor | float, Tensor | float] | None = None,
    starts: int = 64,
    steps: int = 100,
    seed: int = 0,
) -> LowerBound:
    """Bound ``L`` of equation (5) from below by the largest Jacobian norm found in a box.

    Projected gradient ascent from many starts (the centre, random corners, random points), each
    with its own step size, which grows after a success and is halved after a failure; the value
    of a start never falls. Every value is attained, so the answer is a lower bound even where the
    ascent stops in a local maximum.

    Args:
        system: the system, without batch axes.
        low: the box's lower end, a number or shape ``(n_x,)``.
        high: its upper end, a number or shape ``(n_x,)``.
        norm: 2 (largest singular value), ``float("inf")`` (largest row sum), or a `Norm`.
        inputs: the lower and upper end of a box of inputs, numbers or shape ``(n_z,)``, to be
            searched with the states; by default the held input is used.
        starts: how many starts.
        steps: how many steps of the ascent.
        seed: of the random starts.

    Raises:
        ValueError: a box that is empty or unbounded, a system with batch axes or without input.
    """
    norm = _as_norm(norm, system, low, high)

    def stretch(x: Tensor, z: Tensor | None) -> Tensor:
        return norm.induced(jacobian(system, x, z))

    box = _box(system, low, high, inputs)
    value, best, (x, z) = _ascend(stretch, box, [system.n_x], starts, steps, seed)
    return LowerBound(float(value), x[best], None if z is None else z[best])


def pair_search(
    system: System,
    low: Tensor | float,
    high: Tensor | float,
    *,
    norm: int | float | Norm = 2,
    inputs: tuple[Tensor | float, Tensor | float] | None = None,
    starts: int = 64,
    steps: int = 100,
    seed: int = 0,
    separation: float = 1e-4,
) -> LowerBound:
    """Bound ``L`` of equation (5) from below by ``|f(x) - f(w)| / |x - w|`` over pairs of states.

    It needs no Jacobian of the map and no convex region, and it sees jumps, which a Jacobian does
    not. On a smooth map it confirms `lipschitz_lower_bound` by another route. Each start keeps
    its own distance between the two states, from the box's width down to ``separation`` of it.

    Args:
        system: as in `lipschitz_lower_bound`, as are the arguments not listed here.
        low: as there.
        high: as there.
        norm: as there.
        inputs: as there.
        starts: as there.
        steps: as there.
        seed: as there.
        separation: the smallest distance, as a fraction of the box's width. Much smaller ones
            show rounding rather than the map.

    Raises:
        ValueError: as in `lipschitz_lower_bound`.
    """
    norm = _as_norm(norm, system, low, high)
    one = torch.ones_like(norm.weights)
    low, high = _box(system, low, high, inputs)
    ends = low[: system.n_x], high[: system.n_x]
    widths = (ends[1] - ends[0]) / norm.weights
    if not (widths > 0).any():
        raise ValueError("low equals high; there are no two states in the box.")
    widest = float(widths[widths > 0].min())
    exponents = torch.linspace(0, 1, starts).to(one).unsqueeze(-1)
    distance = widest * separation**exponents * norm.weights

    def other(x: Tensor, direction: Tensor) -> Tensor:
        return (x + distance * direction).clamp(*ends)

    def ratio(x: Tensor, direction: Tensor, z: Tensor | None) -> Tensor:
        w = other(x, direction)
        apart = norm(x - w)
        if norm.p != 2:  # a max norm has no useful gradient; it is held by the box instead
            apart = apart.detach()
        moved = norm(system.step(x, z) - system.step(w, z))
        return (moved / apart).where(apart > 0, -torch.inf)  # (5)

    n_x = system.n_x
    box = torch.cat([ends[0], -one, low[n_x:]]), torch.cat([ends[1], one, high[n_x:]])
    value, best, (x, direction, z) = _ascend(ratio, box, [n_x, n_x], starts, steps, seed)
    return LowerBound(
        float(value), x[best], None if z is None else z[best], other(x, direction)[best]
    )


def _as_norm(norm: int | float | Norm, system: System, low, high) -> Norm:
    if isinstance(norm, Norm):
        return norm
    like = next(
        (v for v in (low, high, *system.theta.values()) if torch.is_tensor(v)),
        torch.zeros((), dtype=torch.float64),
    )
    return Norm(torch.ones(system.n_x, dtype=like.dtype, device=like.device), norm)


def _box(system: System, low, high, inputs) -> tuple[Tensor, Tensor]:
    """Return the ends of the box of all that is searched: the state, then the input if any."""
    if system.batch_shape:
        raise ValueError(
            f"system has batch axes {tuple(system.batch_shape)}; search one network at a time."
        )
    like = _as_norm(2, system, low, high).weights
    ends = []
    for name, end, z in zip(("low", "high"), (low, high), inputs or (None, None), strict=True):
        parts = [torch.as_tensor(end).to(like).expand(system.n_x)]
        if inputs is not None:
            parts.append(torch.as_tensor(z).to(like).expand(system.n_z))
        ends.append(torch.cat(parts))
        if not torch.isfinite(ends[-1]).all():
            raise ValueError(f"{name} has entries that are not finite; search a bounded box.")
    low, high = ends
    if not (low <= high).all():
        raise ValueError(f"low exceeds high in {int((low > high).sum())} components; swap them.")
    return low, high


def _ascend(objective: Callable, box, sizes: list[int], starts: int, steps: int, seed: int):
    """Maximise over a box by projected gradient ascent.

    Args:
        objective: takes one tensor ``(starts, size)`` per size, then the rest (the input) or None.
        box: the ends of the box, each of shape ``(sum(sizes) + n_z,)``.
        sizes: how the box's components are split into arguments.

    Returns:
        The best value, its index among the starts, and the arguments of every start.
    """
    low, high = box
    if starts < 1 or steps < 0:
        raise ValueError(f"starts is {starts} and steps is {steps}; give at least 1 and 0.")
    span = high - low
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(starts, len(low), generator=generator, dtype=torch.float64)
    points[1::3] = points[1::3].round()  # a third of the starts are corners
    points[0, : sizes[0]] = 0.5
    points = low + span * points.to(low)

    def split(v: Tensor) -> list[Tensor | None]:
        *parts, z = v.split([*sizes, v.shape[-1] - sum(sizes)], dim=-1)
        return [*parts, z if z.shape[-1] else None]

    def evaluate(v: Tensor) -> tuple[Tensor, Tensor]:
        v = v.detach().requires_grad_()
        with torch.enable_grad():
            value = objective(*split(v))
            total = value.where(torch.isfinite(value), 0).sum()
        gradient = None
        if total.requires_grad:  # the Jacobian of a linear map depends on nothing
            (gradient,) = torch.autograd.grad(total, v, allow_unused=True)
        gradient = torch.zeros_like(v) if gradient is None else gradient.nan_to_num(0, 0, 0)
        return value.detach().nan_to_num(-torch.inf), gradient

    value, gradient = evaluate(points)
    rate = torch.full_like(value, 0.25)
    for _ in range(steps):
        uphill = torch.nn.functional.normalize(gradient * span, dim=-1) * span
        trial = (points + rate.unsqueeze(-1) * uphill).clamp(low, high)
        trial_value, trial_gradient = evaluate(trial)
        better = trial_value > value
        value = torch.where(better, trial_value, value)
        points = torch.where(better.unsqueeze(-1), trial, points)
        gradient = torch.where(better.unsqueeze(-1), trial_gradient, gradient)
        rate = torch.where(better, 1.5 * rate, 0.5 * rate).clamp(max=1.0)
    return value.max(), value.argmax(), split(points)

"""How much one step stretches distances: lower bounds on a Lipschitz constant, by search.

On a convex region the smallest ``L`` of equation (5) is the supremum of the Jacobian's induced
norm, whatever the norm (mean value inequality). A search over the region therefore bounds ``L``
from below. What bounds it from above is a proof: see `rnnlib.memory.certificates`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.memory.norms import Norm, QuadraticNorm
from rnnlib.systems import System, jacobian


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
    norm: int | float | Norm | QuadraticNorm = 2,
    inputs: tuple[Tensor | float, Tensor | float] | None = None,
    starts: int = 64,
    steps: int = 100,
    seed: int = 0,
    progress: bool = False,
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
        progress: whether to show a progress bar. An interrupt (Ctrl-C) ends the ascent in any case,
            and what was found so far is returned, with a warning.

    Raises:
        ValueError: a box that is empty or unbounded, a system with batch axes or without input, no
            state with a finite stretch.
        TypeError: a system in half precision or with complex parameters.

    Example:
        >>> import torch, rnnlib
        >>> found = rnnlib.lipschitz_lower_bound(rnnlib.logistic(3.0), 0.0, 1.0)
        >>> round(found.constant, 6)  # |r (1 - 2 x)| at an end
        3.0
    """
    norm = _as_norm(norm, system, low, high)

    def stretch(x: Tensor, z: Tensor | None) -> Tensor:
        return norm.induced(jacobian(system, x, z))

    box = _box(system, low, high, inputs)
    value, best, (x, z) = _ascend(stretch, box, [system.n_x], starts, steps, seed, progress)
    return LowerBound(float(value), x[best], None if z is None else z[best])


def pair_search(
    system: System,
    low: Tensor | float,
    high: Tensor | float,
    *,
    norm: int | float | Norm | QuadraticNorm = 2,
    inputs: tuple[Tensor | float, Tensor | float] | None = None,
    starts: int = 64,
    steps: int = 100,
    seed: int = 0,
    separation: float = 1e-4,
    progress: bool = False,
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
        progress: as there.

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
    exponents = torch.linspace(0, 1, starts, dtype=one.dtype, device=one.device).unsqueeze(-1)
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
    value, best, (x, direction, z) = _ascend(ratio, box, [n_x, n_x], starts, steps, seed, progress)
    return LowerBound(
        float(value), x[best], None if z is None else z[best], other(x, direction)[best]
    )


def _as_norm(norm, system: System, low, high) -> Norm | QuadraticNorm:
    if isinstance(norm, (Norm, QuadraticNorm)):
        return norm
    like = _like(system, low, high)
    return Norm(torch.ones(system.n_x, dtype=like.dtype, device=like.device), norm)


def _like(system: System, low, high) -> Tensor:
    """Return a tensor of the dtype and on the device of the search, after checking it."""
    tensors = [v for v in (low, high, *system.theta.values()) if torch.is_tensor(v)]
    like = tensors[0] if tensors else torch.zeros((), dtype=torch.float64, device="cpu")
    if like.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{system.name} is {like.dtype}; a search works in float32 or float64: convert it, for "
            f"example with system.to(torch.float64)."
        )
    return like


def _box(system: System, low, high, inputs) -> tuple[Tensor, Tensor]:
    """Return the ends of the box of all that is searched: the state, then the input if any."""
    if system.batch_shape:
        raise ValueError(
            f"system has batch axes {tuple(system.batch_shape)}; search one network at a time."
        )
    like = _like(system, low, high)
    ends = []
    for name, end, z in zip(("low", "high"), (low, high), inputs or (None, None), strict=True):
        parts = [torch.as_tensor(end, dtype=like.dtype, device=like.device).expand(system.n_x)]
        if inputs is not None:
            parts.append(
                torch.as_tensor(z, dtype=like.dtype, device=like.device).expand(system.n_z)
            )
        ends.append(torch.cat(parts))
        if not torch.isfinite(ends[-1]).all():
            raise ValueError(f"{name} has entries that are not finite; search a bounded box.")
    low, high = ends
    if not (low <= high).all():
        raise ValueError(f"low exceeds high in {int((low > high).sum())} components; swap them.")
    return low, high


def _ascend(
    objective: Callable, box, sizes: list[int], starts: int, steps: int, seed: int, progress: bool
):
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
    points = torch.rand(starts, len(low), generator=generator, dtype=torch.float64, device="cpu")
    points[1::3] = points[1::3].round()  # a third of the starts are corners
    points[0, : sizes[0]] = 0.5
    points = low + span * points.to(low)

    def split(v: Tensor) -> list[Any]:
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

    best = (points, *evaluate(points), low.new_full((starts,), 0.25))
    with kept_on_interrupt("the largest stretch found so far"):
        for _ in tqdm(range(steps), desc="search", disable=not progress, unit="step"):
            points, value, gradient, rate = best
            uphill = torch.nn.functional.normalize(gradient * span, dim=-1) * span
            trial = (points + rate.unsqueeze(-1) * uphill).clamp(low, high)
            trial_value, trial_gradient = evaluate(trial)
            better = trial_value > value
            column = better.unsqueeze(-1)
            best = (  # all four at once, so that an interruption cannot come between
                torch.where(column, trial, points),
                torch.where(better, trial_value, value),
                torch.where(column, trial_gradient, gradient),
                torch.where(better, 1.5 * rate, 0.5 * rate).clamp(max=1.0),
            )
    points, value, *_ = best
    if not torch.isfinite(value).any():
        raise ValueError(
            "the step, or its derivative, is finite at none of the starts; look at the box and at "
            "the system's parameters."
        )
    return value.max(), value.argmax(), split(points)

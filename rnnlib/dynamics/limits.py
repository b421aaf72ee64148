"""The fixed point or cycle that an orbit is on, or is shown to tend to.

A recurrence within a tolerance proves little: near a spiral sink the state after a whole number
of turns is nearer than the next one, and near a slow node every period recurs. So each candidate
is taken to a root of ``f^p(x) = x`` by Newton's method, its least period and multipliers are
computed there, and the orbit must be at the root, or be seen to tend to it all along the way.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics.fixed_points import iterated
from rnnlib.dynamics.members import Members
from rnnlib.dynamics.rules import SteadyStateRules
from rnnlib.dynamics.spectra import WHOLE, leading_eigenvalues
from rnnlib.systems import System, push_forward

ENTRIES = 2**20  # of the Jacobians worked on at once: at 512 components an interrupt waits a second


class Limits(NamedTuple):
    """What a batch of orbits ends on; entries where ``period`` is 0 mean nothing.

    Attributes:
        period: shape ``(N,)``, the least one, 0 where nothing was shown.
        point: shape ``(N, n_x)``, of the fixed point or cycle, the one next to the orbit's end.
        modulus: shape ``(N,)``, of the leading eigenvalue of ``D f^p`` there.
        distance: shape ``(N,)``, largest component of the end minus the point.
        arrived: shape ``(N,)``, whether that is within rounding.
    """

    period: Tensor
    point: Tensor
    modulus: Tensor
    distance: Tensor
    arrived: Tensor


def recurrences(tail: Tensor, max_period: int) -> Tensor:
    """Return ``max_t |x_{t+p} - x_t|`` for p = 1..max_period over the last states.

    Args:
        tail: states, shape ``(2 max_period or more, N, n_x)``.

    Returns:
        Shape ``(max_period, N)``, the largest component.
    """
    last = tail[-max_period:]
    count = len(tail)
    return torch.stack(
        [
            (last - tail[count - max_period - p : count - p]).abs().amax((0, -1))
            for p in range(1, max_period + 1)
        ]
    )


def find_limits(
    members: Members,
    index: Tensor,
    tail: Tensor,
    start: Tensor,
    *,
    max_period: int,
    rules: SteadyStateRules,
    found: Limits | None = None,
) -> Limits:
    """Find the fixed point or cycle of least period that each orbit is on or tends to.

    Beyond `WHOLE` components no root is looked for, and only orbits at rest are told.

    Args:
        members: the orbits.
        index: which of them.
        tail: their last states, shape ``(2 max_period or more, N, n_x)``.
        start: the largest component of their initial states, shape ``(N,)``.
        max_period: the longest period looked for.
        rules: what counts as rounding, as neutral, as a root and as tending to it.
        found: what is filled in and returned, so that an interrupt leaves what it has; a new one,
            from `nothing_found`, by default.
    """
    x = tail[-1]
    size = tail.abs().amax((0, -1))  # N
    unit = rules.rest * torch.finfo(x.dtype).eps
    # What is left near 0 of a way of length 1 is noise of size eps, in which cycles mean nothing.
    still = (tail.amax(0) - tail.amin(0)).amax(-1) <= unit * start
    size = torch.where(still, torch.maximum(size, start), size)
    rounding = unit * size
    gaps = recurrences(tail, max_period)
    found = nothing_found(x) if found is None else found
    periods = torch.arange(1, max_period + 1, device=x.device)
    # to be at rest is not to drift by a rounding error in each step either
    resting = (gaps <= rounding) & (gaps[periods * (max_period // periods) - 1] <= 2 * rounding)
    least = torch.where(resting.any(0), 1 + resting.int().argmax(0), 0)
    nearest = 1 + gaps.argmin(0)
    # Along a slow approach every period recurs, so each is first tried as a fixed point.
    attempts = (torch.ones_like(nearest), least, nearest)
    for attempt in attempts if x.shape[-1] <= WHOLE else ():
        for period in attempt[found.period == 0].unique().tolist():
            those = ((found.period == 0) & (attempt == period)).nonzero()[:, 0]
            if period > 0 and (period > 1 or attempt is not nearest):
                for some in those.split(max(1, ENTRIES // x.shape[-1] ** 2)):
                    _settle(members, index, some, x, size, rounding, period, rules, found)
    # At rest, and no root that attracts: it repels, or is neutral, or the step is not smooth.
    for period in least[found.period == 0].unique().tolist():
        if period > 0:
            those = ((found.period == 0) & (least == period)).nonzero()[:, 0]
            for some in those.split(max(1, ENTRIES // x.shape[-1] ** 2)):
                modulus = _modulus(members.pick(index[some]), x[some], period)
                _store(found, some, period, x[some], modulus, 0 * rounding[some], True)
    return found


def nothing_found(x: Tensor) -> Limits:
    """Return what is said of states, shape ``(N, n_x)``, before anything is shown."""
    return Limits(
        torch.zeros(len(x), dtype=torch.int64, device=x.device),
        x.clone(),
        x.new_full((len(x),), torch.nan),
        x.new_full((len(x),), torch.inf),
        torch.zeros(len(x), dtype=torch.bool, device=x.device),
    )


def _modulus(system: System, x: Tensor, period: int) -> Tensor:
    """Return the leading modulus of ``D f^p`` at states at rest, NaN where it has none."""
    if x.shape[-1] > WHOLE:  # one state at a time
        values = leading_eigenvalues(iterated(system, period), x[0], 2).abs()
        return values.amax()[None].to(x)
    _, matrix = turn(system, x, period)
    smooth = torch.isfinite(matrix).all((-1, -2))
    modulus = x.new_full((len(x),), torch.nan)
    modulus[smooth] = _moduli(matrix[smooth])[0]
    return modulus


def turn(system: System, x: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """Return ``f^p(x)`` and its Jacobian, shapes ``(N, n_x)`` and ``(N, n_x, n_x)``."""
    matrix = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand(*x.shape, x.shape[-1])
    for _ in range(period):
        x, matrix = push_forward(system, x, matrix)
    return x, matrix


def _settle(members, index, some, x, size, rounding, period, rules, found) -> None:
    """Polish the ends of some orbits as points of a cycle and keep the roots that attract them."""
    start, size, rounding = x[some], size[some], rounding[some]
    root, residual, matrix = _newton(members, index[some], start, period, rules)
    usable = torch.isfinite(root).all(-1) & torch.isfinite(matrix).all((-1, -2))
    if not usable.any():
        return
    some, start, size, rounding, root, residual, matrix = (
        value[usable] for value in (some, start, size, rounding, root, residual, matrix)
    )
    modulus, vectors = _moduli(matrix)
    distance, gap = (start - root).abs().amax(-1), 1 - modulus ** (1 / period)  # per step
    stable = (gap > rules.neutral) & (residual <= rounding)
    # how sharp a root is; the eigenvectors of a matrix far from normal are nearly dependent
    blur = rounding / gap * torch.linalg.cond(vectors).to(rounding)
    blur = torch.minimum(blur.nan_to_num(torch.inf), rules.sharp * size)
    at = stable & (distance <= blur)
    near = stable & ~at
    if near.any():
        near[near.clone()] = _attracts(
            members.pick(index[some[near]]),
            start[near],
            root[near],
            blur[near],
            modulus[near],
            vectors[near],
            period,
            rules,
        )
    shown = (at | near).nonzero()[:, 0]
    if len(shown):
        least = _least(members.pick(index[some[shown]]), root[shown], period, 4 * blur[shown])
        own = modulus[shown] ** (least / period)
        _store(found, some[shown], least, root[shown], own, distance[shown], at[shown])


def _store(found: Limits, some, period, point, modulus, distance, arrived) -> None:
    for field, value in zip(found, (period, point, modulus, distance, arrived), strict=True):
        field[some] = value if torch.is_tensor(value) else torch.as_tensor(value).to(field)


def _newton(members: Members, index: Tensor, x: Tensor, period: int, rules: SteadyStateRules):
    """Return the best points met, their residuals ``|f^p(x) - x|`` and Jacobians."""
    n = x.shape[-1]
    eye = torch.eye(n, dtype=x.dtype, device=x.device)
    best, matrix = x.clone(), x.new_full((*x.shape, n), torch.nan)
    residual = x.new_full((len(x),), torch.inf)
    first = residual
    going = torch.arange(len(x), device=x.device)
    x = x.clone()
    for iteration in range(rules.newton):
        after, jacobian = turn(members.pick(index[going]), x[going], period)
        value = after - x[going]
        size = value.abs().amax(-1)
        better = size < residual[going]  # False for NaN
        kept = going[better]
        best[kept], residual[kept], matrix[kept] = x[kept], size[better], jacobian[better]
        if iteration == 0:
            first = size
        # at the root, no nearer to it than before, or not on a way that leads to one
        on = better & (size > 0) & torch.isfinite(jacobian).all((-1, -2))
        if iteration >= 3:
            on &= size <= rules.hopeless * first[going]
        going, value, jacobian = going[on], value[on], jacobian[on]
        if len(going) == 0:
            break
        step, _ = torch.linalg.solve_ex(jacobian - eye, -value.unsqueeze(-1))
        x[going] += step.squeeze(-1)
        finite = torch.isfinite(x[going]).all(-1)
        going = going[finite]
        if len(going) == 0:
            break
    return best, residual, matrix


def _moduli(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest modulus of the eigenvalues, and the eigenvectors as columns."""
    # numpy: torch's route gives up on matrices of low rank that LAPACK handles
    values, vectors = np.linalg.eig(matrix.cpu().numpy())
    vectors = torch.as_tensor(vectors, device=matrix.device).to(torch.complex128)
    return torch.as_tensor(np.abs(values).max(-1), device=matrix.device).to(matrix), vectors


def _attracts(system, x, root, blur, modulus, vectors, period, rules) -> Tensor:
    """Tell whether states on the straight way from an orbit's end to a root come nearer to it.

    Nearness is measured in the coordinates of the eigenvectors, in which a linear map shrinks
    every distance, by its largest modulus at the slowest; at least the part ``rules.pull`` of that
    is asked of ``rules.trial`` steps from each state.
    """
    turns = max(1, rules.trial // period)
    parts = x.new_tensor(rules.parts)[:, None, None]

    def length(y):
        coordinates, _ = torch.linalg.solve_ex(vectors, (y - root).unsqueeze(-1).to(vectors))
        return torch.linalg.vector_norm(coordinates.squeeze(-1), dim=-1)

    start = root + parts * (x - root)  # parts, N, n_x
    end = start
    for _ in range(turns * period):
        end = system.step(end)
    before, after = length(start), length(end)
    close = (end - root).abs().amax(-1) <= blur
    nearer = (after <= before * (1 - rules.pull * (1 - modulus**turns))) & torch.isfinite(before)
    return (nearer | close).all(0)


def _least(system: System, root: Tensor, period: int, blur: Tensor) -> Tensor:
    """Return the least divisor of the period after which each root recurs, shape ``(N,)``."""
    x, found = root, torch.full((len(root),), period, device=root.device)
    for steps in range(1, period):
        x = system.step(x)
        if period % steps == 0:
            recurs = (x - root).abs().amax(-1) <= blur
            found = torch.where(recurs, found.clamp(max=steps), found)
    return found


def root_distance(members: Members, index: Tensor, x: Tensor, rules: SteadyStateRules) -> Tensor:
    """Return how far from each state Newton's method finds a fixed point; infinity for none."""
    rounding = rules.rest * torch.finfo(x.dtype).eps * x.abs().amax(-1)
    root, residual, _ = _newton(members, index, x, 1, rules)
    return (root - x).abs().amax(-1).masked_fill(~(residual <= rounding), torch.inf)

"""Newton's method for ``f(x) = x`` from many starts at once, damped where Newton's step fails.

With ``F(x) = f(x) - x`` and ``A = df/dx - 1`` Newton's step is ``A d = -F``. It is followed for a
few iterations even where ``|F|`` rises at first, as it does from the states of trained networks. If
that leads nowhere the search goes back to the least ``|F|`` met; there Newton's step is taken only
if it halves ``|F|``, or else the best of it and of `damped_steps`. A start ends in a root, or where
no step lowers ``|F|`` any further: in a local minimum of the speed.

For many units ``A`` is known by its products with vectors alone: the steps are then sought in a
Krylov space, for all starts at once. Those that it does not serve get the whole matrix, up to
`WHOLE` units; beyond, they end where they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.spectra import WHOLE, svd
from rnnlib.systems import System, jacobian, push_forward

# Relative to the largest singular value: from Newton's step to a short one down the slope of |F|.
DAMPINGS = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3)
ENTRIES = 2**21  # of the matrices held at once
EXCURSION = 8  # plain Newton steps in a row that do not halve the least |F| met
FORCING = 0.01  # a Krylov space is large enough when the linear residual is this part of |F|
EXACT = 1e-14  # a damping that leaves the least-squares step as it is
STILL = 1e-9  # a step that lowers |F| by a smaller part than this lowers it no more


def damped_steps(matrix: Tensor, value: Tensor, damping: Tensor) -> Tensor:
    """Return the steps that minimise ``|A d + F|^2 + (mu s)^2 |d|^2``, one for each ``mu``.

    ``s`` is the largest singular value of ``A``. Without damping that is Newton's step, or the
    shortest of them if ``A`` is singular; with much of it a short step down the slope of ``|F|``.

    Args:
        matrix: ``A``, shape ``(*batch, rows, columns)``, finite.
        value: ``F``, shape ``(*batch, rows)``, finite.
        damping: the values of ``mu``, shape ``(K,)``.

    Returns:
        Shape ``(K, *batch, columns)``.

    Reference:
        J. J. More, "The Levenberg-Marquardt algorithm: implementation and theory", in Numerical
        Analysis, Lecture Notes in Mathematics 630 (1978).
    """
    u, s, v = svd(matrix)  # A = u diag(s) v
    mu = damping.reshape(-1, *[1] * s.dim()) * s[..., :1]
    weight = (s / (s**2 + mu**2)).nan_to_num(0.0, 0.0)  # 0 for s = mu = 0
    along = (u.mT @ value.unsqueeze(-1)).squeeze(-1)
    return -(v.mT @ (weight * along).unsqueeze(-1)).squeeze(-1)


class Search(NamedTuple):
    """Where each start has ended, every attribute with the axes ``(members, M)`` first.

    Attributes:
        x: the last states, shape ``(members, M, n_x)``.
        residual: ``max |F| / (1 + max |x|)``, infinite where it is not a number.
        iterations: shape ``(members, M)``.
        at_rest: shape ``(members, M)``; True where no step lowered ``|F|`` any further.
        interrupted: whether the search was stopped by hand.
    """

    x: Tensor
    residual: Tensor
    iterations: Tensor
    at_rest: Tensor
    interrupted: bool = False


def search(
    system: System,
    starts: Tensor,
    tolerance: float,
    max_iterations: int,
    dense: int,
    krylov: int,
    bar: tqdm,
) -> Search:
    """Run the iteration from every start; an interruption by hand keeps what is reached by then.

    Args:
        system: with batch axes ``(*batch, 1)`` or none.
        starts: shape ``(M, n_x)``, or ``(*batch, M, n_x)`` for each system its own.
        tolerance: a start whose residual is smaller ends once a step does not halve ``|F|``.
        max_iterations: at least 1.
        dense: up to so many components the whole matrix is formed.
        krylov: the largest dimension of a Krylov space.
        bar: told of each start that has ended.
    """  # fmt: skip
    x = system.initial_state(starts)
    n, count = x.shape[-1], x.shape[-2]
    last = x.reshape(-1, count, n).clone()
    residuals = last.new_full(last.shape[:-1], torch.inf)
    iterations = torch.zeros_like(residuals, dtype=torch.int64)
    at_rest = torch.zeros_like(residuals, dtype=torch.bool)
    columns = torch.arange(count, device=x.device)  # the starts that some member still works on

    value = system.step(x) - x
    active = torch.isfinite(value).all(-1)
    best, best_value, free = x, value, active  # free: on an excursion of plain Newton steps
    spent = torch.zeros_like(active, dtype=torch.int64)
    failed_at = torch.full_like(value[..., 0], torch.inf)  # |F| where the last excursion began
    try:
        for iteration in range(max_iterations + 1):
            residual = relative(best_value, best).nan_to_num(torch.inf)
            last[:, columns] = best.reshape(-1, len(columns), n)
            residuals[:, columns] = residual.reshape(-1, len(columns))
            active = active & (residual > 0)
            keep = active.reshape(-1, len(columns)).any(0)
            bar.update(int((~keep).sum()))
            if iteration == max_iterations or not keep.any():
                bar.update(int(keep.sum()))
                break
            x, value, best, best_value = (a[..., keep, :] for a in (x, value, best, best_value))
            active, free, spent, failed_at, residual = (
                a[..., keep] for a in (active, free, spent, failed_at, residual)
            )
            columns = columns[keep]
            iterations[:, columns] += active.reshape(-1, len(columns))

            x, value = _iterate(system, x, value, active, free, residual < tolerance, dense, krylov)
            size, least = (torch.linalg.vector_norm(a, dim=-1) for a in (value, best_value))
            ratio = (size / least).nan_to_num(torch.inf)
            better = ratio < 1
            best = torch.where(better[..., None], x, best)
            best_value = torch.where(better[..., None], value, best_value)

            resting = active & ~free & ~(ratio < 1 - STILL)
            if n <= WHOLE:  # beyond, no step of a Krylov space is known to be the best
                at_rest[:, columns] |= resting.reshape(-1, len(columns))
            active = active & ~resting & ~((residual < tolerance) & (ratio > 0.5))
            spent = torch.where(free & ~(ratio < 0.5), spent + 1, 0)
            lost = free & ((spent >= EXCURSION) | ~torch.isfinite(size))
            x = torch.where(lost[..., None], best, x)
            value = torch.where(lost[..., None], best_value, value)
            least = torch.minimum(least, size.nan_to_num(torch.inf))
            failed_at = torch.where(lost, least, failed_at)
            free = (free & ~lost) | (~free & (least < 0.1 * failed_at))
    except KeyboardInterrupt:
        return Search(last, residuals, iterations, at_rest, interrupted=True)
    return Search(last, residuals, iterations, at_rest)


def _iterate(system, x, value, active, free, fine, dense: int, krylov: int):
    """Make one iteration: in a Krylov space for many units, with the whole matrix if that fails."""
    poor, size = active, torch.linalg.vector_norm(value, dim=-1)
    begun, begun_value = x, value
    if x.shape[-1] > dense:
        space = _arnoldi(system, x, value, krylov)
        x, value = _improve(system, x, value, active, free, *space)
        poor = active & ~_halved(value, size) & ~fine
    left = poor.reshape(-1, poor.shape[-1]).any(0)
    if left.any() and x.shape[-1] <= WHOLE:
        x, value = x.clone(), value.clone()
        x[..., left, :], value[..., left, :] = _improve_whole(
            system, begun[..., left, :], begun_value[..., left, :], poor[..., left], free[..., left]
        )
    return x, value


def relative(difference: Tensor, x: Tensor) -> Tensor:
    """Return the largest component of a difference, relative to ``1 + max |x|``."""
    return difference.abs().amax(-1) / (1 + x.abs().amax(-1))


def _halved(value: Tensor, size: Tensor) -> Tensor:
    return torch.linalg.vector_norm(value, dim=-1) < 0.5 * size


def _improve_whole(system: System, x: Tensor, value: Tensor, active: Tensor, free: Tensor):
    """Make one iteration with the whole matrix, for as many starts at a time as memory allows."""
    n, lead = x.shape[-1], x[..., 0, 0].numel()
    parts = []
    for rows in torch.arange(x.shape[-2], device=x.device).split(max(1, ENTRIES // (lead * n**2))):
        at = x[..., rows, :]
        matrix = jacobian(system, at) - torch.eye(n, dtype=x.dtype, device=x.device)
        here = value[..., rows, :]
        parts.append(_improve(system, at, here, active[..., rows], free[..., rows], matrix, here))
    return (torch.cat(part, dim=-2) for part in zip(*parts, strict=True))


def _improve(
    system: System,
    x: Tensor,
    value: Tensor,
    active: Tensor,
    free: Tensor,
    matrix: Tensor,
    target: Tensor,
    basis: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the states and their ``F`` after the best step found, the old ones where none helps.

    Args:
        free: where Newton's step is taken whether it helps or not.
        matrix: ``A``, or its image of a basis, shape ``(*batch, rows, columns)``.
        target: ``F`` in the coordinates of the rows, shape ``(*batch, rows)``.
        basis: what the columns stand for, shape ``(columns, *batch, n_x)``; by default the axes.
    """  # fmt: skip
    usable = active & torch.isfinite(matrix).all(-1).all(-1) & torch.isfinite(target).all(-1)
    newton = matrix.new_zeros(1, *matrix.shape[:-2], matrix.shape[-1])
    if basis is None:
        newton[0, usable] = torch.linalg.solve_ex(matrix[usable], -target[usable])[0]
    else:
        newton[:, usable] = damped_steps(matrix[usable], target[usable], x.new_tensor([EXACT]))
    states, values = _along(system, x, newton, basis)
    poor = usable & ~free & ~_halved(values[0], torch.linalg.vector_norm(value, dim=-1))
    if poor.any():
        steps = newton.new_zeros(len(DAMPINGS), *newton.shape[1:])
        steps[:, poor] = damped_steps(matrix[poor], target[poor], x.new_tensor(DAMPINGS))
        damped, their_values = _along(system, x, steps, basis)
        states, values = torch.cat([states, damped]), torch.cat([values, their_values])
    states, values = torch.cat([x[None], states]), torch.cat([value[None], values])
    sizes = torch.linalg.vector_norm(values, dim=-1).nan_to_num(torch.inf)
    sizes[1:, ~usable] = torch.inf
    sizes[0, usable & free] = torch.inf
    sizes[1, usable & free] = 0.0
    sizes[2:, usable & free] = torch.inf
    best = sizes.argmin(0)[None, ..., None].expand(1, *x.shape)
    return states.gather(0, best)[0], values.gather(0, best)[0]


def _along(system: System, x: Tensor, steps: Tensor, basis: Tensor | None):
    """Return the states that the steps lead to, shape ``(K, *batch, n_x)``, and ``F`` there."""
    if basis is not None:
        steps = torch.einsum("k...j,j...n->k...n", steps, basis)
    states = x + steps
    return states, system.step(states) - states


def _arnoldi(
    system: System, x: Tensor, value: Tensor, largest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``A`` on the Krylov space of ``F``: ``A V_m = V_{m+1} H``.

    The space grows until Newton's equation is solved in it to a part `FORCING` of ``|F|``.

    Returns:
        ``H``, shape ``(*batch, m + 1, m)``; ``F`` in the same coordinates, ``(*batch, m + 1)``;
        ``V_m``, shape ``(m, *batch, n_x)``.

    Reference:
        Y. Saad, M. H. Schultz, "GMRES", SIAM Journal on Scientific and Statistical Computing 7
        (1986); D. A. Knoll, D. E. Keyes, "Jacobian-free Newton-Krylov methods", Journal of
        Computational Physics 193 (2004).
    """
    size = torch.linalg.vector_norm(value, dim=-1)
    basis = [_unit(value, size)]
    columns = []
    for j in range(min(largest, x.shape[-1])):
        product = push_forward(system, x, basis[-1].unsqueeze(-1))[1].squeeze(-1) - basis[-1]
        column = torch.zeros_like(size)[..., None]
        for _ in range(2):  # once leaves the basis orthogonal to no more than the root of rounding
            space = torch.stack(basis)
            share = torch.einsum("k...n,...n->...k", space, product)
            product = product - torch.einsum("...k,k...n->...n", share, space)
            column = column + share
        length = torch.linalg.vector_norm(product, dim=-1)
        columns.append(torch.cat([column, length[..., None]], dim=-1))
        basis.append(_unit(product, length))
        if j % 5 == 4:  # a look costs as much as some products
            matrix, target = _hessenberg(columns, size)
            finite = torch.isfinite(matrix).all(-1).all(-1)
            step = damped_steps(matrix[finite], target[finite], x.new_tensor([EXACT]))[0]
            left = target[finite] + (matrix[finite] @ step.unsqueeze(-1)).squeeze(-1)
            if (torch.linalg.vector_norm(left, dim=-1) <= FORCING * size[finite]).all():
                break
    return *_hessenberg(columns, size), torch.stack(basis[:-1])


def _hessenberg(columns: list[Tensor], size: Tensor) -> tuple[Tensor, Tensor]:
    m = len(columns)
    matrix = torch.stack(
        [torch.nn.functional.pad(c, (0, m + 1 - c.shape[-1])) for c in columns], -1
    )
    target = torch.nn.functional.pad(size[..., None], (0, m))
    return matrix, target


def _unit(vector: Tensor, length: Tensor) -> Tensor:
    return (vector / length[..., None]).nan_to_num(0.0)  # 0 once the space is whole

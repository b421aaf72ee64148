"""Fixed and periodic points, stable or not, found by root finding from many starts.

A simulation only ever shows what attracts. The saddles and repellers that bound the basins, and
the branches that meet at a bifurcation, are roots of ``f^p(x) - x = 0``, where ``f^p`` is the
transition applied p times.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlib.systems import System, jacobian

STABILITIES = ("stable", "saddle", "unstable", "neutral")
ENTRIES = 2**21  # of the Jacobians held at once


class FixedPoints(NamedTuple):
    """The distinct roots that were found, with the evidence for each.

    Attributes:
        points: shape ``(k, n_x)``, float64; ``k`` is 0 if no start converged.
        member: shape ``(k,)``, which system of the batch each belongs to, as a flat index into
            its batch axes; all 0 for a single system.
        period: shape ``(k,)``, the primitive period: a divisor of the period asked for.
        residual: shape ``(k,)``, ``max |f^p(x) - x| / (1 + max |x|)``.
        iterations: shape ``(k,)``, the Newton steps that the best start took.
        hits: shape ``(k,)``, how many starts ended there. It measures Newton's basins, not the
            dynamical system's.
        eigenvalues: shape ``(k, n_x)``, complex, of the Jacobian of ``f^p`` (the multipliers of a
            cycle), largest modulus first.
        stability: strings out of `STABILITIES`, an array of shape ``(k,)``.
        isolated: shape ``(k,)``; False where an eigenvalue is 1 within the tolerance, so that
            the root may lie on a curve or surface of roots, of which this is one point.
        converged: how many starts reached the tolerance, over all systems of the batch.
        starts: how many there were.
    """

    points: Tensor
    member: Tensor
    period: Tensor
    residual: Tensor
    iterations: Tensor
    hits: Tensor
    eigenvalues: Tensor
    stability: np.ndarray
    isolated: Tensor
    converged: int
    starts: int

    def describe(self) -> str:
        """Return one line on the search and one line for each root."""
        lines = [f"{len(self.points)} found; {self.converged} of {self.starts} starts converged"]
        for i, x in enumerate(self.points):
            shown = ", ".join(f"{v:+.4f}" for v in x[:4].tolist())
            lines.append(
                f"({shown}{', ...' if len(x) > 4 else ''})  period {int(self.period[i])}  "
                f"{self.stability[i]:8s} |lambda| = {float(self.eigenvalues[i].abs().max()):.4f}  "
                f"residual {float(self.residual[i]):.0e}  {int(self.hits[i])} starts"
            )
        return "\n".join(lines)


def iterated(system: System, period: int) -> System:
    """Return the system whose one step is ``period`` steps of the given one, ``f^p``."""

    def f(x, z, theta):
        for _ in range(period):
            x = system.f(x, z, theta)
        return x

    return (
        replace(system, f=f, name=f"{system.name}, every {period} steps") if period > 1 else system
    )


def starts_in_box(low: float, high: float, count: int, n_x: int, seed: int = 0) -> Tensor:
    """Return starts drawn uniformly from the cube ``[low, high]^n_x``.

    Returns:
        Shape ``(count, n_x)``, float64.
    """
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, n_x, dtype=torch.float64, generator=generator)


@torch.no_grad()
def fixed_points(
    system: System,
    starts: Tensor,
    *,
    period: int = 1,
    tolerance: float = 1e-10,
    separation: float = 1e-6,
    neutral: float = 1e-6,
    max_iterations: int = 100,
) -> FixedPoints:
    """Find the fixed points of ``f^period`` by a damped Newton method from many starts.

    Each step solves ``min |F + (J - 1) d|^2 + mu |d|^2`` for ``F = f^p(x) - x`` and is taken only
    if ``|F|`` falls (Levenberg-Marquardt). With ``mu`` proportional to ``|F|^2`` convergence stays
    quadratic where ``J - 1`` is singular but ``|F|`` grows in proportion to the distance from the
    set of roots, as on a line of fixed points: each start then ends on some point of that line.
    Starts that end in a minimum of ``|F|`` above zero, a slow point, do not count as converged.
    No list of roots is proved to be complete.

    Args:
        system: an autonomous system (or one with its input held), differentiable along the
            search. A batch of systems has batch axes ``(*batch, 1)``, as a family called with
            ``values[:, None]`` gives them.
        starts: shape ``(M, n_x)``, float64.
        period: p, the number of steps after which the state recurs.
        tolerance: on the relative residual; a converged start goes on until it stops improving.
        separation: roots nearer than this, relative to ``1 + max |x|``, count as one. At a
            bifurcation roots are less sharp than the residual and one may come as a small cloud.
        neutral: how near to 1 a modulus counts as neutral.
        max_iterations: of Newton steps, taken or not.

    Raises:
        ValueError: starts of another shape, a period or number of iterations under 1, a system
            whose last batch axis is not 1.
        TypeError: starts or parameters that are not float64.

    Reference:
        N. Yamashita, M. Fukushima, "On the rate of convergence of the Levenberg-Marquardt
        method", Computing Supplementa 15 (2001); for RNNs: D. Sussillo, O. Barak, "Opening the
        black box", Neural Computation 25 (2013).
    """
    _check(system, starts, period, max_iterations)
    power = iterated(system, period)
    members = max(1, system.batch_shape.numel())
    chunk = max(1, ENTRIES // (members * system.n_x**2))
    parts = [_levenberg_marquardt(power, s, tolerance, max_iterations) for s in starts.split(chunk)]
    x, residual, iterations = (torch.cat(p, dim=1) for p in zip(*parts, strict=True))
    good = residual < tolerance
    picks, hits = _distinct(x, residual.masked_fill(~good, torch.inf), separation)

    rows = torch.arange(members)
    valid = torch.isfinite(residual[rows, picks]) & good[rows, picks] & (hits > 0)  # K, members
    candidates = x[rows, picks].movedim(0, 1)  # members, K, n_x
    found = valid.mT  # members, K
    member = found.nonzero()[:, 0]
    points = candidates[found]
    if len(points) == 0:
        eigenvalues = x.new_zeros(0, system.n_x).to(torch.complex128)
    else:
        shaped = candidates.reshape(*system.batch_shape[:-1], -1, system.n_x)
        eigenvalues = torch.linalg.eigvals(
            jacobian(power, shaped).reshape(members, -1, *[system.n_x] * 2)[found]
        )
        order = eigenvalues.abs().argsort(dim=-1, descending=True)
        eigenvalues = eigenvalues.gather(-1, order)
    return FixedPoints(
        points=points,
        member=member,
        period=_primitive(system, candidates, period, separation)[found],
        residual=residual[rows, picks].mT[found],
        iterations=iterations[rows, picks].mT[found],
        hits=hits.mT[found],
        eigenvalues=eigenvalues,
        stability=classify(eigenvalues, neutral),
        isolated=((eigenvalues - 1).abs() > neutral).all(-1),
        converged=int(good.sum()),
        starts=good.numel(),
    )


def classify(eigenvalues: Tensor, neutral: float = 1e-6) -> np.ndarray:
    """Return what the eigenvalues of the Jacobian say about a fixed point.

    "stable": all moduli under 1; "saddle": some over 1 and some under; "unstable": some over 1
    and none under; "neutral": the largest is 1 within the tolerance, and the linear part decides
    nothing (``x -> tanh x`` attracts, a rotation does not).

    Args:
        eigenvalues: shape ``(*batch, n)``.
        neutral: how near to 1 counts as 1.

    Returns:
        Strings, shape ``(*batch,)``.
    """
    size = eigenvalues.abs()
    over, under = (size > 1 + neutral).any(-1), (size < 1 - neutral).any(-1)
    kind = np.full(tuple(over.shape), "neutral", dtype=object)
    kind[(size < 1 - neutral).all(-1).cpu().numpy()] = "stable"
    kind[(over & under).cpu().numpy()] = "saddle"
    kind[(over & ~under).cpu().numpy()] = "unstable"
    return kind.astype(str)


def _levenberg_marquardt(power: System, starts: Tensor, tolerance: float, max_iterations: int):
    """Return the last states ``(members, M, n_x)``, residuals and iterations ``(members, M)``."""
    x = power.initial_state(starts)
    n = x.shape[-1]
    final = x.reshape(-1, len(starts), n).clone()
    residuals = final.new_full(final.shape[:-1], torch.inf)
    counts = torch.zeros(final.shape[:-1], dtype=torch.int64)
    columns = torch.arange(len(starts))  # the starts that some member of the batch still works on

    value = power.step(x) - x
    damping = torch.ones_like(value[..., 0])
    done = ~torch.isfinite(value).all(-1)
    eye = torch.eye(n, dtype=x.dtype)
    for iteration in range(max_iterations + 1):
        residual = _relative(value, x)
        final[:, columns] = x.reshape(-1, len(columns), n)
        residuals[:, columns] = residual.reshape(-1, len(columns)).nan_to_num(torch.inf)
        done = done | (residual == 0)
        keep = ~done.reshape(-1, len(columns)).all(0)
        if iteration == max_iterations or not keep.any():
            break
        x, value, damping, done, residual, columns = (
            x[..., keep, :], value[..., keep, :], damping[..., keep], done[..., keep],
            residual[..., keep], columns[keep],
        )  # fmt: skip

        size = torch.linalg.vector_norm(value, dim=-1)
        mu = (damping.sqrt() * size).clamp(min=1e-9)[..., None, None]
        matrix = torch.cat([jacobian(power, x) - eye, mu * eye.expand(*x.shape, n)], dim=-2)
        target = torch.cat([-value, torch.zeros_like(value)], dim=-1).unsqueeze(-1)
        usable = torch.isfinite(matrix).all((-1, -2)) & torch.isfinite(target).all((-1, -2)) & ~done
        matrix = torch.where(usable[..., None, None], matrix, torch.cat([eye, eye]))
        step = torch.linalg.lstsq(
            matrix, torch.where(usable[..., None, None], target, 0.0)
        ).solution
        trial = x + step.squeeze(-1)
        trial_value = power.step(trial) - trial
        better = usable & (torch.linalg.vector_norm(trial_value, dim=-1) < size)  # False for NaN
        x = torch.where(better[..., None], trial, x)
        value = torch.where(better[..., None], trial_value, value)
        damping = torch.where(better, damping / 8, damping * 8).clamp(min=1e-12)
        stalled = ~better & ((residual < tolerance) | (damping > 1e16))
        counts[:, columns] += (~done).reshape(-1, len(columns))
        done = done | stalled | ~usable
    return final, residuals, counts


def _relative(difference: Tensor, x: Tensor) -> Tensor:
    return difference.abs().amax(-1) / (1 + x.abs().amax(-1))


def _distinct(x: Tensor, residual: Tensor, separation: float) -> tuple[Tensor, Tensor]:
    """Pick, for every member at once, the sharpest root left and drop what lies near it.

    Returns:
        Indices of the picked starts and the number of starts that each stands for (0 where a
        member has no more roots), both of shape ``(K, members)``.
    """
    rows = torch.arange(len(x))
    left = torch.isfinite(residual)
    picks, hits = [], []
    while left.any() or not picks:
        pick = residual.masked_fill(~left, torch.inf).argmin(-1)
        root = x[rows, pick].unsqueeze(1)
        near = left & (_relative(x - root, root) <= separation)
        picks.append(pick)
        hits.append(near.sum(-1))
        left &= ~near
    return torch.stack(picks), torch.stack(hits)


def _primitive(system: System, x: Tensor, period: int, separation: float) -> Tensor:
    """Return the smallest divisor of the period after which each state recurs, ``(members, K)``."""
    shaped = x.reshape(*system.batch_shape[:-1], -1, system.n_x)
    found = torch.full(x.shape[:-1], period)
    state = shaped
    for steps in range(1, period):
        state = system.step(state)
        if period % steps == 0:
            recurs = (_relative(state - shaped, shaped) <= separation).reshape(found.shape)
            found = torch.where(recurs & (found == period), steps, found)
    return found


def _check(system: System, starts: Tensor, period: int, max_iterations: int) -> None:
    if starts.dim() != 2 or len(starts) == 0:
        raise ValueError(
            f"starts has shape {tuple(starts.shape)}; it must be (M, {system.n_x}) with M >= 1."
        )
    if starts.dtype != torch.float64:
        raise TypeError(f"starts is {starts.dtype}; use float64, and system.to(torch.float64).")
    if period < 1 or max_iterations < 1:
        raise ValueError(
            f"period is {period} and max_iterations is {max_iterations}; both must be 1 or more."
        )
    if system.batch_shape and system.batch_shape[-1] != 1:
        raise ValueError(
            f"system has batch axes {tuple(system.batch_shape)}; the last must be 1, to broadcast "
            f"against the starts: build the family at values[:, None]."
        )

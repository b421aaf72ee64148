"""What a system settles into: fixed point, cycle, quasi-periodic orbit, chaos or divergence."""

import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics.kinds import SteadyState
from rnnlib.dynamics.lyapunov import lyapunov_spectrum
from rnnlib.dynamics.orbits import check_steps, simulate
from rnnlib.systems import System

ALIGNMENT = 100  # steps for a tangent vector to turn into the leading direction


@torch.no_grad()
def steady_state(
    system: System,
    x0: Tensor,
    *,
    burn_in: int = 2000,
    steps: int = 2000,
    max_period: int = 64,
    tolerance: float = 1e-6,
    bound: float = 1e8,
) -> SteadyState:
    """Classify where each orbit of a batch ends.

    In this order: an orbit that leaves ``bound`` or is not finite is unbounded; one that recurs
    within ``tolerance`` after p steps is a fixed point (p = 1) or a cycle. So is one whose residual
    is still shrinking at the rate of its exponent, together with those of the multiples of p (up
    to half of ``max_period``). Otherwise the sign of the largest Lyapunov exponent decides. It
    counts as zero, which makes the orbit quasi-periodic, within a margin of three standard errors
    or ``2 / steps``, whichever is larger. What remains is undetermined: an exponent that the
    margin hides because it is wider than 0.01 (raise ``steps``), or a clearly negative one without
    a period up to ``max_period`` (raise ``max_period`` or ``burn_in``).

    Args:
        system: an autonomous system (or one with its input held), with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``. Use float64.
        burn_in: how many steps to drop.
        steps: how many steps the exponent is averaged over.
        max_period: the longest period to look for.
        tolerance: on the relative residual of a recurrence.
        bound: a state with a larger component has diverged.

    Raises:
        ValueError: a negative burn-in, a ``max_period`` under 1, fewer than ten steps.
    """
    if max_period < 1:
        raise ValueError(f"max_period is {max_period}; it must be 1 or more.")
    check_steps(steps, burn_in)
    x = x0 if burn_in == 0 else simulate(system, x0, 1, burn_in=burn_in - 1)[0]
    spectrum = lyapunov_spectrum(system, x, steps, k=1, burn_in=ALIGNMENT)
    exponent, error = spectrum.exponents[..., 0], spectrum.error[..., 0]
    window = simulate(system, x, 3 * max_period, burn_in=ALIGNMENT + steps)
    size = window.abs().amax(-1)  # time, *batch
    diverged = ~(size < bound).all(0)

    early = _residuals(window[: 2 * max_period], max_period)  # period, *batch
    late = _residuals(window[max_period:], max_period)
    margin = torch.maximum(3 * error, torch.full_like(error, 2 / steps))
    # At a sink the residuals of its period and of the multiples shrink as exp(exponent t). One
    # alone, or at another rate, shrinks by chance along a cycle that is longer than all.
    rate = (late / early).log() / max_period
    fades = ((rate / exponent - 1).abs() < 0.3) & (exponent < -margin)
    shrinks = torch.zeros_like(fades)
    for p in range(1, max(1, max_period // 2) + 1):
        shrinks[p - 1] = fades[p - 1 :: p].all(0)
    recurs, nearest = late < tolerance, late.nan_to_num(torch.inf).argmin(0)
    settled = recurs.any(0)
    first = torch.where(settled, recurs.int().argmax(0), shrinks.int().argmax(0))
    first = torch.where(settled | shrinks.any(0), first, nearest)
    residual = late.gather(0, first[None])[0]
    periodic = (settled | shrinks.any(0)) & ~diverged

    period = torch.where(periodic, first + 1, 0)
    kind = np.full(tuple(period.shape), "undetermined", dtype=object)
    for name, mask in (
        ("quasi-periodic", (exponent.abs() <= margin) & (margin <= 0.01)),
        ("chaotic", exponent > margin),
        ("periodic", periodic),
        ("fixed point", period == 1),
        ("unbounded", diverged),
    ):
        kind[mask.cpu().numpy()] = name
    recurrent = periodic.cpu().numpy()
    sign = np.where((exponent > 0).cpu().numpy(), "unstable", "stable")
    stability = np.where(recurrent, np.where((exponent.abs() < 1e-6).cpu(), "neutral", sign), "")
    settled = (settled | torch.as_tensor(np.isin(kind, ("chaotic", "quasi-periodic")))) | diverged
    reason = np.full(kind.shape, "", dtype=object)
    reason[recurrent & ~settled.cpu().numpy()] = "a forecast: the residual still shrinks"
    reason[kind == "undetermined"] = "neither recurs nor has an exponent of clear sign"
    return SteadyState(
        kind.astype(str), period, stability, residual, exponent, error, settled,
        reason.astype(str), window[-1],
    )  # fmt: skip


def _residuals(window: Tensor, max_period: int) -> Tensor:
    """Return the relative residual of each period 1..max_period over the window's last half."""
    last = window[max_period:]
    scale = 1 + last.abs().amax(-1)
    return torch.stack(
        [
            ((last - window[max_period - p : len(window) - p]).abs().amax(-1) / scale).amax(0)
            for p in range(1, max_period + 1)
        ]
    )

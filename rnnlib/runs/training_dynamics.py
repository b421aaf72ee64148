"""What a network is as a dynamical system, epoch by epoch of its training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rnnlib.dynamics import (
    FLAT,
    ITERATIONS,
    STEPS,
    fixed_points,
    lyapunov_spectrum,
    multiplier,
    oscillation,
    simulate,
)
from rnnlib.systems import System

ENTRIES = 2**20  # of the weights of the networks that are simulated as one batch
STARTS, SPACING = 7, 4  # states on the orbit, one period of the fastest sine in all
COLUMNS = (
    "modulus", "angle", "exponent", "exponent_error", "second_exponent",
    "amplitude", "frequency", "mean",
)  # fmt: skip


class Dynamics(NamedTuple):
    """The fixed point and the steady state of a network through its training.

    Attributes:
        table: one row per network, with `COLUMNS`: ``modulus`` and ``angle`` of the fixed point's
            leading multiplier, the two largest Lyapunov exponents of the steady state
            (``exponent`` with ``exponent_error``, ``second_exponent``), and ``amplitude``,
            ``frequency`` and ``mean`` of its first output as in `rnnlib.dynamics.oscillation`.
        points: the fixed points, shape ``(rows, n_x)``; NaN where none was found.
    """

    table: pd.DataFrame
    points: Tensor


@torch.no_grad()
def dynamics_along(
    networks: Sequence[System],
    z: Tensor,
    start: Tensor | None = None,
    *,
    burn_in: int = 1200,
    steps: int = STEPS,
) -> Dynamics:
    """Follow the fixed point and the steady state of a network through its training.

    The orbit starts at the state 0, as in training. Where it comes to rest that is the fixed
    point. Where it does not, Newton's method starts at the fixed point of the network before; if
    that leads nowhere, at the mean of the orbit and at states on it, and the root nearest to the
    mean counts. So the point followed may change for another where it is lost in a fold.

    Args:
        networks: of one architecture, float64, each with an input.
        z: the input to hold, shape ``(n_z,)``.
        start: near the first fixed point, shape ``(n_x,)``; by default the mean of the orbit.
        burn_in: how many steps to drop.
        steps: how many to average over.
    """
    weights = sum(p.numel() for p in networks[0].theta.values())
    count = max(1, ENTRIES // max(1, weights))
    rows, points = [], [torch.full((networks[0].n_x,), torch.nan).to(z) if start is None else start]
    for first in range(0, len(networks), count):
        batch = networks[first : first + count]
        for network, state, orbit in zip(
            batch, *_steady_states(batch, z, burn_in, steps), strict=True
        ):
            before = None if state[COLUMNS.index("amplitude") - 2] < FLAT else points[-1]
            point, leading = _fixed_point(network.hold(z), before, orbit)
            rows.append([abs(leading), abs(np.angle(leading)), *state])
            points.append(point)
    return Dynamics(pd.DataFrame(rows, columns=COLUMNS), torch.stack(points[1:]))


def _steady_states(networks: Sequence[System], z: Tensor, burn_in: int, steps: int):
    """Return for each network the other columns of the table, and the orbit, ``(time, n_x)``."""
    names = networks[0].theta
    # An axis of one state each: with it the products are a fifth of the time
    theta = {key: torch.stack([n.theta[key] for n in networks]).unsqueeze(1) for key in names}
    together = networks[0].at(theta).hold(z)
    x0 = z.new_zeros(len(networks), 1, together.n_x)
    orbit = simulate(together, x0, steps, burn_in=burn_in)  # time, network, 1, n_x
    spectrum = lyapunov_spectrum(together, orbit[-1], steps, k=2, burn_in=steps // 4)
    wave = oscillation(together.read(orbit)[..., 0])
    first, second = spectrum.exponents.unbind(-1)
    columns = first, spectrum.error[..., 0], second, wave.amplitude, wave.frequency, wave.mean
    return torch.stack(columns, -1).squeeze(1).tolist(), orbit.squeeze(2).unbind(1)


def _fixed_point(system: System, before: Tensor | None, orbit: Tensor) -> tuple[Tensor, complex]:
    """Return the fixed point that continues the one before, or else one near the orbit."""
    if before is not None and before.isfinite().all():
        point, leading = multiplier(system, before)
        if point.isfinite().all():
            return point, leading
    mean = orbit.mean(0)
    near = [mean] if before is None else [mean, *orbit[-STARTS * SPACING :: SPACING]]
    roots = fixed_points(system, torch.stack(near), max_iterations=ITERATIONS).points
    if len(roots) == 0:
        return torch.full_like(mean, torch.nan), complex("nan")
    nearest = torch.linalg.vector_norm(roots - mean, dim=-1).argmin()
    return multiplier(system, roots[nearest])

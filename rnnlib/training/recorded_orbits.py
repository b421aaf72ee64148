"""What stored samples of a steady state say of it: how many ends, at rest, on a cycle or moving.

A sample is a short stretch of output from several initial states, such as
`rnnlib.OrbitRecorder` keeps. It has no exponent and may be in half precision, so
it tells less than `rnnlib.steady_state` on the network itself: an orbit that still creeps towards a
fixed point counts as moving, and one that creeps by less than the tolerance as at rest.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 4e-3  # relative; half precision keeps 11 bits, 5e-4


class Ends(NamedTuple):
    """How the orbits of each sample end.

    Attributes:
        resting: how many of the starts are at rest, shape ``(*batch,)``.
        cycling: how many are on a cycle.
        moving: how many are neither, for example on a circle, chaotic, or not settled.
        diverged: how many have a value that is not finite.
        points: how many distinct outputs the resting ones show.
        cycles: how many distinct cycles the cycling ones show.
        speed: the largest difference of two successive outputs, relative to the largest output,
            of each start, shape ``(*batch, starts)``.
    """

    resting: np.ndarray
    cycling: np.ndarray
    moving: np.ndarray
    diverged: np.ndarray
    points: np.ndarray
    cycles: np.ndarray
    speed: np.ndarray

    def describe(self, index: tuple[int, ...] = ()) -> str:
        """Return words for one sample, such as "2 fixed points, 3 of 10 starts moving"."""
        parts = []
        for name, counts in (("fixed point", self.points), ("cycle", self.cycles)):
            n = int(counts[index])
            if n:
                parts.append(f"{n} {name}{'s' if n > 1 else ''}")
        starts = self.speed.shape[-1]
        for name, counts in (("moving", self.moving), ("diverged", self.diverged)):
            n = int(counts[index])
            if n:
                parts.append(f"all {name}" if n == starts else f"{n} of {starts} starts {name}")
        return ", ".join(parts)


def ends(orbits: np.ndarray, tolerance: float = TOLERANCE) -> Ends:
    """Count the ends of orbits.

    Args:
        orbits: shape ``(*batch, steps, starts, n)``.
        tolerance: values nearer than this, relative to 1 + the largest output of the orbit, count
            as equal; a cycle must fit into half of the steps.

    Raises:
        ValueError: fewer than four steps.
    """
    *batch, steps, starts, n = orbits.shape
    if steps < 4:
        raise ValueError(f"orbits has {steps} steps; telling rest from motion needs at least 4.")
    flat = np.moveaxis(orbits, -2, -3).reshape(-1, starts, steps, n).astype(np.float64)
    rows = [_ends(sample, tolerance) for sample in flat]
    counts = np.array([row[:6] for row in rows]).T.reshape(6, *batch)
    return Ends(*counts, speed=np.array([row[6] for row in rows]).reshape(*batch, starts))


def recorded_starts(count: int, n: int, spread: float = 100.0) -> Tensor:
    """Return the initial states that a recorder starts from, for a state that is one vector.

    Args:
        count: how many, its ``states``.
        n: the dimension of the state.
        spread: their standard deviation.

    Returns:
        Shape ``(count, n)``, float64.
    """
    generator = torch.Generator().manual_seed(0)
    return spread * torch.randn(count, n, generator=generator).double()


def _ends(sample: np.ndarray, tolerance: float):
    """Count one sample of shape ``(starts, steps, n)``."""
    finite = np.all(np.isfinite(sample), axis=(1, 2))
    scale = 1 + np.abs(np.where(np.isfinite(sample), sample, 0)).max((1, 2))
    speed = np.abs(np.diff(np.where(finite[:, None, None], sample, np.nan), axis=1)).max((1, 2))
    periods = np.array([_period(s, tolerance * z) for s, z in zip(sample, scale, strict=True)])
    periods[~finite] = 0
    points = _distinct(sample[periods == 1], tolerance)
    cycles = _distinct(sample[periods > 1], tolerance)
    kinds = periods == 1, periods > 1, finite & (periods == 0), ~finite
    return *(int(kind.sum()) for kind in kinds), points, cycles, speed / scale


def _period(orbit: np.ndarray, reach: float) -> int:
    """Return the period of one orbit ``(steps, n)``, 1 at rest, 0 if none fits into half of it."""
    for period in range(1, len(orbit) // 2 + 1):
        # Over the whole stretch, so that a slow drift does not pass for rest
        rest = orbit - orbit[np.arange(len(orbit)) % period]
        if np.abs(rest).max() <= reach:
            return period
    return 0


def _distinct(orbits: np.ndarray, tolerance: float) -> int:
    """Count orbits ``(k, steps, n)`` that visit different sets of values, whatever the phase."""
    kept = []
    for orbit in orbits:
        reach = tolerance * (1 + np.abs(orbit).max())
        apart = (
            np.abs(orbit[0] - other).max(-1).min() > reach for other in kept
        )  # one point of it lies on no point of the other
        if all(apart):
            kept.append(orbit)
    return len(kept)

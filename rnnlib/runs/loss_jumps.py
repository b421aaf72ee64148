"""Whether the loss of a training run jumps where its network bifurcates.

A jump of the loss is set beside what the run's ``dynamics.csv`` says of the snapshots around it:
does a multiplier of the fixed point cross the unit circle there, does motion begin or end? Both may
crowd in the same part of a training, so what chance would do is asked of the same jumps, shifted.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from rnnlib.runs.sine_dynamics import RESTS

FACTOR, WINDOW = 3.0, 20  # times the median of so many epochs before


class Coincidence(NamedTuple):
    """Jumps of a loss, and whether the dynamics change around them.

    Attributes:
        jumps: their epochs, counted from 1, shape ``(J,)``.
        beside: whether the two snapshots around each differ in kind, shape ``(J,)``.
        changes: in how many of the intervals between snapshots the dynamics change.
        share: of the epochs covered by snapshots, how many lie in such an interval.
        chance: the share of all circular shifts of the jumps along the training that meet at least
            as many changes; NaN without jumps.
    """

    jumps: np.ndarray
    beside: np.ndarray
    changes: int
    share: float
    chance: float


def loss_jumps(loss: np.ndarray, factor: float = FACTOR, window: int = WINDOW) -> np.ndarray:
    """Return the epochs at which a loss leaps, counted from 1.

    An epoch counts if its loss exceeds the median of the epochs before it by a factor, and none of
    the ``window`` epochs before does: one excursion is one jump.

    Args:
        loss: of each epoch, shape ``(E,)``.
        factor: how far above the median.
        window: of how many epochs.

    Raises:
        ValueError: a factor of at most 1, or a window of less than one epoch.
    """
    if factor <= 1 or window < 1:
        raise ValueError(
            f"factor is {factor} and window {window}; they must be above 1 and at least 1."
        )
    loss = np.asarray(loss, dtype=float)
    if len(loss) <= window:
        return np.array([], dtype=int)
    before = np.lib.stride_tricks.sliding_window_view(loss[:-1], window)
    high = np.flatnonzero(loss[window:] > factor * np.median(before, axis=1)) + window + 1
    return high[np.diff(high, prepend=-window - 1) > window]


def changes_between(dynamics: pd.DataFrame) -> np.ndarray:
    """Return whether the dynamics change between each snapshot and the next, shape ``(rows - 1,)``.

    They do if a fixed point's leading multiplier crosses the unit circle, or is found at one of the
    two only, or if the steady state is at rest at one of them and moves at the other.

    Args:
        dynamics: from `rnnlib.runs.read_dynamics`.
    """
    modulus, moves = dynamics["modulus"].to_numpy(), dynamics["amplitude"].to_numpy() > RESTS
    side = np.where(np.isnan(modulus), 2, modulus > 1)
    return (np.diff(side) != 0) | (moves[1:] != moves[:-1])


def coincidence(
    loss: np.ndarray, dynamics: pd.DataFrame, factor: float = FACTOR, window: int = WINDOW
) -> Coincidence:
    """Set the jumps of a run's loss beside the changes of its dynamics.

    Args:
        loss: of each epoch.
        dynamics: from `rnnlib.runs.read_dynamics`.
        factor: see `loss_jumps`.
        window: as there.
    """
    epochs = dynamics["epoch"].to_numpy()
    changed = changes_between(dynamics)
    first, last = int(epochs[0]) + 1, min(int(epochs[-1]), len(loss))
    covered = np.arange(first, last + 1)
    beside = changed[np.searchsorted(epochs, covered) - 1]  # an interval ends with its snapshot
    jumps = loss_jumps(loss, factor, window)
    jumps = jumps[(jumps >= first) & (jumps <= last)]
    met = beside[jumps - first]
    chance = float("nan")
    if len(jumps):
        shifts = np.arange(len(covered))
        hits = beside[(jumps[:, None] - first + shifts) % len(covered)].sum(0)
        chance = float((hits >= met.sum()).mean())
    return Coincidence(jumps, met, int(changed.sum()), float(beside.mean()), chance)

"""Words for observed orbits: what a window of steady-state values looks like, and no more."""

import numpy as np
import scipy
import torch

from rnnlib.dynamics import oscillation

LONGEST = 64  # steps; the longest cycle to look for, as in rnnlib.steady_state
PURE = 0.95  # the part of the power that one frequency and its harmonics hold in an oscillation
FEWEST = 16  # steps


def describe(orbits: np.ndarray, tolerance: float = 1e-4) -> str:
    """Describe orbits of one system, such as "2 fixed points" or "oscillation, period 28.8 steps".

    Only the values are known, so nothing is said of exponents or of chaos. A range that shrinks or
    grows from quarter to quarter of the window is "not settled", fewer than two turns are a "slow
    change", and what neither rests nor repeats nor has a frequency of its own is "irregular".
    Several kinds are joined by a plus sign.

    Args:
        orbits: values after a burn-in, shape ``(starts, steps)``. A row with a value that is not
            finite has diverged.
        tolerance: values that differ by less, relative to ``1 + max |y|``, are the same.

    Raises:
        ValueError: another shape, or fewer than 16 steps.
    """
    orbits = np.asarray(orbits, dtype=np.float64)
    if orbits.ndim != 2 or len(orbits) == 0 or orbits.shape[1] < FEWEST:
        raise ValueError(
            f"orbits has shape {orbits.shape}; it must be (starts, steps), with {FEWEST} steps or "
            f"more."
        )
    finite = orbits[np.isfinite(orbits).all(1)]
    margin = tolerance * (1 + np.abs(finite).max(initial=0))
    points, cycles, periods, others = [], set(), [], set()
    for y in finite:
        if np.ptp(y) <= margin:
            points.append(y.mean())
        elif cycle := _cycle(y, margin):
            cycles.add(cycle)
        elif not _settled(y, period := _period(y)):
            others.add("not settled")
        elif period == np.inf:
            others.add("slow change")
        elif period:
            periods.append(period)
        else:
            others.add("irregular")

    words = []
    if points:
        count = 1 + np.count_nonzero(np.diff(np.sort(points)) > margin)
        words.append("fixed point" if count == 1 else f"{count} fixed points")
    words += [f"period {cycle}" for cycle in sorted(cycles)]
    if periods:
        low, high = min(periods), max(periods)
        alike = high < 1.03 * low  # the same to within the error of a short window
        text = f"{np.median(periods):.3g}" if alike else f"{low:.3g} to {high:.3g}"
        words.append(f"oscillation, period {text} steps")
    words += sorted(others)
    if lost := len(orbits) - len(finite):
        words.append(f"{lost} of {len(orbits)} diverged" if len(finite) else "diverged")
    return " + ".join(words)


def _cycle(y: np.ndarray, margin: float) -> int:
    """Return the period after which the values recur, at least twice, or 0."""
    for period in range(2, min(LONGEST, len(y) // 3) + 1):
        if abs(y[-1] - y[-1 - period]) <= margin:  # a quick look before the whole one
            turns = y[len(y) % period :].reshape(-1, period)
            if np.ptp(turns, axis=0).max() <= margin:
                return period
    return 0


def _settled(y: np.ndarray, period: float) -> bool:
    """Tell whether the range stays, rather than shrink or grow steadily by a fifth or more."""
    if len(y) / 4 < period < np.inf:  # a quarter of the window does not show the range
        return True
    ranges = np.array([np.ptp(quarter) for quarter in np.array_split(y, 4)])
    steady = abs(np.sign(np.diff(ranges)).sum()) < 3
    return bool(steady or ranges.min() > 0.8 * ranges.max())


def _period(y: np.ndarray) -> float:
    """Return the period of the oscillation; infinity for fewer than two turns; 0 for none.

    It is an oscillation if one frequency and its harmonics hold nearly all of the power.
    """
    steps = len(y)
    top = oscillation(torch.from_numpy(y)).frequency.item() / (2 * np.pi)  # turns a step
    if top * steps < 2:
        return np.inf
    power = np.abs(np.fft.rfft((y - y.mean()) * scipy.signal.windows.hann(steps, sym=False))) ** 2
    bins = np.arange(len(power))
    harmonics = np.arange(1, max(1, min(10, len(bins) // 20)) + 1)  # so that most bins are others
    for part in (1, 2, 3):  # the strongest may itself be a harmonic
        turns = harmonics * top / part
        lines = steps * np.abs(turns - np.round(turns))  # folded at the Nyquist frequency
        near = np.abs(bins[:, None] - lines).min(1) <= 2
        if steps * top / part >= 2 and power[near].sum() >= PURE * power.sum():
            return part / top
    return 0.0

"""How many local minima a curve has, window by window, and how fast their number grows."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rnnlib.smoothness.roughness import Fit, count_local_minima, exponential_rate


class Settled(NamedTuple):
    """Local minima per unit length around each centre, where finer sampling agreed on them.

    Attributes:
        density: shape ``(windows,)``; infinite where no window was short enough for the count to
            settle, so that a median is right as long as less than half of them are.
        length: of the window in which the count settled, shape ``(windows,)``; NaN where none did.
    """

    density: np.ndarray
    length: np.ndarray


def settled_minima(
    curve: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    *,
    longest: float,
    shortest: float = 1e-11,
    windows: int = 96,
    points: int = 128,
    refine: int = 4,
    seed: int = 0,
) -> Settled:
    """Count local minima around random centres, each in the longest window that settles.

    A window is settled if ``points`` samples and ``refine`` times as many on the same stretch
    count the same minima. One that is not is shortened, around the same centre, by
    ``10^(1/4)``. So each window is judged by itself: where a curve is rougher in some places than
    in others, an average over windows at one spacing mixes counts with artefacts.

    Args:
        curve: from coordinates ``(K,)`` to values ``(K,)``.
        low: the lower end of the interval.
        high: its upper end.
        longest: the length of the first windows.
        shortest: windows shorter than this are given up.
        windows: how many centres.
        points: the coarser of the two samplings.
        refine: the finer one has this many times as many.
        seed: of the centres.

    Raises:
        ValueError: fewer than three points, no refinement, or windows longer than the interval.
    """
    if points < 3 or refine < 2 or not 0 < shortest <= longest <= high - low:
        raise ValueError(
            f"points={points}, refine={refine}, shortest={shortest:g}, longest={longest:g}: take 3 "
            f"points or more, refine them 2 times or more, and let the windows fit into the "
            f"interval of length {high - low:g}."
        )
    half = longest / 2
    draw = np.random.default_rng(seed)
    centres = draw.uniform(low + half, high - half, windows)
    density, settled_at = np.full(windows, np.inf), np.full(windows, np.nan)
    # Irregular samples: a regular grid could be in step with the curve and see a slower one.
    cells = points * refine
    grid = (np.arange(cells + 1) + draw.uniform(-0.4, 0.4, cells + 1)) / cells - 0.5
    length, rest = longest, np.arange(windows)
    while len(rest) and length >= shortest:
        at = centres[rest, None] + length * grid
        values = np.asarray(curve(at.reshape(-1))).reshape(at.shape)
        fine = count_local_minima(values)
        agree = fine == count_local_minima(values[:, ::refine])
        density[rest[agree]], settled_at[rest[agree]] = fine[agree] / length, length
        length, rest = length / 10**0.25, rest[~agree]
    return Settled(density, settled_at)


def rate_of_medians(
    lengths: Sequence[int], values: np.ndarray, *, resamples: int = 300, seed: int = 0
) -> Fit:
    """Return the exponential rate at which the median over samples grows, with a bootstrap error.

    The samples (windows, or points on a line) are drawn again with replacement, the same ones for
    all lengths, and the rate is fitted anew; the error is the standard deviation of these rates.
    It contains the spread between samples, which the scatter of the medians about a line does not.

    Args:
        lengths: shape ``(L,)``, three or more.
        values: shape ``(L, samples)``, with positive, finite medians.
        resamples: how often to draw.
        seed: of the draws.

    Raises:
        ValueError: a median that is zero or infinite, also in one of the draws: take more samples.
    """
    values = np.asarray(values, dtype=float)
    slope = exponential_rate(lengths, np.median(values, axis=1)).slope
    draw, count = np.random.default_rng(seed), values.shape[1]
    again = [
        exponential_rate(
            lengths, np.median(values[:, draw.integers(0, count, count)], axis=1)
        ).slope
        for _ in range(resamples)
    ]
    return Fit(slope, float(np.std(again)))

import numpy as np
import pytest

from rnnlib.smoothness import chaotic_lstm_cost
from rnnlib.smoothness.minima import rate_of_medians, settled_minima


def test_every_window_of_a_sine_settles_on_its_density():
    """Hypothesis: a curve with 50 minima per unit settles, with the count of its window; a minimum
    within a sample of a window's end may cost a shorter one."""
    found = settled_minima(lambda s: np.sin(2 * np.pi * 50 * s), 0, 10, longest=0.5)
    assert (found.length == 0.5).mean() > 0.7 and np.isfinite(found.length).all()
    assert (np.abs(found.density - 50) * found.length <= 1 + 1e-9).all()  # one more or less


def test_windows_are_judged_one_by_one():
    """Hypothesis: of a curve that is slow on one side and fast on the other, the fast windows
    settle in shorter stretches, and each side gets its own density."""

    def two_sided(s):
        return np.where(s < 0, np.sin(2 * np.pi * 4 * s), np.sin(2 * np.pi * 4000 * s))

    found = settled_minima(two_sided, -1, 1, longest=0.2, windows=60, seed=1)
    fast = found.density > 200
    assert 10 < fast.sum() < 50
    assert (found.length[fast] < 0.02).all()
    assert (found.length[~fast] > 0.05).mean() > 0.8  # the others straddle the border
    shorter = 4 * np.log10(0.2 / found.length)  # by a fourth of a decade at a time
    np.testing.assert_allclose(shorter, shorter.round(), atol=1e-9)
    assert (shorter.round() % 2 == 1).any()
    assert np.median(found.density[fast]) == pytest.approx(4000, rel=0.1)
    assert np.median(found.density[~fast]) == pytest.approx(4, abs=2)


def test_noise_never_settles():
    """Hypothesis: white noise has no density of minima, and its windows say so."""
    noise = np.random.default_rng(0)
    found = settled_minima(
        lambda s: noise.random(len(s)), 0, 1, longest=0.1, shortest=1e-3, windows=20
    )
    assert np.isinf(found.density).all() and np.isnan(found.length).all()


def test_the_bootstrap_error_covers():
    """Hypothesis: of 60 data sets with a known rate, about two thirds lie within one error of it
    and nearly all within three."""
    lengths, hits = np.array([10, 20, 30, 40]), []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        # a sample keeps its own factor at all lengths, as a window keeps its place
        noise = draw.normal(size=80) + 0.8 * draw.normal(size=(4, 80))
        fit = rate_of_medians(lengths, np.exp(0.2 * lengths[:, None] + noise), resamples=60)
        hits.append(abs(fit.slope - 0.2) / fit.error)
    assert 0.5 < np.mean(np.array(hits) < 1) < 0.9
    assert np.mean(np.array(hits) < 3) > 0.95


def test_minima_of_the_chaotic_cost_multiply_at_the_pace_of_a_typical_orbit():
    """Hypothesis: the median density grows exponentially, by far slower than the largest exponent
    (0.23) and by far faster than not at all; almost every window settles."""
    lengths = (30, 45, 60)
    densities = []
    for n in lengths:
        found = settled_minima(
            lambda s, n=n: chaotic_lstm_cost.cost_along(s, n),
            0.9, 1.45, longest=2e-2, points=64, windows=200,
        )  # fmt: skip
        assert np.isfinite(found.density).mean() > 0.95
        densities.append(found.density)
    fit = rate_of_medians(lengths, np.array(densities))
    assert 0.09 < fit.slope < 0.2 and fit.error < 0.03


def test_bad_input_is_named():
    """Hypothesis: wrong arguments raise a ValueError that names them."""
    for arguments, words in (
        ({"points": 2, "longest": 0.1}, "points=2"),
        ({"refine": 1, "longest": 0.1}, "refine=1"),
        ({"longest": 2.0}, "longest=2"),
    ):
        with pytest.raises(ValueError, match=words):
            settled_minima(np.sin, 0, 1, **arguments)
    with pytest.raises(ValueError, match="positive"):
        rate_of_medians([1, 2, 3], np.zeros((3, 5)))

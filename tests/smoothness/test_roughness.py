import math
import sys

import numpy as np
import pytest
import torch

from rnnlib import cost
from rnnlib.smoothness import chaotic_lstm_cost
from rnnlib.smoothness.cost import mean_squared_error
from rnnlib.smoothness.roughness import (
    count_local_minima,
    descend,
    exponential_rate,
    measured_constants,
    minima_density,
    power_law,
    roughness_at,
)
from rnnlib.smoothness.scalar_cells import linear_cell, tanh_cell
from rnnlib.smoothness.theorem1 import cross_entropy_loss, squared_loss
from rnnlib.systems import THETA_TRUE, X0, chaotic_lstm


def test_search_finds_the_known_maximum_of_the_linear_cell():
    """Hypothesis: for x' = theta x and targets 1 the steepest point is the corner (1, -1)."""
    cell, n = linear_cell(1.0, 1.0), 16
    found = measured_constants(cell, torch.ones(n, 1).double(), [n], [squared_loss()], rounds=10)
    corners = torch.tensor([[1.0, -1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).double()
    best = roughness_at(cell, corners, torch.ones(n, 1).double(), [n], [squared_loss()])
    torch.testing.assert_close(found.l_v, best[0].amax(-1))
    torch.testing.assert_close(found.dl_v, best[1].amax(-1))


def test_search_finds_the_narrow_peak_of_the_expanding_cell():
    """Hypothesis: near the unstable fixed point the slope by x0 is at least its closed form.

    At x0 = 0, w = W, v = 1 and targets 1 it is 2/N sum W^t, within W^-N of the origin only.
    """
    w, n = 1.5, 30
    found = measured_constants(
        tanh_cell(w), torch.ones(n, 1).double(), [n], [squared_loss()], rounds=20
    )
    closed = 2 / n * sum(w**t for t in range(1, n + 1))
    assert found.l_v.item() >= closed * (1 - 1e-6)


def test_fits_recover_known_rates():
    """Hypothesis: power laws and exponentials with known exponents are fitted exactly."""
    n = np.array([4, 8, 16, 32])
    assert power_law(n, 3 * n**2.5).slope == pytest.approx(2.5)
    fit = exponential_rate(n, 0.1 * np.exp(0.3 * n))
    assert fit.slope == pytest.approx(0.3) and fit.error < 1e-10


def test_the_error_of_a_fitted_rate_covers():
    """Hypothesis: of 300 lines with noise about two thirds lie within one standard error."""
    n, draw, off = np.linspace(10, 40, 12), np.random.default_rng(0), []
    for _ in range(300):
        fit = exponential_rate(n, np.exp(0.2 * n + 0.5 * draw.normal(size=12)))
        off.append(abs(fit.slope - 0.2) / fit.error)
    assert 0.58 < np.mean(np.array(off) < 1) < 0.75  # 0.66 for 10 degrees of freedom
    assert 0.89 < np.mean(np.array(off) < 2) < 0.97


def test_the_search_says_where_it_found_each_maximum():
    """Hypothesis: at the points that are returned the norms are the constants, for each length and
    loss; longer searches find no less."""
    cell, targets = tanh_cell(1.2), torch.ones(6, 1).double()
    lengths, losses = [2, 6], [squared_loss(), cross_entropy_loss()]
    options = dict(elite=3, children=5, digits=4.0)
    few, many = (
        measured_constants(cell, targets, lengths, losses, rounds=r, **options) for r in (1, 12)
    )
    assert many.at.shape == (2, 2, 2, 3) and many.l_v.shape == many.dl_v.shape == (2, 2)
    for result in (few, many):
        for k, found in enumerate((result.l_v, result.dl_v)):
            for i in range(2):
                for j in range(2):
                    at = roughness_at(cell, result.at[k, i, j][None], targets, lengths, losses)
                    assert at[k, i, j, 0] == pytest.approx(float(found[i, j]), rel=1e-9)
    torch.manual_seed(99)  # the surroundings' random numbers have no say
    again = measured_constants(cell, targets, lengths, losses, rounds=12, **options)
    assert torch.equal(again.at, many.at)
    other = measured_constants(cell, targets, lengths, losses, rounds=12, seed=1, **options)
    assert not torch.equal(other.at, many.at)
    assert (many.l_v >= few.l_v).all() and (many.dl_v >= few.dl_v).all()
    assert (many.dl_v > few.dl_v).any()


@pytest.mark.parametrize("waves", [1, 7, 40])
def test_counter_knows_the_minima_of_a_sine(waves):
    """Hypothesis: sin(2 pi k s) has k minima on (0, 1), at any resolution that shows them."""
    for points in (200, 5001):
        s = np.linspace(0, 1, points)
        assert count_local_minima(np.sin(2 * np.pi * waves * s)) == waves


def test_counter_on_plateaus_ends_and_batches():
    """Hypothesis: a flat valley counts once, a shoulder and the ends never."""
    curves = np.array(
        [[3, 1, 1, 1, 2, 2], [3, 2, 2, 1, 1, 0], [0, 1, 2, 1, 0, 1], [0, 0, 1, 0, 0, 0]], float
    )
    found = count_local_minima(curves)
    assert found.tolist() == [1, 0, 1, 0] and found.dtype.kind == "i"
    assert count_local_minima(np.array([3, 1, 2], dtype=np.uint8)) == 1  # whose differences wrap


def test_density_of_a_sine_does_not_depend_on_a_fine_spacing():
    """Hypothesis: resolved, the density is the true one; unresolved noise gives 1 / (3 h)."""
    spacings = [1e-3, 1e-4]
    sine = minima_density(
        lambda s: np.sin(2 * np.pi * 50 * s), 0, 10, spacings, windows=50, points=2000
    )
    assert sine.mean(1) == pytest.approx([50, 50], rel=0.1)
    noise = np.random.default_rng(0)
    rough = minima_density(lambda s: noise.random(len(s)), 0, 10, [1e-3], windows=50, points=500)
    assert rough.mean() == pytest.approx(1 / (3 * 1e-3), rel=0.03)
    # each of the inner points of a window is the smallest of three with a probability of 1/3
    short = minima_density(lambda s: noise.random(len(s)), 0, 10, [1e-3], windows=9000, points=5)
    assert short.shape == (1, 9000) and short.mean() == pytest.approx(1 / (3 * 1e-3), rel=0.02)


def test_windows_of_a_density_lie_about_their_centres_inside_the_interval():
    """Hypothesis: all spacings look at the same places; the longest windows fill the interval."""
    seen = []

    def curve(s):
        seen.append(s.reshape(20, 100))
        return s

    minima_density(curve, 2.0, 3.0, [1e-2, 1e-3], windows=20, points=100)
    long, short = seen
    assert long.min() == pytest.approx(2.0) and long.max() == pytest.approx(3.0 - 1e-2)
    np.testing.assert_allclose(long[:, 50], short[:, 50])
    np.testing.assert_allclose(np.diff(short), 1e-3)


def test_descent_on_a_parabola_follows_its_closed_form():
    """Hypothesis: unclipped steps contract by 1 - rate; clipped ones have the clip's length."""
    start = torch.tensor([[4.0], [-2.0]], dtype=torch.float64)
    half = lambda p: 0.5 * p.square().sum(-1)  # noqa: E731
    free = descend(half, start, steps=5, rate=0.1)
    torch.testing.assert_close(free[-1], start * 0.9**5)
    clipped = descend(half, start, steps=3, rate=0.1, clip=1.0)
    torch.testing.assert_close(clipped[:, 0, 0], torch.tensor([4, 3.9, 3.8, 3.7]).double())


def test_clipping_does_not_touch_short_gradients():
    """Hypothesis: where no gradient exceeds the threshold the paths are the same numbers."""
    start = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    wave = lambda p: torch.cos(3 * p).sum(-1) / 3  # noqa: E731
    assert torch.equal(
        descend(wave, start, steps=20, rate=0.1),
        descend(wave, start, steps=20, rate=0.1, clip=1.001),
    )


def test_derivatives_along_the_line_match_differences_of_the_cost():
    """Hypothesis: forward derivatives by s agree with central differences of the fast cost."""
    s, h = torch.tensor([0.4, 0.8, 1.1], dtype=torch.float64), 1e-5
    first, second = chaotic_lstm_cost.derivatives_along(s, [12])
    below, here, above = (chaotic_lstm_cost.cost_along((s + d).numpy(), 12) for d in (-h, 0.0, h))
    torch.testing.assert_close(
        first[0], torch.as_tensor((above - below) / (2 * h)), rtol=1e-5, atol=1e-8
    )
    torch.testing.assert_close(
        second[0], torch.as_tensor((above - 2 * here + below) / h**2), rtol=1e-3, atol=1e-4
    )


def test_windows_of_the_whole_length_are_the_plain_cost():
    """Hypothesis: one window is the cost itself, and every windowed cost vanishes at s = 1."""
    s = np.array([0.7, 1.0, 1.2])
    assert np.array_equal(
        chaotic_lstm_cost.cost_along(s, 20, 20), chaotic_lstm_cost.cost_along(s, 20)
    )
    for m in (1, 5, 10):
        assert chaotic_lstm_cost.cost_along(s, 20, m)[1] < 1e-20


def test_windows_cost_the_mean_of_what_each_costs_from_the_true_state():
    """Hypothesis: three windows of 4 steps by hand, by another route than the fast kernel."""
    orbit, s = chaotic_lstm_cost.true_orbit(12), 1.3
    assert torch.equal(orbit[0], X0) and orbit.shape == (13, 4)
    system = chaotic_lstm(s * THETA_TRUE)
    parts = [
        float(cost(system, orbit[k], orbit[k + 1 : k + 5, :2], loss=mean_squared_error))
        for k in (0, 4, 8)
    ]
    found = chaotic_lstm_cost.cost_along(np.array([s]), 12, 4)
    assert found == pytest.approx([sum(parts) / 3], rel=1e-9)


def test_descent_along_the_line_takes_steps_of_the_clipped_slope():
    """Hypothesis: the first step by the derivative, for every threshold."""
    starts = torch.tensor([0.8, 1.2], dtype=torch.float64)
    slope = chaotic_lstm_cost.derivatives_along(starts, [12], chunk=1)[0][0]
    clip = float(slope.abs().max()) / 2
    path = chaotic_lstm_cost.descend_along(starts, 12, [torch.inf, clip], steps=2, rate=0.1)
    assert path.shape == (3, 2, 2)
    torch.testing.assert_close(path[0], starts.expand(2, 2))
    torch.testing.assert_close(path[1, 0], starts - 0.1 * slope)
    torch.testing.assert_close(path[1, 1], starts - 0.1 * slope.clamp(-clip, clip))


def test_perturbed_weights_are_as_far_off_as_they_are_said_to_be():
    """Hypothesis: the relative errors before training have the root mean square of the spread."""
    errors = chaotic_lstm_cost.recovery(4, [4], 0.05, 400, iterations=1, seed=0)
    assert errors.shape == (2, 400)
    assert float(errors[0].square().mean().sqrt()) == pytest.approx(0.05, rel=0.05)
    before, after = chaotic_lstm_cost.recovery(20, [4], 0.05, 3, iterations=15, seed=1)
    assert (after < 1e-6).all() and (before > 0.01).all()


def test_without_numba_the_costs_are_the_same(monkeypatch):
    """Hypothesis: in one window and in three, to rounding."""
    s = np.array([0.7, 1.1])
    fast = [chaotic_lstm_cost.cost_along(s, 12, window) for window in (12, 4)]
    monkeypatch.setitem(sys.modules, "rnnlib.systems.two_unit_kernel", None)  # an ImportError
    slow = [chaotic_lstm_cost.cost_along(s, 12, window) for window in (12, 4)]
    np.testing.assert_allclose(slow, fast, rtol=1e-9)


def test_chaos_multiplies_minima_and_regular_dynamics_do_not():
    """Hypothesis: in the chaotic interval their number grows with N; below it, it does not."""
    chaotic, regular = np.linspace(0.95, 1.05, 20001), np.linspace(0.4, 0.7, 20001)
    few, many = (
        int(count_local_minima(chaotic_lstm_cost.cost_along(chaotic, n))) for n in (20, 40)
    )
    assert many > 10 * few > 0
    assert count_local_minima(chaotic_lstm_cost.cost_along(regular, 200)) < 10


def test_bad_input_is_named():
    """Hypothesis: wrong arguments raise a ValueError that names them."""
    cell, one = tanh_cell(1.0), torch.zeros(1, 1, dtype=torch.float64)
    flat = lambda p: p.sum(-1)  # noqa: E731
    for call, words in (
        (lambda: count_local_minima([0.0, math.nan]), "values has 1"),
        (lambda: power_law([1, 2], [1, 2]), "values has 2"),
        (lambda: power_law([1, 2, 3], [1, -2, 3]), "positive"),
        (lambda: minima_density(np.sin, 0, 1, [1e-3], points=2), "points=2"),
        (lambda: minima_density(np.sin, 0, 1, [1.0]), "interval of length 1"),
        (lambda: descend(flat, one, steps=0, rate=1.0), "steps=0"),
        (lambda: descend(flat, one, steps=1, rate=1.0, clip=0.0), "clip=0"),
        (lambda: roughness_at(cell, one, one, [2], [squared_loss()]), "lengths run"),
        (lambda: roughness_at(cell, one.expand(1, 2), one, [1], [squared_loss()]), "shorter"),
        (lambda: chaotic_lstm_cost.cost_along(np.ones(1), 10, 3), "window is 3"),
    ):
        with pytest.raises(ValueError, match=words):
            call()

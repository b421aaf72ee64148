"""The largest exponent from a recorded series, against maps whose exponent is known."""

import math

import numpy as np
import pytest
import torch

import rnnlib
from rnnlib.systems import X0, chaotic_lstm

F64 = {"dtype": torch.float64}


def logistic(steps=2000):
    x0 = torch.tensor([0.3], **F64)
    return rnnlib.simulate(rnnlib.logistic(4.0), x0, steps, burn_in=100)[:, 0]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_logistic_map_doubles_distances_whatever_the_dimension(dimension):
    found = rnnlib.exponent_of_series(logistic(), dimension, 6)
    assert found.exponent == pytest.approx(math.log(2), abs=0.02)
    assert found.error < 0.01 and found.divergence.shape == (7,)


def test_one_coordinate_of_the_henon_map_shows_its_exponent():
    x = rnnlib.simulate(rnnlib.henon(), 0.2 * X0[:2], 3000, burn_in=100)[:, 0]
    found = rnnlib.exponent_of_series(x.numpy(), 2, 12)
    assert found.exponent == pytest.approx(0.419, abs=0.03)


def test_the_output_of_the_chaotic_lstm_shows_its_exponent_within_a_fifth():
    """Hypothesis: 0.170, known from its Jacobians; several quantities at once serve too."""
    h = rnnlib.simulate(chaotic_lstm(), X0, 4000, burn_in=200, observe="output")
    for series, dimension in ((h, 1), (h[:, 0], 3)):
        found = rnnlib.exponent_of_series(series, dimension, 20)
        assert found.exponent == pytest.approx(0.170, abs=0.034)


def test_what_is_not_chaotic_is_not_called_so():
    """Hypothesis: a circle gives 0, and noise no exponent beyond two of its errors."""
    circle = torch.sin(0.7 * torch.arange(2000, **F64))
    assert rnnlib.exponent_of_series(circle, 2, 10).exponent == pytest.approx(0, abs=1e-3)
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(0), **F64)
    for dimension in (1, 2, 3):
        found = rnnlib.exponent_of_series(noise, dimension, 10)
        assert abs(found.exponent) < 2 * found.error


def test_too_many_steps_show_in_the_error():
    """Hypothesis: once distances are those of the attractor the curve bends, and the error says
    so."""
    found = rnnlib.exponent_of_series(logistic(), 2, 25)
    assert found.exponent < 0.5 and found.error > 0.2


def test_neighbours_in_time_do_not_count():
    """Hypothesis: a slow drift has near moments next to each other; those are left out, so that a
    line has only neighbours at a distance that stays."""
    line = np.arange(2000.0)
    assert rnnlib.exponent_of_series(line, 1, 5).exponent == pytest.approx(0, abs=1e-12)
    assert rnnlib.exponent_of_series(line, 1, 5).divergence[0] == pytest.approx(math.log(11))
    near = rnnlib.exponent_of_series(line, 1, 5, separation=0)
    assert near.divergence[0] == pytest.approx(0)


def test_a_lag_takes_every_lth_measurement():
    """Hypothesis: the logistic map with lag 2 keeps its exponent per step."""
    found = rnnlib.exponent_of_series(logistic(), 2, 6, lag=2)
    assert found.exponent == pytest.approx(math.log(2), abs=0.05)


def test_the_error_covers_the_spread_between_series():
    """Hypothesis: over 40 recordings of 1500 steps of the Henon map the spread of the exponents is
    that of the reported errors, within a factor of two, and few lie further than two errors off
    their mean."""
    starts = torch.tensor([0.1, 0.1], **F64) + 1e-3 * torch.arange(40, **F64)[:, None]
    x = rnnlib.simulate(rnnlib.henon(), starts, 1500, burn_in=200)[..., 0]
    found = [rnnlib.exponent_of_series(x[:, i], 2, 8) for i in range(40)]
    exponents = np.array([one.exponent for one in found])
    errors = np.array([one.error for one in found])
    assert 0.5 < np.sqrt((errors**2).mean()) / exponents.std() < 2
    assert (np.abs(exponents - exponents.mean()) > 2 * errors).sum() <= 6


def test_the_exponent_is_the_slope_of_the_divergence_and_a_bend_is_an_error():
    """Hypothesis: half the difference between the slopes of its two halves, where that is more."""
    for steps, half in ((25, slice(14)), (24, slice(13))):
        found = rnnlib.exponent_of_series(logistic(), 2, steps)
        curve = found.divergence
        early, late, whole = (
            np.polyfit(np.arange(len(part)), part, 1)[0]
            for part in (curve[half], curve[::-1][half][::-1], curve)
        )
        assert found.exponent == pytest.approx(whole)
        assert found.error == pytest.approx(abs(early - late) / 2)


def test_a_hundred_moments_are_enough_and_whole_numbers_a_series():
    """Hypothesis: with dimension 2 and 5 steps, 106 measurements and no fewer."""
    series = logistic()[:106]
    assert math.isfinite(rnnlib.exponent_of_series(series, 2, 5).exponent)
    with pytest.raises(ValueError, match="leave 99 moments with dimension=2, lag=1 and steps=5"):
        rnnlib.exponent_of_series(series[:105], 2, 5)
    whole = (1000 * logistic()).round().long()
    found = rnnlib.exponent_of_series(whole.unique_consecutive(), 3, 5)
    assert math.isfinite(found.exponent)


def test_what_shows_no_exponent_says_why():
    with pytest.raises(ValueError, match="series repeats itself: .* at rest or periodic"):
        rnnlib.exponent_of_series(torch.arange(500) % 3, 2, 5)
    with pytest.raises(ValueError, match="series repeats itself"):
        rnnlib.exponent_of_series(torch.ones(500), 2, 5)
    with pytest.raises(ValueError, match="series has 50 steps, which leave 44 moments"):
        rnnlib.exponent_of_series(torch.rand(50), 2, 5)
    with pytest.raises(ValueError, match=r"series has shape \(2, 3, 4\)"):
        rnnlib.exponent_of_series(torch.rand(2, 3, 4), 2, 5)
    with pytest.raises(ValueError, match="all finite"):
        rnnlib.exponent_of_series(torch.full((500,), torch.nan), 2, 5)
    for name, value in (("dimension", 0), ("steps", 3), ("lag", 0), ("separation", -1)):
        arguments = {"dimension": 2, "steps": 5} | {name: value}
        with pytest.raises(ValueError, match=f"{name} is {value}; it must be"):
            rnnlib.exponent_of_series(torch.rand(500), **arguments)

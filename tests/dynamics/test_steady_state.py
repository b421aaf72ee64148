"""The classification of steady states, with its evidence."""

import math

import pytest
import torch

import rnnlib
from rnnlib import simulate
from rnnlib.systems import X0, line

F64 = {"dtype": torch.float64}


def rotation(angle: float, radius: float = 1.0) -> torch.Tensor:
    cosine, sine = math.cos(angle), math.sin(angle)
    return radius * torch.tensor([[cosine, -sine], [sine, cosine]], **F64)


def test_the_logistic_map_goes_through_all_its_kinds():
    """Hypothesis: fixed points, periods 2, 4, 3, chaos and escape at their textbook values."""
    r = torch.tensor([0.5, 2.0, 3.2, 3.5, 3.83, 3.9, 4.5], **F64)
    found = rnnlib.steady_state(rnnlib.logistic(r), torch.tensor([0.3], **F64))
    assert found.kind.tolist() == [
        "fixed point",
        "fixed point",
        "periodic",
        "periodic",
        "periodic",
        "chaotic",
        "unbounded",
    ]
    assert found.period.tolist() == [1, 1, 2, 4, 3, 0, 0]
    assert (found.residual[:5] < 1e-6).all() and found.settled[:5].all()
    assert (found.exponent[:5] < 0).all() and found.exponent[5] > 0.4
    assert found.residual[5] > 1e-2 and found.settled[5:].all()
    assert found.describe((2,)) == "period 2" and found.describe((5,)) == "chaotic"


def test_an_irrational_rotation_is_quasi_periodic_and_a_rational_one_periodic():
    """Hypothesis: the golden angle never recurs, with exponent zero; 2 pi / 7 has period 7."""
    golden = math.pi * (3 - math.sqrt(5))
    system = rnnlib.linear(torch.stack([rotation(golden), rotation(2 * math.pi / 7)]))
    found = rnnlib.steady_state(system, torch.tensor([1.0, 0.0], **F64), burn_in=100, steps=1000)
    assert found.kind.tolist() == ["quasi-periodic", "periodic"]
    assert found.period.tolist() == [0, 7]
    assert found.exponent.abs().max() < 1e-9


def test_a_slow_approach_is_forecast_and_said_to_be_unsettled():
    """Hypothesis: a spiral into a sink is a fixed point before it has arrived."""
    system = rnnlib.linear(rotation(0.3, radius=0.997))
    found = rnnlib.steady_state(
        system, torch.tensor([1.0, 0.0], **F64), burn_in=500, steps=1000, tolerance=1e-12
    )
    assert found.kind == "fixed point" and found.period == 1
    assert not found.settled and found.describe() == "fixed point, not reached yet"
    assert found.residual > 1e-12


def test_a_period_that_was_not_looked_for_is_undetermined_not_invented():
    """Hypothesis: a cycle of period 7 with max_period 6 is undetermined, with 7 it is found."""

    def ring(x):  # an attracting cycle: radius pulled to 1, angle advanced by 2 pi / 7
        radius = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        angle = torch.atan2(x[..., 1:], x[..., :1])
        angle = angle + 2 * math.pi / 7 - 0.1 * torch.sin(7 * angle) / 7
        return radius.sqrt() * torch.cat([angle.cos(), angle.sin()], dim=-1)

    system, x0 = rnnlib.from_step(ring, n_x=2), torch.tensor([0.5, 0.3], **F64)
    short, enough = (
        rnnlib.steady_state(system, x0, burn_in=500, steps=500, max_period=p) for p in (6, 7)
    )
    assert short.kind == "undetermined" and short.period == 0 and short.exponent < -0.05
    assert enough.describe() == "period 7"


def test_a_forecast_of_a_period_is_the_period():
    """Hypothesis: a contracted rotation (a cycle of any length) is forecast rightly or not at all.

    x -> 0.99 x + c mod 1 contracts but for one jump, so an orbit ends in a cycle, most of them
    longer than 64. After 500 steps a distance has shrunk to 0.007 of what it was.
    """
    c = torch.linspace(0.01, 0.99, 60, **F64)
    turn = rnnlib.from_function(
        lambda x, theta: torch.remainder(0.99 * x + theta["c"][..., None], 1), 1, {"c": c}
    )
    x0 = torch.tensor([0.1], **F64)
    early = rnnlib.steady_state(turn, x0, burn_in=100, steps=300)
    forecast = (early.period > 0) & ~early.settled
    end = simulate(turn, x0, 128, burn_in=6000)
    gaps = [(end[early.period[i], i] - end[0, i]).abs() for i in forecast.nonzero()[:, 0]]
    assert len(gaps) >= 5 and max(gaps) < 1e-12
    assert (early.period == 0).sum() > 30


def test_the_chaotic_lstm_changes_kind_along_s():
    """Hypothesis: sink, period 3, chaos, a periodic window, period 4, in this order of s."""
    s = torch.tensor([0.6, 0.8, 1.0, 1.33, 1.8], **F64)
    found = rnnlib.steady_state(line()(s), X0)
    words = [found.describe((i,)) for i in range(5)]
    assert words == ["fixed point", "period 3", "chaotic", "period 12", "period 4"]


def test_nan_is_unbounded_and_neighbours_are_untouched():
    """Hypothesis: a NaN start is classified as unbounded; the orbit beside it is not."""
    x0 = torch.tensor([[torch.nan], [0.3]], **F64)
    found = rnnlib.steady_state(rnnlib.logistic(2.5), x0, burn_in=50, steps=50)
    assert found.kind.tolist() == ["unbounded", "fixed point"]
    assert found.exponent[0].isnan()


def test_too_short_a_run_for_its_noise_is_undetermined():
    """Hypothesis: with too few steps an exponent hidden by its own error decides nothing."""
    found = rnnlib.steady_state(line()(torch.tensor(1.46, **F64)), X0, steps=100)
    assert found.kind == "undetermined"
    assert 3 * found.exponent_error > 0.01


def test_bad_arguments_name_themselves():
    """Hypothesis: wrong arguments are errors with a remedy."""
    with pytest.raises(ValueError, match="max_period is 0"):
        rnnlib.steady_state(rnnlib.henon(), torch.zeros(2, **F64), max_period=0)
    with pytest.raises(ValueError, match="burn_in is -1"):
        rnnlib.steady_state(rnnlib.henon(), torch.zeros(2, **F64), burn_in=-1)

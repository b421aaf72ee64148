import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rnnlib import simulate
from rnnlib.memory.latch import (
    escape_effort,
    hold_times,
    latch,
    measured_threshold,
    memory_state,
    pulse_threshold,
)
from rnnlib.systems import fold_bias

F64 = torch.float64
quick = settings(deadline=None, max_examples=8, derandomize=True)


def test_the_memory_state_is_a_fixed_point():
    """Hypothesis: x* = tanh(w x*)."""
    for gain in (1.001, 1.5, 2.0, 10.0):
        assert math.tanh(gain * memory_state(gain)) == pytest.approx(memory_state(gain), rel=1e-14)


@quick
@given(gain=st.floats(1.2, 4.0), duration=st.integers(1, 6))
def test_the_latch_flips_just_above_the_closed_form_pulse_and_not_just_below(gain, duration):
    """Hypothesis: simulation and the pulled-back basin boundary agree to 1e-6."""
    system, bit = latch(gain), torch.tensor([memory_state(gain)], dtype=F64)
    for factor, survives in ((1 - 1e-6, True), (1 + 1e-6, False)):
        inputs = torch.zeros(duration + 1000, 1, dtype=F64)
        inputs[:duration] = -factor * pulse_threshold(gain, duration)
        end = simulate(system, bit, 1, burn_in=duration + 999, inputs=inputs, observe="state")[0]
        torch.testing.assert_close(end, bit if survives else -bit, atol=1e-6, rtol=0)


def test_long_pulses_need_no_more_than_the_fold():
    """Hypothesis: thresholds fall with the duration, from w x* towards the fold bias."""
    heights = [pulse_threshold(2.0, d) for d in (1, 2, 5, 20, 100, 400)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == pytest.approx(2 * memory_state(2.0), rel=1e-15)
    assert 0 < heights[-1] - fold_bias(2.0) < 1e-3


def test_more_steps_of_an_escape_need_less_effort_than_one_kick():
    """Hypothesis: one kick costs (w x*)^2 / 2; the minimum falls with the steps and converges."""
    efforts = [escape_effort(2.0, steps) for steps in (1, 2, 4, 8, 12, 16)]
    assert efforts[0] == pytest.approx((2 * memory_state(2.0)) ** 2 / 2)
    assert all(b < a + 1e-6 for a, b in zip(efforts[:-1], efforts[1:], strict=True))
    assert efforts[-2] - efforts[-1] < 1e-3
    assert escape_effort(2.0) == efforts[4]  # 12 steps if nothing else is said


def test_the_measured_threshold_is_the_closed_form():
    """Hypothesis: bisection on simulations finds the same height."""
    for duration in (1, 3, 10):
        assert measured_threshold(2.0, duration) == pytest.approx(
            pulse_threshold(2.0, duration), abs=1e-9
        )


def test_strong_noise_flips_a_bit_as_often_as_its_first_kick_does():
    """Hypothesis: with one step, the share of flips is P(noise < -w x*)."""
    levels = torch.tensor([1.0, 2.0, 4.0], dtype=F64)
    mean, error = hold_times(2.0, levels, copies=40000, steps=1)
    probability = 0.5 * torch.erfc(2 * memory_state(2.0) / levels / math.sqrt(2))
    assert ((mean - 1 / probability).abs() < 4 * error).all()


def test_the_error_of_a_hold_time_covers():
    """Hypothesis: of 300 experiments about two thirds lie within one error of the closed form,
    and nearly all within two."""
    levels = torch.full((300,), 1.2, dtype=F64)
    mean, error = hold_times(2.0, levels, copies=1500, steps=1)
    probability = 0.5 * math.erfc(2 * memory_state(2.0) / 1.2 / math.sqrt(2))
    off = (mean - 1 / probability).abs() / error
    assert 0.6 < float((off < 1).double().mean()) < 0.78
    assert 0.91 < float((off < 2).double().mean()) < 0.99


def test_a_bit_that_has_flipped_stays_lost():
    """Hypothesis: survivors are counted before each step, and a return to the old sign does not
    count: with noise that drowns the bit half of what is left is lost at every step."""
    mean, _ = hold_times(2.0, torch.tensor([1e6], dtype=F64), copies=20000, steps=3)
    # (1 + 1/2 + 1/4) / (1/2 + 1/4 + 1/8)
    assert float(mean) == pytest.approx(2, rel=0.03)


def test_without_noise_the_bit_lasts():
    """Hypothesis: no flips, so an infinite estimate and no crash."""
    mean, _ = hold_times(2.0, torch.zeros(1, dtype=F64), copies=3, steps=50)
    assert torch.isinf(mean).all()


def test_weaker_noise_lengthens_the_memory_at_the_rate_of_the_least_effort():
    """Hypothesis: d ln T / d(1/sigma^2) is the effort, within the prefactor's drift."""
    levels = torch.tensor([0.6, 0.5], dtype=F64)
    mean, _ = hold_times(2.0, levels, copies=300, steps=6000)
    slope = (mean[1] / mean[0]).log() / (levels[1] ** -2 - levels[0] ** -2)
    assert float(slope) == pytest.approx(escape_effort(2.0), rel=0.15)


def test_long_work_is_shown_on_request(capsys):
    calls = {
        "latch halving": lambda shown: measured_threshold(
            2.0, 1, after=3, bisections=4, progress=shown
        ),
        "hold times step": lambda shown: hold_times(
            2.0, torch.ones(1, dtype=F64), 2, 4, progress=shown
        ),
    }
    for words, call in calls.items():
        call(False)
        assert capsys.readouterr().err == ""
        call(True)
        said = capsys.readouterr().err
        assert "4/4" in said and all(word in said for word in words.split())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memory_state(0.5), "gain is 0.5"),
        (lambda: pulse_threshold(2.0, 0), "duration is 0"),
        (lambda: pulse_threshold(0.9, 1), "gain is 0.9"),
        (lambda: measured_threshold(2.0, 0), "duration is 0"),
        (lambda: escape_effort(2.0, 0), "steps is 0"),
        (lambda: hold_times(2.0, torch.ones(1), 0, 1), "copies is 0"),
    ],
)
def test_bad_input_names_the_argument(call, message):
    """Hypothesis: the message says what was wrong."""
    with pytest.raises(ValueError, match=message):
        call()

"""Frequencies, amplitudes and phases: known signals, and a system that counts its own angle."""

import math

import pytest
import torch

from rnnlib import from_step
from rnnlib.dynamics.oscillation import frequency_response, oscillation, phase_error

F64 = torch.float64
T = torch.arange(1, 401, dtype=F64)


@pytest.mark.parametrize("phase", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(
    ("omega", "steps", "tolerance"), [(0.393, 400, 1e-6), (0.196, 400, 5e-6), (0.196, 100, 2e-3)]
)
def test_a_sine_has_its_own_frequency_amplitude_and_mean(omega, steps, tolerance, phase):
    found = oscillation(0.7 * torch.sin(omega * T[:steps] + phase) - 0.2)
    assert found.frequency == pytest.approx(omega, rel=tolerance)
    assert found.amplitude == pytest.approx(0.7, rel=2e-3)
    assert found.mean == pytest.approx(-0.2, abs=1e-2)


def test_a_weaker_harmonic_does_not_move_the_frequency():
    wave = torch.sin(0.2182 * T) + 0.4 * torch.sin(2 * 0.2182 * T + 1) + 0.2 * torch.cos(0.6546 * T)
    assert oscillation(wave).frequency == pytest.approx(0.2182, rel=1e-4)


def test_a_cycle_of_whole_period_is_told_from_its_neighbours():
    square = torch.sign(torch.sin(2 * math.pi * (T + 0.5) / 28))
    assert 2 * math.pi / oscillation(square).frequency == pytest.approx(28, abs=1e-3)


def test_signals_at_rest_or_not_finite_have_no_frequency_and_leave_the_others_alone():
    wave = torch.sin(0.3 * T)
    signals = torch.stack([wave, torch.full_like(T, 0.5), wave / (T - 7)], -1)
    found = oscillation(signals)
    assert found.frequency[0] == oscillation(wave).frequency
    assert found.frequency[1].isnan() and found.amplitude[1] < 1e-12
    assert found.mean[1] == pytest.approx(0.5)
    assert all(part[2].isnan() for part in found)


def test_a_network_that_counts_its_angle_answers_with_the_frequency_asked_for():
    clock = from_step(lambda x, z: x + z, n_x=1, n_z=1, readout=torch.sin)
    omega = torch.linspace(0.1, 0.6, 12, dtype=F64).reshape(3, 4)
    answer = frequency_response(clock, omega)
    torch.testing.assert_close(answer.frequency, omega, rtol=1e-4, atol=0)
    torch.testing.assert_close(answer.amplitude, torch.ones_like(omega), rtol=1e-3, atol=0)


def test_an_error_of_the_frequency_grows_into_a_phase_of_many_turns():
    t = torch.arange(1, 10001, dtype=F64)[:, None]
    omega, error = torch.tensor([0.2, 0.3, 0.35]), torch.tensor([1e-2, 0.0, -3e-3])
    steps, phase = phase_error(2.0 * torch.sin((omega + error) * t + 0.5) + 1.0, omega)
    assert steps[0] == 100 and steps[-1] == 10000
    expected = error * (steps[:, None] - 49.5) + 0.5  # at the middle of each window
    torch.testing.assert_close(phase, expected.double(), rtol=0, atol=0.02)


def test_a_diverged_signal_has_no_phase():
    t = torch.arange(1, 201, dtype=F64)
    y = torch.stack([torch.sin(0.2 * t), torch.full_like(t, torch.inf)], -1)
    _, phase = phase_error(y, torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(phase[:, 0], torch.zeros(2, dtype=F64), rtol=0, atol=1e-6)
    assert phase[:, 1].isnan().all()


def test_too_short_signals_are_refused_with_the_length_that_is_needed():
    with pytest.raises(ValueError, match="y has 10 steps; a frequency needs 16"):
        oscillation(torch.zeros(10))
    with pytest.raises(ValueError, match="window=100"):
        phase_error(torch.zeros(50, 1), torch.tensor([0.2]))


def test_progress_is_shown_where_it_is_asked_for(capsys):
    clock = from_step(lambda x, z: x + z, n_x=1, n_z=1, readout=torch.sin)
    for progress in (False, True):
        frequency_response(clock, torch.tensor([0.3], dtype=F64), burn_in=5, progress=progress)
        assert ("step" in capsys.readouterr().err) == progress


def test_sixteen_steps_are_enough_and_what_is_flat_is_told_by_its_amplitude():
    """Hypothesis: the frequency of 1.5e-6 sin is found, of 0.5e-6 sin it is not."""
    assert oscillation(torch.sin(1.2 * T[:16])).frequency == pytest.approx(1.2, rel=0.02)
    small = torch.stack([1.5e-6 * torch.sin(0.3 * T), 0.5e-6 * torch.sin(0.3 * T)], -1)
    found = oscillation(small)
    assert found.frequency[0] == pytest.approx(0.3, rel=1e-4) and found.frequency[1].isnan()


def test_the_highest_frequency_and_a_batch_of_any_shape_are_measured():
    """Hypothesis: up to pi, and each signal of a (2, 3) batch by itself."""
    omega = torch.tensor([[0.1, 0.5, 1.0], [2.0, 3.0, 3.1]], dtype=F64)
    found = oscillation(torch.cos(T[:, None, None] * omega))
    torch.testing.assert_close(found.frequency, omega, rtol=1e-4, atol=0)


def test_the_answer_is_that_of_the_first_output_after_the_burn_in():
    """Hypothesis: a transient of size 100 that shrinks by 1 % a step is gone after 1200 steps."""
    clock = from_step(
        lambda x, z: torch.cat(
            [x[..., :1] + z, 0.99 * x[..., 1:] + 0.01 * 100 * (x[..., :1] < 1)], -1
        ),
        n_x=2,
        n_z=1,
        readout=lambda x: torch.stack([torch.sin(x[..., 0]) + x[..., 1], 5 + 0 * x[..., 0]], -1),
    )
    omega = torch.tensor([0.2, 0.3], dtype=F64)
    answer = frequency_response(clock, omega)
    torch.testing.assert_close(answer.mean, torch.zeros(2, dtype=F64), rtol=0, atol=2e-3)
    torch.testing.assert_close(answer.amplitude, torch.ones(2, dtype=F64), rtol=1e-3, atol=0)
    early = frequency_response(clock, omega, burn_in=0, steps=100)
    assert (early.mean > 1).all()


def test_phases_are_measured_in_windows_of_any_length_and_for_any_batch():
    """Hypothesis: what is left after the last whole window is dropped; each phase is its own."""
    t = torch.arange(1, 125, dtype=F64)[:, None, None]
    omega = torch.tensor([[0.2, 0.5], [0.3, 0.7]], dtype=F64)
    phase = torch.tensor([[0.0, 1.0], [-2.0, 3.0]], dtype=F64)
    steps, found = phase_error(torch.sin(omega * t + phase), omega, window=30)
    assert steps.tolist() == [30, 60, 90, 120]
    torch.testing.assert_close(found, phase.expand(4, 2, 2), rtol=0, atol=1e-9)
    steps, one = phase_error(torch.sin(omega * t[:30] + phase), omega, window=30)
    assert steps.tolist() == [30]
    torch.testing.assert_close(one[0], phase, rtol=0, atol=1e-9)

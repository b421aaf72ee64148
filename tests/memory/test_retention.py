import math
from dataclasses import replace

import pytest
import torch

from rnnlib import from_step, linear
from rnnlib.memory.latch import latch
from rnnlib.memory.retention import Retention, probe_accuracy, probe_under_noise, retention
from rnnlib.systems import rotation

F64 = torch.float64


def by_sign(x, z=None, theta=None):
    """Two logits, for a positive and a negative first component."""
    return torch.stack([x[..., 0], -x[..., 0]], dim=-1)


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_a_turning_memory_is_lost_to_its_own_read_out_and_not_to_a_probe():
    """Hypothesis: after half a turn every answer is wrong, after a whole one right again."""
    turn = linear(rotation(math.pi / 10))
    system = from_step(lambda x, z: turn.step(x) + 0 * z, n_x=2, n_z=1, readout=by_sign)
    states = torch.cat([torch.eye(2, dtype=F64)[:1], -torch.eye(2, dtype=F64)[:1]]).repeat(20, 1)
    states = states + 0.1 * noise(40, 2)
    curve = retention(system, states, torch.arange(40) % 2, torch.zeros(20, 40, 1), [0, 10, 20])
    assert curve.read.tolist() == [1, 0, 1]
    assert curve.probe.tolist() == [1, 1, 1]
    assert curve.reach(0.9) == 0 and curve.reach(0.9, "probe") == 20


def test_a_read_out_sees_the_input_of_its_own_step():
    """Hypothesis: one that repeats its input is right at the step whose input names the class, and
    at step 0, where there was none, it is shown the first to come."""
    stay = from_step(lambda x, z: x + 0 * z[..., :1], n_x=1, n_z=2)
    echo = replace(stay, g=lambda x, z, theta: z)
    classes = torch.arange(20) % 2
    named = torch.eye(2, dtype=F64)[classes]
    inputs = torch.stack([1 - named, 1 - named, named, 1 - named])
    states = classes[:, None].double()
    assert retention(echo, states, classes, inputs, [1, 2, 3, 4]).read.tolist() == [0, 0, 1, 0]
    assert retention(echo, states, classes, inputs[2:], [0, 2]).read.tolist() == [1, 0]


def test_a_latch_answers_rightly_at_every_distance():
    cell = replace(latch(2.0), g=by_sign)
    classes = torch.arange(60) % 2
    states = torch.where(classes == 0, 0.95, -0.95).to(F64)[:, None]
    curve = retention(cell, states, classes, 0.3 * noise(500, 60, 1), [1, 50, 500])
    assert curve.read.tolist() == [1, 1, 1] and curve.probe.tolist() == [1, 1, 1]


def test_a_contraction_under_news_of_its_own_is_left_at_chance_by_both():
    """Hypothesis: with x' = x / 2 + z nothing is left after 60 independent inputs."""
    half = from_step(lambda x, z: x / 2 + z, n_x=1, n_z=1, readout=by_sign)
    classes = torch.arange(4000) % 2
    states = torch.where(classes == 0, 5.0, -5.0).to(F64)[:, None]
    curve = retention(half, states, classes, noise(60, 4000, 1), [0, 60])
    assert curve.read[0] == curve.probe[0] == 1
    assert abs(curve.read[1] - 0.5) < 0.05 and abs(curve.probe[1] - 0.5) < 0.05


def test_a_probe_sees_a_class_in_any_direction_and_none_in_noise():
    classes = torch.arange(2000) % 4
    corners = noise(4, 10, seed=1)
    assert probe_accuracy(corners[classes] + 0.1 * noise(2000, 10), classes) > 0.99
    assert abs(probe_accuracy(noise(2000, 10), classes) - 0.25) < 0.05


def test_a_probe_does_not_lean_on_directions_that_hardly_vary():
    """Hypothesis: of two components that differ by 0.01 of the class, which is 3 times as often 0,
    a probe says 0 at a ridge above the variance of their difference, and sees it below."""
    classes = (torch.arange(800) % 4 == 0).long()
    shared = noise(800, 1)
    x = torch.cat([shared, shared + 0.01 * classes[:, None]], -1)
    frequent = 1 - float(classes.double().mean())
    assert abs(probe_accuracy(x, classes) - frequent) < 0.05
    assert abs(probe_accuracy(x, classes, ridge=1e-4) - frequent) < 0.1
    assert probe_accuracy(x, classes, ridge=1e-8) == 1


def test_a_probe_does_not_take_rounding_for_memory():
    """Hypothesis: a difference of 1e-9 beside components of size 1 is not seen, one of 1 is.

    Nor does it decide between two classes that are equally frequent among the copies fitted.
    """
    classes = torch.arange(400) % 2
    for size, seen in ((1e-9, False), (1.0, True)):
        for spread in (0.0, 1e-5):
            x = 1 + size * classes[:, None].double() + spread * noise(400, 1)
            assert (probe_accuracy(x, classes) > 0.9) == seen


def test_the_reach_is_the_last_step_before_the_first_failure():
    curve = Retention(
        torch.tensor([0, 5, 10, 20]), torch.tensor([1, 0.95, 0.2, 1.0]), torch.tensor([0.5] * 4)
    )
    assert curve.reach(0.9) == 5 and curve.reach(0.1) == 20 and curve.reach(0.9, "probe") == -1


def test_a_single_state_cannot_be_probed():
    with pytest.raises(ValueError, match="1 states"):
        probe_accuracy(torch.zeros(1, 3, dtype=F64), torch.zeros(1, dtype=torch.int64))


def test_noise_shows_its_progress_on_request_and_follows_its_seed(capsys):
    stay = from_step(lambda x, z: x + 0 * z, n_x=1, n_z=1)
    classes = torch.arange(40) % 2
    states, still = classes[:, None].double(), torch.zeros(4, 40, 1, dtype=F64)
    quiet = [probe_under_noise(stay, states, classes, still, 0.5, seed) for seed in range(6)]
    assert capsys.readouterr().err == "" and len(set(quiet)) > 1
    torch.manual_seed(99)  # the surroundings' random numbers have no say
    assert probe_under_noise(stay, states, classes, still, 0.5, 3, progress=True) == quiet[3]
    shown = capsys.readouterr().err
    assert "noise" in shown and "4/4" in shown and "step" in shown


def test_noise_destroys_a_position_and_not_an_attractor():
    """Hypothesis: x' = x drifts off like a random walk, x' = tanh(2 x) keeps its sign."""
    stay = from_step(lambda x, z: x + 0 * z, n_x=1, n_z=1)
    classes = torch.arange(2000) % 2
    states = torch.where(classes == 0, 0.95, -0.95).to(F64)[:, None]
    still = torch.zeros(200, 2000, 1, dtype=F64)
    assert probe_under_noise(stay, states, classes, still, 0.0) == 1
    assert probe_under_noise(latch(2.0), states, classes, still, 0.1) > 0.99
    # after 200 steps of 0.1 the spread is 1.41; a normal distribution is below 0.95 with this share
    expected = 0.5 * (1 + math.erf(0.95 / (0.1 * 200**0.5) / 2**0.5))
    assert abs(probe_under_noise(stay, states, classes, still, 0.1) - expected) < 0.05

import numpy as np
import pytest
import torch

from rnnlib import simulate
from rnnlib.systems import logistic
from rnnlib.training.models import SequenceModel
from rnnlib.training.recorded_orbits import ends, recorded_starts
from rnnlib.training.recorders import OrbitRecorder


def sample(r, starts=(0.2, 0.3, 0.7), steps=40):
    """Orbits of the logistic map as a recorder would keep them, (steps, starts, 1)."""
    x0 = torch.tensor(starts, dtype=torch.float64)[:, None]
    orbit = simulate(logistic(torch.tensor([[r]], dtype=torch.float64)), x0, steps, burn_in=2000)
    return orbit.numpy().reshape(steps, len(starts), 1).astype(np.float16)


@pytest.mark.parametrize(
    ("r", "words"),
    [
        (2.8, "1 fixed point"),
        (3.2, "1 cycle"),
        (3.5, "1 cycle"),
        (3.9, "all moving"),
    ],
)
def test_the_logistic_map_is_told_apart_in_half_precision(r, words):
    """Hypothesis: at rest, period 2, period 4 and chaos, from 40 stored steps."""
    assert ends(sample(r)).describe() == words


def test_counts_keep_the_batch_axes():
    found = ends(np.stack([sample(2.8), sample(3.2), sample(3.9)])[:, None])
    assert found.resting.shape == (3, 1) and found.speed.shape == (3, 1, 3)
    assert found.resting[:, 0].tolist() == [3, 0, 0]
    assert found.cycling[:, 0].tolist() == [0, 3, 0] and found.moving[:, 0].tolist() == [0, 0, 3]


def test_distinct_points_are_counted_once_each():
    values = np.array([0.0, 5.0, 5.001, 7.0])
    orbit = np.broadcast_to(values[None, :, None], (10, 4, 1))
    assert ends(orbit).points == 3 and ends(orbit, tolerance=1e-5).points == 4


def test_cycles_in_different_phase_are_one():
    up = np.array([0.0, 1.0, 2.0] * 4)
    orbit = np.stack([up, np.roll(up, 1), up + 5], axis=1)[:, :, None]
    assert ends(orbit).cycles == 2


def test_a_slow_drift_is_motion():
    """Hypothesis: it is not taken for rest because each single step is small."""
    drift = np.linspace(0, 0.1, 40)[:, None, None]
    found = ends(drift)
    assert found.moving == 1 and found.speed.max() < 4e-3


def test_a_cycle_counts_if_it_is_seen_twice():
    """Hypothesis: of 10 steps a period of 5 fits into half, one of 6 does not."""
    step = np.arange(10)
    orbits = np.stack([step % 5, step % 6], axis=1)[..., None].astype(float)
    found = ends(orbits)
    assert (found.cycling, found.cycles, found.moving) == (1, 1, 1)
    assert found.describe() == "1 cycle, 1 of 2 starts moving"
    three = np.stack([step % 2, 5 + step % 2, 0 * step, 0 * step + 3, step], axis=1)[..., None]
    assert ends(three).describe() == "2 fixed points, 2 cycles, 1 of 5 starts moving"


def test_a_difference_counts_relative_to_one_and_the_largest_output():
    """Hypothesis: 3 from 1000 is less than 4e-3 of it, 3 from 100 is not; so with speeds."""
    steps = np.arange(20) % 2
    small, large = 100 + 3.0 * steps, 1000 + 3.0 * steps
    found = ends(np.stack([small, large, 0 * small], axis=1)[..., None], tolerance=4e-3)
    assert (found.cycling, found.resting) == (1, 2)
    np.testing.assert_allclose(found.speed, [3 / 104, 3 / 1004, 0], rtol=1e-12)
    apart = np.broadcast_to(np.array([1000.0, 1003.0, 100.0, 103.0])[:, None], (20, 4, 1))
    assert ends(apart, tolerance=4e-3).points == 3


def test_an_output_of_several_components_rests_if_all_do():
    """Hypothesis: cycles that share one component only are two."""
    step = np.arange(12)
    still = np.zeros(12)
    one = np.stack([still, step % 3.0], axis=1)
    two = np.stack([still + 5, step % 3.0], axis=1)
    rest = np.stack([still, still], axis=1)
    found = ends(np.stack([one, two, rest], axis=1))
    assert (found.cycles, found.points, found.moving) == (2, 1, 0)


def test_what_is_not_finite_has_diverged():
    orbit = np.zeros((10, 2, 1), dtype=np.float16)
    orbit[5, 1] = np.inf
    found = ends(orbit)
    assert found.diverged == 1 and found.resting == 1
    assert found.describe() == "1 fixed point, 1 of 2 starts diverged"
    assert found.speed[0] == 0 and np.isnan(found.speed[1])
    assert ends(np.full((4, 3, 1), np.nan)).describe() == "all diverged"


def test_three_steps_are_too_few():
    with pytest.raises(ValueError, match="at least 4"):
        ends(np.zeros((3, 2, 1)))
    assert ends(np.zeros((4, 2, 1))).resting == 2


def test_the_recorded_starts_are_those_of_the_recorder(tmp_path):
    """Hypothesis: from them a simulation gives what the recorder stores for an orthogonal RNN."""
    torch.manual_seed(0)
    model = SequenceModel("ornn", 2, 5, 3)
    z = torch.tensor([[1.0, 0.0]])
    stored = OrbitRecorder(tmp_path, z, states=4, burn_in=3, steps=2).orbit(model)[:, 0]
    system = model.system().hold(z[0].double())
    orbit = simulate(system, recorded_starts(4, 5), 2, burn_in=3, observe="output")
    torch.testing.assert_close(stored.double(), orbit, rtol=1e-4, atol=1e-3)

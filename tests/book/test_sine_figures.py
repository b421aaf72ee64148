"""What the sine's pages say of a birth and of a free run, on cases whose answer is known."""

import math

import pandas as pd
import torch

from rnnbook.oscillations import run_freely
from rnnbook.sine import birth_of
from rnnbook.stored import spread
from rnnlib.systems import System

CROSSINGS = pd.DataFrame({"before": [10, 40], "after": [20, 50], "coefficient": [-1.0, 2.0]})


def along(amplitude, modulus):
    epochs = range(0, 10 * len(amplitude), 10)
    return pd.DataFrame({"epoch": epochs, "amplitude": amplitude, "modulus": modulus})


def test_an_oscillation_that_stays_beside_a_stable_point_does_not_come_out_of_it():
    found = birth_of(along([0, 0.9, 0, 1, 1, 1], [0.9, 1.1, 0.8, 0.9, 1.2, 1.2]), CROSSINGS)
    assert found is not None
    assert found.first["epoch"] == 10 and found.stays["epoch"] == 30
    assert found.beside and len(found.moving) == 4
    assert found.later["coefficient"].tolist() == [2.0]


def test_an_oscillation_around_an_unstable_point_may_come_out_of_it():
    found = birth_of(along([0, 0, 0.3, 0.8], [0.8, 0.9, 1.1, 1.2]), CROSSINGS)
    assert found is not None and not found.beside
    assert found.first["epoch"] == found.stays["epoch"] == 20


def test_a_run_that_ends_at_rest_has_no_birth():
    assert birth_of(along([0, 1, 0], [0.9, 1.1, 0.9]), CROSSINGS) is None
    assert birth_of(along([0, 0, 0], [0.9, 0.9, 0.9]), CROSSINGS) is None


def test_a_free_run_at_another_speed_is_ahead_by_whole_turns():
    """Hypothesis: a clock that is fast by 1% is ahead by omega t / 100, at its own amplitude."""

    def turn(x, z, theta):
        angle = 1.01 * z[..., 0]
        c, s = torch.cos(angle), torch.sin(angle)
        rotated = torch.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], -1)
        return torch.where((x == 0).all(-1, keepdim=True), torch.stack([c, s], -1) / 2, rotated)

    clock = System(turn, n_x=2, n_z=1, g=lambda x, z, theta: x[..., 1:], name="clock")
    omega = torch.tensor([0.25, 0.3], dtype=torch.float64)
    ((title, steps, turns, amplitude),), at, phases, amplitudes, asked = run_freely(
        {"clock": clock}, omega, 4000
    )
    ahead = 0.01 * omega * 3950 / (2 * math.pi)  # at the middle of the last window
    assert title == "clock" and steps == int(at[-1]) == 4000 and asked is omega
    torch.testing.assert_close(phases["clock"][-1] / (2 * math.pi), ahead, atol=2e-3, rtol=0)
    torch.testing.assert_close(
        amplitudes["clock"][-1], torch.full((2,), 0.5, dtype=torch.float64), atol=5e-3, rtol=0
    )
    assert turns == f"{ahead[0]:.2f} to {ahead[1]:.2f}" and amplitude == "0.50 to 0.50"


def test_a_spread_names_its_ends_only_where_they_differ():
    assert spread([]) == "" and spread([0.25]) == "0.2500"
    assert spread([3, 1, 2], 0) == "2 (1 to 3)" and spread([1.0, 1.0]) == "1.0000"

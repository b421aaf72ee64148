"""What a disturbed oscillation remembers: a curve, a cycle and a rotation differ."""

import math

import pytest
import torch

from rnnlib import from_step, linear, logistic
from rnnlib.dynamics.phase_memory import phase_memory
from rnnlib.nn import orthogonal_rnn_step
from rnnlib.systems import NEIMARK_SACKER, System, rotation

F64 = torch.float64
START = torch.tensor([0.5, 0.3], dtype=F64)
SIZES = torch.tensor([0.1, 0.3], dtype=F64)


def test_an_attracting_curve_is_found_again_but_not_the_place_on_it():
    system = NEIMARK_SACKER.family(torch.tensor(1.2, dtype=F64))
    found = phase_memory(system, START, SIZES, points=6000)
    assert (found.to_set == 1).all()
    assert (found.to_twin < 0.1).all()


def test_an_attracting_cycle_keeps_the_time():
    clock = System(
        f=orthogonal_rnn_step,
        n_x=2,
        theta={
            "recurrent": rotation(0.9),
            "bias": torch.tensor([-0.33, 0.3], dtype=F64),
        },
    )
    found = phase_memory(clock, START, torch.tensor([0.02, 0.05], dtype=F64), points=200)
    assert (found.to_set == 1).all() and (found.to_twin == 1).all()


def test_a_rotation_forgets_no_disturbance():
    found = phase_memory(linear(rotation(1.0)), START, SIZES, points=6000, steps=200)
    assert (found.to_twin == 0).all()
    assert (found.to_set < 0.2).all()


def test_sizes_are_in_units_of_the_orbits_own_and_the_set_is_known_apart_from_the_time():
    """Hypothesis: a rotation keeps a kick as long as it is, and its distance from a circle of
    radius 3 as large as the kick's radial part: half of it or less in a third of the directions."""
    start = torch.tensor([3.0, 0.0], dtype=F64)
    options = {"points": 4000, "steps": 20, "burn_in": 10, "directions": 300}
    sizes = torch.tensor([0.02, 0.2], dtype=F64)
    kept, gone = (
        phase_memory(linear(rotation(1.0)), start, sizes, tolerance=t, **options)
        for t in (0.999, 1.001)
    )
    assert torch.equal(kept.sizes, sizes)
    assert (kept.to_twin == 0).all() and (gone.to_twin == 1).all()
    third = phase_memory(linear(rotation(1.0)), start, sizes, tolerance=0.5, **options)
    assert third.to_set.tolist() == pytest.approx([1 / 3, 1 / 3], abs=0.09)
    other = phase_memory(linear(rotation(1.0)), start, sizes, tolerance=0.5, seed=1, **options)
    assert not torch.equal(other.to_set, third.to_set)


def test_a_disturbance_is_followed_for_the_steps_asked_for():
    """Hypothesis: where its radial part halves in each step, a hundredth is left after seven steps
    (1/128), and not after six (1/64), unless the kick was along the circle."""

    def ring(x):
        radius = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (0.5 + 0.5 / radius) * (x @ rotation(math.pi * (3 - 5**0.5)).T)

    start, sizes = torch.tensor([1.0, 0.0], dtype=F64), torch.tensor([0.1], dtype=F64)
    six, seven = (phase_memory(from_step(ring, 2), start, sizes, steps=n) for n in (6, 7))
    assert seven.to_set == 1 and 0.2 < six.to_set < 0.8


def test_a_batch_of_systems_is_refused():
    with pytest.raises(ValueError, match="batch of shape"):
        phase_memory(logistic(torch.ones(3, dtype=F64)), START[:1], SIZES)


def test_progress_is_shown_where_it_is_asked_for(capsys):
    system, sizes = linear(rotation(1.0)), torch.tensor([0.5], dtype=F64)
    for progress in (False, True):
        phase_memory(system, START, sizes, points=100, steps=20, burn_in=10, progress=progress)
        assert ("step" in capsys.readouterr().err) == progress

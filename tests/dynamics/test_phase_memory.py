"""What a disturbed oscillation remembers: a curve, a cycle and a rotation differ."""

import torch

from rnnlib import linear
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

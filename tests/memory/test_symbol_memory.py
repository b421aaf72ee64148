import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnlib import from_step
from rnnlib.memory.symbol_memory import (
    evidence,
    letters,
    padding,
    places,
    state_after,
    turn,
    under_letters,
)
from rnnlib.systems import System, rotation
from rnnlib.tasks import SYMBOLS, draw_symbols

F64 = torch.float64


def four_logits(x, z=None, theta=None):
    """Outputs for pp, pq, qp, qq of a state whose components are evidence for q."""
    first, second = x.unbind(-1)
    return torch.stack([-first - second, second - first, first - second, first + second], -1)


def two_latches() -> System:
    """Reads p and q into two bits by hand: the first free one takes the letter and holds it."""

    def step(x, z):
        news = z[..., 1:2] - z[..., 0:1]  # +1 for q, -1 for p, 0 for a distractor
        free = x.abs() < 0.5
        free = torch.cat([free[..., :1], free[..., 1:] & ~free[..., :1]], -1)
        return torch.tanh(2 * x + 2 * news * free)

    return replace(from_step(step, n_x=2, n_z=6), g=four_logits)


def ring(angle) -> System:
    """Turns about the origin, whatever the letter."""
    matrix = rotation(angle)
    return replace(from_step(lambda x, z: x @ matrix.mT, n_x=2, n_z=6), g=four_logits)


@pytest.fixture(scope="module")
def shown():
    return draw_symbols(40, 50, np.random.default_rng(0))


def test_letters_are_found_by_name_and_by_number():
    assert letters("b").tolist() == letters(SYMBOLS.index("b")).tolist() == [0, 0, 0, 1, 0, 0]


def test_padding_is_made_of_distractors():
    z = padding(50, 20, np.random.default_rng(0))
    assert z.shape == (50, 20, 6) and z[..., :2].sum() == 0 and (z.sum(-1) == 1).all()
    assert (z[..., 2:].mean((0, 1)) > 0.2).all()


def test_evidence_reads_the_two_letters_off_the_four_outputs():
    """Hypothesis: logits a q1 + b q2 + const for pp, pq, qp, qq give back (a, b)."""
    first, second = 3.0, -1.5
    logits = torch.tensor([0, second, first, first + second]) + 7.0
    torch.testing.assert_close(evidence(logits), torch.tensor([first, second]))


def test_two_latches_solve_the_task_and_hold_two_bits_under_every_distractor(shown):
    """Hypothesis: four fixed points, one for each class, none of which tells less than all."""
    symbols, classes = shown
    system = two_latches()
    states = state_after(system, letters(symbols))
    assert (system.read(states, letters("a")).argmax(-1) == classes).all()
    found = under_letters(system, states, classes, "ad", followed=40, burn_in=50, steps=50)
    for ends, probe in found.values():
        assert len(ends.ends) == 4 and all(end.exponent < 0 for end in ends.ends)
        frequent = torch.bincount(classes) / len(classes)
        assert ends.bits == pytest.approx(-float((frequent * frequent.log2()).sum()))
        assert probe == 1


def test_as_many_states_are_followed_and_probed_as_are_asked_for(shown):
    """Hypothesis: sequences beyond these have no say, right or wrong."""
    symbols, classes = shown
    states = state_after(two_latches(), letters(symbols))
    wrong = classes.clone()
    wrong[12:] = classes[12:].roll(1)
    options = dict(followed=12, probed=12, burn_in=50, steps=50)
    (few,) = under_letters(two_latches(), states, wrong, "b", **options).values()
    assert len(few.held.labels) == 12 and few.held.bits > 1
    shares = torch.bincount(classes[:12]) / 12
    assert few.held.bits == pytest.approx(
        -float(torch.special.xlogy(shares, shares).sum()) / math.log(2)
    )
    (many,) = under_letters(
        two_latches(), states, wrong, "b", **(options | {"probed": 40})
    ).values()
    assert many.probe < few.probe


def test_the_places_lie_in_the_corners_with_unstable_points_between(shown):
    symbols, classes = shown
    system = two_latches()
    found = under_letters(
        system, state_after(system, letters(symbols)), classes, "c", burn_in=50, steps=50
    )
    there = places(system, symbols[:, :12], found, first=39, steps=60)["c"]
    assert there.path.shape == (11 + 60, 12, 4) and there.end == 10
    assert (there.path[there.end].argmax(-1) == classes[:12]).all()
    corners = evidence(torch.cat(there.attractors))
    assert len(corners) == 4 and (corners.abs() > 1).all()
    # of the nine roots of two tanh(2 x) five have a zero
    assert len(there.unstable) == 5 and (evidence(there.unstable).abs().amin(-1) < 1e-6).all()


def test_a_turn_is_counted_in_steps():
    for angle in (0.1, 0.5, -0.3):
        states = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=F64)
        assert turn(ring(angle), states, "a", burn_in=10) == pytest.approx(
            2 * math.pi / abs(angle), rel=1e-3
        )

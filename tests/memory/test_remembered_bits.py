import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rnnlib import from_step, linear
from rnnlib.memory.latch import latch, memory_state
from rnnlib.memory.remembered_bits import (
    ELSEWHERE,
    SAME,
    common_fate,
    groups,
    held,
    mutual_information,
)
from rnnlib.systems import FLIP, System, fold_bias, rotation

F64 = torch.float64
quick = settings(deadline=None, max_examples=30, derandomize=True)


def letters(step) -> System:
    """A map of the line with two letters as input."""
    return from_step(step, n_x=1, n_z=2)


def entropy(p):
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


@quick
@given(kinds=st.integers(1, 9), repeats=st.integers(1, 5))
def test_labels_that_name_each_other_share_their_whole_entropy(kinds, repeats):
    """Hypothesis: for k equally frequent kinds that is log2 k bits, whatever they are called."""
    first = torch.arange(kinds).repeat(repeats)
    assert mutual_information(first, 7 - 3 * first) == pytest.approx(math.log2(kinds), abs=1e-12)


def test_independent_labels_share_nothing():
    """Hypothesis: 0 bits if every pair of labels is equally frequent."""
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(3))
    assert mutual_information(*pairs.T) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("flipped", [0, 1, 10, 50])
def test_a_noisy_bit_keeps_what_a_binary_symmetric_channel_lets_through(flipped):
    """Hypothesis: with a share p of errors 1 - H(p) bits are left."""
    sent = torch.arange(200) % 2
    received = sent.clone()
    received[: 2 * flipped] = 1 - received[: 2 * flipped]  # as many of either kind
    expected = 1 - entropy(flipped / 100)
    assert mutual_information(sent, received) == pytest.approx(expected, abs=1e-12)


def test_labels_of_different_numbers_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\) and second \(2,\)"):
        mutual_information(torch.arange(3), torch.arange(2))


def test_states_within_the_tolerance_form_one_group():
    x = torch.tensor([[0.0], [5.0], [1e-4], [5.0 + 4e-3], [5.1], [math.nan]], dtype=F64)
    assert groups(x).tolist() == [0, 1, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("gain", "push", "ends", "bits"),
    [(2.0, 0.0, 2, 1.0), (2.0, 0.5, 2, 1.0), (2.0, 0.6, 1, 0.0), (0.9, 0.0, 1, 0.0)],
)
def test_a_latch_holds_one_bit_until_the_push_passes_the_fold(gain, push, ends, bits):
    """Hypothesis: two fixed points and 1 bit for gain > 1 and a push below the fold, else none."""
    assert not (gain == 2 and (push < fold_bias(2.0)) != (ends == 2))
    states = torch.tensor([[0.9], [0.7], [-0.9], [-0.7]], dtype=F64)
    found = held(latch(gain), torch.tensor([push], dtype=F64), states, torch.arange(4) // 2)
    assert len(found.ends) == ends and found.bits == pytest.approx(bits, abs=1e-12)
    assert all(end.exponent < 0 for end in found.ends)
    assert f"{ends} fixed point" in found.describe()


def test_the_two_phases_of_one_cycle_are_one_end():
    """Hypothesis: opposite starts of x' = tanh(-2 x) share the cycle, and tell nothing."""
    flip = FLIP.family(torch.tensor(2.0, dtype=F64))
    cell = from_step(lambda x, z: flip.step(x) + 0 * z, n_x=1, n_z=1)
    states = torch.tensor([[0.5], [-0.5], [0.4]], dtype=F64)
    found = held(cell, torch.zeros(1, dtype=F64), states, torch.tensor([0, 1, 0]), steps=100)
    assert found.labels.tolist() == [0, 0, 0]
    assert found.ends[0].period == 2 and found.bits == pytest.approx(0, abs=1e-12)


def test_the_end_with_the_most_states_comes_first_and_knows_its_reach():
    """Hypothesis: of a latch's two ends that of three states has label 0, whoever came first."""
    states = torch.tensor([[-0.9], [0.9], [0.7], [0.5]], dtype=F64)
    found = held(latch(2.0), torch.zeros(1, dtype=F64), states, torch.arange(4), burn_in=50)
    assert found.labels.tolist() == [1, 0, 0, 0]
    assert [int(end.points.sign()) for end in found.ends] == [1, -1]
    bit = memory_state(2.0)
    for end in found.ends:
        assert end.period == 1 and end.points.abs() == pytest.approx(bit)
        assert end.reach == pytest.approx(SAME * (1 + bit))
    coarse = held(
        latch(2.0), torch.zeros(1, dtype=F64), states, torch.arange(4), burn_in=50, tolerance=2.0
    )
    assert coarse.labels.tolist() == [0, 0, 0, 0] and coarse.ends[0].reach == pytest.approx(
        2 * (1 + bit)
    )


def test_a_cycle_keeps_its_points():
    """Hypothesis: all starts of x' = tanh(-3 x) come to the same two points, opposite in sign."""
    flip = from_step(lambda x, z: torch.tanh(-3 * (x - z)) + z, n_x=1, n_z=1)
    states = torch.tensor([[0.5], [-0.5], [0.6]], dtype=F64)
    found = held(flip, torch.zeros(1, dtype=F64), states, torch.arange(3), max_period=8)
    (cycle,) = found.ends
    assert cycle.period == 2 and cycle.points.shape == (2, 1)
    assert float(cycle.points.sum()) == pytest.approx(0, abs=1e-9)
    assert found.describe() == "1 period 2"


def test_what_has_not_come_to_rest_within_the_budget_is_on_no_end():
    """Hypothesis: a forecast is no end, and is told as not settled."""
    slow = from_step(lambda x, z: (1 - 1e-4) * x + 0 * z, n_x=1, n_z=1)
    states = torch.tensor([[1.0], [0.0]], dtype=F64)
    found = held(
        slow, torch.zeros(1, dtype=F64), states, torch.arange(2), burn_in=10, steps=64, budget=200
    )
    assert found.labels.tolist() == [ELSEWHERE, 0]
    assert found.kinds.tolist() == ["not settled", "fixed point"]
    assert found.describe() == "1 fixed point; 1 of 2 states not settled"


def test_a_rotation_has_no_end_to_be_on():
    turn = linear(rotation(1.0))
    cell = from_step(lambda x, z: turn.step(x) + 0 * z, n_x=2, n_z=1)
    states = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=F64)
    found = held(cell, torch.zeros(1, dtype=F64), states, torch.arange(2), burn_in=10)
    assert found.labels.tolist() == [ELSEWHERE, ELSEWHERE] and found.ends == ()
    assert found.describe() == "no fixed point; 2 of 2 states quasi-periodic"


def test_distances_in_a_linear_contraction_shrink_at_its_rate_under_any_input():
    """Hypothesis: they are 2^-k times what they were, and all states merge into one group."""
    half = from_step(lambda x, z: x / 2 + z, n_x=1, n_z=1)
    states = torch.tensor([[0.0], [1.0], [4.0], [5.0]], dtype=F64)
    inputs = torch.randn(40, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    fate = common_fate(half, states, torch.arange(4) // 2, inputs, [0, 3, 40])
    torch.testing.assert_close(fate.within, torch.tensor([1.0, 1 / 8, 2.0**-40], dtype=F64))
    torch.testing.assert_close(fate.between[1:] / fate.between[0], 2.0 ** -fate.steps[1:].double())
    assert fate.groups.tolist() == [4, 4, 1]
    assert fate.bits.tolist() == pytest.approx([1, 1, 0], abs=1e-12)


def test_a_latch_keeps_the_bit_and_drops_the_rest_under_common_noise():
    """Hypothesis: two groups and one bit, though the input never rests."""
    noise = 0.3 * torch.randn(200, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    states = torch.linspace(0.6, 1.2, 8, dtype=F64)[:, None]
    states = torch.cat([states, -states])
    fate = common_fate(latch(2.0), states, torch.arange(16) // 8, noise, [0, 200])
    assert fate.groups.tolist() == [16, 2] and fate.bits[1] == pytest.approx(1)
    assert fate.within[1] < 1e-9 < 1 < fate.between[1]


def test_a_bit_that_each_letter_keeps_can_be_lost_in_their_mixture():
    """Hypothesis: two attractors under each constant letter do not make a memory under both."""

    def pull(x, z):
        of_a = torch.where(x > 0, 1.0, -1.0)
        of_b = torch.where(x > 1.5, 3.0, -0.5)
        return x + 0.8 * (z[..., :1] * of_a + z[..., 1:] * of_b - x)

    system, either = letters(pull), torch.eye(2, dtype=F64)
    for z, starts in zip(either, ([-1.0, 1.0], [-0.5, 3.0]), strict=True):
        states = torch.tensor(starts, dtype=F64)[:, None]
        found = held(system, z, states, torch.arange(2), burn_in=50, steps=50)
        assert found.bits == pytest.approx(1)
    states = torch.tensor([[-1.0], [1.0], [3.0]], dtype=F64)
    fate = common_fate(system, states, torch.arange(3), either.repeat(50, 1), [100])
    assert fate.groups.tolist() == [1]


@pytest.mark.parametrize("steps", [[], [3, 3], [5, 2], [-1, 2], [0, 11]])
def test_steps_that_are_out_of_order_or_range_are_refused(steps):
    states, classes = torch.zeros(2, 1, dtype=F64), torch.arange(2)
    with pytest.raises(ValueError, match="increasing numbers from 0 to 10"):
        common_fate(latch(2.0), states, classes, torch.zeros(10, 1, dtype=F64), steps)

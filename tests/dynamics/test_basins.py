import math
import sys

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rnnlib import from_function, henon, linear, logistic, simulate
from rnnlib.dynamics.basins import DIVERGENT, UNDECIDED, basins, find_attractor, starts_on_plane
from rnnlib.dynamics.fixed_points import fixed_points, starts_in_box
from rnnlib.memory import memory_state
from rnnlib.systems import NEIMARK_SACKER, THETA_TRUE, chaotic_lstm, elman, one_unit, rotation

F64 = torch.float64
E2 = torch.eye(2, dtype=F64)
quick = settings(deadline=None, max_examples=3, derandomize=True)


def plane(extent, resolution):
    return starts_on_plane(torch.zeros(2, dtype=F64), E2[0], E2[1], extent, resolution)


def line(extent, count):
    return extent * torch.arange(1 - count, count, 2, dtype=F64)[:, None] / (count - 1)


@quick
@given(gain=st.floats(1.2, 4.0))
def test_by_symmetry_each_fixed_point_of_the_pitchfork_has_half_of_the_line(gain):
    """Hypothesis: the basins of +-x* are x > 0 and x < 0, exactly."""
    starts = line(2.0, 100)  # an even number: 0 is not among them
    result = basins(one_unit(gain), starts)
    assert result.shares.tolist() == [0.5, 0.5]
    positive = result.labels[-1]
    assert ((starts[:, 0] > 0) == (result.labels == positive)).all()
    ends = torch.stack([a.points[0] for a in result.attractors]).abs()
    torch.testing.assert_close(
        ends, torch.full((2, 1), memory_state(gain), dtype=F64), atol=1e-9, rtol=0
    )


def test_a_start_on_the_repeller_is_left_undecided():
    """Hypothesis: 0 recurs but attracts no neighbourhood, so it is no attractor."""
    result = basins(one_unit(2.0), line(1.0, 101))
    assert len(result.attractors) == 2
    assert result.labels[50] == UNDECIDED and (result.labels == UNDECIDED).sum() == 1
    assert result.shares.sum() == pytest.approx(100 / 101)


def test_four_fixed_points_share_the_plane_by_quadrants():
    """Hypothesis: two uncoupled latches hold two bits."""
    result = basins(elman(2 * E2), plane(1.0, 30))
    assert result.shares.tolist() == [0.25] * 4
    for rows in (slice(0, 15), slice(15, 30)):
        for columns in (slice(0, 15), slice(15, 30)):
            assert result.labels[rows, columns].unique().numel() == 1


def test_a_cycle_and_two_fixed_points_are_told_apart():
    """Hypothesis: every start ends where a long simulation by itself ends."""
    system = elman(
        torch.tensor([[-0.3, 2.0], [1.6, 0.7]], dtype=F64), torch.tensor([0.1, 0.1], dtype=F64)
    )
    starts = plane(2.0, 9)
    result = basins(system, starts)
    assert sorted(a.describe() for a in result.attractors) == [
        "fixed point",
        "fixed point",
        "period 2",
    ]
    for index in ((0, 0), (0, 8), (8, 8)):
        alone = find_attractor(system, starts[index], burn_in=500)
        same = result.attractors[result.labels[index]]
        assert alone.describe() == same.describe()
        assert same.distance(alone.points).max() < 1e-6


def test_logistic_starts_outside_the_unit_interval_diverge():
    """Hypothesis: the period-2 orbit attracts almost all of (0, 1)."""
    result = basins(
        logistic(3.2), torch.tensor([[-0.5], [0.1], [0.45], [0.9], [1.5], [torch.nan]], dtype=F64)
    )
    assert result.labels.tolist() == [DIVERGENT, 0, 0, 0, DIVERGENT, DIVERGENT]
    assert result.attractors[0].describe() == "period 2"


def test_henon_has_one_chaotic_attractor_and_a_basin_with_an_outside():
    """Hypothesis: its saddle on the attractor's edge is inside the closure, far starts diverge."""
    result = basins(henon(), plane(2.0, 25))
    assert [a.kind for a in result.attractors] == ["chaotic"]
    assert result.attractors[0].exponent == pytest.approx(0.4193, abs=0.05)
    assert (result.labels == DIVERGENT).any() and not (result.labels == UNDECIDED).any()


def test_two_symmetric_chaotic_attractors_are_two():
    """Hypothesis: an odd map, chaotic on an interval off 0, has one on each side."""
    system = from_function(
        lambda x, theta: x.sign() * (0.5 + 3.9 * (x.abs() - 0.5) * (1.5 - x.abs())), 1
    )
    starts = torch.cat(
        [-0.55 - 0.9 * torch.rand(20, 1, dtype=F64), 0.55 + 0.9 * torch.rand(20, 1, dtype=F64)]
    )
    result = basins(system, starts)
    assert [a.kind for a in result.attractors] == ["chaotic", "chaotic"]
    assert result.labels[:20].unique().numel() == 1 and result.labels[20:].unique().numel() == 1


def test_an_orthogonal_map_has_no_attractor_but_the_plane_so_nothing_is_labelled():
    """Hypothesis: neutral circles recur or not, but do not attract."""
    for angle in (1.0, 2 * math.pi / 5):
        with pytest.warns(UserWarning, match="34 undecided starts were not examined"):
            result = basins(linear(rotation(angle)), plane(1.0, 6), max_attractors=2)
        assert result.unexamined == 34 and "raise max_attractors" in result.describe()
        assert result.attractors == () and (result.labels == UNDECIDED).all()
    with pytest.warns(UserWarning, match="14 undecided"):
        assert basins(linear(E2), plane(1.0, 4), max_attractors=2).attractors == ()


def test_an_invariant_circle_attracts_the_plane_but_for_the_origin():
    """Hypothesis: beyond Neimark-Sacker one circle remains."""
    result = basins(NEIMARK_SACKER.family(torch.tensor(1.3, dtype=F64)), plane(1.5, 11))
    assert [a.kind for a in result.attractors] == ["quasi-periodic"]
    assert (result.labels == UNDECIDED).nonzero().tolist() == [[5, 5]]


def test_the_chaotic_lstm_at_three_quarters_has_two_attractors():
    """Hypothesis: at s = 0.76 the stable origin and a stable 3-cycle coexist."""
    system = chaotic_lstm(0.76 * THETA_TRUE)
    e = torch.eye(4, dtype=F64)
    result = basins(system, starts_on_plane(0 * e[0], e[2], e[3], 2.0, 15))
    assert [a.describe() for a in result.attractors] == ["period 3", "fixed point"]
    assert result.attractors[1].points.abs().max() < 1e-6
    cycle = fixed_points(system, starts_in_box(-0.3, 0.3, 100, 4), period=3)
    stable = cycle.points[torch.as_tensor(cycle.stability == "stable") & (cycle.period == 3)]
    assert len(stable) == 3 and result.attractors[0].distance(stable).max() < 1e-8


def test_orbits_that_creep_to_one_point_have_one_attractor_with_its_exact_exponent():
    """Hypothesis: at a multiplier of 0.9998 sixteen orbits are far from their limit, and known."""
    slow = torch.tensor([0.9998, 0.99, 0.5], dtype=F64)
    system = from_function(lambda x, theta: slow * x - 1e-5 * x**3, 3)
    starts = starts_in_box(0.1, 1, 16, 3)
    result = basins(system, starts, burn_in=50, rounds=3)
    assert [a.describe() for a in result.attractors] == ["fixed point"]
    assert (result.labels == 0).all() and result.shares.tolist() == [1.0]
    attractor = result.attractors[0]
    assert attractor.exponent == pytest.approx(math.log(0.9998), rel=1e-9)
    assert attractor.points.abs().max() < 1e-9
    assert attractor.distance(simulate(system, starts, result.steps)[-1]).min() > attractor.reach
    assert "1.000 of the starts: fixed point" in result.describe()


def test_a_state_on_its_way_past_a_fixed_point_is_not_drawn_in():
    """Hypothesis: where the nonlinear part rules nothing is foreseen."""
    system = from_function(lambda x, theta: x - 0.001 * x + x**3, 1)
    attractor = find_attractor(system, torch.tensor([1e-3], dtype=F64))
    assert attractor.describe() == "fixed point"
    inside, outside = torch.tensor([[0.005]], dtype=F64), torch.tensor([[0.04]], dtype=F64)
    assert attractor.draws_in(system, inside).all()
    assert not attractor.draws_in(system, outside).any()  # it leaves: 0.04 > sqrt(0.001)


def test_a_slow_oscillation_is_an_attractor():
    """Hypothesis: van der Pol in steps of 0.05 turns in some 133 steps around a repelling point."""

    def step(x, theta, dt=0.05):
        a, b = x.unbind(-1)
        return torch.stack([a + dt * b, b + dt * ((1 - a * a) * b - a)], -1)

    starts = torch.randn(4, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    result = basins(from_function(step, 2), starts, burn_in=1000)
    assert [a.kind for a in result.attractors] == ["quasi-periodic"]
    assert (result.labels == 0).all()


def test_basins_that_are_interrupted_keep_what_is_labelled(monkeypatch):
    """Hypothesis: one attractor is known by then; the other starts are undecided."""
    module, calls = sys.modules[basins.__module__], []
    find = module.find_attractor

    def stop_later(*arguments, **options):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return find(*arguments, **options)

    monkeypatch.setattr(module, "find_attractor", stop_later)
    with pytest.warns(UserWarning, match="interrupted"):
        result = basins(one_unit(2.0), line(1.0, 10))
    assert result.interrupted and len(result.attractors) == 1
    assert result.labels.tolist() == [0] * 5 + [UNDECIDED] * 5


def test_basins_are_found_on_the_device_of_the_system():
    """Hypothesis: with every tensor that names no device made elsewhere, both are found."""
    system, starts = one_unit(2.0), line(1.0, 10)
    with torch.device("meta"):
        result = basins(system, starts)
    assert result.labels.device.type == "cpu" and result.shares.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: basins(one_unit(torch.ones(2, dtype=F64)), line(1.0, 4)), "batch of shape"),
        (lambda: basins(one_unit(2.0), plane(1.0, 2)), "x0 has shape"),
        (lambda: plane(1.0, 1), "resolution is 1"),
        (lambda: basins(one_unit(2.0), line(1.0, 4), burn_in=0), "burn_in is 0"),
        (lambda: basins(one_unit(2.0), line(1.0, 4), rounds=0), "rounds is 0"),
        (lambda: basins(one_unit(2.0), line(1.0, 4), tries=0), "tries is 0"),
        (lambda: find_attractor(one_unit(2.0), torch.zeros(1, dtype=F64), steps=0), "steps is 0"),
        (lambda: find_attractor(one_unit(2.0), torch.zeros(2, dtype=F64)), "x0 has shape"),
    ],
)
def test_bad_input_names_the_argument(call, message):
    """Hypothesis: the message says what was wrong."""
    with pytest.raises(ValueError, match=message):
        call()


def test_a_start_that_diverges_has_no_attractor():
    """Hypothesis: None, not a crash."""
    assert find_attractor(logistic(3.2), torch.tensor([2.0], dtype=F64)) is None

import math
import sys

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rnnlib import from_function, henon, linear, logistic, simulate
from rnnlib.dynamics.basins import (
    DIVERGENT,
    UNDECIDED,
    Attractor,
    basins,
    find_attractor,
    starts_on_plane,
)
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
        with pytest.warns(UserWarning, match="14 undecided starts were not examined") as caught:
            result = basins(linear(rotation(angle)), plane(1.0, 4), max_attractors=2)
        assert caught.pop(UserWarning).filename == __file__  # it points at the call
        assert result.unexamined == 14 and "raise max_attractors" in result.describe()
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


@pytest.mark.parametrize("after", [1, 100, 3000, 5000, 8000, 12_000])
def test_an_interrupt_at_any_place_ends_the_search_and_is_told(after):
    """Hypothesis: also one inside of what the search calls is not taken for that one's result."""
    left = [after]

    def step(x, theta):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return 4 * x * (1 - x)

    starts = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)[:, None]
    with pytest.warns(UserWarning, match="interrupted"):
        result = basins(from_function(step, 1), starts)
    assert result.interrupted
    assert set(result.labels.tolist()) <= {0, -2} and len(result.labels) == 5


def test_basins_are_found_on_the_device_of_the_system():
    """Hypothesis: with every tensor that names no device made elsewhere, both are found."""
    system, starts = one_unit(2.0), line(1.0, 10)
    with torch.device("meta"):
        result = basins(system, starts)
    assert result.labels.device.type == "cpu" and result.shares.tolist() == [0.5, 0.5]


def test_a_grid_runs_along_its_first_direction_in_each_row():
    """Hypothesis: center + a first + b second, columns follow a, rows b, both from below."""
    first, second = torch.tensor([1.0, 0, 2], dtype=F64), torch.tensor([0, 1.0, 0], dtype=F64)
    grid = starts_on_plane(torch.tensor([5.0, 6, 7], dtype=F64), first, second, 0.5, 3)
    for row, b in enumerate((-0.5, 0, 0.5)):
        for column, a in enumerate((-0.5, 0, 0.5)):
            assert grid[row, column].tolist() == [5 + a, 6 + b, 7 + 2 * a]
    assert torch.equal(plane(2.0, 7), -plane(2.0, 7).flip(0, 1))  # symmetric to the last bit


@pytest.mark.parametrize("count", [3, 64, 65])
def test_the_distance_is_that_to_the_nearest_point_however_many_there_are(count):
    """Hypothesis: of points on the x-axis at 0, 1, 2, ...; of what is not finite it is infinite."""
    points = torch.stack([torch.arange(count, dtype=F64), torch.zeros(count, dtype=F64)], -1)
    attractor = Attractor("periodic", count, points, -1.0, 0.1)
    x = torch.tensor([[[1.0, 1e-9], [-3.0, 4.0]], [[torch.nan, 0], [0, torch.inf]]], dtype=F64)
    assert attractor.distance(x).tolist() == [[1e-9, 5.0], [torch.inf, torch.inf]]


def test_each_round_is_twice_as_long_and_an_open_start_is_followed_to_the_end():
    """Hypothesis: the start on the repeller takes all of 10 + 20 + 40 steps."""
    assert basins(one_unit(2.0), line(1.0, 11), burn_in=10, rounds=3).steps == 70
    assert basins(one_unit(2.0), line(1.0, 10), burn_in=10, rounds=3).steps == 10


def test_no_more_attractors_are_looked_for_than_allowed_and_what_is_left_is_said():
    """Hypothesis: of the four of two latches two are found; the other half is undecided."""
    with pytest.warns(
        UserWarning, match="8 undecided starts were not examined, as max_attractors=2"
    ):
        result = basins(elman(2 * E2), plane(1.0, 4), max_attractors=2)
    assert len(result.attractors) == 2 and result.shares.tolist() == [0.25, 0.25]
    assert (result.labels == UNDECIDED).sum() == 8 and result.unexamined == 8
    assert "0.500 of the starts: undecided" in result.describe()
    found = basins(elman(2 * E2), plane(1.0, 4), max_attractors=4)
    assert len(found.attractors) == 4 and found.unexamined == 0


def test_attractors_come_in_the_order_of_their_shares():
    """Hypothesis: of three starts two end on the second one met."""
    starts = torch.tensor([[-0.5], [0.2], [0.3]], dtype=F64)
    result = basins(one_unit(2.0), starts)
    assert result.labels.tolist() == [1, 0, 0]
    assert result.shares.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert result.attractors[0].points.item() > 0 > result.attractors[1].points.item()


def test_a_state_beyond_the_bound_has_diverged():
    """Hypothesis: the bound is on the largest component, and at it the orbit has left."""
    still = from_function(lambda x, theta: x / 2, 1)
    far = torch.tensor([[8.0], [-8.0], [7.0]], dtype=F64)
    assert basins(still, far, burn_in=1, bound=4.0).labels.tolist() == [DIVERGENT, DIVERGENT, 0]
    assert find_attractor(still, far[0], burn_in=1, bound=4.0) is None
    assert find_attractor(still, far[2], burn_in=1, bound=4.0).kind == "fixed point"
    ends = [find_attractor(still, 2.7e7 * start, burn_in=1) for start in far]
    assert [end is None for end in ends] == [True, True, False]
    assert basins(still, 2.7e7 * far, burn_in=1).labels.tolist() == [DIVERGENT, DIVERGENT, 0]


def test_the_reach_of_a_cycle_is_a_part_of_its_size():
    """Hypothesis: separation times 1 + the largest norm of its points."""
    cycle = find_attractor(logistic(3.2), torch.tensor([0.3], dtype=F64), separation=0.01)
    assert cycle.reach == pytest.approx(0.01 * (1 + cycle.points.max().item()))
    slope = 4 + 2 * 3.2 - 3.2**2
    assert cycle.exponent == pytest.approx(math.log(slope) / 2, rel=1e-9)
    assert len(cycle.points) == cycle.period == 2


def test_a_longer_cycle_than_looked_for_is_no_attractor_and_a_neutral_point_none():
    """Hypothesis: options that decide: ``max_period`` and ``neutral``."""
    start = torch.tensor([0.3], dtype=F64)
    assert find_attractor(logistic(3.5), start, max_period=4).period == 4
    assert find_attractor(logistic(3.5), start, max_period=3) is None
    slow = from_function(lambda x, theta: 0.999 * x, 1)
    assert find_attractor(slow, start).exponent == pytest.approx(math.log(0.999))
    assert find_attractor(slow, start, neutral=0.002) is None


def test_the_reach_of_what_does_not_recur_covers_its_orbit():
    """Hypothesis: further points of a chaotic orbit lie within reach of the sample, and with twice
    the gaps, not with ten times; fewer points reach further."""
    system = from_function(lambda x, theta: (0.95 * torch.sin(math.pi * x)).abs(), 1)
    start = torch.tensor([0.1], dtype=F64)
    few, many = (find_attractor(system, start, cloud=n) for n in (100, 1000))
    orbit = simulate(system, start, 500, burn_in=9000)
    assert (few.distance(orbit) <= few.reach).double().mean() > 0.99
    assert few.distance(orbit).max() > few.reach / 10
    assert len(few.points) == 100 and few.reach > 1.5 * many.reach
    assert few.kind == many.kind == "chaotic" and few.period == 0


def test_an_orbit_from_which_some_neighbours_leave_is_no_attractor():
    """Hypothesis: a neutral circle, and chaos on a line that repels to one side."""
    sideways = from_function(
        lambda x, theta: torch.stack(
            [4 * x[..., 0] * (1 - x[..., 0]) * 0.975, x[..., 1] + 0.1 * x[..., 1].clamp(min=0)], -1
        ),
        2,
    )
    assert find_attractor(sideways, torch.tensor([0.3, 0.0], dtype=F64)) is None


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


def test_where_one_orbit_has_to_be_watched_the_progress_is_shown(capsys):
    for progress in (False, True):
        find_attractor(logistic(4.0), torch.tensor([0.3], dtype=F64), progress=progress)
        assert ("steady state" in capsys.readouterr().err) == progress

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rnnlib import linear, logistic, simulate
from rnnlib.dynamics.basins import Attractor, find_attractor
from rnnlib.dynamics.robustness import return_curves, robustness
from rnnlib.memory import memory_state
from rnnlib.systems import elman, one_unit, rotation

F64 = torch.float64
quick = settings(deadline=None, max_examples=3, derandomize=True)


@quick
@given(gain=st.floats(1.2, 4.0))
def test_the_largest_disturbance_that_returns_reaches_the_repeller_or_never_ends(gain):
    """Hypothesis: from x* towards 0 the boundary is at x*; away from 0 there is none."""
    system = one_unit(gain)
    attractor = find_attractor(system, torch.tensor([0.5], dtype=F64))
    found = robustness(
        system,
        attractor,
        torch.tensor([[-3.0], [1.0]], dtype=F64),
        torch.linspace(0.1, 2, 20, dtype=F64),
        horizon=300,
        bisections=34,
    )
    bit = memory_state(gain)
    assert float(found.radius[0]) == pytest.approx(bit, abs=1e-9)
    assert float(found.width[0]) < 1e-9
    assert found.radius[1] == 2.0 and found.width[1] == 0
    assert torch.isinf(found.times[found.sizes > bit + 1e-9, 0]).all()
    assert torch.isfinite(found.times[:, 1]).all()


def test_return_times_grow_like_the_logarithm_of_the_size_over_that_of_the_eigenvalue():
    """Hypothesis: a contraction by 0.9 takes ceil(log(reach / size) / log 0.9) steps."""
    system = linear(torch.tensor([[0.9]], dtype=F64))
    attractor = find_attractor(system, torch.tensor([1.0], dtype=F64), burn_in=1)._replace(
        points=torch.zeros(1, 1, dtype=F64), reach=1e-6
    )
    sizes = torch.tensor([1e-7, 1e-3, 1e-1, 10.0], dtype=F64)
    found = robustness(system, attractor, torch.ones(1, 1, dtype=F64), sizes)
    expected = (math.log(1e-6) - sizes.log()).div(math.log(0.9)).ceil().clamp(min=0)
    # a state already within reach after the first step has been back from the first step on
    torch.testing.assert_close(found.times[:, 0], torch.where(expected <= 1, 0.0, expected).to(F64))


def two_latches():
    """Two uncoupled latches of gain 2, whose basins are the quadrants, and the first quadrant's."""
    system = elman(2 * torch.eye(2, dtype=F64))
    return system, find_attractor(system, torch.tensor([0.5, 0.5], dtype=F64))


def test_in_a_plane_the_boundary_lies_where_a_component_changes_its_sign():
    """Hypothesis: from (x*, x*) along (a, b) of length 1 at x* / max(-a, -b), however far out the
    first size tried lies, and whatever the length of the direction given."""
    system, attractor = two_latches()
    directions = torch.tensor([[-1.0, 0], [0, -7], [-1, -1], [3, -4], [1, 2]], dtype=F64)
    bit = memory_state(2.0)
    expected = [bit, bit, bit * math.sqrt(2), bit / 0.8]
    for sizes in ([0.5, 1.4, 2.0], [1.4, 1.6]):
        found = robustness(
            system, attractor, directions, torch.tensor(sizes, dtype=F64), horizon=60, bisections=24
        )
        assert found.radius[:4].tolist() == pytest.approx(expected, abs=1e-6)
        assert found.radius[4] == sizes[-1] and found.width[4] == 0
        assert found.times.shape == (len(sizes), 5)
    for bisections, parts in ((0, 1), (3, 8)):
        few = robustness(
            system, attractor, directions[:1], torch.tensor([0.5, 1.3], dtype=F64), horizon=60,
            bisections=bisections,
        )  # fmt: skip
        assert few.width.item() == pytest.approx(0.8 / parts)
        assert few.radius <= bit < few.radius + few.width


def test_the_first_point_of_a_cycle_is_the_one_that_is_disturbed():
    """Hypothesis: on the logistic 2-cycle everything up to 1 returns, and nothing beyond."""
    system = logistic(3.2)
    cycle = find_attractor(system, torch.tensor([0.3], dtype=F64))
    for points in (cycle.points, cycle.points.flip(0)):
        found = robustness(
            system, cycle._replace(points=points), torch.ones(1, 1, dtype=F64),
            torch.tensor([0.0501, 0.1501, 0.61], dtype=F64), horizon=200,
        )  # fmt: skip
        assert found.radius.item() == pytest.approx(1 - points[0].item(), abs=1e-9)


def test_the_shortest_horizon_is_one_step():
    """Hypothesis: 0.5 x within reach 0.1 of 0 after one step: up to 0.2."""
    half = linear(torch.tensor([[0.5]], dtype=F64))
    origin = Attractor("fixed point", 1, torch.zeros(1, 1, dtype=F64), -0.7, 0.1)
    one = torch.ones(1, 1, dtype=F64)
    found = robustness(half, origin, one, torch.tensor([0.1, 1.0], dtype=F64), horizon=1)
    assert found.radius.item() == pytest.approx(0.2, abs=1e-9)
    assert found.times[:, 0].tolist() == [0, torch.inf]


@pytest.mark.parametrize(
    ("directions", "sizes", "message"),
    [
        (torch.ones(1, 1), torch.tensor([0.2, 0.1]), "increasing"),
        (torch.ones(1, 1), torch.tensor([0.0, 0.1]), "positive"),
        (torch.zeros(1, 1), torch.tensor([0.1]), "without zeros"),
        (torch.ones(1, 2), torch.tensor([0.1]), "directions has shape"),
        (torch.ones(1), torch.tensor([0.1]), "directions has shape"),
        (torch.tensor([[1.0], [0.0]]), torch.tensor([0.1]), "without zeros"),
        (torch.ones(1, 1), torch.ones(0), "increasing"),
        (torch.ones(1, 1), torch.tensor([[0.1, 0.2]]), "increasing"),
        (torch.ones(1, 1), torch.tensor([0.1, 0.1]), "increasing"),
        (torch.ones(1, 1), torch.tensor([-0.1, 0.1]), "positive"),
        (torch.full((1, 1), torch.inf), torch.tensor([0.1]), "1 values that are not finite"),
        (torch.ones(1, 1), torch.tensor([0.1, torch.inf]), "finite sizes"),
        (torch.ones(1, 1), torch.tensor([torch.nan]), "finite sizes"),
    ],
)
def test_bad_disturbances_are_refused(directions, sizes, message):
    """Hypothesis: the message says what was wrong."""
    system = one_unit(2.0)
    attractor = find_attractor(system, torch.tensor([0.5], dtype=F64))
    with pytest.raises(ValueError, match=message):
        robustness(system, attractor, directions.to(F64), sizes.to(F64))


@pytest.mark.parametrize("options", [{"horizon": 0}, {"bisections": -1}])
def test_a_horizon_without_steps_is_refused_by_its_name(options):
    system, one = one_unit(2.0), torch.ones(1, 1, dtype=F64)
    attractor = find_attractor(system, one[0])
    with pytest.raises(ValueError, match="horizon is"):
        robustness(system, attractor, one, one[0], **options)


def test_robustness_makes_nothing_on_another_device_than_the_systems():
    """Hypothesis: with every tensor that names no device made elsewhere, it still runs."""
    system, one = one_unit(2.0), torch.ones(1, 1, dtype=F64)
    attractor = find_attractor(system, one[0])
    with torch.device("meta"):
        found = robustness(system, attractor, -one, 0.5 * one[0], horizon=20, bisections=2)
    assert found.radius.item() == 0.5


def test_a_disturbed_latch_returns_at_the_rate_of_its_eigenvalue_and_a_rotation_not_at_all():
    """Hypothesis: distances shrink by w (1 - x*^2) per step, or stay what they were."""
    gain = 1.5
    attractor = find_attractor(one_unit(gain), torch.tensor([0.5], dtype=F64))
    to_set, to_twin = return_curves(
        one_unit(gain), attractor, torch.tensor([1e-5], dtype=F64), steps=12
    )
    rate = gain * (1 - memory_state(gain) ** 2)
    torch.testing.assert_close(
        to_set[1:] / to_set[:-1], torch.full((12,), rate, dtype=F64), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(to_set, to_twin, atol=1e-9, rtol=1e-3)

    turn = linear(rotation(1.0))
    orbit = simulate(turn, torch.tensor([1.0, 0.0], dtype=F64), 5000)
    circle = Attractor("quasi-periodic", 0, orbit, 0.0, 1e-3)
    to_set, to_twin = return_curves(turn, circle, 0.1 * orbit[0], steps=50)
    torch.testing.assert_close(to_twin, torch.full((51,), 0.1, dtype=F64), atol=1e-9, rtol=0)
    torch.testing.assert_close(to_set, torch.full((51,), 0.1, dtype=F64), atol=1e-3, rtol=0)


def test_a_kick_across_the_boundary_leads_to_the_other_memory_and_one_along_it_back():
    """Hypothesis: the distance from the attractor tends to that between the two, or to 0."""
    system, attractor = two_latches()
    bit = memory_state(2.0)
    kick = torch.tensor([-1.5 * bit, 0.1], dtype=F64)
    away, twin = return_curves(system, attractor, kick, steps=60)
    assert away.shape == (61,) and away[0].item() == pytest.approx(float(kick.norm()))
    assert away[-1].item() == twin[-1].item() == pytest.approx(2 * bit, abs=1e-9)
    back, twin = return_curves(system, attractor, -kick, steps=60)
    assert back[-1] < 1e-9 and twin[-1] < 1e-9
    with pytest.raises(ValueError, match=r"disturbance has shape \(1,\); it must be \(2,\)"):
        return_curves(system, attractor, kick[:1], steps=60)

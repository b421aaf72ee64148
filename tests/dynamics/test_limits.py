"""The fixed point or cycle at the end of an orbit, at maps where it is known."""

import math
from dataclasses import replace

import pytest
import torch

import rnnlib
from rnnlib.dynamics.limits import (
    _least,
    _newton,
    find_limits,
    recurrences,
    root_distance,
    turn,
)
from rnnlib.dynamics.members import Members
from rnnlib.dynamics.rules import SteadyStateRules

F64 = {"dtype": torch.float64}
RULES = SteadyStateRules()


def limits(system, x0, steps, *, max_period=4, **rules):
    """Of orbits from x0, shape (N, n_x), after so many steps."""
    orbit = torch.cat([x0[None], rnnlib.simulate(system, x0, steps)])
    return find_limits(
        Members(system, x0.shape[:-1]), torch.arange(len(x0)), orbit[-2 * max_period :],
        x0.abs().amax(-1), max_period=max_period, rules=replace(RULES, **rules),
    )  # fmt: skip


def logistic_cycle(r):
    """The two points of the 2-cycle, in closed form."""
    root = math.sqrt((r - 3) * (r + 1))
    return [(r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)]


def test_gaps_of_recurrence_are_those_of_the_last_states():
    """Hypothesis: of 0, 1, 3, 0, 1, 3 the gaps are 3, 3 and 0; the largest component counts; what
    lies further back than two windows does not."""
    cycle = torch.tensor([0.0, 1.0, 3.0] * 2, **F64)
    tail = torch.stack([cycle, -2 * cycle, torch.arange(6, **F64)], dim=-1)[:, :, None]
    tail = torch.cat([tail, 0 * tail], dim=-1)
    tail[:, 2, 1] = 10 * tail[:, 2, 0]
    expected = torch.tensor([[3.0, 6.0, 10.0], [3.0, 6.0, 20.0], [0.0, 0.0, 30.0]], **F64)
    assert torch.equal(recurrences(tail, 3), expected)
    assert torch.equal(recurrences(torch.cat([tail[:1] + 99, tail]), 3), expected)


def test_a_way_to_a_sink_is_measured_before_it_has_arrived():
    """Hypothesis: after 20 steps of 0.5 the end is 2^-20 away; after 80 it has arrived."""
    system = rnnlib.linear(torch.diag(torch.tensor([0.5, -0.25], **F64)))
    x0 = torch.tensor([[1.0, 1.0], [-4.0, 0.5]], **F64)
    found = limits(system, x0, 20)
    assert found.period.tolist() == [1, 1] and not found.arrived.any()
    assert found.distance.tolist() == pytest.approx([2.0**-20, 2.0**-18])
    assert found.point.abs().max() < 1e-20
    assert found.modulus.tolist() == pytest.approx([0.5, 0.5])
    assert limits(system, x0, 80).arrived.all()


def test_a_slow_way_to_a_point_off_the_origin_is_one():
    """Hypothesis: towards (3, -2) by 0.1 % a step; on the way, and in whatever pieces."""
    aim = torch.tensor([3.0, -2.0], **F64)
    system = rnnlib.from_step(lambda x: aim + 0.999 * (x - aim), 2)
    x0 = torch.tensor([[4.0, 0.0], [-9.0, -2.0], [3.0, 5.0]], **F64)
    found = limits(system, x0, 500)
    assert found.period.tolist() == [1, 1, 1] and not found.arrived.any()
    torch.testing.assert_close(found.point, aim.expand(3, 2), atol=1e-9, rtol=0)
    left = 0.999**500 * (x0 - aim).abs().amax(-1)
    torch.testing.assert_close(found.distance, left)


def test_a_cycle_has_its_point_and_the_product_of_its_slopes():
    """Hypothesis: the 2-cycle of the logistic map in closed form, from near and from rest."""
    r = 3.3
    system, x0 = rnnlib.logistic(r), torch.tensor([[0.3], [0.7]], **F64)
    for steps, arrived in ((30, False), (400, True)):
        found = limits(system, x0, steps)
        assert found.period.tolist() == [2, 2] and (found.arrived == arrived).all()
        end = rnnlib.simulate(system, x0, steps)[-1]
        for point, last in zip(found.point, end, strict=True):
            near = min(logistic_cycle(r), key=lambda y: abs(y - float(last)))
            assert point.item() == pytest.approx(near, abs=1e-13)
        slope = abs(4 + 2 * r - r**2)
        assert found.modulus.tolist() == pytest.approx([slope] * 2, rel=1e-9)


def test_at_rest_on_what_repels_or_has_no_slope():
    """Hypothesis: 0 of x -> 2 x is a fixed point with modulus 2; where the slope is not a number,
    the point is one all the same, with none."""
    found = limits(rnnlib.linear(torch.tensor([[2.0]], **F64)), torch.zeros(1, 1, **F64), 10)
    assert found.period.tolist() == [1] and found.modulus.tolist() == [2] and found.arrived.all()
    at = torch.tensor([0.0, 1.0], **F64)  # the slope at 0 is infinite, at 1 it is 1/2
    cliff = rnnlib.from_function(lambda x, theta: torch.sqrt(x.abs()), 3)
    found = limits(cliff, at[:, None].expand(2, 3), 10)
    assert found.period.tolist() == [1, 1] and found.arrived.all()
    assert found.modulus[0].isnan() and found.modulus[1].item() == pytest.approx(0.5)


def test_a_drift_by_a_rounding_error_in_each_step_is_no_rest():
    """Hypothesis: 1, 1 + eps, 1 + 2 eps, ... recurs within 64 eps at once, and not in 64 steps."""
    eps = torch.finfo(torch.float64).eps
    for drift, period in ((40 * eps, 0), (eps, 1), (0.0, 1)):
        system = rnnlib.from_step(lambda x, drift=drift: x + drift, 1)
        found = limits(system, torch.ones(1, 1, **F64), 300, max_period=64)
        assert found.period.tolist() == [period]


def test_a_root_that_repels_or_is_neutral_is_no_limit_of_what_moves():
    """Hypothesis: x -> 1.1 x and x -> x / (1 + x) have the root 0 and do not tend there so."""
    for system in (
        rnnlib.linear(torch.tensor([[1.1]], **F64)),
        rnnlib.from_step(lambda x: x / (1 + x), 1),
    ):
        assert limits(system, torch.ones(1, 1, **F64), 20).period.tolist() == [0]


def test_what_jumps_between_a_root_and_the_orbit_keeps_it_from_tending_there():
    """Hypothesis: beyond 1/2 an attracting 2-cycle; every state on the way to 0 is asked."""

    def step(x):
        return torch.where(x.abs() < 0.5, 0.5 * x, torch.sign(x) * (2 - 0.5 * (x.abs() - 1)))

    found = limits(rnnlib.from_step(step, 1), torch.tensor([[0.4], [2.0]], **F64), 40)
    assert found.period[0] == 1 and found.point[0].abs() < 1e-12
    assert found.point[1].item() == pytest.approx(5 / 3)  # 2 - (x - 1) / 2 = x


def test_one_component_at_rest_does_not_hide_that_another_is_elsewhere():
    """Hypothesis: beside a component that has died down, 8 and 3 change places for ever, though
    Newton's method leads from 8 to 0."""

    def step(x):
        y = x[..., 1:]
        y = torch.where(y > 6, 3 + (y - 8) / 2, y / 2) + 6.5 * (y - 3).abs().lt(0.5)
        return torch.cat([0.01 * x[..., :1], y], dim=-1)

    found = limits(rnnlib.from_step(step, 2), torch.tensor([[1.0, 8.0]], **F64), 40)
    assert found.period.tolist() == [2]
    assert found.point[0].tolist() == pytest.approx([0, 8], abs=1e-12)


def test_no_step_is_asked_about_a_state_that_is_not_finite_and_none_when_the_root_is_reached():
    """Hypothesis: on a drift Newton's step is infinite in one component, and that ends the search;
    on a root the first look does."""
    taken = []

    def counted(step):
        def checked(x):
            assert torch.isfinite(x).all()
            taken.append(1)
            return step(x)

        return rnnlib.from_step(checked, 2, derivative="forward")

    drift = counted(lambda x: torch.stack([x[..., 0] + 1, x[..., 1] / 2], -1))
    x = torch.ones(3, 2, **F64)
    _newton(Members(drift, x.shape[:1]), torch.arange(3), x, 1, RULES)
    assert len(taken) == 1
    taken.clear()
    halved = counted(lambda x: x / 2)
    root, residual, matrix = _newton(Members(halved, x.shape[:1]), torch.arange(3), 0 * x, 1, RULES)
    assert len(taken) == 1 and (residual == 0).all() and (root == 0).all()
    torch.testing.assert_close(matrix, 0.5 * torch.eye(2, **F64).expand(3, 2, 2))


def test_newtons_method_stops_where_it_comes_no_nearer():
    """Hypothesis: from 1.5 the step on x + atan(20 x) leads further away: what is returned is the
    start, with its residual, after one look more."""
    steep = rnnlib.from_function(lambda x, theta: x + torch.atan(20 * x), 1)
    x = torch.tensor([[1.5]], **F64)
    root, residual, _ = _newton(Members(steep, x.shape[:1]), torch.arange(1), x, 1, RULES)
    assert root.item() == 1.5 and residual.item() == pytest.approx(math.atan(30))


def test_the_least_period_is_a_divisor():
    """Hypothesis: a fixed point, a 2-cycle and a 4-cycle, asked for at 4, have 1, 2 and 4."""
    r = torch.tensor([2.5, 3.3, 3.5], **F64)
    system = rnnlib.logistic(r)
    x = rnnlib.simulate(system, torch.full((3, 1), 0.3, **F64), 1, burn_in=3000)[-1]
    blur = torch.full((3,), 1e-9, **F64)
    assert _least(system, x, 4, blur).tolist() == [1, 2, 4]
    assert _least(system, x, 6, blur).tolist() == [1, 2, 6]


def test_turning_is_stepping_with_the_product_of_the_jacobians():
    """Hypothesis: f^3 of the Henon map and its Jacobian by the chain rule."""
    system, x0 = rnnlib.henon(), torch.tensor([[0.3, -0.2], [0.1, 0.4]], **F64)
    x, matrix = turn(system, x0, 3)
    state, product = x0, torch.eye(2, **F64)
    for _ in range(3):
        product = rnnlib.jacobian(system, state) @ product
        state = system.step(state)
    torch.testing.assert_close(x, state)
    torch.testing.assert_close(matrix, product)


def test_how_far_ahead_a_root_lies():
    """Hypothesis: x + 1 - x / 100 has one at 100; x + 1 has none. The largest component counts."""
    pull = torch.tensor([0.01, 0.0, 0.02], **F64)
    system = rnnlib.from_function(
        lambda x, theta: x + 1 - theta["pull"][..., None] * x, 2, {"pull": pull}
    )
    x = torch.tensor([[30.0, 95.0], [30.0, 30.0], [49.0, 57.0]], **F64)
    found = root_distance(Members(system, x.shape[:1]), torch.arange(3), x, RULES)
    assert found.tolist() == pytest.approx([70, torch.inf, 7])


def test_a_root_is_no_sharper_than_its_eigenvectors_allow():
    """Hypothesis: of a matrix with nearly dependent eigenvectors an end within the blur has
    arrived; the rule ``sharp`` bounds that blur."""
    matrix = torch.tensor([[0.5, 1.0], [0.0, 0.5 + 1e-9]], **F64)
    system, x0 = rnnlib.linear(matrix), torch.tensor([[1.0, 1.0]], **F64)
    shift = torch.tensor([1.0, 1.0], **F64)  # a root of size 1
    system = rnnlib.from_step(lambda x: shift + (x - shift) @ matrix.T, 2)
    assert limits(system, x0 + 1, 30).arrived.tolist() == [True]
    assert limits(system, x0 + 1, 30, sharp=1e-12).arrived.tolist() == [False]


def test_beyond_the_largest_jacobian_rest_is_told_with_its_leading_multiplier(monkeypatch):
    """Hypothesis: at rest on 0 and -0.5 of x' = x (1 + x) / 2 + ..., with products alone; an orbit
    that is on its way is left to others."""
    monkeypatch.setattr("rnnlib.dynamics.limits.WHOLE", 2)
    slopes = torch.linspace(0.5, 0.1, 40, **F64)
    system = rnnlib.linear(torch.diag(slopes))
    x0 = torch.ones(2, 40, **F64)
    assert limits(system, x0, 2000).modulus.tolist() == pytest.approx([0.5, 0.5], abs=1e-7)
    on_its_way = limits(system, x0, 20)
    assert on_its_way.period.tolist() == [0, 0]


def test_an_interrupt_leaves_what_was_found_before(monkeypatch):
    """Hypothesis: of three orbits, looked at one by one, the first has its word by then."""
    monkeypatch.setattr("rnnlib.dynamics.limits.ENTRIES", 1)
    settle, calls = rnnlib.dynamics.limits._settle, []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return settle(*arguments)

    monkeypatch.setattr("rnnlib.dynamics.limits._settle", stops)
    system = rnnlib.linear(0.5 * torch.eye(2, **F64))
    with pytest.warns(UserWarning, match="interrupted"):
        found = rnnlib.steady_state(system, torch.ones(3, 2, **F64))
    assert found.kind.tolist() == ["fixed point", "undetermined", "undetermined"]
    assert found.settled.tolist() == [True, False, False]

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from rnnlib import from_function, from_module, henon, jacobian, linear, logistic, simulate
from rnnlib.dynamics.fixed_points import classify, fixed_points, iterated, starts_in_box
from rnnlib.systems import (
    WEIGHTS,
    X0,
    chaotic_lstm,
    elman,
    elman_with_fixed_point,
    line,
    one_unit,
    rotation,
)

F64 = torch.float64
quick = settings(deadline=None, max_examples=25, derandomize=True)


def sorted_values(points):
    return points[:, 0].sort().values


def test_henon_has_its_two_closed_form_fixed_points_and_both_are_saddles():
    """Hypothesis: x = (b - 1 +- sqrt((1 - b)^2 + 4a)) / 2a, y = b x, and neither is stable."""
    a, b = 1.4, 0.3
    found = fixed_points(henon(a, b), starts_in_box(-2, 2, 40, 2))
    root = math.sqrt((1 - b) ** 2 + 4 * a)
    x = torch.tensor([(b - 1 - root) / (2 * a), (b - 1 + root) / (2 * a)], dtype=F64)
    order = found.points[:, 0].argsort()
    torch.testing.assert_close(found.points[order], torch.stack([x, b * x], -1), atol=1e-13, rtol=0)
    assert found.stability.tolist() == ["saddle", "saddle"]
    eigenvalues = torch.stack(
        [-a * x - (a**2 * x**2 + b).sqrt(), -a * x + (a**2 * x**2 + b).sqrt()]
    )
    expected = eigenvalues.mT.gather(1, eigenvalues.mT.abs().argsort(1, descending=True))
    torch.testing.assert_close(found.eigenvalues[order].real, expected, atol=1e-12, rtol=0)


def test_the_logistic_map_has_0_and_1_minus_1_over_r_at_every_r_of_a_batch():
    """Hypothesis: a sweep is one call, and multipliers are r and 2 - r."""
    r = torch.tensor([1.5, 2.5, 3.2, 3.9], dtype=F64)
    found = fixed_points(logistic(r[:, None]), starts_in_box(-0.5, 1.5, 20, 1))
    assert found.member.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for k, value in enumerate(r.tolist()):
        mine = found.member == k
        order = found.points[mine, 0].argsort()
        torch.testing.assert_close(
            found.points[mine, 0][order],
            torch.tensor([0, 1 - 1 / value], dtype=F64),
            atol=1e-12,
            rtol=0,
        )
        torch.testing.assert_close(
            found.eigenvalues[mine, 0].real[order], torch.tensor([value, 2 - value], dtype=F64)
        )
        stable = found.stability[mine.numpy()][order.numpy()].tolist()
        assert stable == ["unstable", "stable" if value < 3 else "unstable"]


def test_period_2_of_the_logistic_map_is_the_closed_form_with_its_primitive_periods():
    """Hypothesis: x = (r + 1 +- sqrt((r - 3)(r + 1))) / 2r with multiplier 4 + 2r - r^2."""
    r = 3.2
    found = fixed_points(logistic(r), starts_in_box(-0.5, 1.5, 60, 1), period=2)
    cycle = found.period == 2
    root = math.sqrt((r - 3) * (r + 1))
    expected = torch.tensor([(r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)], dtype=F64)
    torch.testing.assert_close(sorted_values(found.points[cycle]), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        found.eigenvalues[cycle, 0].real, torch.full((2,), 4 + 2 * r - r**2, dtype=F64)
    )
    torch.testing.assert_close(
        sorted_values(found.points[~cycle]),
        torch.tensor([0, 1 - 1 / r], dtype=F64),
        atol=1e-12,
        rtol=0,
    )
    assert found.period[~cycle].tolist() == [1, 1]


def test_the_points_of_one_cycle_share_their_multipliers():
    """Hypothesis: the Jacobians of f^p along a cycle are similar matrices."""
    found = fixed_points(chaotic_lstm(), starts_in_box(-0.5, 0.5, 200, 4), period=3)
    cycle = found.period == 3
    assert cycle.sum() == 6  # two cycles
    sizes = found.eigenvalues[cycle, 0].abs().sort().values.reshape(2, 3)
    torch.testing.assert_close(
        sizes, sizes.mean(1, keepdim=True).expand(2, 3), atol=1e-9, rtol=1e-9
    )
    for x in found.points[cycle]:
        step = chaotic_lstm().step(x)
        assert (found.points[cycle] - step).abs().amax(-1).min() < 1e-9


@quick
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    scale=st.floats(0.1, 3.0),
)
def test_a_designed_elman_fixed_point_is_found_with_the_analytic_eigenvalues(seed, n, scale):
    """Hypothesis: b = atanh(x*) - W x* makes x* a root, with Jacobian diag(1 - x*^2) W."""
    generator = torch.Generator().manual_seed(seed)
    point = 1.8 * torch.rand(n, dtype=F64, generator=generator) - 0.9
    weight = scale * torch.randn(n, n, dtype=F64, generator=generator) / n**0.5
    system = elman_with_fixed_point(point, weight)
    found = fixed_points(
        system, torch.cat([point + starts_in_box(-0.05, 0.05, 8, n), starts_in_box(-1, 1, 8, n)])
    )
    nearest = (found.points - point).abs().amax(-1).argmin()
    torch.testing.assert_close(found.points[nearest], point, atol=1e-7, rtol=0)
    expected = torch.linalg.eigvals((1 - point**2)[:, None] * weight)
    torch.testing.assert_close(
        found.eigenvalues[nearest].abs().sort().values,
        expected.abs().sort().values,
        atol=1e-5,
        rtol=1e-5,
    )


def test_a_gru_with_a_designed_fixed_point_is_found_under_held_input():
    """Hypothesis: h* is fixed iff the new gate equals it; its bias can be chosen so."""
    torch.manual_seed(0)
    module = torch.nn.GRU(2, 5).double()
    point, z = torch.linspace(-0.7, 0.8, 5, dtype=F64), torch.tensor([0.3, -1.0], dtype=F64)
    with torch.no_grad():
        w_i, w_h = module.weight_ih_l0, module.weight_hh_l0
        reset = torch.sigmoid(
            w_i[:5] @ z + module.bias_ih_l0[:5] + w_h[:5] @ point + module.bias_hh_l0[:5]
        )
        inner = reset * (w_h[10:] @ point + module.bias_hh_l0[10:])
        module.bias_ih_l0[10:] = torch.atanh(point) - w_i[10:] @ z - inner
    found = fixed_points(from_module(module).hold(z), starts_in_box(-1, 1, 10, 5))
    assert (found.points - point).abs().amax(-1).min() < 1e-10
    output, _ = module(z.expand(3, 1, 2), point.reshape(1, 1, 5))
    torch.testing.assert_close(output[-1, 0], point, atol=1e-12, rtol=0)


def test_an_lstm_with_a_designed_fixed_point_is_found_under_held_input():
    """Hypothesis: c* = i g / (1 - f) and h* = o tanh c* fix (h*, c*)."""
    torch.manual_seed(1)
    module = torch.nn.LSTM(1, 3).double()
    z, h = torch.tensor([0.5], dtype=F64), torch.tensor([0.4, -0.2, 0.1], dtype=F64)
    i, f, o = 0.6, 0.5, 0.8
    c = torch.atanh(h / o)
    gates = torch.cat(
        [torch.full((3,), math.log(v / (1 - v)), dtype=F64) for v in (i, f)]
        + [torch.atanh(c * (1 - f) / i), torch.full((3,), math.log(o / (1 - o)), dtype=F64)]
    )
    with torch.no_grad():
        module.bias_hh_l0.zero_()
        module.bias_ih_l0.copy_(gates - module.weight_ih_l0 @ z - module.weight_hh_l0 @ h)
    found = fixed_points(from_module(module).hold(z), starts_in_box(-1, 1, 10, 6))
    assert (found.points - torch.cat([h, c])).abs().amax(-1).min() < 1e-10


def test_a_network_of_a_hundred_units_is_within_reach():
    """Hypothesis: a default torch LSTM (n_x = 200) has one stable fixed point."""
    torch.manual_seed(0)
    system = from_module(torch.nn.LSTM(1, 100).double()).hold(torch.zeros(1, dtype=F64))
    found = fixed_points(system, starts_in_box(-1, 1, 4, 200))
    assert (
        len(found.points) == 1 and found.converged == 4 and found.stability.tolist() == ["stable"]
    )
    settled = simulate(system, torch.zeros(200, dtype=F64), 1, burn_in=400, observe="state")[0]
    torch.testing.assert_close(found.points[0], settled, atol=1e-10, rtol=0)


def test_the_chaotic_lstm_has_the_origin_alone_with_eigenvalues_one_half_plus_a_quarter_w_g():
    """Hypothesis: at 0 all gates are 1/2, so the spectrum is that of 1/2 + s W_g / 4, and 0, 0."""
    s = torch.tensor([0.5, 0.75, 1.0], dtype=F64)
    found = fixed_points(line()(s[:, None]), starts_in_box(-2, 2, 40, 4))
    assert found.member.tolist() == [0, 1, 2]
    assert found.points.abs().max() < 1e-9
    for value, eigenvalues in zip(s.tolist(), found.eigenvalues, strict=True):
        expected = torch.linalg.eigvals(
            torch.eye(2, dtype=F64) / 2 + value * torch.tensor(WEIGHTS["g"], dtype=F64) / 4
        )
        torch.testing.assert_close(
            eigenvalues.abs(),
            torch.cat([expected.abs(), torch.zeros(2, dtype=F64)]),
            atol=1e-7,
            rtol=0,
        )
    assert found.stability.tolist() == ["stable", "stable", "saddle"]


@quick
@given(seed=st.integers(0, 10**6), period=st.integers(1, 3), scale=st.floats(0.5, 4.0))
def test_every_reported_root_recurs_and_simulation_agrees_with_its_stability(seed, period, scale):
    """Hypothesis: residuals are honest; neighbours of stable roots return, of others some leave."""
    generator = torch.Generator().manual_seed(seed)
    system = elman(
        scale * torch.randn(2, 2, dtype=F64, generator=generator),
        0.5 * torch.randn(2, dtype=F64, generator=generator),
    )
    found = fixed_points(system, starts_in_box(-1, 1, 12, 2, seed), period=period)
    power = iterated(system, period)
    for x, eigenvalues, kind, primitive in zip(
        found.points, found.eigenvalues, found.stability, found.period, strict=True
    ):
        assert (power.step(x) - x).abs().max() < 1e-9
        assert (simulate(system, x, int(primitive))[-1] - x).abs().max() < 1e-5
        values, vectors = torch.linalg.eig(jacobian(power, x))
        if abs(float(eigenvalues[0].abs()) - 1) < 0.02:
            continue  # too slow to tell in the steps below
        lead = vectors[:, values.abs().argmax()]
        kick = lead.real if lead.real.norm() > lead.imag.norm() else lead.imag
        start = x + 1e-6 * kick / kick.norm()
        away = (simulate(power, start, 1500) - x).norm(dim=-1)
        assert away[-1] < 1e-7 if kind == "stable" else away.max() > 1e-5


@pytest.mark.parametrize(
    ("eigenvalues", "kind"),
    [
        ([0.5, -0.9], "stable"),
        ([1.5, 0.2], "saddle"),
        ([1.5, -2.0], "unstable"),
        ([1.0, 0.2], "neutral"),
        ([-1.0, 1.0], "neutral"),
        ([1.5, 1.0], "unstable"),
    ],
)
def test_the_moduli_decide_the_stability(eigenvalues, kind):
    """Hypothesis: only the moduli count."""
    assert classify(torch.tensor(eigenvalues, dtype=F64)).item() == kind


def test_a_line_of_fixed_points_gives_points_of_the_line_and_says_that_they_are_not_isolated():
    """Hypothesis: a singular J - 1 is solved by least squares: the nearest point of the line."""
    starts = starts_in_box(-1, 1, 12, 2)
    found = fixed_points(linear(torch.diag(torch.tensor([1.0, 0.5], dtype=F64))), starts)
    assert len(found.points) == 12 and not found.isolated.any()
    assert set(found.stability) == {"neutral"}
    nearest = torch.stack([starts[:, 0], torch.zeros(12, dtype=F64)], -1)
    torch.testing.assert_close(
        sorted_values(found.points), nearest[:, 0].sort().values, atol=1e-8, rtol=0
    )
    assert found.points[:, 1].abs().max() < 1e-9


def test_the_identity_makes_every_start_a_fixed_point():
    """Hypothesis: a cloud of roots is returned as it is."""
    found = fixed_points(linear(torch.eye(3, dtype=F64)), starts_in_box(-1, 1, 30, 3))
    assert len(found.points) == 30 and found.hits.tolist() == [1] * 30


def test_an_orthogonal_map_has_a_neutral_origin():
    """Hypothesis: all moduli are 1, but 1 itself is no eigenvalue, so the origin is isolated."""
    found = fixed_points(linear(rotation(1.0)), starts_in_box(-1, 1, 10, 2))
    assert len(found.points) == 1 and found.stability.tolist() == ["neutral"]
    assert found.isolated.tolist() == [True]


def test_no_root_gives_an_empty_result_and_says_so():
    """Hypothesis: x -> x + 1 + x^2 has no real fixed point, and nothing crashes."""
    found = fixed_points(
        from_function(lambda x, theta: x + 1 + x**2, 1), starts_in_box(-1, 1, 10, 1)
    )
    assert found.points.shape == (0, 1) and found.eigenvalues.shape == (0, 1)
    assert found.converged == 0 and found.starts == 10 and found.stability.shape == (0,)
    assert "0 of 10 starts converged" in found.describe()


def test_starts_that_overflow_or_are_not_finite_are_counted_and_dropped():
    """Hypothesis: NaN and overflow fail alone."""
    starts = torch.tensor([[torch.nan], [1e200], [0.3], [torch.inf]], dtype=F64)
    found = fixed_points(logistic(3.2), starts)
    assert len(found.points) == 1 and found.converged == 1 and found.starts == 4
    nothing = fixed_points(logistic(3.2), starts[[0, 3]])
    assert len(nothing.points) == 0


def test_a_member_of_a_batch_without_roots_leaves_the_others_alone():
    """Hypothesis: x + a + x^2 has roots for a < 0 only."""
    system = from_function(
        lambda x, theta: x + theta["a"][..., None] + x**2,
        1,
        {"a": torch.tensor([[1.0], [-0.25]], dtype=F64)},
    )
    found = fixed_points(system, starts_in_box(-1, 1, 20, 1))
    assert found.member.tolist() == [1, 1]
    torch.testing.assert_close(sorted_values(found.points), torch.tensor([-0.5, 0.5], dtype=F64))


def test_separation_decides_what_counts_as_one_root():
    """Hypothesis: two roots 1e-3 apart are two, or one at a coarser separation."""
    system = from_function(lambda x, theta: x + (x - 0.2) * (x - 0.201), 1)
    starts = torch.tensor([[0.1], [0.3]], dtype=F64)
    assert len(fixed_points(system, starts).points) == 2
    merged = fixed_points(system, starts, separation=1e-2)
    assert len(merged.points) == 1 and merged.hits.tolist() == [2]


def test_a_batch_gives_what_its_members_give_one_by_one():
    """Hypothesis: two routes to the same roots."""
    gains = torch.tensor([0.5, 1.5, 3.0], dtype=F64)
    starts = starts_in_box(-1, 1, 15, 1)
    together = fixed_points(one_unit(gains[:, None]), starts)
    for k, gain in enumerate(gains):
        alone = fixed_points(one_unit(gain), starts)
        mine = together.member == k
        torch.testing.assert_close(
            sorted_values(together.points[mine]), sorted_values(alone.points), atol=1e-12, rtol=0
        )
        assert (
            np.sort(together.stability[mine.numpy()]).tolist() == np.sort(alone.stability).tolist()
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"starts": torch.zeros(2, dtype=F64)}, ValueError, "starts has shape"),
        ({"starts": torch.zeros(0, 1, dtype=F64)}, ValueError, "M >= 1"),
        ({"starts": torch.zeros(3, 2, dtype=F64)}, ValueError, "x0 has shape"),
        ({"starts": torch.zeros(3, 1)}, TypeError, "float64"),
        ({"period": 0}, ValueError, "period is 0"),
        ({"max_iterations": 0}, ValueError, "max_iterations is 0"),
        ({"system": logistic(torch.ones(3, dtype=F64))}, ValueError, r"values\[:, None\]"),
    ],
)
def test_bad_input_names_the_argument_and_the_remedy(arguments, error, message):
    """Hypothesis: the message says what to change."""
    defaults = {"system": logistic(3.2), "starts": torch.zeros(3, 1, dtype=F64)}
    with pytest.raises(error, match=message):
        fixed_points(**{**defaults, **arguments})


def test_the_3_cycle_of_the_chaotic_lstm_is_born_in_a_fold_at_0_745035():
    """Hypothesis: points of period 3 exist above 0.745035 and not below, and the nearest pair
    comes from a double multiplier +1."""
    starts = starts_in_box(-0.3, 0.3, 48, 4)
    below, above = (
        fixed_points(line()(torch.tensor(s, dtype=F64)), starts, period=3, max_iterations=60)
        for s in (0.745034, 0.745036)
    )
    assert not (below.period == 3).any()
    cycle = above.period == 3
    assert cycle.sum() == 6  # a stable cycle and a saddle
    leading = above.eigenvalues[cycle][:, 0]
    assert leading.imag.abs().max() < 1e-9
    assert (leading.real - 1).abs().max() < 0.02
    assert leading.real.min() < 1 < leading.real.max()


def test_just_beyond_the_fold_the_start_of_figure_1_still_ends_at_the_origin_after_a_delay():
    """Hypothesis: from 0.745035 to 0.746 a 3-cycle attracts, but not the start (1/2, ..., 1/2),
    which it captures by 0.7465; at 0.7452 that start lingers near the ghost for over 100 steps."""
    s = torch.tensor([0.70, 0.7452, 0.746, 0.7465], dtype=F64)
    size = simulate(line()(s), X0.expand(4, 4), 4000).abs().amax(-1)
    assert (size[-3:, :3].amax(0) < 1e-9).all() and size[-3:, 3].amax() > 0.02
    left = (size > 1e-2).double().flip(0).argmax(0)  # steps before the end when last large
    delay = len(size) - left[:3]
    assert delay[1] > 100 > delay[0]

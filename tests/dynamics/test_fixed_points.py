import math
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from rnnlib import from_function, from_module, henon, jacobian, linear, logistic, simulate
from rnnlib.dynamics import newton, spectra
from rnnlib.dynamics.fixed_points import (
    classify,
    fixed_points,
    iterated,
    starts_from_orbits,
    starts_in_box,
)
from rnnlib.dynamics.newton import damped_steps
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


def hopfield(n, patterns, gain=2.0, seed=0):
    """A network of +-1 patterns, ``tanh(gain W x)`` with ``W`` of their rank, and the patterns."""
    generator = torch.Generator().manual_seed(seed)
    xi = 2.0 * torch.randint(0, 2, (patterns, n), generator=generator).to(F64) - 1
    return elman(gain * xi.mT @ xi / n), xi


def test_a_rank_one_hopfield_network_has_a_saddle_and_two_attractors_and_a_box_shows_the_saddle():
    """Hypothesis: x = m xi with m = tanh(2 m), or 0; a box alone says that roots are missing."""
    system, xi = hopfield(64, 1)
    box = starts_in_box(-1, 1, 32, 64)
    alone = fixed_points(system, box)
    assert alone.stability.tolist() == ["saddle"] and alone.index.tolist() == [-1]
    assert alone.missing.tolist() == [True] and "sum to -1" in alone.describe()
    orbits = starts_from_orbits(system, box, 1, burn_in=40)
    both = fixed_points(system, torch.cat([box, orbits]))
    assert sorted(both.stability) == ["saddle", "stable", "stable"]
    assert both.index.sum() == 1 and both.missing.tolist() == [False]
    m = 0.9575040240772687  # tanh(2 m) = m
    stable = both.points[torch.as_tensor(both.stability == "stable")]
    torch.testing.assert_close(
        stable[stable[:, 0].argsort()].abs(), torch.full((2, 64), m, dtype=F64)
    )
    assert (stable.sign() == xi * stable[:, :1].sign() * xi[0, 0]).all()


@pytest.mark.parametrize("seed", range(3))
def test_eigenvalues_that_one_library_gives_up_are_found_by_another(seed):
    """Hypothesis: at 0 two patterns give the eigenvalues gain (1 +- overlap), and 0."""
    system, xi = hopfield(64, 2, seed=seed)
    found = fixed_points(system, torch.zeros(1, 64, dtype=F64))
    overlap = float(xi[0] @ xi[1]) / 64
    expected = torch.tensor([2 * (1 + abs(overlap)), 2 * (1 - abs(overlap))], dtype=F64)
    torch.testing.assert_close(found.eigenvalues[0, :2].real, expected, atol=1e-9, rtol=0)
    assert found.stability.tolist() == ["saddle"] and found.index.tolist() == [1]


def test_no_library_is_asked_for_the_eigenvalues_of_what_is_not_finite():
    """Hypothesis: LAPACK may end the process on them; they are NaN, and the word is unknown."""
    matrices = torch.stack([torch.full((2, 2), torch.inf, dtype=F64), torch.eye(2, dtype=F64)])
    found = spectra.eigenvalues(matrices)
    assert torch.isnan(found[0]).all() and (found[1] == 1).all()
    root = from_function(lambda x, theta: x.abs().sqrt(), 2)
    at_zero = fixed_points(root, torch.zeros(2, 2, dtype=F64))
    assert at_zero.stability.tolist() == ["unknown"] and at_zero.index.tolist() == [0]
    away = fixed_points(root, starts_in_box(0.1, 1, 4, 2))
    torch.testing.assert_close(away.points, torch.ones(1, 2, dtype=F64))


def test_beyond_a_fold_the_ghost_is_a_slow_point_with_its_speed():
    """Hypothesis: x + mu + x^2 is slowest at 0, where |F| = mu; no root is claimed."""
    mu = 1e-3
    ghost = from_function(lambda x, theta: x + mu + x**2, 1)
    found = fixed_points(ghost, starts_in_box(-1, 1, 8, 1))
    assert len(found.points) == 0 and len(found.slow.points) == 1 and found.slow.hits.sum() >= 4
    assert found.slow.points.abs().max() < 1e-4
    assert found.slow.speed.item() == pytest.approx(mu**2 / 2, rel=1e-6)
    assert found.slow.residual.item() == pytest.approx(mu, rel=1e-3)
    assert "slow point" in found.describe()


def test_a_saddle_of_the_speed_is_no_slow_point():
    """Hypothesis: F = (x^2 - 1, 0) in the first axis has a maximum of |F| at 0 and roots at +-1."""
    system = from_function(
        lambda x, theta: torch.stack([x[..., 0] + x[..., 0] ** 2 - 1, 0.5 * x[..., 1]], -1), 2
    )
    found = fixed_points(system, torch.zeros(1, 2, dtype=F64))
    assert len(found.slow.points) == 0


def test_the_indices_of_three_roots_on_a_line_are_1_minus_1_1_and_a_fold_has_none():
    """Hypothesis: sign(1 - f') alternates along a line; where f' = 1 it is 0."""
    found = fixed_points(one_unit(2.0), starts_in_box(-1, 1, 20, 1))
    assert found.index[found.points[:, 0].argsort()].tolist() == [1, -1, 1]
    assert not found.missing.any()
    one = fixed_points(one_unit(2.0), torch.ones(1, 1, dtype=F64))
    assert one.index.tolist() == [1] and not one.missing.any()  # no contradiction is no proof
    critical = fixed_points(one_unit(1.0), torch.zeros(1, 1, dtype=F64))
    assert critical.index.tolist() == [0] and not critical.missing.any()


def test_a_map_of_the_cube_into_itself_without_a_root_found_is_said_to_have_one():
    """Hypothesis: Brouwer; without a region, or on a region that is left, nothing is said."""
    system = one_unit(0.5)
    start = torch.tensor([[torch.nan]], dtype=F64)
    assert fixed_points(system, start).missing.tolist() == [True]
    assert fixed_points(system, start, region=None).missing.tolist() == [False]
    grows = from_function(lambda x, theta: 2 * x + 0.1, 1)
    assert fixed_points(grows, start).missing.tolist() == [False]
    ends = (torch.tensor([0.0], dtype=F64), 1.0)
    assert fixed_points(logistic(3.2), start, region=ends).missing.tolist() == [True]


def test_missing_roots_are_told_for_each_member_of_a_batch():
    """Hypothesis: at gain 0.5 the origin is all, at 2 it is one of three."""
    gains = torch.tensor([[0.5], [2.0]], dtype=F64)
    found = fixed_points(one_unit(gains), torch.zeros(1, 1, dtype=F64))
    assert found.missing.tolist() == [False, True] and "of member 1" in found.describe()


@pytest.mark.parametrize("gain", [0.8, 1.5])
def test_products_with_vectors_find_what_the_whole_matrix_finds(gain):
    """Hypothesis: two routes to one answer, in a contracting network and in a chaotic one."""
    generator = torch.Generator().manual_seed(3)
    weight = gain * torch.randn(60, 60, dtype=F64, generator=generator) / 60**0.5
    system = elman(weight, 0.1 * torch.randn(60, dtype=F64, generator=generator))
    starts = starts_in_box(-0.5, 0.5, 4, 60)
    whole = fixed_points(system, starts, dense=60)
    products = fixed_points(system, starts, dense=1, krylov=30, leading=8)
    assert whole.converged > 0 and products.converged > 0
    distances = torch.cdist(
        products.points, whole.points, compute_mode="donot_use_mm_for_euclid_dist"
    )
    if gain < 1:
        assert len(whole.points) == len(products.points) == 1 and distances.max() < 1e-9
        assert products.eigenvalues.shape == (1, 8)
        torch.testing.assert_close(
            products.eigenvalues.abs(), whole.eigenvalues[:, :8].abs(), atol=1e-7, rtol=0
        )
    for found in (whole, products):
        assert (system.step(found.points) - found.points).abs().max() < 1e-9
        assert set(found.stability) <= {"stable", "saddle"}


@pytest.mark.parametrize("formed", [True, False])
def test_the_leading_eigenvalues_are_the_first_of_all_or_all_where_more_are_outside(
    formed, monkeypatch
):
    """Hypothesis: Arnoldi's iteration and LAPACK agree, from the matrix and from its products."""
    if not formed:
        monkeypatch.setattr("rnnlib.dynamics.spectra.FORMED", 0)
    weight = torch.randn(80, 80, dtype=F64, generator=torch.Generator().manual_seed(0)) / 80**0.5
    origin = torch.zeros(80, dtype=F64)
    for gain, count in ((0.9, 6), (3.0, 80)):
        found = spectra.leading_eigenvalues(elman(gain * weight), origin, 6)
        assert len(found) == count
        expected = spectra.eigenvalues(gain * weight).abs()[:count]
        torch.testing.assert_close(found.abs(), expected, atol=1e-7, rtol=0)


def test_without_damping_the_step_is_newtons_and_with_much_it_goes_down_the_slope():
    """Hypothesis: A d = -F at mu = 0, and d is parallel to -A' F as mu grows."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 4, 4, dtype=F64, generator=generator)
    value = torch.randn(5, 4, dtype=F64, generator=generator)
    newton, short = damped_steps(matrix, value, torch.tensor([0.0, 1e4], dtype=F64))
    torch.testing.assert_close((matrix @ newton[..., None])[..., 0], -value)
    slope = -(matrix.mT @ value[..., None])[..., 0]
    cosine = torch.nn.functional.cosine_similarity(1e8 * short, slope, dim=-1)
    torch.testing.assert_close(cosine, torch.ones(5, dtype=F64))
    nothing = damped_steps(
        torch.zeros(2, 2, dtype=F64), torch.ones(2, dtype=F64), matrix.new_ones(1)
    )
    assert (nothing == 0).all()


def test_a_newton_step_that_leads_away_is_taken_back():
    """Hypothesis: from 1.5 plain Newton leaves x + atan(20 x) for good; the search does not."""
    steep = from_function(lambda x, theta: x + torch.atan(20 * x), 1)
    found = fixed_points(steep, torch.tensor([[1.5]], dtype=F64))
    assert found.converged == 1 and found.points.abs().max() < 1e-9


def test_states_of_orbits_are_those_that_simulation_passes():
    """Hypothesis: every third state after the burn-in, of each orbit, under the inputs given."""
    system = from_module(torch.nn.GRU(2, 3).double())
    inputs = torch.randn(40, 2, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    x0 = torch.zeros(2, 3, dtype=F64)
    taken = starts_from_orbits(system, x0, 4, burn_in=5, every=3, inputs=inputs)
    orbit = simulate(system, x0, 10, burn_in=5, inputs=inputs[:15])
    torch.testing.assert_close(taken, orbit[::3].reshape(8, 3))
    with pytest.raises(ValueError, match="every is 0"):
        starts_from_orbits(system, x0, 4, every=0, inputs=inputs)


def test_a_search_that_is_interrupted_keeps_what_it_has(monkeypatch):
    """Hypothesis: the roots found so far come back, with a warning."""
    system, calls = one_unit(2.0), []
    monkeypatch.setattr(newton, "ENTRIES", 4)
    monkeypatch.setattr(sys.modules[fixed_points.__module__], "ENTRIES", 4)
    improve = newton._improve_whole

    def stop_later(*arguments):
        calls.append(1)
        if len(calls) > 12:
            raise KeyboardInterrupt
        return improve(*arguments)

    monkeypatch.setattr(newton, "_improve_whole", stop_later)
    with pytest.warns(UserWarning, match="interrupted") as caught:
        found = fixed_points(system, starts_in_box(-1, 1, 40, 1))
    assert caught.pop(UserWarning).filename == __file__  # it points at the call
    assert found.interrupted and 0 < found.converged < 40 and found.starts == 40
    assert len(found.points) > 0 and "interrupted" in found.describe()


def test_a_search_that_is_interrupted_along_its_cycles_says_so_too(monkeypatch):
    """Hypothesis: the cycle's other points are searched for after all starts, and count as well."""
    module = sys.modules[fixed_points.__module__]
    search = module.search

    def stop_second(system, starts, *arguments):
        found = search(system, starts, *arguments)
        return found._replace(interrupted=len(starts) != 40)

    monkeypatch.setattr(module, "search", stop_second)
    with pytest.warns(UserWarning, match="interrupted"):
        found = fixed_points(logistic(3.2), starts_in_box(0.1, 0.9, 40, 1), period=2)
    assert found.interrupted and len(found.points) == 3  # the cycle's two and the fixed point


def test_nothing_is_made_on_another_device_than_the_systems():
    """Hypothesis: with every tensor that names no device made elsewhere, the search still runs."""
    system, start = one_unit(2.0), torch.tensor([[0.4], [0.0]], dtype=F64)
    ghost = from_function(lambda x, theta: x + 1e-3 + x**2, 1)
    with torch.device("meta"):
        found = fixed_points(system, start)
        slow = fixed_points(ghost, start)
        products = fixed_points(
            elman(torch.diag(torch.arange(1, 13, dtype=F64, device="cpu") / 20)),
            torch.full((1, 12), 0.1, dtype=F64, device="cpu"), dense=1, leading=3,
        )  # fmt: skip
    assert {found.points.device.type, slow.slow.points.device.type} == {"cpu"}
    assert len(found.points) == 2 and len(slow.slow.points) == 1 and len(products.points) == 1


@pytest.mark.parametrize("name", ["tolerance", "separation", "neutral", "disturbance"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_constant_out_of_range_is_refused_by_name(name, value):
    """Hypothesis: separation=-1 or nan would never end."""
    with pytest.raises(ValueError, match=f"{name} is"):
        fixed_points(one_unit(2.0), torch.zeros(1, 1, dtype=F64), **{name: value})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"starts": torch.zeros(2, dtype=F64)}, ValueError, "starts has shape"),
        ({"starts": torch.zeros(0, 1, dtype=F64)}, ValueError, "M >= 1"),
        ({"starts": torch.zeros(3, 2, dtype=F64)}, ValueError, "x0 has shape"),
        ({"starts": torch.zeros(3, 1)}, TypeError, "float64"),
        ({"period": 0}, ValueError, "period is 0"),
        ({"max_iterations": 0}, ValueError, "max_iterations is 0"),
        ({"leading": 0}, ValueError, "leading is 0"),
        ({"starts": torch.zeros(3, 1, dtype=F64, device="meta")}, ValueError, "starts is on meta"),
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

import cmath
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from rnnlib import from_module, jacobian, simulate, steady_state
from rnnlib.dynamics import find_attractor, fixed_points, starts_in_box
from rnnlib.memory import memory_state
from rnnlib.systems.bifurcating_cells import (
    BIFURCATIONS,
    FLIP,
    FOLD,
    NEIMARK_SACKER,
    PITCHFORK,
    elman,
    elman_with_fixed_point,
    fold_bias,
    one_unit,
    rotation,
)

F64 = torch.float64
quick = settings(deadline=None, max_examples=8, derandomize=True)


def roots_at(case, *values):
    grid = torch.tensor(values, dtype=F64)
    return fixed_points(case.family(grid[:, None]), starts_in_box(-1, 1, 40, case.n_x))


@pytest.mark.parametrize("case", BIFURCATIONS, ids=lambda case: case.name)
def test_an_eigenvalue_is_on_the_unit_circle_at_the_closed_form_value(case):
    """Hypothesis: the stated eigenvalue is one of the Jacobian's at the stated parameter."""
    system = case.family(torch.tensor(case.at, dtype=F64))
    x = torch.zeros(case.n_x, dtype=F64)
    if case is FOLD:
        x = torch.tensor([-math.sqrt(1 - 1 / 2.0)], dtype=F64)
        torch.testing.assert_close(system.step(x), x, atol=1e-14, rtol=0)
    eigenvalues = torch.linalg.eigvals(jacobian(system, x))
    assert (eigenvalues - case.eigenvalue).abs().min() < 1e-12
    assert abs(abs(case.eigenvalue) - 1) < 1e-15


@quick
@given(gain=st.floats(1.05, 8.0))
def test_two_fixed_points_appear_where_the_fold_formula_says(gain):
    """Hypothesis: one root beyond |b| = b_f and three within; both signs of b."""
    at = fold_bias(gain)
    for sign in (1, -1):
        b = sign * at * torch.tensor([0.98, 1.02], dtype=F64)
        found = fixed_points(
            one_unit(torch.full_like(b, gain)[:, None], b[:, None]), starts_in_box(-1.2, 1.2, 60, 1)
        )
        assert torch.bincount(found.member, minlength=2).tolist() == [3, 1]


def test_the_pitchfork_trades_one_stable_fixed_point_for_two_and_a_repeller():
    """Hypothesis: stable 0 below w = 1; unstable 0 and stable +-x* above, x* = tanh(w x*)."""
    found = roots_at(PITCHFORK, 0.9, 1.1)
    assert found.stability[(found.member == 0).numpy()].tolist() == ["stable"]
    above = found.member == 1
    order = found.points[above, 0].argsort()
    assert found.stability[above.numpy()][order.numpy()].tolist() == [
        "stable",
        "unstable",
        "stable",
    ]
    expected = torch.tensor([-memory_state(1.1), 0, memory_state(1.1)], dtype=F64)
    torch.testing.assert_close(found.points[above, 0][order], expected, atol=1e-11, rtol=0)


def test_near_the_pitchfork_the_branches_follow_the_normal_form():
    """Hypothesis: x* = sqrt(3 (w - 1)) to leading order, as tanh u = u - u^3 / 3."""
    for excess in (1e-3, 1e-4):
        assert memory_state(1 + excess) == pytest.approx(math.sqrt(3 * excess), rel=2 * excess)


def test_the_flip_gives_a_stable_two_cycle_of_the_pitchforks_size():
    """Hypothesis: x' = -tanh(g x) alternates between +-x* with x* = tanh(g x*)."""
    steady = steady_state(
        FLIP.family(torch.tensor([0.8, 1.3], dtype=F64)), torch.full((2, 1), 0.3, dtype=F64)
    )
    assert steady.describe((0,)) == "fixed point" and steady.describe((1,)) == "period 2"
    end = simulate(
        FLIP.family(torch.tensor(1.3, dtype=F64)), torch.tensor([0.3], dtype=F64), 2, burn_in=2000
    )
    torch.testing.assert_close(end[:, 0].abs(), torch.full((2,), memory_state(1.3), dtype=F64))
    assert end[0, 0] * end[1, 0] < 0


def test_beyond_neimark_sacker_a_circle_of_the_predicted_radius_attracts():
    """Hypothesis: r^2 = 4 (rho - 1) to leading order, since the mean of cos^4 + sin^4 is 3/4."""
    rho = 1.002
    system = NEIMARK_SACKER.family(torch.tensor(rho, dtype=F64))
    circle = find_attractor(system, torch.tensor([0.3, 0.0], dtype=F64), burn_in=8000)
    assert circle.kind == "quasi-periodic"
    radius = circle.points.norm(dim=-1).square().mean().sqrt()
    assert float(radius) == pytest.approx(2 * math.sqrt(rho - 1), rel=0.02)
    below = simulate(
        NEIMARK_SACKER.family(torch.tensor(0.98, dtype=F64)),
        torch.ones(2, dtype=F64),
        1,
        burn_in=2000,
    )
    assert below.abs().max() < 1e-12


def test_the_rotating_cells_eigenvalues_are_rho_times_the_rotation():
    """Hypothesis: at 0 the Jacobian is W itself."""
    eigenvalues = roots_at(NEIMARK_SACKER, 0.9).eigenvalues[0]
    torch.testing.assert_close(eigenvalues.abs(), torch.full((2,), 0.9, dtype=F64))
    assert abs(abs(cmath.phase(complex(eigenvalues[0]))) - 1.0) < 1e-12


def test_the_elman_cell_is_torchs():
    """Hypothesis: the same numbers as torch.nn.RNN through from_module."""
    torch.manual_seed(0)
    module = torch.nn.RNN(2, 3, bias=False).double()
    mine = elman(module.weight_hh_l0.detach(), input_weight=module.weight_ih_l0.detach())
    x, z = torch.randn(5, 3, dtype=F64), torch.randn(5, 2, dtype=F64)
    torch.testing.assert_close(mine.step(x, z), from_module(module).step(x, z))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: elman(torch.zeros(2, 3)), "weight has shape"),
        (lambda: elman(torch.zeros(2)), "weight has shape"),
        (lambda: elman(torch.zeros(2, 2), torch.zeros(3)), "bias_hh_l0 has shape"),
        (lambda: elman(torch.zeros(2, 2), torch.tensor([0, torch.nan])), "not finite"),
        (lambda: elman_with_fixed_point(torch.tensor([1.0]), torch.eye(1)), "inside"),
        (lambda: elman_with_fixed_point(torch.tensor([-1.5]), torch.eye(1)), "inside"),
        (lambda: fold_bias(1.0), "gain is 1.0"),
    ],
)
def test_bad_input_names_the_argument(call, message):
    """Hypothesis: the message says what was wrong."""
    with pytest.raises(ValueError, match=message):
        call()


def test_a_rotation_is_orthogonal():
    """Hypothesis: R^T R = 1, and the first axis turns counterclockwise."""
    r = rotation(0.7)
    assert r[:, 0].tolist() == [math.cos(0.7), math.sin(0.7)]
    torch.testing.assert_close(r.T @ r, torch.eye(2, dtype=F64))

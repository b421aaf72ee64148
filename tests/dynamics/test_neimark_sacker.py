"""The Neimark-Sacker bifurcation: closed forms, and predicted beside simulated amplitudes."""

import math

import numpy as np
import pytest
import torch

from rnnlib import from_function, from_module, linear, simulate
from rnnlib.dynamics.neimark_sacker import (
    _multilinear,
    find_crossing,
    growths,
    multiplier,
    normal_form,
    segment,
)
from rnnlib.dynamics.oscillation import oscillation
from rnnlib.systems import NEIMARK_SACKER, PITCHFORK, rotation

F64 = torch.float64


def rotating(t):
    """``tanh(rho R x)`` with rho from 0.9 to 1.2: the pair crosses at a third of the way."""
    return NEIMARK_SACKER.family(torch.as_tensor(0.9 + 0.3 * t, dtype=F64))


def delayed_logistic(r):
    def step(x, theta):
        return torch.stack([theta["r"] * x[..., 0] * (1 - x[..., 1]), x[..., 0]], -1)

    return from_function(step, 2, {"r": torch.as_tensor(r, dtype=F64)})


def in_normal_form(d, angle=0.9, growth=0.0):
    """``u' = exp(i angle) u (1 + growth + d |u|^2)`` on the plane, ``u = x_1 + i x_2``."""

    def step(x, theta):
        u = torch.complex(x[..., 0], x[..., 1])
        u = np.exp(1j * angle) * u * (1 + growth + d * x.square().sum(-1))
        return torch.stack([u.real, u.imag], -1)

    return from_function(step, 2)


def test_the_rotating_cell_crosses_where_the_closed_form_says():
    found = find_crossing(rotating, torch.zeros(2, dtype=F64))
    assert found.at == pytest.approx(1 / 3, abs=1e-9)
    assert found.angle == pytest.approx(1.0, abs=1e-9)
    assert found.coefficient == pytest.approx(-0.5, abs=1e-9)
    growth = torch.tensor([0.01, -0.01], dtype=F64)
    radius = torch.tensor([2 * math.sqrt(0.01), 0.0], dtype=F64)
    torch.testing.assert_close(found.predict(growth), radius)


def test_quadratic_terms_count_the_delayed_logistic_map_grows_as_its_coefficient_predicts():
    found = find_crossing(
        lambda t: delayed_logistic(1.9 + 0.2 * t), torch.tensor([0.47, 0.47], dtype=F64)
    )
    assert 1.9 + 0.2 * found.at == pytest.approx(2.0, abs=1e-9)
    assert found.angle == pytest.approx(math.pi / 3, abs=1e-9)
    r = torch.tensor([2.001, 2.004], dtype=F64)
    orbit = simulate(delayed_logistic(r), torch.full((2, 2), 0.49, dtype=F64), 600, burn_in=20000)
    predicted = found.predict((r - 1).sqrt() - 1)  # the pair's product is r - 1
    torch.testing.assert_close(oscillation(orbit[..., 0]).amplitude, predicted, rtol=5e-3, atol=0)


@pytest.mark.parametrize("d", [-0.3 + 0.7j, 0.2 - 0.1j])
def test_a_map_in_normal_form_gives_back_its_coefficient_with_its_sign(d):
    a, amplitude = normal_form(in_normal_form(d), torch.zeros(2, dtype=F64))
    assert a == pytest.approx(2 * d.real)  # |u|^2 = 2 |w|^2 for an eigenvector of length 1
    assert amplitude == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("angle", [0.9, 2.5])
def test_bent_coordinates_do_not_change_the_coefficient(angle):
    """Hypothesis: seen through (x, y + 0.7 x^2), then (x - 0.4 y^2, y), a normal form has quadratic
    terms and the same coefficient."""
    d = -0.3 + 0.7j
    plain = in_normal_form(d, angle)

    def bent(x, theta):
        x, y = x.unbind(-1)
        x = x + 0.4 * y**2
        x, y = plain.step(torch.stack([x, y - 0.7 * x**2], -1)).unbind(-1)
        y = y + 0.7 * x**2
        return torch.stack([x - 0.4 * y**2, y], -1)

    a, amplitude = normal_form(from_function(bent, 2), torch.zeros(2, dtype=F64))
    assert a == pytest.approx(2 * d.real, rel=1e-9)
    assert amplitude == pytest.approx(math.sqrt(2))


def test_strong_resonances_are_at_a_third_and_a_quarter_of_a_turn():
    start = torch.zeros(2, dtype=F64)
    for angle, expected in ((2 * math.pi / 3, 0), (math.pi / 2, 0), (1.0, abs(np.exp(1j) - 1))):
        found = find_crossing(lambda t, a=angle: in_normal_form(-1, a, t - 0.4), start)
        assert found.resonance == pytest.approx(expected, abs=1e-6)


def test_directional_derivatives_agree_with_those_of_the_whole_tensor():
    torch.manual_seed(0)
    system = from_module(torch.nn.LSTM(1, 3).double()).hold(torch.zeros(1, dtype=F64))
    x, u, v, w = torch.randn(4, 6, dtype=F64)
    second = torch.func.jacfwd(torch.func.jacfwd(system.step))
    third = torch.einsum("ijkl,j,k,l->i", torch.func.jacfwd(second)(x), u, v, w)
    np.testing.assert_allclose(_multilinear(system, x, u.numpy(), v.numpy(), w.numpy()), third)
    mixed = torch.einsum("ijk,j,k->i", second(x).cfloat().cdouble(), u + 1j * v, w.cdouble())
    np.testing.assert_allclose(
        _multilinear(system, x, (u + 1j * v).numpy(), w.numpy()), mixed, rtol=1e-5
    )


def test_no_crossing_is_found_where_there_is_none_or_a_real_one():
    start = torch.zeros(2, dtype=F64)
    assert find_crossing(lambda t: rotating(t / 4), start) is None  # stays inside
    real = find_crossing(
        lambda t: PITCHFORK.family(torch.tensor(0.5 + t, dtype=F64)), torch.zeros(1, dtype=F64)
    )
    assert real is None
    turning = find_crossing(lambda t: linear(rotation(1.0 + t)), start)  # on the circle all along
    assert turning is None


def test_a_branch_that_ends_on_the_way_gives_no_crossing():
    def fold(t):  # x' = x + x^2 + (t - 1/2), no fixed point beyond the middle
        shift = torch.as_tensor(t - 0.5, dtype=F64)
        return from_function(lambda x, theta: x + x**2 + theta["shift"], 1, {"shift": shift})

    assert find_crossing(fold, torch.tensor([-0.7], dtype=F64)) is None
    point, leading = multiplier(fold(1.0), torch.tensor([-0.7], dtype=F64))
    assert point.isnan().all() and math.isnan(leading.real)


def test_a_jump_to_another_branch_is_no_crossing():
    """Hypothesis: a branch inside the circle ends, one outside is found after it, nothing crosses.

    The first component rests at -1 and at 0 in the beginning, at -0.15 alone in the end; the
    branch from -1 ends in a fold at -0.7. The other two turn, and grow where it is above -0.5.
    """

    def family(t):
        def step(x, theta):
            u, v, w = x.unbind(-1)
            wave = torch.sin(2 * math.pi * u) / (2 * math.pi)
            u_next = u - 0.3 * torch.lerp(wave, u + 0.15, theta["t"])
            rho, turn = 1.1 + 0.2 * u, 0.7
            v_next = rho * (math.cos(turn) * v - math.sin(turn) * w)
            w_next = rho * (math.sin(turn) * v + math.cos(turn) * w)
            return torch.stack([u_next, v_next, w_next], -1)

        return from_function(step, 3, {"t": torch.as_tensor(t, dtype=F64)})

    first = torch.tensor([-1.0, 0.0, 0.0], dtype=F64)
    last, outside = multiplier(family(1.0), first)
    assert abs(multiplier(family(0.0), first)[1]) < 1 < abs(outside)
    assert abs(multiplier(family(0.0), last)[1]) > 1  # the way back is along another branch
    assert find_crossing(family, first) is None


def test_a_segment_leads_from_one_network_to_the_other_also_as_a_batch():
    torch.manual_seed(0)
    first, last = (from_module(torch.nn.LSTM(1, 3).double()) for _ in range(2))
    family = segment(first, last)
    for name, p in family(torch.tensor([0.0, 0.5, 1.0], dtype=F64)).theta.items():
        middle = (first.theta[name] + last.theta[name]) / 2
        torch.testing.assert_close(p, torch.stack([first.theta[name], middle, last.theta[name]]))
    assert family(0.25).batch_shape == ()


def test_growth_is_that_of_the_multiplier_along_the_branch():
    found = find_crossing(rotating, torch.zeros(2, dtype=F64))
    values = torch.tensor([0.4, 0.7, 1.0], dtype=F64)
    torch.testing.assert_close(growths(rotating, found, values), 0.9 + 0.3 * values - 1)

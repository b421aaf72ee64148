"""The two-unit LSTM of section 4.1: its step by hand, and its families of parameters."""

import pytest
import torch

import rnnlib
from rnnlib.systems import (
    PRINTED_WEIGHTS,
    THETA_PRINTED,
    THETA_TRUE,
    WEIGHTS,
    X0,
    chaotic_lstm,
    line,
    plane,
    theta_random,
)

F64 = {"dtype": torch.float64}


@pytest.mark.parametrize(
    "theta, weights", [(THETA_TRUE, WEIGHTS), (THETA_PRINTED, PRINTED_WEIGHTS)]
)
def test_its_step_is_equations_s17_and_s18(theta, weights):
    """Hypothesis: with W_hi, W_hf, W_hg, W_ho as they stand in the table, written out by hand."""
    h, c = torch.tensor([0.3, -0.6], **F64), torch.tensor([1.2, -0.4], **F64)
    i, f, g, o = (torch.tensor(weights[gate], **F64) @ h for gate in "ifgo")
    c_next = f.sigmoid() * c + i.sigmoid() * g.tanh()
    expected = torch.cat([o.sigmoid() * c_next.tanh(), c_next])
    system = chaotic_lstm(theta)
    torch.testing.assert_close(system.step(torch.cat([h, c])), expected, atol=1e-15, rtol=0)
    assert torch.equal(system.read(expected), expected[:2]) and system.n_z == 0


def test_the_printed_weights_are_those_of_supplement_c():
    """Hypothesis: W_hi, W_hf, W_hg and W_ho as the paper prints them, stacked on each other."""
    printed = """
        -1 4   -3 -2
        -2 6    0 -6
        -1 -6   6 -9
         4 1   -9  7
    """
    expected = torch.tensor([float(word) for word in printed.split()], **F64).reshape(8, 2)
    assert torch.equal(THETA_PRINTED, expected)


def test_the_printed_weights_lack_two_minus_signs():
    changed = (THETA_PRINTED != THETA_TRUE).nonzero().tolist()
    assert changed == [[0, 1], [7, 1]]
    assert torch.equal(THETA_PRINTED.abs(), THETA_TRUE.abs())
    assert (THETA_PRINTED - THETA_TRUE).min() >= 0


def test_the_orbit_of_the_figures_starts_at_one_half():
    assert X0.tolist() == [0.5] * 4


def test_a_line_scales_the_weights_and_a_plane_adds_two_directions():
    """Hypothesis: theta(s) = s theta and theta(s1, s2) = s1 first + s2 second, over any grid."""
    s = torch.linspace(0.2, 1.4, 3, **F64)
    second = theta_random()
    along, over = line()(s), plane(THETA_TRUE, second)(s[:, None], 2 * s)
    for i in range(3):
        assert torch.equal(along.theta["weight_hh_l0"][i], s[i] * THETA_TRUE)
        for j in range(3):
            expected = s[i] * THETA_TRUE + 2 * s[j] * second
            torch.testing.assert_close(over.theta["weight_hh_l0"][i, j], expected)
    assert torch.equal(line(second)(s[0]).theta["weight_hh_l0"], s[0] * second)
    assert rnnlib.simulate(over, X0, 2).shape == (2, 3, 3, 4)


def test_the_random_direction_is_uniform_and_the_same_each_time():
    """Hypothesis: 8 x 2 numbers of [0, 1) with mean 1/2 (over 200 seeds, 5 standard errors)."""
    assert torch.equal(theta_random(), theta_random(0))
    many = torch.stack([theta_random(seed) for seed in range(200)])
    assert many.shape == (200, 8, 2) and many.dtype == torch.float64
    assert many.min() >= 0 and many.max() < 1
    assert abs(float(many.mean()) - 0.5) < 5 * (1 / 12 / 3200) ** 0.5
    assert abs(float(many.var()) - 1 / 12) < 0.005

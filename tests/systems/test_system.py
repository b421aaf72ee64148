"""Equation (1) as code: steps, batches of parameters, held inputs, the closed loop."""

import pytest
import torch

import rnnlib
from rnnlib.nn import affine, batch_innermost, join, times_tanh
from rnnlib.systems.chaotic_lstm import THETA_TRUE, X0, chaotic_lstm, line


def test_a_batch_of_parameters_is_as_many_single_systems():
    """Hypothesis: one call over a sweep gives what a loop over its values gives."""
    s = torch.linspace(0.1, 2, 7, dtype=torch.float64)
    batched = line()(s).step(X0.expand(7, 4))
    single = torch.stack([chaotic_lstm(value * THETA_TRUE).step(X0) for value in s])
    torch.testing.assert_close(batched, single, atol=1e-15, rtol=0)


def test_parameters_and_states_broadcast_over_a_grid():
    """Hypothesis: a grid (s1, s2) of parameters times k initial states is one call."""
    theta = torch.randn(3, 4, 1, 8, 2, dtype=torch.float64)
    states = torch.rand(5, 4, dtype=torch.float64)
    system = chaotic_lstm(theta)
    out = system.step(system.initial_state(states))
    assert out.shape == (3, 4, 5, 4)
    torch.testing.assert_close(
        out[2, 1, 3], chaotic_lstm(theta[2, 1, 0]).step(states[3]), atol=1e-15, rtol=0
    )


@pytest.mark.parametrize("columns", [2, 8, 9, 30])
@pytest.mark.parametrize("batch", [(), (6,), (3, 1)])
def test_affine_is_a_matrix_product_whatever_route_it_takes(columns, batch):
    """Hypothesis: the multiply-add, the shared-matrix and the plain route agree with einsum."""
    weight = torch.randn(*batch, 5, columns, dtype=torch.float64)
    bias = torch.randn(*batch, 5, dtype=torch.float64)
    x = torch.randn(*(batch or (4,))[:-1], 4 if batch == (3, 1) else (batch or (4,))[-1], columns)
    x = batch_innermost(x.double(), 1)
    expected = torch.einsum("...ij,...j->...i", weight, x) + bias
    torch.testing.assert_close(affine(weight, x, bias), expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(affine(weight, x), expected - bias, atol=1e-13, rtol=0)


def test_layout_changes_strides_and_nothing_else():
    """Hypothesis: batch_innermost and join keep shapes and values."""
    x = torch.randn(6, 3, 4)
    assert torch.equal(batch_innermost(x, 1), x)
    assert batch_innermost(x, 1).stride(0) < batch_innermost(x, 1).stride(-1)
    assert torch.equal(join(x[..., :1], x[..., 1:]), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_times_tanh_is_accurate_to_one_rounding_and_saturates_cleanly(dtype):
    """Hypothesis: a tanh(x) is within two units of a, also at infinity and at zero."""
    x = torch.tensor([-torch.inf, -800.0, -20, -1, -1e-9, 0, 1e-9, 1, 20, 800, torch.inf])
    a = torch.tensor(0.7, dtype=dtype)
    error = (times_tanh(a, x.to(dtype)).double() - a.double() * torch.tanh(x.double())).abs()
    assert error.max() <= 2 * torch.finfo(dtype).eps
    assert torch.isnan(times_tanh(a, torch.tensor(torch.nan, dtype=dtype)))


def test_a_system_is_differentiable_in_its_parameters():
    """Hypothesis: autograd through batched steps passes gradcheck."""
    theta = (0.5 * THETA_TRUE.expand(3, 8, 2)).clone().requires_grad_()

    def two_steps(theta):
        system = rnnlib.lstm({"weight_hh_l0": THETA_TRUE})
        system = type(system)(**{**vars(system), "theta": {"weight_hh_l0": theta}})
        return system.step(system.step(X0.expand(3, 4)))

    assert torch.autograd.gradcheck(two_steps, (theta,))


def test_the_closed_loop_feeds_each_output_back():
    """Hypothesis: the closed loop equals the loop written out by hand, and is without input."""
    torch.manual_seed(0)
    gru, readout = torch.nn.GRU(2, 5).double(), torch.nn.Linear(5, 2).double()
    loop = rnnlib.closed_loop(rnnlib.from_module(gru, readout), feedback=torch.tanh, n_y=2)
    y0 = torch.tensor([0.3, -0.2], dtype=torch.float64)
    outputs = rnnlib.simulate(
        loop, torch.cat([torch.zeros(5, dtype=torch.float64), y0]), 20, observe="output"
    )
    h, y, expected = torch.zeros(1, 5, dtype=torch.float64), y0, []
    with torch.no_grad():
        for _ in range(20):
            _, h = gru(torch.tanh(y)[None], h)
            y = readout(h[0])
            expected.append(y)
    torch.testing.assert_close(outputs, torch.stack(expected), atol=1e-13, rtol=0)
    assert loop.n_z == 0 and loop.n_x == 7


def test_a_held_input_can_be_swept_like_a_parameter():
    """Hypothesis: a batch of held inputs is a batch of autonomous systems."""
    module = torch.nn.RNN(1, 3).double()
    held = rnnlib.from_module(module).hold(torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None])
    out = rnnlib.simulate(held, torch.zeros(3, dtype=torch.float64), 4)
    expected, _ = module(held.z.expand(4, 5, 1))
    torch.testing.assert_close(out, expected.detach(), atol=1e-14, rtol=0)


def test_what_cannot_be_a_system_says_why():
    """Hypothesis: each kind of bad input names the argument, the value and the remedy."""
    system = chaotic_lstm()
    with pytest.raises(ValueError, match="unknown parameter 'weight_hh'"):
        system.at({"weight_hh": THETA_TRUE})
    with pytest.raises(ValueError, match=r"must be \(8, 2\)"):
        system.at({"weight_hh_l0": torch.zeros(5, 8, 3, dtype=torch.float64)})
    with pytest.raises(ValueError, match="not finite"):
        system.at({"weight_hh_l0": THETA_TRUE * torch.nan})
    with pytest.raises(ValueError, match=r"states of shape \(\*batch, 4\)"):
        system.initial_state(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(TypeError, match="x0 is torch.float32"):
        system.initial_state(torch.zeros(4))
    with pytest.raises(ValueError, match="do not broadcast"):
        line()(torch.ones(3, dtype=torch.float64)).initial_state(X0.expand(5, 4))
    with pytest.raises(ValueError, match="nothing can be fed back"):
        rnnlib.closed_loop(system, torch.tanh, 2)
    with pytest.raises(ValueError, match=r"takes inputs of shape \(\*batch, 2\)"):
        rnnlib.from_module(torch.nn.RNN(2, 3)).hold(torch.zeros(3))
    with pytest.raises(ValueError, match=r"system.hold\(z\)"):
        rnnlib.from_module(torch.nn.RNN(2, 3)).step(torch.zeros(3))
    with pytest.raises(ValueError, match=r"needs \(\*batch, n, n\)"):
        rnnlib.linear(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="theta\\['r'\\] has 1 values that are not finite"):
        rnnlib.logistic(float("nan"))

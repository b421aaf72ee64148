"""Equation (1) as code: steps, batches of parameters, held inputs, the closed loop."""

import dataclasses

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


def taught():
    """A GRU that sees its last output and an external input, z = (y_{t-1}, u_t), by hand."""
    torch.manual_seed(0)
    gru, readout = torch.nn.GRU(3, 5).double(), torch.nn.Linear(5, 2).double()
    h0, y0, u = torch.randn(1, 5), torch.randn(2), torch.randn(12, 1)
    return gru, readout, h0.double(), y0.double(), u.double()


def test_a_closed_loop_with_an_external_input_is_the_loop_written_out():
    """Hypothesis: z = (y_{t-1}, u_t) (section 2), step by step, and held inputs are held."""
    gru, readout, h, y, u = taught()
    loop = rnnlib.closed_loop(rnnlib.from_module(gru, readout), lambda y: y, n_y=2, n_u=1)
    assert loop.n_z == 1 and loop.n_x == 7
    start, expected = torch.cat([h[0], y]), []
    with torch.no_grad():
        for t in range(12):
            _, h = gru(torch.cat([y, u[t]])[None], h)
            y = readout(h[0])
            expected.append(y)
    found = rnnlib.simulate(loop, start, 12, inputs=u, observe="output")
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-13, rtol=0)
    held = rnnlib.simulate(loop.hold(u[0]), start, 12)
    same = rnnlib.simulate(loop, start, 12, inputs=u[:1].expand(12, 1))
    torch.testing.assert_close(held, same, atol=1e-13, rtol=0)
    many = rnnlib.simulate(loop.hold(u[:, :1]), start, 3)
    torch.testing.assert_close(many[:, 0], held[:3], atol=1e-13, rtol=0)


def test_a_teacher_forced_run_is_the_open_system_fed_its_targets():
    """Hypothesis: with each output replaced by its target, the loop is the open system driven by
    (target_{t-1}, u_t)."""
    gru, readout, h, y0, u = taught()
    open_system = rnnlib.from_module(gru, readout)
    loop = rnnlib.closed_loop(open_system, lambda y: y, n_y=2, n_u=1)
    targets = torch.randn(12, 2, dtype=torch.float64)
    before = torch.cat([y0[None], targets[:-1]])
    driven = rnnlib.simulate(open_system, h[0], 12, inputs=torch.cat([before, u], dim=-1))
    x = h[0]
    for t in range(12):
        extended = loop.step(torch.cat([x, before[t]]), u[t])
        x = extended[:5]
        torch.testing.assert_close(x, driven[t], atol=1e-13, rtol=0)
        torch.testing.assert_close(
            extended[5:], open_system.read(driven[t], torch.cat([before[t], u[t]]))
        )


def test_a_read_out_sees_the_input_that_led_to_its_state():
    """Hypothesis: y_t = g(x_{t+1}, z_t) with this very z_t, in a simulation, a cost and a loop."""
    system = rnnlib.System(
        f=lambda x, z, theta: x / 2, n_x=1, n_z=1, g=lambda x, z, theta: 10 * x + z
    )
    u = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    x0 = torch.ones(1, dtype=torch.float64)
    seen = rnnlib.simulate(system, x0, 2, burn_in=1, inputs=u, observe="output")
    assert seen[:, 0].tolist() == [2.5 + 2, 1.25 + 3]
    assert rnnlib.cost(system, x0, seen, burn_in=1, inputs=u) == 0
    loop = rnnlib.closed_loop(system, lambda y: y, 1)
    assert loop.step(torch.tensor([1.0, 7.0], dtype=torch.float64)).tolist() == [0.5, 5 + 7]


def test_a_held_input_can_be_swept_like_a_parameter():
    """Hypothesis: a batch of held inputs is a batch of autonomous systems."""
    module = torch.nn.RNN(1, 3).double()
    held = rnnlib.from_module(module).hold(torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None])
    out = rnnlib.simulate(held, torch.zeros(3, dtype=torch.float64), 4)
    expected, _ = module(held.z.expand(4, 5, 1))
    torch.testing.assert_close(out, expected.detach(), atol=1e-14, rtol=0)


def test_a_system_says_what_it_is():
    net = rnnlib.from_module(torch.nn.RNN(2, 3), torch.nn.Linear(3, 1))
    assert repr(net).startswith("<RNN: n_x=3, n_z=2; parameters weight_ih_l0 (3, 2), ")
    assert "held at z of shape (2,)" in repr(net.hold(torch.zeros(2)))
    assert "no parameters of its own" in repr(rnnlib.from_step(lambda x: x, 1))


def test_a_system_is_a_value_that_nothing_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        rnnlib.henon().n_x = 3


def test_moving_a_system_leaves_whole_numbers_whole():
    """Hypothesis: a dtype converts floating-point tensors alone, as torch.nn.Module.to does."""
    counted = torch.nn.BatchNorm1d(2)
    system = rnnlib.from_step(counted, 2).to(torch.float64)
    kinds = {name: value.dtype for name, value in system.theta.items()}
    assert kinds["weight"] == torch.float64 and kinds["num_batches_tracked"] == torch.int64


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
    net = rnnlib.from_module(torch.nn.RNN(2, 3).double())
    with pytest.raises(TypeError, match="z is torch.float32 and theta.*system.to"):
        net.hold(torch.zeros(2))
    with pytest.raises(TypeError, match=r"z is a list; give a tensor, for example torch.as_tensor"):
        net.hold([0.0, 0.0])
    with pytest.raises(ValueError, match="z has shape .2,., but chaotic LSTM takes no input"):
        system.hold(torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"z has shape \(2,\).*takes no input \(n_z=0\)"):
        system.step(X0, torch.zeros(2, dtype=torch.float64))
    with pytest.raises(TypeError, match="x0 is a ndarray; give a tensor"):
        system.initial_state(X0.numpy())
    for dtype in (torch.int64, torch.complex128):
        with pytest.raises(TypeError, match=f"x0 is {dtype}; .* real floating-point"):
            system.initial_state(X0.to(dtype))
    with pytest.raises(ValueError, match="x0 is on meta and theta.* on cpu.*system.to"):
        system.initial_state(X0.to("meta"))
    inputs = torch.zeros(5, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"inputs has shape \(5, 3\).*\(steps, \*batch, 2\)"):
        net.check_inputs(torch.zeros(5, 3, dtype=torch.float64), 5)
    with pytest.raises(ValueError, match=r"inputs has shape \(2,\)"):
        net.check_inputs(inputs[0], 1)
    with pytest.raises(TypeError, match="inputs is torch.float32 and theta"):
        net.check_inputs(inputs.float(), 5)
    with pytest.raises(TypeError, match="inputs is a list"):
        net.check_inputs([0.0], 1)
    with pytest.raises(ValueError, match="n_u is 2; of the 2 inputs of RNN at least one"):
        rnnlib.closed_loop(net, lambda y: y[..., :0], 3, 2)
    with pytest.raises(ValueError, match="n_y is 2; the output of RNN has 3"):
        loop = rnnlib.closed_loop(net, lambda y: y, 2)
        loop.step(torch.zeros(5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"system.hold\(z\)"):
        rnnlib.from_module(torch.nn.RNN(2, 3)).step(torch.zeros(3))
    with pytest.raises(ValueError, match=r"needs \(\*batch, n, n\)"):
        rnnlib.linear(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="theta\\['r'\\] has 1 values that are not finite"):
        rnnlib.logistic(float("nan"))

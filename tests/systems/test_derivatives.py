"""The derivative of a step: right on every route, or an error; never a silent zero."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import rnnlib
from rnnlib.systems import X0, Tangents, chaotic_lstm, derivatives, line
from rnnlib.systems.derivatives import depends_on_the_state

F64 = {"dtype": torch.float64}
POINT = torch.tensor([0.3, -0.2], **F64)
EXACT = torch.tensor([[-2.8 * 0.3, 1.0], [0.3, 0.0]], **F64)  # of the Henon map at the point


def henon(x):
    return torch.stack([1 - 1.4 * x[..., 0] ** 2 + x[..., 1], 0.3 * x[..., 0]], -1)


def through_numpy(x):
    return torch.from_numpy(henon(torch.tensor(x.detach().numpy())).numpy())


def without_gradients(x):
    with torch.no_grad():
        return henon(x)


def in_inference_mode(x):
    with torch.inference_mode():
        return henon(x)


def half_detached(x):
    return henon(torch.stack([x[..., 0], x[..., 1].detach()], -1))


class WithoutForwardRule(torch.autograd.Function):
    """The square, with a backward pass alone, as libraries of spiking networks and of solvers write
    theirs."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


def with_a_backward_pass_alone(x):
    square = WithoutForwardRule.apply(x[..., 0])
    return torch.stack([1 - 1.4 * square + x[..., 1], 0.3 * x[..., 0]], -1)


def lorenz(x):
    a, b, c = x.unbind(-1)
    return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


def runge_kutta(x, dt=0.01):
    k1 = lorenz(x)
    k2 = lorenz(x + dt / 2 * k1)
    k3 = lorenz(x + dt / 2 * k2)
    k4 = lorenz(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def test_the_jacobian_is_the_limit_of_central_differences():
    """Hypothesis: every system's Jacobian agrees with central differences."""
    torch.manual_seed(0)
    z = torch.ones(2, **F64)
    systems = [
        rnnlib.henon(),
        chaotic_lstm(),
        rnnlib.from_module(torch.nn.GRU(2, 3, num_layers=2).double()).hold(z),
        rnnlib.from_module(torch.nn.LSTM(2, 3, num_layers=2).double()).hold(z),
        rnnlib.from_module(torch.nn.RNN(2, 3).double()).hold(z),
        rnnlib.from_step(runge_kutta, 3),
    ]
    for system in systems:
        x = torch.rand(system.n_x, **F64)
        e = 1e-6 * torch.eye(system.n_x, **F64)
        differences = (system.step(x + e) - system.step(x - e)).mT / 2e-6
        torch.testing.assert_close(rnnlib.jacobian(system, x), differences, atol=1e-8, rtol=0)


@pytest.mark.parametrize("derivative", [None, "forward", "reverse", "differences"])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_every_route_has_one_jacobian(derivative, batch):
    """Hypothesis: the routes agree with the formula, whatever the batch axes and the vectors."""
    x = torch.rand(*batch, 2, generator=torch.Generator().manual_seed(0), **F64)
    system = rnnlib.from_step(henon, 2, derivative=derivative)
    exact = torch.zeros(*batch, 2, 2, **F64)
    exact[..., 0, 0], exact[..., 0, 1], exact[..., 1, 0] = -2.8 * x[..., 0], 1, 0.3
    atol = 1e-9 if derivative == "differences" else 1e-15
    torch.testing.assert_close(rnnlib.jacobian(system, x), exact, atol=atol, rtol=0)
    v = torch.tensor([[3.0], [-1.0]], **F64).expand(*batch, 2, 1)
    following, moved = rnnlib.push_forward(system, x, v)
    torch.testing.assert_close(following, henon(x), atol=1e-15, rtol=0)
    torch.testing.assert_close(moved, exact @ v, atol=10 * atol, rtol=0)


@pytest.mark.parametrize("step", [without_gradients, with_a_backward_pass_alone])
def test_a_step_with_one_route_closed_takes_the_other(step):
    """Hypothesis: a step under no_grad, and one without a forward rule, have their derivatives."""
    system = rnnlib.from_step(step, 2)
    for _ in range(2):  # the second time it knows the way
        torch.testing.assert_close(rnnlib.jacobian(system, POINT), EXACT, atol=1e-15, rtol=0)


def test_a_wide_step_without_a_forward_rule_goes_in_reverse():
    """Hypothesis: also where forward mode is tried first, for few vectors of a wide state."""
    system = rnnlib.from_step(WithoutForwardRule.apply, 200)
    x = torch.linspace(-1, 1, 200, **F64)
    for _ in range(2):
        following, moved = rnnlib.push_forward(system, x, torch.ones(200, 1, **F64))
        torch.testing.assert_close(moved[:, 0], 2 * x)
        torch.testing.assert_close(following, x**2)


def test_a_compiled_step_has_the_derivative_of_what_was_compiled():
    """Hypothesis: torch.compile does not change a Jacobian."""
    compiled = torch.compile(henon, backend="aot_eager")
    system = rnnlib.from_step(compiled, 2)
    torch.testing.assert_close(rnnlib.jacobian(system, POINT), EXACT, atol=1e-15, rtol=0)


@pytest.mark.parametrize("step", [through_numpy, in_inference_mode, lambda x: henon(x.detach())])
def test_a_lost_derivative_is_an_error_that_names_the_remedy(step):
    """Hypothesis: numpy, inference mode and detach inside a step are never taken for a zero."""
    system = rnnlib.from_step(step, 2, name="my step")
    for call in (
        lambda: rnnlib.jacobian(system, POINT),
        lambda: rnnlib.lyapunov_spectrum(system, POINT, 20),
        lambda: rnnlib.steady_state(system, POINT),
        lambda: rnnlib.fixed_points(system, POINT[None]),
    ):
        with pytest.raises(ValueError, match="of my step depends on its state.*differences"):
            call()


def test_a_half_lost_derivative_is_an_error_too():
    """Hypothesis: detaching one component is found by its column of zeros."""
    with pytest.raises(ValueError, match=r"derivatives by the components \[1\] are lost"):
        rnnlib.jacobian(rnnlib.from_step(half_detached, 2), POINT)
    with pytest.raises(ValueError, match=r"components \[1\]"):
        rnnlib.lyapunov_spectrum(rnnlib.from_step(half_detached, 2), POINT, 20)


@pytest.mark.parametrize("step", [through_numpy, in_inference_mode])
def test_differences_serve_a_step_that_torch_cannot_differentiate(step):
    """Hypothesis: asked for, they give the exponents of the Henon map; their sum is ln 0.3."""
    system = rnnlib.from_step(step, 2, derivative="differences")
    torch.testing.assert_close(rnnlib.jacobian(system, POINT), EXACT, atol=1e-9, rtol=0)
    found = rnnlib.lyapunov_spectrum(system, torch.tensor([0.1, 0.1], **F64), 1000, burn_in=100)
    assert found.exponents.sum().item() == pytest.approx(math.log(0.3), abs=1e-7)
    assert found.exponents[0].item() == pytest.approx(0.42, abs=0.03)


@pytest.mark.parametrize("length", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("place", [1.0, 1e4])
def test_differences_are_taken_over_a_way_that_fits_the_state_not_the_vector(length, place):
    """Hypothesis: the error is of the cube root of rounding squared, relative to the result,
    whatever the length of the vector and the size of the state; of a null vector it is 0."""
    wave = rnnlib.from_step(lambda x: torch.sin(x / place) * place, 2, derivative="differences")
    x = place * torch.tensor([0.4, -1.1], **F64)
    vectors = length * torch.tensor([[3.0, 0.0], [-1.0, 0.0]], **F64)
    moved = rnnlib.push_forward(wave, x, vectors)[1]
    exact = torch.cos(x / place)[:, None] * vectors
    torch.testing.assert_close(moved, exact, atol=0, rtol=1e-8)


def test_a_step_that_does_not_depend_on_its_state_has_the_derivative_zero():
    """Hypothesis: constants, echoes of the input, dead components and choices have none to lose."""
    constant = rnnlib.from_step(lambda x: torch.ones_like(x), 2)
    assert rnnlib.jacobian(constant, POINT).tolist() == [[0, 0], [0, 0]]
    echo = rnnlib.from_step(lambda x, z: z, 2, 2).hold(POINT)
    assert rnnlib.jacobian(echo, POINT).tolist() == [[0, 0], [0, 0]]
    unused = rnnlib.from_step(lambda x: torch.stack([x[..., 0] / 2, x[..., 0]], -1), 2)
    assert rnnlib.jacobian(unused, POINT).tolist() == [[0.5, 0], [1, 0]]
    table = torch.tensor([[0.3, 1.0], [2.0, -1.0]], **F64)
    choice = rnnlib.from_step(lambda x: table[x.argmax(-1)], 2)
    tie = torch.tensor([0.5, 0.5], **F64)
    for x in (POINT, tie):
        assert rnnlib.jacobian(choice, x).tolist() == [[0, 0], [0, 0]]


def test_a_kink_and_a_flat_place_are_no_loss():
    """Hypothesis: relu at 0 and the logistic map at 1/2 keep torch's derivative 0."""
    relu = rnnlib.from_step(torch.relu, 2)
    assert rnnlib.jacobian(relu, -torch.ones(2, **F64)).abs().max() == 0
    flat = rnnlib.from_step(lambda x: 4 * x * (1 - x), 1)
    assert rnnlib.jacobian(flat, torch.tensor([0.5], **F64)).item() == 0


def test_the_probe_tells_dependence_from_a_jump():
    """Hypothesis: in proportion, not at all, by a jump; and for chosen components alone."""
    assert depends_on_the_state(rnnlib.from_step(henon, 2), POINT)
    assert not depends_on_the_state(rnnlib.from_step(torch.sign, 2), torch.zeros(2, **F64))
    alone = rnnlib.from_step(lambda x: x[..., :1].expand(x.shape), 2)
    assert not depends_on_the_state(alone, POINT, None, torch.tensor([False, True]))
    assert depends_on_the_state(alone, POINT, None, torch.tensor([True, False]))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_mode_in_which_an_analysis_is_called_does_not_matter(mode):
    """Hypothesis: an evaluation loop's inference mode, with states and weights made in it, too."""
    with mode():
        x = POINT.clone()
        made_here = rnnlib.from_module(torch.nn.GRU(1, 2).double()).hold(torch.ones(1, **F64))
        for system in (rnnlib.henon(), rnnlib.from_step(henon, 2)):
            torch.testing.assert_close(rnnlib.jacobian(system, x), EXACT, atol=1e-15, rtol=0)
            found = rnnlib.lyapunov_spectrum(system, x, 200, burn_in=50).exponents
            assert found.sum().item() == pytest.approx(math.log(0.3), abs=1e-12)
        e = 1e-6 * torch.eye(2, **F64)
        differences = (made_here.step(x + e) - made_here.step(x - e)).mT / 2e-6
        torch.testing.assert_close(rnnlib.jacobian(made_here, x), differences, atol=1e-8, rtol=0)
        assert len(rnnlib.fixed_points(rnnlib.henon(), x[None]).points) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_sessions_default_dtype_does_not_matter(dtype):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        for derivative in (None, "forward", "reverse", "differences"):
            found = rnnlib.jacobian(rnnlib.from_step(henon, 2, derivative=derivative), POINT)
            torch.testing.assert_close(found, EXACT, atol=1e-9, rtol=0)
        found = rnnlib.lyapunov_spectrum(rnnlib.henon(), POINT, 100)
        assert found.exponents.dtype == torch.float64
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("derivative", [None, "forward", "reverse"])
def test_a_jacobian_is_differentiable_in_the_parameters(derivative):
    """Hypothesis: every mode passes gradcheck in theta and in the state."""
    map_ = rnnlib.from_function(
        lambda x, p: torch.tanh(p["w"][..., None] * x.flip(-1) + x**2), 2, derivative=derivative
    )
    w = torch.tensor(0.7, **F64, requires_grad=True)
    x = POINT.clone().requires_grad_()

    def entries(w, x):
        from dataclasses import replace

        return rnnlib.jacobian(replace(map_, theta={"w": w}, core={"w": 0}), x)

    assert torch.autograd.gradcheck(entries, (w, x))


def test_batch_axes_of_states_inputs_and_parameters_broadcast_in_a_jacobian():
    """Hypothesis: whatever carries the batch, each Jacobian is that of its own state and input."""
    torch.manual_seed(0)
    net = rnnlib.from_module(torch.nn.GRU(2, 6).double())
    x, z = torch.rand(6, **F64), torch.rand(6, 2, **F64)
    together = rnnlib.jacobian(net, x, z)
    assert together.shape == (6, 6, 6)
    for i in range(6):
        torch.testing.assert_close(together[i], rnnlib.jacobian(net, x, z[i]), atol=1e-14, rtol=0)
    identity = torch.eye(6, **F64)
    following, moved = rnnlib.push_forward(net, x, identity, z)
    torch.testing.assert_close(moved, together, atol=1e-14, rtol=0)
    torch.testing.assert_close(following, net.step(x, z), atol=1e-14, rtol=0)
    for shape in ((1, 6), (6, 6)):  # the batch of the inputs, met by none and by its own
        same = rnnlib.push_forward(net, x.expand(shape), identity, z)[1]
        torch.testing.assert_close(same, together, atol=1e-14, rtol=0)
    s = torch.tensor([0.3, 0.6, 0.9, 1.2], **F64)
    swept = rnnlib.push_forward(line()(s), X0, torch.eye(4, **F64))[1]
    for i in range(4):
        torch.testing.assert_close(swept[i], rnnlib.jacobian(line()(s[i]), X0), atol=1e-14, rtol=0)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("n", [2, 6, 40])
def test_running_ahead_moves_the_vectors_that_single_steps_move(batch, n):
    """Hypothesis: states and vectors are those of push_forward at each step, inputs in order."""
    torch.manual_seed(1)
    net = rnnlib.from_module(torch.nn.GRU(2, n).double())
    inputs = torch.randn(70, 3, 2, **F64) if batch else torch.randn(70, 2, **F64)
    x = net.initial_state(torch.rand(*batch, n, **F64), inputs[0])
    tangents, q = Tangents(net, x, 50, inputs), torch.eye(n, **F64)[:, :2].expand(*x.shape, 2)
    for t in range(50):
        ours, v = tangents.push(q)
        x, expected = rnnlib.push_forward(net, x, q, inputs[t])
        torch.testing.assert_close(ours, x, atol=1e-12, rtol=0)
        torch.testing.assert_close(v, expected, atol=1e-12, rtol=0)
        q = torch.linalg.qr(expected)[0]


@pytest.mark.parametrize(
    "step",
    [
        lambda x: torch.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]),  # transposes a batch
        lambda x: henon(x) + 0.1 * torch.randn_like(x),
    ],
)
def test_a_step_that_mixes_its_batch_is_an_error(step):
    """Hypothesis: x[0] in place of x[..., 0], and noise of its own, give no wrong Jacobian."""
    with pytest.raises(ValueError, match=r"Index components as x\[..., i\], not x\[i\]"):
        rnnlib.jacobian(rnnlib.from_step(step, 2), POINT)


def test_a_step_that_is_no_step_says_so():
    """Hypothesis: another shape, another type, another word for the derivative; own errors stay."""
    with pytest.raises(ValueError, match=r"turns states of shape .* into .*Index components"):
        rnnlib.jacobian(rnnlib.from_step(lambda x: x[..., :1], 2), POINT)
    with pytest.raises(TypeError, match="returned a ndarray; .*from_numpy"):
        rnnlib.jacobian(rnnlib.from_step(lambda x: np.zeros(2), 2), POINT)
    with pytest.raises(ValueError, match="derivative is 'backward'; use one of"):
        rnnlib.from_step(henon, 2, derivative="backward")
    with pytest.raises(RuntimeError, match="my own"):

        def broken(x):
            raise RuntimeError("my own")

        rnnlib.jacobian(rnnlib.from_step(broken, 2), POINT)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_many_vectors_are_moved_by_torch_func_to_the_same_place(kind, monkeypatch):
    """Hypothesis: the step is called at the states, not at a copy of them for each vector."""
    torch.manual_seed(0)
    system = rnnlib.from_module(kind(2, 5).double()).hold(torch.ones(2, dtype=torch.float64))
    calls = []

    def counted(x, z, theta):
        calls.append(x.shape)
        return system.f(x, z, theta)

    x = torch.randn(3, system.n_x, dtype=torch.float64)
    watched = replace(system, f=counted, derivative="forward")
    found = {}
    for entries in (0, math.inf):
        monkeypatch.setattr(derivatives, "MAPPED", entries)
        calls.clear()
        found[entries] = rnnlib.jacobian(watched, x)
        assert (calls[0] == x.shape) == (entries == 0)
    torch.testing.assert_close(found[0], found[math.inf], rtol=1e-13, atol=1e-14)


def test_a_step_that_torch_func_does_not_take_is_differentiated_all_the_same(monkeypatch):
    """Hypothesis: a step that looks at its numbers has no rule there, and is asked once only."""
    monkeypatch.setattr(derivatives, "MAPPED", 0)

    def step(x):
        return 2 * x if float(x.sum()) > 0 else 3 * x

    system = rnnlib.from_step(step, 3, derivative="forward")
    for _ in range(2):
        found = rnnlib.jacobian(system, torch.ones(3, dtype=torch.float64))
        assert torch.equal(found, 2 * torch.eye(3, dtype=torch.float64))


def test_a_derivative_lost_in_torch_func_is_an_error_too(monkeypatch):
    monkeypatch.setattr(derivatives, "MAPPED", 0)
    system = rnnlib.from_step(lambda x: torch.tanh(x.detach()), 3, derivative="forward")
    with pytest.raises(ValueError, match="carries no derivative"):
        rnnlib.jacobian(system, torch.ones(3, dtype=torch.float64))

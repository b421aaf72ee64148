"""Hypotheses about the orthogonal RNN: the map, its two routes, its training, its system."""

import copy
import itertools
import math
import sys

import pytest
import torch

from rnnlib import from_module, jacobian, lyapunov_spectrum, simulate
from rnnlib.nn import cuda_graph, orthogonal_rnn
from rnnlib.nn.orthogonal_rnn import (
    OrthogonalRNN,
    henaff_,
    modrelu,
    orthogonal_rnn_step,
    orthogonality_error,
)
from rnnlib.nn.skew_expm import torch_expm

double = {"dtype": torch.float64}


def on_buffers(loop, buffers):
    """What a CUDA graph does, on a CPU: the recorded loop runs again, on the recorded buffers."""
    return lambda: loop(*buffers)


@pytest.fixture
def graphs_on_a_cpu(monkeypatch):
    """The route of a GPU, without one."""
    monkeypatch.setattr(orthogonal_rnn, "recordable", lambda tensor: True)
    monkeypatch.setattr(cuda_graph, "_capture", on_buffers)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    cuda_graph._record.cache_clear()
    yield
    cuda_graph._record.cache_clear()


@pytest.fixture(params=["compiled", "plain", "recorded"])
def route(request, monkeypatch):
    """The time loops in numba, in torch, and in torch from a recording."""
    if request.param == "compiled":
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(orthogonal_rnn, "_loops", lambda: None)
    if request.param == "recorded":
        request.getfixturevalue("graphs_on_a_cpu")
    return request.param


def layer(inputs=3, units=7, seed=0, spread=0.3, **options):
    """Return a float64 layer with biases of both signs that matter."""
    torch.manual_seed(seed)
    rnn = OrthogonalRNN(inputs, units, **double, **options)
    with torch.no_grad():
        rnn.skew.add_(torch.randn(units, units), alpha=0.1)
        rnn.bias.uniform_(-spread, spread)
    return rnn


def sequence(time=9, batch=4, inputs=3, units=7):
    return torch.randn(time, batch, inputs, **double), torch.randn(1, batch, units, **double)


def by_hand(rnn, z, h):
    """One step after the other, by the formula, in plain Python."""
    q, out = torch_expm(rnn.skew.triu(1) - rnn.skew.triu(1).mT), []
    if rnn.base is not None:
        q = rnn.base @ q
    for z_t in z:
        pre = z_t @ rnn.weight_ih.mT + h @ q.mT
        h = pre.sign() * (pre.abs() + rnn.bias).clamp(min=0)
        out.append(h)
    return torch.stack(out)


def gradients(rnn, run, z, h0, weight):
    """Return the output and the gradients of z, h0 and all parameters."""
    z, h0 = z.clone().requires_grad_(), h0.clone().requires_grad_()
    output = run(z, h0)
    leaves = [z, h0, *rnn.parameters()]
    return [output.detach(), *torch.autograd.grad((output * weight).sum(), leaves)]


def error(a, b):
    """Return the largest difference, relative to the largest entry."""
    return ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()


# --- the map ---


def test_modrelu_keeps_the_sign_shifts_the_size_and_has_its_jump_at_zero():
    """Hypothesis: sign(z) relu(|z| + b), with sign(0) = 0; a positive b leaves a gap of 2 b."""
    z = torch.tensor([-2.0, -0.5, -1e-9, 0.0, 1e-9, 0.5, 2.0], **double)
    torch.testing.assert_close(modrelu(z, torch.tensor(0.0)), z)
    shrunk = torch.tensor([-1.0, 0, 0, 0, 0, 0, 1], **double)
    torch.testing.assert_close(modrelu(z, torch.tensor(-1.0)), shrunk)
    grown = torch.tensor([-2.25, -0.75, -0.25, 0, 0.25, 0.75, 2.25], **double)
    torch.testing.assert_close(modrelu(z, torch.tensor(0.25)), grown, atol=1e-8, rtol=0)


def test_without_bias_and_input_the_norm_of_the_state_never_changes(route):
    """Hypothesis: h_t = Q h_{t-1}, so 2000 steps keep the norm."""
    rnn = layer()
    with torch.no_grad():
        rnn.bias.zero_(), rnn.weight_ih.zero_()
        output, last = rnn(*sequence(2000))
    norms = output.norm(dim=-1)
    assert (norms / norms[0] - 1).abs().max() < 1e-12
    assert torch.equal(last[0], output[-1])


def test_henaffs_start_rotates_pairs_by_uniform_angles():
    """Hypothesis: eigenvalues exp(+-i a) with the angles drawn; |a| uniform on [0, pi]."""
    torch.manual_seed(0)
    rnn = OrthogonalRNN(1, 401, **double)
    drawn = rnn.skew.diagonal(1)[::2].detach()
    found = torch.linalg.eigvals(rnn.recurrent_matrix()).angle().detach()
    expected = torch.cat([drawn, -drawn, torch.zeros(1, **double)])  # the odd unit stays
    torch.testing.assert_close(found.sort()[0], expected.sort()[0], atol=1e-12, rtol=0)
    assert (rnn.skew != 0).sum() == 200
    grid = (torch.arange(200) + 0.5) / 200 * math.pi
    distance = (drawn.abs().sort()[0] - grid).abs().max() / math.pi
    assert distance < 1.63 / math.sqrt(200)  # Kolmogorov and Smirnov at 1 %
    assert abs((drawn > 0).sum() - 100) < 3 * math.sqrt(50)
    assert torch.equal(henaff_(torch.ones(1, 1)), torch.zeros(1, 1))


def test_the_start_is_that_of_the_paper():
    """Hypothesis: b within 0.01, U Kaiming-normal for relu, no other parameter."""
    torch.manual_seed(0)
    rnn = OrthogonalRNN(50, 400)
    assert set(dict(rnn.named_parameters())) == {"weight_ih", "skew", "bias"}
    assert 0.0099 < rnn.bias.abs().max() <= 0.01 and rnn.bias.mean().abs() < 0.001
    assert rnn.weight_ih.std().item() == pytest.approx(math.sqrt(2 / 50), rel=0.02)


# --- the routes ---


@pytest.mark.parametrize("batch", [1, 4, 5, 6, 11])
@pytest.mark.parametrize("units", [1, 2, 7, 12])
def test_all_routes_give_one_output_and_one_gradient(route, batch, units):
    """Hypothesis: fused, one step after the other and the formula agree to 1e-12 in float64."""
    rnn = layer(units=units)
    z, h0 = sequence(12, batch, units=units)
    weight = torch.randn(12, batch, units, **double)
    fused = gradients(rnn, lambda z, h: rnn(z, h)[0], z, h0, weight)
    hand = gradients(rnn, lambda z, h: by_hand(rnn, z, h[0]), z, h0, weight)
    rnn.fused = False
    steps = gradients(rnn, lambda z, h: rnn(z, h)[0], z, h0, weight)
    for a, b, c in zip(fused, steps, hand, strict=True):
        assert error(a, b) < 1e-12 and error(a, c) < 1e-12
    assert (fused[0] == 0).any() or units < 7  # some units are off


def test_a_second_sequence_leaves_the_first_one_alone(route):
    """Hypothesis: two sequences of one shape, then both gradients: none sees the other."""
    rnn, weight = layer(), torch.randn(9, 4, 7, **double)
    inputs = [sequence(), sequence()]
    alone = [gradients(rnn, lambda z, h: rnn(z, h)[0], z, h0, weight) for z, h0 in inputs]
    outputs = [rnn(z, h0)[0] for z, h0 in inputs]
    for output, expected in zip(outputs, alone, strict=True):
        assert torch.equal(output, expected[0])
        found = torch.autograd.grad((output * weight).sum(), list(rnn.parameters()))
        assert all(map(torch.equal, found, expected[3:]))


def test_a_sequence_in_inference_mode_does_not_spoil_the_recording(route):
    rnn, (z, h0) = layer(), sequence()
    with torch.inference_mode():
        first = rnn(z, h0)[0]
    second = rnn(z, h0)[0]
    second.sum().backward()
    assert torch.equal(first, second)


def test_a_loop_is_recorded_once_for_each_shape(graphs_on_a_cpu, monkeypatch):
    monkeypatch.setattr(orthogonal_rnn, "_loops", lambda: None)
    rnn = layer()
    for time in (9, 9, 5, 9, 5):
        rnn(*sequence(time))[0].sum().backward()
    assert cuda_graph._record.cache_info().misses == 4  # two lengths, there and back


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_output_and_the_gradients_of_the_cpu():
    """Hypothesis: the recorded kernels agree with the formula to 1e-12, call after call."""
    rnn, weight = layer(), torch.randn(9, 4, 7, **double)
    there, away = copy.deepcopy(rnn).cuda(), weight.cuda()
    for time in (9, 9, 5, 9):
        z, h0 = sequence(time)
        expected = gradients(rnn, lambda z, h: by_hand(rnn, z, h[0]), z, h0, weight[:time])
        run = gradients(there, lambda z, h: there(z, h)[0], z.cuda(), h0.cuda(), away[:time])
        assert all(error(a.cpu(), b) < 1e-12 for a, b in zip(run, expected, strict=True))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_nothing(threads, monkeypatch):
    """Hypothesis: rows are independent, so their split over threads shows in no bit."""
    loops = pytest.importorskip("rnnlib.nn.orthogonal_loops")
    rnn = layer()
    q, b = rnn.recurrent_matrix().detach().numpy(), rnn.bias.detach().numpy()
    start, grad = torch.randn(10, 13, 7).numpy(), torch.randn(9, 13, 7).numpy()
    q, b = q.astype(start.dtype), b.astype(start.dtype)
    results = []
    for n in (1, threads):
        states, to_z, to_h0 = start.copy(), grad.copy(), start[0].copy()
        loops.forward(states, q.T.copy(), b, n)
        loops.backward(grad, states, q, to_z, to_h0, n)
        results.append((states, to_z, to_h0))
    for one, several in zip(*results, strict=True):
        assert (one == several).all()


def test_the_fused_gradient_passes_gradcheck(route):
    """Hypothesis: away from the kinks the derivative is that of finite differences, twice over."""
    rnn = layer(units=4)
    with torch.no_grad():
        rnn.bias.copy_(torch.tensor([-1.5, -0.5, 0.01, 0.2]))
    z, h0 = sequence(5, 2, units=4)
    leaves = [z, h0, *(p.detach() for p in rnn.parameters())]
    names = [name for name, _ in rnn.named_parameters()]

    def run(z, h0, *weights):
        named = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(rnn, named, (z, h0))

    output = by_hand(rnn, z, h0[0])
    before = torch.cat([h0, output[:-1]])
    pre = z @ rnn.weight_ih.mT + before @ rnn.recurrent_matrix().mT
    assert pre.abs().min() > 1e-3 and (pre.abs() + rnn.bias).abs().min() > 1e-3  # the kinks
    assert (output == 0).any() and (output != 0).any()
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_a_unit_at_exactly_zero_is_off_in_every_route(route):
    """Hypothesis: from h = 0 without input all stays 0, even with b > 0, and no gradient flows."""
    rnn = layer()
    with torch.no_grad():
        rnn.bias.abs_()
    z, h0 = torch.zeros(3, 2, 3, **double), torch.zeros(1, 2, 7, **double)
    for fused in (True, False):
        rnn.fused = fused
        found = gradients(rnn, lambda z, h: rnn(z, h)[0], z, h0, torch.ones(3, 2, 7, **double))
        assert all((tensor == 0).all() for tensor in found)


def test_nan_is_not_hidden(route):
    """Hypothesis: one NaN in the input shows in every later state of its row, and in no other."""
    z, h0 = sequence(5, 2)
    z[2, 1, 0] = math.nan
    output = layer()(z, h0)[0]
    assert output[2:, 1].isnan().all()
    assert output[:2].isfinite().all() and output[:, 0].isfinite().all()


def test_the_step_route_is_open_to_forward_derivatives_and_vmap():
    """Hypothesis: fused=False has jvp and vmap, equal to reverse mode and to a loop."""
    rnn = layer(fused=False)
    z, h0 = sequence(4)
    tangent = torch.randn_like(z)
    _, forward = torch.func.jvp(lambda z: rnn(z, h0)[0].sum(), (z,), (tangent,))
    z.requires_grad_()
    (reverse,) = torch.autograd.grad(rnn(z, h0)[0].sum(), z)
    torch.testing.assert_close(forward, (reverse * tangent).sum(), rtol=1e-12, atol=0)
    many = torch.randn(3, *z.shape, **double)
    mapped = torch.func.vmap(lambda z: rnn(z, h0)[0])(many)
    torch.testing.assert_close(mapped, torch.stack([rnn(z, h0)[0] for z in many]))
    rnn.fused = True
    torch.testing.assert_close(mapped[0], rnn(many[0], h0)[0], atol=1e-12, rtol=0)


# --- used as torch.nn.RNN ---


def test_shapes_are_those_of_torchs_rnn(route):
    """Hypothesis: batched or not, with h0 or without, T = 1 and B = 1 included."""
    rnn, reference = layer(), torch.nn.RNN(3, 7).double()
    for shape in ((9, 4, 3), (1, 4, 3), (9, 1, 3), (1, 1, 3), (9, 3), (1, 3), (2, 0, 3)):
        z = torch.randn(shape, **double)
        for ours, theirs in zip(rnn(z), reference(z), strict=True):
            assert ours.shape == theirs.shape
        first = rnn(z[:1])[1]
        torch.testing.assert_close(rnn(z)[0], torch.cat([rnn(z[:1])[0], rnn(z[1:], first)[0]])
                                   if len(z) > 1 else first)  # fmt: skip
    z = torch.randn(9, 3, **double)
    torch.testing.assert_close(rnn(z)[0], rnn(z.unsqueeze(1))[0].squeeze(1))


def test_inputs_in_any_layout_and_with_any_gradient_wish(route):
    """Hypothesis: strides change nothing; what needs no gradient gets none and costs no error."""
    rnn = layer()
    z, h0 = sequence()
    strided = z.transpose(0, 1).contiguous().transpose(0, 1)
    assert not strided.is_contiguous()
    torch.testing.assert_close(rnn(strided, h0)[0], rnn(z, h0)[0])
    wide = torch.randn(9, 4, 7, **double).transpose(0, 1).contiguous().transpose(0, 1)
    reference = torch.autograd.grad((rnn(z, h0)[0] * wide).sum(), rnn.skew)[0]
    (rnn(strided, h0.expand(1, 4, 7))[0] * wide).sum().backward()
    torch.testing.assert_close(rnn.skew.grad, reference)
    assert z.grad is None and h0.grad is None
    h0.requires_grad_()
    rnn.requires_grad_(False)(z, h0)[1].sum().backward()
    assert h0.grad.shape == h0.shape
    with torch.no_grad():
        assert not rnn(z, h0)[0].requires_grad


def test_changing_the_states_in_place_is_an_error_and_no_wrong_gradient(route):
    """Hypothesis: the backward pass reads the states, so torch must refuse to change them."""
    rnn = layer()
    with pytest.raises(RuntimeError, match="inplace|in-place"):
        rnn(*sequence())[0].mul_(2).sum().backward()


def test_without_numba_the_loops_are_torchs(monkeypatch):
    """Hypothesis: where numba cannot be imported, nothing is lost but time."""
    z, h0 = sequence()
    expected = layer()(z, h0)[0]
    monkeypatch.delitem(sys.modules, "rnnlib.nn.orthogonal_loops", raising=False)
    monkeypatch.delattr("rnnlib.nn.orthogonal_loops", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(orthogonal_rnn, "_loops", orthogonal_rnn._loops.__wrapped__)
    assert orthogonal_rnn._loops() is None
    torch.testing.assert_close(layer()(z, h0)[0], expected, atol=1e-12, rtol=0)


def test_a_float32_layer_is_the_float64_one_to_single_precision(route):
    """Hypothesis: outputs of 20 steps agree; dtypes are kept."""
    rnn = layer()
    z, h0 = sequence(20)
    single = copy.deepcopy(rnn).float()
    output = single(z.float(), h0.float())[0]
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.double(), rnn(z, h0)[0], atol=1e-4, rtol=0)


def test_saved_weights_give_the_same_network(tmp_path):
    """Hypothesis: a state dict, with and without a base, restores the output bit for bit."""
    z = torch.randn(5, 2, 3, **double)
    for rebase in (False, True):
        rnn, other = layer(rebase=rebase), layer(seed=1, rebase=rebase)
        torch.save(rnn.state_dict(), tmp_path / "rnn.pt")
        other.load_state_dict(torch.load(tmp_path / "rnn.pt", weights_only=True))
        assert torch.equal(rnn(z)[0], other(z)[0])
        assert ("base" in rnn.state_dict()) is rebase


# --- training ---


@pytest.mark.parametrize("rebase", [False, True])
@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_optimizer_steps_keep_q_orthogonal(optimizer, dtype, bound, rebase):
    """Hypothesis: after 60 large steps, with 12 changes of base, Q^T Q = I to rounding."""
    torch.manual_seed(0)
    rnn = OrthogonalRNN(1, 40, rebase=rebase, dtype=dtype)
    first = rnn.recurrent_matrix().detach()
    optimizer, count = optimizer(rnn.parameters(), lr=0.05), itertools.count(1)
    if rebase:
        optimizer.register_step_post_hook(lambda *_: next(count) % 5 or rnn.rebase_())
    z = torch.randn(20, 5, 1, dtype=dtype)
    for _ in range(60):
        optimizer.zero_grad()
        (rnn(z)[0].mean(-1, keepdim=True) - z.roll(3, 0)).square().mean().backward()
        optimizer.step()
        assert orthogonality_error(rnn) < bound
    assert (rnn.recurrent_matrix() - first).abs().max() > 0.01


def test_training_by_either_route_is_one_history():
    """Hypothesis: ten Adam steps fused and step by step give the same losses in float64."""
    losses = []
    for fused in (True, False):
        rnn = layer(fused=fused)
        optimizer = torch.optim.Adam(rnn.parameters(), lr=0.01)
        z, h0 = sequence(15)
        target = torch.sin(torch.arange(15, **double))[:, None, None]
        for _ in range(10):
            optimizer.zero_grad()
            loss = (rnn(z, h0)[0] - target).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:10] == pytest.approx(losses[10:], rel=1e-10)
    assert losses[9] < losses[0]


def test_a_change_of_base_leaves_q_where_it_is():
    """Hypothesis: B exp(A - A^T) stays, A becomes 0, gradients of A go on."""
    rnn = layer(rebase=True)
    assert rnn.skew.abs().max() > 0
    q = rnn.recurrent_matrix().detach()
    rnn.rebase_()
    assert (rnn.skew == 0).all()
    torch.testing.assert_close(rnn.recurrent_matrix(), q, atol=1e-14, rtol=0)
    z, h0 = sequence()
    weight = torch.randn(9, 4, 7, **double)
    ours = gradients(rnn, lambda z, h: rnn(z, h)[0], z, h0, weight)
    hand = gradients(rnn, lambda z, h: by_hand(rnn, z, h[0]), z, h0, weight)
    assert all(error(a, b) < 1e-12 for a, b in zip(ours, hand, strict=True))
    assert (ours[4].tril() == 0).all() and (ours[4].triu(1) != 0).any()  # of A


# --- as a system ---


def test_the_system_is_the_layer_and_its_copy():
    """Hypothesis: simulate gives the layer's outputs; later training does not reach the system."""
    rnn, readout = layer(), torch.nn.Linear(7, 2).double()
    z, h0 = sequence()
    system = from_module(rnn, readout)
    assert (system.n_x, system.n_z) == (7, 3)
    x, outputs = h0[0], []
    for z_t in z:
        x = system.step(x, z_t)
        outputs.append(system.read(x, z_t))
    expected = rnn(z, h0)[0]
    torch.testing.assert_close(x, expected[-1], atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.stack(outputs), readout(expected), atol=1e-12, rtol=0)
    constant = z[0, 0]
    held = simulate(from_module(rnn).hold(constant), h0[0], 6)
    ran = rnn(constant.expand(6, 4, 3), h0)[0]
    torch.testing.assert_close(held[-1], ran[-1], atol=1e-12, rtol=0)
    rnn.requires_grad_(False).bias.add_(1)
    torch.testing.assert_close(from_module(layer()).theta["bias"], system.theta["bias"])


def test_parameters_of_the_step_carry_batch_axes():
    """Hypothesis: a sweep over biases and matrices is each network by itself."""
    nets = [layer(seed=seed) for seed in range(3)]
    systems = [from_module(net) for net in nets]
    theta = {
        name: torch.stack([s.theta[name] for s in systems])
        for name in ("weight_ih", "recurrent", "bias")
    }
    x, z = torch.randn(3, 7, **double), torch.randn(3, **double)
    together = systems[0].at(theta).step(x, z)
    for i, system in enumerate(systems):
        torch.testing.assert_close(together[i], system.step(x[i], z))
    quiet = orthogonal_rnn_step(x[0], None, systems[0].theta)
    torch.testing.assert_close(quiet, systems[0].step(x[0], torch.zeros(3, **double)))


def test_a_linear_orthogonal_network_has_all_exponents_zero():
    """Hypothesis: with b = 0 every Lyapunov exponent is 0 and the Jacobian is Q."""
    rnn = layer()
    with torch.no_grad():
        rnn.bias.zero_()
    system = from_module(rnn).hold(torch.zeros(3, **double))
    x = torch.randn(7, **double)
    torch.testing.assert_close(jacobian(system, x), system.theta["recurrent"])
    spectrum = lyapunov_spectrum(system, x, steps=200)
    assert spectrum.exponents.abs().max() < 1e-12


# --- refusals ---


def test_bad_arguments_say_what_to_do():
    """Hypothesis: each refusal names the argument, the value and the remedy."""
    rnn = layer()
    z, h0 = sequence()
    with pytest.raises(ValueError, match="hidden_size is 0; it must be at least 1"):
        OrthogonalRNN(1, 0)
    with pytest.raises(ValueError, match=r"input has shape \(9, 4, 2\).*\(time, batch, 3\)"):
        rnn(z[..., :2])
    for wrong in (z[0, 0], z[None]):
        with pytest.raises(ValueError, match=r"input has shape .*\(time, 3\)"):
            rnn(wrong)
    with pytest.raises(ValueError, match="input has 0 time steps; it needs at least 1"):
        rnn(z[:0])
    for wrong in (h0[0], h0[:, :3], h0[..., :6], h0.expand(2, -1, -1)):
        with pytest.raises(ValueError, match=r"h0 has shape .*must be \(1, 4, 7\)"):
            rnn(z, wrong)
    with pytest.raises(TypeError, match="input is torch.float32.*module.to"):
        rnn(z.float(), h0)
    with pytest.raises(TypeError, match="h0 is torch.float32"):
        rnn(z, h0.float())
    with pytest.raises(ValueError, match="rebase is False.*make OrthogonalRNN with True"):
        rnn.rebase_()
    with torch.no_grad():
        rnn.bias[0] = math.inf
    with pytest.raises(ValueError, match="parameter 'bias' has 1 values that are not finite"):
        from_module(rnn)
    with torch.no_grad():
        rnn.skew[0, 1] = math.nan
    with pytest.raises(ValueError, match="skew has values that are not finite"):
        rnn(z, h0)


def test_autocast_leaves_the_layer_in_its_own_precision():
    torch.manual_seed(0)
    layer, z = OrthogonalRNN(2, 8), torch.randn(6, 3, 2)
    expected = layer(z)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(z)[0]
        with pytest.raises(TypeError, match="input is torch.bfloat16.*convert"):
            layer(z.bfloat16())
    assert torch.equal(output, expected)
    output.sum().backward()
    assert layer.skew.grad.dtype == torch.float32

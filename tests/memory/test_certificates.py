"""Hypotheses about certified contraction constants: never too small, and tight where known."""

import copy
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrizations, parametrize, prune

from rnnlib import (
    OrthogonalRNN,
    from_module,
    jacobian,
    lyapunov_spectrum,
    simulate,
)
from rnnlib.memory.certificates import (
    METHODS,
    STACKED,
    Certificate,
    _componentwise,
    certify,
    certify_orthogonal,
)
from rnnlib.memory.comparison import (
    collatz_wielandt,
    comparison_matrix,
    product,
    signed_enclosure,
)
from rnnlib.memory.contraction import lipschitz_lower_bound, pair_search
from rnnlib.memory.intervals import INF, MARGIN, Interval
from rnnlib.memory.networks import read_network
from rnnlib.memory.norms import Norm
from rnnlib.memory.regions import start_box
from rnnlib.memory.step_enclosure import Box, Rows, Term, enclose_step
from rnnlib.nn import weights_in_use
from rnnlib.systems import System, from_function, from_step

F64 = {"dtype": torch.float64}
CELLS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
ROWS = {"elman": 1, "gru": 3, "lstm": 4}
CASES = [(cell, method, 1) for cell in CELLS for method in METHODS[ROWS[cell]]]
CASES += [(cell, method, 2) for cell in CELLS for method in STACKED]


def random_cell(kind: str, seed: int, scale: float, layers: int = 1, units: int = 3):
    torch.manual_seed(seed)
    cell = CELLS[kind](2, units, layers).double()
    for name, parameter in cell.named_parameters():
        torch.nn.init.normal_(parameter, std=2 * scale if "bias" in name else scale)
    return cell


def states_in(certificate: Certificate, count: int, seed: int) -> torch.Tensor:
    low, high = (end.clamp(-3, 3) for end in certificate.region)
    random = torch.rand(count, len(low), dtype=torch.float64, generator=generator(seed))
    random[::2] = random[::2].round()  # half of them at corners
    return low + (high - low) * random


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind, method, layers", CASES)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), log_scale=st.floats(-2.5, 0.7), bound=st.floats(0, 2))
def test_no_counterexample_beats_a_certificate(kind, method, layers, seed, log_scale, bound):
    """Hypothesis: a certified constant is at least the searched one, in its norm and region."""
    cell = random_cell(kind, seed, math.exp(log_scale), layers)
    certificate = certify(cell, bound, method)
    low, high = (end.clamp(-3, 3) for end in certificate.region)
    options = dict(norm=certificate.norm, inputs=(-bound, bound), starts=12, steps=15, seed=seed)
    system = from_module(cell)
    assert certificate.certified
    for search in (lipschitz_lower_bound, pair_search):
        assert search(system, low, high, **options).constant <= certificate.constant * (1 + 1e-7)


@pytest.mark.parametrize("kind, method, layers", CASES)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), log_scale=st.floats(-3, -0.5))
def test_orbits_merge_at_the_certified_rate(kind, method, layers, seed, log_scale):
    """Hypothesis: under any input, every pair of orbits stays below the envelope and in the box."""
    cell = random_cell(kind, seed, math.exp(log_scale), layers)
    certificate = certify(cell, 1.0, method, cell_bound=2.0)
    x0 = states_in(certificate, 16, seed)
    inputs = 2 * torch.rand(20, 1, 2, generator=generator(seed)).double().round() - 1
    orbit = torch.cat([x0[None], simulate(from_module(cell), x0, 20, inputs=inputs)])
    distance = certificate.norm(orbit[:, :, None] - orbit[:, None])
    t = torch.arange(21, dtype=torch.float64)[:, None, None]
    assert (distance <= certificate.constant**t * distance[0] + 1e-12).all()
    low, high = certificate.region
    assert ((orbit >= low - 1e-12) & (orbit <= high + 1e-12)).all()


def test_miller_and_hardt_follows_from_their_four_inequalities():
    """Hypothesis: rows on their radii give the constant 1 in the max norm."""
    forget = 0.7
    cell = torch.nn.LSTM(1, 5, bias=False).double()
    radii = [1 - forget, (1 - forget) ** 2, (1 - forget) / 4, 1 - forget]
    radii = torch.tensor(radii, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh_l0.copy_((radii.repeat_interleave(5) / 5)[:, None].expand(20, 5))
        cell.weight_ih_l0.zero_()
        cell.weight_ih_l0[5:10] = math.log(forget / (1 - forget)) - (1 - forget) ** 2
    at_the_edge = certify(cell, 1.0, "miller-hardt")
    assert at_the_edge.constant == pytest.approx(1.0, abs=1e-9)
    assert at_the_edge.region[1][5:].max() == pytest.approx(1 / (1 - forget))
    weighted = certify(cell, 1.0, "componentwise")
    assert weighted.constant < 0.97
    with torch.no_grad():
        cell.weight_hh_l0.mul_(0.99)
    inside = certify(cell, 1.0, "miller-hardt")
    assert inside.contractive and inside.constant < 1


def test_one_step_can_stretch_the_euclidean_norm_although_the_network_is_contractive():
    """Hypothesis: for h = o tanh(c) and c' = f c the Euclidean constant is f sqrt(1 + o^2)."""
    cell = torch.nn.LSTM(1, 1).double()
    f, o = 0.95, 0.98
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        logits = [0.0, math.log(f / (1 - f)), 0.0, math.log(o / (1 - o))]
        cell.bias_ih_l0.copy_(torch.tensor(logits))
    system = from_module(cell).hold(torch.zeros(1, dtype=torch.float64))
    found = lipschitz_lower_bound(system, -1.0, 1.0)
    assert found.constant == pytest.approx(f * math.sqrt(1 + o**2), rel=1e-5)
    certificate = certify(cell, 1.0, "miller-hardt")
    assert certificate.contractive and found.constant > 1
    assert not certificate.euclidean(1).contractive
    assert certificate.euclidean(20).contractive


def test_the_delta_iss_constant_is_the_root_of_its_quadratic():
    """Hypothesis: one unit's certificate agrees with the published 2 x 2 matrix, by its root."""
    cell = random_cell("lstm", 5, 0.2, units=1)
    certificate = certify(cell, 1.0, "delta-iss")
    w = cell.weight_hh_l0.detach().abs().flatten()
    top = w + cell.weight_ih_l0.detach().abs().sum(1)
    bias = (cell.bias_ih_l0 + cell.bias_hh_l0).detach()
    i, f, _, o = torch.sigmoid(bias + top)
    g = torch.tanh(bias.abs() + top)[2]
    c = i * g / (1 - f)
    alpha = w[1] * c / 4 + i * w[2] + w[0] * g / 4
    trace = f + alpha * o + torch.tanh(c) * w[3] / 4
    det = f * (alpha * o + torch.tanh(c) * w[3] / 4) - o * f * alpha
    root = float((trace + (trace**2 - 4 * det).sqrt()) / 2)
    assert root <= certificate.constant * (1 + 1e-9)
    assert certificate.constant < root + 0.02 * abs(1 - root) + 1e-5


def test_known_constants_of_elman_networks():
    """Hypothesis: the three Elman constants are the norms of W, componentwise rho(|W|)."""
    cell = random_cell("elman", 0, 0.5)
    w = cell.weight_hh_l0.detach()
    assert certify(cell, 1, "spectral").constant == pytest.approx(float(torch.linalg.norm(w, 2)))
    assert certify(cell, 1, "row-sum").constant == pytest.approx(float(w.abs().sum(1).max()))
    radius = float(torch.linalg.eigvals(w.abs()).abs().max())
    componentwise = certify(cell, 1, "componentwise").constant
    assert radius <= componentwise * (1 + 1e-9) <= radius + 0.02 * abs(1 - radius)
    best = min(certify(cell, 1, m).constant for m in METHODS[1])
    assert certify(cell).constant == best


def test_a_weighted_norm_contracts_where_the_euclidean_one_does_not():
    """Hypothesis: a triangular network is certified although its singular value is far above 1."""
    cell = torch.nn.RNN(1, 2, bias=False).double()
    with torch.no_grad():
        cell.weight_hh_l0.copy_(torch.tensor([[0.8, 5.0], [0.0, 0.7]]))
    assert certify(cell, 1, "spectral").constant > 5
    assert certify(cell, 1, "componentwise").contractive


def test_the_largest_exponent_is_at_most_the_log_of_the_constant():
    """Hypothesis: lambda_1 <= log L for certified networks of every kind, driven at random."""
    for kind in CELLS:
        cell = random_cell(kind, 7, 0.25)
        inputs = 2 * torch.rand(220, 2, generator=generator(0)).double() - 1
        x0 = torch.zeros(from_module(cell).n_x, dtype=torch.float64)
        spectrum = lyapunov_spectrum(from_module(cell), x0, 200, k=1, burn_in=20, inputs=inputs)
        assert spectrum.exponents[0] <= math.log(certify(cell).constant) + 0.02


def test_collatz_wielandt_handles_reducible_and_nilpotent_matrices():
    """Hypothesis: the weights are positive and the constant is near the spectral radius."""
    for matrix, radius in (
        (torch.tensor([[0.5, 9.0], [0.0, 0.4]]), 0.5),
        (torch.tensor([[0.0, 3.0], [0.0, 0.0]]), 0.0),
        (torch.zeros(2, 2), 0.0),
        (torch.tensor([[2.0, 1.0], [1.0, 2.0]]), 3.0),
    ):
        constant, weights = collatz_wielandt(matrix.double())
        assert (weights > 0).all()
        assert radius - 1e-9 <= constant <= radius + 0.03 * abs(1 - radius)


def test_the_orthogonal_cell_is_non_expansive_only_without_a_jump():
    """Hypothesis: b <= 0 gives the constant 1, attained; b > 0 gives no certificate."""
    q = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator(0)))[0]
    for b in (torch.zeros(4), -0.3 * torch.ones(4)):
        certificate = certify_orthogonal(q, b)
        assert certificate.certified and certificate.constant == pytest.approx(1.0, abs=1e-10)

        def f(x, theta, b=b):
            y = x @ q.T
            return y.sign() * (y.abs() + b).relu()

        found = lipschitz_lower_bound(from_function(f, 4), -2.0, 2.0, starts=64, steps=20)
        assert 1 - 1e-9 < found.constant <= certificate.constant
    jumping = certify_orthogonal(q, torch.tensor([-0.1, 0.1, 0.0, 0.0]))
    assert not jumping.certified and not jumping.contractive and jumping.constant == INF


# --- the weights as the module uses them ---


class Scaled(torch.nn.Module):
    def forward(self, weight):
        return 1.5 * weight


VARIANTS = {
    "pruned": lambda m, name: prune.l1_unstructured(m, name, amount=2),
    "pruned bias": lambda m, name: prune.random_unstructured(m, "bias_ih_l0", amount=1),
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "old spectral norm": torch.nn.utils.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own": lambda m, name: parametrize.register_parametrization(m, name, Scaled()),
    "frozen": lambda m, name: getattr(m, name).requires_grad_(False),
    "tied": lambda m, name: setattr(m, "bias_hh_l0", m.bias_ih_l0),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", CELLS)
def test_no_counterexample_beats_a_certificate_of_a_changed_module(kind, variant):
    """Hypothesis: pairs of states, moved by the module's own forward, stay below the constant."""
    cell = random_cell(kind, 1, 0.5)
    VARIANTS[variant](cell, "weight_hh_l0")
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.1)  # after the weights in use were last worked out
    cell.eval()

    def forward(x, z):
        state = x[None]
        if kind == "lstm":
            state = tuple(part[None] for part in x.split(3, dim=-1))
        state = cell(z[None], state)[1]
        return torch.cat(state, -1)[0] if kind == "lstm" else state[0]

    step = from_step(forward, n_x=6 if kind == "lstm" else 3, n_z=2)
    for method in ("componentwise", "quadratic"):
        proof = certify(cell, 1.0, method)
        low, high = (end.clamp(-3, 3) for end in proof.region)
        options = dict(norm=proof.norm, inputs=(-1.0, 1.0), starts=16, steps=20)
        found = pair_search(step, low, high, **options).constant
        assert found <= proof.constant * (1 + 1e-7)
        plain = CELLS[kind](2, 3).double()
        plain.load_state_dict(weights_in_use(cell))
        assert proof.constant == certify(plain, 1.0, method).constant


def bistable() -> torch.nn.LSTM:
    """One unit on the published constraint set that keeps the sign of its start for ever."""
    lstm = torch.nn.LSTM(1, 1).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.weight_hh_l0[:, 0] = torch.tensor([0.395, 0.155, 0.099, 0.395])
        lstm.weight_ih_l0[1], lstm.bias_ih_l0[[0, 1, 3]] = 0.25, 5.0
    return lstm


def test_a_bistable_lstm_stays_uncertified_when_its_bias_is_pruned():
    """Hypothesis: a mask of ones changes no answer, in any method or metric, held or not."""
    plain, pruned = bistable(), bistable()
    prune.custom_from_mask(pruned, "bias_ih_l0", torch.ones(4, **F64))
    assert certify(plain).constant == pytest.approx(1.128, abs=5e-4)
    for method in METHODS[4]:
        for options in ({}, {"inputs": torch.zeros(1), "after": 30}, {"steps": 4}):
            expected = certify(plain, 1.0, method, **options)
            found = certify(pruned, 1.0, method, **options)
            assert found.constant == expected.constant and not found.contractive


class Doubled(torch.nn.RNN):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return 2 * output, 2 * state


def test_a_subclass_with_its_own_forward_is_refused():
    cell = Doubled(1, 2).double()
    with torch.no_grad():
        cell.weight_hh_l0.mul_(0.1)
    with pytest.raises(TypeError, match="Doubled with a forward of its own"):
        certify(cell)


def test_a_function_with_an_lstms_names_is_no_lstm():
    """Hypothesis: what a system computes is decided by its step, not by its parameters' names."""
    weights = {"weight_hh_l0": torch.eye(2, **F64) / 2}
    cubic = System(f=lambda x, z, theta: 5 * x**3, n_x=2, theta=weights, name="cubic")
    proof = certify(cubic, box=(-1.0, 1.0))
    assert not proof.certified and proof.constant == INF
    assert proof.found == pytest.approx(15.0)
    assert "no proof known for cubic" in str(proof) and "found by search: 15" in str(proof)


# --- tight where the answer is known ---


@pytest.mark.parametrize("gate", range(4))
def test_each_term_of_an_lstm_is_the_supremum_of_its_derivative(gate):
    """Hypothesis: with one gate that sees h, no entry of M is above the largest |J| on a grid.

    Only the entries of c' are products of factors that peak together; those of h' are bounded by
    them times the peak of the output gate, which the last case attains.
    """
    cell = bistable()
    with torch.no_grad():
        cell.weight_hh_l0.zero_()
        cell.weight_ih_l0.zero_()
        cell.bias_ih_l0.copy_(torch.tensor([0.5, 0.3, 0.9, -0.2]))
        cell.weight_hh_l0[gate] = 0.7
    network, z = read_network(cell), Interval(torch.zeros(1, **F64), torch.zeros(1, **F64))
    box = start_box(network, z, 0.0)
    matrix = comparison_matrix(enclose_step(network, Box(box), z).rows, 2)
    h = torch.linspace(-1, 1, 401, **F64)
    c = torch.linspace(float(box.low[1]), float(box.high[1]), 401, **F64)
    grid = torch.cartesian_prod(h, c)
    largest = jacobian(from_module(cell).hold(torch.zeros(1, **F64)), grid).abs().amax(0)
    assert (largest <= matrix * (1 + 1e-9)).all()
    tight = [(1, 0), (1, 1)] if gate < 3 else [(0, 0)]
    for i, j in tight:
        assert float(matrix[i, j]) <= float(largest[i, j]) * (1 + 1e-3), (i, j)
    assert (matrix <= 1.5 * largest + 1e-12).all()


@pytest.mark.parametrize("gate", range(3))
def test_each_term_of_a_gru_is_near_the_supremum_of_its_derivative(gate):
    """Hypothesis: with one gate that sees h, the constant is attained to within a fifth."""
    cell = torch.nn.GRU(1, 1).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_hh_l0[2] = 0.6  # else the reset gate has nothing to reset
        cell.weight_hh_l0[gate] = [2.0, -1.5, 0.9][gate]
    proof = certify(cell, 0.0, "componentwise")
    held = from_module(cell).hold(torch.zeros(1, **F64))
    h = torch.linspace(-1, 1, 4001, **F64)[:, None]
    exact = float(jacobian(held, h).abs().max())
    assert exact <= proof.constant <= 1.2 * exact


def gru(layers: int, **weights) -> torch.nn.GRU:
    """A GRU of one unit whose weights are 0 but for those named."""
    cell = torch.nn.GRU(1, 1, layers).double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            value = torch.tensor(weights.get(name, [0.0, 0.0, 0.0]), **F64)
            parameter.copy_(value.reshape(parameter.shape))
    return cell


def test_a_gru_at_its_worst_stays_below_its_certificate():
    """Hypothesis: where h - n comes near 2 with a steep gate, and through a layer, it holds."""
    opposed = gru(1, weight_hh_l0=[0.0, 20.0, -3.0], bias_hh_l0=[10.0, -20.0, 0.0])
    through = gru(
        2,
        bias_ih_l0=[0.0, 10.0, 0.0],
        weight_ih_l1=[0.0, 20.0, 0.0],
        bias_hh_l1=[0.0, -20.0, 0.0],
        bias_ih_l1=[0.0, 0.0, -3.0],
    )  # the second layer sees the first's h, up to 1, whatever bounds the network's own input
    for cell, bound in ((opposed, 1.0), (through, 0.1)):
        for method in STACKED:
            proof = certify(cell, bound, method)
            low, high = proof.region
            options = dict(norm=proof.norm, inputs=(-bound, bound), starts=64, steps=60)
            found = lipschitz_lower_bound(from_module(cell), low, high, **options).constant
            assert 0.3 * proof.constant < found <= proof.constant * (1 + 1e-9)


def test_a_cell_bound_widens_the_region():
    cell = torch.nn.LSTM(1, 2).double()
    for method in METHODS[4]:
        wide = certify(cell, 1.0, method, cell_bound=50.0)
        assert float(wide.region[1][2:].min()) == 50.0
        assert wide.constant >= certify(cell, 1.0, method).constant


def test_the_quadratic_norm_sees_a_rotation_that_shrinks():
    """Hypothesis: for W = 0.9 R(45 degrees) the quadratic constant is 0.9, the row sum 1.27."""
    turn = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]], **F64)
    cell = elman(0.9 * turn)
    assert certify(cell, 0.0, "row-sum").constant == pytest.approx(0.9 * math.sqrt(2))
    assert certify(cell, 0.0, "componentwise").constant > 1.2
    relu = torch.nn.RNN(1, 2, nonlinearity="relu").double()
    relu.load_state_dict(cell.state_dict())
    for module in (cell, relu):
        # slopes from 0 to 1: the middle is half of W, and the rest adds up to all of it
        assert 0.9 <= certify(module, 0.0, "quadratic").constant < 0.9 * 1.01


# --- a held input, several steps, and the region that orbits come to ---


def elman(matrix: torch.Tensor, bias: float = 0.0, gain: float = 0.0) -> torch.nn.RNN:
    cell = torch.nn.RNN(1, len(matrix)).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_hh_l0.copy_(matrix)
        cell.weight_ih_l0.fill_(gain)
        cell.bias_hh_l0.fill_(bias)
    return cell


def test_a_held_input_proves_what_no_bound_on_inputs_can():
    """Hypothesis: tanh(1.2 h + z) contracts under z = 2, at 1.2 sech(0.8)^2, and not under 0."""
    cell = elman(torch.tensor([[1.2]], **F64), gain=1.0)
    assert not certify(cell, 2.0).contractive
    z = torch.full((1,), 2.0, **F64)
    proof = certify(cell, inputs=z)
    assert proof.constant == pytest.approx(1.2 / math.cosh(0.8) ** 2, rel=1e-9)
    assert certify(from_module(cell).hold(z)).constant == proof.constant
    assert proof.inputs[0].tolist() == proof.inputs[1].tolist() == [2.0]
    assert not certify(cell, inputs=torch.zeros(1)).contractive
    box = certify(cell, inputs=(1.9, 2.5))
    assert box.constant == pytest.approx(1.2 / math.cosh(0.7) ** 2, rel=1e-9)


def test_orbits_are_in_a_smaller_region_later_and_contract_there():
    """Hypothesis: tanh(1.2 h + 0.5) stretches on |h| <= 1, but not where its orbits are soon."""
    cell, z = elman(torch.tensor([[1.2]], **F64), gain=1.0), torch.full((1,), 0.5, **F64)
    system = from_module(cell).hold(z)
    proofs = [certify(system, method="componentwise", after=k) for k in range(12)]
    assert not proofs[0].contractive and proofs[-1].contractive
    assert all(a.constant >= b.constant for a, b in zip(proofs, proofs[1:], strict=False))
    orbit = simulate(system, torch.linspace(-1, 1, 101, **F64)[:, None], 11)
    for x, proof in zip(orbit, proofs[1:], strict=True):
        low, high = proof.region
        assert ((x >= low) & (x <= high)).all()
        assert float(high - low) <= float(x.max() - x.min()) + 1e-9  # for one unit
    lower = lipschitz_lower_bound(system, *proofs[-1].region, norm=proofs[-1].norm).constant
    assert lower <= proofs[-1].constant <= lower * (1 + 1e-6)


@pytest.mark.parametrize("kind, layers", [(kind, layers) for kind in CELLS for layers in (1, 2)])
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), log_scale=st.floats(-2, 0.5), after=st.integers(0, 5))
def test_no_counterexample_beats_a_certificate_over_several_steps(
    kind, layers, seed, log_scale, after
):
    """Hypothesis: f^3 under varying inputs stays below the constant, and in the region."""
    cell = random_cell(kind, seed, math.exp(log_scale), layers)
    system = from_module(cell)
    low, high = torch.tensor([-1.0, 0.0], **F64), torch.tensor([0.5, 0.3], **F64)
    for method in STACKED:
        proof = certify(cell, method=method, inputs=(low, high), steps=3, after=after)
        x = states_in(proof, 300, seed)
        w = x + 10.0 ** torch.linspace(-6, 0, 300, **F64)[:, None] * (states_in(proof, 300, 7) - x)
        z = low + (high - low) * torch.rand(3, 300, 2, generator=generator(seed), **F64)
        both = simulate(system, torch.stack([x, w]), 3, inputs=z[:, None])
        if proof.certified:
            moved = proof.norm(both[-1, 0] - both[-1, 1])
            assert (moved <= proof.constant * proof.norm(x - w) * (1 + 1e-7)).all()
            assert proof.steps == 3
        if kind != "elman" or after:
            ends = proof.region
            assert ((both >= ends[0] - 1e-12) & (both <= ends[1] + 1e-12)).all()


def test_two_steps_prove_what_one_does_not():
    """Hypothesis: two turns by 45 degrees cancel in the product, not in its absolute values."""
    turn = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]], **F64)
    steep = 0.9 / (1 - math.tanh(2.0) ** 2)  # so that the slope at a preactivation of 2 leaves 0.9
    cell = elman(steep * turn, gain=1.0)
    h = torch.full((2,), math.tanh(2.0), **F64)
    with torch.no_grad():
        cell.bias_hh_l0.copy_(2.0 - cell.weight_hh_l0 @ h)
    network = read_network(cell)
    z = Interval(torch.zeros(1, **F64), torch.zeros(1, **F64))
    narrow = Box(Interval(h - 1e-4, h + 1e-4))
    rows = enclose_step(network, narrow, z).rows
    once = signed_enclosure(rows, 2)
    one, two = (a.abs() + r for a, r in (once, product(once, once)))
    assert collatz_wielandt(one)[0] > 1.2
    assert collatz_wielandt(two)[0] == pytest.approx(0.81, abs=0.02)
    constant, norm = _componentwise(network, narrow.states, z, 2)  # 1.27^2 by one step's own
    assert 0.81 < constant < 0.83 and norm.p == INF


def test_a_certificate_says_for_which_inputs_it_holds():
    """Hypothesis: those that were asked about, but for tanh networks, whose slope is at most 1
    whatever comes in, and for norms of their weights."""
    for kind, method, bound in (
        ("gru", "componentwise", 0.7),
        ("lstm", "miller-hardt", 0.7),
        ("elman", "quadratic", 0.7),
        ("elman", "componentwise", INF),
        ("elman", "spectral", INF),
    ):
        low, high = certify(random_cell(kind, 0, 0.2), 0.7, method).inputs
        assert low.tolist() == [-bound] * 2 and high.tolist() == [bound] * 2, (kind, method)


# --- rounding ---


def raised(found: float, exact: float) -> bool:
    """Whether a constant is above the exact one by the margin, and hardly more."""
    return exact * (1 + 0.9 * MARGIN) <= found <= exact * (1 + 20 * MARGIN)


def test_every_constant_is_raised_by_the_margin_for_rounding():
    """Hypothesis: where the exact constant is known each method's is above it by 1e-11 or some."""
    half = torch.full((1, 1), 0.5, **F64)
    for method in METHODS[1]:
        for steps in (1, 3):
            proof = certify(elman(half), inputs=torch.zeros(1), method=method, steps=steps)
            assert raised(proof.constant, 0.5**steps), (method, steps)
    assert raised(certify_orthogonal(torch.eye(3), torch.zeros(3)).constant, 1.0)
    assert raised(collatz_wielandt(half)[0], 0.5)
    still = torch.nn.LSTM(1, 1).double()
    with torch.no_grad():
        for parameter in still.parameters():
            parameter.zero_()  # c' = c / 2 and h' = o tanh(c')
    assert raised(certify(still, method="miller-hardt").constant, 0.5)
    eye = torch.eye(2, **F64)
    proof = certify(elman(0.5 * eye), method="componentwise")
    norm = Norm(torch.tensor([0.5, 1.0], **F64), INF)  # distortion sqrt(1 + 1/4) / (1/2)
    skewed = replace(proof, norm=norm, constant=0.5)
    assert raised(skewed.euclidean(1).constant, math.sqrt(5) / 2)
    assert raised(skewed.euclidean(3).constant, math.sqrt(5) / 8)
    assert skewed.euclidean(3).steps == 3 and skewed.euclidean(3).norm(eye).tolist() == [1, 1]


def test_the_errors_of_sums_and_products_are_in_the_radius():
    """Hypothesis: terms that cancel leave a radius of the margin of their sizes, not of the sum."""
    one = Interval(torch.ones(1, **F64), torch.ones(1, **F64))
    v = torch.tensor([[3.0, 1.0]], **F64)
    rows = [Rows(slice(0, 1), (Term(one, v, None), Term(one, -v, None)), None)]
    centre, radius = signed_enclosure(rows, 2)
    assert (centre == 0).all()
    for size, r in zip((6.0, 2.0), radius[0].tolist(), strict=True):
        assert 0.9 * MARGIN * size < r < 5e-10 * size
    a, b = torch.tensor([[2.0, 1.0], [0.0, 1.0]], **F64), torch.tensor([[1.0, 0], [-2, 1]], **F64)
    r, s = 0.25 * torch.ones(2, 2, **F64), torch.tensor([[0.5, 0.0], [0.0, 1.0]], **F64)
    middle, reach = product((a, r), (b, s))
    # [2 1; 0 1] [1 0; -2 1], of which the first entry is 2 - 2
    assert middle.tolist() == [[0, 1], [-2, 1]]
    exact = a.abs() @ s + r @ (b.abs() + s)
    sizes = a.abs() @ b.abs()
    assert (reach >= exact + 0.9 * MARGIN * (exact + sizes)).all()
    assert (reach <= exact + 2 * MARGIN * (exact + sizes)).all()


# --- odd cases ---


def test_weights_beyond_floating_point_give_no_proof_and_no_crash():
    """Hypothesis: finite weights whose gates, bounds or products overflow end at infinity."""
    stuck = torch.nn.LSTM(1, 3).double()
    with torch.no_grad():
        stuck.bias_ih_l0[3:6] = 745.0  # 1 - f is 0
    for method in (*METHODS[4], "best"):
        proof = certify(stuck, 1.0, method)
        assert proof.constant == INF and not proof.certified and not proof.contractive
        assert certify(stuck, 1.0, method, steps=3).constant == INF
    assert certify(stuck, after=3).constant == INF
    torch.manual_seed(0)
    for scale in (1e100, 1e200, 1e300):
        for kind, cell in CELLS.items():
            for layers in (1, 2):
                module = cell(2, 3, layers).double()
                with torch.no_grad():
                    for parameter in module.parameters():
                        parameter.mul_(scale)
                for method in METHODS[ROWS[kind]] if layers == 1 else STACKED:
                    proof = certify(module, 1.0, method)
                    assert proof.constant > 1 and proof.certified == (proof.constant < INF)


def test_half_precision_weights_are_proved_for_what_they_are():
    """Hypothesis: the proof is about the exact numbers that bfloat16 holds, in float64."""
    cell = random_cell("gru", 0, 0.3).bfloat16()
    assert certify(cell).constant == certify(cell.double()).constant
    with pytest.raises(TypeError, match="complex64"):
        certify(torch.nn.RNN(1, 2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="on meta; a proof needs real"):
        certify({"weight_hh_l0": torch.zeros(2, 2, device="meta")})


def test_an_orthogonal_network_is_certified_as_a_module():
    cell = OrthogonalRNN(2, 4).double()
    with torch.no_grad():
        cell.bias.fill_(-0.1)
    proof = certify(cell, steps=5, box=(-1.0, 1.0))
    assert proof.method == "orthogonal" and proof.steps == 5
    assert proof.constant == pytest.approx(1.0, abs=1e-9)
    with torch.no_grad():
        cell.bias.fill_(0.1)
    assert not certify(cell).certified


def test_a_search_beside_a_proof_is_reported_apart():
    """Hypothesis: found <= constant, in words too, with inputs held and with inputs free."""
    cell = random_cell("lstm", 3, 0.3)
    for system in (from_module(cell), from_module(cell).hold(torch.ones(2, **F64))):
        proof = certify(system, box=(-1.0, 1.0))
        assert 0.1 * proof.constant < proof.found <= proof.constant
        assert f"found by search: {proof.found:.4g}" in str(proof)
        assert proof.euclidean(3).found is None  # it was found in another norm
    with pytest.raises(ValueError, match="search a system"):
        certify(system.theta, box=(-1.0, 1.0))


def test_certificates_make_no_tensor_on_another_device():
    """Hypothesis: another default device, the meta device here, changes nothing."""
    for kind in CELLS:
        cell = random_cell(kind, 0, 0.3, layers=2)
        for method in STACKED:
            options = dict(method=method, inputs=torch.zeros(2, **F64), after=2, steps=2)
            expected = certify(cell, **options)
            with torch.device("meta"):
                found = certify(cell, **options)
            assert found.constant == expected.constant
    cell = random_cell("lstm", 0, 0.3)
    with torch.device("meta"):
        assert all(certify(cell, method=m).constant > 0 for m in METHODS[4])


def test_progress_is_shown_and_an_interrupt_keeps_the_proofs_done(capsys, monkeypatch):
    cell = random_cell("elman", 0, 0.5)
    certify(cell)
    assert capsys.readouterr().err == ""
    certify(cell, progress=True)
    shown = capsys.readouterr().err
    assert "certify" in shown and "4/4" in shown and "proof" in shown

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnnlib.memory.certificates._quadratic", interrupted)
    with pytest.warns(UserWarning, match="best of the proofs done so far"):
        assert certify(cell).method == "componentwise"


def test_the_diameter_of_a_region_is_not_exceeded():
    """Hypothesis: no two states of the region are farther apart, in either kind of norm."""
    cell = random_cell("lstm", 0, 0.3)
    for method in METHODS[4]:
        proof = certify(cell, 1.0, method)
        x = states_in(proof, 200, 0)
        apart = proof.norm(x[:, None] - x)
        assert 0.3 * proof.diameter < float(apart.max()) <= proof.diameter * (1 + 1e-12)
    assert certify(elman(torch.eye(2) / 2)).diameter == INF


def test_a_certificate_is_itself_alone_and_does_not_change():
    """Hypothesis: tensors have no single truth, so it is compared by identity, and its parts too;
    nobody can put another constant into it."""
    cell = random_cell("gru", 0, 0.3)
    network = read_network(cell)
    box = Box(start_box(network, Interval(-torch.ones(2, **F64), torch.ones(2, **F64)), 0.0))
    for one, name in ((certify(cell), "constant"), (network, "layers"), (box, "states")):
        assert one == one and one != copy.copy(one) and len({one, copy.copy(one)}) == 2
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, 0.0)


def test_bad_arguments_say_what_to_do():
    """Hypothesis: each refusal names the argument, the value and the remedy."""
    lstm = torch.nn.LSTM(1, 2, 2).double()
    with pytest.raises(ValueError, match="method is 'delta-iss'.*componentwise"):
        certify(lstm, method="delta-iss")
    with pytest.raises(ValueError, match="input_bound is -1"):
        certify(lstm, input_bound=-1)
    with pytest.raises(ValueError, match="input_bound is inf"):
        certify(lstm, input_bound=INF)
    for rows, columns in ((2, 0), (0, 2)):  # neither has a unit
        with pytest.raises(ValueError, match=rf"weight_hh_l0 has shape \({rows}, {columns}\)"):
            certify({"weight_hh_l0": torch.zeros(rows, columns)})
    with pytest.raises(ValueError, match="weight_hh_l0 has shape"):
        certify({"weight_hh_l0": torch.zeros(4, 2)})
    with pytest.raises(ValueError, match="named as torch.nn names them"):
        certify({"w": torch.zeros(2, 2)})
    with pytest.raises(ValueError, match="batch axes"):
        certify({"weight_hh_l0": torch.zeros(3, 3, 3)})
    with pytest.raises(ValueError, match="not finite"):
        certify({"weight_hh_l0": torch.full((2, 2), torch.nan)})
    with pytest.raises(TypeError, match="Linear"):
        certify(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="steps is 0"):
        certify(lstm).euclidean(0)
    with pytest.raises(ValueError, match="steps is 0 and after is -1"):
        certify(lstm, steps=0, after=-1)
    with pytest.raises(ValueError, match="cell_bound is 2.0 and after is 3"):
        certify(lstm, cell_bound=2.0, after=3)
    with pytest.raises(ValueError, match=r"inputs has shape \(3,\); the network takes one"):
        certify(lstm, inputs=torch.zeros(3))
    with pytest.raises(ValueError, match="low one above the high"):
        certify(lstm, inputs=(1.0, 0.0))
    with pytest.raises(ValueError, match=r"inputs has shape \(4, 1\)"):
        certify(from_module(lstm).hold(torch.zeros(4, 1, **F64)))

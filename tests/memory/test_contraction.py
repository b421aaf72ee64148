"""Hypotheses about searched Lipschitz constants and certified ones."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib import from_module, henon, linear, logistic, lyapunov_spectrum, simulate
from rnnlib.memory.certificates import (
    INF,
    METHODS,
    Certificate,
    certify,
    certify_orthogonal,
    collatz_wielandt,
)
from rnnlib.memory.contraction import Norm, lipschitz_lower_bound, pair_search
from rnnlib.systems import from_function

CELLS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
ROWS = {"elman": 1, "gru": 3, "lstm": 4}
CASES = [(cell, method, 1) for cell in CELLS for method in METHODS[ROWS[cell]]]
CASES += [(cell, "componentwise", 2) for cell in CELLS]


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


# --- lower bounds ---


def test_the_searched_constant_of_a_linear_map_is_its_largest_singular_value():
    """Hypothesis: both searches find ||A|| exactly, in the Euclidean and in the max norm."""
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=generator(0))
    for norm in (2, INF):
        exact = float(torch.linalg.matrix_norm(matrix, ord=norm))
        found = lipschitz_lower_bound(linear(matrix), -1.0, 1.0, norm=norm, starts=4, steps=0)
        assert found.constant == pytest.approx(exact, rel=1e-12)
        pair = pair_search(linear(matrix), -1.0, 1.0, norm=norm, starts=64, steps=100)
        assert pair.constant == pytest.approx(exact, rel=1e-2 if norm == 2 else 1e-6)


def test_the_searched_constants_of_known_maps_are_their_closed_forms():
    """Hypothesis: the search reaches the logistic map's r and the Henon map's corner value."""
    assert lipschitz_lower_bound(logistic(3.7), 0.0, 1.0).constant == pytest.approx(3.7, rel=1e-12)
    a, b, end = 1.4, 0.3, 1.5
    corner = torch.tensor([[2 * a * end, 1.0], [b, 0.0]], dtype=torch.float64)
    found = lipschitz_lower_bound(henon(a, b), -end, end)
    exact = float(torch.linalg.matrix_norm(corner, ord=2))
    assert found.constant == pytest.approx(exact, rel=1e-10)
    assert abs(found.x[0]) == pytest.approx(end)


def test_the_search_finds_an_interior_maximum_that_sampling_misses():
    """Hypothesis: ascent reaches sigma_max(W) of tanh(W x + b); as many samples stay below."""
    w = torch.randn(8, 8, dtype=torch.float64, generator=generator(1))
    w = 1.5 * w / torch.linalg.matrix_norm(w, ord=2)
    inside = torch.full((8,), 0.7, dtype=torch.float64)  # here, and only here, every slope is 1
    system = from_function(lambda x, theta: torch.tanh((x - inside) @ w.T), 8)
    searched = lipschitz_lower_bound(system, -3.0, 3.0, starts=16, steps=300)
    sampled = lipschitz_lower_bound(system, -3.0, 3.0, starts=16 * 301, steps=0)
    assert searched.constant == pytest.approx(1.5, rel=1e-3)
    assert searched.constant <= 1.5 * (1 + 1e-12)
    assert sampled.constant < 0.99 * searched.constant


def test_the_constant_is_attained_where_the_search_says():
    """Hypothesis: the reported state, input and pair reproduce the reported constants."""
    cell = random_cell("lstm", 0, 1.0)
    system = from_module(cell)
    found = lipschitz_lower_bound(system, -1.0, 1.0, inputs=(-1.0, 1.0), starts=8, steps=20)
    fixed = lipschitz_lower_bound(system.hold(found.z), found.x, found.x, starts=1, steps=0)
    assert fixed.constant == pytest.approx(found.constant, rel=1e-12)
    pair = pair_search(system, -1.0, 1.0, inputs=(-1.0, 1.0), starts=8, steps=20)
    moved = system.step(pair.x, pair.z) - system.step(pair.w, pair.z)
    assert moved.norm() / (pair.x - pair.w).norm() == pytest.approx(pair.constant, rel=1e-9)


@pytest.mark.parametrize("kind", CELLS)
def test_pairs_confirm_the_jacobian_search(kind):
    """Hypothesis: on a box the two searches agree, the pairs never above the Jacobian."""
    system = from_module(random_cell(kind, 3, 0.7))
    options = dict(inputs=(-1.0, 1.0), starts=48, steps=150)
    by_jacobian = lipschitz_lower_bound(system, -1.0, 1.0, **options).constant
    by_pairs = pair_search(system, -1.0, 1.0, **options).constant
    assert 0.93 * by_jacobian < by_pairs < by_jacobian * (1 + 1e-4)


def test_an_induced_norm_is_attained_and_not_exceeded():
    """Hypothesis: no vector is stretched by more than the exact induced norms say."""
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=generator(0))
    weights = torch.rand(6, dtype=torch.float64, generator=generator(1)) + 0.1
    v = torch.randn(2000, 6, dtype=torch.float64, generator=generator(2))
    for norm in (Norm(weights, 2), Norm(weights, INF)):
        assert (norm(v @ matrix.T) / norm(v)).max() <= norm.induced(matrix) * (1 + 1e-12)
    signs = weights * (matrix / weights[:, None] * weights).sign()
    norm = Norm(weights, INF)
    assert (norm(signs @ matrix.T) / norm(signs)).max() == pytest.approx(
        float(norm.induced(matrix))
    )
    blocks = Norm(weights, 2, blocks=2)  # a lower bound only, but a better one than sampling
    assert blocks.induced(matrix) >= (blocks(v @ matrix.T) / blocks(v)).max()


def test_the_distortion_bounds_the_euclidean_norm():
    """Hypothesis: |A|_2 <= distortion * |A| for every norm of the family."""
    weights = torch.tensor([0.2, 1.0, 0.5, 0.7], dtype=torch.float64)
    matrices = torch.randn(200, 4, 4, dtype=torch.float64, generator=generator(3))
    euclidean = torch.linalg.matrix_norm(matrices, ord=2)
    for norm in (Norm(weights, 2), Norm(weights, INF)):
        assert (euclidean <= norm.distortion * norm.induced(matrices)).all()
    v = torch.randn(500, 4, dtype=torch.float64, generator=generator(4))
    blocks = Norm(weights, 2, blocks=2)
    spread = v.norm(dim=-1) / blocks(v)
    assert spread.max() / spread.min() <= blocks.distortion


def test_a_jump_has_no_lipschitz_constant():
    """Hypothesis: at a jump the pair search grows without bound as pairs get closer."""
    system = from_function(lambda x, theta: x.sign() * (x.abs() + 0.5), 1)
    coarse = pair_search(system, -1.0, 1.001, separation=1e-2, starts=512, steps=0).constant
    assert coarse > 10
    assert lipschitz_lower_bound(system, -1.0, 1.001).constant == pytest.approx(1.0)


# --- certificates ---


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


def test_bad_arguments_say_what_to_do():
    """Hypothesis: each refusal names the argument, the value and the remedy."""
    lstm = torch.nn.LSTM(1, 2, 2).double()
    with pytest.raises(ValueError, match="method is 'delta-iss'.*componentwise"):
        certify(lstm, method="delta-iss")
    with pytest.raises(ValueError, match="input_bound is -1"):
        certify(lstm, input_bound=-1)
    with pytest.raises(ValueError, match="input_bound is inf"):
        certify(lstm, input_bound=INF)
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
    with pytest.raises(ValueError, match="low exceeds high"):
        lipschitz_lower_bound(logistic(4.0), 1.0, 0.0)
    with pytest.raises(ValueError, match="not finite; search a bounded box"):
        lipschitz_lower_bound(logistic(4.0), -INF, 0.0)
    with pytest.raises(ValueError, match="batch axes"):
        lipschitz_lower_bound(logistic(torch.tensor([3.0, 4.0])), 0.0, 1.0)
    with pytest.raises(ValueError, match="needs an input"):
        lipschitz_lower_bound(from_module(lstm), 0.0, 1.0)
    with pytest.raises(ValueError, match="starts is 0"):
        lipschitz_lower_bound(logistic(4.0), 0.0, 1.0, starts=0)
    with pytest.raises(ValueError, match="no two states"):
        pair_search(logistic(4.0), 0.5, 0.5)
    with pytest.raises(ValueError, match="p is 1"):
        Norm(torch.ones(2), 1)
    with pytest.raises(ValueError, match="must be positive"):
        Norm(torch.zeros(2))
    with pytest.raises(ValueError, match="blocks is 2"):
        Norm(torch.ones(3), 2, 2)

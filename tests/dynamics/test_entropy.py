import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import differential_entropy

import rnnlib
from rnnlib.dynamics.entropy import (
    box_entropy,
    entropy_along,
    gaussian_entropy,
    knn_entropy,
    log_abs_det,
)
from rnnlib.systems import X0, chaotic_lstm, line

REAL = {"dtype": torch.float64}


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **REAL)


def standard(n):
    return gaussian_entropy(torch.eye(n, **REAL))


def random_system(kind, seed, gain):
    """A network with four states, and weights of the size ``gain``."""
    if kind == "linear":
        return rnnlib.linear(gain * draw(seed, 4, 4))
    torch.manual_seed(seed)
    module = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](
        2, 2 if kind == "lstm" else 4
    )
    system = rnnlib.from_module(module).to(torch.float64)
    return system.at({k: gain * v for k, v in system.theta.items()}).hold(torch.ones(2, **REAL))


# --- the identity and the bounds ---


def test_a_gaussian_has_the_entropy_of_its_determinant():
    """Hypothesis: log sqrt(2 pi e) + log sigma per independent component, batched."""
    sigma = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.1, 1e-6]], **REAL)
    expected = (sigma * math.sqrt(2 * math.pi * math.e)).log().sum(-1)
    assert torch.allclose(gaussian_entropy(torch.diag_embed(sigma**2)), expected)


def test_the_identity_is_exact_for_linear_maps():
    """Hypothesis: H_t through the Jacobian is the closed form of the Gaussian at every step."""
    matrix = draw(0, 3, 3)
    run = entropy_along(rnnlib.linear(matrix), draw(1, 10, 3), 6, standard(3))
    for t, entropy in enumerate(run.entropy):
        power = matrix.matrix_power(t)
        covariance = power @ power.T
        exact = gaussian_entropy((covariance + covariance.T) / 2)
        assert entropy.item() == pytest.approx(exact.item(), abs=1e-7)
    assert run.stderr.max() < 1e-12


def test_the_printed_lower_bound_is_violated_by_a_diagonal_map():
    """Hypothesis: diag(0.9, 0.1) has H_1 = 0.43 < 2.63 = H_0 + N log L_f, and meets both bounds."""
    run = entropy_along(
        rnnlib.linear(torch.diag(torch.tensor([0.9, 0.1], **REAL))), draw(0, 5, 2), 1, standard(2)
    )
    assert run.entropy.tolist() == pytest.approx([2.8379, 0.4299], abs=1e-4)
    assert run.upper[1].item() == pytest.approx(2.6272, abs=1e-4)
    assert run.lower[1] < run.entropy[1] < run.upper[1]


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_scaled_rotations_meet_both_bounds(scale):
    """Hypothesis: only there do the two bounds coincide; scale 1 keeps the entropy."""
    rotation = torch.linalg.qr(draw(0, 4, 4)).Q
    run = entropy_along(rnnlib.linear(scale * rotation), draw(1, 5, 4), 8, standard(4))
    expected = standard(4) + 4 * math.log(scale) * torch.arange(9, **REAL)
    for value in (run.entropy, run.lower, run.upper):
        assert torch.allclose(value, expected, atol=1e-12)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    kind=st.sampled_from(["linear", "elman", "gru", "lstm"]),
    seed=st.integers(0, 10_000),
    gain=st.floats(0.05, 8.0),
)
def test_the_bounds_bracket_the_identity(kind, seed, gain):
    """Hypothesis: N log sigma_min <= E log|det A| <= N log sigma_max at every step."""
    run = entropy_along(random_system(kind, seed, gain), draw(seed, 50, 4), 4, standard(4))
    steps = run.entropy.diff(dim=0)
    slack = 1e-9 * (1 + steps.abs())
    assert torch.all(steps >= run.lower.diff(dim=0) - slack)
    assert torch.all(steps <= run.upper.diff(dim=0) + slack)


def test_a_stretching_map_can_keep_or_lose_entropy():
    """Hypothesis: L_f = 2 goes with constant entropy for diag(2, 1/2), falling for diag(2, 1/4)."""
    for squeeze, change in ((0.5, 0.0), (0.25, -math.log(2))):
        system = rnnlib.linear(torch.diag(torch.tensor([2.0, squeeze], **REAL)))
        run = entropy_along(system, draw(0, 5, 2), 1, 0.0)
        assert run.sigma_max[0].item() == pytest.approx(2.0)
        assert run.entropy[1].item() == pytest.approx(change, abs=1e-12)


def test_a_bounded_one_to_one_network_stays_below_the_volume_of_its_box():
    """Hypothesis: tanh(W x) may gain entropy, but never beyond log vol (-1, 1)^2."""
    weight = 2 * torch.linalg.qr(draw(3, 2, 2)).Q
    system = rnnlib.from_function(lambda x, theta: torch.tanh(x @ weight.T), 2)
    run = entropy_along(system, 1e-3 * draw(0, 2000, 2), 30, standard(2) + 2 * math.log(1e-3))
    assert run.entropy[1] - run.entropy[0] == pytest.approx(2 * math.log(2), abs=1e-4)
    assert torch.all(run.entropy <= 2 * math.log(2) + 3 * run.stderr)
    assert run.entropy[-1] < run.entropy.max()


def test_a_sweep_is_the_same_as_single_runs():
    """Hypothesis: a batch of parameters gives each system's own numbers."""
    scales = torch.tensor([0.3, 1.0], **REAL)
    x = X0 + 0.1 * draw(0, 20, 4)
    together = entropy_along(line()(scales), x[:, None], 3, 0.0)
    for i, s in enumerate(scales):
        for batched, single in zip(together, entropy_along(line()(s), x, 3, 0.0), strict=True):
            assert torch.allclose(batched[..., i], single, rtol=1e-9)


def test_inputs_are_used_step_by_step():
    """Hypothesis: with an input sequence each step is the system held at that input."""
    system = rnnlib.from_module(torch.nn.GRU(1, 3)).to(torch.float64)
    x, inputs = draw(0, 20, 3), draw(1, 2, 1)
    run = entropy_along(system, x, 2, 0.0, inputs=inputs)
    first, second = system.hold(inputs[0]), system.hold(inputs[1])
    expected = log_abs_det(first, x).mean() + log_abs_det(second, first.step(x)).mean()
    assert run.entropy[2].item() == pytest.approx(expected.item())


def test_the_standard_error_covers_the_truth():
    """Hypothesis: over 40 draws |H_1 - truth| exceeds two standard errors in few cases."""
    system, x = chaotic_lstm(), X0 + 0.1 * draw(0, 40_000, 4)
    runs = [entropy_along(system, part, 2, 0.0) for part in x.chunk(40)]
    truth = torch.stack([run.entropy[2] for run in runs]).mean()
    misses = sum(abs(run.entropy[2] - truth) > 2 * run.stderr[2] for run in runs)
    assert misses <= 6  # 2 expected


def test_the_reported_error_is_the_spread_between_samples():
    """Hypothesis: over 40 clouds it is the standard deviation of the entropy, within a third."""
    lstm, generator = chaotic_lstm(), torch.Generator().manual_seed(0)
    clouds = [X0 + 0.1 * torch.randn(100, 4, generator=generator, **REAL) for _ in range(40)]
    runs = [entropy_along(lstm, cloud, 3, 0.0) for cloud in clouds]
    spread = torch.stack([run.entropy[-1] for run in runs]).std()
    claimed = torch.stack([run.stderr[-1] for run in runs]).square().mean().sqrt()
    assert 0.67 < claimed / spread < 1.5


def test_the_bounds_are_those_of_the_extreme_samples():
    """Hypothesis: of three samples of the logistic map the steepest and the flattest count."""
    x0 = torch.tensor([[0.1], [0.4], [0.9]], **REAL)
    found = entropy_along(rnnlib.logistic(4.0), x0, 1, 0.0)
    slopes = (4 - 8 * x0[:, 0]).abs()
    assert found.sigma_min[0] == slopes.min() and found.sigma_max[0] == slopes.max()


def test_an_interrupted_run_is_that_of_the_steps_made():
    """Hypothesis: with a warning; before the first step the interrupt goes through."""
    calls = [0]

    def step(x):
        calls[0] += 1
        if calls[0] > 12:
            raise KeyboardInterrupt
        return x / 2

    x0 = draw(0, 20, 1)
    system = rnnlib.from_step(step, 1, derivative="reverse")  # two calls a step
    with pytest.warns(UserWarning, match="interrupted: 6 of 50 steps") as caught:
        run = entropy_along(system, x0, 50, 0.0, progress=True)
    assert caught.pop(UserWarning).filename == __file__  # it points at the call
    expected = -math.log(2) * torch.arange(7, **REAL)
    assert torch.allclose(run.entropy, expected) and run.stderr.shape == (7,)
    assert run.lower.shape == (7,) and run.sigma_max.shape == (6,)
    with pytest.raises(KeyboardInterrupt):
        entropy_along(system, x0, 50, 0.0)


# --- the determinant ---


def test_the_log_determinant_is_that_of_the_jacobian():
    """Hypothesis: QR with row scaling agrees with LAPACK's LU."""
    for kind in ("linear", "elman", "gru", "lstm"):
        system, x = random_system(kind, 1, 1.5), draw(0, 30, 4)
        expected = torch.linalg.slogdet(rnnlib.jacobian(system, x)).logabsdet
        assert torch.allclose(log_abs_det(system, x), expected, atol=1e-9)


def test_the_determinant_of_an_lstm_is_a_product_of_gates():
    """Hypothesis: |det A| = |det W_ho| prod f o (1 - o) |tanh c'|, also with biases and inputs."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(2, 3)
    system = rnnlib.from_module(module).to(torch.float64).hold(draw(0, 2))
    x, w = draw(1, 50, 6), system.theta
    gates = x[:, :3] @ w["weight_hh_l0"].T + w["bias_hh_l0"] + w["bias_ih_l0"]
    gates = gates + w["weight_ih_l0"] @ draw(0, 2)
    f, o = gates[:, 3:6].sigmoid(), gates[:, 9:].sigmoid()
    factors = f * o * (1 - o) * system.step(x)[:, 3:].tanh().abs()
    expected = factors.log().sum(-1) + w["weight_hh_l0"][9:].det().abs().log()
    assert torch.allclose(log_abs_det(system, x), expected, atol=1e-9)


def test_a_badly_scaled_but_regular_jacobian_is_not_called_singular():
    """Hypothesis: diag(1e-12, 1e12) has log|det| = 0."""
    matrix = torch.diag(torch.tensor([1e-12, 1e12], **REAL))
    assert log_abs_det(rnnlib.linear(matrix), draw(0, 2)).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0.0, 0.0], [0.0, 0.0]],
        [[1.0, 2.0], [0.0, 0.0]],
        [[1.0, 0.0], [2.0, 0.0]],
        [[0.1, 0.3], [0.3, 0.9]],
    ],
)
def test_a_singular_jacobian_gives_minus_infinity(matrix):
    """Hypothesis: -inf, also where rounding hides it, and neither NaN nor an error."""
    system = rnnlib.linear(torch.tensor(matrix, **REAL))
    run = entropy_along(system, draw(0, 5, 2), 2, standard(2))
    assert run.entropy[1:].tolist() == [-math.inf, -math.inf]
    assert log_abs_det(system, draw(0, 3, 2)).tolist() == [-math.inf] * 3
    assert gaussian_entropy(torch.tensor(matrix, **REAL).mT @ system.theta["matrix"]) == -math.inf


def test_an_output_gate_of_rank_one_loses_everything():
    """Hypothesis: with a singular W_ho an LSTM's state has no density after one step."""
    theta = chaotic_lstm().theta["weight_hh_l0"].clone()
    theta[7] = 2 * theta[6]
    run = entropy_along(chaotic_lstm(theta), X0 + 0.1 * draw(0, 50, 4), 2, 0.0)
    assert run.entropy[1:].tolist() == [-math.inf, -math.inf]


def test_a_diverging_orbit_gives_nan_and_leaves_the_others_alone():
    """Hypothesis: NaN from the step on which an orbit overflows, no error, other batches as is."""
    r = torch.tensor([3.7, 5.0], **REAL)
    x = torch.rand(20, 1, 1, generator=torch.Generator().manual_seed(0), **REAL)
    run = entropy_along(rnnlib.logistic(r), x, 40, 0.0)
    assert torch.isfinite(run.entropy[:, 0]).all()
    assert torch.isnan(run.entropy[-1, 1])
    assert torch.isnan(run.sigma_max[-1, 1])


# --- entropy and Lyapunov exponents ---


def test_long_run_entropy_change_is_the_sum_of_the_lyapunov_exponents():
    """Hypothesis: the chaotic LSTM loses 6.5 nats per step, although one exponent is positive."""
    system = chaotic_lstm()
    x = rnnlib.simulate(system, X0 + 0.1 * draw(0, 400, 4), 1, burn_in=200)[0]
    run = entropy_along(system, x, 100, 0.0)
    exponents = rnnlib.lyapunov_spectrum(system, x[:40], 500, burn_in=50).exponents
    error = exponents.sum(-1).std() / 40**0.5
    assert exponents.mean(0)[0] > 0.1
    assert (run.entropy[-1] / 100).item() == pytest.approx(
        exponents.mean(0).sum().item(), abs=4 * (run.stderr[-1] / 100 + error).item()
    )
    assert (run.entropy[-1] / 100).item() == pytest.approx(-6.51, abs=0.05)


def test_the_henon_map_loses_ln_0_3_per_step():
    """Hypothesis: a constant determinant makes the identity exact for a chaotic map."""
    run = entropy_along(rnnlib.henon(), 0.03 * draw(0, 100, 2), 20, 0.0)
    expected = math.log(0.3) * torch.arange(21, **REAL)
    assert torch.allclose(run.entropy, expected, atol=1e-9)


def test_a_cloud_in_small_boxes_gains_about_the_positive_exponent():
    """Hypothesis: for the logistic map at r = 4 box entropy grows by ln 2 per step."""
    x = 0.3 + 1e-7 * draw(0, 20_000, 1)
    boxes = [box_entropy(y, 1e-4).item() for y in rnnlib.simulate(rnnlib.logistic(4.0), x, 17)]
    growth = (boxes[16] - boxes[12]) / 4
    assert growth == pytest.approx(math.log(2), abs=0.15)


# --- samples alone ---


@pytest.mark.parametrize("n", [1, 2, 4])
def test_neighbours_find_the_entropy_of_a_gaussian(n):
    """Hypothesis: within five errors and the known bias of order N^(-2/n)."""
    matrix = draw(n, n, n)
    estimate = knn_entropy(draw(0, 8000, n) @ matrix.T)
    exact = standard(n) + matrix.det().abs().log()
    assert abs(estimate.entropy - exact) < 5 * estimate.stderr + 0.5 * 8000 ** (-2 / n)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_neighbours_find_the_entropy_of_a_box(n):
    """Hypothesis: within five errors and the known bias of order n N^(-1/n) of an edge."""
    sides = torch.arange(1, n + 1, **REAL)
    x = torch.rand(8000, n, generator=torch.Generator().manual_seed(0), **REAL) * sides
    estimate = knn_entropy(x)
    bias = n * 8000 ** (-1 / n) / 2
    assert -5 * estimate.stderr < estimate.entropy - sides.log().sum() < 5 * estimate.stderr + bias


def test_the_neighbours_standard_error_is_their_spread():
    """Hypothesis: the claimed error is that of repeated draws to within a factor of 1.5."""
    runs = [knn_entropy(draw(seed, 1000, 2)) for seed in range(80)]
    spread = np.std([run.entropy for run in runs])
    assert 1 / 1.5 < spread / np.mean([run.stderr for run in runs]) < 1.5


def test_neighbours_agree_with_scipy_in_one_dimension():
    """Hypothesis: Vasicek's estimator of scipy finds the same number."""
    x = draw(0, 8000, 1).exp()
    assert knn_entropy(x).entropy == pytest.approx(differential_entropy(x[:, 0].numpy()), abs=0.06)


def test_whitening_makes_the_estimate_affine():
    """Hypothesis: log|det| exactly, also for a cloud as thin as 1e-9; without, it fails there."""
    x, squeeze = draw(0, 2000, 3), torch.tensor([1.0, 1e-4, 1e-9], **REAL)
    thin, expected = x * squeeze, knn_entropy(x).entropy + squeeze.log().sum().item()
    assert knn_entropy(thin).entropy == pytest.approx(expected, abs=1e-4)
    assert knn_entropy(thin, whiten=False).entropy > expected + 5


def test_the_identity_agrees_with_neighbours_on_a_nonlinear_one_to_one_map():
    """Hypothesis: two routes, one entropy: tanh(0.9 Q x) for ten steps, and the LSTM for one."""
    weight = 0.9 * torch.linalg.qr(draw(5, 2, 2)).Q
    elman = rnnlib.from_function(lambda x, theta: torch.tanh(x @ weight.T), 2)
    x = draw(0, 8000, 2)
    run = entropy_along(elman, x, 10, standard(2))
    for t, states in enumerate(rnnlib.simulate(elman, x, 10), start=1):
        samples = knn_entropy(states)
        assert abs(samples.entropy - run.entropy[t]) < 5 * samples.stderr
    assert run.entropy[0] - run.entropy[10] > 4
    x, h0 = X0 + 1e-5 * draw(1, 8000, 4), standard(4) + 4 * math.log(1e-5)
    run = entropy_along(chaotic_lstm(), x, 1, h0)
    samples = knn_entropy(chaotic_lstm().step(x))
    assert run.entropy[0] - run.entropy[1] > 10
    assert abs(samples.entropy - run.entropy[1]) < 0.15


def test_a_fold_takes_back_what_the_logistic_map_stretches():
    """Hypothesis: at r = 4 E log|f'| = ln 2 per step while the entropy stays at ln(pi / 4)."""
    u = torch.rand(10_000, 1, generator=torch.Generator().manual_seed(0), **REAL)
    x, system = (u * math.pi / 2).sin() ** 2, rnnlib.logistic(4.0)
    run = entropy_along(system, x, 5, math.log(math.pi / 4))
    assert torch.all((run.entropy.diff() - math.log(2)).abs() < 0.05)
    for states in (x, *rnnlib.simulate(system, x, 5)):
        assert knn_entropy(states).entropy == pytest.approx(math.log(math.pi / 4), abs=0.05)


def test_clipping_leaves_no_density():
    """Hypothesis: relu after an orthogonal map: -inf through the Jacobian at once."""
    rotation = torch.linalg.qr(draw(0, 2, 2)).Q
    system = rnnlib.from_function(lambda x, theta: torch.relu(x @ rotation.T), 2)
    x = draw(1, 500, 2)
    assert entropy_along(system, x, 1, standard(2)).entropy[1] == -math.inf
    assert knn_entropy(system.step(x)).entropy == -math.inf  # a quarter of them at the origin


def test_neighbours_on_an_attractor_measure_its_dimension():
    """Hypothesis: the estimate falls like (1 - n / D) log N, with D of Henon's attractor 1.26."""
    x = rnnlib.simulate(rnnlib.henon(), 0.03 * draw(0, 20_000, 2), 1, burn_in=100)[0]
    fewer, more = knn_entropy(x[:1000]).entropy, knn_entropy(x).entropy
    assert 2 / (1 - (more - fewer) / math.log(20)) == pytest.approx(1.26, abs=0.08)


def test_atoms_and_hyperplanes_have_entropy_minus_infinity():
    """Hypothesis: -inf for a point, for repeated samples and for a flat cloud; not 0, not NaN."""
    assert knn_entropy(torch.ones(50, 2)).entropy == -math.inf
    assert knn_entropy(draw(0, 10, 2).repeat(10, 1)).entropy == -math.inf
    flat = torch.cat([draw(0, 100, 2), torch.full((100, 1), 0.3, **REAL)], dim=-1)
    assert knn_entropy(flat).entropy == -math.inf
    assert gaussian_entropy(torch.zeros(2, 2, **REAL)) == -math.inf


@pytest.mark.parametrize(("n", "seed"), [(2, 4), (6, 5), (12, 0), (40, 1)])
@pytest.mark.parametrize("whiten", [True, False])
def test_an_atom_stays_one_under_whitening(n, seed, whiten):
    """Hypothesis: four samples that coincide are an atom for k = 3 and none for k = 4."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1003, n, generator=generator, **REAL)
    same = torch.randperm(1003, generator=generator)[:4]
    x[same] = x[same[0]].clone()
    assert knn_entropy(x, whiten=whiten).entropy == -math.inf
    assert math.isfinite(knn_entropy(x, k=4, whiten=whiten).entropy)
    x[same[0], 0] = 0.0
    x[same[1:], 0] = -0.0
    assert knn_entropy(x, whiten=whiten).entropy == -math.inf


def test_box_entropy_counts_boxes():
    """Hypothesis: 0 for one box, ln 6 for six equal ones, h - n log(size) for a density."""
    assert box_entropy(torch.full((10, 3), 0.25), 0.1).item() == 0
    grid = torch.cartesian_prod(torch.arange(-1.0, 1.0), torch.arange(0.0, 3.0)) + 0.5
    assert box_entropy(grid.repeat(7, 1), 1.0).item() == pytest.approx(math.log(6))
    fine = box_entropy(draw(0, 200_000, 2), 0.1).item()
    assert fine == pytest.approx(standard(2).item() - 2 * math.log(0.1), abs=0.02)


# --- bad input ---


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (torch.zeros(2, 3), "must be"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "symmetrise"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "eigenvalue -1"),
        (torch.full((2, 2), torch.nan), "not finite"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(covariance, message):
    """Hypothesis: the message says what is wrong with the matrix."""
    with pytest.raises(ValueError, match=message):
        gaussian_entropy(covariance)


def test_samples_that_cannot_be_followed_are_refused():
    """Hypothesis: too few samples or steps, float32, another dimension, too few inputs."""
    system = chaotic_lstm()
    with pytest.raises(ValueError, match="at least 2 samples"):
        entropy_along(system, X0, 3, 0.0)
    with pytest.raises(ValueError, match="at least 2 samples"):
        entropy_along(system, X0[None], 3, 0.0)
    with pytest.raises(ValueError, match="steps is 0"):
        entropy_along(system, X0.repeat(5, 1), 0, 0.0)
    with pytest.raises(TypeError, match="float64"):
        entropy_along(system, X0.float().repeat(5, 1), 3, 0.0)
    with pytest.raises(ValueError, match="states of shape"):
        entropy_along(system, draw(0, 5, 3), 3, 0.0)
    with pytest.raises(ValueError, match="inputs has 2 steps"):
        net = rnnlib.from_module(torch.nn.RNN(1, 4)).to(torch.float64)
        entropy_along(net, X0.repeat(5, 1), 3, 0.0, inputs=torch.zeros(2, 1, **REAL))


@pytest.mark.parametrize(
    ("samples", "k", "message"),
    [
        (torch.zeros(10), 3, r"\(samples, n\)"),
        (torch.zeros(0, 2), 3, r"\(samples, n\)"),
        (torch.tensor([[0.0], [torch.inf], [1.0]]), 1, "not finite"),
        (torch.zeros(3, 1), 3, "more than both"),
        (torch.zeros(3, 4), 1, "more than both"),
        (torch.zeros(9, 1), 0, "k is 0"),
    ],
)
def test_samples_without_neighbours_are_refused(samples, k, message):
    """Hypothesis: another shape, values not finite, k or n too large for the samples."""
    with pytest.raises(ValueError, match=message):
        knn_entropy(samples, k)


def test_boxes_without_size_are_refused():
    """Hypothesis: a side of zero has no boxes, NaN is in none."""
    with pytest.raises(ValueError, match="positive"):
        box_entropy(torch.zeros(3, 2), 0.0)
    with pytest.raises(ValueError, match="finite"):
        box_entropy(torch.full((3, 2), torch.nan), 1.0)


# --- what the chapter on entropy says of cells, attractors and channels ---


def test_a_gru_without_recurrent_weights_meets_the_printed_inequality_with_equality():
    """Hypothesis: with one update gate for all units the GRU is h' = z h + const, a multiple of
    the identity, the one family for which (4) holds as printed; an LSTM never is."""
    gru = torch.nn.GRU(2, 3)
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.zero_()
        gru.bias_ih_l0[3:6] = 0.6  # of the update gate
        gru.bias_ih_l0[6:] = 0.3
    system = rnnlib.from_module(gru).to(torch.float64).hold(torch.ones(2, **REAL))
    gate = 1 / (1 + math.exp(-0.6))
    run = entropy_along(system, draw(0, 100, 3), 5, standard(3))
    for t, entropy in enumerate(run.entropy):
        exact = float(standard(3)) + 3 * t * math.log(gate)
        assert float(entropy) == pytest.approx(exact, abs=1e-5)  # a float32 module
    singular = torch.linalg.svdvals(rnnlib.jacobian(system, draw(1, 20, 3)))
    assert (singular - singular[:, :1]).abs().max() < 1e-12
    network = chaotic_lstm()
    spread = torch.linalg.svdvals(rnnlib.jacobian(network, 0.3 * draw(2, 50, 4)))
    assert (spread[:, 0] > 1.05 * spread[:, -1]).all()


def test_an_attractor_of_a_map_that_folds_may_have_a_positive_sum_of_exponents():
    """Hypothesis: the logistic map at 3.9 and one GRU unit attract an interval, and their only
    exponent is positive: 0.49 and 0.50. For one-to-one maps the sum is at most 0."""
    unit = torch.nn.GRU(1, 1)
    unit.load_state_dict(
        {
            "weight_ih_l0": torch.zeros(3, 1),
            "weight_hh_l0": torch.tensor([[1.5], [-4.0], [-4.0]]),
            "bias_ih_l0": torch.tensor([1.5, -1.8, 4.9]),
            "bias_hh_l0": torch.tensor([0.0, 0.0, -2.6]),
        }
    )
    gru = rnnlib.from_module(unit).to(torch.float64).hold(torch.zeros(1, **REAL))
    starts = torch.linspace(-0.99, 0.99, 64, **REAL)[:, None]
    for system, x0, expected in (
        (rnnlib.logistic(3.9), starts.abs(), 0.49),
        (gru, starts, 0.50),
    ):
        spectrum = rnnlib.lyapunov_spectrum(system, x0, 1500, burn_in=200)
        assert float(spectrum.exponents.mean()) == pytest.approx(expected, abs=0.03)
    ends = rnnlib.simulate(gru, starts, 1000, burn_in=200)  # all of them stay in one interval
    assert -0.77 < ends.min() and ends.max() < 0.92


def test_what_a_noisy_linear_state_remembers_has_a_closed_form():
    """Hypothesis: I(x_t; x_0) of x' = a x + noise is 1/2 log(1 + a^2t P / (q sum a^2k)), which
    the correlation of samples confirms; without noise it is infinite at any t."""
    variance, noise = 1.0, 0.3
    x0 = draw(0, 200_000)
    for a in (0.8, 1.0):
        x, steps = x0, 5
        for t in range(steps):
            x = a * x + math.sqrt(noise) * draw(t + 1, 200_000)
        total = noise * sum(a ** (2 * k) for k in range(steps))
        exact = 0.5 * math.log1p(a ** (2 * steps) * variance / total)
        correlation = float(torch.corrcoef(torch.stack([x, x0]))[0, 1])
        assert -0.5 * math.log(1 - correlation**2) == pytest.approx(exact, abs=0.01)

"""rnnlib.systems.two_unit_kernel against torch, numpy, closed forms and itself."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

numba = pytest.importorskip("numba")
from rnnlib.systems import two_unit_kernel  # noqa: E402
from rnnlib.systems.two_unit_kernel import LANES, lyapunov_spectrum, sweep  # noqa: E402

W_I, W_F = [[-1, -4], [-3, -2]], [[-2, 6], [0, -6]]
W_G, W_O = [[-1, -6], [6, -9]], [[4, 1], [-9, -7]]
THETA = np.array(W_I + W_F + W_G + W_O, dtype=float)
RANDOM = np.random.default_rng(0).random((8, 2))
X0 = np.full(4, 0.5)
LN2 = np.log(2)


def torch_orbit(theta, steps):
    """h of torch.nn.LSTM in float64 on a zero input, (steps, 2)."""
    model = torch.nn.LSTM(1, 2, bias=False).double()
    start = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    with torch.no_grad():
        model.weight_hh_l0.copy_(torch.as_tensor(theta))
        return model(torch.zeros(steps, 1, 1, dtype=torch.float64), (start, start))[0][:, 0].numpy()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_log_det(s, steps, burn_in=0):
    """Mean of log|det J| along the orbit of each s, in closed form, and the last h."""
    h = np.full((len(s), 2), 0.5)
    c, total = h, 0.0
    for t in range(burn_in + steps):
        i, f, g, o = (s[:, None] * (h @ np.array(w, float).T) for w in (W_I, W_F, W_G, W_O))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        # det J = prod f * det(diag(o (1 - o) tanh c) s W_o): the c' rows eliminate the rest.
        slopes = s[:, None] * sigmoid(o) * sigmoid(-o) * np.tanh(c)
        if t >= burn_in:
            total = total + np.log(np.abs(slopes * sigmoid(f))).sum(1)
        h = sigmoid(o) * np.tanh(c)
    return total / steps + np.log(np.abs(np.linalg.det(W_O))), h


def ulps(ours, exact):
    return np.max(np.abs(ours - exact) / np.spacing(np.abs(exact)))


# --- the exponentials ---


def test_the_polynomial_exponential_is_right_to_a_few_units_in_the_last_place():
    x = np.concatenate([np.linspace(-700, 700, 3001), np.linspace(-3, 3, 3000)])
    x = np.concatenate([x, 10.0 ** np.arange(-300, 0, 7), -(10.0 ** np.arange(-300, 0, 7))])
    for constant, exact in ((-1.0, np.expm1(x)), (0.0, np.exp(x)), (1.0, np.exp(x) + 1)):
        assert ulps(np.array([two_unit_kernel._exp_plus(v, constant) for v in x]), exact) <= 2


def test_sigmoid_and_tanh_are_right_to_a_few_units_in_the_last_place_and_saturate():
    x = np.concatenate([np.linspace(-700, 700, 1001), np.linspace(-40, 40, 3001), [-1e-9, 1e-200]])
    assert ulps(np.array([two_unit_kernel._sigmoid(v) for v in x]), sigmoid(x)) <= 4
    assert ulps(np.array([two_unit_kernel._tanh(v) for v in x]), np.tanh(x)) <= 4
    for v in (800.0, 1e90):
        assert two_unit_kernel._sigmoid(v) == 1 and 0 <= two_unit_kernel._sigmoid(-v) < 1e-300
        assert two_unit_kernel._tanh(v) == 1 and two_unit_kernel._tanh(-v) == -1
        assert two_unit_kernel._sigmoid_tanh(v, v) == 1
        assert abs(two_unit_kernel._sigmoid_tanh(-v, -v)) < 1e-300
    y = np.roll(x, 700)
    product = np.array([two_unit_kernel._sigmoid_tanh(a, b) for a, b in zip(x, y, strict=True)])
    # The smallest products underflow to 0.
    np.testing.assert_allclose(product, sigmoid(x) * np.tanh(y), rtol=2e-15, atol=1e-290)


def test_slopes_keep_their_relative_accuracy_where_the_gates_saturate():
    x = np.linspace(-300, 300, 601)
    value, slope = np.array([two_unit_kernel._sigmoid_and_slope(v) for v in x]).T
    np.testing.assert_allclose(value, sigmoid(x), rtol=2e-15)
    np.testing.assert_allclose(slope, sigmoid(x) * sigmoid(-x), rtol=2e-15)
    value, slope = np.array([two_unit_kernel._tanh_and_slope(v) for v in x]).T
    np.testing.assert_allclose(value, np.tanh(x), rtol=2e-15)
    np.testing.assert_allclose(slope, 1 / np.cosh(x) ** 2, rtol=2e-15)


# --- orbits and costs ---


def test_the_first_steps_are_those_of_torch_lstm():
    s = np.linspace(0.5, 2, 31)
    h = sweep(THETA[None], s, x0=X0, steps=50).h
    expected = np.stack([torch_orbit(a * THETA, 50) for a in s], axis=1)
    np.testing.assert_allclose(h[:40], expected[:40], rtol=0, atol=1e-9)
    # Chaos: at s = 1.25 plain numpy and torch are 4e-9 apart by step 47.
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-8)


def test_below_chaos_all_steps_are_those_of_torch_lstm():
    s = np.linspace(0, 0.85, 18)
    h = sweep(THETA[None], s, x0=X0, steps=150, burn_in=50).h
    expected = np.stack([torch_orbit(a * THETA, 200)[50:] for a in s], axis=1)
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-9)


def test_the_second_weight_set_moves_the_orbit_as_in_torch_lstm():
    s1, s2 = np.linspace(0, 2, 5), np.linspace(-0.5, 0.5, 3)
    h = sweep(np.stack([THETA, RANDOM]), s1, s2, x0=X0, steps=30).h
    assert h.shape == (30, 5, 3, 2)
    for n, a in enumerate(s1):
        for m, b in enumerate(s2):
            expected = torch_orbit(a * THETA + b * RANDOM, 30)
            np.testing.assert_allclose(h[:, n, m], expected, rtol=0, atol=1e-9)


def test_the_cost_is_the_mean_squared_error_against_the_targets():
    s = np.concatenate([np.linspace(0.5, 0.85, 40), np.linspace(1.7, 2, 30)])
    targets = torch_orbit(THETA, 200)[100:]
    result = sweep(THETA[None], s, x0=X0, targets=targets, steps=100, burn_in=100)
    direct = np.mean((result.h - targets[:, None]) ** 2, axis=(0, 2))
    np.testing.assert_allclose(result.cost, direct, rtol=1e-13)
    regular = np.stack([torch_orbit(a * THETA, 200)[100:] for a in s[:40]], axis=1)
    direct = np.mean((regular - targets[:, None]) ** 2, axis=(0, 2))
    np.testing.assert_allclose(result.cost[:40], direct, rtol=1e-9)


def test_the_true_parameter_costs_nothing():
    targets = sweep(THETA[None], [1.0], x0=X0, steps=100, burn_in=100).h[:, 0]
    s = np.append(np.linspace(0.5, 2, 102), 1.0)
    cost = sweep(THETA[None], s, x0=X0, targets=targets, steps=100, burn_in=100).cost
    assert cost[-1] == 0 and np.all(cost[:-1] > 1e-3)


def test_the_path_is_the_line_of_the_plane_where_the_second_coordinate_is_zero():
    s, targets = np.linspace(0, 2, 70), np.full((40, 2), 0.1)
    run = {"x0": X0, "targets": targets, "steps": 40, "burn_in": 20}
    path = sweep(THETA[None], s, **run)
    plane = sweep(np.stack([THETA, RANDOM]), s, [-0.1, 0.0, 0.1], **run)
    np.testing.assert_array_equal(plane.h[:, :, 1], path.h)
    np.testing.assert_array_equal(plane.cost[:, 1], path.cost)
    assert not np.array_equal(plane.cost[:, 0], path.cost)


def test_burn_in_drops_the_first_steps_and_nothing_else():
    whole = sweep(THETA[None], [0.8, 1.0], x0=X0, steps=60).h
    rest = sweep(THETA[None], [0.8, 1.0], x0=X0, steps=25, burn_in=35)
    np.testing.assert_array_equal(rest.h, whole[35:])
    assert rest.cost is None


def test_without_the_orbit_the_cost_is_the_same():
    run = {"x0": X0, "targets": np.zeros((30, 2)), "steps": 30}
    with_orbit = sweep(THETA[None], np.linspace(0, 2, 77), **run)
    without = sweep(THETA[None], np.linspace(0, 2, 77), **run, keep_orbit=False)
    assert without.h is None
    np.testing.assert_array_equal(without.cost, with_orbit.cost)


def test_at_zero_weights_the_cell_state_halves_each_step():
    h = sweep(THETA[None], [0.0], x0=X0, steps=60).h[:, 0]
    c = 0.5 ** (np.arange(60) + 2)
    np.testing.assert_allclose(h, np.tanh(np.stack([c, c], axis=1)) / 2, rtol=1e-15)


@pytest.mark.parametrize("points", [1, LANES - 1, LANES + 1, 2 * LANES + 1, 5000])
def test_neither_the_grid_size_nor_the_threads_change_a_bit(points):
    s = np.linspace(0.5, 2, 5000)
    run = {"x0": X0, "targets": np.zeros((20, 2)), "steps": 20, "burn_in": 30}
    whole = sweep(THETA[None], s, **run, threads=1)
    spectrum = lyapunov_spectrum(THETA[None], s, x0=X0, steps=30, threads=1)
    for threads in (None, 1, 2, 3, 7):
        part = sweep(THETA[None], s[:points], **run, threads=threads)
        np.testing.assert_array_equal(part.h, whole.h[:, :points])
        np.testing.assert_array_equal(part.cost, whole.cost[:points])
        part = lyapunov_spectrum(THETA[None], s[:points], x0=X0, steps=30, threads=threads)
        np.testing.assert_array_equal(part, spectrum[:points])


def test_tensors_lists_and_arrays_give_the_same_bits():
    run = {"steps": 20, "burn_in": 5}
    s = np.linspace(0.5, 2, 9)
    zeros = np.zeros((20, 2))
    arrays = sweep(THETA[None], s, x0=X0, targets=zeros, **run)
    tensors = [torch.as_tensor(v) for v in (THETA[None], s, X0, zeros)]
    basis = tensors[0].clone().requires_grad_()
    others = [
        sweep(basis, tensors[1], x0=tensors[2], targets=tensors[3], **run),
        sweep([THETA.tolist()], s.tolist(), x0=[0.5] * 4, targets=zeros.tolist(), **run),
    ]
    for other in others:
        np.testing.assert_array_equal(other.h, arrays.h)
        np.testing.assert_array_equal(other.cost, arrays.cost)


def test_arguments_are_left_as_they_were():
    basis, s, x0, targets = THETA[None].copy(), np.linspace(0, 1, 7), X0.copy(), np.ones((9, 2))
    sweep(basis, s, x0=x0, targets=targets, steps=9)
    lyapunov_spectrum(basis, s, x0=x0, steps=9)
    assert np.array_equal(basis[0], THETA) and np.array_equal(s, np.linspace(0, 1, 7))
    assert np.array_equal(x0, X0) and np.array_equal(targets, np.ones((9, 2)))


MEMORY = """
import resource, sys
import numpy as np
from rnnlib.systems.two_unit_kernel import sweep

basis, targets = np.random.default_rng(0).random((2, 8, 2)), np.zeros((2, 2))
run = dict(x0=np.full(4, 0.5), targets=targets, steps=2, keep_orbit=False)
sweep(basis, [0.5], [0.5], **run)  # compiles
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
pages = int(open("/proc/self/statm").read().split()[1])
# The compiler's own peak would hide growth: ballast lifts the present memory up to it.
ballast = np.ones(max(0, peak() - pages * resource.getpagesize()) // 8 + 1)
before = peak()
cost = sweep(basis, np.linspace(0, 2, 1000), np.linspace(-0.5, 0.5, 1000), **run).cost
print(peak() - before, cost.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_million_points_need_no_more_memory_than_their_costs_and_50_mb():
    run = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=Path(two_unit_kernel.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    growth, output = map(int, run.stdout.split())
    assert output == 8_000_000
    assert 0.5 * output < growth < output + 50e6


# --- Lyapunov spectra ---


def test_the_spectrum_of_the_true_parameter():
    spectrum = lyapunov_spectrum(THETA[None], [1.0], x0=X0, steps=200_000, burn_in=1000)[0]
    assert np.all(np.abs(spectrum - [0.170, -0.384, -1.679, -4.62]) < [0.01, 0.01, 0.02, 0.05])


def test_the_sum_of_the_exponents_is_the_mean_log_determinant():
    # Few steps: roundoff has no time to separate the two routes, so chaos may be included.
    s = np.linspace(0.8, 2, 301)
    spectrum = lyapunov_spectrum(THETA[None], s, x0=X0, steps=25)
    np.testing.assert_allclose(spectrum.sum(-1), numpy_log_det(s, 25)[0], rtol=1e-9)


def test_the_sum_of_the_exponents_is_the_mean_log_determinant_on_regular_attractors():
    s = np.linspace(0.8, 2, 241)
    spectrum = lyapunov_spectrum(THETA[None], s, x0=X0, steps=500, burn_in=1500)
    log_det, last = numpy_log_det(s, 500, 1500)
    # A transient bout of chaos can leave two codes on different phases of one cycle.
    together = np.abs(last - sweep(THETA[None], s, x0=X0, steps=1, burn_in=1999).h[0]).max(1) < 1e-9
    regular = (spectrum[:, 0] < -0.01) & together
    assert regular.sum() > 80
    np.testing.assert_allclose(spectrum[regular].sum(-1), log_det[regular], rtol=1e-9)


@pytest.mark.parametrize("s", [0.0, 0.3, 0.6, 0.7])
def test_at_the_origin_two_exponents_are_closed_forms_and_two_are_minus_infinity(s):
    # J = [[B/2, I/4], [B, I/2]] with B = s W_g / 2 has rank 2. On its image h = c / 2, where it
    # acts as I/2 + B/2; the eigenvalues of W_g are a complex pair, so both have one modulus.
    image = np.eye(2) / 2 + s * np.array(W_G) / 4
    spectrum = lyapunov_spectrum(THETA[None], [s], x0=X0, steps=20_000, burn_in=1000)[0]
    np.testing.assert_allclose(spectrum[:2].sum(), np.log(np.linalg.det(image)), rtol=1e-9)
    modulus = np.abs(np.linalg.eigvals(image))
    np.testing.assert_allclose(spectrum[:2], np.log(modulus), atol=1e-3)
    assert np.all(spectrum[2:] == -np.inf)


def test_only_the_origin_has_infinite_exponents_and_none_is_nan():
    s = np.linspace(0, 2, 401)
    spectrum = lyapunov_spectrum(THETA[None], s, x0=X0, steps=2000)
    at_origin = np.abs(sweep(THETA[None], s, x0=X0, steps=1, burn_in=2000).h[0]).max(1) < 1e-12
    assert not np.isnan(spectrum).any()
    assert np.all(np.isfinite(spectrum[:, :2]))
    np.testing.assert_array_equal(np.isneginf(spectrum[:, 2:]).all(1), at_origin)
    np.testing.assert_array_equal(np.isneginf(spectrum[:, 2:]).any(1), at_origin)


def test_an_orbit_that_starts_at_the_origin_has_minus_infinity_and_no_nan():
    spectrum = lyapunov_spectrum(THETA[None], [0.0, 0.6, 1.0], x0=np.zeros(4), steps=1)
    assert np.all(np.isfinite(spectrum[:, :2])) and np.all(spectrum[:, 2:] == -np.inf)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_fewer_exponents_are_the_leading_ones(k):
    s = np.linspace(0, 2, 100)
    run = {"x0": X0, "steps": 300, "burn_in": 10}
    fewer = lyapunov_spectrum(THETA[None], s, **run, k=k)
    np.testing.assert_array_equal(fewer, lyapunov_spectrum(THETA[None], s, **run)[:, :k])


def test_the_spectrum_has_the_shape_of_the_grid():
    basis = np.stack([THETA, RANDOM, RANDOM.T.reshape(8, 2)])
    spectrum = lyapunov_spectrum(basis, [0.5, 1.0], [0.0, 0.1, 0.2], [0.0], x0=X0, steps=50, k=2)
    assert spectrum.shape == (2, 3, 1, 2)
    one = lyapunov_spectrum((THETA + 0.2 * RANDOM)[None], [1.0], x0=X0, steps=50, k=2)
    np.testing.assert_allclose(spectrum[1, 2, 0], one[0], rtol=1e-6)


# --- arguments and installation ---

GOOD = {"basis": THETA[None], "axes": ([1.0],), "x0": X0, "steps": 3}
BAD = [
    ({"basis": THETA}, r"basis must have shape \(n, 8, 2\), got \(8, 2\): pass theta\[None\]"),
    ({"basis": THETA[None, :4]}, r"basis must have shape .* got \(1, 4, 2\)"),
    ({"basis": THETA[None] * np.nan}, r"basis must be finite, got nan at \(0, 0, 0\): replace it"),
    ({"basis": "weights"}, "basis must be real, got 'weights' .*: pass floats"),
    ({"axes": ()}, "axes must be as many as the weight sets in basis, got 0 for 1: pass one"),
    ({"axes": ([1.0], [2.0])}, "axes must be as many .* got 2 for 1"),
    ({"axes": (1.0,)}, r"axis 0 must have shape \(n,\), got \(\): pass 1-D coordinates"),
    ({"axes": ([],)}, r"axis 0 must have shape \(n,\), got \(0,\)"),
    ({"axes": ([0.0, np.inf],)}, r"axis 0 must be finite, got inf at \(1,\): replace it"),
    ({"axes": ([1e200],)}, r"axes make weights up to 9e\+200: keep them below 1e100"),
    ({"x0": np.full((2, 2), 0.5)}, r"x0 must have shape \(4,\), got \(2, 2\): pass the state"),
    ({"x0": [0.5, 0.5, 0.5, np.nan]}, r"x0 must be finite, got nan at \(3,\): replace it"),
    ({"steps": 0}, r"steps must be an integer in \[1, inf\], got 0: pass one"),
    ({"steps": 2.5}, r"steps must be an integer in \[1, inf\], got 2.5: pass one"),
    ({"burn_in": -1}, r"burn_in must be an integer in \[0, inf\], got -1: pass one"),
    ({"threads": 0}, r"threads must be an integer in \[1, inf\], got 0: pass one"),
]
ONLY_SWEEP = [
    (
        {"targets": np.zeros((2, 2))},
        r"targets must have shape \(3, 2\), got \(2, 2\): pass one row",
    ),
    ({"targets": np.zeros(3)}, r"targets must have shape \(3, 2\), got \(3,\)"),
    ({"targets": np.full((3, 2), np.nan)}, "targets must be finite, got nan"),
    ({"keep_orbit": False}, "targets is None and keep_orbit is False.*: pass targets"),
]
ONLY_SPECTRUM = [
    ({"k": 0}, r"k must be an integer in \[1, 4\], got 0: pass one"),
    ({"k": 5}, r"k must be an integer in \[1, 4\], got 5"),
]


@pytest.mark.parametrize(
    "function, change, message",
    [(f, *case) for f in (sweep, lyapunov_spectrum) for case in BAD]
    + [(sweep, *case) for case in ONLY_SWEEP]
    + [(lyapunov_spectrum, *case) for case in ONLY_SPECTRUM],
)
def test_a_wrong_argument_is_named_with_its_value_and_the_remedy(function, change, message):
    arguments = GOOD | change
    basis, axes = arguments.pop("basis"), arguments.pop("axes")
    with pytest.raises(ValueError, match=message):
        function(basis, *axes, **arguments)


def fresh_import():
    spec = importlib.util.spec_from_file_location("fresh_two_unit_lstm", two_unit_kernel.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_numba_the_import_says_what_to_install_and_what_else_there_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r'"rnnlib\[fast\]".*rnnlib.dynamics') as caught:
        fresh_import()
    assert "needs no numba" in str(caught.value)


def test_without_any_directory_for_a_cache_the_kernels_still_compile(monkeypatch):
    njit = numba.njit

    def no_cache(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", no_cache)
    assert fresh_import()._sigmoid(0.0) == 0.5

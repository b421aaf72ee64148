"""Lyapunov spectra with known answers, and the awkward cases."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnlib
from rnnlib.systems import X0, chaotic_lstm, line

F64 = {"dtype": torch.float64}


def test_henon_has_its_published_exponents():
    """Hypothesis: (1.4, 0.3) gives 0.4193 and -1.6233, whose sum is ln 0.3 exactly."""
    x0 = torch.tensor([0.1, 0.1], **F64) + 1e-3 * torch.arange(50, **F64)[:, None]
    exponents = rnnlib.lyapunov_spectrum(rnnlib.henon(), x0, 4000, burn_in=100).exponents
    torch.testing.assert_close(
        exponents.sum(-1), torch.full((50,), math.log(0.3), **F64), atol=1e-12, rtol=0
    )
    assert exponents.mean(0).tolist() == pytest.approx([0.4193, -1.6233], abs=2e-3)


def test_the_logistic_map_at_four_doubles_errors():
    """Hypothesis: r = 4 gives ln 2."""
    x0 = torch.linspace(0.1, 0.4, 50, **F64)[:, None]
    spectrum = rnnlib.lyapunov_spectrum(rnnlib.logistic(4.0), x0, 3000, burn_in=100)
    assert spectrum.exponents.mean().item() == pytest.approx(math.log(2), abs=1e-3)
    assert (spectrum.error < 0.01).all()


def test_a_diagonal_map_has_the_logarithms_of_its_entries_for_every_k():
    """Hypothesis: k < n gives the leading exponents, whatever order the axes are in."""
    entries = torch.tensor([0.8, 1.1, -0.5], **F64)
    system, x0 = rnnlib.linear(torch.diag(entries)), torch.zeros(3, **F64)
    expected = entries.abs().log().sort(descending=True).values
    for k in (1, 2, 3):
        exponents = rnnlib.lyapunov_spectrum(system, x0, 200, k=k, burn_in=300).exponents
        torch.testing.assert_close(exponents, expected[:k], atol=1e-12, rtol=0)


def test_a_contraction_to_a_fixed_point_gives_log_of_its_slope_even_on_a_short_run():
    """Hypothesis: x -> 0.9 x gives ln 0.9 in ten steps, with no sampling error."""
    spectrum = rnnlib.lyapunov_spectrum(
        rnnlib.linear(0.9 * torch.eye(1, **F64)), torch.ones(1, **F64), 10
    )
    assert spectrum.exponents.item() == pytest.approx(math.log(0.9), abs=1e-14)
    assert spectrum.error.item() == pytest.approx(0, abs=1e-14)


def test_a_stable_fixed_point_of_an_lstm_has_the_eigenvalues_of_its_jacobian():
    """Hypothesis: at rest the exponents are the logarithms of the eigenvalues' moduli."""
    torch.manual_seed(3)
    system = rnnlib.from_module(torch.nn.LSTM(1, 3).double()).hold(torch.ones(1, **F64))
    rest = rnnlib.simulate(system, torch.zeros(6, **F64), 1, burn_in=500)[0]
    moduli = torch.linalg.eigvals(rnnlib.jacobian(system, rest)).abs().sort(descending=True).values
    spectrum = rnnlib.lyapunov_spectrum(system, rest, 3000, burn_in=300)
    torch.testing.assert_close(spectrum.exponents, moduli.log(), atol=2e-3, rtol=0)


def test_an_orthogonal_map_has_all_exponents_zero():
    """Hypothesis: a rotation in 5 dimensions neither stretches nor shrinks."""
    q = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0), **F64))[0]
    exponents = rnnlib.lyapunov_spectrum(rnnlib.linear(q), torch.ones(5, **F64), 300).exponents
    torch.testing.assert_close(exponents, torch.zeros(5, **F64), atol=1e-13, rtol=0)


def test_the_chaotic_lstm_has_its_known_spectrum_on_the_full_state():
    """Hypothesis: 0.170, -0.384, -1.679, -4.62, not 0.132 (h alone) nor 0.084 (transposed J)."""
    starts = X0 + 0.01 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0), **F64)
    spectrum = rnnlib.lyapunov_spectrum(chaotic_lstm(), starts, 1000, burn_in=200)
    mean = spectrum.exponents.mean(0)
    assert mean.tolist() == pytest.approx([0.170, -0.384, -1.679, -4.62], abs=0.02)
    assert rnnlib.kaplan_yorke_dimension(mean).item() == pytest.approx(1.44, abs=0.03)


@pytest.mark.parametrize("s", [0.9, 1.0, 1.6])
def test_the_exponents_sum_to_the_mean_log_determinant(s):
    """Hypothesis: the sum of the whole spectrum is the mean of log |det J| along the same orbit."""
    system, visited = line()(torch.tensor(s, **F64)), []

    def watched(x, z, theta):
        if x.shape == (4,):  # the orbit itself; its copies for the Jacobians have more axes
            visited.append(x)
        return system.f(x, z, theta)

    along = dataclasses.replace(system, f=watched)
    spectrum = rnnlib.lyapunov_spectrum(along, X0, 500, burn_in=100)
    assert len(visited) == 600  # two routes to one chaotic orbit would part after 60 steps
    log_det = torch.linalg.slogdet(rnnlib.jacobian(system, torch.stack(visited[100:])))[1].mean()
    torch.testing.assert_close(spectrum.exponents.sum(), log_det, atol=1e-9, rtol=0)


def test_a_driven_exponent_uses_each_input_at_its_own_step():
    """Hypothesis: x' = z x has the mean of log |z| over the steps after the burn-in."""
    gain = rnnlib.from_step(lambda x, z: z * x, n_x=1, n_z=1)
    inputs = torch.cat([torch.full((7,), 3.0, **F64), torch.linspace(0.3, 0.9, 20, **F64)])[:, None]
    found = rnnlib.lyapunov_spectrum(gain, torch.ones(1, **F64), 20, burn_in=7, inputs=inputs)
    expected = inputs[7:].log().mean().item()
    assert found.exponents.item() == pytest.approx(expected, abs=1e-12)


def test_the_standard_error_of_an_exponent_is_the_spread_between_orbits():
    """Hypothesis: over 200 orbits its root mean square is their standard deviation, to a fifth."""
    starts = X0 + 0.01 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0), **F64)
    found = rnnlib.lyapunov_spectrum(chaotic_lstm(), starts, 1000, burn_in=200, k=1)
    ratio = found.error.square().mean().sqrt() / found.exponents.std()
    assert 0.8 < ratio < 1.25


def test_an_exponent_is_minus_infinity_only_if_most_steps_lose_it():
    """Hypothesis: a direction that one step in four flattens keeps a finite exponent, at the
    resolution on those steps; one that three in four flatten does not."""
    for flat, infinite in ((1, False), (3, True)):
        gains = torch.tensor([0.0] * flat + [0.5] * (4 - flat), **F64).repeat(10)[:, None]
        system = rnnlib.from_step(lambda x, z: torch.cat([x[..., :1], z * x[..., 1:]], -1), 2, 1)
        found = rnnlib.lyapunov_spectrum(system, torch.ones(2, **F64), 40, inputs=gains).exponents
        assert found[0].item() == pytest.approx(0, abs=0.1)
        assert torch.isinf(found[1]).item() == infinite


def test_an_exponent_of_minus_25_is_no_rounding():
    """Hypothesis: the floor under which a direction counts as lost lies at the roundings."""
    system = rnnlib.linear(torch.diag(torch.tensor([1.0, 1e-11], **F64)))
    found = rnnlib.lyapunov_spectrum(system, torch.ones(2, **F64), 50, burn_in=10).exponents
    assert found[1].item() == pytest.approx(math.log(1e-11), abs=1e-6)


def test_exponents_below_working_precision_are_minus_infinity():
    """Hypothesis: at the origin of the LSTM without bias two directions die at once."""
    system = line()(torch.tensor(0.6, **F64))
    exponents = rnnlib.lyapunov_spectrum(system, X0, 2000, burn_in=300).exponents
    assert (exponents[2:] == -torch.inf).all()
    eigenvalues = torch.linalg.eigvals(rnnlib.jacobian(system, torch.zeros(4, **F64))).abs()
    expected = eigenvalues.sort(descending=True).values[:2].log()
    torch.testing.assert_close(exponents[:2], expected, atol=5e-3, rtol=0)


def test_nan_and_divergence_give_nan_and_leave_the_rest_alone():
    """Hypothesis: a NaN state or an exploding orbit is NaN, not an error, in its own place."""
    r = torch.tensor([4.0, 5.0, 4.0], **F64)
    x0 = torch.tensor([[0.3], [0.3], [torch.nan]], **F64)
    exponents = rnnlib.lyapunov_spectrum(rnnlib.logistic(r), x0, 1000).exponents[:, 0]
    assert exponents[0].item() == pytest.approx(math.log(2), abs=0.02)
    assert exponents[1:].isnan().all()
    half = rnnlib.linear(torch.diag(torch.tensor([1e40, 0.5], **F64)))  # one component overflows
    assert rnnlib.lyapunov_spectrum(half, torch.ones(2, **F64), 10).exponents.isnan().all()


def test_float32_is_close_to_float64_where_the_orbit_is_regular():
    """Hypothesis: single precision gives the leading exponent of a cycle to three digits."""
    system = line()(torch.tensor(1.6, **F64))
    high = rnnlib.lyapunov_spectrum(system, X0, 400, k=1, burn_in=100).exponents
    low = rnnlib.lyapunov_spectrum(system.to(torch.float32), X0.float(), 400, k=1, burn_in=100)
    assert low.exponents.dtype == torch.float32
    torch.testing.assert_close(low.exponents.double(), high, atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(seed=st.integers(0, 10**6), constant=st.floats(0.1, 0.99))
def test_a_contraction_has_no_exponent_above_the_log_of_its_constant(seed, constant):
    """Hypothesis: x' = tanh(W x) with ||W||_2 = L has its largest exponent at most ln L."""
    w = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed), **F64)
    module = torch.nn.RNN(1, 4, bias=False).double()
    with torch.no_grad():
        module.weight_hh_l0.copy_(constant * w / torch.linalg.matrix_norm(w, 2))
    system = rnnlib.from_module(module).hold(torch.ones(1, **F64))
    exponents = rnnlib.lyapunov_spectrum(system, torch.ones(4, **F64), 60, k=1).exponents
    assert exponents.item() <= math.log(constant) + 1e-12


def spectrum_of(make, x0, steps, **options):
    return lambda w: (
        rnnlib.lyapunov_spectrum(make(w), x0, steps, differentiable=True, **options).exponents
    )


def test_exponents_are_differentiable_in_the_weights():
    """Hypothesis: their gradient is that of finite differences: at the fixed point of an LSTM and
    along the chaotic one, for all exponents and for the leading ones, in x0 and inputs too."""
    torch.manual_seed(0)
    at_rest = rnnlib.from_module(torch.nn.LSTM(1, 2).double()).hold(torch.ones(1, **F64))
    w = at_rest.theta["weight_hh_l0"].clone().requires_grad_()
    x0 = torch.zeros(4, **F64)
    found = spectrum_of(lambda w: at_rest.at({"weight_hh_l0": w}), x0, 12, burn_in=5)
    assert torch.autograd.gradcheck(found, w, atol=1e-5)
    theta = chaotic_lstm().theta["weight_hh_l0"].clone().requires_grad_()
    for k in (1, 3):
        assert torch.autograd.gradcheck(spectrum_of(chaotic_lstm, X0, 10, k=k), theta, atol=1e-5)
    driven = rnnlib.from_step(lambda x, z: torch.tanh(2 * x.flip(-1) * z + x), 2, 2)

    def by_both(x0, inputs):
        return rnnlib.lyapunov_spectrum(
            driven, x0, 10, inputs=inputs, differentiable=True
        ).exponents

    start, inputs = torch.rand(2, **F64), torch.rand(10, 2, **F64)
    assert torch.autograd.gradcheck(by_both, (start.requires_grad_(), inputs.requires_grad_()))


def test_the_gradient_of_an_exponent_at_rest_has_its_closed_form():
    """Hypothesis: x' = a x has the exponent log a, so the derivative 1 / a."""
    a = torch.tensor([[0.7]], **F64, requires_grad=True)
    found = rnnlib.lyapunov_spectrum(
        rnnlib.linear(a), torch.ones(1, **F64), 10, differentiable=True
    )
    found.exponents.sum().backward()
    assert a.grad.item() == pytest.approx(1 / 0.7)


def test_no_gradient_is_recorded_unless_asked_for():
    a = torch.tensor([[0.7]], **F64, requires_grad=True)
    arguments = rnnlib.linear(a), torch.ones(1, **F64), 10
    assert not rnnlib.lyapunov_spectrum(*arguments).exponents.requires_grad
    net = torch.nn.Linear(2, 2, **F64)
    closure = rnnlib.from_step(lambda x: torch.tanh(net(x)), 2)
    assert not rnnlib.lyapunov_spectrum(closure, torch.ones(2, **F64), 10).exponents.requires_grad
    with pytest.raises(ValueError, match="no parameter, state or input requires a gradient"):
        rnnlib.lyapunov_spectrum(chaotic_lstm(), X0, 10, differentiable=True)
    with torch.no_grad(), pytest.raises(ValueError, match="torch.no_grad is on"):
        rnnlib.lyapunov_spectrum(*arguments, differentiable=True)


def interrupted_after(system, calls):
    """Return the system with a step that a keyboard interrupt ends at some call."""
    left = [calls]

    def f(x, z, theta):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return system.f(x, z, theta)

    return dataclasses.replace(system, f=f)


def test_an_interrupted_spectrum_is_that_of_the_steps_made():
    """Hypothesis: with a warning; before ten steps the interrupt goes through."""
    wide = rnnlib.linear(0.5 * torch.eye(40, **F64))  # does not run ahead
    x0 = torch.ones(40, **F64)
    with pytest.warns(
        UserWarning, match="interrupted: these are the exponents of 63 steps"
    ) as caught:
        found = rnnlib.lyapunov_spectrum(
            interrupted_after(wide, 70), x0, 200, k=2, burn_in=7, progress=True
        )
    assert caught.pop(UserWarning).filename == __file__  # it points at the call
    torch.testing.assert_close(found.exponents, torch.full((2,), math.log(0.5), **F64))
    assert (found.error < 1e-12).all()
    with pytest.raises(KeyboardInterrupt):
        rnnlib.lyapunov_spectrum(interrupted_after(wide, 9), x0, 200, k=2)


def test_half_precision_is_refused():
    with pytest.raises(TypeError, match="x0 is torch.float16; tangent vectors need"):
        rnnlib.lyapunov_spectrum(rnnlib.henon().to(torch.float16), X0[:2].half(), 10)


def test_the_kaplan_yorke_dimension_covers_its_ends():
    """Hypothesis: 0 for a sink, n when no sum is negative, and the closed form in between."""
    spectra = torch.tensor([[-1.0, -2.0], [0.5, 0.1], [0.4, -1.6], [0.0, -1.0]], **F64)
    expected = torch.tensor([0.0, 2.0, 1.25, 1.0], **F64)
    torch.testing.assert_close(rnnlib.kaplan_yorke_dimension(spectra), expected)


def test_more_exponents_than_dimensions_is_an_error():
    """Hypothesis: bad arguments are named with the remedy."""
    with pytest.raises(ValueError, match="k is 5; chaotic LSTM has n_x=4"):
        rnnlib.lyapunov_spectrum(chaotic_lstm(), X0, 100, k=5)
    with pytest.raises(ValueError, match="k is 0"):
        rnnlib.lyapunov_spectrum(chaotic_lstm(), X0, 100, k=0)
    with pytest.raises(ValueError, match="burn_in is -3"):
        rnnlib.lyapunov_spectrum(chaotic_lstm(), X0, 100, burn_in=-3)
    with pytest.raises(ValueError, match="steps is 9"):
        rnnlib.lyapunov_spectrum(chaotic_lstm(), X0, 9)
    net = rnnlib.from_module(torch.nn.RNN(1, 4).double())
    with pytest.raises(ValueError, match="inputs has 20 steps; burn_in=0 and steps=100 need 100"):
        rnnlib.lyapunov_spectrum(net, X0, 100, inputs=torch.zeros(20, 1, **F64))
    with pytest.raises(ValueError, match="chaotic LSTM takes no input"):
        rnnlib.lyapunov_spectrum(chaotic_lstm(), X0, 100, inputs=torch.zeros(100, 1, **F64))

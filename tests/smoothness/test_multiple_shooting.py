import dataclasses

import pytest
import torch

from rnnlib import cost, from_module, simulate
from rnnlib.smoothness import chaotic_lstm_cost
from rnnlib.smoothness.multiple_shooting import (
    _residuals,
    fit,
    multiple_shooting,
    teacher_forced_states,
)
from rnnlib.smoothness.sensitivities import flatten_theta, unflatten_theta
from rnnlib.systems import X0, chaotic_lstm

DOUBLE = torch.float64


def network(kind=torch.nn.LSTM):
    torch.manual_seed(1)
    return from_module(kind(2, 2).double(), torch.nn.Linear(2, 1).double())


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
def test_one_window_is_the_plain_cost_with_its_gradient(kind):
    """Hypothesis: with a single window nothing is left of the method but equation (2)."""
    system = network(kind)
    inputs, targets = torch.randn(9, 2, dtype=DOUBLE), torch.randn(9, 1, dtype=DOUBLE)
    x0 = torch.randn(system.n_x, dtype=DOUBLE)
    theta = flatten_theta(system).requires_grad_()
    here = dataclasses.replace(system, theta=unflatten_theta(system, theta))
    shooting = multiple_shooting(here, x0[None], targets, inputs=inputs)
    plain = cost(here, x0, targets, inputs=inputs)
    torch.testing.assert_close(shooting.cost, plain)
    assert shooting.gap == 0
    torch.testing.assert_close(
        *(torch.autograd.grad(v, theta, retain_graph=True)[0] for v in (shooting.cost, plain))
    )


@pytest.mark.parametrize("windows", [2, 3, 6])
def test_starts_on_the_orbit_close_all_gaps(windows):
    """Hypothesis: with every start on the free run, the gaps vanish and the fit is the cost."""
    system, x0 = network(), torch.zeros(4, dtype=DOUBLE)
    inputs, targets = torch.randn(12, 2, dtype=DOUBLE), torch.randn(12, 1, dtype=DOUBLE)
    orbit = torch.cat([x0[None], simulate(system, x0, 12, inputs=inputs)])
    starts = orbit[: -1 : 12 // windows]
    shooting = multiple_shooting(system, starts, targets, inputs=inputs, penalty=100.0)
    torch.testing.assert_close(shooting.cost, cost(system, x0, targets, inputs=inputs))
    assert shooting.gap < 1e-28


def test_least_squares_form_is_the_cost_and_its_jacobian_the_derivative():
    """Hypothesis: N times the cost is the sum of squared residuals; (S1) gives their Jacobian."""
    torch.manual_seed(2)
    system, windows, n = network(), 3, 6
    inputs, targets = torch.randn(n, 2, dtype=DOUBLE), torch.randn(n, 1, dtype=DOUBLE)
    first, free = torch.randn(1, 4, dtype=DOUBLE), torch.randn(windows - 1, 4, dtype=DOUBLE)
    size = flatten_theta(system).numel()

    def residuals(point):
        here = dataclasses.replace(system, theta=unflatten_theta(system, point[:size]))
        starts = torch.cat([first, point[size:].reshape(-1, 4)])
        return here, starts

    point = torch.cat([flatten_theta(system), free.flatten()])
    here, starts = residuals(point)
    r, j = _residuals(here, starts, targets, 2.0, inputs)
    value = multiple_shooting(here, starts, targets, penalty=2.0, inputs=inputs).cost
    torch.testing.assert_close(r.square().sum() / n, value)

    leaf = point.clone().requires_grad_()
    here, starts = residuals(leaf)
    value = multiple_shooting(here, starts, targets, penalty=2.0, inputs=inputs).cost
    (gradient,) = torch.autograd.grad(value, leaf)
    torch.testing.assert_close(2 / n * j.mT @ r, gradient, rtol=0, atol=1e-10)


def test_a_batch_of_runs_equals_the_runs_one_by_one():
    """Hypothesis: batch axes of the parameters do not mix."""
    torch.manual_seed(3)
    base = chaotic_lstm()
    weights = base.theta["weight_hh_l0"] + 0.2 * torch.randn(2, 8, 2, dtype=DOUBLE)
    observed = chaotic_lstm_cost.true_orbit(12)[1:, :2]
    starts = 0.3 * torch.randn(2, 4, 4, dtype=DOUBLE)
    whole = fit(chaotic_lstm(weights), starts, observed, iterations=5)
    for i in range(2):
        one = fit(chaotic_lstm(weights[i]), starts[i], observed, iterations=5)
        torch.testing.assert_close(whole.theta[i], one.theta, rtol=1e-6, atol=1e-8)


def test_fit_never_raises_the_cost_and_keeps_the_known_start():
    """Hypothesis: the history falls, and the first start stays where it is."""
    torch.manual_seed(4)
    student = chaotic_lstm(chaotic_lstm().theta["weight_hh_l0"] + 0.5 * torch.randn(8, 2).double())
    observed = chaotic_lstm_cost.true_orbit(20)[1:, :2]
    starts = teacher_forced_states(student, X0, observed)[:-1:5]
    result = fit(student, starts, observed, iterations=15)
    assert (result.history.diff(dim=0) <= 0).all()
    assert torch.equal(result.starts[0], X0)


def test_teacher_forcing_shows_what_was_observed_and_recovers_the_true_cells():
    """Hypothesis: with the true weights the hidden cells are exact, whatever is overwritten."""
    orbit = chaotic_lstm_cost.true_orbit(30)
    states = teacher_forced_states(chaotic_lstm(), X0, orbit[1:, :2])
    torch.testing.assert_close(states, orbit)


def test_short_windows_recover_weights_that_single_shooting_does_not():
    """Hypothesis: from 5 % off, windows of 5 steps find the weights; one window of 60 does not."""
    errors = chaotic_lstm_cost.recovery(60, [5, 60], 0.05, 6, iterations=25, seed=0)
    assert (errors[1] < 1e-6).all()
    assert (errors[2] > 0.01).sum() >= 5


def test_bad_input_is_named():
    """Hypothesis: wrong arguments raise a ValueError that says what to do."""
    system, targets = chaotic_lstm(), torch.zeros(10, 2, dtype=DOUBLE)
    for call, words in (
        (lambda: multiple_shooting(system, X0, targets), "starts has shape"),
        (lambda: multiple_shooting(system, X0.expand(3, 4), targets), "3 windows"),
        (lambda: multiple_shooting(system, X0[None], targets[:0]), "0 steps"),
        (
            lambda: multiple_shooting(network(), X0[None], targets, inputs=targets[:5]),
            "inputs has 5 steps",
        ),
        (
            lambda: multiple_shooting(system, X0[None], targets[:, None]),
            r"targets has shape \(10, 1, 2\); one recorded sequence",
        ),
        (lambda: fit(system, X0[None], targets, iterations=0), "iterations=0"),
        (lambda: fit(system, X0[None], targets, penalty=0.0), "penalty=0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()

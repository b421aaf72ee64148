import dataclasses

import pytest
import torch

from rnnlib import cost, from_module, from_step, simulate
from rnnlib.smoothness import chaotic_lstm_cost
from rnnlib.smoothness.multiple_shooting import (
    _residuals,
    fit,
    multiple_shooting,
    teacher_forced_states,
)
from rnnlib.smoothness.sensitivities import flatten_theta, unflatten_theta
from rnnlib.systems import X0, chaotic_lstm, linear

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


def test_the_parts_of_the_cost_are_those_worked_out_by_hand():
    """Hypothesis: x' = x / 2 + u from 4 and from 1, two steps each, against zeros."""
    half = linear(torch.tensor([[0.5]], dtype=DOUBLE))
    starts, zeros = torch.tensor([[4.0], [1.0]], dtype=DOUBLE), torch.zeros(4, 1, dtype=DOUBLE)
    found = multiple_shooting(half, starts, zeros, penalty=3.0)
    # 2 and 1, whose end is where the second starts; 1/2 and 1/4
    assert found.fit == pytest.approx((4 + 1 + 1 / 4 + 1 / 16) / 4) and found.gap == 0
    apart = multiple_shooting(half, starts + torch.tensor([[0.0], [2.0]]), zeros, penalty=3.0)
    assert apart.gap == pytest.approx(2**2 / 4)
    assert apart.fit == pytest.approx((4 + 1 + 9 / 4 + 9 / 16) / 4)
    assert apart.cost == pytest.approx(float(apart.fit) + 3)
    assert multiple_shooting(half, starts + 1, zeros).cost == pytest.approx(
        (25 / 4 + 25 / 16 + 1 + 1 / 4 + (5 / 4 - 2) ** 2) / 4
    )


def test_a_fit_finds_the_weights_that_made_the_data():
    """Hypothesis: with inputs, and a start for each window, the weights that made the data come
    back, alone and in a batch of runs; the history is the cost and starts from the first step."""
    torch.manual_seed(5)
    true, inputs = network(torch.nn.RNN), 2 * torch.randn(24, 2, dtype=DOUBLE)
    x0 = torch.zeros(2, dtype=DOUBLE)
    y = simulate(true, x0, 24, inputs=inputs, observe="output")
    vector = flatten_theta(true)
    near = torch.stack([vector + 0.05 * torch.randn(len(vector), dtype=DOUBLE) for _ in range(2)])
    orbit = torch.cat([x0[None], simulate(true, x0, 24, inputs=inputs)])
    student = true.at(unflatten_theta(true, near))
    starts = orbit[:-1:6].expand(2, 4, 2)
    found = fit(student, starts, y, inputs=inputs, iterations=12)
    assert found.history.shape == (12, 2) and (found.history[-1] < 1e-6 * found.history[0]).all()
    before = multiple_shooting(student, starts, y, inputs=inputs).cost
    assert (found.history[0] < before).all() and (found.history[0] > 1e-3 * before).all()
    end = true.at(unflatten_theta(true, found.theta))
    torch.testing.assert_close(
        multiple_shooting(end, found.starts, y, inputs=inputs).cost,
        found.history[-1],
        rtol=1e-6,
        atol=1e-15,
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


def test_gaps_count_as_errors_do_if_nothing_else_is_said():
    torch.manual_seed(6)
    student = chaotic_lstm(chaotic_lstm().theta["weight_hh_l0"] + 0.2 * torch.randn(8, 2).double())
    observed = chaotic_lstm_cost.true_orbit(12)[1:, :2]
    starts = teacher_forced_states(student, X0, observed)[:-1:4]
    plain, one, two = (
        fit(student, starts, observed, iterations=3, **options).history
        for options in ({}, {"penalty": 1.0}, {"penalty": 2.0})
    )
    assert torch.equal(plain, one) and not torch.allclose(one, two)


def test_a_fit_makes_no_tensor_on_another_device():
    """Hypothesis: with another default device, the meta device here, the numbers stay the same."""
    torch.manual_seed(7)
    system, inputs = network(), torch.randn(6, 2, dtype=DOUBLE)
    starts, targets = torch.randn(3, 4, dtype=DOUBLE), torch.randn(6, 1, dtype=DOUBLE)
    expected = fit(system, starts, targets, inputs=inputs, iterations=2)
    with torch.device("meta"):  # holds no numbers: any use of it fails
        found = fit(system, starts, targets, inputs=inputs, iterations=2)
        cost_of = multiple_shooting(system, starts, targets, inputs=inputs).cost
    assert torch.equal(found.theta, expected.theta) and torch.isfinite(cost_of)


def test_a_fit_shows_its_progress_on_request(capsys):
    half = linear(torch.tensor([[0.5]], dtype=DOUBLE))
    arguments = half, torch.ones(1, 1, dtype=DOUBLE), torch.zeros(4, 1, dtype=DOUBLE)
    fit(*arguments, iterations=3)
    assert capsys.readouterr().err == ""
    fit(*arguments, iterations=3, progress=True)
    shown = capsys.readouterr().err
    assert "shooting" in shown and "3/3" in shown


def test_teacher_forcing_shows_what_was_observed_and_recovers_the_true_cells():
    """Hypothesis: with the true weights the hidden cells are exact, whatever is overwritten."""
    orbit = chaotic_lstm_cost.true_orbit(30)
    states = teacher_forced_states(chaotic_lstm(), X0, orbit[1:, :2])
    torch.testing.assert_close(states, orbit)


def test_teacher_forcing_keeps_only_the_hidden_rest_and_feeds_each_input_at_its_step():
    """Hypothesis: x' = (0, x_1 + x_2 + u) with its first component overwritten sums up both."""
    system = from_step(
        lambda x, z: torch.stack([0 * x[..., 0], x.sum(-1) + z[..., 0]], -1), n_x=2, n_z=1
    )
    seen = torch.tensor([[1.0], [2.0], [3.0]], dtype=DOUBLE)
    inputs = torch.tensor([[10.0], [20.0], [40.0]], dtype=DOUBLE)
    states = teacher_forced_states(
        system, torch.tensor([5.0, 0.0], dtype=DOUBLE), seen, inputs=inputs
    )
    assert states.tolist() == [[5, 0], [1, 15], [2, 15 + 1 + 20], [3, 36 + 2 + 40]]


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

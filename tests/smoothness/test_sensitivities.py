import dataclasses
import math

import pytest
import torch

from rnnlib import System, cost, from_module, simulate
from rnnlib.smoothness.scalar_cells import linear_cell
from rnnlib.smoothness.sensitivities import (
    cost_derivatives,
    flatten_theta,
    sensitivities,
    unflatten_theta,
)
from rnnlib.smoothness.theorem1 import cross_entropy
from rnnlib.systems import linear

DOUBLE = torch.float64


def network(kind, layers=1):
    torch.manual_seed(0)
    module = kind(2, 2, num_layers=layers).double()
    return from_module(module, torch.nn.Linear(2, 2).double())


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU])
def test_forward_gradient_equals_backpropagation(kind):
    """Hypothesis: (S1) and (S2) give the gradient of autograd, burn-in and inputs included."""
    system = network(kind)
    x0 = torch.randn(system.n_x, dtype=DOUBLE)
    inputs, targets = torch.randn(13, 2, dtype=DOUBLE), torch.randn(10, 2, dtype=DOUBLE)
    s = sensitivities(system, x0, 10, burn_in=3, inputs=inputs, with_x0=True)
    point = torch.cat([x0, flatten_theta(system)]).requires_grad_()
    theta = unflatten_theta(system, point[system.n_x :])
    value = cost(
        dataclasses.replace(system, theta=theta),
        point[: system.n_x],
        targets,
        burn_in=3,
        inputs=inputs,
    )
    (gradient,) = torch.autograd.grad(value, point)
    forward = cost_derivatives(s, targets)
    torch.testing.assert_close(forward.gradient[-1], gradient, rtol=0, atol=1e-10)
    torch.testing.assert_close(forward.value[-1], value.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "burn_in", "with_x0"),
    [("squared", 0, False), ("entropy", 0, False), ("squared", 2, True)],
)
def test_second_order_recursion_equals_the_hessian_of_autograd(loss, burn_in, with_x0):
    """Hypothesis: the second-order recursion gives autograd's Hessian for both losses, by the
    initial state too, and through a burn-in."""
    system = network(torch.nn.LSTM)
    x0, targets = torch.randn(4, dtype=DOUBLE), torch.randint(2, (4, 2)).to(DOUBLE)
    inputs = torch.randn(burn_in + 4, 2, dtype=DOUBLE)
    chosen = {"loss": cross_entropy} if loss == "entropy" else {}

    def value(point):
        start, theta = (point[:4], point[4:]) if with_x0 else (x0, point)
        here = dataclasses.replace(system, theta=unflatten_theta(system, theta))
        return cost(here, start, targets, burn_in=burn_in, inputs=inputs, **chosen)

    s = sensitivities(system, x0, 4, burn_in=burn_in, inputs=inputs, with_x0=with_x0, order=2)
    forward = cost_derivatives(s, targets, **chosen).hessian[-1]
    point = torch.cat([x0, flatten_theta(system)] if with_x0 else [flatten_theta(system)])
    backward = torch.func.hessian(value)(point)
    torch.testing.assert_close(forward, backward, rtol=0, atol=1e-10)
    orbit = simulate(system, x0, 4, burn_in=burn_in, inputs=inputs)
    torch.testing.assert_close(s.x, orbit, rtol=0, atol=1e-12)
    assert len(s.y) == len(s.d) == len(s.j) == len(s.d2) == len(s.j2) == 4


def test_linear_scalar_system_matches_its_closed_form_at_every_length():
    """Hypothesis: for x' = theta x and targets 0, V, V' and V'' are the known sums."""
    theta, x0, n = 0.9, 0.7, 12
    system = linear_cell(1.0, 1.0).system.at({"theta": torch.tensor(theta, dtype=DOUBLE)})
    s = sensitivities(system, torch.tensor([x0], dtype=DOUBLE), n, order=2)
    c = cost_derivatives(s, torch.zeros(n, 1, dtype=DOUBLE))
    t = torch.arange(1, n + 1, dtype=DOUBLE)
    for closed, found in (
        (theta ** (2 * t), c.value),
        (2 * t * theta ** (2 * t - 1), c.gradient[:, 0]),
        (2 * t * (2 * t - 1) * theta ** (2 * t - 2), c.hessian[:, 0, 0]),
    ):
        torch.testing.assert_close(found, x0**2 * closed.cumsum(0) / t)


def test_a_batch_equals_its_elements_one_by_one():
    """Hypothesis: parameters and states with batch axes give what each element gives alone."""
    base = network(torch.nn.GRU)
    vectors = torch.stack([flatten_theta(base), 0.5 * flatten_theta(base), 2 * flatten_theta(base)])
    batch = base.at(unflatten_theta(base, vectors))
    x0, inputs = torch.randn(3, 2, dtype=DOUBLE), torch.randn(5, 2, dtype=DOUBLE)
    whole = sensitivities(batch, x0, 5, inputs=inputs, with_x0=True)
    for i, vector in enumerate(vectors):
        one = sensitivities(
            base.at(unflatten_theta(base, vector)), x0[i], 5, inputs=inputs, with_x0=True
        )
        torch.testing.assert_close(whole.d[:, i], one.d)
        torch.testing.assert_close(whole.j[:, i], one.j)


def test_sensitivity_to_the_initial_state_of_a_linear_map_is_its_power():
    """Hypothesis: a map without parameters has D_t = A^t, read out by the identity."""
    matrix = torch.tensor([[0.5, 1.0], [-0.2, 0.9]], dtype=DOUBLE)
    system = System(f=linear(matrix).f, n_x=2, theta={}, g=lambda x, z, theta: x)
    system = dataclasses.replace(system, f=lambda x, z, theta: x @ matrix.mT)
    s = sensitivities(system, torch.ones(2, dtype=DOUBLE), 7, with_x0=True, order=2)
    torch.testing.assert_close(s.d[-1], torch.linalg.matrix_power(matrix, 7))
    assert s.d2.abs().max() == 0 and s.j2.abs().max() == 0


def test_flatten_and_unflatten_are_inverse():
    """Hypothesis: a round trip through the vector changes nothing, batch axes included."""
    base = network(torch.nn.RNN, layers=2)
    batch = base.at({"weight_hh_l1": base.theta["weight_hh_l1"] * torch.ones(4, 1, 1).double()})
    back = unflatten_theta(batch, flatten_theta(batch))
    for name, value in batch.theta.items():
        torch.testing.assert_close(back[name], value.expand_as(back[name]))


def test_bad_input_is_named():
    """Hypothesis: wrong arguments raise a ValueError that says what to do."""
    system, x0 = linear_cell(1.0, 1.0).system, torch.ones(1, dtype=DOUBLE)
    bare = dataclasses.replace(system, theta={}, core={}, f=lambda x, z, theta: x)
    s = sensitivities(system, x0, 3)
    for call, words in (
        (lambda: sensitivities(system, x0, 3, order=3), "order is 3"),
        (lambda: sensitivities(bare, x0, 3), "with_x0=True"),
        (lambda: sensitivities(system, x0, 0), "steps is 0"),
        (lambda: sensitivities(system, x0, 3, inputs=torch.ones(3, 1)), "takes no input"),
        (
            lambda: sensitivities(
                network(torch.nn.RNN), torch.zeros(3, dtype=DOUBLE), 3, inputs=torch.ones(2, 2)
            ),
            "inputs has 2 steps",
        ),
        (lambda: cost_derivatives(s, torch.zeros(3, 2, 1)), r"targets has shape \(3, 2, 1\)"),
        (lambda: cost_derivatives(s, torch.zeros(4, 1)), "targets has 4 steps"),
        (lambda: unflatten_theta(system, torch.zeros(2)), "vector has 2 components"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_sensitivities_make_no_tensor_on_another_device():
    """Hypothesis: with another default device, the meta device here, the numbers stay the same."""
    system, x0 = network(torch.nn.RNN), torch.ones(2, dtype=DOUBLE)
    inputs, targets = torch.ones(4, 2, dtype=DOUBLE), torch.zeros(4, 2, dtype=DOUBLE)

    def derivatives():
        s = sensitivities(system, x0, 4, inputs=inputs, with_x0=True, order=2)
        return cost_derivatives(s, targets)

    expected = derivatives()
    with torch.device("meta"):  # holds no numbers: any use of it fails
        found = derivatives()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_single_precision_stays_single():
    """Hypothesis: the dtype of the system is the dtype of its sensitivities."""
    system = linear_cell(1.0, 1.0).system.to(torch.float32)
    s = sensitivities(system, torch.ones(1), 3, order=2)
    assert s.j.dtype == s.d2.dtype == torch.float32 and math.isfinite(float(s.j.sum()))

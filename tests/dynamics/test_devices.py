"""Analyses work on the device of what they are given, whatever device is the session's default.

A stand-in for a second device, on any machine: with "meta" as the default device every tensor that
is made without asking for the device of the others lies there, and meets them with an error.
"""

import pytest
import torch
from torch import nn

import rnnlib
from rnnlib.dynamics import box_entropy, gaussian_entropy, log_abs_det
from rnnlib.systems import THETA_TRUE, X0, chaotic_lstm, line, one_unit, plane

F64 = {"dtype": torch.float64}
torch.manual_seed(0)
GRU, HEAD, CELL = nn.GRU(2, 3).double(), nn.Linear(3, 2).double(), nn.GRUCell(2, 3).double()
NETWORK = rnnlib.from_module(GRU, HEAD)
INPUTS, REST, HELD = torch.randn(40, 2, **F64), torch.zeros(3, **F64), torch.ones(2, **F64)
POINT, VALUES = torch.tensor([0.3, -0.2], **F64), torch.tensor([0.5, 1.0], **F64)
CLOUD = X0 + 0.1 * torch.randn(30, 4, **F64)
SERIES, TARGETS = torch.rand(300, **F64), torch.zeros(5, 2, **F64)
REGIMES = torch.tensor([0.6, 0.8, 1.0], **F64)  # a fixed point, a cycle and chaos
START, MATRIX, RATE = torch.zeros(5, **F64), torch.eye(2, **F64), torch.tensor(3.7, **F64)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = GRU, HEAD

    def forward(self, z):
        return self.head(self.rnn(z)[0])


NET = Net()


def henon(x):
    return torch.stack([1 - 1.4 * x[..., 0] ** 2 + x[..., 1], 0.3 * x[..., 0]], -1)


def by(derivative):
    return rnnlib.from_step(henon, 2, derivative=derivative)


CALLS = {
    "from_module": lambda: rnnlib.from_module(NET, dtype=torch.float64).step(REST, HELD),
    "from_cell": lambda: rnnlib.from_cell(CELL, 3).step(REST, HELD),
    "simulate": lambda: rnnlib.simulate(NETWORK, REST, 5, inputs=INPUTS, observe="output"),
    "closed loop": lambda: rnnlib.simulate(rnnlib.closed_loop(NETWORK, lambda y: y, 2), START, 5),
    "logistic": lambda: rnnlib.simulate(rnnlib.logistic(RATE), POINT[:1], 5),
    "one unit": lambda: rnnlib.simulate(one_unit(RATE, RATE), POINT[:1], 5),
    "orbit diagram": lambda: rnnlib.orbit_diagram(line(), VALUES, X0, 5).orbit,
    "continued": lambda: rnnlib.orbit_diagram(line(), VALUES, X0, 5, start="continued").orbit,
    "forward mode": lambda: rnnlib.jacobian(by("forward"), POINT),
    "reverse mode": lambda: rnnlib.jacobian(by("reverse"), POINT),
    "differences": lambda: rnnlib.jacobian(by("differences"), POINT),
    "either mode": lambda: rnnlib.jacobian(by(None), POINT),
    "a constant": lambda: rnnlib.jacobian(rnnlib.from_step(torch.zeros_like, 2), POINT),
    "exponents": lambda: rnnlib.lyapunov_spectrum(NETWORK, REST, 20, inputs=INPUTS).exponents,
    "covariant vectors": lambda: (
        rnnlib.covariant_vectors(NETWORK, REST, 10, burn_in=9, tail=9, inputs=INPUTS).vectors
    ),
    "steady states": lambda: (
        rnnlib.steady_state(line()(REGIMES), X0, budget=1500, burn_in=300, steps=300).exponent
    ),
    "dimension": lambda: rnnlib.kaplan_yorke_dimension(VALUES),
    "entropy": lambda: rnnlib.entropy_along(chaotic_lstm(), CLOUD, 3, 0.0).entropy,
    "determinant": lambda: log_abs_det(by(None), POINT),
    "gaussian": lambda: gaussian_entropy(MATRIX),
    "boxes": lambda: box_entropy(CLOUD, 0.1),
    "neighbours": lambda: torch.tensor(rnnlib.knn_entropy(CLOUD).entropy, **F64, device="cpu"),
    "series": lambda: torch.tensor(
        rnnlib.exponent_of_series(SERIES, 2, 5).exponent, **F64, device="cpu"
    ),
    "cost": lambda: rnnlib.cost(chaotic_lstm(), X0, TARGETS),
    "cost over": lambda: rnnlib.cost_over(line(), VALUES, x0=X0, targets=TARGETS),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_sessions_default_device_does_not_matter(name):
    """Hypothesis: the result is the same, on the device of the arguments."""
    expected = CALLS[name]()
    with torch.device("meta"):
        found = CALLS[name]()
    assert found.device == expected.device
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", CALLS)
def test_the_sessions_default_dtype_does_not_matter(name):
    """Hypothesis: what is drawn is drawn in double precision, whatever the default."""
    expected, before = CALLS[name](), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        found = CALLS[name]()
    finally:
        torch.set_default_dtype(before)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_a_family_follows_the_device_of_its_values():
    s = torch.ones(3, device="meta", **F64)
    for system in (line()(s), plane(THETA_TRUE, THETA_TRUE)(s, s)):
        assert system.theta["weight_hh_l0"].device == s.device
        assert rnnlib.simulate(system, X0.to("meta"), 4).shape == (4, 3, 4)
        assert rnnlib.lyapunov_spectrum(system, X0.to("meta"), 10).exponents.is_meta


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_numbers_of_the_processor():
    """Hypothesis: orbits, Jacobians, exponents and vectors, to the roundings."""
    there = NETWORK.to("cuda")
    for call in (
        lambda system, x, u: rnnlib.simulate(system, x, 5, inputs=u, observe="output"),
        lambda system, x, u: rnnlib.jacobian(system, x, u[0]),
        lambda system, x, u: rnnlib.lyapunov_spectrum(system, x, 20, inputs=u).exponents,
        lambda system, x, u: (
            rnnlib.covariant_vectors(system, x, 10, burn_in=9, tail=9, inputs=u).stretch
        ),
    ):
        found = call(there, REST.cuda(), INPUTS.cuda())
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), call(NETWORK, REST, INPUTS), atol=1e-9, rtol=0)

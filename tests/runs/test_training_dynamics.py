"""A family of designed networks in place of a training: what happens along it is known."""

import math

import numpy as np
import torch

from rnnlib import from_module, jacobian
from rnnlib.runs import training_dynamics
from rnnlib.runs.training_dynamics import dynamics_along
from rnnlib.systems import System, rotation

F64 = torch.float64
Z = torch.tensor([0.05], dtype=F64)


def network(rho):
    """Return ``x' = tanh(rho R x + z)``, with ``x_1`` as output."""
    cell, readout = torch.nn.RNN(1, 2).double(), torch.nn.Linear(2, 1).double()
    with torch.no_grad():
        for p in (*cell.parameters(), *readout.parameters()):
            p.zero_()
        cell.weight_hh_l0.copy_(rho * rotation(0.3))
        cell.weight_ih_l0.fill_(1.0)
        readout.weight[0, 0] = 1.0
    return from_module(cell, readout)


RHO = [0.8, 0.9, 0.95, 1.1, 1.2, 1.4]


def test_at_rest_the_exponents_are_those_of_the_multipliers():
    table = dynamics_along([network(rho) for rho in RHO], Z).table[:3]
    assert (table["amplitude"] < 1e-6).all() and (table["modulus"] < 1).all()
    np.testing.assert_allclose(table["exponent"], np.log(table["modulus"]), atol=2e-3)
    np.testing.assert_allclose(table["second_exponent"], np.log(table["modulus"]), atol=2e-3)


def test_after_the_pair_has_left_the_circle_the_largest_exponent_is_zero():
    table = dynamics_along([network(rho) for rho in RHO], Z).table[3:]
    assert (table["modulus"] > 1).all() and (table["amplitude"] > 0.3).all()
    np.testing.assert_allclose(table["exponent"], 0, atol=3e-3)
    assert (table["second_exponent"] < -0.05).all()
    np.testing.assert_allclose(table["frequency"], 0.3, rtol=0.15)


def test_the_followed_point_is_a_fixed_point_with_the_multiplier_that_is_told():
    found = dynamics_along([network(rho) for rho in RHO], Z)
    for rho, x, row in zip(RHO, found.points, found.table.itertuples(), strict=True):
        system = network(rho).hold(Z)
        torch.testing.assert_close(system.step(x), x, rtol=0, atol=1e-10)
        leading = torch.linalg.eigvals(jacobian(system, x))
        assert math.isclose(row.modulus, leading.abs().max(), rel_tol=1e-9)
        assert math.isclose(row.angle, leading.angle().abs().max(), rel_tol=1e-6)


def test_each_row_is_its_own_network_whatever_the_batches(monkeypatch):
    networks = [network(rho) for rho in RHO]
    together = dynamics_along(networks, Z)
    monkeypatch.setattr(training_dynamics, "ENTRIES", 1)
    apart = dynamics_along(networks, Z)
    np.testing.assert_allclose(together.table, apart.table, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(together.points, apart.points)


def test_a_network_without_a_fixed_point_has_no_multiplier():
    turning = System(
        f=lambda x, z, theta: x + z, n_x=2, n_z=1, g=lambda x, z, theta: torch.sin(x), name="clock"
    )
    found = dynamics_along([turning], torch.tensor([0.3], dtype=F64), burn_in=10)
    row = found.table.iloc[0]
    assert np.isnan(row["modulus"]) and np.isnan(row["angle"]) and found.points.isnan().all()
    assert math.isclose(row["frequency"], 0.3, rel_tol=1e-5)
    assert abs(row["exponent"]) < 1e-9


def test_the_point_is_followed_where_no_orbit_shows_it():
    found = dynamics_along([network(rho) for rho in RHO], Z)
    alone = dynamics_along([network(RHO[-1])], Z, start=found.points[-2])
    torch.testing.assert_close(alone.points[0], found.points[-1])

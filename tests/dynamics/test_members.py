"""Some orbits of a batch, run on without the others."""

import pytest
import torch

import rnnlib
from rnnlib.dynamics.members import Members

F64 = {"dtype": torch.float64}


def test_picked_orbits_step_as_they_do_in_the_batch():
    """Hypothesis: over parameters on one axis, held inputs on another and shared weights."""
    torch.manual_seed(0)
    net = rnnlib.from_module(torch.nn.RNN(2, 3).double())
    weights = torch.randn(4, 1, 3, 3, **F64)
    system = net.at({"weight_hh_l0": weights}).hold(torch.randn(5, 2, **F64))
    x = torch.randn(4, 5, 3, **F64)
    members = Members(system, x.shape[:-1])
    members.check(x)
    index = torch.tensor([19, 0, 7, 7])
    expected = system.step(x).reshape(20, 3)[index]
    picked = members.pick(index)
    torch.testing.assert_close(picked.step(x.reshape(20, 3)[index]), expected)
    assert picked.theta["bias_hh_l0"].shape == (3,)  # shared by all
    assert picked.theta["weight_hh_l0"].shape == (4, 3, 3)


def test_a_parameter_without_axes_of_its_own_may_have_a_batch_of_one():
    """Hypothesis: a batch of one is shared by all, whatever its axes."""
    system = rnnlib.logistic(torch.full((1, 1), 2.5, **F64))
    picked = Members(system, torch.Size((2, 3))).pick(torch.tensor([5]))
    assert picked.theta["r"].shape == () and picked.theta["r"] == 2.5


def test_a_step_that_hides_a_batch_axis_is_refused_and_a_single_orbit_is_not():
    hidden = torch.tensor([0.5, 0.6], **F64)[:, None]
    system = rnnlib.from_step(lambda x: hidden * x, 1)
    with pytest.raises(
        ValueError, match=r"takes a state of shape \(1, 1\) to one of shape \(2, 1\)"
    ):
        Members(system, torch.Size((2,))).check(torch.ones(2, 1, **F64))
    growing = rnnlib.from_step(lambda x: torch.cat([x, x]), 1)
    with pytest.raises(ValueError, match="Give them to rnnlib.from_function as theta"):
        Members(growing, torch.Size((3,))).check(torch.ones(3, 1, **F64))
    plain = rnnlib.from_step(lambda x: x / 2, 1)
    Members(plain, torch.Size(())).check(torch.ones(1, **F64))

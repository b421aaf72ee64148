"""Ten designed networks whose answers are known, with data for each."""

import math

import torch
from torch import nn

from rnnlib import from_function, from_step, project_certified_
from rnnlib.systems import THETA_TRUE

F64 = {"dtype": torch.float64}


def fill(module: nn.Module, **values) -> nn.Module:
    """Set named parameters, and all others to 0."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            value = torch.as_tensor(values.get(name, 0.0), dtype=parameter.dtype)
            parameter.copy_(value.expand_as(parameter) if value.dim() == 0 else value)
    return module


def pulses(time: int = 60, size: float = 1.0) -> torch.Tensor:
    """Two sequences, one with a pulse up and one with a pulse down: their mean is 0."""
    z = torch.zeros(time, 2, 1)
    z[5, 0], z[5, 1] = size, -size
    return z


def noise(features: int, time: int = 80, sequences: int = 4, size: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    z = size * torch.randn(time, sequences, features, generator=generator)
    return z - z.mean((0, 1))


def three_fixed_points():
    """x' = tanh(2 x + z): an unstable point at 0 between two stable ones."""
    return fill(nn.RNN(1, 1), weight_hh_l0=2.0, weight_ih_l0=1.0), pulses()


def oscillator():
    """Two units that turn each other by a quarter: period 4."""
    network = fill(nn.RNN(1, 2), weight_hh_l0=[[0.0, -3.0], [3.0, 0.0]], weight_ih_l0=1.0)
    return network, noise(1)


def chaos():
    """The two-unit LSTM of section 4.1, largest exponent 0.170 nats per step."""
    weights = THETA_TRUE.reshape(8, 2)
    return fill(nn.LSTM(1, 2), weight_hh_l0=weights), noise(1)


def contraction():
    """A stable LSTM with a proof."""
    torch.manual_seed(0)
    network = nn.LSTM(2, 6)
    project_certified_(network, input_bound=1.0)
    return network, noise(2)


def drift():
    """An LSTM that adds tanh(1) to a cell that forgets nothing."""
    bias = torch.tensor([50.0, 50.0, 1.0, 50.0])
    return fill(nn.LSTM(1, 1), bias_ih_l0=bias), noise(1)


def latch():
    """Five units, each of which keeps a bit."""
    network = fill(nn.RNN(1, 5), weight_hh_l0=3.0 * torch.eye(5), weight_ih_l0=2.0)
    return network, pulses()


def slow_node():
    """x' = 0.9999 x + z: a memory of ten thousand steps."""
    return from_step(lambda x, z: 0.9999 * x + z, n_x=1, n_z=1), noise(1).double()


def line_attractor():
    """x' = (x_1 + z, x_2 / 2): every point of a line is fixed."""
    scale = torch.tensor([1.0, 0.5], **F64)
    push = torch.tensor([1.0, 0.0], **F64)
    return from_step(lambda x, z: scale * x + push * z, n_x=2, n_z=1), pulses().double()


def silent():
    """A GRU whose weights are all 0."""
    return fill(nn.GRU(1, 4)), noise(1)


def saturated():
    """An Elman network whose units are all far up tanh."""
    torch.manual_seed(0)
    network = nn.RNN(1, 6)
    with torch.no_grad():
        network.weight_hh_l0.copy_(300 * torch.eye(6))
        network.weight_ih_l0.fill_(300.0)
    return network, noise(1)


def spiral():
    """An autonomous map with a stable spiral, radius 0.9."""
    turn = 0.9 * torch.tensor([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]], **F64)
    return from_function(lambda x, theta: x @ turn.T, 2), None

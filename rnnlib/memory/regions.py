"""Boxes of states that a network maps into itself."""

import torch

from rnnlib.memory.intervals import INF, MARGIN, Interval, point, sigmoid, tanh
from rnnlib.memory.networks import Layer, Network
from rnnlib.memory.step_enclosure import Box


def start_box(network: Network, inputs: Interval, cell_bound: float) -> Interval:
    """Return a box of states that one step maps into itself, and that orbits do not miss.

    Args:
        network: the network.
        inputs: shape ``(n_z,)``.
        cell_bound: a bound on ``|c|`` to be covered.
    """
    units = torch.ones(network.units, dtype=torch.float64, device="cpu")
    count = len(network.layers)
    if network.kind == "elman" and network.activation is not torch.tanh:
        bound = torch.cat([units * INF] * count)
        return Interval(-bound, bound)
    bounds, z = [units] * count, inputs
    if network.kind == "lstm":
        for layer, (gates, _, _), (at, _) in zip(
            network.layers, network.on_state, network.parts, strict=True
        ):
            h = Interval(-units, units)
            shares = [Box(h).image(gate[:, at]) for gate in gates]
            a_i, a_f, a_g = (
                share + of_input
                for share, of_input in zip(shares[:3], _of_input(layer, z), strict=True)
            )
            rest = sigmoid(Interval(-a_f.high, -a_f.low)).low  # 1 - f, without cancellation
            c = sigmoid(a_i).high * tanh(a_g).largest / rest  # |c'| <= f |c| + i |g| stays below it
            bounds.append((c * (1 + MARGIN)).nan_to_num(INF).clamp(min=cell_bound))
            z = h
    bound = torch.cat(bounds)
    return Interval(-bound, bound)


def _of_input(layer: Layer, z: Interval) -> tuple[Interval, ...]:
    total = Box(z).image(layer.of_input) + point(layer.input_bias) + point(layer.state_bias)
    return total.chunk(4)[:3]

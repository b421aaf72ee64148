"""One step of the Elman network, the GRU and the LSTM, over a flat state and batched weights.

The formulas and the parameter names are those of `torch.nn.RNN`, `GRU` and `LSTM`, so a module's
own parameters serve as they are. The state lists the layers one after the other; an LSTM's lists
the hidden states ``h`` of all layers first and then their cells ``c``.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rnnlib.nn.batched_products import affine, join, times_tanh


def _preactivations(layer: int, z: Tensor | None, h: Tensor, theta: Mapping[str, Tensor]):
    """Return the input's share (None without input) and the state's share of the gates."""
    of_input = (
        None
        if z is None
        else affine(theta[f"weight_ih_l{layer}"], z, theta.get(f"bias_ih_l{layer}"))
    )
    return of_input, affine(theta[f"weight_hh_l{layer}"], h, theta.get(f"bias_hh_l{layer}"))


def _sum(of_input: Tensor | None, of_state: Tensor) -> Tensor:
    return of_state if of_input is None else of_input + of_state


def elman_layer(layer: int, z: Tensor | None, h: Tensor, theta: Mapping, nonlinearity=torch.tanh):
    """``h' = tanh(W_ih z + b_ih + W_hh h + b_hh)``, `torch.nn.RNN`."""
    return nonlinearity(_sum(*_preactivations(layer, z, h, theta)))


def gru_layer(layer: int, z: Tensor | None, h: Tensor, theta: Mapping):
    """``h' = (1 - u) n + u h`` with torch's gate order reset, update, new (`torch.nn.GRU`)."""
    of_input, of_state = _preactivations(layer, z, h, theta)
    if of_input is None:
        of_input = torch.zeros_like(of_state)
    return gru_update(of_input, of_state, h)


def gru_update(of_input: Tensor, of_state: Tensor, h: Tensor):
    """Return the new ``h`` from the two shares of the preactivations, ``(*batch, 3 units)``."""
    units = h.shape[-1]
    gates = torch.sigmoid(of_input[..., : 2 * units] + of_state[..., : 2 * units])
    reset, update = gates[..., :units], gates[..., units:]
    new = torch.tanh(of_input[..., 2 * units :] + reset * of_state[..., 2 * units :])
    return new + update * (h - new)


def lstm_layer(layer: int, z: Tensor | None, h: Tensor, c: Tensor, theta: Mapping):
    """One LSTM layer with torch's gate order i, f, g, o; equations (S17) and (S18) without input.

    Returns:
        The new ``h`` and ``c``, each of shape ``(*batch, units)``.
    """
    return lstm_update(_sum(*_preactivations(layer, z, h, theta)), c)


def lstm_update(gates: Tensor, c: Tensor):
    """Return the new ``h`` and ``c`` from the gates' preactivations, ``(*batch, 4 units)``."""
    units = c.shape[-1]
    i, f = torch.sigmoid(gates[..., : 2 * units]).split(units, dim=-1)
    g = gates[..., 2 * units : 3 * units]
    o = torch.sigmoid(gates[..., 3 * units :])
    c = f * c + times_tanh(i, g)  # (S17)
    return times_tanh(o, c), c  # (S18)


def stack_of(layer_step, layers: int, units: int):
    """Return the transition ``f(x, z, theta)`` of stacked layers whose state is ``h`` alone."""

    def f(x: Tensor, z: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        new = []
        for layer, h in enumerate(x.split(units, dim=-1)):
            z = layer_step(layer, z, h, theta)
            new.append(z)
        return new[0] if layers == 1 else join(*new)

    return f


def lstm_stack(layers: int, units: int):
    """Return the transition ``f(x, z, theta)`` of stacked LSTM layers, state ``(h, c)``."""

    def f(x: Tensor, z: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        hs, cs = [], []
        parts = x.split(units, dim=-1)
        for layer in range(layers):
            z, c = lstm_layer(layer, z, parts[layer], parts[layers + layer], theta)
            hs.append(z)
            cs.append(c)
        return join(*hs, *cs)

    return f

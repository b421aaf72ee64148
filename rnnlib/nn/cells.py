"""One step of the Elman network, the GRU and the LSTM, over a flat state and batched weights.

The formulas and the parameter names are those of `torch.nn.RNN`, `GRU` and `LSTM`, so a module's
own parameters serve as they are. The state lists the layers one after the other; an LSTM's lists
the hidden states ``h`` of all layers first and then their cells ``c``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


def elman_layer(
    layer: int,
    z: Tensor | None,
    h: Tensor,
    theta: Mapping,
    nonlinearity: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """``h' = tanh(W_ih z + b_ih + W_hh h + b_hh)``, `torch.nn.RNN`."""
    return nonlinearity(_sum(*_preactivations(layer, z, h, theta)))


def relu_layer(layer: int, z: Tensor | None, h: Tensor, theta: Mapping) -> Tensor:
    """``h' = relu(W_ih z + b_ih + W_hh h + b_hh)``, `torch.nn.RNN` with that nonlinearity."""
    return elman_layer(layer, z, h, theta, nonlinearity=torch.relu)


def gru_layer(layer: int, z: Tensor | None, h: Tensor, theta: Mapping) -> Tensor:
    """``h' = (1 - u) n + u h`` with torch's gate order reset, update, new (`torch.nn.GRU`)."""
    of_input, of_state = _preactivations(layer, z, h, theta)
    if of_input is None:
        of_input = torch.zeros_like(of_state)
    return gru_update(of_input, of_state, h)


def gru_update(of_input: Tensor, of_state: Tensor, h: Tensor) -> Tensor:
    """Return the new ``h`` from the two shares of the preactivations, ``(*batch, 3 units)``."""
    units = h.shape[-1]
    gates = torch.sigmoid(of_input[..., : 2 * units] + of_state[..., : 2 * units])
    reset, update = gates[..., :units], gates[..., units:]
    new = torch.tanh(of_input[..., 2 * units :] + reset * of_state[..., 2 * units :])
    return new + update * (h - new)


def lstm_layer(
    layer: int, z: Tensor | None, h: Tensor, c: Tensor, theta: Mapping
) -> tuple[Tensor, Tensor]:
    """One LSTM layer with torch's gate order i, f, g, o; equations (S17) and (S18) without input.

    Returns:
        The new ``h`` and ``c``, each of shape ``(*batch, units)``.
    """
    return lstm_update(_sum(*_preactivations(layer, z, h, theta)), c)


def lstm_update(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the new ``h`` and ``c`` from the gates' preactivations, ``(*batch, 4 units)``."""
    units = c.shape[-1]
    i, f = torch.sigmoid(gates[..., : 2 * units]).split(units, dim=-1)
    g = gates[..., 2 * units : 3 * units]
    o = torch.sigmoid(gates[..., 3 * units :])
    c = f * c + times_tanh(i, g)  # (S17)
    return times_tanh(o, c), c  # (S18)


@dataclass(frozen=True)
class Stack:
    """The transition ``f(x, z, theta)`` of stacked layers, which also says what it is made of.

    Attributes:
        layer_step: one of the functions above. The state of `lstm_layer` is ``(h, c)``, that of
            the others ``h``.
        layers: how many.
        units: of each.
    """

    layer_step: Callable
    layers: int
    units: int

    def __call__(self, x: Tensor, z: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        """Return the next state, of the shape of ``x``."""
        parts = x.split(self.units, dim=-1)
        hs, cs = [], []
        for layer in range(self.layers):
            if self.layer_step is lstm_layer:
                z, c = lstm_layer(layer, z, parts[layer], parts[self.layers + layer], theta)
                cs.append(c)
            else:
                z = self.layer_step(layer, z, parts[layer], theta)
            hs.append(z)
        return hs[0] if len(parts) == 1 else join(*hs, *cs)


def stack_of(layer_step: Callable, layers: int, units: int) -> Stack:
    """Return the transition of stacked layers whose state is ``h`` alone."""
    return Stack(layer_step, layers, units)


def lstm_stack(layers: int, units: int) -> Stack:
    """Return the transition of stacked LSTM layers, state ``(h, c)``."""
    return Stack(lstm_layer, layers, units)

"""The weights of a torch network in float64, as a proof reads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnlib.nn import cells
from rnnlib.systems import System, from_module

GATES = {"elman": 1, "gru": 3, "lstm": 4}
STEPS = {
    cells.elman_layer: ("elman", torch.tanh),
    cells.relu_layer: ("elman", torch.relu),
    cells.gru_layer: ("gru", None),
    cells.lstm_layer: ("lstm", None),
}


class Layer(NamedTuple):
    """One layer in float64: ``(gates n, n)``, ``(gates n, n_z)`` and two biases ``(gates n,)``."""

    recurrent: Tensor
    of_input: Tensor
    input_bias: Tensor
    state_bias: Tensor


@dataclass(frozen=True, eq=False)
class Network:
    """Stacked layers of torch's Elman network, GRU or LSTM.

    Attributes:
        kind: "elman", "gru" or "lstm".
        layers: their weights.
        activation: of an Elman network, `torch.tanh` or `torch.relu`; None if it is not known
            which of the two.
    """

    kind: str
    layers: tuple[Layer, ...]
    activation: Callable | None = None

    @property
    def units(self) -> int:
        """How many units a layer has."""
        return self.layers[0].recurrent.shape[1]

    @property
    def n_x(self) -> int:
        """The dimension of the state."""
        return self.units * len(self.layers) * (2 if self.kind == "lstm" else 1)

    @property
    def n_z(self) -> int:
        """The dimension of the input."""
        return self.layers[0].of_input.shape[1]

    @cached_property
    def parts(self) -> list[tuple[slice, slice | None]]:
        """Where each layer's ``h``, and its ``c`` if it has one, stand in the state."""
        n, count = self.units, len(self.layers)
        c = [slice(n * (count + k), n * (count + k + 1)) for k in range(count)]
        return [
            (slice(n * k, n * (k + 1)), c[k] if self.kind == "lstm" else None) for k in range(count)
        ]

    @cached_property
    def on_state(self) -> list[tuple[tuple[Tensor, ...], Tensor, Tensor | None]]:
        """For each layer the matrices that give each gate's ``W_hh h``, ``h`` and ``c``.

        They are the same tensors at every call, which
        `rnnlib.memory.quadratic_bound.Transported` counts on.
        """
        eye = torch.eye(self.n_x, dtype=torch.float64, device="cpu")
        found = []
        for layer, (h, c) in zip(self.layers, self.parts, strict=True):
            recurrent = eye.new_zeros(len(layer.recurrent), self.n_x)
            recurrent[:, h] = layer.recurrent
            gates = recurrent.chunk(GATES[self.kind])
            found.append((gates, eye[h], None if c is None else eye[c]))
        return found

    @cached_property
    def nothing(self) -> Tensor:
        """The zero map from states to the units of one layer."""
        return torch.zeros(self.units, self.n_x, dtype=torch.float64, device="cpu")


def read_network(cell: nn.Module | System | Mapping[str, Tensor]) -> Network | None:
    """Return a cell's weights in float64 on the CPU, None for a step with no known rule.

    Args:
        cell: a module that `rnnlib.from_module` takes, a system, or weights named as torch names
            them; then an Elman network may have either activation.

    Raises:
        TypeError: no floating-point weights.
        ValueError: weights with batch axes, of wrong shapes, or not finite.
    """
    if isinstance(cell, nn.Module):
        cell = from_module(cell)
    activation = None
    if isinstance(cell, System):
        kind, activation = STEPS.get(getattr(cell.f, "layer_step", None), (None, None))
        if kind is None or not isinstance(cell.f, cells.Stack):
            return None
        cell = cell.theta
    if "weight_hh_l0" not in cell:
        raise ValueError(f"cell has {sorted(cell)}; it needs weights named as torch.nn names them.")
    count = sum(name.startswith("weight_hh_l") for name in cell)
    layers = tuple(_layer(cell, k) for k in range(count))
    rows, columns = layers[0].recurrent.shape
    kinds = {gates: kind for kind, gates in GATES.items()}
    if columns == 0 or rows % columns or rows // columns not in kinds:
        raise ValueError(
            f"weight_hh_l0 has shape {(rows, columns)}; an Elman network's is (n, n), a GRU's "
            f"(3 n, n), an LSTM's (4 n, n)."
        )
    return Network(kinds[rows // columns], layers, activation)


def _layer(theta: Mapping[str, Tensor], k: int) -> Layer:
    weight = theta[f"weight_hh_l{k}"]
    rows = weight.shape[0]
    absent = {f"weight_ih_l{k}": (rows, 0), f"bias_ih_l{k}": (rows,), f"bias_hh_l{k}": (rows,)}
    tensors = [weight, *(theta.get(name, torch.zeros(size)) for name, size in absent.items())]
    for tensor in tensors:
        if not tensor.dtype.is_floating_point or tensor.is_meta:
            raise TypeError(
                f"layer {k} has weights of {tensor.dtype} on {tensor.device}; a proof needs real "
                f"floating-point numbers."
            )
    layer = Layer(*(w.detach().to("cpu", torch.float64) for w in tensors))
    if [w.dim() for w in layer] != [2, 2, 1, 1]:
        raise ValueError(f"layer {k} has weights with batch axes; certify one network at a time.")
    if not all(torch.isfinite(w).all() for w in layer):
        raise ValueError(
            f"layer {k} has weights that are not finite; look at where they come from."
        )
    return layer

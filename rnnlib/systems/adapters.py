"""From a `torch.nn` module, or a network that holds one, to a system in one line."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from rnnlib.nn import (
    LinearRecurrence,
    OrthogonalRNN,
    affine,
    cells,
    copy_in_evaluation,
    orthogonal_rnn_step,
    weights_in_use,
)
from rnnlib.systems.network_parts import KINDS, only_layer, parts_of, unwrapped
from rnnlib.systems.system import Map, System, check_finite
from rnnlib.systems.wrapped_steps import as_function


def from_module(
    module: nn.Module,
    readout: Callable | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> System:
    """Turn a recurrent `torch.nn` module into a system, with its weights as they are now.

    The state is flat: the hidden states of all layers, then, for an LSTM, the cells of all
    layers. Without a read-out the system shows the last layer's ``h``, as the module does.

    Args:
        module: `torch.nn.RNN`, `GRU`, `LSTM`, or one of their cells, in one direction and without
            projection, a layer of `rnnlib.nn`, or a network that holds one of them: then what reads
            it is found too, and tried on a random sequence. Compiled and scripted ones are
            unwrapped. Dropout is off, as in evaluation. The system's name says what was taken.
        readout: a module or function from the last layer's ``h``, shape ``(batch, units)``, to the
            output. A `torch.nn.Linear` can be swept like the other parameters.
        dtype: of the system; by default the module's own. The module is left as it is. With
            float64 exponents are right, and an orthogonal matrix is one to 1e-13.

    Returns:
        A system whose parameters are copies, named as in the module and, for the read-out, with
        the prefix ``readout.``; later training of the module does not change it. Those of an
        `OrthogonalRNN` are ``weight_ih``, ``bias`` and ``recurrent``: the matrix Q itself, so that
        a sweep may leave the orthogonal matrices. A parametrized weight is what it works out to.
        Those of a `LinearRecurrence` take no batch axes, since the layer itself is called.

    Raises:
        TypeError: another kind of module, a subclass with a ``forward`` of its own, a read-out that
            cannot be called.
        ValueError: a bidirectional or projected module, weights that are not finite, a read-out
            that does not take this ``h``, a network whose parts must be named.

    Example:
        >>> import torch, rnnlib
        >>> network = rnnlib.from_module(torch.nn.LSTM(3, 8))
        >>> network.n_x, network.n_z  # h and c in one vector
        (16, 3)
        >>> rnnlib.simulate(network, torch.zeros(16), steps=5, inputs=torch.zeros(5, 3)).shape
        torch.Size([5, 16])
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module is a {type(module).__name__}; give a torch.nn.Module, or wrap a function that "
            f"makes one step with rnnlib.from_step."
        )
    layer, name = unwrapped(module), None
    if not isinstance(layer, KINDS):
        if readout is None:
            layer, readout, name = parts_of(layer)
        else:
            path, found = only_layer(layer)
            layer, name = found, f"{type(found).__name__} at {path} of {type(layer).__name__}"
    if getattr(layer, "bidirectional", False):
        raise ValueError("module is bidirectional, so it is no one-step map; use one direction.")
    if getattr(layer, "proj_size", 0):
        raise ValueError(
            f"module has proj_size={layer.proj_size}; use a module without projection."
        )

    units = cast(int, layer.hidden_size)
    layers = cast(int, getattr(layer, "num_layers", 1))
    name = name or type(layer).__name__
    if isinstance(layer, LinearRecurrence):
        theta, call = as_function(_Step(layer), dtype=dtype)
        f, hidden = partial(_called, call, "step"), partial(_called, call, "read")
        sizes = layer.state_size, layer.input_size, units
        return _with_readout(f, hidden, theta, sizes, readout, name, dtype)
    in_use = weights_in_use(layer if dtype is None else copy_in_evaluation(layer).to(dtype))
    suffix = "_l0" if isinstance(layer, (nn.RNNCell, nn.GRUCell, nn.LSTMCell)) else ""
    theta = {key + suffix: weight for key, weight in in_use.items()}
    if isinstance(layer, OrthogonalRNN):
        f, n_x = orthogonal_rnn_step, units
    elif isinstance(layer, (nn.LSTM, nn.LSTMCell)):
        f, n_x = cells.lstm_stack(layers, units), 2 * layers * units
    elif isinstance(layer, (nn.GRU, nn.GRUCell)):
        f, n_x = cells.stack_of(cells.gru_layer, layers, units), layers * units
    else:
        step = cells.elman_layer if layer.nonlinearity == "tanh" else _relu_layer
        f, n_x = cells.stack_of(step, layers, units), layers * units
    sizes = n_x, layer.input_size, units
    return _with_readout(f, _last_layer(layers, units), theta, sizes, readout, name, dtype)


def lstm(weights: Mapping[str, Tensor], name: str = "LSTM") -> System:
    """Build a one-layer LSTM system from its weight tensors, without a module.

    Args:
        weights: ``weight_hh_l0`` of shape ``(4 n, n)`` with the gates stacked in the order
            i, f, g, o, and optionally ``weight_ih_l0`` ``(4 n, n_z)``, ``bias_ih_l0`` and
            ``bias_hh_l0`` ``(4 n,)``.
        name: what figures and messages call it.

    Raises:
        ValueError: an unknown name, a gate matrix that is not square, a value not finite.

    Example:
        >>> import torch, rnnlib
        >>> system = rnnlib.lstm({"weight_hh_l0": torch.zeros(8, 2)})  # no input, no biases
        >>> system.n_x, system.n_z  # h and c, of two units
        (4, 0)
    """
    known = {"weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0"}
    if unknown := sorted(set(weights) - known):
        raise ValueError(f"weights has unknown names {unknown}; an LSTM layer has {sorted(known)}.")
    if "weight_hh_l0" not in weights:
        raise ValueError("weights lacks 'weight_hh_l0', the recurrent matrix of shape (4 n, n).")
    recurrent = weights["weight_hh_l0"]
    if recurrent.dim() != 2 or recurrent.shape[0] != 4 * recurrent.shape[1]:
        raise ValueError(
            f"weights['weight_hh_l0'] has shape {tuple(recurrent.shape)}; each of its four gate "
            f"matrices must be square, so it must be (4 n, n). Give batches with system.at(...)."
        )
    units = recurrent.shape[1]
    inputs = weights["weight_ih_l0"].shape[-1] if "weight_ih_l0" in weights else 0
    for key, value in weights.items():
        expected = {"weight_hh_l0": (4 * units, units), "weight_ih_l0": (4 * units, inputs)}
        if tuple(value.shape) != expected.get(key, (4 * units,)):
            raise ValueError(
                f"weights[{key!r}] has shape {tuple(value.shape)}; with n={units} units it must be "
                f"{expected.get(key, (4 * units,))}."
            )
    f, sizes = cells.lstm_stack(1, units), (2 * units, inputs, units)
    return _with_readout(f, _last_layer(1, units), dict(weights), sizes, None, name)


def flatten_state(
    state: Tensor | tuple[Tensor, Tensor] | list[Tensor], *, cell: bool | None = None
) -> Tensor:
    """Turn torch's ``h`` or ``(h, c)`` into flat states.

    Args:
        state: of a layer, each ``(layers, *batch, units)``; of a cell, each ``(*batch, units)``.
        cell: whether it is a cell's, which has no axis of layers. Of a state with two axes it
            must be said, unless the first has length 1, which is then that of layers.

    Returns:
        Shape ``(*batch, n_x)``, the layers' ``h`` first, then their ``c``.

    Raises:
        TypeError: no tensor, nor a pair of them.
        ValueError: ``h`` and ``c`` of different shapes, no axis of layers, or two axes of which the
            first may be layers or a batch.

    Example:
        >>> import torch, rnnlib
        >>> _, state = torch.nn.LSTM(3, 4)(torch.zeros(5, 1, 3))  # h and c, each (1, 1, 4)
        >>> rnnlib.flatten_state(state).shape
        torch.Size([1, 8])
    """
    parts = tuple(state) if isinstance(state, (tuple, list)) else (state,)
    if not all(isinstance(part, Tensor) for part in parts) or len(parts) not in (1, 2):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(f"state holds {kinds}; give h, or the pair (h, c), as tensors.")
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"state has an h and a c of different shapes, {sorted(shapes)}.")
    if cell:
        return torch.cat(parts, dim=-1)
    if parts[0].dim() < 2:
        raise ValueError(
            f"state has shape {tuple(parts[0].shape)}; a layer's is (layers, *batch, units). Say "
            f"cell=True for that of a cell, (*batch, units)."
        )
    if cell is None and parts[0].dim() == 2 and len(parts[0]) > 1:
        raise ValueError(
            f"state has shape {tuple(parts[0].shape)}, which may be {len(parts[0])} layers or a "
            f"cell's batch of {len(parts[0])}; say cell=False or cell=True."
        )
    return torch.cat([layer for part in parts for layer in part.unbind(0)], dim=-1)


def unflatten_state(x: Tensor, layers: int, units: int) -> Tensor | tuple[Tensor, Tensor]:
    """Turn flat states ``(*batch, n_x)`` into torch's ``h`` or, if ``c`` is there too, ``(h, c)``.

    Raises:
        ValueError: ``n_x`` is neither ``layers * units`` nor twice that.

    Example:
        >>> import torch, rnnlib
        >>> h, c = rnnlib.unflatten_state(torch.arange(8.0), layers=1, units=4)
        >>> h, c
        (tensor([[0., 1., 2., 3.]]), tensor([[4., 5., 6., 7.]]))
    """
    one = layers * units
    if x.shape[-1] not in (one, 2 * one):
        raise ValueError(
            f"x has {x.shape[-1]} components; {layers} layers of {units} units have {one}, or "
            f"{2 * one} with their cells."
        )
    parts = torch.stack(x.split(units, dim=-1))
    return parts if x.shape[-1] == one else (parts[:layers], parts[layers:])


_relu_layer = cells.relu_layer


class _Step(nn.Module):
    """A layer as a module that calls one of its methods, so that its tensors can be given."""

    def __init__(self, layer: LinearRecurrence):
        super().__init__()
        self.layer = layer

    def forward(self, method: str, x: Tensor, z: Tensor) -> Tensor:
        return getattr(self.layer, method)(x, z)


def _called(call, method, x, z, theta):
    batch = torch.broadcast_shapes(x.shape[:-1], z.shape[:-1])
    return call(theta, method, x.expand(*batch, x.shape[-1]), z.expand(*batch, z.shape[-1]))


def _last_layer(layers: int, units: int) -> Callable:
    last = slice((layers - 1) * units, layers * units)
    return lambda x, z, theta: x[..., last]  # the last layer's h


def _with_readout(f, hidden, theta, sizes, readout, name, dtype=None) -> System:
    """Return the system of a transition, of ``hidden(x, z, theta)`` and of what reads that."""
    n_x, n_z, units = sizes
    tensors, g = _read_by(readout, hidden, units, dtype)
    theta = {**theta, **tensors}
    for key, value in theta.items():
        check_finite(f"parameter {key!r}", value)
    system = System(f=f, g=g, n_x=n_x, n_z=n_z, theta=theta, name=name, derivative="forward")
    if readout is not None:
        _try(system, readout, units)
    return system


def _read_by(
    readout: Callable[..., Tensor] | None, hidden: Map, units: int, dtype
) -> tuple[dict[str, Tensor], Map]:
    """Return the tensors of a read-out of ``h``, and the system's ``g``."""
    if readout is None:
        return {}, hidden
    if isinstance(readout, nn.Linear):
        tensors = {f"readout.{key}": p.to(dtype) for key, p in weights_in_use(readout).items()}

        def by_matrix(x, z, theta):
            h = hidden(x, z, theta)
            return affine(theta["readout.weight"], h, theta.get("readout.bias"))

        return tensors, by_matrix
    if isinstance(readout, nn.Module):
        tensors, read = as_function(readout, "readout.", dtype)

        def by_module(x, z, theta):  # most modules know one batch axis
            h = hidden(x, z, theta)
            y = read(theta, h.reshape(-1, units))
            return y.reshape(*h.shape[:-1], y.shape[-1])

        return tensors, by_module
    if callable(readout):
        return {}, lambda x, z, theta: readout(hidden(x, z, theta))
    raise TypeError(
        f"readout is a {type(readout).__name__}; give a module or function of the last layer's h, "
        f"or leave it out to show h itself."
    )


@torch.no_grad()
def _try(system: System, readout: Callable, units: int) -> None:
    """Raise a ValueError if the read-out does not take the last layer's ``h``."""
    like = next(iter(system.theta.values()))
    try:
        y = system.g(like.new_zeros(2, system.n_x), like.new_zeros(2, system.n_z), system.theta)
    except Exception as error:
        raise ValueError(
            f"readout, a {type(readout).__name__}, does not take the last layer's h, a tensor of "
            f"shape (batch, {units}) and {like.dtype}: {error}"
        ) from error
    if y.shape[:-1] != (2,):
        raise ValueError(
            f"readout gives shape {tuple(y.shape)} for h of shape (2, {units}); it must keep the "
            f"batch axis, (batch, n_y)."
        )

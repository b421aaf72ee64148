"""From a `torch.nn` module, or any function that makes one step, to a system in one line."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from rnnlib.nn import OrthogonalRNN, affine, cells, orthogonal_rnn_step
from rnnlib.systems.system import System, check_finite

KINDS = (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell, OrthogonalRNN)


def from_module(module: nn.Module, readout: nn.Module | None = None) -> System:
    """Turn a recurrent `torch.nn` module into a system, with its weights as they are now.

    The state is flat: the hidden states of all layers, then, for an LSTM, the cells of all
    layers. Without a read-out the system shows the last layer's ``h``, as the module does.

    Args:
        module: `torch.nn.RNN`, `GRU`, `LSTM`, or one of their cells, in one direction and without
            projection, or an `OrthogonalRNN`. Dropout is off, as in evaluation. For exponents
            convert the module, not the system, to float64: then Q is orthogonal to 1e-13.
        readout: a module from the last layer's ``h``, shape ``(*batch, units)``, to the output.
            A `torch.nn.Linear` can be swept like the other parameters.

    Returns:
        A system whose parameters are copies, named as in the module and, for the read-out, with
        the prefix ``readout.``; later training of the module does not change it. Those of an
        `OrthogonalRNN` are ``weight_ih``, ``bias`` and ``recurrent``: the matrix Q itself, so that
        a sweep may leave the orthogonal matrices.

    Raises:
        TypeError: another kind of module.
        ValueError: a bidirectional or projected module, or weights that are not finite.
    """
    if not isinstance(module, KINDS):
        raise TypeError(
            f"module is a {type(module).__name__}; from_module knows "
            f"{', '.join(kind.__name__ for kind in KINDS)}. Wrap any other module's one-step map "
            f"with rnnlib.from_step."
        )
    if getattr(module, "bidirectional", False):
        raise ValueError("module is bidirectional, so it is no one-step map; use one direction.")
    if getattr(module, "proj_size", 0):
        raise ValueError(
            f"module has proj_size={module.proj_size}; use a module without projection."
        )

    units, layers = module.hidden_size, getattr(module, "num_layers", 1)
    if isinstance(module, OrthogonalRNN):
        weights = {
            "weight_ih": module.weight_ih,
            "recurrent": module.recurrent_matrix(),
            "bias": module.bias,
        }
        theta = {name: weight.detach().clone() for name, weight in weights.items()}
        return _with_readout(
            orthogonal_rnn_step, units, theta, 1, units, module.input_size, readout, "OrthogonalRNN"
        )
    suffix = "_l0" if isinstance(module, (nn.RNNCell, nn.GRUCell, nn.LSTMCell)) else ""
    theta = {name + suffix: p.detach().clone() for name, p in module.named_parameters()}
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        f, n_x = cells.lstm_stack(layers, units), 2 * layers * units
    elif isinstance(module, (nn.GRU, nn.GRUCell)):
        f, n_x = cells.stack_of(cells.gru_layer, layers, units), layers * units
    else:
        step = cells.elman_layer if module.nonlinearity == "tanh" else _relu_layer
        f, n_x = cells.stack_of(step, layers, units), layers * units
    return _with_readout(
        f, n_x, theta, layers, units, module.input_size, readout, type(module).__name__
    )


def lstm(weights: Mapping[str, Tensor], name: str = "LSTM") -> System:
    """Build a one-layer LSTM system from its weight tensors, without a module.

    Args:
        weights: ``weight_hh_l0`` of shape ``(4 n, n)`` with the gates stacked in the order
            i, f, g, o, and optionally ``weight_ih_l0`` ``(4 n, n_z)``, ``bias_ih_l0`` and
            ``bias_hh_l0`` ``(4 n,)``.
        name: what figures and messages call it.

    Raises:
        ValueError: an unknown name, a gate matrix that is not square, a value not finite.
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
    return _with_readout(
        cells.lstm_stack(1, units), 2 * units, dict(weights), 1, units, inputs, None, name
    )


def from_step(step, n_x: int, n_z: int = 0, readout=None, name: str = "step") -> System:
    """Turn a module or function that makes one step into a system.

    Args:
        step: ``step(x) -> x'``, or ``step(x, z) -> x'`` if ``n_z > 0``, over flat states of shape
            ``(*batch, n_x)`` with any number of batch axes. If it is a `torch.nn.Module` its
            parameters become the system's (as copies) and can be replaced with `System.at`,
            without batch axes.
        n_x: the dimension of the state.
        n_z: the dimension of the input.
        readout: from a state to the output; by default the state itself.
        name: what figures and messages call it.

    Raises:
        ValueError: parameters that are not finite.
    """
    theta, owner = {}, isinstance(step, nn.Module)
    if owner:
        theta = {key: value.detach().clone() for key, value in step.named_parameters()}
        for key, value in theta.items():
            check_finite(f"parameter {key!r}", value)

    def f(x, z, theta):
        arguments = (x,)
        if n_z:  # so that the step itself need not think of broadcasting
            batch = torch.broadcast_shapes(x.shape[:-1], z.shape[:-1])
            arguments = (x.expand(*batch, n_x), z.expand(*batch, n_z))
        if owner:
            return torch.func.functional_call(step, dict(theta), arguments)
        return step(*arguments)

    optional = {} if readout is None else {"g": lambda x, z, theta: readout(x)}
    return System(f=f, n_x=n_x, n_z=n_z, theta=theta, name=name, **optional)


def from_function(
    f: Callable, n_x: int, theta: Mapping[str, Tensor | float] | None = None, name: str = "map"
) -> System:
    """Turn a Python function ``f(x, theta) -> x'`` into a system without input.

    Args:
        f: takes states of shape ``(*batch, n_x)`` and the parameters by name, returns states.
        n_x: the dimension of the state.
        theta: parameters. A number or a tensor is one scalar parameter per batch element: any
            axes that it has are batch axes.
        name: what figures and messages call it.

    Raises:
        ValueError: a parameter is not finite.
    """
    theta = {
        key: torch.as_tensor(value, dtype=None if torch.is_tensor(value) else torch.float64)
        for key, value in (theta or {}).items()
    }
    for key, value in theta.items():
        check_finite(f"theta[{key!r}]", value)
    return System(
        f=lambda x, z, theta: f(x, theta),
        n_x=n_x,
        theta=theta,
        core=dict.fromkeys(theta, 0),
        name=name,
    )


def flatten_state(state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Turn torch's ``h`` or ``(h, c)``, each ``(layers, *batch, units)``, into flat states.

    Returns:
        Shape ``(*batch, n_x)``, the layers' ``h`` first, then their ``c``.
    """
    parts = state if isinstance(state, tuple) else (state,)
    return torch.cat([layer for part in parts for layer in part.unbind(0)], dim=-1)


def unflatten_state(x: Tensor, layers: int, units: int) -> Tensor | tuple[Tensor, Tensor]:
    """Turn flat states ``(*batch, n_x)`` into torch's ``h`` or, if ``c`` is there too, ``(h, c)``.

    Raises:
        ValueError: ``n_x`` is neither ``layers * units`` nor twice that.
    """
    one = layers * units
    if x.shape[-1] not in (one, 2 * one):
        raise ValueError(
            f"x has {x.shape[-1]} components; {layers} layers of {units} units have {one}, or "
            f"{2 * one} with their cells."
        )
    parts = torch.stack(x.split(units, dim=-1))
    return parts if x.shape[-1] == one else (parts[:layers], parts[layers:])


def _relu_layer(layer, z, h, theta):
    return cells.elman_layer(layer, z, h, theta, nonlinearity=torch.relu)


def _with_readout(f, n_x, theta, layers, units, inputs, readout, name) -> System:
    last = slice((layers - 1) * units, layers * units)  # the last layer's h

    if readout is None:

        def g(x, z, theta):
            return x[..., last]

    elif isinstance(readout, nn.Linear):
        theta |= {f"readout.{key}": p.detach().clone() for key, p in readout.named_parameters()}

        def g(x, z, theta):
            return affine(theta["readout.weight"], x[..., last], theta.get("readout.bias"))

    else:

        def g(x, z, theta):
            return readout(x[..., last])

    for key, value in theta.items():
        check_finite(f"parameter {key!r}", value)
    return System(f=f, g=g, n_x=n_x, n_z=inputs, theta=theta, name=name)

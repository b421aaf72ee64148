"""From a function, a module or a cell that makes one step to a system in one line."""

import inspect
import itertools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from rnnlib.nn import copy_in_evaluation
from rnnlib.systems.system import System, check_finite

INPUT, STATE = (
    {"input", "inputs", "input_"},
    {"hx", "h", "hidden", "hiddens", "state", "states", "hidden_state"},
)


def as_function(
    module: nn.Module, prefix: str = "", dtype: torch.dtype | None = None
) -> tuple[dict[str, Tensor], Callable]:
    """Return a copy of a module as a function of its tensors, in evaluation mode.

    Args:
        module: any; it is left as it is. A compiled one is taken without its compilation.
        prefix: of the tensors' names.
        dtype: to which floating-point parameters and buffers are converted.

    Returns:
        Its parameters and buffers by name, detached, and ``call(theta, *arguments)``. A scripted
        module keeps its tensors to itself, so there are none.

    Raises:
        ValueError: a parameter that is not finite.
    """
    copied = copy_in_evaluation(getattr(module, "_orig_mod", module))
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
    if dtype is not None:
        copied = copied.to(dtype)
    if isinstance(copied, torch.jit.ScriptModule):
        return {}, lambda theta, *arguments: copied(*arguments)
    named = itertools.chain(copied.named_parameters(), copied.named_buffers())
    tensors = {prefix + name: tensor.detach() for name, tensor in named}
    for name, tensor in tensors.items():
        check_finite(f"parameter {name!r}", tensor)
    dims = {name: tensor.dim() for name, tensor in tensors.items()}

    def call(theta, *arguments):
        own = {}
        for name, dim in dims.items():
            if theta[name].dim() != dim:
                raise ValueError(
                    f"theta[{name!r}] has shape {tuple(theta[name].shape)}; the parameters of a "
                    f"{type(module).__name__} that is called as it is have no batch axes: loop "
                    f"over their values."
                )
            own[name.removeprefix(prefix)] = theta[name]
        return torch.func.functional_call(copied, own, arguments)

    return tensors, call


def from_step(
    step: Callable,
    n_x: int,
    n_z: int = 0,
    readout: Callable | None = None,
    name: str = "step",
    *,
    derivative: str | None = None,
    dtype: torch.dtype | None = None,
) -> System:
    """Turn a module or function that makes one step into a system.

    Args:
        step: ``step(x) -> x'``, or ``step(x, z) -> x'`` if ``n_z > 0``, over flat states of shape
            ``(*batch, n_x)`` with any number of batch axes. If it is a `torch.nn.Module` it is
            copied, in evaluation mode, and its parameters and buffers become the system's, to be
            replaced with `System.at`, without batch axes. A cell that is called with the input
            first, as torch's are, is one for `from_cell`.
        n_x: the dimension of the state.
        n_z: the dimension of the input.
        readout: a function or module from a state to the output; by default the state itself.
        name: what figures and messages call it.
        derivative: see `System`; "differences" for a step that torch cannot differentiate, such as
            one in numpy.
        dtype: to which a module's floating-point parameters are converted.

    Raises:
        ValueError: parameters that are not finite, a cell whose input comes first.
        TypeError: ``step`` or ``readout`` cannot be called.

    Example:
        >>> import torch, rnnlib
        >>> leaky = rnnlib.from_step(lambda x, z: (x + torch.tanh(z)) / 2, n_x=2, n_z=2)
        >>> leaky.step(torch.ones(2), torch.zeros(2))
        tensor([0.5000, 0.5000])
    """
    _check_size("n_x", n_x, 1)
    _check_size("n_z", n_z, 0)
    if not callable(step):
        raise TypeError(f"step is a {type(step).__name__}; give a function or module to call.")
    _refuse_the_input_first(step, n_x, n_z)
    theta, call = _callable("", step, dtype)

    def f(x, z, theta):
        if not n_z:
            return call(theta, x)
        batch = torch.broadcast_shapes(x.shape[:-1], z.shape[:-1])  # so that the step need not
        return call(theta, x.expand(*batch, n_x), z.expand(*batch, n_z))

    return System(
        f=_tensor(f, name),
        n_x=n_x,
        n_z=n_z,
        name=name,
        derivative=derivative,
        **_read_by(readout, theta, dtype),
    )


def from_cell(
    cell: Callable,
    units: int | tuple[int, ...],
    n_z: int | None = None,
    *,
    order: str = "input, state",
    arguments: tuple = (),
    readout: Callable | None = None,
    name: str | None = None,
    derivative: str | None = None,
    dtype: torch.dtype | None = None,
) -> System:
    """Turn a recurrent cell, called as most libraries call theirs, into a system.

    The cell sees a batch of one axis, whatever the batch axes of the states: they are flattened
    before it and restored after. Its state is one tensor or a tuple of them; the system's lists
    them one after the other. A cell that returns ``(output, state)`` is taken by its state.

    Args:
        cell: a function or module; a module is copied, in evaluation mode.
        units: the size of the state, or of each part of it: 8 for a GRU cell, ``(8, 8)`` for the
            ``(h, c)`` of an LSTM cell.
        n_z: the dimension of the input; by default the cell's own ``input_size``.
        order: "input, state" for ``cell(input, state)``, "state, input" for the other way round.
        arguments: what else it is called with, after these two: the time since the last input of
            a cell in continuous time, say.
        readout: from a state, shape ``(*batch, sum of units)``, to the output; by default all.
        name: what figures and messages call it; by default the cell's class.
        derivative: see `System`.
        dtype: to which a module's floating-point parameters are converted.

    Raises:
        ValueError: another order, sizes with which the cell cannot be called, an order that is not
            that of a cell of torch.
        TypeError: ``cell`` cannot be called.

    Example:
        >>> import torch, rnnlib
        >>> system = rnnlib.from_cell(torch.nn.LSTMCell(2, 4), units=(4, 4))
        >>> system.n_x, system.n_z
        (8, 2)
    """
    if not callable(cell):
        raise TypeError(f"cell is a {type(cell).__name__}; give a module or function to call.")
    if order not in ("input, state", "state, input"):
        raise ValueError(f"order is {order!r}; use 'input, state' or 'state, input'.")
    if isinstance(cell, nn.RNNCellBase) and order == "state, input":
        raise ValueError(
            f"order is {order!r}, but a torch.nn.{type(cell).__name__} is called (input, state); "
            f"leave order out."
        )
    name = name or str(getattr(cell, "__name__", type(cell).__name__))
    if n_z is None:
        n_z = getattr(cell, "input_size", None)
        if not isinstance(n_z, int):
            raise ValueError(f"n_z is None and {name} has no input_size; give n_z.")
    parts = units if isinstance(units, tuple) else (units,)
    for size in parts:
        _check_size("units", size, 1)
    _check_size("n_z", n_z, 1)
    theta, call = _callable("", cell, dtype)
    n_x = sum(parts)

    def f(x, z, theta):
        batch = torch.broadcast_shapes(x.shape[:-1], z.shape[:-1])
        z = z.expand(*batch, n_z).reshape(-1, n_z)
        state = x.expand(*batch, n_x).reshape(-1, n_x).split(parts, dim=-1)
        state = tuple(state) if isinstance(units, tuple) else state[0]
        both = (z, state) if order == "input, state" else (state, z)
        out = call(theta, *both, *arguments)
        new = _state_of(out, len(parts) if isinstance(units, tuple) else None)
        return torch.cat(new, dim=-1).reshape(*batch, n_x)

    system = System(
        f=f, n_x=n_x, n_z=n_z, name=name, derivative=derivative, **_read_by(readout, theta, dtype)
    )
    held = [t for t in theta.values() if t.is_floating_point()]
    likes = held[:1] or [torch.zeros((), dtype=dtype) for dtype in (torch.float64, torch.float32)]
    failure = Exception()
    for like in likes:  # a function does not say in which precision it works
        try:
            with torch.no_grad():
                f(like.new_zeros(2, n_x), like.new_zeros(2, n_z), system.theta)
            return system
        except Exception as error:
            failure = error
    raise ValueError(
        f"{name} cannot be called as cell({order}) with n_z={n_z} and units={units}: {failure}. "
        f'Give the sizes of all parts of its state, as in units=(8, 8) for (h, c), or order="'
        f'state, input", or arguments=(...) for what else it takes, or wrap its step by hand with '
        f"rnnlib.from_step."
    ) from failure


def from_function(
    f: Callable,
    n_x: int,
    theta: Mapping[str, Tensor | float] | None = None,
    name: str = "map",
    *,
    derivative: str | None = None,
) -> System:
    """Turn a Python function ``f(x, theta) -> x'`` into a system without input.

    Args:
        f: takes states of shape ``(*batch, n_x)`` and the parameters by name, returns states.
        n_x: the dimension of the state.
        theta: parameters. A number or a tensor is one scalar parameter per batch element: any
            axes that it has are batch axes.
        name: what figures and messages call it.
        derivative: see `System`; "differences" for a function that torch cannot differentiate.

    Raises:
        ValueError: a parameter is not finite.

    Example:
        >>> import torch, rnnlib
        >>> a = torch.tensor([[0.5], [2.0]])  # two maps at once
        >>> family = rnnlib.from_function(lambda x, theta: theta["a"] * x, 1, {"a": a})
        >>> family.step(torch.ones(1))[:, 0]
        tensor([0.5000, 2.0000])
    """
    _check_size("n_x", n_x, 1)
    theta = {
        key: value if torch.is_tensor(value) else torch.tensor(value, dtype=torch.float64)
        for key, value in (theta or {}).items()
    }
    for key, value in theta.items():
        check_finite(f"theta[{key!r}]", value)
    return System(
        f=_tensor(lambda x, z, theta: f(x, theta), name),
        n_x=n_x,
        theta=theta,
        core=dict.fromkeys(theta, 0),
        name=name,
        derivative=derivative,
    )


def _callable(prefix: str, function: Callable, dtype=None) -> tuple[dict[str, Tensor], Callable]:
    if isinstance(function, nn.Module):
        return as_function(function, prefix, dtype)
    return {}, lambda theta, *arguments: function(*arguments)


def _read_by(readout: Callable | None, theta: dict[str, Tensor], dtype) -> dict:
    """Return the fields ``g`` and ``theta`` of a system with a read-out of its whole state."""
    if readout is None:
        return {"theta": theta}
    if not callable(readout):
        raise TypeError(f"readout is a {type(readout).__name__}; give a module or function.")
    tensors, read = _callable("readout.", readout, dtype)
    return {"g": lambda x, z, theta: read(theta, x), "theta": {**theta, **tensors}}


def _tensor(f: Callable, name: str) -> Callable:
    """Return the transition, which says so if the step returns no tensor."""

    def checked(x, z, theta):
        following = f(x, z, theta)
        if not isinstance(following, Tensor):
            raise TypeError(
                f"the step of {name} returned a {type(following).__name__}; it must return the "
                f"next states as a tensor: torch.from_numpy(...) for an array, from_cell for a "
                f"cell with a tuple of states."
            )
        return following

    return checked


def _state_of(out, parts: int | None) -> tuple[Tensor, ...]:
    """Return the tensors of the new state from what a cell returned."""
    if isinstance(out, (tuple, list)):
        pair = len(out) == 2 and (parts is None or isinstance(out[1], (tuple, list)))
        out = out[1] if pair else out  # (output, state)
    out = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    if len(out) != (parts or 1):
        raise ValueError(f"its state has {len(out)} parts")
    return out


def _refuse_the_input_first(step: Callable, n_x: int, n_z: int) -> None:
    """Raise a ValueError for ``step(input, state)``: of equal sizes they would be swapped."""
    if not n_z:
        return
    call = step.forward if isinstance(step, nn.Module) else step
    try:
        names = list(inspect.signature(call).parameters)[:2]
    except (TypeError, ValueError):  # built in, or scripted
        return
    cell = isinstance(step, nn.RNNCellBase)
    if cell or names[:1] and names[0] in INPUT or len(names) > 1 and names[1] in STATE:
        known = "from_module(step)" if cell else f"from_cell(step, {n_x}, {n_z})"
        raise ValueError(
            f"step is called as step(x, z), the state first, but {type(step).__name__} takes "
            f"({', '.join(names)}): use rnnlib.{known}, or lambda x, z: step(z, x)."
        )


def _check_size(what: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{what} is {value!r}; give a whole number of at least {least}.")

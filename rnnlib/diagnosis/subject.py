"""What a report is about: a network as a system in float64, and the states that its data reach."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rnnlib.diagnosis.budget import Budget, OutOfTime
from rnnlib.dynamics import trajectory
from rnnlib.systems import System, from_module, from_step

STATES = 16  # of those reached on the data, kept as starts


@dataclass(frozen=True)
class Subject:
    """A network and its data.

    Attributes:
        system: in float64, in evaluation mode; a copy.
        inputs: float64, shape ``(time, sequences, n_z)``; None for a system without input.
        states: states reached on the data, shape ``(STATES or fewer, n_x)``, the first from the
            zero state, the others from the data.
        start: the states to begin with, shape ``(sequences, n_x)``.
        layer: the recurrent module, if there is one: what certificates and gradients need.
        notes: what was done to get here, in plain sentences.
    """

    system: System
    inputs: Tensor | None
    states: Tensor
    start: Tensor
    layer: nn.Module | None
    notes: tuple[str, ...]


def subject_of(
    model: nn.Module | System | Callable,
    inputs: Tensor | np.ndarray | None,
    *,
    head: nn.Module | None = None,
    n_x: int | None = None,
    x0: Tensor | None = None,
    budget: Budget | None = None,
) -> Subject:
    """Make a network and its data ready for every question.

    Args:
        model: a recurrent `torch.nn` module, a module that holds one and a head, a `System`, or a
            function that makes one step, ``step(x)`` or ``step(x, z)``; then give ``n_x``.
        inputs: the user's sequences, ``(time, features)``, ``(time, sequences, features)``, or
            with the first two axes swapped where the module is ``batch_first``; None for a system
            without input.
        head: the read-out, if the model has none.
        n_x: the dimension of the state, for a function.
        x0: where to start, shape ``(n_x,)``; zero by default.
        budget: the clock by which running over the data ends early, if there is one.

    Raises:
        TypeError, ValueError: what cannot be taken, with what would work.
    """
    notes: list[str] = []
    system, layer = _system(model, head, n_x, inputs, notes)
    system = system.to(torch.float64)
    data = None if system.n_z == 0 else _sequences(inputs, system, layer, notes)
    if system.n_z == 0 and inputs is not None:
        raise ValueError(f"inputs was given, but {system.name} takes no input; leave it out.")
    sequences = 1 if data is None else data.shape[1]
    device = next(iter(system.theta.values())).device if system.theta else "cpu"
    origin = torch.zeros(system.n_x, dtype=torch.float64, device=device) if x0 is None else x0
    if not torch.isfinite(origin).all():
        raise ValueError("x0 has values that are NaN or infinite; give a finite state.")
    start = origin.expand(sequences, system.n_x)
    states = _reached(system if budget is None else budget.watched(system), start, data, notes)
    return Subject(system, data, states, start, layer, tuple(notes))


def _system(model, head, n_x, inputs, notes):
    if isinstance(model, System):
        if head is not None:
            raise ValueError("head was given with a System; make the system with its read-out.")
        return model, None
    if isinstance(model, nn.Module):
        if model.training and any(
            getattr(m, "p", getattr(m, "dropout", 0.0)) for m in model.modules() if _drops(m)
        ):
            notes.append("The network is in training mode; dropout is off here, as in evaluation.")
        dtypes = {p.dtype for p in model.parameters() if p.is_floating_point()}
        if dtypes - {torch.float64}:
            kinds = ", ".join(sorted(str(d).removeprefix("torch.") for d in dtypes))
            notes.append(f"The weights are {kinds}; all numbers here are of a float64 copy.")
        layers = [m for m in model.modules() if isinstance(m, RECURRENT)]
        system = from_module(model, head, dtype=torch.float64)
        return system, layers[0] if len(layers) == 1 else None
    if callable(model):
        if n_x is None:
            raise ValueError(
                "model is a function, and n_x, the dimension of its state, is None; give n_x, "
                "or make a system with rnnlib.from_step."
            )
        n_z = 0 if inputs is None else torch.as_tensor(inputs).shape[-1]
        return from_step(model, n_x, n_z), None
    raise TypeError(
        f"model is a {type(model).__name__}; it must be a torch.nn module that holds a recurrent "
        f"layer, a System, or a function that makes one step."
    )


RECURRENT = (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell)


def _drops(module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd | nn.RNNBase)


def _sequences(inputs, system, layer, notes) -> Tensor:
    if inputs is None:
        raise ValueError(
            f"inputs is None and {system.name} takes inputs of dimension {system.n_z}; give "
            f"sequences of shape (time, sequences, {system.n_z})."
        )
    data = torch.as_tensor(inputs)
    if data.is_complex() or not (data.is_floating_point() or data.dtype == torch.uint8):
        raise TypeError(
            f"inputs is {data.dtype}; give real numbers, for example inputs.float(), or the "
            f"embedding of your tokens."
        )
    if data.dim() == 1 and system.n_z == 1:
        data = data[:, None]
    if data.dim() not in (2, 3) or data.shape[-1] != system.n_z:
        raise ValueError(
            f"inputs has shape {tuple(data.shape)}; {system.name} reads {system.n_z} numbers a "
            f"step, so it must be (time, sequences, {system.n_z}) or (time, {system.n_z})."
        )
    if data.dim() == 2:
        data = data[:, None]
    elif getattr(layer, "batch_first", False):
        data = data.transpose(0, 1)
        notes.append("The layer is batch_first: the first axis of inputs is read as sequences.")
    if 0 in data.shape:
        raise ValueError(f"inputs has shape {tuple(data.shape)}: there is nothing to read.")
    if not torch.isfinite(data).all():
        raise ValueError(
            f"inputs has {int((~torch.isfinite(data)).sum())} values that are NaN or infinite; "
            f"clean them first."
        )
    return data.detach().to(torch.float64)


def _reached(system: System, start: Tensor, data: Tensor | None, notes: list[str]) -> Tensor:
    """Return the first state and some along the data, as far as there is time to run."""
    time, sequences = (200 if data is None else len(data)), len(start)
    # Of the later half: the first steps are still near the start.
    spread = torch.linspace(time // 2 * sequences, time * sequences - 1, STATES - 1)
    wanted = sorted({divmod(k, sequences) for k in spread.round().long().tolist()})
    kept, last, steps = [], start[:0], 0
    with suppress(OutOfTime):
        for steps, (x, _) in enumerate(trajectory(system, start, time, inputs=data), start=1):
            kept += [x[i] for t, i in wanted if t == steps - 1]
            last = x[:: max(1, sequences // STATES)]
    if steps < time:
        notes.append(
            f"There was time to run over the first {steps} of {time} steps of the data; raise the "
            f"budget."
        )
        kept += list(last)
    kept = torch.stack([start[0], *kept][:STATES])
    finite = torch.isfinite(kept).all(-1)
    if not finite.all():
        notes.append("Some states that the data reach are not finite; they were left out.")
    return kept[finite]

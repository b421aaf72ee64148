"""Record during training what a network settles into.

It takes three lines in any training loop::

    recorder = OrbitRecorder("orbits", inputs, every=10)
    for epoch in range(1, epochs + 1):
        ...
        recorder(epoch, network)

The network is a module ``(z, state) -> (y, state)``, as `torch.nn.LSTM` is.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rnnlib.files import FileError, save_arrays, save_checkpoint
from rnnlib.training.epoch_files import EpochFiles, halved, read_all, whole

CHUNK = 100  # steps per call: torch's layers are at their fastest, and the memory is small


class Samples(NamedTuple):
    """What a recorder has stored.

    Attributes:
        epochs: shape ``(E,)``.
        inputs: the constant inputs, shape ``(inputs, n_in)``.
        orbits: the outputs in steady state, shape ``(E, steps, inputs, states, n_out)``.
    """

    epochs: np.ndarray
    inputs: np.ndarray
    orbits: np.ndarray


class OrbitRecorder(EpochFiles):
    """A callback that stores the steady state under constant inputs, one file per sample.

    Args:
        folder: where to, ``epoch_00010.npz`` and so on; made if needed.
        inputs: the constant inputs, shape ``(inputs, n_in)``.
        every: record at epochs 0, ``every``, ``2 every``, ...
        states: how many random initial states, the same at every sample and input.
        spread: their standard deviation, in every component of the state.
        burn_in: how many steps to run and drop.
        steps: how many steps to keep.
        until: the last epoch to record; None for no end.
        seed: of the initial states.

    A run that goes on from a checkpoint calls ``forget(after=epoch)`` first, which removes the
    samples of the epochs that are trained again.

    Raises:
        ValueError: inputs of another shape, or a count that is no whole number or too small.

    Example:
        >>> import torch, rnnlib
        >>> network, inputs = torch.nn.GRU(2, 3), torch.zeros(1, 2)
        >>> recorder = rnnlib.OrbitRecorder("orbits", inputs, every=10, burn_in=100)
        >>> for epoch in range(21):  # train the network here
        ...     recorder(epoch, network)
        >>> list(recorder.stored())
        [0, 10, 20]
    """

    def __init__(
        self,
        folder: Path | str,
        inputs: Tensor,
        every: int = 10,
        *,
        states: int = 4,
        spread: float = 100.0,
        burn_in: int = 1200,
        steps: int = 400,
        until: int | None = None,
        seed: int = 0,
    ):
        if inputs.dim() != 2:
            raise ValueError(
                f"inputs has shape {tuple(inputs.shape)}; it must be (inputs, n_in), one row per "
                f"constant input."
            )
        super().__init__(folder, ".npz", every, until)
        if not (math.isfinite(spread) and spread >= 0):
            raise ValueError(f"spread is {spread}; it must be a number, at least 0.")
        self.inputs, self.spread, self.seed = inputs, spread, whole("seed", seed, 0)
        self.states, self.steps = whole("states", states, 1), whole("steps", steps, 1)
        self.burn_in = whole("burn_in", burn_in, 0)

    def __call__(self, epoch: int, model: nn.Module) -> None:
        """Store a sample if one is due.

        Args:
            epoch: how many epochs are done.
            model: ``(z, state) -> (y, state)`` with time as first axis, as `torch.nn.LSTM` is.

        Raises:
            ValueError: the model takes the batch as first axis.
            FileError: samples of an earlier run are in the folder.
        """
        if not self.due(epoch):
            return
        path = self.next_path(epoch)
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            orbit = self.orbit(model).cpu()
        finally:
            for module, training in modes:
                module.training = training
        if orbit.dtype == torch.bfloat16:  # numpy has no such type
            orbit = orbit.float()
        inputs = self.inputs.detach().cpu()
        if inputs.dtype == torch.bfloat16:
            inputs = inputs.float()
        save_arrays(path, orbit=orbit.numpy(), inputs=inputs.numpy())

    @torch.no_grad()
    def orbit(self, model: nn.Module) -> Tensor:
        """Return the steady state, shape ``(steps, inputs, states, n_out)``."""
        like = next(model.parameters())
        z = self.inputs.to(like).repeat_interleave(self.states, 0)  # input and state, n_in
        state = self._initial(model, z)
        kept, remaining = [], self.burn_in + self.steps
        while remaining:
            # Chunks end where the burn-in ends
            chunk = min(CHUNK, remaining - self.steps if remaining > self.steps else remaining)
            y, state = model(z.expand(chunk, *z.shape), state)
            remaining -= chunk
            if remaining < self.steps:
                kept.append(y)
        return torch.cat(kept).unflatten(1, (len(self.inputs), self.states))

    def _initial(self, model, z):
        """Return random states of the form that the model's own states have."""
        generator = torch.Generator().manual_seed(self.seed)

        def draw(part):  # layers, input and state, units: each input gets the same states
            shape = (*part.shape[:-2], self.states, part.shape[-1])
            drawn = self.spread * torch.randn(shape, generator=generator)
            return drawn.to(part).repeat(*[1] * (part.dim() - 2), len(self.inputs), 1)

        # As many steps as the batch has not, so that a state tells which axis was the batch
        steps = 2 if len(z) == 1 else 1
        _, state = model(z.expand(steps, *z.shape))
        parts = state if isinstance(state, tuple) else (state,)
        if any(part.shape[-2] != len(z) for part in parts):
            raise ValueError(
                f"model answers {steps} steps of {len(z)} sequences with a state of shape "
                f"{tuple(parts[0].shape)}, whose last axis but one is not {len(z)}. It must take "
                f"time as first axis, (time, batch, n_in): make it with batch_first=False."
            )
        return tuple(map(draw, state)) if isinstance(state, tuple) else draw(state)


def read_samples(folder: Path | str) -> Samples:
    """Read all samples of a folder.

    Raises:
        FileError: there is none, one cannot be read, or they are of more than one recording.
    """
    epochs, (inputs, orbits) = read_all(folder, ("inputs", "orbit"))
    alike = (inputs == inputs[0]).reshape(len(inputs), -1).all(1)
    if not alike.all():
        raise FileError(
            f"{folder} holds samples of two recordings: those of epochs {epochs[0]} and "
            f"{epochs[~alike][0]} have other inputs. Move those of one elsewhere."
        )
    return Samples(epochs, inputs[0], orbits)


def pack_samples(folder: Path, inputs: list[int], steps: int, epochs: list[int]) -> None:
    """Write ``orbits.npz`` from the samples in ``orbits/``: some inputs, the last steps.

    They are in half precision, which keeps 11 bits: enough for a figure, not for a derivative.
    Where an output is too large for it they are in single.

    Args:
        folder: a run's folder.
        inputs: which of the constant inputs to keep.
        steps: how many last steps to keep.
        epochs: those to pack.

    Raises:
        FileError: one of these epochs is missing.
    """
    samples = read_samples(Path(folder) / "orbits")
    rows = rows_of(samples.epochs, epochs, Path(folder) / "orbits")
    save_arrays(
        Path(folder) / "orbits.npz",
        compressed=True,
        epochs=samples.epochs[rows],
        inputs=samples.inputs[inputs],
        orbits=halved(samples.orbits[rows][:, -steps:, inputs]),
    )


def rows_of(found: np.ndarray, wanted: list[int], folder: Path) -> list[int]:
    """Return where the wanted epochs are among those found.

    Raises:
        FileError: one is not among them.
    """
    at = {int(epoch): row for row, epoch in enumerate(found)}
    if holes := [epoch for epoch in wanted if epoch not in at]:
        raise FileError(
            f"{folder} lacks the samples of epochs {', '.join(map(str, holes))}. Restore them from "
            f"a copy, or begin the run anew with --restart."
        )
    return [at[epoch] for epoch in wanted]


class Snapshots(EpochFiles):
    """A callback that stores the weights every so many epochs, ``epoch_00010.pt`` and so on.

    Args:
        folder: where to; made if needed.
        every: at epochs 0, ``every``, ``2 every``, ...
        until: the last epoch to keep.
    """

    def __init__(self, folder: Path, every: int, until: int):
        super().__init__(folder, ".pt", every, until)

    def __call__(self, epoch: int, model: nn.Module) -> None:
        if self.due(epoch):
            save_checkpoint(self.next_path(epoch), model.state_dict())

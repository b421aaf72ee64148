"""Record during training what a network settles into.

It takes three lines in any training loop::

    recorder = OrbitRecorder("orbits", inputs, every=10)
    for epoch in range(1, epochs + 1):
        ...
        recorder(epoch, network)

The network is a module ``(z, state) -> (y, state)``, as `torch.nn.LSTM` is.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rnnlib.files import FileError, save_checkpoint, write

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


class OrbitRecorder:
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

    Raises:
        ValueError: inputs of another shape, or a count that is not positive.
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
        for name, value in (("every", every), ("states", states), ("steps", steps)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1.")
        if burn_in < 0:
            raise ValueError(f"burn_in is {burn_in}; it must be 0 or more.")
        self.folder, self.inputs, self.every = Path(folder), inputs, every
        self.states, self.spread, self.seed = states, spread, seed
        self.burn_in, self.steps = burn_in, steps
        self.until = float("inf") if until is None else until

    def __call__(self, epoch: int, model: nn.Module) -> None:
        """Store a sample if one is due.

        Args:
            epoch: how many epochs are done.
            model: ``(z, state) -> (y, state)`` with time as first axis, as `torch.nn.LSTM` is.
        """
        if epoch % self.every or epoch > self.until:
            return
        was_training = model.training
        model.eval()
        orbit = self.orbit(model).cpu().numpy()
        model.train(was_training)
        self.folder.mkdir(parents=True, exist_ok=True)
        write(
            self.folder / f"epoch_{epoch:05}.npz",
            lambda file: np.savez(file, orbit=orbit, inputs=self.inputs.cpu().numpy()),
        )

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

        _, state = model(z.unsqueeze(0))
        return tuple(map(draw, state)) if isinstance(state, tuple) else draw(state)


def read_samples(folder: Path | str) -> Samples:
    """Read all samples of a folder.

    Raises:
        FileError: there is none, or one cannot be read.
    """
    paths = sorted(Path(folder).glob("epoch_*.npz"))
    if not paths:
        raise FileError(f"{folder} holds no orbit samples (epoch_*.npz); record some first.")
    orbits = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as file:
                orbits.append(file["orbit"])
                inputs = file["inputs"]
        except Exception as error:  # numpy and zipfile raise several kinds
            raise FileError(
                f"orbit sample {path} cannot be read ({error}). Remove it and run again; the "
                f"other samples stay."
            ) from error
    epochs = np.array([int(path.stem.removeprefix("epoch_")) for path in paths])
    return Samples(epochs, inputs, np.stack(orbits))


def pack_samples(folder: Path, inputs: list[int], steps: int) -> None:
    """Write ``orbits.npz`` from the samples in ``orbits/``: some inputs, the last steps.

    They are in half precision, which keeps 11 bits: enough for a figure, not for a derivative.

    Args:
        folder: a run's folder.
        inputs: which of the constant inputs to keep.
        steps: how many last steps to keep.
    """
    samples = read_samples(Path(folder) / "orbits")
    chosen = samples.orbits[:, -steps:, inputs].astype(np.float16)
    write(
        Path(folder) / "orbits.npz",
        lambda file: np.savez_compressed(
            file, epochs=samples.epochs, inputs=samples.inputs[inputs], orbits=chosen
        ),
    )


class Snapshots:
    """A callback that stores the weights every so many epochs, ``epoch_00010.pt`` and so on.

    Args:
        folder: where to; made if needed.
        every: at epochs 0, ``every``, ``2 every``, ...
        until: the last epoch to keep.
    """

    def __init__(self, folder: Path, every: int, until: int):
        self.folder, self.every, self.until = folder, every, until

    def __call__(self, epoch: int, model: nn.Module) -> None:
        if epoch % self.every == 0 and epoch <= self.until:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.folder / f"epoch_{epoch:05}.pt", model.state_dict())

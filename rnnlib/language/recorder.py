"""Record during training what a language model does when it is left alone (section 5.3).

Two ways: under a constant word, and in closed loop, where it reads the words that it chooses.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics import lyapunov_spectrum, simulate
from rnnlib.files import load_arrays, save_arrays
from rnnlib.language.free_running import free_run, recurrence, word_cycles
from rnnlib.language.model import LanguageModel
from rnnlib.tasks import EOS
from rnnlib.training import EpochFiles, halved, read_all, rows_of

HELD = {  # the constant words
    "wikitext-2": (EOS, "the", "is", "Valkyria"),
    "synthetic": (EOS, "the", "sings", "harbour"),
}
SHOWN = {  # the words whose logits are shown, after the mean of all logits
    "wikitext-2": ("is", "<unk>", "Valkyria"),
    "synthetic": ("sings", "the", "harbour"),
}
TEXT = 60  # words of text per sample


class LanguageSamples(NamedTuple):
    """What a `LanguageRecorder` has stored, ``E`` samples in order.

    Attributes:
        epochs: shape ``(E,)``.
        constant: projections under constant words, ``(E, steps, held, states, 1 + shown)``: the
            mean of all logits and the logits of the shown words.
        closed: the same in closed loop, the held word being the first input.
        words: what the closed loop chose, ``(E, burn_in + steps, held, states)``.
        exponent: the largest Lyapunov exponent under each constant word, ``(E, held, states)``, in
            nats per step.
        exponent_error: its standard error.
        period, transient: of the cycle of words, ``(E, held, states)``; see `word_cycles` in
            `rnnlib.language.free_running`.
        residual: how far the state is from recurring with it; see `recurrence` there.
        greedy: a text of most probable words, from the zero state, ``(E, words)``.
        drawn: a text drawn at temperature 1, ``(E, words)``.
    """

    epochs: np.ndarray
    constant: np.ndarray
    closed: np.ndarray
    words: np.ndarray
    exponent: np.ndarray
    exponent_error: np.ndarray
    period: np.ndarray
    transient: np.ndarray
    residual: np.ndarray
    greedy: np.ndarray
    drawn: np.ndarray


class LanguageRecorder(EpochFiles):
    """A callback that stores how the network runs free, one file per sample.

    Args:
        folder: where to, ``epoch_00010.npz`` and so on; made if needed.
        held: the constant words, which are also the first words of closed loops.
        shown: the words whose logits are projected on.
        start: the word that texts begin after.
        every: record at epochs 0, ``every``, ``2 every``, ...
        states: how many random initial states, the same for each word and sample.
        spread: their standard deviation.
        burn_in: how many steps to drop.
        steps: how many to keep.
        exponent_steps: how many steps the exponent is averaged over, in float64.
        seed: of the states and of the drawn text.
    """

    def __init__(
        self,
        folder: Path | str,
        held: Sequence[int],
        shown: Sequence[int],
        start: int,
        *,
        every: int = 1,
        states: int = 5,
        spread: float = 100.0,
        burn_in: int = 1500,
        steps: int = 100,
        exponent_steps: int = 300,
        seed: int = 0,
    ):
        super().__init__(folder, ".npz", every)
        self.held, self.shown, self.start = held, shown, start
        self.states, self.spread, self.seed = states, spread, seed
        self.burn_in, self.steps, self.exponent_steps = burn_in, steps, exponent_steps

    def __call__(self, epoch: int, model: LanguageModel) -> None:
        """Store a sample if one is due; ``model`` is in evaluation mode."""
        if not self.due(epoch):
            return
        path = self.next_path(epoch)
        sample = self.sample(model)
        arrays = {key: value.cpu().numpy() for key, value in sample.items()}
        save_arrays(path, compressed=False, **arrays)

    @torch.no_grad()
    def sample(self, model: LanguageModel) -> dict[str, Tensor]:
        """Return one sample's arrays, see `LanguageSamples`."""
        device = model.bias.device
        held = torch.as_tensor(self.held, device=device)
        system = model.hold(held.unsqueeze(1), self.shown, torch.float32)
        generator = torch.Generator().manual_seed(self.seed)
        x0 = self.spread * torch.randn(self.states, system.n_x, generator=generator)
        x0 = x0.to(device)
        # Under a constant word: all starts of all words at once
        state = simulate(system, x0, self.steps, burn_in=self.burn_in)
        exact = model.hold(held.unsqueeze(1), self.shown)
        spectrum = lyapunov_spectrum(exact, state[-1].double(), self.exponent_steps, k=1)
        # In closed loop: one batch
        first = held.repeat_interleave(self.states)
        starts = x0.repeat(len(held), 1)
        run = free_run(model, first, starts, self.steps, burn_in=self.burn_in, show=self.shown)
        cycles = word_cycles(run.words)
        grid = (len(held), self.states)
        return {
            "constant": system.read(state),
            "closed": run.projections.unflatten(1, grid),
            "words": run.words.int().unflatten(1, grid),
            "exponent": spectrum.exponents[..., 0],
            "exponent_error": spectrum.error[..., 0],
            "period": cycles.period.unflatten(0, grid),
            "transient": cycles.transient.unflatten(0, grid),
            "residual": recurrence(model, run.last, cycles.period).unflatten(0, grid),
            "greedy": self._text(model, 0.0),
            "drawn": self._text(model, 1.0),
        }

    def _text(self, model, temperature):
        device = model.bias.device
        generator = torch.Generator(device).manual_seed(self.seed)
        start = torch.tensor([self.start], device=device)
        zero = torch.zeros(1, model.hold(start).n_x, device=device)
        run = free_run(model, start, zero, TEXT, temperature=temperature, generator=generator)
        return run.words[:, 0].int()


def read_language_samples(folder: Path | str) -> LanguageSamples:
    """Read all samples of a folder.

    Raises:
        FileError: there is none, one cannot be read, or they are of more than one recording.
    """
    epochs, arrays = read_all(folder, LanguageSamples._fields[1:])
    return LanguageSamples(epochs, *arrays)


def pack_language_samples(folder: Path, epochs: list[int]) -> None:
    """Write ``orbits.npz`` from a run's samples, projections in half precision.

    Args:
        folder: of the run.
        epochs: those to pack.

    Raises:
        FileError: one of these epochs is missing.
    """
    samples = read_language_samples(Path(folder) / "orbits")
    rows = rows_of(samples.epochs, epochs, Path(folder) / "orbits")
    packed = {name: values[rows] for name, values in samples._asdict().items()}
    for name in ("constant", "closed"):
        packed[name] = halved(packed[name])
    save_arrays(Path(folder) / "orbits.npz", compressed=True, **packed)


def read_packed(folder: Path | str) -> LanguageSamples:
    """Return a run's samples: while it is on its way those so far, else the packed ones.

    Raises:
        FileError: there are none, or they cannot be read.
    """
    folder = Path(folder)
    path, samples = folder / "orbits.npz", folder / "orbits"
    if not path.exists() or (samples.exists() and not (folder / "done.json").exists()):
        return read_language_samples(samples)
    arrays = load_arrays(path, "Restore it from version control.")
    samples = LanguageSamples(**{name: arrays[name] for name in LanguageSamples._fields})
    return samples._replace(
        constant=samples.constant.astype(np.float32), closed=samples.closed.astype(np.float32)
    )

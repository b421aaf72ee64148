"""The settings that all experiments share, and what they make: task, network, recorders."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from rnnlib.nn import LAYER_PRECISIONS
from rnnlib.runs.experiments.identity import digest
from rnnlib.runs.experiments.settings import check_known, check_settings, setting
from rnnlib.training import (
    EpochFiles,
    OrbitRecorder,
    SequenceModel,
    Settings,
    Snapshots,
    check_model,
    pack_samples,
)

DECAY = (500, 1000, 2000)  # epochs
KEPT_WEIGHTS = ("best", "last")


@contextmanager
def single_precision() -> Iterator[None]:
    """Make float32 torch's default type inside the ``with`` block: the runs' arithmetic."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The settings that all experiments share; see the fields of each.

    The defaults are those of the runs that were stored first; `PRESETS` names the wholes.

    Raises:
        ValueError: an unknown model, a size that is not positive, a value of another type.
    """

    name: ClassVar[str]
    TASK: ClassVar[type]
    PRESETS: ClassVar[dict[str, dict[str, Any]]]

    model: str = setting("lstm", "lstm, slstm, slstm-certified, ornn, ornn-rebased, gru or elman")
    seed: int = setting(0, "of the weights at the start, and of dropout")
    n_hidden: int = setting(200, "units in the recurrent layer")
    epochs: int = setting(4000, "passes over the training data, at most")
    learning_rate: float = setting(1e-3, "Adam's, at the start")
    decay_epochs: tuple[int, ...] = setting((), "after these the learning rate is cut")
    decay_factor: float = setting(0.1, "what the rate is multiplied by when it is cut", added=True)
    clip: float = setting(0.25, "norm to which gradients are cut")
    batch_size: int = setting(10, "sequences per optimizer step")
    stall_epochs: int = setting(
        0,
        "give up when, past the last of decay_epochs, the training loss has kept within "
        "stall_change for so many epochs; 0: never",
        added=True,
    )
    stall_change: float = setting(1e-4, "see stall_epochs", added=True)
    kept_weights: str = setting("best", "which weights are stored: best or last", added=True)
    layer_precision: str = setting(
        "float32",
        "of an LSTM's products in training: float32, bfloat16, or fastest, which is measured when "
        "the run starts",
        added=True,
    )
    record_every: int = setting(10, "epochs between two samples of the steady state")
    record_until: int = setting(4000, "the last epoch to sample")
    record_states: int = setting(4, "random initial states per sample")
    record_burn_in: int = setting(1200, "steps dropped before a sample")
    record_steps: int = setting(400, "steps kept of a sample")

    def __post_init__(self):
        check_model(self.model)
        check_settings(self)
        check_known("a kept_weights", self.kept_weights, KEPT_WEIGHTS)
        check_known("a layer_precision", self.layer_precision, LAYER_PRECISIONS)
        if self.layer_precision == "bfloat16" and "lstm" not in self.model:
            raise ValueError("layer_precision is 'bfloat16', which only LSTMs have; use 'float32'.")

    def __str__(self):
        return f"{self.name} {self.model} seed {self.seed}"

    @classmethod
    def preset(cls, name: str, model: str) -> dict[str, Any]:
        """Return what a preset says for a model; all else has its default.

        Raises:
            ValueError: this experiment has no such preset.
        """
        if name not in cls.PRESETS:
            raise ValueError(
                f"{cls.name} has no preset {name!r}; it has {', '.join(map(repr, cls.PRESETS))}."
            )
        return dict(cls.PRESETS[name])

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for ``config.json``."""
        return {"experiment": self.name, **dataclasses.asdict(self)}

    def changes(self, preset: str = "text") -> dict[str, Any]:
        """Return the settings that differ from a preset's for this model."""
        whole: dict[str, Any] = {"model": self.model} | self.preset(preset, self.model)
        theirs = type(self)(**whole).to_dict()
        return {key: value for key, value in self.to_dict().items() if value != theirs[key]}

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that any change of a setting changes."""
        return digest(self)

    def settings(self) -> Settings:
        """Return how to train."""
        return Settings(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            decay_epochs=self.decay_epochs,
            decay_factor=self.decay_factor,
            clip=self.clip,
            stall_epochs=self.stall_epochs,
            stall_change=self.stall_change,
            seed=self.seed,
        )

    def task(self, device: torch.device | str = "cpu") -> Any:
        """Return the data, on a device, with loss and evaluation."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """Return the network with the weights that ``seed`` draws, the same on every device."""
        with single_precision(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.build()

    def build(self) -> nn.Module:
        """Return a network with weights from torch's own random numbers."""
        task = self.TASK
        sizes = task.n_in, self.n_hidden, task.n_out, task.input_bound
        return SequenceModel(self.model, *sizes, self.layer_precision)

    def recorder(self, folder: Path) -> OrbitRecorder:
        """Return what records orbits under `constant_inputs`, into a run's folder."""
        return OrbitRecorder(
            folder / "orbits",
            self.constant_inputs(),
            self.record_every,
            states=self.record_states,
            burn_in=self.record_burn_in,
            steps=self.record_steps,
            until=self.record_until,
        )

    def callbacks(self, folder: Path, task: Any) -> Sequence[EpochFiles]:
        """Return what records orbits and weights during training, into a run's folder."""
        weights = Snapshots(folder / "snapshots", self.record_every, self.record_until)
        return [self.recorder(folder), weights]

    def pack(self, folder: Path, epochs: list[int]) -> None:
        """Write ``orbits.npz`` from the samples of these epochs in a run's folder."""
        inputs, steps = self.kept()
        pack_samples(folder, inputs, steps, epochs)

    def constant_inputs(self) -> torch.Tensor:
        """Return the inputs under which orbits are recorded, ``(inputs, n_in)``."""
        raise NotImplementedError

    def kept(self) -> tuple[list[int], int]:
        """Return which of these inputs and how many last steps the results keep for figures."""
        raise NotImplementedError

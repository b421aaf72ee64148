"""The experiments of section 5 as frozen settings, with the paper's values as defaults.

A setting that the paper or the authors' scripts do not give says so. ``quick`` are sizes of our own
that run in seconds on a laptop and show the same thing; they stand for no number of the paper.
"""

import dataclasses
import difflib
import hashlib
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from rnnlib.language import (
    HELD,
    PRECISIONS,
    SHOWN,
    LanguageModel,
    LanguageRecorder,
    pack_language_samples,
)
from rnnlib.tasks import (
    EOS,
    N_WORDS,
    SYMBOLS,
    WINDOW_STARTS,
    Language,
    Sine,
    Symbols,
    frequencies,
    one_hot,
)
from rnnlib.training import (
    Callback,
    OrbitRecorder,
    SequenceModel,
    Settings,
    Snapshots,
    check_model,
    pack_samples,
)

PRESETS = ("quick", "middle", "full")
DECAY = (500, 1000, 2000)  # epochs


def setting(default, help: str, *, added: bool = False):
    """Declare a setting with its default and a line of help.

    One that was ``added`` after runs had been stored does not change their hash: it is left out
    of it while it has its default, which is what those runs had.
    """
    return dataclasses.field(default=default, metadata={"help": help, "added": added})


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The settings that all experiments share; see the fields of each.

    Raises:
        ValueError: an unknown model, a size that is not positive, a value of another type.
    """

    name: ClassVar[str]
    TASK: ClassVar[type]
    QUICK: ClassVar[dict[str, Any]]
    MIDDLE: ClassVar[dict[str, Any] | None] = None  # for a processor overnight

    model: str = setting("lstm", "lstm, slstm, slstm-certified, ornn, gru or elman")
    seed: int = setting(0, "of the weights at the start, and of dropout")
    n_hidden: int = setting(200, "units in the recurrent layer")
    epochs: int = setting(4000, "passes over the training data, at most")
    learning_rate: float = setting(1e-3, "Adam's, at the start")
    decay_epochs: tuple[int, ...] = setting((), "after these the learning rate is divided by 10")
    clip: float = setting(0.25, "norm to which gradients are cut")
    batch_size: int = setting(10, "sequences per optimizer step")
    record_every: int = setting(10, "epochs between two samples of the steady state")
    record_until: int = setting(4000, "the last epoch to sample")
    record_states: int = setting(4, "random initial states per sample")
    record_burn_in: int = setting(1200, "steps dropped before a sample")
    record_steps: int = setting(400, "steps kept of a sample")

    def __post_init__(self):
        check_model(self.model)
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, name = getattr(self, field.name), field.name
            if hints[name] is float and type(value) is int:
                object.__setattr__(self, name, float(value))
            elif hints[name] == tuple[int, ...]:
                if not all(type(v) is int for v in value):
                    raise ValueError(f"{name} is {value!r}; it must be a list of epochs.")
                object.__setattr__(self, name, tuple(value))
            elif type(value) is not hints[name]:
                raise ValueError(
                    f"{name} is {value!r}, a {type(value).__name__}; it must be "
                    f"a {hints[name].__name__}."
                )
            if name not in ("seed", "data_seed", "record_burn_in") and type(value) is int:
                if value < 1:
                    raise ValueError(f"{name} is {value}; it must be at least 1.")

    def __str__(self):
        return f"{self.name} {self.model} seed {self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for ``config.json``."""
        return {"experiment": self.name, **dataclasses.asdict(self)}

    def changes(self) -> dict[str, Any]:
        """Return the settings that differ from the full preset's for this model."""
        full = configure(self.name, "full", model=self.model).to_dict()
        ours = self.to_dict()
        return {key: value for key, value in ours.items() if value != full[key]}

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that any change of a setting changes."""
        values = self.to_dict()
        for field in dataclasses.fields(self):
            if field.metadata["added"] and values[field.name] == field.default:
                del values[field.name]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def settings(self) -> Settings:
        """Return how to train."""
        return Settings(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            decay_epochs=self.decay_epochs,
            clip=self.clip,
            seed=self.seed,
        )

    def task(self, device="cpu"):
        """Return the data, on a device, with loss and evaluation."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """Return the network with the weights that ``seed`` draws, the same on every device."""
        task = self.TASK
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return SequenceModel(self.model, task.n_in, self.n_hidden, task.n_out, task.input_bound)

    def callbacks(self, folder: Path, task) -> list[Callback]:
        """Return what records orbits and weights during training, into a run's folder."""
        recorder = OrbitRecorder(
            folder / "orbits",
            self.constant_inputs(),
            self.record_every,
            states=self.record_states,
            burn_in=self.record_burn_in,
            steps=self.record_steps,
            until=self.record_until,
        )
        return [recorder, Snapshots(folder / "snapshots", self.record_every, self.record_until)]

    def pack(self, folder: Path) -> None:
        """Write ``orbits.npz`` from the samples of a run's folder."""
        inputs, steps = self.kept()
        pack_samples(folder, inputs, steps)

    def constant_inputs(self) -> torch.Tensor:
        """Return the inputs under which orbits are recorded, ``(inputs, n_in)``."""
        raise NotImplementedError

    def kept(self) -> tuple[list[int], int]:
        """Return which of these inputs and how many last steps the results keep for figures."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SineExperiment(Experiment):
    """Sine generation, section 5.1."""

    name: ClassVar[str] = "sine"
    TASK: ClassVar[type] = Sine
    QUICK: ClassVar[dict[str, Any]] = {
        "n_hidden": 32,
        "epochs": 300,
        "learning_rate": 5e-3,
        "decay_epochs": (200,),
        "batch_size": 2,
        "n_sequences": 10,
        "length": 64,
        "record_states": 2,
        "record_burn_in": 1600,
        "record_steps": 200,
    }

    n_sequences: int = setting(100, "frequencies, evenly spaced from pi/16 to pi/8")
    length: int = setting(400, "steps per sequence")
    record_inputs: int = setting(10, "constant inputs per sample, evenly spaced")

    def task(self, device="cpu"):
        return Sine(self.n_sequences, self.length, self.batch_size, device)

    def constant_inputs(self):
        return frequencies(self.record_inputs).unsqueeze(-1)

    def kept(self):
        return [min(1, self.record_inputs - 1)], 200  # 0.218 rad per step, as in figure 4


@dataclass(frozen=True, kw_only=True)
class ClassificationExperiment(Experiment):
    """Sequence classification from two relevant symbols, section 5.2."""

    name: ClassVar[str] = "classification"
    TASK: ClassVar[type] = Symbols
    QUICK: ClassVar[dict[str, Any]] = {
        "n_hidden": 20,
        "epochs": 40,
        "n_valid": 500,
        "record_every": 1,
        "record_burn_in": 200,
        "record_steps": 100,
    }

    epochs: int = setting(15000, "passes over the training data, at most")
    learning_rate: float = setting(1e-2, "Adam's, at the start")
    decay_epochs: tuple[int, ...] = setting(DECAY, "after these the rate is divided by 10")
    batch_size: int = setting(100, "sequences per optimizer step")
    record_until: int = setting(400, "the last epoch to sample")
    record_states: int = setting(10, "random initial states per sample")
    record_burn_in: int = setting(400, "steps dropped before a sample")
    length: int = setting(50, "steps per sequence; the paper has 50, 100, 200, 300, 500")
    n_train: int = setting(1000, "training sequences")
    n_valid: int = setting(1000, "validation sequences")
    data_seed: int = setting(0, "of the sequences")

    def __str__(self):
        return f"{self.name} {self.model} length {self.length} seed {self.seed}"

    def task(self, device="cpu"):
        return Symbols(
            self.n_train, self.n_valid, self.length, self.batch_size, self.data_seed, device
        )

    def constant_inputs(self):
        return one_hot(torch.arange(len(SYMBOLS)))

    def kept(self):
        return list(range(len(SYMBOLS))), 40


@dataclass(frozen=True, kw_only=True)
class LanguageExperiment(Experiment):
    """Word-level language modelling, section 5.3."""

    name: ClassVar[str] = "language"
    TASK: ClassVar[type] = Language
    QUICK: ClassVar[dict[str, Any]] = {
        "corpus": "synthetic",
        "n_hidden": 32,
        "dropout": 0.0,
        "epochs": 4,
        "learning_rate": 3e-2,
        "batch_size": 50,
        "window": 20,
        "record_burn_in": 240,
        "record_steps": 60,
    }
    MIDDLE: ClassVar[dict[str, Any] | None] = {
        "n_hidden": 200,
        "epochs": 25,
        "batch_size": 20,
        "dropout": 0.2,
        "precision": "bfloat16",
    }

    corpus: str = setting("wikitext-2", "wikitext-2 or synthetic")
    n_hidden: int = setting(800, "units in the recurrent layer, and size of the embedding")
    epochs: int = setting(300, "passes over the training text, at most; the schedule ends sooner")
    patience: int = setting(7, "epochs without a better validation loss, then the rate is cut")
    dropout: float = setting(0.5, "probability, before and after the recurrent layer")
    batch_size: int = setting(100, "streams side by side")
    window: int = setting(80, "steps that gradients go back")
    precision: str = setting("float32", "of the decoder's products in training, or bfloat16")
    window_start: str = setting(
        "carried", "state in which a window begins: carried from the last one, or zero", added=True
    )
    record_every: int = setting(1, "epochs between two samples of the free run")
    record_until: int = setting(300, "the last epoch to sample")
    record_states: int = setting(5, "random initial states per sample")
    record_burn_in: int = setting(1500, "steps dropped before a sample")
    record_steps: int = setting(100, "steps kept of a sample")

    def __post_init__(self):
        super().__post_init__()
        _known("a corpus", self.corpus, N_WORDS)
        _known("a precision", self.precision, PRECISIONS)
        _known("a window_start", self.window_start, WINDOW_STARTS)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1.")

    def __str__(self):
        return f"{self.name} {self.model} {self.corpus} seed {self.seed}"

    def settings(self):
        return dataclasses.replace(super().settings(), patience=self.patience)

    def task(self, device="cpu"):
        return Language(self.corpus, self.batch_size, self.window, device, self.window_start)

    def network(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            sizes = N_WORDS[self.corpus], self.n_hidden
            return LanguageModel(self.model, *sizes, self.dropout, self.precision)

    def callbacks(self, folder, task):
        index = task.corpus.index
        recorder = LanguageRecorder(
            folder / "orbits",
            [index[word] for word in HELD[self.corpus]],
            [index[word] for word in SHOWN[self.corpus]],
            index[EOS],
            every=self.record_every,
            states=self.record_states,
            burn_in=self.record_burn_in,
            steps=self.record_steps,
        )
        return [recorder]

    def pack(self, folder):
        pack_language_samples(folder)


EXPERIMENTS = {
    kind.name: kind for kind in (SineExperiment, ClassificationExperiment, LanguageExperiment)
}


def configure(experiment: str, preset: str, **changes) -> Experiment:
    """Return an experiment's settings: a preset with changes.

    Args:
        experiment: a name in `EXPERIMENTS`.
        preset: "quick", or "full" for the paper's settings. The language model has "middle" too:
            WikiText-2 at a size that a processor trains overnight. It stands for no number of the
            paper.
        changes: settings that differ; None stands for the preset's value. In the full sine
            experiment the stable LSTM's learning rate decays unless ``decay_epochs`` says
            otherwise, as in the paper.

    Raises:
        ValueError: an unknown experiment, preset or setting, with the nearest name.
    """
    _known("experiment", experiment, EXPERIMENTS)
    _known("preset", preset, PRESETS)
    kind = EXPERIMENTS[experiment]
    changes = {key: value for key, value in changes.items() if value is not None}
    for key in changes:
        _known(f"a setting of {experiment}", key, [f.name for f in dataclasses.fields(kind)])
    values = {"quick": kind.QUICK, "middle": kind.MIDDLE, "full": {}}[preset]
    if values is None:
        raise ValueError(f"{experiment} has no preset 'middle'; it has 'quick' and 'full'.")
    values = dict(values)
    if (experiment, preset) == ("sine", "full") and changes.get("model", "").startswith("slstm"):
        values["decay_epochs"] = DECAY
    return kind(**(values | changes))


def from_dict(values: dict[str, Any]) -> Experiment:
    """Return the settings that `Experiment.to_dict` gave.

    Raises:
        ValueError: see `configure`.
    """
    values = dict(values)
    return configure(values.pop("experiment", None), "full", **values)


def _known(what: str, given, valid) -> None:
    if given not in valid:
        near = difflib.get_close_matches(str(given), list(valid), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{given!r} is not {what}; there are {', '.join(sorted(valid))}.{hint}")

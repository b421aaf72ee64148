"""Word-level language modelling, section 5.3: its settings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from rnnlib.language import (
    BEGINNINGS,
    HELD,
    PRECISIONS,
    SHOWN,
    LanguageModel,
    LanguageRecorder,
    pack_language_samples,
)
from rnnlib.runs.experiments.experiment import Experiment
from rnnlib.runs.experiments.settings import check_known, setting
from rnnlib.tasks import EOS, N_WORDS, REDUCTIONS, WINDOW_STARTS, Language
from rnnlib.training import EpochFiles, Settings


@dataclass(frozen=True, kw_only=True)
class LanguageExperiment(Experiment):
    """Word-level language modelling, section 5.3.

    The text leaves open how the loss is reduced, how the weights begin and how many streams are
    read in evaluation. There, under "text", the choices are ours: the mean, a uniform embedding and
    10 streams. Under "scripts" they are those of the authors' scripts.

    "middle" is WikiText-2 at a size that a processor trains overnight. It stands for no number of
    the paper.
    """

    name: ClassVar[str] = "language"
    TASK: ClassVar[type] = Language
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {
            "corpus": "synthetic",
            "n_hidden": 32,
            "dropout": 0.0,
            "epochs": 4,
            "learning_rate": 3e-2,
            "batch_size": 50,
            "window": 20,
            "record_burn_in": 240,
            "record_steps": 60,
        },
        "middle": {
            "n_hidden": 200,
            "epochs": 25,
            "batch_size": 20,
            "dropout": 0.2,
            "precision": "bfloat16",
        },
        "text": {},
        "scripts": {
            "seed": 2,
            "epochs": 100,
            "window": 70,
            "reduction": "sum",
            "beginning": "torch",
            "evaluation_streams": 100,
        },
    }

    corpus: str = setting("wikitext-2", "wikitext-2 or synthetic")
    n_hidden: int = setting(800, "units in the recurrent layer, and size of the embedding")
    epochs: int = setting(300, "passes over the training text, at most; the schedule ends sooner")
    patience: int = setting(7, "epochs without a better validation loss, then the rate is cut")
    dropout: float = setting(0.5, "probability, before and after the recurrent layer")
    batch_size: int = setting(100, "streams side by side")
    window: int = setting(80, "steps that gradients go back")
    reduction: str = setting("mean", "of the loss over a window's words: mean or sum", added=True)
    beginning: str = setting(
        "uniform",
        "the embedding, which is the decoder, at the start: uniform in [-0.1, 0.1] with biases 0, "
        "or as torch draws them, N(0, 1)",
        added=True,
    )
    evaluation_streams: int = setting(10, "streams side by side in evaluation", added=True)
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
        check_known("a corpus", self.corpus, N_WORDS)
        check_known("a precision", self.precision, PRECISIONS)
        check_known("a window_start", self.window_start, WINDOW_STARTS)
        check_known("a reduction", self.reduction, REDUCTIONS)
        check_known("a beginning", self.beginning, BEGINNINGS)
        if self.dropout >= 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1.")

    def __str__(self):
        return f"{self.name} {self.model} {self.corpus} seed {self.seed}"

    def settings(self) -> Settings:
        return dataclasses.replace(super().settings(), patience=self.patience)

    def task(self, device: torch.device | str = "cpu") -> Language:
        return Language(
            self.corpus,
            self.batch_size,
            self.window,
            device,
            self.window_start,
            reduction=self.reduction,
            evaluation_streams=self.evaluation_streams,
        )

    def build(self) -> LanguageModel:
        sizes = N_WORDS[self.corpus], self.n_hidden
        return LanguageModel(
            self.model, *sizes, self.dropout, self.precision, self.beginning, self.layer_precision
        )

    def callbacks(self, folder: Path, task: Any) -> Sequence[EpochFiles]:
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

    def pack(self, folder: Path, epochs: list[int]) -> None:
        pack_language_samples(folder, epochs)

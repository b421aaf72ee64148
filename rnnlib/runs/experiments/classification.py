"""Sequence classification, section 5.2: its settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from rnnlib.runs.experiments.experiment import DECAY, Experiment
from rnnlib.runs.experiments.settings import check_known, setting
from rnnlib.tasks import DRAWS, SYMBOLS, Symbols, one_hot
from rnnlib.training import EpochFiles

UNTIL = ("solved", "epochs")
# Every epoch, which a run that is solved in a few needs. The last 40 of the paper's 800 steps.
SAMPLED = {"record_every": 1, "record_burn_in": 760, "record_steps": 40}
FEW_SAMPLES = 50


@dataclass(frozen=True, kw_only=True)
class ClassificationExperiment(Experiment):
    """Sequence classification from two relevant symbols, section 5.2.

    Text and scripts differ in units, rate, its decay, the number of epochs and the stop: the
    scripts go through all epochs, also once every validation sequence is classified rightly. Giving
    up a run that fails (``stall_epochs``) is ours in both.
    """

    name: ClassVar[str] = "classification"
    TASK: ClassVar[type] = Symbols
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {
            "n_hidden": 20,
            "epochs": 40,
            "n_valid": 500,
            "record_every": 1,
            "record_burn_in": 200,
            "record_steps": 100,
        },
        "text": {"draw": "scripts", "stall_epochs": 1000, **SAMPLED},
        "scripts": {
            "seed": 2,
            "n_hidden": 50,
            "epochs": 10000,
            "learning_rate": 1e-3,
            "decay_factor": 0.25,
            "length": 200,
            "until": "epochs",
            "kept_weights": "last",
            "draw": "scripts",
            "stall_epochs": 1000,
            **SAMPLED,
        },
    }

    epochs: int = setting(15000, "passes over the training data, at most")
    learning_rate: float = setting(1e-2, "Adam's, at the start")
    decay_epochs: tuple[int, ...] = setting(DECAY, "after these the rate is cut")
    batch_size: int = setting(100, "sequences per optimizer step")
    until: str = setting(
        "solved", "what ends a run: solved (validation accuracy 1) or epochs", added=True
    )
    record_until: int = setting(400, "the last epoch to sample")
    record_states: int = setting(10, "random initial states per sample")
    record_burn_in: int = setting(400, "steps dropped before a sample")
    length: int = setting(50, "steps per sequence; the paper has 50, 100, 200, 300, 500")
    n_train: int = setting(1000, "training sequences")
    n_valid: int = setting(1000, "validation sequences")
    data_seed: int = setting(0, "of the sequences; if not given, the run's seed")
    draw: str = setting(
        "streams",
        "scripts: training and validation sequences as the authors' scripts draw them, from "
        "data_seed and data_seed + 1; streams: from two streams of data_seed",
        added=True,
    )

    def __post_init__(self):
        super().__post_init__()
        check_known("an until", self.until, UNTIL)
        check_known("a draw", self.draw, DRAWS)

    def __str__(self):
        return f"{self.name} {self.model} length {self.length} seed {self.seed}"

    def task(self, device: torch.device | str = "cpu") -> Symbols:
        return Symbols(
            self.n_train,
            self.n_valid,
            self.length,
            self.batch_size,
            self.data_seed,
            device,
            draw=self.draw,
            ends_when_solved=self.until == "solved",
        )

    def callbacks(self, folder: Path, task: Any) -> Sequence[EpochFiles]:
        return [self.recorder(folder)]  # nothing reads snapshots of these networks

    def constant_inputs(self) -> torch.Tensor:
        return one_hot(torch.arange(len(SYMBOLS)))

    def kept(self) -> tuple[list[int], int]:
        """All six inputs: 40 steps of few samples, 8 of many.

        A sample of 8 steps is 3.8 kB in half precision, so 401 of them are at most 1.6 MB.
        """
        samples = 1 + min(self.epochs, self.record_until) // self.record_every
        return list(range(len(SYMBOLS))), 40 if samples <= FEW_SAMPLES else 8

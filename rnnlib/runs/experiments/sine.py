"""Sine generation, section 5.1: its settings."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnlib.runs.experiments.experiment import DECAY, Experiment
from rnnlib.runs.experiments.settings import setting
from rnnlib.tasks import Sine, frequencies


@dataclass(frozen=True, kw_only=True)
class SineExperiment(Experiment):
    """Sine generation, section 5.1.

    In the text the rate is constant but for the stable LSTM. The authors' scripts cut it for every
    model, with seed 2, and go on to epoch 10000, at rates of 1e-6 and less; figure 5 shows 4000.
    """

    name: ClassVar[str] = "sine"
    TASK: ClassVar[type] = Sine
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {
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
        },
        "text": {},
        "scripts": {"seed": 2, "decay_epochs": DECAY},
    }

    n_sequences: int = setting(100, "frequencies, evenly spaced from pi/16 to pi/8")
    length: int = setting(400, "steps per sequence")
    record_inputs: int = setting(10, "constant inputs per sample, evenly spaced")

    @classmethod
    def preset(cls, name: str, model: str) -> dict[str, Any]:
        values = super().preset(name, model)
        if name == "text" and model.startswith("slstm"):
            values["decay_epochs"] = DECAY
        return values

    def task(self, device: torch.device | str = "cpu") -> Sine:
        return Sine(self.n_sequences, self.length, self.batch_size, device)

    def constant_inputs(self) -> torch.Tensor:
        return frequencies(self.record_inputs).unsqueeze(-1)

    def kept(self) -> tuple[list[int], int]:
        return [min(1, self.record_inputs - 1)], 200  # 0.218 rad per step, as in figure 4

"""The experiments of section 5 as frozen settings.

Two presets stand for the paper, each a whole: ``text`` is what it says, ``scripts`` what the
authors' released scripts do. ``quick`` are sizes of our own that run in seconds on a laptop and
show the same thing; they stand for no number of the paper. Neither does any mixture.
"""

import dataclasses
from typing import Any

from rnnlib.runs.experiments.classification import ClassificationExperiment
from rnnlib.runs.experiments.experiment import DECAY, Experiment, single_precision
from rnnlib.runs.experiments.identity import training_settings
from rnnlib.runs.experiments.language import LanguageExperiment
from rnnlib.runs.experiments.settings import check_known
from rnnlib.runs.experiments.sine import SineExperiment
from rnnlib.training import check_model

PRESETS = ("quick", "middle", "text", "scripts", "full")
EXPERIMENTS = {
    kind.name: kind for kind in (SineExperiment, ClassificationExperiment, LanguageExperiment)
}

__all__ = [
    "DECAY",
    "EXPERIMENTS",
    "ClassificationExperiment",
    "Experiment",
    "LanguageExperiment",
    "PRESETS",
    "SineExperiment",
    "configure",
    "from_dict",
    "moved_its_base",
    "single_precision",
    "training_settings",
]


def configure(experiment: str, preset: str, **changes: Any) -> Experiment:
    """Return an experiment's settings: a preset with changes.

    Args:
        experiment: a name in `EXPERIMENTS`.
        preset: "quick"; "text" for the settings of the paper's text, also called "full"; "scripts"
            for those of the authors' scripts. The language model has "middle" too.
        changes: settings that differ; None stands for the preset's value. In sine generation at
            the text's settings the stable LSTM's learning rate decays unless ``decay_epochs`` says
            otherwise, as in the paper. ``data_seed`` is the seed where it is not given.

    Raises:
        ValueError: an unknown experiment, preset or setting, with the nearest name.
    """
    check_known("experiment", experiment, EXPERIMENTS)
    check_known("preset", preset, PRESETS)
    kind = EXPERIMENTS[experiment]
    changes = {key: value for key, value in changes.items() if value is not None}
    _check_names(kind, changes)
    model = changes.get("model", "lstm")
    check_model(model)
    values = kind.preset("text" if preset == "full" else preset, model) | changes
    if "data_seed" in kind.__dataclass_fields__ and "seed" in values:
        values.setdefault("data_seed", values["seed"])
    return kind(**values)


def from_dict(values: dict[str, Any]) -> Experiment:
    """Return the settings that `Experiment.to_dict` gave.

    A setting that is missing was added later, and has its default.

    Raises:
        ValueError: see `configure`.
    """
    values = dict(values)
    experiment = values.pop("experiment", None)
    check_known("experiment", experiment, EXPERIMENTS)
    kind = EXPERIMENTS[experiment]
    _check_names(kind, values)
    if moved_its_base(values):
        raise ValueError(
            "these are settings of an orthogonal RNN whose base moved, stored as 'ornn' when that "
            "was its name; `python -m rnnlib.runs.migration` renames it to 'ornn-rebased'."
        )
    return kind(**values)


def moved_its_base(values: dict[str, Any]) -> bool:
    """Return whether a ``config.json`` is from when "ornn" was the name of the re-based network."""
    return values.get("model") == "ornn" and "decay_factor" not in values


def _check_names(kind, values) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        check_known(f"a setting of {kind.name}", key, names)

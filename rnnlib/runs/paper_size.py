"""The stored classification runs at the paper's size, by length, learning rate and model."""

from pathlib import Path

import pandas as pd

from rnnlib.runs import store
from rnnlib.runs.experiments import configure

VARIED = ("model", "length", "learning_rate")

Key = tuple[int, float]


def paper_size(root: Path | str) -> dict[Key, list[Path]]:
    """Return the runs that differ from the paper's in nothing else, finished or not.

    Args:
        root: the store.

    Returns:
        The folders of the runs that have begun, by length and learning rate, each list in the
        order of model and seed.
    """
    groups: dict[Key, list[Path]] = {}
    for folder in store.find(root, "classification", finished=False):
        config = store.read_config(folder)
        reference = configure(
            "classification", "full", **{name: getattr(config, name) for name in VARIED}
        )
        alike = store.training_settings(config) == store.training_settings(reference)
        if alike and (folder / "history.csv").exists():
            groups.setdefault((config.length, config.learning_rate), []).append(folder)
    return dict(sorted(groups.items()))


def history(folder: Path) -> pd.DataFrame:
    """Return a run's history with its ``model`` and whether it is ``finished``."""
    table = store.read_history(folder)
    table["model"] = store.read_config(folder).model
    table["finished"] = store.is_done(folder)
    return table


def first_of_each(groups: dict[Key, list[Path]]) -> dict[tuple[str, int, float], Path]:
    """Return the finished run of the lowest seed for each model, length and learning rate."""
    found: dict[tuple[str, int, float], Path] = {}
    for key, folders in groups.items():
        for folder in filter(store.is_done, folders):
            found.setdefault((store.read_config(folder).model, *key), folder)
    return found


def longest_recorded(groups: dict[Key, list[Path]], model: str) -> Path | None:
    """Return the finished run of a model with the most recorded epochs, or None."""
    finished = [
        folder
        for folders in groups.values()
        for folder in folders
        if store.is_done(folder) and store.read_config(folder).model == model
    ]
    return max(finished, key=lambda f: len(store.read_orbits(f).epochs), default=None)

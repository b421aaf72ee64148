"""Every number that the paper reports of its trained networks, beside those of the stored runs."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rnnlib.files import read_json
from rnnlib.runs import store
from rnnlib.runs.experiments import ClassificationExperiment, configure, training_settings

NOTHING = pd.Series([np.nan])


class Claim(NamedTuple):
    """A number of the paper.

    Attributes:
        place: where the paper has it.
        experiment: which experiment gives it.
        settings: those that single it out; the others are the paper's.
        quantity: its name in ``done.json``.
        value: what the paper reports.
    """

    place: str
    experiment: str
    settings: dict[str, Any]
    quantity: str
    value: float


class Score(NamedTuple):
    """A claim beside the finished runs at the paper's settings.

    Attributes:
        claim: the paper's number.
        best, last: the quantity at each run's best and at its last epoch, shape ``(runs,)``; what
            is measured once, on the best network, is NaN at the last.
        seeds: of the weights, one per run.
        devices, commits: of the runs, without repetition.
        unfinished: how many epochs each run on its way has done.
        so_far: the quantity at the last of these, shape ``(unfinished,)``; NaN where it comes last.
    """

    claim: Claim
    best: np.ndarray
    last: np.ndarray
    seeds: list[int]
    devices: list[str]
    commits: list[str]
    unfinished: list[int]
    so_far: np.ndarray


SINE = {"lstm": 4.8e-3, "slstm": 0.49, "ornn": 4.1e-3}
LENGTHS = (50, 100, 200, 300, 500)
ACCURACY = {
    "lstm": (1.00, 1.00, 1.00, 0.25, 0.27),
    "slstm": (1.00, 1.00, 0.27, 0.26, 0.26),
    "ornn": (1.000, 1.000, 0.999, 0.995, 0.970),
}
PERPLEXITY = {"lstm": 99.2, "slstm": 118.8, "ornn": 185.3}
CLAIMS = [
    *(Claim("figure 5", "sine", {"model": m}, "mse", value) for m, value in SINE.items()),
    *(
        Claim("table 1", "classification", {"model": m, "length": n}, "valid_accuracy", value)
        for m, row in ACCURACY.items()
        for n, value in zip(LENGTHS, row, strict=True)
    ),
    *(
        Claim("section 5.3", "language", {"model": m}, "test_perplexity", value)
        for m, value in PERPLEXITY.items()
    ),
]


def scores(root: Path | str, claims: list[Claim] = CLAIMS, **changes: Any) -> list[Score]:
    """Compare the paper's numbers with the runs in a store.

    Args:
        root: the store.
        claims: the numbers to compare.
        changes: settings in which the runs are to differ from the paper's, for a second table.

    Returns:
        One score per claim, without runs where there are none.

    Raises:
        FileError: a result that was altered after its run ended.
    """
    return [_score(root, claim, changes) for claim in claims]


def _score(root, claim: Claim, changes: dict[str, Any]) -> Score:
    wanted = configure(claim.experiment, "full", **{**claim.settings, **changes})
    folders = store.find_alike(root, wanted, finished=False)
    done, histories, parts = [], [], []
    for folder in folders:
        if store.is_done(folder):
            store.check(folder)
            done.append(folder)
            parts += read_json(folder / "provenance.json")["parts"]
        elif (folder / "history.csv").exists():
            histories.append(store.read_history(folder))
    marks = [read_json(folder / "done.json") for folder in done]
    return Score(
        claim,
        np.array([mark["best"][claim.quantity] for mark in marks]),
        np.array([mark["last"].get(claim.quantity, np.nan) for mark in marks]),
        [store.read_config(folder).seed for folder in done],
        sorted({part["device"] for part in parts}),
        sorted({part["commit"] or "unknown" for part in parts}),
        [len(history) for history in histories],
        np.array([history.get(claim.quantity, NOTHING).iloc[-1] for history in histories]),
    )


VARIED = ("model", "length", "learning_rate")

Key = tuple[int, float]


def runs_at_paper_size(root: Path | str) -> dict[Key, list[Path]]:
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
        assert isinstance(config, ClassificationExperiment)  # which alone has a length
        alike = training_settings(config) == training_settings(reference)
        if alike and (folder / "history.csv").exists():
            groups.setdefault((config.length, config.learning_rate), []).append(folder)
    return dict(sorted(groups.items()))


def labelled_history(folder: Path) -> pd.DataFrame:
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

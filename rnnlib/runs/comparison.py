"""The paper's 21 numbers beside our runs, cell by cell, with a verdict by a stated rule.

The rule: a number is tested once `ENOUGH` runs at its settings have ended. It agrees if their
median lies within the tolerance of it, and differs if every run lies beyond, all on one side.
Anything else is undecided. Compared is what the paper reports: the accuracy at the stop, the least
running error of the sine, the test perplexity of the best weights.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnlib.files import read_json
from rnnlib.runs import store
from rnnlib.runs.experiments import Experiment, configure, training_settings
from rnnlib.runs.scoreboard import CLAIMS, Claim

ENOUGH = 3  # ended runs
SEEDS = (2, 0, 1, 3, 4)  # in the order in which they are to be run; 2 is the scripts'
# How far from the paper's number still agrees. An accuracy on 1000 sequences has a standard error
# of at most 0.016, and two of them are allowed; what seeds do to the others is not known.
ACCURACY, FACTOR, SHARE = 0.03, 1.5, 0.05
FRESH = {
    "sine": "evaluated_mse",
    "classification": "fresh_accuracy",
    "language": "test_perplexity",
}
ALONG = {"sine": "mse", "classification": "valid_accuracy", "language": "valid_perplexity"}
ENDS = {
    "solved": "solved",
    "epochs": "after all epochs",
    "rate": "at the least rate",
    "stalled": "given up by the stop rule",
}


class Attempt(NamedTuple):
    """One run at a cell's settings.

    Attributes:
        folder: where it is stored.
        config: its settings.
        ended: whether it has ended, and is whole.
        end: why, in words; empty for a run on its way.
        epochs: how many are done.
        at_stop, best: what the history says at the last epoch and at the best one on validation.
        fresh: what the best weights (or the stored ones) do on fresh data; NaN where nobody asked.
        compared: the number that the rule compares with the paper's; NaN for a run on its way.
        seconds: of training; None where unknown.
        commits, devices: of its parts.
        history: the epochs' numbers, shape ``(epochs,)``.
    """

    folder: Path
    config: Experiment
    ended: bool
    end: str
    epochs: int
    at_stop: float
    best: float
    fresh: float
    compared: float
    seconds: float | None
    commits: list[str]
    devices: list[str]
    history: np.ndarray


class Cell(NamedTuple):
    """A number of the paper and the runs at its settings, ended ones first, then by seed."""

    claim: Claim
    preset: str
    config: Experiment
    attempts: list[Attempt]

    @property
    def values(self) -> np.ndarray:
        """The numbers that count: those of ended runs."""
        return np.array([a.compared for a in self.attempts if a.ended])

    @property
    def verdict(self) -> str:
        return verdict(self.claim, self.values)

    @property
    def command(self) -> str:
        """The command that fills the cell."""
        options = "".join(f" --{key} {value}" for key, value in self.claim.settings.items())
        seeds = " ".join(map(str, SEEDS))
        name = self.claim.experiment
        return f"python -m rnnlib run {name} --preset {self.preset}{options} --seed {seeds}"


def verdict(claim: Claim, values: Sequence[float] | np.ndarray) -> str:
    """Return "agrees", "differs", "undecided", or "untested" where no run has ended.

    Args:
        claim: the paper's number.
        values: ours, of the runs that have ended.
    """
    ours = np.asarray(values, dtype=float)
    if len(ours) == 0:
        return "untested"
    if len(ours) < ENOUGH or not np.isfinite(ours).all():
        return "undecided"
    low, high = bounds(claim)
    if low <= np.median(ours) <= high:
        return "agrees"
    return "differs" if (ours < low).all() or (ours > high).all() else "undecided"


def bounds(claim: Claim) -> tuple[float, float]:
    """Return the range in which a number agrees with the paper's."""
    if claim.experiment == "classification":
        return claim.value - ACCURACY, claim.value + ACCURACY
    if claim.experiment == "sine":
        return claim.value / FACTOR, claim.value * FACTOR
    return claim.value * (1 - SHARE), claim.value * (1 + SHARE)


def board(root: Path | str, preset: str, claims: Sequence[Claim] = CLAIMS) -> list[Cell]:
    """Return a cell for each of the paper's numbers.

    Args:
        root: the store.
        preset: "text" or "scripts", whose settings the runs must have.
        claims: the numbers.

    Raises:
        FileError: a result that was altered after its run ended.
    """
    wanted = {}
    for claim in claims:
        wanted[claim.place, *claim.settings.items()] = configure(
            claim.experiment, preset, **claim.settings
        )
    alike = defaultdict(list)
    for name in {claim.experiment for claim in claims}:
        for folder in store.find(root, name, finished=False):
            alike[_key(store.read_config(folder))].append(folder)
    cells = []
    for claim in claims:
        config = wanted[claim.place, *claim.settings.items()]
        attempts = [_attempt(folder, claim) for folder in alike[_key(config)]]
        attempts = [a for a in attempts if a is not None]
        attempts.sort(key=lambda a: (not a.ended, a.config.seed))
        cells.append(Cell(claim, preset, config, attempts))
    return cells


def counts(cells: Sequence[Cell]) -> tuple[int, int]:
    """Return how many numbers are tested, by `ENOUGH` ended runs, and how many of them agree."""
    tested = sum(len(cell.values) >= ENOUGH for cell in cells)
    return tested, sum(cell.verdict == "agrees" for cell in cells)


def _key(config: Experiment) -> tuple:
    return config.name, str(sorted(training_settings(config).items()))


def _attempt(folder: Path, claim: Claim) -> Attempt | None:
    if not (folder / "history.csv").exists():
        return None
    config, ended = store.read_config(folder), store.is_done(folder)
    history = store.read_history(folder)
    provenance = read_json(folder / "provenance.json")
    along = history[ALONG[claim.experiment]].to_numpy()
    ours: dict[str, Any] = {
        "at_stop": along[-1],
        "best": along[_best(config, history)],
        "fresh": np.nan,
        "compared": np.nan,
        "end": "",
    }
    if ended:
        store.check(folder)
        mark = store.read_mark(folder)
        stored = mark[mark.get("stored", "best")]
        best_or_last = mark["last" if claim.experiment == "classification" else "best"]
        ours["fresh"] = stored.get(FRESH[claim.experiment], np.nan)
        ours["compared"] = best_or_last[claim.quantity]
        ours["end"] = ENDS[mark["end"]] if "end" in mark else _end_of_old(config, history)
    return Attempt(
        folder=folder,
        config=config,
        ended=ended,
        epochs=len(history),
        seconds=provenance.get("seconds") or None,
        commits=sorted({part["commit"] or "unknown" for part in provenance["parts"]}),
        devices=sorted({part["device"] for part in provenance["parts"]}),
        history=along,
        **ours,
    )


def _best(config: Experiment, history) -> int:
    return int(history[config.TASK.best].argmin())


def _end_of_old(config: Experiment, history) -> str:
    """The markers of the first runs do not say why they ended; their rules were fewer."""
    if len(history) >= config.epochs:
        return ENDS["epochs"]
    return ENDS["solved" if config.name == "classification" else "rate"]

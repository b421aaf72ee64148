"""The experiments of section 5: settings, runner, store and scoreboard."""

try:
    import filelock  # noqa: F401
    import pandas  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"rnnlib.runs needs {error.name}, which could not be imported. Install what it needs with "
        'pip install "rnnlib[batch]".'
    ) from error

from rnnlib.runs import batch, chapters, comparison, engine, runner, scoreboard, store
from rnnlib.runs.audit import FAULTS, Finding, verify
from rnnlib.runs.comparison import Attempt, Cell, board, counts, verdict
from rnnlib.runs.experiments import EXPERIMENTS, PRESETS, SineExperiment, configure
from rnnlib.runs.language_dynamics import analyse_language, reading_sizes
from rnnlib.runs.loss_jumps import Coincidence, changes_between, coincidence, loss_jumps
from rnnlib.runs.parameters import check_notebook
from rnnlib.runs.precision import Paired, best_value, in_both_precisions, paired
from rnnlib.runs.scoreboard import CLAIMS, SINE, Claim, Score, scores
from rnnlib.runs.sine_dynamics import (
    RESTS,
    analyse_sine,
    coexistence,
    crossing_between,
    observed_input,
    read_crossings,
    read_dynamics,
    read_snapshot,
    sine_runs_at_paper_size,
    snapshots,
)

__all__ = [
    "Paired",
    "best_value",
    "in_both_precisions",
    "paired",
    "Attempt",
    "Cell",
    "board",
    "counts",
    "verdict",
    "CLAIMS",
    "Claim",
    "Coincidence",
    "EXPERIMENTS",
    "FAULTS",
    "Finding",
    "PRESETS",
    "RESTS",
    "SINE",
    "Score",
    "SineExperiment",
    "analyse_language",
    "analyse_sine",
    "batch",
    "changes_between",
    "check_notebook",
    "coexistence",
    "coincidence",
    "comparison",
    "configure",
    "crossing_between",
    "chapters",
    "engine",
    "loss_jumps",
    "observed_input",
    "sine_runs_at_paper_size",
    "read_crossings",
    "read_dynamics",
    "read_snapshot",
    "reading_sizes",
    "runner",
    "scoreboard",
    "scores",
    "snapshots",
    "store",
    "verify",
]

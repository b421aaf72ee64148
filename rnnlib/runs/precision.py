"""Does half precision change a result? The same runs with products in either precision."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from rnnlib.runs import store
from rnnlib.runs.experiments import Experiment


class Paired(NamedTuple):
    """A number of the same seeds in float32 and in bfloat16.

    Attributes:
        float32, bfloat16: the number, seed by seed.
        difference: the mean of bfloat16 less float32.
        interval: of that mean, at 95 %, by Student's t over the seeds.
    """

    float32: np.ndarray
    bfloat16: np.ndarray
    difference: float
    interval: tuple[float, float]

    @property
    def apart(self) -> bool:
        """Whether the seeds tell the precisions apart: the interval leaves zero out."""
        return not self.interval[0] <= 0.0 <= self.interval[1]


def paired(float32: Sequence[float], bfloat16: Sequence[float]) -> Paired:
    """Compare a number over seeds.

    Raises:
        ValueError: fewer than three pairs, or not as many of one as of the other.
    """
    a, b = np.asarray(float32, float), np.asarray(bfloat16, float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(
            f"float32 has shape {a.shape} and bfloat16 {b.shape}; both must be of the same seeds, "
            "three or more."
        )
    d = b - a
    reach = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return Paired(a, b, d.mean(), (d.mean() - reach, d.mean() + reach))


def in_both_precisions(root: Path | str) -> dict[Experiment, list[tuple[Path, Path]]]:
    """Return the ended runs of a store that were made in float32 and in bfloat16 too.

    Args:
        root: the store.

    Returns:
        By settings (with seed 0 and in float32) the folders of each seed, float32 first.
    """
    ended = {c: folder for folder, c in store.entries(root) if store.is_done(folder)}
    found: dict[Experiment, list[tuple[Path, Path]]] = {}
    for config, folder in ended.items():
        other = config.layer_precision == "bfloat16" and replace(config, layer_precision="float32")
        if other and other in ended:
            kind = replace(other, seed=0)
            found.setdefault(kind, []).append((ended[other], folder))
    return found


def best_value(folder: Path, config: Experiment) -> float:
    """Return the number of a run that its task calls best: an error or a loss."""
    return float(store.read_mark(folder)["best"][config.TASK.best])

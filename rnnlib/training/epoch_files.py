"""Files of a training run by epoch: ``epoch_00010.npz`` and so on, in a folder of their own."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from rnnlib.files import FileError, load_arrays

HALF = 65504.0  # the largest number in half precision


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number that is large enough.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}.")
    return int(value)


class EpochFiles:
    """What a callback has stored, a file for each epoch that is due.

    Args:
        folder: where to; made if needed.
        suffix: of the files.
        every: at epochs 0, ``every``, ``2 every``, ...
        until: the last epoch to store; None for no end.

    Raises:
        ValueError: a count that is not a whole number or too small.
    """

    def __init__(self, folder: Path | str, suffix: str, every: int, until: int | None = None):
        self.folder, self.suffix = Path(folder), suffix
        self.every = whole("every", every, 1)
        self.until = float("inf") if until is None else whole("until", until, 0)
        self.begun = False

    def __call__(self, epoch: int, model: nn.Module) -> None:
        """Store what there is of this epoch, if it is due."""
        raise NotImplementedError

    def due(self, epoch: int) -> bool:
        """Return whether this epoch is one to store."""
        return epoch % self.every == 0 and epoch <= self.until

    def stored(self) -> dict[int, Path]:
        """Return the files that are there by epoch, in order."""
        return epochs_in(self.folder, self.suffix)

    def missing(self, last: int) -> list[int]:
        """Return the epochs up to ``last`` that are due and not there."""
        there = self.stored()
        return [epoch for epoch in range(last + 1) if self.due(epoch) and epoch not in there]

    def forget(self, after: int) -> None:
        """Remove the files of later epochs: those of a run that goes on from a checkpoint."""
        for epoch, path in self.stored().items():
            if epoch > after:
                path.unlink()

    def next_path(self, epoch: int) -> Path:
        """Return where this epoch goes.

        Raises:
            FileError: at the first call, if files of an earlier run are in the way.
        """
        last = max(self.stored(), default=-1)
        if not self.begun and last >= epoch:
            raise FileError(
                f"{self.folder} holds samples up to epoch {last} of an earlier run, and this one "
                f"is at epoch {epoch}. Give an empty folder; or, to go on with that run, call "
                f"forget(after={epoch - 1}) first, which removes the samples of later epochs."
            )
        self.begun = True
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"epoch_{epoch:05}{self.suffix}"


def epochs_in(folder: Path | str, suffix: str) -> dict[int, Path]:
    """Return the files of a folder by epoch, in order, also beyond epoch 99999."""
    paths = Path(folder).glob(f"epoch_*{suffix}")
    numbers = {path.name.removeprefix("epoch_").removesuffix(suffix): path for path in paths}
    return dict(sorted((int(number), path) for number, path in numbers.items() if number.isdigit()))


def read_all(folder: Path | str, names: Iterable[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read the same arrays of every sample in a folder.

    Args:
        folder: of the samples.
        names: of the arrays.

    Returns:
        The epochs, and each array with the epoch as a new first axis.

    Raises:
        FileError: there is no sample, one cannot be read, or one is of another recording.
    """
    paths, names = epochs_in(folder, ".npz"), list(names)
    if not paths:
        raise FileError(f"{folder} holds no samples (epoch_*.npz); record some first.")
    rows = []
    for path in paths.values():
        sample = load_arrays(
            path,
            "Restore it from a copy. A run of the store records it again, where it can, when it "
            "is started again; otherwise move the run's folder away and begin it anew.",
        )
        if missing := [name for name in names if name not in sample]:
            raise FileError(f"{path} has no {', '.join(missing)}: it is of another recording.")
        rows.append([sample[name] for name in names])
        shapes = [[array.shape for array in row] for row in (rows[0], rows[-1])]
        if shapes[0] != shapes[1]:
            raise FileError(
                f"{path} is of another recording than the samples before it: its arrays "
                f"{', '.join(names)} have shapes {shapes[1]}, theirs {shapes[0]}. Move the "
                f"samples of one of the two elsewhere."
            )
    return np.array(list(paths)), [np.stack(column) for column in zip(*rows, strict=True)]


def halved(values: np.ndarray) -> np.ndarray:
    """Return values in half precision, or in single where half would make infinities of them."""
    finite = values[np.isfinite(values)]
    fits = finite.size == 0 or np.abs(finite).max() <= HALF
    return values.astype(np.float16 if fits else np.float32)

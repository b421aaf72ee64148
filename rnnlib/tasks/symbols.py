"""Sequence classification from two relevant symbols among distractors (section 5.2).

Symbols are one-hot over p, q, a, b, c, d. Every position holds a distractor (a to d), but for one
position t1 and one position t2, which hold p or q. The class is ``2 first + second`` with p = 0 and
q = 1. Positions count from 1 and are drawn from 10..19 and 40..49, as in the authors' scripts (the
paper prints 10 to 18 for the first).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

SYMBOLS = "pqabcd"
CLASSES = ("pp", "pq", "qp", "qq")
FIRST, SECOND = (10, 19), (40, 49)  # positions, counted from 1, ends included
FRESH, FRESH_STREAM = 5000, 4  # sequences that `Symbols.test` draws, and of which stream


def draw_symbols(count: int, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences and their classes.

    Args:
        count: how many.
        length: steps per sequence, at least 49.
        rng: the source of randomness.

    Returns:
        The symbols' numbers, int64 of shape ``(length, count)``, and the classes ``(count,)``.

    Raises:
        ValueError: too short for the second relevant position, or no sequence.
    """
    _check_sizes(count, length)
    symbols = rng.integers(2, len(SYMBOLS), size=(length, count))
    relevant = rng.integers(0, 2, size=(2, count))  # 0 is p, 1 is q
    for (low, high), which in zip((FIRST, SECOND), relevant, strict=True):
        symbols[rng.integers(low - 1, high, size=count), np.arange(count)] = which
    return torch.from_numpy(symbols), torch.from_numpy(2 * relevant[0] + relevant[1])


def draw_as_scripts(count: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw the very sequences that the authors' scripts draw from a seed.

    One sequence after the other from numpy's legacy generator, whose numbers never change: the
    distractors of all steps, then for each relevant symbol its position and which it is.

    Args:
        count: how many.
        length: steps per sequence, at least 49.
        seed: of ``numpy.random.RandomState``.

    Returns:
        As `draw_symbols`.

    Raises:
        ValueError: see `draw_symbols`.
    """
    _check_sizes(count, length)
    rng = np.random.RandomState(seed)
    symbols, classes = np.empty((length, count), np.int64), np.zeros(count, np.int64)
    for k in range(count):
        symbols[:, k] = 2 + rng.randint(4, size=length)
        for low, high in (FIRST, SECOND):
            position, which = rng.randint(low - 1, high), rng.randint(2)
            symbols[position, k] = which
            classes[k] = 2 * classes[k] + which
    return torch.from_numpy(symbols), torch.from_numpy(classes)


def _check_sizes(count: int, length: int) -> None:
    if length < SECOND[1]:
        raise ValueError(
            f"length is {length}; the second relevant symbol lies at step {SECOND[0]} to "
            f"{SECOND[1]}, so sequences need at least {SECOND[1]} steps."
        )
    if count < 1:
        raise ValueError(f"count is {count}; it must be at least 1.")


def _from_streams(count: int, length: int, seed: int, stream: int) -> tuple[Tensor, Tensor]:
    return draw_symbols(count, length, np.random.default_rng([seed, stream]))


def _from_seeds(count: int, length: int, seed: int, stream: int) -> tuple[Tensor, Tensor]:
    return draw_as_scripts(count, length, seed + stream)


# How training (0) and validation sequences (1) come from one seed
DRAWS: dict[str, Callable[[int, int, int, int], tuple[Tensor, Tensor]]] = {
    "streams": _from_streams,
    "scripts": _from_seeds,
}


def one_hot(symbols: Tensor) -> Tensor:
    """Turn symbols' numbers ``(...)`` into float32 inputs ``(..., 6)``."""
    return nn.functional.one_hot(symbols, len(SYMBOLS)).float()


class Symbols:
    """Classify each sequence from the read-out at its last step.

    Batches come in a fixed order; the loss is the cross entropy summed over the batch.

    Args:
        n_train, n_valid: how many sequences to train on and to validate on.
        length: steps per sequence.
        batch_size: sequences per optimizer step.
        data_seed: of both sets.
        device: where the data lie.
        draw: "streams": training and validation sequences by `draw_symbols` from
            ``default_rng([data_seed, 0])`` and ``default_rng([data_seed, 1])``; "scripts": by
            `draw_as_scripts` from ``data_seed`` and ``data_seed + 1``.
        ends_when_solved: whether training ends once all validation sequences are told rightly.

    Raises:
        ValueError: see `draw_symbols`; a batch size under 1, an unknown ``draw``.
    """

    n_in, n_out, input_bound, carries_state = len(SYMBOLS), len(CLASSES), 1.0, False
    best = "valid_loss"
    fades = True  # the loss is at the last step alone: gradients fade on the way back

    def __init__(
        self,
        n_train: int,
        n_valid: int,
        length: int,
        batch_size: int,
        data_seed: int = 0,
        device: torch.device | str = "cpu",
        *,
        draw: str = "streams",
        ends_when_solved: bool = True,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
        if draw not in DRAWS:
            raise ValueError(f"draw is {draw!r}; it must be {' or '.join(DRAWS)}.")
        train = DRAWS[draw](n_train, length, data_seed, 0)
        valid = DRAWS[draw](n_valid, length, data_seed, 1)
        self.length, self.data_seed, self.ends_when_solved = length, data_seed, ends_when_solved
        self.device, self.evaluated_at_once = device, 10 * batch_size
        self.train = [part.to(device).split(batch_size, dim=-1) for part in train]
        self.valid = [part.to(device).split(self.evaluated_at_once, dim=-1) for part in valid]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return an epoch's batches: inputs ``(length, batch, 6)`` and classes ``(batch,)``."""
        return ((one_hot(s), target) for s, target in zip(*self.train, strict=True))

    def loss(self, y: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor], int]:
        """Return the loss to minimise, the sums for the history, and how many they are over."""
        last = y[-1]  # only the last step counts
        loss = nn.functional.cross_entropy(last, target, reduction="sum")
        right = (last.argmax(-1) == target).sum()
        return loss, {"loss": loss.detach(), "accuracy": right}, len(target)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the mean cross entropy and the accuracy on the validation set."""
        loss, accuracy = self._measure(model, *self.valid)
        return {"valid_loss": loss, "valid_accuracy": accuracy}

    def test(self, model: nn.Module) -> dict[str, float]:
        """Return the same on `FRESH` sequences that neither training nor its end has seen.

        They are drawn by `draw_symbols` from ``default_rng([data_seed, FRESH_STREAM])``, whatever
        the draw of the others. The validation set decides when training ends, so an accuracy of 1
        on it is a selection.
        """
        fresh = _from_streams(FRESH, self.length, self.data_seed, FRESH_STREAM)
        parts = [part.to(self.device).split(self.evaluated_at_once, dim=-1) for part in fresh]
        loss, accuracy = self._measure(model, *parts)
        return {"fresh_loss": loss, "fresh_accuracy": accuracy}

    @torch.no_grad()
    def _measure(self, model, symbols, targets) -> tuple[float, float]:
        loss, right, count = 0.0, 0, 0
        for s, target in zip(symbols, targets, strict=True):
            _, sums, n = self.loss(model(one_hot(s))[0], target)
            loss, right, count = loss + sums["loss"], right + sums["accuracy"], count + n
        return float(loss) / count, int(right) / count

    def solved(self, record: dict[str, float]) -> bool:
        """Return whether all validation sequences are told rightly, if that is to be the end."""
        return self.ends_when_solved and record["valid_accuracy"] == 1

"""Sequence classification from two relevant symbols among distractors (section 5.2).

Symbols are one-hot over p, q, a, b, c, d. Every position holds a distractor (a to d), but for one
position t1 and one position t2, which hold p or q. The class is ``2 first + second`` with p = 0 and
q = 1. Positions count from 1 and are drawn from 10..19 and 40..49, as in the authors' scripts (the
paper prints 10 to 18 for the first).
"""

import numpy as np
import torch
from torch import Tensor, nn

SYMBOLS = "pqabcd"
CLASSES = ("pp", "pq", "qp", "qq")
FIRST, SECOND = (10, 19), (40, 49)  # positions, counted from 1, ends included


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
    if length < SECOND[1]:
        raise ValueError(
            f"length is {length}; the second relevant symbol lies at step {SECOND[0]} to "
            f"{SECOND[1]}, so sequences need at least {SECOND[1]} steps."
        )
    if count < 1:
        raise ValueError(f"count is {count}; it must be at least 1.")
    symbols = rng.integers(2, len(SYMBOLS), size=(length, count))
    relevant = rng.integers(0, 2, size=(2, count))  # 0 is p, 1 is q
    for (low, high), which in zip((FIRST, SECOND), relevant, strict=True):
        symbols[rng.integers(low - 1, high, size=count), np.arange(count)] = which
    return torch.from_numpy(symbols), torch.from_numpy(2 * relevant[0] + relevant[1])


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
        data_seed: of both sets, which are drawn from streams of their own.
        device: where the data lie.

    Raises:
        ValueError: see `draw`; a batch size under 1.
    """

    n_in, n_out, input_bound, carries_state = len(SYMBOLS), len(CLASSES), 1.0, False
    best = "valid_loss"

    def __init__(
        self, n_train: int, n_valid: int, length: int, batch_size: int, data_seed=0, device="cpu"
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
        train = draw_symbols(n_train, length, np.random.default_rng([data_seed, 0]))
        valid = draw_symbols(n_valid, length, np.random.default_rng([data_seed, 1]))
        self.train = [part.to(device).split(batch_size, dim=-1) for part in train]
        self.valid = [part.to(device).split(10 * batch_size, dim=-1) for part in valid]

    def batches(self):
        """Return an epoch's batches: inputs ``(length, batch, 6)`` and classes ``(batch,)``."""
        return ((one_hot(s), target) for s, target in zip(*self.train, strict=True))

    def loss(self, y: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor], int]:
        """Return the loss to minimise, the sums for the history, and how many they are over."""
        last = y[-1]  # only the last step counts
        loss = nn.functional.cross_entropy(last, target, reduction="sum")
        right = (last.argmax(-1) == target).sum()
        return loss, {"loss": loss.detach(), "accuracy": right}, len(target)

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the mean cross entropy and the accuracy on the validation set."""
        loss, right, count = 0.0, 0, 0
        for symbols, target in zip(*self.valid, strict=True):
            _, sums, n = self.loss(model(one_hot(symbols))[0], target)
            loss, right, count = loss + sums["loss"], right + sums["accuracy"], count + n
        return {"valid_loss": float(loss) / count, "valid_accuracy": int(right) / count}

    def solved(self, record: dict[str, float]) -> bool:
        """Return whether every validation sequence is classified rightly."""
        return record["valid_accuracy"] == 1

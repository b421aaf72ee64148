"""The copy task and the adding task: what section 6 names as tests of long memory."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

COPIED, ALPHABET = 10, 8  # symbols to copy, and out of how many


def draw_copying(
    count: int, delay: int, rng: np.random.Generator, copied: int = COPIED, alphabet: int = ALPHABET
) -> tuple[Tensor, Tensor]:
    """Draw sequences of the copy task.

    First come ``copied`` symbols, then ``delay`` blanks, then a mark; from the mark on the
    ``copied`` symbols are to be said again, in their order.

    Args:
        count: how many sequences.
        delay: blanks between the last symbol and the mark.
        rng: the source of randomness.
        copied: how many symbols.
        alphabet: out of how many; the blank has the number ``alphabet`` and the mark the next.

    Returns:
        The symbols' numbers and the targets (blank before the mark), both int64 of shape
        ``(delay + 2 copied, count)``.

    Raises:
        ValueError: a number that is not positive.

    Reference:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); in
        this form: Arjovsky, Shah and Bengio, "Unitary evolution recurrent neural networks", ICML
        2016, section 5.1.
    """
    for name, value in (
        ("count", count),
        ("delay", delay),
        ("copied", copied),
        ("alphabet", alphabet),
    ):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    blank, mark = alphabet, alphabet + 1
    symbols = rng.integers(0, alphabet, size=(copied, count))
    seen = np.full((delay + 2 * copied, count), blank)
    seen[:copied] = symbols
    seen[copied + delay] = mark
    target = np.full_like(seen, blank)
    target[copied + delay :] = symbols
    return torch.from_numpy(seen), torch.from_numpy(target)


def draw_adding(count: int, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of the adding task.

    Each step has a number uniform in [0, 1] and a marker, which is 1 at one step of the first half
    and one of the second and 0 elsewhere; the answer is the sum of the two marked numbers.

    Args:
        count: how many sequences.
        length: steps, at least 2.
        rng: the source of randomness.

    Returns:
        Inputs ``(length, count, 2)``, float32, and answers ``(count,)``. Answering 1 always has
        the mean squared error 1/6.

    Raises:
        ValueError: fewer than 2 steps, or no sequence.

    Reference:
        Hochreiter and Schmidhuber (1997); in this form: Arjovsky, Shah and Bengio (2016), 5.1.
    """
    if length < 2 or count < 1:
        raise ValueError(
            f"length is {length} and count is {count}; there must be at least 2 steps and 1 "
            f"sequence."
        )
    numbers = rng.random((length, count), dtype=np.float32)
    markers = np.zeros_like(numbers)
    half, columns = length // 2, np.arange(count)
    for low, high in ((0, half), (half, length)):
        markers[rng.integers(low, high, size=count), columns] = 1
    answer = (numbers * markers).sum(0)
    return torch.from_numpy(np.stack([numbers, markers], -1)), torch.from_numpy(answer)


class Copying:
    """Say the symbols again after a delay; the loss is the cross entropy, summed over all steps.

    Args:
        n_train, n_valid: how many sequences to train on and to validate on.
        delay: blanks between symbols and mark.
        batch_size: sequences per optimizer step.
        data_seed: of the training set; the validation set has the next one.
        device: where the data lie.
        copied, alphabet: see `draw_copying`.

    Raises:
        ValueError: see `draw_copying`.
    """

    input_bound, carries_state, best = 1.0, False, "valid_loss"

    def __init__(
        self, n_train: int, n_valid: int, delay: int, batch_size: int, data_seed: int = 0,
        device: torch.device | str = "cpu", copied: int = COPIED, alphabet: int = ALPHABET,
    ):  # fmt: skip
        self.n_in, self.n_out, self.copied = alphabet + 2, alphabet + 1, copied
        size = {"copied": copied, "alphabet": alphabet}
        train = draw_copying(n_train, delay, np.random.default_rng(data_seed), **size)
        valid = draw_copying(n_valid, delay, np.random.default_rng(data_seed + 1), **size)
        self.train = [part.to(device).split(batch_size, dim=1) for part in train]
        self.valid = [part.to(device).split(10 * batch_size, dim=1) for part in valid]

    def one_hot(self, symbols: Tensor) -> Tensor:
        """Turn symbols' numbers ``(...)`` into float32 inputs ``(..., n_in)``."""
        return nn.functional.one_hot(symbols, self.n_in).float()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return an epoch's batches: inputs ``(time, batch, n_in)``, targets ``(time, batch)``."""
        return ((self.one_hot(s), target) for s, target in zip(*self.train, strict=True))

    def loss(self, y: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor], int]:
        """Return the loss to minimise, the sums for the history, and how many they are over.

        The accuracy is over the copied symbols alone: blanks are easy.
        """
        loss = nn.functional.cross_entropy(y.flatten(0, 1), target.flatten(), reduction="sum")
        last = slice(-self.copied, None)
        right = (y[last].argmax(-1) == target[last]).double().mean(0).sum()
        per_step = loss.detach() / len(target)
        return loss, {"loss": per_step, "accuracy": right}, target.shape[1]

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the mean cross entropy per step and the accuracy on the validation set."""
        loss, right, count = 0.0, 0.0, 0
        for symbols, target in zip(*self.valid, strict=True):
            _, sums, n = self.loss(model(self.one_hot(symbols))[0], target)
            loss, right = loss + float(sums["loss"]), right + float(sums["accuracy"])
            count += n
        return {"valid_loss": loss / count, "valid_accuracy": right / count}

    def solved(self, record: dict[str, float]) -> bool:
        """Return False: training runs for all epochs."""
        return False


class Adding:
    """Add two marked numbers; the loss is the squared error of the last output, summed.

    Args:
        n_train, n_valid: how many sequences to train on and to validate on.
        length: steps per sequence.
        batch_size: sequences per optimizer step.
        data_seed: of the training set; the validation set has the next one.
        device: where the data lie.

    Raises:
        ValueError: see `draw_adding`.
    """

    n_in, n_out, input_bound, carries_state = 2, 1, 1.0, False
    best = "valid_loss"

    def __init__(
        self, n_train: int, n_valid: int, length: int, batch_size: int, data_seed: int = 0,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        train = draw_adding(n_train, length, np.random.default_rng(data_seed))
        valid = draw_adding(n_valid, length, np.random.default_rng(data_seed + 1))
        self.train, self.valid = (
            [(z.to(device), target.to(device)) for z, target in _batches(*part, size)]
            for part, size in ((train, batch_size), (valid, 10 * batch_size))
        )

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return an epoch's batches: inputs ``(length, batch, 2)`` and answers ``(batch,)``."""
        return iter(self.train)

    def loss(self, y: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor], int]:
        """Return the loss to minimise, the sums for the history, and how many they are over."""
        error = (y[-1, :, 0] - target).square().sum()  # only the last step counts
        return error, {"mse": error.detach()}, len(target)

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the mean squared error on the validation set."""
        total, count = 0.0, 0
        for z, target in self.valid:
            total += float(self.loss(model(z)[0], target)[0])
            count += len(target)
        return {"valid_loss": total / count}

    def solved(self, record: dict[str, float]) -> bool:
        """Return False: training runs for all epochs."""
        return False


def _batches(z: Tensor, target: Tensor, size: int):
    return zip(z.split(size, dim=1), target.split(size), strict=True)

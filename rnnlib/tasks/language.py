"""Word-level language modelling (section 5.3) as a task: predict the next word."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rnnlib.tasks import wikitext
from rnnlib.tasks.corpus import Corpus, streams, windows
from rnnlib.tasks.hidden_markov_language import three_places

CORPORA = ("wikitext-2", "synthetic")
N_WORDS = {"wikitext-2": 33278, "synthetic": 33}
WINDOW_STARTS = ("carried", "zero")
REDUCTIONS = ("mean", "sum")


def load(corpus: str) -> Corpus:
    """Return a corpus by name.

    Args:
        corpus: "wikitext-2", see `rnnlib.tasks.wikitext.load`, or "synthetic", the hidden
            Markov language `three_places`, always the same text.

    Raises:
        ValueError: an unknown corpus.
        WikitextError: WikiText-2 is not at hand or was altered.
    """
    if corpus not in CORPORA:
        raise ValueError(f"corpus is {corpus!r}; there are {', '.join(CORPORA)}.")
    return wikitext.load() if corpus == "wikitext-2" else three_places().corpus()


def perplexity(loss: float) -> float:
    """Return ``exp(loss)`` of a mean cross entropy in nats, infinite where a float has no room."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


class Language:
    """Predict each next word of a corpus, by truncated backpropagation through time.

    The training text is cut into contiguous streams side by side; the state is carried from
    window to window, and is zero when an epoch begins. Or it is zero whenever a window begins, in
    training and in evaluation. The loss is the mean cross entropy of a window, or its sum; what is
    reported is the mean per word.

    Args:
        corpus: a name in `CORPORA`.
        batch_size: how many streams to train on.
        window: how many steps gradients go back.
        device: where the data lie.
        window_start: "carried" or "zero", the state in which a window begins.
        reduction: "mean" or "sum" of the loss over the words of a window. Adam takes the same
            steps but for its small constant; with the sum a gradient's norm is far above the one
            that it is cut to.
        evaluation_streams: how many streams a text is cut into to evaluate on it.

    Raises:
        ValueError, WikitextError: see `load`; an unknown ``window_start`` or ``reduction``.
    """

    best = "valid_loss"

    def __init__(
        self,
        corpus: str,
        batch_size: int,
        window: int,
        device: torch.device | str = "cpu",
        window_start: str = "carried",
        *,
        reduction: str = "mean",
        evaluation_streams: int = 10,
    ):
        if window_start not in WINDOW_STARTS:
            raise ValueError(
                f"window_start is {window_start!r}; it must be {' or '.join(WINDOW_STARTS)}."
            )
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction is {reduction!r}; it must be {' or '.join(REDUCTIONS)}.")
        self.corpus, self.window = load(corpus), window
        self.reduction, self.evaluation_streams = reduction, evaluation_streams
        self.carries_state = window_start == "carried"
        self.checksums = dict(wikitext.SHA256) if corpus == "wikitext-2" else {}
        self.stream = streams(self.corpus.train, batch_size).to(device)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return an epoch's windows: words and the words that follow, each ``(steps, batch)``."""
        return windows(self.stream, self.window)

    @torch.no_grad()
    def entropy(self, model: Any, part: str) -> float:
        """Return the model's mean cross entropy on a part of the corpus, in nats per word.

        Args:
            model: the network, in evaluation mode.
            part: "train", "valid" or "test"; read as ``evaluation_streams`` streams.
        """
        stream = streams(getattr(self.corpus, part), self.evaluation_streams).to(self.stream.device)
        total, count, state = 0.0, 0, None
        for tokens, targets in windows(stream, self.window):
            loss, last = model.loss(tokens, targets, state)
            state = last if self.carries_state else None
            total, count = total + loss * targets.numel(), count + targets.numel()
        return float(total) / count

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the loss and the perplexity on the validation text."""
        loss = self.entropy(model, "valid")
        return {"valid_loss": loss, "valid_perplexity": perplexity(loss)}

    def test(self, model: nn.Module) -> dict[str, float]:
        """Return the perplexity on the test text."""
        return {"test_perplexity": perplexity(self.entropy(model, "test"))}

    def solved(self, record: dict[str, float]) -> bool:
        """Return False: the schedule ends the training."""
        return False

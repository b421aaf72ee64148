"""A corpus of words as three streams of numbers, and how training walks through a stream."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor

EOS = "<eos>"  # stands at each line's end


@dataclass(frozen=True, eq=False)
class Corpus:
    """Three streams of tokens over one list of words.

    Attributes:
        train: int64, shape ``(tokens,)``.
        valid: int64, shape ``(tokens,)``.
        test: int64, shape ``(tokens,)``.
        words: the word that each number stands for.
    """

    train: Tensor
    valid: Tensor
    test: Tensor
    words: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each word."""
        return {word: i for i, word in enumerate(self.words)}

    def encode(self, text: str | Iterable[str]) -> Tensor:
        """Return the numbers of words, int64, shape ``(tokens,)``.

        Args:
            text: words in one string, between spaces, or one by one.

        Raises:
            ValueError: a word that the corpus does not have, with the nearest ones.
        """
        words = text.split() if isinstance(text, str) else list(text)
        for word in words:
            if word not in self.index:
                near = ", ".join(map(repr, difflib.get_close_matches(word, self.words))) or "none"
                raise ValueError(
                    f"text has {word!r}, which is not among the {len(self.words)} words of the "
                    f"corpus; near ones: {near}."
                )
        return torch.tensor([self.index[word] for word in words], dtype=torch.int64)

    def decode(self, tokens: Tensor) -> str:
        """Return the words that numbers stand for, in one string.

        Args:
            tokens: shape ``(tokens,)``.
        """
        return " ".join(self.words[i] for i in tokens.tolist())


def corpus_of(train: str, valid: str, test: str) -> Corpus:
    """Turn three texts into a corpus.

    Words stand between white space, and `EOS` is added at the end of each line. Words are numbered
    in the order in which they first appear over ``train``, ``valid`` and ``test``.
    """
    parts = [_tokens(text) for text in (train, valid, test)]
    words = tuple(dict.fromkeys(chain(*parts)))
    number = {word: i for i, word in enumerate(words)}.__getitem__
    first, second, third = (torch.tensor([number(w) for w in p], dtype=torch.int64) for p in parts)
    return Corpus(first, second, third, words)


def _tokens(text: str) -> list[str]:
    lines = text.split("\n")  # not splitlines, which knows more ends than a file has
    if not lines[-1]:
        lines.pop()
    return [word for line in lines for word in (*line.split(), EOS)]


def streams(tokens: Tensor, batch: int) -> Tensor:
    """Cut a stream into ``batch`` contiguous ones side by side, without the remainder.

    Args:
        tokens: shape ``(tokens,)``.
        batch: how many streams.

    Returns:
        Shape ``(time, batch)``; each column is a stretch of ``tokens``.

    Raises:
        ValueError: fewer than one stream, or fewer than two tokens for each.
    """
    if batch < 1 or len(tokens) < 2 * batch:
        raise ValueError(
            f"batch is {batch} and tokens has {len(tokens)}; each stream needs at least 2, one to "
            f"see and one to predict: take a batch from 1 to {len(tokens) // 2}."
        )
    time = len(tokens) // batch
    return tokens[: time * batch].view(batch, time).t().contiguous()


def windows(stream: Tensor, length: int = 80) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the windows of truncated backpropagation through time, one after the other.

    Every token but the first is a target once. The last window may be shorter.

    Args:
        stream: shape ``(time, batch)``, from `streams`.
        length: how many steps gradients go back.

    Yields:
        ``(tokens, targets)``, both ``(steps, batch)``: each target is the token one step later.

    Raises:
        ValueError: a length under 1.
    """
    if length < 1:
        raise ValueError(f"length is {length}; a window has 1 step or more.")
    for start in range(0, len(stream) - 1, length):
        end = min(start + length, len(stream) - 1)
        yield stream[start:end], stream[start + 1 : end + 1]

"""A reader who knows the rules of a hidden Markov language: the best possible model, and a judge.

A model can give each sentence of the source a good probability and still write some that the
source never would. Where the source is known that can be counted, without a reader's opinion.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlib.tasks.corpus import EOS
from rnnlib.tasks.hidden_markov_language import PAST, PEOPLE, PLACES, VERBS, HiddenMarkovLanguage


class IdealReader:
    """Predicts each next word by Bayes' rule, from all that was read.

    It is not told the language's state. It weighs the states by how well they agree with what it
    has read (the forward algorithm), beginning with their shares of time, so no model has a lower
    expected loss on words of the language. It has the methods of a
    `rnnlib.language.LanguageModel` that measuring a loss needs, and no parameters.

    Args:
        language: whose words it reads.
    """

    def __init__(self, language: HiddenMarkovLanguage):
        self.words = language.words
        self.emission = torch.as_tensor(language.emission)
        self.following = torch.as_tensor(language.following)
        self.stationary = torch.as_tensor(language.stationary)

    def states(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read words and return the weights of the states after each.

        Args:
            tokens: int64, shape ``(time, batch)``.
            state: weights before, shape ``(batch, states)``; the shares of time by default.

        Returns:
            Shape ``(time, batch, states)``, and the last of them.

        Raises:
            ValueError: a word that the language never writes there.
        """
        if state is None:
            state = self.stationary.expand(tokens.shape[1], -1)
        found = []
        for t, words in enumerate(tokens):
            joint = torch.zeros_like(state).scatter_add(
                1, self.following[:, words].T, state * self.emission[:, words].T
            )
            total = joint.sum(-1, keepdim=True)
            if (total == 0).any():
                word = self.words[words[(total == 0).squeeze(-1)][0]]
                raise ValueError(
                    f"tokens has {word!r} at {t}, which the language never writes there; give a "
                    "text of its own."
                )
            state = joint / total
            found.append(state)
        return torch.stack(found), state

    def loss(
        self, tokens: Tensor, targets: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean surprisal of the next words, in nats per word, and the last weights.

        Args:
            tokens: int64, shape ``(time, batch)``.
            targets: the words that follow, of the same shape.
            state: as for `states`.
        """
        weights, state = self.states(tokens, state)
        probability = (weights @ self.emission).gather(-1, targets.unsqueeze(-1))
        return -probability.log().mean(), state


class Judged(NamedTuple):
    """What the source says of a text.

    Attributes:
        sentences: how many whole sentences there are.
        possible: how many of them the source could have written where they stand.
        surprisal: the mean of ``-log p`` of a word in these, given all words before, in nats; NaN
            where there is none. No lower than the entropy rate for a text of the source itself, on
            average, and lower for one that keeps to its commonest words.
    """

    sentences: int
    possible: int
    surprisal: float


def judge(language: HiddenMarkovLanguage, text: Tensor) -> Judged:
    """Judge a text sentence by sentence, each in the light of those before it.

    Where the source cannot have written a word, the rest of its sentence is passed over, and the
    next is read as if nothing were known but that a sentence has ended.

    Args:
        language: the source, with its words numbered as in the text.
        text: shape ``(tokens,)``. What comes before the first end of a sentence, and what follows
            the last, is not judged.
    """
    eos = language.words.index(EOS)
    fresh = language._advance(language.stationary, eos)
    fresh, share = fresh / fresh.sum(), None  # share None: outside a sentence that is judged
    sentences, possible, total, words, pending = 0, 0, 0.0, 0, []
    begun = False
    for word in text.tolist():
        if begun and share is not None:
            share = language._advance(share, word)
            probability = share.sum()
            if probability > 0:
                pending.append(-math.log(probability))
                share = share / probability
            else:
                share = None
        if word == eos:
            if begun:
                sentences += 1
            if share is not None:
                possible, total, words = possible + 1, total + sum(pending), words + len(pending)
            else:
                share = fresh
            begun, pending = True, []
    return Judged(sentences, possible, total / words if words else math.nan)


def told(words: Sequence[str]) -> tuple[int | None, bool | None]:
    """Return the place and the tense that a text of three places has announced last.

    Args:
        words: the text.

    Returns:
        The number of the place in the last heading, and whether the last bracket is an open one,
        so that verbs are in the past; None where the text has no heading, or no bracket.
    """
    place = next((PLACES.index(word) for word in reversed(words) if word in PLACES), None)
    bracket = next((word for word in reversed(words) if word in ("(", ")")), None)
    return place, None if bracket is None else bracket == "("


def implied(words: Sequence[str]) -> tuple[int | None, bool | None]:
    """Return the place and the tense that people and verbs speak of.

    Args:
        words: a cycle of words.

    Returns:
        The number of the place at which all its people are at home, and whether all its verbs are
        in the past; None where there are none, or they disagree.
    """
    places = {i for i, forms in enumerate(PEOPLE) for word in words if word in forms}
    tenses = {forms.index(word) == PAST for forms in VERBS for word in words if word in forms}
    place = places.pop() if len(places) == 1 else None
    return place, tenses.pop() if len(tenses) == 1 else None

"""A small language whose best possible perplexity is known: a hidden Markov source of our own.

It writes of people at three places, for example::

    = harbour = <eos>
    the tall sailors behind a quiet baker sing again <eos>
    ( some sailors waited and sang <eos>
    the hunters slept <eos>
    ) <eos>

Three things reach far. A verb agrees with the head of its subject, past everybody who stands
between. After ``(`` verbs are in the past tense, sentence after sentence, until ``)``. Until the
next heading, the place that the last one names decides who is likely to appear and what they do.

The source is unifilar: a state and the word that it emits determine the next state. So words leave
no doubt about states but the first, and the entropy rate is the mean entropy of a state's words.
"""

import itertools
import math
from bisect import bisect
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from rnnlib.tasks.corpus import EOS, Corpus

Rules = Callable[[Any], Mapping[str, tuple[float, Hashable]]]  # of a state, which is hashable


class HiddenMarkovLanguage:
    """A unifilar hidden Markov source of words.

    Args:
        rules: from a state to the words that it may emit, each with its probability and the state
            that follows.
        start: a state; the others are all that can be reached from it.

    Attributes:
        words: in the order in which they were met.
        emission: the probability of each word in each state, float64, shape ``(states, words)``.
        following: the state after each word, int64, of the same shape.
        stationary: the share of time in each state, shape ``(states,)``.

    Raises:
        ValueError: a state's probabilities that do not add up to 1, or states of which some cannot
            be reached again.

    Reference:
        J. P. Crutchfield and K. Young, "Inferring statistical complexity", Physical Review Letters
        63 (1989), for the entropy rate of such sources.
    """

    def __init__(self, rules: Rules, start: Hashable):
        number, states, tables = {start: 0}, [start], []
        for state in states:  # grows while new states are met
            tables.append(rules(state))
            total = sum(p for p, _ in tables[-1].values())
            if not math.isclose(total, 1):
                raise ValueError(f"rules({state!r}) has probabilities that add up to {total:g}.")
            for _, after in tables[-1].values():
                if after not in number:
                    number[after] = len(states)
                    states.append(after)
        self.words = tuple(dict.fromkeys(word for table in tables for word in table))
        column = {word: i for i, word in enumerate(self.words)}
        self.emission = np.zeros((len(states), len(self.words)))
        self.following = np.zeros(self.emission.shape, dtype=np.int64)
        for s, table in enumerate(tables):
            for word, (p, after) in table.items():
                self.emission[s, column[word]] = p
                self.following[s, column[word]] = number[after]
        self.stationary = self._stationary()

    def _stationary(self) -> np.ndarray:
        n = len(self.emission)
        transition = np.zeros((n, n))  # from, to
        np.add.at(transition, (np.arange(n)[:, None], self.following), self.emission)
        equations = np.vstack([transition.T - np.eye(n), np.ones(n)])
        share, _, rank, _ = np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)
        if rank < n or share.min() <= 1e-12:
            raise ValueError(
                "rules has states that are left for good, so there is no one share of time in "
                "each state; let every state lead back to start."
            )
        return share

    def _advance(self, share: np.ndarray, word: int) -> np.ndarray:
        """Return the shares of the next states, ``(states,)``, jointly with the word emitted."""
        return np.bincount(self.following[:, word], share * self.emission[:, word], len(share))

    def entropy_rate(self) -> float:
        """Return the entropy rate in nats per word: no model can do better on average.

        ``h = sum_s pi_s H(words | s)``, with the stationary shares ``pi``. The best possible
        perplexity is ``exp(h)``.
        """
        return float(-self.stationary @ scipy.special.xlogy(self.emission, self.emission).sum(1))

    def markov_entropy(self, order: int) -> float:
        """Return the entropy in nats of a word given the ``order`` words before it, exactly.

        No model that sees these alone can do better: 0 is for the words' frequencies, 1 for
        bigrams. It falls to the entropy rate as ``order`` grows: what memory earns.

        Args:
            order: how many words are seen. Time and memory grow with the number of such contexts
                that occur.

        Raises:
            ValueError: a negative order.
        """
        if order < 0:
            raise ValueError(f"order is {order}; it must be 0 or more.")
        joint = self.stationary[None]  # context, state
        for _ in range(order):
            longer = [
                self._advance(share, word) for share in joint for word in range(len(self.words))
            ]
            joint = np.stack([share for share in longer if share.any()])
        following = joint @ self.emission  # context, word
        return float(
            -scipy.special.xlogy(following, following / following.sum(1, keepdims=True)).sum()
        )

    def surprisal(self, tokens: Tensor) -> Tensor:
        """Return ``-log p`` of each word given all words before it, by the forward algorithm.

        The mean is what the best possible model reaches on these words: it is not told the state,
        and weighs all that are possible.

        Args:
            tokens: shape ``(tokens,)``.

        Returns:
            float64, shape ``(tokens,)``, in nats.

        Raises:
            ValueError: a word that cannot follow those before it.
        """
        share, found = self.stationary, np.empty(len(tokens))
        for t, word in enumerate(tokens.tolist()):
            share = self._advance(share, word)
            probability = share.sum()
            if probability == 0:
                raise ValueError(
                    f"tokens has {self.words[word]!r} at {t}, which the language never writes "
                    f"there; give a text of its own."
                )
            found[t] = -math.log(probability)
            share = share / probability
        return torch.from_numpy(found)

    def sample(self, tokens: int, rng: np.random.Generator) -> Tensor:
        """Return a text, int64 of shape ``(tokens,)``, from a state drawn from the shares.

        Args:
            tokens: how many words.
            rng: the source of randomness.
        """
        possible = [np.flatnonzero(row) for row in self.emission]
        tables = [
            (row[w].cumsum()[:-1].tolist(), w.tolist(), after[w].tolist())
            for row, after, w in zip(self.emission, self.following, possible, strict=True)
        ]
        state, text = int(rng.choice(len(tables), p=self.stationary)), []
        for u in rng.random(tokens).tolist():
            edges, words, after = tables[state]
            i = bisect(edges, u)
            text.append(words[i])
            state = after[i]
        return torch.tensor(text, dtype=torch.int64)

    def corpus(
        self, train: int = 100_000, valid: int = 10_000, test: int = 10_000, seed: int = 0
    ) -> Corpus:
        """Return three texts as a corpus.

        Args:
            train, valid, test: how many words each.
            seed: of the three, which are drawn from streams of their own.
        """
        sizes = enumerate((train, valid, test))
        first, second, third = (self.sample(n, np.random.default_rng([seed, i])) for i, n in sizes)
        return Corpus(first, second, third, self.words)


PLACES = ("harbour", "forest", "city")
PEOPLE = (("sailor", "sailors"), ("hunter", "hunters"), ("baker", "bakers"))  # one, many
VERBS = (("sings", "sing", "sang"), ("waits", "wait", "waited"), ("sleeps", "sleep", "slept"))
DETERMINERS = (("the", 0.6, "noun"), ("a", 0.2, "noun, one"), ("some", 0.2, "noun, many"))
NUMBERS = {"noun": (0, 1), "noun, one": (0,), "noun, many": (1,)}
AT_HOME = 0.8  # the probability of a place's own people, and of what they do
PAST = 2


class State(NamedTuple):
    """Where a text of `three_places` stands: the place, the tense, what is next, and of whom."""

    place: int
    past: bool
    phase: str
    head: int | None = None  # one or many


def three_places() -> HiddenMarkovLanguage:
    """Return the language of this module's example: 33 words, best perplexity 3.43."""
    return HiddenMarkovLanguage(_rules, State(0, False, "sentence"))


def _rules(state: State) -> dict[str, tuple[float, State]]:
    def to(phase, head=None, **changes):
        return state._replace(phase=phase, head=head, **changes)

    def shares(i):
        return AT_HOME if i == state.place else (1 - AT_HOME) / (len(PLACES) - 1)

    def determiners(total):
        return {word: (total * p, to(noun, state.head)) for word, p, noun in DETERMINERS}

    def verbs(total):
        form = PAST if state.past or state.head is None else state.head  # of one or many
        after = to("after verb", state.head)
        return {forms[form]: (total * shares(i), after) for i, forms in enumerate(VERBS)}

    match state.phase:
        case "sentence" if state.past:
            return {")": (0.2, to("end", past=False)), **determiners(0.8)}
        case "sentence":
            return {"=": (0.1, to("place")), "(": (0.1, to("who", past=True)), **determiners(0.8)}
        case "place":
            others = [i for i in range(len(PLACES)) if i != state.place]
            return {PLACES[i]: (1 / len(others), to("named", place=i)) for i in others}
        case "named":
            return {"=": (1.0, to("end"))}
        case "end":
            return {EOS: (1.0, to("sentence"))}
        case "who":
            return determiners(1.0)
        case "noun" | "noun, one" | "noun, many":
            rules = {word: (0.1, state) for word in ("young", "quiet", "tall")}
            numbers = NUMBERS[state.phase]
            for i, number in itertools.product(range(len(PEOPLE)), numbers):
                head = number if state.head is None else state.head
                rules[PEOPLE[i][number]] = (0.7 * shares(i) / len(numbers), to("after noun", head))
            return rules
        case "after noun":
            beside = {word: (0.15, to("who", state.head)) for word in ("near", "behind")}
            return {**beside, **verbs(0.7)}
        case "verb":
            return verbs(1.0)
        case "after verb":
            again = {word: (0.1, to("end")) for word in ("often", "again")}
            return {EOS: (0.6, to("sentence")), "and": (0.2, to("verb", state.head)), **again}
    raise AssertionError(state)

"""The reader who knows the rules, against the language's own forward algorithm and entropies."""

import numpy as np
import pytest
import torch

from rnnlib.tasks.corpus import streams
from rnnlib.tasks.hidden_markov_language import three_places
from rnnlib.tasks.hidden_markov_reader import IdealReader
from rnnlib.tasks.language import Language


@pytest.fixture(scope="module")
def language():
    return three_places()


def test_its_loss_is_the_surprisal_of_the_forward_algorithm(language):
    reader, rng = IdealReader(language), np.random.default_rng(0)
    words = streams(language.sample(900, rng), 3)
    loss, state = reader.loss(words[:-1], words[1:])
    each = torch.stack([language.surprisal(column)[1:] for column in words.T])
    torch.testing.assert_close(loss, each.mean())
    torch.testing.assert_close(state.sum(-1), torch.ones(3, dtype=torch.float64))


def test_reading_in_two_parts_is_reading_in_one(language):
    reader = IdealReader(language)
    words = streams(language.sample(400, np.random.default_rng(1)), 4)
    weights, last = reader.states(words)
    _, state = reader.states(words[:30])
    rest, again = reader.states(words[30:], state)
    torch.testing.assert_close(rest, weights[30:])
    torch.testing.assert_close(again, last)


def test_a_long_text_leaves_it_in_no_doubt_and_at_the_entropy_rate(language):
    """Hypothesis: the source is unifilar, so words leave no doubt about any state but the first."""
    reader = IdealReader(language)
    assert Language("synthetic", 10, 2000).entropy(reader, "valid") == pytest.approx(
        language.entropy_rate(), abs=0.03
    )
    weights, _ = reader.states(streams(language.sample(3000, np.random.default_rng(2)), 5))
    assert weights[-1].max(-1).values.min() > 1 - 1e-6


def test_a_text_of_another_language_is_an_error(language):
    eos = language.words.index("<eos>")
    with pytest.raises(ValueError, match="tokens has '<eos>' at 1, which the language never"):
        IdealReader(language).states(torch.tensor([[eos], [eos]]))

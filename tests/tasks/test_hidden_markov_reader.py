"""The reader who knows the rules, against the language's own forward algorithm and entropies."""

import math

import numpy as np
import pytest
import torch

from rnnlib.tasks.corpus import EOS, streams
from rnnlib.tasks.hidden_markov_language import three_places
from rnnlib.tasks.hidden_markov_reader import IdealReader, implied, judge, told
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


LANGUAGE = three_places()


def numbers(text):
    return torch.tensor([LANGUAGE.words.index(word) for word in text.split()])


def test_every_sentence_of_the_source_is_possible():
    text = LANGUAGE.sample(5000, np.random.default_rng(0))
    found = judge(LANGUAGE, text)
    ends = int((text == LANGUAGE.words.index(EOS)).sum())
    assert found.sentences == found.possible == ends - 1  # the first is not seen from its start
    assert found.surprisal == pytest.approx(LANGUAGE.entropy_rate(), abs=0.05)


def test_a_sentence_that_breaks_a_rule_is_not_possible_and_the_next_is_judged_afresh():
    text = numbers(f"{EOS} the baker sing {EOS} the baker sings {EOS} the")
    found = judge(LANGUAGE, text)
    assert (found.sentences, found.possible) == (2, 1)


def test_a_sentence_is_judged_in_the_light_of_those_before():
    past = judge(LANGUAGE, numbers(f"{EOS} ( the baker sang {EOS} the baker sings {EOS}"))
    present = judge(
        LANGUAGE, numbers(f"{EOS} ( the baker sang {EOS} ) {EOS} the baker sings {EOS}")
    )
    assert (past.sentences, past.possible) == (2, 1)
    assert (present.sentences, present.possible) == (3, 3)


def test_the_surprisal_is_that_of_the_forward_algorithm():
    start = numbers(EOS)
    sentence = numbers(f"the quiet baker near a hunter sings {EOS}")
    whole = LANGUAGE.surprisal(torch.cat([start, sentence]))
    found = judge(LANGUAGE, torch.cat([start, sentence]))
    assert found.surprisal == pytest.approx(whole[1:].mean().item())


def test_a_text_without_a_whole_sentence_has_no_surprisal():
    found = judge(LANGUAGE, numbers("the baker"))
    assert (found.sentences, found.possible) == (0, 0) and math.isnan(found.surprisal)


def test_the_last_heading_and_the_last_bracket_count():
    words = f"= city = {EOS} ( the baker sang {EOS} = forest = {EOS}".split()
    assert told(words) == (1, True)
    assert told([*words, ")", EOS]) == (1, False)
    assert told(["the", "baker"]) == (None, None)


def test_people_and_verbs_imply_a_place_and_a_tense():
    assert implied(["the", "sailor", "sings", EOS]) == (0, False)
    assert implied(["the", "bakers", "slept", EOS]) == (2, True)
    assert implied(["the", "bakers", "near", "the", "sailors"]) == (None, None)

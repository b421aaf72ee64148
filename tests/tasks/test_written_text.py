import math

import numpy as np
import pytest
import torch

from rnnlib.tasks.corpus import EOS
from rnnlib.tasks.hidden_markov_language import three_places
from rnnlib.tasks.written_text import implied, judge, told

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

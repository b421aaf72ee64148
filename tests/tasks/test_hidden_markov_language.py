"""Hypotheses about the synthetic language: its entropy by several routes, and its grammar."""

import math

import numpy as np
import pytest
import torch

from rnnlib.tasks import hidden_markov_language
from rnnlib.tasks.corpus import EOS
from rnnlib.tasks.hidden_markov_language import PLACES, HiddenMarkovLanguage, three_places

LANGUAGE = three_places()


def text(tokens: int, seed: int = 0) -> torch.Tensor:
    return LANGUAGE.sample(tokens, np.random.default_rng(seed))


def sentences(tokens: int) -> list[list[str]]:
    """Whole sentences, without the first, which may begin in its middle, and the last."""
    words = [LANGUAGE.words[i] for i in text(tokens).tolist()]
    return [line.split() for line in " ".join(words).split(EOS)[1:-1]]


# --- known answers ---


def test_independent_words_have_the_entropy_of_one():
    """Hypothesis: ln 2 for a fair coin, at every order."""
    coin = HiddenMarkovLanguage(lambda s: {"heads": (0.5, s), "tails": (0.5, s)}, 0)
    assert coin.entropy_rate() == pytest.approx(math.log(2))
    assert [coin.markov_entropy(k) for k in range(3)] == pytest.approx([math.log(2)] * 3)


def test_a_markov_chain_needs_one_word():
    """Hypothesis: no two zeros in a row: 2/3 ln 2 from the first order on, H(1/3) at order 0."""
    golden = HiddenMarkovLanguage(
        lambda s: {"1": (0.5, "A"), "0": (0.5, "B")} if s == "A" else {"1": (1.0, "A")}, "A"
    )
    rate = 2 / 3 * math.log(2)
    assert golden.entropy_rate() == pytest.approx(rate)
    assert [golden.markov_entropy(k) for k in (1, 2, 3)] == pytest.approx([rate] * 3)
    assert golden.markov_entropy(0) == pytest.approx(math.log(3) - 2 / 3 * math.log(2))


def test_no_number_of_words_is_enough_for_the_even_process():
    """Hypothesis: ones come in pairs: 2/3 ln 2, approached from above and never reached."""
    even = HiddenMarkovLanguage(
        lambda s: {"0": (0.5, "A"), "1": (0.5, "B")} if s == "A" else {"1": (1.0, "A")}, "A"
    )
    rate = 2 / 3 * math.log(2)
    assert even.entropy_rate() == pytest.approx(rate)
    orders = np.array([even.markov_entropy(k) for k in range(10)])
    assert np.all(orders > rate + 1e-3)
    assert np.all(np.diff(orders) < 1e-12)
    assert orders[-1] < rate + 0.05


# --- the language ---


def test_the_forward_algorithm_finds_the_entropy_rate():
    """Hypothesis: -log p per word of a long text, within four standard errors of blocks."""
    surprisal = LANGUAGE.surprisal(text(60_000)).numpy()
    blocks = surprisal.reshape(60, -1).mean(1)
    error = blocks.std(ddof=1) / math.sqrt(len(blocks))
    assert error < 0.01
    assert abs(blocks.mean() - LANGUAGE.entropy_rate()) < 4 * error


def test_counting_pairs_of_words_finds_the_bigram_entropy():
    """Hypothesis: the frequencies in a long text give orders 0 and 1."""
    tokens = text(300_000).numpy()
    n = len(LANGUAGE.words)
    pairs = np.bincount(tokens[:-1] * n + tokens[1:], minlength=n * n) / (len(tokens) - 1)
    singles = pairs.reshape(n, n).sum(1)

    def entropy(p):
        return -(p[p > 0] * np.log(p[p > 0])).sum()

    assert entropy(singles) == pytest.approx(LANGUAGE.markov_entropy(0), abs=0.01)
    bigram = entropy(pairs) - entropy(singles)
    assert bigram == pytest.approx(LANGUAGE.markov_entropy(1), abs=0.01)


def test_memory_earns_perplexity_beyond_bigrams():
    """Hypothesis: 3.43 at best against 4.93; more words help, and three still miss much."""
    best = math.exp(LANGUAGE.entropy_rate())
    orders = [math.exp(LANGUAGE.markov_entropy(k)) for k in range(4)]
    assert best == pytest.approx(3.43, abs=0.005)
    assert orders[1] == pytest.approx(4.93, abs=0.005)
    assert orders == sorted(orders, reverse=True)
    assert orders[3] > 1.2 * best


def test_the_words_are_few_and_readable():
    """Hypothesis: 30 to 60, with <eos>, all of which are written."""
    assert 30 <= len(LANGUAGE.words) <= 60
    assert EOS in LANGUAGE.words
    assert set(text(20_000).tolist()) == set(range(len(LANGUAGE.words)))


def test_the_example_is_one():
    """Hypothesis: the lines of the module's docstring are a text of the language."""
    lines = [line for line in hidden_markov_language.__doc__.splitlines() if line[:4] == " " * 4]
    assert len(lines) == 5
    tokens = [LANGUAGE.words.index(word) for word in " ".join(lines).split()]
    assert LANGUAGE.surprisal(torch.tensor(tokens)).isfinite().all()


def test_a_heading_names_another_place_than_the_last_one():
    """Hypothesis: = place =, and no place twice in a row."""
    headings = [s for s in sentences(60_000) if "=" in s]
    assert all(len(s) == 3 and s[0] == s[2] == "=" and s[1] in PLACES for s in headings)
    assert len(headings) > 100
    assert all(a[1] != b[1] for a, b in zip(headings, headings[1:], strict=False))


def test_brackets_alternate_and_hold_the_past_tense():
    """Hypothesis: past tense between ( and ), and nowhere else; some stay for many words."""
    past, inside, opened, longest = {"sang", "waited", "slept"}, None, 0, 0
    present = {"sings", "sing", "waits", "wait", "sleeps", "sleep"}
    for t, word in enumerate(w for s in sentences(60_000) for w in s):
        if word in ("(", ")"):
            assert inside in (None, word == ")")
            inside = word == "("
            opened, longest = (t, longest) if inside else (opened, max(longest, t - opened))
        elif inside is not None and word in past | present:
            assert (word in past) == inside
    assert longest > 100


def test_a_verb_agrees_with_the_first_person_of_its_sentence():
    """Hypothesis: whoever stands between; the nearest person often has the other number."""
    people = {w: w.endswith("s") for p in ("sailor", "hunter", "baker") for w in (p, p + "s")}
    verbs = {"sings": 0, "waits": 0, "sleeps": 0, "sing": 1, "wait": 1, "sleep": 1}
    misled = 0
    for sentence in sentences(60_000):
        numbers = [people[w] for w in sentence if w in people]
        for verb in (w for w in sentence if w in verbs):
            assert verbs[verb] == numbers[0]
            misled += verbs[verb] != numbers[-1]
    assert misled > 100


def test_the_seed_decides_and_sizes_do_not_reach_over():
    """Hypothesis: same seed, same texts; a longer train leaves valid and test; no global state."""
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    a, b = LANGUAGE.corpus(500, 200, 100, seed=3), LANGUAGE.corpus(900, 200, 100, seed=3)
    assert (len(a.train), len(a.valid), len(a.test)) == (500, 200, 100)
    torch.testing.assert_close(a.train, b.train[:500])
    torch.testing.assert_close(a.valid, b.valid)
    torch.testing.assert_close(a.test, b.test)
    assert not torch.equal(a.train, LANGUAGE.corpus(500, 200, 100, seed=4).train)
    assert not torch.equal(a.train[:100], a.test)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())
    assert a.words == LANGUAGE.words


# --- bad input ---


def test_rules_that_are_no_stationary_source_are_refused():
    """Hypothesis: probabilities that do not add up, a state that is left for good, a trap."""
    with pytest.raises(ValueError, match="add up to 0.9"):
        HiddenMarkovLanguage(lambda s: {"a": (0.9, s)}, 0)
    with pytest.raises(ValueError, match="left for good"):
        HiddenMarkovLanguage(lambda s: {"a": (1.0, 1)}, 0)
    with pytest.raises(ValueError, match="left for good"):
        HiddenMarkovLanguage(lambda s: {"a": (0.5, s or 1), "b": (0.5, s or 2)}, 0)


def test_a_text_that_the_language_never_writes_is_refused():
    """Hypothesis: the message names word and place."""
    wrong = torch.tensor([LANGUAGE.words.index(w) for w in ("the", "the")])
    with pytest.raises(ValueError, match="'the' at 1"):
        LANGUAGE.surprisal(wrong)
    with pytest.raises(ValueError, match="order is -1"):
        LANGUAGE.markov_entropy(-1)

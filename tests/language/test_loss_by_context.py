"""How far back reading helps: against a language's own entropies, and networks that are known."""

import numpy as np
import pytest
import torch

from rnnlib.language.loss_by_context import GROUPS, loss_by_context
from rnnlib.language.model import LanguageModel
from rnnlib.tasks import HiddenMarkovLanguage, IdealReader


def after_two(state):
    """A word is likely to be the one before the last: 0 and 1, each again after two."""
    old, new = state
    return {"ab"[w]: (0.9 if w == old else 0.1, (new, w)) for w in (0, 1)}


def test_a_reader_who_knows_the_language_falls_from_bigrams_to_the_entropy_rate():
    """Known answer: with one word of context the loss is the bigrams', with two the least."""
    language = HiddenMarkovLanguage(after_two, (0, 0))
    text = language.sample(30_000, np.random.default_rng(0))
    loss = loss_by_context(IdealReader(language), text, [1, 2, 3, 9], stretches=3000, scored=1)
    assert loss.shape == (GROUPS, 4)
    expected = torch.tensor([language.markov_entropy(n) for n in (1, 2, 3, 9)])
    assert expected[0] > expected[1] + 0.3 and expected[1] == pytest.approx(language.entropy_rate())
    error = loss.std(0) / GROUPS**0.5
    assert ((loss.mean(0) - expected).abs() < 4 * error + 1e-6).all() and (error < 0.03).all()
    torch.testing.assert_close(loss[:, 1], loss[:, 3])  # more than two words tell nothing new


def memoryless(n_hidden=5):
    torch.manual_seed(0)
    model = LanguageModel("elman", 11, n_hidden, dropout=0.0).eval()
    with torch.no_grad():
        model.layer.weight_hh_l0.zero_()
    return model


def test_a_network_without_memory_gains_nothing_from_context():
    loss = loss_by_context(memoryless(), torch.randint(11, (900,)), [1, 5, 40], stretches=50)
    assert torch.equal(loss[:, 0], loss[:, 1]) and torch.equal(loss[:, 0], loss[:, 2])


def test_the_words_scored_are_the_same_for_all_lengths_and_cover_the_text():
    """Known answer: without memory the loss is that of the scored words, wherever reading began."""
    model, text = memoryless(), torch.randint(11, (1000,))
    loss = loss_by_context(model, text, [2, 7], stretches=31, scored=3)
    begin = torch.linspace(0, 990, 31, dtype=torch.float64).long()
    for group, places in zip(loss, begin.tensor_split(GROUPS), strict=True):
        logits, _ = model(text[None, :-1].T)
        each = torch.nn.functional.cross_entropy(logits[:, 0], text[1:], reduction="none")
        wanted = torch.stack([each[p + 6 : p + 9] for p in places]).mean()
        torch.testing.assert_close(group, wanted.expand(2))


def test_what_is_never_forgotten_can_do_harm():
    """Hypothesis: a state that adds up drives the logits of a network that trusts it apart."""
    torch.manual_seed(0)
    model = LanguageModel("ornn", 11, 6, dropout=0.0).eval()
    with torch.no_grad():
        model.layer.skew.zero_()  # the recurrent matrix is the identity
        model.layer.bias.zero_()
        model.embedding.weight.copy_(torch.randn(11, 6).abs())
    text = torch.randint(11, (3000,))
    loss = loss_by_context(model, text, [1, 10, 100, 1000], stretches=40).mean(0)
    assert (loss.diff() > 1).all()


@pytest.mark.parametrize(
    ("lengths", "more", "message"),
    [
        ([0, 5], {}, r"lengths is \[0, 5\]; they must increase, from 1"),
        ([5, 2], {}, r"lengths is \[5, 2\]"),
        ([], {}, r"lengths is \[\]"),
        ([1], {"stretches": 9}, "stretches is 9; errors need 10"),
        ([1, 300], {}, "text has 900 words, too few to read 300 and predict 10 at 600 places"),
    ],
)
def test_what_cannot_be_read_is_an_error(lengths, more, message):
    with pytest.raises(ValueError, match=message):
        loss_by_context(memoryless(), torch.zeros(900, dtype=torch.int64), lengths, **more)


def test_progress_is_shown_where_it_is_asked_for(capsys):
    for progress in (False, True):
        loss_by_context(
            memoryless(), torch.randint(11, (200,)), [1, 5], stretches=20, progress=progress
        )
        assert ("loss by context" in capsys.readouterr().err) == progress

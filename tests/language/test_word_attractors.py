import pytest
import torch

from rnnlib.dynamics import trajectory
from rnnlib.language.free_running import free_run
from rnnlib.language.model import LanguageModel
from rnnlib.language.word_attractors import leads, least_rotation, word_attractors


def counter(words=5):
    """Return a network that writes 0, 1, 2, ..., whatever it has read before."""
    model = LanguageModel("elman", words, words, dropout=0.0).double()
    with torch.no_grad():
        model.layer.weight_ih_l0.copy_(torch.eye(words).roll(1, 0))  # word i lights unit i + 1
        model.layer.weight_hh_l0.zero_()
        model.layer.bias_ih_l0.zero_()
        model.layer.bias_hh_l0.zero_()
        model.embedding.weight.copy_(torch.eye(words))
    return model


def test_a_network_that_counts_has_one_attractor_whatever_the_start():
    model = counter()
    x0 = torch.randn(5, 5, dtype=torch.float64)
    (end,) = word_attractors(model, torch.arange(5), x0, 40)
    assert end.words == (0, 1, 2, 3, 4)
    assert (end.share, end.example, end.transient, end.residual) == (1.0, 0, 0, 0.0)
    assert end.lead == pytest.approx(torch.tanh(torch.tensor(1.0)).item())


def test_shares_add_up_to_the_starts_that_have_a_cycle_and_examples_end_in_theirs():
    torch.manual_seed(1)
    model = LanguageModel("lstm", 9, 12, dropout=0.0)
    with torch.no_grad():
        model.layer.weight_hh_l0 *= 4
        model.embedding.weight *= 20
    words, x0 = torch.arange(60) % 9, 3 * torch.randn(60, 24, dtype=torch.float64)
    found = word_attractors(model, words, x0, 300)
    assert len(found) > 1
    assert [end.share for end in found] == sorted((end.share for end in found), reverse=True)
    assert sum(end.share for end in found) <= 1 + 1e-12
    for end in found:
        one = slice(end.example, end.example + 1)
        written = free_run(model, words[one], x0[one], 300).words[-len(end.words) :, 0]
        assert least_rotation(written.tolist()) == end.words


def test_states_that_follow_the_same_words_are_one_cycle_if_the_network_contracts():
    torch.manual_seed(0)
    model = LanguageModel("slstm-certified", 9, 12, dropout=0.0)
    with torch.no_grad():
        model.embedding.weight *= 20
    model.constrain_(1)
    words, x0 = torch.arange(40) % 9, torch.randn(40, 24, dtype=torch.float64)
    ends = word_attractors(model, words, x0, 200)
    assert sum(end.share for end in ends) == pytest.approx(1)
    last = free_run(model, words, x0, 200).last
    states = torch.stack([x for x, _ in trajectory(model.closed_loop(), last, 100)])
    for end in ends:
        met = []
        for start in range(40):
            written = states[:, start, -1].tolist()
            for t in range(50):
                if tuple(written[t : t + len(end.words)]) == end.words:
                    met.append(states[t, start])
                    break
        assert len(met) >= round(40 * end.share)
        assert torch.stack(met).sub(met[0]).abs().max() < 1e-9


@pytest.mark.parametrize("turn", range(4))
def test_a_cycle_has_no_beginning(turn):
    cycle = [2, 1, 3, 1]
    assert least_rotation(cycle[turn:] + cycle[:turn]) == (1, 2, 1, 3)


def test_no_step_has_no_lead():
    last = torch.zeros(2, 6, dtype=torch.float64)
    assert torch.isinf(leads(counter(), last, torch.tensor([0, 0]))).all()


def test_progress_is_shown_where_it_is_asked_for(capsys):
    for progress in (False, True):
        x0 = torch.zeros(5, 5, dtype=torch.float64)
        word_attractors(counter(), torch.arange(5), x0, 40, progress=progress)
        assert ("40/40" in capsys.readouterr().err) == progress

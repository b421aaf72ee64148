import math

import pytest
import torch

from rnnlib.language.free_running import free_run
from rnnlib.language.model import LanguageModel
from rnnlib.language.random_loop import Merging, after_reading, drawn_texts, merging, random_loop

F64 = torch.float64


def network(model="lstm", scale=10.0):
    torch.manual_seed(0)
    found = LanguageModel(model, 7, 10, dropout=0.0)
    with torch.no_grad():
        found.embedding.weight *= scale
    found.constrain_(1)
    return found.eval()


def memoryless(logits):
    """Return a network whose logits are always the same."""
    model = LanguageModel("elman", len(logits), 2, dropout=0.0).eval()
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.bias.copy_(torch.as_tensor(logits))
    return model


def test_without_noise_the_random_loop_is_the_closed_loop():
    model = network()
    start = torch.cat([torch.randn(3, 20, dtype=F64), torch.zeros(3, 1, dtype=F64)], dim=1)
    drawn = drawn_texts(model, start, torch.zeros(1, dtype=F64), 30, burn_in=5)
    run = free_run(model, torch.zeros(3, dtype=torch.int64), start[:, :-1], 30, burn_in=5)
    assert torch.equal(drawn.words[:, 0], run.words[5:])
    torch.testing.assert_close(drawn.mean_logit[:, 0], run.projections[..., 0])
    assert drawn.entropy.item() == 0


def test_words_are_drawn_with_the_probabilities_of_the_softmax_at_the_temperature():
    logits, temperature = torch.tensor([0.0, 1.0, -0.5, 0.3]), torch.tensor([0.5, 2.0], dtype=F64)
    drawn = drawn_texts(memoryless(logits), torch.zeros(400, 3, dtype=F64), temperature, 100)
    for k in range(2):
        share = torch.bincount(drawn.words[:, k].flatten(), minlength=4) / 40_000
        expected = (logits.double() / temperature[k]).softmax(0)
        assert (share - expected).abs().max() < 5 * math.sqrt(0.25 / 40_000)
        assert drawn.entropy[k].item() == pytest.approx(
            torch.special.entr(expected).sum().item(), rel=1e-6
        )


def test_two_copies_with_the_same_noise_agree_as_often_as_the_race_of_exponentials_says():
    model = memoryless([0.0, 0.0, 0.0])  # a copy's logits are its state
    with torch.no_grad():
        model.embedding.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        model.layer.weight_hh_l0.copy_(100 * torch.eye(2))  # states at -1, 0 and 1 stay there
        model.layer.weight_ih_l0.zero_()
        model.layer.bias_ih_l0.zero_()
        model.layer.bias_hh_l0.zero_()
    copies = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], dtype=F64)
    found = merging(model, copies.expand(200, 2, 3), torch.ones(1, dtype=F64), 100)
    agree = found.same.double().mean().item()
    p, q = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, -1.0, 0.0])
    rivals = torch.maximum((p - p[:, None]).exp(), (q - q[:, None]).exp())
    formula = (1 / rivals.sum(1)).sum().item()
    assert agree == pytest.approx(formula, abs=5 * math.sqrt(0.25 / 20_000))
    assert formula >= math.exp(-1)  # differences of logits differ by 1 at most


def test_copies_of_a_contraction_merge_once_there_is_noise():
    model = network("slstm-certified", scale=30.0)
    pairs = torch.cat([torch.randn(20, 2, 20, dtype=F64), torch.zeros(20, 2, 1, dtype=F64)], -1)
    pairs[:, 1, -1] = 3
    found = merging(model, pairs, torch.tensor([1.0, 2.0], dtype=F64), 400)
    assert found.time.isfinite().all()
    assert found.apart.max() < 1e-12
    share = found.share_apart()
    assert (share.diff(dim=0) <= 0).all() and (share[-1] == 0).all()


def test_copies_in_the_same_state_are_never_apart():
    pairs = torch.randn(4, 1, 21, dtype=F64).repeat(1, 2, 1)
    pairs[..., -1] = 2
    found = merging(network(), pairs, torch.tensor([0.0, 1.0], dtype=F64), 100)
    assert (found.time == 0).all() and (found.apart == 0).all()


def test_the_time_counts_the_words_up_to_the_last_different_one():
    same = torch.ones(100, 1, 3, dtype=torch.bool)
    same[[0, 4], 0, 1] = False
    same[80, 0, 2] = False  # so late that nothing is known
    time = Merging(same, torch.zeros(1, 3)).time
    assert time.tolist() == [[0, 5, math.inf]]


def test_a_loop_after_reading_goes_on_where_the_network_stands():
    model = network().double()
    text = torch.randint(7, (12, 5))
    start = after_reading(model, text)
    _, state = model.states(text)
    x = model.closed_loop().step(start)
    torch.testing.assert_close(x[:, :-1], torch.cat([state[0][0], state[1][0]], dim=-1))


@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_a_temperature_below_zero_is_refused(value):
    with pytest.raises(ValueError, match="temperature"):
        random_loop(network(), torch.tensor([value], dtype=F64), (1,))


def test_pairs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="pairs"):
        merging(network(), torch.zeros(4, 3, 21, dtype=F64), torch.zeros(1, dtype=F64), 10)

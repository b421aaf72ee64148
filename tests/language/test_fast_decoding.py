"""Hypotheses about fast decoding: the same words as the plain loop, whatever the weights are."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnlib import simulate
from rnnlib.language import fast_decoding
from rnnlib.language.fast_decoding import PackedMatrix, Screened, fast_closed_loop
from rnnlib.language.model import LANGUAGE_MODELS, LanguageModel, most_probable

PACKS = fast_decoding.packs(torch.device("cpu"))
SCREENS = PACKS and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # emulated or built in
needs_packing = pytest.mark.skipif(not PACKS, reason="no packed products here")
needs_screening = pytest.mark.skipif(not SCREENS, reason="no products in bfloat16 here")
ROUTES = ["screened", "packed", "plain"]


@pytest.fixture
def route(request, monkeypatch):
    """Each route, where this processor has it at all."""
    screened, plain = request.param == "screened", request.param == "plain"
    if not (plain or (SCREENS if screened else PACKS)):
        pytest.skip("this processor or torch does not have it")
    monkeypatch.setattr(fast_decoding, "packs", lambda device: not plain)
    monkeypatch.setattr(fast_decoding, "multiplies_bfloat16", lambda: screened)


def network(model="lstm", words=900, units=40):
    """Return a network that writes many words and is not chaotic."""
    torch.manual_seed(0)
    net = LanguageModel(model, words, units).eval()
    nn.init.normal_(net.bias, std=0.1)
    return net


def start(model, starts):
    n_x = model.closed_loop().n_x - 1
    words = torch.randint(model.n_words, (starts, 1))
    return torch.cat([100 * torch.randn(starts, n_x), words], dim=1)


def exactly(h, weight, bias):
    return (h.double() @ weight.double().T + bias.double()).argmax(-1)


@pytest.mark.parametrize("route", ROUTES, indirect=True)
@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_every_model_writes_the_words_of_the_plain_loop(model, route):
    """Hypothesis: by packed matrices, with screening, or neither, from far starts."""
    net = network(model)
    x = start(net, 6)
    with torch.no_grad():
        plain = simulate(net.closed_loop(dtype=torch.float32), x, 60)
        fast = simulate(fast_closed_loop(net, 6), x, 60)
    assert torch.equal(fast[..., -1], plain[..., -1])
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-3)
    assert len(plain[..., -1].unique()) > 6


@needs_packing
@pytest.mark.parametrize("rows", [1, 5, 33])
def test_a_packed_matrix_multiplies_as_torch_does(rows):
    """Hypothesis: with a bias and without, for states that are part of wider ones, any rows."""
    matrix, bias = torch.randn(130, 40), torch.randn(130)
    packed = PackedMatrix.of(matrix, 5)
    for x in (torch.randn(rows, 40), torch.randn(rows, 83)[:, 20:60]):
        for b in (bias, None):
            found = functional.linear(x, packed, b)
            assert type(found) is torch.Tensor
            torch.testing.assert_close(found, functional.linear(x, matrix, b))
    assert torch.equal(packed[torch.tensor([3, 1])], matrix[[3, 1]])


@needs_screening
def test_rounding_to_bfloat16_stays_within_the_bound():
    """Hypothesis: for rows and states of any size, and it is no more than 100 times too wide."""
    torch.manual_seed(0)
    weight, h = torch.randn(2000, 64), torch.randn(50, 64) * torch.logspace(-3, 3, 50)[:, None]
    screened = Screened(weight, torch.zeros(2000), 50)
    rough = torch.ops.mkldnn._linear_pointwise(h.bfloat16(), screened.rough, None, "none", [], "")
    wrong = (rough.double() - h.double() @ weight.double().T).abs().amax(-1)
    bound = screened.error * torch.linalg.vector_norm(h, dim=-1)
    assert (wrong <= bound).all()
    assert (wrong > bound / 100).all()


@needs_screening
@pytest.mark.parametrize("difference", [0.0, 1e-5, 1e-4, 1e-3, 1e-2])
def test_screening_never_loses_the_best_among_near_ties(difference):
    """Hypothesis: words as alike as bfloat16 cannot tell, against float64; ties take any."""
    torch.manual_seed(1)
    alike = torch.randn(1, 64) + difference * torch.randn(40, 64)
    weight = torch.cat([alike, 0.3 * torch.randn(2000, 64)])[torch.randperm(2040)]
    h, bias = 3 * alike[:7] + 0.1 * torch.randn(7, 64), 1e-4 * torch.randn(2040)
    words = Screened(weight, bias, 7)(h, weight, bias)
    logits = h.double() @ weight.double().T + bias.double()
    lost = logits.amax(-1) - logits.gather(1, words[:, None])[:, 0]
    assert (lost <= 1e-6 * logits.abs().amax(-1)).all()  # what float32 itself cannot tell
    if difference >= 1e-3:
        assert torch.equal(words, exactly(h, weight, bias))


@needs_screening
def test_screening_rules_out_most_words(monkeypatch):
    """Hypothesis: of 5000 random words under a tenth is left, for the best to be found among."""
    torch.manual_seed(2)
    weight, bias, h = torch.randn(5000, 256), torch.zeros(5000), torch.randn(4, 256)
    left = []

    def counting(h, weight, bias):
        left.append(len(weight))
        return most_probable(h, weight, bias)

    monkeypatch.setattr(fast_decoding, "most_probable", counting)
    words = Screened(weight, bias, 4)(h, weight, bias)
    assert torch.equal(words, exactly(h, weight, bias))
    assert 0 < left[0] < 500


@needs_screening
def test_screening_knows_states_that_say_nothing():
    """Hypothesis: a zero state leaves the bias to decide, NaN gives a word and no error."""
    weight, bias = torch.randn(300, 32), torch.randn(300)
    screened = Screened(weight, bias, 2)
    assert screened(torch.zeros(2, 32), weight, bias).tolist() == [int(bias.argmax())] * 2
    broken = torch.full((2, 32), torch.nan)
    assert torch.equal(screened(broken, weight, bias), most_probable(broken, weight, bias))


def test_another_precision_takes_the_plain_loop():
    """Hypothesis: float64 parameters are not packed, and its words are those of the module."""
    net = network()
    loop = fast_closed_loop(net, 3, torch.float64)
    assert not any(isinstance(p, PackedMatrix) for p in loop.theta.values())
    x = start(net, 3).double()
    torch.testing.assert_close(simulate(loop, x, 5), simulate(net.closed_loop(), x, 5))

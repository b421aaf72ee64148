"""Hypotheses about the language model: two routes to its numbers, its constraint, its systems."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import rnnlib
from rnnlib import certify, jacobian, lyapunov_spectrum, simulate
from rnnlib.language.model import LANGUAGE_MODELS, LOSS_CHUNK, LanguageModel, most_probable
from rnnlib.training import LABELS, MODELS

WORDS, UNITS = 11, 6


def network(model="lstm", words=WORDS, units=UNITS, dropout=0.5, spread=6.0):
    """Return a float64 network in evaluation mode whose words differ enough to be told apart."""
    torch.manual_seed(1)
    net = LanguageModel(model, words, units, dropout).double().eval()
    with torch.no_grad():
        net.embedding.weight.mul_(spread)
        net.bias.normal_()
    return net


def text(time, batch, seed=0):
    return torch.randint(WORDS, (time, batch), generator=torch.Generator().manual_seed(seed))


def start(system, *batch):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(*batch, system.n_x, generator=generator, dtype=torch.float64)


# --- the network ---


def test_it_can_start_as_torch_and_the_scripts_draw():
    """Known answer: an embedding, the layer, and a linear layer's bias, drawn in this order."""
    torch.manual_seed(2)
    net = LanguageModel("lstm", 500, 40, beginning="torch")
    torch.manual_seed(2)
    embedding, layer, decoder = nn.Embedding(500, 40), nn.LSTM(40, 40), nn.Linear(40, 500)
    assert torch.equal(net.embedding.weight, embedding.weight)
    assert torch.equal(net.layer.weight_hh_l0, layer.weight_hh_l0)
    assert torch.equal(net.bias, decoder.bias)
    assert net.embedding.weight.std().item() == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="beginning is 'normal'"):
        LanguageModel("lstm", 500, 40, beginning="normal")


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.bfloat16, 257), (torch.float16, 2049), (torch.float32, 3000)]
)
def test_a_loop_holds_the_numbers_of_its_words_or_refuses(dtype, most):
    """Hypothesis: the largest whole number before which none is skipped is the bound."""
    torch.manual_seed(0)
    words = torch.arange(most, dtype=torch.float64)
    assert torch.equal(words.to(dtype).double(), words)
    LanguageModel("gru", most, 4).closed_loop(dtype=dtype)
    if dtype != torch.float32:
        assert torch.tensor(float(most)).to(dtype).item() != most
        with pytest.raises(ValueError, match=f"dtype is {dtype}.*up to {most}"):
            LanguageModel("gru", most + 1, 4).closed_loop(dtype=dtype)


def test_it_starts_as_the_classic_example():
    """Hypothesis: embedding uniform in [-0.1, 0.1], the decoder's bias zero, and one matrix."""
    net = LanguageModel("lstm", 500, 40)
    assert net.embedding.weight.abs().max() <= 0.1
    assert net.embedding.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert not net.bias.any()
    assert {name for name in net.state_dict() if "layer" not in name} == {
        "embedding.weight",
        "bias",
    }


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_logits_are_those_of_the_layer_between_one_matrix_and_its_transpose(model):
    """Hypothesis: W h + b with h from the embedded words, for every model."""
    net, tokens = network(model), text(7, 3)
    logits, _ = net(tokens)
    h, _ = net.layer(net.embedding.weight[tokens])
    torch.testing.assert_close(logits, h @ net.embedding.weight.T + net.bias)
    assert logits.shape == (7, 3, WORDS)


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_a_state_carried_over_makes_two_windows_one(model):
    """Hypothesis: the same logits and last state."""
    net, tokens = network(model), text(9, 3)
    whole, last = net(tokens)
    first, state = net(tokens[:4])
    second, end = net(tokens[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)


def test_dropout_acts_on_both_sides_of_the_layer_in_training_only():
    """Hypothesis: zeros among what the layer sees and among what the decoder sees."""
    net, tokens, seen = network(), text(50, 3), []
    net.layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    assert torch.equal(net(tokens)[0], net(tokens)[0])
    assert (seen[0] != 0).all()
    decoded, _ = net.train().states(tokens)
    for values in (seen[-1], decoded):
        assert 0.4 < (values == 0).double().mean() < 0.6


@pytest.mark.parametrize("route", ["chunks", "plain"])
def test_the_loss_is_the_cross_entropy_of_the_logits(route, monkeypatch):
    """Hypothesis: the same number and gradients by both routes, for more than one chunk of rows."""
    if route == "plain":
        monkeypatch.delattr(nn, "LinearCrossEntropyOptions", raising=False)
    net = network(dropout=0.0)
    tokens, targets = text(60, 40), text(60, 40, seed=1)
    assert targets.numel() > 2 * LOSS_CHUNK
    loss, state = net.loss(tokens, targets)
    logits, last = net(tokens)
    expected = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(state, last)
    found = torch.autograd.grad(loss, list(net.parameters()))
    for a, b in zip(found, torch.autograd.grad(expected, list(net.parameters())), strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(net.loss(tokens, targets)[0], expected)


def test_a_fresh_network_guesses():
    """Hypothesis: about ln(words) nats per word."""
    net = LanguageModel("lstm", 500, 40).eval()
    tokens = torch.arange(500).view(25, 20)
    assert net.loss(tokens, tokens)[0].item() == pytest.approx(6.2146, abs=0.02)


def test_the_input_bound_is_reached_in_training_and_not_exceeded():
    """Hypothesis: the largest entry of the embedding, scaled as dropout scales what it keeps."""
    net, seen = network(dropout=0.3).train(), []
    net.layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].abs().max()))
    for _ in range(20):
        net(torch.arange(WORDS).unsqueeze(0))
    assert max(seen).item() == pytest.approx(net.input_bound, rel=1e-12)
    net.eval()(torch.arange(WORDS).unsqueeze(0))
    assert seen[-1] < 0.8 * net.input_bound


def test_the_certified_stable_lstm_is_certified_for_all_its_words():
    """Hypothesis: whatever the weights and the embedding have become, also under dropout."""
    net = network("slstm-certified", spread=30.0)
    with torch.no_grad():
        for p in net.layer.parameters():
            p.mul_(9)
    assert not certify(net.layer, net.input_bound).contractive
    net.constrain_(1)
    assert certify(net.layer, net.input_bound).contractive
    assert net.embedding.weight.abs().max() > 1  # which stays as it was


@pytest.mark.parametrize("model", ["lstm", "gru", "elman"])
def test_a_free_model_is_not_constrained(model):
    """Hypothesis: nothing moves."""
    net = network(model)
    before = {name: p.clone() for name, p in net.state_dict().items()}
    net.constrain_(100)
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())


# --- a constant word ---


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_holding_a_word_is_feeding_it_at_every_step(model):
    """Hypothesis: the mean of all logits and single logits, by the system and by the module."""
    net, words, chosen = network(model), torch.tensor([3, 0, 7]), [2, 10]
    system = net.hold(words, chosen)
    x0 = torch.zeros(3, system.n_x, dtype=torch.float64)
    seen = simulate(system, x0, 12, observe="output")
    logits, _ = net(words.expand(12, 3))
    expected = torch.cat([logits.mean(-1, keepdim=True), logits[..., chosen]], dim=-1)
    torch.testing.assert_close(seen, expected)
    assert (system.n_z, system.name) == (UNITS, LABELS[model])


def test_words_and_starts_broadcast():
    """Hypothesis: every start under every word, as one call."""
    net = network()
    system = net.hold(torch.tensor([[3], [0]]))
    x0 = start(system, 4)
    both = simulate(system, x0, 5, observe="output")
    assert both.shape == (5, 2, 4, 1)
    for i, word in enumerate((3, 0)):
        one = simulate(net.hold(torch.tensor(word)), x0, 5, observe="output")
        torch.testing.assert_close(both[:, i], one)


def test_the_certified_stable_lstm_has_one_fixed_point_under_each_word():
    """Hypothesis: two starts meet under a constant word; that is what its proof is about."""
    net = network("slstm-certified")
    net.constrain_(1)
    system = net.hold(torch.arange(WORDS).unsqueeze(1))
    x = simulate(system, 100 * start(system, 2), 1, burn_in=400)[0]
    torch.testing.assert_close(x[:, 0], x[:, 1])
    torch.testing.assert_close(system.step(x), x)


# --- the closed loop ---


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_the_closed_loop_is_writing_word_by_word(model):
    """Hypothesis: the words of a loop over the module, its states, and more than one word."""
    net = network(model, spread=20.0)
    system = net.closed_loop()
    state, words = None, torch.tensor([[1, 5, 6]])
    n_x = system.n_x - 1
    x = torch.cat([torch.zeros(3, n_x), words.T], dim=1).double()
    orbit, written = simulate(system, x, 30), []
    for extended in orbit:
        logits, state = net(words, state)
        words = logits.argmax(-1)
        written.append(words[0])
        parts = state if isinstance(state, tuple) else (state,)
        torch.testing.assert_close(extended[:, :n_x], torch.cat([p[0] for p in parts], dim=-1))
    assert torch.equal(orbit[..., -1].long(), torch.stack(written))
    shown = simulate(system, x, 30, observe="output")
    torch.testing.assert_close(shown, orbit[..., -1:])
    assert len(orbit[..., -1].unique()) > 1


def test_the_closed_loop_is_that_of_any_system():
    """Hypothesis: rnnlib.closed_loop with an arg-max for output and an embedding for feedback."""
    net = network(spread=20.0)
    weight, bias = net.embedding.weight.detach(), net.bias.detach()

    def readout(h):
        return most_probable(h, weight, bias).unsqueeze(-1).double()

    class Readout(nn.Module):
        forward = staticmethod(readout)

    open_loop = rnnlib.from_module(net.layer, Readout())
    generic = rnnlib.closed_loop(open_loop, lambda y: weight[y.squeeze(-1).long()], 1)
    ours = net.closed_loop()
    x = torch.cat([start(open_loop, 4), torch.tensor([[0.0], [1], [2], [3]])], dim=1)
    torch.testing.assert_close(simulate(ours, x, 40), simulate(generic, x, 40))


def test_derivatives_see_the_layer_and_not_the_jumps_of_the_word():
    """Hypothesis: the layer's Jacobian under that word, bordered by zeros; exponents follow."""
    net = network()
    loop, held = net.closed_loop(), net.hold(torch.tensor(4))
    x = start(held)
    extended = torch.cat([x, torch.tensor([4.0])])
    expected = torch.zeros(loop.n_x, loop.n_x, dtype=torch.float64)
    expected[:-1, :-1] = jacobian(held, x)
    torch.testing.assert_close(jacobian(loop, extended), expected)
    assert lyapunov_spectrum(loop, extended, 50, k=1).exponents.isfinite().all()


def test_embeddings_may_carry_batch_axes():
    """Hypothesis: a sweep over the tied matrix gives what its members give one by one."""
    net = network()
    loop = net.closed_loop()
    scale = torch.tensor([0.5, 4.0], dtype=torch.float64)[:, None, None]
    sweep = loop.at({"decoder.weight": scale * loop.theta["decoder.weight"]})
    x = torch.cat([start(net.hold(torch.tensor(0))), torch.tensor([4.0])])
    both = simulate(sweep, x, 8)
    for i in range(2):
        one = loop.at({"decoder.weight": scale[i] * loop.theta["decoder.weight"]})
        torch.testing.assert_close(both[:, i], simulate(one, x, 8))


def test_systems_are_copies():
    """Hypothesis: training that goes on moves neither system."""
    net = network()
    systems = net.hold(torch.tensor(1), [2]), net.closed_loop()
    before = [{k: p.clone() for k, p in s.theta.items()} for s in systems]
    held = systems[0].z.clone()
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(7)
    for system, theta in zip(systems, before, strict=True):
        assert all(torch.equal(p, theta[k]) for k, p in system.theta.items())
    assert torch.equal(systems[0].z, held)


def test_an_unknown_model_is_an_error_with_the_nearest_name():
    """Hypothesis: as everywhere in the package."""
    with pytest.raises(ValueError, match="'ltsm'.*Did you mean 'lstm'"):
        network("ltsm")


def test_models_whose_output_is_no_part_of_their_state_are_refused():
    """Hypothesis: a free run reads the decoder's h off the state, so it must be there."""
    for model in set(MODELS) - set(LANGUAGE_MODELS):
        with pytest.raises(ValueError, match=f"model is '{model}', whose h"):
            network(model)
    assert set(MODELS) - set(LANGUAGE_MODELS) == {"lru", "selective"}

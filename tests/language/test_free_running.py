"""Hypotheses about free runs: the words, sampling, and the cycles in which they end."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnnlib.language.free_running import free_run, recurrence, word_cycles
from rnnlib.language.model import LANGUAGE_MODELS, LanguageModel

WORDS, UNITS = 300, 24


def network(model="lstm", spread=1.0):
    torch.manual_seed(0)
    net = LanguageModel(model, WORDS, UNITS).eval()
    with torch.no_grad():
        net.embedding.weight.mul_(spread)
    return net


def starts(net, count=4, dtype=torch.float32):
    n_x = net.closed_loop().n_x - 1
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(net.n_words, (count,), generator=generator)
    return words, 100 * torch.randn(count, n_x, generator=generator, dtype=dtype)


@torch.no_grad()
def original(net, words, x0, steps):
    """One step after the other through the module, all logits kept."""
    state = x0.unsqueeze(0)
    if isinstance(net.layer, nn.LSTM):
        state = tuple(part.contiguous() for part in state.split(UNITS, dim=-1))
    logits, written = [], []
    for _ in range(steps):
        out, state = net(words.unsqueeze(0), state)
        logits.append(out)
        words = out[0].argmax(-1)
        written.append(words)
    return torch.cat(logits), torch.stack(written)


# --- the run ---


@pytest.mark.parametrize("model", LANGUAGE_MODELS)
def test_words_and_projections_are_those_of_the_original_way(model):
    """Hypothesis: every model, from far starts; mean of all logits, then those asked for."""
    net = network(model)
    words, x0 = starts(net)
    logits, written = original(net, words, x0, 60)
    run = free_run(net, words, x0, 20, burn_in=40, show=[5, 0])
    assert torch.equal(run.words, written)
    expected = torch.cat([logits.mean(-1, keepdim=True), logits[..., [5, 0]]], dim=-1)[40:]
    torch.testing.assert_close(run.projections, expected, rtol=1e-4, atol=1e-4)


def test_a_run_can_go_on_where_it_ended():
    """Hypothesis: two runs are one."""
    net = network()
    words, x0 = starts(net)
    whole = free_run(net, words, x0, 50)
    first = free_run(net, words, x0, 20)
    second = free_run(net, first.last[:, -1].long(), first.last[:, :-1], 30)
    assert torch.equal(torch.cat([first.words, second.words]), whole.words)
    assert torch.equal(second.last, whole.last)


def test_a_run_leaves_the_network_as_it_was():
    """Hypothesis: dropout is off in a run and on again after it; weights and gradients stay."""
    net = network().train()
    before = {name: p.clone() for name, p in net.state_dict().items()}
    words, x0 = starts(net)
    a, b = free_run(net, words, x0, 20), free_run(net, words, x0, 20)
    assert torch.equal(a.words, b.words)
    assert net.training
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    assert not a.projections.requires_grad


def test_cold_sampling_is_arg_max():
    """Hypothesis: as the temperature goes to 0 every draw is the most probable word."""
    net = network(spread=10.0)
    words, x0 = starts(net)
    greedy = free_run(net, words, x0, 60).words
    for temperature in (1e-7, 1e-30):
        assert torch.equal(free_run(net, words, x0, 60, temperature=temperature).words, greedy)
    assert not torch.equal(free_run(net, words, x0, 60, temperature=1.0).words, greedy)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_sampled_words_have_the_frequencies_of_the_softmax(temperature):
    """Hypothesis: of 40,000 draws at one state, every frequency within five standard errors."""
    torch.manual_seed(3)
    net, count = LanguageModel("elman", 6, UNITS).eval(), 40_000
    with torch.no_grad():
        net.embedding.weight.mul_(10)
    words, x0 = torch.zeros(count, dtype=torch.int64), torch.zeros(count, UNITS)
    generator = torch.Generator().manual_seed(0)
    run = free_run(net, words, x0, 1, temperature=temperature, generator=generator)
    with torch.no_grad():
        p = (net(words[None, :1])[0][0, 0] / temperature).softmax(-1)
    frequency = run.words[0].bincount(minlength=6) / count
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / count).sqrt()).all()
    assert p.max() < 0.99


def test_the_generator_decides_what_is_drawn():
    """Hypothesis: the same seed, the same text; the global generator is not touched."""
    net = network()
    words, x0 = starts(net)
    before = torch.get_rng_state()

    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        return free_run(net, words, x0, 30, temperature=1.0, generator=generator).words

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert torch.equal(before, torch.get_rng_state())


def test_bad_runs_are_refused():
    """Hypothesis: the message names the argument and what it was."""
    net = network()
    words, x0 = starts(net)
    with pytest.raises(ValueError, match="temperature is -1"):
        free_run(net, words, x0, 5, temperature=-1)
    with pytest.raises(ValueError, match="temperature is nan"):
        free_run(net, words, x0, 5, temperature=float("nan"))
    with pytest.raises(ValueError, match="steps is 0"):
        free_run(net, words, x0, 0)
    with pytest.raises(ValueError, match=r"words is torch.int64 of shape \(3,\)"):
        free_run(net, words[:3], x0, 5)
    with pytest.raises(ValueError, match="words is torch.float32"):
        free_run(net, words.float(), x0, 5)
    with pytest.raises(ValueError, match="states of shape"):
        free_run(net, words, x0[:, :-1], 5)
    with pytest.raises(ValueError, match="from 0 to 299"):
        free_run(net, words + WORDS, x0, 5)


# --- cycles of words ---


def cycle_of(text: str, repeats=4):
    """Return period, transient and the words of one text of letters."""
    found = word_cycles(torch.tensor([[ord(c)] for c in text]), repeats)
    word = "".join(chr(i) for i in found.words[0].tolist())
    return int(found.period[0]), int(found.transient[0]), word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aaaaaaaa", (1, 0, "a")),
        ("xyzaaaaaaaa", (1, 3, "a")),
        ("abababababab", (2, 0, "ab")),
        ("bbabababababa", (2, 1, "ba")),
        ("baaaabaaaabaaaabaaaa", (5, 0, "baaaa")),  # not the four a at its end
        ("qbaaaabaaaabaaaabaaaaba", (5, 1, "baaaa")),
        ("abcdefghijkl", (0, 12, "")),
        ("abcabcabc", (0, 9, "")),  # three times only
        ("a", (0, 1, "")),
    ],
)
def test_cycles_in_known_texts(text, expected):
    """Hypothesis: the longest periodic end, at its shortest period, from its first word on."""
    assert cycle_of(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.text("abc", max_size=12), st.text("abc", min_size=1, max_size=6), st.integers(0, 5))
def test_a_repeated_block_is_found_behind_any_beginning(prefix, block, cut):
    """Hypothesis: the text is rebuilt, and no shorter period or earlier begin would do."""
    text = prefix + 20 * block + block[:cut]
    period, transient, word = cycle_of(text)
    assert period and len(block) % period == 0
    assert transient <= len(prefix)
    rebuilt = text[:transient] + word * len(text)
    assert rebuilt[: len(text)] == text
    assert transient == 0 or text[transient - 1] != text[transient - 1 + period]
    assert not any(word == word[:k] * (period // k) for k in range(1, period) if period % k == 0)


def test_a_cycle_longer_than_asked_for_is_not_found():
    """Hypothesis: period 5 needs max_period 5."""
    words = torch.tensor([ord(c) for c in 6 * "abcde"]).unsqueeze(1)
    assert word_cycles(words, max_period=5).period.item() == 5
    assert word_cycles(words, max_period=4).period.item() == 0


def test_starts_are_told_apart():
    """Hypothesis: each column has a cycle of its own, or none."""
    columns = ["aaaaaaaaaaaa", "xababababab" + "a", "abcdefghijkl"]
    words = torch.tensor([[ord(c) for c in row] for row in zip(*columns, strict=True)])
    found = word_cycles(words)
    assert found.period.tolist() == [1, 2, 0]
    assert found.transient.tolist() == [0, 1, 12]
    assert [len(w) for w in found.words] == [1, 2, 0]


def test_random_words_have_no_cycle():
    """Hypothesis: 1000 words of 50 end in none."""
    words = torch.randint(50, (1000, 20), generator=torch.Generator().manual_seed(0))
    found = word_cycles(words)
    assert not found.period.any()
    assert (found.transient == 1000).all()


def test_words_of_another_shape_are_refused():
    """Hypothesis: the message names both arguments."""
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        word_cycles(torch.zeros(5))
    with pytest.raises(ValueError, match="repeats is 1"):
        word_cycles(torch.zeros(5, 1), 1)


# --- what a cycle of words proves ---


def test_a_contraction_that_repeats_words_comes_to_repeat_its_state():
    """Hypothesis: certified sLSTM: the residual falls to rounding, and later words agree."""
    net = network("slstm-certified", spread=10.0)
    net.constrain_(1)
    words, x0 = starts(net, 6)
    run = free_run(net, words, x0, 600)
    cycle = word_cycles(run.words)
    assert cycle.period.all()
    residual = recurrence(net, run.last, cycle.period)
    assert (residual < 1e-5).all()
    again = free_run(net, run.last[:, -1].long(), run.last[:, :-1], 200)
    for i, (p, t) in enumerate(zip(cycle.period.tolist(), cycle.transient.tolist(), strict=True)):
        expected = [run.words[t + (600 - t + k) % p, i] for k in range(200)]
        assert again.words[:, i].tolist() == [int(w) for w in expected]


def drifting():
    """An LSTM that counts: c grows by a little at every step, and word 1 wins once it is large."""
    net = LanguageModel("lstm", 2, 1).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.layer.bias_ih_l0.copy_(torch.tensor([-6.0, 30.0, 30.0, 30.0]))  # i, f, g, o
        net.embedding.weight.copy_(torch.tensor([[0.0], [1.0]]))
        net.bias.copy_(torch.tensor([0.5, 0.0]))
    return net


def test_words_may_repeat_long_before_the_state_does():
    """Hypothesis: 150 times one word is a cycle of words; the residual says it may end; it does."""
    net, words = drifting(), torch.tensor([0])
    run = free_run(net, words, torch.zeros(1, 2), 150)
    cycle = word_cycles(run.words)
    assert cycle.period.tolist() == [1] and cycle.transient.tolist() == [0]
    assert recurrence(net, run.last, cycle.period).item() > 1e-3
    longer = free_run(net, words, torch.zeros(1, 2), 400)
    assert longer.words[:150].eq(0).all() and longer.words[-100:].eq(1).all()


def test_recurrence_is_exact_at_a_fixed_point_and_infinite_where_words_differ():
    """Hypothesis: 0 for a state that maps to itself; a false period is seen; none gives NaN."""
    net = drifting()
    with torch.no_grad():
        net.layer.bias_ih_l0[2] = 0.0  # g = 0: nothing is added
    last = torch.tensor([[0.0, 0.0, 0.0]])
    assert recurrence(net, last, torch.tensor([3])).tolist() == [0.0]
    assert recurrence(net, torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([1])).isinf().all()
    assert recurrence(net, last, torch.tensor([0])).isnan().all()

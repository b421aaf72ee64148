"""Recurrences that are linear in their state: closed forms, and contraction by construction."""

import pytest
import torch

from rnnlib.nn import LinearRecurrentUnit, MinGRU, SelectiveSSM

LAYERS = (LinearRecurrentUnit, MinGRU, SelectiveSSM)
F64 = torch.float64


@pytest.fixture(params=LAYERS, ids=lambda kind: kind.__name__)
def layer(request):
    torch.manual_seed(0)
    return request.param(3, 5).double()


def test_a_sequence_is_its_steps_one_after_the_other(layer):
    z = torch.randn(7, 2, 3, dtype=F64)
    h, last = layer(z)
    x = torch.zeros(2, layer.state_size, dtype=F64)
    for t in range(7):
        x = layer.step(x, z[t])
        torch.testing.assert_close(h[t], layer.read(x, z[t]))
    torch.testing.assert_close(last[0], x)
    assert h.shape == (7, 2, 5) and last.shape == (1, 2, layer.state_size)


def test_a_sequence_goes_on_from_the_state_that_it_ended_in(layer):
    z = torch.randn(9, 2, 3, dtype=F64)
    whole, _ = layer(z)
    _, state = layer(z[:4])
    torch.testing.assert_close(layer(z[4:], state)[0], whole[4:])


def test_two_states_under_the_same_inputs_come_nearer_at_every_step(layer):
    z = torch.randn(30, 1, 3, dtype=F64)
    a, b = torch.randn(2, 1, layer.state_size, dtype=F64)
    for t in range(30):
        before = (a - b).norm()
        a, b = layer.step(a, z[t]), layer.step(b, z[t])
        assert (a - b).norm() < before


def test_the_state_of_an_lru_turns_and_shrinks_by_its_eigenvalues():
    """Hypothesis: without input x_t = lambda^t x_0, the moduli lying where they were asked to."""
    torch.manual_seed(1)
    lru = LinearRecurrentUnit(1, 50, least=0.5, most=0.8).double()
    modulus = lru.eigenvalues().abs()
    assert 0.5 <= modulus.min() < 0.6 and 0.7 < modulus.max() <= 0.8
    start = torch.randn(50, dtype=F64), torch.randn(50, dtype=F64)
    x = torch.cat(start)
    for _ in range(6):
        x = lru.step(x, torch.zeros(1, dtype=F64))
    expected = lru.eigenvalues() ** 6 * torch.complex(*start)
    torch.testing.assert_close(x, torch.cat([expected.real, expected.imag]))


def test_white_input_gives_an_lru_state_the_size_of_its_driving_term():
    """Hypothesis: gamma makes the variance of x that of B z, whatever the modulus."""
    torch.manual_seed(2)
    lru = LinearRecurrentUnit(1, 4, least=0.9, most=0.95).double()
    _, state = lru(torch.randn(400, 4000, 1, dtype=F64))
    real, imaginary = state[0].split(4, dim=-1)
    power = (real.square() + imaginary.square()).mean(0)
    torch.testing.assert_close(power, lru.weight_in.square().sum((0, 2)), rtol=0.1, atol=0)


def test_a_min_gru_with_an_open_gate_is_a_running_mean():
    """Hypothesis: with gate 1/2 and candidate z the state is the sum of 2^-(k+1) z_{t-k}."""
    layer = MinGRU(1, 1).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        layer.candidate.weight.fill_(1.0)
    z = torch.tensor([1.0, 0.0, 0.0, 4.0], dtype=F64).reshape(4, 1, 1)
    assert layer(z)[0].flatten().tolist() == [0.5, 0.25, 0.125, 2.0625]


def test_a_selective_layer_decays_by_its_step_size_times_a():
    """Hypothesis: with all input maps 0 a state fades as exp(-d A t) with d = softplus(bias)."""
    layer = SelectiveSSM(1, 2, state=3).double()
    with torch.no_grad():
        for linear in (layer.channels, layer.to_state, layer.step_size):
            linear.weight.zero_()
        layer.channels.bias.zero_()
    d = torch.nn.functional.softplus(layer.step_size.bias)
    assert (d > 0.9e-3).all() and (d < 0.11).all()
    x = layer.step(torch.ones(6, dtype=F64), torch.ones(1, dtype=F64))
    expected = torch.exp(-d[:, None] * torch.tensor([1.0, 2.0, 3.0], dtype=F64)).flatten()
    torch.testing.assert_close(x, expected)


def test_wrong_sizes_are_refused(layer):
    with pytest.raises(ValueError, match=r"input has shape \(4, 3\)"):
        layer(torch.zeros(4, 3, dtype=F64))
    with pytest.raises(ValueError, match="hidden_size is 0"):
        type(layer)(1, 0)
    with pytest.raises(ValueError, match="least is 0.9 and most is 1.0"):
        LinearRecurrentUnit(1, 1, most=1.0)
    with pytest.raises(ValueError, match="state is 0"):
        SelectiveSSM(1, 1, state=0)

"""Hypotheses about the two projections of the stable LSTM."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import parametrizations, prune

from rnnlib import from_module, simulate
from rnnlib.memory import certify
from rnnlib.nn.stable_lstm import (
    PUBLISHED_INPUT_RADIUS,
    PUBLISHED_RADII,
    certified_radii,
    certified_rate,
    project_certified_,
    project_published_,
)


def train(project, steps: int, layers: int = 1, dtype=torch.float32, forget_bias: float = 3.0):
    """Yield the network after each Adam step on a short sine task, projected by a hook."""
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(1, 6, layers).to(dtype)
    readout = torch.nn.Linear(6, 1).to(dtype)
    for k in range(layers):  # start where the certificate fails
        getattr(lstm, f"bias_ih_l{k}").data[6:12] = forget_bias
    optimizer = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], lr=0.05)
    optimizer.register_step_post_hook(lambda *_: project(lstm))
    time = torch.arange(1, 31, dtype=dtype)[:, None, None]
    z = torch.tensor([0.2, 0.4], dtype=dtype)[:, None].expand(30, 2, 1)
    for _ in range(steps):
        loss = (readout(lstm(z)[0]) - torch.sin(z * time)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield lstm


def parameters(lstm):
    return [p.detach().clone() for p in lstm.parameters()]


def one_unit(biases=(5.0, 5.0, 0.0, 5.0)):
    """Return one unit on the published constraint set, all recurrent weights positive."""
    lstm = torch.nn.LSTM(1, 1).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.weight_hh_l0[:, 0] = torch.tensor(PUBLISHED_RADII)
        lstm.weight_ih_l0[1] = PUBLISHED_INPUT_RADIUS
        lstm.bias_ih_l0.copy_(torch.tensor(biases))
    return lstm


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("forget", [0.6, 0.9])
def test_the_certified_projection_certifies_after_every_optimizer_step(layers, forget):
    """Hypothesis: after each of 40 Adam steps the certificate holds, at the promised rate."""
    before = None
    for lstm in train(lambda net: project_certified_(net, 0.4, forget), 40, layers):
        certificate = certify(lstm, 0.4, "componentwise")
        assert certificate.contractive
        if layers == 1:
            assert certify(lstm, 0.4, "miller-hardt").constant <= 1 + 1e-10
            assert certificate.constant <= certified_rate(forget) + 0.01 * (
                1 - certified_rate(forget)
            )
        after = parameters(lstm)
        project_certified_(lstm, 0.4, forget)  # idempotent, bit for bit
        assert all(torch.equal(a, b) for a, b in zip(after, lstm.parameters(), strict=True))
        assert before is None or any(
            not torch.equal(a, b) for a, b in zip(before, after, strict=True)
        )
        before = after


def test_the_certificate_fails_without_the_projection():
    """Hypothesis: the same training without a projection is not certified, so the test can fail."""
    assert not any(certify(lstm, 0.4).contractive for lstm in train(lambda net: None, 5))


def test_the_published_projection_satisfies_its_columns_and_no_more():
    """Hypothesis: after each step the columns are exact, biases are as the optimizer left them."""
    certified = []
    for lstm in train(project_published_, 25, dtype=torch.float64):
        columns = lstm.weight_hh_l0.detach().abs().view(4, 6, 6).sum(1)
        radii = torch.tensor(PUBLISHED_RADII, dtype=torch.float64)[:, None].expand(4, 6)
        torch.testing.assert_close(columns, radii, rtol=1e-14, atol=0)
        inputs = lstm.weight_ih_l0.detach()[6:12].abs().sum(0)
        assert inputs.item() == pytest.approx(PUBLISHED_INPUT_RADIUS, rel=1e-14)
        certified.append(certify(lstm, 0.4).contractive)
    assert not all(certified)


def test_the_published_projection_rescales_upwards_and_keeps_zero_columns():
    """Hypothesis: a tiny column grows to its radius, a column of zeros and the biases stay."""
    lstm = torch.nn.LSTM(2, 3, 2).double()
    with torch.no_grad():
        lstm.weight_hh_l1.mul_(1e-6)
        lstm.weight_hh_l1[:, 0] = 0
    bias = lstm.bias_ih_l1.detach().clone()
    project_published_(lstm)
    columns = lstm.weight_hh_l1.detach().abs().view(4, 3, 3).sum(1)
    assert (columns[:, 0] == 0).all()
    assert columns[:, 1].tolist() == pytest.approx(list(PUBLISHED_RADII))
    assert torch.equal(bias, lstm.bias_ih_l1)


def test_the_published_constraints_allow_two_attracting_fixed_points():
    """Hypothesis: one unit on the constraint set remembers the sign of its start, for good."""
    lstm = one_unit()
    before = parameters(lstm)
    project_published_(lstm)
    for a, b in zip(before, lstm.parameters(), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-7, atol=0)
    system = from_module(lstm).hold(torch.zeros(1, dtype=torch.float64))
    x0 = torch.tensor([[0.9, 5.0], [-0.9, -5.0]], dtype=torch.float64)
    ends = simulate(system, x0, 2, burn_in=10_000)
    assert ends[1, :, 1].tolist() == pytest.approx([17.0324, -12.4124], abs=1e-4)
    assert (ends[1] - ends[0]).abs().max() < 1e-12
    assert not certify(lstm, 1.0).contractive
    project_certified_(lstm, 1.0)
    system = from_module(lstm).hold(torch.zeros(1, dtype=torch.float64))
    ends = simulate(system, x0, 1, burn_in=10_000)[0]
    assert (ends[0] - ends[1]).abs().max() < 1e-12
    assert certify(lstm, 1.0).contractive


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(0.01, 30),
    bound=st.floats(0, 10),
    forget=st.floats(0.58, 0.99),
    double=st.booleans(),
    bias=st.booleans(),
)
def test_any_weights_are_certified_after_projection(seed, scale, bound, forget, double, bias):
    """Hypothesis: from any weights one projection certifies, and a second one changes nothing."""
    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(2, 4, 2, bias=bias).to(torch.float64 if double else torch.float32)
    for parameter in lstm.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    project_certified_(lstm, bound, forget)
    assert certify(lstm, bound).contractive
    once = parameters(lstm)
    project_certified_(lstm, bound, forget)
    assert all(torch.equal(a, b) for a, b in zip(once, lstm.parameters(), strict=True))


def test_weights_inside_are_left_alone():
    """Hypothesis: a network inside every bound is not moved, a negative forget bias is kept."""
    lstm = torch.nn.LSTM(1, 3).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(0.01)
        lstm.bias_hh_l0[3:6] = -4.0
        lstm.weight_ih_l0[3:6] = 4.0  # allowed by the bias
    before = parameters(lstm)
    project_certified_(lstm, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, lstm.parameters(), strict=True))


def test_opposite_biases_that_nearly_cancel_are_limited_by_their_sum():
    """Hypothesis: only the sum of the two biases counts, in float32 too."""
    lstm = torch.nn.LSTM(1, 3)
    with torch.no_grad():
        lstm.bias_ih_l0[3:6], lstm.bias_hh_l0[3:6] = 1000.0, -999.0
    project_certified_(lstm, 1.0)
    assert certify(lstm, 1.0).contractive
    assert (lstm.bias_ih_l0 + lstm.bias_hh_l0)[3:6].abs().max() < 0.3


def test_the_published_radii_lie_inside_those_of_a_forget_gate_of_0_6():
    """Hypothesis: the default bound is the one that the published numbers come from."""
    assert all(p < c for p, c in zip(PUBLISHED_RADII, certified_radii(0.6), strict=True))
    reached = 1 / (1 + math.exp(-PUBLISHED_RADII[1] - PUBLISHED_INPUT_RADIUS))
    assert 0.599 < reached < 0.6


CHANGED = {
    "weight norm": lambda lstm: parametrizations.weight_norm(lstm, "weight_hh_l0"),
    "orthogonal": lambda lstm: parametrizations.orthogonal(lstm, "weight_hh_l0"),
    "old spectral norm": lambda lstm: torch.nn.utils.spectral_norm(lstm, "weight_ih_l0"),
    "pruned bias": lambda lstm: prune.l1_unstructured(lstm, "bias_hh_l0", amount=2),
}


@pytest.mark.parametrize("change", CHANGED)
def test_weights_that_cannot_be_kept_are_refused_and_left_alone(change):
    """Hypothesis: a projection that would move a temporary is an error, before anything moves."""
    lstm = torch.nn.LSTM(3, 5)
    CHANGED[change](lstm)
    before = parameters(lstm)
    for project in (project_published_, lambda net: project_certified_(net, 1.0)):
        with pytest.raises(ValueError, match="worked out from other parameters.*parameter again"):
            project(lstm)
    assert all(torch.equal(a, b) for a, b in zip(before, lstm.parameters(), strict=True))


def test_tied_frozen_and_half_precision_weights_are_projected():
    """Hypothesis: what is a parameter is projected whatever else it is, and then certified."""
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        lstm = torch.nn.LSTM(3, 3, 2).to(dtype)
        for parameter in lstm.parameters():
            parameter.requires_grad_(False).mul_(4)
        lstm.weight_hh_l1, lstm.bias_hh_l0 = lstm.weight_hh_l0, lstm.bias_ih_l0
        project_certified_(lstm, 1.0)
        assert certify(lstm, 1.0).contractive


def test_bad_arguments_say_what_to_do():
    """Hypothesis: each refusal names the argument, the value and the remedy."""
    with pytest.raises(TypeError, match="lstm is a GRU"):
        project_published_(torch.nn.GRU(1, 2))
    with pytest.raises(ValueError, match="bidirectional=True"):
        project_certified_(torch.nn.LSTM(1, 2, bidirectional=True), 1.0)
    with pytest.raises(ValueError, match="proj_size=1"):
        project_published_(torch.nn.LSTM(1, 2, proj_size=1))
    for bound in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="input_bound is"):
            project_certified_(torch.nn.LSTM(1, 2), bound)
    for forget in (0.0, 1.0, 0.5, math.nan):
        with pytest.raises(ValueError, match="forget is"):
            certified_radii(forget)
    unchanged = torch.nn.LSTM(1, 2)
    copied = copy.deepcopy(unchanged)
    with pytest.raises(ValueError):
        project_certified_(unchanged, 1.0, forget=2.0)
    assert all(
        torch.equal(a, b) for a, b in zip(unchanged.parameters(), copied.parameters(), strict=True)
    )

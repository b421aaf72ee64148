import math

import pytest
import torch

from rnnlib import certify, from_module, project_certified_, simulate
from rnnlib.memory.forgetting import (
    envelope,
    forgotten_after,
    least_cross_entropy,
    log_odds_gap,
)
from rnnlib.memory.norms import Norm

F64 = torch.float64


@pytest.fixture(scope="module")
def network():
    """A certified LSTM with a linear read-out of four classes, as a system."""
    torch.manual_seed(0)
    lstm, readout = torch.nn.LSTM(6, 12).double(), torch.nn.Linear(12, 4).double()
    for parameter in lstm.parameters():
        parameter.data.mul_(2)
    project_certified_(lstm, input_bound=1.0)
    return from_module(lstm, readout)


@pytest.mark.parametrize("gap", [0.0, 0.3, 2.0, 10.0])
def test_no_read_out_does_better_than_the_bound_and_one_attains_it(gap):
    """Hypothesis: over all log-odds r and r - gap the least mean cross entropy is the bound's."""
    r = torch.linspace(-20, 20, 400001, dtype=F64)
    softplus = torch.nn.functional.softplus
    losses = (softplus(-r) + softplus(r - gap)) / 2
    assert float(losses.min()) == pytest.approx(float(least_cross_entropy(gap)), rel=1e-6)


@pytest.mark.parametrize(("p", "blocks"), [(2, 1), (2, 2), (math.inf, 1), (math.inf, 3)])
def test_the_dual_norm_is_the_largest_value_on_the_unit_ball(p, blocks):
    """Hypothesis: no state of norm 1 exceeds it, and the maximiser found by hand attains it."""
    generator = torch.Generator().manual_seed(0)
    weights = 0.5 + torch.rand(6, dtype=F64, generator=generator)
    w = torch.randn(6, dtype=F64, generator=generator)
    norm = Norm(weights, p, blocks)
    bound = norm.dual(w)
    x = torch.randn(5000, 6, dtype=F64, generator=generator)
    assert ((x / norm(x)[:, None]) @ w <= bound * (1 + 1e-12)).all()
    parts = (w * weights).unflatten(-1, (blocks, -1))
    unit = torch.nn.functional.normalize(parts, dim=-1) if p == 2 else parts.sign()
    best = unit.flatten() * weights
    assert float(norm(best)) == pytest.approx(1) and float(best @ w) == pytest.approx(float(bound))


def test_sequences_with_a_common_end_stay_within_the_bounds(network):
    """Hypothesis: neither distances nor log-odds of a simulated pair exceed what is certified."""
    certificate = certify(network.theta, 1.0)
    generator = torch.Generator().manual_seed(0)
    low, high = certificate.region
    starts = low + (high - low) * torch.rand(40, len(low), dtype=F64, generator=generator).round()
    letters = torch.eye(6, dtype=F64)[torch.randint(6, (60,), generator=generator)]
    orbit = simulate(network, starts, 60, inputs=letters[:, None])
    k = torch.arange(1, 61)
    far = torch.cdist(orbit, orbit).amax((1, 2))
    assert (far <= envelope(certificate, k)).all()
    y = network.read(orbit, letters[:, None])
    odds = y[..., :, None] - y[..., None, :]  # time, start, class, class
    spread = (odds.amax(1) - odds.amin(1)).amax((1, 2))
    gap = log_odds_gap(certificate, network.theta["readout.weight"], k)
    assert (spread <= gap).all() and spread[0] > 0.01 * gap[0]


def test_the_distance_of_forgetting_is_the_first_at_which_the_bound_exceeds_the_loss(network):
    certificate, readout = certify(network.theta, 1.0), network.theta["readout.weight"]
    for loss in (1e-3, 0.1, 0.69):
        k = forgotten_after(certificate, readout, loss)
        bounds = least_cross_entropy(log_odds_gap(certificate, readout, torch.tensor([k - 1, k])))
        assert bounds[0] <= loss < bounds[1]


def test_a_certificate_over_three_steps_shrinks_once_every_three(network):
    """Hypothesis: equation (5) once for each whole block of steps, from the region's diameter."""
    certificate = certify(network.theta, 1.0, "componentwise", steps=3)
    readout = network.theta["readout.weight"]
    longest = certificate.norm.longest
    for k, powers in ((0, 0), (2, 0), (3, 1), (8, 2), (9, 3)):
        bound = longest * certificate.diameter * certificate.constant**powers
        assert float(envelope(certificate, k)) == pytest.approx(bound, rel=1e-12)
        assert float(envelope(certificate, k, diameter=0.5)) == pytest.approx(
            bound / certificate.diameter / 2, rel=1e-12
        )
    for loss in (0.1, 0.69):
        k = forgotten_after(certificate, readout, loss)
        bounds = least_cross_entropy(log_odds_gap(certificate, readout, torch.tensor([k - 1, k])))
        assert k % 3 == 0 and bounds[0] <= loss < bounds[1]
    assert forgotten_after(certificate, 1e-9 * readout, 0.1) == 0


def test_a_contraction_is_left_with_one_bit_of_loss_in_the_end(network):
    certificate, readout = certify(network.theta, 1.0), network.theta["readout.weight"]
    assert float(least_cross_entropy(log_odds_gap(certificate, readout, 3000))) == pytest.approx(
        math.log(2), abs=1e-12
    )


def test_only_a_contraction_is_bound_to_forget():
    rnn = torch.nn.RNN(1, 2)
    rnn.weight_hh_l0.data = 3 * torch.eye(2)
    certificate = certify(rnn)
    with pytest.raises(ValueError, match="only a contraction"):
        forgotten_after(certificate, torch.ones(2, 2), 0.1, diameter=2.0)


def test_losses_and_read_outs_out_of_range_are_refused(network):
    certificate, readout = certify(network.theta, 1.0), network.theta["readout.weight"]
    with pytest.raises(ValueError, match=r"between 0 and log 2"):
        forgotten_after(certificate, readout, 0.7)
    with pytest.raises(ValueError, match="24 components"):
        log_odds_gap(certificate, torch.ones(4, 25, dtype=F64), 1)

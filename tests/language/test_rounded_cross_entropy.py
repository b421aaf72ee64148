"""The loss in bfloat16 against the exact one: a known error bound, and chunks that add up."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from rnnlib.language import rounded_cross_entropy as module
from rnnlib.language.rounded_cross_entropy import rounded_cross_entropy

U = 2.0**-8  # the unit roundoff of bfloat16


def decoder(n=50, units=12, words=33, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    parts = torch.randn(n, units), torch.randn(words, units), torch.randn(words)
    return [part.to(dtype).requires_grad_() for part in parts], torch.randint(words, (n,))


def loss_and_gradients(function, parts, targets):
    loss = function(*parts, targets)
    return loss.detach(), torch.autograd.grad(loss, parts)


def exact(h, weight, bias, targets):
    return cross_entropy(linear(h, weight, bias), targets)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_within_the_bound_of_the_rounded_factors(seed):
    """Hypothesis: a logit errs by less than 4 u |w| |h|, so a loss by less than twice that."""
    (h, weight, bias), targets = decoder(seed=seed)
    ours = rounded_cross_entropy(h, weight, bias, targets)
    bound = 2 * 4 * U * torch.linalg.vector_norm(weight, dim=1).max()
    bound = bound * torch.linalg.vector_norm(h, dim=1).mean()
    error = (ours - exact(h, weight, bias, targets)).abs()
    assert 0 < error < bound


def test_factors_that_bfloat16_holds_lose_nothing_in_the_loss():
    """Hypothesis: small whole numbers have exact products, so the loss is the float64 one."""
    torch.manual_seed(0)
    h, weight = torch.randint(-2, 3, (40, 6)).float(), torch.randint(-2, 3, (20, 6)).float()
    bias, targets = torch.randn(20), torch.randint(20, (40,))
    ours = rounded_cross_entropy(h, weight, bias, targets)
    known = exact(h.double(), weight.double(), bias.double(), targets)
    assert ours.item() == pytest.approx(known.item(), rel=1e-6)


def test_the_gradients_are_the_exact_ones_to_the_digits_of_bfloat16():
    parts, targets = decoder()
    loss, ours = loss_and_gradients(rounded_cross_entropy, parts, targets)
    assert loss.dtype == torch.float32
    for mine, known in zip(ours, loss_and_gradients(exact, parts, targets)[1], strict=True):
        assert mine.shape == known.shape and mine.dtype == known.dtype
        assert 0 < (mine - known).norm() < 3 * U * known.norm()


@pytest.mark.parametrize(("chunk", "block"), [(1, 1), (7, 50), (7, 3), (50, 7), (50, 1), (200, 50)])
def test_chunks_of_any_length_add_up_to_the_same(chunk, block, monkeypatch):
    """Hypothesis: chunks, blocks of them and shorter last ones give what all rows at once give."""
    parts, targets = decoder()
    monkeypatch.setattr(module, "CHUNK", 50)
    monkeypatch.setattr(module, "BLOCK", 50)
    whole, gradients = loss_and_gradients(rounded_cross_entropy, parts, targets)
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "BLOCK", block)
    loss, ours = loss_and_gradients(rounded_cross_entropy, parts, targets)
    torch.testing.assert_close(loss, whole)
    for mine, known in zip(ours, gradients, strict=True):
        assert (mine - known).norm() < U * known.norm()


def test_an_impossible_word_has_a_finite_loss():
    """Hypothesis: a probability that underflows still has its logarithm, here 500."""
    h, weight = torch.tensor([[1.0]]), torch.tensor([[500.0], [0.0]])
    loss = rounded_cross_entropy(h, weight, torch.zeros(2), torch.tensor([1]))
    assert loss.item() == 500.0


def test_probabilities_that_underflow_leave_the_gradient_as_it_is():
    """Hypothesis: what is cut off is below 1e-34, beside gradients of order one."""
    (h, weight, bias), targets = decoder()
    parts = [(40 * h).detach().requires_grad_(), weight, bias]
    assert linear(*parts).log_softmax(1).min() < 2 * module.LEAST
    ours = loss_and_gradients(rounded_cross_entropy, parts, targets)[1][1]
    known = loss_and_gradients(exact, parts, targets)[1][1]
    assert (ours - known).norm() < 0.1 * known.norm()  # the logits themselves err by 1 or so


def test_nan_is_passed_on():
    (h, weight, bias), targets = decoder()
    with torch.no_grad():
        h[3, 2] = math.nan
    assert rounded_cross_entropy(h, weight, bias, targets).isnan()


def test_a_second_derivative_is_an_error():
    (h, weight, bias), targets = decoder()
    loss = rounded_cross_entropy(h, weight, bias, targets)
    (gradient,) = torch.autograd.grad(loss, h, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        torch.autograd.grad(gradient.sum(), weight)

"""Numbers too small for a float's exponent: set to zero in training, and put back after."""

import pytest
import torch
from torch import nn

from rnnlib.tasks import Sine, Symbols
from rnnlib.training import Run, SequenceModel, Settings, arithmetic, train
from rnnlib.training.subnormals import flushed, flushing

ABLE = torch.set_flush_denormal(False)
needs_able = pytest.mark.skipif(not ABLE, reason="this processor cannot flush subnormals")
NORMAL = 2.0**-126  # the smallest normal float32


@needs_able
def test_subnormals_are_zero_inside_and_numbers_outside():
    tiny = torch.tensor([NORMAL])
    with flushed() as able:
        assert able and flushing() and (tiny / 2).item() == 0 and tiny.item() == NORMAL
        assert torch.get_num_threads() == 1
    assert not flushing() and (tiny / 2).item() == NORMAL / 2


@needs_able
def test_what_was_set_before_is_put_back_also_after_an_error():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    try:
        with pytest.raises(KeyError), flushed():
            raise KeyError
        assert flushing() and torch.get_num_threads() == 2
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def fading() -> SequenceModel:
    """An LSTM that forgets by a factor of 0.02 a step: after 22, gradients are subnormal."""
    torch.manual_seed(0)
    network = SequenceModel("lstm", 6, 8, 4)
    with torch.no_grad():
        network.layer.weight_hh_l0.mul_(0.01)
        network.layer.bias_hh_l0[8:16] = -4.0
    return network


@needs_able
def test_losses_and_gradients_are_the_same_but_for_what_is_below_1e_minus_30():
    """Hypothesis: with and without, on a task whose gradients do reach the subnormals."""
    task = Symbols(20, 10, 60, 20)
    ((z, target),) = list(task.batches())
    found = {}
    for flush in (False, True):
        network = fading()
        z = z.detach().clone().requires_grad_()
        with flushed() if flush else torch.enable_grad():
            loss, _, _ = task.loss(network(z)[0], target)
            loss.backward()
        found[flush] = [loss.detach(), *(p.grad for p in network.parameters()), z.grad]
    reached = found[False][-1].abs()
    assert ((reached > 0) & (reached < NORMAL)).any(), "no gradient became subnormal"
    assert not ((0 < found[True][-1].abs()) & (found[True][-1].abs() < NORMAL)).any()
    for kept, zeroed in zip(found[False], found[True], strict=True):
        assert (kept - zeroed).abs().max() <= 1e-30


def test_training_flushes_where_gradients_fade_and_only_there():
    """Hypothesis: seen from a callback; the surroundings' setting is back afterwards."""
    seen = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for task, n_in, n_out in ((Symbols(10, 10, 49, 10), 6, 4), (Sine(2, 5, 2), 1, 1)):

            def look(epoch, model, task=task):
                seen[type(task).__name__] = flushing(), torch.get_num_threads()

            network = SequenceModel("lstm", n_in, 3, n_out)
            train(Run(task, network, Settings(epochs=1, learning_rate=0.1), [look]), progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert seen == {"Symbols": (ABLE, 1), "Sine": (False, 2)}
    assert not flushing()


def test_the_provenance_says_how_it_was_computed(monkeypatch):
    fades, keeps = Symbols(10, 10, 49, 10), Sine(2, 5, 2)
    threads = torch.get_num_threads()
    if ABLE:
        assert arithmetic(fades, "cpu") == {"threads": 1, "subnormals": "flushed"}
    assert arithmetic(keeps, "cpu") == {"threads": threads, "subnormals": "kept"}
    assert arithmetic(fades, "cuda")["subnormals"] == "kept"
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: False)
    assert arithmetic(fades, "cpu")["subnormals"] == "kept, the processor cannot flush them"


def test_a_module_without_gradients_that_fade_is_a_task_like_any_other():
    assert arithmetic(nn.Identity(), "cpu")["subnormals"] == "kept"

"""The watch records what a network becomes, within its share of the time."""

import sys

import pytest
import torch
from networks import noise
from torch import nn

from rnnlib.diagnosis import Watch, watch, watching


class Clock:
    """A clock that a test moves on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(watching.time, "perf_counter", clock)
    return clock


def network():
    torch.manual_seed(0)
    return nn.GRU(1, 4)


def test_it_records_the_regime_and_the_gradient_of_the_network_as_it_is_now():
    model = network()
    seen = watch(model, noise(1), share=float("inf"), steps=100)
    first = seen(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    second = seen(1)
    assert first["regime"] == second["regime"] == "fixed point" and second["settled"]
    # a GRU without weights halves its state at every step
    assert second["multiplier"] == pytest.approx(0.5, abs=1e-6)
    assert second["gradient_10"] == pytest.approx(0.5**10, rel=1e-6)
    assert second["exponent"] == pytest.approx(-0.6931, abs=1e-3)
    assert [look["step"] for look in seen.history] == [0, 1]


def test_it_looks_only_while_that_costs_its_share(clock, monkeypatch):
    """Hypothesis: if a look takes 1 s and the share is 5 %, looks are 20 s apart or more."""

    def look(self):
        clock.now += 1.0
        return {"regime": "fixed point", "settled": True, "exponent": -1.0}

    monkeypatch.setattr(Watch, "_look", look)
    seen = watch(network(), noise(1))
    for epoch in range(1000):
        clock.now += 0.25
        seen(epoch)
    assert len(seen.history) >= 10
    assert seen.spent <= 0.05 * clock.now + 1.0  # the first look is made whatever it costs


def test_each_number_goes_to_the_writer_too():
    written = []

    class Writer:
        def add_scalar(self, name, value, step):
            written.append((name, value, step))

    seen = watch(network(), noise(1), writer=Writer(), share=float("inf"), steps=50)
    look = seen(7)
    assert ("watch/exponent", look["exponent"], 7) in written
    assert {name for name, _, _ in written} >= {"watch/multiplier", "watch/gradient_1"}


def test_training_is_left_as_it_was():
    """Hypothesis: mode, gradients and random numbers are those of a run without a watch."""
    model = network().train()
    model(noise(1))[0].sum().backward()
    gradient = model.weight_hh_l0.grad.clone()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    watch(model, noise(1), share=float("inf"), steps=50)()
    assert torch.equal(torch.rand(3), expected)
    assert model.training and torch.equal(model.weight_hh_l0.grad, gradient)


def test_without_lightning_the_callback_says_what_to_install(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install lightning"):
        watch(network(), noise(1)).lightning()


def test_with_lightning_it_looks_at_each_epochs_end(monkeypatch):
    class Callback:
        pass

    class Module:
        pass

    pytorch = Module()
    pytorch.Callback = Callback
    monkeypatch.setitem(sys.modules, "lightning", Module())
    monkeypatch.setitem(sys.modules, "lightning.pytorch", pytorch)
    seen = watch(network(), noise(1), share=float("inf"), steps=50)
    callback = seen.lightning()
    assert isinstance(callback, Callback)
    trainer = Module()
    trainer.current_epoch = 12
    callback.on_train_epoch_end(trainer, None)
    assert seen.history[0]["step"] == 12


def test_a_share_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="share is 0"):
        watch(network(), noise(1), share=0)

"""Products in bfloat16: asked of the library too, close to float32, chosen by a measurement."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from rnnlib.nn import OrthogonalRNN, bfloat16, measure_precisions, run_rounded
from rnnlib.training import SequenceModel

HAS = bfloat16.library_has_bfloat16()
needs_bfloat16 = pytest.mark.skipif(not HAS, reason="oneDNN has no bfloat16 here")


def test_a_library_held_to_older_instructions_is_asked_too():
    """Hypothesis: whatever the processor has, without oneDNN's support there are no products."""
    code = (
        "import torch; from rnnlib.nn import bfloat16 as b;"
        "torch.cpu.get_capabilities = lambda: {'avx512_bf16': True, 'amx_bf16': True};"
        "print(b.multiplies_bfloat16(), b.measure_precisions(torch.nn.LSTM(2, 3), 2, 1).best)"
    )
    environment = {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "float32"]


@needs_bfloat16
def test_outputs_and_gradients_are_float32_and_near_the_exact_ones():
    torch.manual_seed(0)
    layer, z = nn.LSTM(3, 16), torch.randn(12, 4, 3)
    state = torch.randn(1, 4, 16), torch.randn(1, 4, 16)
    found = {}
    for name, run in (("exact", layer), ("rounded", lambda z, s: run_rounded(layer, z, s))):
        h, (h_last, c_last) = run(z, state)
        gradients = torch.autograd.grad(h.square().sum(), list(layer.parameters()))
        found[name] = [h.detach(), h_last.detach(), c_last.detach(), *gradients]
    for exact, rounded in zip(found["exact"], found["rounded"], strict=True):
        assert rounded.dtype == torch.float32
        assert 0 < (exact - rounded).norm() < 0.05 * exact.norm()


@needs_bfloat16
def test_a_model_rounds_in_training_and_never_in_evaluation():
    torch.manual_seed(0)
    exact = SequenceModel("lstm", 2, 8, 1)
    torch.manual_seed(0)
    rounded = SequenceModel("lstm", 2, 8, 1, layer_precision="bfloat16")
    z = torch.randn(9, 3, 2)
    assert not torch.equal(exact(z)[0], rounded(z)[0])
    assert torch.equal(exact.eval()(z)[0], rounded.eval()(z)[0])


@pytest.mark.parametrize(("slower", "best"), [(2.0, "float32"), (0.5, "bfloat16")])
def test_the_faster_one_is_chosen_and_said(slower, best):
    speed = bfloat16.Speed(1.0, slower)
    assert speed.best == best and f"{slower:.2f} of the time of float32" in str(speed)


def test_a_layer_without_such_products_stays_in_float32():
    """Hypothesis: nothing is run, and gradients are left as they were."""
    speed = measure_precisions(OrthogonalRNN(2, 3), 4, 2)
    assert speed.best == "float32" and "no products" in str(speed)
    layer = nn.LSTM(2, 3)
    measure_precisions(layer, 4, 2)
    assert all(p.grad is None for p in layer.parameters())


def test_bfloat16_for_another_layer_or_an_unknown_precision_is_an_error():
    with pytest.raises(ValueError, match="only LSTMs have"):
        SequenceModel("ornn", 2, 3, 1, layer_precision="bfloat16")
    with pytest.raises(ValueError, match="layer_precision is 'half'"):
        SequenceModel("lstm", 2, 3, 1, layer_precision="half")


def test_a_processor_without_it_says_so(monkeypatch):
    monkeypatch.setattr(bfloat16, "library_has_bfloat16", lambda: False)
    with pytest.raises(RuntimeError, match="use 'float32'"):
        run_rounded(nn.LSTM(1, 2), torch.zeros(2, 1, 1))

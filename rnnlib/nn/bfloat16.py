"""Products in bfloat16: whether they are to be had here, and whether they are faster.

Factors are rounded to 8 bits and sums are in float32. Processors with AMX or AVX-512 bf16 multiply
so natively; elsewhere it is emulated, or missing.
"""

import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

LAYER_PRECISIONS = ("float32", "bfloat16", "fastest")


class Speed(NamedTuple):
    """Seconds of a step forward and back, the least of a few, in either precision."""

    float32: float
    bfloat16: float

    @property
    def best(self) -> str:
        return "bfloat16" if self.bfloat16 < self.float32 else "float32"

    def __str__(self):
        if self.bfloat16 == float("inf"):
            return "float32 (this layer has no products in bfloat16 here)"
        share = self.bfloat16 / self.float32
        return f"{self.best} (bfloat16 takes {share:.2f} of the time of float32 here)"


def multiplies_bfloat16() -> bool:
    """Return whether bfloat16 is multiplied natively: by the processor, and by oneDNN as it is set.

    oneDNN can be held to older instructions (``ONEDNN_MAX_CPU_ISA``); its products are then missing
    or emulated, whatever the processor has.
    """
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return native and library_has_bfloat16()


def library_has_bfloat16() -> bool:
    """Return whether oneDNN has products in bfloat16 here, native or emulated."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def run_rounded(
    layer: nn.LSTM, z: Tensor, state: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run an LSTM with its products in bfloat16, and return outputs and state in ``z``'s type.

    Raises:
        RuntimeError: there are no such products on this processor.
    """
    if z.device.type == "cpu" and not library_has_bfloat16():
        raise RuntimeError(
            "layer_precision is 'bfloat16', which oneDNN does not have on this processor as it is "
            "set; use 'float32', or 'fastest' to measure."
        )
    with torch.autocast(z.device.type, torch.bfloat16):
        h, (h_last, c_last) = layer(z, state)
    return h.to(z.dtype), (h_last.to(z.dtype), c_last.to(z.dtype))


def measure_precisions(layer: nn.Module, steps: int, batch: int, repeats: int = 3) -> Speed:
    """Time a layer forward and back on a random input, in float32 and in bfloat16.

    Where bfloat16 is not multiplied natively, or the layer is none of torch's LSTMs, its time
    counts as infinite and nothing is run.

    Args:
        layer: its weights' gradients are left as they were.
        steps: of the sequence.
        batch: sequences at once.
        repeats: of which the fastest counts, after one that warms up.
    """
    p = next(layer.parameters())
    cuda = p.device.type == "cuda"
    native = torch.cuda.is_bf16_supported() if cuda else multiplies_bfloat16()
    if not (type(layer) is nn.LSTM and native):
        return Speed(0.0, float("inf"))
    z = torch.zeros(steps, batch, layer.input_size, device=p.device, dtype=p.dtype)

    def seconds(run) -> float:
        taken = []
        for _ in range(repeats + 1):
            begun = time.perf_counter()
            y, _ = run(z)
            torch.autograd.grad(y.sum(), list(layer.parameters()))
            if cuda:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - begun)
        return min(taken[1:])

    return Speed(seconds(layer), seconds(lambda z: run_rounded(layer, z)))

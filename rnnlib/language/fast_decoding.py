"""The closed loop of a language model at the speed of memory, on a processor in float32.

Nearly all time of a step goes into reading the decoder, 106 MB for 33278 words and 800 units. With
few states at once torch's own product reads it at a fifth of the memory's speed. Two things help,
and the words stay the same (``python -m benchmarks.language_model``):

- matrices are laid out once as oneDNN wants them (`PackedMatrix`), which alone makes a step of 10
  states 2.2 to 2.7 times as fast as the module with the full decoder;
- the decoder is first read in bfloat16, half the bytes, with an error bound that rules out nearly
  all words, and only the others are decoded in float32 (`Screened`): with it 3 to 4 times.

Sums are taken in another order, so a chaotic orbit parts from that of another route in time, as it
does from that of another processor. Where the operators are not there (another precision, a GPU,
another torch: they are private ones) the loop is the plain one.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from rnnlib.language.model import LanguageModel, most_probable
from rnnlib.nn import multiplies_bfloat16
from rnnlib.systems import System

ROUNDOFF = 2.0**-8  # the unit roundoff u of bfloat16


def fast_closed_loop(
    model: LanguageModel,
    rows: int,
    dtype: torch.dtype = torch.float32,
    decode: Callable[[Tensor, Tensor, Tensor], Tensor] = most_probable,
) -> System:
    """Return `LanguageModel.closed_loop`, faster, for orbits without derivatives.

    Args:
        model: the network.
        rows: how many states will be stepped at once; other numbers are right too, and slower.
        dtype: of the system; float32 is what becomes faster.
        decode: as for the plain loop.
    """
    weight, bias = model.embedding.weight.detach(), model.bias.detach()
    if dtype != torch.float32 or not packs(weight.device):
        return model.closed_loop(decode, dtype)
    unpacked = set()
    if decode is most_probable and multiplies_bfloat16():
        decode, unpacked = Screened(weight.to(dtype), bias.to(dtype), rows), {"decoder.weight"}
    loop = model.closed_loop(decode, dtype)
    matrices = {k: p for k, p in loop.theta.items() if p.dim() == 2 and k not in unpacked}
    packed = {name: PackedMatrix.of(p, rows) for name, p in matrices.items()}
    return replace(loop, theta={**loop.theta, **packed})


def packs(device: torch.device) -> bool:
    """Return whether torch has oneDNN's products with packed matrices on a device."""
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class PackedMatrix(Tensor):
    """A matrix that `torch.nn.functional.linear` multiplies with from a packed copy."""

    packed: Tensor

    @classmethod
    def of(cls, matrix: Tensor, rows: int) -> "PackedMatrix":
        """Pack a float32 matrix for products with ``rows`` rows."""
        self = matrix.as_subclass(cls)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(matrix, rows)
        return self

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():  # so that plain tensors come out
            if func is functional.linear:
                x, matrix = args[:2]
                bias = args[2] if len(args) > 2 else None
                return torch.ops.mkldnn._linear_pointwise(x, matrix.packed, bias, "none", [], "")
            return func(*args, **(kwargs or {}))


class Screened:
    """`most_probable` for one decoder, by a product in bfloat16 that rules out most words.

    With weights, states and the product rounded to bfloat16, a logit is wrong by at most
    ``(3 u + 4 u^2) |w| |h|`` in Euclidean norms, and summing in float32 adds ``n 2^-23 |w| |h|``.
    A word that is further than twice that below the best cannot be the most probable one.

    Args:
        weight: the decoder's, float32, shape ``(n_words, n_hidden)``.
        bias: shape ``(n_words,)``.
        rows: how many states will come at once.
    """

    def __init__(self, weight: Tensor, bias: Tensor, rows: int):
        self.rough = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), rows)
        norm = torch.linalg.vector_norm(weight, dim=-1).max()
        self.error = (3 * ROUNDOFF + 4 * ROUNDOFF**2 + weight.shape[1] * 2.0**-23) * norm

    def __call__(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rough = torch.ops.mkldnn._linear_pointwise(h.bfloat16(), self.rough, None, "none", [], "")
        rough = rough + bias  # in float32
        margin = 2 * self.error * torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        rough -= rough.amax(-1, keepdim=True) - margin
        words = (~(rough.amax(0) < 0)).nonzero().squeeze(1)  # not ruled out by every state
        if len(words) > len(bias) / 8:  # gathering them would take longer
            return most_probable(h, weight, bias)
        return words[most_probable(h, weight[words], bias[words])]

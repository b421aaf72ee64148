"""Affine maps and joins whose weights, not only their arguments, carry batch axes.

A sweep over parameters asks for thousands of products of *different* tiny matrices. torch's
batched matrix product spends its time on bookkeeping there: for 5000 products of an 8 x 2 matrix
with a vector it takes 4 to 6 times as long as the two fused multiply-adds below, once the batch
axis is the innermost in memory. The shapes that a reader sees never change, only the strides.
"""

import torch
from torch import Tensor

SMALL = 8  # columns up to which the multiply-adds win over matmul


def batch_innermost(tensor: Tensor, core: int) -> Tensor:
    """Return the same values with the batch axes contiguous in memory.

    Args:
        tensor: shape ``(*batch, *core_shape)``.
        core: the number of trailing axes that are not batch axes.
    """
    batch = tensor.dim() - core
    if batch <= 0 or max(tensor.shape[batch:], default=0) > 4 * SMALL:
        return tensor
    to_front = [*range(batch, tensor.dim()), *range(batch)]
    to_back = [*range(core, tensor.dim()), *range(core)]
    return tensor.permute(to_front).contiguous().permute(to_back)


def stack_into(steps: int, example: Tensor) -> Tensor:
    """Return room for ``steps`` tensors like ``example``, with its strides kept.

    Returns:
        Uninitialised, shape ``(steps, *example.shape)``.
    """
    return torch.empty_like(example.unsqueeze(0).expand(steps, *example.shape))


def affine(weight: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``weight @ x + bias`` with broadcasting batch axes on all three.

    Args:
        weight: shape ``(*batch, rows, columns)``.
        x: shape ``(*batch, columns)``.
        bias: shape ``(*batch, rows)`` or None.

    Returns:
        Shape ``(*batch, rows)``.
    """
    if weight.dim() == 2:
        if bias is None or bias.dim() == 1:
            return torch.nn.functional.linear(x, weight, bias)
        return torch.nn.functional.linear(x, weight) + bias
    columns = weight.shape[-1]
    if columns <= SMALL:
        out = weight[..., 0] * x[..., 0:1]
        for j in range(1, columns):
            out = out.addcmul_(weight[..., j], x[..., j : j + 1])
        return out if bias is None else out + bias
    if weight.shape[-3] == 1 and x.dim() >= 2:  # many states share each matrix: one product
        out = x @ weight.squeeze(-3).mT
    else:
        out = (weight @ x.unsqueeze(-1)).squeeze(-1)
    return out if bias is None else out + bias


def join(*parts: Tensor) -> Tensor:
    """Concatenate states along their last axis, keeping the batch axes innermost if they are.

    Args:
        parts: tensors of shape ``(*batch, n_i)`` with equal batch axes.

    Returns:
        Shape ``(*batch, sum of n_i)``.
    """
    if sum(part.shape[-1] for part in parts) <= 4 * SMALL:
        return torch.cat([part.movedim(-1, 0) for part in parts]).movedim(0, -1)
    return torch.cat(parts, dim=-1)


def times_tanh(a: Tensor, x: Tensor) -> Tensor:
    """Return ``a tanh(x)``, blended from ``-a`` to ``a`` by ``sigmoid(2 x) = (1 + tanh x) / 2``.

    The error is one rounding of ``a``. torch's own tanh takes four times as long as its sigmoid in
    float64 on a CPU, and with it an LSTM's step takes 1.5 times as long.
    """
    return torch.lerp(-a, a, torch.sigmoid(x + x))

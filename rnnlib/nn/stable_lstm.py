"""The stable LSTM: projections to apply after every optimizer step, as published and certified.

``project_published_`` is the step of the paper's experiments. It bounds the columns of the
recurrent matrices and of the forget gate's input matrix, and no bias; the result need not be
contractive. ``project_certified_`` bounds what the proof of Miller and Hardt uses: rows, and the
forget gate itself, through its input weights, its bias and the size of the inputs. Use either as a
hook of any optimizer::

    optimizer.register_step_post_hook(lambda *_: project_certified_(lstm, input_bound=1.0))
"""

import math

import torch
from torch import Tensor, nn

from rnnlib.nn.parameters import parameters_in_use

PUBLISHED_RADII = (0.395, 0.155, 0.099, 0.395)  # i, f, g, o
PUBLISHED_INPUT_RADIUS = 0.25  # forget gate
FORGET = 0.6  # the published radii are just inside those of this forget gate


def certified_radii(forget: float = FORGET) -> tuple[float, float, float, float]:
    """Return Miller and Hardt's bounds on the row sums of ``|W_hi|, |W_hf|, |W_hg|, |W_ho|``.

    Args:
        forget: the largest value that the forget gate can take, between 0 and 1.

    Raises:
        ValueError: ``forget`` is not strictly between 0 and 1, or leaves the gate no room.

    Reference:
        Miller and Hardt, "Stable recurrent models", ICLR 2019, proposition 2.
    """
    if not 0 < forget < 1 or math.log(forget / (1 - forget)) <= (1 - forget) ** 2:
        raise ValueError(
            f"forget is {forget}; it must be below 1 and large enough for sigmoid((1 - forget)^2), "
            f"which the recurrent weights alone can reach: take 0.6 or more."
        )
    return 1 - forget, (1 - forget) ** 2, (1 - forget) / 4, 1 - forget


def certified_rate(forget: float = FORGET) -> float:
    """Return the rate to which `project_certified_` brings each layer, in a weighted max norm.

    It is the spectral radius of the 2 x 2 comparison ``[[1 - F, F], [3 (1 - F) / 4, F]]`` of
    ``(|dh|, |dc|)`` for the forget bound ``F``. In the plain max norm the bound is 1.
    """
    certified_radii(forget)
    return (1 + math.sqrt(1 - forget * (1 - forget))) / 2


@torch.no_grad()
def project_published_(lstm: nn.LSTM) -> None:
    """Rescale columns to fixed l1 norms, in place, as the stable LSTM of the paper does.

    Each column of the four recurrent matrices gets the norm 0.395 (i), 0.155 (f), 0.099 (g),
    0.395 (o), each column of the forget gate's input matrix 0.25, in every layer. It rescales
    up as well as down; a column of zeros stays. Biases and the other input weights are free.

    Args:
        lstm: the network, of any number of layers.

    Raises:
        TypeError: not a `torch.nn.LSTM`, or a subclass with a ``forward`` of its own.
        ValueError: a bidirectional or projected network; weights that are no parameters, but worked
            out from others (pruned, parametrized), which could not be kept.

    Example:
        >>> import torch, rnnlib
        >>> network = torch.nn.LSTM(2, 4)
        >>> rnnlib.project_published_(network)
        >>> network.weight_hh_l0[:4].detach().abs().sum(0)
        tensor([0.3950, 0.3950, 0.3950, 0.3950])
    """
    weights = _weights(lstm)
    for k in range(lstm.num_layers):
        recurrent = weights[f"weight_hh_l{k}"].chunk(4)
        for matrix, radius in zip(recurrent, PUBLISHED_RADII, strict=True):
            _rescale_columns_(matrix, radius)
        _rescale_columns_(weights[f"weight_ih_l{k}"].chunk(4)[1], PUBLISHED_INPUT_RADIUS)


@torch.no_grad()
def project_certified_(lstm: nn.LSTM, input_bound: float, forget: float = FORGET) -> None:
    """Scale rows and limit the forget gate, in place, so that the network is a contraction.

    Afterwards, for inputs with ``|z_i| <= input_bound``, every layer satisfies Miller and Hardt's
    condition with the forget bound ``forget``, and `rnnlib.certify` proves it.
    Weights that satisfy the condition are not touched; projecting twice is projecting once.

    Row ``j`` of each recurrent matrix is scaled down to its radius. In the forget gate the sum
    ``input_bound * |W_xf|_row + bias`` is kept at ``logit(forget)`` less the recurrent radius:
    input weights and a positive bias are scaled down together, a negative bias is kept.

    Args:
        lstm: the network, of any number of layers; those above the first see inputs up to 1.
        input_bound: the largest ``|z_i|`` that the network will see.
        forget: the largest value that the forget gate may take. More remembers longer and leaves
            smaller recurrent weights.

    Raises:
        TypeError: not a `torch.nn.LSTM`, or a subclass with a ``forward`` of its own.
        ValueError: a bidirectional or projected network, a negative or infinite ``input_bound``, a
            ``forget`` that is out of range; weights that are no parameters, but worked out from
            others (pruned, parametrized), which could not be kept.

    Example:
        >>> import torch, rnnlib
        >>> network = torch.nn.LSTM(2, 4).double()
        >>> rnnlib.project_certified_(network, input_bound=1.0)
        >>> rnnlib.certify(network, 1.0).constant < 1
        True
    """
    radii = certified_radii(forget)
    if not 0 <= input_bound < float("inf"):
        raise ValueError(f"input_bound is {input_bound}; it must be finite and at least 0.")
    weights = _weights(lstm)
    for k in range(lstm.num_layers):
        weight, of_input = weights[f"weight_hh_l{k}"], weights[f"weight_ih_l{k}"]
        for matrix, radius in zip(weight.chunk(4), radii, strict=True):
            norm = matrix.double().abs().sum(1)
            matrix.mul_(_shrink(norm, radius, matrix.dtype).unsqueeze(1))
        of_input = of_input.chunk(4)[1]
        biases = [weights[f"bias_{i}_l{k}"].chunk(4)[1] for i in ("ih", "hh") if lstm.bias]
        used = (1.0 if k else input_bound) * of_input.double().abs().sum(1)
        total = sum((bias.double() for bias in biases), torch.zeros_like(used))
        room = math.log(forget / (1 - forget)) - radii[1] - total.clamp(max=0)
        factor = _shrink(used + total.clamp(min=0), room, of_input.dtype)
        of_input.mul_(factor.unsqueeze(1))
        for bias in biases:  # equal shares: scaling each would round two large opposite ones apart
            lowered = (factor < 1) & (total > 0)
            bias.copy_(torch.where(lowered, factor.double() * total / len(biases), bias.double()))


def _shrink(norm: Tensor, bound: Tensor | float, dtype: torch.dtype) -> Tensor:
    """Return ``min(1, bound / norm)``, where below 1 less a few units in the last place.

    Without these the rounded result could exceed the bound again, and be moved again.
    """
    slack = 1 - 8 * torch.finfo(dtype).eps
    return torch.where(norm > bound, slack * bound / norm, 1.0).to(dtype)


def _rescale_columns_(matrix: Tensor, radius: float) -> None:
    norm = matrix.abs().sum(0)
    matrix.mul_(torch.where(norm > 0, radius / norm, 1.0))


def _weights(lstm: nn.LSTM) -> dict[str, nn.Parameter]:
    if not isinstance(lstm, nn.LSTM):
        raise TypeError(f"lstm is a {type(lstm).__name__}; the projection is for torch.nn.LSTM.")
    if lstm.bidirectional or lstm.proj_size:
        raise ValueError(
            f"lstm has bidirectional={lstm.bidirectional} and proj_size={lstm.proj_size}; the "
            f"projection is for one direction without projected states."
        )
    return parameters_in_use(lstm)

"""Conditions from the literature for one layer, each one number per weight matrix.

The LSTM's are 2 x 2 comparisons of the norms of ``h`` and ``c``: max norms and gates up to 1 in
Miller and Hardt's (but for the forget gate), Euclidean norms and a bound on every gate in the
delta-ISS condition, whose authors ask for incremental input-to-state stability.

Reference:
    Miller and Hardt, "Stable recurrent models", ICLR 2019 (proposition 2); Terzi, Bonassi, Farina,
    Scattolini, "Learning model predictive control with long short-term memory networks",
    International Journal of Robust and Nonlinear Control 31 (2021); Bonassi, Farina, Scattolini,
    "On the stability properties of gated recurrent units neural networks", Systems & Control
    Letters 157 (2021).
"""

import torch
from torch import Tensor

from rnnlib.memory.comparison import collatz_wielandt
from rnnlib.memory.intervals import INF, MARGIN, Interval, image, point, sigmoid, tanh
from rnnlib.memory.networks import Layer, Network
from rnnlib.memory.norms import Norm


def elman_norm(network: Network, p: float) -> tuple[float, Norm]:
    """Return the constant of an Elman network, the norm of ``W_hh``, and that norm.

    Args:
        network: with one layer.
        p: 2 (largest singular value) or infinity (largest row sum).
    """
    norm = Norm(torch.ones(network.n_x, dtype=torch.float64, device="cpu"), p)
    constant = float(norm.induced(network.layers[0].recurrent)) * (1 + MARGIN)
    return (constant if constant < INF else INF), norm


def lstm_by_norms(
    network: Network, inputs: Interval, cell_bound: float, published: bool
) -> tuple[float, Norm, Tensor]:
    """Return the constant of an LSTM by Miller and Hardt, or by the delta-ISS condition.

    Args:
        network: with one layer.
        inputs: shape ``(n_z,)``.
        cell_bound: a bound on ``|c|`` to be covered.
        published: whether as Miller and Hardt do.

    Returns:
        The constant, its norm, and the bound on ``|c|``.
    """
    units = network.units
    matrix, c = _two_by_two(network.layers[0], inputs, cell_bound, published)
    one = torch.ones(2, dtype=torch.float64, device="cpu")
    if not torch.isfinite(matrix).all():
        constant, weights = INF, one
    elif published:
        constant, weights = float(matrix.sum(1).max()) * (1 + MARGIN), one
    else:
        constant, weights = collatz_wielandt(matrix)
    norm = Norm(weights.repeat_interleave(units), INF if published else 2, blocks=2)
    return constant, norm, c


def _two_by_two(layer: Layer, inputs: Interval, cell_bound: float, published: bool):
    """Return the matrix that compares ``(|dh|, |dc|)``, and the bound on ``|c|``."""
    h = torch.ones(layer.recurrent.shape[1], dtype=torch.float64, device="cpu")
    sums = image(layer.of_input, inputs) + point(layer.input_bias)
    sums = sums + image(layer.recurrent, Interval(-h, h)) + point(layer.state_bias)
    a_i, a_f, a_g, a_o = sums.chunk(4)
    i, f, o = (sigmoid(a).high.max() for a in (a_i, a_f, a_o))
    g = tanh(a_g).largest.max()
    rest = sigmoid(Interval(-a_f.high, -a_f.low)).low.min()  # 1 - f
    if published:
        i = g = o = torch.ones_like(f)
    c = (i * g / rest).clamp(min=cell_bound)
    squashed = torch.ones_like(c) if published else torch.tanh(c)
    matrices = layer.recurrent.unflatten(0, (4, -1))
    w_i, w_f, w_g, w_o = torch.linalg.matrix_norm(matrices, ord=INF if published else 2)
    a = (c * w_f + g * w_i) / 4 + i * w_g
    rows = [torch.stack([o * a + squashed * w_o / 4, o * f]), torch.stack([a, f])]
    return torch.stack(rows).nan_to_num(INF, INF, INF), c

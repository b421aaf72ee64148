"""Why a contraction must forget, in numbers: a bound on the loss of a classifier.

Let two sequences agree in their last ``k`` steps, and let the network be a contraction with
constant ``L`` in some norm. Their states are then at most ``L^k D`` apart, with ``D`` the diameter
of the region of states, and the log-odds of any two classes differ by at most::

    gap = max_{i, j} |w_i - w_j|_* L^k D

where ``w_i`` are the rows of the read-out and ``|.|_*`` is the dual norm. If one sequence belongs
to class i and the other to class j, the mean of their cross entropies is at least
``log(1 + exp(-gap / 2))``: at log-odds ``t`` and ``t - gap`` in favour of i it is at least the mean
of ``softplus(-t)`` and ``softplus(t - gap)``, and softplus is convex.
"""

import math

import torch
from torch import Tensor

from rnnlib.memory.certificates import Certificate


def least_cross_entropy(gap: Tensor | float) -> Tensor:
    """Return the least mean cross entropy over two classes whose log-odds differ by ``gap``.

    Args:
        gap: how far the log-odds on the one and the other differ at most, any shape.
    """
    gap = torch.as_tensor(gap, dtype=torch.float64)
    return torch.nn.functional.softplus(-gap / 2)


def log_odds_gap(
    certificate: Certificate, readout: Tensor, steps: Tensor | int, diameter: float | None = None
) -> Tensor:
    """Bound how far the log-odds of two classes can differ after so many equal inputs.

    Args:
        certificate: from `rnnlib.certify`.
        readout: the weights of the read-out, shape ``(classes, n)``, of the first n components of
            the state (an LSTM's ``h``).
        steps: how many inputs the two sequences have in common at their end, any shape.
        diameter: the largest distance of two states, in the certificate's norm; by default
            that of its region.

    Returns:
        The gap, of the shape of ``steps``; infinite where nothing is certified.

    Raises:
        ValueError: a read-out of more components than the state has.
    """
    n_x = len(certificate.norm.weights)
    if readout.shape[-1] > n_x:
        raise ValueError(
            f"readout has shape {tuple(readout.shape)}; the state has {n_x} components."
        )
    pairs = (readout[:, None] - readout).double()
    padded = torch.nn.functional.pad(pairs, (0, n_x - readout.shape[-1]))
    size = certificate.norm.dual(padded).max()
    return size * _apart(certificate, steps, diameter)


def envelope(
    certificate: Certificate, steps: Tensor | int, diameter: float | None = None
) -> Tensor:
    """Bound the Euclidean distance of two states after so many equal inputs.

    Args:
        certificate: as in `log_odds_gap`, as are the other arguments.
        steps: as there.
        diameter: as there.
    """
    return certificate.norm.longest * _apart(certificate, steps, diameter)


def forgotten_after(
    certificate: Certificate, readout: Tensor, loss: float, diameter: float | None = None
) -> int:
    """Return the distance from which on no weights of the read-out's size reach a loss.

    Args:
        certificate: of a contraction.
        readout: as in `log_odds_gap`.
        loss: a mean cross entropy between 0 and log 2, in nats.
        diameter: as in `log_odds_gap`.

    Returns:
        The least number of steps for which `least_cross_entropy` exceeds ``loss``.

    Raises:
        ValueError: nothing contracts, or a loss out of range.
    """
    if not certificate.contractive:
        raise ValueError(f"certificate is {certificate}; only a contraction is bound to forget.")
    if not 0 < loss < math.log(2):
        raise ValueError(f"loss is {loss}; give one between 0 and log 2 = {math.log(2):.4f}.")
    needed = -2 * math.log(math.expm1(loss))  # softplus(-needed / 2) = loss
    first = float(log_odds_gap(certificate, readout, 0, diameter))
    steps = math.log(first / needed) / -math.log(certificate.constant)
    return certificate.steps * max(0, math.floor(steps) + 1)


def _apart(certificate: Certificate, steps: Tensor | int, diameter: float | None) -> Tensor:
    """Bound the distance in the certificate's own norm: ``L^k D``, from equation (5)."""
    if diameter is None:
        diameter = certificate.diameter
    whole = torch.as_tensor(steps) // certificate.steps
    return diameter * certificate.constant ** whole.double()

"""The orthogonal RNN between neutral and contracting: what its units and biases decide.

With a constant input ``h' = modrelu(Q h + U z)`` is affine wherever no preactivation changes its
sign and no unit switches on or off, and its Jacobian there is ``D Q`` with ``D`` diagonal, 1 for a
unit that is on and 0 for one that is off. Two things follow.

A direction is neutral, an eigenvector ``v`` of ``D Q`` with ``|lambda| = 1``, only if
``|v| = |Q v| = |D Q v|``, hence ``D Q v = Q v``: it is an eigenvector of Q that is 0 in every unit
that is off. With all units on every direction is neutral; with one off, in general none.

Where all units are on and large, ``|h'|^2 = sum_i (|a_i| + b_i)^2`` for the preactivation ``a``,
and ``|a|`` is about ``|h|``. If ``a`` points in no special direction the mean of ``|a_i|`` is
``sqrt(2 / (pi n)) |h|``, and the norm drifts at the constant rate ``sqrt(2 / (pi n)) sum_i b_i``.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from rnnlib.dynamics import settle
from rnnlib.systems import System, jacobian

NEUTRAL = 1e-6  # a modulus above 1 less this counts as 1


def drift(system: System) -> float:
    """Return the rate at which the norm of a large state changes, per step.

    Args:
        system: an orthogonal RNN, from `rnnlib.from_module`.
    """
    bias = system.theta["bias"]
    return math.sqrt(2 / (math.pi * len(bias))) * float(bias.sum())


def units_on(x: Tensor) -> Tensor:
    """Return how many units of each state are on.

    Args:
        x: states that a step has led to, shape ``(*batch, n)``; a unit that is off is 0.
    """
    return (x != 0).sum(-1)


@torch.no_grad()
def neutral_directions(system: System, x: Tensor, tolerance: float = NEUTRAL) -> Tensor:
    """Return how many eigenvalues of the Jacobian have modulus 1.

    Args:
        system: an autonomous system (or with its input held).
        x: states, shape ``(*batch, n_x)``.
        tolerance: on the modulus.

    Returns:
        Shape ``(*batch,)``.
    """
    size = torch.linalg.eigvals(jacobian(system, x)).abs()
    return ((size - 1).abs() <= tolerance).sum(-1)


@torch.no_grad()
def norms_along(system: System, x: Tensor, steps: Iterable[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Follow states and measure how large they are on the way.

    Args:
        system: an autonomous system (or with its input held).
        x: shape ``(copies, n_x)``.
        steps: after how many steps to look, in increasing order.

    Returns:
        The steps, shape ``(k,)``; the norms, shape ``(k, copies)``; the last states.
    """
    steps, sizes, before = list(steps), [], 0
    for step in steps:
        x, before = settle(system, x, step - before), step
        sizes.append(torch.linalg.vector_norm(x, dim=-1))
    return torch.tensor(steps), torch.stack(sizes), x

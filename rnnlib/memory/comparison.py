"""Nonnegative matrices that bound how differences of states move, and the norm made for them.

If ``|f(x) - f(w)| <= M |x - w|`` componentwise for all states ``x, w`` of a region and all admitted
inputs, then for *any* positive weights ``v``::

    max_i |f(x) - f(w)|_i / v_i  <=  L max_i |x - w|_i / v_i,    L = max_i (M v)_i / v_i,

so ``f`` has the constant ``L`` in the weighted max norm (Collatz-Wielandt). The best ``v`` brings
``L`` down to the spectral radius of ``M``. Over several steps the derivative is a product whose
factors have signs, and what cancels there a product of absolute values would not see: so each
factor is kept as a matrix and a bound on its error, ``A +- R`` entry by entry.
"""

import torch
from torch import Tensor

from rnnlib.memory.intervals import INF, MARGIN
from rnnlib.memory.quadratic_norms import spectral_radius
from rnnlib.memory.step_enclosure import Rows

TRIES = 200  # of a weight vector that is positive in floating point


def collatz_wielandt(*matrices: Tensor) -> tuple[float, Tensor]:
    """Return ``max_i (M v)_i / v_i`` over some nonnegative matrices, and a good ``v``.

    With ``r`` just above the spectral radius, ``v = (r I - M)^{-1} 1`` is positive and
    ``M v = r v - 1 < r v``. That works for reducible matrices too (stacked layers), whose
    eigenvector can have zeros. The constant is computed from ``v`` afterwards, so it is a bound
    whatever rounding did to ``v``.

    Args:
        matrices: each of shape ``(n, n)``; ``v`` is made for the largest entries of them all.

    Returns:
        The constant, raised by ``MARGIN``, and ``v`` of shape ``(n,)``, its largest entry 1. The
        constant is infinite, and ``v`` all ones, where a matrix is not finite or too large.
    """
    matrix = torch.stack(matrices).amax(0)
    one = torch.ones_like(matrix[0])
    radius = spectral_radius(matrix)
    if radius == INF:
        return INF, one
    r = radius + max(0.01 * abs(1 - radius), 1e-6)
    for _ in range(TRIES):
        weights = torch.linalg.solve_ex(r * torch.diag(one) - matrix, one)[0]
        weights = weights / weights.abs().max()
        if (torch.isfinite(weights) & (weights > 0)).all():
            constant = max(float((m @ weights / weights).max()) for m in matrices)
            return (constant * (1 + MARGIN), weights) if constant < INF else (INF, one)
        r *= 1.1
    return INF, one


def comparison_matrix(rows: list[Rows], n_x: int) -> Tensor:
    """Return ``M >= |J|``, entry by entry, for every Jacobian of an enclosure.

    Args:
        rows: the row blocks, lower layers first.
        n_x: the dimension of the state.
    """
    matrix = torch.zeros(n_x, n_x, dtype=torch.float64, device="cpu")
    for at, terms, below in rows:
        for factor, of_state, of_below in terms:
            moved = of_state.abs()
            if of_below is not None:
                moved = moved + of_below.abs() @ matrix[below]
            # An unbounded factor says nothing of a weight that is 0.
            matrix[at] += (factor.largest[:, None] * moved).where(moved > 0, 0)
    return matrix


def signed_enclosure(rows: list[Rows], n_x: int) -> tuple[Tensor, Tensor]:
    """Return ``A`` and ``R`` with ``|J - A| <= R``, entry by entry, as `comparison_matrix`."""
    centre = torch.zeros(n_x, n_x, dtype=torch.float64, device="cpu")
    radius, size = torch.zeros_like(centre), torch.zeros_like(centre)
    for at, terms, below in rows:
        for factor, of_state, of_below in terms:
            moved, error, most = of_state, torch.zeros_like(of_state), of_state.abs()
            if of_below is not None:
                moved = moved + of_below @ centre[below]
                error = of_below.abs() @ radius[below]
                most = most + of_below.abs() @ size[below]
            centre[at] += factor.middle[:, None] * moved
            scaled = factor.radius[:, None] * moved.abs() + factor.largest[:, None] * error
            radius[at] += scaled.where((moved != 0) | (error > 0), 0)
            size[at] += (factor.largest[:, None] * most).where(most > 0, 0)
    return centre, radius * (1 + MARGIN) + MARGIN * size  # the second: cancellation in the sums


def product(later: tuple[Tensor, Tensor], sooner: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the enclosure ``A +- R`` of the product of two such enclosures, later step first."""
    (a, r), (b, s) = later, sooner
    radius = a.abs() @ s + r @ (b.abs() + s)
    return a @ b, radius * (1 + MARGIN) + MARGIN * (a.abs() @ b.abs())

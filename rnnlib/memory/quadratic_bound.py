"""How much one step stretches an ellipsoidal norm over a set of states: a bound by structure.

With ``|v| = |T v|_2`` before the step and ``|S v|_2`` after it, the constant is the supremum of the
spectral norm of ``S J T^{-1}``. The Jacobian is its middle ``A`` plus terms ``diag(d) Q`` whose
factors are at most ``r`` in size, and for any positive scales ``s``::

    |S diag(d) Q|_2  <=  |S diag(r / s)|_2  |diag(s) Q|_2 .

Taken apart entry by entry, errors in ``n`` rows would count ``sqrt(n)`` times too often; the scales
that balance rows against columns keep them together, and for one unit the bound is exact.
"""

import torch
from torch import Tensor

from rnnlib.memory.intervals import INF, MARGIN
from rnnlib.memory.norms import QuadraticNorm
from rnnlib.memory.step_enclosure import Rows

Piece = tuple[Tensor, Tensor]  # sizes of the factors (n,), and the matrix that they scale (n, m)


def spectral_bound(matrix: Tensor) -> float:
    """Return an upper bound of the largest singular value, infinite for a matrix not finite.

    The root of the largest eigenvalue of ``A^T A`` takes a fifth of the time of a singular value
    decomposition, and is as accurate where only the largest is asked for.
    """
    gram = matrix.mT @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.mT
    if not torch.isfinite(gram).all():
        return INF
    if gram.numel() == 0:
        return 0.0
    return float(torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt()) * (1 + MARGIN)


class Transported:
    """Matrices on states, seen in the coordinates ``T x``; each is multiplied once.

    Args:
        norm: ``|T v|_2``.
    """

    def __init__(self, norm: QuadraticNorm):
        self.norm = norm
        eye = torch.eye(len(norm.matrix), dtype=torch.float64, device="cpu")
        # T^{-1} as computed is T^{-1} (I + E)^{-1}; what follows from it holds up to this factor.
        error = float(torch.linalg.matrix_norm(norm.matrix @ norm.inverse - eye))
        self.slack = (1 + MARGIN) / (1 - error) if error < 0.5 else INF
        self._seen: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def __call__(self, matrix: Tensor) -> Tensor:
        """Return ``V T^{-1}``."""
        return self._of(matrix)[1]

    def row_norms(self, matrix: Tensor) -> Tensor:
        """Return how far each row of ``V x`` can move while ``|T x|_2 <= 1``."""
        return self._of(matrix)[2]

    def _of(self, matrix: Tensor):
        if id(matrix) not in self._seen:  # the matrix is kept, so that its id is not used again
            moved = matrix @ self.norm.inverse
            self._seen[id(matrix)] = matrix, moved, moved.norm(dim=1) * (1 + MARGIN)
        return self._seen[id(matrix)]


def quadratic_bound(rows: list[Rows], after: QuadraticNorm, before: Transported) -> float:
    """Bound ``|S J T^{-1}|_2`` for every Jacobian of an enclosure.

    Args:
        rows: the row blocks, lower layers first.
        after: ``|S v|_2``, the norm of the next state.
        before: of the norm of this state.

    Returns:
        The bound, infinite where something in it is not finite.
    """
    n_x = len(after.matrix)
    centre = torch.zeros(n_x, n_x, dtype=torch.float64, device="cpu")
    size = torch.zeros(n_x, dtype=torch.float64, device="cpu")  # for the rounding of the sums
    errors: dict[int, float] = {}  # of each block of h, |J - A|_2 in the coordinates before
    pieces: list[tuple[slice, list[Piece]]] = []
    total = 0.0
    for at, terms, below in rows:
        uncertain: list[Piece] = []
        carried: list[Piece] = []
        for factor, of_state, of_below in terms:
            if not torch.isfinite(factor.largest).all():
                return INF
            moved = before(of_state)
            most = before.row_norms(of_state)
            if of_below is not None:
                moved = moved + of_below @ centre[below]
                most = most + of_below.abs() @ size[below]
                carried.append((factor.largest, of_below))
            centre[at] += factor.middle[:, None] * moved
            size[at] += factor.largest * most
            uncertain.append((factor.radius, moved))
        pieces.append((at, uncertain))
        own = torch.eye(at.stop - at.start, dtype=torch.float64, device="cpu")
        error = structured(own, uncertain)
        if below is not None and carried and errors[below.start] > 0:
            total += structured(after.matrix[:, at], carried) * errors[below.start]
            error += structured(own, carried) * errors[below.start]
        errors[at.start] = error
    total += spectral_bound(after.matrix @ centre)
    total += _all_at_once(after.matrix, pieces)
    total += MARGIN * float(torch.linalg.matrix_norm(after.matrix) * size.norm())
    return total * before.slack * (1 + MARGIN)


def _all_at_once(left: Tensor, blocks: list[tuple[slice, list[Piece]]]) -> float:
    """Return `structured` for the row blocks together, whose columns of ``left`` stand apart."""
    columns, stack = [], []
    for at, pieces in blocks:
        q, scaled = _balanced(left[:, at], pieces)
        columns.append(left[:, at] * q)
        stack += scaled
    return spectral_bound(torch.cat(columns, 1)) * spectral_bound(torch.cat(stack))


def structured(left: Tensor, pieces: list[Piece]) -> float:
    """Bound ``|left sum_t diag(d_t) Q_t|_2`` over all ``|d_t| <= r_t``."""
    q, scaled = _balanced(left, pieces)
    return spectral_bound(left * q) * spectral_bound(torch.cat(scaled))


def _balanced(left: Tensor, pieces: list[Piece]) -> tuple[Tensor, list[Tensor]]:
    """Return ``q`` and the ``diag(s_t) Q_t`` with ``q^2 = sum_t (r_t / s_t)^2``.

    The scales ``s_t^2 = |left_i| r_t / |Q_t i|`` make ``q_i |left_i|`` and the size of row i in
    the stacked matrices equal, both ``sqrt(|left_i| sum_t r_t |Q_t i|)``.
    """
    weight = left.norm(dim=0)
    weight = weight.clamp(min=torch.finfo(weight.dtype).tiny)
    total, scaled = torch.zeros_like(weight), []
    for r, matrix in pieces:
        length = matrix.norm(dim=1)
        used = (r > 0) & (length > 0)
        squared = (weight * r / length).where(used, 0)
        scaled.append(squared.sqrt()[:, None] * matrix)
        total = total + (r.square() / squared).where(used, 0)
    return total.sqrt(), scaled

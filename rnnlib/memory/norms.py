"""Norms of states, in which a step may contract although it does not in the Euclidean one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

POWER_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class Norm:
    """The norm ``max_k ||(v / weights)_k||_p`` over equal blocks ``k`` of the state.

    One block and ``p = 2`` is a (weighted) Euclidean norm; ``p = inf`` is a weighted max norm
    whatever the blocks; two blocks and ``p = 2`` measure an LSTM's ``h`` and ``c`` apart.

    Attributes:
        weights: positive, shape ``(n_x,)``; a larger weight makes a component count less.
        p: 2 or ``float("inf")``.
        blocks: how many blocks of ``n_x / blocks`` components each.
    """

    weights: Tensor
    p: float = 2
    blocks: int = 1

    def __post_init__(self):
        if self.p not in (2, float("inf")):
            raise ValueError(f"p is {self.p!r}; use 2 or float('inf').")
        if not (torch.isfinite(self.weights) & (self.weights > 0)).all():
            raise ValueError(
                f"weights has its smallest entry at {float(self.weights.min()):g}; every weight of "
                f"a norm must be positive and finite."
            )
        if self.blocks < 1 or len(self.weights) % self.blocks:
            raise ValueError(
                f"blocks is {self.blocks}; it must divide the {len(self.weights)} components."
            )

    def __call__(self, v: Tensor) -> Tensor:
        """Return the norm of vectors of shape ``(*batch, n_x)``, shape ``(*batch,)``."""
        blocks = (v / self.weights).unflatten(-1, (self.blocks, -1))
        return torch.linalg.vector_norm(blocks, ord=self.p, dim=-1).amax(-1)

    def induced(self, matrix: Tensor) -> Tensor:
        """Return the induced norm of matrices, ``max_v |A v| / |v|``.

        It is exact for ``p = inf`` (largest weighted row sum of absolute values) and for one block
        (largest singular value). For several blocks with ``p = 2`` a power iteration returns a
        value that is attained, hence a lower bound.

        Args:
            matrix: shape ``(*batch, n_x, n_x)``.

        Returns:
            Shape ``(*batch,)``, differentiable; NaN for a matrix that is not finite.
        """
        scaled = matrix * self.weights / self.weights[:, None]
        if self.p != 2:
            return scaled.abs().sum(-1).amax(-1)
        if self.blocks == 1:
            return _largest_singular_value(scaled)
        finite = torch.isfinite(scaled).all(-1).all(-1)
        scaled = scaled.where(finite[..., None, None], 0)
        rows = scaled.unflatten(-2, (self.blocks, -1))  # batch, block, row, column
        with torch.no_grad():
            v = torch.linalg.svd(rows, full_matrices=False).Vh[..., 0, :]
            for _ in range(POWER_ITERATIONS):
                v = (rows.mT @ (rows @ v.unsqueeze(-1))).squeeze(-1)
                v = v.unflatten(-1, (self.blocks, -1))
                v = torch.nn.functional.normalize(v, dim=-1).flatten(-2)
        found = torch.linalg.vector_norm(rows @ v.unsqueeze(-1), dim=(-2, -1)).amax(-1)
        return found.where(finite, torch.nan)

    def dual(self, covector: Tensor) -> Tensor:
        """Return ``max |w x|`` over states with ``norm(x) <= 1``, shape ``(*batch,)``.

        Args:
            covector: ``w``, shape ``(*batch, n_x)``.
        """
        order = 2 if self.p == 2 else 1  # the dual of the max norm is the sum
        blocks = (covector * self.weights).unflatten(-1, (self.blocks, -1))
        return torch.linalg.vector_norm(blocks, ord=order, dim=-1).sum(-1)

    @property
    def longest(self) -> float:
        """The largest Euclidean length of a state of norm 1."""
        if self.p == 2:
            return float(self.weights.unflatten(0, (self.blocks, -1)).amax(-1).norm())
        return float(self.weights.norm())

    @property
    def distortion(self) -> float:
        """The smallest ``k`` for which bounds in this norm hold for the Euclidean one times ``k``.

        If ``|A v| <= L |v|`` in this norm then ``|A v|_2 <= k L |v|_2``.
        """
        return self.longest / float(self.weights.min())


@dataclass(frozen=True, eq=False)
class QuadraticNorm:
    """The norm ``|T v|_2 = sqrt(v^T P v)`` with ``P = T^T T``, whose balls are ellipsoids.

    Attributes:
        matrix: ``T``, invertible, shape ``(n_x, n_x)``.
    """

    matrix: Tensor
    p = 2

    def __post_init__(self):
        square = self.matrix.dim() == 2 and self.matrix.shape[0] == self.matrix.shape[1]
        if not square or not torch.isfinite(self.matrix).all():
            raise ValueError(
                f"matrix has shape {tuple(self.matrix.shape)}; it must be square and finite."
            )
        if not torch.isfinite(self.inverse).all():
            raise ValueError("matrix has no inverse in floating point, so it gives no norm.")

    @cached_property
    def inverse(self) -> Tensor:
        """``T^{-1}``, shape ``(n_x, n_x)``."""
        return torch.linalg.inv_ex(self.matrix)[0]

    @property
    def weights(self) -> Tensor:
        """How far each component alone reaches to the unit sphere, shape ``(n_x,)``."""
        return 1 / self.matrix.norm(dim=0)

    def __call__(self, v: Tensor) -> Tensor:
        """Return the norm of vectors of shape ``(*batch, n_x)``, shape ``(*batch,)``."""
        return torch.linalg.vector_norm(v @ self.matrix.mT, dim=-1)

    def induced(self, matrix: Tensor) -> Tensor:
        """Return the induced norm of matrices ``(*batch, n_x, n_x)``, shape ``(*batch,)``."""
        return _largest_singular_value(self.matrix @ matrix @ self.inverse)

    def dual(self, covector: Tensor) -> Tensor:
        """Return ``max |w x|`` over states with ``norm(x) <= 1``, shape ``(*batch,)``."""
        return torch.linalg.vector_norm(covector @ self.inverse, dim=-1)

    @property
    def longest(self) -> float:
        """The largest Euclidean length of a state of norm 1."""
        return float(torch.linalg.matrix_norm(self.inverse, ord=2))

    @property
    def distortion(self) -> float:
        """As `Norm.distortion`: the condition number of ``T``."""
        return self.longest * float(torch.linalg.matrix_norm(self.matrix, ord=2))


def _largest_singular_value(matrix: Tensor) -> Tensor:
    """Return the spectral norm, NaN for a matrix that is not finite: LAPACK may crash on it."""
    finite = torch.isfinite(matrix).all(-1).all(-1)
    found = torch.linalg.matrix_norm(matrix.where(finite[..., None, None], 0), ord=2)
    return found.where(finite, torch.nan)

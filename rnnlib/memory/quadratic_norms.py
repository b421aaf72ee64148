"""The ellipsoidal norm in which a matrix, or a cycle of matrices, contracts: Lyapunov's equation.

If all multipliers of ``A`` are below ``r`` in size, ``P = sum_k (A^T)^k A^k / r^{2k}`` solves
``(A / r)^T P (A / r) = P - I``, so that ``|A v|_P < r |v|_P``: some norm sees every stable linear
map as a contraction, however much it stretches lengths at first. The norms along a cycle solve the
same equation from one point to the next. A metric that depends on the state is the subject of
contraction theory; here it has one value for each point of the cycle.

Reference:
    Lohmiller and Slotine, "On contraction analysis for non-linear systems", Automatica 34 (1998);
    for the doubling, Smith, "Matrix equation XA + BX = C", SIAM J. Appl. Math. 16 (1968).
"""

import torch
from torch import Tensor

from rnnlib.memory.norms import QuadraticNorm

DOUBLINGS = 64  # of the number of terms of the sum
SHARES = (0.05, 0.2, 0.5, 0.8)  # of the way from the spectral radius to 1, where norms are made


def spectral_radius(matrix: Tensor) -> float:
    """Return the largest modulus of an eigenvalue; infinite where it cannot be worked out."""
    if not torch.isfinite(matrix).all():  # LAPACK may crash or hang on it
        return float("inf")
    try:
        return float(torch.linalg.eigvals(matrix).abs().max())
    # torch documents this name, and leaves it out of its list of public ones
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
        # on some matrices with entries of 1e300 beside 1
        return float("inf")


def contracting_norms(matrices: list[Tensor], rate: float) -> list[QuadraticNorm] | None:
    """Return norms ``|.|_k`` with ``|A_k v|_{k+1} <= rate |v|_k`` around a cycle.

    Args:
        matrices: ``A_0, ..., A_{p-1}``, each of shape ``(n, n)``.
        rate: above the p-th root of the spectral radius of their product.

    Returns:
        p norms, or None where they cannot be worked out in double precision.
    """
    eye = torch.eye(len(matrices[0]), dtype=torch.float64, device=matrices[0].device)
    scaled = [matrix / rate for matrix in matrices]
    once, around = torch.zeros_like(eye), eye  # the terms of the sum in one turn, and the turn
    for matrix in scaled:
        once, around = once + around.mT @ around, matrix @ around
    # Doubling takes a quarter of the time of scipy.linalg.solve_discrete_lyapunov at 512 units.
    for _ in range(DOUBLINGS):
        more = around.mT @ once @ around
        once, around = once + more, around @ around
        if not torch.isfinite(once).all():
            return None
        if more.abs().max() <= 1e-17 * once.abs().max():
            break
    else:
        return None
    forms = [once]
    for matrix in reversed(scaled[1:]):
        forms.append(matrix.mT @ forms[-1] @ matrix + eye)
    forms = [forms[0], *reversed(forms[1:])]
    norms = []
    for form in forms:
        factor, failed = torch.linalg.cholesky_ex((form + form.mT) / 2)
        if failed or not torch.isfinite(factor).all():
            return None
        norms.append(QuadraticNorm(factor.mT.contiguous()))
    return norms

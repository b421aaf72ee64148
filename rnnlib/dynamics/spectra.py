"""Singular values and eigenvalues that one library's failure does not lose."""

from collections.abc import Callable

import numpy as np
import scipy
import torch
from torch import Tensor

from rnnlib.systems import System, jacobian, push_forward

# torch documents this name, and leaves it out of its list of public ones
LinAlgError = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]
FORMED = 2**23  # entries of the largest Jacobian that is formed only to be multiplied with vectors
# Components up to which whole Jacobians are taken apart, where nothing else serves: all eigenvalues
# with vectors take some 5 seconds there, and eight times as long at twice the size.
WHOLE = 1200


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin singular value decomposition ``u diag(s) v``.

    Args:
        matrix: shape ``(*batch, rows, columns)``, finite.
    """
    try:
        return torch.linalg.svd(matrix, full_matrices=False)
    except LinAlgError:
        u, s, v = _one_by_one(
            lambda a: scipy.linalg.svd(a, full_matrices=False, lapack_driver="gesvd"), matrix
        )
        return u, s, v


def eigenvalues(matrix: Tensor) -> Tensor:
    """Return the eigenvalues, largest modulus first.

    torch's library gives up on some matrices of low rank that numpy's masters: each matrix is then
    tried there, by itself.

    Args:
        matrix: shape ``(*batch, n, n)``.

    Returns:
        Shape ``(*batch, n)``, complex; NaN for a matrix that is not finite or that both give up.
    """
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    values = torch.full_like(flat[..., 0], torch.nan).to(flat.dtype.to_complex())
    finite = torch.isfinite(flat).all(-1).all(-1)  # LAPACK may end the process on the others
    try:
        values[finite] = torch.linalg.eigvals(flat[finite])
    except LinAlgError:
        values[finite] = _one_by_one(lambda a: (_numpy_eigenvalues(a),), flat[finite])[0]
    order = values.abs().argsort(dim=-1, descending=True, stable=True)
    return values.gather(-1, order).reshape(matrix.shape[:-1])


def leading_eigenvalues(system: System, x: Tensor, count: int) -> Tensor:
    """Return the eigenvalues of largest modulus of the Jacobian at one state, largest first.

    An implicitly restarted Arnoldi iteration finds them from products of the Jacobian with vectors.
    All eigenvalues are returned where that fails, or where even the last of the leading ones is on
    or outside the unit circle, so that the number outside is always known. Beyond `WHOLE`
    components more and more leading ones are sought instead, up to a tenth of all; where that does
    not do, a NaN behind them says so.

    Args:
        system: without batch axes.
        x: shape ``(n_x,)``.
        count: how many.

    Returns:
        Shape ``(count,)``, ``(n_x,)`` or, beyond `WHOLE` components, anything between; complex.

    Reference:
        R. B. Lehoucq, D. C. Sorensen, C. Yang, "ARPACK users' guide" (1998).
    """

    n = system.n_x
    # some 500 products: with a matrix that is at hand they take less time than to make it
    matrix = jacobian(system, x).cpu().numpy() if n**2 <= FORMED else None

    def product(v: np.ndarray) -> np.ndarray:
        if matrix is not None:
            return matrix @ v.ravel()
        vector = torch.as_tensor(v, dtype=x.dtype, device=x.device).reshape(-1, 1)
        return push_forward(system, x, vector)[1][:, 0].cpu().numpy()

    operator = scipy.sparse.linalg.LinearOperator((n, n), matvec=product, dtype=np.float64)
    first = np.random.default_rng(0).standard_normal(n)  # the same answer each time
    found = np.full(0, complex("nan"))
    most = n - 1 if n <= WHOLE else n // 10 + 1
    while count < most and np.isfinite(product(first)).all():
        try:
            found = scipy.sparse.linalg.eigs(
                operator, count, v0=first, ncv=min(n, 10 * count), tol=1e-8,
                return_eigenvectors=False,
            )  # fmt: skip
        except scipy.sparse.linalg.ArpackError:
            break
        found = found[np.argsort(-np.abs(found), kind="stable")]
        if np.abs(found).min() < 1:
            return torch.as_tensor(found, device=x.device)
        if n <= WHOLE:
            break
        count *= 3
    if n > WHOLE:
        return torch.as_tensor(np.append(found, complex("nan")), device=x.device)
    whole = jacobian(system, x) if matrix is None else torch.as_tensor(matrix, device=x.device)
    return eigenvalues(whole)


def _numpy_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.eigvals(matrix).astype(complex)
    except np.linalg.LinAlgError:
        return np.full(len(matrix), complex("nan+nanj"))


def _one_by_one(decompose: Callable, matrix: Tensor) -> tuple[Tensor, ...]:
    """Return the parts of a decomposition of each matrix, stacked, on the matrices' device."""
    flat = matrix.reshape(-1, *matrix.shape[-2:]).cpu().numpy()
    parts = zip(*(decompose(one) for one in flat), strict=True)
    stacked = (torch.as_tensor(np.stack(part), device=matrix.device) for part in parts)
    return tuple(part.reshape(*matrix.shape[:-2], *part.shape[1:]) for part in stacked)

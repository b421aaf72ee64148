"""How much a network's state can tell: differential entropy along time, measured twice.

A one-to-one transition changes the entropy of its state, equation (3), by exactly

    H_{t+1} = H_t + E log|det A_t|,        A_t = df/dx at x_t,

and ``|det A_t|`` is the product of the singular values of ``A_t``, so

    H_t + N_x log sigma_min <= H_{t+1} <= H_t + N_x log L_f.

The paper's equation (4) prints the right half as a lower bound. `entropy_along` follows the
identity and both bounds; `knn_entropy` looks at the samples alone and knows no Jacobian.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.orbits import check_steps
from rnnlib.systems import System, jacobian


class Entropy(NamedTuple):
    """Differential entropy along time, in nats, with the corrected bounds of equation (4).

    Attributes:
        entropy: shape ``(steps + 1, *batch)``, ``H_0`` first. Exact up to sampling for a
            one-to-one transition, an upper bound for any other.
        stderr: shape ``(steps + 1, *batch)``, the Monte Carlo standard error of `entropy`; NaN
            where `entropy` is not finite.
        lower: shape ``(steps + 1, *batch)``, ``H_0 + N_x sum_t log sigma_min_t``.
        upper: shape ``(steps + 1, *batch)``, ``H_0 + N_x sum_t log sigma_max_t``.
        sigma_min: shape ``(steps, *batch)``, the smallest singular value of the Jacobian over the
            samples at each step: not less than the true infimum.
        sigma_max: shape ``(steps, *batch)``, the largest: not more than the Lipschitz constant
            ``L_f`` of any convex set that holds the samples.
    """

    entropy: Tensor
    stderr: Tensor
    lower: Tensor
    upper: Tensor
    sigma_min: Tensor
    sigma_max: Tensor


class KnnEntropy(NamedTuple):
    """An entropy estimated from samples, in nats.

    Attributes:
        entropy: the estimate.
        stderr: its standard error, from the spread of the samples' terms. It does not contain the
            bias, nor the correlation between neighbours' terms, which adds up to a third.
    """

    entropy: float
    stderr: float


def gaussian_entropy(covariance: Tensor) -> Tensor:
    """Return the entropy of a Gaussian, ``log det(2 pi e covariance) / 2``, in nats.

    Args:
        covariance: shape ``(*batch, n, n)``, symmetric and positive semi-definite.

    Returns:
        Shape ``(*batch,)``; ``-inf`` where the covariance is singular to working precision.

    Raises:
        ValueError: a matrix that is not square, not symmetric, not finite or has a negative
            eigenvalue.

    Reference:
        T. M. Cover, J. A. Thomas, "Elements of Information Theory", theorem 8.4.1.
    """
    if covariance.dim() < 2 or covariance.shape[-1] != covariance.shape[-2]:
        raise ValueError(
            f"covariance has shape {tuple(covariance.shape)}; it must be (*batch, n, n)."
        )
    if not torch.isfinite(covariance).all():
        raise ValueError("covariance has values that are not finite; look at what it comes from.")
    if not torch.allclose(covariance, covariance.mT):
        gap = (covariance - covariance.mT).abs().max().item()
        raise ValueError(
            f"covariance differs from its transpose by {gap:.3g}; symmetrise it, "
            f"(covariance + covariance.mT) / 2."
        )
    n = covariance.shape[-1]
    eigenvalues = torch.linalg.eigvalsh(covariance)
    floor = n * torch.finfo(covariance.dtype).eps * eigenvalues.abs().amax(-1, keepdim=True)
    if (eigenvalues < -floor).any():
        raise ValueError(
            f"covariance has the eigenvalue {eigenvalues.min().item():.3g}; a covariance has none "
            f"below 0."
        )
    volume = eigenvalues.masked_fill(eigenvalues <= floor, 0).log().sum(-1)
    return n / 2 * math.log(2 * math.pi * math.e) + volume / 2


@torch.no_grad()
def log_abs_det(system: System, x: Tensor, z: Tensor | None = None) -> Tensor:
    """Return ``log|det df/dx|``, the log of the factor by which one step scales volume.

    Args:
        system: the system, with batch axes or without.
        x: the states, shape ``(*batch, n_x)``. Use float64.
        z: the input, shape ``(*batch, n_z)``; by default the held one.

    Returns:
        Shape ``(*batch,)``: ``-inf`` where the Jacobian is singular to working precision, NaN
        where it is not finite.
    """
    return _log_abs_det(jacobian(system, x, z))


def _log_abs_det(matrix: Tensor) -> Tensor:
    """``sum log|r_ii|`` of a QR; each ``|r_ii|`` is at most its column's norm, which is (S4)."""
    finite = torch.isfinite(matrix).all(-1).all(-1)
    scale = torch.linalg.vector_norm(matrix, dim=-1, keepdim=True)
    rows = torch.where(finite[..., None, None] & (scale > 0), matrix / scale, 0.0)
    pivots = torch.linalg.qr(rows, mode="r").R.diagonal(dim1=-2, dim2=-1).abs()
    floor = 4 * matrix.shape[-1] * torch.finfo(matrix.dtype).eps  # as in lyapunov_spectrum
    noise = floor * torch.linalg.vector_norm(rows, dim=-2)
    log_det = pivots.masked_fill(pivots <= noise, 0).log().sum(-1) + scale.squeeze(-1).log().sum(-1)
    return log_det.masked_fill(~finite, torch.nan)


@torch.no_grad()
def entropy_along(
    system: System,
    x0: Tensor,
    steps: int,
    h0: float | Tensor,
    *,
    inputs: Tensor | None = None,
    progress: bool = False,
) -> Entropy:
    """Follow the entropy of a distribution of states through the Jacobian of each step.

    Equation (3) is never integrated: theorem 2's change of variables gives
    ``H_{t+1} = H_t + E log|det A_t|``, and the mean over samples that started independently has
    an honest standard error, whatever the correlation along time.

    Args:
        system: the system, with batch axes (a sweep) or without.
        x0: independent samples of the initial state, shape ``(samples, *batch, n_x)``, float64.
        steps: how many steps to follow.
        h0: the entropy of the distribution that ``x0`` was drawn from, in nats, a number or shape
            ``(*batch,)``; `gaussian_entropy` has it for a Gaussian, and for a box it is the sum
            of the logarithms of the sides.
        inputs: shape ``(steps, *batch, n_z)``, the same for all samples; without it the held input
            is used. The result is then the entropy given the inputs.
        progress: whether to show a progress bar. Interrupted from the keyboard, it warns and
            returns the steps made so far.

    Returns:
        The entropy, its standard error, both bounds, and the singular values that they come from.
        The entropy is ``-inf`` from the first step on which a sample's Jacobian is singular, and
        NaN from the first on which a sample's orbit is not finite.

    Raises:
        ValueError: fewer than two samples or one step, too few inputs.
        TypeError: ``x0`` is not float64.

    Reference:
        Ribeiro et al. (2020), theorem 2, with the sign of (S5) corrected; Cover and Thomas,
        "Elements of Information Theory", section 8.6.

    Example:
        >>> import torch, rnnlib
        >>> halve = rnnlib.linear(torch.eye(2).double() / 2)
        >>> found = rnnlib.entropy_along(halve, torch.ones(4, 2).double(), steps=2, h0=0.0)
        >>> [round(float(h), 4) for h in found.entropy]  # 2 ln 2 less with each step
        [0.0, -1.3863, -2.7726]
    """
    check_steps(steps, 0)
    if x0.dim() < 2 or x0.shape[0] < 2:
        raise ValueError(
            f"x0 has shape {tuple(x0.shape)}; a mean with an error needs (samples, *batch, n_x) "
            f"with at least 2 samples."
        )
    if x0.dtype != torch.float64:
        raise TypeError(
            f"x0 is {x0.dtype}; entropies are float64: use x0.double() and "
            f"system.to(torch.float64)."
        )
    system.check_inputs(inputs, steps, f"steps={steps}")
    x = system.initial_state(x0, None if inputs is None else inputs[0])
    h0 = torch.as_tensor(h0, dtype=x.dtype, device=x.device).expand(x.shape[1:-1])
    volume = x.new_zeros(x.shape[:-1])  # samples, *batch: log|det| of the steps so far
    entropy, stderr, extremes = [h0], [torch.zeros_like(h0)], []
    try:
        for t in tqdm(range(steps), desc="entropy", disable=not progress, unit="step"):
            z = None if inputs is None else inputs[t]
            a = jacobian(system, x, z)
            volume = volume + _log_abs_det(a)
            sigma = _extreme_singular_values(a)
            x = system.step(x, z)
            entropy.append(h0 + volume.mean(0))  # the identity in the proof of theorem 2
            stderr.append(volume.std(0) / len(volume) ** 0.5)
            extremes.append(sigma)
    except KeyboardInterrupt:
        done = len(extremes)  # a step counts when all of it is there
        if done == 0:
            raise
        entropy, stderr = entropy[: done + 1], stderr[: done + 1]
        warnings.warn(f"interrupted: {done} of {steps} steps are returned.", stacklevel=3)
    sigma_min, sigma_max = (torch.stack(sigma) for sigma in zip(*extremes, strict=True))
    lower, upper = (  # (4), with the side that it is true on, and its missing other half
        torch.cat([h0[None], h0 + system.n_x * sigma.log().cumsum(0)])
        for sigma in (sigma_min, sigma_max)
    )
    return Entropy(torch.stack(entropy), torch.stack(stderr), lower, upper, sigma_min, sigma_max)


def _extreme_singular_values(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest over the samples, NaN where one is not finite."""
    finite = torch.isfinite(a).all(-1).all(-1)
    sigma = torch.linalg.svdvals(torch.where(finite[..., None, None], a, 0.0))
    sigma = sigma.masked_fill(~finite[..., None], torch.nan)
    return sigma[..., -1].amin(0), sigma[..., 0].amax(0)


def knn_entropy(samples: Tensor | np.ndarray, k: int = 3, *, whiten: bool = True) -> KnnEntropy:
    """Estimate the entropy, equation (3), from samples alone: Kozachenko and Leonenko.

    Around each sample the density is taken as constant over the ball that reaches its k-th
    nearest neighbour: ``H = psi(N) - psi(k) + log(volume of the unit ball) + n mean(log r_k)``.
    The bias is what the density changes over that ball: it falls like ``N**(-2 / n)`` for a smooth
    density and like ``N**(-1 / n)`` for one with an edge. Where the distribution is thinner
    than the ball, the estimate does not converge: on a set of information dimension D < n it falls
    like ``(1 - n / D) log N``.

    Args:
        samples: independent draws, shape ``(samples, n)``; they should be float64.
        k: which neighbour; more lowers the variance and raises the bias.
        whiten: whether to rescale the samples to unit covariance first and account for it exactly,
            as differential entropy itself does under an affine map. A thin but straight cloud is
            then as easy as a round one.

    Returns:
        The estimate with its standard error: ``-inf`` where k samples coincide with another (an
        atom) or all lie on one hyperplane.

    Raises:
        ValueError: samples of another shape, not finite, or not more than both k and n.

    Reference:
        L. F. Kozachenko, N. N. Leonenko, "Sample estimate of the entropy of a random vector",
        Problems of Information Transmission 23 (1987); for k > 1 and the bias: T. B. Berrett,
        R. J. Samworth, M. Yuan, "Efficient multivariate entropy estimation via k-nearest neighbour
        distances", Annals of Statistics 47 (2019).

    Example:
        >>> import torch, rnnlib
        >>> generator = torch.Generator().manual_seed(0)
        >>> samples = torch.rand(2000, 2, generator=generator, dtype=torch.float64)
        >>> abs(rnnlib.knn_entropy(samples).entropy) < 0.1  # that of the unit square is 0
        True
    """
    if isinstance(samples, Tensor):
        samples = samples.detach().cpu()
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"samples has shape {x.shape}; it must be (samples, n), also for n = 1.")
    if not np.isfinite(x).all():
        raise ValueError(
            f"samples has {(~np.isfinite(x)).sum()} values that are not finite; drop the orbits "
            f"that they come from, or look why they diverge."
        )
    count, n = x.shape
    if k < 1 or count <= max(k, n):
        raise ValueError(
            f"k is {k} with {count} samples in {n} dimensions; k must be 1 or more, "
            f"and the samples more than both."
        )
    # Looked for before whitening, after which equal rows may differ in their last bits. Adding 0.0
    # makes -0.0 of the same bits as 0.0.
    if np.unique(x + 0.0, axis=0, return_counts=True)[1].max() > k:
        return KnnEntropy(-math.inf, math.nan)
    log_det = 0.0
    if whiten:
        u, spread, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
        if spread[-1] <= count * np.finfo(float).eps * max(spread[0], np.abs(x).max()):
            return KnnEntropy(-math.inf, math.nan)
        x, log_det = u * count**0.5, np.log(spread / count**0.5).sum()
    radius = scipy.spatial.cKDTree(x).query(x, [k + 1])[0][
        :, 0
    ]  # the nearest neighbour is the sample itself
    if not radius.all():  # apart by so little that the distance underflows
        return KnnEntropy(-math.inf, math.nan)
    log_ball = n / 2 * math.log(math.pi) - scipy.special.gammaln(n / 2 + 1)
    terms = n * np.log(radius)
    entropy = (
        scipy.special.digamma(count) - scipy.special.digamma(k) + log_ball + terms.mean() + log_det
    )
    return KnnEntropy(float(entropy), float(terms.std(ddof=1) / count**0.5))


def box_entropy(samples: Tensor, size: float) -> Tensor:
    """Return the Shannon entropy of which box of a grid a sample is in, in nats.

    This one is never negative: it is 0 for a point, and about ``h - n log(size)`` for a density of
    differential entropy ``h`` that is smooth at that size. What it gains per step, for a cloud
    that starts in one box and until it has filled the attractor, is the information that a chaotic
    system produces (Kolmogorov and Sinai).

    Args:
        samples: shape ``(samples, n)``; many more of them than occupied boxes, since the estimate
            cannot exceed ``log(samples)`` and is biased down near it.
        size: the side of a box.

    Raises:
        ValueError: samples of another shape or not finite, or a size that is not positive.

    Reference:
        Cover and Thomas, "Elements of Information Theory", theorem 8.3.1; J.-P. Eckmann, D. Ruelle,
        "Ergodic theory of chaos and strange attractors", Reviews of Modern Physics 57 (1985).
    """
    if samples.dim() != 2 or 0 in samples.shape or not torch.isfinite(samples).all():
        raise ValueError(
            f"samples has shape {tuple(samples.shape)}; it must be (samples, n), all finite."
        )
    if not size > 0:
        raise ValueError(f"size is {size}; it is the side of a box and must be positive.")
    key = torch.zeros(len(samples), dtype=torch.int64, device=samples.device)
    for column in torch.floor(samples / size).unbind(-1):  # far faster than unique(dim=0)
        values, rank = torch.unique(column, return_inverse=True)
        key = torch.unique(key * len(values) + rank, return_inverse=True)[1]
    share = key.bincount().double() / len(samples)
    return torch.special.entr(share).sum()

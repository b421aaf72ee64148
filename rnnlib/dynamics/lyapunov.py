"""The Lyapunov spectrum, and the dimension of an attractor that follows from it."""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.orbits import check_steps
from rnnlib.systems import System, Tangents

BLOCKS = 10  # of consecutive steps, for the standard error


class LyapunovSpectrum(NamedTuple):
    """The leading Lyapunov exponents, with a measure of their quality.

    Attributes:
        exponents: shape ``(*batch, k)``, in nats per step, largest first up to sampling error.
        error: shape ``(*batch, k)``, the standard error of the mean from ten blocks of
            consecutive steps. It measures the sampling error only: the alignment of the tangent
            vectors adds an error of order 1 / steps.
    """

    exponents: Tensor
    error: Tensor


@torch.no_grad()
def lyapunov_spectrum(
    system: System,
    x0: Tensor,
    steps: int,
    *,
    k: int | None = None,
    burn_in: int = 0,
    inputs: Tensor | None = None,
    seed: int = 0,
    progress: bool = False,
) -> LyapunovSpectrum:
    """Return the first ``k`` Lyapunov exponents along an orbit, by QR at every step.

    ``k`` random orthonormal tangent vectors are moved along the orbit; the logarithms of the
    diagonal of R, averaged over the steps, are the exponents.

    Args:
        system: the system, with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``. Use float64.
        steps: how many steps to average over.
        k: how many exponents, 1 to n_x; by default all.
        burn_in: how many steps to run before, with the tangent vectors, so that both the state
            and the vectors have settled.
        inputs: shape ``(burn_in + steps, *batch, n_z)``; without it the held input is used.
        seed: of the random initial tangent vectors.
        progress: whether to show a progress bar.

    Returns:
        The exponents and their standard errors. An exponent is ``-inf`` where the Jacobians are
        singular to working precision on most steps (a state at the origin of an LSTM without
        bias, a dead unit), since what QR returns there is rounding noise. It is NaN where the
        orbit is not finite.

    Raises:
        ValueError: ``k`` is not in 1..n_x, a negative burn-in, fewer than ten steps, too few
            inputs.

    Reference:
        G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, "Lyapunov characteristic exponents
        for smooth dynamical systems", Meccanica 15 (1980); J.-P. Eckmann, D. Ruelle, "Ergodic
        theory of chaos and strange attractors", Reviews of Modern Physics 57 (1985).
    """
    k = system.n_x if k is None else k
    if not 1 <= k <= system.n_x:
        raise ValueError(
            f"k is {k}; {system.name} has n_x={system.n_x} exponents, so 1 to {system.n_x}."
        )
    check_steps(steps, burn_in)
    if steps < BLOCKS:
        raise ValueError(f"steps is {steps}; the exponents need at least {BLOCKS}.")
    system.check_inputs(inputs, burn_in + steps, f"burn_in={burn_in} and steps={steps}")
    x = system.initial_state(x0, None if inputs is None else inputs[0])
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(system.n_x, k, generator=generator, dtype=torch.float64)
    q = torch.linalg.qr(random.to(x))[0].expand(*x.shape, k)
    floor = 4 * system.n_x * torch.finfo(x.dtype).eps
    sums = x.new_zeros(BLOCKS, *x.shape[:-1], k)
    counts = x.new_zeros(BLOCKS, *[1] * x.dim())
    unresolved = x.new_zeros(*x.shape[:-1], k)
    tangents = Tangents(system, x, burn_in + steps, inputs)
    for t in tqdm(range(burn_in + steps), desc="Lyapunov", disable=not progress, unit="step"):
        x, v = tangents.push(q)
        q, r = torch.linalg.qr(v)
        if t < burn_in:
            continue
        stretch = r.diagonal(dim1=-2, dim2=-1).abs()
        least = floor * torch.linalg.vector_norm(v, dim=-2)  # what rounding leaves of a null vector
        unresolved += stretch <= least
        tiny = torch.finfo(x.dtype).tiny
        block = (t - burn_in) * BLOCKS // steps
        sums[block] += torch.maximum(stretch, least).clamp(min=tiny).log()
        counts[block] += 1
    exponents = sums.sum(0) / steps
    error = (sums / counts).std(0) / BLOCKS**0.5
    singular = unresolved > steps / 2
    exponents = exponents.masked_fill(singular, -torch.inf)
    # clamp() maps NaN to NaN, but an overflowing orbit can pass through infinities first
    finite = torch.isfinite(x).all(-1, keepdim=True)
    return LyapunovSpectrum(
        exponents.masked_fill(~finite, torch.nan), error.masked_fill(singular | ~finite, torch.nan)
    )


def kaplan_yorke_dimension(exponents: Tensor) -> Tensor:
    """Return the Kaplan-Yorke (Lyapunov) dimension of an attractor.

    It is ``j + (l_1 + ... + l_j) / |l_{j+1}|`` with the largest ``j`` whose sum is not negative.

    Args:
        exponents: the full spectrum, shape ``(*batch, n)``, largest first.

    Returns:
        Shape ``(*batch,)``: 0 if the first exponent is negative, n if no sum is.

    Reference:
        J. L. Kaplan, J. A. Yorke, "Chaotic behavior of multidimensional difference equations",
        Lecture Notes in Mathematics 730 (1979).
    """
    n = exponents.shape[-1]
    sums = exponents.cumsum(-1)
    j = (sums >= 0).to(torch.int64).cumprod(-1).sum(-1, keepdim=True)
    padded_sums = torch.cat([torch.zeros_like(sums[..., :1]), sums], dim=-1)
    next_exponent = exponents.gather(-1, j.clamp(max=n - 1)).abs()
    fraction = torch.where(j < n, padded_sums.gather(-1, j) / next_exponent, 0.0)
    return (j + fraction).squeeze(-1)

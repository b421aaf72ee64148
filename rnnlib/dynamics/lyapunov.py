"""The Lyapunov spectrum, and the dimension of an attractor that follows from it."""

import warnings
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

    Example:
        >>> import torch, rnnlib
        >>> shrink = rnnlib.linear(torch.tensor([[0.5, 0.0], [0.0, 0.25]]).double())
        >>> found = rnnlib.lyapunov_spectrum(shrink, torch.zeros(2).double(), steps=10, burn_in=100)
        >>> found.exponents.exp()
        tensor([0.5000, 0.2500], dtype=torch.float64)
    """

    exponents: Tensor
    error: Tensor


def lyapunov_spectrum(
    system: System,
    x0: Tensor,
    steps: int,
    *,
    k: int | None = None,
    burn_in: int = 0,
    inputs: Tensor | None = None,
    seed: int = 0,
    differentiable: bool = False,
    progress: bool = False,
) -> LyapunovSpectrum:
    """Return the first ``k`` Lyapunov exponents along an orbit, by QR at every step.

    ``k`` random orthonormal tangent vectors are moved along the orbit; the logarithms of the
    diagonal of R, averaged over the steps, are the exponents. Interrupted from the keyboard, it
    warns and returns those of the steps made so far.

    Args:
        system: the system, with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``. Use float64.
        steps: how many steps to average over.
        k: how many exponents, 1 to n_x; by default all.
        burn_in: how many steps to run before, with the tangent vectors, so that both the state
            and the vectors have settled.
        inputs: shape ``(burn_in + steps, *batch, n_z)``; without it the held input is used.
        seed: of the random initial tangent vectors.
        differentiable: whether the exponents carry a gradient to parameters, state and inputs that
            require one. It is that of the mean over these very steps: on a chaotic orbit it grows
            as the orbit's own sensitivity does, so the steps should be few there. Every step stays
            in memory.
        progress: whether to show a progress bar.

    Returns:
        The exponents and their standard errors. An exponent is ``-inf`` where the Jacobians are
        singular to working precision on most steps (a state at the origin of an LSTM without
        bias, a dead unit), since what QR returns there is rounding noise. It is NaN where the
        orbit is not finite.

    Raises:
        ValueError: ``k`` is not in 1..n_x, a negative burn-in, fewer than ten steps, too few
            inputs, nothing to differentiate by, and as `push_forward`.
        TypeError: a state in half precision, and as `System.initial_state`.

    Reference:
        G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, "Lyapunov characteristic exponents
        for smooth dynamical systems", Meccanica 15 (1980); J.-P. Eckmann, D. Ruelle, "Ergodic
        theory of chaos and strange attractors", Reviews of Modern Physics 57 (1985).

    Example:
        >>> import math, torch, rnnlib
        >>> x0 = torch.zeros(2).double()
        >>> found = rnnlib.lyapunov_spectrum(rnnlib.henon(), x0, steps=1000, burn_in=100)
        >>> bool(found.exponents[0] > 0)  # chaos
        True
        >>> math.isclose(found.exponents.sum(), math.log(0.3))  # each step shrinks areas by 0.3
        True
    """
    k = check_exponents(system, k)
    check_steps(steps, burn_in)
    if steps < BLOCKS:
        raise ValueError(f"steps is {steps}; the exponents need at least {BLOCKS}.")
    if differentiable and not system.asks_for_gradients(x0, inputs):
        raise ValueError(
            "differentiable is True, but no parameter, state or input requires a gradient (or "
            "torch.no_grad is on): give one that does, as in system.at({name: weight})."
        )
    system.check_inputs(inputs, burn_in + steps, f"burn_in={burn_in} and steps={steps}")
    with torch.set_grad_enabled(differentiable):
        x = system.initial_state(x0, None if inputs is None else inputs[0])
        q = random_frame(x, k, seed)
        sums = [x.new_zeros(*x.shape[:-1], k)] * BLOCKS
        counts = [0] * BLOCKS
        unresolved = x.new_zeros(*x.shape[:-1], k)
        tangents = Tangents(system, x, burn_in + steps, inputs)
        bar = tqdm(range(burn_in + steps), desc="Lyapunov", disable=not progress, unit="step")
        try:
            for t in bar:
                x, v = tangents.push(q)
                q, r = torch.linalg.qr(v)
                if t < burn_in:
                    continue
                stretch, least = stretched(v, r)
                unresolved += stretch <= least
                stretch = torch.maximum(stretch, least).clamp(min=torch.finfo(x.dtype).tiny)
                block = (t - burn_in) * BLOCKS // steps
                sums[block] = sums[block] + stretch.log()
                counts[block] += 1
        except KeyboardInterrupt:
            steps = sum(counts)
            if steps < BLOCKS:
                raise
            warnings.warn(f"interrupted: these are the exponents of {steps} steps.", stacklevel=2)
        blocks = [total / n for total, n in zip(sums, counts, strict=True) if n]
        exponents = torch.stack(sums).sum(0) / steps
        error = torch.stack(blocks).std(0) / len(blocks) ** 0.5
        singular = unresolved > steps / 2
        exponents = exponents.masked_fill(singular, -torch.inf)
        # clamp() maps NaN to NaN, but an overflowing orbit can pass through infinities first
        finite = torch.isfinite(x).all(-1, keepdim=True)
        return LyapunovSpectrum(
            exponents.masked_fill(~finite, torch.nan),
            error.masked_fill(singular | ~finite, torch.nan),
        )


def check_exponents(system: System, k: int | None) -> int:
    """Return how many exponents are meant by ``k``, all for None, or raise a ValueError."""
    k = system.n_x if k is None else k
    if not 1 <= k <= system.n_x:
        raise ValueError(
            f"k is {k}; {system.name} has n_x={system.n_x} exponents, so 1 to {system.n_x}."
        )
    return k


def random_frame(x: Tensor, k: int, seed: int) -> Tensor:
    """Return ``k`` random orthonormal vectors, the same at each state, shape ``(*x.shape, k)``."""
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"x0 is {x.dtype}; tangent vectors need float32 or, better, float64: use x0.double() "
            f"and system.to(torch.float64)."
        )
    generator = torch.Generator(device="cpu").manual_seed(seed)
    shape = (x.shape[-1], k)
    random = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    return torch.linalg.qr(random.to(x))[0].expand(*x.shape, k)


def stretched(v: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Return by how much each vector was stretched, and what rounding leaves of a null vector.

    Args:
        v: the moved vectors, shape ``(*batch, n_x, k)``.
        r: the triangular factor of their QR decomposition, shape ``(*batch, k, k)``.

    Returns:
        Two tensors of shape ``(*batch, k)``. A stretch of at most the second is lost.
    """
    floor = 4 * v.shape[-2] * torch.finfo(v.dtype).eps
    return r.diagonal(dim1=-2, dim2=-1).abs(), floor * torch.linalg.vector_norm(v, dim=-2)


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

    Example:
        >>> import torch, rnnlib
        >>> round(float(rnnlib.kaplan_yorke_dimension(torch.tensor([0.42, -1.62]))), 3)
        1.259
    """
    n = exponents.shape[-1]
    sums = exponents.cumsum(-1)
    j = (sums >= 0).to(torch.int64).cumprod(-1).sum(-1, keepdim=True)
    padded_sums = torch.cat([torch.zeros_like(sums[..., :1]), sums], dim=-1)
    next_exponent = exponents.gather(-1, j.clamp(max=n - 1)).abs()
    fraction = torch.where(j < n, padded_sums.gather(-1, j) / next_exponent, 0.0)
    return (j + fraction).squeeze(-1)

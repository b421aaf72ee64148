"""Covariant Lyapunov vectors: the directions along which each exponent is measured.

At every state of an orbit there is one direction for each exponent that the Jacobian carries to the
direction at the next state. The vectors that a Lyapunov spectrum leaves behind are orthogonal, and
only the first is one of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.lyapunov import check_exponents, random_frame, stretched
from rnnlib.dynamics.orbits import check_steps
from rnnlib.systems import System, Tangents


class CovariantVectors(NamedTuple):
    """The covariant Lyapunov vectors along an orbit.

    Attributes:
        states: the states ``x_t``, shape ``(steps, *batch, n_x)``.
        vectors: the unit vectors at each of them, as columns, shape ``(steps, *batch, n_x, k)``:
            ``J(x_t) v_t = stretch_t v_{t+1}``. Where exponents coincide they span the directions
            that go together, and are not unique in there.
        stretch: shape ``(steps, *batch, k)``, positive. The mean of its logarithms is the
            exponent.
    """

    states: Tensor
    vectors: Tensor
    stretch: Tensor

    @property
    def exponents(self) -> Tensor:
        """The Lyapunov exponents over these steps, in nats per step, shape ``(*batch, k)``."""
        return self.stretch.log().mean(0)


@torch.no_grad()
def covariant_vectors(
    system: System,
    x0: Tensor,
    steps: int,
    *,
    k: int | None = None,
    burn_in: int = 200,
    tail: int = 200,
    inputs: Tensor | None = None,
    seed: int = 0,
    progress: bool = False,
) -> CovariantVectors:
    """Return the first ``k`` covariant Lyapunov vectors along an orbit.

    Forward in time a QR decomposition at every step aligns the nested spaces of the fastest
    directions. Backward in time the triangular factors, inverted, align a vector in each with the
    one that grows slowest there. Both alignments converge as fast as the exponents are apart.

    Args:
        system: the system, with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``, float64.
        steps: at how many states to return them.
        k: how many vectors, 1 to n_x; by default all.
        burn_in: how many steps to run before, for the state and the nested spaces.
        tail: how many steps to run after, for the way back.
        inputs: shape ``(burn_in + steps + tail, *batch, n_z)``; without it the held input is used.
        seed: of the random initial vectors.
        progress: whether to show a progress bar.

    Raises:
        ValueError: ``k`` is not in 1..n_x, a negative number of steps, too few inputs; an orbit
            that is not finite; a step that loses one of the ``k`` directions to working precision.
        TypeError: as `lyapunov_spectrum`.

    Reference:
        F. Ginelli, P. Poggi, A. Turchi, H. Chate, R. Livi, A. Politi, "Characterizing dynamics with
        covariant Lyapunov vectors", Physical Review Letters 99 (2007) 130601.

    Example:
        >>> import torch, rnnlib
        >>> shear = rnnlib.linear(torch.tensor([[2.0, 1.0], [0.0, 0.5]]).double())
        >>> found = rnnlib.covariant_vectors(shear, torch.zeros(2).double(), steps=10)
        >>> found.exponents.exp()
        tensor([2.0000, 0.5000], dtype=torch.float64)
    """
    k = check_exponents(system, k)
    check_steps(steps, burn_in)
    check_steps(steps, tail)
    total = burn_in + steps + tail
    what = f"burn_in={burn_in}, steps={steps} and tail={tail}"
    system.check_inputs(inputs, total, what)
    x = system.initial_state(x0, None if inputs is None else inputs[0])
    q = random_frame(x, k, seed)
    tangents = Tangents(system, x, total, inputs)
    states, frames, factors = [], [], []
    for t in tqdm(range(total), desc="forward", disable=not progress, unit="step"):
        if burn_in <= t < burn_in + steps:
            states.append(x)
            frames.append(q)
        x, v = tangents.push(q)
        q, r = torch.linalg.qr(v)
        if t >= burn_in:
            _check(v, r, t)
            factors.append(r)

    generator = torch.Generator(device="cpu").manual_seed(seed + 1)
    random = torch.rand(k, k, generator=generator, dtype=torch.float64, device="cpu").to(x)
    # Any upper triangular matrix: column i is a vector in the space of the i fastest directions.
    c = (random + torch.eye(k, dtype=x.dtype, device=x.device)).triu().expand(*x.shape[:-1], k, k)
    vectors, stretch = [], []
    backward = list(enumerate(factors))[::-1]
    for t, r in tqdm(backward, desc="backward", disable=not progress, unit="step"):
        c = c / torch.linalg.vector_norm(c, dim=-2, keepdim=True)
        c = torch.linalg.solve_triangular(r, c, upper=True)
        size = torch.linalg.vector_norm(c, dim=-2)
        if t < steps:
            vectors.append(frames[t] @ (c / size.unsqueeze(-2)))
            stretch.append(1 / size)
    return CovariantVectors(
        torch.stack(states), torch.stack(vectors[::-1]), torch.stack(stretch[::-1])
    )


def homoclinic_angle(vectors: Tensor, unstable: int) -> Tensor:
    """Return the smallest angle between the unstable and the other directions.

    Where it comes near 0 along an orbit, the attractor is not hyperbolic: stable and unstable
    directions touch.

    Args:
        vectors: from `covariant_vectors`, shape ``(*batch, n_x, k)``.
        unstable: how many of them, the first ones, are unstable; between 1 and ``k - 1``.

    Returns:
        In radians, from 0 to pi / 2, shape ``(*batch,)``.

    Raises:
        ValueError: no directions on one of the two sides.

    Reference:
        P. V. Kuptsov, S. P. Kuznetsov, "Violation of hyperbolicity in a diffusive medium with local
        hyperbolic attractor", Physical Review E 80 (2009) 016205.

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.homoclinic_angle(torch.eye(2), unstable=1)  # a right angle
        tensor(1.5708)
    """
    k = vectors.shape[-1]
    if not 0 < unstable < k:
        raise ValueError(
            f"unstable is {unstable}; of {k} directions 1 to {k - 1} can be on the unstable side."
        )
    first, second = (
        torch.linalg.qr(side)[0] for side in (vectors[..., :unstable], vectors[..., unstable:])
    )
    cosine = torch.linalg.svdvals(first.mT @ second)[..., 0]
    # Of a small angle the cosine is 1 to rounding; the sine is what of one side lies off the other.
    off = second - first @ (first.mT @ second)
    sine = torch.linalg.svdvals(off)[..., -1]
    return torch.atan2(sine, cosine)


def _check(v: Tensor, r: Tensor, t: int) -> None:
    if r.is_meta:  # no numbers to look at
        return
    if not torch.isfinite(r).all():
        raise ValueError(f"the orbit is not finite at step {t + 1}, so it has no tangent vectors.")
    size, least = stretched(v, r)
    lost = (size <= least).reshape(-1, size.shape[-1]).any(0).nonzero().flatten()
    if len(lost):
        raise ValueError(
            f"step {t + 1} loses direction {int(lost[0]) + 1} to working precision, so nothing can "
            f"be carried back through it; ask for k={int(lost[0])} vectors at most."
        )

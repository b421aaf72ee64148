"""Contraction around a fixed point or a cycle that was found, with the ball in which it is proved.

A trained network rarely contracts everywhere, and yet it settles. At a stable fixed point some
ellipsoidal norm sees the Jacobian as a contraction (`rnnlib.memory.quadratic_norms`), and a bound
of how the Jacobian varies says how far that reaches: if over the ball ``|x - x*| <= R`` every
Jacobian has a norm of at most ``L < 1`` and the centre moves by at most ``e`` with
``L R + e <= R``, the step maps the ball into itself and contracts there. By Banach's theorem it
then holds one fixed point, within ``e / (1 - L)`` of the centre, which every orbit in the ball
reaches: so a point that a search has found up to an error is proved to be near a true one. Under
inputs that vary within a box the same inequality makes all orbits in the ball merge.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from rnnlib.memory.certificates import Inputs
from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.memory.intervals import INF, MARGIN
from rnnlib.memory.local_steps import Curvature, LocalStep, local_step
from rnnlib.memory.norms import QuadraticNorm
from rnnlib.memory.quadratic_bound import Transported, spectral_bound
from rnnlib.memory.quadratic_norms import SHARES, contracting_norms, spectral_radius
from rnnlib.systems import System, from_module

POLISHING = 8  # Newton steps at most
LARGEST, SMALLEST = 2.0**100, 2.0**-100  # radii that are tried, in units of the norm
COARSE, FINE = (16.0, 4.0, 2.0), [2 ** (0.5**k) for k in range(1, 12)]  # factors of the radius


@dataclass(frozen=True, eq=False)
class LocalCertificate:
    """A proof that the step, repeated ``steps`` times, contracts in a ball around a point.

    Attributes:
        constant: the bound ``|F(x) - F(w)| <= constant |x - w|`` for states of the ball.
        norm: in which the ball and the bound are meant.
        centre: shape ``(n_x,)``.
        radius: of the ball, in this norm; 0 where nothing is proved.
        error: the true fixed point of ``F`` (under one held input) is within this of ``centre``.
        steps: how many steps ``F`` consists of: 1, or the period of the cycle.
        inputs: the ends of the box of admitted inputs, each ``(n_z,)``.
        found: the spectral radius of the Jacobian of ``F`` at the centre, to rounding. No norm has
            a smaller constant: what is found is never more than what is proved.
        certified: whether the claim is proved; where it is not, ``constant`` is infinite.
        why_not: the reason why nothing is proved, or an empty string.
    """

    constant: float
    norm: QuadraticNorm
    centre: Tensor
    radius: float
    error: float
    steps: int
    inputs: tuple[Tensor, Tensor]
    found: float
    certified: bool
    why_not: str = ""

    @property
    def contractive(self) -> bool:
        """Whether this proves definition 1 for the ball."""
        return self.certified and self.constant < 1

    @property
    def diameter(self) -> float:
        """The largest distance of two states of the ball, in this norm."""
        return 2 * self.radius

    @property
    def reach(self) -> float:
        """The Euclidean radius of a ball that lies inside: all states this near are covered."""
        return self.radius / spectral_bound(self.norm.matrix)

    def contains(self, x: Tensor) -> Tensor:
        """Return whether states of shape ``(*batch, n_x)`` lie in the ball."""
        return self.norm(x - self.centre) <= self.radius

    def __str__(self) -> str:
        found = f"spectral radius found {self.found:.6g}"
        if not self.contractive:
            return f"near the point: nothing proved ({self.why_not}); {found}"
        size = f"{self.constant:.4g}" if self.constant < 0.999 else f"1 - {1 - self.constant:.1e}"
        return (
            f"near the point: contraction, constant {size} over {self.steps} step(s) for all "
            f"states within {self.reach:.3g}; {found}"
        )


def certify_near(
    cell: nn.Module | System | Mapping[str, Tensor],
    x: Tensor,
    *,
    period: int = 1,
    inputs: Inputs | None = None,
    curvature: Curvature | None = None,
    rate: float = 1.0,
    progress: bool = False,
    callback: Callable[[], None] | None = None,
) -> LocalCertificate:
    """Prove that orbits near a fixed point, or a cycle, converge to it, and how near is enough.

    Args:
        cell: a torch network or a system made from one, as in `certify`, under one held input; or
            any other system in float64 together with ``curvature``.
        x: the point that was found, or one point of the cycle, shape ``(n_x,)``. It is polished by
            Newton's method first, which may lead away from a point that was far from settled: the
            certificate's ``centre`` says where to.
        period: how many steps the cycle takes.
        inputs: one input to be held, shape ``(n_z,)``, or the ends of a box of them; by default
            what the system holds.
        curvature: of a system without a known rule, a number K with
            ``|J(v) - J(x_k)|_2 <= K |v - x_k|_2`` for the states v around each point x_k of the
            cycle (a bound of the second derivative), or a function from the largest ``|v - x_k|_2``
            to such a K. The proof is as good as this number, which is taken on trust.
        rate: the largest constant that counts. The default gives the largest ball; with less, the
            smaller ball in which orbits approach at this rate over ``period`` steps.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) keeps the best ball so far.
        callback: called before each ball is tried; a KeyboardInterrupt that it raises, as for a
            time that is up, is an interrupt.

    Returns:
        The certificate with the largest Euclidean ball inside, of the norms that were tried.

    Raises:
        TypeError: as in `certify`; a system that is not in float64.
        ValueError: ``x`` of another shape or not finite, a period below 1, a rate above 1 or not
            positive, no input given to a system that needs one.

    Reference:
        Lohmiller and Slotine, "On contraction analysis for non-linear systems", Automatica 34
        (1998), for contraction in a metric of its own.

    Example:
        >>> import torch, rnnlib
        >>> latch = torch.nn.RNN(1, 1, bias=False).double()
        >>> latch.weight_hh_l0.data[:] = 2.0  # two attractors: no contraction everywhere
        >>> z = torch.zeros(1).double()
        >>> up = rnnlib.simulate(rnnlib.from_module(latch).hold(z), z + 1, steps=100)[-1]
        >>> proof = rnnlib.certify_near(latch, up, inputs=z)
        >>> proof.certified, 0.1 < proof.radius < 0.9575
        (True, True)
    """
    if period < 1 or not 0 < rate <= 1:
        raise ValueError(
            f"period is {period} and rate is {rate}; give at least 1, and 0 < rate <= 1."
        )
    if isinstance(cell, nn.Module):
        cell = from_module(cell)
    step = local_step(cell, inputs, curvature)
    x = x.detach()
    if x.shape != (step.n_x,) or not torch.isfinite(x).all():
        raise ValueError(
            f"x has shape {tuple(x.shape)}; give one finite state of shape ({step.n_x},)."
        )
    device = x.device
    points = _polished(step, x.to("cpu", torch.float64), period)
    slopes = [step.derivative(v) for v in points]
    if not all(torch.isfinite(slope).all() for slope in slopes):
        return _nothing(step, points[0], period, INF, "the derivative there is not finite", device)
    total = slopes[0]
    for slope in slopes[1:]:
        total = slope @ total
    found = spectral_radius(total)
    if not found < rate:
        return _nothing(
            step, points[0], period, found, f"its spectral radius is not below {rate:g}", device
        )
    if not step.provable:
        why = "no rule for the derivative of this step, and no curvature given"
        return _nothing(step, points[0], period, found, why, device)

    best: tuple[float, _Around, float, float] | None = None  # reach, balls, small and large radius
    shares = tqdm(SHARES, desc="norms", disable=not progress, unit="norm")
    with kept_on_interrupt("the largest ball found so far"):
        for share in shares:
            one_rate = (found + share * (rate - found)) ** (1 / period)
            norms = contracting_norms(slopes, one_rate)
            if norms is None:
                continue
            around = _Around(step, points, norms, rate, callback)
            small = around.smallest(one_rate)
            if small is None:
                continue
            radius, length = small, spectral_bound(norms[0].matrix)
            for factor in (None, *COARSE):  # each is kept, in case the next is interrupted
                radius = radius if factor is None else around.larger(radius, factor)
                if best is None or radius / length > best[0]:
                    best = radius / length, around, small, radius
    if best is None:
        why = "no ball was found that the step maps into itself"
        return _nothing(step, points[0], period, found, why, device)
    return _largest(*best[1:], found, device)


def _largest(
    around: "_Around", small: float, radius: float, found: float, device: torch.device
) -> LocalCertificate:
    """Return the certificate of the largest ball, by bisection from one for which the proof holds.

    The fixed point is the same one in the small ball, where more is known of how near it is.
    """
    with kept_on_interrupt("the largest ball found so far"):
        for factor in FINE if radius * 2 < LARGEST else ():
            if around.tried(radius * factor):
                radius *= factor
    proofs = [around.proved(size) for size in (radius, small)]
    (constant, error), (_, near) = (proof for proof in proofs if proof is not None)
    return LocalCertificate(
        constant=constant,
        norm=QuadraticNorm(around.norms[0].matrix.to(device)),
        centre=around.points[0].to(device),
        radius=radius,
        error=min(error, near),
        steps=len(around.points),
        inputs=_ends(around.step, device),
        found=found,
        certified=True,
    )


def _polished(step: LocalStep, x: Tensor, period: int) -> list[Tensor]:
    """Return the points of the cycle through ``x`` after Newton steps on ``F(x) - x``."""

    def around(v: Tensor) -> tuple[list[Tensor], Tensor]:
        points = [v]
        for _ in range(period):
            points.append(step.next(points[-1]))
        return points[:-1], points[-1] - v

    # A Newton step may enlarge the miss on its way to a root; the best point seen is kept.
    seen = [around(x)]
    eye = torch.eye(step.n_x, dtype=torch.float64, device="cpu")
    for _ in range(POLISHING):
        points, miss = seen[-1]
        total = eye
        for v in points:
            total = step.derivative(v) @ total
        moved, failed = torch.linalg.solve_ex(eye - total, miss)
        if failed or not torch.isfinite(moved).all():
            break
        seen.append(around(points[0] + moved))
        if not seen[-1][1].norm() < INF:
            break
    return min(seen, key=lambda one: float(one[1].norm().nan_to_num(INF)))[0]


class _Around:
    """The cycle with a norm at each of its points, and what is proved of the balls around them."""

    def __init__(
        self,
        step: LocalStep,
        points: list[Tensor],
        norms: list[QuadraticNorm],
        rate: float,
        callback: Callable[[], None] | None = None,
    ):
        self.step, self.points, self.norms, self.rate = step, points, norms, rate
        self.callback = callback
        self.slopes = [step.derivative(x) for x in points]
        self.before = [Transported(norm) for norm in norms]
        following = [*range(1, len(points)), 0]
        self.misses = [
            step.misses(x, points[k], norms[k]) for x, k in zip(points, following, strict=True)
        ]

    def proved(self, radius: float) -> tuple[float, float] | None:
        """Return constant and error if the ball of this radius is mapped into itself."""
        constant, now, error = 1.0, radius, 0.0
        for k, x in enumerate(self.points):
            after = self.norms[(k + 1) % len(self.norms)]
            stretch = self.step.constant(x, now, self.before[k], after, self.slopes[k])
            now, error = (v * stretch + self.misses[k] for v in (now, error))
            constant *= stretch
            if not now < INF:
                return None
        if constant > self.rate or constant >= 1 or now > radius:
            return None
        return constant * (1 + MARGIN), error / (1 - constant) * (1 + MARGIN)

    def tried(self, radius: float) -> tuple[float, float] | None:
        """Return what `proved` does, unless the callback ends the search."""
        if self.callback is not None:
            self.callback()
        return self.proved(radius)

    def smallest(self, one_rate: float) -> float | None:
        """Return a radius at which the proof holds, not much larger than the centre's error."""
        if any(seen.slack == INF for seen in self.before):  # norms too skew for double precision
            return None
        radius = max(SMALLEST, 1.05 * sum(self.misses) / (1 - one_rate ** len(self.points)))
        tried = [radius * 1.25**k for k in range(12)]
        return next((radius for radius in tried if self.tried(radius)), None)

    def larger(self, radius: float, factor: float) -> float:
        """Return the last of ``radius * factor**k`` up to which the proof holds."""
        while radius * factor < LARGEST and self.tried(radius * factor):
            radius *= factor
        return radius


def _ends(step: LocalStep, device) -> tuple[Tensor, Tensor]:
    return step.inputs.low.to(device), step.inputs.high.to(device)


def _nothing(step: LocalStep, x: Tensor, period: int, found: float, why: str, device):
    norm = QuadraticNorm(torch.eye(step.n_x, dtype=torch.float64, device=device))
    ends = _ends(step, device)
    return LocalCertificate(INF, norm, x.to(device), 0.0, INF, period, ends, found, False, why)

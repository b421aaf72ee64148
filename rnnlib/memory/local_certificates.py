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

from rnnlib.memory.certificates import Inputs, admitted_inputs
from rnnlib.memory.comparison import signed_enclosure
from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.memory.intervals import INF, MARGIN, Interval, image, point
from rnnlib.memory.norms import QuadraticNorm
from rnnlib.memory.quadratic_bound import Transported, quadratic_bound, spectral_bound
from rnnlib.memory.quadratic_norms import SHARES, contracting_norms, spectral_radius
from rnnlib.memory.step_enclosure import Box, Network, enclose_step, read_network
from rnnlib.systems import System, from_module, jacobian

POLISHING = 8  # Newton steps at most
LARGEST, SMALLEST = 2.0**100, 2.0**-100  # radii that are tried, in units of the norm
COARSE, FINE = (16.0, 4.0, 2.0), [2 ** (0.5**k) for k in range(1, 12)]  # factors of the radius
Curvature = float | Callable[[float], float]


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
) -> LocalCertificate:
    """Prove that orbits near a fixed point, or a cycle, converge to it, and how near is enough.

    Args:
        cell: a torch network or a system made from one, as in `certify`, under one held input; or
            any other system in float64 together with ``curvature``.
        x: the point that was found, or one point of the cycle, shape ``(n_x,)``. It is polished by
            Newton's method first.
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

    Returns:
        The certificate with the largest Euclidean ball inside, of the norms that were tried.

    Raises:
        TypeError: as in `certify`; a system that is not in float64.
        ValueError: ``x`` of another shape or not finite, a period below 1, a rate above 1 or not
            positive, no input given to a system that needs one.

    Reference:
        Lohmiller and Slotine, "On contraction analysis for non-linear systems", Automatica 34
        (1998), for contraction in a metric of its own.
    """
    if period < 1 or not 0 < rate <= 1:
        raise ValueError(
            f"period is {period} and rate is {rate}; give at least 1, and 0 < rate <= 1."
        )
    if isinstance(cell, nn.Module):
        cell = from_module(cell)
    step = _step(cell, inputs, curvature)
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
    if step.curvature is None and step.network is None:
        why = "no rule for the derivative of this step, and no curvature given"
        return _nothing(step, points[0], period, found, why, device)

    best, why = None, "no ball was found that the step maps into itself"
    shares = tqdm(SHARES, desc="norms", disable=not progress, unit="norm")
    with kept_on_interrupt("the largest ball found so far"):
        for share in shares:
            one_rate = (found + share * (rate - found)) ** (1 / period)
            norms = contracting_norms(slopes, one_rate)
            around = _Around(step, points, norms, rate) if norms else None
            small = around.smallest(one_rate) if around else None
            if small is None:
                continue
            radius = small
            for factor in COARSE:
                radius = around.larger(radius, factor)
            reach = radius / spectral_bound(norms[0].matrix)
            if best is None or reach > best[0]:
                best = reach, around, small, radius
    if best is None:
        return _nothing(step, points[0], period, found, why, device)
    _, around, small, radius = best
    with kept_on_interrupt("the largest ball found so far"):
        for factor in FINE if radius * 2 < LARGEST else ():
            if around.proved(radius * factor):
                radius *= factor
    # The fixed point is the same one in the small ball, where less is known of how far away it is.
    (constant, error), (_, near) = around.proved(radius), around.proved(small)
    return LocalCertificate(
        constant=constant,
        norm=QuadraticNorm(around.norms[0].matrix.to(device)),
        centre=points[0].to(device),
        radius=radius,
        error=min(error, near),
        steps=period,
        inputs=step.ends(device),
        found=found,
        certified=True,
    )


class _Step:
    """One step in float64, as a proof sees it: by a network's rule, or by a stated curvature."""

    def __init__(self, network, system, inputs: Interval, curvature: Curvature | None):
        self.network: Network | None = network
        self.system: System | None = system
        self.inputs, self.curvature = inputs, curvature
        self.n_x = network.n_x if network else system.n_x
        middle = inputs.middle
        self.middle = point(middle) if network else (middle if system.n_z else None)

    def ends(self, device) -> tuple[Tensor, Tensor]:
        return self.inputs.low.to(device), self.inputs.high.to(device)

    def next(self, x: Tensor) -> Tensor:
        """Return the next state under the middle input."""
        if self.network:
            return enclose_step(self.network, Box(point(x)), self.middle).reached.middle
        return self.system.step(x, self.middle).detach()

    def derivative(self, x: Tensor) -> Tensor:
        if self.network:
            rows = enclose_step(self.network, Box(point(x)), self.middle).rows
            return signed_enclosure(rows, self.n_x)[0]
        return jacobian(self.system, x, self.middle).detach()

    def misses(self, x: Tensor, target: Tensor, norm: QuadraticNorm) -> float:
        """Bound how far from the target the next state of ``x`` is, over all inputs."""
        if self.network:
            reached = enclose_step(self.network, Box(point(x)), self.inputs).reached
            miss = (reached - point(target)).largest
        else:
            following = self.next(x)
            rounding = MARGIN * (x.abs().max() + following.abs())
            miss = (following - target).abs() + rounding
        by_columns = spectral_bound(norm.matrix * miss) * len(miss) ** 0.5
        return min(float((norm.matrix.abs() @ miss).norm()), by_columns) * (1 + MARGIN)

    def constant(
        self, x: Tensor, radius: float, before: Transported, after: QuadraticNorm, slope: Tensor
    ) -> float:
        """Bound the stretch from the ball of this radius to the next norm."""
        if self.network:
            ball = Ball(x, radius, before)
            return quadratic_bound(
                enclose_step(self.network, ball, self.inputs).rows, after, before
            )
        back, forth = spectral_bound(before.norm.inverse), spectral_bound(after.matrix)
        farthest = radius * back * before.slack  # in the Euclidean norm
        bound = self.curvature(farthest) if callable(self.curvature) else self.curvature
        linear = spectral_bound(after.matrix @ before(slope))
        return (linear + forth * bound * farthest * back) * before.slack * (1 + MARGIN)


@dataclass(frozen=True, eq=False)
class Ball:
    """All states with ``|T (x - centre)|_2 <= radius``.

    Attributes:
        centre: shape ``(n_x,)``.
        radius: in the norm.
        transported: of the norm.
    """

    centre: Tensor
    radius: float
    transported: Transported

    def image(self, matrix: Tensor) -> Interval:
        """Return what contains ``matrix @ x`` for all its states, shape ``(rows,)``."""
        reach = self.transported.row_norms(matrix) * self.radius * self.transported.slack
        return image(matrix, point(self.centre)) + Interval(-reach, reach)


def _step(cell, inputs: Inputs | None, curvature: Curvature | None) -> _Step:
    network = read_network(cell)
    held = cell.z if isinstance(cell, System) else None
    given = inputs if inputs is not None else held
    n_z = network.n_z if network else cell.n_z
    if given is None and n_z:
        raise ValueError(
            "no input is given; hold one with system.hold(z), or pass inputs=z, or a box of them."
        )
    given = torch.zeros(0) if given is None else given
    admitted = admitted_inputs(n_z, given, 0.0)
    if network is not None:
        if network.kind == "elman" and network.activation is None:
            raise ValueError(
                "cell is an Elman network given by its weights alone, which do not say whether it "
                "is tanh or relu; give the module, or a system made from it."
            )
        return _Step(network, None, admitted, None)
    for name, parameter in cell.theta.items():
        if parameter.dtype != torch.float64:
            raise TypeError(
                f"theta[{name!r}] is {parameter.dtype}; a proof needs float64: use "
                f"system.to(torch.float64)."
            )
    if cell.n_z and (admitted.low != admitted.high).any():
        raise ValueError("inputs is a box; for a system without a known rule hold one input.")
    if cell.batch_shape:
        raise ValueError(f"system has batch axes {tuple(cell.batch_shape)}; certify one at a time.")
    return _Step(None, cell.to("cpu"), admitted, curvature)


def _polished(step: _Step, x: Tensor, period: int) -> list[Tensor]:
    """Return the points of the cycle through ``x`` after Newton steps on ``F(x) - x``."""

    def around(v: Tensor) -> tuple[list[Tensor], Tensor]:
        points = [v]
        for _ in range(period):
            points.append(step.next(points[-1]))
        return points[:-1], points[-1] - v

    points, miss = around(x)
    for _ in range(POLISHING):
        total = torch.eye(step.n_x, dtype=torch.float64, device="cpu")
        for v in points:
            total = step.derivative(v) @ total
        eye = torch.eye(step.n_x, dtype=torch.float64, device="cpu")
        moved, failed = torch.linalg.solve_ex(eye - total, miss)
        if failed or not torch.isfinite(moved).all():
            break
        trial, trial_miss = around(points[0] + moved)
        if not trial_miss.norm() < miss.norm():
            break
        points, miss = trial, trial_miss
    return points


class _Around:
    """The cycle with a norm at each of its points, and what is proved of the balls around them."""

    def __init__(self, step: _Step, points: list[Tensor], norms: list[QuadraticNorm], rate: float):
        self.step, self.points, self.norms, self.rate = step, points, norms, rate
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

    def smallest(self, one_rate: float) -> float | None:
        """Return a radius at which the proof holds, not much larger than the centre's error."""
        if any(seen.slack == INF for seen in self.before):  # norms too skew for double precision
            return None
        radius = max(SMALLEST, 1.05 * sum(self.misses) / (1 - one_rate ** len(self.points)))
        tried = [radius * 1.25**k for k in range(12)]
        return next((radius for radius in tried if self.proved(radius)), None)

    def larger(self, radius: float, factor: float) -> float:
        """Return the last of ``radius * factor**k`` up to which the proof holds."""
        while radius * factor < LARGEST and self.proved(radius * factor):
            radius *= factor
        return radius


def _nothing(step: _Step, x: Tensor, period: int, found: float, why: str, device):
    norm = QuadraticNorm(torch.eye(step.n_x, dtype=torch.float64, device=device))
    ends = step.ends(device)
    return LocalCertificate(INF, norm, x.to(device), 0.0, INF, period, ends, found, False, why)

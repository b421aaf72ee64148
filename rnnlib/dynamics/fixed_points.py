"""Fixed and periodic points, stable or not, and slow points, found from many starts.

A simulation only ever shows what attracts. The saddles and repellers that bound the basins, and
the branches that meet at a bifurcation, are roots of ``f^p(x) - x = 0``, where ``f^p`` is the
transition applied p times. Where there is no root, the speed may still have a minimum, a slow
point, near which orbits linger.
"""

import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.newton import ENTRIES, Search, relative, search
from rnnlib.dynamics.orbits import trajectory
from rnnlib.dynamics.spectra import eigenvalues, leading_eigenvalues
from rnnlib.systems import System, jacobian

STABILITIES = ("stable", "saddle", "unstable", "neutral", "unknown")
SAMPLES = 256  # states of a region that are asked whether the next one is in it too


class SlowPoints(NamedTuple):
    """Local minima of the speed ``|f^p(x) - x|^2 / 2`` that are no roots.

    Each was reached by descent, and reached again, or no lower one, after a small disturbance.

    Attributes:
        points: shape ``(k, n_x)``, the slowest first.
        member: shape ``(k,)``, as in `FixedPoints`.
        residual: shape ``(k,)``, ``max |f^p(x) - x| / (1 + max |x|)``.
        speed: shape ``(k,)``, ``|f^p(x) - x|^2 / 2``.
        hits: shape ``(k,)``, how many starts ended there.
    """

    points: Tensor
    member: Tensor
    residual: Tensor
    speed: Tensor
    hits: Tensor


class FixedPoints(NamedTuple):
    """The distinct roots that were found, with the evidence for each.

    Attributes:
        points: shape ``(k, n_x)``, float64; ``k`` is 0 if no start converged.
        member: shape ``(k,)``, which system of the batch each belongs to, as a flat index into
            its batch axes; all 0 for a single system.
        period: shape ``(k,)``, the primitive period: a divisor of the period asked for.
        residual: shape ``(k,)``, ``max |f^p(x) - x| / (1 + max |x|)``.
        speed: shape ``(k,)``, ``|f^p(x) - x|^2 / 2``.
        iterations: shape ``(k,)``, the iterations that the best start took.
        hits: shape ``(k,)``, how many starts ended there; 0 for a point of a cycle that was found
            by stepping from another. It measures Newton's basins, not the dynamical system's.
        eigenvalues: shape ``(k, m)``, complex, of the Jacobian of ``f^p`` (the multipliers of a
            cycle), largest modulus first; all of them, or the ``leading`` ones for many units.
        stability: strings out of `STABILITIES`, an array of shape ``(k,)``.
        isolated: shape ``(k,)``; False where an eigenvalue is 1 within the tolerance, so that
            the root may lie on a curve or surface of roots, of which this is one point, or be none
            but a place where rounding hides a slow drift.
        index: shape ``(k,)``, the sign of ``det(1 - J)``: 1 or -1, or 0 where the root is not
            isolated or its eigenvalues are unknown.
        missing: shape ``(members,)``, True where roots must have been missed: ``f^p`` maps the
            region into itself, as far as sampled states tell, and the indices of the roots found
            there do not sum to 1. False is no proof that the list is complete.
        slow: the slow points met on the way.
        converged: how many starts reached the tolerance, over all systems of the batch.
        starts: how many there were.
        interrupted: whether the search was stopped by hand; starts not begun by then count as not
            converged.
    """

    points: Tensor
    member: Tensor
    period: Tensor
    residual: Tensor
    speed: Tensor
    iterations: Tensor
    hits: Tensor
    eigenvalues: Tensor
    stability: np.ndarray
    isolated: Tensor
    index: Tensor
    missing: Tensor
    slow: SlowPoints
    converged: int
    starts: int
    interrupted: bool

    def describe(self) -> str:
        """Return a line on the search, one on each root and slow point, and what is missing."""
        stopped = "; interrupted" if self.interrupted else ""
        lines = [
            f"{len(self.points)} found; {self.converged} of {self.starts} starts converged{stopped}"
        ]
        for i, x in enumerate(self.points):
            lines.append(
                f"{_shown(x)}  period {int(self.period[i])}  "
                f"{self.stability[i]:8s} |lambda| = {float(self.eigenvalues[i].abs().max()):.4f}  "
                f"residual {float(self.residual[i]):.0e}  {int(self.hits[i])} starts"
            )
        for i, x in enumerate(self.slow.points):
            lines.append(
                f"{_shown(x)}  slow point, speed {float(self.slow.speed[i]):.1e}  "
                f"residual {float(self.slow.residual[i]):.0e}  {int(self.slow.hits[i])} starts"
            )
        for member in self.missing.nonzero()[:, 0].tolist():
            where = f" of member {member}" if len(self.missing) > 1 else ""
            total = int(self.index[self.member == member].sum())
            lines.append(
                f"roots{where} are missing: the region is mapped into itself, as far as "
                f"{SAMPLES} sampled states tell, so the indices of its roots sum to 1 (Brouwer), "
                f"and those found sum to {total}; try other starts, such as states of orbits"
            )
        return "\n".join(lines)


def _shown(x: Tensor) -> str:
    return f"({', '.join(f'{v:+.4f}' for v in x[:4].tolist())}{', ...' if len(x) > 4 else ''})"


def iterated(system: System, period: int) -> System:
    """Return the system whose one step is ``period`` steps of the given one, ``f^p``."""

    def f(x, z, theta):
        for _ in range(period):
            x = system.f(x, z, theta)
        return x

    return (
        replace(system, f=f, name=f"{system.name}, every {period} steps") if period > 1 else system
    )


def starts_in_box(
    low: float | Tensor,
    high: float | Tensor,
    count: int,
    n_x: int,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return starts drawn uniformly from a box, the same ones on every device.

    Args:
        low: the lower ends, a number or shape ``(n_x,)``.
        high: the upper ends.
        count: how many starts.
        n_x: the dimension of the state.
        seed: of the draw.
        device: where to put them: that of the system.

    Returns:
        Shape ``(count, n_x)``, float64.

    Example:
        >>> import rnnlib
        >>> starts = rnnlib.starts_in_box(-1, 1, count=100, n_x=3)
        >>> starts.shape, bool((starts.abs() <= 1).all())
        (torch.Size([100, 3]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(count, n_x, dtype=torch.float64, generator=generator, device="cpu")
    drawn = drawn if device is None else drawn.to(device)
    return low + (high - low) * drawn


@torch.no_grad()
def starts_from_orbits(
    system: System,
    x0: Tensor,
    count: int,
    *,
    burn_in: int = 2000,
    every: int = 10,
    inputs: Tensor | None = None,
    progress: bool = False,
) -> Tensor:
    """Return states that orbits reach, to start a search for fixed points from.

    A trained network visits a small part of its state space. From there Newton's method finds what
    matters to its orbits, where starts drawn from a box find nothing. Both together find more:
    ``torch.cat([starts_in_box(...), starts_from_orbits(...)])``.

    Args:
        system: with its input held, without input, or driven by ``inputs``.
        x0: where the orbits begin, shape ``(*batch, n_x)``.
        count: states taken of each orbit.
        burn_in: steps before the first is taken.
        every: steps from one to the next.
        inputs: those to run on, ``(burn_in + (count - 1) every + 1, *batch, n_z)`` or longer.
        progress: whether to show a progress bar.

    Returns:
        Shape ``(count * orbits, n_x)``.

    Raises:
        ValueError: a count or spacing under 1, a negative burn-in, or too few inputs.

    Example:
        >>> import torch, rnnlib
        >>> starts = rnnlib.starts_from_orbits(rnnlib.henon(), torch.zeros(1, 2).double(), count=20)
        >>> starts.shape, bool((starts[:, 0].abs() < 1.3).all())  # on the attractor
        (torch.Size([20, 2]), True)
    """
    if count < 1 or every < 1:
        raise ValueError(f"count is {count} and every is {every}; both must be 1 or more.")
    steps = (count - 1) * every + 1
    states = trajectory(system, x0, steps, burn_in=burn_in, inputs=inputs, progress=progress)
    taken = [x for t, (x, _) in enumerate(states) if t % every == 0]
    return torch.stack(taken).reshape(-1, system.n_x)


@torch.no_grad()
def fixed_points(
    system: System,
    starts: Tensor,
    *,
    period: int = 1,
    tolerance: float = 1e-10,
    separation: float = 1e-6,
    neutral: float = 1e-6,
    max_iterations: int = 100,
    region: tuple[float | Tensor, float | Tensor] | None = (-1.0, 1.0),
    disturbance: float = 1e-3,
    dense: int = 300,
    krylov: int = 60,
    leading: int = 10,
    progress: bool = False,
) -> FixedPoints:
    """Find the fixed points of ``f^period`` and its slow points by a damped Newton method.

    From each start Newton's step is followed for a few iterations, whether it helps or not. Where
    that comes no nearer to a root the search goes back to the slowest state met and takes damped
    steps (`rnnlib.dynamics.damped_steps`), trying Newton's again whenever the speed has fallen
    tenfold. Convergence is quadratic also where ``J - 1`` is singular but ``|f^p(x) - x|`` grows in
    proportion to the distance from the set of roots, as on a line of fixed points: each start then
    ends on some point of that line. No list of roots is proved to be complete; one that cannot be
    is said to be (``missing``). Interrupted from the keyboard, it warns and returns what was found.

    Args:
        system: an autonomous system (or one with its input held), differentiable along the
            search. A batch of systems has batch axes ``(*batch, 1)``, as a family called with
            ``values[:, None]`` gives them.
        starts: shape ``(M, n_x)``, float64; see `starts_in_box` and `starts_from_orbits`.
        period: p, the number of steps after which the state recurs.
        tolerance: on the relative residual; a converged start goes on until it stops improving.
        separation: roots nearer than this, relative to ``1 + max |x|``, count as one. At a
            bifurcation roots are less sharp than the residual and one may come as a small cloud.
        neutral: how near to 1 a modulus counts as neutral.
        max_iterations: of the search from one start.
        region: the lower and upper ends, numbers or shape ``(n_x,)``, of a box that the system may
            map into itself, for `FixedPoints.missing`; that of a tanh network or a GRU is the
            default. None to make no such statement.
        disturbance: relative to ``1 + max |x|``. Descent that starts so far from a slow point must
            end no lower; slow points that are nearer to each other count as one.
        dense: up to so many components the Jacobian is formed and all its eigenvalues are found;
            beyond, products with vectors are used for as long as they serve; beyond
            `rnnlib.dynamics.spectra.WHOLE`, alone.
        krylov: for many units, the largest dimension of the spaces that steps are sought in.
        leading: for many units, how many eigenvalues to find.
        progress: whether to show a progress bar over the starts.

    Raises:
        ValueError: starts of another shape or device, a system whose last batch axis is not 1, a
            constant out of its range.
        TypeError: starts or parameters that are not float64.

    Reference:
        J. J. More (see `rnnlib.dynamics.damped_steps`); L. Grippo, F. Lampariello, S. Lucidi, "A
        nonmonotone line search technique for Newton's method", SIAM Journal on Numerical Analysis
        23 (1986); for RNNs: D. Sussillo, O. Barak, "Opening the black box", Neural Computation 25
        (2013).

    Example:
        >>> import torch, rnnlib
        >>> starts = rnnlib.starts_in_box(-1, 2, count=20, n_x=1)
        >>> found = rnnlib.fixed_points(rnnlib.logistic(3.2), starts)
        >>> found.points[:, 0].sort().values  # 0 and 1 - 1 / r
        tensor([0.0000, 0.6875], dtype=torch.float64)
        >>> found.stability.tolist()
        ['unstable', 'unstable']
    """
    _check(system, starts, period)
    _check_ranges(
        tolerance=tolerance, separation=separation, neutral=neutral, disturbance=disturbance
    )
    for name, value in {
        "period": period, "max_iterations": max_iterations, "krylov": krylov, "leading": leading,
    }.items():  # fmt: skip
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more.")
    power = iterated(system, period)
    members = max(1, system.batch_shape.numel())

    def run(starts: Tensor, bar: tqdm) -> Search:
        entries = members * system.n_x * (system.n_x if system.n_x <= dense else krylov)
        parts = []
        for chunk in starts.split(max(1, ENTRIES // entries), dim=-2):
            parts.append(search(power, chunk, tolerance, max_iterations, dense, krylov, bar))
            if parts[-1].interrupted:
                break
        joined = (torch.cat(part, dim=1) for part in list(zip(*parts, strict=True))[:-1])
        return Search(*joined, interrupted=parts[-1].interrupted)

    with tqdm(total=len(starts), desc=power.name, disable=not progress, unit="start") as bar:
        ended = run(starts, bar)
        slow = _slow_points(power, ended, tolerance, disturbance, run, bar)
    converged = int((ended.residual < tolerance).sum())
    candidates, found, picks, hits = _distinct(ended, ended.residual < tolerance, separation)
    if period > 1 and found.any() and not ended.interrupted:  # the orbit of a root is roots
        x = candidates.masked_fill(~found[..., None], torch.nan)
        orbit = [x := _stepped(system, x) for _ in range(period - 1)]
        rest = torch.cat(orbit, dim=-2).reshape(*system.batch_shape[:-1], -1, system.n_x)
        more = run(rest, tqdm(disable=True))
        joined = (torch.cat(pair, dim=1) for pair in zip(ended[:-1], more[:-1], strict=True))
        ended = Search._make((*joined, more.interrupted))
        candidates, found, picks, hits = _distinct(
            ended, ended.residual < tolerance, separation, len(starts)
        )
    if ended.interrupted:
        warnings.warn(
            "fixed_points was interrupted: what it returns is what it had found by then.",
            stacklevel=3,
        )
    rows = torch.arange(members, device=starts.device)[:, None]
    member = found.nonzero()[:, 0]
    points = candidates[found]
    values, stability, index = _spectra(power, candidates, found, dense, leading, neutral)
    isolated = ((values - 1).abs() > neutral).all(-1) & ~torch.isnan(values).any(-1)
    index = torch.where(isolated, index, 0)
    return FixedPoints(
        points=points,
        member=member,
        period=_primitive(system, candidates, period, separation)[found],
        residual=ended.residual[rows, picks][found],
        speed=_speed(power, candidates)[found],
        iterations=ended.iterations[rows, picks][found],
        hits=hits[found],
        eigenvalues=values,
        stability=stability,
        isolated=isolated,
        index=index,
        missing=_missing(power, region, points, member, index, members),
        slow=slow,
        converged=converged,
        starts=members * len(starts),
        interrupted=ended.interrupted,
    )


def classify(eigenvalues: Tensor, neutral: float = 1e-6) -> np.ndarray:
    """Return what the eigenvalues of the Jacobian say about a fixed point.

    "stable": all moduli under 1; "saddle": some over 1 and some under; "unstable": some over 1
    and none under; "neutral": the largest is 1 within the tolerance, and the linear part decides
    nothing (``x -> tanh x`` attracts, a rotation does not); "unknown": some are not numbers.

    Args:
        eigenvalues: shape ``(*batch, n)``.
        neutral: how near to 1 counts as 1.

    Returns:
        Strings, shape ``(*batch,)``.
    """
    size = eigenvalues.abs()
    over, under = (size > 1 + neutral).any(-1), (size < 1 - neutral).any(-1)
    kind = np.full(tuple(over.shape), "neutral", dtype=object)
    for name, mask in (
        ("stable", (size < 1 - neutral).all(-1)),
        ("saddle", over & under),
        ("unstable", over & ~under),
        ("unknown", torch.isnan(size).any(-1)),
    ):
        kind[mask.cpu().numpy()] = name
    return kind.astype(str)


def _spectra(
    power: System, candidates: Tensor, found: Tensor, dense: int, leading: int, neutral: float
) -> tuple[Tensor, np.ndarray, Tensor]:
    """Return the eigenvalues ``(k, m)``, the stability and the index of each root found."""
    n, members = power.n_x, len(candidates)
    count = n if n <= dense else min(n, leading)
    if not found.any():
        empty = candidates.new_zeros(0, count).to(torch.complex128)
        return empty, classify(empty), empty.real.sum(-1).long()
    if n <= dense:
        shaped = candidates.reshape(*power.batch_shape[:-1], -1, n)
        each = [eigenvalues(jacobian(power, shaped).reshape(members, -1, n, n)[found])]
    else:
        each = [
            leading_eigenvalues(_one_member(power, int(member)), candidates[member, k], leading)[
                None
            ]
            for member, k in found.nonzero().tolist()
        ]
    # sign det(1 - J): a complex pair adds |1 - lambda|^2 > 0, and so does all within the circle
    index = torch.cat([(1 - v).real.where(v.imag == 0, 1.0).sign().prod(-1) for v in each])
    stability = np.concatenate([classify(v, neutral) for v in each])
    return torch.cat([v[:, :count] for v in each]), stability, index.nan_to_num(0.0).long()


def _one_member(system: System, member: int) -> System:
    """Return one system of a batch, by its flat index."""
    batch = system.batch_shape

    def pick(value: Tensor, core: int) -> Tensor:
        shape = value.shape[value.dim() - core :]
        return value.expand(*batch, *shape).reshape(-1, *shape)[member]

    theta = {name: pick(value, system.core[name]) for name, value in system.theta.items()}
    return replace(system, theta=theta, z=None if system.z is None else pick(system.z, 1))


def _slow_points(
    power: System, ended: Search, tolerance: float, disturbance: float, run, bar
) -> SlowPoints:
    """Return the distinct ends of descent above the tolerance that a disturbance does not lower."""
    resting = ended.at_rest & torch.isfinite(ended.residual) & ~(ended.residual < tolerance)
    if ended.interrupted:
        resting = torch.zeros_like(resting)
    points, found, picks, hits = _distinct(ended, resting, disturbance)
    speed = _speed(power, points)
    for member, k in found.nonzero().tolist():
        x = points[member, k]
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(x.shape, dtype=x.dtype, generator=generator, device="cpu").to(x.device)
        bar.total += 1
        again = run((x + disturbance * (1 + x.abs().max()) * noise / noise.abs().max())[None], bar)
        lower = _speed(power, again.x)[member, 0] < 0.99 * speed[member, k]
        found[member, k] = not bool(lower)
    order = speed[found].argsort()
    residual = ended.residual.gather(1, picks)
    return SlowPoints(
        points[found][order],
        found.nonzero()[:, 0][order],
        *(a[found][order] for a in (residual, speed, hits)),
    )


def _speed(power: System, x: Tensor) -> Tensor:
    """Return ``|f(x) - x|^2 / 2`` of states ``(members, K, n_x)``."""
    return (_stepped(power, x) - x).square().sum(-1) / 2


def _stepped(system: System, x: Tensor) -> Tensor:
    """Return the next states of states ``(members, K, n_x)``."""
    shaped = x.reshape(*system.batch_shape[:-1], -1, system.n_x)
    return system.step(shaped).reshape(x.shape)


def _missing(
    power: System, region, points: Tensor, member: Tensor, index: Tensor, members: int
) -> Tensor:
    """Return for each member whether the roots found contradict that their indices sum to 1.

    A map of a box into its interior is homotopic, without roots on the boundary, to a constant,
    so the degree of ``x - f(x)`` there is 1.

    Reference:
        J. Milnor, "Topology from the differentiable viewpoint" (1965), section 6.
    """
    missing = torch.zeros(members, dtype=torch.bool, device=points.device)
    if region is None:
        return missing
    low, high = (
        torch.as_tensor(end, dtype=points.dtype, device=points.device).expand(power.n_x)
        for end in region
    )
    drawn = starts_in_box(0.0, 1.0, SAMPLES, power.n_x, device=points.device)
    drawn[::2] = drawn[::2].round()  # corners
    after = power.step(power.initial_state(low + (high - low) * drawn))
    stays = ((after >= low) & (after <= high)).all(-1).reshape(-1, SAMPLES).all(-1)
    inside = ((points >= low) & (points <= high)).all(-1)
    for k in stays.expand(members).nonzero()[:, 0].tolist():
        mine = index[inside & (member == k)]
        missing[k] = bool((mine != 0).all()) and int(mine.sum()) != 1
    return missing


def _distinct(
    ended: Search, which: Tensor, separation: float, counted: int | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pick, for every member at once, the sharpest state left and drop what lies near it.

    Args:
        ended: where the starts are.
        which: those to pick from, shape ``(members, M)``.
        separation: how near is near.
        counted: only so many of the starts, the first ones, count as hits; by default all.

    Returns:
        The states picked, shape ``(members, K, n_x)``; which of them are there, as a member may
        have fewer; their numbers and the number of starts near each, shape ``(members, K)``.
    """
    x = ended.x
    rows = torch.arange(len(x), device=x.device)
    left = which & torch.isfinite(ended.residual)
    picks, hits, there = [], [], []
    while left.any() or not picks:
        pick = ended.residual.masked_fill(~left, torch.inf).argmin(-1)
        root = x[rows, pick].unsqueeze(1)
        near = left & (relative(x - root, root) <= separation)
        picks.append(pick)
        hits.append(near[:, :counted].sum(-1))
        there.append(near.any(-1))
        left = left & ~near
    picks = torch.stack(picks, dim=1)
    return x[rows[:, None], picks], torch.stack(there, 1), picks, torch.stack(hits, 1)


def _primitive(system: System, x: Tensor, period: int, separation: float) -> Tensor:
    """Return the smallest divisor of the period after which each state recurs, ``(members, K)``."""
    shaped = x.reshape(*system.batch_shape[:-1], -1, system.n_x)
    found = torch.full(x.shape[:-1], period, device=x.device)
    state = shaped
    for steps in range(1, period):
        state = system.step(state)
        if period % steps == 0:
            recurs = (relative(state - shaped, shaped) <= separation).reshape(found.shape)
            found = torch.where(recurs & (found == period), steps, found)
    return found


def _check_ranges(**constants: float) -> None:
    for name, value in constants.items():
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} is {value}; it must be 0 or more, and finite.")


def _check(system: System, starts: Tensor, period: int) -> None:
    if starts.dim() != 2 or len(starts) == 0:
        raise ValueError(
            f"starts has shape {tuple(starts.shape)}; it must be (M, {system.n_x}) with M >= 1."
        )
    if starts.dtype != torch.float64:
        raise TypeError(f"starts is {starts.dtype}; use float64, and system.to(torch.float64).")
    for name, value in system.theta.items():
        if value.device != starts.device:
            raise ValueError(
                f"starts is on {starts.device} and theta[{name!r}] on {value.device}; move the "
                f"starts with starts.to({str(value.device)!r})."
            )
    if system.batch_shape and system.batch_shape[-1] != 1:
        raise ValueError(
            f"system has batch axes {tuple(system.batch_shape)}; the last must be 1, to broadcast "
            f"against the starts: build the family at values[:, None]."
        )

"""Attractors as definition 2 has them, and their basins."""

import warnings
from typing import Any, NamedTuple

import scipy
import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.fixed_points import fixed_points, iterated
from rnnlib.dynamics.kinds import RECURRENT
from rnnlib.dynamics.orbits import trajectory
from rnnlib.dynamics.steady_state import steady_state
from rnnlib.systems import System, push_forward

DIVERGENT, UNDECIDED = -1, -2
POLISH = 12  # iterations: from an orbit that nears a fixed point or cycle 2 to 6 are enough
MOVING = ("quasi-periodic", "chaotic")


class Attractor(NamedTuple):
    """An attractor as it was met: a sample of its points and the evidence for its kind.

    Attributes:
        kind: out of `rnnlib.dynamics.KINDS`.
        period: 1 for a fixed point, p for a cycle, 0 otherwise.
        points: the p points of a cycle, or a stretch of an orbit; shape ``(p, n_x)``.
        exponent: the largest Lyapunov exponent, in nats per step.
        reach: a state nearer than this to a point counts as arrived.
    """

    kind: str
    period: int
    points: Tensor
    exponent: float
    reach: float

    def describe(self) -> str:
        """Return a word, such as "fixed point", "period 4" or "chaotic"."""
        return f"period {self.period}" if self.kind == "periodic" else self.kind

    def distance(self, x: Tensor) -> Tensor:
        """Return the Euclidean distance to the nearest of the points, shape ``(*batch,)``.

        Args:
            x: shape ``(*batch, n_x)``; the distance of a state that is not finite is infinite.
        """
        flat = x.reshape(-1, x.shape[-1])
        finite = torch.isfinite(flat).all(-1)
        distance = flat.new_full((len(flat),), torch.inf)
        if len(self.points) <= 64:
            exact = "donot_use_mm_for_euclid_dist"
            nearest = torch.cdist(flat[finite], self.points, compute_mode=exact).amin(-1)
        else:
            nearest = torch.as_tensor(
                scipy.spatial.cKDTree(self.points.cpu().numpy()).query(flat[finite].cpu().numpy())[
                    0
                ],
                device=x.device,
            )
        distance[finite] = nearest.to(x.dtype)
        return distance.reshape(x.shape[:-1])

    def draws_in(self, system: System, x: Tensor, linear: float = 0.1) -> Tensor:
        """Return which states are at the attractor, or on the last straight way to it.

        Near a stable fixed point or cycle the linear part of the map rules. A state is there if,
        over one period, what the linear part does not explain is less than ``linear`` times the
        way that the state goes: so a slow orbit is told long before it is within reach. Of what
        does not recur the reach decides.

        Args:
            system: the one that the attractor is of.
            x: shape ``(M, n_x)``.
            linear: a fraction.

        Returns:
            Shape ``(M,)``.
        """
        here = self.distance(x) <= self.reach
        left = ~here & torch.isfinite(x).all(-1)
        if self.kind not in RECURRENT or not left.any():
            return here
        power, away = iterated(system, self.period), x[left]
        near = self.points[torch.cdist(away, self.points).argmin(-1)]
        home, moved = push_forward(power, near, (away - near).unsqueeze(-1))
        after = power.step(away)
        rest = torch.linalg.vector_norm(after - home - moved.squeeze(-1), dim=-1)
        way = torch.linalg.vector_norm(after - away, dim=-1)
        here[left] = rest <= linear * way
        return here


class Basins(NamedTuple):
    """Which attractor each start ends on.

    Attributes:
        labels: shape ``(*grid,)``: an index into ``attractors``, `DIVERGENT` (-1), or
            `UNDECIDED` (-2) for a start that had settled on no attractor: still on its way, or
            exactly on an unstable or neutral set.
        attractors: those met, in the order of the shares of the starts.
        shares: shape ``(k,)``, the fraction of the starts that ended on each.
        steps: the longest time that any start was followed.
        unexamined: how many undecided starts nobody looked at, since ``max_attractors`` steady
            states had been examined before.
        interrupted: whether it was stopped by hand; what was not labelled by then is undecided.
    """

    labels: Tensor
    attractors: tuple[Attractor, ...]
    shares: Tensor
    steps: int
    unexamined: int
    interrupted: bool

    def describe(self) -> str:
        """Return a line for each attractor with its share, and one on the other starts."""
        lines = [
            f"{share:.3f} of the starts: {attractor.describe()}, exponent {attractor.exponent:+.5f}"
            for attractor, share in zip(self.attractors, self.shares.tolist(), strict=True)
        ]
        for label, word in ((DIVERGENT, "divergent"), (UNDECIDED, "undecided")):
            if count := int((self.labels == label).sum()):
                lines.append(f"{count / self.labels.numel():.3f} of the starts: {word}")
        if self.unexamined:
            lines.append(f"{self.unexamined} of them unexamined: raise max_attractors")
        return "\n".join(lines)


def starts_on_plane(
    center: Tensor, first: Tensor, second: Tensor, extent: float, resolution: int
) -> Tensor:
    """Return a square grid of starts in the plane ``center + a first + b second``.

    Args:
        center: shape ``(n_x,)``.
        first: the horizontal direction, shape ``(n_x,)``.
        second: the vertical direction, shape ``(n_x,)``.
        extent: a and b run from ``-extent`` to ``extent``.
        resolution: points per side.

    Returns:
        Shape ``(resolution, resolution, n_x)``; rows follow b, columns a.

    Raises:
        ValueError: a resolution under 2.
    """
    if resolution < 2:
        raise ValueError(f"resolution is {resolution}; a section has 2 points per side or more.")
    odd = torch.arange(1 - resolution, resolution, 2, dtype=center.dtype)
    along = extent * odd / (resolution - 1)  # symmetric to the last bit, unlike linspace
    return center + along[:, None, None] * second + along[None, :, None] * first


@torch.no_grad()
def find_attractor(
    system: System,
    x0: Tensor,
    *,
    burn_in: int = 2000,
    steps: int = 1000,
    cloud: int = 4000,
    max_period: int = 64,
    separation: float = 1e-4,
    neutral: float = 1e-6,
    linear: float = 0.1,
    slows: float = 0.9,
    bound: float = 1e8,
    progress: bool = False,
) -> Attractor | None:
    """Return the attractor on which one start ends, or None where it ends on none.

    A fixed point or cycle is found from the orbit by Newton's method, and the orbit ends there if
    all multipliers are inside the unit circle and it has come to where the linear part rules
    (`Attractor.draws_in`): so convergence may be as slow as it likes.

    None stands for divergence, for a steady state that `rnnlib.steady_state` cannot name yet, for a
    fixed point or cycle that repels, or is neutral so that its neighbours keep their distance, and
    for any other orbit that a long run leaves again (a transient) or does not lead back to after
    small disturbances (an orthogonal network's circle).

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        x0: shape ``(n_x,)``, float64.
        burn_in: how many steps to drop.
        steps: how many the exponent of what does not recur is averaged over; ten times as many
            where they do not decide, as for an oscillation of some hundred steps.
        cloud: points kept of an attractor that does not recur; its ``reach`` is then twice the
            largest distance at which as many further points of the orbit pass the kept ones.
        max_period: the longest cycle looked for.
        separation: the ``reach`` of a fixed point or cycle, relative to ``1 + |x|``.
        neutral: a multiplier as near to the unit circle is on it.
        linear: see `Attractor.draws_in`.
        slows: an orbit that goes less than this part as far in ``steps`` steps as in those before
            is still on its way: to a fixed point or cycle, or None is returned.
        bound: a state with a larger component has diverged.
        progress: whether to show a progress bar where the orbit has to be watched.

    Raises:
        ValueError: a batch of systems, a start of another shape, an option out of its range.
    """
    check_single(system)
    if x0.shape != (system.n_x,):
        raise ValueError(f"x0 has shape {tuple(x0.shape)}; it must be ({system.n_x},).")
    for name, value in {"steps": steps, "cloud": cloud, "max_period": max_period}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more.")
    options = {
        "max_period": max_period, "separation": separation, "neutral": neutral, "linear": linear,
    }  # fmt: skip
    x = settle(system, x0, burn_in)
    if not (x.abs().max() < bound):
        return None
    if (found := _recurrent(system, x, **options)) is not None:
        return found
    early, x = _way(system, x, steps)
    late, x = _way(system, x, steps)
    if late < slows * early:
        return _recurrent(system, x, **options)
    for length in (steps, 10 * steps):
        steady = steady_state(
            system,
            x,
            burn_in=0,
            steps=length,
            max_period=max_period,
            bound=bound,
            progress=progress,
        )
        if str(steady.reason).startswith("interrupted"):
            raise KeyboardInterrupt
        if str(steady.kind) != "undetermined":
            break
    x = settle(system, x, steps)
    if str(steady.kind) not in MOVING:
        return _recurrent(system, x, **options)
    orbit = _orbit(system, x, 2 * cloud)
    attractor = Attractor(str(steady.kind), 0, orbit[:cloud], float(steady.exponent), 0.0)
    attractor = attractor._replace(reach=2 * float(attractor.distance(orbit[cloud:]).max()))
    return attractor if _attracts(system, attractor, orbit[-1], 10 * steps) else None


@torch.no_grad()
def basins(
    system: System,
    starts: Tensor,
    *,
    burn_in: int = 200,
    rounds: int = 6,
    max_attractors: int = 16,
    tries: int = 2,
    linear: float = 0.1,
    bound: float = 1e8,
    progress: bool = False,
    **find: Any,
) -> Basins:
    """Run every start to its steady state and match the steady states with each other.

    All starts go ``burn_in`` steps, and twice as long in each further round. One that matches no
    attractor known so far is followed further by itself; where it ends is the next attractor
    (`find_attractor`), unless it is one of those known. A state belongs to an attractor once it is
    within the attractor's ``reach`` or on the last way to it (`Attractor.draws_in`), so two chaotic
    attractors count as one if they lie closer together than the points sampled of them.
    Interrupted from the keyboard, it warns and returns what it has.

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        starts: shape ``(*grid, n_x)``, float64; see `starts_on_plane`.
        burn_in: steps in the first round.
        rounds: of running and matching.
        max_attractors: how many attractors are looked for, and how many starts without one are
            examined one by one in the last round. What is left then is undecided, with a warning,
            as it is for an orthogonal network, where every start has its own steady state.
        tries: how many starts that settle on nothing yet are examined in each round before.
        linear: see `Attractor.draws_in`.
        bound: a state with a larger component has diverged.
        progress: whether to show a progress bar over the starts.
        find: options of `find_attractor`.

    Raises:
        ValueError: a batch of systems, starts of another shape, an option out of its range.

    Example:
        >>> import torch, rnnlib
        >>> latch = rnnlib.from_function(lambda x, theta: torch.tanh(2 * x), 1)
        >>> found = rnnlib.basins(latch, torch.tensor([[-0.5], [0.5], [0.8]]).double())
        >>> len(found.attractors), bool(found.labels[1] == found.labels[2] != found.labels[0])
        (2, True)
    """
    check_single(system)
    if burn_in < 1 or rounds < 1:
        raise ValueError(f"burn_in is {burn_in} and rounds is {rounds}; both must be 1 or more.")
    if max_attractors < 1 or tries < 1:
        raise ValueError(
            f"max_attractors is {max_attractors} and tries is {tries}; both must be 1 or more."
        )
    state = system.initial_state(starts.reshape(-1, starts.shape[-1])).clone()
    labels = torch.full((len(state),), UNDECIDED, device=state.device)
    attractors: list[Attractor] = []
    ran = unexamined = 0
    interrupted = False
    find = {"burn_in": 10 * burn_in, "linear": linear, "bound": bound, **find}
    bar = tqdm(total=len(state), desc=f"basins of {system.name}", disable=not progress)
    try:
        for round_ in range(rounds):
            open_ = (labels == UNDECIDED).nonzero()[:, 0]
            bar.update(len(labels) - len(open_) - bar.n)
            if len(open_) == 0:
                break
            length = burn_in * 2**round_
            state[open_] = settle(system, state[open_], length)
            ran += length
            gone = ~(state.abs().amax(-1) < bound)  # True for NaN
            labels[gone & (labels == UNDECIDED)] = DIVERGENT
            for label, attractor in enumerate(attractors):
                _match(system, attractor, label, state, labels, linear)
            failures = max_attractors if round_ == rounds - 1 else tries
            unexamined = _examine(
                system, state, labels, attractors, max_attractors, failures, linear, find
            )
    except KeyboardInterrupt:
        interrupted = True
        warnings.warn("interrupted: starts not labelled by then are undecided.", stacklevel=3)
    bar.update(int((labels != UNDECIDED).sum()) - bar.n)
    bar.close()
    if unexamined and not interrupted:
        warnings.warn(
            f"{unexamined} undecided starts were not examined, as max_attractors={max_attractors} "
            f"others had been; raise it to see whether they have attractors of their own.",
            stacklevel=3,
        )
    counts = torch.bincount(labels[labels >= 0], minlength=len(attractors))
    order = counts.argsort(descending=True, stable=True)
    rank = torch.cat([order.argsort(), labels.new_tensor([UNDECIDED, DIVERGENT])])  # -2, -1 stay
    return Basins(
        labels=rank[labels].reshape(starts.shape[:-1]),
        attractors=tuple(attractors[k] for k in order.tolist()),
        shares=counts[order] / len(labels),
        steps=ran,
        unexamined=unexamined,
        interrupted=interrupted,
    )


def _examine(
    system: System,
    state: Tensor,
    labels: Tensor,
    attractors: list[Attractor],
    most: int,
    failures: int,
    linear: float,
    find: dict[str, Any],
) -> int:
    """Follow undecided starts one by one, and return how many were left out when it ended.

    Args:
        most: attractors to be known.
        failures: starts that settle on nothing, before the rest must wait.
    """  # fmt: skip
    waiting = labels != UNDECIDED
    while not waiting.all():
        if failures == 0 or len(attractors) >= most:
            return int((~waiting).sum())
        first = int((~waiting).int().argmax())
        found = find_attractor(system, state[first], **find)
        if found is None:
            failures -= 1
            # what still lies beside the first, itself included, would only tell the same
            apart = (state - state[first]).abs().amax(-1)
            waiting |= apart <= 1e-6 * (1 + state[first].abs().max())
            continue
        label = next((k for k, known in enumerate(attractors) if _same(found, known)), None)
        if label is None:
            label = len(attractors)
            attractors.append(found)
        labels[first] = label  # where its orbit ends, whether or not it is near already
        _match(system, attractors[label], label, state, labels, linear)
        waiting |= labels != UNDECIDED
    return 0


def _way(system: System, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return how far a state goes in all, step by step, and where it is then."""
    way = x.new_zeros(())
    for _ in range(steps):
        before, x = x, system.step(x)  # (1a)
        way = way + torch.linalg.vector_norm(x - before)
    return way, x


def _same(one: Attractor, other: Attractor) -> bool:
    """Return whether each of two attractors lies within reach of the other."""
    near = (one.distance(other.points) <= one.reach).all()
    return bool(near and (other.distance(one.points) <= other.reach).all())


def _recurrent(
    system: System, x: Tensor, max_period: int, separation: float, neutral: float, linear: float
) -> Attractor | None:
    """Return the stable fixed point or cycle to which an orbit is on its last way, if any."""
    window = torch.cat([x[None], _orbit(system, x, 2 * max_period)])
    returns = [
        (window[p:] - window[:-p])[-max_period:].abs().max() for p in range(1, max_period + 1)
    ]
    period = int(torch.stack(returns).nan_to_num(torch.inf).argmin()) + 1
    found = fixed_points(
        system, window[-1:], period=period, neutral=neutral, region=None, max_iterations=POLISH
    )
    if found.interrupted:
        raise KeyboardInterrupt
    if len(found.points) == 0 or found.stability[0] != "stable":
        return None
    least = int(found.period[0])
    points = _orbit(system, found.points[0], least)
    exponent = float(found.eigenvalues[0, 0].abs().log()) / period
    reach = separation * (1 + float(torch.linalg.vector_norm(points, dim=-1).max()))
    kind = "fixed point" if least == 1 else "periodic"
    attractor = Attractor(kind, least, points, exponent, reach)
    return attractor if attractor.draws_in(system, window[-1:], linear).all() else None


def _orbit(system: System, x: Tensor, steps: int) -> Tensor:
    """Return the next states, all of them or none: an interrupt ends the search as a whole."""
    return torch.stack([x for x, _ in trajectory(system, x, steps)])


def settle(system: System, x: Tensor, steps: int) -> Tensor:
    """Return the states ``steps`` steps later; nothing is stored."""
    for _ in range(steps):
        x = system.step(x)  # (1a)
    return x


def _attracts(system: System, attractor: Attractor, x: Tensor, steps: int) -> bool:
    """Return whether a state and small disturbances of it are on the attractor much later."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, len(x), dtype=x.dtype, generator=generator, device="cpu").to(x.device)
    noise *= 3 * attractor.reach / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
    later = settle(system, torch.cat([x[None], x + noise]), steps)
    return bool((attractor.distance(later) <= attractor.reach).all())


def _match(
    system: System, attractor: Attractor, label: int, state: Tensor, labels: Tensor, linear: float
) -> None:
    """Label the undecided states that have arrived, or are on their last way."""
    open_ = (labels == UNDECIDED).nonzero()[:, 0]
    if len(open_):
        labels[open_[attractor.draws_in(system, state[open_], linear)]] = label


def check_single(system: System) -> None:
    """Raise a ValueError for a system with batch axes."""
    if system.batch_shape:
        raise ValueError(
            f"{system.name} is a batch of shape {tuple(system.batch_shape)}; basins belong to one "
            f"system, so call this once for each."
        )

"""Attractors as definition 2 has them, and their basins."""

from typing import NamedTuple

import scipy
import torch
from torch import Tensor

from rnnlib.dynamics.kinds import RECURRENT
from rnnlib.dynamics.orbits import simulate
from rnnlib.dynamics.steady_state import steady_state
from rnnlib.systems import System

DIVERGENT, UNDECIDED = -1, -2
NO_END = ("unbounded", "still settling", "undetermined")
EXPONENT_STEPS = 1000
NEUTRAL = 1e-6  # an exponent of a recurrent orbit above minus this attracts no neighbourhood


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
                scipy.spatial.cKDTree(self.points.numpy()).query(flat[finite].numpy())[0]
            )
        distance[finite] = nearest.to(x.dtype)
        return distance.reshape(x.shape[:-1])


class Basins(NamedTuple):
    """Which attractor each start ends on.

    Attributes:
        labels: shape ``(*grid,)``: an index into ``attractors``, `DIVERGENT` (-1), or
            `UNDECIDED` (-2) for a start that had settled on no attractor: still on its way, or
            exactly on an unstable or neutral set.
        attractors: those met, in the order of the shares of the starts.
        shares: shape ``(k,)``, the fraction of the starts that ended on each.
        steps: the longest time that any start was followed.
    """

    labels: Tensor
    attractors: tuple[Attractor, ...]
    shares: Tensor
    steps: int


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
    cloud: int = 4000,
    max_period: int = 64,
    separation: float = 1e-4,
    bound: float = 1e8,
) -> Attractor | None:
    """Return the attractor on which one start ends, or None where it ends on none.

    None stands for divergence, for a steady state that `rnnlib.steady_state` cannot name, for a
    fixed point or cycle whose largest exponent is not negative (it repels, or is neutral and its
    neighbours keep their distance), and for any other orbit that a long run leaves again (a
    transient) or does not lead back to after small disturbances (an orthogonal network's circle).

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        x0: shape ``(n_x,)``, float64.
        burn_in: how many steps to drop.
        cloud: points kept of an attractor that does not recur; its ``reach`` is then twice the
            largest distance at which as many further points of the orbit pass the kept ones.
        max_period: the longest cycle looked for.
        separation: the ``reach`` of a fixed point or cycle, relative to ``1 + |x|``.
        bound: a state with a larger component has diverged.

    Raises:
        ValueError: a batch of systems, or a start of another shape.
    """
    check_single(system)
    if x0.shape != (system.n_x,):
        raise ValueError(f"x0 has shape {tuple(x0.shape)}; it must be ({system.n_x},).")
    x = settle(system, x0, burn_in)
    steady = steady_state(
        system, x, burn_in=0, steps=EXPONENT_STEPS, max_period=max_period, bound=bound
    )
    kind, exponent, period = str(steady.kind), float(steady.exponent), int(steady.period)
    if kind in NO_END or (kind in RECURRENT and exponent > -NEUTRAL):
        return None
    x = settle(system, x, EXPONENT_STEPS)
    if kind in RECURRENT:
        points = simulate(system, x, period)
        reach = separation * (1 + float(torch.linalg.vector_norm(points, dim=-1).max()))
        if (torch.linalg.vector_norm(points - points[0], dim=-1) <= reach).all():
            kind, period, points = "fixed point", 1, points[:1]  # a cycle of rounding errors
        return Attractor(kind, period, points, exponent, reach)
    orbit = simulate(system, x, 2 * cloud)
    attractor = Attractor(kind, 0, orbit[:cloud], exponent, 0.0)
    attractor = attractor._replace(reach=2 * float(attractor.distance(orbit[cloud:]).max()))
    return attractor if _attracts(system, attractor, orbit[-1]) else None


@torch.no_grad()
def basins(
    system: System,
    starts: Tensor,
    *,
    burn_in: int = 200,
    rounds: int = 6,
    max_attractors: int = 16,
    bound: float = 1e8,
    **find,
) -> Basins:
    """Run every start to its steady state and match the steady states with each other.

    All starts go ``burn_in`` steps. One that then matches no attractor known so far is followed
    further by itself; where it ends is the next attractor (`find_attractor`). A state belongs to
    an attractor once it is within the attractor's ``reach``, so two chaotic attractors count as
    one if they lie closer together than the points sampled of them. Starts that match none go on,
    twice as long in each round.

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        starts: shape ``(*grid, n_x)``, float64; see `starts_on_plane`.
        burn_in: steps in the first round.
        rounds: of running and matching.
        max_attractors: how many steady states are examined one by one before the rest is left
            undecided, as it is for an orthogonal network, where every start has its own.
        bound: a state with a larger component has diverged.
        find: options of `find_attractor`.

    Raises:
        ValueError: a batch of systems, starts of another shape, a burn-in or number of rounds
            under 1.
    """
    check_single(system)
    if burn_in < 1 or rounds < 1:
        raise ValueError(f"burn_in is {burn_in} and rounds is {rounds}; both must be 1 or more.")
    state = system.initial_state(starts.reshape(-1, starts.shape[-1]))
    labels = torch.full((len(state),), UNDECIDED)
    index = torch.arange(len(state))  # of the starts not labelled yet
    attractors: list[Attractor] = []
    examined = ran = 0
    for round_ in range(rounds):
        length = burn_in * 2**round_
        state, ran = settle(system, state, length), ran + length
        gone = ~(state.abs().amax(-1) < bound)  # True for NaN
        labels[index[gone]] = DIVERGENT
        state, index = state[~gone], index[~gone]
        for label, attractor in enumerate(attractors):
            state, index = _match(attractor, label, state, index, labels)
        waiting = []
        while len(index) and examined < max_attractors:
            first = state[0]
            examined += 1
            found = find_attractor(system, first, burn_in=10 * burn_in, bound=bound, **find)
            known = found is not None and any(
                (a.distance(found.points) <= a.reach).all() for a in attractors
            )
            if known and round_ < rounds - 1:
                break  # it was merely slow, and so may the others be
            if found is not None and not known:
                attractors.append(found)
                state, index = _match(found, len(attractors) - 1, state, index, labels)
            # what still lies beside the first, itself included, would only tell the same
            beside = (state - first).abs().amax(-1) <= 1e-6 * (1 + first.abs().max())
            waiting.append((state[beside], index[beside]))
            state, index = state[~beside], index[~beside]
        state = torch.cat([s for s, _ in waiting] + [state])
        index = torch.cat([i for _, i in waiting] + [index])
        if len(index) == 0:
            break
    counts = torch.stack(
        [(labels == k).sum() for k in range(len(attractors))] or [labels.new_zeros(())]
    )
    order = counts.argsort(descending=True, stable=True)[: len(attractors)]
    rank = torch.cat([order.argsort(), torch.tensor([UNDECIDED, DIVERGENT])])  # -2 and -1 stay
    return Basins(
        labels=rank[labels].reshape(starts.shape[:-1]),
        attractors=tuple(attractors[k] for k in order.tolist()),
        shares=counts[order] / len(labels),
        steps=ran,
    )


def settle(system: System, x: Tensor, steps: int) -> Tensor:
    """Return the states ``steps`` steps later; nothing is stored."""
    for _ in range(steps):
        x = system.step(x)  # (1a)
    return x


def _attracts(system: System, attractor: Attractor, x: Tensor) -> bool:
    """Return whether a state and small disturbances of it are on the attractor much later."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, len(x), dtype=x.dtype, generator=generator)
    noise *= 3 * attractor.reach / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
    later = settle(system, torch.cat([x[None], x + noise]), 10 * EXPONENT_STEPS)
    return bool((attractor.distance(later) <= attractor.reach).all())


def _match(attractor: Attractor, label: int, state: Tensor, index: Tensor, labels: Tensor):
    """Label the states that have arrived, and return the others with their indices."""
    arrived = attractor.distance(state) <= attractor.reach
    labels[index[arrived]] = label
    return state[~arrived], index[~arrived]


def check_single(system: System) -> None:
    """Raise a ValueError for a system with batch axes."""
    if system.batch_shape:
        raise ValueError(
            f"{system.name} is a batch of shape {tuple(system.batch_shape)}; basins belong to one "
            f"system, so call this once for each."
        )

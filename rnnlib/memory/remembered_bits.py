"""How many bits of what it was shown a network still holds, and where it holds them.

Show a network sequences of several classes, then hold its input constant, or go on with one more
sequence that is the same for all. The states that differ in the end are what it can tell apart by
then, and what they tell of the class is a mutual information: 2 bits if each of four classes has
places of its own, 0 if all states have merged. Under a constant input these places are
attractors; under a sequence they move, and what stays is their number.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics import Attractor, simulate, steady_state, trajectory
from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.systems import System

SAME = 1e-3  # relative distance of states that count as one
SETTLED = 1e-4  # of the way to an end may be left
ELSEWHERE = -1


class Held(NamedTuple):
    """States that began apart, in the end under one constant input.

    Attributes:
        labels: on which of the ends each state is, shape ``(N,)``; `ELSEWHERE` (-1) for one that
            is on no fixed point or cycle.
        ends: the fixed points and cycles, those with the most states first.
        kinds: what `rnnlib.steady_state` calls each state's orbit, or "not settled" where that
            was a forecast, shape ``(N,)``.
        bits: what the label tells of the class.
    """

    labels: Tensor
    ends: tuple[Attractor, ...]
    kinds: np.ndarray
    bits: float

    def describe(self) -> str:
        """Return one line, such as "2 fixed points, 1 period 3; 5 of 64 states quasi-periodic"."""
        found = Counter(end.describe() for end in self.ends)
        plural = {kind: kind + "s" if n > 1 else kind for kind, n in found.items()}
        text = ", ".join(f"{n} {plural[kind]}" for kind, n in found.items()) or "no fixed point"
        others = Counter(self.kinds[self.labels.cpu().numpy() == ELSEWHERE])
        for kind, n in others.items():
            text += f"; {n} of {len(self.labels)} states {kind}"
        return text


class Fate(NamedTuple):
    """States that began apart, after several numbers of steps under the same inputs.

    Attributes:
        steps: shape ``(k,)``.
        groups: how many states differ, shape ``(k,)``.
        bits: what the group tells of the class, shape ``(k,)``.
        between: the median distance of two states of different classes, shape ``(k,)``.
        within: the median distance of two states of the same class, shape ``(k,)``.
    """

    steps: Tensor
    groups: Tensor
    bits: Tensor
    between: Tensor
    within: Tensor


def mutual_information(first: Tensor, second: Tensor) -> float:
    """Return the mutual information of two labels in bits, from their joint counts.

    It is the plug-in estimate: for independent labels of r and s kinds it exceeds 0 by about
    ``(r - 1) (s - 1) / (2 N ln 2)``.

    Args:
        first: integers of shape ``(N,)``.
        second: integers of shape ``(N,)``.

    Raises:
        ValueError: labels of different numbers, or none.
    """
    if first.shape != second.shape or first.dim() != 1 or len(first) == 0:
        raise ValueError(
            f"first has shape {tuple(first.shape)} and second {tuple(second.shape)}; both must be "
            f"(N,) with the same N >= 1."
        )
    rows, columns = (labels.unique(return_inverse=True)[1] for labels in (first, second))
    shape = int(rows.max()) + 1, int(columns.max()) + 1
    joint = torch.zeros(shape, dtype=torch.float64, device=rows.device)
    joint.index_put_((rows, columns), joint.new_tensor(1 / len(first)), accumulate=True)
    independent = joint.sum(1, keepdim=True) * joint.sum(0)
    return float(torch.special.xlogy(joint, joint / independent).sum()) / math.log(2)


def groups(x: Tensor, tolerance: float = SAME) -> Tensor:
    """Number the distinct states.

    Args:
        x: shape ``(N, n_x)``.
        tolerance: two states are one if no component differs by more than this, relative to
            1 + the largest component of the group's first.

    Returns:
        Integers from 0, shape ``(N,)``; each state joins the first group that it lies near.
    """
    labels = torch.full((len(x),), -1, device=x.device)
    while (left := (labels < 0).nonzero()[:, 0]).numel():
        first = x[left[0]]
        near = (x[left] - first).abs().amax(-1) <= tolerance * (1 + first.abs().max())
        near[0] = True  # also if it is not finite
        labels[left[near]] = labels.max() + 1
    return labels


@torch.no_grad()
def held(
    system: System,
    z: Tensor,
    states: Tensor,
    classes: Tensor,
    *,
    burn_in: int = 2000,
    steps: int = 1000,
    budget: int = 20_000,
    max_period: int = 64,
    tolerance: float = SAME,
    progress: bool = False,
) -> Held:
    """Hold the input, and find where the states end and what that tells of the class.

    All states are followed at once and their ends compared, which is quicker than
    `rnnlib.basins` and sees fixed points and cycles only. Whether an end attracts
    is the sign of its exponent.

    Args:
        system: one system with an input, without batch axes.
        z: the input, shape ``(n_z,)``.
        states: shape ``(N, n_x)``, float64.
        classes: what each state is to remember, integers of shape ``(N,)``.
        burn_in: how many steps to follow them at least.
        steps: of the first look at them, see `rnnlib.steady_state`.
        budget: how many steps to follow them at most.
        max_period: of the cycles looked for.
        tolerance: see `groups`.
        progress: whether to show a progress bar while the states are followed.
    """
    alone = system.hold(z)
    steady = steady_state(
        alone,
        states,
        burn_in=burn_in,
        steps=steps,
        budget=budget,
        max_period=max_period,
        tolerance=SETTLED,
        progress=progress,
    )
    window = simulate(alone, steady.end, max_period)
    # An orthogonal network, which contracts slowly and then jumps, is on no end before it is there.
    recurs = steady.settled & (steady.period > 0) & (steady.period <= max_period)
    forecast = ~steady.settled & (steady.period > 0)
    kinds = np.where(forecast.cpu().numpy(), "not settled", steady.kind)
    # A cycle is the same from whichever of its points it is entered: compare its farthest in one
    # direction.
    generator, device = torch.Generator().manual_seed(0), window.device
    direction = torch.randn(alone.n_x, dtype=window.dtype, generator=generator, device="cpu")
    height = window @ direction.to(device)
    beyond = torch.arange(max_period, device=device)[:, None] >= steady.period
    top = height.masked_fill(beyond, -torch.inf).argmax(0)
    labels = torch.full((len(states),), ELSEWHERE, device=device)
    every = torch.arange(len(states), device=device)
    labels[recurs] = groups(window[top, every][recurs], tolerance)
    found, counts = labels[recurs].unique(return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    rank = torch.cat([order.argsort(), order.new_tensor([ELSEWHERE])])
    labels = rank[labels]
    ends = []
    for label in range(len(found)):
        first = int((labels == label).nonzero()[0])
        period = int(steady.period[first])
        points = window[:period, first]
        reach = tolerance * (1 + float(points.abs().max()))
        kind, exponent = str(steady.kind[first]), float(steady.exponent[first])
        ends.append(Attractor(kind, period, points, exponent, reach))
    return Held(labels, tuple(ends), kinds, mutual_information(labels, classes))


@torch.no_grad()
def common_fate(
    system: System,
    states: Tensor,
    classes: Tensor,
    inputs: Tensor,
    steps: Iterable[int],
    tolerance: float = SAME,
    *,
    progress: bool = False,
) -> Fate:
    """Give all states the same inputs and watch which of them merge.

    Where the states of one class merge and those of different classes do not, the network
    holds the class and nothing else. Under random inputs this takes the place of counting
    attractors, which needs a constant one.

    Args:
        system: one system with an input, without batch axes.
        states: shape ``(N, n_x)``, float64.
        classes: what each state is to remember, integers of shape ``(N,)``.
        inputs: shape ``(T, n_z)``.
        steps: after how many of them to look, 0 to T, in increasing order.
        tolerance: see `groups`.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) ends the watch in any case,
            and what was seen by then is returned, with a warning.

    Raises:
        ValueError: a number of steps that is negative, beyond the inputs, or out of order.
    """
    wanted = checked_steps(steps, len(inputs))
    same = classes[:, None] == classes
    pair = torch.ones_like(same).triu(1)

    def look(x):
        labels = groups(x, tolerance)
        apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        medians = (float(apart[pair & kind].median()) for kind in (~same, same))
        return [len(labels.unique()), mutual_information(labels, classes), *medians]

    rows = gathered(look, states_at(system, states, inputs[:, None], wanted, progress))
    values = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return Fate(torch.tensor(wanted[: len(rows)], device="cpu"), *values.T)


def gathered(look: Callable, items: Iterable) -> list:
    """Return ``look(item)`` of each, at an interrupt (Ctrl-C) of those done so far, if any.

    Args:
        look: what is asked of each.
        items: of which an interrupt may also come while the next one is made.
    """
    rows = []
    with kept_on_interrupt("what was seen so far"):
        for item in items:
            rows.append(look(item))
    if not rows:
        raise KeyboardInterrupt
    return rows


def states_at(
    system: System, states: Tensor, inputs: Tensor, steps: list[int], progress: bool = False
) -> Iterator[Tensor]:
    """Yield the states after each of several numbers of steps; the others are not stored.

    Args:
        system: one system with an input.
        states: shape ``(*batch, n_x)``.
        inputs: shape ``(T, *batch, n_z)``.
        steps: from `checked_steps`.
        progress: whether to show a progress bar.
    """
    if steps[0] == 0:
        yield states
    if steps[-1] > 0:
        orbit = trajectory(system, states, steps[-1], inputs=inputs, progress=progress)
        for t, (x, _) in enumerate(orbit, start=1):
            if t in steps:
                yield x


def checked_steps(steps: Iterable[int], most: int) -> list[int]:
    """Return the steps as a list, or raise a ValueError if they are not increasing in 0..most."""
    steps = [int(step) for step in steps]
    increasing = all(a < b for a, b in zip(steps[:-1], steps[1:], strict=True))
    if not steps or not increasing or steps[0] < 0 or steps[-1] > most:
        raise ValueError(f"steps is {steps}; give increasing numbers from 0 to {most}.")
    return steps

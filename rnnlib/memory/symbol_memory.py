"""What a network trained on symbols does while one letter is held, and between the letters.

The analyses of `rnnlib.memory.remembered_bits` for the task of `rnnlib.tasks.symbols`, where each
constant input is a letter, and the four outputs are evidence for two letters.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rnnlib.dynamics import fixed_points, settle, simulate
from rnnlib.memory.remembered_bits import Held, held
from rnnlib.memory.retention import probe_accuracy
from rnnlib.systems import System
from rnnlib.tasks import SYMBOLS, one_hot


class UnderLetter(NamedTuple):
    """Where sequences lead if one letter then goes on for ever.

    Attributes:
        held: the fixed points and cycles on which they end.
        probe: how well a linear probe tells their classes 500 letters later, at rest or not.
    """

    held: Held
    probe: float


class Places(NamedTuple):
    """Outputs along sequences and on from their end, under one constant letter.

    Attributes:
        path: shape ``(steps, sequences, classes)``.
        end: the step of the path at which the sequences end and the letter begins to be held.
        attractors: the outputs on each fixed point or cycle, ``(period, classes)`` each.
        unstable: the outputs at the fixed points that do not attract, shape ``(k, classes)``.
    """

    path: Tensor
    end: int
    attractors: list[Tensor]
    unstable: Tensor


def letters(symbols: ArrayLike) -> Tensor:
    """Return inputs in float64, shape ``(..., 6)``, for symbols by number ``(...)`` or a letter."""
    if isinstance(symbols, str):
        symbols = SYMBOLS.index(symbols)
    return one_hot(torch.as_tensor(symbols)).double()


def padding(steps: int, copies: int, rng: np.random.Generator) -> Tensor:
    """Return random distractors, shape ``(steps, copies, 6)``."""
    return letters(rng.integers(2, len(SYMBOLS), size=(steps, copies)))


def state_after(system: System, inputs: Tensor) -> Tensor:
    """Return the states to which inputs lead from 0.

    Args:
        system: one system with an input, without batch axes.
        inputs: shape ``(time, copies, n_z)``.

    Returns:
        Shape ``(copies, n_x)``.
    """
    start = inputs.new_zeros(inputs.shape[1], system.n_x)
    return simulate(system, start, 1, burn_in=len(inputs) - 1, inputs=inputs)[0]


@torch.no_grad()
def under_letters(
    system: System,
    states: Tensor,
    classes: Tensor,
    which: Iterable[str] = SYMBOLS,
    *,
    followed: int = 32,
    probed: int = 200,
    burn_in: int = 1000,
    steps: int = 500,
) -> dict[str, UnderLetter]:
    """Hold each letter and see where sequences end.

    Args:
        system: a network, float64.
        states: at the end of sequences, shape ``(N, n_x)``.
        classes: of these, shape ``(N,)``.
        which: the letters.
        followed: how many of the states to follow to their ends.
        probed: how many to probe.
        burn_in: see `rnnlib.memory.held`.
        steps: as there.
    """
    found = {}
    for letter in which:
        z = letters(letter)
        few = slice(0, followed)
        ends = held(system, z, states[few], classes[few], burn_in=burn_in, steps=steps)
        later = settle(system.hold(z), states[:probed], 500)
        found[letter] = UnderLetter(ends, probe_accuracy(later, classes[:probed]))
    return found


@torch.no_grad()
def places(
    system: System, symbols: Tensor, found: dict[str, UnderLetter], first: int, steps: int = 150
) -> dict[str, Places]:
    """Follow sequences from one of their letters to the end, and on while a letter is held.

    Args:
        system: a network, float64.
        symbols: the sequences, numbers of shape ``(length, sequences)``.
        found: from `under_letters`.
        first: how many letters to read before the path begins.
        steps: for how many the letter is held.
    """
    before = state_after(system, letters(symbols[:first]))
    rest = letters(symbols[first:])
    reading = simulate(system, before, len(rest), inputs=rest)
    seen = {}
    for letter, (ends, _) in found.items():
        alone = system.hold(letters(letter))
        track = simulate(alone, reading[-1], steps)
        stops = [end.points[0] for end in ends.ends]
        between = [x + (y - x) * k / 4 for x in stops for y in stops for k in (1, 2)]
        starts = torch.stack([*between, *track[::30, 0], track.mean((0, 1))])
        roots = fixed_points(alone, starts, max_iterations=30)
        seen[letter] = Places(
            alone.read(torch.cat([reading, track])),
            len(rest) - 1,
            [alone.read(end.points) for end in ends.ends],
            alone.read(roots.points[roots.stability != "stable"]),
        )
    return seen


def evidence(y: Tensor) -> Tensor:
    """Return what four outputs say of either letter: the log-odds of q against p, as means.

    Args:
        y: outputs for pp, pq, qp, qq, shape ``(*batch, 4)``.

    Returns:
        Shape ``(*batch, 2)``, for the first letter and for the second.
    """
    pp, pq, qp, qq = y.unbind(-1)
    return torch.stack([qp + qq - pp - pq, pq + qq - pp - qp], dim=-1) / 2


@torch.no_grad()
def turn(
    system: System, states: Tensor, letter: str, steps: int = 600, burn_in: int = 1000
) -> float:
    """Return the steps per turn of an orbit in the plane of `evidence`, under a constant letter.

    Args:
        system: a network, float64, that does not come to rest.
        states: shape ``(copies, n_x)``; the mean over the copies is taken.
        letter: the one to hold.
        steps: over which to count.
        burn_in: how many to drop before.
    """
    alone = system.hold(letters(letter))
    orbit = evidence(simulate(alone, states, steps, burn_in=burn_in, observe="output"))
    x, y = (orbit - orbit.mean((0, 1))).unbind(-1)
    angle = np.unwrap(torch.atan2(y, x).numpy(), axis=0)
    return 2 * math.pi * (steps - 1) / float(np.abs(angle[-1] - angle[0]).mean())

"""How orbits approach where they end: step length against time, and two directions to see it."""

from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from rnnlib.diagnosis.answers import SETTLED, UNSETTLED, Answer, steps_in_words
from rnnlib.diagnosis.budget import Budget, OutOfTime
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import trajectory

QUESTION = "How do orbits approach where they end?"
STARTS = 4
LEAST, MOST = 200, 50_000  # steps
FEWEST = 20  # steps, of which something can be said
SAMPLES = 200  # times at which step lengths and states are kept, evenly in log time
FALLING = (
    0.9  # mean step length in the last quarter over that in the quarter before: below, it falls
)


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer under the mean input (or none), from states that the data reach.

    Evidence: ``time`` and ``step_length`` at it, shape ``(SAMPLES, starts)``, each the Euclidean
    length of one step; ``ratio``, by start, see `FALLING`; ``projected``, the orbits along their
    first two principal components, ``(SAMPLES, starts, 2)``, and these components' ``centre`` and
    ``axes``.
    """
    system = subject.system
    if subject.inputs is not None:
        system = system.hold(subject.inputs.mean((0, 1)))
    starts = subject.states[:: max(1, len(subject.states) // STARTS)][:STARTS]
    wanted = set(np.geomspace(1, MOST, SAMPLES).round().astype(int).tolist())
    x, kept, lengths = system.initial_state(starts), [], []
    with torch.no_grad(), suppress(KeyboardInterrupt):
        for t, (after, _) in enumerate(trajectory(system, x, MOST), start=1):
            lengths.append(torch.linalg.vector_norm(after - x, dim=-1))
            if t in wanted:
                kept.append((t, after))
            x = after
            if t >= LEAST and budget.used():
                break
    if len(lengths) < FEWEST:
        raise OutOfTime
    every, steps = torch.stack(lengths), len(lengths)
    times = np.array([t for t, _ in kept])
    orbit, length = torch.stack([after for _, after in kept]), every[times - 1]
    quarter = steps // 4
    before, last = every[-2 * quarter : -quarter].mean(0), every[-quarter:].mean(0)
    ratio = last / before.clamp(min=torch.finfo(x.dtype).tiny)
    still = length[-1] <= 1e-12 * (1 + torch.linalg.vector_norm(x, dim=-1))
    falling = (ratio < FALLING) & ~still
    projected, centre, axes = principal(orbit)
    words = []
    if still.any():
        words.append(
            f"{int(still.sum())} of {len(starts)} orbits are at rest within {steps} steps."
        )
    if falling.any():
        rate = float((ratio[falling].log() / quarter).max())
        words.append(
            f"{int(falling.sum())} are still settling: their steps get shorter by a factor e in "
            f"{steps_in_words(-1 / rate)}."
        )
    moving = int((~still & ~falling).sum())
    if moving:
        words.append(f"{moving} of {len(starts)} orbits keep moving: their steps get no shorter.")
    evidence = {
        "time": times, "step_length": length, "ratio": ratio, "projected": projected,
        "centre": centre, "axes": axes,
    }  # fmt: skip
    state = UNSETTLED if falling.any() else SETTLED
    return Answer("approach", QUESTION, tuple(words), evidence, state)


def principal(states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return states along their first two principal components, their centre, and the axes.

    Args:
        states: shape ``(*batch, n)``.

    Returns:
        Shapes ``(*batch, 2)``, ``(n,)``, ``(2, n)``; a missing second direction is zero.
    """
    flat = states.reshape(-1, states.shape[-1])
    flat = flat[torch.isfinite(flat).all(-1)]
    centre = flat.mean(0) if len(flat) else states.new_zeros(states.shape[-1])
    q = min(2, *flat.shape)
    axes = states.new_zeros(2, states.shape[-1])
    if q:
        axes[:q] = torch.linalg.svd(flat - centre, full_matrices=False)[2][:q]
    return (states - centre) @ axes.mT, centre, axes

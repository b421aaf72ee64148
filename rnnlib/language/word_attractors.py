"""The cycles of words in which a language model ends when it reads its own most probable words.

Under one word after another from a fixed list a contraction has one cycle of states. The closed
loop chooses its list itself, so it has one attractor for every list that reproduces itself; how
safely it does so is the *lead* of the chosen word over the next best.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnnlib.dynamics import trajectory
from rnnlib.language.free_running import free_run, recurrence, word_cycles
from rnnlib.language.model import LanguageModel
from rnnlib.nn import affine


class WordAttractor(NamedTuple):
    """A cycle of words that some starts end in.

    Attributes:
        words: one period, from the word that makes it the least as a list of numbers.
        share: the part of the starts that end in it.
        example: the number of one of these starts.
        transient: the longest transient of these, in words.
        residual: how far their states are from recurring, at most; see `recurrence`
            in `rnnlib.language.free_running`.
        lead: the least lead of a chosen word's logit over the next best, along the cycle.
    """

    words: tuple[int, ...]
    share: float
    example: int
    transient: int
    residual: float
    lead: float


@torch.no_grad()
def word_attractors(
    model: LanguageModel, words: Tensor, x0: Tensor, steps: int, *, progress: bool = False
) -> list[WordAttractor]:
    """Find the cycles of words of the closed loop, the commonest first.

    Starts without a cycle within ``steps`` are in none of the shares.

    Args:
        model: the network.
        words: the first input of each start, int64, shape ``(starts,)``.
        x0: the layer's initial states, shape ``(starts, n_x)``; float64 to see small residuals.
        steps: how many words to write; a cycle must repeat four times within them.
        progress: whether to show a progress bar.
    """
    run = free_run(model, words, x0, steps, progress=progress)
    cycles = word_cycles(run.words)
    residual = recurrence(model, run.last, cycles.period)
    lead = leads(model, run.last, cycles.period)
    found: dict[tuple[int, ...], list[int]] = {}
    for start, cycle in enumerate(cycles.words):
        if len(cycle):
            found.setdefault(least_rotation(cycle.tolist()), []).append(start)
    attractors = [
        WordAttractor(
            cycle,
            len(starts) / len(words),
            starts[0],
            int(cycles.transient[starts].max()),
            float(residual[starts].max()),
            float(lead[starts].min()),
        )
        for cycle, starts in found.items()
    ]
    return sorted(attractors, key=lambda a: (-a.share, a.words))


def least_rotation(cycle: list[int]) -> tuple[int, ...]:
    """Return the rotation of a list that comes first in lexical order: a cycle has no beginning."""
    return min(tuple(cycle[i:] + cycle[:i]) for i in range(len(cycle)))


@torch.no_grad()
def leads(model: LanguageModel, last: Tensor, steps: Tensor) -> Tensor:
    """Return the least lead of the most probable word's logit over the next best.

    Args:
        model: the network.
        last: the extended state, shape ``(starts, n_x + 1)``, as in
        `rnnlib.language.free_running.FreeRun`. steps: over how many next words, int64, shape
        ``(starts,)``.

    Returns:
        Shape ``(starts,)``; infinite where no step is taken.
    """
    least = last.new_full((len(last),), torch.inf)
    longest = int(steps.max()) if len(steps) else 0
    if longest == 0:
        return least
    loop = model.closed_loop(dtype=last.dtype)
    weight, bias = loop.theta["decoder.weight"], loop.theta["decoder.bias"]
    for t, (extended, _) in enumerate(trajectory(loop, last, longest)):
        best = affine(weight, extended[:, : model.n_hidden], bias).topk(2).values
        least = torch.where(t < steps, torch.minimum(least, best[:, 0] - best[:, 1]), least)
    return least

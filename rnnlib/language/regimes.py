"""Words for what a recorded language model does when it runs free, epoch by epoch."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from rnnlib.language.recorder import LanguageSamples
from rnnlib.tasks import EOS
from rnnlib.training import ends

ZERO = 5 / 300  # an exponent from 300 steps, without time to align, is not told from 0 within this
RECURS = 1e-6  # residual of a state that recurs but for rounding


def under_constant_word(samples: LanguageSamples, held: int) -> list[str]:
    """Say what each sample does under a constant word: rest, a cycle, a drift or chaos.

    Values that differ by less than `rnnlib.training.recorded_orbits.TOLERANCE` count as equal, so a
    very slow drift passes for rest. What neither rests nor repeats is named by the largest
    exponent: within three standard errors of zero, or `ZERO`, it is neutral, as on an invariant
    circle.

    Args:
        samples: as read from a run.
        held: which of the constant words.

    Returns:
        One text per epoch, with the number of starts where they differ.
    """
    orbits = samples.constant[:, :, held]  # epoch, step, state, 1 + shown
    found = ends(orbits)
    exponent, error = samples.exponent[:, held], samples.exponent_error[:, held]
    margin = np.maximum(3 * error, ZERO)
    texts = []
    for e in range(len(samples.epochs)):
        parts = []
        if n := found.resting[e]:
            points = found.points[e]
            parts.append((n, "fixed point" if points == 1 else f"{points} fixed points"))
        if n := found.cycling[e]:
            cycles = found.cycles[e]
            parts.append((n, "cycle" if cycles == 1 else f"{cycles} cycles"))
        if n := found.diverged[e]:
            parts.append((n, "diverged"))
        if n := found.moving[e]:
            largest, wide = exponent[e].max(), margin[e][exponent[e].argmax()]
            word = "neutral" if abs(largest) <= wide else "chaotic"
            parts.append((n, "not settled" if largest < -wide else word))
        alone = len(parts) == 1
        texts.append(" + ".join(text if alone else f"{text} ({n})" for n, text in parts))
    return texts


def in_closed_loop(samples: LanguageSamples, held: int) -> list[str]:
    """Say in which cycle of words each sample ends, such as "period 4 (3 of 5), none (2 of 5)".

    A star marks a cycle of words whose state does not recur with it in every start.

    Args:
        samples: as read from a run.
        held: which of the words that the loop began with.
    """
    texts = []
    for period, residual in zip(samples.period[:, held], samples.residual[:, held], strict=True):
        counts, starts = Counter(period.tolist()), len(period)
        drifts = {int(p) for p, r in zip(period, residual, strict=True) if p and not r <= RECURS}
        parts = []
        for p, n in counts.most_common():
            name = f"period {p}" + "*" * (p in drifts) if p else "no cycle"
            parts.append(name if n == starts else f"{name} ({n} of {starts})")
        texts.append(", ".join(parts))
    return texts


def written_cycle(
    samples: LanguageSamples, epoch: int, held: int, state: int, words: Sequence[str]
) -> str:
    """Return the words of one period of a recorded cycle, from one start.

    Args:
        samples: as read from a run.
        epoch: the index of the sample.
        held: which of the words that the loop began with.
        state: which of the initial states.
        words: what each number stands for.

    Returns:
        See `spoken`; empty where there is no cycle.
    """
    period = int(samples.period[epoch, held, state])
    if not period:
        return ""
    return spoken(samples.words[epoch, -period:, held, state].tolist(), words)


def spoken(cycle: Sequence[int], words: Sequence[str]) -> str:
    """Return the words of a cycle between spaces, from the start of a sentence where there is one.

    Args:
        cycle: the numbers of the words of one period.
        words: what each number stands for.
    """
    text = [words[i] for i in cycle]
    after = text.index(EOS) + 1 if EOS in text else 0
    return " ".join(text[after:] + text[:after])

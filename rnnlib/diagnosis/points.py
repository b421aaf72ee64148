"""Where it rests and where it is slow: fixed and slow points, their multipliers, memory time."""

import math

import torch

from rnnlib.diagnosis.answers import SETTLED, UNSETTLED, Answer, steps_in_words
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import fixed_points

QUESTION = "Which fixed and slow points has it, and how long do they remember?"
SLOW = 100  # steps: a mode that fades more slowly is called slow
SHOWN = 5  # points told in words
SETTLING = 2000  # steps towards rest
LEAST, ITERATIONS = 4, 60  # starts of the first search, and iterations from each


def memory_time(modulus: float) -> float:
    """Return in how many steps a mode with that multiplier fades by a factor e, ``-1/ln|lambda|``.

    Infinite from modulus 1 on.
    """
    if modulus <= 0:
        return 0.0
    return math.inf if modulus >= 1 else -1 / math.log(modulus)


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer under the mean input (or none), from states that the data reach.

    Evidence: ``points`` and their ``residual``, ``stability``, ``hits``, ``multipliers`` (the
    leading ones) and ``memory`` (steps); ``slow_modes``, how many modes of each fade more slowly
    than `SLOW` steps; ``slow_points`` and their ``speed``; ``starts`` and ``converged``.
    """
    system = subject.system
    if subject.inputs is not None:
        system = system.hold(subject.inputs.mean((0, 1)))
    # First where the data lead to, close to rest, then where they are. The zero state, which may
    # itself be a fixed point, comes first of all.
    near, settled = budget.settle(system, subject.states[1:], SETTLING, 1 / 3)
    starts = torch.cat([subject.states[:1], near, subject.states[1:]])
    starts = starts[torch.isfinite(starts).all(-1)]
    if len(starts) == 0:
        words = (f"No state that the data reach is still finite after {settled} steps.",)
        return Answer("points", QUESTION, words, state=UNSETTLED)
    found, _ = budget.grow(
        lambda m: fixed_points(system, starts[:m], max_iterations=ITERATIONS),
        LEAST,
        len(starts),
        enough=lambda f: False,
    )
    moduli = found.eigenvalues.abs()
    memory = [memory_time(float(m[0])) for m in moduli]
    slow = (moduli > math.exp(-1 / SLOW)).sum(-1)
    held = "" if subject.inputs is None else " under the mean input"
    count = len(found.points)
    words = []
    if count == 0:
        words.append(f"No fixed point was found{held} from {found.starts} starts.")
    for i in range(min(count, SHOWN)):
        kind = str(found.stability[i])
        line = f"A {kind} fixed point{held}" if kind != "neutral" else f"A neutral point{held}"
        line += f", largest multiplier {float(moduli[i][0]):.5g}"
        if kind == "stable":
            line += f": it forgets by a factor e in {steps_in_words(memory[i])}"
        words.append(f"{line}; {_modes(int(slow[i]))}.")
    if count > SHOWN:
        words.append(f"And {count - SHOWN} more, in the evidence.")
    slow_points = found.slow
    evidence = {
        "points": found.points,
        "residual": found.residual,
        "stability": list(map(str, found.stability)),
        "hits": found.hits,
        "multipliers": found.eigenvalues[:, :64],
        "memory": memory,
        "slow_modes": slow,
        "slow_points": slow_points.points,
        "speed": slow_points.speed,
        "missing": bool(found.missing.any()),
        "converged": found.converged,
        "starts": found.starts,
    }
    if len(slow_points.points):
        words.append(
            f"{len(slow_points.points)} slow points that are no fixed points, the slowest moves "
            f"{float((2 * slow_points.speed.min()).sqrt()):.2g} a step."
        )
    if bool(found.missing.any()):
        words.append(
            "The list is not complete: a map of a box into itself has fixed points whose indices "
            "sum to 1, and those found do not."
        )
    complete = found.converged == found.starts
    if not complete:
        words.append(f"{found.starts - found.converged} of {found.starts} starts did not converge.")
    return Answer("points", QUESTION, tuple(words), evidence, SETTLED if complete else UNSETTLED)


def _modes(count: int) -> str:
    if count == 0:
        return f"no mode is slower than {SLOW} steps"
    return f"{count} mode{'s' * (count > 1)} slower than {SLOW} steps"

"""What happens while one input is held for ever: silence, the mean input, the extremes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rnnlib.diagnosis.answers import SETTLED, UNSETTLED, Answer
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import steady_state

QUESTION = "What does it settle into while an input is held?"
STARTS = 3  # of the states that the data reach, for each held input
LOW, HIGH = 0.05, 0.95  # quantiles of each input component
SAME = 1e-12  # states that are no further apart, relative to their size, have one future
LEAST, MOST = 200, 20_000  # steps of the burn-in; four times the most are spent


def held_inputs(inputs: Tensor) -> dict[str, Tensor]:
    """Return the inputs to hold, by name, each of shape ``(n_z,)``."""
    flat = inputs.flatten(0, 1)
    quantiles = torch.tensor([LOW, HIGH], dtype=flat.dtype, device=flat.device)
    low, high = (
        flat.quantile(quantiles, dim=0)
        if len(flat) < 2**24
        else flat[::64].quantile(quantiles, dim=0)
    )
    every = {
        "silence": torch.zeros_like(flat[0]),
        "the mean input": flat.mean(0),
        f"the {LOW:.0%} quantiles": low,
        f"the {HIGH:.0%} quantiles": high,
    }
    kept: dict[str, Tensor] = {}
    for name, z in every.items():  # constant data: the same input need not be held twice
        if not any(torch.equal(z, other) for other in kept.values()):
            kept[name] = z
    return kept


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer for each held input from states that the data reach.

    Evidence: ``held``, for each input its ``words`` and its numbers by start: ``kind``,
    ``period``, ``exponent``, ``settled``.
    """
    system = subject.system
    starts = subject.states[:: max(1, len(subject.states) // STARTS)][:STARTS]
    held: Mapping[str, Tensor | None] = {"no input": None}
    alone, z = system, None
    if subject.inputs is not None:
        held = held_inputs(subject.inputs)
        z = torch.stack([value for value in held.values() if value is not None])
        alone = system.hold(z[:, None])  # input, start
    ends, _ = budget.settle(alone, starts, LEAST, 1 / 4)
    ends = ends.reshape(len(held), len(starts), -1)
    # An orbit that has come to where another one is has its end too.
    same = [[_first_like(row, j) for j in range(len(starts))] for row in ends]
    pairs = [(i, j) for i, row in enumerate(same) for j in sorted(set(row))]
    x0 = starts[[j for _, j in pairs]]
    if z is not None:
        system = system.hold(z[[i for i, _ in pairs]])
    found, steps = budget.grow(
        lambda n: steady_state(system, x0, burn_in=LEAST, steps=LEAST, budget=4 * n),
        LEAST,
        MOST,
        enough=lambda f: bool(f.settled.all()),
    )
    words, rows = [], {}
    for i, name in enumerate(held):
        at = [(pairs.index((i, j)),) for j in same[i]]
        said = [found.describe(index) for index in at]
        different = sorted(set(said), key=said.count, reverse=True)
        line = f"Under {name}: " + " or ".join(different)
        if len(different) > 1:
            line += ", depending on the start"
        words.append(line + ".")
        rows[name] = {
            "words": said,
            "kind": [str(found.kind[index]) for index in at],
            "period": [int(found.period[index]) for index in at],
            "exponent": [float(found.exponent[index]) for index in at],
            "settled": [bool(found.settled[index]) for index in at],
            "input": held[name],
        }
    everything = bool(found.settled.all())
    evidence = {"held": rows, "burn_in": LEAST, "steps": 4 * steps, "starts": len(starts)}
    return Answer("regimes", QUESTION, tuple(words), evidence, SETTLED if everything else UNSETTLED)


def _first_like(ends: Tensor, j: int) -> int:
    """Return the first of some states that the j-th is no further from than rounding."""
    apart = (ends - ends[j]).abs().amax(-1)
    near = apart <= SAME * (1 + ends[j].abs().max())
    return int(near.int().argmax()) if near.any() else j

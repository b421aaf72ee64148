"""How many attractors lie among the states that the data reach, and how large their basins are."""

from rnnlib.diagnosis.answers import SETTLED, UNSETTLED, Answer
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import UNDECIDED, basins

QUESTION = "How many attractors are there among the states that the data reach?"
LEAST, MOST = 300, 4000  # steps of burn-in, and of each measurement after it
ROUNDS, EXAMINED = 3, 4  # of `rnnlib.basins`: few, since lengths grow with the time there is


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer under the mean input (or none).

    Evidence: ``attractors`` in words, their ``share`` of the starts and largest ``exponent``;
    ``undecided``, the share that no attractor was found for.
    """
    system = subject.system
    if subject.inputs is not None:
        system = system.hold(subject.inputs.mean((0, 1)))
    starts = subject.states
    found, burn_in = budget.grow(
        lambda n: basins(
            system, starts, burn_in=n, rounds=ROUNDS, max_attractors=EXAMINED, steps=n, cloud=4 * n
        ),
        LEAST,
        MOST,
        enough=lambda f: bool((f.labels != UNDECIDED).all()),
    )
    labels = found.labels
    names = [a.describe() for a in found.attractors]
    shares = [float((labels == i).double().mean()) for i in range(len(names))]
    undecided = float((labels < 0).double().mean())
    held = "" if subject.inputs is None else " under the mean input"
    words = []
    if len(names) == 1 and undecided == 0:
        words.append(f"One{held}: {names[0]}. All {len(starts)} starts end there.")
    elif names:
        each = "; ".join(f"{name} ({share:.0%})" for name, share in zip(names, shares, strict=True))
        words.append(f"{len(names)}{held}, with the share of starts that end there: {each}.")
    else:
        words.append(f"None was found{held} within {burn_in} steps.")
    if undecided:
        words.append(f"{undecided:.0%} of the starts had not come to an end.")
    evidence = {
        "attractors": names,
        "share": shares,
        "exponent": [a.exponent for a in found.attractors],
        "undecided": undecided,
        "starts": len(starts),
        "burn_in": burn_in,
    }
    state = SETTLED if undecided == 0 else UNSETTLED
    return Answer("attractors", QUESTION, tuple(words), evidence, state)

"""Contraction: what is proved, where, and what is only found."""

from rnnlib.diagnosis.answers import SETTLED, Answer
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import simulate
from rnnlib.memory import certify, certify_near, lipschitz_lower_bound

QUESTION = "Is it a contraction: what is proved, and what is only found?"
LARGEST = 600  # state components: above, a matrix equation of this size would take the whole time
SETTLING = 2000  # steps to come near a fixed point


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer for one step, for inputs as large as those of the data.

    Evidence: ``proved``, the certified Lipschitz constant of one step (infinite where nothing is
    proved); ``near``, what `rnnlib.certify_near` proves around the end of an orbit; ``found``, the
    largest stretch of one step met among states like those that the data reach, in the Euclidean
    norm; ``input_bound``.
    """
    words, evidence = [], {}
    bound = 0.0 if subject.inputs is None else float(subject.inputs.abs().max())
    evidence["input_bound"] = bound
    proved = float("inf")
    if subject.layer is not None:
        proved = float(certify(subject.layer, bound).constant)
    evidence["proved"] = proved
    if proved < 1:
        words.append(
            f"Proved: for all inputs up to {bound:.3g} every step brings any two states nearer, "
            f"by a factor of at most {proved:.4g} in the certificate's norm. So it has one "
            f"attractor under any held input, and forgets."
        )
    else:
        words.append("It is not proved to be a contraction on all states.")
        evidence["near"] = _near(subject, words)
    low, high = subject.states.amin(0), subject.states.amax(0)
    margin = 1e-6 + 0.1 * (high - low)
    inputs = None
    if subject.inputs is not None:
        flat = subject.inputs.flatten(0, 1)
        inputs = flat.amin(0), flat.amax(0)
    steps = int(
        min(
            60,
            max(
                3,
                budget.share
                / (
                    30
                    * budget.seconds_per_step(
                        subject.system, 8, tangents=min(subject.system.n_x, 64)
                    )
                    * max(1, subject.system.n_x / 64)
                ),
            ),
        )
    )
    found = lipschitz_lower_bound(
        subject.system, low - margin, high + margin, inputs=inputs, starts=8, steps=steps
    )
    evidence["found"] = float(found.constant)
    if found.constant >= 1:
        words.append(
            f"Found: among states like those that the data reach, one step moves two neighbours "
            f"apart by a factor of up to {float(found.constant):.4g}. One step is no contraction "
            f"there in the Euclidean norm; several steps, or another norm, may be."
        )
    else:
        words.append(
            f"Found: no pair of neighbours among states like those that the data reach that one "
            f"step parts by more than {float(found.constant):.4g}. That is a search, not a proof."
        )
    return Answer("contraction", QUESTION, tuple(words), evidence, SETTLED)


def _near(subject: Subject, words: list[str]) -> dict[str, float]:
    """Look for a proof around the point where an orbit comes to rest under the mean input."""
    if subject.layer is None or subject.system.n_x > LARGEST:
        return {}
    mean = subject.inputs.mean((0, 1)) if subject.inputs is not None else None
    system = subject.system if mean is None else subject.system.hold(mean)
    end = simulate(system, subject.states[-1], 1, burn_in=SETTLING)[0]
    local = certify_near(system, end)
    if local.certified:
        words.append(
            f"Proved: under the mean input, orbits in a ball of radius {local.radius:.3g} around "
            f"the fixed point where an orbit from your data ends come to it, by a factor of at "
            f"most {local.constant:.5g} a step in the norm of the certificate."
        )
        return {"constant": local.constant, "radius": local.radius, "found": local.found}
    words.append(f"Nothing is proved around the place where an orbit ends: {local.why_not}")
    return {"constant": local.constant, "radius": 0.0, "found": local.found}

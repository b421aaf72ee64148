"""Contraction: what is proved, where, and what is only found."""

from contextlib import suppress
from typing import Any

import torch

from rnnlib.diagnosis.answers import CUT, SETTLED, Answer
from rnnlib.diagnosis.budget import Budget, OutOfTime
from rnnlib.diagnosis.subject import Subject
from rnnlib.memory import certify, certify_near, pair_search

QUESTION = "Is it a contraction: what is proved, and what is only found?"
SETTLING = 2000  # steps to come near a fixed point
PAIRS, ASCENT = 8, 60  # pairs of states, and steps by which each is made to part faster
TIMED = 256  # rows of the matrix whose eigenvalues are timed, to tell what a proof costs
# The proofs, the cheap ones first, and what each costs, in units of the eigenvalues of a symmetric
# matrix of as many rows as the state has components: measured at 256 to 2000 rows.
METHODS = {
    "componentwise": 5, "miller-hardt": 5, "delta-iss": 5, "row-sum": 5, "spectral": 5,
    "quadratic": 120,
}  # fmt: skip
NEAR = 100  # the same of the first ball around a fixed point; later ones look at the clock


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer for one step, for inputs as large as those of the data.

    Evidence: ``proved``, the certified Lipschitz constant of one step (infinite where nothing is
    proved); ``near``, what `rnnlib.certify_near` proves around the end of an orbit; ``found``, the
    largest stretch of one step met between two states like those that the data reach, in the
    Euclidean norm; ``input_bound``.
    """
    bound = 0.0 if subject.inputs is None else float(subject.inputs.abs().max())
    evidence: dict[str, Any] = {"input_bound": bound, "proved": float("inf")}
    words, left_out = [], []
    with suppress(KeyboardInterrupt):
        evidence["found"] = _found(subject)
        evidence["proved"] = _proved(subject, bound, budget, words, left_out)
        if evidence["proved"] >= 1:
            evidence["near"] = _near(subject, budget, words, left_out)
    if "found" not in evidence:
        raise OutOfTime
    words.append(_found_words(evidence["found"]))
    if left_out:
        words.append(f"There was no time for a proof {', '.join(left_out)}.")
    return Answer("contraction", QUESTION, tuple(words), evidence, CUT if left_out else SETTLED)


def _found(subject: Subject) -> float:
    """Search for two states near those that the data reach that one step parts."""
    low, high = subject.states.amin(0), subject.states.amax(0)
    margin = 1e-6 + 0.1 * (high - low)
    inputs = None
    if subject.inputs is not None:
        flat = subject.inputs.flatten(0, 1)
        inputs = flat.amin(0), flat.amax(0)
    found = pair_search(
        subject.system, low - margin, high + margin, inputs=inputs, starts=PAIRS, steps=ASCENT
    )
    return float(found.constant)


def _found_words(found: float) -> str:
    if found >= 1:
        return (
            f"Found: among states like those that the data reach, one step moves two neighbours "
            f"apart by a factor of up to {found:.4g}. One step is no contraction there in the "
            f"Euclidean norm; several steps, or another norm, may be."
        )
    return (
        f"Found: no two neighbours among states like those that the data reach that one step "
        f"parts by more than {found:.4g}. That is a search, not a proof."
    )


def _proved(subject: Subject, bound: float, budget: Budget, words, left_out) -> float:
    """Look for a proof on all states: first those that cost little."""
    proved = float("inf")
    if subject.layer is None:
        words.append("Proofs are for recurrent layers of torch: of this step nothing is proved.")
        return proved
    for method, cost in METHODS.items():
        if proved < 1:
            break
        if not budget.has(cost * _a_matrix(subject.system.n_x, budget)):
            left_out.append(f"by the method {method!r}")
            continue
        with suppress(ValueError):  # this kind of layer does not have this method
            proved = min(proved, float(certify(subject.layer, bound, method).constant))
    if proved < 1:
        words.append(
            f"Proved: for all inputs up to {bound:.3g} every step brings any two states nearer, "
            f"by a factor of at most {proved:.4g} in the certificate's norm. So it has one "
            f"attractor under any held input, and forgets."
        )
    else:
        words.append("It is not proved to be a contraction on all states.")
    return proved


def _near(subject: Subject, budget: Budget, words, left_out) -> dict[str, Any]:
    """Look for a proof around the point where an orbit comes to rest under the mean input."""
    if subject.layer is None:
        return {}
    if not budget.has(NEAR * _a_matrix(subject.system.n_x, budget)):
        left_out.append("around the place where an orbit ends")
        return {}
    mean = subject.inputs.mean((0, 1)) if subject.inputs is not None else None
    system = subject.system if mean is None else subject.system.hold(mean)
    end, _ = budget.settle(system, subject.states[-1], SETTLING, 1 / 2)
    local = certify_near(subject.layer, end, inputs=mean, callback=budget.look)
    if local.certified:
        words.append(
            f"Proved: under the mean input, orbits in a ball of radius {local.radius:.3g} around "
            f"the fixed point where an orbit from your data ends come to it, by a factor of at "
            f"most {local.constant:.5g} a step in the norm of the certificate."
        )
        return {"constant": local.constant, "radius": local.radius, "found": local.found}
    words.append(f"Nothing is proved around the place where an orbit ends: {local.why_not}")
    return {"constant": local.constant, "radius": 0.0, "found": local.found}


def _a_matrix(rows: int, budget: Budget) -> float:
    """Return in how many seconds a symmetric matrix with so many rows has its eigenvalues."""
    few = min(rows, TIMED)
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(few, few, dtype=torch.float64, generator=generator, device="cpu")
    began = budget.clock()
    torch.linalg.eigvalsh(matrix + matrix.mT)
    return (budget.clock() - began) * (rows / few) ** 3

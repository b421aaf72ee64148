"""Where two analyses contradict each other: what a reader must see first."""

from collections.abc import Iterator, Mapping

import numpy as np

from rnnlib.diagnosis.answers import FAILED, Answer

MARGIN = 0.01  # nats per step: exponents that differ by less do not contradict each other


def contradictions(answers: Mapping[str, Answer]) -> Iterator[str]:
    """Yield a line for each pair of answers that cannot both be right, and for what failed."""
    for answer in answers.values():
        if answer.state == FAILED:
            yield f"Not answered: {answer.question}"
    regimes, points, attractors, exponents, contraction = (
        answers.get(key, Answer(key, "", ())).evidence
        for key in ("regimes", "points", "attractors", "exponents", "contraction")
    )
    proved = contraction.get("proved", np.inf)
    if proved < 1 and len(attractors.get("attractors", [])) > 1:
        yield (
            f"A contraction is proved (constant {proved:.3g}), and "
            f"{len(attractors['attractors'])} attractors were found: one of the two is wrong."
        )
    if proved < contraction.get("found", -np.inf) and contraction.get("norm") == 2:
        yield (
            f"The proved constant {proved:.3g} is below one that was met, "
            f"{contraction['found']:.3g}: the certificate is wrong."
        )
    stable = [s == "stable" for s in points.get("stability", [])]
    kinds = attractors.get("attractors", [])
    asked = "stability" in points
    if asked and "fixed point" in kinds and not any(stable):
        yield "Orbits come to rest, but no stable fixed point was found where they do."
    if any(stable) and kinds and "fixed point" not in kinds and not attractors.get("undecided"):
        yield (
            "A stable fixed point was found that no orbit from the data's states ends at: its "
            "basin is small, or lies elsewhere."
        )
    alone = exponents.get("alone", {})
    if alone and regimes.get("held"):
        first = float(alone["exponents"][0])
        error = 3 * float(np.nan_to_num(float(alone["error"][0])))
        silent = regimes["held"].get("silence") or regimes["held"].get("no input")
        if silent and all(bool(s) for s in silent["settled"]):
            words = set(silent["kind"])
            if first > error + MARGIN and words <= {"fixed point", "periodic"}:
                yield (
                    f"Alone the exponent is {first:.3f} > 0 (chaos), and the orbits end in "
                    f"{' or '.join(sorted(words))}: the exponent was taken before they settled."
                )
            if first < -error - MARGIN and words == {"chaotic"}:
                yield (
                    f"Alone the exponent is {first:.3f} < 0, and the orbits are called chaotic: "
                    f"attractors coexist, or one of the two had not settled."
                )

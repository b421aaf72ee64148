"""How fast neighbouring states part or meet, while reading the data and alone."""

from contextlib import suppress

import torch

from rnnlib.diagnosis.answers import CUT, SETTLED, Answer, steps_in_words
from rnnlib.diagnosis.budget import Budget, OutOfTime
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import lyapunov_spectrum

QUESTION = "Do neighbouring states part or meet, while it reads and alone?"
K = 4  # exponents
LEAST, MOST = 100, 20_000  # steps
PRECISE = 1e-3  # nats per step: a smaller standard error is worth no more time


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer for the user's sequences and under silence.

    Evidence: ``reading`` and ``alone``, each with ``exponents`` (in nats per step, shape
    ``(k,)``), their ``error`` and the ``steps`` that they are averaged over, fewer where the
    answer was cut short.
    """
    system, k = subject.system, min(K, subject.system.n_x)
    words, evidence, state = [], {}, SETTLED
    if subject.inputs is not None:
        data = subject.inputs
        alike = budget.seconds_per_step(system, data.shape[1], tangents=k)
        time = int(min(len(data), max(20, 0.3 * budget.share / alike)))
        if time < len(data):
            state = CUT
        if time >= 20:
            found = lyapunov_spectrum(
                system, subject.start, time - time // 5, k=k, burn_in=time // 5, inputs=data[:time]
            )
            mean = found.exponents.mean(0)
            # Sequences are independent samples; of a single one the blocks tell.
            error = (
                found.exponents.std(0) / len(found.exponents) ** 0.5
                if len(found.exponents) > 1
                else found.error[0]
            )
            evidence["reading"] = {"exponents": mean, "error": error, "steps": time - time // 5}
            words.append(_words("While it reads your data", mean, error))
        else:
            words.append(
                f"The sequences have {len(data)} steps; an exponent while reading needs 20."
            )
        system = system.hold(torch.zeros_like(data[0, 0]))
    with suppress(KeyboardInterrupt):
        found, steps = budget.grow(
            lambda n: lyapunov_spectrum(system, subject.states[-1], n, k=k, burn_in=n // 4),
            LEAST,
            MOST,
            enough=lambda f: bool(f.error[0].nan_to_num(0.0) < PRECISE),
        )
        evidence["alone"] = {
            "exponents": found.exponents, "error": found.error, "steps": steps,
        }  # fmt: skip
        words.append(_words("Alone", found.exponents, found.error))
    if not words:
        raise OutOfTime
    return Answer("exponents", QUESTION, tuple(words), evidence, state)


def _words(when: str, exponents: torch.Tensor, error: torch.Tensor) -> str:
    first, margin = float(exponents[0]), 3 * float(error[0].nan_to_num(0.0))
    if first == -torch.inf:
        return f"{when}, neighbouring states meet within a step."
    if not torch.isfinite(exponents[0]):
        return f"{when}, the orbit does not stay finite."
    told = f"{when}, the largest exponent is {first:.4f} +- {margin / 3:.4f} per step"
    if abs(first) <= margin:
        return f"{told}: not told from zero."
    verb = "part" if first > 0 else "meet"
    return f"{told}: neighbouring states {verb} by a factor e in {steps_in_words(1 / abs(first))}."

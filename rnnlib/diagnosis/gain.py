"""The orbit diagram over the input's gain: what a louder or softer input does."""

import numpy as np
import torch
from torch import Tensor

from rnnlib.diagnosis.answers import CUT, SETTLED, Answer
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.dynamics import simulate

QUESTION = "What does the size of the input change?"
GAINS = 41
LOWEST, HIGHEST = 0.0, 2.0  # times the typical input
CENTRED = 0.3  # a mean smaller than this share of the inputs' size says little about them
KEPT = 40  # steps shown for each gain
MOST = 5000  # steps dropped before, and no more than the half of the time allows
LEAST = 50  # steps dropped before, of an answer that is not called cut short
STILL = 1e-4  # of the spread over all gains: a spread over time below it counts as rest


def typical_input(inputs: Tensor) -> Tensor:
    """Return the mean input or, if it is small beside the data's spread, a step of that spread.

    Args:
        inputs: shape ``(time, sequences, n_z)``.

    Returns:
        Shape ``(n_z,)``: the mean if it is at least `CENTRED` of the root mean square, else the
        first principal direction with the standard deviation along it.
    """
    flat = inputs.flatten(0, 1)
    mean = flat.mean(0)
    if mean.norm() >= CENTRED * flat.square().sum(-1).mean().sqrt():
        return mean
    _, sizes, directions = torch.linalg.svd(flat - mean, full_matrices=False)
    return sizes[0] / len(flat) ** 0.5 * directions[0]


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer for the typical input, scaled.

    Evidence: ``gain``; ``orbit``, the first output (or state) component in steady state, shape
    ``(KEPT or fewer, GAINS, starts)``; ``burn_in``; ``moving``, the gains at which it does not
    rest.
    """
    if subject.inputs is None:
        return Answer("gain", QUESTION, ("The system reads no input.",))
    system, mean = subject.system, typical_input(subject.inputs)
    gains = torch.linspace(LOWEST, HIGHEST, GAINS, dtype=mean.dtype, device=mean.device)
    held = system.hold((gains[:, None] * mean)[:, None])  # gain, start
    starts = subject.states[[0, -1]]
    settled, burn_in = budget.settle(held, starts, MOST, 0.5)
    last = simulate(held, settled, KEPT)
    shown = system.g(last, held.z, system.theta)[..., 0].cpu().numpy()
    spread = np.ptp(shown, axis=0).max(-1)
    whole = np.ptp(shown[np.isfinite(shown)]) if np.isfinite(shown).any() else 0.0
    moving = gains.cpu().numpy()[spread > STILL * max(whole, 1e-300)]
    if burn_in < LEAST:
        words = f"There was time for {burn_in} steps at each gain: too few to say where it rests."
    elif len(moving) == 0:
        words = f"From no input to {HIGHEST:g} times the typical one it comes to rest everywhere."
    elif len(moving) == GAINS:
        words = f"It moves at every gain from {LOWEST:g} to {HIGHEST:g} of the typical input."
    else:
        words = (
            f"It moves at {len(moving)} of {GAINS} gains between {moving[0]:.2g} and "
            f"{moving[-1]:.2g} times the typical input, and rests at the others."
        )
    evidence = {"gain": gains, "orbit": shown, "burn_in": burn_in, "moving": moving}
    state = SETTLED if burn_in >= LEAST else CUT
    return Answer("gain", QUESTION, (words,), evidence, state)

"""How far back the output depends on the input, and how gradients fade with the lag."""

import numpy as np
import torch
from torch import Tensor

from rnnlib.diagnosis.answers import CUT, SETTLED, Answer, steps_in_words
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.systems import System

QUESTION = "How far back does the output depend on the input?"
PROBES = 8  # random directions of the output
LEAST = 1e-300  # below the smallest that float64 holds at full precision there is no slope to fit


def influence_by_lag(
    system: System, inputs: Tensor, x0: Tensor, probes: int = PROBES, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Measure how the last output depends on inputs and states further and further back.

    One backward pass gives ``v^T J`` for all lags. Up to ``probes`` outputs each is taken by
    itself, which is exact. Of more, random ``v`` with independent standard normal components are
    taken: the mean of ``|v^T J|^2`` is the squared Frobenius norm of ``J``.

    Args:
        system: with an input, float64.
        inputs: shape ``(time, sequences, n_z)``.
        x0: shape ``(sequences, n_x)``.
        probes: how many ``v`` at most.
        seed: of ``v``.

    Returns:
        The Frobenius norms ``|dy_T / dz_{T-k}|`` and ``|dy_T / dx_{T-k}|``, root mean squares over
        sequences, each of shape ``(time,)`` with lag k = 0, 1, ...
    """
    with torch.enable_grad():
        z = inputs.detach().clone().requires_grad_()
        states, x = [], x0.detach().clone()
        for step in z.unbind(0):
            x = system.f(x, step, system.theta)  # (1a)
            x.requires_grad_() if not x.requires_grad else x.retain_grad()
            states.append(x)
        y = system.g(x, z[-1], system.theta)  # (1b)
        outputs = y.shape[-1]
        if outputs <= probes:
            directions, weight = torch.eye(outputs, dtype=y.dtype), 1.0
        else:
            generator = torch.Generator().manual_seed(seed)
            directions = torch.randn(probes, outputs, generator=generator, dtype=y.dtype)
            weight = 1 / probes
        of_z, of_x = z.new_zeros(len(z)), z.new_zeros(len(z))
        for v in directions.to(y.device):
            grads = torch.autograd.grad(
                y, [z, *states], v.expand_as(y), retain_graph=True, allow_unused=True
            )
            dz = grads[0] if grads[0] is not None else torch.zeros_like(z)
            dx = torch.stack([torch.zeros_like(x) if g is None else g for g in grads[1:]])
            of_z = of_z + dz.square().sum(-1).mean(-1)
            of_x = of_x + dx.square().sum(-1).mean(-1)
    lagged = [(weight * total).sqrt().flip(0) for total in (of_z, of_x)]
    return lagged[0].detach(), lagged[1].detach()


def reach(curve: np.ndarray, share: float) -> float:
    """Return the first lag after which the curve stays below a share of its largest value.

    Infinite where it never does within what was measured.
    """
    above = np.nonzero(curve >= share * curve.max())[0]
    last = above[-1] if len(above) else 0
    return float(last + 1) if last + 1 < len(curve) else np.inf


def ask(subject: Subject, budget: Budget) -> Answer:
    """Answer for the user's sequences.

    Evidence: ``of_input`` and ``of_state`` against ``lag``; ``decay``, the slope of the logarithm
    of ``of_state`` over the later half, in nats per step; ``reach_tenth`` and ``reach_hundredth``,
    the lags after which an input has a tenth and a hundredth of the largest influence.
    """
    data = subject.inputs
    if data is None:
        return Answer("influence", QUESTION, ("The system reads no input.",))
    cost = budget.seconds_per_step(subject.system, data.shape[1], graph=True)
    time = int(min(len(data), max(2, budget.share / (cost * (2 + 2 * PROBES)))))
    start = subject.system.initial_state(subject.start)
    of_z, of_x = influence_by_lag(subject.system, data[:time], start)
    z, x = of_z.cpu().numpy(), of_x.cpu().numpy()
    lag = np.arange(time)
    later = slice(time // 2, None)
    good = x[later] > LEAST
    decay = np.nan
    if good.sum() >= 5:
        decay = float(np.polyfit(lag[later][good], np.log(x[later][good]), 1)[0])
    tenth, hundredth = reach(z, 0.1), reach(z, 0.01)
    words = []
    if z.max() == 0:
        words.append("The last output does not depend on any input: it is constant.")
    elif np.isinf(tenth):
        words.append(
            f"An input {time - 1} steps back still has over a tenth of the largest influence: the "
            f"data's sequences are too short to see the end of it."
        )
    else:
        words.append(
            f"An input's influence on the last output is below a tenth after "
            f"{steps_in_words(tenth)}"
            + (
                f", and below a hundredth after {steps_in_words(hundredth)}."
                if np.isfinite(hundredth)
                else f", and never below a hundredth within {time} steps."
            )
        )
    if np.isfinite(decay):
        verb = "fades" if decay < 0 else "grows"
        words.append(
            f"Further back the gradient {verb} by a factor e in "
            f"{steps_in_words(1 / abs(decay) if decay else np.inf)}."
        )
    elif (x < LEAST).any():
        words.append("Further back the gradient is zero to working precision.")
    state = SETTLED if time == len(data) else CUT
    if state == CUT:
        words.append(f"There was time for the first {time} of {len(data)} steps.")
    evidence = {
        "lag": lag, "of_input": z, "of_state": x, "decay": decay, "reach_tenth": tenth,
        "reach_hundredth": hundredth, "sequences": data.shape[1],
    }  # fmt: skip
    return Answer("influence", QUESTION, tuple(words), evidence, state)

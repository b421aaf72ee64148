"""Latching: one bit held by the two fixed points of one unit, and what erases it."""

import math

import numpy as np
import scipy
import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics import simulate
from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.systems import System, elman


def latch(gain: float) -> System:
    """The one-unit cell ``x' = tanh(w x + z)``, which holds a bit if ``w > 1``."""
    w = torch.tensor([[gain]], dtype=torch.float64)
    return elman(w, input_weight=torch.ones_like(w), name="latch")


def memory_state(gain: float) -> float:
    """Return the positive root of ``x = tanh(w x)``, one of the two states that hold the bit.

    Raises:
        ValueError: a gain of at most 1, for which the origin is the only fixed point.
    """
    if gain <= 1:
        raise ValueError(f"gain is {gain}; the cell holds a bit only for gain > 1.")
    nearly_zero = math.sqrt(1 - 1 / gain)  # where w (1 - x^2) = 1: tanh(w x) - x is largest
    return scipy.optimize.brentq(lambda x: math.tanh(gain * x) - x, nearly_zero, 1.0, xtol=1e-15)


def pulse_threshold(gain: float, duration: int) -> float:
    """Return the height of the weakest pulse of given duration that flips the latch.

    The bit ``x* > 0`` flips when ``duration`` steps of ``x' = tanh(w x - u)`` bring the state
    below 0, the boundary of the two basins. For one step that is ``u = w x*``. For more, the
    boundary is pulled back: ``y_0 = 0``, ``y_{k+1} = (atanh(y_k) + u) / w``, and the threshold is
    the ``u`` for which ``y_duration = x*``. For long pulses it tends to the fold of
    `rnnlib.systems.fold_bias`.

    Args:
        gain: ``w > 1``.
        duration: in steps, 1 or more.

    Raises:
        ValueError: a gain of at most 1, a duration under 1.
    """
    if duration < 1:
        raise ValueError(f"duration is {duration}; a pulse lasts 1 step or more.")
    bit = memory_state(gain)

    def excess(height: float) -> float:
        """How far the pulled-back boundary lies above the bit."""
        boundary = 0.0
        for _ in range(duration):
            if boundary >= 1:  # tanh reaches no state there: every state is carried below 0
                return 1.0
            boundary = (math.atanh(boundary) + height) / gain
        return boundary - bit

    return (
        scipy.optimize.brentq(excess, 0.0, gain * bit, xtol=1e-14) if duration > 1 else gain * bit
    )


def escape_effort(gain: float, steps: int = 12) -> float:
    """Return the least ``sum u_t^2 / 2`` of an input that erases the bit in ``steps`` steps.

    Under input noise of small standard deviation ``sigma`` the bit lasts a time of the order of
    ``exp(effort / sigma^2)``: the effort is the quasi-potential barrier between the two states.

    Args:
        gain: ``w > 1``.
        steps: of the path from ``x*`` to 0; one step is a single kick, more steps need less.

    Raises:
        ValueError: a gain of at most 1, fewer than one step.

    Reference:
        M. I. Freidlin, A. D. Wentzell, "Random Perturbations of Dynamical Systems", Springer.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; an escape takes 1 step or more.")
    bit = memory_state(gain)

    def effort(inner: np.ndarray) -> float:
        path = np.concatenate([[bit], inner, [0.0]])
        return 0.5 * float(np.sum((np.arctanh(path[1:]) - gain * path[:-1]) ** 2))

    if steps == 1:
        return effort(np.empty(0))
    straight = np.linspace(bit, 0, steps + 1)[1:-1]
    return float(
        scipy.optimize.minimize(effort, straight, bounds=[(-0.999, 0.999)] * (steps - 1)).fun
    )


@torch.no_grad()
def measured_threshold(
    gain: float,
    duration: int,
    *,
    after: int = 400,
    bisections: int = 40,
    progress: bool = False,
) -> float:
    """Return the weakest pulse that flips the simulated latch, found by bisection.

    Args:
        gain: ``w > 1``.
        duration: in steps, 1 or more.
        after: steps without input after the pulse, before the bit is read.
        bisections: halvings of the interval from 0 to the one-step threshold's double.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) ends the halving in any
            case, and the middle of the interval so far is returned, with a warning.

    Raises:
        ValueError: a gain of at most 1, a duration under 1.
    """
    if duration < 1:
        raise ValueError(f"duration is {duration}; a pulse lasts 1 step or more.")
    system, bit = latch(gain), torch.tensor([memory_state(gain)], dtype=torch.float64)
    low, high = 0.0, 2 * gain * float(bit)
    inputs = torch.zeros(duration + after, 1, dtype=torch.float64)
    with kept_on_interrupt("the middle of the interval so far"):
        for _ in tqdm(range(bisections), desc="latch", disable=not progress, unit="halving"):
            inputs[:duration] = -(low + high) / 2
            end = simulate(system, bit, 1, burn_in=duration + after - 1, inputs=inputs)
            low, high = (-float(inputs[0]), high) if end > 0 else (low, -float(inputs[0]))
    return (low + high) / 2


@torch.no_grad()
def hold_times(
    gain: float,
    levels: Tensor,
    copies: int,
    steps: int,
    seed: int = 0,
    *,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return how long a bit lasts under white Gaussian input noise, by simulation.

    Args:
        gain: ``w > 1``.
        levels: standard deviations of the noise, shape ``(L,)``, float64.
        copies: independent latches for each level.
        steps: after which the experiment ends; bits that still hold then count as censored.
        seed: of the noise.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) ends the experiment in any
            case; bits that still hold then count as censored.

    Returns:
        The mean number of steps until the state first has the other sign, estimated as (steps
        survived by all copies) / (flips), and its standard error, mean / sqrt(flips), both of
        shape ``(L,)`` and infinite where no bit flipped.

    Raises:
        ValueError: a gain of at most 1, fewer than one copy or step.
    """
    if copies < 1 or steps < 1:
        raise ValueError(f"copies is {copies} and steps is {steps}; both must be 1 or more.")
    device, generator = levels.device, torch.Generator().manual_seed(seed)
    system = latch(gain).to(device)
    x = torch.full((len(levels), copies, 1), memory_state(gain), dtype=torch.float64, device=device)
    holds = torch.ones(x.shape[:-1], dtype=torch.bool, device=device)
    now = x, holds, torch.zeros(len(levels), dtype=torch.float64, device=device)
    with kept_on_interrupt("of the steps simulated so far"):
        for _ in tqdm(range(steps), desc="hold times", disable=not progress, unit="step"):
            x, holds, survived = now
            noise = torch.randn(x.shape, dtype=x.dtype, generator=generator, device="cpu")
            x = system.step(x, levels[:, None, None] * noise.to(device))
            now = x, holds & (x[..., 0] > 0), survived + holds.sum(-1)  # all three at once
    _, holds, survived = now
    flips = (~holds).sum(-1)
    mean = survived / flips
    return mean, mean / flips.sqrt()

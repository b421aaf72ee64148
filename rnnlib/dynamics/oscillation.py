"""Frequency and amplitude of an oscillating output, and how they follow a constant input."""

from typing import NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from rnnlib.dynamics.orbits import simulate
from rnnlib.systems import System

FLAT = 1e-6  # an output that varies by less than this has no frequency
PADDING = 16  # times the length: the periodogram's peak then lies within a parabola's reach
STEPS = 400  # 12 periods of the slowest sine of section 5.1


class Oscillation(NamedTuple):
    """What a stretch of output oscillates at.

    Attributes:
        frequency: of the strongest line of the spectrum, in radians per step, shape ``(*batch,)``;
            NaN where the output is flat or not finite.
        amplitude: of the sine that has the same variance, shape ``(*batch,)``.
        mean: shape ``(*batch,)``.
    """

    frequency: Tensor
    amplitude: Tensor
    mean: Tensor


def oscillation(y: Tensor) -> Oscillation:
    """Measure the strongest oscillation of each signal, through a Hann window.

    The window keeps the two ends of the stretch from mattering: a sine of three or more periods
    gives its frequency to a few parts in a thousand, one of ten or more to a few in a million. The
    peak of the zero-padded periodogram is refined by a parabola through its logarithm.

    Args:
        y: shape ``(steps, *batch)``.

    Raises:
        ValueError: fewer than 16 steps.

    Reference:
        F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier
        transform", Proceedings of the IEEE 66 (1978).
    """
    if len(y) < 16:
        raise ValueError(f"y has {len(y)} steps; a frequency needs 16 or more.")
    signal = y.detach().double().cpu().numpy()
    finite = np.isfinite(signal).all(0)
    signal = np.where(finite, signal, 0.0)
    window = scipy.signal.windows.hann(len(signal), sym=False).reshape(-1, *[1] * (signal.ndim - 1))
    window = window / window.sum()
    mean = (window * signal).sum(0)
    centred = signal - mean
    amplitude = np.sqrt(2 * (window * centred**2).sum(0))

    size = PADDING * len(signal)
    power = np.abs(np.fft.rfft(window * centred, size, axis=0)) ** 2
    power = np.log(np.maximum(power, np.finfo(float).tiny))
    peak = power[1:-1].argmax(0)[None] + 1
    left, middle, right = (np.take_along_axis(power, peak + k, 0)[0] for k in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / np.where(curvature < 0, curvature, -np.inf)
    frequency = 2 * np.pi * (peak[0] + shift) / size
    frequency = np.where(finite & (amplitude > FLAT), frequency, np.nan)
    amplitude, mean = np.where(finite, amplitude, np.nan), np.where(finite, mean, np.nan)
    return Oscillation(*(torch.as_tensor(part) for part in (frequency, amplitude, mean)))


@torch.no_grad()
def frequency_response(
    system: System,
    omega: Tensor,
    *,
    steps: int = STEPS,
    burn_in: int = 1200,
    progress: bool = False,
) -> Oscillation:
    """Measure what a network answers to constant inputs, from the state 0, in steady state.

    Args:
        system: with an input of dimension 1; its first output is measured.
        omega: the inputs, shape ``(*inputs,)``.
        steps: how many steps to measure.
        burn_in: how many to drop before.
        progress: whether to show a progress bar.

    Returns:
        Arrays of the shape of ``omega``.
    """
    held = system.hold(omega.unsqueeze(-1))
    x0 = omega.new_zeros(*omega.shape, system.n_x)
    y = simulate(held, x0, steps, burn_in=burn_in, observe="output", progress=progress)
    return oscillation(y[..., 0])


def phase_error(y: Tensor, omega: Tensor, window: int = 100) -> tuple[Tensor, Tensor]:
    """Compare signals with ``sin(omega t)``, ``t = 1, 2, ...``, window by window.

    The phase of a window is that of the least-squares fit of ``a sin(omega t) + b cos(omega t)``
    and a constant. A signal at the frequency ``omega + d`` gains the phase ``d t``, which can be
    followed from window to window while ``|d| window`` is below pi.

    Args:
        y: shape ``(steps, *batch)``.
        omega: shape ``(*batch,)``.
        window: how many steps are compared at a time.

    Returns:
        The last step of each window, shape ``(W,)``, and the phase ahead of the sine in radians,
        shape ``(W, *batch)``, unwrapped along the first axis; NaN for a signal that is not finite.

    Raises:
        ValueError: fewer steps than a window.
    """
    count = len(y) // window
    if count < 1:
        raise ValueError(f"y has {len(y)} steps; with window={window} it needs that many.")
    t = torch.arange(1, count * window + 1, dtype=torch.float64)
    angle = t.reshape(-1, *[1] * omega.dim()) * omega.double()
    basis = torch.stack([torch.sin(angle), torch.cos(angle), torch.ones_like(angle)], -1)
    signal = y[: count * window].double()
    finite = torch.isfinite(signal).all(0)
    windows = signal.where(finite, 0.0).unsqueeze(-1).unflatten(0, (count, window))
    fit = torch.linalg.lstsq(
        basis.unflatten(0, (count, window)).movedim(1, -2), windows.movedim(1, -2)
    ).solution[..., 0]
    phase = torch.atan2(fit[..., 1], fit[..., 0])
    unwrapped = torch.as_tensor(np.unwrap(phase.numpy(), axis=0))
    return t.long()[window - 1 :: window], unwrapped.where(finite, torch.nan)

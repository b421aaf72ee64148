"""The cost of the chaotic LSTM along ``theta(s) = s theta_true``: how rough it is, and descent.

Data are the orbit at s = 1 itself, so the cost is zero there. Nothing is dropped: the sum of
equation (2) starts with the first step.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics import simulate
from rnnlib.smoothness.cost import cost, cost_over, mean_squared_error
from rnnlib.smoothness.multiple_shooting import fit, teacher_forced_states
from rnnlib.smoothness.roughness import descend
from rnnlib.smoothness.sensitivities import cost_derivatives, flatten_theta, sensitivities
from rnnlib.systems import THETA_TRUE, X0, System, chaotic_lstm, line


def true_orbit(n: int) -> Tensor:
    """Return the states ``x_0, ..., x_n`` at s = 1, shape ``(n + 1, 4)``."""
    return torch.cat([X0[None], simulate(chaotic_lstm(), X0, n)])


def cost_along(s: np.ndarray, n: int, window: int | None = None) -> np.ndarray:
    """Return the mean square error over n steps at each s, as one window or as several.

    Every window starts at the true state, so this is the surface of multiple shooting with its
    free states at their true values.

    Args:
        s: shape ``(points,)``.
        n: the number of steps, a multiple of ``window``.
        window: steps in one window; by default all.

    Returns:
        Shape ``(points,)``.

    Raises:
        ValueError: ``window`` does not divide ``n``.
    """
    window = n if window is None else window
    if window < 1 or n % window:
        raise ValueError(f"window is {window}; it must divide n={n}.")
    orbit = true_orbit(n)
    values = np.zeros(len(s))
    for start in range(0, n, window):
        values += _one_window(s, orbit[start], orbit[start + 1 : start + window + 1, :2])
    return values / (n // window)


def _one_window(s, x0, targets):
    try:
        from rnnlib.systems.two_unit_kernel import sweep
    except ImportError:  # without numba: the same numbers, slower
        s = torch.as_tensor(s, dtype=x0.dtype)
        return cost_over(line(), s, x0=x0, targets=targets, loss=mean_squared_error).numpy()
    basis = THETA_TRUE.numpy()[None]
    cost = sweep(basis, s, x0=x0, targets=targets, steps=len(targets), keep_orbit=False).cost
    assert cost is not None  # with targets
    return cost


def on_the_line() -> System:
    """Return the chaotic LSTM as a system whose only parameter is the scalar ``s``."""
    base = chaotic_lstm()

    def f(x, z, theta):
        return base.f(x, z, {"weight_hh_l0": theta["s"][..., None, None] * THETA_TRUE})

    return replace(base, f=f, theta={"s": torch.tensor(1.0, dtype=torch.float64)}, core={"s": 0})


def derivatives_along(s: Tensor, lengths: Sequence[int], chunk: int = 256) -> tuple[Tensor, ...]:
    """Return first and second derivatives of the cost by s for several lengths N.

    Args:
        s: shape ``(points,)``, float64.
        lengths: the values of N.
        chunk: how many points to compute at once.

    Returns:
        Two tensors of shape ``(lengths, points)``.
    """
    index, n = torch.as_tensor(lengths) - 1, max(lengths)
    targets, parts = true_orbit(n)[1:, :2], []
    for piece in s.split(chunk):
        system = on_the_line().at({"s": piece})
        c = cost_derivatives(sensitivities(system, X0, n, order=2), targets, mean_squared_error)
        assert c.hessian is not None  # of order 2
        parts.append(torch.stack([c.gradient[index, :, 0], c.hessian[index, :, 0, 0]]))
    return torch.cat(parts, dim=-1).unbind(0)


def descend_along(
    starts: Tensor, n: int, clips: Sequence[float], *, steps: int, rate: float
) -> Tensor:
    """Run gradient descent on s from many starts, once for every clipping threshold.

    Args:
        starts: shape ``(starts,)``, float64.
        n: the number of steps N of the cost.
        clips: thresholds of the gradient's norm; ``inf`` for none.
        steps: how many steps of descent.
        rate: the learning rate.

    Returns:
        The paths, shape ``(steps + 1, clips, starts)``; NaN once a run has overflowed.
    """
    targets, system = true_orbit(n)[1:, :2], on_the_line()

    def cost_of(point):  # past the checks of `System.at`: a run thrown to infinity becomes NaN
        here = replace(system, theta={"s": point[..., 0]})
        return cost(here, X0, targets, loss=mean_squared_error)

    clip = torch.tensor(clips, dtype=torch.float64)[:, None]
    first = starts.expand(len(clips), -1)[..., None]
    path = descend(cost_of, first, steps=steps, rate=rate, clip=clip)
    return path[..., 0]


def recovery(
    n: int, windows: Sequence[int], spread: float, runs: int, *, iterations: int, seed: int
) -> Tensor:
    """Train all 16 weights from perturbed ones with windows of several lengths.

    The same perturbed weights are used for every window. The windows' states start from teacher
    forcing on the observed h; the cells are never shown.

    Args:
        n: the number of steps observed.
        windows: lengths that divide n; n itself is single shooting.
        spread: the typical relative size of the perturbation.
        runs: how many perturbed starts.
        iterations: of `rnnlib.smoothness.multiple_shooting.fit`.
        seed: of the perturbations.

    Returns:
        The relative errors of the weights, before in row 0 and after training with each window
        length in the rows that follow, shape ``(1 + windows, runs)``.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(runs, 8, 2, dtype=torch.float64, generator=generator)
    student = chaotic_lstm(
        THETA_TRUE + spread * THETA_TRUE.norm() / THETA_TRUE.numel() ** 0.5 * noise
    )
    observed, truth = true_orbit(n)[1:, :2], flatten_theta(chaotic_lstm())

    def error(theta):
        return (theta - truth).norm(dim=-1) / truth.norm()

    states = teacher_forced_states(student, X0.expand(runs, 4), observed)
    errors = [error(flatten_theta(student))]
    for window in windows:
        starts = states[:-1:window].movedim(0, 1)
        errors.append(error(fit(student, starts, observed, iterations=iterations).theta))
    return torch.stack(errors)

"""Multiple shooting: short windows with initial states of their own, tied together by a penalty.

The orbit of N steps is cut into windows of m. Each starts at a free state; the cost adds up the
losses of all windows and a penalty on the gaps between the end of one and the start of the next.
By theorem 1 its smoothness is that of m steps, not of N. With the gaps closed it is the cost (2).

The windows are one more batch axis, so a step of all of them is one call, and N steps take the
time of m.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.smoothness.cost import squared_error
from rnnlib.smoothness.sensitivities import flatten_theta, sensitivities, unflatten_theta
from rnnlib.systems import System


class Shooting(NamedTuple):
    """The cost of multiple shooting and its two parts.

    Attributes:
        cost: ``fit + penalty * gap``, shape ``(*batch,)``.
        fit: equation (2) with every window started at its own state, shape ``(*batch,)``.
        gap: the squared distances between the windows' ends and next starts, summed and divided
            by N, shape ``(*batch,)``.
    """

    cost: Tensor
    fit: Tensor
    gap: Tensor


def multiple_shooting(
    system: System,
    starts: Tensor,
    targets: Tensor,
    *,
    penalty: float | Tensor = 1.0,
    inputs: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> Shooting:
    """Return the cost of N steps cut into windows, one for each start.

    It is differentiable by the starts and by the parameters.

    Args:
        system: the system, with batch axes or without.
        starts: the windows' initial states, shape ``(*batch, windows, n_x)``. One window is the
            plain cost.
        targets: shape ``(N, n_y)``, N a multiple of ``windows``.
        penalty: the weight of the gaps.
        inputs: shape ``(N, n_z)``; without it the held input is used.
        loss: from outputs ``(*batch, n_y)`` and targets that broadcast to ``(*batch,)``.

    Raises:
        ValueError: starts without a window axis, windows of unequal length, too few inputs.

    Reference:
        A. H. Ribeiro, K. Tiels, J. Umenberger, T. B. Schon, L. A. Aguirre, "On the smoothness of
        nonlinear system identification", Automatica 121 (2020).
    """
    if starts.dim() < 2:
        raise ValueError(
            f"starts has shape {tuple(starts.shape)}; it must be (*batch, windows, {system.n_x})."
        )
    windows, n = starts.shape[-2], len(targets)
    if n == 0 or n % windows:
        raise ValueError(
            f"targets has {n} steps and starts has {windows} windows; choose a number of windows "
            f"that divides the steps."
        )
    if inputs is not None and len(inputs) != n:
        raise ValueError(f"inputs has {len(inputs)} steps and targets has {n}; they must agree.")
    system.check_inputs(inputs, n)
    for what, value in (("targets", targets), ("inputs", inputs)):
        if value is not None and value.dim() != 2:
            raise ValueError(
                f"{what} has shape {tuple(value.shape)}; one recorded sequence is cut into "
                f"windows, so it must be (steps, n)."
            )
    system = _share_among_windows(system)
    aims = targets.reshape(windows, n // windows, -1)
    feeds = None if inputs is None else inputs.reshape(windows, n // windows, -1)
    x, fit = system.initial_state(starts), starts.new_zeros(())
    for t in range(n // windows):
        z = None if feeds is None else feeds[:, t]
        x = system.step(x, z)  # (1a)
        fit = fit + loss(system.read(x, z), aims[:, t]).sum(-1)
    gap = (x[..., :-1, :] - starts[..., 1:, :]).square().sum((-1, -2))
    return Shooting((fit + penalty * gap) / n, fit / n, gap / n)


class ShootingFit(NamedTuple):
    """What `fit` returns.

    Attributes:
        theta: the parameters at the end, shape ``(*batch, n_theta)``; see
            `rnnlib.smoothness.flatten_theta`.
        starts: the windows' states at the end, shape ``(*batch, windows, n_x)``.
        history: the cost of the best point so far, shape ``(iterations, *batch)``.
    """

    theta: Tensor
    starts: Tensor
    history: Tensor


@torch.no_grad()
def fit(
    system: System,
    starts: Tensor,
    targets: Tensor,
    *,
    iterations: int = 40,
    penalty: float = 1.0,
    inputs: Tensor | None = None,
    progress: bool = False,
) -> ShootingFit:
    """Fit parameters and starts to the squared error by Levenberg-Marquardt; each run by itself.

    The Jacobian of the residuals is that of the forward sensitivities (S1), window by window. The
    first start is known and stays. With one window this is ordinary training on all N steps.

    Args:
        system: the system to start from, its parameters with batch axes ``(*batch,)``.
        starts: shape ``(*batch, windows, n_x)``.
        targets: shape ``(N, n_y)``.
        iterations: how many trial steps.
        penalty: the weight of the gaps.
        inputs: shape ``(N, n_z)``; without it the held input is used.
        progress: whether to show a progress bar.

    Raises:
        ValueError: fewer than one iteration, a penalty that is not positive.

    Reference:
        H. G. Bock, "Numerical treatment of inverse problems in chemical reaction kinetics",
        Springer Series in Chemical Physics 18 (1981).
    """
    if iterations < 1 or not penalty > 0:
        raise ValueError(f"iterations={iterations}, penalty={penalty}: both must be positive.")
    theta = flatten_theta(system)
    theta = theta.expand(*starts.shape[:-2], theta.shape[-1])
    point = torch.cat([theta, starts[..., 1:, :].flatten(-2)], dim=-1)
    first, damping = starts[..., :1, :], starts.new_full(starts.shape[:-2], 1e-2)

    def residuals_at(point):
        here = replace(system, theta=unflatten_theta(system, point[..., : theta.shape[-1]]))
        free = point[..., theta.shape[-1] :].unflatten(-1, (-1, system.n_x))
        return _residuals(here, torch.cat([first, free], dim=-2), targets, penalty, inputs)

    r, j = residuals_at(point)
    history = []
    for _ in tqdm(range(iterations), desc="shooting", disable=not progress):
        normal = j.mT @ j
        scale = normal.diagonal(dim1=-2, dim2=-1)
        ridge = torch.diag_embed(damping[..., None] * (scale + 1e-12 * scale.amax(-1, True)))
        step, info = torch.linalg.solve_ex(normal + ridge, (j.mT @ r[..., None]))
        trial = torch.where((info == 0)[..., None], point - step.squeeze(-1), point)
        new_r, new_j = residuals_at(trial)
        better = new_r.square().sum(-1) < r.square().sum(-1)  # False for NaN
        point = torch.where(better[..., None], trial, point)
        r = torch.where(better[..., None], new_r, r)
        j = torch.where(better[..., None, None], new_j, j)
        damping = torch.where(better, damping / 3, damping * 4).clamp(1e-12, 1e12)
        history.append(r.square().sum(-1) / len(targets))
    free = point[..., theta.shape[-1] :].unflatten(-1, (-1, system.n_x))
    states = torch.cat([first, free], dim=-2)
    return ShootingFit(point[..., : theta.shape[-1]], states, torch.stack(history))


def _residuals(system, starts, targets, penalty, inputs):
    """Errors of the outputs, then the gaps, with their Jacobian by (theta, starts[1:])."""
    windows, batch = starts.shape[-2], starts.shape[:-2]
    n_x, steps = system.n_x, len(targets) // windows
    feeds = None
    if inputs is not None:
        feeds = inputs.unflatten(0, (windows, steps)).movedim(1, 0)
        feeds = feeds.reshape(steps, *[1] * len(batch), windows, -1).expand(-1, *batch, -1, -1)
    s = sensitivities(_share_among_windows(system), starts, steps, inputs=feeds, with_x0=True)
    aims = targets.reshape(windows, steps, -1).movedim(1, 0)
    errors = s.y - aims.reshape(steps, *[1] * len(batch), *aims.shape[1:])
    root = penalty**0.5
    gaps = root * (s.x[-1, ..., :-1, :] - starts[..., 1:, :])
    r = torch.cat([errors.movedim(0, -1).flatten(-3), gaps.flatten(-2)], dim=-1)

    # Window k's outputs and end depend on theta and on start k, which is column block k - 1.
    by_theta = torch.cat(
        [
            s.j[..., n_x:].movedim(0, -2).flatten(-4, -2),
            root * s.d[-1, ..., :-1, :, n_x:].flatten(-3, -2),
        ],
        dim=-2,
    )
    each = torch.eye(windows, dtype=r.dtype, device=r.device)
    outputs = torch.einsum("t...kyx,kl->...kytlx", s.j[..., :n_x], each)
    ends = torch.einsum("...kix,kl->...kilx", root * s.d[-1, ..., :n_x], each)[..., :-1, :, :, :]
    eye = torch.eye(n_x, dtype=r.dtype, device=r.device)
    nexts = torch.einsum("kl,ix->kilx", each[1:], root * eye)
    by_starts = torch.cat(
        [
            outputs[..., 1:, :].flatten(-2).flatten(-4, -2),
            (ends - nexts)[..., 1:, :].flatten(-2).flatten(-3, -2),
        ],
        dim=-2,
    )
    return r, torch.cat([by_theta, by_starts], dim=-1)


def teacher_forced_states(
    system: System, x0: Tensor, observed: Tensor, *, inputs: Tensor | None = None
) -> Tensor:
    """Estimate all states from their observed first components, for the starts of windows.

    After every step the first components are overwritten by what was observed, so only the hidden
    rest (an LSTM's cells) is the model's own: teacher forcing.

    Args:
        system: the system, with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``.
        observed: shape ``(N, n_seen)``, the first components of ``x_1, ..., x_N``.
        inputs: shape ``(N, n_z)``; without it the held input is used.

    Returns:
        ``x_0, ..., x_N``, shape ``(N + 1, *batch, n_x)``.
    """
    states = [system.initial_state(x0)]
    for t, seen in enumerate(observed):
        x = system.step(states[-1], None if inputs is None else inputs[t])
        rest = x[..., len(seen) :]
        states.append(torch.cat([seen.expand(*rest.shape[:-1], -1), rest], dim=-1))
    return torch.stack(states)


def _share_among_windows(system: System) -> System:
    """Give every parameter that has batch axes one more, of length 1, for the windows."""
    theta = {
        name: p.unsqueeze(-1 - system.core[name]) if p.dim() > system.core[name] else p
        for name, p in system.theta.items()
    }
    z = system.z if system.z is None or system.z.dim() == 1 else system.z.unsqueeze(-2)
    return replace(system, theta=theta, z=z)

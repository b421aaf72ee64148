"""The cost of equation (2) along a path and over a plane of parameters."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics import trajectory
from rnnlib.systems import System


def squared_error(y: Tensor, target: Tensor) -> Tensor:
    """The squared Euclidean distance ``||y - target||^2``, theorem 1's first loss.

    Args:
        y: shape ``(*batch, n_y)``.
        target: shape ``(n_y,)``.

    Returns:
        Shape ``(*batch,)``.
    """
    return (y - target).square().sum(-1)


def mean_squared_error(y: Tensor, target: Tensor) -> Tensor:
    """The squared error divided by the number of outputs, which figure 1 shows."""
    return squared_error(y, target) / y.shape[-1]


def cost(
    system: System,
    x0: Tensor,
    targets: Tensor,
    *,
    burn_in: int = 0,
    inputs: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> Tensor:
    """Return ``V = 1/N sum_t loss(y_t, target_t)``, equation (2), for a whole batch.

    The orbit is not stored: memory does not depend on the number of steps.

    Args:
        system: the system, with batch axes or without.
        x0: shape ``(*batch, n_x)``.
        targets: shape ``(N, n_y)``, for the steps after the burn-in.
        burn_in: how many steps to run before the first target.
        inputs: shape ``(burn_in + N, *batch, n_z)``; without it the held input is used.
        loss: from outputs ``(*batch, n_y)`` and one target ``(n_y,)`` to ``(*batch,)``.

    Returns:
        Shape ``(*batch,)``; NaN or infinite where the orbit is.
    """
    total = 0
    states = trajectory(system, x0, len(targets), burn_in=burn_in, inputs=inputs)
    for (x, z), target in zip(states, targets, strict=True):
        total = total + loss(system.read(x, z), target)
    return total / len(targets)  # (2)


def cost_over(
    family: Callable[..., System],
    *axes: Tensor,
    x0: Tensor,
    targets: Tensor,
    burn_in: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
    chunk: int = 8192,
    progress: bool = False,
) -> Tensor:
    """Return the cost along a path (one axis), over a plane (two) or over a larger grid.

    Points are taken ``chunk`` at a time, so that memory is that of the answer and of one chunk.

    Args:
        family: from one coordinate tensor of shape ``(points,)`` per axis to the system there.
        axes: 1-D tensors of coordinates.
        x0: the initial state, shape ``(n_x,)``.
        targets: shape ``(N, n_y)``.
        burn_in: how many steps to run before the first target.
        loss: as in `cost`.
        chunk: how many points to compute at once.
        progress: whether to show a progress bar.

    Returns:
        Shape ``(len(axis_1), len(axis_2), ...)``.

    Raises:
        ValueError: no axis, an axis that is not 1-D, or a chunk under 1.
    """
    if not axes or any(axis.dim() != 1 for axis in axes):
        raise ValueError(
            f"axes have shapes {[tuple(axis.shape) for axis in axes]}; give one or more "
            f"1-D tensors."
        )
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it must be 1 or more.")
    shape = [len(axis) for axis in axes]
    flat = x0.new_empty(torch.Size(shape).numel())
    starts = range(0, len(flat), chunk)
    for start in tqdm(starts, desc="cost", disable=not progress, unit="chunk"):
        points = torch.arange(start, min(start + chunk, len(flat)), device=x0.device)
        coordinates = [
            axis[i] for axis, i in zip(axes, torch.unravel_index(points, shape), strict=True)
        ]
        flat[start : start + chunk] = cost(
            family(*coordinates), x0, targets, burn_in=burn_in, loss=loss
        )
    return flat.reshape(shape)

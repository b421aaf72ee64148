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
        target: shape ``(*batch, n_y)``; its batch axes broadcast against those of ``y``.

    Returns:
        Shape ``(*batch,)``.

    Raises:
        ValueError: as many targets as outputs are needed, neither fewer nor more.

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.squared_error(torch.tensor([1.0, 2.0]), torch.zeros(2))
        tensor(5.)
    """
    if target.shape[-1:] != y.shape[-1:]:
        raise ValueError(
            f"target has shape {tuple(target.shape)} and y {tuple(y.shape)}; their last axes must "
            f"agree: one target for each output."
        )
    return (y - target).square().sum(-1)


def mean_squared_error(y: Tensor, target: Tensor) -> Tensor:
    """The squared error divided by the number of outputs, which figure 1 shows.

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.mean_squared_error(torch.tensor([1.0, 2.0]), torch.zeros(2))
        tensor(2.5000)
    """
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
        targets: shape ``(N, n_y)``, for the steps after the burn-in, or ``(N, *batch, n_y)``, with
            batch axes that broadcast against those of the outputs.
        burn_in: how many steps to run before the first target.
        inputs: shape ``(burn_in + N, *batch, n_z)``; without it the held input is used.
        loss: from outputs ``(*batch, n_y)`` and one target, ``(*batch, n_y)``, to ``(*batch,)``.

    Returns:
        Shape ``(*batch,)``; NaN or infinite where the orbit is. It is differentiable in whatever
        requires a gradient, weights that a step closes over included: call it under
        `torch.no_grad` where none is wanted.

    Raises:
        ValueError: no targets, another number of them than of outputs (with the losses here), and
            as `rnnlib.trajectory`.
        TypeError: targets that are no tensor, or of another dtype than ``x0``.

    Example:
        >>> import torch, rnnlib
        >>> halve = rnnlib.linear(torch.eye(1) / 2)  # from 1 to 1/2 and 1/4
        >>> float(rnnlib.cost(halve, torch.ones(1), targets=torch.zeros(2, 1)))
        0.15625
    """
    _check_targets(targets, x0)
    total = x0.new_zeros(())
    states = trajectory(
        system, x0, len(targets), burn_in=burn_in, inputs=inputs, gradients=torch.is_grad_enabled()
    )
    for (x, z), target in zip(states, targets, strict=True):
        total = total + loss(system.read(x, z), target)
    return total / len(targets)  # (2)


def _check_targets(targets: Tensor, x0: Tensor) -> None:
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"targets is a {type(targets).__name__}; give a tensor of shape (N, n_y), for example "
            f"torch.as_tensor(targets, dtype=torch.float64)."
        )
    if targets.dim() < 2 or len(targets) == 0:
        raise ValueError(
            f"targets has shape {tuple(targets.shape)}; it must be (N, n_y) with N of 1 or more: "
            f"for one output write targets[:, None]."
        )
    if targets.is_floating_point() and isinstance(x0, Tensor) and targets.dtype != x0.dtype:
        raise TypeError(f"targets is {targets.dtype} and x0 {x0.dtype}; convert one of them.")


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
        ValueError: no axis, an axis that is not 1-D, a chunk under 1, several initial states or
            targets with batch axes, which would be paired with the points.
        TypeError: as `cost`.

    Example:
        >>> import torch, rnnlib
        >>> r = torch.tensor([2.0, 4.0]).double()  # from 1/2 to 1/2; to 1, 0, 0
        >>> x0, targets = torch.tensor([0.5]).double(), torch.full((3, 1), 0.5).double()
        >>> rnnlib.cost_over(rnnlib.logistic, r, x0=x0, targets=targets)
        tensor([0.0000, 0.2500], dtype=torch.float64)
    """
    _check_targets(targets, x0)
    if x0.dim() != 1:
        raise ValueError(
            f"x0 has shape {tuple(x0.shape)}; the cost is over one initial state, (n_x,). Call "
            f"cost_over for each of several, or make a component of x0 one of the axes."
        )
    if targets.dim() != 2:
        raise ValueError(
            f"targets has shape {tuple(targets.shape)}; it must be (N, n_y), the same at all "
            f"points."
        )
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

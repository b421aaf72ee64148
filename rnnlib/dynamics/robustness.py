"""Robustness of memory (definition 2, property 2): disturb and watch the return."""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.basins import Attractor, check_single, settle
from rnnlib.dynamics.orbits import simulate, trajectory
from rnnlib.systems import System


class Robustness(NamedTuple):
    """The largest disturbance that returns, along each direction (definition 2, property 2).

    Attributes:
        radius: shape ``(D,)``: every tested disturbance up to here returned, and one larger by
            the width of the last bracket did not; equal to ``largest`` where all returned.
        width: shape ``(D,)``, of the bracket that holds the boundary; 0 where all returned.
        sizes: shape ``(R,)``, the sizes of the disturbances tried first.
        times: shape ``(R, D)``, steps until the state is back for good; infinite if it is not.
    """

    radius: Tensor
    width: Tensor
    sizes: Tensor
    times: Tensor


@torch.no_grad()
def robustness(
    system: System,
    attractor: Attractor,
    directions: Tensor,
    sizes: Tensor,
    *,
    horizon: int = 1000,
    bisections: int = 40,
    progress: bool = False,
) -> Robustness:
    """Disturb a state of an attractor along each direction and watch whether it returns.

    Along each direction the sizes are tried in increasing order; between the last that returned
    and the first that did not, the boundary of the basin is bracketed by bisection. The least
    ``radius`` over the directions bounds the distance from this state to the boundary from above:
    other directions may be worse, and a thin tongue between two sizes may be missed.

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        attractor: from `rnnlib.dynamics.find_attractor` or `basins`; its first point is disturbed.
        directions: shape ``(D, n_x)``; they are scaled to Euclidean length 1.
        sizes: shape ``(R,)``, positive and increasing.
        horizon: a state has returned if it is within the attractor's ``reach`` after so many
            steps.
        bisections: halvings of the bracket.
        progress: whether to show a progress bar over the steps.

    Raises:
        ValueError: a batch of systems, sizes that do not increase from above 0, a direction that
            is zero, not finite or of another dimension, a horizon under 1.

    Example:
        >>> import torch, rnnlib
        >>> latch = rnnlib.from_function(lambda x, theta: torch.tanh(2 * x), 1)
        >>> up = rnnlib.basins(latch, torch.ones(1, 1).double()).attractors[0]
        >>> down, sizes = -torch.ones(1, 1).double(), torch.tensor([0.5, 1.0, 1.5]).double()
        >>> rnnlib.robustness(latch, up, down, sizes).radius  # from 0.9575 to the saddle at 0
        tensor([0.9575], dtype=torch.float64)
    """
    check_single(system)
    if (
        sizes.dim() != 1
        or len(sizes) == 0
        or not (sizes.diff(prepend=sizes.new_zeros(1)) > 0).all()
        or not torch.isfinite(sizes).all()
    ):
        raise ValueError(
            f"sizes is {sizes.tolist()}; give positive, finite sizes in increasing order."
        )
    if horizon < 1 or bisections < 0:
        raise ValueError(
            f"horizon is {horizon} and bisections is {bisections}; a return needs a horizon of 1 "
            f"step or more, and bisections cannot be negative."
        )
    if not torch.isfinite(directions).all():
        raise ValueError(
            f"directions has {int((~torch.isfinite(directions)).sum())} values that are not finite."
        )
    lengths = torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    if directions.dim() != 2 or directions.shape[-1] != system.n_x or not (lengths > 0).all():
        raise ValueError(
            f"directions has shape {tuple(directions.shape)} and shortest length "
            f"{float(lengths.min()):g}; it must be (D, {system.n_x}) without zeros."
        )
    home, unit = attractor.points[0], directions / lengths
    starts = home + sizes[:, None, None] * unit  # R, D, n_x
    times = torch.zeros_like(starts[..., 0])
    outside = torch.ones_like(times, dtype=torch.bool)
    states = trajectory(system, starts, horizon, progress=progress)
    for t, (x, _) in enumerate(states, start=1):
        outside = attractor.distance(x) > attractor.reach
        times[outside] = t + 1  # back at the next step at the earliest
    times[outside] = torch.inf

    lost = torch.isinf(times)
    first = torch.where(lost.any(0), lost.int().argmax(0), len(sizes))
    padded = torch.cat([sizes.new_zeros(1), sizes, sizes[-1:]])
    low, high = padded[first], padded[first + 1]
    for _ in tqdm(range(bisections), desc="bisection", disable=not progress):
        middle = (low + high) / 2
        x = settle(system, home + middle[:, None] * unit, horizon)
        back = attractor.distance(x) <= attractor.reach
        low, high = torch.where(back, middle, low), torch.where(back, high, middle)
    return Robustness(low, high - low, sizes, times)


@torch.no_grad()
def return_curves(
    system: System, attractor: Attractor, disturbance: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Disturb a state of an attractor once and follow it beside its undisturbed twin.

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        attractor: its first point is disturbed.
        disturbance: shape ``(n_x,)``, added to the state at time 0.
        steps: how many to follow.

    Returns:
        The distances to the attractor and to the twin at times ``0..steps``, each of shape
        ``(steps + 1,)``. The first is resolved to the spacing of the attractor's points only.

    Raises:
        ValueError: a batch of systems, a disturbance of another shape, fewer than one step.
    """
    check_single(system)
    home = attractor.points[0]
    if disturbance.shape != home.shape:
        raise ValueError(
            f"disturbance has shape {tuple(disturbance.shape)}; it must be {tuple(home.shape)}."
        )
    start = torch.stack([home + disturbance, home])
    both = torch.cat([start[None], simulate(system, start, steps, observe="state")])
    twin = torch.linalg.vector_norm(both[:, 0] - both[:, 1], dim=-1)
    return attractor.distance(both[:, 0]), twin

"""Does a disturbed oscillation come back, and does it remember when it began?

A cycle of the map attracts its own clock too: after a small disturbance the state is soon where it
would have been without it. On an attracting closed curve the state comes back to the curve and
keeps a shift along it for ever.
"""

from typing import NamedTuple

import scipy
import torch
from torch import Tensor

from rnnlib.dynamics.basins import check_single
from rnnlib.dynamics.orbits import simulate
from rnnlib.systems import System


class Returns(NamedTuple):
    """Shares of the disturbances that were forgotten.

    Attributes:
        sizes: of the disturbances, relative to the oscillation's size, shape ``(S,)``.
        to_set: the share after which the orbit is back on the undisturbed one, shape ``(S,)``.
        to_twin: the share after which it is also back in time, shape ``(S,)``.
    """

    sizes: Tensor
    to_set: Tensor
    to_twin: Tensor


@torch.no_grad()
def phase_memory(
    system: System,
    x0: Tensor,
    sizes: Tensor,
    *,
    directions: int = 32,
    burn_in: int = 3000,
    steps: int = 1500,
    points: int = 8000,
    tolerance: float = 0.01,
    seed: int = 0,
    progress: bool = False,
) -> Returns:
    """Disturb an oscillation in random directions and count what is forgotten.

    Args:
        system: one autonomous system (or with its input held), without batch axes.
        x0: the initial state of the undisturbed orbit, shape ``(n_x,)``.
        sizes: of the disturbances, in units of the root mean square distance of the orbit from
            its mean, shape ``(S,)``. A size much below ``6 / (points tolerance)`` is not resolved
            on a closed curve.
        directions: how many random directions.
        burn_in: steps dropped before.
        steps: how long each disturbed orbit is followed.
        points: of the undisturbed orbit, by which its set is known.
        tolerance: a disturbance is forgotten when this part of it, or less, is left.
        seed: of the directions.
        progress: whether to show a progress bar.

    Raises:
        ValueError: a batch of systems.
    """
    check_single(system)
    orbit = simulate(system, x0, points, burn_in=burn_in, progress=progress)
    home = orbit[-1]
    size = (orbit - orbit.mean(0)).square().sum(-1).mean().sqrt()
    generator = torch.Generator().manual_seed(seed)
    kicks = torch.randn(directions, system.n_x, generator=generator, dtype=torch.float64)
    kicks = kicks / torch.linalg.vector_norm(kicks, dim=-1, keepdim=True)
    length = size * sizes.to(home)[:, None]  # S, directions
    starts = torch.cat([home[None], (home + length[..., None] * kicks.to(home)).flatten(0, 1)])
    ends = simulate(system, starts, 1, burn_in=steps - 1, progress=progress)[0]
    twin = torch.linalg.vector_norm(ends[1:] - ends[0], dim=-1)
    distance = torch.as_tensor(scipy.spatial.cKDTree(orbit.numpy()).query(ends[1:].numpy())[0])
    shares = [
        (d.reshape(len(sizes), directions) <= tolerance * length).double().mean(1)
        for d in (distance, twin)
    ]
    return Returns(sizes, *shares)

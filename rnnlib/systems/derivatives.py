"""Derivatives of one step: Jacobians and the push-forward of tangent vectors."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rnnlib.systems.system import System


def push_forward(
    system: System, x: Tensor, tangents: Tensor, z: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Move a state and tangent vectors at it one step on.

    Args:
        system: the system, with batch axes or without.
        x: the state, shape ``(*batch, n_x)``.
        tangents: the vectors as columns, shape ``(*batch, n_x, k)``.
        z: the input, shape ``(*batch, n_z)``; by default the held one.

    Returns:
        ``f(x)`` of shape ``(*batch, n_x)`` and ``J(x) tangents`` of shape ``(*batch, n_x, k)``.
    """

    # The vectors become one more leading batch axis. That computes f(x) k times over, yet with the
    # overhead of torch.func.vmap and jvp a step of a small network takes three times as long.
    vectors = tangents.movedim(-1, 0)
    z = system._input(z)
    with forward_ad.dual_level():
        at = forward_ad.make_dual(x.expand(vectors.shape).clone(), vectors)
        theta = {name: _constant(parameter) for name, parameter in system.theta.items()}
        out = system.f(at, None if z is None else _constant(z), theta)  # (1a)
        following, moved = forward_ad.unpack_dual(out)
    if moved is None:  # the step does not depend on the state
        moved = torch.zeros_like(following)
    return following[0], moved.movedim(0, -1)


def _constant(value: Tensor) -> Tensor:
    """Return a dual number whose tangent is zero.

    A sum of a dual and a plain tensor takes torch some 120 microseconds of bookkeeping, a sum of
    two dual ones 3: with it a step of 40 units takes a half (LSTM) to a fifth (GRU) of the time.
    """
    return forward_ad.make_dual(value, torch.zeros_like(value))


def jacobian(system: System, x: Tensor, z: Tensor | None = None) -> Tensor:
    """Return the Jacobian ``A = df/dx`` of the transition, equation (1a).

    Args:
        system: the system, with batch axes or without.
        x: the states, shape ``(*batch, n_x)``.
        z: the input, shape ``(*batch, n_z)``; by default the held one.

    Returns:
        Shape ``(*batch, n_x, n_x)``; entry ``[..., i, j]`` is the derivative of component i of
        the next state with respect to component j of this one.
    """
    x = system.initial_state(x)
    identity = torch.eye(system.n_x, dtype=x.dtype, device=x.device)
    return push_forward(system, x, identity.expand(*x.shape, system.n_x), z)[1]

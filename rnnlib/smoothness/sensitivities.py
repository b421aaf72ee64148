"""Forward sensitivities: how states, outputs and cost move with the parameters (supplement A).

    D_{t+1} = A_t D_t + B_t,    J_t = C_t D_t + F_t        (S1)
    grad V  = 1/N sum_t J_t^T l'(y_t)                      (S2)

The orbit is simulated first. The derivatives of ``f`` and ``g`` at all its points are then one
batched call, and what is left of (S1) is a product of small matrices per step.

Indices: our read-out looks at the state just reached (`rnnlib.systems.system`), so output number k,
counted from 0, is ``g(x_{k+1}, z_k)`` and its sensitivity is ``C D_{k+1} + F`` with ``C`` and
``F`` taken at ``(x_{k+1}, z_k)``. With t = k + 1 these are the paper's ``y_1, ..., y_N``.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlib.dynamics import check_steps
from rnnlib.smoothness.cost import squared_error
from rnnlib.systems import System


class Sensitivities(NamedTuple):
    """States, outputs and their derivatives along an orbit, for N steps after the burn-in.

    The last axis (or the last two) runs over the p variables: the components of ``x0`` first, if
    they were asked for, then the parameters in the order of ``system.theta``, each flattened.

    Attributes:
        x: the states, shape ``(N, *batch, n_x)``.
        y: the outputs, shape ``(N, *batch, n_y)``.
        d: derivatives of the states, shape ``(N, *batch, n_x, p)``.
        j: derivatives of the outputs, shape ``(N, *batch, n_y, p)``.
        d2: second derivatives of the states, shape ``(N, *batch, n_x, p, p)``, or None.
        j2: second derivatives of the outputs, shape ``(N, *batch, n_y, p, p)``, or None.
    """

    x: Tensor
    y: Tensor
    d: Tensor
    j: Tensor
    d2: Tensor | None = None
    j2: Tensor | None = None


class CostDerivatives(NamedTuple):
    """The cost (2) of the first n steps and its derivatives, for every n = 1, ..., N.

    Attributes:
        value: shape ``(N, *batch)``.
        gradient: shape ``(N, *batch, p)``.
        hessian: shape ``(N, *batch, p, p)``, or None.
    """

    value: Tensor
    gradient: Tensor
    hessian: Tensor | None


@torch.no_grad()
def sensitivities(
    system: System,
    x0: Tensor,
    steps: int,
    *,
    burn_in: int = 0,
    inputs: Tensor | None = None,
    with_x0: bool = False,
    order: int = 1,
) -> Sensitivities:
    """Propagate the derivatives by the parameters forward along an orbit, equation (S1).

    Memory is that of all Jacobians (and Hessians) of ``f`` along the orbit, burn-in included.

    Args:
        system: the system, with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``.
        steps: N, how many steps to return.
        burn_in: how many steps to run before; derivatives are carried through them.
        inputs: shape ``(burn_in + steps, *batch, n_z)``; without it the held input is used.
        with_x0: whether to differentiate by the initial state too.
        order: 1, or 2 for second derivatives as well.

    Raises:
        ValueError: an order other than 1 or 2, nothing to differentiate by, fewer than one step,
            a negative burn-in, too few inputs.

    Reference:
        R. J. Williams, D. Zipser, "A learning algorithm for continually running fully recurrent
        neural networks", Neural Computation 1 (1989).

    Example:
        >>> import torch, rnnlib
        >>> a = torch.tensor([2.0])
        >>> scale = rnnlib.from_function(lambda x, theta: theta["a"] * x, 1, {"a": a})
        >>> found = rnnlib.sensitivities(scale, torch.ones(1), steps=3)
        >>> found.d.flatten()  # of a^t by a: t a^(t - 1)
        tensor([ 1.,  4., 12.])
    """
    if order not in (1, 2):
        raise ValueError(f"order is {order}; use 1 for gradients or 2 for Hessians.")
    if not system.theta and not with_x0:
        raise ValueError(
            f"{system.name} has no parameters to differentiate by; pass with_x0=True for the "
            f"derivatives by the initial state."
        )
    check_steps(steps, burn_in)
    total = burn_in + steps
    system.check_inputs(inputs, total, f"burn_in={burn_in} and steps={steps}")
    orbit = [system.initial_state(x0, None if inputs is None else inputs[0])]
    for t in range(total):
        orbit.append(system.step(orbit[-1], None if inputs is None else inputs[t]))  # (1a)
    x = torch.stack(orbit)  # x_0, ..., x_total
    z = system.z
    if inputs is not None:  # their batch axes, if any, are those of the state
        missing = [1] * (x.dim() - inputs.dim())
        z = inputs[:total].reshape(total, *missing, *inputs.shape[1:])
    theta = flatten_theta(system)
    n_x, p = system.n_x, theta.shape[-1] + (system.n_x if with_x0 else 0)

    def along(map_):
        # The product: torch 2.13 returns garbage for the second derivative of a bare view.
        return lambda x, theta: 1.0 * map_(x, z, unflatten_theta(system, theta))

    f, g = along(system.f), along(system.g)
    df = _derivative(f)(x[:-1], theta)  # [A_t B_t], shape (total, *batch, n_x, n_x + n_theta)
    dg = _derivative(g)(x[1:], theta)  # [C_t F_t]
    seed = x.new_zeros(*x.shape[1:-1], n_x + theta.shape[-1], p)  # derivatives of (x_t, theta)
    eye = torch.eye(p, dtype=x.dtype, device=x.device)
    seed[..., n_x:, :] = eye[p - theta.shape[-1] :]
    if with_x0:
        seed[..., :n_x, :] = eye[:n_x]
    moved = seed.expand(total + 1, *seed.shape).clone()
    for t in range(total):
        moved[t + 1, ..., :n_x, :] = df[t] @ moved[t]  # (S1): A_t D_t + B_t
    j = dg @ moved[1:]  # (S1): C_t D_t + F_t
    y, kept = g(x[1:], theta), slice(burn_in, None)
    d = moved[1:, ..., :n_x, :]
    if order == 1:
        return Sensitivities(x[1:][kept], y[kept], d[kept], j[kept])

    d2f, d2g = _derivative(_derivative(f))(x[:-1], theta), _derivative(_derivative(g))(x[1:], theta)
    bent = _pull_back(d2f, moved[:-1])
    d2 = x.new_zeros(total + 1, *x.shape[1:], p, p)
    for t in range(total):
        d2[t + 1] = torch.einsum("...ij,...jpq->...ipq", df[t][..., :n_x], d2[t]) + bent[t]
    j2 = torch.einsum("...ij,...jpq->...ipq", dg[..., :n_x], d2[1:]) + _pull_back(d2g, moved[1:])
    return Sensitivities(x[1:][kept], y[kept], d[kept], j[kept], d2[1:][kept], j2[kept])


def cost_derivatives(
    s: Sensitivities,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> CostDerivatives:
    """Return the cost (2), its gradient (S2) and its Hessian for every length up to N at once.

    The Hessian is ``1/N sum_t (J_t^T l''(y_t) J_t + sum_i l'_i(y_t) Hessian of y_{t,i})``.

    Args:
        s: from `sensitivities`.
        targets: shape ``(N, n_y)``.
        loss: from outputs ``(*batch, n_y)`` and one target ``(n_y,)`` to ``(*batch,)``.

    Raises:
        ValueError: as many targets as outputs are needed.
    """
    if targets.dim() != 2:
        raise ValueError(f"targets has shape {tuple(targets.shape)}; it must be (N, n_y).")
    if len(targets) != len(s.y):
        raise ValueError(
            f"targets has {len(targets)} steps and the sensitivities have {len(s.y)}; pass one "
            f"target for each step after the burn-in."
        )
    target = targets.reshape(len(targets), *[1] * (s.y.dim() - 2), -1)

    def slope(y, none):
        return torch.func.grad(lambda y: loss(y, target).sum())(y)

    none = s.y.new_zeros(0)

    mean = torch.arange(1, len(targets) + 1, dtype=s.y.dtype, device=s.y.device)

    def average(terms):
        return terms.cumsum(0) / mean.reshape(-1, *[1] * (terms.dim() - 1))

    first = slope(s.y, none)
    value = average(loss(s.y, target))  # (2)
    gradient = average(torch.einsum("...ip,...i->...p", s.j, first))  # (S2), transposed
    if s.j2 is None:
        return CostDerivatives(value, gradient, None)
    second = _derivative(slope)(s.y, none)
    hessian = torch.einsum("...ip,...ij,...jq->...pq", s.j, second, s.j)
    hessian = hessian + torch.einsum("...i,...ipq->...pq", first, s.j2)
    return CostDerivatives(value, gradient, average(hessian))


def flatten_theta(system: System) -> Tensor:
    """Return all parameters as one vector per batch element, shape ``(*batch, n_theta)``.

    A system without parameters has ``n_theta = 0``.
    """
    if not system.theta:
        return torch.zeros(0, dtype=torch.float64 if system.z is None else system.z.dtype)
    batch = torch.broadcast_shapes(
        *[p.shape[: p.dim() - system.core[name]] for name, p in system.theta.items()]
    )
    parts = []
    for name, p in system.theta.items():
        core = p.shape[p.dim() - system.core[name] :]
        parts.append(p.expand((*batch, *core)).reshape((*batch, math.prod(core))))
    return torch.cat(parts, dim=-1)


def unflatten_theta(system: System, vector: Tensor) -> dict[str, Tensor]:
    """Turn vectors as `flatten_theta` makes them back into named parameters.

    Args:
        system: the system, for the names and shapes.
        vector: shape ``(*batch, n_theta)``.

    Raises:
        ValueError: a vector of another length.
    """
    cores = {name: p.shape[p.dim() - system.core[name] :] for name, p in system.theta.items()}
    sizes = [math.prod(core) for core in cores.values()]
    if vector.shape[-1] != sum(sizes):
        raise ValueError(
            f"vector has {vector.shape[-1]} components; {system.name} has {sum(sizes)} parameters."
        )
    parts = vector.split(sizes, dim=-1) if sizes else ()
    return {
        name: part.reshape((*vector.shape[:-1], *core))
        for (name, core), part in zip(cores.items(), parts, strict=True)
    }


def _derivative(function):
    """From ``function(x, theta)`` to its derivative by ``(x, theta)``, on a new last axis."""

    def derivative(x, theta):
        basis = torch.eye(x.shape[-1] + theta.shape[-1], dtype=x.dtype, device=x.device)

        def along(v):
            tangents = v[: x.shape[-1]].expand_as(x), v[x.shape[-1] :].expand_as(theta)
            return torch.func.jvp(function, (x, theta), tangents)[1]

        return torch.func.vmap(along, out_dims=-1)(basis)

    return derivative


def _pull_back(second, moved):
    """Return the bilinear form ``second`` of shape (*batch, m, n, n) along the columns of moved."""
    return torch.einsum("...iab,...ap,...bq->...ipq", second, moved, moved)

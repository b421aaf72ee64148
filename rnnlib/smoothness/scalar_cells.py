"""Scalar systems for which all constants of theorem 1 are known in closed form."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlib.smoothness.theorem1 import Premises
from rnnlib.systems import System


@dataclass(frozen=True)
class Cell:
    """A scalar system on a box that it maps into itself, with the constants of theorem 1 there.

    Attributes:
        system: the system; its parameters are scalars, so any axes that they get are batch axes.
        low: the box's lower corner, first ``x0``, then the parameters, shape ``(1 + n_theta,)``.
        high: its upper corner.
        premises: the constants on the box.
        name: for legends.
        x0: the initial state, if it is given rather than free; derivatives are then by the
            parameters alone.
    """

    system: System
    low: Tensor
    high: Tensor
    premises: Premises
    name: str
    x0: float | None = None


def _cell(
    f, g, half_widths: dict[str, float], premises: Premises, name: str, x0: float | None = None
) -> Cell:
    names = [key for key in half_widths if key != "x"]
    zero = torch.tensor(0.0, dtype=torch.float64)
    system = System(f=f, g=g, n_x=1, theta=dict.fromkeys(names, zero), name=name)
    high = torch.tensor([half_widths[key] for key in ("x", *names)], dtype=torch.float64)
    return Cell(system, -high, high, premises._replace(radius=float(high.norm())), name, x0)


def tanh_cell(w: float, r: float = 1.0, v: float = 1.0) -> Cell:
    """One unit, ``x' = tanh(w x)``, read out as ``y = v x``, on a box of states and weights.

    With p = w x and ``sech(p)^2 <= 1 / (1 + p^2)``, the squared gradient of f is at most
    ``(w^2 + x^2) / (1 + w^2 x^2)^2``. That is at most 1 where ``|w|, |x| <= 1``, and falls with
    ``|x|`` where ``|w| >= 1``: there ``L_f = max |w|``, attained at x = 0. The Hessian is
    ``s' (w, x)(w, x)^T + s K`` with ``s = sech(p)^2``, ``|s'| <= 4 / (3 sqrt 3)`` and K the
    exchange matrix, of norm 1.

    Args:
        w: the largest recurrent weight.
        r: the largest state, at most 1.
        v: the largest read-out weight.

    Raises:
        ValueError: a box that the cell leaves, a state over 1, or an empty box.
    """
    if min(w, r, v) <= 0 or r > 1 or math.tanh(w * r) > r:
        raise ValueError(
            f"w={w}, r={r}, v={v}: the box must be mapped into itself, tanh(w r) <= r <= 1, and "
            f"have positive sides; r=1 serves for every w."
        )

    def f(x, z, theta):
        return torch.tanh(theta["w"][..., None] * x)

    def g(x, z, theta):
        return theta["v"][..., None] * x

    size = w * w + r * r
    premises = Premises(
        l_f=w if w >= 1 else min(1.0, math.sqrt(size)),
        l_x=w,
        l_theta=r,
        l_g=math.hypot(v, r),
        dl_f=1 + 4 / (3 * math.sqrt(3)) * size,
        dl_g=1.0,
        m=v * r,
        radius=0.0,
    )
    return _cell(f, g, {"x": r, "w": w, "v": v}, premises, f"tanh cell, |w| <= {w:g}")


def biased_tanh_cell(w: float, b: float = 0.1) -> Cell:
    """One unit with a bias, ``x' = tanh(w x + b)``, read out as ``y = x``, from ``x_0 = 0``.

    It attains the rates of `rnnlib.smoothness.theorem1.sharp` by the parameters alone. At
    ``(w, 0)`` the orbit stays at 0, where the second derivatives of tanh vanish, and
    ``dx_t/db = (w^t - 1) / (w - 1)``. With targets 1 and squared error, then,
    ``dV/db = -2/N sum_t dx_t/db`` and ``d2V/db2 = 2/N sum_t (dx_t/db)^2``.

    The gradient of f by ``(x, w, b)`` is ``s (w, x, 1)`` with ``s = sech(p)^2 <= 1``, its Hessian
    ``s' u u^T + s K`` with ``u = (w, x, 1)``, ``|s'| <= 4 / (3 sqrt 3)`` and K of norm 1.

    Args:
        w: the largest recurrent weight.
        b: the largest bias.

    Raises:
        ValueError: an empty box.
    """
    if min(w, b) <= 0:
        raise ValueError(f"w={w}, b={b}: both must be positive.")

    def f(x, z, theta):
        return torch.tanh(theta["w"][..., None] * x + theta["b"][..., None])

    size = w * w + 2
    premises = Premises(
        l_f=math.sqrt(size),
        l_x=w,
        l_theta=math.sqrt(2),
        l_g=1.0,
        dl_f=1 + 4 / (3 * math.sqrt(3)) * size,
        dl_g=0.0,
        m=1.0,
        radius=0.0,
    )
    name = f"tanh cell with a bias, |w| <= {w:g}"
    return _cell(f, lambda x, z, theta: x, {"x": 1.0, "w": w, "b": b}, premises, name, x0=0.0)


def linear_cell(a: float, r: float, gain: float = 1.0) -> Cell:
    """``x' = theta x``, read out as ``y = gain x``, with ``|x| <= r``, ``|theta| <= a``.

    The gradient of f is (theta, x), so L_f = sqrt(a^2 + r^2) and L'_f = 1, both attained.

    Raises:
        ValueError: ``a`` over 1, with which the orbits leave the box, or an empty box.
    """
    if not 0 < a <= 1 or r <= 0 or gain <= 0:
        raise ValueError(
            f"a={a}, r={r}, gain={gain}: all must be positive, and a at most 1 to stay in the box."
        )
    premises = Premises(math.hypot(a, r), a, r, gain, 1.0, 0.0, gain * r, 0.0)
    return _cell(
        lambda x, z, theta: theta["theta"][..., None] * x,
        lambda x, z, theta: gain * x,
        {"x": r, "theta": a},
        premises,
        f"linear cell, |theta| <= {a:g}, |x| <= {r:g}",
    )


def affine_cell(a: float, b: float, r: float = 1.0) -> Cell:
    """``x' = a x + b theta``, read out as ``y = x``, with ``|x| <= r`` and ``|theta| <= 1``.

    It is linear in (x, theta): L_f = sqrt(a^2 + b^2), and both Jacobians are constant.

    Raises:
        ValueError: a box that the cell leaves, or an empty one.
    """
    if r <= 0 or abs(a) * r + abs(b) > r:
        raise ValueError(f"a={a}, b={b}, r={r}: |a| r + |b| must be at most r, or orbits leave.")
    premises = Premises(math.hypot(a, b), abs(a), abs(b), 1.0, 0.0, 0.0, r, 0.0)
    return _cell(
        lambda x, z, theta: a * x + b * theta["theta"][..., None],
        lambda x, z, theta: x,
        {"x": r, "theta": 1.0},
        premises,
        f"affine cell, a = {a:g}, b = {b:g}",
    )

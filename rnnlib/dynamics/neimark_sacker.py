"""The birth of an oscillation: a complex pair leaves the unit circle, and the normal form there.

On the plane of the pair, in a complex coordinate ``w``, a map near the bifurcation is::

    w' = exp(i angle) w (1 + growth + d |w|^2) + ...

With ``a = Re d < 0`` a circle of radius ``sqrt(-growth / a)`` is born, and attracts. All in
float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from rnnlib.dynamics.fixed_points import fixed_points
from rnnlib.systems import System, jacobian

ITERATIONS = 40  # of Newton's method: what has not converged by then does not
NEUTRAL = 1e-5  # a modulus as near to 1 as this is 1: that of a float32 orthogonal matrix


class Crossing(NamedTuple):
    """Where a complex pair of multipliers meets the unit circle.

    Attributes:
        at: the value of the parameter.
        point: the fixed point there, shape ``(n_x,)``.
        multiplier: the one of the pair with positive angle.
        coefficient: a, the first Lyapunov coefficient for a vector of length 1; below 0 the
            bifurcation is supercritical.
        amplitude: of the first output, per unit of ``|w|``.
    """

    at: float
    point: Tensor
    multiplier: complex
    coefficient: float
    amplitude: float

    @property
    def angle(self) -> float:
        """Radians per step at which the oscillation is born."""
        return float(np.angle(self.multiplier))

    @property
    def resonance(self) -> float:
        """The least ``|exp(i q angle) - 1|`` over q = 1, 2, 3, 4: 0 at a strong resonance."""
        return min(abs(np.exp(1j * q * self.angle) - 1) for q in (1, 2, 3, 4))

    def predict(self, growth: Tensor) -> Tensor:
        """Return the amplitude of the output where ``|multiplier| = 1 + growth``.

        It is 0 on the side without a circle.
        """
        return self.amplitude * (-growth / self.coefficient).clamp(min=0).sqrt()


def segment(first: System, last: System) -> Callable[[Tensor | float], System]:
    """Return the family that leads from one network at 0 to another at 1 on a straight line.

    It takes a number, or a tensor of shape ``(*batch,)`` for a batch of networks.
    """

    def family(t: Tensor | float) -> System:
        t, theta = torch.as_tensor(t, dtype=torch.float64), {}
        for name, p in first.theta.items():
            weight = t.reshape(*t.shape, *[1] * first.core[name])
            theta[name] = torch.lerp(p, last.theta[name], weight)
        return first.at(theta)

    return family


def multiplier(system: System, x: Tensor) -> tuple[Tensor, complex]:
    """Return the fixed point that Newton's method reaches, and its leading multiplier.

    Args:
        system: one autonomous system (or with its input held).
        x: the start, shape ``(n_x,)``.

    Returns:
        The point and the multiplier of largest modulus, with angle from 0 to pi; both are NaN
        where Newton's method fails.
    """
    found = fixed_points(system, x.unsqueeze(0), max_iterations=ITERATIONS)
    if len(found.points) == 0:
        return torch.full_like(x, torch.nan), complex("nan")
    leading = complex(found.eigenvalues[0, 0])
    return found.points[0], complex(leading.real, abs(leading.imag))


def find_crossing(family: Callable[[float], System], start: Tensor) -> Crossing | None:
    """Find where between 0 and 1 the leading multiplier's modulus passes 1, and the normal form.

    Args:
        family: from the parameter to an autonomous system (or with its input held).
        start: near the fixed point at 0, shape ``(n_x,)``.

    Returns:
        The crossing, or None where the modulus is on the same side of 1 at both ends or is 1 at
        an end, the branch of fixed points is lost on the way, or what crosses is real.
    """
    known = {0.0: start}

    def at_parameter(t: float) -> tuple[Tensor, complex]:
        nearest = min(known, key=lambda s: abs(s - t))  # asked again, the answer is the same
        x, leading = multiplier(family(t), known[nearest])
        if np.isnan(leading):
            raise _Lost
        known[t] = x
        return x, leading

    def growth(t: float) -> float:
        return abs(at_parameter(t)[1]) - 1

    try:
        ends = growth(0.0), growth(1.0)
        if ends[0] * ends[1] > 0 or min(map(abs, ends)) < NEUTRAL:
            return None
        at = scipy.optimize.brentq(growth, 0.0, 1.0, xtol=1e-11)
        x, leading = at_parameter(at)
    except _Lost:
        return None
    if not abs(abs(leading) - 1) < 1e-6 or leading.imag < 1e-6:
        return None
    return Crossing(at, x, leading, *normal_form(family(at), x))


class _Lost(Exception):
    """Newton's method found no fixed point."""


def growths(family: Callable, crossing: Crossing, values: Tensor) -> Tensor:
    """Return the leading multiplier's modulus less 1 along a family, near a crossing.

    Args:
        family: from the parameter to a system, as in `find_crossing`.
        crossing: from `find_crossing`.
        values: of the parameter, shape ``(V,)``, ordered away from the crossing.

    Returns:
        Shape ``(V,)``; NaN where the fixed point is lost.
    """
    point, found = crossing.point, []
    for value in values.tolist():
        point, leading = multiplier(family(value), point)
        found.append(abs(leading) - 1)
    return torch.tensor(found, dtype=torch.float64)


@torch.no_grad()
def normal_form(system: System, x: Tensor) -> tuple[float, float]:
    """Return the first Lyapunov coefficient at a fixed point, and the output's share.

    Args:
        system: one autonomous system (or with its input held), three times differentiable.
        x: a fixed point whose leading multipliers are a complex pair on the unit circle.

    Returns:
        ``a`` for the eigenvector of length 1, and the amplitude of the first output for
        ``|w| = 1``.

    Reference:
        Yu. A. Kuznetsov, "Elements of applied bifurcation theory" (3rd ed., 2004), section 5.4.
    """
    matrix = jacobian(system, x).numpy()
    values, left, right = scipy.linalg.eig(matrix, left=True)
    leading = np.lexsort((-values.imag, -np.abs(values).round(9)))[0]
    turn = values[leading] / abs(values[leading])
    q = right[:, leading] / np.linalg.norm(right[:, leading])
    p = left[:, leading] / np.conj(np.vdot(left[:, leading], q))
    eye = np.eye(len(matrix))

    def second(u, v):
        return _multilinear(system, x, u, v)

    steady = np.linalg.solve(eye - matrix, second(q, q.conj()))
    double = np.linalg.solve(turn**2 * eye - matrix, second(q, q))
    cubic = (
        _multilinear(system, x, q, q, q.conj()) + 2 * second(q, steady) + second(q.conj(), double)
    )
    a = 0.5 * (np.vdot(p, cubic) / turn).real
    seen = [_directional(system.read, x, [torch.tensor(part)])[0] for part in (q.real, q.imag)]
    return float(a), 2 * math.hypot(*seen)


def _multilinear(system: System, x: Tensor, *vectors: np.ndarray) -> np.ndarray:
    """Return the second or third derivative of the step along complex vectors."""
    real = [(torch.tensor(np.real(v)), torch.tensor(np.imag(v))) for v in vectors]
    total = np.zeros(system.n_x, dtype=complex)
    for parts in np.ndindex(*[2] * len(vectors)):  # multilinear: real and imaginary parts apart
        chosen = [pair[part] for pair, part in zip(real, parts, strict=True)]
        total = total + 1j ** sum(parts) * _directional(system.step, x, chosen).numpy()
    return total


def _directional(f, x: Tensor, vectors: list[Tensor]) -> Tensor:
    """Return the derivative of ``f`` along each vector in turn."""
    if not vectors:
        return f(x)
    *others, v = vectors
    return torch.func.jvp(lambda y: _directional(f, y, others), (x,), (v,))[1]

"""Theorem 1: the Lipschitz constants of the cost and of its gradient, as explicit numbers.

Three versions of the bound, each for all lengths up to N:

- `printed`: the constants of supplements B.3 and B.4, letter by letter.
- `mended`: the same proof with its slips repaired (which makes it valid), and no other change.
- `sharp`: a shorter proof with one recursion in place of the sums, which grows more slowly.

`rnnlib.smoothness.scalar_cells` has systems for which all that the theorem asks for is known.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlib.smoothness.cost import squared_error


class Loss(NamedTuple):
    """A loss with the constants of lemma 2, for the Euclidean norm::

        |l(y) - l(z)| <= (k0 + k1 |target| + k2 max(|y|, |z|)) |y - z|
        l'(y) = Psi(y) - k3 target

    where Psi is Lipschitz with constant k4. The paper has no ``k0`` and no ``psi0``; cross entropy
    has neither at zero.

    Attributes:
        function: from outputs ``(*batch, n_y)`` and a target ``(n_y,)`` to ``(*batch,)``.
        psi0: the norm of Psi(0).
        psi_max: a bound on the norm of Psi everywhere.
        name: for legends.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    k0: float
    k1: float
    k2: float
    k3: float
    k4: float
    psi0: float
    psi_max: float
    name: str

    def psi(self, m: float | np.ndarray) -> Any:
        """Return a bound on the norm of Psi(y) over ``|y| <= m``."""
        return np.minimum(self.psi0 + self.k4 * m, self.psi_max)

    def slope(self, l_y: float, m: float | np.ndarray) -> Any:
        """Return a bound on the loss's Lipschitz constant over ``|y| <= m``, lemma 2 property 1."""
        return self.k0 + self.k1 * l_y + self.k2 * m


def cross_entropy(y: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of ``sigmoid(y)``, summed over the outputs, theorem 1's second loss.

    Args:
        y: shape ``(*batch, n_y)``.
        target: zeros and ones, of a shape that broadcasts against ``y``.

    Returns:
        Shape ``(*batch,)``.
    """
    return (torch.nn.functional.softplus(y) - target * y).sum(-1)


def squared_loss() -> Loss:
    """Return theorem 1's loss (a): Psi(y) = 2 y."""
    return Loss(squared_error, 0, 2, 2, 2, 2, 0, math.inf, "squared error")


def cross_entropy_loss(n_y: int = 1) -> Loss:
    """Return theorem 1's loss (b): Psi(y) = sigmoid(y), so that Psi(0) is not 0.

    Args:
        n_y: the number of outputs.
    """
    root = math.sqrt(n_y)
    return Loss(cross_entropy, root, 0, 0, 1, 0.25, root / 2, root, "cross entropy")  # (S8)


class Premises(NamedTuple):
    """What theorem 1 asks for on the set Omega, with respect to ``(x, theta)`` jointly.

    The two constants of ``f`` in ``x`` and in ``theta`` alone are not in the theorem; `sharp`
    uses them.

    Attributes:
        l_f: a Lipschitz constant of ``f``.
        l_x: one of ``f`` in ``x`` alone, which is what makes a system contractive.
        l_theta: one of ``f`` in ``theta`` alone.
        l_g: a Lipschitz constant of ``g``.
        dl_f: a Lipschitz constant of the Jacobian of ``f``, the paper's L'_f.
        dl_g: a Lipschitz constant of the Jacobian of ``g``, the paper's L'_g.
        m: the largest norm of ``g`` over Omega.
        radius: the largest norm of ``(x, theta)`` over Omega.
        l_y: the largest norm of a target.
    """

    l_f: float
    l_x: float
    l_theta: float
    l_g: float
    dl_f: float
    dl_g: float
    m: float
    radius: float
    l_y: float = 1.0


class Bounds(NamedTuple):
    """Bounds on the Lipschitz constants of V and of its gradient for N = 1, 2, ..., n.

    Attributes:
        l_v: shape ``(n,)``, equation (6).
        dl_v: shape ``(n,)``, equation (7).
    """

    l_v: np.ndarray
    dl_v: np.ndarray


def spread(l_f: float, t: np.ndarray | int) -> np.ndarray:
    """Return S(t), equation (S11): how far two orbits are apart after t steps, at most.

    Args:
        l_f: the joint Lipschitz constant, not negative.
        t: numbers of steps, not negative.

    Raises:
        ValueError: a negative or non-finite constant, a negative time.
    """
    t = np.asarray(t, dtype=float)
    if not 0 <= l_f < math.inf:
        raise ValueError(f"l_f is {l_f}; a Lipschitz constant is finite and not negative.")
    if (t < 0).any():
        raise ValueError(f"t has the value {t.min():g}; the spread is defined from 0 steps on.")
    # expm1 and log keep the quotient exact as l_f -> 1, where its limit is t + 1.
    rate = 2 * math.log(l_f) if l_f > 0 else -math.inf
    if rate == 0:
        return np.sqrt(t + 1)
    with np.errstate(over="ignore"):  # an infinite bound is still a bound
        return np.sqrt(np.expm1((t + 1) * rate) / np.expm1(rate))


def printed(p: Premises, loss: Loss, n: int) -> Bounds:
    """Return the constants of B.3 and B.4 as they are printed, for N = 1..n; they are no bounds.

    M(t) is that of the paper's footnote 4, ``L_g S(t) |(x_0, theta)|``, which needs f(0; 0) = 0 and
    g(0; 0) = 0. For cross entropy lemma 2 has no constants; the closest reading of (S8),
    K1 = sqrt(n_y) and K2 = 0, is used.
    """
    _check(n)
    t = np.arange(1, n + 1)
    s = spread(p.l_f, np.arange(n + 1))
    m = p.l_g * s * p.radius
    k1 = loss.k1 + loss.k0
    l_v = _mean(p.l_g * (k1 * p.l_y + loss.k2 * m[1:]) * s[1:])  # after (S12)
    terms = []
    for now in t:
        ell = np.arange(1, now + 1)
        sums = np.cumsum(s[1 : now + 1][::-1])[::-1]  # of S(j) over j = ell..t
        power = p.l_f ** (now - ell)
        big_t = loss.k4 * (p.dl_g * m[now] + p.dl_g)  # L'_g twice: the second should be L_g^2
        big_p = power * (p.l_g * p.dl_f * sums + p.l_f * p.dl_g * s[now])
        big_q = power * (loss.k4 * m[now] * p.l_g * p.dl_f * sums + p.l_f * big_t * s[now])
        l_j = big_p.sum() + p.dl_g * s[now]
        l_jy = big_q.sum() + big_t * s[now]
        terms.append(loss.k3 * p.l_y * l_j + l_jy)
    return Bounds(l_v, _mean(np.array(terms)))


def mended(p: Premises, loss: Loss, n: int, *, confined: bool = False) -> Bounds:
    """Return the constants of the paper's proof with its slips repaired, for N = 1..n.

    They bound the derivatives by ``theta`` and by ``x0`` together. The repairs: T(t) has L_g^2;
    Psi(0) and k0 are there; the indices are those of (S1); the term of ``x0`` is added to (S14).

    Args:
        p: the constants of the system on its set.
        loss: the loss.
        n: the largest length.
        confined: False takes M(t) = L_g S(t) radius, with which the rates are those of (6) and
            (7); True takes ``M = max |g|`` over the compact set, which the premises give for free.

    Raises:
        ValueError: a length under 1.
    """
    _check(n)
    s = spread(p.l_f, np.arange(n + 1))
    m = np.full(n + 1, p.m) if confined else p.l_g * s * p.radius
    l_v = _mean(p.l_g * loss.slope(p.l_y, m[1:]) * s[1:])  # (6)
    terms = []
    for now in range(1, n + 1):
        psi = loss.psi(m[now])
        big_t = psi * p.dl_g + loss.k4 * p.l_g**2
        # (S14): C A_{t-1} ... A_{l+1} B_l for l = t-1, ..., 0, then C A_{t-1} ... A_0 for x0.
        sums = np.cumsum(s[:now][::-1])  # of S(j) over j = l..t-1
        power = p.l_f ** np.arange(now)
        sums, power = np.append(sums, sums[-1]), np.append(power, p.l_f ** (now - 1))
        big_p = power * (p.l_g * p.dl_f * sums + p.l_f * p.dl_g * s[now])
        big_q = power * (psi * p.l_g * p.dl_f * sums + p.l_f * big_t * s[now])
        l_j = big_p.sum() + p.dl_g * s[now]
        l_jy = big_q.sum() + big_t * s[now]
        terms.append(loss.k3 * p.l_y * l_j + l_jy)
    return Bounds(l_v, _mean(np.array(terms)))  # (7)


def sharp(p: Premises, loss: Loss, n: int) -> Bounds:
    """Return the constants of the short proof, for N = 1..n; they bound all derivatives jointly.

    With ``|l'| <= lambda`` on Omega, r_t from `reach`, and delta_t a Lipschitz constant of the
    derivative of x_t::

        delta_{t+1} = L_x delta_t + L'_f r_t^2,    delta_0 = 0,
        L_V  = lambda L_g / N sum_t r_t,
        L'_V = 1/N sum_t (lambda (L_g delta_t + L'_g r_t^2) + k4 L_g^2 r_t^2).

    They grow as L_x^N / N and L_x^{2N} / N for L_x > 1, as N and N^3 for L_x = 1 (as sqrt(N) and
    N^2 if L_f = 1 too), and stay bounded for L_x < 1, whatever L_f.

    Raises:
        ValueError: a length under 1.
    """
    _check(n)
    r = reach(p, n)
    delta = np.zeros(n + 1)
    for t in range(n):
        delta[t + 1] = p.l_x * delta[t] + p.dl_f * r[t] ** 2
    steepest = min(loss.slope(p.l_y, p.m), loss.psi(p.m) + loss.k3 * p.l_y)
    bend = p.l_g * delta + p.dl_g * r**2
    return Bounds(
        _mean(steepest * p.l_g * r[1:]),
        _mean(steepest * bend[1:] + loss.k4 * (p.l_g * r[1:]) ** 2),
    )


def reach(p: Premises, n: int) -> np.ndarray:
    """Return r_t for t = 0..n: how far ``(x_t, theta)`` moves per unit of ``(x0, theta)``.

    It is the smaller of S(t), from the joint constant, and of what the separate ones give::

        |dx_t| <= L_x^t |dx_0| + L_theta (1 + L_x + ... + L_x^{t-1}) |dtheta|
    """
    powers = p.l_x ** np.arange(n + 1.0)
    sums = np.append(0.0, np.cumsum(powers[:-1]))
    return np.minimum(
        spread(p.l_f, np.arange(n + 1)), np.sqrt(1 + powers**2 + (p.l_theta * sums) ** 2)
    )


def _mean(terms: np.ndarray) -> np.ndarray:
    return np.cumsum(terms) / np.arange(1, len(terms) + 1)


def _check(n: int) -> None:
    if n < 1:
        raise ValueError(f"n is {n}; the cost needs a length of 1 or more.")

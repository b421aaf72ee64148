"""Elman cells of one and two units whose fixed points and bifurcations are known in closed form.

The three generic ways in which an eigenvalue leaves the unit circle (fold through 1, flip through
-1, Neimark-Sacker as a pair), and the pitchfork that symmetry makes of the first, each produced by
``x' = tanh(W x + b)``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlib.nn import batch_innermost, cells
from rnnlib.systems.system import System, check_finite


def elman(
    weight: Tensor,
    bias: Tensor | None = None,
    input_weight: Tensor | None = None,
    name: str = "Elman cell",
) -> System:
    """The Elman network ``x' = tanh(W x + b + W_in z)``.

    Args:
        weight: ``W``, shape ``(*batch, n, n)``.
        bias: ``b``, shape ``(*batch, n)``; by default none.
        input_weight: ``W_in``, shape ``(*batch, n, n_z)``; by default there is no input.
        name: what figures and messages call it.

    Raises:
        ValueError: a matrix that is not square, sizes that disagree, a value not finite.
    """
    n = weight.shape[-1] if weight.dim() >= 2 else 0
    if n == 0 or weight.shape[-2] != n:
        raise ValueError(f"weight has shape {tuple(weight.shape)}; it must be (*batch, n, n).")
    theta, core = {"weight_hh_l0": weight}, {"weight_hh_l0": 2}
    if bias is not None:
        theta["bias_hh_l0"], core["bias_hh_l0"] = bias, 1
    if input_weight is not None:
        theta["weight_ih_l0"], core["weight_ih_l0"] = input_weight, 2
    for key, value in theta.items():
        rows = value.shape[value.dim() - core[key]] if value.dim() >= core[key] else 0
        if rows != n:
            raise ValueError(
                f"{key} has shape {tuple(value.shape)}; with n={n} units it needs {n} rows."
            )
        check_finite(key, value)
    return System(
        f=cells.stack_of(cells.elman_layer, 1, n),
        n_x=n,
        theta={key: batch_innermost(value, core[key]) for key, value in theta.items()},
        core=core,
        n_z=0 if input_weight is None else input_weight.shape[-1],
        name=name,
        derivative="forward",
    )


def elman_with_fixed_point(point: Tensor, weight: Tensor) -> System:
    """The Elman network of a given ``W`` that has a given fixed point: ``b = atanh(x*) - W x*``.

    Its Jacobian there is ``diag(1 - x*^2) W``.

    Args:
        point: ``x*``, shape ``(n,)``, inside ``(-1, 1)``.
        weight: ``W``, shape ``(n, n)``.

    Raises:
        ValueError: a component of the point outside ``(-1, 1)``.
    """
    if not (point.abs() < 1).all():
        raise ValueError(f"point is {point.tolist()}; tanh reaches only values inside (-1, 1).")
    return elman(weight, torch.atanh(point) - weight @ point)


def one_unit(gain: Tensor | float, bias: Tensor | float = 0.0) -> System:
    """The one-unit cell ``x' = tanh(w x + b)`` with an input that adds to the bias.

    Args:
        gain: ``w``, a number or shape ``(*batch,)``.
        bias: ``b``, a number or shape ``(*batch,)``.
    """
    gain, bias = (
        v.to(torch.float64) if torch.is_tensor(v) else torch.tensor(v, dtype=torch.float64)
        for v in (gain, bias)
    )
    return elman(gain[..., None, None], bias[..., None], name="one-unit cell")


def rotation(angle: float) -> Tensor:
    """Return the rotation matrix of the plane, shape ``(2, 2)``, float64."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def fold_bias(gain: float) -> float:
    """Return the bias ``b > 0`` at which ``x' = tanh(w x + b)`` loses two fixed points, ``w > 1``.

    There ``x = tanh(w x + b)`` and ``w (1 - x^2) = 1``, so ``x = -sqrt(1 - 1/w)`` and
    ``b = atanh(x) - w x``. By symmetry the other fold is at ``-b``.

    Raises:
        ValueError: a gain of at most 1, for which the cell is one-to-one with slope under 1.
    """
    if gain <= 1:
        raise ValueError(f"gain is {gain}; the cell has folds only for gain > 1.")
    x = -math.sqrt(1 - 1 / gain)
    return math.atanh(x) - gain * x


@dataclass(frozen=True)
class Bifurcation:
    """A local bifurcation of a fixed point, with the cell that shows it.

    Attributes:
        name: the field's name.
        equation: the cell, in LaTeX.
        symbol: of the parameter, in LaTeX.
        family: from the parameter, shape ``(*batch,)``, to the system there.
        at: the parameter's value at the bifurcation, in closed form.
        eigenvalue: the eigenvalue with which the unit circle is met there (the one with positive
            imaginary part, of a pair).
        shown: the interval of the parameter that figures show.
        n_x: the dimension of the state.
    """

    name: str
    equation: str
    symbol: str
    family: Callable[[Tensor], System]
    at: float
    eigenvalue: complex
    shown: tuple[float, float]
    n_x: int = 1


GAIN, ANGLE = 2.0, 1.0  # one radian is away from the strong resonances, 1:1 to 1:4

FOLD = Bifurcation(
    "fold (saddle-node)",
    r"$x' = \tanh(2x + b)$",
    "$b$",
    lambda b: one_unit(torch.full_like(b, GAIN), b),
    at=fold_bias(GAIN),
    eigenvalue=1.0,
    shown=(-1.0, 1.0),
)
PITCHFORK = Bifurcation(
    "pitchfork",
    r"$x' = \tanh(wx)$",
    "$w$",
    one_unit,
    at=1.0,
    eigenvalue=1.0,
    shown=(0.5, 2.0),
)
FLIP = Bifurcation(
    "flip (period doubling)",
    r"$x' = \tanh(-gx)$",
    "$g$",
    lambda g: one_unit(-g),
    at=1.0,
    eigenvalue=-1.0,
    shown=(0.5, 2.0),
)
NEIMARK_SACKER = Bifurcation(
    "Neimark-Sacker",
    r"$x' = \tanh(\rho R_\omega x)$",
    r"$\rho$",
    lambda rho: elman(rho[..., None, None] * rotation(ANGLE), name="rotating cell"),
    at=1.0,
    eigenvalue=complex(math.cos(ANGLE), math.sin(ANGLE)),
    shown=(0.7, 1.6),
    n_x=2,
)
BIFURCATIONS = (FOLD, PITCHFORK, FLIP, NEIMARK_SACKER)

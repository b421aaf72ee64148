"""Plain maps with known answers."""

import torch
from torch import Tensor

from rnnlib.systems.system import System, check_finite
from rnnlib.systems.wrapped_steps import from_function


def logistic(r: Tensor | float) -> System:
    """The logistic map ``x -> r x (1 - x)``; at ``r = 4`` its Lyapunov exponent is ``ln 2``.

    Args:
        r: the growth rate, a number or a tensor of shape ``(*batch,)``.

    Reference:
        R. M. May, "Simple mathematical models with very complicated dynamics", Nature 261 (1976).

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.logistic(2.0).step(torch.tensor([0.25]).double())
        tensor([0.3750], dtype=torch.float64)
    """
    return from_function(
        lambda x, theta: theta["r"][..., None] * x * (1 - x),
        1,
        {"r": r},
        name="logistic map",
        derivative="forward",
    )


def henon(a: Tensor | float = 1.4, b: Tensor | float = 0.3) -> System:
    """The Henon map ``(x, y) -> (1 - a x^2 + y, b x)``, whose exponents sum to ``ln |b|``.

    Args:
        a: a number or a tensor of shape ``(*batch,)``.
        b: a number or a tensor of shape ``(*batch,)``.

    Reference:
        M. Henon, "A two-dimensional mapping with a strange attractor", Communications in
        Mathematical Physics 50 (1976). Exponents 0.4193 and -1.6233 at (1.4, 0.3).

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.henon().step(torch.zeros(2).double())
        tensor([1., 0.], dtype=torch.float64)
    """

    def f(state, theta):
        x, y = state.unbind(-1)
        return torch.stack([1 - theta["a"] * x**2 + y, theta["b"] * x], dim=-1)

    return from_function(f, 2, {"a": a, "b": b}, name="Henon map", derivative="forward")


def linear(matrix: Tensor) -> System:
    """The linear map ``x -> matrix x``.

    Args:
        matrix: shape ``(*batch, n, n)``.

    Raises:
        ValueError: the matrix is not square, or not finite.

    Example:
        >>> import torch, rnnlib
        >>> turn = rnnlib.linear(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
        >>> turn.step(torch.tensor([1.0, 0.0]))
        tensor([0., 1.])
    """
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(
            f"matrix has shape {tuple(matrix.shape)}; a linear map needs (*batch, n, n)."
        )
    check_finite("matrix", matrix)
    return System(
        f=lambda x, z, theta: (theta["matrix"] @ x.unsqueeze(-1)).squeeze(-1),
        n_x=matrix.shape[-1],
        theta={"matrix": matrix},
        core={"matrix": 2},
        name="linear map",
        derivative="forward",
    )

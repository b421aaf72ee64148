"""The coefficient that decides what a bifurcation of a one-dimensional map looks like."""

import torch
from torch import Tensor

from rnnlib.systems import System


def normal_form_coefficient(system: System, x: Tensor, kind: str) -> float:
    """Return the coefficient of the normal form at a fixed point where its multiplier is +1 or -1.

    With ``y`` the distance from the fixed point and ``eps`` that of the parameter, one step is:

    - ``"fold"``: ``y + eps + a y^2``; the two fixed points lie where ``eps`` and ``a`` have
      opposite signs.
    - ``"transcritical"``: ``y + eps y + a y^2``; the other fixed point is at ``-eps / a``.
    - ``"pitchfork"``: ``y + eps y + a y^3``; for ``a < 0`` the new points are stable, at
      ``sqrt(eps / -a)``, and the bifurcation is supercritical.
    - ``"flip"``: ``-y - eps y + a y^3`` after a change of coordinates that removes ``y^2``; for
      ``a > 0`` the cycle of period 2 is stable.

    Args:
        system: one state, no input or a held one.
        x: the fixed point, shape ``(1,)``, float64.
        kind: one of the four names.

    Raises:
        ValueError: more than one state, a kind that is none of these, or a multiplier that is not
            the kind's.

    Reference:
        Kuznetsov, "Elements of applied bifurcation theory", chapters 4 and 9.
    """
    expected = {"fold": 1.0, "transcritical": 1.0, "pitchfork": 1.0, "flip": -1.0}
    if kind not in expected:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(expected)}.")
    if system.n_x != 1:
        raise ValueError(
            f"{system.name} has {system.n_x} states; these are the normal forms of a map of one."
        )
    derivatives, along = [], lambda x: system.step(x[None])[0]
    for _ in range(3):
        along = torch.func.grad(along)
        derivatives.append(float(along(x.reshape(()))))
    first, second, third = derivatives
    if abs(first - expected[kind]) > 1e-6:
        raise ValueError(
            f"the multiplier at x = {float(x):g} is {first:g}; at a {kind} it must be "
            f"{expected[kind]:g}."
        )
    if kind in ("fold", "transcritical"):
        return second / 2
    return third / 6 if kind == "pitchfork" else (second / 2) ** 2 + third / 6

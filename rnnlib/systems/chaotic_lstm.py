"""The chaotic LSTM of section 4.1 and supplement C: two units, no bias, no input.

The weights printed in the paper have lost two minus signs. `WEIGHTS` holds those that reproduce
the paper's figure 1, `PRINTED_WEIGHTS` the printed ones, for comparison.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rnnlib.systems.adapters import lstm
from rnnlib.systems.system import System

_GATES = "ifgo"  # torch's order

WEIGHTS = {
    "i": [[-1.0, -4.0], [-3.0, -2.0]],
    "f": [[-2.0, 6.0], [0.0, -6.0]],
    "g": [[-1.0, -6.0], [6.0, -9.0]],
    "o": [[4.0, 1.0], [-9.0, -7.0]],
}
PRINTED_WEIGHTS = {
    **WEIGHTS,
    "i": [[-1.0, 4.0], [-3.0, -2.0]],
    "o": [[4.0, 1.0], [-9.0, 7.0]],
}


def stack_gates(weights: dict[str, list]) -> Tensor:
    """Stack the gate matrices ``W_hi, W_hf, W_hg, W_ho`` into torch's ``weight_hh_l0``.

    Returns:
        Shape ``(8, 2)``, float64.
    """
    return torch.cat([torch.tensor(weights[gate], dtype=torch.float64) for gate in _GATES])


THETA_TRUE = stack_gates(WEIGHTS)
THETA_PRINTED = stack_gates(PRINTED_WEIGHTS)
X0 = torch.full((4,), 0.5, dtype=torch.float64)  # h_0 = c_0 = (0.5, 0.5)


def theta_random(seed: int = 0) -> Tensor:
    """Return the second direction of supplementary figure 1, uniform in [0, 1).

    Returns:
        Shape ``(8, 2)``, float64.
    """
    return torch.rand(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def chaotic_lstm(theta: Tensor = THETA_TRUE) -> System:
    """Return the two-unit LSTM, equations (S17) and (S18), that shows ``h``.

    Args:
        theta: its recurrent weights, shape ``(*batch, 8, 2)``.
    """
    base = lstm({"weight_hh_l0": THETA_TRUE}, name="chaotic LSTM")
    return base.at({"weight_hh_l0": theta})


def line(theta: Tensor = THETA_TRUE) -> Callable[[Tensor], System]:
    """Return the family ``theta(s) = s theta`` of figure 1, for orbit diagrams and costs.

    Args:
        theta: shape ``(8, 2)``.

    Returns:
        A function from ``s`` of shape ``(*batch,)`` to the system at ``theta(s)``.
    """
    return lambda s: chaotic_lstm(s[..., None, None] * theta.to(s.device))


def plane(first: Tensor, second: Tensor) -> Callable[[Tensor, Tensor], System]:
    """Return the family ``theta(s1, s2) = s1 first + s2 second`` of supplementary figure 1.

    Args:
        first: shape ``(8, 2)``.
        second: shape ``(8, 2)``.

    Returns:
        A function from ``s1`` and ``s2``, each of shape ``(*batch,)``, to the system there.
    """

    def family(s1: Tensor, s2: Tensor) -> System:
        weights = first.to(s1.device), second.to(s2.device)
        return chaotic_lstm(s1[..., None, None] * weights[0] + s2[..., None, None] * weights[1])

    return family

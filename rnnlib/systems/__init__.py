"""What is a dynamical system here?

Equation (1) of the paper: a one-step map over a flat state with its read-out. From a module, a
cell or a function to a system, its derivatives, the loop closed, and systems with known answers.
"""

from rnnlib.systems.adapters import (
    flatten_state,
    from_module,
    lstm,
    unflatten_state,
)
from rnnlib.systems.bifurcating_cells import (
    FLIP,
    FOLD,
    NEIMARK_SACKER,
    PITCHFORK,
    Bifurcation,
    elman,
    elman_with_fixed_point,
    fold_bias,
    one_unit,
    rotation,
)
from rnnlib.systems.chaotic_lstm import (
    PRINTED_WEIGHTS,
    THETA_PRINTED,
    THETA_TRUE,
    WEIGHTS,
    X0,
    chaotic_lstm,
    line,
    plane,
    theta_random,
)
from rnnlib.systems.derivatives import Tangents, jacobian, push_forward
from rnnlib.systems.known_maps import henon, linear, logistic
from rnnlib.systems.system import System, closed_loop
from rnnlib.systems.wrapped_steps import from_cell, from_function, from_step

__all__ = [
    "Bifurcation",
    "FLIP",
    "FOLD",
    "NEIMARK_SACKER",
    "PITCHFORK",
    "PRINTED_WEIGHTS",
    "System",
    "THETA_PRINTED",
    "THETA_TRUE",
    "Tangents",
    "WEIGHTS",
    "X0",
    "chaotic_lstm",
    "closed_loop",
    "elman",
    "elman_with_fixed_point",
    "flatten_state",
    "fold_bias",
    "from_cell",
    "from_function",
    "from_module",
    "from_step",
    "henon",
    "jacobian",
    "line",
    "linear",
    "logistic",
    "lstm",
    "one_unit",
    "plane",
    "push_forward",
    "rotation",
    "theta_random",
    "unflatten_state",
]

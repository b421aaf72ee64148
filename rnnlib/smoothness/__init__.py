"""How rough is its cost?

The cost of a system, its derivatives in the weights, theorem 1 with its constants, and multiple
shooting.
"""

from rnnlib.smoothness import chaotic_lstm_cost, minima, roughness, theorem1
from rnnlib.smoothness.cost import cost, cost_over, mean_squared_error, squared_error
from rnnlib.smoothness.scalar_cells import (
    affine_cell,
    biased_tanh_cell,
    linear_cell,
    tanh_cell,
)
from rnnlib.smoothness.sensitivities import (
    cost_derivatives,
    flatten_theta,
    sensitivities,
    unflatten_theta,
)
from rnnlib.smoothness.theorem1 import cross_entropy_loss, squared_loss

__all__ = [
    "affine_cell",
    "biased_tanh_cell",
    "chaotic_lstm_cost",
    "cost",
    "cost_derivatives",
    "cost_over",
    "cross_entropy_loss",
    "flatten_theta",
    "linear_cell",
    "mean_squared_error",
    "minima",
    "roughness",
    "sensitivities",
    "squared_error",
    "squared_loss",
    "tanh_cell",
    "theorem1",
    "unflatten_theta",
]

"""Recurrent networks as dynamical systems.

A `System` is a one-step map over a flat state, equation (1) of the paper; every analysis takes a
system and nothing else. Start with ``from_module(torch.nn.LSTM(...))``.
"""

from rnnlib.dynamics.basins import basins
from rnnlib.dynamics.entropy import entropy_along, knn_entropy
from rnnlib.dynamics.fixed_points import fixed_points
from rnnlib.dynamics.lyapunov import LyapunovSpectrum, kaplan_yorke_dimension, lyapunov_spectrum
from rnnlib.dynamics.orbits import OrbitDiagram, orbit_diagram, simulate, trajectory
from rnnlib.dynamics.robustness import robustness
from rnnlib.dynamics.steady_state import SteadyState, steady_state
from rnnlib.memory.certificates import certify
from rnnlib.memory.contraction import lipschitz_lower_bound
from rnnlib.nn.orthogonal_rnn import OrthogonalRNN, orthogonality_error
from rnnlib.nn.stable_lstm import project_certified_, project_published_
from rnnlib.smoothness.cost import cost, cost_over, mean_squared_error, squared_error
from rnnlib.smoothness.sensitivities import sensitivities
from rnnlib.systems.adapters import (
    flatten_state,
    from_function,
    from_module,
    from_step,
    lstm,
    unflatten_state,
)
from rnnlib.systems.derivatives import jacobian, push_forward
from rnnlib.systems.known_maps import henon, linear, logistic
from rnnlib.systems.system import System, closed_loop
from rnnlib.training.recorders import OrbitRecorder

__version__ = "0.1.0"

__all__ = [
    "LyapunovSpectrum",
    "OrbitDiagram",
    "OrbitRecorder",
    "OrthogonalRNN",
    "SteadyState",
    "System",
    "basins",
    "certify",
    "closed_loop",
    "cost",
    "cost_over",
    "entropy_along",
    "fixed_points",
    "flatten_state",
    "from_function",
    "from_module",
    "from_step",
    "henon",
    "jacobian",
    "kaplan_yorke_dimension",
    "knn_entropy",
    "linear",
    "lipschitz_lower_bound",
    "logistic",
    "lstm",
    "lyapunov_spectrum",
    "mean_squared_error",
    "orbit_diagram",
    "orthogonality_error",
    "project_certified_",
    "project_published_",
    "push_forward",
    "robustness",
    "sensitivities",
    "simulate",
    "squared_error",
    "steady_state",
    "trajectory",
    "unflatten_state",
]

"""Recurrent networks as dynamical systems.

A `System` is a one-step map over a flat state, equation (1) of the paper; every analysis takes a
system and nothing else. Start with ``from_module(torch.nn.LSTM(...))``.
"""

from rnnlib.adapters import flatten_state, from_module, from_step, lstm, unflatten_state
from rnnlib.basins import basins
from rnnlib.certificates import certify
from rnnlib.contraction import lipschitz_lower_bound
from rnnlib.cost import cost, cost_over, mean_squared_error, squared_error
from rnnlib.entropy import entropy_along, knn_entropy
from rnnlib.fixed_points import fixed_points
from rnnlib.lyapunov import LyapunovSpectrum, kaplan_yorke_dimension, lyapunov_spectrum
from rnnlib.maps import from_function, henon, linear, logistic
from rnnlib.orbit_recorder import OrbitRecorder
from rnnlib.orbits import OrbitDiagram, orbit_diagram, simulate, trajectory
from rnnlib.orthogonal_rnn import OrthogonalRNN, orthogonality_error
from rnnlib.robustness import robustness
from rnnlib.sensitivities import sensitivities
from rnnlib.stable_lstm import project_certified_, project_published_
from rnnlib.steady_state import SteadyState, steady_state
from rnnlib.systems import System, closed_loop
from rnnlib.tangent import jacobian, push_forward

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

"""Recurrent networks as dynamical systems.

A `System` is a one-step map over a flat state, equation (1) of the paper; every analysis takes a
system and nothing else. Start with ``from_module(torch.nn.LSTM(...))``.
"""

from rnnlib import stopping

if stopping.is_command():  # else Ctrl-C would leave a traceback while torch is imported
    stopping.end_imports()

from rnnlib.diagnosis import Report, Watch, report, watch
from rnnlib.dynamics import (
    LyapunovSpectrum,
    OrbitDiagram,
    SteadyState,
    basins,
    covariant_vectors,
    entropy_along,
    exponent_of_series,
    fixed_points,
    homoclinic_angle,
    kaplan_yorke_dimension,
    knn_entropy,
    lyapunov_spectrum,
    orbit_diagram,
    robustness,
    simulate,
    starts_from_orbits,
    starts_in_box,
    steady_state,
    trajectory,
)
from rnnlib.memory import certify, certify_near, lipschitz_lower_bound
from rnnlib.nn import OrthogonalRNN, orthogonality_error, project_certified_, project_published_
from rnnlib.smoothness import cost, cost_over, mean_squared_error, sensitivities, squared_error
from rnnlib.systems import (
    System,
    closed_loop,
    flatten_state,
    from_cell,
    from_function,
    from_module,
    from_step,
    henon,
    jacobian,
    linear,
    logistic,
    lstm,
    push_forward,
    unflatten_state,
)
from rnnlib.training import OrbitRecorder

__version__ = "0.1.0"

__all__ = [
    "LyapunovSpectrum",
    "OrbitDiagram",
    "OrbitRecorder",
    "OrthogonalRNN",
    "Report",
    "SteadyState",
    "System",
    "Watch",
    "basins",
    "certify",
    "certify_near",
    "closed_loop",
    "cost",
    "cost_over",
    "covariant_vectors",
    "entropy_along",
    "exponent_of_series",
    "fixed_points",
    "flatten_state",
    "from_cell",
    "from_function",
    "from_module",
    "from_step",
    "henon",
    "homoclinic_angle",
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
    "report",
    "robustness",
    "sensitivities",
    "simulate",
    "squared_error",
    "starts_from_orbits",
    "starts_in_box",
    "steady_state",
    "trajectory",
    "unflatten_state",
    "watch",
]

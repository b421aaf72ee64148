"""Where does it go?

Orbits, steady states, Lyapunov exponents, fixed points, basins, entropy and bifurcations of any
system.
"""

from rnnlib.dynamics.basins import (
    UNDECIDED,
    Attractor,
    Basins,
    basins,
    find_attractor,
    settle,
    starts_on_plane,
)
from rnnlib.dynamics.covariant_vectors import (
    CovariantVectors,
    covariant_vectors,
    homoclinic_angle,
)
from rnnlib.dynamics.entropy import (
    Entropy,
    box_entropy,
    entropy_along,
    gaussian_entropy,
    knn_entropy,
    log_abs_det,
)
from rnnlib.dynamics.fixed_points import (
    FixedPoints,
    SlowPoints,
    fixed_points,
    starts_from_orbits,
    starts_in_box,
)
from rnnlib.dynamics.kinds import KINDS, SteadyState
from rnnlib.dynamics.lyapunov import LyapunovSpectrum, kaplan_yorke_dimension, lyapunov_spectrum
from rnnlib.dynamics.neimark_sacker import (
    ITERATIONS,
    Crossing,
    find_crossing,
    growths,
    multiplier,
    normal_form,
    segment,
)
from rnnlib.dynamics.newton import damped_steps
from rnnlib.dynamics.normal_forms import normal_form_coefficient
from rnnlib.dynamics.orbits import OrbitDiagram, check_steps, orbit_diagram, simulate, trajectory
from rnnlib.dynamics.oscillation import (
    FLAT,
    STEPS,
    Oscillation,
    frequency_response,
    oscillation,
    phase_error,
)
from rnnlib.dynamics.phase_memory import phase_memory
from rnnlib.dynamics.recorded_series import SeriesExponent, exponent_of_series
from rnnlib.dynamics.robustness import Robustness, return_curves, robustness
from rnnlib.dynamics.rules import SteadyStateRules
from rnnlib.dynamics.steady_state import steady_state

__all__ = [
    "Attractor",
    "Basins",
    "CovariantVectors",
    "Crossing",
    "Entropy",
    "FLAT",
    "FixedPoints",
    "ITERATIONS",
    "KINDS",
    "LyapunovSpectrum",
    "OrbitDiagram",
    "Oscillation",
    "Robustness",
    "SlowPoints",
    "STEPS",
    "SeriesExponent",
    "SteadyState",
    "SteadyStateRules",
    "UNDECIDED",
    "basins",
    "starts_in_box",
    "box_entropy",
    "check_steps",
    "covariant_vectors",
    "damped_steps",
    "entropy_along",
    "exponent_of_series",
    "find_attractor",
    "find_crossing",
    "fixed_points",
    "frequency_response",
    "gaussian_entropy",
    "growths",
    "homoclinic_angle",
    "kaplan_yorke_dimension",
    "knn_entropy",
    "log_abs_det",
    "lyapunov_spectrum",
    "multiplier",
    "normal_form",
    "normal_form_coefficient",
    "orbit_diagram",
    "oscillation",
    "phase_error",
    "phase_memory",
    "return_curves",
    "robustness",
    "starts_on_plane",
    "segment",
    "settle",
    "simulate",
    "starts_from_orbits",
    "steady_state",
    "trajectory",
]

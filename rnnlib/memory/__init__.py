"""What must it forget?

Contraction: what is proved and what is found; latches, remembered bits, and how long a state tells
of its past.
"""

from rnnlib.memory.certificates import METHODS, Certificate, certify, certify_orthogonal
from rnnlib.memory.contraction import LowerBound, lipschitz_lower_bound, pair_search
from rnnlib.memory.forgetting import envelope, forgotten_after, least_cross_entropy, log_odds_gap
from rnnlib.memory.intervals import INF
from rnnlib.memory.latch import (
    escape_effort,
    hold_times,
    latch,
    measured_threshold,
    memory_state,
    pulse_threshold,
)
from rnnlib.memory.local_certificates import LocalCertificate, certify_near
from rnnlib.memory.neutral_directions import drift, neutral_directions, norms_along, units_on
from rnnlib.memory.norms import Norm, QuadraticNorm
from rnnlib.memory.remembered_bits import Fate, common_fate, held
from rnnlib.memory.retention import Retention, probe_under_noise, retention
from rnnlib.memory.symbol_memory import (
    Places,
    evidence,
    letters,
    padding,
    places,
    state_after,
    turn,
    under_letters,
)

__all__ = [
    "Certificate",
    "Fate",
    "INF",
    "LocalCertificate",
    "LowerBound",
    "METHODS",
    "Norm",
    "Places",
    "QuadraticNorm",
    "Retention",
    "certify",
    "certify_near",
    "certify_orthogonal",
    "common_fate",
    "drift",
    "envelope",
    "escape_effort",
    "evidence",
    "forgotten_after",
    "held",
    "hold_times",
    "latch",
    "least_cross_entropy",
    "letters",
    "lipschitz_lower_bound",
    "log_odds_gap",
    "measured_threshold",
    "memory_state",
    "neutral_directions",
    "norms_along",
    "padding",
    "pair_search",
    "places",
    "probe_under_noise",
    "pulse_threshold",
    "retention",
    "state_after",
    "turn",
    "under_letters",
    "units_on",
]

"""What is going on in my network?

One call that asks every other room about a network and its user's own data, and says what they
answer in plain words: `report`; and a callback that keeps asking during training: `watch`.
"""

from rnnlib.diagnosis.answers import Answer
from rnnlib.diagnosis.files import load_inputs, load_network
from rnnlib.diagnosis.influence import influence_by_lag
from rnnlib.diagnosis.reporting import QUESTIONS, Report, report
from rnnlib.diagnosis.watching import Watch, watch

__all__ = [
    "Answer",
    "QUESTIONS",
    "Report",
    "Watch",
    "influence_by_lag",
    "load_inputs",
    "load_network",
    "report",
    "watch",
]

"""How does it learn?

One loop for every task, for one network or several replicas at once; the paper's networks by
name; and what records orbits and weights on the way.
"""

from rnnlib.training import subnormals
from rnnlib.training.loop import Callback, NonFiniteLoss, Run, Settings, descend, train
from rnnlib.training.models import (
    LABELS,
    MODELS,
    SequenceModel,
    check_layer_precision,
    check_model,
    constrain_,
    recurrent_layer,
    run_layer,
)
from rnnlib.training.recorded_orbits import Ends, ends, recorded_starts
from rnnlib.training.recorders import OrbitRecorder, Samples, Snapshots, pack_samples, read_samples
from rnnlib.training.subnormals import arithmetic

__all__ = [
    "Callback",
    "Ends",
    "LABELS",
    "MODELS",
    "NonFiniteLoss",
    "OrbitRecorder",
    "Run",
    "Samples",
    "SequenceModel",
    "Settings",
    "Snapshots",
    "arithmetic",
    "check_layer_precision",
    "check_model",
    "constrain_",
    "descend",
    "ends",
    "pack_samples",
    "read_samples",
    "recorded_starts",
    "recurrent_layer",
    "run_layer",
    "subnormals",
    "train",
]

"""How does it learn?

One loop for every task, for one network or several replicas at once; the paper's networks by
name; and what records orbits and weights on the way.
"""

from rnnlib.training import subnormals
from rnnlib.training.epoch_files import EpochFiles, epochs_in, halved, read_all
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
from rnnlib.training.recorders import (
    OrbitRecorder,
    Samples,
    Snapshots,
    pack_samples,
    read_samples,
    rows_of,
)
from rnnlib.training.subnormals import arithmetic

__all__ = [
    "Callback",
    "Ends",
    "EpochFiles",
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
    "epochs_in",
    "halved",
    "pack_samples",
    "read_all",
    "read_samples",
    "recorded_starts",
    "recurrent_layer",
    "rows_of",
    "run_layer",
    "subnormals",
    "train",
]

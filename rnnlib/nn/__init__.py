"""Which layers and cells are there?

Torch modules, one step of each cell as a function, projections, and what makes them fast. This
room knows nothing of dynamical systems and imports nothing of ours.
"""

from rnnlib.nn import cells
from rnnlib.nn.batched_products import affine, batch_innermost, join, stack_into, times_tanh
from rnnlib.nn.bfloat16 import (
    LAYER_PRECISIONS,
    measure_precisions,
    multiplies_bfloat16,
    run_rounded,
)
from rnnlib.nn.cells import gru_update, lstm_update
from rnnlib.nn.linear_recurrences import LinearRecurrence, LinearRecurrentUnit, MinGRU, SelectiveSSM
from rnnlib.nn.orthogonal_rnn import (
    OrthogonalRNN,
    modrelu,
    orthogonal_rnn_step,
    orthogonality_error,
)
from rnnlib.nn.parameters import copy_in_evaluation, parameters_in_use, weights_in_use
from rnnlib.nn.skew_expm import skew_expm
from rnnlib.nn.stable_lstm import (
    PUBLISHED_RADII,
    certified_rate,
    project_certified_,
    project_published_,
)

__all__ = [
    "LAYER_PRECISIONS",
    "LinearRecurrence",
    "LinearRecurrentUnit",
    "MinGRU",
    "SelectiveSSM",
    "OrthogonalRNN",
    "PUBLISHED_RADII",
    "affine",
    "batch_innermost",
    "cells",
    "certified_rate",
    "copy_in_evaluation",
    "gru_update",
    "join",
    "lstm_update",
    "measure_precisions",
    "modrelu",
    "multiplies_bfloat16",
    "orthogonal_rnn_step",
    "orthogonality_error",
    "parameters_in_use",
    "project_certified_",
    "project_published_",
    "run_rounded",
    "skew_expm",
    "stack_into",
    "times_tanh",
    "weights_in_use",
]

"""What makes two runs the same run, and what makes them train alike."""

import dataclasses
import hashlib
import json
from typing import Any

# Which data are drawn, what is recorded, when a run that fails is given up and which of its
# weights are kept: none of it says how a network is trained on its data.
NOT_OF_THE_TRAINING = (
    "experiment",
    "seed",
    "data_seed",
    "draw",
    "kept_weights",
    "stall_epochs",
    "stall_change",
)


def digest(config: Any) -> str:
    """Return twelve hexadecimal digits that any change of a setting changes.

    A setting that was added later counts only where it differs from its default, so runs that were
    stored before keep theirs.
    """
    values = config.to_dict()
    for field in dataclasses.fields(config):
        if field.metadata["added"] and values[field.name] == field.default:
            del values[field.name]
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def training_settings(config: Any) -> dict[str, Any]:
    """Return the settings that decide how a network trains on the data that it is given.

    Seeds are left out, as is what is recorded, when a run that fails is given up, and which of its
    weights are kept.
    """
    return {
        key: value
        for key, value in config.to_dict().items()
        if key not in NOT_OF_THE_TRAINING and not key.startswith("record_")
    }

"""Settings: how one is declared, and what is refused before anything is made on disk."""

import dataclasses
import difflib
import typing
from collections.abc import Iterable
from typing import Any

import torch

SEEDS = 2**32 - 1  # numpy's legacy generator takes seeds below 2^32, and the next one is used too
MAY_BE_ZERO = ("seed", "data_seed", "record_burn_in", "stall_epochs", "dropout")
LARGEST = torch.finfo(torch.float32).max


def setting(default: Any, help: str, *, added: bool = False) -> Any:
    """Declare a setting with its default and a line of help.

    One that was ``added`` after runs had been stored does not change their hash: it is left out
    of it while it has its default, which is what those runs had.
    """
    return dataclasses.field(default=default, metadata={"help": help, "added": added})


def check_settings(config: Any) -> None:
    """Bring the values of a dataclass of settings to the types of its fields.

    An integer serves as a number, and a list as a tuple.

    Raises:
        ValueError: a value of another type, a size that is not positive, a number that float32
            cannot hold, a seed out of range.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        name, kind = field.name, hints[field.name]
        value: Any = getattr(config, name)  # whatever was given
        if kind is float and type(value) is int:
            value = float(value)
        if kind == tuple[int, ...]:
            if not all(type(v) is int and v >= 1 for v in value):
                raise ValueError(f"{name} is {value!r}; it must be a list of epochs, from 1 on.")
            value = tuple(value)
        elif type(value) is not kind:
            raise ValueError(
                f"{name} is {value!r}, a {type(value).__name__}; it must be a {kind.__name__}."
            )
        object.__setattr__(config, name, value)
        if kind is int:
            least = 0 if name in MAY_BE_ZERO else 1
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}.")
            if name.endswith("seed") and value >= SEEDS:
                raise ValueError(f"{name} is {value}; it must be below {SEEDS}.")
        elif kind is float and not (
            0 < value <= LARGEST or (value == 0 and name in MAY_BE_ZERO)
        ):  # NaN too
            raise ValueError(
                f"{name} is {value}; it must be positive, and at most {LARGEST:.2g}, the largest "
                f"number of float32."
            )


def check_known(what: str, given: Any, valid: Iterable[str]) -> None:
    """Raise a ValueError for a name that is not in ``valid``, with the nearest one that is."""
    if given not in valid:
        near = difflib.get_close_matches(str(given), list(valid), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{given!r} is not {what}; there are {', '.join(sorted(valid))}.{hint}")

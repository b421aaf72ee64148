"""Files that are whole or absent: written beside their place and moved into it in one step."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch


class FileError(RuntimeError):
    """A file of a run that is missing, cut short, altered, or of another run."""


def write(path: Path, fill: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Args:
        path: where to; its folder must exist.
        fill: writes the contents to a binary file.

    Raises:
        OSError: the disk is full or the folder cannot be written; an old file is then untouched.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name on an empty file
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, see `write`."""
    write(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value) -> None:
    """Write JSON for people to read, see `write`."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path):
    """Read a JSON file.

    Raises:
        FileError: it is missing or no JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path} cannot be read ({error}). Restore it from version control, or remove the "
            f"folder that it lies in and run again."
        ) from error


def save_checkpoint(path: Path, state: dict) -> None:
    """Write tensors, numbers, strings, lists and dicts of these, see `write`."""
    write(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict:
    """Read a checkpoint without running code from it (``weights_only=True``).

    Raises:
        FileError: it is missing, cut short, or holds anything but data.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises five kinds for damaged files
        raise FileError(
            f"checkpoint {path} cannot be read: it is missing, cut short or altered "
            f"({type(error).__name__}). Nothing was changed. Move it away to start this run from "
            f"the beginning, or restore it."
        ) from error

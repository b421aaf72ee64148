"""Files that are whole or absent, and that say so: written beside their place, moved in one step.

Tensors and arrays carry the sha256 of the file as the zip's comment, so a flipped bit is found
where torch looks at no checksum; other programs read them as ever. Those of an older version carry
none: of these the checksums of the zip itself are compared.
"""

import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Callable
from io import BufferedRandom
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch

PART = ".part"  # what a file is called while it is written, with a dot before its name
DIGEST = b"sha256 "  # 64 hexadecimal digits follow, and end the file
CHUNK = 2**20  # bytes


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
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with open(temporary, "x+b") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name on an empty file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def leftovers(folder: Path) -> list[Path]:
    """Return the files in a folder that a killed process was writing."""
    return sorted(Path(folder).glob(f".*{PART}"))


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, see `write`."""
    write(path, lambda file: file.write(text.encode()))


def json_text(value: Any) -> str:
    """Return JSON for people to read."""
    return json.dumps(value, indent=2) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people to read, see `write`."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileError: it is missing or no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path} cannot be read ({error}). Restore it from version control, or move the "
            f"folder that it lies in away and run again."
        ) from error


def save_checkpoint(path: Path, state: dict) -> None:
    """Write tensors, numbers, strings, lists and dicts of these with their digest, see `write`."""
    write(path, lambda file: (torch.save(state, file), _sign(file)))


def save_arrays(path: Path, *, compressed: bool = False, **arrays: np.ndarray) -> None:
    """Write arrays as ``.npz`` with their digest, see `write`."""
    save = np.savez_compressed if compressed else np.savez
    write(path, lambda file: (save(file, allow_pickle=False, **arrays), _sign(file)))


def load_checkpoint(
    path: Path, device: torch.device | str = "cpu", remedy: str = "Restore it from a copy."
) -> dict:
    """Read a checkpoint without running code from it (``weights_only=True``).

    Args:
        path: of the file.
        device: where its tensors go.
        remedy: what the error advises.

    Raises:
        FileError: it is missing, cut short, altered, or holds anything but data.
    """
    return _read(path, lambda f: torch.load(f, map_location=device, weights_only=True), remedy)


def load_arrays(path: Path, remedy: str = "Restore it from a copy.") -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file.

    Args:
        path: of the file.
        remedy: what the error advises.

    Raises:
        FileError: it is missing, cut short, altered, or holds anything but numbers.
    """
    return _read(path, lambda file: dict(np.load(file, allow_pickle=False)), remedy)


def is_signed(path: Path) -> bool:
    """Return whether a file of tensors or arrays carries a digest."""
    with open(path, "rb") as file:
        return _signature(file) is not None


def digest_of(path: Path) -> str:
    """Return the digest that a file carries, or else its sha256."""
    with open(path, "rb") as file:
        if (signature := _signature(file)) is not None:
            return signature
        file.seek(0)
        return hashlib.file_digest(cast(BufferedRandom, file), "sha256").hexdigest()


def _read(path: Path, load: Callable[[IO[bytes]], Any], remedy: str):
    try:
        with open(path, "rb") as file:
            _verify(file)
            file.seek(0)
            return load(file)
    except Exception as error:  # torch, numpy and zipfile raise several kinds
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(
            f"{path} cannot be read: it is missing, cut short or altered ({why}). {remedy}"
        ) from error


def _sign(file: IO[bytes]) -> None:
    """Add the digest to a zip without a comment, which ends in the comment's length, two bytes."""
    file.seek(-2, os.SEEK_END)
    file.write((len(DIGEST) + 64).to_bytes(2, "little") + DIGEST)
    file.seek(0)
    digest = hashlib.file_digest(cast(BufferedRandom, file), "sha256").hexdigest()
    file.seek(0, os.SEEK_END)
    file.write(digest.encode())


def _signature(file: IO[bytes]) -> str | None:
    """Return the digest that a file carries."""
    length = len(DIGEST) + 64
    if file.seek(0, os.SEEK_END) <= length:
        return None
    file.seek(-length, os.SEEK_END)
    tail = file.read()
    return tail[len(DIGEST) :].decode("latin-1") if tail.startswith(DIGEST) else None


def _verify(file: IO[bytes]) -> None:
    signature = _signature(file)
    if signature is None:
        # Of an older version. A zip without a comment ends with its directory's end, 22 bytes; so
        # a file whose digest was damaged does not pass for one that has none.
        file.seek(max(0, file.seek(0, os.SEEK_END) - 22))
        end = file.read()
        if not (end.startswith(b"PK\5\6") and end.endswith(b"\0\0")):
            raise ValueError("it does not end as it should")
        file.seek(0)
        if (damaged := zipfile.ZipFile(file).testzip()) is not None:
            raise ValueError(f"bad checksum of {damaged}")
        return
    left = file.tell() - 64
    file.seek(0)
    digest = hashlib.sha256()
    while left:
        block = file.read(min(CHUNK, left))
        digest.update(block)
        left -= len(block)
    if digest.hexdigest() != signature:
        raise ValueError("its digest is another")

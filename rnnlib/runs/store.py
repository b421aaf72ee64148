"""The store of results: one folder per run, ``root/experiment/model/config hash/``, which holds::

    config.json      the settings
    provenance.json  commit, packages, device and seconds of each part of the run
    history.csv      one line per epoch, appended as it ends
    orbits.npz       the recorded steady states, in half precision
    network.pt       the weights at the best epoch
    done.json        written last: the sha256 of the files above, and the best and last numbers
    dynamics.csv     for sine generation, from the snapshots: see `rnnlib.runs.sine_dynamics`
    dynamics.json    for the language model: see `rnnlib.runs.language_dynamics`

While a run is on its way its folder also holds ``checkpoint.pt``, ``orbits/`` and ``snapshots/``,
which are not for version control.
"""

import csv
import hashlib
import io
import os
import platform
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from rnnlib.files import FileError, load_checkpoint, read_json, write_json, write_text
from rnnlib.runs.experiments import Experiment, from_dict, training_settings
from rnnlib.training import Samples, read_samples

PACKAGES = ("torch", "numpy", "scipy", "numba")


def root_of(preset: str) -> Path:
    """Return the store of a preset: a fresh temporary folder for "quick", else ``results/``.

    Quick runs can so never pass for full-size ones, nor for those of an older version of the code.
    The folder ``results/`` is that of the package's checkout, or the environment variable
    RNNLIB_RESULTS names another.
    """
    if preset == "quick":
        return Path(_temporary().name)
    home = Path(__file__).parents[2]
    default = home / "results" if (home / "pyproject.toml").exists() else Path("results")
    return Path(os.environ.get("RNNLIB_RESULTS", default))


@cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="rnnlib-quick-")  # removed when the process ends


def folder_of(root: Path | str, config: Experiment) -> Path:
    """Return the folder of a run, whether it exists or not."""
    return Path(root) / config.name / config.model / config.hash


def is_done(folder: Path) -> bool:
    """Return whether a run has ended and is whole."""
    return (Path(folder) / "done.json").exists()


def find(root: Path | str, experiment: str, finished: bool = True, **match) -> list[Path]:
    """Return the folders of the runs whose settings match, ordered by model and seed.

    Args:
        root: the store.
        experiment: "sine", "classification" or "language".
        finished: leave out runs that are on their way.
        match: settings and the values that they must have.
    """
    found = []
    for path in Path(root).glob(f"{experiment}/*/*/config.json"):
        config = read_config(path.parent).to_dict()
        matches = all(_plain(config.get(key)) == _plain(value) for key, value in match.items())
        if matches and (is_done(path.parent) or not finished):
            found.append((config["model"], config["seed"], str(path.parent)))
    return [Path(folder) for _, _, folder in sorted(found)]


def find_alike(root: Path | str, config: Experiment, finished: bool = True) -> list[Path]:
    """Return the folders of the runs that train as ``config`` does, whatever their seeds.

    Args:
        root: the store.
        config: the settings.
        finished: leave out runs that are on their way.
    """
    return find(root, config.name, finished, **training_settings(config))


def check(folder: Path) -> None:
    """Compare a finished run's files with the checksums in its marker.

    Raises:
        FileError: a file is missing or was altered.
    """
    for name, expected in read_json(Path(folder) / "done.json")["sha256"].items():
        path = Path(folder) / name
        found = _sha256(path) if path.exists() else "no file"
        if found != expected:
            raise FileError(
                f"{path} was altered after the run ended (sha256 {found}, recorded {expected}). "
                f"Restore it from version control, or remove {folder} and run again."
            )


def read_history(folder: Path) -> pd.DataFrame:
    """Return a run's history, one row per epoch.

    Raises:
        FileError: it is missing or damaged.
    """
    path = Path(folder) / "history.csv"
    try:
        history = pd.read_csv(path)
        if not (history["epoch"] == np.arange(1, len(history) + 1)).all():
            raise ValueError("its epochs are not 1, 2, 3, ...")
    except (OSError, ValueError, KeyError) as error:
        raise FileError(
            f"{path} cannot be read ({error}). Restore it from version control, or remove "
            f"{folder} and run again."
        ) from error
    return history


def read_orbits(folder: Path) -> Samples:
    """Return a run's recorded steady states: packed if it has ended, else those so far."""
    path = Path(folder) / "orbits.npz"
    if not path.exists():
        return read_samples(Path(folder) / "orbits")
    try:
        with np.load(path, allow_pickle=False) as file:
            return Samples(file["epochs"], file["inputs"], file["orbits"].astype(np.float32))
    except Exception as error:  # numpy and zipfile raise several kinds
        raise FileError(
            f"{path} cannot be read ({error}). Restore it from version control."
        ) from error


def read_config(folder: Path) -> Experiment:
    """Return a run's settings."""
    return from_dict(read_json(Path(folder) / "config.json"))


def read_network(folder: Path) -> nn.Module:
    """Return a run's network with the weights of its best epoch, in evaluation mode.

    Of a large network only the checkpoint has them.

    Raises:
        FileError: no weights, or damaged ones.
    """
    folder = Path(folder)
    network, kept = read_config(folder).network(), folder / "network.pt"
    if kept.exists():
        weights = load_checkpoint(kept)
    elif (folder / "checkpoint.pt").exists():
        weights = load_checkpoint(folder / "checkpoint.pt")["run"]["best"]["model"]
    else:
        raise FileError(
            f"{folder} has neither network.pt nor checkpoint.pt, so the weights are not at hand "
            f"(version control holds those of small networks only). Run it again, or look where "
            f"it was made."
        )
    network.load_state_dict(weights)
    return network.eval()


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Replace ``history.csv`` by these epochs."""
    write_text(Path(folder) / "history.csv", _csv(history, header=True))


def append_history(folder: Path, record: dict[str, float]) -> None:
    """Add an epoch to ``history.csv``, in one write."""
    path = Path(folder) / "history.csv"
    text = _csv([record], header=not path.exists())
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def mark_done(folder: Path, summary: dict[str, Any]) -> None:
    """Write the marker that makes a run's results count."""
    folder = Path(folder)
    names = ("config.json", "provenance.json", "history.csv", "orbits.npz", "network.pt")
    sums = {name: _sha256(folder / name) for name in names if (folder / name).exists()}
    write_json(folder / "done.json", {**summary, "sha256": sums})


def seal(folder: Path, *names: str) -> None:
    """Add the checksums of files that were made after a run had ended to its marker.

    The files that the marker already lists are not looked at, so an edited one stays an error.
    """
    folder = Path(folder)
    mark = read_json(folder / "done.json")
    mark["sha256"] |= {name: _sha256(folder / name) for name in names}
    write_json(folder / "done.json", mark)


def provenance(device: torch.device, from_epoch: int, data: dict[str, str]) -> dict[str, Any]:
    """Return where the numbers of one part of a run come from.

    Args:
        device: what it runs on.
        from_epoch: the epochs done before.
        data: sha256 of the data files, by name.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        **commit(),
        "from_epoch": from_epoch,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": versions,
        "cuda": torch.version.cuda,
        "data": data,
    }


def commit() -> dict[str, Any]:
    """Return the commit of the package's checkout, and whether the package differs from it.

    Where there is no checkout the environment variables RNNLIB_COMMIT and RNNLIB_DIRTY serve.
    """
    home = Path(__file__).parents[1]

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", home, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", str(home))),
        }
    except (OSError, subprocess.CalledProcessError):
        dirty = os.environ.get("RNNLIB_DIRTY")
        return {
            "commit": os.environ.get("RNNLIB_COMMIT"),
            "dirty": None if dirty is None else dirty not in ("", "0"),
        }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _csv(records: list[dict[str, float]], header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(records)  # floats as repr, so that they read back to the last digit
    return text.getvalue()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value):
    return list(value) if isinstance(value, tuple) else value

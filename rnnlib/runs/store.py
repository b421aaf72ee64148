"""The store of results: one folder per run, ``root/experiment/model/config hash/``, which holds::

    config.json      the settings; their hash is the folder's name
    provenance.json  commit, packages, device and seconds of each part of the run
    history.csv      one line per epoch, appended as it ends
    orbits.npz       the recorded steady states, in half precision
    network.pt       the weights at the best epoch
    done.json        written last: the sha256 of the files above, and the best and last numbers
    dynamics.csv     for sine generation, from the snapshots: see `rnnlib.runs.sine_dynamics`
    dynamics.json    for the language model: see `rnnlib.runs.language_dynamics`

While a run is on its way its folder also holds ``checkpoint.pt``, ``orbits/`` and ``snapshots/``,
which are not for version control. What is read of a run that has ended is compared with its marker
first, so an altered file is an error, wherever it is used.
"""

import csv
import hashlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rnnlib.files import FileError, json_text, load_arrays, load_checkpoint, read_json, write_text
from rnnlib.runs.experiments import Experiment, from_dict, training_settings
from rnnlib.training import Samples, read_samples

NEEDED = ("config.json", "provenance.json", "history.csv", "orbits.npz")  # of a run that has ended
# What markers held before they had a digest of their own
OLDER = ({"best", "last", "sha256"}, {"best", "last", "end", "stored", "sha256"})
RESTORE = "Restore it from version control, or move {} away and run again."


def root_of(preset: str) -> Path:
    """Return the store of a preset: ``results/``, but for "quick" a fresh temporary folder.

    Quick runs can so never pass for full-size ones, nor for those of an older version of the code.
    The folder ``results/`` is that of the package's checkout, or the environment variable
    RNNLIB_RESULTS names another; empty means unset.
    """
    if preset == "quick":
        return Path(_temporary().name)
    home = Path(__file__).parents[2]
    default = home / "results" if (home / "pyproject.toml").exists() else Path("results")
    return Path(os.environ.get("RNNLIB_RESULTS") or default).expanduser()


@cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="rnnlib-quick-")  # removed when the process ends


def folder_of(root: Path | str, config: Experiment) -> Path:
    """Return the folder of a run, whether it exists or not."""
    return Path(root) / config.name / config.model / config.hash


def is_done(folder: Path) -> bool:
    """Return whether a run has ended and is whole."""
    return (Path(folder) / "done.json").exists()


def entries(root: Path | str, experiment: str = "*") -> Iterator[tuple[Path, Experiment]]:
    """Return the folders and settings of a store's runs; warn of those that cannot be read.

    Args:
        root: the store.
        experiment: "sine", "classification", "language", or "*" for all.
    """
    for path in sorted(Path(root).glob(f"{experiment}/*/*/config.json")):
        try:
            yield path.parent, read_config(path.parent)
        except FileError as error:
            warnings.warn(f"passed over: {error}", stacklevel=2)


def find(root: Path | str, experiment: str, finished: bool = True, **match: Any) -> list[Path]:
    """Return the folders of the runs whose settings match, ordered by model and seed.

    An entry whose settings cannot be read is passed over with a warning.

    Args:
        root: the store.
        experiment: "sine", "classification" or "language".
        finished: leave out runs that are on their way.
        match: settings and the values that they must have.
    """
    found = []
    for folder, config in entries(root, experiment):
        values = config.to_dict()
        matches = all(_plain(values.get(key)) == _plain(value) for key, value in match.items())
        if matches and (is_done(folder) or not finished):
            found.append((config.model, config.seed, str(folder)))
    return [Path(folder) for _, _, folder in sorted(found)]


def find_alike(root: Path | str, config: Experiment, finished: bool = True) -> list[Path]:
    """Return the folders of the runs that train as ``config`` does, whatever their seeds.

    Args:
        root: the store.
        config: the settings.
        finished: leave out runs that are on their way.
    """
    return find(root, config.name, finished, **training_settings(config))


def read_mark(folder: Path) -> dict[str, Any]:
    """Return the marker of a run that has ended: ``best``, ``last`` and ``sha256``.

    Raises:
        FileError: it is missing or was altered.
    """
    path = Path(folder) / "done.json"
    mark = read_json(path)
    old = isinstance(mark, dict) and mark.keys() in OLDER
    if not old:  # older versions wrote no digest of the marker itself
        try:
            seal = mark.pop("seal")
            if seal != _sha256(json_text(mark).encode()):
                raise ValueError("its own digest is another")
            if path.read_text(encoding="utf-8") != json_text({**mark, "seal": seal}):
                raise ValueError("it is not as it was written")
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise FileError(f"{path} was altered ({error}). {RESTORE.format(folder)}") from error
    return mark


def content(folder: Path, name: str) -> bytes:
    """Return what a file of a run holds, compared with the marker if the run has ended.

    Raises:
        FileError: it is missing, or was altered after the run had ended.
    """
    folder = Path(folder)
    path = folder / name
    expected = read_mark(folder)["sha256"].get(name) if is_done(folder) else None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"{path} cannot be read ({error.strerror}). {RESTORE.format(folder)}"
        ) from error
    if expected is not None and (found := _sha256(data)) != expected:
        raise FileError(
            f"{path} was altered after the run ended (sha256 {found}, recorded {expected}). "
            f"{RESTORE.format(folder)}"
        )
    return data


def check(folder: Path, made_again: Sequence[str] = ()) -> None:
    """Compare a finished run's files with the checksums in its marker.

    Args:
        folder: of the run.
        made_again: files that may be missing, because they are about to be made again.

    Raises:
        FileError: a file is missing or was altered.
    """
    names = read_mark(folder)["sha256"]
    if missing := [name for name in NEEDED if name not in names]:
        raise FileError(
            f"{Path(folder) / 'done.json'} has no checksum of {', '.join(missing)}. "
            f"{RESTORE.format(folder)}"
        )
    for name in names:
        if (Path(folder) / name).exists() or name not in made_again:
            content(folder, name)


def parse_json(folder: Path, name: str) -> Any:
    """Return what a JSON file of a run holds, see `content`.

    Raises:
        FileError: it is missing, altered or no JSON.
    """
    try:
        return json.loads(content(folder, name).decode())
    except ValueError as error:
        raise FileError(
            f"{Path(folder) / name} cannot be read ({error}). {RESTORE.format(folder)}"
        ) from error


def read_history(folder: Path) -> pd.DataFrame:
    """Return a run's history, one row per epoch.

    Raises:
        FileError: it is missing, damaged or cut short.
    """
    data = content(folder, "history.csv")
    try:
        if not data.endswith(b"\n"):
            raise ValueError("its last line is cut")
        head, *rows = csv.reader(io.StringIO(data.decode()))
        if any(len(row) != len(head) or "" in row for row in rows):
            raise ValueError("a line has too few numbers")
        history = pd.read_csv(io.BytesIO(data), keep_default_na=False, na_values=["nan"])
        if not np.array_equal(history["epoch"], np.arange(1, len(history) + 1)):
            raise ValueError("its epochs are not 1, 2, 3, ...")
    except (ValueError, KeyError) as error:
        raise FileError(
            f"{Path(folder) / 'history.csv'} cannot be read ({error}). {RESTORE.format(folder)} "
            f"Where the run's checkpoint is, starting it again writes the history anew."
        ) from error
    return history


def read_orbits(folder: Path) -> Samples:
    """Return a run's recorded steady states: packed if it has ended, else those so far."""
    folder = Path(folder)
    if not is_done(folder) and (folder / "orbits").exists():
        return read_samples(folder / "orbits")
    if not (folder / "orbits.npz").exists():
        return read_samples(folder / "orbits")
    content(folder, "orbits.npz")
    file = load_arrays(folder / "orbits.npz", RESTORE.format(folder))
    if "orbits" not in file:
        raise FileError(
            f"{folder / 'orbits.npz'} holds samples of a language model: read them with "
            f"rnnlib.language.read_packed."
        )
    return Samples(file["epochs"], file["inputs"], file["orbits"].astype(np.float32))


def read_config(folder: Path) -> Experiment:
    """Return a run's settings.

    Raises:
        FileError: they cannot be read, or their hash is not the folder's name.
    """
    folder = Path(folder)
    try:
        config = from_dict(parse_json(folder, "config.json"))
    except (ValueError, TypeError, AttributeError) as error:
        raise FileError(
            f"{folder / 'config.json'} cannot be read ({error}). {RESTORE.format(folder)}"
        ) from error
    if config.hash != folder.name:
        raise FileError(
            f"{folder / 'config.json'} was edited, or the folder renamed: these settings belong "
            f"into a folder {config.hash}. {RESTORE.format(folder)}"
        )
    return config


def read_network(folder: Path) -> nn.Module:
    """Return a run's network with the weights of its best epoch, in evaluation mode.

    Of a large network only the checkpoint has them.

    Raises:
        FileError: no weights, or damaged ones.
    """
    network = read_config(folder).network()
    network.load_state_dict(best_weights(folder))
    return network.eval()


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a run's best epoch, see `read_network`."""
    folder = Path(folder)
    if (folder / "network.pt").exists():
        content(folder, "network.pt")
        return load_checkpoint(folder / "network.pt", remedy=RESTORE.format(folder))
    if (folder / "checkpoint.pt").exists():
        run = load_checkpoint(folder / "checkpoint.pt")["run"]
        if run["best"] is None:
            raise FileError(f"{folder} has no epoch done yet, so there is no best network.")
        last = is_done(folder) and read_config(folder).kept_weights == "last"
        return run["model"] if last else run["best"]["model"]
    raise FileError(
        f"{folder} has neither network.pt nor checkpoint.pt, so the weights are not at hand "
        f"(version control holds those of small networks only). Run it again, or look where "
        f"it was made."
    )


def weights_digest(weights: dict[str, Tensor]) -> str:
    """Return the sha256 of a network's weights, whatever file they are in."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        raw = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def history_text(history: Sequence[dict[str, float]]) -> str:
    """Return ``history.csv`` of these epochs."""
    return _csv(history, header=True)


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Replace ``history.csv`` by these epochs."""
    write_text(Path(folder) / "history.csv", history_text(history))


def append_history(folder: Path, record: dict[str, float]) -> None:
    """Add an epoch to ``history.csv``, in one write.

    Raises:
        OSError: the disk is full; the file is then as it was.
    """
    path = Path(folder) / "history.csv"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        text = _csv([record], header=size == 0).encode()
        try:
            written = os.write(descriptor, text)
            while written < len(text):  # a write cut short: the rest, or the error that there is
                written += os.write(descriptor, text[written:])
        except OSError as error:
            os.ftruncate(descriptor, size)
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def mark_done(folder: Path, summary: dict[str, Any], texts: dict[str, str]) -> None:
    """Write the marker that makes a run's results count.

    Args:
        folder: of the run.
        summary: its ``best`` and ``last`` numbers.
        texts: the text files as the run knows them, by name; they are written first, so what lay
            in the folder in their place does not count.

    Raises:
        FileError: a file that a finished run has is missing.
    """
    folder = Path(folder)
    sums = {}
    for name, text in texts.items():
        write_text(folder / name, text)
        sums[name] = _sha256(text.encode())
    for name in ("orbits.npz", "network.pt"):
        if (folder / name).exists():
            sums[name] = _sha256((folder / name).read_bytes())
    if missing := [name for name in NEEDED if name not in sums]:
        raise FileError(f"{folder} has no {', '.join(missing)}, so the run is not marked as done.")
    _write_mark(folder, {**summary, "sha256": sums})
    check(folder)


def seal(folder: Path, texts: dict[str, str], look: bool = True) -> None:
    """Write text files that were made of a finished run, and add their checksums to its marker.

    Args:
        folder: of the run.
        texts: what they hold, by name.
        look: compare the files that the marker lists first, these among them if they are there.

    Raises:
        FileError: a file that the marker lists was altered.
    """
    folder = Path(folder)
    if look:
        check(folder, list(texts))
    mark = read_mark(folder)
    for name, text in texts.items():
        write_text(folder / name, text)
        mark["sha256"][name] = _sha256(text.encode())
    _write_mark(folder, mark)


def amend(folder: Path, numbers: dict[str, Any]) -> None:
    """Replace entries of a finished run's marker, such as numbers that are measured afterwards.

    Raises:
        FileError: a file that the marker lists was altered, or it was itself.
    """
    check(folder)
    _write_mark(Path(folder), read_mark(folder) | numbers)


def _write_mark(folder: Path, mark: dict[str, Any]) -> None:
    seal = _sha256(json_text(mark).encode())
    write_text(folder / "done.json", json_text({**mark, "seal": seal}))


def _csv(records: Sequence[dict[str, float]], header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(records)  # floats as repr, so that they read back to the last digit
    return text.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(value):
    return list(value) if isinstance(value, tuple) else value

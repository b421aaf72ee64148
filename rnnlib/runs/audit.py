"""Look through a store: every entry that is truncated, edited, stale, orphaned or foreign.

What a finished run's files should hold is in its marker, what a run on its way should hold in its
checkpoint. Entries of older versions have fewer digests; that is told, and is no fault.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from rnnlib.files import (
    FileError,
    digest_of,
    is_signed,
    leftovers,
    load_arrays,
    load_checkpoint,
    read_json,
)
from rnnlib.runs import store
from rnnlib.runs.experiments import EXPERIMENTS, Experiment, from_dict
from rnnlib.training import epochs_in

FAULTS = ("truncated", "edited", "stale", "orphaned", "foreign")
WORKING = {"checkpoint.pt", "checkpoint.earlier.pt", "orbits", "snapshots", "aside", ".lock"}
KNOWN = {*store.NEEDED, "network.pt", "dynamics.csv", "crossings.csv", "dynamics.json"}
HASH = re.compile("[0-9a-f]{12}")
RESTORE = "Restore it from version control or a copy, or move the run's folder away and run again."
ANEW = "Restore it from a copy, or begin the run anew with --restart."


class Finding(NamedTuple):
    """An entry, what is the matter with it, and what to do.

    ``kind`` is one of `FAULTS`; or "whole"; "older" for one of a version without digests;
    "unfinished" for a run on its way; "elsewhere" for one whose checkpoint is on another machine,
    so that there is nothing to compare its history with; "leftover" for a file that a killed
    process was writing.
    """

    kind: str
    path: Path
    what: str
    remedy: str = ""


def verify(root: Path | str) -> Iterator[Finding]:
    """Return what is found in a store, one finding at least for each entry.

    Args:
        root: the store.
    """
    root = Path(root)
    if not root.is_dir():
        return
    for room in sorted(root.iterdir()):
        if room.name not in EXPERIMENTS or not room.is_dir():
            if not room.name.startswith(".") and room.name != "README.md":
                yield Finding("foreign", room, "is no experiment of this package.", "Move it away.")
            continue
        for model in sorted(room.iterdir()):
            for folder in sorted(model.iterdir()) if model.is_dir() else [model]:
                yield from _entry(folder)


def _entry(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir() or not HASH.fullmatch(folder.name):
        yield Finding("foreign", folder, "is no folder of a run.", "Move it away.")
        return
    if {path.name for path in folder.iterdir()} <= {".lock"}:
        yield Finding("unfinished", folder, "has not begun.", "The same command begins it.")
        return
    faults = list(_finished(folder) if store.is_done(folder) else _on_its_way(folder))
    faults += _unknown(folder)
    faults += _leftovers(folder)
    yield from faults
    if not any(fault.kind in (*FAULTS, "older", "unfinished", "elsewhere") for fault in faults):
        yield Finding("whole", folder, "")


def _settings(folder: Path) -> tuple[Experiment | None, list[Finding]]:
    """Return a run's settings and what is the matter with them."""
    path = folder / "config.json"
    if not path.exists():
        return None, [Finding("truncated", folder, "has no config.json.", RESTORE)]
    try:
        values = read_json(path)
    except FileError:
        return None, [Finding("truncated", path, "is no JSON.", RESTORE)]
    try:
        config = from_dict(values)
    except (ValueError, TypeError, AttributeError) as error:
        return None, [Finding("edited", path, f"holds no settings ({error}).", RESTORE)]
    if config.hash != folder.name:
        what = f"its settings belong into a folder {config.hash}."
        return None, [Finding("edited", path, what, RESTORE)]
    if (config.name, config.model) != folder.parts[-3:-1]:
        place = "/".join((config.name, config.model, config.hash))
        return config, [Finding("foreign", folder, f"belongs into {place}.", "Move it there.")]
    return config, []


def _finished(folder: Path) -> Iterator[Finding]:
    path = folder / "done.json"
    try:
        mark = store.read_mark(folder)
    except FileError:
        try:
            json.loads(path.read_bytes())
            yield Finding("edited", path, "is not as it was written.", RESTORE)
        except ValueError:
            yield Finding("truncated", path, "is no JSON.", RESTORE)
        return
    sums = mark["sha256"]
    for name in store.NEEDED:
        if name not in sums:
            yield Finding("edited", path, f"has no checksum of {name}.", RESTORE)
    damaged = False
    for name in sums:
        if not (folder / name).exists():
            damaged = True
            yield Finding("truncated", folder / name, "is missing.", RESTORE)
            continue
        try:
            store.content(folder, name)
        except FileError:
            damaged = True
            what = "is not what the run wrote: edited, or cut short."
            yield Finding("edited", folder / name, what, RESTORE)
    if damaged:
        return
    _, faults = _settings(folder)
    yield from faults
    yield from _inconsistent(folder, mark)
    for name in ("dynamics.csv", "crossings.csv", "dynamics.json"):
        if (folder / name).exists() and name not in sums:
            what = "was not made of the finished run, or not to its end."
            yield Finding("stale", folder / name, what, "Analyse it again, or remove it.")
    if "seal" not in read_json(path):
        yield Finding("older", path, "older version, no digest of its own; the files agree.")
    yield from _checkpoints(folder, None)


def _inconsistent(folder: Path, mark: dict) -> Iterator[Finding]:
    """Compare a marker's numbers with the history that it seals."""
    try:
        history = store.read_history(folder).to_dict("records")
        for key in ("best", "last"):
            epoch = mark[key]["epoch"]
            row = history[epoch - 1]
            if any(mark[key].get(name) != value for name, value in row.items() if value == value):
                what = f"its {key} numbers are not those of epoch {epoch} of the history."
                yield Finding("edited", folder / "done.json", what, RESTORE)
        if mark["last"]["epoch"] != len(history):
            what = f"has {len(history)} epochs, the run {mark['last']['epoch']}."
            yield Finding("truncated", folder / "history.csv", what, RESTORE)
    except (FileError, KeyError, IndexError) as error:
        yield Finding("truncated", folder / "history.csv", f"is not whole ({error}).", RESTORE)


def _on_its_way(folder: Path) -> Iterator[Finding]:
    config, faults = _settings(folder)
    yield from faults
    if any((folder / name).exists() for name in ("checkpoint.pt", "checkpoint.earlier.pt")):
        yield Finding("unfinished", folder, "is on its way.", "The same command goes on with it.")
        yield from _checkpoints(folder, config)
    elif (folder / "history.csv").exists():
        try:
            store.read_history(folder)
        except FileError as error:
            yield Finding("truncated", folder / "history.csv", f"cannot be read ({error}).", ANEW)
        what = "is on its way on another machine: nothing here to compare its history with."
        yield Finding("elsewhere", folder, what, "Go on there, or begin it anew with --restart.")
    elif config is not None:
        yield Finding("unfinished", folder, "has not begun.", "The same command begins it.")


def _checkpoints(folder: Path, config: Experiment | None) -> Iterator[Finding]:
    """Look at the files that are not for version control: checkpoints, samples, snapshots."""
    done = store.is_done(folder)
    remedy = "Remove it; the results are whole without it." if done else ANEW
    history, older = None, 0
    for path in (folder / "checkpoint.pt", folder / "checkpoint.earlier.pt"):
        if not path.exists():
            continue
        try:
            state = load_checkpoint(path)
        except FileError:
            yield Finding("truncated", path, "cannot be read: cut short or altered.", remedy)
            continue
        older += not is_signed(path)
        if config is not None and state.get("config") != config.to_dict():
            yield Finding("foreign", path, "is of other settings.", remedy)
            continue
        history = history or state["run"]["history"]
    for room, suffix, load in (
        ("orbits", ".npz", load_arrays),
        ("snapshots", ".pt", load_checkpoint),
    ):
        for path in epochs_in(folder / room, suffix).values():
            try:
                load(path)
                older += not is_signed(path)
            except FileError:
                what = "cannot be read: cut short or altered."
                again = "The run records it again when it goes on, if its snapshot is whole."
                yield Finding("truncated", path, what, remedy if done else f"{again} {ANEW}")
    if older and not done:
        what = f"older version, no digest in {older} files; the checksums in them agree."
        yield Finding("older", folder, what)
    yield from _stale_rows(folder)
    if history and not done:
        yield from _history(folder, history)
        yield from _holes(folder, config, len(history))


def _history(folder: Path, history: list[dict]) -> Iterator[Finding]:
    """Compare a history with the one in the checkpoint, which may be some epochs behind."""
    path = folder / "history.csv"
    again = "Start the run again: it is then written from the checkpoint."
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        yield Finding("truncated", path, "cannot be read.", again)
        return
    expected = store.history_text(history)
    if not text.startswith(expected):
        kind = "truncated" if expected.startswith(text) else "edited"
        yield Finding(kind, path, "is not what the checkpoint says.", again)
    elif not text.endswith("\n"):
        yield Finding("truncated", path, "its last line is cut.", again)


def _holes(folder: Path, config: Experiment | None, last: int) -> Iterator[Finding]:
    if config is None:
        return
    there = epochs_in(folder / "orbits", ".npz")
    due = range(0, min(last, config.record_until) + 1, config.record_every)
    holes = [epoch for epoch in due if epoch not in there]
    if holes:
        what = f"lacks the samples of epochs {', '.join(map(str, holes))}."
        again = "The run records them again when it goes on, if their snapshots are there."
        yield Finding("truncated", folder / "orbits", what, f"{again} {ANEW}")
    for epoch, path in there.items():
        if epoch not in due and epoch <= last:
            what = "is of no epoch that this run records."
            yield Finding("foreign", path, what, "Move it away.")


def _stale_rows(folder: Path) -> Iterator[Finding]:
    """Compare what was analysed with the snapshots that are there now."""
    path = folder / "snapshots" / "fixed_points.pt"
    if not path.exists():
        return
    try:
        found = load_checkpoint(path)
    except FileError:
        what = "cannot be read: cut short or altered."
        yield Finding("truncated", path, what, "Remove it; analyse makes it again.")
        return
    stored = epochs_in(folder / "snapshots", ".pt")
    for epoch, entry in found.items():
        old = isinstance(entry, dict) and epoch in stored
        if old and entry["snapshot"] != digest_of(stored[epoch]):
            what = f"its row of epoch {epoch} is of another snapshot."
            yield Finding("stale", path, what, "Analyse the run again.")


def _unknown(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        name = path.name
        if name in WORKING or name in KNOWN or name == "done.json" or path in leftovers(folder):
            continue
        yield Finding("foreign", path, "is no file of a run.", "Move it away.")
    if not store.is_done(folder) and not (folder / "config.json").exists():
        names = [p.name for p in folder.iterdir() if p.name in (KNOWN | WORKING) - {".lock"}]
        if names:
            what = f"holds {', '.join(sorted(names))} of a run without settings."
            yield Finding("orphaned", folder, what, "Restore config.json, or move it away.")


def _leftovers(folder: Path) -> Iterator[Finding]:
    found = [
        path
        for place in (folder, folder / "orbits", folder / "snapshots")
        for path in leftovers(place)
    ]
    if not found:
        return
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            pass
    except (filelock.Timeout, OSError):  # a process is at work and may be writing them
        return
    for path in found:
        remedy = "Remove it; a run that goes on does so itself."
        yield Finding("leftover", path, "is what a killed process was writing.", remedy)

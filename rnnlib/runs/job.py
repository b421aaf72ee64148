"""A run and its folder: take it, go on where the last process stopped, write down, finish."""

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import torch

from rnnlib.files import (
    FileError,
    json_text,
    leftovers,
    load_arrays,
    load_checkpoint,
    read_json,
    save_checkpoint,
    write_json,
)
from rnnlib.nn import measure_precisions
from rnnlib.runs import store
from rnnlib.runs.experiments import Experiment, from_dict
from rnnlib.runs.provenance import provenance
from rnnlib.training import Run, Snapshots, arithmetic, subnormals

KEPT_WEIGHTS = 500_000  # of larger networks the results hold no weights; the checkpoint has them
ASIDE = "aside"  # where a run that is begun anew keeps what was there
OURS = (
    "checkpoint.",
    "config.",
    "provenance.",
    "history.",
    "orbits.",
    "network.",
    "done.",
    "epoch_",
)


class Busy(RuntimeError):
    """Another process is at work on a run."""


class OutOfTime(RuntimeError):
    """The time that was given is up; the run goes on from its checkpoint."""


@dataclass(frozen=True)
class State:
    """A checkpoint: what it holds, and how far the run was."""

    values: dict

    @property
    def epoch(self) -> int:
        return len(self.values["run"]["history"])

    @property
    def ended(self) -> bool:
        return self.values.get("ended", False)


class Job:
    """A run and its folder.

    Args:
        config: the settings.
        folder: of the run.
        device: what it runs on.
    """

    run: Run  # these four from `open` and `take_up` on
    states: list[State]
    parts: list[dict]
    notes: dict

    def __init__(self, config: Experiment, folder: Path, device: torch.device):
        self.config, self.folder, self.device = config, folder, device
        self.checkpoint = folder / "checkpoint.pt"
        self.earlier = folder / "checkpoint.earlier.pt"  # one round back
        self.lock = filelock.FileLock(folder / ".lock", timeout=0)
        self.is_open = False

    def open(self, restart: bool = False, wait: bool = False) -> None:
        """Take the folder and read its checkpoints; what can fail does so before it is changed.

        Args:
            restart: begin anew a run that cannot go on.
            wait: wait for another process that is at work on it.

        Raises:
            Busy: another process is at work on it.
            FileError: it cannot go on.
            ValueError: the network is too large.
        """
        config, folder = self.config, self.folder
        task = config.task(self.device)
        try:
            model = config.network().to(self.device)
        except (RuntimeError, MemoryError, OverflowError) as error:
            raise ValueError(
                f"the network of {config} with n_hidden {config.n_hidden} cannot be made on "
                f"{self.device} ({str(error).splitlines()[0]}). Choose fewer units."
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            raise Busy(
                f"another process is at work on {config} in {folder}; wait for it to end."
            ) from None
        if store.is_done(folder):  # by another process, meanwhile
            return
        self._clear_leftovers()
        try:
            self.states = self._read_states()
        except FileError:
            if not restart:
                raise
            self._move_aside()
            self.states = []
        self.callbacks = config.callbacks(folder, task)
        self.run = Run(task, model, config.settings(), self.callbacks, str(config))
        if not self.states:
            if self._has_results():
                if not restart:
                    raise FileError(
                        f"{folder} holds a part of {config}, but not its checkpoint, which stays "
                        f"on the machine that made it. Go on there; or begin it anew with "
                        f"--restart, which keeps what is there in {folder / ASIDE}."
                    )
                self._move_aside()
            self.states = [State(self._state([]))]
        self.is_open = True

    def close(self) -> None:
        """Give the folder back."""
        self.is_open = False
        self.lock.release()

    @property
    def newest(self) -> State:
        return self.states[0]

    def state_at(self, epoch: float) -> State | None:
        """Return the newest checkpoint that is not beyond an epoch."""
        return next((state for state in self.states if state.epoch <= epoch), None)

    def take_up(self, state: State) -> None:
        """Go on from a checkpoint, and write down where the run stands.

        Raises:
            FileError: a sample is missing or damaged and cannot be recorded again.
        """
        run, folder = self.run, self.folder
        run.load_state_dict(state.values["run"])
        for callback in self.callbacks:
            callback.forget(after=run.epoch if run.epoch else -1)  # these are recorded again
        if run.epoch:
            self._mend_samples()
        self.notes = self._notes()
        part = provenance(self.device, run.epoch, task_data(run.task))
        part |= arithmetic(run.task, self.device) | self._choose_precision()
        self.parts = [*state.values["parts"], part]
        write_json(folder / "config.json", self.config.to_dict())
        if run.history:
            store.write_history(folder, run.history)  # the epochs since are run again
        else:
            (folder / "history.csv").unlink(missing_ok=True)
            self.save()  # a history without a checkpoint is so always one of another machine
        self._write_provenance()

    def _choose_precision(self) -> dict[str, str]:
        """Settle "fastest" by a measurement, say what came of it, and return it to be noted."""
        task, model = self.run.task, self.run.model
        if model.layer_precision == "fastest":
            z, _ = next(iter(task.batches()))
            with subnormals.flushed() if subnormals.concerns(task, self.device) else nullcontext():
                speed = measure_precisions(model.layer, min(len(z), 40), z.shape[1])
            model.layer_precision = speed.best
            print(f"{self.config}: layer_precision {speed}", file=sys.stderr)
        return {"layer_precision": model.layer_precision}

    def write_epoch(self) -> None:
        """Write the epoch down."""
        store.append_history(self.folder, self.run.history[-1])

    def save(self) -> None:
        """Write a checkpoint, and keep the one before."""
        if self.checkpoint.exists():
            os.replace(self.checkpoint, self.earlier)
        save_checkpoint(self.checkpoint, self._state(self.parts))
        self._write_provenance()

    def finish(self) -> None:
        """Pack the results and mark them; the text files are written as the run knows them."""
        run, folder = self.run, self.folder
        recorder = self.callbacks[0]
        self.config.pack(folder, [e for e in range(run.epoch + 1) if recorder.due(e)])
        assert run.best is not None  # a run that has ended has had an epoch
        weights = {"best": run.best["model"], "last": run.model.state_dict()}
        weights["last"] = {key: p.clone() for key, p in weights["last"].items()}
        records = {"best": dict(run.history[run.best["epoch"] - 1]), "last": dict(run.history[-1])}
        for which, record in records.items():
            run.model.load_state_dict(weights[which])
            record |= run.task.test(run.model.eval())
        if sum(p.numel() for p in run.parameters) <= KEPT_WEIGHTS:
            save_checkpoint(folder / "network.pt", weights[self.config.kept_weights])
        texts = {
            "config.json": json_text(self.config.to_dict()),
            "provenance.json": json_text(self._provenance()),
            "history.csv": store.history_text(run.history),
        }
        summary = {**records, "end": run.end, "stored": self.config.kept_weights}
        store.mark_done(folder, summary, texts)
        self.earlier.unlink(missing_ok=True)

    def _state(self, parts: list[dict]) -> dict:
        return {
            "config": self.config.to_dict(),
            "run": self.run.state_dict(),
            "parts": parts,
            "ended": self.run.ended,
        }

    def _provenance(self) -> dict:
        return {"parts": self.parts, "seconds": self.run.seconds, **self.notes}

    def _notes(self) -> dict:
        """Return what else ``provenance.json`` says of a run that goes on."""
        if not self.run.epoch or not (self.folder / "provenance.json").exists():
            return {}
        known = read_json(self.folder / "provenance.json")
        return {key: value for key, value in known.items() if key not in ("parts", "seconds")}

    def _write_provenance(self) -> None:
        write_json(self.folder / "provenance.json", self._provenance())

    def _read_states(self) -> list[State]:
        """Return the checkpoints that are there, the newest first."""
        states = []
        for path in (self.checkpoint, self.earlier):
            if path.exists():
                remedy = (
                    "Nothing was changed. Restore it from a copy, or begin the run anew with "
                    f"--restart, which keeps what is there in {self.folder / ASIDE}."
                )
                values = load_checkpoint(path, self.device, remedy)
                self._check_config(path, values)
                if "parts" not in values:  # of an older version
                    values["parts"] = store.parse_json(self.folder, "provenance.json")["parts"]
                states.append(State(values))
        if states and (self.folder / "config.json").exists():
            store.read_config(self.folder)  # an edited one would be sealed
        return states

    def _check_config(self, path: Path, values: dict) -> None:
        try:
            same = from_dict(values["config"]) == self.config
        except (KeyError, TypeError, ValueError):
            same = False
        if not same:
            raise FileError(
                f"checkpoint {path} is of another configuration than {self.config}. Nothing was "
                f"changed. Restore the right one, or begin the run anew with --restart."
            )

    def _has_results(self) -> bool:
        names = ("history.csv", "orbits", "snapshots", "orbits.npz", "network.pt")
        return any((self.folder / name).exists() for name in names)

    def _move_aside(self) -> None:
        """Move everything into the next ``aside/`` folder."""
        places = (self.folder / ASIDE / str(k) for k in range(1, 10**6))
        place = next(path for path in places if not path.exists())
        place.mkdir(parents=True)
        for path in list(self.folder.iterdir()):
            if path.name not in (ASIDE, ".lock"):
                os.replace(path, place / path.name)

    def _clear_leftovers(self) -> None:
        """Remove what a killed process was writing; with the lock held none of it is in use."""
        for folder in (self.folder, self.folder / "orbits", self.folder / "snapshots"):
            for path in leftovers(folder):
                if path.name.lstrip(".").startswith(OURS):
                    path.unlink(missing_ok=True)

    def _mend_samples(self) -> None:
        """Record samples again that are missing or damaged, from snapshots of the weights."""
        recorder = self.callbacks[0]
        remedy = f"Restore it from a copy, or begin the run anew with --restart ({self.folder})."
        snapshots = [c for c in self.callbacks if isinstance(c, Snapshots)]
        weights = snapshots[0].stored() if snapshots else {}
        bad = recorder.missing(self.run.epoch)
        for epoch, path in recorder.stored().items():
            try:
                load_arrays(path)
            except FileError:
                bad.append(epoch)
        for epoch in sorted(bad):
            if epoch not in weights:
                raise FileError(
                    f"{recorder.folder} lacks the sample of epoch {epoch}, or it is damaged, and "
                    f"it cannot be recorded again without a snapshot of the weights. {remedy}"
                )
            network = self.config.network().to(self.device)
            network.load_state_dict(load_checkpoint(weights[epoch], self.device, remedy))
            recorder.begun = True  # later samples are of this run
            recorder(epoch, network.eval())


def task_data(task: Any) -> dict[str, str]:
    """Return the checksums of a task's data files; drawn data has none."""
    return getattr(task, "checksums", {})

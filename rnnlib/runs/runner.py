"""Run experiments into the store: resumable, one process per run."""

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import filelock
import torch

from rnnlib.files import FileError, load_checkpoint, read_json, save_checkpoint, write_json
from rnnlib.nn import measure_precisions
from rnnlib.runs import store
from rnnlib.runs.experiments import Experiment, from_dict, single_precision
from rnnlib.training import Run, arithmetic, subnormals, train

CHECKPOINT_EVERY = 30.0  # seconds
KEPT_WEIGHTS = 500_000  # of larger networks the results hold no weights; the checkpoint has them


class Busy(RuntimeError):
    """Another process is at work on a run."""


def check_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        ValueError: there is no such device on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        gpus = torch.cuda.device_count()
        has = ", ".join(["cpu", *(f"cuda:{k}" for k in range(gpus))])
        raise ValueError(
            f"device is {name!r}, which this machine does not have; it has {has}. Without a GPU "
            f"leave out the device, or check that torch {torch.__version__} is a CUDA build."
        ) from error
    return device


def run(
    configs: Experiment | Sequence[Experiment],
    root: Path | str,
    *,
    device: str = "cpu",
    together: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Run experiments, or go on with those that were cut short; finished ones are left alone.

    Args:
        configs: one experiment or several.
        root: the store, for example ``results``.
        device: "cpu", "cuda", "cuda:1", ...
        together: train all as one batched computation, see `rnnlib.training.loop.train`.
        progress: whether to show how far it is.

    Returns:
        The folders of the results.

    Raises:
        ValueError: no such device.
        FileError: a damaged checkpoint, or one of other settings.
        Busy: another process is at work on one of the runs.
        NonFiniteLoss: see `rnnlib.training.loop.train`.
    """
    configs = [configs] if isinstance(configs, Experiment) else list(configs)
    place = check_device(device)
    if place.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # else its LSTM rounds factors to 10 bits
    groups = [configs] if together else [[config] for config in configs]
    for group in groups:
        todo = [c for c in group if not store.is_done(store.folder_of(root, c))]
        if todo:
            with single_precision():  # whatever the session's default is
                _train(todo, root, place, progress)
    return [store.folder_of(root, config) for config in configs]


def _train(configs, root, device, progress) -> None:
    jobs = [_Job(config, store.folder_of(root, config), device) for config in configs]
    try:
        for job in jobs:
            job.open()
        by_run = {id(job.run): job for job in jobs}
        train([job.run for job in jobs], lambda run: by_run[id(run)].after_epoch(), progress)
        for job in jobs:
            job.finish()
    finally:
        for job in jobs:
            job.lock.release()


class _Job:
    """A run and its folder."""

    def __init__(self, config: Experiment, folder: Path, device: torch.device):
        self.config, self.folder, self.device = config, folder, device
        self.checkpoint = folder / "checkpoint.pt"
        self.lock = filelock.FileLock(folder / ".lock", timeout=0)

    def open(self) -> None:
        """Take the folder, and go on where the last process stopped."""
        config, folder = self.config, self.folder
        task = config.task(self.device)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire()
        except filelock.Timeout:
            raise Busy(
                f"another process is at work on {config} in {folder}; wait for it to end."
            ) from None
        callbacks = config.callbacks(folder, task)
        model = config.network().to(self.device)
        self.run = Run(task, model, config.settings(), callbacks, str(config))
        if self.checkpoint.exists():
            self._resume()
        else:
            write_json(folder / "config.json", config.to_dict())
        if self.run.history:
            store.write_history(folder, self.run.history)  # the epochs since are run again
        else:
            (folder / "history.csv").unlink(missing_ok=True)
        self.parts = self._earlier_parts()
        part = store.provenance(self.device, self.run.epoch, task_data(task))
        self.parts.append(part | arithmetic(task, self.device) | self._choose_precision(task))
        self._write_provenance()
        self.saved = time.monotonic()

    def _choose_precision(self, task) -> dict[str, str]:
        """Settle "fastest" by a measurement, say what came of it, and return it to be noted."""
        model = self.run.model
        if model.layer_precision == "fastest":
            z, _ = next(iter(task.batches()))
            with subnormals.flushed() if subnormals.concerns(task, self.device) else nullcontext():
                speed = measure_precisions(model.layer, min(len(z), 40), z.shape[1])
            model.layer_precision = speed.best
            print(f"{self.config}: layer_precision {speed}", file=sys.stderr)
        return {"layer_precision": model.layer_precision}

    def _write_provenance(self) -> None:
        parts = {"parts": self.parts, "seconds": self.run.seconds}
        write_json(self.folder / "provenance.json", parts)

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint, self.device)
        if _config_of(state) != self.config:
            raise FileError(
                f"checkpoint {self.checkpoint} is of another configuration than {self.config}. "
                f"Nothing was changed. Move it away to start from the beginning."
            )
        self.run.load_state_dict(state["run"])

    def _earlier_parts(self) -> list[dict]:
        path = self.folder / "provenance.json"
        if not self.run.history or not path.exists():
            return []
        return read_json(path)["parts"]

    def after_epoch(self) -> None:
        """Write the epoch down, and now and then a checkpoint."""
        store.append_history(self.folder, self.run.history[-1])
        if self.run.ended or time.monotonic() - self.saved > CHECKPOINT_EVERY:
            self._save()

    def _save(self) -> None:
        state = {"config": self.config.to_dict(), "run": self.run.state_dict()}
        save_checkpoint(self.checkpoint, state)
        self._write_provenance()
        self.saved = time.monotonic()

    def finish(self) -> None:
        """Pack the results and mark them."""
        run, folder = self.run, self.folder
        self._write_provenance()
        self.config.pack(folder)
        weights = {"best": run.best["model"], "last": run.model.state_dict()}
        weights["last"] = {key: p.clone() for key, p in weights["last"].items()}
        records = {"best": dict(run.history[run.best["epoch"] - 1]), "last": dict(run.history[-1])}
        for which, record in records.items():
            run.model.load_state_dict(weights[which])
            record |= run.task.test(run.model.eval())
        if sum(p.numel() for p in run.parameters) <= KEPT_WEIGHTS:
            save_checkpoint(folder / "network.pt", weights[self.config.kept_weights])
        store.mark_done(folder, {**records, "end": run.end, "stored": self.config.kept_weights})


def _config_of(state: dict) -> Experiment | None:
    """Return the settings of a checkpoint, None where they are not any that there are."""
    try:
        return from_dict(state["config"])
    except (KeyError, TypeError, ValueError):
        return None


def task_data(task) -> dict[str, str]:
    """Return the checksums of a task's data files; drawn data has none."""
    return getattr(task, "checksums", {})

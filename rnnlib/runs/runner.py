"""Run experiments into the store: resumable, one process per run."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rnnlib.runs import store
from rnnlib.runs.experiments import Experiment, single_precision
from rnnlib.runs.job import Busy, Job, OutOfTime
from rnnlib.training import NonFiniteLoss, Run, train

__all__ = ["Busy", "OutOfTime", "Outcome", "RunsFailed", "check_device", "each", "run"]

CHECKPOINT_EVERY = 30.0  # seconds


class RunsFailed(RuntimeError):
    """Some of several runs failed; the others were run."""


class Outcome(NamedTuple):
    """How a run went: its settings, its folder, and what stopped it, if anything did."""

    config: Experiment
    folder: Path
    error: Exception | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run.

    Attributes:
        device: "cpu", "cuda", "cuda:1", ...
        together: train all as one batched computation, see `rnnlib.training.train`.
        restart: begin a run anew whose checkpoint is damaged or lost; what was there is kept
            in ``aside/`` of its folder. Without it such a run is an error.
        wait: where another process is at work on a run, wait for it.
        seconds: stop after an epoch, with a checkpoint, so that it is no longer than this.
        progress: whether to show how far it is.
    """

    device: str = "cpu"
    together: bool = False
    restart: bool = False
    wait: bool = False
    seconds: float | None = None
    progress: bool = True


def check_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        ValueError: there is no such device on this machine.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the meta device makes tensors without numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        gpus = torch.cuda.device_count()
        has = ", ".join(["cpu", *(f"cuda:{k}" for k in range(gpus))])
        raise ValueError(
            f"device is {name!r}, which this machine does not have; it has {has}. Without a GPU "
            f"leave out the device, or check that torch {torch.__version__} is a CUDA build."
        ) from error
    return device


def run(configs: Experiment | Sequence[Experiment], root: Path | str, **options: Any) -> list[Path]:
    """Run experiments, or go on with those that were cut short; finished ones are left alone.

    One that fails does not stop the others.

    Args:
        configs: one experiment or several.
        root: the store, for example ``results``.
        options: see `Options`.

    Returns:
        The folders of the results.

    Raises:
        ValueError: no such device, or a network too large for it.
        FileError: a damaged checkpoint, or one of other settings.
        Busy: another process is at work on the run.
        OutOfTime: the time was up.
        NonFiniteLoss: see `rnnlib.training.train`.
        RunsFailed: one of these, of several runs.
    """
    configs = [configs] if isinstance(configs, Experiment) else list(configs)
    failed = [(config, error) for config, _, error in each(configs, root, **options) if error]
    if failed and len(configs) == 1:
        raise failed[0][1]
    if failed:
        lines = "".join(f"\n{config}: {error}" for config, error in failed)
        raise RunsFailed(f"{len(failed)} of {len(configs)} runs failed:{lines}")
    return [store.folder_of(root, config) for config in configs]


def each(configs: Sequence[Experiment], root: Path | str, **options: Any) -> Iterator[Outcome]:
    """Run experiments as `run` does, and tell of each how it went once it has.

    Args:
        configs: the experiments; the same one twice counts once.
        root: the store.
        options: see `Options`.

    Raises:
        ValueError: no such device.
    """
    how = Options(**options)
    device = check_device(how.device)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # else its LSTM rounds factors to 10 bits
    until = None if how.seconds is None else time.monotonic() + how.seconds
    configs = list(dict.fromkeys(configs))
    for group in [configs] if how.together else [[config] for config in configs]:
        with single_precision():  # whatever the session's default is
            errors = _run_group(group, root, device, how, until)
        for config in group:
            yield Outcome(config, store.folder_of(root, config), errors.get(config))


def _run_group(
    configs: list[Experiment],
    root: Path | str,
    device: torch.device,
    how: Options,
    until: float | None,
) -> dict[Experiment, Exception]:
    """Train replicas as one batch, or a single run; return what went wrong with which."""
    errors: dict[Experiment, Exception] = {}
    todo = [c for c in configs if not store.is_done(store.folder_of(root, c))]
    if until is not None and time.monotonic() >= until:  # nothing is begun on the disk
        return {c: OutOfTime("the time is up before it began.") for c in todo}
    while todo:
        jobs = []
        try:
            for config in todo:
                job = Job(config, store.folder_of(root, config), device)
                jobs.append(job)
                try:
                    job.open(how.restart, how.wait)
                except Exception as error:  # this one alone
                    errors[config] = error
            opened = [job for job in jobs if job.is_open]
            _train(opened, how.progress, until)
            break
        except NonFiniteLoss as error:  # the others go on without it, from their checkpoints
            (bad,) = (job.config for job in jobs if job.is_open and job.run is error.run)
            errors[bad] = error
        except Exception as error:
            errors |= {config: error for config in todo if config not in errors}
        finally:
            for job in jobs:
                job.close()
        todo = [config for config in todo if config not in errors]
    return errors


def _train(jobs: list[Job], progress: bool, until: float | None) -> None:
    if not jobs:
        return
    if not resume_together(jobs):
        print(
            "note: these runs stand at different epochs, so their histories may differ in the "
            "last digits from those of runs that are never interrupted.",
            file=sys.stderr,
        )
    rounds = _Rounds(jobs, until)
    train([job.run for job in jobs], rounds.after_epoch, progress)
    for job in jobs:
        job.finish()


def resume_together(jobs: list[Job]) -> bool:
    """Take up the last round that all replicas have a checkpoint of; return whether there is one.

    What a batch computes depends in its last digits on who is in it. So replicas that began
    together go on together: from one epoch, but for those that had ended before.
    """
    live = [job.newest for job in jobs if not job.newest.ended]
    target = min((state.epoch for state in live), default=float("inf"))
    chosen = [job.state_at(target) for job in jobs]
    alike = all(state and (state.ended or state.epoch == target) for state in chosen)
    for job, state in zip(jobs, chosen, strict=True):
        job.take_up(state if alike and state else job.newest)
    return alike


class _Rounds:
    """Writes down what each round of epochs has given, and stops when the time is up."""

    def __init__(self, jobs: list[Job], until: float | None):
        self.jobs = {id(job.run): job for job in jobs}
        self.until = until
        self.live = [job.run for job in jobs if not job.run.ended]
        self.begun = self.saved = time.monotonic()
        self._check_time(0.0)

    def after_epoch(self, run: Run) -> None:
        self.jobs[id(run)].write_epoch()
        if run is not self.live[-1]:
            return
        now = time.monotonic()
        took, self.begun = now - self.begun, now
        ended = any(run.ended for run in self.live)
        late = self.until is not None and now + took > self.until
        if ended or late or now - self.saved > CHECKPOINT_EVERY:
            for run in self.live:  # all of them after the same round
                self.jobs[id(run)].save()
            self.saved = now
        self.live = [run for run in self.live if not run.ended]
        self._check_time(took)

    def _check_time(self, epoch: float) -> None:
        """Stop if another epoch of so many seconds would end too late."""
        if self.until is not None and self.live and time.monotonic() + epoch > self.until:
            names = ", ".join(f"{run.name} at epoch {run.epoch}" for run in self.live)
            raise OutOfTime(f"the time is up: {names}. The same command goes on from there.")

"""Hand a plan to Snakemake, tell how far it is, and stop in time.

Snakemake runs the missing runs side by side, one process a core (or each as a job of SLURM), tries
a failed one again, and goes on with the others. It has a fresh folder for each batch and keeps
nothing: which runs are done, and how far the others are, is in the store. So the engine may be
killed at any instant, and two may work on one store.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rnnlib.files import write_text
from rnnlib.runs import store
from rnnlib.runs.batch import BatchError, Planned, as_json, command_of, epochs_done, id_of
from rnnlib.stopping import STATUSES, noted, put_off

TELL_EVERY = 30.0  # seconds
SOME = 60.0  # seconds of work, by the estimates, before the time left is told
GRACE = 60.0  # seconds after the end of the time in which epochs may end
PATIENCE = 10.0  # seconds in which a process that is interrupted may end before it is killed
CANCELLING = 60.0  # seconds in which the jobs of SLURM may be cancelled
SNAKEFILE = Path(__file__).with_name("Snakefile")


def find_snakemake() -> str:
    """Return the path of Snakemake: RNNLIB_SNAKEMAKE, ``.venv-batch`` or on the search path.

    Raises:
        BatchError: there is none.
    """
    places = [
        os.environ.get("RNNLIB_SNAKEMAKE"),
        Path(sys.executable).with_name("snakemake"),
        Path(__file__).parents[2] / ".venv-batch" / "bin" / "snakemake",
        Path(".venv-batch/bin/snakemake"),
        shutil.which("snakemake"),
    ]
    for place in places:
        if place and Path(place).exists():
            return str(Path(place).absolute())
    raise BatchError(
        "Snakemake, which runs batches, is not installed. `make batch` installs it into "
        ".venv-batch; or `pip install -r requirements-batch.txt` into an environment of its own "
        "and name it in RNNLIB_SNAKEMAKE."
    )


def new_folder(home: Path) -> Path:
    """Return a fresh folder for a batch."""
    folder = home / f"{datetime.now():%Y-%m-%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder.absolute()


def run_batch(
    planned: Sequence[Planned],
    root: Path,
    folder: Path,
    *,
    jobs: int,
    device: str = "cpu",
    until: float | None = None,
    slurm: str | None = None,
    busy: str = "skip",
) -> bool:
    """Run what is planned; return whether each had its turn, so that none was stopped in time.

    Args:
        planned: the missing runs, in the order in which they start.
        root: the store.
        folder: of this batch: its plan, its logs.
        jobs: how many runs at a time.
        device: what they run on.
        until: the time, as of `time.time`, at which all is to have stopped.
        slurm: send each run to SLURM with these resources, such as "slurm_partition=gpu"; None
            runs them here.
        busy: what a worker does with a run that another process is at work on: "skip" or "wait".
    """
    worker = [sys.executable, "-m", "rnnlib"]
    common = ["--root", str(root.absolute()), "--device", device, "--restart", "--busy", busy]
    if until is not None:
        common += ["--stop-at", repr(until)]
    commands = [[*worker, *command_of(p.config), *common] for p in planned]
    gpus = int(device.startswith("cuda"))
    write_text(folder / "plan.json", as_json(planned, commands, gpus if slurm is not None else 0))
    arguments = [
        find_snakemake(), "--snakefile", str(SNAKEFILE), "--directory", str(folder),
        "--keep-going", "--retries", "1", "--quiet", "all", "--nocolor",
    ]  # fmt: skip
    if slurm is None:
        arguments += ["--cores", str(jobs)]
    else:
        arguments += ["--executor", "slurm", "--jobs", str(jobs), "--latency-wait", "60"]
        arguments += ["--slurm-requeue", "--default-resources", *shlex.split(slurm)]
        if not _has_accounting():
            arguments += ["--slurm-status-command", "squeue"]  # sacct would never tell of an end
    environment = os.environ | {"PYTHONPATH": _python_path(), "OMP_NUM_THREADS": _threads()}
    for name in ("ended", "failing", "failed"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "failing").mkdir()
    how = {"patience": PATIENCE if slurm is None else CANCELLING, "env": environment}
    with open(folder / "engine.log", "a") as log:
        with interruptible(arguments, stdout=log, stderr=log, **how) as engine:
            try:
                return _watch(engine, planned, until)
            finally:  # what fails from here on has been interrupted
                os.replace(folder / "failing", folder / "failed")


@contextmanager
def interruptible(
    arguments: list[str], *, patience: float = PATIENCE, **options: Any
) -> Iterator[subprocess.Popen]:
    """Start a process with a session of its own; at the end of the block nothing of it is left.

    Args:
        arguments: the command.
        patience: how many seconds it has to end, once interrupted, before it is killed. Workers
            may be: they go on from their checkpoints.
        options: of `subprocess.Popen`.
    """
    process = None
    try:
        with noted():  # between its start and its name it could not be ended
            process = subprocess.Popen(arguments, start_new_session=True, **options)
        yield process
    finally:
        if process is not None:
            with put_off():
                _end(process, patience)


def _end(process: subprocess.Popen, patience: float) -> None:
    """Interrupt a process and all that it has started, then kill what is left."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):  # nothing of it is left
            pass
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass


def _watch(engine: subprocess.Popen, planned, until) -> bool:
    """Wait for the engine, tell how far it is; let it begin nothing more once the time is up.

    Returns whether it has ended by itself. Where an epoch outlasts the time it has not ended.
    """
    before = {p.folder: epochs_done(p.folder) for p in planned}
    started = told = time.time()
    in_time = True
    while engine.poll() is None:
        try:
            engine.wait(1.0)
        except subprocess.TimeoutExpired:
            pass
        now = time.time()
        if until is not None and now > until and in_time:
            in_time = False
            engine.send_signal(signal.SIGTERM)  # waits for the runs under way, begins no others
        if until is not None and now > until + GRACE:
            break
        if now - told > TELL_EVERY:
            told = now
            print(progress(planned, before, now - started), flush=True)
    return in_time


def log_of(planned: Planned, folder: Path) -> Path:
    """Return where the output of a run goes."""
    return folder / "log" / f"{id_of(planned.config)}.log"


def last_line(planned: Planned, folder: Path) -> str | None:
    """Return the last line that a run has said; None if it was not started."""
    try:
        lines = log_of(planned, folder).read_text(errors="replace").split("\n")
    except OSError:
        return None
    return next((line for line in reversed(lines) if line.strip()), "")


def failure(planned: Planned, folder: Path, in_time: bool) -> str | None:
    """Return why a run failed; None if it has ended, or can go on.

    Args:
        planned: the run.
        folder: of the batch.
        in_time: whether each run had its turn, see `run_batch`.
    """
    last = last_line(planned, folder) or ""
    if store.is_done(planned.folder) or last.lower().startswith("stopped"):
        return None
    try:
        status = int((folder / "failed" / id_of(planned.config)).read_text())
    except (OSError, ValueError):
        if not in_time:  # it was ended together with what runs it, or had not begun
            return None
        return f"it was killed, or never begun; {folder / 'engine.log'}"
    if status in STATUSES:
        return None
    killed = f"killed by signal {status - 128}"
    return killed if status > 128 else last.removeprefix("error: ") or f"exit status {status}"


def was_busy(planned: Planned, folder: Path) -> bool:
    """Return whether a run was left to another process."""
    last = last_line(planned, folder) or ""
    return not store.is_done(planned.folder) and "another process is at work" in last


def progress(planned: Sequence[Planned], before: dict[Path, int], seconds: float) -> str:
    """Return a line: how many runs have ended, which are under way, and the time left.

    The time is from the estimates, corrected by how they have held so far.

    Args:
        planned: the runs of the batch.
        before: by folder how many epochs there were when it began.
        seconds: since then.
    """
    ended = [p for p in planned if store.is_done(p.folder)]
    moving, did, left, unknown = [], 0.0, 0.0, 0
    for p in planned:
        now = epochs_done(p.folder)
        if p.cost.epoch is None:
            unknown += p not in ended
            continue
        did += p.cost.epoch * (now - before[p.folder])
        if p not in ended:
            left += p.cost.left(now) or 0.0
    for p in planned:
        now = epochs_done(p.folder)
        if p not in ended and now > before[p.folder]:
            moving.append(f"{p.config} at epoch {now} of {p.cost.epochs}")
    text = f"{len(ended)} of {len(planned)} runs done"
    if moving:
        text += "; under way: " + ", ".join(moving[:4]) + (" and more" if moving[4:] else "")
    if did > SOME and left > 0:
        text += f"; about {duration(left * seconds / did)} left"
    return text + (f", {unknown} of unknown cost" if unknown and moving else "")


def duration(seconds: float | None) -> str:
    """Return a number of seconds for people to read."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def _has_accounting() -> bool:
    """Return whether this SLURM keeps accounts, which not every one does."""
    try:
        return subprocess.run(["sacct", "-n"], capture_output=True).returncode == 0
    except OSError:
        return False


def _python_path() -> str:
    """Return a search path on which the workers find this very package."""
    here = str(Path(__file__).parents[2])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _threads() -> str:
    return os.environ.get("OMP_NUM_THREADS", "1")  # one process a core

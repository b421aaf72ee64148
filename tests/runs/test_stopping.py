"""Asked to end at any instant, a command says one line, leaves no process, and goes on later."""

import os
import signal
import subprocess
import sys
import time

import pytest
from small_runs import HOME, files_of, options_of, process, run, tiny

from rnnlib import stopping
from rnnlib.runs import engine, store
from rnnlib.runs.batch import id_of, plan

ASKS = ["SIGINT", "SIGTERM", "SIGHUP"]
GRID = """
[grid]
shows = "four runs"
experiment = "sine"
preset = "quick"
model = ["lstm"]
seed = [0, 1, 2, 3]
"""


def until(true, of=None, seconds=60):
    """Wait until something is true, while a process lives."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline and (of is None or of.poll() is None)
        time.sleep(0.02)


def alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("package", "asked"), [*(("torch", asked) for asked in ASKS), ("pandas", "SIGINT")]
)
def test_a_command_that_is_still_being_imported_ends_at_once(package, asked, tmp_path):
    """Hypothesis: in the package's own imports, and in those of its commands."""
    reached = tmp_path / "reached"
    lines = f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\ntime.sleep(100)\n"
    (tmp_path / f"{package}.py").write_text(lines)
    one = subprocess.Popen(
        [sys.executable, "-m", "rnnlib", "batch", "--dry-run"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(HOME)])},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(reached.exists, one)
    one.send_signal(getattr(signal, asked))
    _, error = one.communicate(timeout=20)
    assert error == stopping.LINE + "\n"
    assert one.returncode == 128 + getattr(signal, asked)


def test_the_package_leaves_the_signals_of_programs_that_import_it_alone():
    code = "import rnnlib, signal; print(signal.getsignal(signal.SIGINT).__name__)"
    code += "; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "rnnlib"],
        env=os.environ | {"PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["default_int_handler", "True"]


@pytest.mark.parametrize("asked", ["SIGINT", "SIGTERM"])
def test_a_run_that_is_asked_to_end_goes_on_to_the_same_end(asked, tmp_path):
    config = tiny(epochs=400)
    one = process([*options_of(config), "--root", tmp_path])
    folder = store.folder_of(tmp_path, config)
    until(lambda: (folder / "history.csv").exists(), one)
    one.send_signal(getattr(signal, asked))
    _, error = one.communicate(timeout=60)
    assert (one.returncode, error) == (128 + getattr(signal, asked), stopping.LINE + "\n")
    run(config, tmp_path)
    assert files_of(folder) == files_of(run(config, tmp_path / "whole"))


@pytest.fixture
def batch(tmp_path):
    """Start a batch with an engine that begins a child, and waits for it."""
    (tmp_path / "grid.toml").write_text(GRID)
    script = tmp_path / "snakemake"

    def start(*options, trap="", before=""):
        script.write_text(
            f"#!/bin/sh\n{trap}\nsleep 1000 &\necho $! > child.part\n"
            f"mv child.part {tmp_path}/child\nwait\nwait\n"
        )
        script.chmod(0o755)
        arguments = ["batch", "--file", tmp_path / "grid.toml", "--root", tmp_path / "store"]
        before = f"import os; os.chdir({str(tmp_path)!r})\n{before}"
        one = process([*arguments, *options], before, RNNLIB_SNAKEMAKE=str(script))
        until((tmp_path / "child").exists, one)
        return one, int((tmp_path / "child").read_text())

    return start


QUICK = "from rnnlib.runs import engine; engine.PATIENCE, engine.GRACE = 0.5, 0.0"


@pytest.mark.parametrize(
    ("asked", "trap"), [("SIGINT", ""), ("SIGTERM", "trap '' INT TERM"), ("SIGHUP", "")]
)
def test_a_batch_that_is_asked_to_end_leaves_no_process_behind(asked, trap, batch):
    """Hypothesis: neither the engine nor a run of it, also if they do not listen."""
    one, child = batch(trap=trap, before=QUICK)
    one.send_signal(getattr(signal, asked))
    out, error = one.communicate(timeout=30)
    assert "Stopped: 0 runs done, 0 failed, 4 to go on with" in out
    assert (one.returncode, error) == (128 + getattr(signal, asked), stopping.LINE + "\n")
    until(lambda: not alive(child), seconds=5)


@pytest.mark.parametrize("before", ["", "import signal; signal.signal(2, signal.SIG_IGN)"])
def test_the_end_of_the_time_is_no_failure(before, batch):
    """Hypothesis: also in the background of a script, where interrupts are ignored."""
    one, child = batch("--minutes", "0.02", before=f"{QUICK}\n{before}")
    out, error = one.communicate(timeout=30)
    assert "Stopped: 0 runs done, 0 failed, 4 to go on with" in out
    assert (one.returncode, error) == (0, "")
    until(lambda: not alive(child), seconds=5)


def test_what_a_batch_says_of_a_run_that_is_not_done(tmp_path):
    """Known answers: only what failed by itself is a failure."""
    (planned,) = plan(tmp_path / "store", [tiny()])
    log, failed = tmp_path / "log" / f"{id_of(tiny())}.log", tmp_path / "failed" / id_of(tiny())
    log.parent.mkdir()
    failed.parent.mkdir()

    def told(line, status=None, in_time=False):
        log.write_text(line)
        failed.unlink(missing_ok=True)
        if status is not None:
            failed.write_text(f"{status}\n")
        return engine.failure(planned, tmp_path, in_time)

    assert told("Traceback\nKeyboardInterrupt\n") is None  # as Python itself started
    assert told("epoch 3\n") is told("") is None
    assert told("x\n" + stopping.LINE, 130) is told("", 143) is told("", 129) is None
    assert told("stopped: sine: the time is up", in_time=True) is None
    assert told("error: the disk is full\n", 2) == "the disk is full"
    assert told("Traceback\nTypeError: no\n", 1) == "TypeError: no"
    assert told("epoch 3\n", 137) == "killed by signal 9" and told("", 1) == "exit status 1"
    assert "killed, or never begun" in told("epoch 3\n", in_time=True)
    log.unlink()
    failed.unlink(missing_ok=True)
    assert engine.failure(planned, tmp_path, False) is None

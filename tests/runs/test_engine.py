"""The engine of a batch: what it is started with, what is told of it, when it is stopped.

A script that writes down its arguments stands in for Snakemake; `test_batch.py` has real batches.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import HOME, tiny

from rnnlib.runs import engine
from rnnlib.runs.batch import BatchError, Cost, Planned, plan
from rnnlib.runs.engine import (
    GRACE,
    SOME,
    TELL_EVERY,
    duration,
    find_snakemake,
    last_line,
    log_of,
    new_folder,
    progress,
    run_batch,
    was_busy,
)

STANDIN = """#!{python}
import json, os, sys
told = {{"arguments": sys.argv[1:], "path": os.environ["PYTHONPATH"], "threads": os.environ["OMP_NUM_THREADS"]}}
json.dump(told, open("{told}", "w"))
print("said by the engine")
"""  # noqa: E501


@pytest.fixture
def standin(tmp_path, monkeypatch):
    """Return a function that makes a stand-in and gives back how it was called."""

    def make():
        script, told = tmp_path / "snakemake", tmp_path / "told.json"
        script.write_text(STANDIN.format(python=sys.executable, told=told))
        script.chmod(0o755)
        monkeypatch.setenv("RNNLIB_SNAKEMAKE", str(script))
        return lambda: json.loads(told.read_text())

    return make


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (0, "0 s"),
        (89, "89 s"),
        (91, "2 min"),
        (5399, "90 min"),
        (5401, "1.5 h"),
        (172_799, "48.0 h"),
        (172_801, "2.0 days"),
        (864_000, "10.0 days"),
    ],
)
def test_seconds_are_told_in_the_unit_that_people_use(seconds, words):
    assert duration(seconds) == words


def test_a_batch_goes_to_the_engine_with_its_plan_and_its_cores(standin, tmp_path):
    told, root = standin(), tmp_path / "store"
    planned = plan(root, [tiny(), tiny("classification")])
    folder = new_folder(tmp_path / "batches")
    (folder / "ended").mkdir()  # of an earlier start
    assert run_batch(planned, root, folder, jobs=3)
    found = told()
    options = dict(zip(found["arguments"][::1], found["arguments"][1:], strict=False))
    assert options["--cores"] == "3" and options["--directory"] == str(folder)
    assert options["--retries"] == "1" and "--keep-going" in found["arguments"]
    assert Path(options["--snakefile"]).name == "Snakefile"
    assert "--executor" not in options and not (folder / "ended").exists()
    assert found["path"].split(os.pathsep)[0] == str(HOME) and found["threads"] == "1"
    assert (folder / "engine.log").read_text() == "said by the engine\n"
    made = json.loads((folder / "plan.json").read_text())
    assert made["gpus"] == 0 and len(made["runs"]) == 2
    command = made["runs"][0]["command"]
    assert command[:3] == [sys.executable, "-m", "rnnlib"]
    assert command[-7:] == [
        "--root", str(root), "--device", "cpu", "--restart", "--busy", "skip"
    ]  # fmt: skip


@pytest.mark.parametrize("accounting", [True, False])
def test_a_batch_for_a_cluster_asks_for_its_resources(accounting, standin, tmp_path, monkeypatch):
    told = standin()
    monkeypatch.setattr(engine, "_has_accounting", lambda: accounting)
    planned = plan(tmp_path, [tiny()])
    folder = new_folder(tmp_path)
    resources = "slurm_partition=gpu 'slurm_account=my lab'"
    how = dict(device="cuda:0", until=4e9, slurm=resources, busy="wait")
    assert run_batch(planned, tmp_path, folder, jobs=4, **how)
    arguments = told()["arguments"]
    options = dict(zip(arguments, arguments[1:], strict=False))
    assert options["--executor"] == "slurm" and options["--jobs"] == "4"
    assert options["--latency-wait"] == "60" and "--slurm-requeue" in arguments
    at = arguments.index("--default-resources")
    assert arguments[at + 1 : at + 3] == ["slurm_partition=gpu", "slurm_account=my lab"]
    assert ("--slurm-status-command" in arguments) != accounting
    assert "--cores" not in arguments
    made = json.loads((folder / "plan.json").read_text())
    assert made["gpus"] == 1
    assert made["runs"][0]["command"][-4:] == ["--busy", "wait", "--stop-at", "4000000000.0"]


def test_a_gpu_here_is_no_resource_of_a_cluster(standin, tmp_path):
    standin()
    folder = new_folder(tmp_path)
    run_batch(plan(tmp_path, [tiny()]), tmp_path, folder, jobs=1, device="cuda")
    assert json.loads((folder / "plan.json").read_text())["gpus"] == 0


def test_snakemake_is_the_one_that_is_named_if_it_is_there(standin, tmp_path, monkeypatch):
    standin()
    assert find_snakemake() == str(tmp_path / "snakemake")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNLIB_SNAKEMAKE", "snakemake")
    assert find_snakemake() == str(tmp_path / "snakemake")  # absolute, for whatever folder
    (tmp_path / "snakemake").unlink()
    monkeypatch.setattr(engine, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    with pytest.raises(BatchError, match="make batch"):
        find_snakemake()
    beside = tmp_path / ".venv-batch" / "bin" / "snakemake"
    beside.parent.mkdir(parents=True)
    beside.write_text("")
    assert find_snakemake() == str(beside)


def test_each_batch_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = new_folder(Path("batches"))
    assert folder.is_absolute() and folder.parent == tmp_path / "batches"
    assert folder.name.endswith(f"-{os.getpid()}")


class Engine:
    """An engine that ends after some seconds by the clock."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.told = clock, seconds, []

    def poll(self):
        return 0 if self.clock[0] >= self.seconds else None

    def send_signal(self, number):
        self.told.append((self.clock[0], number))

    def wait(self, timeout):
        self.clock[0] += timeout
        raise subprocess.TimeoutExpired("snakemake", timeout)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(engine.time, "time", lambda: now[0])
    return now


def test_an_engine_is_waited_for_and_told_of_now_and_then(clock, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(engine, "progress", lambda p, before, t: seen.append(t) or "so far")
    assert engine._watch(Engine(clock, 100), [], None)
    assert clock[0] == 100
    assert seen == [TELL_EVERY + 1, 2 * (TELL_EVERY + 1), 3 * (TELL_EVERY + 1)]
    assert capsys.readouterr().out == "so far\n" * 3


@pytest.mark.parametrize(("ends", "seen"), [(1000, 20 + GRACE + 1), (40, 40), (20, 20)])
def test_an_engine_begins_nothing_after_its_time_and_has_some_grace_to_end(ends, seen, clock):
    """Hypothesis: it is told once, a second too late; one that ends by then had its time."""
    one = Engine(clock, ends)
    assert engine._watch(one, [], 20.0) == (ends <= 20)
    assert clock[0] == seen
    assert one.told == ([] if ends <= 20 else [(21.0, signal.SIGTERM)])


def test_progress_is_told_by_what_has_ended_what_moves_and_how_the_estimates_held(tmp_path):
    """Hypothesis: 4 epochs of 30 s in 60 s, by the estimate 120, so what is left takes half."""
    done = tmp_path / "done"
    done.mkdir()
    for name, text in (("done.json", "{}"), ("checkpoint.pt", ""), ("history.csv", "\n" * 5)):
        (done / name).write_text(text)
    configs = [tiny(), tiny(seed=1, epochs=10), tiny(seed=2), tiny(seed=3)]
    cost = Cost(30.0, 10, "made up")
    costs = [cost, cost, cost, Cost(None, 10, "unknown")]
    planned = [
        Planned(c, done if k == 0 else tmp_path / str(k), 0, costs[k])
        for k, c in enumerate(configs)
    ]
    before = {p.folder: 0 for p in planned}
    assert progress(planned, before | {done: 4}, 60.0) == "1 of 4 runs done"
    planned[1].folder.mkdir()
    (planned[1].folder / "checkpoint.pt").write_text("")
    (planned[1].folder / "history.csv").write_text("head\n1\n2\n")
    # did 4 and 2 epochs of 30 s; left are 8 and 10: 540 s by the estimate
    expected = "1 of 4 runs done; under way: sine lstm seed 1 at epoch 2 of 10; about 3 min left"
    assert progress(planned, before, 60.0) == expected + ", 1 of unknown cost"
    none = progress(planned[:3], before | {done: 4}, 60.0)
    assert 2 * 30 <= SOME and "left" not in none  # too little to go by
    assert "unknown" not in progress(planned[:3], before, 60.0)


def test_many_runs_under_way_are_not_all_named(tmp_path):
    planned = []
    for k in range(6):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "checkpoint.pt").write_text("")
        (folder / "history.csv").write_text("head\n1\n")
        planned.append(Planned(tiny(seed=k), folder, 0, Cost(1.0, 4, "")))
    text = progress(planned, {p.folder: 0 for p in planned}, 1.0)
    assert text.startswith("0 of 6 runs done") and text.count(" at epoch 1 of 4") == 4
    assert text.endswith(" and more")
    four = progress(planned[:4], {p.folder: 0 for p in planned}, 1.0)
    assert four.count(" at epoch 1 of 4") == 4 and "more" not in four


def test_the_last_line_of_a_log_says_how_a_run_went(tmp_path):
    """Hypothesis: None if it was not started, and busy only while it is not done."""
    (planned,) = plan(tmp_path / "store", [tiny()])
    assert last_line(planned, tmp_path) is None and not was_busy(planned, tmp_path)
    path = log_of(planned, tmp_path)
    path.parent.mkdir()
    path.write_text("")
    assert last_line(planned, tmp_path) == ""
    path.write_bytes(b"a line\nerror: another process is at work on it \xff\n\n")
    assert last_line(planned, tmp_path).startswith("error: another") and was_busy(planned, tmp_path)
    planned.folder.mkdir(parents=True)
    (planned.folder / "done.json").write_text("{}")
    assert not was_busy(planned, tmp_path)


def test_a_cluster_without_accounts_is_noticed(monkeypatch):
    for status, expected in ((0, True), (1, False)):
        monkeypatch.setattr(
            engine.subprocess, "run", lambda *a, s=status, **k: subprocess.CompletedProcess(a, s)
        )
        assert engine._has_accounting() == expected

    def missing(*arguments, **options):
        raise FileNotFoundError

    monkeypatch.setattr(engine.subprocess, "run", missing)
    assert not engine._has_accounting()


def test_workers_find_this_package_first_and_keep_their_threads(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert engine._python_path() == os.pathsep.join([str(HOME), "elsewhere"])
    monkeypatch.delenv("PYTHONPATH")
    assert engine._python_path() == str(HOME)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert engine._threads() == "2"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert engine._threads() == "1"

"""The same file of experiments on a real SLURM: `make test-slurm`."""

import os
import subprocess
import time

import pytest
from one_node_slurm import missing, one_node_slurm
from small_runs import HOME, files_of, process, run
from test_batch import GRID, _engine

from rnnlib.runs import store
from rnnlib.runs.audit import FAULTS, verify
from rnnlib.runs.batch import read_targets

pytestmark = [
    pytest.mark.skipif(not os.environ.get("RNNLIB_TEST_SLURM"), reason="`make test-slurm`"),
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a SLURM"),
    pytest.mark.skipif(_engine() is None, reason="no Snakemake: `make batch`"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as host:
        yield host


def batch(path, root, *options):
    arguments = ["batch", "--file", path, "--root", root, "--no-chapters", *options]
    arguments += ["--slurm", "slurm_partition=test"]
    return process(arguments, f"import os; os.chdir({str(root.parent)!r})")


def jobs():
    done = subprocess.run(["squeue", "-h", "-o", "%i %T"], capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_the_file_of_a_laptop_runs_as_jobs_of_slurm(cluster, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID.replace("[50, 52, 54, 56, 58]", "[50]"))
    root = tmp_path / "store"
    one = batch(path, root)
    seen, deadline = set(), time.monotonic() + 400
    while one.poll() is None and time.monotonic() < deadline:
        seen |= {job for job, _ in jobs()}
        time.sleep(0.5)
    out, error = one.communicate(timeout=60)
    assert one.returncode == 0 and "3 runs done, 0 failed" in out, out + error
    assert len(seen) >= 3
    (target,) = read_targets(path).values()
    for config in target.configs:
        here = run(config, tmp_path / "here")
        assert files_of(store.folder_of(root, config)) == files_of(here)
    assert [f for f in verify(root) if f.kind in FAULTS] == []


def test_a_job_that_is_cancelled_is_sent_again_and_goes_on_from_its_checkpoint(cluster, tmp_path):
    """Hypothesis: preemption costs the epochs since the last checkpoint, not the run."""
    path = tmp_path / "grid.toml"
    text = GRID.replace("[50, 52, 54, 56, 58]", "[50]").replace('"lstm", "ornn", ', "")
    path.write_text(
        text.replace("epochs = 3", 'epochs = 3000, learning_rate = 1e-3, until = "epochs"')
    )
    root = tmp_path / "store"
    one = batch(path, root)
    (target,) = read_targets(path).values()
    folder = store.folder_of(root, target.configs[0])
    deadline = time.monotonic() + 300
    while not (folder / "checkpoint.earlier.pt").exists():  # a checkpoint after some epochs
        assert one.poll() is None and time.monotonic() < deadline, one.communicate()
        time.sleep(0.5)
    running = [job for job, state in jobs() if state == "RUNNING"]
    subprocess.run(["scancel", *running], check=True)
    out, error = one.communicate(timeout=400)
    assert one.returncode == 0 and "1 runs done, 0 failed" in out, out + error
    parts = store.parse_json(folder, "provenance.json")["parts"]
    assert len(parts) == 2 and parts[1]["from_epoch"] > 0


def test_a_machine_without_a_gpu_refuses_a_gpu_job_in_one_line(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    arguments = ["batch", "--file", path, "--root", tmp_path / "store", "--device", "cuda:7"]
    one = process(arguments, f"import os; os.chdir({str(HOME)!r})")
    out, error = one.communicate(timeout=120)
    assert one.returncode == 2 and error.count("\n") == 1 and "does not have" in error, out

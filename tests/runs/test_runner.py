"""The store and the runner: killed runs, damaged files, and what counts as finished."""

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from small_runs import HOME, run, tiny

from rnnlib.__main__ import main
from rnnlib.files import FileError, load_checkpoint, save_checkpoint, write, write_text
from rnnlib.nn.bfloat16 import Speed, library_has_bfloat16
from rnnlib.runs import job, runner, store
from rnnlib.runs.experiments import configure
from rnnlib.training import read_samples


def damage(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


KILLED = """
import sys
from rnnlib.runs import runner
from rnnlib.__main__ import main
runner.CHECKPOINT_EVERY = 0.2
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_killed_again_and_again_gives_the_history_of_one_never_killed(tmp_path):
    sizes = {"model": "ornn-rebased", "epochs": 120, "n_hidden": 20, "record_every": 40}
    sizes |= {"record_burn_in": 50, "record_steps": 20, "length": 24}
    config = configure("sine", "quick", **sizes)
    folder = store.folder_of(tmp_path / "killed", config)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in sizes.items()]

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, "run", "sine", "--preset", "quick", "--quiet"]
            + [*options, "--root", str(tmp_path / "killed")],
            env=os.environ | {"PYTHONPATH": str(HOME)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    kills = 0
    for epochs in (3, 70):  # kill once the history is so long
        process = start()
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            path = folder / "history.csv"
            if path.exists() and path.read_bytes().count(b"\n") > epochs:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        process.communicate()
    assert kills == 2 and not store.is_done(folder)
    process = start()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error.decode()

    expected = run(config, tmp_path / "whole")
    assert (folder / "history.csv").read_bytes() == (expected / "history.csv").read_bytes()
    ours, whole = store.read_orbits(folder), store.read_orbits(expected)
    np.testing.assert_array_equal(ours.orbits, whole.orbits)
    ours, whole = (load_checkpoint(path / "network.pt") for path in (folder, expected))
    assert all(torch.equal(ours[key], whole[key]) for key in whole)
    parts = json.loads((folder / "provenance.json").read_text())["parts"]
    assert parts[-1]["from_epoch"] > 0
    store.check(folder)


def test_a_finished_run_is_left_alone(tmp_path):
    folder = run(tiny(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert run(tiny(), tmp_path) == folder
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("experiment", ["sine", "classification"])
def test_a_run_leaves_all_that_the_book_reads(experiment, tmp_path):
    config = tiny(experiment)
    folder = run(config, tmp_path)
    assert folder == tmp_path / experiment / "lstm" / config.hash
    assert store.read_config(folder) == config
    history = store.read_history(folder)
    assert len(history) == 4
    done = json.loads((folder / "done.json").read_text())
    assert done["last"]["epoch"] == 4 and 1 <= done["best"]["epoch"] <= 4
    (part,) = json.loads((folder / "provenance.json").read_text())["parts"]
    assert part["packages"]["torch"] == torch.__version__ and part["device"]
    samples, packed = read_samples(folder / "orbits"), store.read_orbits(folder)
    inputs, _ = config.kept()
    assert packed.epochs.tolist() == [0, 2, 4]
    exact = samples.orbits[:, :, inputs]
    np.testing.assert_allclose(packed.orbits, exact, rtol=2.0**-11, atol=1e-6)


def test_the_stored_network_is_that_of_the_best_epoch(tmp_path):
    config = tiny("classification", epochs=6)
    folder = run(config, tmp_path)
    best = json.loads((folder / "done.json").read_text())["best"]
    record = config.task().evaluate(store.read_network(folder))
    assert record["valid_loss"] == pytest.approx(best["valid_loss"], rel=1e-6)


def test_the_numbers_of_a_run_are_those_of_its_weights(tmp_path):
    """Hypothesis: best and last carry the test of their own weights, best or last are stored."""
    for kept in ("best", "last"):
        config = tiny("classification", epochs=5, learning_rate=0.3, kept_weights=kept)
        folder = run(config, tmp_path)
        done = json.loads((folder / "done.json").read_text())
        assert done["end"] == "epochs" and done["stored"] == kept
        assert done["best"]["epoch"] < done["last"]["epoch"] == 5  # else this tests nothing
        task, network = config.task(), store.read_network(folder)
        assert task.test(network)["fresh_loss"] == pytest.approx(done[kept]["fresh_loss"], rel=1e-5)
        found = task.evaluate(network)["valid_loss"]
        assert found == pytest.approx(done[kept]["valid_loss"], rel=1e-5)
        assert done["best"]["fresh_loss"] != done["last"]["fresh_loss"]


def test_a_sine_runs_best_network_is_evaluated(tmp_path):
    config = tiny(epochs=3)
    folder = run(config, tmp_path)
    done = json.loads((folder / "done.json").read_text())
    found = config.task().test(store.read_network(folder))["evaluated_mse"]
    assert found == pytest.approx(done["best"]["evaluated_mse"], rel=1e-5)
    assert done["best"]["evaluated_mse"] != done["best"]["mse"]


def test_a_large_networks_weights_are_in_its_checkpoint_alone(tmp_path, monkeypatch):
    config = tiny(epochs=2)
    count = sum(p.numel() for p in config.network().parameters())
    networks = []
    for most in (count, count - 1):
        monkeypatch.setattr(job, "KEPT_WEIGHTS", most)
        folder = run(config, tmp_path / str(most))
        assert (folder / "network.pt").exists() == (most == count)
        networks.append(store.read_network(folder).state_dict())
    assert all(torch.equal(p, networks[1][key]) for key, p in networks[0].items())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_multiplies_in_single_precision_and_a_processor_is_left_alone(device, monkeypatch):
    """Hypothesis: cuDNN's rounding of factors is off before anything is trained on a GPU."""
    seen = []
    monkeypatch.setattr(runner, "check_device", torch.device)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(
        runner, "_run_group", lambda *_: seen.append(torch.backends.cudnn.allow_tf32) or {}
    )
    list(runner.each([tiny()], "nowhere", device=device))
    assert seen == [device == "cpu"]


def test_a_run_is_float32_whatever_the_sessions_default(tmp_path):
    for experiment in ("sine", "classification", "language"):
        sizes = {"epochs": 1, "n_hidden": 4, "record_burn_in": 2, "record_steps": 4}
        config = configure(experiment, "quick", **sizes)
        expected = run(config, tmp_path / "single")
        torch.set_default_dtype(torch.float64)
        try:
            found = run(config, tmp_path / "double")
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        assert (found / "history.csv").read_bytes() == (expected / "history.csv").read_bytes()
        if experiment != "language":
            ours, theirs = store.read_orbits(found), store.read_orbits(expected)
            np.testing.assert_array_equal(ours.orbits, theirs.orbits)


def test_seconds_of_a_run_on_its_way_are_kept_up_to_date(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "CHECKPOINT_EVERY", 0.0)
    config, seen = tiny(epochs=3), []
    folder = store.folder_of(tmp_path, config)

    def look(path, state):
        save_checkpoint(path, state)
        if "run" in state:
            seen.append(state["run"]["seconds"])
            if len(seen) == 3:
                told.append(json.loads((folder / "provenance.json").read_text())["seconds"])

    told = []
    monkeypatch.setattr(job, "save_checkpoint", look)
    run(config, tmp_path)
    assert told == [seen[1]] and 0 < seen[1] < seen[2]


def test_a_checkpoint_from_before_a_setting_was_added_is_taken_up(tmp_path):
    folder = interrupted(tmp_path, tiny())
    state = load_checkpoint(folder / "checkpoint.pt")
    for name in ("decay_factor", "stall_epochs", "stall_change", "kept_weights"):
        del state["config"][name]
    save_checkpoint(folder / "checkpoint.pt", state)
    run(tiny(), tmp_path)
    parts = json.loads((folder / "provenance.json").read_text())["parts"]
    assert parts[-1]["from_epoch"] == 4


def test_the_provenance_says_how_it_was_computed(tmp_path):
    folder = run(tiny("classification", epochs=1), tmp_path)
    (part,) = json.loads((folder / "provenance.json").read_text())["parts"]
    assert part["threads"] == 1 and part["subnormals"] in (
        "flushed",
        "kept, the processor cannot flush them",
    )


@pytest.mark.parametrize("option", ["--clip=inf", "--seed=-1", f"--seed={2**70}"])
def test_what_cannot_be_run_is_refused_before_a_folder_is_made(option, tmp_path, capsys):
    root = tmp_path / "store"
    assert main(["run", "sine", "--preset", "quick", option, "--root", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and option[2:].split("=")[0] in error
    assert not root.exists()


def test_the_fastest_precision_is_measured_said_and_written_down(tmp_path, capsys, monkeypatch):
    for best in ("float32", "bfloat16"):
        speed = Speed(1.0, 0.5 if best == "bfloat16" else 2.0)
        monkeypatch.setattr(job, "measure_precisions", lambda *sizes, speed=speed: speed)
        if best == "bfloat16" and not library_has_bfloat16():
            continue
        folder = run(tiny(epochs=1, layer_precision="fastest"), tmp_path / best)
        (part,) = json.loads((folder / "provenance.json").read_text())["parts"]
        assert part["layer_precision"] == best
        assert f"layer_precision {best}" in capsys.readouterr().err
    plain = run(tiny(epochs=1), tmp_path / "plain")
    same = tmp_path / "float32" / "sine" / "lstm"
    (measured,) = same.glob("*/history.csv")
    assert measured.read_bytes() == (plain / "history.csv").read_bytes()


def test_a_history_reads_back_to_the_last_digit(tmp_path):
    folder = run(tiny(), tmp_path)
    history = store.read_history(folder)
    state = load_checkpoint(folder / "checkpoint.pt")["run"]["history"]
    assert history.to_dict("records") == state


def test_runs_are_found_by_their_settings(tmp_path):
    made = {seed: run(tiny(seed=seed, epochs=1), tmp_path) for seed in (1, 0)}
    other = run(tiny(model="gru", epochs=1), tmp_path)
    assert store.find(tmp_path, "sine") == [other, made[0], made[1]]
    assert store.find(tmp_path, "sine", seed=1, model="lstm") == [made[1]]
    assert store.find(tmp_path, "sine", decay_epochs=()) == [other, made[0], made[1]]
    assert store.find(tmp_path, "classification") == []
    (made[0] / "done.json").unlink()
    assert store.find(tmp_path, "sine", model="lstm") == [made[1]]
    assert store.find(tmp_path, "sine", finished=False, model="lstm") == [made[0], made[1]]


def test_replicas_run_together_fill_the_same_folders(tmp_path):
    configs = [tiny(seed=seed) for seed in (0, 1)]
    together = runner.run(configs, tmp_path / "t", together=True, progress=False)
    alone = runner.run(configs, tmp_path / "a", progress=False)
    for one, two in zip(together, alone, strict=True):
        a, b = store.read_history(one), store.read_history(two)
        np.testing.assert_allclose(a, b, rtol=1e-3)


@pytest.mark.parametrize("name", ["history.csv", "network.pt", "orbits.npz", "config.json"])
def test_a_result_edited_afterwards_is_an_error(name, tmp_path):
    folder = run(tiny(), tmp_path)
    store.check(folder)
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    with pytest.raises(FileError, match=f"{name} was altered"):
        store.check(folder)
    path.unlink()
    with pytest.raises(FileError, match="cannot be read"):
        store.check(folder)


def interrupted(tmp_path, config):
    """A run with a checkpoint at epoch 4 of 8."""
    folder = run(config, tmp_path)
    (folder / "done.json").unlink()
    return folder


def test_a_truncated_checkpoint_is_an_error_and_everything_stays(tmp_path):
    folder = interrupted(tmp_path, tiny())
    damage(folder / "checkpoint.pt")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(FileError, match="checkpoint.pt cannot be read.*--restart"):
        run(tiny(), tmp_path)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_a_checkpoint_of_other_settings_is_an_error_and_everything_stays(tmp_path):
    folder = interrupted(tmp_path, tiny())
    other = run(tiny(seed=1), tmp_path)
    (folder / "checkpoint.pt").write_bytes((other / "checkpoint.pt").read_bytes())
    history = (folder / "history.csv").read_bytes()
    with pytest.raises(FileError, match="another configuration"):
        run(tiny(), tmp_path)
    assert (folder / "history.csv").read_bytes() == history


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path):
    folder = interrupted(tmp_path, tiny())
    trace = tmp_path / "it ran"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (trace,))

    with open(folder / "checkpoint.pt", "wb") as file:
        pickle.dump(Evil(), file)
    with pytest.raises(FileError, match="cannot be read"):
        run(tiny(), tmp_path)
    assert not trace.exists()


def test_two_processes_cannot_work_on_one_run(tmp_path):
    folder = interrupted(tmp_path, tiny())
    with filelock.FileLock(folder / ".lock"):
        with pytest.raises(runner.Busy, match="another process is at work"):
            run(tiny(), tmp_path)
    run(tiny(), tmp_path)


def test_a_loss_that_explodes_leaves_the_epochs_before_it(tmp_path):
    config = tiny(model="elman", learning_rate=1e-2, epochs=8)
    folder = store.folder_of(tmp_path, config)
    calls = []

    class Poisoned(type(config.task())):
        def loss(self, y, target):
            calls.append(0)
            loss, sums, count = super().loss(y, target)
            return (loss * (float("nan") if len(calls) == 8 else 1)), sums, count

    task = config.task()
    task.__class__ = Poisoned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(config), "task", lambda self, device: task)
        with pytest.raises(RuntimeError, match="epoch 4, batch 2 of 2"):
            run(config, tmp_path)
    assert len(store.read_history(folder)) == 3 and not store.is_done(folder)
    run(config, tmp_path)  # without the poison it goes on
    assert len(store.read_history(folder)) == 8


def test_a_device_that_is_not_there_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="device is 'cuda:77'.*this machine"):
        run(tiny(), tmp_path, device="cuda:77")
    with pytest.raises(ValueError, match="device is 'gpu'"):
        run(tiny(), tmp_path, device="gpu")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "numbers"
    write_text(path, "old")

    def fill(file):
        file.write(b"half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(path, fill)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def _rewrite(path, stop):
    for k in range(10**9):
        if stop.is_set():
            return
        write_text(path, f"{k} " * 20000)


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "numbers"
    write_text(path, "0 " * 20000)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    writer = context.Process(target=_rewrite, args=(path, stop))
    writer.start()
    seen = set()
    deadline = time.monotonic() + 60
    while len(seen) < 20 and time.monotonic() < deadline:
        words = path.read_text().split()
        assert len(words) == 20000 and len(set(words)) == 1
        seen.add(words[0])
    stop.set()
    writer.join()
    assert len(seen) == 20


def test_quick_runs_never_share_a_folder_with_full_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("RNNLIB_RESULTS", str(tmp_path))
    assert store.root_of("full") == tmp_path
    assert store.root_of("quick") != tmp_path
    monkeypatch.delenv("RNNLIB_RESULTS")
    assert store.root_of("full") == HOME / "results"


def test_damaged_histories_and_settings_are_errors_that_name_the_file(tmp_path):
    folder = run(tiny(), tmp_path)
    whole = (folder / "history.csv").read_bytes()
    rows = whole.splitlines(keepends=True)
    (folder / "done.json").unlink()  # as of a run on its way
    for data in (b"".join(rows[:2] + rows[3:]), rows[0] + b"1,0.5,\n", b"", b"\0"):
        (folder / "history.csv").write_bytes(data)
        with pytest.raises(FileError, match="history.csv cannot be read"):
            store.read_history(folder)
    damage(folder / "config.json")
    with pytest.raises(FileError, match="config.json cannot be read"):
        store.read_config(folder)
    damage(folder / "orbits.npz")
    (folder / "orbits").rename(folder / "elsewhere")
    with pytest.raises(FileError, match="orbits.npz cannot be read"):
        store.read_orbits(folder)


def test_a_history_cut_anywhere_within_its_last_line_is_an_error(tmp_path):
    """Hypothesis: no prefix of a history passes for it but one that ends with an epoch."""
    folder = run(tiny(), tmp_path)
    whole = (folder / "history.csv").read_bytes()
    (folder / "done.json").unlink()
    ends = {k + 1 for k, byte in enumerate(whole) if byte == ord("\n")}
    for length in range(len(whole)):
        (folder / "history.csv").write_bytes(whole[:length])
        if length in ends:
            assert len(store.read_history(folder)) == whole[:length].count(b"\n") - 1
        else:
            with pytest.raises(FileError, match="history.csv cannot be read"):
                store.read_history(folder)


SIZES = "--epochs 2 --n-hidden 5 --record-burn-in 3 --record-steps 2".split()


def test_the_command_line_runs_a_combination_of_settings_and_lists_them(tmp_path, capsys):
    root = ["--root", str(tmp_path)]
    assert main(["run", "sine", "--preset", "quick", "--seed", "0", "1", *root, *SIZES]) == 0
    out, error = capsys.readouterr()
    assert "sine lstm seed 1: epoch 2 of 2" in error
    assert all((Path(line) / "done.json").exists() for line in out.split())
    assert main(["list", *root]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 4 and all("done, best epoch" in line for line in listed[::2])
    assert all("n_hidden 5" in line for line in listed[::2])
    assert main(["list", "--root", str(tmp_path / "empty")]) == 0
    assert "No runs in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["sine", "--modle", "lstm"], "Did you mean --model"),
        (["sine", "--model", "lstn"], "Did you mean 'lstm'"),
        (["sine", "--epochs", "many"], "invalid int value"),
        (["sine", "--device", "cuda:77"], "does not have"),
        (["classification", "--length", "20"], "at least 49"),
        (["sinus"], "invalid choice"),
    ],
)
def test_a_mistake_on_the_command_line_is_explained(arguments, hint, tmp_path, capsys):
    try:
        status = main(["run", *arguments, "--root", str(tmp_path / "empty")])
    except SystemExit as end:  # argparse
        status = end.code
    assert status == 2 and hint in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()


def test_the_package_runs_as_a_program(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "rnnlib", "list", "--root", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(HOME)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0 and "No runs in" in made.stdout, made.stderr

"""Faults of machines and of people: nothing damaged is believed, nothing stored is lost."""

import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
from small_runs import HOME, files_of, options_of, process, run, tiny, unfinished

from rnnlib.__main__ import main
from rnnlib.files import FileError, leftovers
from rnnlib.runs import job, runner, store
from rnnlib.runs.audit import FAULTS, verify
from rnnlib.runs.provenance import commit
from rnnlib.runs.runner import Busy, RunsFailed
from rnnlib.runs.sine_dynamics import analyse_sine
from rnnlib.training import NonFiniteLoss

FLIPS = int(os.environ.get("RNNLIB_TEST_FLIPS", "0"))  # as many in all, instead of a sample


def flipped(whole, bit):
    """Return a file's bytes with one bit turned over."""
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    return changed


def faults(root):
    return [finding for finding in verify(root) if finding.kind in FAULTS]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run that has been analysed."""
    folder = run(tiny(), tmp_path_factory.mktemp("store"))
    analyse_sine(folder)
    assert {f.kind for f in verify(folder.parents[2])} == {"whole"}
    return folder


@pytest.fixture
def copy(made, tmp_path):
    folder = tmp_path / "store" / made.relative_to(made.parents[2])
    shutil.copytree(made, folder)
    return folder


def test_a_flipped_bit_in_any_file_of_a_finished_run_is_found(copy):
    draw, root = np.random.default_rng(1), copy.parents[2]
    paths = [path for path in copy.rglob("*") if path.is_file() and path.name != ".lock"]
    assert len(paths) == 8 + 1 + 3 + 3 + 1  # results, checkpoint, samples, snapshots, analysis
    for path in paths:
        whole = path.read_bytes()
        for bit in draw.choice(8 * len(whole), -(-FLIPS // len(paths)) or 6, replace=False):
            path.write_bytes(flipped(whole, bit))
            assert faults(root), (path, bit)
        path.write_bytes(whole)
    assert not faults(root)


def test_no_flipped_bit_of_a_checkpoint_is_resumed_from(copy):
    unfinished(copy)
    draw, path = np.random.default_rng(2), copy / "checkpoint.pt"
    whole = path.read_bytes()
    (copy / "checkpoint.earlier.pt").unlink(missing_ok=True)
    for bit in draw.choice(8 * len(whole), FLIPS or 25, replace=False):
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(FileError, match="checkpoint.pt cannot be read"):
            run(tiny(), copy.parents[2])
    path.write_bytes(whole)
    run(tiny(), copy.parents[2])


def test_what_a_run_reads_of_a_finished_one_is_compared_with_its_marker(copy):
    for name, read in (
        ("history.csv", store.read_history),
        ("orbits.npz", store.read_orbits),
        ("network.pt", store.read_network),
        ("config.json", store.read_config),
    ):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole.replace(b"2", b"3", 1))
        with pytest.raises(FileError, match=f"{name} was altered"):
            read(copy)
        (copy / name).write_bytes(whole)


def test_an_edited_setting_of_a_run_on_its_way_is_refused(copy):
    unfinished(copy)
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace('"clip": 0.25', '"clip": 0.35'))
    with pytest.raises(FileError, match="config.json was edited"):
        run(tiny(), copy.parents[2])
    with pytest.warns(UserWarning, match="config.json was edited"):
        assert store.find(copy.parents[2], "sine", finished=False) == []


def test_a_run_without_its_checkpoint_is_never_overwritten(copy, capsys):
    """Hypothesis: in a clone, which has no checkpoints, a stored history stays as it is."""
    unfinished(copy)
    shutil.rmtree(copy / "orbits")
    shutil.rmtree(copy / "snapshots")
    (copy / "checkpoint.pt").unlink()
    history = (copy / "history.csv").read_bytes()
    with pytest.raises(FileError, match="not its checkpoint.*--restart"):
        run(tiny(), copy.parents[2])
    assert (copy / "history.csv").read_bytes() == history
    run(tiny(), copy.parents[2], restart=True)
    assert (copy / "aside" / "1" / "history.csv").read_bytes() == history
    assert store.is_done(copy) and not faults(copy.parents[2])


def test_what_lies_in_the_folder_is_not_what_is_sealed(made, tmp_path, monkeypatch):
    """Hypothesis: files edited or removed while a run trains are written anew at its end."""
    pack = type(tiny()).pack

    def meddle(self, folder, epochs):
        (folder / "history.csv").write_text("epoch,mse\n1,0.0")
        (folder / "config.json").unlink()
        pack(self, folder, epochs)

    monkeypatch.setattr(type(tiny()), "pack", meddle)
    assert files_of(run(tiny(), tmp_path)) == files_of(made)


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_a_lost_sample_is_recorded_again_or_the_run_is_refused(how, made, copy):
    unfinished(copy)
    sample = copy / "orbits" / "epoch_00002.npz"
    sample.unlink() if how == "removed" else sample.write_bytes(b"PK")
    run(tiny(), copy.parents[2])
    with np.load(copy / "orbits.npz") as ours, np.load(made / "orbits.npz") as whole:
        np.testing.assert_array_equal(ours["orbits"], whole["orbits"])
    unfinished(copy)
    for path in (sample, copy / "snapshots" / "epoch_00002.pt"):
        path.unlink()
    assert [f.path.name for f in faults(copy.parents[2])] == ["orbits"]
    with pytest.raises(FileError, match="sample of epoch 2.*Restore it"):
        run(tiny(), copy.parents[2])
    assert not store.is_done(copy)


def test_a_short_write_of_the_history_is_an_error_and_leaves_the_file_as_it_was(
    tmp_path, monkeypatch
):
    store.append_history(tmp_path, {"epoch": 1, "mse": 0.25})
    before, write = (tmp_path / "history.csv").read_bytes(), os.write

    def full(descriptor, data):
        if len(data) < 4:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        store.append_history(tmp_path, {"epoch": 2, "mse": 0.125})
    assert (tmp_path / "history.csv").read_bytes() == before


def test_a_full_disk_is_one_line_and_the_run_goes_on_to_the_same_end(made, tmp_path):
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))"
    arguments = [*options_of(tiny()), "--root", tmp_path]
    full = process([*arguments[:-2], "--root", tmp_path], limit)
    out, error = full.communicate(timeout=120)
    assert full.returncode == 2 and error.count("\n") == 1, error
    assert "same command then goes on" in error and not any(tmp_path.rglob("*.part"))
    folder = run(tiny(), tmp_path, restart=True)
    assert files_of(folder) == files_of(made)


FILLING = """
import os
from rnnlib import files
from rnnlib.runs import runner, store
runner.CHECKPOINT_EVERY = 0.0
calls, write, append = [], files.write, store.append_history
def fill():
    with open({filler!r}, "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
def full(path, contents):
    calls.append(path.name)
    if calls.count({name!r}) == {count}:
        fill()
    write(path, contents)
files.write = full
"""


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs Linux and root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("name", "count"),
    [("checkpoint.pt", 1), ("checkpoint.pt", 3), ("orbits.npz", 1), ("done.json", 1)],
)
def test_a_disk_that_fills_up_is_one_line_and_the_run_goes_on(name, count, made, small_disk):
    """Hypothesis: a real one, full at the instant in which each kind of file is written."""
    filler, root = small_disk / "filler", small_disk / "store"
    before = FILLING.format(name=name, count=count, filler=str(filler))
    full = process([*options_of(tiny()), "--root", root], before)
    out, error = full.communicate(timeout=120)
    assert full.returncode == 2 and error.count("\n") == 1, out + error
    assert "The disk is full: free some space; the same command then goes on" in error
    assert not any(root.rglob("*.part")) and not any(root.rglob("done.json"))
    filler.unlink()
    folder = run(tiny(), root)
    assert files_of(folder) == files_of(made) and not faults(root)


DYING = """
import os, signal
from rnnlib import files
calls, write = [], files.write
def dying(path, fill):
    def half(file):
        fill(file)
        file.flush()
        calls.append(path.name)
        if calls.count({name!r}) == {count}:
            os.kill(os.getpid(), signal.SIGKILL)
    write(path, half)
files.write = dying
from rnnlib.runs import runner
runner.CHECKPOINT_EVERY = 0.0
"""


@pytest.mark.parametrize(
    ("name", "count"), [("checkpoint.pt", 4), ("epoch_00002.npz", 1), ("history.csv", 1)]
)
def test_a_kill_in_the_middle_of_a_write_loses_nothing(name, count, made, tmp_path):
    """Hypothesis: in a checkpoint, a sample, and the results at the end; its traces go too."""
    config = tiny()
    killed = process(
        [*options_of(config), "--root", tmp_path], DYING.format(name=name, count=count)
    )
    _, error = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, error
    folder = store.folder_of(tmp_path, config)
    assert len(leftovers(folder) + leftovers(folder / "orbits")) == 1
    assert "leftover" in {finding.kind for finding in verify(tmp_path)}
    run(config, tmp_path)
    assert files_of(folder) == files_of(made)
    assert not any(tmp_path.rglob("*.part")) and not faults(tmp_path)


def test_replicas_killed_between_their_checkpoints_go_on_to_the_same_history(tmp_path, monkeypatch):
    """Hypothesis: whichever checkpoints of a round were written, all go on from one epoch."""
    configs = [tiny("classification", seed=seed, epochs=5) for seed in (0, 1, 2)]
    monkeypatch.setattr(runner, "CHECKPOINT_EVERY", 0.0)
    whole = runner.run(configs, tmp_path / "whole", together=True, progress=False)
    save = job.Job.save
    for kill_at in (3 + 3 + 1, 3 + 6 + 2):  # in the second and in the third round
        calls = []

        def dying(self, calls=calls, kill_at=kill_at):
            calls.append(self)
            if len(calls) == kill_at:
                raise KeyboardInterrupt
            save(self)

        monkeypatch.setattr(job.Job, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            runner.run(configs, tmp_path / str(kill_at), together=True, progress=False)
        monkeypatch.setattr(job.Job, "save", save)
        killed = runner.run(configs, tmp_path / str(kill_at), together=True, progress=False)
        for one, other in zip(whole, killed, strict=True):
            assert files_of(one) == files_of(other)
            assert len(json.loads((other / "provenance.json").read_text())["parts"]) == 2


def test_a_replica_that_diverges_does_not_stop_the_others(tmp_path, monkeypatch):
    configs = [tiny("classification", seed=seed, epochs=5) for seed in (0, 1, 2)]
    from rnnlib.training.loop import Run

    end = Run.end_epoch

    def diverging(self):
        if self.settings.seed == 1 and self.epoch == 2:
            raise NonFiniteLoss("infinite in epoch 3", self)
        end(self)

    monkeypatch.setattr(Run, "end_epoch", diverging)
    with pytest.raises(RunsFailed, match="1 of 3 runs failed:\n.*seed 1: infinite in epoch 3"):
        runner.run(configs, tmp_path, together=True, progress=False)
    assert [store.is_done(store.folder_of(tmp_path, c)) for c in configs] == [True, False, True]


def test_one_bad_run_does_not_stop_the_others(tmp_path, capsys):
    broken = store.folder_of(tmp_path, tiny(seed=0))
    broken.mkdir(parents=True)
    (broken / "checkpoint.pt").write_bytes(b"PK\3\4 cut short")
    options = options_of(tiny())
    options.insert(options.index("--seed=0"), "--root=" + str(tmp_path))
    at = options.index("--seed=0")
    options[at : at + 1] = ["--seed", "0", "1", "2"]
    assert main(options) == 2
    out, error = capsys.readouterr()
    assert len(out.split()) == 2 and "seed 0" in error and error.count("error:") == 1
    assert all(store.is_done(store.folder_of(tmp_path, tiny(seed=seed))) for seed in (1, 2))
    assert main([*options[:2], "--restart", *options[2:]]) == 0  # what was there is kept aside
    assert (broken / "aside" / "1" / "checkpoint.pt").read_bytes() == b"PK\3\4 cut short"


def test_an_edited_analysis_is_not_signed_again_and_a_stale_one_is_made_anew(made, copy):
    table = (copy / "dynamics.csv").read_bytes()
    (copy / "dynamics.csv").write_bytes(table.replace(b"1", b"2", 1))
    with pytest.raises(FileError, match="dynamics.csv was altered"):
        analyse_sine(copy)
    (copy / "dynamics.csv").write_bytes(table)
    mark = store.read_mark(copy)
    unfinished(copy)
    # The run goes on to other weights than those that were analysed
    (copy / "snapshots" / "epoch_00004.pt").write_bytes(
        (copy / "snapshots" / "epoch_00000.pt").read_bytes()
    )
    assert [f.kind for f in faults(copy.parents[2])] == ["stale"]
    found = analyse_sine(copy)
    first, last = found.iloc[0].drop("epoch"), found.iloc[-1].drop("epoch")
    np.testing.assert_allclose(first.astype(float), last.astype(float), rtol=1e-6)
    assert mark["sha256"]["dynamics.csv"]


def test_a_time_limit_stops_after_an_epoch_and_the_rest_follows(made, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])
    write = job.Job.write_epoch

    def slow(self):
        clock[0] += 10.0
        write(self)

    monkeypatch.setattr(job.Job, "write_epoch", slow)
    with pytest.raises(runner.OutOfTime, match="seed 0 at epoch 2"):
        run(tiny(), tmp_path, seconds=25.0)
    folder = store.folder_of(tmp_path, tiny())
    assert len(store.read_history(folder)) == 2
    seconds = json.loads((folder / "provenance.json").read_text())["seconds"]
    assert seconds > 0
    monkeypatch.undo()
    assert files_of(run(tiny(), tmp_path)) == files_of(made)


def test_waiting_for_another_process_gives_its_result(made, tmp_path):
    """Hypothesis: two batches on one store: each run is made once."""
    config = tiny(epochs=30)
    both = [process([*options_of(config), "--root", tmp_path, "--busy=wait"]) for _ in range(2)]
    for one in both:
        _, error = one.communicate(timeout=240)
        assert one.returncode == 0, error
    (folder,) = store.find(tmp_path, "sine")
    assert len(json.loads((folder / "provenance.json").read_text())["parts"]) == 1


def test_a_busy_run_is_told_and_the_others_go_on(tmp_path):
    import filelock

    folder = store.folder_of(tmp_path, tiny())
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / ".lock"):
        with pytest.raises(RunsFailed, match="1 of 2 runs failed.*\n.*another process"):
            runner.run([tiny(), tiny(seed=1)], tmp_path, progress=False)
        with pytest.raises(Busy):
            run(tiny(), tmp_path)
    assert store.is_done(store.folder_of(tmp_path, tiny(seed=1)))


def test_the_same_run_twice_counts_once(tmp_path):
    assert len(set(runner.run([tiny()] * 2, tmp_path, together=True, progress=False))) == 1


def test_a_repository_that_the_package_only_lies_in_is_not_its_commit(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "my thesis")
    place = tmp_path / ".venv" / "site-packages"
    shutil.copytree(HOME / "rnnlib", place / "rnnlib")
    code = "from rnnlib.runs.provenance import commit; print(commit())"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RNNLIB_")}
    claimed = subprocess.run(
        [os.sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(place)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert claimed.stdout.strip() == "{'commit': None, 'dirty': None}"
    head = subprocess.run(["git", "-C", HOME, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert commit()["commit"] == head.stdout.strip()


@pytest.mark.parametrize(("what", "status"), [("chmod", 0), ("flock", 2)])
def test_a_share_without_modes_serves_and_one_without_locks_says_so(what, status, tmp_path):
    before = "import errno, fcntl, os\n"
    if what == "chmod":
        before += "def no(*a, **k): raise PermissionError(errno.EPERM, 'not permitted')\n"
        before += "os.chmod = os.fchmod = no"
    else:
        before += "def no(*a, **k): raise OSError(errno.ENOLCK, 'No locks available')\n"
        before += "fcntl.flock = no"
    one = process([*options_of(tiny(epochs=1)), "--root", tmp_path], before)
    _, error = one.communicate(timeout=120)
    assert one.returncode == status, error
    assert status == 0 or ("local disk" in error and error.count("\n") == 1)


def test_stored_runs_of_the_first_version_are_whole():
    """Hypothesis: markers without a digest of their own count, and are told from those with one."""
    found = list(verify(HOME / "results"))
    assert [finding for finding in found if finding.kind in FAULTS] == []
    older = [finding for finding in found if finding.kind == "older"]
    assert older and all("older version, no digest" in f.what for f in older)


PLANTED = {
    "history.csv": ("edited", lambda p: p.write_bytes(p.read_bytes()[:-5])),
    "orbits.npz": ("truncated", lambda p: p.unlink()),
    "done.json": ("truncated", lambda p: p.write_bytes(p.read_bytes()[:50])),
    "notes.txt": ("foreign", lambda p: p.write_text("mine")),
    "checkpoint.pt": ("truncated", lambda p: p.write_bytes(p.read_bytes()[:500])),
    "orbits/epoch_00002.npz": ("truncated", lambda p: p.write_bytes(b"")),
    "config.json": ("edited", lambda p: p.write_bytes(p.read_bytes().replace(b"12", b"13"))),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_fault_is_named_with_what_to_do(name, copy, capsys):
    kind, plant = PLANTED[name]
    plant(copy / name)
    (found,) = faults(copy.parents[2])
    assert (found.kind, found.path, bool(found.remedy)) == (kind, copy / name, True)
    assert main(["verify", "--root", str(copy.parents[2])]) == 1
    assert f"{kind}: {copy / name}" in capsys.readouterr().out


def test_entries_in_the_wrong_place_are_foreign_and_hide_no_others(copy, capsys):
    root = copy.parents[2]
    moved = root / "sine" / "gru" / copy.name
    shutil.copytree(copy, moved)
    renamed = copy.with_name("0" * 12)
    shutil.copytree(copy, renamed)
    (root / "sines").mkdir()
    lone = copy.with_name("1" * 12)
    lone.mkdir()
    shutil.copy(copy / "history.csv", lone)
    kinds = {(f.kind, f.path) for f in faults(root)}
    assert kinds >= {
        ("foreign", moved),
        ("edited", renamed / "config.json"),
        ("foreign", root / "sines"),
        ("orphaned", lone),
    }
    assert main(["list", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert out.count("done, best epoch") == 2 and out.count("cannot be read:") == 1


@pytest.mark.parametrize("name", ["history.csv", "dynamics.csv", "network.pt"])
def test_a_marker_is_never_written_over_an_edited_file(name, copy):
    mark, table = (copy / "done.json").read_bytes(), (copy / "crossings.csv").read_bytes()
    (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    with pytest.raises(FileError, match=f"{name} was altered"):
        store.seal(copy, {"crossings.csv": "another\n"})
    assert (copy / "done.json").read_bytes() == mark
    assert (copy / "crossings.csv").read_bytes() == table

"""Batches: what is missing and what it costs; real engines, failures and kills."""

import os
import signal
import subprocess
import time

import pytest
from small_runs import HOME, process, run, tiny

from rnnlib.__main__ import main
from rnnlib.runs import store
from rnnlib.runs.audit import FAULTS, verify
from rnnlib.runs.batch import (
    BatchError,
    Measured,
    command_of,
    estimate,
    plan,
    read_targets,
    short_command,
)
from rnnlib.runs.engine import find_snakemake
from rnnlib.runs.experiments import EXPERIMENTS, configure
from rnnlib.stopping import LINE

GRID = """
[grid]
shows = "three models at five lengths"
experiment = "classification"
preset = "quick"
model = ["lstm", "ornn", "gru"]
length = [50, 52, 54, 56, 58]
settings = { epochs = 3, n_train = 40, n_valid = 40, n_hidden = 6, record_burn_in = 9 }
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_the_papers_figures_and_tables_are_declared_once():
    """Hypothesis: each claim of the scoreboard has a target whose runs it counts."""
    targets = read_targets(HOME / "experiments.toml")
    assert {"table1", "figure5", "figure7", "figure9"} <= targets.keys()
    table = targets["table1"].configs
    assert len(table) == 3 * 5 * 3
    assert {(c.model, c.length) for c in table} == {
        (m, n) for m in ("lstm", "slstm", "ornn") for n in (50, 100, 200, 300, 500)
    }
    assert all(c == configure("classification", "text", model=c.model, length=c.length, seed=c.seed)
               for c in table)  # fmt: skip
    for target in targets.values():
        assert (HOME / "book" / f"{target.chapter}.ipynb").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "cannot be read as TOML"),
        ("[a]\nshows = 'x'", "needs experiment, preset, shows"),
        (GRID.replace("length", "lenght"), "has lenght; it may have"),
        (GRID.replace('"gru"', '"gruu"'), "Did you mean 'gru'"),
        (GRID.replace("[50, 52, 54, 56, 58]", "50"), "length is 50; it must be a list"),
        (GRID.replace("epochs", "epoch"), "Did you mean 'epochs'"),
        (GRID.replace('"quick"', '"quik"'), "Did you mean 'quick'"),
    ],
)
def test_a_file_that_does_not_say_what_to_run_is_one_line(text, message, tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BatchError, match=message):
        read_targets(path)
    assert main(["batch", "--file", str(path), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_the_command_of_a_run_gives_its_settings_whatever_the_preset():
    from rnnlib.__main__ import parser

    for name, kind in EXPERIMENTS.items():
        for preset in kind.PRESETS:
            config = configure(name, preset, model="gru", seed=3)
            for arguments in (command_of(config), short_command(config).split()[3:]):
                options = parser().parse_args(arguments)
                given = {
                    key: (value[0] if isinstance(value, list) and key in ("seed", "model", "length")
                          else value)
                    for key in config.to_dict() if key != "experiment"
                    for value in [getattr(options, key)]
                }  # fmt: skip
                again = configure(name, options.preset, **given)
                assert again == config, arguments


def test_costs_are_those_of_stored_runs_of_the_same_kind():
    """Known answers: the median of the kind; else the model's nearest length, scaled; else None."""

    def stored(seconds, epochs=10, ended=True, **changes):
        return Measured(tiny("classification", **changes), epochs, seconds, ended)

    known = [stored(10.0, seed=0), stored(20.0, 20, seed=1), stored(60.0, seed=2, ended=False)]
    cost = estimate(tiny("classification", seed=7), known)
    assert (cost.epoch, cost.epochs) == (1.0, 15) and cost.left(5) == 10.0
    assert cost.source == "3 of this kind"
    longer = estimate(tiny("classification", length=100, epochs=9), known)
    assert (longer.epoch, longer.epochs) == (2.0, 9)
    assert longer.source == "3 of this model, scaled from length 50, at most"
    other = estimate(tiny("classification", model="gru"), known)
    assert other.epoch == 1.0 and other.source == "3 of other models, at most"
    assert estimate(tiny("sine"), known).epoch is None


def test_a_plan_leaves_out_what_is_done_and_begins_with_the_cheapest(tmp_path):
    done = run(tiny(), tmp_path)
    configs = [tiny(seed=0), tiny(seed=1, epochs=40), tiny(seed=2), tiny("classification")]
    planned = plan(tmp_path, [*configs, configs[2]])
    assert [p.config for p in planned] == [configs[2], configs[1], configs[3]]
    assert planned[0].seconds < planned[1].seconds and planned[2].seconds is None
    (done / "done.json").unlink()
    assert {p.config: p.done for p in plan(tmp_path, configs)}[configs[0]] == 4
    (done / "checkpoint.pt").unlink()  # as in a clone: its epochs do not help here
    assert {p.config: p.done for p in plan(tmp_path, configs)}[configs[0]] == 0


def test_a_dry_run_tells_the_order_and_the_cost_and_makes_nothing(grid, tmp_path, capsys):
    root = tmp_path / "store"
    assert main(["batch", "--file", str(grid), "--root", str(root), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "grid: 0 of 15 runs done. three models at five lengths" in out
    assert out.count("from the beginning: cost unknown") == 15 and "15 of unknown cost" in out
    assert not root.exists()
    assert main(["batch", "table1", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "of this kind" in out and "table1: " in out
    assert main(["batch", "table9", "--dry-run"]) == 2
    assert "there is no target table9; there are" in capsys.readouterr().err


def _engine():
    try:
        return find_snakemake()
    except BatchError:
        return None


needs_engine = pytest.mark.skipif(
    _engine() is None or not os.environ.get("RNNLIB_TEST_BATCH"),
    reason="runs real batches for minutes: `make test-batch`",
)


def batch(grid, root, *options, before=""):
    arguments = ["batch", "--file", grid, "--root", root, "--jobs", "2", "--no-chapters", *options]
    return process(arguments, f"import os; os.chdir({str(root.parent)!r})\n{before}")


@needs_engine
def test_a_batch_with_a_failure_and_a_kill_is_finished_by_the_second_start(grid, tmp_path):
    """Hypothesis: the second start does what is missing, and nothing else."""
    root = tmp_path / "store"
    (target,) = read_targets(grid).values()
    broken = store.folder_of(root, target.configs[2])
    broken.parent.mkdir(parents=True)
    broken.write_text("a file where a folder should be")
    first = batch(grid, root)
    deadline = time.monotonic() + 1500
    while sum(store.is_done(store.folder_of(root, c)) for c in target.configs) < 5:
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    children = os.popen(f"pgrep -P {first.pid}").read().split()
    os.kill(first.pid, signal.SIGKILL)
    for child in children:  # Snakemake; the workers live on
        os.kill(int(child), signal.SIGKILL)
    first.communicate()
    assert not broken.is_dir()
    broken.unlink()
    done = {c: store.folder_of(root, c) / "done.json" for c in target.configs}
    before = {c: path.stat().st_mtime_ns for c, path in done.items() if path.exists()}
    out, error = batch(grid, root).communicate(timeout=2400)
    assert "0 failed, 0 to go on with" in out, out + error
    after = {c: path.stat().st_mtime_ns for c, path in done.items()}
    assert len(before) >= 5 and {c: after[c] for c in before} == before
    assert [f for f in verify(root) if f.kind in FAULTS] == []
    assert not any(root.rglob("*.part"))


@needs_engine
def test_one_failing_run_does_not_stop_a_batch_and_is_named(grid, tmp_path):
    root = tmp_path / "store"
    grid.write_text(GRID.replace("[50, 52, 54, 56, 58]", "[50]"))
    (target,) = read_targets(grid).values()
    broken = store.folder_of(root, target.configs[0])
    broken.parent.mkdir(parents=True)
    broken.write_text("")
    one = batch(grid, root)
    out, error = one.communicate(timeout=300)
    assert one.returncode == 2, error
    assert "2 runs done, 1 failed, 0 to go on with" in out
    assert "failed: classification lstm length 50 seed 0" in out and "a folder should be" in out


@needs_engine
def test_a_batch_stops_in_time_and_leaves_what_can_go_on(grid, tmp_path):
    """Hypothesis: a run that takes hours is left with a checkpoint, not lost."""
    root = tmp_path / "store"
    grid.write_text(
        GRID.replace("[50, 52, 54, 56, 58]", "[50]").replace('"lstm", "ornn", ', "")
        .replace("epochs = 3", "epochs = 100000, learning_rate = 1e-3, until = \"epochs\"")
    )  # fmt: skip
    started = time.monotonic()
    one = batch(grid, root, "--minutes", "1")
    out, error = one.communicate(timeout=200)
    assert one.returncode == 0 and "0 failed, 1 to go on with" in out, out + error
    assert time.monotonic() - started < 60 + 60 + 30
    (finding,) = verify(root)
    assert finding.kind == "unfinished"
    (target,) = read_targets(grid).values()
    assert plan(root, target.configs)[0].done > 10


@needs_engine
def test_two_batches_at_once_make_each_run_once(grid, tmp_path):
    root = tmp_path / "store"
    grid.write_text(GRID.replace("[50, 52, 54, 56, 58]", "[50, 52]"))
    for one in [batch(grid, root), batch(grid, root)]:
        out, error = one.communicate(timeout=2400)
        assert one.returncode == 0, out + error
    (target,) = read_targets(grid).values()
    for config in target.configs:
        folder = store.folder_of(root, config)
        parts = store.parse_json(folder, "provenance.json")["parts"]
        assert store.is_done(folder) and len(parts) == 1


@needs_engine
@pytest.mark.parametrize(("asked", "status"), [("SIGINT", 130), ("SIGTERM", 143), (None, 0)])
def test_a_batch_ended_while_its_runs_are_imported_is_a_clean_stop(asked, status, grid, tmp_path):
    """Hypothesis: no failure and no traceback, by a signal or by the time; all of it is gone."""
    root = tmp_path / "store"
    grid.write_text(GRID.replace("[50, 52, 54, 56, 58]", "[50]").replace('"ornn", ', ""))
    if asked is None:  # its 36 seconds are up within the first run
        (tmp_path / "slow").mkdir()
        (tmp_path / "slow" / "pandas.py").write_text("import time\ntime.sleep(1000)")
        before = "from rnnlib.runs import engine; import os; engine.GRACE = 0.0; "
        before += f"os.environ['PYTHONPATH'] = {str(tmp_path / 'slow')!r}"
        one = batch(grid, root, "--minutes", "0.6", before=before)
    else:
        one = batch(grid, root)
        deadline = time.monotonic() + 120
        while not [*tmp_path.glob("_build/batch/*/log/*.log")]:  # it is told where to write first
            assert one.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        one.send_signal(getattr(signal, asked))
    out, error = one.communicate(timeout=120)
    assert "Stopped: 0 runs done, 0 failed, 2 to go on with" in out, out + error
    assert one.returncode == status and error == (f"{LINE}\n" if asked else "")
    assert subprocess.run(["pgrep", "-f", str(root)], stdout=subprocess.PIPE).stdout == b""
    if asked == "SIGINT":
        out, error = batch(grid, root).communicate(timeout=300)
        assert "2 runs done, 0 failed, 0 to go on with" in out, out + error

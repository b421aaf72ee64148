"""The paper's numbers beside ours: the rule, the runs that count, and the command of a cell."""

import shlex

import numpy as np
import pytest

from rnnlib.__main__ import parser
from rnnlib.files import FileError, json_text, write_text
from rnnlib.runs import board, counts, store, verdict
from rnnlib.runs.comparison import ACCURACY, FACTOR, SEEDS, SHARE
from rnnlib.runs.experiments import configure, training_settings
from rnnlib.runs.scoreboard import CLAIMS

SINE, TABLE, PERPLEXITY = CLAIMS[0], CLAIMS[3], CLAIMS[-3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "untested"),
        ([1.0, 1.0], "undecided"),  # two are too few, whatever they say
        ([1.0, 1.0, 1.0], "agrees"),
        ([0.2, 1.0, 1.0], "agrees"),  # the median counts
        ([0.2, 0.3, 1.0], "undecided"),  # it is far, and yet one run is near
        ([0.2, 0.3, 0.9], "differs"),
        ([np.nan, 1.0, 1.0], "undecided"),
    ],
)
def test_the_verdict_follows_its_rule(values, expected):
    assert TABLE.value == 1.0 and verdict(TABLE, values) == expected


@pytest.mark.parametrize(
    ("claim", "near", "far"),
    [
        (TABLE, TABLE.value - 0.99 * ACCURACY, TABLE.value - 1.01 * ACCURACY),
        (SINE, SINE.value * FACTOR * 0.99, SINE.value * FACTOR * 1.01),
        (SINE, SINE.value / FACTOR * 1.01, SINE.value / FACTOR * 0.99),
        (PERPLEXITY, PERPLEXITY.value * (1 + 0.99 * SHARE), PERPLEXITY.value * (1 + 1.01 * SHARE)),
    ],
)
def test_the_tolerance_is_what_is_said_and_no_more(claim, near, far):
    assert verdict(claim, 3 * [near]) == "agrees" and verdict(claim, 3 * [far]) == "differs"


def test_runs_beyond_on_both_sides_decide_nothing():
    half = TABLE._replace(value=0.5)
    assert verdict(half, [0.1, 0.2, 0.9]) == "undecided"


@pytest.fixture
def root_and_put(tmp_path):
    """A store, and a function that puts a run into it as one is left."""

    def put(finished=True, preset="text", accuracies=(0.25, 0.5), **changes):
        config = configure("classification", preset, **changes)
        folder = store.folder_of(tmp_path, config)
        folder.mkdir(parents=True)
        rows = [f"{k + 1},{1 - 0.1 * k},{a}\n" for k, a in enumerate(accuracies)]
        part = {"commit": "abcdef0123", "dirty": False, "device": "a processor"}
        texts = {
            "config.json": json_text(config.to_dict()),
            "history.csv": "epoch,valid_loss,valid_accuracy\n" + "".join(rows),
            "provenance.json": json_text({"parts": [part], "seconds": 90.0}),
        }
        for name, text in texts.items():
            write_text(folder / name, text)
        if finished:
            (folder / "orbits.npz").write_bytes(b"nothing reads it here")
            best = {"valid_accuracy": 0.125, "fresh_accuracy": 0.75}
            last = {"valid_accuracy": accuracies[-1], "fresh_accuracy": 0.625}
            kept = {"best": best, "last": last, "end": "stalled", "stored": config.kept_weights}
            store.mark_done(folder, kept, texts)
        return folder

    return tmp_path, put


def cell_of(root, preset, claim=TABLE):
    (cell,) = board(root, preset, [claim])
    return cell


def test_a_cell_has_the_runs_of_its_setting_whatever_their_seeds_and_data(root_and_put):
    root, put = root_and_put
    put(seed=0)
    put(seed=1, draw="streams", data_seed=0, stall_epochs=0, record_every=10)
    put(seed=2, finished=False)
    put(seed=0, learning_rate=1e-3)  # ours, of no setting
    put(seed=0, length=100)
    scripts = put(preset="scripts", length=50)
    cell = cell_of(root, "text")
    assert [(a.config.seed, a.ended) for a in cell.attempts] == [(0, True), (1, True), (2, False)]
    assert cell.values.tolist() == [0.5, 0.5] and cell.verdict == "undecided"
    assert [a.folder for a in cell_of(root, "scripts").attempts] == [scripts]


def test_the_numbers_at_the_stop_at_the_best_and_on_fresh_data_are_kept_apart(root_and_put):
    root, put = root_and_put
    put(seed=0, accuracies=(0.25, 0.5, 0.375))
    put(seed=1, accuracies=(0.25, 0.5), finished=False)
    put(preset="scripts", length=50)
    ended, begun = cell_of(root, "text").attempts
    assert (ended.at_stop, ended.best, ended.fresh, ended.compared) == (0.375, 0.375, 0.75, 0.375)
    assert ended.end == "given up by the stop rule" and ended.seconds == 90
    assert ended.commits == ["abcdef0123"] and ended.history.tolist() == [0.25, 0.5, 0.375]
    assert begun.at_stop == 0.5 and np.isnan([begun.fresh, begun.compared]).all()
    (last,) = cell_of(root, "scripts").attempts
    assert last.fresh == 0.625  # the scripts keep the last weights


def test_tested_and_agreeing_numbers_are_counted(root_and_put):
    root, put = root_and_put
    for seed in range(3):
        put(seed=seed, accuracies=(0.5, 1.0))
        put(seed=seed, length=100, accuracies=(0.5, 0.25))
    cells = board(root, "text", CLAIMS)
    assert len(cells) == 21 and counts(cells) == (2, 1)


def test_an_altered_result_is_an_error(root_and_put):
    root, put = root_and_put
    folder = put()
    write_text(folder / "history.csv", "epoch,valid_loss,valid_accuracy\n1,0.5,1.0\n")
    with pytest.raises(FileError, match="altered"):
        board(root, "text")


@pytest.mark.parametrize("preset", ["text", "scripts"])
def test_the_command_of_a_cell_fills_it(preset, tmp_path):
    for cell in board(tmp_path, preset):
        options = parser().parse_args(shlex.split(cell.command)[3:])
        assert options.preset == preset and tuple(options.seed) == SEEDS
        given = {"model": options.model[0], "seed": options.seed[0]}
        if cell.claim.experiment == "classification":
            given["length"] = options.length[0]
        config = configure(options.experiment, options.preset, **given)
        assert training_settings(config) == training_settings(cell.config)


def test_the_stored_runs_have_their_numbers_on_fresh_data():
    """Hypothesis: each finished run of this book's own store that keeps its weights has one."""
    for preset in ("text", "scripts"):
        for cell in board(store.root_of("text"), preset):
            for attempt in cell.attempts:
                if attempt.ended:
                    assert np.isfinite(attempt.fresh) and np.isfinite(attempt.compared)

"""The scoreboard counts finished runs at the paper's settings, and no others."""

import json
import shutil

import numpy as np
import pytest

from rnnlib.files import FileError, json_text, save_arrays, write_text
from rnnlib.runs import runner, scoreboard, store
from rnnlib.runs.experiments import configure
from rnnlib.runs.scoreboard import (
    CLAIMS,
    Claim,
    first_of_each,
    labelled_history,
    longest_recorded,
    runs_at_paper_size,
    scores,
)


@pytest.fixture
def small(monkeypatch):
    """Stand-ins for the paper's settings that train in a moment."""
    sizes = {"n_hidden": 4, "n_sequences": 2, "length": 9, "batch_size": 2}
    sizes |= {"record_burn_in": 1, "record_steps": 2}

    def configured(experiment, preset, **changes):
        return configure(experiment, "quick", **{"epochs": 2, **sizes, **changes})

    monkeypatch.setattr(scoreboard, "configure", configured)
    return lambda **changes: configured("sine", "full", **changes)


CLAIM = [Claim("here", "sine", {"model": "lstm"}, "mse", 0.5)]


def test_only_finished_runs_of_the_same_settings_count(small, tmp_path):
    configs = [small(seed=0), small(seed=1), small(epochs=3), small(model="gru"), small(seed=2)]
    configs.append(small(seed=3, record_steps=5))  # recording has no influence on the training
    folders = runner.run(configs, tmp_path, progress=False)
    (folders[4] / "done.json").unlink()
    (score,) = scores(tmp_path, CLAIM)
    assert score.seeds == [0, 1, 3] and score.unfinished == [2]
    assert score.so_far.tolist() == [store.read_history(folders[4])["mse"].iloc[-1]]
    expected = [store.read_history(folders[k])["mse"].min() for k in (0, 1, 5)]
    assert score.best.tolist() == expected
    assert (score.last >= score.best).all() and len(score.commits) == 1

    (other,) = scores(tmp_path, CLAIM, epochs=3)
    assert other.seeds == [0] and other.unfinished == []


def test_without_runs_a_score_is_empty(small, tmp_path):
    (score,) = scores(tmp_path, CLAIM)
    assert len(score.best) == 0 and score.seeds == score.unfinished == []


def test_an_edited_result_is_not_counted_but_an_error(small, tmp_path):
    (folder,) = runner.run([small()], tmp_path, progress=False)
    text = (folder / "history.csv").read_text()
    (folder / "history.csv").write_text(text.replace("1", "2", 1))
    with pytest.raises(FileError, match="history.csv was altered"):
        scores(tmp_path, CLAIM)
    shutil.rmtree(folder)
    assert len(scores(tmp_path, CLAIM)[0].best) == 0


def test_every_claim_is_at_settings_that_can_be_run():
    for claim in CLAIMS:
        config = configure(claim.experiment, "full", **claim.settings)
        assert json.dumps(config.to_dict())
        assert claim.value >= 0


@pytest.fixture
def root_and_begun(tmp_path):
    """A store with folders as a run leaves them: settings, history and, if it has ended, marker."""

    def begun(model, length, seed, finished, epochs=2, **changes):
        config = configure(
            "classification", "full", model=model, length=length, seed=seed, **changes
        )
        folder = store.folder_of(tmp_path, config)
        folder.mkdir(parents=True)
        rows = "".join(f"{epoch},0.5\n" for epoch in range(1, epochs + 1))
        texts = {
            "config.json": json_text(config.to_dict()),
            "history.csv": "epoch,valid_accuracy\n" + rows,
            "provenance.json": json_text({"parts": [], "seconds": 0.0}),
        }
        for name, text in texts.items():
            write_text(folder / name, text)
        if finished:
            save_arrays(folder / "orbits.npz", epochs=np.arange(0))
            store.mark_done(folder, {"best": {}, "last": {}}, texts)
        return folder

    return tmp_path, begun


def test_runs_are_grouped_by_length_and_learning_rate_and_others_left_out(root_and_begun):
    root, begun = root_and_begun
    second = begun("lstm", 50, 1, finished=False)
    first = begun("lstm", 50, 0, finished=True)
    slow = begun("ornn", 100, 0, finished=True, learning_rate=1e-3)
    begun("lstm", 50, 0, finished=True, n_hidden=8)  # not the paper's size
    begun("lstm", 50, 2, finished=True, batch_size=10)
    often = begun("lstm", 50, 3, finished=True, record_every=1)  # trains the same
    groups = runs_at_paper_size(root)
    assert groups == {(50, 0.01): [first, second, often], (100, 0.001): [slow]}
    assert first_of_each(groups) == {("lstm", 50, 0.01): first, ("ornn", 100, 0.001): slow}


def test_a_history_says_whose_it_is_and_whether_it_has_ended(root_and_begun):
    _, begun = root_and_begun
    for finished in (True, False):
        table = labelled_history(begun("gru", 50, int(finished), finished))
        assert table["model"].tolist() == ["gru"] * 2
        assert table["finished"].tolist() == [finished] * 2


def test_an_empty_store_has_no_groups(tmp_path):
    assert runs_at_paper_size(tmp_path) == {} and longest_recorded({}, "lstm") is None


def test_the_longest_recorded_run_has_the_most_samples(tmp_path):
    """Hypothesis: of two real runs that differ in how often they record."""
    sizes = dict(n_hidden=2, n_train=4, n_valid=4, record_burn_in=1, record_steps=4, epochs=2)
    configs = [
        configure("classification", "quick", model="gru", record_every=k, **sizes) for k in (2, 1)
    ]
    rare, often = runner.run(configs, tmp_path, progress=False)
    assert longest_recorded({(50, 0.01): [rare, often]}, "gru") == often
    assert longest_recorded({(50, 0.01): [rare, often]}, "lstm") is None

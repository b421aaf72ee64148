"""The scoreboard counts finished runs at the paper's settings, and no others."""

import json
import shutil

import pytest

from rnnlib.files import FileError
from rnnlib.runs import runner, scoreboard, store
from rnnlib.runs.experiments import configure
from rnnlib.runs.scoreboard import CLAIMS, Claim, scores


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

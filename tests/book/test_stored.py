import numpy as np
import pytest

from rnnbook import stored
from rnnlib.files import FileError
from rnnlib.runs import configure, provenance, runner, scoreboard

SIZES = dict(n_train=4, n_valid=4, batch_size=4, epochs=2, record_burn_in=1, record_steps=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = configure("classification", "quick", model="gru", seed=3, n_hidden=2, **SIZES)
    (made,) = runner.run(config, tmp_path_factory.mktemp("store"), progress=False)
    return made


@pytest.fixture(scope="module")
def claims():
    return [c for c in scoreboard.CLAIMS if c.place == "table 1"]


def test_an_empty_store_is_called_not_yet_run_beside_the_papers_numbers(tmp_path, claims):
    html = stored.accuracy_table(scoreboard.scores(tmp_path, claims), "ours").data
    assert html.count("not yet run") == len(claims) == 15
    assert "paper 0.995" in html and "ours" in html


def test_runs_are_counted_and_unfinished_ones_kept_apart(tmp_path, claims):
    """Hypothesis: a cell shows median and range of the finished, and where the others are."""
    score = scoreboard.scores(tmp_path, claims[:1])[0]
    score = score._replace(
        last=np.array([0.25, 1.0, 0.5]), unfinished=[7], so_far=np.array([0.375])
    )
    html = stored.accuracy_table([score], "ours").data
    assert "<b>0.500</b> (0.250 to 1.000)" in html
    assert "3 seeds; paper 1; unfinished: 0.375 at epoch 7" in html


def test_a_figure_names_the_runs_that_it_is_drawn_from(folder):
    html = stored.sources([folder]).data
    commit = provenance.commit()["commit"]
    assert "GRU, length 50, learning rate 0.01, seed 3" in html
    assert (commit or "unknown")[:7] in html and "unfinished" not in html


def test_a_run_without_its_marker_is_called_unfinished(folder):
    marker, aside = folder / "done.json", folder / "aside.json"
    marker.rename(aside)
    try:
        assert "seed 3 is unfinished, 2 of at most 2 epochs" in stored.sources([folder]).data
    finally:
        aside.rename(marker)


def test_an_altered_run_is_not_drawn(folder):
    history = folder / "history.csv"
    before = history.read_text()
    history.write_text(before.replace("\n1,", "\n1,0"))
    try:
        with pytest.raises(FileError, match="altered"):
            stored.sources([folder])
    finally:
        history.write_text(before)


def test_no_run_is_no_source():
    assert "no stored run" in stored.sources([]).data

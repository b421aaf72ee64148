"""The table of every run: what it says, and that a contributed run puts no script on the page."""

import json

import pytest
from small_runs import HOME, run, tiny

from rnnbook import stored
from rnnbook.runs_table import runs_table, targets_table
from rnnlib.runs.batch import read_targets

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path):
    return run(tiny(), tmp_path)


def test_a_run_has_its_numbers_and_the_line_that_repeats_it(folder, tmp_path):
    html = runs_table(tmp_path, "sine").data
    assert "sine lstm seed 0" in html and "evaluated mse" in html and ">4<" in html
    assert "python -m rnnlib run sine" in html and "--n-hidden 6" in html
    assert "No runs are stored" in runs_table(tmp_path, "language").data


def test_what_a_contributed_run_says_is_shown_and_not_run(folder, tmp_path):
    path = folder / "provenance.json"
    facts = json.loads(path.read_text())
    facts["parts"][0] |= {"device": EVIL, "commit": EVIL}
    path.write_text(json.dumps(facts))
    assert "was altered" in runs_table(tmp_path, "sine").data
    (folder / "done.json").unlink()
    for html in (runs_table(tmp_path, "sine").data, stored.sources([folder]).data):
        assert "<script" not in html and "&lt;script&gt;" in html


def test_an_entry_that_cannot_be_read_has_a_row_of_its_own(folder, tmp_path):
    other = run(tiny(seed=1), tmp_path)
    (other / "config.json").write_text(EVIL)
    html = runs_table(tmp_path, "sine").data
    assert "cannot be read" in html and "sine lstm seed 0" in html and "<script" not in html


def test_each_target_says_what_is_done_and_what_fills_it(tmp_path):
    targets = read_targets(HOME / "experiments.toml")
    html = targets_table(tmp_path, targets.values()).data
    assert html.count("<tr>") == 1 + len(targets)
    assert "0 of 45" in html and "make table1" in html

"""The grid as a page has it: every number a button, every button a popover, nothing unescaped."""

import re

import numpy as np
import pytest

from rnnbook.scoreboard import grid, headline, told
from rnnlib.runs import Attempt, board
from rnnlib.runs.scoreboard import CLAIMS


@pytest.fixture
def cells(tmp_path):
    return board(tmp_path, "text")


def attempt(cell, seed=2, ended=True, value=1.0, **changes):
    config = type(cell.config)(**{**cell.config.__dict__, "seed": seed})
    made = Attempt(
        folder=None,
        config=config,
        ended=ended,
        end="solved" if ended else "",
        epochs=3,
        at_stop=value,
        best=value,
        fresh=0.875,
        compared=value if ended else np.nan,
        seconds=3600.0,
        commits=["0123456789"],
        devices=["<script>alert(1)</script>"],
        history=np.array([0.25, 0.5, value]),
    )
    return made._replace(**changes)


def test_an_empty_store_shows_all_of_the_papers_numbers_and_no_run(cells):
    html = grid({"text": cells}).data
    assert html.count("<button") == html.count("<div popover") == len(CLAIMS) == 21
    assert html.count("Never run.") == 21 and 'class="seed ended"' not in html
    assert headline(cells) == "0 of 21 numbers tested, 0 agree." and headline(cells) in html
    for claim in CLAIMS:
        assert f'<span class="paper">{claim.value:g}</span>' in html


def test_every_button_opens_a_popover_of_its_own(cells):
    html = grid({"text": cells, "scripts": cells}).data
    opened = re.findall(r'popovertarget="([^"]+)"', html)
    ids = re.findall(r'<div popover id="([^"]+)"', html)
    assert opened == ids and len(set(ids)) == 42
    switches = re.findall(r'<input type="radio" name="board" id="([^"]+)"', html)
    assert switches == re.findall(r'<label for="([^"]+)"', html)
    assert html.count(" checked>") == 1 and html.count('<div class="panel">') == 2


def test_seeds_verdict_and_numbers_are_shown(cells):
    k = next(k for k, c in enumerate(cells) if c.claim.settings.get("length") == 50)
    runs = [attempt(cells[k], seed) for seed in (2, 0, 7)]
    runs.append(attempt(cells[k], 1, ended=False, value=0.5))
    runs.append(attempt(cells[k], 2, value=0.5, ended=False))  # the ended one of that seed shows
    html = grid({"text": [cells[k]._replace(attempts=runs)]}).data
    assert 'class="agrees"' in html and "1 of 1 numbers tested, 1 agree." in html
    assert html.count('class="seed ended"') == 3 and html.count('class="seed begun"') == 1
    assert html.count('class="seed"') == 2  # seeds 3 and 4
    assert "3 / 15000 epochs" in html and "0.875" in html and "1.0 h" in html and "0123456" in html
    assert "--preset text --model lstm --length 50" in html
    assert "<polyline" in html and "nan" not in html


def test_what_a_contributed_result_says_is_no_markup(cells):
    html = grid({"text": [cells[3]._replace(attempts=[attempt(cells[3])])]}).data
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_the_verdicts_in_words_are_those_of_the_cells(cells):
    k = next(k for k, c in enumerate(cells) if c.claim.settings.get("length") == 50)
    near = cells[k]._replace(attempts=[attempt(cells[k], seed) for seed in range(3)])
    far = cells[k]._replace(attempts=[attempt(cells[k], seed, value=0.25) for seed in range(3)])
    few = cells[k]._replace(attempts=[attempt(cells[k])])
    (first, agree, differ, undecided, missing) = told({"ours": [near, far, few, cells[0]]})
    assert first == "**At ours**: 2 of 4 numbers tested, 1 agree."
    assert agree.startswith("Those that agree: LSTM, length 50") and "1 in 3 runs" in agree
    assert "0.25 in 3 runs where the paper has 1" in differ and "in one run" in undecided
    assert missing == "Of 1 no run has ended."

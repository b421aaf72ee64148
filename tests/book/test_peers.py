"""What the chapter says of other tools: the stored answers are whole, and the truths hold."""

import json
from importlib.resources import files

import pytest
import torch

import rnnlib
from benchmarks.peers import CROWD, OURS, reservoirs, run

ROWS = json.loads(files("rnnbook").joinpath("peers.json").read_text())["rows"]


def test_each_question_is_answered_by_this_package_rightly_and_by_another_tool():
    asked = {(row["question"], row["network"]) for row in ROWS}
    for question in asked:
        of = [row for row in ROWS if (row["question"], row["network"]) == question]
        assert [row["right"] for row in of if row["tool"] == OURS] == [True], question
        assert len(of) > 1 and all(row["seconds"] >= 0 for row in of)
    assert len({row["question"] for row in ROWS}) == 3


@pytest.mark.parametrize("name", reservoirs())
def test_the_spectral_radius_is_neither_enough_nor_needed_to_forget(name):
    """Hypothesis: of the three networks, two forget, and the radius says so of one of them."""
    system = rnnlib.from_module(reservoirs()[name]).hold(torch.ones(1, dtype=torch.float64))
    radius = float(torch.linalg.eigvals(system.theta["weight_hh_l0"]).abs().max())
    starts = rnnlib.starts_in_box(-1.0, 1.0, CROWD, system.n_x)
    ends = run(system, starts, 2000)
    forgets = bool((ends - ends[0]).abs().max() < 1e-6)
    expected = {
        "a turning matrix, times 0.9": (True, True),
        "two units, one of which drives the other hard": (True, False),
        "strong weights under a strong input": (False, True),
    }
    assert (radius < 1, forgets) == expected[name]
    (row,) = [r for r in ROWS if r["network"] == name and r["tool"] == OURS]
    assert row["truth"] == ("all states meet" if forgets else "some states never meet")

"""A report keeps to its budget, on a clock that the network itself moves on."""

import math
import os
import signal
import warnings

import pytest
import torch
from networks import noise, three_fixed_points

from rnnlib import from_module, from_step, jacobian
from rnnlib.diagnosis import QUESTIONS, report
from rnnlib.diagnosis.budget import GRACE, Budget, OutOfTime


class Clock:
    """Seconds that pass only while a network makes a step."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    plain = Budget.__init__
    monkeypatch.setattr(
        Budget, "__init__", lambda self, seconds, weights: plain(self, seconds, weights, clock)
    )
    return clock


def slow(clock, seconds):
    """x' = tanh(2 x + z), each step of which takes so many seconds."""

    def step(x, z):
        clock.now += seconds
        return torch.tanh(2 * x + z)

    return from_step(step, n_x=1, n_z=1)


@pytest.mark.parametrize("seconds", [1e-3, 0.1, 1.0, 7.0])
def test_the_budget_is_kept_to_within_a_fifth(clock, seconds):
    """Hypothesis: however slow the network, 60 s are not overrun by more than 12 s."""
    found = report(slow(clock, seconds), noise(1).double(), budget=60.0, progress=False)
    assert clock.now <= 1.2 * 60
    assert set(found.answers) == set(QUESTIONS)
    assert not [a.words for a in found.answers.values() if a.state == "failed"]
    for answer in found.answers.values():
        told = any("Cut short" in w or "no time" in w or "too short" in w for w in answer.words)
        assert not told or answer.state == "cut short"
    states = [answer.state for answer in found.answers.values()]
    if seconds >= 1:  # some hundred steps in all: no question can be asked to its end
        assert states.count("settled") <= 1
        assert sum("Cut short" in str(answer.words) for answer in found.answers.values()) >= 3
    if seconds <= 1e-3:
        assert "failed" not in states and states.count("settled") >= 6


def test_a_larger_budget_is_used_where_it_is_needed(clock):
    """Hypothesis: what 10 s cut short, 1000 s do not, and more steps are then made."""
    made = []
    for seconds in (10.0, 1000.0):
        clock.now = 0.0
        found = report(
            slow(clock, 0.05), noise(1).double(), budget=seconds, progress=False,
            questions=["regimes", "approach", "points"],
        )  # fmt: skip
        made.append(clock.now)
        cut = [answer.state == "cut short" for answer in found.answers.values()]
        assert any(cut) if seconds == 10.0 else not any(cut)
    assert made[0] <= 12 < made[1] <= 1200


def test_the_time_that_reading_long_data_takes_is_a_part(clock):
    """Hypothesis: data of a million steps are read for a while, which a note says."""
    data = torch.zeros(1_000_000, 1, 1, dtype=torch.float64)
    found = report(slow(clock, 0.01), data, budget=60.0, progress=False, questions=["points"])
    (note,) = [note for note in found.notes if "There was time to run over" in note]
    assert "of 1000000 steps" in note and clock.now <= 1.2 * 60
    assert sorted(set(found.answers["points"].evidence["stability"])) == ["unstable"]


def test_a_step_after_its_share_is_interrupted_once_and_again_after_a_grace():
    clock = Clock()
    budget = Budget(10.0, {"a": 1.0}, clock)
    budget.begin("a")
    budget.look()
    clock.now = 10.1
    with pytest.raises(OutOfTime):
        budget.look()
    budget.look()  # what is done may be put together
    assert budget.cut and budget.steps == 3
    clock.now += 10 * GRACE + 0.1
    with pytest.raises(OutOfTime):
        budget.look()


def test_what_a_question_saves_goes_to_the_others():
    clock = Clock()
    budget = Budget(60.0, {"a": 1.0, "b": 1.0, "c": 1.0}, clock)
    budget.begin("a")
    assert budget.share == 20
    clock.now = 2.0
    budget.begin("b")
    assert budget.share == 29


def test_a_run_that_is_cut_leaves_the_one_before():
    clock = Clock()
    budget = Budget(100.0, {"a": 1.0}, clock)
    budget.begin("a")

    def run(steps):
        clock.now += steps  # it was expected to take three times as long as the one before
        for _ in range(10 if steps > 10 else 0):
            clock.now += steps
            budget.look()
        return steps

    assert budget.grow(run, 10, 1000, enough=lambda n: False) == (10, 10)
    assert budget.cut


def test_ctrl_c_inside_an_analysis_ends_the_report_with_what_is_known():
    """Hypothesis: the analysis that an interrupt reaches keeps what it has, and is the last."""
    calls = []

    def step(x, z):
        calls.append(1)
        if len(calls) == 1000:
            os.kill(os.getpid(), signal.SIGINT)
        return torch.tanh(2 * x + z)

    before = signal.getsignal(signal.SIGINT)
    network = from_step(step, n_x=1, n_z=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = report(
            network, noise(1).double(), progress=False, questions=["approach", "regimes", "points"]
        )
    assert found.interrupted and list(found.answers) == ["approach"]
    assert found.answers["approach"].state == "cut short"
    assert "Stopped by hand" in str(found.answers["approach"].words)
    assert "Stopped before the end" in str(found)
    assert signal.getsignal(signal.SIGINT) is before


def test_watching_a_network_changes_no_number():
    network, inputs = three_fixed_points()
    budget = Budget(math.inf, {"a": 1.0})
    system = from_module(network, dtype=torch.float64).hold(torch.zeros(1, dtype=torch.float64))
    watched = budget.watched(system)
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    assert torch.equal(watched.step(x), system.step(x))
    assert torch.equal(jacobian(watched, x), jacobian(system, x))
    assert budget.steps > 0

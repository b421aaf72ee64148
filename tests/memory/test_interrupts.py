"""Hypotheses about long work: it shows its progress, and what is done when it is stopped stays."""

import dataclasses
import sys

import pytest
import torch

from rnnlib import from_step
from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.memory.latch import hold_times, latch, measured_threshold
from rnnlib.memory.remembered_bits import common_fate, held
from rnnlib.memory.retention import probe_under_noise, retention

F64 = torch.float64
STATES = torch.linspace(-1, 1, 12, dtype=F64)[:, None]
CLASSES = (STATES[:, 0] > 0).long()
INPUTS = 0.1 * torch.ones(20, 12, 1, dtype=F64)


def by_sign(x, z=None, theta=None):
    return torch.stack([-x[..., 0], x[..., 0]], dim=-1)


def cell(stop_at: int | None = None):
    """Return the latch, as a system that is interrupted at its n-th step."""
    system, calls = latch(2.0), []

    def step(x, z):
        calls.append(x)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return system.step(x, z)

    return from_step(step, n_x=1, n_z=1, readout=by_sign)


def test_only_an_interrupt_is_kept():
    """Hypothesis: Ctrl-C becomes a warning that says what the result is, any error stays one."""
    with pytest.warns(UserWarning, match="interrupted: the result is half of it") as seen:
        with kept_on_interrupt("half of it"):
            raise KeyboardInterrupt
    assert seen[0].filename == __file__  # the work that was stopped
    with pytest.raises(ZeroDivisionError), kept_on_interrupt("nothing"):
        raise ZeroDivisionError


def test_what_was_seen_before_an_interrupt_is_returned():
    """Hypothesis: stopped in step 12, the answers for 5 and 10 steps are those of a whole run."""
    asked = [5, 10, 15, 20]
    with pytest.warns(UserWarning, match="what was seen so far"):
        partial = retention(cell(12), STATES, CLASSES, INPUTS, asked)
    whole = retention(cell(), STATES, CLASSES, INPUTS, asked)
    assert partial.steps.tolist() == [5, 10]
    assert torch.equal(partial.read, whole.read[:2])
    with pytest.warns(UserWarning, match="what was seen so far"):
        partial = common_fate(cell(12), STATES, CLASSES, INPUTS[:, 0], asked)
    whole = common_fate(cell(), STATES, CLASSES, INPUTS[:, 0], asked)
    assert partial.steps.tolist() == [5, 10]
    assert torch.equal(partial.between, whole.between[:2])


def test_an_interrupt_before_the_first_answer_stays_one():
    with pytest.warns(UserWarning), pytest.raises(KeyboardInterrupt):
        retention(cell(1), STATES, CLASSES, INPUTS, [5])


def test_hold_times_of_an_interrupted_experiment_are_those_of_a_shorter_one(monkeypatch):
    """Hypothesis: stopped in step 31, the estimate is that of 30 steps."""
    levels = torch.tensor([0.8, 0.6], dtype=F64)
    expected = hold_times(2.0, levels, 50, 30)
    whole, calls = latch(2.0), []

    def f(x, z, theta):
        calls.append(x)
        if len(calls) == 31:
            raise KeyboardInterrupt
        return whole.f(x, z, theta)

    stopped = dataclasses.replace(whole, f=f)
    module = sys.modules["rnnlib.memory.latch"]  # the room's function of this name hides it
    monkeypatch.setattr(module, "latch", lambda gain: stopped)
    with pytest.warns(UserWarning, match="steps simulated so far"):
        found = hold_times(2.0, levels, 50, 1000)
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_every_long_analysis_shows_its_progress(capsys):
    options = dict(progress=True)
    held(latch(2.0), INPUTS[0, 0], STATES, CLASSES, burn_in=20, steps=20, **options)
    assert "steady state" in capsys.readouterr().err  # a search that ends when all have settled
    for call in (
        lambda: retention(cell(), STATES, CLASSES, INPUTS, [20], **options),
        lambda: common_fate(cell(), STATES, CLASSES, INPUTS[:, 0], [20], **options),
        lambda: probe_under_noise(cell(), STATES, CLASSES, INPUTS, 0.1, **options),
        lambda: hold_times(2.0, torch.ones(1, dtype=F64), 2, 20, **options),
        lambda: measured_threshold(2.0, 1, after=3, bisections=20, **options),
    ):
        call()
        assert "20/20" in capsys.readouterr().err


def test_answers_make_no_tensor_on_another_device():
    """Hypothesis: with another default device, the meta device here, the numbers stay the same."""
    system, z = cell(), INPUTS[:, 0]
    expected = (
        retention(system, STATES, CLASSES, INPUTS, [3, 20]).probe,
        common_fate(system, STATES, CLASSES, z, [3, 20]).between,
        probe_under_noise(system, STATES, CLASSES, INPUTS, 0.1),
    )
    with torch.device("meta"):  # holds no numbers: any use of it fails
        found = (
            retention(system, STATES, CLASSES, INPUTS, [3, 20]).probe,
            common_fate(system, STATES, CLASSES, z, [3, 20]).between,
            probe_under_noise(system, STATES, CLASSES, INPUTS, 0.1),
        )
        asked = [
            retention(system, STATES, CLASSES, INPUTS, [3, 20]).steps,
            common_fate(system, STATES, CLASSES, z, [3, 20]).steps,
        ]
    assert [steps.tolist() for steps in asked] == [[3, 20]] * 2
    assert all(torch.equal(a, b) for a, b in zip(found[:2], expected[:2], strict=True))
    assert found[2] == expected[2]

"""What a training run shows of itself: a line now and then, or a bar in a terminal."""

import sys
from types import SimpleNamespace

import pytest

from rnnlib.training import progress
from rnnlib.training.progress import LINE_EVERY, Progress


class Told(SimpleNamespace):
    """A run of ten epochs as the progress sees it."""

    def __init__(self, name, epoch=0):
        super().__init__(name=name, epoch=epoch, settings=SimpleNamespace(epochs=10))

    @property
    def ended(self):
        return self.epoch == 10

    @property
    def history(self):
        return [{"epoch": self.epoch, "mse": 0.12345, "learning_rate": 1.0, "gradient_norm": 2.0}]


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def step(bar, run, clock, seconds):
    run.epoch += 1
    clock[0] += seconds
    bar.show(run)


def test_a_line_comes_when_it_is_due_and_says_what_is_left_at_the_pace_of_this_process(
    clock, capsys
):
    """Hypothesis: of a run taken up at epoch 4, two epochs in 40 s leave four more, 80 s."""
    run = Told("sine", epoch=4)
    with Progress([run]) as bar:
        step(bar, run, clock, LINE_EVERY - 10)
        assert capsys.readouterr().err == ""
        step(bar, run, clock, 20)
        assert capsys.readouterr().err == "sine: epoch 6 of 10, mse 0.123; at most 01:20 left\n"
        step(bar, run, clock, LINE_EVERY - 1)  # since the last line
        assert capsys.readouterr().err == ""
        step(bar, run, clock, 1)
        assert "epoch 8 of 10" in capsys.readouterr().err
        step(bar, run, clock, 0)
        step(bar, run, clock, 0)
        assert capsys.readouterr().err == "sine: epoch 10 of 10, mse 0.123; done\n"


def test_replicas_share_one_pace(clock, capsys):
    """Hypothesis: three epochs in all took 60 s, so the 17 that are left take 340 s."""
    a, b = Told("a"), Told("b")
    with Progress([a, b]) as bar:
        step(bar, a, clock, 20)
        step(bar, b, clock, 5)
        step(bar, a, clock, 35)
    assert capsys.readouterr().err == "a: epoch 2 of 10, mse 0.123; at most 05:40 left\n"


def test_a_terminal_gets_a_bar_of_all_runs_and_no_lines(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    a, b = Told("sine", epoch=3), Told("b")
    with Progress([a, b]) as bar:
        step(bar, a, clock, 2 * LINE_EVERY)
    shown = capsys.readouterr().err
    assert "sine and 1 more" in shown and "4/20" in shown and "mse=0.123" in shown
    assert "epoch" in shown  # the bar counts these
    assert "learning_rate" not in shown and "left" not in shown
    with Progress([a], show=False) as bar:
        step(bar, a, clock, 2 * LINE_EVERY)
    assert capsys.readouterr().err == ""
    with Progress([a]) as bar:
        bar.show(a)
    assert "more" not in capsys.readouterr().err

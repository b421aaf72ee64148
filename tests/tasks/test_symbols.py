"""The symbols task: where the relevant symbols are, and what counts."""

import numpy as np
import pytest
import torch

from rnnlib.tasks.symbols import (
    FIRST,
    FRESH,
    SECOND,
    SYMBOLS,
    Symbols,
    draw_as_scripts,
    draw_symbols,
    one_hot,
)


@pytest.mark.parametrize("scripts", [False, True])
def test_there_are_two_relevant_symbols_and_their_order_is_the_class(scripts):
    if scripts:
        symbols, classes = draw_as_scripts(2000, 60, 0)
    else:
        symbols, classes = draw_symbols(2000, 60, np.random.default_rng(0))
    relevant = symbols < 2
    assert (relevant.sum(0) == 2).all()
    position = relevant.T.nonzero()[:, 1].reshape(-1, 2) + 1  # counted from 1
    value = symbols.T[relevant.T].reshape(-1, 2)
    assert torch.equal(2 * value[:, 0] + value[:, 1], classes)
    for k, (low, high) in enumerate((FIRST, SECOND)):
        assert sorted(set(position[:, k].tolist())) == list(range(low, high + 1))


def test_the_sequences_of_the_scripts_are_drawn_to_the_letter():
    """Known answers: what the authors' released scripts draw from seeds 2 and 3 at length 50."""
    for seed, first, begin in (
        (2, "adbacdcdadcpddbdddcaaabddcacdddccbcaddbaqccddbdcaa", [1, 3, 3, 1, 0]),
        (3, "cabdaaabbqcdbbcbdcaaabdcacbccccdabdcbacbbcapcdadbd", [2, 2, 3, 0, 2]),
    ):
        symbols, classes = draw_as_scripts(5, 50, seed)
        assert "".join(SYMBOLS[k] for k in symbols[:, 0]) == first
        assert classes.tolist() == begin
    task = Symbols(5, 5, 50, 5, data_seed=2, draw="scripts")
    assert torch.equal(task.train[0][0], draw_as_scripts(5, 50, 2)[0])
    assert torch.equal(task.valid[0][0], draw_as_scripts(5, 50, 3)[0])
    with pytest.raises(ValueError, match="draw is 'script'"):
        Symbols(5, 5, 50, 5, draw="script")


@pytest.mark.parametrize("scripts", [False, True])
def test_symbols_positions_and_classes_are_uniform(scripts):
    if scripts:
        symbols, classes = draw_as_scripts(20000, 49, 1)
    else:
        symbols, classes = draw_symbols(20000, 49, np.random.default_rng(1))
    for counts in (
        torch.bincount(classes),
        torch.bincount(symbols[symbols > 1]),
        torch.bincount((symbols[:20] < 2).int().argmax(0)),
    ):
        counts = counts[counts > 0].double()
        expected = counts.sum() / len(counts)
        chi_square = ((counts - expected).square() / expected).sum()
        assert chi_square < 3 * len(counts) + 10  # 1e-4 or rarer for 4 and for 10 kinds


def test_training_and_validation_are_drawn_apart_and_by_their_seed():
    first, again = Symbols(50, 50, 49, 50), Symbols(50, 50, 49, 50)
    other = Symbols(50, 50, 49, 50, data_seed=1)
    assert torch.equal(first.train[0][0], again.train[0][0])
    assert not torch.equal(first.train[0][0], first.valid[0][0])
    assert not torch.equal(first.train[0][0], other.train[0][0])


def test_sequences_too_short_for_the_second_symbol_are_an_error():
    with pytest.raises(ValueError, match="length is 48.*at least 49"):
        draw_symbols(1, 48, np.random.default_rng(0))
    draw_symbols(1, 49, np.random.default_rng(0))
    with pytest.raises(ValueError, match="count is 0"):
        draw_symbols(0, 49, np.random.default_rng(0))
    with pytest.raises(ValueError, match="batch_size is 0"):
        Symbols(10, 10, 49, 0)


def test_only_the_last_step_counts():
    task = Symbols(10, 10, 49, 10)
    (z, target), *_ = task.batches()
    assert z.shape == (49, 10, len(SYMBOLS)) and (z.sum(-1) == 1).all()
    y = torch.randn(49, 10, 4)
    changed = y.clone()
    changed[:-1] += 100
    assert torch.equal(task.loss(y, target)[0], task.loss(changed, target)[0])
    right = 100 * torch.nn.functional.one_hot(target, 4).float().expand(49, 10, 4)
    loss, sums, count = task.loss(right, target)
    assert loss == 0 and sums["accuracy"] == count == 10


def test_guessing_has_the_loss_of_four_equal_classes():
    task = Symbols(10, 400, 49, 100)

    def guess(z, state=None):
        return torch.zeros(*z.shape[:2], 4), None

    record = task.evaluate(guess)
    assert record["valid_loss"] == pytest.approx(np.log(4), rel=1e-6)
    assert record["valid_accuracy"] == pytest.approx(0.25, abs=0.1)  # always the first class
    assert not task.solved(record) and task.solved({"valid_accuracy": 1.0})
    to_the_end = Symbols(10, 10, 49, 10, ends_when_solved=False)
    assert not to_the_end.solved({"valid_accuracy": 1.0})


def test_the_last_measure_is_on_many_sequences_that_training_never_saw():
    seen = []

    def first_class(z, state=None):
        seen.append(z.argmax(-1))
        y = torch.zeros(*z.shape[:2], 4)
        y[..., 0] = 1
        return y, None

    for draw in ("streams", "scripts"):
        task = Symbols(200, 200, 49, 100, data_seed=1, draw=draw)
        seen.clear()
        record = task.test(first_class)
        fresh = torch.cat(seen, 1)
        assert fresh.shape == (49, FRESH)
        known = {
            tuple(s.tolist()) for part in (task.train, task.valid) for s in torch.cat(part[0], 1).T
        }
        assert not known & {tuple(s.tolist()) for s in fresh.T}
        relevant = fresh.T[(fresh < 2).T].reshape(-1, 2)
        assert record["fresh_accuracy"] == pytest.approx(
            (relevant == 0).all(1).float().mean().item()
        )
        seen.clear()
        assert task.test(first_class) == record  # the same sequences each time


def test_one_hot_marks_the_symbol():
    assert torch.equal(one_hot(torch.arange(6)), torch.eye(6))

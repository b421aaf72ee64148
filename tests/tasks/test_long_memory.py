"""The copy and the adding task: what they ask, and what answering without memory costs."""

import numpy as np
import pytest
import torch

from rnnlib.tasks import Adding, Copying, draw_adding, draw_copying


def test_the_symbols_come_back_after_the_mark():
    seen, target = draw_copying(50, 7, np.random.default_rng(0), copied=3, alphabet=4)
    assert seen.shape == target.shape == (13, 50)
    assert (seen[:3] < 4).all() and (seen[3:10] == 4).all() and (seen[11:] == 4).all()
    assert (seen[10] == 5).all()
    assert torch.equal(target[10:], seen[:3]) and (target[:10] == 4).all()
    assert seen[:3].unique().tolist() == [0, 1, 2, 3]


def test_the_answer_is_the_sum_of_the_two_marked_numbers_one_in_each_half():
    z, answer = draw_adding(2000, 11, np.random.default_rng(1))
    numbers, markers = z.unbind(-1)
    assert (markers.sum(0) == 2).all() and (markers[:5].sum(0) == 1).all()
    torch.testing.assert_close(answer, (numbers * markers).sum(0))
    assert (markers.sum(1) > 0).all()  # every step is marked now and then
    # Answering 1 always: the variance of a sum of two uniform numbers, 1/6.
    assert float((answer - 1).square().mean()) == pytest.approx(1 / 6, rel=0.1)


class Perfect(torch.nn.Module):
    """Answers with what it was told."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, z):
        return self.answer(z), None


def test_a_perfect_copy_has_no_loss_and_all_accuracy():
    task = Copying(20, 30, delay=5, batch_size=10, copied=2, alphabet=3)

    def answer(z):
        symbols = z.argmax(-1)
        said = torch.full_like(symbols, 3)
        said[-2:] = symbols[:2]
        return 50.0 * torch.nn.functional.one_hot(said, 4)

    found = task.evaluate(Perfect(answer))
    assert found["valid_loss"] < 1e-12 and found["valid_accuracy"] == 1
    (z, target), *_ = task.batches()
    assert z.shape == (9, 10, 5) and target.shape == (9, 10)
    _, sums, count = task.loss(answer(z), target)
    assert count == 10 and sums["accuracy"] == 10


def test_a_perfect_sum_has_no_loss_and_answering_one_has_a_sixth():
    task = Adding(20, 4000, length=8, batch_size=10)
    right = Perfect(lambda z: z.prod(-1).sum(0).expand(8, -1).unsqueeze(-1))
    assert task.evaluate(right)["valid_loss"] < 1e-12
    always_one = Perfect(lambda z: torch.ones(*z.shape[:2], 1))
    assert task.evaluate(always_one)["valid_loss"] == pytest.approx(1 / 6, rel=0.1)
    (z, target), *_ = task.batches()
    assert z.shape == (8, 10, 2) and target.shape == (10,)


def test_validation_has_the_next_seed():
    one, next_one = (Adding(10, 10, 8, 10, data_seed=seed) for seed in (3, 4))
    assert torch.equal(one.valid[0][0], next_one.train[0][0])


def test_sizes_that_make_no_task_are_refused():
    with pytest.raises(ValueError, match="delay is 0"):
        draw_copying(1, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="length is 1"):
        draw_adding(1, 1, np.random.default_rng(0))

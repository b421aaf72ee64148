"""The training loop: known steps, schedules, ends, and replicas equal to runs alone."""

import copy
import math

import pytest
import torch
from torch import nn

from rnnlib.tasks import Sine, Symbols
from rnnlib.training.loop import NonFiniteLoss, Run, Settings, train
from rnnlib.training.models import SequenceModel


def sine(model="lstm", *, seed=0, n=4, length=30, batch_size=2, units=6, callbacks=(), **settings):
    """A small sine run in float64."""
    torch.manual_seed(seed)
    task = Sine(n, length, batch_size)
    task.z = [z.double() for z in task.z]
    task.target = [target.double() for target in task.target]
    network = SequenceModel(model, 1, units, 1, task.input_bound).double()
    settings = {"epochs": 3, "learning_rate": 1e-2} | settings
    return Run(task, network, Settings(**settings), callbacks, f"sine {seed}")


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


class Slope:
    """Fit y = w z to y = 2 z: a quadratic cost with its minimum at w = 2."""

    carries_state, best = False, "error"

    def __init__(self, targets=((2.0, 4.0),)):
        self.targets = [torch.tensor(t).reshape(2, 1, 1) for t in targets]

    def batches(self):
        z = torch.tensor([1.0, 2.0]).reshape(2, 1, 1)
        return [(z, target) for target in self.targets]

    def loss(self, y, target):
        loss = (y - target).square().sum()
        return loss, {"error": loss.detach()}, 2

    def evaluate(self, model):
        return {}

    def solved(self, record):
        return False


class Gain(nn.Module):
    def __init__(self, w=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, z, state=None):
        return self.w * z, z


def test_training_finds_the_minimum_of_a_quadratic():
    run = Run(Slope(), Gain(), Settings(epochs=2000, learning_rate=1e-2))
    train(run, progress=False)
    assert run.model.w.item() == pytest.approx(2, abs=1e-3)


def test_the_first_step_of_adam_moves_each_weight_by_the_learning_rate():
    run = Run(Slope(), Gain(), Settings(epochs=1, learning_rate=1e-2))
    train(run, progress=False)
    assert run.model.w.item() == pytest.approx(1e-2, rel=1e-4)
    # d/dw of (w - 2)^2 + (2 w - 4)^2 at 0 is -20: the norm is that before clipping to 0.25
    assert run.history[0]["gradient_norm"] == pytest.approx(20)
    assert run.history[0]["error"] == pytest.approx(20 / 2)


def test_the_learning_rate_falls_after_the_named_epochs():
    run = Run(Slope(), Gain(), Settings(epochs=5, learning_rate=1.0, decay_epochs=(2, 4)))
    train(run, progress=False)
    rates = [record["learning_rate"] for record in run.history]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_the_learning_rate_falls_by_the_given_factor():
    settings = Settings(epochs=3, learning_rate=1.0, decay_epochs=(1, 2), decay_factor=0.25)
    run = Run(Slope(), Gain(), settings)
    train(run, progress=False)
    assert [r["learning_rate"] for r in run.history] == pytest.approx([1, 1 / 4, 1 / 16])
    assert run.end == "epochs"


class Told(Slope):
    """Reports given losses, one an epoch, and learns nothing."""

    def __init__(self, losses):
        super().__init__()
        self.losses = iter(losses)

    def loss(self, y, target):
        return 0 * y.sum(), {"error": torch.tensor(next(self.losses))}, 1


def test_a_run_is_given_up_when_its_loss_stays_put_after_the_last_decay():
    """Hypothesis: what counts are the given number of epochs after the decay, ends included."""

    def epochs(losses, **settings):
        losses = [*losses, *[9.0] * 20]
        settings = {"stall_epochs": 3, "stall_change": 0.25, "decay_epochs": (2, 4)} | settings
        run = Run(Told(losses), Gain(), Settings(epochs=15, learning_rate=1e-3, **settings))
        train(run, progress=False)
        return run.epoch, run.end

    still = [1.0] * 15
    assert epochs(still) == (7, "stalled")  # epochs 5, 6 and 7 are those after the decay
    assert epochs(still, decay_epochs=()) == (3, "stalled")
    assert epochs(still, stall_epochs=0) == (15, "epochs")
    assert epochs([1.0, 1.25] * 8) == (7, "stalled")  # a change of just as much is none
    assert epochs([1.0, 1.5] * 8) == (15, "epochs")
    # From 1 to 1.5 and back: the ends agree, the stretch does not
    assert epochs([*still[:5], 1.5, *still[:9]]) == (9, "stalled")
    slow = [1 + 0.2 * k for k in range(15)]  # each step is small, the three together are not
    assert epochs(slow) == (15, "epochs")


def test_a_rule_that_is_negative_is_an_error():
    for name in ("stall_epochs", "stall_change"):
        with pytest.raises(ValueError, match=f"{name} is -1"):
            Settings(epochs=1, learning_rate=1.0, **{name: -1})


def test_a_plateau_lowers_the_rate_and_a_tiny_rate_ends_the_run():
    class Flat(Slope):
        def loss(self, y, target):
            return 0 * y.sum(), {"error": torch.tensor(2.0)}, 2

    run = Run(Flat(), Gain(), Settings(epochs=1000, learning_rate=1e-3, patience=7))
    train(run, progress=False)
    rates = [record["learning_rate"] for record in run.history]
    # The first epoch is the best; after 8 that are not better the rate is divided by 10.
    assert rates[:9] == [1e-3] * 9 and rates[9] == pytest.approx(1e-4)
    gentle = Settings(epochs=4, learning_rate=1e-3, patience=0, decay_factor=0.5)
    other = Run(Flat(), Gain(), gentle)
    train(other, progress=False)
    assert [r["learning_rate"] for r in other.history] == [1e-3, 1e-3, 5e-4, 2.5e-4]
    assert run.epoch == 1 + 5 * 8  # 1e-3, ..., 1e-7 is the last not below 1e-7 but for rounding
    assert run.ended


def test_a_solved_task_ends_the_run():
    class Easy(Slope):
        def solved(self, record):
            return record["epoch"] == 3

    run = Run(Easy(), Gain(), Settings(epochs=10, learning_rate=1e-2))
    train(run, progress=False)
    assert run.epoch == 3


def test_the_best_epoch_is_kept_although_later_ones_are_worse():
    run = Run(Slope(), Gain(1.9), Settings(epochs=6, learning_rate=0.3))  # overshoots
    train(run, progress=False)
    errors = [record["error"] for record in run.history]
    assert run.best["epoch"] == 1 + min(range(6), key=errors.__getitem__) < 6
    assert run.best["value"] == min(errors)


def test_of_equal_epochs_the_first_is_the_best():
    class Marked(Told):
        def evaluate(self, model):
            model.w.data += 1  # so that the epochs' weights can be told apart
            return {}

    run = Run(Marked([2.0, 1.0, 1.0, 3.0]), Gain(), Settings(epochs=4, learning_rate=1e-6))
    train(run, progress=False)
    assert run.best["epoch"] == 2 and run.best["value"] == 1
    assert run.best["model"]["w"].item() == pytest.approx(2)
    assert run.model.w.item() == pytest.approx(4)  # the best weights are a copy


def test_the_gradients_norm_is_cut():
    """Known answer: Adam's average after one step is a tenth of the gradient it was given."""
    for clip, given in (({}, 0.25), ({"clip": 0.5}, 0.5), ({"clip": 1000.0}, 20.0)):
        run = Run(Slope(), Gain(), Settings(epochs=1, learning_rate=1e-2, **clip))
        train(run, progress=False)
        (state,) = run.optimizer.state.values()
        assert state["exp_avg"].abs().item() == pytest.approx(0.1 * given, rel=1e-4)


def test_a_model_with_a_loss_of_its_own_is_trained_on_that():
    """Hypothesis: on its mean, or on the sum where the task says so; the history has the mean."""

    class Own(Gain):
        def loss(self, z, target, state):
            return (self.w - 3).square(), state

    for reduction, norm in (("mean", 6), ("sum", 6 * 2)):
        task = Slope()
        task.reduction, task.best = reduction, "loss"
        run = Run(task, Own(), Settings(epochs=1, learning_rate=1e-2))
        train(run, progress=False)
        assert run.history[0]["gradient_norm"] == pytest.approx(norm)
        assert run.history[0]["loss"] == pytest.approx(9)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where():
    nan = float("nan")
    run = Run(
        Slope([(2.0, 4.0), (nan, 4.0), (2.0, 4.0)]), Gain(), Settings(epochs=3, learning_rate=1)
    )
    with pytest.raises(NonFiniteLoss, match="epoch 1, batch 2 of 3.*learning_rate"):
        train(run, progress=False)
    assert run.history == []


def test_a_gradient_that_is_not_finite_is_found_although_the_loss_is():
    """Hypothesis: the root's slope at 0 is infinite, its value is not; the second batch has it."""

    class Root(Slope):
        def loss(self, y, target):
            loss = (y.sum() if target.sum() else y.sum().sqrt()).clone()
            return loss, {"error": loss.detach()}, 1

    task = Root([(2.0, 4.0), (0.0, 0.0), (2.0, 4.0)])
    model = Gain()
    model.constrain_ = lambda step: model.w.data.zero_()
    run = Run(task, model, Settings(epochs=3, learning_rate=1))
    with pytest.raises(NonFiniteLoss, match="gradient was infinite or NaN in epoch 1, batch 2 of"):
        train(run, progress=False)


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "clip"])
def test_settings_that_are_not_positive_are_errors(name):
    values = {"epochs": 1, "learning_rate": 1.0, "clip": 1.0} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0"):
        Settings(**values)


def test_callbacks_see_every_epoch_from_0_in_evaluation_mode():
    seen = []
    run = sine(callbacks=[lambda epoch, model: seen.append((epoch, model.training))])
    train(run, progress=False)
    assert seen == [(0, False), (1, False), (2, False), (3, False)]


@pytest.mark.parametrize("model", ["lstm", "slstm", "slstm-certified", "ornn", "gru", "elman"])
def test_replicas_trained_together_equal_runs_trained_alone(model):
    together = [sine(model, seed=seed, epochs=4) for seed in range(3)]
    alone = [sine(model, seed=seed, epochs=4) for seed in range(3)]
    train(together, progress=False)
    for a, b in zip(together, alone, strict=True):
        train(b, progress=False)
        assert (weights(a) - weights(b)).abs().max() < 1e-9
        assert a.history[-1]["mse"] == pytest.approx(b.history[-1]["mse"], rel=1e-9)


def test_replicas_keep_their_own_lengths_schedules_and_ends():
    def runs():
        made = []
        for k, length in enumerate((49, 60)):
            torch.manual_seed(k)
            task = Symbols(40, 20, length, 20, data_seed=k)
            settings = Settings(epochs=3 + 2 * k, learning_rate=1e-2, decay_epochs=(1 + k,))
            made.append(Run(task, SequenceModel("lstm", 6, 5, 4), settings))
        return made

    together, alone = runs(), runs()
    train(together, progress=False)
    for a, b in zip(together, alone, strict=True):
        train(b, progress=False)
        assert a.epoch == b.epoch
        for x, y in zip(a.history, b.history, strict=True):
            assert x == pytest.approx(y, rel=1e-3)  # float32, a few steps


def test_a_constraint_is_told_how_many_steps_were_made():
    """Hypothesis: after each step its number from 1, over epochs, and on where a run goes on."""
    steps = []

    class Constrained(Gain):
        def constrain_(self, step):
            steps.append(step)

    def run(epochs):
        task = Slope([(2.0, 4.0), (1.0, 1.0)])
        return Run(task, Constrained(), Settings(epochs=epochs, learning_rate=1e-3))

    first, second = run(2), run(3)
    train(first, progress=False)
    second.load_state_dict(first.state_dict())
    train(second, progress=False)
    assert steps == [1, 2, 3, 4, 5, 6]


def test_replicas_need_equal_numbers_of_batches():
    runs = [sine(n=n) for n in (4, 6)]
    with pytest.raises(ValueError, match="longer"):
        train(runs, progress=False)


def test_a_run_taken_up_from_its_state_equals_one_never_interrupted():
    class Dropping(SequenceModel):
        def forward(self, z, state=None):
            return super().forward(nn.functional.dropout(z, 0.5, self.training), state)

    def run():
        made = sine(epochs=6, decay_epochs=(2,))
        torch.manual_seed(0)
        made.model.__class__ = Dropping
        return made

    whole, first, second = run(), run(), run()
    train(whole, progress=False)

    class Stop(Exception):
        pass

    def stop(run):
        if run.epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        train(first, stop, progress=False)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    torch.randn(17)  # the surroundings' random numbers are of no influence
    train(second, progress=False)
    assert second.history == whole.history
    assert torch.equal(weights(second), weights(whole))


def test_training_leaves_the_random_numbers_of_its_surroundings_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run = sine()
    torch.manual_seed(5)
    train(run, progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_a_carried_state_goes_on_where_the_batch_before_ended_and_starts_anew_each_epoch():
    class Counter(nn.Module):
        """Counts its steps; the weight does nothing."""

        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(1.0))

        def forward(self, z, state=None):
            steps = torch.arange(1.0, len(z) + 1) + (0 if state is None else state)
            return steps + 0 * self.w, steps[-1]

    class Seen(Slope):
        carries_state = True

        def __init__(self):
            self.last = []

        def batches(self):
            return [(torch.zeros(4), None)] * 3

        def loss(self, y, target):
            self.last.append(y[-1].item())
            return y.sum(), {"error": y.sum().detach()}, 1

    run = Run(Seen(), Counter(), Settings(epochs=2, learning_rate=1e-3))
    train(run, progress=False)
    assert run.task.last == [4, 8, 12, 4, 8, 12]
    with pytest.raises(ValueError, match="carries its state"):
        train([run, run], progress=False)


@pytest.mark.parametrize("form", [tuple, torch.stack])
def test_gradients_do_not_go_back_past_a_batch(form):
    """Known answer: of a sum over a batch's four steps, whatever was carried into it."""

    class Adder(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(1.0))

        def forward(self, z, state=None):
            total = (0 if state is None else state[0]) + self.w * z.sum()
            return total, form((total, total))

    class Sums(Slope):
        carries_state = True

        def batches(self):
            return [(torch.ones(4), None)] * 3

        def loss(self, y, target):
            return y, {"error": y.detach()}, 1

    run = Run(Sums(), Adder(), Settings(epochs=1, learning_rate=1e-6))
    train(run, progress=False)
    assert run.history[0]["gradient_norm"] == pytest.approx(4)
    assert run.history[0]["error"] == pytest.approx((4 + 8 + 12) / 3)


def test_lines_are_printed_where_there_is_no_terminal(capsys):
    train(sine(), progress=True)
    error = capsys.readouterr().err
    assert "sine 0: epoch 3 of 3, mse" in error and "done" in error
    train(sine(), progress=False)
    assert capsys.readouterr().err == ""


def test_the_mse_of_answering_zero_is_one_half():
    task = Sine(100, 400, 10)
    total = sum(float(task.loss(0 * t, t)[0]) for _, t in task.batches())
    count = sum(task.loss(t, t)[2] for _, t in task.batches())
    assert count == 400 * 100
    assert total / count == pytest.approx(0.5, abs=5e-3)


def test_the_sine_targets_have_the_frequency_that_the_input_says():
    task = Sine(7, 50, 3)
    for z, target in task.batches():
        assert (z == z[0]).all()
        t = torch.arange(1, 51, dtype=torch.float64)[:, None]
        torch.testing.assert_close(
            target[..., 0].double(), torch.sin(z[0, :, 0].double() * t), atol=2e-6, rtol=0
        )
    omega = torch.cat([z[0, :, 0] for z, _ in task.batches()])
    assert omega[0] == pytest.approx(math.pi / 16) and omega[-1] == pytest.approx(math.pi / 8)


def test_the_error_of_a_network_is_not_the_running_one():
    """Hypothesis: `test` is the error of the weights as they are; the history sums on the way."""
    run = sine(n=4, batch_size=2, learning_rate=0.1, epochs=2)
    train(run, progress=False)
    z, target = (torch.cat(part, 1) for part in (run.task.z, run.task.target))
    with torch.no_grad():
        expected = (run.model(z)[0] - target).square().mean().item()
    found = run.task.test(run.model)["evaluated_mse"]
    assert found == pytest.approx(expected, rel=1e-9)
    assert abs(found - run.history[-1]["mse"]) > 1e-3


@pytest.mark.parametrize("name", ["n_sequences", "length", "batch_size"])
def test_a_sine_task_of_no_size_is_an_error(name):
    sizes = {"n_sequences": 2, "length": 3, "batch_size": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0"):
        Sine(**sizes)

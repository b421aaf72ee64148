"""The named models: the same numbers as systems, and their constraints after a step."""

import pytest
import torch

from rnnlib import certify, orthogonality_error, simulate, steady_state
from rnnlib.nn import PUBLISHED_RADII
from rnnlib.tasks import Sine
from rnnlib.training import Run, Settings, train
from rnnlib.training.models import LABELS, MODELS, REBASE_EVERY, SequenceModel


def network(model, n_in=2, units=6, n_out=3, **more):
    torch.manual_seed(1)
    return SequenceModel(model, n_in, units, n_out, **more)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_and_its_system_give_the_same_outputs(model):
    net = network(model)
    z = torch.randn(20, 3, 2, dtype=torch.float64)
    system = net.system()
    x0 = torch.zeros(3, system.n_x, dtype=torch.float64)
    y = simulate(system, x0, 20, inputs=z, observe="output")
    torch.testing.assert_close(net.double()(z)[0], y, atol=1e-6, rtol=0)
    assert system.name == LABELS[model]


def test_the_system_is_a_copy():
    net = network("lstm")
    system = net.system()
    before = {name: p.clone() for name, p in system.theta.items()}
    for p in net.parameters():
        p.data.fill_(7)
    assert all(torch.equal(before[name], p) for name, p in system.theta.items())


def test_an_unknown_model_is_an_error_with_the_nearest_name():
    with pytest.raises(ValueError, match="'ltsm'.*Did you mean 'lstm'"):
        network("ltsm")


def test_the_published_stable_lstm_has_its_column_sums_after_a_step():
    net = network("slstm")
    net.constrain_(1)
    for matrix, radius in zip(net.layer.weight_hh_l0.chunk(4), PUBLISHED_RADII, strict=True):
        torch.testing.assert_close(matrix.abs().sum(0), torch.full((6,), radius))


def test_the_certified_stable_lstm_is_certified_for_inputs_up_to_its_bound():
    net = network("slstm-certified", input_bound=2.0)
    for p in net.parameters():
        p.data.mul_(5)
    net.constrain_(1)
    assert certify(net.layer, input_bound=2.0).constant < 1


def test_the_papers_orthogonal_rnn_keeps_its_base():
    """Hypothesis: no step moves its parameters but the optimizer's, and Q is exp(A - A^T)."""
    net = network("ornn")
    net.layer.skew.data.normal_()
    before = {name: p.clone() for name, p in net.state_dict().items()}
    for step in (1, REBASE_EVERY, 2 * REBASE_EVERY):
        net.constrain_(step)
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    assert net.layer.base is None
    upper = net.layer.skew.detach().double().triu(1)
    expected = torch.linalg.matrix_exp(upper - upper.mT)
    torch.testing.assert_close(net.layer.recurrent_matrix().double(), expected, atol=1e-5, rtol=0)
    assert LABELS["ornn"] == "oRNN" and LABELS["ornn-rebased"] == "oRNN, re-based"


def test_the_rebased_orthogonal_rnn_moves_its_base_every_hundred_steps_and_keeps_its_matrix():
    net = network("ornn-rebased")
    net.layer.skew.data.normal_()
    before = net.layer.recurrent_matrix().detach().clone()
    net.constrain_(REBASE_EVERY - 1)
    assert net.layer.skew.abs().max() > 0
    net.constrain_(REBASE_EVERY)
    assert net.layer.skew.abs().max() == 0
    torch.testing.assert_close(net.layer.recurrent_matrix(), before, atol=1e-5, rtol=0)
    assert net.diagnostics() == {"orthogonality_error": orthogonality_error(net.layer)}


@pytest.mark.parametrize("model", ["lstm", "gru", "elman", "lru", "mingru", "selective"])
def test_models_without_a_constraint_are_left_alone(model):
    net = network(model)
    before = [p.clone() for p in net.parameters()]
    net.constrain_(REBASE_EVERY)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert net.diagnostics() == {}


@pytest.mark.parametrize("model", ["lru", "mingru", "selective"])
def test_a_linear_recurrence_learns_from_the_loop_and_goes_on_from_its_state(model):
    """Hypothesis: a few epochs lower the loss, and two windows are one sequence."""
    task = Sine(4, 30, batch_size=4)
    net = network(model, n_in=1, n_out=1)
    before = task.test(net)["evaluated_mse"]
    train(Run(task, net, Settings(epochs=30, learning_rate=0.01)), progress=False)
    assert task.test(net)["evaluated_mse"] < before
    z = torch.randn(9, 2, 1)
    whole, last = net(z)
    first, state = net(z[:4])
    second, end = net(z[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)


@pytest.mark.parametrize("model", ["lru", "mingru", "selective"])
def test_under_a_held_input_a_linear_recurrence_has_one_attractor_that_attracts(model):
    """Hypothesis: whatever its weights, all starts end in one fixed point of negative exponent."""
    net = network(model)
    for p in net.parameters():
        p.data.mul_(1.5)
    system = net.system().hold(torch.tensor([0.4, -0.7], dtype=torch.float64))
    torch.manual_seed(2)
    found = steady_state(system, 10 * torch.randn(8, system.n_x, dtype=torch.float64))
    assert set(found.kind.tolist()) == {"fixed point"}
    assert (found.exponent < 0).all()
    torch.testing.assert_close(found.end, found.end[:1].expand_as(found.end), atol=1e-6, rtol=0)

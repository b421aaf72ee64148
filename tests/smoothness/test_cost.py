"""The cost of equation (2), along a path and over a plane."""

import pytest
import torch

import rnnlib
from rnnlib.systems import THETA_TRUE, X0, chaotic_lstm, line, plane, theta_random

F64 = {"dtype": torch.float64}


def targets(n: int = 20, burn_in: int = 10) -> torch.Tensor:
    return rnnlib.simulate(chaotic_lstm(), X0, n, burn_in=burn_in, observe="output")


def test_the_cost_of_a_linear_map_has_its_closed_form():
    """Hypothesis: x -> a x from 1 against zero costs the mean of a^(2t), t = 1..N."""
    a = torch.tensor([0.5, 0.9, 1.1], **F64)
    system = rnnlib.linear(a[:, None, None])
    value = rnnlib.cost(system, torch.ones(1, **F64), torch.zeros(12, 1, **F64))
    t = torch.arange(1, 13, **F64)
    torch.testing.assert_close(value, (a[:, None] ** (2 * t)).mean(1))


def test_the_cost_is_zero_at_the_true_parameters():
    """Hypothesis: the model that made the data fits it exactly, chaotic or not."""
    assert rnnlib.cost(chaotic_lstm(), X0, targets(), burn_in=10) == 0


def test_both_routes_give_the_same_cost():
    """Hypothesis: torch.nn.LSTM with each weight set gives the batched cost in the regular part."""
    s = torch.tensor([0.3, 0.7, 1.6, 2.0], **F64)
    ours = rnnlib.cost_over(
        line(), s, x0=X0, targets=targets(), burn_in=10, loss=rnnlib.mean_squared_error
    )
    module, expected = torch.nn.LSTM(1, 2, bias=False).double(), []
    start = X0.reshape(2, 1, 1, 2)
    with torch.no_grad():
        for value in s:
            module.weight_hh_l0.copy_(value * THETA_TRUE)
            y, _ = module(torch.zeros(30, 1, 1, **F64), (start[0], start[1]))
            expected.append(torch.nn.functional.mse_loss(y[10:, 0], targets()))
    torch.testing.assert_close(ours, torch.stack(expected), atol=1e-12, rtol=0)


def test_a_plane_contains_the_path():
    """Hypothesis: the plane at s2 = 0 is the path, whatever the chunk."""
    s1, s2 = torch.linspace(0, 2, 9, **F64), torch.tensor([-0.5, 0.0, 0.5], **F64)
    arguments = {"x0": X0, "targets": targets(), "burn_in": 10}
    grid = plane(THETA_TRUE, theta_random())
    whole = rnnlib.cost_over(grid, s1, s2, **arguments)
    assert whole.shape == (9, 3)
    pieces = rnnlib.cost_over(grid, s1, s2, chunk=4, **arguments)
    torch.testing.assert_close(pieces, whole, atol=1e-9, rtol=0)
    path = rnnlib.cost_over(line(), s1, **arguments)
    torch.testing.assert_close(whole[:, 1], path, atol=1e-9, rtol=0)


def test_memory_does_not_depend_on_the_number_of_points_or_steps():
    """Hypothesis: no call sees more points than the chunk, and one orbit step is alive."""
    most = 0

    def family(a):
        nonlocal most
        most = max(most, len(a))
        return rnnlib.linear(a[:, None, None])

    axis = torch.linspace(0, 1, 101, **F64)
    value = rnnlib.cost_over(
        lambda a, b: family(a * b),
        axis,
        axis,
        x0=torch.ones(1, **F64),
        targets=torch.zeros(3, 1, **F64),
        chunk=64,
    )
    assert value.shape == (101, 101) and most == 64


def test_a_map_of_the_cost_shows_its_progress_on_request(capsys):
    s = torch.linspace(0.5, 1.0, 5, **F64)
    options = dict(x0=X0, targets=targets(2), chunk=2)
    quiet = rnnlib.cost_over(line(), s, **options)
    assert capsys.readouterr().err == ""
    assert torch.equal(rnnlib.cost_over(line(), s, progress=True, **options), quiet)
    shown = capsys.readouterr().err
    assert "cost" in shown and "3/3" in shown and "chunk" in shown


def test_a_diverging_or_nan_point_does_not_spoil_its_neighbours():
    """Hypothesis: infinity and NaN stay where they arise."""
    a = torch.tensor([0.5, 1e300, 0.5], **F64)
    value = rnnlib.cost(
        rnnlib.linear(a[:, None, None]), torch.ones(1, **F64), torch.zeros(4, 1, **F64)
    )
    assert torch.isfinite(value[[0, 2]]).all() and not torch.isfinite(value[1])


def test_float32_costs_agree_in_the_regular_region():
    """Hypothesis: single precision keeps five digits of the cost where nothing is chaotic."""
    s = torch.tensor([0.3, 1.8], **F64)
    high = rnnlib.cost(line()(s), X0, targets())
    low = rnnlib.cost(line()(s).to(torch.float32), X0.float(), targets().float())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), high, rtol=1e-5, atol=0)


def test_the_gradient_of_the_cost_passes_gradcheck():
    """Hypothesis: autograd through the whole simulation agrees with central differences."""
    a = torch.tensor([[0.7, 0.1], [-0.2, 0.6]], **F64, requires_grad=True)
    x0, zeros = torch.ones(2, **F64), torch.zeros(5, 2, **F64)
    assert torch.autograd.gradcheck(lambda a: rnnlib.cost(rnnlib.linear(a), x0, zeros), (a,))


def test_bad_arguments_name_themselves():
    """Hypothesis: no axis, a 2-D axis and an empty chunk are errors with a remedy."""
    arguments = {"x0": X0, "targets": targets()}
    with pytest.raises(ValueError, match="give one or more"):
        rnnlib.cost_over(line(), **arguments)
    with pytest.raises(ValueError, match="1-D tensors"):
        rnnlib.cost_over(line(), torch.ones(2, 2, **F64), **arguments)
    with pytest.raises(ValueError, match="chunk is 0"):
        rnnlib.cost_over(line(), torch.ones(2, **F64), chunk=0, **arguments)
    with pytest.raises(ValueError, match="burn_in is -1"):
        rnnlib.cost(chaotic_lstm(), X0, targets(), burn_in=-1)
    with pytest.raises(TypeError, match=r"targets is a list; give a tensor of shape \(N, n_y\)"):
        rnnlib.cost(chaotic_lstm(), X0, [[0.0, 0.0]])
    with pytest.raises(TypeError, match="targets is torch.float32 and x0 torch.float64"):
        rnnlib.cost(chaotic_lstm(), X0, targets().float())
    with pytest.raises(ValueError, match=r"targets has shape \(20,\).*targets\[:, None\]"):
        rnnlib.cost(chaotic_lstm(), X0, targets()[:, 0])
    with pytest.raises(ValueError, match=r"targets has shape \(0, 2\)"):
        rnnlib.cost(chaotic_lstm(), X0, targets()[:0])


def test_targets_that_would_be_paired_silently_are_refused():
    """Hypothesis: four targets for one output, one for three, starts for points: no broadcasting
    over outputs or points."""
    one = rnnlib.from_module(torch.nn.RNN(1, 3).double(), torch.nn.Linear(3, 1).double())
    three = rnnlib.from_module(torch.nn.RNN(1, 3).double())
    u, x0 = torch.zeros(6, 1, **F64), torch.zeros(3, **F64)
    for system, width in ((one, 4), (three, 1)):
        for loss in (rnnlib.squared_error, rnnlib.mean_squared_error):
            with pytest.raises(ValueError, match=rf"target has shape \({width},\).*must agree"):
                rnnlib.cost(system, x0, torch.zeros(6, width, **F64), inputs=u, loss=loss)
    s = torch.ones(5, **F64)
    with pytest.raises(ValueError, match=r"x0 has shape \(5, 4\); .* one initial state"):
        rnnlib.cost_over(line(), s, x0=X0.expand(5, 4), targets=targets())
    with pytest.raises(ValueError, match=r"targets has shape \(20, 5, 2\).*at all points"):
        rnnlib.cost_over(line(), s, x0=X0, targets=targets()[:, None].expand(20, 5, 2))


def test_targets_with_batch_axes_belong_to_the_same_axes_of_the_states():
    """Hypothesis: three sequences at once cost what each costs alone."""
    net = rnnlib.from_module(torch.nn.GRU(2, 3).double())
    u, aims = torch.randn(6, 4, 2, **F64), torch.randn(6, 4, 3, **F64)
    together = rnnlib.cost(net, torch.zeros(3, **F64), aims, inputs=u)
    alone = [rnnlib.cost(net, torch.zeros(3, **F64), aims[:, i], inputs=u[:, i]) for i in range(4)]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-14, rtol=0)


def test_a_step_that_closes_over_trainable_weights_can_be_trained():
    """Hypothesis: the cost reaches them, and under no_grad keeps nothing."""
    net = torch.nn.Linear(2, 2, **F64)
    system = rnnlib.from_step(lambda x: torch.tanh(net(x)), 2)
    arguments = system, torch.ones(2, **F64), torch.zeros(5, 2, **F64)
    rnnlib.cost(*arguments).backward()
    assert net.weight.grad.abs().min() > 0
    with torch.no_grad():
        assert not rnnlib.cost(*arguments).requires_grad

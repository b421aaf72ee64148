"""Functions, modules and cells that make one step, as systems."""

import pytest
import torch
from torch import nn

import rnnlib

F64 = {"dtype": torch.float64}


class Damped(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.5, **F64))

    def forward(self, x, z):
        return self.rate * x + z


class LiquidCell(nn.Module):
    """Called and answering as the cells of continuous-time libraries: (output, state)."""

    def __init__(self, input_size, units):
        super().__init__()
        self.of_input, self.of_state = nn.Linear(input_size, units), nn.Linear(units, units)

    def forward(self, inputs, hx, elapsed=1.0):
        new = hx + elapsed * torch.tanh(self.of_input(inputs) + self.of_state(hx))
        return new[:, :1], new


def test_any_module_or_function_that_steps_is_a_system():
    """Hypothesis: from_step wraps a custom module, with its parameters, and a function."""
    system = rnnlib.from_step(Damped(), n_x=2, n_z=2)
    x, z = torch.ones(3, 2, **F64), torch.ones(2, **F64)
    assert torch.equal(system.step(x, z), torch.full((3, 2), 1.5, **F64))
    faster = system.at({"rate": torch.tensor(0.25, **F64)})
    assert torch.equal(faster.step(x, z), torch.full((3, 2), 1.25, **F64))
    halved = rnnlib.from_step(lambda x: x / 2, n_x=2, readout=lambda x: x[..., :1])
    assert rnnlib.simulate(halved, x, 3, observe="output")[-1, 0].tolist() == [0.125]


def test_a_wrapped_step_sees_its_input_with_the_states_batch_axes():
    """Hypothesis: one held input serves a batch of states, in a step and in its Jacobian."""
    shift = rnnlib.from_step(lambda x, z: torch.cat([z, x[..., :1]], dim=-1), n_x=2, n_z=1)
    held = shift.hold(torch.ones(1, **F64))
    x = torch.tensor([[2.0, 3.0], [4.0, 5.0]], **F64)
    assert held.step(x).tolist() == [[1.0, 2.0], [1.0, 4.0]]
    assert rnnlib.jacobian(held, x)[1].tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_a_wrapped_module_is_a_copy_in_evaluation_mode():
    """Hypothesis: neither later training, nor dropout, nor a batch's statistics reach the system,
    and the module itself is left as it was."""
    step = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    readout = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    system = rnnlib.from_step(step, 3, readout=readout, dtype=torch.float64)
    assert step.training and readout.training and step[0].weight.dtype == torch.float32
    x = torch.rand(5, 3, **F64)
    before, shown = system.step(x), system.read(x)
    assert torch.equal(system.step(x), before) and torch.equal(system.read(x), shown)
    with torch.no_grad():
        step[0].weight.add_(1), readout[0].weight.add_(1), step[1].running_mean.add_(1)
    assert torch.equal(system.step(x), before) and torch.equal(system.read(x), shown)
    assert not system.step(x).requires_grad
    low = system.to(torch.float32)
    torch.testing.assert_close(low.step(x.float()).double(), before, atol=1e-5, rtol=0)
    torch.testing.assert_close(low.read(x.float()).double(), shown, atol=1e-5, rtol=0)


def test_batch_axes_for_a_called_module_are_refused_and_not_paired_with_units():
    """Hypothesis: two rates for two components are an error, not one rate for each component."""
    system = rnnlib.from_step(Damped(), n_x=2, n_z=2)
    swept = system.at({"rate": torch.tensor([0.1, 0.9], **F64)})
    with pytest.raises(ValueError, match=r"theta\['rate'\] has shape \(2,\).*no batch axes"):
        swept.step(torch.ones(2, **F64), torch.zeros(2, **F64))


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_a_cell_is_called_with_its_input_first_and_one_batch_axis(kind, batch):
    """Hypothesis: from_cell gives what from_module gives, also with as many inputs as units."""
    torch.manual_seed(0)
    cell = kind(5, 5).double()
    units = (5, 5) if kind is nn.LSTMCell else 5
    ours, theirs = rnnlib.from_cell(cell, units), rnnlib.from_module(cell)
    x, z = torch.randn(*batch, ours.n_x, **F64), torch.randn(5, **F64)
    torch.testing.assert_close(ours.step(x, z), theirs.step(x, z), atol=1e-14, rtol=0)
    torch.testing.assert_close(
        rnnlib.jacobian(ours.hold(z), x), rnnlib.jacobian(theirs.hold(z), x), atol=1e-14, rtol=0
    )


def test_a_cell_that_returns_output_and_state_is_taken_by_its_state():
    cell = LiquidCell(2, 3).double()
    system = rnnlib.from_cell(cell, 3, 2)
    x, z = torch.randn(4, 3, **F64), torch.randn(4, 2, **F64)
    torch.testing.assert_close(system.step(x, z), cell(z, x)[1])
    states = rnnlib.from_cell(lambda z, s: (s[0], [s[0] + z, s[1] / 2]), (1, 2), 1)
    x = torch.tensor([1.0, 2.0, 4.0], **F64)
    assert states.step(x, torch.ones(1, **F64)).tolist() == [2.0, 1.0, 2.0]


def test_a_cell_is_called_with_what_else_it_takes():
    """Hypothesis: an elapsed time, and a function that closes over weights of either precision."""
    cell = LiquidCell(2, 3)
    system = rnnlib.from_cell(cell, 3, 2, arguments=(0.5,), dtype=torch.float64)
    x, z = torch.randn(4, 3, **F64), torch.randn(4, 2, **F64)
    expected = x + 0.5 * (cell(z.float(), x.float())[1] - x.float()).double()
    torch.testing.assert_close(system.step(x, z), expected, atol=1e-6, rtol=0)
    for closed_over in (cell, LiquidCell(2, 3).double()):
        system = rnnlib.from_cell(lambda z, h, cell=closed_over: cell(z, h)[1], 3, 2)
        x = x.to(closed_over.of_input.weight.dtype)
        assert torch.equal(system.step(x, z.to(x)), closed_over(z.to(x), x)[1])


def test_a_cell_may_take_its_state_first():
    system = rnnlib.from_cell(lambda state, z: state / 2 + z, 2, 2, order="state, input")
    x, z = torch.ones(2, **F64), torch.full((2,), 3.0, **F64)
    assert system.step(x, z).tolist() == [3.5, 3.5]
    assert rnnlib.from_cell(lambda z, s: s / 2 + z, 2, 2).step(x, z).tolist() == [3.5, 3.5]


def test_state_and_input_are_never_swapped_silently():
    """Hypothesis: whatever takes its input first is refused where the state comes first."""
    with pytest.raises(ValueError, match=r"GRUCell takes \(input, hx\): use rnnlib.from_module"):
        rnnlib.from_step(nn.GRUCell(8, 8), 8, 8)
    with pytest.raises(ValueError, match=r"LiquidCell takes \(inputs, hx\): use .*from_cell"):
        rnnlib.from_step(LiquidCell(8, 8), 8, 8)
    with pytest.raises(ValueError, match=r"takes \(u, hidden\): use rnnlib.from_cell\(step, 2, 2"):
        rnnlib.from_step(lambda u, hidden: hidden, 2, 2)
    with pytest.raises(ValueError, match="torch.nn.GRUCell is called .input, state.; leave order"):
        rnnlib.from_cell(nn.GRUCell(8, 8), 8, order="state, input")


def test_what_cannot_be_wrapped_says_why():
    """Hypothesis: each wrong argument is named, with the value and the remedy."""
    with pytest.raises(TypeError, match="step is a int; give a function"):
        rnnlib.from_step(3, 1)
    with pytest.raises(TypeError, match="readout is a Tensor; give a module or function"):
        rnnlib.from_step(lambda x: x, 1, readout=torch.zeros(1))
    with pytest.raises(ValueError, match="n_x is 0; give a whole number of at least 1"):
        rnnlib.from_step(lambda x: x, 0)
    with pytest.raises(ValueError, match="n_z is 1.5"):
        rnnlib.from_step(lambda x, z: x, 1, 1.5)
    with pytest.raises(TypeError, match="cell is a str"):
        rnnlib.from_cell("gru", 3)
    with pytest.raises(ValueError, match="order is 'x, z'; use 'input, state' or 'state, input'"):
        rnnlib.from_cell(nn.GRUCell(2, 2), 2, order="x, z")
    with pytest.raises(ValueError, match="has no input_size; give n_z"):
        rnnlib.from_cell(LiquidCell(2, 3), 3)
    with pytest.raises(ValueError, match=r"cannot be called.*units=\(8, 8\) for \(h, c\)"):
        rnnlib.from_cell(nn.LSTMCell(2, 4), 4)
    with pytest.raises(ValueError, match=r"cannot be called as cell\(input, state\) with n_z=3"):
        rnnlib.from_cell(nn.GRUCell(2, 4), 4, 3)
    broken = Damped()
    with torch.no_grad():
        broken.rate.fill_(torch.nan)
    with pytest.raises(ValueError, match="'rate' has 1 values that are not finite"):
        rnnlib.from_step(broken, 2, 2)


def test_the_name_given_is_the_name_shown():
    cell = torch.nn.GRUCell(2, 3)
    assert rnnlib.from_cell(cell, 3, n_z=2, name="my cell").name == "my cell"
    assert rnnlib.from_step(lambda x: x / 2, 1, name="my step").name == "my step"
    assert rnnlib.from_function(lambda x, theta: x / 2, 1, name="my map").name == "my map"

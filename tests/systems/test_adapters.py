"""From torch.nn to a system: both routes to one number."""

import pytest
import torch
from torch import nn

import rnnlib
from rnnlib.nn import LinearRecurrentUnit, MinGRU, SelectiveSSM

MODULES = {
    "tanh": lambda: nn.RNN(3, 5),
    "relu": lambda: nn.RNN(3, 5, nonlinearity="relu"),
    "gru": lambda: nn.GRU(3, 5),
    "lstm": lambda: nn.LSTM(3, 5),
    "no bias": lambda: nn.LSTM(3, 5, bias=False),
    "two layers": lambda: nn.LSTM(3, 5, num_layers=2, dropout=0.5).eval(),
    "three layers": lambda: nn.GRU(3, 4, num_layers=3),
    "large": lambda: nn.LSTM(3, 40),
    "one unit": lambda: nn.LSTM(1, 1),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_one_step_route_equals_the_whole_sequence_route(name):
    """Hypothesis: iterating the system gives torch's own outputs and final state."""
    torch.manual_seed(1)
    module = MODULES[name]().double()
    system = rnnlib.from_module(module)
    u = torch.randn(12, 4, module.input_size, dtype=torch.float64)
    shape = (module.num_layers, 4, module.hidden_size)
    state = torch.randn(shape, dtype=torch.float64)
    if isinstance(module, nn.LSTM):
        state = (state, torch.randn(shape, dtype=torch.float64))
    with torch.no_grad():
        expected, last = module(u, state)
    x0 = rnnlib.flatten_state(state)
    outputs = rnnlib.simulate(system, x0, 12, inputs=u, observe="output")
    torch.testing.assert_close(outputs, expected, atol=1e-14, rtol=0)
    states = rnnlib.simulate(system, x0, 12, inputs=u)
    torch.testing.assert_close(states[-1], rnnlib.flatten_state(last), atol=1e-14, rtol=0)
    back = rnnlib.unflatten_state(states[-1], module.num_layers, module.hidden_size)
    torch.testing.assert_close(back, last, atol=1e-14, rtol=0)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_a_cell_is_a_layer_of_one_step(kind):
    """Hypothesis: torch's cells and their system make the same step."""
    cell = kind(2, 3).double()
    system = rnnlib.from_module(cell)
    z = torch.randn(4, 2, dtype=torch.float64)
    x = torch.randn(4, system.n_x, dtype=torch.float64)
    with torch.no_grad():
        if kind is nn.LSTMCell:
            expected = torch.cat(cell(z, (x[:, :3], x[:, 3:])), dim=-1)
        else:
            expected = cell(z, x)
    torch.testing.assert_close(system.step(x, z), expected, atol=1e-15, rtol=0)


def test_a_linear_readout_is_a_parameter_and_any_other_module_serves_too():
    """Hypothesis: both kinds of read-out show readout(h); the linear one can be swept."""
    module, linear = nn.LSTM(2, 4).double(), nn.Linear(4, 3).double()
    deep = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x, z = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(rnnlib.from_module(module, linear).read(x, z), linear(x[:, :4]))
    torch.testing.assert_close(rnnlib.from_module(module, deep).read(x, z), deep(x[:, :4]))
    swept = rnnlib.from_module(module, linear).at({"readout.bias": torch.zeros(5, 3).double()})
    torch.testing.assert_close(swept.read(x, z), linear(x[:, :4]) - linear.bias)


@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_a_read_out_module_sees_one_batch_axis_whatever_the_state_has(batch):
    """Hypothesis: a BatchNorm1d, which knows one axis, reads states of any shape as one list."""
    module = nn.GRU(2, 4).double()
    readout = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double().eval()
    x = torch.randn(*batch, 4, dtype=torch.float64)
    z = torch.zeros(*batch, 2, dtype=torch.float64)
    expected = readout(x.reshape(-1, 4)).reshape(*batch, 3)
    torch.testing.assert_close(rnnlib.from_module(module, readout).read(x, z), expected)


def test_a_layer_without_input_weights_takes_no_input():
    weights = {"weight_hh_l0": torch.eye(2, dtype=torch.float64).repeat(4, 1)}
    assert rnnlib.lstm(weights).n_z == 0
    driven = rnnlib.lstm({**weights, "weight_ih_l0": torch.ones(8, 3, dtype=torch.float64)})
    assert driven.n_z == 3


def test_a_system_is_a_snapshot():
    """Hypothesis: training the module or its read-out later does not change the system."""
    module, linear = nn.RNN(1, 2).double(), nn.Linear(2, 1).double()
    deep = nn.Sequential(nn.Linear(2, 2), nn.Tanh()).double()
    x, z = torch.ones(2, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    systems = [rnnlib.from_module(module, readout) for readout in (None, linear, deep)]
    before = [(system.step(x, z), system.read(x, z)) for system in systems]
    with torch.no_grad():
        for part in (module, linear, deep):
            for parameter in part.parameters():
                parameter.add_(1)
    for system, (step, read) in zip(systems, before, strict=True):
        assert torch.equal(system.step(x, z), step) and torch.equal(system.read(x, z), read)


def test_a_batch_of_a_cells_states_stays_a_batch():
    """Hypothesis: cell=True flattens (h, c) of a cell; tuples and lists are the same."""
    cell, z = nn.LSTMCell(2, 3).double(), torch.randn(4, 2, dtype=torch.float64)
    state = cell(z)
    flat = rnnlib.flatten_state(state, cell=True)
    assert flat.shape == (4, 6)
    assert torch.equal(flat, rnnlib.flatten_state(list(state), cell=True))
    torch.testing.assert_close(flat, rnnlib.from_module(cell).step(torch.zeros(4, 6).double(), z))


@pytest.mark.parametrize("kind", [LinearRecurrentUnit, MinGRU, SelectiveSSM])
def test_a_linear_recurrence_is_a_system(kind):
    """Hypothesis: its outputs are the layer's, through a read-out too, and its Jacobian is the
    limit of differences; a network that holds it is taken."""
    torch.manual_seed(0)
    layer, head = kind(3, 5), nn.Linear(5, 2)
    system = rnnlib.from_module(layer, head, dtype=torch.float64)
    assert next(layer.parameters()).dtype == torch.float32
    assert system.n_x == layer.state_size and system.n_z == 3
    z = torch.randn(7, 2, 3, dtype=torch.float64)
    x0 = torch.zeros(system.n_x, dtype=torch.float64)
    found = rnnlib.simulate(system, x0, 7, inputs=z, observe="output")
    with torch.no_grad():
        expected = head(layer(z.float())[0])
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=0)
    x, e = torch.randn(system.n_x).double(), 1e-6 * torch.eye(system.n_x, dtype=torch.float64)
    at = z[0, 0]
    differences = (system.step(x + e, at) - system.step(x - e, at)).mT / 2e-6
    torch.testing.assert_close(rnnlib.jacobian(system, x, at), differences, atol=1e-8, rtol=0)
    plain = rnnlib.from_module(layer.double())
    torch.testing.assert_close(plain.read(x, at), layer.read(x, at).detach())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.core, self.out = layer, head.double()

        def forward(self, z):
            return self.out(self.core(z)[0])

    taken = rnnlib.from_module(Net())
    assert taken.name == f"{kind.__name__} at core of Net, read by out"
    torch.testing.assert_close(
        rnnlib.simulate(taken, x0, 7, inputs=z, observe="output"), found, atol=1e-9, rtol=0
    )


def test_a_parametrized_layer_steps_as_torch_does():
    """Hypothesis: the orthogonal layer as torch builds it, weight norm and pruning."""
    torch.manual_seed(0)
    changes = (
        nn.utils.parametrizations.orthogonal,
        nn.utils.parametrizations.weight_norm,
        lambda module, name: nn.utils.prune.l1_unstructured(module, name, 0.5),
    )
    for change in changes:
        for kind, name in ((nn.RNN, "weight_hh_l0"), (nn.GRUCell, "weight_hh")):
            module = kind(3, 5).double()
            if change is changes[0] and kind is nn.GRUCell:
                continue  # not square
            change(module, name)
            system = rnnlib.from_module(module)
            x, z = torch.randn(1, 5, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
            with torch.no_grad():
                expected = module(z, x) if kind is nn.GRUCell else module(z[None], x[None])[0][0]
            torch.testing.assert_close(system.step(x, z), expected, atol=1e-14, rtol=0)


def test_what_cannot_be_adapted_says_why():
    """Hypothesis: each unsupported module and malformed weight is a clear error."""
    with pytest.raises(TypeError, match="Linear; from_module knows"):
        rnnlib.from_module(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="bidirectional"):
        rnnlib.from_module(nn.LSTM(2, 2, bidirectional=True))
    with pytest.raises(ValueError, match="proj_size=1"):
        rnnlib.from_module(nn.LSTM(2, 2, proj_size=1))
    broken = nn.GRU(2, 2)
    with torch.no_grad():
        broken.weight_hh_l0[0, 0] = torch.nan
    with pytest.raises(ValueError, match="'weight_hh_l0' has 1 values that are not finite"):
        rnnlib.from_module(broken)
    with pytest.raises(ValueError, match="must be square"):
        rnnlib.lstm({"weight_hh_l0": torch.zeros(8, 3)})
    with pytest.raises(ValueError, match="unknown names"):
        rnnlib.lstm({"weight_hh": torch.zeros(8, 2)})
    with pytest.raises(ValueError, match="lacks 'weight_hh_l0'"):
        rnnlib.lstm({"bias_hh_l0": torch.zeros(8)})
    with pytest.raises(ValueError, match=r"bias_hh_l0.*must be \(8,\)"):
        rnnlib.lstm({"weight_hh_l0": torch.zeros(8, 2), "bias_hh_l0": torch.zeros(4)})
    with pytest.raises(TypeError, match="state holds str; give h, or the pair"):
        rnnlib.flatten_state("h")
    with pytest.raises(ValueError, match=r"different shapes, \[\(1, 3\), \(1, 4\)\]"):
        rnnlib.flatten_state((torch.zeros(1, 3), torch.zeros(1, 4)))
    with pytest.raises(ValueError, match=r"state has shape \(3,\).*cell=True"):
        rnnlib.flatten_state(torch.zeros(3))
    with pytest.raises(ValueError, match=r"may be 4 layers or a cell's batch of 4; say cell="):
        rnnlib.flatten_state(torch.zeros(4, 3))
    assert rnnlib.flatten_state(torch.zeros(4, 3), cell=False).shape == (12,)
    assert rnnlib.flatten_state(torch.zeros(1, 3)).shape == (3,)
    with pytest.raises(ValueError, match="has 7 components"):
        rnnlib.unflatten_state(torch.zeros(7), 1, 3)

"""A network that holds one recurrent layer, in one line; and what cannot be taken so."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import rnnlib
from rnnlib.nn import OrthogonalRNN

F64 = {"dtype": torch.float64}


class Net(nn.Module):
    """A layer and a head, as most people write it."""

    def __init__(self, rnn, head, last=False, log=False):
        super().__init__()
        self.rnn, self.head, self.last, self.log = rnn, head, last, log

    def forward(self, z, state=None):
        h, state = self.rnn(z, state)
        if self.last:
            return self.head(h[:, -1] if self.rnn.batch_first else h[-1])
        y = self.head(h)
        return torch.log_softmax(y, -1) if self.log else y


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.drop = nn.Embedding(11, 3), nn.Dropout(0.5)
        self.rnn, self.decoder = nn.LSTM(3, 4, num_layers=2, dropout=0.3), nn.Linear(4, 11)

    def forward(self, words):
        h, state = self.rnn(self.drop(self.embedding(words)))
        return self.decoder(self.drop(h)), state


class Loop(nn.Module):
    """One step of a cell at a time, in a Python loop."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(3, 4), nn.Linear(4, 2)

    def forward(self, z):
        state, ys = None, []
        for step in z:
            state = self.cell(step, state)
            ys.append(self.out(state[0]))
        return torch.stack(ys)


class First(nn.Module):
    def forward(self, pair: tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]):
        return pair[0]


def deep():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.4), nn.Linear(6, 2))


def compiled(net):
    return torch.compile(net, backend="eager")


def part_compiled(net):
    net.rnn = torch.compile(net.rnn, backend="eager")
    return net


def scripted(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(net)


def orthogonal(net):
    parametrizations.orthogonal(net.rnn, "weight_hh_l0")
    return net


def pruned(net):
    nn.utils.prune.l1_unstructured(net.rnn, "weight_hh_l0", 0.5)
    return net


TAKEN = {
    "layer and head": (
        lambda: Net(nn.GRU(3, 4), nn.Linear(4, 2)),
        "GRU at rnn of Net, read by head",
    ),
    "batch first": (lambda: Net(nn.LSTM(3, 4, batch_first=True), deep()), "read by head"),
    "last step": (lambda: Net(nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2), True), "by head"),
    "sequential": (lambda: nn.Sequential(nn.LSTM(3, 4), First(), nn.Linear(4, 2)), "read by 2"),
    "no head": (lambda: nn.Sequential(nn.LSTM(3, 4), First()), "LSTM at 0 of Sequential"),
    "nested": (lambda: Net(nn.LSTM(3, 4), nn.Sequential(Net(nn.Identity(), deep()).head)), "head"),
    "words": (Words, "LSTM at rnn of Words, read by decoder, with what embedding gives as input"),
    "a loop over a cell": (Loop, "LSTMCell at cell of Loop, read by out"),
    "orthogonal layer": (lambda: Net(OrthogonalRNN(3, 4), nn.Linear(4, 2)), "OrthogonalRNN at rnn"),
    "orthogonal by torch": (lambda: orthogonal(Net(nn.RNN(3, 4), deep())), "RNN at rnn"),
    "pruned": (lambda: pruned(Net(nn.RNN(3, 4), deep())), "RNN at rnn"),
    "compiled": (lambda: compiled(Net(nn.GRU(3, 4), nn.Linear(4, 2))), "GRU at rnn of Net"),
    "compiled in part": (lambda: part_compiled(Net(nn.GRU(3, 4), nn.Linear(4, 2))), "GRU at rnn"),
    "parallel": (lambda: nn.DataParallel(Net(nn.GRU(3, 4), nn.Linear(4, 2))), "GRU at rnn of Net"),
    "scripted": (lambda: scripted(nn.Sequential(nn.LSTM(3, 4, 2), First(), deep())), "LSTM at 0"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_network_of_one_layer_is_taken_with_what_reads_it(name):
    """Hypothesis: the system's outputs are those of the network, and its name says what it took."""
    torch.manual_seed(0)
    make, says = TAKEN[name]
    net = make()
    before = copy.deepcopy({k: v.clone() for k, v in net.state_dict().items()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system = rnnlib.from_module(net, dtype=torch.float64)
    assert says in system.name, system.name
    after = net.state_dict()
    assert all(torch.equal(after[k], v) and after[k].dtype == v.dtype for k, v in before.items())
    assert net.training
    net.eval()
    with torch.no_grad():
        if name == "words":
            words = torch.randint(11, (7, 2))
            z, (expected, _) = net.embedding(words), net(words)
        else:
            z = torch.randn(7, 2, 3)
            first = name in ("batch first", "last step")
            expected = net(z.transpose(0, 1) if first else z)
            expected = expected.transpose(0, 1) if name == "batch first" else expected
    x0 = torch.zeros(system.n_x, **F64)
    outputs = rnnlib.simulate(system, x0, 7, inputs=z.double(), observe="output")
    expected = expected.double()
    found = outputs[-1] if name == "last step" else outputs
    torch.testing.assert_close(found, expected, atol=3e-6, rtol=0)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell])
@pytest.mark.parametrize("wrap", [scripted, compiled])
def test_a_scripted_or_compiled_layer_is_the_layer(kind, wrap):
    torch.manual_seed(0)
    layer = kind(2, 3, bias=False).double()
    z, plain = torch.randn(2, **F64), rnnlib.from_module(layer)
    x = torch.randn(plain.n_x, **F64)
    assert torch.equal(rnnlib.from_module(wrap(layer)).step(x, z), plain.step(x, z))


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_a_scripted_layer_keeps_its_nonlinearity(nonlinearity):
    for kind in (nn.RNN, nn.RNNCell):
        layer = kind(2, 3, nonlinearity=nonlinearity).double()
        z, x = torch.randn(2, **F64), torch.randn(3, **F64)
        expected = rnnlib.from_module(layer).step(x, z)
        assert torch.equal(rnnlib.from_module(scripted(layer)).step(x, z), expected)


def test_a_network_that_does_something_else_is_refused_with_the_line_that_works():
    """Hypothesis: a function behind the head is seen, since what was found is tried."""
    net = Net(nn.GRU(3, 4), nn.Linear(4, 2), log=True)
    with pytest.raises(ValueError, match=r"from_module\(model.rnn, readout=model.head\)"):
        rnnlib.from_module(net)
    assert rnnlib.from_module(net.rnn, readout=net.head).n_x == 4
    system = rnnlib.from_module(net, readout=lambda h: torch.log_softmax(net.head(h), -1))
    assert system.name == "GRU at rnn of Net"

    class Residual(Net):
        def forward(self, z):
            return self.head(self.rnn(z)[0] + z)

    with pytest.raises(ValueError, match=r"from_module\(model.rnn, readout=model.head\)"):
        rnnlib.from_module(Residual(nn.GRU(4, 4), nn.Linear(4, 2)))


def test_several_layers_are_refused_with_the_lines_that_work():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.GRU(3, 4), nn.LSTM(3, 4)

    with pytest.raises(
        ValueError, match=r"from_module\(model.encoder\) or from_module\(model.decoder\)"
    ):
        rnnlib.from_module(Both())


def test_a_subclass_with_a_forward_of_its_own_is_not_taken_for_its_parent():
    class Halved(nn.GRU):
        def forward(self, *arguments):
            h, state = super().forward(*arguments)
            return h / 2, state

    class Cell(nn.GRUCell):
        def forward(self, z, h):
            return super().forward(z, h) / 2

    for module in (Halved(3, 4), Cell(3, 4), Net(Halved(3, 4), nn.Linear(4, 1))):
        with pytest.raises(TypeError, match="forward of its own"):
            rnnlib.from_module(module)


def test_a_copy_in_another_precision_leaves_the_module_alone():
    """Hypothesis: dtype= gives a float64 system; an orthogonal matrix in it is one to 1e-13 (that
    of torch rests on a factor that it has rounded to float32)."""
    torch.manual_seed(0)
    both = (OrthogonalRNN(2, 30), 1e-13), (orthogonal(Net(nn.RNN(2, 30), None)).rnn, 2e-6)
    for layer, tolerance in both:
        system = rnnlib.from_module(layer, nn.Linear(30, 2), dtype=torch.float64)
        assert next(layer.parameters()).dtype == torch.float32
        assert all(p.dtype == torch.float64 for p in system.theta.values())
        q = system.theta.get("recurrent", system.theta.get("weight_hh_l0"))
        assert (q.mT @ q - torch.eye(30, **F64)).abs().max() < tolerance


@pytest.mark.parametrize("readout", [nn.Linear(4, 2), deep(), nn.Sequential(nn.BatchNorm1d(4))])
def test_a_read_out_of_any_kind_is_a_copy_in_evaluation_mode(readout):
    """Hypothesis: dropout, statistics of a batch and later training do not reach the system."""
    layer, readout = nn.RNN(1, 4).double(), readout.double().train()
    system = rnnlib.from_module(layer, readout)
    assert readout.training
    x, z = torch.randn(2, 5, 4, **F64), torch.zeros(1, **F64)
    before = system.read(x, z)
    assert torch.equal(system.read(x, z), before) and before.shape[:2] == (2, 5)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.add_(1)
    assert torch.equal(system.read(x, z), before)
    low = system.to(torch.float32).read(x.float(), z.float())
    torch.testing.assert_close(low.double(), before, atol=1e-5, rtol=0)


def test_a_read_out_that_does_not_fit_is_refused_at_once():
    layer = nn.LSTM(2, 4)
    with pytest.raises(ValueError, match=r"readout, a Linear, does not take .* \(batch, 4\)"):
        rnnlib.from_module(layer, nn.Linear(3, 1))
    with pytest.raises(ValueError, match=r"readout, a Linear, does not take .*float64"):
        rnnlib.from_module(copy.deepcopy(layer).double(), nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"readout, a Sequential, does not take"):
        rnnlib.from_module(layer, nn.Sequential(nn.Linear(8, 1)))
    with pytest.raises(TypeError, match="readout is a str; give a module or function"):
        rnnlib.from_module(layer, "head")
    with pytest.raises(ValueError, match=r"readout gives shape \(\).*must keep the batch axis"):
        rnnlib.from_module(layer, torch.sum)


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="module is a function; give a torch.nn.Module"):
        rnnlib.from_module(lambda x: x)
    with pytest.raises(TypeError, match="Conv1d; from_module knows .*from_cell"):
        rnnlib.from_module(nn.Conv1d(1, 1, 1))


def test_a_layer_with_two_names_is_one_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.second = nn.GRU(2, 3)

        def forward(self, z):
            return self.second(z)[0]

    assert rnnlib.from_module(Twice()).n_x == 3


def test_what_knows_one_batch_axis_may_read_all_steps_of_all_sequences():
    """Hypothesis: a BatchNorm1d over time and batch together is found as what reads the layer."""

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.core, self.norm = nn.GRU(2, 3), nn.BatchNorm1d(3)

        def forward(self, z):
            h = self.core(z)[0]
            return self.norm(h.flatten(0, -2)).reshape(h.shape)

    net = Normed().double().eval()
    with torch.no_grad():
        net.norm.running_mean += 0.5
    system = rnnlib.from_module(net)
    x = torch.randn(4, 3, dtype=torch.float64)
    z = torch.randn(4, 2, dtype=torch.float64)
    torch.testing.assert_close(
        system.read(system.step(x, z), z), net.norm(net.core(z[None], x[None])[0][0])
    )

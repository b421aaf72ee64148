"""Hypotheses about the weights of a module as its forward pass uses them."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from rnnlib.nn import OrthogonalRNN, weights_in_use


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def old_weight_norm(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, and found in checkpoints
        nn.utils.weight_norm(module, name)


def pruned_and_weight_normed(module, name):
    old_weight_norm(module, name)
    prune.l1_unstructured(module, name + "_v", amount=0.3)


def twice_pruned(module, name):
    prune.random_unstructured(module, name, amount=0.3)
    prune.l1_unstructured(module, name, amount=0.3)


def bias_pruned(module, name):
    if module.bias:
        prune.l1_unstructured(module, name.replace("weight", "bias"), amount=0.4)


def frozen(module, name):
    getattr(module, name).requires_grad_(False)


def tied(module, name):
    for other in list(module._parameters):
        if other.startswith("weight_hh"):
            setattr(module, other, getattr(module, name))


CHANGES = {
    "plain": lambda module, name: None,
    "pruned": lambda module, name: prune.l1_unstructured(module, name, amount=0.4),
    "twice pruned": twice_pruned,
    "bias pruned": bias_pruned,
    "weight norm": lambda module, name: parametrizations.weight_norm(module, name),
    "old weight norm": old_weight_norm,
    "pruned and weight-normed": pruned_and_weight_normed,
    "orthogonal": lambda module, name: parametrizations.orthogonal(module, name),
    "spectral norm": lambda module, name: parametrizations.spectral_norm(module, name),
    "old spectral norm": lambda module, name: nn.utils.spectral_norm(module, name),
    "own parametrization": lambda module, name: parametrize.register_parametrization(
        module, name, Halved()
    ),
    "frozen": frozen,
    "tied": tied,
}
LAYERS = {
    "rnn": lambda: nn.RNN(2, 3),
    "gru": lambda: nn.GRU(2, 3),
    "lstm": lambda: nn.LSTM(2, 3, 2),
    "one bias": lambda: nn.LSTM(2, 3, bias=False),
    "both directions": lambda: nn.GRU(2, 3, bidirectional=True),
    "rnn cell": lambda: nn.RNNCell(2, 3),
    "gru cell": lambda: nn.GRUCell(2, 3),
    "lstm cell": lambda: nn.LSTMCell(2, 3),
}


def made(layer: str, change: str) -> nn.Module:
    """Return a module whose weights were changed once more after they were last worked out."""
    torch.manual_seed(0)
    module = LAYERS[layer]().double()
    name = "weight_hh" if layer.endswith("cell") else "weight_hh_l0"
    CHANGES[change](module, name)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))  # as an optimizer's step would
    return module


def plain_twin(module: nn.Module, layer: str, weights: dict) -> nn.Module:
    twin = LAYERS[layer]().double()
    twin.load_state_dict(weights)  # strict: every name, no other
    return twin


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_plain_module_with_these_weights_computes_the_same(layer, change):
    """Hypothesis: the weights put into an untouched module give the module's own outputs."""
    module = made(layer, change)
    twin = plain_twin(module, layer, weights_in_use(module))
    z = torch.randn((2, 2) if layer.endswith("cell") else (5, 2, 2), dtype=torch.float64)
    module.eval()
    with torch.no_grad():
        expected, found = module(z), twin(z)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("change", CHANGES)
def test_reading_leaves_the_module_as_it_was(change):
    """Hypothesis: state dict, attributes, modes and later gradients are untouched by a reading."""
    module = made("lstm", change)
    module.train()
    before = copy.deepcopy(module.state_dict())
    attributes = {k: v for k, v in vars(module).items() if isinstance(v, torch.Tensor)}
    weights = weights_in_use(module)
    assert not any(weight.requires_grad for weight in weights.values())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(vars(module)[name] is value for name, value in attributes.items())
    assert all(part.training for part in module.modules())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()  # copies: the module does not notice
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    module(torch.randn(3, 1, 2, dtype=torch.float64))[0].sum().backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)


def test_linear_and_orthogonal_modules_are_read_too():
    linear = nn.Linear(3, 2)
    prune.l1_unstructured(linear, "weight", amount=3)
    weights = weights_in_use(linear)
    assert (weights["weight"] == 0).sum() == 3 and weights["bias"].shape == (2,)
    assert weights_in_use(nn.Linear(3, 2, bias=False)).keys() == {"weight"}
    rnn = OrthogonalRNN(2, 4, rebase=True)
    prune.custom_from_mask(rnn, "skew", torch.zeros(4, 4))
    weights = weights_in_use(rnn)
    assert weights.keys() == {"weight_ih", "recurrent", "bias"}
    torch.testing.assert_close(weights["recurrent"], rnn.base)


class Doubled(nn.LSTM):
    def forward(self, input, hx=None):
        return super().forward(2 * input, hx)


class Renamed(nn.LSTM):
    """A subclass that computes what its parent does."""


def test_a_subclass_with_a_forward_of_its_own_is_refused():
    """Hypothesis: forward in the class or on the object is refused; a mere subclass is read."""
    assert weights_in_use(Renamed(2, 3)).keys() == weights_in_use(nn.LSTM(2, 3)).keys()
    with pytest.raises(TypeError, match="Doubled with a forward of its own.*from_step"):
        weights_in_use(Doubled(2, 3))
    normed = Doubled(2, 3)
    parametrizations.weight_norm(normed, "weight_hh_l0")
    with pytest.raises(TypeError, match="forward of its own"):
        weights_in_use(normed)
    patched = nn.GRU(2, 3)
    patched.forward = lambda z, h=None: (z, h)
    with pytest.raises(TypeError, match="GRU with a forward of its own"):
        weights_in_use(patched)


def test_modules_and_weights_of_another_kind_are_refused():
    """Hypothesis: containers, quantised, complex, sparse and lazy modules are no silent zeros."""
    with pytest.raises(TypeError, match="Sequential, whose weights are not known by name"):
        weights_in_use(nn.Sequential(nn.LSTM(2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is moving its quantisation elsewhere
        quantised = torch.ao.nn.quantized.dynamic.LSTM(2, 3)
    with pytest.raises(TypeError, match="not known by name"):
        weights_in_use(quantised)
    with pytest.raises(TypeError, match="complex64"):
        weights_in_use(nn.RNN(2, 3, dtype=torch.complex64))
    sparse = nn.Linear(3, 3)
    sparse.weight = nn.Parameter(torch.eye(3).to_sparse())
    with pytest.raises(TypeError, match="sparse_coo"):
        weights_in_use(sparse)
    with pytest.raises(TypeError, match="UninitializedParameter"):
        weights_in_use(nn.LazyLinear(2))


def test_a_weight_that_something_unknown_sets_is_refused():
    """Hypothesis: a weight dropped or made by a wrapper is not taken for its last value."""
    lstm = nn.LSTM(2, 3)
    raw = lstm.weight_hh_l0
    del lstm.weight_hh_l0
    lstm.weight_hh_l0 = nn.functional.dropout(raw, 0.5)
    with pytest.raises(ValueError, match="weight_hh_l0 of the LSTM is no parameter, but a Tensor"):
        weights_in_use(lstm)


def clamps(module, args):
    module.weight_hh_l0.data.clamp_(-0.01, 0.01)


def doubles_input(module, args):
    return tuple(2 * arg for arg in args)


def changes_input_in_place(module, args):
    args[0].mul_(2)


def negates_output(module, args, output):
    return -output[0], output[1]


def fails(module, args):
    raise RuntimeError("not now")


@pytest.mark.parametrize("hook", [clamps, doubles_input, changes_input_in_place, fails])
def test_a_hook_that_changes_what_is_computed_is_refused(hook):
    lstm = nn.LSTM(2, 3)
    before = copy.deepcopy(lstm.state_dict())
    handle = lstm.register_forward_pre_hook(hook)
    with pytest.raises(ValueError, match=rf"LSTM has forward hooks \({hook.__name__}\)"):
        weights_in_use(lstm)
    assert all(torch.equal(value, before[name]) for name, value in lstm.state_dict().items())
    handle.remove()
    assert torch.equal(weights_in_use(lstm)["weight_hh_l0"], lstm.weight_hh_l0)


@pytest.mark.parametrize("layer", ["gru", "lstm cell"])
def test_a_hook_that_changes_the_output_is_refused(layer):
    module = LAYERS[layer]()
    module.register_forward_hook(negates_output)
    with pytest.raises(ValueError, match="negates_output"):
        weights_in_use(module)


@pytest.mark.parametrize("change", CHANGES)
def test_a_hook_that_looks_is_allowed(change):
    """Hypothesis: a logger's hooks, before and after, are no reason to refuse."""
    lstm = made("lstm", change)
    expected = weights_in_use(lstm)
    lstm.register_forward_pre_hook(lambda module, args: None)
    lstm.register_forward_hook(lambda module, args, output: None)
    found = weights_in_use(lstm)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)

"""The weights of a module as its forward pass uses them, or a refusal.

`torch.nn.Module.named_parameters` lists what is trained, which is not always what is used: a
pruned, weight-normed or orthogonal weight is worked out from other parameters, under its own name,
a tied one is listed once, and a subclass or a hook can do anything. Whoever rebuilds a network from
its weights has to read the former.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from rnnlib.nn.orthogonal_rnn import OrthogonalRNN

LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
KNOWN = (*LAYERS, *CELLS, OrthogonalRNN, nn.Linear)
# Hooks of torch that set one weight from other parameters, before each forward pass.
SETTING = (BasePruningMethod, WeightNorm, SpectralNorm)
REMEDY = (
    "Wrap its one-step map with rnnlib.from_step, which calls it, or copy the weights that it uses "
    "into a plain module."
)


def weights_in_use(module: nn.Module) -> dict[str, Tensor]:
    """Read the weights with which a module's forward pass works in evaluation.

    A parametrized weight (`torch.nn.utils.parametrize`: orthogonal, spectral or weight norm, any
    other), and one set by torch's older hooks for pruning, weight norm and spectral norm, has the
    value that the next forward pass in evaluation would give it. Tied weights appear under each of
    their names. Frozen ones count like any other. The module is left as it was.

    Other forward hooks are tried once, on a copy of the module and a random input: they may look,
    as loggers do, but must change neither weights nor input nor output.

    Args:
        module: `torch.nn.RNN`, `GRU`, `LSTM`, one of their cells, `Linear` or an `OrthogonalRNN`.

    Returns:
        Copies, detached, by the names that torch gives them; without a bias that is switched off.
        Those of an `OrthogonalRNN` are ``weight_ih``, ``recurrent`` (the matrix Q) and ``bias``.

    Raises:
        TypeError: another kind of module, a subclass or an object with a ``forward`` of its own,
            weights that are quantised, sparse, complex or of a tensor class of their own.
        ValueError: a weight that something unknown sets, a hook that changes what is computed.
    """
    kind = _kind(module)
    with _as_in_evaluation(module):
        if isinstance(module, OrthogonalRNN):
            _plain(module, "skew")
            weights = {"weight_ih": _plain(module, "weight_ih"), "bias": _plain(module, "bias")}
            weights["recurrent"] = module.recurrent_matrix()
        else:
            weights = {name: _plain(module, name) for name in _names(module, kind)}
        weights = {name: w.detach().clone() for name, w in weights.items() if w is not None}
    _try_hooks(module, kind, weights)
    return weights


def parameters_in_use(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are a module's weights themselves, to be changed in place.

    Args:
        module: as in `weights_in_use`, but for an `OrthogonalRNN`, whose Q is worked out.

    Raises:
        TypeError: as in `weights_in_use`.
        ValueError: a weight that is worked out from other parameters; a change of it would last
            until the next forward pass.
    """
    names = _names(module, _kind(module))
    for name in names:
        if name not in module._parameters:
            raise ValueError(
                f"{name} of the {type(module).__name__} is worked out from other parameters (it is "
                f"parametrized, pruned or set by a hook), so it cannot be changed in place. Make "
                f"it a parameter again, with torch.nn.utils.parametrize.remove_parametrizations, "
                f"prune.remove or the like."
            )
    found = {name: module._parameters[name] for name in names}
    return {name: parameter for name, parameter in found.items() if parameter is not None}


def _kind(module: nn.Module) -> type[nn.Module]:
    """Return the class of torch (or of ours) whose forward pass the module runs."""
    found = type(module).__name__
    kind = next((known for known in KNOWN if isinstance(module, known)), None)
    if kind is None:
        raise TypeError(
            f"module is a {found}, whose weights are not known by name; known are "
            f"{', '.join(known.__name__ for known in KNOWN)}. {REMEDY}"
        )
    for method in ("forward", "__call__"):
        own = method in vars(module) or getattr(type(module), method) is not getattr(kind, method)
        if own:
            raise TypeError(
                f"module is a {found} with a {method} of its own, so its weights do not say what "
                f"it computes, as those of a {kind.__name__} would. {REMEDY}"
            )
    return kind


def _names(module: nn.Module, kind: type[nn.Module]) -> list[str]:
    if isinstance(module, LAYERS):
        return [name for names in module._all_weights for name in names]
    biases = ["bias"] if kind is nn.Linear else ["bias_ih", "bias_hh"]
    return (["weight"] if kind is nn.Linear else ["weight_ih", "weight_hh"]) + biases


def _hooks(module: nn.Module) -> tuple[list, list]:
    """Return the hooks that set weights, in the order in which they run, and all the others."""
    before = list(module._forward_pre_hooks.values())
    setting = [hook for hook in before if isinstance(hook, SETTING)]
    others = [hook for hook in before if not isinstance(hook, SETTING)]
    return setting, others + list(module._forward_hooks.values())


def _hooked(module: nn.Module) -> list[str]:
    return [getattr(hook, "_tensor_name", None) or hook.name for hook in _hooks(module)[0]]


@contextmanager
def _as_in_evaluation(module: nn.Module) -> Iterator[None]:
    """Set the weights as a forward pass in evaluation would, and set everything back afterwards."""
    training = {part: part.training for part in module.modules()}
    old = {name: getattr(module, name) for name in _hooked(module)}
    try:
        for part in training:
            part.training = False
        with torch.no_grad():
            for hook in _hooks(module)[0]:
                hook(module, ())
            yield
    finally:
        for name, value in old.items():
            setattr(module, name, value)
        for part, mode in training.items():
            part.training = mode


def _plain(module: nn.Module, name: str) -> Tensor | None:
    """Return one weight, None if it is switched off, after checking that it is what is used."""
    value = getattr(module, name, None)
    known = name in module._parameters or name in _hooked(module)
    if not known and not parametrize.is_parametrized(module, name):
        raise ValueError(
            f"{name} of the {type(module).__name__} is no parameter, but a "
            f"{type(value).__name__} that something unknown here has put there and may change "
            f"before the next forward pass. Make it a torch.nn.Parameter, or use "
            f"torch.nn.utils.parametrize."
        )
    if value is None:
        return None
    ordinary = type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided
    if not ordinary or value.is_quantized or not value.dtype.is_floating_point:
        raise TypeError(
            f"{name} of the {type(module).__name__} is a {type(value).__name__} of {value.dtype} "
            f"and layout {value.layout}; only dense, real floating-point weights are read. Convert "
            f"the module, or take the one from before it was quantised."
        )
    return value


def _try_hooks(module: nn.Module, kind: type[nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Raise a ValueError if hooks other than torch's own change what the module computes."""
    others = _hooks(module)[1]
    if not others:
        return
    names = ", ".join(getattr(hook, "__qualname__", type(hook).__name__) for hook in others)
    refusal = f"{type(module).__name__} has forward hooks ({names})"
    remedy = "Remove them (their handles' remove()) before the weights are read."
    size = int(getattr(module, "in_features" if kind is nn.Linear else "input_size"))
    shape = (2, size) if kind in (*CELLS, nn.Linear) else (2, 1, size)
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    z = z.to(next(iter(weights.values())))
    try:
        hooked, plain = copy_in_evaluation(module), copy_in_evaluation(module)
        for hooks in (plain._forward_hooks, plain._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if not isinstance(hook, SETTING)]:
                del hooks[key]
        with torch.no_grad():
            seen, expected = z.clone(), plain(z)
            output = hooked(seen)
            after = {name: getattr(hooked, name) for name in weights if name != "recurrent"}
            if isinstance(hooked, OrthogonalRNN):
                after["recurrent"] = hooked.recurrent_matrix()
            same = _equal(output, expected) and torch.equal(seen, z)
            same = same and all(torch.equal(after[name], w) for name, w in weights.items())
    except Exception as error:
        raise ValueError(f"{refusal}; trying them on a copy failed: {error!r}. {remedy}") from error
    if not same:
        raise ValueError(
            f"{refusal} that change its weights, its input or its output, so its weights alone do "
            f"not say what it computes. {remedy}"
        )


@torch.no_grad()
def copy_in_evaluation(module: nn.Module) -> nn.Module:
    """Return a copy of a module in evaluation mode, hooks included.

    Torch itself copies no tensor that has a graph, such as a pruned weight.
    """
    held = [value for part in module.modules() for value in vars(part).values()]
    computed = [value for value in held if isinstance(value, Tensor)]
    return copy.deepcopy(module, {id(value): value.detach().clone() for value in computed}).eval()


def _equal(first, second) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and torch.equal(first, second)
    if not (isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second)):
        return False
    return all(map(_equal, first, second))

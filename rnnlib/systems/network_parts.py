"""Which recurrent layer does a network hold, and what reads it?

A class of one's own can do anything between its layers. So what is found is tried: on a random
sequence the layer and the read-out found must give what the whole network gives, or the network is
refused with the line that would take its parts by hand.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnlib.nn import LinearRecurrence, OrthogonalRNN, copy_in_evaluation

TORCHS = (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell)
KINDS = (*TORCHS, OrthogonalRNN, LinearRecurrence)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
TIME, BATCH = 4, 3
MOST = 8  # other modules, so that all ways through them can be tried


class Parts(NamedTuple):
    """A recurrent layer and what is before and behind it in a network.

    Attributes:
        layer: the layer or cell.
        readout: from the last layer's ``h`` to the network's output, or None.
        name: which they are, in words.
    """

    layer: nn.Module
    readout: nn.Module | None
    name: str


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside what compiling, scripting or parallel training puts around it.

    A scripted layer is built anew, with the same weights; any other scripted module stays.
    """
    while isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or hasattr(
        module, "_orig_mod"
    ):
        inner = getattr(module, "_orig_mod", None) or module.module
        assert isinstance(inner, nn.Module)
        module = inner
    if not isinstance(module, torch.jit.ScriptModule):
        return module
    kind = next((k for k in TORCHS if k.__name__ == module.original_name), None)
    if kind is None:
        return module
    options = {"bias": module.bias}
    if kind in (nn.RNN, nn.RNNCell):
        options["nonlinearity"] = getattr(module, "nonlinearity", None) or (
            "relu" if module.mode == "RNN_RELU" else "tanh"
        )
    if kind not in CELLS:
        for name in ("num_layers", "batch_first", "dropout", "bidirectional"):
            options[name] = getattr(module, name)
        if module.proj_size:
            options["proj_size"] = module.proj_size
    plain = kind(module.input_size, module.hidden_size, **options)
    weights = module.state_dict()
    plain.to(next(iter(weights.values()))).load_state_dict(weights)
    return plain.train(module.training)


def only_layer(module: nn.Module) -> tuple[str, nn.Module]:
    """Return the path and the module of the one recurrent layer inside a network.

    Raises:
        TypeError: there is none.
        ValueError: there are several.
    """
    found, kind = {}, type(module).__name__
    for path, part in module.named_modules():  # one that has two names comes once
        inner = unwrapped(part)
        if isinstance(inner, KINDS) and not hasattr(part, "_orig_mod"):
            found[path.replace("._orig_mod", "").replace("_orig_mod.", "")] = inner
    if not found:
        for part in module.modules():
            if ".quantized." in type(part).__module__:
                raise TypeError(
                    f"module holds a quantised {type(part).__name__}, whose weights are integers "
                    f"and whose step has no derivative; give the network as it was before it was "
                    f"quantised."
                )
        raise TypeError(
            f"module is a {kind}; from_module knows {', '.join(k.__name__ for k in KINDS)}, and "
            f"networks that hold one of them. Wrap any other cell with rnnlib.from_cell(cell, "
            f"units), or its one-step map with rnnlib.from_step."
        )
    if len(found) > 1:
        lines = " or ".join(f"from_module(model.{path})" for path in found)
        raise ValueError(
            f"module is a {kind} that holds {len(found)} recurrent layers; say which one: {lines}, "
            f"with readout= what reads it."
        )
    return next(iter(found.items()))


@torch.no_grad()
def parts_of(module: nn.Module) -> Parts:
    """Find the recurrent layer of a network and what reads it, by trying.

    Args:
        module: holds one recurrent layer or cell; it is left as it is.

    Raises:
        TypeError: no such layer.
        ValueError: several, or a network that does something else with its layer than to read it
            by other modules of its own.
    """
    path, layer = only_layer(module)
    kind = type(module).__name__
    copied = copy_in_evaluation(module)
    _, twin = only_layer(copied)
    others = _others(copied, path)
    names = {name: part for name, part in others if len(others) <= MOST}
    for example, output in _examples(copied, twin, names.values()):
        for before, behind in _ways(names):
            if _same(_through(example, before, twin, behind), output):
                name = f"{type(layer).__name__} at {path} of {kind}"
                if behind:
                    name += f", read by {', '.join(behind)}"
                if before:
                    name += f", with what {', '.join(before)} gives as input"
                steps = [_at(module, step) for step in behind]
                readout = nn.Sequential(*steps) if len(steps) > 1 else (steps or [None])[0]
                return Parts(layer, readout, name)
    head = next(
        (name for name, part in reversed(others) if any(True for _ in part.parameters())), None
    )
    by = f", readout=model.{head}" if head else ""
    raise ValueError(
        f"module is a {kind} whose output is not that of its {type(layer).__name__} ({path}) read "
        f"by other modules of its own, or that cannot be called with a sequence alone. Give the "
        f"parts: from_module(model.{path}{by}), readout= any module or function of the layer's h."
    )


def _at(module: nn.Module, path: str) -> nn.Module:
    for step in path.split("."):
        module = getattr(getattr(module, "_orig_mod", module), step)
    return unwrapped(module)


def _others(module: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    """Return the modules beside the layer, at each level from the innermost."""
    found, names = [], path.split(".") if path else []
    for depth in range(len(names) - 1, -1, -1):
        parent = _at(module, ".".join(names[:depth])) if depth else unwrapped(module)
        for name, child in parent.named_children():
            if name != names[depth]:
                found.append((".".join([*names[:depth], name]), unwrapped(child)))
    return found


def _ways(names: dict) -> Iterator[tuple[dict, dict]]:
    """Yield what may be before and behind the layer: runs of other modules, short ones first."""
    items = list(names.items())
    runs = [items[i:j] for i in range(len(items)) for j in range(i + 1, len(items) + 1)]
    runs = [[], *sorted(runs, key=len)]
    for behind in runs:
        for before in runs:
            if not {name for name, _ in behind} & {name for name, _ in before}:
                yield dict(before), dict(behind)


def _examples(module, layer, others) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield sequences ``(time, batch, n)`` or ``(time, batch)`` that the network takes, and what
    it gives."""
    weight = next(layer.parameters())
    generator = torch.Generator(device="cpu").manual_seed(0)
    inner = [part for other in others for part in other.modules()]
    words = [p.num_embeddings for p in inner if isinstance(p, nn.Embedding)]
    sizes = [layer.input_size, *(p.in_features for p in inner if isinstance(p, nn.Linear))]
    for size in dict.fromkeys(sizes):
        z = torch.randn(TIME, BATCH, size, generator=generator, device="cpu").to(weight)
        yield from _called(module, layer, z)
    for count in dict.fromkeys(words):
        z = torch.randint(count, (TIME, BATCH), generator=generator, device="cpu")
        yield from _called(module, layer, z.to(weight.device))


def _called(module, layer, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    state = layer.hidden_size
    depth = (
        (BATCH, state)
        if isinstance(layer, CELLS)
        else (getattr(layer, "num_layers", 1), BATCH, state)
    )
    zero = next(layer.parameters()).new_zeros(depth)
    if isinstance(layer, (nn.LSTM, nn.LSTMCell)):
        zero = (zero, zero)
    for batch_first in (False, True):
        for more in ((), (zero,)):
            for steps in (z, z[:1]) if isinstance(layer, CELLS) else (z,):
                single = isinstance(layer, CELLS) and steps is not z
                given = steps[0] if single else steps.transpose(0, 1) if batch_first else steps
                try:
                    output = module(given, *more)
                except Exception:  # it takes another form
                    continue
                output = output[0] if isinstance(output, (tuple, list)) else output
                if isinstance(output, Tensor):
                    yield (
                        steps,
                        output.transpose(0, 1) if batch_first and output.dim() == 3 else output,
                    )


def _through(z: Tensor, before: dict, layer: nn.Module, behind: dict) -> Tensor | None:
    """Return the outputs ``(time, batch, n_y)`` of one way through the modules, or None."""
    try:
        for part in before.values():
            z = part(z)
        if isinstance(layer, CELLS):
            state, h = None, []
            for step in z:
                state = layer(step, state)
                h.append(state[0] if isinstance(state, tuple) else state)
            h = torch.stack(h)
        else:
            first = getattr(layer, "batch_first", False)
            h = layer(z.transpose(0, 1) if first else z)[0]
            h = h.transpose(0, 1) if first else h
        shape = h.shape[:-1]
        h = h.flatten(0, -2)
        for part in behind.values():
            h = part(h)
        return h.reshape(*shape, -1)
    except Exception:  # these modules do not fit together
        return None


def _same(found: Tensor | None, output: Tensor) -> bool:
    """Return whether these are the same numbers, at all steps or at the last one."""
    if found is None or found.dtype != output.dtype:
        return False
    tolerance = 100 * torch.finfo(output.dtype).eps
    for expected in (found, found[-1]):
        if expected.shape == output.shape:
            return torch.allclose(expected, output, rtol=tolerance, atol=tolerance)
    return False

"""Replicas of one model run as one batched computation: their weights get a leading axis.

Every replica stays a module of its own, with its own optimizer; the weights are stacked anew at
each call, which autograd undoes, so a gradient arrives where it would have without the ensemble.
On a GPU a step of several small networks takes about as long as a step of one.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rnnlib.nn import LinearRecurrence, OrthogonalRNN, gru_update, lstm_update, modrelu
from rnnlib.training.models import SequenceModel


def outputs(models: Sequence[SequenceModel], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return what each model answers to its own input, from the zero state.

    Args:
        models: replicas of one model, of one size.
        inputs: one per model, ``(time, batch, n_in)``; the times may differ, the batches not.

    Returns:
        The outputs, one per model, ``(time, batch, n_out)``, each of its own time.

    Raises:
        ValueError: different models or sizes, or batches of different size.
    """
    if len(models) == 1:  # the whole-sequence route
        return [models[0](inputs[0])[0]]
    shapes = [{key: p.shape for key, p in model.named_parameters()} for model in models]
    kinds = {type(model.layer) for model in models}
    if len(kinds) > 1 or any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            "models differ in kind or size; an ensemble is of replicas of one model. Train the "
            "others in an ensemble of their own."
        )
    if len({z.shape[1] for z in inputs}) > 1:
        raise ValueError(
            f"inputs have batches of {[z.shape[1] for z in inputs]} sequences; replicas need equal "
            f"batch sizes."
        )
    # Shorter sequences are filled up at the end, where it has no influence on what came before.
    z = nn.utils.rnn.pad_sequence(list(inputs))  # time, replica, batch, n_in
    h = _run(models[0].layer, _stacked([model.layer for model in models]), z)
    readout = _stacked([model.readout for model in models])
    y = h @ readout["weight"].mT + readout["bias"].unsqueeze(-2)  # (1b)
    return [y[: len(own), k] for k, own in enumerate(inputs)]


def _stacked(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    parts: list[dict[str, Tensor]] = []
    for module in modules:
        parts.append(dict(module.named_parameters()))
        if isinstance(module, OrthogonalRNN):
            parts[-1]["recurrent"] = module.recurrent_matrix()
    return {key: torch.stack([part[key] for part in parts]) for key in parts[0]}


def _run(
    layer: nn.RNNBase | OrthogonalRNN | LinearRecurrence, theta: dict[str, Tensor], z: Tensor
) -> Tensor:
    """Return all ``h``, shape ``(time, replica, batch, units)``."""
    if isinstance(layer, LinearRecurrence):
        one = partial(torch.func.functional_call, layer)
        return torch.func.vmap(one, in_dims=(0, 1), out_dims=1)(theta, z)[0]
    orthogonal = isinstance(layer, OrthogonalRNN)
    w_in = theta["weight_ih" if orthogonal else "weight_ih_l0"]
    w = theta["recurrent" if orthogonal else "weight_hh_l0"].mT
    of_input = z @ w_in.mT  # of all steps at once
    bias = theta["bias" if orthogonal else "bias_hh_l0"].unsqueeze(-2)
    if not orthogonal:
        of_input = of_input + theta["bias_ih_l0"].unsqueeze(-2)
    h = z.new_zeros(*z.shape[1:3], layer.hidden_size)
    states, c = [], h
    if isinstance(layer, nn.LSTM):
        # The state's bias is added once, with the input's
        for part in of_input + bias:
            h, c = lstm_update(torch.baddbmm(part, h, w), c)
            states.append(h)
    elif isinstance(layer, nn.GRU):
        for part in of_input:
            h = gru_update(part, torch.baddbmm(bias, h, w), h)
            states.append(h)
    elif orthogonal:
        for part in of_input:
            h = modrelu(torch.baddbmm(part, h, w), bias)
            states.append(h)
    else:
        for part in of_input + bias:
            h = torch.tanh(torch.baddbmm(part, h, w))
            states.append(h)
    return torch.stack(states)

"""The networks that the paper trains, and later ones, by name: a recurrent layer and a read-out."""

import difflib
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from rnnlib.nn import (
    LAYER_PRECISIONS,
    LinearRecurrence,
    LinearRecurrentUnit,
    MinGRU,
    OrthogonalRNN,
    SelectiveSSM,
    orthogonality_error,
    project_certified_,
    project_published_,
    run_rounded,
)
from rnnlib.systems import System, from_module

LAYERS = {
    "lstm": nn.LSTM,
    "slstm": nn.LSTM,  # stable LSTM as published: project_published_ after every step
    "slstm-certified": nn.LSTM,  # stable LSTM with a proof: project_certified_ after every step
    "ornn": OrthogonalRNN,
    "ornn-rebased": partial(OrthogonalRNN, rebase=True),  # rebase_ every REBASE_EVERY steps
    "gru": nn.GRU,
    "elman": nn.RNN,
    "lru": LinearRecurrentUnit,
    "mingru": MinGRU,
    "selective": SelectiveSSM,
}
MODELS = tuple(LAYERS)
LABELS = {
    "lstm": "LSTM",
    "slstm": "sLSTM",
    "slstm-certified": "sLSTM, certified",
    "ornn": "oRNN",
    "ornn-rebased": "oRNN, re-based",
    "gru": "GRU",
    "elman": "Elman",
    "lru": "LRU",
    "mingru": "minGRU",
    "selective": "selective SSM",
}
REBASE_EVERY = 100  # optimizer steps, the reference implementation's default


def recurrent_layer(
    model: str, n_in: int, n_hidden: int
) -> nn.RNNBase | OrthogonalRNN | LinearRecurrence:
    """Return the recurrent layer of a model, used as a `torch.nn.RNN` with time as first axis.

    Args:
        model: one of `MODELS`.
        n_in: the dimension of the input.
        n_hidden: the number of units.

    Raises:
        ValueError: an unknown model, with the nearest name.
    """
    check_model(model)
    return LAYERS[model](n_in, n_hidden)


def check_model(model: str) -> None:
    """Raise a ValueError for a name that is not in `MODELS`."""
    if model not in LAYERS:
        near = difflib.get_close_matches(str(model), MODELS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"model is {model!r}; there are {', '.join(MODELS)}.{hint}")


def constrain_(layer: nn.Module, model: str, step: int, input_bound: float) -> None:
    """Do what a model does to its weights after an optimizer step, in place.

    The stable LSTM is projected; the re-based orthogonal RNN moves its base every `REBASE_EVERY`
    steps; the others are left alone, the paper's orthogonal RNN among them: its base stays.

    Args:
        layer: what `recurrent_layer` returned.
        model: its name.
        step: how many optimizer steps have been made.
        input_bound: the largest absolute input, which the certified projection needs.
    """
    if model == "slstm":
        project_published_(cast(nn.LSTM, layer))
    elif model == "slstm-certified":
        project_certified_(cast(nn.LSTM, layer), input_bound)
    elif model == "ornn-rebased" and step % REBASE_EVERY == 0:
        cast(OrthogonalRNN, layer).rebase_()


def check_layer_precision(precision: str, layer: nn.Module) -> str:
    """Return a layer's precision in training.

    Raises:
        ValueError: an unknown one, or bfloat16 for a layer that is none of torch's LSTMs.
    """
    if precision not in LAYER_PRECISIONS:
        raise ValueError(
            f"layer_precision is {precision!r}; there are {', '.join(LAYER_PRECISIONS)}."
        )
    if precision == "bfloat16" and not isinstance(layer, nn.LSTM):
        raise ValueError(
            f"layer_precision is 'bfloat16', which only LSTMs have; the layer is a "
            f"{type(layer).__name__}. Use 'float32', or 'fastest' to take what there is."
        )
    return precision


def run_layer(
    model: Any, z: Tensor, state: Any = None
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Run a model's ``layer``: in training, and if its ``layer_precision`` says so, in bfloat16."""
    if model.training and model.layer_precision == "bfloat16":
        return run_rounded(model.layer, z, state)
    return model.layer(z, state)


class SequenceModel(nn.Module):
    """A recurrent layer and a linear read-out of its last state at every step.

    Args:
        model: one of `MODELS`.
        n_in: the dimension of the input.
        n_hidden: the number of units.
        n_out: the dimension of the output.
        input_bound: the largest absolute input that it will see; only the certified stable LSTM
            uses it.
        layer_precision: of the layer's products in training: "float32", "bfloat16" for LSTMs, or
            "fastest", which is float32 until it is replaced by what was measured
            (`rnnlib.nn.measure_precisions`).

    Raises:
        ValueError: an unknown model or precision.
    """

    def __init__(
        self,
        model: str,
        n_in: int,
        n_hidden: int,
        n_out: int,
        input_bound: float = 1.0,
        layer_precision: str = "float32",
    ):
        super().__init__()
        self.model, self.input_bound = model, input_bound
        self.layer = recurrent_layer(model, n_in, n_hidden)
        self.readout = nn.Linear(n_hidden, n_out)
        self.layer_precision = check_layer_precision(layer_precision, self.layer)

    def forward(
        self, z: Tensor, state: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Run sequences ``z`` of shape ``(time, batch, n_in)``.

        Returns:
            The outputs ``(time, batch, n_out)``, and the last state as the layer gives it.
        """
        h, state = run_layer(self, z, state)  # (1a)
        return self.readout(h), state  # (1b)

    def constrain_(self, step: int) -> None:
        """Do what the model does after optimizer step number ``step``; see `constrain_`."""
        constrain_(self.layer, self.model, step, self.input_bound)

    def diagnostics(self) -> dict[str, float]:
        """Return numbers about the weights that the training history keeps."""
        if isinstance(self.layer, OrthogonalRNN):
            return {"orthogonality_error": orthogonality_error(self.layer)}
        return {}

    def system(self, dtype: torch.dtype = torch.float64) -> System:
        """Return the network as it is now as a system, for every analysis of the package."""
        copy = SequenceModel(
            self.model, self.layer.input_size, self.layer.hidden_size, self.readout.out_features
        )
        copy.load_state_dict(self.state_dict())
        copy.to(dtype)  # the module rather than the system: then an orthogonal matrix stays one
        return replace(from_module(copy.layer, copy.readout), name=LABELS[self.model])

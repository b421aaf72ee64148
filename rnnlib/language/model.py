"""A word-level language model with tied embedding and decoder (section 5.3), and its systems.

The same matrix turns words into inputs and states into logits. A trained network is a system in
two ways: `LanguageModel.hold` keeps its input at one word, and `LanguageModel.closed_loop` feeds
the most probable word back (figure 2b).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rnnlib.language.rounded_cross_entropy import rounded_cross_entropy
from rnnlib.nn import affine, join
from rnnlib.systems import System, from_module
from rnnlib.training import (
    LABELS,
    MODELS,
    check_layer_precision,
    constrain_,
    recurrent_layer,
    run_layer,
)

State = Tensor | tuple[Tensor, Tensor]  # as a layer gives it
# A free run reads h off the state; theirs is no part of it
NOT_READ_OFF = ("lru", "selective")
LANGUAGE_MODELS = tuple(model for model in MODELS if model not in NOT_READ_OFF)
INITIAL_RANGE = 0.1  # of the embedding, as in PyTorch's word language model example
BEGINNINGS = ("uniform", "torch")
LOSS_CHUNK = 1000  # rows of logits at a time
PRECISIONS = ("float32", "bfloat16")


def most_probable(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the word with the largest logit.

    Args:
        h: what the decoder sees, shape ``(*batch, n_hidden)``.
        weight: the decoder's, shape ``(n_words, n_hidden)``.
        bias: shape ``(n_words,)``.

    Returns:
        int64, shape ``(*batch,)``.
    """
    return affine(weight, h, bias).argmax(-1)  # (1b)


class LanguageModel(nn.Module):
    """Embedding, dropout, one recurrent layer, dropout, and the embedding again as decoder.

    Args:
        model: one of `LANGUAGE_MODELS`.
        n_words: how many words there are.
        n_hidden: the number of units, and the dimension of the embedding.
        dropout: the probability, before and after the recurrent layer.
        precision: "float32", or "bfloat16" for the decoder's products in training.
        beginning: of the embedding, "uniform" in [-0.1, 0.1] and the decoder's biases zero; or
            "torch": N(0, 1) and uniform up to ``n_hidden ** -0.5``, as torch draws an embedding and
            a linear layer.
        layer_precision: of the recurrent layer's products in training, see
            `rnnlib.training.SequenceModel`.

    Attributes:
        embedding: its weight, shape ``(n_words, n_hidden)``, is the decoder's too.
        bias: the decoder's, shape ``(n_words,)``.

    Raises:
        ValueError: an unknown model, precision or beginning.
    """

    def __init__(
        self,
        model: str,
        n_words: int,
        n_hidden: int,
        dropout: float = 0.5,
        precision: str = "float32",
        beginning: str = "uniform",
        layer_precision: str = "float32",
    ):
        super().__init__()
        if model in NOT_READ_OFF:
            raise ValueError(
                f"model is {model!r}, whose h is no part of its state, off which a free run reads "
                f"it; there are {', '.join(LANGUAGE_MODELS)}."
            )
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; it must be {' or '.join(PRECISIONS)}.")
        if beginning not in BEGINNINGS:
            raise ValueError(f"beginning is {beginning!r}; it must be {' or '.join(BEGINNINGS)}.")
        self.precision = precision
        self.model, self.n_words, self.n_hidden = model, n_words, n_hidden
        self.dropout = nn.Dropout(dropout)
        if beginning == "torch":  # drawn in the order of the authors' scripts
            self.embedding = nn.Embedding(n_words, n_hidden)
            self.layer = recurrent_layer(model, n_hidden, n_hidden)
            self.bias = nn.Linear(n_hidden, n_words).bias
        else:
            self.layer = recurrent_layer(model, n_hidden, n_hidden)
            self.embedding = nn.Embedding(n_words, n_hidden)
            self.bias = nn.Parameter(torch.zeros(n_words))
            nn.init.uniform_(self.embedding.weight, -INITIAL_RANGE, INITIAL_RANGE)
        self.layer_precision = check_layer_precision(layer_precision, self.layer)

    def states(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run words ``(time, batch)`` and return what the decoder sees.

        Returns:
            The layer's outputs after dropout, ``(time, batch, n_hidden)``, and its last state.
        """
        h, state = run_layer(self, self.dropout(self.embedding(tokens)), state)  # (1a)
        return self.dropout(h), state

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run words.

        Args:
            tokens: int64, shape ``(time, batch)``.
            state: as the layer gives it; zero by default.

        Returns:
            The logits of each next word, ``(time, batch, n_words)``, and the last state.
        """
        h, state = self.states(tokens, state)
        return nn.functional.linear(h, self.embedding.weight, self.bias), state  # (1b)

    def loss(
        self, tokens: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Return the mean cross entropy of the next words, without all logits at once.

        torch computes it and its gradients `LOSS_CHUNK` rows at a time. For a window of 80 x 100
        words of WikiText-2 that takes 0.9 of the time of logits and a loss, and a tenth of the
        memory (0.3 GB in place of 3). It has no second derivatives.

        With ``precision="bfloat16"`` the logits of a window in training, five sixths of the
        arithmetic at the paper's size, and their gradients are worked out in bfloat16 (see
        `rnnlib.language.rounded_cross_entropy`); all else, and every evaluation, is float32.

        Args:
            tokens: int64, shape ``(time, batch)``.
            targets: the words that follow, of the same shape.
            state: as the layer gives it; zero by default.

        Returns:
            The loss in nats per word, and the last state.
        """
        h, state = self.states(tokens, state)
        h, targets = h.flatten(0, 1), targets.flatten()
        weight, bias = self.embedding.weight, self.bias
        if self.training and self.precision == "bfloat16":
            loss = rounded_cross_entropy(h, weight, bias, targets)
        elif hasattr(nn, "LinearCrossEntropyOptions"):  # from torch 2.13 on
            options = nn.LinearCrossEntropyOptions(batch_chunk_size=LOSS_CHUNK)
            loss = nn.functional.linear_cross_entropy(
                h, weight, targets, linear_bias=bias, options=options
            )
        else:
            loss = nn.functional.cross_entropy(nn.functional.linear(h, weight, bias), targets)
        return loss, state

    @property
    def input_bound(self) -> float:
        """The largest ``|z_i|`` that the recurrent layer can see as the embedding is now.

        Dropout scales what it keeps by ``1 / (1 - p)`` in training, so this is the bound there. It
        is wider than in evaluation: a certificate for it holds in both.
        """
        largest = torch.linalg.vector_norm(self.embedding.weight.detach(), ord=torch.inf)
        return largest.item() / (1 - self.dropout.p) if self.dropout.p < 1 else 0.0

    def constrain_(self, step: int) -> None:
        """Do what the model does after optimizer step number ``step``; see
        `rnnlib.training.models`.

        The certified stable LSTM is projected for `input_bound`, which moves as the embedding is
        trained. The embedding itself is left free.
        """
        bound = self.input_bound if self.model == "slstm-certified" else 0.0
        constrain_(self.layer, self.model, step, bound)

    def projection(
        self, words: Sequence[int] = (), dtype: torch.dtype = torch.float64
    ) -> nn.Linear:
        """Return the mean of all logits and the logits of ``words`` as one small read-out.

        All are linear in ``h``, so the decoder is folded into ``1 + len(words)`` rows.

        Returns:
            A `torch.nn.Linear` from ``n_hidden``; output 0 is the mean.
        """
        words = list(words)
        weight, bias = self.embedding.weight.detach(), self.bias.detach()
        linear = nn.Linear(self.n_hidden, 1 + len(words), device="meta", dtype=dtype)
        linear = linear.to_empty(device=weight.device)  # draws no random numbers
        with torch.no_grad():
            linear.weight[0], linear.bias[0] = weight.mean(0, dtype=dtype), bias.mean(dtype=dtype)
            linear.weight[1:], linear.bias[1:] = weight[words], bias[words]
        return linear

    def hold(
        self, tokens: Tensor, words: Sequence[int] = (), dtype: torch.dtype = torch.float64
    ) -> System:
        """Return the network as it is now, without dropout, under a constant word.

        Args:
            tokens: the word or words to hold, int64, shape ``(*batch,)``.
            words: those whose logits are shown after the mean of all logits; see `projection`.
            dtype: of the system's parameters.

        Returns:
            A system whose state is the layer's, without an input, that shows ``(*batch,
            1 + len(words))``.
        """
        z = self.embedding.weight.detach()[tokens].to(dtype, copy=True)
        return self._open(self.projection(words, dtype), dtype).hold(z)

    def closed_loop(
        self,
        decode: Callable[[Tensor, Tensor, Tensor], Tensor] = most_probable,
        dtype: torch.dtype = torch.float64,
    ) -> System:
        """Return the network as it is now, without dropout, with its own words as input.

        Its state is the extended one of section 2: the layer's state and then, as one more
        component, the number of the word that comes next. It shows that word. Between states at
        which the choice jumps it is as smooth as the layer; there the derivatives do not see it.

        Args:
            decode: from ``h`` and the decoder's weight and bias to words, as `most_probable`,
                which makes the loop deterministic.
            dtype: of the system's parameters.

        Returns:
            A system with states ``(*batch, n_x + 1)`` and no input. Its parameters are the
            layer's, and ``decoder.weight`` and ``decoder.bias``.

        Raises:
            ValueError: a dtype that does not hold the numbers of all words exactly.
        """
        largest = round(2 / torch.finfo(dtype).eps)  # whole numbers are exact up to here
        if self.n_words - 1 > largest:
            raise ValueError(
                f"dtype is {dtype}, which holds whole numbers up to {largest} only; the loop's "
                f"state has the number of a word, up to {self.n_words - 1}. Use float32."
            )
        layer, n = self._open(None, dtype), self.n_hidden
        decoder = {
            "decoder.weight": self.embedding.weight.detach().to(dtype, copy=True),
            "decoder.bias": self.bias.detach().to(dtype, copy=True),
        }

        def f(extended, z, theta):
            weight, word = theta["decoder.weight"], extended[..., -1].long()
            x = layer.f(extended[..., :-1], _row(weight, word), theta)  # (1a)
            word = decode(x[..., :n], weight, theta["decoder.bias"])
            return join(x, word.unsqueeze(-1).to(x.dtype))

        return System(
            f=f,
            g=lambda extended, z, theta: extended[..., -1:],
            n_x=layer.n_x + 1,
            theta={**layer.theta, **decoder},
            name=f"{layer.name}, closed loop",
        )

    def _open(self, readout, dtype) -> System:
        """Return the layer as a system whose input is a word's embedding."""
        layer = copy.deepcopy(self.layer).to(dtype)
        return replace(from_module(layer, readout), name=LABELS[self.model])


def _row(matrix: Tensor, i: Tensor) -> Tensor:
    """Return row ``i`` ``(*batch,)`` of a matrix that may have batch axes of its own."""
    if matrix.dim() == 2:
        return matrix[i]
    return matrix.take_along_dim(i[..., None, None], dim=-2).squeeze(-2)

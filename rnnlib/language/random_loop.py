"""The closed loop at a temperature: a random map, and what becomes of its attractors.

A word is drawn with probabilities proportional to ``exp(logit / T)`` by the Gumbel-max trick: add
``T`` times a standard Gumbel number to each logit and take the largest. ``T = 0`` is the arg-max.

Two copies of the network with the same Gumbel numbers and different states show what the loop
remembers. Once they choose the same words they are under the same input, and a contraction brings
them together. A random map whose copies all merge has one *random attractor*: where it is depends
on the draws, and no longer on the start.

Reference:
    L. Arnold, Random Dynamical Systems, Springer 1998.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlib.dynamics import check_steps, trajectory
from rnnlib.language.model import LanguageModel
from rnnlib.nn import affine
from rnnlib.systems import System, flatten_state

AGREE = 0.25  # the part of a run over which words must agree before they count as merged


def random_loop(
    model: LanguageModel, temperature: Tensor, noise: tuple[int, ...], seed: int = 0
) -> System:
    """Return the closed loop that draws its words, as a map that differs from step to step.

    Args:
        model: the network.
        temperature: 0 or more, of a shape that broadcasts against the batch axes of the states.
        noise: the batch axes of the Gumbel numbers; states along an axis of length 1 share them.
        seed: of the Gumbel numbers.

    Raises:
        ValueError: a negative temperature, or NaN.
    """
    if not (temperature >= 0).all():
        raise ValueError(
            f"temperature is {temperature.tolist()}; it must be 0, for the most probable word, or "
            f"more."
        )
    generator = torch.Generator().manual_seed(seed)

    def draw(h, weight, bias):
        waiting = torch.empty(*noise, model.n_words, dtype=torch.float64)
        gumbel = -waiting.exponential_(generator=generator).log()
        return (affine(weight, h, bias) + temperature.unsqueeze(-1) * gumbel.to(h)).argmax(-1)

    return model.closed_loop(draw)


@torch.no_grad()
def after_reading(model: LanguageModel, text: Tensor) -> Tensor:
    """Return the states in which the closed loop takes over after texts that were given.

    Args:
        model: the network.
        text: int64, shape ``(time, texts)``. The last word is what the loop begins with.

    Returns:
        Extended states, float64, shape ``(texts, n_x + 1)``.
    """
    reader = copy.deepcopy(model).double().eval()
    _, state = reader.states(text[:-1])
    return torch.cat([flatten_state(state), text[-1].unsqueeze(1).double()], dim=1)


class Merging(NamedTuple):
    """Pairs of copies under the same noise.

    Attributes:
        same: whether the two chose the same word, shape ``(steps, temperatures, pairs)``.
        apart: the largest difference of a component of their states at the end, relative to 1 +
            the largest component, shape ``(temperatures, pairs)``.
    """

    same: Tensor
    apart: Tensor

    @property
    def time(self) -> Tensor:
        """How many words each pair wrote until its words agreed for good.

        Shape ``(temperatures, pairs)``, float64; infinite where they still differed within the last
        quarter of the run. That they then agree for ever is an inference; see ``apart``.
        """
        steps = torch.arange(1, len(self.same) + 1, dtype=torch.float64)
        last = ((~self.same) * steps[:, None, None]).amax(0)
        return last.masked_fill(last > (1 - AGREE) * len(self.same), torch.inf)

    def share_apart(self) -> Tensor:
        """Return the share of pairs that have yet to merge, after each word.

        Shape ``(first three quarters of the steps, temperatures)``: of later ones nothing is known.
        """
        steps = torch.arange(1, int((1 - AGREE) * len(self.same)) + 1, dtype=torch.float64)
        return (self.time >= steps[:, None, None]).double().mean(-1)


@torch.no_grad()
def merging(
    model: LanguageModel, pairs: Tensor, temperature: Tensor, steps: int, seed: int = 0
) -> Merging:
    """Let pairs of copies write with the same noise, each at several temperatures.

    Args:
        model: the network.
        pairs: the extended states to start from, float64, shape ``(pairs, 2, n_x + 1)``.
        temperature: shape ``(temperatures,)``; the noise is the same at all of them.
        steps: how many words to write.
        seed: of the noise.

    Raises:
        ValueError: fewer than one step, a negative temperature, pairs of another shape.
    """
    check_steps(steps, 0)
    if pairs.dim() != 3 or pairs.shape[1] != 2:
        raise ValueError(f"pairs has shape {tuple(pairs.shape)}; it must be (pairs, 2, n_x + 1).")
    loop = random_loop(model, temperature[:, None, None], (1, len(pairs), 1), seed)
    start = pairs.expand(len(temperature), *pairs.shape)
    same = torch.empty(steps, len(temperature), len(pairs), dtype=torch.bool)
    states = start
    for t, (states, _) in enumerate(trajectory(loop, start, steps)):
        same[t] = states[..., 0, -1] == states[..., 1, -1]
    x = states[..., :-1]
    apart = (x[..., 0, :] - x[..., 1, :]).abs().amax(-1) / (1 + x.abs().amax((-1, -2)))
    return Merging(same, apart)


class Drawn(NamedTuple):
    """Texts drawn at several temperatures.

    Attributes:
        words: int64, shape ``(steps, temperatures, texts)``.
        mean_logit: the mean of all logits, of the same shape.
        entropy: the mean entropy of a word given all before it and the start, in nats, shape
            ``(temperatures,)``: the entropy rate of what the model writes.
    """

    words: Tensor
    mean_logit: Tensor
    entropy: Tensor


@torch.no_grad()
def drawn_texts(
    model: LanguageModel,
    starts: Tensor,
    temperature: Tensor,
    steps: int,
    *,
    burn_in: int = 0,
    seed: int = 0,
) -> Drawn:
    """Draw texts, each with noise of its own.

    The entropy is that of the probabilities ``exp(logit / T)``, exact for each word, so it needs
    no estimate from counts: only the mean over the text is a sample.

    Args:
        model: the network.
        starts: the extended states to start from, float64, shape ``(texts, n_x + 1)``.
        temperature: shape ``(temperatures,)``.
        steps: how many words to keep.
        burn_in: how many to drop before.
        seed: of the noise.

    Raises:
        ValueError: fewer than one step, a negative burn-in or temperature.
    """
    shape = len(temperature), len(starts)
    loop = random_loop(model, temperature[:, None], shape, seed)
    weight, bias = loop.theta["decoder.weight"], loop.theta["decoder.bias"]
    words = torch.empty(steps, *shape, dtype=torch.int64)
    mean = torch.empty(steps, *shape, dtype=torch.float64)
    entropy = torch.zeros(len(temperature), dtype=torch.float64)
    positive = temperature.clamp(min=torch.finfo(torch.float64).tiny)[:, None, None]
    states = trajectory(loop, starts.expand(*shape, -1), steps, burn_in=burn_in)
    for t, (extended, _) in enumerate(states):
        words[t] = extended[..., -1].long()
        logits = affine(weight, extended[..., : model.n_hidden], bias)
        mean[t] = logits.mean(-1)
        below = logits - logits.amax(-1, keepdim=True)  # so that T = 0 gives 0 and -inf
        entropy += torch.special.entr((below / positive).softmax(-1)).sum(-1).mean(-1)
    return Drawn(words, mean, entropy / steps)

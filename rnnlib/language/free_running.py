"""A language model that reads what it writes, for long, and the cycle of words that it ends in."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlib.dynamics import check_steps, trajectory
from rnnlib.language.fast_decoding import fast_closed_loop
from rnnlib.language.model import LanguageModel, most_probable
from rnnlib.nn import affine


class FreeRun(NamedTuple):
    """What a language model wrote.

    Attributes:
        words: all that were chosen, int64, shape ``(burn_in + steps, starts)``.
        projections: the mean of all logits and those of the words asked for, after the burn-in,
            shape ``(steps, starts, 1 + k)``.
        last: the extended state at the end, from which the run can go on, ``(starts, n_x + 1)``.
    """

    words: Tensor
    projections: Tensor
    last: Tensor


@torch.no_grad()
def free_run(
    model: LanguageModel,
    words: Tensor,
    x0: Tensor,
    steps: int,
    *,
    burn_in: int = 0,
    show: Sequence[int] = (),
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> FreeRun:
    """Feed each start its own words back (figure 2b), in the precision of ``x0``.

    Logits are never kept; see `rnnlib.language.fast_decoding` for what makes a step fast.

    Args:
        model: the network; dropout is off.
        words: the first input of each start, int64, shape ``(starts,)``.
        x0: the layer's initial states, shape ``(starts, n_x)``; for the paper's,
            ``100 * torch.randn(5, n_x)``.
        steps: how many steps' projections to keep.
        burn_in: how many steps to run before, of which the words are kept.
        show: words whose logits are projected on, after the mean of all logits.
        temperature: 0 takes the most probable word; otherwise words are drawn with probabilities
            proportional to ``exp(logit / temperature)``.
        generator: the source of these draws.
        progress: whether to show a progress bar.

    Raises:
        ValueError: a negative temperature or burn-in, fewer than one step, ``words`` and ``x0``
            that do not fit together or the model.
    """
    check_steps(steps, burn_in)
    if words.shape != x0.shape[:1] or words.dtype != torch.int64:
        raise ValueError(
            f"words is {words.dtype} of shape {tuple(words.shape)} and x0 has shape "
            f"{tuple(x0.shape)}; they must be int64 (starts,) and (starts, n_x)."
        )
    if len(words) and not 0 <= int(words.min()) <= int(words.max()) < model.n_words:
        raise ValueError(
            f"words has numbers from {int(words.min())} to {int(words.max())}; the model's words "
            f"are numbered from 0 to {model.n_words - 1}."
        )
    loop = fast_closed_loop(model, len(x0), x0.dtype, decoder(temperature, generator))
    readout = model.projection(show, x0.dtype)
    extended = torch.cat([x0, words.unsqueeze(1).to(x0)], dim=1)
    written = words.new_empty(burn_in + steps, len(words))
    shown = x0.new_empty(steps, len(words), readout.out_features)
    states = trajectory(loop, extended, burn_in + steps, progress=progress)
    last = extended
    for t, (last, _) in enumerate(states):
        written[t] = last[:, -1]
        if t >= burn_in:
            shown[t - burn_in] = readout(last[:, : model.n_hidden])
    return FreeRun(written, shown, last)


def decoder(
    temperature: float, generator: torch.Generator | None = None
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return how a word follows from a state, for `LanguageModel.closed_loop`.

    Args:
        temperature: 0 or more; see `free_run`. Near 0 all draws are the most probable word.
        generator: the source of the draws.

    Raises:
        ValueError: a negative temperature, or NaN.
    """
    if not temperature >= 0:
        raise ValueError(
            f"temperature is {temperature}; it must be 0, for the most probable word, or more."
        )
    if temperature == 0:
        return most_probable
    return partial(_drawn, temperature=temperature, generator=generator)


def _drawn(h, weight, bias, *, temperature, generator) -> Tensor:
    logits = affine(weight, h, bias)  # (1b)
    below = logits - logits.amax(-1, keepdim=True)  # else a small temperature overflows
    return torch.multinomial((below / temperature).softmax(-1), 1, generator=generator).squeeze(-1)


class WordCycles(NamedTuple):
    """The cycle of words in which each start ended.

    Attributes:
        period: its length, int64, shape ``(starts,)``; 0 where there is none.
        transient: how many words come before it, int64, shape ``(starts,)``; all where there is
            none.
        words: for each start the words of one period in the order written, from the first after
            the transient; empty where there is none.
    """

    period: Tensor
    transient: Tensor
    words: tuple[Tensor, ...]


def word_cycles(words: Tensor, repeats: int = 4, max_period: int = 1000) -> WordCycles:
    """Find the cycle with which each start's words end.

    Among all periods that the end repeats at least ``repeats`` times it takes the one whose stretch
    is the longest, and of these the shortest period: in ``b a a a a b a a a a`` with more of the
    same the period is 5, although it ends in four times ``a``.

    Words alone prove nothing about what follows; see `recurrence`.

    Args:
        words: shape ``(steps, starts)``, as in `FreeRun`.
        repeats: how often a cycle must be seen, the first time included.
        max_period: the longest period to look for.

    Raises:
        ValueError: fewer than two repeats, or another shape.
    """
    if words.dim() != 2 or repeats < 2:
        raise ValueError(
            f"words has shape {tuple(words.shape)} and repeats is {repeats}; words must be (steps, "
            f"starts), and a cycle is seen at least twice."
        )
    steps, starts = words.shape
    period = words.new_zeros(starts)
    transient = words.new_full((starts,), steps)
    for p in range(1, min(max_period, steps // repeats) + 1):
        differs = words[p:] != words[:-p]
        # one more than the last t at which words t and t + p differ
        after = torch.arange(1, steps - p + 1, device=words.device).unsqueeze(1)
        begins = (differs * after).amax(0)
        better = (steps - begins >= repeats * p) & (begins < transient)
        period[better], transient[better] = p, begins[better]
    each = zip(words.unbind(1), transient.tolist(), period.tolist(), strict=True)
    return WordCycles(period, transient, tuple(w[t : t + p] for w, t, p in each))


@torch.no_grad()
def recurrence(model: LanguageModel, last: Tensor, period: Tensor) -> Tensor:
    """Return how far the whole state is from recurring after a cycle of words.

    The loop is a map of the state and the word together, and the words show a part of it only:

    - 0: state and word recur to the last bit. The loop is deterministic, so from here on the words
      repeat for ever, in this arithmetic: this precision, number of starts and of threads.
    - small, and smaller later: the state nears a cycle. The words repeat as long as no other word's
      logit comes within reach of what the state still moves.
    - not small: the words repeat although the state does not. It may drift, or even be chaotic, and
      the words may change at any later time.

    Args:
        model: the network.
        last: the extended state, shape ``(starts, n_x + 1)``, as in `FreeRun`.
        period: shape ``(starts,)``, as in `WordCycles`.

    Returns:
        ``max_i |x_i(t + p) - x_i(t)| / (1 + max_i |x_i(t)|)``, shape ``(starts,)``; infinite where
        the word itself is another one, NaN where the period is 0.
    """
    residual = last.new_full((len(last),), torch.nan)
    longest = int(period.max()) if len(period) else 0
    if longest == 0:
        return residual
    loop = fast_closed_loop(model, len(last), last.dtype)
    size = 1 + last[:, :-1].abs().amax(-1)
    for t, (extended, _) in enumerate(trajectory(loop, last, longest), start=1):
        due = period == t
        moved = (extended - last)[:, :-1].abs().amax(-1) / size
        moved = moved.masked_fill(extended[:, -1] != last[:, -1], torch.inf)
        residual[due] = moved[due]
    return residual

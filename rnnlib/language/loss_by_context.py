"""How far back a language model's reading helps it: the loss after more and more words.

A network can remember what it makes no use of, and a network that forgets nothing can be drowned by
what it has read. Here the same words are predicted again and again, each time from the zero state
and after more of the words before them. Where the loss stops falling, older words are forgotten or
ignored; where it rises, they do harm.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

GROUPS = 10  # parts of the text, for errors


@torch.no_grad()
def loss_by_context(
    model: Any,
    text: Tensor,
    lengths: Sequence[int],
    *,
    stretches: int = 600,
    scored: int = 10,
    progress: bool = False,
) -> Tensor:
    """Return the loss of a language model on the same words after reading more and more.

    Args:
        model: the network, in evaluation mode; a `rnnlib.language.LanguageModel`, or anything
            with its ``states`` and ``loss``.
        text: int64, shape ``(tokens,)``.
        lengths: how many words to read from the zero state before the first prediction, increasing.
        stretches: at how many places of the text to predict; they are evenly spaced, and the words
            read at one may reach back beyond the one before.
        scored: how many words to predict at each place. The k-th of them is predicted after ``k -
            1`` more words than ``lengths`` says.
        progress: whether to show a progress bar.

    Returns:
        The mean loss in nats per word in each of `GROUPS` parts of the text, shape
        ``(GROUPS, lengths)``. A row's entries are about the same words.

    Raises:
        ValueError: lengths that do not increase from 1 or more, fewer places than `GROUPS`, or a
            text that is too short.

    Reference:
        U. Khandelwal, H. He, P. Qi and D. Jurafsky, "Sharp nearby, fuzzy far away: how neural
        language models use context", ACL 2018, who cut the context of a trained network.
    """
    if not lengths or list(lengths) != sorted(set(lengths)) or lengths[0] < 1:
        raise ValueError(f"lengths is {list(lengths)}; they must increase, from 1 or more.")
    if stretches < GROUPS:
        raise ValueError(f"stretches is {stretches}; errors need {GROUPS} or more.")
    longest = lengths[-1]
    last = len(text) - longest - scored  # the last place where a stretch can begin
    if last < stretches:
        raise ValueError(
            f"text has {len(text)} words, too few to read {longest} and predict {scored} at "
            f"{stretches} places; take shorter lengths or fewer stretches."
        )
    begin = torch.linspace(0, last, stretches, dtype=torch.float64).long().to(text.device)
    steps = torch.arange(longest + scored, device=text.device)
    found = []
    for part in tqdm(begin.tensor_split(GROUPS), desc="loss by context", disable=not progress):
        words = text[steps.unsqueeze(1) + part]  # step, place
        inputs, targets = words[longest - 1 : -1], words[longest:]
        row = []
        for length in lengths:
            state = None
            if length > 1:
                _, state = model.states(words[longest - length : longest - 1], None)
            loss, _ = model.loss(inputs, targets, state)
            row.append(loss)
        found.append(torch.stack(row))
    return torch.stack(found)

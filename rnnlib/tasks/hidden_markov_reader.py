"""The best possible model of a hidden Markov language: a reader who knows the rules."""

import torch
from torch import Tensor

from rnnlib.tasks.hidden_markov_language import HiddenMarkovLanguage


class IdealReader:
    """Predicts each next word by Bayes' rule, from all that was read.

    It is not told the language's state. It weighs the states by how well they agree with what it
    has read (the forward algorithm), beginning with their shares of time, so no model has a lower
    expected loss on words of the language. It has the methods of a
    `rnnlib.language.model.LanguageModel` that measuring a loss needs, and no parameters.

    Args:
        language: whose words it reads.
    """

    def __init__(self, language: HiddenMarkovLanguage):
        self.words = language.words
        self.emission = torch.as_tensor(language.emission)
        self.following = torch.as_tensor(language.following)
        self.stationary = torch.as_tensor(language.stationary)

    def states(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read words and return the weights of the states after each.

        Args:
            tokens: int64, shape ``(time, batch)``.
            state: weights before, shape ``(batch, states)``; the shares of time by default.

        Returns:
            Shape ``(time, batch, states)``, and the last of them.

        Raises:
            ValueError: a word that the language never writes there.
        """
        if state is None:
            state = self.stationary.expand(tokens.shape[1], -1)
        found = []
        for t, words in enumerate(tokens):
            joint = torch.zeros_like(state).scatter_add(
                1, self.following[:, words].T, state * self.emission[:, words].T
            )
            total = joint.sum(-1, keepdim=True)
            if (total == 0).any():
                word = self.words[words[(total == 0).squeeze(-1)][0]]
                raise ValueError(
                    f"tokens has {word!r} at {t}, which the language never writes there; give a "
                    "text of its own."
                )
            state = joint / total
            found.append(state)
        return torch.stack(found), state

    def loss(
        self, tokens: Tensor, targets: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean surprisal of the next words, in nats per word, and the last weights.

        Args:
            tokens: int64, shape ``(time, batch)``.
            targets: the words that follow, of the same shape.
            state: as for `states`.
        """
        weights, state = self.states(tokens, state)
        probability = (weights @ self.emission).gather(-1, targets.unsqueeze(-1))
        return -probability.log().mean(), state

"""The words for where an orbit ends, and what each of them claims."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

KINDS = (
    "fixed point", "periodic", "quasi-periodic", "chaotic", "unbounded", "still settling",
    "undetermined",
)  # fmt: skip
RECURRENT = ("fixed point", "periodic")
SHOWN = 12  # orbits that the printed form lists one by one


class SteadyState(NamedTuple):
    """The kind of steady state of each orbit, with the evidence for it.

    The kinds, and what each claims:

    - "fixed point", "periodic": there is such a point or cycle, and the orbit is on it or, where
      ``settled`` is False, on its way to it.
    - "quasi-periodic": the orbit fills a closed curve or a torus, with exponent 0. Of a flow
      sampled at a fixed time step this is what a periodic orbit looks like: its closed curve.
    - "chaotic": bounded and not on its way elsewhere for as long as it was watched, with a
      positive exponent.
    - "unbounded": it left every bound or, where ``settled`` is False, still grows.
    - "still settling": it slows down or shrinks, and where to is not known.
    - "undetermined": none of these could be shown; ``reason`` says why.

    Attributes:
        kind: strings out of `KINDS`, an array of shape ``(*batch,)``.
        period: shape ``(*batch,)``; 1 for a fixed point, the least p for a cycle, 0 where there is
            none.
        stability: "stable", "unstable" or "neutral" for a fixed point or cycle, else "" (also where
            the step has no derivative there), an array of shape ``(*batch,)``.
        residual: shape ``(*batch,)``, ``max_t |x_{t+p} - x_t| / (1 + |x_t|)`` for that period,
            or, where there is none, for the period that comes nearest to recurring.
        exponent: shape ``(*batch,)``, the largest Lyapunov exponent, in nats per step.
        exponent_error: shape ``(*batch,)``, its standard error.
        settled: shape ``(*batch,)``; False where the word is a forecast, or none.
        reason: what is missing or foreseen where ``settled`` is False, else "", an array of shape
            ``(*batch,)``.
        end: shape ``(*batch, n_x)``, a point of the fixed point or cycle, or else the last state.

    Example:
        >>> import torch, rnnlib
        >>> found = rnnlib.steady_state(rnnlib.logistic(3.2), torch.tensor([0.3]).double())
        >>> found.describe(), int(found.period), bool(found.settled)
        ('period 2', 2, True)
    """

    kind: np.ndarray
    period: Tensor
    stability: np.ndarray
    residual: Tensor
    exponent: Tensor
    exponent_error: Tensor
    settled: Tensor
    reason: np.ndarray
    end: Tensor

    def describe(self, index: tuple[int, ...] = ()) -> str:
        """Return a word for one orbit.

        Such as "fixed point", "unstable fixed point", "period 4, not reached yet", "chaotic",
        "still settling", or "unbounded, still growing".
        """
        kind, settled = str(self.kind[index]), bool(self.settled[index])
        if kind == "unbounded":
            return kind if settled else "unbounded, still growing"
        if kind not in RECURRENT:
            return kind
        word = kind if kind == "fixed point" else f"period {int(self.period[index])}"
        stability = str(self.stability[index])
        word = word if stability in ("stable", "") else f"{stability} {word}"
        return word if settled else f"{word}, not reached yet"

    def explain(self, index: tuple[int, ...] = ()) -> str:
        """Return the word for one orbit with its reason, if there is one."""
        reason = str(self.reason[index])
        return f"{self.describe(index)}: {reason}" if reason else self.describe(index)

    def __repr__(self) -> str:
        every = list(np.ndindex(self.kind.shape))
        if not self.kind.shape:
            return f"SteadyState({self.explain()})"
        if len(every) <= SHOWN:
            rows = (f"  {', '.join(map(str, i))}: {self.explain(i)}" for i in every)
        else:
            words, counts = np.unique([self.describe(i) for i in every], return_counts=True)
            rows = (f"  {n} x {word}" for word, n in zip(words, counts, strict=True))
        return f"SteadyState of {len(every)} orbits\n" + "\n".join(rows)

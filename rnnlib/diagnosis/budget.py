"""The time that a report may take, shared among its questions."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

from rnnlib.systems import System, push_forward

Result = TypeVar("Result")
GROWTH = 3  # an analysis that is repeated at three times the length costs half as much again in all


class Budget:
    """Seconds for all questions, of which each takes its share of what is left.

    Args:
        seconds: for the whole report.
        weights: the share of each question, by key, in the order in which they are asked.

    Attributes:
        share: the seconds that the question now asked may take.
    """

    def __init__(self, seconds: float, weights: dict[str, float]):
        if not seconds > 0:
            raise ValueError(f"budget is {seconds}; it must be a positive number of seconds.")
        self.seconds, self.weights = seconds, dict(weights)
        self.started = time.monotonic()
        self.share, self.asked = seconds, self.started
        self._costs: dict[tuple, float] = {}

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.started + self.seconds - time.monotonic()

    def begin(self, key: str) -> None:
        """Give question ``key`` its share of what is left; what it saves goes to the others."""
        rest = list(self.weights)[list(self.weights).index(key) :]
        total = sum(self.weights[k] for k in rest)
        self.share = max(self.left, 0.0) * self.weights[key] / total
        self.asked = time.monotonic()

    @property
    def used_up(self) -> bool:
        """Whether the question now asked has used its share."""
        return time.monotonic() - self.asked > self.share

    def grow(
        self, run: Callable[[int], Result], least: int, most: int, enough: Callable[[Result], bool]
    ) -> tuple[Result, int]:
        """Repeat an analysis at growing lengths until it has settled or the share is used.

        What an analysis costs is measured, not predicted: a busy machine makes it longer.

        Args:
            run: the analysis, from a number of steps.
            least: the steps of the first, which is always run.
            most: no more than these.
            enough: whether a result needs no longer run.

        Returns:
            The last result, and the steps that it had.
        """
        began, steps = time.monotonic(), least
        while True:
            started = time.monotonic()
            result = run(steps)
            took, spent = time.monotonic() - started, time.monotonic() - began
            if enough(result) or steps >= most or spent + GROWTH * took > self.share:
                return result, steps
            steps = min(most, GROWTH * steps)

    @property
    def over(self) -> bool:
        """Whether there is no time for another question."""
        return self.left < 0.02 * self.seconds

    def seconds_per_step(
        self, system: System, batch: int, *, tangents: int = 0, graph: bool = False
    ) -> float:
        """Measure what one step of a batch of states costs.

        Args:
            system: the system; its held input, if any, or zeros are read.
            batch: how many states.
            tangents: how many tangent vectors go with each.
            graph: whether gradients are kept.
        """
        key = (system.n_x, batch, tangents, graph)
        if key not in self._costs:
            like = next(iter(system.theta.values()), torch.zeros(1, dtype=torch.float64))
            x = torch.zeros(batch, system.n_x, dtype=like.dtype, device=like.device)
            z = system.z if system.n_z and system.z is not None else None
            if system.n_z and z is None:
                z = x.new_zeros(batch, system.n_z)
            v = x.new_ones(batch, system.n_x, tangents) if tangents else None

            def once():
                started = time.perf_counter()
                if v is not None:
                    push_forward(system, x, v, z)
                else:
                    with torch.set_grad_enabled(graph):
                        system.f(x, z, system.theta)
                return time.perf_counter() - started

            first = once()  # also what the first call alone pays
            self._costs[key] = min([once() for _ in range(3)] if first < 0.5 else [first])
        return self._costs[key]

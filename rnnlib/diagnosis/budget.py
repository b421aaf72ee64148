"""The time that a report may take, shared among its questions.

Every step of a watched system looks at the clock. When a question has used its share, the step
raises what Ctrl-C raises: the analyses keep what is done at that, and end.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from rnnlib.dynamics import trajectory
from rnnlib.systems import System, push_forward

Result = TypeVar("Result")
GROWTH = 3  # an analysis that is repeated at three times the length costs half as much again in all
READING = 0.15  # of all the time: at most so much for running over the data
GRACE = 0.1  # of all the time: for what an analysis does with what it has when its share is used


class OutOfTime(KeyboardInterrupt):
    """A question has used its share; analyses keep what is done, as they do at Ctrl-C."""


class Budget:
    """Seconds for all questions, of which each takes its share of what is left.

    Args:
        seconds: for the whole report.
        weights: the share of each question, by key, in the order in which they are asked.
        clock: seconds, from any origin.

    Attributes:
        share: the seconds that the question now asked may take.
        steps: how many steps of watched systems it has made.
        cut: whether it was stopped by the clock.
        stopped: whether the user has stopped all of it.
    """

    def __init__(
        self,
        seconds: float,
        weights: dict[str, float],
        clock: Callable[[], float] = time.monotonic,
    ):
        if not seconds > 0:
            raise ValueError(f"budget is {seconds}; it must be a positive number of seconds.")
        self.seconds, self.weights, self.clock = seconds, dict(weights), clock
        self.started = clock()
        self.stopped = False
        self._costs: dict[tuple, float] = {}
        self._allow(READING * seconds)

    def _allow(self, share: float) -> None:
        self.share, self.asked, self.steps, self.cut = share, self.clock(), 0, False
        self._alarm = self.asked + share

    @property
    def spent(self) -> float:
        """Seconds since the report began."""
        return self.clock() - self.started

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.seconds - self.spent

    def begin(self, key: str) -> None:
        """Give question ``key`` its share of what is left; what it saves goes to the others."""
        rest = list(self.weights)[list(self.weights).index(key) :]
        total = sum(self.weights[k] for k in rest)
        self._allow(max(self.left, 0.0) * self.weights[key] / total)

    def used(self, part: float = 1.0) -> bool:
        """Whether the question now asked has used that part of its share."""
        return self.clock() - self.asked > part * self.share

    def has(self, seconds: float) -> bool:
        """Whether the question now asked has so much of its share left."""
        return self.clock() - self.asked + seconds <= self.share

    @property
    def over(self) -> bool:
        """Whether there is no time for another question."""
        return self.left < 0.02 * self.seconds

    def look(self) -> None:
        """Raise `OutOfTime` when the share is used, and again when a grace after it is."""
        self.steps += 1
        if self.clock() > self._alarm:
            self._alarm = self.clock() + GRACE * self.seconds
            self.cut = True
            raise OutOfTime

    def watched(self, system: System) -> System:
        """Return the same system, each of whose steps looks at the clock first."""

        def f(x, z, theta):
            self.look()
            return system.f(x, z, theta)

        return replace(system, f=f)

    def settle(self, system: System, x: Tensor, steps: int, part: float) -> tuple[Tensor, int]:
        """Run states on, for so many steps or for that part of the share.

        Returns:
            The states, and how many steps were made.
        """
        made = 0
        for after, _ in trajectory(system, x, steps):
            x, made = after, made + 1
            if self.used(part):
                break
        return x, made

    @contextmanager
    def told_of_interrupts(self) -> Iterator[None]:
        """Note Ctrl-C in ``stopped``, since the analysis that it reaches first ends quietly."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield  # signals go to the main thread, and a program may have switched this one off
            return

        def note(number, frame):
            self.stopped = True
            before(number, frame)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

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
            The last result that was not cut short, or else the first, and the steps that it had.

        Raises:
            OutOfTime: not even the first run left anything.
        """
        result, steps = run(least), least
        took = self.clock() - self.asked
        while not (enough(result) or steps >= most or self.cut or self.stopped):
            if self.clock() - self.asked + GROWTH * took > self.share:
                break
            more, began = min(most, GROWTH * steps), self.clock()
            try:
                longer = run(more)
            except OutOfTime:
                break
            if self.cut or self.stopped:
                break
            result, steps, took = longer, more, self.clock() - began
        return result, steps

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
                started = self.clock()
                if v is not None:
                    push_forward(system, x, v, z)
                else:
                    with torch.set_grad_enabled(graph):
                        system.f(x, z, system.theta)
                return self.clock() - started

            first = once()  # also what the first call alone pays
            self._costs[key] = min([once() for _ in range(3)] if first < 0.5 else [first])
        return self._costs[key]

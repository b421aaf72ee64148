"""Keep asking during training: regime, exponent, multipliers, and gradients against the lag."""

import time
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from rnnlib.diagnosis.influence import influence_by_lag
from rnnlib.diagnosis.subject import subject_of
from rnnlib.dynamics import fixed_points, steady_state

SHARE = 0.05  # of the time since it began, at most
STEPS = 200  # of burn-in, and again of observation
LAGS = (1, 3, 10, 30, 100)  # at which the gradient's norm is written down


class Watch:
    """A callback for any training loop that records what the network has become.

    Call it after each epoch (or as often as you like): it looks when a look, at what the last one
    cost, would keep its cost below ``share`` of the time since it was made, and otherwise returns
    at once. So it may be called at every step. The first look is made whatever it costs, and the
    others wait until the time has paid for it too.

    Args:
        model: the network in training, as for `rnnlib.report`; it is copied at each look.
        inputs: some of your sequences, as for `rnnlib.report`.
        head: the read-out, where the model has none.
        share: of the time, that looking may cost; infinity looks at every call.
        steps: how long orbits are followed.
        writer: a ``torch.utils.tensorboard.SummaryWriter`` (anything with ``add_scalar(name,
            value, step)``) to which each number goes as well.

    Attributes:
        history: one dict per look: ``step`` (the epoch, or what you called it), ``regime`` under
            the mean input, ``settled``, ``exponent``, ``multiplier`` (the largest modulus at the
            fixed point found nearest to where it ended, NaN without one), ``gradient_1``,
            ``gradient_3``, ... (norm of the last output's gradient in the state so many steps
            back, relative to lag 0) and ``seconds``.

    Raises:
        ValueError: a share that is not positive, and what `rnnlib.report` raises.

    Example:
        >>> import torch, rnnlib
        >>> look = rnnlib.Watch(torch.nn.GRU(2, 4), torch.zeros(30, 1, 2), share=float("inf"))
        >>> for epoch in range(3):  # train the network here
        ...     seen = look(epoch)
        >>> [seen["step"] for seen in look.history]
        [0, 1, 2]
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        *,
        head: nn.Module | None = None,
        share: float = SHARE,
        steps: int = STEPS,
        writer: Any = None,
    ):
        if not share > 0:
            raise ValueError(f"share is {share}; it must be positive, for example {SHARE}.")
        self.model, self.inputs, self.head = model, inputs, head
        self.share, self.steps, self.writer = share, steps, writer
        self.history: list[dict[str, Any]] = []
        self.calls, self.spent, self.began = 0, 0.0, time.perf_counter()

    def __call__(self, step: int | None = None) -> dict[str, Any] | None:
        """Look if it is time to, and return what was seen, or None.

        Args:
            step: what to call this moment, for example the epoch; by default the calls are
                counted.
        """
        self.calls += 1
        expected = self.history[-1]["seconds"] if self.history else 0.0
        elapsed = time.perf_counter() - self.began
        if self.history and self.spent + expected > self.share * elapsed:
            return None
        started = time.perf_counter()
        seen = {"step": self.calls if step is None else step, **self._look()}
        seen["seconds"] = time.perf_counter() - started
        self.spent += seen["seconds"]
        self.history.append(seen)
        if self.writer is not None:
            for name, value in seen.items():
                if isinstance(value, float):
                    self.writer.add_scalar(f"watch/{name}", value, seen["step"])
        return seen

    def lightning(self) -> Any:
        """Return this watch as a callback for Lightning's ``Trainer(callbacks=[...])``.

        Raises:
            ImportError: Lightning is not installed.
        """
        for package in ("lightning.pytorch", "pytorch_lightning"):  # its name now, and before
            try:
                callback: Any = import_module(package).Callback
                break
            except ImportError:
                continue
        else:
            raise ImportError(
                "lightning() needs Lightning, which could not be imported; install it with "
                "pip install lightning, or call the watch in your own loop."
            )
        watch = self

        class WatchCallback(callback):
            def on_train_epoch_end(self, trainer, pl_module):
                watch(trainer.current_epoch)

        return WatchCallback()

    @torch.no_grad()
    def _look(self) -> dict[str, Any]:
        subject = subject_of(self.model, self.inputs, head=self.head)
        system, data = subject.system, subject.inputs
        if data is not None:
            system = system.hold(data.mean((0, 1)))
        start = subject.states[-1]
        found = steady_state(
            system, start, burn_in=self.steps, steps=self.steps, budget=4 * self.steps
        )
        exponent = float(found.exponent)
        roots = fixed_points(system, subject.states[-1:], max_iterations=20)
        modulus = float(roots.eigenvalues[0].abs().max()) if len(roots.points) else float("nan")
        seen = {
            "regime": found.describe(),
            "settled": bool(found.settled),
            "exponent": exponent,
            "multiplier": modulus,
        }
        if data is not None:
            k = min(self.steps, len(data))
            _, of_state = influence_by_lag(subject.system, data[:k], subject.start, probes=2)
            first = of_state[0].clamp(min=1e-300)
            seen |= {
                f"gradient_{lag}": float(of_state[lag] / first)
                for lag in LAGS
                if lag < len(of_state)
            }
        return seen


def watch(model: nn.Module, inputs: Tensor, **options: Any) -> Watch:
    """Return a callback that records what a network becomes during training, see `Watch`.

    In three lines::

        seen = rnnlib.watch(model, inputs)
        for epoch in range(epochs):
            ...; seen(epoch)

    Example:
        >>> import torch, rnnlib
        >>> network, inputs = torch.nn.GRU(2, 4), torch.zeros(30, 1, 2)
        >>> look = rnnlib.watch(network, inputs)
        >>> seen = look(step=1)  # after an epoch
        >>> list(seen)[:4]
        ['step', 'regime', 'settled', 'exponent']
    """
    return Watch(model, inputs, **options)

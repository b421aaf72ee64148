"""The training loop, one for every task and for one network or several replicas at once.

A `Run` is one network in training: its weights, optimizer, schedule and history. `train` moves one
or more runs on, epoch by epoch, until each has ended. A run that was killed at any instant and is
started again gives the same history to the last digit on the same machine and number of threads.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnlib.training import ensemble, subnormals
from rnnlib.training.progress import Progress

Callback = Callable[[int, nn.Module], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Attributes:
        epochs: how many at most.
        learning_rate: Adam's, at the start.
        decay_epochs: after these the learning rate is cut.
        decay_factor: what it is multiplied by when it is cut.
        patience: cut it when the task's best number has not improved for more than so many epochs,
            and stop below 1e-7; None for no such rule.
        clip: the gradient's norm is cut to this.
        stall_epochs: give up once the training loss has kept within ``stall_change`` for so many
            epochs, all of them after the last of ``decay_epochs``; 0 for no such rule.
        stall_change: the largest less the smallest loss of a stretch that counts as stalled.
        seed: of everything random in a run but the data: dropout, if there is any.
    """

    epochs: int
    learning_rate: float
    decay_epochs: tuple[int, ...] = ()
    decay_factor: float = 0.1
    patience: int | None = None
    clip: float = 0.25
    stall_epochs: int = 0
    stall_change: float = 1e-4
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "learning_rate", "decay_factor", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive.")
        for name in ("stall_epochs", "stall_change"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more.")


SMALLEST_RATE = 1e-7  # of the learning rate under a plateau schedule


class NonFiniteLoss(RuntimeError):
    """The loss of a ``run`` became infinite or NaN."""

    def __init__(self, message: str, run: "Run"):
        super().__init__(message)
        self.run = run


class Run:
    """One network in training.

    Args:
        task: what it learns, for example a `rnnlib.tasks.Sine`. It has ``batches()``,
            ``loss(y, target)``, ``evaluate(model)``, ``solved(record)``, ``best`` and
            ``carries_state``. It may have ``fades``, see `rnnlib.training.subnormals`, and
            ``reduction``, "sum" to minimise the sum where the model's own loss is a mean.
        model: a module ``(z, state) -> (y, state)`` with time as first axis. If it has a method
            ``constrain_(step)`` that is called after each optimizer step, ``diagnostics()`` adds
            to the history, and ``loss(z, target, state) -> (mean loss, state)`` replaces its
            outputs and the task's loss where the outputs are too many to keep.
        settings: how to train.
        callbacks: each is called as ``callback(epoch, model)`` before the first epoch (0) and
            after every epoch, without gradients and in evaluation mode.
        name: what messages and the progress bar call it.

    Attributes:
        history: one dict per epoch.
        best: the weights at the epoch with the lowest ``task.best``, and that epoch.
    """

    def __init__(
        self,
        task: Any,
        model: Any,
        settings: Settings,
        callbacks: Sequence[Callback] = (),
        name: str = "run",
    ):
        self.task, self.model, self.settings = task, model, settings
        self.callbacks, self.name = callbacks, name
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        if settings.patience is None:
            self.schedule = torch.optim.lr_scheduler.MultiStepLR(
                self.optimizer, settings.decay_epochs, settings.decay_factor
            )
        else:
            self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self.optimizer, factor=settings.decay_factor, patience=settings.patience
            )
        self.steps, self.seconds, self.history, self.best = 0, 0.0, [], None

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to train."""
        return self.end is not None

    @property
    def end(self) -> str | None:
        """Why there is nothing more to train: solved, rate, stalled or epochs; None if there is."""
        if self.history and self.task.solved(self.history[-1]):
            return "solved"
        if self.history and self.optimizer.param_groups[0]["lr"] < SMALLEST_RATE:
            return "rate"
        if self._stalled():
            return "stalled"
        return "epochs" if self.epoch >= self.settings.epochs else None

    def _stalled(self) -> bool:
        """Whether the training loss has kept within ``stall_change`` for ``stall_epochs``."""
        count, last_cut = self.settings.stall_epochs, max(self.settings.decay_epochs, default=0)
        if count == 0 or self.epoch < last_cut + count:
            return False
        key = "loss" if "loss" in self.history[-1] else self.task.best
        losses = [record[key] for record in self.history[-count:]]
        return max(losses) - min(losses) <= self.settings.stall_change

    def state_dict(self) -> dict:
        """Return all that a later process needs to go on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {
                key: value
                for key, value in self.schedule.state_dict().items()
                if key not in ("milestones",)  # a Counter, and known from the settings
            },
            "steps": self.steps,
            "seconds": self.seconds,
            "history": self.history,
            "best": self.best,
        }

    def load_state_dict(self, state: dict) -> None:
        """Take up what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.steps, self.seconds = state["steps"], state["seconds"]
        self.history, self.best = state["history"], state["best"]

    def begin_epoch(self) -> None:
        self.model.train()
        self._carry = None
        self._losses, self._norms, self._sums, self._count = [], [], {}, 0

    def run_batch(self, z: Tensor, target: Tensor) -> Tensor:
        """Return the loss of one batch, from the state that the task says."""
        if hasattr(self.model, "loss"):
            mean, state = self.model.loss(z, target, self._carry)
            count = target.numel()
            loss = count * mean if getattr(self.task, "reduction", "mean") == "sum" else mean
            sums = {"loss": mean.detach() * count}
        else:
            y, state = self.model(z, self._carry)
            loss, sums, count = self.task.loss(y, target)
        if self.task.carries_state:
            self._carry = _detached(state)
        return self.note(loss, sums, count)

    def note(self, loss: Tensor, sums: dict[str, Tensor], count: int) -> Tensor:
        """Take down what ``task.loss`` says of a batch, and return the loss."""
        self._losses.append(loss.detach())
        self._count += count
        for key, value in sums.items():
            self._sums[key] = self._sums.get(key, 0) + value
        return loss

    def step(self) -> None:
        """One step of the optimizer, from gradients that are there."""
        self._norms.append(nn.utils.clip_grad_norm_(self.parameters, self.settings.clip))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if hasattr(self.model, "constrain_"):
            self.model.constrain_(self.steps)

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Check the epoch's losses, write its line of history, and move the schedule."""
        finite = torch.isfinite(torch.stack(self._losses + self._norms)).cpu()
        if not finite.all():
            n = len(self._losses)
            batch = int((~(finite[:n] & finite[n:])).int().argmax()) + 1
            raise NonFiniteLoss(
                f"{self.name}: the loss or its gradient was infinite or NaN in epoch "
                f"{self.epoch + 1}, batch {batch} of {n}, at learning rate "
                f"{self.optimizer.param_groups[0]['lr']:g}. The last checkpoint is from before; "
                f"try a smaller learning_rate or clip.",
                self,
            )
        self.model.eval()
        record = {
            "epoch": self.epoch + 1,
            **{key: float(value) / self._count for key, value in self._sums.items()},
            **self.task.evaluate(self.model),
            "gradient_norm": float(torch.stack(self._norms).mean()),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        if hasattr(self.model, "diagnostics"):
            record |= self.model.diagnostics()
        self.history.append(record)
        value = record[self.task.best]
        if self.best is None or value < self.best["value"]:
            weights = {key: p.clone() for key, p in self.model.state_dict().items()}
            self.best = {"value": value, "epoch": self.epoch, "model": weights}
        if isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(value)
        else:
            self.schedule.step()

    @torch.no_grad()
    def call_back(self) -> None:
        """Call the callbacks, in evaluation mode."""
        self.model.eval()
        for callback in self.callbacks:
            callback(self.epoch, self.model)


def train(
    runs: Run | Sequence[Run],
    after_epoch: Callable[[Run], None] = lambda run: None,
    progress: bool = True,
) -> None:
    """Train until every run has ended.

    Several runs are replicas of one model (seeds, lengths): each epoch their batches go through
    the networks as one computation (`rnnlib.training.ensemble`), and each run keeps its own data,
    optimizer, schedule and end, as if it were alone. That pays on a GPU. On a CPU train one after
    the other: the whole-sequence layers of a single network are faster there.

    On a CPU subnormal numbers are set to zero where gradients fade, which is done on one thread,
    see `rnnlib.training.subnormals`.

    Args:
        runs: one run, or several.
        after_epoch: called with each run after each of its epochs, for example to write a
            checkpoint.
        progress: whether to show a bar, or lines where there is no terminal.

    Raises:
        NonFiniteLoss: a loss or gradient that is not finite, with epoch and batch.
        ValueError: several runs of different models, or with a state that is carried over.
    """
    runs = [runs] if isinstance(runs, Run) else list(runs)
    if len(runs) > 1 and any(run.task.carries_state for run in runs):
        raise ValueError(
            "runs has several runs of a task that carries its state from batch to batch; train "
            "these one by one."
        )
    device = runs[0].parameters[0].device
    with subnormals.flushed() if subnormals.concerns(runs[0].task, device) else nullcontext():
        _train(runs, after_epoch, progress)


def _train(runs: list[Run], after_epoch: Callable[[Run], None], progress: bool) -> None:
    for run in runs:
        if run.epoch == 0:
            run.call_back()
    live = [run for run in runs if not run.ended]
    with Progress(runs, progress) as bar, torch.random.fork_rng():
        while live:
            started = time.perf_counter()
            # An epoch's dropout is a function of the seed and the epoch: nothing to store.
            seed = np.random.SeedSequence([runs[0].settings.seed, runs[0].epoch])
            torch.manual_seed(int(seed.generate_state(1)[0]))
            for run in live:
                run.begin_epoch()
            for batches in zip(*(run.task.batches() for run in live), strict=True):
                descend(live, batches)
            for run in live:
                run.end_epoch()
            for run in live:
                run.call_back()
                run.seconds += (time.perf_counter() - started) / len(live)
                after_epoch(run)
                bar.show(run)
            live = [run for run in live if not run.ended]


def descend(runs: Sequence[Run], batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    """One optimizer step of every run."""
    if len(runs) == 1:
        losses = [runs[0].run_batch(*batches[0])]
    else:
        outputs = ensemble.outputs([run.model for run in runs], [z for z, _ in batches])
        answers = zip(runs, outputs, batches, strict=True)
        losses = [run.note(*run.task.loss(y, target)) for run, y, (_, target) in answers]
    # Each loss depends on its own network alone, so the gradient of the sum is that of each.
    torch.stack(losses).sum().backward()
    for run in runs:
        run.step()


def _detached(state):
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()

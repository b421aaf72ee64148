"""Figures and training of the chapter past the paper."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rnnlib.dynamics import lyapunov_spectrum, oscillation, phase_memory, simulate
from rnnlib.figures import BLUE, BROWN, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, book_style
from rnnlib.systems import System, closed_loop
from rnnlib.training import LABELS, Run, SequenceModel, Settings, train

COLOURS = {
    "gru": BLUE,
    "lstm": ORANGE,
    "slstm-certified": PURPLE,
    "lru": GREEN,
    "mingru": RED,
    "selective": BROWN,
}
STRETCH = 400  # steps that are listened to
FADED = 0.05  # amplitude under which an output counts as at rest
CHANGE = 0.02  # of an amplitude between two stretches, below which it counts as constant
FAR = 1e3  # a state beyond this has left


def trained(
    model: str,
    task_of: Callable[[int], Any],
    seeds: int,
    *,
    epochs: int,
    learning_rate: float,
    units: int,
) -> list[SequenceModel]:
    """Train one model on one task from several seeds, and return the networks.

    Args:
        model: one of `rnnlib.training.MODELS`.
        task_of: from a seed to a task.
        seeds: how many, from 0.
        epochs, learning_rate: the rate is cut by ten after 7 of 10 epochs.
        units: in the layer.
    """
    settings = Settings(
        epochs=epochs,
        learning_rate=learning_rate,
        decay_epochs=(7 * epochs // 10,),
        clip=1.0,
    )
    runs = []
    for seed in range(seeds):
        task = task_of(seed)
        torch.manual_seed(seed)
        network = SequenceModel(
            model, task.n_in, units, task.n_out, input_bound=task.input_bound
        ).float()
        network.constrain_(0)
        runs.append(Run(task, network, settings, name=f"{LABELS[model]}, seed {seed}"))
    if hasattr(runs[0].model.layer, "state_size"):  # a loop of steps: replicas share it
        train(runs, progress=False)
    else:
        for run in runs:
            train(run, progress=False)
    return [run.model.eval() for run in runs]


def distinct(ends: Tensor, tolerance: float = 1e-4) -> int:
    """Return how many states there are, those nearer than a tolerance counted as one.

    Args:
        ends: shape ``(count, n_x)``.
        tolerance: relative to 1 plus the size of the state.
    """
    kept: list[Tensor] = []
    for end in ends:
        near = tolerance * (1 + end.norm())
        if all((end - other).norm() > near for other in kept):
            kept.append(end)
    return len(kept)


def loop_from_teaching(
    system: System, z: Tensor, feedback: Callable[[Tensor], Tensor] = lambda y: y
) -> tuple[System, Tensor]:
    """Return the closed loop with its frequency held, and the state in which teaching leaves it.

    Args:
        system: a network taught on `rnnlib.tasks.ForcedSine`.
        z: what the teacher fed, shape ``(time, sequences, 2)``; the loop takes over at the end.
        feedback: from the output to what is fed back.

    Returns:
        The loop, and states of shape ``(sequences, n_x + 1)``.
    """
    x = torch.zeros(z.shape[1], system.n_x, dtype=z.dtype)
    for step in z:
        x = system.step(x, step)
    y = system.read(x, z[-1])
    loop = closed_loop(system, feedback, n_y=1, n_u=1).hold(z[-1, :, 1:])
    return loop, torch.cat([x, y], dim=-1)


@torch.no_grad()
def examined(loop: System, x0: Tensor, steps: int, seed: int = 0) -> dict[str, float]:
    """Measure one closed loop: does it go on oscillating, and does it come back after a push?

    Args:
        loop: with its frequency held, without batch axes.
        x0: shape ``(n_x + 1,)``.
        steps: after these, and again after four times as many, the output is listened to.
        seed: of the pushes.

    Returns:
        ``early`` and ``amplitude``, the output's at both times, and its ``frequency``; the
        largest two exponents, ``first`` and ``second``; and ``back``, the share of 16 pushes by a
        tenth of the motion's size that have been forgotten after ``steps`` steps, to a tenth,
        up to a shift in time. NaN where the output rests or leaves.
    """
    before = simulate(loop, x0, STRETCH, burn_in=steps)
    after = simulate(loop, before[-1], STRETCH, burn_in=max(3 * steps - STRETCH, 0))
    early, late = (oscillation(orbit[:, -1]) for orbit in (before, after))
    found = {name: float("nan") for name in ("first", "second", "back")}
    found |= {"early": float(early.amplitude), "amplitude": float(late.amplitude)}
    found |= {"frequency": float(late.frequency), "largest": float(after.abs().max())}
    if not found["largest"] < FAR:
        return found
    spectrum = lyapunov_spectrum(loop, after[-1], steps, k=2, burn_in=100)
    found["first"], found["second"] = spectrum.exponents.tolist()
    if found["amplitude"] > FADED:
        returns = phase_memory(
            loop, after[-1], torch.tensor([0.1], dtype=x0.dtype), directions=16, burn_in=0,
            steps=steps, points=4000, tolerance=0.1, seed=seed,
        )  # fmt: skip
        found["back"] = float(returns.to_set[0])
    return found


def told(found: Mapping[str, float]) -> str:
    """Return a word for what `examined` found: leaves, fades, oscillates, or still changes."""
    if not found["largest"] < FAR:
        return "leaves"
    if found["amplitude"] < FADED:
        return "fades"
    steady = abs(found["amplitude"] / found["early"] - 1) < CHANGE
    return "oscillates" if steady else "still changes"


def open_and_closed(opened: Tensor, closed: Tensor) -> Figure:
    """Draw the output of one network from many starts, fed with a constant and with itself.

    Args:
        opened: shape ``(T, starts)``.
        closed: the same starts, shape ``(T, starts)``.
    """
    with book_style():
        fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.2), sharex=True, sharey=True)
        titles = ("open: its input is held", "closed: it is fed with its own output")
        for ax, y, title, colour in zip(
            axes, (opened, closed), titles, (GREY, PURPLE), strict=True
        ):
            ax.plot(torch.arange(1, len(y) + 1), y, color=colour, lw=0.9)
            ax.set(title=title, ylabel="output $y_t$")
            ax.margins(x=0)
        axes[1].set_xlabel("step $t$")
        plt.close(fig)
    return fig


def fading(curves: Mapping[str, Tensor], band: tuple[int, int]) -> Figure:
    """Draw how strongly the last output depends on inputs further and further back.

    Args:
        curves: by model, the influence against the lag, each of shape ``(time,)``.
        band: the lags at which the first relevant symbol lies.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 3.2))
        for model, curve in curves.items():
            ax.semilogy(
                (curve / curve.max()).clamp(min=1e-12), color=COLOURS[model], label=LABELS[model]
            )
        ax.axvspan(*band, color=GREY, alpha=0.2, lw=0, label="first symbol")
        ax.set(xlabel="lag", ylabel="influence, share of the largest", ylim=(1e-7, 2))
        ax.margins(x=0)
        ax.legend(ncol=2)
        plt.close(fig)
    return fig


def portraits(orbits: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Draw the outputs of closed loops against those of the step before, a panel per model.

    Args:
        orbits: by model, one array per seed of shape ``(T, frequencies)``.
    """
    with book_style():
        rows = (len(orbits) + 2) // 3
        fig, axes = plt.subplots(
            rows, 3, figsize=(WIDTH, 2.2 * rows), sharex=True, sharey=True, squeeze=False
        )
        for ax in axes.flat[len(orbits) :]:
            ax.set_axis_off()
        for ax, (model, seeds) in zip(axes.flat, orbits.items(), strict=False):
            for y, marker in zip(seeds, ("o", "x", "+", "^"), strict=False):
                for column in y.T:
                    ax.plot(column[:-1], column[1:], marker, color=COLOURS[model], ms=1.4, mew=0.5)
            ax.set(title=LABELS[model], xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        for ax in axes[-1]:
            ax.set_xlabel("$y_{t-1}$")
        for ax in axes[:, 0]:
            ax.set_ylabel("$y_t$")
        plt.close(fig)
    return fig

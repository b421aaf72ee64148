"""Figures of the chapter on sine generation: how an oscillation is learned."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from rnnlib.figures import (
    BLUE,
    EPOCHS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    WIDTH,
    book_style,
)
from rnnlib.runs import RESTS, Coincidence, changes_between
from rnnlib.training import Samples

LINES = (BLUE, GREEN, ORANGE, PURPLE, "black", GREY)
POINTS = 20000  # of a tube; more only make the page larger
MOVES = 0.1  # amplitude of an output that is said to oscillate


class Birth(NamedTuple):
    """When an oscillation is first seen along a training run, and from when on it stays.

    Attributes:
        moving: the rows of `rnnlib.runs.read_dynamics` whose output oscillates.
        first: the first of them.
        stays: the first of them after the last one at rest.
        beside: whether the followed fixed point attracts where the oscillation comes to stay, so
            that the oscillation does not come out of it.
        later: the crossings of a complex pair from there on.
    """

    moving: pd.DataFrame
    first: pd.Series
    stays: pd.Series
    beside: bool
    later: pd.DataFrame


def birth_of(table: pd.DataFrame, crossings: pd.DataFrame) -> Birth | None:
    """Return the birth of the oscillation with which a run ends; None if it ends at rest.

    Args:
        table: from `rnnlib.runs.read_dynamics`.
        crossings: from `rnnlib.runs.read_crossings`.
    """
    moves = table["amplitude"].to_numpy() > MOVES
    moving = table.loc[moves]
    last_rest = table["epoch"][~moves].max() if (~moves).any() else -1
    staying = moving[moving["epoch"] > last_rest]
    if staying.empty:
        return None
    stays = staying.iloc[0]
    later = crossings.loc[crossings["after"].to_numpy() > stays["epoch"]]
    return Birth(moving, moving.iloc[0], stays, bool(stays["modulus"] < 1), later)


def birth(
    samples: Samples, table: pd.DataFrame, crossings: pd.DataFrame, until: int | None = None
) -> Figure:
    """Draw what the output visits during training, and the fixed point's leading multiplier.

    Args:
        samples: the recorded steady states, of which the first input is shown.
        table: from `rnnlib.runs.read_dynamics`.
        crossings: from `rnnlib.runs.read_crossings`.
        until: the last epoch to show.
    """
    last = samples.epochs[-1] if until is None else until
    table = table.loc[table["epoch"] <= last]
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 0.9 * WIDTH), sharex=True)
        visited = samples.orbits[samples.epochs <= last, :, 0, :, 0]  # epoch, step, start
        moving = np.ptp(visited, axis=1) > RESTS
        for rests, style in (
            (False, {"ms": 1.2, "color": BLUE}),
            (True, {"ms": 3, "color": "black", "label": "at rest, from some initial states"}),
        ):
            epoch, start = np.nonzero(moving != rests)
            orbits = visited[epoch, -1:, start] if rests else visited[epoch, :, start]
            epochs = np.repeat(samples.epochs[epoch], orbits.shape[1])
            top.plot(epochs, orbits.ravel(), ".", rasterized=True, **style)
        top.set(ylabel="output $y_t$ in steady state", ylim=(-1.6, 1.6))
        top.legend(loc="upper left")
        bottom.plot(table["epoch"], table["modulus"], ".-", ms=4, lw=1, color=ORANGE)
        bottom.axhline(1, color="black", lw=1)
        bottom.set(
            xlabel="epoch", ylabel=r"$|\lambda|$ of the fixed point", ylim=_around_one(table)
        )
        at = crossings["before"] + crossings["at"] * (crossings["after"] - crossings["before"])
        at = at[at <= last]
        for ax in (top, bottom):
            for epoch in at:
                ax.axvline(epoch, color=RED, lw=0.8)
        if len(at):
            bottom.plot([], [], color=RED, lw=0.8, label="a complex pair crosses the unit circle")
            bottom.legend(loc="lower right")
        plt.close(fig)
    return fig


def tubes(runs: dict[str, Samples]) -> Figure:
    """Draw figure 4: output and first difference in steady state, over the epochs.

    What lies outside the frame is left out: orbits that had not settled.

    Args:
        runs: by title, the recorded steady states, of which the first input is shown.
    """
    with book_style(), plt.rc_context({"figure.constrained_layout.use": False}):
        rows = (len(runs) + 1) // 2
        fig = plt.figure(figsize=(WIDTH, 0.5 * WIDTH * rows))
        for place, (title, samples) in enumerate(runs.items(), start=1):
            ax: Any = fig.add_subplot(rows, 2, place, projection="3d")  # no types in mpl_toolkits
            y = samples.orbits[:, 1:, 0, :, 0]  # epoch, step, start
            slope = np.diff(samples.orbits[:, :, 0, :, 0], axis=1)
            epochs = np.broadcast_to(samples.epochs[:, None, None], y.shape)
            inside = np.flatnonzero((np.abs(y) < 1.6) & (np.abs(slope) < 0.5))
            chosen = inside[:: max(1, len(inside) // POINTS)]
            epoch, height, rise = (part.ravel()[chosen] for part in (epochs, y, slope))
            ax.scatter(epoch, height, rise, c=epoch, s=0.4, cmap=EPOCHS, rasterized=True)
            ax.set(xlim=(0, samples.epochs[-1]), ylim=(-1.6, 1.6), zlim=(-0.5, 0.5))
            ax.set_title(title, fontsize=10, loc="center", y=0.94)
            ax.set_xlabel("epoch", fontsize=9, labelpad=-5)
            ax.set_ylabel("$y_t$", fontsize=9, labelpad=-7)
            ax.set_zlabel("$y_t - y_{t-1}$", fontsize=9, labelpad=-6)
            ax.tick_params(labelsize=7, pad=-3)
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.set_yticks([-1, 0, 1])
            ax.set_zticks([-0.4, 0, 0.4])
            ax.set_box_aspect((1.7, 1, 1), zoom=0.95)
            ax.view_init(elev=18, azim=-55)
        fig.subplots_adjust(0, 0.04, 0.9, 1, wspace=0.2, hspace=0)
        plt.close(fig)
    return fig


def history(runs: dict[str, list[pd.DataFrame]]) -> Figure:
    """Draw figure 5: the running mean squared error of every epoch, and the least so far.

    Args:
        runs: by label, the histories of one or more seeds; of several the median is drawn, with a
            band from the least to the greatest.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.7 * WIDTH))
        for (label, histories), colour in zip(runs.items(), LINES, strict=False):
            length = min(map(len, histories))
            mse = np.stack([h["mse"].to_numpy()[:length] for h in histories])
            best = np.minimum.accumulate(mse, axis=1)
            epoch = np.arange(1, length + 1)
            seeds = f" ({len(histories)} seeds)" if len(histories) > 1 else ""
            ax.semilogy(epoch, np.median(mse, 0), lw=0.5, alpha=0.55, color=colour)
            ax.semilogy(epoch, np.median(best, 0), lw=2, color=colour, label=label + seeds)
            if len(histories) > 1:
                ax.fill_between(epoch, best.min(0), best.max(0), color=colour, alpha=0.2, lw=0)
        ax.axhline(0.5, color="black", ls="--", lw=1, label="always answering 0")
        ax.plot(
            [],
            [],
            lw=0.5,
            color="black",
            alpha=0.55,
            label="thin: running loss; thick: least so far",
        )
        ax.set(xlabel="epoch", ylabel="mean squared error", ylim=(None, 1.2))
        fig.legend(loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def multipliers(table: pd.DataFrame, crossings: pd.DataFrame) -> Figure:
    """Draw the leading multiplier's way out of the unit circle, and the Lyapunov exponents.

    Args:
        table: from `rnnlib.runs.read_dynamics`.
        crossings: from `rnnlib.runs.read_crossings`.
    """
    with book_style():
        fig, (plane, below) = plt.subplots(
            2, 1, figsize=(WIDTH, 1.15 * WIDTH), height_ratios=(1.2, 1)
        )
        leading = table["modulus"] * np.exp(1j * table["angle"])
        plane.plot(leading.map(np.real), leading.map(np.imag), "-", lw=0.5, color=GREY)
        dots = plane.scatter(
            leading.map(np.real), leading.map(np.imag), c=table["epoch"], s=16, cmap=EPOCHS,
            zorder=3,
        )  # fmt: skip
        turn = np.linspace(0, np.pi, 400)
        plane.plot(np.cos(turn), np.sin(turn), color="black", lw=1)
        for angle in crossings["angle"]:
            plane.plot(np.cos(angle), np.sin(angle), "*", ms=11, color=RED, mec="white", zorder=4)
        if len(crossings):
            plane.plot([], [], "*", ms=11, color=RED, mec="white", ls="", label="crossing")
            plane.legend(loc="lower left")
        fig.colorbar(dots, ax=plane, label="epoch", fraction=0.04)
        plane.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", aspect="equal")
        if np.any(leading.abs() > 0.85):
            plane.set(xlim=(0.72, 1.18), ylim=(-0.02, 0.44))
        _exponents(below, table)
        below.legend(loc="lower right")
        plt.close(fig)
    return fig


def exponents(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw the two largest Lyapunov exponents and the amplitude of the output over the epochs.

    Args:
        tables: by title, from `rnnlib.runs.read_dynamics`.
    """
    with book_style():
        fig, axes = plt.subplots(
            len(tables), 2, figsize=(WIDTH, 1.8 * len(tables) + 0.4), sharex="col", squeeze=False
        )
        for (left, right), (title, table) in zip(axes, tables.items(), strict=True):
            _exponents(left, table)
            left.set_title(title, fontsize=10)
            right.plot(table["epoch"], table["amplitude"], ".-", ms=3, lw=0.8, color=GREEN)
            right.set(ylabel="amplitude", ylim=(-0.05, 1.6), xlabel="epoch")
            left.label_outer()
            right.label_outer()
            right.tick_params(labelleft=True)
            right.set_ylabel("amplitude")
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def normal_form(growth: Tensor, measured: Tensor, predicted: Tensor) -> Figure:
    """Draw the amplitude of a newly born oscillation beside that of the normal form.

    Args:
        growth: modulus of the multiplier less 1, shape ``(V,)``.
        measured: amplitude of the output, shape ``(V,)``.
        predicted: the same from the normal form, shape ``(V,)``.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.6 * WIDTH))
        ax.plot(growth, measured, "o", ms=5, color=BLUE, label="measured on the orbit")
        ax.plot(growth, predicted, "--", color=RED, label="normal form")
        ax.axvline(0, color="black", lw=1)
        ax.set(xlabel=r"$|\lambda| - 1$", ylabel="amplitude of the output")
        ax.legend(loc="upper left")
        plt.close(fig)
    return fig


def jumps(runs: dict[str, tuple[pd.DataFrame, pd.DataFrame, Coincidence]]) -> Figure:
    """Draw where a loss jumps, over the intervals in which the dynamics change.

    Args:
        runs: by title, history, dynamics and what `rnnlib.runs.coincidence` says of the two.
    """
    with book_style():
        fig, axes = plt.subplots(
            len(runs), 1, figsize=(WIDTH, 1.3 * len(runs) + 0.6), sharex=True, sharey=True,
            squeeze=False,
        )  # fmt: skip
        for ax, (title, (history, dynamics, found)) in zip(axes[:, 0], runs.items(), strict=True):
            epochs = dynamics["epoch"].to_numpy()
            for i in np.flatnonzero(changes_between(dynamics)):
                ax.axvspan(epochs[i], epochs[i + 1], color=ORANGE, alpha=0.5, lw=0)
            mse = history["mse"].to_numpy()
            ax.semilogy(history["epoch"], mse, lw=0.5, color=BLUE)
            ax.semilogy(found.jumps, mse[found.jumps - 1], "v", ms=6, color=RED, mec="white")
            ax.set_title(title, fontsize=9.5)
        axes[-1, 0].set_xlabel("epoch")
        fig.supylabel("mean squared error", fontsize=10)
        handles = [
            Line2D([], [], color=BLUE, label="running loss"),
            Line2D([], [], color=RED, marker="v", ls="", label="jump"),
            Patch(color=ORANGE, alpha=0.5, label="the dynamics change"),
        ]
        fig.legend(handles=handles, loc="outside upper center", ncols=3)
        plt.close(fig)
    return fig


def _exponents(ax, table: pd.DataFrame) -> None:
    epoch, largest, second = (table[k] for k in ("epoch", "exponent", "second_exponent"))
    ax.axhline(0, color="black", lw=1)
    ax.plot(epoch, second, ".-", ms=3, lw=0.8, color=GREY, label="second exponent")
    ax.errorbar(
        epoch, largest, table["exponent_error"], fmt=".-", ms=4, lw=0.8, color=PURPLE,
        label="largest exponent",
    )  # fmt: skip
    lowest = max(-1.0, min(-0.3, 1.2 * float(np.median(largest))))
    ax.set(xlabel="epoch", ylabel="nats per step", ylim=(lowest, 0.05))


def _around_one(table: pd.DataFrame) -> tuple[float, float]:
    highest = float(np.fmax.reduce(table["modulus"].to_numpy()))  # NaN where a solver found none
    return 0.6, max(1.1, 1.03 * highest if highest == highest else 1.1)

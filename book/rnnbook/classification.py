"""Figures of the chapter on sequence classification."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from rnnlib.figures import (
    BLUE,
    BROWN,
    EPOCHS,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    YELLOW,
    book_style,
)
from rnnlib.memory import Retention
from rnnlib.tasks import CLASSES, SYMBOLS
from rnnlib.training import LABELS, Samples

CHANCE = 1 / len(CLASSES)
ORDER = (BLUE, ORANGE, PURPLE, GREEN, BROWN, SKY, RED, PINK, YELLOW, "black")
COLOURS = dict(zip(LABELS, ORDER, strict=True))
REST_TO_MOTION = LinearSegmentedColormap.from_list("", [BLUE, ORANGE])
KNEE, RATIO = 250, 40  # figure 6 (a): epochs beyond the knee take 1 / 40 of the width


def named(name: str) -> tuple[str, str]:
    """Return the label and the colour of a model, or of anything else by its own name."""
    return LABELS.get(name, name), COLOURS.get(name, GREY)


def _chance(ax: Axes) -> None:
    ax.axhline(CHANCE, color="black", ls="--", lw=1)
    ax.set(ylim=(-0.02, 1.04), ylabel="accuracy")


def memory(curves: Mapping[str, Retention], length: int, probes: bool = False) -> Figure:
    """Draw the accuracy against the letters appended to sequences of the trained length.

    Args:
        curves: by model.
        length: that of the sequences in training.
        probes: show that of the linear probe too, in a second panel.
    """
    kinds = {"read": "the network's own answer"}
    if probes:
        kinds["probe"] = "a linear probe fitted anew at each distance"
    with book_style():
        fig, axes = plt.subplots(
            len(kinds), 1, figsize=(WIDTH, 2.9 * len(kinds)), sharex=True, squeeze=False
        )
        for ax, (kind, title) in zip(axes[:, 0], kinds.items(), strict=True):
            for name, curve in curves.items():
                label, colour = named(name)
                ax.plot(curve.steps, getattr(curve, kind), ".-", color=colour, label=label)
            _chance(ax)
            ax.set_xscale("symlog", linthresh=10, linscale=0.6)
            if probes:
                ax.set_title(title)
        ticks = [0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
        most = max(int(curve.steps[-1]) for curve in curves.values())
        axes[-1, 0].set(xlabel=f"letters after the first {length}", xlim=(-0.3, most * 1.05))
        axes[-1, 0].set_xticks([t for t in ticks if t <= most])
        axes[-1, 0].xaxis.set_major_formatter("{x:.0f}")
        axes[-1, 0].minorticks_off()
        fig.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=len(curves) if len(curves) < 5 else 3,
        )
        plt.close(fig)
    return fig


def histories(runs: Mapping[str, Sequence[pd.DataFrame]], doubled: bool = False) -> Figure:
    """Draw the validation accuracy against the epoch, one panel per title, all on the same axes.

    Args:
        runs: by the title of the panel; each history has a column ``model``, and a column
            ``finished`` where runs may be on their way; their ends are hollow.
        doubled: with the two scales of figure 6 (a): epochs beyond 250 take a fortieth.
    """
    with book_style():
        rows = (len(runs) + 1) // 2
        fig, axes = plt.subplots(
            rows, 2, figsize=(WIDTH, 2.1 * rows + 0.5), sharex=True, sharey=True, squeeze=False
        )
        most = max(len(table) for tables in runs.values() for table in tables)
        for ax, (title, tables) in zip(axes.flat, runs.items(), strict=False):
            for table in tables:
                label, colour = named(table["model"].iloc[0])
                ax.plot(table["epoch"], table["valid_accuracy"], color=colour, lw=1.2, label=label)
                last = table.iloc[-1]
                fill = colour if last.get("finished", True) else "white"
                ax.plot(last["epoch"], last["valid_accuracy"], "o", ms=4, color=colour, mfc=fill)
            _chance(ax)
            ax.set_title(title)
            ax.set_xlim(0, most * 1.02)
            if doubled and most > KNEE:
                _double_scale(ax, most)
        for ax in axes.flat[len(runs) :]:
            ax.set_axis_off()
        for ax in axes[:, 1]:
            ax.set_ylabel("")
        for ax in axes[-1]:
            ax.set_xlabel("epoch")
        handles = {}
        for ax in axes.flat[: len(runs)]:
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        fig.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
        plt.close(fig)
    return fig


def squeeze(epoch):
    """Return where an epoch lies on the axis of figure 6 (a), in epochs of its first scale."""
    epoch = np.asarray(epoch, dtype=float)
    return np.where(epoch <= KNEE, epoch, KNEE + (epoch - KNEE) / RATIO)


def unsqueeze(place):
    """Return the epoch at a place on the axis of figure 6 (a)."""
    place = np.asarray(place, dtype=float)
    return np.where(place <= KNEE, place, KNEE + (place - KNEE) * RATIO)


def _double_scale(ax: Axes, most: int) -> None:
    ax.set_xscale("function", functions=(squeeze, unsqueeze))
    ax.axvspan(KNEE, most * 1.02, color=GREY, alpha=0.15, lw=0)
    later = [t for t in (1000, 2500, 5000, 7500, 10000, 12500, 15000) if t <= most]
    ax.set_xticks([*range(0, KNEE + 1, 50), *later])
    ax.set_xlim(0, most * 1.02)
    ax.tick_params(axis="x", labelsize=8, rotation=45)


def seeds(runs: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the accuracy on training and validation data of runs that differ in their seed.

    Args:
        runs: the histories, by title.
    """
    with book_style():
        rows = (len(runs) + 1) // 2
        fig, axes = plt.subplots(rows, 2, figsize=(WIDTH, 2.3 * rows), sharey=True, squeeze=False)
        for ax, (title, table) in zip(axes.flat, runs.items(), strict=False):
            ax.plot(table["epoch"], table["accuracy"], color=GREY, label="training")
            ax.plot(table["epoch"], table["valid_accuracy"], color=BLUE, label="validation")
            _chance(ax)
            ax.set_title(title)
        for ax in axes.flat[len(runs) :]:
            ax.set_axis_off()
        for ax in axes[:, 1]:
            ax.set_ylabel("")
        for ax in axes[-1]:
            ax.set_xlabel("epoch")
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        plt.close(fig)
    return fig


def panels(samples: Samples, steps: int = 10) -> Figure:
    """Draw the steady state of every output under every constant input, against the epoch.

    Blue is at rest; the more orange, the more the output moves from step to step.

    Args:
        samples: recorded with the six letters as constant inputs and four outputs.
        steps: how many of the kept steps to show.
    """
    orbits = samples.orbits[:, -steps - 1 :].astype(np.float64)
    change = np.abs(np.diff(orbits, axis=1))
    orbits = orbits[:, 1:]  # epoch, step, input, start, output
    epoch = np.broadcast_to(samples.epochs[:, None, None], orbits.shape[:2] + orbits.shape[3:4])
    width = np.nanmax(np.abs(orbits), axis=(0, 1, 3), keepdims=True) + 1e-12
    moving = np.clip(change / width / 0.05, 0, 1)
    with book_style():
        fig, axes = plt.subplots(
            len(SYMBOLS), len(CLASSES), figsize=(WIDTH, 1.05 * len(SYMBOLS)), sharex=True
        )
        for (i, j), ax in np.ndenumerate(axes):
            order = np.argsort(moving[:, :, i, :, j].ravel(), kind="stable")
            ax.scatter(
                epoch.ravel()[order],
                orbits[:, :, i, :, j].ravel()[order],
                c=moving[:, :, i, :, j].ravel()[order],
                cmap=REST_TO_MOTION,
                vmin=0,
                vmax=1,
                s=2,
                lw=0,
                rasterized=True,
            )
            ax.tick_params(labelsize=7, pad=1)
            ax.locator_params(nbins=3)
            if i == 0:
                ax.set_title(f"output {CLASSES[j]}", fontsize=9.5)
            if j == 0:
                ax.set_ylabel(f"input {SYMBOLS[i]}", fontsize=9.5)
        fig.supxlabel("epoch", fontsize=10)
        plt.close(fig)
    return fig


def tubes(samples: Mapping[str, Samples], pairs=(("p", "pp"), ("b", "pp")), steps=20) -> Figure:
    """Draw figure 7: an output and its first difference along the epochs, in three dimensions.

    Args:
        samples: by model.
        pairs: constant input and output of the panels.
        steps: how many of the kept steps to show.
    """
    with book_style():
        fig = plt.figure(figsize=(WIDTH, 2.9 * len(samples)))
        for row, (name, sample) in enumerate(samples.items()):
            for column, (letter, output) in enumerate(pairs):
                ax: Any = fig.add_subplot(  # mpl_toolkits has no types
                    len(samples), 2, 2 * row + column + 1, projection="3d", computed_zorder=False
                )
                i, j = SYMBOLS.index(letter), CLASSES.index(output)
                y = sample.orbits[:, -steps - 1 :, i, :, j].astype(np.float64)
                epoch = np.broadcast_to(sample.epochs[:, None, None], y[:, 1:].shape)
                ax.scatter(epoch, np.diff(y, axis=1), y[:, 1:], c=epoch, cmap=EPOCHS, s=2, lw=0)
                ax.set_title(f"{named(name)[0]}: {letter} to {output}", fontsize=10)
                ax.set_xlabel("epoch", fontsize=8, labelpad=-4)
                ax.set_ylabel(r"$y_t - y_{t-1}$", fontsize=8, labelpad=-4)
                ax.set_zlabel("$y_t$", fontsize=8, labelpad=-6)
                ax.tick_params(labelsize=6.5, pad=-2)
                ax.locator_params(nbins=4)
                ax.view_init(elev=22, azim=-60)
        plt.close(fig)
    return fig

"""Figures of what a trained network remembers, and where, in the chapter on classification."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from rnnbook.classification import named
from rnnlib.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, WIDTH, book_style
from rnnlib.memory import Fate, Places, evidence
from rnnlib.tasks import CLASSES, SYMBOLS
from rnnlib.training import Ends

FOUR = (BLUE, ORANGE, GREEN, PURPLE)  # the classes


def fates(found: Mapping[str, Fate], envelopes: Mapping[str, Tensor] | None = None) -> Figure:
    """Draw how far apart states remain that see the same letters, of one class and of two.

    Args:
        found: by model.
        envelopes: a certified bound on the distance, at the same steps, for some of them.
    """
    envelopes = envelopes or {}
    with book_style():
        rows = (len(found) + 1) // 2
        fig, axes = plt.subplots(
            rows, 2, figsize=(WIDTH, 2.2 * rows + 0.4), sharex=True, sharey=True, squeeze=False
        )
        for ax, (name, fate) in zip(axes.flat, found.items(), strict=False):
            label, colour = named(name)
            ax.semilogy(fate.steps, fate.between.clamp(min=1e-9), color=colour, label="two classes")
            ax.semilogy(
                fate.steps, fate.within.clamp(min=1e-9), color="black", ls=":", label="one class"
            )
            if name in envelopes:
                ax.semilogy(
                    fate.steps, envelopes[name], color="black", ls="--", lw=1, label="bound"
                )
            title = f"{label}: {int(fate.groups[-1])} places, {fate.bits[-1]:.1f} bits"
            ax.set_title(title, fontsize=9.5)
            ax.set_ylim(1e-9, 3e3)
        for ax in axes.flat[len(found) :]:
            ax.set_axis_off()
        for ax in axes[:, 0]:
            ax.set_ylabel("distance")
        for ax in axes[-1]:
            ax.set_xlabel("equal letters")
        handles = [
            Line2D([], [], color=GREY, label="two classes"),
            Line2D([], [], color="black", ls=":", label="one class"),
            Line2D([], [], color="black", ls="--", lw=1, label="certified bound"),
        ]
        fig.legend(handles=handles, loc="outside upper center", ncols=3)
        plt.close(fig)
    return fig


def plane(seen: Mapping[str, Places], classes: Tensor) -> Figure:
    """Draw where sequences of the four classes go under a constant letter, seen by the read-out.

    Args:
        seen: by the letter that is held.
        classes: of the sequences.
    """
    with book_style():
        rows = (len(seen) + 1) // 2
        fig, axes = plt.subplots(
            rows, 2, figsize=(WIDTH, 0.52 * WIDTH * rows), sharex=True, sharey=True, squeeze=False
        )
        for ax, (letter, there) in zip(axes.flat, seen.items(), strict=False):
            path = evidence(there.path)
            for k, name in enumerate(CLASSES):
                chosen = path[:, classes == k]
                for track in chosen.unbind(1):
                    ax.plot(*track.T, color=FOUR[k], lw=0.7, alpha=0.6)
                dots = {"ms": 5, "mec": "white", "mew": 0.5}
                ax.plot(*chosen[there.end].T, "o", color=FOUR[k], label=name, **dots)
            for stop in there.attractors:
                cycle = len(stop) > 1
                ax.plot(
                    *evidence(stop).T, "k." if cycle else "ko", ms=3 if cycle else 11, mfc="none"
                )
            if len(there.unstable):
                ax.plot(*evidence(there.unstable).T, "kx", ms=6, mew=1.6)
            ax.set_title(f"constant {letter}", fontsize=10)
            ax.axhline(0, color=GREY, lw=0.6)
            ax.axvline(0, color=GREY, lw=0.6)
        for ax in axes[-1]:
            ax.set_xlabel("q first (log-odds)")
        for ax in axes[:, 0]:
            ax.set_ylabel("q second (log-odds)")
        handles, names = axes[0, 0].get_legend_handles_labels()
        handles += [
            Line2D([], [], color="black", marker="o", ms=10, mfc="none", ls=""),
            Line2D([], [], color="black", marker="x", mew=1.6, ls=""),
        ]
        fig.legend(
            handles,
            [*names, "attractor", "unstable"],
            loc="outside upper center",
            ncols=6,
            columnspacing=1,
            handletextpad=0.2,
        )
        plt.close(fig)
    return fig


def ends_by_epoch(counted: Mapping[str, tuple[np.ndarray, Ends]], letters: str = "pb") -> Figure:
    """Draw how many ends the recorded orbits show at each epoch, and how many starts move.

    Args:
        counted: by title, the epochs and what `rnnlib.training.ends` says of the
            samples, whose batch axes are epoch and input.
        letters: the constant inputs to show, one column each.
    """
    with book_style():
        fig, axes = plt.subplots(
            len(counted), len(letters), figsize=(WIDTH, 2.0 * len(counted) + 0.5),
            sharey=True, squeeze=False,
        )  # fmt: skip
        for row, (title, (epochs, found)) in zip(axes, counted.items(), strict=True):
            for ax, letter in zip(row, letters, strict=True):
                i = SYMBOLS.index(letter)
                starts = found.speed.shape[-1]
                ax.step(epochs, found.points[:, i], where="mid", color=BLUE, label="fixed points")
                ax.step(epochs, found.cycles[:, i], where="mid", color=GREEN, label="cycles")
                share = found.moving[:, i] + found.diverged[:, i]
                ax.fill_between(
                    epochs, share, step="mid", color=ORANGE, alpha=0.35, lw=0,
                    label=f"starts, of {starts}, that are on neither",
                )  # fmt: skip
                ax.set_title(f"{title}, input {letter}", fontsize=9.5)
                ax.set_ylim(0, starts + 0.5)
                ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
                ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            row[0].set_ylabel("count")
        for ax in axes[-1]:
            ax.set_xlabel("epoch")
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        plt.close(fig)
    return fig


def norms(
    curves: Mapping[str, tuple[Tensor, Tensor]], drift: float, window: tuple[int, int]
) -> Figure:
    """Draw how large the states of an orthogonal network are, from two kinds of start.

    Args:
        curves: by label, the steps and the norms, shapes ``(k,)`` and ``(k, starts)``.
        drift: the predicted change of the norm per step, drawn from the first curves' starts.
        window: the first and last step that the orbit diagrams show.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
        for (label, (steps, size)), colour in zip(curves.items(), (GREY, GREEN), strict=False):
            for k, track in enumerate(size.unbind(-1)):
                ax.plot(steps + 1, track, color=colour, lw=1, label=None if k else label)
        steps, size = next(iter(curves.values()))
        line = size[0].mean() + drift * steps
        ax.plot((steps + 1)[line > 0], line[line > 0], "k--", label="drift that the biases predict")
        ax.axvspan(window[0] + 1, window[1] + 1, color=ORANGE, alpha=0.25, lw=0)
        ax.plot([], [], "s", ms=9, color=ORANGE, alpha=0.4, label="shown in orbit diagrams")
        ax.set(xscale="log", yscale="log", xlabel="steps + 1", ylabel="norm of the state")
        fig.legend(loc="outside upper center", ncols=2)
        plt.close(fig)
    return fig

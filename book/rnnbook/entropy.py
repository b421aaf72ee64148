"""Figures of the chapter on information and entropy."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from rnnlib.dynamics import Entropy
from rnnlib.figures import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, book_style


def clouds(states: Mapping[int, Tensor], entropy: Tensor) -> Figure:
    """Draw a cloud of states at several times, with its differential entropy.

    Args:
        states: from the time to samples of the state, shape ``(samples, n_x)``; the first two
            components are drawn.
        entropy: ``H_t`` in nats at the times 0, 1, ..., shape ``(steps + 1,)``.
    """
    rows = -(-len(states) // 2)
    with book_style():
        fig, axes = plt.subplots(
            rows, 2, figsize=(WIDTH, 2.0 * rows), sharex=True, sharey=True, squeeze=False
        )
        for ax, (t, x) in zip(axes.flat, states.items(), strict=False):
            ax.plot(*x[:, :2].T, ".", color=BLUE, markersize=2, alpha=0.4, rasterized=True)
            ax.set_title(f"$t={t}$:  $H_t={entropy[t]:.1f}$ nats")
        for ax in axes[-1]:
            ax.set_xlabel("$h_1$")
        for ax in axes[:, 0]:
            ax.set_ylabel("$h_2$")
        plt.close(fig)
    return fig


def regions(runs: Mapping[str, Entropy], closed_form: Mapping[str, Tensor]) -> Figure:
    """Redraw figure 3: the region that the corrected bounds allow, the printed one, and H_t.

    Args:
        runs: from a panel's title to what `rnnlib.entropy_along` returned.
        closed_form: for some of the panels, exact entropies, shape ``(steps + 1,)``.
    """
    rows = -(-len(runs) // 2)
    with book_style():
        fig, axes = plt.subplots(rows, 2, figsize=(WIDTH, 2.4 * rows + 0.6), squeeze=False)
        for ax, (title, run) in zip(axes.flat, runs.items(), strict=False):
            t = np.arange(len(run.entropy))
            lowest, highest = float(run.entropy.min()), float(run.upper.max())
            room = max(0.25 * (highest - lowest), 0.5)
            bottom, top = lowest - room, max(highest, float(run.entropy[0])) + room
            ax.fill_between(
                t, run.lower, run.upper, color=BLUE, alpha=0.2, lw=0, label="corrected bounds"
            )
            ax.fill_between(
                t,
                run.upper,
                top,
                facecolor="none",
                edgecolor=GREY,
                alpha=0.7,
                hatch="///",
                lw=0,
                label="printed (4) allows only this",
            )
            ax.plot(t, run.upper, color=GREY, lw=1)
            ax.plot(t, run.entropy, color=ORANGE, lw=2, label="measured $H_t$")
            if title in closed_form:
                ax.plot(t, closed_form[title], "k.", markersize=4, label="closed form")
            ax.set(title=title, ylim=(bottom, top), xlim=(0, t[-1]))
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.yaxis.set_major_locator(MaxNLocator(5))
        for ax in axes[-1]:
            ax.set_xlabel("time step $t$")
        for ax in axes[:, 0]:
            ax.set_ylabel("entropy (nats)")
        _legend_below(fig, axes.flat)
        plt.close(fig)
    return fig


def measured_twice(runs: Mapping[str, tuple[Entropy, Tensor]]) -> Figure:
    """Set the entropy through the Jacobian beside the nearest-neighbour estimate.

    Args:
        runs: from a panel's title to the Jacobian's entropy and the neighbours' estimates with
            their standard errors, shape ``(steps + 1, 2)``.
    """
    rows = -(-len(runs) // 2)
    with book_style():
        fig, axes = plt.subplots(rows, 2, figsize=(WIDTH, 2.1 * rows + 0.5), squeeze=False)
        for ax, (title, (run, knn)) in zip(axes.flat, runs.items(), strict=False):
            t = np.arange(len(run.entropy))
            ax.errorbar(
                t, run.entropy, 2 * run.stderr, color=ORANGE, lw=2, label="through the Jacobian"
            )
            ax.errorbar(
                t,
                knn[:, 0],
                2 * knn[:, 1],
                fmt="o",
                color=BLUE,
                markersize=4,
                label="nearest neighbours",
            )
            ax.set_title(title)
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for ax in axes[-1]:
            ax.set_xlabel("time step $t$")
        for ax in axes[:, 0]:
            ax.set_ylabel("entropy (nats)")
        _legend_below(fig, axes.flat)
        plt.close(fig)
    return fig


def unsettled_estimates(counts: Sequence[int], estimates: Mapping[str, np.ndarray]) -> Figure:
    """Show nearest-neighbour estimates that keep falling as samples are added.

    Args:
        counts: the numbers of samples.
        estimates: from a label to the estimates, shape ``(len(counts),)``, in nats; each gets the
            straight line in log N that fits it best.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
        for (label, values), color, marker in zip(
            estimates.items(), (GREEN, BLUE, RED), "so^", strict=False
        ):
            line = np.polynomial.Polynomial.fit(np.log(counts), values, 1)
            ax.semilogx(counts, values, marker, color=color, label=label)
            ax.semilogx(counts, line(np.log(counts)), color=color, lw=1)
        ax.set(xlabel="number of samples", ylabel="estimated entropy (nats)")
        fig.legend(loc="outside lower center", ncols=1)
        plt.close(fig)
    return fig


def two_entropies(entropy: Tensor, times: Tensor, box: Tensor, exponent: float) -> Figure:
    """Show the differential entropy that falls above the box entropy that rises.

    Args:
        entropy: the differential entropy at the times 0, 1, ..., shape ``(steps + 1,)``.
        times: when the box entropy was taken, shape ``(times,)``.
        box: the box entropy, shape ``(times, clouds)``.
        exponent: the sum of the positive Lyapunov exponents, in nats per step.
    """
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True)
        top.plot(entropy, color=ORANGE, lw=2)
        top.set(ylabel="differential\nentropy (nats)", title="where exactly is the state?")
        bottom.plot(times, box, color=BLUE, lw=0.6, alpha=0.4)
        mean = box.mean(-1)
        bottom.plot(times, mean, color=BLUE, lw=2, label="mean over the clouds")
        middle = int((mean - 2).abs().argmin())
        rise = np.array([-1.0, 3.0])  # nats from there
        bottom.plot(
            float(times[middle]) + rise / exponent,
            float(mean[middle]) + rise,
            "--",
            color="black",
            label=f"slope {exponent:.3f}, the positive exponents",
        )
        bottom.set(
            xlabel="time step $t$", ylabel="box\nentropy (nats)", title="which box is the state in?"
        )
        fig.legend(*bottom.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def folds(maps: Mapping[str, tuple[Tensor, Tensor]], runs: Mapping[str, tuple]) -> Figure:
    """Draw maps that fold, and below each what the Jacobian and the samples say of the entropy.

    Args:
        maps: from a column's title to ``x`` and ``f(x)``, each of shape ``(points,)``.
        runs: from the same title to the pair that `measured_twice` takes.
    """
    with book_style():
        fig, axes = plt.subplots(2, len(maps), figsize=(WIDTH, 5.0), squeeze=False)
        for column, (title, (x, y)) in zip(axes.T, maps.items(), strict=True):
            column[0].plot(x, y, color=GREEN, lw=2)
            column[0].plot(x, x, color=GREY, lw=1, ls=":")
            column[0].set(title=title, xlabel="$x_t$", ylabel="$x_{t+1}$")
            run, knn = runs[title]
            t = np.arange(len(run.entropy))
            column[1].plot(t, run.entropy, color=ORANGE, lw=2, label="$H_0$ + sum of E log|det A|")
            column[1].errorbar(
                t,
                knn[:, 0],
                2 * knn[:, 1],
                fmt="o",
                color=BLUE,
                markersize=4,
                label="nearest neighbours",
            )
            column[1].fill_between(
                t, knn[:, 0], run.entropy, color=GREY, alpha=0.2, lw=0, label="lost in the fold"
            )
            column[1].set(xlabel="time step $t$", ylabel="entropy (nats)")
            column[1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _legend_below(fig, axes[1])
        plt.close(fig)
    return fig


def _legend_below(fig: Figure, axes) -> None:
    """Put one legend under all panels, with each label once."""
    found = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=2)

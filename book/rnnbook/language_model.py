"""Figures of the chapter on the word-level language model."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FormatStrFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from torch import Tensor

from rnnlib.figures import GREY, PALETTE, SEQUENTIAL, WIDTH, book_style
from rnnlib.language import LanguageSamples

MARKERS = ("o", "s", "^", "v", "D")


def two_ways(constant: Tensor, closed: Tensor, word: str, labels: Sequence[str]) -> Figure:
    """Draw the mean logit of copies of one network: under a constant word, and in closed loop.

    Args:
        constant: shape ``(steps, starts)``.
        closed: of the same shape.
        word: the constant word.
        labels: what each start writes in closed loop.
    """
    with book_style():
        fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 1.0 * WIDTH), sharex=True)
        styles = list(zip(PALETTE, MARKERS * 2, strict=False))
        for curves, ax in zip((constant, closed), axes, strict=True):
            for curve, label, (colour, marker) in zip(curves.T, labels, styles, strict=False):
                ax.plot(curve, "-", marker=marker, ms=3.5, lw=1, color=colour, label=label)
            ax.set(ylabel="mean of all logits")
        axes[0].set_title(f"input: “{word}” at every step")
        axes[1].set_title("input: the word that it has just chosen")
        axes[1].set_xlabel("words")
        fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def perplexities(
    runs: Mapping[str, Sequence[pd.DataFrame]], levels: Mapping[str, float] | None = None
) -> Figure:
    """Draw figure 9: the perplexity on the validation text after every epoch.

    Args:
        runs: by label, the histories of one or more seeds; of several the median is drawn, with a
            band from the least to the greatest.
        levels: perplexities to mark, by label.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.8 * WIDTH))
        styles = zip(PALETTE, MARKERS, strict=False)
        for (label, histories), (colour, marker) in zip(runs.items(), styles, strict=False):
            length = min(map(len, histories))
            values = np.stack([h["valid_perplexity"].to_numpy()[:length] for h in histories])
            epoch = np.arange(1, length + 1)
            mark = marker if length <= 30 else None
            seeds = f" ({len(histories)} seeds)" if len(histories) > 1 else ""
            ax.semilogy(
                epoch, np.median(values, 0), marker=mark, ms=5, color=colour, label=label + seeds
            )
            if len(histories) > 1:
                ax.fill_between(epoch, values.min(0), values.max(0), color=colour, alpha=0.2, lw=0)
        for label, value in (levels or {}).items():
            ax.axhline(value, color=GREY, ls="--", lw=1)
            ax.annotate(
                label, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                fontsize=8.5,
            )  # fmt: skip
        ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 1.5, 2, 3, 4, 5, 7)))
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="epoch", ylabel="perplexity, validation text")
        fig.legend(loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def orbit_diagrams(
    runs: Mapping[str, LanguageSamples], held: int, word: str, column: int = 0, name: str = "mean"
) -> Figure:
    """Draw figure 8: what one logit visits after the burn-in, over the epochs of training.

    Args:
        runs: by title, the samples of a model.
        held: which of the recorded words is the constant input, and the first one in closed loop.
        word: that word.
        column: which of the projections; 0 is the mean of all logits.
        name: its name.
    """
    rows = [(f"{title}\nlogit ({name})", samples, column) for title, samples in runs.items()]
    return _held_and_closed(rows, held, word, sharex="row")  # the runs end at other epochs


def projections(samples: LanguageSamples, held: int, word: str, names: Sequence[str]) -> Figure:
    """Draw supplementary figures 5 to 7: several projections of one model's free runs.

    Args:
        samples: of one model.
        held: as in `orbit_diagrams`.
        word: as there.
        names: of the projections, in the order recorded.
    """
    rows = [(f"logit, {name}", samples, column) for column, name in enumerate(names)]
    return _held_and_closed(rows, held, word, sharex=True)


def _held_and_closed(rows, held, word, sharex) -> Figure:
    """Draw a row of two orbit diagrams for each label, samples and column."""
    with book_style():
        fig, axes = plt.subplots(
            len(rows), 2, figsize=(WIDTH, 1.45 * len(rows) + 0.6), sharex=sharex, squeeze=False
        )
        for row, (label, samples, column) in zip(axes, rows, strict=True):
            for ax, orbits in zip(row, (samples.constant, samples.closed), strict=True):
                _visited(ax, samples.epochs, orbits[:, :, held, :, column])
            row[0].set_ylabel(label, fontsize=10)
        axes[0, 0].set_title(f"constant word “{word}”", fontsize=10)
        axes[0, 1].set_title("closed loop", fontsize=10)
        for ax in axes[-1]:
            ax.set_xlabel("epoch")
        plt.close(fig)
    return fig


def _visited(ax, epochs: np.ndarray, orbits: np.ndarray) -> None:
    """Draw orbits ``(epochs, steps, starts)`` as dots, each start in its colour."""
    starts = orbits.shape[2]
    gap = np.diff(epochs).min(initial=1) if len(epochs) > 1 else 1
    shift = 0.5 * gap * (np.arange(starts) / max(starts - 1, 1) - 0.5)  # so that all are seen
    for k, colour in zip(range(starts), PALETTE, strict=False):
        x = np.repeat(epochs + shift[k], orbits.shape[1])
        ax.plot(x, orbits[:, :, k].ravel(), ".", ms=2, color=colour, rasterized=True)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def settling(runs: Mapping[str, LanguageSamples]) -> Figure:
    """Draw over the epochs how a constant word contracts, and how long closed loops take to cycle.

    Args:
        runs: by label, the samples of a model.
    """
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, WIDTH), sharex=True)
        styles = zip(PALETTE, MARKERS, strict=False)
        for (label, samples), (colour, marker) in zip(runs.items(), styles, strict=False):
            mark = marker if len(samples.epochs) <= 30 else None
            axes = (1, 2)
            top.plot(
                samples.epochs, samples.exponent.max(axes), marker=mark, ms=4, color=colour,
                label=label,
            )  # fmt: skip
            cycling = np.where(samples.period > 0, samples.transient, np.nan)
            longest = [np.max(c) if np.isfinite(c).all() else np.nan for c in cycling]
            bottom.plot(samples.epochs, longest, marker=mark, ms=4, color=colour)
            bottom.plot(
                samples.epochs, np.nanmedian(np.nan_to_num(cycling, nan=np.inf), axes), ls=":",
                color=colour,
            )  # fmt: skip
        top.axhline(0, color="black", lw=1)
        top.set(ylabel="largest exponent, nats")
        bottom.set(xlabel="epoch", ylabel="words before the cycle", yscale="log")
        bottom.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        bottom.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        bottom.yaxis.set_minor_locator(NullLocator())
        bottom.plot([], [], color="black", label="longest")
        bottom.plot([], [], color="black", ls=":", label="median")
        bottom.legend(loc="best", ncols=2)
        bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
        fig.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def context(measured: Mapping[str, tuple[Sequence[int], Tensor]]) -> Figure:
    """Draw the perplexity on the same words after reading more and more of what came before.

    The bars are one standard error of what differs between contexts; how hard the words are for
    all of them alike is taken out first.

    Args:
        measured: by label, the numbers of words read and what
            `rnnlib.language.loss_by_context` returns for them.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.8 * WIDTH))
        styles = zip(PALETTE, MARKERS, strict=False)
        for (label, (lengths, loss)), (colour, marker) in zip(
            measured.items(), styles, strict=False
        ):
            mean = loss.mean(0)
            error = (loss - loss.mean(1, keepdim=True)).std(0) / len(loss) ** 0.5
            low, high = mean.exp() - (mean - error).exp(), (mean + error).exp() - mean.exp()
            ax.errorbar(
                lengths, mean.exp(), [low, high], marker=marker, ms=4.5, lw=1.5, capsize=2,
                color=colour, label=label,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log", ylabel="perplexity")
        ax.set_xlabel("words read before, from the zero state")
        low, high = ax.get_ylim()
        if high < 10 * low:
            ax.yaxis.set_major_locator(MaxNLocator(6))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FormatStrFormatter("%g"))
            axis.set_minor_formatter(NullFormatter())
        fig.legend(loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def merging(temperature: Tensor, apart: Tensor, times: Mapping[str, Tensor], title: str) -> Figure:
    """Draw how long two copies with the same noise stay apart.

    Args:
        temperature: shape ``(T,)``.
        apart: the share of pairs still apart, for one model, shape ``(steps, T)``.
        times: by label, the median time until the words agree for good, shape ``(T,)``.
        title: names that model.
    """
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 1.15 * WIDTH))
        colours = plt.get_cmap(SEQUENTIAL)(np.linspace(0, 0.92, len(temperature)))
        for t, curve, colour in zip(temperature.tolist(), apart.T, colours, strict=True):
            top.plot(curve, color=colour, label=f"T = {t:g}")
        top.set(xlabel="words", ylabel="share of pairs apart", ylim=(-0.03, 1.03))
        top.set_title(title)
        top.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        positive = temperature > 0
        for (label, time), colour, marker in zip(times.items(), PALETTE, MARKERS, strict=False):
            shown = time[positive].isfinite()
            bottom.semilogy(
                (1 / temperature[positive])[shown], time[positive][shown], marker=marker,
                color=colour, label=label,
            )  # fmt: skip
        bottom.set(xlabel="1 / T", ylabel="median time to merge, words")
        bottom.legend(loc="lower right")
        plt.close(fig)
    return fig


def noisy_cycle(temperature: Tensor, visited: Tensor) -> Figure:
    """Draw what the mean logit visits at each temperature.

    Args:
        temperature: shape ``(T,)``.
        visited: shape ``(steps, T, texts)``.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.7 * WIDTH))
        for k, colour in zip(range(visited.shape[2]), PALETTE, strict=False):
            x = temperature.expand(len(visited), -1)
            ax.plot(x, visited[:, :, k], ".", ms=1.6, color=colour, alpha=0.6, rasterized=True)
        ax.set(xlabel="temperature T", ylabel="mean of all logits")
        plt.close(fig)
    return fig


def temperatures(
    temperature: Tensor,
    entropy: Mapping[str, Tensor],
    possible: Mapping[str, Sequence[float]],
    rate: float,
) -> Figure:
    """Draw the entropy rate of what models write, and the share of possible sentences.

    Args:
        temperature: shape ``(T,)``.
        entropy: by label, in nats per word, shape ``(T,)``.
        possible: by label, shares of the sentences that the source could have written.
        rate: the source's own entropy rate.
    """
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 1.05 * WIDTH), sharex=True)
        styles = zip(PALETTE, MARKERS, strict=False)
        for (label, values), (colour, marker) in zip(entropy.items(), styles, strict=False):
            top.plot(temperature, values, marker=marker, ms=4, color=colour, label=label)
            bottom.plot(temperature, possible[label], marker=marker, ms=4, color=colour)
        top.axhline(rate, color="black", ls="--", lw=1, label="the language itself")
        bottom.axhline(1, color="black", ls="--", lw=1)
        top.axvline(1, color=GREY, lw=0.8)
        bottom.axvline(1, color=GREY, lw=0.8)
        top.set(ylabel="entropy, nats per word")
        bottom.set(xlabel="temperature T", ylabel="possible sentences", ylim=(None, 1.04))
        fig.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig

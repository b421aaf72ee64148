"""Figures of the chapter on diagnosing training: loss curves beside what a report measured."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from rnnlib.diagnosis import Report
from rnnlib.figures import BLUE, GREY, ORANGE, WIDTH, book_style

COLORS = (ORANGE, BLUE)


def _losses(ax, curves: Mapping[str, Sequence[float]]) -> None:
    for (name, losses), color in zip(curves.items(), COLORS, strict=True):
        ax.semilogy(np.arange(1, len(losses) + 1), losses, color=color, label=name)
    ax.set(xlabel="epoch", ylabel="loss", title="Training")
    ax.legend()


def case(
    curves: Mapping[str, Sequence[float]], reports: Mapping[str, Report], lag: int | None
) -> Figure:
    """Draw loss curves, and the influence of inputs against the lag.

    Args:
        curves: losses by network.
        reports: for the same networks, with an answer to "influence".
        lag: where to draw a line: how far back the task asks.
    """
    with book_style():
        figure, (above, below) = plt.subplots(2, 1, figsize=(WIDTH, 5.6))
        _losses(above, curves)
        for (name, report), color in zip(reports.items(), COLORS, strict=True):
            e = report.answers["influence"].evidence
            curve = np.where(e["of_input"] > 0, e["of_input"], np.nan)
            below.semilogy(e["lag"], curve, color=color, label=name)
        if lag is not None:
            below.axvline(lag - 1, color=GREY, ls="--", lw=1)
        below.set(xlabel="lag (steps)", ylabel="norm", title="Influence on the last output")
        below.locator_params(axis="x", nbins=5)
        plt.close(figure)
    return figure


def rough_case(curves: Mapping[str, Sequence[float]], reports: Mapping[str, Report]) -> Figure:
    """Draw loss curves, and the cost along the gradient close to the first weights.

    Args:
        curves: losses by network.
        reports: for the same networks, with an answer to "cost".
    """
    with book_style():
        figure, (above, below) = plt.subplots(2, 1, figsize=(WIDTH, 5.6))
        _losses(above, curves)
        for (name, report), color in zip(reports.items(), COLORS, strict=True):
            line = report.answers["cost"].evidence["near"]
            change = line["cost"] - line["cost"][len(line["cost"]) // 2]
            size = np.abs(change).max() or 1.0
            below.plot(100 * line["at"], change / size, ".-", ms=3, color=color, label=name)
        below.set(
            xlabel="distance, per cent of the weights' size", ylabel="change / its largest",
            title="Cost along the gradient, before training",
        )  # fmt: skip
        below.locator_params(axis="x", nbins=5)
        plt.close(figure)
    return figure

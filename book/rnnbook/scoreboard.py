"""Figures of the discussion: the paper's table 1 beside our runs."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnlib.figures import BLUE, GREEN, ORANGE, WIDTH, book_style
from rnnlib.runs import Score
from rnnlib.training import LABELS

COLOURS = {"lstm": BLUE, "slstm": ORANGE, "ornn": GREEN}


def accuracies(panels: dict[str, Sequence[Score]]) -> Figure:
    """Draw accuracy against length: the paper's numbers as lines, each run of ours as a dot.

    Runs on their way are rings, at the accuracy that they have reached.

    Args:
        panels: the scores of table 1 by the title of their panel, see
            `rnnlib.runs.scores`.
    """
    with book_style():
        figure, axes = plt.subplots(
            len(panels), sharex=True, figsize=(WIDTH, 0.6 + 2.2 * len(panels)), squeeze=False
        )
        for ax, (title, scores) in zip(axes[:, 0], panels.items(), strict=True):
            lengths = sorted({s.claim.settings["length"] for s in scores})
            for shift, (model, colour) in zip((0.97, 1.0, 1.03), COLOURS.items(), strict=True):
                ours = [s for s in scores if s.claim.settings.get("model") == model]
                at = np.array([s.claim.settings["length"] for s in ours])
                values = [s.claim.value for s in ours]
                ax.plot(at, values, color=colour, lw=1, alpha=0.6)
                for length, score in zip(at, ours, strict=True):
                    for runs, face in ((score.last, colour), (score.so_far, "none")):
                        near = np.full(len(runs), shift * length)
                        ax.scatter(near, runs, s=24, facecolor=face, edgecolor=colour, zorder=3)
            ax.axhline(0.25, color="black", ls=":", lw=1)
            ax.set(title=title, ylim=(0.15, 1.05), ylabel="validation accuracy", xscale="log")
            ax.set_xticks(lengths, [str(n) for n in lengths])
            ax.minorticks_off()
        axes[-1, 0].set_xlabel("length of the sequences, steps (log scale)")
        handles = [Line2D([], [], color=c, label=LABELS[m]) for m, c in COLOURS.items()]
        handles += [
            Line2D([], [], color="grey", lw=1, label="the paper"),
            Line2D([], [], color="grey", marker="o", ls="", label="a run of ours"),
            Line2D([], [], color="grey", marker="o", ls="", mfc="none", label="unfinished"),
            Line2D([], [], color="black", ls=":", lw=1, label="guessing"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    plt.close(figure)
    return figure

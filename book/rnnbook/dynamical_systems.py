"""The figures of the chapter on recurrent networks as dynamical systems."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from rnnlib.figures import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, book_style


def teacher_forcing(length: int = 3) -> Figure:
    """Draw figure 2: a network fed with observed outputs, and one fed with its own.

    Args:
        length: how many steps to unroll.
    """
    with book_style():
        figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 5.6))
        arrow = {
            "arrowstyle": "-|>",
            "color": "black",
            "linewidth": 1.2,
            "shrinkA": 13,
            "shrinkB": 13,
        }
        titles = "(a) teacher forcing: z is the observed y", "(b) closed loop: z is the model's own"
        for axis, title in zip(axes, titles, strict=True):
            closed = axis is axes[1]
            axis.set_title(title)
            axis.axis("off")
            axis.set(xlim=(-1.0, 2 * length + 0.4), ylim=(-0.6, 2.5))

            def node(x, y, text, colour, axis=axis):
                box = {"boxstyle": "round,pad=0.35", "facecolor": colour, "alpha": 0.35}
                axis.text(x, y, text, ha="center", va="center", fontsize=11, bbox=box)

            for t in range(length):
                x = 2 * t
                sub = "t" if t == 0 else f"t+{t}"
                before = "t-1" if t == 0 else ("t" if t == 1 else f"t+{t - 1}")
                node(x, 1, f"$x_{{{sub}}}$", BLUE)
                node(x + 0.9, 2.1, rf"$\hat y_{{{sub}}}$", GREEN)
                axis.annotate("", (x + 2, 1), (x, 1), arrowprops=arrow)
                axis.annotate("", (x + 0.9, 2.1), (x, 1), arrowprops=arrow)
                if not closed or t == 0:
                    hat = r"\hat y" if closed else "y"
                    node(x, -0.2, f"${hat}_{{{before}}}$", ORANGE)
                    axis.annotate("", (x, 1), (x, -0.2), arrowprops=arrow)
                if closed and t + 1 < length:
                    bend = {**arrow, "color": RED, "connectionstyle": "arc3,rad=-0.35"}
                    axis.annotate("", (x + 2, 1), (x + 0.9, 2.1), arrowprops=bend)
        plt.close(figure)
    return figure


def open_and_closed(observed, predicted, closed) -> Figure:
    """Draw a predictor's one-step answers beside what it does on its own.

    Args:
        observed: the data, shape ``(steps,)``.
        predicted: with teacher forcing, shape ``(steps,)``.
        closed: runs of the closed loop from several starts, shape ``(steps, starts)``.
    """
    t = np.arange(len(observed))
    with book_style():
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True)
        top.plot(t, observed, ".", color=GREY, markersize=5, label="observed $y_t$")
        top.plot(t, predicted, color=BLUE, linewidth=1.2, label=r"predicted $\hat y_t$")
        top.set(ylabel="output", title="(a) teacher forcing", ylim=(-1.5, 1.9))
        top.legend(ncols=2, loc="upper right")
        bottom.plot(np.arange(len(closed)), closed, color=RED, linewidth=1, alpha=0.7)
        bottom.set(xlabel="step $t$", ylabel="output", title="(b) closed loop, several starts")
        plt.close(figure)
    return figure


def merging_and_parting(open_states, closed_states) -> Figure:
    """Draw many starts of one network: merging with the input given, parting in closed loop.

    Args:
        open_states: shape ``(steps, starts)``.
        closed_states: shape ``(steps, starts)``.
    """
    with book_style():
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3), sharey=True, sharex=True)
        for axis, states, title in (
            (axes[0], open_states, "(a) input given"),
            (axes[1], closed_states, "(b) output fed back"),
        ):
            axis.plot(states, color=BLUE, linewidth=0.9, alpha=0.6)
            axis.set(xlabel="step $t$", title=title)
        axes[0].set_ylabel("output $y_t$")
        plt.close(figure)
    return figure

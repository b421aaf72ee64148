"""Figures of the chapter on the smoothness of the cost."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from rnnlib.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, book_style


def cost_curves(s: np.ndarray, curves: Mapping[str, np.ndarray], span=None) -> Figure:
    """Draw cost curves over the same s, one panel below the other.

    Args:
        s: shape ``(points,)``.
        curves: title to values of shape ``(points,)``.
        span: an interval of s to shade, or None.
    """
    with book_style():
        figure, axes = plt.subplots(
            len(curves), 1, figsize=(WIDTH, 1.4 * len(curves) + 0.5), sharex=True, squeeze=False
        )
        for axis, (title, values) in zip(axes[:, 0], curves.items(), strict=True):
            axis.plot(s, values, color=BLUE, lw=0.6, rasterized=True)
            if span is not None:
                axis.axvspan(*span, color=ORANGE, alpha=0.12, lw=0)
            axis.set(title=title, ylabel="cost V(s)")
        axes[-1, 0].set(xlabel="s", xlim=(s.min(), s.max()))
        plt.close(figure)
    return figure


def bounds_and_measurements(rows: Sequence[dict]) -> Figure:
    """Draw bounds on the two Lipschitz constants over what was measured, a row per system.

    Args:
        rows: dictionaries with ``name``; ``lengths``; ``measured``, a pair of arrays of shape
            ``(losses, lengths)``; ``bounds``, label to a pair of arrays of shape ``(n,)`` for the
            first loss; ``losses``, their names; ``exponential``, whether N is drawn linearly.
    """
    styles = [(RED, "--"), (BLUE, "-"), (PURPLE, ":")]
    with book_style():
        figure, axes = plt.subplots(len(rows), 2, figsize=(WIDTH, 2.5 * len(rows) + 0.9))
        for row, pair in zip(rows, np.atleast_2d(axes), strict=True):
            for k, axis in enumerate(pair):
                for (label, bound), (colour, dash) in zip(
                    row["bounds"].items(), styles, strict=False
                ):
                    n = np.arange(1, len(bound[k]) + 1)
                    axis.plot(n, bound[k], dash, color=colour, label=label)
                for name, values, marker in zip(
                    row["losses"], row["measured"][k], "os", strict=True
                ):
                    axis.plot(
                        row["lengths"], values, marker, ms=4.5, label=f"measured, {name}",
                        color=GREEN if marker == "o" else ORANGE,
                    )  # fmt: skip
                axis.set(yscale="log", xscale="linear" if row["exponential"] else "log")
                axis.set_title(f"{row['name']}\n{'slope' if k == 0 else 'curvature'}", fontsize=10)
            pair[0].set_ylabel("Lipschitz constant")
        for axis in np.atleast_2d(axes)[-1]:
            axis.set_xlabel("length N")
        handles, labels = np.atleast_2d(axes)[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        plt.close(figure)
    return figure


def density_of_minima(
    spacings: Sequence[float], densities: Mapping[int, np.ndarray], regular: np.ndarray
) -> Figure:
    """Draw the number of local minima per unit of s against the distance between samples.

    Args:
        spacings: distances between samples, shape ``(spacings,)``.
        densities: N to mean densities in the chaotic region, shape ``(spacings,)``.
        regular: the same for the largest N in the regular region.
    """
    at = np.asarray(spacings)
    with book_style():
        figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
        colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(densities)))
        axis.plot(at, 1 / (3 * at), "--", color=GREY, lw=1, label="white noise")
        for colour, (n, values) in zip(colours, densities.items(), strict=True):
            seen = values > 0
            axis.plot(at[seen], values[seen], "o-", ms=4, color=colour, label=f"N = {n}")
        seen = regular > 0
        last = max(densities)
        axis.plot(at[seen], regular[seen], "s-", ms=4, color=RED, label=f"N = {last}, s < 0.85")
        axis.set(xscale="log", yscale="log", xlabel="distance between samples of s")
        axis.set(ylabel="local minima per unit of s")
        axis.invert_xaxis()
        axis.legend(ncols=2, loc="upper left")
        plt.close(figure)
    return figure


def growth_along(lengths, chaotic, regular, exponent: float, steepest: float) -> Figure:
    """Draw the growth of the cost's derivatives with N, for chaotic and for regular s.

    Args:
        lengths: the values of N.
        chaotic: first and second derivatives, each of shape ``(lengths, points)``.
        regular: the same for regular s.
        exponent: the median Lyapunov exponent of the chaotic s.
        steepest: the largest one.
    """
    lengths = np.asarray(lengths, dtype=float)
    with book_style():
        figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True)
        for order, axis in enumerate(axes, start=1):
            for name, values, colour in (("chaotic", chaotic, BLUE), ("regular", regular, RED)):
                size = np.abs(np.asarray(values[order - 1]))
                axis.plot(lengths, np.median(size, 1), "o-", color=colour, label=f"{name}, median")
                axis.plot(lengths, size.max(1), "^--", color=colour, label=f"{name}, largest")
            for rate, dash, label in ((exponent, ":", "median"), (steepest, "-.", "largest")):
                anchor = np.abs(np.asarray(chaotic[order - 1]))
                anchor = np.median(anchor[0]) if label == "median" else anchor[0].max()
                line = anchor * np.exp(order * rate * (lengths - lengths[0]))
                power = "" if order == 1 else "2"
                axis.plot(
                    lengths,
                    line,
                    dash,
                    color=GREY,
                    label=rf"$e^{{{power}\lambda N}}$, {label} $\lambda$",
                )
            axis.set(yscale="log", ylabel="|V'(s)|" if order == 1 else "|V''(s)|")
        axes[1].set_xlabel("length N")
        axes[0].legend(ncols=2)
        plt.close(figure)
    return figure


def where_descent_ends(starts, ends: Mapping[str, np.ndarray], span) -> Figure:
    """Draw where descent ends against where it started, one panel for each setting.

    Args:
        starts: shape ``(starts,)``.
        ends: title to end points, shape ``(starts,)``.
        span: the limits of s that are drawn; ends outside, and NaN,
            lie on the edge.
    """
    rows = (len(ends) + 1) // 2
    with book_style():
        figure, axes = plt.subplots(
            rows, 2, figsize=(WIDTH, 2.3 * rows), sharex=True, sharey=True, squeeze=False
        )
        for axis, (title, end) in zip(axes.flat, ends.items(), strict=True):
            outside = ~((end >= span[0]) & (end <= span[1]))  # NaN too
            axis.axhline(1, color=ORANGE, lw=1)
            axis.plot(
                [starts.min(), starts.max()], [starts.min(), starts.max()], color=GREY, lw=0.8
            )
            axis.plot(starts[~outside], end[~outside], ".", ms=4, color=BLUE)
            axis.plot(
                starts[outside],
                np.clip(np.nan_to_num(end[outside], nan=np.inf), *span),
                "x",
                ms=4,
                color=RED,
            )
            axis.set_title(title)
            axis.set(ylim=(span[0] - 0.05, span[1] + 0.05))
        for axis in axes[-1]:
            axis.set_xlabel("start s")
        for axis in axes[:, 0]:
            axis.set_ylabel("end s")
        plt.close(figure)
    return figure


def success_of_windows(windows, success: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw the fraction of runs that find the true weights against the windows' length.

    Args:
        windows: the lengths m.
        success: label to the fractions, shape ``(windows,)``, and the ends of their confidence
            intervals, shape ``(2, windows)``.
    """
    with book_style():
        figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
        for k, (label, (fraction, interval)) in enumerate(success.items()):
            shift = 1.0 + 0.03 * k
            axis.errorbar(
                np.asarray(windows) * shift,
                fraction,
                yerr=np.abs(interval - fraction),
                fmt="osD^"[k % 4] + "-",
                capsize=3,
                label=label,
            )
        axis.set(xscale="log", xlabel="window length m", ylabel="fraction recovered")
        axis.set_xticks(windows, [str(m) for m in windows])
        axis.minorticks_off()
        axis.set_ylim(-0.04, 1.04)
        axis.legend(title="perturbation of the weights")
        plt.close(figure)
    return figure

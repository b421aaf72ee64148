"""The figures of the chapter on the chaotic LSTM, and the picture of the landing page."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rnnlib.figures import BLUE, GREY, ORANGE, RED, SEQUENTIAL, WIDTH, book_style

DOTS = {"marker": ".", "linestyle": "none", "rasterized": True}


def _shade(axis, s, exponents) -> None:
    """Tint the values of s where the exponent is positive."""
    low, high = axis.get_ylim()
    axis.fill_between(s, low, high, where=exponents > 0, color=ORANGE, alpha=0.15, linewidth=0)
    axis.set_ylim(low, high)


def orbit_cost_exponent(s, orbit, cost, exponents) -> Figure:
    """Draw figure 1, (a) and (b), with the largest Lyapunov exponent under it.

    Args:
        s: shape ``(S,)``.
        orbit: the visited values, shape ``(steps, S)``.
        cost: shape ``(S,)``.
        exponents: the largest exponent at each s, shape ``(S,)``, in nats per step.
    """
    with book_style():
        figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(WIDTH, 7.2), sharex=True)
        columns = np.broadcast_to(s, orbit.shape)
        top.plot(columns.ravel(), orbit.ravel(), color="black", markersize=0.4, alpha=0.25, **DOTS)
        top.set(ylabel="$h_1$, steady state", title="(a) orbit diagram")
        middle.plot(s, cost, color=BLUE, linewidth=0.7)
        middle.set(ylabel="cost $V(s)$", title="(b) cost, equation (2)")
        bottom.axhline(0, color=GREY, linewidth=1)
        bottom.plot(s, exponents, color=RED, linewidth=0.7)
        bottom.set(
            xlabel="$s$",
            ylabel="exponent (nats/step)",
            title="(c) largest Lyapunov exponent",
            ylim=(-0.8, None),
            xlim=(s.min(), s.max()),
        )
        for axis in (top, middle, bottom):
            _shade(axis, s, exponents)
        plt.close(figure)
    return figure


def zooms(levels) -> Figure:
    """Draw the cost at successive magnifications, each panel the tinted stretch of the one above.

    Args:
        levels: pairs ``(s, cost)`` of arrays of shape ``(S,)``, the widest first.
    """
    with book_style():
        figure, axes = plt.subplots(len(levels), 1, figsize=(WIDTH, 1.9 * len(levels)))
        for level, (axis, (s, cost)) in enumerate(zip(axes, levels, strict=True)):
            width = s[-1] - s[0]
            axis.plot(s - 1, cost, color=BLUE, linewidth=0.7)
            axis.set(xlim=(s[0] - 1, s[-1] - 1), ylabel="cost", title=f"{width:.2g} wide")
            axis.ticklabel_format(axis="x", style="sci", scilimits=(-2, 2))
            if level + 1 < len(levels):
                inner = levels[level + 1][0]
                axis.axvspan(inner[0] - 1, inner[-1] - 1, color=ORANGE, alpha=0.5)
        axes[-1].set_xlabel("$s - 1$")
        plt.close(figure)
    return figure


def cost_plane(s1, s2, cost) -> Figure:
    """Draw supplementary figure 1 as a surface and as a map.

    Args:
        s1: shape ``(A,)``.
        s2: shape ``(B,)``.
        cost: shape ``(A, B)``.
    """
    with book_style():
        figure = plt.figure(figsize=(WIDTH, 8))
        grid = figure.add_gridspec(2, 1, height_ratios=(1.15, 1))
        above: Any = figure.add_subplot(grid[0], projection="3d")  # mpl_toolkits has no types
        mesh = np.meshgrid(s1, s2, indexing="ij")
        above.plot_surface(
            *mesh, cost, cmap=SEQUENTIAL, rcount=len(s1), ccount=len(s2), linewidth=0,
            antialiased=False, rasterized=True,
        )  # fmt: skip
        above.view_init(elev=45, azim=-65)
        above.set(xlabel="$s_1$", ylabel="$s_2$", zlabel="cost $V$")
        above.locator_params(nbins=4)
        below = figure.add_subplot(grid[1])
        colours = below.pcolormesh(s1, s2, cost.T, cmap=SEQUENTIAL, rasterized=True)
        below.plot(1, 0, marker="*", markersize=13, color=RED, markeredgecolor="white")
        below.annotate(
            "true parameters", (1, 0), (1.08, 0.06), color="white", fontsize=10, fontweight="bold"
        )
        below.set(xlabel="$s_1$", ylabel="$s_2$")
        below.grid(False)
        figure.colorbar(colours, ax=below, label="cost $V$")
        plt.close(figure)
    return figure


def strange_attractor(h) -> Figure:
    """Draw the attractor in the plane of the outputs, and a part of it magnified.

    Args:
        h: the visited outputs, shape ``(steps, 2)``.
    """
    centre = h[len(h) // 2]
    half = 0.04 * np.ptp(h, axis=0)
    near = h[(np.abs(h - centre) < half).all(axis=1)]
    with book_style():
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 8))
        top.plot(*h.T, color=BLUE, markersize=0.5, alpha=0.4, **DOTS)
        corner = centre - half
        top.add_patch(Rectangle(corner, *(2 * half), fill=False, color=RED, linewidth=1.5))
        top.set(xlabel="$h_1$", ylabel="$h_2$", title="(a) the attractor")
        bottom.plot(*near.T, color=BLUE, markersize=2, alpha=0.6, **DOTS)
        bottom.set(xlabel="$h_1$", ylabel="$h_2$", title="(b) the box in (a), magnified")
        plt.close(figure)
    return figure


def lost_signs(s, exponents, printed_exponents) -> Figure:
    """Draw the largest exponent for the two readings of the weights.

    Args:
        s: shape ``(S,)``.
        exponents: with the authors' scripts' weights, shape ``(S,)``.
        printed_exponents: with the printed weights, shape ``(S,)``.
    """
    with book_style():
        figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True, sharey=True)
        for axis, values, title in (
            (axes[0], exponents, "with the minus signs, as in the authors' scripts"),
            (axes[1], printed_exponents, "as printed"),
        ):
            axis.axhline(0, color=GREY, linewidth=1)
            axis.plot(s, values, color=RED, linewidth=0.7)
            axis.axvline(1, color=BLUE, linewidth=1, linestyle="--", label="$s = 1$")
            axis.set(ylabel="exponent", title=title, ylim=(-0.8, 0.45))
            _shade(axis, s, values)
        axes[0].legend(loc="lower right")
        axes[1].set(xlabel="$s$", xlim=(s.min(), s.max()))
        plt.close(figure)
    return figure


def sensitivity(distances, exponent: float) -> Figure:
    """Draw the distance of two orbits that began close together, with the exponent's slope.

    Args:
        distances: shape ``(steps,)``.
        exponent: the largest exponent, in nats per step.
    """
    t = np.arange(len(distances))
    with book_style():
        figure, axis = plt.subplots(figsize=(WIDTH, 3))
        axis.semilogy(t, distances, color=BLUE, linewidth=1, label="two orbits")
        line = distances[0] * np.exp(exponent * t)
        shown = line < distances.max()
        axis.semilogy(
            t[shown], line[shown], color=RED, linestyle="--",
            label=rf"slope $\lambda_1$ = {exponent:.3f}",
        )  # fmt: skip
        axis.set(xlabel="step $t$", ylabel="distance")
        axis.legend()
        plt.close(figure)
    return figure


def needle(distance, cost, width: float) -> Figure:
    """Draw the cost against the distance from the true parameter, on logarithmic axes.

    Args:
        distance: ``|s - 1|``, shape ``(S,)``.
        cost: shape ``(S,)``.
        width: the distance at which the largest Lyapunov exponent predicts the needle's edge.
    """
    with book_style():
        figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
        axis.loglog(distance, cost, color=BLUE, markersize=2.5, alpha=0.6, **DOTS)
        axis.axvline(width, color=RED, linestyle="--", label=r"predicted: $e^{-\lambda_1 N}$")
        axis.set(xlabel="distance from the true parameter, $|s - 1|$", ylabel="cost $V(s)$")
        axis.legend(loc="lower right")
        plt.close(figure)
    return figure


def density(s, orbit, bins: int = 420) -> Figure:
    """Draw how often each value is visited: the orbit diagram as a picture.

    Args:
        s: shape ``(S,)``.
        orbit: the visited values, shape ``(steps, S)``.
        bins: of the vertical axis.
    """
    edges = np.linspace(orbit.min() - 0.02, orbit.max() + 0.02, bins + 1)
    counts = np.stack([np.histogram(column, edges)[0] for column in orbit.T], axis=1)
    with book_style():
        figure, axis = plt.subplots(figsize=(WIDTH, 4))
        axis.pcolormesh(
            s, (edges[1:] + edges[:-1]) / 2, np.ma.masked_equal(counts, 0), cmap="magma_r",
            norm=LogNorm(0.05, counts.max()), rasterized=True, shading="nearest",
        )  # fmt: skip
        axis.set(xlabel="all weights multiplied by $s$", ylabel="values of $h_1$ visited")
        axis.grid(False)
        plt.close(figure)
    return figure


def at_one_value(s, orbit, value, states, cost=None, costs=None) -> Figure:
    """Draw the orbit diagram with a marker, and the time series and phase portrait there.

    Args:
        s: shape ``(S,)``.
        orbit: the visited values, shape ``(steps, S)``.
        value: the chosen s.
        states: the orbit there with its transient, outputs of shape ``(steps, 2)``.
        cost: the cost there, if it is to be named.
        costs: the cost over s, shape ``(S,)``, drawn if it is given.
    """
    with book_style():
        figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 7.2))
        columns = np.broadcast_to(s, orbit.shape)
        axes[0].plot(
            columns.ravel(), orbit.ravel(), color="black", markersize=0.4, alpha=0.2, **DOTS
        )
        axes[0].axvline(value, color=RED)
        title = f"s = {value:.4f}" + ("" if cost is None else f", cost {cost:.5f}")
        axes[0].set(xlabel="$s$", ylabel="$h_1$", title=title)
        if costs is not None:
            beside = axes[0].twinx()
            beside.plot(s, costs, color=BLUE, linewidth=0.6)
            beside.set_ylabel("cost", color=BLUE)
            beside.grid(False)
        last = np.arange(len(states))[-100:]
        axes[1].plot(last, states[last], linewidth=1)
        axes[1].set(xlabel="step $t$", ylabel="output")
        axes[1].legend(["$h_1$", "$h_2$"], loc="upper right", ncols=2)
        axes[2].plot(*states[len(states) // 2 :].T, color=BLUE, markersize=3, **DOTS)
        axes[2].set(xlabel="$h_1$", ylabel="$h_2$")
        plt.close(figure)
    return figure

"""Figures of the chapter on contractivity."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rnnlib.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, book_style

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


def two_projections(published: Tensor, certified: Tensor) -> Figure:
    """Draw the cell of one LSTM unit from many starts, under either projection.

    Args:
        published: shape ``(T, starts)``.
        certified: the same starts after the certified projection, shape ``(T, starts)``.
    """
    with book_style():
        fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True)
        titles = ("projected as published: two memories", "projected with a certificate: one")
        t = torch.arange(1, len(published) + 1)
        for ax, c, title in zip(axes, (published, certified), titles, strict=True):
            groups = [c[:, c[-1] > 0], c[:, c[-1] <= 0]]
            if float(c[-1].max() - c[-1].min()) < 1e-3:
                groups = [c]
            for colour, group in zip((BLUE, ORANGE), groups, strict=False):
                end = float(group[-1].mean())
                ax.semilogx(t, group, color=colour if len(groups) > 1 else GREY, lw=1)
                ax.annotate(
                    f"{end + 0.0:+.2f}" if len(groups) > 1 else f"{abs(end):.2f}",
                    (len(c), end),
                    (-2, 5),
                    ha="right",
                    textcoords="offset points",
                )
            ax.set(title=title, ylabel="cell $c_t$", ylim=(-27, 27))
        axes[1].set_xlabel("step $t$")
        plt.close(fig)
    return fig


def merging(orbits: dict[str, Tensor], distances: dict[str, Tensor], envelope: Tensor) -> Figure:
    """Draw orbits that merge, and how far apart they are beside what the certificate promises.

    Args:
        orbits: one component from several starts by name, each of shape ``(T, starts)``.
        distances: largest distance over pairs by name, each of shape ``(T,)``.
        envelope: the certified bound on it, shape ``(T,)``.
    """
    with book_style():
        fig, axes = plt.subplots(len(orbits) + 1, 1, figsize=(WIDTH, 2.0 * len(orbits) + 2.6))
        for ax, colour, (name, orbit) in zip(axes, COLOURS, orbits.items(), strict=False):
            ax.plot(orbit, color=colour, lw=0.8)
            ax.set(title=name, ylabel="$h_1$")
            ax.margins(x=0)
        for colour, (name, distance) in zip(COLOURS, distances.items(), strict=False):
            axes[-1].semilogy(distance.clamp(min=1e-17), color=colour, label=name)
        axes[-1].semilogy(envelope, color="black", ls="--", label="certified envelope")
        axes[-1].set(
            xlabel="step $t$",
            ylabel="distance",
            title="largest distance between two of them, in the certificate's norm",
            ylim=(1e-16, None),
        )
        axes[-1].legend()
        plt.close(fig)
    return fig


def transient_growth(matrix: Tensor, steps: int) -> Figure:
    """Draw what powers of a 2 x 2 matrix do to the unit circle, and how long its longest image is.

    Args:
        matrix: shape ``(2, 2)``.
        steps: how many powers.
    """
    powers = [torch.linalg.matrix_power(matrix, t) for t in range(steps + 1)]
    radius = float(torch.linalg.eigvals(matrix).abs().max())
    stretch = float(torch.linalg.matrix_norm(matrix, ord=2))
    angle = torch.linspace(0, 2 * np.pi, 200, dtype=matrix.dtype)
    circle = torch.stack([angle.cos(), angle.sin()])
    t = np.arange(steps + 1)
    with book_style():
        fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
        for k, colour, style in zip((0, 1, 4), (GREY, BLUE, ORANGE), ("-", "-", "--"), strict=True):
            x, y = powers[k] @ circle
            left.plot(x, y, color=colour, ls=style, label="circle" if k == 0 else f"step {k}")
        left.set(xlabel="$x_1$", ylabel="$x_2$", title="images of the unit circle")
        left.legend(loc="upper left")
        right.semilogy(
            t, [torch.linalg.matrix_norm(p, ord=2) for p in powers], ".-", label=r"$\|A^t\|_2$"
        )
        right.semilogy(t, radius**t, color=GREEN, ls="--", label=r"$\rho^t$")
        right.semilogy(t, stretch**t, color=RED, ls=":", label=r"$\sigma_{\max}^t$")
        low = radius**steps / 3
        right.set(ylim=(low, 30 * stretch), xlabel="step $t$", title="longest image")
        right.legend()
        plt.close(fig)
    return fig


def bracket(
    s: Tensor, rows: dict[str, tuple[Tensor, Tensor]], fine: Tensor, exponent: Tensor
) -> Figure:
    """Draw certified constants above searched ones, and the rate at which orbits really merge.

    Args:
        s: the scale of the weights, shape ``(S,)``.
        rows: by method, the certified and the searched constant, each of shape ``(S,)``.
        fine: a finer scale, shape ``(F,)``.
        exponent: the largest Lyapunov exponent there, shape ``(F,)``.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 4.0))
        for colour, (name, (upper, lower)) in zip(COLOURS, rows.items(), strict=False):
            ax.loglog(s, upper, color=colour, label=f"{name}: certified")
            ax.loglog(s, lower, color=colour, marker=".", ls="none", label="    searched")
            ax.fill_between(s, lower, upper, color=colour, alpha=0.15, lw=0)
        ax.loglog(
            fine, exponent.exp(), color="black", ls="-.", label=r"$e^{\lambda}$, on the orbit"
        )
        ax.axhline(1, color=GREY, lw=1)
        ax.set(xlabel="scale of the weights $s$", ylabel="constant per step", ylim=(0.2, 1e3))
        ax.legend(ncols=2, loc="upper left", fontsize=9)
        plt.close(fig)
    return fig


def jump(curves: dict[str, tuple[Tensor, Tensor]], quotients: dict[str, tuple]) -> Figure:
    """Draw functions of one variable beside the quotients ``|f(x) - f(w)| / |x - w|`` they reach.

    Args:
        curves: by name, arguments and values, each of shape ``(points,)``; jumps are not joined.
        quotients: by the same names, the distances and the largest quotient at each, ``(D,)``.
    """
    with book_style():
        fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.8))
        for colour, marker, name in zip(COLOURS, "os^v", curves, strict=False):
            x, y = curves[name]
            steep = y.diff(append=y[-1:]).abs() > 20 * x.diff().max()
            left.plot(x, y.where(~steep, torch.nan), color=colour, label=name)
            right.loglog(*quotients[name], color=colour, marker=marker, ms=4, label=name)
        left.set(xlabel="argument", ylabel="value", title="modrelu")
        left.legend()
        right.axhline(1, color=GREY, lw=1)
        right.set(xlabel="$|x - w|$", title="largest quotient found", ylim=(0.3, None))
        plt.close(fig)
    return fig


def training(history: dict[str, dict[str, list[float]]]) -> Figure:
    """Draw the loss and the certified constant of several runs against the optimizer's steps.

    Args:
        history: by the run's name, its "loss" and its "constant", a number per step each.
    """
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True)
        for colour, style, (name, run) in zip(
            COLOURS, ("-", "--", "-."), history.items(), strict=False
        ):
            top.plot(run["loss"], color=colour, ls=style, label=name)
            bottom.semilogy(run["constant"], color=colour, ls=style, label=name)
        bottom.axhline(1, color=GREY, lw=1)
        top.set(ylabel="squared error")
        bottom.set(xlabel="optimizer step", ylabel="certified constant")
        bottom.legend(title="projection", loc="center right")
        plt.close(fig)
    return fig

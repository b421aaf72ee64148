"""Figures of the chapter on attractors and long-term memory."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics import Attractor, Robustness, SteadyState, simulate
from rnnlib.figures import BLUE, PALETTE, RED, WIDTH, book_style
from rnnlib.systems import System


def steady_states(systems: dict[str, System], x0s: list[Tensor], states: list[SteadyState]):
    """Draw the steady state of each system in a plane of its state.

    Args:
        systems: two-unit systems by title; the first two components of the state are shown.
        x0s: one initial state for each.
        states: what `rnnlib.steady_state` says of each.
    """
    with book_style():
        rows = (len(systems) + 1) // 2
        fig, axes = plt.subplots(rows, 2, figsize=(WIDTH, 0.48 * WIDTH * rows), squeeze=False)
        for ax, (title, system), x0, found in zip(
            axes.flat, systems.items(), x0s, states, strict=True
        ):
            orbit = simulate(system, x0, 3000, burn_in=5000, observe="state")
            few = int(found.period) > 0
            ax.plot(*orbit[:, :2].T.numpy(), "o" if few else ",", ms=7 if few else 1, color=BLUE)
            ax.set_title(
                f"{title}\n{found.describe()}, $\\lambda_1$ = {float(found.exponent):+.3f}",
                fontsize=9.5,
            )
            ax.set(xlabel="$h_1$", ylabel="$h_2$")
            ax.margins(0.25)
        plt.close(fig)
    return fig


def returns(distances: dict[str, dict[str, Tensor]]):
    """Draw the distance to an attractor, and what else is given, after a small disturbance.

    Args:
        distances: for each panel's title the curves by label, each of shape ``(steps,)``.
    """
    with book_style():
        fig, axes = plt.subplots(
            len(distances), 1, figsize=(WIDTH, 1.6 * len(distances)), sharex=True
        )
        axes = np.atleast_1d(axes)
        for ax, (title, curves) in zip(axes, distances.items(), strict=True):
            for (label, curve), style in zip(curves.items(), ("-", "--", ":"), strict=False):
                ax.semilogy(curve.clamp(min=1e-16).numpy(), style, label=label)
            least = min(float(curve.min()) for curve in curves.values())
            ax.set(ylabel="distance", ylim=(max(least / 5, 1e-16), 5))
            ax.set_title(title, fontsize=10)
            ax.legend(loc="center right")
        axes[-1].set_xlabel("steps after the disturbance")
        plt.close(fig)
    return fig


def return_times(results: dict[str, Robustness], direction: int = 0):
    """Draw the time until return against the size of the disturbance, one curve per label.

    Args:
        results: from `rnnlib.robustness`.
        direction: which of the directions to show.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.7 * WIDTH))
        for (label, result), colour in zip(results.items(), PALETTE, strict=False):
            ax.plot(result.sizes, result.times[:, direction], ".-", color=colour, label=label)
            radius = float(result.radius[direction])
            if torch.isinf(result.times[:, direction]).any():
                ax.axvline(radius, color=colour, ls=":", label=f"last return at {radius:.4f}")
        ax.set(xlabel="size of the disturbance", ylabel="steps until it is back")
        fig.legend(loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def cycle_curve(attractor: Attractor, radius: float):
    """Draw an invariant circle beside the circle that the normal form predicts.

    Args:
        attractor: from `rnnlib.dynamics.find_attractor`.
        radius: the predicted one.
    """
    angle = np.linspace(0, 2 * np.pi, 200)
    with book_style():
        fig, ax = plt.subplots(figsize=(0.7 * WIDTH, 0.7 * WIDTH))
        ax.plot(*attractor.points[:, :2].T.numpy(), ",", color=BLUE)
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color=RED)
        ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        plt.close(fig)
    return fig

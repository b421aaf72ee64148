"""Figures of oscillations, for the chapter on sine generation: what a trained network does."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator
from torch import Tensor

from rnnlib.dynamics import Oscillation, phase_error, simulate
from rnnlib.figures import BLUE, GREEN, ORANGE, PURPLE, SEQUENTIAL, SKY, WIDTH, book_style
from rnnlib.systems import System
from rnnlib.tasks import HIGHEST, LOWEST

RATE = "radians per step"
COLOURS = {"LSTM": BLUE, "sLSTM": GREEN, "oRNN": ORANGE}  # others are purple


def response(omega: Tensor, answers: dict[str, Oscillation]) -> Figure:
    """Draw the frequency, its error and the amplitude of the output against the input.

    Args:
        omega: the constant inputs, shape ``(inputs,)``.
        answers: by label, from `rnnlib.dynamics.frequency_response`.
    """
    with book_style():
        fig, axes = plt.subplots(3, 1, figsize=(WIDTH, 1.15 * WIDTH), sharex=True)
        axes[0].plot(omega, omega, color="black", lw=1, label="asked for")
        axes[1].axhline(0, color="black", lw=1)
        axes[2].axhline(1, color="black", lw=1)
        for (label, answer), marker in zip(answers.items(), "os^v", strict=False):
            colour = COLOURS.get(label, PURPLE)
            seen = answer.amplitude > 0.1  # below, the strongest line of the spectrum says nothing
            curves = answer.frequency, 100 * (answer.frequency / omega - 1), answer.amplitude
            for ax, curve in zip(axes, curves, strict=True):
                shown = curve if curve is answer.amplitude else curve.where(seen, np.nan)
                ax.plot(omega, shown, marker, ms=2.5, color=colour, label=label)
        axes[0].set(ylabel=f"output, {RATE}", ylim=(0, 1.15 * float(omega[-1])))
        axes[1].set(ylabel="error, %", ylim=(-22, 22))
        axes[2].set(ylabel="amplitude", ylim=(-0.05, 2.0), xlabel=f"input $\\omega$, {RATE}")
        for ax in axes:
            ax.axvspan(LOWEST, HIGHEST, color=SKY, alpha=0.25, lw=0, label="trained on")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def staircase(omega: Tensor, answers: dict[str, Oscillation]) -> Figure:
    """Draw the period of the output against the input, where steps show.

    Args:
        omega: closely spaced constant inputs, shape ``(inputs,)``.
        answers: by label, from `rnnlib.dynamics.frequency_response`.
    """
    with book_style():
        fig, axes = plt.subplots(
            len(answers), 1, figsize=(WIDTH, 0.45 * WIDTH * len(answers)), sharex=True
        )
        axes = np.atleast_1d(axes)
        for ax, (label, answer) in zip(axes, answers.items(), strict=True):
            colour, period = COLOURS.get(label, PURPLE), 2 * np.pi / answer.frequency
            ax.plot(omega, 2 * np.pi / omega, color="black", lw=1, label="asked for")
            ax.plot(omega, period, ".", ms=3, color=colour, label=label)
            ax.yaxis.set_major_locator(MultipleLocator(1))
            span = 2 * np.pi / omega
            ax.set(ylabel="period, steps", ylim=(float(span.min()) - 1, float(span.max()) + 1))
            ax.legend(loc="upper right")
        axes[-1].set_xlabel(f"input $\\omega$, {RATE}")
        plt.close(fig)
    return fig


def returning(distances: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw how far a disturbed state is from the undisturbed orbit, and from its twin on it.

    Args:
        distances: by title, from `rnnlib.dynamics.return_curves`.
    """
    with book_style():
        fig, axes = plt.subplots(
            len(distances), 1, figsize=(WIDTH, 2.0 * len(distances) + 0.5), sharex=True
        )
        axes = np.atleast_1d(axes)
        for ax, (title, (to_set, to_twin)) in zip(axes, distances.items(), strict=True):
            ax.semilogy(to_set.clamp(min=1e-16), label="to the orbit, as a set")
            ax.semilogy(to_twin.clamp(min=1e-16), "--", label="to the undisturbed twin")
            ax.set_ylabel("distance")
            ax.set_title(title, fontsize=10)
        axes[-1].set_xlabel("steps after the disturbance")
        fig.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        plt.close(fig)
    return fig


def without_jumps(y: Tensor, removed_at: int) -> Figure:
    """Draw an output whose network loses its positive biases on the way.

    Args:
        y: shape ``(steps,)``.
        removed_at: the step from which they are gone.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.45 * WIDTH))
        ax.plot(y, color=ORANGE)
        ax.axvline(removed_at, color="black", ls=":", label="positive biases set to 0")
        ax.set(xlabel="step", ylabel="output $y_t$")
        ax.legend(loc="upper right")
        plt.close(fig)
    return fig


def run_freely(
    networks: dict[str, System], omega: Tensor, steps: int, window: int = 400
) -> tuple[list[list], Tensor, dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Run networks from the state 0 under constant inputs, and compare with the sines asked for.

    Args:
        networks: by title.
        omega: the inputs, shape ``(inputs,)``, double precision.
        steps: of the run.
        window: how many steps an amplitude is taken over.

    Returns:
        A row of a table for each network (title, steps, turns off, amplitude), and the arguments of
        `free_run`.
    """
    rows, phases, amplitudes, at = [], {}, {}, torch.empty(0)
    for title, network in networks.items():
        start = torch.zeros(len(omega), network.n_x, dtype=omega.dtype)
        y = simulate(network.hold(omega[:, None]), start, steps, observe="output")[..., 0]
        at, phase = phase_error(y, omega)
        at, phases[title] = at[3::4], phase[3::4]
        amplitudes[title] = y.unfold(0, window, window).std(-1) * math.sqrt(2)
        turns, end = phases[title][-1].abs() / (2 * math.pi), amplitudes[title][-1]
        rows.append(
            [
                title,
                int(at[-1]),
                f"{turns.min():.2f} to {turns.max():.2f}",
                f"{end.min():.2f} to {end.max():.2f}",
            ]
        )
    return rows, at, phases, amplitudes, omega


def free_run(
    steps: Tensor, phases: dict[str, Tensor], amplitudes: dict[str, Tensor], omega: Tensor
) -> Figure:
    """Draw how far a long free run gets ahead of the sine, and its amplitude.

    Args:
        steps: the ends of the windows, shape ``(W,)``.
        phases: by title, in radians, shape ``(W, inputs)``.
        amplitudes: by title, shape ``(W, inputs)``.
        omega: shape ``(inputs,)``.
    """
    colours = plt.get_cmap(SEQUENTIAL)(np.linspace(0, 0.9, len(omega)))
    with book_style():
        fig, axes = plt.subplots(
            2, len(phases), figsize=(WIDTH, 0.85 * WIDTH), sharex=True, sharey="row", squeeze=False
        )
        for (top, bottom), title in zip(axes.T, phases, strict=True):
            for i, colour in enumerate(colours):
                top.plot(steps, phases[title][:, i] / (2 * np.pi), color=colour)
                bottom.plot(steps, amplitudes[title][:, i], color=colour)
            top.set_title(title, fontsize=10)
            bottom.set(xlabel="step", ylim=(0, 1.6))
            bottom.xaxis.set_major_locator(MaxNLocator(3))
        axes[0, 0].set_ylabel("turns ahead of the sine")
        axes[1, 0].set_ylabel("amplitude")
        scale = plt.cm.ScalarMappable(Normalize(float(omega[0]), float(omega[-1])), cmap=SEQUENTIAL)
        fig.colorbar(scale, ax=axes, label=f"input $\\omega$, {RATE}", location="bottom", aspect=40)
        plt.close(fig)
    return fig


def pitchfork(bias: Tensor, ends: Tensor, branch: Tensor) -> Figure:
    """Draw where the states of the two-unit orthogonal network end, against its first bias.

    Args:
        bias: shape ``(B,)``.
        ends: the first unit's last value from each start, shape ``(B, starts)``.
        branch: the closed form, shape ``(B,)``.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.55 * WIDTH))
        ax.plot(bias, ends, ".", ms=4, color=ORANGE)
        ax.plot([], [], ".", ms=4, color=ORANGE, label="where orbits end")
        for sign in (1, -1):
            label = r"$\pm b_1 / (1 - \cos\varphi)$" if sign > 0 else None
            ax.plot(bias, sign * branch, "--", lw=1, color="black", label=label)
        ax.set(xlabel="bias $b_1$ of the first unit", ylabel="$h_1$")
        ax.legend(loc="upper left")
        plt.close(fig)
    return fig

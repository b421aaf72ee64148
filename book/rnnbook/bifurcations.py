"""Figures of bifurcations and of latching, for the chapter on attractors."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from rnnlib.dynamics import FixedPoints, OrbitDiagram, fixed_points, orbit_diagram, starts_in_box
from rnnlib.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, book_style
from rnnlib.systems import FOLD, Bifurcation

LINES = {"stable": BLUE, "saddle": RED, "unstable": RED, "neutral": GREY}


def bifurcation(
    case: Bifurcation,
    *,
    values: int = 241,
    starts: int = 24,
    steps: int = 60,
    burn_in: int = 2000,
    seed: int = 0,
):
    """Draw the orbit diagram with the branches of fixed points, and the eigenvalue that crosses.

    Dots are orbits: fresh starts (grey), and continued ones swept up and down (triangles),
    which part where there is hysteresis (at the fold). Lines are roots of ``f(x) = x``. The second
    panel shows the eigenvalues of the same roots: against the parameter if they are real, in the
    complex plane if they are a pair.

    Args:
        case: the cell and its closed-form bifurcation.
        values: of the parameter.
        starts: for Newton's method and for the fresh orbits.
        steps: kept of each orbit.
        burn_in: dropped of each orbit.
        seed: of the starts.
    """
    grid = torch.linspace(*case.shown, values, dtype=torch.float64)
    x0 = starts_in_box(-1, 1, starts, case.n_x, seed)
    roots = fixed_points(case.family(grid[:, None]), x0)
    fresh = orbit_diagram(case.family, grid, x0[:6], steps, burn_in=burn_in)
    hysteresis = case is FOLD
    sweep = [
        orbit_diagram(case.family, v, x0[0], 1, burn_in=60, start="continued")
        for v in (grid, grid.flip(0))
        if hysteresis
    ]
    complex_pair = case.eigenvalue.imag != 0
    at = grid[roots.member].numpy()
    with book_style():
        fig, (top, bottom) = plt.subplots(
            2, 1, figsize=(WIDTH, 0.8 * WIDTH if complex_pair else 0.62 * WIDTH)
        )
        _orbit_dots(top, fresh, GREY, 3 if case.n_x == 1 else 0.5, "orbits, fresh starts")
        if hysteresis:
            for swept, mark, colour, way in zip(
                sweep, "^v", (GREEN, PURPLE), ("up", "down"), strict=True
            ):
                thinned = swept.values[::6], swept.orbit[0, ::6, 0]
                top.plot(
                    *thinned, mark, ms=7, color=colour, mfc="none", label=f"orbits, swept {way}"
                )
        _branches(top, at, roots.points[:, 0].numpy(), roots.stability)
        top.set(xlabel=case.symbol, ylabel="$x$" if case.n_x == 1 else "$x_1$")
        top.set_title(f"{case.name}: {case.equation}")

        eigenvalues = roots.eigenvalues
        if complex_pair:
            _unit_circle(bottom)
            for side in (0, 1):
                bottom.scatter(
                    eigenvalues[:, side].real, eigenvalues[:, side].imag, s=8,
                    c=[LINES[k] for k in roots.stability], zorder=3,
                )  # fmt: skip
            for sign in (1, -1):
                bottom.plot(
                    case.eigenvalue.real, sign * case.eigenvalue.imag, "k*", ms=11, zorder=4
                )
            bottom.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", aspect="equal")
        else:
            _branches(bottom, at, eigenvalues[:, 0].real.numpy(), roots.stability)
            for one in (-1, 1):
                bottom.axhline(one, color="black", lw=1)
            bottom.plot(case.at, case.eigenvalue, "k*", ms=11, label="closed form")
            bottom.set(xlabel=case.symbol, ylabel=r"eigenvalue $\lambda$", xlim=top.get_xlim())
            crossings = [case.at, -case.at] if hysteresis else [case.at]
            for value in crossings:
                bottom.axvline(value, color="black", ls=":", lw=1)
                top.axvline(value, color="black", ls=":", lw=1)
        if complex_pair:
            top.axvline(case.at, color="black", ls=":", lw=1)
        top.plot([], [], "k:", label=f"closed form, {case.symbol} = {case.at:.4f}")
        _legend(fig, top)
        plt.close(fig)
    return fig


def period_three_of_the_lstm(
    values: Tensor, from_half: OrbitDiagram, from_origin: OrbitDiagram, origin: FixedPoints,
    cycles: FixedPoints, closed_form: float,
):  # fmt: skip
    """Draw the coexisting steady states of the chaotic LSTM near s = 0.75, and their multipliers.

    Args:
        values: of s, shape ``(S,)``.
        from_half: the orbit diagram of ``h`` from the paper's initial state.
        from_origin: that from a state close to the origin.
        origin: the fixed points over the values.
        cycles: the period-3 points over the values (roots of primitive period 1 are left out).
        closed_form: the value at which the origin's pair leaves the unit circle.
    """
    three = (cycles.period == 3).numpy()
    at, at_origin = values[cycles.member].numpy()[three], values[origin.member].numpy()
    h1, kinds = cycles.points[:, 0].numpy()[three], cycles.stability[three]
    sizes = cycles.eigenvalues.abs().numpy()[three]
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 0.78 * WIDTH), sharex=True)
        _orbit_dots(top, from_half, BLUE, 2, "orbit from (0.5, 0.5, 0.5, 0.5)")
        _orbit_dots(top, from_origin, ORANGE, 2, "orbit from near the origin")
        top.plot(
            at[kinds != "stable"],
            h1[kinds != "stable"],
            ".",
            ms=2.5,
            color=RED,
            label="saddle 3-cycle",
        )
        top.set(ylabel="$h_1$")
        bottom.plot(
            at_origin, origin.eigenvalues[:, 0].abs().numpy(), color=ORANGE, label="fixed point 0"
        )
        for kind, colour, label in (
            ("stable", BLUE, "stable 3-cycle"),
            ("saddle", RED, "saddle 3-cycle"),
        ):
            chosen = kinds == kind
            bottom.plot(at[chosen], sizes[chosen, 0], ".", ms=3, color=colour, label=label)
        bottom.axhline(1, color="black", lw=1)
        bottom.set(xlabel="$s$", ylabel=r"largest multiplier $|\lambda|$", ylim=(0.5, 1.5))
        for ax in (top, bottom):
            ax.axvline(closed_form, color="black", ls=":", lw=1)
        bottom.plot([], [], "k:", label="closed form, Neimark-Sacker of 0")
        _legend(fig, top, bottom)
        plt.close(fig)
    return fig


def latching(inputs: Tensor, states: Tensor, threshold: float, noisy: Tensor, levels: list[float]):
    """Draw a latch that is hit by pulses of growing size, and latches under noise.

    Args:
        inputs: the pulses, shape ``(T,)``.
        states: the state under them, shape ``(T,)``.
        threshold: the closed-form size of the weakest pulse that flips.
        noisy: states under noise, shape ``(T', levels)``.
        levels: the standard deviations of the noise.
    """
    with book_style():
        fig, axes = plt.subplots(2 + len(levels), 1, figsize=(WIDTH, 1.15 * (2 + len(levels))))
        axes[0].vlines(np.arange(len(inputs)), 0, inputs.numpy(), color=GREY)
        for sign in (1, -1):
            axes[0].axhline(sign * threshold, color=RED, ls="--", lw=1)
        axes[0].set(ylabel="input", title="pulses of one step; dashed: closed-form threshold")
        axes[1].plot(states.numpy(), color=BLUE)
        axes[1].axhline(0, color="black", lw=0.8)
        axes[1].set(ylabel="$x_t$", ylim=(-1.2, 1.2), xlabel="$t$")
        axes[0].sharex(axes[1])
        for ax, level, x in zip(axes[2:], levels, noisy.T, strict=True):
            ax.plot(x.numpy(), color=BLUE, lw=0.6)
            ax.axhline(0, color="black", lw=0.8)
            ax.set(ylabel="$x_t$", ylim=(-1.2, 1.2))
            ax.set_title(f"input noise of standard deviation {level:g}", fontsize=10)
        axes[-1].set_xlabel("$t$")
        plt.close(fig)
    return fig


def thresholds(
    durations: Tensor, measured: Tensor, closed: Tensor, limit: float, levels: Tensor, held: Tensor,
    effort: float,
):  # fmt: skip
    """Draw the pulse that erases a bit against its duration, and how long a bit survives noise.

    Args:
        durations: of the pulses, shape ``(D,)``.
        measured: the weakest pulse that flipped the simulated latch, shape ``(D,)``.
        closed: the same in closed form, shape ``(D,)``.
        limit: the fold, to which long pulses tend.
        levels: standard deviations of the noise, shape ``(L,)``.
        held: the measured mean number of steps until the bit flips, shape ``(L,)``.
        effort: the least effort of an escape, the predicted slope against ``1 / sigma^2``.
    """
    with book_style():
        fig, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 0.7 * WIDTH))
        top.semilogx(durations, closed, color=BLUE, label="closed form")
        top.semilogx(durations, measured, "o", color=ORANGE, label="measured by bisection")
        top.axhline(limit, color="black", ls=":", label="fold of the held input")
        top.set(
            xlabel="duration of the pulse (steps)",
            ylabel="weakest pulse that flips",
            ylim=(0, None),
        )
        top.legend()
        bottom.semilogy(1 / levels**2, held, "o-", color=ORANGE, label="measured")
        anchor = levels.argmin()
        line = held[anchor] * torch.exp(effort * (levels**-2 - levels[anchor] ** -2))
        bottom.semilogy(1 / levels**2, line, "--", color=BLUE, label="slope of the least effort")
        bottom.set(
            xlabel=r"$1/\sigma^2$ of the input noise", ylabel="mean steps until the bit flips"
        )
        bottom.legend()
        plt.close(fig)
    return fig


def cobwebs(case: Bifurcation, offsets: tuple[float, float, float], starts, steps: int = 60):
    """Draw the graph of a one-unit cell before, at and after its bifurcation, with cobwebs.

    A cobweb goes from the diagonal up or down to the graph, which is one step, and back to the
    diagonal, again and again. Where the graph cuts the diagonal the cell has a fixed point.

    Args:
        case: a bifurcation of a cell with one state.
        offsets: the three parameter values, counted from the bifurcation.
        starts: initial states, one cobweb each.
        steps: of each cobweb.
    """
    grid = torch.linspace(-1, 1, 401, dtype=torch.float64)
    with book_style():
        fig, axes = plt.subplots(1, 3, figsize=(WIDTH, WIDTH / 2.6), sharey=True)
        for ax, offset in zip(axes, offsets, strict=True):
            system = case.family(torch.tensor(case.at + offset, dtype=torch.float64))
            ax.plot(grid, grid, color=GREY, lw=0.8)
            ax.plot(grid, system.step(grid[:, None])[:, 0], color=BLUE)
            for start, colour in zip(starts, (ORANGE, GREEN, PURPLE), strict=False):
                x = torch.tensor([start], dtype=torch.float64)
                corners = [(start, start)]
                for _ in range(steps):
                    after = system.step(x)
                    corners += [(float(x), float(after)), (float(after), float(after))]
                    x = after
                ax.plot(*zip(*corners, strict=True), color=colour, lw=0.8)
                ax.plot(start, start, "o", ms=3.5, color=colour)
            ax.set_title(f"{case.symbol} = {case.at + offset:.3f}", fontsize=10)
            ax.set(xlabel="$x$", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
        axes[0].set_ylabel("$x'$")
        plt.close(fig)
    return fig


def _orbit_dots(ax, diagram: OrbitDiagram, colour: str, size: float, label: str) -> None:
    seen = diagram.orbit[..., 0]
    at = diagram.values.reshape(-1, *[1] * (seen.dim() - 2)).expand(seen.shape)
    ax.plot(
        at.flatten(), seen.flatten(), ".", ms=size, color=colour, rasterized=True, mew=0, zorder=1.5
    )
    ax.plot([], [], ".", ms=8, color=colour, label=label)


def _branches(ax, at: np.ndarray, y: np.ndarray, kinds: np.ndarray) -> None:
    """Draw roots as dense marks: stable solid, the others dashed (every third value)."""
    stable = kinds == "stable"
    ax.plot(at[stable], y[stable], ".", ms=3.2, color=BLUE)
    turn = np.unique(at, return_inverse=True)[1]
    dashes = ~stable & (turn % 6 < 3)
    ax.plot(at[dashes], y[dashes], ".", ms=3.2, color=RED)
    ax.plot([], [], "-", color=BLUE, label="stable fixed point")
    ax.plot([], [], "--", color=RED, label="unstable fixed point")


def _unit_circle(ax) -> None:
    angle = np.linspace(0, 2 * np.pi, 400)
    ax.plot(np.cos(angle), np.sin(angle), color="black", lw=1)


def _legend(fig, *axes) -> None:
    entries = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    fig.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2)

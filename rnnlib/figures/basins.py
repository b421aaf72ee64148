"""Basins of attraction over a plane of starts."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from rnnlib.dynamics import Basins, FixedPoints
from rnnlib.figures.style import (
    GREEN,
    GREY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    YELLOW,
    book_style,
)

GROUND = ListedColormap(["#444444", "white", SKY, YELLOW, PINK, GREEN, ORANGE, PURPLE])  # from -2
MARKS = {
    "stable": ("o", "black"),
    "saddle": ("X", RED),
    "unstable": ("s", RED),
    "neutral": ("D", GREY),
}


def basin_plane(
    result: Basins,
    extent: float,
    labels: tuple[str, str],
    axes: tuple[int, int],
    points: FixedPoints | None = None,
) -> Figure:
    """Draw the basins over a plane of starts, with the attractors and, if given, all fixed points.

    Args:
        result: from `rnnlib.basins` over `rnnlib.dynamics.starts_on_plane`.
        extent: that of the section.
        labels: of the horizontal and the vertical axis.
        axes: the components of the state that these show.
        points: fixed or periodic points to mark by their stability, in place of the attractors.
    """
    with book_style():
        fig, ax = plt.subplots(figsize=(WIDTH, 0.86 * WIDTH))
        sides = (-extent, extent, -extent, extent)
        shown = result.labels.numpy()
        ax.imshow(
            shown,
            origin="lower",
            extent=sides,
            cmap=GROUND,
            vmin=-2,
            vmax=5,
            interpolation="nearest",
        )
        for k, (attractor, share) in enumerate(zip(result.attractors, result.shares, strict=True)):
            cycle = attractor.kind == "periodic"
            kind = f"period-{attractor.period} cycle" if cycle else attractor.kind
            name = f"basin of a {kind} ({100 * float(share):.1f}% of the starts)"
            ax.plot([], [], "s", ms=11, mec=GREY, color=GROUND(k + 2), label=name)
            if points is None:
                fill = "white" if cycle else "black"
                ax.plot(*attractor.points[:, axes].T.numpy(), "ko", ms=6, mfc=fill)
        if points is not None:
            _mark(ax, points, axes, extent)
        ax.set(xlabel=labels[0], ylabel=labels[1], xlim=sides[:2], ylim=sides[2:])
        ax.grid(False)
        fig.legend(loc="outside lower center", ncols=1)
        plt.close(fig)
    return fig


def _mark(ax: Axes, points: FixedPoints, axes: tuple[int, int], extent: float) -> None:
    """Mark the points within the plane by their stability."""
    for kind in np.unique(points.stability):
        marker, colour = MARKS[kind]
        mask = torch.as_tensor(points.stability == kind)
        chosen = points.points[mask][:, axes].numpy()
        periods = " or ".join(str(int(p)) for p in points.period[mask].unique())
        inside = (np.abs(chosen) <= extent).all(1)
        ax.plot(
            *chosen[inside].T,
            marker,
            ms=8,
            color=colour,
            mec="white",
            ls="",
            label=f"{kind}, period {periods}",
        )

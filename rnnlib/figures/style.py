"""The book's figure style: one width, one palette, legible when scaled to a phone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.rcsetup import cycler

WIDTH = 6.0  # inches; stack panels below each other rather than side by side beyond two
# Ten colours that stay apart for most colour-blind readers: the palette "colorblind" of seaborn.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
BROWN, PINK, GREY, YELLOW, SKY = "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"
PALETTE = [BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, YELLOW, SKY]
SEQUENTIAL = "viridis"
# For dots on the ground itself: both ends stay visible on white and, turned over, on black.
EPOCHS = ListedColormap(plt.get_cmap(SEQUENTIAL)(np.linspace(0.1, 0.72, 256)), name="epochs")


@contextmanager
def book_style() -> Iterator[None]:
    """Draw everything inside the ``with`` block in the book's style.

    Figures have a white ground; the book's style sheet turns them over in dark mode.
    """
    settings: dict[Any, Any] = {
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=PALETTE),
        "font.size": 11,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "legend.fontsize": 9.5,
        "legend.frameon": False,
    }
    with plt.rc_context(settings):
        yield

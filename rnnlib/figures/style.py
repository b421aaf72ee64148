"""The book's figure style: one width, one palette, legible when scaled to a phone."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
import seaborn as sns

WIDTH = 6.0  # inches; stack panels below each other rather than side by side beyond two
PALETTE = sns.color_palette("colorblind").as_hex()
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, YELLOW, SKY = PALETTE
SEQUENTIAL = "viridis"


@contextmanager
def book_style() -> Iterator[None]:
    """Draw everything inside the ``with`` block in the book's style.

    Figures have a white ground; the book's style sheet turns them over in dark mode.
    """
    settings = {
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": plt.cycler(color=PALETTE),
        "font.size": 11,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "legend.fontsize": 9.5,
        "legend.frameon": False,
    }
    with plt.rc_context(settings):
        yield

"""What does it look like?

The style of the book's figures, and the pictures that any user can call; each returns a matplotlib
figure. What only one chapter draws stands beside the chapters, in `book/rnnbook/`.
"""

from rnnlib.figures.basins import basin_plane
from rnnlib.figures.style import (
    BLUE,
    BROWN,
    EPOCHS,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PINK,
    PURPLE,
    RED,
    SEQUENTIAL,
    SKY,
    WIDTH,
    YELLOW,
    book_style,
)

__all__ = [
    "BLUE",
    "BROWN",
    "EPOCHS",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALETTE",
    "PINK",
    "PURPLE",
    "RED",
    "SEQUENTIAL",
    "SKY",
    "WIDTH",
    "YELLOW",
    "basin_plane",
    "book_style",
]

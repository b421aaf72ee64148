"""Training curves as the slider draws them: heights on one axis, and where its ticks are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

MOST = 4  # ticks


def whole_and_increasing(name: str, epochs: Any) -> list[int]:
    """Return epochs as a list.

    Raises:
        ValueError: fewer than two, not whole numbers, or not increasing.
    """
    found = np.asarray(epochs)
    if found.ndim != 1 or len(found) < 2 or not (np.diff(found) > 0).all() or (found % 1).any():
        raise ValueError(
            f"{name} is {found.tolist()!r:.60}; give two or more whole numbers, each larger than "
            f"the last."
        )
    return found.astype(int).tolist()


def drawn(history: Mapping, log: bool) -> dict:
    """Return the curves, with their axis.

    Args:
        history: name to ``(epochs, values)``, both of one length.
        log: whether heights are logarithms, to the base 10.

    Returns:
        A dictionary that JSON can hold: ``lines``, each with ``name``, ``epochs`` and ``heights``
        (None where the value is not finite or has no logarithm); ``axis``, the lowest and the
        highest height with a margin; ``ticks``, pairs of height and text; and ``log``.

    Raises:
        ValueError: epochs that do not increase, or another number of values.
    """
    lines = []
    for name, (epochs, values) in history.items():
        epochs = whole_and_increasing(f"history[{name!r}][0]", epochs)
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(epochs),):
            raise ValueError(
                f"history[{name!r}] has values of shape {values.shape} for {len(epochs)} epochs; "
                f"give one for each."
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.log10(values) if log else values
        heights = [float(f"{h:.5g}") if np.isfinite(h) else None for h in heights]
        lines.append({"name": str(name), "epochs": epochs, "heights": heights})
    seen = [h for line in lines for h in line["heights"] if h is not None] or [0.0]
    low, high = padded(min(seen), max(seen))
    return {"lines": lines, "axis": [low, high], "ticks": _ticks(low, high, log), "log": log}


def padded(low: float, high: float) -> list[float]:
    """Return a range with a margin, so that what is at its ends is seen."""
    margin = 0.06 * (high - low) or 0.05 * (1 + abs(low))
    return [low - margin, high + margin]


def _ticks(low: float, high: float, log: bool) -> list[tuple[float, str]]:
    ends = (10**low, 10**high) if log else (low, high)
    within = lambda values: [v for v in values if ends[0] <= v <= ends[1]]  # noqa: E731
    decades = within(LogLocator(numticks=MOST).tick_values(*ends)) if log else []
    values = decades if len(decades) > 1 else within(MaxNLocator(MOST - 1).tick_values(*ends))
    return [(float(np.log10(v) if log else v), f"{v:g}") for v in values]

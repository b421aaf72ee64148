"""The curve slider: drag a number, and see the curves that belong to it."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import ArrayLike

from rnnlib.widgets.epoch_slider.curves import padded
from rnnlib.widgets.epoch_slider.packing import pack_orbits, quantise
from rnnlib.widgets.panels import PACKED, module, sheet

HERE = Path(__file__).parent
PAGE = Template((HERE / "curve_slider.html").read_text(encoding="utf-8"))
INKS = 3  # colours in the style sheet


class CurveSlider(anywidget.AnyWidget):
    """Shows curves over a common axis, one set of them for each value of a number, with a word.

    All is computed before, so a page needs no kernel; where there is one, ``index`` is synced both
    ways. The curves are sent as 16-bit numbers over their common range, and the axes stand still.

    Args:
        x: the common axis, evenly spaced and increasing, shape ``(points,)``.
        curves: shape ``(values, lines, points)``, finite.
        values: the numbers that the slider goes through, shape ``(values,)``, two or more.
        name: of the number.
        labels: of the two axes.
        words: what is seen, one text for each value.
        lines: the names of the lines, if there are several.
        levels: heights to mark with a line of their own, by name.
        traits: the initial ``index`` of a value, from 0.

    Raises:
        ValueError: arrays that do not fit each other, an uneven axis, a value not finite.
        traitlets.TraitError: an index that does not exist.
    """

    _esm = module(PACKED, HERE / "curve_slider.js")
    _css = sheet(HERE / "curve_slider.css")
    _html = traitlets.Unicode().tag(sync=True)
    _story = traitlets.Unicode().tag(sync=True)
    _curves = traitlets.Unicode().tag(sync=True)

    index = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        x: ArrayLike,
        curves: ArrayLike,
        values: Sequence,
        *,
        name: str,
        labels: tuple[str, str],
        words: Sequence[str],
        lines: Sequence[str] = (),
        levels: Mapping[str, float] | None = None,
        **traits: Any,
    ):
        x, curves = (np.asarray(a, dtype=np.float64) for a in (x, curves))
        if curves.ndim != 3 or curves.shape[0] != len(values) or curves.shape[2] != len(x):
            raise ValueError(
                f"curves has shape {curves.shape}; with {len(values)} values and {len(x)} points "
                f"of x it must be ({len(values)}, lines, {len(x)})."
            )
        if len(values) < 2 or len(words) != len(values):
            raise ValueError(
                f"{len(values)} values and {len(words)} words; give two values or more, and a word "
                f"for each."
            )
        gaps = np.diff(x)
        if len(x) < 2 or not (gaps > 0).all() or gaps.max() > gaps.min() * (1 + 1e-6):
            raise ValueError("x must increase in even steps; the slider sends its two ends only.")
        if not np.isfinite(curves).all():
            raise ValueError(
                f"curves has {(~np.isfinite(curves)).sum()} values that are not finite; leave them "
                f"out."
            )
        if curves.shape[1] > INKS or (curves.shape[1] > 1 and len(lines) != curves.shape[1]):
            raise ValueError(
                f"{curves.shape[1]} lines and {len(lines)} names; at most {INKS} lines, a name for "
                f"each."
            )
        self.values = [float(value) for value in values]
        numbers, ranges = quantise(curves[None])
        heights = {str(key): float(level) for key, level in (levels or {}).items()}
        story = {
            "name": name,
            "values": [f"{value:g}" for value in self.values],
            "words": [str(word) for word in words],
            "range": ranges[0].tolist(),
            "x": [float(x[0]), float(x[-1])],
            "y": padded(*(f([*ranges[0], *heights.values()]) for f in (min, max))),
            "lines": curves.shape[1],
            "points": len(x),
            "levels": list(heights.values()),
        }
        keys = [
            f'<i style="color: var(--ce-line{k})">— </i>{html.escape(str(line))} '
            for k, line in enumerate(lines)
        ]
        named = [html.escape(key) for key in heights if key.strip()]
        keys += ["<i>┄ </i>" + ", ".join(named)] if named else []
        page = PAGE.substitute(
            name=html.escape(name),
            x=html.escape(labels[0]),
            y=html.escape(labels[1]),
            last=len(values) - 1,
            keys="".join(keys),
        )
        super().__init__(
            _html=page,
            _story=json.dumps(story, allow_nan=False),
            _curves=pack_orbits(numbers),
            **traits,
        )

    @traitlets.validate("index")
    def _existing(self, proposal) -> int:
        if not 0 <= proposal.value < len(self.values):
            raise traitlets.TraitError(
                f"index is {proposal.value}; there are {len(self.values)} values, from 0."
            )
        return proposal.value

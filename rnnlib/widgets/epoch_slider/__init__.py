"""The epoch slider: drag an epoch, and see the attractor that training has made by then."""

import html
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import anywidget
import numpy as np
import traitlets

from rnnlib.widgets.epoch_slider.curves import drawn, padded, whole_and_increasing
from rnnlib.widgets.epoch_slider.description import describe
from rnnlib.widgets.epoch_slider.packing import TOP, pack, pack_orbits, quantise
from rnnlib.widgets.panels import PACKED, module, sheet

HERE = Path(__file__).parent
# Its data-lm-suppress-shortcuts: in JupyterLab, keys on a control are the control's own.
PAGE = Template((HERE / "epoch_slider.html").read_text(encoding="utf-8"))
INKS, KEYS = 5, 3  # colours of the starts and of the training curves, in the style sheet
BUDGET = 500_000  # bytes of a page


class EpochSlider(anywidget.AnyWidget):
    """Shows stored orbits of a network over the epochs of its training, live or on a page.

    An orbit diagram over the epochs, the training curves above it and, for the chosen epoch, the
    phase portrait (``y_t`` over ``y_t - y_{t-1}``), the time series and a word for what is seen.
    The browser computes nothing, so a page needs no kernel; where there is one, ``epoch`` and
    ``panel`` are synced both ways.

    Of each orbit its last ``points`` values are sent, as 16-bit numbers over the range of its
    panel: each is off by less than that range over 65535. An orbit with a value that is not finite
    has diverged: the pictures leave it out, and the words say so.

    Args:
        epochs: the stored epochs, increasing whole numbers, shape ``(E,)`` with E >= 2.
        orbits: the output in steady state, shape ``(E, panels, starts, steps)``: at each epoch, for
            each panel (such as a constant input), from each of several initial states.
        panels: the names of the panels; needed if there are several.
        labels: the names of the horizontal axis and of the output.
        words: what is seen, shape ``(E, panels)``; without it `describe`
            of `rnnlib.widgets.epoch_slider.description` looks at all the steps, in float64.
        history: training curves, name to ``(epochs, values)``.
        log: whether the curves' axis is logarithmic.
        points: how many steps of each orbit to send. A value takes at most 2.7 bytes of the page,
            typically 1.6 on a cycle and next to none at a fixed point; a chapter should stay below
            500 kB, and a slider over that warns.
        traits: the initial values of ``epoch``, which moves to the nearest stored one (without it,
            the last), and ``panel``, a number from 0.

    Raises:
        ValueError: arrays that do not fit each other, or epochs that do not increase.
        traitlets.TraitError: a panel that does not exist.

    Reference:
        Ribeiro et al. (2020), figures 4, 5, 7 and 8.
    """

    _esm = module(PACKED, HERE / "epoch_slider.js")
    _css = sheet(HERE / "epoch_slider.css")
    _html = traitlets.Unicode().tag(sync=True)
    _story = traitlets.Unicode().tag(sync=True)  # all but the orbits, packed
    _orbits = traitlets.Unicode().tag(sync=True)

    epoch = traitlets.Int().tag(sync=True)
    panel = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        epochs: Any,
        orbits: Any,
        *,
        panels: Any = None,
        labels: tuple[str, str] = ("epoch", "y"),
        words: Any = None,
        history: Mapping | None = None,
        log: bool = True,
        points: int = 100,
        **traits: Any,
    ):
        self.epochs = whole_and_increasing("epochs", epochs)
        orbits = np.asarray(orbits, dtype=np.float64)
        if orbits.ndim != 4 or len(orbits) != len(self.epochs) or 0 in orbits.shape:
            raise ValueError(
                f"orbits has shape {orbits.shape}; it must be ({len(self.epochs)}, panels, starts, "
                f"steps), the first for the epochs."
            )
        if min(points, orbits.shape[3]) < 2:
            raise ValueError(
                f"points is {points}, of {orbits.shape[3]} steps; a difference needs 2 or more."
            )
        if len(labels) != 2:
            raise ValueError(
                f"labels is {labels!r:.80}; give two, for the horizontal axis and for the output."
            )
        self.panels = [""] if panels is None else [str(panel) for panel in panels]
        if len(self.panels) != orbits.shape[1]:
            raise ValueError(
                f"panels is {panels!r:.80}; give a name for each of the {orbits.shape[1]} panels."
            )
        if words is None:
            words = [[describe(panel) for panel in epoch] for epoch in orbits]
        if np.shape(words) != orbits.shape[:2]:
            raise ValueError(
                f"words has shape {np.shape(words)}; give a text for each epoch and panel, shape "
                f"{orbits.shape[:2]}."
            )
        self.words = [[str(word) for word in row] for row in words]

        numbers, ranges = quantise(orbits[..., -points:].swapaxes(0, 1))
        story = {
            "labels": [str(label) for label in labels],
            "epochs": self.epochs,
            "words": self.words,
            "ranges": ranges.tolist(),
            "axes": [_axes(*panel) for panel in zip(numbers, ranges.tolist(), strict=True)],
            "starts": numbers.shape[2],
            "steps": numbers.shape[3],
            "curves": drawn(history or {}, bool(log)),
        }
        sent = {
            "_html": _html(self.panels, story),
            "_story": pack(json.dumps(story, allow_nan=False).encode()),
            "_orbits": pack_orbits(numbers),
        }
        size = sum(map(len, sent.values()))
        if size > BUDGET:
            warnings.warn(
                f"this slider takes {size // 1000} kB of a page, over {BUDGET // 1000}. Lower "
                f"points (now {points}), or give fewer epochs, panels or starts.",
                stacklevel=2,
            )
        super().__init__(**{"epoch": self.epochs[-1], **sent, **traits})

    @traitlets.validate("epoch")
    def _nearest(self, proposal) -> int:
        return min(self.epochs, key=lambda epoch: abs(epoch - proposal.value))

    @traitlets.validate("panel")
    def _existing(self, proposal) -> int:
        if not 0 <= proposal.value < len(self.panels):
            raise traitlets.TraitError(
                f"panel is {proposal.value}; there are {len(self.panels)}, numbered from 0."
            )
        return proposal.value


def _axes(numbers: np.ndarray, ends: list[float]) -> dict[str, list[float]]:
    """Return the ranges of the axes of a panel, y and its difference d; they stand still."""
    alive = numbers[numbers[..., 0] <= TOP].astype(int)
    widest = np.abs(np.diff(alive)).max(initial=0) / TOP * (ends[1] - ends[0])
    return {"y": padded(*ends), "d": padded(-widest, widest)}


def _html(panels: list[str], story: dict) -> str:
    """Return the page's elements, with the names that the reader sees."""
    name, output = map(html.escape, story["labels"])
    lines, starts = story["curves"]["lines"], story["starts"]
    dots = (f'<i style="color: var(--ce-start{s})">● </i>' for s in range(min(INKS, starts)))
    return PAGE.substitute(
        name=name,
        output=output,
        last=len(story["epochs"]) - 1,
        steps=story["steps"],
        panels="".join(f"<option>{html.escape(panel)}</option>" for panel in panels),
        choice="" if len(panels) > 1 else "hidden",
        keys="".join(
            f'<span class="es-key" style="border-color: var(--ce-curve{k % KEYS})"></span>'
            for k in range(len(lines))
        ),
        curves="" if lines else "hidden",
        starts=f"{''.join(dots)}{starts} initial state{'s' * (starts > 1)}; grey: every {name}",
    )

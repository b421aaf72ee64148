"""A report as one figure of panels, readable in a paper."""

import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from torch import Tensor

from rnnlib.diagnosis.answers import Answer
from rnnlib.diagnosis.reporting import Report

WIDTH = 7.2  # inches: two columns of a paper
ROW = 2.7
INK, SECOND, GREY = "#0173b2", "#de8f05", "#949494"
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "legend.frameon": False,
    "legend.fontsize": 8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.3, "svg.fonttype": "none",
}  # fmt: skip


def draw(report: Report) -> Figure:
    """Return the figure: a panel for each question that has something to draw."""
    panels = [
        (panel, report.answers[key])
        for key, needed, panel in PANELS
        if key in report.answers and needed in report.answers[key].evidence
    ]
    with matplotlib.rc_context(STYLE):
        rows = max(1, -(-len(panels) // 2))
        figure = Figure(figsize=(WIDTH, ROW * rows), layout="constrained")
        for i, (panel, answer) in enumerate(panels):
            panel(figure.add_subplot(rows, 2, i + 1), answer, report)
    return figure


def svg(report: Report) -> str:
    """Return the figure as an SVG element, with a text for who cannot see it."""
    figure, text = draw(report), io.StringIO()
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    drawing = text.getvalue()
    drawing = re.sub("<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.S)
    names = ", ".join(answer.question for answer in report.answers.values())
    return drawing.replace("<svg ", f'<svg role="img" aria-label="Panels: {names}" ', 1)


def _numpy(value) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _approach(ax: Axes, answer: Answer, report: Report) -> None:
    time, length = answer.evidence["time"], _numpy(answer.evidence["step_length"])
    positive = np.where(length > 0, length, np.nan)
    ax.loglog(time, positive, color=INK, lw=1)
    ax.set(title="Step length", xlabel="step", ylabel="|x(t+1) - x(t)|")


def _points(ax: Axes, answer: Answer, report: Report) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(angle), np.sin(angle), color=GREY, lw=0.8)
    for i, row in enumerate(_numpy(answer.evidence["multipliers"])):
        stable = answer.evidence["stability"][i] == "stable"
        ax.plot(
            row.real, row.imag, "o" if stable else "x", ms=3.5, mew=0.8, mfc="none",
            color=INK if stable else SECOND, label=answer.evidence["stability"][i],
        )  # fmt: skip
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        ax.legend(unique.values(), unique.keys(), loc="upper left")
    ax.set(title="Multipliers and unit circle", xlabel="real part", ylabel="imaginary part")
    ax.set_aspect("equal", adjustable="datalim")


def _plane(ax: Axes, answer: Answer, report: Report) -> None:
    orbit = _numpy(answer.evidence["projected"])
    for i in range(orbit.shape[1]):
        ax.plot(orbit[:, i, 0], orbit[:, i, 1], ".-", color=INK, ms=2, lw=0.5, alpha=0.7)
    found = report.answers.get("points")
    if found is not None and "points" in found.evidence and len(found.evidence["points"]):
        centre, axes = answer.evidence["centre"], answer.evidence["axes"]
        at = _numpy((found.evidence["points"] - centre) @ axes.mT)
        for i, kind in enumerate(found.evidence["stability"]):
            mark = "o" if kind == "stable" else "x"
            ax.plot(*at[i], mark, color=SECOND, ms=6, mfc="none")
    ax.set(title="Orbits and fixed points", xlabel="first component", ylabel="second component")


def _influence(ax: Axes, answer: Answer, report: Report) -> None:
    e = answer.evidence
    for name, label, color in (
        ("of_input", "of an input", INK),
        ("of_state", "of a state (gradient)", SECOND),
    ):
        curve = np.where(e[name] > 0, e[name], np.nan)
        ax.semilogy(e["lag"], curve, color=color, lw=1.2, label=label)
    ax.legend()
    ax.set(title="Influence on the last output", xlabel="lag (steps)", ylabel="norm")


def _cost(ax: Axes, answer: Answer, report: Report) -> None:
    for name, color in (("far", INK), ("near", SECOND)):
        line = answer.evidence[name]
        half, middle = line["at"].max(), line["cost"][len(line["cost"]) // 2]
        change = line["cost"] - middle
        size = np.nanmax(np.abs(change)) or 1.0
        label = f"within {half:.1%}: up to {size:.1e}"
        ax.plot(line["at"] / half, change / size, ".-", ms=3, lw=1, color=color, label=label)
    ax.legend()
    ax.set(
        title=f"Cost along {answer.evidence['along']}",
        xlabel="distance / half-length of the line", ylabel="change / its largest",
    )  # fmt: skip


def _gain(ax: Axes, answer: Answer, report: Report) -> None:
    orbit, gain = answer.evidence["orbit"], _numpy(answer.evidence["gain"])
    for start in range(orbit.shape[-1]):
        at = np.broadcast_to(gain, orbit.shape[:2])
        color = (INK, SECOND)[start % 2]
        ax.plot(at.ravel(), orbit[..., start].ravel(), ".", ms=1.5, color=color, rasterized=True)
    ax.set(title="Orbit diagram", xlabel="gain of the typical input", ylabel="first output")


# Of which answer, the evidence that the panel needs, and what draws it.
PANELS = (
    ("approach", "step_length", _approach),
    ("points", "multipliers", _points),
    ("approach", "projected", _plane),
    ("gain", "orbit", _gain),
    ("influence", "lag", _influence),
    ("cost", "far", _cost),
)

"""The scoreboard as one grid: the paper's 21 numbers, each with our seeds and a verdict.

Plain HTML: the switch between the two settings is a pair of radio buttons, and what a cell opens is
a popover, so it needs neither a kernel nor a script, and the keyboard reaches all of it.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from IPython.display import HTML

from rnnlib.runs import Attempt, Cell, comparison, counts
from rnnlib.training import LABELS

ENOUGH, SEEDS, ALONG = comparison.ENOUGH, comparison.SEEDS, comparison.ALONG
MARKS = {"agrees": "=", "differs": "≠", "undecided": "?", "untested": ""}
SECTIONS = {
    "classification": "Sequence classification: accuracy",
    "sine": "Sine generation: mean squared error",
    "language": "WikiText-2: perplexity",
}
COLUMNS = ("seed", "epochs", "at stop", "best on validation", "fresh test", "cost", "made by")
WIDTH, HEIGHT, POINTS = 280, 110, 140  # of a history's picture, and how many points of each line
SHADES = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#ca9161", "#949494")
STYLE = """<style>
.board { --agrees: #2e8b57; --differs: #c0392b; --undecided: #8a6d1a; font-size: .85rem; }
.board > input { margin: 0 .3em 0 .8em; }
.board .panel { display: none; overflow-x: auto; }
.board > input:nth-of-type(1):checked ~ .panel:nth-of-type(1),
.board > input:nth-of-type(2):checked ~ .panel:nth-of-type(2) { display: block; }
.board table.grid { border-collapse: separate; border-spacing: 3px; width: auto; }
.board .grid th { max-width: 10em; text-align: left; font-weight: normal; padding: .2em .4em; }
.board .grid td { padding: 0; vertical-align: top; }
.board button { position: relative; display: block; min-width: 4.6em; width: 100%;
  padding: .2em .4em; border: 1px solid #8888; border-left: 4px solid #8888; border-radius: 3px;
  color: inherit; background: none; font: inherit; text-align: left; cursor: pointer; }
.board button:focus-visible, .board > input:focus-visible { outline: 2px solid #5b9bd5; }
.board .agrees { border-color: var(--agrees); background: #2e8b5733; }
.board .differs { border-color: var(--differs); background: #c0392b33; }
.board .undecided { border-color: var(--undecided); background: #e0b84033; }
.board .paper { float: right; font-size: .8em; opacity: .8; margin-left: .6em; }
.board .ours { display: block; clear: both; font-weight: bold; white-space: nowrap; }
.board .seed { display: inline-block; width: .62em; height: .62em; margin-right: 2px;
  border: 1px solid #8886; }
.board .seed.ended { background: currentColor; border-color: currentColor; }
.board .seed.begun { border: 2px solid currentColor; }
.board .seeds { white-space: nowrap; }
.board .more { display: block; font-size: .75em; white-space: nowrap; }
.board [popover] { max-width: min(46rem, 92vw); max-height: 84vh; overflow: auto; padding: 1em;
  border: 1px solid #888; border-radius: 6px; color: CanvasText; background: Canvas; }
html[data-theme=dark] .board [popover] { color: #eee; background: #1b1b1d; }
.board [popover] .scroll { overflow-x: auto; }
.board [popover] td, .board [popover] th { padding: .15em .5em; vertical-align: top; }
.board code { white-space: pre-wrap; overflow-wrap: anywhere; }
</style>"""


def grid(panels: Mapping[str, Sequence[Cell]], name: str = "board") -> HTML:
    """Return the grid, with a switch between its panels.

    Args:
        panels: the cells by the name of their setting, see `rnnlib.runs.board`.
        name: sets this grid's elements apart from those of another on the same page.
    """
    switch, bodies = [], []
    for k, (title, cells) in enumerate(panels.items()):
        key, checked = f"{name}-{k}", " checked" * (k == 0)
        switch.append(
            f'<input type="radio" name="{name}" id="{key}"{checked}>'
            f'<label for="{key}">{escape(title)}</label>'
        )
        bodies.append(
            f'<div class="panel"><p>{escape(headline(cells))}</p>{_table(cells, key)}</div>'
        )
    return HTML(
        f'{STYLE}<div class="board">{"".join(switch)}{"".join(bodies)}<p>{escape(LEGEND)}</p></div>'
    )


LEGEND = (
    f"In a cell: the paper's number at the right, the median of our ended runs below it, and a "
    f"square for each seed: filled where the run has ended, outlined where it is on its way, faint "
    f"where it was never begun. A number is tested by {ENOUGH} ended runs. It agrees (=) if their "
    f"median is within {comparison.ACCURACY:g} of an accuracy, a factor {comparison.FACTOR:g} of "
    f"an error, {comparison.SHARE:.0%} of a perplexity; it differs (≠) if every run is further "
    f"away, all on one side; else it is undecided (?)."
)


def headline(cells: Sequence[Cell]) -> str:
    """Return how many numbers are tested, and how many agree."""
    tested, agree = counts(cells)
    return f"{tested} of {len(cells)} numbers tested, {agree} agree."


def told(panels: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Return sentences that say what agrees, what differs and what is missing, panel by panel."""
    sentences = []
    for title, cells in panels.items():
        sentences.append(f"**At {title}**: {headline(cells)}")
        for word, verb in (("agrees", "agree"), ("differs", "differ")):
            found = [_told(cell) for cell in cells if cell.verdict == word]
            if found:
                sentences.append(f"Those that {verb}: {'; '.join(found)}.")
        begun = [_told(cell) for cell in cells if cell.verdict == "undecided"]
        if begun:
            sentences.append(f"Undecided: {'; '.join(begun)}.")
        missing = sum(cell.verdict == "untested" for cell in cells)
        if missing:
            sentences.append(f"Of {missing} no run has ended.")
    return sentences


def _told(cell: Cell) -> str:
    runs = len(cell.values)
    seeds = "one run" if runs == 1 else f"{runs} runs"
    middle, paper = np.median(cell.values), cell.claim.value
    return f"{_title(cell)}, {middle:.3g} in {seeds} where the paper has {paper:g}"


def _table(cells: Sequence[Cell], key: str) -> str:
    rows, numbered = [], list(enumerate(cells))
    for section, title in SECTIONS.items():
        ours = [(n, cell) for n, cell in numbered if cell.claim.experiment == section]
        if not ours:
            continue
        lengths = list(dict.fromkeys(cell.claim.settings.get("length") for _, cell in ours))
        heads = "".join(f'<th scope="col">{n or ""}</th>' for n in lengths)
        by = ", by length" if lengths != [None] else ""
        rows.append(f'<tr><th scope="colgroup"><b>{escape(title)}</b>{by}</th>{heads}</tr>')
        for model in dict.fromkeys(cell.claim.settings["model"] for _, cell in ours):
            found = [pair for pair in ours if pair[1].claim.settings["model"] == model]
            tds = "".join(f"<td>{_cell(cell, f'{key}-{n}')}</td>" for n, cell in found)
            rows.append(f'<tr><th scope="row">{escape(LABELS[model])}</th>{tds}</tr>')
    return f'<table class="grid">{"".join(rows)}</table>'


def _cell(cell: Cell, key: str) -> str:
    verdict, values = cell.verdict, cell.values
    ours = f"{np.median(values):.3g}" if len(values) else "–"
    on_its_way = [a for a in cell.attempts if not a.ended]
    more = ""
    if on_its_way:
        furthest = max(on_its_way, key=lambda a: a.epochs)
        more = f'<span class="more">{furthest.epochs} / {furthest.config.epochs} epochs</span>'
    label = f"{_title(cell)}: paper {cell.claim.value:g}, ours {ours}, {verdict}"
    return (
        f'<button type="button" class="{verdict}" popovertarget="{key}" '
        f'aria-label="{escape(label)}"><span class="paper">{cell.claim.value:g}</span>'
        f'<span class="ours">{ours} {MARKS[verdict]}</span>{_squares(cell)} {more}</button>'
        f'<div popover id="{key}">{_details(cell)}</div>'
    )


def _squares(cell: Cell) -> str:
    """One square a seed; runs of one seed on other data share it, the furthest one's shows."""
    best: dict[int, Attempt] = {}
    for attempt in cell.attempts:  # ended ones come first
        best.setdefault(attempt.config.seed, attempt)
    squares = []
    for seed in dict.fromkeys((*SEEDS, *best)):
        attempt = best.get(seed)
        if attempt is None:
            kind, words = "", "never run"
        elif attempt.ended:
            kind, words = " ended", attempt.end
        else:
            kind, words = " begun", f"{attempt.epochs} of {attempt.config.epochs} epochs"
        squares.append(f'<span class="seed{kind}" title="seed {seed}: {words}"></span>')
    return f'<span class="seeds">{"".join(squares)}</span>'


def _title(cell: Cell) -> str:
    settings = cell.claim.settings
    length = f", length {settings['length']}" if "length" in settings else ""
    return f"{LABELS[settings['model']]}{length}, {cell.claim.place}"


def _details(cell: Cell) -> str:
    parts = [f"<b>{escape(_title(cell))}</b>: the paper has {cell.claim.value:g}."]
    if cell.attempts:
        head = "".join(f"<th>{column}</th>" for column in COLUMNS)
        body = "".join(map(_row, cell.attempts))
        parts.append(f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>')
        parts.append(picture(cell))
        if cell.claim.experiment == "sine":
            parts.append(
                "<p>At stop and best are running errors, summed over an epoch while the weights "
                "move: those of no network. The fresh one is of the stored weights.</p>"
            )
    else:
        parts.append("<p>Never run.</p>")
    changed = {k: v for k, v in cell.config.to_dict().items() if not k.startswith("record_")}
    listed = ", ".join(f"{key} {value}" for key, value in changed.items() if key != "seed")
    parts.append(f"<details><summary>Configuration</summary>{escape(listed)}</details>")
    parts.append(f"<p>It is filled by</p><code>{escape(cell.command)}</code>")
    return "".join(parts)


def _row(attempt: Attempt) -> str:
    config: Any = attempt.config  # some kinds of experiments draw their data
    data = "" if not hasattr(config, "data_seed") else f", data {config.draw} {config.data_seed}"
    state = attempt.end or f"on its way, of {config.epochs}"
    commits = ", ".join(commit[:7] for commit in attempt.commits)
    cells = (
        f"{config.seed}{data}",
        f"{attempt.epochs}, {state}",
        *map(_number, (attempt.at_stop, attempt.best, attempt.fresh)),
        _time(attempt.seconds),
        f"{commits}; {', '.join(attempt.devices)}",
    )
    return "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in cells) + "</tr>"


def _number(value: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.4g}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "not noted"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def picture(cell: Cell) -> str:
    """Return the runs' histories as an SVG, the paper's number as a dashed line."""
    logarithmic = cell.claim.experiment != "classification"
    scale = np.log10 if logarithmic else np.asarray
    curves = [scale(np.maximum(a.history, 1e-9)) for a in cell.attempts]
    paper = float(scale(cell.claim.value))
    finite = np.concatenate([c[np.isfinite(c)] for c in curves] + [[paper]])
    low, high = finite.min(), finite.max()
    span, longest = (high - low) or 1.0, max(len(c) for c in curves)

    def place(epoch, value):
        x = WIDTH * epoch / max(longest, 2)
        return f"{x:.1f},{HEIGHT - 4 - (HEIGHT - 8) * (value - low) / span:.1f}"

    lines = []
    for k, curve in enumerate(curves):
        shown = np.unique(np.linspace(0, len(curve) - 1, POINTS).astype(int))
        points = " ".join(place(i + 1, curve[i]) for i in shown if np.isfinite(curve[i]))
        colour = SHADES[k % len(SHADES)]
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    level = place(0, paper).split(",")[1]
    dashed = (
        f'<line x1="0" x2="{WIDTH}" y1="{level}" y2="{level}" stroke="currentColor" '
        f'stroke-dasharray="4"/>'
    )
    name = ALONG[cell.claim.experiment].replace("_", " ")
    log = ", log scale" if logarithmic else ""
    says = f"{name}{log}, epochs 1 to {longest}; dashed: the paper's number"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(says)}">{dashed}{"".join(lines)}</svg><br><small>{says}</small>'
    )

"""HTML about stored runs: table 1 beside the paper's numbers, and where a figure comes from."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np
from IPython.display import HTML

from rnnlib.files import read_json
from rnnlib.runs import Score, store
from rnnlib.training import LABELS

CELL = "padding: .3em .5em; text-align: left; vertical-align: top;"
SMALL = "font-size: .85em; opacity: .8;"


def accuracy_table(scores: Sequence[Score], caption: str) -> HTML:
    """Return table 1: for each length and model our runs, and below them the paper's number.

    Of an ended run it is the accuracy at the stop, which is what the paper reports. At the epoch of
    the least loss it can be lower.

    Args:
        scores: of claims with a model and a length, see `rnnlib.runs.scores`.
        caption: what the table says of itself.
    """
    cells = {(s.claim.settings["length"], s.claim.settings["model"]): s for s in scores}
    lengths, models = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
    header = "".join(f'<th style="{CELL}">{LABELS[model]}</th>' for model in models)
    rows = [
        f'<tr><th style="{CELL}">{n}</th>'
        + "".join(f'<td style="{CELL}">{_cell(cells[n, model])}</td>' for model in models)
        + "</tr>"
        for n in lengths
    ]
    return _table(f'<th style="{CELL}">Length</th>{header}', "".join(rows), caption)


def _cell(score: Score) -> str:
    paper = score.claim.value
    small = "not in the paper" if math.isnan(paper) else f"paper {paper:g}"
    if len(score.last):
        low, middle, high = score.last.min(), np.median(score.last), score.last.max()
        n = len(score.last)
        text = f"<b>{middle:.3f}</b>"
        if n > 1:
            text += f" ({low:.3f} to {high:.3f})"
        small = f"{n} seed{'s' if n > 1 else ''}; {small}"
    else:
        text = "not yet run"
    if score.unfinished:
        on_their_way = zip(score.so_far, score.unfinished, strict=True)
        small += "; unfinished: " + ", ".join(f"{a:.3f} at epoch {n}" for a, n in on_their_way)
    return f'{text}<br><span style="{SMALL}">{small}</span>'


def sources(folders: Sequence[Path]) -> HTML:
    """Return a line that says which stored runs were drawn, and how and where they were made.

    Args:
        folders: of the runs. Those that have ended are checked against their checksums.

    Raises:
        FileError: a result that was altered after its run ended.
    """
    lines = []
    for what, group in groupby(sorted(map(_facts, folders)), key=lambda facts: facts[0]):
        facts = list(group)
        _, seeds, commits, devices, _ = zip(*facts, strict=True)
        seeds = ", ".join(map(str, seeds))
        commits, devices = (", ".join(sorted(set(part))) for part in (commits, devices))
        notes = "".join(f"; seed {seed} {note}" for _, seed, _, _, note in facts if note)
        lines.append(f"{what}, seed {seeds} (commit {commits}; {devices}{notes})")
    text = ". ".join(lines) or "no stored run"
    return HTML(f'<p style="{SMALL}">Drawn from the store: {escape(text)}.</p>')


def _facts(folder: Path) -> tuple[str, int, str, str, str]:
    config = store.read_config(folder)
    note = ""
    if store.is_done(folder):
        store.check(folder)
    else:
        done = len(store.read_history(folder))
        note = f"is unfinished, {done} of at most {config.epochs} epochs"
    parts = read_json(Path(folder) / "provenance.json")["parts"]
    commits = {(p["commit"] or "unknown")[:7] + ("*" if p["dirty"] else "") for p in parts}
    devices = {p["device"] for p in parts}
    steps = getattr(config, "length", None)
    length = "" if steps is None else f", length {steps}"
    decays = " that decays" if config.name == "sine" and config.decay_epochs else ""
    rate = f"learning rate {config.learning_rate:g}{decays}"
    what = f"{LABELS[config.model]}{length}, {rate}"
    return what, config.seed, " and ".join(sorted(commits)), " and ".join(sorted(devices)), note


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Return the median of some runs, and the least to the greatest where they differ."""
    if not len(values):
        return ""
    middle, low, high = (f"{f(values):.{digits}f}" for f in (np.median, min, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def summary(runs: Mapping[str, Sequence[str]], columns: Sequence[str], caption: str) -> HTML:
    """Return a table of text.

    Args:
        runs: the cells of each row by its title.
        columns: the heads, that of the titles first.
        caption: what the table says of itself.
    """
    head = "".join(f'<th style="{CELL}">{column}</th>' for column in columns)
    body = "".join(
        f'<tr><th style="{CELL} min-width: 7em;">{title}</th>'
        + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells)
        + "</tr>"
        for title, cells in runs.items()
    )
    return _table(head, body, caption)


def _table(head: str, body: str, caption: str) -> HTML:
    return HTML(
        '<div style="overflow-x: auto;">'  # a table wider than a phone scrolls by itself
        f'<table><caption style="caption-side: top; text-align: left;">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )

"""A report as HTML: a fragment for a notebook, and one page that needs no other host."""

import html
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlib.diagnosis.answers import SETTLED, Answer, plain

if TYPE_CHECKING:
    from rnnlib.diagnosis.reporting import Report

STYLE = """
.rnn-report { --ink: #1b1f24; --ground: #fff; --soft: #57606a; --line: #d0d7de; --loud: #b42318;
  --loud-ground: #fef3f2; color: var(--ink); background: var(--ground); max-width: 52rem;
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .rnn-report { --ink: #e6edf3; --ground: #0d1117;
  --soft: #9198a1; --line: #3d444d; --loud: #ffa198; --loud-ground: #3a1214; }
  .rnn-report svg { filter: invert(1) hue-rotate(180deg); } }
.rnn-report h1 { font-size: 1.4em; } .rnn-report h2 { font-size: 1.1em; margin: 1.2em 0 .2em; }
.rnn-report p { margin: .3em 0; } .rnn-report .soft { color: var(--soft); font-size: .85em; }
.rnn-report .loud { color: var(--loud); background: var(--loud-ground); padding: .5em .8em;
  border-left: 4px solid var(--loud); font-weight: 600; }
.rnn-report .table { overflow-x: auto; } .rnn-report table { border-collapse: collapse; }
.rnn-report td, .rnn-report th { padding: .2em .8em .2em 0; text-align: left;
  border-bottom: 1px solid var(--line); font-size: .85em; vertical-align: top; }
.rnn-report summary { cursor: pointer; } .rnn-report svg { max-width: 100%; height: auto; }
"""


def fragment(report: "Report", figure: str | None) -> str:
    """Return the report as HTML without a page around it.

    Args:
        report: what to show.
        figure: an SVG drawing, or None.
    """
    parts = [f"<style>{STYLE}</style>", '<div class="rnn-report">']
    parts.append(f"<h1>{html.escape(report.title)}</h1>")
    parts += [f'<p class="loud">{html.escape(line)}</p>' for line in report.disagreements]
    parts += [f'<p class="soft">{html.escape(note)}</p>' for note in report.notes]
    if figure:
        parts.append(figure)
    parts += [_section(answer) for answer in report.answers.values()]
    parts.append(f'<p class="soft">{html.escape(report.footer)}</p></div>')
    return "\n".join(parts)


def page(report: "Report", figure: str | None) -> str:
    """Return the report as one whole page, its numbers with it as JSON."""
    numbers = json.dumps(report.to_dict()).replace("<", "\\u003c")  # ends no script element
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(report.title)}</title>"
        "<style>body { margin: 0 auto; padding: 1rem; max-width: 52rem; } "
        "@media (prefers-color-scheme: dark) { body { background: #0d1117; } }</style></head>"
        f"<body>{fragment(report, figure)}"
        f'<script type="application/json" id="report">{numbers}</script></body></html>\n'
    )


def _section(answer: Answer) -> str:
    note = f"{answer.seconds:.1f} s" + (f", {answer.state}" if answer.state != SETTLED else "")
    words = "".join(f"<p>{html.escape(line)}</p>" for line in answer.words)
    table = _table(answer.evidence)
    evidence = (
        f"<details><summary class='soft'>evidence</summary>{table}</details>" if table else ""
    )
    return (
        f'<h2>{html.escape(answer.question)} <span class="soft">({html.escape(note)})</span></h2>'
        f"{words}{evidence}"
    )


def _table(evidence: Mapping[str, Any], before: str = "") -> str:
    """Return rows of numbers; long arrays are told by their size, mappings are opened."""
    rows = _rows(evidence)
    if not rows:
        return ""
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<div class='table'><table>{cells}</table></div>"


def _rows(evidence: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in evidence.items():
        name, value = f"{before}{key}".replace("_", " "), plain(value)
        if isinstance(value, dict):
            rows += _rows(value, f"{name}, ")
        elif isinstance(value, list):
            flat = np.array(value, dtype=object).ravel()
            if len(flat) <= 12:
                rows.append((name, ", ".join(map(_shown, flat))))
            else:
                rows.append((name, f"{len(flat)} numbers, in the JSON"))
        else:
            rows.append((name, _shown(value)))
    return rows


def _shown(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

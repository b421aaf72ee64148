"""What every benchmark prints: a peer's time, ours, their ratio, and the ratio to reach."""

from typing import NamedTuple


class Row(NamedTuple):
    name: str
    peer: float  # seconds
    ours: float  # seconds
    ratio: float  # peer / ours
    bar: float | None  # the least acceptable ratio, on one thread


def table(title: str, measured: list[Row]) -> str:
    """Return the rows as text, one line each."""
    lines = [title, f"{'':46}{'peer ms':>12}{'ours ms':>10}{'ratio':>9}  bar"]
    for row in measured:
        verdict = "ok" if row.bar is None or row.ratio >= row.bar else "MISSED"
        bar = "" if row.bar is None else f">= {row.bar:.3g} {verdict}"
        times = f"{1e3 * row.peer:12.1f}{1e3 * row.ours:10.1f}{row.ratio:9.3g}"
        lines.append(f"{row.name:46}{times}  {bar}")
    return "\n".join(lines)

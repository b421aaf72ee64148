"""What every benchmark prints: a peer's time, ours, their ratio, and the ratio to reach."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch


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


@contextmanager
def one_core() -> Iterator[None]:
    """Stay on one core and one thread inside the ``with`` block."""
    affinity, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(affinity)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, affinity)
        torch.set_num_threads(threads)


def medians(functions: dict, repeats: int, clock=time.process_time) -> dict[str, float]:
    """Run the functions in turn; the first round compiles and does not count."""
    taken = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            start = clock()
            function()
            taken[name].append(clock() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def row(name: str, seconds: dict, peer: str, ours: str, bar: float | None = None) -> Row:
    return Row(name, seconds[peer], seconds[ours], seconds[peer] / seconds[ours], bar)

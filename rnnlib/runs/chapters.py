"""Execute the chapters that draw runs, with papermill, and say in a line where one failed.

What is executed is the chapter itself, once, after its runs: it draws what the store holds. The
executed notebook is kept. A chapter is due while a run of its is newer than its last drawing, so
one that failed or was interrupted is drawn by the next start, though nothing is left to train.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rnnlib.files import FileError, read_json, write_text
from rnnlib.runs.engine import GRACE, interruptible


class Drawn(NamedTuple):
    """How a chapter went: the executed notebook, and why it failed or that its time was up."""

    notebook: Path
    failure: str | None = None
    in_time: bool = True


def is_due(stamp: Path, root: Path, folders: Iterable[Path]) -> bool:
    """Return whether a run has ended since a chapter was drawn, or was drawn from another store.

    Args:
        stamp: the file that `execute` leaves.
        root: the store.
        folders: of the runs that the chapter draws; without an ended one there is nothing to draw.
    """
    marks = [path for path in (folder / "done.json" for folder in folders) if path.exists()]
    try:
        same = stamp.read_text(encoding="utf-8") == str(root.absolute())
        drawn = stamp.stat().st_mtime_ns
    except (OSError, ValueError):
        return bool(marks)
    return bool(marks) and not (same and all(m.stat().st_mtime_ns < drawn for m in marks))


def execute(
    source: Path, folder: Path, root: Path, *, stamp: Path | None = None, until: float | None = None
) -> Drawn:
    """Execute a chapter into a folder, with a log beside it.

    Args:
        source: the chapter.
        folder: where the executed notebook is kept, also that of one that fails.
        root: the store that the chapter reads.
        stamp: a file to leave if it is drawn, see `is_due`.
        until: the time, as of `time.time`, at which it is to end, but for a minute of grace.
    """
    result = folder / source.name
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "papermill", source.name, str(result)]
    environment = os.environ | {"RNNLIB_RESULTS": str(root.absolute())}
    environment.pop("MPLBACKEND", None)  # figures are to go into the notebook
    begun = time.time()
    with open(folder / "log" / f"{source.stem}.log", "w") as log, interruptible(
        [*command, "--no-progress-bar"], cwd=source.parent, stdout=log, stderr=log, env=environment
    ) as papermill:  # fmt: skip
        try:
            papermill.wait(None if until is None else max(until + GRACE - time.time(), 0))
        except subprocess.TimeoutExpired:
            return Drawn(result, in_time=False)
    if papermill.returncode:
        return Drawn(result, _failure(result) or f"see {log.name}")
    if stamp is not None:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        write_text(stamp, str(root.absolute()))
        os.utime(stamp, (begun, begun))  # a run that ended meanwhile may not have been drawn
    return Drawn(result)


def _failure(notebook: Path) -> str | None:
    """Return the cell of an executed notebook that failed, and its error, in a line."""
    try:
        cells = read_json(notebook)["cells"]
    except (FileError, KeyError):  # papermill died before it wrote one
        return None
    # Papermill marks all as completed if the kernel dies: the last that it began is the one
    begun = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
    code = [cell for cell in begun if cell["cell_type"] == "code" and "".join(cell["source"])]
    if not code:
        return None
    errors = [out for out in code[-1]["outputs"] if out["output_type"] == "error"]
    what = f"{errors[-1]['ename']}: {errors[-1]['evalue']}" if errors else "the kernel died"
    line = "".join(code[-1]["source"]).strip().split("\n")[0]
    return f"cell [{len(code)}], `{line}`: {' '.join(what.split())}"

"""Every run of a store as a table: its settings, its number, where it was made, how to repeat it.

Results may come from anybody, so whatever is read from their files is escaped.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from IPython.display import HTML

from rnnlib.files import FileError
from rnnlib.runs import batch, engine, store

SHOWN = ("evaluated_mse", "mse", "fresh_accuracy", "valid_accuracy", "test_perplexity")
COLUMNS = ("Run", "Result", "Epochs", "Time", "Device", "Commit")
CELL = "padding: .2em .5em; text-align: left; vertical-align: top;"


def runs_table(root: Path | str, experiment: str) -> HTML:
    """Return a table of an experiment's runs, each with the line that repeats it.

    An entry that cannot be read has a row that says so.

    Args:
        root: the store.
        experiment: "sine", "classification" or "language".
    """
    folders = sorted(path.parent for path in Path(root).glob(f"{experiment}/*/*/config.json"))
    rows = "".join(_row(folder) for folder in folders)
    if not rows:
        return HTML("<p>No runs are stored.</p>")
    head = "".join(f'<th style="{CELL}">{name}</th>' for name in COLUMNS)
    return HTML(
        f'<div style="overflow-x: auto;"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(folder: Path) -> str:
    try:
        cells, command = _facts(folder)
    except (FileError, KeyError, TypeError, AttributeError) as error:
        text = f"{folder.name} cannot be read: {error}"
        return f'<tr><td style="{CELL}" colspan="{len(COLUMNS)}">{escape(text)}</td></tr>'
    text = "".join(f'<td style="{CELL}">{escape(str(cell))}</td>' for cell in cells)
    line = f'<code style="white-space: nowrap;">{escape(command)}</code>'
    # The line stands below, so that the table is not as wide as it is long
    return f'<tr>{text}</tr><tr><td style="{CELL}" colspan="{len(COLUMNS)}">{line}</td></tr>'


def _facts(folder: Path) -> tuple[list[str], str]:
    """Return what the columns say of a run, and its command."""
    config = store.read_config(folder)
    facts = store.parse_json(folder, "provenance.json")
    parts = facts["parts"]
    if store.is_done(folder):
        store.check(folder)
        mark = store.read_mark(folder)
        best, epochs = mark["best"], str(mark["last"]["epoch"])
        result = ", ".join(_number(name, best[name]) for name in SHOWN if name in best)
    else:
        result, epochs = "on its way", f"{len(store.read_history(folder))} of {config.epochs}"
    seconds = facts["seconds"]
    commits = {(p["commit"] or "unknown")[:7] + ("*" if p["dirty"] else "") for p in parts}
    cells = [
        str(config),
        result,
        epochs,
        engine.duration(seconds) if seconds else "not kept",
        ", ".join(sorted({p["device"] for p in parts})),
        ", ".join(sorted(commits)),
    ]
    return cells, batch.short_command(config)


def _number(name: str, value: float) -> str:
    return f"{name.replace('_', ' ')} {value:.4g}"


def targets_table(root: Path | str, targets: Iterable[batch.Target]) -> HTML:
    """Return how many runs of each figure and table are done, and the command that fills it.

    Args:
        root: the store.
        targets: as `rnnlib.runs.batch.read_targets` returns them.
    """
    rows = ""
    for target in targets:
        done = sum(store.is_done(store.folder_of(root, config)) for config in target.configs)
        cells = (target.shows, f"{done} of {len(target.configs)}", f"make {target.name}")
        text = "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in cells[:2])
        rows += f'<tr>{text}<td style="{CELL}"><code>{escape(cells[2])}</code></td></tr>'
    head = "".join(f'<th style="{CELL}">{name}</th>' for name in ("What", "Runs done", "To fill"))
    return HTML(
        f'<div style="overflow-x: auto;"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )

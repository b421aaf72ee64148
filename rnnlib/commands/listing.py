"""``python -m rnnlib list``: list the runs in a store."""

import argparse
from pathlib import Path
from typing import Any

from rnnlib.commands.run import root_of
from rnnlib.files import FileError
from rnnlib.runs import store


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("list", help="list the runs in a store")
    parser.add_argument("--root", help="(default: RNNLIB_RESULTS, else results)")
    parser.set_defaults(act=act, parser=parser)


def act(options: argparse.Namespace) -> int:
    """Print two lines a run; an entry that cannot be read says so and hides no other."""
    root = root_of(options)
    folders = sorted(path.parent for path in root.glob("*/*/*/config.json"))
    if not folders:
        print(f"No runs in {root}.")
    for folder in folders:
        try:
            print(f"{_line(folder)}\n    {folder}")
        except FileError as error:
            print(f"cannot be read: {error}\n    {folder}")
    return 0


def _line(folder: Path) -> str:
    config = store.read_config(folder)
    if store.is_done(folder):
        best = store.read_mark(folder)["best"]
        state = "done, best " + ", ".join(
            f"{key} {value:.4g}"
            for key, value in best.items()
            if key in ("epoch", "mse", "valid_loss", "valid_accuracy")
        )
    elif (folder / "history.csv").exists():
        state = f"{len(store.read_history(folder))} of {config.epochs} epochs"
    else:
        state = "not begun"
    changes = config.changes().items() - {("seed", config.seed)}
    changed = ", ".join(f"{key} {value}" for key, value in sorted(changes))
    return f"{config}: {state}{'; ' * bool(changed)}{changed}"

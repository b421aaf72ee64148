"""``python -m rnnlib analyse``: measure the dynamics of the networks of runs."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rnnlib.commands.errors import explain
from rnnlib.runs import analyse_language, analyse_sine, store


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "analyse",
        help="measure the dynamics of the networks of runs",
        description="Write the dynamics beside the results of runs. Sine generation: the fixed "
        "point, the Lyapunov exponents, amplitude and frequency at each snapshot, and the "
        "crossings of the unit circle; it can be stopped and started again, also while a run is on "
        "its way. Language: the exponent while reading, the cycles of words, and how long pairs "
        "under the same noise stay apart.",
    )
    parser.add_argument("folders", nargs="+", metavar="folder", help="of a run, see `list`")
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="X",
        help="sine: each so many-th snapshot (default: 1)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(act=act, parser=parser)


def act(options: argparse.Namespace) -> int:
    """Analyse each folder; one that fails does not stop the others."""
    if options.every < 1:
        raise ValueError(f"every is {options.every}; it must be at least 1.")
    status = 0
    for folder in map(Path, options.folders):
        try:
            print(_analyse(folder, options), flush=True)
        except BrokenPipeError:
            raise
        except Exception as error:
            if (text := explain(error)) is None:
                raise
            print(f"error: {text}", file=sys.stderr, flush=True)
            status = 2
    return status


def _analyse(folder: Path, options) -> Path:
    if store.read_config(folder).name == "language":
        analyse_language(folder, progress=not options.quiet)
        return folder / "dynamics.json"
    analyse_sine(folder, options.every, progress=not options.quiet)
    return folder / "dynamics.csv"

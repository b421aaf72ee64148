"""``python -m rnnlib run``: run an experiment, or go on with one cut short."""

import argparse
import dataclasses
import sys
import time
import traceback
import typing
from pathlib import Path
from typing import Any

from rnnlib.commands.errors import explain
from rnnlib.runs import EXPERIMENTS, PRESETS, configure, runner, store

REPEATED = ("seed", "length", "model")  # these take several values: a run for each combination
QUICK = "_build/quick"


def add_to(commands: Any) -> None:
    """Add the command with an option per setting."""
    run = commands.add_parser("run", help="run an experiment, or go on with one cut short")
    experiments = run.add_subparsers(required=True, metavar="experiment", dest="experiment")
    for name, kind in EXPERIMENTS.items():
        what = (kind.__doc__ or "").partition("\n")[0]
        one = experiments.add_parser(
            name,
            help=what,
            description=what
            + " Settings that are not given have the preset's value. A run that was cut short is "
            "taken up where its last checkpoint lies; a finished one is left alone. One that "
            "fails does not stop the others.",
            allow_abbrev=False,
        )
        _add_options(one)
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            many = field.name in REPEATED or hints[field.name] == tuple[int, ...]
            one.add_argument(
                "--" + field.name.replace("_", "-"),
                type=int if hints[field.name] == tuple[int, ...] else hints[field.name],
                nargs=("*" if field.name not in REPEATED else "+") if many else None,
                metavar="X",
                help=f"{field.metadata['help']} (default: {field.default})",
            )
        one.set_defaults(act=act, parser=one)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=PRESETS, default="text", help="(default: text)")
    parser.add_argument(
        "--root",
        help=f"the store (default: RNNLIB_RESULTS, else results; for quick, {QUICK})",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument(
        "--together", action="store_true", help="train all runs as one batch; pays on a GPU"
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="begin a run anew whose checkpoint is damaged or on another machine; what was there "
        "is kept in aside/ of its folder",
    )
    parser.add_argument(
        "--busy",
        choices=("error", "wait", "skip"),
        default="error",
        help="what another process at work on a run is (default: error)",
    )
    parser.add_argument(
        "--minutes", type=float, metavar="X", help="stop after an epoch within so many minutes"
    )
    parser.add_argument("--stop-at", type=float, help=argparse.SUPPRESS)  # a time, from a batch
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def root_of(options: argparse.Namespace) -> Path:
    """Return the store that the options name: --root, RNNLIB_RESULTS or results."""
    if options.root:
        return Path(options.root).expanduser()
    return Path(QUICK) if getattr(options, "preset", "") == "quick" else store.root_of("text")


def act(options: argparse.Namespace) -> int:
    """Run every combination of the settings; tell of each as soon as it has ended or failed."""
    if options.minutes is not None and not options.minutes > 0:
        raise ValueError(f"minutes is {options.minutes}; it must be positive.")
    names = [field.name for field in dataclasses.fields(EXPERIMENTS[options.experiment])]
    given = {name: getattr(options, name) for name in names}
    combinations = [{}]
    for name, value in given.items():
        values = value if name in REPEATED and value is not None else [value]
        combinations = [c | {name: v} for c in combinations for v in values]
    outcomes = runner.each(
        [configure(options.experiment, options.preset, **c) for c in combinations],
        root_of(options),
        device=options.device,
        together=options.together,
        restart=options.restart,
        wait=options.busy == "wait",
        seconds=_seconds(options),
        progress=not options.quiet,
    )
    return max([_tell(outcome, options.busy) for outcome in outcomes], default=0)


def _seconds(options) -> float | None:
    """Return for how long to run: from --minutes, or --stop-at of a batch."""
    if options.stop_at is not None:
        return options.stop_at - time.time()
    return None if options.minutes is None else 60 * options.minutes


def _tell(outcome: runner.Outcome, busy: str) -> int:
    """Print a run's folder, or what stopped it; return the exit status."""
    error = outcome.error
    if error is None:
        print(outcome.folder, flush=True)
        return 0
    if isinstance(error, BrokenPipeError):
        raise error
    text = explain(error)
    if text is None:
        traceback.print_exception(error)
        return 1
    skipped = busy == "skip" and isinstance(error, runner.Busy)
    kind = "stopped" if skipped or isinstance(error, runner.OutOfTime) else "error"
    print(f"{kind}: {outcome.config}: {text}", file=sys.stderr, flush=True)
    return 0 if kind == "stopped" else 2

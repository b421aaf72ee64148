"""The experiments from the command line: ``python -m rnnlib run sine --model lstm``."""

import argparse
import dataclasses
import difflib
import sys
import typing
from pathlib import Path

from rnnlib.files import FileError, read_json
from rnnlib.runs import (
    EXPERIMENTS,
    PRESETS,
    analyse_language,
    analyse_sine,
    configure,
    runner,
    store,
)
from rnnlib.training import NonFiniteLoss

ROOTS = {"quick": "_build/quick"}  # of a preset; all others share `RESULTS`
RESULTS = "results"
REPEATED = ("seed", "length", "model")  # these take several values: a run for each combination


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint about an unknown option names the nearest one."""

    def parse_args(self, args=None):
        known, rest = self.parse_known_args(args)
        if rest:
            valid = [name for action in known.parser._actions for name in action.option_strings]
            near = difflib.get_close_matches(rest[0], valid, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            known.parser.error(f"there is no option {rest[0]}.{hint}")
        return known


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, with an option per setting."""
    top = _Parser(prog="python -m rnnlib", description=__doc__, allow_abbrev=False)
    commands = top.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run an experiment, or go on with one cut short")
    experiments = run.add_subparsers(required=True, metavar="experiment", dest="experiment")
    for name, kind in EXPERIMENTS.items():
        one = experiments.add_parser(
            name,
            help=kind.__doc__.splitlines()[0],
            description=kind.__doc__.splitlines()[0]
            + " Settings that are not given have the preset's value. A run that was cut short is "
            "taken up where its last checkpoint lies; a finished one is left alone.",
            allow_abbrev=False,
        )
        one.add_argument("--preset", choices=PRESETS, default="text", help="(default: text)")
        one.add_argument("--root", help="the store (default: results; for quick, _build/quick)")
        one.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
        one.add_argument(
            "--together", action="store_true", help="train all runs as one batch; pays on a GPU"
        )
        one.add_argument("--quiet", action="store_true", help="show no progress")
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
        one.set_defaults(act=_run, parser=one)

    analysis = commands.add_parser(
        "analyse",
        help="measure the dynamics of the networks of runs",
        description="Write the dynamics beside the results of runs. Sine generation: the fixed "
        "point, the Lyapunov exponents, amplitude and frequency at each snapshot, and the "
        "crossings of the unit circle; it can be stopped and started again, also while a run is on "
        "its way. Language: the exponent while reading, the cycles of words, and how long pairs "
        "under the same noise stay apart.",
    )
    analysis.add_argument("folders", nargs="+", metavar="folder", help="of a run, see `list`")
    analysis.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="X",
        help="sine: each so many-th snapshot (default: 1)",
    )
    analysis.add_argument("--quiet", action="store_true", help="show no progress")
    analysis.set_defaults(act=_analyse, parser=analysis)

    listing = commands.add_parser("list", help="list the runs in a store")
    listing.add_argument("--root", default=RESULTS, help="(default: results)")
    listing.set_defaults(act=_list, parser=listing)
    return top


def _run(options) -> None:
    names = [field.name for field in dataclasses.fields(EXPERIMENTS[options.experiment])]
    given = {name: getattr(options, name) for name in names}
    combinations = [{}]
    for name, value in given.items():
        values = value if name in REPEATED and value is not None else [value]
        combinations = [c | {name: v} for c in combinations for v in values]
    configs = [configure(options.experiment, options.preset, **c) for c in combinations]
    folders = runner.run(
        configs,
        options.root or ROOTS.get(options.preset, RESULTS),
        device=options.device,
        together=options.together,
        progress=not options.quiet,
    )
    for folder in folders:
        print(folder)


def _analyse(options) -> None:
    if options.every < 1:
        raise ValueError(f"every is {options.every}; it must be at least 1.")
    for folder in map(Path, options.folders):
        if store.read_config(folder).name == "language":
            analyse_language(folder, progress=not options.quiet)
            print(folder / "dynamics.json")
        else:
            analyse_sine(folder, options.every, progress=not options.quiet)
            print(folder / "dynamics.csv")


def _list(options) -> None:
    folders = sorted(path.parent for path in Path(options.root).glob("*/*/*/config.json"))
    if not folders:
        print(f"No runs in {options.root}.")
    for folder in folders:
        config = store.read_config(folder)
        if store.is_done(folder):
            best = read_json(folder / "done.json")["best"]
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
        print(f"{config}: {state}{'; ' * bool(changed)}{changed}\n    {folder}")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status, 2 for what the user can mend."""
    options = parser().parse_args(arguments)
    try:
        options.act(options)
    except (ValueError, FileError, NonFiniteLoss, runner.Busy) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

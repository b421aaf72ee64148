"""``python -m rnnlib batch``: make the runs that figures and tables are missing."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

from rnnlib.commands.run import root_of
from rnnlib.runs import batch as batches
from rnnlib.runs import engine, runner, store

CHECKOUT = Path(__file__).parents[2]
EXPERIMENTS = CHECKOUT / "experiments.toml"
HOME = Path("_build/batch")


def add_to(commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "batch",
        help="make the runs that figures and tables are missing",
        description="Make what is missing in the store of the runs that a file of experiments "
        "declares, the cheapest first, several side by side. It can be stopped, killed and started "
        "again at any time, also twice at once: what is done is left alone, what was cut short "
        "goes on from its checkpoint. A run that fails does not stop the others.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "targets", nargs="*", metavar="target", help="such as table1 (default: all of the paper's)"
    )
    parser.add_argument("--file", default=EXPERIMENTS, help="(default: experiments.toml)")
    parser.add_argument("--root", help="the store (default: RNNLIB_RESULTS, else results)")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and its cost")
    parser.add_argument(
        "--minutes", type=float, metavar="X", help="stop within so many minutes, resumable"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: cores)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument(
        "--slurm",
        metavar="RESOURCES",
        help='send each run to SLURM, with resources such as "slurm_partition=gpu mem_mb=8000"',
    )
    parser.add_argument(
        "--no-chapters", action="store_true", help="do not execute the chapters that draw them"
    )
    parser.set_defaults(act=act, parser=parser)


def act(options) -> int:
    """Plan, run, execute the chapters; say what is left."""
    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise ValueError(f"minutes is {options.minutes}; it must be positive.")
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"jobs is {options.jobs}; it must be at least 1.")
    until = None if options.minutes is None else time.time() + 60 * options.minutes
    targets = _chosen(batches.read_targets(options.file), options.targets)
    root = root_of(options)
    gpu = options.device.startswith("cuda")
    configs = [config for target in targets for config in target.configs]
    planned = batches.plan(root, configs, gpu)
    jobs = options.jobs or (100 if options.slurm is not None else 1 if gpu else os.cpu_count())
    _say(targets, planned, root, jobs, options.minutes)
    if options.dry_run or not planned:
        return 0
    if options.slurm is None:
        runner.check_device(options.device)
    engine.find_snakemake()
    planned, too_long = _fitting(planned, options.minutes)
    for p in too_long:
        print(f"left out: {p.config}: one epoch takes about {engine.duration(p.cost.epoch)}.")
    if not planned:
        print("Nothing fits into the time.")
        return 0
    folder = engine.new_folder(HOME)
    print(f"The plan and a log of each run: {folder}", flush=True)
    how = {"jobs": jobs, "device": options.device, "until": until, "slurm": options.slurm}
    engine.run_batch(planned, root, folder, **how)
    if busy := [p for p in planned if engine.was_busy(p, folder)]:
        print(f"{len(busy)} runs were at work elsewhere; waiting for these.", flush=True)
        engine.run_batch(busy, root, folder, busy="wait", **how)
    failed = _tell_ends(planned, folder)
    if not options.no_chapters:
        failed += _execute_chapters(targets, planned, root, folder, until)
    return 2 if failed else 0


def _chosen(targets: dict[str, batches.Target], names: list[str]) -> list[batches.Target]:
    """Return the targets of these names; without names all that are of the paper."""
    if not names:
        return [target for target in targets.values() if not target.extension]
    if unknown := [name for name in names if name not in targets]:
        raise batches.BatchError(
            f"there is no target {unknown[0]}; there are {', '.join(targets)}."
        )
    return [targets[name] for name in names]


def _say(
    targets, planned: list[batches.Planned], root: Path, jobs: int, minutes: float | None
) -> None:
    """Print what would run, in which order, and what it is estimated to cost."""
    wanted = {config for target in targets for config in target.configs}
    for target in targets:
        done = sum(store.is_done(store.folder_of(root, c)) for c in target.configs)
        print(f"{target.name}: {done} of {len(target.configs)} runs done. {target.shows}")
    print(f"{root}: {len(wanted) - len(planned)} of {len(wanted)} runs done.")
    of = {config: target.name for target in reversed(targets) for config in target.configs}
    for k, p in enumerate(planned, 1):
        at = f"from epoch {p.done}" if p.done else "from the beginning"
        cost = f"about {engine.duration(p.seconds)}" if p.seconds is not None else "cost unknown"
        print(f"{k:4} {of[p.config]}: {p.config}, {at}: {cost} ({p.cost.source})")
    known = [p.seconds for p in planned if p.seconds is not None]
    parts = []
    if known:
        together = max(max(known), sum(known) / jobs)  # no run is shared out
        parts.append(f"about {engine.duration(sum(known))} of one process")
        parts.append(f"{engine.duration(together)} with {jobs} side by side")
    if rest := len(planned) - len(known):
        parts.append(f"{rest} of unknown cost")
    if minutes:
        parts.append(f"it stops after {minutes:g} min")
    if planned:
        print(f"In all: {', '.join(parts)}.", flush=True)


def _fitting(planned: list[batches.Planned], minutes: float | None):
    """Part those of which an epoch fits into the time from those of which none does."""
    if minutes is None:
        return planned, []
    fits = [p for p in planned if p.cost.epoch is None or p.cost.epoch < 60 * minutes]
    return fits, [p for p in planned if p not in fits]


def _tell_ends(planned: list[batches.Planned], folder: Path) -> int:
    """Print how each run ended, and return how many failed."""
    failed = 0
    for p in planned:
        last = engine.last_line(p, folder)
        if last is None or store.is_done(p.folder) or last.lower().startswith("stopped"):
            continue
        failed += 1
        why = last.removeprefix("error: ") or f"killed, or never begun; {folder / 'engine.log'}"
        print(f"failed: {p.config}: {why} (see {engine.log_of(p, folder)})")
    done = sum(store.is_done(p.folder) for p in planned)
    left = len(planned) - done - failed
    print(f"{done} runs done, {failed} failed, {left} to go on with by the same command.")
    if left and all(engine.last_line(p, folder) is None for p in planned):
        raise batches.BatchError(f"nothing was run; see {folder / 'engine.log'}.")
    return failed


def _execute_chapters(targets, planned, root: Path, folder: Path, until: float | None) -> int:
    """Execute the chapters of runs that have been made; the executed notebook is kept."""
    made = {p.config for p in planned if store.is_done(p.folder)}
    chapters = {t.chapter for t in targets if t.chapter and made & {*t.configs}}
    failed = 0
    for chapter in sorted(chapters):
        source = CHECKOUT / "book" / f"{chapter}.ipynb"
        if until is not None and time.time() > until:
            print(f"{chapter}: not drawn again, the time is up.")
            continue
        if not source.exists():
            print(f"{chapter}: not drawn again, {source} is not there.")
            continue
        result = folder / source.name
        command = [sys.executable, "-m", "papermill", str(source), str(result)]
        environment = os.environ | {"RNNLIB_RESULTS": str(root.absolute())}
        environment.pop("MPLBACKEND", None)  # figures are to go into the notebook
        log = folder / "log" / f"{chapter}.log"
        with open(log, "w") as file:
            done = subprocess.run(
                [*command, "--cwd", str(source.parent), "--no-progress-bar"],
                stdout=file,
                stderr=file,
                env=environment,
            )
        failed += done.returncode != 0
        print(f"{chapter}: {result}" if done.returncode == 0 else f"failed: {chapter}: see {log}")
    return failed

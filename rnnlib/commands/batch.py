"""``python -m rnnlib batch``: make the runs that figures and tables are missing."""

import argparse
import math
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from rnnlib.commands.run import root_of
from rnnlib.runs import batch as batches
from rnnlib.runs import chapters, engine, runner, store
from rnnlib.stopping import Stopped

EXPERIMENTS = Path(__file__).parents[2] / "experiments.toml"
HOME = Path("_build/batch")


def add_to(commands: Any) -> None:
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


def act(options: argparse.Namespace) -> int:
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
    jobs = options.jobs or (100 if options.slurm is not None else 1 if gpu else os.cpu_count() or 1)
    _say(targets, planned, root, jobs, options.minutes)
    due = partial(_due, _folders_by_chapter(targets, options), root)
    if waiting := due():
        print(f"Runs that are not drawn yet: {', '.join(source.stem for source in waiting)}.")
    if options.dry_run or not (planned or waiting):
        return 0
    if planned:
        engine.find_snakemake()
        if options.slurm is None:
            runner.check_device(options.device)
    planned, too_long = _fitting(planned, options.minutes)
    for p in too_long:
        print(f"left out: {p.config}: one epoch takes about {engine.duration(p.cost.epoch)}.")
    if not (planned or due()):
        print("Nothing fits into the time.")
        return 0
    folder = engine.new_folder(HOME)
    print(f"The plan and a log of each run: {folder}", flush=True)
    failed = _make(planned, root, folder, jobs, options, until) if planned else 0
    for source in due():
        failed += _draw(source, root, folder, until)
    return 2 if failed else 0


def _make(planned, root: Path, folder: Path, jobs: int, options, until: float | None) -> int:
    """Make runs, tell how each has ended; return how many failed."""
    try:
        in_time = _run(planned, root, folder, jobs, options, until)
    except Stopped:
        _tell_ends(planned, folder, False)
        raise
    return _tell_ends(planned, folder, in_time)


def _run(planned, root: Path, folder: Path, jobs: int, options, until: float | None) -> bool:
    """Run what is planned; return whether each run had its turn."""
    how = {"jobs": jobs, "device": options.device, "until": until, "slurm": options.slurm}
    in_time = engine.run_batch(planned, root, folder, **how)
    if in_time and (busy := [p for p in planned if engine.was_busy(p, folder)]):
        print(f"{len(busy)} runs were at work elsewhere; waiting for these.", flush=True)
        in_time = engine.run_batch(busy, root, folder, busy="wait", **how)
    return in_time


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


def _tell_ends(planned: list[batches.Planned], folder: Path, in_time: bool) -> int:
    """Print how each run ended, and return how many failed."""
    if in_time and all(engine.last_line(p, folder) is None for p in planned):
        raise batches.BatchError(f"nothing was run; see {folder / 'engine.log'}.")
    failed = 0
    for p in planned:
        if why := engine.failure(p, folder, in_time):
            failed += 1
            print(f"failed: {p.config}: {why} (see {engine.log_of(p, folder)})")
    done = sum(store.is_done(p.folder) for p in planned)
    left = len(planned) - done - failed
    ends = f"{done} runs done, {failed} failed, {left} to go on with by the same command."
    print(ends if in_time else f"Stopped: {ends}", flush=True)
    return failed


def _folders_by_chapter(targets: list[batches.Target], options) -> dict[Path, list[Path]]:
    """Return by chapter the folders of the runs that it draws."""
    folders: dict[Path, list[Path]] = {}
    for target in targets:
        if target.chapter and not options.no_chapters:
            source = Path(options.file).parent / "book" / f"{target.chapter}.ipynb"
            if not source.exists():
                raise batches.BatchError(
                    f"{options.file}, [{target.name}]: chapter is {target.chapter!r}, and {source} "
                    "is not there. Correct the name, or leave the chapters out by --no-chapters."
                )
            of = [store.folder_of(root_of(options), config) for config in target.configs]
            folders.setdefault(source, []).extend(of)
    return folders


def _stamp(source: Path) -> Path:
    """Return the file that tells when a chapter was drawn."""
    return HOME / "drawn" / source.stem


def _due(folders: dict[Path, list[Path]], root: Path) -> list[Path]:
    """Return the chapters that have runs to draw which they have not drawn yet."""
    return [path for path, of in folders.items() if chapters.is_due(_stamp(path), root, of)]


def _draw(source: Path, root: Path, folder: Path, until: float | None) -> int:
    """Execute a chapter; the executed notebook is kept. Return whether it failed."""
    name = source.stem
    if until is None or time.time() < until:
        (folder / "log").mkdir(exist_ok=True)
        drawn = chapters.execute(source, folder, root, stamp=_stamp(source), until=until)
        if drawn.failure:
            print(f"failed: {name}: {drawn.failure} (see {drawn.notebook})", flush=True)
            return 1
        if drawn.in_time:
            print(f"{name}: {drawn.notebook}", flush=True)
            return 0
    print(f"{name}: not drawn, the time is up; the same command draws it.", flush=True)
    return 0

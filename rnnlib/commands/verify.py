"""``python -m rnnlib verify``: name every entry of a store that is not as it should be."""

import argparse
from typing import Any

from rnnlib.commands.run import root_of
from rnnlib.runs import FAULTS, verify


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "verify",
        help="look through a store for damaged, edited, stale and foreign entries",
        description="Read every file of a store and name those that are not as they should be, "
        "with what to do. The exit status is 1 if there is one.",
    )
    parser.add_argument("--root", help="(default: RNNLIB_RESULTS, else results)")
    parser.set_defaults(act=act, parser=parser)


def act(options: argparse.Namespace) -> int:
    """Print what is found."""
    root, counts, faults = root_of(options), {}, 0
    for finding in verify(root):
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
        faults += finding.kind in FAULTS
        if finding.kind != "whole":
            print(f"{finding.kind}: {finding.path}: {finding.what} {finding.remedy}".rstrip())
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "no runs"
    print(f"{root}: {told}.")
    return 1 if faults else 0

"""Would the tests notice? Change a module in small ways, one at a time, and run its tests.

    make mutants MODULE=dynamics/lyapunov [COUNT=60] [SEED=0] [TESTS="tests/dynamics"]
    make mutants MODULE=dynamics COUNT=120    # drawn from all modules of a room

A mutant survives if no test of the module fails; the tests that run the changed line come first.
Those that `tools/equivalent_mutants.txt` argues away (a line each: module, what stands there ->
what it becomes, and why no test can tell) do not count. Nothing on disk is changed: a mutant lives
in a forked process, which has torch and pytest imported already.
mutmut and cosmic-ray, which are kept, start a new interpreter for each and write into the working
tree; importing torch there takes longer than most of our test files.
"""

import argparse
import ast
import importlib.abc
import importlib.util
import json
import linecache
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.txt"
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# Which files of its room serve a module, beside the test file of its own name if there is one.
SERVED = {
    "systems/adapters": "system",
    "dynamics/kinds": "steady_state",
    "dynamics/entropy": "devices",
    "dynamics/limits": "steady_state devices",
    "dynamics/lyapunov": "devices",
    "dynamics/members": "steady_state",
    "dynamics/newton": "fixed_points",
    "dynamics/spectra": "fixed_points",
    "dynamics/steady_state": "devices",
    "dynamics/watch": "steady_state devices",
    "memory/comparison": "certificates counterexamples",
    "memory/local_steps": "local_certificates",
    "memory/networks": "certificates",
    "memory/published_conditions": "certificates counterexamples",
    "memory/quadratic_bound": "local_certificates",
    "memory/quadratic_norms": "local_certificates",
    "memory/regions": "certificates counterexamples",
    "memory/step_enclosure": "certificates counterexamples",
    "runs/audit": "runner commands faults",
    "runs/engine": "runner faults",
    "runs/job": "runner faults",
    "runs/provenance": "runner faults",
    "runs/store": "runner faults commands",
    "smoothness/chaotic_lstm_cost": "roughness minima",
    "smoothness/scalar_cells": "theorem1 roughness",
    "training/epoch_files": "recorders recorded_orbits",
    "training/progress": "loop ensemble",
}
METHODS = {"amax": "amin", "amin": "amax", "any": "all", "all": "any", "max": "min", "min": "max"}
BARE = ast.Constant | ast.UnaryOp | ast.Slice | ast.Tuple | ast.Starred | ast.keyword
PASSED_ON = ("abs", "clone", "detach", "contiguous", "sqrt", "square", "clamp", "flip", "mT")


def variants(node):
    """Yield what a node could wrongly be."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield "op", OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield "ops", [OPERATORS[type(node.ops[0])](), *node.ops[1:]]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield "op", ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "value", not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        small = isinstance(node.value, int) and node.value < 10  # 130001 for 130000 is no fault
        yield "value", node.value + 1 if small else node.value * 2
    elif isinstance(node, ast.Attribute) and node.attr in METHODS:
        yield "attr", METHODS[node.attr]
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in PASSED_ON:
            yield "itself", node.func.value
        for i in range(len(node.keywords)):
            yield "keywords", node.keywords[:i] + node.keywords[i + 1 :]


class Mutant(NamedTuple):
    """A change: what stands there, what it becomes, on which line; and how to make it."""

    old: str
    new: str
    line: int
    node: int  # its place in `ast.walk`
    field: str
    value: object


def mutants(source):
    """Return all mutants of a module's text."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):  # annotations, docstrings and the text of errors decide nothing
        hints = [getattr(node, name, None) for name in ("annotation", "returns")]
        for part in [*hints, node if isinstance(node, ast.Raise | ast.JoinedStr) else None]:
            skipped |= set(map(id, ast.walk(part))) if part is not None else set()
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = []
    for number, node in enumerate(ast.walk(tree)):
        around = node  # a number alone says little, in a text or in the list of equivalent ones
        while isinstance(around, BARE):
            around = parents[around]
        old = _first_line(around)
        for field, value in variants(node) if id(node) not in skipped else ():
            if field == "itself":
                new = _first_line(value)
            else:
                before = getattr(node, field)
                setattr(node, field, value)
                new = _first_line(around)
                setattr(node, field, before)
            if new != old:
                found.append(Mutant(old, new, node.lineno, number, field, value))
    return found


def _first_line(node):
    return ast.unparse(node).split("\n")[0]


def mutated(source, mutant):
    """Return the tree of a module's text with the change."""
    tree = ast.parse(source)
    node = next(n for i, n in enumerate(ast.walk(tree)) if i == mutant.node)
    if mutant.field == "itself":
        _replace(tree, node, node.func.value)
    else:
        setattr(node, mutant.field, mutant.value)
    return tree


def _replace(tree, old, new):
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if value is old:
                setattr(node, field, new)
            elif isinstance(value, list) and any(item is old for item in value):
                value[[item is old for item in value].index(True)] = new


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a tree in memory."""

    def __init__(self, name, path, tree):
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name, path, target=None):
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module):
        text = ast.unparse(ast.fix_missing_locations(self.tree))
        lines = text.splitlines(keepends=True)
        linecache.cache[str(self.path)] = (len(text), None, lines, str(self.path))
        exec(compile(text, str(self.path), "exec"), module.__dict__)


class Trace:
    """A pytest plugin that writes down which tests run each line of a file."""

    def __init__(self, path, notes):
        self.path, self.notes, self.tests = str(path), notes, {}

    def pytest_runtest_logstart(self, nodeid):
        def local(frame, event, arg):
            if event == "line":
                self.tests.setdefault(frame.f_lineno, {})[nodeid] = None
            return local

        sys.settrace(lambda frame, *_: local if frame.f_code.co_filename == self.path else None)

    def pytest_runtest_logfinish(self):
        sys.settrace(None)

    def pytest_sessionfinish(self):
        self.notes.write_text(json.dumps({line: list(ids) for line, ids in self.tests.items()}))


class First:
    """A pytest plugin that runs some tests before the others."""

    def __init__(self, nodeids):
        self.nodeids = set(nodeids)

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: item.nodeid not in self.nodeids)


def outcome(name, path, tree, tests, seconds, plugin=None):
    """Run the tests with a mutant in a process of their own: killed, survived or timed out."""
    child = os.fork()
    if child == 0:
        os.setsid()
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # two seconds for each mutant
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=os.environ["MUTANTS_TEMP"])
        if tree is not None:
            sys.meta_path.insert(0, Mutated(name, path, tree))
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider"]
        os._exit(int(pytest.main([*options, *tests], plugins=[plugin] if plugin else [])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timed out"


def tests_of(module):
    """Return the test files that serve a module: its own, those named above, else its room's."""
    room, file = module.split("/", 1)
    own = ROOT / "tests" / room / f"test_{file}.py"
    named = [ROOT / "tests" / room / f"test_{name}.py" for name in SERVED.get(module, "").split()]
    return [str(path) for path in ([own] if own.exists() else []) + named or [own.parent]]


def modules_of(place):
    """Return the modules of a room, or the one module named."""
    here = ROOT / "rnnlib" / place
    files = sorted(here.rglob("*.py")) if here.is_dir() else [here.with_suffix(".py")]
    return [str(file.relative_to(ROOT / "rnnlib").with_suffix("")) for file in files]


def run(module, drawn, tests, equivalent):
    """Run the mutants drawn from one module, print the survivors, and return how many did what."""
    path = ROOT / "rnnlib" / f"{module}.py"
    name = ".".join(("rnnlib", *Path(module).parts))
    counts = Counter()
    with tempfile.TemporaryDirectory() as temp:
        os.environ["MUTANTS_TEMP"] = temp
        notes = Path(temp, "notes.json")
        begun = time.monotonic()
        if outcome(name, path, None, tests, 600, Trace(path, notes)) != "survived":
            sys.exit(f"the tests {tests} fail without a mutant; mend them first.")
        limit = 5 + 3 * (time.monotonic() - begun)
        ran = json.loads(notes.read_text())
        for mutant in drawn:
            key = f"{module}: {mutant.old} -> {mutant.new}"
            if key in equivalent:
                counts["equivalent"] += 1
                continue
            tree = mutated(path.read_text(), mutant)
            first = ran.get(str(mutant.line), [])
            result = outcome(name, path, tree, tests, limit, First(first))
            counts[result] += 1
            if result == "survived":
                unseen = "" if first else "   (no test was seen to run this line)"
                print(f"{path.relative_to(ROOT)}:{mutant.line}: {key}{unseen}", flush=True)
    return counts


def summary(counts):
    """Return the share of the killed among those that a test could tell, in words."""
    judged = counts.total() - counts["equivalent"]
    share = (counts["killed"] + counts["timed out"]) / max(judged, 1)
    return f"{share:.0%} of {judged} killed; {dict(counts)}"


def main():
    """Draw mutants, run them, and print the survivors and the share of the killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", help="for example dynamics/lyapunov, or dynamics")
    parser.add_argument("--count", type=int, default=60, help="how many to draw (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", help="default: the test files of each module")
    given = parser.parse_args()
    equivalent = {line.rsplit(" # ", 1)[0] for line in EQUIVALENT.read_text().splitlines()}
    every = [
        (module, mutant)
        for place in given.places
        for module in modules_of(place)
        for mutant in mutants((ROOT / "rnnlib" / f"{module}.py").read_text())
    ]
    drawn = random.Random(given.seed).sample(every, min(given.count, len(every)))
    sys.path.insert(0, str(ROOT))
    import hypothesis  # noqa: F401  imported once, before the forks
    import numpy  # noqa: F401
    import pytest  # noqa: F401
    import scipy.linalg  # noqa: F401
    import torch

    torch.set_num_threads(1)
    total = Counter()
    for module in sorted({module for module, _ in drawn}):
        those = [mutant for home, mutant in drawn if home == module]
        counts = run(module, those, given.tests or tests_of(module), equivalent)
        print(f"{module}: {summary(counts)}", flush=True)
        total += counts
    print(f"{' '.join(given.places)}: {summary(total)}, of {len(every)} possible")


if __name__ == "__main__":
    main()

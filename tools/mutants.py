"""Would the tests notice? Change one module in small ways, one at a time, and run its tests.

    make mutants MODULE=dynamics/lyapunov [COUNT=60] [SEED=0] [TESTS="tests/dynamics"]

A mutant survives if no test fails. Those that `tools/equivalent_mutants.txt` argues away (a line
each: module, what stands there -> what it becomes, and why no test can tell) do not count. Nothing
on disk is changed: a mutant lives in a forked process, which has torch and pytest imported already.
mutmut and cosmic-ray, which are kept, start a new interpreter for each and write into the working
tree; importing torch there takes longer than most of our test files.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import linecache
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.txt"
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
METHODS = {"amax": "amin", "amin": "amax", "any": "all", "all": "any", "max": "min", "min": "max"}
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
        yield "value", node.value + 1 if isinstance(node.value, int) else node.value * 2
    elif isinstance(node, ast.Attribute) and node.attr in METHODS:
        yield "attr", METHODS[node.attr]
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in PASSED_ON:
            yield "itself", node.func.value
        for i in range(len(node.keywords)):
            yield "keywords", node.keywords[:i] + node.keywords[i + 1 :]


def mutants(source):
    """Return all mutants as (what stands there, what it becomes, line, tree)."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):  # annotations, docstrings and the text of errors decide nothing
        hints = [getattr(node, name, None) for name in ("annotation", "returns")]
        for part in [*hints, node if isinstance(node, ast.Raise | ast.JoinedStr) else None]:
            skipped |= set(map(id, ast.walk(part))) if part is not None else set()
    found = []
    for number, node in enumerate(ast.walk(tree)):
        for field, value in variants(node) if id(node) not in skipped else ():
            mutated = copy.deepcopy(tree)
            twin = next(n for i, n in enumerate(ast.walk(mutated)) if i == number)
            if field == "itself":
                _replace(mutated, twin, twin.func.value)
                text = ast.unparse(twin.func.value)
            else:
                setattr(twin, field, value)
                text = ast.unparse(twin)
            if text != ast.unparse(node):
                found.append((ast.unparse(node), text, node.lineno, mutated))
    return found


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


def outcome(name, path, tree, tests, seconds):
    """Run the tests with a mutant in a process of their own: killed, survived or timed out."""
    child = os.fork()
    if child == 0:
        os.setsid()
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=os.environ["MUTANTS_TEMP"])
        if tree is not None:
            sys.meta_path.insert(0, Mutated(name, path, tree))
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timed out"


def main():
    """Draw mutants of a module, run them, and print the survivors and the share of the killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", help="for example dynamics/lyapunov")
    parser.add_argument("--count", type=int, default=60, help="how many to draw (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", help="default: the module's own test file")
    given = parser.parse_args()
    path = ROOT / "rnnlib" / f"{given.module}.py"
    name = ".".join(("rnnlib", *Path(given.module).parts))
    room, file = Path(given.module).parent, Path(given.module).name
    own = ROOT / "tests" / room / f"test_{file}.py"
    tests = given.tests or [str(own if own.exists() else own.parent)]
    equivalent = {line.rsplit(" # ", 1)[0] for line in EQUIVALENT.read_text().splitlines()}
    every = mutants(path.read_text())
    drawn = random.Random(given.seed).sample(every, min(given.count, len(every)))
    sys.path.insert(0, str(ROOT))
    import hypothesis  # noqa: F401  imported once, before the forks
    import numpy  # noqa: F401
    import pytest  # noqa: F401
    import scipy.linalg  # noqa: F401
    import torch

    torch.set_num_threads(1)
    counts = {"killed": 0, "timed out": 0, "survived": 0, "equivalent": 0}
    with tempfile.TemporaryDirectory() as temp:
        os.environ["MUTANTS_TEMP"] = temp
        begun = time.monotonic()
        if outcome(name, path, None, tests, 600) != "survived":
            sys.exit(f"the tests {tests} fail without a mutant; mend them first.")
        limit = 5 + 3 * (time.monotonic() - begun)
        for old, new, line, tree in drawn:
            key = f"{given.module}: {old} -> {new}"
            result = (
                outcome(name, path, tree, tests, limit) if key not in equivalent else "equivalent"
            )
            counts[result] += 1
            if result == "survived":
                print(f"{path.relative_to(ROOT)}:{line}: {key}", flush=True)
    judged = len(drawn) - counts["equivalent"]
    share = (counts["killed"] + counts["timed out"]) / max(judged, 1)
    print(f"{given.module}: {share:.0%} of {judged} killed; {counts}, of {len(every)} possible")


if __name__ == "__main__":
    main()

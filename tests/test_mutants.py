"""The tool behind `make mutants`: which changes it makes, and what it takes for a survivor."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SPEC = importlib.util.spec_from_file_location(
    "mutants", Path(__file__).resolve().parents[1] / "tools" / "mutants.py"
)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


def test_a_line_is_changed_in_each_way_that_it_could_be_wrong():
    source = "def f(x: int = 1, *, on=True) -> int:\n    return g(x.clone() + 2, x[-1], on=on)\n"
    changes = {(old, new) for old, new, *_ in tool.mutants(source)}
    assert changes == {
        ("x: int=1, *, on=True", "x: int=2, *, on=True"),
        ("x: int=1, *, on=True", "x: int=1, *, on=False"),
        ("g(x.clone() + 2, x[-1], on=on)", "g(x.clone() + 2, x[-1])"),
        ("x.clone() + 2", "x.clone() - 2"),
        ("x.clone()", "x"),
        ("x.clone() + 2", "x.clone() + 3"),
        ("x[-1]", "x[+1]"),
        ("x[-1]", "x[-2]"),
    }


def test_annotations_docstrings_and_the_text_of_errors_are_left_alone():
    source = 'def f(x: "1 + 1"):\n    "A text."\n    raise ValueError(f"{x + 1} is 2")\n'
    assert tool.mutants(source) == []


FIRST = "def f(x):\n    return x + 1\n\n\ndef unused():\n    return 3\n"
TEST = """from rnnlib.room import first, other


def test_without():
    pass


def test_it():
    assert first.f(0) in (1, 2) and other.f(3) == 6
"""


@pytest.fixture
def project(tmp_path):
    """A project with the tool and a room of two modules, of which one has a test file."""
    for name, text in {
        "tools/mutants.py": Path(tool.__file__).read_text(),
        "tools/equivalent_mutants.txt": "room/other: 2 * x -> 3 * x # not to count\n",
        "rnnlib/room/first.py": FIRST,
        "rnnlib/room/other.py": "def f(x):\n    return 2 * x\n",
        "tests/room/test_first.py": TEST,
        "pytest.ini": "[pytest]\npythonpath = .\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_killed_survived_unused_and_equivalent_mutants_of_a_room_are_told_apart(project):
    out = subprocess.run(
        [sys.executable, "tools/mutants.py", "room"],
        cwd=project, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    lines = out.stdout.splitlines()
    assert sorted(lines[:2]) == [
        "rnnlib/room/first.py:2: room/first: x + 1 -> x + 2",
        "rnnlib/room/first.py:6: room/first: return 3 -> return 4"
        "   (no test was seen to run this line)",
    ], out.stderr
    assert lines[2].startswith("room/first: 33% of 3 killed")
    assert lines[3].startswith("room/other: 100% of 1 killed")
    assert lines[4].startswith("room: 50% of 4 killed")
    assert lines[4].endswith("of 5 possible")
    assert (project / "rnnlib/room/first.py").read_text() == FIRST


def test_the_tests_that_run_the_line_come_first(tmp_path, monkeypatch):
    monkeypatch.setenv("MUTANTS_TEMP", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    path, notes = tmp_path / "traced_here.py", tmp_path / "notes.json"
    path.write_text("def f(x):\n    return x + 1\n")
    test = tmp_path / "test_it.py"
    test.write_text("from traced_here import f\n\ndef test_a(): pass\ndef test_b(): f(0)\n")
    tests = [str(test), f"--rootdir={tmp_path}"]
    assert tool.outcome("traced_here", path, None, tests, 60, tool.Trace(path, notes)) == "survived"
    ran = json.loads(notes.read_text())
    assert [nodeid.rsplit("::")[-1] for nodeid in ran["2"]] == ["test_b"]
    items = [SimpleNamespace(nodeid=name) for name in ("a", "b", "c")]
    tool.First(["c"]).pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == ["c", "a", "b"]


def test_the_modules_that_other_tests_serve_are_there_and_so_are_those_tests():
    for module in tool.SERVED:
        assert (tool.ROOT / "rnnlib" / f"{module}.py").exists(), module
        tests = tool.tests_of(module)
        assert tests and all(Path(test).is_file() for test in tests), tests

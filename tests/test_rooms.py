"""Who may import whom: the rooms of the package, in reading order."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rnnlib"
# What each room may import: the rooms before it that its question rests on.
BEFORE_ALL = ("nn", "tasks", "systems", "dynamics", "training", "memory", "smoothness", "language")
MAY_IMPORT = {
    "nn": (),
    "tasks": (),
    "systems": ("nn",),
    "dynamics": ("nn", "systems"),
    "training": ("nn", "tasks", "systems"),
    "memory": ("nn", "tasks", "systems", "dynamics", "training"),
    "smoothness": ("nn", "systems", "dynamics"),
    "language": ("nn", "tasks", "systems", "dynamics", "training"),
    "runs": BEFORE_ALL,
    "diagnosis": BEFORE_ALL,
    "widgets": (*BEFORE_ALL, "runs"),
    "figures": (*BEFORE_ALL, "runs"),
    "commands": (*BEFORE_ALL, "diagnosis", "runs"),
}
FILES = sorted(path for room in MAY_IMPORT for path in (PACKAGE / room).rglob("*.py"))
PICTURES = sorted((ROOT / "book" / "rnnbook").glob("*.py"))  # what the chapters draw


def imports(path):
    """Return the modules of the package that a file imports, as written."""
    tree = ast.parse(path.read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    assert not any(node.level for node in found), f"{path} has a relative import"
    return [node.module for node in found if node.module.split(".")[0] == "rnnlib"]


def test_every_folder_of_the_package_is_a_room_of_the_table():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == MAY_IMPORT.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_from_rooms_before_it_and_only_what_they_hand_on(path):
    room = path.relative_to(PACKAGE).parts[0]
    for module in imports(path):
        parts = module.split(".")
        assert module != "rnnlib", f"{path} imports from rnnlib itself; name the room"
        if parts[1] in (room, "files", "stopping"):
            continue
        assert parts[1] in MAY_IMPORT[room], f"{room} may not import from {module}"
        lazy = module == "rnnlib.systems.two_unit_kernel"  # it needs numba, which is optional
        assert len(parts) == 2 or lazy, f"{path} reaches past rnnlib.{parts[1]}: {module}"


@pytest.mark.parametrize("path", PICTURES, ids=lambda p: p.name)
def test_what_the_chapters_draw_takes_what_rooms_hand_on(path):
    for module in imports(path):
        assert module.split(".")[1:] in [[room] for room in (*MAY_IMPORT, "files")], module


def test_the_package_knows_of_no_chapter():
    for path in PACKAGE.rglob("*.py"):
        assert "import rnnbook" not in path.read_text() and "from rnnbook" not in path.read_text()


def test_a_room_says_what_it_is_for_and_hands_on_names_that_exist():
    for room in MAY_IMPORT:
        tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
        assert ast.get_docstring(tree)
        names = {
            a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names
        }
        (listed,) = [ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign)]
        assert set(listed) == names, room


def test_importing_the_package_loads_neither_pandas_nor_matplotlib():
    code = "import sys, rnnlib; print(*{'pandas', 'matplotlib', 'numba'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

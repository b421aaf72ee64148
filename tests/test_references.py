"""Every name and file of the package that a docstring or a guide points to exists."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
import torch

import rnnlib

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "rnnlib").rglob("*.py"))
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").glob("*.md"))]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
DOTTED = re.compile(r"\brnnlib(?:\.[A-Za-z_]\w*)+")
QUOTED = re.compile(r"(?<![`:\w])`([A-Za-z_][\w.]*)`(?!`)")  # a reference; arguments have two
FILE = re.compile(r"\b(?:rnnlib|tests|tools|book|benchmarks)/[\w/.-]*\w")


def has(value, parts):
    """Return whether an object has an attribute of an attribute, ..., or says that it will."""
    for part in parts:
        if not hasattr(value, part):
            return part in getattr(value, "__annotations__", {})
        value = getattr(value, part)
    return True


def resolves(name):
    """Return whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return has(module, parts[length:])
    return False


def docstrings(node, scope):
    """Yield the docstrings under a node, each with its module and the classes around it."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        yield ast.get_docstring(node) or "", scope
    for child in ast.iter_child_nodes(node):
        inner = [getattr(scope[-1], child.name, None)] if isinstance(child, ast.ClassDef) else []
        yield from docstrings(child, [*scope, *inner])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_docstring_or_comment_names_what_exists(path):
    """Hypothesis: a reference is found from the docstring's class, its file, rnnlib or torch.nn."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    source = path.read_text()
    for name in set(DOTTED.findall("\n".join(re.findall(r"#.*", source)))):
        assert resolves(name), f"{path} names {name}"
    for text, scope in docstrings(ast.parse(source), [module]):
        for name in {*QUOTED.findall(text), *DOTTED.findall(text)}:
            near = any(has(value, name.split(".")) for value in [*scope, rnnlib, torch.nn])
            assert near or resolves(name), f"{path} names {name}"


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_guide_names_what_exists(path):
    text = path.read_text()
    for name in set(DOTTED.findall(text)):
        assert resolves(name), f"{path} names {name}"
    for file in set(FILE.findall(text)):
        assert (ROOT / file).exists(), f"{path} names {file}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.name)
def test_the_prose_of_a_chapter_names_what_exists(path):
    cells = json.loads(path.read_text())["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for name in set(DOTTED.findall(text)):
        assert resolves(name), f"{path} names {name}"
    for file in set(FILE.findall(text)):
        assert (ROOT / file).exists(), f"{path} names {file}"

"""A Sphinx extension: the API reference, a page a room, written from what each room hands on.

The pages in `book/api/` hold a title. The rest is put in as they are read: a section for each file
of the room, with its docstring and those of its public names, each under its path to import from.
Files with general tools, which `rnnlib` itself hands on, come before those that serve a chapter.
"""

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
PACKAGE = BOOK.parent / "rnnlib"
ROOMS = "nn tasks systems dynamics training memory smoothness language diagnosis runs".split()
ROOMS += ["widgets", "figures"]
BESIDE = {"systems": ["two_unit_kernel"]}  # needs numba, so that a room does not hand it on
EXCLUDED = {"ChaosExplorer": "theta, direction, x0, s, s2, mode, s_range, s2_range, axes"}
EXCLUDED["EpochSlider"] = "epoch, panel"  # the traits, which the docstrings of the classes describe


def files(room):
    """Returns the public names of a room by the file that they come from, in order of files.

    The names of a file that is handed on whole begin with its own.
    """
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    found = {name: [name] for name in BESIDE.get(room, [])}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("rnnlib"):
            for alias in node.names:
                whole = node.module == f"rnnlib.{room}"
                file = alias.name if whole else node.module.removeprefix(f"rnnlib.{room}.")
                names = found.setdefault(file, [])
                names.insert(0 if whole else len(names), alias.name)
    return dict(sorted(found.items()))


def is_module(room, name):
    """Returns whether a room hands on a file of this name, and no function that hides it."""
    value = getattr(importlib.import_module(f"rnnlib.{room}"), name, None)
    return value is None or inspect.ismodule(value)


def path(room, name):
    """Returns the shortest path to import a public name from."""
    general = importlib.import_module("rnnlib").__all__
    return f"rnnlib.{name}" if name in general else f"rnnlib.{room}.{name}"


def described(room, name):
    """Returns the directive that describes one public name."""
    value = getattr(importlib.import_module(f"rnnlib.{room}"), name)
    if inspect.isclass(value):
        hidden = EXCLUDED.get(name)
        options = f"   :exclude-members: {hidden}, trait_names, traits\n" if hidden else ""
        return f".. autoclass:: {path(room, name)}\n   :members:\n{options}"
    if has_docstring(value):
        return f".. autofunction:: {path(room, name)}\n"
    plain = isinstance(value, int | float | str) and len(repr(value)) < 60
    return f".. py:data:: {path(room, name)}\n" + (f"   :value: {value!r}\n" if plain else "")


def has_docstring(value):
    """Returns whether a value is a class or a function, which autodoc takes from its file."""
    return callable(value) and hasattr(value, "__name__")


def spoken(file):
    """Returns a file's name as words."""
    return file.replace(".", " ").replace("_", " ")


def what_for(room, file):
    """Returns the first sentence of a file's docstring, in one line."""
    source = Path(PACKAGE, room, *file.split("."))
    source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
    text = ast.get_docstring(ast.parse(source.read_text())).split("\n\n")[0]
    return re.sub(r"\s+", " ", text).rstrip(":").replace("``", "`")


def section(room, file, names):
    """Returns the section of one file."""
    title = spoken(file).capitalize().replace("lstm", "LSTM").replace("rnn", "RNN")
    whole = names[0] == file and is_module(room, file)
    # A file has no entry of its own in the index, where a function may have its name.
    option = ":members:" if whole else ":no-index:"
    body = f".. automodule:: rnnlib.{room}.{file}\n   {option}\n"
    handed_on = vars(importlib.import_module(f"rnnlib.{room}"))
    left = [n for n in names[1:] if not has_docstring(handed_on[n])] if whole else names
    members = [described(room, name) for name in left]
    text = "\n".join([body, *members])
    return f"({room}-{file})=\n### {title}\n\n```{{eval-rst}}\n{text}```\n"


def is_general(room, names):
    """Returns whether a file holds a tool that `rnnlib` itself hands on."""
    return any(path(room, name) == f"rnnlib.{name}" for name in names)


def page(room):
    """Returns what the page of a room holds below its title, the general tools first."""
    head = f"```{{eval-rst}}\n.. automodule:: rnnlib.{room}\n```\n"
    contents = "```{contents}\n:local:\n:backlinks: none\n```\n"
    text = [head, contents]
    for title, wanted in (("General tools", True), ("What serves a chapter", False)):
        chosen = [item for item in files(room).items() if is_general(room, item[1]) == wanted]
        if chosen:
            text += [f"## {title}\n", *(section(room, *item) for item in chosen)]
    return "\n".join(text)


def used_by():
    """Returns for each public name of a room the chapters that import it, or whose figures do."""
    found, pictures = {}, {}
    for file in sorted((BOOK / "rnnbook").glob("*.py")):
        pictures[file.stem] = imported(file.read_text())
    for chapter in sorted(BOOK.glob("*.ipynb")):
        cells = json.loads(chapter.read_text())["cells"]
        source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        names = imported(source)
        for module, name in list(names):
            drawn = name if module == "rnnbook" else module.removeprefix("rnnbook.")
            names |= pictures.get(drawn, set()) if module.startswith("rnnbook") else set()
        for item in names:
            found.setdefault(item, set()).add(chapter.stem)
    return found


def imported(source):
    """Returns the pairs of a module and a name that a source imports from it."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {(node.module, alias.name) for node in nodes for alias in node.names}


def serves(room, names, users):
    """Returns whom a file serves: up to three chapters by title, or how many, or other rooms."""
    chapters = sorted(set().union(*(users.get((f"rnnlib.{room}", name), ()) for name in names)))
    if len(chapters) > 3:
        return f"{len(chapters)} chapters"
    return ", ".join(f"[](/{chapter})" for chapter in chapters) or "other rooms"


def overview():
    """Returns the tables of the index: what is for any network, and what serves which chapter."""
    users, tools, parts = used_by(), [], []
    for room in ROOMS:
        for file, names in files(room).items():
            link = f"[{room}, {spoken(file)}](#{room}-{file})"
            if is_general(room, names):
                general = ", ".join(f"`{n}`" for n in names if path(room, n) == f"rnnlib.{n}")
                tools.append(f"| {general} | {link}: {what_for(room, file)} |")
            else:
                who = serves(room, names, users)
                parts.append(f"| {link}: {what_for(room, file)} | {who} |")
    return "\n".join(
        [
            "## General tools\n\nFor any network, from `rnnlib` itself.\n",
            "| `rnnlib.` | |\n| :-- | :-- |",
            *tools,
            "\n## What serves a chapter\n\nFrom its room. Much of it serves other networks too.\n",
            "| | serves |\n| :-- | :-- |",
            *parts,
        ]
    )


def fill(app, docname, source):
    """Completes a page of the reference as Sphinx reads it."""
    if docname == "api":
        source[0] += overview()
    elif docname.startswith("api/"):
        source[0] += page(docname.removeprefix("api/"))


def setup(app):
    """Registers the extension."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

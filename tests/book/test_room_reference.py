"""The API reference: a page a room, with every name that the room hands on."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import rnnlib

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location(
    "room_reference", ROOT / "book" / "_ext" / "room_reference.py"
)
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)
NAMES = re.compile(r"^\.\. (?:autofunction|autoclass|py:data):: rnnlib\.([\w.]+)$", re.M)
WHOLE = re.compile(r"^\.\. automodule:: (rnnlib\.[\w.]+)\n   :members:$", re.M)


def test_every_room_has_a_page_and_every_page_a_room():
    rooms = {path.parent.name for path in (ROOT / "rnnlib").glob("*/__init__.py")}
    pages = {path.stem for path in (ROOT / "book" / "api").glob("*.md")}
    assert set(reference.ROOMS) == rooms - {"commands"} == pages  # those have --help


@pytest.mark.parametrize("room", reference.ROOMS)
def test_a_page_describes_each_name_that_its_room_hands_on_once(room):
    handed_on = importlib.import_module(f"rnnlib.{room}")
    page = reference.page(room)
    described = [name.rpartition(".")[2] for name in NAMES.findall(page)]
    for module in map(importlib.import_module, WHOLE.findall(page)):
        described.append(module.__name__.rpartition(".")[2])
        own = vars(module).items()
        described += [n for n, v in own if getattr(v, "__module__", None) == module.__name__]
    assert sorted(n for n in described if n in handed_on.__all__) == sorted(handed_on.__all__)


def test_a_general_tool_is_shown_under_the_path_that_a_user_types():
    for room in reference.ROOMS:
        for names in reference.files(room).values():
            for name in names:
                expected = f"rnnlib.{name}" if name in rnnlib.__all__ else f"rnnlib.{room}.{name}"
                assert reference.path(room, name) == expected


@pytest.mark.parametrize("room", reference.ROOMS)
def test_a_page_has_the_general_tools_before_what_serves_a_chapter(room):
    text = reference.page(room)
    places = {
        general: [text.index(f"({room}-{file})=") for file, names in reference.files(room).items()
                  if bool({*names} & {*rnnlib.__all__}) == general]
        for general in (True, False)
    }  # fmt: skip
    assert max(places[True], default=0) < min(places[False], default=len(text))


def test_the_index_names_every_general_tool_and_every_file():
    """Hypothesis: the sine's task serves the sine chapter; the style serves most of the book."""
    text = reference.overview()
    for name in rnnlib.__all__:
        assert f"`{name}`" in text
    for room in reference.ROOMS:
        for file in reference.files(room):
            assert text.count(f"(#{room}-{file})") == 1
    (sine,) = re.findall(r"#tasks-sine\).*\| (.*) \|", text)
    (style,) = re.findall(r"#figures-style\).*\| (.*) \|", text)
    assert "[](/sine)" in sine and re.fullmatch(r"\d+ chapters", style)

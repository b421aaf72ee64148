"""The tool behind `make mutants`: which changes it makes, and what it takes for a survivor."""

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location(
    "mutants", Path(__file__).resolve().parents[1] / "tools" / "mutants.py"
)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


def test_a_line_is_changed_in_each_way_that_it_could_be_wrong():
    source = "def f(x: int = 1, *, on=True) -> int:\n    return g(x.clone() + 2, on=on)\n"
    changes = {(old, new) for old, new, _, _ in tool.mutants(source)}
    assert changes == {
        ("1", "2"),
        ("True", "False"),
        ("g(x.clone() + 2, on=on)", "g(x.clone() + 2)"),
        ("x.clone() + 2", "x.clone() - 2"),
        ("x.clone()", "x"),
        ("2", "3"),
    }


def test_annotations_docstrings_and_the_text_of_errors_are_left_alone():
    source = 'def f(x: "1 + 1"):\n    "A text."\n    raise ValueError(f"{x + 1} is 2")\n'
    assert tool.mutants(source) == []


def test_a_mutant_that_a_test_notices_is_killed_and_another_survives(tmp_path, monkeypatch):
    monkeypatch.setenv("MUTANTS_TEMP", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "mutated_here.py"
    module.write_text("def f(x):\n    return x + 1\n")
    test = tmp_path / "test_it.py"
    test.write_text("from mutated_here import f\n\ndef test():\n    assert f(0) in (1, 2)\n")
    results = {
        new: tool.outcome("mutated_here", module, tree, [str(test), f"--rootdir={tmp_path}"], 60)
        for _, new, _, tree in tool.mutants(module.read_text())
    }
    assert results == {"x - 1": "killed", "2": "survived"}
    assert module.read_text() == "def f(x):\n    return x + 1\n"

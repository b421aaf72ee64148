"""Each general tool has an example in its docstring, and the example does what it shows."""

import doctest

import pytest

import rnnlib


@pytest.mark.parametrize("name", rnnlib.__all__)
def test_the_example_of_a_general_tool_runs_as_it_is_shown(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write a file
    text = getattr(rnnlib, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert example.examples, f"rnnlib.{name} has no example"
    said = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not failed, "".join(said)

"""Parameters of chapters: the errors that papermill does not raise."""

import nbformat
import papermill
import pytest

from rnnlib.runs.parameters import ParameterError, check, check_notebook, literals

DEFAULTS = {"seed": 0, "rate": 0.1, "model": "lstm", "plot": True, "device": None, "sizes": [1, 2]}


def test_what_fits_its_default_passes():
    """Hypothesis: values of the defaults' types pass, an int for a float too."""
    check(DEFAULTS, {"seed": 3, "rate": 1, "model": "gru", "plot": False, "device": "cuda"})
    check(DEFAULTS, {})


@pytest.mark.parametrize(
    "given, message",
    [
        ({"sed": 1}, "no parameter 'sed'. Did you mean 'seed'"),
        ({"zzz": 1}, r"no parameter 'zzz'. The chapter has \['device'"),
        ({"seed": 1.5}, "seed is 1.5, a float; its default 0 is a int"),
        ({"seed": True}, "seed is True, a bool"),
        ({"rate": "1e-3"}, "rate is '1e-3', a str"),
        ({"plot": "true"}, "plot is 'true', a str"),
    ],
)
def test_a_misspelt_or_ill_typed_parameter_is_an_error(given, message):
    """Hypothesis: the error names the parameter, the value and the remedy."""
    with pytest.raises(ParameterError, match=message):
        check(DEFAULTS, given)


def test_a_parameters_cell_holds_literals_only():
    """Hypothesis: literals are read, anything computed is refused."""
    assert literals("a = 1  # why\nb = [1, 'x']\nc = -2.5") == {"a": 1, "b": [1, "x"], "c": -2.5}
    for source in ("a = 1 + x", "import os", "a, b = 1, 2", "a += 1"):
        with pytest.raises(ParameterError, match="may only assign"):
            literals(source)


def test_papermill_stops_before_anything_runs(tmp_path):
    """Hypothesis: a real papermill run with a misspelt name fails at the check."""
    code = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(
        cells=[
            code("seed = 0\nrate = 0.5", metadata={"tags": ["parameters"]}),
            code("from rnnlib.runs.parameters import check_notebook\ncheck_notebook()"),
            code("print('ran with', seed, rate)"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}},
    )
    path, out = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook, path)
    papermill.execute_notebook(path, out, parameters={"seed": 7}, progress_bar=False)
    assert "ran with 7 0.5" in out.read_text()
    with pytest.raises(papermill.PapermillExecutionError, match="Did you mean 'seed'"):
        papermill.execute_notebook(path, out, parameters={"sead": 7}, progress_bar=False)
    outputs = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", [])]
    assert not any("ran with" in str(output) for output in outputs)


def test_papermills_own_options_are_no_parameters_of_the_chapter(tmp_path, monkeypatch):
    """Hypothesis: --inject-paths adds two names, which pass; a misspelt one beside them fails."""
    injected = "# Parameters\nseed = 7\nPAPERMILL_INPUT_PATH = 'a.ipynb'\n"
    injected += "PAPERMILL_OUTPUT_PATH = 'b.ipynb'\n"

    class Shell:
        user_ns = {"In": ["seed = 0", injected]}

    monkeypatch.setattr("IPython.get_ipython", Shell)
    check_notebook()
    Shell.user_ns = {"In": ["seed = 0", injected + "sead = 1\n"]}
    with pytest.raises(ParameterError, match="Did you mean 'seed'"):
        check_notebook()

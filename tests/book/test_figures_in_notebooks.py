"""Figures reach the notebook, whatever backend the surroundings name."""

import nbformat
import papermill
import pytest


@pytest.mark.parametrize("backend", ["", "Agg"])
def test_a_backend_named_in_the_environment_leaves_no_chapter_without_figures(
    backend, tmp_path, monkeypatch
):
    if backend:
        monkeypatch.setenv("MPLBACKEND", backend)
    else:
        monkeypatch.delenv("MPLBACKEND", raising=False)
    source = "import rnnbook\nimport matplotlib.pyplot as plt\nfigure, _ = plt.subplots()\nfigure"
    cells = [nbformat.v4.new_code_cell(source)]
    kernel = {"name": "python3", "display_name": "p", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "in.ipynb")
    papermill.execute_notebook(tmp_path / "in.ipynb", tmp_path / "out.ipynb", progress_bar=False)
    assert '"image/png"' in (tmp_path / "out.ipynb").read_text()

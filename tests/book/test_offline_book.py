"""The build of a book of one page: what changes it, and what stops it."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def build(tmp_path):
    """Builds, in an empty folder, a book whose page shows the value of one expression."""
    (tmp_path / "rnnlib").mkdir()
    shutil.copy(ROOT / "_config.yml", tmp_path)
    for folder in ("_ext", "assets"):
        shutil.copytree(ROOT / "book" / folder, tmp_path / "book" / folder)
    (tmp_path / "book" / "references.bib").touch()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")

    def build(package, expression="rnnlib.answer"):
        (tmp_path / "rnnlib" / "__init__.py").write_text(package)
        source = f"import sys\nsys.path.insert(0, '..')\nimport rnnlib\n{expression}"
        cells = [nbformat.v4.new_markdown_cell("# Page"), nbformat.v4.new_code_cell(source)]
        for number, cell in enumerate(cells):
            cell.id = str(number)
        kernel = {"name": "python3", "display_name": "Python 3"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, tmp_path / "book" / "page.ipynb")
        done = subprocess.run(
            [
                Path(sys.executable).with_name("jupyter-book"),
                "build",
                "book",
                "-W",
                "--keep-going",
                "--config",
                "_config.yml",
                "--toc",
                tmp_path / "_toc.yml",
                "--path-output",
                ".",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        page = tmp_path / "_build" / "html" / "page.html"
        return done, page.read_text() if page.exists() else ""

    return build


def test_a_change_in_the_package_changes_a_page_whose_cells_are_the_same(build):
    first, page = build("answer = 'silver'")
    assert first.returncode == 0, first.stderr
    assert "silver" in page and "executing chapters" in first.stdout
    same, _ = build("answer = 'silver'")
    assert "executing chapters" not in same.stdout
    changed, page = build("answer = 'copper'")
    assert changed.returncode == 0, changed.stderr
    assert "copper" in page and "silver" not in page


def test_a_chapter_that_raises_stops_the_build_and_shows_its_traceback(build):
    failed, _ = build("answer = 0", "1 / rnnlib.answer")
    assert failed.returncode != 0
    assert "ZeroDivisionError" in failed.stderr and "1 / rnnlib.answer" in failed.stderr


def test_a_widget_whose_state_is_missing_stops_the_build(build):
    view = {"model_id": "lost", "version_major": 2, "version_minor": 0}
    bundle = {"application/vnd.jupyter.widget-view+json": view, "text/plain": "a widget"}
    show = f"from IPython.display import display\ndisplay({bundle!r}, raw=True)"
    failed, _ = build("answer = 0", show)
    assert failed.returncode != 0
    assert "a widget's state is missing" in failed.stderr

"""The build of a book of one page: what changes it, and what stops it."""

import os
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

    def build(package, expression="rnnlib.answer", alt=None, **variables):
        (tmp_path / "rnnlib" / "__init__.py").write_text(package)
        source = f"import sys\nsys.path.insert(0, '..')\nimport rnnlib\n{expression}"
        cells = [nbformat.v4.new_markdown_cell("# Page"), nbformat.v4.new_code_cell(source)]
        if alt:
            cells[1].metadata["mystnb"] = {"image": {"alt": alt}}
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
            env=os.environ | variables,
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


def test_a_change_in_what_chapters_draw_with_changes_a_page(build, tmp_path):
    drawn = tmp_path / "book" / "rnnbook" / "__init__.py"
    drawn.parent.mkdir()
    for answer in ("silver", "copper"):
        drawn.write_text(f"answer = '{answer}'")
        done, page = build("", "sys.path.insert(0, '.')\nimport rnnbook\nrnnbook.answer")
        assert done.returncode == 0, done.stderr
        assert answer in page
    assert "silver" not in page


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


DRAW = "import matplotlib.pyplot as plt\nfigure, _ = plt.subplots()\nplt.close(figure)\nfigure"


def test_a_figure_with_alternative_text_is_on_the_page_or_the_build_stops(build):
    """Hypothesis: under a backend without pictures the build stops, and says so."""
    whole, page = build("answer = 0", DRAW.replace("plt.close(figure)\n", ""), "An empty figure")
    assert whole.returncode == 0, whole.stderr
    assert 'alt="An empty figure"' in page
    empty, _ = build("answer = 0", DRAW, "An empty figure", MPLBACKEND="Agg")
    assert empty.returncode != 0
    assert "a figure is missing whose alternative text begins 'An empty figure'" in empty.stderr


def test_the_store_that_a_variable_names_is_a_source_of_the_pages(build, tmp_path):
    """Hypothesis: a file in it, also behind a link, changes what is cached."""
    store = tmp_path / "elsewhere"
    store.mkdir()
    (tmp_path / "link").symlink_to(store)
    (store / "number").write_text("silver")
    show = "import os, pathlib\n(pathlib.Path(os.environ['RNNLIB_RESULTS']) / 'number').read_text()"
    _, page = build("answer = 0", show, RNNLIB_RESULTS=str(tmp_path / "link"))
    assert "silver" in page
    (store / "number").write_text("copper")
    done, page = build("answer = 0", show, RNNLIB_RESULTS=str(tmp_path / "link"))
    assert done.returncode == 0 and "copper" in page and "silver" not in page


def test_nbmake_executes_again_only_what_changed_since_the_build(tmp_path):
    """The cache is filled by hand, as a build that took 20 seconds fills it."""
    for name in ("_ext/offline_book.py", "conftest.py"):
        (tmp_path / "book" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "book" / name, tmp_path / "book" / name)
    (tmp_path / "pytest.ini").touch()
    page = tmp_path / "book" / "page.ipynb"
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    kernel = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), page)
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--nbmake", "book"]
    code = (
        "import conftest; conftest.executions()"
        ".cache_notebook_file('page.ipynb', data={'execution_seconds': 20})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=page.parent, check=True)

    def outcome(seconds):
        options = [*command, "--after-build", seconds]
        return subprocess.run(options, cwd=tmp_path, capture_output=True, text=True).stdout

    assert "executed by the build" in outcome("10")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new").touch()
    assert "1 passed" in outcome("10"), "its results are others"

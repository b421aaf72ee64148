"""The chapters as they are committed: clean, parametrised, and all of them in the book."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
SOURCES = [
    p
    for p in sorted(BOOK.rglob("*"))
    if p.suffix in {".ipynb", ".md"}
    and not any(part.startswith((".", "_")) for part in p.relative_to(BOOK).parts)
]
CHAPTERS = [p for p in SOURCES if p.suffix == ".ipynb"]
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def test_the_table_of_contents_lists_every_source_and_nothing_else():
    listed = set(parse_toc_yaml(ROOT / "_toc.yml"))
    assert listed == {p.relative_to(BOOK).with_suffix("").as_posix() for p in SOURCES}


@each_chapter
def test_a_chapter_is_a_valid_notebook_for_any_python_3_kernel(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@each_chapter
def test_a_chapter_is_committed_without_outputs(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, (
                f"{path.name}, cell {cell.get('id')}: clear all outputs before you commit"
            )


@each_chapter
def test_a_chapters_first_code_cell_holds_its_parameters_as_plain_literals(path):
    code = [cell for cell in read(path).cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == code[:1], "tag the first code cell, and no other, `parameters`"
    for statement in ast.parse("".join(cell.source for cell in tagged)).body:
        assert isinstance(statement, ast.Assign), f"not an assignment: {ast.unparse(statement)}"
        assert [type(target) for target in statement.targets] == [ast.Name]
        ast.literal_eval(statement.value)  # raises for anything but a literal


@each_chapter
def test_a_chapter_checks_its_parameters_before_anything_else(path):
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    check = "from rnnlib.runs import check_notebook\n\ncheck_notebook()"
    assert code[1].startswith(check), "papermill itself only warns of a misspelt parameter"


def test_every_citation_resolves_and_no_entry_is_unused():
    """Hypothesis: what the pages cite is what the bibliography holds."""
    entries = re.findall(r"(?m)^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text("utf-8"))
    texts = []
    for path in SOURCES:
        if path.suffix == ".md":
            texts.append(path.read_text(encoding="utf-8"))
        else:
            texts += [c.source for c in read(path).cells if c.cell_type == "markdown"]
    cited = {
        key.strip()
        for text in texts
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert len(entries) == len(set(entries))
    assert cited - set(entries) == set(), "cited, not in references.bib"
    assert set(entries) - cited == set(), "in references.bib, cited nowhere"

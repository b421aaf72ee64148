"""The step of a batch in which papermill executes chapters: real notebooks, kernels and ends."""

import os
import signal

import nbformat
import pytest
from small_runs import process, run, tiny
from test_stopping import alive, until

from rnnlib import stopping
from rnnlib.__main__ import main
from rnnlib.runs import store

DRAWS = """import os, pathlib
from rnnlib.runs import store
folders = store.find(os.environ["RNNLIB_RESULTS"], "sine")
print("drawn from", *[store.read_config(folder).seed for folder in folders])
print(pathlib.Path("beside.txt").read_text())"""
WAITS = """import os, pathlib, time
pathlib.Path("kernel.part").write_text(str(os.getpid()))
os.rename("kernel.part", "kernel")
time.sleep(1000)"""


def write(path, *cells):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# A chapter"),
            nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
            *map(nbformat.v4.new_code_cell, cells),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}},
    )
    nbformat.write(notebook, path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of runs that are done and chapters that draw them; return how to batch it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "beside.txt").write_text("a file beside the chapter")

    def declare(**chapters):
        settings = {k: v for k, v in tiny().to_dict().items() if k != "experiment"}
        seeds, lines = iter(range(9)), []
        for name, cells in chapters.items():
            write(tmp_path / "book" / f"{name}.ipynb", *cells)
            seed = next(seeds)
            run(tiny(seed=seed), tmp_path / "store")
            lines += [f"[{name}]", f"shows = '{name}'", "experiment = 'sine'", "preset = 'quick'"]
            lines += [f"chapter = '{name}'", f"seed = [{seed}]", "[" + name + ".settings]"]
            lines += [f"{k} = {list(v) if isinstance(v, tuple) else repr(v)}"
                      for k, v in settings.items() if k not in ("model", "seed")]  # fmt: skip
        (tmp_path / "grid.toml").write_text("\n".join(lines))
        return ["batch", "--file", str(tmp_path / "grid.toml"), "--root", str(tmp_path / "store")]

    return declare


def test_a_chapter_that_fails_stops_no_other_and_its_cell_is_named(project, tmp_path, capsys):
    """Hypotheses: raised or a dead kernel; the executed notebook is kept; the others are drawn."""
    arguments = project(
        bad=["print('so far')", "", "# why\nraise ValueError('no\\nsuch thing')", "print('after')"],
        dead=["print('so far')", "import os\nos._exit(3)", "print('after')"],
        good=[DRAWS],
    )
    assert main([*arguments, "--dry-run"]) == 0
    assert "Runs that are not drawn yet: bad, dead, good.\n" in capsys.readouterr().out
    assert not (tmp_path / "_build").exists()
    assert main(arguments) == 2
    out = capsys.readouterr().out.splitlines()
    (folder,) = (tmp_path / "_build" / "batch").glob("2*")
    bad = f"failed: bad: cell [3], `# why`: ValueError: no such thing (see {folder / 'bad.ipynb'})"
    dead = f"failed: dead: cell [3], `import os`: the kernel died (see {folder / 'dead.ipynb'})"
    assert out[-3:] == [bad, dead, f"good: {folder / 'good.ipynb'}"]
    for name in ("bad", "dead"):
        text = (folder / f"{name}.ipynb").read_text()
        assert '"so far\\n"' in text and '"after\\n"' not in text
    text = (folder / "good.ipynb").read_text()
    assert "drawn from 0 1 2" in text and "a file beside the chapter" in text
    for name in ("bad", "dead"):  # mended; what was drawn is left alone
        write(tmp_path / "book" / f"{name}.ipynb", DRAWS)
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "not drawn yet: bad, dead.\n" in out and "good: /" not in out
    assert main(arguments) == 0
    assert "not drawn" not in capsys.readouterr().out
    assert main([*arguments[:-1], str(tmp_path / "another"), "--dry-run"]) == 0
    assert "not drawn" not in capsys.readouterr().out  # there are no runs to draw


def test_a_chapter_is_drawn_again_once_a_run_of_its_has_ended(project, tmp_path, capsys):
    arguments = project(good=[DRAWS])
    assert main(arguments) == 0 and "good: /" in capsys.readouterr().out
    folder = store.folder_of(tmp_path / "store", tiny())
    os.utime(folder / "done.json")
    assert main(arguments) == 0 and "good: /" in capsys.readouterr().out
    os.rename(tmp_path / "store", tmp_path / "moved")
    arguments[-1] = str(tmp_path / "moved")
    assert main([*arguments, "--no-chapters"]) == 0 and "good" not in capsys.readouterr().out[-20:]
    assert main([*arguments, "--dry-run"]) == 0
    assert "not drawn yet: good." in capsys.readouterr().out
    (tmp_path / "book" / "good.ipynb").unlink()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "chapter is 'good'" in error and "--no-chapters" in error and error.count("\n") == 1


@pytest.mark.parametrize("asked", ["SIGINT", "SIGTERM", None])
def test_a_batch_that_ends_within_a_chapter_draws_it_the_next_time(
    asked, project, tmp_path, capsys
):
    """Hypotheses: by a signal, by the time; the kernel goes too; it is no failure."""
    arguments = project(slow=[WAITS], good=[DRAWS])
    before = "from rnnlib.runs import chapters; chapters.GRACE = 5.0"
    one = process([*arguments, *([] if asked else ["--minutes", "0.1"])], before)
    until((tmp_path / "book" / "kernel").exists, one)
    kernel = int((tmp_path / "book" / "kernel").read_text())
    if asked:
        one.send_signal(getattr(signal, asked))
    out, error = one.communicate(timeout=60)
    assert error == (f"{stopping.LINE}\n" if asked else "")
    assert one.returncode == (128 + getattr(signal, asked) if asked else 0)
    assert "failed" not in out and "good: /" not in out
    assert asked or out.count("not drawn, the time is up; the same command draws it.") == 2
    until(lambda: not alive(kernel), seconds=20)
    assert main([*arguments, "--dry-run"]) == 0
    assert "not drawn yet: slow, good." in capsys.readouterr().out

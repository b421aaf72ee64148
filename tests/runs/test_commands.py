"""What a user can meet at the command line is one line with the remedy, and exit status 2."""

import errno
import os
import subprocess

import pytest
from small_runs import HOME, options_of, process, run, tiny

from rnnlib.__main__ import main
from rnnlib.commands.errors import explain
from rnnlib.runs import store


def one_line(arguments, before="", status=2, **variables):
    """Return the one line of error that a command ends with."""
    ended = process(arguments, before, **variables)
    _, error = ended.communicate(timeout=120)
    assert ended.returncode == status, error
    lines = error.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), error
    return lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "meta"], "does not have"),
        (["--seed", "-1"], "seed is -1; it must be at least 0"),
        (["--seed", str(2**70)], "it must be below"),
        (["--learning-rate", "1e300"], "learning_rate is 1e[+]300"),
        (["--clip", "inf"], "clip is inf"),
        (["--decay-epochs", "-5"], "decay_epochs is"),
        (["--minutes", "-1"], "minutes is -1.0; it must be positive"),
        (["--n-hidden", "100000000"], "cannot be made on cpu.*Choose fewer units"),
    ],
)
def test_a_value_that_cannot_be_run_is_told_before_anything_is_made(
    options, message, tmp_path, capsys
):
    arguments = ["run", "sine", "--preset", "quick", "--quiet", "--root", str(tmp_path / "store")]
    assert main([*arguments, *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    import re

    assert re.search(message, error), error
    assert not any((tmp_path / "store").rglob("*.json"))


def test_a_missing_corpus_is_one_line(tmp_path):
    arguments = ["run", "language", "--epochs", "1", "--quiet", "--root", tmp_path / "store"]
    line = one_line(arguments, RNNLIB_WIKITEXT2=str(tmp_path / "nowhere"))
    assert "cannot be read" in line and "RNNLIB_WIKITEXT2" in line
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "name a store of yours with --root"),
        (errno.EROFS, "name another store"),
        (errno.ENOLCK, "local disk"),
    ],
)
def test_each_fault_of_a_disk_has_its_remedy(number, remedy):
    told = explain(OSError(number, os.strerror(number), "results/x"))
    assert told.startswith(f"results/x: {os.strerror(number)}. ") and remedy in told


def test_a_fault_of_ours_is_not_explained_away():
    assert explain(TypeError("no")) is None and explain(RuntimeError("no")) is None


def test_a_pipe_that_nobody_reads_ends_the_list_quietly(tmp_path):
    for seed in range(3):
        run(tiny(epochs=1, seed=seed), tmp_path)
    listing = process(["list", "--root", tmp_path])
    listing.stdout.close()
    listing.wait(60)
    assert listing.stderr.read() == "" and listing.returncode == 0


def test_a_path_that_the_terminal_cannot_show_stops_nothing(tmp_path):
    root = tmp_path / "Größe"
    ended = process([*options_of(tiny(epochs=1)), "--root", root], PYTHONIOENCODING="ascii")
    out, error = ended.communicate(timeout=120)
    assert ended.returncode == 0 and error == "" and "Gr\\xf6\\xdfe" in out


def test_the_variable_names_the_store_of_every_command(tmp_path, monkeypatch, capsys):
    """Hypothesis: as in chapters; ~ is expanded, and empty means unset."""
    folder = run(tiny(epochs=1), tmp_path / "store")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RNNLIB_RESULTS", "~/store")
    assert store.root_of("text") == tmp_path / "store"
    assert main(["list"]) == 0 and str(folder) in capsys.readouterr().out
    assert main(["verify"]) == 0 and "1 whole" in capsys.readouterr().out
    assert main(["list", "--root", "~/other"]) == 0
    assert f"No runs in {tmp_path / 'other'}" in capsys.readouterr().out
    monkeypatch.setenv("RNNLIB_RESULTS", "")
    assert store.root_of("text") == HOME / "results"


def test_a_clone_with_line_ends_of_windows_has_the_bytes_that_were_stored(tmp_path):
    """Hypothesis: core.autocrlf changes no result, so all checksums hold."""
    made = subprocess.run(
        ["git", "-c", "core.autocrlf=true", "clone", "-q", "--depth", "1", f"file://{HOME}", "c"],
        cwd=tmp_path,
        capture_output=True,
    )
    if made.returncode or not (tmp_path / "c" / ".gitattributes").exists():
        pytest.skip("no git checkout here")
    marks = sorted((tmp_path / "c" / "results").glob("*/*/*/done.json"))
    assert marks
    for mark in marks:
        store.check(mark.parent)

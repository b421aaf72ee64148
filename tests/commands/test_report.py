"""The report at the command line: a page, numbers for a machine, and one line for what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rnnlib.__main__ import main


@pytest.fixture
def files(tmp_path):
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": nn.GRU(2, 3, batch_first=True), "head": nn.Linear(3, 1)})
    torch.save(model.state_dict(), tmp_path / "model.pt")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(4, 30, 2)))
    return [str(tmp_path / "model.pt"), "--inputs", str(tmp_path / "x.npy"), "--batch-first"]


QUICK = ["--question", "influence", "--quiet"]


def test_it_prints_what_it_found_and_writes_a_page(files, tmp_path, capsys):
    assert main(["report", *files, "--head", "head", *QUICK]) == 0
    printed = capsys.readouterr()
    assert "How far back does the output depend on the input?" in printed.out
    assert "model.html" in printed.err
    page = (tmp_path / "model.html").read_text()
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")


def test_the_page_goes_where_it_is_asked_to(files, tmp_path):
    assert main(["report", *files, *QUICK, "--output", str(tmp_path / "a b.html")]) == 0
    assert (tmp_path / "a b.html").exists() and not (tmp_path / "model.html").exists()


def test_json_is_for_machines(files, tmp_path, capsys):
    assert main(["report", *files, *QUICK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["answers"]) == ["influence"]
    assert len(found["answers"]["influence"]["evidence"]["of_input"]) == 30
    assert not (tmp_path / "model.html").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (["--head", "tail"], "no read-out 'tail'"),
        (["--budget", "0"], "budget is 0.0"),
        (["--prefix", "lstm"], "no recurrent layer"),
    ],
)
def test_what_is_wrong_is_one_line(files, change, message, capsys):
    assert main(["report", *files, *QUICK, *change]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_file_that_is_no_checkpoint_is_one_line(files, capsys):
    Path(files[0]).write_bytes(b"no checkpoint")
    assert main(["report", *files, *QUICK]) == 2
    error = capsys.readouterr().err
    assert files[0] in error and error.count("\n") == 1


def test_inputs_of_another_width_are_one_line(files, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((4, 30, 5)))
    assert main(["report", *files, *QUICK]) == 2
    assert "inputs has shape (4, 30, 5)" in capsys.readouterr().err


def test_without_the_extras_the_report_is_still_there(files):
    code = (
        "import sys\n"
        "for name in 'pandas filelock pooch numba onnx safetensors IPython anywidget'.split():\n"
        "    sys.modules[name] = None\n"
        "from rnnlib.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run([*command, "report", *files, *QUICK], capture_output=True, text=True)
    assert done.returncode == 0 and "How far back" in done.stdout, done.stderr
    help_text = subprocess.run([*command, "--help"], capture_output=True, text=True).stdout
    assert "rnnlib[batch]" in " ".join(help_text.split())

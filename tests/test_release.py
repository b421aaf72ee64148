"""What is released: one version, and a core that needs nothing of the extras."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rnnlib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rnnlib"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {re.match(r"[\w-]+", line)[0] for line in PROJECT["dependencies"]}
EXTRAS = {
    "numba",
    "pandas",
    "filelock",
    "pooch",
    "IPython",
    "ipywidgets",
    "anywidget",
    "papermill",
    "seaborn",
    "onnx",
    "safetensors",
}
# The rooms and files that need an extra, and say so in `pyproject.toml`.
BESIDE_THE_CORE = (
    PACKAGE / "runs",
    PACKAGE / "widgets",
    PACKAGE / "__main__.py",
    PACKAGE / "systems" / "two_unit_kernel.py",
    PACKAGE / "nn" / "orthogonal_loops.py",
)


def test_the_citation_and_the_changelog_know_the_version():
    assert f"\nversion: {rnnlib.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## Unreleased\n" in changes
    released = re.findall(r"^## (\d+\.\d+\.\d+)", changes, re.M)
    assert not released or released[0] == rnnlib.__version__


def test_the_core_imports_at_once_only_what_it_declares():
    """Hypothesis: a top-level import outside the extras' rooms is of ours, Python's or declared."""
    allowed = CORE | {"rnnlib"} | sys.stdlib_module_names
    for path in PACKAGE.rglob("*.py"):
        if not any(path.is_relative_to(place) for place in BESIDE_THE_CORE):
            for node in ast.parse(path.read_text()).body:
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                    [node.module] if isinstance(node, ast.ImportFrom) else [])  # fmt: skip
                for module in modules:
                    assert module.split(".")[0] in allowed, f"{path} imports {module}"


def test_every_pinned_or_extra_package_of_the_core_is_in_the_requirements():
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text(), re.M)
    extras = [
        re.match(r"[\w-]+", p)[0]
        for extra in PROJECT["optional-dependencies"].values()
        for p in extra
    ]
    assert (CORE | set(extras) - {"rnnlib"}) <= set(pinned)


def test_what_the_core_declares_as_oldest_is_what_is_tested():
    tested = (ROOT / "requirements-oldest.txt").read_text()
    for line in PROJECT["dependencies"]:
        name, version = line.split(">=")
        assert re.search(rf"^{name}=={re.escape(version)}(\.\d+)*$", tested, re.M), line


WITHOUT_EXTRAS = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None  # an import of it raises ImportError

import torch
import rnnlib
import rnnlib.figures, rnnlib.language, rnnlib.smoothness, rnnlib.tasks, rnnlib.training

torch.manual_seed(0)
network = rnnlib.from_module(torch.nn.GRU(2, 4).double())
alone = network.hold(torch.zeros(2, dtype=torch.float64))
start = torch.zeros(alone.n_x, dtype=torch.float64)
print(rnnlib.steady_state(alone, start).describe())
print(rnnlib.lyapunov_spectrum(alone, start, steps=100, k=2).exponents.shape)
print(rnnlib.fixed_points(alone, rnnlib.starts_in_box(-1, 1, 8, 4)).points.shape[-1])
print(len(rnnlib.basins(alone, rnnlib.starts_in_box(-1, 1, 8, 4)).attractors))
print(rnnlib.certify(torch.nn.LSTM(1, 2).double(), 1.0).constant)
inputs = torch.zeros(5, 2, dtype=torch.float64)
print(rnnlib.simulate(network, start, 5, inputs=inputs).shape)
print(rnnlib.OrthogonalRNN(2, 4)(torch.zeros(3, 1, 2))[0].shape)
print(rnnlib.knn_entropy(torch.randn(50, 2, dtype=torch.float64)))
found = rnnlib.report(torch.nn.GRU(2, 4), torch.zeros(30, 1, 2), budget=8.0, progress=False)
assert not [a.words for a in found.answers.values() if a.state == "failed"]
print(len(found.figure().axes), len(found._repr_html_()) > 1000)
"""


def test_the_general_analyses_run_without_any_extra():
    code = WITHOUT_EXTRAS.format(blocked=sorted(EXTRAS))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, *rest = done.stdout.splitlines()
    assert said.startswith("fixed point") or said.startswith("stable fixed point"), said
    assert len(rest) >= 7


def test_what_needs_an_extra_names_it():
    for module, extra in (("rnnlib.runs", "batch"), ("rnnlib.widgets", "notebook")):
        code = (
            f"import sys\nfor name in {sorted(EXTRAS)!r}: sys.modules[name] = None\nimport {module}"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode != 0 and f'pip install "rnnlib[{extra}]"' in done.stderr, done.stderr


REPORT_ON_A_FILE = """
import importlib.util, pathlib, sys

import numpy, torch
import rnnlib

assert "site-packages" in rnnlib.__file__, rnnlib.__file__
assert not [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
torch.manual_seed(0)
network = torch.nn.GRU(2, 4)
torch.save(network.state_dict(), "net.pt")
inputs = torch.randn(30, 3, 2)
numpy.save("x.npy", inputs.numpy())
found = rnnlib.report(network, inputs, budget=20.0, progress=False)
assert not [a.words for a in found.answers.values() if a.state == "failed"]
"""


@pytest.mark.skipif("RNNLIB_TEST_INSTALLED" not in os.environ, reason="make test-oldest")
def test_the_installed_wheel_reports_in_an_environment_without_any_extra(tmp_path):
    """Hypothesis: what was built holds all files that a report needs, in Python and in a shell."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    where = {"cwd": tmp_path, "env": environment, "check": True}
    absent = sorted(EXTRAS - {"filelock"})  # torch brings that one
    subprocess.run([sys.executable, "-P", "-c", REPORT_ON_A_FILE, *absent], **where)
    report = ["report", "net.pt", "--inputs", "x.npy", "--budget", "20", "--quiet"]
    subprocess.run([sys.executable, "-P", "-m", "rnnlib", *report], **where)
    assert "<svg" in (tmp_path / "net.html").read_text()

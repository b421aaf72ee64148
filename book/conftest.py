"""The chapters as tests (nbmake). After a build of this very tree its own executions count."""

import importlib.util
from pathlib import Path

import pytest
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    parser.addoption(
        "--after-build",
        type=float,
        metavar="SECONDS",
        help="skip chapters that `make book` has executed as they are now, if that took longer",
    )


def executions():
    """Return jupyter-cache's records of what the build executed, or would, as all is now."""
    spec = importlib.util.spec_from_file_location("_build", ROOT / "book/_ext/offline_book.py")
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    return get_cache(ROOT / "_build" / ".jupyter_cache" / extension.fingerprint())


def pytest_collection_modifyitems(config, items):
    chapters = [item for item in items if item.path.suffix == ".ipynb"]
    if not chapters or config.option.after_build is None:
        return
    cache = executions()
    for item in chapters:
        try:
            seconds = cache.match_cache_file(item.path).data["execution_seconds"]
        except KeyError:
            continue
        if seconds > config.option.after_build:
            item.add_marker(pytest.mark.skip(reason="executed by the build, as it is now"))

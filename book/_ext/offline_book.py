"""A Sphinx extension: the built book asks no other host for anything and is never stale.

Chapters that have to be executed are executed side by side.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from sphinx.errors import ExtensionError
from sphinx.util.display import status_iterator
from sphinx.util.fileutil import copy_asset

ROOT = Path(__file__).resolve().parents[2]
# The package's own extension would copy all of MathJax, 24 MB; a page needs 1.7 MB of it.
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
BUNDLE = "tex-chtml-full.js"  # every TeX extension in one file: nothing is fetched later
FONTS = "output/chtml/fonts/woff-v2"
WIDGET = "application/vnd.jupyter.widget-{}+json"
VIEW = re.compile(re.escape(f'<script type="{WIDGET.format("view")}">') + "(.*?)</script>", re.S)


def files_of(folder):
    """Yields the files of a folder and of those that links in it lead to, in order."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for name in sorted(names):
            if not name.startswith("."):  # locks, and files that a run is writing
                yield Path(place) / name


def fingerprint():
    """Hashes what a chapter's outputs depend on besides its own cells."""
    digest = hashlib.sha256(sys.version.encode())
    digest.update(repr(sorted({(d.name, d.version) for d in distributions()})).encode())
    chosen = {key: value for key, value in os.environ.items() if key.startswith("RNNLIB_")}
    digest.update(repr(sorted(chosen.items())).encode())
    store = Path(os.environ.get("RNNLIB_RESULTS") or ROOT / "results").expanduser()
    corpus = Path(os.environ.get("RNNLIB_WIKITEXT2") or ROOT / "no corpus").expanduser()
    drawn = ROOT / "book" / "rnnbook"  # by what only the chapters use
    for room in dict.fromkeys((ROOT / "rnnlib", drawn, ROOT / "results", store, corpus)):
        for path in files_of(room):
            try:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError:  # of a run that was replacing it
                continue
            digest.update(f"{room.name} {path.relative_to(room)} {content}\n".encode())
    return digest.hexdigest()[:16]


def configure(app, config):
    """Keys the execution cache with the fingerprint, and points to the local MathJax.

    jupyter-cache itself looks at the code cells only. The cache's path is a setting of the
    environment, so that a new one also makes Sphinx read every page again.
    """
    caches = Path(app.outdir).parent / ".jupyter_cache"
    current = caches / fingerprint()
    for cache in caches.glob("*"):
        if cache != current:
            shutil.rmtree(cache) if cache.is_dir() else cache.unlink()
    config.nb_execution_cache_path = str(current)
    config.mathjax_path = f"mathjax/{BUNDLE}"


def execute(cache, timeout, uri):
    """Executes a chapter into the cache and returns its name."""
    logger = logging.getLogger("execution")
    executor = load_executor("local-serial", get_cache(cache), logger)
    executor.run_and_cache(filter_uris=[uri], timeout=timeout)
    return Path(uri).stem


def execute_side_by_side(app, env, docnames):
    """Fills the cache with the chapters about to be read, a process per core.

    One that fails here is executed again where it is read, and reported there. jupyter-cache's own
    pool hands out two chapters at a time, and the last two, which are long, to one process.
    """
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    paths = [env.doc2path(name) for name in sorted(docnames)]
    chapters = [cache.add_nb_to_project(path).uri for path in paths if path.endswith(".ipynb")]
    uris = [record.uri for record in cache.list_unexecuted(filter_uris=chapters)]
    if uris:
        config = app.config
        job = partial(execute, config.nb_execution_cache_path, config.nb_execution_timeout)
        with ProcessPoolExecutor() as pool:
            names = pool.map(job, uris)
            list(status_iterator(names, "executing chapters... ", "darkgreen", len(uris)))


def copy_mathjax(app, exception):
    """Copies MathJax and its fonts beside the pages."""
    if exception is None and app.builder.format == "html":
        out = Path(app.outdir) / "_static" / "mathjax"
        for part, folder in ((BUNDLE, out), (FONTS, out / FONTS)):
            folder.mkdir(parents=True, exist_ok=True)
            copy_asset(MATHJAX / part, folder)


def check_widgets(app, pagename, templatename, context, doctree):
    """Stops the build at a page with a widget whose state is missing: it would show nothing."""
    stored = set()
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        if attributes.get("type") == WIDGET.format("state"):
            stored |= json.loads(attributes["body"])["state"].keys()
    for view in VIEW.findall(context.get("body", "")):
        if json.loads(view)["model_id"] not in stored:
            raise ExtensionError(
                f"{pagename}: a widget's state is missing from the notebook's metadata.widgets. "
                "Execute the chapter at build (execute_notebooks: cache), and let it store the "
                "widget state."
            )


def check_figures(app, doctree):
    """Stops the build at a cell that has alternative text for a figure, and shows none.

    A cell that draws only if there is something to draw may show nothing at all.
    """
    for cell in doctree.findall(nodes.container):
        alt = cell.get("cell_metadata", {}).get("mystnb", {}).get("image", {}).get("alt")
        if not alt or any(cell.findall(nodes.image)):
            continue
        words = cell.astext()
        outputs = [part.get("nb_element") for part in cell.findall(nodes.container)]
        may_be_empty = "if " in words and "cell_code_output" not in outputs
        if "<Figure size" in words or not (may_be_empty or "cell_code_output" in outputs):
            raise ExtensionError(
                f"{app.env.docname}: a figure is missing whose alternative text begins "
                f"{alt[:60]!r}. Let the cell end with the figure, and leave MPLBACKEND unset."
            )


def setup(app):
    """Registers the extension."""
    app.connect("config-inited", configure)
    app.connect("env-before-read-docs", execute_side_by_side)
    app.connect("doctree-read", check_figures)
    app.connect("html-page-context", check_widgets, priority=900)  # after myst-nb's own
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""What the chapters draw: one module per subject of a chapter, one function per figure."""

import os


def _draw_into_the_notebook() -> None:
    """Undo an MPLBACKEND of the surroundings, which would leave a notebook without figures."""
    from IPython import get_ipython

    shell = get_ipython()
    if hasattr(shell, "kernel") and "inline" not in os.environ.get("MPLBACKEND", "inline"):
        shell.run_line_magic("matplotlib", "inline")


_draw_into_the_notebook()

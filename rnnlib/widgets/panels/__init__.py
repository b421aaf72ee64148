"""What the widgets share: panels with axes, their looks, and how the parts become one text."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PACKED = HERE / "packed.js"  # for the widgets whose state holds packed numbers


def module(*paths: Path) -> str:
    """Return ``panels.js`` and a widget's own scripts as one ES module.

    A module in a Blob URL has nothing beside it to import from. A page carries no comments.
    """
    return re.sub(r"(?m)\s*// .*$|^\s+", "", _joined("panels.js", *paths))


def sheet(*paths: Path) -> str:
    """Return ``panels.css`` and a widget's own style sheets as one."""
    return _joined("panels.css", *paths)


def _joined(name: str, *paths: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (HERE / name, *paths))

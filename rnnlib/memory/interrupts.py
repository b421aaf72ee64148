"""Long work that can be stopped: what is done by then is kept."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_on_interrupt(what: str) -> Iterator[None]:
    """End the block, with a warning in place of the error, at an interrupt (Ctrl-C).

    Args:
        what: what the warning says of the result, such as "the largest stretch found so far".
    """
    try:
        yield
    except KeyboardInterrupt:
        warnings.warn(f"interrupted: the result is {what}", stacklevel=3)

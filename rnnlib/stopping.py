"""How a command is asked to end: by Ctrl-C, by a queue, by a terminal that closes.

It answers with one line and an exit status, at any instant: torch alone takes seconds to import.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is unknown to Windows
LINE = "Stopped. The same command goes on from the last checkpoint."


def every() -> list[int]:
    """Return the signals that ask to end."""
    return [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


STATUSES = frozenset(128 + number for number in every())  # of a command that was asked to


class Stopped(BaseException):
    """A command is to end.

    Not a KeyboardInterrupt, which analyses answer with what they have so far: a command stores
    whole results only.
    """

    status = 128 + signal.SIGINT


def heeding() -> list[int]:
    """Return those that are heeded: not those that were set to be ignored, as by ``nohup``."""
    return [number for number in every() if signal.getsignal(number) is not signal.SIG_IGN]


def is_command() -> bool:
    """Return whether ``python -m rnnlib`` is being imported."""
    return sys.argv[:1] == ["-m"] and ("-m", "rnnlib") in pairwise(sys.orig_argv)


def end_imports() -> None:
    """End the process at once when asked to, while nothing is open yet.

    An exception would be taken for a failing import by some of the packages that it meets.
    """

    def end(number, frame):
        os.write(2, f"{LINE}\n".encode())
        os._exit(128 + number)

    for number in heeding():
        signal.signal(number, end)


@contextmanager
def heeded(kind: type[BaseException] = Stopped) -> Iterator[None]:
    """Raise `Stopped`, or another error of that kind, within the block when asked to end."""

    def stop(number, frame):
        error = kind()
        error.status = 128 + number  # type: ignore[attr-defined]
        raise error

    with _handled(stop):
        yield


@contextmanager
def put_off() -> Iterator[None]:
    """Ignore what asks to end within the block, which ends something and takes seconds."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def noted() -> Iterator[None]:
    """Heed at the end of the block what asks to end within it.

    A process that is started in the block heeds all signals, also those that this one ignores.
    """
    asked = []
    with _handled(lambda number, frame: asked.append(number), ignored=True):
        yield
    for number in asked:
        if number in heeding():
            signal.raise_signal(number)


@contextmanager
def _handled(handler, ignored: bool = False) -> Iterator[None]:
    here = threading.current_thread() is threading.main_thread()  # no other may handle signals
    numbers = (every() if ignored else heeding()) if here else []
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)

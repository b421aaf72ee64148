"""The package from the command line: a report on a network of yours, and the experiments."""

import argparse
import difflib
import io
import os
import sys
import warnings

from rnnlib import stopping
from rnnlib.commands import report
from rnnlib.files import FileError

try:
    from rnnlib.commands import analyse, batch, listing, run, verify
    from rnnlib.commands.errors import explain

    COMMANDS, MISSING = (report, run, batch, analyse, listing, verify), None
except ImportError as error:  # the report needs the core alone
    COMMANDS, MISSING = (report,), str(error)

    def explain(error: Exception) -> str | None:
        """Return what to tell of an error that the user can mend."""
        return str(error) if isinstance(error, ValueError | OSError | FileError) else None


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint about an unknown option names the nearest one."""

    def parse_args(self, args=None):
        known, rest = self.parse_known_args(args)
        if rest:
            valid = [name for action in known.parser._actions for name in action.option_strings]
            near = difflib.get_close_matches(rest[0], valid, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            known.parser.error(f"there is no option {rest[0]}.{hint}")
        return known


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = _Parser(
        prog="python -m rnnlib",
        description=__doc__,
        epilog=MISSING and f"The commands for experiments are not here: {MISSING}",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status: 2 for what the user can mend, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a path that the terminal cannot show stops nothing
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    options = parser().parse_args(arguments)
    # A report that is interrupted tells what it has found; the others store whole results only
    kind = KeyboardInterrupt if options.act is report.act else stopping.Stopped
    try:
        with stopping.heeded(kind):
            status = options.act(options)
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # as of `list | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, stopping.Stopped) as stopped:
        print(stopping.LINE, file=sys.stderr)
        return getattr(stopped, "status", stopping.Stopped.status)
    except Exception as error:
        if (text := explain(error)) is None:
            raise
        print(f"error: {text}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

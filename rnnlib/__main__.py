"""The experiments from the command line: ``python -m rnnlib run sine --model lstm``."""

import argparse
import difflib
import sys
import warnings

from rnnlib.commands import analyse, batch, explain, listing, run, verify

COMMANDS = (run, batch, analyse, listing, verify)


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
    top = _Parser(prog="python -m rnnlib", description=__doc__, allow_abbrev=False)
    commands = top.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status, 2 for what the user can mend."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path that the terminal cannot show stops nothing
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    options = parser().parse_args(arguments)
    try:
        status = options.act(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as of `list | head`: who reads has seen enough
        run.quiet_pipe()
        return 0
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except Exception as error:
        if (text := explain(error)) is None:
            raise
        print(f"error: {text}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

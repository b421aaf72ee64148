"""What can be asked of the package at the command line, one file a command."""

from rnnlib.commands import analyse, batch, listing, run, verify
from rnnlib.commands.errors import explain

__all__ = ["analyse", "batch", "explain", "listing", "run", "verify"]

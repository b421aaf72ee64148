"""What can be asked of the package at the command line, one file a command.

``report`` needs the core alone. The others work on stored runs and need the extra ``batch``, so
they are imported where they are called for.
"""

from rnnlib.commands import report

__all__ = ["report"]

"""What a user can meet, in one line with the remedy."""

import errno

import torch

from rnnlib.files import FileError
from rnnlib.runs import runner
from rnnlib.tasks import wikitext
from rnnlib.training import NonFiniteLoss

SAYS_ALL = (
    ValueError,
    FileError,
    NonFiniteLoss,
    wikitext.WikitextError,
    runner.Busy,
    runner.OutOfTime,
    runner.RunsFailed,
)
AGAIN = "the same command then goes on from the last checkpoint."
REMEDIES = {
    errno.ENOSPC: f"The disk is full: free some space; {AGAIN}",
    errno.EDQUOT: f"The quota is used up: free some space; {AGAIN}",
    errno.EFBIG: f"The file would be larger than is allowed here (see ulimit -f); {AGAIN}",
    errno.EACCES: "You may not write or read there: name a store of yours with --root.",
    errno.EPERM: "You may not write or read there: name a store of yours with --root.",
    errno.EROFS: "That disk is read-only: name another store with --root.",
    errno.ENOENT: "Look at the path, or name another store with --root.",
    errno.ENOTDIR: "A file lies where a folder should be: name another store with --root.",
    errno.EEXIST: "A file lies where a folder should be: name another store with --root.",
    errno.ENOLCK: "That file system has no locks: name a store on a local disk with --root.",
    errno.EIO: f"The disk does not answer as it should; {AGAIN}",
}


def explain(error: Exception) -> str | None:
    """Return what to tell of an error that the user can mend; None for a fault of ours."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return (
            "there is too little memory on the device. Choose a smaller batch_size or n_hidden, "
            "or another device."
        )
    if isinstance(error, OSError) and not isinstance(error, SAYS_ALL):
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return f"{what}. {REMEDIES.get(error.errno or 0, 'Look at the path and the disk.')}"
    if isinstance(error, SAYS_ALL):
        return str(error)
    if isinstance(error, OverflowError) or "without overflow" in str(error):
        return f"a setting is too large for the network's numbers ({error}). Choose a smaller one."
    return None

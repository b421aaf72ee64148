"""Floats below the smallest normal one, 1.2e-38 in float32, and what they cost.

Where the loss is at the last step alone, gradients fade on their way back until they are subnormal,
and many processors take some hundred cycles for each operation on such a number: an LSTM's epoch
at length 200 took 22 s on one core against 4 s with subnormals set to zero (``python -m
benchmarks.training``). Losses and gradients are the same but for numbers of about 1e-38.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch


def flushing() -> bool:
    """Return whether torch sets subnormals to zero in this thread."""
    return (torch.tensor(2.0**-126, dtype=torch.float32) / 2).item() == 0


@contextmanager
def flushed() -> Iterator[bool]:
    """Set subnormals to zero inside the ``with`` block, and compute on one thread.

    The processor's flag belongs to a thread, and torch can set only that of the calling one: others
    would go on slowly, and which number is flushed would depend on who computes it.

    Yields:
        Whether the processor can do it.
    """
    before, threads = flushing(), torch.get_num_threads()
    torch.set_num_threads(1)
    able = torch.set_flush_denormal(True)
    try:
        yield able
    finally:
        torch.set_flush_denormal(before)
        torch.set_num_threads(threads)


def concerns(task: Any, device: torch.device | str) -> bool:
    """Return whether subnormals are to be flushed: where gradients fade, on a CPU.

    Args:
        task: what is learnt; it may have an attribute ``fades``.
        device: where the network lies.
    """
    return getattr(task, "fades", False) and torch.device(device).type == "cpu"


def arithmetic(task: Any, device: torch.device | str) -> dict[str, Any]:
    """Return how `rnnlib.training.train` computes, for a run's provenance: threads, subnormals."""
    with flushed() if concerns(task, device) else nullcontext() as able:
        words = {None: "kept", True: "flushed", False: "kept, the processor cannot flush them"}
        return {"threads": torch.get_num_threads(), "subnormals": words[able]}

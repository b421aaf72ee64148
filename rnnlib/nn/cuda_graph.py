"""A loop of many small kernels as one launch on a GPU: recorded once per shape, then replayed.

A step of a small recurrent layer computes for less time than its launches take. A CUDA graph
holds the launches of a whole sequence, so that Python and the driver are asked once.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

Loop = Callable[..., None]
KEPT = 16  # recordings with their buffers; a task has a few lengths, forward and backward


def recordable(tensor: Tensor) -> bool:
    """Whether a loop over such tensors can be recorded: on a GPU, and no recording goes on."""
    return tensor.is_cuda and not torch.cuda.is_current_stream_capturing()


def replay(loop: Loop, *tensors: Tensor, written: tuple[int, ...]) -> None:
    """Run ``loop(*tensors)`` from its recording, which the first call with such shapes makes.

    Args:
        loop: writes into some of its arguments and returns nothing. What it does may depend on
            their shapes, not on their values.
        tensors: all of one dtype, on one GPU.
        written: the positions of the arguments that the loop writes.
    """
    device = tensors[0].device
    # Two streams would overwrite each other's buffers.
    stream = torch.cuda.current_stream(device)
    shapes = tuple(tensor.shape for tensor in tensors)
    play, buffers = _record(loop, shapes, tensors[0].dtype, device, stream)
    for buffer, tensor in zip(buffers, tensors, strict=True):
        buffer.copy_(tensor)
    play()
    for position in written:
        tensors[position].copy_(buffers[position])


@lru_cache(maxsize=KEPT)
@torch.inference_mode(False)  # buffers made in inference mode could not be written outside of it
@torch.no_grad()
def _record(loop, shapes, dtype, device, stream):
    buffers = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    return _capture(loop, buffers), buffers


def _capture(loop: Loop, buffers: list[Tensor]) -> Callable[[], None]:
    device = buffers[0].device
    with torch.cuda.device(device):
        # A run beforehand, on another stream, loads the libraries' kernels and workspaces.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            loop(*buffers)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Thread-local: autograd calls this from a thread of its own.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            loop(*buffers)

    def play():
        with torch.cuda.device(device):
            graph.replay()

    return play

"""A long stretch of an orbit, watched through a few numbers per step.

States are not kept: three random projections, the length of each step and the growth of a tangent
vector are. Averages over them are weighted by a smooth bump. For motion on a torus such averages
converge faster than any power of the number of steps, for chaos as slowly as any average, and
along a transient the averages over two halves differ: that tells the three apart.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from rnnlib.systems import System, push_forward

PROJECTIONS = 3
BLOCKS = 16  # of consecutive steps, for the standard error of the exponent
ENTRIES = 2**21  # of the states held at once


class Watched(NamedTuple):
    """What was seen of each orbit over a stretch of L steps.

    Attributes:
        seen: projections of the state less the first one, shape ``(L, N, 3)``.
        lengths: of the steps, Euclidean, shape ``(L, N)``.
        stretch: logarithm of the growth of a tangent vector in each step, shape ``(L, N)``, or
            None.
        tail: the last states, shape ``(K, N, n_x)``.
        tangent: the vector at the end, shape ``(N, n_x)``, or None.
    """

    seen: Tensor
    lengths: Tensor
    stretch: Tensor | None
    tail: Tensor
    tangent: Tensor | None


def watch(
    system: System, x: Tensor, tangent: Tensor | None, steps: int, keep: int, bar: tqdm
) -> Watched:
    """Follow orbits and keep what is said of `Watched`.

    Args:
        system: for states of shape ``(N, n_x)``.
        x: the states to begin with.
        tangent: a vector at each, shape ``(N, n_x)``, or None for no tangents.
        steps: how many.
        keep: how many last states to keep; at most ``steps``.
        bar: told of every step.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(
        x.shape[-1], PROJECTIONS, generator=generator, dtype=torch.float64, device="cpu"
    )
    directions = directions.to(x) / x.shape[-1] ** 0.5
    origin, previous = x, x
    room = min(steps, max(16, ENTRIES // max(1, x.numel())))
    seen, lengths, stretch, tails = [], [], [], []
    done = 0
    while done < steps:
        count = min(room, steps - done)
        states, growth = x.new_empty(count, *x.shape), x.new_empty(count, len(x))
        for t in range(count):
            if tangent is None:
                x = system.step(x)  # (1a)
            else:
                x, moved = push_forward(system, x, tangent.unsqueeze(-1))
                moved = moved.squeeze(-1)
                size = torch.linalg.vector_norm(moved, dim=-1)
                growth[t] = size
                tangent = moved / size.clamp(min=torch.finfo(x.dtype).tiny).unsqueeze(-1)
            states[t] = x
        bar.update(count)
        before = torch.cat([previous[None], states[:-1]])
        seen.append((states - origin) @ directions)
        lengths.append(torch.linalg.vector_norm(states - before, dim=-1))
        stretch.append(growth.clamp(min=torch.finfo(x.dtype).tiny).log())
        tails = [*tails, states][-(1 + keep // room) - 1 :]
        previous, done = x, done + count
        if not torch.isfinite(x).any():
            break  # no orbit is left
    return Watched(
        torch.cat(seen),
        torch.cat(lengths),
        None if tangent is None else torch.cat(stretch),
        torch.cat(tails)[-keep:],
        tangent,
    )


def smooth_mean(series: Tensor) -> Tensor:
    """Return the weighted Birkhoff average over the first axis.

    The weights are ``exp(-1 / (u (1 - u)))`` at ``u = t / T``, scaled to sum to 1.

    Reference:
        S. Das, Y. Saiki, E. Sander, J. A. Yorke, "Quantitative quasiperiodicity", Nonlinearity 30
        (2017).
    """
    count = len(series)
    u = (torch.arange(count, dtype=series.dtype, device=series.device) + 0.5) / count
    weights = torch.exp(-1 / (u * (1 - u)))
    return torch.tensordot(weights / weights.sum(), series, 1)


class Trend(NamedTuple):
    """What a stretch tells of each orbit, every field of shape ``(N,)``.

    Attributes:
        extent: the range of the projections, Euclidean over the three.
        drift: of the weighted averages of the projections from the first half to the second,
            relative to the extent.
        slowing: the mean length of a step in the second half over that in the first.
        falling: whether the mean length fell from each eighth of the stretch to the next.
        spread: the extent of the second half over that of the first.
        overlap: the extent of the second half over that of the whole.
        unsteady: of the weighted average length of a step, the change between halves, relative.
        exponent: the weighted average growth of the tangent; NaN without tangents.
        error: its standard error from sixteen blocks.
        halves: the lesser of the average growths over the two halves.
        shift: change of the projections' weighted averages, shape ``(N, 3)``.
    """

    extent: Tensor
    drift: Tensor
    slowing: Tensor
    falling: Tensor
    spread: Tensor
    overlap: Tensor
    unsteady: Tensor
    exponent: Tensor
    error: Tensor
    halves: Tensor
    shift: Tensor


def trend(watched: Watched) -> Trend:
    """Compare the two halves of a stretch."""
    seen, lengths = watched.seen, watched.lengths
    half = len(seen) // 2
    early, late = slice(half), slice(len(seen) - half, None)

    def extent(part):
        return torch.linalg.vector_norm(part.amax(0) - part.amin(0), dim=-1)

    def ratio(a, b):  # 0 / 0 is no change
        return torch.where(a == b, 1.0, a / b)

    whole = extent(seen)
    shift = smooth_mean(seen[late]) - smooth_mean(seen[early])
    means = smooth_mean(lengths[early]), smooth_mean(lengths[late])
    eighths = torch.stack([part.mean(0) for part in lengths.tensor_split(8)])
    nothing = torch.full_like(whole, torch.nan)
    exponent = error = halves = nothing
    if watched.stretch is not None:
        exponent = smooth_mean(watched.stretch)
        blocks = torch.stack([b.mean(0) for b in watched.stretch.tensor_split(BLOCKS)])
        error = blocks.std(0) / BLOCKS**0.5
        halves = torch.minimum(watched.stretch[early].mean(0), watched.stretch[late].mean(0))
    return Trend(
        extent=whole,
        drift=torch.where(whole > 0, torch.linalg.vector_norm(shift, dim=-1) / whole, 0.0),
        slowing=ratio(lengths[late].mean(0), lengths[early].mean(0)),
        falling=(eighths.diff(dim=0) < 0).all(0),
        spread=ratio(extent(seen[late]), extent(seen[early])),
        overlap=ratio(extent(seen[late]), whole),
        unsteady=(ratio(means[1], means[0]) - 1).abs(),
        exponent=exponent,
        error=error,
        halves=halves,
        shift=shift,
    )

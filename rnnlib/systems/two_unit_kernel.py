"""The two-unit chaotic LSTM of supplement C, accelerated: millions of parameter values at once.

The map has no bias and no input, and its state is (h1, h2, c1, c2). Everything here is float64.

One parameter value is one *lane*. Lanes go through the map in blocks of `LANES`: small enough to
live in the L1 cache, laid out so that the compiler turns each loop over lanes into vector
instructions. The generic routes `rnnlib.dynamics.orbits` and `rnnlib.cost` need no numba and agree.
"""

import functools
import math
import numbers
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

try:
    import numba
except ImportError as error:
    raise ImportError(
        "rnnlib.systems.two_unit_kernel needs numba, which could not be imported. Install it with "
        'pip install "rnnlib[fast]", or use the generic route of rnnlib.dynamics and rnnlib.cost, '
        "which needs no numba."
    ) from error


def _jit(function):
    """Compile without the GIL; keep the result on disk where some directory allows that."""
    # Of fastmath only these: "reassoc" may cancel the magic-number rounding in _exp_plus. Both
    # error_model and forceinline are what lets a loop over lanes vectorise (8 times faster).
    compile_ = functools.partial(
        numba.njit, nogil=True, forceinline=True, error_model="numpy", fastmath={"contract"}
    )
    try:
        return compile_(cache=True)(function)
    except RuntimeError:  # neither the package nor a user cache directory is writable
        return compile_()(function)


# --- exponentials: numba calls libm once per lane (9 ns); this arithmetic vectorises (0.6 ns) ---

LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
# 1.5 * 2^52 + 1023: adding it rounds to an integer n and leaves n + 1023 in the low bits.
MAGIC = 6755399441055744.0 + 1023
EXP_LIMIT, TANH_LIMIT = 708.0, 20.0  # e^708 is finite; tanh(20) rounds to 1
# (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2, interpolated at Chebyshev nodes, highest power first;
# the relative error of e^r - 1 is 4e-17, for which a Taylor series needs two terms more.
SERIES = (
    2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06, 2.4801521295954376e-05,
    0.00019841269863053618, 0.0013888888917213717, 0.008333333333330062, 0.04166666666662413,
    0.16666666666666669, 0.5000000000000001,
)  # fmt: skip


@_jit
def _exp_plus(x, constant):
    """e^x + constant to about one unit in the last place for |x| <= EXP_LIMIT."""
    shifted = x * LOG2_E + MAGIC
    n = shifted - MAGIC
    r = (x - n * LN2_HIGH) - n * LN2_LOW  # x = n ln 2 + r
    p = SERIES[0]
    for coefficient in SERIES[1:]:
        p = p * r + coefficient
    scale = np.int64(np.float64(shifted).view(np.int64) << 52).view(np.float64)  # 2^n
    return (r + r * r * p) * scale + (scale + constant)  # e^r - 1 = r + r^2 p


@_jit
def _one_over_sigmoid(x):
    return _exp_plus(-min(max(x, -EXP_LIMIT), EXP_LIMIT), 1.0)


@_jit
def _sigmoid(x):
    return 1.0 / _one_over_sigmoid(x)


@_jit
def _tanh(x):
    e = _exp_plus(2.0 * min(max(x, -TANH_LIMIT), TANH_LIMIT), -1.0)
    return e / (e + 2.0)


@_jit
def _sigmoid_tanh(x, y):
    """sigmoid(x) * tanh(y) with one division in place of two: a step takes 5 % less time."""
    e = _exp_plus(2.0 * min(max(y, -TANH_LIMIT), TANH_LIMIT), -1.0)
    return e / (_one_over_sigmoid(x) * (e + 2.0))


# --- the map on one block of lanes ---

# A block holds one quantity a row and one lane a column.
LANES = 32  # 64 is as fast; 16 and 128 measured up to 10 % slower
INPUT, FORGET, CELL, OUTPUT = 0, 4, 8, 12  # rows of weight_hh_l0, two entries each
H, C, COST = 16, 18, 20  # the state; the sum of squared errors
JACOBIAN, TANGENT = 21, 33  # 6 entries a unit; 4 columns of 4 entries
MANTISSA, EXPONENT, UNRESOLVED = 49, 53, 57  # one row for each tangent vector
ROWS = 61


@_jit
def _preactivations(block, unit, j, h1, h2):
    n = 2 * unit
    i = block[INPUT + n, j] * h1 + block[INPUT + n + 1, j] * h2
    f = block[FORGET + n, j] * h1 + block[FORGET + n + 1, j] * h2
    g = block[CELL + n, j] * h1 + block[CELL + n + 1, j] * h2
    o = block[OUTPUT + n, j] * h1 + block[OUTPUT + n + 1, j] * h2
    return i, f, g, o


@_jit
def _cell(block, unit, j, h1, h2):
    """One unit of lane j: the new h and c."""
    i, f, g, o = _preactivations(block, unit, j, h1, h2)
    c = _sigmoid(f) * block[C + unit, j] + _sigmoid_tanh(i, g)  # (S17)
    return _sigmoid_tanh(o, c), c  # (S18)


@_jit
def _step(block, cell):
    """Every lane through (S17) and (S18) once."""
    for j in range(LANES):
        h1, h2 = block[H, j], block[H + 1, j]
        new_h1, new_c1 = cell(block, 0, j, h1, h2)
        new_h2, new_c2 = cell(block, 1, j, h1, h2)
        block[H, j], block[H + 1, j] = new_h1, new_h2
        block[C, j], block[C + 1, j] = new_c1, new_c2


@_jit
def _start(block, first, last, basis, axes, sizes, x0):
    """Load grid points first, first + 1, ... (the last axis runs fastest) and the state x0."""
    block[:] = 0.0
    for j in range(LANES):
        rest = min(first + j, last - 1)  # a block that is not full repeats its last point
        end = axes.size
        for k in range(sizes.size - 1, -1, -1):
            end -= sizes[k]
            a = axes[end + rest % sizes[k]]
            rest //= sizes[k]
            for row in range(16):
                block[row, j] += a * basis[k, row]
        for row in range(4):
            block[H + row, j] = x0[row]


@_jit
def _sweep(first, last, basis, axes, sizes, x0, steps, burn_in, targets, h, cost):
    """Fill h[:, first:last] and cost[first:last]; an empty array is left alone."""
    block = np.empty((ROWS, LANES))
    for start in range(first, last, LANES):
        lanes = min(LANES, last - start)
        _start(block, start, last, basis, axes, sizes, x0)
        for t in range(-burn_in, steps):
            _step(block, _cell)
            if t >= 0 and cost.size:
                for j in range(LANES):
                    e1, e2 = block[H, j] - targets[t, 0], block[H + 1, j] - targets[t, 1]
                    block[COST, j] += e1 * e1 + e2 * e2
            if t >= 0 and h.size:
                for j in range(lanes):
                    h[t, start + j, 0], h[t, start + j, 1] = block[H, j], block[H + 1, j]
        if cost.size:
            cost[start : start + lanes] = block[COST, :lanes] / (2 * steps)


# --- tangent vectors ---

RESOLUTION = (16 * 2.0**-52) ** 2  # squared: below it, what is left of a column is roundoff
# A generic frame (the discrete cosine basis): a Jacobian with zero columns must not annihilate
# the first vector, as it would e1 at s = 0.
FRAME = np.linalg.qr(np.cos(np.pi / 4 * np.outer(np.arange(4) + 0.5, np.arange(4))))[0].T.copy()


@_jit
def _sigmoid_and_slope(x):
    e = _exp_plus(min(abs(x), EXP_LIMIT), 0.0)  # |x|: 1 - sigmoid stays accurate in saturation
    low = 1.0 / (1.0 + e)
    high = e * low
    return (high if x > 0.0 else low), high * low


@_jit
def _tanh_and_slope(x):
    e = _exp_plus(min(2.0 * abs(x), EXP_LIMIT), -1.0)
    low = 1.0 / (e + 2.0)
    return (e * low if x > 0.0 else -e * low), 4.0 * ((e + 1.0) * low) * low


@_jit
def _cell_and_jacobian(block, unit, j, h1, h2):
    """`_cell`, which also leaves its derivatives in the block."""
    old_c = block[C + unit, j]
    i, f, g, o = _preactivations(block, unit, j, h1, h2)
    (i, di), (f, df) = _sigmoid_and_slope(i), _sigmoid_and_slope(f)
    (g, dg), (o, do) = _tanh_and_slope(g), _sigmoid_and_slope(o)
    c = f * old_c + i * g  # (S17)
    y, dy = _tanh_and_slope(c)
    d = JACOBIAN + 6 * unit
    for m in range(2):  # derivatives of c, then of h at fixed c, by the old h_m
        n = 2 * unit + m
        block[d + m, j] = (
            df * old_c * block[FORGET + n, j]
            + di * g * block[INPUT + n, j]
            + i * dg * block[CELL + n, j]
        )
        block[d + 2 + m, j] = do * y * block[OUTPUT + n, j]
    block[d + 4, j] = f  # of c by the old c
    block[d + 5, j] = o * dy  # of h by c
    return o * y, c  # (S18)


@_jit
def _carry(block, unit, j, h1, h2, c):
    """The Jacobian's rows of one unit applied to a tangent vector."""
    d = JACOBIAN + 6 * unit
    new_c = block[d, j] * h1 + block[d + 1, j] * h2 + block[d + 4, j] * c
    new_h = block[d + 2, j] * h1 + block[d + 3, j] * h2 + block[d + 5, j] * new_c
    return new_h, new_c


@_jit
def _orthonormalise(block, column):
    """Carry a tangent vector, take off the earlier ones (Gram-Schmidt), count log r^2."""
    for j in range(LANES):
        q = TANGENT + 4 * column
        a, b, c, d = block[q, j], block[q + 1, j], block[q + 2, j], block[q + 3, j]
        v0, v2 = _carry(block, 0, j, a, b, c)
        v1, v3 = _carry(block, 1, j, a, b, d)
        before = v0 * v0 + v1 * v1 + v2 * v2 + v3 * v3
        for earlier in range(column):
            p = TANGENT + 4 * earlier
            p0, p1, p2, p3 = block[p, j], block[p + 1, j], block[p + 2, j], block[p + 3, j]
            dot = p0 * v0 + p1 * v1 + p2 * v2 + p3 * v3
            v0, v1, v2, v3 = v0 - dot * p0, v1 - dot * p1, v2 - dot * p2, v3 - dot * p3
        after = v0 * v0 + v1 * v1 + v2 * v2 + v3 * v3
        resolved = after > RESOLUTION * before
        scale = 1.0 / np.sqrt(after)
        # What is left of an unresolved vector is noise: it keeps its direction instead.
        block[q, j] = scale * v0 if resolved else a
        block[q + 1, j] = scale * v1 if resolved else b
        block[q + 2, j] = scale * v2 if resolved else c
        block[q + 3, j] = scale * v3 if resolved else d
        # log would cost more than the step: multiply, and move the exponent's bits to a sum.
        r2 = max(after, RESOLUTION * before, 1e-300)
        bits = np.float64(block[MANTISSA + column, j] * r2).view(np.int64)
        mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000)
        block[MANTISSA + column, j] = mantissa.view(np.float64)
        block[EXPONENT + column, j] += (bits >> 52) - 1023
        block[UNRESOLVED + column, j] += 0.0 if resolved else 1.0


@_jit
def _spectrum(first, last, basis, axes, sizes, x0, steps, burn_in, frame, exponents):
    """Fill exponents[first:last]."""
    block, k = np.empty((ROWS, LANES)), exponents.shape[1]
    for start in range(first, last, LANES):
        _start(block, start, last, basis, axes, sizes, x0)
        for row in range(16):
            block[TANGENT + row] = frame[row // 4, row % 4]
        block[MANTISSA:EXPONENT] = 1.0
        for t in range(-burn_in, steps):
            if t == 0:
                block[MANTISSA:EXPONENT], block[EXPONENT:] = 1.0, 0.0
            _step(block, _cell_and_jacobian)
            _orthonormalise(block, 0)  # a literal column: the loop over earlier ones unrolls
            if k > 1:
                _orthonormalise(block, 1)
            if k > 2:
                _orthonormalise(block, 2)
            if k > 3:
                _orthonormalise(block, 3)
        for j in range(min(LANES, last - start)):
            for column in range(k):
                log_r2 = np.log(block[MANTISSA + column, j]) + block[EXPONENT + column, j] * np.log(
                    2.0
                )
                resolved = 2 * block[UNRESOLVED + column, j] <= steps
                exponents[start + j, column] = log_r2 / (2 * steps) if resolved else -np.inf


# --- the public functions ---


class Sweep(NamedTuple):
    """What `sweep` returns."""

    h: np.ndarray | None  # (steps, *grid, 2)
    cost: np.ndarray | None  # (*grid)


def sweep(
    basis: ArrayLike,
    *axes: ArrayLike,
    x0: ArrayLike,
    targets: ArrayLike | None = None,
    steps: int,
    burn_in: int = 0,
    keep_orbit: bool = True,
    threads: int | None = None,
) -> Sweep:
    """Orbits and costs of the two-unit LSTM at every point of a grid in parameter space.

    Args:
        basis: Weight sets (d, 8, 2), each laid out as torch.nn.LSTM's weight_hh_l0.
        *axes: d one-dimensional coordinates; the weights at (a_1, ..., a_d) are sum a_k basis[k].
        x0: Initial state (h1, h2, c1, c2), shape (4,).
        targets: What the cost compares with, (steps, 2), or None for no cost.
        steps: Number of steps kept, at least 1.
        burn_in: Number of steps run and dropped first.
        keep_orbit: Whether to return h. Without it only the cost takes memory.
        threads: Number of threads; None takes every core. The result does not depend on it.

    Returns:
        ``h`` of shape ``(steps, *grid, 2)``, where ``h[k]`` is the state after burn_in + k + 1
        steps, and ``cost`` of shape ``(*grid)``, the mean of (h - targets)^2 over steps and
        components; None where not asked for.

    Raises:
        ValueError: If an argument has the wrong shape, is not finite or is out of range.

    Reference:
        Ribeiro et al. (2020), supplement C, (S17) and (S18); figure 1, supplementary figure 1.
    """
    grid, arguments = _arguments(basis, axes, x0, steps, burn_in)
    if targets is None and not keep_orbit:
        raise ValueError(
            "targets is None and keep_orbit is False, which leaves nothing to compute: "
            "pass targets of shape (steps, 2) or keep_orbit=True"
        )
    h = np.empty((steps, *grid, 2)) if keep_orbit else None
    cost, path = None, np.empty((0, 2))
    if targets is not None:
        path = _real("targets", targets, (steps, 2), "one row (h1, h2) for each kept step")
        cost = np.empty(grid)
    flat_h = np.empty((0, 0, 2)) if h is None else h.reshape(steps, -1, 2)
    flat_cost = np.empty(0) if cost is None else cost.reshape(-1)
    _over_grid(_sweep, grid, threads, *arguments, steps, burn_in, path, flat_h, flat_cost)
    return Sweep(h, cost)


def lyapunov_spectrum(
    basis: ArrayLike,
    *axes: ArrayLike,
    x0: ArrayLike,
    steps: int,
    burn_in: int = 0,
    k: int = 4,
    threads: int | None = None,
) -> np.ndarray:
    """The k leading Lyapunov exponents of the (h, c) map at every point of a grid.

    Tangent vectors follow the analytic Jacobian and are re-orthonormalised at each step. A step
    that leaves nothing but roundoff of a vector is unresolved. An exponent with more than half of
    its steps unresolved is -inf: the Jacobian is singular along the orbit. The other unresolved
    steps count at the resolution, which bounds the exponent from above.

    Args:
        basis: Weight sets (d, 8, 2), as for `sweep`.
        *axes: d one-dimensional coordinates, as for `sweep`.
        x0: Initial state (h1, h2, c1, c2), shape (4,).
        steps: Number of steps averaged over, at least 1.
        burn_in: Number of steps, with their tangent vectors, run and dropped first.
        k: Number of exponents, 1 to 4.
        threads: Number of threads; None takes every core. The result does not depend on it.

    Returns:
        Exponents of shape ``(*grid, k)`` in nats per step, in the order of the orthonormalisation.

    Raises:
        ValueError: If an argument has the wrong shape, is not finite or is out of range.

    Reference:
        Benettin et al. (1980), Meccanica 15, for the method; supplement C for the map.
    """
    grid, arguments = _arguments(basis, axes, x0, steps, burn_in)
    _integer("k", k, 1, 4)
    exponents = np.empty((*grid, k))
    _over_grid(
        _spectrum, grid, threads, *arguments, steps, burn_in, FRAME, exponents.reshape(-1, k)
    )
    return exponents


def _over_grid(kernel, grid, threads, *arguments):
    """Run a kernel over ranges of whole blocks, so that no result depends on the threads."""
    if threads is None:
        count = os.cpu_count() or 1
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    _integer("threads", threads, 1)
    points = math.prod(grid)
    size = LANES * -(-points // (LANES * 4 * threads))  # four ranges a thread even out the load
    ranges = [(first, min(first + size, points)) for first in range(0, points, size)]
    if threads == 1:
        ranges = [(0, points)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda ends: kernel(*ends, *arguments), ranges))


def _arguments(basis, axes, x0, steps, burn_in):
    """The shape of the grid, and the arguments that both kernels begin with."""
    basis = _real("basis", basis, (None, 8, 2), "theta[None] for one weight set, np.stack for more")
    if len(axes) != len(basis):
        raise ValueError(
            f"axes must be as many as the weight sets in basis, got {len(axes)} for {len(basis)}: "
            "pass one 1-D array of coordinates for each"
        )
    axes = [_real(f"axis {n}", a, (None,), "1-D coordinates") for n, a in enumerate(axes)]
    x0 = _real("x0", x0, (4,), "the state (h1, h2, c1, c2), such as np.full(4, 0.5)")
    largest = sum(abs(a).max() * abs(w).max() for a, w in zip(axes, basis, strict=True))
    if not largest < 1e100:
        raise ValueError(f"axes make weights up to {largest:.0e}: keep them below 1e100")
    _integer("steps", steps, 1)
    _integer("burn_in", burn_in, 0)
    grid = tuple(axis.size for axis in axes)
    return grid, (basis.reshape(-1, 16), np.concatenate(axes), np.array(grid), x0)


def _real(name, value, shape, remedy):
    """A float64 copy of anything array-like; None in ``shape`` stands for any length but 0."""
    try:
        array = np.asarray(getattr(value, "detach", lambda: value)(), dtype=np.float64).copy()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be real, got {value!r:.80} ({error}): pass floats"
        ) from error
    fits = [n == m if m else n > 0 for n, m in zip(array.shape, shape, strict=False)]
    if array.ndim != len(shape) or not all(fits):
        form = str(shape).replace("None", "n")
        raise ValueError(f"{name} must have shape {form}, got {array.shape}: pass {remedy}")
    for index in map(tuple, np.argwhere(~np.isfinite(array)).tolist()):
        raise ValueError(f"{name} must be finite, got {array[index]} at {index}: replace it")
    return array


def _integer(name, value, low, high=math.inf):
    if not isinstance(value, numbers.Integral) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer in [{low}, {high}], got {value!r}: pass one")

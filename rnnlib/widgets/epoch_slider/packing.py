"""How orbits travel in a page: as 16-bit whole numbers, compressed, in base64."""

import base64
import zlib

import numpy as np

TOP = 65534  # the largest value; one more marks an orbit that has diverged
DIVERGED = TOP + 1


def quantise(orbits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round each panel's orbits to 65535 values, evenly spaced over their range.

    Args:
        orbits: shape ``(panels, epochs, starts, steps)``. An orbit with a value that is not finite
            counts as diverged, all of it.

    Returns:
        The numbers, unsigned 16 bit, 0 to 65534, or 65535 in a diverged orbit, and the ranges
        ``(low, high)``, shape ``(panels, 2)``. The number n stands for the value
        ``low + n (high - low) / 65534``, off by less than ``(high - low) / 65535``.
    """
    alive = np.isfinite(orbits).all(-1, keepdims=True)
    axes = (1, 2, 3)
    low = np.where(alive, orbits, np.inf).min(axes)
    high = np.where(alive, orbits, -np.inf).max(axes)
    low, high = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))  # all diverged
    unit = np.where(high > low, (high - low) / TOP, 1.0)[:, None, None, None]
    numbers = (np.where(alive, orbits, 0.0) - low[:, None, None, None]) / unit
    numbers = np.where(alive, np.rint(numbers), DIVERGED)
    return numbers.astype(np.uint16), np.stack([low, high], axis=1)


def pack(data: bytes) -> str:
    """Compress bytes into text; ``unpack`` of the script inverts it."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def pack_orbits(numbers: np.ndarray) -> str:
    """Pack 16-bit numbers as differences along the last axis, all low bytes before all high ones.

    An orbit on a circle then takes 0.6 of what the numbers themselves do, a fixed point nothing.
    """
    start = np.zeros_like(numbers[..., :1])
    steps = np.diff(numbers, axis=-1, prepend=start).astype("<u2")  # modulo 65536
    data = steps.tobytes()
    return pack(data[::2] + data[1::2])

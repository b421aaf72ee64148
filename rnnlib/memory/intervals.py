"""Interval arithmetic on tensors, rounded outwards: what a proof knows of a number is two ends.

Sums and products are rounded to the next number outside. The elementary functions of torch are
taken to be right to `ULPS` units in the last place. A dot product of ``n`` terms, in whatever order
it is summed, errs by at most ``n`` roundings of the sum of absolute values. Where whole matrices
are multiplied a fixed relative ``MARGIN`` stands for that, which is wider up to 45 000 terms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = 1e-11
ULPS = 8
INF = float("inf")


@dataclass(frozen=True, eq=False)
class Interval:
    """All numbers from ``low`` to ``high``, componentwise; infinite ends are allowed.

    Attributes:
        low: float64, any shape.
        high: of the same shape.
    """

    low: Tensor
    high: Tensor

    @property
    def largest(self) -> Tensor:
        """The largest absolute value in it."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def middle(self) -> Tensor:
        """A number in it, half way between the ends; 0 where they are infinite."""
        return ((self.low + self.high) / 2).nan_to_num(0, 0, 0)

    @property
    def radius(self) -> Tensor:
        """How far it reaches from its `middle`, rounded upwards."""
        middle = self.middle
        reach = torch.maximum(self.high - middle, middle - self.low)
        return reach + ULPS * torch.finfo(reach.dtype).eps * self.largest

    def __add__(self, other: "Interval") -> "Interval":
        return _outwards(self.low + other.low, self.high + other.high)

    def __sub__(self, other: "Interval") -> "Interval":
        return _outwards(self.low - other.high, self.high - other.low)

    def __mul__(self, other: "Interval") -> "Interval":
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        # 0 times infinity: the end 0 itself times any number of the other, unbounded interval.
        ends = torch.stack(ends).nan_to_num(0, INF, -INF)
        return _outwards(ends.amin(0), ends.amax(0))

    def intersect(self, other: "Interval") -> "Interval":
        """Return what both contain."""
        return Interval(torch.maximum(self.low, other.low), torch.minimum(self.high, other.high))

    def chunk(self, parts: int) -> tuple["Interval", ...]:
        """Return equal parts along the first axis."""
        pairs = zip(self.low.chunk(parts), self.high.chunk(parts), strict=True)
        return tuple(Interval(*pair) for pair in pairs)


def point(value: Tensor) -> Interval:
    """Return the interval that contains one number."""
    return Interval(value, value)


def hull(*intervals: Interval) -> Interval:
    """Return the intervals one behind the other, along the first axis."""
    return Interval(torch.cat([i.low for i in intervals]), torch.cat([i.high for i in intervals]))


def image(matrix: Tensor, x: Interval) -> Interval:
    """Return what contains ``matrix @ x``, shape ``(rows,)``, for ``x`` of shape ``(columns,)``."""
    size = matrix.abs()
    rounding = (matrix.shape[1] + 2) * torch.finfo(matrix.dtype).eps
    reach = (size * x.radius).where(size > 0, 0).sum(1)
    centre = matrix @ x.middle
    reach = reach * (1 + 2 * rounding) + 2 * rounding * (size @ x.middle.abs())
    return _outwards(centre - reach, centre + reach)


def tanh(a: Interval) -> Interval:
    """Return the range of tanh."""
    return _rising(torch.tanh, a, -1.0)


def sigmoid(a: Interval) -> Interval:
    """Return the range of the logistic sigmoid."""
    return _rising(torch.sigmoid, a, 0.0)


def relu(a: Interval) -> Interval:
    """Return the range of ``max(0, a)``."""
    return Interval(a.low.clamp(min=0), a.high.clamp(min=0))


def sigmoid_slope(a: Interval) -> Interval:
    """Return the range of the derivative of the sigmoid, ``sigmoid(a) sigmoid(-a) <= 1/4``."""
    return _hill(lambda v: torch.sigmoid(v) * torch.sigmoid(-v), a, 0.25)


def tanh_slope(a: Interval) -> Interval:
    """Return the range of the derivative of tanh, ``4 sigmoid(2 a) sigmoid(-2 a) <= 1``."""
    return _hill(lambda v: 4 * torch.sigmoid(2 * v) * torch.sigmoid(-2 * v), a, 1.0)


def relu_slope(a: Interval) -> Interval:
    """Return what contains every difference quotient of relu: 0, 1 or what lies between."""
    return Interval((a.low > 0).to(a.low), (a.high > 0).to(a.high))


def _outwards(low: Tensor, high: Tensor) -> Interval:
    infinite = torch.full_like(low, INF)
    low, high = low.nan_to_num(-INF, INF, -INF), high.nan_to_num(INF, INF, -INF)
    return Interval(torch.nextafter(low, -infinite), torch.nextafter(high, infinite))


def _widen(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    info = torch.finfo(low.dtype)
    return (
        low - ULPS * info.eps * low.abs() - info.tiny,
        high + ULPS * info.eps * high.abs() + info.tiny,
    )


def _rising(function: Callable, a: Interval, least: float) -> Interval:
    low, high = _widen(function(a.low), function(a.high))
    return Interval(low.clamp(min=least), high.clamp(max=1.0))


def _hill(function: Callable, a: Interval, most: float) -> Interval:
    """Return the range of an even function that falls on both sides of 0 from ``most`` to 0."""
    nearest = torch.maximum(a.low, -a.high).clamp(min=0)
    low, high = _widen(function(a.largest), function(nearest))
    return Interval(low.clamp(min=0), high.clamp(max=most))

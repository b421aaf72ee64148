"""Hypotheses about interval arithmetic: it never loses a value, and loses little room."""

import copy
import dataclasses
import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.memory import intervals
from rnnlib.memory.intervals import INF, Interval, hull, image, point

F64 = {"dtype": torch.float64}
FUNCTIONS = {
    "tanh": (intervals.tanh, torch.tanh),
    "sigmoid": (intervals.sigmoid, torch.sigmoid),
    "relu": (intervals.relu, torch.relu),
    "sigmoid_slope": (intervals.sigmoid_slope, lambda a: a.sigmoid() * (1 - a.sigmoid())),
    "tanh_slope": (intervals.tanh_slope, lambda a: 1 - a.tanh() ** 2),
    "relu_slope": (intervals.relu_slope, lambda a: (a > 0).double()),
}


def some(seed: int, scale: float, count: int = 200) -> tuple[Interval, torch.Tensor]:
    """Return intervals and 9 numbers of each, the ends among them."""
    generator = torch.Generator().manual_seed(seed)
    ends = scale * torch.randn(2, count, generator=generator, **F64)
    low, high = ends.amin(0), ends.amax(0)
    share = torch.linspace(0, 1, 9, **F64)[:, None]
    return Interval(low, high), (low + share * (high - low)).clamp(low, high)


def contains(interval: Interval, values: torch.Tensor) -> bool:
    return bool(((values >= interval.low) & (values <= interval.high)).all())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), log_scale=st.floats(-3, 3))
def test_sums_differences_and_products_contain_all_results_and_no_room_beside(seed, log_scale):
    """Hypothesis: every pair's result is inside, and the ends are attained to rounding."""
    (a, x), (b, y) = some(seed, 10**log_scale), some(seed + 1, 1.0)
    for act in (operator.add, operator.sub, operator.mul):
        found, values = act(a, b), act(x[:, None], y)
        assert contains(found, values)
        room = 1e-15 * (a.largest + b.largest + a.largest * b.largest)
        assert (values.amin((0, 1)) - found.low <= room).all()
        assert (found.high - values.amax((0, 1)) <= room).all()


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), log_scale=st.floats(-2, 2.5))
def test_functions_contain_all_values_and_no_room_beside(name, seed, log_scale):
    """Hypothesis: the range is exact, peak at 0 included, to some units in the last place."""
    enclosed, exact = FUNCTIONS[name]
    a, x = some(seed, 10**log_scale)
    found = enclosed(a)
    inside = torch.cat([x, torch.zeros_like(x[:1]).clamp(a.low, a.high)])
    values = exact(inside)
    slack = 1e-15  # of the values on the right, which cancel
    assert (values >= found.low - slack).all() and (values <= found.high + slack).all()
    assert (values.amin(0) - found.low <= 1e-14).all()
    assert (found.high - values.amax(0) <= 1e-14).all()


def test_no_slope_is_above_the_peak():
    """Hypothesis: around 0 the upper end is 1/4 and 1 to the last bit, whatever was rounded."""
    for low, high in ((0.0, 0.0), (-1.0, 2.0), (-1e-9, 0.0)):
        a = Interval(torch.tensor([low], **F64), torch.tensor([high], **F64))
        assert float(intervals.sigmoid_slope(a).high) == 0.25
        assert float(intervals.tanh_slope(a).high) == 1


def test_an_interval_is_itself_alone_and_does_not_change():
    """Hypothesis: two tensors have no single truth, so intervals are compared by identity."""
    a, _ = some(0, 1.0, 3)
    assert a == a and a != copy.copy(a) and len({a, copy.copy(a)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.low = a.high


def test_steep_gates_keep_a_positive_rest():
    """Hypothesis: far out a sigmoid's ends stay strictly apart from 0 and are never above 1."""
    far = point(torch.tensor([-800.0, -40.0, 40.0, 800.0], **F64))
    s = intervals.sigmoid(far)
    assert (s.high > 0).all() and (s.high <= 1).all() and (s.low >= 0).all()
    slope = intervals.tanh_slope(far)
    assert (slope.high > 0).all() and (slope.high[1:3] < 1e-30).all()


def test_infinite_ends_stay_enclosures():
    """Hypothesis: 0 times an unbounded number is 0, unknown less unknown is unknown."""
    everything = Interval(torch.tensor([-INF], **F64), torch.tensor([INF], **F64))
    nothing = point(torch.zeros(1, **F64))
    product = nothing * everything
    assert abs(float(product.low)) < 1e-300 and abs(float(product.high)) < 1e-300
    difference = everything - everything
    assert float(difference.low) == -INF and float(difference.high) == INF
    above = Interval(torch.ones(1, **F64), torch.full((1,), INF, **F64))
    below = Interval(torch.full((1,), -INF, **F64), -torch.ones(1, **F64))
    for unbounded in (everything, above, below):
        assert float(unbounded.middle) == 0 and float(unbounded.radius) == INF
    assert contains(intervals.tanh(everything), torch.tensor([-1.0, 0.0, 1.0], **F64))
    matrix = torch.tensor([[1.0], [0.0]], **F64)
    moved = image(matrix, everything)
    assert float(moved.high[0]) == INF and abs(float(moved.high[1])) < 1e-300
    huge = image(torch.full((1, 2), 1e308, **F64), point(torch.full((2,), 10.0, **F64)))
    assert float(huge.low) == -INF or float(huge.low) < 1.8e308  # overflow is no number to trust
    assert float(huge.high) == INF


def test_the_image_of_a_box_is_attained_at_its_corners():
    """Hypothesis: for each row the best corner reaches the end to 1e-12 and none exceeds it."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 12, generator=generator, **F64)
    x, inside = some(1, 2.0, 12)
    found = image(matrix, x)
    best = (matrix.clamp(min=0) @ x.high) + (matrix.clamp(max=0) @ x.low)
    assert (best <= found.high).all() and (found.high - best <= 1e-12).all()
    assert contains(found, inside @ matrix.mT)


def test_parts_middle_and_radius():
    a, _ = some(3, 1.0, 6)
    assert torch.equal(hull(*a.chunk(3)).low, a.low)
    assert (a.middle - a.radius <= a.low).all() and (a.middle + a.radius >= a.high).all()
    assert (a.radius <= 0.5 * (a.high - a.low) + 1e-14).all()
    both = a.intersect(Interval(a.low - 1, a.middle))
    assert torch.equal(both.low, a.low) and torch.equal(both.high, a.middle)

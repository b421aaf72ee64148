"""What the picture of basins shows, for a map whose basins are known."""

import torch

import rnnlib
from rnnlib.dynamics import starts_on_plane
from rnnlib.figures import basin_plane

F64 = torch.float64


def test_the_plane_shows_each_start_in_the_colour_of_its_attractor():
    """Hypothesis: of x' = tanh(3 x), y' = y / 2, the two halves of the plane are the two basins."""
    gain = torch.tensor([3.0, 0.5], dtype=F64)
    system = rnnlib.from_function(lambda x, theta: torch.tanh(gain * x), 2)
    e = torch.eye(2, dtype=F64)
    found = rnnlib.basins(system, starts_on_plane(torch.zeros(2, dtype=F64), e[0], e[1], 1.0, 8))
    (plane, *_) = basin_plane(found, 1.0, ("x", "y"), (0, 1)).axes
    (image,) = plane.get_images()
    shown = torch.as_tensor(image.get_array().data)
    assert torch.equal(shown, found.labels)
    assert (shown[:, :4] == shown[0, 0]).all() and (shown[:, 4:] == shown[0, 7]).all()
    assert shown[0, 0] != shown[0, 7]
    (legend,) = plane.figure.legends
    assert [t.get_text() for t in legend.texts] == [
        "basin of a fixed point (50.0% of the starts)"
    ] * 2
    marked = sorted(float(line.get_xdata()[0]) for line in plane.lines if len(line.get_xdata()))
    assert marked[0] < -0.9 and marked[1] > 0.9  # tanh(3 x) = x at +-0.995


def test_fixed_points_are_marked_by_their_stability_and_those_outside_are_left_out():
    """Hypothesis: of x' = tanh(3 x) the origin is unstable, the other two, at +-0.995, stable."""
    system = rnnlib.from_function(lambda x, theta: torch.tanh(3 * x), 2)
    e = torch.eye(2, dtype=F64)
    found = rnnlib.basins(system, starts_on_plane(torch.zeros(2, dtype=F64), e[0], e[1], 0.5, 4))
    roots = rnnlib.fixed_points(system, rnnlib.starts_in_box(-1, 1, 60, 2, 0))
    (plane, *_) = basin_plane(found, 0.5, ("x", "y"), (0, 1), roots).axes
    marks = {line.get_label(): line.get_xydata().tolist() for line in plane.lines}
    assert marks["stable, period 1"] == []
    (origin,) = marks["unstable, period 1"]
    assert max(map(abs, origin)) < 1e-9

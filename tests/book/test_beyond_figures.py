"""What the chapter past the paper says of a loop, on loops whose answer is known."""

import math

import pytest
import torch

from rnnbook.beyond import distinct, examined, loop_from_teaching, told
from rnnlib import System, from_function, simulate

F64 = torch.float64


def turning(radius, curve=False):
    """Return a rotation by 0.3 a step, which scales by ``radius`` or goes to the unit circle."""
    c, s = radius * math.cos(0.3), radius * math.sin(0.3)

    def f(x, theta):
        a, b = x.unbind(-1)
        turned = torch.stack([c * a - s * b, s * a + c * b], dim=-1)
        if not curve:
            return turned
        size = turned.norm(dim=-1, keepdim=True)
        return turned / size.clamp(min=1e-12) * (1 + 0.5 * (size - 1))

    return from_function(f, 2)


@pytest.mark.parametrize(
    ("radius", "word"),
    [(0.97, "fades"), (0.9995, "still changes"), (1.0, "oscillates"), (1.02, "leaves")],
)
def test_a_linear_loop_is_told_by_its_radius(radius, word):
    found = examined(turning(radius), torch.tensor([1.0, 0.0], dtype=F64), 500)
    assert told(found) == word
    if word == "oscillates":  # neutral: a push is forgotten only if it was along the circle
        assert found["back"] < 0.3
        assert found["frequency"] == pytest.approx(0.3, abs=1e-3)


def test_an_attracting_circle_oscillates_and_forgets_every_push():
    found = examined(turning(1.0, curve=True), torch.tensor([1.0, 0.0], dtype=F64), 500)
    assert told(found) == "oscillates" and found["back"] == 1
    assert found["amplitude"] == pytest.approx(1, abs=1e-2)
    assert found["first"] == pytest.approx(0, abs=1e-3)
    assert found["second"] == pytest.approx(math.log(0.5), abs=1e-3)


def test_states_within_the_tolerance_count_once():
    ends = torch.tensor([[0.0, 0.0], [1e-6, 0.0], [1.0, 0.0]], dtype=F64)
    assert distinct(ends) == 2
    assert distinct(ends[:0]) == 0


def test_the_loop_takes_over_where_the_teacher_stops():
    """Hypothesis: a network that is told its own outputs goes on the same in the loop."""
    net = System(
        lambda x, z, theta: 0.9 * x + z[..., :1] * 0.05 + z[..., 1:],
        n_x=1,
        n_z=2,
        g=lambda x, z, theta: torch.tanh(x),
    )
    x, y, fed, outputs = torch.zeros(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64), [], []
    u = torch.full((1, 1), 0.2, dtype=F64)
    for _ in range(9):
        fed.append(torch.cat([y, u], dim=-1))
        x = net.step(x, fed[-1])
        y = net.read(x, fed[-1])
        outputs.append(y)
    loop, taken = loop_from_teaching(net, torch.stack(fed[:5]))
    y = simulate(loop, taken, 4, observe="output")
    torch.testing.assert_close(y, torch.stack(outputs[5:]))

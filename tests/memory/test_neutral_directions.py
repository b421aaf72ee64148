import pytest
import torch

from rnnlib import OrthogonalRNN, from_module, simulate
from rnnlib.memory.neutral_directions import drift, neutral_directions, norms_along, units_on
from rnnlib.systems import System, rotation

F64 = torch.float64


def network(n, bias, seed=0) -> System:
    """An orthogonal RNN with a random Q, a constant bias and its input held at 0."""
    torch.manual_seed(seed)
    module = OrthogonalRNN(1, n, dtype=F64)
    torch.nn.init.normal_(module.skew, std=0.5)
    module.bias.data.fill_(bias)
    return from_module(module).hold(torch.zeros(1, dtype=F64))


def large(n, count, norm=1000.0):
    x = torch.randn(count, n, dtype=F64, generator=torch.Generator().manual_seed(1))
    return norm * x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("bias", [-0.2, -0.05, 0.1])
def test_the_norm_of_a_large_state_drifts_as_the_biases_say(bias):
    """Hypothesis: the closed form and a simulation of 100 steps agree to 5 percent."""
    system, x = network(100, bias), large(100, 20)
    steps, size, end = norms_along(system, x, [0, 40, 100])
    assert steps.tolist() == [0, 40, 100] and size.shape == (3, 20)
    torch.testing.assert_close(end, simulate(system, x, 1, burn_in=99)[0])
    measured = float((size[2] - size[0]).mean()) / 100
    assert measured == pytest.approx(drift(system), rel=0.05)


def test_without_biases_nothing_drifts_and_every_direction_is_neutral():
    system, x = network(9, 0.0), large(9, 5)
    assert drift(system) == 0
    end = simulate(system, x, 1, burn_in=200)[0]
    torch.testing.assert_close(end.norm(dim=-1), x.norm(dim=-1))
    assert neutral_directions(system, x).tolist() == [9] * 5


def test_one_unit_that_is_off_leaves_no_direction_neutral():
    """Hypothesis: no eigenvector of a random Q happens to vanish in that unit."""
    system = network(9, -0.5)
    x = large(9, 4000, norm=10.0)
    on = units_on(system.step(x))
    assert neutral_directions(system, x[on == 9][:20]).eq(9).all()
    assert neutral_directions(system, x[on == 8][:20]).eq(0).all()


def test_directions_that_do_not_need_the_unit_that_is_off_stay_neutral():
    """Hypothesis: of three planes that turn by themselves, one loses its unit and two stay."""
    system = network(6, -0.5)
    q = torch.block_diag(rotation(1.0), rotation(0.7), rotation(0.3))
    system = system.at({"recurrent": q})
    before = torch.tensor([0.1, 5.0, 5.0, 5.0, 5.0, 5.0], dtype=F64)
    x = q.mT @ before  # its preactivations
    assert int(units_on(system.step(x))) == 5
    assert int(neutral_directions(system, x)) == 4

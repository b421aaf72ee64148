"""The maps with known answers: their steps and derivatives by hand, alone and in batches."""

import pytest
import torch

import rnnlib

F64 = {"dtype": torch.float64}


def test_the_logistic_map_and_its_slope():
    """Hypothesis: r x (1 - x) and r (1 - 2 x) for every r of a batch."""
    r, x = torch.tensor([0.5, 2.0, 4.0], **F64), torch.tensor([[0.3], [0.5], [0.9]], **F64)
    system = rnnlib.logistic(r)
    torch.testing.assert_close(system.step(x)[:, 0], r * x[:, 0] * (1 - x[:, 0]))
    slope = rnnlib.jacobian(system, x)
    torch.testing.assert_close(slope[:, 0, 0], r * (1 - 2 * x[:, 0]))
    assert rnnlib.logistic(4.0).step(torch.tensor([0.75], **F64)).item() == 0.75


def test_the_henon_map_and_its_jacobian():
    """Hypothesis: (1 - a x^2 + y, b x), by default at a = 1.4, b = 0.3, and a grid of (a, b)."""
    x = torch.tensor([0.5, 0.2], **F64)
    torch.testing.assert_close(rnnlib.henon().step(x), torch.tensor([0.85, 0.15], **F64))
    torch.testing.assert_close(
        rnnlib.jacobian(rnnlib.henon(), x), torch.tensor([[-1.4, 1.0], [0.3, 0.0]], **F64)
    )
    grid = rnnlib.henon(torch.tensor([1.0, 2.0], **F64)[:, None], torch.tensor([0.1, 0.2], **F64))
    found = grid.step(x.expand(2, 2, 2))
    expected = [[[0.95, 0.05], [0.95, 0.1]], [[0.7, 0.05], [0.7, 0.1]]]
    torch.testing.assert_close(found, torch.tensor(expected, **F64))


def test_a_linear_map_is_its_matrix_also_in_batches():
    matrix = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0), **F64)
    x = torch.tensor([1.0, -2.0, 0.5], **F64)
    system = rnnlib.linear(matrix)
    torch.testing.assert_close(system.step(x.expand(4, 3)), matrix @ x)
    torch.testing.assert_close(rnnlib.jacobian(system, x.expand(4, 3)), matrix)
    assert system.n_x == 3 and system.batch_shape == (4,)
    assert rnnlib.linear(matrix[0]).batch_shape == ()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (5, 3, 2)])
def test_a_matrix_that_is_not_square_is_refused(shape):
    with pytest.raises(ValueError, match=r"needs \(\*batch, n, n\)"):
        rnnlib.linear(torch.zeros(shape))
    with pytest.raises(ValueError, match="matrix has 1 values that are not finite"):
        rnnlib.linear(torch.tensor([[torch.nan]]))

"""Hypotheses about norms of states."""

import copy
import dataclasses
import math

import pytest
import torch

from rnnlib.memory.norms import Norm, QuadraticNorm

F64 = {"dtype": torch.float64}


def quadratic(n=5, seed=0) -> QuadraticNorm:
    generator = torch.Generator().manual_seed(seed)
    return QuadraticNorm(torch.randn(n, n, generator=generator, **F64) + 2 * torch.eye(n, **F64))


def on_the_sphere(norm: QuadraticNorm, count=20_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(count, len(norm.matrix), generator=generator, **F64)
    return u / u.norm(dim=-1, keepdim=True) @ norm.inverse.mT


def test_a_quadratic_norm_is_one():
    """Hypothesis: homogeneous, with the triangle inequality, and Euclidean for T = 1."""
    norm, v = quadratic(), torch.randn(2, 50, 5, **F64)
    assert (norm(v[0] + v[1]) <= norm(v[0]) + norm(v[1]) + 1e-12).all()
    torch.testing.assert_close(norm(-3 * v[0]), 3 * norm(v[0]))
    torch.testing.assert_close(QuadraticNorm(torch.eye(5, **F64))(v), v.norm(dim=-1))


def test_what_a_quadratic_norm_says_of_its_ball_is_attained_and_not_exceeded():
    """Hypothesis: dual norm, longest state, induced norm and reach of each component are maxima."""
    norm = quadratic()
    v = on_the_sphere(norm)
    w, matrix = torch.randn(5, **F64), torch.randn(5, 5, **F64)
    for exact, values in (
        (norm.dual(w), v @ w),
        (norm.longest, v.norm(dim=-1)),
        (norm.induced(matrix), norm(v @ matrix.mT)),
    ):
        assert 0.8 * exact < values.max() <= exact * (1 + 1e-9)
    alone = torch.diag(norm.weights)
    torch.testing.assert_close(norm(alone), torch.ones(5, **F64))


def test_the_distortion_carries_a_constant_over_to_the_euclidean_norm():
    """Hypothesis: |A|_2 <= distortion |A| for all A, with equality for one of rank 1."""
    norm = quadratic()
    matrices = torch.randn(300, 5, 5, **F64)
    euclidean = torch.linalg.matrix_norm(matrices, ord=2)
    assert (euclidean <= norm.distortion * norm.induced(matrices) * (1 + 1e-12)).all()
    # from the direction that T stretches most to the state that is longest: both are extremes
    u, _, vh = torch.linalg.svd(norm.matrix)
    worst = torch.outer(vh[-1], vh[0])
    ratio = torch.linalg.matrix_norm(worst, ord=2) / norm.induced(worst)
    assert float(ratio) == pytest.approx(norm.distortion, rel=1e-9)
    v = on_the_sphere(norm)
    assert float(v.norm(dim=-1).max()) <= norm.longest * (1 + 1e-9)


@pytest.mark.parametrize(("p", "blocks"), [(2, 1), (2, 2), (math.inf, 1), (math.inf, 2)])
def test_what_a_weighted_norm_says_of_its_ball_is_attained(p, blocks):
    """Hypothesis: the longest state lies along the largest weight of each block, or in a corner;
    the distortion is attained from the lightest component to that state."""
    weights = torch.tensor([0.2, 1.0, 0.5, 0.7], **F64)
    norm = Norm(weights, p, blocks)
    if p == 2:
        parts = weights.unflatten(0, (blocks, -1))
        longest = parts.where(parts == parts.amax(-1, keepdim=True), 0).flatten()
    else:
        longest = weights
    assert float(norm(longest)) == pytest.approx(1)
    assert norm.longest == pytest.approx(float(longest.norm()), rel=1e-12)
    worst = torch.outer(longest, torch.eye(4, **F64)[0])
    ratio = torch.linalg.matrix_norm(worst, ord=2) / norm.induced(worst)
    assert norm.distortion == pytest.approx(float(ratio), rel=1e-9)


def test_batch_axes_lead():
    """Hypothesis: norms, dual norms and induced norms of a batch are those of its members."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(2, 3, 4, generator=generator, **F64)
    matrices = torch.randn(2, 3, 4, 4, generator=generator, **F64)
    weights = torch.tensor([0.2, 1.0, 0.5, 0.7], **F64)
    for norm in (Norm(weights), Norm(weights, 2, 2), Norm(weights, math.inf, 2), quadratic(4)):
        for call, batch in ((norm, v), (norm.dual, v), (norm.induced, matrices)):
            alone = torch.stack([torch.stack([call(one) for one in row]) for row in batch])
            torch.testing.assert_close(call(batch), alone)


def test_the_dual_of_the_euclidean_norm_is_itself_and_that_of_the_max_norm_the_sum():
    weights, ones = torch.tensor([0.2, 1.0, 0.5, 0.7], **F64), torch.ones(4, **F64)
    assert float(Norm(weights, math.inf).dual(ones)) == pytest.approx(2.4)
    assert float(Norm(weights, 2).dual(ones)) == pytest.approx(math.sqrt(1.04 + 0.74))
    two = math.sqrt(1.04) + math.sqrt(0.74)  # each block at its own worst
    assert float(Norm(weights, 2, 2).dual(ones)) == pytest.approx(two)


def test_a_norm_is_itself_alone_and_does_not_change():
    """Hypothesis: tensors have no single truth, so norms are compared by identity and hashed."""
    for norm in (Norm(torch.ones(4, **F64)), quadratic(4)):
        assert norm == norm and norm != copy.copy(norm) and len({norm, copy.copy(norm)}) == 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            norm.weights = torch.ones(4)


def test_the_power_iteration_finds_what_two_blocks_reach_together():
    """Hypothesis: rows (a I, b R) stretch by a + b: both blocks point where R turns one into the
    other, which the leading singular vector of the rows alone need not know."""
    turn = math.sqrt(0.5) * torch.tensor([[1.0, -1.0], [1.0, 1.0]], **F64)
    skewed = torch.diag(torch.tensor([1.0, 0.9], **F64))
    matrix = torch.cat([torch.cat([0.6 * skewed, 0.3 * turn], 1), torch.zeros(2, 4, **F64)])
    angle = torch.linspace(0, math.pi, 20001, **F64)
    u = torch.stack([angle.cos(), angle.sin()], -1)
    # the second block can turn its 0.3 into any direction
    exact = float(((0.6 * u @ skewed).norm(dim=-1) + 0.3).max())
    assert float(Norm(torch.ones(4, **F64), 2, 2).induced(matrix)) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("norm", [Norm(torch.ones(4, **F64)), quadratic(4)], ids=["plain", "ball"])
def test_a_matrix_that_is_not_finite_has_no_induced_norm(norm):
    """Hypothesis: NaN for it alone, in place of a crash in LAPACK; its neighbours keep theirs."""
    blocks = Norm(torch.ones(4, **F64), 2, 2)
    matrices = torch.eye(4, **F64).repeat(3, 1, 1)
    matrices[1, 0, 0], matrices[2, 1, 1] = math.nan, math.inf
    for kind in (norm, blocks):
        found = kind.induced(matrices)
        assert float(found[0]) == pytest.approx(1.0)
        assert torch.isnan(found[1:]).all()

"""Hypotheses about the exponential of a skew-symmetric matrix and its adjoint."""

import math

import pytest
import scipy.linalg
import torch

from rnnlib.nn.skew_expm import polish, skew_expm, torch_expm

EXACT = {torch.float32: 5e-6, torch.float64: 1e-12}
# Sums of 200 products, in an order that depends on the processor: 1.3e-6 on some. Without the
# polish it is 2e-5 and 2e-13 at n = 200 and a norm of 25.
ORTHOGONAL = {torch.float32: 2e-6, torch.float64: 1e-14}
both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def random_skew(n, norm, seed=0, batch=()):
    """Return a skew matrix of the given 1-norm, float64."""
    s = torch.randn(*batch, n, n, generator=torch.Generator().manual_seed(seed)).double()
    s = s - s.mT
    return s * norm / s.abs().sum(-2).amax().clamp(min=1e-300)


def orthogonality(q):
    q = q.double()
    return (q.mT @ q - torch.eye(q.shape[-1], dtype=q.dtype)).abs().max()


@both
@pytest.mark.parametrize("angle", [0.0, 1e-8, 0.3, -2.0, math.pi, 40.0])
def test_the_exponential_of_a_plane_block_is_the_rotation(dtype, angle):
    """Hypothesis: exp([[0, a], [-a, 0]]) = [[cos a, sin a], [-sin a, cos a]]."""
    q = skew_expm(torch.tensor([[0, angle], [-angle, 0]], dtype=dtype))
    c, s = math.cos(angle), math.sin(angle)
    tolerance = EXACT[dtype] * max(1, abs(angle))
    torch.testing.assert_close(
        q, torch.tensor([[c, s], [-s, c]], dtype=dtype), atol=tolerance, rtol=0
    )


@both
@pytest.mark.parametrize("n", [1, 2, 5, 64, 200])
@pytest.mark.parametrize("norm", [0.0, 0.04, 0.59, 3.2, 25.0])
def test_it_is_scipys_matrix_exponential_and_orthogonal(dtype, n, norm):
    """Hypothesis: scipy's value to the dtype's accuracy; Q^T Q = I to a few roundings."""
    s = random_skew(n, norm)
    q = skew_expm(s.to(dtype))
    exact = torch.as_tensor(scipy.linalg.expm(s.numpy()))
    assert q.dtype == dtype
    assert (q.double() - exact).abs().max() < EXACT[dtype]
    assert (torch_expm(s) - exact).abs().max() < EXACT[torch.float64]
    assert orthogonality(q) < ORTHOGONAL[dtype]


@both
def test_a_batch_is_each_matrix_by_itself(dtype):
    """Hypothesis: leading axes are independent, whatever the others' norms."""
    s = random_skew(6, 3.0, batch=(2, 3))
    s[0, 0] *= 1e-3
    q = skew_expm(s.to(dtype))
    for i in range(2):
        for j in range(3):
            expected = torch_expm(s[i, j])
            assert (q[i, j].double() - expected).abs().max() < EXACT[dtype]


@pytest.mark.parametrize("norm", [0.0, 0.04, 0.9, 4.0])
def test_the_adjoint_passes_gradcheck(norm):
    """Hypothesis: in float64 the hand adjoint is the derivative, and so is the second one."""
    s = random_skew(5, norm).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: skew_expm(a - a.mT), s)
    assert torch.autograd.gradgradcheck(lambda a: skew_expm(a - a.mT), s)


@both
@pytest.mark.parametrize("norm", [0.5, 4.8, 26.0])
def test_the_adjoint_is_torchs_at_full_size(dtype, norm):
    """Hypothesis: at n = 200 the gradient is torch's float64 one."""
    s, weight = random_skew(200, norm), random_skew(200, 1.0, seed=1).triu()

    def gradient(expm, dtype):
        a = s.clone().to(dtype).requires_grad_()
        (expm(a) * weight.to(dtype)).sum().backward()
        return a.grad.double()

    exact = gradient(torch_expm, torch.float64)
    error = (gradient(skew_expm, dtype) - exact).norm() / exact.norm()
    assert error < {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]


def test_polishing_squares_the_orthogonality_error():
    """Hypothesis: an error e becomes 3 e^2 / 4, to leading order."""
    q = torch_expm(random_skew(20, 3.0))
    for size in (1e-2, 1e-4):
        nearly = q * (1 + size)  # Q^T Q - I = 2 size I
        assert orthogonality(polish(nearly)) == pytest.approx(3 * size**2, rel=0.02)


def test_bad_matrices_say_what_to_do():
    """Hypothesis: each refusal names the argument, the value and the remedy."""
    with pytest.raises(ValueError, match=r"skew has shape \(2, 3\); it must be square"):
        skew_expm(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"skew has shape \(3,\)"):
        skew_expm(torch.zeros(3))
    for dtype in (torch.bfloat16, torch.int64, torch.complex64):
        with pytest.raises(TypeError, match="convert it to torch.float32"):
            skew_expm(torch.zeros(2, 2, dtype=dtype))
    for dtype, value in ((torch.float32, 1e4), (torch.float64, 1e300)):
        with pytest.raises(ValueError, match="skew has the 1-norm .* lost to rounding"):
            skew_expm(torch.tensor([[0, value], [-value, 0]], dtype=dtype))
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not finite.*lower its learning rate"):
            skew_expm(torch.tensor([[0, value], [-value, 0]]))

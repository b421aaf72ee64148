"""Singular values and eigenvalues, and what happens where one library gives up."""

import numpy as np
import pytest
import torch

import rnnlib
from rnnlib.dynamics import spectra
from rnnlib.dynamics.spectra import eigenvalues, leading_eigenvalues, svd

F64 = {"dtype": torch.float64}


def gives_up(*arguments, **options):
    raise torch.linalg.LinAlgError("did not converge")


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), **F64)


@pytest.mark.parametrize("library", ["torch", "scipy"])
def test_the_thin_decomposition_gives_the_matrix_back(library, monkeypatch):
    """Hypothesis: u diag(s) v with orthonormal u and v, for any batch, from either library."""
    if library == "scipy":
        monkeypatch.setattr(torch.linalg, "svd", gives_up)
    matrix = draw(2, 3, 5, 4)
    u, s, v = svd(matrix)
    assert u.shape == (2, 3, 5, 4) and s.shape == (2, 3, 4) and v.shape == (2, 3, 4, 4)
    torch.testing.assert_close(u * s[..., None, :] @ v, matrix)
    torch.testing.assert_close(u.mT @ u, torch.eye(4, **F64).expand(2, 3, 4, 4))
    assert (s.diff(dim=-1) <= 0).all()


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_eigenvalues_come_by_size_and_are_nan_where_the_matrix_is(library, monkeypatch):
    """Hypothesis: of triangular matrices they are the diagonal's, the largest modulus first."""
    if library == "numpy":
        monkeypatch.setattr(torch.linalg, "eigvals", gives_up)
    matrices = torch.stack(
        [torch.diag(torch.tensor([0.5, -3.0, 2.0], **F64)) + draw(3, 3).triu(1)] * 4
    ).reshape(2, 2, 3, 3)
    matrices[1, 0, 0, 2] = torch.nan
    found = eigenvalues(matrices)
    assert found.shape == (2, 2, 3) and found.dtype == torch.complex128
    assert found[1, 0].isnan().all()
    for i, j in ((0, 0), (0, 1), (1, 1)):
        torch.testing.assert_close(found[i, j].real, torch.tensor([-3.0, 2.0, 0.5], **F64))


def test_what_both_libraries_give_up_is_nan_and_its_neighbours_are_not(monkeypatch):
    monkeypatch.setattr(torch.linalg, "eigvals", gives_up)
    whole = np.linalg.eigvals

    def some(matrix):
        if matrix[0, 0] == 7:
            raise np.linalg.LinAlgError
        return whole(matrix)

    monkeypatch.setattr(np.linalg, "eigvals", some)
    matrices = torch.stack([torch.eye(2, **F64), 7 * torch.eye(2, **F64)])
    found = eigenvalues(matrices)
    assert found[0].tolist() == [1, 1] and found[1].isnan().all()


@pytest.mark.parametrize("formed", [True, False])
def test_leading_eigenvalues_are_a_complex_pair_and_reals_in_order(formed, monkeypatch):
    """Hypothesis: a rotation by 1 with radius 0.9, then 0.8, -0.7 and small ones, from the matrix
    and from products; with as many asked for as there are, or one less, all are returned."""
    if not formed:
        monkeypatch.setattr(spectra, "FORMED", 0)
    n = 30
    core = torch.diag(torch.linspace(0.3, 0.01, n, **F64))
    c, s = 0.9 * np.cos(1), 0.9 * np.sin(1)
    core[:4, :4] = torch.tensor([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 0.8, 0], [0, 0, 0, -0.7]])
    basis = torch.linalg.qr(draw(n, n))[0]
    system = rnnlib.linear(basis @ core @ basis.T)
    found = leading_eigenvalues(system, torch.zeros(n, **F64), 4)
    assert found.abs().tolist() == pytest.approx([0.9, 0.9, 0.8, 0.7], abs=1e-7)
    assert found[:2].imag.abs().tolist() == pytest.approx([s, s], abs=1e-7)
    assert found[2:].real.tolist() == pytest.approx([0.8, -0.7], abs=1e-7)
    for count in (n - 1, n):
        assert len(leading_eigenvalues(system, torch.zeros(n, **F64), count)) == n


def test_all_eigenvalues_come_where_the_last_asked_for_is_not_inside_the_circle(monkeypatch):
    """Hypothesis: three of 1.5 and the rest small: asked for three, all come; asked for four, four
    do. A Jacobian that is not finite, or an iteration that fails, gives all too."""
    values = torch.cat([torch.full((3,), 1.5, **F64), torch.linspace(0.5, 0.1, 27, **F64)])
    system, origin = rnnlib.linear(torch.diag(values)), torch.zeros(30, **F64)
    assert len(leading_eigenvalues(system, origin, 3)) == 30
    assert len(leading_eigenvalues(system, origin, 4)) == 4
    steep = rnnlib.from_function(lambda x, theta: x.abs().sqrt(), 30)
    assert leading_eigenvalues(steep, origin, 4).isnan().all()

    def fails(*arguments, **options):
        raise spectra.scipy.sparse.linalg.ArpackError(-9999)

    monkeypatch.setattr(spectra.scipy.sparse.linalg, "eigs", fails)
    found = leading_eigenvalues(system, origin, 4)
    torch.testing.assert_close(found.real, values)


def test_beyond_what_is_formed_more_and_more_leading_ones_come_or_a_nan_says_that_they_do_not(
    monkeypatch,
):
    """Hypothesis: seven are outside the circle. Of 60, two are sought, then six; eighteen would be
    more than a tenth: so six and a NaN come. Of 300 eighteen do."""
    monkeypatch.setattr(spectra, "WHOLE", 10)
    for n, count in ((60, 7), (300, 18)):
        values = torch.cat(
            [torch.linspace(2, 1.1, 7, **F64), torch.linspace(0.9, 0.1, n - 7, **F64)]
        )
        system, origin = rnnlib.linear(torch.diag(values)), torch.zeros(n, **F64)
        found = leading_eigenvalues(system, origin, 2)
        assert len(found) == count
        assert found[:6].real.tolist() == pytest.approx(values[:6].tolist(), abs=1e-6)
        assert bool(found.isnan().any()) == (n == 60)

"""Covariant Lyapunov vectors: the eigenvectors of a linear map, carried along by any other."""

import math

import pytest
import torch

import rnnlib
from rnnlib.systems import X0, chaotic_lstm

F64 = {"dtype": torch.float64}


def test_on_a_linear_map_they_are_its_eigenvectors():
    """Hypothesis: also where these are far from orthogonal, for all and for the leading ones."""
    basis = torch.tensor([[1.0, 1.0, 0.5], [0.0, 0.2, 1.0], [0.1, 0.0, 1.0]], **F64)
    basis = basis / basis.norm(dim=0)
    values = torch.tensor([1.2, -0.7, 0.3], **F64)
    system = rnnlib.linear(basis @ torch.diag(values) @ torch.linalg.inv(basis))
    for k in (1, 2, 3):
        found = rnnlib.covariant_vectors(system, 1e-3 * torch.ones(3, **F64), 5, k=k)
        assert found.vectors.shape == (5, 3, k)
        cosine = (found.vectors * basis[:, :k]).sum(-2).abs()
        torch.testing.assert_close(cosine, torch.ones(5, k, **F64), atol=1e-12, rtol=0)
        torch.testing.assert_close(found.exponents, values[:k].abs().log(), atol=1e-12, rtol=0)
    angle = rnnlib.homoclinic_angle(found.vectors, 1)
    plane = torch.linalg.qr(basis[:, 1:])[0]
    expected = math.acos((plane.mT @ basis[:, 0]).norm().item())
    torch.testing.assert_close(angle, torch.full((5,), expected, **F64), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["henon", "chaotic lstm", "driven gru", "batch"])
def test_each_is_carried_to_the_next(name):
    """Hypothesis: J(x_t) v_t = stretch_t v_{t+1}, along chaotic, driven and batched orbits."""
    torch.manual_seed(0)
    x0, inputs = X0, None
    if name == "driven gru":
        system = rnnlib.from_module(torch.nn.GRU(2, 4).double())
        inputs = torch.randn(440, 2, **F64)
    else:
        system = rnnlib.henon() if name == "henon" else chaotic_lstm()
        x0 = {"henon": 0.2 * X0[:2], "batch": X0 + 0.01 * torch.randn(3, 4, **F64)}.get(name, X0)
    found = rnnlib.covariant_vectors(system, x0, 40, inputs=inputs)
    for t in range(39):
        z = None if inputs is None else inputs[200 + t]
        following, moved = rnnlib.push_forward(system, found.states[t], found.vectors[t], z)
        torch.testing.assert_close(following, found.states[t + 1], atol=1e-12, rtol=0)
        expected = found.stretch[t].unsqueeze(-2) * found.vectors[t + 1]
        torch.testing.assert_close(moved, expected, atol=1e-10, rtol=1e-9)
    torch.testing.assert_close(
        found.vectors.norm(dim=-2), torch.ones_like(found.stretch), atol=1e-12, rtol=0
    )


def test_the_last_one_is_the_direction_that_dies_forward_from_everywhere_else():
    """Hypothesis: at a state of the Henon attractor the second is the null direction of the
    product of the Jacobians that follow, by an SVD, which knows nothing of the way back."""
    found = rnnlib.covariant_vectors(rnnlib.henon(), 0.2 * X0[:2], 60)
    for t in range(0, 40, 5):
        product = torch.eye(2, **F64)
        for s in range(t, t + 8):
            product = rnnlib.jacobian(rnnlib.henon(), found.states[s]) @ product
        slowest = torch.linalg.svd(product)[2][-1]
        assert (slowest @ found.vectors[t, :, 1]).abs().item() == pytest.approx(1, abs=1e-5)


def test_their_exponents_are_the_spectrum():
    starts = X0 + 0.01 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0), **F64)
    found = rnnlib.covariant_vectors(chaotic_lstm(), starts, 500, tail=100).exponents
    spectrum = rnnlib.lyapunov_spectrum(chaotic_lstm(), starts, 500, burn_in=200).exponents
    torch.testing.assert_close(found, spectrum, atol=0.02, rtol=0)


def test_the_angle_tells_a_hyperbolic_map_from_one_with_tangencies():
    """Hypothesis: the cat map's directions stand at 90 degrees everywhere; the Henon map's come
    within 2 degrees of each other."""
    matrix = torch.tensor([[2.0, 1.0], [1.0, 1.0]], **F64)
    cat = rnnlib.from_step(lambda x: torch.remainder(x @ matrix.mT, 1.0), 2)
    found = rnnlib.covariant_vectors(cat, torch.tensor([0.1, 0.3], **F64), 30)
    right = torch.full((30,), math.pi / 2, **F64)
    torch.testing.assert_close(rnnlib.homoclinic_angle(found.vectors, 1), right)
    found = rnnlib.covariant_vectors(rnnlib.henon(), 0.2 * X0[:2], 2000)
    assert rnnlib.homoclinic_angle(found.vectors, 1).min() < math.radians(2)


def test_a_small_angle_is_not_lost_to_rounding():
    for angle in (1e-9, 1e-4, 1.0):
        vectors = torch.tensor([[1.0, math.cos(angle)], [0.0, math.sin(angle)]], **F64)
        assert rnnlib.homoclinic_angle(vectors, 1).item() == pytest.approx(angle, rel=1e-6)


def test_what_has_no_covariant_vectors_says_so():
    """Hypothesis: lost directions, diverging orbits and wrong counts are named."""
    flat = rnnlib.linear(torch.diag(torch.tensor([0.9, 0.5, 0.0], **F64)))
    ones = torch.ones(3, **F64)
    with pytest.raises(ValueError, match="loses direction 3 .*; ask for k=2 vectors at most"):
        rnnlib.covariant_vectors(flat, ones, 5)
    assert rnnlib.covariant_vectors(flat, ones, 5, k=2).vectors.shape == (5, 3, 2)
    with pytest.raises(ValueError, match="the orbit is not finite at step"):
        rnnlib.covariant_vectors(rnnlib.logistic(5.0), 0.3 * ones[:1], 5)
    with pytest.raises(ValueError, match="k is 4; linear map has n_x=3"):
        rnnlib.covariant_vectors(flat, ones, 5, k=4)
    with pytest.raises(ValueError, match="burn_in is -1"):
        rnnlib.covariant_vectors(flat, ones, 5, burn_in=-1)
    with pytest.raises(ValueError, match="inputs has 9 steps; burn_in=200, steps=5 and tail=200"):
        net = rnnlib.from_module(torch.nn.RNN(1, 3).double())
        rnnlib.covariant_vectors(net, ones, 5, inputs=torch.zeros(9, 1, **F64))
    with pytest.raises(ValueError, match="unstable is 2; of 2 directions 1 to 1"):
        rnnlib.homoclinic_angle(torch.eye(2, **F64), 2)

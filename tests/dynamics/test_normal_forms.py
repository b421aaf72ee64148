import math

import pytest
import torch

from rnnlib import from_function
from rnnlib.dynamics import normal_form_coefficient
from rnnlib.systems import FLIP, FOLD, NEIMARK_SACKER, PITCHFORK

F64 = {"dtype": torch.float64}


def at(case):
    return case.family(torch.tensor(case.at, **F64))


def test_the_tanh_cells_have_their_closed_form_coefficients():
    """Hypothesis: -1/3 at the pitchfork, 1/3 at the flip, w sqrt(1 - 1/w) at the lower fold."""
    zero = torch.zeros(1, **F64)
    assert normal_form_coefficient(at(PITCHFORK), zero, "pitchfork") == pytest.approx(-1 / 3)
    assert normal_form_coefficient(at(FLIP), zero, "flip") == pytest.approx(1 / 3)
    double_root = torch.tensor([-math.copysign(math.sqrt(0.5), FOLD.at)], **F64)
    found = normal_form_coefficient(at(FOLD), double_root, "fold")
    assert found == pytest.approx(math.copysign(math.sqrt(2), FOLD.at))


def test_the_coefficients_predict_the_new_points():
    """Hypothesis: near the bifurcation the new points are where the normal form puts them."""
    eps = 1e-4
    a = normal_form_coefficient(at(PITCHFORK), torch.zeros(1, **F64), "pitchfork")
    x = torch.tensor([0.5], **F64)
    for _ in range(200_000):
        x = torch.tanh((1 + eps) * x)
    assert float(x) == pytest.approx(math.sqrt(eps / -a), rel=1e-2)


def test_a_flip_with_a_quadratic_term_counts_it():
    """Hypothesis: for x' = -x + p x^2 + q x^3 the coefficient is p^2 + q."""
    system = from_function(lambda x, theta: -x + 0.7 * x**2 - 0.2 * x**3, 1)
    found = normal_form_coefficient(system, torch.zeros(1, **F64), "flip")
    assert found == pytest.approx(0.7**2 - 0.2)


def test_a_transcritical_point_has_half_the_second_derivative():
    system = from_function(lambda x, theta: x + 0.3 * x**2, 1)
    found = normal_form_coefficient(system, torch.zeros(1, **F64), "transcritical")
    assert found == pytest.approx(0.3)


def test_bad_input_is_named():
    """Hypothesis: a wrong kind, dimension or multiplier is refused."""
    zero = torch.zeros(1, **F64)
    for system, kind, words in (
        (at(PITCHFORK), "cusp", "kind is 'cusp'"),
        (at(NEIMARK_SACKER), "flip", "2 states"),
        (at(PITCHFORK), "flip", "multiplier at x = 0 is 1"),
    ):
        with pytest.raises(ValueError, match=words):
            normal_form_coefficient(system, zero, kind)

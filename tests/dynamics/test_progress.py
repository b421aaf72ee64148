"""Long work shows how far it is, if asked, and is silent otherwise."""

import pytest
import torch

import rnnlib
from rnnlib.dynamics import Attractor, robustness
from rnnlib.systems import one_unit

F64 = {"dtype": torch.float64}
HALF = rnnlib.linear(0.5 * torch.eye(2, **F64))
ONES, POINTS = torch.ones(2, **F64), torch.tensor([[0.3], [-0.4], [0.8]], **F64)
ORIGIN = Attractor("fixed point", 1, torch.zeros(1, 2, **F64), -0.7, 0.1)
VALUES = torch.tensor([1.5, 2.0, 2.5], **F64)

# call, and what is to be read at its end
CALLS = {
    "simulate": (
        lambda on: rnnlib.simulate(HALF, ONES, 4, burn_in=2, progress=on),
        ["linear map: 100%", "6/6", "step"],
    ),
    "starts from orbits": (
        lambda on: rnnlib.dynamics.starts_from_orbits(
            HALF, ONES, 3, burn_in=2, every=2, progress=on
        ),
        ["linear map: 100%", "7/7"],
    ),
    "orbit diagram": (
        lambda on: rnnlib.orbit_diagram(
            rnnlib.logistic, VALUES, 0.3 * ONES[:1], 2, start="continued", progress=on
        ),
        ["orbit diagram: 100%", "3/3"],
    ),
    "fresh orbit diagram": (
        lambda on: rnnlib.orbit_diagram(rnnlib.logistic, VALUES, 0.3 * ONES[:1], 2, progress=on),
        ["logistic map: 100%", "2/2"],
    ),
    "exponents": (
        lambda on: rnnlib.lyapunov_spectrum(HALF, ONES, 10, burn_in=2, progress=on),
        ["Lyapunov: 100%", "12/12", "step"],
    ),
    "covariant vectors": (
        lambda on: rnnlib.covariant_vectors(
            rnnlib.henon(), 0.1 * ONES, 3, burn_in=2, tail=4, progress=on
        ),
        ["forward: 100%", "9/9", "backward: 100%", "7/7", "step"],
    ),
    "entropy": (
        lambda on: rnnlib.entropy_along(HALF, torch.rand(5, 2, **F64), 3, 0.0, progress=on),
        ["entropy: 100%", "3/3", "step"],
    ),
    "fixed points": (
        lambda on: rnnlib.fixed_points(one_unit(2.0), POINTS, progress=on),
        ["one-unit cell: 100%", "3/3", "start"],
    ),
    "basins": (
        lambda on: rnnlib.basins(one_unit(2.0), POINTS, progress=on),
        ["basins of one-unit cell: 100%", "3/3"],
    ),
    "robustness": (
        lambda on: robustness(
            HALF, ORIGIN, torch.eye(2, **F64), 0.1 * ONES.cumsum(0), horizon=7, bisections=5,
            progress=on,
        ),
        ["linear map: 100%", "7/7", "bisection: 100%", "5/5"],
    ),
    "steady state": (
        lambda on: rnnlib.steady_state(
            rnnlib.from_step(lambda x: x + 1, 1), ONES[:1], burn_in=10, steps=200, budget=610,
            progress=on,
        ),
        ["steady state: 100%", "610/610", "step", "0 of 1 open"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_progress_is_shown_to_the_end_if_asked_for_and_not_otherwise(name, capsys):
    call, words = CALLS[name]
    call(False)
    assert capsys.readouterr().err == ""
    call(True)
    shown = capsys.readouterr().err
    for word in words:
        assert word in shown

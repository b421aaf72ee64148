"""Hypotheses about lower bounds on Lipschitz constants, found by search."""

import pytest
import torch

from rnnlib import from_module, henon, linear, logistic
from rnnlib.memory.contraction import lipschitz_lower_bound, pair_search
from rnnlib.memory.intervals import INF
from rnnlib.memory.norms import Norm, QuadraticNorm
from rnnlib.systems import from_function, jacobian

CELLS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def random_cell(kind: str, seed: int, scale: float, layers: int = 1, units: int = 3):
    torch.manual_seed(seed)
    cell = CELLS[kind](2, units, layers).double()
    for name, parameter in cell.named_parameters():
        torch.nn.init.normal_(parameter, std=2 * scale if "bias" in name else scale)
    return cell


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_searched_constant_of_a_linear_map_is_its_largest_singular_value():
    """Hypothesis: both searches find ||A|| exactly, in the Euclidean and in the max norm."""
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=generator(0))
    for norm in (2, INF):
        exact = float(torch.linalg.matrix_norm(matrix, ord=norm))
        found = lipschitz_lower_bound(linear(matrix), -1.0, 1.0, norm=norm, starts=4, steps=0)
        assert found.constant == pytest.approx(exact, rel=1e-12)
        pair = pair_search(linear(matrix), -1.0, 1.0, norm=norm, starts=64, steps=100)
        assert pair.constant == pytest.approx(exact, rel=1e-2 if norm == 2 else 1e-6)


def test_the_searched_constants_of_known_maps_are_their_closed_forms():
    """Hypothesis: the search reaches the logistic map's r and the Henon map's corner value."""
    assert lipschitz_lower_bound(logistic(3.7), 0.0, 1.0).constant == pytest.approx(3.7, rel=1e-12)
    a, b, end = 1.4, 0.3, 1.5
    corner = torch.tensor([[2 * a * end, 1.0], [b, 0.0]], dtype=torch.float64)
    found = lipschitz_lower_bound(henon(a, b), -end, end)
    exact = float(torch.linalg.matrix_norm(corner, ord=2))
    assert found.constant == pytest.approx(exact, rel=1e-10)
    assert abs(found.x[0]) == pytest.approx(end)


def test_the_search_finds_an_interior_maximum_that_sampling_misses():
    """Hypothesis: ascent reaches sigma_max(W) of tanh(W x + b); as many samples stay below."""
    w = torch.randn(8, 8, dtype=torch.float64, generator=generator(1))
    w = 1.5 * w / torch.linalg.matrix_norm(w, ord=2)
    inside = torch.full((8,), 0.7, dtype=torch.float64)  # here, and only here, every slope is 1
    system = from_function(lambda x, theta: torch.tanh((x - inside) @ w.T), 8)
    searched = lipschitz_lower_bound(system, -3.0, 3.0, starts=16, steps=300)
    sampled = lipschitz_lower_bound(system, -3.0, 3.0, starts=16 * 301, steps=0)
    assert searched.constant == pytest.approx(1.5, rel=1e-3)
    assert searched.constant <= 1.5 * (1 + 1e-12)
    assert sampled.constant < 0.99 * searched.constant


@pytest.mark.parametrize("where", [0.0, 1.0], ids=["centre", "corner"])
def test_a_peak_that_no_gradient_points_to_is_found_at_the_centre_and_in_a_corner(where):
    """Hypothesis: a map that halves but within 0.01 of a point stretches there by 50, which random
    starts miss and the starts at the centre and at corners do not."""

    def f(x, theta):
        away = x - where
        return x / 2 + 50 * away * (-1e4 * away.square().sum(-1, keepdim=True)).exp()

    system = from_function(f, 2)
    # at the centre the pair is the one that is farthest apart
    for search in (lipschitz_lower_bound, pair_search)[: 1 + int(where)]:
        assert search(system, -1.0, 1.0, starts=48, steps=1).constant > 40


def test_the_constant_is_attained_where_the_search_says():
    """Hypothesis: the reported state, input and pair reproduce the reported constants."""
    cell = random_cell("lstm", 0, 1.0)
    system = from_module(cell)
    found = lipschitz_lower_bound(system, -1.0, 1.0, inputs=(-1.0, 1.0), starts=8, steps=20)
    fixed = lipschitz_lower_bound(system.hold(found.z), found.x, found.x, starts=1, steps=0)
    assert fixed.constant == pytest.approx(found.constant, rel=1e-12)
    pair = pair_search(system, -1.0, 1.0, inputs=(-1.0, 1.0), starts=8, steps=20)
    moved = system.step(pair.x, pair.z) - system.step(pair.w, pair.z)
    assert moved.norm() / (pair.x - pair.w).norm() == pytest.approx(pair.constant, rel=1e-9)


@pytest.mark.parametrize("kind", CELLS)
def test_pairs_confirm_the_jacobian_search(kind):
    """Hypothesis: on a box the two searches agree, the pairs never above the Jacobian."""
    system = from_module(random_cell(kind, 3, 0.7))
    options = dict(inputs=(-1.0, 1.0), starts=48, steps=150)
    by_jacobian = lipschitz_lower_bound(system, -1.0, 1.0, **options).constant
    by_pairs = pair_search(system, -1.0, 1.0, **options).constant
    assert 0.93 * by_jacobian < by_pairs < by_jacobian * (1 + 1e-4)


def test_an_induced_norm_is_attained_and_not_exceeded():
    """Hypothesis: no vector is stretched by more than the exact induced norms say."""
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=generator(0))
    weights = torch.rand(6, dtype=torch.float64, generator=generator(1)) + 0.1
    v = torch.randn(2000, 6, dtype=torch.float64, generator=generator(2))
    for norm in (Norm(weights, 2), Norm(weights, INF)):
        assert (norm(v @ matrix.T) / norm(v)).max() <= norm.induced(matrix) * (1 + 1e-12)
    signs = weights * (matrix / weights[:, None] * weights).sign()
    norm = Norm(weights, INF)
    assert (norm(signs @ matrix.T) / norm(signs)).max() == pytest.approx(
        float(norm.induced(matrix))
    )
    blocks = Norm(weights, 2, blocks=2)  # a lower bound only, but a better one than sampling
    assert blocks.induced(matrix) >= (blocks(v @ matrix.T) / blocks(v)).max()


def test_the_distortion_bounds_the_euclidean_norm():
    """Hypothesis: |A|_2 <= distortion * |A| for every norm of the family."""
    weights = torch.tensor([0.2, 1.0, 0.5, 0.7], dtype=torch.float64)
    matrices = torch.randn(200, 4, 4, dtype=torch.float64, generator=generator(3))
    euclidean = torch.linalg.matrix_norm(matrices, ord=2)
    for norm in (Norm(weights, 2), Norm(weights, INF)):
        assert (euclidean <= norm.distortion * norm.induced(matrices)).all()
    v = torch.randn(500, 4, dtype=torch.float64, generator=generator(4))
    blocks = Norm(weights, 2, blocks=2)
    spread = v.norm(dim=-1) / blocks(v)
    assert spread.max() / spread.min() <= blocks.distortion


def test_pairs_are_as_far_apart_as_the_box_is_wide_and_down_to_the_separation():
    """Hypothesis: in the max norm the first pair's distance is that of the box times its random
    direction, and each further one falls by the same factor."""
    seen = []
    system = from_function(lambda x, theta: seen.append(x.detach().clone()) or 2 * x, 1)
    pair_search(system, -1.0, 1.0, norm=INF, starts=41, steps=0, separation=1e-4)
    apart = (seen[-2] - seen[-1]).abs()[:, 0]
    distance = 2 * 1e-4 ** torch.linspace(0, 1, 41, dtype=torch.float64)
    assert (apart <= distance * (1 + 1e-9)).all()
    assert float((apart / distance).median()) > 0.2  # directions are uniform, some are cut


def test_a_jump_has_no_lipschitz_constant():
    """Hypothesis: at a jump the pair search grows without bound as pairs get closer."""
    system = from_function(lambda x, theta: x.sign() * (x.abs() + 0.5), 1)
    coarse = pair_search(system, -1.0, 1.001, separation=1e-2, starts=512, steps=0).constant
    assert coarse > 10
    assert lipschitz_lower_bound(system, -1.0, 1.001).constant == pytest.approx(1.0)


def test_an_interrupted_search_returns_what_it_has_found(monkeypatch):
    """Hypothesis: after Ctrl-C in step 5 the answer is that of 4 steps, with a warning."""
    system = from_module(random_cell("gru", 0, 1.0)).hold(torch.zeros(2, dtype=torch.float64))
    expected = lipschitz_lower_bound(system, -1.0, 1.0, starts=4, steps=4)
    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 6:  # the starts, then one call a step
            raise KeyboardInterrupt
        return jacobian(*args)

    monkeypatch.setattr("rnnlib.memory.contraction.jacobian", interrupted)
    with pytest.warns(UserWarning, match="interrupted: the result is the largest stretch"):
        found = lipschitz_lower_bound(system, -1.0, 1.0, starts=4, steps=50)
    assert found.constant == expected.constant and torch.equal(found.x, expected.x)


def test_a_search_shows_its_progress(capsys):
    for search in (lipschitz_lower_bound, pair_search):
        search(logistic(3.0), 0.0, 1.0, starts=2, steps=3)
        assert capsys.readouterr().err == ""
        search(logistic(3.0), 0.0, 1.0, starts=2, steps=3, progress=True)
        shown = capsys.readouterr().err
        assert "search" in shown and "3/3" in shown and "step" in shown


def test_searches_make_no_tensor_on_another_device():
    """Hypothesis: with another default device every new tensor still lives where the system does.

    The meta device stands in for a GPU: it holds no numbers, so that any use of it fails.
    """
    system = from_module(random_cell("lstm", 0, 1.0))
    norm = QuadraticNorm(torch.eye(6, dtype=torch.float64) * 2)
    options = dict(inputs=(-1.0, 1.0), starts=4, steps=3)
    for search in (lipschitz_lower_bound, pair_search):
        for chosen in (2, INF, Norm(torch.ones(6, dtype=torch.float64), 2, 2), norm):
            expected = search(system, -1.0, 1.0, norm=chosen, **options)
            with torch.device("meta"):
                found = search(system, -1.0, 1.0, norm=chosen, **options)
            assert found.constant == expected.constant


def test_bad_arguments_say_what_to_do():
    """Hypothesis: each refusal names the argument, the value and the remedy."""
    lstm = torch.nn.LSTM(1, 2, 2).double()
    with pytest.raises(ValueError, match="low exceeds high"):
        lipschitz_lower_bound(logistic(4.0), 1.0, 0.0)
    with pytest.raises(ValueError, match="not finite; search a bounded box"):
        lipschitz_lower_bound(logistic(4.0), -INF, 0.0)
    with pytest.raises(ValueError, match="batch axes"):
        lipschitz_lower_bound(logistic(torch.tensor([3.0, 4.0])), 0.0, 1.0)
    with pytest.raises(ValueError, match="needs an input"):
        lipschitz_lower_bound(from_module(lstm), 0.0, 1.0)
    with pytest.raises(ValueError, match="longer"):
        lipschitz_lower_bound(from_module(lstm), 0.0, 1.0, inputs=(0.0, 0.5, 1.0))
    with pytest.raises(ValueError, match="starts is 0"):
        lipschitz_lower_bound(logistic(4.0), 0.0, 1.0, starts=0)
    with pytest.raises(ValueError, match="no two states"):
        pair_search(logistic(4.0), 0.5, 0.5)
    with pytest.raises(ValueError, match="p is 1"):
        Norm(torch.ones(2), 1)
    with pytest.raises(ValueError, match="must be positive"):
        Norm(torch.zeros(2))
    with pytest.raises(ValueError, match="blocks is 2"):
        Norm(torch.ones(3), 2, 2)
    with pytest.raises(TypeError, match=r"float16; a search works in float32 or float64.*float64"):
        lipschitz_lower_bound(from_module(torch.nn.RNN(1, 2).half()), 0.0, 1.0, inputs=(0.0, 1.0))
    turning = linear(torch.eye(2, dtype=torch.complex128))
    with pytest.raises(TypeError, match=r"complex128; a search works in float32 or float64"):
        lipschitz_lower_bound(turning, 0.0, 1.0)
    nowhere = from_function(lambda x, theta: x / 0.0 * 0.0, 1)
    with pytest.raises(ValueError, match="finite at none of the starts"):
        lipschitz_lower_bound(nowhere, 0.0, torch.ones(1, dtype=torch.float64))

"""The search behind `fixed_points`, piece by piece: steps, Krylov spaces, and what ends a start."""

import math

import pytest
import torch
from tqdm import tqdm

import rnnlib
from rnnlib.dynamics import newton
from rnnlib.dynamics.newton import FORCING, damped_steps, relative, search
from rnnlib.systems import elman, one_unit

F64 = {"dtype": torch.float64}


def run(system, starts, tolerance=1e-10, max_iterations=100, dense=300, krylov=60, bar=None):
    bar = tqdm(disable=True) if bar is None else bar
    return search(system, starts, tolerance, max_iterations, dense, krylov, bar)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **F64)


def random_network(n, gain, seed=3):
    return elman(gain * draw(n, n, seed=seed) / n**0.5, 0.3 * draw(n, seed=seed + 1))


def test_a_difference_is_relative_to_one_plus_the_size():
    x = torch.tensor([[3.0, -9.0], [0.0, 0.0]], **F64)
    assert relative(torch.tensor([[1.0, -2.0], [1.0, -2.0]], **F64), x).tolist() == [0.2, 2.0]


def test_a_damped_step_solves_the_normal_equations():
    """Hypothesis: (A'A + mu^2 s^2) d = -A'F, with s the largest singular value, also for more rows
    than columns."""
    matrix, value = draw(3, 6, 4), draw(3, 6, seed=1)
    damping = torch.tensor([0.0, 0.03, 0.5], **F64)
    steps = damped_steps(matrix, value, damping)
    assert steps.shape == (3, 3, 4)
    s = torch.linalg.svdvals(matrix)[:, 0]
    for mu, d in zip(damping, steps, strict=True):
        normal = matrix.mT @ matrix + (mu * s)[:, None, None] ** 2 * torch.eye(4, **F64)
        torch.testing.assert_close(
            (normal @ d[..., None])[..., 0], -(matrix.mT @ value[..., None])[..., 0]
        )


def test_an_affine_map_takes_one_iteration_and_two_to_see_that_it_is_there():
    """Hypothesis: x / 2 exactly one; a start on the root none."""
    starts = torch.tensor([[4.0], [-1.0], [0.0]], **F64)
    found = run(rnnlib.from_step(lambda x: x / 2, 1), starts)
    assert found.x.tolist() == [[[0.0], [0.0], [0.0]]]
    assert found.iterations.tolist() == [[1, 1, 0]]
    assert found.residual.tolist() == [[0, 0, 0]] and not found.interrupted


def test_the_search_converges_quadratically_and_goes_on_until_rounding():
    """Hypothesis: sqrt(2) is a root of x - (x^2 - 2); Newton from 2 needs 5 to 7 iterations, and a
    coarse tolerance makes the answer no worse than the square of it."""
    system = rnnlib.from_function(lambda x, theta: x - (x**2 - 2), 1)
    found = run(system, torch.tensor([[2.0]], **F64))
    assert found.x.item() == pytest.approx(math.sqrt(2), abs=1e-15)
    assert 5 <= found.iterations.item() <= 7
    coarse = run(system, torch.tensor([[2.0]], **F64), tolerance=1e-2)
    assert coarse.x.item() == pytest.approx(math.sqrt(2), abs=1e-10)


def test_no_more_iterations_are_made_than_allowed():
    """Hypothesis: a map that one iteration cannot solve is left where it stands, and counted."""
    system = rnnlib.from_function(lambda x, theta: x - (x**2 - 2), 1)
    for most in (1, 2, 3):
        found = run(system, torch.tensor([[2.0], [1.2]], **F64), max_iterations=most)
        assert found.iterations.tolist() == [[most, most]]
    one = run(system, torch.tensor([[2.0]], **F64), max_iterations=1)
    assert one.x.item() == 1.5  # 2 - (4 - 2) / 4
    assert one.residual.item() == pytest.approx(0.25 / 2.5)


def test_a_start_that_is_not_finite_is_dropped_and_every_start_is_told_to_the_bar():
    bar = tqdm(total=4, disable=False, file=open("/dev/null", "w"))  # noqa: SIM115
    starts = torch.tensor([[torch.nan], [0.5], [torch.inf], [0.0]], **F64)
    found = run(one_unit(2.0), starts, bar=bar)
    assert found.residual[0, [0, 2]].tolist() == [torch.inf, torch.inf]
    assert found.iterations[0, [0, 2]].tolist() == [0, 0] and bar.n == 4
    assert found.residual[0, 1] < 1e-12 and found.x[0, 3] == 0
    short = tqdm(total=2, disable=False, file=open("/dev/null", "w"))  # noqa: SIM115
    run(random_network(4, 2.0), draw(2, 4), max_iterations=1, bar=short)
    assert short.n == 2


def test_the_end_of_a_descent_is_at_rest_and_a_root_is_not():
    """Hypothesis: x + mu + x^2 has no root; the descent ends at 0, where |F| = mu is least."""
    ghost = rnnlib.from_function(lambda x, theta: x + 1e-2 + x**2, 1)
    found = run(ghost, torch.tensor([[0.7], [-0.4]], **F64))
    assert found.at_rest.all() and found.x.abs().max() < 1e-4
    assert found.residual[0].tolist() == pytest.approx([1e-2, 1e-2], rel=1e-3)
    root = run(one_unit(2.0), torch.tensor([[0.7]], **F64))
    assert not root.at_rest.any() and root.residual.item() < 1e-15


@pytest.mark.parametrize("entries", [1, 50])
def test_the_pieces_in_which_matrices_are_held_do_not_matter(entries, monkeypatch):
    """Hypothesis: of four latches each start finds the root beside it, in whatever company."""
    system = elman(torch.diag(torch.tensor([2.0, 2.5, 3.0, 4.0], **F64)))
    starts = 0.9 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], **F64)] * 4)
    whole = run(system, starts)
    assert torch.equal(whole.x[0].sign(), starts.sign())
    monkeypatch.setattr(newton, "ENTRIES", entries)
    parts = run(system, starts)
    torch.testing.assert_close(parts.x, whole.x, atol=1e-12, rtol=0)


def test_a_member_that_has_ended_is_left_alone_while_others_go_on():
    """Hypothesis: a batch of systems gives what each gives alone, iterations included."""
    gains = torch.tensor([[0.5], [2.0], [5.0]], **F64)
    starts = torch.tensor([[0.0], [0.3], [2.5]], **F64)
    together = run(one_unit(gains), starts)
    for k, gain in enumerate(gains):
        alone = run(one_unit(gain), starts)
        torch.testing.assert_close(together.x[k], alone.x[0], atol=1e-12, rtol=0)
        assert (together.iterations[k] - alone.iterations[0]).abs().max() <= 1  # roundings


def test_a_krylov_space_is_orthonormal_and_holds_the_map_and_newtons_step():
    """Hypothesis: A V_m = V_{m+1} H, F = |F| v_1, and the step in it leaves 1 % of |F| at most;
    no larger a space is built than that takes, nor than is allowed."""
    system, x = random_network(40, 0.9), 0.1 * draw(2, 40, seed=7)
    value = system.step(x) - x
    h, target, basis = newton._arnoldi(system, x, value, 60)
    m = len(basis)
    assert h.shape == (2, m + 1, m) and target.shape == (2, m + 1) and m % 5 == 0 and m < 40
    matrix = rnnlib.jacobian(system, x) - torch.eye(40, **F64)
    for k in range(2):
        v = basis[:, k].T
        torch.testing.assert_close(v.T @ v, torch.eye(m, **F64), atol=1e-12, rtol=0)
        image = matrix[k] @ v
        torch.testing.assert_close(v.T @ image, h[k, :m], atol=1e-11, rtol=0)
        left = image[:, -1] - v @ h[k, :m, -1]
        assert left.norm().item() == pytest.approx(h[k, m, -1].item(), rel=1e-9)
        torch.testing.assert_close(v @ target[k, :m], value[k], atol=1e-12, rtol=0)
        step = torch.linalg.lstsq(h[k], -target[k, :, None]).solution[:, 0]
        assert (matrix[k] @ (v @ step) + value[k]).norm() <= FORCING * value[k].norm()
    many = newton._arnoldi(system, *(a[:1].expand(50, 40) for a in (x, value)), 60)
    assert len(many[2]) == len(newton._arnoldi(system, x[:1], value[:1], 60)[2])
    few = newton._arnoldi(system, x, value, 3)
    assert len(few[2]) == 3 and few[0].shape == (2, 4, 3)
    assert len(newton._arnoldi(random_network(4, 0.9), draw(1, 4), draw(1, 4, seed=1), 60)[2]) <= 4


def test_a_space_that_is_whole_before_its_time_does_no_harm():
    """Hypothesis: where A is a multiple of the identity one vector is all of it."""
    system = rnnlib.linear(0.5 * torch.eye(30, **F64))
    x = draw(1, 30)
    found = run(system, x, dense=1)
    assert found.x.abs().max() < 1e-12 and found.iterations.item() <= 2


def test_where_products_do_not_serve_the_whole_matrix_does():
    """Hypothesis: a Krylov space of one vector solves nothing here, and the roots are found."""
    system, starts = random_network(12, 0.9), draw(3, 12)
    whole, poor = run(system, starts), run(system, starts, dense=1, krylov=1)
    torch.testing.assert_close(poor.x, whole.x, atol=1e-9, rtol=0)
    assert (poor.residual < 1e-10).all()


def test_each_start_is_damped_by_its_own_size():
    """Hypothesis: where Newton's step on x + atan(k x) leads away for good, twenty starts of two
    systems all come back, as each does alone."""
    k = torch.tensor([[20.0], [30.0]], **F64)
    steep = rnnlib.from_function(
        lambda x, theta: x + torch.atan(theta["k"][..., None] * x), 1, {"k": k}
    )
    found = run(steep, torch.linspace(1.5, 2.5, 20, **F64)[:, None])
    assert (found.residual < 1e-10).all() and found.x.abs().max() < 1e-10

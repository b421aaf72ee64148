"""Hypotheses about proofs around fixed points and cycles that were found."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from rnnlib import (
    certify,
    certify_near,
    from_function,
    from_module,
    henon,
    jacobian,
    linear,
    logistic,
    simulate,
)
from rnnlib.memory.local_steps import Ball, _length, local_step
from rnnlib.memory.norms import QuadraticNorm
from rnnlib.memory.quadratic_bound import Transported, spectral_bound, structured
from rnnlib.memory.quadratic_norms import contracting_norms, spectral_radius

F64 = {"dtype": torch.float64}


def one_unit(w: float, b: float, nonlinearity="tanh"):
    """``x' = tanh(w x + b)``."""
    cell = nn.RNN(1, 1, nonlinearity=nonlinearity).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_hh_l0.fill_(w)
        cell.bias_hh_l0.fill_(b)
    return from_module(cell).hold(torch.zeros(1, **F64))


def network(kind, units, layers=1, scale=1.3, seed=0):
    torch.manual_seed(seed)
    cell = kind(2, units, layers).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(scale)
    return from_module(cell).hold(torch.tensor([0.3, -0.2], **F64))


def settled(system, start=0.0):
    return simulate(system, torch.full((system.n_x,), start, **F64), 1, burn_in=2000)[0]


NETWORKS = {
    "tanh": (nn.RNN, 6, 1),
    "two tanh layers": (nn.RNN, 3, 2),
    "gru": (nn.GRU, 4, 1),
    "three gru layers": (nn.GRU, 2, 3),
    "lstm": (nn.LSTM, 4, 1),
    "two lstm layers": (nn.LSTM, 2, 2),
}


@pytest.mark.parametrize("w, b", [(1.5, 0.0), (2.0, 0.8), (1.5, -1.0), (3.0, 0.1)])
def test_the_ball_of_one_tanh_unit_ends_where_its_slope_is_1(w, b):
    """Hypothesis: the radius is the distance to the nearer root of w sech^2(w x + b) = 1."""
    system = one_unit(w, b)
    x = settled(system, 0.9)
    proof = certify_near(system, x)
    steep = math.acosh(math.sqrt(w))
    exact = min(abs((sign * steep - b) / w - float(x)) for sign in (1, -1))
    assert proof.contractive and proof.constant < 1
    assert proof.reach <= exact * (1 + 1e-9)
    assert proof.reach > exact * (1 - 2e-3)


def test_a_rate_asks_for_the_smaller_ball_in_which_it_holds():
    """Hypothesis: for tanh(1.5 x), rate 0.8 ends where 1.5 sech^2 is 0.8, and says 0.8."""
    system = one_unit(1.5, 0.0)
    x = settled(system, 0.9)
    proof = certify_near(system, x, rate=0.8)
    exact = float(x) - math.acosh(math.sqrt(1.5 / 0.8)) / 1.5
    assert proof.reach == pytest.approx(exact, rel=2e-3) and proof.reach < exact
    assert 0.79 < proof.constant <= 0.8
    assert not certify_near(system, x, rate=0.3).contractive  # its slope at x* is 0.394


def test_a_relu_unit_is_certified_up_to_its_kink():
    """Hypothesis: max(0, -2 x + 3) at 1 is unstable; max(0, x / 2 + 1) contracts everywhere."""
    assert not certify_near(one_unit(-2.0, 3.0, "relu"), torch.ones(1, **F64)).contractive
    proof = certify_near(one_unit(0.5, 1.0, "relu"), torch.full((1,), 1.9, **F64))
    assert proof.constant == pytest.approx(0.5) and proof.reach > 1e20
    steep = certify_near(one_unit(-4.0, -1.0, "relu"), torch.full((1,), 0.1, **F64))
    assert float(steep.centre) == 0.0
    assert steep.reach == pytest.approx(0.25, rel=2e-3) and steep.reach <= 0.25


@pytest.mark.parametrize("name", NETWORKS)
def test_no_pair_in_the_ball_beats_the_constant(name):
    """Hypothesis: pairs and Jacobians in the ball stay below it, and images stay in the ball."""
    system = network(*NETWORKS[name])
    proof = certify_near(system, settled(system), rate=0.95)
    assert proof.contractive and 0 < proof.radius and proof.error < 1e-6 * proof.radius
    x, w = in_ball(proof, 400, 0), in_ball(proof, 400, 1)
    w[::2] = x[::2] + 1e-5 * (w[::2] - x[::2])
    moved = [system.step(v) for v in (x, w)]
    ratio = proof.norm(moved[0] - moved[1]) / proof.norm(x - w)
    assert (ratio <= proof.constant * (1 + 1e-7)).all()
    assert proof.norm.induced(jacobian(system, x)).max() <= proof.constant * (1 + 1e-9)
    assert all(proof.contains(v).all() for v in moved)
    # the slack is not so wide that the test could not fail
    assert float(proof.norm.induced(jacobian(system, x)).max()) > 0.6 * proof.constant
    assert proof.found <= proof.constant


def in_ball(proof, count, seed):
    """Return states on the sphere (half of them) and inside."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(count, len(proof.centre), generator=generator, **F64)
    u = u / u.norm(dim=-1, keepdim=True) * (1 - 1e-9)
    u[::2] *= torch.rand(len(u[::2]), 1, generator=generator, **F64)
    return proof.centre + proof.radius * u @ proof.norm.inverse.mT


@pytest.mark.parametrize("name", NETWORKS)
def test_every_orbit_in_the_ball_comes_to_the_fixed_point(name):
    """Hypothesis: 1000 steps on, all starts on the sphere are within the error of the centre."""
    system = network(*NETWORKS[name])
    proof = certify_near(system, settled(system) + 1e-6)  # as near as a search may leave it
    ends = simulate(system, in_ball(proof, 100, 2), 1, burn_in=3000)[0]
    assert (proof.norm(ends - proof.centre) <= proof.error + 1e-12).all()
    near = torch.full((system.n_x,), 0.99 * proof.reach / math.sqrt(system.n_x), **F64)
    assert proof.contains(proof.centre + near)


@pytest.mark.parametrize("name", ["gru", "lstm", "tanh"])
def test_the_radius_is_within_a_factor_of_what_can_be_true(name):
    """Hypothesis: 30 times farther out some Jacobian stretches this very norm."""
    system = network(*NETWORKS[name], scale=1.8)
    proof = certify_near(system, settled(system, 0.1))
    out = proof.centre + 30 * (in_ball(proof, 4000, 3) - proof.centre)
    assert proof.contractive
    assert float(proof.norm.induced(jacobian(system, out)).max()) > 1


def test_inputs_in_a_box_leave_a_ball_in_which_orbits_merge():
    """Hypothesis: under inputs that vary by 0.002 all orbits of the ball stay and approach."""
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        system = network(kind, 4)
        z = system.z
        proof = certify_near(system, settled(system), inputs=(z - 0.002, z + 0.002))
        assert proof.contractive
        generator = torch.Generator().manual_seed(0)
        inputs = z + 0.002 * (2 * torch.rand(60, 1, 2, generator=generator, **F64).round() - 1)
        orbit = simulate(system, in_ball(proof, 50, 0), 60, inputs=inputs)
        assert proof.contains(orbit).all()
        apart = proof.norm(orbit[:, :, None] - orbit[:, None]).amax((1, 2))
        assert (apart[1:] <= proof.constant * apart[:-1] + 1e-12).all()
    wide = certify_near(system, settled(system), inputs=(z - 5.0, z + 5.0))
    assert not wide.certified and "no ball was found" in str(wide)


def test_a_cycle_is_certified_over_its_period():
    """Hypothesis: tanh(-2.5 x + 0.1) has a stable 2-cycle and an unstable fixed point."""
    system = one_unit(-2.5, 0.1)
    x = settled(system, 0.9)
    assert "spectral radius is not below 1" in str(certify_near(system, x))
    proof = certify_near(system, x, period=2)
    assert proof.contractive and proof.steps == 2
    states = in_ball(proof, 50, 0)
    twice = simulate(system, states, 2)[-1]
    assert proof.contains(twice).all()
    assert (proof.norm(twice - twice[:1]) <= proof.constant * proof.norm(states - states[:1])).all()
    slopes = [2.5 / math.cosh(-2.5 * float(v) + 0.1) ** 2 for v in (x, system.step(x))]
    assert proof.found == pytest.approx(slopes[0] * slopes[1], rel=1e-9)


def test_a_slow_fixed_point_gets_a_small_ball_and_an_unstable_one_none():
    """Hypothesis: at the multiplier 1 - 1e-4 there is still a proof, at 1 + 1e-4 there is none."""
    for gain, stable in ((1 - 1e-4, True), (1 + 1e-4, False)):
        proof = certify_near(one_unit(gain, 0.0), torch.zeros(1, **F64))
        assert proof.contractive == stable
        assert proof.found == pytest.approx(gain, rel=1e-12)


def test_any_system_with_a_bound_of_its_curvature_is_certified():
    """Hypothesis: the logistic map's ball is exact, a linear map's has no end, Henon's holds."""
    x = torch.full((1,), 0.59, **F64)  # polished to 0.6
    proof = certify_near(logistic(2.5), x, curvature=5.0)
    assert float(proof.centre) == pytest.approx(0.6, abs=1e-12)
    assert proof.reach == pytest.approx(0.1, rel=2e-3) and proof.reach <= 0.1 * (1 + 1e-9)
    by_distance = certify_near(logistic(2.5), x, curvature=lambda distance: 5.0)
    assert by_distance.radius == proof.radius
    cycle = certify_near(logistic(3.2), torch.full((1,), 0.513, **F64), period=2, curvature=6.4)
    assert cycle.contractive
    shear = linear(torch.tensor([[0.5, 3.0], [0.0, 0.6]], **F64))
    assert certify_near(shear, torch.zeros(2, **F64), curvature=0.0).reach > 1e20
    spiral = henon(0.2, 0.3)
    proof = certify_near(spiral, settled(spiral), curvature=0.4)
    v = in_ball(proof, 500, 0)
    assert proof.norm.induced(jacobian(spiral, v)).max() <= proof.constant
    assert proof.contains(spiral.step(v)).all()


def test_a_step_without_a_rule_is_not_certified():
    """Hypothesis: without a bound nothing is proved, and what is found is said all the same."""
    proof = certify_near(logistic(2.5), torch.full((1,), 0.6, **F64))
    assert not proof.certified and proof.constant == math.inf and proof.radius == 0
    assert "no curvature given" in str(proof) and "found 0.5" in str(proof)
    kink = from_function(lambda x, theta: x.abs().sqrt(), 2)
    assert "not finite" in str(certify_near(kink, torch.zeros(2, **F64), curvature=1.0))


def test_the_weights_are_those_in_use_and_the_device_that_of_the_point():
    """Hypothesis: a module does as well as its system; another default device changes nothing."""
    system = network(nn.LSTM, 3)
    x = settled(system)
    expected = certify_near(system, x)
    with torch.device("meta"):  # holds no numbers: any use of it fails
        found = certify_near(system, x)
    assert found.radius == expected.radius and found.centre.device == x.device


def test_progress_is_shown_and_an_interrupt_keeps_the_ball_so_far(capsys, monkeypatch):
    system = network(nn.GRU, 3)
    x = settled(system)
    expected = certify_near(system, x)
    assert capsys.readouterr().err == ""
    certify_near(system, x, progress=True)
    shown = capsys.readouterr().err
    assert "norms" in shown and "4/4" in shown and "norm/s" in shown.replace("s/norm", "norm/s")
    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return contracting_norms(*args)

    monkeypatch.setattr("rnnlib.memory.local_certificates.contracting_norms", interrupted)
    with pytest.warns(UserWarning, match="largest ball found so far"):
        found = certify_near(system, x)
    assert found.contractive and found.reach <= expected.reach


def test_where_lapack_gives_up_nothing_is_proved(monkeypatch):
    """Hypothesis: neither a matrix that is not finite nor a failed iteration ends in an error."""
    system, x = network(nn.RNN, 2), torch.zeros(2, **F64)
    assert spectral_radius(torch.full((2, 2), math.inf, **F64)) == math.inf

    def give_up(matrix):
        raise torch.linalg.LinAlgError("failed to converge")

    monkeypatch.setattr(torch.linalg, "eigvals", give_up)
    assert spectral_radius(torch.eye(2, **F64)) == math.inf
    assert not certify_near(system, x).certified
    for method in ("componentwise", "quadratic"):
        proof = certify(system, method=method)
        assert not proof.certified and proof.constant == math.inf


def test_norms_contract_around_a_cycle_of_matrices():
    """Hypothesis: |A_k v|_{k+1} <= rate |v|_k for rates just above the product's radius."""
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(5, 5, generator=generator, **F64) for _ in range(3)]
    radius = spectral_radius(matrices[2] @ matrices[1] @ matrices[0])
    rate = (1.05 * radius) ** (1 / 3)
    norms = contracting_norms(matrices, rate)
    for k, matrix in enumerate(matrices):
        after, before = norms[(k + 1) % 3], norms[k]
        stretch = torch.linalg.matrix_norm(after.matrix @ matrix @ before.inverse, ord=2)
        assert float(stretch) <= rate
    assert contracting_norms(matrices, 0.9 * radius ** (1 / 3)) is None


def test_the_bounds_of_matrices_are_raised_by_the_margin():
    """Hypothesis: of a singular value, of a row and of vectors by their components: above the
    exact number by 1e-11 or some, and not by more."""

    def raised(found, exact):
        return exact * (1 + 0.9e-11) <= found <= exact * (1 + 2e-10)

    wide = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]], **F64)
    for matrix in (wide, wide.mT):
        assert raised(spectral_bound(matrix), 3.0)
    assert spectral_bound(torch.full((2, 2), math.nan)) == math.inf
    assert spectral_bound(torch.zeros(0, 2)) == 0
    before = Transported(QuadraticNorm(torch.diag(torch.tensor([2.0, 4.0], **F64))))
    row = torch.tensor([[3.0, 0.0], [0.0, 4.0]], **F64)
    assert before(row).tolist() == [[1.5, 0], [0, 1]]
    assert all(map(raised, before.row_norms(row).tolist(), [1.5, 1.0]))
    assert 1 + 0.9e-11 < before.slack < 1 + 1e-9
    # by rows (3, 4) gives 5; by columns 4 sqrt(2) is larger
    assert raised(_length(QuadraticNorm(torch.eye(2, **F64)), torch.tensor([3.0, 4.0], **F64)), 5.0)
    # of (1, +-1) seen through these rows, both entries 2 at once are too much: sqrt(2) sqrt(2)
    turn = torch.tensor([[1.0, 1.0], [1.0, -1.0]], **F64)
    assert raised(_length(QuadraticNorm(turn), torch.ones(2, **F64)), 2.0)
    halved = linear(torch.tensor([[0.5]], **F64))
    assert raised(certify_near(halved, torch.zeros(1, **F64), curvature=0.0).constant, 0.5)


def test_errors_in_rows_are_balanced_against_their_columns():
    """Hypothesis: |S diag(d) Q| with d up to r is met exactly for one row, and for rows that are
    each other's images; entry by entry it would be sqrt(n) times as large."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(4, 1, generator=generator, **F64), torch.tensor([[3.0, 4.0]], **F64)
    exact = 0.5 * 5 * float(left.norm())
    assert structured(left, [(torch.tensor([0.5], **F64), right)]) == pytest.approx(exact)
    eye, r = torch.eye(3, **F64), torch.full((3,), 0.5, **F64)
    assert structured(eye, [(r, 2 * eye)]) == pytest.approx(1.0)
    assert structured(eye, [(r, 2 * eye), (r, eye)]) == pytest.approx(1.5)  # both at their worst
    some = torch.randn(3, 3, generator=generator, **F64), torch.randn(3, 3, generator=generator)
    bound = structured(some[0], [(r, some[1].double())])
    d = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5], **F64)] * 3)
    worst = torch.linalg.matrix_norm(some[0] @ (d[:, :, None] * some[1].double()), ord=2).max()
    assert float(worst) <= bound < 1.7 * float(worst)
    assert structured(eye, [(0 * r, 2 * eye)]) == 0
    alone = torch.tensor([0.5, 0.0, 0.0], **F64)  # rows without a factor count nothing
    assert structured(eye, [(alone, 0.5 * eye)]) == pytest.approx(0.25)


def test_a_miss_counts_whichever_way_it_points():
    """Hypothesis: from 0 to (3, -4) in a norm that turns, of length |(-1, 7)| or somewhat more."""
    turn = QuadraticNorm(torch.tensor([[1.0, 1.0], [1.0, -1.0]], **F64))
    step = local_step(linear(0.5 * torch.eye(2, **F64)), None, 0.0)
    for sign in (1, -1):
        target = sign * torch.tensor([3.0, -4.0], **F64)
        missed = step.misses(torch.zeros(2, **F64), target, turn)
        assert float(turn(target)) <= missed < 1.2 * float(turn(target))


def test_a_ball_has_its_rim_and_is_itself_alone():
    """Hypothesis: states at the radius lie in it; proofs are compared by identity and stay."""
    system = network(nn.GRU, 3)
    proof = certify_near(system, settled(system))
    unit = QuadraticNorm(torch.eye(3, **F64))
    ball = dataclasses.replace(proof, norm=unit, centre=torch.zeros(3, **F64), radius=2.0)
    x = torch.tensor([[0.0, 2.0, 0.0], [0.0, 2.1, 0.0]], **F64)
    assert ball.contains(x).tolist() == [True, False] and ball.diameter == 4
    assert ball.reach == pytest.approx(2.0, rel=1e-9)
    steps = [local_step(system, None, None), local_step(henon(0.2, 0.3), None, 1.0)]
    states = Ball(torch.zeros(3, **F64), 1.0, Transported(unit))
    for one in (proof, states, *steps):
        assert one == one and one != copy.copy(one) and len({one, copy.copy(one)}) == 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.radius = 1.0


def test_bad_arguments_say_what_to_do():
    system, x = one_unit(0.5, 0.0), torch.zeros(1, **F64)
    with pytest.raises(ValueError, match="period is 0"):
        certify_near(system, x, period=0)
    with pytest.raises(ValueError, match="rate is 1.5"):
        certify_near(system, x, rate=1.5)
    with pytest.raises(ValueError, match=r"shape \(2,\); give one finite state of shape \(1,\)"):
        certify_near(system, torch.zeros(2, **F64))
    two = linear(0.5 * torch.eye(2, **F64))
    with pytest.raises(ValueError, match="give one finite state"):
        certify_near(two, torch.tensor([0.0, math.nan], **F64), curvature=0.0)
    with pytest.raises(ValueError, match="no input is given"):
        certify_near(nn.GRU(2, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="whether it is tanh or relu"):
        certify_near(system.theta, x, inputs=torch.zeros(1))
    with pytest.raises(TypeError, match="float32; a proof needs float64"):
        certify_near(logistic(2.5).to(torch.float32), x, curvature=5.0)
    with pytest.raises(ValueError, match="batch axes"):
        certify_near(logistic(torch.tensor([2.5, 2.6])).to(torch.float64), x, curvature=5.0)
    with pytest.raises(ValueError, match="must be square and finite"):
        QuadraticNorm(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="no inverse"):
        QuadraticNorm(torch.zeros(2, 2))


def test_a_callback_ends_the_search_and_the_best_ball_is_kept():
    """Hypothesis: cut after a few balls the proof still holds, on a smaller ball than the whole."""
    system = from_function(lambda x, theta: torch.tanh(0.9 * x), 1)
    whole = certify_near(system, torch.zeros(1, dtype=torch.float64), curvature=1.0)
    seen = []

    def stop():
        seen.append(1)
        if len(seen) > 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        part = certify_near(
            system, torch.zeros(1, dtype=torch.float64), curvature=1.0, callback=stop
        )
    assert whole.certified and part.certified
    assert 0 < part.reach < whole.reach and part.constant < 1

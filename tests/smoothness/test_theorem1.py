import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.smoothness import theorem1
from rnnlib.smoothness.roughness import (
    exponential_rate,
    measured_constants,
    power_law,
    roughness_at,
)
from rnnlib.smoothness.scalar_cells import (
    affine_cell,
    biased_tanh_cell,
    linear_cell,
    tanh_cell,
)
from rnnlib.smoothness.theorem1 import cross_entropy_loss, squared_loss

LOSSES = [squared_loss(), cross_entropy_loss()]
unit = st.floats(0, 1)


@pytest.mark.parametrize("l_f", [0.0, 0.3, 1 - 1e-9, 1.0, 1 + 1e-9, 1.7])
def test_spread_is_the_sum_of_powers(l_f):
    """Hypothesis: S(t) equals the sum (S11), also as L_f -> 1, where it is sqrt(t + 1)."""
    for t in (0, 1, 5, 40):
        direct = math.sqrt(sum(l_f ** (2 * ell) for ell in range(t + 1)))
        assert theorem1.spread(l_f, t) == pytest.approx(direct, rel=1e-12)


def test_cross_entropy_is_torchs():
    """Hypothesis: the second loss is binary cross entropy with logits, summed over outputs."""
    y, target = 30 * torch.randn(50, 3).double(), torch.randint(2, (3,)).double()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        y, target.expand_as(y), reduction="none"
    ).sum(-1)
    torch.testing.assert_close(theorem1.cross_entropy(y, target), expected)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.integers(1, 4), st.floats(0.01, 30), st.integers(0, 2**31), st.sampled_from([True, False])
)
def test_lemma_2_holds_with_the_added_constants(n_y, size, seed, entropy):
    """Hypothesis: K0..K4 and Psi(0) bound both losses and their slopes on random pairs."""
    generator = torch.Generator().manual_seed(seed)
    loss = cross_entropy_loss(n_y) if entropy else squared_loss()
    y, z = size * torch.randn(2, 200, n_y, dtype=torch.float64, generator=generator)
    target = torch.randint(2, (n_y,), generator=generator).double()
    gap, l_y = (y - z).norm(dim=-1), float(target.norm())
    m = torch.maximum(y.norm(dim=-1), z.norm(dim=-1))
    change = (loss.function(y, target) - loss.function(z, target)).abs()
    assert (change <= (loss.k0 + loss.k1 * l_y + loss.k2 * m) * gap * (1 + 1e-9) + 1e-12).all()

    def psi(y):
        slope = torch.func.grad(lambda y: loss.function(y, target).sum())(y)
        return slope + loss.k3 * target

    assert ((psi(y) - psi(z)).norm(dim=-1) <= loss.k4 * gap * (1 + 1e-9) + 1e-12).all()
    bound = torch.as_tensor(loss.psi(y.norm(dim=-1).numpy()))
    assert (psi(y).norm(dim=-1) <= bound * (1 + 1e-9) + 1e-12).all()


def test_the_constants_of_lemma_2_are_attained():
    """Hypothesis: by errors that point away from the target, by scores at 0 and far from it."""
    squared = squared_loss()
    assert [squared.k0, squared.k3, squared.k4, squared.psi0] == [0, 2, 2, 0]  # l' = 2 y - 2 t
    for l_y, m in ((0.0, 1.0), (1.0, 0.0), (2.0, 3.0)):  # the slope at y = -m against l_y
        assert squared.slope(l_y, m) == 2 * (l_y + m)
    assert squared.psi(5.0) == 10
    for n_y in (1, 3):
        loss, zero = cross_entropy_loss(n_y), torch.zeros(n_y, dtype=torch.float64)
        slope = torch.func.grad(lambda y: theorem1.cross_entropy(y, torch.zeros_like(y)))
        assert loss.psi(0.0) == pytest.approx(float(slope(zero).norm()))
        far = float(slope(zero + 40).norm())  # sigmoid -> 1 in each output
        assert loss.slope(9.0, 99.0) == pytest.approx(far) and loss.psi(1e9) == pytest.approx(far)
        bend = torch.func.hessian(lambda y: theorem1.cross_entropy(y, torch.zeros_like(y)))(zero)
        assert loss.k4 == pytest.approx(float(torch.linalg.matrix_norm(bend, 2)))
        assert loss.k3 == 1  # the target's own factor


def test_lemma_2_without_k0_fails_for_cross_entropy():
    """Hypothesis: no K2 serves as printed; near zero with label 0 the needed one is unbounded."""
    zero = torch.zeros(1, dtype=torch.float64)
    needed = [
        float(theorem1.cross_entropy(zero + e, zero) - theorem1.cross_entropy(zero, zero)) / e**2
        for e in (1e-2, 1e-4)
    ]
    assert needed[0] > 40 and needed[1] > 4000


CELLS = st.one_of(
    st.builds(tanh_cell, st.floats(0.1, 1.6), st.just(1.0), st.floats(0.1, 2)),
    st.builds(tanh_cell, st.floats(0.1, 0.9), st.floats(0.1, 1), st.floats(0.1, 2)),
    st.builds(linear_cell, st.floats(0.1, 1), st.floats(0.1, 2), st.floats(0.02, 2)),
    st.builds(affine_cell, st.floats(-0.5, 0.5), st.floats(0.05, 0.5)),
    st.builds(biased_tanh_cell, st.floats(0.1, 1.6), st.floats(0.01, 2)),
)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(CELLS, st.integers(0, 2**31))
def test_premises_hold_on_the_box(cell, seed):
    """Hypothesis: the constants bound all first and second derivatives, and orbits stay inside."""
    p, n = cell.premises, len(cell.low)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(400, n, dtype=torch.float64, generator=generator)
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0]).double()] * n)
    points = cell.low + (cell.high - cell.low) * torch.cat([draw, corners])
    names = list(cell.system.theta)

    def along(map_):
        return lambda q: map_(q[:1], None, dict(zip(names, q[1:], strict=True)))[0]

    for map_, first, second in ((cell.system.f, p.l_f, p.dl_f), (cell.system.g, p.l_g, p.dl_g)):
        gradient = torch.func.vmap(torch.func.grad(along(map_)))(points)
        hessian = torch.func.vmap(torch.func.hessian(along(map_)))(points)
        assert gradient.norm(dim=-1).max() <= first * (1 + 1e-12)
        assert torch.linalg.matrix_norm(hessian, 2).max() <= second * (1 + 1e-12)
        if map_ is cell.system.f:
            assert gradient[:, 0].abs().max() <= p.l_x * (1 + 1e-12)
            assert gradient[:, 1:].norm(dim=-1).max() <= p.l_theta * (1 + 1e-12)
    theta = dict(zip(names, points[:, 1:].unbind(-1), strict=True))
    here = cell.system.at(theta)
    assert (here.step(points[:, :1]).abs() <= cell.high[0] * (1 + 1e-12)).all()
    assert here.read(points[:, :1]).abs().max() <= p.m * (1 + 1e-12)
    assert points.norm(dim=-1).max() <= p.radius * (1 + 1e-12)


@pytest.mark.parametrize(
    ("cell", "l_f", "dl_f"),
    [
        (tanh_cell(1.5, 1.0, 0.5), 1.0, 0.4),
        (tanh_cell(0.6, 0.5, 2.0), 0.9, 0.6),
        (tanh_cell(0.1, 0.1), 0.99, 0.95),
        (tanh_cell(0.9, 0.9), 0.85, 0.4),
        (linear_cell(0.8, 1.5, 2.0), 1.0, 1.0),
        (affine_cell(0.5, -0.3, 2.0), 1.0, 1.0),
        (biased_tanh_cell(0.5, 1.0), 0.99, 0.75),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_premises_are_attained_on_the_box(cell, l_f, dl_f):
    """Hypothesis: on a grid with the corners each constant is reached; of f's two joint ones the
    share that is asked, since there the proof bounds a sum by its parts."""
    p, n = cell.premises, len(cell.low)
    share = torch.cartesian_prod(*[torch.linspace(0, 1, 21, dtype=torch.float64)] * n)
    points = cell.low + (cell.high - cell.low) * share
    names = list(cell.system.theta)

    def derivatives(map_):
        def along(q):
            return map_(q[:1], None, dict(zip(names, q[1:], strict=True)))[0]

        first = torch.func.vmap(torch.func.grad(along))(points)
        second = torch.func.vmap(torch.func.hessian(along))(points)
        return first, float(torch.linalg.matrix_norm(second, 2).max())

    first, second = derivatives(cell.system.f)
    out, bend = derivatives(cell.system.g)
    theta = dict(zip(names, points[:, 1:].unbind(-1), strict=True))
    for constant, reached in (
        (p.l_f * l_f, first.norm(dim=-1).max()),
        (p.dl_f * dl_f, second),
        (p.l_x, first[:, 0].abs().max()),
        (p.l_theta, first[:, 1:].norm(dim=-1).max()),
        (p.l_g, out.norm(dim=-1).max()),
        (p.dl_g, bend),
        (p.m, cell.system.at(theta).read(points[:, :1]).abs().max()),
        (p.radius, points.norm(dim=-1).max()),
    ):
        assert constant <= float(reached) * (1 + 1e-12)
    assert p.l_y == 1 and cell.system.name == cell.name


@settings(deadline=None, derandomize=True, max_examples=20)
@given(CELLS, st.integers(0, 2**31))
def test_bounds_lie_above_every_measurement(cell, seed):
    """Hypothesis: the mended and the sharpened constants bound what a search finds."""
    targets = torch.randint(2, (12, 1), generator=torch.Generator().manual_seed(seed)).double()
    lengths = [1, 3, 12]
    found = measured_constants(
        cell, targets, lengths, LOSSES, rounds=4, children=8, digits=6, seed=seed
    )
    index = np.array(lengths) - 1
    for k, loss in enumerate(LOSSES):
        for bound in (
            theorem1.mended(cell.premises, loss, 12),
            theorem1.mended(cell.premises, loss, 12, confined=True),
            theorem1.sharp(cell.premises, loss, 12),
        ):
            assert (bound.l_v[index] >= found.l_v[k].numpy() * (1 - 1e-9)).all()
            assert (bound.dl_v[index] >= found.dl_v[k].numpy() * (1 - 1e-9)).all()


@settings(deadline=None, derandomize=True, max_examples=15)
@given(CELLS, st.integers(0, 2**31))
def test_bounds_hold_for_pairs_of_points(cell, seed):
    """Hypothesis: differences of the gradient, not only derivatives, obey the constants."""
    from rnnlib.smoothness.sensitivities import cost_derivatives, sensitivities

    draw = torch.rand(2, 64, len(cell.low), generator=torch.Generator().manual_seed(seed)).double()
    points, n = cell.low + (cell.high - cell.low) * draw, 8
    theta = dict(zip(cell.system.theta, points[..., 1:].unbind(-1), strict=True))
    s = sensitivities(cell.system.at(theta), points[..., :1], n, with_x0=True)
    gap = (points[0] - points[1]).norm(dim=-1)
    for loss in LOSSES:
        c = cost_derivatives(s, torch.ones(n, 1).double(), loss.function)
        bound = theorem1.sharp(cell.premises, loss, n)
        change = (c.value[-1, 0] - c.value[-1, 1]).abs()
        assert (change <= bound.l_v[-1] * gap * (1 + 1e-9)).all()
        bend = (c.gradient[-1, 0] - c.gradient[-1, 1]).norm(dim=-1)
        assert (bend <= bound.dl_v[-1] * gap * (1 + 1e-9)).all()


def test_printed_curvature_bound_is_violated_by_a_parabola():
    """Hypothesis: with L'_g in place of L_g^2 the printed L'_V is 0 for a linear system."""
    cell = affine_cell(0.5, 0.5)
    assert theorem1.printed(cell.premises, squared_loss(), 5).dl_v.max() == 0
    point = torch.zeros(1, 2, dtype=torch.float64)
    curvature = roughness_at(cell, point, torch.zeros(5, 1).double(), [5], [squared_loss()])
    assert curvature[1].item() > 1


def test_dropping_psi_at_zero_breaks_the_bound():
    """Hypothesis: without Psi(0) the constant lies below a curvature that is attained."""
    cell, loss = linear_cell(0.9, 0.1, gain=0.02), cross_entropy_loss()
    premises = cell.premises._replace(l_y=0.0)
    point = torch.tensor([[0.1, 0.9]], dtype=torch.float64)
    attained = roughness_at(cell, point, torch.zeros(5, 1).double(), [5], [loss])[1].item()
    without = theorem1.mended(premises, loss._replace(psi0=0.0), 5, confined=True).dl_v[-1]
    assert without < attained < theorem1.mended(premises, loss, 5, confined=True).dl_v[-1]


def test_rates_are_those_of_the_theorem():
    """Hypothesis: the mended constants grow as (6) and (7), the sharpened ones as claimed."""
    n = np.arange(1000, 2001, 100)
    at = n - 1
    for loss, slope in ((squared_loss(), 1.0), (cross_entropy_loss(), 0.5)):
        slow = theorem1.mended(tanh_cell(1.0).premises, loss, 2000)
        assert power_law(n, slow.l_v[at]).slope == pytest.approx(slope, abs=0.05)
        curvature = 3.0 if slope == 1.0 else 2.5
        assert power_law(n, slow.dl_v[at]).slope == pytest.approx(curvature, abs=0.1)
        sharp = theorem1.sharp(tanh_cell(1.0).premises, loss, 2000)
        assert power_law(n, sharp.l_v[at]).slope == pytest.approx(0.5, abs=0.02)
        assert power_law(n, sharp.dl_v[at]).slope == pytest.approx(2.0, abs=0.02)
    state = theorem1.sharp(linear_cell(1.0, 1.0).premises, squared_loss(), 2000)
    assert power_law(n, state.l_v[at]).slope == pytest.approx(1, abs=0.02)
    assert power_law(n, state.dl_v[at]).slope == pytest.approx(3, abs=0.02)
    fast, n = tanh_cell(1.25).premises, np.arange(60, 100)
    log = math.log(1.25)
    printed_like = theorem1.mended(fast, squared_loss(), 99)
    sharp = theorem1.sharp(fast, squared_loss(), 99)
    for bound, powers in ((printed_like, (2, 3)), (sharp, (1, 2))):
        for values, power in zip(bound, powers, strict=True):
            rate = exponential_rate(n, n * values[n - 1]).slope / log
            assert rate == pytest.approx(power, abs=0.02)
    # contracting in the state although the joint constant exceeds one
    calm = linear_cell(0.8, 1.0)
    assert calm.premises.l_f > 1
    bound = theorem1.sharp(calm.premises, squared_loss(), 400)
    assert bound.l_v[-1] < 1.05 * bound.l_v[100] and bound.dl_v[-1] < 1.1 * bound.dl_v[100]


def test_sharpened_constants_are_never_above_the_mended_ones():
    """Hypothesis: the short proof gives the smaller number for every cell, loss and length."""
    for cell in (tanh_cell(0.6, 0.6), tanh_cell(1.0), tanh_cell(1.5), linear_cell(1.0, 1.0)):
        for loss in LOSSES:
            sharp = theorem1.sharp(cell.premises, loss, 60)
            mended = theorem1.mended(cell.premises, loss, 60, confined=True)
            assert (sharp.l_v <= mended.l_v * (1 + 1e-12)).all()
            assert (sharp.dl_v <= mended.dl_v * (1 + 1e-12)).all()


def test_bad_input_is_named():
    """Hypothesis: wrong arguments raise a ValueError that names them."""
    p = tanh_cell(1.0).premises
    for call, words in (
        (lambda: theorem1.spread(-1.0, 3), "l_f is -1"),
        (lambda: theorem1.spread(math.nan, 3), "l_f is nan"),
        (lambda: theorem1.spread(1.0, -1), "t has the value -1"),
        (lambda: theorem1.sharp(p, squared_loss(), 0), "n is 0"),
        (lambda: theorem1.mended(p, squared_loss(), 0), "n is 0"),
        (lambda: tanh_cell(1.5, 0.5), "r=0.5"),
        (lambda: linear_cell(1.5, 1.0), "a=1.5"),
        (lambda: affine_cell(0.9, 0.9), "b=0.9"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(("w", "n"), [(1.1, 100), (1.25, 40), (2.0, 20)])
def test_the_sharpened_rates_are_attained_by_the_parameters_alone(w, n):
    """Hypothesis: with x0 given, slope and curvature of x' = tanh(w x + b) at (w, 0) have closed
    forms that grow as w^N / N and w^2N / N, and stay under the sharpened bound by a factor that
    does not grow."""
    cell, lengths = biased_tanh_cell(w), [n, 2 * n]
    t = torch.arange(1, 2 * n + 1, dtype=torch.float64)
    d = (w**t - 1) / (w - 1)
    point = torch.tensor([[0.7, w, 0.0]], dtype=torch.float64)  # its x0 is not used
    slope, bend = roughness_at(cell, point, torch.ones(2 * n, 1).double(), lengths, LOSSES[:1])
    bound = theorem1.sharp(cell.premises, LOSSES[0], 2 * n)
    loose = []
    for k, n in enumerate(lengths):
        assert slope[0, k, 0] == pytest.approx(2 / n * d[:n].sum().item(), rel=1e-9)
        # the curvature by (w, b) is at least that by b, and the entry of w is 0 at x = 0
        assert bend[0, k, 0] >= 2 / n * d[:n].square().sum().item() * (1 - 1e-9)
        ratio = (bound.l_v[n - 1] / slope[0, k, 0], bound.dl_v[n - 1] / bend[0, k, 0])
        loose.append([float(r) for r in ratio])
    assert all(1 <= b <= 1.05 * a for a, b in zip(*loose, strict=True))


def test_at_the_pitchfork_the_orbit_has_the_scaling_form_that_gives_the_rates():
    """Hypothesis: x_t(w) = t^(-1/2) Phi((w - 1) t), so that four times the length doubles the
    derivative by w and makes the second eight times as large: sqrt(N) and N^(3/2)."""

    def orbit(t, u):
        w = 1 + u / t
        x, first, second = 0.9, 0.0, 0.0
        for _ in range(t):
            s = 1 / math.cosh(w * x) ** 2  # tanh', and tanh'' = -2 tanh tanh'
            bend = -2 * math.tanh(w * x) * s
            slope = w * first + x
            x, first, second = (
                math.tanh(w * x),
                s * slope,
                s * (w * second + 2 * first) + bend * slope**2,
            )
        return math.sqrt(t) * x, first / math.sqrt(t), second / t**1.5

    for u in (-2.0, 0.0, 2.0):
        for short, long in zip(orbit(4000, u), orbit(16000, u), strict=True):
            assert short == pytest.approx(long, rel=0.02)


PRIMES = theorem1.Premises(
    l_f=2.0, l_x=1.5, l_theta=0.5, l_g=3.0, dl_f=5.0, dl_g=7.0, m=11.0, radius=13.0, l_y=17.0
)
LOSS = theorem1.Loss(None, k0=1, k1=2, k2=3, k3=4, k4=5, psi0=6, psi_max=math.inf, name="none")
S0, S1, S2 = 1.0, math.sqrt(1 + 4), math.sqrt(1 + 4 + 16)  # S(t) for L_f = 2


def average(one, two):
    """What two steps make of N = 1 and N = 2."""
    return pytest.approx([one, (one + two) / 2], rel=1e-12)


def test_the_printed_constants_of_one_and_two_steps_are_those_of_the_supplement():
    """Hypothesis: B.3 and B.4 written out for t = 1 and 2; lemma 2's K1 is k0 + k1 here."""
    m1, m2 = 3 * S1 * 13, 3 * S2 * 13  # footnote 4
    found = theorem1.printed(PRIMES, LOSS, 2)
    assert found.l_v == average(3 * (3 * 17 + 3 * m1) * S1, 3 * (3 * 17 + 3 * m2) * S2)
    t1, t2 = 5 * (7 * m1 + 7), 5 * (7 * m2 + 7)
    p11 = 3 * 5 * S1 + 2 * 7 * S1
    q11 = 5 * m1 * 3 * 5 * S1 + 2 * t1 * S1
    p21, p22 = 2 * (3 * 5 * (S1 + S2) + 2 * 7 * S2), 3 * 5 * S2 + 2 * 7 * S2
    q21, q22 = 2 * (5 * m2 * 3 * 5 * (S1 + S2) + 2 * t2 * S2), 5 * m2 * 3 * 5 * S2 + 2 * t2 * S2
    one = 4 * 17 * (p11 + 7 * S1) + q11 + t1 * S1
    two = 4 * 17 * (p21 + p22 + 7 * S2) + q21 + q22 + t2 * S2
    assert found.dl_v == average(one, two)


@pytest.mark.parametrize("confined", [False, True])
def test_the_mended_constants_of_one_and_two_steps_follow_the_products_of_s14(confined):
    """Hypothesis: J_1 = C_1 (A_0, B_0) + F_1 and J_2 = C_2 (A_1 A_0, A_1 B_0 + B_1) + F_2, each
    product bounded by lemma 1: one factor moves, by S of its own step, and the others stay."""
    m1, m2 = (11, 11) if confined else (3 * S1 * 13, 3 * S2 * 13)
    found = theorem1.mended(PRIMES, LOSS, 2, confined=confined)
    slope1, slope2 = 1 + 2 * 17 + 3 * m1, 1 + 2 * 17 + 3 * m2
    assert found.l_v == average(3 * slope1 * S1, 3 * slope2 * S2)

    def terms(c, dc, s_t, *behind):
        """Of C times a product of f's derivatives at the steps behind, each of norm L_f = 2."""
        others = 2.0 ** (len(behind) - 1)
        return dc * s_t * 2 * others + c * 5 * sum(behind) * others

    def curvature(m, s_t, products):
        psi = 6 + 5 * m
        j = sum(terms(3, 7, s_t, *steps) for steps in products) + 7 * s_t
        # J^T Psi: C^T Psi moves as T, and is of size L_g Psi
        t = psi * 7 + 5 * 3 * 3
        j_psi = sum(terms(3 * psi, t, s_t, *steps) for steps in products) + t * s_t
        return 4 * 17 * j + j_psi

    one = curvature(m1, S1, [(S0,), (S0,)])  # B_0 and A_0
    two = curvature(m2, S2, [(S1,), (S1, S0), (S1, S0)])  # B_1, A_1 B_0 and A_1 A_0
    assert found.dl_v == average(one, two)


def test_the_sharpened_constants_of_one_and_two_steps_are_those_of_their_recursion():
    """Hypothesis: with r_t the smaller of S(t) and of what L_x and L_theta give, here the latter;
    the loss is as steep as the smaller of lemma 2's two bounds says."""
    r1 = math.sqrt(1 + 1.5**2 + 0.5**2)
    r2 = math.sqrt(1 + 1.5**4 + (0.5 * (1 + 1.5)) ** 2)
    assert theorem1.reach(PRIMES, 2) == pytest.approx([1, r1, r2], rel=1e-12)
    spread = theorem1.reach(PRIMES._replace(l_theta=50.0), 2)
    assert spread == pytest.approx([1, S1, S2], rel=1e-12)
    delta1 = 5 * 1**2
    delta2 = 1.5 * delta1 + 5 * r1**2
    for loss, steepest in (
        (LOSS, 1 + 2 * 17 + 3 * 11),
        (LOSS._replace(k2=30), 6 + 5 * 11 + 4 * 17),
    ):
        found = theorem1.sharp(PRIMES, loss, 2)
        assert found.l_v == average(steepest * 3 * r1, steepest * 3 * r2)
        bend1, bend2 = 3 * delta1 + 7 * r1**2, 3 * delta2 + 7 * r2**2
        one, two = (steepest * bend + 5 * 3**2 * r**2 for bend, r in ((bend1, r1), (bend2, r2)))
        assert found.dl_v == average(one, two)

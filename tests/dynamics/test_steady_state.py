"""The words of `steady_state`, each with systems of which it is true and of which it is not."""

import math
import re
from dataclasses import fields, replace

import pytest
import torch

import rnnlib
from benchmarks.known_steady_states import SETTLING, UNKNOWN, families, hopf, turn
from benchmarks.steady_states import count, table
from rnnlib import simulate
from rnnlib.dynamics import SteadyStateRules
from rnnlib.systems import X0, elman, line

F64 = {"dtype": torch.float64}
ONE = torch.tensor([1.0], **F64)
PLANE = torch.tensor([1.0, 0.0], **F64)
GOLDEN = math.pi * (3 - math.sqrt(5))


def rotation(angle: float, radius: float = 1.0) -> torch.Tensor:
    return turn(torch.tensor(angle, **F64), radius)


def scalar(step):
    return rnnlib.from_function(lambda x, theta: step(x), 1)


# --- the counted benchmark, a third of it ---


def test_no_word_is_wrong_on_a_third_of_the_known_systems():
    """Hypothesis: a short budget leaves more open, each with a reason, but no word is wrong."""
    counts = [c for family in families()[::3] for c in count(family, budget=8000)]
    assert len(counts) > 180
    assert not [c for c in counts if c.verdict == "WRONG"], table(counts)
    assert all(c.reason for c in counts if c.said in (SETTLING, UNKNOWN))
    assert sum(c.verdict == "open" for c in counts) < 0.3 * len(counts), table(counts)


def test_the_benchmark_has_hundreds_of_systems_of_every_kind_and_counts_a_wrong_word():
    """Hypothesis: its table would show a wrong word; a family with other words is all wrong."""
    every = families()
    assert sum(len(family.words) for family in every) >= 300
    node = next(family for family in every if family.name == "node")
    counts = count(node._replace(words=[("chaotic",)] * len(node.words)), budget=100)
    assert {c.verdict for c in counts} == {"WRONG"}
    assert f"{len(counts)} wrong words" in table(counts)


# --- fixed points and cycles ---


def test_the_logistic_map_goes_through_all_its_kinds():
    """Hypothesis: fixed points, periods 2, 4, 3, chaos and escape at their textbook values."""
    r = torch.tensor([0.5, 2.0, 3.2, 3.5, 3.83, 3.9, 4.5], **F64)
    found = rnnlib.steady_state(rnnlib.logistic(r), torch.tensor([0.3], **F64))
    words = ["fixed point"] * 2 + ["period 2", "period 4", "period 3", "chaotic", "unbounded"]
    assert [found.describe((i,)) for i in range(7)] == words
    assert found.kind.tolist()[2:5] == ["periodic"] * 3
    assert found.period.tolist() == [1, 1, 2, 4, 3, 0, 0]
    assert found.stability.tolist() == ["stable"] * 5 + ["", ""]
    assert (found.residual[:5] < 1e-12).all() and found.settled.all()
    assert 0.45 < found.exponent[5] < 0.55 and found.exponent[6].isnan()
    assert found.residual[5] > 1e-2


def test_the_exponent_at_a_fixed_point_or_cycle_is_exact():
    """Hypothesis: ln |2 - r| at the fixed point of the logistic map, ln |4 + 2 r - r^2| / 2 on its
    2-cycle, and ln of the spectral radius, though the orbit is still on its way."""
    found = rnnlib.steady_state(rnnlib.logistic(torch.tensor([2.7, 3.2, 2.99], **F64)), 0.3 * ONE)
    exact = [math.log(0.7), math.log(abs(4 + 6.4 - 3.2**2)) / 2, math.log(0.99)]
    assert found.exponent.tolist() == pytest.approx(exact, rel=1e-9)
    assert found.exponent_error.tolist() == [0, 0, 0]
    slow = rnnlib.steady_state(rnnlib.linear(rotation(0.3, 0.9999)), PLANE)
    assert not slow.settled and slow.exponent == pytest.approx(math.log(0.9999), rel=1e-9)


@pytest.mark.parametrize(
    ("matrix", "away"),
    [
        (torch.tensor([[-0.997]], **F64), 0.997**4000),
        (rotation(2 * math.pi / 5, 0.9972), 0.9972**4000),
        (torch.tensor([[0.999997]], **F64), 0.999997**4000),
        (rotation(0.3, 0.999997), 0.999997**4000),
    ],
)
def test_a_slow_approach_is_a_fixed_point_that_is_not_reached_and_every_text_says_so(matrix, away):
    """Hypothesis: neither the turns of a spiral nor the flips of a node are cycles."""
    x0 = torch.eye(len(matrix), **F64)[0]
    found = rnnlib.steady_state(rnnlib.linear(matrix), x0)
    assert found.kind == "fixed point" and found.period == 1 and found.stability == "stable"
    assert not found.settled
    for text in (found.describe(), found.explain(), repr(found)):
        assert "fixed point, not reached yet" in text
    told = re.fullmatch(
        "it tends there: (.*) away, shrinking e-fold in (.*) steps", str(found.reason)
    )
    assert float(told[1]) <= away * 1.06 and found.end.abs().max() < 1e-12
    rate = torch.linalg.eigvals(matrix).abs().max().item()
    assert float(told[2]) == pytest.approx(-1 / math.log(rate), rel=6e-3)


def test_the_time_that_a_slow_cycle_takes_is_told_in_steps():
    """Hypothesis: near its birth the logistic 2-cycle shrinks by 4 + 2 r - r^2 in two steps."""
    r = 3.0005
    found = rnnlib.steady_state(rnnlib.logistic(r), 0.3 * ONE, budget=5000)
    assert found.describe() == "period 2, not reached yet"
    steps = -2 / math.log(4 + 2 * r - r**2)
    assert f"shrinking e-fold in {steps:.3g} steps" in str(found.reason)


def test_the_tolerance_is_the_part_of_the_way_that_may_be_left():
    """Hypothesis: after 1000 steps of 0.99 that part is 0.99^1000 = 4e-5."""
    system = rnnlib.linear(torch.tensor([[0.99]], **F64))
    arrived = [
        bool(rnnlib.steady_state(system, 7 * ONE, burn_in=500, steps=500, tolerance=t).settled)
        for t in (3e-5, 6e-5)
    ]
    assert arrived == [False, True]


def test_a_fixed_point_that_repels_says_so():
    """Hypothesis: 0 is one of a network of gain 3; the exponent is ln of the spectral radius."""
    generator = torch.Generator().manual_seed(0)
    w = 3 * torch.randn(20, 20, generator=generator, **F64) / 20**0.5
    found = rnnlib.steady_state(elman(w), torch.zeros(20, **F64))
    assert found.describe() == "unstable fixed point" and found.settled
    exact = torch.linalg.eigvals(w).abs().max().log()
    assert found.exponent == pytest.approx(float(exact), rel=1e-9)
    rest = rnnlib.steady_state(scalar(lambda x: x), ONE)
    assert rest.describe() == "neutral fixed point" and rest.exponent == 0


def test_at_the_flip_nothing_is_claimed_and_beside_it_the_right_thing():
    """Hypothesis: at r = 3 the state flips about its limit by 1 / sqrt(t), so the steps shorten by
    16 % from [4000, 6000] to [6000, 8000]; below is a fixed point, above a 2-cycle, and chaos
    beside them is seen."""
    r = torch.tensor([2.999, 3.0, 3.001, 3.9], **F64)
    found = rnnlib.steady_state(rnnlib.logistic(r), 0.3 * ONE, budget=8000)
    assert found.kind.tolist() == ["fixed point", "still settling", "periodic", "chaotic"]
    assert found.period.tolist() == [1, 0, 2, 0]
    part = 1 - (8000**0.5 - 6000**0.5) / (6000**0.5 - 4000**0.5)
    told = f"after 8000 steps its steps shorten by {100 * part:.2g} % from half to half"
    assert found.reason[1] == told


def test_an_orbit_beside_an_attractor_does_not_count_as_on_its_way():
    """Hypothesis: outside the repelling radius 1/2 a circle of radius 1 attracts, and Newton's
    method, which finds the sink at 0 from everywhere, decides nothing."""
    x0 = torch.tensor([[0.49, 0.0], [0.51, 0.0]], **F64)
    found = rnnlib.steady_state(rnnlib.from_step(ring, 2), x0)
    assert found.kind.tolist() == ["fixed point", "quasi-periodic"]


def test_a_cycle_longer_than_looked_for_says_so():
    """Hypothesis: a shift of period 100, and a locked circle of period 7 with max_period 6."""
    shift = torch.eye(100, **F64).roll(1, 0)
    x0 = torch.linspace(0, 1, 100, **F64) ** 2
    found = rnnlib.steady_state(rnnlib.linear(shift), x0)
    assert found.describe() == "neutral period 100" and "longer than max_period=64" in repr(found)
    assert found.exponent.abs() < 1e-12

    def ring(x):  # an attracting cycle: radius pulled to 1, angle advanced by 2 pi / 7
        radius = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        angle = torch.atan2(x[..., 1:], x[..., :1])
        angle = angle + 2 * math.pi / 7 - 0.1 * torch.sin(7 * angle) / 7
        return radius.sqrt() * torch.cat([angle.cos(), angle.sin()], dim=-1)

    system, x0 = rnnlib.from_step(ring, n_x=2), torch.tensor([0.5, 0.3], **F64)
    short, enough = (
        rnnlib.steady_state(system, x0, burn_in=500, steps=500, max_period=p) for p in (6, 7)
    )
    assert short.describe() == enough.describe() == "period 7"
    assert "longer than max_period=6" in str(short.reason) and enough.reason == ""
    assert short.exponent == pytest.approx(float(enough.exponent), rel=1e-6)


def test_every_period_of_a_contraction_that_jumps_is_the_period():
    """Hypothesis: x -> 0.99 x + c mod 1 ends in cycles of any length, each found or forecast."""
    c = torch.linspace(0.01, 0.99, 60, **F64)
    jumps = rnnlib.from_function(
        lambda x, theta: torch.remainder(0.99 * x + theta["c"][..., None], 1), 1, {"c": c}
    )
    found = rnnlib.steady_state(jumps, torch.tensor([0.1], **F64), burn_in=100, steps=300)
    assert (found.period > 64).sum() > 20 and (found.settled.logical_not()).sum() >= 5
    end = simulate(jumps, torch.tensor([0.1], **F64), 1200, burn_in=6000)[..., 0]
    for i, period in enumerate(found.period.tolist()):
        recurs = (end[1:] - end[0]).abs()[:, i] < 1e-12
        assert period == 1 + int(recurs.int().argmax())
    assert found.exponent.tolist() == pytest.approx([math.log(0.99)] * 60, rel=1e-6)
    assert found.exponent_error.max() < 1e-9 and found.residual[found.settled].max() < 1e-6


def test_a_recurrence_is_judged_at_the_size_of_the_state():
    """Hypothesis: an exact 2-cycle at 1e6 is one; one that grows by 1e-9 in two steps is not."""

    def flip(x, theta):
        return torch.where(x > 0, -x * (1 + theta["growth"][..., None]), -x)

    system = rnnlib.from_function(flip, 1, {"growth": torch.tensor([0.0, 1e-9], **F64)})
    found = rnnlib.steady_state(system, 1e6 * ONE, burn_in=10, steps=100, budget=2000)
    assert found.describe((0,)) == "neutral period 2"
    assert found.kind[1] == "undetermined" and found.reason[1]


def test_an_orbit_that_has_died_down_to_rounding_errors_is_at_its_fixed_point():
    """Hypothesis: near 0 the errors of 1 + x - 1 make cycles of size 1e-16, which mean nothing."""
    system = scalar(lambda x: 1 - (1 + 0.9 * x))
    found = rnnlib.steady_state(system, ONE)
    assert found.describe() == "fixed point"


# --- circles, chaos, growth ---


def test_an_irrational_rotation_is_quasi_periodic_and_a_rational_one_periodic():
    """Hypothesis: the golden angle never recurs, with exponent zero; 2 pi / 7 has period 7."""
    system = rnnlib.linear(torch.stack([rotation(GOLDEN), rotation(2 * math.pi / 7)]))
    found = rnnlib.steady_state(system, PLANE, burn_in=100, steps=1000)
    assert [found.describe((i,)) for i in range(2)] == ["quasi-periodic", "neutral period 7"]
    assert found.period.tolist() == [0, 7] and found.settled.all()
    assert found.exponent.abs().max() < 1e-9
    # of all periods up to 64, 55 comes nearest to a whole number of golden turns
    assert found.residual[0].item() == pytest.approx(2 * abs(math.sin(55 * GOLDEN / 2)), rel=0.02)


def test_a_nearly_rational_rotation_that_has_not_gone_round_is_left_open():
    """Hypothesis: 2 pi (1/7 + 1e-9) looks like a cycle that drifts; nobody can tell by then."""
    system = rnnlib.linear(rotation(2 * math.pi * (1 / 7 + 1e-9)))
    found = rnnlib.steady_state(system, PLANE, budget=10_000)
    assert found.kind == "undetermined" and "goes round" in str(found.reason)


def test_a_spiral_onto_a_circle_is_no_circle_before_it_has_arrived():
    """Hypothesis: at mu = 3e-4 the radius shrinks as exp(-6e-4 t), to be seen for 1e4 steps."""
    system = hopf(torch.tensor(3e-4, **F64), GOLDEN)
    short, enough = (
        rnnlib.steady_state(system, 0.3 * PLANE, budget=budget) for budget in (8000, 40_000)
    )
    assert short.kind == "still settling" and not short.settled
    assert enough.kind == "quasi-periodic"


def test_the_chaotic_lstm_changes_kind_along_s():
    """Hypothesis: sink, period 3, chaos, a periodic window, period 4, in this order of s."""
    s = torch.tensor([0.6, 0.8, 1.0, 1.33, 1.8], **F64)
    found = rnnlib.steady_state(line()(s), X0)
    words = [found.describe((i,)) for i in range(5)]
    assert words == ["fixed point", "period 3", "chaotic", "period 12", "period 4"]


def test_growth_without_bound_is_neither_chaos_nor_a_circle_nor_a_fixed_point():
    """Hypothesis: a drift from far away and growth by 0.2 % a step are unbounded, still growing."""
    drift = rnnlib.steady_state(scalar(lambda x: x + 1), 2e6 * ONE)
    slow = rnnlib.steady_state(scalar(lambda x: 1.002 * x), ONE)
    for found in (drift, slow):
        assert found.describe() == "unbounded, still growing" and not found.settled
        assert "still grows" in repr(found)
    rules = SteadyStateRules(growth=1e3)
    some = rnnlib.steady_state(scalar(lambda x: 1.002 * x), ONE, budget=8000, rules=rules)
    # of the stretches from 2000 to 4000 and from 4000 to 8000
    factor = (1.002**8000 - 1.002**4001) / (1.002**4000 - 1.002**2001)
    told = f"its extent grew by a factor of {factor:.2g} over 8000 steps and still grows"
    assert str(some.reason) == told and not some.settled
    early = rnnlib.steady_state(scalar(lambda x: x + 1), 2e6 * ONE, budget=10_000)
    assert early.kind == "undetermined" and "grows" in str(early.reason)


def test_beyond_the_bound_and_not_a_number_are_unbounded_and_neighbours_are_untouched():
    """Hypothesis: by default only what overflows has left; a NaN start has; its neighbour not."""
    x0 = torch.tensor([[torch.nan], [0.3]], **F64)
    found = rnnlib.steady_state(rnnlib.logistic(2.5), x0, burn_in=50, steps=50)
    assert found.kind.tolist() == ["unbounded", "fixed point"] and found.settled.all()
    assert found.exponent[0].isnan()
    rest = scalar(lambda x: x)
    assert rnnlib.steady_state(rest, 1e9 * ONE).kind == "fixed point"
    assert rnnlib.steady_state(rest, 1e9 * ONE, bound=1e8).kind == "unbounded"
    assert rnnlib.steady_state(rest, -1e9 * ONE, bound=1e8).kind == "unbounded"
    swap = rnnlib.from_step(lambda x: x.flip(-1), 2)  # only one of its two components is beyond
    apart = torch.tensor([0.1, 5.0], **F64)
    assert rnnlib.steady_state(swap, apart, bound=1.0).kind == "unbounded"
    assert rnnlib.steady_state(swap, apart, bound=5.0).describe() == "neutral period 2"


@pytest.mark.parametrize(
    "family", [f for f in families() if f.group == "scaled"], ids=lambda f: f.name
)
def test_a_verdict_does_not_depend_on_units_or_origin(family):
    """Hypothesis: the words are the same for a state times 1e-6 or 1e6, shifted or not."""
    budget = 130_000 if family.name == "drift" else 12_000
    found = rnnlib.steady_state(family.system, family.x0, budget=budget)
    assert len(set(found.kind.tolist())) == 1, found
    assert len(set(found.settled.tolist())) == 1, found


# --- the rules and the options ---

CIRCLE = rnnlib.linear(rotation(GOLDEN))
GROWTH, DRIFT = scalar(lambda x: 1.002 * x), scalar(lambda x: x + 1)
SLOW = scalar(lambda x: 0.9995 * x)
BENT = scalar(lambda x: x - 1e-4 * torch.expm1(x))  # Newton needs five steps from 1/2
EASED = scalar(lambda x: x - 5e-4 * x / (1 + x**2))  # slower, away from 0, than it is at 0
TOUCHED = scalar(lambda x: x + 1e-4 * (1 - x / 1e4) ** 2)  # drifts to a neutral point at 1e4
# 8 and 3 change places; from elsewhere to 0. One step from 8, and from its parts, leads nearer.
EXCHANGE = scalar(
    lambda x: torch.where(x > 6, 3 + (x - 8) / 2, x / 2) + 6.5 * (x - 3).abs().lt(0.5)
)


def ring(x):
    """Outside the repelling radius 1/2 a circle of radius 1 attracts, inside the point 0."""
    r = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return (1 + 0.2 * (r - 0.5) * (1 - r)) * (x @ rotation(GOLDEN).T)


CHANGED = [
    # rule, value, system, start, word by default, word with it, other rules
    ("neutral", 1e-2, SLOW, ONE, "fixed point", "still settling", {}),
    ("rest", 1e11, scalar(lambda x: x + 1e-4), 2e3 * ONE, "undetermined", "fixed point", {}),
    ("newton", 1, SLOW, ONE, "fixed point", "still settling", {}),
    ("hopeless", 0, BENT, 8 * ONE, "fixed point", "still settling", {}),
    ("parts", (0.25,), rnnlib.from_step(ring, 2), PLANE, "quasi-periodic", "fixed point", {}),
    ("trial", 1, EXCHANGE, 8 * ONE, "periodic", "fixed point", {}),
    ("pull", 1, EASED, ONE, "fixed point", "still settling", {}),
    (
        "regular",
        1e-12,
        rnnlib.linear(rotation(GOLDEN / 20)),
        PLANE,
        "quasi-periodic",
        "undetermined",
        {},
    ),
    ("turns", 1e5, CIRCLE, PLANE, "quasi-periodic", "undetermined", {}),
    ("flat", -1, CIRCLE, PLANE, "quasi-periodic", "undetermined", {}),
    ("stationary", 1e-9, rnnlib.henon(), 0 * PLANE, "chaotic", "undetermined", {}),
    ("sigmas", 1e3, rnnlib.henon(), 0 * PLANE, "chaotic", "undetermined", {}),
    ("halves", 2, rnnlib.henon(), 0 * PLANE, "chaotic", "undetermined", {}),
    ("nats", 1e5, rnnlib.henon(), 0 * PLANE, "chaotic", "undetermined", {}),
    ("growth", 1e3, GROWTH, ONE, "undetermined", "unbounded", {}),
    ("growing", 1e6, GROWTH, ONE, "unbounded", "undetermined", {"growth": 1e3}),
    ("doublings", 1, DRIFT, ONE, "undetermined", "unbounded", {}),
    ("even", 0, DRIFT, ONE, "unbounded", "undetermined", {"doublings": 1}),
    ("straight", 1.1, DRIFT, ONE, "unbounded", "undetermined", {"doublings": 1}),
    ("ahead", 1e3, TOUCHED, 0 * ONE, "undetermined", "unbounded", {"doublings": 1}),
]


@pytest.mark.parametrize(
    ("name", "value", "system", "x0", "before", "after", "others"),
    CHANGED,
    ids=[c[0] for c in CHANGED],
)
def test_every_rule_decides(name, value, system, x0, before, after, others):
    rules = SteadyStateRules(**others)
    words = [
        rnnlib.steady_state(system, x0, budget=8000, rules=r)
        for r in (rules, replace(rules, **{name: value}))
    ]
    assert [str(found.kind) for found in words] == [before, after]


def test_the_table_of_rules_leaves_none_out():
    """Hypothesis: ``sharp`` decides whether a root counts as reached, not the word."""
    assert {c[0] for c in CHANGED} | {"sharp"} == {f.name for f in fields(SteadyStateRules)}


def test_the_budget_is_kept():
    """Hypothesis: no more steps are taken than were allowed, trials at a root aside."""
    taken = []

    def step(x):
        taken.append(1)
        return x + 1

    rnnlib.steady_state(rnnlib.from_step(step, 1), ONE, burn_in=100, steps=500, budget=3000)
    assert 3000 <= len(taken) <= 3000 + 100


@pytest.mark.parametrize(
    ("options", "spent"),
    [
        ({"burn_in": 100, "steps": 500, "budget": 3000}, 3000),  # 500, 1000, 1400
        ({"burn_in": 100, "steps": 500, "budget": 2000}, 1600),  # what is left is under 500
        ({"burn_in": 100, "steps": 500, "budget": 8300}, 7600),  # or under a quarter of the last
        ({"burn_in": 100, "steps": 500, "budget": 8800}, 8800),
        ({"burn_in": 0, "steps": 1, "budget": 0}, 3 * 64),  # one stretch is always watched
        ({"burn_in": 7, "steps": 1, "budget": 0, "max_period": 2}, 7 + 16),
    ],
)
def test_stretches_double_until_what_is_left_is_too_short_to_tell_more(options, spent):
    found = rnnlib.steady_state(DRIFT, ONE, **options)
    assert str(found.reason).startswith(f"after {spent} steps ")


def test_a_cycle_of_the_longest_period_looked_for_is_found_by_its_root():
    """Hypothesis: period 4 with max_period 4 has no reason, with 3 it says that it is longer."""
    four, three = (
        rnnlib.steady_state(rnnlib.logistic(3.5), 0.3 * ONE, max_period=p) for p in (4, 3)
    )
    assert four.describe() == three.describe() == "period 4"
    assert four.reason == "" and three.reason == "longer than max_period=3"
    assert three.exponent.item() == pytest.approx(four.exponent.item(), rel=1e-9)
    assert three.residual < 1e-12 and three.settled and three.exponent_error < 1e-9


def test_a_batch_over_parameters_and_starts_is_the_orbits_one_by_one():
    """Hypothesis: shape (2, 3) of three parameters and two starts, on any axes."""
    r = torch.tensor([2.5, 3.2, 3.9], **F64)
    x0 = torch.tensor([0.2, 0.6], **F64)[:, None, None].expand(2, 3, 1)
    found = rnnlib.steady_state(rnnlib.logistic(r), x0)
    assert found.kind.shape == (2, 3) and found.end.shape == (2, 3, 1)
    for i in range(2):
        for j in range(3):
            alone = rnnlib.steady_state(rnnlib.logistic(r[j]), x0[i, j])
            assert alone.describe() == found.describe((i, j))
    assert "0, 2: chaotic" in repr(found)


def test_a_step_that_hides_a_batch_axis_is_refused():
    hidden = torch.tensor([0.5, 0.6, 0.7], **F64)[:, None]
    with pytest.raises(ValueError, match="Give them to rnnlib.from_function as theta"):
        rnnlib.steady_state(rnnlib.from_step(lambda x: hidden * x, 1), torch.ones(3, 1, **F64))


def test_an_interrupt_in_the_burn_in_leaves_all_undetermined():
    left = list(range(20))

    def step(x):
        if left.pop() == 0:
            raise KeyboardInterrupt
        return 0.5 * x

    with pytest.warns(UserWarning, match="interrupted after 0 steps"):
        found = rnnlib.steady_state(rnnlib.from_step(step, 1), torch.ones(3, 1, **F64))
    assert found.kind.tolist() == ["undetermined"] * 3 and not found.settled.any()
    assert torch.equal(found.end, torch.ones(3, 1, **F64))


def test_what_is_done_is_kept_when_interrupted():
    """Hypothesis: a fixed point and a cycle keep their words, and two drifts say that they were cut
    off, wherever among the orbits each stands."""
    calls = []

    def step(x, theta):
        calls.append(1)
        if len(calls) > 5000:
            raise KeyboardInterrupt
        return theta["gain"][..., None] * x + theta["shift"][..., None]

    gain, shift = torch.tensor([[1.0, 0.5, 1.0, -1.0], [1.0, 0.0, 2.0, 0.0]], **F64)
    system = rnnlib.from_function(step, 1, {"gain": gain, "shift": shift})
    with pytest.warns(UserWarning, match="steady_state was interrupted after") as caught:
        found = rnnlib.steady_state(system, torch.full((4, 1), 3.0, **F64))
    assert caught.pop(UserWarning).filename == __file__  # it points at the call
    words = [found.describe((i,)) for i in range(4)]
    assert words == ["undetermined", "fixed point", "undetermined", "neutral period 2"]
    assert found.settled.tolist() == [False, True, False, True]
    cut = [reason.startswith("interrupted after") for reason in found.reason]
    assert cut == [True, False, True, False]
    assert found.end[1] == 0 and found.end[3].abs() == 3
    assert found.end[2] - 3 == 2 * (found.end[0] - 3) > 2000


def test_progress_shows_how_much_of_the_budget_is_spent(capsys):
    rnnlib.steady_state(rnnlib.henon(), torch.zeros(2, **F64), progress=True)
    assert "steady state" in capsys.readouterr().err


def test_many_orbits_are_printed_as_counts():
    found = rnnlib.steady_state(rnnlib.logistic(2.5), torch.full((20, 1), 0.3, **F64))
    assert repr(found) == "SteadyState of 20 orbits\n  20 x fixed point"
    few = rnnlib.steady_state(rnnlib.logistic(2.5), torch.full((12, 1), 0.3, **F64))
    assert repr(few).splitlines()[1:] == [f"  {i}: fixed point" for i in range(12)]


def test_bad_arguments_name_themselves():
    """Hypothesis: wrong arguments are errors with a remedy."""
    with pytest.raises(ValueError, match="max_period is 0"):
        rnnlib.steady_state(rnnlib.henon(), torch.zeros(2, **F64), max_period=0)
    with pytest.raises(ValueError, match="burn_in is -1"):
        rnnlib.steady_state(rnnlib.henon(), torch.zeros(2, **F64), burn_in=-1)

"""What is kept of a long stretch of an orbit, and what its halves tell."""

import math

import pytest
import torch
from tqdm import tqdm

import rnnlib
from rnnlib.dynamics import watch as module
from rnnlib.dynamics.watch import Watched, smooth_mean, trend, watch
from rnnlib.systems import push_forward

F64 = {"dtype": torch.float64}


def bar():
    return tqdm(disable=True)


def watched(seen, lengths=None, stretch=None):
    """A stretch made of projections, shape (L, N, 3), alone."""
    lengths = torch.ones(seen.shape[:2], **F64) if lengths is None else lengths
    return Watched(seen, lengths, stretch, seen[-1:], None)


def projected(series):
    """Projections of which only the first moves."""
    return torch.stack([series, 0 * series, 0 * series], dim=-1)


def test_a_stretch_tells_steps_growth_and_the_last_states_in_whatever_pieces_it_is_run(monkeypatch):
    """Hypothesis: the numbers are those of the orbit and of its tangent map, product by product."""
    system, x0 = rnnlib.henon(), torch.tensor([[0.1, 0.2], [-0.3, 0.1]], **F64)
    tangent = torch.tensor([[0.6, 0.8]], **F64).expand(2, 2)
    orbit = torch.cat([x0[None], rnnlib.simulate(system, x0, 50)])
    growth, moved = [], tangent
    for x in orbit[:-1]:
        moved = push_forward(system, x, moved[..., None])[1][..., 0]
        growth.append(moved.norm(dim=-1))
        moved = moved / growth[-1][:, None]
    for entries in (2**21, 1):  # in one piece, and in pieces of 16 steps
        monkeypatch.setattr(module, "ENTRIES", entries)
        found = watch(system, x0, tangent, 50, 20, bar())
        assert torch.equal(found.tail, orbit[-20:])
        torch.testing.assert_close(found.lengths, orbit.diff(dim=0).norm(dim=-1))
        torch.testing.assert_close(found.stretch, torch.stack(growth).log())
        torch.testing.assert_close(found.tangent, moved)
        assert found.seen.shape == (50, 2, 3)
        scale = (orbit[1:] - x0).norm(dim=-1)
        assert (found.seen.norm(dim=-1) < 5 * scale).all()  # relative to the first state
        assert found.seen[:, :, :].std(0).min() > 0.05  # and each projection sees the motion
    assert watch(system, x0, None, 50, 20, bar()).stretch is None


def test_projections_are_as_large_as_the_components_of_the_way():
    """Hypothesis: of 400 ways in random directions of 64 dimensions, the root mean square of a
    projection is that of a component, within a fifth."""
    ways = torch.randn(40, 10, 64, generator=torch.Generator().manual_seed(3), **F64)
    steps = iter(ways)
    system = rnnlib.from_step(lambda x: next(steps), 64)
    found = watch(system, torch.zeros(10, 64, **F64), None, 40, 2, bar())
    assert found.seen.square().mean().sqrt().item() == pytest.approx(1, rel=0.2)


def test_a_stretch_ends_where_no_orbit_is_left(monkeypatch):
    """Hypothesis: one orbit that has left does not stop the others; when all have, no step more."""
    taken = []

    def step(x):
        taken.append(1)
        return x * x

    monkeypatch.setattr(module, "ENTRIES", 1)
    system = rnnlib.from_step(step, 1)
    watch(system, torch.tensor([[10.0], [0.5]], **F64), None, 160, 2, bar())
    assert len(taken) == 160
    taken.clear()
    watch(system, torch.tensor([[10.0], [20.0]], **F64), None, 160, 2, bar())
    assert len(taken) == 16


def test_a_tangent_that_dies_has_a_finite_and_very_negative_growth():
    """Hypothesis: a constant step has the log of the smallest normal number, not minus infinity."""
    system = rnnlib.from_step(lambda x: 0 * x, 2)
    found = watch(system, torch.ones(1, 2, **F64), torch.ones(1, 2, **F64), 16, 2, bar())
    tiny = math.log(torch.finfo(torch.float64).tiny)
    assert found.stretch.unique().tolist() == [tiny] and torch.isfinite(found.tangent).all()


def test_a_smooth_mean_is_symmetric_and_forgets_a_turn_faster_than_a_plain_one():
    """Hypothesis: of a straight line it is the middle, of a constant the constant, and of the
    golden rotation 1e-12 after 500 steps, where the plain mean is 4e-5."""
    assert smooth_mean(torch.arange(7, **F64)).item() == pytest.approx(3, abs=1e-14)
    assert smooth_mean(torch.full((5, 2), 4.0, **F64)).tolist() == pytest.approx([4, 4])
    turns = torch.cos(math.pi * (3 - 5**0.5) * torch.arange(500, **F64))
    assert abs(smooth_mean(turns)) < 1e-12 < 1e-5 < abs(turns.mean())
    # exp(-1 / (u (1 - u))) at u = 1/6, 1/2, 5/6
    weights = [math.exp(-36 / 5), math.exp(-4), math.exp(-36 / 5)]
    series = torch.tensor([1.0, 0.0, 0.0], **F64)
    assert smooth_mean(series).item() == pytest.approx(weights[0] / sum(weights), rel=1e-12)


def test_a_drift_a_decay_and_a_rest_have_their_trends():
    """Hypothesis: known answers for a straight drift, for steps that shorten, and for no motion."""
    t = torch.arange(160, **F64)
    seen = projected(torch.stack([t, 0.9**t, 0 * t], dim=1))
    lengths = torch.stack([1 + 0 * t, 0.9**t, 0 * t], dim=1)
    found = trend(watched(seen, lengths))
    assert found.extent.tolist() == pytest.approx([159, 1 - 0.9**159, 0])
    assert found.shift[0].tolist() == pytest.approx([80, 0, 0])  # one half's length
    shrinking = abs(found.shift[1, 0].item()) / (1 - 0.9**159)
    assert found.drift.tolist() == pytest.approx([80 / 159, shrinking, 0])
    assert found.slowing.tolist() == pytest.approx([1, 0.9**80, 1])
    assert found.falling.tolist() == [False, True, False]
    assert found.spread.tolist() == pytest.approx([1, 0.9**80, 1])
    assert found.overlap[:2].tolist() == pytest.approx(
        [79 / 159, 0.9**80 * (1 - 0.9**79)], rel=1e-6
    )
    assert found.overlap[2] == 1
    unsteady = 1 - smooth_mean(lengths[80:, 1]) / smooth_mean(lengths[:80, 1])
    assert found.unsteady.tolist() == pytest.approx([0, float(unsteady), 0], abs=1e-15)
    assert found.exponent.isnan().all() and found.error.isnan().all()


def test_of_an_odd_stretch_the_halves_leave_the_middle_out():
    """Hypothesis: of 17 steps the first 8 and the last 8 are compared."""
    lengths = torch.cat([torch.ones(8), torch.tensor([100.0]), torch.full((8,), 3.0)]).double()
    found = trend(watched(projected(torch.arange(17, **F64)[:, None]), lengths[:, None]))
    assert found.slowing.item() == 3 and found.spread.item() == 1


def test_falling_wants_every_eighth_to_fall():
    """Hypothesis: one eighth that does not fall is enough to say no."""
    steady = torch.arange(80, 0, -1, **F64)
    bumped = steady.clone()
    bumped[40:50] = bumped[30:40]
    lengths = torch.stack([steady, bumped], dim=1)
    found = trend(watched(projected(lengths), lengths))
    assert found.falling.tolist() == [True, False]


def test_the_standard_error_of_the_growth_covers_it():
    """Hypothesis: of independent growths the error is sigma / sqrt(L) (rms over 400 orbits, within
    a tenth), and each half's plain average is at least ``halves``."""
    generator = torch.Generator().manual_seed(0)
    stretch = 0.5 + 2 * torch.randn(320, 400, generator=generator, **F64)
    found = trend(watched(torch.zeros(320, 400, 3, **F64), None, stretch))
    rms = float(found.error.square().mean().sqrt())
    assert rms == pytest.approx(2 / 320**0.5, rel=0.1)
    averages = torch.stack([stretch[:160].mean(0), stretch[160:].mean(0)])
    torch.testing.assert_close(found.halves, averages.amin(0))
    torch.testing.assert_close(found.exponent, smooth_mean(stretch))

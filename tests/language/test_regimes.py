import numpy as np
import pytest

from rnnlib.language.recorder import LanguageSamples
from rnnlib.language.regimes import in_closed_loop, spoken, under_constant_word, written_cycle

EPOCHS, STEPS, HELD, STATES = 3, 60, 1, 4
WORDS = ("<eos>", "the", "dog", "barks")


def samples(**changes):
    shape = (EPOCHS, HELD, STATES)
    values = dict(
        epochs=np.arange(EPOCHS),
        constant=np.zeros((EPOCHS, STEPS, HELD, STATES, 2)),
        closed=np.zeros((EPOCHS, STEPS, HELD, STATES, 2)),
        words=np.zeros((EPOCHS, 100, HELD, STATES), dtype=int),
        exponent=np.full(shape, -0.5),
        exponent_error=np.full(shape, 0.001),
        period=np.full(shape, 4),
        transient=np.zeros(shape, dtype=int),
        residual=np.zeros(shape),
        greedy=np.zeros((EPOCHS, 5), dtype=int),
        drawn=np.zeros((EPOCHS, 5), dtype=int),
    )
    return LanguageSamples(**(values | changes))


def test_rest_and_motion_are_told_by_the_orbit_and_the_exponent():
    constant = np.zeros((EPOCHS, STEPS, HELD, STATES, 2))
    constant[1, :, 0, 0] = 1.0  # a second fixed point
    irregular = np.random.default_rng(0).normal(size=(STEPS, STATES, 2))
    constant[2, :, 0] = irregular
    for exponent, word in ((0.2, "chaotic"), (0.001, "neutral"), (-0.2, "not settled")):
        found = samples(constant=constant, exponent=np.full((EPOCHS, HELD, STATES), exponent))
        assert under_constant_word(found, 0) == ["fixed point", "2 fixed points", word]


def test_starts_that_differ_are_counted():
    constant = np.zeros((EPOCHS, STEPS, HELD, STATES, 2))
    constant[:, ::2, 0, 1:] = 1.0
    assert under_constant_word(samples(constant=constant), 0)[0] == "fixed point (1) + cycle (3)"


def test_cycles_of_words_are_counted_and_drifts_are_starred():
    period, residual = np.full((EPOCHS, HELD, STATES), 4), np.zeros((EPOCHS, HELD, STATES))
    period[1, 0, 0], residual[1, 0, 0] = 0, np.nan
    residual[2] = 1e-2
    found = in_closed_loop(samples(period=period, residual=residual), 0)
    assert found == ["period 4", "period 4 (3 of 4), no cycle (1 of 4)", "period 4*"]


def test_a_cycle_is_read_from_the_start_of_a_sentence():
    words = np.tile([3, 0, 1, 2], 25)[None, :, None, None].repeat(EPOCHS, 0).repeat(STATES, 3)
    assert written_cycle(samples(words=words), 0, 0, 0, WORDS) == "the dog barks <eos>"
    assert spoken([1, 2], WORDS) == "the dog"
    none = samples(period=np.zeros((EPOCHS, HELD, STATES), dtype=int))
    assert written_cycle(none, 0, 0, 0, WORDS) == ""


@pytest.mark.parametrize("residual", [np.inf, 1e-3])
def test_a_state_that_does_not_recur_is_starred(residual):
    found = samples(residual=np.full((EPOCHS, HELD, STATES), residual))
    assert in_closed_loop(found, 0)[0] == "period 4*"

"""Jumps of a loss beside changes of the dynamics, on histories that are made by hand."""

import numpy as np
import pandas as pd
import pytest

from rnnlib.runs import changes_between, coincidence, loss_jumps


def dynamics(modulus, amplitude, every=10):
    epochs = every * np.arange(len(modulus))
    return pd.DataFrame({"epoch": epochs, "modulus": modulus, "amplitude": amplitude})


def crossing_at(*places, rows=101):
    """Return snapshots, 10 epochs apart, whose pair is outside at these rows alone."""
    modulus = np.full(rows, 0.9)
    modulus[list(places)] = 1.1
    return dynamics(modulus, np.zeros(rows))


def loss_with_peaks(*epochs, length=1000, height=10.0):
    loss = np.linspace(1.0, 0.5, length)
    loss[np.array(epochs, dtype=int) - 1] *= height
    return loss


def test_a_leap_is_found_at_its_epoch_and_a_slow_decay_is_none():
    assert loss_jumps(loss_with_peaks(300, 700)).tolist() == [300, 700]
    assert loss_jumps(loss_with_peaks()).tolist() == []


def test_one_excursion_is_one_jump():
    assert loss_jumps(loss_with_peaks(300, 301, 303, 309)).tolist() == [300]


@pytest.mark.parametrize(("height", "found"), [(2.9, []), (3.2, [400])])
def test_the_factor_is_that_over_the_median_before(height, found):
    assert loss_jumps(loss_with_peaks(400, height=height), factor=3).tolist() == found


def test_a_window_longer_than_the_history_has_no_jumps():
    assert len(loss_jumps(np.ones(5))) == 0


@pytest.mark.parametrize("wrong", [{"factor": 1.0}, {"window": 0}])
def test_what_is_no_jump_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        loss_jumps(np.ones(50), **wrong)


def test_changes_are_crossings_and_the_ends_of_rest():
    table = dynamics([0.9, 1.1, 1.1, np.nan, np.nan, 0.9], [0, 0, 0.5, 0.5, 0.5, 0.0])
    assert changes_between(table).tolist() == [True, True, True, False, True]


def test_jumps_beside_every_change_are_no_chance():
    found = coincidence(loss_with_peaks(305, 605), crossing_at(31, 61))
    assert found.beside.tolist() == [True, True] and found.changes == 4
    assert found.share == pytest.approx(0.04)
    # the two pairs of intervals are as far apart as the jumps: only shifts by less than 20 do it
    assert found.chance == pytest.approx(0.02)


def test_jumps_elsewhere_are_what_chance_does():
    found = coincidence(loss_with_peaks(450, 800), crossing_at(31, 61))
    assert not found.beside.any() and found.chance == 1


def test_an_interval_ends_with_its_later_snapshot():
    """Hypothesis: the epoch of a snapshot belongs to the interval before it."""
    table = crossing_at(31)  # changes in epochs 301 to 310 and 311 to 320
    met = [coincidence(loss_with_peaks(e), table).beside.tolist() for e in (300, 301, 320, 321)]
    assert met == [[False], [True], [True], [False]]


def test_without_jumps_there_is_nothing_to_tell():
    found = coincidence(loss_with_peaks(), crossing_at(31))
    assert len(found.jumps) == 0 and np.isnan(found.chance)

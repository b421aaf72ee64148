"""The words of `steady_state` on trained networks that nobody here wrote."""

import pretrained
import pytest
import torch

from rnnlib import steady_state

pytestmark = pytest.mark.pretrained


def test_a_detector_of_speech_in_silence_is_on_its_way_to_a_fixed_point():
    """Hypothesis: silero-vad's LSTM in silence and noise has slow modes, not circles."""
    system, x0 = pretrained.silero_held(pretrained.silence_noise_and_tone())
    found = steady_state(system, x0, budget=30_000)
    assert set(found.kind.tolist()) <= {"fixed point", "still settling"}, found
    assert found.kind[0] == "fixed point" and not found.settled[0]
    assert 0.999 < found.exponent[0].exp() < 0.9995


def test_a_phoneme_held_for_ever_brings_its_decoder_to_rest():
    """Hypothesis: g2p_en's decoder at row 10, whose slow modes look like a circle for long, ends on
    a fixed point, which a long run reaches."""
    system, x0 = pretrained.g2p_held("dec", [10])
    found = steady_state(system, x0)
    assert found.kind.tolist() == ["fixed point"] and found.stability.tolist() == ["stable"]
    late = steady_state(system, x0, burn_in=30_000)
    assert late.settled.all()
    torch.testing.assert_close(late.end, found.end, atol=1e-9, rtol=0)


def test_letters_held_for_ever_are_never_called_cycles_circles_or_chaos():
    """Hypothesis: g2p_en's encoder creeps on under a constant letter."""
    system, x0 = pretrained.g2p_held("enc", [3, 12, 20])
    found = steady_state(system, x0, budget=12_000)
    assert set(found.kind.tolist()) <= {"fixed point", "still settling", "undetermined"}, found
    assert not found.settled.any() or (found.kind == "fixed point")[found.settled.numpy()].all()

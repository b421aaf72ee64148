"""The report on trained networks that nobody here wrote."""

import pretrained
import pytest
import torch
from torch import nn

from rnnlib.diagnosis import report

pytestmark = pytest.mark.pretrained


def test_a_writer_of_pronunciations_remembers_with_multipliers_just_below_one():
    """Hypothesis: g2p_en's decoder, held at one phoneme, rests at one stable point, slowly."""
    weights = pretrained.g2p()
    head = nn.Linear(256, len(weights["fc_w"])).double()
    head.load_state_dict({"weight": weights["fc_w"], "bias": weights["fc_b"]})
    sequence = weights["dec_emb"][10].expand(60, 1, 256)
    found = report(
        pretrained.g2p_cell("dec"), sequence, head=head, budget=20.0, progress=False,
        questions=["points", "influence"],
    )  # fmt: skip
    points = found.answers["points"].evidence
    assert set(points["stability"]) == {"stable"} and len(points["points"]) == 1
    assert 500 < points["memory"][0] < 2000 and int(points["slow_modes"][0]) >= 1
    assert found.disagreements == ()


def test_a_detector_of_speech_in_silence_has_one_slow_point():
    silence = pretrained.silero_features(pretrained.silence_noise_and_tone()[:1])
    found = report(
        pretrained.silero_cell(), silence.expand(50, 1, 128), budget=10.0, progress=False,
        questions=["approach", "points"],
    )  # fmt: skip
    assert set(found.answers["points"].evidence["stability"]) == {"stable"}
    assert found.answers["points"].evidence["memory"][0] == pytest.approx(1280, rel=0.1)
    assert torch.isfinite(found.answers["approach"].evidence["step_length"]).all()

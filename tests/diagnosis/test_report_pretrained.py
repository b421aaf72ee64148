"""The report on trained networks that nobody here wrote."""

import numpy as np
import pretrained
import pytest
import torch
from torch import nn

from rnnlib.diagnosis import load_network, report

pytestmark = pytest.mark.pretrained


def test_a_writer_of_pronunciations_remembers_with_multipliers_just_below_one():
    """Hypothesis: g2p_en's decoder, held at one phoneme, rests at one stable point, slowly."""
    weights = pretrained.g2p()
    head = nn.Linear(256, len(weights["fc_w"])).double()
    head.load_state_dict({"weight": weights["fc_w"], "bias": weights["fc_b"]})
    sequence = weights["dec_emb"][10].expand(60, 1, 256)
    found = report(
        pretrained.g2p_cell("dec"), sequence, head=head, budget=60.0, progress=False,
        questions=["points", "influence"],
    )  # fmt: skip
    points = found.answers["points"].evidence
    assert set(points["stability"]) == {"stable"} and len(points["points"]) == 1
    assert 500 < points["memory"][0] < 2000 and int(points["slow_modes"][0]) >= 1
    assert found.disagreements == ()


def test_a_detector_of_speech_in_silence_has_one_slow_point():
    silence = pretrained.silero_features(pretrained.silence_noise_and_tone()[:1])
    found = report(
        pretrained.silero_cell(), silence.expand(50, 1, 128), budget=60.0, progress=False,
        questions=["approach", "points"],
    )  # fmt: skip
    assert set(found.answers["points"].evidence["stability"]) == {"stable"}
    assert found.answers["points"].evidence["memory"][0] == pytest.approx(1280, rel=0.1)
    assert torch.isfinite(found.answers["approach"].evidence["step_length"]).all()


def stacked_lstm(weights, z, states):
    """Return the next h and c of every layer, from numpy arrays named as torch names them."""

    def gate(a):
        return 1 / (1 + np.exp(-a))

    following = []
    for k, (h, c) in enumerate(states):
        total = weights[f"weight_ih_l{k}"] @ z + weights[f"weight_hh_l{k}"] @ h
        total += weights[f"bias_ih_l{k}"] + weights[f"bias_hh_l{k}"]
        i, f, g, o = np.split(total, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        z = gate(o) * np.tanh(c)
        following.append((z, c))
    return following


def test_a_reader_of_voices_never_rests_in_silence_though_its_lower_layers_do():
    """Hypothesis: a loop in numpy shows that two of three layers come to rest and the last goes on;
    the report, from the file as it was published, finds the same steps and calls none settled."""
    layer, head = load_network(pretrained.resemblyzer_checkpoint(), head="linear")
    weights = {name: w.double().numpy() for name, w in layer.state_dict().items()}
    states, lengths = [(np.zeros(256), np.zeros(256))] * 3, []
    for _ in range(3000):
        before, states = states, stacked_lstm(weights, np.zeros(40), states)
        lengths.append(np.linalg.norm(np.array(states) - before, axis=(1, 2)))
    lengths = np.array(lengths)  # step, layer
    assert (lengths[-1, :2] < 1e-4 * lengths[0, :2]).all() and lengths[-500:, 2].mean() > 0.01
    assert lengths[-500:, 2].mean() > 0.5 * lengths[-1000:-500, 2].mean()

    found = report(
        layer, torch.zeros(20, 1, 40), head=head, budget=20.0, progress=False,
        questions=["approach", "regimes"],
    )  # fmt: skip
    approach = found.answers["approach"].evidence
    early = approach["time"] <= 50
    own = np.linalg.norm(lengths, axis=-1)[approach["time"][early] - 1]
    np.testing.assert_allclose(approach["step_length"][early, 0], own, rtol=1e-8)
    held = found.answers["regimes"].evidence.get("held", {"silence": {"settled": []}})
    assert not any(held["silence"]["settled"])
    assert found.answers["regimes"].state in ("not settled", "cut short")
    assert found.disagreements == ()

"""The report says what is true of networks whose answers are known, and of bad input."""

import json
import math
import re

import numpy as np
import pytest
import torch
from networks import (
    chaos,
    contraction,
    drift,
    fill,
    latch,
    line_attractor,
    noise,
    oscillator,
    pulses,
    saturated,
    silent,
    slow_node,
    spiral,
    three_fixed_points,
)
from torch import nn

import rnnlib
from rnnlib.diagnosis import report, reporting
from rnnlib.diagnosis.agreement import contradictions
from rnnlib.diagnosis.answers import Answer

F64 = {"dtype": torch.float64}


def ask(made, *questions, budget=20.0, **options):
    network, inputs = made
    return report(
        network, inputs, budget=budget, questions=list(questions), progress=False, **options
    )


def kinds(found):
    return {
        kind for row in found.answers["regimes"].evidence["held"].values() for kind in row["kind"]
    }


def test_three_fixed_points_two_of_them_attractors():
    found = ask(three_fixed_points(), "points", "attractors")
    assert sorted(found.answers["points"].evidence["stability"]) == ["stable", "stable", "unstable"]
    modulus = found.answers["points"].evidence["multipliers"].abs().flatten().sort().values
    rest = 0.9575040240772687  # x = tanh(2 x)
    expected = torch.tensor([2 * (1 - rest**2)] * 2 + [2.0], dtype=torch.float64)
    torch.testing.assert_close(modulus, expected, atol=1e-6, rtol=0)
    assert len(found.answers["attractors"].evidence["attractors"]) == 2
    assert found.disagreements == ()


def test_an_oscillator_is_told_its_period():
    found = ask(oscillator(), "regimes", "attractors", "gain")
    silence = found.answers["regimes"].evidence["held"]["silence"]
    assert set(silence["words"]) == {"period 4", "unstable fixed point"}  # the start at rest
    assert found.answers["attractors"].evidence["attractors"] == ["period 4"]


def test_chaos_is_told_its_exponent():
    found = ask(chaos(), "regimes", "exponents", x0=torch.full((4,), 0.5, **F64), budget=30.0)
    assert kinds(found) == {"chaotic"}
    alone = found.answers["exponents"].evidence["alone"]
    assert float(alone["exponents"][0]) == pytest.approx(0.170, abs=4 * float(alone["error"][0]))


def test_a_contraction_is_proved_and_forgets():
    found = ask(contraction(), "regimes", "attractors", "contraction", "influence")
    assert found.answers["contraction"].evidence["proved"] < 1
    assert "Proved" in found.answers["contraction"].words[0]
    assert len(found.answers["attractors"].evidence["attractors"]) == 1
    assert found.answers["influence"].evidence["decay"] < 0
    assert found.disagreements == ()


def test_a_drift_is_called_unbounded():
    found = ask(drift(), "regimes", "exponents")
    assert kinds(found) == {"unbounded"}


def test_a_latch_keeps_what_the_data_wrote():
    found = ask(latch(), "attractors", "influence")
    attractors = found.answers["attractors"].evidence
    assert len(attractors["attractors"]) >= 2 and set(attractors["attractors"]) == {"fixed point"}
    assert sum(attractors["share"]) + attractors["undecided"] == pytest.approx(1)


def test_a_slow_node_is_told_its_memory_and_is_not_called_settled_too_soon():
    found = ask(slow_node(), "regimes", "points")
    assert found.answers["points"].evidence["memory"][0] == pytest.approx(9999.5, abs=1)
    assert found.answers["points"].evidence["slow_modes"].tolist() == [1]
    assert kinds(found) <= {"fixed point", "still settling"}


def test_a_line_of_fixed_points_is_called_neutral():
    found = ask(line_attractor(), "points")
    assert set(found.answers["points"].evidence["stability"]) == {"neutral"}


def test_a_silent_network_depends_on_nothing():
    found = ask(silent(), "regimes", "influence", "points")
    assert kinds(found) == {"fixed point"}
    assert found.answers["influence"].evidence["of_input"].max() == 0
    assert "constant" in found.answers["influence"].words[0]


def test_a_saturated_network_has_no_gradient():
    found = ask(saturated(), "influence", "regimes")
    assert found.answers["influence"].evidence["of_state"][-1] < 1e-100
    assert kinds(found) == {"fixed point"}


def test_a_system_without_input_is_taken_too():
    found = ask(spiral(), "regimes", "approach", "points", "attractors", "exponents", "gain")
    assert "no input" in found.answers["regimes"].evidence["held"]
    first = float(found.answers["exponents"].evidence["alone"]["exponents"][0])
    assert first == pytest.approx(math.log(0.9), abs=1e-6)
    assert "reads no input" in found.answers["gain"].words[0]


def test_the_influence_of_a_linear_system_is_its_power():
    """Hypothesis: x' = a x + z shows dx_T / dz_{T-k} = a^k, and the slope is ln a."""
    network = rnnlib.from_step(lambda x, z: 0.8 * x + z, n_x=1, n_z=1)
    found = ask((network, noise(1).double()), "influence").answers["influence"].evidence
    lag = np.arange(len(found["of_input"]))
    np.testing.assert_allclose(found["of_input"], 0.8**lag, rtol=1e-10)
    assert found["decay"] == pytest.approx(math.log(0.8), abs=1e-9)
    assert found["reach_tenth"] == 11  # 0.8^10 = 0.107, 0.8^11 = 0.086


def test_the_influence_over_many_outputs_is_the_frobenius_norm():
    torch.manual_seed(0)
    matrix = torch.randn(20, 3, dtype=torch.float64)
    network = rnnlib.from_step(lambda x, z: z, n_x=3, n_z=3, readout=lambda x: x @ matrix.T)
    found = ask((network, noise(3).double()), "influence").answers["influence"].evidence
    assert found["of_input"][0] == pytest.approx(float(matrix.norm()), rel=0.5)
    assert found["of_input"][1:].max() == 0


def test_along_the_gradient_slope_and_curvature_are_those_of_a_parabola():
    """Hypothesis: y = w z with targets 0 costs w^2 mean z^2, along the one weight there is."""
    network = fill(nn.RNN(1, 1, nonlinearity="relu", bias=False), weight_ih_l0=0.5)
    z = torch.rand(50, 3, 1)
    found = report(
        network, z, targets=torch.zeros(50, 3, 1), questions=["cost"], progress=False
    ).answers["cost"]
    power = float(z.double().square().mean())
    assert found.evidence["value"] == pytest.approx(0.25 * power)
    loss = network(z)[0].square().mean()
    gradient = torch.stack(torch.autograd.grad(loss, list(network.parameters()))).norm()
    assert found.evidence["slope"] == pytest.approx(0.5 * float(gradient), rel=1e-5)
    assert found.evidence["far"]["minima"] <= 1 and "smooth" in found.words[-1]


def test_a_rough_cost_is_called_rough():
    found = ask(chaos(), "cost", x0=torch.full((4,), 0.5, **F64), budget=30.0).answers["cost"]
    assert found.evidence["near"]["minima"] > 1
    assert "rough" in " ".join(found.words)


def test_it_shows_itself_in_every_way(tmp_path):
    network, inputs = three_fixed_points()
    found = report(network, inputs, budget=20.0, progress=False, name="a <b>latch</b>")
    assert set(found.answers) == set(rnnlib.diagnosis.QUESTIONS)
    assert not [a.words for a in found.answers.values() if a.state == "failed"]
    numbers = json.loads(found.to_json())
    assert numbers["answers"]["points"]["state"] in ("settled", "not settled")
    page = found.save(tmp_path / "report.html").read_text()
    assert "<b>latch" not in page and "&lt;b&gt;latch" in page
    hosts = set(re.findall(r"https?://[^\"'<> )]*", page))
    assert "<svg" in page and hosts <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert found._repr_html_().count("<h2>") == len(found.answers)
    assert len(found.figure().axes) == 6
    for answer in found.answers.values():
        assert answer.question in str(found) and all(word in str(found) for word in answer.words)


def test_an_interrupt_keeps_what_is_done(monkeypatch):
    def interrupted(subject, budget):
        raise KeyboardInterrupt

    entry = reporting.QUESTIONS["points"]
    monkeypatch.setitem(reporting.QUESTIONS, "points", (interrupted, *entry[1:]))
    found = ask(three_fixed_points(), "influence", "points", "gain")
    assert list(found.answers) == ["influence"] and found.interrupted
    assert "Stopped before the end" in str(found)


def test_a_question_that_fails_leaves_the_others_and_is_told_first(monkeypatch):
    def broken(subject, budget):
        raise RuntimeError("no such thing")

    entry = reporting.QUESTIONS["points"]
    monkeypatch.setitem(reporting.QUESTIONS, "points", (broken, *entry[1:]))
    found = ask(three_fixed_points(), "points", "influence")
    assert found.answers["points"].state == "failed" and "no such thing" in str(found)
    assert found.answers["influence"].state == "settled"
    assert len(found.disagreements) == 1


def test_analyses_that_contradict_each_other_are_told_first():
    two = Answer("attractors", "", (), {"attractors": ["fixed point"] * 2, "undecided": 0.0})
    proved = Answer("contraction", "", (), {"proved": 0.9, "found": 0.5})
    lines = list(contradictions({"attractors": two, "contraction": proved}))
    assert len(lines) >= 1 and "one of the two is wrong" in lines[0]


def test_the_network_is_left_as_it_is():
    network, inputs = latch()
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    ask((network, inputs), "influence", "points", "contraction")
    assert network.training and network.weight_hh_l0.dtype == torch.float32
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    "model, inputs, options, message",
    [
        (nn.Linear(3, 3), torch.zeros(5, 1, 3), {}, "Linear"),
        (nn.GRU(3, 4), torch.zeros(5, 1, 2), {}, r"inputs has shape \(5, 1, 2\)"),
        (nn.GRU(3, 4), torch.zeros(0, 1, 3), {}, "nothing to read"),
        (nn.GRU(3, 4), torch.full((5, 1, 3), math.nan), {}, "15 values that are NaN"),
        (nn.GRU(3, 4), torch.zeros(5, 1, 3, dtype=torch.int64), {}, "int64"),
        (nn.GRU(3, 4), None, {}, "inputs is None"),
        (nn.GRU(3, 4, bidirectional=True), torch.zeros(5, 1, 3), {}, "bidirectional"),
        (lambda x: x, None, {}, "n_x"),
        (3, None, {}, "model is a int"),
        (nn.GRU(3, 4), torch.zeros(5, 1, 3), {"budget": -1}, "budget is -1"),
        (nn.GRU(3, 4), torch.zeros(5, 1, 3), {"questions": ["all"]}, "questions has 'all'"),
    ],
)
def test_bad_input_is_refused_by_its_name(model, inputs, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        report(model, inputs, progress=False, **options)


def test_weights_with_nan_are_refused_by_their_name():
    network = nn.GRU(1, 2)
    with torch.no_grad():
        network.weight_hh_l0[0, 0] = math.nan
    with pytest.raises(ValueError, match="weight_hh_l0"):
        report(network, pulses(), progress=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*quantized")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.LSTMCell])
def test_a_quantised_network_is_refused_with_what_would_work(kind):
    network = nn.Sequential(kind(2, 3))
    quantised = torch.ao.quantization.quantize_dynamic(network, {kind}, dtype=torch.qint8)
    for module in (quantised, quantised[0]):
        with pytest.raises(TypeError, match=f"quantised {kind.__name__}.*before it was"):
            report(module, torch.zeros(5, 1, 2), progress=False)


def test_half_precision_and_dropout_are_said():
    network = nn.GRU(1, 3, num_layers=2, dropout=0.5).to(torch.bfloat16).train()
    found = ask((network, pulses()), "influence")
    assert any("bfloat16" in note for note in found.notes)
    assert any("dropout is off" in note for note in found.notes)


def test_one_sequence_of_length_one_is_a_report():
    found = report(nn.LSTM(2, 3), torch.zeros(1, 2), budget=10.0, progress=False)
    assert not [a.words for a in found.answers.values() if a.state == "failed"]


def test_four_thousand_units_are_a_report_that_says_what_was_cut_short():
    """Hypothesis: with little time nothing fails, no time is lost on whole Jacobians, and what is
    said of it is true: a GRU as torch makes it fades."""
    torch.manual_seed(0)
    found = report(nn.GRU(2, 4000), 0.1 * torch.randn(3, 1, 2), budget=4.0, progress=False)
    assert not [a.words for a in found.answers.values() if a.state == "failed"]
    assert {a.state for a in found.answers.values()} <= {"cut short", "not settled", "settled"}
    assert "cut short" in [a.state for a in found.answers.values()]
    assert found.disagreements == ()
    assert len(str(found)) > 500 and found._repr_html_()

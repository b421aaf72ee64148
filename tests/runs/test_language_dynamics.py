"""What is measured of a language model that reads and writes, and what it leaves behind."""

import math
import shutil

import numpy as np
import pytest
import torch

from rnnlib.__main__ import main
from rnnlib.files import FileError, write_json
from rnnlib.language import LanguageModel
from rnnlib.memory import certify
from rnnlib.runs import language_dynamics, runner, store
from rnnlib.runs.experiments import configure
from rnnlib.runs.language_dynamics import (
    CONTEXTS,
    TEMPERATURES,
    analyse_language,
    attractors_under,
    free_dynamics,
    reading_exponent,
    reading_sizes,
)
from rnnlib.tasks import EOS, three_places


def silent(model="elman", n_words=33, n_hidden=4):
    """Return a network whose embedding is 0: every word is the same input, and as probable."""
    torch.manual_seed(0)
    network = LanguageModel(model, n_words, n_hidden, dropout=0.0).eval()
    with torch.no_grad():
        network.embedding.weight.zero_()
        network.bias.zero_()
    return network


@pytest.fixture(scope="module")
def language():
    return three_places().corpus(train=4000, valid=2000, test=4000)


def test_a_linear_network_forgets_what_it_read_at_the_rate_of_its_largest_multiplier(language):
    """Hypothesis: at the origin tanh is the identity, so the exponent is the log of 0.9."""
    network = silent()
    with torch.no_grad():
        network.layer.weight_hh_l0.copy_(torch.diag(torch.tensor([0.9, 0.5, -0.2, 0.1])))
        network.layer.bias_ih_l0.zero_()
        network.layer.bias_hh_l0.zero_()
    exponent = reading_exponent(network, language.test, 100).exponents
    assert exponent.shape == (5, 1)
    torch.testing.assert_close(
        exponent, torch.full_like(exponent, math.log(0.9)), rtol=1e-6, atol=0
    )


def test_a_certified_network_forgets_what_it_read_at_least_as_fast_as_its_certificate_says(
    language,
):
    torch.manual_seed(0)
    network = LanguageModel("slstm-certified", 33, 12, dropout=0.0).eval()
    network.constrain_(1)
    constant = certify(network.layer, network.input_bound).constant
    assert constant < 1
    assert reading_exponent(network, language.test, 150).exponents.max() <= math.log(constant)


def test_what_an_orthogonal_network_does_not_forget_adds_up(language):
    """Hypothesis: under one input and without a threshold the state grows by it at each word."""
    network = silent("ornn")
    with torch.no_grad():
        network.layer.skew.zero_()  # the recurrent matrix is the identity
        network.layer.bias.zero_()
        network.embedding.weight.fill_(1.0)
        network.layer.weight_ih.zero_()[0, 0] = 0.5
    sizes = reading_sizes(network, language.test, [1, 2, 10, 500])
    torch.testing.assert_close(sizes, torch.tensor([0.5, 1.0, 5.0, 250.0]))
    with pytest.raises(ValueError, match="counts ends with 801; the stretches have 800 words"):
        reading_sizes(network, language.test, [10, 801])


def test_without_thresholds_words_that_come_independently_add_up_like_a_random_walk():
    """Known answer: the mean square length after t words is t times that of one word's input."""
    torch.manual_seed(0)
    network = LanguageModel("ornn", 40, 300, dropout=0.0).eval()
    with torch.no_grad():
        network.layer.bias.zero_()
        half = torch.randn(20, 300)
        network.embedding.weight.copy_(torch.cat([half, -half]))  # of mean 0
        step = network.embedding.weight @ network.layer.weight_ih.T
    sizes = reading_sizes(network, torch.randint(40, (5000,)), [100, 1000])
    expected = step.square().sum(1).mean().sqrt() * torch.tensor([100.0, 1000.0]).sqrt()
    torch.testing.assert_close(sizes, expected, rtol=0.1, atol=0)


def test_the_state_of_an_lstm_keeps_its_size(language):
    """Hypothesis: with forget gates of one half the state rests, however long the text."""
    network = silent("lstm")
    with torch.no_grad():
        for p in network.layer.parameters():
            p.zero_()
        network.layer.bias_ih_l0[8:12] = 50.0  # candidates at 1; all gates at 1/2, so c = 1
    sizes = reading_sizes(network, language.test, [100, 800])
    h = 0.5 * math.tanh(1)
    torch.testing.assert_close(sizes, torch.full((2,), 2 * math.hypot(1, h)))


def test_a_network_without_a_preference_has_every_word_at_any_temperature(language):
    """Hypothesis: equal logits have the entropy log 33, and equal noise chooses equal words."""
    network = silent()
    with torch.no_grad():
        network.bias[0] = 1e-5  # so that arg-max has no tie
    found = free_dynamics(network, language, ("the",), texts=6, pairs=3, steps=60)
    assert found["temperature"] == list(TEMPERATURES) and TEMPERATURES[0] == 0
    assert found["entropy"] == pytest.approx([0] + [math.log(33)] * (len(TEMPERATURES) - 1))
    assert found["context"] == list(CONTEXTS)
    assert np.allclose(found["context_loss"], math.log(33), atol=1e-5)
    assert found["merging_time"] == [[0.0] * 3] * len(TEMPERATURES)
    assert found["agreement"] == [1.0] * len(TEMPERATURES)
    (cycle,) = found["cycles"]
    assert cycle["words"] == language.words[0] and cycle["period"] == 1 and cycle["share"] == 1


def test_a_network_with_two_rests_under_every_word_has_two_attractors(language):
    """Hypothesis: x = tanh 2x has two stable points, with the multiplier 2 (1 - x^2) each."""
    network = silent(n_hidden=1)
    with torch.no_grad():
        network.layer.weight_hh_l0.fill_(2.0)
        network.layer.bias_ih_l0.zero_()
        network.layer.bias_hh_l0.zero_()
    starts = torch.tensor([[5.0], [3.0], [0.2], [-4.0]], dtype=torch.float64)
    found = attractors_under(network, 7, starts)
    assert [a["share"] for a in found["attractors"]] == [0.75, 0.25] and found["undecided"] == 0
    x = 0.9575040240772687
    for a in found["attractors"]:
        assert a["kind"] == "fixed point"
        assert a["exponent"] == pytest.approx(math.log(2 * (1 - x**2)), rel=1e-3)


def test_where_every_state_rests_nothing_attracts(language, monkeypatch):
    monkeypatch.setattr(language_dynamics, "SETTLE", 100)
    network = silent("ornn")
    with torch.no_grad():
        network.layer.skew.zero_()
        network.layer.bias.zero_()
    found = attractors_under(network, 0, torch.randn(6, 4, dtype=torch.float64))
    assert found == {"attractors": [], "undecided": 1.0}


def test_copies_that_differ_for_ever_have_no_time_of_merging(language):
    """Hypothesis: by arg-max, units at +1 or -1 that stay say one of two words for ever."""
    network = silent(n_hidden=2)
    with torch.no_grad():
        network.layer.weight_hh_l0.copy_(100 * torch.eye(2))
        network.layer.bias_ih_l0.zero_()
        network.layer.bias_hh_l0.zero_()
        network.layer.weight_ih_l0.copy_(torch.tensor([[1e6, 0.0], [0.0, 0.0]]))
        # the first two words drive the unit to the one side and the other, and read it
        network.embedding.weight[:2, 0] = torch.tensor([1.0, -1.0])
    found = free_dynamics(network, language, ("the",), texts=20, pairs=10, steps=40)
    assert sorted(c["words"] for c in found["cycles"]) == sorted(language.words[:2])
    shares = {c["words"]: c["share"] for c in found["cycles"]}
    assert sum(shares.values()) == 1
    apart = found["merging_time"][0].count(None)
    assert 0 < apart == 10 - found["merging_time"][0].count(0.0)
    assert found["agreement"][0] == 1 - apart / 10


@pytest.mark.parametrize("pairs", [0, 4])
def test_pairs_need_texts(language, pairs):
    with pytest.raises(ValueError, match=f"pairs is {pairs}; 6 texts make 1 to 3 pairs"):
        free_dynamics(silent(), language, (), texts=6, pairs=pairs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = configure(
        "language", "quick", epochs=1, n_hidden=8, record_burn_in=20, record_states=2
    )
    (folder,) = runner.run(config, tmp_path_factory.mktemp("store"), progress=False)
    return folder


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / folder.name)


def test_a_run_is_analysed_from_the_command_line_once(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(language_dynamics, "SETTLE", 50)  # which takes the longest
    monkeypatch.setattr(language_dynamics, "EXAMINED", 2)
    folder = copy_of(trained, tmp_path)
    assert main(["analyse", str(folder), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{folder / 'dynamics.json'}\n"
    store.check(folder)  # the marker knows the file
    found = store.read_json(folder / "dynamics.json")
    assert [w["epoch"] for w in found["written"]] == [0, 1]
    assert all(len(w["drawn"].split()) == 60 for w in found["written"])
    assert EOS in found["written"][1]["drawn"]
    assert list(found["constant"]) == ["<eos>", "the", "sings", "harbour"]
    assert 0 < sum(c["share"] for c in found["cycles"]) <= 1
    (folder / "checkpoint.pt").unlink()
    without_network(folder)
    assert analyse_language(folder) == found


def without_network(folder):
    """As of a network that is too large for the results to hold its weights."""
    (folder / "network.pt").unlink()
    mark = store.read_mark(folder)
    del mark["sha256"]["network.pt"]
    store._write_mark(folder, mark)


def test_a_run_on_its_way_is_analysed_and_again_when_it_has_gone_on(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(language_dynamics, "HELD", {"synthetic": ()})  # which takes the longest
    folder = copy_of(trained, tmp_path)
    mark = (folder / "done.json").read_text()
    (folder / "done.json").unlink()
    found = analyse_language(folder)
    assert found["epochs"] == 1 and not (folder / "done.json").exists()
    (folder / "done.json").write_text(mark)
    for changed in ({"epochs": 0}, {"weights": "of another network"}):
        write_json(folder / "dynamics.json", found | changed)
        (folder / "done.json").write_text(mark)
        assert analyse_language(folder) == found
        store.check(folder)


def test_the_weights_of_a_large_network_are_those_of_its_checkpoint(trained, tmp_path):
    folder = copy_of(trained, tmp_path)
    kept = store.read_network(folder).state_dict()
    without_network(folder)
    from_checkpoint = store.read_network(folder).state_dict()
    assert all(torch.equal(kept[key], from_checkpoint[key]) for key in kept)
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(FileError, match="neither network.pt nor checkpoint.pt.*Run it again"):
        store.read_network(folder)
    with pytest.raises(FileError, match="neither network.pt nor checkpoint.pt"):
        analyse_language(folder)


def test_what_cannot_be_analysed_says_why(trained, tmp_path, capsys):
    folder = copy_of(trained, tmp_path)
    (folder / "history.csv").unlink()
    with pytest.raises(FileError, match="history.csv cannot be read"):
        analyse_language(folder)
    sine = configure("sine", "quick", epochs=1, n_hidden=4, n_sequences=2, length=20)
    (other,) = runner.run(sine, tmp_path / "store", progress=False)
    with pytest.raises(ValueError, match="holds a run of sine; it must be one of language"):
        analyse_language(other)
    assert main(["analyse", str(tmp_path / "nothing")]) == 2
    assert "cannot be read" in capsys.readouterr().err

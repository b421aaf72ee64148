"""Language modelling as a task, and what is recorded of a network left alone."""

import math
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from rnnlib.files import FileError
from rnnlib.language import (
    TEXT,
    LanguageModel,
    LanguageRecorder,
    LanguageSamples,
    read_language_samples,
    read_packed,
)
from rnnlib.tasks.corpus import EOS
from rnnlib.tasks.hidden_markov_language import three_places
from rnnlib.tasks.hidden_markov_reader import IdealReader
from rnnlib.tasks.language import Language, load, perplexity
from rnnlib.training import Run, Settings, train

pytest.importorskip("pandas", reason="rnnlib.runs needs the extra batch")
from rnnlib.runs import configure, runner, store  # noqa: E402


def test_a_model_that_knows_the_language_reaches_its_entropy_rate():
    language = three_places()
    task = Language("synthetic", 10, 2000)
    found = task.entropy(IdealReader(language), "valid")
    assert found == pytest.approx(language.entropy_rate(), abs=0.03)
    record = task.evaluate(IdealReader(language))
    assert record["valid_perplexity"] == pytest.approx(math.exp(record["valid_loss"]))


def test_training_on_the_synthetic_language_beats_every_bigram_model():
    torch.manual_seed(0)
    task = Language("synthetic", 20, 40)
    run = Run(task, LanguageModel("lstm", 33, 24, 0.0), Settings(epochs=3, learning_rate=1e-2))
    train(run, progress=False)
    language = three_places()
    assert language.entropy_rate() < run.best["value"] < language.markov_entropy(1)
    # the epoch's mean of the training loss is per word
    assert run.history[0]["loss"] == pytest.approx(2, abs=0.6)


def test_a_loss_past_what_a_float_can_raise_e_to_is_an_infinite_perplexity():
    """Hypothesis: the epoch is written down, and the schedule goes on from the loss."""
    assert perplexity(709) == pytest.approx(math.exp(709)) and perplexity(710) == math.inf
    task = Language("synthetic", 20, 40)

    class Lost(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(800.0))

        def loss(self, tokens, targets, state=None):
            return self.w, None

    assert task.evaluate(Lost()) == {"valid_loss": 800.0, "valid_perplexity": math.inf}
    assert task.test(Lost()) == {"test_perplexity": math.inf}


def test_the_number_of_streams_in_evaluation_is_the_tasks():
    read = []

    class Listener:
        def loss(self, tokens, targets, state=None):
            read.append(tokens.shape[1])
            return torch.tensor(1.0), None

    for count in (7, 100):
        read.clear()
        Language("synthetic", 20, 40, evaluation_streams=count).entropy(Listener(), "valid")
        assert set(read) == {count}
    with pytest.raises(ValueError, match="reduction is 'max'"):
        Language("synthetic", 20, 40, reduction="max")


def test_a_summed_loss_cuts_every_gradient_and_trains_nearly_alike():
    """Hypothesis: Adam divides the scale out; what the history reports is per word in both."""
    found = {}
    for reduction in ("mean", "sum"):
        torch.manual_seed(0)
        task = Language("synthetic", 20, 40, reduction=reduction)
        settings = Settings(epochs=1, learning_rate=1e-2, clip=0.25)
        run = Run(task, LanguageModel("lstm", 33, 24, 0.0), settings)
        train(run, progress=False)
        (found[reduction],) = run.history
    assert found["sum"]["gradient_norm"] > 100 * 0.25
    assert found["sum"]["loss"] == pytest.approx(found["mean"]["loss"], abs=0.3)


def test_products_of_bfloat16_train_to_the_same_perplexity():
    """Hypothesis: rounding the decoder's factors moves the result less than half an epoch does."""
    best = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = LanguageModel("lstm", 33, 24, 0.0, precision)
        task = Language("synthetic", 20, 40)
        run = Run(task, model, Settings(epochs=3, learning_rate=1e-2))
        train(run, progress=False)
        best[precision] = [record["valid_loss"] for record in run.history]
    assert best["float32"] != best["bfloat16"]
    gain = best["float32"][1] - best["float32"][2]
    assert abs(best["float32"][2] - best["bfloat16"][2]) < gain / 2


def test_evaluation_is_float32_whatever_the_training_is():
    torch.manual_seed(0)
    model = LanguageModel("lstm", 33, 24, 0.0, "bfloat16")
    tokens, targets = torch.randint(33, (2, 9, 4))
    rounded = model.loss(tokens, targets)[0]
    model.eval()
    exact = model.loss(tokens, targets)[0]
    model.precision = "float32"
    assert torch.equal(exact, model.loss(tokens, targets)[0])
    assert rounded != exact and abs(rounded - exact) < 1e-3


def test_every_token_but_the_first_of_a_stream_is_predicted_once():
    task = Language("synthetic", 7, 30)
    seen = torch.cat([targets for _, targets in task.batches()])
    assert torch.equal(seen, task.stream[1:])


class Counts(nn.Module):
    """Stands in for a network: its state is the number of windows since it was zero."""

    def __init__(self):
        super().__init__()
        self.bias, self.seen = nn.Parameter(torch.zeros(1)), []

    def loss(self, tokens, targets, state=None):
        state = torch.zeros(()) if state is None else state
        self.seen.append(int(state))
        return self.bias.sum(), state + 1


@pytest.mark.parametrize("window_start", ["carried", "zero"])
def test_a_window_begins_in_the_state_that_is_asked_for(window_start):
    """Known answer: windows counted by the state, zero when an epoch or an evaluation begins."""
    task = Language("synthetic", 100, 100, window_start=window_start)
    run = Run(task, Counts(), Settings(epochs=2, learning_rate=0.1))
    train(run, progress=False)
    n = len(list(task.batches()))
    n_valid = (len(run.model.seen) - 2 * n) // 2
    assert n > 5 and n_valid > 5
    epoch = [*range(n), *range(n_valid)]
    carried = window_start == "carried"
    assert run.model.seen == [i if carried else 0 for i in 2 * epoch]


def test_an_unknown_corpus_is_an_error():
    with pytest.raises(ValueError, match="corpus is 'wikitext'"):
        load("wikitext")
    with pytest.raises(ValueError, match="Did you mean 'wikitext-2'"):
        configure("language", "quick", corpus="wikitext")
    with pytest.raises(ValueError, match="Did you mean 'bfloat16'"):
        configure("language", "quick", precision="bf16")
    with pytest.raises(ValueError, match="precision is 'half'"):
        LanguageModel("lstm", 33, 24, precision="half")
    with pytest.raises(ValueError, match="window_start is 'reset'"):
        Language("synthetic", 10, 20, window_start="reset")
    with pytest.raises(ValueError, match="'zeros' is not a window_start.*Did you mean 'zero'"):
        configure("language", "quick", window_start="zeros")
    with pytest.raises(ValueError, match="dropout is 1"):
        configure("language", "quick", dropout=1.0)


def recorder(folder, **more):
    sizes = {"states": 2, "burn_in": 30, "steps": 6, "exponent_steps": 40, "spread": 2.0}
    return LanguageRecorder(folder, [3, 5], [4], 0, **(sizes | more))


@pytest.mark.parametrize("model", ["lstm", "ornn", "slstm-certified"])
def test_a_sample_holds_the_free_runs_of_every_word_and_state(model, tmp_path):
    torch.manual_seed(0)
    network = LanguageModel(model, 11, 6).eval()
    record = recorder(tmp_path, every=2)
    for epoch in range(4):
        record(epoch, network)
    samples = read_language_samples(tmp_path)
    assert samples.epochs.tolist() == [0, 2]
    shapes = {name: value.shape[1:] for name, value in samples._asdict().items()}
    assert shapes["constant"] == shapes["closed"] == (6, 2, 2, 2)
    assert shapes["words"] == (36, 2, 2)
    for name in ("exponent", "exponent_error", "period", "transient", "residual"):
        assert shapes[name] == (2, 2)
    assert shapes["greedy"] == shapes["drawn"] == (TEXT,)
    for field in LanguageSamples._fields[1:]:  # the network did not change
        a, b = getattr(samples, field)
        np.testing.assert_array_equal(a, b)


def test_a_contraction_forgets_its_start_under_every_constant_word(tmp_path):
    torch.manual_seed(0)
    network = LanguageModel("slstm-certified", 11, 6).eval()
    network.constrain_(1)
    sample = recorder(tmp_path, burn_in=300).sample(network)
    constant = sample["constant"]
    torch.testing.assert_close(constant, constant[:1, :, :1].expand_as(constant))
    assert (sample["exponent"] < 0).all()
    # and shows the logits of the fixed point
    h = torch.zeros(1, 1, 6)
    state = (h, h)
    for _ in range(300):
        logits, state = network(torch.tensor([[3]]), state)
    expected = torch.stack([logits.mean(), logits[0, 0, 4]]).detach()
    torch.testing.assert_close(constant[-1, 0, 0], expected, atol=1e-5, rtol=0)


def test_the_recorded_texts_are_those_that_the_network_itself_chooses(tmp_path):
    torch.manual_seed(0)
    network = LanguageModel("gru", 11, 6).eval()
    greedy = recorder(tmp_path).sample(network)["greedy"]
    word, state, text = torch.tensor([[0]]), None, []
    with torch.no_grad():
        for _ in range(TEXT):
            logits, state = network(word, state)
            word = logits.argmax(-1)
            text.append(word.item())
    assert greedy.tolist() == text


def test_a_run_of_the_language_experiment_is_stored_whole(tmp_path):
    config = configure(
        "language", "quick", epochs=1, n_hidden=8, record_burn_in=20, record_states=2
    )
    (folder,) = runner.run(config, tmp_path, progress=False)
    store.check(folder)
    samples = read_packed(folder)
    assert samples.epochs.tolist() == [0, 1]
    exact = read_language_samples(folder / "orbits")
    np.testing.assert_allclose(samples.closed, exact.closed, rtol=2.0**-10, atol=1e-4)
    np.testing.assert_array_equal(samples.words, exact.words)
    network = store.read_network(folder)
    task = config.task()
    best = task.test(network)["test_perplexity"]
    (found,) = store.find(tmp_path, "language", corpus="synthetic")
    assert found == folder
    assert store.read_json(folder / "done.json")["best"]["test_perplexity"] == pytest.approx(best)
    assert task.corpus.words[task.corpus.index[EOS]] == EOS

    # of a run on its way the packed samples may be old
    (folder / "done.json").unlink()
    assert read_packed(folder).closed.tobytes() == exact.closed.tobytes()
    shutil.rmtree(folder / "orbits")
    assert read_packed(folder).closed.tobytes() == samples.closed.tobytes()

    (folder / "orbits.npz").write_bytes(b"not a zip file")
    with pytest.raises(FileError, match="orbits.npz cannot be read"):
        read_packed(folder)


def test_samples_that_are_missing_or_damaged_are_errors_that_name_them(tmp_path):
    with pytest.raises(FileError, match="holds no samples"):
        read_language_samples(tmp_path)
    (tmp_path / "epoch_00003.npz").write_bytes(b"PK")
    with pytest.raises(FileError, match="epoch_00003.npz cannot be read.*Restore it"):
        read_language_samples(tmp_path)

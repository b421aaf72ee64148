"""Settings: presets, the hash that names a run, and what is refused."""

import dataclasses

import pytest
import torch

from rnnlib.files import read_json, write_json
from rnnlib.runs import store
from rnnlib.runs.experiments import EXPERIMENTS, configure, from_dict, training_settings


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_survive_the_way_through_a_file(name):
    for preset in EXPERIMENTS[name].PRESETS:
        config = configure(name, preset, seed=3)
        again = from_dict(config.to_dict())
        assert again == config and again.hash == config.hash


def test_a_setting_added_later_renames_no_stored_run():
    """Known answer: the folder of a run that was stored before ``window_start`` existed."""
    config = configure("language", "middle", model="lstm", epochs=5)
    assert config.window_start == "carried" and config.hash == "ddeadbccc693"


def test_every_stored_run_lies_in_the_folder_that_its_settings_name():
    """Hypothesis: neither a new setting nor a new default has renamed a run in ``results/``."""
    paths = list(store.root_of("text").glob("*/*/*/config.json"))
    assert len(paths) >= 46
    for path in paths:
        config = from_dict(read_json(path))
        assert path.parent.parts[-3:] == (config.name, config.model, config.hash)


def test_the_texts_settings_of_sine_and_language_are_those_of_the_runs_stored_before():
    """Known answers: the names of folders from before there were two settings."""
    assert configure("sine", "text", model="lstm").hash == "50f88846a176"
    assert configure("sine", "text", model="slstm").hash == "414ab1fdc7ee"
    # and the scripts', but for the seed
    assert configure("sine", "scripts", model="lstm", seed=0).hash == "af12b3e04183"


def test_a_run_stored_without_a_later_setting_is_found_by_its_default(tmp_path):
    config = configure("language", "middle")
    values = config.to_dict()
    del values["window_start"]
    folder = store.folder_of(tmp_path, config)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", values)
    assert store.find_alike(tmp_path, config, finished=False) == [folder]
    zero = dataclasses.replace(config, window_start="zero")
    assert store.find_alike(tmp_path, zero, finished=False) == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_any_change_of_a_setting_changes_the_hash(name):
    config = EXPERIMENTS[name]()  # what was added later has the default that those before had
    hashes = {config.hash}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        other = {"model": "gru", "corpus": "synthetic", "decay_epochs": (1, 2), "dropout": 0.25}
        other |= {"precision": "bfloat16", "window_start": "zero", "kept_weights": "last"}
        other |= {
            "layer_precision": "fastest",
            "until": "epochs",
            "draw": "scripts",
            "reduction": "sum",
            "beginning": "torch",
        }
        other = other.get(field.name) or value + 1
        hashes.add(dataclasses.replace(config, **{field.name: other}).hash)
    assert len(hashes) == 1 + len(dataclasses.fields(config))


def test_the_same_seed_draws_the_same_weights_and_another_seed_others():
    def weights(seed):
        network = configure("sine", "quick", seed=seed).network()
        return torch.cat([p.flatten() for p in network.parameters()])

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    assert torch.equal(weights(0), first) and not torch.equal(weights(1), first)


def test_the_stable_lstms_rate_decays_in_the_full_sine_experiment_and_the_others_does_not():
    for model, epochs in (("slstm", (500, 1000, 2000)), ("lstm", ()), ("ornn", ())):
        assert configure("sine", "full", model=model).decay_epochs == epochs
    assert configure("sine", "full", model="slstm", decay_epochs=()).decay_epochs == ()
    assert configure("sine", "full", model="lstm", decay_epochs=[5]).decay_epochs == (5,)


def test_the_presets_of_the_language_model_differ():
    hashes = {configure("language", preset).hash for preset in ("quick", "middle", "full")}
    assert len(hashes) == 3


def test_the_settings_that_differ_from_the_papers_are_named():
    assert configure("sine", "full", model="slstm").changes() == {}
    changed = configure("sine", "full", decay_epochs=(5,), seed=2).changes()
    assert changed == {"decay_epochs": (5,), "seed": 2}


def test_the_two_settings_of_the_paper_are_wholes():
    """Known answers: the paper's text, and the authors' scripts."""
    text, scripts = (configure("classification", preset) for preset in ("text", "scripts"))
    assert (text.n_hidden, text.learning_rate, text.decay_factor) == (200, 1e-2, 0.1)
    assert (text.epochs, text.until, text.kept_weights) == (15000, "solved", "best")
    assert (scripts.n_hidden, scripts.learning_rate, scripts.decay_factor) == (50, 1e-3, 0.25)
    assert (scripts.epochs, scripts.until, scripts.kept_weights) == (10000, "epochs", "last")
    assert scripts.seed == scripts.data_seed == 2
    assert text.decay_epochs == scripts.decay_epochs == (500, 1000, 2000)
    assert text.clip == scripts.clip == 0.25 and text.batch_size == scripts.batch_size == 100
    for model in ("lstm", "slstm", "ornn"):
        sine = configure("sine", "scripts", model=model)
        assert (sine.seed, sine.decay_epochs, sine.decay_factor) == (2, (500, 1000, 2000), 0.1)
    language = configure("language", "scripts")
    assert (language.reduction, language.beginning, language.window) == ("sum", "torch", 70)
    assert (language.evaluation_streams, language.epochs, language.seed) == (100, 100, 2)
    text = configure("language", "text")
    assert (text.window, text.batch_size, text.n_hidden, text.dropout) == (80, 100, 800, 0.5)


def test_the_data_follow_the_runs_seed_unless_they_are_given():
    assert configure("classification", "text", seed=3).data_seed == 3
    assert configure("classification", "quick", seed=3).data_seed == 3
    assert configure("classification", "text", seed=3, data_seed=1).data_seed == 1
    task = configure("classification", "text", seed=3, n_train=30, n_valid=30).task()
    next_one = configure("classification", "text", seed=4, n_train=30, n_valid=30).task()
    for valid, train in zip(task.valid, next_one.train, strict=True):
        assert torch.equal(torch.cat(valid, -1), torch.cat(train, -1))  # of the seed + 1


def test_what_says_nothing_of_the_training_leaves_runs_alike():
    config = configure("classification", "text", seed=1)
    same = dict(seed=2, data_seed=5, draw="streams", stall_epochs=0, record_every=10)
    other = dict(until="epochs", decay_factor=0.25, n_hidden=50, epochs=10000)
    alike = dataclasses.replace(config, kept_weights="last", **same)
    assert training_settings(alike) == training_settings(config)
    for name, value in other.items():
        changed = dataclasses.replace(config, **{name: value})
        assert training_settings(changed) != training_settings(config)


def test_settings_from_when_the_base_moved_are_not_taken_for_the_papers_network():
    values = configure("sine", "text", model="ornn").to_dict()
    assert from_dict(values).model == "ornn"
    for added in ("decay_factor", "stall_epochs", "stall_change", "kept_weights"):
        del values[added]
    with pytest.raises(ValueError, match="rnnlib.runs.migration"):
        from_dict(values)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_network_is_float32_whatever_the_sessions_default(name):
    config = configure(name, "quick", n_hidden=3)
    expected = config.network().state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        found = config.network().state_dict()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert all(p.dtype == torch.float32 for p in found.values())


def test_what_is_stored_of_a_classification_run_stays_small():
    """Hypothesis: 401 samples in half precision are at most 1.6 MB, few samples keep 40 steps."""
    config = configure("classification", "text")
    inputs, steps = config.kept()
    size = 401 * steps * len(inputs) * config.record_states * 4 * 2
    assert config.record_every == 1 and size <= 1.6e6
    assert configure("classification", "quick").kept()[1] == 40
    # the sample ends where the paper's does
    assert config.record_burn_in + config.record_steps == 400 + 400


def test_none_stands_for_the_presets_value():
    assert configure("sine", "full", epochs=None) == configure("sine", "full")


@pytest.mark.parametrize(
    ("experiment", "preset", "changes", "message"),
    [
        ("sin", "full", {}, "Did you mean 'sine'"),
        ("sine", "ful", {}, "Did you mean 'full'"),
        ("sine", "middle", {}, "sine has no preset 'middle'"),
        ("sine", "full", {"epoch": 3}, "Did you mean 'epochs'"),
        ("sine", "full", {"model": "lstn"}, "Did you mean 'lstm'"),
        ("sine", "full", {"epochs": "3"}, "epochs is '3', a str; it must be a int"),
        ("sine", "full", {"epochs": 2.5}, "epochs is 2.5"),
        ("sine", "full", {"epochs": True}, "epochs is True"),
        ("sine", "full", {"n_hidden": 0}, "n_hidden is 0"),
        ("sine", "full", {"decay_epochs": (1.5,)}, "decay_epochs"),
        ("sine", "full", {"decay_epochs": (-5,)}, "decay_epochs"),
        ("sine", "full", {"clip": float("inf")}, "clip is inf"),
        ("sine", "full", {"clip": float("nan")}, "clip is nan"),
        ("sine", "full", {"learning_rate": 1e300}, "learning_rate is 1e.300"),
        ("sine", "full", {"seed": -1}, "seed is -1; it must be at least 0"),
        ("sine", "full", {"seed": 2**70}, f"seed is {2**70}; it must be below"),
        ("classification", "full", {"data_seed": 2**32}, "data_seed is"),
        ("classification", "full", {"draw": "script"}, "Did you mean 'scripts'"),
        ("classification", "full", {"until": "solve"}, "Did you mean 'solved'"),
        ("language", "full", {"reduction": "sume"}, "Did you mean 'sum'"),
        ("language", "full", {"beginning": "troch"}, "Did you mean 'torch'"),
        ("language", "full", {"dropout": -0.1}, "dropout is -0.1"),
        ("language", "full", {"dropout": 1.0}, "dropout is 1.0"),
        ("sine", "full", {"kept_weights": "lasd"}, "Did you mean 'last'"),
        ("sine", "full", {"layer_precision": "bfloat61"}, "Did you mean 'bfloat16'"),
        ("sine", "full", {"model": "ornn", "layer_precision": "bfloat16"}, "only LSTMs have"),
    ],
)
def test_what_is_unknown_or_of_the_wrong_kind_is_refused(experiment, preset, changes, message):
    with pytest.raises(ValueError, match=message):
        configure(experiment, preset, **changes)


def test_an_integer_serves_as_a_number():
    assert configure("sine", "full", clip=1) == configure("sine", "full", clip=1.0)


def test_a_length_too_short_for_the_symbols_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="at least 49"):
        configure("classification", "full", length=48).task()

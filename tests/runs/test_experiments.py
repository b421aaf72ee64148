"""Settings: presets, the hash that names a run, and what is refused."""

import dataclasses

import pytest
import torch

from rnnlib.files import write_json
from rnnlib.runs import store
from rnnlib.runs.experiments import EXPERIMENTS, configure, from_dict


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_survive_the_way_through_a_file(name):
    for preset in ("quick", "full"):
        config = configure(name, preset, seed=3)
        again = from_dict(config.to_dict())
        assert again == config and again.hash == config.hash


def test_a_setting_added_later_renames_no_stored_run():
    """Known answer: the folder of a run that was stored before ``window_start`` existed."""
    config = configure("language", "middle", model="lstm", epochs=5)
    assert config.window_start == "carried" and config.hash == "ddeadbccc693"


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
    config = configure(name, "full")
    hashes = {config.hash}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        other = {"model": "gru", "corpus": "synthetic", "decay_epochs": (1, 2), "dropout": 0.25}
        other |= {"precision": "bfloat16", "window_start": "zero"}
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

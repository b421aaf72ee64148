"""A store from when "ornn" was the name of the re-based orthogonal RNN."""

import json

import pytest

from rnnlib.files import (
    FileError,
    json_text,
    load_checkpoint,
    read_json,
    save_checkpoint,
    write_json,
)
from rnnlib.runs import runner, store
from rnnlib.runs.experiments import configure
from rnnlib.runs.migration import REBASED, measure_stored, migrate

ADDED = ("decay_factor", "stall_epochs", "stall_change", "kept_weights")


@pytest.fixture
def old(tmp_path):
    """A store with a finished run as it was left then, and a run of the paper's network."""
    sizes = dict(n_hidden=4, epochs=2, n_sequences=2, length=9, record_every=1)
    sizes |= dict(record_burn_in=1, record_steps=2)
    configs = [configure("sine", "quick", model=m, **sizes) for m in ("ornn-rebased", "ornn")]
    made, papers = runner.run(configs, tmp_path, progress=False)
    values = {k: v for k, v in read_json(made / "config.json").items() if k not in ADDED}
    values["model"] = "ornn"
    state = load_checkpoint(made / "checkpoint.pt") | {"config": values}
    save_checkpoint(made / "checkpoint.pt", state)
    store.seal(made, {"config.json": json_text(values)}, look=False)
    there = tmp_path / "sine" / "ornn" / "0123456789ab"
    made.rename(there)
    return tmp_path, there, papers


def test_an_old_run_is_told_as_what_it_is_and_nothing_else_changes(old):
    root, there, papers = old
    kept = {p.name: p.read_bytes() for p in there.iterdir() if p.is_file()}
    untouched = {p.name: p.read_bytes() for p in papers.iterdir() if p.is_file()}
    provenance = read_json(there / "provenance.json")
    (moved,) = migrate(root)
    config = store.read_config(moved)
    assert config.model == "ornn-rebased" and moved == store.folder_of(root, config)
    assert not there.exists()
    store.check(moved)
    network = store.read_network(moved)
    assert network.layer.base is not None  # its weights fit the network that the name stands for
    for name in ("history.csv", "orbits.npz", "network.pt"):
        assert (moved / name).read_bytes() == kept[name]
    assert read_json(moved / "provenance.json") == provenance | {"note": REBASED}
    before, after = json.loads(kept["done.json"]), read_json(moved / "done.json")
    assert after["best"] == before["best"] and after["last"] == before["last"]
    assert {p.name: p.read_bytes() for p in papers.iterdir() if p.is_file()} == untouched
    assert migrate(root) == []
    assert store.find(root, "sine", model="ornn") == [papers]
    (moved / "done.json").unlink()
    assert runner.run(config, root, progress=False) == [moved]  # its checkpoint is taken up
    assert read_json(moved / "provenance.json")["parts"][-1]["from_epoch"] == 2
    assert read_json(moved / "provenance.json")["note"] == REBASED


def test_a_migration_that_was_stopped_half_way_goes_on(old):
    root, there, _ = old
    values = read_json(there / "config.json")
    write_json(there / "config.json", values | {"model": "ornn-rebased"})
    (moved,) = migrate(root)
    store.check(moved)


def test_an_altered_result_is_not_renamed(old):
    root, there, _ = old
    (there / "history.csv").write_text("1")
    with pytest.raises(FileError, match="history.csv was altered"):
        migrate(root)
    assert read_json(there / "config.json")["model"] == "ornn"


def test_old_weights_are_measured_on_fresh_data(old):
    root, _, papers = old
    migrate(root)
    (rebased,) = store.find(root, "sine", model="ornn-rebased")
    expected = {}
    for folder in (rebased, papers):
        mark = read_json(folder / "done.json")
        expected[folder] = mark["best"].pop("evaluated_mse")
        for name in ("stored", "end", "seal"):  # as the first markers were
            del mark[name]
        write_json(folder / "done.json", mark)
    assert set(measure_stored(root)) == {rebased, papers}
    for folder, value in expected.items():
        mark = store.read_mark(folder)
        assert mark["best"]["evaluated_mse"] == pytest.approx(value, rel=1e-6)
        store.check(folder)
    assert measure_stored(root) == []

import pytest

from rnnlib.files import write_json, write_text
from rnnlib.runs import runner, store
from rnnlib.runs.experiments import configure
from rnnlib.runs.paper_size import first_of_each, history, longest_recorded, paper_size


@pytest.fixture
def root_and_begun(tmp_path):
    """A store with folders as a run leaves them: settings, history and, if it has ended, marker."""

    def begun(model, length, seed, finished, epochs=2, **changes):
        config = configure(
            "classification", "full", model=model, length=length, seed=seed, **changes
        )
        folder = store.folder_of(tmp_path, config)
        folder.mkdir(parents=True)
        write_json(folder / "config.json", config.to_dict())
        rows = "".join(f"{epoch},0.5\n" for epoch in range(1, epochs + 1))
        write_text(folder / "history.csv", "epoch,valid_accuracy\n" + rows)
        if finished:
            store.mark_done(folder, {"best": {}, "last": {}})
        return folder

    return tmp_path, begun


def test_runs_are_grouped_by_length_and_learning_rate_and_others_left_out(root_and_begun):
    root, begun = root_and_begun
    second = begun("lstm", 50, 1, finished=False)
    first = begun("lstm", 50, 0, finished=True)
    slow = begun("ornn", 100, 0, finished=True, learning_rate=1e-3)
    begun("lstm", 50, 0, finished=True, n_hidden=8)  # not the paper's size
    begun("lstm", 50, 2, finished=True, batch_size=10)
    often = begun("lstm", 50, 3, finished=True, record_every=1)  # trains the same
    groups = paper_size(root)
    assert groups == {(50, 0.01): [first, second, often], (100, 0.001): [slow]}
    assert first_of_each(groups) == {("lstm", 50, 0.01): first, ("ornn", 100, 0.001): slow}


def test_a_history_says_whose_it_is_and_whether_it_has_ended(root_and_begun):
    _, begun = root_and_begun
    for finished in (True, False):
        table = history(begun("gru", 50, int(finished), finished))
        assert table["model"].tolist() == ["gru"] * 2
        assert table["finished"].tolist() == [finished] * 2


def test_an_empty_store_has_no_groups(tmp_path):
    assert paper_size(tmp_path) == {} and longest_recorded({}, "lstm") is None


def test_the_longest_recorded_run_has_the_most_samples(tmp_path):
    """Hypothesis: of two real runs that differ in how often they record."""
    sizes = dict(n_hidden=2, n_train=4, n_valid=4, record_burn_in=1, record_steps=4, epochs=2)
    configs = [
        configure("classification", "quick", model="gru", record_every=k, **sizes) for k in (2, 1)
    ]
    rare, often = runner.run(configs, tmp_path, progress=False)
    assert longest_recorded({(50, 0.01): [rare, often]}, "gru") == often
    assert longest_recorded({(50, 0.01): [rare, often]}, "lstm") is None

"""The analysis of a run's snapshots, and what it leaves behind."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from rnnlib.__main__ import main
from rnnlib.files import FileError, json_text, save_arrays, write_json
from rnnlib.runs import runner, sine_dynamics, store
from rnnlib.runs.experiments import DECAY, configure
from rnnlib.runs.sine_dynamics import (
    analyse_sine,
    coexistence,
    crossing_between,
    read_crossings,
    read_dynamics,
    sine_runs_at_paper_size,
    snapshots,
)
from rnnlib.training import Samples

EPOCHS = 80


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small LSTM that learns to oscillate within its 80 epochs, analysed at once."""
    config = configure(
        "sine", "quick", model="lstm", n_hidden=12, n_sequences=4, length=48, epochs=EPOCHS,
        learning_rate=1e-2, decay_epochs=(), record_states=1, record_burn_in=400, record_steps=32,
    )  # fmt: skip
    (folder,) = runner.run(config, tmp_path_factory.mktemp("store"), progress=False)
    return folder, analyse_sine(folder)


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / folder.name)


def test_every_snapshot_gets_a_row_and_the_file_holds_what_is_returned(trained):
    folder, table = trained
    assert list(table["epoch"]) == snapshots(folder) == list(range(0, EPOCHS + 1, 10))
    pd.testing.assert_frame_equal(table, read_dynamics(folder), check_dtype=False)


def test_the_command_line_writes_the_same_table(trained, tmp_path, capsys):
    folder, table = trained
    again = copy_of(folder, tmp_path)
    for name in ("dynamics.csv", "crossings.csv", "snapshots/fixed_points.pt"):
        (again / name).unlink()
    assert main(["analyse", str(again), "--quiet", "--every", "4"]) == 0
    assert capsys.readouterr().out == f"{again / 'dynamics.csv'}\n"
    expected = table[::4].drop(columns="epoch")
    found = read_dynamics(again)
    assert list(found.pop("epoch")) == list(table["epoch"][::4])
    columns = ["exponent", "amplitude", "frequency", "mean"]  # the point depends on the one before
    np.testing.assert_allclose(found[columns], expected[columns], rtol=1e-5, atol=1e-6)


def test_what_cannot_be_analysed_says_why(tmp_path, capsys):
    config = configure("classification", "quick", n_hidden=4, epochs=1, record_burn_in=5)
    (folder,) = runner.run(config, tmp_path, progress=False)
    for arguments, message in (
        ([str(folder)], "holds a run of classification; it must be one of sine"),
        ([str(tmp_path)], "config.json cannot be read"),
        ([str(folder), "--every", "0"], "every is 0; it must be at least 1"),
    ):
        assert main(["analyse", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_a_crossing_lies_between_a_row_inside_and_a_row_outside_the_circle(trained):
    folder, table = trained
    modulus = table.set_index("epoch")["modulus"]
    crossings = read_crossings(folder)
    assert len(crossings) >= 1
    for row in crossings.itertuples():
        assert (modulus[row.before] - 1) * (modulus[row.after] - 1) < 0
        found = crossing_between(folder, row.before, row.after)
        assert abs(abs(found.multiplier) - 1) < 1e-8
        assert found.at == pytest.approx(row.at) and found.coefficient == pytest.approx(
            row.coefficient
        )


def test_an_analysis_cut_short_goes_on_to_the_same_table(trained, tmp_path, monkeypatch):
    folder, table = trained
    again = copy_of(folder, tmp_path)
    for name in ("dynamics.csv", "crossings.csv", "snapshots/fixed_points.pt"):
        (again / name).unlink()
    monkeypatch.setattr(sine_dynamics, "WRITE_EVERY", 4)
    calls, whole = [], sine_dynamics.dynamics_along

    def cut_short(networks, *arguments, **options):
        calls.append(len(networks))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(networks, *arguments, **options)

    monkeypatch.setattr(sine_dynamics, "dynamics_along", cut_short)
    with pytest.raises(KeyboardInterrupt):
        analyse_sine(again)
    assert len(sine_dynamics._so_far(again)) == 4
    resumed = analyse_sine(again)
    assert calls == [4, 4, 4, 1]  # what was there is not done again
    np.testing.assert_allclose(resumed, table, rtol=1e-5, atol=1e-6)
    pd.testing.assert_frame_equal(read_crossings(again), read_crossings(folder), rtol=1e-4)


def test_a_stored_run_without_snapshots_is_read_and_one_without_both_is_refused(trained, tmp_path):
    folder, table = trained
    stored = copy_of(folder, tmp_path)
    shutil.rmtree(stored / "snapshots")
    pd.testing.assert_frame_equal(analyse_sine(stored), table, check_dtype=False)
    (stored / "dynamics.csv").write_text("epoch,modulus\n0,1\n")
    with pytest.raises(FileError, match="dynamics.csv was altered"):
        analyse_sine(stored)
    (stored / "done.json").rename(stored / "done")  # as of a run on its way
    with pytest.raises(FileError, match="its columns are epoch, modulus"):
        analyse_sine(stored)
    (stored / "done").rename(stored / "done.json")
    (stored / "dynamics.csv").unlink()
    with pytest.raises(FileError, match="dynamics.csv cannot be read"):
        analyse_sine(stored)


def test_rows_whose_fixed_points_are_gone_are_made_anew(trained, tmp_path):
    folder, table = trained
    again = copy_of(folder, tmp_path)
    (again / "snapshots" / "fixed_points.pt").unlink()
    with pytest.raises(FileError, match="call analyse first"):
        crossing_between(again, 0, 10)
    np.testing.assert_allclose(analyse_sine(again), table, rtol=1e-6, atol=1e-8)


def test_only_finished_runs_at_the_papers_size_count_as_such(tmp_path):
    quick = configure("sine", "quick", model="ornn")
    for config in (
        configure("sine", "full", model="ornn", seed=1),
        configure("sine", "full", model="ornn", seed=0, record_every=20),
        configure("sine", "full", model="lstm", decay_epochs=DECAY),
        configure("sine", "full", model="lstm", epochs=3999),
        dataclasses.replace(quick, epochs=4000, n_hidden=200),
    ):
        folder = store.folder_of(tmp_path, config)
        folder.mkdir(parents=True)
        texts = {name: "{}" for name in ("provenance.json", "history.csv")}
        save_arrays(folder / "orbits.npz", epochs=np.arange(0))
        texts["config.json"] = json_text(config.to_dict())
        store.mark_done(folder, {"best": {}, "last": {}}, texts)
    on_its_way = store.folder_of(tmp_path, configure("sine", "full", model="slstm"))
    on_its_way.mkdir(parents=True)
    write_json(on_its_way / "config.json", configure("sine", "full", model="slstm").to_dict())

    found = sine_runs_at_paper_size(tmp_path)
    assert list(found) == ["LSTM, rate decays", "oRNN, constant rate"]
    assert [store.read_config(f).seed for f in found["oRNN, constant rate"]] == [0, 1]


def test_coexistence_is_rest_from_some_starts_and_motion_from_others():
    moving = np.sin(0.3 * np.arange(50))
    resting = np.full(50, 0.4)
    orbits = np.stack(
        [np.stack(starts, -1) for starts in ((moving, resting), (moving, moving), (resting,) * 2)]
    )[:, :, None, :, None]  # epoch, step, input, start, output
    assert coexistence(Samples(np.arange(3), np.array([[0.2]]), orbits)).tolist() == [
        True,
        False,
        False,
    ]

"""What the tables of stored language models say, from runs and numbers that are known."""

import numpy as np
import pytest

from rnnbook.language_tables import (
    constant_words,
    last_regimes,
    outcomes,
    reading,
    writing,
    written,
)
from rnnlib.files import write_json
from rnnlib.language import read_packed
from rnnlib.runs import configure, runner, store

CYCLE = {"words": "the end", "period": 2, "share": 0.25}
MEASURED = {
    "read": [1, 1000],
    "size": [0.51234, 1234.5],
    "exponent": -0.0123,
    "spread": 0.0045,
    "constant": {
        "<eos>": {
            "attractors": [{"kind": "fixed point", "exponent": -0.25, "share": 0.9}],
            "undecided": 0.1,
        },
        "the": {"attractors": [], "undecided": 1.0},
    },
    "cycles": [CYCLE, CYCLE | {"share": 0.125}],
    "temperature": [0.0, 1.0],
    "agreement": [0.375, 1.0],
    "merging_time": [[3.0, None, None], [4.0, 8.0, 10.0]],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = configure(
        "language", "quick", epochs=2, n_hidden=6, record_burn_in=20, record_states=2
    )
    (made,) = runner.run(config, tmp_path_factory.mktemp("store"), progress=False)
    return made


def test_a_run_has_its_test_perplexity_once_it_has_ended(folder):
    done = store.read_json(folder / "done.json")
    table = outcomes({"lstm": [folder]}, "Outcomes.").data
    assert "LSTM, seed 0" in table and "Outcomes." in table
    assert f">{done['best']['test_perplexity']:.1f}<" in table and ">2<" in table
    (folder / "done.json").unlink()
    assert ">unfinished<" in outcomes({"lstm": [folder]}, "").data
    write_json(folder / "done.json", done)


def test_a_row_says_what_is_seen_after_each_word(folder):
    samples = read_packed(folder)
    table = last_regimes({"gru": samples}, ("<eos>", "the", "sings", "harbour"), "").data
    assert table.count("GRU, ") == 4 and "“&lt;eos&gt;”" in table
    assert f">{samples.exponent[-1, 1].max():.4f}<" in table
    assert ">77<" in last_regimes({"gru": until(samples, 5, 77)}, ("the",), "").data
    assert ">77<" not in last_regimes({"gru": until(samples, 0, 77)}, ("the",), "").data


def until(samples, period, transient):
    """Return samples in which every start has this cycle; a period of 0 is none."""
    return samples._replace(
        period=np.full_like(samples.period, period),
        transient=np.full_like(samples.transient, transient),
    )


def test_the_size_of_a_state_stands_below_the_number_of_words():
    table = reading({"ornn": MEASURED}, "").data
    assert ">-0.0123 ± 0.0045<" in table
    for text in ("state after 1 word", "state after 1,000 words", "0.5", "1234.5"):
        assert f">{text}<" in table


def test_starts_that_end_on_no_known_attractor_are_said():
    table = constant_words({"ornn": MEASURED}, "").data
    assert ">oRNN, “&lt;eos&gt;”<" in table and ">-0.2500<" in table
    assert ">fixed point, 90%<br>undecided, 10%<" in table
    assert ">undecided, 100%<" in table


def test_pairs_that_stay_apart_are_told_from_those_that_merge():
    table = writing({"ornn": MEASURED}, "").data
    assert ">2, of 38% of the texts<" in table and ">25%, period 2<" in table
    assert ">67% apart (38% equal words)<" in table  # the median pair does not merge
    assert ">8 words<" in table  # all do
    alone = writing({"ornn": MEASURED | {"cycles": []}}, "").data
    assert ">0, of 0% of the texts<" in alone and ">none<" in alone


@pytest.mark.parametrize("samples", [1, 2, 30])
def test_the_first_and_the_last_text_are_shown(samples):
    texts = [
        {"epoch": 10 * k, "cycle": f"w{k} <unk>", "drawn": f"d{k} " * 60} for k in range(samples)
    ]
    table = written({"written": texts}, "").data
    for k in (0, samples - 1):
        assert f"w{k} &lt;unk&gt;" in table and f">{10 * k}<" in table
    assert table.count("d0") == 30


def test_a_long_cycle_is_cut_and_none_is_said():
    texts = [{"epoch": 0, "cycle": "x" * 300, "drawn": ""}, {"epoch": 1, "cycle": "", "drawn": ""}]
    table = written({"written": texts}, "").data
    assert "x" * 200 + " …" in table and "x" * 201 not in table and ">none<" in table

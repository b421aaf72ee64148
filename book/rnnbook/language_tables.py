"""Tables of stored runs of the language model."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import HTML

from rnnbook.stored import summary
from rnnlib.files import read_json
from rnnlib.language import LanguageSamples, in_closed_loop, under_constant_word
from rnnlib.runs import store
from rnnlib.training import LABELS

SHOWN_WORDS = 30  # of a drawn text
SHOWN_LETTERS = 200  # of a cycle


def outcomes(runs: Mapping[str, Sequence[Path]], caption: str) -> HTML:
    """Return how the training of each run ended: epochs, perplexities, hours.

    Args:
        runs: by model, the folders of its runs, finished or not.
        caption: what the table says of itself.
    """
    rows = {}
    for model, folders in runs.items():
        for folder in folders:
            history, test, hours = store.read_history(folder), "unfinished", ""
            if store.is_done(folder):
                test = f"{read_json(folder / 'done.json')['best']['test_perplexity']:.1f}"
                hours = f"{read_json(folder / 'provenance.json')['seconds'] / 3600:.1f}"
            rows[f"{LABELS[model]}, seed {store.read_config(folder).seed}"] = [
                f"{len(history)}",
                f"{history['valid_perplexity'].min():.1f}",
                test,
                hours,
            ]
    return summary(rows, ["", "epochs", "best validation", "test", "hours"], caption)


def last_regimes(
    samples: Mapping[str, LanguageSamples], words: Sequence[str], caption: str
) -> HTML:
    """Return what is seen at the last sample, for each constant or first word.

    Args:
        samples: by model.
        words: the words that were held.
        caption: what the table says of itself.
    """
    rows = {}
    for model, s in samples.items():
        for k, word in enumerate(words):
            before = np.median(np.where(s.period[-1, k], s.transient[-1, k], np.inf))
            rows[f"{LABELS[model]}, “{html.escape(word)}”"] = [
                under_constant_word(s, k)[-1],
                f"{s.exponent[-1, k].max():.4f}",
                in_closed_loop(s, k)[-1],
                f"{before:.0f}" if np.isfinite(before) else "",
            ]
    columns = ["", "constant word", "largest exponent", "closed loop", "words before"]
    return summary(rows, columns, caption)


def reading(measured: Mapping[str, Mapping[str, Any]], caption: str) -> HTML:
    """Return the networks in training mode: do they forget, and what becomes of their states?

    Args:
        measured: by model, what `rnnlib.runs.language_dynamics.free_dynamics` returns.
        caption: what the table says of itself.
    """
    rows = {
        LABELS[model]: [
            f"{found['exponent']:.4f} ± {found['spread']:.4f}",
            *(f"{size:.1f}" for size in found["size"]),
        ]
        for model, found in measured.items()
    }
    counts = next(iter(measured.values()))["read"]
    words = [f"state after {n:,} word{'s' * (n > 1)}" for n in counts]
    return summary(rows, ["", "largest exponent", *words], caption)


def constant_words(measured: Mapping[str, Mapping[str, Any]], caption: str) -> HTML:
    """Return the attractors under each constant word, with their shares of the starts.

    Args:
        measured: as in `reading`.
        caption: as there.
    """
    rows = {}
    for model, found in measured.items():
        for word, under in found["constant"].items():
            cells = [f"{a['kind']}, {a['share']:.0%}" for a in under["attractors"]]
            if under["undecided"]:
                cells.append(f"undecided, {under['undecided']:.0%}")
            exponents = [f"{a['exponent']:.4f}" for a in under["attractors"]]
            title = f"{LABELS[model]}, “{html.escape(word)}”"
            rows[title] = ["<br>".join(cells), "<br>".join(exponents)]
    return summary(rows, ["", "attractors", "largest exponent"], caption)


def writing(measured: Mapping[str, Mapping[str, Any]], caption: str) -> HTML:
    """Return the networks in inference mode: their cycles, and their memory at each temperature.

    Args:
        measured: as in `reading`.
        caption: as there.
    """
    rows = {}
    for model, found in measured.items():
        cycles = found["cycles"]
        share = sum(cycle["share"] for cycle in cycles)
        rows[LABELS[model]] = [
            f"{len(cycles)}, of {share:.0%} of the texts",
            f"{cycles[0]['share']:.0%}, period {cycles[0]['period']}" if cycles else "none",
            *map(_merging, found["merging_time"], found["agreement"]),
        ]
    hot = [f"T = {t:g}" for t in next(iter(measured.values()))["temperature"]]
    return summary(rows, ["", "cycles, arg-max", "commonest", *hot], caption)


def _merging(times: Sequence[float | None], agreement: float) -> str:
    """Return the median time of pairs, the share of those that stay apart, and of equal words."""
    steps = np.array([np.inf if t is None else t for t in times])
    parts = []
    if np.isfinite(np.median(steps)):
        parts.append(f"{np.median(steps):.0f} words")
    if np.isinf(steps).any():
        parts.append(f"{np.isinf(steps).mean():.0%} apart ({agreement:.0%} equal words)")
    return ", ".join(parts)


def written(found: Mapping[str, Any], caption: str) -> HTML:
    """Return what a network wrote at some epochs, from the first recorded one to the last.

    Args:
        found: what `rnnlib.runs.analyse_language` returns.
        caption: what the table says of itself.
    """
    texts = found["written"]
    last = len(texts) - 1
    rows = {}
    for k in sorted({0, min(1, last), last // 10, last // 3, last}):
        drawn = " ".join(texts[k]["drawn"].split()[:SHOWN_WORDS])
        cycle = texts[k]["cycle"]
        cycle = cycle if len(cycle) <= SHOWN_LETTERS else cycle[:SHOWN_LETTERS] + " …"
        rows[f"{texts[k]['epoch']}"] = [html.escape(cycle) or "none", html.escape(drawn)]
    return summary(rows, ["epoch", "cycle, from “the”", "drawn, T = 1"], caption)

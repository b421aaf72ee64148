"""What a run's language model does when it reads, and when it is left alone, in ``dynamics.json``.

Section 6 of the paper sets two systems side by side: the network in training mode, driven by a
text, and in inference mode, where it reads its own words. Here both are measured on the network of
the best epoch, from the states in which stretches of the test text leave it.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics import UNDECIDED, LyapunovSpectrum, basins, lyapunov_spectrum
from rnnlib.files import FileError, json_text, write_text
from rnnlib.language import (
    HELD,
    LanguageModel,
    after_reading,
    drawn_texts,
    loss_by_context,
    merging,
    read_packed,
    spoken,
    word_attractors,
    written_cycle,
)
from rnnlib.runs import store
from rnnlib.runs.experiments import LanguageExperiment
from rnnlib.systems import flatten_state, from_module
from rnnlib.tasks import Corpus, language, streams
from rnnlib.training import recorded_starts

TEMPERATURES = (0.0, 0.5, 0.7, 1.0)
READERS = 5  # stretches of text to follow with a tangent vector
COUNTS = (1, 10, 100, 1000, 10_000)
CONTEXTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
RANDOM_STARTS = 5  # the paper's, beside the states after reading
SETTLE = 1000  # words under a constant word; forget gates that are as good as open need them
EXAMINED = 16  # steady states under a constant word that are looked at one by one
BURN_IN = 200  # words before an exponent, or an entropy, is measured
FIRST_WORD = 1  # of the recorded closed loops those that began with "the"


def reading_exponent(model: LanguageModel, text: Tensor, steps: int) -> LyapunovSpectrum:
    """Return the largest Lyapunov exponent of the network while it reads a text.

    It is the rate at which two copies in different states approach each other (below 0) under
    the same words: the network in training mode, but for dropout.

    Args:
        model: the network.
        text: int64, shape ``(tokens,)``; `READERS` stretches of it are read side by side.
        steps: how many words of each to average over, at least 10.

    Returns:
        Exponents and errors of shape ``(stretches, 1)``, in nats per word.

    Raises:
        ValueError: the stretches are shorter than `BURN_IN` and ``steps``.
    """
    reader = from_module(copy.deepcopy(model.layer).double())
    words = streams(text, READERS)[: BURN_IN + steps]
    inputs = model.embedding.weight.detach().double()[words]
    start = inputs.new_zeros(READERS, reader.n_x)
    return lyapunov_spectrum(reader, start, steps, k=1, burn_in=BURN_IN, inputs=inputs)


@torch.no_grad()
def reading_sizes(model: LanguageModel, text: Tensor, counts: Sequence[int]) -> Tensor:
    """Return how long the state vector is after reading so many words, from the zero state.

    What a network does not forget adds up: where nothing fades, the state grows with the text.

    Args:
        model: the network, in evaluation mode.
        text: int64, shape ``(tokens,)``; `READERS` stretches of it are read side by side.
        counts: numbers of words, increasing.

    Returns:
        The Euclidean norm, mean over the stretches, shape ``(counts,)``.

    Raises:
        ValueError: the stretches are shorter than the last count.
    """
    words = streams(text, READERS)
    if counts[-1] > len(words):
        raise ValueError(f"counts ends with {counts[-1]}; the stretches have {len(words)} words.")
    state, read, sizes = None, 0, []
    for count in counts:
        _, state = model.states(words[read:count], state)
        sizes.append(flatten_state(state).norm(dim=-1).mean())
        read = count
    return torch.stack(sizes)


def attractors_under(model: LanguageModel, word: int, starts: Tensor) -> dict[str, Any]:
    """Return the attractors of the network under one word for ever, see
    `rnnlib.basins`.

    Args:
        model: the network.
        word: its number.
        starts: states to start from, float64, shape ``(starts, n_x)``.

    Returns:
        ``attractors``, each with its ``kind``, largest ``exponent`` and ``share`` of the starts;
        and ``undecided``, the share that had settled on none, as where they rest beside each other
        and nothing attracts.
    """
    system = model.hold(torch.tensor(word))
    found = basins(system, starts, burn_in=SETTLE, rounds=4, max_attractors=EXAMINED)
    each = zip(found.attractors, found.shares.tolist(), strict=True)
    return {
        "attractors": [
            {"kind": a.describe(), "exponent": a.exponent, "share": share} for a, share in each
        ],
        "undecided": (found.labels == UNDECIDED).double().mean().item(),
    }


def free_dynamics(
    model: LanguageModel,
    corpus: Corpus,
    held: Sequence[str],
    *,
    texts: int = 100,
    pairs: int = 20,
    steps: int = 1000,
    progress: bool = False,
) -> dict[str, Any]:
    """Measure a language model in training mode and in inference mode.

    Args:
        model: the network, in evaluation mode.
        corpus: of its words; the test text is read.
        held: the constant words.
        texts: how many stretches of it to start closed loops from.
        pairs: how many pairs of these to draw words with the same noise.
        steps: how many words to read, and to write.
        progress: whether to show a progress bar.

    Returns:
        A dictionary of plain numbers and texts:

        - ``steps``, ``texts``: as given.
        - ``read``, ``size``: the length of the state after reading so many words, see
          `reading_sizes`.
        - ``context``, ``context_loss``: numbers of words read from the zero state, and the loss
          after them, see `rnnlib.language.loss_by_context`.
        - ``exponent``, ``spread``: the largest Lyapunov exponent while reading, nats per word: the
          mean over stretches, and the standard deviation between them.
        - ``constant``: by held word, see `attractors_under`; from random states of standard
          deviation 100, as the paper has them, and from states after reading.
        - ``cycles``: the cycles of words that closed loops end in, the commonest first, as
          `rnnlib.language.word_attractors.WordAttractor`, but with the words themselves, and
          their number as ``period``.
        - ``temperature``: at which words were drawn.
        - ``merging_time``: how many words each pair wrote until they agreed for good, a list per
          temperature; None where they did not, see `rnnlib.language.random_loop.Merging.time`.
        - ``agreement``: the share of equal words in the last quarter of the pairs' texts, at each
          temperature.
        - ``entropy``: of what is written at each temperature, nats per word.

    Raises:
        ValueError: ``pairs`` needs more texts than there are, or the test text is too short.
    """
    if not 1 <= pairs <= texts // 2:
        raise ValueError(f"pairs is {pairs}; {texts} texts make 1 to {texts // 2} pairs.")
    with tqdm(total=5, desc="reading", disable=not progress, unit="part") as bar:
        exponent = reading_exponent(model, corpus.test, steps).exponents.squeeze(-1)
        read = [count for count in COUNTS if count <= len(corpus.test) // READERS]
        size = reading_sizes(model, corpus.test, read)
        context = [length for length in CONTEXTS if length <= len(corpus.test) // 4]
        context_loss = loss_by_context(model, corpus.test, context)
        start = after_reading(model, streams(corpus.test, texts))
        bar.update()
        bar.set_description("constant words")
        states = start[:pairs, :-1]
        states = torch.cat([recorded_starts(RANDOM_STARTS, states.shape[1]), states])
        constant = {word: attractors_under(model, corpus.index[word], states) for word in held}
        bar.update()
        bar.set_description("cycles of words")
        found = word_attractors(model, start[:, -1].long(), start[:, :-1], steps)
        bar.update()
        bar.set_description("pairs under the same noise")
        temperature = torch.tensor(TEMPERATURES, dtype=torch.float64)
        both = start[: 2 * pairs].unflatten(0, (2, pairs)).transpose(0, 1)
        together = merging(model, both, temperature, steps)
        bar.update()
        bar.set_description("drawn texts")
        drawn = drawn_texts(model, start[:pairs], temperature, BURN_IN, burn_in=BURN_IN)
        bar.update()
    cycles = [
        {**c._asdict(), "words": spoken(c.words, corpus.words), "period": len(c.words)}
        for c in found
    ]
    return {
        "steps": steps,
        "read": read,
        "size": size.tolist(),
        "context": context,
        "context_loss": context_loss.tolist(),
        "exponent": exponent.mean().item(),
        "spread": exponent.std().item(),
        "constant": constant,
        "texts": texts,
        "cycles": cycles,
        "temperature": list(TEMPERATURES),
        "merging_time": [
            [t if math.isfinite(t) else None for t in row] for row in together.time.tolist()
        ],
        "agreement": together.same[-(steps // 4) :].double().mean((0, 2)).tolist(),
        "entropy": drawn.entropy.tolist(),
    }


def analyse_language(folder: Path | str, progress: bool = False) -> dict[str, Any]:
    """Write ``dynamics.json`` of a run of language modelling, from its weights at the best epoch.

    They are in its checkpoint, which is not in version control, so this is done where the run was
    made. It can be called while the run is on its way, and again later; what was made of these
    weights is returned as it is.

    Args:
        folder: of the run.
        progress: whether to show a progress bar.

    Returns:
        What `free_dynamics` returns; ``epochs``, how many the run had done; ``weights``, the
        digest of the weights that it was made of; and under ``written``
        what was written in closed loop at each recorded epoch: ``epoch``, ``cycle`` (from the first
        start, after "the"; empty where there is none) and ``drawn`` (at temperature 1).

    Raises:
        ValueError: the run is of another experiment.
        FileError: no weights, or no epoch done yet.
        WikitextError: the corpus is not at hand.
    """
    folder = Path(folder)
    config = store.read_config(folder)
    if not isinstance(config, LanguageExperiment):
        raise ValueError(
            f"folder {folder} holds a run of {config.name}; it must be one of language."
        )
    if store.is_done(folder):
        store.check(folder, ["dynamics.json"])
    path, epochs = folder / "dynamics.json", len(store.read_history(folder))
    if (found := _stored(folder)) and found["epochs"] == epochs:
        return found
    network, corpus = store.read_network(folder), language.load(config.corpus)
    assert isinstance(network, LanguageModel)  # as these settings build it
    samples = read_packed(folder)
    found = {
        "epochs": epochs,
        "weights": store.weights_digest(network.state_dict()),
        **free_dynamics(network, corpus, HELD[config.corpus], progress=progress),
    }
    found["written"] = [
        {
            "epoch": epoch,
            "cycle": written_cycle(samples, k, FIRST_WORD, 0, corpus.words),
            "drawn": corpus.decode(torch.as_tensor(samples.drawn[k])),
        }
        for k, epoch in enumerate(samples.epochs.tolist())
    ]
    if store.is_done(folder):
        store.seal(folder, {path.name: json_text(found)})
    else:
        write_text(path, json_text(found))
    return found


def _stored(folder: Path) -> dict[str, Any] | None:
    """Return what an earlier call has written, unless it was made of other weights."""
    if not (folder / "dynamics.json").exists():
        return None
    found = store.parse_json(folder, "dynamics.json")
    if "weights" not in found:  # of an older version
        return found
    try:
        now = store.weights_digest(store.best_weights(folder))
    except FileError:  # they are not here
        return found
    return found if found["weights"] == now else None

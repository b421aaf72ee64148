"""The language model writing by itself, and its loss, at the paper's size on one CPU core.

33278 words, an LSTM of 800 units, float32. The peer is the original way: the embedding, one step
of torch.nn.LSTM, the full decoder, and the logits of all steps kept for the end. The floor is
reading the weights once per step. The words are checked to be the very same. Then a few windows of
WikiText-2 are trained on with a small model, where its files are there.

A row's ratio is the peer's time over ours and should reach its bar. Peers and our own code
alternate; medians of processor time on one core count.

Run it: python -m benchmarks.language_model
"""

import tempfile
import time
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.table import Row, medians, one_core, row, table
from rnnlib import simulate
from rnnlib.language import LanguageModel, LanguageRecorder, fast_closed_loop
from rnnlib.nn import multiplies_bfloat16
from rnnlib.tasks import streams, wikitext, windows

WORDS, UNITS, STEPS = 33278, 800, 20
SAME = 50  # steps for which the words are compared: the network is chaotic
DECODING_BAR = 2.5
TRAIN_WORDS, VALID_WORDS = 2088628, 217646  # of WikiText-2


@torch.no_grad()
def original(model: LanguageModel, x: Tensor, steps: int) -> Tensor:
    """Write word by word, keep all logits, and return the words, ``(steps, starts)``."""
    state = tuple(part.contiguous() for part in x[None, :, :-1].split(UNITS, dim=-1))
    words, logits, written = x[:, -1].long(), [], []
    for _ in range(steps):
        h, state = model.layer(model.embedding(words).unsqueeze(0), state)
        logits.append(functional.linear(h, model.embedding.weight, model.bias))
        words = logits[-1][0].argmax(-1)
        written.append(words)
    torch.cat(logits)
    return torch.stack(written)


@torch.no_grad()
def ours(loop, x: Tensor, steps: int) -> Tensor:
    return simulate(loop, x, steps, observe=lambda state: state[:, -1].long())


def decoding_rows(repeats: int = 9) -> list[Row]:
    torch.manual_seed(0)
    model, rows = LanguageModel("lstm", WORDS, UNITS).eval(), []
    with torch.no_grad():
        for name, p in model.layer.named_parameters():
            if name.startswith("weight"):
                p.mul_(3)  # so that it writes many words
    weights = [p for p in model.parameters() if p.dim() == 2]

    def read():
        for _ in range(STEPS):
            for p in weights:
                p.sum()

    for starts in (5, 10, 50):
        x = torch.cat([100 * torch.randn(starts, 2 * UNITS), torch.randint(WORDS, (starts, 1))], 1)
        loop = fast_closed_loop(model, starts)
        if not torch.equal(original(model, x, SAME), ours(loop, x, SAME)):
            raise AssertionError(f"{starts} starts: the words are not those of the original way.")
        seconds = medians(
            {
                "original": lambda x=x: original(model, x, STEPS),
                "ours": lambda x=x, loop=loop: ours(loop, x, STEPS),
                "read": torch.no_grad()(read),
            },
            repeats,
        )
        name = f"{starts} starts, {STEPS} words each"
        rows += [
            row(f"{name} / original way", seconds, "original", "ours", DECODING_BAR),
            row(f"{name} / reading the weights", seconds, "read", "ours"),
        ]
    return rows


def loss_rows(repeats: int = 3) -> list[Row]:
    torch.manual_seed(0)
    model = LanguageModel("lstm", WORDS, UNITS)
    tokens, targets = torch.randint(WORDS, (2, 20, 100))

    def plain():
        logits, _ = model(tokens)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def rounded():
        model.precision = "bfloat16"
        model.loss(tokens, targets)[0].backward()
        model.precision = "float32"

    seconds = medians(
        {
            "plain": lambda: plain().backward(),
            "ours": lambda: model.loss(tokens, targets)[0].backward(),
            "bfloat16": rounded,
        },
        repeats,
    )
    return [
        row("loss of 20 x 100 words / all logits at once", seconds, "plain", "ours"),
        row("loss in bfloat16 / all logits at once", seconds, "plain", "bfloat16"),
    ]


def epoch_rows(repeats: int = 2) -> list[Row]:
    """An epoch's parts at the paper's size: words trained on, words evaluated, one recording.

    Training and evaluation are timed on a window each and scaled to the sizes of WikiText-2. A
    recording has a part that grows with its steps and one that does not (the texts, the setting
    up): it is timed at a twentieth and at a tenth of its steps.
    """
    torch.manual_seed(0)
    precision = "bfloat16" if multiplies_bfloat16() else "float32"
    models = {
        "float32": LanguageModel("lstm", WORDS, UNITS),
        "fastest": LanguageModel("lstm", WORDS, UNITS, 0.5, precision, layer_precision=precision),
    }
    tokens, targets = torch.randint(WORDS, (2, 20, 100))
    few, few_targets = torch.randint(WORDS, (2, 80, 10))
    model = models["fastest"]

    @torch.no_grad()
    def evaluate():
        model.eval().loss(few, few_targets)

    def record(parts: int):  # of twenty
        part = {"burn_in": 75 * parts, "steps": 5 * parts, "exponent_steps": 15 * parts}
        with tempfile.TemporaryDirectory() as folder:
            LanguageRecorder(folder, [0, 1, 2, 3], [1, 2, 3], 0, **part)(0, model.eval())

    seconds = medians(
        {
            "float32": lambda: models["float32"].train().loss(tokens, targets)[0].backward(),
            "fastest": lambda: model.train().loss(tokens, targets)[0].backward(),
            "evaluate": evaluate,
            "record": lambda: record(1),
            "record twice": lambda: record(2),
        },
        repeats,
    )
    train = seconds["fastest"] * TRAIN_WORDS / tokens.numel()
    rest = seconds["evaluate"] * VALID_WORDS / few.numel()
    rest += seconds["record"] + 19 * (seconds["record twice"] - seconds["record"])
    amx = torch.cpu.get_capabilities().get("amx_bf16")
    parts = {"epoch": train + rest, "evaluation and recording": rest}
    return [
        row(
            f"training, {precision} / float32", seconds, "float32", "fastest", 3.0 if amx else None
        ),
        row("an epoch / its evaluation and recording", parts, "epoch", [*parts][1], 10.0),
    ]


def rows() -> list[Row]:
    """Measure everything on one core and one thread."""
    with one_core():
        return [*decoding_rows(), *loss_rows(), *epoch_rows()]


def smoke(units: int = 200, batch: int = 20, count: int = 6) -> str:
    """Train on a few windows of WikiText-2, and return what came of it."""
    try:
        corpus = wikitext.load()
    except wikitext.WikitextError as error:
        return f"WikiText-2 left out: {error}"
    torch.manual_seed(0)
    model, state, losses = LanguageModel("lstm", len(corpus.words), units), None, []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    start = time.perf_counter()
    for tokens, targets in islice(windows(streams(corpus.train, batch)), count):
        loss, state = model.loss(tokens, targets, state)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        model.constrain_(len(losses) + 1)
        state = tuple(part.detach() for part in state)
        losses.append(loss.item())
    rate = count * tokens.numel() / (time.perf_counter() - start)
    return (
        f"WikiText-2, {units} units, batch {batch}: {rate:.0f} words per second on "
        f"{torch.get_num_threads()} thread(s), loss {losses[0]:.2f} to {losses[-1]:.2f} nats in "
        f"{count} windows"
    )


def main() -> None:
    """Measure and print."""
    title = f"The language model, {WORDS} words, {UNITS} units, one thread, pinned"
    print(table(title, rows()), flush=True)
    print(smoke(), flush=True)


if __name__ == "__main__":
    main()

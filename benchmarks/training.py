"""A whole training step: forward, backward, clipping, Adam, and what the loop adds around them.

Peers: for the orthogonal RNN the original way (the layer as a module called at each step,
torch.matrix_exp); torch.nn.LSTM in the same loop; for the loop itself the same lines written out
by hand; for replicas trained together the same replicas one after the other; for subnormals set to
zero the same step with subnormals; for products in bfloat16 those in float32. The bar of the last
two holds where the processor is slow with subnormals, or has AMX; what it has is printed.

On a CPU the rows are of one core, in processor time. Where there is a GPU its rows follow, in wall
time.

Run it: python -m benchmarks.training
"""

import time

import torch
from torch import nn

from benchmarks.orthogonal_rnn import TIME, UNITS, Stepwise
from benchmarks.table import Row, medians, one_core, row, table
from rnnlib.nn import multiplies_bfloat16
from rnnlib.tasks import Symbols
from rnnlib.training import Run, SequenceModel, Settings, descend
from rnnlib.training.subnormals import flushed

SETTINGS = Settings(epochs=1, learning_rate=1e-3)
REPLICAS = 4


class Given:
    """A task of one random batch."""

    n_in = n_out = 1
    carries_state, best = False, "mse"

    def __init__(self, batch: int, device="cpu"):
        self.z = torch.rand(TIME, batch, 1, device=device)
        self.target = torch.sin(self.z)

    def loss(self, y, target):
        error = (y - target).square().sum()
        return error, {"mse": error.detach()}, target.numel()


class Original(nn.Module):
    """The orthogonal RNN stepwise, with torch's exponential."""

    def __init__(self, like: SequenceModel):
        super().__init__()
        self.cell, self.readout = Stepwise(like.layer), nn.Linear(UNITS, 1)
        self.skew = nn.Parameter(like.layer.skew.detach().clone())

    def forward(self, z, state=None):
        upper = self.skew.triu(1)
        return self.readout(self.cell(z, torch.matrix_exp(upper - upper.mT))), None


def run_of(model: str, task: Given, device="cpu") -> Run:
    network = SequenceModel(model, 1, UNITS, 1).to(device)
    made = Run(task, network, SETTINGS)
    made.begin_epoch()
    return made


def one_step(runs: list[Run]) -> None:
    descend(runs, [(run.task.z, run.task.target) for run in runs])


def by_hand(run: Run):
    """Return the bare lines of a training step as a function."""
    parameters = list(run.model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=SETTINGS.learning_rate)

    def step():
        optimizer.zero_grad()
        y, _ = run.model(run.task.z)
        (y - run.task.target).square().sum().backward()
        nn.utils.clip_grad_norm_(parameters, SETTINGS.clip)
        optimizer.step()

    return step


def cpu_rows(batch: int, repeats: int, bar: float) -> list[Row]:
    torch.manual_seed(0)
    task = Given(batch)
    ornn, lstm = run_of("ornn", task), run_of("lstm", task)
    original = Run(task, Original(ornn.model), SETTINGS)
    original.begin_epoch()
    seconds = medians(
        {
            "original": lambda: one_step([original]),
            "ornn": lambda: one_step([ornn]),
            "by hand": by_hand(run_of("lstm", task)),
            "lstm": lambda: one_step([lstm]),
        },
        repeats,
    )
    return [
        row(f"oRNN step, batch {batch} / module at each step", seconds, "original", "ornn", bar),
        row(f"oRNN step, batch {batch} / torch.nn.LSTM's", seconds, "lstm", "ornn"),
        row(f"LSTM step, batch {batch} / by hand", seconds, "by hand", "lstm", 0.9),
    ]


def slow_with_subnormals() -> float:
    """Return how many times longer this processor takes for a product of subnormals."""
    a, normal = torch.full((10000,), 2.0**-130), torch.ones(10000)
    seconds = medians({"subnormal": lambda: a * 0.5, "normal": lambda: normal * 0.5}, 50)
    return seconds["subnormal"] / seconds["normal"]


def fading_rows(length: int = 200, repeats: int = 2) -> list[Row]:
    """An LSTM's step of classification, whose loss is at the last of many steps."""
    torch.manual_seed(0)
    task = Symbols(100, 100, length, 100)
    ((symbols, target),) = list(task.batches())

    def made(precision="float32"):
        network = SequenceModel("lstm", task.n_in, UNITS, task.n_out, layer_precision=precision)
        run = Run(task, network, SETTINGS)
        run.begin_epoch()
        return lambda: descend([run], [(symbols, target)])

    def zeroed(step):
        with flushed():
            step()

    kept, flush, rounded = made(), made(), made("bfloat16" if multiplies_bfloat16() else "float32")
    seconds = medians(
        {"kept": kept, "flushed": lambda: zeroed(flush), "rounded": lambda: zeroed(rounded)},
        repeats,
    )
    bar = 5.0 if slow_with_subnormals() > 10 else None
    found = [row(f"LSTM, length {length}, subnormals zero / kept", seconds, "kept", "flushed", bar)]
    if multiplies_bfloat16():
        amx = torch.cpu.get_capabilities().get("amx_bf16")
        name = f"LSTM, length {length}, bfloat16 / float32"
        found.append(row(name, seconds, "flushed", "rounded", 2.0 if amx else None))
    return found


def replica_rows(model: str, repeats: int, clock, device="cpu") -> list[Row]:
    torch.manual_seed(0)
    task = Given(10, device)
    runs = [run_of(model, task, device) for _ in range(REPLICAS)]

    def alone():
        for run in runs:
            one_step([run])

    seconds = medians({"alone": alone, "together": lambda: one_step(runs)}, repeats, clock)
    name = f"{REPLICAS} {model} replicas together / one by one"
    return [row(name, seconds, "alone", "together")]


def gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Measure and print."""
    with one_core():
        found = [*cpu_rows(10, 7, 3.0), *cpu_rows(100, 3, 1.1), *fading_rows()]
        for model in ("lstm", "ornn"):
            found += replica_rows(model, 3, time.process_time)
    title = f"Training steps, {UNITS} units, {TIME} steps, one thread, pinned"
    print(table(title, found), flush=True)
    with one_core():
        slow = slow_with_subnormals()
    amx = torch.cpu.get_capabilities().get("amx_bf16", False)
    print(f"a product of subnormals takes {slow:.1f} times that of others; AMX: {amx}", flush=True)
    if torch.cuda.is_available():
        found = []
        for model in ("lstm", "ornn"):
            found += replica_rows(model, 5, gpu_clock, "cuda")
        print(table(f"Training steps, {torch.cuda.get_device_name()}", found), flush=True)


if __name__ == "__main__":
    main()

"""A whole training step: forward, backward, clipping, Adam, and what the loop adds around them.

Peers: for the orthogonal RNN the original way (the layer as a module called at each step,
torch.matrix_exp); torch.nn.LSTM in the same loop; for the loop itself the same lines written out
by hand; for replicas trained together the same replicas one after the other.

On a CPU the rows are of one core, in processor time. Where there is a GPU its rows follow, in wall
time.

Run it: python -m benchmarks.training
"""

import time

import torch
from torch import nn

from benchmarks.orthogonal_rnn import TIME, UNITS, Stepwise
from benchmarks.table import Row, medians, one_core, row, table
from rnnlib.training import Run, SequenceModel, Settings, descend

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
        found = [*cpu_rows(10, 7, 3.0), *cpu_rows(100, 3, 1.1)]
        for model in ("lstm", "ornn"):
            found += replica_rows(model, 3, time.process_time)
    title = f"Training steps, {UNITS} units, {TIME} steps, one thread, pinned"
    print(table(title, found), flush=True)
    if torch.cuda.is_available():
        found = []
        for model in ("lstm", "ornn"):
            found += replica_rows(model, 5, gpu_clock, "cuda")
        print(table(f"Training steps, {torch.cuda.get_device_name()}", found), flush=True)


if __name__ == "__main__":
    main()

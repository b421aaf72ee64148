"""The orthogonal RNN's forward and backward pass, float32, against its peers.

On one CPU core and, where there is one, on a GPU.

Peers: the layer as a module called at each step (the original way), torch.nn.LSTM of the same
size, torch.matrix_exp and torch's own orthogonal parametrization for the recurrent matrix, and the
floor: the same matrix products alone, by torch.

A row's ratio is the peer's time over ours and should reach its bar. Peers and our own code
alternate; medians of processor time on one core count, on a GPU those of the clock.

Run it: python -m benchmarks.orthogonal_rnn
"""

import time
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.table import Row, medians, one_core, row, table
from rnnlib.nn import OrthogonalRNN, orthogonal_rnn, skew_expm

UNITS, TIME = 200, 400
LSTM_BAR = 1 / 0.35


class Stepwise(nn.Module):
    """The original's cell, called at each step."""

    def __init__(self, like: OrthogonalRNN):
        super().__init__()
        self.of_input = nn.Linear(like.input_size, like.hidden_size, bias=False)
        self.bias = nn.Parameter(like.bias.detach().clone())

    def step(self, x: Tensor, h: Tensor, recurrent: Tensor) -> Tensor:
        z = self.of_input(x) + nn.functional.linear(h, recurrent)
        return torch.sign(z) * torch.relu(torch.abs(z) + self.bias)

    def forward(self, input: Tensor, recurrent: Tensor) -> Tensor:
        h, states = input.new_zeros(input.shape[1], len(self.bias)), []
        for x in input:
            h = self.step(x, h, recurrent)
            states.append(h)
        return torch.stack(states)


def rows() -> list[Row]:
    """Measure everything on one core and one thread, and on a GPU where there is one."""
    with one_core():
        on_cpu = [*layer_rows(10, 3.5, 9), *layer_rows(100, 1.2, 5), *exponential_rows()]
        on_gpu = [*gpu_rows(10), *gpu_rows(100)] if torch.cuda.is_available() else []
    return on_cpu + on_gpu


def layer_rows(batch: int, bar: float, repeats: int) -> list[Row]:
    torch.manual_seed(0)
    layer, lstm = OrthogonalRNN(1, UNITS), nn.LSTM(1, UNITS)
    stepwise = Stepwise(layer)
    z, grad = torch.randn(TIME, batch, 1), torch.randn(TIME, batch, UNITS)
    q = layer.recurrent_matrix().detach().requires_grad_()
    h0, product = torch.zeros(batch, UNITS), torch.empty(batch, UNITS)

    def sequence():
        orthogonal_rnn._Sequence.apply(z, h0, layer.weight_ih, q, layer.bias).backward(grad)

    def without_numba():
        with mock.patch.object(orthogonal_rnn, "_loops", lambda: None):
            sequence()

    def stepwise_with_torchs_exponential():
        upper = layer.skew.triu(1)
        stepwise(z, torch.matrix_exp(upper - upper.mT)).backward(grad)

    @torch.no_grad()
    def floor():
        for _ in range(2 * TIME):  # forward and backward
            torch.mm(h0, q, out=product)
        torch.mm(grad.flatten(0, 1).mT, grad.flatten(0, 1))  # the gradient of Q

    seconds = medians(
        {
            "steps": lambda: stepwise(z, q).backward(grad),
            "steps, exp": stepwise_with_torchs_exponential,
            "lstm": lambda: lstm(z)[0].backward(grad),
            "floor": floor,
            "ours": sequence,
            "ours, plain": without_numba,
            "ours, exp": lambda: layer(z)[0].backward(grad),
        },
        repeats,
    )
    return [
        row(f"batch {batch}, Q given / module at each step", seconds, "steps", "ours", bar),
        row(f"batch {batch}, Q given / torch.nn.LSTM", seconds, "lstm", "ours", LSTM_BAR),
        row(f"batch {batch}, Q given / floor", seconds, "floor", "ours"),
        row(f"batch {batch}, whole / module at each step", seconds, "steps, exp", "ours, exp", bar),
        row(f"batch {batch}, whole / torch.nn.LSTM", seconds, "lstm", "ours, exp", LSTM_BAR),
        row(f"batch {batch}, no numba / module at each step", seconds, "steps", "ours, plain"),
        row(f"batch {batch}, no numba / torch.nn.LSTM", seconds, "lstm", "ours, plain"),
    ]


def gpu_rows(batch: int, repeats: int = 9) -> list[Row]:
    """Measure the layer on a GPU, by the clock: a launch-bound loop computes for a part of it."""
    torch.manual_seed(0)
    layer, lstm = OrthogonalRNN(1, UNITS).cuda(), nn.LSTM(1, UNITS).cuda()
    stepwise = Stepwise(layer).cuda()
    z = torch.randn(TIME, batch, 1, device="cuda")
    grad = torch.randn(TIME, batch, UNITS, device="cuda")
    q = layer.recurrent_matrix().detach().requires_grad_()
    h0 = torch.zeros(batch, UNITS, device="cuda")

    def sequence():
        orthogonal_rnn._Sequence.apply(z, h0, layer.weight_ih, q, layer.bias).backward(grad)
        torch.cuda.synchronize()

    def unrecorded():
        with mock.patch.object(orthogonal_rnn, "recordable", lambda tensor: False):
            sequence()

    def by_steps():
        stepwise(z, q).backward(grad)
        torch.cuda.synchronize()

    def by_lstm():
        lstm(z)[0].backward(grad)
        torch.cuda.synchronize()

    functions = {"steps": by_steps, "lstm": by_lstm, "plain": unrecorded, "ours": sequence}
    seconds = medians(functions, repeats, time.perf_counter)
    kind = f"GPU, batch {batch}, Q given"
    return [
        row(f"{kind} / module at each step", seconds, "steps", "ours"),
        row(f"{kind} / torch.nn.LSTM", seconds, "lstm", "ours"),
        row(f"{kind} / not recorded", seconds, "plain", "ours"),
    ]


def exponential_rows(repeats: int = 15) -> list[Row]:
    found = []
    for dtype, bar in ((torch.float32, 3.0), (torch.float64, None)):
        layer = OrthogonalRNN(1, UNITS, dtype=dtype)
        with torch.no_grad():  # some way into training
            layer.skew.add_(torch.randn(UNITS, UNITS), alpha=0.01)
        grad = torch.randn(UNITS, UNITS, dtype=dtype)
        parametrized = parametrizations.orthogonal(
            nn.Linear(UNITS, UNITS, bias=False, dtype=dtype), orthogonal_map="matrix_exp"
        )

        def by(expm, layer=layer, grad=grad):
            upper = layer.skew.triu(1)
            expm(upper - upper.mT).backward(grad)

        seconds = medians(
            {
                "torch": lambda by=by: by(torch.matrix_exp),
                "parametrization": lambda p=parametrized, g=grad: p.weight.backward(g),
                "ours": lambda by=by: by(skew_expm),
            },
            repeats,
        )
        kind = f"exponential, {str(dtype)[6:]}"
        found += [
            row(f"{kind} / torch.matrix_exp", seconds, "torch", "ours", bar),
            row(f"{kind} / torch's parametrization", seconds, "parametrization", "ours", bar),
        ]
    return found


def main() -> None:
    """Measure and print."""
    title = f"The orthogonal RNN, {UNITS} units, {TIME} steps, one thread, pinned"
    print(table(title, rows()), flush=True)


if __name__ == "__main__":
    main()

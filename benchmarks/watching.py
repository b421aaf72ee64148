"""What `rnnlib.watch` costs a training loop that calls it after every epoch, on one core.

An epoch of an LSTM of 200 units: batches of 50 sequences of 100 steps. The same loop runs without
the watch and with it at its default share, for as many epochs as pay for the first look, which is
made whatever it costs. The bar is that at least 95 % of the time is left for training.

Run it: python -m benchmarks.watching
"""

import time

import torch
from torch import nn

import rnnlib
from benchmarks.table import Row, one_core, table

UNITS, TIME, SEQUENCES, BATCHES = 200, 100, 50, 4
EPOCHS = 40


def train(watched: bool) -> tuple[float, int]:
    """Return the seconds of an epoch and how many looks were made in all."""
    torch.manual_seed(0)
    layer, head = nn.LSTM(2, UNITS), nn.Linear(UNITS, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()])
    z = torch.randn(BATCHES, TIME, SEQUENCES, 2)
    began = time.process_time()
    seen = rnnlib.watch(layer, z[0], head=head) if watched else None
    for epoch in range(EPOCHS):
        for batch in z:
            loss = (head(layer(batch)[0]) - batch.sum(-1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if seen is not None:
            seen(epoch)
    return (time.process_time() - began) / EPOCHS, len(seen.history) if seen else 0


def rows() -> list[Row]:
    """Measure an epoch without the watch and with it."""
    with one_core():
        train(watched=True)  # what the first call alone pays
        plain, _ = train(watched=False)
        ours, looks = train(watched=True)
    label = f"LSTM {UNITS}, {EPOCHS} epochs, {looks} looks"
    return [Row(label, plain, ours, plain / ours, 0.95)]


def main() -> None:
    print(table("\nThe watch: an epoch without it (peer) and with it", rows()))


if __name__ == "__main__":
    main()

"""What `rnnlib.watch` costs a training loop that calls it after every epoch, on one core.

An epoch of an LSTM of 200 units: batches of 50 sequences of 100 steps. The watch has its default
share, and there are as many epochs as pay for the first look, which is made whatever it costs. What
is spent inside of the watch is timed and set beside the rest; the bar is that 95 % of the time are
left for training.

Run it: python -m benchmarks.watching
"""

import time

import torch
from torch import nn

import rnnlib
from benchmarks.table import Row, one_core, table

UNITS, TIME, SEQUENCES, BATCHES = 200, 100, 50, 4
EPOCHS = 120


def train(epochs: int) -> tuple[float, float, int]:
    """Return the seconds of an epoch without the watch and with it, and how many looks it made."""
    torch.manual_seed(0)
    layer, head = nn.LSTM(2, UNITS), nn.Linear(UNITS, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()])
    z = torch.randn(BATCHES, TIME, SEQUENCES, 2)
    seen = rnnlib.watch(layer, z[0], head=head)
    training = watching = 0.0
    for epoch in range(epochs):
        began = time.process_time()
        for batch in z:
            loss = (head(layer(batch)[0]) - batch.sum(-1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained = time.process_time()
        seen(epoch)
        training += trained - began
        watching += time.process_time() - trained
    return training / epochs, (training + watching) / epochs, len(seen.history)


def rows() -> list[Row]:
    """Measure an epoch without what is spent in the watch, and with it."""
    with one_core():
        train(1)  # what the first call alone pays
        plain, ours, looks = train(EPOCHS)
    label = f"LSTM {UNITS}, {EPOCHS} epochs, {looks} looks"
    return [Row(label, plain, ours, plain / ours, 0.95)]


def main() -> None:
    print(table("\nThe watch: an epoch without it (peer) and with it", rows()))


if __name__ == "__main__":
    main()

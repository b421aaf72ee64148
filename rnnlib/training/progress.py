"""How far the training is: a bar in a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

LINE_EVERY = 30.0  # seconds, where there is no terminal


class Progress:
    """Shows epoch, the numbers of the last epoch, and the time left, on the error stream.

    Args:
        runs: the runs that are trained together.
        show: whether to show anything.
    """

    def __init__(self, runs: Sequence, show: bool = True):
        self.runs, self.show_it = runs, show
        self.terminal = show and sys.stderr.isatty()

    def __enter__(self):
        name = self.runs[0].name + (f" and {len(self.runs) - 1} more" if self.runs[1:] else "")
        self.total = sum(run.settings.epochs for run in self.runs)
        self.first = sum(run.epoch for run in self.runs)
        self.started = self.last = time.monotonic()
        self.bar = tqdm(
            total=self.total, initial=self.first, desc=name, unit="epoch", disable=not self.terminal
        )
        return self

    def __exit__(self, *error):
        self.bar.close()

    def show(self, run: Any) -> None:
        """Show that a run has finished an epoch."""
        numbers = {
            key: f"{value:.3g}"
            for key, value in run.history[-1].items()
            if key not in ("epoch", "gradient_norm", "learning_rate", "orthogonality_error")
        }
        self.bar.update()
        self.bar.set_postfix(numbers, refresh=False)
        now = time.monotonic()
        due = now - self.last >= LINE_EVERY or run.ended
        if self.show_it and not self.terminal and due:
            self.last = now
            done = sum(run.epoch for run in self.runs)
            left = (now - self.started) / max(done - self.first, 1) * (self.total - done)
            text = ", ".join(f"{key} {value}" for key, value in numbers.items())
            print(
                f"{run.name}: epoch {run.epoch} of {run.settings.epochs}, {text}; "
                + ("done" if run.ended else f"at most {tqdm.format_interval(left)} left"),
                file=sys.stderr,
                flush=True,
            )

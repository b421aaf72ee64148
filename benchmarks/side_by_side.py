"""Small runs side by side, one process a core with one thread, as a batch runs them.

Peers: the same runs one after the other, each with one thread, and each with a thread for every
core. The time is that of a clock on the wall, from the start of the first process to the end of the
last: half a minute of imports and quick training each. One core has nothing to set side by side.

Run it: python -m benchmarks.side_by_side
"""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.table import Row, medians, row, table

MODELS = ("lstm", "ornn")


def start(model: str, seed: int, root: str, threads: int) -> subprocess.Popen:
    """Start a run of classification: 200 sequences of 100 symbols, 20 epochs, 50 units."""
    sizes = "--preset quick --length 100 --n-hidden 50 --n-train 200 --n-valid 200 --epochs 20"
    command = [sys.executable, "-m", "rnnlib", "run", "classification", *sizes.split(), "--quiet"]
    command += ["--model", model, "--seed", str(seed), "--root", root, "--learning-rate", "1e-4"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)


def finish(process: subprocess.Popen) -> None:
    if process.wait():
        raise RuntimeError(f"a run ended with status {process.returncode}")


def rows(model: str, cores: int, repeats: int) -> list[Row]:
    """Measure as many runs as there are cores."""

    def one_by_one(threads: int):
        with tempfile.TemporaryDirectory() as root:
            for seed in range(cores):
                finish(start(model, seed, root, threads))

    def side_by_side():
        with tempfile.TemporaryDirectory() as root:
            for process in [start(model, seed, root, 1) for seed in range(cores)]:
                finish(process)

    seconds = medians(
        {
            "one thread": lambda: one_by_one(1),
            "all threads": lambda: one_by_one(cores),
            "ours": side_by_side,
        },
        repeats,
        time.perf_counter,
    )
    return [
        row(f"{model}, one by one, one thread / side by side", seconds, "one thread", "ours"),
        row(f"{model}, one by one, {cores} threads / side by side", seconds, "all threads", "ours"),
    ]


def main(repeats: int = 1) -> None:
    """Measure and print."""
    cores = len(os.sched_getaffinity(0))
    if cores == 1:
        print("Runs side by side left out: there is one core.")
        return
    found = [found for model in MODELS for found in rows(model, cores, repeats)]
    print(table(f"{cores} small runs on {cores} cores, wall time", found), flush=True)


if __name__ == "__main__":
    main()

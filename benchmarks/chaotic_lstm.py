"""The chaotic LSTM, by the accelerated kernel and by the generic route, against its peers.

Peers: the original way (a Python loop over parameter values that copies each weight set into a
float32 torch.nn.LSTM), a plain Python loop for the Lyapunov spectrum, and the limit that the ten
sigmoids of a step set, evaluated by the same polynomial on data in the L1 cache.

A row's ratio is the peer's time over ours and should reach its bar. Peers that would take minutes
are timed on a part and scaled. The peer of the row and our own code alternate; medians count.

The original way is the authors' procedure step by step. A leaner loop (copy one tensor, run the
module, compare) takes about half of its time, so a ratio of 100 is one of 50 against that.

Run it: python -m benchmarks.chaotic_lstm
"""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numba
import numpy as np
import torch

import rnnlib
from benchmarks.table import Row, table
from rnnlib.systems import chaotic_lstm
from rnnlib.systems.two_unit_kernel import LANES, _sigmoid, lyapunov_spectrum, sweep

THETA = chaotic_lstm.THETA_TRUE.numpy()
PLANE = np.stack([THETA, chaotic_lstm.theta_random().numpy()])
X0 = chaotic_lstm.X0.numpy()
STEPS, BURN_IN, SPECTRUM_STEPS = 100, 100, 2000
PATH = np.linspace(0.5, 2, 5000)
TARGETS = sweep(THETA[None], [1.0], x0=X0, steps=STEPS, burn_in=BURN_IN, threads=1).h[:, 0]


class Case(NamedTuple):
    name: str
    peer: Callable[[], float]  # runs a part, returns the seconds of the whole
    ours: Callable[[], object]
    bar: float | None
    repeats: int


def rows(threads: int) -> list[Row]:
    """Measure every case on a number of threads; one thread is pinned to one core."""
    global clock
    # One thread: processor time, which a shared machine's other jobs do not add to.
    clock = time.process_time if threads == 1 else time.perf_counter
    affinity = os.sched_getaffinity(0)
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tiny nn.LSTM is fastest so, whatever we use
    if threads == 1:
        os.sched_setaffinity(0, {max(affinity)})
    try:
        return [measure(case) for case in cases(threads)]
    finally:
        os.sched_setaffinity(0, affinity)
        torch.set_num_threads(torch_threads)


def cases(threads: int) -> list[Case]:
    def path():
        run = {"x0": X0, "targets": TARGETS, "steps": STEPS, "burn_in": BURN_IN}
        return sweep(THETA[None], PATH, **run, threads=threads)

    def plane(n):
        axes = np.linspace(0, 2, n), np.linspace(-0.5, 0.5, n)
        run = {"x0": X0, "targets": TARGETS, "steps": STEPS, "burn_in": BURN_IN}
        return sweep(PLANE, *axes, **run, keep_orbit=False, threads=threads)

    def spectrum():
        return lyapunov_spectrum(THETA[None], PATH, x0=X0, steps=SPECTRUM_STEPS, threads=threads)

    def generic_path():
        torch.set_num_threads(threads)
        path, targets = torch.as_tensor(PATH), torch.as_tensor(TARGETS)
        family, x0 = chaotic_lstm.line(), chaotic_lstm.X0
        orbit = rnnlib.orbit_diagram(family, path, x0, STEPS, burn_in=BURN_IN).orbit
        # Step by step: a second array of the orbit's size would cost more than the arithmetic.
        cost = sum(map(rnnlib.mean_squared_error, orbit, targets)) / STEPS
        torch.set_num_threads(1)
        return orbit, cost

    def generic_plane():
        torch.set_num_threads(threads)
        axes = (torch.linspace(0, 2, 150), torch.linspace(-0.5, 0.5, 150))
        cost = rnnlib.cost_over(
            chaotic_lstm.plane(*torch.as_tensor(PLANE)),
            *(axis.double() for axis in axes),
            x0=chaotic_lstm.X0,
            targets=torch.as_tensor(TARGETS),
            burn_in=BURN_IN,
            loss=rnnlib.mean_squared_error,
        )
        torch.set_num_threads(1)
        return cost

    def original(points):
        return lambda: points * original_way()

    def limit(points):
        return lambda: points * sigmoid_limit(threads)

    bars = (100.0, 1 / 1.5, 1000.0, 30.0)
    fast, near, faster, steady = bars if threads == 1 else (None,) * 4
    found = [
        Case("figure 1: 5000 values of s / original way", original(5000), path, fast, 11),
        Case("figure 1: 5000 values of s / limit", limit(5000), path, near, 21),
    ]
    for n, repeats in ((150, 9), (1000, 3)):
        run, name = partial(plane, n), f"cost plane {n} x {n}"
        found += [
            Case(f"{name} / original way", original(n**2), run, fast, repeats),
            Case(f"{name} / limit", limit(n**2), run, near, repeats),
        ]
    found += [
        Case("generic: figure 1 / original way", original(5000), generic_path, steady, 11),
        Case("generic: plane 150 x 150 / original way", original(150**2), generic_plane, steady, 9),
    ]
    name = "spectrum, 5000 values of s / plain loop"
    return [*found, Case(name, plain_spectrum, spectrum, faster, 7)]


def measure(case: Case) -> Row:
    case.peer(), case.ours()  # compile and warm up
    peer, ours = [], []
    for _ in range(case.repeats):
        peer.append(case.peer())
        ours.append(seconds(case.ours))
    peer, ours = statistics.median(peer), statistics.median(ours)
    return Row(case.name, peer, ours, peer / ours, case.bar)


clock = time.perf_counter


def seconds(function) -> float:
    start = clock()
    function()
    return clock() - start


# --- the peers ---


def original_way(points=100) -> float:
    """Seconds for one parameter value, done as the authors' script does it.

    Interpolate the weights, load them into the model, run it, compare, keep the first output.
    """
    model = torch.nn.LSTM(1, 2, bias=False)
    true = {"weight_hh_l0": torch.as_tensor(THETA).float(), "weight_ih_l0": torch.zeros(8, 1)}
    zero = {name: torch.zeros_like(weight) for name, weight in true.items()}
    zeros, start = torch.zeros(BURN_IN + STEPS, 1, 1), torch.full((1, 1, 2), 0.5)
    targets = torch.as_tensor(TARGETS).float()[:, None]
    diagram, losses = np.zeros((STEPS, points)), []

    def run():
        for n, s in enumerate(np.linspace(0.5, 2, points)):
            model.load_state_dict({name: s * true[name] + (1 - s) * zero[name] for name in true})
            with torch.no_grad():
                h = model(zeros, (start, start))[0][BURN_IN:]
                losses.append(torch.nn.functional.mse_loss(h, targets))
            diagram[:, n] = h.numpy()[:, 0, 0]

    return seconds(run) / points


@numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})
def many_sigmoids(x, y, repeats):
    for _ in range(repeats):
        for j in range(x.size):
            y[j] = _sigmoid(x[j])


def sigmoid_limit(threads, points=10_000) -> float:
    """Seconds for the ten sigmoids of each step of one parameter value."""
    x = np.linspace(-5, 5, 32 * LANES)
    repeats = points * (BURN_IN + STEPS) * 10 // x.size
    if threads == 1:
        return seconds(lambda: many_sigmoids(x, np.empty_like(x), repeats)) / points
    with ThreadPoolExecutor(threads) as pool:
        work = [pool.submit(lambda: None) for _ in range(threads)]  # start the threads

        def run():
            work[:] = [
                pool.submit(many_sigmoids, x, np.empty_like(x), repeats) for _ in range(threads)
            ]
            for future in work:
                future.result()

        return seconds(run) / points / threads


def plain_spectrum(points=2, steps=100) -> float:
    """Seconds for the whole spectrum by a Python loop: analytic Jacobian, np.linalg.qr."""
    w_i, w_f, w_g, w_o = THETA.reshape(4, 2, 2)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def run():
        for s in np.linspace(0.9, 1.4, points):
            a_i, a_f, a_g, a_o = s * w_i, s * w_f, s * w_g, s * w_o
            h, c, q, total = X0[:2], X0[2:], np.eye(4), np.zeros(4)
            for _ in range(steps):
                i, f, o = sigmoid(a_i @ h), sigmoid(a_f @ h), sigmoid(a_o @ h)
                g = np.tanh(a_g @ h)
                dc = (c * f * (1 - f))[:, None] * a_f + (g * i * (1 - i))[:, None] * a_i
                dc += (i * (1 - g**2))[:, None] * a_g
                c = f * c + i * g
                y = np.tanh(c)
                slope = o * (1 - y**2)
                jacobian = np.empty((4, 4))
                jacobian[:2, :2] = (o * (1 - o) * y)[:, None] * a_o + slope[:, None] * dc
                jacobian[:2, 2:], jacobian[2:, :2] = np.diag(slope * f), dc
                jacobian[2:, 2:] = np.diag(f)
                h = o * y
                q, r = np.linalg.qr(jacobian @ q)
                total += np.log(np.abs(np.diag(r)))

    return seconds(run) / (points * steps) * PATH.size * SPECTRUM_STEPS


def main() -> None:
    """Measure and print, on one thread and on all cores."""
    print(table("The chaotic LSTM, one thread, pinned", rows(1)), flush=True)
    cores = len(os.sched_getaffinity(0))
    if cores > 1:
        print(table(f"\n{cores} threads (the original way stays on one)", rows(cores)))


if __name__ == "__main__":
    main()

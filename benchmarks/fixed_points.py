"""Fixed points of recurrent networks, beside three ways in which people find them, on one core.

Peers: Adam on the speed from all starts at once, as published finders do (Sussillo and Barak,
Neural Computation 25, 2013; Golub and Sussillo, JOSS 3, 2018); `scipy.optimize.root` from one start
after the other; and a plain loop of Newton's method with the Jacobian from autograd. Each has the
same starts, states on the network's orbits, and the same tolerance on the residual. Of ours the
search, de-duplication and multipliers are all timed; of the peers the search alone. The name of a
row says how many starts ended on a root: theirs, then ours.

A ratio is the peer's time over ours. The largest network is the one of the bar in seconds, which
the last line prints.

Run it: python -m benchmarks.fixed_points
"""

import time

import numpy as np
import scipy
import torch
from torch import Tensor, nn

import rnnlib
from benchmarks.table import Row, one_core, table
from rnnlib.systems import System

TOLERANCE = 1e-8  # relative, as the peers reach it
SIZES, LARGE = (16, 64), 1000
STARTS = 32
ADAM_STEPS = 5000


def network(units: int, gain: float = 1.0) -> System:
    """A GRU with its input held, its weights scaled."""
    torch.manual_seed(0)
    gru = nn.GRU(2, units).double()
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.mul_(gain)
    return rnnlib.from_module(gru).hold(torch.tensor([0.5, -0.5], dtype=torch.float64))


def residual(system: System, x: Tensor) -> Tensor:
    return (system.step(x) - x).abs().amax(-1) / (1 + x.abs().amax(-1))


def by_adam(system: System, starts: Tensor) -> Tensor:
    """Minimise the speed from all starts at once until all are roots or the steps are spent."""
    x = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=1e-2)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=50)
    for _ in range(ADAM_STEPS):
        speed = (system.f(x, system.z, system.theta) - x).square().sum(-1) / 2
        optimizer.zero_grad()
        speed.sum().backward()
        optimizer.step()
        schedule.step(float(speed.detach().sum()))
        if float(speed.detach().max()) < TOLERANCE**2 / 2:
            break
    return x.detach()


def by_scipy(system: System, starts: Tensor) -> Tensor:
    """`scipy.optimize.root` with the exact Jacobian, one start after the other."""
    identity = np.eye(system.n_x)

    def difference(x):
        state = torch.from_numpy(x)
        return (system.step(state) - state).numpy()

    def slope(x):
        return rnnlib.jacobian(system, torch.from_numpy(x)).numpy() - identity

    ends = [scipy.optimize.root(difference, x, jac=slope, tol=TOLERANCE).x for x in starts.numpy()]
    return torch.from_numpy(np.stack(ends))


def by_newton(system: System, starts: Tensor) -> Tensor:
    """A plain loop: autograd's Jacobian and a solve, 50 steps at most."""
    ends, identity = [], torch.eye(system.n_x, dtype=starts.dtype)
    for x in starts:
        for _ in range(50):
            difference = system.step(x) - x
            if difference.abs().max() < TOLERANCE:
                break
            slope = torch.autograd.functional.jacobian(system.step, x) - identity
            x = x - torch.linalg.solve(slope, difference)
        ends.append(x)
    return torch.stack(ends)


PEERS = {
    "Adam on the speed": by_adam,
    "scipy.optimize.root": by_scipy,
    "Newton, autograd": by_newton,
}


def timed(function, *arguments):
    started = time.process_time()
    found = function(*arguments)
    return found, time.process_time() - started


def rows() -> list[Row]:
    """Measure each peer at each size."""
    measured = []
    with one_core():
        for units in SIZES:
            system = network(units, gain=2.0)
            origin = torch.zeros(4, system.n_x, dtype=torch.float64)
            origin[1:] = torch.randn(3, system.n_x, dtype=torch.float64)
            starts = rnnlib.starts_from_orbits(system, origin, STARTS // 4, burn_in=20)
            rnnlib.fixed_points(system, starts[:2])  # what the first call alone pays
            ours, seconds = timed(rnnlib.fixed_points, system, starts)
            for name, peer in PEERS.items():
                ends, taken = timed(peer, system, starts)
                hit = int((residual(system, ends) < 10 * TOLERANCE).sum())
                label = f"GRU {units}, {name}: {hit}, {ours.converged} of {STARTS}"
                measured.append(Row(label, taken, seconds, taken / seconds, 1.0))
    return measured


def main() -> None:
    print(table("\nFixed points", rows()))
    with one_core():
        system = network(LARGE)
        starts = rnnlib.starts_in_box(-0.1, 0.1, STARTS, LARGE)
        found, seconds = timed(rnnlib.fixed_points, system, starts)
    print(
        f"GRU of {LARGE} units, {STARTS} starts: {seconds:.1f} s for {len(found.points)} found, "
        f"{found.converged} of {found.starts} starts converged (at most 20 s are asked for)"
    )


if __name__ == "__main__":
    main()

"""What other tools answer about the same networks, in how many seconds, and who is right.

Three questions, each with a truth that a long run in plain steps shows: where does a trained
network rest; does a network forget where it began; at what rate do neighbours part? Peers: the
methods of `benchmarks.fixed_points`; the spectral radius, by which a reservoir library
(`reservoirpy`) tells whether a network forgets; a package for Lyapunov exponents of any map
(`lyapynov`), which is given the network's step and its Jacobian. None of them is needed here: what
is not installed is left out.

Run it: pip install reservoirpy==0.4.2 lyapynov==1.0.1; python -m benchmarks.peers [FILE]
With FILE the table is also written there as JSON, with where its numbers come from.
"""

import json
import sys
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import rnnlib
from benchmarks.fixed_points import PEERS, by_newton, residual, timed
from benchmarks.table import one_core
from rnnbook import pronunciation
from rnnlib.files import write_text
from rnnlib.runs.provenance import provenance
from rnnlib.systems import X0, System, chaotic_lstm

F64 = {"dtype": torch.float64}
PHONEME, STARTS = 10, 16
LONG = 60_000  # steps that show where the trained network rests
CROWD, ENOUGH = 64, 20_000  # states, and steps after which they are together or stay apart
TWINS, PARTING = 64, 4000  # pairs of neighbours, and steps over which their rates are averaged
ROOT = 1e-7  # relative residual of what counts as a root
OURS = "rnnlib"


class Said(NamedTuple):
    """One tool's answer to one question about one network."""

    question: str
    network: str
    truth: str
    tool: str
    says: str
    right: bool
    seconds: float


def run(system: System, x: Tensor, steps: int) -> Tensor:
    with torch.no_grad():
        for _ in range(steps):
            x = system.step(x)
    return x


def decoder() -> tuple[System, Tensor]:
    """The trained decoder with one phoneme held, and 16 states of its orbits."""
    networks = pronunciation.load()
    z = networks.phonemes.weight[PHONEME].detach().double()
    system = rnnlib.from_module(networks.decoder, **F64).hold(z)
    origins = 0.5 * torch.randn(4, system.n_x, generator=torch.Generator().manual_seed(0), **F64)
    return system, rnnlib.starts_from_orbits(system, origins, STARTS // 4, burn_in=200, every=50)


def singly(peer, system: System, starts: Tensor) -> Tensor:
    """Run a search from each start by itself: one that fails with an error ends where it began."""
    ends = []
    for x in starts.split(1):
        try:
            ends.append(peer(system, x))
        except torch.linalg.LinAlgError:
            ends.append(x)
    return torch.cat(ends)


def distinct(system: System, ends: Tensor) -> Tensor:
    """Return the different roots among the ends of a search."""
    roots: list[Tensor] = []
    for x in ends[residual(system, ends) < ROOT]:
        if all(float((x - root).abs().max()) > 1e-4 for root in roots):
            roots.append(x)
    return torch.stack(roots) if roots else ends[:0]


def where_it_rests() -> list[Said]:
    system, starts = decoder()
    rest = run(system, starts[:1], LONG)
    assert float(residual(system, rest)) < 1e-12, "the long run has not come to rest"
    said, truth = [], "it comes to rest at one point"

    def add(tool: str, roots: Tensor, hits: int, seconds: float) -> None:
        met = len(roots) > 0 and float((roots - rest).abs().amax(-1).min()) < 1e-4
        says = f"{len(roots)} fixed point{'s' * (len(roots) != 1)}, {hits} of {len(starts)} starts"
        says += "" if met else ", not the one where it rests"
        said.append(Said("Where does it rest?", "decoder", truth, tool, says, met, seconds))

    found, seconds = timed(rnnlib.fixed_points, system, starts)
    add(OURS, found.points, found.converged, seconds)
    for name, peer in PEERS.items():
        if peer is by_newton:  # a plain loop, which may run far away
            ends, seconds = timed(singly, peer, system, starts)
        else:
            ends, seconds = timed(peer, system, starts)
        hits = int((residual(system, ends) < ROOT).sum())
        add(name, distinct(system, ends), hits, seconds)
    return said


def elman(weight: Tensor, push: float = 0.0) -> nn.RNN:
    """An Elman network with this recurrence; its input of 1 pushes every unit so far."""
    network = nn.RNN(1, len(weight), bias=False).double()
    with torch.no_grad():
        network.weight_hh_l0.copy_(weight)
        network.weight_ih_l0.fill_(push)
    return network


def reservoirs() -> dict[str, nn.RNN]:
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(50, 50, generator=generator, **F64)
    skew = torch.tensor([[1.3, 10.0], [-0.25, -1.7]], **F64)
    return {
        "a turning matrix, times 0.9": elman(0.9 * torch.linalg.qr(square)[0]),
        "two units, one of which drives the other hard": elman(skew),
        "strong weights under a strong input": elman(1.5 * square / 50**0.5, push=10.0),
    }


def does_it_forget() -> list[Said]:
    said = []
    for name, network in reservoirs().items():
        system = rnnlib.from_module(network).hold(torch.ones(1, **F64))
        starts = rnnlib.starts_in_box(-1.0, 1.0, CROWD, system.n_x)
        ends = run(system, starts, ENOUGH)
        forgets = bool((ends - ends[0]).abs().max() < 1e-6)
        truth = "all states meet" if forgets else "some states never meet"

        def add(tool, verdict, why, seconds, name=name, truth=truth, forgets=forgets):
            says = f"{'forgets' if verdict else 'does not forget'}: {why}"
            question = "Does it forget where it began?"
            said.append(Said(question, name, truth, tool, says, verdict == forgets, seconds))

        found, seconds = timed(rnnlib.basins, system, starts)
        count = len(found.attractors)
        each = " and ".join(a.describe() for a in found.attractors)
        settled = bool((found.labels >= 0).all())
        add(OURS, count == 1 and settled, f"{count} attractor{'s' * (count != 1)}, {each}", seconds)
        if util.find_spec("reservoirpy"):
            from reservoirpy.observables import spectral_radius

            weight = network.weight_hh_l0.detach().numpy()
            radius, seconds = timed(spectral_radius, weight)
            tool = "reservoirpy, spectral radius"
            add(tool, bool(radius < 1), f"the radius is {float(radius):.3f}", seconds)
    return said


def at_what_rate() -> list[Said]:
    said = []
    chaotic, (slow, states) = chaotic_lstm(), decoder()
    x = run(chaotic, X0 + 0.01 * torch.randn(TWINS, 4, **F64), 1000)
    rates, apart = [], 1e-9 * torch.nn.functional.normalize(torch.randn(TWINS, 4, **F64), dim=-1)
    for _ in range(PARTING):
        x, beside = run(chaotic, x, 1), run(chaotic, x + apart, 1)
        size = (beside - x).norm(dim=-1, keepdim=True)
        rates.append((size / 1e-9).log()[:, 0])
        apart = 1e-9 * (beside - x) / size
    # what an average over as many steps of one orbit scatters by
    spread = 3 * float(torch.stack(rates[100:]).mean(0).std())
    rest = run(slow, states[0], LONG)
    multiplier = np.abs(np.linalg.eigvals(rnnlib.jacobian(slow, rest).numpy())).max()
    cases = {
        "the paper's chaotic LSTM": (
            chaotic,
            X0,
            float(torch.stack(rates[100:]).mean()),
            spread,
            4000,
        ),
        "decoder": (slow, states[0], float(np.log(multiplier)), 0.0, 500),
    }
    for name, (system, x0, rate, spread, steps) in cases.items():

        def add(tool, value, error, seconds, name=name, rate=rate, spread=spread):
            near = abs(value - rate) <= max(3 * error, spread, 0.02 * abs(rate))
            says = f"{value:+.5f}" + (f" +- {error:.5f}" if error else "")
            question, truth = "At what rate do neighbours part?", f"{rate:+.5f} a step"
            said.append(Said(question, name, truth, tool, says, near, seconds))

        found, seconds = timed(rnnlib.steady_state, system, x0)
        add(OURS, float(found.exponent), float(found.exponent_error), seconds)
        if util.find_spec("lyapynov"):
            import lyapynov

            def step(x, t, system=system):
                return system.step(torch.from_numpy(x)).numpy()

            def slope(x, t, system=system):
                return rnnlib.jacobian(system, torch.from_numpy(x)).numpy()

            peer = lyapynov.DiscreteDS(x0.numpy().copy(), 0.0, step, slope)
            value, seconds = timed(lyapynov.LCE, peer, 1, 500, steps, False)
            add(f"lyapynov, {steps} steps", float(value[0]), 0.0, seconds)
    return said


def rows() -> list[Said]:
    torch.manual_seed(0)
    with one_core():
        return [*where_it_rests(), *does_it_forget(), *at_what_rate()]


def main(path: str | None = None) -> None:
    measured = rows()
    print("\nWhat other tools answer")
    for row in measured:
        verdict = "right" if row.right else "WRONG"
        print(f"{row.question} {row.network} ({row.truth})")
        print(f"    {row.tool:30}{row.seconds:8.2f} s  {verdict}  {row.says}")
    if path:
        peers = {
            name: metadata.version(name)
            for name in ("reservoirpy", "lyapynov")
            if util.find_spec(name)
        }
        origin = provenance(torch.device("cpu"), 0, {})
        kept = {key: origin[key] for key in ("commit", "dirty", "started", "device", "packages")}
        kept["packages"] |= peers
        content = {"provenance": kept, "rows": [row._asdict() for row in measured]}
        write_text(Path(path), json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Systems whose steady state is known, with the words that are right for each orbit.

Every family is one batch: a map with one parameter value, or one start, per orbit. The words are
known from theory (normal forms, closed forms, index arguments), not from running `steady_state`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import rnnlib
from rnnlib.systems import (
    FLIP,
    NEIMARK_SACKER,
    PITCHFORK,
    X0,
    System,
    elman,
    line,
    linear,
)

F64 = torch.float64
BEYOND = 1e-6  # a rate that shows nothing of itself in as many steps as are spent
GOLDEN = (math.sqrt(5) - 1) / 2
FIXED, CIRCLE, CHAOS, GROWS = "fixed point", "quasi-periodic", "chaotic", "unbounded"
SETTLING, UNKNOWN = "still settling", "undetermined"
REPELLER, NEUTRAL = "unstable fixed point", "neutral fixed point"


class Family(NamedTuple):
    """A batch of orbits with known ends.

    Attributes:
        group: what they are to test.
        name: of the family.
        system: with one batch axis, or none if only the starts differ.
        x0: shape ``(N, n_x)``.
        words: for each orbit the words that are right; those of `SteadyState.describe` without
            the part on whether it has been reached.
    """

    group: str
    name: str
    system: System
    x0: Tensor
    words: list[tuple[str, ...]]


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)[:, None]


def tensor(values) -> Tensor:
    return torch.as_tensor(values, dtype=F64)


def powers(low: float, high: float, count: int) -> Tensor:
    return torch.logspace(low, high, count, dtype=F64)


def mapped(f: Callable, n_x: int, **theta) -> System:
    return rnnlib.from_function(f, n_x, {k: tensor(v) for k, v in theta.items()})


def turn(angle: Tensor, radius: Tensor | float = 1.0) -> Tensor:
    angle = tensor(angle)
    c, s = angle.cos(), angle.sin()
    rows = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    return tensor(radius)[..., None, None] * rows


def skewed(matrix: Tensor, seed: int = 0) -> Tensor:
    """The same map in other, far from orthogonal coordinates."""
    generator = torch.Generator().manual_seed(seed)
    n = matrix.shape[-1]
    basis = torch.eye(n, dtype=F64) + torch.randn(n, n, generator=generator, dtype=F64)
    return basis @ matrix @ torch.linalg.inv(basis)


def polar(step: Callable, **theta) -> System:
    """A map of the plane written as ``(r, angle) -> (r', angle')``."""

    def f(x, theta):
        r, angle = torch.linalg.vector_norm(x, dim=-1), torch.atan2(x[..., 1], x[..., 0])
        r, angle = step(r, angle, theta)
        return torch.stack([r * angle.cos(), r * angle.sin()], -1)

    return mapped(f, 2, **theta)


def hopf(mu: Tensor, angle: float) -> System:
    """The normal form ``z' = z e^(i angle) (1 + mu - |z|^2)``: a circle of radius sqrt(mu)."""
    matrix = turn(angle)

    def f(x, p):
        return (1 + p["mu"][..., None] - (x * x).sum(-1, keepdim=True)) * (x @ matrix.T)

    return mapped(f, 2, mu=mu)


def slow_linear():
    """Nodes and spirals: how much an orbit shrinks per step, over six decades."""
    rates = powers(-6, -0.5, 12)
    n = len(rates)
    words = [(FIXED,)] * n
    starts = torch.ones(n, 1, dtype=F64)
    yield Family("slow linear", "node", linear((1 - rates)[:, None, None]), starts, words)
    yield Family(
        "slow linear", "node, alternating", linear((rates - 1)[:, None, None]), starts, words
    )
    plane = torch.tensor([[1.0, 0.3]], dtype=F64).expand(n, 2)
    for name, angle in (("golden", GOLDEN), ("1 in 5", 1 / 5), ("1 in 64", 1 / 64), ("slow", 1e-3)):
        matrix = turn(torch.full((n,), 2 * math.pi * angle, dtype=F64), 1 - rates)
        yield Family("slow linear", f"spiral, {name}", linear(skewed(matrix)), plane, words)
    third = torch.diag_embed(torch.stack([1 - rates, 1 - 2 * rates, rates * 0 - 0.9], -1))
    yield Family(
        "slow linear", "three nodes", linear(skewed(third, 1)),
        torch.ones(n, 3, dtype=F64), words,
    )  # fmt: skip


def normal_forms():
    """Every bifurcation of codimension one, at it and near it, from far to 1e-10."""
    near = 1.7 * powers(-10, -1, 10)
    both = torch.cat([-near.flip(0), torch.zeros(1, dtype=F64), near])
    n = len(both)
    at = (SETTLING, NEUTRAL)
    # fold x' = x + mu - x^2: fixed point sqrt(mu), or a passage of pi / sqrt(-mu) steps
    fold = mapped(lambda x, p: x + p["mu"][..., None] - x * x, 1, mu=both)
    words = [
        (GROWS, SETTLING) if mu < -1e-30 and abs(mu) < 1e-8 else (GROWS,) if mu < 0 else (FIXED,)
        for mu in both.tolist()
    ]
    words[n // 2] = at
    yield Family("fold", "normal form", fold, torch.full((n, 1), 0.5, dtype=F64), words)

    trans = mapped(lambda x, p: x + p["mu"][..., None] * x - x * x, 1, mu=both)
    late = (both.abs() < BEYOND).tolist()
    words = [(FIXED, SETTLING) if slow else (FIXED,) for slow in late]
    words[n // 2] = at
    yield Family("transcritical", "normal form", trans, torch.full((n, 1), 0.3, dtype=F64), words)
    words = [
        (FIXED,) if mu < -1e-7 else (REPELLER,) if mu > 1e-7 else (NEUTRAL,) for mu in both.tolist()
    ]
    words = [
        (*w, NEUTRAL) if abs(mu) <= 2e-7 else w for w, mu in zip(words, both.tolist(), strict=True)
    ]
    yield Family(
        "transcritical", "from the fixed point", trans, torch.zeros(n, 1, dtype=F64), words
    )

    fork = mapped(lambda x, p: (1 + p["mu"][..., None]) * x - x**3, 1, mu=both)
    at_zero = words
    words = [(FIXED, SETTLING) if slow else (FIXED,) for slow in late]
    words[n // 2] = at
    yield Family("pitchfork", "normal form", fork, torch.full((n, 1), 0.3, dtype=F64), words)
    yield Family("pitchfork", "from the fixed point", fork, torch.zeros(n, 1, dtype=F64), at_zero)

    flip = mapped(lambda x, p: -(1 + p["mu"][..., None]) * x + x**3, 1, mu=both)
    words = [(FIXED,)] * (n // 2) + [at] + [("period 2",)] * (n // 2)
    words = [(*w, SETTLING) if slow else w for w, slow in zip(words, late, strict=True)]
    yield Family("flip", "normal form", flip, torch.full((n, 1), 0.3, dtype=F64), words)

    strong = powers(-5, -1, 9)
    mu = torch.cat([-strong.flip(0), strong])
    m = len(mu)

    for name, omega in (("golden", GOLDEN), ("sqrt 2 / 10", math.sqrt(2) / 10)):
        system = hopf(mu, 2 * math.pi * omega)
        words = [(FIXED,)] * (m // 2) + [(CIRCLE,)] * (m // 2)
        for side, radius in (("outside", 0.6), ("inside", 1e-3)):
            x0 = torch.tensor([[radius, 0.0]], dtype=F64).expand(m, 2)
            yield Family("Neimark-Sacker", f"{name}, from {side}", system, x0, words)
    # a resonance of order 5 in the angle locks the circle for these strengths: |delta| < c
    delta = tensor([0.0, 1e-3, 5e-3, 9e-3, 9.9e-3])

    def locked(r, angle, p):
        shift = p["delta"] - 0.01 * torch.sin(5 * angle)
        return r * (1.1 - r * r), angle + 2 * math.pi / 5 + shift

    x0 = torch.tensor([[0.5, 0.2]], dtype=F64).expand(5, 2)
    words = [("period 5",)] * 5
    yield Family("Neimark-Sacker", "locked 1 in 5", polar(locked, delta=delta), x0, words)


def circles():
    """Rotations with numbers at and near fractions, and at irrational ones."""
    irrational = [GOLDEN, math.sqrt(2) - 1, math.pi - 3, math.e - 2, math.sqrt(3) - 1, 0.1 * GOLDEN]
    x0 = torch.tensor([[1.0, 0.0]], dtype=F64)
    system = linear(skewed(turn(2 * math.pi * tensor(irrational))))
    yield Family("circles", "irrational", system, x0.expand(6, 2), [(CIRCLE,)] * 6)
    orders = [1, 2, 3, 5, 7, 12, 33, 64]
    system = linear(turn(2 * math.pi / tensor(orders)))
    words = [(f"neutral period {q}" if q > 1 else NEUTRAL,) for q in orders]
    yield Family("circles", "rational", system, x0.expand(8, 2), words)
    long = [65, 100, 233, 987]
    words = [(f"neutral period {q}",) for q in long]
    system = linear(turn(2 * math.pi / tensor(long)))
    yield Family("circles", "rational, long", system, x0.expand(4, 2), words)
    offsets = powers(-9, -2, 8)
    for p, q in ((1, 2), (2, 5), (3, 8)):
        angle = 2 * math.pi * (p / q + offsets * GOLDEN)
        # the fast ones go round within the budget
        words = [(CIRCLE, UNKNOWN) if d < BEYOND * 10 else (CIRCLE,) for d in offsets.tolist()]
        yield Family("circles", f"near {p}/{q}", linear(turn(angle)), x0.expand(8, 2), words)
    slow = powers(-6, -1, 6)
    yield Family(
        "circles",
        "slow",
        linear(turn(2 * math.pi * GOLDEN * slow)),
        x0.expand(6, 2),
        [(CIRCLE,)] * 6,
    )
    # two irrational angles: a torus
    blocks = torch.block_diag(turn(2 * math.pi * tensor(GOLDEN)), turn(tensor(1.0)))
    yield Family(
        "circles",
        "torus",
        linear(skewed(blocks, 2)[None]),
        torch.ones(1, 4, dtype=F64),
        [(CIRCLE,)],
    )

    # the circle map of Arnold, K = 0.9: locked to a fixed point for |omega| < K / 2 pi
    edge = 0.9 / (2 * math.pi)

    def arnold(r, angle, p):
        return r.sqrt(), angle + 2 * math.pi * p["omega"] - 0.9 * torch.sin(angle)

    inside = edge * (1 - powers(-8, -1, 8))
    x0 = torch.tensor([[0.8, 0.5]], dtype=F64)
    yield Family(
        "circles", "Arnold tongue 0/1, inside", polar(arnold, omega=inside), x0.expand(8, 2),
        [(FIXED,)] * 8,
    )  # fmt: skip
    half = polar(arnold, omega=tensor([0.5, 0.499, 0.505]))
    yield Family("circles", "Arnold tongue 1/2", half, x0.expand(3, 2), [("period 2",)] * 3)
    # three circles in turn: only every third state comes back to the same one
    small, third = turn(2 * math.pi * GOLDEN), turn(2 * math.pi / 3)

    def turns(x, p):
        return torch.cat([x[..., :2] @ small.T, x[..., 2:] @ third.T], -1)

    ring = mapped(turns, 4)
    x0 = torch.tensor([[0.1, 0.0, 1.0, 0.0]], dtype=F64)
    yield Family("circles", "three in turn", ring, x0, [(CIRCLE,)])


def cascades():
    """The logistic map: its doublings, windows and chaos."""
    periods = {
        0.5: 1, 1.5: 1, 2.0: 1, 2.9: 1, 2.99: 1, 2.999: 1, 3.001: 2, 3.01: 2, 3.2: 2, 3.449: 2,
        3.4496: 4, 3.46: 4, 3.5: 4, 3.544: 4, 3.5442: 8, 3.55: 8, 3.5643: 8, 3.565: 16,
        3.5687: 16, 3.569: 32, 3.5697: 64, 3.6275: 6, 3.6300: 6, 3.7017: 7, 3.739: 5, 3.7405: 5,
        3.8286: 3, 3.83: 3, 3.84: 3, 3.845: 6, 3.9602: 4,
    }  # fmt: skip
    r = tensor(list(periods))
    words = [(f"period {p}" if p > 1 else FIXED,) for p in periods.values()]
    x0 = torch.full((len(r), 1), 0.3, dtype=F64)
    yield Family("cascade", "logistic, cycles", rnnlib.logistic(r), x0, words)
    r = tensor([1 + math.sqrt(8) + d for d in (1e-3, 1e-4, 1e-5, 1e-6)])
    x0 = torch.full((4, 1), 0.3, dtype=F64)
    yield Family("transients", "chaos before period 3", rnnlib.logistic(r), x0, [("period 3",)] * 4)
    starts = torch.linspace(0.05, 0.95, 10, dtype=F64)[:, None]
    system = rnnlib.logistic(tensor(1 + math.sqrt(8) + 2e-5))
    yield Family("transients", "ten starts", system, starts, [("period 3",)] * 10)
    r = tensor([1 + math.sqrt(8) - d for d in (1e-3, 3e-4, 1e-4, 3e-5)])
    yield Family("intermittency", "type I", rnnlib.logistic(r), x0, [(CHAOS,)] * 4)
    r = tensor([3.9, 3.678573510428, 3.95, 3.99, 3.7, 4.0])
    x0 = torch.full((6, 1), 0.3, dtype=F64)
    yield Family("chaos", "logistic", rnnlib.logistic(r), x0, [(CHAOS,)] * 6)


def chaos():
    """Maps and flows known to be chaotic."""
    yield Family("chaos", "Henon", rnnlib.henon(), torch.zeros(1, 2, dtype=F64), [(CHAOS,)])
    slopes = tensor([1.1, 1.5, 1.9, 1.99])
    tent = mapped(lambda x, p: p["a"][..., None] * torch.minimum(x, 1 - x), 1, a=slopes)
    yield Family("chaos", "tent", tent, torch.full((4, 1), 0.31, dtype=F64), [(CHAOS,)] * 4)
    cat = mapped(
        lambda x, p: torch.remainder(
            torch.stack([2 * x[..., 0] + x[..., 1], x[..., 0] + x[..., 1]], -1), 1
        ), 2,
    )  # fmt: skip
    x0 = torch.tensor([[math.sqrt(2) - 1, 0.3]], dtype=F64)
    yield Family("chaos", "cat", cat, x0, [(CHAOS,)])

    def ikeda(x, p):
        t = 0.4 - 6 / (1 + (x * x).sum(-1))
        c, s = t.cos(), t.sin()
        return torch.stack(
            [1 + 0.9 * (x[..., 0] * c - x[..., 1] * s), 0.9 * (x[..., 0] * s + x[..., 1] * c)], -1
        )

    yield Family("chaos", "Ikeda", mapped(ikeda, 2), torch.zeros(1, 2, dtype=F64), [(CHAOS,)])

    def neighbours(x, p):
        y = 4 * x * (1 - x)
        return 0.9 * y + 0.05 * (y.roll(1, -1) + y.roll(-1, -1))

    coupled = mapped(neighbours, 8)
    x0 = torch.linspace(0.1, 0.77, 8, dtype=F64)[None]
    yield Family("chaos", "coupled logistic", coupled, x0, [(CHAOS,)])
    # Pomeau-Manneville, type III by its slow leaving of 0: exponent positive for z < 2
    z = tensor([1.3, 1.6])
    manneville = mapped(lambda x, p: torch.remainder(x + x ** p["z"][..., None], 1), 1, z=z)
    x0 = torch.full((2, 1), 0.37, dtype=F64)
    yield Family("intermittency", "Pomeau-Manneville", manneville, x0, [(CHAOS,)] * 2)
    yield Family(
        "chaos",
        "flow: Lorenz",
        flow(lorenz(28.0), 3, 0.02),
        torch.ones(1, 3, dtype=F64),
        [(CHAOS,)],
    )
    x0 = torch.tensor([[1.0, 1.0, 0.0]], dtype=F64)
    yield Family("chaos", "flow: Roessler", flow(roessler, 3, 0.1), x0, [(CHAOS,)])
    # the leak of a tent of slope over 2: chaos for a while, then minus infinity
    leak = mapped(
        lambda x, p: p["a"][..., None] * torch.minimum(x, 1 - x), 1, a=tensor([2.001, 2.01, 2.1])
    )
    x0 = torch.full((3, 1), 0.31, dtype=F64)
    yield Family("transients", "leaking tent", leak, x0, [(GROWS,)] * 3)


def flow(field: Callable, n_x: int, dt: float) -> System:
    """The map of one Runge-Kutta step of order 4."""

    def f(x, p):
        a = field(x)
        b = field(x + dt / 2 * a)
        c = field(x + dt / 2 * b)
        return x + dt / 6 * (a + 2 * b + 2 * c + field(x + dt * c))

    return mapped(f, n_x)


def lorenz(r: float) -> Callable:
    def field(v):
        x, y, z = v.unbind(-1)
        return torch.stack([10 * (y - x), x * (r - z) - y, x * y - 8 / 3 * z], -1)

    return field


def roessler(v):
    x, y, z = v.unbind(-1)
    return torch.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)], -1)


def van_der_pol(v):
    x, y = v.unbind(-1)
    return torch.stack([y, (1 - x * x) * y - x], -1)


def duffing(v):
    x, y = v.unbind(-1)
    return torch.stack([y, x - x**3 - 0.1 * y], -1)


def flows():
    """Flows sampled at a fixed step: a periodic orbit is a closed curve of the map."""
    x0 = torch.tensor([[0.5, 0.0], [3.0, 0.0]], dtype=F64)
    for dt in (0.02, 0.05, 0.2):
        system = flow(van_der_pol, 2, dt)
        yield Family("flows", f"van der Pol, {dt}", system, x0, [(CIRCLE,)] * 2)
    generator = torch.Generator().manual_seed(3)
    x0 = 1.5 * torch.randn(6, 2, generator=generator, dtype=F64)
    yield Family("flows", "Duffing, two wells", flow(duffing, 2, 0.1), x0, [(FIXED,)] * 6)
    for r in (0.5, 10.0, 20.0):
        x0 = torch.tensor([[1.0, 2.0, 3.0]], dtype=F64)
        yield Family("flows", f"Lorenz r = {r}", flow(lorenz(r), 3, 0.02), x0, [(FIXED,)])
    x0 = torch.tensor([[1.0, 1.0, 10.0]], dtype=F64)
    yield Family(
        "flows", "Lorenz r = 160, its cycle", flow(lorenz(160.0), 3, 0.005), x0, [(CIRCLE,)]
    )


def growth():
    """Orbits without an end: drifts, and growth at any speed."""
    x0 = column(2e6, 0.0, -5.0, 1e9)
    yield Family("growth", "x + 1", mapped(lambda x, p: x + 1, 1), x0, [(GROWS,)] * 4)
    drift = mapped(lambda x, p: x + p["v"][..., None], 1, v=[1e-6, 1e-3, -20.0])
    yield Family("growth", "x + v", drift, column(0.0, 1.0, 3.0), [(GROWS,)] * 3)
    wavy = mapped(lambda x, p: x + 1 + 0.8 * x.sin(), 1)
    yield Family("growth", "x + 1 + 0.8 sin x", wavy, column(0.0, 10.0), [(GROWS,)] * 2)
    gains = tensor([1.0005, 1.002, 1.02, -1.01, -1.5, 3.0])
    yield Family(
        "growth",
        "gain x",
        linear(gains[:, None, None]),
        torch.ones(6, 1, dtype=F64),
        [(GROWS,)] * 6,
    )
    out = turn(torch.full((3,), 2.0, dtype=F64), tensor([1.0005, 1.01, 1.2]))
    yield Family("growth", "spiral out", linear(out), torch.ones(3, 2, dtype=F64), [(GROWS,)] * 3)
    yield Family(
        "growth",
        "logistic, escape",
        rnnlib.logistic(tensor([4.1, 4.5])),
        torch.full((2, 1), 0.3, dtype=F64),
        [(GROWS,)] * 2,
    )
    square = mapped(lambda x, p: x * x, 1)
    x0 = column(1.0 + 1e-9, 1 - 1e-9, 1.0)
    yield Family("growth", "x squared", square, x0, [(GROWS,), (FIXED,), (REPELLER,)])
    relu = rnnlib.from_step(lambda x: torch.relu(1.003 * x), 4)
    yield Family(
        "growth",
        "relu, 1.003",
        relu,
        torch.rand(1, 4, generator=torch.Generator().manual_seed(0), dtype=F64),
        [(GROWS,)],
    )
    shear = linear(tensor([[[1.0, 1.0], [0.0, 1.0]]]))
    yield Family("growth", "shear", shear, torch.ones(1, 2, dtype=F64), [(GROWS,)])
    spiral = mapped(
        lambda x, p: torch.cat(
            [x[..., :2] @ turn(tensor(1.0)).T, x[..., 2:] + 0.5 + x[..., :1]], -1
        ),
        3,
    )
    yield Family("growth", "drift with a wave", spiral, torch.ones(1, 3, dtype=F64), [(GROWS,)])


def lstm(forget: float, units: int = 3, seed: int = 0) -> System:
    module = torch.nn.LSTM(1, units).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.rand(p.shape, generator=generator, dtype=F64) - 0.5)
        module.bias_hh_l0[units : 2 * units] = forget
        module.bias_ih_l0[units : 2 * units] = 0.0
    return rnnlib.from_module(module).hold(torch.zeros(1, dtype=F64))


def networks():
    """Networks built so that the answer is known."""
    for forget in (40.0, 50.0, 80.0):
        yield Family(
            "networks",
            f"LSTM, forget bias {forget}",
            lstm(forget),
            torch.zeros(1, 6, dtype=F64),
            [(GROWS,)],
        )
    for forget in (-1.0, 1.0, 4.0, 8.0):
        yield Family(
            "networks",
            f"LSTM, forget bias {forget}",
            lstm(forget),
            torch.zeros(1, 6, dtype=F64),
            [(FIXED,)],
        )
    gains = tensor([0.5, 0.9, 0.99, 0.999, 1.001, 1.01, 1.1, 2.0])
    n = len(gains)
    yield Family(
        "networks",
        "latch",
        PITCHFORK.family(gains),
        torch.full((n, 1), 0.3, dtype=F64),
        [(FIXED,)] * n,
    )
    words = [(FIXED if g < 1 else REPELLER,) for g in gains.tolist()]
    yield Family(
        "networks", "latch, from zero", PITCHFORK.family(gains), torch.zeros(n, 1, dtype=F64), words
    )
    words = [(FIXED if g < 1 else "period 2",) for g in gains.tolist()]
    yield Family(
        "networks", "alternator", FLIP.family(gains), torch.full((n, 1), 0.3, dtype=F64), words
    )
    rho = tensor([0.9, 0.99, 0.999, 1.002, 1.02, 1.1])
    words = [(FIXED if g < 1 else CIRCLE,) for g in rho.tolist()]
    x0 = torch.tensor([[0.3, 0.0]], dtype=F64).expand(6, 2)
    yield Family("networks", "clock", NEIMARK_SACKER.family(rho), x0, words)
    # an orthogonal matrix: rotations, or at rest
    generator = torch.Generator().manual_seed(5)
    q = torch.linalg.qr(torch.randn(5, 8, 8, generator=generator, dtype=F64))[0]
    x0 = torch.randn(5, 8, generator=generator, dtype=F64)
    yield Family("networks", "orthogonal", linear(q), x0, [(CIRCLE,)] * 5)
    squashed = elman(q)
    yield Family("networks", "orthogonal, tanh", squashed, x0, [(SETTLING, NEUTRAL)] * 5)
    contracting = elman(0.9 * q)
    yield Family("networks", "0.9 orthogonal, tanh", contracting, x0, [(FIXED,)] * 5)
    # gain 3 of random weights: zero is unstable; from elsewhere chaos, for most of size 60
    w = 3 * torch.randn(3, 60, 60, generator=generator, dtype=F64) / 60**0.5
    yield Family(
        "networks", "gain 3, from zero", elman(w), torch.zeros(3, 60, dtype=F64), [(REPELLER,)] * 3
    )
    x0 = torch.randn(3, 60, generator=generator, dtype=F64)
    yield Family("networks", "gain 3", elman(w), x0, [(CHAOS,)] * 3)
    s = tensor([0.6, 0.8, 0.87, 1.0, 1.2, 1.33, 1.6, 1.8, 2.0])
    words = [
        FIXED,
        "period 3",
        "period 6",
        CHAOS,
        CHAOS,
        "period 12",
        "period 4",
        "period 4",
        "period 4",
    ]
    yield Family("networks", "chaotic LSTM", line()(s), X0.expand(9, 4), [(w,) for w in words])
    memory = mapped(lambda x, p: torch.relu(x), 3)
    x0 = torch.tensor([[1.0, 2.0, 0.5]], dtype=F64)
    yield Family("networks", "relu integrator", memory, x0, [(NEUTRAL,)])
    shift = torch.eye(100, dtype=F64).roll(1, 0)
    yield Family(
        "networks",
        "delay line in a ring of 100",
        linear(shift[None]),
        torch.randn(1, 100, generator=generator, dtype=F64),
        [("neutral period 100",)],
    )
    for seed in range(4):
        torch.manual_seed(seed)
        gru = rnnlib.from_module(torch.nn.GRU(2, 12).double()).hold(torch.ones(2, dtype=F64))
        yield Family(
            "networks",
            f"GRU as initialised, {seed}",
            gru,
            torch.zeros(1, 12, dtype=F64),
            [(FIXED,)],
        )


def coexisting():
    """Several attractors of one map; each start has its own."""
    two = mapped(lambda x, p: torch.tanh(2 * x), 1)
    starts = column(-2.0, -0.1, -1e-6, 0.0, 1e-6, 0.1, 2.0)
    words = [(FIXED,)] * 3 + [(REPELLER,)] + [(FIXED,)] * 3
    yield Family("coexisting", "two fixed points", two, starts, words)

    # radius 0.5 repels between a fixed point at 0 and a circle of radius 1
    matrix = turn(2 * math.pi * GOLDEN)

    def ring(x, p):
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (1 + 0.2 * (r - 0.5) * (1 - r)) * (x @ matrix.T)

    radii = [0.1, 0.4, 0.49, 0.4999, 0.5001, 0.51, 0.7, 1.2]
    x0 = torch.stack([tensor(radii), torch.zeros(8, dtype=F64)], -1)
    words = [(FIXED,) if r < 0.5 else (CIRCLE,) for r in radii]
    yield Family("coexisting", "fixed point and circle", mapped(ring, 2), x0, words)

    # x' = -1.5 x + x^3 has a 2-cycle at +-sqrt(0.5); beyond |x| = sqrt(2.5) orbits escape
    cubic = mapped(lambda x, p: -1.5 * x + x**3, 1)
    starts = column(0.1, -0.9, 1.5, 1.6, -1.7)
    words = [("period 2",)] * 3 + [(GROWS,)] * 2
    yield Family("coexisting", "cycle and escape", cubic, starts, words)


def scaled():
    """The same systems in other units and with another origin: the same words."""
    bases = [
        ("node", lambda x: 0.9995 * x, [1.0], FIXED),
        ("alternating node", lambda x: -0.9975 * x, [1.0], FIXED),
        ("spiral", lambda x: x @ turn(tensor(2 * math.pi / 5), 0.9972).T, [1.0, 0.0], FIXED),
        ("rotation", lambda x: x @ turn(tensor(2 * math.pi * GOLDEN)).T, [1.0, 0.0], CIRCLE),
        ("drift", lambda x: x + 1, [0.0], GROWS),
        ("chaos", lambda x: 3.9 * x * (1 - x), [0.3], CHAOS),
        ("cycle", lambda x: 3.5 * x * (1 - x), [0.3], "period 4"),
        ("critical flip", lambda x: 3.0 * x * (1 - x), [0.3], SETTLING),
    ]
    scale = tensor([1e-6, 1.0, 1e6, 1e-6, 1e6])[:, None]
    shift = tensor([0.0, 3.0, 0.0, 1e-5, -3e6])[:, None]
    for name, step, start, word in bases:

        def f(x, p, step=step):
            a, b = p["scale"][..., None], p["shift"][..., None]
            return a * step((x - b) / a) + b

        system = mapped(f, len(start), scale=scale[:, 0], shift=shift[:, 0])
        yield Family("scaled", name, system, scale * tensor(start) + shift, [(word,)] * 5)


def slow_escapes():
    """Orbits that leave an unstable fixed point slowly, for another end."""
    start = powers(-12, -3, 4)
    fork = mapped(lambda x, p: 1.01 * x - x**3, 1)
    yield Family("transients", "from near a repeller", fork, start[:, None], [(FIXED,)] * 4)

    x0 = torch.stack([start, 0 * start], -1)
    system = hopf(tensor(0.005), 2 * math.pi * GOLDEN)
    yield Family("transients", "from near a focus", system, x0, [(CIRCLE,)] * 4)
    # a circle to which a third component decays: slowly
    rates = powers(-5, -1, 5)

    def beside(x, p):
        return torch.cat(
            [
                x[..., :2] @ turn(tensor(2 * math.pi * GOLDEN)).T,
                (1 - p["rate"])[..., None] * x[..., 2:],
            ],
            -1,
        )

    system = mapped(beside, 3, rate=rates)
    yield Family(
        "transients",
        "a slow mode beside a circle",
        system,
        torch.ones(5, 3, dtype=F64),
        [(CIRCLE,)] * 5,
    )


MAKERS = (
    slow_linear, normal_forms, circles, cascades, chaos, flows, growth, networks, coexisting,
    scaled, slow_escapes,
)  # fmt: skip


def families() -> list[Family]:
    """Return all of them."""
    found = [family for make in MAKERS for family in make()]
    for family in found:
        if len(family.words) != len(family.x0):
            raise ValueError(
                f"{family.name} has {len(family.words)} words for {len(family.x0)} orbits."
            )
    return found

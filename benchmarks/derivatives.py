"""The derivative of one step, and Lyapunov exponents of steps that a user wrote, on one core.

Peers: what people write in its place, `torch.func.jacfwd`, `torch.func.jacrev` and
`torch.autograd.functional.jacobian`, one state at a time; and the step itself, as the floor. A
Lorenz step by Runge and Kutta is a few dozen small operations with python numbers among them, on
which forward mode is slow.

A ratio is the peer's time over ours and should reach its bar: 1/4 against the orbit alone says
that a step with its tangents costs at most four plain ones. A lone step costs more: the forward
and the backward pass of torch alone take as long as three.

Run it: python -m benchmarks.derivatives
"""

import torch
from torch import Tensor, nn

import rnnlib
from benchmarks.table import Row, medians, one_core, row, table

STEPS = 500
DOUBLE = {"dtype": torch.float64}


def lorenz(x: Tensor) -> Tensor:
    a, b, c = x.unbind(-1)
    return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


def runge_kutta(x: Tensor, dt: float = 0.01) -> Tensor:
    k1 = lorenz(x)
    k2 = lorenz(x + dt / 2 * k1)
    k3 = lorenz(x + dt / 2 * k2)
    k4 = lorenz(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def exponents_by(derivative, step, x: Tensor) -> Tensor:
    """The textbook's loop: a Jacobian, a product and a QR at each step."""
    q, sums = torch.eye(len(x), **DOUBLE), 0
    for _ in range(STEPS):
        q, r = torch.linalg.qr(derivative(x) @ q)
        x, sums = step(x), sums + r.diagonal().abs().log()
    return sums / STEPS


def plain(step, x: Tensor) -> Tensor:
    """The orbit alone."""
    with torch.no_grad():
        for _ in range(STEPS):
            x = step(x)
    return x


def rows() -> list[Row]:
    """Measure everything on one core and one thread."""
    with one_core():
        return [*step_rows(), *spectrum_rows()]


def step_rows(repeats: int = 60) -> list[Row]:
    x, identity = torch.tensor([1.0, 2.0, 20.0], **DOUBLE), torch.eye(3, **DOUBLE)
    system = rnnlib.from_step(runge_kutta, 3)
    forward = rnnlib.from_step(runge_kutta, 3, derivative="forward")

    def ten(function, *arguments):
        def run():
            for _ in range(10):
                function(*arguments)

        return run

    seconds = medians(
        {
            "plain": ten(torch.no_grad()(runge_kutta), x),
            "jacrev": ten(torch.func.jacrev(runge_kutta), x),
            "jacfwd": ten(torch.func.jacfwd(runge_kutta), x),
            "functional": ten(torch.autograd.functional.jacobian, runge_kutta, x),
            "forward": ten(rnnlib.push_forward, forward, x, identity),
            "ours": ten(rnnlib.push_forward, system, x, identity),
        },
        repeats,
    )
    kind = "10 tangents of a Lorenz step"
    return [
        row(f"{kind} / the plain step", seconds, "plain", "ours"),
        row(f"{kind} / torch.func.jacrev", seconds, "jacrev", "ours", 1.0),
        row(f"{kind} / torch.func.jacfwd", seconds, "jacfwd", "ours", 4.0),
        row(f"{kind} / autograd.functional", seconds, "functional", "ours", 1.0),
        row(f"{kind} / dual numbers", seconds, "forward", "ours", 4.0),
    ]


def spectrum_rows(repeats: int = 3) -> list[Row]:
    torch.manual_seed(0)
    gru = nn.GRUCell(1, 16).double()
    network = rnnlib.from_module(gru).hold(torch.ones(1, **DOUBLE))
    cases = {
        "Lorenz": (runge_kutta, rnnlib.from_step(runge_kutta, 3), torch.ones(3, **DOUBLE), 0.25),
        "GRU, 16": (network.step, network, torch.zeros(16, **DOUBLE), None),
    }
    found = []
    for name, (step, system, x, bar) in cases.items():
        seconds = medians(
            {
                "plain": lambda step=step, x=x: plain(step, x),
                "jacrev": lambda step=step, x=x: exponents_by(torch.func.jacrev(step), step, x),
                "ours": lambda system=system, x=x: rnnlib.lyapunov_spectrum(system, x, STEPS),
            },
            repeats,
        )
        found += [
            row(f"exponents of {name} / its orbit alone", seconds, "plain", "ours", bar),
            row(f"exponents of {name} / jacrev and QR", seconds, "jacrev", "ours", 3.0),
        ]
    return found


def main() -> None:
    """Measure and print."""
    print(table(f"Derivatives of a step, and exponents over {STEPS} steps", rows()), flush=True)


if __name__ == "__main__":
    main()

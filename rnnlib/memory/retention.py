"""Memory against distance: how long what was shown can be read, by the network and by anyone.

A trained network answers at the step for which it was trained. Asked later, its own read-out may
fail for two reasons: the state no longer tells the classes apart, or it does, in another place than
where the read-out looks. A linear probe that is fitted anew at every distance separates the two.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.memory.remembered_bits import SAME, checked_steps, gathered, states_at
from rnnlib.systems import System


class Retention(NamedTuple):
    """How well the class is known some steps later.

    Attributes:
        steps: shape ``(k,)``.
        read: the accuracy of the network's own read-out, shape ``(k,)``.
        probe: the accuracy of a linear probe on copies that it was not fitted to, shape ``(k,)``.
    """

    steps: Tensor
    read: Tensor
    probe: Tensor

    def reach(self, accuracy: float, which: str = "read") -> int:
        """Return the last of the steps up to which an accuracy was never below a bound.

        Args:
            accuracy: the bound.
            which: "read" or "probe".

        Returns:
            A number of steps, or -1 if it was below from the first on.
        """
        below = (getattr(self, which) < accuracy).nonzero()
        last = int(below[0]) - 1 if len(below) else len(self.steps) - 1
        return int(self.steps[last]) if last >= 0 else -1


@torch.no_grad()
def retention(
    system: System,
    states: Tensor,
    classes: Tensor,
    inputs: Tensor,
    steps: Iterable[int],
    *,
    progress: bool = False,
) -> Retention:
    """Go on with inputs that carry no news, and ask for the class again and again.

    Args:
        system: one system with an input and a read-out with one output per class.
        states: what the network has come to, shape ``(N, n_x)``.
        classes: what each is to remember, integers of shape ``(N,)``.
        inputs: of each copy its own, shape ``(T, N, n_z)``.
        steps: after how many of them to ask, 0 to T, in increasing order.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) ends the questions in any
            case, and what was answered by then is returned, with a warning.

    Raises:
        ValueError: a number of steps that is negative, beyond the inputs, or out of order; fewer
            than two copies.
    """
    wanted = checked_steps(steps, len(inputs))
    states_then = states_at(system, states, inputs, wanted, progress)

    def ask(asked: tuple[int, Tensor]) -> list[float]:
        step, x = asked
        answer = system.read(x, inputs[max(step - 1, 0)]).argmax(-1)
        return [float((answer == classes).double().mean()), probe_accuracy(x, classes)]

    rows = gathered(ask, zip(wanted, states_then, strict=True))
    values = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return Retention(torch.tensor(wanted[: len(rows)], device="cpu"), *values.T)


def probe_accuracy(
    x: Tensor, classes: Tensor, ridge: float = 1e-3, resolution: float = SAME
) -> float:
    """Return how well a linear classifier tells the classes apart, on copies held out.

    It is a ridge regression of the classes' indicators on the standardised components, fitted to
    a random half of the copies and asked about the others.

    Args:
        x: shape ``(N, n_x)``.
        classes: integers of shape ``(N,)``.
        ridge: the weight of the penalty, for components of variance 1.
        resolution: a component that varies by less than this, relative to 1 + its mean size, is
            left out; else rounding errors would count as memory.

    Raises:
        ValueError: fewer than two copies.
    """
    if len(x) < 2:
        raise ValueError(f"x has {len(x)} states; a probe needs 2 or more.")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=generator, device="cpu").to(x.device)
    fitted, asked = order[: len(x) // 2], order[len(x) // 2 :]
    mean, spread = x[fitted].mean(0), x[fitted].std(0, correction=0)
    varies = spread > resolution * (1 + mean.abs())
    x = (x[:, varies] - mean[varies]) / spread[varies]
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=-1)
    targets = torch.nn.functional.one_hot(classes).to(x)
    penalty = ridge * len(fitted) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    seen = x[fitted]
    weights = torch.linalg.solve(seen.mT @ seen + penalty, seen.mT @ targets[fitted])
    answer = (x[asked] @ weights).argmax(-1)
    return float((answer == classes[asked]).double().mean())


@torch.no_grad()
def probe_under_noise(
    system: System,
    states: Tensor,
    classes: Tensor,
    inputs: Tensor,
    sigma: float,
    seed: int = 0,
    *,
    progress: bool = False,
) -> float:
    """Return how well a probe tells the classes after inputs during which the state is disturbed.

    Args:
        system: one system with an input.
        states: what the network has come to, shape ``(N, n_x)``.
        classes: what each is to remember, integers of shape ``(N,)``.
        inputs: of each copy its own, shape ``(T, N, n_z)``.
        sigma: standard deviation of the noise that is added to every component at every step.
        seed: of the noise.
        progress: whether to show a progress bar.
    """
    generator = torch.Generator().manual_seed(seed)
    for z in tqdm(inputs, desc="noise", disable=not progress, unit="step"):
        noise = torch.randn(states.shape, dtype=states.dtype, generator=generator, device="cpu")
        states = system.step(states, z) + sigma * noise.to(states.device)
    return probe_accuracy(states, classes)

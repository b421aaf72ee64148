"""Sine generation (section 5.1): the input says a frequency, the output is to oscillate at it.

`Sine` is the paper's task. `ForcedSine` is the same one taught with teacher forcing.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LOWEST, HIGHEST = math.pi / 16, math.pi / 8  # radians per step


def frequencies(count: int) -> Tensor:
    """Return frequencies evenly spaced from pi/16 to pi/8, in radians per step.

    Returns:
        Shape ``(count,)``, float32.
    """
    return torch.linspace(LOWEST, HIGHEST, count, dtype=torch.float32)


class Sine:
    """``z_t = omega`` at every step, target ``sin(omega t)`` for ``t = 1, ..., length``.

    Batches come in a fixed order; the loss is the sum of squared errors.

    Args:
        n_sequences: how many frequencies, evenly spaced from pi/16 to pi/8.
        length: the number of steps.
        batch_size: sequences per optimizer step.
        device: where the data lie.

    Raises:
        ValueError: a count that is not positive.
    """

    n_in, n_out, input_bound, carries_state = 1, 1, HIGHEST, False
    best = "mse"  # the number whose lowest value marks the best epoch

    def __init__(
        self, n_sequences: int, length: int, batch_size: int, device: torch.device | str = "cpu"
    ):
        for name, count in (
            ("n_sequences", n_sequences),
            ("length", length),
            ("batch_size", batch_size),
        ):
            if count < 1:
                raise ValueError(f"{name} is {count}; it must be at least 1.")
        omega = frequencies(n_sequences).double()
        t = torch.arange(1, length + 1, dtype=torch.float64)
        target = torch.sin(omega * t[:, None]).float()  # time, sequence
        z = omega.float().expand(length, n_sequences)
        self.z = z.unsqueeze(-1).to(device).split(batch_size, dim=1)
        self.target = target.unsqueeze(-1).to(device).split(batch_size, dim=1)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return an epoch's batches: inputs and targets, each ``(length, batch_size, 1)``."""
        return zip(self.z, self.target, strict=True)

    def loss(self, y: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor], int]:
        """Return the loss to minimise, the sums for the history, and how many they are over."""
        error = (y - target).square().sum()
        return error, {"mse": error.detach()}, target.numel()

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return nothing: there is no validation set."""
        return {}

    @torch.no_grad()
    def test(self, model: nn.Module) -> dict[str, float]:
        """Return the error of the weights as they are.

        The ``mse`` of a history is a running one: it sums over an epoch while the weights move, so
        it is the error of no network. This one is.
        """
        found = [self.loss(model(z)[0], target) for z, target in self.batches()]
        total, count = sum(float(loss) for loss, _, _ in found), sum(n for _, _, n in found)
        return {"evaluated_mse": total / count}

    def solved(self, record: dict[str, float]) -> bool:
        """Return False: training runs for all epochs."""
        return False


class ForcedSine(Sine):
    """The same with teacher forcing: ``z_t = (target_{t-1}, omega)``, the order of `closed_loop`.

    What it is told at the first step is ``sin(0) = 0``. So one step ahead is to be told, which
    takes no oscillation; that is asked for when the loop is closed (section 2, figure 2).

    Args:
        n_sequences, length, batch_size, device: as of `Sine`.
        noise: standard deviation of normal noise on the targets that are fed, not on those that
            are asked for: it shows the way back from beside the sine.
        seed: of the noise, which is drawn once.

    Raises:
        ValueError: a count that is not positive, a negative ``noise``.

    Reference:
        Williams and Zipser, "A learning algorithm for continually running fully recurrent neural
        networks", Neural Computation 1 (1989).
    """

    n_in, input_bound = 2, 1.0

    def __init__(
        self, n_sequences: int, length: int, batch_size: int, device: torch.device | str = "cpu", *,
        noise: float = 0.0, seed: int = 0,
    ):  # fmt: skip
        super().__init__(n_sequences, length, batch_size, device)
        if not noise >= 0:
            raise ValueError(f"noise is {noise}; it must be 0 or more.")
        generator = torch.Generator().manual_seed(seed)
        fed = []
        for z, target in zip(self.z, self.target, strict=True):
            past = torch.cat([torch.zeros_like(target[:1]), target[:-1]])
            drawn = torch.randn(past.shape, generator=generator).to(past)
            fed.append(torch.cat([past + noise * drawn, z], dim=-1))
        self.z = tuple(fed)

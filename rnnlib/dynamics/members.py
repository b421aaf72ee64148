"""Some of a batch of systems, by number: so that only what is not decided yet is run on."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rnnlib.systems import System


@dataclass(frozen=True)
class Members:
    """The orbits of a batch, numbered along one flat axis.

    Attributes:
        system: with batch axes or without.
        shape: the batch axes of the states.
    """

    system: System
    shape: torch.Size

    def pick(self, index: Tensor) -> System:
        """Return the system of some of the orbits, for states of shape ``(len(index), n_x)``."""
        system, count = self.system, self.shape.numel()

        def chosen(value: Tensor, core: int) -> Tensor:
            own = value.shape[value.dim() - core :]
            if value.numel() == own.numel():  # shared by all
                return value.reshape(own)
            return value.expand(*self.shape, *own).reshape(count, *own)[index]

        theta = {name: chosen(p, system.core[name]) for name, p in system.theta.items()}
        z = None if system.z is None else chosen(system.z, 1)
        return replace(system, theta=theta, z=z)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if an orbit by itself does not step as it does in the batch.

        Args:
            x: the states, shape ``(*shape, n_x)``.
        """
        if self.shape.numel() < 2:
            return
        last = torch.tensor([self.shape.numel() - 1], device=x.device)
        flat = x.reshape(-1, x.shape[-1])
        alone = self.pick(last).step(flat[last])
        beside = self.system.step(x)
        if alone.shape != flat[last].shape or beside.shape != x.shape:
            raise ValueError(
                f"{self.system.name} takes a state of shape {tuple(flat[last].shape)} to one of "
                f"shape {tuple(alone.shape)}: its step holds parameters with batch axes of its "
                f"own. Give them to rnnlib.from_function as theta."
            )

"""Equation (1): what a dynamical system is in this package::

    x_{t+1} = f(x_t, z_t; theta)        (1a)
    y_t     = g(x_{t+1}, z_t; theta)    (1b)

The state ``x`` is one flat vector; an LSTM's is ``h`` and ``c`` together. The read-out ``g`` looks
at the state that has just been reached, as `torch.nn` modules do. That is the paper's equation
(1b) with ``g(f(x, z), z)`` in place of ``g(x, z)``.

Every analysis takes a `System` and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from rnnlib.nn import batch_innermost

Map = Callable[[Tensor, Tensor | None, Mapping[str, Tensor]], Tensor]


def identity(x: Tensor, z: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    """The read-out that shows the whole state."""
    return x


@dataclass(frozen=True)
class System:
    """A one-step map over a flat state, with its read-out and its parameters.

    Attributes:
        f: the transition ``f(x, z, theta)``, equation (1a): ``x`` of shape ``(*batch, n_x)``, ``z``
            of shape ``(*batch, n_z)`` or None, returns shape ``(*batch, n_x)``.
        n_x: the dimension of the state.
        theta: parameters by name. Each may carry leading batch axes, which broadcast against
            those of the state: a sweep, a grid and an ensemble are the same call.
        core: how many trailing axes of each parameter are not batch axes; by default all axes
            of the parameters given here.
        g: the read-out ``g(x, z, theta)``, equation (1b), applied to the state just reached.
        n_z: the dimension of the input; 0 for an autonomous system.
        z: the input while it is held constant, shape ``(*batch, n_z)``; see `hold`.
        name: what figures and messages call it.
    """

    f: Map
    n_x: int
    theta: Mapping[str, Tensor] = field(default_factory=dict)
    core: Mapping[str, int] = field(default_factory=dict)
    g: Map = identity
    n_z: int = 0
    z: Tensor | None = None
    name: str = "system"

    def __post_init__(self):
        core = {name: self.core.get(name, p.dim()) for name, p in self.theta.items()}
        object.__setattr__(self, "core", core)

    def step(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Return ``f(x, z; theta)``, equation (1a); ``z`` defaults to the held input."""
        return self.f(x, self._input(z), self.theta)

    def read(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Return ``g(x, z; theta)``, equation (1b), for a state that ``z`` has led to."""
        return self.g(x, self._input(z), self.theta)

    def _input(self, z: Tensor | None) -> Tensor | None:
        if z is None:
            z = self.z
        if z is None and self.n_z > 0:
            raise ValueError(
                f"{self.name} needs an input of dimension n_z={self.n_z} and got none: hold a "
                f"constant one with system.hold(z), or pass inputs to the analysis."
            )
        return z

    @property
    def batch_shape(self) -> torch.Size:
        """The batch axes that the parameters and the held input span together."""
        shapes = [p.shape[: p.dim() - self.core[name]] for name, p in self.theta.items()]
        if self.z is not None:
            shapes.append(self.z.shape[:-1])
        return torch.broadcast_shapes(*shapes) if shapes else torch.Size()

    def at(self, theta: Mapping[str, Tensor]) -> "System":
        """Return the same system at other parameters.

        Args:
            theta: some or all of the parameters, each of the shape that it has now, with any
                leading batch axes.

        Raises:
            ValueError: a name that the system does not have, a wrong shape, a value that is not
                finite.
        """
        for name, value in theta.items():
            if name not in self.theta:
                raise ValueError(
                    f"theta has an unknown parameter {name!r}; {self.name} has "
                    f"{sorted(self.theta)}."
                )
            core = self.core[name]
            old = self.theta[name]
            expected = tuple(old.shape[old.dim() - core :])
            got = tuple(value.shape[max(value.dim() - core, 0) :])
            if got != expected:
                raise ValueError(
                    f"theta[{name!r}] has shape {tuple(value.shape)}; its last {core} axes must be "
                    f"{expected}, with any batch axes before them."
                )
            check_finite(f"theta[{name!r}]", value)
        laid_out = {name: batch_innermost(v, self.core[name]) for name, v in theta.items()}
        return replace(self, theta={**self.theta, **laid_out})

    def hold(self, z: Tensor) -> "System":
        """Return the same system with its input held constant, which makes it autonomous.

        Args:
            z: shape ``(*batch, n_z)``.

        Raises:
            ValueError: ``z`` is of another dimension, or not finite.
        """
        if self.n_z == 0 or z.dim() == 0 or z.shape[-1] != self.n_z:
            raise ValueError(
                f"z has shape {tuple(z.shape)}; {self.name} takes inputs of shape "
                f"(*batch, {self.n_z})."
            )
        check_finite("z", z)
        return replace(self, z=batch_innermost(z, 1))

    def to(self, *args, **kwargs) -> "System":
        """Return the same system with its tensors moved as by `torch.Tensor.to`."""
        return replace(
            self,
            theta={name: p.to(*args, **kwargs) for name, p in self.theta.items()},
            z=None if self.z is None else self.z.to(*args, **kwargs),
        )

    def initial_state(self, x0: Tensor) -> Tensor:
        """Return ``x0`` broadcast against the system's batch axes, after checking it.

        Args:
            x0: shape ``(*batch, n_x)``; NaN is allowed and stays NaN.

        Raises:
            ValueError: ``x0`` is of another dimension, or its batch axes do not broadcast.
            TypeError: ``x0`` is not of the dtype of the parameters.
        """
        if x0.dim() == 0 or x0.shape[-1] != self.n_x:
            raise ValueError(
                f"x0 has shape {tuple(x0.shape)}; {self.name} has states of shape "
                f"(*batch, {self.n_x})."
            )
        for name, parameter in self.theta.items():
            if parameter.dtype != x0.dtype:
                raise TypeError(
                    f"x0 is {x0.dtype} and theta[{name!r}] is {parameter.dtype}; convert one of "
                    f"them, for example with system.to(torch.float64)."
                )
        try:
            batch = torch.broadcast_shapes(self.batch_shape, x0.shape[:-1])
        except RuntimeError:
            raise ValueError(
                f"x0 has batch axes {tuple(x0.shape[:-1])}, which do not broadcast against those "
                f"of the parameters and the held input, {tuple(self.batch_shape)}; give the "
                f"parameters an axis of length 1 for each axis of initial states."
            ) from None
        return batch_innermost(x0.expand(*batch, self.n_x), 1)


def closed_loop(system: System, feedback: Callable[[Tensor], Tensor], n_y: int) -> System:
    """Feed the output back as the next input (figure 2b): another system, without input.

    Its state is the extended one of section 2, ``(x_t, y_{t-1})``, and one step of it is
    ``z_t = feedback(y_{t-1})``, ``x_{t+1} = f(x_t, z_t)``, ``y_t = g(x_{t+1}, z_t)``.

    Args:
        system: the open-loop system, with an input and a read-out.
        feedback: from an output of shape ``(*batch, n_y)`` to the next input ``(*batch, n_z)``,
            for example the identity, or an arg-max turned into a word's embedding.
        n_y: the dimension of the output.

    Returns:
        A system with states of shape ``(*batch, n_x + n_y)`` that shows the output.

    Raises:
        ValueError: ``system`` takes no input.
    """
    if system.n_z == 0:
        raise ValueError(
            f"system has no input (n_z=0), so nothing can be fed back into {system.name}."
        )
    n_x = system.n_x

    def f(extended, z, theta):
        x, y = extended[..., :n_x], extended[..., n_x:]
        z = feedback(y)
        x = system.f(x, z, theta)  # (1a)
        return torch.cat([x, system.g(x, z, theta)], dim=-1)  # (1b)

    def g(extended, z, theta):
        return extended[..., n_x:]

    return replace(
        system, f=f, g=g, n_x=n_x + n_y, n_z=0, z=None, name=f"{system.name}, closed loop"
    )


def check_finite(what: str, value: Tensor) -> None:
    if not torch.isfinite(value).all():
        raise ValueError(
            f"{what} has {int((~torch.isfinite(value)).sum())} values that are not finite (NaN or "
            f"infinite); look at the run or file that they come from."
        )

"""One step in float64 as a proof around a point sees it: by a network's rule, or on trust.

What a local proof asks of a step is its value and derivative at a point, how far it misses a
target there, and how much it can stretch over a ball. For a network of torch the last comes from
enclosed gates, for any other system from a bound of its second derivative that the caller states.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rnnlib.memory.certificates import Inputs, admitted_inputs
from rnnlib.memory.comparison import signed_enclosure
from rnnlib.memory.intervals import MARGIN, Interval, image, point
from rnnlib.memory.networks import Network, read_network
from rnnlib.memory.norms import QuadraticNorm
from rnnlib.memory.quadratic_bound import Transported, quadratic_bound, spectral_bound
from rnnlib.memory.step_enclosure import Box, enclose_step
from rnnlib.systems import System, jacobian

Curvature = float | Callable[[float], float]


class LocalStep(Protocol):
    """One step as a local proof sees it; all tensors are float64 and on the CPU."""

    @property
    def n_x(self) -> int:
        """The dimension of the state."""
        ...

    @property
    def inputs(self) -> Interval:
        """The box of admitted inputs."""
        ...

    @property
    def provable(self) -> bool:
        """Whether `constant` can say anything."""
        ...

    def next(self, x: Tensor) -> Tensor:
        """Return the next state under the middle input."""
        ...

    def derivative(self, x: Tensor) -> Tensor:
        """Return the Jacobian under the middle input."""
        ...

    def misses(self, x: Tensor, target: Tensor, norm: QuadraticNorm) -> float:
        """Bound how far from the target the next state of ``x`` is, over all inputs."""
        ...

    def constant(
        self, x: Tensor, radius: float, before: Transported, after: QuadraticNorm, slope: Tensor
    ) -> float:
        """Bound the stretch from the ball of this radius around ``x`` to the next norm."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkStep:
    """A torch network, under the inputs of a box; see `LocalStep`."""

    network: Network
    inputs: Interval
    provable: bool = True

    @property
    def n_x(self) -> int:
        """The dimension of the state."""
        return self.network.n_x

    def _at(self, x: Tensor, inputs: Interval):
        return enclose_step(self.network, Box(point(x)), inputs)

    def next(self, x: Tensor) -> Tensor:
        """See `LocalStep.next`."""
        return self._at(x, point(self.inputs.middle)).reached.middle

    def derivative(self, x: Tensor) -> Tensor:
        """See `LocalStep.derivative`."""
        return signed_enclosure(self._at(x, point(self.inputs.middle)).rows, self.n_x)[0]

    def misses(self, x: Tensor, target: Tensor, norm: QuadraticNorm) -> float:
        """See `LocalStep.misses`."""
        return _length(norm, (self._at(x, self.inputs).reached - point(target)).largest)

    def constant(
        self, x: Tensor, radius: float, before: Transported, after: QuadraticNorm, slope: Tensor
    ) -> float:
        """See `LocalStep.constant`."""
        rows = enclose_step(self.network, Ball(x, radius, before), self.inputs).rows
        return quadratic_bound(rows, after, before)


@dataclass(frozen=True, eq=False)
class StatedStep:
    """Any system under one held input, with a stated bound of its curvature; see `LocalStep`.

    Attributes:
        system: in float64.
        inputs: the held input.
        curvature: as in `certify_near`, or None.
    """

    system: System
    inputs: Interval
    curvature: Curvature | None

    @property
    def n_x(self) -> int:
        """The dimension of the state."""
        return self.system.n_x

    @property
    def provable(self) -> bool:
        """Whether a curvature was stated."""
        return self.curvature is not None

    @property
    def _z(self) -> Tensor | None:
        return self.inputs.middle if self.system.n_z else None

    def next(self, x: Tensor) -> Tensor:
        """See `LocalStep.next`."""
        return self.system.step(x, self._z).detach()

    def derivative(self, x: Tensor) -> Tensor:
        """See `LocalStep.derivative`."""
        return jacobian(self.system, x, self._z).detach()

    def misses(self, x: Tensor, target: Tensor, norm: QuadraticNorm) -> float:
        """See `LocalStep.misses`; the step's own rounding is taken to be within ``MARGIN``."""
        following = self.next(x)
        rounding = MARGIN * (x.abs().max() + following.abs())
        return _length(norm, (following - target).abs() + rounding)

    def constant(
        self, x: Tensor, radius: float, before: Transported, after: QuadraticNorm, slope: Tensor
    ) -> float:
        """See `LocalStep.constant`."""
        back, forth = spectral_bound(before.norm.inverse), spectral_bound(after.matrix)
        farthest = radius * back * before.slack  # in the Euclidean norm
        stated = self.curvature
        bound = stated(farthest) if callable(stated) else float("inf") if stated is None else stated
        linear = spectral_bound(after.matrix @ before(slope))
        return (linear + forth * bound * farthest * back) * before.slack * (1 + MARGIN)


@dataclass(frozen=True, eq=False)
class Ball:
    """All states with ``|T (x - centre)|_2 <= radius``.

    Attributes:
        centre: shape ``(n_x,)``.
        radius: in the norm.
        transported: of the norm.
    """

    centre: Tensor
    radius: float
    transported: Transported

    def image(self, matrix: Tensor) -> Interval:
        """Return what contains ``matrix @ x`` for all its states, shape ``(rows,)``."""
        reach = self.transported.row_norms(matrix) * self.radius * self.transported.slack
        return image(matrix, point(self.centre)) + Interval(-reach, reach)


def local_step(
    cell: System | Mapping[str, Tensor], inputs: Inputs | None, curvature: Curvature | None
) -> LocalStep:
    """Return the step of a network, or of any system, after checking what `certify_near` was given.

    Raises:
        TypeError: a system that is not in float64.
        ValueError: no input, an Elman network of unknown activation, a box of inputs or batch axes
            for a system without a known rule.
    """
    network = read_network(cell)
    n_z = cell.n_z if isinstance(cell, System) else network.n_z if network else 0
    given = cell.z if inputs is None and isinstance(cell, System) else inputs
    if given is None and n_z:
        raise ValueError(
            "no input is given; hold one with system.hold(z), or pass inputs=z, or a box of them."
        )
    nothing = torch.zeros(0, dtype=torch.float64, device="cpu")
    admitted = admitted_inputs(n_z, nothing if given is None else given, 0.0)
    if network is not None:
        if network.kind == "elman" and network.activation is None:
            raise ValueError(
                "cell is an Elman network given by its weights alone, which do not say whether it "
                "is tanh or relu; give the module, or a system made from it."
            )
        return NetworkStep(network, admitted)
    assert isinstance(cell, System)
    for name, parameter in cell.theta.items():
        if parameter.dtype != torch.float64:
            raise TypeError(
                f"theta[{name!r}] is {parameter.dtype}; a proof needs float64: use "
                f"system.to(torch.float64)."
            )
    if (admitted.low != admitted.high).any():
        raise ValueError("inputs is a box; for a system without a known rule hold one input.")
    if cell.batch_shape:
        raise ValueError(f"system has batch axes {tuple(cell.batch_shape)}; certify one at a time.")
    return StatedStep(cell.to("cpu"), admitted, curvature)


def _length(norm: QuadraticNorm, sizes: Tensor) -> float:
    """Bound the norm of vectors whose components are at most these, in one of two ways."""
    by_rows = float((norm.matrix.abs() @ sizes).norm())
    by_columns = spectral_bound(norm.matrix * sizes) * len(sizes) ** 0.5
    return min(by_rows, by_columns) * (1 + MARGIN)

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
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rnnlib.nn import batch_innermost

Map = Callable[[Tensor, Tensor | None, Mapping[str, Tensor]], Tensor]


def identity(x: Tensor, z: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    """The read-out that shows the whole state."""
    return x


DERIVATIVES = (None, "forward", "reverse", "differences")


@dataclass(frozen=True, repr=False)
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
        derivative: how `push_forward` differentiates the step: "forward" or "reverse" mode,
            "differences" for central ones, or None, which chooses between the two modes.

    Example:
        >>> import torch, rnnlib
        >>> theta = {"a": torch.ones(1)}
        >>> scale = rnnlib.System(lambda x, z, theta: theta["a"] * x, n_x=1, theta=theta)
        >>> sweep = scale.at({"a": torch.tensor([[0.5], [2.0]])})  # two systems at once
        >>> sweep.step(torch.tensor([4.0]))[:, 0]
        tensor([2., 8.])
    """

    f: Map
    n_x: int
    theta: Mapping[str, Tensor] = field(default_factory=dict)
    core: Mapping[str, int] = field(default_factory=dict)
    g: Map = identity
    n_z: int = 0
    z: Tensor | None = None
    name: str = "system"
    derivative: str | None = None

    def __post_init__(self):
        core = {name: self.core.get(name, p.dim()) for name, p in self.theta.items()}
        object.__setattr__(self, "core", core)
        if self.derivative not in DERIVATIVES:
            known = ", ".join(map(repr, DERIVATIVES))
            raise ValueError(f"derivative is {self.derivative!r}; use one of {known}.")

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in self.theta.items())
        of = f"parameters {shapes}" if shapes else "no parameters of its own"
        held = "" if self.z is None else f", held at z of shape {tuple(self.z.shape)}"
        return f"<{self.name}: n_x={self.n_x}, n_z={self.n_z}{held}; {of}>"

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
        elif self.n_z == 0:
            raise ValueError(
                f"z has shape {tuple(z.shape)}, but {self.name} takes no input (n_z=0): leave it "
                f"out."
            )
        return z

    def asks_for_gradients(self, *tensors: Tensor | None) -> bool:
        """Return whether torch records and a tensor of the system, or one of these, is trainable.

        Args:
            tensors: what a call gives beside the system: a state, inputs.
        """
        held = (*self.theta.values(), self.z, *tensors)
        return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in held)

    @cached_property
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
            ValueError: ``z`` is of another dimension, on another device, or not finite.
            TypeError: ``z`` is not a tensor of the dtype of the parameters.
        """
        self._check_tensor("z", z)
        if self.n_z == 0:
            raise ValueError(
                f"z has shape {tuple(z.shape)}, but {self.name} takes no input (n_z=0)."
            )
        if z.dim() == 0 or z.shape[-1] != self.n_z:
            raise ValueError(
                f"z has shape {tuple(z.shape)}; {self.name} takes inputs of shape "
                f"(*batch, {self.n_z})."
            )
        self._check_kind("z", z)
        check_finite("z", z)
        return replace(self, z=batch_innermost(z, 1))

    def to(self, *args: Any, **kwargs: Any) -> "System":
        """Return the same system with its tensors moved as by `torch.nn.Module.to`.

        A dtype converts floating-point tensors only.
        """

        def moved(tensor: Tensor) -> Tensor:
            there = tensor.to(*args, **kwargs)
            return there if tensor.is_floating_point() else there.to(tensor.dtype)

        return replace(
            self,
            theta={name: moved(p) for name, p in self.theta.items()},
            z=None if self.z is None else moved(self.z),
        )

    def initial_state(self, x0: Tensor, z: Tensor | None = None) -> Tensor:
        """Return ``x0`` broadcast against the system's batch axes, after checking it.

        Args:
            x0: shape ``(*batch, n_x)``; NaN is allowed and stays NaN.
            z: the input of one step, shape ``(*batch, n_z)``, whose batch axes join in.

        Returns:
            Shape ``(*batch, n_x)``, with all batch axes of the parameters, the input and ``x0``,
            aligned from the right as torch does.

        Raises:
            ValueError: ``x0`` is of another dimension, its batch axes do not broadcast, or it lies
                on another device than the parameters.
            TypeError: ``x0`` is not a tensor of real floating-point numbers of the parameters'
                dtype.
        """
        self._check_tensor("x0", x0)
        if x0.dim() == 0 or x0.shape[-1] != self.n_x:
            raise ValueError(
                f"x0 has shape {tuple(x0.shape)}; {self.name} has states of shape "
                f"(*batch, {self.n_x})."
            )
        self._check_kind("x0", x0)
        shapes = [self.batch_shape, () if z is None else z.shape[:-1], x0.shape[:-1]]
        try:
            batch = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            of_input = f" or those of the inputs, {tuple(shapes[1])}" if shapes[1] else ""
            raise ValueError(
                f"x0 has batch axes {tuple(x0.shape[:-1])}, which do not broadcast against those "
                f"of the parameters and the held input, {tuple(self.batch_shape)}{of_input}; give "
                f"the parameters and inputs an axis of length 1 for each axis of initial states."
            ) from None
        return batch_innermost(x0.expand(*batch, self.n_x), 1)

    def check_inputs(self, inputs: Tensor | None, steps: int, what: str = "steps") -> None:
        """Raise an error unless ``inputs`` can drive the system for so many steps.

        Args:
            inputs: shape ``(at least steps, *batch, n_z)``, or None.
            steps: how many inputs are needed.
            what: what needs them, for the message.

        Raises:
            ValueError: the system takes no input, too few steps, another shape or device.
            TypeError: not a tensor of the dtype of the parameters.
        """
        if inputs is None:
            return
        self._check_tensor("inputs", inputs)
        if self.n_z == 0:
            raise ValueError(
                f"inputs has shape {tuple(inputs.shape)}, but {self.name} takes no input (n_z=0): "
                f"leave inputs out."
            )
        if inputs.dim() < 2 or inputs.shape[-1] != self.n_z:
            raise ValueError(
                f"inputs has shape {tuple(inputs.shape)}; {self.name} takes one input a step, "
                f"(steps, *batch, {self.n_z})."
            )
        if len(inputs) < steps:
            raise ValueError(f"inputs has {len(inputs)} steps; {what} need {steps}.")
        self._check_kind("inputs", inputs)

    def _check_tensor(self, what: str, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{what} is a {type(value).__name__}; give a tensor, for example "
                f"torch.as_tensor({what}, dtype=torch.float64)."
            )
        if not value.is_floating_point():
            raise TypeError(
                f"{what} is {value.dtype}; {self.name} works on real floating-point numbers: give "
                f"a tensor of torch.float64."
            )

    def _check_kind(self, what: str, value: Tensor) -> None:
        for name, parameter in self.theta.items():
            if not parameter.is_floating_point():
                continue
            if parameter.dtype != value.dtype:
                raise TypeError(
                    f"{what} is {value.dtype} and theta[{name!r}] is {parameter.dtype}; convert "
                    f"one of them, for example with system.to(torch.float64)."
                )
            if parameter.device != value.device:
                raise ValueError(
                    f"{what} is on {value.device} and theta[{name!r}] on {parameter.device}; move "
                    f"one of them, for example with system.to({str(value.device)!r})."
                )


def closed_loop(
    system: System, feedback: Callable[[Tensor], Tensor], n_y: int, n_u: int = 0
) -> System:
    """Feed the output back as the next input (figure 2b): a system with or without input.

    Its state is the extended one of section 2, ``(x_t, y_{t-1})``, and one step of it is
    ``z_t = (feedback(y_{t-1}), u_t)``, ``x_{t+1} = f(x_t, z_t)``, ``y_t = g(x_{t+1}, z_t)``: the
    loop of a network that was taught with teacher forcing beside an external input ``u_t``. With
    ``n_u = 0`` there is no such input.

    Args:
        system: the open-loop system, with an input and a read-out.
        feedback: from an output of shape ``(*batch, n_y)`` to its share of the next input, shape
            ``(*batch, n_z - n_u)``: the identity, or an arg-max turned into a word's embedding.
        n_y: the dimension of the output.
        n_u: the dimension of the external input, which takes the last places of ``z``.

    Returns:
        A system with states of shape ``(*batch, n_x + n_y)`` and inputs ``u`` of dimension
        ``n_u`` that shows the output.

    Raises:
        ValueError: ``system`` takes no input, or none is left beside ``n_u``.

    Example:
        >>> import torch, rnnlib
        >>> network = rnnlib.from_module(torch.nn.GRU(1, 3), readout=torch.nn.Linear(3, 1))
        >>> alone = rnnlib.closed_loop(network, feedback=torch.sin, n_y=1)
        >>> alone.n_x, alone.n_z  # three units and the last output; no input
        (4, 0)
    """
    if system.n_z == 0:
        raise ValueError(
            f"system has no input (n_z=0), so nothing can be fed back into {system.name}."
        )
    if not 0 <= n_u < system.n_z:
        raise ValueError(
            f"n_u is {n_u}; of the {system.n_z} inputs of {system.name} at least one must be left "
            f"for the feedback, so 0 to {system.n_z - 1}."
        )
    n_x = system.n_x

    def f(extended, u, theta):
        x, y = extended[..., :n_x], extended[..., n_x:]
        z = feedback(y)
        if n_u:
            batch = torch.broadcast_shapes(z.shape[:-1], u.shape[:-1])
            z = torch.cat([z.expand(*batch, -1), u.expand(*batch, n_u)], dim=-1)
        x = system.f(x, z, theta)  # (1a)
        y = system.g(x, z, theta)  # (1b)
        if y.shape[-1] != n_y:
            raise ValueError(f"n_y is {n_y}; the output of {system.name} has {y.shape[-1]}.")
        return torch.cat([x, y], dim=-1)

    def g(extended, u, theta):
        return extended[..., n_x:]

    return replace(
        system,
        f=f,
        g=g,
        n_x=n_x + n_y,
        n_z=n_u,
        z=None,
        name=f"{system.name}, closed loop",
        derivative=system.derivative if system.derivative == "differences" else None,
    )


def check_finite(what: str, value: Tensor) -> None:
    finite = torch.isfinite(value)
    if value.is_meta:  # no numbers to look at
        return
    if not finite.all():
        raise ValueError(
            f"{what} has {int((~finite).sum())} values that are not finite (NaN or "
            f"infinite); look at the run or file that they come from."
        )

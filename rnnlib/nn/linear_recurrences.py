"""Three recurrences that are linear in their state, used as a `torch.nn.RNN`.

Under a held input each contracts by construction, so it has one attractor, a fixed point::

    LRU       x_t = lambda * x_{t-1} + gamma * (B z_t),      h_t = Re(C x_t) + D z_t
    minGRU    h_t = (1 - u_t) * h_{t-1} + u_t * (W z_t),     u_t = sigmoid(U z_t)
    selective s_t = exp(d_t A) * s_{t-1} + d_t b_t z_t,      h_t = c_t s_t + D z_t

with ``|lambda| < 1``, ``0 < u_t < 1``, and ``A < 0 < d_t``. What they lack in one layer, a product
of the state with itself, the loop can give back: fed with its own output through a nonlinear
read-out, such a layer can have any attractor.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class LinearRecurrence(nn.Module, ABC):
    """What the three share: a flat real state, one step, and a sequence as a loop of steps."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} is {size}; it must be at least 1.")
        self.input_size, self.hidden_size = input_size, hidden_size

    @property
    def state_size(self) -> int:
        """The dimension of the flat state."""
        return self.hidden_size

    @abstractmethod
    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``a`` and ``b`` of ``x_t = a * x_{t-1} + b``, both from the input alone.

        Args:
            z: shape ``(*batch, input_size)``.
        """

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        """Return ``h`` of shape ``(*batch, hidden_size)`` from the flat state just reached."""
        return x

    def step(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the next flat state, equation (1a), shape ``(*batch, state_size)``."""
        a, b = self.coefficients(z)
        return self._flat(a * self._components(x, a) + b)

    def _components(self, x: Tensor, like: Tensor) -> Tensor:
        return x

    def _flat(self, x: Tensor) -> Tensor:
        return x

    def forward(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run a sequence.

        Args:
            input: shape ``(time, batch, input_size)``.
            h0: the first flat state, shape ``(1, batch, state_size)``; zero by default.

        Returns:
            All ``h``, shape ``(time, batch, hidden_size)``, and the last flat state, shape
            ``(1, batch, state_size)``.

        Raises:
            ValueError: a wrong shape, an empty sequence.
        """
        if input.dim() != 3 or input.shape[-1] != self.input_size or len(input) == 0:
            raise ValueError(
                f"input has shape {tuple(input.shape)}; it must be (time, batch, "
                f"{self.input_size}) with at least one step."
            )
        x = input.new_zeros(input.shape[1], self.state_size) if h0 is None else h0[0]
        a, b = self.coefficients(input)  # of all steps at once: they need no state
        state, states = self._components(x, a), []
        for a_t, b_t in zip(a.expand(b.shape).unbind(0), b.unbind(0), strict=True):
            state = a_t * state + b_t
            states.append(self._flat(state))
        x = torch.stack(states)
        return self.read(x, input), x[-1:]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class LinearRecurrentUnit(LinearRecurrence):
    """The linear recurrent unit (LRU): a diagonal complex state inside the unit circle.

    Its flat state holds the real parts, then the imaginary ones.

    Args:
        input_size: the dimension of ``z_t``.
        hidden_size: the number of complex components, and the dimension of ``h``.
        least, most: moduli of ``lambda`` are drawn between these.

    Attributes:
        nu, phase: ``lambda = exp(-exp(nu) + i phase)``, each ``(hidden_size,)``: the modulus is
            below 1 whatever training does.

    Raises:
        ValueError: moduli that are not ``0 <= least < most < 1``.

    Reference:
        Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De, "Resurrecting recurrent neural
        networks for long sequences", ICML 2023, sections 3.1 to 3.4.
    """

    def __init__(self, input_size: int, hidden_size: int, least: float = 0.9, most: float = 0.999):
        super().__init__(input_size, hidden_size)
        if not 0 <= least < most < 1:
            raise ValueError(f"least is {least} and most is {most}; 0 <= least < most < 1.")
        share = torch.rand(hidden_size)
        modulus = (share * (most**2 - least**2) + least**2).sqrt()  # uniform on the ring's area
        self.nu = nn.Parameter((-modulus.log()).log())
        self.phase = nn.Parameter(2 * math.pi * torch.rand(hidden_size))
        self.weight_in = nn.Parameter(
            torch.randn(2, hidden_size, input_size) / (2 * input_size) ** 0.5
        )
        self.weight_out = nn.Parameter(torch.randn(2, hidden_size, hidden_size) / hidden_size**0.5)
        self.skip = nn.Parameter(torch.randn(hidden_size, input_size) / input_size**0.5)

    @property
    def state_size(self) -> int:
        return 2 * self.hidden_size

    def eigenvalues(self) -> Tensor:
        """Return ``lambda``, complex, shape ``(hidden_size,)``."""
        return torch.polar((-self.nu.exp()).exp(), self.phase)

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a = self.eigenvalues()
        scale = (1 - a.abs().square()).sqrt()  # gamma: white input gives a state of size 1
        real, imaginary = (nn.functional.linear(z, w) for w in self.weight_in)
        return a, scale * torch.complex(real, imaginary)

    def _components(self, x, like):
        real, imaginary = x.split(self.hidden_size, dim=-1)
        return torch.complex(real, imaginary)

    def _flat(self, x):
        return torch.cat([x.real, x.imag], dim=-1)

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        real, imaginary = x.split(self.hidden_size, dim=-1)
        to_real, to_imaginary = self.weight_out
        h = nn.functional.linear(real, to_real) - nn.functional.linear(imaginary, to_imaginary)
        return h + nn.functional.linear(z, self.skip)


class MinGRU(LinearRecurrence):
    """The minimal GRU: gate and candidate see the input alone.

    Args:
        input_size: the dimension of ``z_t``.
        hidden_size: the number of units.

    Reference:
        Feng, Tung, Ahmed, Bengio, Hajimirsadeghi, "Were RNNs all we needed?", 2024 (arXiv
        2410.01201), section 3.1.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.gate = nn.Linear(input_size, hidden_size)
        self.candidate = nn.Linear(input_size, hidden_size)

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        update = torch.sigmoid(self.gate(z))
        return 1 - update, update * self.candidate(z)


class SelectiveSSM(LinearRecurrence):
    """A selective state space layer: step size, input and output maps depend on the input.

    Args:
        input_size: the dimension of ``z_t``; a linear map takes it to ``hidden_size`` channels.
        hidden_size: the number of channels.
        state: components of each channel.

    Reference:
        Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces", COLM 2024
        (arXiv 2312.00752), algorithm 2 with equation (4) for A and Euler's rule for B.
    """

    def __init__(self, input_size: int, hidden_size: int, state: int = 4):
        super().__init__(input_size, hidden_size)
        if state < 1:
            raise ValueError(f"state is {state}; it must be at least 1.")
        self.components = state
        self.channels = nn.Linear(input_size, hidden_size)
        self.step_size = nn.Linear(input_size, hidden_size)
        self.to_state = nn.Linear(input_size, state)
        self.from_state = nn.Linear(input_size, state)
        # A = -1, -2, ..., -state in every channel at first
        self.log_decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(hidden_size, 1))
        self.skip = nn.Parameter(torch.ones(hidden_size))
        with torch.no_grad():  # steps between 0.001 and 0.1, evenly in their logarithm
            first = torch.exp(torch.rand(hidden_size) * math.log(100.0) + math.log(1e-3))
            self.step_size.bias.copy_(first + torch.log(-torch.expm1(-first)))

    @property
    def state_size(self) -> int:
        return self.hidden_size * self.components

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        d = softplus(self.step_size(z)).unsqueeze(-1)  # *batch, channels, 1
        a = torch.exp(-d * self.log_decay.exp())  # between 0 and 1, whatever training does
        b = d * self.to_state(z).unsqueeze(-2) * self.channels(z).unsqueeze(-1)
        return a.flatten(-2), b.flatten(-2)

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        s = x.unflatten(-1, (self.hidden_size, self.components))
        return (s * self.from_state(z).unsqueeze(-2)).sum(-1) + self.skip * self.channels(z)

"""The orthogonal RNN (oRNN, expRNN): a recurrent matrix that neither grows nor shrinks a state::

    h_t = modrelu(U x_t + Q h_{t-1}),    Q = exp(A - A^T)
    modrelu(z) = sign(z) relu(|z| + b)

with ``sign(0) = 0``. Where ``b > 0``, modrelu jumps by ``2 b`` at ``z = 0``: the map is then no
continuous one, and gradients do not see the jump.

A whole sequence is one node of the graph, which remembers the states alone: where a state is not
0 its unit was on, and its sign is the preactivation's. Measured on one CPU core at 200 units,
forward and backward take 0.2 of the time of a module called at each step at batch 10. On a GPU
the steps are launched together, as one CUDA graph.
"""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn

from rnnlib.nn.batched_products import affine
from rnnlib.nn.cuda_graph import recordable, replay
from rnnlib.nn.skew_expm import polish, skew_expm, torch_expm


def modrelu(z: Tensor, bias: Tensor) -> Tensor:
    """Return ``sign(z) relu(|z| + b)``.

    Args:
        z: shape ``(*batch, units)``.
        bias: ``b``, broadcasting against ``z``.

    Reference:
        Arjovsky, Shah and Bengio, "Unitary evolution recurrent neural networks", ICML 2016,
        equation (8).
    """
    return torch.sign(z) * torch.relu(z.abs() + bias)


def orthogonal_rnn_step(x: Tensor, z: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
    """``x' = modrelu(U z + Q x)``, the transition (1a) of the orthogonal RNN.

    Args:
        x: the state, shape ``(*batch, units)``.
        z: the input, shape ``(*batch, n_z)``, or None.
        theta: ``weight_ih`` (U) of shape ``(*batch, units, n_z)``, ``recurrent`` (Q) of shape
            ``(*batch, units, units)``, ``bias`` (b) of shape ``(*batch, units)``.
    """
    of_state = affine(theta["recurrent"], x)
    if z is not None:
        of_state = affine(theta["weight_ih"], z) + of_state
    return modrelu(of_state, theta["bias"])


def henaff_(matrix: Tensor) -> Tensor:
    """Fill with blocks ``[[0, a], [0, 0]]`` on the diagonal, ``a`` uniform in [-pi, pi].

    ``exp(A - A^T)`` then rotates pairs of units by ``a``; a last odd unit stays.

    Args:
        matrix: ``A``, shape ``(n, n)``.

    Reference:
        Henaff, Szlam and LeCun, "Recurrent orthogonal networks and long-memory tasks", ICML 2016.
    """
    with torch.no_grad():
        matrix.zero_()
        matrix.diagonal(1)[::2].uniform_(-math.pi, math.pi)
    return matrix


class OrthogonalRNN(nn.Module):
    """One layer of the orthogonal RNN, used as a `torch.nn.RNN`.

    The matrix exponential is our own: torch's own orthogonal parametrization takes 4 times
    as long and is no more accurate (``python -m benchmarks.orthogonal_rnn``).

    Args:
        input_size: the dimension of ``x_t``.
        hidden_size: the number of units.
        rebase: keep a base B, so that ``Q = B exp(A - A^T)``, which `rebase_` moves (the
            "dynamic" parametrization of the reference implementation).
        fused: the whole sequence as one node of the graph. Without it a sequence is a loop of
            steps: slower, and open to `torch.func` (jvp, vmap). Both have second derivatives.

    Attributes:
        weight_ih: U, shape ``(hidden_size, input_size)``, Kaiming-normal at first.
        skew: A, shape ``(hidden_size, hidden_size)``, see `henaff_`. Only the part above the
            diagonal is used; the rest gets no gradient.
        bias: b, shape ``(hidden_size,)``, uniform in [-0.01, 0.01] at first.
        base: B, or None.

    Reference:
        Lezcano-Casado and Martinez-Rubio, "Cheap orthogonal constraints in neural networks",
        ICML 2019; for ``rebase``: Lezcano-Casado, "Trivializations for gradient-based
        optimization on manifolds", NeurIPS 2019.

    Example:
        >>> import torch, rnnlib
        >>> network = rnnlib.OrthogonalRNN(2, 6)
        >>> y, h = network(torch.zeros(5, 1, 2))  # as torch.nn.RNN: time, batch, features
        >>> y.shape, h.shape
        (torch.Size([5, 1, 6]), torch.Size([1, 1, 6]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rebase: bool = False,
        fused: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} is {size}; it must be at least 1.")
        self.input_size, self.hidden_size, self.fused = input_size, hidden_size, fused
        like = {"device": device, "dtype": dtype}
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size, **like))
        self.skew = nn.Parameter(torch.empty(hidden_size, hidden_size, **like))
        self.bias = nn.Parameter(torch.empty(hidden_size, **like))
        self.base: Tensor | None
        self.register_buffer("base", torch.eye(hidden_size, **like) if rebase else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        nn.init.kaiming_normal_(self.weight_ih, nonlinearity="relu")
        henaff_(self.skew)
        nn.init.uniform_(self.bias, -0.01, 0.01)
        if self.base is not None:
            self.base.copy_(torch.eye(self.hidden_size))
            self.rebase_()

    def recurrent_matrix(self) -> Tensor:
        """Return ``Q = B exp(A - A^T)``, shape ``(hidden_size, hidden_size)``."""
        upper = self.skew.triu(1)
        expm = skew_expm if self.fused else torch_expm
        rotation = expm(upper - upper.mT)
        return rotation if self.base is None else self.base @ rotation

    @torch.no_grad()
    def rebase_(self) -> None:
        """Move the base B to Q and A to 0, in place, which leaves Q as it is.

        The reference implementation does so every 100 optimizer steps and keeps the optimizer's
        averages. As a hook, with ``count = itertools.count(1)``::

            optimizer.register_step_post_hook(
                lambda *_: next(count) % 100 or rnn.rebase_()
            )

        Raises:
            ValueError: the module was made without a base.
        """
        if self.base is None:
            raise ValueError("rebase is False, so there is no base; make OrthogonalRNN with True.")
        self.base.copy_(polish(self.recurrent_matrix()))  # else errors would add up
        self.skew.zero_()

    def forward(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run a sequence.

        Args:
            input: shape ``(time, batch, input_size)`` or ``(time, input_size)``.
            h0: the first state, shape ``(1, batch, hidden_size)`` or ``(1, hidden_size)``; zero
                by default, where a unit without input stays.

        Returns:
            All states, shape ``(time, batch, hidden_size)`` or ``(time, hidden_size)``, and the
            last one, of the shape of ``h0``.

        Raises:
            ValueError: a wrong shape, an empty sequence.
            TypeError: ``input`` or ``h0`` is not of the weights' dtype.
        """
        if input.dim() not in (2, 3) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"input has shape {tuple(input.shape)}; it must be (time, batch, "
                f"{self.input_size}) or (time, {self.input_size})."
            )
        if input.shape[0] == 0:
            raise ValueError("input has 0 time steps; it needs at least 1.")
        first = (1, *input.shape[1:-1], self.hidden_size)
        if h0 is None:
            h0 = input.new_zeros(first)
        elif h0.shape != first:
            raise ValueError(
                f"h0 has shape {tuple(h0.shape)}; for an input of shape {tuple(input.shape)} it "
                f"must be {first}."
            )
        for name, value in (("input", input), ("h0", h0)):
            if value.dtype != self.weight_ih.dtype:
                raise TypeError(
                    f"{name} is {value.dtype} and the weights are {self.weight_ih.dtype}; convert "
                    f"one of them, for example with module.to({value.dtype})."
                )
        run = _Sequence.apply if self.fused else _by_steps
        # A matrix that is orthogonal to half precision would let states grow: no autocast.
        with torch.autocast(input.device.type, enabled=False):
            weights = self.weight_ih, self.recurrent_matrix(), self.bias
            if input.dim() == 3:
                output = run(input, h0[0], *weights)
            else:
                output = run(input.unsqueeze(1), h0, *weights).squeeze(1)
        return output, output[-1:]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, rebase={self.base is not None}"


@torch.no_grad()
def orthogonality_error(module: OrthogonalRNN) -> float:
    """Return the largest entry of ``|Q^T Q - I|``, worked out in float64.

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.orthogonality_error(rnnlib.OrthogonalRNN(2, 6).double()) < 1e-12
        True
    """
    q = module.recurrent_matrix().double()
    return (q.mT @ q - torch.eye(len(q), dtype=q.dtype, device=q.device)).abs().max().item()


def _by_steps(input, h0, weight_ih, recurrent, bias):
    theta = {"weight_ih": weight_ih, "recurrent": recurrent, "bias": bias}
    states = [h0]
    for z in input:
        states.append(orthogonal_rnn_step(states[-1], z, theta))
    return torch.stack(states[1:])


class _Sequence(torch.autograd.Function):
    """All states ``(time, batch, units)`` from the inputs, the first state and the weights."""

    @staticmethod
    def forward(ctx, input, h0, weight_ih, recurrent, bias):
        time, batch, _ = input.shape
        states = input.new_empty(time + 1, batch, len(bias))
        states[0] = h0
        torch.matmul(input, weight_ih.mT, out=states[1:])
        if loops := _compiled(states):
            arrays = states, recurrent.mT.contiguous(), bias
            _call(loops.forward, *arrays)
        elif recordable(states):
            replay(_forward_loop, states, recurrent, bias, written=(0,))
        else:
            _forward_loop(states, recurrent, bias)
        ctx.save_for_backward(input, h0, weight_ih, recurrent, bias, states)
        return states[1:]

    @staticmethod
    def backward(ctx, grad):
        *inputs, states = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the steps can be differentiated again
            needed = [x for x, need in zip(inputs, ctx.needs_input_grad, strict=True) if need]
            found = iter(torch.autograd.grad(_by_steps(*inputs), needed, grad, create_graph=True))
            return tuple(next(found) if need else None for need in ctx.needs_input_grad)
        input, h0, weight_ih, recurrent, bias = inputs
        to_z, to_h0 = torch.empty_like(states[1:]), torch.empty_like(states[0])
        if loops := _compiled(states):
            arrays = grad.contiguous(), states, recurrent.contiguous(), to_z, to_h0
            _call(loops.backward, *arrays)
        elif recordable(states):
            replay(_backward_loop, grad, states, recurrent, to_z, to_h0, written=(3, 4))
        else:
            _backward_loop(grad, states, recurrent, to_z, to_h0)
        flat = to_z.flatten(0, 1)
        wanted = ctx.needs_input_grad
        return (
            to_z @ weight_ih if wanted[0] else None,
            to_h0 if wanted[1] else None,
            flat.mT @ input.flatten(0, 1) if wanted[2] else None,
            flat.mT @ states[:-1].flatten(0, 1) if wanted[3] else None,
            states[1:].sign().mul_(to_z).sum((0, 1)) if wanted[4] else None,
        )


def _forward_loop(states, recurrent, bias):
    """Replace the inputs' shares in ``states[1:]`` by the states."""
    shrink, grow = (-bias).relu(), bias.relu()
    scratch = torch.empty_like(states[0])
    before, *rest = states.unbind(0)
    for z in rest:
        z.addmm_(before, recurrent.mT)
        # modrelu: nearer to 0 by -b, or further from it by b
        z.sub_(torch.clamp(z, -shrink, shrink, out=scratch))
        z.addcmul_(torch.sign(z, out=scratch), grow)
        before = z


def _backward_loop(grad, states, recurrent, to_z, to_h0):
    """Write the gradients of the preactivations and of the first state."""
    on = (states[1:] != 0).to(states.dtype)
    torch.mul(grad, on, out=to_z)
    product = to_h0.zero_()
    for z, mask in zip(reversed(to_z.unbind(0)), reversed(on.unbind(0)), strict=True):
        z.addcmul_(product, mask)
        torch.mm(z, recurrent, out=product)


def _call(loop, *tensors):
    loop(*(tensor.detach().numpy() for tensor in tensors), torch.get_num_threads())


def _compiled(states: Tensor):
    """Return the compiled loops if they can run, else None."""
    known = states.dtype in (torch.float32, torch.float64)
    return _loops() if known and states.device.type == "cpu" else None


@cache
def _loops():
    try:
        from rnnlib.nn import orthogonal_loops
    except ImportError:  # without numba: the same numbers, slower
        return None
    return orthogonal_loops

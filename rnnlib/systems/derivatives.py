"""Derivatives of one step: Jacobians and the push-forward of tangent vectors.

Three routes to ``J(x) V``. *Forward* mode carries the k columns of V through the step as dual
numbers. *Reverse* mode carries n_x copies of the state through it and pulls the unit vectors back,
in one backward pass. Central *differences* need nothing but the step, and lose half of the digits.

A step whose derivative is lost on the way (numpy, ``.detach()``, ``.item()``, inference mode) looks
to torch like a step that does not depend on the state. The two are told apart by moving the state.
"""

from collections.abc import Callable
from functools import lru_cache
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rnnlib.systems.system import System

# For steps of unknown code, forward mode takes 100 to 200 microseconds for each operation that
# mixes a state with a python number; a reverse pass of that many entries at most takes 5 for any.
ENTRIES = 2**14
# From so many entries of the vectors on `torch.func` pays, which computes f(x) once, not k times:
# Jacobians of a GRU of 64 units at 32 states take half of the time, of 256 units a third.
MAPPED = 2**16
AHEAD, NARROW = 32, 32  # steps; the widest state whose whole Jacobian costs little

_only_route: WeakKeyDictionary[Callable, str] = WeakKeyDictionary()  # by transition
_unmapped: WeakSet[Callable] = WeakSet()  # transitions that torch.func does not take
_one_by_one: WeakSet[Callable] = WeakSet()  # transitions that do to a batch what they do to each
_looked_at: WeakSet[Callable] = WeakSet()  # transitions whose columns of zeros are no loss


def push_forward(
    system: System, x: Tensor, tangents: Tensor, z: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Move a state and tangent vectors at it one step on.

    The route is `System.derivative`; by default forward or reverse mode, whichever is cheaper, and
    the other where the first finds no rule. A rule that a step defines itself, such as the
    surrogate gradient of a spike, is its derivative.

    Args:
        system: the system, with batch axes or without.
        x: the state, shape ``(*batch, n_x)``.
        tangents: the vectors as columns, shape ``(*batch, n_x, k)``.
        z: the input, shape ``(*batch, n_z)``; by default the held one.

    Returns:
        ``f(x)`` of shape ``(*batch, n_x)`` and ``J(x) tangents`` of shape ``(*batch, n_x, k)``,
        with the batch axes of the parameters, the input and the state. They are differentiable in
        whatever of these requires a gradient.

    Raises:
        ValueError: the step depends on the state and its derivative is lost on the way, has no
            rule, or the step changes the shape of the state.

    Example:
        >>> import torch, rnnlib
        >>> turn = rnnlib.linear(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
        >>> x, tangents = rnnlib.push_forward(turn, torch.tensor([1.0, 0.0]), torch.eye(2))
        >>> x.tolist(), tangents.tolist()
        ([0.0, 1.0], [[0.0, -1.0], [1.0, 0.0]])
    """
    if torch.is_inference_mode_enabled():  # nothing has a derivative in there
        with torch.inference_mode(False), torch.no_grad():
            return push_forward(system, x, tangents, z)
    z = system._input(z)
    gradients = system.asks_for_gradients(x, tangents, z)
    with torch.set_grad_enabled(gradients):
        batch = x.shape[:-1]
        for other in (system.batch_shape, () if z is None else z.shape[:-1]):
            if other and other != batch:
                batch = torch.broadcast_shapes(batch, other)
                x = x.expand(*batch, system.n_x)
        if tangents.dim() <= x.dim():
            tangents = tangents.expand(*x.shape[:-1], *tangents.shape[-2:])
        x, tangents = _outside(x), _outside(tangents)
        following, moved = _along_some_route(
            system, x, tangents, None if z is None else _outside(z)
        )
        if moved is None:
            if depends_on_the_state(system, x, z):
                raise ValueError(_lost(system, "it carries no derivative"))
            moved = torch.zeros_like(tangents)
    return following, moved


def jacobian(system: System, x: Tensor, z: Tensor | None = None) -> Tensor:
    """Return the Jacobian ``A = df/dx`` of the transition, equation (1a).

    Args:
        system: the system, with batch axes or without.
        x: the states, shape ``(*batch, n_x)``.
        z: the input, shape ``(*batch, n_z)``; by default the held one.

    Returns:
        Shape ``(*batch, n_x, n_x)``; entry ``[..., i, j]`` is the derivative of component i of
        the next state with respect to component j of this one.

    Raises:
        ValueError: as `push_forward`.

    Example:
        >>> import torch, rnnlib
        >>> rnnlib.jacobian(rnnlib.logistic(3.0), torch.tensor([0.25]).double())  # r (1 - 2 x)
        tensor([[1.5000]], dtype=torch.float64)
    """
    x = system.initial_state(x, z)
    identity = torch.eye(system.n_x, dtype=x.dtype, device=x.device)
    found = push_forward(system, x, identity.expand(*x.shape, system.n_x), z)[1]
    _look_for_lost_columns(system, x, z, found)
    return found


class Tangents:
    """Carries a state and its tangent vectors along an orbit, step by step.

    The orbit does not depend on its tangent vectors. Where n_x copies of a state cost little more
    than one, the orbit runs ahead and the Jacobians of many steps are taken at once: a step of a
    small network then takes its plain time and some tenths of it.

    Args:
        system: the system, with batch axes or without.
        x: the first state, as from `System.initial_state`.
        steps: how many steps there are.
        inputs: shape ``(steps or more, *batch, n_z)``; without it the held input is used.
    """

    def __init__(self, system: System, x: Tensor, steps: int, inputs: Tensor | None = None):
        self.system, self.inputs, self.steps = system, inputs, steps
        self.t, self.states = 0, [x]  # the current state and those ahead
        self.jacobians: list[Tensor] = []
        ahead = ENTRIES // max(1, system.n_x * x.numel())
        self.ahead = min(AHEAD, ahead) if system.n_x <= NARROW else 0

    def push(self, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next state and ``J tangents``, as `push_forward` does."""
        if self.ahead < 2:
            z = None if self.inputs is None else self.inputs[self.t]
            x, moved = push_forward(self.system, self.states[0], tangents, z)
            self.states = [x]
        else:
            if not self.jacobians:
                self._run_ahead()
            self.states.pop(0)
            x, moved = self.states[0], self.jacobians.pop(0) @ tangents
        self.t += 1
        return x, moved

    def _run_ahead(self) -> None:
        steps = min(self.ahead, self.steps - self.t)
        inputs = None if self.inputs is None else self.inputs[self.t : self.t + steps]
        for t in range(steps):
            self.states.append(
                self.system.step(self.states[-1], None if inputs is None else inputs[t])
            )
        here = torch.stack(self.states[:-1])
        self.jacobians = list(jacobian(self.system, here, inputs).unbind(0))


def _along_some_route(system, x, tangents, z) -> tuple[Tensor, Tensor | None]:
    """Return the next state and the moved vectors, None where no route has a derivative."""
    routes, failures, following = _routes(system, x, tangents), [], None
    for route in routes:
        try:
            following, moved = ROUTES[route](system, x, tangents, z)
        except (RuntimeError, NotImplementedError) as error:  # no rule, or the step itself
            failures.append((route, error))
            continue
        if moved is None:
            continue
        if system.derivative is None:
            if route != routes[0]:
                _only_route[system.f] = route
            _look_at_the_batch(system, x, z, following)
        return following, moved
    if following is None:
        with torch.no_grad():
            system.f(x, z, system.theta)  # an error of the step's own is raised as it is
        raise ValueError(
            _lost(system, "; ".join(f"{route} mode: {error}" for route, error in failures))
        ) from failures[0][1]
    return following, None


def _routes(system, x, tangents) -> tuple[str, ...]:
    if system.derivative is not None:
        return (system.derivative,)
    if only := _only_route.get(system.f):
        return (only,)
    n, k = tangents.shape[-2:]
    cheap = n * x.numel() <= ENTRIES or 2 * k >= n
    return ("reverse", "forward") if cheap else ("forward", "reverse")


def _forward(system, x, tangents, z):
    # The vectors become one more leading batch axis. That computes f(x) k times over, yet with the
    # overhead of torch.func.vmap and jvp a step of a small network takes three times as long.
    vectors = tangents.movedim(-1, 0)
    if len(vectors) > 1 and vectors.numel() >= MAPPED and system.f not in _unmapped:
        try:
            return _mapped(system, x, vectors, z)
        except (RuntimeError, ValueError):  # an operation without a rule for it, or the step itself
            _unmapped.add(system.f)
    with forward_ad.dual_level():
        at = forward_ad.make_dual(x.expand(vectors.shape).clone(), vectors)
        theta = {name: _constant(parameter) for name, parameter in system.theta.items()}
        out = system.f(at, None if z is None else _constant(z), theta)  # (1a)
        following, moved = forward_ad.unpack_dual(out)
    _check_shape(system, following, vectors)
    return following[0], None if moved is None else moved.movedim(0, -1)


def _mapped(system, x, vectors, z):
    def along(v):
        found = torch.func.jvp(lambda at: system.f(at, z, system.theta), (x,), (v,))
        return found[0], found[1]  # (1a) and its derivative

    following, moved = torch.func.vmap(along)(vectors)
    _check_shape(system, following, vectors)
    lost = not moved.is_meta and not moved.any()  # where the other route has no derivative
    return following[0], None if lost else moved.movedim(0, -1)


def _constant(value: Tensor) -> Tensor:
    """Return a dual number whose tangent is zero.

    A sum of a dual and a plain tensor takes torch some 120 microseconds of bookkeeping, a sum of
    two dual ones 3: with it a step of 40 units takes a half (LSTM) to a fifth (GRU) of the time.
    """
    if not value.is_floating_point():
        return value
    value = _outside(value)
    return forward_ad.make_dual(value, torch.zeros_like(value))


def _reverse(system, x, tangents, z):
    gradients, n = torch.is_grad_enabled(), system.n_x
    theta = {name: _outside(p if gradients else p.detach()) for name, p in system.theta.items()}
    with torch.enable_grad():
        copies = x.expand(n, *x.shape).clone()
        if not copies.requires_grad:
            copies.requires_grad_()
        out = system.f(copies, z, theta)  # (1a)
        _check_shape(system, out, copies)
        following = out[0] if gradients else out[0].detach()
        if not out.requires_grad:
            return following, None
        units = _unit_vectors(n, x.dim() - 1, x.dtype, x.device).expand(copies.shape)
        (rows,) = torch.autograd.grad(out, copies, units, create_graph=gradients, allow_unused=True)
    if rows is None:
        return following, None
    rows = rows.movedim(0, -2)  # the Jacobian
    _look_for_lost_columns(system, x, z, rows)
    return following, rows @ tangents


@lru_cache(maxsize=16)
def _unit_vectors(n: int, batch: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the rows of the identity, with room for batch axes: ``(n, 1, ..., 1, n)``."""
    return torch.eye(n, dtype=dtype, device=device).reshape(n, *[1] * batch, n)


def _differences(system, x, tangents, z):
    vectors = tangents.movedim(-1, 0)
    size = torch.finfo(x.dtype).eps ** (1 / 3) * (1 + torch.linalg.vector_norm(x, dim=-1))
    size = size / torch.linalg.vector_norm(vectors, dim=-1).clamp(min=1e-300)  # k, *batch
    by = size.unsqueeze(-1) * vectors
    ends = system.f(torch.cat([x + by, x - by]), z, system.theta)  # (1a)
    _check_shape(system, ends, torch.cat([vectors, vectors]))
    ahead, behind = ends.chunk(2)
    return system.f(x, z, system.theta), ((ahead - behind) / (2 * size.unsqueeze(-1))).movedim(
        0, -1
    )


ROUTES = {"forward": _forward, "reverse": _reverse, "differences": _differences}


def _outside(value: Tensor) -> Tensor:
    """Return a tensor that may be differentiated, also if it was made in inference mode."""
    return value.clone() if value.is_inference() else value


def _check_shape(system, out: Tensor, states: Tensor) -> None:
    if out.shape != states.shape:
        raise ValueError(
            f"the step of {system.name} turns states of shape {tuple(states.shape)} into "
            f"{tuple(out.shape)}; it must keep (*batch, n_x), n_x={system.n_x}, for any number of "
            f"batch axes. Index components as x[..., i], or flatten the batch inside the step."
        )


@torch.no_grad()
def _look_at_the_batch(system, x, z, following: Tensor) -> None:
    """Raise an error if copies of a state do not go where it goes; asked once per transition."""
    if system.f in _one_by_one:
        return
    alone = system.f(x, z, system.theta)
    # Coarse: many chaotic steps in one amplify the roundings in which a batch may differ.
    if not torch.allclose(alone, following, rtol=1e-2, atol=1e-3, equal_nan=True):
        raise ValueError(
            f"the step of {system.name} does something else to a batch of states than to each of "
            f"them. Index components as x[..., i], not x[i]; and give what is random as an input."
        )
    _one_by_one.add(system.f)


def _look_for_lost_columns(system, x, z, jacobian: Tensor) -> None:
    """Raise an error if the derivative by some components is lost; asked once per transition."""
    if system.derivative is not None or system.f in _looked_at:
        return
    dead = (jacobian == 0).flatten(0, -2).all(0)
    if not dead.is_meta and dead.any() and depends_on_the_state(system, x, z, dead):
        which = dead.nonzero().flatten().tolist()
        raise ValueError(_lost(system, f"its derivatives by the components {which[:8]} are lost"))
    _looked_at.add(system.f)


@torch.no_grad()
def depends_on_the_state(
    system: System, x: Tensor, z: Tensor | None = None, components: Tensor | None = None
) -> bool:
    """Return whether moving the state a little moves the next one in proportion.

    A jump, such as that of an arg-max at a tie, is no derivative: an eighth of the way must move
    the next state by about an eighth.

    Args:
        system: the system.
        x: the states, shape ``(*batch, n_x)``.
        z: the input, shape ``(*batch, n_z)``; by default the held one.
        components: which components to move, shape ``(n_x,)``, bool; by default all.
    """
    z = system._input(z)
    generator = torch.Generator(device="cpu").manual_seed(0)
    by = torch.rand(x.shape, generator=generator, dtype=torch.float64, device="cpu").to(x)
    by = torch.finfo(x.dtype).eps ** (1 / 3) * (1 + x.abs()) * (by + 1)
    if components is not None:
        by = by * components
    here, far, near = (system.f(x + by * part, z, system.theta) for part in (0.0, 1.0, 0.125))
    ratio = (near - here).abs() / (far - here).abs()
    return bool(((ratio > 0.05) & (ratio < 0.3)).any())


def _lost(system, how: str) -> str:
    return (
        f"the next state of {system.name} depends on its state, but its derivative could not be "
        f"taken: {how}. Look inside the step for numpy, .detach(), .item(), torch.tensor(x) or "
        f"torch.inference_mode(), and write it with torch's functions; or ask for central "
        f'differences: derivative="differences" in from_step and from_function.'
    )

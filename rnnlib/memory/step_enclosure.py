"""What the derivative of one step of a torch network can be, over a whole set of states at once.

Each row block of the Jacobian is a sum of terms ``diag(a) V``: a fixed matrix, whose rows a factor
``a`` scales that depends on the state. A cell's factors are products of gates and slopes, so that
intervals for the preactivations give intervals for them. An LSTM's row of ``c' = f c + i g``, for
one, is ``f dc + (c f') W_f dh + (i g') W_g dh + (g i') W_i dh`` (f', i', g' the slopes), and
``h' = o tanh(c')`` has ``o tanh'(c')`` times that, and ``tanh(c') o' W_o dh``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rnnlib.memory.intervals import (
    INF,
    Interval,
    hull,
    image,
    point,
    relu,
    relu_slope,
    sigmoid,
    sigmoid_slope,
    tanh,
    tanh_slope,
)
from rnnlib.memory.networks import Network


class States(Protocol):
    """A set of states, as far as a proof asks about it."""

    def image(self, matrix: Tensor) -> Interval:
        """Return what contains ``matrix @ x`` for all its states, shape ``(rows,)``."""
        ...


@dataclass(frozen=True, eq=False)
class Box:
    """All states between two ends.

    Attributes:
        states: the ends, each of shape ``(n_x,)``.
    """

    states: Interval

    def image(self, matrix: Tensor) -> Interval:
        """Return what contains ``matrix @ x`` for all its states, shape ``(rows,)``."""
        return image(matrix, self.states)


class Term(NamedTuple):
    """The summand ``diag(factor) (of_state dx + of_below dy)`` of a row block of the derivative.

    Attributes:
        factor: shape ``(n,)``.
        of_state: shape ``(n, n_x)``.
        of_below: of the change of the new ``h`` of the layer below, shape ``(n, n)``; None in the
            first layer, whose input is the same for all states that are compared.
    """

    factor: Interval
    of_state: Tensor
    of_below: Tensor | None


class Rows(NamedTuple):
    """A row block of the derivative: where it stands, its terms, and the block of ``h`` below."""

    at: slice
    terms: tuple[Term, ...]
    below: slice | None


class StepEnclosure(NamedTuple):
    """One step over a set of states and inputs.

    Attributes:
        rows: the blocks of the Jacobian, those of lower layers first.
        ends: two such lists that bound a GRU's more tightly, row by row: its update gate at either
            end of its range. Otherwise ``rows`` alone.
        reached: what contains the next states, shape ``(n_x,)``.
    """

    rows: list[Rows]
    ends: list[list[Rows]]
    reached: Interval


def enclose_step(network: Network, states: States, inputs: Interval) -> StepEnclosure:
    """Enclose the next state and the derivative of one step.

    Args:
        network: the network.
        states: the set.
        inputs: shape ``(n_z,)``.
    """
    rows, ends, hs, cs = [], ([], []), [], []
    z, below = inputs, None
    for k, layer in enumerate(network.layers):
        recurrent, pick_h, pick_c = network.on_state[k]
        at_h, at_c = network.parts[k]
        of_input = image(layer.of_input, z) + point(layer.input_bias)
        of_state = hull(*map(states.image, recurrent)) + point(layer.state_bias)
        gates = _Gates(of_input, of_state, recurrent, None if k == 0 else layer.of_input)
        if network.kind == "elman":
            z, terms = _elman(gates, network.activation)
            found = [[Rows(at_h, terms, below)]]
        elif network.kind == "gru":
            z, versions = _gru(gates, states.image(pick_h), pick_h, network.nothing)
            found = [[Rows(at_h, terms, below)] for terms in versions]
        else:
            assert pick_c is not None and at_c is not None  # the kind is "lstm"
            z, c, terms_h, terms_c = _lstm(gates, states.image(pick_c), pick_c)
            found = [[Rows(at_c, terms_c, below), Rows(at_h, terms_h, below)]]
            cs.append(c)
        rows += found[0]
        ends[0].extend(found[1 % len(found)])
        ends[1].extend(found[-1])
        hs.append(z)
        below = at_h
    both = list(ends) if network.kind == "gru" else [rows]
    return StepEnclosure(rows, both, hull(*hs, *cs))


class _Gates(NamedTuple):
    of_input: Interval
    of_state: Interval
    recurrent: tuple[Tensor, ...]
    below: Tensor | None

    @property
    def sums(self) -> Interval:
        return self.of_input + self.of_state

    def term(self, gate: int, factor: Interval, both: bool = True) -> Term:
        """Return the term of the gate's preactivation, or (``both=False``) its state's share."""
        n = len(factor.low)
        below = None
        if self.below is not None and both:
            below = self.below[gate * n : (gate + 1) * n]
        return Term(factor, self.recurrent[gate], below)


def _elman(gates: _Gates, activation: Callable | None) -> tuple[Interval, tuple[Term, ...]]:
    """``dh' = act'(a) da``."""
    a = gates.sums
    if activation is torch.tanh:
        return tanh(a), (gates.term(0, tanh_slope(a)),)
    if activation is torch.relu:
        return relu(a), (gates.term(0, relu_slope(a)),)
    either = Interval(torch.full_like(a.low, -INF), torch.full_like(a.high, INF))
    slope = Interval(torch.zeros_like(a.low), torch.ones_like(a.high))
    return either, (gates.term(0, slope),)


def _gru(gates: _Gates, h: Interval, pick_h: Tensor, nothing: Tensor):
    """``dh' = u dh + (1 - u) dn + u' (h - n) da_u``, ``dn = n' (dw + r ds + s r' da_r)``.

    Here ``n = tanh(w + r s)`` with ``w = W_in z + b_in`` and ``s = W_hn h + b_hn``.
    """
    a_r, a_u, _ = gates.sums.chunk(3)
    w, s = gates.of_input.chunk(3)[2], gates.of_state.chunk(3)[2]
    r, whole = sigmoid(a_r), sigmoid(a_u)
    a_n = w + r * s
    n, slope_n = tanh(a_n), tanh_slope(a_n)
    through_r = s * sigmoid_slope(a_r) * slope_n
    through_u = sigmoid_slope(a_u) * (h - n)
    versions = []
    for u, rest in (
        (whole, sigmoid(Interval(-a_u.high, -a_u.low))),
        (sigmoid(point(a_u.low)), sigmoid(point(-a_u.low))),
        (sigmoid(point(a_u.high)), sigmoid(point(-a_u.high))),
    ):
        terms = [
            Term(u, pick_h, None),
            gates.term(0, rest * through_r),
            gates.term(1, through_u),
            gates.term(2, rest * slope_n * r, both=False),
        ]
        if gates.below is not None:
            terms.append(Term(rest * slope_n, nothing, gates.below[2 * len(u.low) :]))
        versions.append(tuple(terms))
    # h' lies between h and n, whatever the gate.
    new = whole * h + sigmoid(Interval(-a_u.high, -a_u.low)) * n
    between = Interval(torch.minimum(h.low, n.low), torch.maximum(h.high, n.high))
    return new.intersect(between), versions


def _lstm(gates: _Gates, c: Interval, pick_c: Tensor):
    """See the head of the module."""
    a_i, a_f, a_g, a_o = gates.sums.chunk(4)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), tanh(a_g), sigmoid(a_o)
    new = f * c + i * g
    into_c = [sigmoid_slope(a_i) * g, sigmoid_slope(a_f) * c, tanh_slope(a_g) * i]
    terms_c = [*(gates.term(k, factor) for k, factor in enumerate(into_c)), Term(f, pick_c, None)]
    shown = o * tanh_slope(new)
    terms_h = [term._replace(factor=shown * term.factor) for term in terms_c]
    terms_h.append(gates.term(3, sigmoid_slope(a_o) * tanh(new)))
    return o * tanh(new), new, tuple(terms_h), tuple(terms_c)

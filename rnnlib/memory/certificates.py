"""Upper bounds on the stretch of one step, with a proof: contraction certificates.

Every proof here is a comparison. If a nonnegative matrix ``M`` bounds differences componentwise,
``|f(x) - f(w)| <= M |x - w|`` for all states ``x, w`` of a region and all admitted inputs, then
for *any* positive weights ``v``::

    max_i |f(x) - f(w)|_i / v_i  <=  L max_i |x - w|_i / v_i,    L = max_i (M v)_i / v_i,

so ``f`` has the constant ``L`` in the weighted max norm (Collatz-Wielandt). The best ``v`` brings
``L`` down to the spectral radius of ``M``. Norms of the blocks h and c in place of components
give the published conditions, which are 2 x 2 comparisons.

An LSTM's difference is split as ``f c - f' c' = f (c - c') + (f - f') c'`` and
``i g - i' g' = i (g - g') + (i - i') g'``, with sigmoid' <= 1/4 and tanh' <= 1. It needs bounds on
the gates and on ``|c|``: a region that the step maps into itself for every admitted input.

Rounding: this is float64 arithmetic, not interval arithmetic. Past the preactivations everything
is a sum or product of nonnegative numbers, so nothing cancels and the relative rounding error is a
few thousand units in the last place for the largest networks. Each constant is raised by the
relative amount ``MARGIN``, which is wider than that, in place of directed rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnlib.memory.contraction import Norm
from rnnlib.systems import from_module

MARGIN = 1e-11
INF = float("inf")
METHODS = {  # by the rows of weight_hh per unit
    1: ("componentwise", "spectral", "row-sum"),
    3: ("componentwise",),
    4: ("componentwise", "miller-hardt", "delta-iss"),
}


@dataclass(frozen=True, eq=False)
class Certificate:
    """A bound ``|F(x) - F(w)| <= constant |x - w|`` on a region, and what it rests on.

    Attributes:
        constant: the bound; equation (5) holds with it if it is below 1.
        norm: the norm in which it holds. Another norm has another constant.
        steps: of how many steps of the network ``F`` consists.
        region: the ends ``(low, high)`` of the box of states, each ``(n_x,)``, infinite for all
            states. One step maps it into itself, so it is invariant for every admitted input.
        input_bound: inputs with ``max |z_i|`` up to this are admitted; infinite for all inputs.
        certified: whether ``constant`` is proved; where it is not, it is infinite.
        method: which proof.
    """

    constant: float
    norm: Norm
    steps: int
    region: tuple[Tensor, Tensor]
    input_bound: float
    certified: bool
    method: str

    @property
    def contractive(self) -> bool:
        """Whether this proves definition 1 for the region."""
        return self.certified and self.constant < 1

    def euclidean(self, steps: int) -> "Certificate":
        """Return what follows for ``steps`` steps in the Euclidean norm.

        The constant is ``distortion * constant**steps``: however badly the two norms agree, it
        falls below 1 after a number of steps that grows with the logarithm of the distortion.

        Raises:
            ValueError: not a positive multiple of the steps that this certificate is about.
        """
        if steps < 1 or steps % self.steps:
            raise ValueError(f"steps is {steps}; give a positive multiple of {self.steps}.")
        constant = self.norm.distortion * self.constant ** (steps // self.steps)
        norm = Norm(torch.ones_like(self.norm.weights))
        return replace(self, constant=constant * (1 + MARGIN), norm=norm, steps=steps)

    def __str__(self) -> str:
        claim = "contraction" if self.contractive else "no contraction proved"
        return f"{self.method}: {claim}, constant {self.constant:.4g} over {self.steps} step(s)"


def certify(
    cell: nn.Module | Mapping[str, Tensor],
    input_bound: float = 1.0,
    method: str = "best",
    cell_bound: float = 0.0,
) -> Certificate:
    """Prove a Lipschitz constant for one step of a recurrent network.

    Args:
        cell: a `torch.nn.RNN`, `GRU` or `LSTM` (or one of their cells), or its weights by name,
            such as the ``theta`` of a system made from one.
        input_bound: the largest ``|z_i|`` that the network will see. Elman networks need none.
        method: "componentwise" (all cells, any number of layers); for one LSTM layer also
            "miller-hardt" (the max norm) and "delta-iss" (Euclidean norms of h and c apart); for
            one Elman layer "spectral" and "row-sum". "best" takes the smallest constant.
        cell_bound: a bound on ``|c|`` to be covered, if larger than the region's own.

    Returns:
        The certificate. Its region is all states for an Elman network, ``|h| <= 1`` for a GRU, and
        ``|h| <= 1`` with a bound on ``|c|`` for an LSTM, whose ``|h|`` is below 1 after one step
        whatever the start, while a ``|c|`` outside decays to the bound at the forget gate's rate.

    Raises:
        TypeError: another kind of module.
        ValueError: a method that the cell does not have, a negative bound, weights not finite.

    Reference:
        Miller and Hardt, "Stable recurrent models", ICLR 2019 (proposition 2); Terzi, Bonassi,
        Farina, Scattolini, "Learning model predictive control with long short-term memory
        networks", International Journal of Robust and Nonlinear Control 31 (2021).
    """
    if isinstance(cell, nn.Module):
        cell = from_module(cell).theta
    if not (0 <= input_bound < INF and 0 <= cell_bound < INF):
        raise ValueError(
            f"input_bound is {input_bound} and cell_bound is {cell_bound}; both must be finite "
            f"and at least 0."
        )
    if "weight_hh_l0" not in cell:
        raise ValueError(f"cell has {sorted(cell)}; it needs weights named as torch.nn names them.")
    layers = [_layer(cell, i) for i in range(sum(k.startswith("weight_hh_l") for k in cell))]
    kind = layers[0].recurrent.shape[0] // layers[0].recurrent.shape[1]
    if kind not in METHODS:
        raise ValueError(
            f"weight_hh_l0 has shape {tuple(layers[0].recurrent.shape)}; an Elman network's is "
            f"(n, n), a GRU's (3 n, n), an LSTM's (4 n, n)."
        )
    methods = METHODS[kind] if len(layers) == 1 else METHODS[kind][:1]
    if method != "best" and method not in methods:
        raise ValueError(
            f"method is {method!r}; a cell of this kind with {len(layers)} layer(s) has "
            f"{', '.join(methods)} and best."
        )
    found = [
        _prove(name, kind, layers, input_bound, cell_bound)
        for name in (methods if method == "best" else (method,))
    ]
    return min(found, key=lambda certificate: certificate.constant)


def certify_orthogonal(matrix: Tensor, bias: Tensor) -> Certificate:
    """Prove the constant of the orthogonal RNN, ``h' = modrelu(Q h + U z)``, in the Euclidean norm.

    For ``b <= 0`` modrelu has slopes 0 and 1 and no jump, so the constant is the largest singular
    value of ``Q``: 1, and no less. For ``b > 0`` it jumps by ``2 b`` at 0 and has no constant.

    Args:
        matrix: ``Q``, shape ``(n, n)``.
        bias: modrelu's ``b``, shape ``(n,)``.

    Returns:
        A certificate for all states and inputs; infinite and not certified if some ``b > 0``.
    """
    matrix, bias = matrix.detach().double(), bias.detach().double()
    constant = float(torch.linalg.matrix_norm(matrix, ord=2)) * (1 + MARGIN)
    continuous = bool((bias <= 0).all())
    return Certificate(
        constant=constant if continuous else INF,
        norm=Norm(torch.ones_like(bias)),
        steps=1,
        region=(torch.full_like(bias, -INF), torch.full_like(bias, INF)),
        input_bound=INF,
        certified=continuous,
        method="orthogonal",
    )


class _Layer(NamedTuple):
    """One layer in float64: ``(gates n, n)``, ``(gates n, n_z)`` and two biases ``(gates n,)``."""

    recurrent: Tensor
    of_input: Tensor
    input_bias: Tensor
    state_bias: Tensor


def _layer(theta: Mapping[str, Tensor], k: int) -> _Layer:
    weight = theta[f"weight_hh_l{k}"]
    rows = weight.shape[0]
    absent = {f"weight_ih_l{k}": (rows, 0), f"bias_ih_l{k}": (rows,), f"bias_hh_l{k}": (rows,)}
    tensors = [weight, *(theta.get(name, torch.zeros(size)) for name, size in absent.items())]
    layer = _Layer(*(w.detach().to("cpu", torch.float64) for w in tensors))
    if [w.dim() for w in layer] != [2, 2, 1, 1]:
        raise ValueError(f"layer {k} has weights with batch axes; certify one network at a time.")
    if not all(torch.isfinite(w).all() for w in layer):
        raise ValueError(
            f"layer {k} has weights that are not finite; look at where they come from."
        )
    return layer


def _prove(name: str, kind: int, layers: list[_Layer], z: float, cell_bound: float) -> Certificate:
    units = layers[0].recurrent.shape[1]
    n_x = units * len(layers) * (2 if kind == 4 else 1)
    one = torch.ones(n_x, dtype=torch.float64)
    bound = one if kind == 3 else INF * one
    if name in ("spectral", "row-sum"):
        norm = Norm(one, 2 if name == "spectral" else INF)
        constant = float(norm.induced(layers[0].recurrent)) * (1 + MARGIN)
    elif name == "componentwise":
        compare = {1: _compare_elman, 3: _compare_gru, 4: _compare_lstm}[kind]
        matrices, cells = compare(layers, z, cell_bound)
        if kind == 4:
            bound = torch.cat([torch.ones_like(cells), cells])
        constant, weights = collatz_wielandt(*matrices)
        norm = Norm(weights, INF)
    else:
        published = name == "miller-hardt"
        matrix, c = _two_by_two(layers[0], z, cell_bound, published)
        bound = torch.cat([one[:units], c * one[units:]])
        if published:
            constant, weights = float(matrix.sum(1).max()) * (1 + MARGIN), one[:2]
        else:
            constant, weights = collatz_wielandt(matrix)
        norm = Norm(weights.repeat_interleave(units), INF if published else 2, blocks=2)
    return Certificate(constant, norm, 1, (-bound, bound), INF if kind == 1 else z, True, name)


def collatz_wielandt(*matrices: Tensor) -> tuple[float, Tensor]:
    """Return ``max_i (M v)_i / v_i`` over some nonnegative matrices, and a good ``v``.

    With ``r`` just above the spectral radius, ``v = (r I - M)^{-1} 1`` is positive and
    ``M v = r v - 1 < r v``. That works for reducible matrices too (stacked layers), whose
    eigenvector can have zeros. The constant is computed from ``v`` afterwards, so it is a bound
    whatever rounding did to ``v``.

    Args:
        matrices: each of shape ``(n, n)``; ``v`` is made for the first of them.

    Returns:
        The constant, raised by ``MARGIN``, and ``v`` of shape ``(n,)``, its largest entry 1.
    """
    matrix = matrices[0]
    one = torch.ones_like(matrix[0])
    radius = float(torch.linalg.eigvals(matrix).abs().max())
    r = radius + max(0.01 * abs(1 - radius), 1e-6)
    weights = -one
    while not (torch.isfinite(weights) & (weights > 0)).all():
        weights = torch.linalg.solve(r * torch.diag(one) - matrix, one)
        weights = weights / weights.abs().max()
        r *= 1.1
    constant = max(float((m @ weights / weights).max()) for m in matrices)
    return constant * (1 + MARGIN), weights


def _gates(layer: _Layer, z: float) -> tuple[Tensor, Tensor]:
    """Return the preactivations' centre and radius for ``|h| <= 1`` and ``|z_i| <= z``."""
    radius = z * layer.of_input.abs().sum(1) + layer.recurrent.abs().sum(1)
    return layer.input_bias + layer.state_bias, radius


def _nearest(centre: Tensor, radius: Tensor) -> Tensor:
    """Return how near to 0, where sigmoid and tanh are steepest, the preactivations come."""
    return (centre.abs() - radius).clamp(min=0)


def _sigmoid_slope(a: Tensor) -> Tensor:
    return torch.sigmoid(a) * torch.sigmoid(-a)


def _differences(layers: list[_Layer], parts: int) -> list[Tensor]:
    """Return the rows of the identity that pick each layer's ``h`` (then ``c``) from the state."""
    n_x = layers[0].recurrent.shape[1] * len(layers) * parts
    return torch.eye(n_x, dtype=torch.float64).chunk(len(layers) * parts)


def _no_change(layers: list[_Layer], n_x: int) -> Tensor:
    """Return the comparison of the network's input with itself."""
    return torch.zeros(layers[0].of_input.shape[1], n_x, dtype=torch.float64)


def _compare_elman(layers: list[_Layer], z: float, cell_bound: float):
    """``|dh'| <= |W_hh| |dh| + |W_ih| |dz|``, where ``dz`` is the ``dh'`` of the layer below."""
    states = _differences(layers, 1)
    rows, dz = [], _no_change(layers, len(states) * len(states[0]))
    for layer, dh in zip(layers, states, strict=True):
        dz = layer.recurrent.abs() @ dh + layer.of_input.abs() @ dz
        rows.append(dz)
    return [torch.cat(rows)], None


def _compare_gru(layers: list[_Layer], z: float, cell_bound: float):
    """Compare ``h' = u h + (1 - u) n`` at the two ends of each update gate's range.

    ``dh' = u dh + (1 - u) dn + du (h - n)`` with ``n = tanh(a + r s)``, ``s = W_hn h + b_hn``.
    """
    states = _differences(layers, 1)
    highs, lows, dz = [], [], _no_change(layers, len(states) * len(states[0]))
    for layer, dh in zip(layers, states, strict=True):
        centre, radius = _gates(layer, z)
        slope_r, slope_u, _ = _sigmoid_slope(_nearest(centre, radius))[:, None].chunk(3)
        r = torch.sigmoid(centre + radius).chunk(3)[0][:, None]
        s = layer.state_bias.abs() + layer.recurrent.abs().sum(1)
        a = layer.input_bias.abs() + z * layer.of_input.abs().sum(1)
        s, a = s.chunk(3)[2][:, None], a.chunk(3)[2][:, None]
        n = torch.tanh(a + r * s)

        r_h, u_h, s_h = (layer.recurrent.abs() @ dh).chunk(3)
        r_z, u_z, a_z = (layer.of_input.abs() @ dz).chunk(3)
        dn = r * s_h + a_z + s * slope_r * (r_h + r_z)
        du = slope_u * (u_h + u_z)
        for rows, end in ((highs, centre + radius), (lows, centre - radius)):
            u = end.chunk(3)[1][:, None]
            rows.append(torch.sigmoid(u) * dh + torch.sigmoid(-u) * dn + (1 + n) * du)
        dz, z = torch.maximum(highs[-1], lows[-1]), 1.0  # the next layer's input is this one's h
    return [torch.cat(highs), torch.cat(lows)], None


def _compare_lstm(layers: list[_Layer], z: float, cell_bound: float):
    """Compare an LSTM: ``dc' = f dc + df c + i dg + di g`` and ``dh' = o dc' + do tanh(c')``."""
    states = _differences(layers, 2)
    hs, cs, bounds = [], [], []
    dz = _no_change(layers, len(states) * len(states[0]))
    for layer, dh, dc in zip(layers, states[: len(layers)], states[len(layers) :], strict=True):
        centre, radius = _gates(layer, z)
        i, f, _, o = torch.sigmoid(centre + radius)[:, None].chunk(4)
        one_minus_f = torch.sigmoid(-centre - radius)[:, None].chunk(4)[1]
        g = torch.tanh(centre.abs() + radius)[:, None].chunk(4)[2]
        nearest = _nearest(centre, radius)[:, None]
        slope_i, slope_f, _, slope_o = _sigmoid_slope(nearest).chunk(4)
        slope_g = 1 - torch.tanh(nearest.chunk(4)[2]) ** 2
        c = (i * g / one_minus_f).clamp(min=cell_bound)  # |c'| <= f |c| + i |g| stays below it

        moved = layer.recurrent.abs() @ dh + layer.of_input.abs() @ dz
        di, df, dg, do = moved.chunk(4)
        dc = f * dc + slope_f * c * df + i * slope_g * dg + slope_i * g * di
        dz, z = o * dc + slope_o * torch.tanh(c) * do, 1.0  # the next layer's input is this h
        hs.append(dz)
        cs.append(dc)
        bounds.append(c.squeeze(1))
    return [torch.cat([*hs, *cs])], torch.cat(bounds)


def _two_by_two(layer: _Layer, z: float, cell_bound: float, published: bool):
    """Return the matrix that compares ``(|dh|, |dc|)``, and the bound on ``|c|``.

    Norms are max norms and i, g, o, tanh(c) <= 1 for Miller and Hardt, Euclidean norms and bounds
    on every gate for the delta-ISS condition.
    """
    centre, radius = _gates(layer, z)
    top = (centre + radius).reshape(4, -1).amax(1)
    i, f, _, o = torch.sigmoid(top)
    g = torch.tanh((centre.abs() + radius).reshape(4, -1)[2].max())
    if published:
        i = g = o = torch.ones_like(f)
    c = (i * g / torch.sigmoid(-top[1])).clamp(min=cell_bound)
    squashed = torch.ones_like(c) if published else torch.tanh(c)
    matrices = layer.recurrent.unflatten(0, (4, -1))
    w_i, w_f, w_g, w_o = torch.linalg.matrix_norm(matrices, ord=INF if published else 2)
    a = (c * w_f + g * w_i) / 4 + i * w_g
    rows = [torch.stack([o * a + squashed * w_o / 4, o * f]), torch.stack([a, f])]
    return torch.stack(rows), c

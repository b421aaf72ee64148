"""Upper bounds on the stretch of one step or several, with a proof: contraction certificates.

All proofs enclose what the step's derivative can be over a region that the step maps into itself
(`rnnlib.memory.step_enclosure`), and bound how much such derivatives stretch in a norm made for
them: a weighted max norm (`rnnlib.memory.comparison`), the norms of published conditions, or an
ellipsoidal one (`rnnlib.memory.quadratic_bound`). Around a fixed point that was found, see
`rnnlib.memory.local_certificates`.

Rounding: intervals are rounded outwards, matrices are not; they are sums and products whose
relative rounding error is a few thousand units in the last place for the largest networks. Each
constant is raised by the relative amount ``MARGIN``, which is wider than that. The proof is about
the step with these weights in exact arithmetic, whatever precision the network runs in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from rnnlib.memory.comparison import (
    collatz_wielandt,
    comparison_matrix,
    product,
    signed_enclosure,
)
from rnnlib.memory.contraction import lipschitz_lower_bound
from rnnlib.memory.interrupts import kept_on_interrupt
from rnnlib.memory.intervals import INF, MARGIN, Interval
from rnnlib.memory.networks import GATES, Network, read_network
from rnnlib.memory.norms import Norm, QuadraticNorm
from rnnlib.memory.published_conditions import elman_norm, lstm_by_norms
from rnnlib.memory.quadratic_bound import Transported, quadratic_bound
from rnnlib.memory.quadratic_norms import SHARES, contracting_norms, spectral_radius
from rnnlib.memory.regions import start_box
from rnnlib.memory.step_enclosure import Box, enclose_step
from rnnlib.nn import orthogonal_rnn_step
from rnnlib.systems import System, from_module

METHODS = {  # by the rows of weight_hh per unit
    1: ("componentwise", "quadratic", "spectral", "row-sum"),
    3: ("componentwise", "quadratic"),
    4: ("componentwise", "quadratic", "miller-hardt", "delta-iss"),
}
STACKED = ("componentwise", "quadratic")
Inputs = Tensor | tuple[Tensor | float, Tensor | float]


@dataclass(frozen=True, eq=False)
class Certificate:
    """A bound ``|F(x) - F(w)| <= constant |x - w|`` on a region, and what it rests on.

    Attributes:
        constant: the bound; equation (5) holds with it if it is below 1.
        norm: the norm in which it holds. Another norm has another constant.
        steps: of how many steps of the network ``F`` consists.
        region: the ends ``(low, high)`` of the box of states, each ``(n_x,)``, infinite for all
            states. One step maps it into itself, so it is invariant for every admitted input.
        inputs: the ends of the box of admitted inputs, each ``(n_z,)``, infinite for all inputs;
            equal for a held one.
        certified: whether ``constant`` is proved; where it is not, it is infinite.
        method: which proof.
        found: a stretch that the map attains in this norm, by search; None without a search. It is
            a lower bound: what is found is never more than what is proved.
    """

    constant: float
    norm: Norm | QuadraticNorm
    steps: int
    region: tuple[Tensor, Tensor]
    inputs: tuple[Tensor, Tensor]
    certified: bool
    method: str
    found: float | None = None

    @property
    def contractive(self) -> bool:
        """Whether this proves definition 1 for the region."""
        return self.certified and self.constant < 1

    @property
    def diameter(self) -> float:
        """The largest distance of two states of the region, in this norm."""
        low, high = self.region
        if isinstance(self.norm, Norm):
            return float(self.norm(high - low))
        if not torch.isfinite(high - low).all():
            return INF
        # A corner is the sum of its components: |T d|_2 <= | |T| |d| |_2.
        return float((self.norm.matrix.abs() @ (high - low)).norm())

    def euclidean(self, steps: int) -> "Certificate":
        """Return what follows for ``steps`` steps in the Euclidean norm.

        The constant is ``distortion * constant**steps``: however badly the two norms agree, it
        falls below 1 after a number of steps that grows with the logarithm of the distortion.

        Raises:
            ValueError: not a positive multiple of the steps that this certificate is about.
        """
        if steps < 1 or steps % self.steps:
            raise ValueError(f"steps is {steps}; give a positive multiple of {self.steps}.")
        constant = self.norm.distortion * _power(self.constant, steps // self.steps)
        norm = Norm(torch.ones_like(self.norm.weights))
        return replace(self, constant=constant * (1 + MARGIN), norm=norm, steps=steps, found=None)

    def __str__(self) -> str:
        claim = "contraction" if self.contractive else "no contraction proved"
        text = f"{self.method}: {claim}, constant {self.constant:.4g} over {self.steps} step(s)"
        return text if self.found is None else f"{text}; found by search: {self.found:.4g}"


def certify(
    cell: nn.Module | System | Mapping[str, Tensor],
    input_bound: float = 1.0,
    method: str = "best",
    cell_bound: float = 0.0,
    *,
    inputs: Inputs | None = None,
    steps: int = 1,
    after: int = 0,
    box: tuple[Tensor | float, Tensor | float] | None = None,
    progress: bool = False,
) -> Certificate:
    """Prove a Lipschitz constant for one step or several of a recurrent network.

    A network that stretches in places may still forget: under one input that is held, over several
    steps, or on the smaller region in which every orbit is after some steps. Ask for each with the
    arguments ``inputs``, ``steps`` and ``after``; where all fail, `certify_near` proves what holds
    around one fixed point.

    Args:
        cell: a `torch.nn.RNN`, `GRU` or `LSTM` (or one of their cells, or an `OrthogonalRNN`), a
            system made from one, or its weights by name. Of any other system nothing is proved,
            for want of a rule for its derivative: the certificate says so.
        input_bound: the largest ``|z_i|`` that the network will see, where ``inputs`` is not given
            and the system holds none.
        method: "componentwise" or "quadratic" (all cells, any number of layers); for one LSTM layer
            also "miller-hardt" (the max norm) and "delta-iss" (Euclidean norms of h and c apart);
            for one Elman layer "spectral" and "row-sum". "best" takes the smallest constant.
        cell_bound: a bound on ``|c|`` to be covered, if larger than the region's own.
        inputs: one input to be held, shape ``(n_z,)``, or the ends ``(low, high)`` of a box of
            them. By default what the system holds, else the inputs up to ``input_bound``.
        steps: of how many steps the constant is to be.
        after: the region is made of the states reached from the usual one after so many steps.
        box: where to search for a stretch that is attained, reported as ``found``: the ends of a
            box of states. The search keeps to the certificate's region, and is for one step.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) keeps the proofs done.

    Returns:
        The certificate. Its region is ``|h| <= 1`` for a GRU and a tanh network, ``|h| <= 1`` with
        a bound on ``|c|`` for an LSTM, whose ``|h|`` is below 1 after one step whatever the start,
        while a ``|c|`` outside decays to the bound at the forget gate's rate. It is all states
        for a relu network and for proofs that need no region.

    Raises:
        TypeError: another kind of module; weights that are no real floating-point numbers.
        ValueError: a method that the cell does not have, a bound or number of steps out of range,
            inputs of a wrong shape, weights with batch axes or not finite.

    Reference:
        Miller and Hardt, "Stable recurrent models", ICLR 2019 (proposition 2); Terzi, Bonassi,
        Farina, Scattolini, "Learning model predictive control with long short-term memory
        networks", International Journal of Robust and Nonlinear Control 31 (2021).

    Example:
        >>> import torch, rnnlib
        >>> network = torch.nn.RNN(1, 2).double()
        >>> network.weight_hh_l0.data[:] = torch.eye(2) / 2
        >>> proof = rnnlib.certify(network)
        >>> proof.certified, round(proof.constant, 6)
        (True, 0.5)
    """
    _check(input_bound, cell_bound, steps, after)
    if isinstance(cell, nn.Module):
        cell = from_module(cell)
    if isinstance(cell, System) and cell.f is orthogonal_rnn_step:
        best = certify_orthogonal(cell.theta["recurrent"], cell.theta["bias"])
        any_input = torch.full((cell.n_z,), INF, dtype=torch.float64, device=best.region[0].device)
        constant = _power(best.constant, steps)
        best = replace(best, constant=constant, steps=steps, inputs=(-any_input, any_input))
        return _with_search(best, cell, box, input_bound)
    network = read_network(cell)
    if network is None:
        assert isinstance(cell, System)  # weights by name are read or refused
        return _with_search(_nothing_proved(cell, steps), cell, box, input_bound)

    rows = GATES[network.kind]
    methods = METHODS[rows] if len(network.layers) == 1 else STACKED
    if method != "best" and method not in methods:
        raise ValueError(
            f"method is {method!r}; a cell of this kind with {len(network.layers)} layer(s) has "
            f"{', '.join(methods)} and best."
        )
    held = cell.z if isinstance(cell, System) else None
    admitted = admitted_inputs(network.n_z, held if inputs is None else inputs, input_bound)
    names = methods if method == "best" else (method,)
    found: list[Certificate] = []
    with kept_on_interrupt("the best of the proofs done so far"):
        for name in tqdm(names, desc="certify", disable=not progress, unit="proof"):
            found.append(_prove(name, network, admitted, cell_bound, steps, after))
    if not found:
        raise KeyboardInterrupt
    best = min(found, key=lambda certificate: certificate.constant)
    device = next(iter(cell.theta.values() if isinstance(cell, System) else cell.values())).device
    return _with_search(_moved(best, device), cell, box, input_bound)


def certify_orthogonal(matrix: Tensor, bias: Tensor) -> Certificate:
    """Prove the constant of the orthogonal RNN, ``h' = modrelu(Q h + U z)``, in the Euclidean norm.

    For ``b <= 0`` modrelu has slopes 0 and 1 and no jump, so the constant is the largest singular
    value of ``Q``: 1, and no less. For ``b > 0`` it jumps by ``2 b`` at 0 and has no constant.

    Args:
        matrix: ``Q``, shape ``(n, n)``.
        bias: modrelu's ``b``, shape ``(n,)``.

    Returns:
        A certificate for all states and inputs; infinite and not certified if some ``b > 0``. Its
        ``inputs`` are empty.
    """
    matrix, bias = matrix.detach().double(), bias.detach().double()
    norm, everything = Norm(torch.ones_like(bias)), torch.full_like(bias, INF)
    constant = float(norm.induced(matrix)) * (1 + MARGIN)
    certified = bool((bias <= 0).all()) and constant < INF
    return Certificate(
        constant=constant if certified else INF,
        norm=norm,
        steps=1,
        region=(-everything, everything),
        inputs=(-everything[:0], everything[:0]),
        certified=certified,
        method="orthogonal",
    )


def _prove(
    name: str, network: Network, inputs: Interval, cell_bound: float, steps: int, after: int
) -> Certificate:
    everywhere = torch.full((network.n_x,), INF, dtype=torch.float64, device="cpu")
    region, any_input = Interval(-everywhere, everywhere), False
    if name in ("spectral", "row-sum"):
        constant, norm = elman_norm(network, 2 if name == "spectral" else INF)
        any_input = True
    elif name in ("miller-hardt", "delta-iss"):
        published = name == "miller-hardt"
        constant, norm, c = lstm_by_norms(network, inputs, cell_bound, published)
        bound = torch.ones_like(everywhere)
        bound[network.units :] = c
        region = Interval(-bound, bound)
    else:
        # Without a question about inputs a tanh network needs no region: its slope is at most 1.
        any_input = network.kind == "elman" and name == "componentwise" and after == 0
        any_input = any_input and bool((inputs.low == -inputs.high).all())
        region = region if any_input else start_box(network, inputs, cell_bound)
        for _ in range(after):
            region = region.intersect(enclose_step(network, Box(region), inputs).reached)
        prove = _componentwise if name == "componentwise" else _quadratic
        constant, norm = prove(network, region, inputs, steps)
    if name not in STACKED:
        constant = _power(constant, steps)
    unbounded = torch.full_like(inputs.low, INF)
    return Certificate(
        constant=constant,
        norm=norm,
        steps=steps,
        region=(region.low, region.high),
        inputs=(-unbounded, unbounded) if any_input else (inputs.low, inputs.high),
        certified=constant < INF,
        method=name,
    )


def _componentwise(network: Network, region: Interval, inputs: Interval, steps: int):
    """Return the smaller of ``L^steps`` and the constant of a product of signed enclosures."""
    step = enclose_step(network, Box(region), inputs)
    matrices = [comparison_matrix(rows, network.n_x) for rows in step.ends]
    constant, weights = collatz_wielandt(*matrices)
    constant = _power(constant, steps)
    if steps > 1 and constant >= 1:
        total = signed_enclosure(step.rows, network.n_x)
        for _ in range(steps - 1):
            region = region.intersect(step.reached)
            step = enclose_step(network, Box(region), inputs)
            total = product(signed_enclosure(step.rows, network.n_x), total)
        together, others = collatz_wielandt(total[0].abs() + total[1])
        if together < constant:
            constant, weights = together, others
    return constant, Norm(weights, INF)


def _quadratic(network: Network, region: Interval, inputs: Interval, steps: int):
    """Return the constant in the norm in which the middle of all Jacobians contracts."""
    step = enclose_step(network, Box(region), inputs)
    one = torch.ones(network.n_x, dtype=torch.float64, device="cpu")
    best = INF, Norm(one)
    middle = signed_enclosure(step.rows, network.n_x)[0]
    radius = spectral_radius(middle)
    if not radius < INF:
        return best
    for rate in (
        [radius + share * (1 - radius) for share in SHARES] if radius < 1 else [1.05 * radius]
    ):
        norms = contracting_norms([middle], rate)
        if norms is not None:
            bound = quadratic_bound(step.rows, norms[0], Transported(norms[0]))
            if bound < best[0]:
                best = bound, norms[0]
    return _power(best[0], steps), best[1]


def admitted_inputs(n_z: int, inputs: Inputs | None, input_bound: float) -> Interval:
    """Return the box of inputs that are asked about, after checking it."""
    if inputs is None:
        bound = torch.full((n_z,), float(input_bound), dtype=torch.float64, device="cpu")
        return Interval(-bound, bound)
    ends = inputs if isinstance(inputs, tuple) else (inputs, inputs)
    double = {"device": "cpu", "dtype": torch.float64}
    low, high = (
        end.detach().to(**double) if isinstance(end, Tensor) else torch.tensor(end, **double)
        for end in ends
    )
    for end in (low, high):
        if end.shape not in ((), (n_z,)):
            raise ValueError(
                f"inputs has shape {tuple(end.shape)}; the network takes one input of shape "
                f"({n_z},), or the two ends of a box of them."
            )
    low, high = (end.expand(n_z) for end in (low, high))
    if not (torch.isfinite(low) & torch.isfinite(high) & (low <= high)).all():
        raise ValueError("inputs has ends that are not finite, or a low one above the high one.")
    return Interval(low, high)


def _check(input_bound: float, cell_bound: float, steps: int, after: int) -> None:
    if not (0 <= input_bound < INF and 0 <= cell_bound < INF):
        raise ValueError(
            f"input_bound is {input_bound} and cell_bound is {cell_bound}; both must be finite "
            f"and at least 0."
        )
    if steps < 1 or after < 0:
        raise ValueError(f"steps is {steps} and after is {after}; give at least 1 and 0.")
    if after and cell_bound:
        raise ValueError(
            f"cell_bound is {cell_bound} and after is {after}: a region that is to cover so much "
            f"is not the smaller one that orbits are in later; leave one of them at 0."
        )


def _nothing_proved(system: System, steps: int) -> Certificate:
    one = torch.ones(system.n_x, dtype=torch.float64, device="cpu")
    everything = INF * torch.ones(system.n_z, dtype=torch.float64, device="cpu")
    region = (-INF * one, INF * one)
    name = f"no proof known for {system.name}"
    return Certificate(INF, Norm(one), steps, region, (-everything, everything), False, name)


def _with_search(certificate: Certificate, cell, box, bound: float) -> Certificate:
    """Add what a search finds in a box, within the certificate's region."""
    if box is None:
        return certificate
    if not isinstance(cell, System):
        raise ValueError("box is given, but cell is a dictionary of weights; search a system.")
    like = next(iter(cell.theta.values()), torch.zeros((), dtype=torch.float64))
    ends = (torch.as_tensor(end).to(like) for end in box)
    low, high = (end.clamp(*(r.to(like) for r in certificate.region)) for end in ends)
    norm = _moved(certificate, like.device, like.dtype).norm
    inputs = None
    if cell.n_z and cell.z is None:
        first, last = (end.to(like).clamp(-bound, bound) for end in certificate.inputs)
        inputs = first, last
    found = lipschitz_lower_bound(cell, low, high, norm=norm, inputs=inputs)
    return replace(certificate, found=found.constant)


def _moved(certificate: Certificate, device, dtype=torch.float64) -> Certificate:
    """Return a certificate whose tensors live where the network does."""
    norm = certificate.norm
    if isinstance(norm, QuadraticNorm):
        norm = QuadraticNorm(norm.matrix.to(device, dtype))
    else:
        norm = replace(norm, weights=norm.weights.to(device, dtype))
    region, inputs = (
        tuple(end.to(device, dtype) for end in ends)
        for ends in (certificate.region, certificate.inputs)
    )
    return replace(certificate, norm=norm, region=region, inputs=inputs)


def _power(constant: float, steps: int) -> float:
    """Return ``constant**steps``, rounded upwards; infinite where it overflows."""
    if constant == INF or steps == 1:
        return constant
    try:
        return constant**steps * (1 + MARGIN)
    except OverflowError:
        return INF

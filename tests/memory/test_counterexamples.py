"""What the chapter on contractivity says beyond certificates: each claim with its network."""

import math

import pytest
import torch

from rnnlib import from_module, jacobian, lstm, simulate, steady_state
from rnnlib.dynamics import fixed_points, starts_in_box
from rnnlib.memory import certify
from rnnlib.nn import PUBLISHED_RADII, project_published_

F64 = {"dtype": torch.float64}


# --- eigenvalues below 1 everywhere, and gradients that explode ---


def test_an_elman_network_with_all_spectral_radii_below_1_explodes_under_a_bounded_input():
    """Hypothesis: the Jacobian diag(d) W has a radius of at most 0.98 for every slope d of tanh,
    and an input of period 2 gives a derivative that grows by the closed form 1.8604^(t/2)."""
    weight = torch.tensor([[0.98, 1.0], [-1.8604, -0.98]], **F64)
    d = torch.cartesian_prod(*[torch.linspace(0, 1, 101, **F64)] * 2)
    assert torch.linalg.eigvals(d[..., None] * weight).abs().max() <= 0.98 + 1e-12

    cell = torch.nn.RNN(2, 2, bias=False).double()
    with torch.no_grad():
        cell.weight_hh_l0.copy_(weight)
        cell.weight_ih_l0.copy_(torch.eye(2))
    network = from_module(cell)
    x, product, inputs = torch.zeros(2, **F64), torch.eye(2, **F64), []
    for t in range(200):  # one unit at its steepest, the other saturated, in turn
        target = torch.tensor([0.0, 5.0] if t % 2 == 0 else [5.0, 0.0], **F64)
        inputs.append(target - weight @ x)
        product = jacobian(network, x, inputs[-1]) @ product
        x = network.step(x, inputs[-1])
    inputs = torch.stack(inputs)
    assert inputs.abs().max() < 6.9
    torch.testing.assert_close(inputs[2:-2], inputs[4:], rtol=0, atol=1e-12)  # period 2
    growth = float(torch.linalg.matrix_norm(product, 2))
    assert math.log10(growth) == pytest.approx(math.log10(1.8604**100), abs=0.5)


# --- rows or columns: what the stable LSTM lacks is a bound on its forget gate ---


def columns_with_a_bounded_forget_gate(seed, units=4):
    """The published projection of the columns, with forget biases that keep the gate below 0.6."""
    torch.manual_seed(seed)
    network = torch.nn.LSTM(1, units).double()
    project_published_(network)
    forget = slice(units, 2 * units)
    with torch.no_grad():
        reach = sum(
            weight[forget].abs().sum(1) for weight in (network.weight_hh_l0, network.weight_ih_l0)
        )
        network.bias_ih_l0[forget] = math.log(0.6 / 0.4) - reach
        network.bias_hh_l0[forget] = 0
    return network


@pytest.mark.parametrize("seed", range(4))
def test_columns_serve_as_well_as_rows_once_the_forget_gate_is_bounded(seed):
    """Hypothesis: the row condition fails for such a network and a certificate proves contraction
    all the same; so does the comparison in the l1 norm, whose induced norm is the column sum."""
    network = columns_with_a_bounded_forget_gate(seed)
    rows = [w.abs().sum(1).max() for w in network.weight_hh_l0.detach().chunk(4)]
    assert rows[3] > PUBLISHED_RADII[3] + 0.02
    assert not certify(network, 1.0, "miller-hardt").contractive
    assert certify(network, 1.0, "componentwise").constant < 0.8

    i, f, g, o = PUBLISHED_RADII  # with |c| <= 1 / (1 - 0.6) and the gates at most 1
    alpha = f * 2.5 / 4 + g + i / 4
    matrix = torch.tensor([[alpha + o / 4, 0.6], [alpha, 0.6]], **F64)
    values, vectors = torch.linalg.eig(matrix)
    rate, v = float(values.abs().max()), vectors[:, values.abs().argmax()].real.abs()
    assert rate < 0.93

    def norm(x):  # the larger of the two l1 norms, each in its own unit
        return (x.reshape(-1, 2, 4).abs().sum(-1) / v).amax(-1)

    generator = torch.Generator().manual_seed(seed)
    draw = 2 * torch.rand(2, 4000, 8, generator=generator, **F64) - 1
    draw[:, ::2] = draw[:, ::2].sign()
    x, w = draw * torch.tensor([1.0] * 4 + [2.5] * 4, **F64)
    z = 2 * torch.rand(4000, 1, generator=generator, **F64) - 1
    system = from_module(network)
    assert (norm(system.step(x, z) - system.step(w, z)) <= rate * norm(x - w)).all()


# --- how the one-unit LSTM on the published set gets its memory ---


def published_unit(bias):
    i, f, g, o = PUBLISHED_RADII
    return lstm(
        {
            "weight_hh_l0": torch.tensor([[i], [f], [g], [o]], **F64),
            "bias_hh_l0": torch.tensor([bias, bias, 0.0, bias], **F64),
        }
    )


def critical_bias():
    w = PUBLISHED_RADII[2]
    gate = (math.sqrt(1 + 4 * w) - 1) / (2 * w)
    return math.log(gate / (1 - gate))


def cells(bias):
    found = fixed_points(
        published_unit(bias), starts_in_box(-1, 1, 120, 2, 0) * torch.tensor([1.0, 3.0], **F64)
    )
    return sorted(round(float(c), 6) + 0.0 for c in found.points[..., 1].flatten())


def test_the_memory_is_born_in_a_fold_before_the_origin_loses_its_stability():
    """Hypothesis: a little below the critical bias the unit is bistable, with a saddle between;
    farther below it has the origin alone."""
    b = critical_bias()
    assert len(cells(b - 0.03)) == 1
    low, saddle, high = cells(b - 0.02)
    assert low == 0 and 0.1 < saddle < high
    ends = simulate(
        published_unit(b - 0.02),
        torch.tensor([[0.9, 3.0], [0.01, 0.01]], **F64),
        1,
        burn_in=20000,
    )[0, :, 1]
    assert float(ends[0]) == pytest.approx(high, abs=1e-5) and abs(float(ends[1])) < 1e-9


def test_the_origin_exchanges_its_stability_with_the_saddle():
    """Hypothesis: transcritical. The other fixed point passes through the origin at the critical
    bias, linearly: above, the start below goes to a near state and the start above to a far one."""
    b = critical_bias()
    near = [[c for c in cells(b + d) if c != 0] for d in (-0.003, 0.003)]
    assert near[0][0] > 0 > near[1][0]
    assert abs(near[0][0]) == pytest.approx(abs(near[1][0]), rel=0.15)
    starts = torch.tensor([[0.01, 0.01], [-0.01, -0.01]], **F64)
    up, down = simulate(published_unit(b + 0.003), starts, 1, burn_in=20000)[0, :, 1].tolist()
    assert up == pytest.approx(near[1][1], abs=1e-4) and down == pytest.approx(near[1][0], abs=1e-4)
    assert up > 20 * abs(down)
    kind = steady_state(published_unit(b + 0.003), starts, burn_in=20000, steps=200)
    # so near to the exchange an orbit is slow: it may be on its way still
    assert kind.kind.tolist() == ["fixed point"] * 2
    assert kind.stability.tolist() == ["stable"] * 2

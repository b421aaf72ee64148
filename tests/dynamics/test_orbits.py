"""Simulation and orbit diagrams against closed forms."""

import weakref

import pytest
import torch

import rnnlib
from rnnlib.systems import X0, chaotic_lstm, line

F64 = {"dtype": torch.float64}


def test_simulate_drops_exactly_the_burn_in():
    """Hypothesis: with x -> x + 1 from 0, the kept states are burn_in + 1, burn_in + 2, ..."""
    counter = rnnlib.from_step(lambda x: x + 1, n_x=1)
    kept = rnnlib.simulate(counter, torch.zeros(1, **F64), 3, burn_in=5)
    assert kept[:, 0].tolist() == [6.0, 7.0, 8.0]


def test_a_linear_map_is_a_power_of_its_matrix():
    """Hypothesis: the state after t steps is A^t x_0."""
    matrix = torch.tensor([[0.5, 0.2], [-0.3, 0.8]], **F64)
    x0 = torch.tensor([1.0, -2.0], **F64)
    orbit = rnnlib.simulate(rnnlib.linear(matrix), x0, 30)
    torch.testing.assert_close(orbit[29], torch.linalg.matrix_power(matrix, 30) @ x0)


def test_memory_does_not_grow_with_the_steps_that_are_dropped():
    """Hypothesis: however long the burn-in, only two of its states are ever alive at once."""
    states, most_alive = [], 0

    def step(x):
        nonlocal most_alive
        following = x + 1
        states.append(weakref.ref(following))
        most_alive = max(most_alive, sum(ref() is not None for ref in states))
        return following

    kept = rnnlib.simulate(rnnlib.from_step(step, n_x=1), torch.zeros(1, **F64), 4, burn_in=300)
    assert len(states) == 304 and kept[:, 0].tolist() == [301.0, 302.0, 303.0, 304.0]
    assert most_alive == 2


def test_no_step_is_recorded_unless_a_gradient_is_asked_for():
    """Hypothesis: a closure over trainable weights leaves no graph, however long it runs; weights,
    states and inputs that require a gradient have it; `gradients` overrules both."""
    net = torch.nn.Linear(2, 2, **F64)
    closure = rnnlib.from_step(lambda x: torch.tanh(net(x)), n_x=2)
    x0 = torch.ones(2, **F64)
    assert not rnnlib.simulate(closure, x0, 3, burn_in=50).requires_grad
    assert all(not x.requires_grad for x, _ in rnnlib.trajectory(closure, x0, 3))
    assert torch.is_grad_enabled()
    asked = rnnlib.simulate(closure, x0, 3, gradients=True)
    asked.sum().backward()
    assert net.weight.grad.abs().min() > 0
    assert rnnlib.simulate(closure, x0.clone().requires_grad_(), 3).requires_grad
    r = torch.tensor(0.5, **F64, requires_grad=True)
    orbit = rnnlib.simulate(rnnlib.logistic(2.0).at({"r": r}), 0 * x0[:1] + 0.3, 1, burn_in=1)
    x1 = 0.5 * 0.3 * 0.7  # x2 = r x1 (1 - x1) and dx1/dr = x1 / r
    slope = x1 * (1 - x1) + 0.5 * (1 - 2 * x1) * x1 / 0.5
    assert torch.autograd.grad(orbit.sum(), r)[0].item() == pytest.approx(slope)
    with torch.no_grad():
        assert not rnnlib.simulate(closure, x0, 3, gradients=True).requires_grad


def test_batch_axes_of_states_and_inputs_broadcast():
    """Hypothesis: a batch in the inputs alone, or in both, gives what each alone gives."""
    net = rnnlib.from_module(torch.nn.GRU(2, 3).double())
    u = torch.randn(7, 4, 2, **F64)
    together = rnnlib.simulate(net, torch.ones(3, **F64), 5, burn_in=2, inputs=u)
    exponents = rnnlib.lyapunov_spectrum(net, torch.ones(3, **F64), 10, inputs=u.repeat(2, 1, 1))
    assert together.shape == (5, 4, 3) and exponents.exponents.shape == (4, 3)
    for i in range(4):
        alone = rnnlib.simulate(net, torch.ones(3, **F64), 5, burn_in=2, inputs=u[:, i])
        torch.testing.assert_close(together[:, i], alone, atol=1e-14, rtol=0)
        one = rnnlib.lyapunov_spectrum(net, torch.ones(3, **F64), 10, inputs=u[:, i].repeat(2, 1))
        torch.testing.assert_close(exponents.exponents[i], one.exponents, atol=1e-11, rtol=0)
    with pytest.raises(ValueError, match=r"or those of the inputs, \(4,\)"):
        rnnlib.simulate(net, torch.ones(5, 3, **F64), 5, inputs=u)


def test_an_interrupted_simulation_returns_what_it_has():
    """Hypothesis: with a warning; before the first kept step the interrupt goes through."""

    def counter(last):
        def step(x):
            if x.item() >= last:
                raise KeyboardInterrupt
            return x + 1

        return rnnlib.from_step(step, n_x=1)

    with pytest.warns(UserWarning, match="interrupted: 4 of 9 steps") as caught:
        kept = rnnlib.simulate(counter(6), torch.zeros(1, **F64), 9, burn_in=2, progress=True)
    assert caught.pop(UserWarning).filename == __file__  # it points at the call
    assert kept[:, 0].tolist() == [3.0, 4.0, 5.0, 6.0]
    with pytest.raises(KeyboardInterrupt):
        rnnlib.simulate(counter(1), torch.zeros(1, **F64), 9, burn_in=2)


def test_inputs_are_used_in_order():
    """Hypothesis: x -> z shows the inputs after the burn-in."""
    echo = rnnlib.from_step(lambda x, z: z, n_x=2, n_z=2)
    u = torch.randn(7, 2, **F64)
    assert torch.equal(rnnlib.simulate(echo, torch.zeros(2, **F64), 4, burn_in=3, inputs=u), u[3:])


def test_nan_and_divergence_stay_what_they_are():
    """Hypothesis: a NaN state gives NaN, an exploding one infinity; neighbours are untouched."""
    r = torch.tensor([2.0, 5.0, 2.0], **F64)
    x0 = torch.tensor([[0.3], [0.3], [torch.nan]], **F64)
    last = rnnlib.simulate(rnnlib.logistic(r), x0, 1, burn_in=60)[0, :, 0]
    assert last[0] == pytest.approx(0.5, abs=1e-15)
    assert not torch.isfinite(last[1])
    assert torch.isnan(last[2])


def test_float32_follows_float64_until_chaos_separates_them():
    """Hypothesis: in the regular region both precisions agree; the dtype is kept throughout."""
    regular = line()(torch.tensor([0.6, 1.8], **F64))
    low = rnnlib.simulate(regular.to(torch.float32), X0.float(), 50)
    high = rnnlib.simulate(regular, X0, 50)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), high, atol=2e-5, rtol=0)
    chaotic = rnnlib.simulate(chaotic_lstm().to(torch.float32), X0.float(), 10)
    torch.testing.assert_close(
        chaotic.double(), rnnlib.simulate(chaotic_lstm(), X0, 10), atol=1e-4, rtol=0
    )


def test_the_logistic_orbit_diagram_has_its_closed_form_fixed_point():
    """Hypothesis: for 1 < r < 3 the steady state is 1 - 1/r, to the last digits."""
    r = torch.tensor([1.5, 2.0, 2.01, 2.9], **F64)
    diagram = rnnlib.orbit_diagram(rnnlib.logistic, r, torch.tensor([0.3], **F64), 5, burn_in=500)
    torch.testing.assert_close(diagram.orbit[..., 0], (1 - 1 / r).expand(5, 4), atol=1e-12, rtol=0)
    assert diagram.orbit[0, 2, 0].item() == pytest.approx(0.502487562, abs=1e-9)


def test_a_diagram_over_held_inputs_sweeps_the_input_and_nothing_else():
    """Hypothesis: u * direction with its axis missing is refused, also where three values happen
    to fit three inputs; a family that closes over its values is none the worse."""
    net = rnnlib.from_module(torch.nn.GRU(3, 4).double())
    direction, x0 = torch.ones(3, **F64), torch.zeros(4, **F64)
    for n in (2, 3, 5):
        u = torch.linspace(-1, 1, n, **F64)
        good = rnnlib.orbit_diagram(lambda u: net.hold(u[..., None] * direction), u, x0, 2)
        assert good.orbit.shape == (2, n, 4) and good.orbit.std(1).min() > 1e-3
        if n == 3:
            with pytest.raises(ValueError, match=r"network.hold\(u\[..., None\] \* direction\)"):
                rnnlib.orbit_diagram(lambda u: net.hold(u * direction), u, x0, 2)
        elif n > 1:
            with pytest.raises((ValueError, RuntimeError)):
                rnnlib.orbit_diagram(lambda u: net.hold(u * direction), u, x0, 2)
    w = torch.linspace(0.5, 2, 4, **F64)

    def closing(w):
        return rnnlib.from_step(lambda x: torch.tanh(w[..., None] * x), 1)

    def open_(w):
        return rnnlib.from_function(lambda x, p: torch.tanh(p["w"][..., None] * x), 1, {"w": w})

    x0 = torch.tensor([[0.1], [-0.3]], **F64)
    found = [rnnlib.orbit_diagram(family, w, x0, 3).orbit for family in (closing, open_)]
    assert torch.equal(*found)


def test_several_starts_find_coexisting_attractors_and_one_branch_hides_them():
    """Hypothesis: x' = tanh(2 x) shows both of its fixed points from two fresh starts, while a
    continued diagram stays on the branch it began on."""

    def family(w):
        return rnnlib.from_function(lambda x, p: torch.tanh(p["w"][..., None] * x), 1, {"w": w})

    w = torch.linspace(1.5, 2, 4, **F64)
    both = rnnlib.orbit_diagram(family, w, torch.tensor([[0.1], [-0.1]], **F64), 1, burn_in=300)
    assert both.orbit.shape == (1, 4, 2, 1)
    torch.testing.assert_close(both.orbit[:, :, 0], -both.orbit[:, :, 1])
    one = rnnlib.orbit_diagram(
        family, w, torch.tensor([-0.1], **F64), 1, burn_in=300, start="continued"
    )
    assert (one.orbit < 0).all()
    torch.testing.assert_close(one.orbit, both.orbit[:, :, 1], atol=1e-12, rtol=0)


def test_a_continued_diagram_shows_hysteresis():
    """Hypothesis: past a fold, sweeping up and sweeping down stay on different branches."""

    def family(b):
        return rnnlib.from_function(lambda x, p: torch.tanh(2 * x + p["b"][..., None]), 1, {"b": b})

    b = torch.linspace(-1, 1, 41, **F64)
    x0 = torch.zeros(1, **F64)
    up = rnnlib.orbit_diagram(family, b, x0 - 1, 1, burn_in=100, start="continued").orbit
    down = rnnlib.orbit_diagram(family, b.flip(0), x0 + 1, 1, burn_in=100, start="continued").orbit
    assert up[0, 20, 0] < -0.9 < 0.9 < down.flip(1)[0, 20, 0]
    torch.testing.assert_close(up[0, -1], down[0, 0], atol=1e-9, rtol=0)


def test_continued_and_fresh_agree_where_there_is_one_attractor():
    """Hypothesis: with a single globally attracting fixed point the start does not matter."""
    r = torch.linspace(1.5, 2.5, 6, **F64)
    x0 = torch.tensor([[0.2], [0.7]], **F64)
    fresh, continued = (
        rnnlib.orbit_diagram(rnnlib.logistic, r, x0, 2, burn_in=200, start=start)
        for start in ("fresh", "continued")
    )
    assert fresh.orbit.shape == continued.orbit.shape == (2, 6, 2, 1)
    torch.testing.assert_close(fresh.orbit, continued.orbit, atol=1e-12, rtol=0)


def test_bad_arguments_name_themselves():
    """Hypothesis: each wrong argument is a ValueError that names it and the remedy."""
    system = chaotic_lstm()
    with pytest.raises(ValueError, match="burn_in is -1; it must be 0 or more"):
        rnnlib.simulate(system, X0, 5, burn_in=-1)
    with pytest.raises(ValueError, match="steps is 0"):
        rnnlib.simulate(system, X0, 0)
    with pytest.raises(ValueError, match="inputs has 3 steps; burn_in=0 and steps=5 need 5"):
        net = rnnlib.from_module(torch.nn.RNN(1, 4).double())
        rnnlib.simulate(net, X0, 5, inputs=torch.zeros(3, 1, **F64))
    with pytest.raises(ValueError, match=r"inputs .* takes no input \(n_z=0\): leave inputs out"):
        rnnlib.simulate(system, X0, 5, inputs=torch.zeros(5, 1, **F64))
    with pytest.raises(ValueError, match="observe is 'states'"):
        rnnlib.simulate(system, X0, 5, observe="states")
    with pytest.raises(ValueError, match="start is 'cold'"):
        rnnlib.orbit_diagram(line(), torch.ones(2, **F64), X0, 5, start="cold")
    with pytest.raises(ValueError, match=r"values has shape \(2, 2\)"):
        rnnlib.orbit_diagram(line(), torch.ones(2, 2, **F64), X0, 5)
    with pytest.raises(ValueError, match="burn_in is -2"):
        rnnlib.orbit_diagram(line(), torch.ones(2, **F64), X0, 5, burn_in=-2)

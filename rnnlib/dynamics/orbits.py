"""Simulation with burn-in, and the orbit diagram."""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.nn import stack_into
from rnnlib.systems import System


class OrbitDiagram(NamedTuple):
    """The values that a system visits in steady state, against a parameter.

    Attributes:
        values: the parameter's values, shape ``(S,)``.
        orbit: what was observed, shape ``(steps, S, *starts, n)``, where ``starts`` are the batch
            axes of the initial states (none for a single one).
        start: "fresh" or "continued", how each orbit began.

    Example:
        >>> import torch, rnnlib
        >>> r, x0 = torch.tensor([2.5, 3.2]).double(), torch.tensor([0.3]).double()
        >>> found = rnnlib.orbit_diagram(rnnlib.logistic, r, x0, steps=4, burn_in=2000)
        >>> found.orbit.shape  # steps, values, states
        torch.Size([4, 2, 1])
    """

    values: Tensor
    orbit: Tensor
    start: str


def trajectory(
    system: System,
    x0: Tensor,
    steps: int,
    *,
    burn_in: int = 0,
    inputs: Tensor | None = None,
    progress: bool = False,
    gradients: bool | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the states ``x_{burn_in+1}, ..., x_{burn_in+steps}`` one at a time, with their input.

    Nothing is stored, so memory does not depend on either number of steps.

    Args:
        system: the system, with batch axes or without.
        x0: shape ``(*batch, n_x)``.
        steps: how many states to yield.
        burn_in: how many states to drop before.
        inputs: shape ``(burn_in + steps, *batch, n_z)``; without it the held input is used.
        progress: whether to show a progress bar.
        gradients: whether torch records the steps, as its gradient mode says. By default only if
            the system's parameters, ``x0`` or ``inputs`` require a gradient. A step that closes
            over trainable parameters of its own needs True, and keeps every step in memory.

    Yields:
        ``(x, z)``: the state just reached, shape ``(*batch, n_x)``, and the input (or None).

    Raises:
        ValueError: a negative burn-in, fewer than one step, too few inputs, inputs for a system
            that takes none, batch axes that do not broadcast.
        TypeError: a state or input of another dtype than the parameters.

    Example:
        >>> import torch, rnnlib
        >>> steps = rnnlib.trajectory(rnnlib.linear(torch.eye(1) / 2), torch.ones(1), steps=3)
        >>> [float(x) for x, z in steps]
        [0.5, 0.25, 0.125]
    """
    check_steps(steps, burn_in)
    system.check_inputs(inputs, burn_in + steps, f"burn_in={burn_in} and steps={steps}")
    x = system.initial_state(x0, None if inputs is None else inputs[0])
    record = system.asks_for_gradients(x0, inputs) if gradients is None else gradients
    record = record and torch.is_grad_enabled()
    for t in tqdm(range(burn_in + steps), desc=system.name, disable=not progress, unit="step"):
        z = None if inputs is None else inputs[t]
        with torch.set_grad_enabled(record):  # never across a yield
            x = system.step(x, z)  # (1a)
        if t >= burn_in:
            yield x, z


def simulate(
    system: System,
    x0: Tensor,
    steps: int,
    *,
    burn_in: int = 0,
    inputs: Tensor | None = None,
    observe: str | Callable[[Tensor], Tensor] = "state",
    progress: bool = False,
    gradients: bool | None = None,
) -> Tensor:
    """Iterate equation (1) and return what is observed after the burn-in.

    What is dropped is never stored: memory is that of the ``steps`` kept, whatever the burn-in.
    Interrupted from the keyboard, it warns and returns the steps kept so far.

    Args:
        system: the system, with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``, which is not part of what is returned.
        steps: how many steps to keep.
        burn_in: how many steps to run and drop before.
        inputs: shape ``(burn_in + steps, *batch, n_z)``; without it the held input is used.
        observe: "state", "output" (equation (1b)), or a function of the state.
        progress: whether to show a progress bar.
        gradients: as in `trajectory`: by default only if the system's parameters, ``x0`` or
            ``inputs`` require a gradient.

    Returns:
        Shape ``(steps, *batch, n)`` with ``n`` the dimension of what is observed. NaN and infinite
        values are returned as they are.

    Raises:
        ValueError: as `trajectory`, and an unknown ``observe``.
        TypeError: as `trajectory`.

    Example:
        >>> import torch, rnnlib
        >>> x0 = torch.tensor([0.3]).double()
        >>> orbit = rnnlib.simulate(rnnlib.logistic(3.2), x0, steps=4, burn_in=1000)
        >>> orbit[:, 0]  # a cycle of two
        tensor([0.5130, 0.7995, 0.5130, 0.7995], dtype=torch.float64)
    """
    kept = None
    if gradients is None:
        gradients = system.asks_for_gradients(x0, inputs)
    states = trajectory(
        system,
        x0,
        steps,
        burn_in=burn_in,
        inputs=inputs,
        progress=progress,
        gradients=gradients,
    )
    done = 0
    try:
        for x, z in states:
            with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
                seen = _observed(system, x, z, observe)
                if kept is None:
                    kept = stack_into(steps, seen)
                kept[done] = seen
            done += 1
    except KeyboardInterrupt:
        if done == 0:
            raise
        warnings.warn(f"interrupted: {done} of {steps} steps are returned.", stacklevel=2)
    assert kept is not None  # there is at least one step
    return kept if done == steps else kept[:done]


def orbit_diagram(
    family: Callable[[Tensor], System],
    values: Tensor,
    x0: Tensor,
    steps: int,
    *,
    burn_in: int = 0,
    observe: str | Callable[[Tensor], Tensor] = "output",
    start: str = "fresh",
    progress: bool = False,
) -> OrbitDiagram:
    """Show the steady state as a function of any parameter.

    Args:
        family: from values of the parameter to the system there: ``logistic``, or
            ``lambda s: network.at(scaled(theta, s))``, or ``lambda u: network.hold(u[..., None])``.
            It is called with a tensor of shape ``(S, 1, ..., 1)``, one axis of length 1 for each
            batch axis of ``x0``, and returns a system with these batch axes.
        values: shape ``(S,)``.
        x0: the initial state, shape ``(*starts, n_x)``.
        steps: how many steps to keep at each value.
        burn_in: how many to drop before.
        observe: as in `simulate`.
        start: "fresh" starts every value at ``x0`` and computes all of them at once, so coexisting
            attractors can be found by giving several starts. "continued" starts each value where
            the one before it ended, so the diagram follows one branch, with short transients.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an unknown ``start``, values not of shape ``(S,)``, a negative burn-in, a
            family whose system has no axis for the values.

    Example:
        >>> import torch, rnnlib
        >>> r, x0 = torch.tensor([2.5, 3.2, 3.5]).double(), torch.tensor([0.3]).double()
        >>> found = rnnlib.orbit_diagram(rnnlib.logistic, r, x0, steps=8, burn_in=2000)
        >>> [len(found.orbit[:, k].round(decimals=3).unique()) for k in range(3)]  # it doubles
        [1, 2, 4]
    """
    if start not in ("fresh", "continued"):
        raise ValueError(f"start is {start!r}; use 'fresh' or 'continued'.")
    if values.dim() != 1 or len(values) == 0:
        raise ValueError(f"values has shape {tuple(values.shape)}; it must be (S,) with S >= 1.")
    check_steps(steps, burn_in)
    starts = x0.dim() - 1
    column = values.reshape(-1, *[1] * starts)
    if start == "fresh":
        states, system = x0.expand(len(values), *x0.shape), family(column)
        _check_family(family, column, system, states)
        orbit = simulate(system, states, steps, burn_in=burn_in, observe=observe, progress=progress)
        return OrbitDiagram(values, orbit, start)

    branches = []
    state = x0.unsqueeze(0)
    for i in tqdm(range(len(values)), desc="orbit diagram", disable=not progress):
        system = family(column[i : i + 1])
        rows, before = [], state
        for state, z in trajectory(system, before, steps, burn_in=burn_in):
            rows.append(_observed(system, state, z, observe))
        branches.append(torch.stack(rows))
    return OrbitDiagram(values, torch.cat(branches, dim=1), start)


@torch.no_grad()
def _check_family(family, column: Tensor, system: System, states: Tensor) -> None:
    """Raise a ValueError if a family pairs its values with something else than states.

    A system whose parameters and input span the values' axes is taken at its word. For any other
    (a function that closes over the values) one step must be that of the first and of the last
    value alone.
    """
    expected = torch.Size([len(column), *[1] * (column.dim() - 1)])
    if system.batch_shape == expected:
        return
    remedy = (
        f"family is called with values of shape {tuple(column.shape)} and must return a system "
        f"with these batch axes; add axes for what is no batch, as in "
        f"lambda u: network.hold(u[..., None] * direction)."
    )
    try:
        together = system.step(system.initial_state(states))
        for i in (0, len(column) - 1):
            one = family(column[i : i + 1])
            alone = one.step(one.initial_state(states[i : i + 1]))
            tolerance = 1e3 * torch.finfo(alone.dtype).eps
            torch.testing.assert_close(
                together[i : i + 1], alone, rtol=tolerance, atol=tolerance, equal_nan=True
            )
    except (ValueError, RuntimeError, AssertionError) as error:
        raise ValueError(
            f"{remedy} Its batch axes are {tuple(system.batch_shape)}, and it does not do for all "
            f"values together what it does for each alone."
        ) from error


def _observed(
    system: System, x: Tensor, z: Tensor | None, observe: str | Callable[[Tensor], Tensor]
) -> Tensor:
    if observe == "state":
        return x
    if observe == "output":
        return system.read(x, z)  # (1b)
    if not isinstance(observe, str):
        return observe(x)
    raise ValueError(f"observe is {observe!r}; use 'state', 'output' or a function of the state.")


def check_steps(steps: int, burn_in: int) -> None:
    """Raise a ValueError for a negative burn-in or for fewer than one step."""
    if burn_in < 0:
        raise ValueError(f"burn_in is {burn_in}; it must be 0 or more.")
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be 1 or more.")

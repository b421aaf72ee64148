"""How the cost looks along a line through the present weights: smooth, rough, or a wall."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rnnlib.diagnosis.answers import CUT, SETTLED, Answer
from rnnlib.diagnosis.budget import Budget
from rnnlib.diagnosis.subject import Subject
from rnnlib.systems import System

QUESTION = "How does the cost look along the last gradient?"
FEW, MANY = 11, 41  # points of each line, odd numbers: the middle is where the weights are
FAR, NEAR = 1e-1, 1e-3  # half-lengths of the lines, relative to the size of the weights
TRIED = 10  # steps that are timed to see how many there is time for
JUMP = 10.0  # times the median difference of neighbours: the cost has a step there
Loss = Callable[[Tensor, Tensor], Tensor]


def outputs(system: System, inputs: Tensor | None, x0: Tensor, steps: int) -> Tensor:
    """Return the outputs ``(steps, *batch, n_y)``, with a graph if the parameters have one."""
    x, found = system.initial_state(x0), []
    for t in range(steps):
        z = system.z if inputs is None else inputs[t]
        x = system.f(x, z, system.theta)  # (1a)
        found.append(system.g(x, z, system.theta))  # (1b)
    return torch.stack(found)


def mean_squared(y: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, the loss where none is given."""
    return (y - targets).square().mean()


def shape_of(values: np.ndarray) -> tuple[int, float]:
    """Return how many local minima a sampled line has, and its largest step over the median one.

    Minima shallower than the rounding of the values do not count.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < 3:
        return 0, np.inf
    rise = np.diff(finite)
    rounding = 1e-12 * np.abs(finite).max()
    signs = np.sign(rise[np.abs(rise) > rounding])
    minima = int(((signs[:-1] < 0) & (signs[1:] > 0)).sum())
    median = float(np.median(np.abs(rise)))
    largest = float(np.abs(rise).max())
    return minima, largest / median if median > 0 else (np.inf if largest > 0 else 0.0)


def direction_of(subject: Subject, theta: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the gradients that training has left in the user's layer, by parameter, if any."""
    if subject.layer is None:
        return None
    grads = {name: p.grad for name, p in subject.layer.named_parameters() if p.grad is not None}
    found = {name: g.to(theta[name]) for name, g in grads.items() if name in theta}
    return found if any(g.abs().max() > 0 for g in found.values()) else None


def ask(
    subject: Subject, budget: Budget, targets: Tensor | None = None, loss: Loss = mean_squared
) -> Answer:
    """Answer along the gradient that training left, else along that of the loss, else of scale.

    Without targets the cost is the mean squared difference to the network's present outputs, and
    the line scales all weights, as in section 4.1: then the middle is a minimum with cost 0.

    Evidence: ``far`` and ``near``, each with ``at`` (relative distance along the line) and
    ``cost``; ``value``, ``slope`` and ``curvature`` in the middle, per unit of relative distance;
    ``minima`` and ``jump`` of either line, see `shape_of`; ``along``.
    """
    system, data = subject.system, subject.inputs
    theta = {k: p for k, p in system.theta.items() if p.is_floating_point()}
    if not theta:
        return Answer("cost", QUESTION, ("The system has no parameters to move along.",))
    full = 200 if data is None else len(data)
    origin, started, steps = subject.start, budget.clock(), min(full, TRIED)
    with torch.no_grad():
        outputs(system, data, origin, steps)
    a_step = max(budget.clock() - started, 1e-9) / steps
    # Each point is a run forward, and each of three gradients costs some four of them. With too
    # little time the lines get fewer points, and then, unless the loss is the user's own, which may
    # look at the last step alone, fewer steps.
    runs = budget.share / (a_step * full) - 12
    points = int(min(MANY, max(FEW, runs / 2))) // 2 * 2 + 1
    points = min(points, MANY)
    steps = full
    if targets is None:
        steps = int(min(full, max(2, budget.share / (a_step * (2 * points + 12)))))
    used = None if data is None else data[:steps]
    with torch.no_grad():
        present = outputs(system, used, origin, steps)
    if targets is None:
        aim, line, along = present, dict(theta), "all weights scaled together"
    else:
        aim = targets[:steps].to(present) if targets.is_floating_point() else targets[:steps]
        line, along = direction_of(subject, theta), "the last gradient of training"
        if line is None:
            line, along = None, "the gradient of the cost"

    def cost(at: Mapping[str, Tensor]) -> Tensor:
        return loss(outputs(system.at(at), used, origin, steps), aim)

    def gradient(at: Mapping[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
        with torch.enable_grad():
            leaves = {k: p.detach().clone().requires_grad_() for k, p in at.items()}
            moved = replace(system, theta={**system.theta, **leaves})
            value = loss(outputs(moved, used, origin, steps), aim)
            grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        filled = [
            torch.zeros_like(p) if g is None else g for p, g in zip(at.values(), grads, strict=True)
        ]
        return float(value.detach()), dict(zip(at, filled, strict=True))

    value, grads = gradient(theta)
    if line is None:
        line = grads
    size = torch.stack([p.square().sum() for p in theta.values()]).sum().sqrt()
    length = torch.stack([d.square().sum() for d in line.values()]).sum().sqrt()
    if length == 0:
        words = ("The gradient is zero: no direction to look along.",)
        return Answer("cost", QUESTION, words, {"value": value, "slope": 0.0})
    unit = {k: d * (size / length) for k, d in line.items()}

    def moved(by: float) -> dict[str, Tensor]:
        return {k: p + by * unit[k] if k in unit else p for k, p in theta.items()}

    slope = float(sum((grads[k] * d).sum() for k, d in unit.items()))
    h = 1e-5
    ahead, behind = gradient(moved(h))[1], gradient(moved(-h))[1]
    curvature = float(sum(((ahead[k] - behind[k]) * d).sum() for k, d in unit.items())) / (2 * h)
    evidence = {"value": value, "slope": slope, "curvature": curvature, "along": along}
    with torch.no_grad(), suppress(KeyboardInterrupt):
        for name, half in (("far", FAR), ("near", NEAR)):
            at = np.linspace(-half, half, points)
            values = np.array([float(cost(moved(by))) for by in at])
            minima, jump = shape_of(values)
            evidence[name] = {"at": at, "cost": values, "minima": minima, "jump": jump}
    words = [
        f"Along {along}, the cost is {value:.3g} with slope {slope:.3g} and curvature "
        f"{curvature:.3g}, per relative change of the weights."
    ]
    if "near" not in evidence:
        return Answer("cost", QUESTION, tuple(words), evidence, CUT)
    far, near = evidence["far"], evidence["near"]
    if near["minima"] > 1:
        words.append(
            f"It is rough: {near['minima']} local minima within {NEAR:.1%} of the weights' size."
        )
    elif near["jump"] > JUMP * max(1.0, far["jump"] / JUMP) or near["jump"] > 100 * JUMP:
        words.append(f"There is a wall within {NEAR:.1%}: one step of the line holds most of it.")
    elif far["minima"] > 1:
        words.append(
            f"It is smooth within {NEAR:.1%}, and has {far['minima']} local minima within "
            f"{FAR:.0%}."
        )
    else:
        words.append(f"It is smooth: no more than one minimum within {FAR:.0%}.")
    state = SETTLED if steps == full else CUT
    if state == CUT:
        words.append(f"There was time for the first {steps} of {full} steps.")
    return Answer("cost", QUESTION, tuple(words), evidence, state)

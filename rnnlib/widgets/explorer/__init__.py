"""The explorer: slide s, and orbit diagram, phase portrait, cost and exponent move at once."""

from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor

from rnnlib.dynamics import orbit_diagram, simulate
from rnnlib.smoothness import cost_over, mean_squared_error
from rnnlib.systems import THETA_TRUE, X0, line, theta_random
from rnnlib.widgets.panels import module, sheet

HERE = Path(__file__).parent
BURN_IN, STEPS = 100, 100  # of the cost, as in dynamics.js


class ChaosExplorer(anywidget.AnyWidget):
    """Shows the two-unit LSTM at ``theta(s, s2) = s theta + s2 direction``, live or on a page.

    Python sends the weights; the browser iterates the map, (S17) and (S18), and draws. So a page
    needs no kernel, and where there is one, every trait is synced both ways.

    Args:
        theta: the weights at s = 1, which also make the data, shape ``(8, 2)``.
        direction: the second axis of the cost surface, shape ``(8, 2)``.
        traits: the initial values of ``s``, the factor of ``theta``; ``s2``, the factor of
            ``direction``; ``mode``, "line" (figure 1, s2 = 0) or "plane" (supplementary figure 1);
            ``x0``, the state (h1, h2, c1, c2) in which all orbits but the data's start;
            ``s_range`` and ``s2_range``, the ends of the sliders.

    Raises:
        traitlets.TraitError: weights or a state of another shape, or not finite.

    Reference:
        Ribeiro et al. (2020), figure 1 and supplementary figure 1.
    """

    _esm = module(HERE / "dynamics.js", HERE / "explorer.js")
    _css = sheet(HERE / "explorer.css")
    # Its data-lm-suppress-shortcuts: in JupyterLab, keys on a control are the control's own.
    _html = traitlets.Unicode((HERE / "explorer.html").read_text(encoding="utf-8")).tag(sync=True)

    theta = traitlets.Any().tag(sync=True)
    direction = traitlets.Any().tag(sync=True)
    x0 = traitlets.Any().tag(sync=True)
    s = traitlets.Float(1.0).tag(sync=True)
    s2 = traitlets.Float(0.0).tag(sync=True)
    mode = traitlets.Enum(["line", "plane"], "line").tag(sync=True)
    s_range = traitlets.List(traitlets.Float(), [0.5, 2.0], minlen=2, maxlen=2).tag(sync=True)
    s2_range = traitlets.List(traitlets.Float(), [-0.5, 0.5], minlen=2, maxlen=2).tag(sync=True)
    axes = traitlets.Dict().tag(sync=True)

    def __init__(self, theta: Tensor = THETA_TRUE, direction: Tensor | None = None, **traits: Any):
        direction = theta_random() if direction is None else direction
        super().__init__(**{"theta": theta, "direction": direction, "x0": X0, **traits})

    @traitlets.validate("theta", "direction", "x0")
    def _flat(self, proposal) -> list[float]:
        """Return the array as the list of floats that is sent, row by row."""
        name, size = proposal.trait.name, 4 if proposal.trait.name == "x0" else 16
        try:
            values = torch.as_tensor(proposal.value, dtype=torch.float64).flatten()
        except (TypeError, ValueError, RuntimeError) as error:
            raise traitlets.TraitError(
                f"{name} is {proposal.value!r:.80}, no array of numbers; give {size} of them."
            ) from error
        if len(values) != size or not values.isfinite().all():
            raise traitlets.TraitError(
                f"{name} is {proposal.value!r:.80}; it must be {size} finite numbers, such as "
                f"{'X0' if size == 4 else 'THETA_TRUE'} of rnnlib.systems.chaotic_lstm."
            )
        return values.tolist()

    @traitlets.validate("s", "s2")
    def _finite(self, proposal) -> float:
        if not abs(proposal.value) < 1e6:
            raise traitlets.TraitError(
                f"{proposal.trait.name} is {proposal.value}; it must be a finite number under 1e6."
            )
        return proposal.value

    @traitlets.observe("theta", "s_range")
    def _measure_axes(self, _) -> None:
        """Fix the ranges of all axes from a coarse sweep, so that they stand still in a drag."""
        if not self.theta:
            return  # s_range came first
        family = line(torch.tensor(self.theta, dtype=torch.float64).reshape(8, 2))
        low, high = self.s_range
        s = torch.linspace(low, high, 61, dtype=torch.float64)
        targets = simulate(family(torch.ones(())), X0, STEPS, burn_in=BURN_IN, observe="output")
        costs = cost_over(
            family, s, x0=X0, targets=targets, burn_in=BURN_IN, loss=mean_squared_error
        )
        h = torch.cat([X0[:2].expand(1, 61, 2), orbit_diagram(family, s, X0, 200, burn_in=0).orbit])
        self.axes = {
            "h1": _padded(h[..., 0]),
            "h2": _padded(h[..., 1]),
            "late": _padded(h[100:, :, 0]),
            "cost": 1.08 * costs.max().item(),
        }


def _padded(values: Tensor) -> list[float]:
    low, high = values.min().item(), values.max().item()
    return [low - 0.06 * (high - low), high + 0.06 * (high - low)]

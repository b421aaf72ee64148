"""What a system settles into: fixed point, cycle, quasi-periodic orbit, chaos or no end at all."""

import math
import warnings

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics.kinds import SteadyState
from rnnlib.dynamics.limits import (
    Limits,
    find_limits,
    nothing_found,
    recurrences,
    root_distance,
)
from rnnlib.dynamics.members import Members
from rnnlib.dynamics.orbits import check_steps
from rnnlib.dynamics.rules import SteadyStateRules
from rnnlib.dynamics.watch import BLOCKS, Trend, Watched, trend, watch
from rnnlib.systems import System


@torch.no_grad()
def steady_state(
    system: System,
    x0: Tensor,
    *,
    burn_in: int = 2000,
    steps: int = 2000,
    budget: int = 130_000,
    max_period: int = 64,
    tolerance: float = 1e-6,
    bound: float = math.inf,
    rules: SteadyStateRules = SteadyStateRules(),  # noqa: B008 (frozen)
    progress: bool = False,
) -> SteadyState:
    """Say where each orbit of a batch ends, and how far that is shown.

    After the burn-in an orbit is watched for stretches of ``steps``, twice, four times as many
    steps and so on, until one of the words of `SteadyState` is shown or the budget is spent:

    1. Newton's method starts at the end of the orbit, on f and on f^p for the p that recurs best.
       A root that attracts the end, and every state tried between the two, is where the orbit
       goes: a fixed point or a cycle of its least period, with the exponent ``ln |eigenvalue| / p``
       of its Jacobian. An orbit at rest within rounding is on one whatever its stability. Beyond
       `rnnlib.dynamics.spectra.WHOLE` components (1200) such orbits are all that is told here.
    2. What is not finite, or beyond ``bound``, is unbounded.
    3. Where the halves of a stretch, and two stretches, look alike, tangent vectors are carried
       too. A positive exponent is chaos. Smooth averages that agree between the halves, with no
       exponent to be seen, are quasi-periodic motion. A recurrence after more than ``max_period``
       steps is a cycle, which says so in ``reason``.
    4. At the end of the budget, steps that still shorten are "still settling", an extent that
       grew steadily all the time is "unbounded", and what is left is undetermined. Each says why.

    Args:
        system: an autonomous system (or one with its input held), with batch axes or without.
        x0: the initial state, shape ``(*batch, n_x)``. Use float64.
        burn_in: how many steps to drop.
        steps: the length of the first stretch; at least three times ``max_period`` is used.
        budget: how many steps in all, at most; one stretch is always watched.
        max_period: the longest period that is looked for by root finding.
        tolerance: an orbit has arrived at a point or cycle that attracts it when this part of its
            way from the initial state is left.
        bound: a state with a larger component has left.
        rules: the numbers that decide.
        progress: whether to show a progress bar. An interrupt (Ctrl-C) ends the search in any
            case, and what is known by then is returned with a warning.

    Raises:
        ValueError: a negative burn-in, a ``max_period`` under 1, fewer than one step; a step that
            does not treat the orbits of a batch one by one.

    Reference:
        The weighted averages are those of S. Das, Y. Saiki, E. Sander, J. A. Yorke, "Quantitative
        quasiperiodicity", Nonlinearity 30 (2017).

    Example:
        >>> import torch, rnnlib
        >>> sweep = rnnlib.logistic(torch.tensor([2.5, 3.2]).double())
        >>> rnnlib.steady_state(sweep, torch.full((2, 1), 0.3).double()).kind.tolist()
        ['fixed point', 'periodic']
    """
    if max_period < 1:
        raise ValueError(f"max_period is {max_period}; it must be 1 or more.")
    check_steps(steps, burn_in)
    x = system.initial_state(x0)
    members = Members(system, x.shape[:-1])
    members.check(x)
    search = _Search(members, x.reshape(-1, x.shape[-1]), max_period, tolerance, bound, rules)
    total = max(budget, burn_in + steps)
    with tqdm(total=total, desc="steady state", unit="step", disable=not progress) as bar:
        try:
            for _ in range(burn_in):
                x = system.step(x)  # (1a)
                bar.update()
            search.x = x.reshape(-1, x.shape[-1])
            search.steps = burn_in
            first = length = max(steps, 3 * max_period, BLOCKS)
            while len(search.index):
                left = budget - search.steps - length
                following = min(2 * length, left)
                search.follow(length, following < max(first, length / 4), bar)
                bar.set_postfix_str(f"{len(search.index)} of {len(search.kind)} open")
                length = following
        except KeyboardInterrupt:
            reason = f"interrupted after {search.steps} steps"
            warnings.warn(f"steady_state was {reason}; what is known is returned.", stacklevel=3)
            search.close(reason)
    return search.result()


class _Search:
    """The orbits of a batch: what has been said, and what those still open have shown."""

    def __init__(self, members: Members, x: Tensor, max_period, tolerance, bound, rules):
        count = len(x)
        self.members, self.max_period, self.rules = members, max_period, rules
        self.tolerance, self.bound, self.start = tolerance, bound, x
        self.kind, self.stability, self.reason = (np.full(count, "", dtype=object) for _ in "123")
        self.period = torch.zeros(count, dtype=torch.int64, device=x.device)
        self.settled = torch.zeros(count, dtype=torch.bool, device=x.device)
        self.residual, self.exponent, self.error = (x.new_full((count,), torch.nan) for _ in "123")
        self.end = x.clone()
        # of the orbits still open:
        self.index, self.x, self.tangent = torch.arange(count, device=x.device), x, None
        self.past: list[Trend] = []
        self.lengths: list[int] = []  # of the stretches
        self.steps = 0

    def follow(self, length: int, last: bool, bar: tqdm) -> None:
        """Watch the open orbits for so many steps, and say what can be said."""
        system = self.members.pick(self.index)
        self.seen = watch(system, self.x, self.tangent, length, 2 * self.max_period, bar)
        self.steps += length
        self.lengths.append(length)
        self.x, self.tangent = self.seen.tail[-1], self.seen.tangent
        self.end[self.index] = self.x
        within = (self.seen.tail.abs() <= self.bound) & torch.isfinite(self.seen.tail)
        self._say(~within.all(0).all(-1), "unbounded")
        self._say_limits()
        if len(self.index):
            self.past.append(trend(self.seen))
            self._measure()
            self._say_long_cycles()
        if len(self.index):
            self._say_irregular()
        if len(self.index) and last:
            self._say_unsettled()
        wanted = len(self.index) > 0 and bool((self._alike() & ~self._slows()).any())
        if not wanted:
            self.tangent = None
        elif self.tangent is None:
            generator = torch.Generator().manual_seed(1)
            vector = torch.randn(
                self.x.shape[-1], generator=generator, dtype=torch.float64, device="cpu"
            )
            self.tangent = (vector / vector.norm()).to(self.x).expand_as(self.x)

    def close(self, reason: str) -> None:
        """Leave all that is open undetermined."""
        there = self.index.cpu().numpy()
        self.kind[there], self.reason[there] = "undetermined", reason
        self.index = self.index[:0]

    def result(self) -> SteadyState:
        """Return what has been said, in the shape of the batch."""
        shape = self.members.shape
        words = (w.astype(str).reshape(shape) for w in (self.kind, self.stability, self.reason))
        kind, stability, reason = words
        return SteadyState(
            kind=kind,
            period=self.period.reshape(shape),
            stability=stability,
            residual=self.residual.reshape(shape),
            exponent=self.exponent.reshape(shape),
            exponent_error=self.error.reshape(shape),
            settled=self.settled.reshape(shape),
            reason=reason,
            end=self.end.reshape(*shape, -1),
        )

    def _say(
        self,
        which: Tensor,
        kind: str | np.ndarray,
        *,
        settled: bool | Tensor = True,
        reason: str | list[str] | np.ndarray = "",
        stability: str | np.ndarray = "",
    ) -> None:
        """Say a word for some of the open orbits, or one for each, and keep the others open."""
        there = self.index[which].cpu().numpy()
        self.kind[there], self.reason[there], self.stability[there] = kind, reason, stability
        self.settled[self.index[which]] = settled
        left = ~which
        self.index, self.x = self.index[left], self.x[left]
        self.tangent = None if self.tangent is None else self.tangent[left]
        self.past = [Trend._make(field[left] for field in past) for past in self.past]
        parts = (p if p is None else p[:, left] for p in self.seen[:-1])
        self.seen = Watched._make((*parts, self.tangent))

    def _measure(self) -> None:
        """Store what was measured of the open orbits."""
        gaps, size = recurrences(self.seen.tail, self.max_period), self.seen.tail.abs()
        size = size.amax((0, -1))
        self.residual[self.index] = torch.where(size > 0, gaps.amin(0) / size, 0.0)
        self.exponent[self.index] = self.past[-1].exponent
        self.error[self.index] = self.past[-1].error

    def _say_limits(self) -> None:
        """Say which orbits are on a fixed point or cycle or tend to one."""
        found, index = nothing_found(self.seen.tail[-1]), self.index
        try:
            find_limits(
                self.members, index, self.seen.tail, self.start[index].abs().amax(-1),
                max_period=self.max_period, rules=self.rules, found=found,
            )  # fmt: skip
        finally:  # also what was found before an interrupt
            self._say_found(found, index)

    def _say_found(self, found: Limits, index: Tensor) -> None:
        """Say what was found of some of the orbits."""
        which = found.period > 0
        if not which.any():
            return
        found = type(found)(*(field[which] for field in found))
        index = index[which]
        way = (self.start[index] - found.point).abs().amax(-1)
        arrived = found.arrived | (found.distance <= self.tolerance * way)
        gaps = recurrences(self.seen.tail[:, which], self.max_period)
        size = self.seen.tail[:, which].abs().amax((0, -1))
        gap = gaps.gather(0, found.period[None] - 1)[0]
        self.residual[index] = torch.where(size > 0, gap / size, 0.0)
        self.period[index], self.end[index] = found.period, found.point
        self.exponent[index], self.error[index] = found.modulus.log() / found.period, 0.0
        stability = self._stability(self.exponent[index])
        kind = np.where((found.period == 1).cpu().numpy(), "fixed point", "periodic")
        rest = -1 / found.modulus.log()
        reason = [
            "" if there else
            f"it tends there: {float(d):.1e} away, shrinking e-fold in {float(n * p):.3g} steps"
            for there, d, n, p in zip(arrived, found.distance, rest, found.period, strict=True)
        ]  # fmt: skip
        self._say(which, kind, settled=arrived, reason=reason, stability=stability)

    def _stability(self, exponent: Tensor) -> np.ndarray:
        """Return the word for the exponent of a fixed point or cycle; none if it is NaN."""
        value = exponent.cpu().numpy()
        word = np.where(value > 0, "unstable", "stable").astype(object)
        word[np.abs(value) <= self.rules.neutral] = "neutral"
        word[np.isnan(value)] = ""
        return word

    def _say_long_cycles(self) -> None:
        """Say which orbits recur within rounding after more than ``max_period`` steps."""
        if self.seen.stretch is None:
            return
        seen, stretch, half = self.seen.seen, self.seen.stretch, len(self.seen.seen) // 2
        size = self.seen.tail.abs().amax((0, -1))
        after = torch.arange(1, half + 1, device=seen.device)[:, None]  # steps before the end
        # errors of rounding add up along a cycle
        rounding = self.rules.rest * torch.finfo(seen.dtype).eps * size
        rounding = rounding * (after / self.max_period).clamp(min=1)
        gap = (seen[-half - 1 : -1].flip(0) - seen[-1]).abs().amax(-1)
        near = gap <= rounding
        which = torch.zeros_like(self.index, dtype=torch.bool)
        for i in near.any(0).nonzero()[:, 0].tolist():
            p = 1 + int(near[:, i].int().argmax())
            off = float((seen[-p:, i] - seen[-2 * p : -p, i]).abs().max())
            if p <= self.max_period or off > 2 * float(rounding[p - 1, i]):
                continue
            which[i], k = True, self.index[i]
            turns = stretch[-(len(stretch) // p) * p :, i].reshape(-1, p).mean(-1)
            self.exponent[k], self.error[k] = turns[-1], (turns[-1] - turns[-2]).abs()
            self.period[k], self.residual[k] = p, off / float(size[i])
        stability = self._stability(self.exponent[self.index[which]])
        reason = f"longer than max_period={self.max_period}"
        self._say(which, "periodic", reason=reason, stability=stability)

    def _alike(self) -> Tensor:
        """Tell which orbits look the same over the halves of the last stretch, and before it."""
        most, now = math.log(1 + self.rules.stationary), self.past[-1]
        changes = [now.spread, now.slowing, now.overlap]
        if len(self.past) > 1:
            changes.append(now.extent / self.past[-2].extent)
        return torch.stack([change.log().abs() <= most for change in changes]).all(0)

    def _slows(self) -> Tensor:
        """Tell which orbits' steps shorten all along the last stretch, and noticeably."""
        now = self.past[-1]
        return now.falling & (now.slowing < 1 - self.rules.regular)

    def _say_irregular(self) -> None:
        """Say which orbits are chaotic and which quasi-periodic."""
        if self.seen.stretch is None:
            return
        rules, now, length = self.rules, self.past[-1], len(self.seen.seen)
        grown = now.exponent * length
        clear = now.exponent > rules.sigmas * now.error
        clear &= now.halves > rules.halves * now.exponent
        chaotic = self._alike() & clear & (grown > rules.nats)
        extent = (self.seen.tail.amax(0) - self.seen.tail.amin(0)).amax(-1)
        regular = (now.drift <= rules.regular) & (now.unsteady <= rules.regular)
        quasi = regular & (grown.abs() <= rules.flat)
        # Every p-th state creeps along the curve, and has 1 / p of it to go to the next of the p.
        crept = recurrences(self.seen.tail, self.max_period).amin(0) * length
        quasi &= crept >= rules.turns * math.pi * extent
        kind = np.where(chaotic.cpu().numpy(), "chaotic", "quasi-periodic")
        which = chaotic | quasi
        self._say(which, kind[which.cpu().numpy()])

    def _say_unsettled(self) -> None:
        """At the end of the budget, say what the open orbits still do."""
        rules, now = self.rules, self.past[-1]
        extents = torch.stack([past.extent for past in self.past])
        speeds = extents / torch.tensor(self.lengths).to(extents)[:, None]
        faster = speeds[1:] / speeds[:-1]
        straight = torch.zeros_like(self.index, dtype=torch.bool)
        if len(self.past) > rules.doublings:
            last, before = now.shift, self.past[-2].shift
            cosine = torch.nn.functional.cosine_similarity(last, before, dim=-1, eps=0)
            straight = (cosine > rules.straight) & ((faster - 1).abs() < rules.even).all(0)
            if straight.any():
                some = straight.nonzero()[:, 0]
                ahead = root_distance(self.members, self.index[some], self.x[some], rules)
                straight[some] = ahead > rules.ahead * now.extent[some]
        blown = extents[-1] > rules.growth * extents[0]
        blown &= extents[-1] > rules.growing * extents[-2:][0]
        grows = f"its extent grew by a factor of {{:.2g}} over {self.steps} steps and still grows"
        which = straight | blown
        factors = (extents[-1] / extents[0])[which].tolist()
        self._say(which, "unbounded", settled=False, reason=[grows.format(f) for f in factors])
        if len(self.index) == 0:
            return

        now, slows, kinds, reasons = self.past[-1], self._slows(), [], []
        for i in range(len(self.index)):
            one = Trend._make((*(float(f[i]) for f in now[:-1]), None))
            kind, reason = self._excuse(one, bool(slows[i]))
            kinds.append(kind)
            reasons.append(reason)
        every = torch.ones_like(self.index, dtype=torch.bool)
        self._say(every, np.array(kinds), settled=False, reason=np.array(reasons, dtype=object))

    def _excuse(self, now: Trend, slows: bool) -> tuple[str, str]:
        """Return what is said of one open orbit at the end, and why."""
        rules, spent = self.rules, f"after {self.steps} steps"
        if slows and now.spread < 1 + rules.regular:
            part = f"{100 * (1 - now.slowing):.2g} %"
            return "still settling", f"{spent} its steps shorten by {part} from half to half"
        if max(now.spread, 1 / now.overlap) > 1 + rules.stationary:
            return "undetermined", f"{spent} the extent of its motion still grows"
        if now.drift > rules.regular or now.unsteady > rules.regular:
            what = max(now.drift, now.unsteady)
            return "undetermined", f"{spent} averages over two halves still differ by {what:.1g}"
        if math.isnan(now.exponent):
            return "undetermined", f"{spent} it had settled too late to tell how"
        return "undetermined", (
            f"{spent} it neither recurs within {self.max_period} steps nor goes round, and its "
            f"exponent is {now.exponent:.1e} +- {now.error:.0e}"
        )

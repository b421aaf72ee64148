"""The numbers that decide between two words of `steady_state`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SteadyStateRules:
    """The numbers that decide between two words. None of them depends on the state's scale.

    Attributes:
        neutral: a multiplier's modulus this near to 1 decides nothing about stability.
        rest: differences up to this many spacings of floating-point numbers, at the size of the
            state, count as rounding.
        newton: how many iterations of Newton's method may be spent on a root.
        hopeless: a search for a root is given up once three iterations have left more than this
            part of the first residual.
        sharp: relative error of a root at which it is not one any more.
        parts: the parts of the way from a root to the end of an orbit at which states are tried:
            an orbit tends to a root that attracts them all.
        trial: how many steps are made from each of these states.
        pull: the part of the shrinking that the multipliers foretell which those steps must show.
        regular: how well, relative to the extent of the motion and to the length of its steps,
            smooth averages over the two halves of a stretch must agree for "quasi-periodic".
            Steps that shorten by more, all along a stretch, are "still settling" at the end.
        turns: how often the orbit must have gone round for "quasi-periodic". Where it nearly recurs
            after p steps, how often it must have filled the gaps between the p states.
        flat: how far, at most, a small distance may have grown or shrunk over a stretch for
            "quasi-periodic", as a logarithm.
        stationary: by which factor at most, less 1, the extent and the length of the steps may
            differ between two halves, and the extent between two stretches, for "chaotic".
        sigmas: how many standard errors the exponent must lie above 0 for "chaotic".
        halves: the part of the exponent that each half of the stretch must show for "chaotic".
        nats: how far, at least, a small distance must have grown over a stretch for "chaotic", as
            a logarithm.
        growth: factor by which the extent of the motion must have grown for "unbounded" by
            exponential growth: more than any escape from an unstable fixed point that rounding can
            tell from the point itself.
        growing: factor by which it must have grown in the last stretch alone: it still grows.
        doublings: how many times in a row twice the time must have brought twice the distance,
            straight on and with no fixed point ahead, for "unbounded" by a drift.
        even: how much, relatively, the speeds of two stretches may differ in such a drift.
        straight: the least cosine between its directions in the last two stretches.
        ahead: how far away a fixed point may not lie, in extents of the last stretch.
    """

    neutral: float = 1e-7
    rest: float = 64
    newton: int = 20
    hopeless: float = 0.5
    sharp: float = 1e-6
    parts: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
    trial: int = 512
    pull: float = 0.1
    regular: float = 1e-3
    turns: float = 3
    flat: float = 3
    stationary: float = 0.25
    sigmas: float = 3
    halves: float = 0.3
    nats: float = 12
    growth: float = 1e17
    growing: float = 1.5
    doublings: int = 5
    even: float = 0.2
    straight: float = 0.999
    ahead: float = 1e6

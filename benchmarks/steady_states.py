"""How often `rnnlib.steady_state` says the wrong word, counted over systems with known answers.

Rows are what is true, columns what was said. A word that is not right is wrong, but for "still
settling" and "undetermined", which claim nothing and are counted by themselves.

Run it: python -m benchmarks.steady_states
"""

import time
from collections import Counter
from typing import NamedTuple

from tqdm import tqdm

import rnnlib
from benchmarks.known_steady_states import SETTLING, UNKNOWN, Family, families

COLUMNS = (
    "fixed point", "unstable fixed point", "neutral fixed point", "periodic", "quasi-periodic",
    "chaotic", "unbounded", "still settling", "undetermined",
)  # fmt: skip


class Count(NamedTuple):
    """What was said of one orbit.

    Attributes:
        family: its family.
        orbit: its number in the family.
        right: the right words, joined by "or".
        said: the word.
        verdict: "right", "open" (nothing was claimed) or "WRONG".
        reason: given with the word.
    """

    family: Family
    orbit: int
    right: str
    said: str
    verdict: str
    reason: str


def count(family: Family, **options) -> list[Count]:
    """Run a family and compare every word."""
    found = rnnlib.steady_state(family.system, family.x0, **options)
    counts = []
    for i, words in enumerate(family.words):
        said = found.describe((i,)).split(",")[0]
        verdict = "right" if said in words else "open" if said in (SETTLING, UNKNOWN) else "WRONG"
        reason = str(found.reason[i])
        counts.append(Count(family, i, " or ".join(words), said, verdict, reason))
    return counts


def kind(word: str) -> str:
    """Return the column of a word."""
    return "periodic" if "period " in word else word


def table(counts: list[Count]) -> str:
    """Return the confusion table, the counts by group, and every word that was wrong."""
    rows = Counter((kind(c.right.split(" or ")[0]), kind(c.said)) for c in counts)
    width = 1 + max(map(len, COLUMNS))
    heads = [word.replace("fixed point", "f.p.") for word in COLUMNS]
    lines = ["true \\ said".ljust(width) + "".join(h.rjust(max(len(h) + 2, 7)) for h in heads)]
    for true in COLUMNS[:-1]:
        if any(r == true for r, _ in rows):
            cells = ((str(rows[true, s]) if rows[true, s] else ".") for s in COLUMNS)
            lines.append(
                true.ljust(width)
                + "".join(c.rjust(max(len(h) + 2, 7)) for c, h in zip(cells, heads, strict=True))
            )
    lines.append("")
    for group in dict.fromkeys(c.family.group for c in counts):
        verdicts = Counter(c.verdict for c in counts if c.family.group == group)
        lines.append(
            f"{group.ljust(width)}{sum(verdicts.values()):5} systems"
            + "".join(f"{verdicts[v]:5} {v}" for v in ("right", "open", "WRONG"))
        )
    verdicts = Counter(c.verdict for c in counts)
    share = 100 * verdicts["open"] / len(counts)
    lines += [
        "",
        f"{len(counts)} systems: {verdicts['WRONG']} wrong words (goal: 0), "
        f"{verdicts['open']} open, {share:.1f} % (goal: at most 10 %)",
    ]
    lines += [
        f"  {c.verdict}  {c.family.group}: {c.family.name}, number {c.orbit}: {c.said} "
        f"(true: {c.right}) {c.reason}"
        for c in counts
        if c.verdict != "right"
    ]
    return "\n".join(lines)


def main() -> None:
    """Count and print."""
    started, counts = time.monotonic(), []
    for family in tqdm(families(), desc="steady states", unit="family"):
        counts += count(family)
    print("\nWords of steady_state on systems with known answers")
    print(table(counts), f"\n{time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()

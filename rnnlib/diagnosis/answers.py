"""What a report says to one question: words, the evidence for them, and what they cost."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

SETTLED, UNSETTLED, CUT, FAILED = "settled", "not settled", "cut short", "failed"


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        key: its name in `Report.answers` and in the JSON.
        question: as a user would ask it.
        words: plain sentences, each built from the evidence.
        evidence: numbers and arrays by name, each said in the docstring of its question.
        state: "settled"; "not settled", where an analysis ended before what it looks for had
            settled; "cut short", where the time ran out; "failed", where it raised.
        seconds: what it cost.
    """

    key: str
    question: str
    words: tuple[str, ...]
    evidence: dict[str, Any] = field(default_factory=dict)
    state: str = SETTLED
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; infinite numbers and NaN become strings."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


def plain(value: Any) -> Any:
    """Return a value as JSON has it: lists, numbers, strings, and null."""
    if isinstance(value, torch.Tensor):
        value = torch.view_as_real(value) if value.is_complex() else value
        value = value.detach().cpu().tolist()
    elif isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)  # JSON has no NaN and no infinity
    return value


def steps_in_words(steps: float) -> str:
    """Return a number of steps as people say it: "3 steps", "about 250 steps", "for ever"."""
    if not np.isfinite(steps):
        return "for ever"
    if steps < 10:
        return f"{steps:.1f} steps"
    digits = max(0, int(np.floor(np.log10(steps))) - 1)
    return f"about {round(steps / 10**digits) * 10**digits:,} steps"

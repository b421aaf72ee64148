"""Point it at your own network: what it does with your data, in plain words with the evidence."""

import json
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from tqdm.auto import tqdm

from rnnlib.diagnosis import (
    agreement,
    approach,
    attractors,
    contraction,
    cost_line,
    exponents,
    gain,
    influence,
    points,
    regimes,
)
from rnnlib.diagnosis.answers import CUT, FAILED, Answer
from rnnlib.diagnosis.budget import Budget, OutOfTime
from rnnlib.diagnosis.page import fragment, page
from rnnlib.diagnosis.subject import Subject, subject_of
from rnnlib.files import write_text
from rnnlib.systems import System

if TYPE_CHECKING:  # a report needs no figure until one is asked for
    from matplotlib.figure import Figure

# In the order in which they are asked; the number is the share of the time. Attractors come last:
# each one found is examined by itself, and what that takes is not known before.
QUESTIONS: dict[str, tuple[Callable[..., Answer], str, float]] = {
    "regimes": (regimes.ask, regimes.QUESTION, 3.0),
    "approach": (approach.ask, approach.QUESTION, 1.0),
    "points": (points.ask, points.QUESTION, 3.0),
    "exponents": (exponents.ask, exponents.QUESTION, 2.0),
    "contraction": (contraction.ask, contraction.QUESTION, 2.0),
    "influence": (influence.ask, influence.QUESTION, 1.0),
    "cost": (cost_line.ask, cost_line.QUESTION, 2.0),
    "gain": (gain.ask, gain.QUESTION, 1.0),
    "attractors": (attractors.ask, attractors.QUESTION, 2.0),
}


@dataclass(frozen=True)
class Report:
    """What was found about a network, question by question.

    It shows itself: ``print(report)`` in a terminal, as the last line of a notebook cell, and
    `save` as one page.

    Attributes:
        title: names the network.
        answers: by key, see `Answer`.
        disagreements: where two analyses contradict each other, each a line to be read first.
        notes: what was done to the network and the data before.
        seconds: what all of it cost.
        interrupted: whether it was stopped before the last question.
        subject: the network and its data as they were analysed.

    Example:
        >>> import torch, rnnlib
        >>> network, inputs = torch.nn.GRU(2, 4), torch.zeros(30, 1, 2)
        >>> found = rnnlib.report(network, inputs, questions=["influence"], progress=False)
        >>> page = found.save("report.html")
        >>> list(found.to_dict()["answers"]), found.interrupted
        (['influence'], False)
    """

    title: str
    answers: dict[str, Answer]
    disagreements: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    interrupted: bool
    subject: Subject

    @property
    def footer(self) -> str:
        """What all of it cost, and whether all was asked."""
        text = f"{len(self.answers)} questions in {self.seconds:.1f} s."
        return text + (" Stopped before the end." if self.interrupted else "")

    def __str__(self) -> str:
        lines = [self.title, "=" * len(self.title)]
        lines += [f"!! {line}" for line in self.disagreements]
        lines += [f"({note})" for note in self.notes]
        for answer in self.answers.values():
            state = "" if answer.state == "settled" else f"  [{answer.state}]"
            lines += ["", f"{answer.question}{state}", *(f"  {w}" for w in answer.words)]
        return "\n".join([*lines, "", self.footer])

    def _repr_html_(self) -> str:
        return fragment(self, self._svg())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the network and its data as plain values, for JSON."""
        return {
            "title": self.title,
            "answers": {key: answer.to_dict() for key, answer in self.answers.items()},
            "disagreements": list(self.disagreements),
            "notes": list(self.notes),
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def save(self, path: Path | str) -> Path:
        """Write the report as one HTML page that asks no other host for anything.

        Returns:
            The path.
        """
        write_text(Path(path), page(self, self._svg()))
        return Path(path)

    def figure(self) -> "Figure":
        """Return one `matplotlib.figure.Figure` of panels, for a paper."""
        # Loaded when a figure is wanted. A notebook shows figures from pyplot's first one on.
        import matplotlib.pyplot as plt

        from rnnlib.diagnosis.figure import draw

        plt.close(plt.figure())
        return draw(self)

    def _svg(self) -> str | None:
        from rnnlib.diagnosis.figure import svg

        return svg(self) if self.answers else None


def report(
    model: nn.Module | System | Callable,
    inputs: Tensor | np.ndarray | None = None,
    *,
    head: nn.Module | None = None,
    targets: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    n_x: int | None = None,
    x0: Tensor | None = None,
    budget: float = 60.0,
    questions: list[str] | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Report:
    """Say what a recurrent network does with your data, and why it may forget or not train.

    It asks what the network settles into while an input is held, which fixed and slow points it
    has, how many attractors lie among the states that your data reach, how fast neighbouring
    states part or meet, what of its contraction is proved, how far back its output depends on its
    input, how its cost looks, and how all that changes with the size of the input. What has not
    settled is called so; where two analyses contradict each other it says so first.

    Args:
        model: a recurrent `torch.nn` module, a module that holds one and a head, a `System`, or a
            function that makes one step (then give ``n_x``). It is left as it is.
        inputs: your own sequences, shape ``(time, sequences, features)`` or ``(time, features)``;
            with the first two axes swapped where the module is ``batch_first``. None for a system
            that reads nothing.
        head: the read-out, where the model has none of its own.
        targets: what the outputs are to be, ``(time, sequences, ...)``, for the cost; without
            them the cost is the distance to the network's own outputs.
        loss: ``loss(outputs, targets)``, a scalar; the mean squared error by default.
        n_x: the dimension of the state, for a function.
        x0: the state to begin with, shape ``(n_x,)``; zero by default.
        budget: seconds; kept to within a fifth. A question that is cut short says so.
        questions: which of `QUESTIONS` to ask; all by default.
        name: what to call the network.
        progress: whether to show a bar with the time left.

    Returns:
        The report. An interrupt (Ctrl-C) ends it early and keeps what is done.

    Raises:
        TypeError, ValueError: a model or data that cannot be taken, with what would work.

    Example:
        >>> import torch, rnnlib
        >>> network, inputs = torch.nn.GRU(2, 4), torch.zeros(30, 1, 2)
        >>> found = rnnlib.report(network, inputs, questions=["influence"], progress=False)
        >>> found.title, found.answers["influence"].question
        ('Report on GRU, 4 state components', 'How far back does the output depend on the input?')
    """
    asked = list(QUESTIONS) if questions is None else list(questions)
    for key in asked:
        if key not in QUESTIONS:
            raise ValueError(f"questions has {key!r}; there are {', '.join(QUESTIONS)}.")
    clock = Budget(budget, {key: QUESTIONS[key][2] for key in asked})
    subject = subject_of(model, inputs, head=head, n_x=n_x, x0=x0, budget=clock)
    watched = replace(subject, system=clock.watched(subject.system))
    answers: dict[str, Answer] = {}
    bar = tqdm(asked, desc="report", disable=not progress, unit="question", file=sys.stderr)
    try:
        with clock.told_of_interrupts():
            for key in bar:
                bar.set_postfix_str(f"{key}, at most {max(clock.left, 0):.0f} s left")
                answers[key] = _ask(key, watched, clock, targets, loss)
                if clock.stopped:
                    break
    except KeyboardInterrupt:
        clock.stopped = True
    finally:
        bar.close()
    title = f"Report on {name or subject.system.name}, {subject.system.n_x} state components"
    return Report(
        title=title,
        answers=answers,
        disagreements=tuple(agreement.contradictions(answers)),
        notes=subject.notes,
        seconds=clock.spent,
        interrupted=clock.stopped,
        subject=subject,
    )


def _ask(key, subject, clock, targets, loss) -> Answer:
    function, question, _ = QUESTIONS[key]
    if clock.over:
        words = (f"There was no time left of {clock.seconds:g} s; raise the budget.",)
        return Answer(key, question, words, state=CUT)
    clock.begin(key)
    more = {}
    if key == "cost" and targets is not None:
        more = {"targets": targets} | ({} if loss is None else {"loss": loss})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*interrupted")  # the answer says it itself
            answer = function(subject, clock, **more)
    except OutOfTime:
        if clock.stopped:
            raise
        answer = Answer(key, question, ("Its share of the time was too short to say anything.",))
    except Exception as error:  # one question that fails must not take the others with it
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        words = (f"This could not be answered: {type(error).__name__} at {where}: {error}",)
        answer = Answer(key, question, words, state=FAILED)
    if clock.stopped:
        words = (*answer.words, "Stopped by hand: this is what was known by then.")
        answer = replace(answer, words=words, state=CUT)
    elif clock.cut and answer.state != FAILED:
        line = (
            f"Cut short after {clock.steps:,} calls of the step: its share of the time was "
            f"{clock.share:.3g} s."
        )
        answer = replace(answer, words=(*answer.words, line), state=CUT)
    return replace(answer, seconds=clock.clock() - clock.asked)

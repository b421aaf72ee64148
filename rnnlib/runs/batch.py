"""What a batch has to do: the runs that a file declares, those that are missing, what they cost.

Costs are estimated from stored runs of the same kind: seconds an epoch, and epochs until the end.
"""

import itertools
import json
import statistics
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rnnlib.files import FileError
from rnnlib.runs import store
from rnnlib.runs.experiments import Experiment, configure, training_settings

SWEPT = ("model", "length", "seed", "layer_precision")
NEEDED = {"shows", "experiment", "preset"}
LEAST = 120.0  # seconds of a run on its way, to estimate from
ALLOWED = {*NEEDED, *SWEPT, "settings", "chapter", "extension"}


class BatchError(ValueError):
    """A file of experiments that does not say what to run."""


@dataclass(frozen=True)
class Target:
    """A figure or table and the runs that it is drawn from.

    Attributes:
        name: what it is asked for by.
        shows: what it is, in a line.
        configs: the settings of its runs.
        chapter: which chapter draws it, if one does.
        extension: whether it stands beside the paper.
    """

    name: str
    shows: str
    configs: tuple[Experiment, ...]
    chapter: str | None = None
    extension: bool = False


class Cost(NamedTuple):
    """An estimate: seconds an epoch (None where nothing is known), epochs in all, its source."""

    epoch: float | None
    epochs: int
    source: str

    def left(self, done: int) -> float | None:
        """Return how many seconds are left after so many epochs."""
        return None if self.epoch is None else self.epoch * max(self.epochs - done, 1)


class Planned(NamedTuple):
    """A run that is missing: its settings, folder, epochs that are done, and cost."""

    config: Experiment
    folder: Path
    done: int
    cost: Cost

    @property
    def seconds(self) -> float | None:
        """How many seconds are left, estimated."""
        return self.cost.left(self.done)


def read_targets(path: Path | str) -> dict[str, Target]:
    """Read a file of experiments.

    Raises:
        BatchError: it cannot be read, or a part of it says what there is not.
    """
    try:
        parts = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BatchError(f"{path} cannot be read as TOML ({error}).") from error
    return {name: _target(path, name, part) for name, part in parts.items()}


def _target(path, name: str, part) -> Target:
    where = f"{path}, [{name}]"
    if not isinstance(part, dict) or not part.keys() >= NEEDED:
        raise BatchError(f"{where} needs {', '.join(sorted(NEEDED))}.")
    if unknown := part.keys() - ALLOWED:
        raise BatchError(
            f"{where} has {', '.join(sorted(unknown))}; it may have {', '.join(sorted(ALLOWED))}."
        )
    swept = {key: part[key] for key in SWEPT if key in part}
    for key, values in swept.items():
        if not isinstance(values, list) or not values:
            raise BatchError(f"{where}: {key} is {values!r}; it must be a list, not empty.")
    try:
        configs = tuple(
            configure(
                part["experiment"],
                part["preset"],
                **dict(zip(swept, values, strict=True)),
                **part.get("settings", {}),
            )
            for values in itertools.product(*swept.values())
        )
    except (ValueError, TypeError) as error:
        raise BatchError(f"{where}: {error}") from error
    return Target(
        name, part["shows"], configs, part.get("chapter"), bool(part.get("extension", False))
    )


def plan(root: Path | str, configs: Iterable[Experiment], gpu: bool = False) -> list[Planned]:
    """Return the runs that are missing in a store, the cheapest first.

    Args:
        root: the store.
        configs: what should be there; one that is asked for twice counts once.
        gpu: estimate from runs on a GPU, else from those on a processor.
    """
    known = [*_measured(root, gpu)]
    missing = []
    for config in dict.fromkeys(configs):
        folder = store.folder_of(root, config)
        if not store.is_done(folder):
            cost = estimate(config, known)
            missing.append(Planned(config, folder, epochs_done(folder), cost))
    return sorted(missing, key=lambda p: (p.seconds is None, p.seconds or 0.0))


def epochs_done(folder: Path) -> int:
    """Return how many epochs a run that can go on here has in its history; else 0."""
    if not any((folder / name).exists() for name in ("checkpoint.pt", "checkpoint.earlier.pt")):
        return 0  # nothing, or a part whose checkpoint is elsewhere
    try:
        return max((folder / "history.csv").read_bytes().count(b"\n") - 1, 0)
    except OSError:
        return 0


class Measured(NamedTuple):
    """A stored run: its settings, epochs, seconds, and whether it has ended."""

    config: Experiment
    epochs: int
    seconds: float
    ended: bool


def _measured(root: Path | str, gpu: bool) -> Iterable[Measured]:
    for folder, config in store.entries(root):
        try:
            facts = store.parse_json(folder, "provenance.json")
            epochs = len(store.read_history(folder))
        except FileError:
            continue
        devices = [part["device"] for part in facts["parts"]]
        on_gpu = any("NVIDIA" in name or "Instinct" in name for name in devices)
        seconds, ended = facts["seconds"], store.is_done(folder)
        # Older ones on their way kept no seconds, and the first epochs of any are slow
        if epochs and on_gpu == gpu and (seconds >= LEAST or (ended and seconds > 0)):
            yield Measured(config, epochs, seconds, ended)


def estimate(config: Experiment, known: Sequence[Measured]) -> Cost:
    """Return what a run costs, from stored ones of the same kind or else of a kind near by.

    Args:
        config: its settings.
        known: the stored runs.
    """
    kind = training_settings(config)
    same = [run for run in known if training_settings(run.config) == kind]
    ended = [run.epochs for run in same if run.ended]
    epochs = round(statistics.median(ended)) if ended else config.epochs
    bound = "" if ended else ", at most"
    if same:
        epoch = statistics.median(run.seconds / run.epochs for run in same)
        return Cost(epoch, epochs, f"{len(same)} of this kind{bound}")
    sizes = ("n_hidden", "batch_size", "corpus", "window", "n_sequences")
    near = [
        run
        for run in known
        if run.config.name == config.name
        and all(getattr(run.config, s, None) == getattr(config, s, None) for s in sizes)
    ]
    if own := [run for run in near if run.config.model == config.model]:
        near, what = own, "of this model"
    else:
        what = "of other models"
    if not near:
        return Cost(None, epochs, "nothing of this kind is stored")
    length = getattr(config, "length", 1)
    steps = min({getattr(run.config, "length", 1) for run in near}, key=lambda n: abs(n - length))
    near = [run for run in near if getattr(run.config, "length", 1) == steps]
    epoch = statistics.median(run.seconds / run.epochs for run in near) * length / steps
    scaled = f", scaled from length {steps}" if steps != length else ""
    return Cost(epoch, epochs, f"{len(near)} {what}{scaled}{bound}")


def command_of(config: Experiment) -> list[str]:
    """Return the options of ``python -m rnnlib`` that give these settings, whatever the preset."""
    options = ["run", config.name]
    for name, value in config.to_dict().items():
        if name != "experiment":
            values = value if isinstance(value, list | tuple) else [value]
            options += ["--" + name.replace("_", "-"), *map(str, values)]
    return options


def id_of(config: Experiment) -> str:
    """Return what a run is called in a batch."""
    return f"{config.name}-{config.model}-{config.hash}"


def short_command(config: Experiment) -> str:
    """Return the line that repeats a run, with the settings that differ from the nearest preset."""
    choices = [
        (preset, config.changes(preset))
        for preset in type(config).PRESETS
        if preset != "quick" or config.hash == configure(config.name, "quick").hash
    ]
    preset, changes = min(choices, key=lambda choice: len(choice[1]))
    changes = {"model": config.model, "seed": config.seed} | changes
    options = [f"--preset {preset}"] if preset != "text" else []
    for name, value in changes.items():
        text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        options.append(f"--{name.replace('_', '-')} {text}".rstrip())
    return f"python -m rnnlib run {config.name} " + " ".join(options)


def as_json(planned: Sequence[Planned], commands: Sequence[Sequence[str]], gpus: int) -> str:
    """Return the plan as the engine reads it."""
    runs = [
        {
            "id": id_of(p.config),
            "what": str(p.config),
            "command": list(command),
            "seconds": p.seconds,
        }
        for p, command in zip(planned, commands, strict=True)
    ]
    return json.dumps({"runs": runs, "gpus": gpus}, indent=2)

"""The dynamics of a run of sine generation, written beside its results.

    dynamics.csv   one line per snapshot: fixed point, exponents, amplitude, frequency
    crossings.csv  where the fixed point's pair of multipliers crosses the unit circle

Both come from the run's snapshots of its weights, and serve once these are gone.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm.auto import tqdm

from rnnlib.dynamics import Crossing, find_crossing, segment
from rnnlib.files import FileError, digest_of, load_checkpoint, save_checkpoint, write_text
from rnnlib.runs import store
from rnnlib.runs.experiments import DECAY, configure
from rnnlib.runs.training_dynamics import COLUMNS, dynamics_along
from rnnlib.systems import System
from rnnlib.training import LABELS, MODELS, Samples, SequenceModel, epochs_in

WRITE_EVERY = 20  # snapshots
RESULTS = ("dynamics.csv", "crossings.csv")
FOUND = "fixed_points.pt"  # what was found by epoch, with the digest of the snapshot it is of
RESTS = 0.02  # an output that moves by less is at rest, also one that has not quite settled
CROSSING = ("before", "after", "at", "angle", "resonance", "coefficient", "amplitude")


def analyse_sine(folder: Path | str, every: int = 1, progress: bool = False) -> pd.DataFrame:
    """Write ``dynamics.csv`` and ``crossings.csv`` of a run from its snapshots.

    What is there is kept if it was made of these very snapshots, so it can be called while a run
    is on its way and again later, or be cut short. Where there are no snapshots any more the stored
    table is returned.

    Args:
        folder: of the run.
        every: take each so many-th snapshot.
        progress: whether to show a progress bar.

    Returns:
        The contents of ``dynamics.csv``, see `read_dynamics`.

    Raises:
        ValueError: the run is of another experiment.
        FileError: neither snapshots nor ``dynamics.csv``.
    """
    folder = Path(folder)
    config = store.read_config(folder)
    if config.name != "sine":
        raise ValueError(f"folder {folder} holds a run of {config.name}; it must be one of sine.")
    if store.is_done(folder):
        store.check(folder, RESULTS)
    epochs = snapshots(folder)[::every]
    if not epochs:
        return read_dynamics(folder)
    z, burn_in = observed_input(folder), config.record_burn_in
    found = _so_far(folder)
    todo = [epoch for epoch in epochs if epoch not in found]
    with tqdm(total=len(todo), desc=str(config), disable=not progress, unit="snapshot") as bar:
        for first in range(0, len(todo), WRITE_EVERY):
            part = todo[first : first + WRITE_EVERY]
            before = max((epoch for epoch in found if epoch < part[0]), default=None)
            start = None if before is None else found[before]["point"]
            networks = [read_snapshot(folder, epoch) for epoch in part]
            new = dynamics_along(networks, z, start, burn_in=burn_in)
            for epoch, row, point in zip(part, new.table.to_numpy(), new.points, strict=True):
                digest = digest_of(_snapshot(folder, epoch))
                found[epoch] = {"row": row.tolist(), "point": point, "snapshot": digest}
            save_checkpoint(folder / "snapshots" / FOUND, found)
            if not store.is_done(folder):
                write_text(folder / "dynamics.csv", _table(found).to_csv(index=False))
            bar.update(len(part))
    table = _table(found)
    texts = {
        "dynamics.csv": table.to_csv(index=False),
        "crossings.csv": _crossings(folder, table, found, z).to_csv(index=False),
    }
    if store.is_done(folder):
        store.seal(folder, texts)
    else:
        for name, text in texts.items():
            write_text(folder / name, text)
    return table


def _table(found: dict[int, dict]) -> pd.DataFrame:
    rows = [[epoch, *found[epoch]["row"]] for epoch in sorted(found)]
    return pd.DataFrame(rows, columns=["epoch", *COLUMNS])


def sine_runs_at_paper_size(root: Path | str) -> dict[str, list[Path]]:
    """Return the finished runs of sine generation at the paper's size, by model and schedule.

    Args:
        root: the store.

    Returns:
        Folders by a label such as "LSTM, rate decays", ordered by seed.

    Raises:
        FileError: a result that was altered after its run ended.
    """
    found = {}
    for model in MODELS:
        for schedule, decay in (("constant rate", ()), ("rate decays", DECAY)):
            wanted = configure("sine", "full", model=model, decay_epochs=decay)
            if folders := store.find_alike(root, wanted):
                found[f"{LABELS[model]}, {schedule}"] = folders
    for folders in found.values():
        for folder in folders:
            store.check(folder)
    return found


def coexistence(samples: Samples) -> np.ndarray:
    """Return whether some initial states rest while others oscillate, shape ``(E,)``.

    Args:
        samples: the recorded steady states, of which the first input is looked at.
    """
    moving = np.ptp(samples.orbits[:, :, 0, :, 0], axis=1) > RESTS
    return moving.any(1) & ~moving.all(1)


def observed_input(folder: Path | str) -> Tensor:
    """Return the input at which a run is analysed, shape ``(n_z,)``: the first that it keeps."""
    config = store.read_config(Path(folder))
    return config.constant_inputs()[config.kept()[0][0]].double()


def snapshots(folder: Path | str) -> list[int]:
    """Return the epochs of which a run holds a snapshot, in order."""
    return list(epochs_in(Path(folder) / "snapshots", ".pt"))


def read_snapshot(folder: Path | str, epoch: int) -> System:
    """Return a run's network as it was after an epoch, float64.

    Raises:
        FileError: there is no snapshot of that epoch, or it is damaged.
    """
    network = store.read_config(Path(folder)).network()
    assert isinstance(network, SequenceModel)  # language models have no snapshots
    network.load_state_dict(load_checkpoint(_snapshot(folder, epoch)))
    return network.system()


def _snapshot(folder: Path | str, epoch: int) -> Path:
    return Path(folder) / "snapshots" / f"epoch_{epoch:05}.pt"


def read_dynamics(folder: Path | str) -> pd.DataFrame:
    """Return ``dynamics.csv``: ``epoch`` and `rnnlib.runs.training_dynamics.COLUMNS`.

    Raises:
        FileError: it is missing or damaged.
    """
    return _read_csv(Path(folder), "dynamics.csv", ("epoch", *COLUMNS))


def read_crossings(folder: Path | str) -> pd.DataFrame:
    """Return ``crossings.csv``, one row per crossing of the unit circle by a complex pair.

    Between the snapshots ``before`` and ``after`` the weights are joined by a straight line; the
    pair crosses at the share ``at`` of it, with an ``angle`` in radians per step. For the other
    columns see `rnnlib.dynamics.Crossing`.

    Raises:
        FileError: it is missing or damaged.
    """
    return _read_csv(Path(folder), "crossings.csv", CROSSING)


def crossing_between(folder: Path | str, before: int, after: int) -> Crossing | None:
    """Return where the pair crosses between two analysed snapshots of a run that has them still.

    Raises:
        FileError: a snapshot is missing, or `analyse_sine` has not seen it.
    """
    folder = Path(folder)
    found = _so_far(folder)
    if before not in found:
        raise FileError(f"{folder} has no fixed point of epoch {before}; call analyse first.")
    return _crossing(folder, before, after, found[before]["point"], observed_input(folder))


def _crossing(folder, before, after, point, z) -> Crossing | None:
    ends = (read_snapshot(folder, epoch).hold(z) for epoch in (before, after))
    return find_crossing(segment(*ends), point)


def _crossings(folder, table, found, z) -> pd.DataFrame:
    rows = []
    growth = table["modulus"].to_numpy() - 1  # NaN where no fixed point was found
    for i in np.flatnonzero(growth[1:] * growth[:-1] < 0):
        before, after = (int(epoch) for epoch in table["epoch"][i : i + 2])
        if crossing := _crossing(folder, before, after, found[before]["point"], z):
            rows.append([before, after, *(getattr(crossing, name) for name in CROSSING[2:])])
    return pd.DataFrame(rows, columns=CROSSING)


def _so_far(folder: Path) -> dict[int, dict]:
    """Return what an earlier call has found by epoch, of snapshots that are still the same."""
    path = folder / "snapshots" / FOUND
    if not path.exists():
        return {}
    found = load_checkpoint(path, remedy="Remove it; analyse makes it again.")
    return {
        epoch: entry
        for epoch, entry in found.items()
        if isinstance(entry, dict)  # older versions kept no digest of the snapshot
        and _snapshot(folder, epoch).exists()
        and entry["snapshot"] == digest_of(_snapshot(folder, epoch))
    }


def _read_csv(folder: Path, name: str, columns) -> pd.DataFrame:
    remedy = "Where the run's snapshots are, `python -m rnnlib analyse` makes it again."
    if store.is_done(folder) and name not in store.read_mark(folder)["sha256"]:
        raise FileError(
            f"{folder / name} was not made of the finished run, or not to its end. {remedy}"
        )
    data = store.content(folder, name)
    try:
        table = pd.read_csv(io.BytesIO(data))
        if list(table) != list(columns):
            raise ValueError(f"its columns are {', '.join(table)}")
        if not data.endswith(b"\n"):
            raise ValueError("its last line is cut")
    except ValueError as error:
        raise FileError(f"{folder / name} cannot be read ({error}). {remedy}") from error
    return table

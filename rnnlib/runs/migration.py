"""Bring a store of results to the names of today: ``python -m rnnlib.runs.migration results``.

The orthogonal RNN that was stored as ``ornn`` moved its base every 100 steps. The paper's does not,
and has that name now; the one with the moving base is ``ornn-rebased``. Old runs are told by their
``config.json``, which lacks the settings that came with the change. What is written: the model in
``config.json`` (and in a checkpoint), a note in ``provenance.json``, the checksums of these two in
``done.json``, and the folder's place. Numbers, orbits and weights stay as they are.

Then the weights that finished runs have stored are measured on fresh data where that had not been
done when they ended, and the numbers are added to ``done.json``.
"""

import argparse
from pathlib import Path

from rnnlib.files import json_text, load_checkpoint, read_json, save_checkpoint, write_text
from rnnlib.runs import store
from rnnlib.runs.experiments import from_dict, moved_its_base
from rnnlib.training import subnormals

REBASED = (
    "The base of this orthogonal RNN was moved every 100 optimizer steps. The run was stored under "
    "the model name 'ornn', which is now that of the network with a static base."
)


def migrate(root: Path | str) -> list[Path]:
    """Rename the runs of re-based orthogonal RNNs in a store. It can be stopped and run again.

    Args:
        root: the store.

    Returns:
        Where the runs are now, those that were renamed.

    Raises:
        FileError: a result that was altered after its run ended; nothing of it is changed.
    """
    moved = []
    for path in sorted(Path(root).glob("*/ornn/*/config.json")):
        values = read_json(path)
        begun = values["model"] == "ornn-rebased"  # a migration that was stopped half way
        if moved_its_base(values) or begun:
            moved.append(_rename(Path(root), path.parent, values, begun))
    return moved


def _rename(root: Path, folder: Path, values: dict, begun: bool) -> Path:
    if store.is_done(folder) and not begun:
        store.check(folder)
    values = values | {"model": "ornn-rebased"}
    target = store.folder_of(root, from_dict(values))
    if target.exists():
        raise FileExistsError(f"{target} exists; it is of the same settings as {folder}.")
    note = read_json(folder / "provenance.json") | {"note": REBASED}
    texts = {"config.json": json_text(values), "provenance.json": json_text(note)}
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        save_checkpoint(checkpoint, load_checkpoint(checkpoint) | {"config": values})
    if store.is_done(folder):
        store.seal(folder, texts, look=not begun)
    else:
        for name, text in texts.items():
            write_text(folder / name, text)
    target.parent.mkdir(parents=True, exist_ok=True)
    return folder.rename(target)


def measure_stored(root: Path | str) -> list[Path]:
    """Add what their stored weights do on fresh data to the markers of runs from before that.

    Args:
        root: the store.

    Returns:
        The folders of the runs that were measured: finished ones that keep their weights.

    Raises:
        FileError: a result that was altered after its run ended.
    """
    measured = []
    for name in ("sine", "classification"):
        for folder in store.find(root, name):
            mark = store.read_mark(folder)
            if "stored" in mark or not (folder / "network.pt").exists():
                continue
            task, network = store.read_config(folder).task(), store.read_network(folder)
            with subnormals.flushed():
                found = task.test(network)
            store.amend(folder, {"best": mark["best"] | found, "stored": "best"})
            measured.append(folder)
    return measured


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", help="the store, for example results")
    store_root = parser.parse_args().root
    for new_place in migrate(store_root):
        print("renamed:", new_place)
    for folder in measure_stored(store_root):
        print("measured:", folder)

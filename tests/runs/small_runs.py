"""Runs of a second for the tests of the store, and processes that run or kill them."""

import os
import subprocess
import sys
from pathlib import Path

from rnnlib.runs import runner, store
from rnnlib.runs.experiments import configure

HOME = Path(__file__).parents[2]


def tiny(experiment="sine", **changes):
    sizes = {"n_hidden": 6, "epochs": 4, "decay_epochs": (), "learning_rate": 1e-2}
    sizes |= {"record_every": 2, "record_burn_in": 5, "record_steps": 9}
    data = {"n_sequences": 4, "length": 12, "batch_size": 2}
    if experiment == "classification":
        data = {"n_train": 20, "n_valid": 20, "batch_size": 10}
    return configure(experiment, "quick", **(sizes | data | changes))


def run(config, root, **options):
    (folder,) = runner.run(config, root, progress=False, **options)
    return folder


def options_of(config):
    """Return a configuration as options of the command line."""
    given = {k: v for k, v in config.to_dict().items() if k not in ("experiment", "decay_epochs")}
    text = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    return ["run", config.name, "--preset", "quick", "--quiet", *text, "--decay-epochs"]


def process(arguments, before="", **variables):
    """Start the command line in a process of its own, after some lines of Python."""
    code = f"import sys\n{before}\nfrom rnnlib.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(HOME)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files_of(folder):
    """Return what the results of a run hold, but for when and how fast they were made."""
    names = ("config.json", "history.csv", "orbits.npz", "network.pt")
    return {name: (folder / name).read_bytes() for name in names}


def unfinished(folder):
    """Make a finished run one on its way."""
    mark = store.read_mark(folder)
    (folder / "done.json").unlink()
    for name in ("orbits.npz", "network.pt"):
        (folder / name).unlink(missing_ok=True)
    return mark

"""The report from the command line: ``python -m rnnlib report model.pt --inputs x.npy``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rnnlib.diagnosis import QUESTIONS, load_inputs, load_network, report


def add_to(commands: Any) -> None:
    """Add the command."""
    one = commands.add_parser(
        "report",
        help="say what a network of yours does with your data",
        description="Look at a trained network and at sequences that it reads, print what was "
        "found, and write it as one HTML page beside the file. The file is a state dict "
        "(torch.save(model.state_dict(), path)), safetensors, an archive of torch.export or "
        "TorchScript, or ONNX; a pickled module is refused.",
        allow_abbrev=False,
    )
    one.add_argument("model", type=Path, help="the file of weights")
    one.add_argument(
        "--inputs", type=Path, required=True, metavar="FILE",
        help="sequences (time, sequences, features): .npy, .npz or a saved tensor",
    )  # fmt: skip
    one.add_argument("--prefix", metavar="NAME", help="beginning of the layer's parameter names")
    one.add_argument("--head", metavar="NAME", help="beginning of the read-out's parameter names")
    one.add_argument(
        "--nonlinearity", choices=("tanh", "relu"), default="tanh",
        help="of an Elman network (default: tanh)",
    )  # fmt: skip
    one.add_argument(
        "--batch-first", action="store_true", help="inputs are (sequences, time, features)"
    )
    one.add_argument(
        "--budget", type=float, default=60.0, metavar="X", help="seconds (default: 60)"
    )
    one.add_argument(
        "--question", dest="questions", nargs="+", choices=list(QUESTIONS), metavar="X",
        help=f"ask these alone, out of {', '.join(QUESTIONS)}",
    )  # fmt: skip
    one.add_argument("--output", type=Path, metavar="FILE", help="the page (default: MODEL.html)")
    one.add_argument("--json", action="store_true", help="print numbers for a machine, no page")
    one.add_argument("--quiet", action="store_true", help="show no progress")
    one.set_defaults(act=act, parser=one)


def act(options: argparse.Namespace) -> int:
    """Make the report that the options ask for, and print it; return the exit status.

    Raises:
        ValueError, FileError: what cannot be taken, with what would work.
    """
    network, head = load_network(
        options.model,
        prefix=options.prefix,
        head=options.head,
        nonlinearity=options.nonlinearity,
        batch_first=options.batch_first,
    )
    try:
        found = report(
            network,
            load_inputs(options.inputs),
            head=head,
            budget=options.budget,
            questions=options.questions,
            name=options.model.name,
            progress=not options.quiet,
        )
    except TypeError as error:  # of the data: at the command line one kind of complaint serves
        raise ValueError(str(error)) from error
    if options.json:
        print(found.to_json())
    else:
        print(found)
        page = found.save(options.output or options.model.with_suffix(".html"))
        print(f"The page: {page}", file=sys.stderr)
    return 130 if found.interrupted else 0

"""Where the numbers of a run come from: commit, packages, device."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "scipy", "numba")


def provenance(device: torch.device, from_epoch: int, data: dict[str, str]) -> dict[str, Any]:
    """Return where the numbers of one part of a run come from.

    Args:
        device: what it runs on.
        from_epoch: the epochs done before.
        data: sha256 of the data files, by name.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        **commit(),
        "from_epoch": from_epoch,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": versions,
        "cuda": torch.version.cuda,
        "data": data,
    }


def commit() -> dict[str, Any]:
    """Return the commit of the package's checkout, and whether the package differs from it.

    A repository that the package merely lies in, as in a virtual environment inside somebody's
    thesis, is not its checkout: git must know the package's files. Where there is no checkout the
    environment variables RNNLIB_COMMIT and RNNLIB_DIRTY serve.
    """
    home = Path(__file__).parents[1]

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", home, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", str(home))),
        }
    except (OSError, subprocess.CalledProcessError):
        dirty = os.environ.get("RNNLIB_DIRTY")
        return {
            "commit": os.environ.get("RNNLIB_COMMIT") or None,
            "dirty": None if dirty is None else dirty not in ("", "0"),
        }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

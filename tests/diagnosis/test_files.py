"""Networks from files: the same network comes back, and nothing that a file brings is run."""

import io
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from rnnlib.diagnosis import load_inputs, load_network
from rnnlib.files import FileError


class Model(nn.Module):
    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.rnn = kind(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, z):
        return self.head(self.rnn(z)[0])


Z = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


def same(path, model, **options):
    layer, head = load_network(path, head="head", **options)
    torch.testing.assert_close(head(layer(Z)[0]), model(Z))


@pytest.fixture(params=[nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def model(request):
    torch.manual_seed(0)
    return Model(request.param).eval()


def test_a_state_dict_gives_the_layer_and_its_head(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "model.pt")
    same(tmp_path / "model.pt", model)


def test_a_checkpoint_that_holds_a_state_dict_does_too(model, tmp_path):
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "model.pt")
    same(tmp_path / "model.pt", model)


def test_a_torchscript_archive_does_too(model, tmp_path):
    torch.jit.trace(model, Z).save(str(tmp_path / "model.pt"))
    same(tmp_path / "model.pt", model)


def test_an_exported_program_does_too(tmp_path):
    model = Model(nn.GRU).eval()
    torch.export.save(torch.export.export(model, (Z,)), tmp_path / "model.pt2")
    same(tmp_path / "model.pt2", model)


@pytest.mark.parametrize("within", ["serialized_state_dict.pt", "model/data/weights/model.pt"])
def test_a_program_exported_by_an_older_torch_does_too(within, model, tmp_path):
    """Hypothesis: up to 2.7, and in 2.8, the archive holds a state dict, without code."""
    weights = io.BytesIO()
    torch.save(model.state_dict(), weights)
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr(within, weights.getvalue())
    same(tmp_path / "model.pt2", model)


def test_onnx_gates_come_in_torchs_order(model, tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    order = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}[type(model.rnn).__name__]
    hidden = 4

    def theirs(value):
        blocks = value.detach().split(hidden)
        return torch.cat([blocks[k] for k in order])

    rnn = model.rnn
    bias = torch.cat([theirs(rnn.bias_ih_l0), theirs(rnn.bias_hh_l0)])
    arrays = {"W": theirs(rnn.weight_ih_l0), "R": theirs(rnn.weight_hh_l0), "B": bias}
    initializers = [numpy_helper.from_array(v[None].numpy(), name=k) for k, v in arrays.items()]
    more = {"linear_before_reset": 1} if isinstance(rnn, nn.GRU) else {}
    node = helper.make_node(
        type(rnn).__name__, ["X", "W", "R", "B"], ["Y"], name="rnn", hidden_size=hidden, **more
    )
    shape = helper.make_tensor_value_info("X", TensorProto.FLOAT, [5, 2, 3])
    out = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [5, 1, 2, hidden])
    graph = helper.make_graph([node], "g", [shape], [out], initializers)
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    layer, _ = load_network(tmp_path / "model.onnx")
    torch.testing.assert_close(layer(Z)[0], rnn(Z)[0])


def test_safetensors_give_the_layer_and_its_head(model, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    same(tmp_path / "model.safetensors", model)


@pytest.mark.parametrize("suffix, package", [(".onnx", "onnx"), (".safetensors", "safetensors")])
def test_a_kind_of_file_that_needs_an_extra_names_it(suffix, package, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == package] + [package]:
        monkeypatch.setitem(sys.modules, name, None)  # an import of it raises ImportError
    (tmp_path / f"model{suffix}").write_bytes(b"")
    with pytest.raises(FileError, match=rf"needs {package}.*rnnlib\[report\]"):
        load_network(tmp_path / f"model{suffix}")


def test_a_pickled_module_is_never_run(tmp_path):
    flag = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return open, (str(flag), "w")

    for name, write in (
        ("torch.pt", lambda path: torch.save(Trap(), path)),
        ("plain.pkl", lambda path: path.write_bytes(pickle.dumps(Trap()))),
    ):
        path = tmp_path / name
        write(path)
        with pytest.raises(FileError, match="never loaded"):
            load_network(path)
        with pytest.raises(FileError, match="holds no sequences"):
            load_inputs(path)
    assert not flag.exists()


def test_several_layers_want_a_prefix(tmp_path):
    pair = nn.ModuleDict({"a": nn.GRU(3, 4), "b": nn.LSTM(3, 4)})
    torch.save(pair.state_dict(), tmp_path / "model.pt")
    with pytest.raises(FileError, match="several recurrent layers"):
        load_network(tmp_path / "model.pt")
    layer, head = load_network(tmp_path / "model.pt", prefix="b")
    assert isinstance(layer, nn.LSTM) and head is None


@pytest.mark.parametrize(
    "content, options, message",
    [
        ({"weight": torch.zeros(2, 2)}, {}, "no recurrent layer"),
        ({"weight_hh_l0": torch.zeros(5, 2)}, {}, r"\(5, 2\)"),
        (nn.LSTM(1, 2, bidirectional=True).state_dict(), {}, "bidirectional"),
        (Model().state_dict(), {"head": "tail"}, "no read-out 'tail'; it has head"),
    ],
)
def test_a_file_without_a_usable_network_says_what_it_holds(content, options, message, tmp_path):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(FileError, match=message):
        load_network(tmp_path / "model.pt", **options)


def test_a_missing_or_cut_file_is_named(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        load_network(tmp_path / "model.pt")
    torch.save(Model().state_dict(), tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="cannot be read"):
        load_network(tmp_path / "model.pt")


def test_sequences_come_from_numpy_and_torch(tmp_path):
    np.save(tmp_path / "x.npy", Z.numpy())
    np.savez(tmp_path / "x.npz", Z.numpy())
    np.savez(tmp_path / "two.npz", a=Z.numpy(), b=Z.numpy())
    torch.save(Z, tmp_path / "x.pt")
    for name in ("x.npy", "x.npz", "x.pt"):
        assert torch.equal(load_inputs(tmp_path / name), Z)
    with pytest.raises(FileError, match="one array is needed"):
        load_inputs(tmp_path / "two.npz")

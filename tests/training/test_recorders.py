"""Recording steady states: the same orbits as a simulation, one whole file per sample."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnlib import flatten_state, simulate
from rnnlib.files import FileError, load_arrays, load_checkpoint
from rnnlib.training.epoch_files import halved
from rnnlib.training.models import MODELS, SequenceModel
from rnnlib.training.recorders import CHUNK, OrbitRecorder, Snapshots, pack_samples, read_samples


class Leaky(nn.Module):
    """``x' = x / 2 + z``: the steady state is 2 z from any start."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.5))
        self.longest = 0

    def forward(self, z, state=None):
        x = torch.zeros(1, z.shape[1], 1) if state is None else state
        self.longest, ys = max(self.longest, len(z)), []
        for input in z:
            x = self.rate * x + input
            ys.append(x[0])
        return torch.stack(ys), x


def test_a_contraction_is_recorded_at_its_fixed_point(tmp_path):
    inputs = torch.tensor([[1.0], [-3.0]])
    recorder = OrbitRecorder(tmp_path, inputs, states=3, burn_in=60, steps=5)
    orbit = recorder.orbit(Leaky())
    assert orbit.shape == (5, 2, 3, 1)
    torch.testing.assert_close(orbit, (2 * inputs).view(1, 2, 1, 1).expand_as(orbit))


@pytest.mark.parametrize("model", MODELS)
def test_the_record_is_what_a_simulation_of_the_system_gives(model, tmp_path):
    torch.manual_seed(3)
    net = SequenceModel(model, 2, 5, 3).double()
    inputs = torch.randn(3, 2, dtype=torch.float64)
    recorder = OrbitRecorder(tmp_path, inputs, states=2, spread=1.0, burn_in=7, steps=4)
    orbit = recorder.orbit(net)
    _, like = net(torch.zeros(1, 6, 2, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    parts = like if isinstance(like, tuple) else (like,)
    drawn = [torch.randn(1, 2, p.shape[-1], generator=generator).double() for p in parts]
    x0 = flatten_state(tuple(drawn) if isinstance(like, tuple) else drawn[0])
    system = net.system().hold(inputs.unsqueeze(1))
    expected = simulate(system, x0, 4, burn_in=7, observe="output")
    torch.testing.assert_close(orbit, expected, atol=1e-10, rtol=0)


class Clock(nn.Module):
    """Counts its steps from the state that it is given."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0))
        self.longest = 0

    def forward(self, z, state=None):
        self.longest = max(self.longest, len(z))
        now = torch.arange(1, len(z) + 1.0).view(-1, 1, 1).expand(len(z), z.shape[1], 1)
        start = torch.zeros(1, z.shape[1], 1) if state is None else state
        return now + start, start + len(z)


def test_what_is_not_said_has_its_default(tmp_path):
    """Hypothesis: 400 steps after 1200, from 4 starts of spread 100, every 10th epoch."""
    recorder = OrbitRecorder(tmp_path, torch.zeros(1, 1))
    orbit = recorder.orbit(Clock())
    assert orbit.shape == (400, 1, 4, 1)
    starts = 100 * torch.randn(4, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orbit[0, 0] - 1201, starts, rtol=0, atol=1e-3)
    assert [epoch for epoch in range(25) if recorder.due(epoch)] == [0, 10, 20]


def test_each_layer_starts_anew_and_each_input_alike(tmp_path):
    """Hypothesis: two layers start from states of their own, the same ones for both inputs."""
    given = []

    class Seen(nn.GRU):
        def forward(self, z, state=None):
            given.append(state)
            return super().forward(z, state)

    inputs = torch.tensor([[1.0], [2.0]])
    OrbitRecorder(tmp_path, inputs, states=3, burn_in=0, steps=1).orbit(Seen(1, 5, 2))
    (start,) = [state for state in given if state is not None]
    assert start.shape == (2, 6, 5)
    assert torch.equal(start[:, :3], start[:, 3:])
    assert len(start[:, :3].flatten(0, 1).unique(dim=0)) == 6


@pytest.mark.parametrize(("burn_in", "steps"), [(0, 1), (0, 250), (250, 1), (130, 170), (100, 100)])
def test_a_long_orbit_runs_in_short_pieces_and_keeps_the_asked_steps(burn_in, steps, tmp_path):
    clock = Clock()
    recorder = OrbitRecorder(
        tmp_path, torch.zeros(1, 1), states=1, spread=0.0, burn_in=burn_in, steps=steps
    )
    expected = torch.arange(burn_in + 1, burn_in + steps + 1.0)
    assert torch.equal(recorder.orbit(clock).flatten(), expected)
    assert clock.longest <= CHUNK


def test_three_lines_record_in_a_loop_of_ones_own(tmp_path):
    network = nn.LSTM(1, 4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    recorder = OrbitRecorder(tmp_path, torch.tensor([[0.2]]), every=2, burn_in=20, steps=3)
    for epoch in range(1, 6):
        optimizer.zero_grad()
        network(torch.randn(5, 2, 1))[0].square().sum().backward()
        optimizer.step()
        recorder(epoch, network)
    assert network.training
    samples = read_samples(tmp_path)
    assert samples.epochs.tolist() == [2, 4]
    assert samples.orbits.shape == (2, 3, 1, 4, 4)
    np.testing.assert_array_equal(samples.inputs, np.float32([[0.2]]))


def test_an_epoch_recorded_again_gives_the_same_file(tmp_path):
    network = nn.GRU(1, 4)
    for part in ("a", "b"):
        OrbitRecorder(tmp_path / part, torch.ones(1, 1), burn_in=5, steps=3)(0, network)
    a, b = (tmp_path / part / "epoch_00000.npz" for part in ("a", "b"))
    with np.load(a) as one, np.load(b) as two:
        np.testing.assert_array_equal(one["orbit"], two["orbit"])


def test_nothing_is_recorded_after_the_last_epoch_to_record(tmp_path):
    recorder = OrbitRecorder(tmp_path, torch.ones(1, 1), every=5, until=10, burn_in=0, steps=1)
    for epoch in range(21):
        recorder(epoch, nn.GRU(1, 2))
    assert read_samples(tmp_path).epochs.tolist() == [0, 5, 10]


def test_bad_sizes_and_damaged_samples_are_errors_that_name_them(tmp_path):
    with pytest.raises(ValueError, match=r"inputs has shape \(3,\)"):
        OrbitRecorder(tmp_path, torch.ones(3))
    for name in ("every", "states", "steps"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            OrbitRecorder(tmp_path, torch.ones(1, 1), **{name: 0})
    with pytest.raises(ValueError, match="burn_in is -1"):
        OrbitRecorder(tmp_path, torch.ones(1, 1), burn_in=-1)
    with pytest.raises(FileError, match="holds no samples"):
        read_samples(tmp_path)
    OrbitRecorder(tmp_path, torch.ones(1, 1), burn_in=0, steps=1)(0, nn.GRU(1, 2))
    path = tmp_path / "epoch_00000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match="epoch_00000.npz cannot be read.*Restore it"):
        read_samples(tmp_path)


@pytest.mark.parametrize(("inputs", "states"), [(10, 10), (10, 4), (1, 1), (1, 2)])
def test_a_network_that_takes_the_batch_first_is_refused(inputs, states, tmp_path):
    """Hypothesis: also where batch and chunk have one size and torch itself would not notice."""
    z = torch.linspace(0.2, 3, inputs)[:, None]
    recorder = OrbitRecorder(tmp_path, z, states=states, burn_in=200, steps=100)
    with pytest.raises(ValueError, match="time as first axis.*batch_first=False"):
        recorder(0, nn.LSTM(1, 8, batch_first=True))
    assert not any(tmp_path.iterdir())
    recorder(0, nn.LSTM(1, 8))


def test_a_second_run_into_the_same_folder_is_refused_and_the_first_stays(tmp_path):
    network = nn.LSTM(1, 1)

    def recorder(value=0.0):
        z = torch.full((1, 1), value)
        return OrbitRecorder(tmp_path, z, 1, states=1, burn_in=5, steps=1)

    first = recorder()
    for epoch in range(6):
        first(epoch, network)
    before = read_samples(tmp_path)
    with pytest.raises(FileError, match="up to epoch 5 of an earlier run"):
        recorder(1.0)(0, network)
    assert read_samples(tmp_path).epochs.tolist() == before.epochs.tolist() == list(range(6))
    again = recorder()
    again.forget(after=2)  # as from a checkpoint at epoch 2
    again(3, network)
    assert read_samples(tmp_path).epochs.tolist() == [0, 1, 2, 3]
    stranger = recorder(1.0)
    stranger(4, network)
    with pytest.raises(FileError, match="two recordings: those of epochs 0 and 4"):
        read_samples(tmp_path)


def test_one_input_in_common_does_not_make_one_recording(tmp_path):
    for epoch, second in ((0, 1.0), (1, 2.0)):
        z = torch.tensor([[0.5], [second]])
        OrbitRecorder(tmp_path, z, 1, states=1, burn_in=0, steps=1)(epoch, nn.GRU(1, 2))
    with pytest.raises(FileError, match="two recordings: those of epochs 0 and 1"):
        read_samples(tmp_path)


def test_samples_of_another_shape_are_of_another_recording(tmp_path):
    for epoch, states in ((0, 2), (1, 3)):
        recorder = OrbitRecorder(tmp_path, torch.ones(1, 1), 1, states=states, burn_in=0, steps=1)
        recorder(epoch, nn.GRU(1, 2))
    with pytest.raises(FileError, match="epoch_00001.npz is of another recording"):
        read_samples(tmp_path)


@pytest.mark.parametrize("name", ["every", "states", "burn_in", "steps", "until"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, True])
def test_a_count_that_is_no_whole_number_is_refused_before_it_hangs(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be a whole number"):
        OrbitRecorder(tmp_path, torch.ones(1, 1), **{name: value})


def test_the_modes_of_a_network_are_as_before_also_if_recording_fails(tmp_path):
    class Failing(nn.GRU):
        def forward(self, *arguments):
            raise RuntimeError("no")

    network = Failing(1, 2)
    network.add_module("frozen", nn.Dropout().eval())
    with pytest.raises(RuntimeError, match="no"):
        OrbitRecorder(tmp_path, torch.ones(1, 1))(0, network)
    assert network.training and not network.frozen.training


def test_an_epoch_is_recorded_anew_by_the_recorder_that_has_begun(tmp_path):
    recorder = OrbitRecorder(tmp_path, torch.ones(1, 1), 1, states=1, burn_in=0, steps=1)
    for epoch in (0, 1, 1, 0):
        recorder(epoch, nn.GRU(1, 2))
    assert read_samples(tmp_path).epochs.tolist() == [0, 1]


def test_samples_are_in_the_order_of_their_epochs_also_beyond_99999(tmp_path):
    recorder = OrbitRecorder(tmp_path, torch.ones(1, 1), 1, states=1, burn_in=0, steps=1)
    for epoch in (99_998, 99_999, 100_000, 1_000_000):
        recorder(epoch, nn.GRU(1, 2))
    assert read_samples(tmp_path).epochs.tolist() == [99_998, 99_999, 100_000, 1_000_000]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_network_of_any_precision_is_recorded(dtype, tmp_path):
    network = Leaky().to(dtype)
    inputs = torch.ones(1, 1, dtype=dtype)
    OrbitRecorder(tmp_path, inputs, states=1, spread=0.0, burn_in=40, steps=2)(0, network)
    samples = read_samples(tmp_path)
    assert samples.orbits.ravel() == pytest.approx([2.0, 2.0], rel=0.02)


def test_packing_keeps_what_half_precision_would_make_infinite(tmp_path):
    recorder = OrbitRecorder(tmp_path / "orbits", torch.tensor([[1e5], [0.5]]), 1, spread=0.0,
                             burn_in=60, steps=3)  # fmt: skip
    recorder(0, Leaky())
    for inputs, kind, value in (
        ([0], np.float32, [2e5]),
        ([1], np.float16, [1.0]),
        ([0, 1], np.float32, [2e5, 1.0]),  # one that is too large decides for all
    ):
        pack_samples(tmp_path, inputs, 2, [0])
        with np.load(tmp_path / "orbits.npz") as file:
            assert file["orbits"].dtype == kind and file["orbits"].shape[1] == 2
            assert file["inputs"].tolist() == [[[1e5], [0.5]][k] for k in inputs]
            np.testing.assert_allclose(file["orbits"][0, 0, :, 0, 0], value, rtol=1e-3)


def test_the_largest_number_of_half_precision_is_kept_in_it_also_beside_what_is_not_finite():
    assert halved(np.array([65504.0, np.inf, np.nan])).dtype == np.float16
    assert halved(np.array([65505.0, 0.0])).dtype == np.float32
    assert halved(np.array([np.nan])).dtype == np.float16


def test_a_hole_among_the_samples_is_an_error_and_a_stray_one_is_not_packed(tmp_path):
    recorder = OrbitRecorder(tmp_path / "orbits", torch.ones(1, 1), 1, burn_in=0, steps=1)
    for epoch in (0, 1, 3):
        recorder(epoch, nn.GRU(1, 2))
    assert recorder.missing(4) == [2, 4]
    with pytest.raises(FileError, match="lacks the samples of epochs 2"):
        pack_samples(tmp_path, [0], 1, [0, 1, 2])
    pack_samples(tmp_path, [0], 1, [0, 1])
    with np.load(tmp_path / "orbits.npz") as file:
        assert file["epochs"].tolist() == [0, 1]


def test_a_flipped_bit_anywhere_in_a_sample_or_snapshot_is_found(tmp_path):
    OrbitRecorder(tmp_path, torch.ones(1, 1), states=1, burn_in=0, steps=1)(0, nn.GRU(1, 2))
    Snapshots(tmp_path, 1, 1)(0, nn.GRU(1, 2))
    draw = np.random.default_rng(0)
    for name, load in (("epoch_00000.npz", load_arrays), ("epoch_00000.pt", load_checkpoint)):
        path = tmp_path / name
        whole = path.read_bytes()
        for bit in draw.choice(8 * len(whole), 100, replace=False):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            with pytest.raises(FileError, match="altered"):
                load(path)
        path.write_bytes(whole)
        load(path)

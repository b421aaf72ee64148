"""Recording steady states: the same orbits as a simulation, one whole file per sample."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnlib import flatten_state, simulate
from rnnlib.files import FileError
from rnnlib.training.models import MODELS, SequenceModel
from rnnlib.training.recorders import CHUNK, OrbitRecorder, read_samples


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
    drawn = [torch.randn(1, 2, 5, generator=generator).double() for _ in parts]
    x0 = flatten_state(tuple(drawn) if isinstance(like, tuple) else drawn[0])
    system = net.system().hold(inputs.unsqueeze(1))
    expected = simulate(system, x0, 4, burn_in=7, observe="output")
    torch.testing.assert_close(orbit, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("burn_in", "steps"), [(0, 1), (0, 250), (250, 1), (130, 170), (100, 100)])
def test_a_long_orbit_runs_in_short_pieces_and_keeps_the_asked_steps(burn_in, steps, tmp_path):
    class Clock(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(1.0))
            self.longest = 0

        def forward(self, z, state=None):
            self.longest = max(self.longest, len(z))
            now = torch.arange(1, len(z) + 1.0).view(-1, 1, 1).expand(len(z), z.shape[1], 1)
            start = torch.zeros(1, z.shape[1], 1) if state is None else state
            return now + start, start + len(z)

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
    with pytest.raises(FileError, match="holds no orbit samples"):
        read_samples(tmp_path)
    OrbitRecorder(tmp_path, torch.ones(1, 1), burn_in=0, steps=1)(0, nn.GRU(1, 2))
    path = tmp_path / "epoch_00000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match="epoch_00000.npz cannot be read.*Remove it"):
        read_samples(tmp_path)

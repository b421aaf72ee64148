"""The sine taught with teacher forcing: what is fed, and that it fits the closed loop."""

import pytest
import torch

from rnnlib import closed_loop, simulate
from rnnlib.tasks import ForcedSine, Sine
from rnnlib.training import SequenceModel


def test_each_step_is_told_the_target_of_the_step_before_and_the_frequency():
    plain, forced = Sine(5, 12, 2), ForcedSine(5, 12, 2)
    for (omega, target), (z, wanted) in zip(plain.batches(), forced.batches(), strict=True):
        assert torch.equal(wanted, target)
        assert torch.equal(z[..., 1:], omega)
        assert torch.equal(z[1:, :, :1], target[:-1])
        assert (z[0, :, 0] == 0).all()


def test_noise_has_the_size_asked_for_and_leaves_the_targets_and_the_frequency_alone():
    clean, noisy = ForcedSine(10, 400, 10), ForcedSine(10, 400, 10, noise=0.3)
    (z, target), (fed, wanted) = next(clean.batches()), next(noisy.batches())
    assert torch.equal(target, wanted) and torch.equal(z[..., 1], fed[..., 1])
    noise = (fed - z)[..., 0]  # 4000 numbers: the error of their deviation is 0.0034
    assert noise.std().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(fed, next(ForcedSine(10, 400, 10, noise=0.3).batches())[0])
    other = next(ForcedSine(10, 400, 10, noise=0.3, seed=1).batches())[0]
    assert not torch.equal(fed, other)
    with pytest.raises(ValueError, match="noise is -1"):
        ForcedSine(2, 4, 1, noise=-1)


def test_the_closed_loop_of_a_model_is_the_model_fed_with_its_own_outputs():
    """Hypothesis: the order of the inputs is the one that `closed_loop` joins them in."""
    torch.manual_seed(0)
    model = SequenceModel("mingru", 2, 4, 1).double()
    omega = torch.tensor([0.3], dtype=torch.float64)
    loop = closed_loop(model.system(), lambda y: y, n_y=1, n_u=1).hold(omega)
    shown = simulate(loop, torch.zeros(5, dtype=torch.float64), 8, observe="output")
    y, state, outputs = torch.zeros(1, dtype=torch.float64), None, []
    for _ in range(8):
        out, state = model(torch.cat([y, omega]).reshape(1, 1, 2), state)
        y = out.detach().reshape(1)
        outputs.append(y)
    torch.testing.assert_close(shown, torch.stack(outputs))

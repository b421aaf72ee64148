"""Stacked replicas: outputs and gradients of each as if it were alone."""

import pytest
import torch

from rnnlib.training.ensemble import outputs
from rnnlib.training.models import MODELS, SequenceModel


@pytest.mark.parametrize("model", MODELS)
def test_each_replica_answers_and_learns_as_if_it_were_alone(model):
    torch.manual_seed(0)
    models = [SequenceModel(model, 3, 7, 2).double() for _ in range(3)]
    inputs = [torch.randn(t, 4, 3, dtype=torch.float64) for t in (5, 9, 6)]
    targets = [torch.randn(len(z), 4, 2, dtype=torch.float64) for z in inputs]

    def gradients(answers):
        loss = sum((y - t).square().sum() for y, t in zip(answers, targets, strict=True))
        return torch.autograd.grad(loss, [p for m in models for p in m.parameters()])

    together = outputs(models, inputs)
    alone = [network(z)[0] for network, z in zip(models, inputs, strict=True)]
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradients(together), gradients(alone), atol=1e-10, rtol=0)


def test_an_ensemble_of_one_is_the_network_itself():
    network, z = SequenceModel("lstm", 1, 4, 1), torch.randn(6, 2, 1)
    assert torch.equal(outputs([network], [z])[0], network(z)[0])


def test_replicas_of_different_models_sizes_or_batches_are_errors():
    z = torch.zeros(5, 2, 1)
    lstm = SequenceModel("lstm", 1, 4, 1)
    linear = SequenceModel("mingru", 1, 4, 1)
    alike = SequenceModel("mingru", 1, 4, 1)  # weights of the same shapes in a layer of its own
    alike.layer.__class__ = type("Own", (type(alike.layer),), {})
    with pytest.raises(ValueError, match="differ in kind or size"):
        outputs([linear, alike], [z, z])
    for other in (SequenceModel("ornn", 1, 4, 1), SequenceModel("lstm", 1, 5, 1)):
        with pytest.raises(ValueError, match="differ in kind or size"):
            outputs([lstm, other], [z, z])
    with pytest.raises(ValueError, match=r"batches of \[2, 3\]"):
        outputs([lstm, SequenceModel("lstm", 1, 4, 1)], [z, torch.zeros(5, 3, 1)])

import numpy as np
import torch

from rnnlib.figures.classification import squeeze, unsqueeze
from rnnlib.figures.remembered_bits import evidence


def test_the_double_scale_of_figure_6_is_one_to_forty_beyond_epoch_250():
    """Hypothesis: [250, 15250] takes one and a half times the width of [0, 250]."""
    assert squeeze([0, 125, 250, 15250]).tolist() == [0, 125, 250, 625]
    epochs = np.linspace(0, 15250, 997)
    np.testing.assert_allclose(unsqueeze(squeeze(epochs)), epochs)


def test_evidence_reads_the_two_letters_off_the_four_outputs():
    """Hypothesis: logits a q1 + b q2 + const for pp, pq, qp, qq give back (a, b)."""
    first, second = 3.0, -1.5
    logits = torch.tensor([0, second, first, first + second]) + 7.0
    torch.testing.assert_close(evidence(logits), torch.tensor([first, second]))

import numpy as np

from rnnbook.classification import squeeze, unsqueeze


def test_the_double_scale_of_figure_6_is_one_to_forty_beyond_epoch_250():
    """Hypothesis: [250, 15250] takes one and a half times the width of [0, 250]."""
    assert squeeze([0, 125, 250, 15250]).tolist() == [0, 125, 250, 625]
    epochs = np.linspace(0, 15250, 997)
    np.testing.assert_allclose(unsqueeze(squeeze(epochs)), epochs)

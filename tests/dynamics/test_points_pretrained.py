"""Fixed points and attractors of trained networks that nobody here wrote."""

import pretrained
import pytest
import torch

from rnnlib import basins, fixed_points, starts_from_orbits, starts_in_box

pytestmark = pytest.mark.pretrained


def test_a_detector_of_speech_in_silence_has_the_fixed_point_that_its_orbit_nears():
    """Hypothesis: from states on its orbit every start ends on one root, of multiplier .9992."""
    system, x0 = pretrained.silero_held(pretrained.silence_noise_and_tone()[:1])
    alone = system.hold(system.z[0])
    starts = starts_from_orbits(alone, x0[0], 8)
    found = fixed_points(alone, starts)
    assert found.converged == 8 and len(found.points) == 1
    assert found.stability.tolist() == ["stable"]
    assert 0.999 < float(found.eigenvalues[0].abs().max()) < 0.9995
    assert float(found.residual.max()) < 1e-10


def test_a_phoneme_held_for_ever_has_one_attractor_for_all_starts():
    """Hypothesis: g2p_en's decoder at row 10 has one fixed point, and no start ends elsewhere."""
    system, x0 = pretrained.g2p_held("dec", [10])
    alone = system.hold(system.z[0])
    found = basins(alone, starts_in_box(-1, 1, 3, 256), burn_in=3000)
    assert [a.describe() for a in found.attractors] == ["fixed point"]
    assert found.labels.tolist() == [0] * 3
    roots = fixed_points(alone, starts_from_orbits(alone, x0[0], 4))
    assert len(roots.points) == 1
    torch.testing.assert_close(roots.points[0], found.attractors[0].points[0], atol=1e-8, rtol=0)

"""Half precision beside single: which runs are compared, and what the seeds tell."""

import numpy as np
import pytest
from scipy import stats
from small_runs import HOME, run, tiny

from rnnlib.nn import multiplies_bfloat16
from rnnlib.runs import best_value, in_both_precisions, paired
from rnnlib.runs.batch import read_targets


def test_the_interval_is_that_of_a_paired_t_test_and_covers_as_it_says():
    """Hypotheses: scipy's interval; 95 of a hundred contain the true difference."""
    draw = np.random.default_rng(0)
    a, d = draw.normal(size=(2, 2000, 5))
    found = [paired(x, x + 0.5 + e) for x, e in zip(a, d, strict=True)]
    expected = stats.ttest_rel(a[0] + 0.5 + d[0], a[0]).confidence_interval(0.95)
    np.testing.assert_allclose(found[0].interval, expected)
    covered = np.mean([f.interval[0] <= 0.5 <= f.interval[1] for f in found])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_seeds_tell_a_difference_from_none():
    assert paired([1.0, 2.0, 3.0], [1.1, 2.1, 3.1 + 1e-9]).apart
    assert not paired([1.0, 2.0, 3.0], [1.1, 1.9, 3.0]).apart
    assert not paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).apart
    for few in ([1.0, 2.0], [1.0, 2.0, 3.0, 4.0]):
        with pytest.raises(ValueError, match="three or more"):
            paired(few, [1.0, 2.0, 3.0])


@pytest.mark.skipif(not multiplies_bfloat16(), reason="no products in bfloat16 here")
def test_only_ended_runs_of_the_same_settings_are_pairs(tmp_path):
    for seed in (0, 1):
        run(tiny(seed=seed), tmp_path)
    halves = [run(tiny(seed=s, layer_precision="bfloat16"), tmp_path) for s in (0, 1, 2)]
    ((kind, pairs),) = in_both_precisions(tmp_path).items()
    assert kind == tiny() and {half for _, half in pairs} == {*halves[:2]}
    values = [[best_value(folder, kind) for folder in pair] for pair in pairs]
    assert np.isfinite(values).all()
    (halves[0] / "done.json").unlink()
    assert len(in_both_precisions(tmp_path)[kind]) == 1


def test_five_pairs_of_each_task_are_declared():
    targets = read_targets(HOME / "experiments.toml")
    for task in ("sine", "classification", "language"):
        configs = targets[f"half-precision-{task}"].configs
        assert len({(c.seed, c.layer_precision) for c in configs}) == len(configs) == 10

import numpy as np
import pytest
from matplotlib.figure import Figure

from dlkb.gradients.clipping import adam_recovery_steps
from scripts.figures.gradients import clipping as figures


def test_clipping_is_continuous_and_bounded_and_the_constant_factor_is_not():
    norm, clipped, constant = figures.rule_data()
    assert clipped.max() <= 1
    assert np.abs(np.diff(np.log(clipped))).max() < 0.03
    assert constant.max() > 50
    assert np.diff(np.log(constant)).min() < np.log(0.02)
    assert (clipped[norm < 1] == norm[norm < 1]).all()


def test_only_the_global_norm_keeps_the_direction():
    data = figures.direction_data()
    assert data.together.shape == (31, figures.SEEDS)
    assert figures.SEEDS >= 10
    np.testing.assert_allclose(data.together, 1, rtol=1e-9)
    assert ((data.each[0] < 0.8) & (data.value[0] < 0.8)).all()
    assert (data.value[0] > 1 / np.sqrt(4000)).all()
    np.testing.assert_allclose(data.each[-1], 1)
    np.testing.assert_allclose(data.value[-1], 1)


def test_the_spike_is_remembered_for_thousands_of_steps_unless_clipped():
    free, clipped = figures.spike_data(clip=False), figures.spike_data(clip=True)
    n = int(adam_recovery_steps(np.asarray(figures.SPIKE)))
    assert 5000 < n < 6000
    assert (free[200 : n - 10] < 0.5).all()
    assert (free[n + 10 :] > 0.5).all()
    assert free[0] > 3
    assert ((clipped > 0.9) & (clipped < 1.2)).all()


@pytest.mark.parametrize("name", ["rules", "direction", "adam_spike"])
def test_draws(name):
    assert isinstance(getattr(figures, name)(), Figure)

import numpy as np
import pytest
from matplotlib.figure import Figure

from scripts.figures.gradients import iterated_maps as figures


def test_at_three_and_a_half_plateaus_form_with_cliffs_between_them():
    data = figures.stack_data(3.5)
    last = data.values[-1]
    cycle = [0.38282, 0.50088, 0.82694, 0.87500]
    near = np.abs(last[:, None] - cycle).min(1) < 0.01
    assert near.mean() > 0.8
    assert (data.slopes[-1] < 1e-3).mean() > 0.6
    assert data.slopes[-1].max() > 1e15  # at the ends


def test_at_four_it_is_steep_almost_everywhere():
    slopes = figures.stack_data(4.0, (1, 4, 7)).slopes[-1]
    assert (slopes > 10).mean() > 0.9


def test_the_exponent_is_negative_at_three_and_a_half_and_positive_at_four():
    r, points, exponent = figures.exponent_data()
    at = np.argmin(np.abs(r - 3.5))
    np.testing.assert_allclose(exponent[at], -0.8725, atol=1e-3)
    np.testing.assert_allclose(exponent[-1], np.log(2), atol=0.03)
    assert len(np.unique(points[:, at].round(6))) == 4
    assert len(np.unique(points[:, -1].round(6))) > 50
    assert (exponent[(r > 2.81) & (r < 3.56)] < 0.01).all()


def test_one_step_from_the_cliff_leaves_for_good_and_clipping_arrives():
    assert abs(figures.descent(max_norm=np.inf)[1]) > 300
    path = figures.descent(max_norm=1.0)
    assert len(path) == 401
    assert abs(path[-1] - 1) < 1e-6
    assert (np.abs(np.diff(path)) < 3.01e-4).all()


@pytest.mark.parametrize("name", ["stacked", "exponents", "cliff"])
def test_draws(name):
    assert isinstance(getattr(figures, name)(), Figure)

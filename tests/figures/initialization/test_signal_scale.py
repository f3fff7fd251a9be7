import numpy as np
import pytest
from matplotlib.figure import Figure

from dlkb.initialization.signal_scale import rectifier_spread
from scripts.figures.initialization import signal_scale as figures


@pytest.mark.parametrize("std", figures.STD.values())
def test_every_seed_follows_the_expected_line(std):
    data = figures.relu_depths(std)
    assert data.measured.shape == (figures.SEEDS, figures.DEPTH + 1)
    assert figures.SEEDS >= 10
    # Within a factor of 10 at every layer, while the three lines end 20 decades apart.
    assert (np.abs(np.log10(data.measured / data.expected)) < 1).mean() > 0.99


def test_three_scales_three_fates():
    one, root, he = (figures.relu_depths(std).measured[:, -1] for std in figures.STD.values())
    assert (one > 1e40).all()
    assert (root > 1e16).all()
    assert (root < 1e20).all()
    assert ((he > 0.1) & (he < 10)).mean() >= 0.9


def test_variance_one_over_root_n_multiplies_by_half_the_root():
    data = figures.relu_depths(figures.WIDTH**-0.25)
    factor = (data.measured[:, -1] / data.measured[:, 0]) ** (1 / figures.DEPTH)
    np.testing.assert_allclose(factor, figures.WIDTH**0.5 / 2, rtol=0.2)


@pytest.mark.parametrize("name", figures.MAPS)
def test_one_is_a_fixed_point_of_all_three_maps(name):
    data = figures.length_maps_data(name)
    assert data.image[np.searchsorted(data.q, 1 - 1e-9)] == pytest.approx(1, abs=1e-3)


def test_tanh_comes_back_relu_stays_gelu_leaves():
    tanh, relu, gelu = (figures.length_maps_data(name).paths for name in figures.MAPS)
    assert (np.abs(tanh[:, -1] - 1) < 0.02).all()
    np.testing.assert_allclose(relu, np.tile(figures.STARTS[:, None], 13), rtol=1e-10)
    assert gelu[0, -1] < 0.1
    assert gelu[2, -1] > 5
    assert (np.diff(gelu[0]) < 0).all()
    assert (np.diff(gelu[2]) > 0).all()


def test_narrow_networks_stray_further():
    ends = {width: figures.width_spread_data(width) for width in figures.WIDTHS}
    wide = [np.diff(np.percentile(np.log10(rows[:, -1]), [5, 95]))[0] for rows in ends.values()]
    assert wide[0] > 1.9 * wide[1] > 3.6 * wide[2]
    # The expectation is 1 at every width; the median falls below it.
    assert np.median(ends[32][:, -1]) < 0.1
    assert np.median(ends[512][:, -1]) > 0.7


@pytest.mark.parametrize(("width", "layer"), [(512, 50), (128, 20), (32, 3)])
def test_the_spread_is_the_one_in_the_legend(width, layer):
    # Six standard errors of the mean of squares, estimated from the draws themselves.
    q = figures.width_spread_data(width)[:, layer]
    expected = rectifier_spread(fan_in=width, depth=layer)
    assert abs((q**2).mean() - expected) < 6 * (q**2).std() / len(q) ** 0.5


@pytest.mark.parametrize("draw", [figures.depth, figures.length_maps, figures.width_spread])
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)

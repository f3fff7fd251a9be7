import numpy as np
import pytest
from matplotlib.figure import Figure

from scripts.figures.linear_algebra import singular_values as figures


def test_equal_eigenvalues_and_any_transient():
    k, norms = figures.transient_data()
    np.testing.assert_allclose(norms[0], figures.RADIUS**k)
    peaks = norms.max(axis=1)
    assert peaks[0] == peaks[1] == 1
    assert peaks[2] > 3.5
    assert 35 < peaks[3] < 45
    peak = k[np.argmax(norms[3])]
    assert abs(peak + 1 / np.log(figures.RADIUS)) <= 1
    assert (norms[:, -1] < 0.01).all()


def test_singular_values_spread_along_the_exact_slopes():
    data = figures.spectra_data()
    assert data.spectrum.shape == (15, 20, 8)
    slope = np.median(data.spectrum[-1] - data.spectrum[4], axis=0) / (60 - 20)
    np.testing.assert_allclose(slope, data.rates, atol=0.1)
    assert (np.diff(data.spectrum, axis=-1) < 0).all()


def test_the_bound_grows_while_the_largest_singular_value_falls():
    data = figures.spectra_data()
    assert (data.bound[-1] > 13 * np.log(10)).all()
    assert np.median(data.spectrum[-1, :, 0]) < 0
    assert (data.bound > data.spectrum[..., 0]).all()
    volume = data.spectrum.mean(axis=-1)
    assert (volume < data.spectrum[..., 0]).all()
    assert np.median(volume[-1]) < -14 * np.log(10)


def test_a_product_multiplied_out_stops_at_the_precision():
    data = figures.spectra_data()
    ratio = (data.spectrum[..., 0] - data.spectrum[..., -1]) / np.log(10)
    formed = (data.formed[..., 0] - data.formed[..., -1]) / np.log(10)
    # All agree as long as the ratio is far from 1 / eps, in the end none does.
    early = ratio < 10
    np.testing.assert_allclose(formed[early], ratio[early], atol=0.03)
    assert (ratio[-1] > 30).all()
    assert (formed[-1] < 22).all()


@pytest.mark.parametrize("draw", [figures.transient, figures.product_spectrum, figures.lost_digits])
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)

import numpy as np
import pytest

from scripts.figures.linear_algebra import singular_values as figures
from tests.figures.drawn import assert_draws

LOG10 = np.log(10)


def test_equal_eigenvalues_and_any_transient():
    norms = np.stack([figures.powers(0.9, c).norm for c in figures.COUPLINGS])
    k = figures.powers().k
    np.testing.assert_allclose(norms[0], 0.9**k)
    peaks = norms.max(axis=1)
    assert peaks[0] == peaks[1] == 1
    assert 3.5 < peaks[2] < 4.5
    assert 35 < peaks[3] < 45
    assert abs(k[np.argmax(norms[3])] + 1 / np.log(0.9)) <= 1
    assert (norms[:, -1] < 0.01).all()


@pytest.mark.parametrize("lam", figures.RADII)
@pytest.mark.parametrize("c", figures.COUPLINGS)
def test_powers_against_matrix_power(lam, c):
    A = np.asarray([[lam, c], [0, lam]])
    data = figures.powers(lam, c)
    for k in (0, 1, 7, 40):
        expected = np.linalg.norm(np.linalg.matrix_power(A, k), 2)
        np.testing.assert_allclose(data.norm[k], expected, rtol=1e-10)
        np.testing.assert_allclose(data.radius[k], lam**k)
    assert data.norm.max() < 1e3  # it stays inside the axes


def test_transient_draws_norm_and_eigenvalue():
    data = figures.powers()
    assert_draws(
        figures.transient(),
        lines={"norm of Aᵏ": (data.k, data.norm), "λᵏ": (data.k, data.radius)},
        legend=["norm of Aᵏ", "λᵏ"],
        xlabel="k",
    )


def test_singular_values_spread_along_the_exact_slopes():
    data = figures.spectra_data()
    assert data.spectrum.shape == (15, 20, 8)
    slope = np.median(data.spectrum[-1] - data.spectrum[4], axis=0) / (60 - 20)
    np.testing.assert_allclose(slope, data.rates, atol=0.1)
    assert (np.diff(data.spectrum, axis=-1) < 0).all()


def test_the_bound_grows_while_the_largest_singular_value_falls():
    data = figures.spectra_data()
    assert (data.bound[-1] > 13 * LOG10).all()
    assert np.median(data.spectrum[-1, :, 0]) < 0
    assert (data.bound > data.spectrum[..., 0]).all()
    volume = data.spectrum.mean(axis=-1)
    assert (volume < data.spectrum[..., 0]).all()
    assert np.median(volume[-1]) < -14 * LOG10


def test_product_spectrum_draws_medians_bands_and_slopes():
    data = figures.spectra_data()
    lines, bands = {}, {}
    for i, rate in enumerate(data.rates):
        low, middle, high = np.quantile(data.spectrum[..., i] / LOG10, (0.05, 0.5, 0.95), axis=1)
        lines[f"σ{i + 1}" if i else "σᵢ of the product"] = (data.depth, middle)
        lines[f"slope {i + 1}" if i else "exact slopes"] = (data.depth, rate * data.depth / LOG10)
        bands[f"band {i + 1}"] = (low, high)
    lines["product of the norms"] = (data.depth, np.median(data.bound, axis=1) / LOG10)
    volume = np.median(data.spectrum.mean(-1), axis=1) / LOG10
    lines["|det|^(1/n)"] = (data.depth, volume)
    assert_draws(
        figures.product_spectrum(),
        lines=lines,
        bands=bands,
        legend=["σᵢ of the product", "exact slopes", "product of the norms", "|det|^(1/n)"],
        xlabel="number of factors",
        ylabel="log₁₀",
    )


def ratios():
    data = figures.spectra_data()
    return [(v[..., 0] - v[..., -1]) / LOG10 for v in (data.spectrum, data.formed)]


def test_a_product_multiplied_out_stops_at_the_precision():
    ratio, formed = ratios()
    # All agree as long as the ratio is far from 1 / eps, in the end none does.
    early = ratio < 10
    np.testing.assert_allclose(formed[early], ratio[early], atol=0.03)
    assert (ratio[-1] > 30).all()
    assert (formed[-1] < 22).all()


def test_lost_digits_draws_both_ratios():
    depth = figures.spectra_data().depth
    names = ["factor by factor", "multiplied out in float64"]
    lines, bands = {}, {}
    for name, ratio in zip(names, ratios(), strict=True):
        low, middle, high = np.quantile(ratio, (0.05, 0.5, 0.95), axis=1)
        lines[name] = (depth, middle)
        bands[f"band of {name}"] = (low, high)
    assert_draws(
        figures.lost_digits(),
        lines=lines | {"": ([0, 1], [52 * np.log10(2)] * 2)},  # 1 / eps
        bands=bands,
        legend=names,
        texts=["1 / eps"],
        xlabel="number of factors",
        ylabel="log₁₀ of σ₁ / σₙ",
    )

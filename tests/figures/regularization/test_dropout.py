import math

import numpy as np
import pytest

from scripts.figures.regularization.dropout import (
    OVERFITS,
    SEEDS,
    UNDERFITS,
    band_data,
    bumps,
    digit_losses,
    explore_bands,
    mask_matrices,
    path_data,
    variance_data,
)


def test_masks_show_columns_and_entries():
    units, connections = mask_matrices()
    assert set(np.unique(units)) == set(np.unique(connections)) == {0.0, 2.0}
    assert (units == units[0]).all()
    assert all(len(np.unique(column)) == 2 for column in connections.T)
    assert all(len(np.unique(row)) == 2 for row in connections)


def test_sampled_variance_lies_on_the_closed_form():
    data = variance_data()
    p, n = data.p, 20_000
    np.testing.assert_allclose(data.closed, p / (1 - p), rtol=1e-12)
    # The spread of a sampled variance, from the fourth moment; 5 of it fails once in 10⁵ points.
    fourth = (1 - p) * (1 / (1 - p) - 1) ** 4 + p
    error = np.sqrt(np.maximum(fourth - data.closed**2, 0) / n)
    assert (np.abs(data.sampled - data.closed) <= 5 * error + 1e-3).all()
    assert (data.closed[1:] > data.unscaled[1:]).all()
    assert np.argmax(data.unscaled) == 10
    assert math.isclose(p[10], 0.5)


def test_paths_shrink_to_zero_and_sampling_follows():
    data = path_data()
    assert np.abs(data.sampled - data.closed).max() < 0.05
    assert (np.abs(np.diff(data.closed, axis=0)) > 0).all()
    assert (np.abs(data.closed[-1]) < 0.15).all()
    assert (np.diff(np.abs(data.closed), axis=0) < 0).all()


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_the_mc_band_does_not_shrink_with_data_and_the_fit_does(p):
    few, many = band_data(p, 50), band_data(p, 5000)
    inside = np.abs(few.grid) < 2.5
    assert 0.8 < (many.mc / few.mc)[inside].mean() < 1.25
    assert (many.refit / few.refit)[inside].mean() < 0.2


def test_the_mc_band_grows_with_p():
    narrow, wide = band_data(0.05, 5000), band_data(0.3, 5000)
    assert 1.3 < wide.mc.mean() / narrow.mc.mean() < 3


def test_the_sentence_of_the_bands_and_their_caption():
    explorable = explore_bands()
    rates, sizes = (slider.values for slider in explorable.sliders)
    for n in sizes:
        data = band_data(0.2, n)
        said = explorable.show(0.2, n)
        assert f"of MC dropout is {data.mc.mean():.2f};" in said
        assert said.endswith(f"{n:,} examples is {data.refit.mean():.2g}.")
    refits = [band_data(0.2, n).refit.mean() for n in sizes]
    assert (np.diff(refits) < 0).all()
    # More dropout pulls the prediction to zero.
    heights = [np.abs(band_data(p, 5000).mean).mean() for p in rates]
    assert (np.diff(heights) < 0).all()
    shares = [band_data(p, 5000).mc.mean() / h for p, h in zip(rates, heights, strict=True)]
    assert (np.diff(shares) > 0).all()


def test_the_mc_band_is_that_of_sampling():
    data, rng, p = band_data(0.3, 50), np.random.default_rng(1), 0.3
    phi = bumps(data.grid)
    # The weights that give the mean: 61 points determine 12 features.
    w = np.linalg.lstsq(phi, data.mean, rcond=None)[0]
    samples = [(phi * (rng.random(phi.shape) >= p) / (1 - p)) @ w for _ in range(4000)]
    np.testing.assert_allclose(np.std(samples, axis=0), data.mc, rtol=0.1)


def test_dropout_helps_where_the_network_overfits():
    without, with_it = digit_losses(OVERFITS, 0.0), digit_losses(OVERFITS, 0.6)
    assert without.test.mean() > 20 * without.train.mean()
    assert np.mean(with_it.test < without.test) >= 0.9
    assert np.mean(with_it.test - with_it.train < without.test - without.train) >= 0.9
    assert len(without.test) == SEEDS


def test_dropout_hurts_where_the_network_underfits():
    without, with_it = digit_losses(UNDERFITS, 0.0), digit_losses(UNDERFITS, 0.6)
    assert np.mean(with_it.test > without.test) >= 0.9
    assert np.mean(with_it.train > without.train) >= 0.9

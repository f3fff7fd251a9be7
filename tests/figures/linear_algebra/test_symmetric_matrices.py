import numpy as np
import pytest
from matplotlib.figure import Figure

from scripts.figures.linear_algebra import symmetric_matrices as figures
from tests.close import assert_close


def test_symmetric_axes_are_eigenvectors():
    data = figures.circle_image(figures.SYMMETRIC)
    eigen = data.eigen[:, np.argsort(-np.linalg.norm(data.eigen, axis=0))]
    for e, s in zip(eigen.T, data.singular.T, strict=True):
        assert_close(abs(e @ s), s @ s, scale=10)  # one line, one length
    assert_close(eigen[:, 0] @ eigen[:, 1], 0.0)


def test_a_rotation_has_no_real_eigenvector_and_a_round_image():
    data = figures.circle_image(figures.NORMAL)
    assert data.eigen.shape == (2, 0)
    assert_close(np.linalg.norm(data.image, axis=0), np.full(361, 1.2))
    W = figures.NORMAL
    assert_close(W @ W.T, W.T @ W)


def test_the_general_ellipse_is_longer_than_any_eigenvalue_says():
    data = figures.circle_image(figures.GENERAL)
    radius = np.linalg.norm(data.eigen, axis=0).max()
    assert radius == 1
    assert np.linalg.norm(data.singular[:, 0]) > 1.8
    first, second = data.eigen.T / np.linalg.norm(data.eigen, axis=0)[:, None]
    assert abs(first @ second) > 0.9  # far from a right angle


@pytest.mark.parametrize("W", [figures.SYMMETRIC, figures.NORMAL, figures.GENERAL])
def test_singular_values_are_the_half_axes(W):
    data = figures.circle_image(W)
    length = np.linalg.norm(data.image, axis=0)
    np.testing.assert_allclose(
        [length.max(), length.min()], np.linalg.norm(data.singular, axis=0), rtol=1e-3
    )


def test_powers_grow_as_the_caption_says():
    data = figures.power_growth_data()
    assert data.symmetric.shape == (21, 20)
    np.testing.assert_allclose(data.orthogonal, 1, rtol=1e-10)
    assert (data.symmetric[-1] > 1e5).all()
    assert (data.gaussian[-1] < 50).all()
    assert (data.symmetric > data.gaussian)[2:].all()
    # From k to 2k the symmetric norm is squared, the other grows by about the root of 2.
    np.testing.assert_allclose(data.symmetric[20], data.symmetric[10] ** 2, rtol=1e-9)
    growth = np.median(data.gaussian[20]) / np.median(data.gaussian[10])
    assert 1.1 < growth < 1.8


def test_limits_are_near_the_medians():
    data = figures.power_growth_data()
    k = np.arange(1, 6)
    symmetric, gaussian = (np.median(norms, axis=1)[1:6] for norms in data[:2])
    np.testing.assert_allclose(symmetric, 2.0**k, rtol=0.2)
    np.testing.assert_allclose(gaussian, figures.power_norm_limit(k.astype(float)), rtol=0.2)


def test_rayleigh_quotient_touches_both_eigenvalues_and_no_more():
    degrees, R = figures.rayleigh_data()
    assert degrees[np.argmax(R)] == 30
    assert degrees[np.argmin(R)] == 120
    np.testing.assert_allclose([R.max(), R.min()], [1.8, -0.6], atol=1e-9)


@pytest.mark.parametrize("draw", [figures.unit_circle, figures.power_growth, figures.rayleigh])
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)

import numpy as np
import pytest

from scripts.figures.linear_algebra import symmetric_matrices as figures
from tests.close import assert_close
from tests.figures.drawn import assert_draws


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
    symmetric, gaussian = figures.growth(1.0), figures.growth(0.0)
    assert symmetric.norms.shape == (21, 20)
    np.testing.assert_allclose(symmetric.orthogonal, 1, rtol=1e-10)
    assert (symmetric.norms[-1] > 1e5).all()
    assert (gaussian.norms[-1] < 50).all()
    assert (symmetric.norms > gaussian.norms)[2:].all()
    # From k to 2k the symmetric norm is squared, the other grows by about the root of 2.
    np.testing.assert_allclose(symmetric.norms[20], symmetric.norms[10] ** 2, rtol=1e-9)
    medians = np.median(gaussian.norms, axis=1)
    assert 1.1 < medians[20] / medians[10] < 1.8


def test_limits_are_near_the_medians():
    k = np.arange(1, 6)
    symmetric, gaussian = (np.median(figures.growth(c).norms, axis=1)[1:6] for c in (1.0, 0.0))
    np.testing.assert_allclose(symmetric, 2.0**k, rtol=0.2)
    np.testing.assert_allclose(gaussian, figures.power_norm_limit(k.astype(float)), rtol=0.2)


def test_powers_grow_with_the_size_of_the_correlation():
    last = [np.median(figures.growth(c).norms[-1]) for c in figures.CORRELATIONS]
    assert (np.diff(last[4:]) > 0).all()
    assert (np.diff(last[:5]) < 0).all()


def test_rayleigh_quotient_touches_both_eigenvalues_and_no_more():
    degrees, R = figures.rayleigh_data()
    assert degrees[np.argmax(R)] == 30
    assert degrees[np.argmin(R)] == 120
    np.testing.assert_allclose([R.max(), R.min()], [1.8, -0.6], atol=1e-9)


def test_power_growth_draws_quantiles_and_limits():
    k = np.arange(21.0)
    low, middle, high = np.quantile(figures.growth().norms, (0.05, 0.5, 0.95), axis=1)
    assert_draws(
        figures.power_growth(),
        lines={
            "median": (k, middle),
            "5 %": (k, low),
            "95 %": (k, high),
            "2ᵏ": (k, 2**k),
            "γₖ": (k, figures.power_norm_limit(k)),
            "orthogonal": (k, np.ones(21)),
        },
        legend=["median", "2ᵏ", "γₖ", "orthogonal"],
        xlabel="k",
        ylabel="‖Wᵏ‖₂",
    )


def axes_of(figure, panel):
    return {line.get_gid(): line.get_xydata()[1] for line in figure.axes[panel].lines}


@pytest.mark.parametrize(
    ("panel", "title", "W"),
    [
        (0, "symmetric", figures.SYMMETRIC),
        (1, "rotation × 1.2", figures.NORMAL),
        (2, "general", figures.GENERAL),
    ],
)
def test_unit_circle_draws_the_circle_and_its_image(panel, title, W):
    angle = np.linspace(0, 2 * np.pi, 361)
    circle = np.cos(angle), np.sin(angle)
    image = W @ np.stack(circle)
    axes = {}
    if panel != 1:  # of a rotation nothing else is drawn
        eigenvalues, V = np.linalg.eig(W)
        values, U = np.linalg.eigh(W @ W.T)  # ascending
        drawn = axes_of(figures.unit_circle(), panel)
        for name, ends in (
            ("eigen", eigenvalues * V),
            ("singular", values[::-1] ** 0.5 * U[:, ::-1]),
        ):
            for i, end in enumerate(ends.T, 1):
                sign = np.sign(end @ drawn[f"{name} {i}"])  # of a vector that nothing fixes
                axes[f"{name} {i}"] = tuple(sign * np.outer(end, [-1, 1]))
    assert_draws(
        figures.unit_circle(),
        panel=panel,
        lines={"circle": circle, "image": (image[0], image[1]), **axes},
        title=title,
    )


def test_rayleigh_draws_the_quotient_and_names_the_eigenvalues():
    assert_draws(
        figures.rayleigh(),
        lines={
            "R": figures.rayleigh_data(),
            "bound λ₁": ([0, 1], [1.8, 1.8]),
            "λ₁": ([30], [1.8]),
            "bound λ₂": ([0, 1], [-0.6, -0.6]),
            "λ₂": ([120], [-0.6]),
        },
        texts=["λ₁", "λ₂"],
        xlabel="angle of v in degrees",
        ylabel="R(v)",
    )

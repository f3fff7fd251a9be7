import numpy as np
import pytest

from dlkb.vision.gan_metrics import feature_moments, frechet_distance
from dlkb.vision.image_similarity import psnr, ssim
from scripts.figures.vision import gan_metrics as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("features", figures.FEATURES)
def test_the_law_is_near_what_is_measured(features):
    for truth in figures.TRUTHS:
        data = figures.bias_data(features, truth)
        assert (np.diff(data.law) < 0).all()
        assert (data.law > truth).all()
        enough = 1.5 * features < figures.SIZES
        assert np.allclose(data.measured[enough], data.law[enough], rtol=0.15)


def test_the_distances_measured_are_those_of_samples():
    truth, seed = 2.0, 3
    x, y = np.random.default_rng(seed).normal(size=(2, figures.SIZES[-1], 16))
    x[:, 0] += truth**0.5
    rest, apart = figures._parts(16)
    shift = np.zeros(16)
    shift[0] = truth**0.5
    found = rest[seed] + ((apart[seed] + shift) ** 2).sum(-1)
    for n, value in zip(figures.SIZES, found, strict=True):
        pair = feature_moments(x[:n]), feature_moments(y[:n])
        assert frechet_distance(*pair) == pytest.approx(value)


def test_bias_draws_its_data():
    data = figures.bias_data(32, 0.5)
    assert_draws(
        figures.bias(),
        lines={
            "truth": (figures.SIZES[[0, -1]], [0.5, 0.5]),
            "truth + bias, equation 2": (figures.SIZES, data.law),
            "measured": (figures.SIZES, data.measured),
        },
        legend=["truth", "truth + bias, equation 2", "measured"],
        xlabel="images in each sample",
        ylabel="Fréchet distance",
    )


@pytest.mark.parametrize(("panel", "name"), list(enumerate(figures.shapes_data())))
def test_shapes_draws_the_clouds(panel, name):
    x = figures.shapes_data()[name]
    fid, kernel = figures.shape_scores()[name]
    assert abs(fid) < 1e-9
    assert_draws(
        figures.shapes(),
        panel=panel,
        lines={name: (x[:, 0], x[:, 1])},
        title=f"{name}\nFID {abs(fid):.2f}, KID {kernel:.2f}",
    )


def test_distortions_draws_the_photographs():
    x, texts = figures.photo(), ["as it is"]
    images = {"as it is": x} | figures.distorted()
    for name, y in figures.distorted().items():
        ratio, similarity = psnr(y, x, data_range=1.0), ssim(y, x, data_range=1.0)
        texts.append(f"{name}\n{ratio:.1f} dB, SSIM {similarity:.2f}")
    drawn = {name: np.clip(y, 0, 1).transpose(1, 2, 0) for name, y in images.items()}
    assert_draws(figures.distortions(), images=drawn, texts=texts)
    moved = images["one pixel to the right"]
    assert np.array_equal(moved[:, :, 1:], x[:, :, :-1])

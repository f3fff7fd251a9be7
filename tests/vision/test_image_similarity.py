import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as psnr_of_torchmetrics,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as ssim_of_torchmetrics,
)

from dlkb.vision.image_similarity import psnr, ssim
from tests.cases import Case
from tests.close import assert_close


def pair(rng, shape=(2, 12, 13)):
    x = rng.uniform(size=shape)
    return x, np.clip(x + 0.2 * rng.normal(size=shape), 0, 1)


def psnr_law(result, factors):
    (x, y), _ = (pair(np.random.default_rng(0)), {})
    error = ((factors["x"] * x - factors["y"] * y) ** 2).mean()
    return np.asarray(10 * np.log10(4 / error))


NEAR_ZERO = "what is left of the sum is rounding in the wider format, too"
BRIGHTER = {f"float64 {size} {name}": NEAR_ZERO for size in ("large", "huge") for name in "xy"}

CASES = [
    Case(psnr, lambda rng: (pair(rng), {"data_range": 2.0}), law=psnr_law),
    Case(ssim, lambda rng: (pair(rng), {"data_range": 1.0}), scale=4, unless=BRIGHTER),
    Case(
        ssim,
        lambda rng: (
            pair(rng),
            {"data_range": 2.0, "size": 5, "sigma": math.inf, "k1": 0.02, "k2": 0.05},
        ),
        "uniform",
        scale=4,
        unless=BRIGHTER,
    ),
]


@pytest.mark.parametrize("shape", [(1, 11, 11), (3, 24, 17), (1, 40, 11)])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_values_are_those_of_scikit_image(shape, data_range):
    x, y = (data_range * z for z in pair(np.random.default_rng(1), shape))
    assert_close(
        psnr(x, y, data_range=data_range), peak_signal_noise_ratio(x, y, data_range=data_range)
    )
    theirs = {"data_range": data_range, "channel_axis": 0, "use_sample_covariance": False}
    found = ssim(x, y, data_range=data_range)
    assert_close(found, structural_similarity(x, y, gaussian_weights=True, **theirs))
    uniform = ssim(x, y, data_range=data_range, size=7, sigma=math.inf)
    assert_close(uniform, structural_similarity(x, y, **theirs))
    options = {"K1": 0.1, "K2": 0.2, "gaussian_weights": True, **theirs}
    assert_close(
        ssim(x, y, data_range=data_range, k1=0.1, k2=0.2), structural_similarity(x, y, **options)
    )


def test_a_batch_is_its_images():
    x, y = pair(np.random.default_rng(2), (2, 4, 3, 15, 16))
    for metric in (psnr, ssim):
        found = metric(x, y, data_range=1.0)
        assert found.shape == (2, 4)
        assert_close(found[1, 2], metric(x[1, 2], y[1, 2], data_range=1.0))
        assert metric(x[:0], y[:0], data_range=1.0).shape == (0, 4)


def test_gradients_of_both_as_losses_are_those_of_torchmetrics():
    # Beyond the border torchmetrics reflects: constant there, so that both gradients agree.
    x, y = (torch.zeros(1, 1, 40, 40, dtype=torch.float64) + 0.5 for _ in range(2))
    rng = np.random.default_rng(3)
    x[..., 12:28, 12:28] = torch.tensor(rng.uniform(size=(16, 16)))
    y[..., 12:28, 12:28] = torch.tensor(rng.uniform(size=(16, 16)))
    x.requires_grad_()
    (ours,) = torch.autograd.grad(ssim(x, y, data_range=1.0).sum(), x)
    (theirs,) = torch.autograd.grad(ssim_of_torchmetrics(x, y, data_range=1.0), x)
    inner = (..., slice(12, 28), slice(12, 28))
    # The means go over 30² windows and over 40² pixels.
    assert_close(900 * ours[inner], 1600 * theirs[inner], scale=100)
    (ours,) = torch.autograd.grad(psnr(x, y, data_range=1.0).sum(), x)
    (theirs,) = torch.autograd.grad(psnr_of_torchmetrics(x, y, data_range=1.0), x)
    assert_close(ours, theirs, dtype="float32")


def test_equal_images():
    x, _ = pair(np.random.default_rng(4))
    assert psnr(x, x, data_range=1.0) == math.inf
    assert_close(ssim(x, x, data_range=1.0), 1.0)
    flat = np.zeros((1, 11, 11))
    assert_close(ssim(flat, flat, data_range=1.0), 1.0)


def test_a_bell_narrower_than_a_pixel_is_one_pixel():
    x, y = pair(np.random.default_rng(7))
    inside = (z[:, 1:-1, 1:-1] for z in (x, y))
    expected = ssim(*inside, data_range=1.0, size=1)
    for sigma in (1e-3, 1e-200, 5e-324):
        assert_close(ssim(x, y, data_range=1.0, size=3, sigma=sigma), expected)


def test_far_from_zero_a_variance_keeps_its_digits():
    rng = np.random.default_rng(5)
    x, y = pair(rng, (1, 20, 20))
    far = [(1e4 + z).astype(np.float32) for z in (x, y)]
    exact = ssim(*(z.astype(np.float64) for z in far), data_range=1.0)
    assert_close(ssim(*far, data_range=1.0), np.asarray(exact), dtype="float32", scale=10)


def test_windows_are_gaussian():
    rng = np.random.default_rng(6)
    x, y = pair(rng, (1, 25, 25))

    def mean(z):
        return gaussian_filter(z[0], 1.5, truncate=3.5, mode="constant")[5:-5, 5:-5]

    var_x, var_y = (mean(z * z) - mean(z) ** 2 for z in (x, y))
    cov = mean(x * y) - mean(x) * mean(y)
    light = (2 * mean(x) * mean(y) + 1e-4) / (mean(x) ** 2 + mean(y) ** 2 + 1e-4)
    expected = (light * (2 * cov + 9e-4) / (var_x + var_y + 9e-4)).mean()
    assert_close(ssim(x, y, data_range=1.0), np.asarray(expected), scale=100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_range": 0.0}, r"data_range is 0.0: .* \(0, inf\)"),
        ({"data_range": 1.0, "size": 4}, "size is 4: it must be odd"),
        ({"data_range": 1.0, "size": 13}, r"size is 13: it must lie in \[1, 12\]"),
        ({"data_range": 1.0, "sigma": 0.0}, r"sigma is 0.0: .* \(0, inf\]"),
        ({"data_range": 1.0, "k1": 0.0}, "k1 is 0.0"),
        ({"data_range": 1.0, "k2": 0.0}, "k2 is 0.0"),
    ],
)
def test_options_out_of_range(options, message):
    x = np.ones((1, 12, 14))
    with pytest.raises(ValueError, match=message):
        ssim(x, x, **options)


def test_images_of_other_shapes():
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=r"x has shape \(12, 12\): images"):
            metric(np.ones((12, 12)), np.ones((12, 12)), data_range=1.0)
        with pytest.raises(ValueError, match="none of them of length 0"):
            metric(np.ones((0, 12, 12)), np.ones((0, 12, 12)), data_range=1.0)
        with pytest.raises(ValueError, match="y has shape"):
            metric(np.ones((1, 12, 12)), np.ones((1, 12, 13)), data_range=1.0)
        with pytest.raises(TypeError, match="y has dtype uint8"):
            metric(np.ones((1, 12, 12)), np.ones((1, 12, 12), np.uint8), data_range=1.0)
    with pytest.raises(ValueError, match="data_range is -1"):
        psnr(np.ones((1, 2, 2)), np.ones((1, 2, 2)), data_range=-1.0)

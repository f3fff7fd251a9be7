"""How near one image comes to another, pixel by pixel: PSNR, and SSIM on local windows."""

import math

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    norm,
    stop_gradient,
    widen,
)


def _check_images(x: Array, y: Array, data_range: float) -> None:
    check_float("x", x)
    check_float("y", y)
    check_same_shape("y", y, "x", x)
    check_between("data_range", data_range, 0, math.inf, closed="neither")
    if x.ndim < 3 or 0 in x.shape[-3:]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: images (..., channels, height, width) are needed, "
            "none of them of length 0"
        )


def psnr(x: Array, y: Array, *, data_range: float) -> Array:
    r"""Return the peak signal-to-noise ratio of an image, against the one that it should be.

    $$\mathrm{PSNR} = 10\log_{10}\frac{R^2}{\mathrm{MSE}}$$

    Args:
        x: Images, shape (..., channels, height, width), floating-point.
        y: The images that they should be, in the same shape.
        data_range: R > 0, the largest possible value minus the smallest: 1 or 255, mostly.

    Returns:
        A number of decibels for each image, shape (...): ∞ where both are equal.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ or hold no pixel, or `data_range` is not positive.

    Note:
        Differs from torchmetrics and Keras, which pool the squared error over the batch. The mean
        of these ratios is at least as large as that ratio.

    Example:
        >>> import numpy as np
        >>> psnr(np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.1), data_range=1.0).round(9)
        np.float64(20.0)
    """
    _check_images(x, y, data_range)
    xp = namespace(x, y)
    apart = widen(x) - widen(y)
    pixels = math.prod(x.shape[-3:])
    rms = norm(xp.reshape(apart, (*x.shape[:-3], pixels)), axis=-1) / math.sqrt(pixels)
    one = xp.ones_like(rms)
    level = math.log10(data_range) - xp.log10(xp.where(rms == 0, one, rms))
    return xp.astype(xp.where(rms == 0, math.inf * one, 20 * level), x.dtype, copy=False)


def _windows(x: Array, weights: tuple[float, ...]) -> Array:
    """Return the weighted mean in each window that lies within the image, axis by axis."""
    size = len(weights)
    rows, columns = x.shape[-2] - size + 1, x.shape[-1] - size + 1
    x = sum(w * x[..., i : i + rows, :] for i, w in enumerate(weights))
    return sum(w * x[..., i : i + columns] for i, w in enumerate(weights))


def ssim(
    x: Array,
    y: Array,
    *,
    data_range: float,
    size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Array:
    r"""Return the structural similarity: of means, contrasts and patterns in local windows.

    $$\mathrm{SSIM} = \frac{2\mu_x\mu_y + c_1}{\mu_x^2 + \mu_y^2 + c_1}\cdot
      \frac{2\sigma_{xy} + c_2}{\sigma_x^2 + \sigma_y^2 + c_2},\qquad c_i = (k_i R)^2$$

    Means, variances and the covariance are those of a window with Gaussian weights that sum to 1.
    The result is the mean over the windows that lie within the image, and over channels.

    Args:
        x: Images, shape (..., channels, height, width), floating-point.
        y: The images that they should be, in the same shape.
        data_range: R > 0, the largest possible value minus the smallest: 1 or 255, mostly.
        size: Odd side length of the window, at most that of the image.
        sigma: Standard deviation of the Gaussian in pixels; `math.inf` for equal weights.
        k1: Keeps the first quotient finite in the dark.
        k2: Keeps the second finite where nothing varies.

    Returns:
        A number in [−1, 1] for each image, shape (...): 1 where both are equal.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, an image is smaller than the window, or an option is out of
            its range.

    Note:
        The choices of the paper. Differs from torchmetrics, which pads by reflection and counts
        windows that reach over the border, and from scikit-image, whose default is a window of 7
        equal weights and variances divided by one pixel less.

    Reference:
        Wang et al. (2004).

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).uniform(size=(1, 32, 32))
        >>> ssim(x, x, data_range=1.0).round(9), ssim(x, 1 - x, data_range=1.0).round(2)
        (np.float64(1.0), np.float64(-0.97))
    """
    _check_images(x, y, data_range)
    check_between("sigma", sigma, 0, math.inf, closed="right")
    check_between("k1", k1, 0, math.inf, closed="neither")
    check_between("k2", k2, 0, math.inf, closed="neither")
    check_count("size", size, 1, min(x.shape[-2:]))
    if size % 2 == 0:
        raise ValueError(f"size is {size}: it must be odd, so that a window has a centre")
    xp = namespace(x, y)
    steps = [(i - size // 2) / sigma for i in range(size)]
    bell = [math.exp(-0.5 * step * step) for step in steps]
    weights = tuple(w / sum(bell) for w in bell)
    wide_x, wide_y = widen(x), widen(y)
    axes = (-3, -2, -1)
    # In units of the largest number, whose square may overflow, and about a common level: of
    # E[x²] − E[x]² little is left where pixels lie far from 0.
    largest = xp.maximum(xp.abs(wide_x), xp.abs(wide_y))
    unit = xp.clip(xp.max(largest, axis=axes, keepdims=True), data_range, None)
    unit = stop_gradient(unit)
    a, b = wide_x / unit, wide_y / unit
    level = stop_gradient(xp.mean(a + b, axis=axes, keepdims=True) / 2)
    a, b = a - level, b - level
    c1, c2 = ((k * data_range / unit) ** 2 for k in (k1, k2))
    mean_a, mean_b = _windows(a, weights), _windows(b, weights)
    var_a = _windows(a * a, weights) - mean_a * mean_a
    var_b = _windows(b * b, weights) - mean_b * mean_b
    cov = _windows(a * b, weights) - mean_a * mean_b
    mean_a, mean_b = mean_a + level, mean_b + level
    light = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    pattern = (2 * cov + c2) / (var_a + var_b + c2)
    return xp.astype(xp.mean(light * pattern, axis=axes), x.dtype, copy=False)

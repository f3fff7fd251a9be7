"""Images that are moved, turned and made noisy, and the penalty that noise amounts to."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    broadcast_shape,
    check_between,
    check_float,
    check_same_shape,
    device,
    namespace,
    wide_dtype,
    widen,
)
from dlkb.backpropagation.backprop import sum_to_shape


class Grid(NamedTuple):
    """Where each pixel of the result is read, in pixels of the image; the first is 0.

    Attributes:
        rows: Downwards, `(..., height, width)`.
        columns: To the right, in the same shape.
    """

    rows: Array
    columns: Array


def shift_grid(image: Array, *, down: Array, right: Array) -> Grid:
    r"""Return the grid that moves an image; what comes in from beyond the edge is 0.

    $$y = r - d,\qquad x = c - e$$

    With whole numbers this is what padding by zeros and a random crop to the old size do.

    Args:
        image: `(..., height, width)`; its values do not matter.
        down: d, pixels downwards, a floating-point array `(...)` or of shape ().
        right: e, pixels to the right, in the same shape.

    Returns:
        The grid, for `warp`, in the dtype of `down`. Pass float32 at least where a side has more
        than 256 pixels, which bfloat16 does not tell apart.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes of `down` and `right` differ, or the image has no two axes.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0]])
        >>> grid = shift_grid(x, down=np.asarray(1.0), right=np.asarray(0.0))
        >>> warp(x, grid)
        array([[0., 0.],
               [1., 2.]])
    """
    check_float("down", down)
    check_float("right", right)
    check_same_shape("down", down, "right", right)
    rows, columns = _pixels(image, down)
    xp = namespace(image, down, right)
    grid = xp.broadcast_arrays(
        rows - widen(down)[..., None, None], columns - widen(right)[..., None, None]
    )
    return Grid(*(xp.astype(part, down.dtype, copy=False) for part in grid))


def rotation_grid(image: Array, *, angle: Array) -> Grid:
    r"""Return the grid that turns an image about its centre.

    $$y = r_0 + (r - r_0)\cos\varphi + (c - c_0)\sin\varphi,\qquad
      x = c_0 + (c - c_0)\cos\varphi - (r - r_0)\sin\varphi$$

    Args:
        image: `(..., height, width)`; its values do not matter.
        angle: φ in radians, to the left (anticlockwise), a floating-point array `(...)`.

    Returns:
        The grid, for `warp`, in the dtype of `angle`: see `shift_grid`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the image has no two axes.

    Note:
        Differs from torchvision, which takes degrees, and Keras, which takes turns.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0]])
        >>> warp(x, rotation_grid(x, angle=np.asarray(np.pi / 2))).round(6)
        array([[2., 4.],
               [1., 3.]])
    """
    check_float("angle", angle)
    rows, columns = _pixels(image, angle)
    xp = namespace(image, angle)
    r_0, c_0 = (image.shape[-2] - 1) / 2, (image.shape[-1] - 1) / 2
    down, right = rows - r_0, columns - c_0
    cos, sin = (f(widen(angle))[..., None, None] for f in (xp.cos, xp.sin))
    grid = r_0 + down * cos + right * sin, c_0 + right * cos - down * sin
    return Grid(*(xp.astype(part, angle.dtype, copy=False) for part in grid))


def warp(image: Array, grid: Grid) -> Array:
    r"""Read an image between its pixels, by bilinear interpolation; beyond the edge it is 0.

    $$x'_p = \sum_{r} \sum_{c} h(y_p - r)\,h(x_p - c)\,x_{rc},\qquad
      h(t) = \max(0, 1 - \lvert t\rvert)$$

    Args:
        image: `(..., height, width)`, of finite numbers: one that is not spoils the whole result.
        grid: Of any height and width; leading axes broadcast with those of the image.

    Returns:
        `(..., *, *)`, in the size of the grid and the dtype of the image.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the image or the grid has fewer than two axes, or the shapes do not fit.

    Note:
        Differs from `torch.nn.functional.grid_sample(align_corners=True)` in the unit of the grid.
        It sums over all pixels, which is short and runs everywhere; for large images take a
        library's, which looks up four.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[0.0, 1.0], [2.0, 3.0]])
        >>> half = Grid(np.asarray([[0.5]]), np.asarray([[0.5]]))
        >>> warp(x, half)
        array([[1.5]])
    """
    across, along = _weights(image, grid)
    xp = namespace(image)
    read = xp.sum((across @ widen(image)) * along, axis=-1)
    found = xp.reshape(read, (*read.shape[:-1], *grid.rows.shape[-2:]))
    return xp.astype(found, image.dtype, copy=False)


def warp_vjp(image: Array, grid: Grid, cotangent: Array) -> Array:
    r"""Pull a gradient back through `warp`, to the image.

    $$\bar x_{rc} = \sum_p h(y_p - r)\,h(x_p - c)\,\bar x'_p$$

    Args:
        image: As in the forward pass; its values do not matter.
        grid: As in the forward pass.
        cotangent: Gradient with respect to the result, in its shape.

    Returns:
        The gradient, in the shape of the image.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the image or the grid has fewer than two axes, or the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> x = np.zeros((2, 2))
        >>> half = Grid(np.asarray([[0.5]]), np.asarray([[0.5]]))
        >>> warp_vjp(x, half, np.ones((1, 1)))
        array([[0.25, 0.25],
               [0.25, 0.25]])
    """
    check_float("cotangent", cotangent)
    across, along = _weights(image, grid)
    xp = namespace(image, cotangent)
    expected = (*_leading(image, grid), *grid.rows.shape[-2:])
    if tuple(cotangent.shape) != expected:
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: it must have that of the result, "
            f"{expected}"
        )
    wide = xp.astype(cotangent, wide_dtype(image), copy=False)
    each = xp.reshape(wide, (*cotangent.shape[:-2], math.prod(cotangent.shape[-2:]), 1))
    back = xp.matrix_transpose(across) @ (each * along)
    return xp.astype(sum_to_shape(back, tuple(image.shape)), image.dtype, copy=False)


def noise_penalty(jacobian: Array, *, std: float) -> Array:
    r"""Return what noise on the inputs adds to a squared error, to second order and on average.

    $$\mathbb{E}\,\lVert f(\mathbf{x} + \boldsymbol{\epsilon}) - \mathbf{y}\rVert^2 \approx
      \lVert f(\mathbf{x}) - \mathbf{y}\rVert^2 + \sigma^2\,\lVert\mathbf{J}\rVert_F^2$$

    Exact where f is linear: there it is ridge regression. Otherwise a term with second derivatives
    times the residual stands beside it, which is small where the residual is.

    Args:
        jacobian: J, `(..., outputs, inputs)`.
        std: σ ≥ 0 of independent Gaussian noise.

    Returns:
        The penalty, `(...)`.

    Raises:
        TypeError: If `jacobian` is not floating-point.
        ValueError: If `std` is negative, or `jacobian` has fewer than two axes.

    Reference:
        Bishop, Training with Noise is Equivalent to Tikhonov Regularization, Neural Computation 7,
        1995.

    Example:
        >>> import numpy as np
        >>> noise_penalty(np.asarray([[1.0, 2.0]]), std=0.1).round(3)
        np.float64(0.05)
    """
    check_float("jacobian", jacobian)
    check_between("std", std, 0, float("inf"))
    if jacobian.ndim < 2:
        raise ValueError(
            f"jacobian has shape {tuple(jacobian.shape)}: it must be (..., outputs, inputs)"
        )
    # Scaled first: the square of a large slope may overflow where the product does not.
    return namespace(jacobian).sum((std * jacobian) ** 2, axis=(-2, -1))


def _pixels(image: Array, like: Array) -> Grid:
    """Return the numbers of rows, `(height, 1)`, and of columns, `(width,)`, wide as `like`."""
    check_float("image", image)
    if image.ndim < 2:
        raise ValueError(f"image has shape {tuple(image.shape)}: it must be (..., height, width)")
    place = {"dtype": wide_dtype(like), "device": device(image)}
    rows, columns = (namespace(image).arange(n, **place) for n in image.shape[-2:])
    return Grid(rows[:, None], columns)


def _leading(image: Array, grid: Grid) -> tuple[int, ...]:
    """Return the axes in front that image and grid have together."""
    axes = broadcast_shape(image.shape[:-2], grid.rows.shape[:-2])
    if axes is None:
        raise ValueError(
            f"image has shape {tuple(image.shape)} and grid {tuple(grid.rows.shape)}: the axes in "
            "front of the last two must be equal, or 1"
        )
    return axes


def _weights(image: Array, grid: Grid) -> tuple[Array, Array]:
    """Return the weights of all rows and of all columns of the image for each pixel of the grid."""
    check_float("grid.rows", grid.rows)
    check_float("grid.columns", grid.columns)
    check_same_shape("grid.rows", grid.rows, "grid.columns", grid.columns)
    if grid.rows.ndim < 2:
        raise ValueError(f"grid has shape {tuple(grid.rows.shape)}: it must be (..., *, *)")
    numbers = _pixels(image, grid.rows)
    _leading(image, grid)
    xp = namespace(image, grid.rows, grid.columns)

    def hat(at: Array, number: Array) -> Array:
        flat = xp.reshape(widen(at), (*at.shape[:-2], math.prod(at.shape[-2:]), 1))
        away = xp.abs(flat - xp.reshape(number, (-1,)))
        return xp.astype(xp.where(away < 1, 1 - away, 0.0), wide_dtype(image), copy=False)

    return hat(grid.rows, numbers.rows), hat(grid.columns, numbers.columns)

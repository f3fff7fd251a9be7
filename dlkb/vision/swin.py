r"""Attention in windows with relative biases, as in the Swin Transformer.

Images are (..., height, width, channels). `window` M and `shift` are numbers for both axes, or
pairs, as in `dlkb.vision.windows`.
"""

import math
from typing import Any, NamedTuple

from dlkb.arrays import Array, check_between, check_float, device, namespace, widen
from dlkb.backpropagation.backprop import linear
from dlkb.transformers.attention import attention
from dlkb.transformers.attention_heads import merge_heads, split_heads
from dlkb.vision.windows import Pair, from_windows, to_windows, window_grid, window_mask


class WindowAttention(NamedTuple):
    """The parameters of attention in windows.

    Attributes:
        qkv_weight: Shape (3C, C): queries, keys, values.
        qkv_bias: Shape (3C,).
        proj_weight: Shape (C, C).
        proj_bias: Shape (C,).
        table: Biases by relative position, shape ((2M − 1)², heads).
    """

    qkv_weight: Array
    qkv_bias: Array
    proj_weight: Array
    proj_bias: Array
    table: Array


def relative_bias(table: Array, *, window: Pair) -> Array:
    r"""Return the bias of each pair of places in a window, by their difference.

    $$B_{(i, j),\,(k, l)} = T_{\,(i - k + M - 1)\,(2M - 1) + j - l + M - 1}$$

    Args:
        table: T, shape ((2M − 1)², heads).
        window: M.

    Returns:
        Shape (heads, M², M²): queries, then keys.

    Raises:
        TypeError: If `table` is not floating-point.
        ValueError: If its shape does not fit.

    Example:
        >>> import numpy as np
        >>> relative_bias(np.arange(9.0)[:, None], window=2)[0, 0]
        array([4., 3., 1., 0.])
    """
    check_float("table", table)
    xp = namespace(table)
    m, n = window_grid(1, 1, window=window).window
    _check_table(table, m, n)
    rows = xp.take(table, xp.reshape(_index(table, m, n), (-1,)), axis=0)
    return xp.permute_dims(xp.reshape(rows, (m * n, m * n, table.shape[1])), (2, 0, 1))


def relative_bias_vjp(cotangent: Array, *, window: Pair) -> Array:
    r"""Return the gradient of the table: a sum over the pairs of places with one difference.

    $$\bar T_{d} = \sum_{(p, q)\,:\;p - q = d} \bar B_{p,\,q}$$

    Args:
        cotangent: Gradient by the biases, shape (heads, M², M²).
        window: M.

    Returns:
        Shape ((2M − 1)², heads).

    Raises:
        TypeError: If `cotangent` is not floating-point.
        ValueError: If its shape does not fit.

    Example:
        >>> import numpy as np
        >>> relative_bias_vjp(np.ones((1, 4, 4)), window=2)[:, 0]
        array([1., 2., 1., 2., 4., 2., 1., 2., 1.])
    """
    check_float("cotangent", cotangent)
    xp = namespace(cotangent)
    m, n = window_grid(1, 1, window=window).window
    if cotangent.ndim != 3 or tuple(cotangent.shape[1:]) != (m * n, m * n):
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: (heads, {m * n}, {m * n}) is needed"
        )
    index = xp.reshape(_index(cotangent, m, n), (-1, 1))
    differences = (2 * m - 1) * (2 * n - 1)
    known = xp.arange(differences, dtype=xp.int32, device=device(cotangent))
    flat = xp.reshape(widen(cotangent), (cotangent.shape[0], -1))
    grad = xp.matmul(flat, xp.astype(index == known, flat.dtype))
    return xp.astype(xp.matrix_transpose(grad), cotangent.dtype, copy=False)


def window_attention(
    x: Array, params: WindowAttention, *, heads: int, window: Pair, shift: Pair = 0
) -> Array:
    r"""Return attention of each place to its window, with several heads and relative biases.

    $$\mathrm{softmax}\Bigl(\frac{QK^{\mathsf T}}{\sqrt d} + B\Bigr)\,V$$

    Args:
        x: Shape (..., height, width, C).
        params: Weights and biases.
        heads: A divisor of C.
        window: M ≥ 1.
        shift: 0 in every other layer, ⌊M/2⌋ in those between.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or options do not fit.

    Note:
        Like torchvision's, in which padded places are read like any others, as keys and values
        that are biases alone. There the mask adds −100, here −∞.

    Reference:
        Liu et al., Swin Transformer (2021).

    Example:
        >>> import numpy as np
        >>> eye, none = np.eye(2), np.zeros(2)
        >>> shapes = np.concatenate([0 * eye, 0 * eye, eye]), np.zeros(6), eye, none
        >>> params = WindowAttention(*shapes, np.zeros((9, 1)))
        >>> x = np.arange(8.0).reshape(2, 2, 2)
        >>> window_attention(x, params, heads=1, window=2)[0, 0]  # a mean
        array([3., 4.])
    """
    xp = namespace(x)
    options: dict[str, Any] = {"window": window, "shift": shift}
    windows = to_windows(x, **options)
    height, width, channels = x.shape[-3:]
    mask = biased_mask(x, params.table, **options)
    for name, array, size in (
        ("qkv_weight", params.qkv_weight, (3 * channels, channels)),
        ("table", params.table, (params.table.shape[0], heads)),
    ):
        if tuple(array.shape) != size:
            raise ValueError(
                f"params.{name} has shape {tuple(array.shape)}: {size} fits x of shape "
                f"{tuple(x.shape)} and {heads} heads"
            )
    qkv = linear(windows, params.qkv_weight, params.qkv_bias)
    parts = (qkv[..., i * channels : (i + 1) * channels] for i in range(3))
    q, k, v = (split_heads(part, heads=heads) for part in parts)
    read = merge_heads(attention(q, k, v, mask=mask))
    out = linear(read, params.proj_weight, params.proj_bias)
    back = from_windows(out, height=height, width=width, **options)
    return xp.astype(back, x.dtype, copy=False)


def biased_mask(x: Array, table: Array, *, window: Pair, shift: Pair = 0) -> Array:
    r"""Return what is added to the scores: the bias where reading is allowed, −∞ elsewhere.

    $$B_{ij}\ \text{where } M_{ij}, \quad -\infty\ \text{elsewhere}$$

    Args:
        x: An image, shape (..., height, width, C).
        table: As for `relative_bias`.
        window: M.
        shift: As for `to_windows`.

    Returns:
        Shape (windows, heads, M², M²), in the dtype of `table`.

    Raises:
        TypeError: If `table` is not floating-point.
        ValueError: If shapes or options do not fit.

    Example:
        >>> import numpy as np
        >>> biased_mask(np.zeros((2, 4, 1)), np.zeros((9, 3)), window=2).shape
        (2, 3, 4, 4)
    """
    xp = namespace(x, table)
    if x.ndim < 3:
        raise ValueError(f"x has shape {tuple(x.shape)}: (..., height, width, C) is needed")
    bias = relative_bias(table, window=window)
    size = {"height": x.shape[-3], "width": x.shape[-2]}
    allowed = window_mask(x, **size, window=window, shift=shift)[:, None, ...]
    return xp.where(allowed, bias, xp.full_like(bias, -math.inf))


def window_cost(*, height: int, width: int, channels: int, window: int | None = None) -> int:
    r"""Return the multiplications with addition of attention in windows, or of all with all.

    $$4\,h\,w\,C^2 + 2\,M^2\,h\,w\,C \qquad\text{or}\qquad 4\,h\,w\,C^2 + 2\,(h\,w)^2\,C$$

    Args:
        height: h, in places.
        width: w.
        channels: C.
        window: M; `None` for all with all.

    Returns:
        A count; four projections, scores, and sums of values. Softmax and padding are left out.

    Raises:
        ValueError: If an argument is below 1.

    Reference:
        Liu et al. (2021, equations 1 and 2).

    Example:
        >>> window_cost(height=56, width=56, channels=96, window=7)
        145108992
    """
    given = {"height": height, "width": width, "channels": channels}
    for name, value in (given if window is None else given | {"window": window}).items():
        check_between(name, value, 1, math.inf, closed="left")
    places = height * width
    seen = places if window is None else window * window
    return 4 * places * channels**2 + 2 * seen * places * channels


def _index(like: Array, m: int, n: int) -> Array:
    xp = namespace(like)
    place = xp.arange(m * n, dtype=xp.int32, device=device(like))
    row, column = place // n, place % n
    down = row[:, None] - row + m - 1
    return down * (2 * n - 1) + column[:, None] - column + n - 1


def _check_table(table: Array, m: int, n: int) -> None:
    differences = (2 * m - 1) * (2 * n - 1)
    if table.ndim != 2 or table.shape[0] != differences:
        raise ValueError(
            f"table has shape {tuple(table.shape)}: ({differences}, heads) is needed for windows "
            f"of {m} by {n}"
        )

r"""Windows over an image, shifted or not, and which places of a window belong together.

Images are (..., height, width, channels). `window` M and `shift` are numbers for both axes, or
pairs. Sizes that M does not divide are padded with zeros at the right and at the bottom.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dlkb.arrays import Array, as_numbers, check_between, check_float, device, namespace

Pair = int | Sequence[int]


class Grid(NamedTuple):
    """Windows over an image, along both axes.

    Attributes:
        sides: Height and width with the padding: multiples of the window's.
        window: Height and width of a window.
        shift: By how much it is rolled; 0 along an axis that is one window long.
    """

    sides: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]


def window_grid(height: int, width: int, *, window: Pair, shift: Pair = 0) -> Grid:
    r"""Return how windows lie over an image.

    $$h' = M\,\lceil h / M\rceil, \qquad s' = s\ \text{if } h' > M \text{ else } 0$$

    Args:
        height: h, places of the image.
        width: Likewise.
        window: M ≥ 1.
        shift: 0 ≤ s < M.

    Returns:
        Padded sides, window and shift.

    Raises:
        ValueError: If an option does not fit.

    Example:
        >>> window_grid(9, 4, window=4, shift=2)
        Grid(sides=(12, 4), window=(4, 4), shift=(2, 0))
    """
    size, by = _pair("window", window, 1), _pair("shift", shift, 0)
    for one, m in zip(by, size, strict=True):
        check_between("shift", one, 0, m, closed="left")
    sides = -(-height // size[0]) * size[0], -(-width // size[1]) * size[1]
    rolled = (0 if m >= n else s for n, m, s in zip(sides, size, by, strict=True))
    return Grid(sides, size, (next(rolled), next(rolled)))


def to_windows(x: Array, *, window: Pair, shift: Pair = 0) -> Array:
    r"""Cut an image into windows, after rolling it up and left by `shift`.

    $$x_{\,r M + i,\; c M + j} \;\mapsto\; w_{\,(r, c),\; (i, j)}$$

    Args:
        x: Shape (..., height, width, C).
        window: M ≥ 1.
        shift: 0 ≤ shift < M. An axis that is one window long is not rolled.

    Returns:
        Shape (..., windows, M², C), windows and their places row by row.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If shape or options do not fit.

    Example:
        >>> import numpy as np
        >>> x = np.arange(16.0).reshape(4, 4, 1)
        >>> to_windows(x, window=2)[:, :, 0].astype(int).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    """
    _check_image(x)
    xp = namespace(x)
    sides, (m, n), shifts = window_grid(*x.shape[-3:-1], window=window, shift=shift)
    for axis, side in ((-3, sides[0]), (-2, sides[1])):
        missing = list(x.shape)
        missing[axis] = side - x.shape[axis]
        if missing[axis]:
            zeros = xp.zeros(missing, dtype=x.dtype, device=device(x))
            x = xp.concat([x, zeros], axis=axis)
    x = xp.roll(x, (-shifts[0], -shifts[1]), axis=(-3, -2))
    return _cut(x, m, n)


def from_windows(
    windows: Array, *, height: int, width: int, window: Pair, shift: Pair = 0
) -> Array:
    r"""Put windows together again: the inverse of `to_windows`.

    $$w_{\,(r, c),\; (i, j)} \;\mapsto\; x_{\,r M + i,\; c M + j}$$

    Args:
        windows: Shape (..., windows, M², C).
        height: Of the image, without what was padded.
        width: Likewise.
        window: As for `to_windows`.
        shift: As for `to_windows`.

    Returns:
        Shape (..., height, width, C).

    Raises:
        TypeError: If `windows` is not floating-point.
        ValueError: If shape or options do not fit.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(5, 7, 2))
        >>> w = to_windows(x, window=4, shift=2)
        >>> np.array_equal(from_windows(w, height=5, width=7, window=4, shift=2), x)
        True
    """
    check_float("windows", windows)
    xp = namespace(windows)
    (rows, columns), (m, n), shifts = window_grid(height, width, window=window, shift=shift)
    count = rows // m * (columns // n)
    if windows.ndim < 3 or tuple(windows.shape[-3:-1]) != (count, m * n):
        raise ValueError(
            f"windows has shape {tuple(windows.shape)}: (..., {count}, {m * n}, C) is needed for "
            f"{height} by {width} places"
        )
    front = tuple(windows.shape[:-3])
    x = xp.reshape(windows, (*front, rows // m, columns // n, m, n, windows.shape[-1]))
    at = len(front)
    x = xp.permute_dims(x, (*range(at), at, at + 2, at + 1, at + 3, at + 4))
    x = xp.reshape(x, (*front, rows, columns, windows.shape[-1]))
    x = xp.roll(x, shifts, axis=(-3, -2))
    return x[..., :height, :width, :]


def window_mask(like: Array, *, height: int, width: int, window: Pair, shift: Pair = 0) -> Array:
    r"""Return which places of a window may read each other: those that no roll brought together.

    $$M_{ij} = \bigl[\,b_i = b_j\,\bigr]$$

    Along an axis, block b is 2 for what the roll brought in, 1 for the rest of the last window.

    Args:
        like: An array, whose device the mask has.
        height: Of the image.
        width: Likewise.
        window: As for `to_windows`.
        shift: As for `to_windows`. Without a shift all may read all.

    Returns:
        Booleans, shape (windows, M², M²).

    Raises:
        ValueError: If options do not fit.

    Example:
        >>> import numpy as np
        >>> mask = window_mask(np.zeros(1), height=4, width=4, window=2, shift=1)
        >>> mask.all(axis=(1, 2)).tolist(), int(mask[3].sum())
        ([True, False, False, False], 4)
    """
    xp = namespace(like)
    sides, (m, n), shifts = window_grid(height, width, window=window, shift=shift)
    blocks = []
    for side, size, by in zip(sides, (m, n), shifts, strict=True):
        place = xp.arange(side, dtype=xp.int32, device=device(like))
        block = xp.astype(place >= side - size, xp.int32)
        blocks.append(block + xp.astype(place >= side - by, xp.int32))
    number = _cut((3 * blocks[0][:, None] + blocks[1])[..., None], m, n)[..., 0]
    return number[:, :, None] == number[:, None, :]


def _pair(name: str, value: Pair, low: int) -> tuple[int, int]:
    pair = as_numbers(*(value if isinstance(value, Iterable) else (value, value)))
    if len(pair) != 2 or not all(isinstance(one, int) for one in pair):
        raise ValueError(
            f"{name} is {value}: one number, or one for each of two axes, fits, as integers"
        )
    for one in pair:
        check_between(name, one, low, math.inf, closed="left")
    return pair[0], pair[1]


def _cut(x: Array, m: int, n: int) -> Array:
    xp = namespace(x)
    front, (rows, columns, channels) = tuple(x.shape[:-3]), x.shape[-3:]
    at = len(front)
    x = xp.reshape(x, (*front, rows // m, m, columns // n, n, channels))
    x = xp.permute_dims(x, (*range(at), at, at + 2, at + 1, at + 3, at + 4))
    return xp.reshape(x, (*front, rows // m * (columns // n), m * n, channels))


def _check_image(x: Array) -> None:
    check_float("x", x)
    if x.ndim < 3 or 0 in x.shape[-3:-1]:
        raise ValueError(f"x has shape {tuple(x.shape)}: (..., height, width, C) is needed")

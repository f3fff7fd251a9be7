"""Which keys a query may read."""

import math

from dlkb.arrays import (
    Array,
    broadcast_shape,
    check_count,
    check_float,
    device,
    namespace,
    widen,
)


def causal_mask(q: Array, k: Array, *, past: int = 0, window: int | None = None) -> Array:
    r"""Return which keys a query may read: itself and those before, of a window where one is given.

    $$M_{ij} = \bigl[\,i + c - w < j \le i + c\,\bigr]$$

    Args:
        q: Queries, shape (..., L, E).
        k: Keys, shape (..., S, E).
        past: c, the number of keys before the first query: S − L where a cache holds them.
        window: w ≥ 1, how many keys a query reads at most, or `None` for all.

    Returns:
        A boolean array of shape (L, S), True where a query may read.

    Raises:
        ValueError: If `window` is less than 1.

    Example:
        >>> import numpy as np
        >>> causal_mask(np.ones((3, 8)), np.ones((3, 8)), window=2).astype(int)
        array([[1, 0, 0],
               [1, 1, 0],
               [0, 1, 1]])
    """
    if window is not None:
        check_count("window", window, 1)
    xp = namespace(q, k)
    here = xp.arange(q.shape[-2], dtype=xp.int32, device=device(q))[:, None] + past
    there = xp.arange(k.shape[-2], dtype=xp.int32, device=device(q))[None, :]
    mask = there <= here
    return mask if window is None else mask & (there > here - window)


def apply_mask(scores: Array, mask: Array) -> Array:
    r"""Return the scores, −∞ where a query may not read, so that the softmax gives 0 there.

    Args:
        scores: Shape (..., L, S), floating-point.
        mask: Boolean, True where a query may read a key, or a number that is added to the score.
            Any shape that broadcasts to that of the scores.

    Returns:
        An array like `scores`.

    Raises:
        TypeError: If `scores` is not floating-point, or `mask` neither boolean nor floating-point:
            ones and zeros, as a tokenizer gives them, would be added.
        ValueError: If the mask does not broadcast to the scores.

    Example:
        >>> import numpy as np
        >>> apply_mask(np.asarray([[1.0, 2.0]]), np.asarray([True, False]))
        array([[  1., -inf]])
    """
    check_float("scores", scores)
    xp = namespace(scores, mask)
    if not xp.isdtype(mask.dtype, ("bool", "real floating")):
        raise TypeError(
            f"mask has dtype {mask.dtype}: it must be boolean, True where a query may read, "
            "or floating-point, added to the scores"
        )
    if broadcast_shape(mask.shape, scores.shape) != tuple(scores.shape):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}: it must broadcast to {tuple(scores.shape)}, "
            "(…, queries, keys)"
        )
    if xp.isdtype(mask.dtype, "bool"):
        return xp.where(mask, scores, xp.full_like(scores, -math.inf))
    masked = widen(scores) + widen(mask)
    return xp.astype(masked, scores.dtype, copy=False)

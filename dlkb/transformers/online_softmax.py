r"""Attention from blocks of keys: partial softmaxes that merge into the whole one."""

import math
from typing import Any, NamedTuple

from dlkb.arrays import (
    Array,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    wide_dtype,
    widen,
)
from dlkb.transformers.attention import _check, attention_scores
from dlkb.transformers.attention_masks import causal_mask


class Partial(NamedTuple):
    """What queries have read from a part of the keys.

    Attributes:
        maximum: Largest score m, shape (..., L); −∞ where no key was seen.
        total: ℓ, the sum of e^(s − m) over the keys seen, shape (..., L).
        weighted: The sum of e^(s − m) times the values, shape (..., L, d_v).
    """

    maximum: Array
    total: Array
    weighted: Array


def _finite(maximum: Array) -> Array:
    # −∞ − (−∞) is NaN: where no key was seen, any finite number serves.
    xp = namespace(maximum)
    return xp.where(maximum == -math.inf, xp.zeros_like(maximum), maximum)


def partial_attention(scores: Array, v: Array) -> Partial:
    r"""Return what queries read from some of the keys, before the division.

    $$m = \max_j s_j,\qquad \ell = \sum_j e^{s_j - m},\qquad
    \mathbf{a} = \sum_j e^{s_j - m}\,\mathbf{v}_j$$

    Args:
        scores: Shape (..., L, S), floating-point, S ≥ 1; −∞ where a query may not read.
        v: Values, shape (..., S, d_v).

    Returns:
        The parts, in float32 at least.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Example:
        >>> import numpy as np
        >>> partial_attention(np.asarray([[0.0, 0.0]]), np.asarray([[1.0], [3.0]]))
        Partial(maximum=array([0.]), total=array([2.]), weighted=array([[4.]]))
    """
    check_float("scores", scores)
    check_float("v", v)
    fits = scores.ndim > 1 and scores.ndim == v.ndim and scores.shape[-1] > 0
    if not fits or (*scores.shape[:-2], scores.shape[-1]) != tuple(v.shape[:-1]):
        raise ValueError(
            f"scores has shape {tuple(scores.shape)} but v has shape {tuple(v.shape)}: "
            "(…, L, S) and (…, S, d_v) are needed, S ≥ 1"
        )
    xp = namespace(scores, v)
    s = widen(scores)
    maximum = xp.max(s, axis=-1)
    e = xp.exp(s - _finite(maximum)[..., None])
    return Partial(maximum, xp.sum(e, axis=-1), e @ widen(v))


def merge_partials(first: Partial, second: Partial) -> Partial:
    r"""Return what queries read from two disjoint sets of keys, from what they read from each.

    $$m = \max(m_1, m_2),\qquad \ell = e^{m_1 - m}\ell_1 + e^{m_2 - m}\ell_2,\qquad
    \mathbf{a} = e^{m_1 - m}\mathbf{a}_1 + e^{m_2 - m}\mathbf{a}_2$$

    Args:
        first: Of one set.
        second: Of the other, in the same shapes.

    Returns:
        The parts of the union. The order of merging changes the rounding alone.

    Raises:
        ValueError: If shapes differ.

    Reference:
        Milakov and Gimelshein (2018); Dao et al. (2022).

    Example:
        >>> import numpy as np
        >>> parts = [
        ...     partial_attention(np.asarray([[s]]), np.asarray([[v]]))
        ...     for s, v in ((0.0, 1.0), (np.log(3.0), 5.0))
        ... ]
        >>> finish_partial(merge_partials(*parts))
        array([[4.]])
    """
    for name, a, b in zip(Partial._fields, first, second, strict=True):
        if tuple(a.shape) != tuple(b.shape):
            raise ValueError(
                f"{name} has shape {tuple(a.shape)} in first but {tuple(b.shape)} in second: "
                "the queries must be the same"
            )
    xp = namespace(*first, *second)
    maximum = xp.maximum(first.maximum, second.maximum)
    shift = _finite(maximum)
    a, b = xp.exp(first.maximum - shift), xp.exp(second.maximum - shift)
    return Partial(
        maximum,
        a * first.total + b * second.total,
        a[..., None] * first.weighted + b[..., None] * second.weighted,
    )


def finish_partial(part: Partial) -> Array:
    r"""Return the mean of the values under the weights, for the keys that were seen.

    $$\mathbf{o} = \frac{\mathbf{a}}{\ell}$$

    Args:
        part: Of some keys, or merged.

    Returns:
        Shape (..., L, d_v), zero where a query saw no key.

    Raises:
        ValueError: If its shapes do not fit.

    Example:
        >>> import numpy as np
        >>> finish_partial(Partial(np.zeros(1), np.asarray([2.0]), np.asarray([[4.0]])))
        array([[2.]])
    """
    check_same_shape("maximum", part.maximum, "total", part.total)
    if part.weighted.ndim == 0 or tuple(part.weighted.shape[:-1]) != tuple(part.total.shape):
        raise ValueError(
            f"total has shape {tuple(part.total.shape)} but weighted has shape "
            f"{tuple(part.weighted.shape)}: but for the last axis of weighted they must agree"
        )
    xp = namespace(*part)
    total = xp.where(part.total == 0, xp.ones_like(part.total), part.total)
    return part.weighted / total[..., None]


def online_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    block: int,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    r"""Return attention with `block` keys at a time: no L × S matrix of scores is held.

    Args:
        q: As for `attention`.
        k: As for `attention`.
        v: As for `attention`.
        block: Number of keys read at a time, ≥ 1.
        mask: As for `attention`, with an axis for the keys.
        is_causal: As for `attention`.
        scale: As for `attention`.

    Returns:
        As `attention`, up to rounding.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Reference:
        Dao et al. (2022): the inner loop of FlashAttention.

    Example:
        >>> import numpy as np
        >>> from dlkb.transformers.attention import attention
        >>> q, k, v = np.random.default_rng(0).normal(size=(3, 7, 4))
        >>> bool(np.allclose(online_attention(q, k, v, block=2), attention(q, k, v)))
        True
    """
    check_count("block", block, 1)
    _check(q, k, v, enable_gqa=False)
    if is_causal and mask is not None:
        raise ValueError("is_causal and mask are both given: combine the mask with causal_mask")
    mask = causal_mask(q, k) if is_causal else mask
    keys = k.shape[-2]
    if mask is not None and tuple(mask.shape[-1:]) != (keys,):
        raise ValueError(f"mask has shape {tuple(mask.shape)}: its last axis must hold {keys} keys")
    xp = namespace(q, k, v)
    like: dict[str, Any] = {"dtype": wide_dtype(q), "device": device(q)}
    seen = Partial(
        xp.full(q.shape[:-1], -math.inf, **like),
        xp.zeros(q.shape[:-1], **like),
        xp.zeros((*q.shape[:-1], v.shape[-1]), **like),
    )
    for start in range(0, keys, block):
        part = slice(start, min(start + block, keys))
        here = None if mask is None else mask[..., part]
        scores = attention_scores(q, k[..., part, :], mask=here, scale=scale)
        seen = merge_partials(seen, partial_attention(scores, v[..., part, :]))
    return xp.astype(finish_partial(seen), q.dtype, copy=False)

"""Attention: each query reads a mean of the values, weighted by how well their keys match."""

import math

from dlkb.arrays import Array, check_float, namespace, widen
from dlkb.losses.cross_entropy import softmax
from dlkb.transformers.attention_masks import apply_mask, causal_mask


def _check(q: Array, k: Array, v: Array, enable_gqa: bool) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        check_float(name, x)
        if x.ndim < 2:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}: it needs two axes at least, (…, tokens, width)"
            )
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"q has shape {tuple(q.shape)} but k has shape {tuple(k.shape)}: "
            "their last axes, the width of a head, must be equal"
        )
    if tuple(k.shape[:-1]) != tuple(v.shape[:-1]):
        raise ValueError(
            f"v has shape {tuple(v.shape)} but k has shape {tuple(k.shape)}: "
            "all axes but the last must be equal, one value for each key"
        )
    if enable_gqa:
        fits = q.ndim > 2 and q.ndim == k.ndim and tuple(q.shape[:-3]) == tuple(k.shape[:-3])
        if not (fits and k.shape[-3] and q.shape[-3] % k.shape[-3] == 0):
            raise ValueError(
                f"q has shape {tuple(q.shape)} but k has shape {tuple(k.shape)}: the heads, third "
                "from the end, must be a multiple of those of k, the axes before them equal"
            )
    elif tuple(q.shape[:-2]) != tuple(k.shape[:-2]):
        raise ValueError(
            f"q has shape {tuple(q.shape)} but k has shape {tuple(k.shape)}: the axes before the "
            "last two must be equal; enable_gqa=True lets several heads of q share one of k"
        )


def _fold(x: Array, k: Array) -> Array:
    # Queries that share a head of keys are more queries of that head: (…, H, L, E) becomes
    # (…, H_k, H / H_k · L, E), without a copy of k and v.
    if k.ndim == 2:
        return x
    shared = x.shape[-3] // (k.shape[-3] or 1)
    return namespace(x).reshape(x, (*k.shape[:-2], shared * x.shape[-2], x.shape[-1]))


def _factor(q: Array, scale: float | None) -> float:
    return 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale


def _softmax(scores: Array) -> Array:
    """Return the softmax over the keys, 0 in a row without a key."""
    xp = namespace(scores)
    if scores.shape[-1] == 0:
        return scores
    some = xp.max(scores, axis=-1, keepdims=True) != -math.inf  # NaN stays NaN
    zero = xp.zeros_like(scores)
    return xp.where(some, softmax(xp.where(some, scores, zero)), zero)


def attention_scores(
    q: Array,
    k: Array,
    *,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Array:
    r"""Return how well each query matches each key, −∞ where it may not read it.

    $$s_{ij} = \frac{\mathbf{q}_i\cdot\mathbf{k}_j}{\sqrt{d}} + M_{ij}$$

    Args:
        q: As for `attention`.
        k: As for `attention`.
        mask: As for `attention`.
        is_causal: As for `attention`.
        scale: As for `attention`.
        enable_gqa: As for `attention`.

    Returns:
        Shape (..., L, S), in the dtype to which `q` and `k` promote, float32 at least.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[2.0], [3.0]])
        >>> attention_scores(x, x, is_causal=True)
        array([[  4., -inf],
               [  6.,   9.]])
    """
    _check(q, k, k, enable_gqa)
    if is_causal and mask is not None:
        raise ValueError("is_causal and mask are both given: combine the mask with causal_mask")
    xp = namespace(q, k, mask)
    scores = _fold(widen(q) * _factor(q, scale), k) @ xp.matrix_transpose(widen(k))
    scores = xp.reshape(scores, (*q.shape[:-1], k.shape[-2]))
    if is_causal:
        mask = causal_mask(q, k)
    return scores if mask is None else apply_mask(scores, mask)


def attention_weights(
    q: Array,
    k: Array,
    *,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Array:
    r"""Return how much each query reads from each key: a softmax over the keys.

    $$P_{ij} = \frac{e^{s_{ij}}}{\sum_{l=1}^{S} e^{s_{il}}},\qquad
    s_{ij} = \frac{\mathbf{q}_i\cdot\mathbf{k}_j}{\sqrt{d}} + M_{ij}$$

    Args:
        q: Queries, shape (..., L, d).
        k: Keys, shape (..., S, d).
        mask: As for `attention`.
        is_causal: As for `attention`.
        scale: As for `attention`.
        enable_gqa: As for `attention`.

    Returns:
        Shape (..., L, S), in the dtype of `q`. Each row adds up to 1, or to 0 where no key is left.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Example:
        >>> import numpy as np
        >>> q, k = np.asarray([[1.0, 0.0]]), np.asarray([[2.0, 0.0], [0.0, 2.0]])
        >>> attention_weights(q, k).round(3)
        array([[0.804, 0.196]])
    """
    scores = attention_scores(
        q, k, mask=mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
    )
    return namespace(q).astype(_softmax(scores), q.dtype, copy=False)


def attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Array:
    r"""Return what each query reads: the mean of the values under its weights.

    $$\mathrm{attention}(Q, K, V) =
    \mathrm{softmax}\Bigl(\frac{Q K^{\mathsf T}}{\sqrt{d}} + M\Bigr)\,V$$

    Args:
        q: Queries, shape (..., L, d), floating-point.
        k: Keys, shape (..., S, d).
        v: Values, shape (..., S, d_v).
        mask: Boolean, True where a query may read a key, or a number that is added to the score.
            Any shape that broadcasts to (..., L, S): three axes are those of the heads where `q`
            is (batch, heads, L, d), one for each sequence is (batch, 1, L, S).
        is_causal: Whether query i reads keys j ≤ i alone, counted from the first of each. Where
            there are more keys than queries, as with a cache, pass
            `mask=causal_mask(q, k, past=S - L)`.
        scale: Factor of the scores, 1/√d by default.
        enable_gqa: Whether the third axis from the end holds heads, of which those of `q` are a
            multiple: H/H_k heads of `q` in a row share one of `k` and `v`.

    Returns:
        Shape (..., L, d_v), in the dtype of `q`, computed in float32 at least. Zero where no key
        is left, if the values are finite.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Note:
        Like `torch.nn.functional.scaled_dot_product_attention`. Differs in leading axes that
        broadcast, which are refused here.

    Reference:
        Vaswani et al. (2017); grouped queries: Ainslie et al. (2023).

    Example:
        >>> import numpy as np
        >>> keys = np.asarray([[9.0, 0.0], [0.0, 9.0]])
        >>> attention(keys, keys, np.asarray([[1.0], [5.0]])).round(3)
        array([[1.],
               [5.]])
    """
    _check(q, k, v, enable_gqa)
    xp = namespace(q, k, v)
    scores = attention_scores(
        q, k, mask=mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
    )
    read = _fold(_softmax(scores), k) @ widen(v)
    return xp.astype(xp.reshape(read, (*q.shape[:-1], v.shape[-1])), q.dtype, copy=False)


def attention_vjp(
    q: Array,
    k: Array,
    v: Array,
    cotangent: Array,
    *,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Array, Array, Array]:
    r"""Return the gradients of `attention` by queries, keys and values.

    $$\bar V = P^{\mathsf T}\bar O,\qquad
    \bar S = P \circ (\bar O V^{\mathsf T} - \boldsymbol{\delta}),\quad
    \delta_i = \bar{\mathbf o}_i\cdot\mathbf o_i,\qquad
    \bar Q = \frac{\bar S K}{\sqrt d},\qquad
    \bar K = \frac{\bar S^{\mathsf T} Q}{\sqrt d}$$

    Args:
        q: As for `attention`.
        k: As for `attention`.
        v: As for `attention`.
        cotangent: Gradient by the output, shape (..., L, d_v).
        mask: As for `attention`.
        is_causal: As for `attention`.
        scale: As for `attention`.
        enable_gqa: As for `attention`. Heads that share keys add up their gradients.

    Returns:
        Arrays like `q`, `k` and `v`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Reference:
        Dao et al. (2022).

    Example:
        >>> import numpy as np
        >>> q, k = np.asarray([[1.0]]), np.asarray([[1.0], [1.0]])
        >>> v, cotangent = np.asarray([[0.0], [1.0]]), np.asarray([[4.0]])
        >>> dq, dk, dv = attention_vjp(q, k, v, cotangent)
        >>> dk, dv
        (array([[-1.],
               [ 1.]]), array([[2.],
               [2.]]))
    """
    _check(q, k, v, enable_gqa)
    check_float("cotangent", cotangent)
    xp = namespace(q, k, v, cotangent)
    if tuple(cotangent.shape) != (*q.shape[:-1], v.shape[-1]):
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: it must be that of the output, "
            f"{(*q.shape[:-1], v.shape[-1])}"
        )
    scores = attention_scores(
        q, k, mask=mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
    )
    p = _fold(_softmax(scores), k)
    d_out = _fold(widen(cotangent), k)
    d_p = d_out @ xp.matrix_transpose(widen(v))
    d_scores = p * (d_p - xp.sum(p * d_p, axis=-1, keepdims=True))
    d_scores = d_scores * _factor(q, scale)
    d_q = xp.reshape(d_scores @ widen(k), q.shape)
    d_k = xp.matrix_transpose(d_scores) @ _fold(widen(q), k)
    d_v = xp.matrix_transpose(p) @ d_out
    return (
        xp.astype(d_q, q.dtype, copy=False),
        xp.astype(d_k, k.dtype, copy=False),
        xp.astype(d_v, v.dtype, copy=False),
    )

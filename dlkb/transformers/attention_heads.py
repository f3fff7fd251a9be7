"""Several heads of attention side by side, each on its own part of the vectors."""

from dlkb.arrays import Array, check_count, device, namespace, wide_dtype
from dlkb.transformers.attention import attention, attention_vjp
from dlkb.transformers.positional_encoding import rotary


def split_heads(x: Array, *, heads: int) -> Array:
    """Return the parts of each token's vector, one for each head.

    Args:
        x: Shape (..., L, heads · d).
        heads: Number of heads ≥ 1, which divides the last axis.

    Returns:
        Shape (..., heads, L, d).

    Raises:
        ValueError: If `x` has fewer than two axes, or `heads` is less than 1 or does not divide the
            last.

    Example:
        >>> import numpy as np
        >>> split_heads(np.arange(8).reshape(2, 4), heads=2).tolist()
        [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    """
    check_count("heads", heads, 1)
    if x.ndim < 2 or x.shape[-1] % heads:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: it needs two axes at least, "
            f"the last a multiple of heads, {heads}"
        )
    xp = namespace(x)
    parts = xp.reshape(x, (*x.shape[:-1], heads, x.shape[-1] // heads))
    return _exchanged(parts)


def merge_heads(x: Array) -> Array:
    """Return the heads' vectors side by side: the inverse of `split_heads`.

    Args:
        x: Shape (..., heads, L, d).

    Returns:
        Shape (..., L, heads · d).

    Raises:
        ValueError: If `x` has fewer than three axes.

    Example:
        >>> import numpy as np
        >>> merge_heads(np.arange(8).reshape(2, 2, 2)).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    if x.ndim < 3:
        raise ValueError(f"x has shape {tuple(x.shape)}: it needs the axes (…, heads, L, d)")
    parts = _exchanged(x)
    return namespace(x).reshape(parts, (*parts.shape[:-2], parts.shape[-2] * parts.shape[-1]))


def multi_head_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    heads: int,
    kv_heads: int | None = None,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    r"""Return what the heads read, side by side: each attends with its part of the vectors.

    $$\mathbf{o}_i = \bigl(\mathbf{o}_i^{(1)},\dots,\mathbf{o}_i^{(H)}\bigr),\qquad
    O^{(h)} = \mathrm{attention}\bigl(Q^{(h)}, K^{(g)}, V^{(g)}\bigr),\qquad
    g = \lceil h\,H_k/H\rceil$$

    The four matrices around it, which make queries, keys and values and mix the heads' results,
    are left to the caller.

    Args:
        q: Queries of all heads, shape (..., L, H · d).
        k: Keys of all key heads, shape (..., S, H_k · d).
        v: Values of all key heads, shape (..., S, H_k · d_v).
        heads: H ≥ 1.
        kv_heads: H_k, which divides H; `None` for H. 1 is multi-query attention.
        mask: As for `attention`; it broadcasts to (..., H, L, S).
        is_causal: As for `attention`.
        scale: As for `attention`, 1/√d by default.

    Returns:
        Shape (..., L, H · d_v), in the dtype of `q`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Reference:
        Vaswani et al. (2017).

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(5, 8))
        >>> multi_head_attention(x, x, x, heads=2).shape
        (5, 8)
        >>> multi_head_attention(x, x[:, :4], x[:, :4], heads=2, kv_heads=1).shape
        (5, 8)
    """
    few = heads if kv_heads is None else kv_heads
    read = attention(
        split_heads(q, heads=heads),
        split_heads(k, heads=few),
        split_heads(v, heads=few),
        mask=mask,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=True,
    )
    return merge_heads(read)


def multi_head_attention_vjp(
    q: Array,
    k: Array,
    v: Array,
    cotangent: Array,
    *,
    heads: int,
    kv_heads: int | None = None,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    r"""Return the gradients of `multi_head_attention` by queries, keys and values.

    Each head sends its own part back; heads that share keys add up their gradients.

    Args:
        q: As for `multi_head_attention`.
        k: As for `multi_head_attention`.
        v: As for `multi_head_attention`.
        cotangent: Gradient by the output, shape (..., L, H · d_v).
        heads: As for `multi_head_attention`.
        kv_heads: As for `multi_head_attention`.
        mask: As for `multi_head_attention`.
        is_causal: As for `multi_head_attention`.
        scale: As for `multi_head_attention`.

    Returns:
        Arrays like `q`, `k` and `v`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or both `mask` and `is_causal` are given.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0, 2.0]])  # of one key all is read: v gets the whole gradient
        >>> multi_head_attention_vjp(x, x, x, x, heads=2)
        (array([[0., 0.]]), array([[0., 0.]]), array([[1., 2.]]))
    """
    few = heads if kv_heads is None else kv_heads
    found = attention_vjp(
        split_heads(q, heads=heads),
        split_heads(k, heads=few),
        split_heads(v, heads=few),
        split_heads(cotangent, heads=heads),
        mask=mask,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=True,
    )
    d_q, d_k, d_v = map(merge_heads, found)
    return d_q, d_k, d_v


def turn_heads(x: Array, *, heads: int, base: float, back: bool = False) -> Array:
    r"""Return the queries or keys of each head turned by their positions, counted from 0.

    $$\mathbf{y}_p^{(h)} = R_p\,\mathbf{x}_p^{(h)}$$

    Args:
        x: Shape (..., L, heads · d), d even.
        heads: Number of heads.
        base: As in `rotary`, in halves.
        back: Whether to turn the other way, as the gradient goes.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If a shape or an option does not fit.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0, 0.0], [1.0, 0.0]])
        >>> turn_heads(x, heads=1, base=100.0).round(3)
        array([[1.   , 0.   ],
               [0.54 , 0.841]])
    """
    parts = split_heads(x, heads=heads)
    positions = namespace(x).arange(x.shape[-2], dtype=wide_dtype(x), device=device(x))
    positions = -positions if back else positions
    return merge_heads(rotary(parts, positions, base=base))


def _exchanged(x: Array) -> Array:
    """Exchange the axes of heads and tokens; unlike `moveaxis`, this works in `torch.vmap`."""
    *front, heads, length, last = range(x.ndim)
    return namespace(x).permute_dims(x, (*front, length, heads, last))

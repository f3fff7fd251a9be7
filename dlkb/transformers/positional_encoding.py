"""Where a token stands: sinusoids that are added, rotations, and penalties of distance."""

import math
from typing import Literal

from dlkb.arrays import Array, check_between, check_float, device, namespace, wide_dtype, widen

Layout = Literal["halves", "pairs"]


def _check_even(width: int) -> None:
    if width < 2 or width % 2:
        raise ValueError(f"width is {width}: an even number ≥ 2 is needed, two entries a frequency")


def angles(positions: Array, *, width: int, base: float = 10_000.0) -> Array:
    r"""Return how far each frequency has turned at a position.

    $$\theta_{p,i} = p\,b^{-2i/d},\qquad i = 0,\dots,\tfrac d2 - 1$$

    Args:
        positions: p, shape (...), floating-point; any real numbers.
        width: d, even: two entries for each frequency.
        base: b > 0. From b = 1 on the longest wave is 2π b^(1 − 2/d) positions long.

    Returns:
        Shape (..., d/2), in radians, in the dtype of `positions`, computed in float32 at least.

    Raises:
        TypeError: If `positions` is not floating-point.
        ValueError: If `width` is odd or below 2, or `base` not positive.

    Example:
        >>> import numpy as np
        >>> angles(np.asarray([0.0, 3.0]), width=4)
        array([[0.  , 0.  ],
               [3.  , 0.03]])
    """
    check_float("positions", positions)
    _check_even(width)
    check_between("base", base, 0, math.inf, closed="neither")
    xp = namespace(positions)
    wide = widen(positions)
    index = xp.arange(width // 2, dtype=wide.dtype, device=device(positions))
    turned = wide[..., None] * base ** (-2 * index / width)
    return xp.astype(turned, positions.dtype, copy=False)


def sinusoidal(positions: Array, *, width: int, base: float = 10_000.0) -> Array:
    r"""Return the encoding that the first transformer adds to its embeddings.

    $$e_{p,2i} = \sin\frac{p}{b^{2i/d}},\qquad e_{p,2i+1} = \cos\frac{p}{b^{2i/d}}$$

    Args:
        positions: p, shape (...), floating-point.
        width: d, even.
        base: b > 0.

    Returns:
        Shape (..., d), in the dtype of `positions`. Each row has the squared length d/2.

    Raises:
        TypeError: If `positions` is not floating-point.
        ValueError: If `width` is odd or below 2, or `base` not positive.

    Note:
        Sine and cosine alternate, as in the paper. Transformers' Marian puts all sines before all
        cosines: the same numbers in another order. So do fairseq and Marian itself, with d/2 − 1
        in the place of d/2 in the exponent: other frequencies from the second on.

    Reference:
        Vaswani et al. (2017).

    Example:
        >>> import numpy as np
        >>> sinusoidal(np.asarray([0.0, 1.0]), width=4).round(2)
        array([[0.  , 1.  , 0.  , 1.  ],
               [0.84, 0.54, 0.01, 1.  ]])
    """
    check_float("positions", positions)
    xp = namespace(positions)
    turned = angles(widen(positions), width=width, base=base)
    pairs = xp.stack([xp.sin(turned), xp.cos(turned)], axis=-1)
    return xp.astype(xp.reshape(pairs, (*turned.shape[:-1], width)), positions.dtype, copy=False)


def rotary(
    x: Array,
    positions: Array,
    *,
    base: float = 10_000.0,
    layout: Layout = "halves",
) -> Array:
    r"""Return queries or keys, each pair of entries turned by its position.

    $$y_a = x_a \cos\theta_{p,i} - x_b \sin\theta_{p,i},\qquad
    y_b = x_a \sin\theta_{p,i} + x_b \cos\theta_{p,i}$$

    with (a, b) = (i, i + d/2) in halves, (2i, 2i + 1) in pairs. Scores of turned queries and keys
    depend on the difference of their positions alone.

    Args:
        x: Queries or keys, shape (..., L, d), d even.
        positions: Shape (L,), floating-point.
        base: b of `angles`.
        layout: Which entries make a pair. Weights made for one do not fit the other:
            see `interleave`.

    Returns:
        An array like `x`, computed in float32 at least. Lengths stay. The gradient by `x` is the
        cotangent turned back, `rotary(cotangent, -positions)`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, `d` is odd or 0, `base` is not positive, or the layout is
            unknown.

    Note:
        Halves as in GPT-NeoX and Transformers' Llama; pairs as in the paper, GPT-J and Meta's
        Llama.

    Reference:
        Su et al. (2021).

    Example:
        >>> import numpy as np
        >>> turned = rotary(np.asarray([[1.0, 0.0]]), np.asarray([np.pi / 2]))
        >>> bool(np.allclose(turned, [[0.0, 1.0]]))
        True
    """
    check_float("x", x)
    check_float("positions", positions)
    if layout not in ("halves", "pairs"):
        raise ValueError(f'layout is {layout!r}: it must be "halves" or "pairs"')
    if x.ndim < 2 or tuple(positions.shape) != (x.shape[-2],):
        raise ValueError(
            f"positions has shape {tuple(positions.shape)} but x has shape {tuple(x.shape)}: "
            "(L,) and (…, L, d) are needed"
        )
    _check_even(x.shape[-1])
    xp = namespace(x, positions)
    wide = widen(x)
    turned = angles(xp.astype(positions, wide_dtype(x)), width=x.shape[-1], base=base)
    cos, sin = xp.cos(turned), xp.sin(turned)
    half = x.shape[-1] // 2
    if layout == "halves":
        a, b = wide[..., :half], wide[..., half:]
        y = xp.concat([a * cos - b * sin, a * sin + b * cos], axis=-1)
    else:
        a, b = wide[..., ::2], wide[..., 1::2]
        y = xp.reshape(xp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1), x.shape)
    return xp.astype(y, x.dtype, copy=False)


def interleave(x: Array, *, inverse: bool = False) -> Array:
    r"""Return the entries of two halves as pairs: 0 and d/2 first, then 1 and d/2 + 1.

    So a head's queries for `layout="halves"` become those for `layout="pairs"`. To convert
    weights, reorder each head's rows of the query and of the key projection.

    Args:
        x: Shape (..., d), d even.
        inverse: Whether pairs are to become halves.

    Returns:
        The same entries in another order.

    Raises:
        ValueError: If `d` is odd or 0.

    Example:
        >>> import numpy as np
        >>> interleave(np.arange(6))
        array([0, 3, 1, 4, 2, 5])
        >>> interleave(interleave(np.arange(6)), inverse=True)
        array([0, 1, 2, 3, 4, 5])
    """
    xp = namespace(x)
    width = x.shape[-1] if x.ndim else 0
    _check_even(width)
    rows = (width // 2, 2) if inverse else (2, width // 2)
    grid = xp.reshape(x, (*x.shape[:-1], *rows))
    return xp.reshape(xp.matrix_transpose(grid), x.shape)


def alibi(q: Array, k: Array, *, past: int = 0) -> Array:
    r"""Return what is added to the scores of each head: minus its slope times the distance.

    $$M_{h,ij} = -m_h\,\lvert i + c - j\rvert,\qquad m_h = 2^{-8h/H}$$

    for a power of two H. Otherwise the slopes of the next lower power of two H′ come first, then
    every second of those of 2H′, from the first on.

    Args:
        q: Queries, shape (..., H, L, d).
        k: Keys, shape (..., H, S, d).
        past: c, the number of keys before the first query.

    Returns:
        Shape (H, L, S), in the dtype of `q`, for `mask=` of `attention`. It masks nothing.

    Raises:
        TypeError: If `q` is not floating-point.
        ValueError: If there is no axis of heads.

    Reference:
        Press et al. (2022).

    Example:
        >>> import numpy as np
        >>> x = np.ones((2, 3, 8))
        >>> alibi(x, x)[0]
        array([[-0.    , -0.0625, -0.125 ],
               [-0.0625, -0.    , -0.0625],
               [-0.125 , -0.0625, -0.    ]])
    """
    check_float("q", q)
    for name, x in (("q", q), ("k", k)):
        if x.ndim < 3:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}: it needs the axes (…, heads, tokens, d)"
            )
    xp = namespace(q, k)
    heads = q.shape[-3]
    power = 2 ** int(math.log2(heads or 1))
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)][:heads]
    slopes += [2.0 ** (-4 * h / power) for h in range(1, 2 * (heads - power), 2)]
    m = xp.asarray(slopes, dtype=wide_dtype(q), device=device(q))
    here = xp.arange(q.shape[-2], dtype=m.dtype, device=device(q)) + past
    there = xp.arange(k.shape[-2], dtype=m.dtype, device=device(q))
    bias = -m[:, None, None] * xp.abs(here[:, None] - there[None, :])
    return xp.astype(bias, q.dtype, copy=False)

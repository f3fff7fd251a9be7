"""Changes of token sequences: deletion, swap, replacement, and what is spared."""

from dlkb.arrays import Array, check_ids, check_same_shape, device, namespace


def protect(keep: Array, tokens: Array, words: Array) -> Array:
    """Return a mask that also keeps certain words, such as negations.

    Args:
        keep: Boolean, `(..., length)`.
        tokens: Token ids, integers in the same shape.
        words: Ids that are always kept, `(count,)`.

    Returns:
        A boolean array like `keep`.

    Raises:
        TypeError: If an array is not of its kind.
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> keep = np.asarray([True, False, False])
        >>> protect(keep, np.asarray([7, 8, 9]), np.asarray([9]))
        array([ True, False,  True])
    """
    _check("keep", keep, "bool")
    _check("tokens", tokens, "integral")
    _check("words", words, "integral")
    check_same_shape("keep", keep, "tokens", tokens)
    return keep | namespace(tokens, words).any(tokens[..., None] == words, axis=-1)


def delete_tokens(tokens: Array, keep: Array, *, pad: int) -> Array:
    """Remove tokens; the others close up in their order, and padding follows.

    Args:
        tokens: Token ids, `(..., length)`.
        keep: Boolean, in the same shape. Draw it with `dlkb.arrays.bernoulli`.
        pad: Id of the padding.

    Returns:
        An array like `tokens`.

    Raises:
        TypeError: If an array is not of its kind.
        ValueError: If the shapes differ.

    Reference:
        Wei and Zou, EDA, EMNLP-IJCNLP 2019: random deletion.

    Example:
        >>> import numpy as np
        >>> tokens, keep = np.asarray([5, 6, 7]), np.asarray([True, False, True])
        >>> delete_tokens(tokens, keep, pad=0)
        array([5, 7, 0])
    """
    _check("tokens", tokens, "integral")
    _check("keep", keep, "bool")
    check_same_shape("keep", keep, "tokens", tokens)
    xp = namespace(tokens, keep)
    order = xp.argsort(xp.astype(~keep, xp.int32), axis=-1, stable=True)
    closed = xp.take_along_axis(tokens, order, axis=-1)
    return xp.where(xp.take_along_axis(keep, order, axis=-1), closed, pad)


def swap_tokens(tokens: Array, first: Array, second: Array) -> Array:
    """Exchange the tokens of two places.

    Args:
        tokens: Token ids, `(..., length)`.
        first: A place, counted from 0; integers `(...)`.
        second: The other, in the same shape.

    Returns:
        An array like `tokens`: the same words, in another order.

    Raises:
        TypeError: If an array does not hold integers.
        ValueError: If the shapes do not fit, or a place is beyond the sequence, where
            `dlkb.arrays.check_ids` sees it.

    Reference:
        Wei and Zou, EDA, EMNLP-IJCNLP 2019: random swap.

    Example:
        >>> import numpy as np
        >>> swap_tokens(np.asarray([5, 6, 7]), np.asarray(0), np.asarray(2))
        array([7, 6, 5])
    """
    for name, x in (("tokens", tokens), ("first", first), ("second", second)):
        _check(name, x, "integral")
    check_same_shape("second", second, "first", first)
    if tokens.ndim == 0 or tuple(first.shape) != tuple(tokens.shape[:-1]):
        raise ValueError(
            f"first has shape {tuple(first.shape)} and tokens has shape {tuple(tokens.shape)}: "
            "first must hold one place a sequence"
        )
    for name, x in (("first", first), ("second", second)):
        check_ids(name, x, tokens.shape[-1])
    xp = namespace(tokens, first, second)
    place = xp.arange(tokens.shape[-1], dtype=xp.int64, device=device(tokens))
    a, b = (xp.astype(x, xp.int64, copy=False)[..., None] for x in (first, second))
    order = xp.where(place == a, b, xp.where(place == b, a, place))
    return xp.take_along_axis(tokens, order, axis=-1)


def replace_tokens(tokens: Array, replace: Array, table: Array) -> Array:
    """Replace tokens by what a table gives for them, such as a synonym.

    Args:
        tokens: Token ids, `(..., length)`.
        replace: Boolean, in the same shape.
        table: `(vocabulary,)`; at place i the id that stands for i, i itself if there is none.

    Returns:
        An array like `tokens`.

    Raises:
        TypeError: If an array is not of its kind.
        ValueError: If the shapes differ, or the table has no entry for a token, replaced or not,
            where `dlkb.arrays.check_ids` sees it.

    Reference:
        Wei and Zou, EDA, EMNLP-IJCNLP 2019: synonym replacement.

    Example:
        >>> import numpy as np
        >>> tokens, all_of_them = np.asarray([2, 0]), np.asarray([True, True])
        >>> replace_tokens(tokens, all_of_them, np.asarray([0, 1, 1]))
        array([1, 0])
    """
    _check("tokens", tokens, "integral")
    _check("table", table, "integral")
    _check("replace", replace, "bool")
    check_same_shape("replace", replace, "tokens", tokens)
    check_ids("tokens", tokens, table.shape[0])
    xp = namespace(tokens, replace, table)
    found = xp.reshape(xp.take(table, xp.reshape(tokens, (-1,)), axis=0), tokens.shape)
    return xp.where(replace, xp.astype(found, tokens.dtype), tokens)


def _check(name: str, x: Array, kind: str) -> None:
    if not namespace(x).isdtype(x.dtype, kind):
        raise TypeError(f"{name} has dtype {x.dtype}: it must be {kind}")

"""Orders of documents: ties in the scores, and documents that nobody has judged."""

from typing import Literal

from dlkb.arrays import Array, check_float, check_same_shape, namespace, widen


def _check_documents(name: str, x: Array) -> None:
    check_float(name, x)
    if x.ndim < 1 or x.shape[-1] == 0:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: its last axis must hold the documents"
        )


def _check_judged(judged: Array, relevance: Array) -> None:
    _check_documents("relevance", relevance)
    check_same_shape("judged", judged, "relevance", relevance)
    if not namespace(judged).isdtype(judged.dtype, "bool"):
        raise TypeError(f"judged has dtype {judged.dtype}: booleans are needed")


def ranked(
    scores: Array,
    relevance: Array,
    *,
    ties: Literal["first", "mean", "best", "worst"] = "first",
) -> Array:
    """Return relevance in the order of falling scores.

    Args:
        scores: What the system gives each document, shape (..., n), the higher the earlier, no NaN.
        relevance: Of each document, 0 for none, in the same shape.
        ties: What becomes of documents of equal score: "first" keeps their order, "best" and
            "worst" put the most or the least relevant first, "mean" gives each their mean. Under
            "mean", precision, recall and DCG are those expected of a random order (apply a gain
            that is not linear before); reciprocal rank and average precision are not. "mean"
            compares each with each: n² entries a query.

    Returns:
        An array like `relevance`.

    Raises:
        TypeError: If `relevance` is not floating-point.
        ValueError: If shapes differ, there is no document, or `ties` is none of the four.

    Reference:
        McSherry and Najork (2008).

    Example:
        >>> import numpy as np
        >>> scores, relevance = np.asarray([0.5, 0.9, 0.5]), np.asarray([0.0, 0.0, 1.0])
        >>> for ties in ("first", "mean", "best", "worst"):
        ...     print(ties, ranked(scores, relevance, ties=ties))
        first [0. 0. 1.]
        mean [0.  0.5 0.5]
        best [0. 1. 0.]
        worst [0. 0. 1.]
    """
    _check_documents("relevance", relevance)
    check_same_shape("scores", scores, "relevance", relevance)
    if ties not in ("first", "mean", "best", "worst"):
        raise ValueError(f'ties is {ties!r}: it must be "first", "mean", "best" or "worst"')
    xp = namespace(scores, relevance)
    if ties in ("best", "worst"):
        order = xp.argsort(relevance, axis=-1, descending=ties == "best", stable=True)
        scores = xp.take_along_axis(scores, order, axis=-1)
        relevance = xp.take_along_axis(relevance, order, axis=-1)
    if ties == "mean":
        wide = widen(relevance)
        tied = xp.astype(scores[..., :, None] == scores[..., None, :], wide.dtype)
        share = tied / xp.sum(tied, axis=-1, keepdims=True)
        mean = xp.sum(share * wide[..., None, :], axis=-1)
        relevance = xp.astype(mean, relevance.dtype, copy=False)
    order = xp.argsort(scores, axis=-1, descending=True, stable=True)
    return xp.take_along_axis(relevance, order, axis=-1)


def running_sum(x: Array) -> Array:
    r"""Return the sums of what stands up to each rank.

    $$s_i = \sum_{j=1}^i x_j$$

    By doubling: after each pass an entry holds twice as many terms. (The standard's
    `cumulative_sum` makes `torch.compile` warn.)

    Args:
        x: Shape (..., n), floating-point.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If it holds no document.

    Example:
        >>> import numpy as np
        >>> running_sum(np.asarray([1.0, 0.0, 1.0, 1.0]))
        array([1., 1., 2., 3.])
    """
    _check_documents("x", x)
    xp = namespace(x)
    total, reach = widen(x), 1
    while reach < x.shape[-1]:
        behind = xp.zeros_like(total[..., :reach])
        total = total + xp.concat([behind, total[..., :-reach]], axis=-1)
        reach *= 2
    return xp.astype(total, x.dtype, copy=False)


def condensed(relevance: Array, judged: Array) -> Array:
    """Return a ranking without the documents that nobody has judged: the others move up.

    Args:
        relevance: In the order of the ranking, shape (..., n). What is not judged may hold
            anything, NaN too.
        judged: Which documents somebody has judged, booleans of the same shape.

    Returns:
        An array like `relevance`, with zeros at the end in the place of what was left out.

    Raises:
        TypeError: If `relevance` is not floating-point, or `judged` not boolean.
        ValueError: If shapes differ, or there is no document.

    Reference:
        Sakai (2007).

    Example:
        >>> import numpy as np
        >>> relevance, judged = np.asarray([0.0, 1.0, 0.0]), np.asarray([False, True, True])
        >>> condensed(relevance, judged)
        array([1., 0., 0.])
    """
    _check_judged(judged, relevance)
    xp = namespace(relevance, judged)
    kept = xp.where(judged, relevance, xp.zeros_like(relevance))
    order = xp.argsort(xp.astype(judged, xp.int32), axis=-1, descending=True, stable=True)
    return xp.take_along_axis(kept, order, axis=-1)


def bpref(relevance: Array, judged: Array, total: Array, *, irrelevant: Array) -> Array:
    r"""Return the binary preference: how seldom a judged irrelevant document stands above.

    $$\mathrm{bpref} = \frac1R\sum_{i=1}^n[r_i>0]\Bigl(1-\frac{\min(n_i,R)}{\min(R,N)}\Bigr)$$

    Here nᵢ counts the judged irrelevant documents above rank i. What is not judged has no say.

    Args:
        relevance: r in the order of the ranking, shape (..., n); what is above 0 is relevant.
        judged: Which documents somebody has judged, booleans of the same shape.
        total: R, how many documents were judged relevant, found or not, shape (...).
        irrelevant: N, how many were judged irrelevant, found or not, shape (...).

    Returns:
        Shape (...), in [0, 1]; 0 where R is 0.

    Raises:
        TypeError: If `relevance`, `total` or `irrelevant` is not floating-point, or `judged` not
            boolean.
        ValueError: If shapes do not fit, or there is no document.

    Reference:
        Buckley and Voorhees (2004), with min(R, N) for their R, as in trec_eval and ranx.

    Example:
        >>> import numpy as np
        >>> relevance = np.asarray([0.0, 1.0, 0.0, 1.0])
        >>> judged = np.asarray([False, True, True, True])
        >>> bpref(relevance, judged, np.asarray(2.0), irrelevant=np.asarray(5.0))
        np.float64(0.75)
    """
    _check_judged(judged, relevance)
    xp = namespace(relevance, judged, total)
    for name, count in (("total", total), ("irrelevant", irrelevant)):
        check_float(name, count)
        check_same_shape(name, count, "relevance[..., 0]", relevance[..., 0])
    R, N = widen(total)[..., None], widen(irrelevant)[..., None]
    hits = xp.astype(judged & (relevance > 0), R.dtype)
    above = running_sum(xp.astype(judged, R.dtype) - hits)
    fewer = xp.minimum(R, N)
    # Without irrelevant ones nothing can stand above.
    share = xp.minimum(above, R) / xp.where(fewer > 0, fewer, xp.ones_like(fewer))
    value = xp.sum(hits * (1 - share), axis=-1) / xp.where(R > 0, R, xp.ones_like(R))[..., 0]
    return xp.astype(value, relevance.dtype, copy=False)

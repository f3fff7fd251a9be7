"""Metrics of rankings: precision, recall, reciprocal rank, average precision, nDCG.

All take relevance in the order of the ranking, the first document first, on the last axis, as
`dlkb.retrieval.ranking_order.ranked` returns it. Queries are the axes in front.
"""

import math
from typing import Literal

from dlkb.arrays import (
    Array,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    widen,
)
from dlkb.retrieval.ranking_order import running_sum


def _check_ranking(x: Array, k: int | None, name: str = "relevance") -> int:
    """Return how many documents count."""
    check_float(name, x)
    if x.ndim < 1 or x.shape[-1] == 0:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: its last axis must hold the documents"
        )
    if k is None:
        return int(x.shape[-1])
    check_count("k", k, 1)
    return min(k, int(x.shape[-1]))


def _positions(like: Array, start: int) -> Array:
    xp = namespace(like)
    n = like.shape[-1]
    return xp.arange(start, start + n, dtype=like.dtype, device=device(like))


def _hits(relevance: Array) -> Array:
    """Return 1 where a document is relevant, in a dtype that can count."""
    xp = namespace(relevance)
    return xp.astype(relevance > 0, widen(relevance).dtype)


def _divided(part: Array, whole: Array) -> Array:
    # A query without relevant documents scores 0, as in trec_eval.
    xp = namespace(part, whole)
    return xp.where(whole > 0, part / xp.where(whole > 0, whole, xp.ones_like(whole)), 0 * whole)


def precision(relevance: Array, *, k: int) -> Array:
    r"""Return the share of the first k documents that is relevant.

    $$P@k = \frac1k\sum_{i=1}^k r_i$$

    Args:
        relevance: r in the order of the ranking, shape (..., n), 0 or 1, or shares in between.
        k: Cutoff ≥ 1. It divides also where fewer documents were found.

    Returns:
        Shape (...), in [0, 1].

    Raises:
        TypeError: If `relevance` is not floating-point.
        ValueError: If it holds no document, or `k` is below 1.

    Example:
        >>> import numpy as np
        >>> precision(np.asarray([1.0, 0.0, 1.0]), k=2)
        np.float64(0.5)
    """
    first = _check_ranking(relevance, k)
    xp = namespace(relevance)
    share = xp.sum(widen(relevance)[..., :first], axis=-1) / k
    return xp.astype(share, relevance.dtype, copy=False)


def recall(relevance: Array, total: Array, *, k: int | None = None) -> Array:
    r"""Return the share of the relevant documents that is among the first k.

    $$R@k = \frac1R\sum_{i=1}^k r_i$$

    Args:
        relevance: r in the order of the ranking, shape (..., n), 0 or 1, or shares in between.
        total: R, how many relevant documents there are, found or not, shape (...).
        k: Cutoff ≥ 1, None for all.

    Returns:
        Shape (...), in [0, 1]; 0 where R is 0.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or `k` is below 1.

    Example:
        >>> import numpy as np
        >>> recall(np.asarray([[1.0, 0.0, 1.0]]), np.asarray([4.0]))
        array([0.5])
    """
    first = _check_ranking(relevance, k)
    check_float("total", total)
    check_same_shape("total", total, "relevance[..., 0]", relevance[..., 0])
    xp = namespace(relevance, total)
    found = xp.sum(widen(relevance)[..., :first], axis=-1)
    return xp.astype(_divided(found, widen(total)), relevance.dtype, copy=False)


def reciprocal_rank(relevance: Array, *, k: int | None = None) -> Array:
    r"""Return one over the rank of the first relevant document: MRR is its mean over queries.

    $$\mathrm{RR} = \max_{i\le k}\frac{[r_i>0]}{i}$$

    Args:
        relevance: r in the order of the ranking, shape (..., n); what is above 0 is relevant.
        k: Cutoff ≥ 1, None for all.

    Returns:
        Shape (...), in [0, 1]; 0 where no relevant document is among the first k.

    Raises:
        TypeError: If `relevance` is not floating-point.
        ValueError: If it holds no document, or `k` is below 1.

    Reference:
        Voorhees (1999).

    Example:
        >>> import numpy as np
        >>> reciprocal_rank(np.asarray([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
        array([0.5, 0. ])
    """
    first = _check_ranking(relevance, k)
    xp = namespace(relevance)
    hits = _hits(relevance)
    best = xp.max((hits / _positions(hits, 1))[..., :first], axis=-1)
    return xp.astype(best, relevance.dtype, copy=False)


def average_precision(relevance: Array, total: Array, *, k: int | None = None) -> Array:
    r"""Return the mean, over relevant documents, of the precision where each stands.

    $$\mathrm{AP} = \frac1R\sum_{i=1}^k[r_i>0]\,\frac1i\sum_{j=1}^i[r_j>0]$$

    Args:
        relevance: r in the order of the ranking, shape (..., n); what is above 0 is relevant.
        total: R, how many relevant documents there are, found or not, shape (...).
        k: Cutoff ≥ 1, None for all.

    Returns:
        Shape (...), in [0, 1]; 0 where R is 0. MAP is its mean over queries.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or `k` is below 1.

    Note:
        As in trec_eval and ranx. Differs from torchmetrics, which divides by the relevant
        documents among the first k, so that missing the others costs nothing.

    Example:
        >>> import numpy as np
        >>> average_precision(np.asarray([1.0, 0.0, 1.0]), np.asarray(4.0)).round(3)
        np.float64(0.417)
    """
    first = _check_ranking(relevance, k)
    check_float("total", total)
    check_same_shape("total", total, "relevance[..., 0]", relevance[..., 0])
    xp = namespace(relevance, total)
    hits = _hits(relevance)
    at_each = hits * running_sum(hits) / _positions(hits, 1)
    found = xp.sum(at_each[..., :first], axis=-1)
    return xp.astype(_divided(found, widen(total)), relevance.dtype, copy=False)


def gains(relevance: Array, *, gain: Literal["linear", "exponential"]) -> Array:
    r"""Return what finding a document of a grade is worth.

    $$g(r) = r \quad\text{or}\quad g(r) = 2^r - 1$$

    Args:
        relevance: Grades r ≥ 0, floating-point.
        gain: Which of the two.

    Returns:
        An array like `relevance`. Both agree for grades 0 and 1.

    Raises:
        TypeError: If `relevance` is not floating-point.
        ValueError: If the gain is neither.

    Reference:
        Järvelin and Kekäläinen (2002); Burges et al. (2005).

    Example:
        >>> import numpy as np
        >>> gains(np.asarray([0.0, 1.0, 3.0]), gain="exponential")
        array([0., 1., 7.])
    """
    check_float("relevance", relevance)
    if gain not in ("linear", "exponential"):
        raise ValueError(f'gain is {gain!r}: it must be "linear" or "exponential"')
    if gain == "linear":
        return relevance
    xp = namespace(relevance)
    return xp.astype(xp.expm1(widen(relevance) * math.log(2)), relevance.dtype, copy=False)


def dcg(gain: Array, *, k: int | None = None) -> Array:
    r"""Return the discounted cumulative gain.

    $$\mathrm{DCG}@k = \sum_{i=1}^k\frac{g_i}{\log_2(i+1)}$$

    Args:
        gain: g in the order of the ranking, shape (..., n), as from `gains`.
        k: Cutoff ≥ 1, None for all.

    Returns:
        Shape (...).

    Raises:
        TypeError: If `gain` is not floating-point.
        ValueError: If it holds no document, or `k` is below 1.

    Example:
        >>> import numpy as np
        >>> dcg(np.asarray([3.0, 0.0, 2.0]))
        np.float64(4.0)
    """
    first = _check_ranking(gain, k, "gain")
    xp = namespace(gain)
    wide = widen(gain)
    discounted = wide / xp.log2(_positions(wide, 2))
    return xp.astype(xp.sum(discounted[..., :first], axis=-1), gain.dtype, copy=False)


def ndcg(gain: Array, ideal: Array, *, k: int | None = None) -> Array:
    r"""Return the discounted cumulative gain as a share of the best possible one.

    $$\mathrm{nDCG}@k = \frac{\mathrm{DCG}@k}{\mathrm{IDCG}@k}$$

    Args:
        gain: g in the order of the ranking, shape (..., n).
        ideal: The gains of all documents that there are, retrieved or not, in any order,
            shape (..., m).
        k: Cutoff ≥ 1, None for all, of both.

    Returns:
        Shape (...), in [0, 1], up to rounding, for gains ≥ 0 that stand in `ideal`; 0 where those
        are all 0.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or `k` is below 1.

    Example:
        >>> import numpy as np
        >>> grades = np.asarray([3.0, 2.0, 3.0, 0.0, 1.0, 2.0])
        >>> ndcg(grades, grades).round(4)
        np.float64(0.9608)
    """
    _check_ranking(gain, k, "gain")
    _check_ranking(ideal, k, "ideal")
    check_same_shape("ideal[..., 0]", ideal[..., 0], "gain[..., 0]", gain[..., 0])
    xp = namespace(gain, ideal)
    best = xp.sort(widen(ideal), axis=-1, descending=True)
    share = _divided(dcg(widen(gain), k=k), dcg(best, k=k))
    return xp.astype(share, gain.dtype, copy=False)

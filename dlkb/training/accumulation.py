"""Gradient accumulation: one step from several micro-batches, equal to that of the large batch."""

import math

from dlkb.arrays import (
    Array,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    widen,
)


def _beside(weights: Array, values: Array) -> Array:
    """Shape weights of micro-batches so that they multiply along the first axis."""
    return namespace(weights).reshape(weights, (*weights.shape, *(1 for _ in values.shape[1:])))


def _check_counts(counts: Array) -> None:
    check_float("counts", counts)
    if len(counts.shape) != 1:
        raise ValueError(
            f"counts has shape {tuple(counts.shape)}: one axis is needed, a count a micro-batch"
        )


def _check_values(name: str, values: Array, counts: Array) -> None:
    check_float(name, values)
    if tuple(values.shape[:1]) != tuple(counts.shape):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}: its first axis must have "
            f"{counts.shape[0]} entries, one for each micro-batch of counts"
        )


def window_sizes(batches: int, *, accumulate: int) -> tuple[int, ...]:
    r"""Return how many micro-batches each step of an epoch takes together.

    $$s = \lceil M / K \rceil$$

    steps from M micro-batches, K at a time: the last window may be shorter, and gets its step.

    Args:
        batches: M ≥ 0, micro-batches in the epoch.
        accumulate: K ≥ 1, micro-batches in a full window.

    Returns:
        The size of each window. By its sum no micro-batch is lost.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> window_sizes(10, accumulate=4)
        (4, 4, 2)
    """
    check_count("batches", batches, 0)
    check_count("accumulate", accumulate, 1)
    full, rest = divmod(batches, accumulate)
    return (accumulate,) * full + ((rest,) if rest else ())


def micro_weights(counts: Array, *, processes: int = 1) -> Array:
    r"""Return the factor of each micro-batch's mean loss that makes their sum the mean of all.

    $$w_k = \frac{P\,n_k}{\sum_{j=1}^{K} n_j}$$

    Args:
        counts: What each mean was taken over, nₖ ≥ 0 examples or tokens, shape (K,). All of the
            step: those of the other processes, too.
        processes: P ≥ 1, over how many processes gradients are averaged afterwards, as
            `DistributedDataParallel` does; 1 where they are added up.

    Returns:
        The factors, shape (K,), in the dtype of `counts`, computed in float32 at least. Their
        sum is P. NaN where there is nothing at all.

    Raises:
        TypeError: If `counts` is not floating-point.
        ValueError: If `counts` has not one axis, or `processes` is below 1.

    Note:
        Differs from 1/K, which most loops divide by, unless the counts are equal. Leave out a
        micro-batch of no tokens: libraries give NaN for its mean, and 0 · NaN is NaN.

    Example:
        >>> import numpy as np
        >>> micro_weights(np.asarray([10.0, 30.0]))
        array([0.25, 0.75])
    """
    _check_counts(counts)
    check_count("processes", processes, 1)
    xp = namespace(counts)
    n = widen(counts)
    total = xp.sum(n)
    # Divided by NaN, not by zero: NumPy would warn.
    share = n / xp.where(total == 0, xp.full_like(total, math.nan), total)
    return xp.astype(processes * share, counts.dtype, copy=False)


def accumulated(means: Array, counts: Array) -> Array:
    r"""Return the mean over all examples, from the means of micro-batches: a loss or a gradient.

    $$\bar g = \frac{\sum_{k=1}^{K} n_k\,g_k}{\sum_{k=1}^{K} n_k}$$

    Args:
        means: Mean of each micro-batch gₖ, floating-point, shape (K, …).
        counts: What it was taken over, nₖ ≥ 0, floating-point, shape (K,).

    Returns:
        The mean, shape (…), in the dtype of `means`, added up in float32 at least. A micro-batch
        of no examples does not count, even if its mean is NaN.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the first axes differ, or `counts` has not one axis.

    Example:
        >>> import numpy as np
        >>> accumulated(np.asarray([8.0, 4.0]), np.asarray([10.0, 30.0]))
        np.float64(5.0)
    """
    _check_counts(counts)
    _check_values("means", means, counts)
    xp = namespace(means, counts)
    values, weights = widen(means), _beside(micro_weights(widen(counts)), means)
    parts = xp.where(weights == 0, xp.zeros_like(values), weights * values)
    return xp.astype(xp.sum(parts, axis=0), means.dtype, copy=False)


def token_weight(counts: Array) -> Array:
    r"""Return what a token weighs where means of micro-batches are averaged, 1 being right.

    $$r_k = \frac{1}{K\,n_k}\sum_{j=1}^{K} n_j$$

    Args:
        counts: Tokens of each micro-batch nₖ > 0, shape (K,).

    Returns:
        The weight of a token of each micro-batch, relative to that in the mean over all tokens,
        shape (K,): above 1 where a micro-batch is shorter than the average.

    Raises:
        TypeError: If `counts` is not floating-point.
        ValueError: If `counts` has not one axis.

    Example:
        >>> import numpy as np
        >>> token_weight(np.asarray([10.0, 30.0])).round(3)
        array([2.   , 0.667])
    """
    _check_counts(counts)
    xp = namespace(counts)
    n = widen(counts)
    return xp.astype(xp.mean(n) / n, counts.dtype, copy=False)


def pooled_variance(means: Array, variances: Array, counts: Array) -> Array:
    r"""Return the variance of all examples, from means and variances of micro-batches.

    $$s^2 = \sum_{k=1}^{K} \frac{n_k}{N}\left(s_k^2 + (m_k - m)^2\right), \qquad
    N = \sum_k n_k, \quad m = \sum_k \frac{n_k}{N}\,m_k$$

    What batch normalization leaves out where it sees one micro-batch at a time is the second term.

    Args:
        means: Mean of each micro-batch mₖ, floating-point, shape (K, …).
        variances: Its variance sₖ² ≥ 0 (divided by nₖ), in the same shape.
        counts: Its examples nₖ ≥ 0, floating-point, shape (K,).

    Returns:
        The variance (divided by N), shape (…), in the dtype of `means`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Example:
        >>> import numpy as np
        >>> means, variances = np.asarray([0.0, 4.0]), np.asarray([1.0, 1.0])
        >>> pooled_variance(means, variances, np.asarray([2.0, 2.0]))
        np.float64(5.0)
    """
    check_float("variances", variances)
    check_same_shape("variances", variances, "means", means)
    xp = namespace(means, variances, counts)
    wide = widen(means)
    within = accumulated(widen(variances), counts)
    between = accumulated((wide - accumulated(wide, counts)) ** 2, counts)
    return xp.astype(within + between, means.dtype, copy=False)

r"""Mean and variance of each channel: of a batch, of several parts, kept over many batches."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, widen


class Moments(NamedTuple):
    """How many numbers a channel has, their mean and their variance.

    Attributes:
        n: How many numbers, the same for all channels.
        mean: μ, of shape `(C,)`.
        var: σ², of shape `(C,)`, with the divisor n.
    """

    n: int | Array
    mean: Array
    var: Array


def batch_moments(x: Array) -> Moments:
    r"""Return mean and variance of each channel over the batch and all places.

    $$\mu = \frac1n \sum_i x_i,\qquad \sigma^2 = \frac1n \sum_i (x_i - \mu)^2$$

    Args:
        x: `(N, C, *places)`, floating-point.

    Returns:
        n = N · places and the moments, in float32 if `x` is in half precision. Of no numbers
        both are 0, so that `merge_moments` can take an empty part.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `x` has fewer than two axes.

    Example:
        >>> import numpy as np
        >>> batch_moments(np.asarray([[1.0, 5.0], [3.0, 5.0]]))
        Moments(n=2, mean=array([2., 5.]), var=array([1., 0.]))
    """
    check_float("x", x)
    wide, others = widen(x), channel_axes(x)
    count = x.shape[0] * math.prod(x.shape[2:])
    if count == 0:  # a mean of nothing is NaN, with a warning
        nothing = namespace(x).sum(wide, axis=others)
        return Moments(0, nothing, nothing)
    xp = namespace(x)
    mean = xp.mean(wide, axis=others, keepdims=True)
    var = xp.mean((wide - mean) ** 2, axis=others)
    return Moments(count, xp.reshape(mean, (-1,)), var)


def merge_moments(count: Array, mean: Array, var: Array) -> Moments:
    r"""Return the moments of all numbers from those of K parts, such as K processes.

    $$\mu = \frac1N \sum_k n_k\,u_k,\qquad
    \sigma^2 = \frac1N \sum_k n_k\,\bigl(v_k + (u_k - \mu)^2\bigr),\qquad N = \sum_k n_k$$

    Args:
        count: n_k, of shape `(K,)`, floating-point. Some may be 0, not all.
        mean: u_k, of shape `(K, C)`.
        var: v_k, of shape `(K, C)`, each with the divisor n_k.

    Returns:
        N and the moments, of shape `(C,)`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Reference:
        Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances (1979), for two parts.

    Example:
        >>> import numpy as np
        >>> parts = np.asarray([3.0, 1.0]), np.asarray([[0.0], [4.0]]), np.zeros((2, 1))
        >>> merge_moments(*parts)[1:]  # of 0, 0, 0 and 4
        (array([1.]), array([3.]))
    """
    for name, array in (("count", count), ("mean", mean), ("var", var)):
        check_float(name, array)
    check_same_shape("var", var, "mean", mean)
    if mean.ndim != 2 or tuple(count.shape) != (mean.shape[0],):
        raise ValueError(
            f"count has shape {tuple(count.shape)} and mean {tuple(mean.shape)}: "
            "(K,) and (K, C) are needed"
        )
    xp = namespace(count, mean, var)
    total = xp.sum(count)
    share = xp.reshape(count / total, (-1, 1))
    whole = xp.sum(share * mean, axis=0)
    return Moments(total, whole, xp.sum(share * (var + (mean - whole) ** 2), axis=0))


class Running(NamedTuple):
    """What evaluation uses in place of the batch's moments, each of shape `(C,)`."""

    mean: Array
    var: Array


def update_running(running: Running, batch: Moments, *, momentum: float = 0.1) -> Running:
    r"""Move the stored moments towards those of a batch.

    $$M' = (1 - m)\,M + m\,\mu,\qquad
    V' = (1 - m)\,V + m\,\frac{n}{n-1}\,\sigma^2$$

    Args:
        running: What is stored. It starts with mean 0 and variance 1.
        batch: The moments of a batch of n ≥ 2 numbers a channel.
        momentum: m, the weight of the new batch, in [0, 1]. With m = 1/t at the t-th batch the
            result is the plain mean over all batches.

    Returns:
        The new moments, in the dtypes of the old.

    Raises:
        ValueError: If `momentum` is outside [0, 1], a number n is below 2 (an array is not looked
            at), or shapes differ.

    Note:
        Differs from Keras and Equinox, whose momentum is the weight of the old, 0.99, and which
        store the variance with the divisor n.

    Example:
        >>> import numpy as np
        >>> start = Running(np.zeros(1), np.ones(1))
        >>> update_running(start, batch_moments(np.asarray([[1.0], [3.0]])))
        Running(mean=array([0.2]), var=array([1.1]))
    """
    check_between("momentum", momentum, 0, 1)
    check_between("batch.n", batch.n, 2, math.inf)
    named = ("running.var", running.var), ("batch.mean", batch.mean), ("batch.var", batch.var)
    for name, array in named:
        check_same_shape(name, array, "running.mean", running.mean)
    xp = namespace(batch.mean)
    unbiased = batch.var * (batch.n / (batch.n - 1))
    pairs = zip(running, (batch.mean, unbiased), strict=True)
    return Running(
        *(xp.astype((1 - momentum) * old + momentum * new, old.dtype) for old, new in pairs)
    )


def averaging_noise(count: float, *, momentum: float = 0.1) -> float:
    r"""Return the standard deviation of the stored mean, in units of the data's.

    $$\sqrt{\frac{m}{2 - m}\cdot\frac1n}$$

    In the long run, for batches of n independent numbers of one distribution.

    Args:
        count: n ≥ 1, numbers a channel in a batch.
        momentum: m in (0, 1]. With m = 1 it is the noise of the last batch, 1/√n.

    Returns:
        The standard deviation.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> [round(averaging_noise(n), 3) for n in (2, 32)]
        [0.162, 0.041]
    """
    check_between("count", count, 1, math.inf)
    check_between("momentum", momentum, 0, 1, closed="right")
    return math.sqrt(momentum / (2 - momentum) / count)


def channel_axes(x: Array) -> tuple[int, ...]:
    """Return the axes that a channel's numbers run along: all but the second.

    Args:
        x: `(N, C, *places)`.

    Returns:
        The numbers of the axes.

    Raises:
        ValueError: If `x` has fewer than two axes.

    Example:
        >>> import numpy as np
        >>> channel_axes(np.ones((8, 3, 5, 5)))
        (0, 2, 3)
    """
    if x.ndim < 2:
        raise ValueError(f"x has shape {tuple(x.shape)}: (N, C, …) is needed")
    return (0, *range(2, x.ndim))

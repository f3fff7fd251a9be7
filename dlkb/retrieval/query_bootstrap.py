"""How sure a mean over queries is: resampling queries, with the draw apart from the formula."""

from typing import NamedTuple

from dlkb.arrays import (
    Array,
    Generator,
    check_between,
    check_count,
    check_float,
    device,
    namespace,
    uniform,
    widen,
)


class Interval(NamedTuple):
    """An interval of confidence.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: Array
    high: Array


def resampled_means(values: Array, draws: Array) -> Array:
    r"""Return the means of samples drawn from values with replacement.

    $$\bar x^*_b = \frac1n\sum_{i=1}^n x_{1+\lfloor n u_{bi}\rfloor}$$

    Args:
        values: x of each query: a metric, or the difference of two systems, shape (n,).
        draws: u from U[0, 1), shape (b, n).

    Returns:
        Shape (b,), in the dtype of `values`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Example:
        >>> import numpy as np
        >>> resampled_means(np.asarray([0.0, 1.0]), np.asarray([[0.1, 0.2], [0.4, 0.6]]))
        array([0. , 0.5])
    """
    check_float("values", values)
    check_float("draws", draws)
    n = values.shape[0] if values.ndim == 1 else 0
    if n == 0 or draws.ndim != 2 or draws.shape[1] != n:
        raise ValueError(
            f"values has shape {tuple(values.shape)} and draws {tuple(draws.shape)}: (n,) and "
            "(b, n) with n of at least 1 are needed"
        )
    xp = namespace(values, draws)
    index = xp.clip(xp.astype(xp.floor(n * widen(draws)), xp.int64), 0, n - 1)
    drawn = xp.take(widen(values), xp.reshape(index, (-1,)), axis=0)
    means = xp.mean(xp.reshape(drawn, draws.shape), axis=-1)
    return xp.astype(means, values.dtype, copy=False)


def percentile_interval(means: Array, *, level: float = 0.95) -> Interval:
    r"""Return the interval between two quantiles of resampled means.

    $$\Bigl[\bar x^*_{(\alpha/2)},\ \bar x^*_{(1-\alpha/2)}\Bigr],\qquad \alpha = 1-\text{level}$$

    Quantiles lie on the line between neighbours, as `numpy.quantile` takes them.

    Args:
        means: Shape (..., b), b ≥ 1, no NaN.
        level: Share of them in the interval, in (0, 1).

    Returns:
        Both ends, shape (...).

    Raises:
        TypeError: If `means` is not floating-point.
        ValueError: If there are none, or `level` is out of its range.

    Example:
        >>> import numpy as np
        >>> low, high = percentile_interval(np.linspace(0, 1, 101), level=0.9)
        >>> print(f"{low:.3f} {high:.3f}")
        0.050 0.950
    """
    check_float("means", means)
    check_between("level", level, 0, 1, closed="neither")
    if means.ndim < 1 or means.shape[-1] == 0:
        raise ValueError(f"means has shape {tuple(means.shape)}: (..., b), b of at least 1")
    xp = namespace(means)
    ordered = xp.sort(widen(means), axis=-1)
    last = means.shape[-1] - 1

    def quantile(share: float) -> Array:
        below = min(int(share * last), max(last - 1, 0))
        step = share * last - below
        upper = ordered[..., min(below + 1, last)]
        between = (1 - step) * ordered[..., below] + step * upper
        return xp.astype(between, means.dtype, copy=False)

    return Interval(quantile((1 - level) / 2), quantile((1 + level) / 2))


def bootstrap_interval(
    values: Array, *, generator: Generator, samples: int = 1000, level: float = 0.95
) -> Interval:
    """Return an interval of confidence for the mean over queries, by resampling queries.

    For two systems pass the differences of their values, query by query: queries differ more from
    each other than systems do.

    Args:
        values: A metric, or a difference, of each query, shape (n,).
        generator: The source of randomness, as in `dlkb.arrays.uniform`.
        samples: How many samples are drawn.
        level: Share of the samples' means in the interval, in (0, 1).

    Returns:
        Both ends, 0-d.

    Raises:
        TypeError: If `values` is not floating-point, or `generator` does not fit it.
        ValueError: If it holds no query, or an option is out of its range.

    Note:
        For the mean alone, it needs a query to be drawn as the others were, independently.

    Example:
        >>> import numpy as np
        >>> values = np.asarray([0.0, 0.5, 1.0, 1.0])
        >>> low, high = bootstrap_interval(values, generator=np.random.default_rng(0))
        >>> print(f"{low:.3f} {high:.3f}")
        0.250 1.000
    """
    check_float("values", values)
    check_count("samples", samples, 1)
    check_between("level", level, 0, 1, closed="neither")
    xp = namespace(values)
    if values.ndim != 1 or values.shape[0] == 0:
        raise ValueError(f"values has shape {tuple(values.shape)}: one of each query is needed")
    wide = widen(values)
    like = xp.zeros((samples, values.shape[0]), dtype=wide.dtype, device=device(values))
    means = resampled_means(wide, uniform(like, generator=generator))
    interval = percentile_interval(means, level=level)
    return Interval(*(xp.astype(end, values.dtype, copy=False) for end in interval))

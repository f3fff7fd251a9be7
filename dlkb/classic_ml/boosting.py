"""What boosting libraries add to trees: one-sided sampling, statistics of categories."""

import math

from dlkb.arrays import (
    Array,
    check_array,
    check_between,
    check_float,
    check_same_shape,
    namespace,
    widen,
)


def goss_weights(
    size: Array, draws: Array, *, top_rate: float = 0.2, other_rate: float = 0.1
) -> Array:
    r"""Return each example's weight under gradient-based one-sided sampling.

    $$w_i = \begin{cases} 1 & i \text{ among the } k = \lfloor a n\rfloor \text{ largest} \\
      \frac{n - k}{m} & i \text{ among the } m = \lfloor b n\rfloor \text{ drawn from the rest} \\
      0 & \text{otherwise} \end{cases}$$

    If m ≥ 1, weighted sums over the examples are right on average: the rest is drawn evenly.

    Args:
        size: |gradient| of each example, (n,).
        draws: Independent uniform draws, (n,), from `dlkb.arrays.uniform`.
        top_rate: a, in [0, 1].
        other_rate: b in [0, 1], a + b ≤ 1.

    Returns:
        Weights, (n,), for gradients and curvatures alike.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or a rate is out of its range.

    Note:
        Differs from the paper's (1 − a)/b by what ⌊a n⌋ and ⌊b n⌋ round off. LightGBM's sizes are
        |gradient × hessian|, and its first 1/lr trees see all examples.

    Reference:
        Ke et al., LightGBM (2017).

    Example:
        >>> import numpy as np
        >>> size = np.asarray([0.1, 5.0, 0.2, 0.3, 0.4])
        >>> draws = np.asarray([0.9, 0.5, 0.1, 0.7, 0.8])
        >>> goss_weights(size, draws, top_rate=0.2, other_rate=0.4)
        array([0., 1., 2., 2., 0.])
    """
    check_float("size", size)
    check_float("draws", draws)
    check_same_shape("draws", draws, "size", size)
    check_between("top_rate", top_rate, 0, 1)
    check_between("other_rate", other_rate, 0, 1)
    check_between("top_rate + other_rate", top_rate + other_rate, 0, 1)
    if size.ndim != 1:
        raise ValueError(f"size has shape {tuple(size.shape)}: (n,) is needed")
    xp = namespace(size, draws)
    n = size.shape[0]
    top, other = int(top_rate * n), int(other_rate * n)
    rank = xp.argsort(xp.argsort(-size))
    large = rank < top
    drawn = xp.argsort(xp.argsort(xp.where(large, math.inf, draws))) < other
    weight = xp.where(drawn, (n - top) / max(other, 1), xp.zeros_like(size))
    return xp.astype(xp.where(large, 1.0, weight), size.dtype, copy=False)


def target_statistics(
    category: Array, y: Array, *, prior: float, strength: float = 1.0, ordered: bool = True
) -> Array:
    r"""Replace each category by the mean target of its examples, shrunk to a prior.

    $$s_i = \frac{\sum_{j<i} y_j\,[c_j = c_i] + a\,p}{\sum_{j<i} [c_j = c_i] + a}$$

    Args:
        category: Integers, (n,), in a random order of the examples.
        y: Targets, (n,).
        prior: p, the mean of all targets, say.
        strength: a > 0, how many examples the prior is worth.
        ordered: Sum over the examples before i (CatBoost), or over all, i itself included, which
            leaks its target.

    Returns:
        The statistic, like `y`. It compares all pairs: n² numbers.

    Raises:
        TypeError: If `category` is no integer array, or y not floating-point.
        ValueError: If the shapes do not fit, or the strength is not positive.

    Reference:
        Prokhorenkova et al., CatBoost (2018).

    Example:
        >>> import numpy as np
        >>> c, y = np.asarray([7, 7, 7, 2]), np.asarray([1.0, 0.0, 1.0, 1.0])
        >>> target_statistics(c, y, prior=0.5)
        array([0.5 , 0.75, 0.5 , 0.5 ])
    """
    check_float("y", y)
    check_array("category", category)
    xp = namespace(category, y)
    if not xp.isdtype(category.dtype, "integral"):
        raise TypeError(f"category has dtype {category.dtype}: integers are needed")
    check_same_shape("category", category, "y", y)
    if y.ndim != 1:
        raise ValueError(f"y has shape {tuple(y.shape)}: (n,) is needed")
    check_between("strength", strength, 0, math.inf, closed="neither")
    wide = widen(y)
    same = xp.astype(category[:, None] == category, wide.dtype)
    seen = xp.tril(same, k=-1) if ordered else same
    mean = (xp.matmul(seen, wide) + strength * prior) / (xp.sum(seen, axis=1) + strength)
    return xp.astype(mean, y.dtype, copy=False)

"""What the scale of the scores does to the softmax."""

import math

from dlkb.arrays import Array, check_between, check_count, check_float, device, namespace, widen


def score_variance(*, head_dim: int, mean: float = 0.0, scale: float | None = None) -> float:
    r"""Return the variance of a score of a random query and key.

    $$\operatorname{Var}(c\,\mathbf{q}\cdot\mathbf{k}) = c^2 d\,(1 + 2\mu^2)$$

    for entries that are independent, with mean μ and variance 1.

    Args:
        head_dim: d ≥ 1, the width of a head.
        mean: μ, of every entry.
        scale: c, 1/√d by default.

    Returns:
        The variance; 1 at the defaults, whatever d.

    Raises:
        ValueError: If `head_dim` is less than 1.

    Reference:
        Vaswani et al. (2017), for μ = 0.

    Example:
        >>> score_variance(head_dim=64, scale=1.0), score_variance(head_dim=64)
        (64.0, 1.0)
    """
    check_count("head_dim", head_dim, 1)
    return (1 / head_dim if scale is None else scale * scale) * head_dim * (1 + 2 * mean * mean)


def entropy(p: Array) -> Array:
    r"""Return the entropy of probabilities: e to it is about how many keys are read.

    $$H = -\sum_j p_j \log p_j$$

    Args:
        p: Shape (..., S), floating-point, the probabilities on the last axis.

    Returns:
        Shape (...), in nats, between 0 and log S, with 0 · log 0 = 0.

    Raises:
        TypeError: If `p` is not floating-point.

    Example:
        >>> import numpy as np
        >>> entropy(np.asarray([[0.5, 0.5], [1.0, 0.0]])).round(3)
        array([0.693, 0.   ])
    """
    check_float("p", p)
    xp = namespace(p)
    wide = widen(p)
    log = xp.log(xp.where(wide > 0, wide, xp.ones_like(wide)))
    return xp.astype(xp.sum(-wide * log, axis=-1), p.dtype, copy=False)


def gaussian_entropy(*, keys: int, std: float) -> float:
    r"""Return the entropy of a softmax of many normal scores, to leading order.

    $$H = \max\Bigl(\log n - \frac{\sigma^2}{2},\ 0\Bigr)$$

    Well beyond σ = √(2 log n) a few keys hold nearly all: the random energy model's frozen phase.

    Args:
        keys: n ≥ 1.
        std: σ ≥ 0, the standard deviation of the scores.

    Returns:
        The entropy in nats. At the corner it is too small, by 1.9 for 64 keys, 3.1 for 16384.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Derrida (1981).

    Example:
        >>> round(gaussian_entropy(keys=1024, std=1.0), 2), gaussian_entropy(keys=1024, std=8.0)
        (6.43, 0.0)
    """
    check_count("keys", keys, 1)
    check_between("std", std, 0, math.inf)
    return max(math.log(keys) - std * std / 2, 0.0)


def softmax_sensitivity(p: Array) -> Array:
    r"""Return how strongly probabilities depend on their logits: the norm of the Jacobian.

    $$\bigl\lVert\operatorname{diag}(\mathbf{p}) - \mathbf{p}\mathbf{p}^{\mathsf T}\bigr\rVert_F$$

    Args:
        p: Shape (..., S), floating-point, the probabilities on the last axis.

    Returns:
        Shape (...): 0 where one probability is 1.

    Raises:
        TypeError: If `p` is not floating-point.

    Example:
        >>> import numpy as np
        >>> softmax_sensitivity(np.asarray([[0.5, 0.5], [1.0, 0.0]]))
        array([0.5, 0. ])
    """
    check_float("p", p)
    xp = namespace(p)
    wide = widen(p)
    diagonal = xp.eye(p.shape[-1], dtype=xp.bool, device=device(p))
    column, row = wide[..., :, None], wide[..., None, :]
    jacobian = xp.where(diagonal, column * (1 - row), -column * row)
    size = xp.sqrt(xp.sum(jacobian**2, axis=(-2, -1)))
    return xp.astype(size, p.dtype, copy=False)

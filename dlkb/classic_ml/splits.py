"""Impurity, the value of a leaf, and what a split gains.

One gain serves all: with gradients −y and curvatures 1 it is CART's, for squared error and for
Gini (y one-hot); with those of a loss it is that of second-order boosting.
"""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, namespace, widen


class Splits(NamedTuple):
    """All ways to split at one feature.

    Attributes:
        threshold: Halfway between neighbours in order, below the upper one, (n − 1,).
        gain: What each split gains, (n − 1,); 0 where neighbours are equal, or a side has too
            little curvature, or none.
    """

    threshold: Array
    gain: Array


def _check_examples(x_name: str, x: Array, grad: Array, hess: Array) -> None:
    for name, array in ((x_name, x), ("grad", grad), ("hess", hess)):
        check_float(name, array)
    n = x.shape[0] if x.ndim else -1
    if tuple(hess.shape) != (n,) or grad.ndim not in (1, 2) or grad.shape[0] != n:
        raise ValueError(
            f"{x_name} has shape {tuple(x.shape)}, grad {tuple(grad.shape)} and hess "
            f"{tuple(hess.shape)}: (n, …), (n,) or (n, k), and (n,) are needed"
        )


def gini(counts: Array) -> Array:
    r"""Return how likely two draws from a node are of different classes.

    $$I = 1 - \sum_k p_k^2,\qquad p_k = \frac{c_k}{\sum_j c_j}$$

    Args:
        counts: Weight of each class in a node, ≥ 0, (…, k).

    Returns:
        (…,), from 0 for a pure node (and an empty one) to 1 − 1/k.

    Raises:
        TypeError: If `counts` is not floating-point.

    Example:
        >>> import numpy as np
        >>> gini(np.asarray([[2.0, 2.0], [4.0, 0.0]]))
        array([0.5, 0. ])
    """
    check_float("counts", counts)
    xp = namespace(counts)
    p = _shares(counts)
    return xp.astype(xp.sum(p * (1 - p), axis=-1), counts.dtype, copy=False)


def entropy(counts: Array) -> Array:
    r"""Return the entropy of a node's classes, in nats.

    $$I = -\sum_k p_k\log p_k,\qquad p_k = \frac{c_k}{\sum_j c_j}$$

    Args:
        counts: Weight of each class in a node, ≥ 0, (…, k).

    Returns:
        (…,), from 0 for a pure node (and an empty one) to log k.

    Raises:
        TypeError: If `counts` is not floating-point.

    Note:
        Differs from `DecisionTreeClassifier(criterion="entropy")` by the factor log 2: bits there.

    Example:
        >>> import numpy as np
        >>> entropy(np.asarray([[2.0, 2.0], [4.0, 0.0]])).round(4)
        array([0.6931, 0.    ])
    """
    check_float("counts", counts)
    xp = namespace(counts)
    p = _shares(counts)
    bits = p * xp.log(xp.where(p > 0, p, 1.0))
    return xp.astype(0.0 - xp.sum(bits, axis=-1), counts.dtype, copy=False)


def _shares(counts: Array) -> Array:
    xp = namespace(counts)
    wide = widen(counts)
    total = xp.sum(wide, axis=-1, keepdims=True)
    return wide / xp.where(total > 0, total, 1.0)


def leaf_weight(grad: Array, hess: Array, *, l2: float = 0.0) -> Array:
    r"""Return the value of a leaf that lowers the loss most, to second order.

    $$w = -\frac{G}{H + \lambda}$$

    Args:
        grad: G, the sum of the gradients in the leaf, any shape.
        hess: H ≥ 0, the sum of the second derivatives, in a shape that broadcasts to it.
        l2: λ ≥ 0.

    Returns:
        An array like `grad`, 0 where H + λ is 0.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If λ is negative.

    Reference:
        Chen and Guestrin, XGBoost (2016).

    Example:
        >>> import numpy as np
        >>> leaf_weight(np.asarray([-3.0]), np.asarray([2.0]), l2=1.0)
        array([1.])
    """
    check_float("grad", grad)
    check_float("hess", hess)
    check_between("l2", l2, 0, math.inf, closed="left")
    xp = namespace(grad, hess)
    curvature = widen(hess) + l2
    weight = widen(grad) / xp.where(curvature > 0, curvature, math.inf)
    return xp.astype(0.0 - weight, grad.dtype, copy=False)


def _score(grad: Array, hess: Array, l2: float) -> Array:
    """Return Σₖ Gₖ² / (H + λ); grad has a last axis of outputs that hess lacks."""
    xp = namespace(grad, hess)
    curvature = (hess + l2)[..., None]
    # One factor over the curvature first: the square alone may underflow.
    return xp.sum(grad * (grad / xp.where(curvature > 0, curvature, math.inf)), axis=-1)


def _scale(x: Array) -> Array:
    """Return what to divide by so that no square of a sum overflows: a power of two, mostly 1.

    It rounds nothing, so that equal gains stay equal.
    """
    xp = namespace(x)
    if 0 in x.shape:
        return 1.0
    bits = math.frexp(float(xp.finfo(x.dtype).max))[1]
    size = xp.max(xp.abs(x))
    large = size > 2.0 ** (bits // 2 - 12)
    return xp.where(large, xp.full_like(size, 2.0 ** (3 * bits // 4 - 6)), 1.0)


def _middle(below: Array, above: Array) -> Array:
    """Return what lies halfway, below the upper one."""
    middle = below / 2 + above / 2  # the sum, or the difference, may overflow
    # Where nothing lies between, it rounded up.
    return namespace(below, above).where(middle < above, middle, below)


def _gains(grad: Array, hess: Array, l2: float, min_hess: float) -> Array:
    """Return the gain of each cut between rows of sorted (n, …, k) and (n, …); 0 if not allowed."""
    xp = namespace(grad, hess)
    # Torch's own name for it: the compatibility layer's makes the compiler warn.
    running = xp.cumulative_sum if not hasattr(xp, "cumsum") else xp.cumsum
    left_g, left_h = running(grad, axis=0)[:-1, ...], running(hess, axis=0)
    total_h = left_h[-1:, ...]
    left_h = left_h[:-1, ...]
    right_g, right_h = xp.sum(grad, axis=0)[None, ...] - left_g, total_h - left_h
    parts = _score(left_g, left_h, l2) + _score(right_g, right_h, l2)
    gain = (parts - _score(left_g + right_g, left_h + right_h, l2)) / 2
    allowed = (left_h > 0) & (right_h > 0) & (left_h >= min_hess) & (right_h >= min_hess)
    return xp.where(allowed, gain, 0.0)


def split_gains(
    x: Array, grad: Array, hess: Array, *, l2: float = 0.0, min_hess: float = 0.0
) -> Splits:
    r"""Return what each split at one feature gains.

    $$\text{gain} = \frac12\left(\frac{G_L^2}{H_L+\lambda} + \frac{G_R^2}{H_R+\lambda}
      - \frac{G^2}{H+\lambda}\right)$$

    Args:
        x: A feature, (n,), n ≥ 1, finite.
        grad: Gradients of the loss by the prediction, (n,), or (n, k): gains are added over k.
        hess: Second derivatives, (n,), ≥ 0: weights, for squared error and for Gini.
        l2: λ ≥ 0.
        min_hess: What H must be at least on either side, ≥ 0. It must be above 0 in any case.

    Returns:
        Thresholds and gains, in the order of x. A gain beyond the dtype is ∞.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or an option is negative.

    Note:
        With grad = −y and hess = 1 the gain is half of what the sum of squared errors falls by;
        with y one-hot, half of what the examples times Gini's impurity fall by. XGBoost and
        LightGBM print twice this gain, and compare twice this with their `gamma`,
        `min_gain_to_split`.

    Reference:
        Chen and Guestrin, XGBoost (2016).

    Example:
        >>> import numpy as np
        >>> y = np.asarray([0.0, 0.0, 6.0])
        >>> split_gains(np.asarray([1.0, 2.0, 4.0]), -y, np.ones(3))
        Splits(threshold=array([1.5, 3. ]), gain=array([ 3., 12.]))
    """
    _check_examples("x", x, grad, hess)
    check_between("l2", l2, 0, math.inf, closed="left")
    check_between("min_hess", min_hess, 0, math.inf, closed="left")
    if x.ndim != 1:
        raise ValueError(f"x has shape {tuple(x.shape)}: one feature, (n,), is needed")
    xp = namespace(x, grad, hess)
    order = xp.argsort(x)
    below, above = xp.take(x, order[:-1]), xp.take(x, order[1:])
    outputs, weight = widen(grad if grad.ndim == 2 else grad[:, None]), widen(hess)
    s, t = _scale(outputs), _scale(weight)
    sorted_g, sorted_h = xp.take(outputs / s, order, axis=0), xp.take(weight / t, order)
    gain = _gains(sorted_g, sorted_h, l2 / t, min_hess / t) * (s / t) * s
    gain = xp.where(above > below, gain, 0.0)
    return Splits(_middle(below, above), xp.astype(gain, x.dtype, copy=False))

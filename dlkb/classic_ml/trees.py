"""Decision trees, grown level by level, and what makes a forest of them."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    Generator,
    as_numbers,
    check_between,
    check_count,
    check_float,
    device,
    namespace,
    uniform,
    widen,
)
from dlkb.classic_ml.splits import _check_examples, _gains, _middle, _scale, leaf_weight


class Tree(NamedTuple):
    """A complete binary tree; node k has the children 2k + 1 (x ≤ threshold) and 2k + 2.

    Attributes:
        feature: Which feature each inner node asks for, (2^d − 1,).
        threshold: And its threshold, ∞ where nothing was gained: all go left.
        value: Of each leaf, (2^d,) or (2^d, k).
    """

    feature: Array
    threshold: Array
    value: Array


def leaf_index(tree: Tree, X: Array) -> Array:
    """Return the number of the leaf that each example falls into.

    Args:
        tree: From `grow_tree`.
        X: Inputs, (n, p). NaN goes right where a node asks, and left where it does not.

    Returns:
        Integers from 0 to 2^d − 1, (n,).

    Raises:
        TypeError: If X is not floating-point.
        ValueError: If X has another number of axes.

    Example:
        >>> import numpy as np
        >>> value = np.asarray([-1.0, 1.0])
        >>> stump = Tree(np.asarray([0]), np.asarray([0.5]), value)
        >>> leaf_index(stump, np.asarray([[0.0], [1.0]]))
        array([0, 1])
    """
    check_float("X", X)
    if X.ndim != 2:
        raise ValueError(f"X has shape {tuple(X.shape)}: (n, p) is needed")
    xp = namespace(X, tree.threshold)
    nodes = tree.feature.shape[0]
    node = xp.zeros(X.shape[0], dtype=tree.feature.dtype, device=device(X))
    for _ in range((nodes + 1).bit_length() - 1):
        x = xp.take_along_axis(X, xp.take(tree.feature, node)[:, None], axis=1)[:, 0]
        threshold = xp.take(tree.threshold, node)
        right = ~(x <= threshold) & (threshold < math.inf)
        node = 2 * node + 1 + xp.astype(right, node.dtype)
    return node - nodes


def predict_tree(tree: Tree, X: Array) -> Array:
    """Return the value of the leaf that each example falls into.

    Args:
        tree: From `grow_tree`.
        X: Inputs, (n, p).

    Returns:
        (n,) or (n, k), in the dtype of the values.

    Raises:
        TypeError: If X is not floating-point.
        ValueError: If X has another number of axes.

    Example:
        >>> import numpy as np
        >>> value = np.asarray([-1.0, 1.0])
        >>> stump = Tree(np.asarray([0]), np.asarray([0.5]), value)
        >>> predict_tree(stump, np.asarray([[0.0], [1.0]]))
        array([-1.,  1.])
    """
    return namespace(X, tree.value).take(tree.value, leaf_index(tree, X), axis=0)


def grow_tree(
    X: Array,
    grad: Array,
    hess: Array,
    *,
    depth: int,
    l2: float = 0.0,
    min_hess: float = 0.0,
    min_gain: float = 0.0,
    usable: Array | None = None,
) -> Tree:
    r"""Grow a tree, level by level: each node takes the split of the largest gain.

    Leaves have the value −G / (H + λ). A regression tree of CART has grad = −y and hess = 1.

    Args:
        X: Inputs, (n, p), n ≥ 1, p ≥ 1, finite.
        grad: Gradients by the prediction, (n,) or (n, k).
        hess: Second derivatives, (n,), ≥ 0. An example with 0 counts as absent if its
            gradient is 0, too.
        depth: d ≥ 0. Time and memory grow as 2^d.
        l2: λ ≥ 0.
        min_hess: What H must be at least on either side, ≥ 0. It must be above 0 in any case.
        min_gain: A split must gain more, ≥ 0.
        usable: Which features a node may split at, booleans (2^d − 1, p): random subsets.

    Returns:
        The tree. Thresholds lie halfway between neighbours in the node, below the upper one.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or an option is out of its range.

    Note:
        Of equal gains that of the first feature counts, and there that of the smallest values;
        scikit-learn shuffles features. XGBoost stops at a small gain, too, but with
        `tree_method="exact"` grows first, then prunes by gain from below.

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[1.0], [2.0], [4.0]]), np.asarray([0.0, 0.0, 6.0])
        >>> predict_tree(grow_tree(X, -y, np.ones(3), depth=1), X)
        array([0., 0., 6.])
    """
    _check_examples("X", X, grad, hess)
    check_count("depth", depth, 0)
    check_between("l2", l2, 0, math.inf, closed="left")
    check_between("min_hess", min_hess, 0, math.inf, closed="left")
    check_between("min_gain", min_gain, 0, math.inf, closed="left")
    if X.ndim != 2:
        raise ValueError(f"X has shape {tuple(X.shape)}: (n, p) is needed")
    nodes, p = 2**depth - 1, X.shape[1]
    if usable is not None and tuple(usable.shape) != (nodes, p):
        raise ValueError(f"usable has shape {tuple(usable.shape)}: {(nodes, p)} is needed")
    xp = namespace(X, grad, hess)
    order = xp.argsort(X, axis=0)
    ranked, rows = xp.take_along_axis(X, order, axis=0), xp.reshape(order, (-1,))
    distinct = ranked[1:, :] > ranked[:-1, :]
    outputs, weight = widen(grad if grad.ndim == 2 else grad[:, None]), widen(hess)
    s, t = _scale(outputs), _scale(weight)
    outputs, weight, l2, min_hess = outputs / s, weight / t, l2 / t, min_hess / t
    at = xp.zeros(X.shape[0], dtype=order.dtype, device=device(X))
    features, thresholds = [], []
    for node in range(nodes):
        inside = xp.astype(at == node, weight.dtype)
        g, h = inside[:, None] * outputs, inside * weight
        sorted_g = xp.reshape(xp.take(g, rows, axis=0), (*order.shape, outputs.shape[1]))
        sorted_h = xp.reshape(xp.take(h, rows), order.shape)
        allowed = distinct if usable is None else distinct & usable[node, :]
        gain = xp.where(allowed, _gains(sorted_g, sorted_h, l2, min_hess), 0.0)
        gain = xp.concat([gain, xp.zeros_like(sorted_h[:1, :])])  # all to the left: no gain
        feature = xp.reshape(xp.argmax(xp.max(gain, axis=0)), (1,))
        gain = xp.take(gain, feature, axis=1)[:, 0]
        x = xp.take(X, feature, axis=1)[:, 0]
        cut = xp.reshape(xp.argmax(gain), (1,))
        # The first of equal gains: the example at the cut is one of the node.
        below = xp.take(xp.take(ranked, feature, axis=1)[:, 0], cut)[0]
        above = xp.min(xp.where((h > 0) & (x > below), x, math.inf))
        splits = xp.max(gain) > min_gain / s * (t / s)
        threshold = xp.where(splits, _middle(below, above), math.inf)
        features.append(feature)
        thresholds.append(threshold[None])
        right = xp.astype(x > threshold, at.dtype)
        at = xp.where(at == node, 2 * node + 1 + right, at)
    leaves = xp.arange(nodes + 1, dtype=at.dtype, device=device(X))
    member = xp.astype(leaves[:, None] == at - nodes, weight.dtype)
    total_h = xp.matmul(member, weight)[:, None]
    value = leaf_weight(xp.matmul(member, outputs), total_h, l2=l2) * (s / t)
    value = xp.astype(value if grad.ndim == 2 else value[:, 0], X.dtype, copy=False)
    return Tree(
        xp.concat([*features, order[:0, 0]]), xp.concat([*thresholds, ranked[:0, 0]]), value
    )


def bootstrap_counts(like: Array, *, generator: Generator) -> Array:
    r"""Draw n of n examples with replacement; return how often each was drawn.

    About $e^{-1}$, 37 %, are not drawn: the out-of-bag examples.

    Args:
        like: A floating-point array, (n,).
        generator: The source of randomness; it advances.

    Returns:
        Counts that add up to n, (n,), in the dtype of `like`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.
        ValueError: If it has another number of axes.

    Example:
        >>> import numpy as np
        >>> bootstrap_counts(np.zeros(4), generator=np.random.default_rng(0))
        array([2., 1., 1., 0.])
    """
    check_float("like", like)
    if like.ndim != 1:
        raise ValueError(f"like has shape {tuple(like.shape)}: (n,) is needed")
    xp = namespace(like)
    n = like.shape[0]
    index = xp.arange(n, device=device(like))
    drawn = xp.astype(xp.floor(uniform(widen(like), generator=generator) * n), index.dtype)
    drawn = xp.clip(drawn, 0, max(n - 1, 0))  # a draw may round up to 1
    return xp.sum(xp.astype(drawn[:, None] == index, like.dtype), axis=0)


def feature_subsets(like: Array, *, size: int, generator: Generator) -> Array:
    """Draw which features each node may split at: `size` of them, all sets alike.

    Args:
        like: A floating-point array (nodes, p).
        size: From 1 to p.
        generator: The source of randomness; it advances.

    Returns:
        Booleans, (nodes, p), `size` of each row true.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.
        ValueError: If its shape or the size does not fit.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> feature_subsets(np.zeros((2, 3)), size=1, generator=generator)
        array([[False, False,  True],
               [ True, False, False]])
    """
    check_float("like", like)
    if like.ndim != 2:
        raise ValueError(f"like has shape {tuple(like.shape)}: (nodes, p) is needed")
    check_count("size", size, 1, like.shape[1])
    xp = namespace(like)
    draws = uniform(widen(like), generator=generator)
    return xp.argsort(xp.argsort(draws, axis=1), axis=1) < size


def mean_variance(correlation: Array, *, variance: float, trees: float) -> Array:
    r"""Return the variance of a mean of equally correlated predictions.

    $$\operatorname{Var} = \rho\,\sigma^2 + \frac{1-\rho}{m}\,\sigma^2$$

    Args:
        correlation: ρ between any two trees, in [0, 1].
        variance: σ² ≥ 0 of a single tree.
        trees: m ≥ 1, `math.inf` for the limit.

    Returns:
        A number or an array like `correlation`.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Hastie, Tibshirani and Friedman, The Elements of Statistical Learning (2009).

    Example:
        >>> mean_variance(0.5, variance=1.0, trees=10)
        0.55
    """
    check_between("correlation", correlation, 0, 1)
    check_between("variance", variance, 0, math.inf, closed="left")
    check_between("trees", trees, 1, math.inf)
    variance, trees = as_numbers(variance, trees)
    return variance * (correlation + (1 - correlation) / trees)

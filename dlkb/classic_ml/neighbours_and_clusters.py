r"""Nearest neighbours, k-means, and the start that k-means++ gives it."""

import math
from typing import Literal, NamedTuple

from dlkb.arrays import (
    Array,
    check_array,
    check_between,
    check_count,
    check_float,
    namespace,
    stop_gradient,
    widen,
)


def _check_points(name: str, x: Array, other_name: str, other: Array) -> None:
    check_float(name, x)
    check_float(other_name, other)
    for argument, array in ((name, x), (other_name, other)):
        if len(array.shape) < 2:
            raise ValueError(
                f"{argument} has shape {tuple(array.shape)}: points in rows are needed, (n, d)"
            )
    if x.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"{name} has {x.shape[-1]} coordinates but {other_name} has {other.shape[-1]}: "
            "they must be equal"
        )


def _length(apart: Array) -> Array:
    # Of vectors along the last axis. Nothing is divided unless squares would leave the format:
    # then points on a grid that are equally far stay so, and are told apart by their order.
    xp = namespace(apart)
    if apart.shape[-1] == 0:
        return xp.sum(apart, axis=-1)
    high = math.sqrt(float(xp.finfo(apart.dtype).max)) / 1024
    top = stop_gradient(xp.max(xp.abs(apart), axis=-1, keepdims=True))
    extreme = (top != 0) & ~xp.isinf(top) & ((top > high) | (top < 1 / high))
    scale = xp.where(extreme, top, xp.ones_like(top))
    scaled = apart / scale
    return scale[..., 0] * xp.sqrt(xp.sum(scaled * scaled, axis=-1))


def distances(x: Array, y: Array) -> Array:
    r"""Return the Euclidean distance of each point from each other.

    $$d_{ij} = \lVert\mathbf{x}_i - \mathbf{y}_j\rVert_2$$

    From the differences: ‖x‖² − 2x·y + ‖y‖² is faster and loses all digits far from zero.

    Args:
        x: Points, (…, n, d), floating-point.
        y: Points, (…, m, d), floating-point.

    Returns:
        Distances, (…, n, m), in the dtype of `x`, computed in float32 at least.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If points are not in rows, or have not the same number of coordinates.

    Note:
        Differs from scikit-learn's `euclidean_distances`, which expands the square.

    Example:
        >>> import numpy as np
        >>> y = np.asarray([[3.0, 4.0], [0.0, 1.0]])
        >>> distances(np.asarray([[0.0, 0.0]]), y)
        array([[5., 1.]])
    """
    _check_points("x", x, "y", y)
    xp = namespace(x, y)
    apart = widen(x)[..., :, None, :] - widen(y)[..., None, :, :]
    return xp.astype(_length(apart), x.dtype, copy=False)


class Neighbours(NamedTuple):
    """The nearest points, nearest first.

    Attributes:
        distance: How far they are, (…, n, k).
        index: Which they are, (…, n, k).
    """

    distance: Array
    index: Array


def nearest(x: Array, points: Array, *, k: int) -> Neighbours:
    r"""Return the `k` nearest of some points for each query. Of equally near ones, the first.

    Args:
        x: Queries, (…, n, d), floating-point.
        points: Where to look, (…, m, d), floating-point.
        k: How many, 1 … m.

    Returns:
        Their distances and indices.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If points are not in rows, or have not the same number of coordinates, or
            `k` is not in its range.

    Reference:
        Cover and Hart (1967).

    Example:
        >>> import numpy as np
        >>> points = np.asarray([[2.0], [0.0], [-2.0], [9.0]])
        >>> found = nearest(np.asarray([[0.0]]), points, k=2)
        >>> found.distance, found.index  # two are equally far: the first counts
        (array([[0., 2.]]), array([[1, 0]]))
    """
    _check_points("x", x, "points", points)
    check_count("k", k, 1, points.shape[-2])
    xp = namespace(x, points)
    wide = distances(widen(x), widen(points))
    index = xp.argsort(wide, axis=-1, stable=True)[..., :k]
    found = xp.take_along_axis(wide, index, axis=-1)
    return Neighbours(xp.astype(found, x.dtype, copy=False), index)


def _of_neighbours(name: str, values: Array, points: Array, index: Array) -> Array:
    # The entries of `values`, one a point, at each index.
    check_array(name, values)
    if tuple(values.shape) != tuple(points.shape[:-1]):
        raise ValueError(
            f"{name} has shape {tuple(values.shape)} but points has shape "
            f"{tuple(points.shape)}: one for each point is needed"
        )
    xp = namespace(values)
    rows = (*index.shape[:-1], values.shape[-1])
    return xp.take_along_axis(xp.broadcast_to(values[..., None, :], rows), index, axis=-1)


def votes(
    x: Array,
    points: Array,
    labels: Array,
    *,
    k: int,
    classes: int,
    weights: Literal["uniform", "distance"] = "uniform",
) -> Array:
    r"""Return for each query how many votes its neighbours give to each class.

    $$v_c = \sum_{j \in N_k(\mathbf{x})} w_j\,[y_j = c], \qquad w_j = 1 \text{ or } 1/d_j$$

    `argmax` over the last axis is the prediction; of equally many votes, the first class wins.

    Args:
        x: Queries, (…, n, d), floating-point.
        points: Where to look, (…, m, d), floating-point.
        labels: Class of each point, (…, m), integers 0 … classes − 1.
        k: How many neighbours vote.
        classes: How many classes there are.
        weights: One vote each, or one over the distance. Where a neighbour is at distance zero,
            only such count.

    Returns:
        Votes, (…, n, classes), in the dtype of `x`.

    Raises:
        TypeError: If points are not floating-point.
        ValueError: If shapes do not fit, or an option is not in its range.

    Example:
        >>> import numpy as np
        >>> points = np.asarray([[0.0], [1.0], [4.0]])
        >>> labels = np.asarray([0, 1, 1])
        >>> votes(np.asarray([[0.5]]), points, labels, k=3, classes=2)
        array([[1., 2.]])
    """
    check_count("classes", classes, 1)
    if weights not in ("uniform", "distance"):
        raise ValueError(f"weights is {weights!r}: it must be 'uniform' or 'distance'")
    _check_points("x", x, "points", points)
    xp = namespace(x, points)
    found = nearest(widen(x), widen(points), k=k)
    near = _of_neighbours("labels", labels, points, found.index)
    each = xp.stack([near == c for c in range(classes)], axis=-1)
    far = found.distance
    weight = xp.ones_like(far)
    if weights == "distance":
        hit = far == 0
        weight = 1 / xp.where(hit, xp.ones_like(far), far)
        met = xp.any(hit, axis=-1, keepdims=True)
        weight = xp.where(met, xp.astype(hit, far.dtype), weight)
    counted = xp.where(each, weight[..., None], 0.0)  # 1/d may be infinite
    return xp.astype(xp.sum(counted, axis=-2), x.dtype, copy=False)


def neighbour_mean(x: Array, points: Array, targets: Array, *, k: int) -> Array:
    r"""Return for each query the mean target of its neighbours.

    $$\hat y = \frac1k \sum_{j \in N_k(\mathbf{x})} y_j$$

    Args:
        x: Queries, (…, n, d), floating-point.
        points: Where to look, (…, m, d), floating-point.
        targets: Target of each point, (…, m), floating-point.
        k: How many neighbours count.

    Returns:
        Predictions, (…, n), in the dtype of `targets`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or `k` is not in its range.

    Example:
        >>> import numpy as np
        >>> points = np.asarray([[0.0], [1.0], [9.0]])
        >>> y = np.asarray([1.0, 3.0, 50.0])
        >>> neighbour_mean(np.asarray([[0.0]]), points, y, k=2)
        array([2.])
    """
    check_float("targets", targets)
    index = nearest(x, points, k=k).index
    near = widen(_of_neighbours("targets", targets, points, index))
    xp = namespace(near)
    return xp.astype(xp.mean(near, axis=-1), targets.dtype, copy=False)


def inertia(x: Array, centers: Array) -> Array:
    r"""Return the sum of squared distances from the nearest center: what k-means makes small.

    $$J = \sum_{i=1}^{n} \min_j \lVert\mathbf{x}_i - \mathbf{c}_j\rVert^2$$

    Args:
        x: Points, (…, n, d), floating-point.
        centers: Centers, (…, k, d), floating-point.

    Returns:
        One number, (…), in the dtype of `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If points are not in rows, or have not the same number of coordinates.

    Example:
        >>> import numpy as np
        >>> inertia(np.asarray([[0.0], [2.0], [9.0]]), np.asarray([[1.0], [8.0]]))
        np.float64(3.0)
    """
    _check_points("x", x, "centers", centers)
    xp = namespace(x, centers)
    least = xp.min(distances(widen(x), widen(centers)), axis=-1)
    return xp.astype(xp.sum(least * least, axis=-1), x.dtype, copy=False)


def lloyd_step(x: Array, centers: Array) -> Array:
    r"""Return the centers after one step of k-means: each moves to the mean of its points.

    $$\mathbf{c}_j \leftarrow \frac{1}{\lvert S_j\rvert} \sum_{i \in S_j} \mathbf{x}_i, \qquad
      S_j = \{i : j = \arg\min_l \lVert\mathbf{x}_i - \mathbf{c}_l\rVert\}$$

    Args:
        x: Points, (…, n, d), floating-point.
        centers: Centers, (…, k, d), floating-point.

    Returns:
        Centers like `centers`. Of equally near centers the first gets the point, and a center
        without points stays where it is.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If points are not in rows, or have not the same number of coordinates.

    Note:
        Differs from scikit-learn, which moves a center without points to a point far from its
        own center.

    Reference:
        Lloyd (1982).

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[0.0], [2.0], [9.0]])
        >>> lloyd_step(x, np.asarray([[0.0], [3.0]]))
        array([[0. ],
               [5.5]])
    """
    _check_points("x", x, "centers", centers)
    xp = namespace(x, centers)
    wide, old = widen(x), widen(centers)
    chosen = xp.argmin(distances(wide, old), axis=-1)
    member = xp.stack([chosen == j for j in range(old.shape[-2])], axis=-2)  # (…, k, n)
    share = xp.astype(member, wide.dtype)
    count = xp.sum(share, axis=-1, keepdims=True)
    share = share / xp.where(count == 0, xp.ones_like(count), count)
    moved = xp.where(count == 0, old, xp.matmul(share, wide))
    return xp.astype(moved, centers.dtype, copy=False)


def plus_plus(x: Array, u: Array) -> Array:
    r"""Return the start of k-means++: points drawn in proportion to their squared distance.

    $$P(\mathbf{x}_i) = \frac{D_i^2}{\sum_l D_l^2}, \qquad
      D_i = \min_j \lVert\mathbf{x}_i - \mathbf{c}_j\rVert$$

    where the minimum is over the centers drawn so far; the first one is any point. Drawn as a race:
    of exponential times −ln(1 − u) / D², the shortest wins in proportion to D².

    Args:
        x: Points, (…, n, d), floating-point, n ≥ 1.
        u: Draws from U[0, 1) by `dlkb.arrays.uniform`, one for each of k centers and each point,
            (…, k, n).

    Returns:
        Centers, (…, k, d), rows of `x`. Equal to earlier ones where fewer points than k differ.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or there are no points.

    Note:
        Differs from scikit-learn, which draws several candidates for each center and keeps the
        best.

    Reference:
        Arthur and Vassilvitskii (2007).

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[0.0], [1.0], [9.0]])
        >>> u = np.asarray([[0.1, 0.5, 0.5], [0.5, 0.5, 0.5]])
        >>> plus_plus(x, u)  # 9 weighs 81 of 82
        array([[0.],
               [9.]])
    """
    _check_points("x", x, "x", x)
    check_float("u", u)
    n = x.shape[-2]
    check_between("the number of points", n, 1, math.inf, closed="left")
    if len(u.shape) < 2 or u.shape[-1] != n or u.shape[-2] == 0:
        raise ValueError(f"u has shape {tuple(u.shape)}: a row of {n} for each center is needed")
    xp = namespace(x, u)
    wide, wait = widen(x), -xp.log1p(-widen(u))
    weight = xp.ones_like(wide[..., 0])
    least = xp.full_like(weight, math.inf)
    centers = []
    for j in range(u.shape[-2]):
        far = weight > 0
        time = wait[..., j, :] / xp.where(far, weight, xp.ones_like(weight))
        time = xp.where(far, time, xp.full_like(time, math.inf))
        at = xp.argmin(time, axis=-1, keepdims=True)[..., None]
        rows = xp.broadcast_to(at, (*at.shape[:-1], x.shape[-1]))
        centers.append(xp.take_along_axis(x, rows, axis=-2))
        least = xp.minimum(least, distances(wide, widen(centers[-1]))[..., 0])
        top = stop_gradient(xp.max(least, axis=-1, keepdims=True))
        share = least / xp.where(top == 0, xp.ones_like(top), top)  # squares might overflow
        weight = share * share
    return xp.concat(centers, axis=-2)


def plus_plus_bound(k: int) -> float:
    r"""Return by what factor the start of k-means++ is worse than the best centers, at most.

    $$\mathbb{E}[J] \le 8\,(\ln k + 2)\,J_{\min}$$

    Args:
        k: Centers ≥ 1.

    Returns:
        The factor: a bound on the mean over draws, before the first step of k-means.

    Raises:
        ValueError: If `k` is below 1.

    Reference:
        Arthur and Vassilvitskii (2007).

    Example:
        >>> round(plus_plus_bound(10), 2)
        34.42
    """
    check_between("k", k, 1, math.inf, closed="left")
    return 8 * (math.log(k) + 2)

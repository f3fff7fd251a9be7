r"""Metrics of generated images: how far two sets of features lie apart, without pairs.

Features are what a network says of each image, one a row. Which network, and how images were
resized for it, is no part of these formulas, and decides their values.
"""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_float, check_same_shape, device, namespace, widen


class Moments(NamedTuple):
    """Mean and covariance of a set of features.

    Attributes:
        mean: Shape (..., d).
        cov: Shape (..., d, d), symmetric.
    """

    mean: Array
    cov: Array


def _check_sets(minimum: int, sets: dict[str, Array]) -> None:
    for name, x in sets.items():
        check_float(name, x)
        if x.ndim < 2 or x.shape[-2] < minimum:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}: (..., n, d) with n of at least {minimum} "
                "is needed"
            )
    (_, first), *others = sets.items()
    for name, x in others:
        if x.shape[-1] != first.shape[-1]:
            raise ValueError(
                f"{name} has {x.shape[-1]} features a row: the first set has {first.shape[-1]}"
            )


def feature_moments(x: Array) -> Moments:
    r"""Return mean and covariance of features, as the Fréchet distance needs them.

    $$\boldsymbol\mu = \frac1n\sum_{i=1}^n\mathbf{x}_i,\qquad \mathbf{C} = \frac{1}{n-1}
      \sum_{i=1}^n(\mathbf{x}_i-\boldsymbol\mu)(\mathbf{x}_i-\boldsymbol\mu)^\top$$

    Args:
        x: Features, shape (..., n, d), n ≥ 2.

    Returns:
        Both, in the dtype of `x`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If there are fewer than two rows.

    Example:
        >>> import numpy as np
        >>> feature_moments(np.asarray([[1.0, 0.0], [3.0, 0.0]])).cov
        array([[2., 0.],
               [0., 0.]])
    """
    _check_sets(2, {"x": x})
    xp = namespace(x)
    wide = widen(x)
    mean = xp.mean(wide, axis=-2, keepdims=True)
    root = (wide - mean) / math.sqrt(x.shape[-2] - 1)
    cov = xp.matmul(xp.matrix_transpose(root), root)
    return Moments(*(xp.astype(y, x.dtype, copy=False) for y in (mean[..., 0, :], cov)))


def _root(cov: Array) -> Array:
    xp = namespace(cov)
    eigenvalues, vectors = xp.linalg.eigh(cov)
    roots = xp.sqrt(xp.clip(eigenvalues, 0.0, None))  # rounding leaves −1e-17 in the place of 0
    return xp.matmul(vectors * roots[..., None, :], xp.matrix_transpose(vectors))


def frechet_distance(first: Moments, second: Moments) -> Array:
    r"""Return the Fréchet distance of two Gaussians: FID, if their features are Inception's.

    $$\mathrm{FID} = \lVert\boldsymbol\mu_1-\boldsymbol\mu_2\rVert^2 + \operatorname{tr}\bigl(
      \mathbf{C}_1+\mathbf{C}_2-2(\mathbf{C}_1\mathbf{C}_2)^{1/2}\bigr)$$

    The trace is computed as $\lVert\mathbf{C}_1^{1/2}-\mathbf{Q}\mathbf{C}_2^{1/2}\rVert_F^2$ with
    the best rotation Q, which can not turn negative and loses nothing where both are near.

    Args:
        first: Mean and covariance of the one set, as from `feature_moments`.
        second: Of the other.

    Returns:
        The distance (a square: its unit is that of the features, squared), shape (...), ≥ 0.

    Raises:
        TypeError: If a set is not given as `Moments`, or an array is not floating-point.
        ValueError: If shapes differ, or do not fit together.

    Reference:
        Heusel et al. (2017); Dowson and Landau (1982).

    Example:
        >>> import numpy as np
        >>> narrow = Moments(np.zeros(2), np.eye(2))
        >>> frechet_distance(narrow, Moments(np.ones(2), 4 * np.eye(2))).round(9)
        np.float64(4.0)
    """
    for name, moments in (("first", first), ("second", second)):
        if not isinstance(moments, Moments):
            raise TypeError(f"{name} is {type(moments).__name__}: pass Moments(mean, cov)")
        check_float(f"{name}.mean", moments.mean)
        check_float(f"{name}.cov", moments.cov)
        wanted = (*moments.mean.shape, *moments.mean.shape[-1:])
        if moments.mean.ndim < 1 or tuple(moments.cov.shape) != wanted:
            raise ValueError(
                f"{name}.cov has shape {tuple(moments.cov.shape)} beside a mean of shape "
                f"{tuple(moments.mean.shape)}: (..., d, d) beside (..., d) is needed"
            )
    check_same_shape("second.mean", second.mean, "first.mean", first.mean)
    xp = namespace(first.mean, second.mean)
    apart = widen(first.mean) - widen(second.mean)
    one, two = _root(widen(first.cov)), _root(widen(second.cov))
    left, _, right = xp.linalg.svd(xp.matmul(two, one), full_matrices=False)
    rotation = xp.matmul(xp.matrix_transpose(right), xp.matrix_transpose(left))
    rest = one - xp.matmul(rotation, two)
    distance = xp.sum(apart * apart, axis=-1) + xp.sum(rest * rest, axis=(-2, -1))
    return xp.astype(distance, first.mean.dtype, copy=False)


def fid_bias(eigenvalues: Array, *, first: float, second: float) -> Array:
    r"""Return how far above the truth the Fréchet distance of two equal Gaussians comes out.

    $$b = \Bigl(\frac1n+\frac1m\Bigr)\Bigl(\sum_{i=1}^d\lambda_i
      + \frac12\sum_{i=1}^d\sum_{j=1}^d\frac{\lambda_i\lambda_j}{\lambda_i+\lambda_j}
      + \frac14\sum_{i=1}^d\lambda_i\Bigr)$$

    The leading term for samples that are large against d, of features that are Gaussian.

    Args:
        eigenvalues: Eigenvalues λ ≥ 0 of the covariance that both share, shape (..., d).
        first: n ≥ 2 of the one sample; `math.inf` where its moments are known.
        second: m ≥ 2 of the other.

    Returns:
        The expected distance, shape (...).

    Raises:
        TypeError: If `eigenvalues` is not floating-point.
        ValueError: If it has no axis, or a sample is smaller than two.

    Example:
        >>> import numpy as np
        >>> fid_bias(np.ones(32), first=1000, second=1000).round(3)
        np.float64(0.592)
    """
    check_float("eigenvalues", eigenvalues)
    if eigenvalues.ndim < 1:
        raise ValueError("eigenvalues has shape (): (..., d) is needed")
    for name, size in (("first", first), ("second", second)):
        if size < 2:
            raise ValueError(f"{name} is {size}: a covariance needs 2 rows at least")
    xp = namespace(eigenvalues)
    wide = widen(eigenvalues)
    row, column = wide[..., :, None], wide[..., None, :]
    total = row + column
    share = row / xp.where(total == 0, xp.ones_like(total), total)  # λᵢλⱼ would overflow
    pairs = xp.sum(share * column, axis=(-2, -1))
    bias = (1 / first + 1 / second) * (1.25 * xp.sum(wide, axis=-1) + pairs / 2)
    return xp.astype(bias, eigenvalues.dtype, copy=False)


def fid_at_infinity(sizes: Array, distances: Array) -> Array:
    r"""Return where distances measured at several sample sizes lead: a line in 1/n, at 0.

    $$\mathrm{FID}_n \approx \mathrm{FID}_\infty + \frac an$$

    Args:
        sizes: n of each measurement, floating-point, shape (k,), at least two different ones.
        distances: FIDₙ, shape (..., k).

    Returns:
        The intercept of the least-squares line, shape (...).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Reference:
        Chong and Forsyth (2020).

    Example:
        >>> import numpy as np
        >>> n = np.asarray([100.0, 200.0, 400.0])
        >>> fid_at_infinity(n, 3 + 50 / n).round(9)
        np.float64(3.0)
    """
    check_float("sizes", sizes)
    check_float("distances", distances)
    if sizes.ndim != 1 or sizes.shape[0] < 2 or distances.shape[-1:] != sizes.shape:
        raise ValueError(
            f"sizes has shape {tuple(sizes.shape)} and distances {tuple(distances.shape)}: "
            "(k,) and (..., k) with k of at least 2 are needed"
        )
    xp = namespace(sizes, distances)
    x, y = 1 / widen(sizes), widen(distances)
    x = x / xp.max(x)  # any unit will do; squares of this one do not underflow
    centred = x - xp.mean(x)
    mean = xp.mean(y, axis=-1)
    slope = xp.sum(centred / xp.sum(centred * centred) * y, axis=-1)
    return xp.astype(mean - slope * xp.mean(x), distances.dtype, copy=False)


def kid(x: Array, y: Array) -> Array:
    r"""Return the kernel distance of two sets of features, unbiased at any sample size.

    $$\mathrm{KID} = \sum_{i\ne j}\frac{k(\mathbf{x}_i,\mathbf{x}_j)}{n(n-1)}
      + \sum_{i\ne j}\frac{k(\mathbf{y}_i,\mathbf{y}_j)}{m(m-1)}
      - 2\sum_{i,j}\frac{k(\mathbf{x}_i,\mathbf{y}_j)}{nm},\qquad
      k(\mathbf{x},\mathbf{y}) = \bigl(\mathbf{x}^\top\mathbf{y}/d + 1\bigr)^3$$

    Args:
        x: Features, shape (..., n, d), n ≥ 2.
        y: Features, shape (..., m, d), m ≥ 2.

    Returns:
        The squared maximum mean discrepancy, shape (...), which may come out below 0.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Note:
        Differs from torchmetrics, which draws subsets and returns mean and standard deviation:
        this is one subset of all rows. Some print it times 1000.

    Reference:
        Bińkowski et al. (2018).

    Example:
        >>> import numpy as np
        >>> kid(np.zeros((5, 1)), np.ones((4, 1)))
        np.float64(7.0)
    """
    _check_sets(2, {"x": x, "y": y})
    if tuple(x.shape[:-2]) != tuple(y.shape[:-2]):
        raise ValueError(
            f"x has shape {tuple(x.shape)} but y has shape {tuple(y.shape)}: their batch axes must "
            "be equal"
        )
    xp = namespace(x, y)
    d = x.shape[-1]

    def kernel(a: Array, b: Array) -> Array:
        t = xp.matmul(a / d, xp.matrix_transpose(b))
        return t * (t * (t + 3) + 3)  # (t + 1)³ − 1: what is common cancels, but for its rounding

    def within(a: Array) -> Array:
        n, k = a.shape[-2], kernel(a, a)
        own = xp.eye(n, dtype=k.dtype, device=device(a))
        return xp.sum(k * (1 - own), axis=(-2, -1)) / (n * (n - 1))

    wide_x, wide_y = widen(x), widen(y)
    across = xp.mean(kernel(wide_x, wide_y), axis=(-2, -1))
    return xp.astype(within(wide_x) + within(wide_y) - 2 * across, x.dtype, copy=False)


def inception_score(p: Array) -> Array:
    r"""Return the inception score: how sure a classifier is of each image, and how varied.

    $$\mathrm{IS} = \exp\Bigl(\frac1n\sum_{i=1}^n\sum_{k=1}^K p_{ik}\log\frac{p_{ik}}{q_k}\Bigr),
      \qquad q_k = \frac1n\sum_{i=1}^n p_{ik}$$

    Args:
        p: Probabilities that a classifier gives, shape (..., n, K): rows sum to 1. 0 · log 0 is 0.

    Returns:
        The score, shape (...), in [1, K] and at most n.

    Raises:
        TypeError: If `p` is not floating-point.
        ValueError: If there are no rows or no classes.

    Note:
        Differs from torchmetrics, which takes logits, shuffles them, and returns mean and standard
        deviation of the scores of ten parts.

    Reference:
        Salimans et al. (2016).

    Example:
        >>> import numpy as np
        >>> inception_score(np.eye(10)).round(9)
        np.float64(10.0)
    """
    _check_sets(1, {"p": p})
    if p.shape[-1] == 0:
        raise ValueError(f"p has shape {tuple(p.shape)}: its last axis must hold the classes")
    xp = namespace(p)
    wide = widen(p)
    q = xp.mean(wide, axis=-2, keepdims=True)
    one = xp.ones_like(wide)
    counts = (wide > 0) & (q > 0)  # the mean of subnormal numbers may round to 0
    quotient = xp.where(counts, wide, one) / xp.where(counts, q * one, one)
    information = xp.sum(wide * xp.log(quotient), axis=(-2, -1)) / p.shape[-2]
    return xp.astype(xp.exp(information), p.dtype, copy=False)

"""Least squares, logistic regression and linear support vector machines.

X holds an example a row, y the labels 0 and 1 where there are two classes. An intercept is the
weight of a column of ones; `l2` may hold a strength for each weight, so that it goes unpenalized.
"""

import math

from dlkb.activations.sigmoid import sigmoid, sigmoid_vjp
from dlkb.arrays import (
    Array,
    check_between,
    check_float,
    check_same_shape,
    device,
    namespace,
    norm,
    widen,
)
from dlkb.losses.cross_entropy import binary_cross_entropy_with_logits
from dlkb.regularization.overfitting import filtered_least_squares


def _check_linear(X: Array, y: Array, w: Array, l2: Array | float) -> None:
    for name, array, ndim in (("X", X, 2), ("y", y, 1), ("w", w, 1)):
        check_float(name, array)
        if array.ndim != ndim:
            raise ValueError(f"{name} has shape {tuple(array.shape)}: {ndim} axes are needed")
    if tuple(X.shape) != (y.shape[0], w.shape[0]):
        raise ValueError(
            f"X has shape {tuple(X.shape)}: {y.shape[0]} entries of y and {w.shape[0]} of w "
            f"need {(y.shape[0], w.shape[0])}"
        )
    check_between("l2", l2, 0, math.inf, closed="left")
    if hasattr(l2, "shape") and l2.ndim:  # type: ignore[union-attr]
        check_float("l2", l2)
        check_same_shape("l2", l2, "w", w)


def _check_scalar(cotangent: Array) -> None:
    check_float("cotangent", cotangent)
    if tuple(cotangent.shape) != ():
        raise ValueError(f"cotangent has shape {tuple(cotangent.shape)}: it must be (), a scalar")


def least_squares(X: Array, y: Array, *, rcond: float | None = None) -> Array:
    r"""Return the shortest of the weights with the least squared error.

    $$\mathbf{w} = \mathbf{X}^+\mathbf{y} = \sum_{\sigma_i > c\,\sigma_1}
      \frac{\mathbf{u}_i^\top\mathbf{y}}{\sigma_i}\,\mathbf{v}_i$$

    Args:
        X: Inputs, (n, p). There is no intercept: add a column of ones, or center X and y.
        y: Targets, (n,) or (n, k).
        rcond: c ≥ 0: directions with a smaller singular value, relative to the largest, count as
            absent. By default the larger size of X times its dtype's `eps`.

    Returns:
        Weights, (p,) or (p, k). They are the only minimum if X has rank p.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If the shapes do not fit, or `rcond` is negative.

    Note:
        The cut of `numpy.linalg.lstsq` in float64; that one keeps float64's cut for float32, whose
        rounding then counts as data. scikit-learn's `LinearRegression` centers first.

    Example:
        >>> import numpy as np
        >>> X = np.asarray([[1.0, 1.0], [1.0, 1.0]])  # one column, twice
        >>> least_squares(X, np.asarray([2.0, 4.0])).round(9)
        array([1.5, 1.5])
    """
    check_float("X", X)
    check_float("y", y)
    if X.ndim != 2:
        raise ValueError(f"X has shape {tuple(X.shape)}: (n, p) is needed")
    xp = namespace(X)
    c = max(X.shape) * xp.finfo(X.dtype).eps if rcond is None else rcond
    check_between("rcond", c, 0, math.inf, closed="left")
    size = norm(X, ord=math.inf)
    size = xp.where(size == 0, 1.0, size)
    # The filter sees squares of singular values, the largest first; of X / size they fit the dtype.
    w = filtered_least_squares(X / size, y, lambda s: xp.astype(s > c * c * s[:1], s.dtype))
    return w / size


def logistic_loss(X: Array, y: Array, w: Array, *, l2: Array | float = 0.0) -> Array:
    r"""Return the loss of logistic regression, a sum over the examples.

    $$L = \sum_i\left(\log\left(1 + e^{z_i}\right) - y_i z_i\right)
      + \frac12\sum_j\lambda_j w_j^2,\qquad \mathbf{z} = \mathbf{X}\mathbf{w}$$

    Args:
        X: Inputs, (n, p).
        y: Labels in [0, 1], (n,).
        w: Weights, (p,).
        l2: λ ≥ 0, a number, or (p,) for each weight.

    Returns:
        A scalar array.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is a negative number.

    Note:
        `sklearn.linear_model.LogisticRegression(C=1 / l2)` minimizes it, its intercept with λ = 0.

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[1.0], [-1.0]]), np.asarray([1.0, 0.0])
        >>> logistic_loss(X, y, np.asarray([0.0]), l2=1.0).round(4)
        np.float64(1.3863)
    """
    _check_linear(X, y, w, l2)
    xp = namespace(X, y, w)
    wide = widen(w)
    loss = binary_cross_entropy_with_logits(xp.matmul(widen(X), wide), widen(y), reduction="sum")
    return xp.astype(loss + xp.sum(l2 * wide * wide) / 2, w.dtype, copy=False)


def logistic_loss_vjp(
    X: Array, y: Array, w: Array, cotangent: Array, *, l2: Array | float = 0.0
) -> Array:
    r"""Return the gradient of `logistic_loss` by the weights.

    $$\nabla L = \mathbf{X}^\top\left(\sigma(\mathbf{z}) - \mathbf{y}\right)
      + \boldsymbol\lambda\odot\mathbf{w}$$

    Args:
        X: As for `logistic_loss`.
        y: As there.
        w: As there.
        cotangent: Gradient by the loss, a scalar array.
        l2: As there.

    Returns:
        An array like `w`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is a negative number.

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[1.0], [-1.0]]), np.asarray([1.0, 0.0])
        >>> logistic_loss_vjp(X, y, np.asarray([0.0]), np.asarray(1.0))
        array([-1.])
    """
    _check_linear(X, y, w, l2)
    _check_scalar(cotangent)
    xp = namespace(X, y, w)
    X_wide, wide = widen(X), widen(w)
    error = sigmoid(xp.matmul(X_wide, wide)) - widen(y)
    grad = xp.matmul(xp.matrix_transpose(X_wide), error) + l2 * wide
    return xp.astype(widen(cotangent) * grad, w.dtype, copy=False)


def irls_step(X: Array, y: Array, w: Array, *, l2: Array | float = 0.0) -> Array:
    r"""Take a Newton step of logistic regression: least squares, reweighted.

    $$\mathbf{w} - \left(\mathbf{X}^\top\mathbf{S}\mathbf{X}
      + \operatorname{diag}\boldsymbol\lambda\right)^{-1}\nabla L,\qquad
      \mathbf{S} = \operatorname{diag}\left(\sigma(\mathbf{z})\,\sigma(-\mathbf{z})\right)$$

    Args:
        X: As for `logistic_loss`.
        y: As there.
        w: As there.
        l2: As there. Without any, the matrix is singular for collinear columns, and becomes so on
            separable data, where the loss has no minimum.

    Returns:
        New weights, like `w`. From far away the step may overshoot: halve it while the loss rises.
        Farther still all curvatures are zero, and the matrix is `diag(λ)`: start at zero.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is a negative number.

    Reference:
        Hastie, Tibshirani and Friedman, The Elements of Statistical Learning (2009).

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[1.0], [1.0], [1.0]]), np.asarray([1.0, 1.0, 0.0])
        >>> w = np.asarray([0.0])
        >>> for _ in range(4):
        ...     w = irls_step(X, y, w)
        >>> w.round(6), np.log(2).round(6)  # the odds are 2 to 1
        (array([0.693147]), np.float64(0.693147))
    """
    _check_linear(X, y, w, l2)
    xp = namespace(X, y, w)
    X_wide, wide = widen(X), widen(w)
    one = xp.ones((), dtype=wide.dtype, device=device(w))
    grad = logistic_loss_vjp(X_wide, widen(y), wide, one, l2=l2)
    z = xp.matmul(X_wide, wide)
    slopes = sigmoid_vjp(z, xp.ones_like(z))
    hessian = xp.matmul(xp.matrix_transpose(X_wide), slopes[:, None] * X_wide)
    eye = xp.eye(w.shape[0], dtype=wide.dtype, device=device(w))
    step = xp.linalg.solve(hessian + l2 * eye, grad[:, None])[:, 0]
    return xp.astype(wide - step, w.dtype, copy=False)


def hinge_loss(X: Array, y: Array, w: Array, *, l2: Array | float = 0.0) -> Array:
    r"""Return the loss of a support vector machine, a sum over the examples.

    $$L = \sum_i\max\left(0, 1 - t_i z_i\right) + \frac12\sum_j\lambda_j w_j^2,
      \qquad t_i = 2\,y_i - 1,\quad \mathbf{z} = \mathbf{X}\mathbf{w}$$

    Args:
        X: Inputs, (n, p).
        y: Labels 0 and 1, (n,).
        w: Weights, (p,).
        l2: λ ≥ 0, a number, or (p,) for each weight: 1/C in the form ½‖w‖² + C Σ max(…).

    Returns:
        A scalar array.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is a negative number.

    Note:
        `sklearn.svm.SVC(kernel="linear", C=1 / l2)` minimizes it, its intercept with λ = 0.
        `LinearSVC` penalizes the intercept, and squares the max by default.

    Reference:
        Cortes and Vapnik, Support-vector networks (1995).

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[1.0], [-3.0]]), np.asarray([1.0, 0.0])
        >>> hinge_loss(X, y, np.asarray([0.5]), l2=1.0)
        np.float64(0.625)
    """
    _check_linear(X, y, w, l2)
    xp = namespace(X, y, w)
    wide = widen(w)
    room = 1 - (2 * widen(y) - 1) * xp.matmul(widen(X), wide)
    loss = xp.sum(xp.where(room <= 0, 0.0, room)) + xp.sum(l2 * wide * wide) / 2
    return xp.astype(loss, w.dtype, copy=False)


def hinge_loss_vjp(
    X: Array, y: Array, w: Array, cotangent: Array, *, l2: Array | float = 0.0
) -> Array:
    r"""Return a subgradient of `hinge_loss` by the weights.

    $$\mathbf{g} = \boldsymbol\lambda\odot\mathbf{w}
      - \sum_{i:\,t_i z_i < 1} t_i\,\mathbf{x}_i$$

    Args:
        X: As for `hinge_loss`.
        y: As there.
        w: As there.
        cotangent: Gradient by the loss, a scalar array.
        l2: As there.

    Returns:
        An array like `w`. At the joint t z = 1 an example adds nothing.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is a negative number.

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[1.0], [-3.0]]), np.asarray([1.0, 0.0])
        >>> hinge_loss_vjp(X, y, np.asarray([0.5]), np.asarray(1.0), l2=1.0)
        array([-0.5])
    """
    _check_linear(X, y, w, l2)
    _check_scalar(cotangent)
    xp = namespace(X, y, w)
    X_wide, wide, t = widen(X), widen(w), 2 * widen(y) - 1
    inside = xp.astype(t * xp.matmul(X_wide, wide) < 1, t.dtype)
    grad = l2 * wide - xp.matmul(xp.matrix_transpose(X_wide), inside * t)
    return xp.astype(widen(cotangent) * grad, w.dtype, copy=False)

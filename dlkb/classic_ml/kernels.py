"""Kernels, kernel ridge regression, and the dual of the support vector machine."""

import math

from dlkb.arrays import (
    Array,
    as_numbers,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    widen,
)


def _check_pair(X: Array, Z: Array) -> None:
    check_float("X", X)
    check_float("Z", Z)
    if X.ndim < 2 or Z.ndim < 2 or X.shape[-1] != Z.shape[-1]:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and Z {tuple(Z.shape)}: (…, n, p) and (…, m, p) are "
            "needed"
        )


def _check_gram(K: Array, y: Array, alpha: Array | None = None) -> None:
    check_float("K", K)
    check_float("y", y)
    n = y.shape[0] if y.ndim == 1 else -1
    if tuple(K.shape) != (n, n):
        raise ValueError(
            f"K has shape {tuple(K.shape)} and y {tuple(y.shape)}: (n, n) and (n,) are needed"
        )
    if alpha is not None:
        check_float("alpha", alpha)
        check_same_shape("alpha", alpha, "y", y)


def polynomial_kernel(
    X: Array, Z: Array, *, degree: int = 2, gamma: float = 1.0, coef0: float = 0.0
) -> Array:
    r"""Return the inner products of all monomials, without forming them.

    $$k(\mathbf{x}, \mathbf{z}) = \left(\gamma\,\mathbf{x}^\top\mathbf{z} + c\right)^d$$

    Args:
        X: (…, n, p).
        Z: (…, m, p).
        degree: d ≥ 1, an integer.
        gamma: γ > 0.
        coef0: c ≥ 0; above 0 the monomials of lower degree are among them.

    Returns:
        (…, n, m).

    Raises:
        TypeError: If an array is not floating-point, or the degree no integer.
        ValueError: If the shapes do not fit, or an option is out of its range.

    Note:
        scikit-learn's `SVC(kernel="poly")` has d = 3, c = 0 and γ = 1 / (p Var X) by default.

    Example:
        >>> import numpy as np
        >>> polynomial_kernel(np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 1.0]]))
        array([[25.]])
    """
    _check_pair(X, Z)
    check_count("degree", degree, 1)
    check_between("gamma", gamma, 0, math.inf, closed="neither")
    check_between("coef0", coef0, 0, math.inf, closed="left")
    xp = namespace(X, Z)
    inner = xp.matmul(widen(X), xp.matrix_transpose(widen(Z)))
    return xp.astype((gamma * inner + coef0) ** degree, X.dtype, copy=False)


def gaussian_kernel(X: Array, Z: Array, *, gamma: float = 1.0) -> Array:
    r"""Return how near examples are: 1 for equal ones, 0 for far ones.

    $$k(\mathbf{x}, \mathbf{z}) = e^{-\gamma\,\lVert\mathbf{x} - \mathbf{z}\rVert^2}$$

    Differences are formed before squares, in n m p numbers, so that a common offset does no harm.

    Args:
        X: (…, n, p).
        Z: (…, m, p).
        gamma: γ > 0, one over twice the squared width.

    Returns:
        (…, n, m), in [0, 1].

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or γ is not positive.

    Note:
        scikit-learn's `SVC()` takes γ = 1 / (p Var X), with the variance of all entries of X.

    Example:
        >>> import numpy as np
        >>> gaussian_kernel(np.asarray([[0.0]]), np.asarray([[0.0], [1.0]])).round(4)
        array([[1.    , 0.3679]])
    """
    _check_pair(X, Z)
    check_between("gamma", gamma, 0, math.inf, closed="neither")
    xp = namespace(X, Z)
    apart = widen(X)[..., :, None, :] - widen(Z)[..., None, :, :]
    return xp.astype(xp.exp(-gamma * xp.sum(apart * apart, axis=-1)), X.dtype, copy=False)


def kernel_ridge(K: Array, y: Array, *, l2: float) -> Array:
    r"""Return the weights of the examples in kernel ridge regression.

    $$\boldsymbol\alpha = \left(\mathbf{K} + \lambda\mathbf{I}\right)^{-1}\mathbf{y},\qquad
      \hat y(\mathbf{x}) = \sum_i\alpha_i\,k(\mathbf{x}, \mathbf{x}_i)$$

    Args:
        K: Kernel of the examples with each other, (n, n), positive semidefinite.
        y: Targets, (n,).
        l2: λ > 0.

    Returns:
        α, (n,). There is no intercept.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or λ is not positive.

    Note:
        The convention of `sklearn.kernel_ridge.KernelRidge(alpha=l2)`.

    Example:
        >>> import numpy as np
        >>> kernel_ridge(np.eye(2), np.asarray([2.0, 4.0]), l2=1.0)
        array([1., 2.])
    """
    _check_gram(K, y)
    check_between("l2", l2, 0, math.inf, closed="neither")
    (l2,) = as_numbers(l2)
    xp = namespace(K, y)
    eye = xp.eye(K.shape[0], dtype=K.dtype, device=device(K))
    return xp.linalg.solve(K + l2 * eye, y[:, None])[:, 0]


def svm_dual(K: Array, y: Array, alpha: Array) -> Array:
    r"""Return what the dual of the support vector machine maximizes.

    $$D = \sum_i\alpha_i - \frac12\sum_{i,j}\alpha_i\alpha_j\,t_i t_j\,K_{ij},
      \qquad t_i = 2\,y_i - 1$$

    Args:
        K: Kernel of the examples with each other, (n, n).
        y: Labels 0 and 1, (n,).
        alpha: (n,), in [0, C], with Σ tᵢ αᵢ = 0.

    Returns:
        A scalar array. At the optimum it equals ½‖w‖² + C Σ max(0, 1 − t z), else it is less.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> K, y = np.asarray([[1.0, -1.0], [-1.0, 1.0]]), np.asarray([1.0, 0.0])
        >>> svm_dual(K, y, np.asarray([0.5, 0.5]))
        np.float64(0.5)
    """
    _check_gram(K, y, alpha)
    xp = namespace(K, y, alpha)
    weight = widen(alpha) * (2 * widen(y) - 1)
    quadratic = xp.sum(weight * xp.matmul(widen(K), weight))
    return xp.astype(xp.sum(widen(alpha)) - quadratic / 2, alpha.dtype, copy=False)


def _pulls(K: Array, y: Array, alpha: Array, C: float) -> tuple[Array, Array, Array]:
    """Return t − Σ t α K, −∞ where t α cannot rise; the same, ∞ where it cannot fall; and t."""
    xp = namespace(K, y, alpha)
    t = 2 * widen(y) - 1
    error = t - xp.matmul(widen(K), t * widen(alpha))
    rises = xp.where(t > 0, alpha < C, alpha > 0)
    falls = xp.where(t > 0, alpha > 0, alpha < C)
    return xp.where(rises, error, -math.inf), xp.where(falls, error, math.inf), t


def smo_step(K: Array, y: Array, alpha: Array, *, C: float) -> Array:
    r"""Move the two weights that violate optimality most, as far as that helps: one step of SMO.

    With e = t − K (t ⊙ α), i = argmax e where t α may rise, j = argmin e where it may fall,

    $$\delta = \frac{e_i - e_j}{K_{ii} + K_{jj} - 2\,K_{ij}},\qquad
      t_i\alpha_i \leftarrow t_i\alpha_i + \delta,\qquad
      t_j\alpha_j \leftarrow t_j\alpha_j - \delta$$

    where δ is cut so that both stay in [0, C], and is 0 at the optimum.

    Args:
        K: Kernel of the examples with each other, (n, n), n ≥ 1, positive semidefinite.
        y: Labels 0 and 1, (n,).
        alpha: Weights, (n,), in [0, C], Σ t α = 0: zeros at first.
        C: Upper bound > 0, one over the strength of the penalty.

    Returns:
        New weights, like `alpha`, with the same Σ t α.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or C is not positive.

    Reference:
        Platt, Sequential minimal optimization (1998); the pair is that of Keerthi et al. (2001).

    Example:
        >>> import numpy as np
        >>> K, y = np.asarray([[1.0, -1.0], [-1.0, 1.0]]), np.asarray([1.0, 0.0])
        >>> smo_step(K, y, np.zeros(2), C=10.0)
        array([0.5, 0.5])
    """
    _check_gram(K, y, alpha)
    check_between("C", C, 0, math.inf, closed="neither")
    xp = namespace(K, y, alpha)
    up, down, t = _pulls(K, y, alpha, C)
    index = xp.arange(alpha.shape[0], device=device(alpha))
    first = xp.astype(index == xp.argmax(up), t.dtype)
    second = xp.astype(index == xp.argmin(down), t.dtype)
    pair, wide = first - second, widen(alpha)
    curvature = xp.sum(pair * xp.matmul(widen(K), pair))
    gap = xp.max(up) - xp.min(down)
    safe = xp.where(curvature > 0, curvature, 1.0)
    wanted = xp.where(gap > 0, xp.where(curvature > 0, gap / safe, math.inf), 0.0)
    # t α lies in [0, C] for t = 1, in [−C, 0] for t = −1.
    signed, high = t * wide, C * xp.astype(t > 0, t.dtype)
    room_up = xp.sum(xp.where(first > 0, high - signed, 0.0))
    room_down = xp.sum(xp.where(second > 0, signed - (high - C), 0.0))
    delta = xp.minimum(wanted, xp.minimum(room_up, room_down))
    moved = xp.clip(wide + t * pair * delta, 0.0, C)
    return xp.astype(moved, alpha.dtype, copy=False)


def svm_intercept(K: Array, y: Array, alpha: Array, *, C: float) -> Array:
    r"""Return the intercept that belongs to the weights of the dual.

    $$b = \frac12\left(\max_{t\alpha\text{ may rise}} e_i
      + \min_{t\alpha\text{ may fall}} e_i\right),\qquad e_i = t_i - \sum_j t_j\alpha_j K_{ij}$$

    Args:
        K: Kernel of the examples with each other, (n, n), n ≥ 1.
        y: Labels 0 and 1, (n,), both present.
        alpha: From `smo_step`, (n,).
        C: As there.

    Returns:
        A scalar array. Scores are Σ t α k(x, xᵢ) + b. At the optimum the first of the two is not
        above the second, and all b between them are as good.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or C is not positive.

    Example:
        >>> import numpy as np
        >>> X, y = np.asarray([[0.0], [2.0]]), np.asarray([0.0, 1.0])
        >>> svm_intercept(X @ X.T, y, np.asarray([0.5, 0.5]), C=1.0)  # halfway between
        np.float64(-1.0)
    """
    _check_gram(K, y, alpha)
    check_between("C", C, 0, math.inf, closed="neither")
    xp = namespace(K, y, alpha)
    up, down, _ = _pulls(K, y, alpha, C)
    return xp.astype((xp.max(up) + xp.min(down)) / 2, alpha.dtype, copy=False)

"""L1 and L2 penalties: gradients, proximal maps, ISTA and FISTA, ridge regression.

Throughout, what is minimized is L(θ) + λ₁‖θ‖₁ + (λ₂/2)‖θ‖²: with the half, λ₂ is `weight_decay`.
"""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, widen


def _check_strengths(l1: float, l2: float) -> None:
    check_between("l1", l1, 0, math.inf, closed="left")
    check_between("l2", l2, 0, math.inf, closed="left")


def penalty(theta: Array, *, l1: float = 0.0, l2: float = 0.0) -> Array:
    r"""Return the elastic-net penalty: L1 with `l2=0`, L2 with `l1=0`.

    $$P(\boldsymbol\theta) = \lambda_1 \sum_i \lvert\theta_i\rvert
      + \frac{\lambda_2}{2} \sum_i \theta_i^2$$

    Args:
        theta: Parameters, floating-point, any shape; all entries count alike.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Returns:
        A 0-d array, at least 0 for finite parameters; 0 for an empty `theta`.

    Raises:
        ValueError: If a strength is negative, infinite or NaN.
        TypeError: If `theta` is not floating-point.

    Note:
        Differs from Keras, whose `L2(l)` is l Σθ² without the half: `l2` is 2l.

    Reference:
        Zou and Hastie, Regularization and variable selection via the elastic net (2005).

    Example:
        >>> import numpy as np
        >>> theta = np.asarray([3.0, -4.0])
        >>> float(penalty(theta, l1=1.0)), float(penalty(theta, l2=1.0))
        (7.0, 12.5)
    """
    _check_strengths(l1, l2)
    check_float("theta", theta)
    xp = namespace(theta)
    # A factor at a time: the sum of squares may overflow although λ₂ times it does not.
    return xp.sum(l1 * xp.abs(theta)) + xp.sum(l2 / 2 * theta * theta)


def penalty_vjp(theta: Array, cotangent: Array, *, l1: float = 0.0, l2: float = 0.0) -> Array:
    r"""Return the gradient of `penalty`; at a zero, the subgradient of least length.

    $$\frac{\partial P}{\partial\theta_i} = \lambda_1 \operatorname{sign}(\theta_i)
      + \lambda_2\,\theta_i, \qquad \operatorname{sign}(0) = 0$$

    Args:
        theta: Parameters, floating-point, any shape.
        cotangent: The gradient with respect to the penalty: a number or a 0-d array.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Returns:
        An array like `theta`. At θᵢ = 0 any number in [−λ₁, λ₁] is a subgradient.

    Raises:
        ValueError: If a strength is negative, infinite or NaN.
        TypeError: If `theta` is not floating-point.

    Example:
        >>> import numpy as np
        >>> penalty_vjp(np.asarray([3.0, 0.0, -0.5]), 1.0, l1=1.0, l2=0.1)
        array([ 1.3 ,  0.  , -1.05])
    """
    _check_strengths(l1, l2)
    check_float("theta", theta)
    xp = namespace(theta)
    return cotangent * (l1 * xp.sign(theta) + l2 * theta)


def min_subgradient(theta: Array, grad: Array, *, l1: float = 0.0, l2: float = 0.0) -> Array:
    r"""Return the shortest subgradient of the loss plus penalty: 0 exactly at an optimum.

    $$d_i = \begin{cases}
      g_i + \lambda_2\theta_i + \lambda_1\operatorname{sign}(\theta_i) & \theta_i \ne 0 \\
      S_{\lambda_1}(g_i) & \theta_i = 0 \end{cases}$$

    with the soft threshold $S$. A coordinate rests at zero while $\lvert g_i\rvert\le\lambda_1$.
    For a convex loss, $\mathbf{d}=0$ is necessary and sufficient for a global minimum.

    Args:
        theta: Parameters, floating-point, any shape.
        grad: The gradient of the loss **without** the penalty, same shape.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Returns:
        An array like `theta`; its largest modulus is a stopping criterion.

    Raises:
        ValueError: If a strength is out of range or the shapes differ.
        TypeError: If an argument is not floating-point.

    Note:
        Differs from automatic differentiation, which gives $g_i$ at a zero whatever λ₁ is.

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([2.0, 0.0, 0.0]), np.asarray([-1.0, 0.6, 1.5])
        >>> min_subgradient(theta, grad, l1=1.0)
        array([0. , 0. , 0.5])
    """
    check_same_shape("grad", grad, "theta", theta)
    check_float("grad", grad)
    xp = namespace(theta, grad)
    moving = grad + penalty_vjp(theta, 1.0, l1=l1, l2=l2)
    return xp.where(theta == 0, soft_threshold(grad, threshold=l1), moving)


def l1_max(grad: Array) -> Array:
    r"""Return the smallest λ₁ at which the all-zero solution is optimal.

    $$\lambda_{\max} = \max_i \lvert\partial_i L(\mathbf{0})\rvert$$

    Args:
        grad: The gradient of a convex loss at θ = 0, not empty, any shape.

    Returns:
        A 0-d array. For ½‖y − Xθ‖² the gradient at 0 is −Xᵀy.

    Raises:
        ValueError: If `grad` is empty.
        TypeError: If `grad` is not floating-point.

    Example:
        >>> import numpy as np
        >>> float(l1_max(np.asarray([0.3, -2.0, 1.0])))
        2.0
    """
    check_float("grad", grad)
    if 0 in grad.shape:
        raise ValueError(f"grad has shape {tuple(grad.shape)}: at least one entry is needed")
    xp = namespace(grad)
    return xp.max(xp.abs(grad))


def soft_threshold(z: Array, *, threshold: float) -> Array:
    r"""Move every entry towards zero by `threshold`, and stop there.

    $$S_t(z) = \operatorname{sign}(z)\,\max(\lvert z\rvert - t, 0)
      = \operatorname*{arg\,min}_\theta\, \tfrac12(\theta - z)^2 + t\,\lvert\theta\rvert$$

    Args:
        z: Floating-point, any shape.
        threshold: t ≥ 0, in the unit of `z`.

    Returns:
        An array like `z`, exactly 0 where |z| ≤ t.

    Raises:
        ValueError: If `threshold` is negative, infinite or NaN.
        TypeError: If `z` is not floating-point.

    Reference:
        Donoho, De-noising by soft-thresholding (1995).

    Example:
        >>> import numpy as np
        >>> soft_threshold(np.asarray([3.0, 0.6, -1.5]), threshold=1.0)
        array([ 2. ,  0. , -0.5])
    """
    check_between("threshold", threshold, 0, math.inf, closed="left")
    check_float("z", z)
    xp = namespace(z)
    # where, and not a product with sign(z): 0 and never -0, and NaN stays NaN.
    shrunk = xp.where(z > 0, z - threshold, z + threshold)
    return xp.where(xp.abs(z) <= threshold, 0.0, shrunk)


def soft_threshold_vjp(z: Array, cotangent: Array, *, threshold: float) -> Array:
    r"""Return the gradient of `soft_threshold` with respect to `z`.

    $$\frac{\partial S_t}{\partial z} = \begin{cases} 1 & \lvert z\rvert > t \\ 0 &
      \lvert z\rvert \le t \end{cases}$$

    Args:
        z: Floating-point, any shape.
        cotangent: The gradient with respect to the result, same shape.
        threshold: t ≥ 0.

    Returns:
        An array like `z`. At the two kinks |z| = t, where the derivative jumps, it is 0.

    Raises:
        ValueError: If `threshold` is negative, infinite or NaN, or the shapes differ.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> z = np.asarray([3.0, 0.6, -1.5])
        >>> soft_threshold_vjp(z, np.ones(3), threshold=1.0)
        array([1., 0., 1.])
    """
    check_between("threshold", threshold, 0, math.inf, closed="left")
    check_float("z", z)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "z", z)
    xp = namespace(z, cotangent)
    return xp.where(xp.abs(z) > threshold, cotangent, xp.zeros_like(cotangent))


def prox(z: Array, *, lr: float, l1: float = 0.0, l2: float = 0.0) -> Array:
    r"""Return the proximal map of the penalty: a step on it alone, taken implicitly.

    $$\operatorname{prox}_{\eta P}(\mathbf{z})
      = \operatorname*{arg\,min}_{\boldsymbol\theta}\, \tfrac{1}{2\eta}
        \lVert\boldsymbol\theta-\mathbf{z}\rVert^2 + P(\boldsymbol\theta)
      = \frac{S_{\eta\lambda_1}(\mathbf{z})}{1 + \eta\lambda_2}$$

    Args:
        z: Where to start, floating-point, any shape.
        lr: Step size η ≥ 0.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Returns:
        An array like `z`, no entry larger in modulus, exactly zero where |z| ≤ ηλ₁.

    Raises:
        ValueError: If `lr` or a strength is negative, infinite or NaN.
        TypeError: If `z` is not floating-point.

    Reference:
        Parikh and Boyd, Proximal algorithms (2014).

    Example:
        >>> import numpy as np
        >>> prox(np.asarray([3.0, 0.05]), lr=0.1, l1=1.0)
        array([2.9, 0. ])
        >>> prox(np.asarray([3.0, 0.05]), lr=1.0, l2=1.0)
        array([1.5  , 0.025])
    """
    check_between("lr", lr, 0, math.inf, closed="left")
    _check_strengths(l1, l2)
    return soft_threshold(z, threshold=lr * l1) / (1 + lr * l2)


def ista(theta: Array, grad: Array, *, lr: float, l1: float = 0.0, l2: float = 0.0) -> Array:
    r"""Take one step of ISTA: gradient descent on the loss, then `prox` for the penalty.

    $$\boldsymbol\theta \leftarrow
      \operatorname{prox}_{\eta P}\bigl(\boldsymbol\theta - \eta\nabla L(\boldsymbol\theta)\bigr)$$

    Args:
        theta: Parameters, floating-point, any shape.
        grad: The gradient of the loss **without** the penalty, same shape.
        lr: Step size η. With ∇L Lipschitz of constant ℓ, η = 1/ℓ never increases the objective.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Returns:
        The new parameters, like `theta`.

    Raises:
        ValueError: If a hyperparameter is out of range or the shapes differ.
        TypeError: If an argument is not floating-point.

    Reference:
        Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm (2009).

    Example:
        >>> import numpy as np
        >>> ista(np.asarray([1.0, 0.02]), np.asarray([-1.0, 0.1]), lr=0.1, l1=0.5)
        array([1.05, 0.  ])
    """
    check_same_shape("grad", grad, "theta", theta)
    check_float("theta", theta)
    check_float("grad", grad)
    return prox(theta - lr * grad, lr=lr, l1=l1, l2=l2)


class FistaState(NamedTuple):
    """What FISTA remembers between steps.

    Attributes:
        theta: The iterate, which is the answer.
        t: The weight a that sets the momentum, a 0-d array or a number; 1 at the start.
    """

    theta: Array
    t: Array


def fista(
    lookahead: Array,
    grad: Array,
    state: FistaState,
    *,
    lr: float,
    l1: float = 0.0,
    l2: float = 0.0,
) -> tuple[Array, FistaState]:
    r"""Take one step of FISTA: ISTA from an extrapolated point.

    $$\begin{aligned}
      \boldsymbol\theta_k &= \operatorname{prox}_{\eta P}\bigl(\mathbf{y}_k
        - \eta\nabla L(\mathbf{y}_k)\bigr), \qquad
      a_{k+1} = \tfrac12\bigl(1 + \sqrt{1 + 4a_k^2}\bigr), \\
      \mathbf{y}_{k+1} &= \boldsymbol\theta_k
        + \frac{a_k - 1}{a_{k+1}}(\boldsymbol\theta_k - \boldsymbol\theta_{k-1})
    \end{aligned}$$

    Args:
        lookahead: The point y, where `grad` was taken; at the start the parameters themselves.
        grad: The gradient of the loss at `lookahead`, same shape.
        state: The previous iterate and weight; at the start `FistaState(theta, 1.0)`.
        lr: Step size η, at most 1/ℓ for the bound, which also needs a convex loss.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Returns:
        The next look-ahead and the next state.

    Raises:
        ValueError: If a hyperparameter is out of range or the shapes differ.
        TypeError: If an argument is not floating-point.

    Reference:
        Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm (2009).

    Example:
        >>> import numpy as np
        >>> y, state = np.asarray([1.0]), FistaState(np.asarray([1.0]), 1.0)
        >>> for _ in range(3):
        ...     y, state = fista(y, y, state, lr=0.1)  # the loss y²/2
        >>> state.theta, y.round(3)
        (array([0.70617796]), array([0.661]))
    """
    check_same_shape("state.theta", state.theta, "lookahead", lookahead)
    check_same_shape("grad", grad, "lookahead", lookahead)
    check_float("state.theta", state.theta)
    check_float("lookahead", lookahead)
    theta = ista(lookahead, grad, lr=lr, l1=l1, l2=l2)
    t = (1 + state.t * (4 + state.t**-2) ** 0.5) / 2
    return theta + (state.t - 1) / t * (theta - state.theta), FistaState(theta, t)


def ista_bound(k: Array, *, lr: float, distance: float) -> Array:
    r"""Bound how far the objective is from its minimum after k steps of ISTA, for a convex loss.

    $$F(\boldsymbol\theta_k) - F^\star \le \frac{R^2}{2\eta k}$$

    Args:
        k: Number of steps, at least 1: a number or a floating-point array.
        lr: Step size η in (0, 1/ℓ].
        distance: R, from the start to a minimizer.

    Returns:
        A number or an array like `k`.

    Reference:
        Beck and Teboulle (2009), with step 1/ℓ.

    Example:
        >>> ista_bound(100, lr=0.5, distance=2.0)
        0.04
    """
    return distance / (2 * lr * k) * distance  # a square may overflow


def fista_bound(k: Array, *, lr: float, distance: float) -> Array:
    r"""Bound how far the objective is from its minimum after k steps of FISTA, for a convex loss.

    $$F(\boldsymbol\theta_k) - F^\star \le \frac{2R^2}{\eta\,(k + 1)^2}$$

    Args:
        k: Number of steps, at least 1: a number or a floating-point array.
        lr: Step size η in (0, 1/ℓ].
        distance: R, from the start to a minimizer.

    Returns:
        A number or an array like `k`.

    Reference:
        Beck and Teboulle (2009), with step 1/ℓ.

    Example:
        >>> fista_bound(99, lr=0.5, distance=2.0)
        0.0016
    """
    return 2 * distance / lr / (k + 1) / (k + 1) * distance


def ridge_filter(sigma: Array, *, l2: float) -> Array:
    r"""Return which share of the least-squares fit ridge keeps along each singular direction.

    $$f(\sigma) = \frac{\sigma^2}{\sigma^2 + \lambda_2}$$

    The sum over the directions is the effective number of parameters.

    Args:
        sigma: Singular values of the design, at least 0, any shape.
        l2: Strength λ₂ > 0.

    Returns:
        An array like `sigma`, in [0, 1].

    Raises:
        ValueError: If `l2` is not positive and finite.
        TypeError: If `sigma` is not floating-point.

    Reference:
        Hastie, Tibshirani and Friedman, The elements of statistical learning (2009).

    Example:
        >>> import numpy as np
        >>> ridge_filter(np.asarray([3.0, 1.0, 0.0]), l2=1.0)
        array([0.9, 0.5, 0. ])
    """
    check_between("l2", l2, 0, math.inf, closed="neither")
    check_float("sigma", sigma)
    xp, wide = namespace(sigma), widen(sigma)
    safe = xp.where(wide == 0, 1.0, wide)
    share = wide / (safe + l2 / safe)  # σ² would overflow first
    return xp.astype(share, sigma.dtype, copy=False)


def ridge(X: Array, y: Array, *, l2: float) -> Array:
    r"""Return the coefficients of ridge regression, through the singular values of X.

    $$\hat{\boldsymbol\theta} = \operatorname*{arg\,min}_{\boldsymbol\theta}
        \tfrac12\lVert\mathbf{y}-\mathbf{X}\boldsymbol\theta\rVert^2
        + \tfrac{\lambda_2}{2}\lVert\boldsymbol\theta\rVert^2
      = (\mathbf{X}^\top\mathbf{X} + \lambda_2\mathbf{I})^{-1}\mathbf{X}^\top\mathbf{y}
      = \mathbf{V}\,\frac{\sigma}{\sigma^2 + \lambda_2}\,\mathbf{U}^\top\mathbf{y}$$

    The last form never squares the condition number, and serves n < p as well.

    Args:
        X: Design, shape (n, p). There is no intercept: center X and y if you need one.
        y: Targets, shape (n,) or (n, k).
        l2: Strength λ₂ > 0.

    Returns:
        Coefficients, shape (p,) or (p, k).

    Raises:
        ValueError: If the shapes do not fit or `l2` is not positive and finite.
        TypeError: If an argument is not floating-point.

    Note:
        `sklearn.linear_model.Ridge(alpha=l2, fit_intercept=False)` has the same coefficients: its
        objective is twice this one.

    Reference:
        Hoerl and Kennard, Ridge regression (1970).

    Example:
        >>> import numpy as np
        >>> X = np.asarray([[2.0, 0.0], [0.0, 1.0]])
        >>> ridge(X, np.asarray([5.0, 2.0]), l2=1.0)
        array([2., 1.])
    """
    check_between("l2", l2, 0, math.inf, closed="neither")
    check_float("X", X)
    check_float("y", y)
    xp = namespace(X, y)
    if X.ndim != 2 or y.ndim not in (1, 2) or y.shape[0] != X.shape[0]:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and y has shape {tuple(y.shape)}: "
            "(n, p) and (n,) or (n, k) are needed"
        )
    U, sigma, V_t = xp.linalg.svd(X, full_matrices=False)
    gain = ridge_filter(sigma, l2=l2) / xp.where(sigma == 0, 1.0, sigma)
    coordinates = xp.matmul(xp.matrix_transpose(U), y)
    filtered = (gain if y.ndim == 1 else gain[:, None]) * coordinates
    return xp.matmul(xp.matrix_transpose(V_t), filtered)

"""Momentum: heavy ball, moving average, dampening and Nesterov, and their best parameters."""

import math

from dlkb.arrays import Array, as_numbers, check_between, check_float, check_same_shape, namespace
from dlkb.gradients.loss_explosion import Tuning
from dlkb.optimizers.sgd import penalized_gradient, sgd


def momentum(
    theta: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float = 1e-3,
    momentum: float = 0.9,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Array, Array]:
    r"""Take one step with momentum.

    $$v_t = \beta v_{t-1} + (1-\tau)\,(g_t + \lambda\theta_{t-1}), \qquad
      \theta_t = \theta_{t-1} - \eta\,v_t$$

    Nesterov momentum steps along $g_t + \lambda\theta_{t-1} + \beta v_t$ in the place of $v_t$.

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        velocity: v of the step before, like `theta`. Before the first step None, then
            $v_1 = g_1$ whatever the dampening, as in PyTorch; or zeros, which with
            `dampening=momentum` makes v the moving average of the gradients.
        lr: Learning rate η ≥ 0.
        momentum: β ≥ 0, below 1 for a velocity that forgets.
        dampening: τ: new gradients enter the velocity with the weight 1 − τ.
        nesterov: Nesterov momentum; needs `dampening=0` and β > 0.
        weight_decay: λ ≥ 0, an L2 penalty.
        maximize: Ascend instead of descend; the penalty still pulls towards zero.

    Returns:
        The new parameters and the new velocity.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Keras and Sutskever et al. (2013), whose velocity holds −η v: there a new
        learning rate acts on new gradients only. Differs from the latter in Nesterov momentum,
        too: θ is their θ + βv, the point at which gradients are taken.

    Reference:
        Polyak, Some methods of speeding up the convergence of iteration methods (1964).
        Sutskever et al., On the importance of initialization and momentum (2013).

    Example:
        >>> import numpy as np
        >>> theta, velocity = np.asarray([1.0]), None
        >>> grad = np.asarray([1.0])
        >>> for _ in range(2):
        ...     theta, velocity = momentum(theta, grad, velocity, lr=0.1)
        >>> theta.round(2), velocity
        (array([0.71]), array([1.9]))
    """
    momentum, dampening = as_numbers(momentum, dampening)
    check_between("momentum", momentum, 0, math.inf, closed="neither" if nesterov else "left")
    if nesterov:
        check_between("dampening", dampening, 0, 0)
    g = penalized_gradient(theta, grad, weight_decay=weight_decay, maximize=maximize)
    if velocity is None:
        v = 1 * g  # a copy: the caller may write into either
    else:
        check_same_shape("velocity", velocity, "theta", theta)
        v = momentum * velocity + (1 - dampening) * g
    return sgd(theta, g + momentum * v if nesterov else v, lr=lr), v


def effective_lr(
    lr: float,
    *,
    momentum: float = 0.9,
    dampening: float = 0.0,
    nesterov: bool = False,
    steps: Array = math.inf,
) -> Array:
    r"""Return how far one gradient moves the parameters, per unit, within some steps.

    $$\eta\,(1-\tau)\,\frac{1-\beta^k}{1-\beta}$$

    Nesterov momentum is one step ahead: $\beta^{k+1}$ in the place of $\beta^k$. In the limit both
    are η (1−τ)/(1−β).

    Args:
        lr: Learning rate η ≥ 0.
        momentum: β in [0, 1).
        dampening: τ in [0, 1]; `momentum` for a moving average, whose limit is η.
        nesterov: Nesterov momentum; needs `dampening=0`.
        steps: k ≥ 1, a number or a floating-point array. By default the limit.

    Returns:
        The learning rate at which plain descent would move as far, like `steps`.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Goh, Why momentum really works, Distill (2017).

    Example:
        >>> round(effective_lr(0.1), 9), round(effective_lr(0.1, dampening=0.9), 9)
        (1.0, 0.1)
        >>> round(effective_lr(0.1, steps=2), 9)
        0.19
    """
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("momentum", momentum, 0, 1, closed="left")
    check_between("dampening", dampening, 0, 0 if nesterov else 1)
    endless = isinstance(steps, float) and steps == math.inf
    left = 0.0 if endless else momentum ** (steps + 1 if nesterov else steps)
    return lr * (1 - dampening) * (1 - left) / (1 - momentum)


def critical_momentum(curvature: Array, *, lr: float) -> Array:
    r"""Return the momentum of heavy ball that is fastest along one direction.

    $$\beta = \bigl(1 - \sqrt{\eta\lambda}\bigr)^2$$

    Less creeps, where ηλ < 1, more swings. The error then shrinks by
    $\lvert 1-\sqrt{\eta\lambda}\rvert$ a step, in the long run.

    Args:
        curvature: Curvature λ, an array with 0 < ηλ < 4; NaN below 0.
        lr: Learning rate η > 0.

    Returns:
        An array like `curvature`.

    Raises:
        TypeError: If `curvature` is not floating-point.
        ValueError: If `lr` is not positive.

    Example:
        >>> import numpy as np
        >>> critical_momentum(np.asarray([0.01, 1.0]), lr=1.0).round(2)
        array([0.81, 0.  ])
    """
    check_float("curvature", curvature)
    check_between("lr", lr, 0, math.inf, closed="neither")
    xp = namespace(curvature)
    # Not the root of the product: a large curvature times a small rate stays in range.
    return (1 - lr**0.5 * xp.sqrt(curvature)) ** 2


def oscillation_period(curvature: Array, *, lr: float, momentum: float = 0.9) -> Array:
    r"""Return how many steps one swing of heavy ball takes along one direction.

    $$\frac{2\pi}{\arccos\dfrac{1+\beta-\eta\lambda}{2\sqrt\beta}}$$

    It is about $2\pi/\sqrt{\eta\lambda}$ for small ηλ and β well above `critical_momentum`.

    Args:
        curvature: Curvature λ, an array.
        lr: Learning rate η ≥ 0.
        momentum: β in (0, 1).

    Returns:
        Steps, an array like `curvature`: ∞ where the error does not swing, whether it shrinks or
        grows (λ < 0), 2 where it changes its sign at every step.

    Raises:
        TypeError: If `curvature` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Example:
        >>> import numpy as np
        >>> oscillation_period(np.asarray([0.001, 0.1, 3.9]), lr=1.0).round(1)
        array([ inf, 19.5,  2. ])
    """
    check_float("curvature", curvature)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("momentum", momentum, 0, 1, closed="neither")
    xp = namespace(curvature)
    cosine = (1 + momentum - lr * curvature) / (2 * momentum**0.5)
    angle = xp.acos(xp.clip(cosine, -1.0, 1.0))
    swings = angle > 0
    return xp.where(swings, 2 * math.pi / xp.where(swings, angle, 1.0), math.inf)


def optimal_nesterov(lowest: Array, highest: Array) -> Tuning:
    r"""Return learning rate and momentum at which Nesterov's is fastest on a quadratic.

    $$\eta^\star = \frac{4}{3L+\mu}, \qquad \beta^\star = \frac{r-2}{r+2}, \qquad
      \rho^\star = 1 - \frac2r, \qquad r = \sqrt{3L/\mu+1}$$

    Args:
        lowest: Smallest curvature μ > 0, a number or an array.
        highest: Largest curvature L ≥ μ, in the same form.

    Returns:
        Learning rate, momentum and rate.

    Raises:
        ValueError: If the number `lowest` is not positive, or above the number `highest`, or two
            arrays differ in shape; the entries of an array are not looked at.

    Note:
        Differs from `optimal_heavy_ball`, which is faster on quadratics.

    Reference:
        Lessard, Recht and Packard, Analysis and design of optimization algorithms via integral
        quadratic constraints (2016).

    Example:
        >>> optimal_nesterov(1.0, 5.0)
        Tuning(lr=0.25, momentum=0.3333333333333333, rate=0.5)
    """
    check_between("lowest", lowest, 0, math.inf, closed="neither")
    if isinstance(lowest, (int, float)):
        check_between("highest", highest, lowest, math.inf, closed="left")
    elif not isinstance(highest, (int, float)):
        check_same_shape("highest", highest, "lowest", lowest)
    r = (3 * (highest / lowest) + 1) ** 0.5
    return Tuning(4 / (3 * highest + lowest), (r - 2) / (r + 2), 1 - 2 / r)

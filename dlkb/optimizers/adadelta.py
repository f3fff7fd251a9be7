"""Adadelta: divide each gradient by the size of those before, multiply by that of the steps."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, as_numbers, check_between, check_float, check_same_shape, namespace
from dlkb.optimizers.sgd import penalized_gradient


class AdadeltaState(NamedTuple):
    """What Adadelta remembers between steps.

    Attributes:
        v: Moving average of the squared gradient, in the shape of the parameters.
        u: Moving average of the squared step, in the same shape.
    """

    v: Array
    u: Array


def adadelta_init(theta: Array) -> AdadeltaState:
    r"""Return Adadelta's state before the first step.

    $$v_0 = 0,\quad u_0 = 0$$

    Args:
        theta: Parameters, floating-point, any shape.

    Returns:
        Zeros like `theta`.

    Raises:
        TypeError: If `theta` is not floating-point.

    Example:
        >>> import numpy as np
        >>> adadelta_init(np.ones(2)).u
        array([0., 0.])
    """
    check_float("theta", theta)
    xp = namespace(theta)
    return AdadeltaState(v=xp.zeros_like(theta), u=xp.zeros_like(theta))


def adadelta(
    theta: Array,
    grad: Array,
    state: AdadeltaState,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Array, AdadeltaState]:
    r"""Take one step of Adadelta.

    $$\begin{aligned}
    v_t &= \rho\,v_{t-1} + (1-\rho)\,g_t^2 \\
    \Delta_t &= \frac{\sqrt{u_{t-1} + \epsilon}}{\sqrt{v_t + \epsilon}}\,g_t \\
    u_t &= \rho\,u_{t-1} + (1-\rho)\,\Delta_t^2,\qquad \theta_t = \theta_{t-1} - \eta\,\Delta_t
    \end{aligned}$$

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        state: From `adadelta_init`, or from the step before.
        lr: Factor η ≥ 0 of the step. The paper has none; 1 is its rule.
        rho: Decay rate ρ of both averages, in [0, 1].
        eps: ε > 0, inside both roots. Without it the first step, and so each, would be zero.
        weight_decay: λ ≥ 0. λθ is added to the gradient: an L2 penalty.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Keras in the defaults, lr 0.001, ρ 0.95 and ε 1e-7 there, and in the weight
        decay, which Keras takes off the parameters beside the step.

    Reference:
        Zeiler (2012), Algorithm 1.

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([1.0]), np.asarray([5.0])
        >>> adadelta(theta, grad, adadelta_init(theta))[0].round(4)  # 1 − √(10 ε)
        array([0.9968])
    """
    g = penalized_gradient(theta, grad, weight_decay=weight_decay, maximize=maximize)
    check_same_shape("state.v", state.v, "theta", theta)
    check_same_shape("state.u", state.u, "theta", theta)
    lr, rho, eps = as_numbers(lr, rho, eps)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("rho", rho, 0, 1)
    check_between("eps", eps, 0, math.inf, closed="neither")
    xp = namespace(theta, grad)
    v = rho * state.v + (1 - rho) * g * g
    step = xp.sqrt(state.u + eps) / xp.sqrt(v + eps) * g
    u = rho * state.u + (1 - rho) * step * step
    return theta - xp.astype(lr * step, theta.dtype, copy=False), AdadeltaState(v, u)

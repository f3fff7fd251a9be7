"""AdaGrad, RMSProp and Adadelta: divide each gradient by the size of those before it."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, widen


class AdagradState(NamedTuple):
    """What AdaGrad remembers between steps.

    Attributes:
        step: Gradients seen so far, a Python number or a 0-d array; only `lr_decay` reads it.
        sum: Sum of the squared gradients, in the shape of the parameters.
    """

    step: Array
    sum: Array


class RMSpropState(NamedTuple):
    """What RMSProp remembers between steps.

    Attributes:
        v: Moving average of the squared gradient, in the shape of the parameters.
        mean: Moving average of the gradient (the centred variant), or `None`.
        buffer: Momentum of the steps, or `None`.
    """

    v: Array
    mean: Array | None = None
    buffer: Array | None = None


class AdadeltaState(NamedTuple):
    """What Adadelta remembers between steps.

    Attributes:
        v: Moving average of the squared gradient, in the shape of the parameters.
        u: Moving average of the squared step, in the same shape.
    """

    v: Array
    u: Array


def adagrad_init(theta: Array, *, initial_accumulator_value: float = 0.0) -> AdagradState:
    r"""Return AdaGrad's state before the first step.

    $$t = 0,\quad G_0 = \tau$$

    Args:
        theta: Parameters, floating-point, any shape.
        initial_accumulator_value: τ ≥ 0, in units of the squared gradient.

    Returns:
        Entries τ like `theta`, and a step counter: a 0-d int32 array on its device.

    Raises:
        TypeError: If `theta` is not floating-point.
        ValueError: If `initial_accumulator_value` is negative.

    Note:
        Differs from Keras and optax, which start at τ = 0.1; torch starts at 0.

    Example:
        >>> import numpy as np
        >>> adagrad_init(np.ones(2), initial_accumulator_value=0.1).sum
        array([0.1, 0.1])
    """
    check_float("theta", theta)
    check_between(
        "initial_accumulator_value", initial_accumulator_value, 0, math.inf, closed="left"
    )
    xp = namespace(theta)
    return AdagradState(
        step=xp.zeros((), dtype=xp.int32, device=theta.device),
        sum=xp.zeros_like(theta) + initial_accumulator_value,
    )


def adagrad(
    theta: Array,
    grad: Array,
    state: AdagradState,
    *,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> tuple[Array, AdagradState]:
    r"""Take one step of AdaGrad.

    $$G_t = G_{t-1} + g_t^2,\qquad
    \theta_t = \theta_{t-1} - \frac{\eta}{1 + (t-1)\,\delta}\,\frac{g_t}{\sqrt{G_t} + \epsilon}$$

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        state: From `adagrad_init`, or from the step before.
        lr: Learning rate η ≥ 0: the length of the first step, in units of the parameters.
        lr_decay: δ ≥ 0, on top of the decay that the sum brings.
        weight_decay: λ ≥ 0. λθ is added to the gradient: an L2 penalty.
        eps: ε ≥ 0, added to the root, outside of it, in units of the gradient. With 0, an entry
            that has not had a gradient yet becomes NaN.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If an array is not floating-point, or the dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Keras and optax, which add ε inside the root. This is the diagonal form of
        the paper; its full form has a matrix of the size of the parameters squared.

    Reference:
        Duchi, Hazan and Singer (2011), Figure 1.

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([1.0, 1.0]), np.asarray([1e-3, 1e3])
        >>> state = adagrad_init(theta)
        >>> theta, state = adagrad(theta, grad, state, lr=0.1)
        >>> theta.round(6)  # one size of step for gradients a million times apart
        array([0.9, 0.9])
    """
    g = _penalized(theta, grad, weight_decay, maximize)
    check_same_shape("state.sum", state.sum, "theta", theta)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("lr_decay", lr_decay, 0, math.inf, closed="left")
    check_between("eps", eps, 0, math.inf, closed="left")
    xp = namespace(theta, grad)
    if not (isinstance(lr_decay, (int, float)) and lr_decay == 0):
        t = state.step
        if not isinstance(t, (int, float)):
            t = xp.astype(t, widen(theta).dtype)
        lr = lr / (1 + t * lr_decay)
    total = state.sum + g * g
    step = xp.astype(lr * g / (xp.sqrt(total) + eps), theta.dtype, copy=False)
    return theta - step, AdagradState(state.step + 1, total)


def rmsprop_init(theta: Array, *, centered: bool = False, momentum: bool = False) -> RMSpropState:
    r"""Return RMSProp's state before the first step.

    $$v_0 = 0,\quad m_0 = 0,\quad b_0 = 0$$

    Args:
        theta: Parameters, floating-point, any shape.
        centered: Whether `rmsprop` shall divide by the standard deviation of the gradient.
        momentum: Whether `rmsprop` will be given a momentum.

    Returns:
        Zeros like `theta`, or `None` for what is not needed.

    Raises:
        TypeError: If `theta` is not floating-point.

    Example:
        >>> import numpy as np
        >>> rmsprop_init(np.ones(2))
        RMSpropState(v=array([0., 0.]), mean=None, buffer=None)
    """
    check_float("theta", theta)
    xp = namespace(theta)
    return RMSpropState(
        v=xp.zeros_like(theta),
        mean=xp.zeros_like(theta) if centered else None,
        buffer=xp.zeros_like(theta) if momentum else None,
    )


def rmsprop(
    theta: Array,
    grad: Array,
    state: RMSpropState,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
) -> tuple[Array, RMSpropState]:
    r"""Take one step of RMSProp, centred or with momentum if the state carries what they need.

    $$v_t = \rho\,v_{t-1} + (1-\rho)\,g_t^2,\qquad
    \theta_t = \theta_{t-1} - \eta\,\frac{g_t}{\sqrt{v_t} + \epsilon}$$

    The centred variant takes $v_t - m_t^2$ under the root, with the average $m_t$ of the gradient.
    With momentum μ the quotient goes into $b_t = \mu\,b_{t-1} + g_t/(\sqrt{v_t} + \epsilon)$, and
    the step is $\eta\,b_t$.

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        state: From `rmsprop_init`, or from the step before.
        lr: Learning rate η ≥ 0, in units of the parameters.
        alpha: Decay rate ρ of the averages, in [0, 1].
        eps: ε ≥ 0, added to the root, outside of it, in units of the gradient.
        weight_decay: λ ≥ 0. λθ is added to the gradient: an L2 penalty.
        momentum: μ ≥ 0; other than 0 it needs `state.buffer`.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If an array is not floating-point, or the dtypes differ.
        ValueError: If shapes differ, a hyperparameter is out of its range, or `momentum` is set
            and the state has no buffer for it.

    Note:
        Differs from TensorFlow 1, optax and JAX's examples, which add ε inside the root, and from
        torch where rounding makes $v_t - m_t^2$ negative: torch returns NaN, this takes 0.

    Reference:
        Tieleman and Hinton, Lecture 6.5 (2012); the centred variant is of Graves (2013).

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([1.0, 1.0]), np.asarray([0.1, 9.0])
        >>> theta, state = rmsprop(theta, grad, rmsprop_init(theta), lr=0.01)
        >>> theta.round(6)  # v starts at zero: the step is lr / √(1 − α)
        array([0.9, 0.9])
    """
    g = _penalized(theta, grad, weight_decay, maximize)
    for name in ("v", "mean", "buffer"):
        if (held := getattr(state, name)) is not None:
            check_same_shape(f"state.{name}", held, "theta", theta)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("alpha", alpha, 0, 1)
    check_between("eps", eps, 0, math.inf, closed="left")
    check_between("momentum", momentum, 0, math.inf, closed="left")
    if state.buffer is None and not (isinstance(momentum, (int, float)) and momentum == 0):
        raise ValueError(
            f"momentum is {momentum} but state.buffer is None: "
            "start with rmsprop_init(theta, momentum=True)"
        )
    xp = namespace(theta, grad)
    v = alpha * state.v + (1 - alpha) * g * g
    mean = None if state.mean is None else alpha * state.mean + (1 - alpha) * g
    # The variance is not negative, but its rounding may be.
    spread = v if mean is None else xp.clip(v - mean * mean, min=0.0)
    direction = g / (xp.sqrt(spread) + eps)
    if state.buffer is not None:
        direction = momentum * state.buffer + direction
    buffer = None if state.buffer is None else direction
    step = xp.astype(lr * direction, theta.dtype, copy=False)
    return theta - step, RMSpropState(v, mean, buffer)


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
        TypeError: If an array is not floating-point, or the dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Keras in the defaults alone: there lr is 0.001.

    Reference:
        Zeiler (2012), Algorithm 1.

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([1.0]), np.asarray([5.0])
        >>> adadelta(theta, grad, adadelta_init(theta))[0].round(4)  # 1 − √(10 ε)
        array([0.9968])
    """
    g = _penalized(theta, grad, weight_decay, maximize)
    check_same_shape("state.v", state.v, "theta", theta)
    check_same_shape("state.u", state.u, "theta", theta)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("rho", rho, 0, 1)
    check_between("eps", eps, 0, math.inf, closed="neither")
    xp = namespace(theta, grad)
    v = rho * state.v + (1 - rho) * g * g
    step = xp.sqrt(state.u + eps) / xp.sqrt(v + eps) * g
    u = rho * state.u + (1 - rho) * step * step
    return theta - xp.astype(lr * step, theta.dtype, copy=False), AdadeltaState(v, u)


def _penalized(theta: Array, grad: Array, weight_decay: float, maximize: bool) -> Array:
    """Check parameters and gradient; return the gradient downhill, with that of the penalty."""
    check_float("theta", theta)
    check_float("grad", grad)
    check_same_shape("grad", grad, "theta", theta)
    if grad.dtype != theta.dtype:
        raise TypeError(f"grad has dtype {grad.dtype} but theta has {theta.dtype}: cast one")
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    g = -grad if maximize else grad
    if isinstance(weight_decay, (int, float)) and weight_decay == 0:
        return g  # not plus zero: 0 · ∞ is no number
    return g + weight_decay * theta

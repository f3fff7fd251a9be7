"""AdaGrad and RMSProp: divide each gradient by the size of those before it."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    as_numbers,
    check_between,
    check_float,
    check_same_shape,
    device,
    namespace,
    wide_dtype,
)
from dlkb.optimizers.sgd import penalized_gradient


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
    (initial_accumulator_value,) = as_numbers(initial_accumulator_value)
    check_between(
        "initial_accumulator_value", initial_accumulator_value, 0, math.inf, closed="left"
    )
    xp = namespace(theta)
    return AdagradState(
        step=xp.zeros((), dtype=xp.int32, device=device(theta)),
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
        lr: Learning rate η ≥ 0: from τ = 0 the length of the first step, in units of θ.
        lr_decay: δ ≥ 0, on top of the decay that the sum brings.
        weight_decay: λ ≥ 0. λθ is added to the gradient: an L2 penalty.
        eps: ε ≥ 0, added to the root, outside of it, in units of the gradient. With 0, to which
            float16 rounds the default, an entry without a gradient yet becomes NaN, from τ = 0.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Keras and optax, which add ε inside the root. This is the diagonal form of
        the paper; its full form has a matrix of the size of the parameters squared.

    Reference:
        Duchi, Hazan and Singer (2011).

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([1.0, 1.0]), np.asarray([1e-3, 1e3])
        >>> state = adagrad_init(theta)
        >>> theta, state = adagrad(theta, grad, state, lr=0.1)
        >>> theta.round(6)  # one size of step for gradients a million times apart
        array([0.9, 0.9])
    """
    g = penalized_gradient(theta, grad, weight_decay=weight_decay, maximize=maximize)
    check_same_shape("state.sum", state.sum, "theta", theta)
    lr, lr_decay, eps = as_numbers(lr, lr_decay, eps)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("lr_decay", lr_decay, 0, math.inf, closed="left")
    check_between("eps", eps, 0, math.inf, closed="left")
    xp = namespace(theta, grad)
    if not (isinstance(lr_decay, (int, float)) and lr_decay == 0):
        t = state.step
        if not isinstance(t, (int, float)):
            t = xp.astype(t, wide_dtype(theta))
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
        eps: ε ≥ 0, added to the root, outside of it, in units of the gradient. With 0, to which
            float16 rounds the default, an entry without a gradient yet becomes NaN.
        weight_decay: λ ≥ 0. λθ is added to the gradient: an L2 penalty.
        momentum: μ ≥ 0; other than 0 it needs `state.buffer`.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, a hyperparameter is out of its range, or `momentum` is set
            and the state has no buffer for it.

    Note:
        Differs from Keras, optax and JAX's examples, which add ε inside the root, and from torch
        where rounding makes $v_t - m_t^2$ negative: torch returns NaN, this takes 0, so that the
        step is η|g|/ε.

    Reference:
        Tieleman and Hinton, Lecture 6.5 (2012); the centred variant is of Graves (2013).

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([1.0, 1.0]), np.asarray([0.1, 9.0])
        >>> theta, state = rmsprop(theta, grad, rmsprop_init(theta), lr=0.01)
        >>> theta.round(6)  # v starts at zero: the step is lr / √(1 − α)
        array([0.9, 0.9])
    """
    g = penalized_gradient(theta, grad, weight_decay=weight_decay, maximize=maximize)
    for name in ("v", "mean", "buffer"):
        if (held := getattr(state, name)) is not None:
            check_same_shape(f"state.{name}", held, "theta", theta)
    lr, alpha, eps, momentum = as_numbers(lr, alpha, eps, momentum)
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

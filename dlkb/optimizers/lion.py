"""Lion: the sign of a momentum."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, as_numbers, check_between, check_float, check_same_shape, namespace


class LionState(NamedTuple):
    """What Lion remembers between steps.

    Attributes:
        m: Moving average of the gradient, in the shape of the parameters.
    """

    m: Array


def lion_init(theta: Array) -> LionState:
    r"""Return Lion's state before the first step.

    $$m_0 = 0$$

    Args:
        theta: Parameters, floating-point, any shape.

    Returns:
        Zeros like `theta`.

    Raises:
        TypeError: If `theta` is not floating-point.

    Example:
        >>> import numpy as np
        >>> lion_init(np.ones(2))
        LionState(m=array([0., 0.]))
    """
    check_float("theta", theta)
    return LionState(m=namespace(theta).zeros_like(theta))


def lion(
    theta: Array,
    grad: Array,
    state: LionState,
    *,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Array, LionState]:
    r"""Take one step of Lion: each parameter moves by lr, up or down.

    $$\begin{aligned}
    c_t &= \beta_1 m_{t-1} + (1-\beta_1)\,g_t \\
    \theta_t &= \theta_{t-1} - \eta\,\bigl(\operatorname{sign}(c_t) + \lambda\,\theta_{t-1}\bigr) \\
    m_t &= \beta_2 m_{t-1} + (1-\beta_2)\,g_t
    \end{aligned}$$

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        state: From `lion_init`, or from the step before.
        lr: Learning rate η ≥ 0: the length of a step, in units of the parameters.
        betas: Weights (β₁, β₂), each in [0, 1): of the average in the step, and in the average.
        weight_decay: λ ≥ 0, decoupled: a step multiplies the parameters by 1 − ηλ.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Reference:
        Chen et al., Symbolic Discovery of Optimization Algorithms (2023).

    Example:
        >>> import numpy as np
        >>> theta = np.asarray([1.0, 1.0, 1.0])
        >>> lion(theta, np.asarray([1e-6, 0.0, -1e6]), lion_init(theta), lr=0.1)[0]
        array([0.9, 1. , 1.1])
    """
    check_float("theta", theta)
    check_float("grad", grad)
    check_same_shape("grad", grad, "theta", theta)
    check_same_shape("state.m", state.m, "theta", theta)
    if grad.dtype != theta.dtype:
        raise TypeError(f"grad has dtype {grad.dtype} but theta has {theta.dtype}: cast one")
    lr, weight_decay, beta1, beta2 = as_numbers(lr, weight_decay, *betas)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    for i, beta in enumerate((beta1, beta2)):
        check_between(f"betas[{i}]", beta, 0, 1, closed="left")
    xp = namespace(theta, grad)
    g = -grad if maximize else grad
    c = beta1 * state.m + (1 - beta1) * g
    if not (isinstance(weight_decay, (int, float)) and weight_decay == 0):
        theta = (1 - lr * weight_decay) * theta
    theta = xp.astype(theta - lr * xp.sign(c), grad.dtype, copy=False)
    return theta, LionState(beta2 * state.m + (1 - beta2) * g)

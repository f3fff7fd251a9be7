"""Adam: steps of size lr, whatever the size of the gradient."""

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


class AdamState(NamedTuple):
    """What Adam remembers between steps.

    Attributes:
        step: Gradients seen so far: a Python number, which is more accurate (see `adam`), or
            a 0-d array, which survives `jit` and CUDA graphs.
        m: Moving average of the gradient, in the shape of the parameters.
        v: Moving average of the squared gradient (uncentred), in the same shape.
        v_max: Elementwise maximum of all `v` so far (AMSGrad), or `None` (Adam).
    """

    step: Array
    m: Array
    v: Array
    v_max: Array | None = None


def adam_init(theta: Array, *, amsgrad: bool = False) -> AdamState:
    r"""Return the state before the first step.

    $$t = 0,\quad m_0 = 0,\quad v_0 = 0,\quad v^{\max}_0 = 0$$

    Args:
        theta: Parameters, floating-point, any shape.
        amsgrad: Whether `adam` shall divide by the maximum of all second moments.

    Returns:
        Zeros like `theta`, and a step counter: a 0-d int32 array on its device.

    Raises:
        TypeError: If `theta` is not floating-point.

    Example:
        >>> import numpy as np
        >>> adam_init(np.ones(2)).m
        array([0., 0.])
    """
    check_float("theta", theta)
    xp = namespace(theta)
    return AdamState(
        step=xp.zeros((), dtype=xp.int32, device=device(theta)),
        m=xp.zeros_like(theta),
        v=xp.zeros_like(theta),
        v_max=xp.zeros_like(theta) if amsgrad else None,
    )


def bias_correction(step: Array, *, beta: float) -> Array:
    r"""Return the factor by which a moving average that starts at zero falls short.

    $$1 - \beta^t = (1 - \beta) \sum_{s=1}^{t} \beta^{t-s}$$

    Args:
        step: Number of values t ≥ 1, `math.inf` for the limit, or a floating-point array.
        beta: Decay rate in [0, 1).

    Returns:
        A number or an array like `step`, in (0, 1].

    Raises:
        ValueError: If `beta` is outside [0, 1).

    Reference:
        Kingma and Ba, Adam (2015), section 3.

    Example:
        >>> [round(bias_correction(step, beta=0.999), 5) for step in (1, 10_000)]
        [0.001, 0.99995]
    """
    check_between("beta", beta, 0, 1, closed="left")
    return 1.0 if isinstance(step, float) and step == math.inf else 1 - beta**step


def effective_step(
    state: AdamState,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    r"""Return the step that Adam subtracts from the parameters.

    $$\Delta_t = \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon},\qquad
    \hat m_t = \frac{m_t}{1-\beta_1^t},\qquad \hat v_t = \frac{v_t}{1-\beta_2^t}$$

    Args:
        state: The state after at least one gradient; `v_max`, if any, replaces `v`.
        lr: Learning rate η ≥ 0.
        betas: Decay rates (β₁, β₂), each in [0, 1).
        eps: Added to the root, outside of it, ≥ 0.

    Returns:
        An array like `state.m`.

    Raises:
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Algorithm 1 in rounding: √v / √(1 − β₂ᵗ), since v / (1 − β₂ᵗ) overflows.

    Reference:
        Kingma and Ba, Adam (2015), Algorithm 1.

    Example:
        >>> import numpy as np
        >>> state = AdamState(1, m=np.asarray([0.5]), v=np.asarray([0.025]))
        >>> effective_step(state, lr=0.1)
        array([0.1])
    """
    lr, eps = as_numbers(lr, eps)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("eps", eps, 0, math.inf, closed="left")
    check_same_shape("state.v", state.v, "state.m", state.m)
    xp = namespace(state.m)
    beta1, beta2 = as_numbers(*betas)
    t = state.step
    if not isinstance(t, (int, float)):
        t = xp.astype(t, wide_dtype(state.m))
    v = state.v if state.v_max is None else state.v_max
    m_hat = state.m / bias_correction(t, beta=beta1)
    sqrt_v_hat = xp.sqrt(v) / bias_correction(t, beta=beta2) ** 0.5
    return xp.astype(lr * m_hat / (sqrt_v_hat + eps), state.m.dtype, copy=False)


def adam(
    theta: Array,
    grad: Array,
    state: AdamState,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Array, AdamState]:
    r"""Take one step of Adam, or of AMSGrad if the state carries `v_max`.

    $$\begin{aligned}
    m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
    v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
    \theta_t &= \theta_{t-1} - \eta\,
      \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}
    \end{aligned}$$

    AMSGrad puts $v^{\max}_t = \max(v^{\max}_{t-1}, v_t)$ in the place of the last $v_t$.

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        state: From `adam_init`, or from the step before.
        lr: Learning rate η ≥ 0, in units of the parameters.
        betas: Decay rates (β₁, β₂) of the two averages, each in [0, 1).
        eps: Added to the root, outside of it, ≥ 0, in units of the gradient. With 0, to which
            float16 may round the default, an entry without a gradient yet becomes NaN.
        weight_decay: λ ≥ 0. λθ is added to the gradient: an L2 penalty. `adamw` differs.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from Reddi et al. (2018), whose AMSGrad has no bias correction, and from optax,
        which takes the maximum of the corrected v: this corrects the maximum of the raw v, like
        PyTorch and Keras. Differs from Keras in ε, which there is added to the root of the raw
        v. An array as step counter gives a float32 1 − β₂ᵗ for float32 parameters, with a
        relative error of up to 2e-5 at β₂ = 0.999 and more above, as PyTorch's `capturable`
        does; a Python number does not.

    Reference:
        Kingma and Ba, Adam (2015), Algorithm 1. Reddi, Kale and Kumar (2018).

    Example:
        >>> import numpy as np
        >>> theta = np.asarray([1.0, 1.0])
        >>> state = adam_init(theta)
        >>> theta, state = adam(theta, np.asarray([1.0, 1e6]), state, lr=0.1)
        >>> theta  # one size of step for gradients a million times apart
        array([0.9, 0.9])
    """
    check_float("theta", theta)
    check_float("grad", grad)
    check_same_shape("grad", grad, "theta", theta)
    for name in ("m", "v") if state.v_max is None else ("m", "v", "v_max"):
        check_same_shape(f"state.{name}", getattr(state, name), "theta", theta)
    if grad.dtype != theta.dtype:
        raise TypeError(f"grad has dtype {grad.dtype} but theta has {theta.dtype}: cast one")
    lr, eps, weight_decay = as_numbers(lr, eps, weight_decay)
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    xp = namespace(theta, grad)
    beta1, beta2 = as_numbers(*betas)
    g = -grad if maximize else grad
    if not (isinstance(weight_decay, (int, float)) and weight_decay == 0):
        g = g + weight_decay * theta  # not by zero: 0 · ∞ is no number
        g = xp.astype(g, theta.dtype, copy=False)  # a rate of JAX may be wider
    m = beta1 * state.m + (1 - beta1) * g
    v = beta2 * state.v + (1 - beta2) * g * g
    v_max = None if state.v_max is None else xp.maximum(state.v_max, v)
    state = AdamState(state.step + 1, m, v, v_max)
    step = effective_step(state, lr=lr, betas=betas, eps=eps)
    # A state may be wider than the parameters, which keep their dtype.
    return xp.astype(theta - step, theta.dtype, copy=False), state


def step_bound(
    *, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), step: Array = math.inf
) -> Array:
    r"""Return the largest step that any sequence of gradients can make Adam take.

    $$|\Delta_t| \le \eta\,\frac{1-\beta_1}{1-\beta_1^t}
    \sqrt{\frac{1-\beta_2^t}{1-\beta_2}\;\frac{1-r^t}{1-r}},\qquad r = \frac{\beta_1^2}{\beta_2}$$

    By Cauchy–Schwarz; gradients that grow by the factor β₂/β₁ a step attain it. For t → ∞ it is
    η (1−β₁) / √((1−β₂)(1−r)), 7.27 η at the defaults.

    Args:
        lr: Learning rate η ≥ 0.
        betas: Decay rates (β₁, β₂), each in [0, 1), β₂ > 0.
        step: t ≥ 1, a number or an array. By default the limit, infinite if β₁² ≥ β₂.

    Returns:
        The bound, in units of the parameters, a number or an array like `step`.

    Raises:
        ValueError: If a hyperparameter is out of its range.
        OverflowError: If rᵗ is beyond float64, for a number t and r > 1.

    Note:
        Differs from the paper's section 2.1, whose bound is the larger of η and `spike_step`.

    Example:
        >>> round(step_bound(lr=1.0), 4), step_bound(lr=1.0, step=1)
        (7.2703, 1.0)
    """
    beta1, beta2 = betas
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("betas[1]", beta2, 0, 1, closed="neither")
    r = beta1**2 / beta2
    terms = step if r == 1 else (1 - r**step) / (1 - r)
    return lr * spike_step(lr=1.0, betas=betas, step=step) * terms**0.5


def spike_step(
    *, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), step: Array = math.inf
) -> Array:
    r"""Return Adam's step when the only gradient other than zero is the newest one.

    $$|\Delta_t| = \eta\,\frac{1-\beta_1}{1-\beta_1^t}\sqrt{\frac{1-\beta_2^t}{1-\beta_2}}$$

    Args:
        lr: Learning rate η ≥ 0.
        betas: Decay rates (β₁, β₂), each in [0, 1).
        step: t ≥ 1, a number or an array. By default the limit, 3.162 η at the defaults.

    Returns:
        The size of the step for ε → 0, a number or an array like `step`.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Kingma and Ba, Adam (2015), section 2.1.

    Example:
        >>> round(spike_step(lr=1.0), 4), spike_step(lr=1.0, step=1)
        (3.1623, 1.0)
    """
    beta1, beta2 = betas
    check_between("lr", lr, 0, math.inf, closed="left")
    rise = (1 - beta1) / bias_correction(step, beta=beta1)
    return lr * rise * (bias_correction(step, beta=beta2) / (1 - beta2)) ** 0.5


def stable_curvature(*, lr: float = 1e-3, beta1: float = 0.9) -> float:
    r"""Return the λ / (√v̂ + ε) beyond which Adam grows on a quadratic of curvature λ.

    $$\frac{\lambda}{\sqrt{\hat v} + \epsilon} < \frac{2\,(1+\beta_1)}{(1-\beta_1)\,\eta}$$

    While v̂ hardly changes, Adam is momentum with the learning rate η / (√v̂ + ε).

    Args:
        lr: Learning rate η > 0.
        beta1: Decay rate β₁ in [0, 1).

    Returns:
        The limit, 38 / η at the default β₁.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Cohen et al., Adaptive Gradient Methods at the Edge of Stability (2022).

    Example:
        >>> round(stable_curvature(lr=1.0), 9), stable_curvature(lr=0.5, beta1=0.0)
        (38.0, 4.0)
    """
    check_between("lr", lr, 0, math.inf, closed="neither")
    check_between("beta1", beta1, 0, 1, closed="left")
    return 2 * (1 + beta1) / ((1 - beta1) * lr)

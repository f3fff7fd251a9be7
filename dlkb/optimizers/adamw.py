"""AdamW: Adam with weight decay that does not pass through the moving averages."""

import math

from dlkb.arrays import Array, as_numbers, check_between, check_float, namespace
from dlkb.optimizers.adam import AdamState, adam


def adamw(
    theta: Array,
    grad: Array,
    state: AdamState,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    maximize: bool = False,
) -> tuple[Array, AdamState]:
    r"""Shrink the parameters by the factor 1 − ηλ, then take one step of Adam.

    $$\theta_t = (1 - \eta\lambda)\,\theta_{t-1} - \eta\,
    \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}$$

    The averages see the gradient of the loss alone, so that every parameter decays at one rate.

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss without penalty, in the shape and dtype of `theta`.
        state: From `dlkb.optimizers.adam.adam_init`, or from the step before.
        lr: Learning rate η ≥ 0.
        betas: Decay rates (β₁, β₂) of the two averages, each in [0, 1).
        eps: Added to the root, outside of it, ≥ 0.
        weight_decay: Decay rate λ ≥ 0; a step multiplies the parameters by 1 − ηλ.
        maximize: Ascend instead of descend; the decay still pulls towards zero.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ, or a hyperparameter is out of its range.

    Note:
        Differs from the paper, which decays by its schedule multiplier times λ, without the
        learning rate: as in PyTorch, Keras and optax, the decay here is lr · weight_decay, and
        follows a schedule of lr.

    Reference:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019), Algorithm 2.

    Example:
        >>> import numpy as np
        >>> from dlkb.optimizers.adam import adam_init
        >>> theta = np.asarray([1.0, 2.0])
        >>> adamw(theta, np.zeros(2), adam_init(theta), lr=0.1, weight_decay=0.5)[0]
        array([0.95, 1.9 ])
    """
    lr, weight_decay = as_numbers(lr, weight_decay)
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    check_float("theta", theta)  # before the product, which would make integers floating-point
    # A rate of JAX may be wider than the parameters, which keep their dtype.
    shrunk = namespace(theta).astype((1 - lr * weight_decay) * theta, theta.dtype, copy=False)
    return adam(shrunk, grad, state, lr=lr, betas=betas, eps=eps, maximize=maximize)


def decay_factor(steps: Array, *, lr: float = 1e-3, weight_decay: float = 1e-2) -> Array:
    r"""Return what decoupled decay leaves of a weight that the loss does not move.

    $$\frac{\theta_t}{\theta_0} = (1 - \eta\lambda)^t \approx e^{-\eta\lambda t}$$

    It is also the weight that an update still has after t more steps, since the parameters of
    AdamW are a moving average of −u/λ, u being Adam's step for η = 1. The time constant is
    1/(ηλ) steps, the half-life 0.69/(ηλ).

    Args:
        steps: Number of steps t ≥ 0: a Python number or a floating-point array.
        lr: Learning rate η ≥ 0.
        weight_decay: Decay rate λ ≥ 0.

    Returns:
        A number or an array like `steps`, 1 for t = 0.

    Raises:
        ValueError: If `lr` or `weight_decay` is negative.

    Note:
        For a schedule it is the product of 1 − ηₜλ, about exp(−λ Σηₜ).

    Reference:
        Wang and Aitchison, How to set AdamW's weight decay as you scale model and dataset
        size (2025): the moving average and its time constant.

    Example:
        >>> [round(decay_factor(1000, weight_decay=w), 3) for w in (0.01, 1.0)]
        [0.99, 0.368]
    """
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    return (1 - lr * weight_decay) ** steps


def coupled_rate(v_hat: Array, *, weight_decay: float, eps: float = 1e-8) -> Array:
    r"""Return the decay rate that an L2 penalty in the gradient amounts to under Adam.

    $$\lambda_{\text{eff}} = \frac{\lambda}{\sqrt{\hat v} + \epsilon}$$

    Adam divides the penalty's gradient λθ by the same root as the gradient of the loss. With
    this rate in the place of `weight_decay`, `adamw` decays as `adam` does with the penalty, up to
    the lag of the average m.

    Args:
        v_hat: Second moment of the whole gradient, penalty included, bias-corrected, any shape.
        weight_decay: λ ≥ 0 of the penalty λ‖θ‖²/2.
        eps: Adam's ε ≥ 0.

    Returns:
        One decay rate for each entry of `v_hat`.

    Raises:
        TypeError: If `v_hat` is not floating-point.
        ValueError: If `weight_decay` or `eps` is negative.

    Note:
        Where the penalty itself makes up the gradient, √v̂ is about λ|θ| and the step about η,
        whatever λ is, as long as λ|θ| is well above ε.

    Reference:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019).

    Example:
        >>> import numpy as np
        >>> coupled_rate(np.asarray([0.01, 1.0, 100.0]), weight_decay=0.1).round(3)
        array([1.  , 0.1 , 0.01])
    """
    check_float("v_hat", v_hat)
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    check_between("eps", eps, 0, math.inf, closed="left")
    xp = namespace(v_hat)
    return weight_decay / (xp.sqrt(v_hat) + eps)


def noise_rms(*, lr: float = 1e-3, weight_decay: float = 1e-2) -> float:
    r"""Return the size at which AdamW holds a weight whose gradient is nothing but noise.

    $$\sqrt{\mathbb{E}[\theta^2]} = \sqrt{\frac{\eta}{\lambda\,(2 - \eta\lambda)}}
    \approx \sqrt{\frac{\eta}{2\lambda}}$$

    Noise pushes the weight by steps of size η at random, the decay pulls it back. The scale
    of the gradient does not enter.

    Args:
        lr: Learning rate η > 0.
        weight_decay: Decay rate λ > 0, ηλ < 2.

    Returns:
        The root mean square, in units of the parameters.

    Raises:
        ValueError: If ηλ is not in (0, 2): there is no equilibrium.

    Note:
        Exact for steps of mean zero that are uncorrelated and of mean square η². β₁ correlates
        them; that changes the result by a factor of 1 + O(ηλ/(1−β₁)). A signal, noise that is
        correlated from step to step, and rare gradients change it more.

    Reference:
        Kosson, Messmer and Jaggi, Rotational Equilibrium (2024), for whole weight vectors.

    Example:
        >>> [round(noise_rms(lr=lr, weight_decay=0.5), 4) for lr in (0.01, 0.04)]
        [0.1001, 0.201]
    """
    check_between("lr * weight_decay", lr * weight_decay, 0, 2, closed="neither")
    return (lr / (weight_decay * (2 - lr * weight_decay))) ** 0.5

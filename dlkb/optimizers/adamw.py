"""AdamW: Adam with weight decay that does not pass through the moving averages."""

import math

from dlkb.arrays import Array, check_between
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
        TypeError: If an array is not floating-point, or the dtypes differ.
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
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    shrunk = (1 - lr * weight_decay) * theta
    return adam(shrunk, grad, state, lr=lr, betas=betas, eps=eps, maximize=maximize)

"""Gradient descent on all examples or a few, and where the noise of the few leaves it."""

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
from dlkb.gradients.loss_explosion import stable_lr


def penalized_gradient(
    theta: Array, grad: Array, *, weight_decay: float = 0.0, maximize: bool = False
) -> Array:
    r"""Return the gradient along which to descend: that of loss and L2 penalty.

    $$\pm\,g + \lambda\theta$$

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        weight_decay: λ ≥ 0, the penalty is λ/2 ‖θ‖².
        maximize: Turn the sign of the gradient; the penalty still pulls towards zero.

    Returns:
        An array like `theta`.

    Raises:
        TypeError: If an array is not floating-point, or the dtypes differ.
        ValueError: If the shapes differ, or `weight_decay` is negative.

    Note:
        Differs from Keras, whose `weight_decay` shrinks the parameters by ηλ beside the step,
        also under momentum.

    Example:
        >>> import numpy as np
        >>> theta, grad = np.asarray([2.0]), np.asarray([1.0])
        >>> penalized_gradient(theta, grad, weight_decay=0.1)
        array([1.2])
    """
    check_float("theta", theta)
    check_float("grad", grad)
    check_same_shape("grad", grad, "theta", theta)
    if grad.dtype != theta.dtype:
        raise TypeError(f"grad has dtype {grad.dtype} but theta has {theta.dtype}: cast one")
    (weight_decay,) = as_numbers(weight_decay)
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    g = -grad if maximize else grad
    if isinstance(weight_decay, (int, float)) and weight_decay == 0:
        return g  # not plus zero times θ: 0 · ∞ is no number
    return namespace(theta).astype(g + weight_decay * theta, theta.dtype, copy=False)


def sgd(
    theta: Array,
    grad: Array,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Array:
    r"""Take one step against the gradient, of all examples or of a batch.

    $$\theta_t = \theta_{t-1} - \eta\,(g_t + \lambda\theta_{t-1})$$

    Args:
        theta: Parameters, floating-point, any shape.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        lr: Learning rate η ≥ 0.
        weight_decay: λ ≥ 0, an L2 penalty.
        maximize: Ascend instead of descend; the penalty still pulls towards zero.

    Returns:
        The new parameters.

    Raises:
        TypeError: If an array is not floating-point, or the dtypes differ.
        ValueError: If the shapes differ, or a hyperparameter is negative.

    Note:
        Differs from `torch.optim.SGD` in nothing. With momentum it is
        `dlkb.optimizers.momentum.momentum`.

    Reference:
        Robbins and Monro, A Stochastic Approximation Method (1951).

    Example:
        >>> import numpy as np
        >>> sgd(np.asarray([1.0]), np.asarray([2.0]), lr=0.1)
        array([0.8])
    """
    (lr,) = as_numbers(lr)
    check_between("lr", lr, 0, math.inf, closed="left")
    g = penalized_gradient(theta, grad, weight_decay=weight_decay, maximize=maximize)
    # A rate of JAX may be wider than the parameters, which keep their dtype.
    return namespace(theta).astype(theta - lr * g, theta.dtype, copy=False)


def batch_variance(variance: Array, *, batch: int, examples: float = math.inf) -> Array:
    r"""Return the variance of the mean over a random batch.

    $$\frac{\sigma^2}{b}\cdot\frac{n-b}{n-1}$$

    Args:
        variance: Variance σ² ≥ 0 of one example's gradient around the mean over all, with the
            divisor n; a number or an array.
        batch: Examples a batch, b.
        examples: n ≥ b if the batch is drawn without replacement; by default ∞, which is with
            replacement: σ²/b.

    Returns:
        The variance, like `variance`: 0 for a batch of all.

    Raises:
        ValueError: If `batch` is below 1 or above `examples`.

    Note:
        Differs from a variance with the divisor n − 1: for it the factor is (n − b)/n.

    Example:
        >>> batch_variance(6.0, batch=3), batch_variance(6.0, batch=3, examples=5)
        (2.0, 1.0)
    """
    check_count("batch", batch, 1, examples)
    left = 1.0 if examples == math.inf else (examples - batch) / max(examples - 1, 1)
    return variance * (left / batch)


def noise_ball(curvature: Array, variance: Array, *, lr: float, momentum: float = 0.0) -> Array:
    r"""Return the mean square of the error at which descent with noisy gradients stays.

    $$\mathbb{E}[e^2] = \frac{\eta\,\sigma^2}{\lambda\,(1-\beta)}\cdot
      \frac{1+\beta}{2(1+\beta)-\eta\lambda}$$

    On a quadratic of curvature λ, along one direction. The mean loss there is λ/2 of it.

    Args:
        curvature: λ > 0, an array.
        variance: Variance σ² of the gradient's noise, the same at every point and independent
            from step to step; a number or an array that broadcasts with `curvature`.
        lr: Learning rate η ≥ 0.
        momentum: β in [0, 1), of heavy ball without dampening.

    Returns:
        The mean square; ∞ from the learning rate on at which descent diverges.

    Raises:
        TypeError: If `curvature` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Differs with the sampling: batches that share out an epoch are not independent, see
        `epoch_ball`.

    Example:
        >>> import numpy as np
        >>> noise_ball(np.asarray([1.0, 2.0]), 1.0, lr=0.5).round(3)
        array([0.333, 0.25 ])
    """
    check_float("curvature", curvature)
    check_between("lr", lr, 0, math.inf, closed="left")
    xp = namespace(curvature)
    limit = stable_lr(1.0, momentum=momentum)  # of ηλ
    room = limit - lr * curvature
    inside = room > 0
    rate = lr / (1 - momentum) * (1 + momentum)
    ball = rate * variance / curvature / xp.where(inside, room, 1.0)
    return xp.where(inside, ball, math.inf)


def expected_square(
    start: Array, curvature: Array, variance: Array, *, lr: float, step: float
) -> Array:
    r"""Return the mean square of the error after some steps of noisy gradient descent.

    $$\mathbb{E}[e_t^2] = q^{2t}\,e_0^2 + (1 - q^{2t})\,
      \frac{\eta\,\sigma^2}{\lambda\,(2-\eta\lambda)}, \qquad q = 1-\eta\lambda$$

    On a quadratic of curvature λ, along one direction, with independent noise.

    Args:
        start: Error e₀, an array.
        curvature: λ > 0, an array that broadcasts with `start`.
        variance: Variance σ² of the gradient's noise, a number or an array.
        lr: Learning rate 0 ≤ η < 2/λ; beyond, the result means nothing.
        step: Number of steps t ≥ 0.

    Returns:
        The mean square, in the shape of all together.

    Raises:
        TypeError: If `start` or `curvature` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Example:
        >>> import numpy as np
        >>> start, curvature = np.asarray([4.0]), np.asarray([1.0])
        >>> for t in (0, 2, 20):
        ...     expected_square(start, curvature, 1.0, lr=0.5, step=t).round(2)
        array([16.])
        array([1.31])
        array([0.33])
    """
    check_float("start", start)
    check_between("step", step, 0, math.inf, closed="left")
    ball = noise_ball(curvature, variance, lr=lr)
    kept, _ = _power(lr * curvature, step)
    _, lost = _power(lr * curvature, 2 * step)
    return (kept * start) ** 2 + lost * ball


def _power(x: Array, t: Array | float) -> tuple[Array, Array]:
    """Return (1 − x)ᵗ, and what it is less than 1: at a small x, 1 − x has few digits of x left."""
    xp = namespace(x)
    small = x < 0.5
    log = t * xp.log1p(-xp.where(small, x, 0.0))
    power = (1 - x) ** t
    return xp.where(small, xp.exp(log), power), xp.where(small, -xp.expm1(log), 1 - power)


def epoch_ball(curvature: Array, variance: Array, *, lr: float, examples: int) -> Array:
    r"""Return `noise_ball` for one example a step where every epoch takes each of n once.

    $$\mathbb{E}[e^2] = \eta^2\sigma^2\,\frac{n^2}{n-1}\cdot
      \frac{\operatorname{Var}(1, q, \dots, q^{n-1})}{1-q^{2n}}, \qquad q = 1-\eta\lambda$$

    It is the mean square at the ends of the epochs, each in a fresh random order. For small n η λ
    it goes with η³, and with independent draws with η.

    Args:
        curvature: λ > 0 of every example, an array.
        variance: Variance σ² of the examples' gradients, divisor n, a number or an array.
        lr: Learning rate η ≥ 0.
        examples: n ≥ 2.

    Returns:
        The mean square; ∞ from the learning rate on at which descent diverges.

    Raises:
        TypeError: If `curvature` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Differs from a fixed order, under which nothing is random at the ends of the epochs.

    Example:
        >>> import numpy as np
        >>> for lr in (0.1, 0.01):
        ...     print(f"{epoch_ball(np.asarray(1.0), 1.0, lr=lr, examples=10):.1e}")
        4.8e-03
        4.6e-06
    """
    check_float("curvature", curvature)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_count("examples", examples, 2)
    xp = namespace(curvature)
    wide = widen(curvature)  # half precision counts to 256 or 2048
    x = lr * wide
    inside = (wide > 0) & (x < 2)
    x = xp.where(inside & (x > 0), x, 1.0)  # with η = 0 the square of η makes it zero
    age = xp.arange(examples, dtype=wide.dtype, device=device(curvature))
    _, fallen = _power(x[..., None], age)  # varies as the weights do, by which it is below 1
    from_mean = fallen - xp.mean(fallen, axis=-1, keepdims=True)
    spread = xp.mean(from_mean**2, axis=-1) * (examples**2 / (examples - 1))
    # The quotient first: in float32 the squares of small numbers underflow.
    ball = spread / _power(x, 2 * examples)[1] * (lr**2 * variance)
    return xp.astype(xp.where(inside, ball, math.inf), curvature.dtype, copy=False)

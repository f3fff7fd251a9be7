r"""When gradient descent diverges: step-size limits, rates of convergence, the largest curvature.

All of it is exact for a quadratic loss. Along an eigenvector of the Hessian with eigenvalue
(curvature) λ the error of gradient descent, heavy ball and Nesterov momentum follows
$e_{t+1} = s\,e_t - p\,e_{t-1}$ with two constants s and p; it dies out if and only if both roots
of $z^2 - s z + p$ lie inside the unit circle.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    norm,
)


class Tuning(NamedTuple):
    """The best hyperparameters for a quadratic, and what they achieve.

    Attributes:
        lr: Learning rate η.
        momentum: Momentum β, 0 for gradient descent.
        rate: Factor by which the error shrinks a step, in the long run.
    """

    lr: Array
    momentum: Array
    rate: Array


class Curvature(NamedTuple):
    """An eigenvalue of a symmetric operator and its eigenvector.

    Attributes:
        value: Eigenvalues, shape (...).
        direction: Unit eigenvectors, shape (..., n).
    """

    value: Array
    direction: Array


def _check_momentum(momentum: float, dampening: float, nesterov: bool) -> None:
    check_between("momentum", momentum, 0, 1, closed="left")
    check_between("dampening", dampening, 0, 1, closed="left")
    if nesterov:
        check_between("dampening", dampening, 0, 0)  # no library combines the two


def stable_lr(
    curvature: Array, *, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False
) -> Array:
    r"""Return the learning rate from which on the error no longer shrinks.

    $$\eta_{\max} = \frac{2(1+\beta)}{(1-\tau)\,\lambda}, \qquad
      \eta_{\max}^{\text{Nesterov}} = \frac{2(1+\beta)}{(1+2\beta)\,\lambda}$$

    Gradient descent is β = 0: 2/λ. On a quadratic the largest curvature decides.

    Args:
        curvature: Curvature λ > 0, a number or an array of any shape.
        momentum: β in [0, 1).
        dampening: τ in [0, 1): new gradients enter the velocity with the weight 1 − τ. Set to
            `momentum` for a velocity that is a moving average, as Adam's.
        nesterov: The gradient is taken one momentum step ahead. Needs `dampening=0`.

    Returns:
        The limit, not itself allowed, like `curvature`.

    Raises:
        ValueError: If a number is out of its range; the entries of an array are not looked at.

    Note:
        Differs from Polyak's form in nothing, from optax's `ema` and Adam's first moment in
        `dampening=momentum`: the arguments mean what they mean in `torch.optim.SGD`.

    Reference:
        Polyak, Some methods of speeding up the convergence of iteration methods (1964).
        Cohen et al., Gradient descent on neural networks typically occurs at the edge of
        stability (2021).

    Example:
        >>> stable_lr(10.0), stable_lr(10.0, momentum=0.9)
        (0.2, 0.38)
        >>> round(stable_lr(10.0, momentum=0.9, nesterov=True), 4)
        0.1357
    """
    check_between("curvature", curvature, 0, math.inf, closed="neither")
    _check_momentum(momentum, dampening, nesterov)
    weight = 1 + 2 * momentum if nesterov else 1 - dampening
    return 2 * (1 + momentum) / (weight * curvature)


def _sum_and_product(
    curvature: Array, lr: float, momentum: float, dampening: float, nesterov: bool
) -> tuple[Array, Array]:
    """Return the sum and the product of the two roots that govern the error."""
    check_float("curvature", curvature)
    check_between("lr", lr, 0, math.inf, closed="left")
    _check_momentum(momentum, dampening, nesterov)
    left = 1 - (1 - dampening) * lr * curvature  # what one bare gradient step leaves of the error
    if nesterov:
        return (1 + momentum) * left, momentum * left
    return left + momentum, momentum + 0 * left


def iteration_matrix(
    curvature: Array,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
) -> Array:
    r"""Return the matrix that takes the last two errors one step ahead.

    $$\begin{pmatrix} e_{t+1} \\ e_t \end{pmatrix} =
      \begin{pmatrix} s & -p \\ 1 & 0 \end{pmatrix}
      \begin{pmatrix} e_t \\ e_{t-1} \end{pmatrix}$$

    With $q = 1-(1-\tau)\eta\lambda$ it is $s = q+\beta$ and $p = \beta$ for heavy ball, and
    $s = (1+\beta)q$ and $p = \beta q$ for Nesterov momentum.

    Args:
        curvature: Curvatures λ of a quadratic, any sign, shape (...).
        lr: Learning rate η ≥ 0.
        momentum: β in [0, 1).
        dampening: τ in [0, 1).
        nesterov: Nesterov in place of heavy-ball momentum. Needs `dampening=0`.

    Returns:
        Matrices of shape (..., 2, 2).

    Raises:
        TypeError: If `curvature` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Goh, Why momentum really works, Distill (2017).

    Example:
        >>> import numpy as np
        >>> iteration_matrix(np.asarray(10.0), lr=0.1, momentum=0.5)
        array([[ 0.5, -0.5],
               [ 1. ,  0. ]])
    """
    s, p = _sum_and_product(curvature, lr, momentum, dampening, nesterov)
    xp = namespace(curvature)
    above = xp.stack([s, -p], axis=-1)
    below = xp.stack([xp.ones_like(s), xp.zeros_like(s)], axis=-1)
    return xp.stack([above, below], axis=-2)


def convergence_rate(
    curvature: Array,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
) -> Array:
    r"""Return the spectral radius of `iteration_matrix`: the error's factor a step, in the end.

    $$\rho = \begin{cases} \sqrt{p} & s^2 < 4p \\
      \tfrac12\lvert s\rvert + \sqrt{\tfrac14 s^2 - p} & \text{otherwise} \end{cases}$$

    Below 1 the error dies out, above 1 it grows without bound. For gradient descent it is
    $\lvert 1-\eta\lambda\rvert$.

    Args:
        curvature: Curvatures λ of a quadratic, any sign, shape (...).
        lr: Learning rate η ≥ 0.
        momentum: β in [0, 1).
        dampening: τ in [0, 1).
        nesterov: Nesterov in place of heavy-ball momentum. Needs `dampening=0`.

    Returns:
        The factors, like `curvature`. The loss changes by their squares.

    Raises:
        TypeError: If `curvature` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Goh, Why momentum really works, Distill (2017).

    Example:
        >>> import numpy as np
        >>> convergence_rate(np.asarray([1.0, 10.0]), lr=0.19)
        array([0.81, 0.9 ])
        >>> curvature = np.asarray([1.0, 10.0])
        >>> convergence_rate(curvature, lr=0.19, momentum=0.9).round(3)
        array([0.949, 0.949])
    """
    s, p = _sum_and_product(curvature, lr, momentum, dampening, nesterov)
    xp = namespace(curvature)
    # In units of the larger of |s|/2 and √|p|: s² would overflow first.
    size = xp.maximum(xp.abs(s) / 2, xp.sqrt(xp.abs(p)))
    size = xp.where(size == 0, 1.0, size)
    discriminant = (s / 2 / size) ** 2 - p / size / size
    # Both branches are computed: keep what is not chosen from being the root of a negative.
    spiral = xp.sqrt(xp.where(p < 0, 0 * p, p))
    straight = xp.abs(s) / 2 + size * xp.sqrt(xp.where(discriminant < 0, 0 * p, discriminant))
    return xp.where(discriminant < 0, spiral, straight)


def optimal_gradient_descent(lowest: Array, highest: Array) -> Tuning:
    r"""Return the learning rate at which gradient descent on a quadratic is fastest.

    $$\eta^\star = \frac{2}{\lambda_{\min}+\lambda_{\max}}, \qquad
      \rho^\star = \frac{\lambda_{\max}-\lambda_{\min}}{\lambda_{\max}+\lambda_{\min}}$$

    Args:
        lowest: Smallest curvature > 0, a number or an array.
        highest: Largest curvature, in the same form.

    Returns:
        Learning rate, a momentum of 0, and rate.

    Raises:
        ValueError: If a number is not positive, `lowest` is above `highest`, both numbers, or two
            arrays differ in shape; the entries of an array are not looked at.

    Reference:
        Goh, Why momentum really works, Distill (2017).

    Example:
        >>> optimal_gradient_descent(1.0, 9.0)
        Tuning(lr=0.2, momentum=0.0, rate=0.8)
    """
    _check_order(lowest, highest)
    total = lowest + highest
    return Tuning(2 / total, 0 * total, (highest - lowest) / total)


def optimal_heavy_ball(lowest: Array, highest: Array) -> Tuning:
    r"""Return the learning rate and the momentum at which heavy ball on a quadratic is fastest.

    $$\eta^\star = \frac{4}{(\sqrt{\lambda_{\max}}+\sqrt{\lambda_{\min}})^2}, \qquad
      \sqrt{\beta^\star} = \rho^\star =
      \frac{\sqrt{\lambda_{\max}}-\sqrt{\lambda_{\min}}}{\sqrt{\lambda_{\max}}+\sqrt{\lambda_{\min}}}$$

    Args:
        lowest: Smallest curvature > 0, a number or an array.
        highest: Largest curvature, in the same form.

    Returns:
        Learning rate, momentum and rate.

    Raises:
        ValueError: If a number is not positive, `lowest` is above `highest`, both numbers, or two
            arrays differ in shape; the entries of an array are not looked at.

    Reference:
        Polyak, Some methods of speeding up the convergence of iteration methods (1964).

    Example:
        >>> optimal_heavy_ball(1.0, 9.0)
        Tuning(lr=0.25, momentum=0.25, rate=0.5)
    """
    _check_order(lowest, highest)
    low, high = lowest**0.5, highest**0.5
    rate = (high - low) / (high + low)
    return Tuning(4 / (high + low) ** 2, rate**2, rate)


def _check_order(lowest: Array, highest: Array) -> None:
    check_between("lowest", lowest, 0, math.inf, closed="neither")
    if isinstance(lowest, (int, float)):
        check_between("highest", highest, lowest, math.inf, closed="left")
    elif isinstance(highest, (int, float)):
        check_between("highest", highest, 0, math.inf, closed="neither")
    else:
        check_same_shape("highest", highest, "lowest", lowest)


def largest_curvature(
    product: Callable[[Array], Array], start: Array, *, steps: int = 30
) -> Curvature:
    r"""Find the eigenvalue of largest modulus by power iteration, from matrix-vector products.

    $$\mathbf{v} \leftarrow \frac{\mathbf{H}\mathbf{v}}{\lVert\mathbf{H}\mathbf{v}\rVert}, \qquad
      \lambda = \mathbf{v}^\top\mathbf{H}\mathbf{v}$$

    The Hessian of a network is never formed: `product` is the derivative of the gradient along
    `v`, at the price of about two gradients.

    Args:
        product: Maps vectors (..., n) to $\mathbf{H}\mathbf{v}$, (..., n), $\mathbf{H}$ symmetric.
        start: Where to begin, (..., n), not orthogonal to the eigenvector: random, or the
            direction found a few training steps ago, from where few `steps` are enough.
        steps: Number of products ≥ 1. The error shrinks by (λ₂/λ₁)² each.

    Returns:
        The Rayleigh quotient of the last vector, and the next vector, of length 1, or 0 where
        H v is 0.

    Raises:
        TypeError: If `start` is not floating-point.
        ValueError: If `steps` is below 1.

    Note:
        Differs from the largest eigenvalue where a negative one is larger in modulus; the sign
        of the result tells. Where two of opposite signs are about as large it is neither, but a
        number between them; then H v is not that number times v.

    Example:
        >>> import numpy as np
        >>> H = np.asarray([[2.0, 1.0], [1.0, 2.0]])
        >>> start = np.asarray([1.0, 0.0])
        >>> found = largest_curvature(lambda v: v @ H, start, steps=20)
        >>> round(float(found.value), 3)
        3.0
    """
    check_float("start", start)
    check_count("steps", steps, 1)
    xp = namespace(start)
    v = _unit(start)
    value = xp.zeros_like(v[..., 0])
    for _ in range(steps):
        image = product(v)
        value = xp.sum(v * image, axis=-1)
        v = _unit(image)
    return Curvature(value, v)


def _unit(v: Array) -> Array:
    xp = namespace(v)
    length = norm(v, axis=-1, keepdims=True)
    return v / xp.where(length == 0, length + 1, length)

r"""Iterated maps: how the derivative of a long composition grows, vanishes, and forms cliffs.

A deep network is a composition of layers; the logistic map $f(x) = r\,x(1-x)$ composed with
itself is the smallest example in which everything that happens to its derivative can be computed.
"""

import math

from dlkb.arrays import (
    Array,
    check_between,
    check_broadcasts,
    check_count,
    check_float,
    check_same_shape,
    namespace,
)


def _check_parameter(r: Array, x: Array) -> None:
    if not isinstance(r, (int, float)):
        check_broadcasts("r", r, "x", x)


def logistic(x: Array, *, r: Array) -> Array:
    r"""Apply the logistic map.

    $$f(x) = r\,x\,(1 - x)$$

    Args:
        x: Any shape. [0, 1] is mapped into itself for r in [0, 4].
        r: A number, or an array that broadcasts to the shape of `x`.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `r` does not broadcast to the shape of `x`.

    Reference:
        May, Simple mathematical models with very complicated dynamics, Nature 261 (1976).

    Example:
        >>> import numpy as np
        >>> logistic(np.asarray([0.0, 0.5, 1.0]), r=3.5)
        array([0.   , 0.875, 0.   ])
    """
    check_float("x", x)
    _check_parameter(r, x)
    return r * x * (1 - x)


def logistic_vjp(x: Array, cotangent: Array, *, r: Array) -> Array:
    r"""Pull a gradient back through `logistic`.

    $$\frac{\partial L}{\partial x} = r\,(1 - 2x)\,\frac{\partial L}{\partial f}$$

    Args:
        x: The input of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        r: As in the forward pass.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` or `cotangent` is not floating-point.
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> logistic_vjp(np.asarray([0.0, 0.5, 1.0]), np.ones(3), r=3.5)
        array([ 3.5,  0. , -3.5])
    """
    check_float("x", x)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    _check_parameter(r, x)
    return r * (1 - 2 * x) * cotangent


def orbit(x: Array, *, r: Array, steps: int) -> Array:
    r"""Return a point and its images under the logistic map.

    $$x_0,\ x_1 = f(x_0),\ \dots,\ x_n = f(x_{n-1})$$

    Args:
        x: Starting points in [0, 1], shape (...), the shape of `r` included.
        r: In [0, 4], a number or an array that broadcasts to `x`.
        steps: n ≥ 0.

    Returns:
        Shape (n + 1, ...).

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `r` is a number outside [0, 4] or does not broadcast, or `steps` is negative.

    Example:
        >>> import numpy as np
        >>> orbit(np.asarray(0.5), r=4.0, steps=3)
        array([0.5, 1. , 0. , 0. ])
    """
    check_between("r", r, 0, 4)
    check_count("steps", steps, 0)
    check_float("x", x)
    _check_parameter(r, x)
    xp = namespace(x)
    points = [x]
    for _ in range(steps):
        points.append(logistic(points[-1], r=r))
    return xp.stack(points, axis=0)


def iterate_derivative(x: Array, *, r: Array, steps: int) -> Array:
    r"""Return the derivative of the n-fold composition: the product along the orbit.

    $$(f^n)'(x_0) = \prod_{k=0}^{n-1} f'(x_k), \qquad f'(x) = r\,(1 - 2x)$$

    Args:
        x: Starting points in [0, 1], shape (...), the shape of `r` included.
        r: In [0, 4], a number or an array that broadcasts to `x`.
        steps: n ≥ 0.

    Returns:
        An array like `x`. It over- or underflows for large n; the mean of its logarithm,
        `lyapunov_exponent`, does not.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `r` is a number outside [0, 4] or does not broadcast, or `steps` is negative.

    Example:
        >>> import numpy as np
        >>> iterate_derivative(np.asarray([0.0, 0.3]), r=3.5, steps=3).round(3)
        array([42.875,  2.929])
    """
    points = orbit(x, r=r, steps=steps)
    derivative = namespace(x).ones_like(x)
    for k in range(steps):
        derivative = logistic_vjp(points[k, ...], derivative, r=r)
    return derivative


def lyapunov_exponent(x: Array, *, r: Array, steps: int, burn_in: int = 0) -> Array:
    r"""Return the mean logarithmic growth of small differences along an orbit.

    $$\lambda = \frac1n \sum_{k=b}^{b+n-1} \ln\lvert f'(x_k)\rvert$$

    Positive: neighbours separate exponentially, the derivative of the composition explodes.
    Negative: they come together, it vanishes.

    Args:
        x: Starting points in [0, 1], shape (...), the shape of `r` included.
        r: In [0, 4], a number or an array that broadcasts to `x`.
        steps: n ≥ 1, the number of terms.
        burn_in: b ≥ 0, steps to take before the first term.

    Returns:
        An array like `x`, in nats a step. −∞ if the orbit meets ½, where f′ is 0.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `r` is a number outside [0, 4] or does not broadcast, `steps` is below 1 or
            `burn_in` negative.

    Note:
        Differs from the exponent proper, which is the limit n → ∞, and in which nothing is
        rounded: at r = 4 in float32 some orbits round to 0 within thousands of steps, and stay.

    Reference:
        Strogatz, Nonlinear Dynamics and Chaos (2015), chapter 10.

    Example:
        >>> import numpy as np
        >>> start = np.asarray(0.3)
        >>> found = lyapunov_exponent(start, r=3.5, steps=400, burn_in=100)
        >>> round(float(found), 4)
        -0.8725
    """
    check_between("r", r, 0, 4)
    check_count("steps", steps, 1)
    check_count("burn_in", burn_in, 0)
    check_float("x", x)
    _check_parameter(r, x)
    xp = namespace(x)
    total = xp.zeros_like(x)
    for k in range(burn_in + steps):
        if k >= burn_in:
            total = total + xp.log(xp.abs(r * (1 - 2 * x)))
        x = logistic(x, r=r)
    return total / steps


def lap_numbers(r: Array, *, steps: int) -> Array:
    r"""Count the monotone pieces (laps) of the iterates of the logistic map on [0, 1].

    $$\ell_n = 1 + \sum_{k=0}^{n-1} \#\{x : f^k(x) = \tfrac12 \text{ for the first time}\}$$

    By the chain rule $f^n$ turns exactly where one of $x_0, …, x_{n-1}$ is ½. The preimages of a
    point y are $\tfrac12 \pm \sqrt{\tfrac14 - y/r}$, as long as y < r/4.

    Args:
        r: In (0, 4], shape (...).
        steps: n ≥ 1. Memory grows as 2ⁿ.

    Returns:
        Integers of shape (n, ...): ℓ₁, …, ℓₙ. The limit of ln(ℓₙ)/n is the topological entropy.
        In float32 points that round to 0 or 1 are lost: at r = 4 from 13 steps on.

    Raises:
        TypeError: If `r` is not floating-point.
        ValueError: If `steps` is below 1.

    Reference:
        Misiurewicz and Szlenk, Entropy of piecewise monotone mappings (1980).

    Example:
        >>> import numpy as np
        >>> lap_numbers(np.asarray([3.5, 4.0]), steps=5).T
        array([[ 2,  4,  8, 14, 24],
               [ 2,  4,  8, 16, 32]])
    """
    check_float("r", r)
    check_count("steps", steps, 1)
    xp = namespace(r)
    r = r[..., None]
    nowhere = 2.0  # above every r/4, so that it has no preimage either
    y = 0 * r + 0.5
    laps = [xp.sum(xp.astype(y < 1, xp.int64), axis=-1) + 1]
    for _ in range(steps - 1):
        room = 0.25 - y / r
        real = room > 0
        half_width = xp.sqrt(xp.where(real, room, 0 * room))
        sides = [xp.where(real, 0.5 + s * half_width, 0 * y + nowhere) for s in (-1, 1)]
        y = xp.concat(sides, axis=-1)
        laps.append(laps[-1] + xp.sum(xp.astype(y < 1, xp.int64), axis=-1))
    return xp.stack(laps, axis=0)


def prediction_horizon(exponent: Array, *, error: float, tolerance: float = 0.1) -> Array:
    r"""Return after how many steps an initial error has grown to a tolerance.

    $$n = \frac{1}{\lambda}\,\ln\frac{\delta}{\varepsilon}$$

    Args:
        exponent: Lyapunov exponent λ > 0, a number or an array.
        error: Initial error ε > 0, say the rounding error of the number format.
        tolerance: Error δ > 0 from which on the result is useless.

    Returns:
        Steps, like `exponent`.

    Raises:
        ValueError: If a number is not positive; the entries of an array are not looked at.

    Example:
        >>> round(prediction_horizon(0.6931, error=2**-53), 1)
        49.7
    """
    check_between("exponent", exponent, 0, math.inf, closed="neither")
    check_between("error", error, 0, math.inf, closed="neither")
    check_between("tolerance", tolerance, 0, math.inf, closed="neither")
    return math.log(tolerance / error) / exponent


def cliff_loss(w: Array, *, depth: int, x: float = 1.0, target: float = 1.0) -> Array:
    r"""Return the squared error of a chain of linear units that share one weight.

    $$L(w) = (w^n x - y)^2$$

    Flat for |w| < 1, a wall just above 1: the shape that recurrent networks meet.

    Args:
        w: The shared weight, any shape.
        depth: n ≥ 1, number of units.
        x: Input.
        target: y.

    Returns:
        An array like `w`.

    Raises:
        TypeError: If `w` is not floating-point.
        ValueError: If `depth` is below 1.

    Reference:
        After Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks
        (2013), who draw the wall for one recurrent unit.

    Example:
        >>> import numpy as np
        >>> cliff_loss(np.asarray([0.5, 1.0, 1.1]), depth=50).round(0)
        array([1.0000e+00, 0.0000e+00, 1.3547e+04])
    """
    check_float("w", w)
    check_count("depth", depth, 1)
    return (x * w**depth - target) ** 2


def cliff_loss_vjp(
    w: Array, cotangent: Array, *, depth: int, x: float = 1.0, target: float = 1.0
) -> Array:
    r"""Pull a gradient back through `cliff_loss`.

    $$\frac{dL}{dw} = 2\,(w^n x - y)\,n\,w^{n-1} x$$

    Args:
        w: As in the forward pass.
        cotangent: Gradient with respect to the loss, in its shape.
        depth: n ≥ 1.
        x: Input.
        target: y.

    Returns:
        An array like `w`.

    Raises:
        TypeError: If `w` or `cotangent` is not floating-point.
        ValueError: If `depth` is below 1, or the shapes differ.

    Example:
        >>> import numpy as np
        >>> cliff_loss_vjp(np.asarray([0.9, 1.1]), np.ones(2), depth=50).round(1)
        array([-6.000000e-01,  1.242111e+06])
    """
    check_float("w", w)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "w", w)
    check_count("depth", depth, 1)
    return cotangent * 2 * (x * w**depth - target) * depth * w ** (depth - 1) * x

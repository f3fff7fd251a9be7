r"""Sigmoid, tanh, softplus and log-sigmoid in forms that neither overflow nor cancel.

All are built on $e^{-|x|}$, which lies in [0, 1]. Each differentiates right at 0, where the
absolute value has a kink, and at ±∞.
"""

import math

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace


def _size(x: Array) -> Array:
    """Return |x|, of slope 1 at 0: the branch x ≥ 0 is the one that the formulas take there."""
    return namespace(x).where(x >= 0, x, -x)


def _bump(x: Array) -> Array:
    """Return σ(x) σ(−x), whose digits σ (1 − σ) loses where σ is near 1."""
    e = namespace(x).exp(-_size(x))
    return e / ((1 + e) * (1 + e))


def _check_pair(x: Array, cotangent: Array) -> None:
    check_float("x", x)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)


def sigmoid(x: Array) -> Array:
    r"""Squash each entry into (0, 1).

    $$\sigma(x) = \frac{1}{1 + e^{-x}}$$

    Args:
        x: Logits, any shape.

    Returns:
        An array like `x`. It is 1 from about ln 2 below `saturation` on, 0 where e^x underflows.

    Raises:
        TypeError: If `x` is not floating-point.

    Note:
        Differs from the equation in the form: for x < 0 it is e^x / (1 + e^x), without overflow.

    Reference:
        Goodfellow, Bengio and Courville, Deep Learning (2016).

    Example:
        >>> import numpy as np
        >>> sigmoid(np.asarray([-1000.0, 0.0, 2.0])).round(3)
        array([0.   , 0.5  , 0.881])
    """
    check_float("x", x)
    xp = namespace(x)
    e = xp.exp(-_size(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


def sigmoid_vjp(x: Array, cotangent: Array) -> Array:
    r"""Send a gradient back through `sigmoid`.

    $$\bar x = \bar y\,\sigma(x)\,\sigma(-x)$$

    Args:
        x: The input of `sigmoid`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Note:
        Differs from PyTorch, which computes y (1 − y) from the output: that is 0 where y rounds
        to 1, this keeps its digits.

    Example:
        >>> import numpy as np
        >>> sigmoid_vjp(np.asarray([-10.0, 0.0]), np.ones(2)).round(7)
        array([4.54e-05, 2.50e-01])
    """
    _check_pair(x, cotangent)
    return _bump(x) * cotangent


def logit(p: Array) -> Array:
    r"""Return the x whose sigmoid is p.

    $$\operatorname{logit}(p) = \ln\frac{p}{1 - p}$$

    Args:
        p: Probabilities in [0, 1], any shape; 0 and 1 give ∓∞.

    Returns:
        An array like `p`.

    Raises:
        TypeError: If `p` is not floating-point.

    Example:
        >>> import numpy as np
        >>> logit(np.asarray([0.25, 0.5])).round(3)
        array([-1.099,  0.   ])
    """
    check_float("p", p)
    xp = namespace(p)
    return xp.log(p) - xp.log1p(-p)


def tanh(x: Array) -> Array:
    r"""Squash each entry into (−1, 1).

    $$\tanh x = \frac{e^x - e^{-x}}{e^x + e^{-x}} = 2\,\sigma(2x) - 1$$

    Args:
        x: Any shape.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.

    Note:
        Differs from the equation in the form: by expm1(−2|x|), which keeps the digits near 0.

    Example:
        >>> import numpy as np
        >>> tanh(np.asarray([-1000.0, 0.0, 0.5])).round(3)
        array([-1.   ,  0.   ,  0.462])
    """
    check_float("x", x)
    xp = namespace(x)
    fall = xp.expm1(-2 * _size(x))
    size = -fall / (2 + fall)
    return xp.where(x >= 0, size, -size)


def tanh_vjp(x: Array, cotangent: Array) -> Array:
    r"""Send a gradient back through `tanh`.

    $$\bar x = \bar y\,(1 - \tanh^2 x) = 4\,\bar y\,\sigma(2x)\,\sigma(-2x)$$

    Args:
        x: The input of `tanh`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> tanh_vjp(np.asarray([-5.0, 0.0]), np.ones(2)).round(7)
        array([1.816e-04, 1.000e+00])
    """
    _check_pair(x, cotangent)
    return 4 * _bump(2 * x) * cotangent


def softplus(x: Array, *, beta: float = 1.0) -> Array:
    r"""Smooth the corner of ReLU.

    $$\operatorname{softplus}(x) = \frac{1}{\beta}\ln\left(1 + e^{\beta x}\right)
      = \max(0, x) + \frac{1}{\beta}\ln\left(1 + e^{-\beta|x|}\right)$$

    Args:
        x: Any shape.
        beta: Sharpness β > 0; for β → ∞ it is ReLU.

    Returns:
        An array like `x`, above ReLU by at most ln 2 / β.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `beta` is not positive.

    Note:
        Differs from PyTorch, which returns x where βx > 20, with an error of up to 2e-9 / β.

    Example:
        >>> import numpy as np
        >>> softplus(np.asarray([-2.0, 0.0, 1000.0])).round(3)
        array([1.27e-01, 6.93e-01, 1.00e+03])
    """
    check_float("x", x)
    check_between("beta", beta, 0, math.inf, closed="neither")
    xp = namespace(x)
    return xp.where(x >= 0, x, 0.0) + xp.log1p(xp.exp(-beta * _size(x))) / beta


def softplus_vjp(x: Array, cotangent: Array, *, beta: float = 1.0) -> Array:
    r"""Send a gradient back through `softplus`.

    $$\bar x = \bar y\,\sigma(\beta x)$$

    Args:
        x: The input of `softplus`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.
        beta: Sharpness β > 0.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or `beta` is not positive.

    Example:
        >>> import numpy as np
        >>> softplus_vjp(np.asarray([-1000.0, 0.0]), np.ones(2))
        array([0. , 0.5])
    """
    _check_pair(x, cotangent)
    check_between("beta", beta, 0, math.inf, closed="neither")
    return sigmoid(beta * x) * cotangent


def log_sigmoid(x: Array) -> Array:
    r"""Return the logarithm of the sigmoid, also where the sigmoid rounds to 0.

    $$\ln\sigma(x) = \min(0, x) - \ln\left(1 + e^{-|x|}\right)$$

    Args:
        x: Logits, any shape.

    Returns:
        An array like `x`, entries at most 0.

    Raises:
        TypeError: If `x` is not floating-point.

    Example:
        >>> import numpy as np
        >>> log_sigmoid(np.asarray([-1000.0, 0.0])).round(3).tolist()
        [-1000.0, -0.693]
    """
    check_float("x", x)
    xp = namespace(x)
    return xp.where(x >= 0, 0.0, x) - xp.log1p(xp.exp(-_size(x)))


def log_sigmoid_vjp(x: Array, cotangent: Array) -> Array:
    r"""Send a gradient back through `log_sigmoid`.

    $$\bar x = \bar y\,\sigma(-x)$$

    Args:
        x: The input of `log_sigmoid`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> log_sigmoid_vjp(np.asarray([-1000.0, 0.0]), np.ones(2))
        array([1. , 0.5])
    """
    _check_pair(x, cotangent)
    return sigmoid(-x) * cotangent


def saturation(*, eps: float) -> float:
    r"""Return the logit from which the sigmoid, rounded, is 1.

    $$x = \ln\left(\frac{4}{\varepsilon} - 1\right)$$

    From there on the sigmoid is nearer to 1 than to the float below it, 1 − ε/2.

    Args:
        eps: Spacing ε of the floats above 1, in (0, 1): `finfo(dtype).eps`.

    Returns:
        The logit.

    Raises:
        ValueError: If `eps` is out of its range.

    Note:
        Differs by about ln 2 from where 1 / (1 + e^(−x)), computed in the dtype itself, gets
        there: 1 + e^(−x) rounds to 1 from ln(2/ε) on.

    Example:
        >>> [round(saturation(eps=2.0**-digits), 1) for digits in (7, 10, 23, 52)]
        [6.2, 8.3, 17.3, 37.4]
    """
    check_between("eps", eps, 0, 1, closed="neither")
    return math.log(4 / eps - 1)

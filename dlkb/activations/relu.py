r"""ReLU, leaky ReLU, PReLU and ELU: the identity for positive inputs, less for the others.

Each formula differentiates at 0 to what `torch.nn.functional` takes there: 0 for `relu`, the
slope α of the left side for the others. NaN stays NaN.
"""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_broadcasts,
    check_count,
    check_float,
    check_same_shape,
    erf,
    namespace,
    widen,
)


class PReLUGradients(NamedTuple):
    """Gradients with respect to the input and to the slopes, each in the shape of its array."""

    x: Array
    alpha: Array


def _check_pair(x: Array, cotangent: Array) -> None:
    check_float("x", x)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)


def _check_slopes(x: Array, alpha: Array) -> None:
    check_float("x", x)
    check_float("alpha", alpha)
    check_broadcasts("alpha", alpha, "x", x)


def relu(x: Array) -> Array:
    r"""Replace what is negative by zero.

    $$\operatorname{relu}(x) = \max(0, x)$$

    Args:
        x: Any shape.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.

    Note:
        Differs from `maximum(x, 0)` and `clip(x, min=0)` in what a library differentiates at 0:
        as a choice between x and a constant it has the slope 0 there, in PyTorch and JAX alike.

    Reference:
        Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines (2010).

    Example:
        >>> import numpy as np
        >>> relu(np.asarray([-2.0, 0.0, 3.0]))
        array([0., 0., 3.])
    """
    check_float("x", x)
    return namespace(x).where(x <= 0, 0.0, x)  # not x > 0, which would turn NaN into 0


def relu_vjp(x: Array, cotangent: Array) -> Array:
    r"""Send a gradient back through `relu`: it passes where x > 0.

    $$\bar x = \bar y\,[x > 0]$$

    Args:
        x: The input of `relu`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Note:
        Differs from the set of subgradients at 0, which is [0, 1]: this takes 0, as PyTorch, JAX,
        MLX and scikit-learn do.

    Example:
        >>> import numpy as np
        >>> relu_vjp(np.asarray([-2.0, 0.0, 3.0]), np.asarray([5.0, 5.0, 5.0]))
        array([0., 0., 5.])
    """
    _check_pair(x, cotangent)
    return namespace(x, cotangent).where(x <= 0, 0.0, cotangent)


def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    r"""Scale what is negative by a fixed factor.

    $$\operatorname{leaky}(x) = \max(0, x) + \alpha\min(0, x)$$

    Args:
        x: Any shape.
        negative_slope: α, any number; 0 gives `relu` on finite x, 1 the identity.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.

    Note:
        Differs from Keras in the default of α: 0.3 in its layer, 0.2 in its function.

    Reference:
        Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013).

    Example:
        >>> import numpy as np
        >>> leaky_relu(np.asarray([-2.0, 0.0, 3.0]), negative_slope=0.1)
        array([-0.2,  0. ,  3. ])
    """
    check_float("x", x)
    return namespace(x).where(x > 0, x, negative_slope * x)


def leaky_relu_vjp(x: Array, cotangent: Array, *, negative_slope: float = 0.01) -> Array:
    r"""Send a gradient back through `leaky_relu`.

    $$\bar x = \bar y\,\bigl([x > 0] + \alpha\,[x \le 0]\bigr)$$

    Args:
        x: The input of `leaky_relu`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.
        negative_slope: α.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([-2.0, 0.0, 3.0])
        >>> leaky_relu_vjp(x, np.ones(3), negative_slope=0.1)
        array([0.1, 0.1, 1. ])
    """
    _check_pair(x, cotangent)
    return namespace(x, cotangent).where(x > 0, cotangent, negative_slope * cotangent)


def prelu(x: Array, alpha: Array) -> Array:
    r"""Scale what is negative by learned factors.

    $$\operatorname{prelu}(x) = \max(0, x) + \alpha\min(0, x)$$

    Args:
        x: Any shape.
        alpha: Slopes α, an array that broadcasts to `x`: shape () or (1,) for one in all,
            (channels, 1, 1) for one a channel of images.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If `alpha` does not broadcast to `x`.

    Note:
        Differs from `torch.nn.functional.prelu`, which takes a vector along axis 1: here the
        shape says which axis. `dlkb.nn.PReLU` does as PyTorch.

    Reference:
        He et al., Delving Deep into Rectifiers (2015).

    Example:
        >>> import numpy as np
        >>> prelu(np.asarray([[-2.0, -2.0], [3.0, 3.0]]), np.asarray([0.25, 0.5]))
        array([[-0.5, -1. ],
               [ 3. ,  3. ]])
    """
    _check_slopes(x, alpha)
    return namespace(x, alpha).where(x > 0, x, alpha * x)


def prelu_vjp(x: Array, alpha: Array, cotangent: Array) -> PReLUGradients:
    r"""Send a gradient back through `prelu`, to the input and to the slopes.

    $$\bar x = \bar y\,\bigl([x > 0] + \alpha\,[x \le 0]\bigr),\qquad
    \bar\alpha = \sum \bar y\min(0, x)$$

    The sum runs over all entries that share an α.

    Args:
        x: The input of `prelu`.
        alpha: Its slopes.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.

    Returns:
        The gradients, each in the shape and dtype of its array.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Reference:
        He et al., Delving Deep into Rectifiers (2015).

    Example:
        >>> import numpy as np
        >>> x, alpha = np.asarray([-2.0, 3.0]), np.asarray(0.25)
        >>> grads = prelu_vjp(x, alpha, np.ones(2))
        >>> grads.x, float(grads.alpha)
        (array([0.25, 1.  ]), -2.0)
    """
    _check_pair(x, cotangent)
    _check_slopes(x, alpha)
    xp = namespace(x, alpha, cotangent)
    to_x = xp.where(x > 0, cotangent, alpha * cotangent)
    products = xp.where(x > 0, 0.0, widen(x) * widen(cotangent))  # whose sum may overflow half
    new = x.ndim - alpha.ndim
    axes = tuple(
        axis for axis in range(x.ndim) if axis < new or alpha.shape[axis - new] != x.shape[axis]
    )
    to_alpha = xp.reshape(xp.sum(products, axis=axes) if axes else products, alpha.shape)
    return PReLUGradients(
        xp.astype(to_x, x.dtype, copy=False), xp.astype(to_alpha, alpha.dtype, copy=False)
    )


def elu(x: Array, *, alpha: float = 1.0) -> Array:
    r"""Let what is negative saturate at −α.

    $$\operatorname{elu}(x) = \max(0, x) + \alpha\,\bigl(e^{\min(0, x)} - 1\bigr)$$

    Args:
        x: Any shape.
        alpha: α, any number; with 1 the derivative is continuous.

    Returns:
        An array like `x`; at least −α where α ≥ 0.

    Raises:
        TypeError: If `x` is not floating-point.

    Reference:
        Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by
        Exponential Linear Units (2016).

    Example:
        >>> import numpy as np
        >>> elu(np.asarray([-1.0, 0.0, 3.0])).round(3)
        array([-0.632,  0.   ,  3.   ])
    """
    check_float("x", x)
    xp = namespace(x)
    # expm1 keeps the digits of small x. It sees no positive x, whose exponential may overflow.
    return xp.where(x > 0, x, alpha * xp.expm1(xp.where(x > 0, 0.0, x)))


def elu_vjp(x: Array, cotangent: Array, *, alpha: float = 1.0) -> Array:
    r"""Send a gradient back through `elu`.

    $$\bar x = \bar y\,\bigl([x > 0] + \alpha e^x\,[x \le 0]\bigr)$$

    Args:
        x: The input of `elu`.
        cotangent: Gradient of the loss with respect to the output, in the shape of `x`.
        alpha: α.

    Returns:
        Gradient with respect to `x`, in its shape.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> elu_vjp(np.asarray([-1.0, 0.0, 3.0]), np.ones(3)).round(3)
        array([0.368, 1.   , 1.   ])
    """
    _check_pair(x, cotangent)
    xp = namespace(x, cotangent)
    slope = alpha * xp.exp(xp.where(x > 0, 0.0, x))
    return xp.where(x > 0, cotangent, slope * cotangent)


def dead_unit_probability(margin: Array, *, samples: int) -> Array:
    r"""Return how probable it is that a unit is inactive on all of n independent samples.

    $$P = \Phi(-m)^n$$

    Args:
        margin: m, mean of the pre-activation in units of its standard deviation, any shape. The
            pre-activations are normal.
        samples: Number n ≥ 0 of samples.

    Returns:
        An array like `margin`, entries in [0, 1].

    Raises:
        TypeError: If `margin` is not floating-point.
        ValueError: If `samples` is negative.

    Note:
        Differs from what positively correlated samples give: the probability is then larger.

    Example:
        >>> import numpy as np
        >>> margin = np.asarray([0.0, -3.0, -4.0])
        >>> dead_unit_probability(margin, samples=1000).round(3)
        array([0.   , 0.259, 0.969])
    """
    check_float("margin", margin)
    check_count("samples", samples, 0)
    # In half precision the power would amplify the rounding of a probability near 1.
    probability = ((1 - erf(widen(margin) / math.sqrt(2))) / 2) ** samples
    return namespace(margin).astype(probability, margin.dtype, copy=False)


def dead_network_probability(*, width: int, depth: int) -> float:
    r"""Return how probable it is that no signal of one input reaches the output at the start.

    $$P = 1 - (1 - 2^{-n})^L$$

    Weights are drawn independently from a continuous distribution that is symmetric about 0, and
    biases are 0: each unit of a layer is then inactive with probability ½, whatever comes in,
    unless that is 0.

    Args:
        width: Number n ≥ 1 of units in each hidden layer.
        depth: Number L ≥ 0 of hidden layers.

    Returns:
        The probability that, for a given input other than 0, all units of some layer are inactive.

    Raises:
        ValueError: If an argument is out of its range.

    Note:
        Differs from Lu et al. (2020), for whom a network is dead if it is constant on a whole set
        of inputs; for that this is an upper bound.

    Example:
        >>> round(dead_network_probability(width=2, depth=10), 3)
        0.944
    """
    check_count("width", width, 1)
    check_count("depth", depth, 0)
    return -math.expm1(depth * math.log1p(-(2.0**-width)))  # 1 − … would round to 0 when wide

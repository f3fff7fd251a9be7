r"""GELU, SiLU (Swish) and Mish: activations that weight their input by a smooth gate.

Each is x times a gate that rises from 0 to 1. Where the gate of GELU or Mish has saturated in the
working precision, what goes into its exponentials is clipped: no square overflows. −∞ gives NaN,
as in PyTorch and JAX.
"""

import math
from typing import NamedTuple

from dlkb.activations.sigmoid import sigmoid, sigmoid_vjp
from dlkb.arrays import Array, check_float, check_same_shape, erf, namespace

CUBIC = 0.044715
"""Factor of the cube in the tanh form of GELU."""

SCALE = math.sqrt(8 / math.pi)
"""Twice the slope at 0 of what the tanh form puts into tanh."""

QUICK = 1.702
"""β of the sigmoid form of GELU."""

FAR = 40.0
"""Beyond ±40 the tanh gate is 0 or 1 in each format, and the cube of 40 fits into float16."""

FAR_DENSITY = 150.0
"""Beyond ±150 the normal density is 0 in each format, and the square of 150 fits into float16."""


class SwishGradients(NamedTuple):
    """Gradients with respect to the input, like it, and to β, a scalar."""

    x: Array
    beta: Array


def _tanh_logit(x: Array) -> Array:
    """Return 2u of the tanh form, whose gate is (1 + tanh u)/2 = σ(2u)."""
    x = namespace(x).clip(x, min=-FAR, max=FAR)
    return SCALE * x * (1 + CUBIC * x * x)


def _tanh_change(x: Array, logit: Array) -> Array:
    """Return x times the derivative of the gate that has this logit."""
    x = namespace(x).clip(x, min=-FAR, max=FAR)
    return sigmoid_vjp(logit, x) * SCALE * (1 + 3 * CUBIC * x * x)


def _mish_gate(x: Array) -> tuple[Array, Array]:
    """Return tanh(ln(1 + e^x)) = n/(n + 2) with n = e^x (e^x + 2), and its derivative times x."""
    xp = namespace(x)
    kind = xp.finfo(x.dtype)
    # There n + 2 rounds to n, or n would overflow.
    x = xp.clip(x, max=min(math.log(8 / float(kind.eps)), math.log(float(kind.max) / 2) / 2))
    e = xp.exp(x)
    n = e * (e + 2)
    return n / (n + 2), x * (2 * e / (n + 2)) * (2 * (e + 1) / (n + 2))


def _check_pair(x: Array, cotangent: Array) -> None:
    check_float("x", x)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)


def _check_approximate(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is {approximate!r}: it must be 'none' or 'tanh'")


def normal_cdf(x: Array) -> Array:
    r"""Return the distribution function of N(0, 1), elementwise: the gate of GELU.

    $$\Phi(x) = \frac{1}{2}\Bigl(1 + \operatorname{erf}\frac{x}{\sqrt 2}\Bigr)$$

    Args:
        x: Any shape.

    Returns:
        An array like `x`, entries in [0, 1].

    Raises:
        TypeError: If `x` is not floating-point.

    Note:
        Differs from `scipy.stats.norm.cdf` far left: 1 + erf keeps absolute, not relative,
        precision, and is 0 from about −8.4 on in float64 and −5.5 in float32, as PyTorch's GELU.

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, section 2.

    Example:
        >>> import numpy as np
        >>> normal_cdf(np.asarray([-1.0, 0.0, 2.0])).round(3)
        array([0.159, 0.5  , 0.977])
    """
    check_float("x", x)
    return (1 + erf(x / math.sqrt(2))) / 2


def gelu(x: Array, *, approximate: str = "none") -> Array:
    r"""Weight each entry by the probability that a standard normal lies below it.

    $$\operatorname{gelu}(x) = x\,\Phi(x) \approx
      \frac{x}{2}\Bigl(1 + \tanh\sqrt{2/\pi}\,(x + 0.044715\,x^3)\Bigr)$$

    Args:
        x: Any shape.
        approximate: "none" for the exact function, "tanh" for the approximation.

    Returns:
        An array like `x`; at least −0.17, in the tanh form −0.1701.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `approximate` is neither.

    Note:
        Differs from `jax.nn.gelu`, where the tanh form is the default. Names and default are
        torch's, which checks `approximate` only when it computes. Half precision is not widened:
        1 + erf loses its digits on the left, which `dlkb.nn.GELU` keeps.

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, section 2.

    Example:
        >>> import numpy as np
        >>> gelu(np.asarray([-1.0, 0.0, 2.0])).round(4)
        array([-0.1587,  0.    ,  1.9545])
        >>> gelu(np.asarray([-1.0, 0.0, 2.0]), approximate="tanh").round(4)
        array([-0.1588,  0.    ,  1.9546])
    """
    check_float("x", x)
    _check_approximate(approximate)
    return x * (normal_cdf(x) if approximate == "none" else sigmoid(_tanh_logit(x)))


def gelu_vjp(x: Array, cotangent: Array, *, approximate: str = "none") -> Array:
    r"""Pull a gradient back through `gelu`.

    $$\operatorname{gelu}'(x) = \Phi(x) + x\,\varphi(x), \qquad
      \varphi(x) = \frac{e^{-x^2/2}}{\sqrt{2\pi}}$$

    Args:
        x: The input of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        approximate: As in the forward pass; "tanh" differentiates the approximation.

    Returns:
        The gradient with respect to `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: As `gelu`, or if the shapes differ.

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.

    Example:
        >>> import numpy as np
        >>> gelu_vjp(np.asarray([-1.0, 0.0, 2.0]), np.ones(3)).round(4)
        array([-0.0833,  0.5   ,  1.0852])
    """
    _check_pair(x, cotangent)
    _check_approximate(approximate)
    if approximate == "tanh":
        logit = _tanh_logit(x)
        return cotangent * (sigmoid(logit) + _tanh_change(x, logit))
    xp = namespace(x, cotangent)
    near = xp.clip(x, min=-FAR_DENSITY, max=FAR_DENSITY)
    density = xp.exp(-(near**2) / 2) / math.sqrt(2 * math.pi)
    return cotangent * (normal_cdf(x) + near * density)


def swish(x: Array, *, beta: float | Array = 1.0) -> Array:
    r"""Weight each entry by its sigmoid.

    $$\operatorname{swish}_\beta(x) = x\,\sigma(\beta x), \qquad
      \sigma(x) = \frac{1}{1 + e^{-x}}$$

    Args:
        x: Any shape.
        beta: Sharpness of the gate: 0 gives x/2 of finite x, ∞ would be ReLU. A number or a 0-d
            array.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.

    Reference:
        Ramachandran et al., Searching for Activation Functions, 2017, section 4.

    Example:
        >>> import numpy as np
        >>> swish(np.asarray([-1.0, 0.0, 2.0]), beta=2.0).round(4)
        array([-0.1192,  0.    ,  1.964 ])
    """
    check_float("x", x)
    return x * sigmoid(beta * x)


def swish_vjp(x: Array, cotangent: Array, *, beta: float | Array = 1.0) -> SwishGradients:
    r"""Pull a gradient back through `swish`, to its input and to β.

    $$\frac{\partial}{\partial x} = \sigma(\beta x) + \beta x\,\sigma'(\beta x), \qquad
      \frac{\partial}{\partial \beta} = x^2\,\sigma'(\beta x), \qquad
      \sigma' = \sigma\,(1 - \sigma)$$

    Args:
        x: The input of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        beta: As in the forward pass.

    Returns:
        Gradients with respect to `x`, and to β, summed over all entries.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Reference:
        Ramachandran et al., Searching for Activation Functions, 2017, section 4.

    Example:
        >>> import numpy as np
        >>> swish_vjp(np.asarray([-1.0, 2.0]), np.ones(2)).x.round(4)
        array([0.0723, 1.0908])
    """
    _check_pair(x, cotangent)
    xp = namespace(x, cotangent)
    gate = sigmoid(beta * x)
    slope = sigmoid_vjp(beta * x, x)  # gate (1 − gate) would cancel far right; x² may overflow
    of_x = cotangent * (gate + beta * slope)
    return SwishGradients(of_x, xp.sum(cotangent * (x * slope), dtype=x.dtype))


def silu(x: Array) -> Array:
    r"""Return Swish with β = 1.

    $$\operatorname{silu}(x) = x\,\sigma(x)$$

    Args:
        x: Any shape.

    Returns:
        An array like `x`; at least −0.279.

    Raises:
        TypeError: If `x` is not floating-point.

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, who named it.

    Example:
        >>> import numpy as np
        >>> silu(np.asarray([-1.0, 0.0, 2.0])).round(4)
        array([-0.2689,  0.    ,  1.7616])
    """
    return swish(x)


def silu_vjp(x: Array, cotangent: Array) -> Array:
    r"""Pull a gradient back through `silu`.

    $$\operatorname{silu}'(x) = \sigma(x)\,\bigl(1 + x\,(1 - \sigma(x))\bigr)$$

    Args:
        x: The input of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.

    Returns:
        The gradient with respect to `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, who named it.

    Example:
        >>> import numpy as np
        >>> silu_vjp(np.asarray([0.0, 2.0]), np.ones(2)).round(4)
        array([0.5   , 1.0908])
    """
    return swish_vjp(x, cotangent).x


def quick_gelu(x: Array) -> Array:
    r"""Return the sigmoid form of GELU: Swish with β = 1.702.

    $$\operatorname{quick\_gelu}(x) = x\,\sigma(1.702\,x)$$

    Args:
        x: Any shape.

    Returns:
        An array like `x`; within 0.0204 of `gelu`.

    Raises:
        TypeError: If `x` is not floating-point.

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, section 2.

    Example:
        >>> import numpy as np
        >>> quick_gelu(np.asarray([-1.0, 0.0, 2.0])).round(4)
        array([-0.1542,  0.    ,  1.9357])
    """
    return swish(x, beta=QUICK)


def mish(x: Array) -> Array:
    r"""Weight each entry by the tanh of its softplus.

    $$\operatorname{mish}(x) = x\,\tanh\bigl(\ln(1 + e^x)\bigr)$$

    Args:
        x: Any shape.

    Returns:
        An array like `x`; at least −0.309.

    Raises:
        TypeError: If `x` is not floating-point.

    Reference:
        Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.

    Example:
        >>> import numpy as np
        >>> mish(np.asarray([-1.0, 0.0, 2.0])).round(4)
        array([-0.3034,  0.    ,  1.944 ])
    """
    check_float("x", x)
    return x * _mish_gate(x)[0]


def mish_vjp(x: Array, cotangent: Array) -> Array:
    r"""Pull a gradient back through `mish`.

    $$\operatorname{mish}'(x) = t + x\,(1 - t^2)\,\sigma(x), \qquad
      t = \tanh\bigl(\ln(1 + e^x)\bigr)$$

    Args:
        x: The input of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.

    Returns:
        The gradient with respect to `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Reference:
        Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.

    Example:
        >>> import numpy as np
        >>> mish_vjp(np.asarray([0.0, 2.0]), np.ones(2)).round(4)
        array([0.6   , 1.0693])
    """
    _check_pair(x, cotangent)
    gate, change = _mish_gate(x)
    return cotangent * (gate + change)

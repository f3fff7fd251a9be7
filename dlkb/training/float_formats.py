"""Binary floating-point formats: their limits, and how a number is rounded to one."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_float,
    check_same_shape,
    device,
    namespace,
    widen,
)


class FloatFormat(NamedTuple):
    """A binary format.

    Attributes:
        exponent: Bits of the exponent.
        fraction: Bits of the fraction m, without the leading one.
        finite: Whether the highest exponent holds numbers, too, but for one pattern, NaN: then
            there is no infinity (the suffix `fn` of float8). Elsewhere it holds ∞ and NaN.
    """

    exponent: int
    fraction: int
    finite: bool = False


FLOAT32 = FloatFormat(8, 23)
FLOAT16 = FloatFormat(5, 10)
BFLOAT16 = FloatFormat(8, 7)
FLOAT8_E4M3 = FloatFormat(4, 3, finite=True)
FLOAT8_E5M2 = FloatFormat(5, 2)


class Limits(NamedTuple):
    """What a format can hold.

    Attributes:
        largest: The largest number.
        normal: The smallest number with all its digits.
        smallest: The smallest number above zero; half of it and less rounds to zero.
        epsilon: From 1 to the next number.
    """

    largest: float
    normal: float
    smallest: float
    epsilon: float


def limits(to: FloatFormat) -> Limits:
    r"""Return the limits of a format of e exponent and m fraction bits.

    $$b = 2^{e-1} - 1, \quad x_{\max} = (2 - 2^{-m})\,2^{b}, \quad x_{\text{normal}} = 2^{1-b},
    \quad x_{\min} = 2^{1-b-m}, \quad \varepsilon = 2^{-m}$$

    A format without infinity goes one exponent higher, less the pattern of NaN.

    Args:
        to: The format.

    Returns:
        Four Python numbers.

    Raises:
        ValueError: If the format has not 2 to 8 exponent bits and 1 to 23 of the fraction.

    Reference:
        IEEE 754 for float16 and float32; Micikevicius et al. (2022) for float8.

    Example:
        >>> limits(FLOAT16).largest, limits(FLOAT8_E4M3).largest
        (65504.0, 448.0)
    """
    check_between("to.exponent", to.exponent, 2, 8)
    check_between("to.fraction", to.fraction, 1, 23)
    bias = 2 ** (to.exponent - 1) - 1
    epsilon = 2.0**-to.fraction
    largest = (2 - 2 * epsilon) * 2.0 ** (bias + 1) if to.finite else (2 - epsilon) * 2.0**bias
    normal = 2.0 ** (1 - bias)
    return Limits(largest, normal, normal * epsilon, epsilon)


def _spacing(x: Array, to: FloatFormat) -> Array:
    # The power of two below |x| is looked up: a logarithm may land on the wrong side of it.
    xp = namespace(x)
    found = limits(to)
    count = math.frexp(found.largest / found.normal)[1]
    powers = [found.normal * 2.0**k for k in range(count)]
    place = {"dtype": x.dtype, "device": device(x)}
    table = xp.asarray(powers, **place)
    steps = xp.asarray([p * found.epsilon for p in powers], **place)
    flat = xp.reshape(xp.abs(x), (-1,))
    index = xp.searchsorted(table, flat, side="right") - 1
    index = xp.clip(index, 0, count - 1)
    return xp.reshape(xp.take(steps, index, axis=0), x.shape)


def _times(n: Array, ulp: Array, to: FloatFormat) -> Array:
    """Multiply whole numbers by their spacing; what is above the largest number overflows."""
    xp = namespace(n)
    largest = limits(to).largest
    top = 2.0 ** (math.floor(math.log2(largest)) - to.fraction)
    over = (ulp == top) & (xp.abs(n) > largest / top)
    high = xp.full_like(n, math.nan if to.finite else math.inf)
    return xp.where(over, xp.where(n < 0, -high, high), ulp * xp.where(over, 0 * ulp, n))


def spacing(x: Array, *, to: FloatFormat) -> Array:
    r"""Return the distance from |x| to the next number of a format above it.

    $$\operatorname{ulp}(x) = 2^{\lfloor\log_2\lvert x\rvert\rfloor - m}$$

    and not less than the smallest number. A step below half of it does not change x (a quarter,
    towards zero from a power of two above the smallest normal number).

    Args:
        x: Numbers of the format, floating-point, any shape.
        to: The format.

    Returns:
        An array like `x`, positive; infinite above the largest number, NaN for NaN.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: As `limits`.

    Example:
        >>> import numpy as np
        >>> spacing(np.asarray([512.0, 2048.0]), to=FLOAT16)
        array([0.5, 2. ])
    """
    check_float("x", x)
    xp = namespace(x)
    wide = widen(x)
    over = xp.abs(wide) > limits(to).largest
    found = xp.where(over, xp.full_like(wide, math.inf), _spacing(wide, to))
    found = xp.where(xp.isnan(wide), wide, found)
    return xp.astype(found, x.dtype, copy=False)


def round_to(x: Array, *, to: FloatFormat) -> Array:
    r"""Round to the nearest number of a format, to the even one where two are as near.

    $$y = \operatorname{ulp}(x)\,\operatorname{round}\frac{x}{\operatorname{ulp}(x)}$$

    Args:
        x: Any numbers, floating-point, any shape, of a dtype that holds those of the format.
        to: The format.

    Returns:
        An array like `x` whose values are numbers of the format. What rounds to more than its
        largest is infinite, or NaN where the format has no infinity.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: As `limits`.

    Note:
        Differs from PyTorch 2.13 on the CPU in float8_e4m3fn above the largest number: there the
        cast gives 448, even of infinity. Agrees with ml_dtypes, which JAX uses, and with casts to
        the other formats.

    Example:
        >>> import numpy as np
        >>> round_to(np.asarray([1.0004, 1e-8, 7e4]), to=FLOAT16)
        array([ 1.,  0., inf])
    """
    check_float("x", x)
    xp = namespace(x)
    wide = widen(x)
    ulp = _spacing(wide, to)
    return xp.astype(_times(xp.round(wide / ulp), ulp, to), x.dtype, copy=False)


def stochastic_round(x: Array, u: Array, *, to: FloatFormat) -> Array:
    r"""Round to one of the two numbers beside x, so that the mean of many roundings is x.

    $$y = \operatorname{ulp}(x)\,\Bigl\lfloor\frac{x}{\operatorname{ulp}(x)} + u\Bigr\rfloor$$

    Args:
        x: Numbers in the range of the format, floating-point, any shape.
        u: Draws of `dlkb.arrays.uniform`, in the same shape. They need more bits than the
            format's fraction leaves to `x`: draw in float32 or float64.
        to: The format.

    Returns:
        An array like `x`: x itself where that is a number of the format.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, or as `limits`.

    Reference:
        Gupta et al. (2015).

    Example:
        >>> import numpy as np
        >>> x, u = np.full(4, 1.0004), np.asarray([0.1, 0.5, 0.7, 0.9])
        >>> stochastic_round(x, u, to=FLOAT16).round(4)
        array([1.   , 1.   , 1.001, 1.001])
    """
    check_float("x", x)
    check_float("u", u)
    check_same_shape("u", u, "x", x)
    xp = namespace(x, u)
    wide = widen(x)
    ulp = _spacing(wide, to)
    quotient = wide / ulp
    finite = xp.where(xp.isinf(quotient), 0.0, quotient)
    below = xp.floor(finite)
    # By itself, since quotient + u is rounded: of a number of the format nothing is left.
    left = finite - below
    n = below + xp.where(left > 0, xp.floor(left + xp.astype(u, wide.dtype)), 0.0)
    n = xp.where(xp.isinf(quotient), quotient, n)
    return xp.astype(_times(n, ulp, to), x.dtype, copy=False)

r"""Gradient checking: differences, the complex step, the best step size and its error."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, widen

Scheme = Literal["forward", "central"]
"""Which difference: one evaluation beside f(x), or one on either side."""


def difference(
    f: Callable[[Array], Array], x: Array, v: Array, *, step: float, scheme: Scheme = "central"
) -> Array:
    r"""Return the slope of a function along a direction, by a finite difference.

    $$D_h = \frac{f(\mathbf{x} + h\mathbf{v}) - f(\mathbf{x} - h\mathbf{v})}{2h}
    \approx \mathbf{v}^\top\nabla f$$

    Args:
        f: Takes an array like `x` and returns an array, most often 0-d.
        x: Where, any shape.
        v: Direction, in the shape of `x`; a unit vector e_i gives one partial derivative.
        step: h > 0, in units of `x` where `v` has length one.
        scheme: "central", or "forward" for (f(x + hv) − f(x)) / h.

    Returns:
        An array like what `f` returns.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, `step` is not positive, or the scheme is unknown.

    Example:
        >>> import numpy as np
        >>> x, v = np.asarray([3.0, 1.0]), np.asarray([1.0, 0.0])
        >>> round(float(difference(lambda x: np.sum(x**2), x, v, step=1e-3)), 6)
        6.0
    """
    _check(x, v, step)
    _check_scheme(scheme)
    if scheme == "forward":
        return (f(x + step * v) - f(x)) / step
    return (f(x + step * v) - f(x - step * v)) / (2 * step)


def complex_step(f: Callable[[Array], Array], x: Array, v: Array, *, step: float = 1e-20) -> Array:
    r"""Return the slope of a function along a direction, by a step into the complex plane.

    $$\frac{\operatorname{Im} f(\mathbf{x} + \mathrm{i}h\mathbf{v})}{h}
    = \mathbf{v}^\top\nabla f + O(h^2)$$

    Nothing is subtracted, so that h may be tiny and the result has all digits.

    Args:
        f: Analytic, and written without abs, max, comparisons, conjugation or casts to real.
        x: Where, float32 or float64.
        v: Direction, in the shape of `x`.
        step: h > 0.

    Returns:
        A real array like what `f` returns.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, or `step` is not positive.

    Reference:
        Squire and Trapp, Using Complex Variables to Estimate Derivatives of Real Functions (1998).

    Example:
        >>> import numpy as np
        >>> x, v = np.asarray([2.0]), np.asarray([1.0])
        >>> slope = complex_step(lambda x: np.sum(np.exp(x)), x, v)
        >>> bool(abs(slope - np.exp(2.0)) < 1e-14)
        True
    """
    _check(x, v, step)
    xp = namespace(x, v)
    dtype = xp.result_type(x.dtype, xp.complex64)
    return xp.imag(f(xp.astype(x, dtype) + xp.astype(v, dtype) * (step * 1j))) / step


def best_step(
    *,
    value: float = 1.0,
    derivative: float = 1.0,
    eps: float = 2.0**-53,
    scheme: Scheme = "central",
) -> float:
    r"""Return the step at which truncation and rounding together are least.

    $$h^\star = \sqrt[3]{\frac{3\varepsilon|f|}{|f'''|}}\ \text{(central)},\qquad
    h^\star = 2\sqrt{\frac{\varepsilon|f|}{|f''|}}\ \text{(forward)}$$

    Args:
        value: |f| ≥ 0 near x.
        derivative: |f'''| > 0 near x, of a forward difference |f''|.
        eps: Relative error ε ≥ 0 of f: 2⁻⁵³ if float64 rounds it and nothing else errs.
        scheme: "central" or "forward".

    Returns:
        The step h*.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> print(f"{best_step():.1e} {best_step(scheme='forward'):.1e}")
        6.9e-06 2.1e-08
    """
    e = _rounding(value, derivative, eps, scheme)
    return (3 * e / derivative) ** (1 / 3) if scheme == "central" else 2 * (e / derivative) ** 0.5


def error_bound(
    step: Array,
    *,
    value: float = 1.0,
    derivative: float = 1.0,
    eps: float = 2.0**-53,
    scheme: Scheme = "central",
) -> Array:
    r"""Return truncation plus rounding: the V of the error against the step.

    $$E(h) = \frac{h^2}{6}|f'''| + \frac{\varepsilon|f|}{h}\ \text{(central)},\qquad
    E(h) = \frac h2|f''| + \frac{2\varepsilon|f|}{h}\ \text{(forward)}$$

    Args:
        step: h > 0, a number or an array.
        value: |f| ≥ 0 near x.
        derivative: |f'''| > 0 near x, of a forward difference |f''|.
        eps: Relative error ε ≥ 0 of f.
        scheme: "central" or "forward".

    Returns:
        A number or an array like `step`. Rounding of x + h is left out: take h a power of two.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> print(f"{error_bound(best_step()):.1e} {error_bound(1e-3):.1e}")
        2.4e-11 1.7e-07
    """
    check_between("step", step, 0, math.inf, closed="neither")
    e = _rounding(value, derivative, eps, scheme)
    if scheme == "central":
        return derivative / 6 * step * step + e / step
    return derivative / 2 * step + 2 * e / step


def relative_error(a: Sequence[Array], b: Sequence[Array]) -> Array:
    r"""Return how far two gradients are apart, by the size of the larger.

    $$\frac{\lVert\mathbf{a} - \mathbf{b}\rVert}
    {\max(\lVert\mathbf{a}\rVert, \lVert\mathbf{b}\rVert)}$$

    Args:
        a: Arrays of any shapes, such as the gradients of a layer's parameters.
        b: As many, in the same shapes.

    Returns:
        A 0-d array in [0, 2]; 0 if both are zero, NaN if an entry is not finite.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If there is none, or numbers or shapes differ.

    Note:
        Differs from `torch.autograd.gradcheck`, which compares entry by entry with atol and rtol.

    Example:
        >>> import numpy as np
        >>> float(relative_error([np.asarray([3e200, 4e200])], [np.asarray([3e200, 0.0])]))
        0.8
    """
    if len(a) != len(b) or not a:
        raise ValueError(
            f"a holds {len(a)} arrays and b {len(b)}: as many, one or more, are needed"
        )
    for i, (p, q) in enumerate(zip(a, b, strict=True)):
        check_float(f"a[{i}]", p)
        check_float(f"b[{i}]", q)
        check_same_shape(f"b[{i}]", q, f"a[{i}]", p)
    xp = namespace(*a, *b)
    p = xp.concat([xp.reshape(x, (-1,)) for x in a])
    q = xp.concat([xp.reshape(x, (-1,)) for x in b])
    if p.shape[0] == 0:
        return xp.sum(p)
    dtype = (p[:0] + q[:0]).dtype
    p, q = widen(p), widen(q)
    largest = xp.maximum(xp.max(xp.abs(p)), xp.max(xp.abs(q)))
    unit = xp.where(largest == 0, xp.ones_like(largest), largest)  # squares cannot overflow then
    p, q = p / unit, q / unit
    norms = xp.maximum(xp.linalg.vector_norm(p), xp.linalg.vector_norm(q))
    apart = xp.linalg.vector_norm(p - q) / xp.where(norms == 0, xp.ones_like(norms), norms)
    return xp.astype(apart, dtype, copy=False)


def _check(x: Array, v: Array, step: float) -> None:
    check_float("x", x)
    check_float("v", v)
    check_same_shape("v", v, "x", x)
    check_between("step", step, 0, math.inf, closed="neither")


def _check_scheme(scheme: Scheme) -> None:
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}: it must be one of {', '.join(get_args(Scheme))}")


def _rounding(value: float, derivative: float, eps: float, scheme: Scheme) -> float:
    """Check what the step's formulas share and return the absolute error of f."""
    _check_scheme(scheme)
    check_between("value", value, 0, math.inf, closed="left")
    check_between("derivative", derivative, 0, math.inf, closed="neither")
    check_between("eps", eps, 0, math.inf, closed="left")
    return eps * value

r"""RMS normalization: divide by the root mean square of the features."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_float,
    check_same_shape,
    namespace,
    stop_gradient,
    wide_dtype,
    widen,
)


class UnitRMS(NamedTuple):
    """An array in units of its root mean square.

    Attributes:
        unit: x divided by √(mean of x² + ε).
        inverse: 1 / √(mean of x² + ε), with size 1 along the axes.
    """

    unit: Array
    inverse: Array


def unit_rms(x: Array, *, axis: int | tuple[int, ...] = -1, eps: float) -> UnitRMS:
    r"""Return `x` divided by its root mean square, and the factor.

    $$\hat x_i = \frac{x_i}{\sqrt{\frac1n \sum_j x_j^2 + \epsilon}}$$

    Squares of entries beyond 1.8e19 overflow in float32, though the quotient is near 1. So `x`
    is first measured in units of a quarter of its largest size, which cancels.

    Args:
        x: Floating-point, any shape, at least one axis.
        axis: Over which axes the mean is taken.
        eps: ε ≥ 0, in units of x². With ε = 0 an array of zeros gives NaN, and one of subnormal
            numbers may.

    Returns:
        The quotient and the factor, in the dtype of `x`: widen half precision before. Without
        entries there is nothing to divide, and the factor is 1.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `eps` is negative.

    Example:
        >>> import numpy as np
        >>> unit_rms(np.asarray([3.0, 4.0, 5.0, 0.0]), eps=0.0).inverse.round(3)
        array([0.283])
    """
    check_float("x", x)
    check_between("eps", eps, 0, math.inf, closed="left")
    xp = namespace(x)
    if 0 in x.shape:  # a mean of nothing is NaN, with a warning
        return UnitRMS(x, xp.ones_like(xp.sum(x, axis=axis, keepdims=True)))
    size = xp.max(xp.abs(stop_gradient(x)), axis=axis, keepdims=True) + eps**0.5
    scale = 4 / size  # 1 / size would be subnormal beyond 8.5e37, and lose digits
    x = x * scale
    mean_square = xp.mean(x * x, axis=axis, keepdims=True)
    inverse = 1 / xp.sqrt(mean_square + (eps**0.5 * scale) ** 2)
    return UnitRMS(x * inverse, inverse * scale)


def unit_rms_vjp(
    x: Array, cotangent: Array, *, axis: int | tuple[int, ...] = -1, eps: float
) -> Array:
    r"""Return the gradient of `unit_rms`'s quotient, derived by hand.

    $$\frac{\partial L}{\partial x_i} = \frac{1}{r}\Big(h_i - \hat x_i\,\frac1n \sum_j h_j
    \hat x_j\Big),\qquad r = \sqrt{\tfrac1n \sum_j x_j^2 + \epsilon}$$

    Args:
        x: As for `unit_rms`.
        cotangent: h, the gradient of the quotient, in the shape of `x`.
        axis: As for `unit_rms`.
        eps: As for `unit_rms`.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, or `eps` is negative.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([3.0, 3.0])
        >>> unit_rms_vjp(x, np.asarray([1.0, 0.0]), eps=0.0).round(3)
        array([ 0.167, -0.167])
    """
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    unit, inverse = unit_rms(x, axis=axis, eps=eps)
    h = namespace(x, cotangent).astype(cotangent, x.dtype, copy=False)
    return _project(h, unit, axis) * inverse


def rms_norm(
    x: Array, weight: Array | None = None, *, dims: int = 1, eps: float | None = None
) -> Array:
    r"""Divide by the root mean square over the last axes, and scale each feature.

    $$y_i = \frac{x_i}{\sqrt{\frac1n \sum_j x_j^2 + \epsilon}}\; w_i$$

    Args:
        x: `(..., features)`, floating-point.
        weight: w, in the shape of the last `dims` axes. 1 if left out.
        dims: How many of the last axes are normalized together.
        eps: ε ≥ 0, in units of x². `None` is the machine epsilon of the dtype computed in:
            1.2e-7 for float32 and half precision, 2.2e-16 for float64.

    Returns:
        An array like `x`. In half precision all is computed in float32 and rounded once.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If `dims`, `eps` or a shape does not fit.

    Note:
        Differs from `LlamaRMSNorm`, which rounds before it multiplies by the weight, and from
        that of Gemma to Gemma 3, which multiplies by 1 + w. The paper has no ε.

    Reference:
        Zhang and Sennrich, Root Mean Square Layer Normalization (2019).

    Example:
        >>> import numpy as np
        >>> rms_norm(np.asarray([[3.0, 3.0], [4e200, -4e200]]))
        array([[ 1.,  1.],
               [ 1., -1.]])
    """
    _check_last_axes(x, dims, weight)
    xp = namespace(x, weight)
    eps = _machine_eps(x) if eps is None else eps
    unit, _ = unit_rms(widen(x), axis=tuple(range(-dims, 0)), eps=eps)
    return xp.astype(unit if weight is None else unit * weight, x.dtype, copy=False)


class RMSNormGrads(NamedTuple):
    """Gradients of the arguments of `rms_norm`; `weight` is `None` if there was none."""

    x: Array
    weight: Array | None


def rms_norm_vjp(
    x: Array,
    cotangent: Array,
    weight: Array | None = None,
    *,
    dims: int = 1,
    eps: float | None = None,
) -> RMSNormGrads:
    r"""Return the gradients of `rms_norm`, derived by hand.

    $$\frac{\partial L}{\partial x_i} = \frac{1}{r}\Big(h_i - \hat x_i\,\frac1n \sum_j h_j
    \hat x_j\Big),\qquad h = w \odot g,\quad r = \sqrt{\tfrac1n \sum_j x_j^2 + \epsilon}$$

    That of the weight is $g \odot \hat x$, summed over the batch.

    Args:
        x: As for `rms_norm`.
        cotangent: g, the gradient of the output, in the shape of `x`.
        weight: As for `rms_norm`.
        dims: As for `rms_norm`.
        eps: As for `rms_norm`.

    Returns:
        Gradients in the dtypes of `x` and of `weight`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If `dims`, `eps` or a shape does not fit.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([3.0, 3.0])
        >>> rms_norm_vjp(x, x, eps=0.0).x  # the output does not change along x
        array([0., 0.])
    """
    _check_last_axes(x, dims, weight)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    xp = namespace(x, cotangent, weight)
    axis = tuple(range(-dims, 0))
    eps = _machine_eps(x) if eps is None else eps
    unit, inverse = unit_rms(widen(x), axis=axis, eps=eps)
    g = xp.astype(cotangent, unit.dtype, copy=False)
    h = g * inverse  # first: gain times gradient may overflow, the result does not
    h = h if weight is None else h * weight
    grad = xp.astype(_project(h, unit, axis), x.dtype, copy=False)
    return RMSNormGrads(grad, None if weight is None else _sum_over_batch(g * unit, weight))


def center_output(weight: Array, bias: Array | None = None) -> tuple[Array, Array | None]:
    r"""Make the outputs of a linear layer sum to zero.

    $$\mathbf{W}' = \big(\mathbf{I} - \tfrac1n \mathbf{1}\mathbf{1}^\top\big)\mathbf{W},\qquad
    \mathbf{b}' = \mathbf{b} - \bar b$$

    Behind such a layer `rms_norm` is `layer_norm`, given one ε.

    Args:
        weight: W, of shape `(out, in)`, out ≥ 1. `Conv1D` of GPT-2 in Transformers stores the
            transpose.
        bias: b, of shape `(out,)`, or `None`.

    Returns:
        W′ and b′.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape does not fit.

    Reference:
        Jiang et al., Pre-RMSNorm and Pre-CRMSNorm Transformers (2023).

    Example:
        >>> import numpy as np
        >>> center_output(np.asarray([[1.0, 2.0], [3.0, 6.0]]))[0]
        array([[-1., -2.],
               [ 1.,  2.]])
    """
    check_float("weight", weight)
    if weight.ndim != 2 or weight.shape[0] == 0:
        raise ValueError(f"weight has shape {tuple(weight.shape)}: (out, in) is needed, out ≥ 1")
    xp = namespace(weight, bias)
    centred = weight - xp.mean(weight, axis=0, keepdims=True)
    if bias is None:
        return centred, None
    check_float("bias", bias)
    if tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(
            f"bias has shape {tuple(bias.shape)}: it must be ({weight.shape[0]},), one an output"
        )
    return centred, bias - xp.mean(bias)


def _machine_eps(x: Array) -> float:
    # Of the dtype that is computed in, as in torch.nn.RMSNorm.
    return float(namespace(x).finfo(wide_dtype(x)).eps)


def _project(h: Array, unit: Array, axis: int | tuple[int, ...]) -> Array:
    if 0 in h.shape:  # a mean of nothing is NaN, with a warning
        return h
    return h - unit * namespace(h).mean(h * unit, axis=axis, keepdims=True)


def _sum_over_batch(terms: Array, like: Array) -> Array:
    xp = namespace(terms, like)
    summed = xp.sum(terms, axis=tuple(range(terms.ndim - like.ndim)))
    return xp.astype(summed, like.dtype, copy=False)


def _check_last_axes(x: Array, dims: int, weight: Array | None) -> None:
    check_float("x", x)
    if not 1 <= dims <= x.ndim:
        raise ValueError(
            f"dims is {dims}: x has shape {tuple(x.shape)}, so it must lie in 1 … {x.ndim}"
        )
    if weight is None:
        return
    check_float("weight", weight)
    if tuple(weight.shape) != tuple(x.shape[-dims:]):
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}: it must be {tuple(x.shape[-dims:])}, "
            "that of the axes normalized"
        )

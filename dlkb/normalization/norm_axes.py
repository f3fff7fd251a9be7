r"""Which numbers share a mean and a spread: normalization over any axes, and over groups."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_float, check_same_shape, namespace, widen
from dlkb.normalization.rms_norm import unit_rms, unit_rms_vjp

Axes = int | tuple[int, ...]


def standardize(x: Array, *, axis: Axes, eps: float = 1e-5) -> Array:
    r"""Take away the mean over some axes, and divide by the spread over the same.

    $$\hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}$$

    Of images `(N, C, H, W)`, the axes (0, 2, 3) make batch norm as in training, (1, 2, 3) layer
    norm over a whole image, 1 layer norm of each place, (2, 3) instance norm.

    Args:
        x: Floating-point, any shape.
        axis: The axes that share a mean and a spread.
        eps: ε ≥ 0, in units of x². With ε = 0 equal numbers give NaN, or ±1 where their mean
            is rounded; with ε, too, up to ±1 where they are so large that the rounding exceeds
            √ε (in float32 from about 1e4 on, with the default).

    Returns:
        An array like `x`. In half precision all is computed in float32 and rounded once.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `eps` is negative.

    Reference:
        Wu and He, Group Normalization (2018).

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0, 3.0], [5.0, 7.0]])
        >>> standardize(x, axis=0).round(2)
        array([[-1., -1.],
               [ 1.,  1.]])
    """
    check_float("x", x)
    return namespace(x).astype(unit_rms(_centre(x, axis), axis=axis, eps=eps).unit, x.dtype)


def standardize_vjp(x: Array, cotangent: Array, *, axis: Axes, eps: float = 1e-5) -> Array:
    r"""Return the gradient of `standardize`, derived by hand.

    $$\nabla_x L = \frac{g - \mathbb{E}[g] - \hat x\,\mathbb{E}[g \hat x]}
    {\sqrt{\sigma^2 + \epsilon}}$$

    Args:
        x: As for `standardize`.
        cotangent: g, the gradient of the output, in the shape of `x`.
        axis: As for `standardize`.
        eps: As for `standardize`.

    Returns:
        An array like `x`. Numbers that share a mean get 0 if their g are all 0.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, or `eps` is negative.

    Example:
        >>> import numpy as np
        >>> standardize_vjp(np.eye(2), np.eye(2), axis=0, eps=0.25).round(3)
        array([[ 0.354, -0.354],
               [-0.354,  0.354]])
    """
    check_float("x", x)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    centred = _centre(x, axis)
    g = namespace(x).astype(cotangent, centred.dtype, copy=False)
    grad = unit_rms_vjp(centred, g, axis=axis, eps=eps)
    return namespace(x).astype(_centre(grad, axis), x.dtype)


def group_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> Array:
    r"""Normalize groups of channels of each example, then scale and shift each channel.

    $$y = w_c\,\hat x + b_c$$

    with the mean and the spread of $\hat x$ over the channels of a group and all places.

    Args:
        x: `(N, C, *places)`, floating-point.
        weight: w, of shape `(C,)`. 1 if left out.
        bias: b, of shape `(C,)`. 0 if left out.
        num_groups: G ≥ 1, a divisor of C. 1 is layer norm over a whole example with one gain a
            channel, C is instance norm.
        eps: ε ≥ 0, added to the variance.

    Returns:
        An array like `x`. In half precision all is computed in float32 and rounded once.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape, `num_groups` or `eps` does not fit.

    Reference:
        Wu and He, Group Normalization (2018).

    Example:
        >>> import numpy as np
        >>> group_norm(np.asarray([[1.0, 3.0, 10.0, 30.0]]), num_groups=2).round(2)
        array([[-1.,  1., -1.,  1.]])
    """
    _check_groups(x, num_groups, weight=weight, bias=bias)
    xp = namespace(x, weight, bias)
    shape = tuple(x.shape)
    wide = widen(x)
    grouped = xp.reshape(wide, _grouped(shape, num_groups))
    y = xp.reshape(standardize(grouped, axis=-1, eps=eps), shape)
    y = y if weight is None else y * _by_channel(weight, x.ndim)
    return xp.astype(y if bias is None else y + _by_channel(bias, x.ndim), x.dtype)


class GroupNormGrads(NamedTuple):
    """Gradients of the arguments of `group_norm`; `None` where there was no argument."""

    x: Array
    weight: Array | None
    bias: Array | None


def group_norm_vjp(
    x: Array,
    cotangent: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    num_groups: int,
    eps: float = 1e-5,
) -> GroupNormGrads:
    r"""Return the gradients of `group_norm`, derived by hand.

    $$\nabla_x L = \frac{h - \mathbb{E}[h] - \hat x\,\mathbb{E}[h \hat x]}
    {\sqrt{\sigma^2 + \epsilon}},\qquad h = w_c\,g$$

    Args:
        x: As for `group_norm`.
        cotangent: g, the gradient of the output, in the shape of `x`.
        weight: As for `group_norm`.
        bias: As for `group_norm`. Its values do not matter.
        num_groups: As for `group_norm`.
        eps: As for `group_norm`.

    Returns:
        Gradients in the dtypes of the arguments.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape, `num_groups` or `eps` does not fit.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0, 3.0, 10.0, 30.0]])
        >>> group_norm_vjp(x, np.ones((1, 4)), num_groups=2).x
        array([[0., 0., 0., 0.]])
    """
    _check_groups(x, num_groups, weight=weight, bias=bias)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    xp = namespace(x, cotangent, weight, bias)
    shape = tuple(x.shape)
    wide = widen(x)
    g = xp.astype(cotangent, wide.dtype, copy=False)
    grouped = xp.reshape(wide, _grouped(shape, num_groups))
    h = g if weight is None else g * _by_channel(weight, x.ndim)
    grad = standardize_vjp(grouped, xp.reshape(h, grouped.shape), axis=-1, eps=eps)
    unit = xp.reshape(standardize(grouped, axis=-1, eps=eps), shape)
    others = (0, *range(2, x.ndim))
    return GroupNormGrads(
        xp.astype(xp.reshape(grad, shape), x.dtype),
        None if weight is None else xp.astype(xp.sum(g * unit, axis=others), weight.dtype),
        None if bias is None else xp.astype(xp.sum(g, axis=others), bias.dtype),
    )


def _centre(x: Array, axis: Axes) -> Array:
    xp = namespace(x)
    wide = widen(x)
    return wide if 0 in x.shape else wide - xp.mean(wide, axis=axis, keepdims=True)


def _grouped(shape: tuple[int, ...], num_groups: int) -> tuple[int, ...]:
    # No -1: with an empty batch it could not be told.
    return shape[0], num_groups, math.prod(shape[1:]) // num_groups


def _by_channel(parameter: Array, ndim: int) -> Array:
    return namespace(parameter).reshape(parameter, (-1, *[1] * (ndim - 2)))


def _check_groups(x: Array, num_groups: int, **parameters: Array | None) -> None:
    check_float("x", x)
    if x.ndim < 2:
        raise ValueError(f"x has shape {tuple(x.shape)}: (N, C, …) is needed")
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"num_groups is {num_groups}: it must divide the {channels} channels of x")
    for name, parameter in parameters.items():
        if parameter is None:
            continue
        check_float(name, parameter)
        if tuple(parameter.shape) != (channels,):
            raise ValueError(f"{name} has shape {tuple(parameter.shape)}: it must be ({channels},)")

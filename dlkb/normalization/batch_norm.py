r"""Batch normalization: one mean and one variance a channel, over the batch and all places."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, widen
from dlkb.normalization.batch_moments import Running, channel_axes
from dlkb.normalization.norm_axes import standardize, standardize_vjp


def batch_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> Array:
    r"""Normalize each channel by the batch at hand, as in training, then scale and shift it.

    $$y = w_c\,\frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + b_c$$

    Args:
        x: `(N, C, *places)`, floating-point.
        weight: w, of shape `(C,)`. 1 if left out.
        bias: b, of shape `(C,)`. 0 if left out.
        eps: ε ≥ 0, added to the variance.

    Returns:
        An array like `x`. In half precision all is computed in float32 and rounded once. A
        channel of one number becomes b, with ε = 0 NaN: a layer should refuse that.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or `eps` does not fit.

    Reference:
        Ioffe and Szegedy, Batch Normalization (2015), algorithm 1.

    Example:
        >>> import numpy as np
        >>> batch_norm(np.asarray([[1.0, 0.0], [3.0, 80.0]])).round(2)
        array([[-1., -1.],
               [ 1.,  1.]])
    """
    _check_channels(x, weight=weight, bias=bias)
    y = _affine(standardize(widen(x), axis=channel_axes(x), eps=eps), weight, bias)
    return namespace(x).astype(y, x.dtype)


class BatchNormGrads(NamedTuple):
    """Gradients of x, gain and shift; `None` where there was no argument."""

    x: Array
    weight: Array | None
    bias: Array | None


def batch_norm_vjp(
    x: Array,
    cotangent: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> BatchNormGrads:
    r"""Return the gradients of `batch_norm`, derived by hand.

    $$\nabla_x L = \frac{h - \mathbb{E}[h] - \hat x\,\mathbb{E}[h \hat x]}
    {\sqrt{\sigma^2 + \epsilon}},\qquad h = w_c\,g$$

    with means over the batch and all places of a channel.

    Args:
        x: As for `batch_norm`.
        cotangent: g, the gradient of the output, in the shape of `x`.
        weight: As for `batch_norm`.
        bias: As for `batch_norm`. Its values do not matter.
        eps: As for `batch_norm`.

    Returns:
        Gradients in the dtypes of the arguments.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or `eps` does not fit.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[1.0], [3.0]])
        >>> batch_norm_vjp(x, np.ones((2, 1))).x.tolist()  # a shift needs the bias
        [[0.0], [0.0]]
    """
    g = _cotangent(x, cotangent, weight=weight, bias=bias)
    unit = standardize(widen(x), axis=channel_axes(x), eps=eps)
    h = _affine(g, weight, None)
    grad = standardize_vjp(widen(x), h, axis=channel_axes(x), eps=eps)
    return _grads(x, grad, unit, g, weight, bias)


def batch_norm_eval(
    x: Array,
    running: Running,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    r"""Normalize by stored moments, as in evaluation: no example depends on another.

    $$y = w_c\,\frac{x - M_c}{\sqrt{V_c + \epsilon}} + b_c$$

    Args:
        x: `(N, C, *places)`, floating-point.
        running: The stored mean and variance, each of shape `(C,)`.
        weight: w, of shape `(C,)`. 1 if left out.
        bias: b, of shape `(C,)`. 0 if left out.
        eps: ε ≥ 0, added to the variance.

    Returns:
        An array like `x`. In half precision all is computed in float32 and rounded once.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or `eps` does not fit.

    Example:
        >>> import numpy as np
        >>> stored = Running(np.asarray([2.0]), np.asarray([4.0]))
        >>> batch_norm_eval(np.asarray([[2.0], [6.0]]), stored, eps=0.0).tolist()
        [[0.0], [2.0]]
    """
    _check_channels(x, weight=weight, bias=bias, mean=running.mean, var=running.var)
    y = _affine(_by_stored(x, running, eps), weight, bias)
    return namespace(x).astype(y, x.dtype)


def batch_norm_eval_vjp(
    x: Array,
    cotangent: Array,
    running: Running,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> BatchNormGrads:
    r"""Return the gradients of `batch_norm_eval`, for which the stored moments are constants.

    $$\nabla_x L = \frac{w_c\,g}{\sqrt{V_c + \epsilon}}$$

    Args:
        x: As for `batch_norm_eval`.
        cotangent: g, the gradient of the output, in the shape of `x`.
        running: As for `batch_norm_eval`.
        weight: As for `batch_norm_eval`.
        bias: As for `batch_norm_eval`. Its values do not matter.
        eps: As for `batch_norm_eval`.

    Returns:
        Gradients in the dtypes of the arguments.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or `eps` does not fit.

    Example:
        >>> import numpy as np
        >>> stored = Running(np.asarray([2.0]), np.asarray([4.0]))
        >>> x = np.asarray([[2.0], [6.0]])
        >>> batch_norm_eval_vjp(x, np.ones((2, 1)), stored, eps=0.0).x.tolist()
        [[0.5], [0.5]]
    """
    g = _cotangent(x, cotangent, weight=weight, bias=bias, mean=running.mean, var=running.var)
    unit = _by_stored(x, running, eps)
    inverse = _by_channel(1 / namespace(x).sqrt(widen(running.var) + eps), x.ndim)
    grad = _affine(g * inverse, weight, None)
    return _grads(x, grad, unit, g, weight, bias)


def stored_affine(
    running: Running, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, Array]:
    r"""Return evaluation's batch norm as one gain and one shift a channel.

    $$a = \frac{w}{\sqrt{V + \epsilon}},\qquad s = b - a\,M$$

    `layer_norm.fold_affine` moves them into a linear layer behind.

    Args:
        running: The stored mean and variance, each of shape `(C,)`.
        weight: w, of shape `(C,)`. 1 if left out.
        bias: b, of shape `(C,)`. 0 if left out.
        eps: ε ≥ 0, added to the variance.

    Returns:
        a and s.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ or `eps` is negative.

    Example:
        >>> import numpy as np
        >>> stored_affine(Running(np.asarray([2.0]), np.asarray([4.0])), eps=0.0)
        (array([0.5]), array([-1.]))
    """
    check_between("eps", eps, 0, math.inf, closed="left")
    named = (("running.var", running.var), ("weight", weight), ("bias", bias))
    check_float("running.mean", running.mean)
    for name, array in named:
        if array is not None:
            check_float(name, array)
            check_same_shape(name, array, "running.mean", running.mean)
    inverse = 1 / namespace(running.var).sqrt(running.var + eps)
    gain = inverse if weight is None else weight * inverse
    shift = -gain * running.mean
    return gain, shift if bias is None else bias + shift


def fold_into(
    gain: Array, shift: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, Array]:
    r"""Move a gain and a shift a channel into the linear layer or convolution in front.

    $$\mathbf{a} \odot (\mathbf{W} * \mathbf{x} + \mathbf{c}) + \mathbf{s} =
    (\mathbf{a} \odot \mathbf{W}) * \mathbf{x} + (\mathbf{a} \odot \mathbf{c} + \mathbf{s})$$

    Args:
        gain: a, of shape `(out,)`.
        shift: s, of shape `(out,)`.
        weight: W, of shape `(out, in, *kernel)`; groups are free.
        bias: c, of shape `(out,)`. 0 if left out.

    Returns:
        Weight and bias of a layer that does the same without the normalization.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape does not fit.

    Example:
        >>> import numpy as np
        >>> fold_into(np.asarray([2.0]), np.asarray([1.0]), np.asarray([[3.0]]))
        (array([[6.]]), array([1.]))
    """
    check_float("weight", weight)
    for name, array in (("gain", gain), ("shift", shift), ("bias", bias)):
        if array is None:
            continue
        check_float(name, array)
        if weight.ndim < 2 or tuple(array.shape) != (weight.shape[0],):
            raise ValueError(
                f"{name} has shape {tuple(array.shape)} and weight {tuple(weight.shape)}: "
                "(out,) and (out, in, …) are needed"
            )
    scaled = weight * namespace(gain).reshape(gain, (-1, *[1] * (weight.ndim - 1)))
    return scaled, shift if bias is None else gain * bias + shift


def _by_channel(parameter: Array, ndim: int) -> Array:
    return namespace(parameter).reshape(parameter, (-1, *[1] * (ndim - 2)))


def _affine(x: Array, weight: Array | None, bias: Array | None) -> Array:
    x = x if weight is None else x * _by_channel(weight, x.ndim)
    return x if bias is None else x + _by_channel(bias, x.ndim)


def _by_stored(x: Array, running: Running, eps: float) -> Array:
    check_between("eps", eps, 0, math.inf, closed="left")
    # The mean goes first: x·a − μ·a would lose the digits where μ is large.
    centred = widen(x) - _by_channel(widen(running.mean), x.ndim)
    root = namespace(x).sqrt(widen(running.var) + eps)
    return centred / _by_channel(root, x.ndim)


def _grads(
    x: Array, grad: Array, unit: Array, g: Array, weight: Array | None, bias: Array | None
) -> BatchNormGrads:
    xp, others = namespace(x), channel_axes(x)
    return BatchNormGrads(
        xp.astype(grad, x.dtype),
        None if weight is None else xp.astype(xp.sum(g * unit, axis=others), weight.dtype),
        None if bias is None else xp.astype(xp.sum(g, axis=others), bias.dtype),
    )


def _cotangent(x: Array, cotangent: Array, **parameters: Array | None) -> Array:
    _check_channels(x, **parameters)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    return widen(cotangent)


def _check_channels(x: Array, **parameters: Array | None) -> None:
    check_float("x", x)
    channel_axes(x)
    for name, array in parameters.items():
        if array is None:
            continue
        check_float(name, array)
        if tuple(array.shape) != (x.shape[1],):
            raise ValueError(
                f"{name} has shape {tuple(array.shape)}: it must be ({x.shape[1]},), one a channel"
            )

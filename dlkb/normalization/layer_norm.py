r"""Layer normalization: take away the mean of the features, divide by their spread."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    widen,
)
from dlkb.normalization.rms_norm import (
    _check_last_axes,
    _sum_over_batch,
    rms_norm,
    unit_rms,
)


def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    dims: int = 1,
    eps: float = 1e-5,
) -> Array:
    r"""Normalize over the last axes, then scale and shift each feature.

    $$y_i = w_i\,\frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} + b_i,\qquad
    \mu = \frac1n \sum_j x_j,\quad \sigma^2 = \frac1n \sum_j (x_j - \mu)^2$$

    The mean goes first: E[x²] − μ² would lose all digits where μ is large against σ.

    Args:
        x: `(..., features)`, floating-point.
        weight: The gain w, in the shape of the last `dims` axes. 1 if left out.
        bias: The shift b, in the same shape. 0 if left out.
        dims: How many of the last axes are normalized together.
        eps: ε ≥ 0, in units of x². With ε = 0 equal features give NaN, or ±1 where their mean
            is rounded; with ε, too, up to ±1 where they are so large that the rounding exceeds
            √ε (in float32 from about 1e4 on, with the default).

    Returns:
        An array like `x`. In half precision all is computed in float32 and rounded once.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If `dims`, `eps` or a shape does not fit.

    Note:
        Differs from `torch.nn.functional.layer_norm` in float32 for entries beyond about
        1e19 / √features, whose squares sum to infinity: there it gives zeros or NaN, and this
        the quotient up to about 3e38 / features, where the sum of the entries overflows, too.
        Large equal features give 0 there on the CPU.

    Reference:
        Ba, Kiros and Hinton, Layer Normalization (2016).

    Example:
        >>> import numpy as np
        >>> layer_norm(np.asarray([[1.0, 3.0], [1000.0, 1020.0]])).round(3)
        array([[-1.,  1.],
               [-1.,  1.]])
    """
    _check_bias(x, bias, dims)
    xp = namespace(x, weight, bias)
    y = rms_norm(_centre(x, dims), weight, dims=dims, eps=eps)
    return xp.astype(y if bias is None else y + bias, x.dtype, copy=False)


class LayerNormGrads(NamedTuple):
    """Gradients of the arguments of `layer_norm`; `None` where there was no argument."""

    x: Array
    weight: Array | None
    bias: Array | None


def layer_norm_vjp(
    x: Array,
    cotangent: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    dims: int = 1,
    eps: float = 1e-5,
) -> LayerNormGrads:
    r"""Return the gradients of `layer_norm`, derived by hand.

    $$\frac{\partial L}{\partial x_i} = \frac{1}{\sqrt{\sigma^2 + \epsilon}}\Big(h_i -
    \bar h - \hat x_i\,\overline{h \hat x}\Big),\qquad h = w \odot g$$

    A bar is the mean over the features. The gradient of the weight is $g \odot \hat x$, that of
    the bias g, each summed over the batch.

    Args:
        x: As for `layer_norm`.
        cotangent: g, the gradient of the output, in the shape of `x`.
        weight: As for `layer_norm`.
        bias: As for `layer_norm`. Its values do not matter.
        dims: As for `layer_norm`.
        eps: As for `layer_norm`.

    Returns:
        Gradients in the dtypes of the arguments.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If `dims`, `eps` or a shape does not fit.

    Example:
        >>> import numpy as np
        >>> x = np.asarray([1.0, 3.0])
        >>> layer_norm_vjp(x, np.ones(2)).x  # a shift of the output needs the bias
        array([0., 0.])
    """
    _check_bias(x, bias, dims)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    xp = namespace(x, cotangent, weight, bias)
    _check_last_axes(x, dims, weight)
    axis = tuple(range(-dims, 0))
    unit, inverse = unit_rms(_centre(x, dims), axis=axis, eps=eps)
    g = xp.astype(cotangent, unit.dtype, copy=False)
    h = g * inverse  # first: gain times gradient may overflow, the result does not
    h = h if weight is None else h * weight
    if 0 not in x.shape:  # a mean of nothing is NaN, with a warning
        mean, mean_along = (xp.mean(z, axis=axis, keepdims=True) for z in (h, h * unit))
        h = h - mean - unit * mean_along
    return LayerNormGrads(
        xp.astype(h, x.dtype, copy=False),
        None if weight is None else _sum_over_batch(g * unit, weight),
        None if bias is None else _sum_over_batch(g, bias),
    )


def output_std(std: Array, *, eps: float = 1e-5) -> Array:
    r"""Return the standard deviation that features have behind layer norm, before the gain.

    $$\frac{\sigma}{\sqrt{\sigma^2 + \epsilon}}$$

    Args:
        std: σ ≥ 0 of the features in front, a number or a floating-point array.
        eps: ε > 0, in units of σ².

    Returns:
        A number or an array like `std`, in [0, 1]: near 1 for σ well above √ε, 0.71 at √ε.

    Raises:
        ValueError: If `eps` is not positive.

    Example:
        >>> [round(output_std(std), 2) for std in (1.0, 0.01, 0.001)]
        [1.0, 0.95, 0.3]
    """
    check_between("eps", eps, 0, math.inf, closed="neither")
    size = std + eps**0.5  # its square would overflow first
    share, rest = std / size, eps**0.5 / size
    return share / (share * share + rest * rest) ** 0.5


def largest_entry(n: int, *, centred: bool = True) -> float:
    r"""Return the largest entry that n normalized features can have, before the gain.

    $$\max_i |\hat x_i| \le \sqrt{n - 1}$$

    One feature that differs from all others attains it, for ε → 0.

    Args:
        n: Features, at least 1.
        centred: Whether the mean is taken away. If not (RMS norm), the bound is √n.

    Returns:
        The bound.

    Raises:
        ValueError: If `n` is below 1.

    Example:
        >>> [round(largest_entry(n), 1) for n in (1, 2, 768)]
        [0.0, 1.0, 27.7]
    """
    check_count("n", n, 1)
    return math.sqrt(n - 1 if centred else n)


def fold_affine(
    gain: Array, shift: Array, weight: Array, bias: Array | None = None
) -> tuple[Array, Array]:
    r"""Move gain and shift of a normalization into the linear layer behind it.

    $$\mathbf{W}(\mathbf{g} \odot \hat{\mathbf{x}} + \mathbf{s}) + \mathbf{b} =
    \mathbf{W}\operatorname{diag}(\mathbf{g})\,\hat{\mathbf{x}}
    + \mathbf{b} + \mathbf{W}\mathbf{s}$$

    Args:
        gain: g, of shape `(in,)`.
        shift: s, of shape `(in,)`.
        weight: W, of shape `(out, in)`.
        bias: b, of shape `(out,)`. 0 if left out.

    Returns:
        Weight and bias of a layer that does the same behind the bare normalization.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape does not fit.

    Example:
        >>> import numpy as np
        >>> weight = np.asarray([[1.0, 10.0]])
        >>> fold_affine(np.asarray([2.0, 3.0]), np.ones(2), weight)
        (array([[ 2., 30.]]), array([11.]))
    """
    check_float("weight", weight)
    for name, parameter in (("gain", gain), ("shift", shift)):
        check_float(name, parameter)
        if weight.ndim != 2 or tuple(parameter.shape) != (weight.shape[1],):
            raise ValueError(
                f"{name} has shape {tuple(parameter.shape)} and weight {tuple(weight.shape)}: "
                "(in,) and (out, in) are needed"
            )
    if bias is not None:
        check_float("bias", bias)
        if tuple(bias.shape) != (weight.shape[0],):
            raise ValueError(f"bias has shape {tuple(bias.shape)}: it must be ({weight.shape[0]},)")
    xp = namespace(gain, shift, weight, bias)
    moved = xp.matmul(weight, shift)
    return weight * gain, moved if bias is None else bias + moved


def _centre(x: Array, dims: int) -> Array:
    check_float("x", x)
    xp = namespace(x)
    wide = widen(x)
    if 0 in x.shape or not 1 <= dims <= x.ndim:  # rms_norm says what is wrong
        return wide
    return wide - xp.mean(wide, axis=tuple(range(-dims, 0)), keepdims=True)


def _check_bias(x: Array, bias: Array | None, dims: int) -> None:
    if bias is None or not 1 <= dims <= x.ndim:  # rms_norm says what is wrong
        return
    check_float("bias", bias)
    if tuple(bias.shape) != tuple(x.shape[-dims:]):
        raise ValueError(
            f"bias has shape {tuple(bias.shape)}: it must be {tuple(x.shape[-dims:])}, "
            "that of the axes normalized"
        )

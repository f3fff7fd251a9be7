"""Losses of numbers: what an error costs, and which statistic of the targets costs least."""

import math

from dlkb.arrays import (
    Array,
    check_between,
    check_broadcasts,
    check_float,
    check_same_shape,
    namespace,
    widen,
)
from dlkb.losses.cross_entropy import _check_reduction, _mean


def _residual(prediction: Array, target: Array, reduction: str) -> Array:
    """Check the arguments and return what the prediction is too high by, in float32 at least."""
    check_float("prediction", prediction)
    check_float("target", target)
    check_same_shape("target", target, "prediction", prediction)
    _check_reduction(reduction)
    return widen(prediction) - widen(target)


def _reduced(losses: Array, prediction: Array, target: Array, reduction: str) -> Array:
    same = prediction.dtype == target.dtype
    # Subtracted, because the compiler does not look up what two dtypes promote to.
    dtype = prediction.dtype if same else (prediction - target).dtype
    return _mean(losses, reduction, dtype)


def _pulled_back(slope: Array, cotangent: Array, prediction: Array, reduction: str) -> Array:
    """Multiply the slope of each loss by the gradient that arrives, and by the mean's 1/n."""
    check_float("cotangent", cotangent)
    shape = tuple(slope.shape) if reduction == "none" else ()
    if tuple(cotangent.shape) != shape:
        raise ValueError(f"cotangent has shape {tuple(cotangent.shape)}: it must be {shape}")
    grad = widen(cotangent) * slope
    if reduction == "mean":
        grad = grad / (math.prod(slope.shape) or math.nan)
    return namespace(slope).astype(grad, prediction.dtype, copy=False)


def squared_error(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the squared error, least for the mean of the targets.

    $$\ell = (\hat y - y)^2$$

    Args:
        prediction: ŷ, floating-point, any shape.
        target: y, in the same shape.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, in the dtype to which both arguments promote, computed in float32 at least. The
        mean of nothing is NaN.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or the reduction is none of these.

    Note:
        Differs from `torch.nn.functional.mse_loss`, which broadcasts other shapes with a warning,
        and from half of it, the ½ r² of `huber`.

    Example:
        >>> import numpy as np
        >>> squared_error(np.asarray([1.0, 4.0]), np.asarray([1.0, 1.0]))
        np.float64(4.5)
    """
    r = _residual(prediction, target, reduction)
    return _reduced(r * r, prediction, target, reduction)


def squared_error_vjp(
    prediction: Array, target: Array, cotangent: Array, *, reduction: str = "mean"
) -> Array:
    r"""Return the gradient of `squared_error` by the prediction; by the target it is minus that.

    $$\frac{\partial\ell}{\partial\hat y} = 2\,(\hat y - y)$$

    Args:
        prediction: As for `squared_error`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Example:
        >>> import numpy as np
        >>> y = np.asarray([1.0, 1.0])
        >>> squared_error_vjp(np.asarray([1.0, 4.0]), y, np.asarray(1.0))
        array([0., 3.])
    """
    r = _residual(prediction, target, reduction)
    return _pulled_back(2 * r, cotangent, prediction, reduction)


def absolute_error(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the absolute error, least for a median of the targets.

    $$\ell = \lvert\hat y - y\rvert$$

    Args:
        prediction: ŷ, floating-point, any shape.
        target: y, in the same shape.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, as for `squared_error`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or the reduction is none of these.

    Example:
        >>> import numpy as np
        >>> absolute_error(np.asarray([1.0, 4.0]), np.asarray([1.0, 1.0]))
        np.float64(1.5)
    """
    r = _residual(prediction, target, reduction)
    return _reduced(namespace(r).abs(r), prediction, target, reduction)


def absolute_error_vjp(
    prediction: Array, target: Array, cotangent: Array, *, reduction: str = "mean"
) -> Array:
    r"""Return the gradient of `absolute_error` by the prediction: its sign, 0 at no error.

    $$\frac{\partial\ell}{\partial\hat y} = \operatorname{sign}(\hat y - y)$$

    Args:
        prediction: As for `absolute_error`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Example:
        >>> import numpy as np
        >>> y = np.asarray([1.0, 1.0])
        >>> absolute_error_vjp(np.asarray([1.0, 4.0]), y, np.asarray(1.0))
        array([0. , 0.5])
    """
    r = _residual(prediction, target, reduction)
    return _pulled_back(namespace(r).sign(r), cotangent, prediction, reduction)


def huber(
    prediction: Array, target: Array, *, delta: float = 1.0, reduction: str = "mean"
) -> Array:
    r"""Return Huber's loss: half the square up to δ, a straight line of slope δ beyond.

    $$\ell = m\left(r - \frac m2\right),\qquad m = \max(-\delta, \min(r, \delta)),\quad
    r = \hat y - y$$

    That is ½ r² where |r| ≤ δ and δ (|r| − δ/2) beyond, without a square of a large error, and
    without |r|, whose kink would cost automatic differentiation the second derivative at 0.

    Args:
        prediction: ŷ, floating-point, any shape.
        target: y, in the same shape.
        delta: δ > 0, in the unit of the targets.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, as for `squared_error`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or an option is out of its range.

    Reference:
        Huber (1964).

    Example:
        >>> import numpy as np
        >>> r = np.asarray([0.5, 2.0, 3.0])
        >>> huber(r, np.zeros(3), delta=2.0, reduction="none")
        array([0.125, 2.   , 4.   ])
    """
    check_between("delta", delta, 0, math.inf, closed="right")
    r = _residual(prediction, target, reduction)
    clipped = namespace(r).clip(r, -delta, delta)
    return _reduced(clipped * (r - clipped / 2), prediction, target, reduction)


def huber_vjp(
    prediction: Array,
    target: Array,
    cotangent: Array,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
) -> Array:
    r"""Return the gradient of `huber` by the prediction: the error, clipped to ±δ.

    $$\frac{\partial\ell}{\partial\hat y} = \max(-\delta, \min(r, \delta)),\qquad r = \hat y - y$$

    Args:
        prediction: As for `huber`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        delta: As there.
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or options do not fit.

    Example:
        >>> import numpy as np
        >>> r, ones = np.asarray([0.5, -2.0, 3.0]), np.ones(3)
        >>> huber_vjp(r, np.zeros(3), ones, delta=2.0, reduction="none")
        array([ 0.5, -2. ,  2. ])
    """
    check_between("delta", delta, 0, math.inf, closed="right")
    r = _residual(prediction, target, reduction)
    slope = namespace(r).clip(r, -delta, delta)
    return _pulled_back(slope, cotangent, prediction, reduction)


def smooth_l1(
    prediction: Array, target: Array, *, beta: float = 1.0, reduction: str = "mean"
) -> Array:
    r"""Return the smooth L1 loss: Huber's with β for δ, divided by β.

    $$\ell = \frac m\beta\left(r - \frac m2\right),\quad
    m = \max(-\beta, \min(r, \beta)),\quad r = \hat y - y$$

    Large errors have slope 1, whatever β: it is the absolute error with a rounded tip.

    Args:
        prediction: ŷ, floating-point, any shape.
        target: y, in the same shape.
        beta: β > 0, in the unit of the targets.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, as for `squared_error`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or an option is out of its range.

    Note:
        Differs from PyTorch in β = 0, which is `absolute_error` there and refused here.

    Reference:
        Girshick (2015).

    Example:
        >>> import numpy as np
        >>> r = np.asarray([0.5, 2.0, 3.0])
        >>> smooth_l1(r, np.zeros(3), beta=2.0, reduction="none")
        array([0.0625, 1.    , 2.    ])
    """
    check_between("beta", beta, 0, math.inf, closed="right")
    r = _residual(prediction, target, reduction)
    clipped = namespace(r).clip(r, -beta, beta)
    return _reduced(clipped / beta * (r - clipped / 2), prediction, target, reduction)


def smooth_l1_vjp(
    prediction: Array,
    target: Array,
    cotangent: Array,
    *,
    beta: float = 1.0,
    reduction: str = "mean",
) -> Array:
    r"""Return the gradient of `smooth_l1` by the prediction: the error over β, clipped to ±1.

    $$\frac{\partial\ell}{\partial\hat y} = \frac{\max(-\beta, \min(r, \beta))}{\beta},\qquad
    r = \hat y - y$$

    Args:
        prediction: As for `smooth_l1`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        beta: As there.
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or options do not fit.

    Example:
        >>> import numpy as np
        >>> r, ones = np.asarray([0.5, -2.0, 3.0]), np.ones(3)
        >>> smooth_l1_vjp(r, np.zeros(3), ones, beta=2.0, reduction="none")
        array([ 0.25, -1.  ,  1.  ])
    """
    check_between("beta", beta, 0, math.inf, closed="right")
    r = _residual(prediction, target, reduction)
    slope = namespace(r).clip(r, -beta, beta) / beta
    return _pulled_back(slope, cotangent, prediction, reduction)


def log_cosh(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the logarithm of the hyperbolic cosine of the error: Huber's loss without a joint.

    $$\ell = \log\cosh(\hat y - y)$$

    About ½ r² well below 1 and |r| − log 2 well above. Neither form loses digits where it is used,
    and neither sees the other's overflow, so that derivatives hold no NaN.

    Args:
        prediction: ŷ, floating-point, any shape.
        target: y, in the same shape.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, as for `squared_error`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or the reduction is none of these.

    Example:
        >>> import numpy as np
        >>> r = np.asarray([1e-9, 1.0, 1000.0])
        >>> log_cosh(r, np.zeros(3), reduction="none").round(22)
        array([5.00000000e-19, 4.33780830e-01, 9.99306853e+02])
    """
    r = _residual(prediction, target, reduction)
    xp = namespace(r)
    size = xp.abs(r)
    half = xp.sinh(xp.clip(r, -2.0, 2.0) / 2)  # not of |r|, which has a kink at 0
    near = xp.log1p(2 * half * half)
    far = size + xp.log1p(xp.exp(-2 * size)) - math.log(2)
    return _reduced(xp.where(size < 1, near, far), prediction, target, reduction)


def log_cosh_vjp(
    prediction: Array, target: Array, cotangent: Array, *, reduction: str = "mean"
) -> Array:
    r"""Return the gradient of `log_cosh` by the prediction.

    $$\frac{\partial\ell}{\partial\hat y} = \tanh(\hat y - y)$$

    Args:
        prediction: As for `log_cosh`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Example:
        >>> import numpy as np
        >>> r = np.asarray([0.5, -30.0])
        >>> log_cosh_vjp(r, np.zeros(2), np.ones(2), reduction="none").round(3)
        array([ 0.462, -1.   ])
    """
    r = _residual(prediction, target, reduction)
    return _pulled_back(namespace(r).tanh(r), cotangent, prediction, reduction)


def _check_level(q: float | Array, prediction: Array) -> None:
    check_between("q", q, 0, 1, closed="neither")
    if hasattr(q, "shape"):
        check_broadcasts("q", q, "prediction", prediction)


def quantile_loss(
    prediction: Array, target: Array, *, q: float | Array = 0.5, reduction: str = "mean"
) -> Array:
    r"""Return the quantile loss ("pinball"), least for a q-quantile of the targets.

    $$\ell = \max\bigl(q\,(y - \hat y), (q - 1)\,(y - \hat y)\bigr)$$

    A prediction too low costs q a unit, one too high 1 − q. At q = ½ it is half the absolute error.

    Args:
        prediction: ŷ, floating-point, any shape.
        target: y, in the same shape.
        q: Level in (0, 1), or an array of levels that broadcasts, for instance one a column.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, as for `squared_error`.

    Raises:
        TypeError: If `prediction` or `target` is not floating-point.
        ValueError: If shapes or options do not fit; entries of an array `q` are not looked at.

    Reference:
        Koenker and Bassett (1978).

    Example:
        >>> import numpy as np
        >>> said, y = np.asarray([9.0, 11.0]), np.asarray([10.0, 10.0])
        >>> quantile_loss(said, y, q=0.9, reduction="none").round(3)
        array([0.9, 0.1])
    """
    _check_level(q, prediction)
    r = _residual(prediction, target, reduction)
    losses = namespace(r).where(r < 0, -q * r, (1 - q) * r)
    return _reduced(losses, prediction, target, reduction)


def quantile_loss_vjp(
    prediction: Array,
    target: Array,
    cotangent: Array,
    *,
    q: float | Array = 0.5,
    reduction: str = "mean",
) -> Array:
    r"""Return the gradient of `quantile_loss` by the prediction.

    $$\frac{\partial\ell}{\partial\hat y} = -q \text{ where } \hat y < y,\quad
    1 - q \text{ elsewhere}$$

    Args:
        prediction: As for `quantile_loss`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        q: As there.
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If `prediction`, `target` or `cotangent` is not floating-point.
        ValueError: If shapes or options do not fit; entries of an array `q` are not looked at.

    Example:
        >>> import numpy as np
        >>> r, ones = np.asarray([-1.0, 1.0]), np.ones(2)
        >>> each = {"q": 0.9, "reduction": "none"}
        >>> quantile_loss_vjp(r, np.zeros(2), ones, **each).round(3)
        array([-0.9,  0.1])
    """
    _check_level(q, prediction)
    r = _residual(prediction, target, reduction)
    xp = namespace(r)
    slope = xp.where(r < 0, -q * xp.ones_like(r), (1 - q) * xp.ones_like(r))
    return _pulled_back(slope, cotangent, prediction, reduction)


def squared_log_error(prediction: Array, target: Array, *, reduction: str = "mean") -> Array:
    r"""Return the squared error of log(1 + y), for targets that may be zero.

    $$\ell = \bigl(\log(1 + \hat y) - \log(1 + y)\bigr)^2$$

    Far above 1 it compares ratios, far below 1 differences. For ratios of positive targets call
    `squared_error` with their logarithms.

    Args:
        prediction: ŷ > −1, floating-point, any shape. NaN below −1.
        target: y > −1, in the same shape.
        reduction: "mean" over all entries, "sum", or "none" for a loss each.

    Returns:
        The loss, as for `squared_error`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or the reduction is none of these.

    Note:
        Differs from Keras, which raises negative numbers to 1e-7, and from scikit-learn, which
        refuses numbers of −1 and below.

    Example:
        >>> import numpy as np
        >>> y = np.asarray([1e6, 1e-3])
        >>> squared_log_error(2 * y, y, reduction="none").round(6)
        array([4.80452e-01, 1.00000e-06])
    """
    _residual(prediction, target, reduction)
    xp = namespace(prediction, target)
    r = xp.log1p(widen(prediction)) - xp.log1p(widen(target))
    return _reduced(r * r, prediction, target, reduction)


def squared_log_error_vjp(
    prediction: Array, target: Array, cotangent: Array, *, reduction: str = "mean"
) -> Array:
    r"""Return the gradient of `squared_log_error` by the prediction.

    $$\frac{\partial\ell}{\partial\hat y} = \frac{2}{1 + \hat y}\,\log\frac{1 + \hat y}{1 + y}$$

    Args:
        prediction: As for `squared_log_error`.
        target: As there.
        cotangent: Gradient by the loss, a scalar array, or like `prediction` for "none".
        reduction: As there.

    Returns:
        An array like `prediction`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Example:
        >>> import numpy as np
        >>> one = np.asarray(1.0)
        >>> squared_log_error_vjp(one, np.asarray(3.0), one).round(4)
        np.float64(-0.6931)
    """
    _residual(prediction, target, reduction)
    xp = namespace(prediction, target)
    wide = widen(prediction)
    r = xp.log1p(wide) - xp.log1p(widen(target))
    return _pulled_back(2 * r / (1 + wide), cotangent, prediction, reduction)


def huber_efficiency(*, delta: float) -> float:
    r"""Return how efficient Huber's estimate of a center is on Gaussian data, against the mean.

    $$e = \frac{p^2}{p - 2\,\delta\,\varphi(\delta) + \delta^2\,(1 - p)},\qquad
    p = \operatorname{erf}\frac{\delta}{\sqrt 2},\quad
    \varphi(\delta) = \frac{e^{-\delta^2/2}}{\sqrt{2\pi}}$$

    The variance of the mean over that of the estimate, for many data. It grows from 2/π, the
    median's, to 1, the mean's.

    Args:
        delta: δ > 0, in standard deviations of the data.

    Returns:
        The efficiency, in (2/π, 1].

    Raises:
        ValueError: If `delta` is not positive.

    Reference:
        Huber (1964).

    Example:
        >>> round(huber_efficiency(delta=1.345), 4)
        0.95
    """
    check_between("delta", delta, 0, math.inf, closed="right")
    delta = min(max(delta, 1e-7), 40.0)  # beyond, the digits cancel, and the limit is reached
    p = math.erf(delta / math.sqrt(2))
    density = math.exp(-delta * delta / 2) / math.sqrt(2 * math.pi)
    square = p - 2 * delta * density + delta * delta * math.erfc(delta / math.sqrt(2))
    return min(p * p / square, 1.0)  # near 1 it may round up


def log_scale_bias(*, sigma: float) -> float:
    r"""Return the mean of log-normal targets over the value where MSE on logarithms is least.

    $$b = e^{\sigma^2/2}$$

    Args:
        sigma: Standard deviation of log y, not negative.

    Returns:
        The factor b ≥ 1 by which a prediction of E[log y], exponentiated, is below the mean:
        infinite where float64 ends, from σ = 37.7 on.

    Raises:
        ValueError: If `sigma` is negative.

    Reference:
        Duan (1983), who gives the factor without the assumption of a law.

    Example:
        >>> round(log_scale_bias(sigma=1.0), 3)
        1.649
    """
    check_between("sigma", sigma, 0, math.inf, closed="left")
    exponent = sigma * sigma / 2
    return math.exp(exponent) if exponent < 709.78 else math.inf  # Python's raises

"""Cross entropy: minus the log of the probability that a classifier gave to what happened."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_array,
    check_between,
    check_broadcasts,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    wide_dtype,
    widen,
)

REDUCTIONS = ("none", "mean", "sum")


def _check_logits(logits: Array) -> None:
    check_float("logits", logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"logits has shape {tuple(logits.shape)}: its last axis must hold the classes"
        )


def _check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f'reduction is {reduction!r}: it must be "none", "mean" or "sum"')


def _over_total(x: Array, share: Array, nothing: float) -> Array:
    # The mean of nothing is NaN, without a warning of NumPy, and its gradient is zero.
    xp = namespace(x, share)
    total = xp.sum(share)
    ratio = x / xp.where(total == 0, xp.ones_like(total), total)
    return xp.where(total == 0, xp.full_like(ratio, nothing), ratio)


def _product(target: Array, factor: Array) -> Array:
    # Where the target is 0, a factor that is infinite or NaN does not count; it keeps the others,
    # by which targets are derived.
    xp = namespace(target, factor)
    out = (target == 0) & ~xp.isfinite(factor)
    return target * xp.where(out, xp.zeros_like(factor), factor)


def log_softmax(logits: Array) -> Array:
    r"""Return the logarithms of the probabilities that logits stand for.

    $$\log p_k = z_k - m - \log\sum_{j=1}^{K} e^{z_j - m},\qquad m = \max_j z_j$$

    The largest logit is subtracted first, so that no exponential overflows and one of them is 1.

    Args:
        logits: Shape (..., K), floating-point, the classes on the last axis, K ≥ 1.

    Returns:
        An array like `logits`, entries ≤ 0. NaN in a row that is −∞ throughout or holds +∞.

    Raises:
        TypeError: If `logits` is not floating-point.
        ValueError: If it has no classes.

    Example:
        >>> import numpy as np
        >>> log_softmax(np.asarray([1e4, 0.0]))
        array([     0., -10000.])
    """
    _check_logits(logits)
    xp = namespace(logits)
    z = widen(logits)
    z = z - xp.max(z, axis=-1, keepdims=True)
    log_p = z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))
    return xp.astype(log_p, logits.dtype, copy=False)


def softmax(logits: Array) -> Array:
    r"""Return the probabilities that logits stand for.

    $$p_k = \frac{e^{z_k}}{\sum_{j=1}^{K} e^{z_j}}$$

    Args:
        logits: Shape (..., K), floating-point, the classes on the last axis, K ≥ 1.

    Returns:
        An array like `logits`, entries in [0, 1], whose sum over the last axis is 1. NaN in a row
        that is −∞ throughout or holds +∞.

    Raises:
        TypeError: If `logits` is not floating-point.
        ValueError: If it has no classes.

    Example:
        >>> import numpy as np
        >>> softmax(np.asarray([2.0, 1.0, 0.0])).round(3)
        array([0.665, 0.245, 0.09 ])
    """
    _check_logits(logits)
    xp = namespace(logits)
    z = widen(logits)
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return xp.astype(e / xp.sum(e, axis=-1, keepdims=True), logits.dtype, copy=False)


class _Numbered(NamedTuple):
    """Class numbers (...), as they are used."""

    index: Array
    """0 in place of what is no class."""
    is_class: Array
    is_kept: Array
    """False where the label is `ignore_index`."""
    share: Array
    """The weight of each example: 0 if it is ignored, NaN if its label is no class."""


def _numbered(logits: Array, labels: Array, weight: Array | None, ignore_index: int) -> _Numbered:
    xp = namespace(logits, labels)
    dtype, classes = wide_dtype(logits), logits.shape[-1]
    if tuple(labels.shape) != tuple(logits.shape[:-1]):
        raise ValueError(
            f"labels has shape {tuple(labels.shape)} but logits has shape "
            f"{tuple(logits.shape)}: class numbers have one axis less, without the last"
        )
    given, labels = labels, xp.astype(labels, xp.int32)
    whole = xp.astype(labels, given.dtype) == given  # 2³² is no class, nor is it class 0
    if xp.isdtype(given.dtype, "unsigned integer"):
        whole = whole & (labels >= 0)  # 2³² − 100 is not −100
    known = whole & (labels >= 0) & (labels < classes)
    kept = (labels != ignore_index) | ~whole
    of_indices = xp.arange(1, device=device(logits)).dtype
    index = xp.astype(xp.where(known, labels, xp.zeros_like(labels)), of_indices)
    one = xp.ones_like(index, dtype=dtype)
    share = one if weight is None else xp.astype(weight, dtype, copy=False)[index]
    share = xp.where(known, share, xp.full_like(one, math.nan))
    return _Numbered(index, known, kept, xp.where(kept, share, xp.zeros_like(one)))


def _check_options(
    logits: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> None:
    _check_reduction(reduction)
    _check_logits(logits)
    check_between("label_smoothing", label_smoothing, 0, 1)
    check_between("ignore_index", ignore_index, -(2**31), 2**31 - 1)
    check_array("labels", labels)
    classes = logits.shape[-1]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ValueError(f"weight has shape {tuple(weight.shape)}: it must be ({classes},)")


def _targets(
    logits: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
) -> tuple[Array, Array]:
    """Return what each log p is multiplied by, (..., K), and the weight of each example, (...)."""
    xp = namespace(logits, labels)
    dtype, classes = wide_dtype(logits), logits.shape[-1]
    if xp.isdtype(labels.dtype, "integral"):
        index, is_class, is_kept, share = _numbered(logits, labels, weight, ignore_index)
        numbers = xp.arange(classes, dtype=index.dtype, device=device(logits))
        target = xp.astype(index[..., None] == numbers, dtype)
        target = xp.where(is_class[..., None], target, xp.full_like(target[..., :1], math.nan))
        kept = is_kept[..., None]
    else:
        check_float("labels", labels)
        check_same_shape("labels", labels, "logits", logits)
        target = xp.astype(labels, dtype, copy=False)
        kept = xp.ones_like(target, dtype=xp.bool)
        share = xp.ones_like(target[..., 0])
    target = (1 - label_smoothing) * target + label_smoothing / classes
    if weight is not None:
        target = _product(target, weight)
    return xp.where(kept, target, xp.zeros_like(target)), share


def cross_entropy(
    logits: Array,
    labels: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    r"""Return the cross entropy of labels under the probabilities that logits stand for.

    $$\ell = -\sum_{k=1}^{K} w_k\,\bigl((1-\varepsilon)\,y_k + \varepsilon/K\bigr)\log p_k,\qquad
    L = \frac{\sum_i \ell_i}{\sum_i w_{y_i}}$$

    Args:
        logits: Shape (..., K), floating-point, the classes on the last axis. −∞ rules a class out.
        labels: Numbers of classes, integers of shape (...), or probabilities of shape (..., K).
        weight: A factor for each class, shape (K,), or `None` for 1.
        ignore_index: Label that stands for "none", of 32 bits: its loss is 0, and the mean leaves
            it out.
        reduction: "mean" as above, "sum", or "none" for a loss each, shape (...).
        label_smoothing: ε in [0, 1]. A share ε of each label is spread evenly over the classes.

    Returns:
        The loss in nats, in the dtype of `logits`, computed in float32 at least. A label that
        names no class gives NaN; so does the mean of nothing.

    Raises:
        TypeError: If `logits` is not floating-point, or `labels` are neither that nor integers.
        ValueError: If shapes do not fit, or an option is out of its range.

    Note:
        Like `torch.nn.functional.cross_entropy`, with the classes last in place of second. Where
        labels are probabilities, the mean divides by the number of examples, as there. Differs
        in 0 · log 0, which is 0 here and NaN there, and in a label out of bounds, which raises
        there. Without `torch.compile` the labels become an array of the shape of the logits, in
        float32 at least.

    Example:
        >>> import numpy as np
        >>> cross_entropy(np.asarray([[2.0, 1.0, 0.0]]), np.asarray([0])).round(4)
        np.float64(0.4076)
    """
    _check_options(logits, labels, weight, ignore_index, reduction, label_smoothing)
    xp = namespace(logits, labels)
    log_p = log_softmax(widen(logits))
    if xp.isdtype(labels.dtype, "integral") and label_smoothing == 0:  # the label's alone
        index, _, _, share = _numbered(logits, labels, weight, ignore_index)
        losses = -_product(share, xp.take_along_axis(log_p, index[..., None], axis=-1)[..., 0])
    else:
        target, share = _targets(logits, labels, weight, ignore_index, label_smoothing)
        losses = -xp.sum(_product(target, log_p), axis=-1)
    if reduction == "sum":
        losses = xp.sum(losses)
    elif reduction == "mean":
        losses = _over_total(xp.sum(losses), share, math.nan)
    return xp.astype(losses, logits.dtype, copy=False)


def cross_entropy_vjp(
    logits: Array,
    labels: Array,
    cotangent: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    r"""Return the gradient of `cross_entropy` by the logits.

    $$\frac{\partial\ell}{\partial z_k} = p_k\sum_{j} q_j - q_k,\qquad
    q_k = w_k\,\bigl((1-\varepsilon)\,y_k + \varepsilon/K\bigr)$$

    Without weights that is $p_k - q_k$: what was predicted minus what happened.

    Args:
        logits: As for `cross_entropy`.
        labels: As for `cross_entropy`.
        cotangent: Gradient by the loss, a scalar array, or shape (...) for the reduction "none".
        weight: As for `cross_entropy`.
        ignore_index: As for `cross_entropy`.
        reduction: As for `cross_entropy`.
        label_smoothing: As for `cross_entropy`.

    Returns:
        An array like `logits`: 0 where a label is ignored, also where all are, and the mean is NaN.
        In a row whose softmax is NaN it is NaN.

    Raises:
        TypeError: If `logits` or `cotangent` is not floating-point, or `labels` are neither that
            nor integers.
        ValueError: If shapes do not fit, or an option is out of its range.

    Example:
        >>> import numpy as np
        >>> z, label = np.asarray([[2.0, 1.0, 0.0]]), np.asarray([0])
        >>> cross_entropy_vjp(z, label, np.asarray(1.0)).round(3)
        array([[-0.335,  0.245,  0.09 ]])
    """
    _check_options(logits, labels, weight, ignore_index, reduction, label_smoothing)
    target, share = _targets(logits, labels, weight, ignore_index, label_smoothing)
    check_float("cotangent", cotangent)
    xp = namespace(logits, cotangent)
    shape = tuple(share.shape) if reduction == "none" else ()
    if tuple(cotangent.shape) != shape:
        raise ValueError(f"cotangent has shape {tuple(cotangent.shape)}: it must be {shape}")
    each = widen(cotangent)
    if reduction == "mean":
        each = _over_total(each, share, 0.0)
    p = softmax(widen(logits))
    # Of a class number Σ q is 1, unless there are weights.
    numbered = weight is None and xp.isdtype(labels.dtype, "integral")
    total = share if numbered else xp.sum(target, axis=-1)
    grad = each[..., None] * (total[..., None] * p - target)
    return xp.astype(grad, logits.dtype, copy=False)


def _mean(losses: Array, reduction: str, dtype: Array) -> Array:
    xp = namespace(losses)
    if reduction == "sum":
        losses = xp.sum(losses)
    elif reduction == "mean":
        losses = xp.sum(losses) / (math.prod(losses.shape) or math.nan)
    return xp.astype(losses, dtype, copy=False)


def binary_cross_entropy(
    p: Array, targets: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    r"""Return the cross entropy of yes or no under given probabilities.

    $$\ell = -\bigl[y \log p + (1-y)\log(1-p)\bigr]$$

    Each logarithm is at least −100, as in PyTorch. Prefer logits: 1 − p loses what p near 1 knew.

    Args:
        p: Probabilities of yes in [0, 1], floating-point, any shape.
        targets: y in [0, 1], in the same shape.
        weight: A factor for each entry, in a shape that broadcasts to theirs, or `None` for 1.
        reduction: "mean" over the entries, "sum", or "none".

    Returns:
        The loss in nats, in the dtype of `p`.

    Raises:
        TypeError: If `p` or `targets` is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Note:
        Differs from `torch.nn.BCELoss` within 1e-12 of p = 0 and p = 1, where PyTorch takes
        (p − y) / 1e-12 for the derivative, and this that of the equation, in which a logarithm
        at its floor has the slope 0; and in a `p` outside [0, 1], which raises there and gives
        NaN here.

    Example:
        >>> import numpy as np
        >>> p, y = np.asarray([0.9, 0.2, 0.6]), np.asarray([1.0, 0.0, 1.0])
        >>> binary_cross_entropy(p, y, reduction="sum").round(4)
        np.float64(0.8393)
    """
    check_float("p", p)
    check_float("targets", targets)
    check_same_shape("targets", targets, "p", p)
    _check_reduction(reduction)
    xp = namespace(p, targets)

    def log(x: Array) -> Array:
        positive = xp.where(x == 0, xp.ones_like(x), x)
        return xp.where(x == 0, xp.full_like(x, -100.0), xp.clip(xp.log(positive), -100.0, None))

    if weight is not None:
        check_broadcasts("weight", weight, "p", p)
    wide, y = widen(p), widen(targets)
    losses = -(y * log(wide) + (1 - y) * log(1 - wide))
    return _mean(losses if weight is None else losses * weight, reduction, p.dtype)


def binary_cross_entropy_with_logits(
    logits: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | float | None = None,
) -> Array:
    r"""Return the cross entropy of yes or no, from logits.

    $$\ell = (1-y)\,z + \bigl(1 + (w_+ - 1)\,y\bigr)\log\bigl(1 + e^{-z}\bigr)$$

    That is −w₊ y log σ(z) − (1 − y) log(1 − σ(z)), with neither logarithm of a rounded number.

    Args:
        logits: z, floating-point, any shape: the probability of yes is σ(z) = 1 / (1 + e⁻ᶻ).
        targets: y in [0, 1], in the same shape.
        weight: A factor for each entry, in a shape that broadcasts to theirs, or `None` for 1.
        reduction: "mean" over the entries, "sum", or "none".
        pos_weight: Factor w₊ of the part that belongs to yes: a number, or an array that
            broadcasts like `weight`, for instance one entry a column.

    Returns:
        The loss in nats, in the dtype of `logits`, computed in float32 at least.

    Raises:
        TypeError: If `logits` or `targets` is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Note:
        The convention of `torch.nn.BCEWithLogitsLoss`: the mean divides by the number of entries,
        not by the sum of weights, in contrast to `cross_entropy`.

    Example:
        >>> import numpy as np
        >>> z, y = np.asarray([-200.0, 0.0]), np.asarray([1.0, 0.0])
        >>> binary_cross_entropy_with_logits(z, y, reduction="none").round(4)
        array([200.    ,   0.6931])
    """
    z, _, positive, negative = _binary(logits, targets, weight, pos_weight, reduction)
    above, below, small = _by_sign(z)
    # Not (1 − y) z − w₊ y log σ(z) − …: where z is far below 0, that is z − z for a no.
    losses = negative * above - positive * below + (positive + negative) * small
    return _mean(losses if weight is None else losses * weight, reduction, logits.dtype)


def binary_cross_entropy_with_logits_vjp(
    logits: Array,
    targets: Array,
    cotangent: Array,
    *,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | float | None = None,
) -> Array:
    r"""Return the gradient of `binary_cross_entropy_with_logits` by the logits.

    $$\frac{\partial\ell}{\partial z} = (1-y)\,\sigma(z) - w_+\,y\,\bigl(1-\sigma(z)\bigr)$$

    With w₊ = 1 that is σ(z) − y.

    Args:
        logits: As for `binary_cross_entropy_with_logits`.
        targets: As there.
        cotangent: Gradient by the loss, a scalar array, or like `logits` for "none".
        weight: As there.
        reduction: As there.
        pos_weight: As there.

    Returns:
        An array like `logits`.

    Raises:
        TypeError: If `logits`, `targets` or `cotangent` is not floating-point.
        ValueError: If shapes or the reduction do not fit.

    Example:
        >>> import numpy as np
        >>> z, y = np.asarray([0.0, 0.0]), np.asarray([1.0, 0.0])
        >>> binary_cross_entropy_with_logits_vjp(z, y, np.asarray(2.0))
        array([-0.5,  0.5])
    """
    z, _, positive, negative = _binary(logits, targets, weight, pos_weight, reduction)
    check_float("cotangent", cotangent)
    xp = namespace(z, cotangent)
    shape = tuple(z.shape) if reduction == "none" else ()
    if tuple(cotangent.shape) != shape:
        raise ValueError(f"cotangent has shape {tuple(cotangent.shape)}: it must be {shape}")
    yes, no = (xp.exp(-_minus_log_sigmoid(s * z)) for s in (1, -1))
    grad = widen(cotangent) * (negative * yes - positive * no)
    if weight is not None:
        grad = grad * weight
    if reduction == "mean":
        grad = grad / (math.prod(z.shape) or math.nan)
    return xp.astype(grad, logits.dtype, copy=False)


def _by_sign(z: Array) -> tuple[Array, Array, Array]:
    """Return max(z, 0), min(z, 0) and log(1 + e^−|z|), from which sums are smooth at 0."""
    # Neither branch sees the other's overflow, so that the derivatives hold no NaN, which those of
    # logaddexp do from the second on.
    xp = namespace(z)
    positive = z >= 0
    zero = xp.zeros_like(z)
    above, below = xp.where(positive, z, zero), xp.where(positive, zero, z)
    right, left = xp.log1p(xp.exp(-above)), xp.log1p(xp.exp(below))
    return above, below, xp.where(positive, right, left)


def _minus_log_sigmoid(z: Array) -> Array:
    # log(1 + e⁻ᶻ), smooth at 0.
    _, below, small = _by_sign(z)
    return small - below


def _binary(
    logits: Array,
    targets: Array,
    weight: Array | None,
    pos_weight: Array | float | None,
    reduction: str,
) -> tuple[Array, Array, Array, Array]:
    """Return z, y, w₊ y and 1 − y."""
    check_float("logits", logits)
    check_float("targets", targets)
    check_same_shape("targets", targets, "logits", logits)
    _check_reduction(reduction)
    for name, x in (("weight", weight), ("pos_weight", pos_weight)):
        if hasattr(x, "shape"):
            check_broadcasts(name, x, "logits", logits)
    z, y = widen(logits), widen(targets)
    return z, y, y if pos_weight is None else y * pos_weight, 1 - y


def smoothing_gap(*, classes: int, label_smoothing: float) -> float:
    r"""Return how far above the others the label's logit is where the smoothed loss is least.

    $$g = \log\left(1 + \frac{(1-\varepsilon)\,K}{\varepsilon}\right)$$

    Args:
        classes: K ≥ 2.
        label_smoothing: ε in (0, 1].

    Returns:
        The gap, 9.1 at K = 1000 and ε = 0.1. Without smoothing there is none: the gap grows.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> round(smoothing_gap(classes=1000, label_smoothing=0.1), 2)
        9.11
    """
    check_count("classes", classes, 2)
    check_between("label_smoothing", label_smoothing, 0, 1, closed="right")
    return math.log(1 + (1 - label_smoothing) * classes / label_smoothing)


def smoothing_floor(*, classes: int, label_smoothing: float) -> float:
    r"""Return the least cross entropy that smoothed labels allow: their own entropy.

    $$H = -q\log q - (K-1)\,\frac{\varepsilon}{K}\log\frac{\varepsilon}{K},\qquad
    q = 1-\varepsilon+\frac{\varepsilon}{K}$$

    Args:
        classes: K ≥ 2.
        label_smoothing: ε in [0, 1].

    Returns:
        The floor in nats, 0 for ε = 0 and log K for ε = 1.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> round(smoothing_floor(classes=1000, label_smoothing=0.1), 2)
        1.01
    """
    check_count("classes", classes, 2)
    check_between("label_smoothing", label_smoothing, 0, 1)
    other = label_smoothing / classes
    own = 1 - label_smoothing + other
    return 0.0 if other == 0 else -own * math.log(own) - (classes - 1) * other * math.log(other)


def weighted_probability(p: Array, *, pos_weight: float) -> Array:
    r"""Return the probability that training with a positive weight leads to.

    $$\tilde p = \frac{w_+\,p}{w_+\,p + 1 - p}$$

    The logit is larger by log w₊. With 1/w₊ the formula leads back.

    Args:
        p: True probability of yes, floating-point, entries in [0, 1].
        pos_weight: w₊ > 0.

    Returns:
        An array like `p`: where the expected weighted loss is least.

    Raises:
        TypeError: If `p` is not floating-point.
        ValueError: If `pos_weight` is not positive.

    Example:
        >>> import numpy as np
        >>> weighted_probability(np.asarray([0.01, 0.5]), pos_weight=99.0).round(6)
        array([0.5 , 0.99])
    """
    check_float("p", p)
    check_between("pos_weight", pos_weight, 0, math.inf, closed="neither")
    xp = namespace(p)
    wide = widen(p)
    return xp.astype(pos_weight * wide / (pos_weight * wide + (1 - wide)), p.dtype, copy=False)


class Reliability(NamedTuple):
    """What is right among the predictions of about one confidence, bin by bin.

    Attributes:
        share: Of all predictions, shape (bins,).
        confidence: Mean in the bin, 0 where it is empty.
        accuracy: Share that is right in the bin, 0 where it is empty.
    """

    share: Array
    confidence: Array
    accuracy: Array


def reliability(confidence: Array, correct: Array, *, bins: int = 15) -> Reliability:
    r"""Compare how sure predictions are with how often they are right.

    $$B_m = \left\{i : \frac{m-1}{M} < c_i \le \frac{m}{M}\right\}$$

    Args:
        confidence: Probability of the predicted class, floating-point, shape (n,), in [0, 1].
        correct: Whether the prediction is right, as numbers 0 or 1, floating-point, shape (n,).
        bins: M ≥ 1 intervals of one width. The first holds 0, too.

    Returns:
        Three arrays of shape (bins,), in the dtype of `confidence`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or the number of bins do not fit.

    Reference:
        Guo et al. (2017).

    Example:
        >>> import numpy as np
        >>> confidence, correct = np.asarray([0.9, 0.7]), np.asarray([1.0, 0.0])
        >>> reliability(confidence, correct, bins=2).accuracy
        array([0. , 0.5])
    """
    check_float("confidence", confidence)
    check_float("correct", correct)
    check_same_shape("correct", correct, "confidence", confidence)
    check_count("bins", bins, 1)
    if confidence.ndim != 1:
        raise ValueError(f"confidence has shape {tuple(confidence.shape)}: it must have one axis")
    xp = namespace(confidence, correct)
    c, right = widen(confidence), widen(correct)
    edges = xp.arange(1, bins, dtype=c.dtype, device=device(c)) / bins
    number = xp.sum(xp.astype(c[:, None] > edges, xp.int32), axis=-1, dtype=xp.int32)
    here = number[:, None] == xp.arange(bins, dtype=xp.int32, device=device(c))
    here = xp.astype(here, c.dtype)
    count = xp.sum(here, axis=0)
    some = xp.clip(count, 1.0, None)
    found = (
        count / (c.shape[0] or math.nan),
        xp.sum(here * c[:, None], axis=0) / some,
        xp.sum(here * right[:, None], axis=0) / some,
    )
    return Reliability(*(xp.astype(x, confidence.dtype, copy=False) for x in found))


def calibration_error(confidence: Array, correct: Array, *, bins: int = 15) -> Array:
    r"""Return the expected calibration error: the mean gap between confidence and accuracy.

    $$\mathrm{ECE} = \sum_{m=1}^{M} \frac{|B_m|}{n}\,\bigl|\mathrm{acc}_m - \mathrm{conf}_m\bigr|$$

    Args:
        confidence: As for `reliability`.
        correct: As for `reliability`.
        bins: As for `reliability`. It depends on their number.

    Returns:
        A scalar array in [0, 1], in the dtype of `confidence`; NaN for no predictions.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or the number of bins do not fit.

    Reference:
        Guo et al. (2017).

    Example:
        >>> import numpy as np
        >>> confidence, correct = np.full(10, 0.9), np.asarray(5 * [0.0, 1.0])
        >>> calibration_error(confidence, correct).round(3)
        np.float64(0.4)
    """
    check_float("confidence", confidence)
    check_float("correct", correct)
    data = reliability(widen(confidence), widen(correct), bins=bins)
    xp = namespace(confidence)
    error = xp.sum(data.share * xp.abs(data.accuracy - data.confidence))
    return xp.astype(error, confidence.dtype, copy=False)

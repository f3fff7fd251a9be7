r"""What the size of a batch changes: the noise of its gradient, and what follows from it.

The gradient of one example has a mean, the true gradient, and a covariance. The **signal** Q is
the squared length of the true gradient, the **noise** V the trace of the covariance.
"""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, widen


class Noise(NamedTuple):
    """Estimates for the gradient of one example, not biased apart from the quotient.

    Attributes:
        signal: Q, may come out negative where noise drowns it.
        noise: V.
        scale: V / Q, the gradient noise scale, in examples.
    """

    signal: Array
    noise: Array
    scale: Array


class Contamination(NamedTuple):
    """What extreme examples do to the mean of a batch.

    Attributes:
        bias: By how much the mean is moved on average.
        std: Standard deviation of the mean around that.
    """

    bias: Array
    std: Array


def noise_from_examples(grads: Array) -> Noise:
    r"""Estimate signal and noise from the gradient of each of n examples.

    $$V = \frac{1}{n-1}\sum_i \lVert \mathbf{g}_i - \bar{\mathbf{g}}\rVert^2, \qquad
      Q = \lVert\bar{\mathbf{g}}\rVert^2 - \frac{V}{n}$$

    Args:
        grads: Gradients of the loss of single examples, shape (…, examples, parameters).

    Returns:
        The estimates, shape (…).

    Raises:
        TypeError: If `grads` is not floating-point.
        ValueError: If there are fewer than two examples.

    Note:
        The squared length of the mean alone would count V / n as signal.

    Reference:
        McCandlish et al., An Empirical Model of Large-Batch Training, 2018.

    Example:
        >>> import numpy as np
        >>> grads = np.asarray([[1.0, 1.0], [1.0, -1.0], [4.0, 0.0]])
        >>> noise_from_examples(grads).noise
        np.float64(4.0)
    """
    check_float("grads", grads)
    if grads.ndim < 2 or grads.shape[-2] < 2:
        raise ValueError(
            f"grads has shape {tuple(grads.shape)}: (…, examples, parameters) with two examples "
            "or more is needed"
        )
    xp, n = namespace(grads), grads.shape[-2]
    wide = widen(grads)  # sums over many parameters
    mean = xp.mean(wide, axis=-2, keepdims=True)
    # In units of the largest entry: the quotient is then right where squares overflow.
    unit = xp.max(xp.abs(wide), axis=(-2, -1), keepdims=True) if grads.shape[-1] else 1.0 + mean
    unit = xp.where(unit > 0, unit, 1.0)
    noise = xp.sum(((wide - mean) / unit) ** 2, axis=(-2, -1)) / (n - 1)
    signal = xp.sum((mean / unit) ** 2, axis=(-2, -1)) - noise / n
    size = unit[..., 0, 0] if grads.shape[-1] else xp.ones_like(noise)
    found = signal * size * size, noise * size * size, noise / signal
    return Noise(*(xp.astype(part, grads.dtype, copy=False) for part in found))


def noise_from_two_batches(small_sq: Array, big_sq: Array, *, small: float, big: float) -> Noise:
    r"""Estimate signal and noise from squared gradient norms at two batch sizes.

    $$V = \frac{E_b - E_B}{1/b - 1/B}, \qquad Q = \frac{B E_B - b E_b}{B - b}$$

    Args:
        small_sq: Squared norm $E_b$ of the gradient of b examples, a mean over many batches;
            any shape.
        big_sq: Squared norm $E_B$ of the gradient of B examples, likewise.
        small: b ≥ 1.
        big: B > b.

    Returns:
        The estimates, like `small_sq`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or not 1 ≤ b < B.

    Note:
        With data parallelism b is the batch of one process, B that of all. Average both norms
        over many steps *before* the division: a quotient of single ones is heavy-tailed.

    Reference:
        McCandlish et al., An Empirical Model of Large-Batch Training, 2018.

    Example:
        >>> import numpy as np
        >>> norms = np.asarray(11.0), np.asarray(2.0)
        >>> found = noise_from_two_batches(*norms, small=1, big=10)
        >>> found.scale.round(6)
        np.float64(10.0)
    """
    check_float("small_sq", small_sq)
    check_float("big_sq", big_sq)
    check_same_shape("big_sq", big_sq, "small_sq", small_sq)
    check_between("small", small, 1, math.inf)
    check_between("big", big, small, math.inf, closed="neither")
    noise = (small_sq - big_sq) / (1 / small - 1 / big)
    share = big / (big - small)
    signal = share * big_sq - (share - 1) * small_sq
    return Noise(signal, noise, noise / signal)


def best_lr(batch: Array, *, limit: float, scale: float) -> Array:
    r"""Return the learning rate with the largest expected gain of one step of descent.

    $$\eta = \frac{\eta_\infty}{1 + B_n / B}$$

    Nearly proportional to B far below the noise scale, nearly constant far above.

    Args:
        batch: Number of examples B > 0, an array or a number.
        limit: Best rate $\eta_\infty$ without noise, ≥ 0.
        scale: Gradient noise scale $B_n$ ≥ 0.

    Returns:
        Like `batch`.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Reference:
        McCandlish et al., An Empirical Model of Large-Batch Training, 2018.

    Example:
        >>> best_lr(100, limit=1.0, scale=100)
        0.5
    """
    _check_curve(batch, "limit", limit, "scale", scale)
    return limit / (1 + scale / batch)


def steps_needed(batch: Array, *, least: float, critical: float) -> Array:
    r"""Return how many steps reach a goal, the learning rate tuned for each batch size.

    $$T = T_\infty\left(1 + \frac{B_c}{B}\right)$$

    Far below the critical size twice the batch nearly halves the steps; far above it saves hardly
    any.

    Args:
        batch: Number of examples B > 0 in a step, an array or a number.
        least: Steps $T_\infty$ ≥ 0 that no batch size undercuts.
        critical: Critical batch size $B_c$ ≥ 0, at which steps are twice the least.

    Returns:
        Like `batch`. Times `batch` it is the number of examples.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Reference:
        McCandlish et al., An Empirical Model of Large-Batch Training, 2018.

    Example:
        >>> steps_needed(25, least=10, critical=50)
        30.0
    """
    _check_curve(batch, "least", least, "critical", critical)
    return least * (1 + critical / batch)


def _check_curve(batch: Array, name: str, value: float, other_name: str, other: float) -> None:
    check_between("batch", batch, 0, math.inf, closed="neither")
    check_between(name, value, 0, math.inf, closed="left")
    check_between(other_name, other, 0, math.inf, closed="left")


def scaled_lr(lr: Array, *, old: float, new: float, rule: str = "linear") -> Array:
    r"""Carry a learning rate over to another batch size.

    $$\eta' = \eta\,\frac{B'}{B}, \quad\text{or}\quad \eta' = \eta\,\sqrt{\frac{B'}{B}}$$

    Args:
        lr: Learning rate η that is right at the old size, an array or a number.
        old: Old batch size B > 0.
        new: New batch size B′ > 0.
        rule: "linear", for descent and momentum; "root", for Adam and its relatives.

    Returns:
        Like `lr`.

    Raises:
        ValueError: If a size is not positive, or there is no such rule.

    Note:
        For losses that are means over the batch. Of a loss that is a sum the gradient grows with
        the batch itself.

    Reference:
        Goyal et al., Accurate, Large Minibatch SGD, 2017; Malladi et al., On the SDEs and Scaling
        Rules for Adaptive Gradient Algorithms, 2022.

    Example:
        >>> scaled_lr(0.1, old=32, new=128)
        0.4
        >>> scaled_lr(0.1, old=32, new=128, rule="root")
        0.2
    """
    check_between("old", old, 0, math.inf, closed="neither")
    check_between("new", new, 0, math.inf, closed="neither")
    if rule not in ("linear", "root"):
        raise ValueError(f'rule is {rule!r}: it must be "linear" or "root"')
    return lr * (new / old) ** (1.0 if rule == "linear" else 0.5)


def contaminated_mean(jump: Array, *, share: float, batch: float) -> Contamination:
    r"""Return what a share of extreme examples does to the mean of a batch.

    $$\delta = q\,d, \qquad s = d\,\sqrt{\frac{q\,(1-q)}{B}}$$

    Args:
        jump: Distance d of an extreme value from the others; any shape.
        share: Probability q in [0, 1] that an example is extreme, each for itself.
        batch: Number of examples B > 0.

    Returns:
        Bias and standard deviation of the mean, like `jump`.

    Raises:
        TypeError: If `jump` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Example:
        >>> import numpy as np
        >>> found = contaminated_mean(np.asarray(999.0), share=0.01, batch=1024)
        >>> found.bias.round(2), found.std.round(2)
        (np.float64(9.99), np.float64(3.11))
    """
    check_float("jump", jump)
    check_between("share", share, 0, 1)
    check_between("batch", batch, 0, math.inf, closed="neither")
    return Contamination(
        share * jump, namespace(jump).abs(jump) * (share * (1 - share) / batch) ** 0.5
    )

r"""Overfitting: what the training error hides, and what stopping early does about it.

Three parts. `fixed_design_errors`, `optimism` and `gaussian_design_error` say by how much a fit by
least squares does worse on new data than on its own. The filters say what gradient descent has
fitted after t steps, direction by direction, and what ridge regression would. `progress_step` and
`stopping_point` are the patience rule; `standard_error` and `expected_maximum` are what it costs
to choose by a noisy score. `dlkb.nn.EarlyStopping` adds the copy of the best weights.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    widen,
)

Mode = Literal["min", "max"]
"""Whether less is better, or more."""


class Errors(NamedTuple):
    """Mean squared error on the data of the fit, and on new data."""

    train: float
    test: float


class Risk(NamedTuple):
    """What a filter loses in each direction: signal that it holds back, noise that it lets in."""

    bias: Array
    variance: Array


class Progress(NamedTuple):
    """State of the patience rule.

    `best` is the best score and `best_step` its index from 0, −1 while there is none; `wait`
    counts the scores since then, `step` all scores. A score improved if it left `wait` at 0.
    """

    best: Array
    best_step: Array
    wait: Array
    step: Array


class Stop(NamedTuple):
    """Index of the score to go back to, and of the last one that was needed."""

    best_step: Array
    last_step: Array


def _check_counts(n: float, d: float) -> None:
    check_between("n", n, 1, math.inf, closed="left")
    check_between("d", d, 0, math.inf, closed="left")


def _check_mode(mode: Mode) -> None:
    if mode not in ("min", "max"):
        raise ValueError(f"mode is {mode!r}: it must be 'min' (a loss) or 'max' (an accuracy)")


def optimism(dof: Array, *, n: float, noise_variance: float) -> Array:
    r"""Return by how much the training error of a linear fit is too small, in expectation.

    $$\mathbb{E}[\text{test}] - \mathbb{E}[\text{train}] = \frac{2\sigma^2}{n}\,
      \operatorname{tr} H, \qquad \hat y = H y$$

    The test error is that of new targets at the same inputs, with independent noise of the same
    variance.

    Args:
        dof: Degrees of freedom tr H, a number or an array: d for least squares, the sum of the
            filter for gradient descent or ridge regression.
        n: Number of examples, ≥ 1.
        noise_variance: σ² ≥ 0.

    Returns:
        The difference of mean squared errors, like `dof`.

    Raises:
        ValueError: If `n` or `noise_variance` is out of range.

    Note:
        Differs from the gap at new inputs, which is larger: see `gaussian_design_error`.

    Reference:
        Efron, How biased is the apparent error rate of a prediction rule?, JASA 81 (1986).

    Example:
        >>> optimism(5, n=100, noise_variance=1.0)
        0.1
    """
    check_between("n", n, 1, math.inf, closed="left")
    check_between("noise_variance", noise_variance, 0, math.inf)
    return 2 * noise_variance * dof / n


def fixed_design_errors(*, n: int, d: int, noise_variance: float) -> Errors:
    r"""Return the expected errors of least squares where the inputs stay and the noise is new.

    $$\mathbb{E}[\text{train}] = \sigma^2\Big(1 - \frac dn\Big), \qquad
      \mathbb{E}[\text{test}] = \sigma^2\Big(1 + \frac dn\Big)$$

    Args:
        n: Number of examples, ≥ 1.
        d: Number of independent columns, 0 ≤ d ≤ n; the truth is linear in them.
        noise_variance: σ² ≥ 0.

    Returns:
        Both mean squared errors, in the squared unit of the target.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Derived and checked on the page.

    Example:
        >>> fixed_design_errors(n=100, d=20, noise_variance=1.0)
        Errors(train=0.8, test=1.2)
    """
    _check_counts(n, d)
    check_count("d", d, 0, n)
    check_between("noise_variance", noise_variance, 0, math.inf)
    return Errors(noise_variance * (1 - d / n), noise_variance * (1 + d / n))


def gaussian_design_error(*, n: int, d: int, noise_variance: float, signal: float = 0.0) -> float:
    r"""Return the expected test error of least squares for independent N(0, 1) inputs.

    $$\mathbb{E}[\text{test}] = \begin{cases}
      \sigma^2\,\dfrac{n - 1}{n - d - 1} & n \ge d + 2 \\[1ex]
      \sigma^2\,\dfrac{d - 1}{d - n - 1} + \lVert w\rVert^2 \Big(1 - \dfrac nd\Big) & d \ge n + 2
      \end{cases}$$

    With fewer examples than weights, it is the solution of least norm. Between the two cases noise
    makes the expectation infinite: more data that leads there makes the fit worse.

    Args:
        n: Number of examples, ≥ 1.
        d: Number of weights, ≥ 0, all of which the truth may use.
        noise_variance: σ² ≥ 0.
        signal: ‖w‖² of the true weights; it matters for d > n alone.

    Returns:
        Mean squared error at a new input with new noise; infinite for |n − d| ≤ 1, unless
        there is no noise or no weight.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Belkin, Hsu and Xu, Two models of double descent for weak features, 2020; Nakkiran, More
        data can hurt for linear regression, 2019.

    Example:
        >>> sizes, rest = (10, 20, 22, 41), {"d": 20, "noise_variance": 1.0}
        >>> errors = [gaussian_design_error(n=n, **rest) for n in sizes]
        >>> [round(error, 4) for error in errors]
        [2.1111, inf, 21.0, 2.0]
    """
    _check_counts(n, d)
    check_between("noise_variance", noise_variance, 0, math.inf)
    check_between("signal", signal, 0, math.inf)
    if noise_variance == 0:  # least squares finds all of w that the inputs show
        return signal * max(0.0, 1 - n / d) if d else 0.0
    if d == 0:
        return noise_variance
    if n >= d + 2:
        return noise_variance * (n - 1) / (n - d - 1)
    if d >= n + 2:
        return noise_variance * (d - 1) / (d - n - 1) + signal * (1 - n / d)
    return math.inf


def gd_filter(eigenvalue: Array, *, lr: float, steps: int) -> Array:
    r"""Return the part of the least-squares solution that gradient descent has fitted.

    $$f_t(\lambda) = 1 - (1 - \eta\lambda)^t$$

    Gradient descent starts at 0, on ½‖Xw − y‖².

    Args:
        eigenvalue: λ ≥ 0 of XᵀX, the squares of the singular values of X. Any shape.
        lr: Step size η ≥ 0. It converges where ηλ < 2 and overshoots where ηλ > 1.
        steps: Number of steps t ≥ 0.

    Returns:
        An array like `eigenvalue`.

    Raises:
        TypeError: If `eigenvalue` is not floating-point.
        ValueError: If `lr` or `steps` is negative, infinite or NaN.

    Note:
        Differs for a mean over n examples, ‖Xw − y‖²/(2n): there pass `lr / n`, and `lr * 2 / n`
        for the mean squared error without the ½.

    Reference:
        Ali, Kolter and Tibshirani, A continuous-time view of early stopping for least squares,
        AISTATS 2019.

    Example:
        >>> import numpy as np
        >>> gd_filter(np.asarray([1.0, 0.1, 0.01]), lr=1.0, steps=10).round(3)
        array([1.   , 0.651, 0.096])
    """
    xp = namespace(eigenvalue)
    check_float("eigenvalue", eigenvalue)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_count("steps", steps, 0)
    z = lr * eigenvalue
    # For small z the power is close to 1, and its difference from 1 would keep few digits.
    small = -xp.expm1(steps * xp.log1p(-xp.where(z < 0.5, z, 0.0)))
    return xp.where(z < 0.5, small, 1 - (1 - z) ** steps)


def flow_filter(eigenvalue: Array, *, time: float) -> Array:
    r"""Return the limit of `gd_filter` for small steps, at time ηt: gradient flow.

    $$f(\lambda) = 1 - e^{-\lambda\tau}$$

    Args:
        eigenvalue: λ ≥ 0 of XᵀX, any shape.
        time: τ = ηt ≥ 0.

    Returns:
        An array like `eigenvalue`, in [0, 1].

    Raises:
        TypeError: If `eigenvalue` is not floating-point.
        ValueError: If `time` is negative, infinite or NaN.

    Reference:
        Ali, Kolter and Tibshirani, A continuous-time view of early stopping for least squares,
        AISTATS 2019.

    Example:
        >>> import numpy as np
        >>> flow_filter(np.asarray([1.0, 0.1, 0.01]), time=10.0).round(3)
        array([1.   , 0.632, 0.095])
    """
    check_float("eigenvalue", eigenvalue)
    check_between("time", time, 0, math.inf, closed="left")
    return -namespace(eigenvalue).expm1(-time * eigenvalue)


def ridge_filter(eigenvalue: Array, *, penalty: float) -> Array:
    r"""Return the part of the least-squares solution that ridge regression keeps.

    $$f(\lambda) = \frac{\lambda}{\lambda + \alpha}$$

    Args:
        eigenvalue: λ ≥ 0 of XᵀX, any shape.
        penalty: α > 0 of ‖Xw − y‖² + α‖w‖², as scikit-learn's `Ridge(alpha=α)`.

    Returns:
        An array like `eigenvalue`, in [0, 1].

    Raises:
        TypeError: If `eigenvalue` is not floating-point.
        ValueError: If `penalty` is not positive and finite.

    Note:
        Differs from the weight decay of an optimizer: on the mean of squares α is n/2 times it, on
        half that mean n times.

    Reference:
        Derived and checked on the page.

    Example:
        >>> import numpy as np
        >>> ridge_filter(np.asarray([1.0, 0.1, 0.01]), penalty=0.1).round(3)
        array([0.909, 0.5  , 0.091])
    """
    check_float("eigenvalue", eigenvalue)
    check_between("penalty", penalty, 0, math.inf, closed="neither")
    wide = widen(eigenvalue)
    share = wide / (wide + penalty)
    return namespace(eigenvalue).astype(share, eigenvalue.dtype, copy=False)


def filtered_least_squares(X: Array, y: Array, shrink: Callable[[Array], Array]) -> Array:
    r"""Solve least squares with each singular direction multiplied by a filter.

    $$w = \sum_i f(\sigma_i^2)\, \frac{u_i^\top y}{\sigma_i}\, v_i,
      \qquad X = \sum_i \sigma_i u_i v_i^\top$$

    Args:
        X: Inputs, `(n, d)`.
        y: Targets, `(n,)` or `(n, k)`.
        shrink: The filter f, from the eigenvalues of XᵀX to factors of the same shape, 0 at 0:
            `lambda s: gd_filter(s, lr=0.1, steps=50)` is w after 50 steps from 0.

    Returns:
        Weights, `(d,)` or `(d, k)`.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If the shapes do not fit.

    Reference:
        Derived and checked on the page.

    Example:
        >>> import numpy as np
        >>> X, y = np.diag([2.0, 1.0]), np.asarray([2.0, 1.0])
        >>> filtered_least_squares(X, y, lambda s: gd_filter(s, lr=0.25, steps=1))
        array([1.  , 0.25])
    """
    xp = namespace(X, y)
    check_float("X", X)
    check_float("y", y)
    if X.ndim != 2 or y.ndim not in (1, 2) or y.shape[0] != X.shape[0]:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and y has shape {tuple(y.shape)}: "
            "(n, d) and (n,) or (n, k) are needed"
        )
    columns = y[:, None] if y.ndim == 1 else y
    U, s, Vt = xp.linalg.svd(X, full_matrices=False)
    # A direction without data has f = 0 and adds nothing; its 0/0 must not.
    factor = shrink(s * s) / xp.where(s == 0, 1.0, s)
    w = xp.matmul(xp.matrix_transpose(Vt), factor[:, None] * xp.matmul(U.T, columns))
    return w[:, 0] if y.ndim == 1 else w


def filter_risk(factor: Array, signal: Array, *, noise_variance: float) -> Risk:
    r"""Return the squared error that a filter leaves in each direction, in expectation.

    $$\mathbb{E}(f z - \mu)^2 = (1 - f)^2 \mu^2 + f^2 \sigma^2,
      \qquad z = \mu + \text{noise}$$

    Here μ = σᵢ vᵢᵀw is the true projection of the targets on a left singular vector. Summed over
    the directions and divided by n, it is the error on the noiseless targets at the same inputs.

    Args:
        factor: Filter factors f, any shape.
        signal: μ² ≥ 0, in the shape of `factor`.
        noise_variance: σ² ≥ 0.

    Returns:
        Bias (squared) and variance, two arrays like `factor`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or `noise_variance` is negative.

    Reference:
        Derived and checked on the page.

    Example:
        >>> import numpy as np
        >>> filter_risk(np.asarray([0.5]), np.asarray([4.0]), noise_variance=1.0)
        Risk(bias=array([1.]), variance=array([0.25]))
    """
    check_float("factor", factor)
    check_float("signal", signal)
    check_same_shape("signal", signal, "factor", factor)
    check_between("noise_variance", noise_variance, 0, math.inf)
    return Risk((1 - factor) ** 2 * signal, factor**2 * noise_variance)


def best_filter(signal: Array, *, noise_variance: float) -> Array:
    r"""Return the factor with the least `filter_risk`: Wiener's.

    $$f^\star = \frac{\mu^2}{\mu^2 + \sigma^2}$$

    Where the true weights are equally large along all singular vectors, μ² = λω², it is ridge
    regression with α = σ²/ω². Training further than that adds more variance than it takes bias.

    Args:
        signal: μ² ≥ 0, any shape.
        noise_variance: σ² > 0.

    Returns:
        An array like `signal`, in [0, 1].

    Raises:
        TypeError: If `signal` is not floating-point.
        ValueError: If `noise_variance` is not positive and finite.

    Reference:
        Derived and checked on the page.

    Example:
        >>> import numpy as np
        >>> best_filter(np.asarray([0.0, 1.0, 4.0]), noise_variance=1.0)
        array([0. , 0.5, 0.8])
    """
    check_float("signal", signal)
    check_between("noise_variance", noise_variance, 0, math.inf, closed="neither")
    wide = widen(signal)
    share = wide / (wide + noise_variance)
    return namespace(signal).astype(share, signal.dtype, copy=False)


def progress_init(like: Array, *, mode: Mode = "min") -> Progress:
    r"""Return the state of the patience rule before the first score.

    Args:
        like: A floating-point array in the shape of one score: 0-d, or an entry for each run.
        mode: "min" if less is better, "max" if more is better.

    Returns:
        Infinitely bad best scores, on the device of `like`.

    Raises:
        TypeError: If `like` is not floating-point.
        ValueError: If `mode` is neither "min" nor "max".

    Example:
        >>> import numpy as np
        >>> progress_init(np.zeros(2)).best
        array([inf, inf])
    """
    xp = namespace(like)
    check_float("like", like)
    _check_mode(mode)
    zero = xp.zeros_like(like, dtype=xp.int32)
    worst = math.inf if mode == "min" else -math.inf
    return Progress(xp.full_like(like, worst), zero - 1, zero * 1, zero * 1)


def progress_step(
    progress: Progress, score: Array, *, min_delta: float = 0.0, mode: Mode = "min"
) -> Progress:
    r"""Take in one score: is it better than the best by more than min_delta?

    $$w_{t} = \begin{cases} 0 & L_t < L^\star - \delta \\ w_{t-1} + 1 & \text{else} \end{cases}$$

    Where it is, it becomes the best, L*. Stop as soon as `wait` reaches the patience.

    Args:
        progress: The state, from `progress_init` or the last step.
        score: Validation loss or metric, in the shape of the state. NaN never improves.
        min_delta: δ ≥ 0, in the unit of the score.
        mode: "min" or "max"; for "max" the condition is L > L* + δ.

    Returns:
        The new state.

    Raises:
        TypeError: If `score` is not floating-point.
        ValueError: If `min_delta` is negative, infinite or NaN, `mode` is neither "min" nor "max",
            or the score has not the shape of the state.

    Note:
        As in Keras, gains smaller than δ add up, since the best score stays where it was.
        Differs from Ignite's default and from Hugging Face, where the reference moves with every
        gain; there a slow steady descent runs out of patience.

    Reference:
        Documentation of Keras `EarlyStopping`.

    Example:
        >>> import numpy as np
        >>> progress = progress_init(np.asarray(0.0))
        >>> for loss in (3.0, 2.0, 1.0, 1.5, 1.6):
        ...     progress = progress_step(progress, np.asarray(loss))
        >>> int(progress.best_step), int(progress.wait)
        (2, 2)
    """
    xp = namespace(score)
    check_float("score", score)
    check_between("min_delta", min_delta, 0, math.inf, closed="left")
    _check_mode(mode)
    best, best_step, wait, step = progress
    for name, entry in zip(Progress._fields, progress, strict=True):
        check_same_shape(f"progress.{name}", entry, "score", score)
    improved = score < best - min_delta if mode == "min" else score > best + min_delta
    return Progress(
        xp.where(improved, score, best),
        xp.where(improved, step, best_step),
        xp.where(improved, 0, wait + 1),
        step + 1,
    )


def stopping_point(
    scores: Array, *, patience: int, min_delta: float = 0.0, mode: Mode = "min"
) -> Stop:
    r"""Apply the patience rule to curves that were recorded.

    $$T = \min\{t : w_t \ge \text{patience}\}$$

    Args:
        scores: `(t, ...)`, t ≥ 1, one curve for each entry of the other axes.
        patience: Scores without improvement after which to stop, ≥ 1.
        min_delta: As in `progress_step`.
        mode: As in `progress_step`.

    Returns:
        Two integer arrays of the shape `scores.shape[1:]`: the index of the best score before the
        stop (−1 if none was better than infinitely bad), and T, or the last index if patience
        never ran out.

    Raises:
        TypeError: If `scores` is not floating-point.
        ValueError: If there is no score, or a hyperparameter is out of range.

    Reference:
        Prechelt, Automatic early stopping using cross validation, Neural Networks 11 (1998).

    Example:
        >>> import numpy as np
        >>> losses = np.asarray([3.0, 2.0, 1.0, 1.5, 1.6, 0.5])
        >>> [int(i) for i in stopping_point(losses, patience=2)]
        [2, 4]
        >>> [int(i) for i in stopping_point(losses, patience=3)]
        [5, 5]
    """
    check_float("scores", scores)
    xp = namespace(scores)
    check_count("patience", patience, 1)
    if scores.ndim == 0 or scores.shape[0] == 0:
        raise ValueError(f"scores has shape {tuple(scores.shape)}: at least one score is needed")
    progress = progress_init(scores[0, ...], mode=mode)
    for t in range(scores.shape[0]):
        stopped = progress.wait >= patience
        ahead = progress_step(progress, scores[t, ...], min_delta=min_delta, mode=mode)
        pairs = zip(progress, ahead, strict=True)
        progress = Progress(*(xp.where(stopped, old, new) for old, new in pairs))
    return Stop(progress.best_step, progress.step - 1)


def standard_error(accuracy: Array, *, n: int) -> Array:
    r"""Return the standard deviation of an accuracy that is measured on n examples.

    $$s = \sqrt{\frac{a(1-a)}{n}}$$

    Args:
        accuracy: True accuracy a in [0, 1], a floating-point array.
        n: Number of independent examples, ≥ 1.

    Returns:
        An array like `accuracy`.

    Raises:
        TypeError: If `accuracy` is not floating-point.
        ValueError: If `n` is less than 1.

    Reference:
        The variance of a binomial, divided by n².

    Example:
        >>> import numpy as np
        >>> standard_error(np.asarray([0.5, 0.9]), n=100)
        array([0.05, 0.03])
    """
    check_float("accuracy", accuracy)
    check_count("n", n, 1)
    xp, wide = namespace(accuracy), widen(accuracy)
    return xp.astype(xp.sqrt(wide * (1 - wide) / n), accuracy.dtype, copy=False)


def expected_maximum(k: int) -> float:
    r"""Return the expectation of the largest of k independent N(0, 1) draws.

    $$m_k = \int x\, k\, \varphi(x)\, \Phi(x)^{k-1}\,dx \;\le\; \sqrt{2\ln k}$$

    The best of k equally good models, scored with an error of standard deviation s, looks better
    than it is by s · m_k. Scores that are correlated, as those of neighbouring epochs, gain less.

    Args:
        k: Number of draws, from 1 to 10⁶.

    Returns:
        m_k: 0 for 1, 1/√π for 2; correct to 12 digits.

    Raises:
        ValueError: If `k` is out of range.

    Reference:
        The density is that of the largest order statistic.

    Example:
        >>> [round(expected_maximum(k), 3) for k in (1, 2, 10, 100)]
        [-0.0, 0.564, 1.539, 2.508]
    """
    check_count("k", k, 1, 1e6)
    # The trapezoidal rule, whose error falls exponentially for a smooth integrand that vanishes.
    h, total = 1 / 32, 0.0
    for i in range(-9 * 32, 9 * 32 + 1):
        x = i * h
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        total += h * x * k * density * (math.erfc(-x / math.sqrt(2)) / 2) ** (k - 1)
    return total

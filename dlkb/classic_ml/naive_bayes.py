"""Naive Bayes: features that are independent given the class."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, namespace, widen


class NaiveBayes(NamedTuple):
    """What Gaussian naive Bayes knows of each class.

    Attributes:
        log_prior: Logarithm of each class's share, (k,).
        mean: Of each feature in each class, (k, p).
        variance: Likewise.
    """

    log_prior: Array
    mean: Array
    variance: Array


def naive_bayes(X: Array, member: Array, *, var_smoothing: float = 1e-9) -> NaiveBayes:
    r"""Fit a Gaussian to each feature in each class.

    $$\pi_c = \frac{n_c}{n},\qquad \mu_{cj} = \frac{1}{n_c}\sum_{i\in c} x_{ij},\qquad
      v_{cj} = \frac{1}{n_c}\sum_{i\in c}\left(x_{ij} - \mu_{cj}\right)^2 + \varepsilon\max_j v_j$$

    Args:
        X: Inputs, (n, p), n ≥ 1, p ≥ 1.
        member: 1 where an example belongs to a class, else 0, (n, k); or weights.
        var_smoothing: ε ≥ 0. The largest variance of a feature over all examples, times this, is
            added to all variances: a feature that is constant in a class has none.

    Returns:
        The model, in the dtype of X. A class without examples has NaN, and the log prior −∞.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `var_smoothing` is negative.

    Note:
        The convention of `sklearn.naive_bayes.GaussianNB`.

    Example:
        >>> import numpy as np
        >>> X, member = np.asarray([[0.0], [2.0], [9.0]]), np.eye(2)[[0, 0, 1]]
        >>> naive_bayes(X, member, var_smoothing=0.0).mean
        array([[1.],
               [9.]])
    """
    check_float("X", X)
    check_float("member", member)
    check_between("var_smoothing", var_smoothing, 0, math.inf, closed="left")
    if X.ndim != 2 or member.ndim != 2 or X.shape[0] != member.shape[0]:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and member {tuple(member.shape)}: "
            "(n, p) and (n, k) are needed"
        )
    xp = namespace(X, member)
    wide, shares = widen(X), widen(member)
    count = xp.sum(shares, axis=0)[:, None]
    mean = xp.sum(shares[:, :, None] * wide[:, None, :], axis=0) / count
    square = (wide[:, None, :] - mean) ** 2
    spread = xp.max(xp.var(wide, axis=0))
    variance = xp.sum(shares[:, :, None] * square, axis=0) / count + var_smoothing * spread
    log_prior = xp.log(count[:, 0] / xp.sum(count))
    return NaiveBayes(*(xp.astype(a, X.dtype, copy=False) for a in (log_prior, mean, variance)))


def log_joint(X: Array, model: NaiveBayes) -> Array:
    r"""Return the logarithm of prior times density, for each example and class.

    $$\log p(\mathbf{x}, c) = \log\pi_c
      - \frac12\sum_j\left(\log(2\pi v_{cj}) + \frac{(x_j-\mu_{cj})^2}{v_{cj}}\right)$$

    Args:
        X: Inputs, (n, p).
        model: From `naive_bayes`.

    Returns:
        (n, k). Its softmax is the posterior, if features are independent given the class. A class
        without examples has −∞.

    Raises:
        TypeError: If X is not floating-point.
        ValueError: If the number of features is another.

    Example:
        >>> import numpy as np
        >>> model = NaiveBayes(np.log([0.5, 0.5]), np.asarray([[0.0], [1.0]]), np.ones((2, 1)))
        >>> log_joint(np.asarray([[0.5]]), model).round(4)
        array([[-1.7371, -1.7371]])
    """
    check_float("X", X)
    if X.ndim != 2 or X.shape[1] != model.mean.shape[1]:
        raise ValueError(
            f"X has shape {tuple(X.shape)}: (n, {model.mean.shape[1]}) is needed, as in the model"
        )
    xp = namespace(X)
    mean, variance = widen(model.mean), widen(model.variance)
    distance = (widen(X)[:, None, :] - mean) ** 2 / variance
    density = xp.sum(xp.log(2 * math.pi * variance) + distance, axis=-1) / 2
    prior = widen(model.log_prior)
    joint = xp.where(prior == -math.inf, -math.inf, prior - density)
    return xp.astype(joint, X.dtype, copy=False)


def log_shares(counts: Array, *, alpha: float = 1.0) -> Array:
    r"""Return the log of each word's share in a class, none of them zero: multinomial naive Bayes.

    $$\log\theta_j = \log\frac{c_j + \alpha}{\sum_k c_k + \alpha\,p}$$

    Args:
        counts: How often each word occurs in a class, (…, p).
        alpha: α > 0, added to each count. 1 is Laplace's rule.

    Returns:
        An array like `counts`. The log joint of a text is its counts times this, plus the log of
        the prior.

    Raises:
        TypeError: If `counts` is not floating-point.
        ValueError: If `alpha` is not positive.

    Note:
        The convention of `sklearn.naive_bayes.MultinomialNB`.

    Example:
        >>> import numpy as np
        >>> np.exp(log_shares(np.asarray([3.0, 0.0])))
        array([0.8, 0.2])
    """
    check_float("counts", counts)
    check_between("alpha", alpha, 0, math.inf, closed="neither")
    xp = namespace(counts)
    more = widen(counts) + alpha
    share = xp.log(more) - xp.log(xp.sum(more, axis=-1, keepdims=True))
    return xp.astype(share, counts.dtype, copy=False)

r"""Dropout: zero activations at random while training, and rescale the rest.

`p` is the probability of *dropping*, as in torch, Keras and Flax. `keep` is a boolean mask, True
where an entry survives. Drawing a mask (`keep_mask`) and applying it (`dropout`) are two
functions, so that everything but the draw is deterministic.
"""

from typing import NamedTuple

from dlkb.arrays import (
    Array,
    Generator,
    bernoulli,
    broadcast_shape,
    check_between,
    check_broadcasts,
    check_float,
    namespace,
    norm,
)


class Moments(NamedTuple):
    """Mean and variance over the masks, entry by entry."""

    mean: Array
    variance: Array


class Predictive(NamedTuple):
    """Mean of the predictions, and where their variance comes from.

    `model` is the variance between the sampled networks, `noise` the mean of the variances that
    they predict; the variance of the prediction is `model + noise`.
    """

    mean: Array
    model: Array
    noise: Array


def _inverse_keep(p: float) -> float:
    """Return 1/(1 − p), and 0 at p = 1, where nothing is kept; no branch, for the compiler."""
    return (p < 1) / (1 - p + (p == 1))


def _check_mask(keep: Array, name: str, x: Array) -> None:
    check_float(name, x)
    if not namespace(x, keep).isdtype(keep.dtype, "bool"):
        raise TypeError(f"keep has dtype {keep.dtype}: a boolean mask is needed")
    check_broadcasts("keep", keep, name, x)


def _check_linear(x_name: str, x: Array, weight_name: str, weight: Array) -> None:
    check_float(x_name, x)
    check_float(weight_name, weight)
    if x.ndim == 0 or weight.ndim == 0 or x.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"{x_name} has shape {tuple(x.shape)} and {weight_name} has shape "
            f"{tuple(weight.shape)}: their last axes must be equal"
        )


def _check_regression(X: Array, y: Array) -> None:
    check_float("X", X)
    check_float("y", y)
    if X.ndim != 2 or tuple(y.shape) != (X.shape[0],):
        raise ValueError(
            f"X has shape {tuple(X.shape)} and y has shape {tuple(y.shape)}: "
            "(n, d) and (n,) are needed"
        )


def keep_mask(like: Array, *, p: float, generator: Generator) -> Array:
    r"""Draw which entries survive, independently.

    $$k_i \sim \operatorname{Bernoulli}(1 - p)$$

    Args:
        like: A floating-point array; the mask has its shape and device.
        p: Probability of dropping an entry, in [0, 1].
        generator: `numpy.random.Generator`, or `torch.Generator` with tensors; it advances.

    Returns:
        A boolean array, True where an entry is kept.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.
        ValueError: If `p` is outside [0, 1].

    Note:
        Differs from drawing in the dtype of `like`: half precision is drawn in float32, where
        no frequency is off by more than 2⁻²³.

    Reference:
        Srivastava et al., Dropout, JMLR 15 (2014), 1929-1958.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> keep_mask(np.zeros(4), p=0.5, generator=rng)
        array([ True, False, False, False])
    """
    # Where u < p is dropped: at p = 0 no rounding of u can drop an entry.
    return namespace(like).logical_not(bernoulli(like, p=p, generator=generator))


def dropout(x: Array, keep: Array, *, p: float) -> Array:
    r"""Zero the entries that are not kept and rescale the others (inverted dropout).

    $$z_i = \frac{k_i}{1 - p}\, x_i$$

    Args:
        x: Activations, any shape.
        keep: Boolean, of a shape that broadcasts to that of `x`: `(n, 1, d)` drops a unit for
            all time steps, `(n, c, 1, 1)` whole channels.
        p: Probability with which `keep` was drawn False, in [0, 1].

    Returns:
        An array like `x`. A dropped entry is exactly 0, even where `x` is infinite or NaN.
        At p = 1 all finite entries are 0.

    Raises:
        TypeError: If `x` is not floating-point, or `keep` not boolean.
        ValueError: If `p` is outside [0, 1], or `keep` does not broadcast to the shape of `x`.

    Note:
        Differs from the paper, which multiplies by the keep probability at test time instead.
        Differs from torch for entries that are infinite or NaN: there a dropped one is NaN.

    Reference:
        Srivastava et al., Dropout, JMLR 15 (2014), 1929-1958.

    Example:
        >>> import numpy as np
        >>> keep = np.asarray([True, False, True])
        >>> dropout(np.asarray([1.0, 2.0, 3.0]), keep, p=0.5)
        array([2., 0., 6.])
    """
    xp = namespace(x, keep)
    check_between("p", p, 0, 1)
    _check_mask(keep, "x", x)
    # where, not a product: 0 · inf is NaN. The backward pass needs the boolean mask alone.
    return xp.where(keep, x, 0.0) * _inverse_keep(p)


def dropout_vjp(keep: Array, cotangent: Array, *, p: float) -> Array:
    r"""Pull a gradient back through `dropout`, which is linear in `x` and its own transpose.

    $$\frac{\partial L}{\partial x_i} = \frac{k_i}{1 - p}\,\frac{\partial L}{\partial z_i}$$

    Args:
        keep: The mask of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        p: As in the forward pass.

    Returns:
        The gradient with respect to `x`, like `cotangent`.

    Raises:
        TypeError: If `cotangent` is not floating-point, or `keep` not boolean.
        ValueError: As `dropout`.

    Reference:
        Srivastava et al., Dropout, JMLR 15 (2014), 1929-1958.

    Example:
        >>> import numpy as np
        >>> dropout_vjp(np.asarray([True, False]), np.asarray([1.0, 1.0]), p=0.75)
        array([4., 0.])
    """
    _check_mask(keep, "cotangent", cotangent)
    return dropout(cotangent, keep, p=p)


def dropout_moments(x: Array, *, p: float) -> Moments:
    r"""Return mean and variance of `dropout` over its masks.

    $$\mathbb{E}[z_i] = x_i, \qquad \operatorname{Var}[z_i] = \frac{p}{1 - p}\, x_i^2$$

    Args:
        x: Activations, any shape.
        p: Probability of dropping, in [0, 1); at 1 the output is 0 and the mean is lost.

    Returns:
        Two arrays like `x`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `p` is outside [0, 1).

    Note:
        Differs from dropout without rescaling, where they are (1 − p)x and p(1 − p)x².

    Reference:
        Srivastava et al., Dropout, JMLR 15 (2014), 1929-1958.

    Example:
        >>> import numpy as np
        >>> dropout_moments(np.asarray([1.0, 2.0]), p=0.5).variance
        array([1., 4.])
    """
    check_between("p", p, 0, 1, closed="left")
    check_float("x", x)
    return Moments(x * 1, p / (1 - p) * x * x)


def dropconnect(x: Array, weight: Array, keep: Array, *, p: float) -> Array:
    r"""Apply a linear layer some of whose weights are zeroed, the others rescaled.

    $$y_o = \sum_j \frac{k_{oj}}{1 - p}\, w_{oj} x_j$$

    Args:
        x: Inputs, `(..., in)`.
        weight: `(out, in)`, as `torch.nn.Linear` stores it.
        keep: Boolean, `(out, in)`: one mask for all inputs; or `(..., out, in)`: a mask each.
        p: Probability with which `keep` was drawn False, in [0, 1].

    Returns:
        Outputs, `(..., out)`.

    Raises:
        TypeError: If `x` or `weight` is not floating-point, or `keep` not boolean.
        ValueError: If `p` is outside [0, 1], or the shapes do not fit.

    Note:
        Differs from the paper, which does not rescale while training and approximates the output
        at test time by a Gaussian.

    Reference:
        Wan et al., Regularization of neural networks using DropConnect, ICML 2013.

    Example:
        >>> import numpy as np
        >>> keep = np.asarray([[True, False], [True, True]])
        >>> dropconnect(np.asarray([1.0, 2.0]), np.ones((2, 2)), keep, p=0.5)
        array([2., 6.])
    """
    xp = namespace(x, weight, keep)
    _check_linear("x", x, "weight", weight)
    if weight.ndim != 2:
        raise ValueError(f"weight has shape {tuple(weight.shape)}: (out, in) is needed")
    if keep.ndim < 2 or tuple(keep.shape[-2:]) != tuple(weight.shape):
        raise ValueError(
            f"keep has shape {tuple(keep.shape)}: its last two axes must be those of weight, "
            f"{tuple(weight.shape)}"
        )
    if broadcast_shape(keep.shape[:-2], x.shape[:-1]) is None:
        raise ValueError(
            f"keep has shape {tuple(keep.shape)} and x has shape {tuple(x.shape)}: the axes in "
            "front must be equal, or missing in one"
        )
    masked = dropout(xp.broadcast_to(weight, keep.shape), keep, p=p)
    return xp.matmul(masked, x[..., None])[..., 0]


def linear_moments(x: Array, weight: Array, *, p: float) -> Moments:
    r"""Return mean and variance of the outputs of a linear layer under dropout of its inputs.

    $$\mathbb{E}[y_o] = \sum_j w_{oj} x_j, \qquad
      \operatorname{Var}[y_o] = \frac{p}{1 - p} \sum_j w_{oj}^2 x_j^2$$

    DropConnect has the same two moments. The two differ in the covariance of the outputs: see
    `linear_covariance`. For a linear model this is what MC dropout estimates by sampling.

    Args:
        x: Inputs, `(..., in)`.
        weight: `(out, in)`, or `(in,)` for one output.
        p: Probability of dropping, in [0, 1).

    Returns:
        Two arrays, `(..., out)`, or `(...)` for one output.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If `p` is outside [0, 1), or the last axes differ.

    Reference:
        Wager, Wang and Liang, Dropout training as adaptive regularization, NeurIPS 2013.

    Example:
        >>> import numpy as np
        >>> linear_moments(np.asarray([[1.0, 2.0]]), np.asarray([3.0, 1.0]), p=0.5)
        Moments(mean=array([5.]), variance=array([13.]))
    """
    xp = namespace(x, weight)
    check_between("p", p, 0, 1, closed="left")
    _check_linear("x", x, "weight", weight)
    w = weight if weight.ndim == 1 else xp.matrix_transpose(weight)
    return Moments(xp.matmul(x, w), p / (1 - p) * xp.matmul(x * x, w * w))


def linear_covariance(x: Array, weight: Array, *, p: float) -> Array:
    r"""Return the covariance of the outputs of a linear layer under dropout of its inputs.

    $$\operatorname{Cov}[y_o, y_q] = \frac{p}{1 - p} \sum_j w_{oj} w_{qj} x_j^2$$

    A dropped unit is dropped for every output, so that outputs are correlated. Under
    DropConnect the masks of different outputs are independent: the covariance is the diagonal
    of this one.

    Args:
        x: Inputs, `(..., in)`.
        weight: `(out, in)`.
        p: Probability of dropping, in [0, 1).

    Returns:
        `(..., out, out)`, symmetric.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If `p` is outside [0, 1), or the last axes differ, or `weight` is no matrix.

    Reference:
        Derived and checked on the page.

    Example:
        >>> import numpy as np
        >>> weight = np.asarray([[1.0, 0.0], [1.0, 1.0]])
        >>> linear_covariance(np.asarray([1.0, 2.0]), weight, p=0.5)
        array([[1., 1.],
               [1., 5.]])
    """
    xp = namespace(x, weight)
    check_between("p", p, 0, 1, closed="left")
    _check_linear("x", x, "weight", weight)
    if weight.ndim != 2:
        raise ValueError(f"weight has shape {tuple(weight.shape)}: (out, in) is needed")
    scaled = weight * x[..., None, :]
    return p / (1 - p) * xp.matmul(scaled, xp.matrix_transpose(scaled))


def ridge_equivalent_penalty(X: Array, w: Array, *, p: float) -> Array:
    r"""Return what dropout of the inputs adds to the expected squared loss of linear regression.

    $$R(w) = \frac{p}{1 - p} \sum_j w_j^2 \sum_i X_{ij}^2$$

    Args:
        X: Inputs, `(n, d)`.
        w: Weights, `(d,)`.
        p: Probability of dropping an input, in [0, 1).

    Returns:
        A 0-d array, in the squared unit of the target.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If `p` is outside [0, 1), or the shapes do not fit.

    Note:
        Differs from ridge regression: each weight is penalized in proportion to the second
        moment of its column, so that rescaling a column changes nothing.

    Reference:
        Wager, Wang and Liang, Dropout training as adaptive regularization, NeurIPS 2013.

    Example:
        >>> import numpy as np
        >>> X = np.asarray([[1.0, 2.0], [1.0, 0.0]])
        >>> float(ridge_equivalent_penalty(X, np.asarray([3.0, 1.0]), p=0.5))
        22.0
    """
    xp = namespace(X, w)
    _check_linear("X", X, "w", w)
    if X.ndim != 2 or w.ndim != 1:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and w has shape {tuple(w.shape)}: "
            "(n, d) and (d,) are needed"
        )
    return xp.sum(linear_moments(X, w, p=p).variance)


def expected_squared_loss(X: Array, y: Array, w: Array, *, p: float) -> Array:
    r"""Return the squared loss of linear regression, averaged over dropout of the inputs.

    $$\mathbb{E}\left\lVert y - \frac{X \circ K}{1 - p}\, w \right\rVert^2
      = \lVert y - X w \rVert^2 + \frac{p}{1 - p} \sum_j w_j^2 \sum_i X_{ij}^2$$

    Args:
        X: Inputs, `(n, d)`.
        y: Targets, `(n,)`.
        w: Weights, `(d,)`.
        p: Probability of dropping an input, in [0, 1).

    Returns:
        A 0-d array: a sum over the `n` examples, not a mean.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If `p` is outside [0, 1), or the shapes do not fit.

    Reference:
        Wager, Wang and Liang, Dropout training as adaptive regularization, NeurIPS 2013.

    Example:
        >>> import numpy as np
        >>> X, w = np.asarray([[1.0, 2.0]]), np.asarray([1.0, 1.0])
        >>> float(expected_squared_loss(X, np.asarray([4.0]), w, p=0.5))
        6.0
    """
    xp = namespace(X, y, w)
    _check_regression(X, y)
    penalty = ridge_equivalent_penalty(X, w, p=p)  # looks at w before it is used
    return xp.sum((y - xp.matmul(X, w)) ** 2) + penalty


def ridge_equivalent_solution(X: Array, y: Array, *, p: float) -> Array:
    r"""Return the weights of linear regression that minimize the expected loss under dropout.

    $$w = \left(X^\top X + \frac{p}{1 - p} \operatorname{diag}(X^\top X)\right)^{-1} X^\top y$$

    Args:
        X: Inputs, `(n, d)`, no column zero; at p = 0 the columns must be independent.
        y: Targets, `(n,)`.
        p: Probability of dropping an input, in [0, 1).

    Returns:
        Weights, `(d,)`.

    Raises:
        TypeError: If an argument is not floating-point.
        ValueError: If `p` is outside [0, 1), or the shapes do not fit.

    Note:
        Differs from ridge regression by the matrix diag(XᵀX) in place of the identity: it is
        ridge with λ = p/(1 − p) where the columns have unit norm.

    Reference:
        Wager, Wang and Liang, Dropout training as adaptive regularization, NeurIPS 2013.

    Example:
        >>> import numpy as np
        >>> ridge_equivalent_solution(np.eye(2), np.asarray([1.0, 2.0]), p=0.5)
        array([0.5, 1. ])
    """
    xp = namespace(X, y)
    check_between("p", p, 0, 1, closed="left")
    _check_regression(X, y)
    # With columns of length 1 the diagonal is 1, and no square overflows; a zero column stays.
    length = norm(X, axis=0)
    safe = xp.where(length == 0, 1.0, length)
    Z = X / safe
    gram, moment = xp.matmul(Z.T, Z), xp.matmul(Z.T, y)
    # Both sides times 1 − p, so that nothing overflows as p → 1.
    w = xp.linalg.solve((1 - p) * gram + p * xp.triu(xp.tril(gram)), (1 - p) * moment)
    return w / safe


def predictive_moments(means: Array, *, noise: Array | float = 0.0) -> Predictive:
    r"""Return mean and variance of a prediction from sampled networks (MC dropout).

    By the law of total variance, with $\mu_t$ and $\sigma_t^2$ predicted by sample $t$ of $T$,

    $$\bar\mu = \frac1T \sum_t \mu_t, \qquad
      \operatorname{Var} = \underbrace{\frac1T \sum_t (\mu_t - \bar\mu)^2}_{\text{model}}
      + \underbrace{\frac1T \sum_t \sigma_t^2}_{\text{noise}}$$

    Args:
        means: Predictions under different masks, stacked along the first axis: `(T, ...)`.
        noise: The variance of the target given the input: a number, or what each sample
            predicts, of a shape that broadcasts to that of `means`.

    Returns:
        `mean`, `model` and `noise`, each of the shape of one prediction.

    Raises:
        TypeError: If `means` is not floating-point.
        ValueError: If `means` holds no sample, or `noise` does not broadcast to its shape.

    Note:
        Differs from the unbiased estimate of the variance between samples by (T − 1)/T, as in
        the paper: the decomposition is then exact for the samples at hand.

    Reference:
        Gal and Ghahramani, Dropout as a Bayesian approximation, ICML 2016.

    Example:
        >>> import numpy as np
        >>> predictive_moments(np.asarray([[1.0], [3.0]]), noise=0.25)
        Predictive(mean=array([2.]), model=array([1.]), noise=array([0.25]))
    """
    xp = namespace(means)
    check_float("means", means)
    if means.ndim == 0 or means.shape[0] == 0:
        raise ValueError(
            f"means has shape {tuple(means.shape)}: samples are stacked along the first axis, "
            "at least one is needed"
        )
    if not isinstance(noise, (int, float)):
        check_broadcasts("noise", noise, "means", means)
    mean = xp.mean(means, axis=0)
    model = xp.mean((means - mean) ** 2, axis=0)
    return Predictive(mean, model, xp.mean(xp.zeros_like(means) + noise, axis=0))

r"""Signal scale: the mean square of a signal, followed through layers that were just drawn.

$q$ is always a mean square, $\mathbb{E}[z^2]$, and not a variance: behind a ReLU the mean is not
zero, and the next layer multiplies the mean square. `sigma_w` is Poole's, the standard deviation
of a weight times $\sqrt{n_\text{in}}$.
"""

import math
from collections.abc import Callable
from numbers import Integral

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    device,
    namespace,
    power,
    widen,
)

# Nodes of the midpoint rule for a Gaussian integral. The rule converges exponentially here, and no
# node is at 0, where rectifiers have their kink. At 1/256 tanh(100 z) is still good to ten digits.
_STEP, _REACH = 1 / 256, 9


def _check_depth(depth: object) -> None:
    if not isinstance(depth, Integral) or depth < 0:
        raise ValueError(f"depth is {depth!r}: an integer of at least 0 is needed")


def second_moment(x: Array) -> Array:
    r"""Return the mean square of each row.

    $$q = \frac1n \sum_{i=1}^n x_i^2$$

    Args:
        x: Signals, shape (..., n), n ≥ 1; one row an example, one column a unit.

    Returns:
        The mean squares, shape (...), in squared units of `x`; in half precision the squares
        are added in float32.

    Raises:
        ValueError: If `x` has no axis, or its last axis is empty.
        TypeError: If `x` is not floating-point.

    Note:
        Differs from the variance of the row, which subtracts the mean: the next layer does not.

    Example:
        >>> import numpy as np
        >>> second_moment(np.asarray([[1.0, 1.0], [0.0, 2.0]]))
        array([1., 2.])
    """
    check_float("x", x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}: (..., n) with n of at least 1 is needed")
    xp, wide = namespace(x), widen(x)
    return xp.astype(xp.mean(wide * wide, axis=-1), x.dtype)


def linear_second_moment(
    q: Array, *, fan_in: float, weight_variance: float, depth: int = 1
) -> Array:
    r"""Return the expected mean square behind linear layers with independent zero-mean weights.

    $$q_L = (n_\text{in}\,\sigma^2)^L\, q_0$$

    Exact for every width and every distribution of the weights; no Gaussian is assumed.

    Args:
        q: Mean squares of the input, any shape.
        fan_in: Number of inputs of each unit, n_in ≥ 1.
        weight_variance: Variance σ² ≥ 0 of each weight; not the standard deviation.
        depth: Number L ≥ 0 of layers.

    Returns:
        An array like `q`: the expectation over the weights, ∞ where the factor overflows.

    Raises:
        ValueError: If a hyperparameter is out of its range.
        TypeError: If `q` is not floating-point.

    Reference:
        LeCun, Bottou, Orr and Müller, Efficient BackProp (1998); Glorot and Bengio (2010).

    Example:
        >>> import numpy as np
        >>> q = np.asarray([1.0])
        >>> linear_second_moment(q, fan_in=100, weight_variance=0.01, depth=50)
        array([1.])
        >>> linear_second_moment(q, fan_in=100, weight_variance=0.1, depth=3)
        array([1000.])
    """
    check_float("q", q)
    check_between("fan_in", fan_in, 1, math.inf)
    check_between("weight_variance", weight_variance, 0, math.inf)
    _check_depth(depth)
    return power(fan_in * weight_variance, depth) * q


def rectifier_second_moment(q: Array, *, negative_slope: float = 0.0) -> Array:
    r"""Return the mean square behind a ReLU or leaky ReLU whose input is symmetric around 0.

    $$\mathbb{E}[\phi(z)^2] = \frac{1 + a^2}{2}\, q$$

    Args:
        q: Mean squares of the input, any shape.
        negative_slope: Slope a for negative inputs; 0 is the ReLU, 1 the identity.

    Returns:
        An array like `q`.

    Raises:
        TypeError: If `q` is not floating-point.

    Reference:
        He, Zhang, Ren and Sun, Delving Deep into Rectifiers (2015).

    Example:
        >>> import numpy as np
        >>> float(rectifier_second_moment(np.asarray(3.0)))
        1.5
    """
    check_float("q", q)
    return (1 + negative_slope**2) / 2 * q


def erf_second_moment(q: Array) -> Array:
    r"""Return the mean square of erf(z) for z ~ N(0, q): a saturating unit in closed form.

    $$\mathbb{E}[\operatorname{erf}(z)^2] = \frac{2}{\pi}\arcsin\frac{2q}{1 + 2q}$$

    Args:
        q: Variances, any shape, q ≥ 0.

    Returns:
        An array like `q`, entries in [0, 1].

    Raises:
        TypeError: If `q` is not floating-point.

    Reference:
        Williams, Computing with infinite networks (1996).

    Example:
        >>> import numpy as np
        >>> erf_second_moment(np.asarray([0.0, 0.5, 1e6])).round(3)
        array([0.   , 0.333, 0.999])
    """
    check_float("q", q)
    # arctan of opposite over adjacent side: arcsin would lose half the digits where it nears 1.
    # Both are halved, since 4q overflows first; of ∞ and ∞ it would be ½.
    xp, wide = namespace(q), widen(q)
    wide = xp.clip(wide, max=float(xp.finfo(wide.dtype).max))
    return xp.astype(2 / math.pi * xp.atan2(wide, xp.sqrt(0.25 + wide)), q.dtype)


def gaussian_mean(function: Callable[[Array], Array], q: Array) -> Array:
    r"""Return the mean of a function of a Gaussian, by quadrature.

    $$\mathbb{E}_{z\sim\mathcal{N}(0,1)}\bigl[f(\sqrt{q}\,z)\bigr]$$

    The midpoint rule on [−9, 9] with step 1/256. For a smooth f its error falls exponentially with
    the step; a kink at 0, as that of ReLU, costs nothing where f² or f′² is asked for.

    Args:
        function: f, elementwise, on arrays of the library of `q`, such as `numpy.tanh`.
        q: Variances, any shape, 0 ≤ q ≤ 10⁴.

    Returns:
        An array like `q`. Half precision is integrated in float32.

    Raises:
        TypeError: If `q` is not floating-point.

    Example:
        >>> import numpy as np
        >>> q = np.asarray([0.01, 1.0, 512.0])
        >>> gaussian_mean(lambda z: np.tanh(z) ** 2, q).round(3)
        array([0.01 , 0.394, 0.965])
    """
    check_float("q", q)
    xp = namespace(q)
    wide = q if xp.finfo(q.dtype).bits >= 32 else xp.astype(q, xp.float32)
    count = round(2 * _REACH / _STEP)
    z = (xp.arange(count, dtype=wide.dtype, device=device(wide)) + 0.5) * _STEP - _REACH
    density = xp.exp(-z * z / 2)
    values = function(xp.sqrt(wide)[..., None] * z)
    return xp.astype(xp.sum(values * (density / xp.sum(density)), axis=-1), q.dtype)


def length_map(
    q: Array, activation: Callable[[Array], Array], *, sigma_w: float, sigma_b: float = 0.0
) -> Array:
    r"""Return the mean square of the next layer's pre-activations, in the limit of large width.

    $$q_{l+1} = \sigma_w^2\,\mathbb{E}_{z\sim\mathcal{N}(0,1)}\bigl[\phi(\sqrt{q_l}\,z)^2\bigr]
      + \sigma_b^2$$

    Args:
        q: Mean squares of this layer's pre-activations, any shape.
        activation: φ, elementwise, on arrays of the library of `q`.
        sigma_w: √n_in times the standard deviation of a weight, ≥ 0: the gain of an initialization.
        sigma_b: Standard deviation of a bias, ≥ 0.

    Returns:
        An array like `q`.

    Raises:
        ValueError: If a hyperparameter is negative.
        TypeError: If `q` is not floating-point.

    Reference:
        Poole et al., Exponential expressivity in deep neural networks through transient chaos
        (2016).

    Example:
        >>> import numpy as np
        >>> q = np.asarray([0.5, 1.0, 2.0])
        >>> length_map(q, lambda z: np.maximum(z, 0), sigma_w=2**0.5)
        array([0.5, 1. , 2. ])
    """
    check_between("sigma_w", sigma_w, 0, math.inf)
    check_between("sigma_b", sigma_b, 0, math.inf)
    return sigma_w**2 * gaussian_mean(lambda z: activation(z) ** 2, q) + sigma_b**2


def length_trajectory(
    q: Array,
    activation: Callable[[Array], Array],
    *,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int,
) -> Array:
    r"""Return the mean square of the pre-activations layer by layer: the length map, iterated.

    Args:
        q: Mean squares of the first layer's pre-activations, shape (...).
        activation: φ, elementwise, on arrays of the library of `q`.
        sigma_w: √n_in times the standard deviation of a weight, ≥ 0.
        sigma_b: Standard deviation of a bias, ≥ 0.
        depth: Number of times that the map is applied, ≥ 0.

    Returns:
        The mean squares, shape (..., depth + 1), `q` first. Close enough to a stable fixed point,
        the last entry approaches it.

    Raises:
        ValueError: If a hyperparameter is negative.
        TypeError: If `q` is not floating-point.

    Example:
        >>> import numpy as np
        >>> q = length_trajectory(np.asarray(9.0), np.tanh, sigma_w=1.5, depth=20)
        >>> q[[0, 1, 20]].round(3)
        array([9.   , 1.677, 0.793])
    """
    check_float("q", q)
    check_between("sigma_w", sigma_w, 0, math.inf)
    check_between("sigma_b", sigma_b, 0, math.inf)
    _check_depth(depth)
    rows = [q]
    for _ in range(depth):
        rows.append(length_map(rows[-1], activation, sigma_w=sigma_w, sigma_b=sigma_b))
    return namespace(q).stack(rows, axis=-1)


def gradient_factor(q: Array, derivative: Callable[[Array], Array], *, sigma_w: float) -> Array:
    r"""Return by what a layer multiplies the mean square of the gradient on its way back.

    $$\chi = \sigma_w^2\,\mathbb{E}_{z\sim\mathcal{N}(0,1)}\bigl[\phi'(\sqrt{q}\,z)^2\bigr]$$

    Below 1 gradients vanish with depth, above 1 they explode.

    Args:
        q: Mean squares of the layer's pre-activations, any shape.
        derivative: φ′, elementwise, on arrays of the library of `q`.
        sigma_w: √n_out times the standard deviation of a weight, ≥ 0; n_out is n_in where widths
            do not change.

    Returns:
        An array like `q`.

    Raises:
        ValueError: If `sigma_w` is negative.
        TypeError: If `q` is not floating-point.

    Reference:
        Poole et al. (2016), where χ is χ₁.

    Example:
        >>> import numpy as np
        >>> slope = lambda z: 1 - np.tanh(z) ** 2
        >>> gradient_factor(np.asarray([1.0]), slope, sigma_w=5 / 3).round(3)
        array([1.29])
    """
    check_between("sigma_w", sigma_w, 0, math.inf)
    return sigma_w**2 * gaussian_mean(lambda z: derivative(z) ** 2, q)


def rectifier_spread(*, fan_in: float, depth: int = 1, negative_slope: float = 0.0) -> float:
    r"""Return how far the mean square of a finite network strays from its expectation.

    $$\frac{\mathbb{E}[q_L^2]}{\mathbb{E}[q_L]^2}
      = \left(1 + \frac{1}{n}\left(\frac{6(1 + a^4)}{(1 + a^2)^2} - 1\right)\right)^L$$

    Exact for L layers of width n with independent Gaussian weights, no biases and a (leaky) ReLU,
    behind which $q_L$ is. It depends on depth and width, not on the scale of the weights.

    Args:
        fan_in: Width n ≥ 1.
        depth: Number L ≥ 0 of layers.
        negative_slope: Slope a; 0 is the ReLU, (1 + 5/n)^L, and 1 the identity, (1 + 2/n)^L.

    Returns:
        The ratio, ≥ 1, ∞ where it overflows; its excess over 1 is the squared coefficient of
        variation of q_L.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Example:
        >>> round(rectifier_spread(fan_in=256, depth=50), 3)
        2.63
    """
    check_between("fan_in", fan_in, 1, math.inf)
    _check_depth(depth)
    fourth = 6 * (1 + negative_slope**4) / (1 + negative_slope**2) ** 2
    return power(1 + (fourth - 1) / fan_in, depth)


def sample_mean_variance(variance: Array, *, n: int) -> Array:
    r"""Return the variance of the mean of n independent draws.

    $$\operatorname{Var}\Bigl[\frac1n\sum_{i=1}^n x_i\Bigr] = \frac{\sigma^2}{n}$$

    Args:
        variance: Variance σ² of one draw, any shape.
        n: Number of draws, ≥ 1.

    Returns:
        An array like `variance`.

    Raises:
        ValueError: If `n` is below 1.
        TypeError: If `variance` is not floating-point.

    Reference:
        Casella and Berger, Statistical Inference (2002), chapter 5.

    Example:
        >>> import numpy as np
        >>> float(sample_mean_variance(np.asarray(4.0), n=100))
        0.04
    """
    check_float("variance", variance)
    check_count("n", n, 1)
    return variance / n

r"""Xavier, He and orthogonal initialization: a standard deviation, and what is drawn with it.

A rule of initialization is a number: `xavier_std` or `kaiming_std`, from the fans and a gain.
Normal or uniform is a second, separate choice: `scaled_normal`, `scaled_uniform`.
"""

import math
from numbers import Integral
from typing import NamedTuple

from dlkb.arrays import Array, Generator, check_between, check_float, namespace, normal, uniform


class Fans(NamedTuple):
    """How many inputs a unit adds up, and how many units read one input."""

    fan_in: int
    fan_out: int


class SignalFactors(NamedTuple):
    """By what a linear layer multiplies the mean square of the signal and of the gradient."""

    forward: float
    backward: float


def fans(shape: tuple[int, ...], *, groups: int = 1) -> Fans:
    r"""Return fan-in and fan-out of a weight in torch's layout.

    $$n_\text{in} = c_\text{in}\textstyle\prod_i k_i, \qquad
      n_\text{out} = c_\text{out}\prod_i k_i$$

    Args:
        shape: Shape of the weight: (out, in) of a linear layer, (out, in, *kernel) of a
            convolution, (out, in / groups, *kernel) of a grouped one.
        groups: Number of groups of the convolution. The shape does not tell it.

    Returns:
        The two fans. Stride is not looked at: at stride s an input is read by s times fewer units
        along that axis than `fan_out` says.

    Raises:
        ValueError: If the shape has fewer than 2 axes, or `groups` does not divide its first.

    Note:
        Differs from Keras and JAX, whose kernels end in (in, out), and from transposed convolutions
        in torch, whose weight is (in, out, *kernel): swap the first two, and at stride s divide
        `fan_in` by s for each axis. At `groups=1` it is what
        `torch.nn.init` computes, also for grouped convolutions, whose fan-out is then `groups`
        times too large.

    Example:
        >>> fans((300, 100)), fans((64, 3, 7, 7))
        (Fans(fan_in=100, fan_out=300), Fans(fan_in=147, fan_out=3136))
        >>> fans((32, 1, 3, 3)), fans((32, 1, 3, 3), groups=32)
        (Fans(fan_in=9, fan_out=288), Fans(fan_in=9, fan_out=9))
    """
    if len(shape) < 2:
        raise ValueError(
            f"shape is {tuple(shape)}: fans need at least 2 axes, (out, in) or (out, in, *kernel)"
        )
    given: object = groups  # which may be an integer of NumPy
    if not isinstance(given, Integral) or groups < 1 or shape[0] % groups:
        raise ValueError(f"groups is {groups}: it must divide the first axis, {shape[0]}")
    kernel = math.prod(shape[2:])
    return Fans(shape[1] * kernel, shape[0] // groups * kernel)


def leaky_relu_gain(negative_slope: float = 0.0) -> float:
    r"""Return the gain that undoes what a (leaky) ReLU does to the mean square.

    $$g = \sqrt{\frac{2}{1 + a^2}}$$

    Args:
        negative_slope: Slope a for negative inputs; 0 is the ReLU, 1 the identity.

    Returns:
        The gain, √2 for the ReLU.

    Reference:
        He, Zhang, Ren and Sun, Delving Deep into Rectifiers (2015).

    Example:
        >>> round(leaky_relu_gain(), 3), leaky_relu_gain(1.0)
        (1.414, 1.0)
    """
    return (2 / (1 + negative_slope**2)) ** 0.5


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""Return the gain that torch recommends for an activation.

    Derived are 1 (linear), √2 (ReLU) and √(2 / (1 + a²)) (leaky ReLU). By convention: 5/3 for tanh,
    which keeps the activations up but lets the norm of gradients grow by a tenth a layer; 1 for
    sigmoid; 3/4 for SELU, found by trial. A self-normalizing network needs "linear", whose gain is
    1.

    Args:
        nonlinearity: "linear", "conv1d" … "conv3d", "conv_transpose1d" … "conv_transpose3d",
            "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: Negative slope of "leaky_relu", 0.01 by default. Others ignore it.

    Returns:
        The gain.

    Raises:
        ValueError: If the activation is unknown or `param` is not a number.

    Note:
        Equals `torch.nn.init.calculate_gain`. GELU and SiLU have no entry there.

    Example:
        >>> round(calculate_gain("relu"), 3), round(calculate_gain("tanh"), 3)
        (1.414, 1.667)
        >>> round(calculate_gain("leaky_relu", 0.2), 3)
        1.387
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity in (
        f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)
    ):
        return 1.0
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "relu":
        return leaky_relu_gain()
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"param is {param!r}: the negative slope must be a number")
        return leaky_relu_gain(0.01 if param is None else param)
    if nonlinearity == "selu":
        return 3 / 4
    raise ValueError(
        f"nonlinearity is {nonlinearity!r}: linear, conv1d, …, sigmoid, tanh, relu, leaky_relu and "
        "selu have a gain"
    )


def xavier_std(fan_in: float, fan_out: float, *, gain: float = 1.0) -> float:
    r"""Return the standard deviation of Xavier (Glorot) initialization.

    $$\sigma = g\,\sqrt{\frac{2}{n_\text{in} + n_\text{out}}}$$

    Args:
        fan_in: Inputs of a unit, n_in ≥ 0.
        fan_out: Units that read an input, n_out ≥ 0; not both fans are 0.
        gain: Factor g for the activation behind the layer.

    Returns:
        The standard deviation of a weight.

    Raises:
        ValueError: If a fan is negative or both are 0.

    Reference:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
        networks (2010).

    Example:
        >>> round(xavier_std(100, 300), 4)
        0.0707
    """
    check_between("fan_in", fan_in, 0, math.inf)
    check_between("fan_out", fan_out, 0, math.inf)
    check_between("fan_in + fan_out", fan_in + fan_out, 0, math.inf, closed="right")
    return gain * (2 / (fan_in + fan_out)) ** 0.5


def kaiming_std(fan: float, *, gain: float = 2**0.5) -> float:
    r"""Return the standard deviation of Kaiming (He) initialization.

    $$\sigma = \frac{g}{\sqrt{n}}$$

    Args:
        fan: fan-in, to keep the signal, or fan-out, to keep the gradient; n > 0.
        gain: Factor g for the activation; √2 is the ReLU's, 1 gives LeCun's initialization.

    Returns:
        The standard deviation of a weight.

    Raises:
        ValueError: If `fan` is not positive.

    Reference:
        He, Zhang, Ren and Sun, Delving Deep into Rectifiers (2015); LeCun, Bottou, Orr and
        Müller, Efficient BackProp (1998).

    Example:
        >>> kaiming_std(512)
        0.0625
    """
    check_between("fan", fan, 0, math.inf, closed="right")
    return gain / fan**0.5


def uniform_bound(std: float) -> float:
    r"""Return the bound of the uniform distribution around 0 with this standard deviation.

    $$b = \sqrt{3}\,\sigma$$

    Args:
        std: Standard deviation σ.

    Returns:
        The bound b of U(−b, b), whose variance is b²/3.

    Example:
        >>> round(uniform_bound(xavier_std(100, 300)), 4)
        0.1225
    """
    return 3**0.5 * std


def signal_factors(fan_in: float, fan_out: float, *, std: float) -> SignalFactors:
    r"""Return by what a linear layer multiplies mean squares, forwards and backwards.

    $$\frac{\mathbb{E}[z^2]}{\mathbb{E}[x^2]} = n_\text{in}\,\sigma^2, \qquad
      \frac{\mathbb{E}[\delta_x^2]}{\mathbb{E}[\delta_z^2]} = n_\text{out}\,\sigma^2$$

    δ is the derivative of the loss with respect to x and to z = Wx.

    Args:
        fan_in: Inputs of a unit, n_in.
        fan_out: Units that read an input, n_out.
        std: Standard deviation σ of a weight.

    Returns:
        Both factors. Behind a ReLU halve them.

    Example:
        >>> signal_factors(100, 300, std=xavier_std(100, 300))
        SignalFactors(forward=0.5, backward=1.5)
    """
    return SignalFactors(fan_in * std**2, fan_out * std**2)


def scaled_normal(like: Array, *, std: float, generator: Generator) -> Array:
    r"""Draw weights from N(0, σ²).

    Args:
        like: A floating-point array; the weights have its shape, dtype and device.
        std: Standard deviation σ, not the variance.
        generator: `numpy.random.Generator`, or `torch.Generator` with tensors; it advances.

    Returns:
        An array like `like`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.

    Note:
        Differs from the Glorot, He and LeCun normals of Keras and JAX, which cut the normal at two
        standard deviations and widen it again, to the same σ.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> scaled_normal(np.zeros(3), std=0.1, generator=rng).round(3)
        array([ 0.013, -0.013,  0.064])
    """
    return std * normal(like, generator=generator)


def scaled_uniform(like: Array, *, std: float, generator: Generator) -> Array:
    r"""Draw weights from U(−√3 σ, √3 σ), whose standard deviation is σ.

    Args:
        like: A floating-point array; the weights have its shape, dtype and device.
        std: Standard deviation σ; the bound is √3 times as large.
        generator: `numpy.random.Generator`, or `torch.Generator` with tensors; it advances.

    Returns:
        An array like `like`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> scaled_uniform(np.zeros(3), std=0.1, generator=rng).round(3)
        array([ 0.047, -0.08 , -0.159])
    """
    return uniform_bound(std) * (2 * uniform(like, generator=generator) - 1)


def orthogonalize(z: Array, *, gain: float = 1.0) -> Array:
    r"""Turn a Gaussian draw into a random orthogonal matrix, uniformly distributed.

    $$\mathbf{Z} = \mathbf{Q}\mathbf{R}, \qquad
      \mathbf{W} = g\,\mathbf{Q}\operatorname{diag}(\operatorname{sign} R_{ii})$$

    QR leaves the signs of the columns open, and libraries fix them by what is stable, so that Q
    alone is orthogonal but not uniform (Haar): LAPACK makes Q₁₁ negative, from two rows on. With
    R's diagonal made positive the factorization is unique and Q inherits the symmetry of Z.

    Args:
        z: Independent N(0, 1) entries, shape (out, in) or (out, in, *kernel). Axes after the first
            count as one.
        gain: Factor g: all singular values are g.

    Returns:
        An array like `z`: rows orthogonal where there are no more rows than columns, columns
        orthogonal otherwise. Half precision is factorized in float32.

    Raises:
        ValueError: If `z` has fewer than 2 axes, or an empty one.
        TypeError: If `z` is not floating-point.

    Reference:
        Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in
        deep linear neural networks (2014); Mezzadri, How to generate random matrices from the
        classical compact groups (2007), for the signs.

    Example:
        >>> import numpy as np
        >>> W = orthogonalize(np.asarray([[3.0, -1.0], [4.0, 2.0]]), gain=5.0)
        >>> W
        array([[ 3., -4.],
               [ 4.,  3.]])
    """
    check_float("z", z)
    if z.ndim < 2 or 0 in z.shape:
        raise ValueError(f"z has shape {tuple(z.shape)}: at least 2 axes, none empty, are needed")
    xp = namespace(z)
    wide = z if xp.finfo(z.dtype).bits >= 32 else xp.astype(z, xp.float32)
    flat = xp.reshape(wide, (z.shape[0], math.prod(z.shape[1:])))
    tall = flat.shape[0] >= flat.shape[1]
    Q, R = xp.linalg.qr(flat if tall else xp.matrix_transpose(flat))
    diagonal = xp.linalg.diagonal(R)
    Q = xp.where(diagonal < 0, -Q, Q)
    W = gain * (Q if tall else xp.matrix_transpose(Q))
    return xp.astype(xp.reshape(W, z.shape), z.dtype)

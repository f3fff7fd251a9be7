r"""Residual networks: the bottleneck block, the two paths of its gradient.

Batch normalization in evaluation is one gain and one shift a channel: folded into the convolution
in front (`dlkb.normalization.batch_norm.fold_into`), it leaves a kernel and a bias, as here.
"""

from typing import Literal, NamedTuple

from dlkb.activations.relu import relu, relu_vjp
from dlkb.arrays import Array, check_count, check_float, check_same_shape, namespace, widen
from dlkb.backpropagation.convolution import conv, conv_input_vjp

Stride = Literal["1x1", "3x3"]
"""Which convolution of a bottleneck halves the size: the paper's first, or the second."""


class Conv(NamedTuple):
    """A convolution with the normalization behind it folded in.

    Attributes:
        W: Kernels, shape (out, in, k, k).
        b: Bias, shape (out,).
    """

    W: Array
    b: Array


class Bottleneck(NamedTuple):
    """The convolutions of a bottleneck block.

    Attributes:
        reduce: 1×1, to a quarter of the channels that go out.
        spatial: 3×3, padded by 1.
        expand: 1×1, to all of them.
        project: 1×1 on the shortcut, or `None` where the shapes agree.
    """

    reduce: Conv
    spatial: Conv
    expand: Conv
    project: Conv | None = None


class Paths(NamedTuple):
    """What comes to a block's input by each way; the gradient is the sum.

    Attributes:
        shortcut: Past the branch.
        branch: Through the three convolutions.
    """

    shortcut: Array
    branch: Array


def bottleneck(
    x: Array, params: Bottleneck, *, stride: int = 1, stride_in: Stride = "3x3"
) -> Array:
    r"""Return the output of a bottleneck block.

    $$\mathbf{y} = \phi\bigl(S(\mathbf{x}) + F(\mathbf{x})\bigr),\qquad
      F = K_3\,\phi\,K_2\,\phi\,K_1,\qquad \phi(z) = \max(z, 0)$$

    K are convolutions, 1×1, 3×3 and 1×1; S is the identity, or a 1×1 convolution.

    Args:
        x: Images, shape (examples, channels, height, width).
        params: The convolutions. Without `project` the branch must keep the shape.
        stride: s ≥ 1, of one convolution of the branch, and of the projection.
        stride_in: Which convolution of the branch has the stride: "3x3", or "1x1", the first.

    Returns:
        Shape (examples, out, height / s, width / s), rounded up.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or options do not fit.

    Note:
        Differs from He et al., whose stride is in the first 1×1: "1x1" here. torchvision and
        most others have it in the 3×3. The results differ, the shapes do not.

    Reference:
        He et al., Deep Residual Learning for Image Recognition (2016).

    Example:
        >>> import numpy as np
        >>> one = Conv(np.ones((1, 1, 1, 1)), np.zeros(1))
        >>> nothing = Conv(np.zeros((1, 1, 3, 3)), np.zeros(1))
        >>> x = np.asarray([[[[1.0, -2.0], [3.0, 4.0]]]])
        >>> bottleneck(x, Bottleneck(one, nothing, one))  # relu(x + 0)
        array([[[[1., 0.],
                 [3., 4.]]]])
    """
    *_, total = _signals(x, params, stride, stride_in)
    return namespace(x).astype(relu(total), x.dtype, copy=False)


def bottleneck_vjp(
    x: Array,
    params: Bottleneck,
    cotangent: Array,
    *,
    stride: int = 1,
    stride_in: Stride = "3x3",
) -> Paths:
    r"""Return the gradient of a bottleneck block's input, by the way that it takes.

    $$\bar{\mathbf{x}} = \mathbf{S}^\top\mathbf{g} + \mathbf{J}_F^\top\mathbf{g},\qquad
      \mathbf{g} = \phi'(\mathbf{z})\circ\bar{\mathbf{y}},\qquad
      \mathbf{z} = S(\mathbf{x}) + F(\mathbf{x})$$

    Args:
        x: As for `bottleneck`.
        params: As for `bottleneck`.
        cotangent: Gradient of the output, in its shape.
        stride: As for `bottleneck`.
        stride_in: As for `bottleneck`.

    Returns:
        Two arrays like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or options do not fit.

    Example:
        >>> import numpy as np
        >>> one = Conv(np.ones((1, 1, 1, 1)), np.zeros(1))
        >>> half = Conv(np.zeros((1, 1, 3, 3)), np.zeros(1))
        >>> half.W[0, 0, 1, 1] = 0.5
        >>> x = np.ones((1, 1, 1, 1))
        >>> paths = bottleneck_vjp(x, Bottleneck(one, half, one), x)
        >>> paths.shortcut.item(), paths.branch.item()
        (1.0, 0.5)
    """
    check_float("cotangent", cotangent)
    hidden, middle, total = _signals(x, params, stride, stride_in)
    check_same_shape("cotangent", cotangent, "the output", total)
    first, second = _strides(stride, stride_in)
    g = relu_vjp(total, widen(cotangent))
    shortcut = g
    if params.project is not None:
        shortcut = _pull(params.project, g, x, stride=stride)
    branch = relu_vjp(middle, _pull(params.expand, g, middle))
    branch = relu_vjp(hidden, _pull(params.spatial, branch, hidden, stride=second, padding=1))
    branch = _pull(params.reduce, branch, x, stride=first)
    xp = namespace(x)
    return Paths(*(xp.astype(path, x.dtype, copy=False) for path in (shortcut, branch)))


def gradient_growth(chi: Array, *, blocks: int) -> Array:
    r"""Return the growth of the mean squared gradient, last block to first, at initialization.

    $$\prod_{k=1}^{L}\Bigl(1 + \frac{\chi}{k}\Bigr)$$

    For blocks $\mathbf{h} + F(\mathbf{h})$ whose branch ends in a batch norm: each adds 1 to the
    variance, so that the signal before block k has variance k, and the normalization divides the
    branch's derivative by √k. It grows like $L^\chi$; without skips like $\chi^L$.

    Args:
        chi: χ ≥ 0, growth through the branch alone for an input of variance 1; π/(π − 1) for a
            ReLU, a wide layer with random weights, and batch norm over many examples.
        blocks: L ≥ 0.

    Returns:
        An array like `chi`.

    Raises:
        TypeError: If `chi` is not floating-point.
        ValueError: If `blocks` is negative.

    Reference:
        De and Smith (2020). Yang et al. (2019), for χ.

    Example:
        >>> import numpy as np
        >>> gradient_growth(np.asarray([0.0, 1.0]), blocks=10)
        array([ 1., 11.])
    """
    check_float("chi", chi)
    check_count("blocks", blocks, 0)
    growth = namespace(chi).ones_like(chi)
    for k in range(1, blocks + 1):
        growth = growth * (1 + chi / k)
    return growth


def _strides(stride: int, stride_in: str) -> tuple[int, int]:
    if stride_in not in ("1x1", "3x3"):
        raise ValueError(f"stride_in is {stride_in!r}: it must be '1x1' or '3x3'")
    return (stride, 1) if stride_in == "1x1" else (1, stride)


def _signals(
    x: Array, params: Bottleneck, stride: int, stride_in: str
) -> tuple[Array, Array, Array]:
    """Return what stands before each of the three rectifiers."""
    first, second = _strides(stride, stride_in)
    hidden = _apply(params.reduce, x, stride=first)
    middle = _apply(params.spatial, relu(hidden), stride=second, padding=1)
    branch = _apply(params.expand, relu(middle))
    shortcut = widen(x)
    if params.project is not None:
        shortcut = _apply(params.project, x, stride=stride)
    check_same_shape("the shortcut", shortcut, "the branch", branch)
    return hidden, middle, shortcut + branch


def _apply(layer: Conv, x: Array, *, stride: int = 1, padding: int = 0) -> Array:
    check_float("x", x)
    return conv(widen(x), widen(layer.W), widen(layer.b), stride=stride, padding=padding)


def _pull(layer: Conv, g: Array, x: Array, *, stride: int = 1, padding: int = 0) -> Array:
    size = tuple(x.shape[2:])
    return conv_input_vjp(widen(layer.W), g, size=size, stride=stride, padding=padding)

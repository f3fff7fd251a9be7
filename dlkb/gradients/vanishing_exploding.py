r"""Vanishing and exploding gradients: layer Jacobians, the chain rule, expected factors.

Numerator layout throughout: the Jacobian of $\mathbf{y}(\mathbf{x})$ has a row for each output,
$J_{ij} = \partial y_i/\partial x_j$. A gradient is a column of the shape of what it belongs to,
and goes back by $\mathbf{J}^\top$.
"""

import math
from collections.abc import Sequence

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    norm,
    power,
)


def _check_layer(W: Array, slope: Array) -> None:
    check_float("W", W)
    check_float("slope", slope)
    if W.ndim != 2 or slope.ndim < 1 or slope.shape[-1] != W.shape[0]:
        raise ValueError(
            f"W has shape {tuple(W.shape)} and slope has shape {tuple(slope.shape)}: "
            "(m, n) and (..., m), one slope for each output, are needed"
        )


def sigmoid_slope(z: Array) -> Array:
    r"""Return the derivative of the logistic sigmoid.

    $$\sigma'(z) = \sigma(z)\,(1 - \sigma(z)) = \frac{e^{-z}}{(1 + e^{-z})^2} \le \tfrac14$$

    Args:
        z: Pre-activations, any shape.

    Returns:
        An array like `z`, accurate for large |z|, where 1 − σ(z) has no digits left.

    Raises:
        TypeError: If `z` is not floating-point.

    Example:
        >>> import numpy as np
        >>> sigmoid_slope(np.asarray([0.0, 4.0])).round(3)
        array([0.25 , 0.018])
    """
    check_float("z", z)
    xp = namespace(z)
    e = xp.exp(-xp.abs(z))
    return e / ((1 + e) * (1 + e))


def tanh_slope(z: Array) -> Array:
    r"""Return the derivative of the hyperbolic tangent.

    $$\tanh'(z) = 1 - \tanh^2 z = 4\,\sigma'(2z) \le 1$$

    Args:
        z: Pre-activations, any shape.

    Returns:
        An array like `z`, accurate for large |z|, where 1 − tanh² cancels.

    Raises:
        TypeError: If `z` is not floating-point.

    Example:
        >>> import numpy as np
        >>> tanh_slope(np.asarray([0.0, 2.0])).round(3)
        array([1.   , 0.071])
    """
    return 4 * sigmoid_slope(2 * z)


def softmax_jacobian(p: Array) -> Array:
    r"""Return the Jacobian of softmax, given its output.

    $$\mathbf{J} = \operatorname{diag}(\mathbf{p}) - \mathbf{p}\mathbf{p}^\top$$

    Symmetric, singular along the vector of ones, and diagonal only where it is zero: softmax is not
    elementwise.

    Args:
        p: Probabilities, shape (..., n).

    Returns:
        Shape (..., n, n); every singular value is at most 1/2.

    Raises:
        TypeError: If `p` is not floating-point.
        ValueError: If `p` has no axis.

    Example:
        >>> import numpy as np
        >>> softmax_jacobian(np.asarray([0.5, 0.5]))
        array([[ 0.25, -0.25],
               [-0.25,  0.25]])
    """
    check_float("p", p)
    if p.ndim < 1:
        raise ValueError("p has shape (): an axis of probabilities is needed")
    xp = namespace(p)
    identity = xp.eye(p.shape[-1], dtype=p.dtype, device=device(p))
    return p[..., :, None] * (identity - p[..., None, :])


def layer_jacobian(W: Array, slope: Array) -> Array:
    r"""Return the Jacobian of an elementwise activation behind an affine map.

    $$\mathbf{h}' = \phi(\mathbf{W}\mathbf{h} + \mathbf{b}), \qquad
      \frac{\partial\mathbf{h}'}{\partial\mathbf{h}}
      = \operatorname{diag}\bigl(\phi'(\mathbf{z})\bigr)\,\mathbf{W}$$

    Args:
        W: Weight, shape (m, n).
        slope: $\phi'(\mathbf{z})$, shape (..., m). At a kink, the slope that was chosen.

    Returns:
        Shape (..., m, n): row i of `W` times slope i. The bias enters through the slopes alone.

    Raises:
        ValueError: If the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Note:
        Differs from the gradient layout, in which it is
        $\mathbf{W}^\top\operatorname{diag}(\phi'(\mathbf{z}))$, the transpose.

    Reference:
        Goodfellow, Bengio and Courville, Deep Learning (2016), chapter 6.

    Example:
        >>> import numpy as np
        >>> layer_jacobian(np.ones((2, 3)), np.asarray([1.0, 0.5]))
        array([[1. , 1. , 1. ],
               [0.5, 0.5, 0.5]])
    """
    _check_layer(W, slope)
    return slope[..., :, None] * W


def layer_vjp(W: Array, slope: Array, cotangent: Array) -> Array:
    r"""Take a gradient back through one layer, without its Jacobian.

    $$\nabla_{\mathbf{h}} = \mathbf{W}^\top\bigl(\phi'(\mathbf{z})\circ\nabla_{\mathbf{h}'}\bigr)$$

    Args:
        W: Weight, shape (m, n).
        slope: $\phi'(\mathbf{z})$, shape (..., m).
        cotangent: The gradient with respect to the layer's output, shape (..., m).

    Returns:
        The gradient with respect to its input, shape (..., n).

    Raises:
        ValueError: If the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> slope, cotangent = np.asarray([1.0, 0.5]), np.asarray([1.0, 2.0])
        >>> layer_vjp(np.ones((2, 3)), slope, cotangent)
        array([2., 2., 2.])
    """
    _check_layer(W, slope)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "slope", slope)
    return namespace(W, slope, cotangent).matmul(slope * cotangent, W)


def backward_chain(
    weights: Sequence[Array], slopes: Sequence[Array], cotangent: Array
) -> tuple[Array, ...]:
    r"""Return the gradient with respect to every layer's signal, by the chain rule.

    $$\nabla_{\mathbf{h}_{l-1}} = \mathbf{J}_l^\top\nabla_{\mathbf{h}_l}, \qquad
      \nabla_{\mathbf{h}_k} = \mathbf{J}_{k+1}^\top\cdots\mathbf{J}_L^\top\nabla_{\mathbf{h}_L}$$

    Args:
        weights: $\mathbf{W}_1, \dots, \mathbf{W}_L$, the first layer first; shapes (n_l, n_{l-1}).
        slopes: $\phi'(\mathbf{z}_1), \dots$, shapes (..., n_l).
        cotangent: $\nabla_{\mathbf{h}_L}$, shape (..., n_L).

    Returns:
        L + 1 gradients, with respect to $\mathbf{h}_0, \dots, \mathbf{h}_L$.

    Raises:
        ValueError: If the numbers of weights and slopes differ, or shapes do not fit.
        TypeError: If an argument is not floating-point.

    Note:
        For a chain only. With skips or shared weights the gradients of all paths are added.

    Example:
        >>> import numpy as np
        >>> W = np.asarray([[0.5]])
        >>> one = np.ones(1)
        >>> [float(g[0]) for g in backward_chain([W, W, W], [one, one, one], one)]
        [0.125, 0.25, 0.5, 1.0]
    """
    if len(weights) != len(slopes):
        raise ValueError(
            f"weights has {len(weights)} layers but slopes has {len(slopes)}: one for each layer"
        )
    gradients = [cotangent]
    for W, slope in zip(reversed(weights), reversed(slopes), strict=True):
        gradients.append(layer_vjp(W, slope, gradients[-1]))
    return tuple(reversed(gradients))


def weight_gradient(slope: Array, h: Array, cotangent: Array) -> Array:
    r"""Return the gradient with respect to a layer's weight.

    $$\nabla_{\mathbf{W}} = \sum_b \bigl(\phi'(\mathbf{z}_b)\circ\nabla_{\mathbf{h}'_b}\bigr)
      \,\mathbf{h}_b^\top$$

    Args:
        slope: $\phi'(\mathbf{z})$, shape (..., m).
        h: The layer's input, shape (..., n), with the same batch axes.
        cotangent: The gradient with respect to its output, shape (..., m).

    Returns:
        Shape (m, n), summed over the batch axes b; of rank at most 1 for one example.

    Raises:
        ValueError: If the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> one = np.ones(2)
        >>> weight_gradient(one, np.asarray([3.0, 4.0]), np.asarray([1.0, 10.0]))
        array([[ 3.,  4.],
               [30., 40.]])
    """
    for name, x in (("slope", slope), ("h", h), ("cotangent", cotangent)):
        check_float(name, x)
    check_same_shape("cotangent", cotangent, "slope", slope)
    if h.ndim < 1 or slope.ndim < 1 or tuple(h.shape[:-1]) != tuple(slope.shape[:-1]):
        raise ValueError(
            f"h has shape {tuple(h.shape)} and slope has shape {tuple(slope.shape)}: "
            "(..., n) and (..., m) with the same batch axes are needed"
        )
    xp = namespace(slope, h, cotangent)
    # Sizes written out: a reshape to −1 has no answer for an empty batch.
    batch = math.prod(h.shape[:-1])
    back = xp.reshape(slope * cotangent, (batch, slope.shape[-1]))
    return xp.matmul(xp.matrix_transpose(back), xp.reshape(h, (batch, h.shape[-1])))


def weight_jacobian_norm(slope: Array, h: Array) -> Array:
    r"""Return the largest gain from a change of the weight to a change of the output.

    $$\left\lVert\frac{\partial\mathbf{h}'}{\partial\operatorname{vec}\mathbf{W}}\right\rVert_2
      = \max_i\lvert\phi'(z_i)\rvert\;\lVert\mathbf{h}\rVert_2$$

    The derivative by a matrix has three axes; as a matrix it is
    $\operatorname{diag}(\phi'(\mathbf{z}))\,(\mathbf{I}\otimes\mathbf{h}^\top)$, rows of W in turn.

    Args:
        slope: $\phi'(\mathbf{z})$, shape (..., m), m ≥ 1.
        h: The layer's input, shape (..., n).

    Returns:
        Shape (...).

    Raises:
        ValueError: If an argument has no axis, there is no slope, or the batch axes differ.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> slope, h = np.asarray([0.1, -0.5]), np.asarray([3.0, 4.0])
        >>> float(weight_jacobian_norm(slope, h))
        2.5
    """
    check_float("slope", slope)
    check_float("h", h)
    if slope.ndim < 1 or h.ndim < 1 or slope.shape[-1] == 0:
        raise ValueError(
            f"slope has shape {tuple(slope.shape)} and h has shape {tuple(h.shape)}: "
            "(..., m) with m of at least 1 and (..., n) are needed"
        )
    xp = namespace(slope, h)
    largest, length = xp.max(xp.abs(slope), axis=-1), norm(h, axis=-1)
    check_same_shape("the batch of slope", largest, "that of h", length)
    return largest * length


def rectifier_gradient_factor(
    *, sigma_w: float, negative_slope: float = 0.0, depth: int = 1
) -> float:
    r"""Return the expected growth of a gradient's squared length on its way to the input.

    $$\frac{\mathbb{E}\lVert\nabla_{\mathbf{h}_0}\rVert^2}{\mathbb{E}\lVert\nabla_{\mathbf{h}_L}\rVert^2}
      = \left(\frac{\sigma_w^2(1 + a^2)}{2}\right)^L$$

    Exact at finite width for L layers of (leaky) ReLU, if weights are independent, symmetric about
    0 and of variance $\sigma_w^2$ / fan-in, biases are 0 or drawn symmetrically as well, no
    pre-activation is exactly 0, and the gradient at the output is independent of all of them, with
    uncorrelated entries of mean 0 and one variance. The gradients of ‖h_L‖²/2 and of a sum of h_L
    are not so: they come back longer.

    Args:
        sigma_w: √fan-in times the standard deviation of a weight, ≥ 0.
        negative_slope: Slope a for negative inputs; 0 is the ReLU, 1 a linear network.
        depth: Number L ≥ 0 of layers.

    Returns:
        The ratio of mean squares, ∞ where it overflows; its root is what norms show. 1 for He
        initialization.

    Raises:
        ValueError: If `sigma_w` or `depth` is negative.

    Reference:
        He, Zhang, Ren and Sun, Delving Deep into Rectifiers (2015).

    Example:
        >>> round(rectifier_gradient_factor(sigma_w=2**0.5, depth=50), 1)
        1.0
        >>> square = rectifier_gradient_factor(sigma_w=1.0, depth=50)  # Xavier
        >>> f"{square**0.5:.2e}"  # what the norm changes by
        '2.98e-08'
    """
    check_between("sigma_w", sigma_w, 0, math.inf)
    check_count("depth", depth, 0)
    # Products, since Python raises where the square of a number overflows.
    factor = sigma_w * sigma_w * (1 + negative_slope * negative_slope) / 2
    return power(factor, depth)


def residual_gradient_factor(chi: Array, *, scale: float = 1.0, depth: int = 1) -> Array:
    r"""Return the expected growth of a gradient's squared length through residual blocks.

    $$\frac{\mathbb{E}\lVert\nabla_{\mathbf{h}_0}\rVert^2}{\mathbb{E}\lVert\nabla_{\mathbf{h}_L}\rVert^2}
      = (1 + \alpha^2\chi)^L$$

    For blocks $\mathbf{h} + \alpha F(\mathbf{h})$ whose branch ends in fresh weights of mean 0.
    This mean does not fall, whatever α; it stays below $e^\chi$ with α² = 1/L. A branch that has
    learned F(h) = −h loses all of the gradient.

    Args:
        chi: χ ≥ 0, the factor of the branch alone, any shape.
        scale: α, the factor before the branch.
        depth: Number L ≥ 0 of blocks.

    Returns:
        An array like `chi`.

    Raises:
        ValueError: If `depth` is negative.
        TypeError: If `chi` is not floating-point.

    Reference:
        De and Smith, Batch normalization biases residual blocks towards the identity function in
        deep networks (2020).

    Example:
        >>> import numpy as np
        >>> chi = np.asarray(1.0)
        >>> float(residual_gradient_factor(chi, depth=50) ** 0.5)
        33554432.0
        >>> square = residual_gradient_factor(chi, scale=50**-0.5, depth=50)
        >>> round(float(square**0.5), 3)
        1.641
    """
    check_float("chi", chi)
    check_count("depth", depth, 0)
    return (1 + scale**2 * chi) ** depth


def depth_until(gain: Array, *, ratio: float) -> Array:
    r"""Return after how many layers of one gain a gradient has changed by a ratio.

    $$L = \frac{\log r}{\log g}$$

    Args:
        gain: Factor g > 0 by which a layer changes the norm, any shape.
        ratio: The ratio r > 0 that is waited for, such as 1e-8, Adam's ε.

    Returns:
        An array like `gain`, not rounded; ∞ at g = 1, negative where g leads away from r.

    Raises:
        ValueError: If `ratio` is not positive.
        TypeError: If `gain` is not floating-point.

    Example:
        >>> import numpy as np
        >>> depth_until(np.asarray([0.25, 0.9, 1.0]), ratio=1e-8).round(3)
        array([ 13.288, 174.835,     inf])
    """
    check_float("gain", gain)
    check_between("ratio", ratio, 0, math.inf, closed="neither")
    xp = namespace(gain)
    rate = xp.log(gain)
    safe = xp.where(rate == 0, xp.ones_like(rate), rate)
    return xp.where(rate == 0, xp.full_like(rate, xp.inf), math.log(ratio) / safe)

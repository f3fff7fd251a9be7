r"""Backpropagation by hand: products, sums, softmax with cross entropy, and a two-layer network.

A bar marks the gradient of the loss: $\bar{\mathbf{x}} = \nabla_{\mathbf{x}} L$ has the shape of
$\mathbf{x}$. Each `*_vjp` takes what the forward pass took (or gave) and the gradient of its
output, called `cotangent`, and returns the gradients of its inputs. `mlp_vjp` starts at the loss
and takes no `cotangent`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    broadcast_shape,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
)
from dlkb.losses.cross_entropy import log_softmax


def sum_to_shape(cotangent: Array, shape: tuple[int, ...]) -> Array:
    r"""Return the gradient of what was broadcast: the sum over the copies that were made of it.

    $$\mathbf{y}_{bi} = x_i \quad\Rightarrow\quad \bar x_i = \sum_b \bar y_{bi}$$

    The bias of a layer, a weight shared by a batch and a scalar factor are all broadcast.

    Args:
        cotangent: Gradient of the broadcast array, floating-point.
        shape: Shape before broadcasting.

    Returns:
        An array of shape `shape`.

    Raises:
        TypeError: If `cotangent` is not floating-point.
        ValueError: If `shape` does not broadcast to the shape of `cotangent`.

    Example:
        >>> import numpy as np
        >>> sum_to_shape(np.ones((4, 2, 3)), (2, 1))
        array([[12.],
               [12.]])
    """
    check_float("cotangent", cotangent)
    xp = namespace(cotangent)
    new = cotangent.ndim - len(shape)
    given = tuple(cotangent.shape)
    pairs = list(zip(shape, given[max(new, 0) :], strict=False))
    if new < 0 or any(n not in (1, m) for n, m in pairs):
        raise ValueError(f"shape is {tuple(shape)}: it must broadcast to {given}, the cotangent's")
    stretched = tuple(new + i for i, (n, m) in enumerate(pairs) if n != m)
    summed = xp.sum(cotangent, axis=(*range(new), *stretched)) if new or stretched else cotangent
    return xp.reshape(summed, tuple(shape))


def matmul_vjp(a: Array, b: Array, cotangent: Array) -> tuple[Array, Array]:
    r"""Return the gradients of both factors of a matrix product.

    $$\mathbf{Y} = \mathbf{A}\mathbf{B} \quad\Rightarrow\quad
    \bar{\mathbf{A}} = \bar{\mathbf{Y}}\,\mathbf{B}^\top,\qquad
    \bar{\mathbf{B}} = \mathbf{A}^\top\,\bar{\mathbf{Y}}$$

    With batch axes the last two are transposed, and gradients are summed over the copies that
    broadcasting made.

    Args:
        a: Left factor, shape (..., n, k).
        b: Right factor, shape (..., k, m); the batch axes broadcast.
        cotangent: Gradient of `a @ b`, shape (..., n, m).

    Returns:
        The gradients of `a` and `b`, in their shapes.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a factor has fewer than two axes, or the shapes do not fit.

    Reference:
        Giles, Collected Matrix Derivative Results (2008).

    Example:
        >>> import numpy as np
        >>> a, b = np.asarray([[1.0, 2.0]]), np.asarray([[3.0], [4.0]])
        >>> matmul_vjp(a, b, np.asarray([[10.0]]))
        (array([[30., 40.]]), array([[10.],
               [20.]]))
    """
    for name, x in (("a", a), ("b", b), ("cotangent", cotangent)):
        check_float(name, x)
        if x.ndim < 2:
            raise ValueError(f"{name} has shape {tuple(x.shape)}: two axes or more are needed")
    xp = namespace(a, b, cotangent)
    batch = broadcast_shape(a.shape[:-2], b.shape[:-2])
    product = None if batch is None else (*batch, a.shape[-2], b.shape[-1])
    if a.shape[-1] != b.shape[-2] or tuple(cotangent.shape) != product:
        raise ValueError(
            f"a has shape {tuple(a.shape)}, b {tuple(b.shape)} and cotangent "
            f"{tuple(cotangent.shape)}: (..., n, k), (..., k, m) and (..., n, m) are needed"
        )
    a_bar = xp.matmul(cotangent, xp.matrix_transpose(b))
    b_bar = xp.matmul(xp.matrix_transpose(a), cotangent)
    return sum_to_shape(a_bar, tuple(a.shape)), sum_to_shape(b_bar, tuple(b.shape))


def linear(x: Array, W: Array, b: Array | None = None) -> Array:
    r"""Apply a linear layer to rows.

    $$\mathbf{Y} = \mathbf{X}\mathbf{W}^\top + \mathbf{b}^\top$$

    Args:
        x: Inputs, shape (..., n_in): one example a row, or one for each position of a sequence.
        W: Weight, shape (n_out, n_in).
        b: Bias, shape (n_out,), or `None`.

    Returns:
        The outputs, shape (..., n_out).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> x, W = np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]])
        >>> linear(x, W, np.asarray([0.5]))
        array([[11.5]])
    """
    _check_layer(x, W)
    xp = namespace(x, W, b)
    y = xp.matmul(x, xp.matrix_transpose(W))
    if b is None:
        return y
    check_float("b", b)
    if tuple(b.shape) != (W.shape[0],):
        raise ValueError(f"b has shape {tuple(b.shape)}: ({W.shape[0]},) fits W's outputs")
    return y + b


def linear_vjp(x: Array, W: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    r"""Return the gradients of a linear layer.

    $$\bar{\mathbf{X}} = \bar{\mathbf{Y}}\mathbf{W},\qquad
    \bar{\mathbf{W}} = \bar{\mathbf{Y}}^\top\mathbf{X},\qquad
    \bar{\mathbf{b}} = \sum_i \bar{\mathbf{y}}_i$$

    Args:
        x: Inputs, shape (..., n_in).
        W: Weight, shape (n_out, n_in).
        cotangent: Gradient of the outputs, shape (..., n_out).

    Returns:
        The gradients of `x`, of `W` and of the bias.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> x, W = np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 4.0]])
        >>> linear_vjp(x, W, np.asarray([[10.0]]))
        (array([[30., 40.]]), array([[10., 20.]]), array([10.]))
    """
    _check_layer(x, W)
    check_float("cotangent", cotangent)
    if tuple(cotangent.shape) != (*x.shape[:-1], W.shape[0]):
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: {(*x.shape[:-1], W.shape[0])}, "
            "that of the outputs, is needed"
        )
    xp = namespace(x, W, cotangent)
    examples = math.prod(x.shape[:-1])  # −1 could not be inferred for a layer of no width
    rows = xp.reshape(cotangent, (examples, W.shape[0]))
    W_bar = xp.matmul(xp.matrix_transpose(rows), xp.reshape(x, (examples, W.shape[1])))
    return xp.matmul(cotangent, W), W_bar, xp.sum(rows, axis=0)


def tanh_vjp(h: Array, cotangent: Array) -> Array:
    r"""Return the gradient of the input of tanh, from its output.

    $$h = \tanh z \quad\Rightarrow\quad \bar z = \bar h\,(1 - h)(1 + h)$$

    An elementwise function multiplies by its slope, entry by entry. This slope follows from the
    output, so that the input need not be kept.

    Args:
        h: Output of the forward pass, any shape, entries in [−1, 1].
        cotangent: Gradient of `h`, in its shape.

    Returns:
        An array like `h`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Note:
        Differs from `dlkb.gradients.vanishing_exploding.tanh_slope`, which takes z and keeps its
        digits where h rounds to 1; frameworks keep h, as here.

    Example:
        >>> import numpy as np
        >>> tanh_vjp(np.asarray([0.0, 0.5, 1.0]), np.asarray([2.0, 2.0, 2.0]))
        array([2. , 1.5, 0. ])
    """
    check_float("h", h)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "h", h)
    return cotangent * ((1 - h) * (1 + h))


def softmax_cross_entropy(logits: Array, target: Array) -> Array:
    r"""Return the cross entropy of each example, from logits.

    $$\ell = -\sum_k y_k \log p_k,\qquad p_k = \frac{e^{o_k}}{\sum_j e^{o_j}}$$

    Args:
        logits: o, shape (..., classes).
        target: y, the probability of each class, in the shape of `logits`; one-hot for labels.

    Returns:
        Losses, shape (...,). A class of probability 0 may have a logit of −inf.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or there is no class.

    Note:
        Differs from `torch.nn.functional.cross_entropy` with probabilities: classes last, no
        mean, and 0 in the place of NaN where a target of 0 meets a logit of −inf.

    Example:
        >>> import numpy as np
        >>> logits = np.asarray([[0.0, 0.0], [50.0, 0.0]])
        >>> target = np.asarray([[1.0, 0.0], [0.0, 1.0]])
        >>> softmax_cross_entropy(logits, target).round(3)
        array([ 0.693, 50.   ])
    """
    log_p = _log_probabilities(logits, target)
    xp = namespace(log_p)
    return -xp.sum(target * xp.where(target == 0, xp.zeros_like(log_p), log_p), axis=-1)


def softmax_cross_entropy_vjp(logits: Array, target: Array, cotangent: Array) -> Array:
    r"""Return the gradient of the logits: softmax and cross entropy in one step.

    $$\bar o_k = \bar\ell\,\Bigl(p_k \sum_j y_j - y_k\Bigr)$$

    For probabilities the sum is one, and the gradient is p − y: finite where p underflows.

    Args:
        logits: o, shape (..., classes).
        target: y, in the shape of `logits`.
        cotangent: Gradient of the losses, shape (...,).

    Returns:
        An array like `logits`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> logits, target = np.zeros((1, 4)), np.asarray([[0.0, 1.0, 0.0, 0.0]])
        >>> softmax_cross_entropy_vjp(logits, target, np.ones(1))
        array([[ 0.25, -0.75,  0.25,  0.25]])
    """
    log_p = _log_probabilities(logits, target)
    check_float("cotangent", cotangent)
    if tuple(cotangent.shape) != tuple(logits.shape[:-1]):
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: {tuple(logits.shape[:-1])}, one for "
            "each example, is needed"
        )
    xp = namespace(log_p)
    total = xp.sum(target, axis=-1, keepdims=True)
    return cotangent[..., None] * (xp.exp(log_p) * total - target)


class MLP(NamedTuple):
    """The parameters of a two-layer network, or anything of their shapes: gradients, tangents.

    Attributes:
        W1: First weight, shape (hidden, n_in).
        b1: First bias, shape (hidden,).
        W2: Second weight, shape (classes, hidden).
        b2: Second bias, shape (classes,).
    """

    W1: Array
    b1: Array
    W2: Array
    b2: Array


def mlp(x: Array, target: Array, params: MLP, *, l2: float = 0.0) -> Array:
    r"""Return the objective of a two-layer network: mean cross entropy and weight decay.

    $$\mathbf{h} = \tanh(\mathbf{W}_1\mathbf{x} + \mathbf{b}_1),\qquad
    \mathbf{o} = \mathbf{W}_2\mathbf{h} + \mathbf{b}_2,\qquad
    J = \ell(\mathbf{o}, \mathbf{y})
      + \tfrac\lambda2\left(\lVert\mathbf{W}_1\rVert_F^2 + \lVert\mathbf{W}_2\rVert_F^2\right)$$

    Args:
        x: Inputs, shape (..., n_in).
        target: Probabilities, shape (..., classes).
        params: Weights and biases; biases are not decayed.
        l2: Strength of the decay λ ≥ 0.

    Returns:
        A 0-d array. Of no examples it is the decay alone.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is negative.

    Example:
        >>> import numpy as np
        >>> params = MLP(*map(np.zeros, ((3, 2), 3, (4, 3), 4)))
        >>> loss = mlp(np.ones((5, 2)), np.eye(4)[[0, 1, 2, 3, 0]], params)
        >>> round(float(loss), 4)
        1.3863
    """
    check_between("l2", l2, 0, math.inf, closed="left")
    _, logits = _hidden(x, params)
    losses = softmax_cross_entropy(logits, target)
    xp = namespace(losses)
    squares = xp.sum(params.W1 * params.W1) + xp.sum(params.W2 * params.W2)
    return xp.sum(losses) / max(math.prod(losses.shape), 1) + 0.5 * l2 * squares


def mlp_vjp(x: Array, target: Array, params: MLP, *, l2: float = 0.0) -> MLP:
    r"""Return the gradient of `mlp`, layer by layer from the loss back.

    $$\bar{\mathbf{o}} = \mathbf{p} - \mathbf{y},\quad
    \bar{\mathbf{W}}_2 = \bar{\mathbf{o}}\,\mathbf{h}^\top + \lambda\mathbf{W}_2,\quad
    \bar{\mathbf{h}} = \mathbf{W}_2^\top\bar{\mathbf{o}},\quad
    \bar{\mathbf{z}} = \bar{\mathbf{h}} \circ (1 - \mathbf{h}^2),\quad
    \bar{\mathbf{W}}_1 = \bar{\mathbf{z}}\,\mathbf{x}^\top + \lambda\mathbf{W}_1$$

    Args:
        x: Inputs, shape (..., n_in).
        target: Probabilities, shape (..., classes).
        params: Weights and biases.
        l2: Strength of the decay λ ≥ 0.

    Returns:
        The gradients, in the shapes of the parameters.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is negative.

    Reference:
        Rumelhart, Hinton and Williams, Learning representations by back-propagating errors (1986).

    Example:
        >>> import numpy as np
        >>> params = MLP(*map(np.zeros, ((3, 2), 3, (4, 3), 4)))
        >>> mlp_vjp(np.ones((1, 2)), np.eye(4)[[1]], params).b2
        array([ 0.25, -0.75,  0.25,  0.25])
    """
    check_between("l2", l2, 0, math.inf, closed="left")
    h, logits = _hidden(x, params)
    xp = namespace(logits)
    examples = max(math.prod(logits.shape[:-1]), 1)
    each = xp.ones_like(xp.sum(logits, axis=-1)) / examples
    o_bar = softmax_cross_entropy_vjp(logits, target, each)
    h_bar, W2_bar, b2_bar = linear_vjp(h, params.W2, o_bar)
    _, W1_bar, b1_bar = linear_vjp(x, params.W1, tanh_vjp(h, h_bar))
    return MLP(W1_bar + l2 * params.W1, b1_bar, W2_bar + l2 * params.W2, b2_bar)


def mlp_jvp(x: Array, target: Array, params: MLP, tangent: MLP, *, l2: float = 0.0) -> Array:
    r"""Return the slope of `mlp` along one direction in the parameters: forward mode.

    $$\dot{\mathbf{z}} = \dot{\mathbf{W}}_1\mathbf{x} + \dot{\mathbf{b}}_1,\quad
    \dot{\mathbf{h}} = \dot{\mathbf{z}} \circ (1 - \mathbf{h}^2),\quad
    \dot{\mathbf{o}} = \dot{\mathbf{W}}_2\mathbf{h} + \mathbf{W}_2\dot{\mathbf{h}}
      + \dot{\mathbf{b}}_2,\quad
    \dot J = (\mathbf{p} - \mathbf{y})^\top\dot{\mathbf{o}}
      + \lambda\sum_l \langle \mathbf{W}_l, \dot{\mathbf{W}}_l\rangle$$

    Args:
        x: Inputs, shape (..., n_in).
        target: Probabilities, shape (..., classes).
        params: Weights and biases.
        tangent: The direction, in the shapes of `params`.
        l2: Strength of the decay λ ≥ 0.

    Returns:
        A 0-d array: the inner product of `tangent` and the gradient.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `l2` is negative.

    Example:
        >>> import numpy as np
        >>> params = MLP(*map(np.zeros, ((3, 2), 3, (2, 3), 2)))
        >>> tangent = params._replace(b2=np.asarray([1.0, 0.0]))
        >>> x, target = np.ones((1, 2)), np.eye(2)[[1]]
        >>> float(mlp_jvp(x, target, params, tangent))
        0.5
    """
    check_between("l2", l2, 0, math.inf, closed="left")
    for name, p, t in zip(MLP._fields, params, tangent, strict=True):
        check_same_shape(f"tangent.{name}", t, f"params.{name}", p)
    h, logits = _hidden(x, params)
    h_dot = tanh_vjp(h, linear(x, tangent.W1, tangent.b1))  # diagonal, so its own transpose
    o_dot = linear(h, tangent.W2, tangent.b2) + linear(h_dot, params.W2)
    xp = namespace(logits)
    examples = max(math.prod(logits.shape[:-1]), 1)
    each = xp.ones_like(xp.sum(logits, axis=-1)) / examples
    loss_dot = xp.sum(softmax_cross_entropy_vjp(logits, target, each) * o_dot)
    decay = xp.sum(params.W1 * tangent.W1) + xp.sum(params.W2 * tangent.W2)
    return loss_dot + l2 * decay


def matmul_flops(
    widths: Sequence[int], *, batch: int = 1, input_gradient: bool = False
) -> tuple[int, int]:
    r"""Count the operations of the matrix products of a stack of linear layers.

    $$F = 2B\sum_{l=1}^{L} n_{l-1} n_l,\qquad R = 2F - 2B\,n_0 n_1$$

    A layer multiplies once going forward and twice going back, for its weight and for its input;
    the gradient of the first layer's input is not needed for training.

    Args:
        widths: Sizes n₀, …, n_L of input, hidden layers and output, two or more, each ≥ 1.
        batch: Number of examples B ≥ 0.
        input_gradient: Whether the gradient of the input is computed too; then R = 2F.

    Returns:
        Floating-point operations of the forward pass and of the backward pass, a multiplication
        and an addition counted as two. Biases and activations are not counted.

    Raises:
        ValueError: If there are fewer than two widths, or a size is out of its range.

    Example:
        >>> matmul_flops((64, 16, 10), batch=32)
        (75776, 86016)
    """
    if len(widths) < 2:
        raise ValueError(f"widths is {tuple(widths)}: input and output, two or more, are needed")
    for i, width in enumerate(widths):
        check_between(f"widths[{i}]", width, 1, math.inf, closed="left")
    check_count("batch", batch, 0)
    forward = 2 * batch * sum(m * n for m, n in pairwise(widths))
    first = 0 if input_gradient else 2 * batch * widths[0] * widths[1]
    return forward, 2 * forward - first


def _check_layer(x: Array, W: Array) -> None:
    check_float("x", x)
    check_float("W", W)
    if x.ndim < 1 or W.ndim != 2 or x.shape[-1] != W.shape[1]:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and W {tuple(W.shape)}: (..., n_in) and (n_out, n_in) "
            "are needed"
        )


def _log_probabilities(logits: Array, target: Array) -> Array:
    check_float("logits", logits)
    check_float("target", target)
    check_same_shape("target", target, "logits", logits)
    if logits.ndim < 1 or logits.shape[-1] == 0:
        raise ValueError(f"logits has shape {tuple(logits.shape)}: one class or more is needed")
    return log_softmax(logits)


def _hidden(x: Array, params: MLP) -> tuple[Array, Array]:
    z = linear(x, params.W1, params.b1)
    h = namespace(z).tanh(z)
    return h, linear(h, params.W2, params.b2)

r"""Gated linear units: one half of the entries decides how much of the other half passes.

The **value** enters as it is, the **gate** through an activation. Weights have the shape
(out, in).
"""

from typing import NamedTuple

from dlkb.activations.gelu import gelu, gelu_vjp, swish, swish_vjp
from dlkb.activations.relu import relu, relu_vjp
from dlkb.activations.sigmoid import sigmoid, sigmoid_vjp
from dlkb.arrays import Array, check_float, check_same_shape, namespace

VARIANTS = ("bilinear", "glu", "reglu", "geglu", "swiglu")


class GatedGradients(NamedTuple):
    """Gradients with respect to value and gate, like them."""

    value: Array
    gate: Array


def _check_pair(name: str, x: Array, other_name: str, other: Array) -> None:
    check_float(name, x)
    check_float(other_name, other)
    check_same_shape(name, x, other_name, other)


def _activation(gate: Array, variant: str, beta: float | Array) -> tuple[Array, Array]:
    """Return what the value is multiplied by, and its derivative."""
    ones = namespace(gate).ones_like(gate)
    if variant == "bilinear":
        return gate, ones
    if variant == "glu":
        return sigmoid(gate), sigmoid_vjp(gate, ones)
    if variant == "reglu":
        return relu(gate), relu_vjp(gate, ones)
    if variant == "geglu":
        return gelu(gate), gelu_vjp(gate, ones)
    if variant == "swiglu":
        return swish(gate, beta=beta), swish_vjp(gate, ones, beta=beta).x
    raise ValueError(f"variant is {variant!r}: it must be one of {VARIANTS}")


def gated(value: Array, gate: Array, *, variant: str = "glu", beta: float | Array = 1.0) -> Array:
    r"""Multiply a value by an activation of its gate.

    $$\mathbf{v} \circ \phi(\mathbf{g})$$

    φ is the identity in "bilinear", σ in "glu", ReLU in "reglu", GELU in "geglu" and Swish in
    "swiglu".

    Args:
        value: Any shape.
        gate: Like `value`.
        variant: One of `VARIANTS`.
        beta: Sharpness of Swish, for "swiglu" alone.

    Returns:
        An array like `value`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or there is no such variant.

    Reference:
        Shazeer, GLU Variants Improve Transformer, 2020.

    Example:
        >>> import numpy as np
        >>> gated(np.asarray([1.0, 1.0]), np.asarray([0.0, 3.0])).round(3)
        array([0.5  , 0.953])
    """
    _check_pair("gate", gate, "value", value)
    return value * _activation(gate, variant, beta)[0]


def gated_vjp(
    value: Array,
    gate: Array,
    cotangent: Array,
    *,
    variant: str = "glu",
    beta: float | Array = 1.0,
) -> GatedGradients:
    r"""Pull a gradient back through `gated`: no derivative of φ on the way to the value.

    $$\nabla_{\mathbf{v}} L = \phi(\mathbf{g}) \circ \nabla L, \qquad
      \nabla_{\mathbf{g}} L = \mathbf{v} \circ \phi'(\mathbf{g}) \circ \nabla L$$

    Args:
        value: As in the forward pass.
        gate: As in the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        variant: As in the forward pass.
        beta: As in the forward pass.

    Returns:
        Gradients with respect to value and gate.

    Raises:
        TypeError: As `gated`.
        ValueError: As `gated`.

    Reference:
        Dauphin et al., Language Modeling with Gated Convolutional Networks, 2017, section 3.

    Example:
        >>> import numpy as np
        >>> one = np.ones(1)
        >>> gated_vjp(5 * one, 2 * one, one).value.round(4)
        array([0.8808])
    """
    _check_pair("gate", gate, "value", value)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "value", value)
    opened, slope = _activation(gate, variant, beta)
    # A slope of 0 comes first: the product of the others may overflow.
    return GatedGradients(cotangent * opened, slope * value * cotangent)


def glu(x: Array, *, axis: int = -1) -> Array:
    r"""Split an array in halves and gate the first by the sigmoid of the second.

    $$\mathbf{a} \circ \sigma(\mathbf{b}), \qquad \mathbf{x} = (\mathbf{a}, \mathbf{b})$$

    Args:
        x: An even number of entries along `axis`.
        axis: The axis that is split.

    Returns:
        An array half as long along `axis`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `x` has no such axis, or an odd number of entries along it.

    Note:
        Equals `torch.nn.functional.glu`. Differs from packed layers whose first half is the
        gate, as in Transformers' Phi-3.

    Reference:
        Dauphin et al., Language Modeling with Gated Convolutional Networks, 2017.

    Example:
        >>> import numpy as np
        >>> glu(np.asarray([1.0, 1.0, 0.0, 3.0])).round(3)
        array([0.5  , 0.953])
    """
    value, gate = _halves(x, axis)
    return namespace(x).moveaxis(gated(value, gate), -1, axis)


def _halves(x: Array, axis: int) -> tuple[Array, Array]:
    """Return the halves of an axis, which is moved to the end."""
    check_float("x", x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis is {axis}: x has shape {tuple(x.shape)}")
    if x.shape[axis] % 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: it needs an even number of entries along axis {axis}"
        )
    half = x.shape[axis] // 2
    moved = namespace(x).moveaxis(x, axis, -1)
    return moved[..., :half], moved[..., half:]


def glu_vjp(x: Array, cotangent: Array, *, axis: int = -1) -> Array:
    r"""Pull a gradient back through `glu`: those of value and gate, side by side.

    $$\nabla_{\mathbf{x}} L = \bigl(\sigma(\mathbf{b}) \circ \nabla L,\;
      \mathbf{a} \circ \sigma'(\mathbf{b}) \circ \nabla L\bigr)$$

    Args:
        x: As in the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        axis: As in the forward pass.

    Returns:
        An array like `x`.

    Raises:
        TypeError: As `glu`.
        ValueError: As `glu`.

    Reference:
        Dauphin et al., Language Modeling with Gated Convolutional Networks, 2017, section 3.

    Example:
        >>> import numpy as np
        >>> glu_vjp(np.asarray([5.0, 2.0]), np.ones(1)).round(4)
        array([0.8808, 0.525 ])
    """
    value, gate = _halves(x, axis)
    check_float("cotangent", cotangent)
    xp = namespace(x, cotangent)
    needed = tuple(xp.moveaxis(value, -1, axis).shape)
    if tuple(cotangent.shape) != needed:
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: {needed}, that of the output, is needed"
        )
    pair = gated_vjp(value, gate, xp.moveaxis(cotangent, axis, -1))
    return xp.moveaxis(xp.concat(pair, axis=-1), -1, axis)


def gated_linear(
    x: Array,
    gate_weight: Array,
    value_weight: Array,
    gate_bias: Array | None = None,
    value_bias: Array | None = None,
    *,
    variant: str = "swiglu",
    beta: float | Array = 1.0,
) -> Array:
    r"""Return a gated layer: two linear maps of one input, multiplied.

    $$\phi(\mathbf{W}\mathbf{x} + \mathbf{b}) \circ (\mathbf{V}\mathbf{x} + \mathbf{c})$$

    Args:
        x: Shape (…, in).
        gate_weight: W, shape (out, in).
        value_weight: V, shape (out, in).
        gate_bias: b, shape (out,), or None.
        value_bias: c, shape (out,), or None.
        variant: One of `VARIANTS`.
        beta: Sharpness of Swish, for "swiglu" alone.

    Returns:
        Shape (…, out).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or there is no such variant.

    Reference:
        Shazeer, GLU Variants Improve Transformer, 2020.

    Example:
        >>> import numpy as np
        >>> x, eye = np.asarray([1.0, 2.0]), np.eye(2)
        >>> gated_linear(x, eye, eye, variant="bilinear")
        array([1., 4.])
    """
    _check_pair("value_weight", value_weight, "gate_weight", gate_weight)
    check_float("x", x)
    if x.ndim == 0 or gate_weight.ndim != 2 or x.shape[-1] != gate_weight.shape[1]:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and gate_weight has shape "
            f"{tuple(gate_weight.shape)}: (…, in) and (out, in) are needed"
        )
    for name, bias in (("gate_bias", gate_bias), ("value_bias", value_bias)):
        if bias is None:
            continue
        check_float(name, bias)
        if tuple(bias.shape) != (gate_weight.shape[0],):
            raise ValueError(
                f"{name} has shape {tuple(bias.shape)}: ({gate_weight.shape[0]},) is needed"
            )
    gate, value = x @ gate_weight.T, x @ value_weight.T
    gate = gate if gate_bias is None else gate + gate_bias
    value = value if value_bias is None else value + value_bias
    return gated(value, gate, variant=variant, beta=beta)


def matched_width(width: int, *, multiple_of: int = 1) -> int:
    r"""Return the hidden width of a gated block with the parameters of an ungated one.

    $$3\,d\,h = 2\,d\,w \quad\Rightarrow\quad h = \tfrac23 w$$

    Args:
        width: Hidden width w of the ungated block, ≥ 1.
        multiple_of: The result is rounded up to a multiple of it, as Llama does; 1 rounds down
            to an integer, at least 1.

    Returns:
        The width h of the gated block.

    Raises:
        ValueError: If an argument is below 1.

    Reference:
        Shazeer, GLU Variants Improve Transformer, 2020.

    Example:
        >>> matched_width(4 * 4096, multiple_of=256)
        11008
    """
    for name, number in (("width", width), ("multiple_of", multiple_of)):
        if number < 1:
            raise ValueError(f"{name} is {number}: it must be at least 1")
    return -(-max(2 * width // 3, 1) // multiple_of) * multiple_of

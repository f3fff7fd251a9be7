"""The block's gradients by hand, from its output back through norms, branches and sums."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from dlkb.activations.gelu import gelu_vjp, silu_vjp
from dlkb.activations.relu import relu_vjp
from dlkb.arrays import Array, check_same_shape, namespace
from dlkb.backpropagation.backprop import linear, linear_vjp
from dlkb.normalization.layer_norm import layer_norm_vjp
from dlkb.normalization.rms_norm import rms_norm_vjp
from dlkb.transformers.attention_heads import (
    multi_head_attention,
    multi_head_attention_vjp,
    turn_heads,
)
from dlkb.transformers.blocks import (
    ACTIVATIONS,
    Activation,
    AttentionParams,
    BlockParams,
    FeedForwardParams,
    Linear,
    _check_memory,
    _queries_keys_values,
    attend,
    feed_forward,
    normalize,
)

Options = dict[str, Any]
SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "relu": relu_vjp,
    "gelu": gelu_vjp,
    "gelu_tanh": partial(gelu_vjp, approximate="tanh"),
    "silu": silu_vjp,
}


class FeedForwardGrads(NamedTuple):
    """Gradients of the arguments of `feed_forward`."""

    x: Array
    params: FeedForwardParams


class AttendGrads(NamedTuple):
    """Gradients of the arguments of `attend`; in self-attention x gets the sum of the first two."""

    x: Array
    memory: Array
    params: AttentionParams


class BlockGrads(NamedTuple):
    """Gradients of the arguments of `block`; `memory` is `None` where there was none."""

    x: Array
    params: BlockParams
    memory: Array | None


def feed_forward_vjp(
    x: Array, params: FeedForwardParams, cotangent: Array, *, activation: Activation = "gelu"
) -> FeedForwardGrads:
    r"""Return the gradients of `feed_forward`.

    $$\bar{\mathbf{h}} = W_2^\top\bar{\mathbf{y}},\qquad
      \bar{\mathbf{u}} = \bar{\mathbf{h}} \circ \phi'(\mathbf{u}),\qquad
      \bar{\mathbf{x}} = W_1^\top\bar{\mathbf{u}},\qquad
      \mathbf{u} = W_1\mathbf{x} + \mathbf{b}_1$$

    Args:
        x: As for `feed_forward`.
        params: As for `feed_forward`.
        cotangent: ȳ, the gradient of the output, in the shape of `x`.
        activation: As for `feed_forward`.

    Returns:
        The gradients, in the shapes of the arguments; those of weights are sums over all tokens.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape does not fit or there is no such activation.

    Example:
        >>> import numpy as np
        >>> up, down = Linear(np.ones((4, 2))), Linear(np.ones((2, 4)))
        >>> params = FeedForwardParams(up, down)
        >>> feed_forward_vjp(np.ones(2), params, np.ones(2), activation="relu").x
        array([8., 8.])
    """
    if activation not in SLOPES:
        raise ValueError(f"activation is {activation!r}: it must be one of {tuple(SLOPES)}")
    phi, slope = ACTIVATIONS[activation], SLOPES[activation]
    up = linear(x, *params.up)
    if params.gate is None:
        d_hidden, down = _layer_vjp(phi(up), params.down, cotangent)
        d_x, first = _layer_vjp(x, params.up, slope(up, d_hidden))
        return FeedForwardGrads(d_x, FeedForwardParams(first, down))
    gate = linear(x, *params.gate)
    opened = phi(gate)
    d_hidden, down = _layer_vjp(opened * up, params.down, cotangent)
    d_x, first = _layer_vjp(x, params.up, d_hidden * opened)
    d_x_gate, third = _layer_vjp(x, params.gate, slope(gate, d_hidden * up))
    return FeedForwardGrads(d_x + d_x_gate, FeedForwardParams(first, down, third))


def attend_vjp(
    x: Array,
    memory: Array,
    params: AttentionParams,
    cotangent: Array,
    *,
    heads: int,
    kv_heads: int | None = None,
    is_causal: bool = False,
    mask: Array | None = None,
    rotary_base: float | None = None,
) -> AttendGrads:
    r"""Return the gradients of `attend`.

    $$\bar{X} = \bar{Q} W_q,\qquad \bar{M} = \bar{K} W_k + \bar{V} W_v$$

    Args:
        x: As for `attend`.
        memory: As for `attend`.
        params: As for `attend`.
        cotangent: Gradient of the output, in the shape of `x`.
        heads: As for `attend`.
        kv_heads: As for `attend`.
        is_causal: As for `attend`.
        mask: As for `attend`; it gets no gradient.
        rotary_base: As for `attend`: gradients are turned back.

    Returns:
        The gradients, in the shapes of the arguments.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or an option does not fit.

    Example:
        >>> import numpy as np
        >>> x, eye = np.asarray([[1.0, 2.0]]), Linear(np.eye(2))
        >>> grads = attend_vjp(x, x, AttentionParams(eye, eye, eye, eye), x, heads=1)
        >>> grads.x, grads.memory  # of one token all is read, whatever the query
        (array([[0., 0.]]), array([[1., 2.]]))
    """
    how: Options = {"heads": heads, "kv_heads": kv_heads, "is_causal": is_causal, "mask": mask}
    q, k, v = _queries_keys_values(x, memory, params, heads, kv_heads, rotary_base)
    d_read, last = _layer_vjp(multi_head_attention(q, k, v, **how), params.o, cotangent)
    d_q, d_k, d_v = multi_head_attention_vjp(q, k, v, d_read, **how)
    if rotary_base is not None:
        few = heads if kv_heads is None else kv_heads
        d_q = turn_heads(d_q, heads=heads, base=rotary_base, back=True)
        d_k = turn_heads(d_k, heads=few, base=rotary_base, back=True)
    d_x, queries = _layer_vjp(x, params.q, d_q)
    by_keys, keys = _layer_vjp(memory, params.k, d_k)
    by_values, values = _layer_vjp(memory, params.v, d_v)
    return AttendGrads(d_x, by_keys + by_values, AttentionParams(queries, keys, values, last))


def block_vjp(
    x: Array,
    params: BlockParams,
    cotangent: Array,
    *,
    heads: int,
    memory: Array | None = None,
    kv_heads: int | None = None,
    pre_norm: bool = True,
    rms: bool = False,
    activation: Activation = "gelu",
    is_causal: bool = False,
    mask: Array | None = None,
    memory_mask: Array | None = None,
    rotary_base: float | None = None,
    eps: float = 1e-5,
) -> BlockGrads:
    r"""Return the gradients of `block`, part by part from the output back.

    $$\bar{\mathbf{x}} = \bar{\mathbf{y}} + J_{\mathrm{LN}}^\top J_F^\top\bar{\mathbf{y}}
      \quad\text{(pre-norm)},\qquad
      \bar{\mathbf{x}} = (I + J_F^\top)\,J_{\mathrm{LN}}^\top\bar{\mathbf{y}}
      \quad\text{(post-norm)}$$

    Args:
        x: As for `block`.
        params: As for `block`.
        cotangent: ȳ, the gradient of the output, in the shape of `x`.
        heads: As for `block`.
        memory: As for `block`.
        kv_heads: As for `block`.
        pre_norm: As for `block`.
        rms: As for `block`.
        activation: As for `block`.
        is_causal: As for `block`.
        mask: As for `block`; it gets no gradient.
        memory_mask: As for `block`; it gets no gradient.
        rotary_base: As for `block`.
        eps: As for `block`.

    Returns:
        The gradients, in the shapes of the arguments; those of parameters are sums over tokens.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or an option does not fit, or memory and `cross` are not given
            together.

    Example:
        >>> import numpy as np
        >>> no, one = Linear(np.zeros((2, 2))), Linear(np.ones(2), np.zeros(2))
        >>> silent = BlockParams(
        ...     one, AttentionParams(no, no, no, no), one, FeedForwardParams(no, no)
        ... )
        >>> x = np.asarray([[1.0, 2.0]])  # what the branches leave alone comes back as it is
        >>> block_vjp(x, silent, x, heads=1).x
        array([[1., 2.]])
    """
    _check_memory(memory, params)
    check_same_shape("cotangent", cotangent, "x", x)
    norm = partial(normalize, rms=rms, eps=eps)
    norm_back = partial(_norm_vjp, rms=rms, eps=eps)
    how: Options = {"heads": heads, "kv_heads": kv_heads}
    own = how | {"is_causal": is_causal, "mask": mask, "rotary_base": rotary_base}

    def self_back(y: Array, g: Array) -> AttendGrads:
        found = attend_vjp(y, y, params.attention, g, **own)
        return found._replace(x=found.x + found.memory)

    # Each part: its norm, itself, its gradients.
    parts: list[tuple[Linear | None, Callable[[Array], Array], Callable[[Array, Array], Any]]] = [
        (params.attention_norm, lambda y: attend(y, y, params.attention, **own), self_back),
        (
            params.feed_forward_norm,
            lambda y: feed_forward(y, params.feed_forward, activation=activation),
            lambda y, g: feed_forward_vjp(y, params.feed_forward, g, activation=activation),
        ),
    ]
    if memory is not None and params.cross is not None:
        cross, crossing = params.cross, how | {"mask": memory_mask}
        reading = (
            lambda y: attend(y, memory, cross, **crossing),
            lambda y, g: attend_vjp(y, memory, cross, g, **crossing),
        )
        parts.insert(1, (params.cross_norm, *reading))

    kept = []  # what each part and each norm reads
    for scale, part, _ in parts:
        read = norm(x, scale) if pre_norm else x
        total = x + part(read)
        kept.append((read, x if pre_norm else total))
        x = total if pre_norm else norm(total, scale)

    grad = cotangent
    found: list[tuple[Any, Any]] = []
    for (scale, _, back), (read, normed) in zip(reversed(parts), reversed(kept), strict=True):
        if pre_norm:
            branch = back(read, grad)
            by_norm, by_scale = norm_back(normed, scale, branch.x)
            grad = grad + by_norm
        else:
            grad, by_scale = norm_back(normed, scale, grad)
            branch = back(read, grad)
            grad = grad + branch.x
        found.insert(0, (by_scale, branch))

    (first, own_grads), *middle, (last, mlp) = found
    learned = BlockParams(first, own_grads.params, last, mlp.params)
    if not middle:
        return BlockGrads(grad, learned, None)
    ((by_scale, read_grads),) = middle
    learned = learned._replace(cross_norm=by_scale, cross=read_grads.params)
    return BlockGrads(grad, learned, read_grads.memory)


def _layer_vjp(x: Array, layer: Linear, cotangent: Array) -> tuple[Array, Linear]:
    d_x, d_weight, d_bias = linear_vjp(x, layer.weight, cotangent)
    if layer.bias is None:
        return d_x, Linear(d_weight)
    check_same_shape("the bias", layer.bias, "its gradient", d_bias)
    return d_x, Linear(d_weight, d_bias)


def _norm_vjp(
    x: Array, scale: Linear | None, cotangent: Array, *, rms: bool, eps: float
) -> tuple[Array, Linear | None]:
    weight, bias = (None, None) if scale is None else scale
    if rms:
        found = rms_norm_vjp(x, cotangent, weight, eps=eps)
        ignored = None if bias is None else namespace(bias).zeros_like(bias)
        return found.x, None if scale is None else Linear(found.weight, ignored)
    whole = layer_norm_vjp(x, cotangent, weight, bias, eps=eps)
    return whole.x, None if scale is None else Linear(whole.weight, whole.bias)

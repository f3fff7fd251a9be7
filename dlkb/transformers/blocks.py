"""The transformer's block: attention and a feed-forward network, each normalized and added."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from dlkb.activations.gelu import gelu, silu
from dlkb.activations.relu import relu
from dlkb.arrays import Array, check_same_shape
from dlkb.backpropagation.backprop import linear
from dlkb.normalization.layer_norm import layer_norm
from dlkb.normalization.rms_norm import rms_norm
from dlkb.transformers.attention_heads import multi_head_attention, turn_heads

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate="tanh"),
    "silu": silu,
}


class Linear(NamedTuple):
    """Weight `(out, in)` and bias `(out,)`, or none. Of a norm, both are `(width,)`."""

    weight: Array
    bias: Array | None = None


class AttentionParams(NamedTuple):
    """The four matrices around attention, heads side by side."""

    q: Linear
    k: Linear
    v: Linear
    o: Linear


class FeedForwardParams(NamedTuple):
    """The layers of the feed-forward network; with a gate, three."""

    up: Linear
    down: Linear
    gate: Linear | None = None


class BlockParams(NamedTuple):
    """What a block learns.

    Attributes:
        attention_norm: Of self-attention.
        attention: Self-attention.
        feed_forward_norm: Of the feed-forward network.
        feed_forward: That network.
        cross_norm: Of cross-attention; `None` in a block without it.
        cross: Cross-attention.
    """

    attention_norm: Linear
    attention: AttentionParams
    feed_forward_norm: Linear
    feed_forward: FeedForwardParams
    cross_norm: Linear | None = None
    cross: AttentionParams | None = None


def feed_forward(x: Array, params: FeedForwardParams, *, activation: Activation = "gelu") -> Array:
    r"""Return the feed-forward network of each token.

    $$W_2\,\phi(W_1\mathbf{x} + \mathbf{b}_1) + \mathbf{b}_2, \qquad
      \text{gated: } W_2\bigl(\phi(W_g\mathbf{x}) \circ W_1\mathbf{x}\bigr)$$

    Args:
        x: `(..., width)`.
        params: Two layers, or three.
        activation: φ, one of "relu", "gelu", "gelu_tanh", "silu".

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape does not fit or there is no such activation.

    Example:
        >>> import numpy as np
        >>> up, down = Linear(np.ones((4, 2))), Linear(np.ones((2, 4)))
        >>> feed_forward(np.ones(2), FeedForwardParams(up, down), activation="relu")
        array([8., 8.])
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}: it must be one of {tuple(ACTIVATIONS)}")
    phi = ACTIVATIONS[activation]
    up = linear(x, *params.up)
    hidden = phi(up) if params.gate is None else phi(linear(x, *params.gate)) * up
    return linear(hidden, *params.down)


def normalize(x: Array, scale: Linear | None, *, rms: bool = False, eps: float = 1e-5) -> Array:
    r"""Return the tokens normalized: the norm of a block.

    $$\mathbf{w} \circ \frac{\mathbf{x} - \mu}{\sqrt{\sigma^2 + \epsilon}} + \mathbf{b}$$

    Args:
        x: `(..., width)`.
        scale: w and b, each `(width,)`; `None` for 1 and 0.
        rms: Whether it is an RMS norm, which takes no mean away and no bias.
        eps: As in `layer_norm`.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or an option does not fit.

    Example:
        >>> import numpy as np
        >>> normalize(np.asarray([1.0, 3.0]), None).round(3)
        array([-1.,  1.])
    """
    weight, bias = (None, None) if scale is None else scale
    return rms_norm(x, weight, eps=eps) if rms else layer_norm(x, weight, bias, eps=eps)


def attend(
    x: Array,
    memory: Array,
    params: AttentionParams,
    *,
    heads: int,
    kv_heads: int | None = None,
    is_causal: bool = False,
    mask: Array | None = None,
    rotary_base: float | None = None,
) -> Array:
    r"""Return what each token of `x` reads from `memory`: itself in self-attention.

    $$\mathrm{heads}(X W_q^\top, M W_k^\top, M W_v^\top)\,W_o^\top$$

    Args:
        x: `(..., L, width)`: queries are made of it.
        memory: `(..., S, width)`: keys and values are made of it.
        params: The four matrices.
        heads: Of the queries.
        kv_heads: Of keys and values; as many if left out.
        is_causal: Whether a token reads only itself and those before it.
        mask: As in `multi_head_attention`.
        rotary_base: Turn queries and keys by their positions, in halves; `None` does not.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or an option does not fit.

    Example:
        >>> import numpy as np
        >>> x, eye = np.asarray([[1.0, 2.0]]), Linear(np.eye(2))
        >>> attend(x, x, AttentionParams(eye, eye, eye, eye), heads=1)
        array([[1., 2.]])
    """
    q, k, v = _queries_keys_values(x, memory, params, heads, kv_heads, rotary_base)
    read = multi_head_attention(
        q, k, v, heads=heads, kv_heads=kv_heads, is_causal=is_causal, mask=mask
    )
    return linear(read, *params.o)


def block(
    x: Array,
    params: BlockParams,
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
) -> Array:
    r"""Return a block: attention, cross-attention where there is a memory, feed-forward.

    $$\mathbf{x} \leftarrow \mathbf{x} + F(\mathrm{LN}(\mathbf{x})) \quad\text{(pre-norm)},\qquad
      \mathbf{x} \leftarrow \mathrm{LN}(\mathbf{x} + F(\mathbf{x})) \quad\text{(post-norm)}$$

    Without `is_causal` it is an encoder's block, with it a decoder's of the GPT kind, with a
    memory as well one of the first transformer's decoder.

    Args:
        x: `(..., L, width)`.
        params: What the block learns; with `cross` if there is a memory.
        heads: Of the queries.
        memory: `(..., S, width)`, the encoder's output.
        kv_heads: Of keys and values; as many if left out.
        pre_norm: Whether the norm stands before each part, inside the residual branch.
        rms: Whether the norms are RMS norms.
        activation: Of the feed-forward network.
        is_causal: Whether a token reads only itself and those before it.
        mask: Of self-attention, as in `multi_head_attention`.
        memory_mask: Of cross-attention.
        rotary_base: As in `attend`, for self-attention.
        eps: Of the norms.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If a shape or an option does not fit, or memory and `cross` are not given
            together.

    Note:
        Differs from libraries by leaving out dropout. A post-norm model needs no norm behind its
        last block (`torch.nn.Transformer` has one); a pre-norm one does, which is the caller's.

    Reference:
        Vaswani et al. (2017, section 3.1); pre-norm: Xiong et al. (2020, figure 1).

    Example:
        >>> import numpy as np
        >>> eye, one = Linear(np.eye(2)), Linear(np.ones(2), np.zeros(2))
        >>> attention = AttentionParams(eye, eye, eye, eye)
        >>> mlp = FeedForwardParams(eye, eye)
        >>> x = np.asarray([[1.0, 2.0]])
        >>> block(x, BlockParams(one, attention, one, mlp), heads=1).round(2)
        array([[-0.16,  3.84]])
    """
    _check_memory(memory, params)
    cross = params.cross
    norm = partial(normalize, rms=rms, eps=eps)

    def added(y: Array, scale: Linear | None, part: Callable[[Array], Array]) -> Array:
        out = part(norm(y, scale) if pre_norm else y)
        check_same_shape("the residual branch", out, "x", y)
        return y + out if pre_norm else norm(y + out, scale)

    def attention(y: Array) -> Array:
        return attend(
            y,
            y,
            params.attention,
            heads=heads,
            kv_heads=kv_heads,
            is_causal=is_causal,
            mask=mask,
            rotary_base=rotary_base,
        )

    def mlp(y: Array) -> Array:
        return feed_forward(y, params.feed_forward, activation=activation)

    x = added(x, params.attention_norm, attention)
    if memory is not None and cross is not None:
        read = partial(
            attend, memory=memory, params=cross, heads=heads, kv_heads=kv_heads, mask=memory_mask
        )
        x = added(x, params.cross_norm, read)
    return added(x, params.feed_forward_norm, mlp)


def _queries_keys_values(
    x: Array,
    memory: Array,
    params: AttentionParams,
    heads: int,
    kv_heads: int | None,
    rotary_base: float | None,
) -> tuple[Array, Array, Array]:
    """Return what the heads of attention read, turned if positions are rotary."""
    q, k, v = linear(x, *params.q), linear(memory, *params.k), linear(memory, *params.v)
    if rotary_base is not None:
        q = turn_heads(q, heads=heads, base=rotary_base)
        k = turn_heads(k, heads=heads if kv_heads is None else kv_heads, base=rotary_base)
    return q, k, v


def _check_memory(memory: Array | None, params: BlockParams) -> None:
    if (memory is None) != (params.cross is None):
        raise ValueError(
            f"memory is {'missing' if memory is None else 'given'} and params.cross is not: "
            "cross-attention needs both"
        )

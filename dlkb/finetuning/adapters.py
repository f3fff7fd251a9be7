r"""Bottleneck adapters: two thin trained layers behind or beside a frozen one, and their fusion.

Weights have the layout of `torch.nn.Linear`, (out, in): `down` is (m, d), `up` is (d, m). Samples
are rows; m is the width of the bottleneck.
"""

import math
from typing import NamedTuple

from dlkb.activations.gelu import gelu, gelu_vjp, swish, swish_vjp
from dlkb.activations.relu import relu, relu_vjp
from dlkb.arrays import (
    Array,
    Generator,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    normal,
    widen,
)
from dlkb.finetuning.lora import lora_init
from dlkb.losses.cross_entropy import softmax

ACTIVATIONS = ("relu", "gelu", "swish", "identity")


class Weights(NamedTuple):
    """What one adapter trains: `down` (m, d), `up` (d, m) and the biases (m,) and (d,)."""

    down: Array
    up: Array
    down_bias: Array
    up_bias: Array


class Gradients(NamedTuple):
    """The gradients of a loss in the input of an adapter and in its weights."""

    h: Array
    down: Array
    up: Array
    down_bias: Array
    up_bias: Array


class FusionGradients(NamedTuple):
    """The gradients of a loss in the arguments of `fusion`; `query_bias` may be None."""

    h: Array
    z: Array
    query: Array
    key: Array
    value: Array
    query_bias: Array | None


def _check(h: Array, down: Array, up: Array, down_bias: Array, up_bias: Array) -> None:
    arrays = {"h": h, "down": down, "up": up, "down_bias": down_bias, "up_bias": up_bias}
    for name, array in arrays.items():
        check_float(name, array)
    m, d = down.shape if down.ndim == 2 else (0, 0)
    if m < 1 or tuple(up.shape) != (d, m):
        raise ValueError(
            f"down has shape {tuple(down.shape)} and up has shape {tuple(up.shape)}: "
            "they must be (m, d) and (d, m) with m >= 1"
        )
    if h.ndim < 1 or h.shape[-1] != d:
        raise ValueError(f"h has shape {tuple(h.shape)}: its last axis must be d = {d}")
    for name, size in (("down_bias", m), ("up_bias", d)):
        if tuple(arrays[name].shape) != (size,):
            raise ValueError(f"{name} has shape {tuple(arrays[name].shape)}: it must be ({size},)")


def _activate(x: Array, activation: str) -> Array:
    if activation == "relu":
        return relu(x)
    if activation == "gelu":
        return gelu(x)
    if activation == "swish":
        return swish(x)
    if activation == "identity":
        return x
    raise ValueError(f"activation is {activation!r}: it must be one of {ACTIVATIONS}")


def _activate_vjp(x: Array, cotangent: Array, activation: str) -> Array:
    if activation == "relu":
        return relu_vjp(x, cotangent)
    if activation == "gelu":
        return gelu_vjp(x, cotangent)
    if activation == "swish":
        return swish_vjp(x, cotangent).x
    return cotangent


def branch(
    h: Array,
    down: Array,
    up: Array,
    down_bias: Array,
    up_bias: Array,
    *,
    activation: str = "relu",
    scaling: float = 1.0,
) -> Array:
    r"""Return what an adapter adds: down to m numbers, an activation, and up again.

    $$s\,\bigl(\phi(\mathbf{h}\mathbf{D}^\top + \mathbf{b})\,\mathbf{U}^\top + \mathbf{c}\bigr)$$

    A parallel adapter is this, of the input of a sublayer, added to the sublayer's output.

    Args:
        h: Input, shape (..., d).
        down: D, shape (m, d).
        up: U, shape (d, m).
        down_bias: b, shape (m,).
        up_bias: c, shape (d,).
        activation: φ: "relu", "gelu", "swish" or "identity".
        scaling: The factor s.

    Returns:
        Shape (..., d).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or there is no such activation.

    Reference:
        Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019; for the scaling
        and the parallel place He et al., Towards a Unified View of Parameter-Efficient Transfer
        Learning, ICLR 2022.

    Example:
        >>> import numpy as np
        >>> h, down, up = np.asarray([3.0, -1.0]), np.eye(2), 2 * np.eye(2)
        >>> branch(h, down, up, np.zeros(2), np.ones(2))
        array([7., 1.])
    """
    _check(h, down, up, down_bias, up_bias)
    xp = namespace(h, down, up, down_bias, up_bias)
    inside = _activate(xp.matmul(h, xp.matrix_transpose(down)) + down_bias, activation)
    return scaling * (xp.matmul(inside, xp.matrix_transpose(up)) + up_bias)


def adapter(
    h: Array,
    down: Array,
    up: Array,
    down_bias: Array,
    up_bias: Array,
    *,
    activation: str = "relu",
    scaling: float = 1.0,
) -> Array:
    r"""Apply an adapter with its own skip, behind a sublayer whose output is h.

    $$\mathbf{y} = \mathbf{h} + s\,\bigl(\phi(\mathbf{h}\mathbf{D}^\top + \mathbf{b})\,
      \mathbf{U}^\top + \mathbf{c}\bigr)$$

    Args:
        h: Output of the frozen sublayer, shape (..., d).
        down: D, shape (m, d).
        up: U, shape (d, m). While it and `up_bias` are zero, the output is h.
        down_bias: b, shape (m,).
        up_bias: c, shape (d,).
        activation: φ: "relu", "gelu", "swish" or "identity".
        scaling: The factor s.

    Returns:
        Shape (..., d).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or there is no such activation.

    Reference:
        Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019.

    Example:
        >>> import numpy as np
        >>> h, down, up = np.asarray([3.0, -1.0]), np.eye(2), 2 * np.eye(2)
        >>> adapter(h, down, up, np.zeros(2), np.ones(2))
        array([10.,  0.])
    """
    weights = (down, up, down_bias, up_bias)
    return h + branch(h, *weights, activation=activation, scaling=scaling)


def adapter_vjp(
    h: Array,
    down: Array,
    up: Array,
    down_bias: Array,
    up_bias: Array,
    cotangent: Array,
    *,
    activation: str = "relu",
    scaling: float = 1.0,
) -> Gradients:
    r"""Return the gradients of `adapter` in its input and in what it trains.

    With $\mathbf{G}$ the gradient in the output, $\mathbf{a}$ what enters φ, rows being samples,

    $$\mathbf{E} = s\,\mathbf{G}\mathbf{U}\circ\phi'(\mathbf{a}),\quad
      \nabla_{\mathbf{h}} = \mathbf{G} + \mathbf{E}\mathbf{D},\quad
      \nabla_{\mathbf{D}} = \mathbf{E}^\top\mathbf{h},\quad
      \nabla_{\mathbf{U}} = s\,\mathbf{G}^\top\phi(\mathbf{a})$$

    Args:
        h: As for `adapter`.
        down: As for `adapter`.
        up: As for `adapter`.
        down_bias: As for `adapter`.
        up_bias: As for `adapter`.
        cotangent: G, gradient of the loss in the output, shape (..., d).
        activation: As for `adapter`.
        scaling: As for `adapter`.

    Returns:
        `Gradients`; those of the weights are summed over the batch.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or there is no such activation.

    Example:
        >>> import numpy as np
        >>> h, zero = np.ones((1, 2)), np.zeros
        >>> found = adapter_vjp(h, np.eye(2), zero((2, 2)), zero(2), zero(2), h)
        >>> found.down.tolist(), found.up.tolist()  # U = 0: D waits, U moves first
        ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]])
    """
    _check(h, down, up, down_bias, up_bias)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "h", h)
    xp = namespace(h, down, up, down_bias, up_bias, cotangent)
    rows = (math.prod(h.shape[:-1]), down.shape[1])
    x, G = xp.reshape(h, rows), xp.reshape(cotangent, rows)
    a = xp.matmul(x, xp.matrix_transpose(down)) + down_bias
    inside = _activate(a, activation)
    E = scaling * _activate_vjp(a, xp.matmul(G, up), activation)
    return Gradients(
        h=xp.reshape(G + xp.matmul(E, down), h.shape),
        down=xp.matmul(xp.matrix_transpose(E), x),
        up=scaling * xp.matmul(xp.matrix_transpose(G), inside),
        down_bias=xp.sum(E, axis=0),
        up_bias=scaling * xp.sum(G, axis=0),
    )


def adapter_init(like: Array, *, m: int, generator: Generator, std: float | None = None) -> Weights:
    r"""Draw the weights of an adapter that changes nothing at first, or little.

    $$D_{ij} \sim U\!\left(-\tfrac{1}{\sqrt d}, \tfrac{1}{\sqrt d}\right),\ \mathbf{U} = 0
      \qquad\text{or}\qquad D_{ij}, U_{ij} \sim N(0, \sigma^2)$$

    Args:
        like: An array whose last axis is d; only that, its dtype and its device are used.
        m: Width of the bottleneck, at least 1.
        generator: The source of randomness.
        std: None for the first law, σ for the second. Houlsby et al. cut theirs, with σ = 0.01,
            at two deviations; BERT's 0.02 is the library `adapters`' default.

    Returns:
        `Weights` in the dtype and on the device of `like`; the biases are zero.

    Raises:
        TypeError: If `like` is not floating-point.
        ValueError: If `like` has no axis or an empty last one, or m or std is out of range.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> down, up, *_ = adapter_init(np.zeros(5), m=2, generator=rng)
        >>> down.shape, up.shape, float(abs(up).max())
        ((2, 5), (5, 2), 0.0)
    """
    check_float("like", like)
    if like.ndim < 1 or like.shape[-1] < 1:
        raise ValueError(f"like has shape {tuple(like.shape)}: its last axis must be d >= 1")
    check_count("m", m, 1)
    xp = namespace(like)
    d, kind = like.shape[-1], {"dtype": like.dtype, "device": device(like)}
    if std is None:
        down, up = lora_init(xp.zeros((d, d), **kind), r=m, generator=generator)
    else:
        check_between("std", std, 0, math.inf, closed="neither")
        down, up = (
            std * normal(xp.zeros(shape, **kind), generator=generator) for shape in ((m, d), (d, m))
        )
    return Weights(down, up, xp.zeros((m,), **kind), xp.zeros((d,), **kind))


def _check_fusion(
    h: Array, z: Array, query: Array, key: Array, query_bias: Array | None, value: Array | None
) -> None:
    for name, array in (("h", h), ("z", z), ("query", query), ("key", key)):
        check_float(name, array)
    d = h.shape[-1] if h.ndim else 0
    if z.ndim < 2 or z.shape[-2] < 1 or (*z.shape[:-2], z.shape[-1]) != tuple(h.shape):
        raise ValueError(
            f"h has shape {tuple(h.shape)} and z has shape {tuple(z.shape)}: they must be "
            "(..., d) and (..., N, d) with N >= 1 adapters"
        )
    matrices = {"query": query, "key": key} | ({} if value is None else {"value": value})
    for name, matrix in matrices.items():
        check_float(name, matrix)
        if tuple(matrix.shape) != (d, d):
            raise ValueError(f"{name} has shape {tuple(matrix.shape)}: it must be ({d}, {d})")
    if query_bias is not None:
        check_float("query_bias", query_bias)
        if tuple(query_bias.shape) != (d,):
            raise ValueError(f"query_bias has shape {tuple(query_bias.shape)}: it must be ({d},)")


def _attend(
    h: Array, z: Array, query: Array, key: Array, query_bias: Array | None
) -> tuple[Array, Array, Array]:
    """Return queries (..., d), keys (..., N, d) and weights (..., N)."""
    xp = namespace(h, z, query, key, query_bias)
    q = xp.matmul(h, xp.matrix_transpose(query))
    q = q if query_bias is None else q + query_bias
    k = xp.matmul(z, xp.matrix_transpose(key))
    return q, k, softmax(xp.sum(k * q[..., None, :], axis=-1))


def fusion_weights(
    h: Array, z: Array, query: Array, key: Array, query_bias: Array | None = None
) -> Array:
    r"""Return how much each adapter counts, for each token.

    $$s_n = \frac{e^{\mathbf{q}\cdot\mathbf{K}\mathbf{z}_n}}
      {\sum_j e^{\mathbf{q}\cdot\mathbf{K}\mathbf{z}_j}}, \qquad
      \mathbf{q} = \mathbf{Q}\mathbf{h} + \mathbf{b}$$

    Args:
        h: What the adapters receive, shape (..., d).
        z: What the adapters return, shape (..., N, d).
        query: Q, shape (d, d).
        key: K, shape (d, d). A bias of the keys would add the same to all scores of a token.
        query_bias: b, shape (d,), or None.

    Returns:
        Shape (..., N), at least 0, with sum 1.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Reference:
        Pfeiffer et al., AdapterFusion: Non-Destructive Task Composition for Transfer Learning,
        EACL 2021.

    Example:
        >>> import numpy as np
        >>> z = np.asarray([[1.0, 0.0], [0.0, 1.0]])
        >>> fusion_weights(np.asarray([2.0, 1.0]), z, np.eye(2), np.eye(2)).round(3)
        array([0.731, 0.269])
    """
    _check_fusion(h, z, query, key, query_bias, None)
    wide = (widen(h), widen(z), widen(query), widen(key))
    weights = _attend(*wide, query_bias)[2]
    return namespace(h).astype(weights, h.dtype, copy=False)


def fusion(
    h: Array,
    z: Array,
    query: Array,
    key: Array,
    value: Array,
    query_bias: Array | None = None,
) -> Array:
    r"""Mix the outputs of several adapters, by attention over the adapters.

    $$\mathbf{o} = \sum_n s_n\,\mathbf{V}\mathbf{z}_n$$

    The weights s are those of `fusion_weights`; there is no 1/√d.

    Args:
        h: What the adapters receive, shape (..., d).
        z: What the adapters return, shape (..., N, d).
        query: Q, shape (d, d).
        key: K, shape (d, d).
        value: V, shape (d, d); with the identity the output is a weighted mean of z.
        query_bias: Shape (d,), or None.

    Returns:
        Shape (..., d).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Note:
        Differs from the layer of the library `adapters`, which adds its residual to this.

    Reference:
        Pfeiffer et al., AdapterFusion: Non-Destructive Task Composition for Transfer Learning,
        EACL 2021.

    Example:
        >>> import numpy as np
        >>> z, eye = np.asarray([[1.0, 0.0], [0.0, 1.0]]), np.eye(2)
        >>> fusion(np.asarray([2.0, 1.0]), z, eye, eye, 10 * eye).round(2)
        array([7.31, 2.69])
    """
    _check_fusion(h, z, query, key, query_bias, value)
    xp = namespace(h, z, query, key, value, query_bias)
    _, _, s = _attend(widen(h), widen(z), widen(query), widen(key), query_bias)
    mixed = xp.sum(s[..., None] * widen(z), axis=-2)
    out = xp.matmul(mixed, xp.matrix_transpose(widen(value)))
    return xp.astype(out, h.dtype, copy=False)


def fusion_vjp(
    h: Array,
    z: Array,
    query: Array,
    key: Array,
    value: Array,
    cotangent: Array,
    query_bias: Array | None = None,
) -> FusionGradients:
    r"""Return the gradients of `fusion`.

    With $\mathbf{g}$ the gradient in the output and $\mathbf{f} = \mathbf{V}^\top\mathbf{g}$, the
    score of adapter n has the gradient

    $$e_n = s_n\,\Bigl(\mathbf{f}\cdot\mathbf{z}_n - \sum_j s_j\,\mathbf{f}\cdot\mathbf{z}_j\Bigr)$$

    Args:
        h: As for `fusion`.
        z: As for `fusion`.
        query: As for `fusion`.
        key: As for `fusion`.
        value: As for `fusion`.
        cotangent: Gradient of the loss in the output, shape (..., d).
        query_bias: As for `fusion`.

    Returns:
        `FusionGradients`; those of matrices and bias are summed over the batch.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> z, eye = np.asarray([[1.0, 0.0], [1.0, 0.0]]), np.eye(2)
        >>> found = fusion_vjp(np.ones(2), z, eye, eye, eye, np.ones(2))
        >>> float(abs(found.query).max())  # equal adapters: nothing to choose
        0.0
    """
    _check_fusion(h, z, query, key, query_bias, value)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "h", h)
    xp = namespace(h, z, query, key, value, cotangent, query_bias)
    n, (N, d) = math.prod(h.shape[:-1]), z.shape[-2:]
    x, G = xp.reshape(widen(h), (n, d)), xp.reshape(widen(cotangent), (n, d))
    outputs = xp.reshape(widen(z), (n, N, d))
    Q, K = widen(query), widen(key)
    q, k, s = _attend(x, outputs, Q, K, query_bias)
    f = xp.matmul(G, widen(value))
    each = xp.sum(outputs * f[:, None, :], axis=-1)
    e = s * (each - xp.sum(s * each, axis=-1, keepdims=True))
    gq, gk = xp.sum(e[..., None] * k, axis=-2), e[..., None] * q[:, None, :]
    mixed = xp.sum(s[..., None] * outputs, axis=-2)
    flat = xp.reshape(gk, (n * N, d)), xp.reshape(outputs, (n * N, d))
    found = FusionGradients(
        h=xp.reshape(xp.matmul(gq, Q), h.shape),
        z=xp.reshape(s[..., None] * f[:, None, :] + xp.matmul(gk, K), z.shape),
        query=xp.matmul(xp.matrix_transpose(gq), x),
        key=xp.matmul(xp.matrix_transpose(flat[0]), flat[1]),
        value=xp.matmul(xp.matrix_transpose(G), mixed),
        query_bias=None if query_bias is None else xp.sum(gq, axis=0),
    )
    narrow = (None if g is None else xp.astype(g, h.dtype, copy=False) for g in found)
    return FusionGradients(*narrow)


def adapter_parameters(d: int, *, m: int) -> int:
    r"""Count what one adapter trains.

    $$2\,m\,d + d + m$$

    Args:
        d: Width of the layer, at least 1.
        m: Width of the bottleneck, at least 1.

    Returns:
        The entries of both weights and both biases.

    Raises:
        ValueError: If a size is below 1.

    Reference:
        Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019.

    Example:
        >>> adapter_parameters(1024, m=64)
        132160
    """
    check_count("d", d, 1)
    check_count("m", m, 1)
    return 2 * m * d + d + m


def fusion_parameters(d: int) -> int:
    r"""Count what one fusion layer trains, however many adapters it fuses.

    $$3\,d^2 + 2\,d$$

    Args:
        d: Width of the layer, at least 1.

    Returns:
        The entries of query, key and value, and of the biases of query and key.

    Raises:
        ValueError: If d is below 1.

    Example:
        >>> fusion_parameters(768) // adapter_parameters(768, m=48)
        23
    """
    check_count("d", d, 1)
    return 3 * d * d + 2 * d

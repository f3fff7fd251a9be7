r"""Prefix tuning: trained keys and values in front of each attention; and what is related to it.

Queries are (…, L, d), keys and values (…, S, d), a prefix of ℓ keys and values (…, ℓ, d), with the
axes in front of the layer's keys, heads among them.
"""

from dlkb.arrays import Array, check_count, check_float, namespace
from dlkb.transformers.attention import attention, attention_weights
from dlkb.transformers.attention_masks import causal_mask


def _with_prefix(name: str, x: Array, prefix: Array) -> Array:
    """Return the prefix and x, one after the other."""
    check_float(name, x)
    check_float(f"prefix_{name}", prefix)
    fits = x.ndim >= 2 and x.ndim == prefix.ndim
    if not fits or (*x.shape[:-2], x.shape[-1]) != (*prefix.shape[:-2], prefix.shape[-1]):
        raise ValueError(
            f"prefix_{name} has shape {tuple(prefix.shape)} but {name} has shape "
            f"{tuple(x.shape)}: all axes but the tokens, second from the end, must be equal"
        )
    return namespace(x, prefix).concat([prefix, x], axis=-2)


def _check_queries(q: Array) -> None:
    check_float("q", q)
    if q.ndim < 2:
        raise ValueError(f"q has shape {tuple(q.shape)}: it must be (…, tokens, d)")


def prefix_attention(
    q: Array,
    k: Array,
    v: Array,
    prefix_k: Array,
    prefix_v: Array,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    r"""Return attention that reads a prefix, too: as many outputs, of more keys.

    $$\mathbf{O} = \operatorname{attention}\bigl(\mathbf{Q}, [\mathbf{P}_K; \mathbf{K}],
      [\mathbf{P}_V; \mathbf{V}]\bigr)$$

    Args:
        q: Queries, shape (..., L, d).
        k: Keys, shape (..., S, d).
        v: Values, shape (..., S, e).
        prefix_k: Keys of the prefix, shape (..., ℓ, d).
        prefix_v: Values of the prefix, shape (..., ℓ, e).
        is_causal: Whether query i reads the keys up to i alone; all read the prefix.
        scale: Of the scores; None for 1/√d.

    Returns:
        Shape (..., L, e).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Reference:
        Li and Liang, Prefix-Tuning: Optimizing Continuous Prompts for Generation, ACL 2021.

    Example:
        >>> import numpy as np
        >>> q, k, v = np.zeros((1, 2)), np.zeros((1, 2)), np.asarray([[2.0]])
        >>> prefix_attention(q, k, v, np.zeros((3, 2)), np.zeros((3, 1)))
        array([[0.5]])
    """
    _check_queries(q)
    keys, values = _with_prefix("k", k, prefix_k), _with_prefix("v", v, prefix_v)
    mask = causal_mask(q, keys, past=prefix_k.shape[-2]) if is_causal else None
    return attention(q, keys, values, mask=mask, scale=scale)


def prefix_gate(
    q: Array,
    k: Array,
    prefix_k: Array,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    r"""Return how much of its attention each query gives to the prefix.

    $$\lambda = \frac{\sum_{j \le \ell} e^{\mathbf{q}\cdot\mathbf{p}_j/\sqrt d}}
      {\sum_{j \le \ell} e^{\mathbf{q}\cdot\mathbf{p}_j/\sqrt d}
      + \sum_{j} e^{\mathbf{q}\cdot\mathbf{k}_j/\sqrt d}}$$

    Args:
        q: As for `prefix_attention`.
        k: As for `prefix_attention`.
        prefix_k: As for `prefix_attention`.
        is_causal: As for `prefix_attention`.
        scale: As for `prefix_attention`.

    Returns:
        λ, shape (..., L), in [0, 1], up to rounding.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Reference:
        He et al., Towards a Unified View of Parameter-Efficient Transfer Learning, ICLR 2022.

    Example:
        >>> import numpy as np
        >>> prefix_gate(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((3, 2)))
        array([0.75])
    """
    _check_queries(q)
    keys, length = _with_prefix("k", k, prefix_k), prefix_k.shape[-2]
    mask = causal_mask(q, keys, past=length) if is_causal else None
    weights = attention_weights(q, keys, mask=mask, scale=scale)
    return namespace(weights).sum(weights[..., :length], axis=-1)


def ia3(x: Array, weight: Array, factor: Array, bias: Array | None = None) -> Array:
    r"""Apply a frozen linear layer whose outputs are multiplied by trained factors, as (IA)³ does.

    $$\mathbf{y} = \mathbf{l} \circ (\mathbf{x}\mathbf{W}^\top + \mathbf{b})$$

    Args:
        x: Inputs, shape (..., in).
        weight: W, shape (out, in).
        factor: l, shape (out,); ones at the start.
        bias: b, shape (out,), or None.

    Returns:
        Shape (..., out).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Note:
        For keys and values. In the feed-forward block (IA)³ multiplies what enters the second
        layer, behind the activation: `ia3_merge` is for this layer's rows, not for the columns
        there.

    Reference:
        Liu et al., Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context
        Learning, NeurIPS 2022.

    Example:
        >>> import numpy as np
        >>> ia3(np.asarray([1.0, 2.0]), np.eye(2), np.asarray([1.0, 0.5]))
        array([1., 1.])
    """
    weight, bias = ia3_merge(weight, factor, bias)
    check_float("x", x)
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: its last axis must be in = {weight.shape[1]}"
        )
    y = namespace(x, weight).matmul(x, namespace(weight).matrix_transpose(weight))
    return y if bias is None else y + bias


def ia3_merge(
    weight: Array, factor: Array, bias: Array | None = None
) -> tuple[Array, Array | None]:
    r"""Return the plain layer that equals one with factors, up to rounding.

    $$\mathbf{W}' = \operatorname{diag}(\mathbf{l})\,\mathbf{W}, \qquad
      \mathbf{b}' = \mathbf{l} \circ \mathbf{b}$$

    Args:
        weight: W, shape (out, in).
        factor: l, shape (out,).
        bias: b, shape (out,), or None.

    Returns:
        Weight and bias, like the arguments.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> ia3_merge(np.ones((2, 1)), np.asarray([1.0, 0.5]))[0].tolist()
        [[1.0], [0.5]]
    """
    check_float("weight", weight)
    check_float("factor", factor)
    if weight.ndim != 2:
        raise ValueError(f"weight has shape {tuple(weight.shape)}: it must be (out, in)")
    if bias is not None:
        check_float("bias", bias)
    for name, array in (("factor", factor), ("bias", bias)):
        if array is not None and tuple(array.shape) != (weight.shape[0],):
            raise ValueError(
                f"{name} has shape {tuple(array.shape)}: it must be ({weight.shape[0]},)"
            )
    return factor[:, None] * weight, None if bias is None else factor * bias


def prefix_parameters(width: int, *, length: int, layers: int) -> int:
    r"""Count what a prefix trains: a key and a value a position and layer.

    $$2\,L\,\ell\,d$$

    Args:
        width: d, of keys and values, all heads together.
        length: ℓ, positions of the prefix, ≥ 0.
        layers: L, layers that get one.

    Returns:
        The count, without a network that makes the prefix while training.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> prefix_parameters(768, length=20, layers=12)
        368640
    """
    check_count("width", width, 1)
    check_count("length", length, 0)
    check_count("layers", layers, 1)
    return 2 * layers * length * width


def cache_bytes(tokens: int, *, width: int, layers: int, itemsize: int = 2) -> int:
    r"""Count the bytes of keys and values that generating keeps for one sequence.

    $$2\,L\,d\,n\,b$$

    Args:
        tokens: n, positions that are kept, those of a prefix or a prompt among them.
        width: d, of keys and values, all heads together.
        layers: L.
        itemsize: b, bytes a number.

    Returns:
        The bytes.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> cache_bytes(100, width=768, layers=12)
        3686400
    """
    check_count("tokens", tokens, 0)
    check_count("itemsize", itemsize, 1)
    return itemsize * prefix_parameters(width, length=tokens, layers=layers)

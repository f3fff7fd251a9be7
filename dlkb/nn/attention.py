"""Attention as the function that PyTorch has."""

import torch
from torch import Tensor

from dlkb.arrays import check_between
from dlkb.nn.dropout import Dropout
from dlkb.nn.two_graphs import by_hand
from dlkb.transformers.attention import attention, attention_vjp, attention_weights


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return the mean of the values under the softmax of the scores.

    A drop-in for `torch.nn.functional.scaled_dot_product_attention`; the arithmetic is
    `dlkb.transformers.attention.attention`.

    Args:
        query: Shape (..., L, E). Axes before the last two broadcast against those of the others,
            with `enable_gqa` those before the heads.
        key: Shape (..., S, E).
        value: Shape (..., S, E_v).
        attn_mask: Boolean, True where a query may read, or a number added to the score; it
            broadcasts to (..., L, S), from the last axis on as in torch. So with inputs
            (N, heads, L, E), three axes are (heads, L, S), also where N equals the number of
            heads: give (N, L, S) as `attn_mask[:, None]`.
        dropout_p: Probability of dropping a weight, whatever the mode of a module.
        is_causal: Whether query i reads keys j ≤ i alone, counted from the first of each.
        scale: Factor of the scores, 1/√E by default.
        enable_gqa: Whether heads of `query` in a row share a head of `key` and `value`.

    Returns:
        Shape (..., L, E_v), in the dtype of `query`.

    Raises:
        TypeError: If a tensor is not floating-point, or the mask neither boolean nor that.
        ValueError: If shapes do not fit, `dropout_p` is out of its range, or both `attn_mask` and
            `is_causal` are given.

    Note:
        All weights, L × S a head, are in memory while a pass runs. Between the passes the three
        inputs are kept; the weights, too, with dropout or where the mask requires a gradient.
        Differs from PyTorch's: `query`, `key` and `value` may be of several dtypes; with
        `enable_gqa`, `key` has as many heads as `value`; under autocast it computes, and returns,
        the inputs' dtype; errors are other classes with other texts.

    Example:
        >>> x = torch.eye(2)
        >>> scaled_dot_product_attention(9 * x, 9 * x, x).round(decimals=3)
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_between("dropout_p", dropout_p, 0, 1)
    apart = 3 if enable_gqa and query.ndim > 2 < key.ndim else 2
    tensors, dtype = (query, key, value), query.dtype
    if all(x.is_floating_point() for x in tensors):
        common = torch.promote_types(torch.promote_types(dtype, key.dtype), value.dtype)
        query, key, value = tensors = tuple(x.to(common) for x in tensors)
    try:
        axes = torch.broadcast_shapes(*(x.shape[:-apart] for x in tensors))
    except RuntimeError:
        raise ValueError(
            f"query, key and value have shapes {[tuple(x.shape) for x in tensors]}: their axes "
            f"before the last {apart} must broadcast"
        ) from None
    query, key, value = (x.expand((*axes, *x.shape[-apart:])) for x in tensors)
    if dropout_p == 0:
        arrays = {"q": query, "k": key, "v": value}
        options = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
        read = by_hand(attention, attention_vjp, arrays, options, fixed={"mask": attn_mask})
        return read.to(dtype)
    weights = attention_weights(
        query, key, mask=attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
    )
    if enable_gqa:
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], dim=-3)
    return (Dropout(dropout_p)(weights) @ value).to(dtype)

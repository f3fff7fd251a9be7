"""Attention of several heads as a module."""

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from dlkb.arrays import check_between
from dlkb.nn.attention import scaled_dot_product_attention
from dlkb.nn.dropout import Dropout
from dlkb.transformers.attention import attention_weights
from dlkb.transformers.attention_heads import merge_heads, split_heads


class MultiheadAttention(nn.Module):
    """Attention of several heads, with the projections before and the one behind.

    A drop-in for `torch.nn.MultiheadAttention`: same arguments, parameters and state dict; the
    arithmetic is `dlkb.transformers.attention`.

    Args:
        embed_dim: Width of queries and of the output, a multiple of `num_heads`.
        num_heads: Number of heads.
        dropout: Probability of dropping a weight while training.
        bias: Whether the projections have shifts.
        add_bias_kv: Whether one learned key and value is added to those of the input.
        add_zero_attn: Whether a key and value of zeros is added: a query may read nothing.
        kdim: Width of the keys' input, `embed_dim` by default.
        vdim: Width of the values' input, `embed_dim` by default.
        batch_first: Whether the batch comes before the tokens; by default the tokens come first.
        device: Where the parameters are.
        dtype: Their type.

    Raises:
        ValueError: If `embed_dim` is not a positive multiple of `num_heads`, or `dropout` is
            outside [0, 1].

    Note:
        Differs from `torch.nn.MultiheadAttention` in a query whose keys are all masked: it reads
        zeros here, and NaN there where `need_weights` is set or in the fast path of `eval`. A hint
        `is_causal` is believed there without `need_weights`; here the mask counts. Nested tensors
        are not taken.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = MultiheadAttention(8, 2, batch_first=True)
        >>> x = torch.ones(1, 3, 8)
        >>> read, weights = layer(x, x, x)
        >>> read.shape, weights.shape
        (torch.Size([1, 3, 8]), torch.Size([1, 3, 3]))
    """

    drops_in_forward = True
    """Its training flag switches dropout and nothing else: `mc_dropout` asks."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"embed_dim is {embed_dim}: it must be a positive multiple of {num_heads} heads"
            )
        check_between("dropout", dropout, 0, 1)
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.head_dim = embed_dim // num_heads
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim

        def parameter(name: str, *shape: int, wanted: bool = True) -> None:
            empty = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if wanted else None)

        parts = not self._qkv_same_embed_dim
        parameter("q_proj_weight", embed_dim, embed_dim, wanted=parts)
        parameter("k_proj_weight", embed_dim, self.kdim, wanted=parts)
        parameter("v_proj_weight", embed_dim, self.vdim, wanted=parts)
        parameter("in_proj_weight", 3 * embed_dim, embed_dim, wanted=not parts)
        parameter("in_proj_bias", 3 * embed_dim, wanted=bias)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        parameter("bias_k", 1, 1, embed_dim, wanted=add_bias_kv)
        parameter("bias_v", 1, 1, embed_dim, wanted=add_bias_kv)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw anew, as torch does: Xavier for weights, zero for shifts."""
        for name, p in self.named_parameters(recurse=False):
            if name.endswith("proj_weight"):
                nn.init.xavier_uniform_(p)
            elif name == "in_proj_bias":
                nn.init.zeros_(p)
            else:
                nn.init.xavier_normal_(p)
        if self.out_proj.bias is not None:
            nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what queries read, and their weights if asked for.

        Args:
            query: Shape (L, N, E), (N, L, E) with `batch_first`, or (L, E).
            key: Shape (S, N, kdim), likewise.
            value: Shape (S, N, vdim), likewise.
            key_padding_mask: Shape (N, S) or (S,): True, unlike in
                `scaled_dot_product_attention`, where a key may *not* be read, or a number added.
            need_weights: Whether weights are returned.
            attn_mask: Shape (L, S), or (N · heads, L, S) with the heads of a batch in a row: True
                where a key may not be read, or a number added. As in torch no axis is repeated:
                give (heads, L, S) as `attn_mask.repeat(N, 1, 1)`, and (N, L, S) as
                `attn_mask.repeat_interleave(heads, 0)`.
            average_attn_weights: Whether the mean over the heads is returned.
            is_causal: A hint that `attn_mask` is the causal mask, which must be given.

        Raises:
            TypeError: If a mask is neither boolean nor floating-point.
            ValueError: If shapes do not fit.
            RuntimeError: If `is_causal` is set without `attn_mask`.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise ValueError(
                f"query, key and value have {query.ndim}, {key.ndim} and {value.ndim} axes: two "
                "each are needed, or three with a batch"
            )
        batched = query.ndim == 3
        if not batched:
            query, key, value = (x[None] for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._project(query, key, value)
        mask = self._mask(attn_mask, key_padding_mask, q, key, added=k.shape[1] - key.shape[1])
        q, k, v = (split_heads(x, heads=self.num_heads) for x in (q, k, v))
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask=mask)
            weights = Dropout(self.dropout).train(self.training)(weights)
            read = weights @ v
        else:
            dropout = self.dropout if self.training else 0.0
            read = scaled_dot_product_attention(q, k, v, mask, dropout)
        # Tokens first in memory, as in torch: dropout behind it drops the same from one seed.
        out = self.out_proj(merge_heads(read).transpose(0, 1))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return out[:, 0], None if weights is None else weights[0]
        return out.transpose(0, 1) if self.batch_first else out, weights

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of all heads, with what is added to the input's."""
        if self._qkv_same_embed_dim:
            matrices = self.in_proj_weight.chunk(3)
        else:
            matrices = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        q, k, v = (x @ w.T for x, w in zip((query, key, value), matrices, strict=True))
        if self.in_proj_bias is not None:
            q, k, v = (x + b for x, b in zip((q, k, v), self.in_proj_bias.chunk(3), strict=True))
        if self.bias_k is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), 1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(len(v), 1, -1)], 1)
        if self.add_zero_attn:
            k, v = (torch.cat([x, x.new_zeros(len(x), 1, self.embed_dim)], 1) for x in (k, v))
        return q, k, v

    def _mask(
        self,
        attn_mask: Tensor | None,
        padding: Tensor | None,
        q: Tensor,
        key: Tensor,
        *,
        added: int,
    ) -> Tensor | None:
        """Return what is added to the scores, shape (N or 1, heads or 1, L or 1, S + added)."""
        for name, mask in (("attn_mask", attn_mask), ("key_padding_mask", padding)):
            if mask is not None and mask.dtype != torch.bool and not mask.is_floating_point():
                raise TypeError(
                    f"{name} has dtype {mask.dtype}: it must be boolean, True where a key may not "
                    "be read, or floating-point, added to the scores"
                )
        (batch, queries), keys, heads = q.shape[:2], key.shape[1], self.num_heads
        if padding is not None and tuple(padding.shape) != (batch, keys):
            raise ValueError(
                f"key_padding_mask has shape {tuple(padding.shape)} with a batch: (N, S) is "
                f"needed, {(batch, keys)}"
            )
        masks = []
        if attn_mask is not None:
            each = (batch * heads, queries, keys)
            if tuple(attn_mask.shape) not in (each, each[1:]):
                raise ValueError(
                    f"attn_mask has shape {tuple(attn_mask.shape)}: (L, S) is needed, {each[1:]}, "
                    f"or (N · heads, L, S), {each}; repeat what a batch or its {heads} heads share"
                )
            own = attn_mask.ndim == 3
            masks.append(attn_mask.unflatten(0, (-1, heads)) if own else attn_mask)
        if padding is not None:
            masks.append(padding[:, None, None, :])
        total = None
        for mask in masks:
            if mask.dtype == torch.bool:
                mask = q.new_zeros(mask.shape).masked_fill(mask, -torch.inf)
            total = mask if total is None else total + mask
        if total is None or added == 0:
            return total
        return torch.cat([total, total.new_zeros(*total.shape[:-1], added)], -1)

"""Layers of the transformer's encoder and decoder as modules."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.activations.gelu import gelu, gelu_vjp
from dlkb.activations.relu import relu
from dlkb.arrays import check_between, check_count
from dlkb.nn.dropout import Dropout
from dlkb.nn.layer_norm import LayerNorm
from dlkb.nn.multihead_attention import MultiheadAttention
from dlkb.nn.two_graphs import by_hand_in_float32

Activation = Callable[[Tensor], Tensor]


def _gelu(x: Tensor) -> Tensor:
    return by_hand_in_float32(gelu, gelu_vjp, {"x": x})


NAMED: dict[str, Activation] = {"relu": relu, "gelu": _gelu}


class _Layer(nn.Module):
    """What both layers have: attention, a feed-forward network, norms, dropout, sums."""

    reads_memory = False

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        # Checks come before the first draw: an error leaves the generator as it was.
        if d_model <= 0 or nhead <= 0 or d_model % nhead:
            raise ValueError(
                f"d_model is {d_model}: it must be a positive multiple of nhead, {nhead}"
            )
        check_count("dim_feedforward", dim_feedforward, 1)
        check_between("dropout", dropout, 0, 1)
        chosen = _named(activation)
        place: dict[str, Any] = {"device": device, "dtype": dtype}

        def attention() -> MultiheadAttention:
            return MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **place
            )

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)

        # In the order in which torch draws, so that one seed gives the same weights.
        self.self_attn = attention()
        if self.reads_memory:
            self.multihead_attn = attention()
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias=bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias=bias, **place)
        self.norm_first = norm_first
        self.norm1, self.norm2 = norm(), norm()
        if self.reads_memory:
            self.norm3 = norm()
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        if self.reads_memory:
            self.dropout3 = Dropout(dropout)
        self.activation = chosen

    def _added(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x with a part added, normalized before it or behind the sum."""
        if self.norm_first:
            return x + part(norm(x))
        output: Tensor = norm(x + part(x))
        return output

    # The parts have torch's names, since subclasses replace them.
    def _sa_block(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool = False
    ) -> Tensor:
        output: Tensor = self.dropout1(_read(self.self_attn, x, x, mask, padding, is_causal))
        return output

    def _ff_block(self, x: Tensor) -> Tensor:
        last = self.dropout3 if self.reads_memory else self.dropout2
        output: Tensor = last(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return output


class TransformerEncoderLayer(_Layer):
    r"""Self-attention and a feed-forward network, each normalized and added.

    $$\mathbf{x} \leftarrow \mathrm{LN}(\mathbf{x} + F(\mathbf{x})),\qquad
      \text{with norm\_first } \mathbf{x} \leftarrow \mathbf{x} + F(\mathrm{LN}(\mathbf{x}))$$

    A drop-in for `torch.nn.TransformerEncoderLayer`: same arguments, parameters, state dict and
    draws from one seed. Without dropout it is `dlkb.transformers.blocks.block`.

    Args:
        d_model: Width of a token, a positive multiple of `nhead`.
        nhead: Number of heads.
        dim_feedforward: Hidden units of the feed-forward network.
        dropout: Probability of dropping attention weights, hidden units and the parts' outputs.
        activation: "relu", "gelu", or a function or module of one tensor.
        layer_norm_eps: Of the norms.
        batch_first: Whether the batch comes before the tokens; by default the tokens come first.
        norm_first: Whether a norm stands before each part; by default it stands behind each sum.
        bias: Whether linear layers and norms have shifts.
        device: Where the parameters are.
        dtype: Their type.

    Raises:
        ValueError: If `d_model` is not a multiple of `nhead`, a size or `dropout` is out of its
            range, or there is no such activation; nothing has been drawn then.
        TypeError: If `activation` is neither a name nor callable.

    Note:
        Differs from torch's: no fast path in `eval()`, which calls no part unless one has a hook,
        and turns a token that may read nothing into NaN; no nested tensors: pass
        `enable_nested_tensor=False` to `torch.nn.TransformerEncoder`, which warns otherwise. A
        hint `is_causal` is believed there; here the mask counts.

    Reference:
        Vaswani et al. (2017, section 3.1); with the norm first: Xiong et al. (2020, figure 1).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = TransformerEncoderLayer(8, 2, 16, batch_first=True)
        >>> layer(torch.ones(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return the tokens behind the layer, in the shape of `src`.

        Args:
            src: Shape (L, N, d_model), (N, L, d_model) with `batch_first`, or (L, d_model).
            src_mask: Shape (L, L) or (N · nhead, L, L): True where a token may not be read, or a
                number added to the score.
            src_key_padding_mask: Shape (N, L) or (L,), likewise for all queries.
            is_causal: A hint that `src_mask` is the causal mask, which must be given.

        Raises:
            TypeError: If `src` is a nested tensor.
            ValueError: If its shape does not fit.
            RuntimeError: If `is_causal` is set without `src_mask`.
        """
        _check_tokens("src", src, self.self_attn.embed_dim)

        def own(x: Tensor) -> Tensor:
            return self._sa_block(x, src_mask, src_key_padding_mask, is_causal)

        return self._added(self._added(src, self.norm1, own), self.norm2, self._ff_block)


class TransformerDecoderLayer(_Layer):
    r"""Self-attention, attention to a memory, and a feed-forward network, normalized and added.

    $$\mathbf{x} \leftarrow \mathrm{LN}(\mathbf{x} + F(\mathbf{x})),\qquad
      \text{with norm\_first } \mathbf{x} \leftarrow \mathbf{x} + F(\mathrm{LN}(\mathbf{x}))$$

    A drop-in for `torch.nn.TransformerDecoderLayer`: same arguments, parameters, state dict and
    draws from one seed. Without dropout it is `dlkb.transformers.blocks.block` with a memory.

    The arguments and their errors are those of `TransformerEncoderLayer`; the memory has the width
    `d_model`, too, and is not normalized here.

    Note:
        Differs from torch's in the hints, which are believed there; here the masks count.

    Reference:
        Vaswani et al. (2017, section 3.1); with the norm first: Xiong et al. (2020, figure 1).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = TransformerDecoderLayer(8, 2, 16, batch_first=True)
        >>> layer(torch.ones(1, 3, 8), torch.ones(1, 5, 8)).shape
        torch.Size([1, 3, 8])
    """

    reads_memory = True

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return the tokens behind the layer, in the shape of `tgt`.

        Args:
            tgt: As `src` of `TransformerEncoderLayer`.
            memory: Shape (S, N, d_model), likewise.
            tgt_mask: As `src_mask` there.
            memory_mask: Shape (L, S) or (N · nhead, L, S), likewise.
            tgt_key_padding_mask: As `src_key_padding_mask` there.
            memory_key_padding_mask: Shape (N, S) or (S,), likewise.
            tgt_is_causal: A hint that `tgt_mask` is the causal mask, which must be given.
            memory_is_causal: A hint about `memory_mask`, likewise.

        Raises:
            TypeError: If `tgt` or `memory` is a nested tensor.
            ValueError: If a shape does not fit.
            RuntimeError: If a hint is set without its mask.
        """
        for name, x in (("tgt", tgt), ("memory", memory)):
            _check_tokens(name, x, self.self_attn.embed_dim)
        batch = 0 if self.self_attn.batch_first else 1
        if tgt.ndim != memory.ndim or (tgt.ndim == 3 and tgt.shape[batch] != memory.shape[batch]):
            raise ValueError(
                f"memory has shape {tuple(memory.shape)} but tgt has shape {tuple(tgt.shape)}: "
                f"batches, axis {batch} of three, must be equal"
            )

        def own(x: Tensor) -> Tensor:
            return self._sa_block(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal)

        def read(x: Tensor) -> Tensor:
            padding = memory_key_padding_mask
            return self._mha_block(x, memory, memory_mask, padding, memory_is_causal)

        x = self._added(self._added(tgt, self.norm1, own), self.norm2, read)
        return self._added(x, self.norm3, self._ff_block)

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        mask: Tensor | None,
        padding: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        output: Tensor = self.dropout2(_read(self.multihead_attn, x, mem, mask, padding, is_causal))
        return output


def _read(
    attention: nn.Module,
    x: Tensor,
    memory: Tensor,
    mask: Tensor | None,
    padding: Tensor | None,
    is_causal: bool,
) -> Tensor:
    if is_causal and mask is None:
        raise RuntimeError(
            "an is_causal hint is True and its mask is None: give src_mask, tgt_mask or memory_mask"
        )
    masks: dict[str, Any] = {"attn_mask": mask, "key_padding_mask": padding, "is_causal": is_causal}
    output: Tensor = attention(x, memory, memory, need_weights=False, **masks)[0]
    return output


def _named(activation: str | Activation) -> Activation:
    if callable(activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(f"activation is {type(activation).__name__}: give a name or a function")
    if activation not in NAMED:
        raise ValueError(
            f"activation is {activation!r}: names are {tuple(NAMED)}, for others give a function "
            "or module, such as dlkb.nn.SiLU()"
        )
    return NAMED[activation]


def _check_tokens(name: str, x: Tensor, width: int) -> None:
    if x.is_nested:
        raise TypeError(
            f"{name} is a nested tensor: give x.to_padded_tensor(0.0) and a key_padding_mask, to "
            "torch.nn.TransformerEncoder enable_nested_tensor=False"
        )
    if x.ndim not in (2, 3) or x.shape[-1] != width:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: two axes or three are needed, the last {width}, "
            "the d_model of this layer"
        )

"""Attention in shifted windows as a module."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between
from dlkb.nn.dropout import Dropout
from dlkb.transformers.attention import attention_weights
from dlkb.transformers.attention_heads import merge_heads, split_heads
from dlkb.vision.swin import biased_mask, relative_bias
from dlkb.vision.windows import from_windows, to_windows


class ShiftedWindowAttention(nn.Module):
    """Attention of each place to its window, with relative biases: half of a Swin block.

    A drop-in for `torchvision.models.swin_transformer.ShiftedWindowAttention`: the same arguments,
    names of weights, and draws from one seed. The arithmetic is that of
    `dlkb.vision.swin.window_attention`.

    Args:
        dim: Channels.
        window_size: Height and width of a window.
        shift_size: By how much windows are shifted down and right; zeros in every other layer.
        num_heads: Heads, a divisor of `dim`.
        qkv_bias: With a bias of queries, keys and values.
        proj_bias: With a bias of the projection.
        attention_dropout: Probability of dropping a weight of attention.
        dropout: Probability of dropping an output.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, or window and shift do not fit.

    Note:
        Differs from torchvision's in the mask, −∞ here and −100 there, and in a shift as large as
        the window, which is refused here.

    Example:
        >>> import torch
        >>> layer = ShiftedWindowAttention(8, [4, 4], [2, 2], 2)
        >>> layer(torch.ones(1, 10, 6, 8)).shape
        torch.Size([1, 10, 6, 8])
    """

    relative_position_index: Tensor

    def __init__(
        self,
        dim: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        num_heads: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2 or min(window_size) < 1:
            raise ValueError(
                f"window_size is {window_size} and shift_size {shift_size}: two numbers each "
                "are needed, those of the window at least 1"
            )
        for shift, size in zip(shift_size, window_size, strict=True):
            check_between("shift_size", shift, 0, size, closed="left")
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"num_heads is {num_heads}: it must divide dim, {dim}")
        self.window_size, self.shift_size = list(window_size), list(shift_size)
        self.num_heads = num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        height, width = window_size
        differences = (2 * height - 1) * (2 * width - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(differences, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # The numbers of the table's rows, laid out as the biases are: which row goes where.
        numbers = torch.arange(differences, dtype=torch.float64)[:, None]
        index = relative_bias(numbers, window=self.window_size).flatten().long()
        self.register_buffer("relative_position_index", index)
        self._drop_weights, self._drop_output = Dropout(attention_dropout), Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for images of shape (examples, height, width, dim)."""
        options: dict[str, Any] = {"window": self.window_size, "shift": self.shift_size}
        height, width = x.shape[-3:-1]
        parts = self.qkv(to_windows(x, **options)).chunk(3, dim=-1)
        q, k, v = (split_heads(part, heads=self.num_heads) for part in parts)
        mask = biased_mask(x, self.relative_position_bias_table, **options)
        weights = self._drop_weights(attention_weights(q, k, mask=mask))
        out = self._drop_output(self.proj(merge_heads(weights @ v)))
        result: Tensor = from_windows(out, height=height, width=width, **options)
        return result

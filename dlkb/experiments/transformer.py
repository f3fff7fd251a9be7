"""A transformer block whose attention keeps its scores, or is fused."""

import math

from torch import Tensor, nn

from dlkb.nn.dropout import Dropout


class Attention(nn.Module):
    """Self-attention over `(batch, sequence, hidden)`, without a mask.

    Args:
        hidden: Width, a multiple of `heads`.
        heads: Number of heads.
        dropout: Probability of dropping a weight, behind the softmax; the fused form has none.
        fused: Whether PyTorch's fused kernel computes it, which keeps no scores.

    Example:
        >>> import torch
        >>> Attention(8, 2)(torch.ones(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self, hidden: int, heads: int, *, dropout: float = 0.0, fused: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.fused = fused
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.drop = Dropout(dropout)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each position reads from all."""
        width = x.shape[-1] // self.heads
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, width))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if self.fused:
            read = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            scores = (q @ k.mT / math.sqrt(width)).softmax(-1)
            read = self.drop(scores) @ v
        return self.out(read.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A block as GPT-2's, but for the mask: norm, attention, dropout, sum; norm, MLP, dropout, sum.

    The MLP's hidden layer has four widths.

    Args:
        hidden: Width, a multiple of `heads`.
        heads: Number of heads.
        dropout: Probability of dropping, on attention's weights and behind both parts; the fused
            form has none on the weights.
        fused: As in `Attention`.

    Example:
        >>> import torch
        >>> Block(8, 2)(torch.ones(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self, hidden: int, heads: int, *, dropout: float = 0.0, fused: bool = False
    ) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads, dropout=dropout, fused=fused)
        self.drop_1 = Dropout(dropout)
        self.norm_2 = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden)
        )
        self.drop_2 = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, in the shape of its input."""
        x = x + self.drop_1(self.attention(self.norm_1(x)))
        return x + self.drop_2(self.mlp(self.norm_2(x)))

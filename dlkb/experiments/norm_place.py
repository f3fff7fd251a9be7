"""Blocks with the norm before each part or after each sum: the gradient by depth."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlkb.losses.cross_entropy import cross_entropy
from dlkb.normalization.layer_norm import layer_norm
from dlkb.transformers.blocks import (
    AttentionParams,
    BlockParams,
    FeedForwardParams,
    Linear,
    block,
)

CLASSES = 10


def draw_blocks(
    rng: np.random.Generator, *, depth: int, seeds: int, width: int, scaled: bool = False
) -> BlockParams:
    """Draw blocks by Xavier's rule, biases 0, gains 1; each array has axes `(seeds, depth)`.

    Args:
        rng: The source of randomness; it advances.
        depth: Blocks of a network.
        seeds: Networks.
        width: Of a token; the feed-forward network has four.
        scaled: Whether the last matrix of each part is divided by the root of the number of
            sums, two a block, as GPT-2 does.

    Returns:
        Their parameters, in float64.

    Example:
        >>> blocks = draw_blocks(np.random.default_rng(0), depth=3, seeds=2, width=4)
        >>> blocks.feed_forward.up.weight.shape
        torch.Size([2, 3, 16, 4])
    """
    last = 1 / math.sqrt(2 * depth) if scaled else 1.0

    def layer(out: int, into: int, scale: float = 1.0) -> Linear:
        std = scale * math.sqrt(2 / (out + into))
        weight = rng.normal(size=(seeds, depth, out, into)) * std
        bias = torch.zeros(seeds, depth, out, dtype=torch.float64)
        return Linear(torch.tensor(weight), bias)

    def norm() -> Linear:
        shape = (seeds, depth, width)
        return Linear(
            torch.ones(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        )

    q, k, v = (layer(width, width) for _ in range(3))
    attention = AttentionParams(q, k, v, layer(width, width, last))
    mlp = FeedForwardParams(layer(4 * width, width), layer(width, 4 * width, last))
    return BlockParams(norm(), attention, norm(), mlp)


def gradient_by_layer(
    *,
    depth: int,
    pre_norm: bool,
    scaled: bool = False,
    seeds: int = 10,
    width: int = 16,
    length: int = 8,
) -> Tensor:
    """Return the gradient's norm of each block's last matrix, at the start of training.

    Args:
        depth: Blocks.
        pre_norm: Whether the norm stands before each part; a last norm follows the blocks then.
        scaled: As in `draw_blocks`.
        seeds: Networks, each with four texts of its own.
        width: Of a token; two heads.
        length: Tokens of a text, each to be put into one of ten classes.

    Returns:
        `(seeds, depth)`, the first block first.

    Example:
        >>> gradient_by_layer(depth=2, pre_norm=True, seeds=3).shape
        torch.Size([3, 2])
    """
    rng = np.random.default_rng(0)
    blocks = draw_blocks(rng, depth=depth, seeds=seeds, width=width, scaled=scaled)
    x = torch.tensor(rng.normal(size=(seeds, 4, length, width)))
    head = torch.tensor(rng.normal(size=(seeds, CLASSES, width)) / math.sqrt(width))
    labels = torch.tensor(rng.integers(0, CLASSES, size=(seeds, 4, length)))
    down = blocks.feed_forward.down.weight.requires_grad_()

    def of_one(parts: tuple[Any, ...], h: Tensor, last: Tensor, targets: Tensor) -> Tensor:
        attention_norm, attention, mlp_norm, up, down = parts
        own = BlockParams(attention_norm, attention, mlp_norm, FeedForwardParams(up, down))
        h = stream(h, own, depth=depth, pre_norm=pre_norm)
        if pre_norm:
            h = layer_norm(h)
        return cross_entropy((h @ last.T).flatten(0, 1), targets.flatten())

    # `vmap` takes no None: the parts without gate and cross-attention
    parts = (*blocks[:3], blocks.feed_forward.up, blocks.feed_forward.down)
    losses: Tensor = torch.vmap(of_one)(parts, x, head, labels)
    (grad,) = torch.autograd.grad(losses.sum(), down)
    return grad.flatten(2).norm(dim=-1)


def stream(x: Tensor, blocks: BlockParams, *, depth: int, pre_norm: bool) -> Tensor:
    """Return what leaves the last block, before a last norm.

    Args:
        x: `(..., length, width)`.
        blocks: Of one network, an axis `(depth,)` in front of each array.
        depth: Blocks.
        pre_norm: As in `block`.

    Returns:
        An array like `x`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> blocks = entry(draw_blocks(rng, depth=2, seeds=1, width=4), 0)
        >>> x = torch.ones(3, 4, dtype=torch.float64)
        >>> stream(x, blocks, depth=2, pre_norm=True).shape
        torch.Size([3, 4])
    """
    for i in range(depth):
        own = entry(blocks, i)
        x = block(x, own, heads=2, pre_norm=pre_norm, activation="relu")
    return x


def entry(blocks: BlockParams, index: int) -> BlockParams:
    """Take an entry of the first axis: a network of several, or a block of one network.

    Args:
        blocks: As drawn.
        index: From 0.

    Returns:
        The parameters, without that axis.

    Example:
        >>> blocks = draw_blocks(np.random.default_rng(0), depth=3, seeds=2, width=4)
        >>> entry(blocks, 0).feed_forward.up.weight.shape
        torch.Size([3, 16, 4])
    """

    def at(one: Linear) -> Linear:
        return Linear(*(None if p is None else p[index] for p in one))

    attention, mlp = blocks.attention, blocks.feed_forward
    return BlockParams(
        at(blocks.attention_norm),
        AttentionParams(*map(at, attention)),
        at(blocks.feed_forward_norm),
        FeedForwardParams(at(mlp.up), at(mlp.down)),
    )

"""Blocks with the norm before each part, after each sum, or nowhere: the gradient by depth."""

import math

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


def draw_blocks(rng: np.random.Generator, *, depth: int, seeds: int, width: int) -> BlockParams:
    """Draw blocks by Xavier's rule, biases 0, gains 1; each array has axes `(seeds, depth)`.

    Args:
        rng: The source of randomness; it advances.
        depth: Blocks of a network.
        seeds: Networks.
        width: Of a token; the feed-forward network has four.

    Returns:
        Their parameters, in float64.

    Example:
        >>> blocks = draw_blocks(np.random.default_rng(0), depth=3, seeds=2, width=4)
        >>> blocks.feed_forward.up.weight.shape
        torch.Size([2, 3, 16, 4])
    """

    def layer(out: int, into: int) -> Linear:
        weight = rng.normal(size=(seeds, depth, out, into)) * math.sqrt(2 / (out + into))
        bias = torch.zeros(seeds, depth, out, dtype=torch.float64)
        return Linear(torch.tensor(weight), bias)

    def norm() -> Linear:
        shape = (seeds, depth, width)
        return Linear(
            torch.ones(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        )

    attention = AttentionParams(*(layer(width, width) for _ in range(4)))
    mlp = FeedForwardParams(layer(4 * width, width), layer(width, 4 * width))
    return BlockParams(norm(), attention, norm(), mlp)


def gradient_by_layer(
    *, depth: int, pre_norm: bool, seeds: int = 10, width: int = 16, length: int = 8
) -> Tensor:
    """Return the gradient's norm of each block's last matrix, at the start of training.

    Args:
        depth: Blocks.
        pre_norm: Whether the norm stands before each part; a last norm follows the blocks then.
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
    blocks = draw_blocks(rng, depth=depth, seeds=seeds, width=width)
    x = torch.tensor(rng.normal(size=(seeds, 4, length, width)))
    head = torch.tensor(rng.normal(size=(seeds, CLASSES, width)) / math.sqrt(width))
    labels = torch.tensor(rng.integers(0, CLASSES, size=(seeds, 4, length)))
    down = blocks.feed_forward.down.weight.requires_grad_()

    def of_one(seed: int) -> Tensor:
        h = x[seed]
        for i in range(depth):
            h = block(h, _one(blocks, seed, i), heads=2, pre_norm=pre_norm, activation="relu")
        if pre_norm:
            h = layer_norm(h)
        return cross_entropy((h @ head[seed].T).flatten(0, 1), labels[seed].flatten())

    loss = sum((of_one(seed) for seed in range(seeds)), start=torch.zeros((), dtype=x.dtype))
    (grad,) = torch.autograd.grad(loss, down)
    return grad.flatten(2).norm(dim=-1)


def _one(blocks: BlockParams, seed: int, layer: int) -> BlockParams:
    """Return one block of one network."""

    def at(one: Linear) -> Linear:
        return Linear(*(None if p is None else p[seed, layer] for p in one))

    attention, mlp = blocks.attention, blocks.feed_forward
    return BlockParams(
        at(blocks.attention_norm),
        AttentionParams(*map(at, attention)),
        at(blocks.feed_forward_norm),
        FeedForwardParams(at(mlp.up), at(mlp.down)),
    )

"""A word of two meanings: what static vectors make of it, and what a masked language model makes.

The language has two topics of eight words each, and one word, `BANK`, that occurs in both. A
sentence holds six words of one topic and `BANK`, in any order.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlkb.activations.gelu import gelu
from dlkb.losses.cross_entropy import cross_entropy, softmax
from dlkb.normalization.layer_norm import layer_norm
from dlkb.optim.adam import Adam
from dlkb.transformers.pretrained_models import IGNORED, mask_tokens, negative_sampling

MASK, BANK = 0, 1
TOPICS = (range(2, 10), range(10, 18))
VOCABULARY, LENGTH = 18, 7


class Encoder(NamedTuple):
    """One block with one head, of pre-norm, for many seeds at once: a seed axis in front.

    Attributes:
        word: `(seeds, vocabulary, d)`, also the output layer.
        position: `(seeds, length, d)`.
        qkvo: `(seeds, 4, d, d)`.
        up: `(seeds, d, 4d)`.
        down: `(seeds, 4d, d)`.
    """

    word: Tensor
    position: Tensor
    qkvo: Tensor
    up: Tensor
    down: Tensor


def sentences(rng: np.random.Generator, *, seeds: int, count: int) -> Tensor:
    """Draw sentences, `(seeds, count, length)`.

    Args:
        rng: The source of randomness; it advances.
        seeds: How many sets.
        count: Sentences of a set.

    Returns:
        Token ids.

    Example:
        >>> sentences(np.random.default_rng(0), seeds=1, count=2).shape
        torch.Size([1, 2, 7])
    """
    topic = rng.integers(0, 2, size=(seeds, count, 1))
    words = 2 + 8 * topic + rng.integers(0, 8, size=(seeds, count, LENGTH))
    place = rng.integers(0, LENGTH, size=(seeds, count, 1))
    return torch.tensor(np.where(np.arange(LENGTH) == place, BANK, words))


def contexts(rng: np.random.Generator, *, exchanged: int, count: int, place: int = 0) -> Tensor:
    """Draw sentences with `BANK` at one place and some words exchanged for the other topic's.

    Args:
        rng: The source of randomness; it advances.
        exchanged: How many of the six words are of the second topic.
        count: Sentences.
        place: Of `BANK`, from 0.

    Returns:
        Token ids `(count, length)`.

    Example:
        >>> contexts(np.random.default_rng(0), exchanged=6, count=1).min() == BANK
        tensor(True)
    """
    words = 2 + rng.integers(0, 8, size=(count, LENGTH - 1))
    words[:, :exchanged] += 8
    words = rng.permuted(words, axis=1)
    return torch.tensor(np.insert(words, place, BANK, axis=1))


def draw_encoder(*, seeds: int, d: int = 16, seed: int = 0) -> Encoder:
    """Draw weights of mean square 1 / fan-in, word and position vectors of mean square 1/d.

    Args:
        seeds: How many networks.
        d: Width.
        seed: Of the first; the next ones count up.

    Returns:
        The networks, in float64.

    Example:
        >>> draw_encoder(seeds=3).word.shape
        torch.Size([3, 18, 16])
    """
    shapes = ((VOCABULARY, d), (LENGTH, d), (4, d, d), (d, 4 * d), (4 * d, d))
    drawn = []
    for s in range(seeds):
        rng = np.random.default_rng(seed + s)
        drawn.append(
            [
                rng.normal(size=shape) / math.sqrt(shape[-2 if i > 1 else -1])
                for i, shape in enumerate(shapes)
            ]
        )
    return Encoder(*(torch.tensor(np.stack(part)) for part in zip(*drawn, strict=True)))


def encode(encoder: Encoder, tokens: Tensor, *, causal: bool = False) -> Tensor:
    """Return a vector for each word in its sentence.

    Args:
        encoder: Networks of S seeds.
        tokens: `(S, batch, length)`, or `(batch, length)` for all.
        causal: Whether a word reads only itself and those before it, as in GPT.

    Returns:
        `(S, batch, length, d)`.

    Example:
        >>> encode(draw_encoder(seeds=2), torch.ones(5, 7, dtype=torch.int64)).shape
        torch.Size([2, 5, 7, 16])
    """
    seeds, _, d = encoder.word.shape
    tokens = tokens.expand(seeds, *tokens.shape[-2:])
    row = torch.arange(seeds)[:, None, None]
    x = encoder.word[row, tokens] + encoder.position[:, None]
    h = layer_norm(x)
    q, k, v = (h @ encoder.qkvo[:, None, i] for i in range(3))
    scores = q @ k.mT / math.sqrt(d)
    if causal:
        scores = scores + torch.full((LENGTH, LENGTH), -math.inf, dtype=x.dtype).triu(1)
    x = x + softmax(scores) @ v @ encoder.qkvo[:, None, 3]
    return x + gelu(layer_norm(x) @ encoder.up[:, None]) @ encoder.down[:, None]


def predict(encoder: Encoder, tokens: Tensor, *, causal: bool = False) -> Tensor:
    """Return a logit for each word of the vocabulary, at each place.

    Args:
        encoder: As in `encode`.
        tokens: As there.
        causal: As there.

    Returns:
        `(S, batch, length, vocabulary)`.

    Example:
        >>> predict(draw_encoder(seeds=2), torch.ones(5, 7, dtype=torch.int64)).shape
        torch.Size([2, 5, 7, 18])
    """
    return layer_norm(encode(encoder, tokens, causal=causal)) @ encoder.word.mT[:, None]


def pretrain(
    encoder: Encoder, *, steps: int, causal: bool = False, batch: int = 16, lr: float = 0.01
) -> Iterator[tuple[Encoder, Tensor]]:
    """Train by masked words, or by the next word, and give the networks after each step.

    Args:
        encoder: Where to start.
        steps: How many.
        causal: Whether the next word is predicted, from those before it.
        batch: Sentences a step, ≥ 1. A network without a masked word among them has loss and
            gradient 0 in that step.
        lr: Of Adam.

    Returns:
        An iterator over the networks, whose arrays change with the next step, and their losses
        `(S,)` before the step.

    Example:
        >>> losses = [loss.mean() for _, loss in pretrain(draw_encoder(seeds=2), steps=30)]
        >>> bool(losses[-1] < losses[0])
        True
    """
    trained = Encoder(*(p.clone().requires_grad_() for p in encoder))
    optimizer = Adam(list(trained), lr=lr)
    seeds = len(encoder.word)
    rng = np.random.default_rng(99)
    for _ in range(steps):
        tokens = sentences(rng, seeds=seeds, count=batch)
        if causal:
            logits = predict(trained, tokens, causal=True)[..., :-1, :]
            labels = tokens[..., 1:]
        else:
            u = torch.tensor(rng.random((2, *tokens.shape)))
            words = torch.tensor(rng.integers(1, VOCABULARY, size=tuple(tokens.shape)))
            read = mask_tokens(tokens, u[0] < 0.15, u[1], words, mask=MASK)
            logits, labels = predict(trained, read.inputs), read.labels
        each = cross_entropy(
            logits.flatten(0, 2), labels.flatten(), ignore_index=IGNORED, reduction="none"
        )
        losses = each.view(seeds, -1).sum(1) / (labels != IGNORED).sum((1, 2)).clamp(min=1)
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        yield Encoder(*(p.detach() for p in trained)), losses.detach()


def likeness(
    encoder: Encoder, *, exchanged: int, place: int = 0, causal: bool = False, count: int = 25
) -> Tensor:
    """Compare the vectors of `BANK` in sentences of the first topic and in mixed ones.

    Args:
        encoder: As in `encode`.
        exchanged: Words of the second topic among the six.
        place: Of `BANK`, from 0.
        causal: As in `encode`.
        count: Pairs of sentences; none is taken twice.

    Returns:
        The mean cosine over the pairs, `(S,)`.

    Example:
        >>> likeness(draw_encoder(seeds=2), exchanged=6, causal=True)
        tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    rng = np.random.default_rng(5)
    pure, mixed = (
        encode(encoder, contexts(rng, exchanged=k, count=count, place=place), causal=causal)
        for k in (0, exchanged)
    )
    return torch.cosine_similarity(pure[:, :, place], mixed[:, :, place], dim=-1).mean(1)


def word2vec(*, seeds: int, steps: int, d: int = 16, window: int = 2, lr: float = 0.05) -> Tensor:
    """Train static vectors by skip-gram with five negative samples.

    Args:
        seeds: How many networks.
        steps: Of Adam, on 32 sentences each.
        d: Width.
        window: How far a neighbour may be.
        lr: Of Adam.

    Returns:
        The words' vectors, `(seeds, vocabulary, d)`.

    Example:
        >>> word2vec(seeds=2, steps=1).shape
        torch.Size([2, 18, 16])
    """
    rng = np.random.default_rng(7)
    tables = [torch.tensor(rng.normal(size=(seeds, VOCABULARY, d)) / math.sqrt(d)) for _ in "io"]
    inner, outer = (table.requires_grad_() for table in tables)
    optimizer = Adam([inner, outer], lr=lr)
    row = torch.arange(seeds)[:, None, None]
    offsets = [o for o in range(-window, window + 1) if o]
    for _ in range(steps):
        tokens = sentences(rng, seeds=seeds, count=32)
        offset = offsets[rng.integers(len(offsets))]
        centre = tokens[..., max(0, -offset) : LENGTH - max(0, offset)]
        near = tokens[..., max(0, offset) : LENGTH + min(0, offset)]
        drawn = torch.tensor(rng.integers(1, VOCABULARY, size=(*near.shape, 5)))
        loss = negative_sampling(inner[row, centre], outer[row, near], outer[row[..., None], drawn])
        optimizer.zero_grad()
        loss.mean((1, 2)).sum().backward()
        optimizer.step()
    return inner.detach()

"""A GPT of letters: drawn, trained on a text, and asked to write."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dlkb.losses.cross_entropy import cross_entropy, softmax
from dlkb.optim.adam import Adam
from dlkb.transformers.blocks import AttentionParams, BlockParams, FeedForwardParams, Linear
from dlkb.transformers.gpt import GPTParams, gpt

HEADS = 4
STD = 0.1
"""Deviation of the weights; GPT-2's 0.02 suits a width of 768 and more."""


def encode(text: str) -> tuple[Tensor, str]:
    """Number the characters of a text.

    Args:
        text: A string.

    Returns:
        Token ids, and the alphabet in the order of the ids.

    Example:
        >>> encode("abba")
        (tensor([0, 1, 1, 0]), 'ab')
    """
    alphabet = "".join(sorted(set(text)))
    return torch.tensor([alphabet.index(c) for c in text], dtype=torch.int64), alphabet


def draw_gpt(
    *,
    vocabulary: int,
    width: int = 48,
    layers: int = 2,
    length: int = 32,
    seed: int = 0,
) -> GPTParams:
    """Draw a GPT as GPT-2 is drawn, with a larger deviation: what is added is scaled down.

    Args:
        vocabulary: Number of tokens.
        width: A multiple of 4, the number of heads.
        layers: Blocks.
        length: Longest text.
        seed: Of the draw.

    Returns:
        Its parameters, in float32.

    Example:
        >>> len(draw_gpt(vocabulary=30, layers=3).blocks)
        3
    """
    rng = np.random.default_rng(seed)

    def normal(*shape: int, std: float = STD) -> Tensor:
        return torch.tensor(rng.normal(size=shape) * std, dtype=torch.float32)

    def layer(out: int, into: int, std: float = STD) -> Linear:
        return Linear(normal(out, into, std=std), torch.zeros(out))

    def norm() -> Linear:
        return Linear(torch.ones(width), torch.zeros(width))

    added = STD / (2 * layers) ** 0.5

    def drawn() -> BlockParams:
        q, k, v = (layer(width, width) for _ in range(3))
        mlp = FeedForwardParams(layer(4 * width, width), layer(width, 4 * width, added))
        return BlockParams(
            norm(), AttentionParams(q, k, v, layer(width, width, added)), norm(), mlp
        )

    blocks = tuple(drawn() for _ in range(layers))
    return GPTParams(normal(vocabulary, width), normal(length, width), blocks, norm())


def parameters(tree: tuple[object, ...]) -> list[Tensor]:
    """List the tensors in nested named tuples.

    Args:
        tree: Such as `GPTParams`.

    Returns:
        The tensors themselves, in order.

    Example:
        >>> sum(p.numel() for p in parameters(draw_gpt(vocabulary=30)))
        59616
    """
    found: list[Tensor] = []
    for leaf in tree:
        if isinstance(leaf, tuple):
            found += parameters(leaf)
        elif isinstance(leaf, Tensor):
            found.append(leaf)
    return found


def train_gpt(
    params: GPTParams, tokens: Tensor, *, steps: int, batch: int = 8, lr: float = 6e-3
) -> Iterator[float]:
    """Train in place on pieces of a text, by the next token.

    Args:
        params: Changed in place.
        tokens: The text, longer than there are positions.
        steps: Of Adam.
        batch: Pieces a step, each as long as there are positions.
        lr: At the first step. It falls linearly towards a tenth, due after the last step.

    Returns:
        An iterator over the losses, in nats a token, each before its step.

    Raises:
        ValueError: If the text is too short, once a loss is asked for.

    Example:
        >>> tokens, alphabet = encode("abcd" * 20)
        >>> model = draw_gpt(vocabulary=len(alphabet))
        >>> losses = list(train_gpt(model, tokens, steps=20))
        >>> losses[-1] < losses[0]
        True
    """
    weights = [p.requires_grad_() for p in parameters(params)]
    optimizer = Adam(weights, lr=lr)
    length = params.position.shape[0]
    if len(tokens) <= length:
        raise ValueError(f"tokens has {len(tokens)} entries: it must have more than {length}")
    rng = np.random.default_rng(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - 0.9 * step / steps)
        start = torch.tensor(rng.integers(0, len(tokens) - length, size=(batch, 1)))
        pieces = tokens[start + torch.arange(length + 1)]
        logits = gpt(pieces[:, :-1], params, heads=HEADS)
        loss = cross_entropy(logits.flatten(0, 1), pieces[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def write(
    params: GPTParams, prompt: Tensor, *, count: int, temperature: float = 1.0, seed: int = 0
) -> Tensor:
    """Continue a text, each token drawn from what the model expects.

    Args:
        params: As trained.
        prompt: Token ids `(length,)`, at least one.
        count: Tokens to write.
        temperature: Divides the logits; 0 takes the likeliest token.
        seed: Of the draws.

    Returns:
        The prompt and what was written.

    Example:
        >>> write(draw_gpt(vocabulary=5), torch.tensor([1]), count=3).shape
        torch.Size([4])
    """
    rng = np.random.default_rng(seed)
    text = prompt
    for _ in range(count):
        logits = gpt(text[-params.position.shape[0] :], params, heads=HEADS)[-1]
        if temperature:
            p = softmax(logits.double() / temperature)
            drawn = int((p.cumsum(0) < rng.random()).sum().clamp(max=len(p) - 1))
        else:
            drawn = int(logits.argmax())
        text = torch.cat([text, torch.tensor([drawn])])
    return text

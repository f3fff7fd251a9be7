"""A decoder of the GPT kind: embeddings, blocks, a last norm, logits by the embedding."""

from typing import NamedTuple

from dlkb.arrays import Array, check_ids, namespace
from dlkb.backpropagation.backprop import linear
from dlkb.normalization.layer_norm import layer_norm
from dlkb.transformers.blocks import Activation, BlockParams, Linear, block


class GPTParams(NamedTuple):
    """What a GPT learns.

    Attributes:
        word: Vectors of the tokens, `(vocabulary, width)`, also the output layer.
        position: Vectors of the positions, `(longest text, width)`.
        blocks: One for each layer.
        norm: The last norm.
    """

    word: Array
    position: Array
    blocks: tuple[BlockParams, ...]
    norm: Linear


def gpt(
    tokens: Array,
    params: GPTParams,
    *,
    heads: int,
    activation: Activation = "gelu_tanh",
    eps: float = 1e-5,
) -> Array:
    r"""Return a logit for each token that may come next, at each place.

    $$\mathbf{z}_t = E\,\mathrm{LN}(\mathbf{x}^{(N)}_t), \qquad
      \mathbf{x}^{(0)}_t = E_{x_t} + \mathbf{p}_t$$

    Args:
        tokens: Token ids, integers `(..., length)`.
        params: What it learns.
        heads: Of each block.
        activation: Of the feed-forward networks.
        eps: Of the norms.

    Returns:
        `(..., length, vocabulary)`.

    Raises:
        TypeError: If an array is not of its kind.
        ValueError: If a shape or an option does not fit, the text is longer than there are
            positions, or a token has no vector, where `dlkb.arrays.check_ids` sees it.

    Note:
        Differs from GPT-2 by leaving out dropout. Its logits are those of Transformers'
        `GPT2LMHeadModel`, whose weights are stored as `(in, out)`.

    Reference:
        Radford et al. (2019).

    Example:
        >>> import numpy as np
        >>> one = Linear(np.ones(2), np.zeros(2))
        >>> params = GPTParams(np.eye(2), np.zeros((4, 2)), (), one)
        >>> gpt(np.asarray([0, 1]), params, heads=1).round(2)
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    xp = namespace(tokens, params.word)
    if not xp.isdtype(tokens.dtype, "integral"):
        raise TypeError(f"tokens has dtype {tokens.dtype}: integers are needed, cast it first")
    if tokens.ndim == 0:
        raise ValueError("tokens has shape (): (..., length) is needed")
    if params.position.shape[-1] != params.word.shape[-1]:
        raise ValueError(
            f"params.position has shape {tuple(params.position.shape)} and params.word "
            f"{tuple(params.word.shape)}: vectors that are added must be equally long"
        )
    length = tokens.shape[-1]
    if length > params.position.shape[0]:
        raise ValueError(
            f"tokens has shape {tuple(tokens.shape)}: there are vectors for "
            f"{params.position.shape[0]} positions, cut the text"
        )
    check_ids("tokens", tokens, params.word.shape[0])
    rows = xp.take(params.word, xp.reshape(tokens, (-1,)), axis=0)
    x = xp.reshape(rows, (*tokens.shape, params.word.shape[-1])) + params.position[:length, :]
    for layer in params.blocks:
        x = block(x, layer, heads=heads, is_causal=True, activation=activation, eps=eps)
    return linear(layer_norm(x, *params.norm, eps=eps), params.word)

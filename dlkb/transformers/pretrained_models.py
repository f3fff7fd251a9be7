"""What models are pretrained on: word2vec's loss, BERT's masking, and what BERT reads."""

import math
from typing import NamedTuple

from dlkb.activations.sigmoid import log_sigmoid, sigmoid
from dlkb.arrays import (
    Array,
    check_between,
    check_float,
    check_ids,
    check_same_shape,
    namespace,
    widen,
)
from dlkb.normalization.layer_norm import layer_norm

IGNORED = -100
"""Label of a position that does not count, PyTorch's `ignore_index`."""


def noise_distribution(counts: Array, *, power: float = 0.75) -> Array:
    r"""Return the probabilities with which word2vec draws negative words.

    $$q_w = \frac{n_w^\alpha}{\sum_v n_v^\alpha}$$

    Args:
        counts: How often each word occurs, `(vocabulary,)`, floating-point, some above zero.
        power: α. 1 keeps the frequencies, 0 draws all words alike.

    Returns:
        Probabilities like `counts`.

    Raises:
        TypeError: If `counts` is not floating-point.

    Reference:
        Mikolov et al., NeurIPS 2013, section 2.2: the power 3/4.

    Example:
        >>> import numpy as np
        >>> noise_distribution(np.asarray([16.0, 1.0])).round(3)
        array([0.889, 0.111])
    """
    check_float("counts", counts)
    xp = namespace(counts)
    wide = widen(counts)
    share = (wide / xp.max(wide)) ** power
    return xp.astype(share / xp.sum(share), counts.dtype, copy=False)


def negative_sampling(h: Array, positive: Array, negatives: Array) -> Array:
    r"""Return the loss of telling the word that occurred from words that were drawn.

    $$-\log\sigma(\mathbf{u}^\top\mathbf{h})
      - \sum_{k=1}^{K}\log\sigma(-\mathbf{n}_k^\top\mathbf{h})$$

    Args:
        h: `(..., d)`. In skip-gram the vector of the centre word, in CBOW the mean of the
            vectors of its neighbours.
        positive: u, the output vector of the word that occurred, `(..., d)`.
        negatives: Output vectors of the words that were drawn, `(..., K, d)`.

    Returns:
        Losses `(...)`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Note:
        Differs from the full softmax, which is `dlkb.losses.cross_entropy.cross_entropy` of
        h Uᵀ: sampling leaves out the sum over the vocabulary, and its scores are no logits of
        a next word.

    Reference:
        Mikolov et al., NeurIPS 2013, equation 4.

    Example:
        >>> import numpy as np
        >>> negative_sampling(np.zeros(2), np.ones(2), np.ones((3, 2))).round(3)
        np.float64(2.773)
    """
    pull, push = _scores(h, positive, negatives)
    xp = namespace(h, positive, negatives)
    loss = -log_sigmoid(pull) - xp.sum(log_sigmoid(-push), axis=-1)
    return xp.astype(loss, h.dtype, copy=False)


class SamplingGradients(NamedTuple):
    """Gradients of `negative_sampling` with respect to its arguments, like them."""

    h: Array
    positive: Array
    negatives: Array


def negative_sampling_vjp(
    h: Array, positive: Array, negatives: Array, cotangent: Array
) -> SamplingGradients:
    r"""Pull a cotangent of `negative_sampling` back to its arguments.

    $$\frac{\partial\ell}{\partial\mathbf{h}} = -\sigma(-\mathbf{u}^\top\mathbf{h})\,\mathbf{u}
      + \sum_{k=1}^{K}\sigma(\mathbf{n}_k^\top\mathbf{h})\,\mathbf{n}_k$$

    Args:
        h: As in `negative_sampling`.
        positive: As there.
        negatives: As there.
        cotangent: Gradient of what follows, with respect to the losses, `(...)`.

    Returns:
        The three gradients.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> u, n = np.asarray([1.0, 0.0]), np.asarray([[0.0, 1.0]])
        >>> negative_sampling_vjp(np.zeros(2), u, n, np.asarray(1.0)).h
        array([-0.5,  0.5])
    """
    check_float("cotangent", cotangent)
    pull, push = _scores(h, positive, negatives)
    check_same_shape("cotangent", cotangent, "the losses", pull)
    xp = namespace(h, positive, negatives)
    by_pull = -sigmoid(-pull) * widen(cotangent)
    by_push = sigmoid(push) * widen(cotangent)[..., None]
    h_wide, u, n = widen(h), widen(positive), widen(negatives)
    grads = (
        by_pull[..., None] * u + xp.sum(by_push[..., None] * n, axis=-2),
        by_pull[..., None] * h_wide,
        by_push[..., None] * h_wide[..., None, :],
    )
    likes = (h, positive, negatives)
    return SamplingGradients(
        *(xp.astype(g, x.dtype, copy=False) for g, x in zip(grads, likes, strict=True))
    )


class Masked(NamedTuple):
    """What a masked language model reads, and what it must say.

    Attributes:
        inputs: Token ids.
        labels: The tokens at the chosen places, `IGNORED` elsewhere.
    """

    inputs: Array
    labels: Array


def mask_tokens(
    tokens: Array,
    chosen: Array,
    u: Array,
    words: Array,
    *,
    mask: int,
    shares: tuple[float, float] = (0.8, 0.1),
) -> Masked:
    """Hide chosen tokens as BERT does: most by the mask, some by another word, some not at all.

    Args:
        tokens: Token ids, signed integers of any shape, since labels may be −100: cast a text that
            is stored as uint16.
        chosen: Which tokens are to be predicted, boolean, in the same shape. BERT takes 15 %
            and leaves out special tokens; `dlkb.arrays.bernoulli` draws as many on average.
        u: Draws from U[0, 1) by `dlkb.arrays.uniform`, in the same shape.
        words: Token ids drawn at random, integers in the same shape.
        mask: Id of the mask, ≥ 0.
        shares: Of the mask and of the random words among the chosen; the rest stays.

    Returns:
        Inputs and labels, like `tokens`.

    Raises:
        TypeError: If an array is not of its kind.
        ValueError: If the shapes differ, `mask` is negative, or the shares are no shares. The
            other ids are not compared with a vocabulary, which this function does not know.

    Reference:
        Devlin et al., NAACL 2019, section 3.1: 15 %, of which 80, 10 and 10 %.

    Example:
        >>> import numpy as np
        >>> tokens, chosen = np.asarray([5, 6, 7]), np.asarray([False, True, True])
        >>> u, words = np.asarray([0.0, 0.1, 0.85]), np.asarray([9, 9, 9])
        >>> mask_tokens(tokens, chosen, u, words, mask=1)
        Masked(inputs=array([5, 1, 9]), labels=array([-100,    6,    7]))
    """
    check_float("u", u)
    for name, x, kind in (
        ("tokens", tokens, "signed integer"),
        ("chosen", chosen, "bool"),
        ("words", words, "integral"),
    ):
        if not namespace(x).isdtype(x.dtype, kind):
            raise TypeError(f"{name} has dtype {x.dtype}: it must be {kind}")
    for name, x in (("chosen", chosen), ("u", u), ("words", words)):
        check_same_shape(name, x, "tokens", tokens)
    check_between("mask", mask, 0, math.inf, closed="left")
    masked, swapped = shares
    check_between("shares[0]", masked, 0, 1)
    check_between("shares[1]", swapped, 0, 1)
    check_between("shares[0] + shares[1]", masked + swapped, 0, 1)
    xp = namespace(tokens, chosen, u, words)
    other = xp.where(u < masked + swapped, xp.astype(words, tokens.dtype, copy=False), tokens)
    hidden = xp.where(u < masked, xp.full_like(tokens, mask), other)
    return Masked(
        xp.where(chosen, hidden, tokens),
        xp.where(chosen, tokens, xp.full_like(tokens, IGNORED)),
    )


def bert_embedding(
    tokens: Array,
    segments: Array,
    word: Array,
    position: Array,
    segment: Array,
    weight: Array,
    bias: Array,
    *,
    eps: float = 1e-12,
) -> Array:
    r"""Return what BERT's first block reads: the sum of three vectors, normalized.

    $$\operatorname{LN}(\mathbf{w}_{x_t} + \mathbf{p}_t + \mathbf{s}_{a_t})$$

    Args:
        tokens: Token ids $x_t$, integers `(..., length)`.
        segments: Segments $a_t$, 0 or 1, in the same shape.
        word: Vectors of the tokens, `(vocabulary, d)`.
        position: Vectors of the positions, `(at least length, d)`.
        segment: Vectors of the segments, `(2, d)`.
        weight: Of the layer norm, `(d,)`.
        bias: Of the layer norm, `(d,)`.
        eps: Of the layer norm.

    Returns:
        Vectors `(..., length, d)`; BERT drops some of their entries afterwards, in training.

    Raises:
        TypeError: If an array is not of its kind.
        ValueError: If the shapes differ, the text is longer than there are positions, or a token
            or segment has no vector, where `dlkb.arrays.check_ids` sees it.

    Reference:
        Devlin et al., NAACL 2019, figure 2. The norm is in their code, not in the figure.

    Example:
        >>> import numpy as np
        >>> E = np.eye(2)
        >>> x = np.asarray([0, 1])
        >>> bert_embedding(x, x, E, E, E, np.ones(2), np.zeros(2)).round(3)
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    for name, ids in (("tokens", tokens), ("segments", segments)):
        if not namespace(ids).isdtype(ids.dtype, "integral"):
            raise TypeError(f"{name} has dtype {ids.dtype}: integers are needed, cast it first")
    check_same_shape("segments", segments, "tokens", tokens)
    for name, table in (("position", position), ("segment", segment)):
        if table.shape[-1] != word.shape[-1]:
            raise ValueError(
                f"{name} has shape {tuple(table.shape)} and word {tuple(word.shape)}: "
                "vectors that are added must be equally long"
            )
    length = tokens.shape[-1]
    if length > position.shape[0]:
        raise ValueError(
            f"tokens has shape {tuple(tokens.shape)}: there are vectors for "
            f"{position.shape[0]} positions, cut the text"
        )
    xp = namespace(tokens, segments, word, position, segment)
    check_ids("tokens", tokens, word.shape[0])
    check_ids("segments", segments, segment.shape[0])

    def looked_up(table: Array, index: Array) -> Array:
        rows = xp.take(table, xp.reshape(index, (-1,)), axis=0)
        return xp.reshape(rows, (*index.shape, table.shape[-1]))

    summed = looked_up(word, tokens) + position[:length, :] + looked_up(segment, segments)
    return layer_norm(summed, weight, bias, eps=eps)


def _scores(h: Array, positive: Array, negatives: Array) -> tuple[Array, Array]:
    """Return how well the word that occurred, and those that were drawn, fit."""
    check_float("h", h)
    check_float("positive", positive)
    check_float("negatives", negatives)
    check_same_shape("positive", positive, "h", h)
    if negatives.ndim < 2 or (*negatives.shape[:-2], negatives.shape[-1]) != tuple(h.shape):
        raise ValueError(
            f"negatives has shape {tuple(negatives.shape)} and h has shape {tuple(h.shape)}: "
            "negatives must have one axis more, before the last"
        )
    xp = namespace(h, positive, negatives)
    wide = widen(h)
    pull = xp.sum(widen(positive) * wide, axis=-1)
    return pull, xp.sum(widen(negatives) * wide[..., None, :], axis=-1)

"""Perplexity: how many equally likely tokens a language model was as surprised as by."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    widen,
)


def _not_zero(total: Array) -> Array:
    # NaN in the place of zero: the mean of nothing is NaN, without a warning of NumPy.
    xp = namespace(total)
    return xp.where(total == 0, xp.full_like(total, math.nan), total)


def perplexity(log_p: Array, *, scored: Array | None = None, base: float = math.e) -> Array:
    r"""Return the perplexity of a text, from the log-probabilities of its tokens.

    $$\mathrm{PPL} = b^{-\frac1N\sum_{i=1}^{N}\log_b p_i}$$

    One over the geometric mean of the probabilities, whatever the base, as long as it is one.

    Args:
        log_p: Logarithms of what the model gave to each token of the text, to base `base`,
            floating-point, any shape.
        scored: Which tokens count, booleans of the same shape, or `None` for all. What does not
            count may hold anything, NaN too.
        base: b > 1 of the logarithms: e for nats, 2 for bits.

    Returns:
        A scalar array ≥ 1 in the dtype of `log_p`, computed in float32 at least. NaN where no
        token counts, infinite where a token had probability zero.

    Raises:
        TypeError: If `log_p` is not floating-point.
        ValueError: If shapes differ, or `base` is not above 1.

    Reference:
        Jelinek et al. (1977).

    Example:
        >>> import numpy as np
        >>> perplexity(np.log([0.5, 0.5, 0.125])).round(3)
        np.float64(3.175)
        >>> perplexity(np.log2([0.5, 0.5, 0.125]), base=2).round(3)
        np.float64(3.175)
    """
    check_float("log_p", log_p)
    check_between("base", base, 1, math.inf, closed="neither")
    xp = namespace(log_p)
    wide = widen(log_p)
    counts = xp.ones_like(wide, dtype=xp.bool)
    if scored is not None:
        check_same_shape("scored", scored, "log_p", log_p)
        counts = xp.astype(scored, xp.bool)
    total = xp.sum(xp.where(counts, wide, xp.zeros_like(wide)))
    tokens = xp.sum(xp.astype(counts, wide.dtype))
    mean = -total / _not_zero(tokens)
    return xp.astype(xp.exp(mean * math.log(base)), log_p.dtype, copy=False)


def pooled_perplexity(losses: Array, tokens: Array) -> Array:
    r"""Return the perplexity of several texts together, from the mean loss of each.

    $$\mathrm{PPL} = \exp\frac{\sum_i n_i\,\ell_i}{\sum_i n_i}$$

    Args:
        losses: Mean cross entropy ℓᵢ of a text or batch, in nats a token, floating-point.
        tokens: How many tokens nᵢ ≥ 0 were scored in it, in the same shape, floating-point.

    Returns:
        A scalar array in the dtype of `losses`. The loss of a text without tokens, NaN or not,
        does not count; NaN where there are none at all.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ.

    Example:
        >>> import numpy as np
        >>> losses, tokens = np.log([2.0, 32.0]), np.asarray([3.0, 1.0])
        >>> pooled_perplexity(losses, tokens).round(9)
        np.float64(4.0)
    """
    check_float("losses", losses)
    check_float("tokens", tokens)
    check_same_shape("tokens", tokens, "losses", losses)
    xp = namespace(losses, tokens)
    wide, n = widen(losses), widen(tokens)
    total = xp.sum(n * xp.where(n == 0, xp.zeros_like(wide), wide))
    return xp.astype(xp.exp(total / _not_zero(xp.sum(n))), losses.dtype, copy=False)


def bits_per_byte(loss: Array, *, tokens: Array, size: Array) -> Array:
    r"""Return the loss a byte, in bits: what two tokenizers can be compared by.

    $$\mathrm{BPB} = \frac{N\,\ell}{B\ln 2}$$

    Args:
        loss: Mean cross entropy ℓ in nats a token, a number or an array.
        tokens: N, how many tokens were scored.
        size: B > 0, how many bytes of text these tokens stand for (UTF-8).

    Returns:
        Bits a byte: what an arithmetic coder would need with this model.

    Raises:
        ValueError: If the number `size` is not positive; the entries of an array are not looked at.

    Example:
        >>> round(bits_per_byte(2.5, tokens=1000, size=4500), 3)
        0.801
    """
    check_between("size", size, 0, math.inf, closed="neither")
    return loss * (tokens / (size * math.log(2)))


def per_unit(ppl: Array, *, tokens: Array, units: Array) -> Array:
    r"""Return the perplexity a word, byte or other unit, from that a token.

    $$\mathrm{PPL}_U = \mathrm{PPL}^{N/U}$$

    Args:
        ppl: Perplexity a token, a number or an array.
        tokens: N > 0, how many tokens were scored.
        units: U > 0, how many units the same text has.

    Returns:
        A number or an array like `ppl`.

    Raises:
        ValueError: If a count is a number that is not positive.
        OverflowError: If all are numbers, and the result is beyond float64.

    Example:
        >>> per_unit(16.0, tokens=50, units=100)
        4.0
    """
    check_between("tokens", tokens, 0, math.inf, closed="neither")
    check_between("units", units, 0, math.inf, closed="neither")
    return ppl ** (tokens / units)


class Window(NamedTuple):
    """A piece of a text, and which of its tokens are scored.

    Attributes:
        start: First token that the model reads.
        first: First token that is scored: those before it are context.
        stop: One past the last token, which is scored too.
    """

    start: int
    first: int
    stop: int


def sliding_windows(length: int, *, window: int, stride: int) -> tuple[Window, ...]:
    r"""Return windows that score each token of a long text once, but for the first one.

    $$c \ge W - S$$

    is how many tokens of context each scored token has behind the first window.

    Args:
        length: Tokens in the text ≥ 0.
        window: W ≥ 2, tokens that the model reads at once.
        stride: S, 1 … W − 1: tokens from window to window, and scored in each but the first.

    Returns:
        The windows, about W/S times as many tokens to compute as the text has.

    Raises:
        ValueError: If an argument is out of its range.

    Note:
        Differs from the loop of Hugging Face's page in a stride of W, which this refuses: there
        the first token of each window has no context and is left out.

    Example:
        >>> for piece in sliding_windows(10, window=6, stride=3):
        ...     print(piece)
        Window(start=0, first=1, stop=6)
        Window(start=3, first=6, stop=9)
        Window(start=6, first=9, stop=10)
    """
    check_count("length", length, 0)
    check_count("window", window, 2)
    check_count("stride", stride, 1, window - 1)
    pieces = []
    start, first = 0, 1
    while first < length:
        stop = min(start + window, length)
        pieces.append(Window(start, first, stop))
        start, first = start + stride, stop
    return tuple(pieces)

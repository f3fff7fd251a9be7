"""How many parameters and operations a transformer has."""

import math

from dlkb.arrays import check_between


def block_parameters(
    *,
    width: int,
    hidden: int | None = None,
    kv_width: int | None = None,
    gated: bool = False,
    bias: bool = True,
    rms: bool = False,
    cross: bool = False,
) -> int:
    r"""Count the parameters of a block.

    $$2d^2 + 2dk + 2df \quad(+\,df \text{ if gated}), \text{ biases and norms}$$

    Args:
        width: d, of a token, and of all heads of the queries together.
        hidden: f, of the feed-forward network; 4d if left out.
        kv_width: k, of all key heads together; d if left out.
        gated: Whether the feed-forward network has a gate.
        bias: Whether the linear layers have biases.
        rms: Whether the norms are RMS norms, with a gain alone.
        cross: Whether there is cross-attention, with its norm.

    Returns:
        Their number.

    Raises:
        ValueError: If a size is less than 1.

    Example:
        >>> block_parameters(width=768)
        7087872
    """
    f = 4 * width if hidden is None else hidden
    k = width if kv_width is None else kv_width
    for name, size in (("width", width), ("hidden", f), ("kv_width", k)):
        check_between(name, size, 1, math.inf, closed="left")
    attention = 2 * width * width + 2 * width * k + bias * (2 * width + 2 * k)
    mlp = (3 if gated else 2) * width * f + bias * (width + (2 if gated else 1) * f)
    norm = width if rms else 2 * width
    return attention + mlp + 2 * norm + cross * (attention + norm)


def matrix_parameters(
    *, width: int, hidden: int | None = None, kv_width: int | None = None, gated: bool = False
) -> int:
    r"""Count the entries of a block's matrices alone, by which each token is multiplied.

    $$2d^2 + 2dk + 2df \quad(3df \text{ if gated}), \qquad 12\,d^2 \text{ by default}$$

    Args:
        width: d, as for `block_parameters`.
        hidden: f; 4d if left out.
        kv_width: k; d if left out.
        gated: Whether the feed-forward network has a gate.

    Returns:
        Their number.

    Raises:
        ValueError: If a size is less than 1.

    Example:
        >>> matrix_parameters(width=100)
        120000
    """
    norms = 2 * width
    return (
        block_parameters(
            width=width, hidden=hidden, kv_width=kv_width, gated=gated, bias=False, rms=True
        )
        - norms
    )


def token_operations(*, parameters: float, layers: int, width: int, length: float) -> float:
    r"""Count the multiplications and additions of a forward pass, for a token.

    $$2N + 4\,n\,s\,d$$

    Training takes three times as many, as the backward pass makes two products for each one; up to
    four times where every block is computed again.

    Args:
        parameters: N, entries of all matrices, those of the output layer included.
        layers: n.
        width: d, of all heads of the queries together.
        length: s, tokens that it reads; half the text on average under a causal mask whose upper
            half is not computed.

    Returns:
        Their number.

    Raises:
        ValueError: If a number is negative.

    Reference:
        Kaplan et al. (2020, section 2.1), who leave out softmax, norms and activations, too, but
        count 2nsd for attention and leave the output layer out of N.

    Example:
        >>> token_operations(parameters=1e9, layers=10, width=1000, length=1000)
        2040000000.0
    """
    sizes = {"parameters": parameters, "layers": layers, "width": width, "length": length}
    for name, size in sizes.items():
        check_between(name, size, 0, math.inf, closed="left")
    return 2.0 * parameters + 4.0 * layers * length * width


def attention_share(*, width: float, length: float) -> float:
    r"""Return which share of a block's operations grows with the length of the text.

    $$\frac{s}{s + 6d}$$

    Args:
        width: d; the feed-forward network has 4d, keys and values as many heads as queries.
        length: s, tokens that a token reads.

    Returns:
        A share in [0, 1).

    Raises:
        ValueError: If a size is out of its range.

    Example:
        >>> attention_share(width=1000, length=6000)
        0.5
    """
    check_between("width", width, 1, math.inf, closed="left")
    check_between("length", length, 0, math.inf, closed="left")
    return length / (length + 6 * width)

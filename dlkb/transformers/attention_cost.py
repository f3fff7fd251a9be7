"""What attention costs: operations, bytes moved, bytes kept."""

import math
from typing import NamedTuple

from dlkb.arrays import check_between, check_count


class Cost(NamedTuple):
    """What one layer's attention costs, without its projections.

    Attributes:
        operations: Multiplications and additions of both products.
        fused_bytes: Read and written if scores stay on the chip: queries, keys, values, output.
        score_bytes: Read and written besides if they do not: the scores and the weights, each
            written and read once.
    """

    operations: float
    fused_bytes: float
    score_bytes: float


def attention_cost(
    *,
    queries: int,
    keys: int,
    head_dim: int,
    heads: int = 1,
    kv_heads: int | None = None,
    batch: int = 1,
    is_causal: bool = False,
    itemsize: int = 2,
) -> Cost:
    r"""Return what one layer's attention costs.

    $$F = 4\,B H d\,L S,\qquad N = 2\,B b d\,(H L + H_k S),\qquad N' = 4\,B b H\,L S$$

    Args:
        queries: L.
        keys: S; with a cache, those in it and the new ones.
        head_dim: d, of queries, keys and values.
        heads: H.
        kv_heads: H_k, heads of keys and values; `None` for H.
        batch: B.
        is_causal: Whether the last of the queries reads all keys, the one before all but one,
            and so on: L S becomes L S − L (L − 1)/2 in F. Needs L ≤ S.
        itemsize: b, bytes a number.

    Returns:
        Operations and bytes.

    Raises:
        ValueError: If a size is negative, or L > S for causal attention.

    Example:
        >>> cost = attention_cost(queries=1, keys=4096, head_dim=128, heads=32)
        >>> round(cost.operations / cost.fused_bytes, 2)
        1.0
    """
    shared = heads if kv_heads is None else kv_heads
    sizes = {"queries": queries, "keys": keys, "head_dim": head_dim, "heads": heads}
    for name, size in (sizes | {"kv_heads": shared, "batch": batch, "itemsize": itemsize}).items():
        check_between(name, size, 0, math.inf, closed="left")
    if is_causal and queries > keys:
        raise ValueError(f"queries is {queries} but keys is {keys}: causal queries have a key each")
    pairs = queries * keys - (queries * (queries - 1) / 2 if is_causal else 0)
    return Cost(
        operations=4.0 * batch * heads * head_dim * pairs,
        fused_bytes=2.0 * batch * itemsize * head_dim * (heads * queries + shared * keys),
        score_bytes=4.0 * batch * itemsize * heads * queries * keys,
    )


def cache_bytes(
    *,
    layers: int,
    kv_heads: int,
    head_dim: int,
    length: int,
    batch: int = 1,
    window: int | None = None,
    itemsize: int = 2,
) -> float:
    r"""Return what a cache of keys and values holds.

    $$C = 2\,b\,N B H_k d \min(S, w)$$

    Args:
        layers: N.
        kv_heads: H_k, heads of keys and values.
        head_dim: d.
        length: S, the tokens so far.
        batch: B, the sequences.
        window: w, the most tokens that a layer keeps, or `None` for all.
        itemsize: b, bytes a number.

    Returns:
        Bytes.

    Raises:
        ValueError: If a size is negative.

    Example:
        >>> cache_bytes(layers=32, kv_heads=8, head_dim=128, length=8192) / 2**30
        1.0
    """
    if window is not None:
        check_count("window", window, 0)
    kept = length if window is None else min(length, window)
    sizes = {"layers": layers, "kv_heads": kv_heads, "head_dim": head_dim, "length": kept}
    for name, size in (sizes | {"batch": batch, "itemsize": itemsize}).items():
        check_between(name, size, 0, math.inf, closed="left")
    return 2.0 * itemsize * layers * batch * kv_heads * head_dim * kept


def window_reach(*, window: int, layers: int) -> int:
    r"""Return how many tokens, the last one included, the last layer's output can depend on.

    $$R = N\,(w - 1) + 1$$

    Args:
        window: w ≥ 1 tokens that each layer's query reads.
        layers: N ≥ 1 layers of causal attention, one on the other.

    Returns:
        The reach in tokens.

    Raises:
        ValueError: If an argument is less than 1.

    Example:
        >>> window_reach(window=4096, layers=32)
        131041
    """
    check_count("window", window, 1)
    check_count("layers", layers, 1)
    return layers * (window - 1) + 1

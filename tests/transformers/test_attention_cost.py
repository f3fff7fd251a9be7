import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dlkb.transformers.attention_cost import (
    Cost,
    attention_cost,
    cache_bytes,
    window_reach,
)
from dlkb.transformers.attention_masks import causal_mask
from tests.cases import Case

SIZES = {"queries": 3, "keys": 7, "head_dim": 4, "heads": 6, "batch": 2}
CACHE = {"layers": 2, "kv_heads": 3, "head_dim": 4, "length": 50}

CASES = [
    Case(
        attention_cost,
        lambda rng: ((), {**SIZES, "kv_heads": 2, "is_causal": True, "itemsize": 4}),
    ),
    Case(attention_cost, lambda rng: ((), {**SIZES, "is_causal": False}), "all"),
    Case(cache_bytes, lambda rng: ((), {**CACHE, "batch": 2, "window": 8, "itemsize": 4})),
    Case(window_reach, lambda rng: ((), {"window": 3, "layers": 4})),
]


@pytest.mark.parametrize("kv_heads", [6, 2, 1])
def test_operations_are_those_that_torch_counts(kv_heads):
    q = torch.ones(2, 6, 3, 4)
    k = torch.ones(2, kv_heads, 7, 4)
    with FlopCounterMode(display=False) as counter:
        weights = torch.matmul(q, k.repeat_interleave(6 // kv_heads, 1).mT)
        torch.matmul(weights, k.repeat_interleave(6 // kv_heads, 1))
    cost = attention_cost(**SIZES, kv_heads=kv_heads)
    assert cost.operations == counter.get_total_flops()
    arrays = (q, q, k, k)
    assert cost.fused_bytes == sum(2 * x.numel() for x in arrays)
    assert cost.score_bytes == 4 * 2 * weights.numel()


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 9), (4, 4), (4, 9)])
def test_causal_pairs_are_those_of_the_mask(queries, keys):
    q, k = np.ones((queries, 2)), np.ones((keys, 2))
    pairs = causal_mask(q, k, past=keys - queries).sum()
    sizes = {"queries": queries, "keys": keys, "head_dim": 5}
    assert attention_cost(**sizes, is_causal=True).operations == 4 * 5 * pairs
    assert attention_cost(**sizes).operations == 4 * 5 * queries * keys


def test_cache_holds_keys_and_values_of_every_layer():
    arrays = [np.zeros((5, 3, 50, 4), np.float16) for _ in range(2 * 2)]
    assert cache_bytes(**CACHE, batch=5) == sum(x.nbytes for x in arrays)
    assert cache_bytes(**CACHE, window=8) == cache_bytes(**CACHE | {"length": 8})
    assert cache_bytes(**CACHE, window=80) == cache_bytes(**CACHE)


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("layers", [1, 3])
def test_reach_is_what_layers_of_masks_connect(window, layers):
    x = np.ones((40, 1))
    mask = causal_mask(x, x, window=window).astype(int)
    connected = np.linalg.matrix_power(mask, layers)[-1] > 0
    assert connected.sum() == window_reach(window=window, layers=layers)


def test_errors():
    with pytest.raises(ValueError, match="queries is 8 but keys is 7"):
        attention_cost(**SIZES | {"queries": 8}, is_causal=True)
    with pytest.raises(ValueError, match="keys is -1"):
        attention_cost(**SIZES | {"keys": -1})
    with pytest.raises(ValueError, match="length is -5"):
        cache_bytes(**CACHE | {"length": -5})
    with pytest.raises(ValueError, match="window is -3"):
        cache_bytes(**CACHE, window=-3)
    with pytest.raises(ValueError, match="window is 0"):
        window_reach(window=0, layers=2)
    with pytest.raises(ValueError, match="layers is 0"):
        window_reach(window=2, layers=0)
    assert attention_cost(**SIZES | {"queries": 0}) == Cost(0.0, 2 * 2 * 2 * 4 * 6 * 7.0, 0.0)

import numpy as np
import pytest
import torch
from torch import nn

from dlkb.transformers.attention_heads import (
    merge_heads,
    multi_head_attention,
    multi_head_attention_vjp,
    split_heads,
    turn_heads,
)
from dlkb.transformers.positional_encoding import rotary
from tests.cases import Case
from tests.close import assert_close


def tokens(rng, width=6):
    return (
        rng.normal(size=(2, 4, 6)),
        rng.normal(size=(2, 5, width)),
        rng.normal(size=(2, 5, width)),
    )


NAMES = ("q", "k", "v")
TOO_LARGE = {"huge all": "a product of queries and keys is beyond the format"}
CASES = [
    Case(split_heads, lambda rng: ((rng.normal(size=(2, 4, 6)),), {"heads": 3})),
    Case(merge_heads, lambda rng: ((rng.normal(size=(2, 3, 4, 2)),), {})),
    Case(
        multi_head_attention,
        lambda rng: (tokens(rng), {"heads": 3, "is_causal": True, "scale": 0.4}),
        scale=4,
        unless=TOO_LARGE,
    ),
    Case(
        multi_head_attention,
        lambda rng: (tokens(rng, 2), {"heads": 3, "kv_heads": 1, "mask": rng.normal(size=5)}),
        "shared",
        scale=4,
        batch=NAMES,
        broadcasts=("mask",),
        unless=TOO_LARGE,
    ),
    Case(
        multi_head_attention_vjp,
        lambda rng: (
            (*tokens(rng), rng.normal(size=(2, 4, 6))),
            {"heads": 3, "is_causal": True, "scale": 0.4},
        ),
        scale=10,
        unless=TOO_LARGE,
    ),
    Case(
        multi_head_attention_vjp,
        lambda rng: (
            (*tokens(rng, 2), rng.normal(size=(2, 4, 6))),
            {"heads": 3, "kv_heads": 1, "mask": rng.normal(size=5)},
        ),
        "shared",
        scale=10,
        batch=(*NAMES, "cotangent"),
        broadcasts=("mask",),
        unless=TOO_LARGE,
    ),
    Case(turn_heads, lambda rng: ((rng.normal(size=(2, 4, 6)),), {"heads": 3, "base": 10.0})),
    Case(
        turn_heads,
        lambda rng: ((rng.normal(size=(2, 4, 6)),), {"heads": 1, "base": 10.0, "back": True}),
        "back",
    ),
]


def test_heads_take_neighbouring_entries_of_each_token():
    x = np.arange(24).reshape(1, 4, 6)
    parts = split_heads(x, heads=3)
    assert parts.shape == (1, 3, 4, 2)
    assert parts[0, 1, 2].tolist() == x[0, 2, 2:4].tolist()
    assert np.array_equal(merge_heads(parts), x)
    assert merge_heads(split_heads(np.zeros((0, 6)), heads=2)).shape == (0, 6)


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_with_projections_it_is_torchs_module(heads):
    rng = np.random.default_rng(0)
    layer = nn.MultiheadAttention(6, heads, bias=False, batch_first=True, dtype=torch.float64)
    x, context = (torch.tensor(array) for array in tokens(rng)[:2])
    weight = layer.in_proj_weight.detach()
    q, k, v = (y @ w.T for y, w in zip((x, context, context), weight.chunk(3), strict=True))
    read = multi_head_attention(q, k, v, heads=heads)
    expected = layer(x, context, context)[0]
    assert_close(read @ layer.out_proj.weight.detach().T, expected)


@pytest.mark.parametrize("kv_heads", [1, 3])
@pytest.mark.parametrize("mask", [{}, {"is_causal": True}, {"mask": torch.eye(4, 5).double()}])
def test_gradients_are_those_of_autograd(kv_heads, mask):
    rng = np.random.default_rng(0)
    q, k, v = (torch.tensor(x).requires_grad_() for x in tokens(rng, 2 * kv_heads))
    cotangent = torch.tensor(rng.normal(size=(2, 4, 6)))
    options = {"heads": 3, "kv_heads": kv_heads, "scale": 0.7, **mask}
    expected = torch.autograd.grad(multi_head_attention(q, k, v, **options), (q, k, v), cotangent)
    for grad, wanted in zip(
        multi_head_attention_vjp(q, k, v, cotangent, **options), expected, strict=True
    ):
        assert_close(grad, wanted, scale=10)


def test_each_head_is_turned_by_itself_and_back():
    x = np.random.default_rng(0).normal(size=(2, 4, 6))
    turned = turn_heads(x, heads=3, base=10.0)
    assert_close(turned[..., 2:4], rotary(x[..., 2:4], np.arange(4.0), base=10.0))
    assert_close(turn_heads(turned, heads=3, base=10.0, back=True), x)
    assert not np.allclose(turned[:, 1:], x[:, 1:], atol=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_heads(np.ones((4, 6)), heads=4), r"x has shape \(4, 6\): .* heads, 4"),
        (lambda: split_heads(np.ones((4, 6)), heads=0), "heads is 0"),
        (lambda: split_heads(np.ones(6), heads=2), "two axes at least"),
        (lambda: merge_heads(np.ones((4, 6))), r"x has shape \(4, 6\)"),
        (lambda: turn_heads(np.ones(6), heads=3, base=10.0), r"x has shape \(6,\): .* two axes"),
        (lambda: turn_heads(np.ones((4, 6)), heads=3, base=0.0), "base is 0.0"),
        (
            lambda: multi_head_attention(*(np.ones((4, 6)) for _ in "qkv"), heads=2, kv_heads=3),
            "width of a head",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_heads_are_split_and_merged_under_vmap():
    x = torch.arange(48.0).reshape(2, 4, 6)
    split = torch.vmap(lambda one: split_heads(one, heads=3))(x)
    assert torch.equal(split, split_heads(x, heads=3))
    assert torch.equal(torch.vmap(merge_heads)(split), x)

import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dlkb.nn import scaled_dot_product_attention
from tests.close import assert_close


def draw(*shape, dtype=torch.float64, seed=0, device="cpu"):
    values = np.random.default_rng(seed).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


def inputs(shape=(2, 4, 5, 8), keys=7, kv_heads=None, **options):
    *axes, _, width = shape
    if kv_heads is not None:
        axes[-1] = kv_heads
    return (
        draw(*shape, seed=1, **options),
        draw(*axes, keys, width, seed=2, **options),
        draw(*axes, keys, 3, seed=3, **options),
    )


MASKS = {
    "none": lambda: None,
    "boolean": lambda: draw(5, 7, seed=4) > -0.5,
    "each head": lambda: draw(2, 4, 5, 7, seed=4) > -0.5,
    "some rows shut": lambda: (draw(5, 7, seed=4) > -0.5) & (torch.arange(5) != 2)[:, None],
    "all shut": lambda: torch.zeros(5, 7, dtype=torch.bool),
    "added": lambda: draw(5, 7, seed=4),
    "keys alone": lambda: draw(2, 1, 1, 7, seed=4) > 0,
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scale", [None, 0.3, 0.0])
@pytest.mark.parametrize("kv_heads", [None, 1, 2])
def test_values_and_gradients_are_those_of_torch(mask, scale, kv_heads):
    tensors = [x.requires_grad_() for x in inputs(kv_heads=kv_heads)]
    options = {"attn_mask": MASKS[mask](), "scale": scale, "enable_gqa": kv_heads is not None}
    expected = F.scaled_dot_product_attention(*tensors, **options)
    found = scaled_dot_product_attention(*tensors, **options)
    assert_close(found, expected)
    cotangent = draw(*expected.shape, seed=5)
    wanted = torch.autograd.grad(expected, tensors, cotangent)
    for grad, other in zip(torch.autograd.grad(found, tensors, cotangent), wanted, strict=True):
        assert_close(grad, other, scale=10)


@pytest.mark.parametrize("queries", [1, 4, 7, 9])
def test_causal_counts_from_the_first_query_and_the_first_key_as_in_torch(queries):
    tensors = inputs((3, queries, 8))
    expected = F.scaled_dot_product_attention(*tensors, is_causal=True)
    assert_close(scaled_dot_product_attention(*tensors, is_causal=True), expected)


SHAPES = {
    "two axes": ((5, 8), (7, 8), (7, 3)),
    "batch of keys is one": ((2, 4, 5, 8), (1, 4, 7, 8), (1, 4, 7, 3)),
    "one head of keys": ((2, 4, 5, 8), (2, 1, 7, 8), (2, 1, 7, 3)),
    "fewer axes": ((5, 8), (4, 7, 8), (4, 7, 3)),
    "no batch": ((0, 5, 8), (0, 7, 8), (0, 7, 3)),
    "no queries": ((2, 0, 8), (2, 7, 8), (2, 7, 3)),
    "no keys": ((2, 5, 8), (2, 0, 8), (2, 0, 3)),
    "one of each": ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "no width": ((2, 5, 0), (2, 7, 0), (2, 7, 3)),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_shapes(shapes):
    tensors = [draw(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    expected = F.scaled_dot_product_attention(*tensors)
    found = scaled_dot_product_attention(*tensors)
    assert found.shape == expected.shape
    assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 300.0])
def test_precision(dtype, size, device):
    q, k, v = (size * x for x in inputs(dtype=dtype, device=device))
    found = scaled_dot_product_attention(q, k, v)
    assert found.dtype == dtype
    assert found.device == q.device
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    assert_close(found, exact.to(dtype), dtype=str(dtype).removeprefix("torch."), scale=4)


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "bfloat16")], ids=str)
def test_several_dtypes(dtypes, p):
    first, second = (getattr(torch, name) for name in dtypes)
    q, k, v = inputs()
    given = [q.to(first).requires_grad_(), k.to(second), v.to(second)]
    torch.manual_seed(3)
    found = scaled_dot_product_attention(*given, dropout_p=p)
    torch.manual_seed(3)
    exact = F.scaled_dot_product_attention(*(x.double() for x in given), dropout_p=p)
    assert found.dtype == first
    assert_close(found, exact.to(first))
    (grad,) = torch.autograd.grad(found.sum(), given[:1])
    assert grad.dtype == first


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("kv_heads", [None, 2])
def test_the_same_seed_drops_the_weights_that_torch_drops(p, kv_heads):
    tensors = inputs(kv_heads=kv_heads, dtype=torch.float32)
    results = []
    for function in (scaled_dot_product_attention, F.scaled_dot_product_attention):
        torch.manual_seed(3)
        results.append(function(*tensors, dropout_p=p, enable_gqa=kv_heads is not None))
    assert_close(*results)


def test_second_derivatives_compile_and_vmap():
    tensors = [x.requires_grad_() for x in inputs((2, 3, 4), keys=3)]
    assert torch.autograd.gradgradcheck(scaled_dot_product_attention, tensors)
    plain = [x.detach() for x in tensors]
    expected = F.scaled_dot_product_attention(*plain, is_causal=True)
    torch.compiler.reset()
    compiled = torch.compile(scaled_dot_product_attention, fullgraph=True, backend="aot_eager")
    assert_close(compiled(*plain, is_causal=True), expected)
    mapped = torch.vmap(lambda *x: scaled_dot_product_attention(*x, is_causal=True))
    assert_close(mapped(*plain), expected)
    exported = torch.export.export(Call(), tuple(plain))
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    assert_close(exported.module()(*plain), F.scaled_dot_product_attention(*plain))


class Call(torch.nn.Module):
    def forward(self, q, k, v):
        return scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"attn_mask": torch.ones(5, 7, dtype=torch.int64)}, TypeError, "mask has dtype .*int64"),
        ({"attn_mask": torch.ones(5, 6)}, ValueError, r"mask has shape \(5, 6\)"),
        ({"attn_mask": torch.ones(5, 7), "is_causal": True}, ValueError, "both given"),
        ({"dropout_p": 1.5}, ValueError, "p is 1.5"),
        ({"dropout_p": math.nan}, ValueError, "p is nan"),
        ({"dropout_p": -0.1}, ValueError, "dropout_p is -0.1"),
        ({"query": torch.ones(3, 5, 8)}, ValueError, r"\(3, 5, 8\), .* must broadcast"),
        ({"query": torch.ones(2, 5, 9)}, ValueError, r"q has shape .*9\) but k has shape"),
        ({"value": torch.ones(2, 6, 3)}, ValueError, r"v has shape \(2, 6, 3\)"),
        ({"enable_gqa": True, "query": torch.ones(3, 5, 8)}, ValueError, "must be a multiple"),
        ({x: torch.ones(()) for x in ("query", "key", "value")}, ValueError, r"q has shape \(\)"),
        ({"query": torch.ones(2, 5, 8).long()}, TypeError, "q has dtype torch.int64"),
    ],
)
def test_errors(change, error, message):
    q, k, v = inputs((2, 5, 8), dtype=torch.float32)
    with pytest.raises(error, match=message):
        scaled_dot_product_attention(**{"query": q, "key": k, "value": v} | change)


@pytest.mark.parametrize("shape", [(5, 7), (4, 5, 7)])
def test_a_learned_mask_gets_a_gradient(shape):
    bias = draw(*shape, seed=4).requires_grad_()
    found = []
    for attend in (scaled_dot_product_attention, F.scaled_dot_product_attention):
        given = [x.requires_grad_() for x in inputs()]
        found.append(torch.autograd.grad(attend(*given, bias).square().sum(), [*given, bias]))
    for mine, theirs in zip(*found, strict=True):
        assert_close(mine, theirs)


def test_three_axes_of_a_mask_are_heads_as_in_torch():
    mask = draw(4, 5, 7, seed=4)
    q, k, v = inputs((4, 4, 5, 8))  # as many sequences as heads
    found = scaled_dot_product_attention(q, k, v, mask)
    assert_close(found, F.scaled_dot_product_attention(q, k, v, mask))
    assert_close(found, scaled_dot_product_attention(q, k, v, mask[None]))
    own = scaled_dot_product_attention(q, k, v, mask[:, None])
    assert_close(own[2], scaled_dot_product_attention(q[2], k[2], v[2], mask[2]))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 5, 7\): .* \(3, 4, 5, 7\)"):
        scaled_dot_product_attention(q[:3], k[:3], v[:3], mask[:3])


def test_nan_is_read_as_nan():
    q, k, v = inputs((2, 5, 8))
    q[0, 1, 0] = k[1, 2, 0] = math.nan
    found, theirs = (
        f(q, k, v) for f in (scaled_dot_product_attention, F.scaled_dot_product_attention)
    )
    assert torch.equal(found.isnan(), theirs.isnan())
    assert found[0, 1].isnan().all()
    assert found[1].isnan().all()

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dlkb.transformers.attention import (
    attention,
    attention_scores,
    attention_vjp,
    attention_weights,
)
from tests.cases import Case
from tests.close import assert_close


def tokens(rng, shape=(2, 4, 3), keys=5, heads=None, width=2):
    """Return queries, keys and values, of another number of tokens and another width."""
    *axes, _, d = shape
    axes = axes if heads is None else [*axes[:-1], heads]
    return (
        rng.normal(size=shape),
        rng.normal(size=(*axes, keys, d)),
        rng.normal(size=(*axes, keys, width)),
    )


def boolean(rng, queries=4, keys=5):
    mask = rng.uniform(size=(queries, keys)) > 0.4
    mask[1] = False
    return mask


def added(rng):
    return 2 * rng.normal(size=(4, 5))


BEYOND = {"huge all": "a product of queries and keys is beyond the format"}
OPTIONS = {
    "plain": ((2, 4, 3), None, lambda rng: {}),
    "boolean": ((2, 4, 3), None, lambda rng: {"mask": boolean(rng)}),
    "added": ((2, 4, 3), None, lambda rng: {"mask": added(rng), "scale": 0.3}),
    "causal": ((2, 4, 3), None, lambda rng: {"is_causal": True}),
    "grouped": ((2, 6, 4, 3), 2, lambda rng: {"mask": boolean(rng), "enable_gqa": True}),
}


def cases(function, parts, labels=tuple(OPTIONS), *, cotangent=False, **conditions):
    found = []
    for label in labels:
        shape, heads, options = OPTIONS[label]

        def make(rng, shape=shape, heads=heads, options=options):
            arrays = tokens(rng, shape, heads=heads)[:parts]
            if cotangent:
                arrays += (rng.normal(size=(*shape[:-1], 2)),)
            return arrays, options(rng)

        names = ("q", "k", "v", "cotangent")[: parts + cotangent]
        found.append(
            Case(
                function,
                make,
                label,
                scale=4,
                batch=names,
                broadcasts=("mask",),
                **conditions,
            )
        )
    return found


CASES = [
    *cases(attention_scores, 2, ("added", "causal", "grouped"), half=False),
    *cases(attention_weights, 2, ("added", "causal", "grouped"), unless=BEYOND),
    *cases(attention, 3, ("boolean", "added", "causal", "grouped"), unless=BEYOND),
    *cases(attention_vjp, 3, ("added", "causal", "grouped"), cotangent=True, unless=BEYOND),
]


def torch_options(options):
    options = {
        name: torch.as_tensor(value) if name == "mask" else value for name, value in options.items()
    }
    return {"attn_mask" if name == "mask" else name: value for name, value in options.items()}


@pytest.mark.parametrize("label", OPTIONS)
def test_values_and_gradients_are_those_of_torch(label):
    rng = np.random.default_rng(1)
    shape, heads, options = OPTIONS[label]
    q, k, v = tokens(rng, shape, heads=heads)
    options = options(rng)
    tensors = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    expected = F.scaled_dot_product_attention(*tensors, **torch_options(options))
    cotangent = rng.normal(size=tuple(expected.shape))
    expected.backward(torch.tensor(cotangent))
    assert_close(attention(q, k, v, **options), expected)
    for grad, x in zip(attention_vjp(q, k, v, cotangent, **options), tensors, strict=True):
        assert_close(grad, x.grad, scale=10)


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (2, 1, 1), (2, 3, 4, 5), (2, 0, 3), (0, 4, 3)])
@pytest.mark.parametrize("keys", [1, 5, 0])
def test_shapes(shape, keys):
    rng = np.random.default_rng(2)
    q, k, v = tokens(rng, shape, keys=keys)
    expected = F.scaled_dot_product_attention(*map(torch.tensor, (q, k, v)))
    assert_close(attention(q, k, v), expected)
    weights = attention_weights(q, k)
    assert weights.shape == (*shape[:-1], keys)
    assert_close(weights @ v, expected)
    if keys:
        assert_close(np.sum(weights, axis=-1), np.ones(shape[:-1]))
    grads = attention_vjp(q, k, v, np.ones(expected.shape))
    assert [g.shape for g in grads] == [q.shape, k.shape, v.shape]


def test_heads_in_a_row_share_a_head_of_keys():
    q, k, v = tokens(np.random.default_rng(3), (2, 6, 4, 3), heads=2)
    repeated = [np.repeat(x, 3, axis=1) for x in (k, v)]
    assert_close(attention(q, k, v, enable_gqa=True), attention(q, *repeated))
    same = attention(q, *repeated, enable_gqa=True)
    assert_close(same, attention(q, *repeated))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    arrays = tokens(np.random.default_rng(4), (3, 40, 64), keys=300, width=8)
    q, k, v = (torch.tensor(x, dtype=dtype) for x in arrays)
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double()).to(dtype)
    assert (attention(q, k, v) == exact).float().mean() > 0.99


def test_scores_that_differ_by_thousands_give_no_nan():
    q = np.asarray([[1e4], [-1e4]])
    k = np.asarray([[1.0], [2.0]])
    assert_close(attention_weights(q, k), np.asarray([[0.0, 1.0], [1.0, 0.0]]))
    huge = torch.tensor(q, requires_grad=True)
    attention(huge, torch.tensor(k), torch.tensor(k)).sum().backward()
    assert torch.equal(huge.grad, torch.zeros(2, 1, dtype=torch.float64))


def test_nan_stays_nan_as_in_torch():
    q, k, v = tokens(np.random.default_rng(6))
    q[0, 1, 2] = math.nan
    expected = F.scaled_dot_product_attention(*map(torch.tensor, (q, k, v)))
    assert expected[0, 1].isnan().all()
    np.testing.assert_allclose(attention(q, k, v), expected.numpy(), atol=1e-12)
    assert np.isnan(attention_weights(q, k, is_causal=True)[0, 1, :2]).all()
    assert np.isnan(attention_vjp(q, k, v, np.ones((2, 4, 2)))[0][0, 1]).all()


def test_a_row_without_keys_reads_zeros_and_has_no_gradient():
    rng = np.random.default_rng(5)
    arrays = tokens(rng)
    shut = np.zeros((4, 5), dtype=bool)
    assert not attention_weights(*arrays[:2], mask=shut).any()
    for grad in attention_vjp(*arrays, np.ones((2, 4, 2)), mask=shut):
        assert not grad.any()
    q, k, v = (torch.tensor(x, requires_grad=True) for x in arrays)
    attention(q, k, v, mask=torch.tensor(shut)).sum().backward()
    assert not q.grad.any()


Q, K, V = tokens(np.random.default_rng(0))
MASK = np.ones((4, 5), dtype=bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: attention(Q, K, V > 0), TypeError, "v has dtype bool"),
        (lambda: attention(Q[0, 0], K, V), ValueError, r"q has shape \(3,\): it needs two axes"),
        (lambda: attention(Q[..., :2], K, V), ValueError, r"q has .*2\) but k .* width of a head"),
        (lambda: attention(Q, K, V[:, :4]), ValueError, r"v has shape \(2, 4, 2\) but k has"),
        (lambda: attention(Q[0], K, V), ValueError, r"q has shape \(4, 3\) .* enable_gqa"),
        (lambda: attention(Q[:1], K, V), ValueError, "before the last two must be equal"),
        (lambda: attention(Q[0], K[0], V[0], enable_gqa=True), ValueError, "must be a multiple"),
        (lambda: attention(Q[:1], K, V, enable_gqa=True), ValueError, "must be a multiple"),
        (lambda: attention(Q, K, V, mask=MASK, is_causal=True), ValueError, "both given"),
        (lambda: attention(Q, K, V, mask=1 * MASK), TypeError, "mask has dtype int64"),
        (lambda: attention(Q, K, V, mask=MASK[:, :4]), ValueError, r"to \(2, 4, 5\)"),
        (lambda: attention_weights(Q, K[:1]), ValueError, "must be equal"),
        (lambda: attention_vjp(Q, K, V, Q), ValueError, r"cotangent .*: it .* \(2, 4, 2\)"),
        (lambda: attention_vjp(Q, K, V, Q > 0), TypeError, "cotangent has dtype bool"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_scale_is_the_root_of_the_width():
    scores = attention_scores(Q, K)
    assert_close(scores, Q @ np.swapaxes(K, -1, -2) / math.sqrt(3))
    assert_close(attention_scores(Q, K, scale=2.0), scores * 2 * math.sqrt(3))

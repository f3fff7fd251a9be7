import math

import numpy as np
import pytest
import torch

from dlkb.transformers.attention import attention, attention_scores
from dlkb.transformers.online_softmax import (
    Partial,
    finish_partial,
    merge_partials,
    online_attention,
    partial_attention,
)
from tests.cases import Case
from tests.close import assert_close


def tokens(rng, keys=5):
    return rng.normal(size=(2, 4, 3)), rng.normal(size=(2, keys, 3)), rng.normal(size=(2, keys, 2))


def some(rng, queries=4):
    scores = rng.normal(size=(2, queries, 5))
    scores[:, 1] = -math.inf
    scores[:, :, 2] = -math.inf
    return partial_attention(scores, rng.normal(size=(2, 5, 2)))


TOO_LARGE = {"huge all": "a product of queries and keys is beyond the format"}
CASES = [
    Case(
        partial_attention,
        lambda rng: ((rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 5, 3))), {}),
        half=False,
        scale=4,
    ),
    Case(
        merge_partials,
        lambda rng: ((some(rng), some(rng)), {}),
        half=False,
        scale=4,
        fixed=("first", "second"),
    ),
    Case(finish_partial, lambda rng: ((some(rng),), {}), half=False, fixed=("part",)),
    Case(
        online_attention,
        lambda rng: (tokens(rng), {"block": 2, "is_causal": True, "scale": 0.4}),
        "causal",
        scale=4,
        unless=TOO_LARGE,
    ),
    Case(
        online_attention,
        lambda rng: (tokens(rng), {"block": 3, "mask": rng.uniform(size=(4, 5)) > 0.5}),
        "mask",
        scale=4,
        batch=("q", "k", "v"),
        broadcasts=("mask",),
        unless=TOO_LARGE,
    ),
]


@pytest.mark.parametrize("block", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("spread", [1.0, 100.0, 1e4])
def test_blocks_give_the_whole(block, spread):
    rng = np.random.default_rng(1)
    q, k, v = tokens(rng)
    mask = rng.uniform(size=(4, 5)) > 0.5
    mask[0] = False
    for options in ({}, {"is_causal": True}, {"mask": mask}, {"mask": rng.normal(size=5)}):
        found = online_attention(spread * q, k, v, block=block, **options)
        assert_close(found, attention(spread * q, k, v, **options))


def test_any_order_of_merging_gives_the_whole():
    q, k, v = tokens(np.random.default_rng(2), keys=7)
    scores = attention_scores(q, k)
    cuts = (slice(0, 1), slice(1, 4), slice(4, 7))
    a, b, c = (partial_attention(scores[..., cut], v[:, cut]) for cut in cuts)
    whole = partial_attention(scores, v)
    for one in (
        merge_partials(merge_partials(a, b), c),
        merge_partials(a, merge_partials(b, c)),
        merge_partials(merge_partials(c, a), b),
    ):
        for found, expected in zip(one, whole, strict=True):
            assert_close(found, expected)
    assert_close(
        whole.maximum + np.log(whole.total),
        torch.logsumexp(torch.tensor(scores), dim=-1),
    )


def test_the_maximum_comes_late_and_nothing_overflows():
    scores, v = np.asarray([[0.0, 1000.0]]), np.asarray([[1.0], [2.0]])
    first, second = (partial_attention(scores[:, [j]], v[[j]]) for j in (0, 1))
    for merged in (merge_partials(first, second), merge_partials(second, first)):
        assert_close(finish_partial(merged), np.asarray([[2.0]]))


def test_gradients_flow_through_blocks():
    arrays = tokens(np.random.default_rng(3))
    results = []
    for function in (attention, lambda *x, **o: online_attention(*x, block=2, **o)):
        q, k, v = (torch.tensor(x, requires_grad=True) for x in arrays)
        function(q, k, v, is_causal=True).square().sum().backward()
        results.append((q.grad, k.grad, v.grad))
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, scale=10)


@pytest.mark.parametrize(("width", "value_width"), [(0, 2), (3, 0)])
def test_vectors_without_entries(width, value_width):
    q, k, v = tokens(np.random.default_rng(6))
    arrays = q[..., :width], k[..., :width], v[..., :value_width]
    assert_close(online_attention(*arrays, block=3), attention(*arrays))


def test_nan_stays_nan_as_in_attention():
    q, k, v = tokens(np.random.default_rng(7))
    q[0, 1, 0] = math.nan
    found, expected = online_attention(q, k, v, block=2), attention(q, k, v)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("keys", [0, 1])
def test_few_keys(keys):
    q, k, v = tokens(np.random.default_rng(4), keys=keys)
    assert_close(online_attention(q, k, v, block=3), attention(q, k, v))


def test_half_precision_in_half_precision_out():
    q, k, v = (torch.tensor(x, dtype=torch.float16) for x in tokens(np.random.default_rng(5)))
    found = online_attention(q, k, v, block=2)
    assert found.dtype == torch.float16
    assert torch.equal(found, attention(q, k, v))
    assert partial_attention(q, q[:, :3]).total.dtype == torch.float32


Q, K, V = tokens(np.random.default_rng(0))
PART = Partial(np.zeros(1), np.ones(1), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: online_attention(Q, K, V, block=0), ValueError, "block is 0"),
        (
            lambda: online_attention(Q, K, V, block=2, is_causal=True, mask=K[0, 0] > 0),
            ValueError,
            "both given",
        ),
        (
            lambda: online_attention(Q, K, V, block=2, mask=np.ones((4, 1)) > 0),
            ValueError,
            r"mask has shape \(4, 1\): its last axis must hold 5 keys",
        ),
        (
            lambda: online_attention(Q, K, V, block=2, mask=np.asarray(True)),
            ValueError,
            r"mask has shape \(\): its last axis must hold 5 keys",
        ),
        (
            lambda: online_attention(Q, K[:, :4], V, block=2),
            ValueError,
            r"v has shape \(2, 5, 2\) but k has shape \(2, 4, 3\)",
        ),
        (lambda: online_attention(Q[0, 0], K, V, block=2), ValueError, r"q has shape \(3,\)"),
        (lambda: online_attention(Q > 0, K[:, :0], V[:, :0], block=2), TypeError, "q has dtype"),
        (lambda: partial_attention(Q[..., :0], V[:, :0]), ValueError, "S ≥ 1"),
        (lambda: partial_attention(Q, V), ValueError, r"scores has shape \(2, 4, 3\) but v has"),
        (lambda: partial_attention(Q[0], V), ValueError, r"scores has shape \(4, 3\) but"),
        (lambda: partial_attention(Q > 0, V), TypeError, "scores has dtype bool"),
        (lambda: partial_attention(Q, V > 0), TypeError, "v has dtype bool"),
        (
            lambda: finish_partial(PART._replace(total=np.ones(2))),
            ValueError,
            r"maximum has shape \(1,\) but total has shape \(2,\)",
        ),
        (
            lambda: finish_partial(PART._replace(weighted=np.ones((3, 2)))),
            ValueError,
            r"total has shape \(1,\) but weighted",
        ),
        (
            lambda: merge_partials(PART, PART._replace(total=np.ones(2))),
            ValueError,
            r"total has shape \(1,\) in first but \(2,\) in second",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

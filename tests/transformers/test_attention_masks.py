import math

import numpy as np
import pytest
import torch

from dlkb.transformers.attention_masks import apply_mask, causal_mask
from tests.cases import Case
from tests.close import assert_close

ONE = np.ones((2, 2))


def pair(rng):
    return rng.normal(size=(4, 3)), rng.normal(size=(6, 3))


CASES = [
    Case(
        causal_mask, lambda rng: (pair(rng), {"past": 2}), "past", batch=(), broadcasts=("q", "k")
    ),
    Case(
        causal_mask,
        lambda rng: (pair(rng), {"window": 2}),
        "window",
        batch=(),
        broadcasts=("q", "k"),
    ),
    Case(
        apply_mask,
        lambda rng: ((rng.normal(size=(2, 4, 5)), rng.uniform(size=(4, 5)) > 0.5), {}),
        "boolean",
        batch=("scores",),
        broadcasts=("mask",),
    ),
    Case(
        apply_mask,
        lambda rng: ((rng.normal(size=(2, 4, 5)), rng.normal(size=5)), {}),
        "added",
        batch=("scores",),
        broadcasts=("mask",),
    ),
]


@pytest.mark.parametrize("queries", [0, 1, 3, 6])
@pytest.mark.parametrize("keys", [0, 1, 4, 6])
@pytest.mark.parametrize("past", [0, 1, 3, -2])
@pytest.mark.parametrize("window", [None, 1, 2, 9])
def test_each_pair_by_the_definition(queries, keys, past, window):
    mask = causal_mask(np.ones((queries, 2)), np.ones((keys, 2)), past=past, window=window)
    assert mask.shape == (queries, keys)
    for i in range(queries):
        for j in range(keys):
            near = window is None or j > i + past - window
            assert mask[i, j] == (j <= i + past and near)


def test_it_is_torchs_lower_triangle():
    q, k = torch.ones(4, 2), torch.ones(6, 2)
    for past in (0, 2):
        wanted = torch.ones(4, 6, dtype=torch.bool).tril(past)
        assert torch.equal(causal_mask(q, k, past=past), wanted)


def test_boolean_masks_shut_and_numbers_are_added():
    scores = np.asarray([[1.0, -math.inf, math.inf], [0.0, 5.0, 2.0]])
    shut = apply_mask(scores, np.asarray([True, True, False]))
    assert_close(shut, np.asarray([[1.0, -math.inf, -math.inf], [0.0, 5.0, -math.inf]]))
    plus = apply_mask(scores[1], np.asarray([0.5, -math.inf, 0.0]))
    assert_close(plus, np.asarray([0.5, -math.inf, 2.0]))


def test_half_precision_is_added_in_float32():
    scores = torch.tensor([[60000.0, 1.0]], dtype=torch.float16)
    mask = torch.tensor([[-50000.0, 2**-11]])
    assert apply_mask(scores, mask).tolist() == [[10000.0, 1.0]]
    assert apply_mask(scores.float(), mask).tolist() == [[10000.0, 1 + 2**-11]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: causal_mask(ONE, ONE, window=0),
            ValueError,
            "window is 0",
        ),
        (
            lambda: apply_mask(np.ones((2, 3)), np.ones((2, 3), int)),
            TypeError,
            "mask has dtype int",
        ),
        (lambda: apply_mask(np.ones((2, 3)), np.ones((1, 2, 3))), ValueError, r"to \(2, 3\)"),
        (lambda: apply_mask(np.ones((2, 1)), np.ones((2, 3))), ValueError, r"to \(2, 1\)"),
        (lambda: apply_mask(np.ones((2, 3), int), np.ones(3)), TypeError, "scores has dtype int"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

from collections import Counter

import numpy as np
import pytest
import torch

from dlkb.regularization.token_augmentation import (
    delete_tokens,
    protect,
    replace_tokens,
    swap_tokens,
)
from tests.cases import Case


def tokens(rng, *shape):
    return rng.integers(0, 9, size=shape or (7,))


CASES = [
    Case(
        protect,
        lambda rng: ((rng.random(7) < 0.5, tokens(rng), np.asarray([2, 3])), {}),
        batch=(),
        broadcasts=("words",),
    ),
    Case(delete_tokens, lambda rng: ((tokens(rng, 2, 7), rng.random((2, 7)) < 0.5), {"pad": 0})),
    Case(swap_tokens, lambda rng: ((tokens(rng), rng.integers(7), rng.integers(7)), {}), batch=()),
    Case(
        swap_tokens,
        lambda rng: ((tokens(rng, 4, 7), tokens(rng, 4) % 7, tokens(rng, 4) % 7), {}),
        "batch",
    ),
    Case(
        replace_tokens,
        lambda rng: ((tokens(rng), rng.random(7) < 0.5, np.arange(9)[::-1].copy()), {}),
        batch=(),
        broadcasts=("table",),
    ),
]


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(7,), (2, 3, 5), (2, 0), (0, 3), (4, 1)])
def test_deletion_keeps_the_order(shape, p):
    rng = np.random.default_rng(0)
    ids, keep = rng.integers(1, 9, size=shape), rng.random(shape) >= p
    found = delete_tokens(ids, keep, pad=-1)
    length = shape[-1]
    rows = (a.reshape(-1, length) if length else a for a in (ids, keep, found))
    for sentence, mask, left in zip(*rows, strict=True):
        expected = [*sentence[mask], *[-1] * int((~mask).sum())]
        assert list(left) == expected


@pytest.mark.parametrize("length", [1, 2, 9])
def test_a_swap_exchanges_two_places_and_is_its_own_inverse(length):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, size=(20, length))
    first, second = rng.integers(0, length, size=(2, 20))
    found = swap_tokens(ids, first, second)
    for before, after, a, b in zip(ids, found, first, second, strict=True):
        expected = list(before)
        expected[a], expected[b] = expected[b], expected[a]
        assert list(after) == expected
        assert Counter(after.tolist()) == Counter(before.tolist())
    np.testing.assert_array_equal(swap_tokens(found, first, second), ids)


def test_replacement_and_protection():
    ids = np.asarray([[0, 1, 2], [2, 1, 0]])
    table = np.asarray([0, 5, 6])
    mask = np.asarray([[True, True, False], [True, False, True]])
    np.testing.assert_array_equal(replace_tokens(ids, mask, table), [[0, 5, 2], [6, 1, 0]])
    spared = protect(~mask, ids, np.asarray([2]))
    np.testing.assert_array_equal(spared, [[False, False, True], [True, True, False]])
    assert not protect(np.zeros(3, bool), ids[0], np.asarray([], int)).any()


IDS, MASK = np.asarray([1, 2, 3]), np.asarray([True, False, True])
ONE = np.asarray(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_places_may_be_of_any_integers(dtype):
    first, second = np.asarray([3], dtype), np.asarray([250], dtype)
    for words in (np.arange(300)[None], torch.arange(300)[None]):
        convert = torch.tensor if isinstance(words, torch.Tensor) else np.asarray
        found = np.asarray(swap_tokens(words, convert(first), convert(second)))[0]
        assert found[[3, 250, 299]].tolist() == [250, 3, 299]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: protect(IDS, IDS, IDS), TypeError, "keep has dtype int64: it must be bool"),
        (lambda: protect(MASK, MASK, IDS), TypeError, "tokens has dtype bool"),
        (lambda: protect(MASK, IDS, MASK), TypeError, "words has dtype"),
        (lambda: protect(MASK[:1], IDS, IDS), ValueError, "keep has shape"),
        (lambda: delete_tokens(MASK, MASK, pad=0), TypeError, "tokens has dtype"),
        (lambda: delete_tokens(IDS, IDS, pad=0), TypeError, "keep has dtype"),
        (lambda: delete_tokens(IDS, MASK[:1], pad=0), ValueError, "keep has shape"),
        (lambda: swap_tokens(IDS, ONE, IDS), ValueError, "second has shape"),
        (lambda: swap_tokens(IDS, IDS, IDS), ValueError, r"first has shape \(3,\)"),
        (lambda: swap_tokens(ONE, ONE, ONE), ValueError, r"first has shape \(\)"),
        (lambda: swap_tokens(IDS, ONE * 1.0, ONE), TypeError, "first has dtype"),
        (lambda: swap_tokens(IDS, ONE, ONE * 1.0), TypeError, "second has dtype"),
        (lambda: swap_tokens(IDS, ONE - ONE - 1, ONE), ValueError, "first holds -1: of 3 entries"),
        (lambda: swap_tokens(IDS, ONE, ONE - ONE + 3), ValueError, r"second holds 3: .*\[0, 2\]"),
        (lambda: replace_tokens(IDS - IDS - 100, MASK, IDS), ValueError, "tokens holds -100"),
        (
            lambda: replace_tokens(IDS - IDS + 3, MASK, IDS),
            ValueError,
            r"tokens holds 3: .*\[0, 2\]",
        ),
        (lambda: swap_tokens(MASK, ONE, ONE), TypeError, "tokens has dtype"),
        (lambda: replace_tokens(IDS, MASK[:1], IDS), ValueError, "replace has shape"),
        (lambda: replace_tokens(MASK, MASK, IDS), TypeError, "tokens has dtype"),
        (lambda: replace_tokens(IDS, IDS, IDS), TypeError, "replace has dtype"),
        (lambda: replace_tokens(IDS, MASK, MASK), TypeError, "table has dtype"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.text import Perplexity

from dlkb.losses.perplexity import (
    bits_per_byte,
    per_unit,
    perplexity,
    pooled_perplexity,
    sliding_windows,
)
from tests.cases import Case
from tests.close import assert_close


def log_p(rng, shape=(3, 5)):
    return -rng.exponential(size=shape)


def half(shape=(3, 5)):
    return np.arange(math.prod(shape)).reshape(shape) % 2 == 0


CASES = [
    Case(perplexity, lambda rng: ((log_p(rng),), {})),
    Case(perplexity, lambda rng: ((log_p(rng),), {"scored": half(), "base": 2.0}), "scored"),
    Case(pooled_perplexity, lambda rng: ((-log_p(rng), np.arange(15.0).reshape(3, 5)), {})),
    Case(
        bits_per_byte,
        lambda rng: ((-log_p(rng),), {"tokens": 100.0, "size": 450.0}),
    ),
    Case(per_unit, lambda rng: ((np.exp(-log_p(rng)),), {"tokens": 130.0, "units": 100.0})),
    Case(sliding_windows, lambda rng: ((20,), {"window": 8, "stride": 3})),
]


def test_it_is_one_over_the_geometric_mean():
    p = np.random.default_rng(1).uniform(size=40)
    expected = np.prod(p) ** (-1 / 40)
    for base in (math.e, 2.0, 10.0):
        assert_close(perplexity(np.log(p) / math.log(base), base=base), expected)
    assert_close(perplexity(np.log(np.full(7, 1 / 50))), 50.0)
    assert perplexity(np.zeros(3)) == 1
    assert perplexity(np.asarray([0.0, -math.inf])) == math.inf


@pytest.mark.parametrize("shape", [(1, 4, 9), (3, 1, 9), (3, 5, 2)])
def test_values_are_those_of_torchmetrics_over_unequal_batches(shape):
    rng = np.random.default_rng(2)
    metric = Perplexity(ignore_index=-100)
    losses, tokens, everything = [], [], []
    for padded in (0, 1, 2):
        z = torch.tensor(rng.normal(size=shape))
        y = torch.tensor(rng.integers(0, shape[-1], size=shape[:2]))
        y[:, : min(padded, shape[1] - 1)] = -100
        metric.update(z, y)
        kept = y != -100
        all_log_p = z.log_softmax(-1)
        own = all_log_p.gather(-1, torch.where(kept, y, 0)[..., None])[..., 0]
        own[~kept] = math.nan  # what does not count may hold anything
        expected = F.cross_entropy(z[kept], y[kept])
        assert_close(perplexity(own, scored=kept), expected.exp())
        losses.append(expected)
        tokens.append(float(kept.sum()))
        everything.append((own.flatten(), kept.flatten()))
    found = pooled_perplexity(torch.stack(losses), torch.tensor(tokens, dtype=torch.float64))
    assert_close(found, metric.compute(), dtype="float32")
    own, kept = (torch.cat(part) for part in zip(*everything, strict=True))
    assert_close(perplexity(own, scored=kept), found)


def test_gradient_is_that_of_the_mean_times_the_perplexity():
    x = torch.tensor([-1.0, -2.0, math.nan], dtype=torch.float64, requires_grad=True)
    value = perplexity(x, scored=torch.tensor([True, True, False]))
    (grad,) = torch.autograd.grad(value, x)
    expected = -math.exp(1.5) / 2
    assert_close(grad, np.asarray([expected, expected, 0.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_counts_and_sums_in_float32(dtype):
    long = torch.full((100_000,), -2.0, dtype=dtype)  # the sum is beyond float16
    assert perplexity(long).dtype == dtype
    assert_close(perplexity(long), math.exp(2))
    losses, tokens = torch.full((2,), 2.0, dtype=dtype), torch.full((2,), 6e4, dtype=dtype)
    assert_close(pooled_perplexity(losses, tokens), math.exp(2))


def test_nothing_scored_is_nan():
    assert math.isnan(perplexity(np.zeros(0)))
    assert math.isnan(perplexity(np.zeros(2), scored=np.zeros(2, dtype=bool)))
    assert math.isnan(pooled_perplexity(np.zeros(2), np.zeros(2)))
    assert_close(pooled_perplexity(np.asarray([math.nan, 1.0]), np.asarray([0.0, 3.0])), math.e)
    meta = torch.empty(3, device="meta")
    assert perplexity(meta).device.type == "meta"


def test_bits_per_byte_and_units_agree():
    text = "Grüße, 世界"
    size, words = len(text.encode()), len(text.split())
    log_probabilities = np.log([0.1, 0.5, 0.25, 0.02])  # four tokens
    loss = -log_probabilities.mean()
    bits = bits_per_byte(loss, tokens=4, size=size)
    assert_close(bits * size, -np.log2([0.1, 0.5, 0.25, 0.02]).sum())
    ppl = perplexity(log_probabilities)
    assert_close(per_unit(ppl, tokens=4, units=size), 2**bits)
    assert_close(per_unit(ppl, tokens=4, units=words), math.exp(4 * loss / words))
    assert size == 15


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8, 9, 64, 65])
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (8, 1), (8, 3), (8, 7)])
def test_each_token_is_scored_once_with_enough_context(length, window, stride):
    pieces = sliding_windows(length, window=window, stride=stride)
    scored = [i for piece in pieces for i in range(piece.first, piece.stop)]
    assert scored == list(range(1, length))
    for number, piece in enumerate(pieces):
        assert 0 < piece.stop - piece.start <= window
        assert piece.first > piece.start
        assert piece.start == number * stride
        if number:
            assert piece.first - piece.start >= window - stride


@pytest.mark.parametrize(("window", "stride"), [(8, 1), (8, 3), (8, 7)])
@pytest.mark.parametrize("length", [5, 8, 9, 30])
def test_windows_are_those_of_the_loop_that_hugging_face_shows(length, window, stride):
    found, previous = [], 0
    for begin in range(0, length, stride):
        end = min(begin + window, length)
        found.append((begin, max(previous, 1), end))
        previous = end
        if end == length:
            break
    assert [
        tuple(piece) for piece in sliding_windows(length, window=window, stride=stride)
    ] == found


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: perplexity(np.zeros(2, int)), TypeError, "log_p has dtype int64"),
        (lambda: perplexity(np.zeros(2), base=1.0), ValueError, r"base is 1.0: .* \(1, inf\)"),
        (lambda: perplexity(np.zeros(2), scored=np.ones(1)), ValueError, r"scored has shape \(1,"),
        (lambda: pooled_perplexity(np.zeros(2), np.ones(1)), ValueError, r"tokens has shape"),
        (lambda: pooled_perplexity(np.zeros(2), np.ones(2, int)), TypeError, "tokens has dtype"),
        (lambda: bits_per_byte(1.0, tokens=1, size=0), ValueError, "size is 0"),
        (lambda: per_unit(1.0, tokens=0, units=1), ValueError, "tokens is 0"),
        (lambda: per_unit(1.0, tokens=1, units=0), ValueError, "units is 0"),
        (lambda: sliding_windows(-1, window=2, stride=1), ValueError, "length is -1"),
        (lambda: sliding_windows(9, window=1, stride=1), ValueError, "window is 1"),
        (lambda: sliding_windows(9, window=4, stride=4), ValueError, r"stride is 4: .* \[1, 3\]"),
        (lambda: sliding_windows(9, window=4, stride=0), ValueError, "stride is 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

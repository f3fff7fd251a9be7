import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from dlkb.training.accumulation import (
    accumulated,
    micro_weights,
    pooled_variance,
    token_weight,
    window_sizes,
)
from tests.cases import Case
from tests.close import assert_close
from tests.distributed import in_processes

COUNTS = np.asarray([3.0, 1.0, 5.0])

CASES = [
    Case(window_sizes, lambda rng: ((10,), {"accumulate": 4})),
    Case(
        micro_weights,
        lambda rng: ((COUNTS.copy(),), {"processes": 2}),
        fixed=("counts",),
        batch=(),
    ),
    Case(
        accumulated,
        lambda rng: ((rng.normal(size=(3, 2, 4)), COUNTS.copy()), {}),
        fixed=("counts",),
        batch=(),
    ),
    Case(token_weight, lambda rng: ((COUNTS.copy(),), {}), fixed=("counts",), batch=()),
    Case(
        pooled_variance,
        lambda rng: ((rng.normal(size=(3, 4)), rng.uniform(size=(3, 4)), COUNTS.copy()), {}),
        fixed=("counts",),
        batch=(),
    ),
]


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def micro_batches(sizes, padded=0):
    """Return batches of sizes, in each of which `padded` labels do not count."""
    rng = np.random.default_rng(1)
    found = []
    for size in sizes:
        y = torch.tensor(rng.integers(0, 3, size))
        y[:padded] = -100
        found.append((torch.tensor(rng.normal(size=(size, 5))), y))
    return found


def gradients(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def mean_gradient(model, x, y):
    model.zero_grad()
    cross_entropy(model(x), y).backward()
    return gradients(model)


@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (1, 7), (3, 9, 4), (5,)])
@pytest.mark.parametrize("padded", [0, 1])
def test_weighted_means_are_the_gradient_of_the_large_batch(sizes, padded):
    model, parts = network(), micro_batches(sizes, padded)
    whole = mean_gradient(model, *map(torch.cat, zip(*parts, strict=True)))
    counts = torch.tensor([float((y != -100).sum()) for _, y in parts], dtype=torch.float64)
    each = torch.stack([mean_gradient(model, x, y) for x, y in parts])
    assert_close(accumulated(each, counts), whole)
    alike = bool((counts == counts[0]).all())
    assert torch.allclose(each.mean(0), whole) == alike
    # The same, as a loop does it: factors on the losses, sums in .grad.
    model.zero_grad()
    for weight, (x, y) in zip(micro_weights(counts), parts, strict=True):
        if weight:
            (weight * cross_entropy(model(x), y)).backward()
    assert_close(gradients(model), whole)


def test_weights_are_numpys_average():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(6, 3, 2))
    counts = rng.integers(1, 9, 6).astype(float)
    assert_close(accumulated(values, counts), np.average(values, axis=0, weights=counts))
    assert_close(micro_weights(counts).sum(), 1.0)
    assert_close(micro_weights(counts, processes=4), 4 * counts / counts.sum())
    mean_of_means = np.average(values, axis=0, weights=counts * token_weight(counts))
    assert_close(mean_of_means, values.mean(0))


def test_variance_is_that_of_all_examples():
    rng = np.random.default_rng(3)
    parts = [rng.normal(mean, size=(n, 4)) for mean, n in ((0, 1), (1e3, 5), (-2, 8))]
    means, variances = (np.stack([f(part, axis=0) for part in parts]) for f in (np.mean, np.var))
    counts = np.asarray([1.0, 5.0, 8.0])
    assert_close(pooled_variance(means, variances, counts), np.concatenate(parts).var(0))


def test_what_has_no_examples_does_not_count():
    means, counts = np.asarray([[math.nan], [2.0]]), np.asarray([0.0, 3.0])
    assert_close(accumulated(means, counts), np.asarray([2.0]))
    assert np.isnan(micro_weights(np.zeros(2))).all()
    assert np.isnan(accumulated(means, np.zeros(2))).all()
    assert micro_weights(np.zeros(0)).shape == (0,)
    assert accumulated(np.zeros((3, 0)), COUNTS).shape == (0,)
    assert accumulated(np.full((1, 2), math.inf), np.ones(1)).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_adds_up_in_float32(dtype):
    counts = torch.full((400,), 257.0, dtype=torch.float32)
    half = torch.full((400,), 256.0, dtype=dtype)  # their sum, 102400, is beyond float16
    assert micro_weights(half).dtype == dtype
    assert_close(400 * micro_weights(half), torch.ones(400, dtype=dtype))
    assert_close(token_weight(half), torch.ones(400, dtype=dtype))
    ones = torch.ones((400, 1), dtype=dtype)
    assert accumulated(ones, counts).item() == 1
    assert accumulated(ones, half).item() == 1


@pytest.mark.parametrize("batches", [0, 1, 3, 4, 5, 8, 10])
@pytest.mark.parametrize("accumulate", [1, 2, 4, 20])
def test_windows_hold_all_micro_batches(batches, accumulate):
    sizes = window_sizes(batches, accumulate=accumulate)
    rows = np.arange(batches)
    parts = [rows[i : i + accumulate] for i in range(0, batches, accumulate)]
    assert sizes == tuple(map(len, parts))


def two_processes(folder, device):
    """Each process accumulates three unequal micro-batches; one all-reduce, the large gradient."""
    rank = torch.distributed.get_rank()
    parts = micro_batches((1, 4, 2, 3, 6, 5))
    mine = parts[rank::2]
    counts = torch.tensor([float(len(y)) for _, y in parts])
    tokens = counts.sum()
    calls = []

    def counted(state, bucket):
        calls.append(bucket.buffer().numel())
        work = torch.distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
        return work.then(lambda reduced: reduced.value()[0] / 2)

    def gradient(synced):
        model = DistributedDataParallel(network().to(device))
        model.register_comm_hook(None, counted)
        calls.clear()
        for k, (x, y) in enumerate(mine):
            model.require_backward_grad_sync = synced or k == len(mine) - 1
            loss = 2 * cross_entropy(model(x), y, reduction="sum") / tokens
            loss.backward()
        return gradients(model), len(calls)

    def no_sync():
        model = DistributedDataParallel(network().to(device))
        for x, y in mine[:-1]:
            with model.no_sync():
                (2 * cross_entropy(model(x), y, reduction="sum") / tokens).backward()
        x, y = mine[-1]
        (2 * cross_entropy(model(x), y, reduction="sum") / tokens).backward()
        return gradients(model)

    whole = mean_gradient(network(), *map(torch.cat, zip(*parts, strict=True)))
    weights = micro_weights(counts, processes=2)
    assert_close(weights[rank::2], 2 * counts[rank::2] / tokens)
    for synced, expected in ((True, 3), (False, 1)):
        found, reduced = gradient(synced)
        assert reduced == expected
        assert_close(found, whole)
    assert_close(no_sync(), whole)


def test_two_processes_need_one_all_reduce_and_the_count_of_all(tmp_path):
    in_processes(two_processes, tmp_path)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: window_sizes(-1, accumulate=2), ValueError, "batches is -1"),
        (lambda: window_sizes(3, accumulate=0), ValueError, "accumulate is 0"),
        (lambda: micro_weights(np.arange(3)), TypeError, "counts has dtype int64"),
        (lambda: micro_weights(np.ones((2, 2))), ValueError, r"counts has shape \(2, 2\)"),
        (lambda: micro_weights(np.ones(2), processes=0), ValueError, "processes is 0"),
        (lambda: token_weight(np.ones(())), ValueError, r"counts has shape \(\)"),
        (lambda: token_weight(np.arange(2)), TypeError, "counts has dtype"),
        (lambda: accumulated(np.ones((2, 1)), np.ones(3)), ValueError, "must have 3 entries"),
        (lambda: accumulated(np.ones(()), np.ones(1)), ValueError, r"means has shape \(\)"),
        (lambda: accumulated(np.arange(2), np.ones(2)), TypeError, "means has dtype"),
        (lambda: accumulated(np.ones(2), np.arange(2)), TypeError, "counts has dtype"),
        (
            lambda: pooled_variance(np.ones(2), np.ones(3), np.ones(2)),
            ValueError,
            r"variances has shape \(3,\)",
        ),
        (
            lambda: pooled_variance(np.ones(2), np.arange(2), np.ones(2)),
            TypeError,
            "variances has dtype",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

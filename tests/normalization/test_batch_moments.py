import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.normalization.batch_moments import (
    Moments,
    Running,
    averaging_noise,
    batch_moments,
    channel_axes,
    merge_moments,
    update_running,
)
from tests.cases import Case
from tests.close import assert_close
from tests.distributed import in_processes


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def start(rng):
    return Running(rng.normal(size=4), rng.random(4))


CASES = [
    # Half precision comes back in float32: below, test_half_precision_is_summed_in_float32.
    Case(batch_moments, lambda rng: ((rng.normal(size=(3, 4, 5)),), {}), half=False, batch=()),
    Case(batch_moments, lambda rng: ((np.zeros((0, 4)),), {}), "empty", half=False, batch=()),
    Case(
        merge_moments,
        lambda rng: ((rng.random(3) + 1, rng.normal(size=(3, 4)), rng.random((3, 4))), {}),
        fixed=("count",),
        batch=(),
    ),
    Case(
        update_running,
        lambda rng: ((start(rng), Moments(7, rng.normal(size=4), rng.random(4))), {}),
        batch=(),
    ),
    Case(
        update_running,
        lambda rng: ((start(rng), Moments(2, rng.normal(size=4), rng.random(4))), {"momentum": 1}),
        "last",
        batch=(),
    ),
    Case(averaging_noise, lambda rng: ((8,), {})),
    Case(averaging_noise, lambda rng: ((8.0,), {"momentum": 1.0}), "last"),
    Case(channel_axes, lambda rng: ((rng.normal(size=(2, 3, 4)),), {}), batch=()),
]


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (1, 3, 2, 2), (1, 3), (2, 3, 1, 1, 1)])
def test_moments_of_numpy(shape):
    x = draw(*shape) + 100
    found = batch_moments(x)
    by_channel = np.moveaxis(x, 1, 0).reshape(3, -1)
    assert found.n == by_channel.shape[1]
    assert_close(found.mean, by_channel.mean(1))
    assert_close(found.var, by_channel.var(1), scale=10)


def test_a_large_mean_leaves_the_variance_alone():
    x = (1e4 + draw(1000, 2)).astype(np.float32)
    assert_close(batch_moments(x).var, x.astype(np.float64).var(0).astype(np.float32), scale=10)


def test_half_precision_is_summed_in_float32():
    x = torch.tensor(draw(4096, 2) * 300 + 1000).half()
    found = batch_moments(x)
    assert found.mean.dtype == torch.float32
    assert_close(found.var, x.double().var(0, correction=0).float())


@pytest.mark.parametrize("sizes", [(4, 4), (1, 9), (2, 3, 5), (0, 4), (6,)])
def test_merged_moments_are_those_of_all_numbers(sizes):
    parts = [draw(n, 3, 2, seed=n) * (n + 1) + 10 * n for n in sizes]
    counts, means, variances = zip(*map(batch_moments, parts), strict=True)
    merged = merge_moments(np.asarray(counts, dtype=float), np.stack(means), np.stack(variances))
    whole = batch_moments(np.concatenate(parts))
    for mine, their in zip(merged, whole, strict=True):
        assert_close(mine, np.asarray(their, dtype=float), scale=10)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(2, 3), (5, 3, 4)])
def test_running_moments_of_torch(shape, momentum):
    x = draw(*shape)
    mean, var = torch.tensor(draw(3, seed=1)), torch.rand(3, dtype=torch.float64)
    mine = update_running(Running(mean, var), batch_moments(torch.tensor(x)), momentum=momentum)
    F.batch_norm(torch.tensor(x), mean, var, training=True, momentum=momentum)
    assert_close(mine.mean, mean)
    assert_close(mine.var, var)


def test_the_running_type_stays():
    running = Running(torch.zeros(2).half(), torch.ones(2).half())
    found = update_running(running, batch_moments(torch.ones(4, 2)))
    assert {x.dtype for x in found} == {torch.float16}


def test_momentum_one_over_t_is_the_plain_mean():
    running, batches = Running(np.zeros(2), np.ones(2)), draw(7, 5, 2)
    for t, batch in enumerate(batches, start=1):
        running = update_running(running, batch_moments(batch), momentum=1 / t)
    assert_close(running.mean, batches.mean((0, 1)))
    assert_close(running.var, batches.var(1, ddof=1).mean(0))


@pytest.mark.parametrize(("count", "momentum"), [(1, 0.5), (4, 0.1), (16, 1.0)])
def test_the_noise_of_the_running_mean(count, momentum):
    channels = 4000
    running = Running(np.zeros(channels), np.ones(channels))
    rng = np.random.default_rng(0)
    for _ in range(60):
        means = rng.normal(size=(count, channels)).mean(0)
        batch = Moments(max(count, 2), means, np.ones(channels))
        running = update_running(running, batch, momentum=momentum)
    assert 0.96 < running.mean.std() / averaging_noise(count, momentum=momentum) < 1.04


def rank_part(rank):
    """Return what a process holds: of another size, mean and spread."""
    return torch.tensor(draw((3, 8)[rank], 4, 2, seed=rank)) * (1 + rank) + 5 * rank


def synchronize(folder, device):
    """Normalize a part by the moments of both, forwards and backwards, as SyncBatchNorm does."""
    rank = torch.distributed.get_rank()
    x, everything = rank_part(rank), torch.cat([rank_part(0), rank_part(1)])
    n, mean, var = batch_moments(x)
    mine = torch.cat([mean.new_tensor([n]), mean, var])
    both = [torch.empty_like(mine) for _ in range(2)]
    torch.distributed.all_gather(both, mine)
    rows = torch.stack(both)
    merged = merge_moments(rows[:, 0], rows[:, 1:5], rows[:, 5:])
    unit = (x - merged.mean[:, None]) / torch.sqrt(merged.var[:, None] + 1e-5)
    leaf = everything.requires_grad_()
    whole = F.batch_norm(leaf, None, None, training=True)
    here = slice(0, 3) if rank == 0 else slice(3, None)
    assert_close(unit, whole[here], scale=10)
    # Backwards two sums for each channel cross the processes: of the gradient, and times x̂.
    g = torch.tensor(draw(*everything.shape, seed=9))
    (expected,) = torch.autograd.grad(whole, leaf, g)
    g = g[here]
    sums = torch.stack([g.sum((0, 2)), (g * unit).sum((0, 2))])
    torch.distributed.all_reduce(sums)
    first, second = sums[..., None] / merged.n
    grad = (g - first - unit * second) / torch.sqrt(merged.var[:, None] + 1e-5)
    assert_close(grad, expected[here], scale=10)


def test_two_processes_normalize_as_one(tmp_path):
    in_processes(synchronize, tmp_path)


START = Running(np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: batch_moments(np.ones(3)), ValueError, r"x has shape \(3,\): \(N, C, …\)"),
        (lambda: batch_moments(np.ones((2, 2)) > 0), TypeError, "x has dtype bool"),
        (lambda: channel_axes(np.ones(())), ValueError, r"x has shape \(\)"),
        (
            lambda: merge_moments(np.ones(2), np.ones((3, 4)), np.ones((3, 4))),
            ValueError,
            r"count has shape \(2,\) and mean \(3, 4\)",
        ),
        (
            lambda: merge_moments(np.ones(3), np.ones(3), np.ones(3)),
            ValueError,
            r"mean \(3,\): \(K,\) and \(K, C\)",
        ),
        (
            lambda: merge_moments(np.ones(3), np.ones((3, 4)), np.ones((3, 1))),
            ValueError,
            "var has shape",
        ),
        (
            lambda: merge_moments(np.arange(3), np.ones((3, 4)), np.ones((3, 4))),
            TypeError,
            "count has dtype int64",
        ),
        (
            lambda: update_running(START, batch_moments(np.ones((1, 2)))),
            ValueError,
            r"batch\.n is 1: it must lie in \[2, inf\]",
        ),
        (
            lambda: update_running(START, batch_moments(np.ones((2, 2))), momentum=1.1),
            ValueError,
            "momentum is 1.1",
        ),
        (
            lambda: update_running(START, batch_moments(np.ones((2, 3)))),
            ValueError,
            r"batch\.mean has shape \(3,\) but running\.mean has shape \(2,\)",
        ),
        (lambda: averaging_noise(0), ValueError, "count is 0"),
        (lambda: averaging_noise(3, momentum=0.0), ValueError, "momentum is 0.0"),
        (lambda: averaging_noise(3, momentum=math.nan), ValueError, "momentum is nan"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

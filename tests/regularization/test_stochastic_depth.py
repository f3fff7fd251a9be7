import numpy as np
import pytest
import torch
from scipy import stats

from dlkb.regularization.stochastic_depth import (
    block_moments,
    depth_distribution,
    depth_moments,
    linear_survival,
    stochastic_depth,
    stochastic_depth_vjp,
    survivors,
)
from tests.cases import Case
from tests.close import assert_close

KEEP = np.asarray([True, False, True])


def probabilities(rng, *shape):
    return rng.random(shape)


CASES = [
    Case(
        survivors,
        lambda rng: ((rng.normal(size=(5, 2)),), {"p": 0.3, "generator": rng}),
    ),
    Case(
        survivors,
        lambda rng: ((rng.normal(size=(5, 2)),), {"p": 0.3, "mode": "batch", "generator": rng}),
        "batch",
    ),
    Case(
        stochastic_depth,
        lambda rng: ((rng.normal(size=(3, 2, 4)), KEEP.copy()), {"p": 0.3}),
        batch=(),
    ),
    Case(
        stochastic_depth,
        lambda rng: ((rng.normal(size=(3, 4)), np.asarray(True)), {"p": 0.3}),
        "batch",
        batch=("branch",),
        broadcasts=("keep",),
    ),
    Case(
        stochastic_depth,
        lambda rng: ((rng.normal(size=3), np.zeros(3, bool)), {"p": 1.0}),
        "p-1",
        batch=(),
    ),
    Case(
        stochastic_depth_vjp,
        lambda rng: ((KEEP.copy(), rng.normal(size=(3, 4))), {"p": 0.3}),
        batch=(),
    ),
    Case(
        block_moments, lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"p": 0.3})
    ),
    Case(
        linear_survival,
        lambda rng: ((np.arange(1.0, 8.0),), {"blocks": 7, "last": 0.2}),
        fixed=("block",),
    ),
    Case(
        linear_survival, lambda rng: ((np.asarray([1.0]),), {"blocks": 1}), "one", fixed=("block",)
    ),
    Case(depth_moments, lambda rng: ((probabilities(rng, 2, 6),), {}), fixed=("survival",)),
    Case(depth_distribution, lambda rng: ((probabilities(rng, 2, 6),), {}), fixed=("survival",)),
]


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("p", [0.1, 0.7])
def test_survivors_are_drawn_with_one_minus_p(mode, p):
    rng = np.random.default_rng(0)
    drawn = np.asarray(
        [survivors(np.zeros((50, 2)), p=p, mode=mode, generator=rng) for _ in range(400)]
    )
    assert drawn.shape == ((400, 50) if mode == "row" else (400,))
    assert abs(drawn.mean() - (1 - p)) < 4 * (p * (1 - p) / drawn.size) ** 0.5
    if mode == "row":  # examples are independent of each other, and no column is special
        assert np.abs(np.corrcoef(drawn, rowvar=False) - np.eye(50)).max() < 0.3


class Highest:
    """A generator that draws the largest double below 1, which float32 rounds to 1."""

    def random(self, shape):
        return np.full(shape, np.nextafter(1.0, 0.0))


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_without_dropping_all_survive_whatever_is_drawn(mode):
    like = np.zeros((3, 2), dtype=np.float32)
    assert survivors(like, p=0.0, mode=mode, generator=Highest()).all()


def test_draws_of_an_empty_batch():
    rng = np.random.default_rng(0)
    assert survivors(np.zeros((3, 0)), p=0.5, generator=rng).shape == (3,)
    assert survivors(np.zeros((0, 3)), p=0.5, generator=rng).shape == (0,)
    assert survivors(np.zeros((0, 3)), p=0.5, mode="batch", generator=rng).shape == ()


@pytest.mark.parametrize("p", [0.0, 0.25, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 4, 5), (3, 0)])
def test_moments_are_those_of_all_draws(p, shape):
    f = np.random.default_rng(1).normal(size=shape)
    outputs = np.stack([stochastic_depth(f, np.asarray([k] * 3), p=p) for k in (True, False)])
    chance = np.reshape([1 - p, p], (2, *(1,) * len(shape)))
    mean = (chance * outputs).sum(0)
    variance = (chance * (outputs - mean) ** 2).sum(0)
    if p == 1:
        assert_close(mean, 0 * f)
        return
    expected = block_moments(np.ones(shape), f, p=p)
    assert_close(expected.mean - 1, mean)
    assert_close(expected.variance, variance)


def test_gradient_is_autograd_s():
    f = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    g, keep = torch.randn(3, 4, dtype=torch.float64), torch.as_tensor(KEEP)
    (expected,) = torch.autograd.grad(stochastic_depth(f, keep, p=0.4), f, g)
    assert_close(stochastic_depth_vjp(keep, g, p=0.4), expected)


def test_a_dropped_branch_is_zero_whatever_it_holds():
    f = np.asarray([[np.nan, np.inf], [1.0, -np.inf]])
    dropped = stochastic_depth(f, np.asarray([False, True]), p=0.5)
    np.testing.assert_array_equal(dropped, [[0, 0], [2, -np.inf]])


@pytest.mark.parametrize("blocks", [1, 2, 54])
@pytest.mark.parametrize("last", [0.0, 0.5, 1.0])
def test_linear_survival_ends_at_the_last(blocks, last):
    q = linear_survival(np.arange(0.0, blocks + 1), blocks=blocks, last=last)
    assert_close(q, np.linspace(1, last, blocks + 1))


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("blocks", [0, 1, 7])
def test_distribution_of_equal_blocks_is_binomial(q, blocks):
    found = depth_distribution(np.full(blocks, q))
    assert_close(found, stats.binom.pmf(np.arange(blocks + 1), blocks, q))


def test_moments_are_those_of_the_distribution():
    q = np.random.default_rng(0).random((2, 3, 9))
    share, depth = depth_distribution(q), np.arange(10)
    mean = (share * depth).sum(-1)
    assert_close(depth_moments(q).mean, mean)
    assert_close(depth_moments(q).variance, (share * depth**2).sum(-1) - mean**2)
    assert_close(share.sum(-1), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stochastic_depth(np.ones(3), KEEP, p=1.2), ValueError, "p is 1.2"),
        (lambda: stochastic_depth(np.ones(3, int), KEEP, p=0.5), TypeError, "branch has dtype"),
        (lambda: stochastic_depth(np.ones(3), np.ones(3), p=0.5), TypeError, "keep has dtype"),
        (lambda: stochastic_depth(np.ones((2, 3)), KEEP, p=0.5), ValueError, r"keep has shape \(3"),
        (lambda: stochastic_depth(np.ones(3), KEEP[:1], p=0.5), ValueError, r"keep has shape \(1"),
        (
            lambda: stochastic_depth_vjp(KEEP, np.ones(3, int), p=0.5),
            TypeError,
            "cotangent has dtype int64",
        ),
        (
            lambda: stochastic_depth_vjp(KEEP, np.ones((2, 3)), p=0.5),
            ValueError,
            r"cotangent has shape \(2, 3\)",
        ),
        (lambda: block_moments(np.ones(3), np.ones(1), p=0.5), ValueError, "shortcut has shape"),
        (lambda: block_moments(np.ones(1), np.ones(1), p=1.0), ValueError, "p is 1.0"),
        (lambda: linear_survival(np.ones(1), blocks=0), ValueError, "blocks is 0"),
        (lambda: linear_survival(np.ones(1), blocks=1, last=-1.0), ValueError, "last is -1.0"),
        (lambda: linear_survival(np.ones(1, int), blocks=1), TypeError, "block has dtype"),
        (lambda: depth_distribution(np.asarray(0.5)), ValueError, "survival has shape"),
        (lambda: depth_moments(np.ones(1, int)), TypeError, "survival has dtype"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("keywords", "shape", "message"),
    [
        ({"p": 0.5, "mode": "column"}, (2, 3), "mode is 'column'"),
        ({"p": -0.5}, (2, 3), "p is -0.5"),
        ({"p": 0.5}, (), "like has shape"),
    ],
)
def test_errors_of_the_draw(keywords, shape, message):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=message):
        survivors(np.zeros(shape), **keywords, generator=rng)
    assert rng.random() == np.random.default_rng(0).random(), "nothing was drawn"

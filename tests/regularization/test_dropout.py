import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from sklearn.linear_model import Ridge
from torch.nn import functional as F

from dlkb.regularization.dropout import (
    dropconnect,
    dropout,
    dropout_moments,
    dropout_vjp,
    expected_squared_loss,
    keep_mask,
    linear_covariance,
    linear_moments,
    predictive_moments,
    ridge_equivalent_penalty,
    ridge_equivalent_solution,
)
from tests.cases import Case
from tests.close import assert_close


def mask(rng, *shape):
    return rng.random(shape) < 0.6


CASES = [
    Case(keep_mask, lambda rng: ((rng.normal(size=(3, 4)),), {"p": 0.3, "generator": rng})),
    Case(
        dropout,
        lambda rng: ((rng.normal(size=(3, 4)), mask(rng, 3, 4)), {"p": 0.3}),
        broadcasts=("keep",),
    ),
    Case(
        dropout,
        lambda rng: ((rng.normal(size=(2, 3, 4)), mask(rng, 3, 1)), {"p": 0.3}),
        "units",
        batch=("x",),
        broadcasts=("keep",),
    ),
    Case(
        dropout,
        lambda rng: ((rng.normal(size=4), np.zeros(4, bool)), {"p": 1.0}),
        "p-1",
        broadcasts=("keep",),
    ),
    Case(
        dropout_vjp,
        lambda rng: ((mask(rng, 3, 4), rng.normal(size=(3, 4))), {"p": 0.3}),
        broadcasts=("keep",),
    ),
    Case(dropout_moments, lambda rng: ((rng.normal(size=(3, 4)),), {"p": 0.3})),
    Case(
        dropconnect,
        lambda rng: (
            (rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), mask(rng, 3, 4)),
            {"p": 0.3},
        ),
        batch=("x",),
    ),
    Case(
        dropconnect,
        lambda rng: (
            (rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), mask(rng, 5, 3, 4)),
            {"p": 0.3},
        ),
        "mask-each",
        batch=("x", "keep"),
        unless={"float16 large all": "products of 1e6 that cancel"},
    ),
    Case(
        linear_moments,
        lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=(3, 4))), {"p": 0.3}),
        batch=("x",),
    ),
    Case(
        linear_moments,
        lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=4)), {"p": 0.3}),
        "one",
        batch=("x",),
    ),
    Case(
        linear_covariance,
        lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=(3, 4))), {"p": 0.3}),
        batch=("x",),
        unless={"float16": "the squares do not fit"},
    ),
    Case(
        ridge_equivalent_penalty,
        lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=4)), {"p": 0.3}),
        batch=(),
        unless={"float16": "the squares do not fit"},
    ),
    Case(
        expected_squared_loss,
        lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=5), rng.normal(size=4)), {"p": 0.3}),
        batch=(),
    ),
    Case(
        ridge_equivalent_solution,
        lambda rng: ((rng.normal(size=(9, 4)), rng.normal(size=9)), {"p": 0.3}),
        half=False,  # no linear solver in bfloat16
        batch=(),
        law=lambda w, by: w * by["y"] / by["X"],
    ),
    Case(predictive_moments, lambda rng: ((rng.normal(size=(6, 2)),), {"noise": 0.5}), batch=()),
    Case(
        predictive_moments,
        lambda rng: ((rng.normal(size=(6, 2)),), {"noise": rng.random((6, 1))}),
        "noise-each",
        batch=(),
        broadcasts=("noise",),
    ),
]


def every_mask(*shape, p):
    """Yield each mask with its probability: expectations become finite sums."""
    for bits in itertools.product([False, True], repeat=math.prod(shape)):
        keep = np.asarray(bits).reshape(shape)
        yield keep, (1 - p) ** keep.sum() * p ** (~keep).sum()


def moments(pairs):
    """Mean and covariance of (value, probability) pairs."""
    values, weights = (np.asarray(column) for column in zip(*pairs, strict=True))
    mean = np.tensordot(weights, values, 1)
    centred = (values - mean).reshape(len(values), -1)
    return mean, (centred.T * weights) @ centred


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_torch_with_the_same_mask(p, device):
    x = torch.tensor(np.random.default_rng(0).normal(size=(7, 5, 3)), device=device)
    x = x.requires_grad_()
    ones = torch.ones_like(x, requires_grad=True)
    torch.manual_seed(1)
    theirs = F.dropout(x, p)
    torch.manual_seed(1)
    keep = F.dropout(ones, p) != 0
    ours = dropout(x, keep, p=p)
    assert_close(ours, theirs)
    cotangent = torch.tensor(np.random.default_rng(2).normal(size=x.shape), device=device)
    (theirs_grad,) = torch.autograd.grad(theirs, x, cotangent)
    (ours_grad,) = torch.autograd.grad(ours, x, cotangent)
    assert_close(ours_grad, theirs_grad)
    assert_close(dropout_vjp(keep, cotangent, p=p), theirs_grad)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 1, 3)])
def test_shapes(shape):
    x = np.asarray(np.random.default_rng(0).normal(size=shape) + 1e6)
    keep = keep_mask(x, p=0.5, generator=np.random.default_rng(1))
    assert keep.shape == shape
    assert_close(dropout(x, keep, p=0.5), np.where(keep, 2 * x, 0))


def test_a_dropped_entry_is_zero_whatever_it_was():
    x = np.asarray([np.inf, np.nan, -1.0])
    assert_close(dropout(x, np.zeros(3, bool), p=0.5), np.zeros(3))
    assert_close(dropout(x, np.zeros(3, bool), p=1.0), np.zeros(3))


def test_the_extreme_probabilities():
    x = np.random.default_rng(0).normal(size=10_000)
    for library in (lambda a: a, torch.tensor):
        generator = np.random.default_rng(1)
        keep = keep_mask(library(x.astype(np.float32)), p=0, generator=generator)
        assert bool(keep.all())
        keep = keep_mask(library(x), p=1, generator=generator)
        assert not bool(keep.any())
        assert_close(dropout(library(x), keep, p=1), np.zeros(10_000))


@pytest.mark.parametrize("p", [0.003, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_frequency_of_dropping_is_p(p, dtype, device):
    # A correct draw fails an exact binomial test at this level once in 10⁶ seeds.
    like = torch.zeros(400_000, dtype=dtype, device=device)
    keep = keep_mask(like, p=p, generator=torch.Generator(device).manual_seed(0))
    dropped = int((~keep).sum())
    assert stats.binomtest(dropped, 400_000, p).pvalue > 1e-6


def test_masks_of_neighbours_are_independent():
    # Under independence n·r² is χ²(1): a correct draw fails once in 10⁶ seeds.
    keep = keep_mask(np.zeros((100_000, 2)), p=0.3, generator=np.random.default_rng(0))
    r = np.corrcoef(keep.T.astype(float))[0, 1]
    assert stats.chi2.sf(100_000 * r**2, 1) > 1e-6


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_moments_are_sums_over_all_masks(p):
    x = np.random.default_rng(0).normal(size=4)
    mean, covariance = moments([(dropout(x, k, p=p), w) for k, w in every_mask(4, p=p)])
    ours = dropout_moments(x, p=p)
    assert_close(ours.mean, mean)
    assert_close(ours.variance, np.diag(covariance))
    assert_close(covariance, np.diag(ours.variance))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.75])
def test_linear_moments_and_covariance_are_sums_over_all_masks(p):
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=3), rng.normal(size=(2, 3))
    ours, covariance = linear_moments(x, weight, p=p), linear_covariance(x, weight, p=p)
    units = moments([(linear(dropout(x, k, p=p), weight), w) for k, w in every_mask(3, p=p)])
    assert_close(ours.mean, units[0])
    assert_close(covariance, units[1])
    assert_close(ours.variance, np.diag(units[1]))
    weights = moments([(dropconnect(x, weight, k, p=p), w) for k, w in every_mask(2, 3, p=p)])
    assert_close(ours.mean, weights[0])
    assert_close(np.diag(ours.variance), weights[1])


def linear(x, weight):
    return F.linear(torch.tensor(x), torch.tensor(weight)).numpy()


def test_batches_of_linear_moments():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 5, 3)), rng.normal(size=(4, 3))
    ours, covariance = linear_moments(x, weight, p=0.4), linear_covariance(x, weight, p=0.4)
    assert covariance.shape == (2, 5, 4, 4)
    one = linear_moments(x[1, 3], weight, p=0.4)
    assert_close(ours.mean[1, 3], one.mean)
    assert_close(ours.variance[1, 3], one.variance)
    assert_close(covariance[1, 3], linear_covariance(x[1, 3], weight, p=0.4))
    assert_close(linear_moments(x, weight[2], p=0.4).variance, ours.variance[..., 2])


def test_dropping_an_input_is_dropping_a_column():
    rng = np.random.default_rng(0)
    x, weight, units = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), mask(rng, 4)
    columns = np.broadcast_to(units, (3, 4))
    expected = linear(dropout(x, units, p=0.3), weight)
    assert_close(dropconnect(x, weight, columns, p=0.3), expected)


def test_dropconnect_gradients_against_a_masked_linear_layer(device):
    rng = np.random.default_rng(0)
    x, weight = (torch.tensor(rng.normal(size=s), device=device) for s in ((5, 4), (3, 4)))
    keep = torch.tensor(mask(rng, 3, 4), device=device)
    x, weight = x.requires_grad_(), weight.requires_grad_()
    ours = dropconnect(x, weight, keep, p=0.3)
    theirs = F.linear(x, weight * keep / 0.7)
    assert_close(ours, theirs)
    cotangent = torch.tensor(rng.normal(size=(5, 3)), device=device)
    for a, b in zip(
        torch.autograd.grad(ours, (x, weight), cotangent),
        torch.autograd.grad(theirs, (x, weight), cotangent),
        strict=True,
    ):
        assert_close(a, b)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.8])
def test_the_expected_loss_is_a_sum_over_all_masks(p):
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    total = 0.0
    for keep, probability in every_mask(4, 3, p=p):
        total += probability * ((y - dropout(X, keep, p=p) @ w) ** 2).sum()
    assert_close(expected_squared_loss(X, y, w, p=p), total)
    plain = ((y - X @ w) ** 2).sum()
    assert_close(ridge_equivalent_penalty(X, w, p=p), total - plain, scale=10)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.8])
def test_the_minimizer_against_scipy_and_ridge(p):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)) * [1, 3, 0.2, 10] + 1, rng.normal(size=20)
    w = ridge_equivalent_solution(X, y, p=p)
    found = optimize.minimize(lambda w: expected_squared_loss(X, y, w, p=p), np.zeros(4), tol=1e-12)
    np.testing.assert_allclose(w, found.x, atol=1e-5)
    # On columns of unit norm it is ordinary ridge with λ = p/(1 − p).
    norms = np.sqrt((X**2).sum(0))
    ridge = Ridge(alpha=p / (1 - p), fit_intercept=False).fit(X / norms, y)
    assert_close(w, ridge.coef_ / norms, scale=10)


def test_the_minimizer_is_an_average_over_masked_copies():
    # Least squares on one copy of the data per mask, weighted by the mask's probability.
    rng, p = np.random.default_rng(0), 0.3
    X, y = rng.normal(size=(3, 2)), rng.normal(size=3)
    copies = [(dropout(X, k, p=p), np.sqrt(w)) for k, w in every_mask(3, 2, p=p)]
    stacked = np.concatenate([s * c for c, s in copies])
    targets = np.concatenate([s * y for _, s in copies])
    expected = np.linalg.lstsq(stacked, targets, rcond=None)[0]
    assert_close(ridge_equivalent_solution(X, y, p=p), expected, scale=10)


def test_strong_dropout_shrinks_to_zero_and_rescales_with_the_columns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    limit = ridge_equivalent_solution(X, y, p=1 - 1e-12)
    assert np.abs(limit).max() < 1e-11
    w = ridge_equivalent_solution(X, y, p=0.4)
    assert_close(ridge_equivalent_solution(X * [1, 10, 1e3], y, p=0.4), w / [1, 10, 1e3])


def test_predictive_moments_are_those_of_the_mixture():
    rng = np.random.default_rng(0)
    means, variances = rng.normal(size=(5, 2)) + 1e3, rng.random((5, 2))
    ours = predictive_moments(means, noise=variances)
    second = (variances + means**2).mean(0)
    np.testing.assert_allclose(ours.model + ours.noise, second - means.mean(0) ** 2, rtol=1e-8)
    assert_close(ours.mean, means.mean(0))
    assert_close(ours.model, means.var(0))
    single = predictive_moments(means[:1])
    assert_close(single.model, np.zeros(2))
    assert_close(single.noise, np.zeros(2))


def test_predictive_moments_agree_with_the_linear_closed_form():
    p, x, w = 0.4, np.asarray([1.0, -2.0, 0.5]), np.asarray([0.3, 0.8, -1.0])
    rng = np.random.default_rng(0)
    keep = keep_mask(np.zeros((200_000, 3)), p=p, generator=rng)
    sampled = predictive_moments(dropout(np.broadcast_to(x, keep.shape), keep, p=p) @ w)
    closed = linear_moments(x, w, p=p)
    # Six standard errors each: a correct pair fails less than once in 10⁸ seeds.
    assert abs(sampled.mean - closed.mean) < 6 * math.sqrt(closed.variance / 200_000)
    assert abs(sampled.model / closed.variance - 1) < 6 * math.sqrt(2 / 200_000)


ONES = np.ones(3)
KEEP = np.ones(3, bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dropout(ONES, KEEP, p=1.5), ValueError, r"p is 1.5: it must lie in \[0, 1\]"),
        (lambda: dropout(ONES, KEEP, p=math.nan), ValueError, "p is nan"),
        (lambda: dropout(np.arange(3), KEEP, p=0.5), TypeError, "x has dtype int64"),
        (lambda: dropout(ONES, ONES, p=0.5), TypeError, "keep has dtype float64: a boolean"),
        (
            lambda: dropout(ONES, np.ones((2, 3), bool), p=0.5),
            ValueError,
            r"keep has shape \(2, 3\): it must broadcast to the shape \(3,\)",
        ),
        (
            lambda: dropout(ONES, np.ones(2, bool), p=0.5),
            ValueError,
            r"keep has shape \(2,\): it must broadcast",
        ),
        (lambda: dropout_vjp(KEEP, np.arange(3), p=0.5), TypeError, "cotangent has dtype int64"),
        (lambda: dropout_vjp(KEEP, np.ones(2), p=0.5), ValueError, r"shape \(2,\) of cotangent"),
        (lambda: dropout_moments(ONES, p=1.0), ValueError, r"p is 1.0: it must lie in \[0, 1\)"),
        (lambda: dropout_moments(np.arange(3), p=0.5), TypeError, "x has dtype int64"),
        (
            lambda: keep_mask(ONES, p=-0.1, generator=np.random.default_rng(0)),
            ValueError,
            r"p is -0.1",
        ),
        (
            lambda: keep_mask(np.arange(3), p=0.1, generator=np.random.default_rng(0)),
            TypeError,
            "like has dtype int64",
        ),
        (
            lambda: dropconnect(ONES, np.ones((2, 3)), np.ones((3, 2), bool), p=0.5),
            ValueError,
            r"keep has shape \(3, 2\): its last two axes must be those of weight, \(2, 3\)",
        ),
        (
            lambda: dropconnect(ONES, np.ones((2, 4)), np.ones((2, 4), bool), p=0.5),
            ValueError,
            r"x has shape \(3,\) and weight has shape \(2, 4\): their last axes must be equal",
        ),
        (
            lambda: dropconnect(ONES, ONES, np.ones((1, 3), bool), p=0.5),
            ValueError,
            r"weight has shape \(3,\): \(out, in\) is needed",
        ),
        (
            lambda: dropconnect(np.ones((2, 3)), np.ones((4, 3)), np.ones((5, 4, 3), bool), p=0.5),
            ValueError,
            r"keep has shape \(5, 4, 3\) and x has shape \(2, 3\)",
        ),
        (lambda: linear_moments(ONES, np.ones(3), p=1), ValueError, r"p is 1: .* \[0, 1\)"),
        (lambda: linear_moments(ONES, np.asarray(3.0), p=0.5), ValueError, "weight has shape"),
        (
            lambda: linear_moments(ONES, np.ones(3, int), p=0.5),
            TypeError,
            "weight has dtype int64",
        ),
        (lambda: linear_covariance(ONES, ONES, p=0.5), ValueError, r"\(out, in\) is needed"),
        (lambda: linear_covariance(ONES, np.ones((2, 3)), p=1), ValueError, "p is 1"),
        (
            lambda: ridge_equivalent_penalty(np.ones((2, 3)), np.ones(2), p=0.5),
            ValueError,
            r"X has shape \(2, 3\) and w has shape \(2,\)",
        ),
        (
            lambda: expected_squared_loss(np.ones((2, 3)), ONES, ONES, p=0.5),
            ValueError,
            r"X has shape \(2, 3\) and y has shape \(3,\): \(n, d\) and \(n,\) are needed",
        ),
        (
            lambda: expected_squared_loss(torch.ones(4, 2), torch.ones(4), torch.ones(3), p=0.5),
            ValueError,
            r"X has shape \(4, 2\) and w has shape \(3,\)",
        ),
        (
            lambda: expected_squared_loss(np.ones((4, 1)), np.ones(4), np.ones((1, 1)), p=0.5),
            ValueError,
            r"w has shape \(1, 1\): \(n, d\) and \(d,\) are needed",
        ),
        (
            lambda: ridge_equivalent_solution(np.ones((3, 2)), ONES, p=1.0),
            ValueError,
            r"p is 1.0: it must lie in \[0, 1\)",
        ),
        (
            lambda: ridge_equivalent_solution(np.ones((3, 2), int), ONES, p=0.5),
            TypeError,
            "X has dtype int64",
        ),
        (lambda: predictive_moments(np.ones((0, 2))), ValueError, "at least one is needed"),
        (lambda: predictive_moments(np.asarray(1.0)), ValueError, "along the first axis"),
        (lambda: predictive_moments(np.ones(2, int)), TypeError, "means has dtype int64"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

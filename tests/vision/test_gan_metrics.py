import math

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from dlkb.vision.gan_metrics import (
    Moments,
    feature_moments,
    fid_at_infinity,
    fid_bias,
    frechet_distance,
    inception_score,
    kid,
)
from tests.cases import Case
from tests.close import assert_close, dtype_name

SVD = {"half": False}  # no library decomposes in half precision


def features(rng, n=9, d=3):
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def some_moments(rng, d=3):
    root = rng.normal(size=(d, d))
    return Moments(rng.normal(size=d), root @ root.T)


def diagonal(rng):
    means, variances = rng.normal(size=(2, 3)), rng.exponential(size=(2, 3))
    pair = (Moments(m, np.diag(v)) for m, v in zip(means, variances, strict=True))
    return tuple(pair), {}


def of_diagonal(_, factors):
    """The distance of commuting covariances, each set of moments multiplied by its factor."""
    (first, second), _ = diagonal(np.random.default_rng(0))
    f, g = factors["first"], factors["second"]
    spread = np.sqrt(f * np.diag(first.cov)) - np.sqrt(g * np.diag(second.cov))
    return ((f * first.mean - g * second.mean) ** 2).sum() + (spread**2).sum()


def probabilities(rng, shape=(6, 4)):
    p = rng.exponential(size=shape)
    return p / p.sum(-1, keepdims=True)


def bias_law(result, factors):
    return result * factors["eigenvalues"]


CASES = [
    Case(feature_moments, lambda rng: ((features(rng),), {})),
    Case(frechet_distance, diagonal, "diagonal", law=of_diagonal, **SVD),
    Case(
        frechet_distance,
        lambda rng: ((some_moments(rng), some_moments(rng)), {}),
        fixed=("first", "second"),
        **SVD,
    ),
    Case(
        fid_bias,
        lambda rng: ((rng.exponential(size=5),), {"first": 100, "second": 1000}),
        law=bias_law,
    ),
    Case(
        fid_at_infinity,
        lambda rng: ((np.asarray([10.0, 20, 50, 80]), rng.exponential(size=4)), {}),
        fixed=("sizes",),
        batch=("distances",),
    ),
    Case(kid, lambda rng: ((features(rng), features(rng, 7)), {})),
    Case(inception_score, lambda rng: ((probabilities(rng),), {}), fixed=("p",)),
]


@pytest.mark.parametrize(("n", "m", "d"), [(40, 60, 5), (2, 3, 4), (50, 50, 1)])
def test_moments_and_distance_are_those_of_numpy(n, m, d):
    rng = np.random.default_rng(1)
    x, y = features(rng, n, d), features(rng, m, d)
    one, two = feature_moments(x), feature_moments(y)
    assert_close(one.mean, x.mean(0))
    assert_close(one.cov, np.cov(x.T).reshape(d, d))
    roots = np.sqrt(np.linalg.eigvals(one.cov @ two.cov).real.clip(0))
    apart = ((one.mean - two.mean) ** 2).sum()
    expected = apart + np.trace(one.cov + two.cov) - 2 * roots.sum()
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(two, one) == pytest.approx(expected, rel=1e-6)


def test_near_sets_keep_their_digits():
    rng = np.random.default_rng(2)
    one = some_moments(rng, 6)
    for shift in (0.0, 1e-6):  # FID² would be 1e-12, beside traces of about 30
        near = Moments(one.mean + shift, one.cov)
        found = frechet_distance(one, near)
        assert found >= 0
        assert found == pytest.approx(6 * shift**2, rel=1e-6, abs=1e-25)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_moments_in_half_precision_have_a_distance(convert):
    rng = np.random.default_rng(9)
    pair = [features(rng, 20).astype(np.float16) for _ in range(2)]
    found = frechet_distance(*(feature_moments(convert(x)) for x in pair))
    exact = frechet_distance(*(feature_moments(x.astype(np.float64)) for x in pair))
    assert dtype_name(found) == "float16"
    assert float(found) == pytest.approx(float(exact), rel=0.01)


class Rows(torch.nn.Module):
    """A stand-in for the network: rows are their own features."""

    num_features = 4

    def forward(self, x):
        return x.float()


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(3)
    x, y = features(rng, 60, 4), features(rng, 60, 4)
    return tuple(z.astype(np.float32).astype(np.float64) for z in (x, y))


def test_the_distance_is_that_of_torchmetrics(sets):
    metric = FrechetInceptionDistance(feature=Rows(), input_img_size=(4,))
    metric.update(torch.tensor(sets[0]).float(), real=True)
    metric.update(torch.tensor(sets[1][:40]).float(), real=False)
    metric.update(torch.tensor(sets[1][40:]).float(), real=False)
    found = frechet_distance(*map(feature_moments, sets))
    assert_close(found, metric.compute().double(), dtype="float32")


@pytest.mark.filterwarnings("ignore:Metric .* will save all")
def test_kid_is_that_of_torchmetrics_on_one_subset_of_all(sets):
    metric = KernelInceptionDistance(feature=Rows(), subsets=1, subset_size=60)
    metric.update(torch.tensor(sets[0]).float(), real=True)
    metric.update(torch.tensor(sets[1]).float(), real=False)
    assert_close(kid(*sets), metric.compute()[0].double(), dtype="float32", scale=10)


def test_kid_is_its_definition_for_unequal_sets():
    rng = np.random.default_rng(4)
    x, y = features(rng, 5, 3), features(rng, 8, 3)

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    def within(z):
        n = len(z)
        pairs = [k(z[i], z[j]) for i in range(n) for j in range(n) if i != j]
        return np.mean(pairs)

    across = np.mean([k(a, b) for a in x for b in y])
    assert_close(kid(x, y), within(x) + within(y) - 2 * across)


@pytest.mark.filterwarnings("ignore:Metric .* will save all")
def test_the_inception_score_is_that_of_torchmetrics():
    rng = np.random.default_rng(5)
    logits = torch.tensor(3 * rng.normal(size=(50, 4)))
    metric = InceptionScore(feature=Rows(), splits=1)
    metric.update(logits)
    with pytest.warns(UserWarning, match="degrees of freedom"):  # of one part
        expected, _ = metric.compute()
    assert_close(inception_score(logits.softmax(1)), expected.double(), dtype="float32")


def test_the_inception_score_has_its_limits():
    assert_close(inception_score(np.eye(7)), 7.0)
    assert_close(inception_score(np.eye(7)[:1].repeat(5, 0)), 1.0)  # collapsed
    assert_close(inception_score(np.full((5, 7), 1 / 7)), 1.0)  # unsure
    two = inception_score(np.eye(7)[[0, 1]])
    assert_close(two, 2.0)
    for dtype in (np.float32, np.float64):
        p = np.eye(4, dtype=dtype)[[0] * 9]
        p[0, 1] = np.finfo(dtype).smallest_subnormal  # its mean over the rows rounds to 0
        assert_close(inception_score(p), 1.0)
    p = probabilities(np.random.default_rng(6), (3, 8, 5))
    assert ((inception_score(p) >= 1) & (inception_score(p) <= 5)).all()


@pytest.mark.parametrize("spectrum", ["equal", "falling"])
def test_the_bias_is_that_of_draws(spectrum):
    rng = np.random.default_rng(7)
    d, n, m = 8, 400, 900
    values = np.ones(d) if spectrum == "equal" else 4.0 ** -np.arange(d)
    found = []
    for _ in range(400):
        x, y = (rng.normal(size=(k, d)) * np.sqrt(values) for k in (n, m))
        found.append(frechet_distance(feature_moments(x), feature_moments(y)))
    law = fid_bias(values, first=n, second=m)
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(law, abs=4 * error + 0.01 * law)
    assert error < 0.05 * law


def test_the_bias_in_special_cases():
    for d in (1, 10):
        bias = fid_bias(np.ones(d), first=50, second=math.inf)
        assert_close(bias, d * (d + 5) / 4 / 50)
    with_zeros = np.asarray([1.0, 2.0, 0.0, 0.0])
    assert_close(
        fid_bias(with_zeros, first=9, second=9), fid_bias(with_zeros[:2], first=9, second=9)
    )
    assert fid_bias(np.zeros(3), first=9, second=9) == 0


def test_a_line_in_one_over_n_is_continued():
    n = np.asarray([100.0, 300, 1000, 5000])
    curves = 2 - 70 / n, 1 + 0 / n
    assert_close(fid_at_infinity(n, np.stack(curves)), np.asarray([2.0, 1.0]))
    noisy = np.random.default_rng(8).normal(size=4)
    assert_close(fid_at_infinity(n, noisy), np.polyfit(1 / n, noisy, 1)[1])
    assert_close(fid_at_infinity(n * 1e200, noisy), np.polyfit(1 / n, noisy, 1)[1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: feature_moments(np.ones((1, 3))), ValueError, "x has shape .* at least 2"),
        (lambda: feature_moments(np.ones((3, 2), int)), TypeError, "x has dtype int64"),
        (
            lambda: frechet_distance((np.zeros(2), np.eye(2)), feature_moments(np.eye(2))),
            TypeError,
            r"first is tuple: pass Moments\(mean, cov\)",
        ),
        (
            lambda: frechet_distance(Moments(np.ones(2), np.ones(2)), Moments(np.ones(2), 1)),
            ValueError,
            r"first.cov has shape \(2,\) beside a mean of shape \(2,\)",
        ),
        (
            lambda: frechet_distance(
                Moments(np.ones(2), np.eye(2)), Moments(np.ones(3), np.eye(3))
            ),
            ValueError,
            "second.mean has shape",
        ),
        (
            lambda: frechet_distance(Moments(np.ones(2), np.eye(2)), Moments(np.ones(2), 1)),
            TypeError,
            "second.cov is int",
        ),
        (
            lambda: fid_bias(np.ones(2), first=1, second=5),
            ValueError,
            "first is 1: a covariance needs 2",
        ),
        (lambda: fid_bias(np.ones(2), first=5, second=0), ValueError, "second is 0"),
        (lambda: fid_bias(np.ones(()), first=5, second=5), ValueError, r"eigenvalues has shape"),
        (lambda: fid_at_infinity(np.ones(1), np.ones(1)), ValueError, "k of at least 2"),
        (lambda: fid_at_infinity(np.ones(3), np.ones(2)), ValueError, "k of at least 2"),
        (lambda: kid(np.ones((3, 2)), np.ones((3, 4))), ValueError, "y has 4 features a row"),
        (lambda: kid(np.ones((3, 2)), np.ones((1, 2))), ValueError, "y has shape"),
        (lambda: kid(np.ones((2, 3, 2)), np.ones((3, 2))), ValueError, "their batch axes"),
        (lambda: inception_score(np.ones((0, 2))), ValueError, "p has shape"),
        (lambda: inception_score(np.ones((2, 0))), ValueError, "must hold the classes"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

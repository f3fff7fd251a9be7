import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.naive_bayes import GaussianNB, MultinomialNB

from dlkb.classic_ml.naive_bayes import NaiveBayes, log_joint, log_shares, naive_bayes
from dlkb.losses.cross_entropy import softmax
from tests.cases import Case
from tests.close import assert_close


def members(labels):
    return np.eye(labels.max() + 1)[labels]


def fitted(rng):
    model = NaiveBayes(np.log([0.25, 0.75]), rng.normal(size=(2, 3)), rng.uniform(1, 2, (2, 3)))
    return rng.normal(size=(5, 3)), model


CASES = [
    Case(naive_bayes, lambda rng: (
        (rng.normal(size=(7, 3)), members(np.asarray([0, 1, 0, 1, 1, 0, 0]))),
        {"var_smoothing": 0.25},
    ), fixed=("X", "member"), batch=()),  # logarithms and squares beside each other
    Case(log_joint, lambda rng: (fitted(rng), {}), fixed=("X", "model"), batch=(),
         broadcasts=("X", "model")),
    Case(log_shares, lambda rng: ((rng.integers(0, 9, size=(2, 4)).astype(float),), {"alpha": 0.5}),
         fixed=("counts",)),
]  # fmt: skip


@pytest.mark.parametrize("load", [load_iris, load_digits])
@pytest.mark.parametrize("smoothing", [1e-9, 0.1])
def test_gaussian_is_that_of_sklearn(load, smoothing):
    X, labels = load(return_X_y=True)
    model = naive_bayes(X, members(labels), var_smoothing=smoothing)
    oracle = GaussianNB(var_smoothing=smoothing).fit(X, labels)
    assert_close(model.mean, oracle.theta_)
    assert_close(model.variance, oracle.var_, scale=10)
    assert_close(model.log_prior, np.log(oracle.class_prior_))
    joint = log_joint(X, model)
    scale = np.abs(oracle.predict_joint_log_proba(X)).max()  # constant pixels: 1e9 and more
    assert_close(joint / scale, oracle.predict_joint_log_proba(X) / scale, scale=1e3)
    if smoothing > 1e-9:
        assert_close(softmax(joint), oracle.predict_proba(X), scale=1e3)


def test_multinomial_is_that_of_sklearn():
    X, labels = load_digits(return_X_y=True)
    counts = members(labels).T @ X
    for alpha in (1.0, 0.01):
        oracle = MultinomialNB(alpha=alpha).fit(X, labels)
        assert_close(log_shares(counts, alpha=alpha), oracle.feature_log_prob_)


def test_weights_repeat_examples():
    X = np.asarray([[0.0], [3.0], [1.0]])
    weighted = naive_bayes(X, np.asarray([[2.0, 0], [1, 0], [0, 1]]), var_smoothing=0.0)
    assert_close(weighted.mean[0], np.asarray([1.0]))
    assert_close(weighted.variance[0], np.asarray([2.0]))
    assert_close(weighted.log_prior, np.log([0.75, 0.25]))


def test_a_class_without_examples():
    with np.errstate(all="ignore"):
        model = naive_bayes(np.asarray([[0.0], [1.0]]), np.asarray([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isnan(model.mean[1])
    assert np.isnan(model.variance[1])
    assert model.log_prior.tolist() == [0, -np.inf]
    joint = log_joint(np.asarray([[0.0], [9.0]]), model)  # and nobody is told to be of it
    assert np.isneginf(joint[:, 1]).all()
    assert np.isfinite(joint[:, 0]).all()


def test_a_far_offset_keeps_the_variance():
    X = np.asarray([[0.0], [1.0], [0.0], [2.0]])
    near, far = (naive_bayes(X + c, members(np.asarray([0, 0, 1, 1]))) for c in (0.0, 2.0**30))
    assert_close(near.variance, far.variance)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: naive_bayes(np.ones((2, 3)), np.ones((3, 2))), ValueError, r"member \(3, 2\)"),
        (lambda: naive_bayes(np.ones(2), np.ones((2, 2))), ValueError, r"X has shape \(2,\)"),
        (lambda: naive_bayes(np.ones((2, 3)), np.ones((2, 2), int)), TypeError, "member has dtype"),
        (
            lambda: naive_bayes(np.ones((2, 3)), np.ones((2, 2)), var_smoothing=-1.0),
            ValueError,
            "var_smoothing is -1",
        ),
        (
            lambda: log_joint(np.ones((2, 4)), fitted(np.random.default_rng(0))[1]),
            ValueError,
            r"\(n, 3\) is needed",
        ),
        (lambda: log_shares(np.ones(2), alpha=0.0), ValueError, r"alpha is 0\.0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from dlkb.activations.sigmoid import sigmoid
from dlkb.classic_ml.trees import (
    Tree,
    bootstrap_counts,
    feature_subsets,
    grow_tree,
    leaf_index,
    mean_variance,
    predict_tree,
)
from tests.cases import Case
from tests.close import assert_close


def few(rng, outputs=()):
    """Whole numbers, exact in half precision, and no two gains alike."""
    X = np.stack([rng.permutation(9), rng.permutation(9) * 2], axis=1).astype(float)
    grad = np.asarray([5, -3, 2, 1, -8, 6, 4, -1, 3]) / 2 + rng.integers(0, 2, size=(9,))
    if outputs:
        grad = np.stack([grad, rng.integers(-3, 4, size=9).astype(float)], axis=1)
    return X, grad, np.full(9, 0.5)


def stump(rng):
    tree = Tree(np.asarray([1, 0, 0]), np.asarray([0.5, -1.0, np.inf]), rng.normal(size=4))
    return tree, rng.integers(-3, 3, size=(6, 2)).astype(float)


WHOLE = {"batch": (), "fixed": ("X", "grad", "hess", "tree", "like")}
CASES = [
    Case(grow_tree, lambda rng: (few(rng), {"depth": 0}), "leaf", **WHOLE),
    Case(grow_tree, lambda rng: (few(rng, (2,)), {
        "depth": 2, "l2": 0.5, "min_hess": 1.0, "min_gain": 2.0,
        "usable": np.asarray([[True, False], [True, True], [False, True]]),
    }), "options", **WHOLE),
    Case(leaf_index, lambda rng: (stump(rng), {}), **WHOLE, broadcasts=("tree", "X")),
    Case(predict_tree, lambda rng: (stump(rng), {}), **WHOLE, broadcasts=("tree", "X")),
    Case(bootstrap_counts, lambda rng: ((np.zeros(6),), {"generator": np.random.default_rng(1)}),
         **WHOLE),
    Case(feature_subsets, lambda rng: ((np.zeros((3, 5)),), {
        "size": 2, "generator": np.random.default_rng(1)}), **WHOLE),
    Case(mean_variance, lambda rng: ((rng.uniform(0, 1, size=4),), {"variance": 2.0, "trees": 5}),
         fixed=("correlation",)),
]  # fmt: skip


@pytest.mark.parametrize("depth", [0, 1, 3, 5])
def test_regression_tree_predicts_as_that_of_sklearn(depth):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)).astype(np.float32).astype(float)  # as scikit-learn rounds it
    y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + X[:, 2] + 0.1 * rng.normal(size=200)
    tree = grow_tree(X, -y, np.ones(200), depth=depth)
    new = rng.normal(size=(500, 4))
    if depth == 0:
        assert_close(predict_tree(tree, new), np.full(500, y.mean()))
        return
    oracle = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(X, y)
    if depth < 3:  # deeper, two features may part few examples alike
        assert_close(predict_tree(tree, new), oracle.predict(new))
    fit, theirs = predict_tree(tree, X), oracle.predict(X)
    assert_close(((fit - y) ** 2).sum(), ((theirs - y) ** 2).sum(), scale=10)


def test_classification_tree_is_that_of_sklearn_with_gini():
    X, labels = load_breast_cancer(return_X_y=True)
    X = X[:, [0, 1, 21, 24]].astype(np.float32).astype(float)
    y = np.eye(2)[labels]
    tree = grow_tree(X, -y, np.ones(len(X)), depth=3)
    oracle = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, labels)
    assert_close(predict_tree(tree, X), oracle.predict_proba(X))
    assert_close(tree.threshold[0], np.asarray(oracle.tree_.threshold[0]))


def boosted(X, y, *, rounds, lr, depth, loss, **options):
    score = np.zeros(len(y))
    for _ in range(rounds):
        if loss == "squared":
            grad, hess = score - y, np.ones(len(y))
        else:
            p = sigmoid(score)
            grad, hess = p - y, p * (1 - p)
        score = score + lr * predict_tree(grow_tree(X, grad, hess, depth=depth, **options), X)
    return score


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("l2", [0.0, 2.0])
def test_boosting_is_that_of_xgboost(loss, l2):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 4))
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=300)
    y = y if loss == "squared" else (y > 0).astype(float)
    objective = {"squared": "reg:squarederror", "logistic": "binary:logistic"}[loss]
    booster = xgboost.train(
        {
            "objective": objective, "base_score": 0.0 if loss == "squared" else 0.5, "eta": 0.3,
            "max_depth": 3, "lambda": l2, "min_child_weight": 1.0, "tree_method": "exact",
            "nthread": 1,
        },
        xgboost.DMatrix(X, y),
        num_boost_round=10,
    )  # fmt: skip
    theirs = booster.predict(xgboost.DMatrix(X), output_margin=True)
    ours = boosted(X, y, rounds=10, lr=0.3, depth=3, loss=loss, l2=l2, min_hess=1.0)
    assert_close(ours, theirs, dtype="float32", scale=10)


@pytest.mark.parametrize(("method", "leaves"), [("hist", 1), ("exact", 4)])
def test_xgboost_prunes_from_below_by_its_exact_method_alone(method, leaves):
    X = np.repeat([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [10, 10, 10, 11], axis=0)
    y = (X[:, 0] != X[:, 1]) + 0.1 * X[:, 0]  # the first split gains little, the next ones much
    y = y - y.mean()
    params = {
        "eta": 1.0, "max_depth": 2, "lambda": 0.0, "gamma": 1.0, "base_score": 0.0,
        "min_child_weight": 0.0, "tree_method": method, "nthread": 1,
    }  # fmt: skip
    booster = xgboost.train(params, xgboost.DMatrix(X, y), num_boost_round=1)
    assert len(np.unique(booster.predict(xgboost.DMatrix(X)).round(3))) == leaves
    stopped, free = (grow_tree(X, -y, np.ones(41), depth=2, min_gain=g) for g in (0.5, 0.0))
    assert len(np.unique(predict_tree(stopped, X).round(3))) == 1
    assert len(np.unique(predict_tree(free, X).round(3))) == 4


def test_boosting_is_that_of_lightgbm_where_every_value_has_a_bin():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 30, size=(400, 3)).astype(float)
    y = np.sin(X[:, 0] / 4) + X[:, 1] / 20 + 0.3 * rng.normal(size=400)
    params = {
        "objective": "regression", "boost_from_average": False, "learning_rate": 0.3,
        "max_depth": 3, "num_leaves": 8, "lambda_l2": 1.0, "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 5.0, "min_data_in_bin": 1, "verbose": -1, "num_threads": 1,
    }  # fmt: skip
    theirs = lightgbm.train(params, lightgbm.Dataset(X, y), num_boost_round=10).predict(X)
    ours = boosted(X, y, rounds=10, lr=0.3, depth=3, loss="squared", l2=1.0, min_hess=5.0)
    assert_close(ours, theirs, dtype="float32", scale=10)


def test_nan_goes_right_where_a_node_asks_and_into_no_empty_leaf():
    X, nan = np.asarray([[1.0], [2.0]]), np.asarray([[np.nan], [np.inf]])
    for depth in (1, 2, 3):
        tree = grow_tree(X, np.asarray([0.0, -5.0]), np.ones(2), depth=depth)
        assert predict_tree(tree, nan).tolist() == [5, 5]
    assert predict_tree(grow_tree(X[:1], -np.ones(1), np.ones(1), depth=2), nan).tolist() == [1, 1]


def test_absent_examples_do_not_count():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    counts = bootstrap_counts(y, generator=rng)
    drawn = np.repeat(np.arange(40), counts.astype(int))
    weighted = grow_tree(X, -y * counts, counts, depth=3)
    repeated = grow_tree(X[drawn], -y[drawn], np.ones(40), depth=3)
    for ours, theirs in zip(weighted, repeated, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize(("min_gain", "splits"), [(0.99, True), (1.01, False)])
def test_a_split_must_gain_more(min_gain, splits):
    X, y = np.asarray([[0.0], [1.0]]), np.asarray([0.0, 2.0])  # the gain is 1
    tree = grow_tree(X, -y, np.ones(2), depth=1, min_gain=min_gain)
    assert (tree.threshold[0] == 0.5) == splits
    assert predict_tree(tree, X).tolist() == ([0, 2] if splits else [1, 1])


def test_nodes_split_at_usable_features_alone():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    usable = feature_subsets(np.zeros((7, 5)), size=2, generator=rng)
    tree = grow_tree(X, -y, np.ones(60), depth=3, usable=usable)
    assert usable[np.arange(7), tree.feature].all()
    nothing = grow_tree(X, -y, np.ones(60), depth=1, usable=np.zeros((1, 5), bool))
    assert np.isinf(nothing.threshold).all()


def test_of_equal_gains_the_first_feature_counts():
    y = np.asarray([0.0, 1.0, 0.0, 1.0])
    X = np.asarray([[1.0, 0.0], [3.0, 1.0], [2.0, 0.0], [4.0, 1.0]])  # either parts the targets
    assert grow_tree(X, -y, np.ones(4), depth=1).feature.tolist() == [0]
    assert grow_tree(X[:, ::-1], -y, np.ones(4), depth=1).threshold.tolist() == [0.5]
    zigzag = np.asarray([1.0, 0.0, 0.0, 1.0])  # the first and the last cut gain alike
    assert grow_tree(np.arange(4.0)[:, None], -zigzag, np.ones(4), depth=1).threshold == 0.5


def test_one_example_and_equal_examples_make_one_leaf():
    for n in (1, 4):
        tree = grow_tree(np.ones((n, 2)), -np.arange(float(n)), np.ones(n), depth=2)
        assert np.isinf(tree.threshold).all()
        assert predict_tree(tree, np.zeros((1, 2))) == (n - 1) / 2


def test_nan_goes_right():
    tree, _ = stump(np.random.default_rng(0))
    assert leaf_index(tree, np.asarray([[0.0, np.nan], [np.nan, 0.0], [-1.0, 0.5]])).tolist() == [
        2,
        1,
        0,
    ]


def test_neighbours_that_sum_beyond_the_largest_number():
    X = np.asarray([[1.6e308], [1.7e308]])
    assert np.isfinite(grow_tree(X, np.asarray([1.0, -1.0]), np.ones(2), depth=1).threshold[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_without_a_number_between(dtype):
    one = np.asarray(1.0, dtype)
    odd = np.nextafter(one, dtype(2))
    X = np.asarray([[one], [odd], [np.nextafter(odd, dtype(2))]])
    assert (X[1:] / 2 + X[:-1] / 2 == X[[0, 2]]).all()  # a middle rounds to either side
    for y in ([0, 1, 1], [0, 0, 1]):
        tree = grow_tree(X, -np.asarray(y, dtype), np.ones(3, dtype), depth=1)
        assert_close(predict_tree(tree, X), np.asarray(y, dtype))


def test_bootstrap_draws_with_replacement():
    rng = np.random.default_rng(5)
    counts = np.stack([bootstrap_counts(np.zeros(50), generator=rng) for _ in range(400)])
    assert (counts.sum(1) == 50).all()
    assert abs((counts == 0).mean() - (1 - 1 / 50) ** 50) < 0.01
    assert abs(counts.mean(0) - 1).max() < 0.25
    assert bootstrap_counts(np.zeros(0), generator=rng).shape == (0,)


def test_subsets_of_one_size_all_alike():
    subsets = feature_subsets(np.zeros((4000, 5)), size=2, generator=np.random.default_rng(6))
    assert (subsets.sum(1) == 2).all()
    kinds, counts = np.unique(subsets, axis=0, return_counts=True)
    assert len(kinds) == 10
    assert abs(counts - 400).max() < 80


def test_variance_of_a_mean():
    rng = np.random.default_rng(7)
    common, own = rng.normal(size=200_000), rng.normal(size=(200_000, 4))
    mean = (0.6**0.5 * common[:, None] + 0.4**0.5 * own).mean(1)
    assert abs(3 * mean.var() - mean_variance(0.6, variance=3.0, trees=4)) < 0.02
    assert mean_variance(0.6, variance=2.0, trees=np.inf) == 1.2


def test_numbers_at_the_end_of_the_dtype():
    rng = np.random.default_rng(0)
    X, y, h = rng.uniform(-1, 1, size=(20, 2)), rng.uniform(-1, 1, size=20), rng.random(20)
    top = 2.0**1023
    usual = grow_tree(X, y, h, depth=2, l2=0.1, min_gain=0.1)
    huge = grow_tree(X * top, y * top, h * top, depth=2, l2=0.1 * top, min_gain=0.1 * top)
    assert huge.feature.tolist() == usual.feature.tolist()
    assert_close(huge.threshold / top, usual.threshold)
    assert_close(huge.value, usual.value)
    assert np.isfinite(usual.threshold).all()
    values = grow_tree(X, y * 2.0**1000, h, depth=2, l2=0.1).value
    assert_close(values / 2.0**1000, grow_tree(X, y, h, depth=2, l2=0.1).value)
    stopped = grow_tree(X, y * 2.0**505, h, depth=1, min_gain=1e306)  # no gain is as large
    assert np.isinf(stopped.threshold).all()


ONE = np.ones((2, 2)), np.ones(2), np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: grow_tree(np.ones(2), *ONE[1:], depth=1), ValueError, r"\(n, p\) is needed"),
        (lambda: grow_tree(*ONE[:2], np.ones(3), depth=1), ValueError, r"hess \(3,\)"),
        (lambda: grow_tree(*ONE, depth=-1), ValueError, "depth is -1"),
        (lambda: grow_tree(*ONE, depth=1, l2=-1.0), ValueError, "l2 is -1"),
        (lambda: grow_tree(*ONE, depth=1, min_hess=-1.0), ValueError, "min_hess is -1"),
        (lambda: grow_tree(*ONE, depth=1, min_gain=-1.0), ValueError, "min_gain is -1"),
        (
            lambda: grow_tree(*ONE, depth=2, usable=np.ones((1, 2), bool)),
            ValueError,
            r"usable has shape \(1, 2\): \(3, 2\)",
        ),
        (lambda: leaf_index(stump(np.random.default_rng(0))[0], np.ones(2, int)), TypeError, "X"),
        (
            lambda: leaf_index(stump(np.random.default_rng(0))[0], np.ones(2)),
            ValueError,
            r"X has shape \(2,\): \(n, p\) is needed",
        ),
        (
            lambda: bootstrap_counts(np.zeros(2), generator=3),
            TypeError,
            "generator is int",
        ),
        (
            lambda: bootstrap_counts(np.zeros((2, 2)), generator=np.random.default_rng(0)),
            ValueError,
            r"\(n,\) is needed",
        ),
        (
            lambda: feature_subsets(np.zeros(3), size=1, generator=np.random.default_rng(0)),
            ValueError,
            r"\(nodes, p\) is needed",
        ),
        (
            lambda: feature_subsets(np.zeros((1, 3)), size=4, generator=np.random.default_rng(0)),
            ValueError,
            "size is 4",
        ),
        (lambda: mean_variance(1.5, variance=1.0, trees=1), ValueError, r"correlation is 1\.5"),
        (lambda: mean_variance(0.5, variance=-1.0, trees=1), ValueError, "variance is -1"),
        (lambda: mean_variance(0.5, variance=1.0, trees=0), ValueError, "trees is 0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_numpy_keep_the_dtype_of_a_variance():
    correlation, numbers = np.ones(2, np.float32), {"variance": np.float64(2), "trees": np.ones(())}
    assert mean_variance(correlation, **numbers).dtype == "f4"

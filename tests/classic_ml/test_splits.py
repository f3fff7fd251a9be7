import numpy as np
import pytest
from scipy import stats
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from dlkb.classic_ml.splits import entropy, gini, leaf_weight, split_gains
from tests.cases import Case
from tests.close import assert_close


def few(rng, outputs=()):
    """Whole numbers, exact in half precision; two examples are equal in x."""
    x = np.asarray([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    return x, rng.integers(-4, 5, size=(7, *outputs)) / 2, rng.integers(1, 5, size=7) / 4


CASES = [
    Case(gini, lambda rng: (((rng.uniform(1, 5, size=(3, 4)),)), {})),
    Case(entropy, lambda rng: (((rng.uniform(1, 5, size=(3, 4)),)), {})),
    Case(leaf_weight, lambda rng: ((rng.normal(size=(3, 2)), rng.uniform(1, 2, size=(3, 1))), {}),
         "zero", broadcasts=("grad", "hess")),
    Case(leaf_weight, lambda rng: ((rng.normal(size=3), rng.uniform(1, 2, size=3)), {"l2": 0.5}),
         broadcasts=("grad", "hess")),
    Case(split_gains, lambda rng: (few(rng), {}), "plain", batch=(), fixed=("x", "grad", "hess")),
    Case(split_gains, lambda rng: (few(rng, (2,)), {"l2": 0.5, "min_hess": 1.25}), "options",
         batch=(), fixed=("x", "grad", "hess")),
]  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def test_impurities(rng):
    counts = rng.uniform(0, 5, size=(6, 4))
    p = counts / counts.sum(1, keepdims=True)
    assert_close(gini(counts), 1 - (p**2).sum(1))
    assert_close(entropy(counts), stats.entropy(counts, axis=1))
    for impurity in (gini, entropy):
        assert impurity(np.asarray([[0.0, 0.0], [0.0, 3.0]])).tolist() == [0, 0]
        assert not np.signbit(impurity(np.asarray([3.0, 0.0])))
    assert_close(gini(np.ones(5)), np.asarray(0.8))
    assert_close(entropy(np.ones(5)), np.log(np.asarray(5.0)))


def test_leaf_weight():
    assert_close(leaf_weight(np.asarray([3.0]), np.asarray([4.0]), l2=2.0), np.asarray([-0.5]))
    assert leaf_weight(np.asarray([3.0]), np.zeros(1)).tolist() == [0]
    assert_close(leaf_weight(np.asarray([3.0]), np.zeros(1), l2=2.0), np.asarray([-1.5]))


def brute(x, y, error):
    """Weighted error before, minus the least after, for each threshold between neighbours."""
    cuts = np.unique(x)
    return {t: error(y) - error(y[x <= t]) - error(y[x > t]) for t in (cuts[1:] + cuts[:-1]) / 2}


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_gain_is_half_the_fall_of_the_squared_error(rng, outputs):
    x, y = rng.integers(0, 6, size=20).astype(float), rng.normal(size=(20, *outputs))
    found = split_gains(x, -y, np.ones(20))
    expected = brute(x, y, lambda part: ((part - part.mean(0)) ** 2).sum())
    for threshold, gain in zip(*found, strict=True):
        at = threshold in expected and gain > 0
        assert_close(2 * gain, np.asarray(expected[threshold] if at else 0.0), scale=10)
    assert set(found.threshold[found.gain > 0]) == set(expected)


def test_gain_is_half_the_fall_of_gini_times_the_count(rng):
    x, y = rng.normal(size=30), np.eye(3)[rng.integers(0, 3, size=30)]
    found = split_gains(x, -y, np.ones(30))
    expected = brute(x, y, lambda part: len(part) * gini(part.sum(0)))
    assert_close(2 * found.gain, np.asarray(list(expected.values())), scale=10)


@pytest.mark.parametrize("kind", ["regression", "gini"])
def test_best_split_is_that_of_sklearn(rng, kind):
    x = rng.normal(size=50).astype(np.float32).astype(float)  # as scikit-learn rounds it
    if kind == "gini":
        labels = (x + rng.normal(size=50) > 0).astype(int)
        y, oracle = np.eye(2)[labels], DecisionTreeClassifier(max_depth=1).fit(x[:, None], labels)
    else:
        y = np.sin(x) + 0.1 * rng.normal(size=50)
        oracle = DecisionTreeRegressor(max_depth=1).fit(x[:, None], y)
    found = split_gains(x, -y, np.ones(50))
    best = found.gain.argmax()
    assert_close(found.threshold[best], np.asarray(oracle.tree_.threshold[0]))
    impurity, weights = oracle.tree_.impurity, oracle.tree_.n_node_samples
    fall = weights[0] * impurity[0] - weights[1:3] @ impurity[1:3]
    assert_close(2 * found.gain[best], np.asarray(fall), scale=10)


def test_weights_repeat_examples(rng):
    x, y = np.arange(5.0), rng.normal(size=5)
    repeat = np.asarray([1, 3, 2, 1, 2])
    weighted = split_gains(x, -y * repeat, repeat.astype(float))
    repeated = split_gains(np.repeat(x, repeat), -np.repeat(y, repeat), np.ones(9))
    assert_close(weighted.gain, repeated.gain[repeated.gain > 0], scale=10)


@pytest.mark.parametrize(("min_hess", "allowed"), [(2.0, [1, 2, 3]), (2.1, [2])])
def test_each_side_needs_its_curvature(min_hess, allowed):
    y = np.asarray([5.0, 1.0, -3.0, 4.0, -7.0, 2.0])
    gain = split_gains(np.arange(6.0), -y, np.ones(6), min_hess=min_hess).gain
    assert np.flatnonzero(gain).tolist() == allowed


def test_the_penalty_lowers_gains_and_may_turn_them():
    x, g, h = np.arange(2.0), np.asarray([1.0, 1.2]), np.ones(2)
    assert split_gains(x, g, h).gain > 0
    assert split_gains(x, g, h, l2=1.0).gain < 0


def test_a_side_without_curvature_is_no_side_whatever_the_penalty():
    x, g = np.arange(3.0), np.asarray([1.0, -1.0, 0.5])
    found = split_gains(x, g, np.asarray([0.0, 1.0, 1.0]), l2=1.0)
    assert found.gain[0] == 0
    assert found.gain[1] != 0


def test_thresholds_part_neighbours_without_a_number_between():
    x = 2.0**24 + np.asarray([0.0, 2.0, 4.0, 6.0], np.float32)  # neighbours in float32
    threshold = split_gains(x, np.ones(4, np.float32), np.ones(4, np.float32)).threshold
    assert (x[:-1] <= threshold).all()
    assert (threshold < x[1:]).all()


def test_one_example_has_no_split():
    assert split_gains(np.ones(1), np.ones(1), np.ones(1)).gain.shape == (0,)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_numbers_at_the_end_of_the_dtype(dtype):
    """Sums of gradients, curvatures and neighbours overflow; their quotients do not."""
    top = np.finfo(dtype).max
    x = np.asarray([-0.99, -0.6, 0.6, 0.99], dtype) * top
    y, h = np.asarray([0.6, 0.55, -0.6, -0.5], dtype), np.full(4, 0.9, dtype)
    usual = split_gains(x / top, y, h, l2=0.1, min_hess=0.85)
    found = split_gains(x, y * top, h * top, l2=0.1 * float(top), min_hess=0.85 * float(top))
    assert_close(found.gain / top, usual.gain, dtype=np.dtype(dtype).name)
    assert_close(found.threshold / top, usual.threshold, dtype=np.dtype(dtype).name)
    with np.errstate(over="ignore"):
        assert split_gains(x, y * top, h).gain.tolist() == [np.inf] * 3
    if dtype != np.float16:  # which is widened
        small = split_gains(x, y, h * top, l2=0.1 * float(top)).gain
        expected = split_gains(x / top, y, h, l2=0.1).gain
        assert_close(small * top, expected, dtype=np.dtype(dtype).name, scale=1e3)


def test_scaling_rounds_nothing():
    rng = np.random.default_rng(0)
    x, g, h = rng.normal(size=9), rng.normal(size=(9, 2)), rng.random(9)
    expected = split_gains(x, g, h).gain
    for a, b in ((2.0**480, 2.0**400), (2.0**505, 2.0**505), (2.0**505, 1.0)):
        found = split_gains(x, g * a, h * b).gain
        assert (found / a / a * b == expected).all()


def test_a_huge_gradient_whose_square_overflows_beside_a_huge_curvature():
    found = split_gains(np.arange(2.0), np.asarray([-1e160, 1e160]), np.full(2, 1e160))
    assert_close(found.gain / 1e160, np.asarray([1.0]))


def test_a_tiny_gradient_whose_square_underflows_beside_a_tiny_curvature():
    found = split_gains(np.arange(2.0), np.asarray([-1e-180, 1e-180]), np.full(2, 1e-180))
    assert_close(found.gain * 1e180, np.asarray([1.0]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gini(np.ones(2, int)), TypeError, "counts has dtype int64"),
        (lambda: entropy([1.0]), TypeError, "counts is list"),
        (lambda: leaf_weight(np.ones(1), np.ones(1), l2=-1.0), ValueError, r"l2 is -1\.0"),
        (lambda: split_gains(np.ones(2), np.ones(3), np.ones(2)), ValueError, r"grad \(3,\)"),
        (lambda: split_gains(np.ones((2, 2)), np.ones(2), np.ones(2)), ValueError, "one feature"),
        (lambda: split_gains(np.ones(2), np.ones(2), np.ones(3)), ValueError, r"\(3,\): \(n, …\)"),
        (lambda: split_gains(*[np.ones(2)] * 3, min_hess=-1.0), ValueError, "min_hess is -1"),
        (lambda: split_gains(*[np.ones(2)] * 3, l2=-1.0), ValueError, "l2 is -1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

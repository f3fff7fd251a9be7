import numpy as np
import pytest

from dlkb.classic_ml.boosting import goss_weights, target_statistics
from tests.cases import Case
from tests.close import assert_close


def labelled(rng):
    return rng.integers(0, 3, size=8), rng.integers(0, 2, size=8).astype(float)


RATES = {"top_rate": 0.25, "other_rate": 0.5}
CASES = [
    Case(goss_weights, lambda rng: ((rng.permutation(8) / 8, rng.permutation(8) / 8), RATES),
         batch=(), fixed=("size", "draws")),
    Case(target_statistics, lambda rng: (labelled(rng), {"prior": 0.5, "strength": 2.0}),
         batch=(), fixed=("category", "y")),
    Case(target_statistics, lambda rng: (labelled(rng), {"prior": 0.25, "ordered": False}), "all",
         batch=(), fixed=("category", "y")),
]  # fmt: skip


def test_largest_are_kept_and_the_rest_is_drawn():
    rng = np.random.default_rng(0)
    size = np.abs(rng.normal(size=100))
    weight = goss_weights(size, rng.random(100))
    top = np.argsort(-size)[:20]
    assert (weight[top] == 1).all()
    rest = np.delete(weight, top)
    assert sorted(set(rest)) == [0, 8]
    assert (rest == 8).sum() == 10


def test_sums_are_right_on_average_and_without_weights_are_not():
    rng = np.random.default_rng(1)
    grad = rng.normal(size=200)
    draws = rng.random(size=(3000, 200))
    weights = np.stack([goss_weights(abs(grad), d, top_rate=0.3, other_rate=0.2) for d in draws])
    assert abs((weights @ grad).mean() - grad.sum()) < 0.6
    assert abs((weights @ abs(grad)).mean() - abs(grad).sum()) < 0.6
    assert abs(((weights > 0) @ abs(grad)).mean() - abs(grad).sum()) > 10
    assert_close(weights.sum(1), np.full(3000, 200.0))


@pytest.mark.parametrize("rates", [(0.0, 1.0), (1.0, 0.0), (0.5, 0.5), (0.0, 0.0)])
def test_extreme_rates(rates):
    rng = np.random.default_rng(2)
    weight = goss_weights(rng.random(10), rng.random(10), top_rate=rates[0], other_rate=rates[1])
    assert weight.tolist() == [float(sum(rates))] * 10
    assert goss_weights(np.zeros(0), np.zeros(0)).shape == (0,)


def test_an_infinite_gradient_has_a_weight():
    size, draws = np.asarray([np.inf, np.inf, 1.0, 1.0, 1.0]), np.arange(5) / 5
    assert goss_weights(size, draws, top_rate=0.2, other_rate=0.0).tolist() == [1, 0, 0, 0, 0]


def test_ordered_statistics_see_what_comes_before():
    rng = np.random.default_rng(3)
    category, y = rng.integers(0, 4, size=50), rng.normal(size=50)
    found = target_statistics(category, y, prior=0.3, strength=2.0)
    for i in range(50):
        before = y[:i][category[:i] == category[i]]
        assert_close(found[i], np.asarray((before.sum() + 0.6) / (len(before) + 2)))
    y[30] += 100  # no statistic up to the example itself moves
    moved = np.flatnonzero(target_statistics(category, y, prior=0.3, strength=2.0) != found)
    assert moved.min() > 30
    assert (category[moved] == category[30]).all()


def test_statistics_of_all_leak_the_target():
    category, y = np.arange(6), np.arange(6.0)
    assert target_statistics(category, y, prior=2.0).tolist() == [2.0] * 6
    assert_close(target_statistics(category, y, prior=2.0, ordered=False), (y + 2) / 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: goss_weights(np.ones(2), np.ones(3)), ValueError, r"draws has shape \(3,\)"),
        (lambda: goss_weights(np.ones((2, 2)), np.ones((2, 2))), ValueError, r"\(n,\) is needed"),
        (lambda: goss_weights(np.ones(2), np.ones(2), top_rate=-0.1), ValueError, "top_rate is"),
        (lambda: goss_weights(np.ones(2), np.ones(2), other_rate=2.0), ValueError, "other_rate is"),
        (lambda: goss_weights(np.ones(2), np.ones(2), top_rate=1.0), ValueError, "rate is 1.1"),
        (
            lambda: target_statistics(np.ones(2), np.ones(2), prior=0.5),
            TypeError,
            "category has dtype float64",
        ),
        (
            lambda: target_statistics(np.ones(2, int), np.ones(3), prior=0.5),
            ValueError,
            r"category has shape \(2,\)",
        ),
        (
            lambda: target_statistics(np.ones((2, 2), int), np.ones((2, 2)), prior=0.5),
            ValueError,
            r"y has shape \(2, 2\)",
        ),
        (
            lambda: target_statistics(np.ones(2, int), np.ones(2), prior=0.5, strength=0.0),
            ValueError,
            r"strength is 0\.0",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

import math

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit

from dlkb.losses.model_selection import (
    expected_best,
    grouped_folds,
    k_fold,
    optimism_bound,
    ordered_folds,
)
from tests.cases import Case

CASES = [
    Case(k_fold, lambda rng: ((11,), {"folds": 4})),
    Case(grouped_folds, lambda rng: (("aabbbcddddee",), {"folds": 3})),
    Case(ordered_folds, lambda rng: ((23,), {"folds": 3, "gap": 2})),
    Case(expected_best, lambda rng: ((), {"models": 20, "examples": 50, "accuracy": 0.7})),
    Case(optimism_bound, lambda rng: ((), {"models": 20, "sigma": 0.1})),
]


def as_arrays(folds):
    return [(np.asarray(train), np.asarray(test)) for train, test in folds]


def assert_folds(ours, theirs):
    pairs = list(zip(as_arrays(ours), theirs, strict=True))
    assert pairs
    for (train, test), (wanted_train, wanted_test) in pairs:
        assert np.array_equal(train, wanted_train)
        assert np.array_equal(test, wanted_test)


@pytest.mark.parametrize(("n", "folds"), [(10, 5), (11, 4), (7, 7), (100, 3), (2, 2)])
def test_k_fold_is_that_of_scikit_learn(n, folds):
    assert_folds(k_fold(n, folds=folds), KFold(folds).split(np.zeros(n)))


@pytest.mark.parametrize(("n", "folds", "gap"), [(23, 3, 0), (23, 3, 4), (24, 5, 1), (12, 11, 0)])
def test_ordered_folds_are_those_of_scikit_learn(n, folds, gap):
    theirs = TimeSeriesSplit(folds, gap=gap).split(np.zeros(n))
    assert_folds(ordered_folds(n, folds=folds, gap=gap), theirs)


def test_grouped_folds_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    sizes = rng.permutation(np.arange(1, 13))  # no two alike: the order of equals is free
    groups = rng.permutation(np.repeat(np.arange(12), sizes))
    ours = as_arrays(grouped_folds(groups.tolist(), folds=4))
    theirs = GroupKFold(4).split(groups, groups=groups)
    assert {tuple(test) for _, test in ours} == {tuple(test) for _, test in theirs}


def test_no_group_is_on_both_sides_and_each_example_is_scored_once():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 20, size=200)
    folds = as_arrays(grouped_folds(groups.tolist(), folds=5))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert sorted([*train, *test]) == list(range(200))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(200))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= np.bincount(groups).max()


@pytest.mark.parametrize("n", [1, 10, 101])
@pytest.mark.parametrize("accuracy", [0.5, 0.93])
def test_the_expected_best_is_that_of_the_binomial_law(n, accuracy):
    for models in (1, 2, 50, 10_000):
        below = stats.binom.cdf(np.arange(n), n, accuracy) ** models
        expected = (1 - below).sum() / n
        found = expected_best(models=models, examples=n, accuracy=accuracy)
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_expected_best_of_very_many_models_keeps_its_digits():
    for n, accuracy, models in ((5000, 0.001, 10**12), (2000, 0.9, 10**15)):
        above = stats.binom.sf(np.arange(n), n, accuracy)
        lost = np.log1p(-np.minimum(above, 1 - 1e-16))
        expected = -np.expm1(models * lost).sum() / n
        found = expected_best(models=models, examples=n, accuracy=accuracy)
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_expected_best_is_that_of_draws():
    rng = np.random.default_rng(2)
    best = rng.binomial(100, 0.8, size=(4000, 30)).max(1) / 100
    assert expected_best(models=30, examples=100, accuracy=0.8) == pytest.approx(
        best.mean(), abs=4 * best.std() / 4000**0.5
    )
    assert expected_best(models=1, examples=37, accuracy=0.8) == pytest.approx(0.8)
    assert expected_best(models=10**9, examples=3, accuracy=0.5) == pytest.approx(1)
    assert expected_best(models=5, examples=20_000, accuracy=0.9) < 0.904


def test_the_bound_lies_above_the_mean_of_draws_and_of_the_binomial_law():
    rng = np.random.default_rng(3)
    for models in (2, 10, 1000):
        best = rng.normal(size=(500, models)).max(1).mean()
        bound = optimism_bound(models=models, sigma=1.0)
        assert 0.4 * bound < best < bound
        for n in (20, 500):
            for accuracy in (0.5, 0.9):
                found = expected_best(models=models, examples=n, accuracy=accuracy) - accuracy
                assert found < optimism_bound(models=models, sigma=0.5 / math.sqrt(n))
    assert optimism_bound(models=1, sigma=3.0) == 0
    assert optimism_bound(models=1000, sigma=2.0) == pytest.approx(2 * np.sqrt(2 * np.log(1000)))


def test_folds_out_of_range():
    for call in (
        lambda: k_fold(10, folds=1),
        lambda: grouped_folds("abc", folds=1),
        lambda: ordered_folds(10, folds=1),
    ):
        with pytest.raises(ValueError, match=r"folds is 1: it must lie in \[2, inf"):
            call()
    with pytest.raises(ValueError, match=r"examples is 4: it must lie in \[5, inf"):
        k_fold(4)
    with pytest.raises(ValueError, match="groups holds 2 groups: 3 folds need as many at least"):
        grouped_folds("aabb", folds=3)
    with pytest.raises(ValueError, match=r"examples is 5: it must lie in \[6, inf"):
        ordered_folds(5)
    assert ordered_folds(7, folds=2, gap=2)[0].train == (0,)
    for gap in (-1, 3):
        with pytest.raises(ValueError, match=rf"gap is {gap}: it must lie in \[0, 2\]"):
            ordered_folds(7, folds=2, gap=gap)


@pytest.mark.parametrize("library", [np.asarray, torch.tensor, jnp.asarray])
def test_groups_may_be_an_array(library):
    groups = [3, 1, 3, 2, 1, 3]
    assert grouped_folds(library(groups), folds=2) == grouped_folds(groups, folds=2)


def test_numbers_out_of_range():
    with pytest.raises(ValueError, match="models is 0"):
        expected_best(models=0, examples=5)
    with pytest.raises(ValueError, match="examples is 0"):
        expected_best(models=1, examples=0)
    for accuracy in (0.0, 1.0):
        with pytest.raises(ValueError, match=rf"accuracy is {accuracy}: .* \(0, 1\)"):
            expected_best(models=1, examples=5, accuracy=accuracy)
    with pytest.raises(ValueError, match="models is 0"):
        optimism_bound(models=0, sigma=1.0)
    with pytest.raises(ValueError, match=r"sigma is -0.1"):
        optimism_bound(models=2, sigma=-0.1)

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from dlkb.classic_ml.neighbours_and_clusters import (
    distances,
    inertia,
    lloyd_step,
    nearest,
    neighbour_mean,
    plus_plus,
    plus_plus_bound,
    votes,
)
from tests.cases import Case
from tests.close import assert_close


def apart(rng, n=4, m=6, d=3):
    """Points of small integers, which half precision keeps, without two equal distances."""
    while True:
        x, y = (np.round(8 * rng.normal(size=(rows, d))) for rows in (n, m))
        every = np.concatenate([cdist(x, y), cdist(np.zeros((1, d)), y)])
        if (np.diff(np.sort(every), axis=-1) > 0.2).all():
            return x, y


def labels():
    return np.asarray([0, 1, 2, 1, 0, 2])


CASES = [
    Case(distances, lambda rng: (apart(rng), {})),
    Case(nearest, lambda rng: (apart(rng), {"k": 2})),
    Case(
        votes,
        lambda rng: ((*apart(rng), labels()), {"k": 4, "classes": 3}),
    ),
    Case(
        votes,
        lambda rng: (
            (*apart(rng), labels()),
            {"k": 4, "classes": 3, "weights": "distance"},
        ),
        "distance",
    ),
    Case(
        neighbour_mean,
        lambda rng: ((*apart(rng), rng.normal(size=6)), {"k": 3}),
    ),
    Case(inertia, lambda rng: (apart(rng, 6, 2), {})),
    Case(lloyd_step, lambda rng: (apart(rng, 6, 3), {})),
    Case(
        plus_plus,
        lambda rng: ((apart(rng)[1], rng.uniform(size=(3, 6))), {}),
        fixed=("u",),
    ),
    Case(plus_plus_bound, lambda rng: ((7,), {})),
]


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 1, 1), (0, 4, 2), (4, 1, 6)])
def test_distances_are_those_of_scipy(shape):
    n, m, d = shape
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    assert_close(distances(x, y), cdist(x, y))
    assert_close(distances(x + 1e8, y + 1e8), cdist(x + 1e8, y + 1e8))


def test_points_without_coordinates_are_at_distance_zero():
    for ones in (np.ones, torch.ones):
        assert distances(ones((2, 0)), ones((3, 0))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_distance_of_what_is_extreme():
    far = np.asarray([[3e200, 4e200], [3e-200, 4e-200], [math.inf, 0.0], [0.0, 0.0]])
    found = distances(np.zeros((1, 2)), far)[0]
    np.testing.assert_allclose(found, [5e200, 5e-200, math.inf, 0.0], rtol=1e-14)


def test_equal_distances_stay_equal():
    # (3, 4) and (5, 0) are equally far: divided by their largest entries, they might not be.
    grid = np.asarray(list(itertools.product(range(-9, 10), repeat=2)), dtype=float)
    squares = (grid**2).sum(1)
    found = distances(np.zeros((1, 2)), grid)[0]
    for square in np.unique(squares):
        assert len(set(found[squares == square])) == 1


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_votes_and_means_are_those_of_scikit_learn(k, weights):
    rng = np.random.default_rng(k)
    points, x = rng.normal(size=(40, 3)), rng.normal(size=(25, 3))
    x[0] = points[7]  # at distance zero
    classes, targets = rng.integers(0, 4, 40), rng.normal(size=40)
    theirs = KNeighborsClassifier(k, weights=weights, algorithm="brute").fit(points, classes)
    counted = votes(x, points, classes, k=k, classes=4, weights=weights)
    assert_close(counted / counted.sum(-1, keepdims=True), theirs.predict_proba(x))
    assert (counted.argmax(-1) == theirs.predict(x)).all()
    distance, index = theirs.kneighbors(x)
    found = nearest(x, points, k=k)
    assert_close(found.distance, distance, scale=1e4)  # theirs expands the square
    assert (found.index == index).all()
    mean = KNeighborsRegressor(k, algorithm="brute").fit(points, targets).predict(x)
    assert_close(neighbour_mean(x, points, targets, k=k), mean)


def test_of_equal_votes_and_distances_the_first_wins():
    points, x = np.asarray([[1.0], [-1.0], [2.0], [-2.0]]), np.zeros((1, 1))
    assert nearest(x, points, k=3).index.tolist() == [[0, 1, 2]]
    assert nearest(x, points[::-1].copy(), k=3).index.tolist() == [[2, 3, 0]]
    for classes in ([2, 1, 1, 2], [1, 2, 2, 1]):
        counted = votes(x, points, np.asarray(classes), k=4, classes=3)
        assert counted.tolist() == [[0.0, 2.0, 2.0]]
        assert counted.argmax() == 1


def test_votes_of_what_is_hardly_apart_and_of_what_is_too_far_for_half_precision():
    points = np.asarray([[5e-324], [1.0]])
    with np.errstate(over="ignore"):  # 1/d
        counted = votes(0 * points[:1], points, labels()[:2], k=2, classes=2, weights="distance")
    assert counted.tolist() == [[math.inf, 1.0]]
    far = np.asarray([[6e4], [-6e4]], dtype=np.float16)
    counted = votes(far[:1], far[1:], labels()[:1], k=1, classes=1, weights="distance")
    assert_close(counted, np.asarray([[1 / 120_000]]), dtype="float16")
    assert counted > 0


def until_it_stays(x, centers):
    for _ in range(100):
        moved = lloyd_step(x, centers)
        if np.array_equal(moved, centers):
            return centers
        centers = moved
    raise AssertionError("k-means goes on")


@pytest.mark.parametrize("shape", [(60, 2, 4), (30, 5, 1), (9, 1, 9)])
def test_lloyd_is_that_of_scikit_learn(shape):
    n, d, k = shape
    x = np.random.default_rng(n).normal(size=(n, d)) + 3
    start = x[:k]
    theirs = KMeans(k, init=start, n_init=1, algorithm="lloyd", tol=0).fit(x)
    centers = until_it_stays(x, start)
    assert_close(centers, theirs.cluster_centers_)
    assert_close(inertia(x, centers), theirs.inertia_)
    assert (distances(x, centers).argmin(1) == theirs.labels_).all()


def test_no_step_makes_the_inertia_larger_and_the_last_is_a_fixed_point():
    rng = np.random.default_rng(4)
    for _ in range(20):
        x, centers = rng.normal(size=(50, 2)), rng.normal(size=(5, 2)) * 3
        found = [inertia(x, centers)]
        for _ in range(30):
            centers = lloyd_step(x, centers)
            found.append(inertia(x, centers))
        assert (np.diff(found) <= 1e-12).all()
        assert found[-1] == found[-2]


def test_a_center_without_points_stays_and_a_tie_goes_to_the_first():
    x = np.asarray([[0.0], [2.0]])
    assert lloyd_step(x, np.asarray([[1.0], [50.0]])).tolist() == [[1.0], [50.0]]
    assert lloyd_step(x, np.asarray([[-1.0], [1.0], [3.0]])).tolist() == [[0.0], [2.0], [3.0]]


def test_plus_plus_draws_in_proportion_to_the_squared_distance():
    x = np.asarray([[0.0], [1.0], [3.0], [6.0]])
    rng = np.random.default_rng(5)
    u = rng.uniform(size=(40_000, 3, 4))
    centers = plus_plus(np.broadcast_to(x, (40_000, 4, 1)), u)[..., 0]
    first = [(centers[:, 0] == value).mean() for value in x[:, 0]]
    np.testing.assert_allclose(first, 0.25, atol=0.015)
    from_zero = centers[centers[:, 0] == 0]
    second = [(from_zero[:, 1] == value).mean() for value in x[:, 0]]
    np.testing.assert_allclose(second, [0, 1 / 46, 9 / 46, 36 / 46], atol=0.02)
    third = from_zero[from_zero[:, 1] == 6, 2]  # 1 is 1 from 0, and 3 is 3 from both
    np.testing.assert_allclose([(third == 1).mean(), (third == 3).mean()], [0.1, 0.9], atol=0.02)
    assert all(len(set(row)) == 3 for row in centers[:500].tolist())


def test_plus_plus_with_fewer_points_than_centers_repeats_them():
    u = np.random.default_rng(6).uniform(size=(3, 5))
    assert plus_plus(np.ones((5, 2)), u).tolist() == [[1.0, 1.0]] * 3
    found = plus_plus(np.asarray([[0.0], [2.0]]), np.zeros((3, 2)))
    assert set(found[:2, 0].tolist()) == {0.0, 2.0}


def test_plus_plus_keeps_to_its_bound_and_a_uniform_start_does_not():
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(size=(10, 2)) + c for c in ((0, 0), (900, 0), (0, 900))])
    best = inertia(x, np.stack([x[:10].mean(0), x[10:20].mean(0), x[20:].mean(0)]))
    drawn = [inertia(x, plus_plus(x, rng.uniform(size=(3, 30)))) for _ in range(300)]
    plain = [inertia(x, x[rng.choice(30, 3, replace=False)]) for _ in range(300)]
    assert np.mean(drawn) < plus_plus_bound(3) * best < np.mean(plain)
    assert plus_plus_bound(1) == 16


X, Y = np.zeros((3, 2)), np.zeros((4, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: distances(X.astype(int), Y), TypeError, "x has dtype int64"),
        (lambda: votes(X, Y, [0] * 4, k=1, classes=1), TypeError, "labels is list"),
        (lambda: distances(X, Y.astype(int)), TypeError, "y has dtype int64"),
        (lambda: distances(X[0], Y), ValueError, r"x has shape \(2,\): points in rows"),
        (lambda: distances(X, Y[:, :1]), ValueError, "x has 2 coordinates but y has 1"),
        (lambda: nearest(X, Y, k=0), ValueError, r"k is 0: it must lie in \[1, 4\]"),
        (lambda: nearest(X, Y, k=5), ValueError, "k is 5"),
        (lambda: inertia(X, Y[:, :1]), ValueError, "centers has 1"),
        (lambda: lloyd_step(X, Y[0]), ValueError, r"centers has shape \(2,\)"),
        (lambda: neighbour_mean(X, Y, np.zeros(3), k=1), ValueError, r"targets has shape \(3,\)"),
        (lambda: neighbour_mean(X, Y, np.zeros(4, int), k=1), TypeError, "targets has dtype"),
        (
            lambda: votes(X, Y, np.zeros(4, int), k=1, classes=2, weights="all"),
            ValueError,
            "weights is 'all'",
        ),
        (lambda: votes(X, Y, np.zeros(4, int), k=1, classes=0), ValueError, "classes is 0"),
        (lambda: votes(X.astype(int), Y, np.zeros(4, int), k=1, classes=1), TypeError, "x has"),
        (lambda: votes(X, Y, np.zeros(1, int), k=1, classes=2), ValueError, "labels has shape"),
        (lambda: plus_plus(X, np.zeros((2, 4))), ValueError, r"u has shape \(2, 4\): a row of 3"),
        (lambda: plus_plus(X, np.zeros(3)), ValueError, r"u has shape \(3,\)"),
        (lambda: plus_plus(X, np.zeros((0, 3))), ValueError, r"u has shape \(0, 3\)"),
        (lambda: plus_plus(X[:0], np.zeros((2, 0))), ValueError, "number of points is 0"),
        (lambda: plus_plus(X, np.zeros((2, 3), int)), TypeError, "u has dtype"),
        (lambda: plus_plus_bound(0), ValueError, "k is 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_half_precision_sums_in_float32():
    x = torch.full((5000, 1), 4.0, dtype=torch.float16)
    assert_close(inertia(x, torch.full((1, 1), 2.0, dtype=torch.float16)), 20000.0)
    assert lloyd_step(x, x[:1]).tolist() == [[4.0]]

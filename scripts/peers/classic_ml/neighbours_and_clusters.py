"""What scikit-learn and SciPy do with ties, starts and empty clusters, found by running them."""

import inspect
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2  # type: ignore[import-untyped]
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from dlkb.classic_ml.neighbours_and_clusters import lloyd_step, nearest, votes

LIBRARIES = ("scikit-learn", "scipy")

Array = NDArray[np.float64]

LINE = np.asarray([[0.0], [1.0], [10.0]])
LONELY = np.asarray([[0.5], [100.0]])
"""Two centers, the second without points of LINE."""


def equal_votes(winner: int) -> str:
    """Say which label wins, of labels 2 and 1 in this order."""
    return {1: "the smallest label", 2: "the nearest label"}[winner]


def equally_far(found: set[tuple[int, ...]]) -> str:
    """Say which of 200 equally far points count as the three nearest."""
    if found == {(0, 1, 2)}:
        return "the first"
    return "depends on the algorithm" if len(found) > 1 else "others than the first"


def lonely(second: float) -> str:
    """Say where a center without points goes."""
    return {100.0: "stays", 10.0: "moves to a far point"}[second]


def _nearest_of_equal(algorithm: str) -> tuple[int, ...]:
    x = np.where(np.arange(200) % 2, 1.0, -1.0)[:, None]
    model = NearestNeighbors(n_neighbors=3, algorithm=algorithm).fit(x)
    return tuple(sorted(model.kneighbors([[0.0]])[1][0].tolist()))


def _runs(**options: object) -> int:
    """Return how often KMeans starts, from the n_init that it settles on."""
    model = KMeans(2, random_state=0, **options).fit(LINE)
    return int(model._n_init)


def candidates() -> str:
    """Say whether k-means++ draws one candidate a center, or two and their logarithm."""
    x = np.random.default_rng(0).normal(size=(300, 2))
    default, one, several = (
        np.stack([kmeans_plusplus(x, 10, random_state=s, **options)[0] for s in range(5)])
        for options in ({}, {"n_local_trials": 1}, {"n_local_trials": 2 + int(np.log(10))})
    )
    same = np.array_equal(default, one), np.array_equal(default, several)
    return {(True, False): "plain", (False, True): "greedy"}[same]


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return who wins ties, how often k-means starts, and what becomes of an empty cluster."""
    pair, labels = np.asarray([[1.0], [-1.0]]), np.asarray([2, 1])
    ours = votes(np.zeros((1, 1)), pair, labels, k=2, classes=3).argmax()
    even = np.where(np.arange(200) % 2, 1.0, -1.0)[:, None]
    first = tuple(sorted(nearest(np.zeros((1, 1)), even, k=3).index[0].tolist()))
    theirs = KNeighborsClassifier(2).fit(pair, labels).predict([[0.0]])[0]
    trees = {_nearest_of_equal(name) for name in ("brute", "kd_tree")}
    plain, uniform = _runs(), _runs(init="random")
    kind = inspect.signature(KMeans).parameters["init"].default
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kept = kmeans2(LINE, LONELY, minit="matrix")[0][1, 0]
    warned = any("empty" in str(one.message) for one in said)
    minit = inspect.signature(kmeans2).parameters["minit"].default
    return {
        "this package": (
            equal_votes(int(ours)),
            equally_far({first}),
            "the start that you give",
            lonely(float(lloyd_step(LINE, LONELY)[1, 0])),
        ),
        "scikit-learn": (
            equal_votes(int(theirs)),
            equally_far(trees),
            f"{plain} of {candidates()} `{kind}`; {uniform} of `random`",
            lonely(float(KMeans(2, init=LONELY, n_init=1).fit(LINE).cluster_centers_[1, 0])),
        ),
        "SciPy `kmeans2`": (
            "–",
            "–",
            f"1 of `{minit}`: normal draws with the data's covariance",
            lonely(float(kept)) + (", with a warning" if warned else ""),
        ),
    }

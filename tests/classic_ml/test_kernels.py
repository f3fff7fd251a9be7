import numpy as np
import pytest
from sklearn.datasets import make_circles
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import pairwise
from sklearn.svm import SVC

from dlkb.classic_ml.kernels import (
    gaussian_kernel,
    kernel_ridge,
    polynomial_kernel,
    smo_step,
    svm_dual,
    svm_intercept,
)
from dlkb.classic_ml.linear_models import hinge_loss
from dlkb.regularization.l1_l2 import ridge
from tests.cases import Case
from tests.close import assert_close


def pair(rng):
    return rng.normal(size=(5, 3)), rng.normal(size=(4, 3))


def gram(rng):
    """A kernel matrix, labels, and weights with Σ t α = 0."""
    X = rng.normal(size=(6, 2))
    y = np.asarray([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    return X @ X.T, y, np.asarray([0.25, 0.25, 0.0, 0.5, 0.0, 0.5])


HALF = {"batch": (), "fixed": ("K", "y", "alpha")}  # 0 ≤ α ≤ C: nothing scales
CASES = [
    Case(polynomial_kernel, lambda rng: (pair(rng), {"degree": 3, "gamma": 0.3, "coef0": 1.0}),
         fixed=("X", "Z"), batch=("X", "Z"), broadcasts=("X", "Z")),
    Case(gaussian_kernel, lambda rng: (pair(rng), {"gamma": 0.3}),
         fixed=("X", "Z"), batch=("X", "Z"), broadcasts=("X", "Z")),
    Case(kernel_ridge, lambda rng: (gram(rng)[:2], {"l2": 0.5}), half=False, batch=(),
         fixed=("K",), law=lambda a, by: a * by["y"]),
    Case(svm_dual, lambda rng: (gram(rng), {}), **HALF),
    Case(smo_step, lambda rng: (gram(rng), {"C": 0.6}), **HALF),
    Case(svm_intercept, lambda rng: (gram(rng), {"C": 0.6}), **HALF),
]  # fmt: skip


def solve(K, y, *, C, steps):
    alpha = np.zeros(len(y))
    for _ in range(steps):
        alpha = smo_step(K, y, alpha, C=C)
    return alpha


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (7, 3), (2, 7, 3)])
def test_kernels_are_those_of_sklearn(shape):
    rng = np.random.default_rng(0)
    X, Z = rng.normal(size=shape), rng.normal(size=(4, 3))
    options = {"degree": 3, "gamma": 0.3, "coef0": 1.5}
    found = gaussian_kernel(X, Z, gamma=0.3), polynomial_kernel(X, Z, **options)
    assert found[0].shape == found[1].shape == (*shape[:-1], 4)
    for index in np.ndindex(shape[:-2]) if shape[0] else ():
        assert_close(found[0][index], pairwise.rbf_kernel(X[index], Z, gamma=0.3))
        expected = pairwise.polynomial_kernel(X[index], Z, **options)
        assert_close(found[1][index], expected, scale=10)


def test_a_common_offset_does_not_harm_the_gaussian_kernel():
    X = np.asarray([[0.0], [1.0]])
    assert_close(gaussian_kernel(X + 2.0**30, X + 2.0**30), gaussian_kernel(X, X))


def test_kernel_ridge_is_that_of_sklearn_and_with_a_linear_kernel_ridge():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    oracle = KernelRidge(alpha=0.7, kernel="rbf", gamma=0.4).fit(X, y)
    assert_close(kernel_ridge(gaussian_kernel(X, X, gamma=0.4), y, l2=0.7), oracle.dual_coef_)
    w = X.T @ kernel_ridge(X @ X.T, y, l2=0.7)
    assert_close(w, ridge(X, y, l2=0.7), scale=10)


@pytest.mark.parametrize("C", [0.1, 1.0, 5.0])
def test_smo_finds_the_machine_of_libsvm(C):
    X, labels = make_circles(60, noise=0.15, factor=0.5, random_state=0)
    y = labels.astype(float)
    K = gaussian_kernel(X, X, gamma=1.0)
    alpha = solve(K, y, C=C, steps=2000)
    oracle = SVC(C=C, gamma=1.0, tol=1e-9).fit(X, labels)
    expected = np.zeros(60)
    expected[oracle.support_] = oracle.dual_coef_[0]
    t = 2 * y - 1
    assert_close(t * alpha, expected, scale=1e6)
    assert abs(t @ alpha) < 1e-12
    b = svm_intercept(K, y, alpha, C=C)
    assert_close(K @ (t * alpha) + b, oracle.decision_function(X), scale=1e6)


def test_the_dual_meets_the_primal_at_the_optimum_alone():
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(size=(15, 2)) + 1, rng.normal(size=(15, 2)) - 1])
    y, C = np.repeat([1.0, 0.0], 15), 2.0
    ones = np.concatenate([X, np.ones((30, 1))], axis=1)
    strengths = np.asarray([1 / C, 1 / C, 0.0])
    gaps = []
    for steps in (0, 5, 50, 3000):
        alpha = solve(X @ X.T, y, C=C, steps=steps)
        w = X.T @ ((2 * y - 1) * alpha)
        b = svm_intercept(X @ X.T, y, alpha, C=C)
        primal = C * hinge_loss(ones, y, np.append(w, b), l2=strengths)
        gaps.append(primal - svm_dual(X @ X.T, y, alpha))
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3] > -1e-12
    assert gaps[3] < 1e-9
    assert gaps[1] > 0.1


def test_equal_examples_of_two_classes_go_to_the_bound():
    K, y = np.ones((2, 2)), np.asarray([1.0, 0.0])  # no curvature
    assert smo_step(K, y, np.zeros(2), C=3.0).tolist() == [3, 3]
    assert smo_step(K, y, np.asarray([3.0, 3.0]), C=3.0).tolist() == [3, 3]


def test_at_the_optimum_nothing_moves():
    K, y = np.asarray([[1.0, -1.0], [-1.0, 1.0]]), np.asarray([1.0, 0.0])
    best = np.asarray([0.5, 0.5])
    assert smo_step(K, y, best, C=10.0).tolist() == [0.5, 0.5]
    assert smo_step(K, y, np.zeros(2), C=0.2).tolist() == [0.2, 0.2]


SQUARE, TWO = np.ones((2, 2)), np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gaussian_kernel(TWO, SQUARE), ValueError, r"X has shape \(2,\) and Z \(2, 2\)"),
        (lambda: gaussian_kernel(SQUARE, np.ones((2, 3))), ValueError, r"\(…, m, p\) are needed"),
        (lambda: gaussian_kernel(SQUARE, SQUARE, gamma=0.0), ValueError, r"gamma is 0\.0"),
        (lambda: polynomial_kernel(SQUARE, SQUARE, degree=0), ValueError, "degree is 0"),
        (lambda: polynomial_kernel(SQUARE, SQUARE, degree=2.5), TypeError, r"degree is 2\.5"),
        (lambda: polynomial_kernel(SQUARE, SQUARE, gamma=0.0), ValueError, "gamma is 0"),
        (lambda: polynomial_kernel(SQUARE, SQUARE, coef0=-1.0), ValueError, "coef0 is -1"),
        (lambda: kernel_ridge(SQUARE, TWO, l2=0.0), ValueError, r"l2 is 0\.0"),
        (lambda: kernel_ridge(SQUARE, np.ones(3), l2=1.0), ValueError, r"and y \(3,\): \(n, n\)"),
        (
            lambda: smo_step(SQUARE, TWO, np.ones(1), C=1.0),
            ValueError,
            r"alpha has shape \(1,\) but y has",
        ),
        (lambda: smo_step(np.ones((2, 3)), TWO, TWO, C=1.0), ValueError, r"K has shape \(2, 3\)"),
        (lambda: smo_step(SQUARE, np.ones(()), TWO, C=1.0), ValueError, r"and y \(\): \(n, n\)"),
        (lambda: smo_step(SQUARE, TWO, np.ones(2, int), C=1.0), TypeError, "alpha has dtype int"),
        (lambda: smo_step(SQUARE, TWO, TWO, C=0.0), ValueError, r"C is 0\.0"),
        (lambda: svm_intercept(SQUARE, TWO, TWO, C=-1.0), ValueError, r"C is -1\.0"),
        (lambda: svm_dual(SQUARE, SQUARE, TWO), ValueError, r"y \(2, 2\)"),
        (lambda: svm_dual(SQUARE, np.ones(2, int), TWO), TypeError, "y has dtype int64"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_strength_of_numpy_keeps_the_dtype():
    K, y = np.eye(2, dtype=np.float32), np.ones(2, np.float32)
    assert kernel_ridge(K, y, l2=np.float64(0.1)).dtype == "f4"

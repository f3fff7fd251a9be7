import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from dlkb.classic_ml.linear_models import (
    hinge_loss,
    hinge_loss_vjp,
    irls_step,
    least_squares,
    logistic_loss,
    logistic_loss_vjp,
)
from tests.cases import Case
from tests.close import assert_close

STRENGTHS = np.asarray([0.0, 0.5, 2.0])


def problem(rng, *, n=8, p=3):
    """Inputs, labels of both classes, and weights."""
    X = rng.normal(size=(n, p))
    return X, (rng.permutation(n) % 2).astype(float), 0.5 * rng.normal(size=p)


def case(function, label="", **options):
    """A case of a loss or its gradient. It is a loss of labels: X w has no other unit."""
    with_cotangent = function.__name__.endswith("_vjp")

    def make(rng):
        args = problem(rng)
        given = {"l2": STRENGTHS.copy()} if label == "each" else dict(options)
        return (*args, np.asarray(0.7)) if with_cotangent else args, given

    fixed = ("X", "y", "w", "l2")
    return Case(function, make, label, fixed=fixed, batch=(), half=function is not irls_step)


CASES = [
    Case(
        least_squares,
        lambda rng: ((rng.normal(size=(7, 3)), rng.normal(size=7)), {}),
        half=False,
        batch=(),
        fixed=("X",),
        law=lambda w, by: w * by["y"],
    ),
    Case(
        least_squares,
        lambda rng: ((rng.normal(size=(3, 5)), rng.normal(size=(3, 2))), {"rcond": 0.5}),
        "wide",
        half=False,
        batch=(),
        fixed=("X",),
        law=lambda w, by: w * by["y"],
    ),
    *(
        case(function, label, **options)
        for function in (logistic_loss, logistic_loss_vjp, irls_step, hinge_loss, hinge_loss_vjp)
        for label, options in (("plain", {}), ("number", {"l2": 0.3}), ("each", {}))
    ),
]


def with_ones(X):
    return np.concatenate([X, np.ones((len(X), 1))], axis=1)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), y.astype(float)


# --- least squares ---


@pytest.mark.parametrize("shape", [(20, 4), (4, 20), (5, 5), (1, 3), (3, 1)])
def test_least_squares_are_those_of_numpy(rng, shape):
    X, y = rng.normal(size=shape), rng.normal(size=(shape[0], 2))
    expected = np.linalg.lstsq(X, y)[0]
    assert_close(least_squares(X, y), expected, scale=100)
    assert_close(least_squares(X, y[:, 0]), expected[:, 0], scale=100)


def test_collinear_columns_share_their_weight_as_in_numpy_and_sklearn():
    X, y = load_diabetes(return_X_y=True)
    twice = np.concatenate([X, X[:, :2], X[:, :1] - 2 * X[:, 3:4]], axis=1)
    w = least_squares(twice, y - y.mean())
    assert_close(w, np.linalg.lstsq(twice, y - y.mean())[0], scale=1e5)
    assert_close(w, LinearRegression().fit(twice, y).coef_, scale=1e5)
    assert_close(w[1], w[11], scale=1e5)  # the copy of column 1; column 0 is in the combination


@pytest.mark.parametrize("ratio", [0.9e-3, 1.1e-3])
def test_directions_below_the_cut_count_as_absent(rng, ratio):
    X = np.diag([1.0, ratio])
    w = least_squares(X, np.ones(2), rcond=1e-3)
    assert_close(w, np.asarray([1.0, 1 / ratio if ratio > 1e-3 else 0.0]))


@pytest.mark.parametrize(("dtype", "eps"), [(np.float64, 2.3e-16), (np.float32, 1.2e-7)])
def test_default_cut_is_the_rounding_of_the_dtype_times_the_larger_size(dtype, eps):
    for factor, kept in ((2.5, False), (3.6, True)):  # the larger size is 3
        X = np.diag(np.asarray([1.0, factor * eps], dtype=dtype))
        X = np.concatenate([X, np.zeros((1, 2), dtype=dtype)])
        assert (least_squares(X, np.ones(3, dtype=dtype))[1] != 0) == kept


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e25), (np.float64, 1e-200)])
def test_squares_of_singular_values_that_leave_the_dtype(rng, dtype, size):
    X, y = rng.normal(size=(7, 3)).astype(dtype), rng.normal(size=7).astype(dtype)
    w = least_squares(X * dtype(size), y)
    assert_close(w * dtype(size), least_squares(X, y), scale=10)
    huge = np.full((4, 2), np.finfo(dtype).max / 2)  # ‖X‖ overflows
    assert_close(least_squares(huge, huge[:, 0] / 4), np.full(2, dtype(0.125)), scale=10)


def test_the_cut_of_numpy_is_that_of_float64_for_float32_too():
    X, y = np.diag(np.asarray([1.0, 1e-9], dtype=np.float32)), np.ones(2, dtype=np.float32)
    assert np.linalg.lstsq(X, y)[2] == 2
    assert least_squares(X, y).tolist() == [1, 0]


def test_empty_and_zero():
    assert least_squares(np.zeros((3, 2)), np.ones(3)).tolist() == [0, 0]
    assert least_squares(np.zeros((0, 2)), np.zeros(0)).tolist() == [0, 0]
    assert least_squares(np.zeros((3, 0)), np.zeros(3)).shape == (0,)


# --- logistic regression ---


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("intercept", [False, True])
def test_irls_finds_the_coefficients_of_sklearn(cancer, l2, intercept):
    X, y = cancer
    oracle = LogisticRegression(
        C=1 / l2, fit_intercept=intercept, tol=1e-12, solver="newton-cholesky"
    ).fit(X, y)
    strengths = np.full(X.shape[1], l2)
    if intercept:
        X, strengths = with_ones(X), np.append(strengths, 0.0)
    w = np.zeros(X.shape[1])
    for _ in range(15):
        w = irls_step(X, y, w, l2=strengths)
    assert_close(w[:30], oracle.coef_[0], scale=1e5)
    if intercept:
        assert_close(w[30], oracle.intercept_[0], scale=1e5)
    assert np.abs(logistic_loss_vjp(X, y, w, np.asarray(1.0), l2=strengths)).max() < 1e-9


@pytest.mark.parametrize("l2", [0.0, 0.4, STRENGTHS])
@pytest.mark.parametrize(
    ("loss", "vjp"), [(logistic_loss, logistic_loss_vjp), (hinge_loss, hinge_loss_vjp)]
)
def test_gradients_are_those_of_autograd(rng, loss, vjp, l2):
    X, y, w = map(torch.tensor, problem(rng, n=30))
    strengths = torch.as_tensor(l2, dtype=torch.float64)
    w.requires_grad_()
    (expected,) = torch.autograd.grad(loss(X, y, w, l2=strengths), w)
    assert_close(vjp(X, y, w.detach(), torch.tensor(1.0), l2=strengths), expected)
    assert_close(vjp(X, y, w.detach(), torch.tensor(-3.0), l2=strengths), -3 * expected)


def test_irls_is_newton(rng):
    X, y, w = map(torch.tensor, problem(rng, n=30))
    strengths = torch.tensor(STRENGTHS)

    def loss(w):
        return logistic_loss(X, y, w, l2=strengths)

    grad, hessian = torch.func.grad(loss)(w), torch.func.hessian(loss)(w)
    assert_close(irls_step(X, y, w, l2=strengths), w - torch.linalg.solve(hessian, grad), scale=10)


def test_logistic_loss_far_out_neither_overflows_nor_loses_digits():
    X, y = np.asarray([[1.0], [1.0]]), np.asarray([1.0, 0.0])
    assert_close(logistic_loss(X, y, np.asarray([1e4])), np.asarray(1e4))
    assert_close(logistic_loss(X[:1], y[:1], np.asarray([50.0])) / np.exp(-50), np.asarray(1.0))
    half = torch.tensor([[300.0], [300.0]], dtype=torch.float16)  # the sum of 500 is 150,000
    many = half.repeat(250, 1)
    labels = torch.ones(500, dtype=torch.float16)
    assert_close(logistic_loss(many, labels, torch.tensor([0.01], dtype=torch.float16)), 24.4)


def test_on_separable_data_each_step_doubles_nothing_but_adds_about_one():
    X, y = np.asarray([[-1.0], [1.0]]), np.asarray([0.0, 1.0])
    w, path = np.zeros(1), []
    for _ in range(12):
        w = irls_step(X, y, w)
        path.append(w.item())
    assert_close(np.diff(path)[4:], np.ones(7), scale=1e11 * 0.1)  # 1 / σ(w), which goes to 1
    assert path[-1] > 12


def separable(X, y):
    """By a linear program that we did not write: is there w with t z ≥ 1?"""
    t = 2 * y - 1
    return linprog(np.zeros(X.shape[1]), -t[:, None] * X, -np.ones(len(y)), bounds=(None, None))


def test_breast_cancer_is_separable_and_its_unpenalized_loss_has_no_minimum(cancer):
    X, y = with_ones(cancer[0]), cancer[1]
    assert separable(X, y).status == 0
    assert separable(X[:, :5], y).status == 2  # five features do not separate it
    w, sizes, losses = np.zeros(31), [], []
    for l2 in (1.0, 1e-1, 1e-2, 1e-3):
        for _ in range(30):
            step = irls_step(X, y, w, l2=l2) - w
            while logistic_loss(X, y, w + step, l2=l2) > logistic_loss(X, y, w, l2=l2) + 1e-12:
                step = step / 2
            w = w + step
        sizes.append(np.linalg.norm(w))
        losses.append(logistic_loss(X, y, w))
    assert (np.diff(losses) < -2).all()
    assert (np.diff(sizes) > sizes[0]).all()  # and on they grow


# --- support vector machine ---


def test_hinge_minimum_is_that_of_linear_svc(cancer):
    X, y = cancer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = LinearSVC(C=0.05, loss="hinge", fit_intercept=False, tol=1e-8, max_iter=100_000)
        w = oracle.fit(X, y).coef_[0]
    best = hinge_loss(X, y, w, l2=20.0)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1):
        assert best < hinge_loss(X, y, w + size * rng.normal(size=30), l2=20.0)
    v = np.zeros(30)
    for step in range(1, 2001):  # Pegasos' steps, all examples at a time
        v = v - hinge_loss_vjp(X, y, v, np.asarray(1.0), l2=20.0) / (20.0 * step)
    assert best <= hinge_loss(X, y, v, l2=20.0) < 1.01 * best


def test_at_the_joint_an_example_adds_nothing():
    X, y = np.asarray([[1.0]]), np.asarray([1.0])
    assert hinge_loss_vjp(X, y, np.asarray([1.0]), np.asarray(1.0)).tolist() == [0]
    assert hinge_loss_vjp(X, y, np.asarray([0.999]), np.asarray(1.0)).tolist() == [-1]


@pytest.mark.parametrize("function", [logistic_loss, hinge_loss])
def test_no_examples(function):
    none = np.zeros((0, 2)), np.zeros(0), np.asarray([1.0, 2.0])
    assert function(*none, l2=2.0) == 5


def test_the_hinge_of_nan_is_nan():
    X, y, w = np.asarray([[np.nan], [1.0]]), np.asarray([1.0, 0.0]), np.ones(1)
    assert np.isnan(hinge_loss(X, y, w))
    assert np.isnan(hinge_loss(X[1:], X[:1, 0], w))


def test_a_step_without_weights_is_none():
    assert irls_step(np.ones((2, 0)), np.ones(2), np.ones(0)).shape == (0,)


TWO, X23 = np.ones(2), np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: least_squares(X23, np.ones(3)), ValueError, r"X has shape \(2, 3\) and y"),
        (lambda: least_squares(X23, TWO, rcond=-1.0), ValueError, r"rcond is -1\.0"),
        (lambda: least_squares(np.ones((2, 3), int), TWO), TypeError, "X has dtype int64"),
        (lambda: least_squares(X23, [1.0, 0.0]), TypeError, "y is list"),
        (lambda: logistic_loss(X23, TWO, TWO), ValueError, r"X has shape \(2, 3\): 2 entries of y"),
        (lambda: logistic_loss(TWO, TWO, TWO), ValueError, r"X has shape \(2,\): 2 axes"),
        (lambda: irls_step(X23, TWO, np.ones(3), l2=-1.0), ValueError, r"l2 is -1\.0"),
        (
            lambda: hinge_loss(X23, TWO, np.ones(3), l2=TWO),
            ValueError,
            r"l2 has shape \(2,\) but w has shape \(3,\)",
        ),
        (lambda: hinge_loss(X23, [1, 0], np.ones(3)), TypeError, "y is list"),
        (lambda: least_squares(np.asarray(1.0), TWO), ValueError, r"X has shape \(\): \(n, p\)"),
        (lambda: irls_step(X23.astype(int), TWO, np.ones(3)), TypeError, "X has dtype int64"),
        (lambda: irls_step(X23, TWO, np.ones(3, int)), TypeError, "w has dtype int64"),
        (lambda: irls_step(X23, TWO, np.asarray(1.0)), ValueError, r"w has shape \(\)"),
        (
            lambda: logistic_loss(X23, TWO, np.ones(3), l2=np.ones(3, int)),
            TypeError,
            "l2 has dtype int64",
        ),
        *(
            (lambda f=f, c=c: f(X23, TWO, np.ones(3), c), error, message)
            for f in (logistic_loss_vjp, hinge_loss_vjp)
            for c, error, message in (
                (np.ones(3), ValueError, r"cotangent has shape \(3,\): it must be \(\)"),
                (np.asarray(1), TypeError, "cotangent has dtype int64"),
            )
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

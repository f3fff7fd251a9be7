import warnings

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, Ridge

from dlkb.regularization.l1_l2 import (
    FistaState,
    fista,
    fista_bound,
    ista,
    ista_bound,
    l1_max,
    min_subgradient,
    penalty,
    penalty_vjp,
    prox,
    ridge,
    ridge_filter,
    soft_threshold,
    soft_threshold_vjp,
)
from tests.cases import Case
from tests.close import assert_close


def some_zeros(rng, *shape):
    """Draw values of which about half are exactly zero."""
    return rng.normal(size=shape) * (rng.random(shape) < 0.5)


def fista_start(rng):
    shape = (3, 4)
    state = FistaState(rng.normal(size=shape), np.asarray(2.5))
    return (rng.normal(size=shape), rng.normal(size=shape), state), {"lr": 0.1, "l1": 2.0}


LINEAR_IN_Y = {"batch": (), "fixed": ("X",), "law": lambda w, by: w * by["y"]}
WEIGHT = dict.fromkeys(
    ("tiny state", "tiny all", "float16 small state", "float16 small all"),
    "the weight is at least 1",
)
BOTH = {"l1": 0.7, "l2": 0.3}
CASES = [
    Case(penalty, lambda rng: ((rng.normal(size=(3, 4)),), BOTH), batch=()),
    Case(penalty, lambda rng: ((rng.normal(size=5),), {}), "none", batch=()),
    Case(penalty_vjp, lambda rng: ((some_zeros(rng, 3, 4), np.asarray(1.7)), BOTH)),
    Case(penalty_vjp, lambda rng: ((some_zeros(rng, 5), 1.0), BOTH), "number"),
    Case(min_subgradient, lambda rng: ((some_zeros(rng, 3, 4), rng.normal(size=(3, 4))), BOTH)),
    Case(l1_max, lambda rng: ((rng.normal(size=(3, 4)),), {}), batch=()),
    Case(soft_threshold, lambda rng: ((rng.normal(size=(3, 4)),), {"threshold": 0.6})),
    Case(
        soft_threshold_vjp,
        lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"threshold": 0.6}),
    ),
    Case(prox, lambda rng: ((rng.normal(size=(3, 4)),), {"lr": 0.5, **BOTH})),
    Case(
        ista, lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"lr": 0.2, **BOTH})
    ),
    Case(fista, fista_start, scale=2, unless=WEIGHT),
    Case(
        fista,
        lambda rng: (
            (rng.normal(size=4), rng.normal(size=4), FistaState(rng.normal(size=4), 1.0)),
            {"lr": 0.1, "l2": 0.3},
        ),
        "number",
    ),
    Case(ista_bound, lambda rng: ((np.arange(1.0, 9.0),), {"lr": 0.5, "distance": 2.0})),
    Case(fista_bound, lambda rng: ((np.arange(1.0, 9.0),), {"lr": 0.5, "distance": 2.0})),
    Case(ridge_filter, lambda rng: ((rng.uniform(0, 3, size=(2, 5)),), {"l2": 0.4})),
    Case(
        ridge,
        lambda rng: ((rng.normal(size=(6, 4)), rng.normal(size=6)), {"l2": 0.4}),
        half=False,
        **LINEAR_IN_Y,
    ),
    Case(
        ridge,
        lambda rng: ((rng.normal(size=(3, 5)), rng.normal(size=(3, 2))), {"l2": 0.4}),
        "wide",
        half=False,
        **LINEAR_IN_Y,
    ),
]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X, y - y.mean()


def solve(X, y, *, l1=0.0, l2=0.0, steps=20_000, tolerance=1e-9):
    """Minimize ½‖y − Xθ‖² + penalty by FISTA until the shortest subgradient is short."""
    lr = 1 / np.linalg.norm(X, 2) ** 2
    lookahead = np.zeros(X.shape[1])
    state = FistaState(lookahead, 1.0)
    for _ in range(steps):
        lookahead, state = fista(lookahead, X.T @ (X @ lookahead - y), state, lr=lr, l1=l1, l2=l2)
        rest = min_subgradient(state.theta, X.T @ (X @ state.theta - y), l1=l1, l2=l2)
        if abs(rest).max() < tolerance * abs(X.T @ y).max():
            return state.theta
    raise AssertionError(f"not converged: {abs(rest).max()}")


# --- the penalty ---


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 0), (1, 1, 4)])
@pytest.mark.parametrize("strengths", [BOTH, {"l1": 2.0}, {"l2": 2.0}, {}])
def test_penalty_and_gradient_against_torch(rng, shape, strengths, device):
    theta = torch.tensor(some_zeros(rng, *shape), device=device, requires_grad=True)
    l1, l2 = strengths.get("l1", 0.0), strengths.get("l2", 0.0)
    norm = torch.linalg.vector_norm
    expected = l1 * theta.abs().sum() + l2 / 2 * (norm(theta) ** 2 if theta.any() else 0.0)
    assert_close(penalty(theta, **strengths), expected, scale=10)
    cotangent = torch.tensor(-1.3, dtype=torch.float64, device=device)
    (gradient,) = torch.autograd.grad(
        l1 * theta.abs().sum() + l2 / 2 * theta.square().sum(), theta, cotangent
    )
    assert_close(penalty_vjp(theta, cotangent, **strengths), gradient)
    assert_close(torch.autograd.grad(penalty(theta, **strengths), theta, cotangent)[0], gradient)


def test_penalties_are_log_priors(rng):
    theta = rng.normal(size=9)
    tau, b = 0.7, 0.4
    gauss = stats.norm(scale=tau).logpdf
    laplace = stats.laplace(scale=b).logpdf
    assert_close(penalty(theta, l2=1 / tau**2), (gauss(0) - gauss(theta)).sum(), scale=10)
    assert_close(penalty(theta, l1=1 / b), (laplace(0) - laplace(theta)).sum(), scale=10)


@pytest.mark.parametrize("seed", range(10))
def test_any_point_of_the_interval_is_a_subgradient_at_zero(seed):
    rng = np.random.default_rng(seed)
    theta = some_zeros(rng, 6)
    g = penalty_vjp(theta, 1.0, **BOTH) + (theta == 0) * rng.uniform(-0.7, 0.7, size=6)
    for other in rng.normal(size=(50, 6)):
        assert penalty(other, **BOTH) >= penalty(theta, **BOTH) + g @ (other - theta) - 1e-12


def test_sgd_on_the_penalty_is_weight_decay(rng, device):
    theta = torch.tensor(rng.normal(size=5), device=device)
    grad = torch.tensor(rng.normal(size=5), device=device)
    p = torch.nn.Parameter(theta.clone())
    p.grad = grad.clone()
    torch.optim.SGD([p], lr=0.1, weight_decay=0.3).step()
    ours = theta - 0.1 * (grad + penalty_vjp(theta, 1.0, l2=0.3))
    assert_close(ours, p)
    assert_close(ours, (1 - 0.1 * 0.3) * theta - 0.1 * grad)


# --- optimality ---


@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_subgradient_is_the_shortest(seed):
    rng = np.random.default_rng(seed)
    theta, grad = some_zeros(rng, 6), rng.normal(size=6)
    found = min_subgradient(theta, grad, **BOTH)
    base = grad + penalty_vjp(theta, 1.0, **BOTH)
    free = np.where(theta == 0, 0.7, 0.0)
    for choice in rng.uniform(-1, 1, size=(200, 6)):
        assert np.linalg.norm(base + free * choice) >= np.linalg.norm(found) - 1e-12
    best = optimize.lsq_linear(np.diag(free), -base, bounds=(-1, 1))
    np.testing.assert_allclose(found, base + free * best.x, atol=1e-6)


def test_no_direction_descends_from_an_optimum(diabetes, rng):
    X, y = diabetes
    theta = solve(X, y, l1=200.0, l2=0.1)

    def objective(at):
        return ((y - X @ at) ** 2).sum() / 2 + penalty(at, l1=200.0, l2=0.1)

    for direction in rng.normal(size=(100, 10)):
        assert objective(theta + 1e-3 * direction) >= objective(theta)
    assert 0 < (theta == 0).sum() < 10


def test_lambda_max_is_the_edge(diabetes):
    X, y = diabetes
    edge = l1_max(-X.T @ y)
    n = len(y)
    for factor, all_zero in ((1.001, True), (0.999, False)):
        theta = Lasso(alpha=factor * edge / n, tol=1e-9).fit(X, y).coef_
        assert (theta == 0).all() == all_zero
        rest = min_subgradient(np.zeros(10), -X.T @ y, l1=factor * edge)
        assert (rest == 0).all() == all_zero


# --- proximal maps ---


@pytest.mark.parametrize("z", [-3.0, -0.61, -0.2, 0.0, 0.3, 0.6, 2.0])
def test_soft_threshold_and_prox_against_a_scalar_minimizer(z):
    def best(l1, l2, lr):
        found = optimize.minimize_scalar(
            lambda t: (t - z) ** 2 / (2 * lr) + l1 * abs(t) + l2 / 2 * t * t,
            bounds=(-4, 4),
            options={"xatol": 1e-9},
        )
        return found.x

    array = np.asarray(z)
    np.testing.assert_allclose(soft_threshold(array, threshold=0.6), best(0.6, 0, 1), atol=1e-6)
    np.testing.assert_allclose(prox(array, lr=0.4, **BOTH), best(0.7, 0.3, 0.4), atol=1e-6)


def test_soft_threshold_against_torch(rng, device):
    for shape in [(), (7,), (2, 3), (0, 4)]:
        z = torch.tensor(2 * rng.normal(size=shape), device=device, requires_grad=True)
        expected = torch.nn.functional.softshrink(z, 0.6)
        assert_close(soft_threshold(z, threshold=0.6), expected)
        cotangent = torch.tensor(rng.normal(size=shape), device=device)
        (gradient,) = torch.autograd.grad(expected, z, cotangent)
        assert_close(soft_threshold_vjp(z, cotangent, threshold=0.6), gradient)


def test_soft_threshold_at_its_edges():
    z = np.asarray([1.0, -1.0, np.nextafter(1.0, 2), 0.0, -0.5, np.inf, -np.inf])
    found = soft_threshold(z, threshold=1.0)
    assert found[:2].tolist() == [0, 0]
    assert found[2] > 0
    assert not np.signbit(found[[0, 1, 3, 4]]).any()  # 0 and never -0
    assert found[-2:].tolist() == [np.inf, -np.inf]
    assert soft_threshold_vjp(z, np.ones(7), threshold=1.0).tolist() == [0, 0, 1, 0, 0, 1, 1]
    assert_close(soft_threshold(z, threshold=0.0), z)


def test_not_a_number_is_not_hidden():
    z = torch.tensor([float("nan"), 5.0])
    assert torch.isnan(soft_threshold(z, threshold=1.0)).tolist() == [True, False]
    assert torch.isnan(prox(z, lr=1.0, l1=1.0)).tolist() == [True, False]
    assert torch.isnan(penalty(z, l1=1.0))


def test_prox_is_firmly_nonexpansive(rng):
    a, b = 3 * rng.normal(size=(2, 50))
    p, q = (prox(x, lr=0.5, **BOTH) for x in (a, b))
    assert (p - q) @ (a - b) >= (p - q) @ (p - q)
    np.testing.assert_allclose(prox(a, lr=0.5, l2=3.0), a / 2.5)


# --- ISTA and FISTA ---


def test_a_solution_is_a_fixed_point(diabetes):
    X, y = diabetes
    theta = solve(X, y, l1=200.0, l2=0.1)
    grad = X.T @ (X @ theta - y)
    moved = ista(theta, grad, lr=0.1, l1=200.0, l2=0.1)
    np.testing.assert_allclose(moved, theta, atol=1e-5)
    assert ((moved == 0) == (theta == 0)).all()


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.5])
def test_lasso_against_sklearn(diabetes, alpha):
    X, y = diabetes
    n = len(y)
    expected = Lasso(alpha=alpha, tol=1e-12, max_iter=100_000).fit(X, y).coef_
    found = solve(X, y, l1=n * alpha)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert ((found == 0) == (expected == 0)).all()


@pytest.mark.parametrize("ratio", [0.3, 0.9])
def test_elastic_net_against_sklearn(diabetes, ratio):
    X, y = diabetes
    n, alpha = len(y), 0.01
    net = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-12, max_iter=100_000).fit(X, y)
    found = solve(X, y, l1=n * alpha * ratio, l2=n * alpha * (1 - ratio))
    np.testing.assert_allclose(found, net.coef_, atol=1e-5)


def objectives(X, y, l1, method, steps):
    """Return the objective after each step from 0, and the step size."""
    lr = 1 / np.linalg.norm(X, 2) ** 2
    theta = lookahead = np.zeros(X.shape[1])
    state, found = FistaState(theta, 1.0), []
    for _ in range(steps):
        if method == "ista":
            theta = ista(theta, X.T @ (X @ theta - y), lr=lr, l1=l1)
        else:
            lookahead, state = fista(lookahead, X.T @ (X @ lookahead - y), state, lr=lr, l1=l1)
            theta = state.theta
        found.append(((y - X @ theta) ** 2).sum() / 2 + penalty(theta, l1=l1))
    return np.asarray(found), lr


def test_rates_are_within_the_bounds_and_fista_is_faster(diabetes):
    X, y = diabetes
    best = solve(X, y, l1=50.0)
    minimum = ((y - X @ best) ** 2).sum() / 2 + penalty(best, l1=50.0)
    k, distance = np.arange(1.0, 401), np.linalg.norm(best)
    gaps = {}
    for method, bound in (("ista", ista_bound), ("fista", fista_bound)):
        values, lr = objectives(X, y, 50.0, method, 400)
        gaps[method] = values - minimum
        assert (gaps[method] <= bound(k, lr=lr, distance=distance)).all()
        assert (gaps[method] >= -1e-6).all()
    assert (np.diff(gaps["ista"]) <= 1e-9).all()  # step 1/ℓ never increases the objective
    assert gaps["fista"][200] < gaps["ista"][200] / 20


def test_the_bound_needs_a_convex_loss():
    # L = cos θ, ℓ = 1: near its top ISTA stays longer than the bound allows.
    theta = np.asarray(1e-3)
    for _ in range(5):
        above = np.cos(theta) + 1
        theta = ista(theta, -np.sin(theta), lr=1.0)
        assert np.cos(theta) + 1 <= above  # the objective does not increase all the same
    assert np.cos(theta) + 1 > 1.9 * ista_bound(5, lr=1.0, distance=np.pi - 1e-3)


def test_the_bound_of_ista_is_twice_the_worst_case():
    # No loss, only λ|θ|: the step is the prox alone, and λ = R/(2ηk) leaves half of the bound.
    k, lr, start = 7, 0.3, 2.0
    l1 = start / (2 * lr * k)
    theta = np.asarray(start)
    for _ in range(k):
        theta = ista(theta, np.zeros(()), lr=lr, l1=l1)
    assert_close(2 * penalty(theta, l1=l1), ista_bound(k, lr=lr, distance=start))


def test_the_bound_of_fista_is_that_of_its_weights():
    # The proof gives R²/(2ηt²), and t is about (k + 1)/2.
    lookahead, state, ratios = np.zeros(1), FistaState(np.zeros(1), 1.0), []
    for k in range(1, 500):
        ratios.append(fista_bound(k, lr=0.3, distance=2.0) * 2 * 0.3 * state.t**2 / 4)
        lookahead, state = fista(lookahead, np.zeros(1), state, lr=0.3)
    np.testing.assert_allclose(ratios[0], 1)
    assert min(ratios) >= 1 - 1e-12
    np.testing.assert_allclose(ratios[-1], 1, atol=0.03)


def test_fista_momentum_sequence():
    state, lookahead = FistaState(np.zeros(1), 1.0), np.zeros(1)
    found = []
    for _ in range(4):
        lookahead, state = fista(lookahead, np.zeros(1), state, lr=0.1)
        found.append(state.t)
    golden = (1 + 5**0.5) / 2
    np.testing.assert_allclose(found[0], golden)
    np.testing.assert_allclose(found[1] ** 2 - found[1], golden**2)  # t² − t = t_prev²
    assert (np.diff(found) > 0.5).all()


def test_fista_extrapolates_along_the_last_move():
    start = FistaState(np.asarray([1.0, -1.0]), 3.0)
    y, state = fista(np.asarray([2.0, 0.0]), np.zeros(2), start, lr=0.1)
    assert_close(state.theta, np.asarray([2.0, 0.0]))
    weight = (3 - 1) / ((1 + 37**0.5) / 2)
    assert_close(y, np.asarray([2.0 + weight, weight]))


# --- ridge ---


@pytest.mark.parametrize("shape", [(30, 4), (4, 30), (1, 1), (5, 5)])
@pytest.mark.parametrize("l2", [1e-6, 1.0, 1e6])
def test_ridge_against_sklearn(rng, shape, l2):
    X, Y = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn may find the system ill-conditioned
        oracle = Ridge(alpha=l2, fit_intercept=False, solver="svd").fit(X, Y).coef_.T
    assert_close(ridge(X, Y, l2=l2), oracle.reshape(shape[1], 3), scale=1e4)
    assert_close(ridge(X, Y[:, 0], l2=l2), ridge(X, Y, l2=l2)[:, 0])


def test_ridge_is_stationary_and_closed_form(rng):
    X, y = rng.normal(size=(9, 4)), rng.normal(size=9)
    theta = ridge(X, y, l2=0.3)
    assert_close(min_subgradient(theta, X.T @ (X @ theta - y), l2=0.3), np.zeros(4), scale=10)
    assert_close(theta, np.linalg.solve(X.T @ X + 0.3 * np.eye(4), X.T @ y), scale=10)


def test_ridge_does_not_square_the_condition_number():
    # XᵀX + λI is singular to working precision, the singular values are not.
    U, V = (stats.ortho_group.rvs(3, random_state=seed) for seed in (1, 2))
    X = U @ np.diag([1e9, 1.0, 1e-3]) @ V.T
    coordinates = np.asarray([1e9, 1.0, 1e-3])
    theta = ridge(X, U @ coordinates, l2=1e-6)
    np.testing.assert_allclose((V.T @ theta)[0], 1.0, rtol=1e-6)
    normal = np.linalg.solve(X.T @ X + 1e-6 * np.eye(3), X.T @ (U @ coordinates))
    assert np.linalg.norm(normal - V @ [1, 1, 0.5]) > 100 * np.linalg.norm(theta - V @ [1, 1, 0.5])


def test_filter_shrinks_fitted_values_and_counts_parameters(rng):
    X, y = rng.normal(size=(9, 4)), rng.normal(size=9)
    U, sigma, _ = np.linalg.svd(X, full_matrices=False)
    keep = ridge_filter(sigma, l2=0.5)
    assert_close(X @ ridge(X, y, l2=0.5), U @ (keep * (U.T @ y)), scale=10)
    hat = X @ np.linalg.solve(X.T @ X + 0.5 * np.eye(4), X.T)
    assert_close(keep.sum(), np.trace(hat), scale=10)
    assert ridge_filter(np.zeros(2), l2=0.5).tolist() == [0, 0]


def test_ridge_norm_falls_but_a_coefficient_may_grow(diabetes):
    X, y = diabetes
    strengths = np.geomspace(1e-4, 10, 40)
    path = np.stack([ridge(X, y, l2=l2) for l2 in strengths])
    assert (np.diff(np.linalg.norm(path, axis=1)) < 0).all()
    assert (np.diff(abs(path), axis=0) > 0).any()


def test_filter_and_bounds_where_a_step_on_the_way_overflows():
    assert ridge_filter(np.asarray(0.9, dtype=np.float16), l2=6e4) == pytest.approx(
        0.81 / 6e4, 0.01
    )
    assert ista_bound(100, lr=1e200, distance=1e200) == pytest.approx(5e197)
    assert fista_bound(9, lr=1e200, distance=1e200) == pytest.approx(2e198)


# --- errors ---

ONE, TWO = np.ones(1), np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: penalty(ONE, l1=-1.0), ValueError, r"l1 is -1\.0: it must lie in \[0, inf\)"),
        (lambda: penalty(ONE, l2=np.nan), ValueError, "l2 is nan"),
        (lambda: penalty(ONE, l2=np.inf), ValueError, "l2 is inf"),
        (lambda: penalty(np.arange(3), l1=1.0), TypeError, "theta has dtype int64"),
        (lambda: penalty_vjp(ONE, 1.0, l1=-1.0), ValueError, "l1 is -1"),
        (lambda: penalty_vjp(np.arange(3), 1.0), TypeError, "theta has dtype int64"),
        (lambda: min_subgradient(ONE, TWO, l1=1.0), ValueError, r"grad has shape \(2,\)"),
        (lambda: min_subgradient(TWO, np.arange(2)), TypeError, "grad has dtype int64"),
        (lambda: l1_max(np.ones((2, 0))), ValueError, r"grad has shape \(2, 0\): at least one"),
        (lambda: l1_max(np.arange(3)), TypeError, "grad has dtype int64"),
        (lambda: soft_threshold(ONE, threshold=-1.0), ValueError, r"threshold is -1\.0"),
        (lambda: soft_threshold(ONE, threshold=np.inf), ValueError, "threshold is inf"),
        (lambda: soft_threshold(np.arange(3), threshold=1.0), TypeError, "z has dtype int64"),
        (lambda: soft_threshold_vjp(ONE, ONE, threshold=-1.0), ValueError, "threshold is -1"),
        (lambda: soft_threshold_vjp(ONE, TWO, threshold=1.0), ValueError, "cotangent has shape"),
        (
            lambda: soft_threshold_vjp(TWO, np.arange(2), threshold=1.0),
            TypeError,
            "cotangent has dtype int64",
        ),
        (lambda: prox(ONE, lr=-0.1), ValueError, r"lr is -0\.1"),
        (lambda: prox(ONE, lr=0.1, l2=-1.0), ValueError, "l2 is -1"),
        (lambda: ista(ONE, TWO, lr=0.1), ValueError, r"grad has shape \(2,\) but theta"),
        (lambda: ista(np.arange(2), TWO, lr=0.1), TypeError, "theta has dtype int64"),
        (lambda: ista(TWO, np.arange(2), lr=0.1), TypeError, "grad has dtype int64"),
        (
            lambda: fista(ONE, ONE, FistaState(TWO, 1.0), lr=0.1),
            ValueError,
            r"state\.theta has shape \(2,\) but lookahead",
        ),
        (
            lambda: fista(ONE, TWO, FistaState(ONE, 1.0), lr=0.1),
            ValueError,
            r"grad has shape \(2,\) but lookahead",
        ),
        (
            lambda: fista(TWO, TWO, FistaState(np.arange(2), 1.0), lr=0.1),
            TypeError,
            r"state\.theta has dtype int64",
        ),
        (
            lambda: fista(np.arange(2), TWO, FistaState(TWO, 1.0), lr=0.1),
            TypeError,
            "lookahead has dtype int64",
        ),
        (lambda: ridge_filter(ONE, l2=0.0), ValueError, r"l2 is 0\.0: it must lie in \(0, inf\)"),
        (lambda: ridge(np.ones((2, 1)), TWO, l2=0), ValueError, "l2 is 0"),
        (lambda: ridge(np.ones((3, 1)), TWO, l2=1.0), ValueError, r"y has shape \(2,\): \(n, p\)"),
        (lambda: ridge(TWO, TWO, l2=1.0), ValueError, r"X has shape \(2,\)"),
    ],
)
def test_errors_name_the_argument_and_what_is_accepted(call, error, message):
    with pytest.raises(error, match=message):
        call()

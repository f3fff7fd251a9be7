import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg
import sympy
import torch

from dlkb.arrays import namespace
from dlkb.gradients.loss_explosion import (
    convergence_rate,
    iteration_matrix,
    largest_curvature,
    optimal_gradient_descent,
    optimal_heavy_ball,
    stable_lr,
)
from tests.cases import Case
from tests.close import assert_close

RULES = {
    "plain": {},
    "heavy ball": {"momentum": 0.9},
    "little momentum": {"momentum": 0.3},
    "moving average": {"momentum": 0.9, "dampening": 0.9},
    "dampened": {"momentum": 0.8, "dampening": 0.3},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


def second_difference(v):
    """Multiply by a symmetric matrix with eigenvalues 2 − 2 cos(2πk/n), on any library."""
    xp = namespace(v)
    return 2 * v - xp.roll(v, 1, axis=-1) - xp.roll(v, -1, axis=-1)


def curvatures(rng):
    return (rng.uniform(0.2, 8, size=(3, 4)),)


CASES = [
    Case(stable_lr, lambda rng: (curvatures(rng), {"momentum": 0.9, "dampening": 0.5})),
    Case(stable_lr, lambda rng: (curvatures(rng), {"momentum": 0.9, "nesterov": True}), "nesterov"),
    Case(
        iteration_matrix,
        lambda rng: (curvatures(rng), {"lr": 0.3, "momentum": 0.9, "dampening": 0.5}),
    ),
    Case(
        iteration_matrix,
        lambda rng: (curvatures(rng), {"lr": 0.3, "momentum": 0.9, "nesterov": True}),
        "nesterov",
    ),
    Case(
        convergence_rate,
        lambda rng: (curvatures(rng), {"lr": 0.3, "momentum": 0.01, "dampening": 0.5}),
        scale=4,
    ),
    Case(
        convergence_rate,
        lambda rng: (curvatures(rng), {"lr": 0.3, "momentum": 0.9}),
        "heavy",
        unless={"float16 small curvature": "the roots nearly meet: rounding enters by its root"},
    ),
    Case(
        convergence_rate,
        lambda rng: (curvatures(rng), {"lr": 0.3, "momentum": 0.9, "nesterov": True}),
        "nesterov",
        scale=4,
    ),
    Case(optimal_gradient_descent, lambda rng: ((rng.uniform(1, 2, 5), rng.uniform(3, 9, 5)), {})),
    Case(optimal_heavy_ball, lambda rng: ((rng.uniform(1, 2, 5), rng.uniform(3, 9, 5)), {})),
    Case(
        largest_curvature,
        lambda rng: ((second_difference, rng.normal(size=(2, 6))), {"steps": 4}),
        scale=4,
    ),
]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def errors_of_torch(curvature, steps, *, lr, nesterov=False, momentum=0.0, dampening=0.0):
    """Run torch.optim.SGD on λθ²/2 from θ = 1."""
    theta = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([theta], lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov)
    errors = [theta.item()]
    for _ in range(steps):
        sgd.zero_grad()
        (curvature * theta**2 / 2).sum().backward()
        sgd.step()
        errors.append(theta.item())
    return np.asarray(errors)


# --- thresholds ---


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("curvature", [0.03, 4e6])
def test_torch_converges_just_below_the_limit_and_diverges_just_above(rule, curvature):
    limit = stable_lr(curvature, **RULES[rule])
    below = errors_of_torch(curvature, 400, lr=0.95 * limit, **RULES[rule])
    above = errors_of_torch(curvature, 400, lr=1.05 * limit, **RULES[rule])
    assert abs(below[-1]) < 0.1
    assert abs(above[-1]) > 10


@pytest.mark.parametrize("rule", RULES)
def test_the_spectral_radius_is_one_at_the_limit(rule, rng):
    for curvature in rng.uniform(0.1, 100, size=5):
        limit = stable_lr(curvature, **RULES[rule])
        rates = [
            float(convergence_rate(np.asarray(curvature), lr=c * limit, **RULES[rule]))
            for c in (0.999, 1.0, 1.001)
        ]
        assert rates[0] < 1 < rates[2]
        np.testing.assert_allclose(rates[1], 1.0, rtol=1e-12)


def test_limits_by_name():
    beta = 0.9
    assert stable_lr(1.0) == 2
    assert stable_lr(1.0, momentum=beta) == 3.8
    assert stable_lr(1.0, momentum=beta, dampening=beta) == pytest.approx(38)
    assert stable_lr(1.0, momentum=beta, nesterov=True) == pytest.approx(3.8 / 2.8)
    assert_close(stable_lr(np.asarray([1.0, 4.0])), np.asarray([2.0, 0.5]))


def test_the_limit_follows_from_the_characteristic_polynomial():
    eta, lam, beta, tau, z = sympy.symbols("eta lambda beta tau z", positive=True)
    q = 1 - (1 - tau) * eta * lam
    heavy = z**2 - (q + beta) * z + beta
    (found,) = sympy.solve(heavy.subs(z, -1), eta)
    assert sympy.simplify(found - stable_lr(lam, momentum=beta, dampening=tau)) == 0
    q = 1 - eta * lam
    ahead = z**2 - (1 + beta) * q * z + beta * q
    (found,) = sympy.solve(ahead.subs(z, -1), eta)
    assert sympy.simplify(found - stable_lr(lam, momentum=beta, nesterov=True)) == 0


# --- rates ---


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lr", [0.0, 0.01, 0.3, 5.0])
def test_rate_is_the_spectral_radius_that_numpy_finds(rule, lr, rng):
    curvature = np.concatenate([rng.uniform(0, 10, size=20), [0.0, -2.0]])
    matrices = iteration_matrix(curvature, lr=lr, **RULES[rule])
    assert matrices.shape == (22, 2, 2)
    found = np.abs(np.linalg.eigvals(matrices)).max(-1)
    # eigvals loses half of the digits where the two roots coincide
    np.testing.assert_allclose(convergence_rate(curvature, lr=lr, **RULES[rule]), found, rtol=1e-7)


@pytest.mark.parametrize("rule", RULES)
def test_the_matrix_continues_the_run_of_torch(rule):
    lr, curvature = 0.11, 3.0
    errors = errors_of_torch(curvature, 40, lr=lr, **RULES[rule])
    if rule in ("plain", "heavy ball", "little momentum"):
        sequence = errors
    elif rule == "nesterov":  # torch keeps the point one momentum step ahead: same polynomial
        sequence = errors[1:]
    else:  # torch's first velocity is not dampened: the recursion holds afterwards
        sequence = errors[1:]
    M = iteration_matrix(np.asarray(curvature), lr=lr, **RULES[rule])
    for before, now, after in zip(sequence, sequence[1:], sequence[2:], strict=False):
        assert_close(M @ [now, before], np.asarray([after, now]), scale=10)


def test_plain_gradient_descent_is_one_minus_eta_lambda(rng):
    curvature = rng.uniform(-3, 10, size=50)
    assert_close(convergence_rate(curvature, lr=0.4), np.abs(1 - 0.4 * curvature), scale=10)


def test_negative_curvature_always_diverges():
    for rule in RULES.values():
        assert convergence_rate(np.asarray(-1e-3), lr=0.1, **rule) > 1


def test_odd_shapes():
    assert convergence_rate(np.ones((0, 3)), lr=0.1).shape == (0, 3)
    assert iteration_matrix(np.ones((2, 1)), lr=0.1).shape == (2, 1, 2, 2)


# --- the best choice ---


def worst_rate(lr, momentum, spectrum):
    return float(convergence_rate(spectrum, lr=lr, momentum=momentum).max())


@pytest.mark.parametrize("kappa", [1.0, 2.0, 100.0])
def test_no_other_learning_rate_is_faster(kappa):
    spectrum = np.asarray([0.5, 0.5 * (1 + kappa) / 2, 0.5 * kappa])
    best = optimal_gradient_descent(0.5, 0.5 * kappa)
    assert best.momentum == 0
    assert worst_rate(best.lr, 0.0, spectrum) == pytest.approx(best.rate, abs=1e-12)
    for lr in best.lr * np.linspace(0.5, 1.5, 101):
        assert worst_rate(lr, 0.0, spectrum) >= best.rate - 1e-12


@pytest.mark.parametrize("kappa", [2.0, 100.0])
def test_scipy_finds_no_faster_heavy_ball(kappa):
    spectrum = np.linspace(0.5, 0.5 * kappa, 30)
    best = optimal_heavy_ball(0.5, 0.5 * kappa)
    # Both ends have a double root: rounding under the root costs half of the digits.
    np.testing.assert_allclose(worst_rate(best.lr, best.momentum, spectrum), best.rate, atol=1e-6)
    found = scipy.optimize.differential_evolution(
        lambda p: worst_rate(p[0], p[1], spectrum), [(0, 10), (0, 0.999)], seed=0, tol=1e-8
    )
    np.testing.assert_allclose(found.fun, best.rate, atol=1e-3)
    assert found.fun > best.rate - 1e-6
    np.testing.assert_allclose(found.x, (best.lr, best.momentum), rtol=0.02)


def test_momentum_takes_the_root_of_the_condition_number():
    plain, heavy = optimal_gradient_descent(1.0, 1e4), optimal_heavy_ball(1.0, 1e4)
    assert plain.rate == pytest.approx((1e4 - 1) / (1e4 + 1))
    assert heavy.rate == pytest.approx(99 / 101)
    assert heavy.momentum == heavy.rate**2


# --- the largest curvature ---


def test_power_iteration_against_scipy(rng):
    A = rng.normal(size=(30, 30))
    A = A @ A.T
    found = largest_curvature(lambda v: v @ A, rng.normal(size=30), steps=400)
    value, vector = scipy.sparse.linalg.eigsh(A, k=1)
    np.testing.assert_allclose(found.value, value[0], rtol=1e-9)
    np.testing.assert_allclose(abs(found.direction @ vector[:, 0]), 1, rtol=1e-6)


def test_power_iteration_returns_a_large_negative_eigenvalue_with_its_sign():
    found = largest_curvature(lambda v: v * np.asarray([1.0, -3.0]), np.ones(2), steps=60)
    assert_close(found.value, -3.0)


def test_opposite_signs_of_one_size_give_what_lies_between():
    opposite = np.diag([2.0, -2.0, 1.0])
    value, v = largest_curvature(lambda v: v @ opposite, np.asarray([1.0, 0.5, 1.0]), steps=100)
    assert -1.9 < value < 1.9
    assert np.linalg.norm(opposite @ v - value * v) > 0.1


def test_a_zero_operator_and_a_batch_of_one(rng):
    assert_close(largest_curvature(lambda v: 0 * v, rng.normal(size=(2, 3))).value, np.zeros(2))
    found = largest_curvature(lambda v: 5 * v, np.asarray([[2.0]]), steps=1)
    assert_close(found.value, np.asarray([5.0]))
    assert_close(found.direction, np.asarray([[1.0]]))


def test_the_sharpness_of_a_network_against_its_whole_hessian(rng, device):
    X = torch.tensor(rng.normal(size=(20, 3)), device=device)
    y = torch.tensor(rng.normal(size=20), device=device)

    def loss(w):
        return ((torch.tanh(X @ w[:12].view(3, 4)) @ w[12:] - y) ** 2).mean()

    w = torch.tensor(rng.normal(size=16), device=device)
    H = torch.autograd.functional.hessian(loss, w)
    gradient = torch.func.grad(loss)
    found = largest_curvature(
        lambda v: torch.func.grad(lambda w: gradient(w) @ v)(w),
        torch.tensor(rng.normal(size=16), device=device),
        steps=500,
    )
    eigenvalues = torch.linalg.eigvalsh(H)
    largest = eigenvalues[eigenvalues.abs().argmax()]
    np.testing.assert_allclose(found.value.item(), largest.item(), rtol=1e-8)


# --- errors ---


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"curvature is -1.0: it must lie in \(0, inf\)"):
        stable_lr(-1.0)
    with pytest.raises(ValueError, match=r"momentum is 1.0: it must lie in \[0, 1\)"):
        stable_lr(1.0, momentum=1.0)
    with pytest.raises(ValueError, match=r"dampening is 0.5: it must lie in \[0, 0\]"):
        stable_lr(1.0, momentum=0.9, dampening=0.5, nesterov=True)
    with pytest.raises(ValueError, match=r"dampening is 1: it must lie in \[0, 1\)"):
        convergence_rate(np.ones(2), lr=0.1, dampening=1)
    with pytest.raises(ValueError, match=r"lr is -0.1"):
        iteration_matrix(np.ones(2), lr=-0.1)
    for function in (convergence_rate, iteration_matrix):
        with pytest.raises(TypeError, match="curvature is float: an array is needed"):
            function(10.0, lr=0.1)
    with pytest.raises(TypeError, match="curvature has dtype int64"):
        convergence_rate(np.arange(3), lr=0.1)
    with pytest.raises(ValueError, match=r"lowest is 0\.0"):
        optimal_heavy_ball(0.0, 1.0)
    with pytest.raises(ValueError, match=r"highest is 1.0: it must lie in \[2.0, inf\)"):
        optimal_gradient_descent(2.0, 1.0)
    with pytest.raises(ValueError, match=r"highest is -5.0: it must lie in \(0, inf\)"):
        optimal_heavy_ball(np.ones(2), -5.0)
    with pytest.raises(ValueError, match="steps is 0"):
        largest_curvature(lambda v: v, np.ones(2), steps=0)
    with pytest.raises(TypeError, match="start has dtype"):
        largest_curvature(lambda v: v, np.arange(2))

import numpy as np
import pytest
import torch

from dlkb.gradients.iterated_maps import (
    cliff_loss,
    cliff_loss_vjp,
    iterate_derivative,
    lap_numbers,
    logistic,
    logistic_vjp,
    lyapunov_exponent,
    orbit,
    prediction_horizon,
)
from tests.cases import Case
from tests.close import assert_close


def points(rng):
    return rng.uniform(0.05, 0.95, size=(2, 3))


CASES = [
    Case(logistic, lambda rng: ((points(rng),), {"r": 3.5})),
    Case(
        logistic,
        lambda rng: ((points(rng),), {"r": rng.uniform(1, 4, size=3)}),
        "many r",
        batch=("x",),
        broadcasts=("r",),
    ),
    Case(logistic_vjp, lambda rng: ((points(rng), rng.normal(size=(2, 3))), {"r": 3.5}), scale=2),
    Case(orbit, lambda rng: ((points(rng),), {"r": 2.5, "steps": 5}), batch_axis=1),
    Case(iterate_derivative, lambda rng: ((points(rng),), {"r": 2.5, "steps": 4}), scale=2),
    Case(
        lyapunov_exponent,
        lambda rng: ((points(rng),), {"r": 1.5, "steps": 5, "burn_in": 3}),
        scale=2,
        fixed=("x",),  # in [0, 1]
    ),
    Case(
        lap_numbers,
        lambda rng: ((np.asarray([[2.0, 3.5], [3.7, 4.0]]),), {"steps": 5}),
        half=False,
        batch_axis=1,
    ),
    Case(
        prediction_horizon,
        lambda rng: ((rng.uniform(0.1, 1, size=4),), {"error": 1e-6, "tolerance": 0.01}),
    ),
    Case(
        cliff_loss,
        lambda rng: ((rng.uniform(0.8, 1.1, size=(2, 3)),), {"depth": 5, "x": 0.7, "target": 0.3}),
    ),
    Case(
        cliff_loss_vjp,
        lambda rng: (
            (rng.uniform(0.8, 1.1, size=4), rng.normal(size=4)),
            {"depth": 5, "x": 0.7, "target": 0.3},
        ),
        scale=4,
    ),
]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def polynomial_iterate(r, n):
    """Return f^n as a NumPy polynomial, composed without our code."""
    f = np.polynomial.Polynomial([0.0, r, -r])
    composed = f
    for _ in range(n - 1):
        composed = f(composed)
    return composed


# --- the map and its derivative ---


def test_the_map_is_the_one_of_the_notes(rng):
    x = rng.uniform(size=100)
    assert_close(logistic(x, r=3.5), -3.5 * x**2 + 3.5 * x)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("r", [2.0, 3.5, 4.0])
def test_iterates_and_their_derivatives_against_composed_polynomials(n, r, rng):
    x = rng.uniform(size=20)
    f = polynomial_iterate(r, n)
    np.testing.assert_allclose(orbit(x, r=r, steps=n)[-1], f(x), atol=1e-9)
    np.testing.assert_allclose(iterate_derivative(x, r=r, steps=n), f.deriv()(x), atol=1e-7)


def test_derivatives_against_autograd(rng, device):
    x = torch.tensor(rng.uniform(size=(3, 4)), device=device, requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=(3, 4)), device=device)
    (expected,) = torch.autograd.grad(3.7 * x * (1 - x), x, cotangent)
    assert_close(logistic_vjp(x, cotangent, r=3.7), expected)
    (expected,) = torch.autograd.grad(orbit(x, r=3.7, steps=9)[-1].sum(), x)
    assert_close(iterate_derivative(x, r=3.7, steps=9), expected, scale=1e3)


def test_no_step_at_all(rng):
    x = rng.uniform(size=(2, 0, 3))
    assert orbit(x, r=3.0, steps=0).shape == (1, 2, 0, 3)
    assert_close(iterate_derivative(np.asarray([0.3]), r=3.0, steps=0), np.ones(1))


def test_the_derivative_at_the_ends_is_r_to_the_n():
    assert_close(
        iterate_derivative(np.asarray([0.0, 1.0]), r=3.5, steps=10), 3.5**10 * np.asarray([1, -1])
    )


# --- the Lyapunov exponent ---


def test_three_and_a_half_is_a_stable_cycle_of_four(rng):
    x = orbit(rng.uniform(0.01, 0.99, size=50), r=3.5, steps=1000)[-1]
    after = orbit(x, r=3.5, steps=4)
    assert_close(after[4], after[0], scale=100)
    assert (np.abs(after[1:4] - after[0]) > 0.04).all()
    np.testing.assert_allclose(
        np.sort(after[:4, 0]), [0.38281968, 0.50088421, 0.82694071, 0.87499726], atol=1e-8
    )
    multiplier = iterate_derivative(x, r=3.5, steps=4)
    np.testing.assert_allclose(multiplier, -0.0305, atol=1e-4)
    assert_close(lyapunov_exponent(x, r=3.5, steps=4), np.log(np.abs(multiplier)) / 4, scale=100)


def test_closed_forms_of_stable_fixed_points_and_two_cycles():
    start = np.asarray(0.4)
    for r in (1.7, 2.6, 2.9):  # fixed point 1 − 1/r with multiplier 2 − r
        found = lyapunov_exponent(start, r=r, steps=200, burn_in=2000)
        np.testing.assert_allclose(found, np.log(abs(2 - r)), rtol=1e-9)
    for r in (3.1, 3.3, 3.4):  # 2-cycle with multiplier 4 + 2r − r²
        found = lyapunov_exponent(start, r=r, steps=200, burn_in=2000)
        np.testing.assert_allclose(found, np.log(abs(4 + 2 * r - r**2)) / 2, rtol=1e-9)


def test_at_four_the_exponent_is_the_logarithm_of_two(rng):
    x = rng.uniform(size=500)
    found = lyapunov_exponent(x, r=4.0, steps=1000)
    np.testing.assert_allclose(np.median(found), np.log(2), atol=5e-3)


def test_the_closed_form_of_the_orbit_at_four(rng):
    x = rng.uniform(size=10)
    angle = np.arcsin(np.sqrt(x))
    n = np.arange(11)
    expected = np.sin(2.0 ** n[:, None] * angle) ** 2
    np.testing.assert_allclose(orbit(x, r=4.0, steps=10), expected, atol=1e-10)


def test_burn_in_drops_the_first_terms():
    terms = [float(lyapunov_exponent(np.asarray(0.3), r=3.9, steps=1, burn_in=b)) for b in range(5)]
    assert float(lyapunov_exponent(np.asarray(0.3), r=3.9, steps=3, burn_in=2)) == pytest.approx(
        np.mean(terms[2:])
    )
    assert terms[0] == pytest.approx(np.log(3.9 * 0.4))


def test_the_critical_point_gives_minus_infinity():
    with np.errstate(divide="ignore"):
        assert lyapunov_exponent(np.asarray(0.5), r=3.5, steps=3) == -np.inf


# --- laps ---


@pytest.mark.parametrize("r", [0.5, 1.5, 2.0, 3.0, 3.2, 3.5, 3.7, 3.83, 4.0])
def test_laps_against_the_sign_of_the_derivative_on_a_grid(r):
    laps = lap_numbers(np.asarray(r), steps=4)
    x = np.linspace(0, 1, 20_001)[1:-1] + 1e-7
    sign = np.ones_like(x)
    for n in range(4):
        sign = sign * np.sign(1 - 2 * x)
        x = r * x * (1 - x)
        assert laps[n] == 1 + np.count_nonzero(np.diff(sign[sign != 0]))


def test_laps_at_four_double():
    assert lap_numbers(np.asarray(4.0), steps=12).tolist() == [2**n for n in range(1, 13)]


def test_laps_at_three_and_a_half_do_not():
    laps = lap_numbers(np.asarray(3.5), steps=16)
    assert laps[:10].tolist() == [2, 4, 8, 14, 24, 38, 58, 84, 118, 160]
    rates = np.diff(np.log(laps))
    assert (np.diff(rates)[2:] < 0).all()
    assert rates[-1] < 0.25 < np.log(2)


def test_laps_of_no_and_of_many_maps():
    assert lap_numbers(np.ones((0,)), steps=3).shape == (3, 0)
    many = lap_numbers(np.asarray([[3.5], [4.0]]), steps=3)
    assert many.shape == (3, 2, 1)
    assert many[2, 1, 0] == 8


# --- how long floating-point numbers can be trusted ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_errors_reach_the_tolerance_at_the_horizon(dtype, rng):
    x = rng.uniform(0.05, 0.95, size=400).astype(dtype)
    one, other = x, x
    first = np.full(400, -1)
    for n in range(1, 100):
        one, other = 4 * one * (1 - one), 4 * one.dtype.type(1) * other - 4 * other * other
        first = np.where((first < 0) & (np.abs(one - other) > 0.1), n, first)
    horizon = prediction_horizon(np.log(2), error=np.finfo(dtype).eps / 2)
    assert abs(np.median(first) - horizon) < 4


def test_horizon_of_exact_doubling():
    assert prediction_horizon(np.log(2), error=2**-20, tolerance=2**-4) == pytest.approx(16)


# --- cliffs ---


def test_cliff_gradient_against_autograd(rng, device):
    w = torch.tensor(rng.uniform(-1.2, 1.2, size=(3, 2)), device=device, requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=(3, 2)), device=device)
    loss = (0.8 * w**50 - 2) ** 2
    (expected,) = torch.autograd.grad(loss, w, cotangent)
    assert_close(cliff_loss(w, depth=50, x=0.8, target=2.0), loss)
    found = cliff_loss_vjp(w, cotangent, depth=50, x=0.8, target=2.0)
    np.testing.assert_allclose(found.detach().cpu(), expected.cpu(), rtol=1e-10)


def test_the_cliff_is_flat_on_one_side_and_steep_on_the_other():
    w = np.asarray([0.5, 0.8, 1.1, 1.2])
    slope = cliff_loss_vjp(w, np.ones(4), depth=50)
    assert (np.abs(slope[:2]) < 2e-3).all()
    assert (slope[2:] > 1e6).all()


def test_curvature_at_the_bottom_is_twice_the_square_of_the_depth():
    h = 1e-6
    slope = cliff_loss_vjp(np.asarray([1 - h, 1 + h]), np.ones(2), depth=50)
    np.testing.assert_allclose((slope[1] - slope[0]) / (2 * h), 2 * 50**2, rtol=1e-4)


# --- errors ---


def test_errors_name_the_argument():
    x = np.asarray([0.5])
    with pytest.raises(TypeError, match="x has dtype int64"):
        logistic(np.arange(2), r=3.0)
    with pytest.raises(ValueError, match=r"cotangent has shape \(2,\) but x has shape \(1,\)"):
        logistic_vjp(x, np.ones(2), r=3.0)
    with pytest.raises(ValueError, match=r"r is 4\.1: it must lie in \[0, 4\]"):
        orbit(x, r=4.1, steps=1)
    with pytest.raises(ValueError, match="steps is -1"):
        iterate_derivative(x, r=4.0, steps=-1)
    with pytest.raises(ValueError, match="steps is 0"):
        lyapunov_exponent(x, r=4.0, steps=0)
    with pytest.raises(ValueError, match="burn_in is -1"):
        lyapunov_exponent(x, r=4.0, steps=1, burn_in=-1)
    with pytest.raises(ValueError, match="r is -1"):
        lyapunov_exponent(x, r=-1, steps=1)
    for library in (np.asarray, torch.as_tensor):
        start, wide = library(np.full(3, 0.5)), library(np.ones((2, 2)))
        with pytest.raises(ValueError, match=r"r has shape \(2, 2\): it must broadcast"):
            orbit(start, r=wide, steps=0)
        with pytest.raises(ValueError, match=r"r has shape \(2, 2\): it must broadcast"):
            lyapunov_exponent(start, r=wide, steps=1)
    with pytest.raises(ValueError, match="steps is 0"):
        lap_numbers(x, steps=0)
    with pytest.raises(ValueError, match=r"error is 0: it must lie in \(0, inf\)"):
        prediction_horizon(0.7, error=0)
    with pytest.raises(ValueError, match=r"exponent is -0\.8"):
        prediction_horizon(-0.8, error=1e-3)
    with pytest.raises(ValueError, match="depth is 0"):
        cliff_loss(x, depth=0)
    with pytest.raises(TypeError, match="cotangent has dtype"):
        cliff_loss_vjp(x, np.ones(1, dtype=int), depth=2)

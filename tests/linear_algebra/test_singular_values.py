from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.special
import torch

from dlkb.linear_algebra.singular_values import (
    condition_number,
    gain,
    gaussian_edges,
    gaussian_lyapunov_exponents,
    jordan_power_norm,
    log_product_spectrum,
    log_volume,
    power_iteration,
    spectral_norm_vjp,
    spectral_radius_bounds,
)
from tests.cases import Case
from tests.close import assert_close


def layers(rng, widths):
    return [rng.normal(size=(m, n)) / n**0.5 for n, m in pairwise(widths)]


CASES = [
    Case(
        gain,
        lambda rng: ((rng.normal(size=(3, 5)), rng.normal(size=(7, 5))), {}),
        scale=2,
        batch=("v",),
        law=lambda gains, by: gains * by["W"],
    ),
    Case(gain, lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4))), {}), "batch"),
    Case(
        power_iteration,
        lambda rng: ((rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 5))), {"steps": 3}),
        scale=4,
        law=lambda found, by: found._replace(sigma=found.sigma * by["W"]),
    ),
    Case(
        spectral_norm_vjp,
        lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(2, 5)), rng.normal(size=2)), {}),
    ),
    Case(
        condition_number,
        lambda rng: ((rng.uniform(0.1, 3, size=(4, 5)),), {}),
        scale=10,
        law=lambda ratios, by: ratios,
    ),
    Case(
        log_volume,
        lambda rng: ((rng.uniform(0.1, 3, size=(4, 5)),), {}),
        scale=4,
        law=lambda logs, by: logs + 5 * np.log(by["singular_values"]),
    ),
    Case(
        spectral_radius_bounds,
        lambda rng: ((rng.normal(size=(2, 4, 4)),), {"doublings": 6}),
        half=False,
        scale=4,
        batch_axis=1,
        law=lambda bounds, by: bounds * by["W"],
    ),
    Case(jordan_power_norm, lambda rng: ((np.arange(12.0),), {"lam": 0.8, "c": -3.0}), scale=20),
    Case(
        log_product_spectrum,
        lambda rng: ((layers(rng, (4, 4, 4, 4, 4)),), {"sweeps": 3}),
        half=False,
        scale=10,
        law=lambda logs, by: logs + 4 * np.log(by["factors"]),
    ),
    Case(
        log_product_spectrum,
        lambda rng: (([rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 4, 3))],), {}),
        "rectangular",
        half=False,
        scale=10,
        law=lambda logs, by: logs + 2 * np.log(by["factors"]),
    ),
    Case(gaussian_edges, lambda rng: ((5, 7), {"std": 0.3})),
    Case(gaussian_lyapunov_exponents, lambda rng: ((5,), {"std": 0.3})),
]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# --- gain ---


def test_gain_is_the_quotient_of_two_lengths(rng):
    W, v = rng.normal(size=(3, 5)), rng.normal(size=(40, 5))
    expected = np.linalg.norm(v @ W.T, axis=1) / np.linalg.norm(v, axis=1)
    assert_close(gain(W, v), expected, scale=10)


@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (3, 5), (1, 1)])
def test_gain_lies_between_the_singular_values_and_attains_them(rng, shape):
    W = rng.normal(size=shape)
    _, sigma, V_t = scipy.linalg.svd(W)
    found = gain(W, rng.normal(size=(500, shape[1])))
    assert found.max() <= sigma[0] * (1 + 1e-12)
    if shape[0] >= shape[1]:
        assert found.min() >= sigma[-1] * (1 - 1e-12)
    assert_close(gain(W, V_t[: len(sigma)]), sigma, scale=10)


@pytest.mark.parametrize("length", [1e-300, 1.0, 1e300])
def test_gain_ignores_the_length(rng, length):
    W, v = rng.normal(size=(4, 4)), rng.normal(size=4)
    assert_close(gain(W, length * v), gain(W, v), scale=10)
    assert_close(gain(length * W, v) / length, gain(W, v), scale=10)


def test_gain_of_none_and_of_the_zero_matrix(rng):
    assert gain(np.ones((2, 3)), np.ones((0, 3))).shape == (0,)
    assert gain(np.zeros((2, 3)), np.ones(3)) == 0


# --- the largest singular value ---


@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (3, 5), (1, 6), (6, 1)])
def test_power_iteration_against_scipy(rng, shape):
    W = rng.normal(size=shape)
    found = power_iteration(W, rng.normal(size=shape[1]), steps=400)
    assert_close(found.sigma, scipy.linalg.norm(W, 2), scale=10)
    assert_close(W @ found.v, found.sigma * found.u, scale=10)
    np.testing.assert_allclose(W.T @ found.u, found.sigma * found.v, atol=1e-8)


def test_power_iteration_bounds_from_below_and_grows(rng):
    W, v = rng.normal(size=(30, 30)), rng.normal(size=30)
    found = [power_iteration(W, v, steps=k).sigma for k in range(20)]
    assert (np.diff(found) >= 0).all()
    assert found[-1] <= np.linalg.norm(W, 2) * (1 + 1e-12)
    assert_close(found[0], gain(W, v), scale=10)


def test_power_iteration_converges_at_the_documented_rate():
    W, v = np.diag([1.0, 0.9]), np.ones(2)
    errors = [1 - power_iteration(W, v, steps=k).sigma for k in (10, 20)]
    np.testing.assert_allclose(errors[1] / errors[0], 0.9**40, rtol=0.02)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_power_iteration_at_extreme_scale(rng, scale):
    W, v = rng.normal(size=(4, 4)), rng.normal(size=4)
    found = power_iteration(scale * W, v, steps=200)
    assert_close(found.sigma / scale, np.linalg.norm(W, 2), scale=10)


def test_power_iteration_of_the_zero_matrix():
    found = power_iteration(np.zeros((2, 3)), np.ones(3), steps=2)
    assert found.sigma == 0
    assert not np.isnan(found.u).any()


@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (2, 3, 4)])
def test_gradient_of_the_norm_against_autograd(rng, shape, device):
    W = torch.tensor(rng.normal(size=shape), device=device, requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=shape[:-2]), device=device)
    sigma = torch.linalg.matrix_norm(W, 2)
    (expected,) = torch.autograd.grad(sigma, W, cotangent)
    start = torch.tensor(rng.normal(size=(*shape[:-2], shape[-1])), device=device)
    found = power_iteration(W.detach(), start, steps=600)
    assert_close(spectral_norm_vjp(found.u, found.v, cotangent), expected, scale=1e4)


def test_gradient_of_every_singular_value_against_autograd(rng):
    W = torch.tensor(rng.normal(size=(4, 4)), requires_grad=True)
    U, sigma, V_t = torch.linalg.svd(W.detach())
    for i in range(4):
        (expected,) = torch.autograd.grad(torch.linalg.svdvals(W)[i], W)
        actual = spectral_norm_vjp(U[:, i], V_t[i], torch.ones_like(sigma[i]))
        assert_close(actual, expected, scale=10)


# --- condition and volume ---


def test_condition_number_against_numpy(rng):
    W = rng.normal(size=(3, 4, 6))
    assert_close(condition_number(np.linalg.svd(W)[1]), np.linalg.cond(W), scale=10)
    assert condition_number(np.asarray([2.0, 0.0])) == np.inf
    assert condition_number(np.asarray([0.0])) == np.inf
    assert_close(condition_number(np.asarray([0.01, 3.0, 10.0])), 1000.0, scale=10)


def test_log_volume_against_slogdet(rng):
    W = rng.normal(size=(3, 6, 6))
    assert_close(log_volume(np.linalg.svd(W)[1]), np.linalg.slogdet(W)[1], scale=10)


def test_log_volume_of_a_rectangle_and_where_the_determinant_is_no_number(rng):
    W = rng.normal(size=(3, 6))
    expected = np.linalg.slogdet(W @ W.T)[1] / 2
    assert_close(log_volume(np.linalg.svd(W)[1]), expected, scale=10)
    assert_close(log_volume(np.full(2000, 1e-3)), 2000 * np.log(1e-3))
    assert log_volume(np.asarray([[1.0, 0.0], [1.0, 1.0]])).tolist() == [-np.inf, 0.0]


# --- powers ---


def test_radius_bounds_against_eigenvalues_and_matrix_powers(rng):
    W = rng.normal(size=(5, 5))
    bounds = spectral_radius_bounds(W, doublings=24)
    for j in range(5):
        power = np.linalg.matrix_power(W, 2**j)
        assert_close(bounds[j], np.linalg.norm(power, 2) ** (1 / 2**j), scale=10)
    radius = abs(np.linalg.eigvals(W)).max()
    np.testing.assert_allclose(bounds[-1], radius, rtol=1e-6)
    assert (bounds >= radius * (1 - 1e-9)).all()
    assert (np.diff(bounds) <= 1e-12).all()


def test_radius_bounds_of_normal_and_nilpotent_matrices(rng):
    S = rng.normal(size=(4, 4))
    S = S + S.T
    radius = abs(np.linalg.eigvalsh(S)).max()
    assert_close(spectral_radius_bounds(S, doublings=30), np.full(31, radius), scale=100)
    shift = np.diag([5.0, 5.0, 5.0], k=1)
    assert spectral_radius_bounds(shift, doublings=3).tolist() == pytest.approx(
        [5, 5, 0, 0], rel=1e-12
    )
    for dtype, many in ((np.float32, 130), (np.float64, 1030)):  # the dtype does not hold 2ʲ
        bounds = spectral_radius_bounds(shift[:2, :2].astype(dtype), doublings=many)
        assert bounds[1:].tolist() == [0] * many


def test_radius_bounds_do_not_overflow():
    W = np.asarray([[1e200, 1e250], [0.0, 1e200]])
    bounds = spectral_radius_bounds(W, doublings=40)
    np.testing.assert_allclose(bounds[-1], 1e200, rtol=1e-6)
    assert np.isfinite(bounds).all()


@pytest.mark.parametrize("lam", [0.5, 0.9, 1.0, 1.1])
@pytest.mark.parametrize("c", [-3.0, 0.0, 1e-3, 100.0])
def test_jordan_power_norm_against_matrix_power(lam, c):
    A = np.asarray([[lam, c], [0.0, lam]])
    k = np.arange(60)
    expected = [np.linalg.norm(np.linalg.matrix_power(A, j), 2) for j in k]
    np.testing.assert_allclose(jordan_power_norm(k * 1.0, lam=lam, c=c), expected, rtol=1e-11)


def test_jordan_power_norm_peaks_where_the_docstring_says_and_does_not_underflow():
    k = np.arange(1.0, 400.0)
    norm = jordan_power_norm(k, lam=0.99, c=1e3)
    assert abs(k[np.argmax(norm)] + 1 / np.log(0.99)) <= 1
    # 0.5^600 squared is 0 in float64, and so would be the result.
    found = jordan_power_norm(np.asarray(600.0), lam=0.5, c=0.0)
    np.testing.assert_allclose(found, 0.5**600, rtol=1e-12)


# --- products ---


def exact_log_spectrum(factors, digits=400):
    with mpmath.workdps(digits):
        product = mpmath.matrix(factors[0].tolist())
        for W in factors[1:]:
            product = mpmath.matrix(W.tolist()) * product
        sigma = mpmath.svd_r(product, compute_uv=False)
        return np.sort([float(mpmath.log(s)) for s in sigma])[::-1]


@pytest.mark.parametrize(("depth", "tolerance"), [(30, 1e-9), (60, 1e-12)])
def test_product_spectrum_against_arithmetic_of_400_digits(rng, depth, tolerance):
    factors = layers(rng, [5] * (depth + 1))
    found = log_product_spectrum(factors)
    np.testing.assert_allclose(found, exact_log_spectrum(factors), atol=tolerance * depth)


def test_product_spectrum_through_a_bottleneck(rng):
    factors = layers(rng, [7, 4, 3, 6] * 8)
    found = log_product_spectrum(factors)
    assert found.shape == log_product_spectrum(factors, sweeps=2).shape == (3,)
    np.testing.assert_allclose(found, exact_log_spectrum(factors)[:3], atol=1e-9)


def test_product_spectrum_where_the_product_has_lost_it(rng):
    factors = layers(rng, [8] * 61)
    product = np.linalg.multi_dot(factors[::-1])
    formed = np.log(np.linalg.svd(product)[1])
    found = log_product_spectrum(factors)
    np.testing.assert_allclose(found[0], formed[0], atol=1e-9)
    assert formed[-1] > found[-1] + 5  # rounding errors in place of the value
    assert_close(np.sum(found), sum(np.linalg.slogdet(W)[1] for W in factors), scale=100)


def test_product_spectrum_beyond_the_range_of_floats():
    found = log_product_spectrum([np.diag([1e100, 1e-100])] * 10)
    assert_close(found, np.asarray([1, -1]) * 1000 * np.log(10))


def test_product_spectrum_improves_with_sweeps(rng):
    factors = layers(rng, [5] * 9)
    exact = np.log(np.linalg.svd(np.linalg.multi_dot(factors[::-1]))[1])
    errors = [abs(log_product_spectrum(factors, sweeps=k) - exact).max() for k in (2, 6, 20)]
    assert errors[0] > 10 * errors[1] > 10 * errors[2]
    assert errors[2] < 1e-6


def test_product_spectrum_is_sorted_and_knows_exact_zeros():
    assert_close(log_product_spectrum([np.diag([1.0, 4.0])]), np.log([4.0, 1.0]))
    found = log_product_spectrum([np.diag([2.0, 0.0]), np.diag([3.0, 5.0])])
    assert_close(found, np.asarray([np.log(6.0), -np.inf]))


def test_product_spectrum_of_one_number():
    assert_close(log_product_spectrum([np.asarray([[-3.0]])]), np.log([3.0]))


# --- random matrices ---


@pytest.mark.parametrize("shape", [(400, 400), (600, 150), (150, 600)])
def test_edges_against_draws(rng, shape):
    sigma = np.linalg.svd(0.1 * rng.normal(size=shape))[1]
    edges = gaussian_edges(*shape, std=0.1)
    np.testing.assert_allclose(sigma.max(), edges.high, rtol=0.03)
    np.testing.assert_allclose(sigma.min(), edges.low, atol=0.1)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 257])
def test_exponents_against_scipy_digamma(n):
    i = np.arange(1, n + 1)
    expected = np.log(0.7) + (np.log(2) + scipy.special.digamma((n - i + 1) / 2)) / 2
    assert_close(np.asarray(gaussian_lyapunov_exponents(n, std=0.7)), expected, scale=10)


def test_exponents_are_the_slopes_of_a_deep_product(rng):
    n, depth = 6, 2000
    factors = list(0.5 * rng.normal(size=(depth, n, n)))
    slopes = log_product_spectrum(factors, sweeps=2) / depth
    np.testing.assert_allclose(slopes, gaussian_lyapunov_exponents(n, std=0.5), atol=0.06)


def test_approximations_of_the_docstring():
    found = gaussian_lyapunov_exponents(400, std=0.05)
    assert abs(found[0] + 1 / 800) < 1e-5
    assert abs(found[-1] + np.log(400) / 2 + 0.635) < 1e-3


# --- errors ---

SQUARE, VECTOR = np.eye(3), np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gain(SQUARE, np.ones(2)), ValueError, r"v has shape \(2,\)"),
        (lambda: gain(SQUARE, np.asarray(1.0)), ValueError, r"v has shape \(\)"),
        (lambda: gain(np.ones((0, 3)), VECTOR), ValueError, r"W has shape \(0, 3\)"),
        (lambda: gain(VECTOR, VECTOR), ValueError, r"W has shape \(3,\)"),
        (lambda: gain(np.eye(3, dtype=int), VECTOR), TypeError, "W has dtype int64"),
        (lambda: gain(SQUARE, [1.0, 1.0, 1.0]), TypeError, "v is list"),
        (lambda: power_iteration(SQUARE, VECTOR, steps=-1), ValueError, "steps is -1"),
        (lambda: power_iteration(SQUARE, np.ones(2), steps=1), ValueError, "are needed"),
        (
            lambda: spectral_norm_vjp(VECTOR, VECTOR, VECTOR),
            ValueError,
            "cotangent has shape",
        ),
        (
            lambda: spectral_norm_vjp(np.asarray(1.0), VECTOR, np.asarray(1.0)),
            ValueError,
            "u and v need an axis",
        ),
        (lambda: condition_number(np.ones((2, 0))), ValueError, r"shape \(2, 0\)"),
        (lambda: log_volume(np.asarray(1.0)), ValueError, "r of at least 1"),
        (lambda: log_volume(np.ones(2, dtype=int)), TypeError, "singular_values has dtype"),
        (lambda: spectral_radius_bounds(np.ones((2, 3)), doublings=1), ValueError, "W has shape"),
        (lambda: spectral_radius_bounds(SQUARE, doublings=-1), ValueError, "doublings is -1"),
        (lambda: jordan_power_norm(VECTOR, lam=0.0, c=1.0), ValueError, "lam is 0.0"),
        (lambda: log_product_spectrum([]), ValueError, "factors is empty"),
        (lambda: log_product_spectrum([SQUARE], sweeps=1), ValueError, "sweeps is 1"),
        (
            lambda: log_product_spectrum([SQUARE, np.ones((3, 2))]),
            ValueError,
            r"shape \(3, 2\) follows one of \(3, 3\)",
        ),
        (lambda: log_product_spectrum([np.ones((0, 2))]), ValueError, "a factor has shape"),
        (lambda: gaussian_edges(0, 3, std=1.0), ValueError, "rows is 0"),
        (lambda: gaussian_edges(3, 0, std=1.0), ValueError, "columns is 0"),
        (lambda: gaussian_edges(3, 3, std=-1.0), ValueError, "std is -1.0"),
        (lambda: gaussian_lyapunov_exponents(0, std=1.0), ValueError, "n is 0"),
        (lambda: gaussian_lyapunov_exponents(2, std=0.0), ValueError, "std is 0.0"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_jax_traces_the_formulas(rng):
    W, v = jnp.asarray(rng.normal(size=(3, 4))), jnp.asarray(rng.normal(size=4))
    assert_close(jax.jit(gain)(W, v), gain(np.asarray(W), np.asarray(v)))
    expected = jax.grad(lambda W: jnp.linalg.norm(W, 2))(W)
    found = power_iteration(W, v, steps=300)
    assert_close(spectral_norm_vjp(found.u, found.v, jnp.asarray(1.0)), expected, scale=100)


def test_not_a_number_is_not_hidden():
    W = torch.eye(2, dtype=torch.float64)
    W[0, 0] = float("nan")
    assert torch.isnan(gain(W, torch.ones(2, dtype=torch.float64)))
    assert torch.isnan(log_volume(torch.tensor([float("nan"), 1.0])))
    assert torch.isnan(condition_number(torch.tensor([float("nan"), 1.0])))


def test_many_doublings_lose_the_radius_of_a_large_defective_block():
    block = np.diag(np.full(19, 10.0), 1) + 0.5 * np.eye(20)
    bounds = spectral_radius_bounds(block, doublings=60)
    assert (bounds[:30] > 0.5).all()
    assert bounds[25] < 0.5 + 1e-4
    assert bounds[-1] == 0  # as the docstring warns


def test_numbers_of_numpy_keep_the_dtype_of_a_power():
    k, number = np.ones(2, np.float32), np.float64(0.9)
    assert jordan_power_norm(k, lam=number, c=number).dtype == "f4"

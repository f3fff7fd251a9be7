import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
import torch

from dlkb.linear_algebra.symmetric_matrices import (
    asymmetry,
    departure_from_normality,
    effective_rank,
    eigenspace_projectors,
    log_power_norms,
    power_norm_limit,
    rayleigh_quotient,
    rayleigh_quotient_vjp,
    spectral_function,
    spectral_function_vjp,
    spectral_residuals,
    symmetric_part,
)
from tests.cases import Case
from tests.close import assert_close


def square(rng, n=4, batch=()):
    return rng.normal(size=(*batch, n, n))


def symmetric(rng, n=4, batch=()):
    W = square(rng, n, batch)
    return (W + W.swapaxes(-1, -2)) / 2


def orthogonal(rng, n=4):
    return scipy.stats.ortho_group.rvs(n, random_state=rng)


def exp_at_repeated(rng):
    eigenvalues = np.asarray([-1.0, 0.5, 0.5, 0.5])
    values = np.exp(eigenvalues)
    return eigenvalues, orthogonal(rng), values, values, square(rng)


CASES = [
    Case(symmetric_part, lambda rng: ((square(rng, batch=(2,)),), {})),
    Case(
        asymmetry,
        lambda rng: ((square(rng, batch=(2, 3)),), {}),
        law=lambda distance, by: distance * by["W"],
    ),
    *(
        Case(
            rayleigh_quotient,
            lambda rng, n=n: ((square(rng), rng.normal(size=(*n, 4))), {}),
            label,
            batch=("v",),
            law=lambda quotient, by: quotient * by["W"],
        )
        for n, label in (((5,), ""), ((), "one"))
    ),
    Case(
        rayleigh_quotient_vjp,
        lambda rng: ((square(rng), rng.normal(size=(5, 4)), rng.normal(size=5)), {}),
        scale=4,
        batch=(),
    ),
    Case(
        spectral_residuals,
        lambda rng: ((square(rng, batch=(2,)), rng.normal(size=(2, 4)), square(rng, 4, (2,))), {}),
        scale=2,
        fixed=("eigenvectors",),  # of length 1
    ),
    Case(
        eigenspace_projectors,
        lambda rng: ((np.asarray([1.0, 2.0, 2.05, 4.0]), orthogonal(rng)), {"tol": 0.1}),
    ),
    Case(spectral_function, lambda rng: ((rng.normal(size=4), orthogonal(rng)), {})),
    Case(
        spectral_function_vjp,
        lambda rng: (
            (lam := np.arange(4.0), orthogonal(rng), lam**3, 3 * lam**2, square(rng)),
            {},
        ),
        scale=20,  # values up to 27
    ),
    Case(spectral_function_vjp, lambda rng: (exp_at_repeated(rng), {}), "repeated"),
    Case(
        departure_from_normality,
        lambda rng: ((W := square(rng, batch=(2,)), np.linalg.eigvals(W)), {}),
    ),
    Case(
        log_power_norms,
        lambda rng: ((square(rng, batch=(2,)),), {"k": 6}),
        half=False,
        batch_axis=1,
        law=lambda logs, by: logs + np.arange(7.0)[:, None] * np.log(by["W"]),
    ),
    Case(power_norm_limit, lambda rng: ((np.arange(9.0),), {}), scale=4),
    Case(
        effective_rank,
        lambda rng: ((rng.uniform(0, 3, size=(2, 5)),), {}),
        law=lambda rank, by: rank,
    ),
]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# --- the symmetric part ---


def test_the_symmetric_part_is_the_nearest_symmetric_matrix(rng):
    W = square(rng)
    S = symmetric_part(W)
    assert_close(S, S.T)
    assert_close(asymmetry(W), np.linalg.norm(W - S))
    for _ in range(20):
        other = S + 0.1 * symmetric(rng)
        assert np.linalg.norm(W - other) > asymmetry(W)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_symmetric_part_at_both_ends_of_the_dtype(dtype):
    info = np.finfo(dtype)
    for entry in (info.max, info.smallest_subnormal, 3 * info.smallest_subnormal):
        W = np.full((2, 2), entry, dtype=dtype)
        assert np.array_equal(symmetric_part(W), W)
        assert asymmetry(W) == 0
    W = np.asarray([[0, 2], [1, 0]], dtype=dtype) * info.smallest_normal
    assert symmetric_part(W)[0, 1] == dtype(1.5) * info.smallest_normal


def test_asymmetry_of_a_large_matrix_in_half_precision():
    skew = np.triu(np.ones((300, 300), dtype=np.float16), 1)
    skew = skew - skew.T
    assert_close(asymmetry(skew), np.asarray((300 * 299) ** 0.5), dtype="float16")


def test_the_triangle_that_eigh_reads_makes_another_matrix(rng):
    W = square(rng)
    lower = np.tril(W) + np.tril(W, -1).T
    assert_close(np.linalg.eigvalsh(W), np.linalg.eigvalsh(lower), scale=10)
    assert_close(
        jnp.linalg.eigvalsh(jnp.asarray(W)), np.linalg.eigvalsh(symmetric_part(W)), scale=10
    )
    assert abs(np.linalg.eigvalsh(lower) - np.linalg.eigvalsh(symmetric_part(W))).max() > 0.1


def test_empty_and_single(rng):
    assert symmetric_part(np.ones((0, 0))).shape == (0, 0)
    assert asymmetry(np.ones((0, 0))) == 0
    assert asymmetry(np.ones((3, 1, 1))).tolist() == [0, 0, 0]


# --- the Rayleigh quotient ---


def test_rayleigh_quotient_against_scipy_eigenpairs(rng):
    W = symmetric(rng, 6)
    eigenvalues, V = scipy.linalg.eigh(W)
    assert_close(rayleigh_quotient(W, V.T), eigenvalues, scale=10)
    R = rayleigh_quotient(W, rng.normal(size=(2000, 6)))
    assert eigenvalues[0] <= R.min() < R.max() <= eigenvalues[-1]


def test_rayleigh_quotient_sees_the_symmetric_part_alone(rng):
    W, v = square(rng), rng.normal(size=(3, 4))
    assert_close(rayleigh_quotient(W, v), rayleigh_quotient(symmetric_part(W), v), scale=10)
    assert_close(rayleigh_quotient(W - W.T, v), np.zeros(3), scale=10)


@pytest.mark.parametrize("length", [1e-200, 1e-3, 1.0, 1e200])
def test_rayleigh_quotient_ignores_the_length(rng, length):
    W, v = square(rng), rng.normal(size=4)
    assert_close(rayleigh_quotient(W, length * v), (v @ W @ v) / (v @ v), scale=10)


def test_rayleigh_quotient_of_a_number_and_of_the_zero_vector():
    assert rayleigh_quotient(np.asarray([[3.0]]), np.asarray([-2.0])) == 3
    assert torch.isnan(rayleigh_quotient(torch.eye(2), torch.zeros(2)))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (5, 4), (2, 3, 4), (0, 4)])
def test_rayleigh_gradient_against_autograd(rng, shape, device):
    W = torch.tensor(square(rng), device=device, requires_grad=True)
    v = torch.tensor(rng.normal(size=shape), device=device, requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=shape[:-1]), device=device)
    R = torch.einsum("...i,ij,...j->...", v, W, v) / (v * v).sum(-1)
    expected = torch.autograd.grad(R, (W, v), cotangent)
    for actual, e in zip(rayleigh_quotient_vjp(W, v, cotangent), expected, strict=True):
        assert_close(actual, e, scale=10)


def test_rayleigh_gradient_is_orthogonal_to_v_and_zero_at_eigenvectors(rng):
    W, v = symmetric(rng), rng.normal(size=(5, 4))
    _, gradient = rayleigh_quotient_vjp(W, v, np.ones(5))
    assert_close(np.sum(gradient * v, axis=-1), np.zeros(5), scale=10)
    _, gradient = rayleigh_quotient_vjp(W, np.linalg.eigh(W)[1].T, np.ones(4))
    assert_close(gradient, np.zeros((4, 4)), scale=10)


def test_rayleigh_gradient_at_extreme_length(rng):
    W, v = square(rng), rng.normal(size=4)
    _, unit = rayleigh_quotient_vjp(W, v, np.ones(()))
    _, long = rayleigh_quotient_vjp(W, 1e200 * v, np.ones(()))
    assert_close(1e200 * long, unit, scale=10)


# --- the spectral theorem ---


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("eigh", [np.linalg.eigh, scipy.linalg.eigh])
def test_eigh_satisfies_the_spectral_theorem(rng, n, eigh):
    W = symmetric(rng, n)
    for residual in spectral_residuals(W, *eigh(W)):
        assert residual < 10 * n * np.finfo(float).eps * max(1, np.linalg.norm(W))


def test_residuals_are_the_norms_they_say(rng):
    W, lam, V = square(rng), rng.normal(size=4), square(rng)
    D = np.diag(lam)
    found = spectral_residuals(W, lam, V)
    assert_close(found.eigen, np.linalg.norm(W @ V - V @ D), scale=10)
    assert_close(found.orthogonality, np.linalg.norm(V.T @ V - np.eye(4)), scale=10)
    assert_close(found.reconstruction, np.linalg.norm(V @ D @ V.T - W), scale=10)


def test_residuals_reveal_what_eigh_did_not_say(rng):
    W = square(rng)
    found = spectral_residuals(W, *np.linalg.eigh(W))
    assert found.orthogonality < 1e-13
    assert found.eigen > 0.5
    assert_close(found.reconstruction, np.linalg.norm(np.triu(W, 1) - np.tril(W, -1).T), scale=10)


def test_residuals_of_an_empty_matrix():
    assert spectral_residuals(np.ones((0, 0)), np.ones(0), np.ones((0, 0))) == (0, 0, 0)


def test_projectors_are_unique_although_eigenvectors_are_not(rng):
    V = orthogonal(rng, 5)
    eigenvalues = np.asarray([-1.0, 2.0, 2.0, 2.0, 5.0])
    other = V.copy()
    other[:, 1:4] = V[:, 1:4] @ orthogonal(rng, 3)
    other[:, 0] *= -1
    P = eigenspace_projectors(eigenvalues, V)
    assert abs(other - V).max() > 0.1
    assert_close(eigenspace_projectors(eigenvalues, other), P, scale=10)
    assert_close(P @ P, P, scale=10)
    assert_close(np.trace(P, axis1=-2, axis2=-1), np.asarray([1.0, 3, 3, 3, 1]), scale=10)
    assert_close(P[0] + P[1] + P[4], np.eye(5), scale=10)
    assert_close(-P[0] + 2 * P[1] + 5 * P[4], V @ np.diag(eigenvalues) @ V.T, scale=10)


def test_projectors_agree_between_libraries(rng):
    # Numbered by eigenvalue, so that only the choice of eigenvectors could differ.
    V = orthogonal(rng, 4)
    W = symmetric_part(V @ np.diag([1.0, 1.0, 2.0, 2.0]) @ V.T)
    expected = np.stack([V[:, :2] @ V[:, :2].T] * 2 + [V[:, 2:] @ V[:, 2:].T] * 2)
    pairs = [
        np.linalg.eigh(W),
        scipy.linalg.eigh(W, driver="ev"),
        torch.linalg.eigh(torch.tensor(W)),
        jnp.linalg.eigh(jnp.asarray(W)),
    ]
    for eigenvalues, eigenvectors in pairs:
        assert_close(eigenspace_projectors(eigenvalues, eigenvectors), expected, scale=100)


def test_projector_tolerance_is_inclusive_and_absolute():
    eigenvalues = np.asarray([0.0, 1.0])
    traces = [
        np.trace(eigenspace_projectors(eigenvalues, np.eye(2), tol=tol)[0]) for tol in (0, 0.9, 1)
    ]
    assert traces == [1, 1, 2]


# --- functions of a symmetric matrix ---


@pytest.mark.parametrize("n", [1, 2, 5])
def test_spectral_function_against_scipy(rng, n):
    W = symmetric(rng, n)
    lam, V = np.linalg.eigh(W)
    assert_close(spectral_function(np.exp(lam), V), scipy.linalg.expm(W), scale=100)
    assert_close(spectral_function(lam**2, V), W @ W, scale=100)


def test_spectral_gradient_against_autograd_through_eigh(rng):
    W = torch.tensor(symmetric(rng, 5), requires_grad=True)
    G = torch.tensor(square(rng, 5))
    lam, V = torch.linalg.eigh(W)
    (expected,) = torch.autograd.grad((V * torch.sin(lam)) @ V.T, W, G)
    actual = spectral_function_vjp(lam, V, torch.sin(lam), torch.cos(lam), G)
    assert_close(actual, symmetric_part(expected), scale=100)


@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-12, 1e-9, 1e-7, 1e-4, 1.0])
def test_spectral_gradient_at_repeated_eigenvalues_against_matrix_exp(rng, gap):
    V = orthogonal(rng)
    W = symmetric_part(V @ np.diag([-1.0, 1.0, 1.0 + gap, 1.0 + gap]) @ V.T)
    lam, V = np.linalg.eigh(W)
    G = symmetric(rng)
    leaf = torch.tensor(W, requires_grad=True)
    (expected,) = torch.autograd.grad(torch.matrix_exp(leaf), leaf, torch.tensor(G))
    actual = spectral_function_vjp(lam, V, np.exp(lam), np.exp(lam), G)
    # Half of the digits are left just above the threshold, where f(λi) − f(λj) cancels.
    np.testing.assert_allclose(actual, expected.numpy(), atol=1e-7)


@pytest.mark.parametrize("gap", [1e-15, 1e-12, 1e-9])
def test_spectral_gradient_forgives_values_off_by_some_roundings(gap):
    # A libm may be off by more than one unit in the last place, more than its rise here.
    lam = np.asarray([1.0, 1.0 + gap])
    values = np.exp(lam) * (1 + 5 * np.finfo(float).eps * np.asarray([1, -1]))
    found = spectral_function_vjp(lam, np.eye(2), values, np.exp(lam), np.ones((2, 2)))
    np.testing.assert_allclose(found, np.e, rtol=1e-8)


def test_backpropagation_through_eigh_has_no_value_there():
    W = torch.eye(3, dtype=torch.float64, requires_grad=True)
    lam, V = torch.linalg.eigh(W)
    (gradient,) = torch.autograd.grad(((V * lam.exp()) @ V.T)[0, 1], W)
    assert torch.isnan(gradient).any()
    G = torch.zeros(3, 3, dtype=torch.float64)
    G[0, 1] = 1
    gradient = spectral_function_vjp(lam.detach(), V.detach(), lam.exp(), lam.exp(), G)
    assert_close(gradient.detach(), np.e * symmetric_part(G), scale=10)


@pytest.mark.parametrize(("gap", "unit"), [(1e-5, 1.0), (1.0, 1.0), (1.0, 1e200)])
def test_equal_slopes_do_not_make_eigenvalues_equal(gap, unit):
    # As of a sine at two places a period apart, though here it has risen in between.
    lam, values, slopes = unit * np.asarray([1.0, 1 + gap]), np.asarray([1.0, 2]), np.full(2, 5.0)
    G = np.asarray([[0.0, 1], [1, 0]])
    gradient = spectral_function_vjp(lam, np.eye(2), values, slopes, G)
    np.testing.assert_allclose(gradient, G / (lam[1] - lam[0]), rtol=1e-12)


def test_spectral_gradient_where_small_eigenvalues_are_distinct():
    # sqrt bends sharply at 0: eigenvalues 1e-6 and 2e-6 must not count as equal next to 1.
    lam = np.asarray([1e-6, 2e-6, 1.0])
    G = np.asarray([[0, 1.0, 0], [1.0, 0, 0], [0, 0, 0]])
    gradient = spectral_function_vjp(lam, np.eye(3), np.sqrt(lam), 0.5 / np.sqrt(lam), G)
    assert_close(gradient[0, 1], 1 / (np.sqrt(1e-6) + np.sqrt(2e-6)), scale=100)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.log, lambda x: 1 / x),
        (np.sqrt, lambda x: 0.5 / x**0.5),
        (np.reciprocal, lambda x: -(x**-2)),
    ],
)
@pytest.mark.parametrize("small", [(1e-12, 1e-9), (1e-10, 2e-10), (1e-30, 2e-30)])
def test_spectral_gradient_of_what_bends_at_zero(f, slope, small):
    # Far below √eps times the largest eigenvalue, and yet not equal for f: the quotient is right.
    lam = np.asarray([*small, 1.0])
    gradient = spectral_function_vjp(lam, np.eye(3), f(lam), slope(lam), np.ones((3, 3)))
    values = f(lam)
    assert_close(gradient[0, 1], (values[0] - values[1]) / (lam[0] - lam[1]), scale=1000)


def test_spectral_gradient_of_a_projector_on_a_separated_group():
    # Its derivatives are all 0; what it does between the groups is in the quotient.
    lam, one = np.asarray([1.0, 1.5, 3.0]), np.asarray([0.0, 0.0, 1.0])
    gradient = spectral_function_vjp(lam, np.eye(3), one, 0 * lam, np.ones((3, 3)))
    assert_close(gradient, np.asarray([[0, 0, 1 / 2], [0, 0, 2 / 3], [1 / 2, 2 / 3, 0]]))


def test_spectral_gradient_where_rounding_leaves_no_rise():
    # exp of ±1e-17 is 1: the quotient would be 0.
    lam = np.asarray([-1e-17, 1e-17, 1.0])
    gradient = spectral_function_vjp(lam, np.eye(3), np.exp(lam), np.exp(lam), np.ones((3, 3)))
    assert_close(gradient[0, 1], 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-1, 1e-4, 1e-8, 1e-12, 1e-17, 1e-25])
def test_spectral_gradient_of_exp_near_zero(rng, dtype, scale):
    # All eigenvalues are small: exp rises by less than its rounding between distinct ones.
    G, W = (torch.tensor(symmetric(rng, 5)).to(dtype) for _ in range(2))
    W = (scale * W).requires_grad_()
    (expected,) = torch.autograd.grad((G * torch.matrix_exp(W)).sum(), W)
    lam, V = torch.linalg.eigh(W.detach())
    found = spectral_function_vjp(lam, V, lam.exp(), lam.exp(), G)
    error = torch.linalg.norm(found - expected) / torch.linalg.norm(expected)
    assert error < torch.finfo(dtype).eps ** 0.5  # half of the digits, as at the switch


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("gap", [1.0, 1e-9])
def test_spectral_gradient_counts_as_equal_by_the_size_of_the_matrix(rng, scale, gap):
    # The gradient of the cube is quadratic in the matrix: in other units nothing else changes.
    lam, G, V = np.asarray([1.0, 1 + gap, 3.0]), symmetric(rng, 3), orthogonal(rng, 3)
    W = V @ np.diag(lam) @ V.T
    expected = G @ W @ W + W @ G @ W + W @ W @ G
    found = spectral_function_vjp(scale * lam, V, (scale * lam) ** 3, 3 * (scale * lam) ** 2, G)
    assert_close(found / scale**2, expected, scale=1000)


def test_a_gradient_through_lam_and_v_kept_fixed_is_not_differentiable_again():
    # Why the page marks the backward pass as once differentiable: with the eigenpairs saved as
    # constants, a second derivative is that of the cotangent alone, half of the true one.
    W = torch.eye(2, dtype=torch.float64, requires_grad=True)
    square = torch.matrix_exp(W).square().sum()
    (first,) = torch.autograd.grad(square, W, create_graph=True)
    (second,) = torch.autograd.grad(first[0, 0], W)
    lam, V = torch.linalg.eigh(W.detach())
    cotangent = 2 * torch.matrix_exp(W)
    ours = spectral_function_vjp(lam, V, lam.exp(), lam.exp(), cotangent)
    assert_close(ours.detach(), first.detach(), scale=10)
    (through_cotangent,) = torch.autograd.grad(ours[0, 0], W)
    assert_close(2 * through_cotangent[0, 0], second[0, 0], scale=10)


# --- symmetric, normal, general ---


def test_departure_is_the_strict_triangle_of_the_schur_form(rng):
    W = square(rng, 6)
    T, _ = scipy.linalg.schur(W, output="complex")
    found = departure_from_normality(W, np.linalg.eigvals(W))
    assert_close(found, np.linalg.norm(np.triu(T, 1)), scale=10)


def test_normal_matrices_have_no_departure(rng):
    Q = orthogonal(rng)
    S = symmetric(rng)
    for W in (S, square(rng) * 0, Q, 3 * Q, S - 2 * np.eye(4), np.roll(np.eye(4), 1, axis=0)):
        found = departure_from_normality(W, np.linalg.eigvals(W))
        assert found < 1e-7 * max(1, np.linalg.norm(W))
    # Rounding alone may make the difference negative: 0, not NaN.
    assert departure_from_normality(np.eye(1), np.asarray([1.0 + 1e-15])) == 0


def test_departure_of_an_empty_matrix():
    assert departure_from_normality(np.ones((0, 0)), np.ones(0)) == 0


def test_power_norms_against_matrix_power(rng):
    W = square(rng, 5)
    expected = [np.linalg.norm(np.linalg.matrix_power(W, j), 2) for j in range(9)]
    assert_close(log_power_norms(W, k=8), np.log(expected), scale=10)


def test_power_norms_of_a_normal_matrix_are_powers_of_the_spectral_radius(rng):
    S = symmetric(rng)
    rate = np.log(abs(np.linalg.eigvalsh(S)).max())
    assert_close(log_power_norms(S, k=500), rate * np.arange(501), scale=1e3)
    assert_close(log_power_norms(7 * orthogonal(rng), k=9), np.log(7) * np.arange(10), scale=100)


def test_power_norms_do_not_overflow_and_obey_gelfand():
    found = log_power_norms(np.asarray([[10.0, 1e6], [0.0, 10.0]]), k=2000)
    assert np.isfinite(found).all()
    assert found[-1] > 4600  # exp of it is beyond float64
    assert abs(found[-1] / 2000 - np.log(10)) < 0.01
    assert found[1] > 2 * np.log(10)  # while the first power is far above the radius


def test_power_norms_of_a_nilpotent_matrix():
    found = log_power_norms(np.asarray([[0.0, 100.0], [0.0, 0.0]]), k=4)
    assert_close(found, np.asarray([0, np.log(100), -np.inf, -np.inf, -np.inf]))


def test_power_norms_of_tiny_and_single(rng):
    assert_close(log_power_norms(np.asarray([[-1e-300]]), k=3), np.log(1e-300) * np.arange(4))
    assert log_power_norms(square(rng, 3, (2, 5)), k=0).tolist() == [[[0.0] * 5] * 2]


def test_power_norm_limit_against_the_edge_of_the_fuss_catalan_law(rng):
    # The p-th moment of the squared singular values of W^k tends to the Fuss-Catalan number
    # binom(kp + p, p) / (kp + 1); the ratio of neighbours tends to the square of the edge.
    for k in (1, 2, 7):
        p = 10.0**7
        ratio = np.exp(
            scipy.special.gammaln((k + 1) * (p + 1) + 1)
            - scipy.special.gammaln((k + 1) * p + 1)
            - scipy.special.gammaln(k * (p + 1) + 2)
            + scipy.special.gammaln(k * p + 2)
        ) / (p + 1)
        np.testing.assert_allclose(power_norm_limit(np.asarray(float(k))) ** 2, ratio, rtol=1e-5)
    for dtype in (np.float16, np.float32, np.float64):
        k = np.asarray([0, 1, 9], dtype=dtype) * np.finfo(dtype).smallest_subnormal
        assert power_norm_limit(k).tolist() == [1, 1, 1]
    k = np.asarray([1e6])
    np.testing.assert_allclose(power_norm_limit(k), np.sqrt(np.e * (k + 1)), rtol=1e-6)


def test_power_norms_of_a_large_matrix_approach_the_limit(rng):
    W = rng.normal(size=(400, 400)) / 20
    found = np.exp(log_power_norms(W, k=5))
    np.testing.assert_allclose(found, power_norm_limit(np.arange(6.0)), rtol=0.1)


def test_effective_rank_against_scipy_entropy(rng):
    sigma = rng.uniform(size=(3, 6))
    assert_close(effective_rank(sigma), np.exp(scipy.stats.entropy(sigma, axis=-1)), scale=10)


def test_effective_rank_facts():
    assert_close(effective_rank(10 * np.ones(7)), 7.0)
    assert_close(effective_rank(np.asarray([5.0, 0, 0])), 1.0)
    assert_close(effective_rank(np.zeros((2, 3))), np.zeros(2))
    assert_close(effective_rank(np.ones((2, 0))), np.zeros(2))
    assert_close(effective_rank(1e-5 * np.asarray([2.0, 1])), effective_rank(np.asarray([2.0, 1])))
    assert torch.isnan(effective_rank(torch.tensor([float("nan"), 1.0])))
    for dtype in (np.float16, np.float32, np.float64):  # the sum would overflow
        assert_close(effective_rank(np.full(4, np.finfo(dtype).max)), 4.0)
        assert_close(effective_rank(np.full(4, np.finfo(dtype).smallest_subnormal)), 4.0)


def test_not_a_number_is_not_hidden():
    W = torch.full((2, 2), float("nan"))
    assert torch.isnan(departure_from_normality(W, torch.zeros(2)))
    assert torch.isnan(asymmetry(W))


# --- errors ---

RECTANGLE, SQUARE, VECTOR = np.ones((2, 3)), np.eye(3), np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: symmetric_part(RECTANGLE), ValueError, r"W has shape \(2, 3\): square .* W\^T W"),
        (lambda: symmetric_part(VECTOR), ValueError, r"W has shape \(3,\)"),
        (lambda: asymmetry(np.eye(3, dtype=int)), TypeError, "W has dtype int64.*cast"),
        (lambda: rayleigh_quotient([[1.0]], np.ones(1)), TypeError, "W is list"),
        (lambda: spectral_residuals(SQUARE, [1.0] * 3, SQUARE), TypeError, "eigenvalues is list"),
        (lambda: eigenspace_projectors([1.0] * 3, SQUARE), TypeError, "eigenvalues is list"),
        (lambda: departure_from_normality(SQUARE, [1.0] * 3), TypeError, "eigenvalues is list"),
        (lambda: log_power_norms([[1.0]], k=1), TypeError, "W is list"),
        (
            lambda: spectral_function_vjp(VECTOR, SQUARE, [1.0] * 3, VECTOR, SQUARE),
            TypeError,
            "values is list",
        ),
        (lambda: rayleigh_quotient(RECTANGLE, VECTOR), ValueError, r"W has shape \(2, 3\)"),
        (
            lambda: rayleigh_quotient(SQUARE, np.ones(2)),
            ValueError,
            r"v has shape \(2,\): \(n, n\)",
        ),
        (lambda: rayleigh_quotient(SQUARE, np.ones(())), ValueError, r"v has shape \(\)"),
        (lambda: rayleigh_quotient(np.ones((0, 0)), np.ones(0)), ValueError, "n of at least 1"),
        (lambda: rayleigh_quotient(np.ones((2, 3, 3)), VECTOR), ValueError, r"shape \(2, 3, 3\)"),
        (
            lambda: rayleigh_quotient_vjp(SQUARE, VECTOR, VECTOR),
            ValueError,
            r"cotangent has shape \(3,\) but the quotient has shape \(\)",
        ),
        (
            lambda: spectral_residuals(SQUARE, VECTOR, np.eye(2)),
            ValueError,
            r"eigenvectors has shape \(2, 2\) but W",
        ),
        (
            lambda: spectral_residuals(SQUARE, np.ones(2), SQUARE),
            ValueError,
            r"eigenvalues has shape \(2,\) but eigenvectors.*one eigenvalue for each column",
        ),
        (lambda: eigenspace_projectors(VECTOR, SQUARE, tol=-1), ValueError, "tol is -1"),
        (lambda: spectral_function(np.ones(2), SQUARE), ValueError, "one eigenvalue for each"),
        (
            lambda: spectral_function_vjp(VECTOR, SQUARE, VECTOR, np.ones(2), SQUARE),
            ValueError,
            "derivatives has shape",
        ),
        (
            lambda: spectral_function_vjp(VECTOR, SQUARE, VECTOR, VECTOR, RECTANGLE),
            ValueError,
            "cotangent has shape",
        ),
        (
            lambda: spectral_function_vjp(VECTOR, SQUARE, np.ones(4), VECTOR, SQUARE),
            ValueError,
            "values has shape",
        ),
        (lambda: departure_from_normality(SQUARE, np.ones(2)), ValueError, "all n eigenvalues"),
        (lambda: log_power_norms(SQUARE, k=-1), ValueError, r"k is -1: it must lie in \[0"),
        (lambda: log_power_norms(np.ones((0, 0)), k=1), ValueError, "at least one row"),
        (lambda: effective_rank(np.asarray(1.0)), ValueError, "axis of singular values"),
        (lambda: effective_rank(np.ones(2, dtype=int)), TypeError, "singular_values has dtype"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_jax_traces_the_formulas(rng):
    W, v = jnp.asarray(square(rng)), jnp.asarray(rng.normal(size=4))
    assert_close(jax.jit(rayleigh_quotient)(W, v), rayleigh_quotient(np.asarray(W), np.asarray(v)))
    for_W, for_v = jax.grad(rayleigh_quotient, (0, 1))(W, v)
    assert_close(rayleigh_quotient_vjp(W, v, jnp.asarray(1.0))[0], for_W, scale=10)
    assert_close(rayleigh_quotient_vjp(W, v, jnp.asarray(1.0))[1], for_v, scale=10)

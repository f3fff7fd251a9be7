from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import torch
from torch.autograd.functional import jacobian

from dlkb.gradients.vanishing_exploding import (
    backward_chain,
    depth_until,
    layer_jacobian,
    layer_vjp,
    rectifier_gradient_factor,
    residual_gradient_factor,
    sigmoid_slope,
    softmax_jacobian,
    tanh_slope,
    weight_gradient,
    weight_jacobian_norm,
)
from tests.cases import Case
from tests.close import assert_close

WIDTHS = (3, 5, 4, 2)


def chain(rng, batch=()):
    weights = [rng.normal(size=(m, n)) for n, m in pairwise(WIDTHS)]
    slopes = [rng.uniform(0, 1, size=(*batch, m)) for m in WIDTHS[1:]]
    return weights, slopes, rng.normal(size=(*batch, WIDTHS[-1]))


CASES = [
    Case(sigmoid_slope, lambda rng: ((3 * rng.normal(size=(4, 5)),), {})),
    Case(tanh_slope, lambda rng: ((3 * rng.normal(size=(4, 5)),), {})),
    Case(softmax_jacobian, lambda rng: ((rng.dirichlet(np.ones(4), size=3),), {})),
    Case(
        layer_jacobian,
        lambda rng: ((rng.normal(size=(4, 3)), rng.normal(size=(2, 4))), {}),
        batch=("slope",),
    ),
    Case(
        layer_vjp,
        lambda rng: ((rng.normal(size=(4, 3)), *rng.normal(size=(2, 2, 4))), {}),
        scale=2,
        batch=("slope", "cotangent"),
    ),
    Case(
        backward_chain,
        lambda rng: (chain(rng, (2,)), {}),
        scale=10,
        batch=("slopes", "cotangent"),
    ),
    Case(
        weight_gradient,
        lambda rng: (
            (rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 6, 4))),
            {},
        ),
        scale=10,
        batch=(),
    ),
    Case(
        weight_jacobian_norm,
        lambda rng: ((rng.normal(size=(6, 4)), rng.normal(size=(6, 3))), {}),
        scale=2,
    ),
    Case(
        rectifier_gradient_factor,
        lambda rng: ((), {"sigma_w": 1.2, "negative_slope": 0.1, "depth": 7}),
    ),
    Case(
        residual_gradient_factor,
        lambda rng: ((rng.uniform(size=5),), {"scale": 0.5, "depth": 9}),
        scale=10,
    ),
    Case(depth_until, lambda rng: ((rng.uniform(0.1, 0.8, size=5),), {"ratio": 1e-3}), scale=20),
]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# --- slopes ---


@pytest.mark.parametrize(
    ("slope", "function"), [(sigmoid_slope, torch.sigmoid), (tanh_slope, torch.tanh)]
)
def test_slopes_against_autograd(slope, function, device):
    z = torch.linspace(-6, 6, 101, dtype=torch.float64, device=device, requires_grad=True)
    (expected,) = torch.autograd.grad(function(z).sum(), z)
    assert_close(slope(z.detach()), expected)


def test_slopes_far_out():
    z = np.asarray([-700.0, -40.0, 40.0, 700.0])
    np.testing.assert_allclose(sigmoid_slope(z), np.exp(-abs(z)), rtol=1e-12)
    np.testing.assert_allclose(tanh_slope(z / 2), 4 * np.exp(-abs(z)), rtol=1e-12)
    assert sigmoid_slope(np.asarray([np.inf, -np.inf])).tolist() == [0, 0]
    assert sigmoid_slope(np.zeros(1)) == 0.25
    assert tanh_slope(np.zeros(1)) == 1


@pytest.mark.parametrize("n", [1, 2, 7])
def test_softmax_jacobian_against_autograd(rng, n, device):
    z = torch.tensor(rng.normal(size=n), device=device)
    expected = jacobian(lambda z: torch.softmax(z, 0), z)
    assert_close(softmax_jacobian(torch.softmax(z, 0)), expected)


def test_softmax_jacobian_is_singular_along_ones_and_at_most_one_half(rng):
    p = scipy.special.softmax(5 * rng.normal(size=(200, 4)), axis=-1)
    J = softmax_jacobian(p)
    np.testing.assert_allclose(J.sum(axis=-1), 0, atol=1e-15)
    assert np.linalg.svd(J)[1].max() <= 0.5
    assert_close(np.linalg.norm(softmax_jacobian(np.asarray([0.5, 0.5])), 2), 0.5)


# --- one layer ---


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 6), (3, 0)])
@pytest.mark.parametrize("activation", [torch.tanh, torch.sigmoid, torch.relu])
def test_layer_jacobian_against_autograd(rng, shape, activation, device):
    W = torch.tensor(rng.normal(size=shape), device=device)
    b = torch.tensor(rng.normal(size=shape[0]), device=device)
    h = torch.tensor(rng.normal(size=shape[1]), device=device)
    z = (W @ h + b).requires_grad_()
    (slope,) = torch.autograd.grad(activation(z).sum(), z)
    expected = jacobian(lambda h: activation(W @ h + b), h)
    assert_close(layer_jacobian(W, slope), expected)
    cotangent = torch.tensor(rng.normal(size=shape[0]), device=device)
    assert_close(layer_vjp(W, slope, cotangent), expected.T @ cotangent, scale=10)


def test_vjp_of_a_batch_is_that_of_each_example(rng):
    W, slope, g = rng.normal(size=(4, 3)), rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    expected = np.einsum("bij,bi->bj", layer_jacobian(W, slope), g)
    assert_close(layer_vjp(W, slope, g), expected, scale=10)


# --- chains ---


def forward(weights, h):
    signals, slopes = [h], []
    for W in weights:
        signals.append(torch.tanh(signals[-1] @ W.T))
        slopes.append(1 - signals[-1].detach() ** 2)
    return signals, slopes


@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3), (0,)])
def test_gradients_of_signals_and_weights_against_autograd(rng, batch, device):
    weights = [torch.tensor(W, device=device, requires_grad=True) for W in chain(rng)[0]]
    h = torch.tensor(rng.normal(size=(*batch, WIDTHS[0])), device=device, requires_grad=True)
    signals, slopes = forward(weights, h)
    cotangent = torch.tensor(rng.normal(size=(*batch, WIDTHS[-1])), device=device)
    expected = torch.autograd.grad(signals[-1], [*signals, *weights], cotangent)
    plain = [W.detach() for W in weights]
    found = backward_chain(plain, slopes, cotangent)
    assert len(found) == len(signals)
    for actual, e in zip(found, expected, strict=False):
        assert_close(actual, e, scale=10)
    for k, e in enumerate(expected[len(signals) :]):
        actual = weight_gradient(slopes[k], signals[k].detach(), found[k + 1])
        assert_close(actual, e, scale=10)


def test_chain_is_the_product_of_the_layer_jacobians(rng):
    weights, slopes, g = chain(rng)
    product = np.linalg.multi_dot(
        [layer_jacobian(*pair) for pair in zip(weights, slopes, strict=True)][::-1]
    )
    assert_close(backward_chain(weights, slopes, g)[0], product.T @ g, scale=10)
    assert backward_chain([], [], g) == (g,)


@pytest.mark.parametrize("shape", [(4, 7), (1, 1), (6, 2)])
def test_weight_jacobian_norm_against_the_singular_value_of_the_full_jacobian(rng, shape):
    W, h = torch.tensor(rng.normal(size=shape)), torch.tensor(rng.normal(size=shape[1]))
    full = jacobian(lambda W: torch.tanh(W @ h), W).reshape(shape[0], -1)
    slope = 1 - torch.tanh(W @ h) ** 2
    assert_close(weight_jacobian_norm(slope, h), torch.linalg.matrix_norm(full, 2), scale=10)


def test_weight_jacobian_norm_counts_the_modulus():
    assert weight_jacobian_norm(np.asarray([-2.0, 1.0]), np.asarray([3.0, 4.0])) == 10


# --- expectations ---


@pytest.mark.parametrize("negative_slope", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("widths", "bias"), [((4, 4, 4, 4), 0.0), ((3, 5, 2, 4), 0.7)])
def test_rectifier_factor_is_exact_at_small_width(rng, negative_slope, widths, bias):
    draws, sigma_w = 60_000, 1.3
    h, J = rng.normal(size=(draws, widths[0])), np.eye(widths[0])
    for fan_in, fan_out in pairwise(widths):
        W = sigma_w / fan_in**0.5 * rng.normal(size=(draws, fan_out, fan_in))
        z = np.einsum("dij,dj->di", W, h) + bias * rng.normal(size=(draws, fan_out))
        slope = np.where(z > 0, 1.0, negative_slope)
        h, J = slope * z, slope[..., None] * (W @ J)
    g = rng.choice([-1.0, 1.0], size=(draws, widths[-1]))
    squares = (np.einsum("dij,di->dj", J, g) ** 2).sum(-1) / widths[-1]
    expected = rectifier_gradient_factor(sigma_w=sigma_w, negative_slope=negative_slope, depth=3)
    assert abs(squares.mean() - expected) < 4 * squares.std() / draws**0.5


def test_residual_factor_is_exact_at_small_width(rng):
    draws, n, depth, alpha = 60_000, 4, 3, 0.7
    g = rng.normal(size=(draws, n))
    g = g / np.linalg.norm(g, axis=-1, keepdims=True)
    for _ in range(depth):
        slope = rng.integers(0, 2, size=(draws, n))  # of a ReLU in front of fresh weights
        W = rng.normal(size=(draws, n, n)) * (2 / n) ** 0.5
        g = g + alpha * slope * np.einsum("dij,di->dj", W, g)
    squares = (g**2).sum(-1)
    expected = residual_gradient_factor(np.asarray(1.0), scale=alpha, depth=depth)
    assert abs(squares.mean() - expected) < 4 * squares.std() / draws**0.5


def test_factors_at_their_edges():
    assert rectifier_gradient_factor(sigma_w=3.0, depth=0) == 1
    assert rectifier_gradient_factor(sigma_w=3.0, depth=1000) == np.inf
    assert rectifier_gradient_factor(sigma_w=1e200, depth=1) == np.inf
    assert rectifier_gradient_factor(sigma_w=1.0, negative_slope=1e200, depth=1) == np.inf
    assert abs(rectifier_gradient_factor(sigma_w=2**0.5, depth=100) - 1) < 1e-12
    assert rectifier_gradient_factor(sigma_w=2.0, negative_slope=1.0, depth=2) == 16
    chi = np.asarray([0.0, 1.0])
    assert_close(residual_gradient_factor(chi, depth=3), np.asarray([1.0, 8.0]))
    deep = residual_gradient_factor(chi, scale=1e-3, depth=10**6)
    assert_close(deep, np.exp(chi), scale=1e7)


def test_depth_until_is_where_the_power_meets_the_ratio(rng):
    gain = rng.uniform(0.1, 0.9, size=20)
    assert_close(gain ** depth_until(gain, ratio=1e-6), np.full(20, 1e-6), scale=1e-3)
    np.testing.assert_allclose(1.5 ** depth_until(np.asarray(1.5), ratio=100.0), 100)
    assert depth_until(np.asarray([1.0]), ratio=0.5).tolist() == [np.inf]
    assert depth_until(np.asarray([2.0]), ratio=0.5).tolist() == [-1.0]


# --- errors ---

W, THREE, FOUR = np.ones((4, 3)), np.ones(3), np.ones(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sigmoid_slope(np.arange(3)), TypeError, "z has dtype int64"),
        (lambda: softmax_jacobian(np.asarray(1.0)), ValueError, r"p has shape \(\)"),
        (lambda: layer_jacobian(W, THREE), ValueError, "one slope for each output"),
        (lambda: layer_jacobian(THREE, THREE), ValueError, r"W has shape \(3,\)"),
        (lambda: layer_jacobian(W, [1.0] * 4), TypeError, "slope is list"),
        (lambda: layer_vjp(W, FOUR, THREE), ValueError, r"cotangent has shape \(3,\)"),
        (lambda: backward_chain([W], [], FOUR), ValueError, "weights has 1 layers"),
        (lambda: backward_chain([W], [FOUR], THREE), ValueError, "cotangent has shape"),
        (
            lambda: weight_gradient(FOUR, np.ones((2, 3)), FOUR),
            ValueError,
            "the same batch axes",
        ),
        (lambda: weight_gradient(FOUR, THREE, THREE), ValueError, "cotangent has shape"),
        (lambda: weight_jacobian_norm(np.ones(0), THREE), ValueError, "m of at least 1"),
        (lambda: rectifier_gradient_factor(sigma_w=-1.0), ValueError, "sigma_w is -1.0"),
        (lambda: rectifier_gradient_factor(sigma_w=1.0, depth=-1), ValueError, "depth is -1"),
        (lambda: residual_gradient_factor(FOUR, depth=-1), ValueError, "depth is -1"),
        (lambda: depth_until(FOUR, ratio=0.0), ValueError, "ratio is 0.0"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_jax_traces_the_formulas(rng):
    W, h = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=3))
    expected = jax.jacobian(lambda h: jnp.tanh(W @ h))(h)
    assert_close(jax.jit(layer_jacobian)(W, tanh_slope(W @ h)), expected)

import math

import jax
import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from dlkb.activations.relu import (
    dead_network_probability,
    dead_unit_probability,
    elu,
    elu_vjp,
    leaky_relu,
    leaky_relu_vjp,
    prelu,
    prelu_vjp,
    relu,
    relu_vjp,
)
from tests.cases import Case
from tests.close import assert_close


def draws(rng, *shape):
    return 3 * rng.normal(size=shape)


CASES = [
    Case(relu, lambda rng: ((draws(rng, 4, 5),), {})),
    Case(relu_vjp, lambda rng: ((draws(rng, 4, 5), draws(rng, 4, 5)), {})),
    Case(leaky_relu, lambda rng: ((draws(rng, 4, 5),), {"negative_slope": 0.2})),
    Case(
        leaky_relu_vjp,
        lambda rng: ((draws(rng, 4, 5), draws(rng, 4, 5)), {"negative_slope": 0.2}),
    ),
    Case(
        prelu,
        lambda rng: ((draws(rng, 2, 3, 4), draws(rng, 3, 1)), {}),
        batch=("x",),
        broadcasts=("alpha",),
    ),
    Case(prelu, lambda rng: ((draws(rng, 2, 3), np.asarray(0.25)), {}), "one"),
    Case(
        prelu_vjp,
        lambda rng: ((draws(rng, 2, 3, 4), draws(rng, 3, 1), draws(rng, 2, 3, 4)), {}),
        scale=4,
        batch=(),  # the gradient of α is a sum over all entries
        broadcasts=("alpha",),
    ),
    Case(
        prelu_vjp,
        lambda rng: ((draws(rng, 2, 3), np.asarray(0.25), draws(rng, 2, 3)), {}),
        "one",
        scale=4,
    ),
    Case(elu, lambda rng: ((draws(rng, 4, 5),), {"alpha": 0.7})),
    Case(elu_vjp, lambda rng: ((draws(rng, 4, 5), draws(rng, 4, 5)), {"alpha": 0.7})),
    Case(dead_unit_probability, lambda rng: ((draws(rng, 4, 5),), {"samples": 3}), scale=2),
    Case(dead_network_probability, lambda rng: ((), {"width": 3, "depth": 5})),
]


def with_zeros(shape=(7, 5, 3)):
    x = draws(np.random.default_rng(0), *shape)
    return np.where(np.abs(x) < 0.7, 0.0, x)


PAIRS = {
    "relu": (relu, F.relu, relu_vjp, {}),
    "leaky": (leaky_relu, F.leaky_relu, leaky_relu_vjp, {"negative_slope": 0.2}),
    "leaky, negative": (leaky_relu, F.leaky_relu, leaky_relu_vjp, {"negative_slope": -1.5}),
    "leaky, default": (leaky_relu, F.leaky_relu, leaky_relu_vjp, {}),
    "elu": (elu, F.elu, elu_vjp, {"alpha": 0.7}),
    "elu, default": (elu, F.elu, elu_vjp, {}),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(7, 5, 3), (), (0,), (3, 0, 2), (2, 1, 3)])
def test_values_and_gradients_are_those_of_torch_at_zero_too(name, shape, device):
    ours, theirs, vjp, options = PAIRS[name]
    x = torch.tensor(with_zeros(shape), device=device, requires_grad=True)
    cotangent = torch.tensor(draws(np.random.default_rng(1), *shape), device=device)
    assert_close(ours(x, **options), theirs(x, **options))
    (expected,) = torch.autograd.grad(theirs(x, **options), x, cotangent)
    (found,) = torch.autograd.grad(ours(x, **options), x, cotangent)
    assert_close(found, expected)
    assert_close(vjp(x.detach(), cotangent, **options), expected)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_not_finite_and_what_is_large(name, dtype):
    ours, theirs, vjp, options = PAIRS[name]
    largest = torch.finfo(dtype).max
    x = torch.tensor([math.nan, math.inf, -math.inf, largest, -largest / 2, -0.0], dtype=dtype)
    assert_close(ours(x, **options), theirs(x, **options))
    assert ours(x, **options).dtype == dtype
    x = x[1:].requires_grad_()
    (found,) = torch.autograd.grad(ours(x, **options).sum(), x)
    (expected,) = torch.autograd.grad(theirs(x, **options).sum(), x)
    assert_close(found, expected)
    assert_close(vjp(x.detach(), torch.ones_like(x), **options), expected)


def test_jax_differentiates_as_the_hand_does():
    x = with_zeros()
    for ours, _, vjp, options in PAIRS.values():
        slope = jax.grad(lambda x, f=ours, o=options: f(x, **o).sum())(jax.numpy.asarray(x))
        assert_close(np.asarray(slope), vjp(x, np.ones_like(x), **options))


SLOPES = {
    "one": ((7, 5, 3), (), lambda a: a.reshape(1)),
    "one entry": ((7, 5, 3), (1,), lambda a: a),
    "channels": ((7, 5, 3), (5, 1), lambda a: a.reshape(5)),
    "last axis": ((7, 5), (5,), lambda a: a),
    "no samples": ((0, 5), (5,), lambda a: a),
    "axis of 1": ((2, 1, 3), (1, 1), lambda a: a.reshape(1)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_prelu_and_its_gradients_are_those_of_torch(name, device):
    shape, slopes, theirs = SLOPES[name]
    rng = np.random.default_rng(0)
    x = torch.tensor(with_zeros(shape), device=device, requires_grad=True)
    alpha = torch.tensor(np.asarray(rng.normal(size=slopes)), device=device, requires_grad=True)
    cotangent = torch.tensor(draws(rng, *shape), device=device)
    output = F.prelu(x, theirs(alpha))
    assert_close(prelu(x, alpha), output)
    expected = torch.autograd.grad(output, (x, alpha), cotangent)
    for found in (
        torch.autograd.grad(prelu(x, alpha), (x, alpha), cotangent),
        prelu_vjp(x.detach(), alpha.detach(), cotangent),
    ):
        assert_close(found[0], expected[0])
        assert_close(found[1], expected[1])


def test_prelu_may_have_a_slope_for_each_entry():
    rng = np.random.default_rng(0)
    x, alpha, cotangent = (draws(rng, 3, 4) for _ in "123")
    grads = prelu_vjp(x, alpha, cotangent)
    assert_close(grads.alpha, np.minimum(0, x) * cotangent)
    assert_close(prelu(x, alpha), np.maximum(0, x) + alpha * np.minimum(0, x))


def test_gradients_of_prelu_have_the_dtypes_of_their_arrays():
    x, alpha = np.ones((2, 3), np.float16), np.ones(1, np.float32)
    for given in ((x, alpha, x), (alpha, alpha.astype(np.float64), alpha)):
        grads = prelu_vjp(*given)
        assert (grads.x.dtype, grads.alpha.dtype) == (given[0].dtype, given[1].dtype)


def test_the_gradient_of_a_slope_is_summed_in_float32():
    x, alpha = -np.ones(70_000, np.float16), np.ones(1, np.float32)
    assert prelu_vjp(x, alpha, -x).alpha.tolist() == [-70_000]
    large = np.full(1, -300, np.float16)
    assert prelu_vjp(large, alpha, large).alpha.tolist() == [90_000]


@pytest.mark.parametrize("shape", [(2,), (3, 4, 1, 1), (4, 1)])
def test_slopes_that_do_not_broadcast(shape):
    with pytest.raises(ValueError, match=r"alpha has shape .* to the shape \(2, 3, 5\) of x"):
        prelu(np.zeros((2, 3, 5)), np.zeros(shape))
    with pytest.raises(ValueError, match=r"alpha has shape .* to the shape \(2, 3, 5\) of x"):
        prelu_vjp(np.zeros((2, 3, 5)), np.zeros(shape), np.zeros((2, 3, 5)))


def test_elu_keeps_the_digits_of_small_numbers():
    x = np.asarray([-1e-12, -1e-300])
    np.testing.assert_allclose(elu(x), x, rtol=1e-11)


def test_the_probability_of_a_dead_unit_is_that_of_scipy():
    margin = np.linspace(-4, 4, 9)
    for samples in (0, 1, 7, 1000):
        expected = stats.norm.cdf(-margin) ** samples
        assert_close(dead_unit_probability(margin, samples=samples), expected)


def test_half_precision_does_not_round_a_probability_before_its_power():
    margin = torch.tensor([-3.0, -4.0])
    expected = stats.norm.cdf(-margin.double()) ** 1000
    for dtype in (torch.float16, torch.bfloat16):
        found = dead_unit_probability(margin.to(dtype), samples=1000)
        assert found.dtype == dtype
        assert_close(found, expected, dtype=str(dtype).removeprefix("torch."))


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (1, 4), (2, 10), (4, 3)])
def test_the_share_of_networks_that_are_dead_for_one_input(width, depth):
    rng = np.random.default_rng(0)
    networks = 20_000
    h = np.ones((networks, 1, 3))
    fan_in = 3
    for _ in range(depth):
        h = relu(h @ rng.normal(size=(networks, fan_in, width)))
        fan_in = width
    dead = int((h == 0).all((1, 2)).sum())
    expected = dead_network_probability(width=width, depth=depth)
    # A right formula fails an exact binomial test at this level once in 10⁶ seeds.
    assert stats.binomtest(dead, networks, expected).pvalue > 1e-6


def test_no_hidden_layer_is_never_dead():
    assert dead_network_probability(width=3, depth=0) == 0


def test_wide_networks_keep_their_small_probability():
    assert dead_network_probability(width=80, depth=5) == pytest.approx(
        5 * 2.0**-80, rel=1e-12, abs=0
    )


def test_errors():
    for function in (relu, leaky_relu, elu):
        with pytest.raises(TypeError, match="x has dtype int64"):
            function(np.arange(3))
    for function in (relu_vjp, leaky_relu_vjp, elu_vjp):
        with pytest.raises(ValueError, match=r"cotangent has shape \(2,\) but x has shape \(3,\)"):
            function(np.ones(3), np.ones(2))
        with pytest.raises(TypeError, match="cotangent has dtype int64"):
            function(np.ones(3), np.arange(3))
    with pytest.raises(TypeError, match="alpha has dtype int64"):
        prelu(np.ones(3), np.arange(3))
    with pytest.raises(ValueError, match="samples is -1"):
        dead_unit_probability(np.ones(3), samples=-1)
    with pytest.raises(ValueError, match="width is 0"):
        dead_network_probability(width=0, depth=3)
    with pytest.raises(ValueError, match="depth is -1"):
        dead_network_probability(width=1, depth=-1)

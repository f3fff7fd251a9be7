import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.special import erfc, expit
from scipy.stats import norm
from torch.nn import functional as F
from transformers.activations import ACT2FN

from dlkb.activations.gelu import (
    gelu,
    gelu_vjp,
    mish,
    mish_vjp,
    normal_cdf,
    quick_gelu,
    silu,
    silu_vjp,
    swish,
    swish_vjp,
)
from tests.cases import Case
from tests.close import assert_close

tanh_gelu = partial(gelu, approximate="tanh")
tanh_gelu_vjp = partial(gelu_vjp, approximate="tanh")


def spread(rng, *shape):
    """Near 0, where gates open, and far out, where they have saturated."""
    return rng.normal(size=shape) * np.where(rng.random(shape) < 0.3, 20, 1)


def one(rng):
    return (spread(rng, 4, 5),), {}


def two(rng):
    return (spread(rng, 4, 5), rng.normal(size=(4, 5))), {}


CASES = [
    Case(normal_cdf, one),
    Case(gelu, one),
    Case(gelu, lambda rng: (one(rng)[0], {"approximate": "tanh"}), "tanh"),
    Case(gelu_vjp, two),
    Case(gelu_vjp, lambda rng: (two(rng)[0], {"approximate": "tanh"}), "tanh"),
    Case(swish, lambda rng: (one(rng)[0], {"beta": 1.7})),
    Case(swish, lambda rng: (one(rng)[0], {"beta": np.asarray(0.5)}), "beta-array"),
    # The sum over all entries, x² σ' of either sign, adds up their roundings.
    Case(swish_vjp, lambda rng: (two(rng)[0], {"beta": 1.7}), scale=4),
    Case(silu, one),
    Case(silu_vjp, two),
    Case(quick_gelu, one),
    Case(mish, one),
    Case(mish_vjp, two),
]

PAIRS = {
    "gelu": (gelu, F.gelu, gelu_vjp),
    "tanh": (tanh_gelu, partial(F.gelu, approximate="tanh"), tanh_gelu_vjp),
    "silu": (silu, F.silu, silu_vjp),
    "quick": (
        quick_gelu,
        ACT2FN["quick_gelu"],
        lambda x, cotangent: swish_vjp(x, cotangent, beta=1.702).x,
    ),
    "mish": (mish, F.mish, mish_vjp),
}
SLOPE_AT_0 = {"mish": 0.6}


def inputs(shape=(6, 7), dtype=torch.float64, device="cpu"):
    return torch.tensor(spread(np.random.default_rng(0), *shape), dtype=dtype, device=device)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(6, 7), (), (0,), (3, 0), (1,), (2, 1, 3, 1)])
def test_values_and_gradients_are_those_of_torch(name, shape, device):
    ours, theirs, vjp = PAIRS[name]
    x = inputs(shape, device=device)
    cotangent = torch.cos(3 * x)
    found = []
    for f in (ours, theirs):
        leaf = x.clone().requires_grad_()
        y = f(leaf)
        (gradient,) = torch.autograd.grad(y, leaf, cotangent)
        found.append((y, gradient))
    assert_close(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1])
    assert_close(vjp(x, cotangent), found[1][1])


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivatives_are_those_of_torch(name):
    ours, theirs, _ = PAIRS[name]
    x = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0], dtype=torch.float64)
    found = [torch.func.vmap(torch.func.grad(torch.func.grad(f)))(x) for f in (ours, theirs)]
    assert_close(found[0], found[1])


def test_values_are_those_of_jax():
    x = np.linspace(-8, 8, 101)
    for ours, theirs in (
        (gelu, partial(jax.nn.gelu, approximate=False)),
        (tanh_gelu, jax.nn.gelu),
        (silu, jax.nn.silu),
        (mish, jax.nn.mish),
    ):
        assert_close(ours(x), theirs(jnp.asarray(x)))


def test_against_scipy():
    x = np.linspace(-8, 8, 101)
    assert_close(normal_cdf(x), norm.cdf(x))
    assert_close(gelu(x), x * norm.cdf(x))
    assert_close(silu(x), x * expit(x))
    assert_close(gelu_vjp(x, np.ones_like(x)), norm.cdf(x) + x * norm.pdf(x))


def test_the_tails_keep_their_digits_where_the_form_allows_it():
    x = np.asarray([-30.0, -15.0, -7.0])
    exact = x * erfc(-x / math.sqrt(2)) / 2
    np.testing.assert_allclose(silu(x), x * expit(x), rtol=1e-12)
    np.testing.assert_allclose(quick_gelu(x), x * expit(1.702 * x), rtol=1e-12)
    e = np.exp(x)
    np.testing.assert_allclose(mish(x), x * np.tanh(np.log1p(e)), rtol=1e-12)
    assert abs(gelu(x) - exact).max() < 1e-15  # absolute, not relative: as torch's


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_large_values_whose_squares_overflow(name, dtype):
    f, _, vjp = PAIRS[name]
    huge = 0.5 * np.finfo(dtype).max
    x = np.asarray([-huge, huge, -300, 300, -45, 45], dtype=dtype)
    y, slope = f(x), vjp(x, np.ones_like(x))
    assert y.dtype == slope.dtype == dtype
    assert_close(y, np.where(x > 0, x, 0))
    assert_close(slope, np.where(x > 0, 1, 0))
    leaf = torch.tensor(x, requires_grad=True)
    f(leaf).sum().backward()
    assert_close(leaf.grad, np.where(x > 0, 1, 0))


@pytest.mark.parametrize("name", PAIRS)
def test_infinities_and_zero(name):
    f, _, vjp = PAIRS[name]
    assert f(np.asarray([np.inf, 0.0])).tolist() == [np.inf, 0.0]
    slope = SLOPE_AT_0.get(name, 0.5)
    assert vjp(np.zeros(1), np.ones(1)).item() == pytest.approx(slope, abs=1e-12)
    leaf = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    f(leaf).backward()
    assert leaf.grad.item() == pytest.approx(slope, abs=1e-12)


@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.3, 1.0, 25.0])
def test_the_gradient_of_beta(beta):
    x = inputs()
    cotangent = torch.cos(3 * x)
    b = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    leaf = x.clone().requires_grad_()
    y = leaf * torch.sigmoid(b * leaf)
    expected = torch.autograd.grad(y, (leaf, b), cotangent)
    assert_close(swish(x, beta=beta), y)
    for given in (beta, b.detach()):
        found = swish_vjp(x, cotangent, beta=given)
        assert_close(found.x, expected[0])
        assert_close(found.beta, expected[1])


def test_swish_joins_a_line_to_relu():
    x = np.linspace(-3, 3, 61)
    assert_close(swish(x, beta=0.0), x / 2)
    assert abs(swish(x, beta=1e4) - np.maximum(x, 0)).max() < 1e-4
    assert_close(quick_gelu(x), silu(1.702 * x) / 1.702)


@pytest.mark.parametrize("name", ["gelu", "tanh", "silu", "quick"])
def test_what_is_left_out_below_is_missing_above(name):
    f = PAIRS[name][0]  # the gates are symmetric: f(x) − f(−x) = x
    x = np.linspace(-6, 6, 51)
    assert_close(f(x) - f(-x), x)


def test_no_result_lands_on_a_default_device_or_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        x = torch.linspace(-2, 2, 5, dtype=torch.float32)
        for f, _, vjp in PAIRS.values():
            assert f(x).dtype == vjp(x, x).dtype == torch.float32
        assert swish_vjp(x, x).beta.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        x = torch.linspace(-2, 2, 5, device="cpu")
        assert all(f(x).device.type == "cpu" for f, _, _ in PAIRS.values())


@pytest.mark.parametrize("approximate", ["erf", "", None, True])
def test_an_unknown_form_is_refused(approximate):
    x = np.ones(2)
    message = rf"approximate is {approximate!r}: it must be 'none' or 'tanh'"
    with pytest.raises(ValueError, match=message):
        gelu(x, approximate=approximate)
    with pytest.raises(ValueError, match=message):
        gelu_vjp(x, x, approximate=approximate)


@pytest.mark.parametrize("f", [normal_cdf, gelu, swish, silu, quick_gelu, mish])
def test_integers_are_refused(f):
    with pytest.raises(TypeError, match="x has dtype int64: a real floating-point array"):
        f(np.arange(3))


@pytest.mark.parametrize("vjp", [gelu_vjp, swish_vjp, silu_vjp, mish_vjp])
def test_gradients_of_what_does_not_fit_are_refused(vjp):
    with pytest.raises(TypeError, match="cotangent has dtype int64"):
        vjp(np.ones(3), np.arange(3))
    with pytest.raises(ValueError, match=r"cotangent has shape \(2,\) but x has shape \(3,\)"):
        vjp(np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="x has dtype int64: a real floating-point array"):
        vjp(np.arange(3), np.ones(3))

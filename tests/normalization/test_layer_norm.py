import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.normalization.layer_norm import (
    fold_affine,
    largest_entry,
    layer_norm,
    layer_norm_vjp,
    output_std,
)
from tests.cases import Case
from tests.close import assert_close


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


CASES = [
    Case(layer_norm, lambda rng: ((rng.normal(size=(3, 4)),), {}), "bare"),
    Case(
        layer_norm,
        lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)), {}),
        scale=3,
        batch=("x",),
    ),
    Case(
        layer_norm,
        lambda rng: (
            (rng.normal(size=(2, 3, 4)), None, rng.normal(size=(3, 4))),
            {"dims": 2, "eps": 0.1},
        ),
        "bias-alone",
        batch=("x",),
    ),
    Case(
        layer_norm,
        lambda rng: ((np.zeros((0, 4)), rng.normal(size=4)), {}),
        "empty-batch",
        batch=("x",),
    ),
    Case(layer_norm, lambda rng: ((rng.normal(size=(3, 1)),), {}), "one-feature"),
    Case(
        layer_norm_vjp,
        lambda rng: (
            (rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=4), np.zeros(4)),
            {"eps": 0.1},
        ),
        scale=3,
        batch=(),
    ),
    Case(
        layer_norm_vjp, lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {}), "bare"
    ),
    Case(
        layer_norm_vjp,
        lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))), {"dims": 2}),
        "two-axes",
    ),
    Case(output_std, lambda rng: ((rng.random(4),), {"eps": 0.1})),
    Case(largest_entry, lambda rng: ((5,), {})),
    Case(largest_entry, lambda rng: ((5,), {"centred": False}), "as-it-is"),
    Case(
        fold_affine,
        lambda rng: (
            (rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4)), rng.normal(size=3)),
            {},
        ),
        batch=(),
    ),
    Case(
        fold_affine,
        lambda rng: ((rng.normal(size=4), rng.normal(size=4), rng.normal(size=(3, 4))), {}),
        "no-bias",
        batch=(),
    ),
]


@pytest.mark.parametrize("shape", [(4, 5), (5,), (1, 1), (2, 3, 1), (3, 0, 4), (0, 4), (2, 3, 4)])
@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.3])
@pytest.mark.parametrize("dims", [1, 2])
def test_values_and_gradients_of_torch(shape, eps, dims):
    if dims > len(shape):
        return
    axes = shape[-dims:]
    arrays = draw(*shape), draw(*axes, seed=2), draw(*axes, seed=3)
    inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    theirs = F.layer_norm(inputs[0], axes, *inputs[1:], eps)
    assert_close(layer_norm(*arrays, dims=dims, eps=eps), theirs, scale=10)
    g = draw(*shape, seed=1)
    gradients = torch.autograd.grad(theirs, inputs, torch.tensor(g))
    ours = layer_norm_vjp(arrays[0], g, *arrays[1:], dims=dims, eps=eps)
    scale = 1e7 if 1 in axes else 100  # one feature: 0 / √ε
    for mine, their in zip(ours, gradients, strict=True):
        assert_close(mine, their, scale=scale)


def test_gradients_of_autograd_and_their_gradients():
    arguments = [torch.tensor(draw(*s), requires_grad=True) for s in ((3, 4), (4,), (4,))]
    g = torch.tensor(draw(3, 4, seed=1))
    by_autograd = torch.autograd.grad(layer_norm(*arguments, eps=0.1), arguments, g)
    by_hand = layer_norm_vjp(arguments[0], g, *arguments[1:], eps=0.1)
    for mine, their in zip(by_hand, by_autograd, strict=True):
        assert_close(mine, their)
    assert torch.autograd.gradgradcheck(lambda *a: layer_norm(*a, eps=0.1), arguments)


def test_gradients_of_jax():
    x, w, b, g = draw(3, 4), draw(4, seed=1), draw(4, seed=2), draw(3, 4, seed=3)
    _, back = jax.vjp(layer_norm, *map(jnp.asarray, (x, w, b)))
    for mine, their in zip(layer_norm_vjp(x, g, w, b), back(jnp.asarray(g)), strict=True):
        assert_close(mine, their, scale=10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e19, 1e30, 1e36])
def test_entries_whose_squares_overflow(dtype, size):
    x = torch.tensor(draw(3, 8) * size, dtype=dtype)
    expected = F.layer_norm(x.double(), (8,))
    assert_close(layer_norm(x) / min(size, 1), expected / min(size, 1))
    g = torch.tensor(draw(3, 8, seed=1), dtype=dtype)
    exact = layer_norm_vjp(x.double(), g.double()).x * size
    assert_close((layer_norm_vjp(x, g).x.double() * size).to(dtype), exact)


@pytest.mark.parametrize(("size", "finite"), [(3e37, True), (5e37, False)])
def test_entries_whose_sum_overflows_give_nan(size, finite):
    assert bool(layer_norm(torch.full((8,), size)).isfinite().all()) == finite


def test_large_equal_features_are_off_by_the_rounding_of_their_mean():
    rows = np.repeat(np.float32(1e6) * (1 + np.arange(50) / 97), 7).reshape(50, 7)
    found = abs(layer_norm(rows.astype(np.float32))).max()
    assert 0.9 < found <= 1.001
    assert abs(layer_norm(rows.astype(np.float32) / 1e4)).max() < 0.01
    assert not F.layer_norm(torch.tensor(rows, dtype=torch.float32), (7,)).any()


def test_without_eps_equal_features_give_nan_or_one_by_a_rounding():
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(layer_norm(np.ones(3), eps=0.0)).all()
    rounded = np.full(3, 0.1)
    assert rounded.mean() > 0.1
    assert_close(layer_norm(rounded, eps=0.0), -np.ones(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("size", "offset"), [(1e-3, 0.0), (1.0, 0.0), (3e4, 0.0), (1.0, 50.0)])
def test_half_precision_is_computed_in_float32(dtype, size, offset):
    x = (torch.tensor(draw(4, 64)).clamp(-1, 1) * size + offset).to(dtype)
    weight, bias = torch.tensor(draw(64, seed=1)).to(dtype), torch.tensor(draw(64)).to(dtype)
    expected = F.layer_norm(x.double(), (64,), weight.double(), bias.double()).to(dtype)
    step = torch.finfo(dtype).eps
    found = layer_norm(x, weight, bias)
    torch.testing.assert_close(found, expected, rtol=step, atol=1e-5)
    assert (found == expected).float().mean() > 0.97  # rounded once
    grads = layer_norm_vjp(x, x, weight, bias.float())
    assert (grads.x.dtype, grads.weight.dtype, grads.bias.dtype) == (dtype, dtype, torch.float32)


def test_parameters_may_be_wider_than_the_input():
    x, weight, bias = torch.tensor(draw(2, 4)).half(), torch.full((4,), 1 + 2**-12), torch.ones(4)
    found = layer_norm(x, weight, bias)
    assert found.dtype == torch.float16
    assert_close(found, F.layer_norm(x, (4,), weight, bias))


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_a_large_offset_costs_no_more_than_its_own_rounding(offset):
    x = (draw(4, 256) + offset).astype(np.float32)
    exact = layer_norm(x.astype(np.float64))
    assert np.abs(layer_norm(x) - exact).max() < 1e-6 + 4e-7 * offset
    naive = (x**2).mean(-1) - x.mean(-1) ** 2
    if offset == 1e4:
        assert (np.abs(naive - x.astype(np.float64).var(-1)) > 0.5).all()


def test_output_std_is_measured():
    for std in (1e-4, math.sqrt(1e-5), 0.1, 10.0):
        x = draw(1, 512)
        x = std * (x - x.mean()) / x.std()
        assert_close(np.asarray(output_std(std)), layer_norm(x).std())
    assert output_std(0.5, eps=0.25) == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_largest_entry_is_attained_and_not_passed(n):
    single = np.eye(n)[:1] * 1e6
    assert_close(layer_norm(single).max(), np.asarray(largest_entry(n)))
    rms = single / np.sqrt((single**2).mean())
    assert_close(rms.max(), np.asarray(largest_entry(n, centred=False)))
    heavy = np.random.default_rng(0).standard_cauchy(size=(2000, n))
    assert np.abs(layer_norm(heavy)).max() <= largest_entry(n) + 1e-9


@pytest.mark.parametrize("bias", [True, False])
def test_folded_layers_do_the_same(bias):
    x, gain, shift, W = draw(5, 4), draw(4, seed=1), draw(4, seed=2), draw(3, 4, seed=3)
    b = draw(3, seed=4) if bias else None
    folded_W, folded_b = fold_affine(gain, shift, W, b)
    before = layer_norm(x, gain, shift) @ W.T + (b if bias else 0)
    assert_close(layer_norm(x) @ folded_W.T + folded_b, before, scale=10)


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layer_norm(ONES, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: layer_norm(ONES, dims=3), ValueError, r"dims is 3: .* 1 … 2"),
        (lambda: layer_norm(np.asarray(1.0)), ValueError, "dims is 1"),
        (lambda: layer_norm(ONES, None, np.ones(3), dims=0), ValueError, "dims is 0"),
        (lambda: layer_norm(np.ones(3, int)), TypeError, "x has dtype int64"),
        (lambda: layer_norm(ONES, np.ones(2)), ValueError, r"weight has shape \(2,\): .* \(3,\)"),
        (lambda: layer_norm(ONES, None, np.ones(2)), ValueError, r"bias has shape \(2,\)"),
        (lambda: layer_norm(ONES, None, np.ones(3, int)), TypeError, "bias has dtype int64"),
        (lambda: layer_norm_vjp(ONES, np.ones(3)), ValueError, "cotangent has shape"),
        (lambda: layer_norm_vjp(ONES, ONES > 0), TypeError, "cotangent has dtype bool"),
        (lambda: layer_norm_vjp(ONES, ONES, None, np.ones(2)), ValueError, "bias has shape"),
        (lambda: output_std(1.0, eps=0.0), ValueError, r"eps is 0.0: it must lie in \(0, inf\)"),
        (lambda: largest_entry(0), ValueError, "n is 0"),
        (lambda: fold_affine(np.ones(2), np.ones(3), ONES), ValueError, r"gain has shape \(2,\)"),
        (lambda: fold_affine(np.ones(3), np.ones(2), ONES), ValueError, r"shift has shape"),
        (lambda: fold_affine(np.ones(3), np.ones(3), np.ones(3)), ValueError, "gain has shape"),
        (lambda: fold_affine(np.ones(3, int), np.ones(3), ONES), TypeError, "gain has dtype"),
        (lambda: fold_affine(np.ones(3), np.ones(3), ONES > 0), TypeError, "weight has dtype"),
        (lambda: fold_affine(*ONES, ONES, np.ones(2, int)), TypeError, "bias has dtype int64"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

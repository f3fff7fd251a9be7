import math

import jax
import numpy as np
import pytest
import torch
from scipy import special
from torch.nn import functional as F

from dlkb.activations.sigmoid import (
    log_sigmoid,
    log_sigmoid_vjp,
    logit,
    saturation,
    sigmoid,
    sigmoid_vjp,
    softplus,
    softplus_vjp,
    tanh,
    tanh_vjp,
)
from tests.cases import Case
from tests.close import assert_close


def draws(rng, *shape):
    return 3 * rng.normal(size=shape)


CASES = [
    *(Case(f, lambda rng: ((draws(rng, 4, 5),), {})) for f in (sigmoid, tanh, log_sigmoid)),
    *(
        Case(f, lambda rng: ((draws(rng, 4, 5), draws(rng, 4, 5)), {}), scale=2)
        for f in (sigmoid_vjp, tanh_vjp, log_sigmoid_vjp)
    ),
    Case(logit, lambda rng: ((rng.uniform(0.05, 0.95, size=(4, 5)),), {}), scale=2, fixed=("p",)),
    Case(softplus, lambda rng: ((draws(rng, 4, 5),), {"beta": 0.7})),
    Case(
        softplus_vjp,
        lambda rng: ((draws(rng, 4, 5), draws(rng, 4, 5)), {"beta": 0.7}),
        scale=2,
    ),
    Case(saturation, lambda rng: ((), {"eps": 1e-3})),
]

PAIRS = {
    "sigmoid": (sigmoid, torch.sigmoid, sigmoid_vjp, {}),
    "tanh": (tanh, torch.tanh, tanh_vjp, {}),
    "log-sigmoid": (log_sigmoid, F.logsigmoid, log_sigmoid_vjp, {}),
    "softplus": (softplus, lambda x: F.softplus(x, threshold=37), softplus_vjp, {}),
    "softplus, beta": (
        softplus,
        lambda x, beta: F.softplus(x, beta, threshold=37),
        softplus_vjp,
        {"beta": 2.5},
    ),
}


def inputs(shape):
    x = draws(np.random.default_rng(0), *shape)
    return np.where(np.abs(x) < 0.7, 0.0, x)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(7, 5, 3), (), (0,), (3, 0, 2), (2, 1, 3)])
def test_values_and_gradients_are_those_of_torch_at_zero_too(name, shape, device):
    ours, theirs, vjp, options = PAIRS[name]
    x = torch.tensor(inputs(shape), device=device, requires_grad=True)
    cotangent = torch.tensor(draws(np.random.default_rng(1), *shape), device=device)
    assert_close(ours(x, **options), theirs(x, **options))
    (expected,) = torch.autograd.grad(theirs(x, **options), x, cotangent)
    (found,) = torch.autograd.grad(ours(x, **options), x, cotangent)
    assert_close(found, expected)
    assert_close(vjp(x.detach(), cotangent, **options), expected)


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivatives(name):
    ours, _, vjp, options = PAIRS[name]
    x = torch.tensor(inputs((4, 5)), requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: ours(x, **options), (x,))
    cotangent = torch.ones_like(x)
    assert torch.autograd.gradcheck(lambda x: vjp(x, cotangent, **options), (x,))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_what_is_not_finite_and_what_is_large(name, dtype):
    ours, theirs, vjp, options = PAIRS[name]
    largest = torch.finfo(dtype).max
    x = torch.tensor(
        [math.nan, math.inf, -math.inf, largest, -largest / 2, 90.0, -90.0, 800.0, -800.0],
        dtype=dtype,
    )
    assert_close(ours(x, **options), theirs(x, **options))
    assert ours(x, **options).dtype == dtype
    x = x[1:].requires_grad_()
    (found,) = torch.autograd.grad(ours(x, **options).sum(), x)
    (expected,) = torch.autograd.grad(theirs(x, **options).sum(), x)
    assert_close(found, expected)
    assert_close(vjp(x.detach(), torch.ones_like(x), **options), expected)


def test_jax_differentiates_as_the_hand_does():
    x = inputs((7, 5))
    for ours, _, vjp, options in PAIRS.values():
        slope = jax.grad(lambda x, f=ours, o=options: f(x, **o).sum())(jax.numpy.asarray(x))
        assert_close(np.asarray(slope), vjp(x, np.ones_like(x), **options))


SMALL = np.asarray([-300.0, -100.0, -40.0, -1.0, -1e-9, 1e-9, 1.0, 5.0])


def relative(found, expected, tolerance=1e-14):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=0)


def test_no_digits_are_lost_where_the_result_is_small():
    ones = np.ones_like(SMALL)
    relative(sigmoid(SMALL), special.expit(SMALL))
    relative(log_sigmoid(SMALL), special.log_expit(SMALL))
    relative(log_sigmoid(-SMALL), special.log_expit(-SMALL))
    relative(softplus(SMALL), -special.log_expit(-SMALL))
    relative(tanh(SMALL), np.tanh(SMALL))
    relative(tanh_vjp(SMALL, ones), np.cosh(SMALL) ** -2.0)
    for x in (SMALL, -SMALL):
        relative(sigmoid_vjp(x, ones), special.expit(x) * special.expit(-x))


def test_logit_is_the_inverse():
    p = np.asarray([0.0, 1e-300, 1e-9, 0.25, 0.5, 0.75, 1 - 1e-9, 1.0])
    with np.errstate(divide="ignore"):
        relative(logit(p), special.logit(p), 1e-12)
        relative(sigmoid(logit(p)), p, 1e-12)


FORMATS = [torch.bfloat16, torch.float16, torch.float32]


@pytest.mark.parametrize("dtype", FORMATS)
def test_saturation_is_where_the_rounded_sigmoid_becomes_one(dtype):
    x = saturation(eps=torch.finfo(dtype).eps)
    exact = torch.sigmoid(torch.tensor([x - 1e-3, x + 1e-3], dtype=torch.float64))
    assert (exact.to(dtype) == 1).tolist() == [False, True]


def test_saturation_of_float64_by_exact_arithmetic():
    x = saturation(eps=2.0**-52)
    assert (math.exp(-x) / (1 + math.exp(-x)) < 2.0**-54) or x == pytest.approx(54 * math.log(2))


def test_errors():
    for function in (sigmoid, tanh, log_sigmoid, softplus):
        with pytest.raises(TypeError, match="x has dtype int64"):
            function(np.arange(3))
    with pytest.raises(TypeError, match="p has dtype int64"):
        logit(np.arange(3))
    for function in (sigmoid_vjp, tanh_vjp, log_sigmoid_vjp, softplus_vjp):
        with pytest.raises(ValueError, match=r"cotangent has shape \(2,\) but x has shape \(3,\)"):
            function(np.ones(3), np.ones(2))
        with pytest.raises(TypeError, match="cotangent has dtype int64"):
            function(np.ones(3), np.arange(3))
    for beta in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="beta is"):
            softplus(np.ones(3), beta=beta)
        with pytest.raises(ValueError, match="beta is"):
            softplus_vjp(np.ones(3), np.ones(3), beta=beta)
    for eps in (0.0, 1.0):
        with pytest.raises(ValueError, match="eps is"):
            saturation(eps=eps)

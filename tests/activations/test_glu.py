import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.activations.glu import (
    VARIANTS,
    gated,
    gated_linear,
    gated_vjp,
    glu,
    glu_vjp,
    matched_width,
)
from tests.cases import Case
from tests.close import assert_close


def pair(rng):
    return rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


def layer(rng):
    return rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


PRODUCTS = dict.fromkeys(("float64 huge all", "float16 large all"), "the projections overflow")

CASES = [
    *(
        Case(gated, lambda rng, v=variant: (pair(rng), {"variant": v}), variant)
        for variant in VARIANTS
    ),
    Case(gated, lambda rng: (pair(rng), {"variant": "swiglu", "beta": np.asarray(2.0)}), "beta"),
    *(
        Case(
            gated_vjp,
            lambda rng, v=variant: ((*pair(rng), rng.normal(size=(3, 4))), {"variant": v}),
            variant,
        )
        for variant in VARIANTS
    ),
    Case(
        gated_vjp,
        lambda rng: ((*pair(rng), rng.normal(size=(3, 4))), {"variant": "swiglu", "beta": 0.5}),
        "beta",
    ),
    Case(glu, lambda rng: ((rng.normal(size=(3, 4)),), {})),
    Case(glu, lambda rng: ((rng.normal(size=(2, 4, 6)),), {"axis": -2}), "axis"),
    Case(glu_vjp, lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 2))), {})),
    Case(
        glu_vjp,
        lambda rng: ((rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 2, 6))), {"axis": -2}),
        "axis",
    ),
    Case(gated_linear, lambda rng: (layer(rng), {}), batch=("x",), unless=PRODUCTS),
    Case(
        gated_linear,
        lambda rng: (layer(rng), {"beta": 0.5}),
        "beta",
        batch=("x",),
        unless=PRODUCTS,
    ),
    *(
        Case(
            gated_linear,
            lambda rng, v=variant: (
                (*layer(rng), rng.normal(size=3), rng.normal(size=3)),
                {"variant": v},
            ),
            f"{variant}-biases",
            batch=("x",),
            unless={} if variant == "bilinear" else PRODUCTS,
        )
        for variant in VARIANTS
    ),
    Case(matched_width, lambda rng: ((512,), {"multiple_of": 64})),
]

THEIRS = {
    "bilinear": lambda g: g,
    "glu": torch.sigmoid,
    "reglu": F.relu,
    "geglu": F.gelu,
    "swiglu": F.silu,
}


def tensors(*shape, count=2, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.tensor(3 * rng.normal(size=shape)).requires_grad_() for _ in range(count)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (4, 1, 5)])
def test_values_and_gradients_are_those_of_torch(variant, shape, device):
    value, gate, cotangent = (t.detach().to(device) for t in tensors(*shape, count=3))
    value.requires_grad_()
    gate.requires_grad_()
    theirs = value * THEIRS[variant](gate)
    ours = gated(value, gate, variant=variant)
    assert_close(ours, theirs)
    expected = torch.autograd.grad(theirs, (value, gate), cotangent)
    found = torch.autograd.grad(ours, (value, gate), cotangent)
    by_hand = gated_vjp(value, gate, cotangent, variant=variant)
    for i in range(2):
        assert_close(found[i], expected[i])
        assert_close(by_hand[i], expected[i])


@pytest.mark.parametrize("beta", [0.0, 0.5, 3.0])
def test_beta(beta):
    value, gate = tensors(4, 5)
    theirs = value * gate * torch.sigmoid(beta * gate)
    expected = torch.autograd.grad(theirs.sum(), (value, gate))
    assert_close(gated(value, gate, variant="swiglu", beta=beta), theirs)
    ones = torch.ones_like(value)
    found = gated_vjp(value, gate, ones, variant="swiglu", beta=beta)
    for i in range(2):
        assert_close(found[i], expected[i])


@pytest.mark.parametrize(("shape", "axis"), [((6,), -1), ((2, 4, 3), 1), ((4, 0), 0), ((2, 2), -2)])
def test_glu_is_that_of_torch_and_jax(shape, axis):
    x = np.random.default_rng(0).normal(size=shape)
    assert_close(glu(x, axis=axis), F.glu(torch.tensor(x), dim=axis))
    assert_close(glu(x, axis=axis), jax.nn.glu(jnp.asarray(x), axis=axis))
    given = torch.tensor(x, requires_grad=True)
    y = F.glu(given, dim=axis)
    cotangent = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    y.backward(cotangent)
    assert_close(glu_vjp(x, cotangent.numpy(), axis=axis), given.grad)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_layer_is_two_linear_maps(variant):
    x, W, V = (t.detach() for t in (*tensors(2, 5, 4, count=1), *tensors(3, 4)))
    b, c = (t.detach() for t in tensors(3))
    theirs = THEIRS[variant](F.linear(x, W, b)) * F.linear(x, V, c)
    assert_close(gated_linear(x, W, V, b, c, variant=variant), theirs)
    theirs = THEIRS[variant](F.linear(x, W)) * F.linear(x, V, c)
    assert_close(gated_linear(x, W, V, value_bias=c, variant=variant), theirs)


def test_the_layer_of_one_example_and_of_none():
    W, V = np.ones((3, 4)), np.ones((3, 4))
    assert gated_linear(np.ones(4), W, V).shape == (3,)
    assert gated_linear(np.ones((0, 4)), W, V).shape == (0, 3)


def test_the_limits_of_swiglu():
    value, gate = (t.detach().numpy() for t in tensors(4, 5))
    half = gated(value, gate, variant="bilinear") / 2
    assert_close(gated(value, gate, variant="swiglu", beta=0.0), half)
    sharp = gated(value, gate, variant="swiglu", beta=1e6)
    assert abs(sharp - gated(value, gate, variant="reglu")).max() < 1e-5


def test_closed_gates_pass_nothing_and_open_ones_all():
    value = np.asarray([3.0, -2.0])
    for far, expected in ((-800.0, 0 * value), (800.0, value)):
        gate = np.full(2, far)
        assert_close(gated(value, gate), expected)
        assert_close(gated_vjp(value, gate, value).value, value * (far > 0))
        assert_close(gated_vjp(value, gate, value).gate, np.zeros(2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gates_whose_squares_overflow(dtype):
    gate = np.asarray([-1, 1], dtype=dtype) * (np.finfo(dtype).max / 2)
    value = np.asarray([0.5, 0.5], dtype=dtype)
    for variant in ("glu", "reglu", "geglu", "swiglu"):
        y = gated(value, gate, variant=variant)
        slopes = gated_vjp(value, gate, np.ones_like(value), variant=variant)
        assert y.dtype == dtype
        assert np.isfinite(np.asarray([y, *slopes])).all()
        assert y[0] == 0


def test_nan_of_a_gate_stays_nan():
    gate, one = np.asarray([np.nan]), np.ones(1)
    for variant in VARIANTS:
        assert np.isnan(gated(one, gate, variant=variant)), variant


def test_widths():
    assert matched_width(4 * 512) == 1365
    assert matched_width(4 * 4096, multiple_of=256) == 11008  # Llama 7B
    assert matched_width(4 * 5120, multiple_of=256) == 13824  # Llama 13B
    assert matched_width(3) == matched_width(2, multiple_of=2) == 2
    assert matched_width(1) == 1
    assert matched_width(1, multiple_of=8) == 8
    for d in (64, 512, 1000):
        ungated, block = 2 * d * 4 * d, 3 * d * matched_width(4 * d)
        assert 0 <= ungated - block < 3 * d


def test_errors():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="variant is 'gelu': it must be one of"):
        gated(x, x, variant="gelu")
    with pytest.raises(ValueError, match=r"gate has shape \(2, 2\) but value has shape \(2, 3\)"):
        gated(x, x[:, :2])
    with pytest.raises(ValueError, match=r"cotangent has shape \(2, 2\) but value"):
        gated_vjp(x, x, x[:, :2])
    with pytest.raises(TypeError, match="value has dtype int64"):
        gated(np.ones(2, dtype=int), np.ones(2))
    with pytest.raises(TypeError, match="gate has dtype int64"):
        gated(np.ones(2), np.ones(2, dtype=int))
    with pytest.raises(ValueError, match=r"x has shape \(2, 3\): it needs an even number of .* -1"):
        glu(x)
    with pytest.raises(ValueError, match=r"axis is 2: x has shape \(2, 3\)"):
        glu(x, axis=2)
    with pytest.raises(ValueError, match=r"axis is 0: x has shape \(\)"):
        glu(np.asarray(1.0), axis=0)
    with pytest.raises(ValueError, match=r"axis is 2: x has shape \(2, 3\)"):
        glu_vjp(x, x, axis=2)
    with pytest.raises(TypeError, match="cotangent has dtype int64"):
        gated_vjp(x, x, np.ones((2, 3), dtype=int))
    for array in (np.ones, torch.ones):
        for shape in ((2, 3), (4,), (1, 2), ()):
            with pytest.raises(ValueError, match=r"cotangent has shape \(.*\): \(2, 2\), that of"):
                glu_vjp(array((2, 4)), array(shape))
    with pytest.raises(TypeError, match="cotangent has dtype int64"):
        glu_vjp(np.ones((2, 4)), np.ones((2, 2), dtype=int))
    with pytest.raises(TypeError, match="x has dtype int64"):
        glu(np.arange(4))
    with pytest.raises(ValueError, match=r"value_weight has shape \(2, 2\) but gate_weight"):
        gated_linear(x, x, x[:, :2])
    with pytest.raises(ValueError, match=r"\(2, 2\) and gate_weight has shape \(2, 3\): \("):
        gated_linear(x[:, :2], x, x)
    for name in ("gate_bias", "value_bias"):
        with pytest.raises(ValueError, match=rf"{name} has shape \(3,\): \(2,\) is needed"):
            gated_linear(x, x, x, **{name: np.ones(3)})
        with pytest.raises(TypeError, match=f"{name} has dtype int64"):
            gated_linear(x, x, x, **{name: np.ones(2, dtype=int)})
    for name in ("width", "multiple_of"):
        with pytest.raises(ValueError, match=f"{name} is 0: it must be at least 1"):
            matched_width(**{"width": 4, "multiple_of": 1, name: 0})
    assert math.isfinite(gated(x, x).sum())

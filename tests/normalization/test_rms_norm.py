import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.arrays import stop_gradient
from dlkb.normalization.layer_norm import layer_norm
from dlkb.normalization.rms_norm import (
    center_output,
    rms_norm,
    rms_norm_vjp,
    unit_rms,
    unit_rms_vjp,
)
from tests.cases import Case
from tests.close import assert_close

EPS = 1e-6


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


CASES = [
    Case(
        unit_rms,
        lambda rng: ((rng.normal(size=(2, 3, 4)),), {"axis": (0, 2), "eps": 0.1}),
        batch=(),
    ),
    Case(
        unit_rms_vjp,
        lambda rng: (
            (rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))),
            {"axis": (0, 2), "eps": 0.1},
        ),
        batch=(),
    ),
    Case(rms_norm, lambda rng: ((rng.normal(size=(3, 4)),), {"eps": EPS}), "bare"),
    Case(
        rms_norm,
        lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=4)), {"eps": EPS}),
        batch=("x",),
    ),
    Case(
        rms_norm,
        lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 4))), {"dims": 2}),
        "two-axes",
        batch=("x",),
        unless=dict.fromkeys(
            ("small x", "small all", "tiny x", "tiny all"), "the default ε is that of the dtype"
        ),
    ),
    Case(
        rms_norm,
        lambda rng: ((np.zeros((0, 4)), rng.normal(size=4)), {}),
        "empty-batch",
        batch=("x",),
    ),
    Case(
        rms_norm_vjp,
        lambda rng: (
            (rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=4)),
            {"eps": EPS},
        ),
        batch=(),
    ),
    Case(
        rms_norm_vjp,
        lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"eps": EPS}),
        "bare",
    ),
    Case(
        rms_norm_vjp,
        lambda rng: (
            (rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))),
            {"dims": 2, "eps": EPS},
        ),
        "two-axes",
    ),
    Case(center_output, lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=3)), {}), batch=()),
    Case(center_output, lambda rng: ((rng.normal(size=(3, 4)),), {}), "no-bias", batch=()),
]


def torch_gradients(function, arguments, cotangent):
    inputs = [torch.tensor(a, requires_grad=True) for a in arguments]
    return torch.autograd.grad(function(*inputs), inputs, torch.tensor(cotangent))


@pytest.mark.parametrize("shape", [(4, 5), (5,), (1, 1), (2, 3, 1), (3, 0, 4), (2, 3, 4)])
@pytest.mark.parametrize("eps", [0.0, 1e-6, 0.3, None])
@pytest.mark.parametrize("dims", [1, 2])
def test_values_and_gradients_of_torch(shape, eps, dims):
    if dims > len(shape):
        return
    axes = shape[-dims:]
    x, g, w = draw(*shape), draw(*shape, seed=1), draw(*axes, seed=2)
    theirs = lambda x, w: F.rms_norm(x, axes, w, eps)  # noqa: E731
    assert_close(
        rms_norm(x, w, dims=dims, eps=eps), theirs(torch.tensor(x), torch.tensor(w)), scale=10
    )
    ours = rms_norm_vjp(x, g, w, dims=dims, eps=eps)
    for mine, their in zip(ours, torch_gradients(theirs, (x, w), g), strict=True):
        assert_close(mine, their, scale=100)
    bare = rms_norm_vjp(x, g, dims=dims, eps=eps)
    assert bare.weight is None
    (their,) = torch_gradients(lambda x: F.rms_norm(x, axes, None, eps), (x,), g)
    assert_close(bare.x, their, scale=100)


def test_gradients_of_autograd_and_their_gradients():
    x, w = (torch.tensor(draw(*s), requires_grad=True) for s in ((3, 4), (4,)))
    g = torch.tensor(draw(3, 4, seed=1))
    by_hand = rms_norm_vjp(x, g, w, eps=0.1)
    for mine, their in zip(
        by_hand, torch.autograd.grad(rms_norm(x, w, eps=0.1), (x, w), g), strict=True
    ):
        assert_close(mine, their)
    assert torch.autograd.gradgradcheck(lambda x, w: rms_norm(x, w, eps=0.1), (x, w))


@pytest.mark.parametrize("axis", [0, -1, (0, 2), (0, 1, 2)])
def test_any_axes(axis):
    x, h = draw(3, 2, 4), draw(3, 2, 4, seed=1)
    expected = x / np.sqrt((x**2).mean(axis, keepdims=True) + 0.1)
    found = unit_rms(x, axis=axis, eps=0.1)
    assert_close(found.unit, expected)
    assert_close(found.inverse * x, expected)
    t = torch.tensor(x, requires_grad=True)
    output = t / (t.square().mean(axis, keepdim=True) + 0.1).sqrt()
    (their,) = torch.autograd.grad(output, t, torch.tensor(h))
    assert_close(unit_rms_vjp(x, h, axis=axis, eps=0.1), their)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e19, 1e30, 1e37])
def test_entries_whose_squares_overflow(dtype, size):
    x = torch.tensor(draw(3, 8) * size, dtype=dtype)
    g = torch.ones(3, 8, dtype=dtype)
    exact = x.double()
    expected = exact / (exact.square().mean(-1, keepdim=True) + EPS).sqrt()
    assert_close(rms_norm(x, eps=EPS) / (size if size < 1 else 1), expected / min(size, 1))
    found = rms_norm_vjp(x, g, eps=EPS).x.double() * max(size, 1e-3)
    assert_close(found.to(dtype), rms_norm_vjp(exact, g.double(), eps=EPS).x * max(size, 1e-3))


@pytest.mark.parametrize("array", [np.asarray, torch.tensor, jnp.asarray])
def test_up_to_the_largest_number(array):
    top = float(np.finfo(np.float32).max)
    rows = array(np.asarray([[top, -top, top, 0.0], [top, top / 2, 1.0, -1.0]], dtype=np.float32))
    exact = np.asarray(rows, dtype=float)
    expected = exact / np.sqrt((exact**2).mean(-1, keepdims=True))
    assert_close(rms_norm(rows), expected.astype(np.float32))
    found = np.asarray(rms_norm_vjp(rows, rows / top, eps=EPS).x, dtype=float)
    wanted = rms_norm_vjp(exact, exact / top, eps=EPS).x
    np.testing.assert_allclose(found, wanted, atol=1e-44)


@pytest.mark.parametrize("size", [1e-4, 0.1, 60_000.0])
def test_float16_is_computed_in_float32(size):
    x = torch.tensor(draw(4, 64)).clamp(-1, 1).mul(size).half()
    expected = rms_norm(x.double(), eps=EPS)
    torch.testing.assert_close(rms_norm(x, eps=EPS), expected.half(), rtol=1e-3, atol=0)
    g = torch.ones_like(x)
    by_hand = rms_norm_vjp(x, g, torch.ones(64), eps=EPS)
    assert by_hand.x.dtype == torch.float16
    assert by_hand.weight.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    x = torch.tensor(draw(16, 64)).to(dtype)
    assert torch.equal(rms_norm(x, eps=EPS), rms_norm(x.float(), eps=EPS).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_default_eps_is_that_of_torch(dtype):
    # So small that ε decides; in half precision it is that of float32.
    x = torch.tensor(draw(3, 16) * 3e-5, dtype=dtype)
    torch.testing.assert_close(rms_norm(x), F.rms_norm(x, (16,)))


@pytest.mark.parametrize("bias", [True, False])
def test_behind_a_centred_layer_it_is_layer_norm(bias):
    x, W, b = draw(6, 5), draw(4, 5, seed=1), draw(4, seed=2) if bias else None
    W2, b2 = center_output(W, b)
    before, after = x @ W.T + (b if bias else 0), x @ W2.T + (b2 if bias else 0)
    assert_close(rms_norm(after, eps=1e-5), layer_norm(before), scale=10)
    assert np.abs(rms_norm(before, eps=1e-5) - layer_norm(before)).max() > 0.1


def test_the_gradient_has_the_dtype_of_x():
    found = unit_rms_vjp(draw(3).astype(np.float32), draw(3, seed=1), eps=EPS)
    assert found.dtype == np.float32


def test_zeros_stay_zero_and_without_eps_are_nan():
    assert_close(rms_norm(np.zeros((2, 3))), np.zeros((2, 3)))
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan(rms_norm(np.zeros((2, 3)), eps=0.0)).all()


def test_the_scale_of_the_computation_is_not_differentiated():
    x = torch.ones(3, requires_grad=True)
    assert torch.equal(stop_gradient(x), x)
    assert not stop_gradient(x).requires_grad
    slope = jax.grad(lambda x: jnp.sum(x * stop_gradient(x)))(jnp.asarray([2.0, 3.0]))
    assert slope.tolist() == [2.0, 3.0]
    ones = np.ones(2)
    assert stop_gradient(ones) is ones


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rms_norm(ONES, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: rms_norm(ONES, dims=3), ValueError, r"dims is 3: .* \(2, 3\), .* 1 … 2"),
        (lambda: rms_norm(ONES, dims=0), ValueError, "dims is 0"),
        (lambda: rms_norm(np.asarray(1.0)), ValueError, "dims is 1"),
        (lambda: rms_norm(np.ones(3, int)), TypeError, "x has dtype int64"),
        (lambda: rms_norm(ONES, np.ones(3, int)), TypeError, "weight has dtype int64"),
        (lambda: rms_norm(ONES, np.ones(2)), ValueError, r"weight has shape \(2,\): .* \(3,\)"),
        (lambda: rms_norm_vjp(ONES, np.ones(3)), ValueError, "cotangent has shape"),
        (lambda: rms_norm_vjp(ONES, ONES.astype(int)), TypeError, "cotangent has dtype"),
        (lambda: unit_rms(np.ones(3, int), eps=0.1), TypeError, "x has dtype int64"),
        (lambda: unit_rms_vjp(ONES, np.ones(3), eps=0.1), ValueError, "cotangent has shape"),
        (lambda: unit_rms_vjp(ONES, ONES > 0, eps=0.1), TypeError, "cotangent has dtype bool"),
        (lambda: center_output(np.ones(3)), ValueError, r"weight has shape \(3,\)"),
        (lambda: center_output(np.ones((0, 3))), ValueError, "out ≥ 1"),
        (lambda: center_output(ONES, np.ones(3)), ValueError, r"bias has shape \(3,\): .* \(2,\)"),
        (lambda: center_output(ONES, np.ones(2, int)), TypeError, "bias has dtype int64"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

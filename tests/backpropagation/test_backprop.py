import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from dlkb.backpropagation.backprop import (
    MLP,
    linear,
    linear_vjp,
    matmul_flops,
    matmul_vjp,
    mlp,
    mlp_jvp,
    mlp_vjp,
    softmax_cross_entropy,
    softmax_cross_entropy_vjp,
    sum_to_shape,
    tanh_vjp,
)
from tests.cases import Case
from tests.close import assert_close


def network(rng, shape=(6,), n_in=4, hidden=5, classes=3):
    """Inputs, soft targets and parameters of a small network."""
    x = rng.normal(size=(*shape, n_in))
    target = rng.dirichlet(np.ones(classes), size=shape)
    W1, b1 = 0.5 * rng.normal(size=(hidden, n_in)), 0.1 * rng.normal(size=hidden)
    W2, b2 = 0.5 * rng.normal(size=(classes, hidden)), 0.1 * rng.normal(size=classes)
    return x, target, MLP(W1, b1, W2, b2)


def direction(rng):
    return (*network(rng), network(rng)[2])


def logits(rng, shape=(4, 3)):
    return rng.normal(size=shape), rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


SATURATED = {
    "huge all": "W₁x overflows on the way to a tanh of one",
    "float16 large x": "rounding of an x of thousands reaches the bend of tanh",
    "float16 large params": "rounding of logits of thousands reaches softmax",
}


def factors(*shapes):
    return lambda rng: (tuple(rng.normal(size=shape) for shape in shapes), {})


CASES = [
    # Gradients of what is shared are sums over the batch: batch=().
    Case(sum_to_shape, lambda rng: ((rng.normal(size=(4, 2, 3)), (2, 1)), {}), batch=()),
    Case(sum_to_shape, lambda rng: ((rng.normal(size=(4, 2)), (4, 2)), {}), "same", batch=()),
    Case(matmul_vjp, factors((7, 4, 3), (3, 5), (7, 4, 5)), scale=3, batch=()),
    Case(matmul_vjp, factors((4, 3), (3, 5), (4, 5)), "each its own", scale=3),
    Case(linear, factors((2, 6, 4), (5, 4), 5), batch=("x",)),
    Case(linear, factors(4, (5, 4)), "no bias", batch=("x",)),
    Case(linear_vjp, factors((2, 6, 4), (5, 4), (2, 6, 5)), scale=3, batch=()),
    Case(
        tanh_vjp,
        lambda rng: ((np.tanh(rng.normal(size=(4, 3))), rng.normal(size=(4, 3))), {}),
        fixed=("h",),
    ),
    Case(softmax_cross_entropy, lambda rng: (logits(rng), {}), fixed=("target",)),
    Case(
        softmax_cross_entropy_vjp,
        lambda rng: ((*logits(rng), rng.normal(size=4)), {}),
        scale=2,
        fixed=("target",),
    ),
    Case(mlp, lambda rng: (network(rng), {"l2": 0.1}), batch=(), fixed=("target",)),
    Case(
        mlp_vjp,
        lambda rng: (network(rng), {"l2": 0.1}),
        batch=(),
        fixed=("target",),
        unless=SATURATED,
    ),
    Case(
        mlp_jvp,
        lambda rng: (direction(rng), {"l2": 0.1}),
        scale=5,
        batch=(),
        fixed=("target",),
    ),
    Case(matmul_flops, lambda rng: (((64, 16, 10),), {"batch": 32})),
    Case(matmul_flops, lambda rng: (((64, 16),), {"batch": 32, "input_gradient": True}), "input"),
]


def tensors(*arrays, device="cpu", dtype=torch.float64):
    return [torch.tensor(a, device=device, dtype=dtype, requires_grad=True) for a in arrays]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 3), (3, 5)),
        ((7, 4, 3), (3, 5)),
        ((4, 3), (7, 3, 5)),
        ((7, 1, 4, 3), (1, 6, 3, 5)),
        ((1, 1), (1, 1)),
        ((2, 0, 3), (3, 5)),
        ((4, 0), (0, 5)),
        ((0, 4, 3), (3, 5)),
    ],
)
def test_matmul_vjp_is_autograd(a, b, device):
    rng = np.random.default_rng(0)
    left, right = tensors(rng.normal(size=a), rng.normal(size=b), device=device)
    product = left @ right
    cotangent = torch.tensor(rng.normal(size=product.shape), device=device)
    found = matmul_vjp(left.detach(), right.detach(), cotangent)
    expected = torch.autograd.grad(product, (left, right), cotangent)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)


def test_order_and_transposes_are_not_those_of_a_scalar():
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=(3, 4, 4))
    a_bar, b_bar = matmul_vjp(a, b, y)
    for wrong in (b.T @ y, y @ b):
        assert np.abs(a_bar - wrong).max() > 1
    for wrong in (y @ a.T, a @ y):
        assert np.abs(b_bar - wrong).max() > 1


@pytest.mark.parametrize("shape", [(3,), (2, 1), (4, 2, 3), (1, 1, 1), (1, 3), ()])
def test_sum_to_shape_is_the_gradient_of_broadcasting(shape):
    rng = np.random.default_rng(0)
    (x,) = tensors(rng.normal(size=shape))
    cotangent = torch.tensor(rng.normal(size=(4, 2, 3)))
    (expected,) = torch.autograd.grad(x.broadcast_to(4, 2, 3), x, cotangent)
    assert_close(sum_to_shape(cotangent, shape), expected)


def test_sum_to_shape_of_empty_axes():
    assert_close(sum_to_shape(np.ones((0, 3)), (3,)), np.zeros(3))
    assert sum_to_shape(np.ones((4, 0)), (1, 0)).shape == (1, 0)


@pytest.mark.parametrize("shape", [(2,), (4, 2, 2), (2, 4, 1, 3, 1), (3, 3)])
def test_a_shape_that_does_not_broadcast_is_refused(shape):
    with pytest.raises(ValueError, match=r"must broadcast to \(4, 2, 3\), the cotangent's"):
        sum_to_shape(np.ones((4, 2, 3)), shape)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (), (0,), (1,)])
def test_linear_and_its_gradients_are_those_of_torch(shape, device):
    rng = np.random.default_rng(0)
    x, W, b = tensors(
        rng.normal(size=(*shape, 4)), rng.normal(size=(5, 4)), rng.normal(size=5), device=device
    )
    y = F.linear(x, W, b)
    assert_close(linear(x, W, b), y)
    assert_close(linear(x, W), F.linear(x, W))
    cotangent = torch.tensor(rng.normal(size=(*shape, 5)), device=device)
    found = linear_vjp(x.detach(), W.detach(), cotangent)
    expected = torch.autograd.grad(y, (x, W, b), cotangent)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize(("n_in", "n_out"), [(0, 3), (3, 0)])
def test_a_layer_of_no_width(n_in, n_out):
    x, W = np.ones((4, n_in)), np.ones((n_out, n_in))
    assert_close(linear(x, W), np.zeros((4, n_out)))
    x_bar, W_bar, b_bar = linear_vjp(x, W, np.ones((4, n_out)))
    assert_close(x_bar, np.zeros((4, n_in)))
    assert (W_bar.shape, b_bar.shape) == ((n_out, n_in), (n_out,))


def test_tanh_vjp_is_autograd_near_saturation_too():
    z = torch.linspace(-25, 25, 101, dtype=torch.float64, requires_grad=True)
    h = torch.tanh(z)
    (expected,) = torch.autograd.grad(h.sum(), z)
    found = tanh_vjp(h.detach(), torch.ones_like(h))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-16)
    # 1 − h² cancels in the last digits, (1 − h)(1 + h) does not
    h = torch.tensor(1 - 2.0**-20, dtype=torch.float32)
    exact = 1 - h.double() ** 2
    assert abs(tanh_vjp(h, torch.ones_like(h)).double() / exact - 1) < 1e-7


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (3,), (0, 3), (4, 1)])
def test_cross_entropy_and_its_gradient_are_those_of_torch(shape, device):
    rng = np.random.default_rng(0)
    o, y = logits(rng, shape)
    (z,) = tensors(3 * o, device=device)
    target = torch.tensor(y, device=device)
    expected = -(target * torch.log_softmax(z, -1)).sum(-1)
    assert_close(softmax_cross_entropy(z, target), expected)
    if len(shape) == 2 and shape[0]:
        assert_close(expected, F.cross_entropy(z, target, reduction="none"))
    cotangent = torch.tensor(rng.normal(size=shape[:-1]), device=device)
    (grad,) = torch.autograd.grad(expected, z, cotangent)
    assert_close(softmax_cross_entropy_vjp(z.detach(), target, cotangent), grad)


def test_targets_that_do_not_sum_to_one():
    rng = np.random.default_rng(1)
    (z,) = tensors(rng.normal(size=(4, 3)))
    target = torch.tensor(rng.uniform(size=(4, 3)))
    (grad,) = torch.autograd.grad(F.cross_entropy(z, target, reduction="sum"), z)
    assert_close(softmax_cross_entropy_vjp(z.detach(), target, torch.ones(4).double()), grad)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_logits_and_classes_that_are_masked(dtype):
    z = np.asarray([[3e4, 0.0, -np.inf], [-3e4, -3e4, -3e4]], dtype=dtype)
    target = np.asarray([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=dtype)
    loss = softmax_cross_entropy(z, target)
    assert loss.dtype == dtype
    assert_close(loss, np.asarray([3e4, np.log(3)], dtype=dtype), scale=10)
    grad = softmax_cross_entropy_vjp(z, target, np.ones(2, dtype=dtype))
    assert_close(grad, np.asarray([[1, -1, 0], [-2 / 3, 1 / 3, 1 / 3]], dtype=dtype))


@pytest.mark.parametrize("shape", [(6,), (2, 3), (), (1,)])
def test_mlp_and_both_modes_are_autograd(shape, device):
    rng = np.random.default_rng(0)
    x, target, params = network(rng, shape)
    arrays = tensors(*params, device=device)
    x, target = (torch.tensor(a, device=device) for a in (x, target))
    h = torch.tanh(F.linear(x, *arrays[:2]))
    o = F.linear(h, *arrays[2:]).reshape(-1, 3)
    J = F.cross_entropy(o, target.reshape(-1, 3))
    J = J + 0.05 * (arrays[0] ** 2).sum() + 0.05 * (arrays[2] ** 2).sum()
    held = MLP(*(a.detach() for a in arrays))
    assert_close(mlp(x, target, held, l2=0.1), J)
    grads = torch.autograd.grad(J, arrays)
    for ours, theirs in zip(mlp_vjp(x, target, held, l2=0.1), grads, strict=True):
        assert_close(ours, theirs)
    tangent = MLP(*(torch.tensor(a, device=device) for a in network(rng)[2]))
    slope = mlp_jvp(x, target, held, tangent, l2=0.1)
    assert_close(slope, sum((g * t).sum() for g, t in zip(grads, tangent, strict=True)))
    of_torch = torch.func.jvp(lambda p: mlp(x, target, p, l2=0.1), (held,), (tangent,))[1]
    assert_close(slope, of_torch)


def test_no_examples_leave_the_decay():
    rng = np.random.default_rng(0)
    x, target, params = network(rng, (0,))
    assert_close(mlp(x, target, params, l2=2.0), np.sum(params.W1**2) + np.sum(params.W2**2))
    found = mlp_vjp(x, target, params, l2=2.0)
    assert_close(found.W1, 2 * params.W1)
    assert_close(found.b2, np.zeros(3))
    assert float(mlp_jvp(x, target, params, params)) == 0


def test_a_gradient_is_the_same_however_the_batch_is_shaped():
    x, target, params = network(np.random.default_rng(0), (6,))
    flat = mlp_vjp(x, target, params)
    shaped = mlp_vjp(x.reshape(2, 3, 4), target.reshape(2, 3, 3), params)
    for a, b in zip(flat, shaped, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("input_gradient", [False, True])
@pytest.mark.parametrize(("widths", "batch"), [((64, 16, 10), 32), ((5, 7), 1), ((3, 3, 3, 3), 9)])
def test_flops_are_those_that_torch_counts(widths, batch, input_gradient):
    layers = [torch.nn.Linear(m, n) for m, n in pairwise(widths)]
    x = torch.zeros(batch, widths[0], requires_grad=input_gradient)
    with FlopCounterMode(display=False) as counter:
        loss = torch.nn.Sequential(*layers)(x).sum()
    forward = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        loss.backward()
    expected = (forward, counter.get_total_flops())
    assert matmul_flops(widths, batch=batch, input_gradient=input_gradient) == expected


def test_half_precision_keeps_its_dtype():
    x, target, params = network(np.random.default_rng(0))
    x, target = x.astype(np.float16), target.astype(np.float16)
    held = MLP(*(p.astype(np.float16) for p in params))
    assert mlp(x, target, held, l2=0.1).dtype == np.float16
    for grad, exact in zip(
        mlp_vjp(x, target, held, l2=0.1), mlp_vjp(*map(np.float64, (x, target)), params, l2=0.1),
        strict=True,
    ):  # fmt: skip
        assert grad.dtype == np.float16
        assert_close(grad, exact, dtype="float16")


def test_nothing_is_made_on_the_default_device_or_dtype():
    x, target, params = network(np.random.default_rng(0))
    x, target = torch.tensor(x), torch.tensor(target)
    held = MLP(*map(torch.tensor, params))
    with torch.device("meta"):
        for leaf in (*mlp_vjp(x, target, held, l2=0.1), mlp_jvp(x, target, held, held)):
            assert leaf.device.type == "cpu"
            assert leaf.dtype == torch.float64


ONE = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: matmul_vjp(np.ones(3), ONE.T, ONE), ValueError, r"a has shape \(3,\): two axes"),
        (lambda: matmul_vjp(ONE, ONE, ONE), ValueError, r"b \(2, 3\) and cotangent \(2, 3\)"),
        (lambda: matmul_vjp(ONE, ONE.T, ONE), ValueError, r"\(\.\.\., n, m\) are needed"),
        (
            lambda: matmul_vjp(np.ones((5, 2, 3)), ONE.T, np.ones((2, 2))),
            ValueError,
            r"cotangent \(2, 2\): \(\.\.\., n, k\)",
        ),
        (
            lambda: matmul_vjp(np.ones((5, 2, 3)), np.ones((5, 3, 2)), np.ones((1, 2, 2))),
            ValueError,
            r"cotangent \(1, 2, 2\): \(\.\.\., n, k\)",
        ),
        (
            lambda: matmul_vjp(np.ones((5, 2, 3)), ONE.T, np.ones((4, 5, 2, 2))),
            ValueError,
            r"cotangent \(4, 5, 2, 2\): \(\.\.\., n, k\)",
        ),
        (
            lambda: matmul_vjp(torch.ones(5, 2, 3), torch.ones(4, 3, 2), torch.ones(5, 2, 2)),
            ValueError,
            r"b \(4, 3, 2\) and cotangent",
        ),
        (lambda: linear(ONE, ONE, np.ones(2, int)), TypeError, "b has dtype int64"),
        (lambda: linear(ONE, ONE.T), ValueError, r"x has shape \(2, 3\) and W \(3, 2\)"),
        (lambda: linear(np.asarray(1.0), ONE), ValueError, r"\(\.\.\., n_in\)"),
        (lambda: linear(ONE, ONE, np.ones(3)), ValueError, r"\(2,\) fits W's outputs"),
        (lambda: linear_vjp(ONE, ONE, ONE), ValueError, r"\(2, 2\), that of the outputs"),
        (lambda: tanh_vjp(ONE, ONE.T), ValueError, "they must be equal"),
        (lambda: softmax_cross_entropy(ONE, ONE.T), ValueError, "target has shape"),
        (lambda: softmax_cross_entropy(ONE[:, :0], ONE[:, :0]), ValueError, "one class or more"),
        (
            lambda: softmax_cross_entropy_vjp(ONE, ONE, np.ones(3)),
            ValueError,
            r"\(2,\), one for each example",
        ),
        (lambda: sum_to_shape(np.ones(3, int), (3,)), TypeError, "cotangent has dtype int64"),
        (lambda: softmax_cross_entropy(ONE, np.ones((2, 3), int)), TypeError, "target has dtype"),
        (lambda: matmul_flops((3,)), ValueError, "input and output, two or more"),
        (lambda: matmul_flops((3, 0)), ValueError, r"widths\[1\] is 0"),
        (lambda: matmul_flops((3, 1), batch=-1), ValueError, "batch is -1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("function", [mlp, mlp_vjp])
def test_negative_decay(function):
    with pytest.raises(ValueError, match="l2 is -1"):
        function(*network(np.random.default_rng(0)), l2=-1)


def test_a_tangent_of_another_shape():
    x, target, params = network(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"tangent.W2 has shape"):
        mlp_jvp(x, target, params, params._replace(W2=params.W1))
    with pytest.raises(ValueError, match="l2 is -1"):
        mlp_jvp(x, target, params, params, l2=-1)


def test_no_warning_where_a_class_is_masked():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z, target = np.asarray([0.0, -np.inf]), np.asarray([1.0, 0.0])
        assert softmax_cross_entropy(z, target) == 0

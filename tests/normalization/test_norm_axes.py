import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.normalization.layer_norm import layer_norm, layer_norm_vjp
from dlkb.normalization.norm_axes import group_norm, group_norm_vjp, standardize, standardize_vjp
from tests.cases import Case
from tests.close import assert_close


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def parameters(rng):
    return rng.normal(size=4), rng.normal(size=4)


CASES = [
    Case(standardize, lambda rng: ((rng.normal(size=(2, 3, 4)),), {"axis": (-3, -1)})),
    Case(standardize, lambda rng: ((rng.normal(size=(2, 3)),), {"axis": -1, "eps": 0.1}), "eps"),
    Case(standardize, lambda rng: ((np.zeros((0, 3)),), {"axis": -1}), "empty"),
    Case(
        standardize_vjp,
        lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))), {"axis": (-3, -1)}),
    ),
    Case(
        standardize_vjp,
        lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axis": -1, "eps": 0.1}),
        "eps",
    ),
    Case(
        group_norm,
        lambda rng: ((rng.normal(size=(2, 4, 3)), *parameters(rng)), {"num_groups": 2}),
        scale=3,
        batch=(),
    ),
    Case(
        group_norm,
        lambda rng: ((rng.normal(size=(3, 4)),), {"num_groups": 2, "eps": 0.1}),
        "bare",
        batch=(),
    ),
    Case(
        group_norm_vjp,
        lambda rng: (
            (rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3)), *parameters(rng)),
            {"num_groups": 2},
        ),
        scale=3,
        batch=(),
        unless={"float64 huge all": "gain times gradient overflows"},
    ),
    Case(
        group_norm_vjp,
        lambda rng: (
            (rng.normal(size=(3, 4)), rng.normal(size=(3, 4))),
            {"num_groups": 1, "eps": 1.0},
        ),
        "bare",
        batch=(),
    ),
]


def test_batch_norm_in_training_is_axes_0_2_3():
    x, g = draw(3, 4, 5, 2), draw(3, 4, 5, 2, seed=1)
    t = torch.tensor(x, requires_grad=True)
    theirs = F.batch_norm(t, None, None, training=True)
    assert_close(standardize(x, axis=(0, 2, 3)), theirs)
    (their,) = torch.autograd.grad(theirs, t, torch.tensor(g))
    assert_close(standardize_vjp(x, g, axis=(0, 2, 3)), their, scale=10)


def test_instance_norm_is_axes_2_3():
    x = draw(3, 4, 5, 2)
    assert_close(standardize(x, axis=(2, 3)), F.instance_norm(torch.tensor(x)))


def test_layer_norm_is_the_last_axes():
    x, g = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    assert_close(standardize(x, axis=(1, 2), eps=0.1), layer_norm(x, dims=2, eps=0.1))
    by_axis = standardize_vjp(x, g, axis=(1, 2), eps=0.1)
    assert_close(by_axis, layer_norm_vjp(x, g, dims=2, eps=0.1).x)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize(
    "shape", [(2, 6), (2, 6, 5), (1, 6, 2, 3), (0, 6, 3), (3, 6, 1), (2, 6, 0)]
)
@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_values_and_gradients_of_torch(shape, groups, eps):
    arrays = draw(*shape), draw(6, seed=2), draw(6, seed=3)
    inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    if shape[-1] == 0:
        assert group_norm(*arrays, num_groups=groups, eps=eps).shape == shape
        return
    theirs = F.group_norm(inputs[0], groups, *inputs[1:], eps)
    assert_close(group_norm(*arrays, num_groups=groups, eps=eps), theirs, scale=10)
    g = draw(*shape, seed=1)
    gradients = torch.autograd.grad(theirs, inputs, torch.tensor(g))
    ours = group_norm_vjp(arrays[0], g, *arrays[1:], num_groups=groups, eps=eps)
    for mine, their in zip(ours, gradients, strict=True):
        assert_close(mine, their, scale=1e5)  # one number a group: 0 / √ε


def test_gradients_of_autograd_and_their_gradients():
    x, w, b = (torch.tensor(draw(*s), requires_grad=True) for s in ((2, 4, 3), (4,), (4,)))
    function = lambda *a: group_norm(*a, num_groups=2, eps=0.1)  # noqa: E731
    g = torch.tensor(draw(2, 4, 3, seed=1))
    by_hand = group_norm_vjp(x, g, w, b, num_groups=2, eps=0.1)
    for mine, their in zip(
        by_hand, torch.autograd.grad(function(x, w, b), (x, w, b), g), strict=True
    ):
        assert_close(mine, their)
    assert torch.autograd.gradgradcheck(function, (x, w, b))


@pytest.mark.parametrize("size", [1e-4, 1.0, 6e4])
def test_float16_is_computed_in_float32(size):
    x = (torch.tensor(draw(2, 4, 16)).clamp(-1, 1) * size).half()
    w = torch.tensor(draw(4, seed=1)).half()
    expected = F.group_norm(x.double(), 2, w.double()).half()
    found = group_norm(x, w, num_groups=2)
    assert (found == expected).float().mean() > 0.97
    whole = standardize(x, axis=(1, 2))
    torch.testing.assert_close(whole, standardize(x.double(), axis=(1, 2)).half())
    grads = group_norm_vjp(x, x, w, w.float(), num_groups=2)
    assert [grad.dtype for grad in grads] == [torch.float16, torch.float16, torch.float32]


def test_entries_whose_squares_overflow():
    x = draw(2, 4, 8)
    large = (1e30 * x).astype(np.float32)
    assert_close(group_norm(large, num_groups=2), group_norm(x, num_groups=2, eps=0.0), scale=1e8)
    assert np.isfinite(group_norm(large, num_groups=2)).all()


def test_strided_and_channels_last():
    x = torch.tensor(draw(2, 4, 3, 5)).contiguous(memory_format=torch.channels_last)
    assert_close(group_norm(x, num_groups=2), F.group_norm(x, 2))


ONES = np.ones((2, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: standardize(ONES, axis=0, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: standardize(ONES > 0, axis=0), TypeError, "x has dtype bool"),
        (lambda: standardize_vjp(ONES > 0, ONES, axis=0), TypeError, "x has dtype bool"),
        (lambda: standardize_vjp(ONES, ONES > 0, axis=0), TypeError, "cotangent has dtype bool"),
        (lambda: standardize_vjp(ONES, np.ones(2), axis=0), ValueError, "cotangent has shape"),
        (lambda: group_norm(np.ones(3), num_groups=1), ValueError, r"x has shape \(3,\)"),
        (lambda: group_norm(ONES > 0, num_groups=1), TypeError, "x has dtype bool"),
        (lambda: group_norm(ONES, num_groups=3), ValueError, "num_groups is 3: .* 4 channels"),
        (lambda: group_norm(ONES, num_groups=0), ValueError, "num_groups is 0"),
        (lambda: group_norm(ONES, np.ones(3), num_groups=2), ValueError, "weight has shape"),
        (lambda: group_norm(ONES, None, np.ones(3), num_groups=2), ValueError, "bias has shape"),
        (lambda: group_norm(ONES, ONES[0] > 0, num_groups=2), TypeError, "weight has dtype"),
        (lambda: group_norm_vjp(ONES, np.ones(4), num_groups=2), ValueError, "cotangent has"),
        (lambda: group_norm_vjp(ONES, ONES > 0, num_groups=2), TypeError, "cotangent has dtype"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

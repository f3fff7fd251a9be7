from functools import partial

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import convolve, correlate

from dlkb.backpropagation.convolution import (
    conv,
    conv_input_vjp,
    conv_weight_vjp,
    output_size,
    spread_out,
)
from tests.cases import Case
from tests.close import assert_close

SETTINGS = {
    "plain": ((2, 4, 7, 6), (6, 4, 3, 2), {}),
    "stride": ((2, 4, 9, 8), (6, 4, 3, 3), {"stride": (2, 3)}),
    "rows left over": ((1, 1, 8, 8), (1, 1, 3, 3), {"stride": 3}),
    "padding": ((2, 4, 5, 6), (6, 4, 3, 3), {"padding": (1, 2)}),
    "more padding than kernel": ((2, 1, 5), (2, 1, 2), {"padding": 3}),
    "padding that a stride leaves over": ((2, 1, 5), (2, 1, 2), {"padding": 3, "stride": 2}),
    "one position, in the padding": ((2, 1, 5), (2, 1, 2), {"padding": 3, "stride": 10}),
    "dilation": ((2, 4, 9, 9), (6, 4, 3, 2), {"dilation": (2, 3)}),
    "groups": ((2, 4, 7, 7), (6, 2, 3, 3), {"groups": 2}),
    "depthwise": ((2, 4, 7, 7), (8, 1, 3, 3), {"groups": 4, "padding": 1}),
    "all": (
        (2, 4, 11, 10),
        (6, 2, 3, 2),
        {"stride": (2, 3), "padding": (1, 2), "dilation": (2, 1), "groups": 2},
    ),
    "one axis": ((3, 2, 9), (4, 2, 3), {"stride": 2, "padding": 1}),
    "three axes": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 1), {"stride": (1, 2, 1)}),
    "one by one": ((2, 3, 1, 1), (4, 3, 1, 1), {}),
    "stride beyond kernel": ((2, 3, 7, 7), (4, 3, 1, 1), {"stride": 3}),
    "no examples": ((0, 3, 5, 5), (4, 3, 3, 3), {"padding": 1}),
}


def arguments(rng, name):
    x_shape, W_shape, options = SETTINGS[name]
    x, W, b = rng.normal(size=x_shape), rng.normal(size=W_shape), rng.normal(size=W_shape[0])
    cotangent = rng.normal(size=conv(x, W, **options).shape)
    return x, W, b, cotangent, options


def forward_case(rng, name):
    x, W, b, _, options = arguments(rng, name)
    return (x, W, b), options


def input_case(rng, name):
    x, W, _, cotangent, options = arguments(rng, name)
    return (W, cotangent), {"size": x.shape[2:], **options}


def weight_case(rng, name):
    x, W, _, cotangent, options = arguments(rng, name)
    return (x, cotangent), {"kernel": W.shape[2:], **options}


CASES = [
    Case(output_size, lambda rng: ((32, 3), {"stride": 2, "padding": 1, "dilation": 2})),
    *(
        Case(function, partial(make, name=name), name, scale=5, batch=())
        for function, make in (
            (conv, forward_case),
            (conv_input_vjp, input_case),
            (conv_weight_vjp, weight_case),
        )
        for name in ("all", "one axis")
    ),
    Case(spread_out, lambda rng: ((rng.normal(size=(2, 3, 4, 3)),), {"stride": (3, 2)}), batch=()),
]

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("name", SETTINGS)
def test_values_and_gradients_are_those_of_torch(name, device):
    x, W, b, cotangent, options = arguments(np.random.default_rng(0), name)
    x, W, b = (torch.tensor(a, device=device, requires_grad=True) for a in (x, W, b))
    cotangent = torch.tensor(cotangent, device=device)
    y = CONVS[W.ndim - 2](x, W, b, **options)
    assert_close(conv(x, W, b, **options), y, scale=10)
    x_bar, W_bar, b_bar = torch.autograd.grad(y, (x, W, b), cotangent)
    x, W = x.detach(), W.detach()
    found = conv_input_vjp(W, cotangent, size=x.shape[2:], **options)
    assert_close(found, x_bar, scale=10)
    found = conv_weight_vjp(x, cotangent, kernel=W.shape[2:], **options)
    assert_close(found, W_bar, scale=10)
    assert_close(cotangent.sum((0, *range(2, cotangent.ndim))), b_bar, scale=10)


def test_torch_nn_grad_says_the_same():
    x, W, _, cotangent, options = arguments(np.random.default_rng(1), "all")
    of_input = torch.nn.grad.conv2d_input(
        x.shape, torch.tensor(W), torch.tensor(cotangent), **options
    )
    assert_close(conv_input_vjp(W, cotangent, size=x.shape[2:], **options), of_input, scale=10)
    of_weight = torch.nn.grad.conv2d_weight(
        torch.tensor(x), W.shape, torch.tensor(cotangent), **options
    )
    found = conv_weight_vjp(x, cotangent, kernel=W.shape[2:], **options)
    assert_close(found, of_weight, scale=10)


def test_input_gradient_is_the_transposed_convolution():
    _, W, _, cotangent, _ = arguments(np.random.default_rng(0), "stride")
    expected = F.conv_transpose2d(torch.tensor(cotangent), torch.tensor(W), stride=(2, 3))
    size = expected.shape[2:]
    assert_close(conv_input_vjp(W, cotangent, size=size, stride=(2, 3)), expected, scale=10)


def test_scipy_correlates_forward_and_convolves_back():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(7, 6)), rng.normal(size=(3, 2))
    y = conv(x[None, None], w[None, None])
    assert_close(y[0, 0], correlate(x, w, mode="valid", method="direct"))
    back = conv_input_vjp(w[None, None], y, size=x.shape)
    assert_close(back[0, 0], convolve(y[0, 0], w, mode="full", method="direct"))
    weight = conv_weight_vjp(x[None, None], y, kernel=w.shape)
    assert_close(weight[0, 0], correlate(x, y[0, 0], mode="valid", method="direct"), scale=10)


def test_jax_differentiates_alike():
    x, W, _, cotangent, _ = arguments(np.random.default_rng(0), "all")
    y, pull = jax.vjp(
        lambda x, W: jax.lax.conv_general_dilated(
            x, W, (2, 3), [(1, 1), (2, 2)], rhs_dilation=(2, 1), feature_group_count=2
        ),
        x,
        W,
    )
    options = SETTINGS["all"][2]
    assert_close(conv(x, W, **options), y, scale=10)
    x_bar, W_bar = pull(cotangent)
    assert_close(conv_input_vjp(W, cotangent, size=x.shape[2:], **options), x_bar, scale=10)
    found = conv_weight_vjp(x, cotangent, kernel=W.shape[2:], **options)
    assert_close(found, W_bar, scale=10)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_the_adjoint(name):
    x, W, _, cotangent, options = arguments(np.random.default_rng(2), name)
    left = np.sum(cotangent * conv(x, W, **options))
    back = conv_input_vjp(W, cotangent, size=x.shape[2:], **options)
    assert left == pytest.approx(np.sum(back * x))
    by_weight = conv_weight_vjp(x, cotangent, kernel=W.shape[2:], **options)
    assert left == pytest.approx(np.sum(by_weight * W))


@pytest.mark.parametrize(
    ("shape", "stride", "expected"),
    [
        ((1, 1, 3), 1, [[[1, 2, 3]]]),
        ((1, 1, 3), 3, [[[1, 0, 0, 2, 0, 0, 3]]]),
        ((1, 1, 1), 5, [[[1]]]),
    ],
)
def test_spread_out(shape, stride, expected):
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    assert_close(spread_out(x, stride=stride), np.asarray(expected, dtype=float))


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_output_size_is_that_of_torch(n, k):
    for s, p, d in [(1, 0, 1), (2, 1, 1), (3, 2, 2), (1, 0, 3)]:
        if d * (k - 1) + 1 > n + 2 * p:
            with pytest.raises(ValueError, match=f"kernel spans {d * (k - 1) + 1} entries"):
                output_size(n, k, stride=s, padding=p, dilation=d)
        else:
            y = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), None, s, p, d)
            assert output_size(n, k, stride=s, padding=p, dilation=d) == y.shape[-1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dtype_is_kept(dtype):
    x, W, b, cotangent, options = arguments(np.random.default_rng(0), "padding")
    x, W, b, cotangent = (a.astype(dtype) for a in (x, W, b, cotangent))
    assert conv(x, W, b, **options).dtype == dtype
    assert conv_input_vjp(W, cotangent, size=x.shape[2:], **options).dtype == dtype
    assert conv_weight_vjp(x, cotangent, kernel=W.shape[2:], **options).dtype == dtype


def test_nothing_is_made_on_the_default_device():
    x, W, _, cotangent, options = arguments(np.random.default_rng(0), "all")
    x, W, cotangent = map(torch.tensor, (x, W, cotangent))
    with torch.device("meta"):
        found = (
            conv(x, W, **options),
            conv_input_vjp(W, cotangent, size=x.shape[2:], **options),
            conv_weight_vjp(x, cotangent, kernel=W.shape[2:], **options),
        )
        assert {leaf.device.type for leaf in found} == {"cpu"}


X, K = np.ones((1, 2, 5)), np.ones((4, 2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conv(X.astype(int), K), TypeError, "x has dtype int64"),
        (lambda: conv(X, K.astype(int)), TypeError, "W has dtype int64"),
        (lambda: conv(X, np.ones((4, 2))), ValueError, r"W has shape \(4, 2\)"),
        (lambda: conv(X, K[:, :, :0]), ValueError, r"W has shape \(4, 2, 0\)"),
        (lambda: conv(X[0], K), ValueError, r"x has shape \(2, 5\) and W \(4, 2, 3\)"),
        (lambda: conv(X, K[:, :1]), ValueError, r"channels / 1, \*kernel\) fit 1 groups"),
        (lambda: conv(X, K[:3, :1], groups=2), ValueError, "must divide W's 3 outputs"),
        (lambda: conv(X, K, groups=0), ValueError, "groups is 0"),
        (lambda: conv(X, K, stride=0), ValueError, "stride is 0"),
        (lambda: conv(X, K, padding=-1), ValueError, "padding is -1"),
        (lambda: conv(X, K, dilation=0), ValueError, "dilation is 0"),
        (lambda: conv(X, K, stride=(1, 1)), ValueError, r"stride is \(1, 1\): one number"),
        (lambda: conv(X, K, dilation=3), ValueError, "kernel spans 7 entries"),
        (lambda: conv(X, K, np.ones(2)), ValueError, r"\(4,\), one a kernel, is needed"),
        (lambda: conv(X, K, np.ones(4, int)), TypeError, "b has dtype int64"),
        (
            lambda: conv_input_vjp(K, np.ones((1, 4, 3)), size=(6,)),
            ValueError,
            r"\(examples, 4, 4\), that of the outputs",
        ),
        (
            lambda: conv_input_vjp(K, np.ones((1, 4, 3)), size=(5, 1)),
            ValueError,
            r"size is \(5, 1\): one number for each of 1 axes",
        ),
        (
            lambda: conv_weight_vjp(X, np.ones((1, 4, 2)), kernel=(3,)),
            ValueError,
            r"\(examples, 4, 3\), that of the outputs",
        ),
        (
            lambda: conv_weight_vjp(X[0, 0], np.ones((1, 4, 3)), kernel=(3,)),
            ValueError,
            r"x has shape \(5,\) and cotangent \(1, 4, 3\): \(examples",
        ),
        (
            lambda: conv_weight_vjp(torch.ones(1, 2, 5), torch.ones(3, 4, 3), kernel=(3,)),
            ValueError,
            r"cotangent \(3, 4, 3\): \(examples",
        ),
        (
            lambda: conv_weight_vjp(X, np.ones((1, 4, 3)), kernel=(3,), groups=4),
            ValueError,
            "groups is 4: it must divide x's 2 channels",
        ),
        (
            lambda: conv_weight_vjp(X, np.ones((1, 4, 3)), kernel=(3,), groups=0),
            ValueError,
            "groups is 0",
        ),
        (lambda: conv_weight_vjp(X, np.ones((1, 4, 3)), kernel=(0,)), ValueError, "kernel is 0"),
        (
            lambda: conv_weight_vjp(X, np.ones((1, 4, 3)), kernel=(3, 3)),
            ValueError,
            r"kernel is \(3, 3\): one number, or one for each of 1 axes",
        ),
        (lambda: output_size(5, 0), ValueError, "kernel is 0"),
        (lambda: output_size(-1, 1), ValueError, "size is -1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

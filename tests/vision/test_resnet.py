import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import gamma

from dlkb.vision.resnet import Bottleneck, Conv, bottleneck, bottleneck_vjp, gradient_growth
from tests.cases import Case
from tests.close import assert_close


def draw(rng, *, inputs=4, width=2, outputs=4, project=False):
    """Draw the convolutions of a block, of a size that keeps the signal's."""

    def conv(m, n, k):
        return Conv(rng.normal(size=(m, n, k, k)) / (n * k * k) ** 0.5, rng.normal(size=m))

    return Bottleneck(
        conv(width, inputs, 1),
        conv(width, width, 3),
        conv(outputs, width, 1),
        conv(outputs, inputs, 1) if project else None,
    )


def arguments(rng, *, side=5, outputs=4, project=False, **options):
    x = rng.normal(size=(2, 4, side, side))
    return (x, draw(rng, outputs=outputs, project=project)), options


def with_cotangent(rng, **options):
    (x, params), keywords = arguments(rng, **options)
    return (x, params, rng.normal(size=bottleneck(x, params, **keywords).shape)), keywords


SETTINGS = {
    "identity": {},
    "3x3": {"outputs": 6, "project": True, "stride": 2},
    "1x1": {"outputs": 6, "project": True, "stride": 2, "stride_in": "1x1"},
    "one": {"side": 1},
}

CASES = [
    *(
        Case(function, partial(make, **SETTINGS[name]), name, scale=20, batch=(), fixed=("params",))
        for function, make in ((bottleneck, arguments), (bottleneck_vjp, with_cotangent))
        for name in ("identity", "3x3", "1x1")
    ),
    Case(
        gradient_growth,
        lambda rng: ((rng.random(4),), {"blocks": 6}),
        scale=5,
        fixed=("chi",),
    ),
]


def by_torch(x, params, stride=1, stride_in="3x3"):
    """Return the output as torch computes it."""
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    hidden = torch.relu(F.conv2d(x, *params.reduce, stride=first))
    hidden = torch.relu(F.conv2d(hidden, *params.spatial, stride=second, padding=1))
    branch = F.conv2d(hidden, *params.expand)
    shortcut = F.conv2d(x, *params.project, stride=stride) if params.project else x
    return shortcut, branch, torch.relu(shortcut + branch)


@pytest.mark.parametrize("name", SETTINGS)
def test_values_and_gradients_are_those_of_torch(name, device):
    (x, params, cotangent), options = with_cotangent(np.random.default_rng(1), **SETTINGS[name])
    on = partial(torch.tensor, device=device)
    params = Bottleneck(*(p and Conv(on(p.W), on(p.b)) for p in params))
    x, cotangent = on(x).requires_grad_(), on(cotangent)
    shortcut, branch, y = by_torch(x, params, **options)
    assert_close(bottleneck(x, params, **options), y, scale=10)
    paths = bottleneck_vjp(x.detach(), params, cotangent, **options)
    (whole,) = torch.autograd.grad(y, x, cotangent, retain_graph=True)
    assert_close(paths.shortcut + paths.branch, whole, scale=10)
    g = cotangent * (y > 0)
    (by_branch,) = torch.autograd.grad(branch, x, g, retain_graph=True)
    assert_close(paths.branch, by_branch, scale=10)
    if shortcut is x:
        assert torch.equal(paths.shortcut, g)


@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_both_strides_give_one_shape_rounded_up(side, stride):
    rng = np.random.default_rng(0)
    params, x = draw(rng, project=True), rng.normal(size=(1, 4, side, side))
    outputs = [bottleneck(x, params, stride=stride, stride_in=at) for at in ("1x1", "3x3")]
    for y in outputs:
        assert y.shape == (1, 4, -(-side // stride), -(-side // stride))
    if stride > 1 and side > 1:  # there the 3×3 sees the neighbours that are skipped
        assert not np.allclose(*outputs)


def test_no_examples():
    rng = np.random.default_rng(0)
    params, x = draw(rng), np.zeros((0, 4, 5, 5))
    assert bottleneck(x, params).shape == x.shape
    assert bottleneck_vjp(x, params, x).branch.shape == x.shape


def test_a_branch_of_zeros_passes_the_gradient_where_the_input_is_positive():
    rng = np.random.default_rng(0)
    params = draw(rng)
    params = params._replace(expand=Conv(0 * params.expand.W, 0 * params.expand.b))
    x, g = rng.normal(size=(2, 2, 4, 3, 3))
    assert_close(bottleneck(x, params), np.maximum(x, 0))
    paths = bottleneck_vjp(x, params, g)
    assert_close(paths.shortcut, np.where(x > 0, g, 0))
    assert not paths.branch.any()


def test_half_precision_sums_in_float32():
    big = Conv(np.full((1, 1, 1, 1), 300, np.float16), np.zeros(1, np.float16))
    small = Conv(np.full((1, 1, 3, 3), 1e-2, np.float16), np.zeros(1, np.float16))
    x = np.full((1, 1, 1, 1), 300, np.float16)  # 90 000 on the way is beyond float16
    y = bottleneck(x, Bottleneck(big, small, small._replace(W=small.W[:, :, :1, :1])))
    assert y.dtype == np.float16
    assert abs(y.item() - 309) < 0.5


@pytest.mark.parametrize("chi", [0.0, 0.5, 1.467, 3.0])
@pytest.mark.parametrize("blocks", [0, 1, 7, 100])
def test_growth_is_a_quotient_of_gamma_functions(chi, blocks):
    expected = gamma(blocks + 1 + chi) / gamma(blocks + 1) / gamma(1 + chi)
    assert_close(gradient_growth(np.asarray(chi), blocks=blocks), expected, scale=100)


def block(**options):
    return lambda: bottleneck(np.ones((1, 4, 2, 2)), draw(np.random.default_rng(0)), **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (block(stride=2), ValueError, r"the shortcut has shape \(1, 4, 2, 2\) but the branch"),
        (block(stride_in="1×1"), ValueError, "stride_in is '1×1': it must be '1x1' or '3x3'"),
        (block(stride=0), ValueError, "stride is 0"),
        (
            lambda: bottleneck(np.ones((1, 4, 2, 2), int), draw(np.random.default_rng(0))),
            TypeError,
            "x has dtype int64",
        ),
        (
            lambda: bottleneck_vjp(
                np.ones((1, 4, 2, 2)), draw(np.random.default_rng(0)), np.ones((1, 4, 1, 1))
            ),
            ValueError,
            "cotangent has shape",
        ),
        (
            lambda: bottleneck_vjp(
                np.ones((1, 4, 2, 2)), draw(np.random.default_rng(0)), np.ones((1, 4, 2, 2), int)
            ),
            TypeError,
            "cotangent has dtype int64",
        ),
        (lambda: gradient_growth(np.ones(1), blocks=-1), ValueError, "blocks is -1"),
        (lambda: gradient_growth(np.ones(1, int), blocks=1), TypeError, "chi has dtype"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_relu_batch_norm_growth_is_that_of_a_wide_layer():
    """π/(π − 1), measured on one layer: rectifier, weights, batch norm."""
    rng, n, examples = np.random.default_rng(0), 400, 2000
    z = torch.tensor(rng.normal(size=(examples, n))).requires_grad_()
    W = torch.tensor(rng.normal(size=(n, n)) / n**0.5)
    out = F.batch_norm(torch.relu(z) @ W, None, None, training=True, eps=1e-12)
    g = torch.tensor(rng.normal(size=(examples, n)))
    (back,) = torch.autograd.grad(out, z, g)
    assert float(back.square().mean()) == pytest.approx(math.pi / (math.pi - 1), rel=0.02)

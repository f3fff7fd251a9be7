import math

import numpy as np
import pytest
import torch

from dlkb.vision.swin import (
    WindowAttention,
    biased_mask,
    relative_bias,
    relative_bias_vjp,
    window_attention,
    window_cost,
)
from dlkb.vision.windows import window_mask
from scripts.peers.apart import torchvision
from tests.cases import Case
from tests.close import assert_close

theirs = torchvision("models.swin_transformer")
SHIFTED = {"window": (2, 3), "shift": (1, 2)}


def image(rng, *, channels=4):
    return rng.normal(size=(5, 7, channels))


def draw(rng, *, channels=4, heads=2, window=(2, 3)):
    table = rng.normal(size=((2 * window[0] - 1) * (2 * window[1] - 1), heads))
    c = channels
    shapes = (3 * c, c), (3 * c,), (c, c), (c,)
    return WindowAttention(*(rng.normal(size=s) / c**0.5 for s in shapes), table)


CASES = [
    Case(relative_bias, lambda rng: ((rng.normal(size=(15, 2)),), {"window": (2, 3)}), batch=()),
    Case(
        relative_bias_vjp,
        lambda rng: ((rng.normal(size=(2, 6, 6)),), {"window": (2, 3)}),
        batch=(),
    ),
    Case(
        window_attention,
        lambda rng: ((image(rng), draw(rng)), {"heads": 2, **SHIFTED}),
        scale=20,
        fixed=("x", "params"),
        batch=("x",),
    ),
    Case(
        biased_mask,
        lambda rng: ((image(rng), rng.normal(size=(15, 2))), SHIFTED),
        fixed=("x",),
        batch=(),
        broadcasts=("x",),
    ),
    Case(window_cost, lambda rng: ((), {"height": 5, "width": 6, "channels": 4, "window": 3})),
]


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (4, 12), (3, 3)])
@pytest.mark.parametrize(
    ("window", "shift"), [((4, 4), (2, 2)), ((4, 4), (0, 0)), ((2, 3), (1, 1))]
)
def test_attention_is_that_of_torchvision(size, window, shift, device):
    rng = np.random.default_rng(0)
    params = draw(rng, window=window)
    params = WindowAttention(*(torch.tensor(p, device=device) for p in params))
    x = torch.tensor(rng.normal(size=(2, *size, 4)), device=device)
    index = theirs.ShiftedWindowAttention(4, list(window), list(shift), 2).relative_position_index
    bias = theirs._get_relative_position_bias(params.table, index.to(device), list(window))
    expected = theirs.shifted_window_attention(
        x,
        params.qkv_weight,
        params.proj_weight,
        bias,
        list(window),
        2,
        list(shift),
        qkv_bias=params.qkv_bias,
        proj_bias=params.proj_bias,
    )
    found = window_attention(x, params, heads=2, window=window, shift=shift)
    assert_close(found, expected, scale=10)
    assert_close(relative_bias(params.table, window=window), bias[0])


@pytest.mark.parametrize("window", [1, 2, (2, 3), 7])
def test_the_gradient_of_the_table_is_autograd_s(window):
    m, n = (window, window) if isinstance(window, int) else window
    rng = np.random.default_rng(0)
    table = torch.tensor(rng.normal(size=((2 * m - 1) * (2 * n - 1), 3)), requires_grad=True)
    g = torch.tensor(rng.normal(size=(3, m * n, m * n)))
    (expected,) = torch.autograd.grad(relative_bias(table, window=window), table, g)
    assert_close(relative_bias_vjp(g, window=window), expected, scale=10)


def test_one_window_over_the_whole_image_is_plain_attention_and_costs_as_much():
    rng = np.random.default_rng(0)
    params, x = draw(rng, window=(5, 7)), image(rng)
    whole = window_attention(x, params, heads=2, window=(5, 7))
    np.testing.assert_array_equal(
        whole, window_attention(x, params, heads=2, window=(5, 7), shift=(2, 3))
    )
    for side, channels in ((6, 4), (14, 96)):
        size = {"height": side, "width": side, "channels": channels}
        assert window_cost(**size, window=side) == window_cost(**size)
        assert window_cost(**size, window=2) < window_cost(**size)


@pytest.mark.parametrize(("side", "channels", "window"), [(56, 96, 7), (12, 8, 4)])
def test_the_cost_is_that_of_the_matrix_products(side, channels, window):
    places, windows, seen = side**2, (side // window) ** 2, window**2
    projections = places * channels * (3 * channels) + places * channels * channels
    scores_and_sums = 2 * windows * seen * seen * channels
    cost = window_cost(height=side, width=side, channels=channels, window=window)
    assert cost == projections + scores_and_sums


def test_the_mask_adds_minus_infinity_beside_the_bias():
    table = np.random.default_rng(0).normal(size=(9, 2))
    found = biased_mask(np.zeros((4, 4, 1)), table, window=2, shift=1)
    allowed = window_mask(table, height=4, width=4, window=2, shift=1)
    assert found.shape == (4, 2, 4, 4)
    for head, bias in enumerate(relative_bias(table, window=2)):
        np.testing.assert_array_equal(found[:, head], np.where(allowed, bias, -math.inf))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: biased_mask(np.zeros((4, 4)), np.zeros((9, 1)), window=2),
            ValueError,
            r"x has shape \(4, 4\)",
        ),
        (
            lambda: window_attention(
                np.zeros((4, 4)), draw(np.random.default_rng(0)), heads=2, window=2
            ),
            ValueError,
            r"x has shape \(4, 4\)",
        ),
        (
            lambda: relative_bias(np.zeros((8, 2)), window=2),
            ValueError,
            r"table has shape \(8, 2\)",
        ),
        (lambda: relative_bias(np.zeros(9), window=2), ValueError, r"table has shape \(9,\)"),
        (
            lambda: relative_bias_vjp(np.zeros((1, 4, 3)), window=2),
            ValueError,
            r"cotangent has shape \(1, 4, 3\): \(heads, 4, 4\)",
        ),
        (
            lambda: window_attention(
                np.zeros((4, 4, 4)), draw(np.random.default_rng(0), heads=1), heads=2, **SHIFTED
            ),
            ValueError,
            r"params.table has shape \(15, 1\): \(15, 2\) fits",
        ),
        (
            lambda: window_attention(
                np.zeros((4, 4, 4)),
                draw(np.random.default_rng(0))._replace(
                    qkv_weight=np.zeros((16, 4)), qkv_bias=np.zeros(16)
                ),
                heads=2,
                **SHIFTED,
            ),
            ValueError,
            r"params.qkv_weight has shape \(16, 4\): \(12, 4\) fits",
        ),
        (lambda: window_cost(height=0, width=1, channels=1), ValueError, "height is 0"),
        (lambda: window_cost(height=1, width=1, channels=1, window=0), ValueError, "window is 0"),
        (lambda: window_cost(height=1, width=1, channels=1, window=-1), ValueError, "window is -1"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

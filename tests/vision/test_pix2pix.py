import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.vision.pix2pix import (
    discriminator_loss,
    generator_loss,
    patch_count,
    patch_field,
    patch_strides,
    receptive_field,
    transposed_size,
    unet_blocks,
)
from tests.cases import Case
from tests.close import assert_close


def draw(rng, *shapes):
    return tuple(rng.normal(size=shape) for shape in shapes)


CASES = [
    Case(transposed_size, lambda rng: ((7, 4), {"stride": 2, "padding": 1})),
    Case(patch_strides, lambda rng: ((2,), {})),
    Case(receptive_field, lambda rng: (((2, 1, 3),), {"kernel": 3})),
    Case(patch_field, lambda rng: ((2,), {})),
    Case(patch_count, lambda rng: ((64,), {"layers": 2})),
    Case(
        unet_blocks,
        lambda rng: ((64,), {"depth": 6, "width": 8, "channels": (1, 2)}),
    ),
    Case(
        discriminator_loss,
        lambda rng: (draw(rng, (2, 1, 3, 3), (2, 1, 3, 3)), {}),
        batch=(),
    ),
    Case(
        generator_loss,
        lambda rng: (draw(rng, (2, 1, 3, 3), (2, 3, 4, 4), (2, 3, 4, 4)), {"weight": 10.0}),
        batch=(),
        broadcasts=("fake",),
    ),
]


def convolutions(strides, kernel=4, padding=1):
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 1, kernel, stride, padding).double() for stride in strides)
    )


@pytest.mark.parametrize("layers", range(5))
def test_receptive_field_is_where_the_gradient_is(layers):
    """An output in the middle of a large input depends on a square of that side."""
    side = 2 * patch_field(layers) + 40
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    net = convolutions(patch_strides(layers))
    for layer in net:
        torch.nn.init.ones_(layer.weight)
    output = net(x)
    middle = output.shape[-1] // 2
    (grad,) = torch.autograd.grad(output[0, 0, middle, middle], x)
    seen = grad[0, 0] != 0
    expected = receptive_field(patch_strides(layers))
    assert expected == patch_field(layers)
    assert seen.any(0).sum() == seen.any(1).sum() == expected
    assert seen.sum() == expected**2


@pytest.mark.parametrize(("kernel", "strides"), [(3, (1, 1)), (3, (2, 2, 1)), (5, (3, 1))])
def test_receptive_field_of_other_kernels(kernel, strides):
    side = 80
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    net = convolutions(strides, kernel, kernel // 2)
    output = net(x)
    middle = output.shape[-1] // 2
    (grad,) = torch.autograd.grad(output[0, 0, middle, middle], x)
    seen = (grad[0, 0] != 0).any(0)
    assert seen.sum() == receptive_field(strides, kernel=kernel)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [70, 128, 255, 256, 286])
def test_patches_are_counted_as_torch_makes_them(size, layers):
    output = convolutions(patch_strides(layers))(torch.zeros(1, 1, size, size).double())
    assert output.shape[-1] == patch_count(size, layers=layers)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(1, 4, 2, 1), (5, 3, 1, 0), (6, 5, 3, 2), (2, 1, 2, 0)],
)
def test_transposed_size_is_that_of_torch(size, kernel, stride, padding):
    x, w = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    output = F.conv_transpose1d(x, w, stride=stride, padding=padding)
    assert output.shape[-1] == transposed_size(size, kernel, stride=stride, padding=padding)


def test_the_u_net_of_the_paper():
    blocks = unet_blocks()
    down, up = blocks[:8], blocks[8:]
    assert [b.channels_in for b in down] == [3, 64, 128, 256, 512, 512, 512, 512]
    assert [b.channels_out for b in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [b.size for b in down] == [128, 64, 32, 16, 8, 4, 2, 1]
    assert [b.channels_in for b in up] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert [b.channels_out for b in up] == [512, 512, 512, 512, 256, 128, 64, 3]
    assert [b.size for b in up] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert [b.norm for b in down] == [False] + 6 * [True] + [False]
    assert [b.norm for b in up] == 7 * [True] + [False]
    assert [b.slope for b in blocks] == [1.0] + 7 * [0.2] + 8 * [0.0]
    assert [b.dropout for b in blocks] == 9 * [False] + 3 * [True] + 4 * [False]


def test_each_block_takes_what_is_there():
    blocks = unet_blocks(128, depth=7, width=8, channels=(1, 2))
    down, up = blocks[:7], blocks[7:]
    for first, second in pairwise(down):
        assert second.channels_in == first.channels_out
    assert up[0].channels_in == down[-1].channels_out
    for skip, before, after in zip(down[-2::-1], up, up[1:], strict=False):
        assert skip.size == before.size
        assert after.channels_in == skip.channels_out + before.channels_out
    assert (up[-1].channels_out, up[-1].size) == (2, 128)


def test_losses_and_gradients_are_those_of_torch():
    rng = np.random.default_rng(0)
    real, fake, image, target = (
        torch.tensor(x, requires_grad=True)
        for x in draw(rng, (2, 1, 5, 5), (2, 1, 5, 5), (2, 3, 8, 8), (2, 3, 8, 8))
    )
    bce = F.binary_cross_entropy_with_logits
    pairs = (
        (
            discriminator_loss(real, fake),
            (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2,
        ),
        (
            generator_loss(fake, image, target, weight=7.0),
            bce(fake, torch.ones_like(fake)) + 7 * F.l1_loss(image, target),
        ),
    )
    for ours, theirs in pairs:
        assert_close(ours, theirs)
        inputs = (real, fake) if ours is pairs[0][0] else (fake, image)
        for a, b in zip(
            torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True
        ):
            assert_close(a, b)


def test_unsure_is_log_two():
    zero = np.zeros((1, 1, 4, 4))
    assert discriminator_loss(zero, zero) == pytest.approx(math.log(2))
    assert generator_loss(zero, zero, zero) == pytest.approx(math.log(2))
    assert generator_loss(zero, zero, zero + 1) == pytest.approx(math.log(2) + 100)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: transposed_size(0, 4), "size is 0"),
        (lambda: transposed_size(1, 0), "kernel is 0"),
        (lambda: transposed_size(2, 4, stride=0), "stride is 0"),
        (lambda: transposed_size(2, 4, padding=-1), "padding is -1"),
        (lambda: transposed_size(1, 2, padding=1), "padding is 1: nothing is left of 2"),
        (lambda: patch_strides(-1), "layers is -1"),
        (lambda: patch_field(-1), "layers is -1"),
        (lambda: receptive_field((2, 0)), "strides is 0"),
        (lambda: receptive_field((2,), kernel=0), "kernel is 0"),
        (lambda: patch_count(16), "kernel spans"),
        (lambda: unet_blocks(200), "size is 200: a multiple of 256"),
        (lambda: unet_blocks(0), "size is 0"),
        (lambda: unet_blocks(16, depth=4), "depth is 4"),
        (lambda: unet_blocks(width=0), "width is 0"),
        (lambda: discriminator_loss(np.ones(2), np.ones(3)), "fake has shape"),
        (lambda: generator_loss(np.ones(1), np.ones(2), np.ones(2), weight=-1.0), "weight is -1"),
        (
            lambda: generator_loss(np.ones(1), np.ones(2), np.ones(3)),
            r"target has shape \(3,\) but image has shape \(2,\)",
        ),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize(
    ("loss", "names"),
    [(discriminator_loss, ("real", "fake")), (generator_loss, ("fake", "image", "target"))],
)
def test_integers_are_named(loss, names):
    for wrong in range(len(names)):
        arrays = [np.ones(2, int if i == wrong else float) for i in range(len(names))]
        with pytest.raises(TypeError, match=f"{names[wrong]} has dtype int64"):
            loss(*arrays)

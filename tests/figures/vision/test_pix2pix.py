import numpy as np
import pytest
import torch

from dlkb.vision.pix2pix import patch_strides
from scripts.figures.vision import pix2pix as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("place", figures.PLACES)
@pytest.mark.parametrize("layers", figures.LAYERS)
def test_patch_is_where_the_gradient_is(layers, place):
    """One row of pixels: what an output depends on, by gradient."""
    net = torch.nn.Sequential(
        *(torch.nn.Conv1d(1, 1, 4, stride, 1).double() for stride in patch_strides(layers))
    )
    for layer in net:
        torch.nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, figures.SIZE, dtype=torch.float64, requires_grad=True)
    output = net(x)
    seen = figures.patch(layers, place)
    assert output.shape[-1] == seen.number
    (grad,) = torch.autograd.grad(output[0, 0, round(place * (seen.number - 1))], x)
    (pixels,) = np.nonzero(grad[0, 0].numpy())
    low, high = max(seen.low, 0), min(seen.low + seen.field, figures.SIZE)
    assert (pixels[0], pixels[-1] + 1) == (low, high)


def test_first_and_last_patch_reach_equally_far_into_the_padding():
    for layers in figures.LAYERS:
        first, last = figures.patch(layers, 0.0), figures.patch(layers, 1.0)
        spare = figures.SIZE - (last.low + last.field)
        assert first.low < 0
        assert 0 <= spare - first.low < first.step


def test_patches_draws_the_image_under_the_squares():
    drawn = figures.patches()
    said = drawn.show(3, 0.5)
    assert said == "30 by 30 patches of 70 by 70 pixels, 8 pixels apart."
    one, _ = drawn.moving
    low = figures.patch(3, 0.5).low
    np.testing.assert_array_equal(one.get_xy()[0], [low, low])
    np.testing.assert_array_equal(one.get_xy()[2], [low + 70, low + 70])
    neighbour = figures.outline(figures.square(low + 8, 70))
    assert neighbour.min() == low + 8
    assert neighbour.max() == low + 78
    image = figures.digits(train=20).x_train[3].reshape(8, 8)
    assert_draws(drawn, images={"image": image}, lines={"neighbour": tuple(neighbour.T)})


def test_unet_draws_what_each_block_takes():
    below, skips = figures.taken()
    np.testing.assert_array_equal(below[:8], [3, 64, 128, 256, 512, 512, 512, 512])
    np.testing.assert_array_equal(skips[8:], [0, 512, 512, 512, 512, 256, 128, 64])
    assert_draws(
        figures.unet(),
        bars={
            "from the block before": (np.arange(1, 17), below),
            "from the skip": (np.arange(1, 17), skips),
        },
        legend=["from the block before", "from the skip"],
        texts=["128", "1", "256"],
        xlabel="block, down and up again",
    )

r"""pix2pix: shapes of its U-Net and of its patch discriminator, and its two losses."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_count, check_float, check_same_shape, namespace
from dlkb.backpropagation.convolution import output_size
from dlkb.losses.cross_entropy import binary_cross_entropy_with_logits
from dlkb.losses.regression import absolute_error

KERNEL = 4
"""Each convolution of pix2pix has kernels of 4 by 4, and a padding of 1."""

LEAK = 0.2
"""Slope of its leaky ReLUs below 0."""


def transposed_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0) -> int:
    r"""Return how long the output of a transposed convolution is along one axis.

    $$n = (m - 1)\,s - 2p + k$$

    Args:
        size: Entries m ≥ 1 of the input.
        kernel: Entries k ≥ 1 of the kernel.
        stride: s ≥ 1.
        padding: p ≥ 0, entries that are cut off at each end.

    Returns:
        The size n ≥ 1; that whose convolution gives m, the smallest if there are several.

    Raises:
        ValueError: If an argument is out of its range, or nothing is left.

    Reference:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).

    Example:
        >>> transposed_size(16, 4, stride=2, padding=1)
        32
    """
    for name, value, low in (
        ("size", size, 1),
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
    ):
        check_between(name, value, low, math.inf, closed="left")
    found = (size - 1) * stride - 2 * padding + kernel
    if found < 1:
        raise ValueError(f"padding is {padding}: nothing is left of {found + 2 * padding} entries")
    return found


def patch_strides(layers: int = 3) -> tuple[int, ...]:
    """Return the strides of a patch discriminator's convolutions.

    Args:
        layers: Convolutions of stride 2, ≥ 0; the paper's 70 by 70 discriminator has 3.

    Returns:
        That many twos, and two ones.

    Raises:
        ValueError: If `layers` is negative.

    Reference:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (2017).

    Example:
        >>> patch_strides()
        (2, 2, 2, 1, 1)
    """
    check_count("layers", layers, 0)
    return (2,) * layers + (1, 1)


def receptive_field(strides: Sequence[int], *, kernel: int = KERNEL) -> int:
    r"""Return how long the stretch of the input is that one output sees, along one axis.

    $$r = 1 + (k - 1)\sum_{l=1}^{L}\prod_{i<l} s_i$$

    Args:
        strides: $s_1$ … $s_L$ ≥ 1, of the convolutions from the input on.
        kernel: k ≥ 1, of all of them.

    Returns:
        r ≥ 1, where the padding is out of sight.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> receptive_field(patch_strides(3))
        70
    """
    check_count("kernel", kernel, 1)
    field, jump = 1, 1
    for stride in strides:
        check_between("strides", stride, 1, math.inf, closed="left")
        field += (kernel - 1) * jump
        jump *= stride
    return field


def patch_field(layers: int = 3) -> int:
    r"""Return the receptive field of a patch discriminator, in closed form.

    $$r = 9 \cdot 2^n - 2$$

    Args:
        layers: n ≥ 0 convolutions of stride 2.

    Returns:
        7 for n = 0, then 16, 34, 70, 142, 286.

    Raises:
        ValueError: If `layers` is negative.

    Example:
        >>> [patch_field(layers) for layers in range(6)]
        [7, 16, 34, 70, 142, 286]
    """
    check_count("layers", layers, 0)
    return 9 * 2**layers - 2


def patch_count(size: int, *, layers: int = 3) -> int:
    r"""Return how many patches are judged along one axis.

    Args:
        size: Entries of the image along the axis.
        layers: Convolutions of stride 2, ≥ 0.

    Returns:
        The side of the discriminator's output.

    Raises:
        ValueError: If the image is too small, or `layers` is negative.

    Example:
        >>> patch_count(256), patch_count(286), patch_count(128)
        (30, 33, 14)
    """
    for stride in patch_strides(layers):
        size = output_size(size, KERNEL, stride=stride, padding=1)
    return size


class Block(NamedTuple):
    """One convolution of the U-Net.

    Attributes:
        channels_in: What it takes, the skip included.
        channels_out: What it gives.
        size: Side of what it gives.
        norm: Whether batch norm follows.
        slope: Of the activation in front, below 0: 1 is none, 0.2 a leaky ReLU, 0 a ReLU.
        dropout: Whether half of the output is dropped, in the paper also when images are made.
    """

    channels_in: int
    channels_out: int
    size: int
    norm: bool
    slope: float
    dropout: bool


def unet_blocks(
    size: int = 256, *, depth: int = 8, width: int = 64, channels: tuple[int, int] = (3, 3)
) -> tuple[Block, ...]:
    r"""Return the convolutions of pix2pix's U-Net, in the order in which they run.

    Block i of the way down gives min(2ⁱ⁻¹, 8) times `width` channels at half the side. Block i of
    the way up takes that of i + 1 and what block i of the way down gave, side by side. The last
    one gives the image, through a tanh.

    Args:
        size: Side of the image, a multiple of 2 to the `depth`.
        depth: Halvings ≥ 5; 8 leave one pixel of 256.
        width: Channels of the first block ≥ 1.
        channels: Of the input and of the output.

    Returns:
        `depth` blocks down, then `depth` up.

    Raises:
        ValueError: If the side does not fit, or an argument is out of its range.

    Note:
        This is the authors' PyTorch code. Differs from the paper's text, which has dropout in the
        first three blocks of the way up, and batch norm in the innermost block, too.

    Reference:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (2017).

    Example:
        >>> blocks = unet_blocks()
        >>> [block.channels_out for block in blocks[:8]]
        [64, 128, 256, 512, 512, 512, 512, 512]
        >>> [block.channels_in for block in blocks[8:]]
        [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    """
    check_count("depth", depth, 5)
    check_count("width", width, 1)
    if size < 1 or size % 2**depth:
        raise ValueError(f"size is {size}: a multiple of {2**depth}, 2 to the depth, is needed")
    given = [channels[0], *(width * min(2**i, 8) for i in range(depth))]
    down = [
        Block(
            given[i - 1],
            given[i],
            size // 2**i,
            norm=1 < i < depth,
            slope=1.0 if i == 1 else LEAK,
            dropout=False,
        )
        for i in range(1, depth + 1)
    ]
    up = [
        Block(
            given[i] * (1 if i == depth else 2),
            given[i - 1] if i > 1 else channels[1],
            size // 2 ** (i - 1),
            norm=i > 1,
            slope=0.0,
            dropout=4 < i < depth,
        )
        for i in range(depth, 0, -1)
    ]
    return (*down, *up)


def discriminator_loss(real: Array, fake: Array) -> Array:
    r"""Return the discriminator's loss: both kinds are to be told, at half weight each.

    $$L_D = \tfrac12\,\overline{\operatorname{softplus}(-z_r)}
    + \tfrac12\,\overline{\operatorname{softplus}(z_f)}$$

    Args:
        real: Logits $z_r$ of patches of real pairs, any shape.
        fake: Logits $z_f$ of patches of generated pairs, in the same shape.

    Returns:
        A 0-d array; $\ln 2$ where nothing is told.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Reference:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (2017).

    Example:
        >>> import numpy as np
        >>> round(float(discriminator_loss(np.zeros((1, 2)), np.zeros((1, 2)))), 4)
        0.6931
    """
    check_float("real", real)
    check_float("fake", fake)
    check_same_shape("fake", fake, "real", real)
    xp = namespace(real, fake)
    told = binary_cross_entropy_with_logits(real, xp.ones_like(real))
    caught = binary_cross_entropy_with_logits(fake, xp.zeros_like(fake))
    return (told + caught) / 2


def generator_loss(fake: Array, image: Array, target: Array, *, weight: float = 100.0) -> Array:
    r"""Return the generator's loss: to pass for real, and to be near the target.

    $$L_G = \overline{\operatorname{softplus}(-z_f)} + w\,\overline{\lvert y - \hat y\rvert}$$

    Args:
        fake: Logits $z_f$ of patches of the generated pair, any shape.
        image: What was generated, any shape.
        target: The paired image, in the shape of `image`.
        weight: w ≥ 0, the paper's λ.

    Returns:
        A 0-d array.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or `weight` is negative.

    Note:
        Differs from the minimax game, whose generator minimizes log(1 − D): that gradient
        vanishes where the discriminator is sure.

    Reference:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (2017).

    Example:
        >>> import numpy as np
        >>> image, fake = np.zeros((1, 3, 4, 4)), np.zeros((1, 1, 2, 2))
        >>> round(float(generator_loss(fake, image, image + 0.1)), 4)
        10.6931
    """
    check_between("weight", weight, 0, math.inf, closed="left")
    for name, x in (("fake", fake), ("image", image), ("target", target)):
        check_float(name, x)
    check_same_shape("target", target, "image", image)
    passes = binary_cross_entropy_with_logits(fake, namespace(fake).ones_like(fake))
    return passes + weight * absolute_error(image, target)

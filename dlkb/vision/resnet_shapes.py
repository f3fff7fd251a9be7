"""The convolutions of a residual network: their shapes, parameters and operations."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from dlkb.arrays import check_between, check_count
from dlkb.backpropagation.convolution import output_size
from dlkb.vision.resnet import Stride

Block = Literal["basic", "bottleneck"]


class Layer(NamedTuple):
    """A convolution without bias, as a batch normalization stands behind it.

    Attributes:
        stage: 0 for the first convolution, then 1, 2, 3, 4.
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Entries along a side.
        size: Entries along a side of what goes out.
        projection: Whether it stands on a shortcut.
    """

    stage: int
    inputs: int
    outputs: int
    kernel: int
    size: int
    projection: bool = False


def convolutions(
    blocks: Sequence[int] = (3, 4, 6, 3),
    *,
    block: Block = "bottleneck",
    size: int = 224,
    stride_in: Stride = "3x3",
) -> list[Layer]:
    """Return the convolutions of a residual network for colour images, first to last.

    A 7×7 convolution with 64 kernels halves the size, and so does a pooling; the first block of
    each stage but the first halves it again, and doubles the channels.

    Args:
        blocks: Blocks of each of the four stages.
        block: "bottleneck", 1×1, 3×3 and 1×1, or "basic", twice 3×3.
        size: Pixels along a side of the square image, ≥ 1.
        stride_in: As for `bottleneck`; a basic block has the stride in its first convolution.

    Returns:
        A list. A stage's output has the size and the channels of its last convolution.

    Raises:
        ValueError: If an argument is out of its range, or there are not four stages.

    Reference:
        He et al. (2016).

    Example:
        >>> layers = convolutions()
        >>> layers[0], len(layers)
        (Layer(stage=0, inputs=3, outputs=64, kernel=7, size=112, projection=False), 53)
    """
    check_count("size", size, 1)
    if block not in ("basic", "bottleneck"):
        raise ValueError(f"block is {block!r}: it must be 'basic' or 'bottleneck'")
    if stride_in not in ("1x1", "3x3"):
        raise ValueError(f"stride_in is {stride_in!r}: it must be '1x1' or '3x3'")
    if len(blocks) != 4:
        raise ValueError(f"blocks is {tuple(blocks)}: four numbers are needed, one for each stage")
    size = output_size(size, 7, stride=2, padding=3)
    layers = [Layer(0, 3, 64, 7, size)]
    size = output_size(size, 3, stride=2, padding=1)
    inputs, outputs = 64, 64
    for stage, count in enumerate(blocks, start=1):
        check_between(f"blocks[{stage - 1}]", count, 1, math.inf, closed="left")
        width = 64 * 2 ** (stage - 1)
        outputs = 4 * width if block == "bottleneck" else width
        for number in range(count):
            before = size
            if stage > 1 and number == 0:
                size = output_size(size, 3, stride=2, padding=1)
            if block == "basic":
                layers += [
                    Layer(stage, inputs, width, 3, size),
                    Layer(stage, width, width, 3, size),
                ]
            else:
                at = size if stride_in == "1x1" else before
                layers += [
                    Layer(stage, inputs, width, 1, at),
                    Layer(stage, width, width, 3, size),
                    Layer(stage, width, outputs, 1, size),
                ]
            if size != before or inputs != outputs:
                layers.append(Layer(stage, inputs, outputs, 1, size, projection=True))
            inputs = outputs
    return layers


def parameter_count(layers: Sequence[Layer], *, classes: int = 1000) -> int:
    r"""Return how many parameters a residual network has.

    $$P = \sum_\ell \bigl(k_\ell^2\,n_\ell\,m_\ell + 2\,m_\ell\bigr) + (n + 1)\,K$$

    A kernel, a gain and a shift for each convolution from n to m channels; weight and bias of the
    classifier. Stored means and variances are no parameters.

    Args:
        layers: From `convolutions`; the last is the one in front of the classifier.
        classes: K ≥ 1.

    Returns:
        A count.

    Raises:
        ValueError: If `classes` is below 1, or `layers` is empty.

    Example:
        >>> parameter_count(convolutions())
        25557032
    """
    check_count("classes", classes, 1)
    kernels = sum(c.kernel**2 * c.inputs * c.outputs + 2 * c.outputs for c in layers)
    return kernels + (_features(layers) + 1) * classes


def multiply_adds(layers: Sequence[Layer], *, classes: int = 1000) -> int:
    r"""Return how many multiplications with addition one image takes.

    $$A = \sum_\ell k_\ell^2\,n_\ell\,m_\ell\,s_\ell^2 + n\,K$$

    Args:
        layers: From `convolutions`, for a size s of the image.
        classes: K ≥ 1.

    Returns:
        A count. Normalization, pooling and biases are left out; operations are twice as many.

    Raises:
        ValueError: If `classes` is below 1, or `layers` is empty.

    Example:
        >>> round(multiply_adds(convolutions()) / 1e9, 2)
        4.09
    """
    check_count("classes", classes, 1)
    kernels = sum(c.kernel**2 * c.inputs * c.outputs * c.size**2 for c in layers)
    return kernels + _features(layers) * classes


def _features(layers: Sequence[Layer]) -> int:
    outputs = [c.outputs for c in layers if not c.projection]
    if not outputs:
        raise ValueError("layers holds no convolution before the classifier")
    return outputs[-1]

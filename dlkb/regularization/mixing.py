"""Examples made of two: mixup and CutMix, for inputs and targets alike."""

from typing import NamedTuple

from dlkb.arrays import (
    Array,
    broadcast_shape,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    wide_dtype,
    widen,
)


class Box(NamedTuple):
    """A rectangle of whole pixels, `bottom` and `right` not included; arrays of shape `(...)`."""

    top: Array
    bottom: Array
    left: Array
    right: Array


class Pair(NamedTuple):
    """Gradients of an example and of its partner."""

    x: Array
    partner: Array


def mix(x: Array, partner: Array, weight: Array) -> Array:
    r"""Return the weighted mean of two examples, or of their one-hot targets.

    $$\tilde{x} = \lambda\,x + (1 - \lambda)\,x'$$

    Args:
        x: A batch `(batch, ...)`, or one example.
        partner: Another of the same shape, such as the batch in another order.
        weight: λ in [0, 1], of shape () for all or `(batch,)`, rounded to the dtype of `x`. Zhang
            et al. draw it from Beta(α, α): `np.asarray(rng.beta(alpha, alpha))`.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Reference:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018.

    Example:
        >>> import numpy as np
        >>> mix(np.asarray([0.0, 1.0]), np.asarray([1.0, 0.0]), np.asarray(0.75))
        array([0.25, 0.75])
    """
    weight = _column(x, "partner", partner, weight)
    return weight * x + (1 - weight) * partner


def mix_vjp(x: Array, weight: Array, cotangent: Array) -> Pair:
    r"""Pull a gradient back through `mix`, to both examples.

    $$\bar x = \lambda\,\bar{\tilde x},\qquad \bar x' = (1 - \lambda)\,\bar{\tilde x}$$

    Args:
        x: As in the forward pass; its values do not matter.
        weight: As in the forward pass.
        cotangent: Gradient with respect to the mixture.

    Returns:
        The gradients. That of a batch which is its own partner in another order is their sum, the
        second put back in order.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> mix_vjp(np.zeros(2), np.asarray(0.75), np.ones(2)).partner
        array([0.25, 0.25])
    """
    weight = _column(x, "cotangent", cotangent, weight)
    return Pair(weight * cotangent, (1 - weight) * cotangent)


def mixed_variance(alpha: Array) -> Array:
    r"""Return the variance of mixtures by that of the examples, for λ from Beta(α, α).

    $$\frac{\operatorname{Var}[\tilde x]}{\operatorname{Var}[x]} = \frac{\alpha + 1}{2\alpha + 1}$$

    for independent partners. It lies between 1, for α → 0, and 1/2.

    Args:
        alpha: α > 0, a floating-point array of any shape.

    Returns:
        An array like `alpha`.

    Raises:
        TypeError: If `alpha` is not floating-point.

    Example:
        >>> import numpy as np
        >>> mixed_variance(np.asarray([0.2, 1.0])).round(3)
        array([0.857, 0.667])
    """
    check_float("alpha", alpha)
    return 0.5 + 0.25 / (alpha + 0.5)  # the same, where twice α would overflow


def cut_box(row: Array, column: Array, weight: Array, *, height: int, width: int) -> Box:
    r"""Return the box around a centre that covers 1 − λ of an image, cut off at the edges.

    $$\text{sides}\quad H\sqrt{1 - \lambda},\qquad W\sqrt{1 - \lambda}$$

    Half of each is rounded down to whole pixels.

    Args:
        row: The centre's, a whole number in [0, height), as a floating-point array `(...)`.
        column: The centre's, a whole number in [0, width), in the same shape.
        weight: λ in [0, 1], in the same shape.
        height: H ≥ 1.
        width: W ≥ 1.

    Returns:
        The box. Cut off or rounded it covers less than 1 − λ: use `kept_area` for the targets.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or a size is below 1.

    Reference:
        Yun et al., CutMix, ICCV 2019.

    Example:
        >>> import numpy as np
        >>> three = np.asarray(3.0)
        >>> box = cut_box(three, three, np.asarray(0.75), height=8, width=8)
        >>> [int(edge) for edge in box]
        [1, 5, 1, 5]
    """
    for name, x in (("row", row), ("column", column), ("weight", weight)):
        check_float(name, x)
        check_same_shape(name, x, "row", row)
    check_count("height", height, 1)
    check_count("width", width, 1)
    xp = namespace(row, column, weight)
    share = xp.sqrt(1 - weight) / 2

    def edges(centre: Array, size: int) -> tuple[Array, Array]:
        half = xp.floor(share * size)
        return xp.clip(centre - half, 0, size), xp.clip(centre + half, 0, size)

    return Box(*edges(row, height), *edges(column, width))


def kept_area(box: Box, *, height: int, width: int) -> Array:
    r"""Return the share of an image outside a box: the weight λ of its target.

    $$\lambda = 1 - \frac{(b - t)\,(r - l)}{H W}$$

    Args:
        box: Inside the image.
        height: H ≥ 1.
        width: W ≥ 1.

    Returns:
        λ, in the shape of the edges.

    Raises:
        TypeError: If an edge is not floating-point.
        ValueError: If a size is below 1.

    Example:
        >>> import numpy as np
        >>> box = Box(*(np.asarray(edge) for edge in (1.0, 5.0, 1.0, 5.0)))
        >>> float(kept_area(box, height=8, width=8))
        0.75
    """
    for name, edge in zip(box._fields, box, strict=True):
        check_float(f"box.{name}", edge)
    check_count("height", height, 1)
    check_count("width", width, 1)
    return 1 - (box.bottom - box.top) / height * ((box.right - box.left) / width)


def cut_mix(x: Array, partner: Array, box: Box) -> Array:
    """Paste a box of one image into another.

    Args:
        x: `(..., height, width)`.
        partner: Another of the same shape.
        box: Edges that broadcast to the axes in front of height and width.

    Returns:
        An array like `x`: the partner's pixels inside the box, those of `x` outside.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or an image has no two axes.

    Note:
        With zeros for a partner this is Cutout, or random erasing.

    Reference:
        Yun et al., CutMix, ICCV 2019.

    Example:
        >>> import numpy as np
        >>> box = Box(*(np.asarray(edge) for edge in (0.0, 1.0, 1.0, 2.0)))
        >>> cut_mix(np.ones((2, 2)), np.zeros((2, 2)), box)
        array([[1., 0.],
               [1., 1.]])
    """
    check_float("partner", partner)
    check_same_shape("partner", partner, "x", x)
    return namespace(x, partner).where(_inside("x", x, box), partner, x)


def cut_mix_vjp(box: Box, cotangent: Array) -> Pair:
    """Pull a gradient back through `cut_mix`: each pixel's goes to the image that it is from.

    Args:
        box: As in the forward pass.
        cotangent: Gradient with respect to the result, in its shape.

    Returns:
        The gradients of both images.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the cotangent has no two axes, or the box does not fit.

    Example:
        >>> import numpy as np
        >>> box = Box(*(np.asarray(edge) for edge in (0.0, 1.0, 1.0, 2.0)))
        >>> cut_mix_vjp(box, np.ones((2, 2))).partner
        array([[0., 1.],
               [0., 0.]])
    """
    inside, xp = _inside("cotangent", cotangent, box), namespace(cotangent)
    return Pair(xp.where(inside, 0.0, cotangent), xp.where(inside, cotangent, 0.0))


def _column(x: Array, name: str, other: Array, weight: Array) -> Array:
    """Return the weight in a shape that broadcasts with the batch."""
    check_float("x", x)
    check_float(name, other)
    check_float("weight", weight)
    check_same_shape(name, other, "x", x)
    if tuple(weight.shape) not in ((), tuple(x.shape[:1])):
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and x has shape {tuple(x.shape)}: weight must "
            "be () or hold one entry an example"
        )
    shape = (*weight.shape, *(1,) * (x.ndim - weight.ndim))
    xp = namespace(x, weight)
    return xp.reshape(xp.astype(weight, x.dtype, copy=False), shape)


def _inside(name: str, x: Array, box: Box) -> Array:
    """Whether a pixel is inside the box, `(..., height, width)`."""
    check_float(name, x)
    if x.ndim < 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: it must be (..., height, width)")
    for edge_name, edge in zip(box._fields, box, strict=True):
        check_float(f"box.{edge_name}", edge)
        if broadcast_shape(edge.shape, x.shape[:-2]) != tuple(x.shape[:-2]):
            raise ValueError(
                f"box.{edge_name} has shape {tuple(edge.shape)}: it must broadcast to the axes in "
                f"front of height and width of {name}, {tuple(x.shape[:-2])}"
            )
    # Not in the images' dtype: bfloat16 does not tell pixels above 256 apart.
    place = {"dtype": wide_dtype(box.top), "device": device(x)}
    rows, columns = (namespace(x).arange(n, **place) for n in x.shape[-2:])
    top, bottom, left, right = (widen(edge)[..., None, None] for edge in box)
    down = (top <= rows[:, None]) & (rows[:, None] < bottom)
    return down & (left <= columns) & (columns < right)

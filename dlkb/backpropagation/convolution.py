r"""Convolution layers and their gradients, in any number of dimensions.

What deep learning calls a convolution is a correlation: the kernel is not flipped. Arrays have
the axes (examples, channels, \*space), kernels (out, in / groups, \*space).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from dlkb.arrays import Array, check_between, check_count, check_float, device, namespace

PerAxis = int | Sequence[int]
"""One number for all axes of space, or one for each."""


def output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    r"""Return how many positions the kernel takes along one axis.

    $$m = \left\lfloor\frac{n + 2p - d\,(k-1) - 1}{s}\right\rfloor + 1$$

    Args:
        size: Entries n ≥ 0 of the input.
        kernel: Entries k ≥ 1 of the kernel.
        stride: Entries s ≥ 1 from one position to the next.
        padding: Zeros p ≥ 0 at each end.
        dilation: Entries d ≥ 1 from one entry of the kernel to the next.

    Returns:
        The number of positions m ≥ 1.

    Raises:
        ValueError: If an argument is out of its range, or the kernel does not fit.

    Reference:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).

    Example:
        >>> output_size(32, 3), output_size(32, 3, stride=2, padding=1)
        (30, 16)
    """
    for name, value, low in (
        ("size", size, 0),
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        check_between(name, value, low, math.inf, closed="left")
    span = dilation * (kernel - 1) + 1
    if span > size + 2 * padding:
        raise ValueError(
            f"kernel spans {span} entries and the input has {size + 2 * padding} with its padding: "
            "pad more, or take a smaller kernel"
        )
    return (size + 2 * padding - span) // stride + 1


def conv(
    x: Array,
    W: Array,
    b: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    r"""Slide a kernel over the input.

    $$y_{o,i} = b_o + \sum_{c,k} W_{o,c,k}\, x_{c,\, s i + d k - p}$$

    Args:
        x: Inputs, shape (examples, channels, \*space).
        W: Kernels, shape (out, channels / groups, \*kernel).
        b: Bias, shape (out,), or `None`.
        stride: s ≥ 1, for all axes of space or one for each.
        padding: p ≥ 0, zeros at each end.
        dilation: d ≥ 1, from one entry of the kernel to the next.
        groups: Groups of channels that do not see each other; `channels` is depthwise.

    Returns:
        The outputs, shape (examples, out, \*positions).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or arguments do not fit.

    Example:
        >>> import numpy as np
        >>> x, W = np.asarray([[[1.0, 2.0, 4.0, 8.0]]]), np.asarray([[[-1.0, 1.0]]])
        >>> conv(x, W)
        array([[[1., 2., 4.]]])
    """
    check_float("x", x)
    s, p, d = _geometry(W, stride, padding, dilation)
    _check_channels(x, W, groups)
    xp = namespace(x, W, b)
    kernel = W.shape[2:]
    sizes = [
        output_size(n, k, stride=si, padding=pi, dilation=di)
        for n, k, si, pi, di in zip(x.shape[2:], kernel, s, p, d, strict=True)
    ]
    padded = _pad(x, p, p)
    rows = xp.reshape(W, (groups, W.shape[0] // groups, W.shape[1], math.prod(kernel)))
    y = None
    for i, window in enumerate(_windows(padded, kernel, sizes, s, d)):
        columns = xp.reshape(window, (x.shape[0], groups, W.shape[1], math.prod(sizes)))
        term = xp.matmul(rows[..., i], columns)
        y = term if y is None else y + term
    y = xp.reshape(y, (x.shape[0], W.shape[0], *sizes))
    if b is None:
        return y
    check_float("b", b)
    if tuple(b.shape) != (W.shape[0],):
        raise ValueError(f"b has shape {tuple(b.shape)}: ({W.shape[0]},), one a kernel, is needed")
    return y + xp.reshape(b, (W.shape[0], *(1 for _ in sizes)))


def conv_input_vjp(
    W: Array,
    cotangent: Array,
    *,
    size: Sequence[int],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    r"""Return the gradient of a convolution's input: the transposed convolution.

    $$\bar x_{c,j} = \sum_{o,i,k\,:\;s i + d k - p = j} W_{o,c,k}\,\bar y_{o,i}$$

    The outputs' gradient is spread by the stride with zeros between, padded to the full overlap,
    and correlated with the kernel: flipped along each axis of space, in and out exchanged.

    Args:
        W: Kernels, shape (out, channels / groups, \*kernel).
        cotangent: Gradient of the outputs, shape (examples, out, \*positions).
        size: The input's entries along each axis of space, which a stride leaves open.
        stride: As in `conv`.
        padding: As in `conv`.
        dilation: As in `conv`.
        groups: As in `conv`.

    Returns:
        The gradient of the input, shape (examples, channels, \*size).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or arguments do not fit.

    Note:
        Differs from `torch.nn.functional.conv_transpose2d`, which takes `output_padding` in the
        place of the size, and from `jax.lax.conv_transpose`, which does not flip the kernel
        unless `transpose_kernel=True`.

    Reference:
        Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016).

    Example:
        >>> import numpy as np
        >>> W, cotangent = np.asarray([[[1.0, 2.0]]]), np.asarray([[[1.0, 10.0]]])
        >>> conv_input_vjp(W, cotangent, size=(4,), stride=2)
        array([[[ 1.,  2., 10., 20.]]])
    """
    check_float("cotangent", cotangent)
    s, p, d = _geometry(W, stride, padding, dilation)
    _check_cotangent(cotangent, W, size, s, p, d)
    _check_groups(W, groups)
    xp = namespace(W, cotangent)
    spread = spread_out(cotangent, stride=s)
    before = [di * (k - 1) - pi for k, pi, di in zip(W.shape[2:], p, d, strict=True)]
    after = [
        n + di * (k - 1) - m - lo
        for n, k, di, m, lo in zip(size, W.shape[2:], d, spread.shape[2:], before, strict=True)
    ]
    split = xp.reshape(W, (groups, W.shape[0] // groups, *W.shape[1:]))
    swapped = xp.permute_dims(split, (0, 2, 1, *range(3, split.ndim)))
    joined = xp.reshape(swapped, (groups * W.shape[1], W.shape[0] // groups, *W.shape[2:]))
    flipped = xp.flip(joined, axis=tuple(range(2, W.ndim)))
    return conv(_pad(spread, before, after), flipped, dilation=d, groups=groups)


def conv_weight_vjp(
    x: Array,
    cotangent: Array,
    *,
    kernel: Sequence[int],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    r"""Return the gradient of a convolution's kernels: the input correlated with the cotangent.

    $$\bar W_{o,c,k} = \sum_i \bar y_{o,i}\, x_{c,\, s i + d k - p}$$

    Stride and dilation change places: the cotangent is spread by the stride.

    Args:
        x: Inputs, shape (examples, channels, \*space).
        cotangent: Gradient of the outputs, shape (examples, out, \*positions).
        kernel: The kernel's entries along each axis of space.
        stride: As in `conv`.
        padding: As in `conv`.
        dilation: As in `conv`.
        groups: As in `conv`.

    Returns:
        The gradient, shape (out, channels / groups, \*kernel), summed over examples. That of the
        bias is the cotangent, summed over examples and space.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes or arguments do not fit.

    Example:
        >>> import numpy as np
        >>> x, cotangent = np.asarray([[[1.0, 2.0, 4.0]]]), np.asarray([[[1.0, 10.0]]])
        >>> conv_weight_vjp(x, cotangent, kernel=(2,))
        array([[[21., 42.]]])
    """
    check_float("x", x)
    check_float("cotangent", cotangent)
    if x.ndim < 3 or cotangent.ndim != x.ndim or cotangent.shape[0] != x.shape[0]:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and cotangent {tuple(cotangent.shape)}: "
            "(examples, channels, *space) and (examples, out, *positions) are needed"
        )
    check_count("groups", groups, 1)
    if x.shape[1] % groups:
        raise ValueError(f"groups is {groups}: it must divide x's {x.shape[1]} channels")
    _per_axis("kernel", tuple(kernel), x.ndim - 2, 1)
    xp = namespace(x, cotangent)
    channels, out = x.shape[1] // groups, cotangent.shape[1]
    W_like = xp.zeros((out, channels, *kernel), dtype=x.dtype, device=device(x))
    s, p, d = _geometry(W_like, stride, padding, dilation)
    _check_channels(x, W_like, groups)
    _check_cotangent(cotangent, W_like, x.shape[2:], s, p, d)
    sizes = cotangent.shape[2:]
    rows = (x.shape[0], groups, out // groups, math.prod(sizes))
    y_bar = xp.reshape(cotangent, rows)
    found = []
    for window in _windows(_pad(x, p, p), kernel, sizes, s, d):
        columns = xp.reshape(window, (x.shape[0], groups, channels, math.prod(sizes)))
        found.append(xp.sum(xp.matmul(y_bar, xp.matrix_transpose(columns)), axis=0))
    return xp.reshape(xp.stack(found, axis=-1), (out, channels, *kernel))


def spread_out(x: Array, *, stride: PerAxis) -> Array:
    r"""Put zeros between the entries along each axis of space.

    $$(x_1, x_2, x_3) \mapsto (x_1, 0, x_2, 0, x_3) \quad\text{for } s = 2$$

    Args:
        x: Shape (examples, channels, \*space), at least one entry along each axis of space.
        stride: s ≥ 1; s − 1 zeros stand between neighbours, none at the ends.

    Returns:
        An array of shape (examples, channels, \*((n − 1) s + 1)).

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `stride` does not fit.

    Example:
        >>> import numpy as np
        >>> spread_out(np.asarray([[[1.0, 2.0, 3.0]]]), stride=2)
        array([[[1., 0., 2., 0., 3.]]])
    """
    check_float("x", x)
    xp = namespace(x)
    for axis, s in enumerate(_per_axis("stride", stride, x.ndim - 2, 1), start=2):
        if s == 1:
            continue
        zeros = [xp.zeros_like(x)] * (s - 1)
        wide = xp.stack([x, *zeros], axis=axis + 1)
        shape = (*x.shape[:axis], x.shape[axis] * s, *x.shape[axis + 1 :])
        last = (slice(None),) * axis + (slice(0, shape[axis] - s + 1),)
        x = xp.reshape(wide, shape)[(*last, ...)]
    return x


def _per_axis(name: str, value: PerAxis, axes: int, low: int) -> tuple[int, ...]:
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes:
        raise ValueError(f"{name} is {values}: one number, or one for each of {axes} axes, fits")
    for v in values:
        check_between(name, v, low, math.inf, closed="left")
    return values


def _geometry(
    W: Array, stride: PerAxis, padding: PerAxis, dilation: PerAxis
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    check_float("W", W)
    if W.ndim < 3 or 0 in W.shape:
        raise ValueError(f"W has shape {tuple(W.shape)}: (out, channels / groups, *kernel) fits")
    axes = W.ndim - 2
    return (
        _per_axis("stride", stride, axes, 1),
        _per_axis("padding", padding, axes, 0),
        _per_axis("dilation", dilation, axes, 1),
    )


def _check_groups(W: Array, groups: int) -> None:
    check_count("groups", groups, 1)
    if W.shape[0] % groups:
        raise ValueError(f"groups is {groups}: it must divide W's {W.shape[0]} outputs")


def _check_channels(x: Array, W: Array, groups: int) -> None:
    _check_groups(W, groups)
    if x.ndim != W.ndim or x.shape[1] != W.shape[1] * groups:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and W {tuple(W.shape)}: (examples, channels, *space) "
            f"and (out, channels / {groups}, *kernel) fit {groups} groups"
        )


def _check_cotangent(
    cotangent: Array,
    W: Array,
    size: Sequence[int],
    s: Sequence[int],
    p: Sequence[int],
    d: Sequence[int],
) -> None:
    if len(size) != W.ndim - 2:
        raise ValueError(f"size is {tuple(size)}: one number for each of {W.ndim - 2} axes fits")
    sizes = [
        output_size(n, k, stride=si, padding=pi, dilation=di)
        for n, k, si, pi, di in zip(size, W.shape[2:], s, p, d, strict=True)
    ]
    if tuple(cotangent.shape[1:]) != (W.shape[0], *sizes):
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: (examples, {W.shape[0]}, "
            f"{', '.join(map(str, sizes))}), that of the outputs, is needed"
        )


def _pad(x: Array, before: Sequence[int], after: Sequence[int]) -> Array:
    """Add zeros at the ends of the axes of space; a negative number cuts entries off.

    It may cut off all entries, and zeros that were added at the other end.
    """
    xp = namespace(x)
    for axis, (lo, hi) in enumerate(zip(before, after, strict=True), start=2):
        ends = [
            xp.zeros(
                (*x.shape[:axis], max(n, 0), *x.shape[axis + 1 :]), dtype=x.dtype, device=device(x)
            )
            for n in (lo, hi)
        ]
        if lo > 0 or hi > 0:
            x = xp.concat([ends[0], x, ends[1]], axis=axis)
        cut = slice(max(-lo, 0), x.shape[axis] - max(-hi, 0))
        x = x[(*((slice(None),) * axis), cut, ...)]
    return x


def _windows(
    padded: Array, kernel: Sequence[int], sizes: Sequence[int], s: Sequence[int], d: Sequence[int]
) -> Iterator[Array]:
    """Yield what each entry of the kernel sees, in the order of the kernel's memory."""
    for offset in product(*map(range, kernel)):
        slices = tuple(
            slice(k * di, k * di + (m - 1) * si + 1, si)
            for k, di, m, si in zip(offset, d, sizes, s, strict=True)
        )
        yield padded[(slice(None), slice(None), *slices)]

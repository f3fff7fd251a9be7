r"""Contrastive losses of images and texts: CLIP's softmax over a batch, SigLIP's pairs one by one.

Row i of a matrix of logits is image i, column j text j; what belongs together stands on the
diagonal. The logits are cosines divided by a temperature τ, for SigLIP with a bias added.
"""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    device,
    namespace,
    norm,
    widen,
)
from dlkb.losses.cross_entropy import (
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_vjp,
    cross_entropy,
    cross_entropy_vjp,
)


class Embeddings(NamedTuple):
    """Arrays of images, shape (..., N, d), and of texts, (..., M, d)."""

    images: Array
    texts: Array


def cosines(images: Array, texts: Array) -> Array:
    r"""Return the cosine of the angle between each image and each text.

    $$c_{ij} = \frac{\mathbf{x}_i\cdot\mathbf{y}_j}{\lVert\mathbf{x}_i\rVert\,
      \lVert\mathbf{y}_j\rVert}$$

    Args:
        images: Embeddings of images, one a row, shape (..., N, d).
        texts: Embeddings of texts, shape (..., M, d).

    Returns:
        Shape (..., N, M), entries in [−1, 1] up to rounding; 0 for a vector of zeros.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit.

    Note:
        Differs from CLIP's own code and Transformers', where a vector of zeros gives NaN.

    Example:
        >>> import numpy as np
        >>> y = np.asarray([[10.0, 0.0], [-3.0, -4.0]])
        >>> cosines(np.asarray([[3.0, 4.0]]), y)
        array([[ 0.6, -1. ]])
    """
    _check_embeddings(images, texts)
    xp = namespace(images, texts)
    found = xp.matmul(_unit(images)[0], xp.matrix_transpose(_unit(texts)[0]))
    return xp.astype(found, images.dtype, copy=False)


def cosines_vjp(images: Array, texts: Array, cotangent: Array) -> Embeddings:
    r"""Return the gradient of `cosines`: what would change a vector's length is taken out.

    $$\bar{\mathbf{x}}_i = \frac{1}{\lVert\mathbf{x}_i\rVert}\,(\mathbf{I} -
      \mathbf{u}_i\mathbf{u}_i^\top)\sum_j \bar c_{ij}\,\mathbf{v}_j$$

    u and v are images and texts of length 1.

    Args:
        images: As for `cosines`.
        texts: As for `cosines`.
        cotangent: Gradient of the cosines, shape (..., N, M).

    Returns:
        Two arrays like `images` and `texts`; 0 for a vector of zeros, where there is no gradient.

    Raises:
        TypeError, ValueError: As for `cosines`.

    Example:
        >>> import numpy as np
        >>> x, y = np.asarray([[2.0, 0.0]]), np.asarray([[0.0, 1.0]])
        >>> cosines_vjp(x, y, np.ones((1, 1))).images
        array([[0. , 0.5]])
    """
    _check_embeddings(images, texts)
    check_float("cotangent", cotangent)
    shape = (*images.shape[:-1], texts.shape[-2])
    if tuple(cotangent.shape) != shape:
        raise ValueError(f"cotangent has shape {tuple(cotangent.shape)}: it must be {shape}")
    xp = namespace(images, texts, cotangent)
    g = widen(cotangent)
    (u, lengths), (v, widths) = _unit(images), _unit(texts)
    of_images = _across(u, xp.matmul(g, v)) / lengths
    of_texts = _across(v, xp.matmul(xp.matrix_transpose(g), u)) / widths
    pairs = ((of_images, images), (of_texts, texts))
    return Embeddings(*(xp.astype(grad, x.dtype, copy=False) for grad, x in pairs))


def clip_loss(logits: Array) -> Array:
    r"""Return CLIP's loss: the mean cross entropy of finding the text, and of finding the image.

    $$L = \frac{1}{2N}\sum_{i=1}^{N}\Bigl(\log\sum_{j=1}^{N} e^{s_{ij}} +
      \log\sum_{j=1}^{N} e^{s_{ji}} - 2\,s_{ii}\Bigr)$$

    Args:
        logits: s, cosines / τ, shape (..., N, N), N ≥ 1. Row and column i belong together.

    Returns:
        Losses in nats, shape (...); log N where all logits are equal.

    Raises:
        TypeError: If `logits` is not floating-point.
        ValueError: If it is not square, or empty.

    Reference:
        Radford et al. (2021).

    Example:
        >>> import numpy as np
        >>> clip_loss(np.zeros((4, 4))).round(4), clip_loss(50 * np.eye(4)).round(4)
        (np.float64(1.3863), np.float64(0.0))
    """
    _check_square(logits)
    xp = namespace(logits)
    s, labels = widen(logits), _labels(logits)
    losses = cross_entropy(s, labels, reduction="none")
    losses = losses + cross_entropy(xp.matrix_transpose(s), labels, reduction="none")
    return xp.astype(xp.mean(losses, axis=-1) / 2, logits.dtype, copy=False)


def clip_loss_vjp(logits: Array, cotangent: Array) -> Array:
    r"""Return the gradient of `clip_loss` by the logits.

    $$\frac{\partial L}{\partial s_{ij}} = \frac{1}{N}\Bigl(\frac{P_{ij} + Q_{ij}}{2}
      - \delta_{ij}\Bigr)$$

    P is the softmax over each row, Q over each column. Times s and summed it is the gradient by
    log 1/τ.

    Args:
        logits: As for `clip_loss`.
        cotangent: Gradient by the losses, shape (...).

    Returns:
        An array like `logits`, which sums to 0 over each matrix.

    Raises:
        TypeError, ValueError: As for `clip_loss`.

    Example:
        >>> import numpy as np
        >>> clip_loss_vjp(np.zeros((2, 2)), np.asarray(1.0))
        array([[-0.25,  0.25],
               [ 0.25, -0.25]])
    """
    _check_square(logits)
    xp = namespace(logits, cotangent)
    each, labels = _each(logits, cotangent), _labels(logits)
    s = widen(logits)
    weight = xp.broadcast_to(each[..., None] / (2 * s.shape[-1]), s.shape[:-1])
    by_rows = cross_entropy_vjp(s, labels, weight, reduction="none")
    by_columns = cross_entropy_vjp(xp.matrix_transpose(s), labels, weight, reduction="none")
    grad = by_rows + xp.matrix_transpose(by_columns)
    return xp.astype(grad, logits.dtype, copy=False)


def siglip_loss(logits: Array) -> Array:
    r"""Return SigLIP's loss: each pair alone, whether it belongs together.

    $$L = \frac{1}{N}\sum_{i=1}^{N}\sum_{j=1}^{N}\log\bigl(1 + e^{-z_{ij}\,s_{ij}}\bigr)$$

    z is 1 on the diagonal and −1 beside it.

    Args:
        logits: s, cosines / τ + b, shape (..., N, N), N ≥ 1.

    Returns:
        Losses in nats, shape (...): a mean over the images of sums over the texts.

    Raises:
        TypeError: If `logits` is not floating-point.
        ValueError: If it is not square, or empty.

    Reference:
        Zhai et al. (2023).

    Example:
        >>> import numpy as np
        >>> siglip_loss(np.zeros((4, 4))).round(4)  # 4 log 2
        np.float64(2.7726)
    """
    _check_square(logits)
    xp = namespace(logits)
    s = widen(logits)
    losses = binary_cross_entropy_with_logits(s, _pairs(s), reduction="none")
    return xp.astype(xp.mean(xp.sum(losses, axis=-1), axis=-1), logits.dtype, copy=False)


def siglip_loss_vjp(logits: Array, cotangent: Array) -> Array:
    r"""Return the gradient of `siglip_loss` by the logits, which is that by the bias if summed.

    $$\frac{\partial L}{\partial s_{ij}} = \frac{1}{N}\,\bigl(\sigma(s_{ij}) - \delta_{ij}\bigr)$$

    Args:
        logits: As for `siglip_loss`.
        cotangent: Gradient by the losses, shape (...).

    Returns:
        An array like `logits`.

    Raises:
        TypeError, ValueError: As for `siglip_loss`.

    Example:
        >>> import numpy as np
        >>> siglip_loss_vjp(np.zeros((2, 2)), np.asarray(1.0))
        array([[-0.25,  0.25],
               [ 0.25, -0.25]])
    """
    _check_square(logits)
    xp = namespace(logits, cotangent)
    each, s = _each(logits, cotangent), widen(logits)
    weight = xp.broadcast_to(each[..., None, None] / s.shape[-1], s.shape)
    grad = binary_cross_entropy_with_logits_vjp(s, _pairs(s), weight, reduction="none")
    return xp.astype(grad, logits.dtype, copy=False)


def loss_floor(*, batch: int, temperature: float) -> float:
    r"""Return the least `clip_loss` that embeddings of any width can have at a temperature.

    $$L \ge \log\Bigl(1 + (N-1)\,\exp\frac{-N}{(N-1)\,\tau}\Bigr)$$

    Reached where each pair agrees and all others have the cosine −1/(N − 1), for which N − 1
    dimensions are needed.

    Args:
        batch: N ≥ 2.
        temperature: τ > 0.

    Returns:
        A loss in nats; a batch at chance has log N.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> round(loss_floor(batch=32_768, temperature=1.0), 2)  # of log N = 10.4
        9.4
    """
    check_count("batch", batch, 2)
    check_between("temperature", temperature, 0, math.inf, closed="neither")
    return math.log1p((batch - 1) * math.exp(-batch / (batch - 1) / temperature))


def _unit(x: Array) -> tuple[Array, Array]:
    """Return vectors of length 1, and the lengths, with 1 in the place of 0."""
    xp = namespace(x)
    wide = widen(x)
    length = norm(wide, axis=-1, keepdims=True)
    length = xp.where(length == 0, xp.ones_like(length), length)
    return wide / length, length


def _across(unit: Array, g: Array) -> Array:
    xp = namespace(unit)
    along = xp.sum(unit * g, axis=-1, keepdims=True)
    some = xp.any(unit != 0, axis=-1, keepdims=True)
    return xp.where(some, g - along * unit, xp.zeros_like(g))


def _labels(logits: Array) -> Array:
    xp = namespace(logits)
    n = logits.shape[-1]
    return xp.broadcast_to(xp.arange(n, dtype=xp.int32, device=device(logits)), logits.shape[:-1])


def _pairs(s: Array) -> Array:
    xp = namespace(s)
    return xp.broadcast_to(xp.eye(s.shape[-1], dtype=s.dtype, device=device(s)), s.shape)


def _each(logits: Array, cotangent: Array) -> Array:
    check_float("cotangent", cotangent)
    shape = tuple(logits.shape[:-2])
    if tuple(cotangent.shape) != shape:
        raise ValueError(f"cotangent has shape {tuple(cotangent.shape)}: it must be {shape}")
    return widen(cotangent)


def _check_square(logits: Array) -> None:
    check_float("logits", logits)
    if logits.ndim < 2 or logits.shape[-1] != logits.shape[-2] or logits.shape[-1] == 0:
        raise ValueError(f"logits has shape {tuple(logits.shape)}: (..., N, N), N ≥ 1, is needed")


def _check_embeddings(images: Array, texts: Array) -> None:
    check_float("images", images)
    check_float("texts", texts)
    a, b = tuple(images.shape), tuple(texts.shape)
    if min(len(a), len(b)) < 2 or (*a[:-2], a[-1]) != (*b[:-2], b[-1]):
        raise ValueError(f"images has shape {a} and texts {b}: (..., N, d) and (..., M, d) fit")

"""Images of two digits and their names in words, aligned by a contrastive loss.

Of the hundred pairs of digits a fifth is kept from training. Whether a network names these, too,
tells whether it learned what the names are made of.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlkb.arrays import check_between, check_count
from dlkb.experiments.digits import digits
from dlkb.optimizers.adam import adam, adam_init
from dlkb.vision.clip import clip_loss, cosines, siglip_loss

Array = NDArray[Any]
LOSSES = {"clip": clip_loss, "siglip": siglip_loss}
PAIRS = 100
TESTED = 500
HIDDEN = 64


class Aligned(NamedTuple):
    """What training came to, for each of the seeds.

    Attributes:
        loss: Of each step's batch, shape (seeds, steps).
        temperature: At the end, shape (seeds,).
        seen: Share of new images whose pair is named rightly out of all hundred, of the pairs that
            were in training, shape (seeds,).
        unseen: The same of the pairs that were not.
        cosines: Mean cosine of the images of each pair with each name, shape (seeds, 100, 100); 0
            in the row of a pair of which no image was drawn.
    """

    loss: Array
    temperature: Array
    seen: Array
    unseen: Array
    cosines: Array


def kept_out(first: Array, second: Array) -> Array:
    """Return which pairs of digits are kept from training: 20 of 100, of each digit two a place.

    Args:
        first: Digits on the left, integers.
        second: Digits on the right.

    Returns:
        Booleans: whether the second is by 3 or by 7 above the first, modulo 10.

    Example:
        >>> import numpy as np
        >>> kept_out(np.asarray([0, 0, 9]), np.asarray([3, 4, 2]))
        array([ True, False,  True])
    """
    found: Array = np.isin((second - first) % 10, (3, 7))
    return found


def align(
    *,
    loss: str = "clip",
    temperature: float = 0.07,
    learned: bool = True,
    batch: int = 64,
    steps: int = 100,
    width: int = 16,
    lr: float = 0.02,
    seeds: int = 10,
    seed: int = 0,
) -> Aligned:
    """Train two small encoders, of images and of names, and name new images.

    The image's is a network with one hidden layer of 64 units; a name's embedding is the sum of a
    vector for its first word and one for its second. Adam trains all at once.

    Args:
        loss: "clip" or "siglip"; the latter learns a bias, too, from −10 on.
        temperature: τ > 0 at the start.
        learned: Whether τ is learned, as log 1/τ, from the first step on at most log 100.
        batch: Pairs in a step, ≥ 2.
        steps: Steps ≥ 1.
        width: Entries of an embedding, ≥ 1.
        lr: Learning rate.
        seeds: How many networks, side by side.
        seed: Network s takes weights, images and batches from `seed + s`.

    Returns:
        Curves and results, as NumPy arrays.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> result = align(steps=3, batch=8, seeds=2)
        >>> result.loss.shape, result.unseen.shape
        ((2, 3), (2,))
    """
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}: it must be one of {sorted(LOSSES)}")
    check_between("temperature", temperature, 0, np.inf, closed="neither")
    for name, value, low in (("batch", batch, 2), ("steps", steps, 1), ("seeds", seeds, 1)):
        check_between(name, value, low, np.inf, closed="left")
    check_count("width", width, 1)
    data = digits(train=1200, seeds=seeds, seed=seed, dtype="float32")
    rngs = [np.random.default_rng([3, seed + s]) for s in range(seeds)]
    shapes = {"first": (128, HIDDEN), "second": (HIDDEN, width), "words": (20, width)}
    gains = {"first": (2 / 128) ** 0.5, "second": HIDDEN**-0.5, "words": 1.0}
    rows = [
        np.concatenate([(gains[k] * r.normal(size=shapes[k])).ravel() for k in shapes])
        for r in rngs
    ]
    start = [-np.log(temperature), -10.0 if loss == "siglip" else 0.0]
    theta = torch.tensor(
        np.stack([np.append(row, start) for row in rows]), dtype=torch.float32
    ).requires_grad_()
    still = torch.ones(theta.shape[1])
    still[-2] = float(learned)
    still[-1] = float(loss == "siglip")
    left, right = _batches(data.y_train, rngs, batch * steps, kept=False)
    state, losses = adam_init(theta)._replace(step=0), []
    for step in range(steps):
        now = slice(step * batch, (step + 1) * batch)
        images = _images(theta, data.x_train, left[:, now], right[:, now], width)
        first, second = (_labels(data.y_train, at[:, now]) for at in (left, right))
        names = _names(theta, first, second, width)
        logits = cosines(images, names) * theta[:, -2, None, None].exp()
        value = LOSSES[loss](logits + theta[:, -1, None, None])
        (grad,) = torch.autograd.grad(value.sum(), theta)
        new, state = adam(theta.detach(), grad * still, state, lr=lr)
        if learned:
            new[:, -2] = new[:, -2].clamp(max=float(np.log(100)))
        theta = new.requires_grad_()
        losses.append(value.detach())
    with torch.no_grad():
        scale = theta[:, -2].exp().reciprocal()
        seen, unseen, table = _name_all(theta, data.x_test, data.y_test, rngs, width)
    return Aligned(torch.stack(losses, 1).numpy(), scale.numpy(), seen, unseen, table)


def _batches(
    labels: Array, rngs: list[np.random.Generator], count: int, *, kept: bool
) -> tuple[Array, Array]:
    """Draw which images stand left and right, shape (seeds, count), of pairs kept out or not."""
    rows = []
    for y, rng in zip(labels, rngs, strict=True):
        drawn = np.empty((2, 0), dtype=np.int64)
        while drawn.shape[1] < count:  # twice for a small count alone
            new = rng.integers(0, len(y), (2, 20 * count if kept else 2 * count))
            drawn = np.concatenate([drawn, new[:, kept_out(*y[new]) == kept]], axis=1)
        rows.append(drawn[:, :count])
    left, right = np.stack(rows, axis=1)
    return left, right


def _labels(labels: Array, at: Array) -> Tensor:
    return torch.tensor(np.take_along_axis(labels, at, 1))


def _parts(theta: Tensor, width: int) -> list[Tensor]:
    shapes = ((128, HIDDEN), (HIDDEN, width), (20, width))
    sizes = [a * b for a, b in shapes]
    parts = theta[:, :-2].split(sizes, dim=1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]


def _images(theta: Tensor, pixels: Array, left: Array, right: Array, width: int) -> Tensor:
    own = np.arange(len(theta))[:, None]
    both = torch.tensor(np.concatenate([pixels[own, left], pixels[own, right]], axis=-1))
    first, second, _ = _parts(theta, width)
    return torch.bmm(torch.relu(torch.bmm(both, first)), second)


def _names(theta: Tensor, left: Tensor, right: Tensor, width: int) -> Tensor:
    words = _parts(theta, width)[2]
    at = torch.stack([left, right + 10], -1)
    rows = torch.gather(words, 1, at.flatten(1)[..., None].expand(-1, -1, width))
    return rows.unflatten(1, (-1, 2)).sum(2)


def _name_all(
    theta: Tensor, pixels: Array, labels: Array, rngs: list[np.random.Generator], width: int
) -> tuple[Array, Array, Array]:
    seeds = len(theta)
    pairs = torch.arange(PAIRS).expand(seeds, -1)
    names = _names(theta, pairs // 10, pairs % 10, width)
    shares, sums, counts = [], np.zeros((seeds, PAIRS, PAIRS)), np.zeros((seeds, PAIRS, 1))
    for kept in (False, True):
        left, right = _batches(labels, rngs, TESTED, kept=kept)
        found = cosines(_images(theta, pixels, left, right, width), names).numpy()
        truth = 10 * np.take_along_axis(labels, left, 1) + np.take_along_axis(labels, right, 1)
        shares.append((found.argmax(-1) == truth).mean(1))
        for s in range(seeds):
            np.add.at(sums[s], truth[s], found[s])
            np.add.at(counts[s], truth[s], 1)
    return shares[0], shares[1], sums / np.maximum(counts, 1)

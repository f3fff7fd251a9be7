"""Cures for overfitting, tried one by one on few images of the digits 0 to 4.

The digits 5 to 9 are another task of the same kind, to start from.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlkb.arrays import check_between, check_count
from dlkb.experiments.digits import Split, all_digits
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import adam_rule
from dlkb.experiments.scores import evaluate
from dlkb.experiments.training import train

Array = NDArray[Any]


class Cures(NamedTuple):
    """What the networks score on true labels, by cure, "none" first, each of shape (seeds,).

    Attributes:
        loss: Test loss.
        accuracy: Test accuracy.
        shifted: Test loss on images that are shifted by a pixel.
    """

    loss: dict[str, Array]
    accuracy: dict[str, Array]
    shifted: dict[str, Array]


SHIFTS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def shift(images: Array, down: int, right: int) -> Array:
    """Shift images of 8 by 8 pixels by up to one pixel; what comes in is black.

    Args:
        images: Shape (..., 64).
        down: Pixels downwards, −1, 0 or 1.
        right: Pixels to the right, −1, 0 or 1.

    Returns:
        An array like `images`.

    Example:
        >>> shift(np.arange(64.0), 0, 1)[:9]
        array([0., 0., 1., 2., 3., 4., 5., 6., 0.])
    """
    square = images.reshape(*images.shape[:-1], 8, 8)
    padded = np.pad(square, [(0, 0)] * (square.ndim - 2) + [(1, 1)] * 2)
    return padded[..., 1 - down : 9 - down, 1 - right : 9 - right].reshape(images.shape)


def _split(images: int, noise: float, seeds: int, *, low: bool = True) -> Split:
    """Return digits 0 … 4, or 5 … 9 under the labels 0 … 4, a split for each seed."""
    x, y = all_digits()
    splits = []
    for s in range(seeds):
        rng = np.random.default_rng(s)
        order = rng.permutation(np.flatnonzero((y < 5) == low))
        test, fit = order[:300], order[300 : 300 + images]
        labels = np.where(rng.random(images) < noise, rng.integers(0, 5, images), y[fit] % 5)
        splits.append((x[fit] / 16, labels, x[test] / 16, y[test] % 5))
    return Split(*(np.stack(part) for part in zip(*splits, strict=True)))


def try_cures(*, noise: float, images: int, steps: int = 100, seeds: int = 12) -> Cures:
    """Train 64-64-5 networks with each cure alone.

    Args:
        noise: Share of the training labels that are drawn anew, in [0, 1].
        images: Number of images to train on, 1 … 150.
        steps: Number of steps, all images in each.
        seeds: Number of networks, each with its own images.

    Returns:
        The scores at the end.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> scores = try_cures(noise=0.0, images=20, steps=30, seeds=3)
        >>> bool((scores.loss["4 × the data"] < scores.loss["none"]).all())
        True
    """
    check_between("noise", noise, 0, 1)
    check_count("images", images, 1, 150)
    data, more = _split(images, noise, seeds), _split(4 * images, noise, seeds)
    square = data.x_train.reshape(seeds, -1, 8, 8)
    moved = [data.x_train, *(shift(data.x_train, *by) for by in SHIFTS)]
    mirrored = [data.x_train, square[..., ::-1].reshape(data.x_train.shape)]
    wide, narrow = (draw((64, width, 5), seeds=seeds, dtype="float32") for width in (64, 4))
    rule = adam_rule(lr=0.02)
    others = train(wide, _split(500, 0.0, seeds, low=False), rule=rule, steps=60).networks
    decay = adam_rule(lr=0.02, weight_decay=2.0, decoupled=True)

    def grown(parts: list[Array]) -> Split:
        labels = np.concatenate([data.y_train] * len(parts), axis=1)
        return data._replace(x_train=np.concatenate(parts, axis=1), y_train=labels)

    runs = {
        "none": train(wide, data, rule=rule, steps=steps),
        "4 × the data": train(wide, more, rule=rule, steps=steps),
        "weight decay": train(wide, data, rule=decay, steps=steps),
        "dropout": train(wide, data, rule=rule, steps=steps, dropout=0.5),
        "shifted copies": train(wide, grown(moved), rule=rule, steps=steps),
        "mirrored copies": train(wide, grown(mirrored), rule=rule, steps=steps),
        "start from 5 … 9": train(others, data, rule=rule, steps=steps),
        "4 hidden units": train(narrow, data, rule=rule, steps=steps),
    }
    test = np.concatenate([shift(data.x_test, *by) for by in SHIFTS], axis=1)
    labels = np.concatenate([data.y_test] * len(SHIFTS), axis=1)
    scores = {name: evaluate(run.networks, test, labels) for name, run in runs.items()}
    return Cures(
        {name: run.test_loss[:, -1] for name, run in runs.items()},
        {name: run.test_accuracy[:, -1] for name, run in runs.items()},
        {name: score.loss for name, score in scores.items()},
    )

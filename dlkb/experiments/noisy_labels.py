"""Networks on digits of which a share of the labels is wrong: what is learnt when.

All labels that decide something, to train on and to stop by, are drawn alike; the test labels are
true.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlkb.arrays import check_count
from dlkb.experiments.digits import Split, digits
from dlkb.experiments.networks import Networks, draw, forward
from dlkb.experiments.rules import Rule
from dlkb.experiments.training import train

Array = NDArray[Any]


class Curves(NamedTuple):
    """What was measured before each step, each of shape (seeds, steps).

    Attributes:
        train_loss: Cross-entropy against the labels as given.
        val_loss: Likewise, on the validation images.
        test_loss: Against the true labels.
        val_accuracy: Against the labels as given.
        test_accuracy: Against the true labels.
        right: Share of the training images with a true label that get it.
        wrong: Share of the others that get their wrong label; NaN where there are none.
    """

    train_loss: Array
    val_loss: Array
    test_loss: Array
    val_accuracy: Array
    test_accuracy: Array
    right: Array
    wrong: Array


def follow(
    *,
    noise: float,
    images: int,
    rule: Rule,
    steps: int,
    hidden: int = 64,
    val: int = 100,
    test: int = 300,
    seeds: int = 12,
    seed: int = 0,
    dtype: str = "float32",
) -> Curves:
    """Train networks with one hidden layer on all images in each step, and measure on the way.

    Args:
        noise: Share of the training and validation labels that are drawn anew from all ten.
        images: Number of images to train on.
        rule: Update rule.
        steps: Number of steps, ≥ 1.
        hidden: Number of hidden units.
        val: Number of validation images.
        test: Number of test images.
        seeds: Number of networks, each with its own images.
        seed: Network s is that of `seed + s`.
        dtype: "float32" or "float64".

    Returns:
        The curves.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> from dlkb.experiments.rules import adam_rule
        >>> curves = follow(noise=0.4, images=100, rule=adam_rule(lr=0.03), steps=60)
        >>> curves.val_loss.shape
        (12, 60)
        >>> bool((curves.wrong[:, -1] > 0.9).all())
        True
    """
    check_count("steps", steps, 1)
    split = partial(digits, train=images + val, test=test, seeds=seeds, seed=seed, dtype=dtype)
    data = split(noise=noise)
    true = torch.tensor((data.y_train == split().y_train)[:, :images])
    x = torch.tensor(np.concatenate([data.x_train, data.x_test], axis=1))
    y = torch.tensor(np.concatenate([data.y_train, data.y_test], axis=1))
    parts = [images, val, test]

    def measure(networks: Networks, _: Tensor) -> Tensor:
        outputs = forward(networks, x)[-1]
        losses = torch.nn.functional.cross_entropy(outputs.mT, y, reduction="none")
        hits = (outputs.argmax(-1) == y).to(losses.dtype)
        _, val_hits, test_hits = hits.split(parts, dim=1)
        means = [part.mean(1) for part in (*losses.split(parts, dim=1), val_hits, test_hits)]
        shares = [(hits[:, :images] * some).sum(1) / some.sum(1) for some in (true, ~true)]
        return torch.stack(means + shares, dim=1)

    fit = Split(data.x_train[:, :images], data.y_train[:, :images], data.x_test, data.y_test)
    networks = draw((64, hidden, 10), seeds=seeds, seed=seed, dtype=dtype)
    watched = train(networks, fit, rule=rule, steps=steps, watch=measure).watched
    assert watched is not None
    return Curves(*np.moveaxis(watched, 2, 0))

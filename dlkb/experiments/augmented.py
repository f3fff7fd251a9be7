"""The digits, changed in ways that keep their label or do not, and what a classifier makes of them.

The classifier is kernel ridge regression on one-hot targets, solved exactly: no number of steps has
a say in which change helps.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlkb.arrays import check_count
from dlkb.experiments.digits import Split
from dlkb.regularization.augmentation import rotation_grid, shift_grid, warp
from dlkb.regularization.mixing import cut_box, cut_mix, kept_area, mix

Kind = Literal["shift", "rotate", "turn", "mirror", "noise", "mixup", "cutmix"]
KINDS: tuple[Kind, ...] = ("shift", "rotate", "turn", "mirror", "noise", "mixup", "cutmix")
"""By up to 0.7 pixels; by up to 15 degrees; by any angle; left and right exchanged with probability
1/2; noise of standard deviation 0.1; mixed with a random digit, now and then itself; with a box of
such a digit."""
SIZE = 8

Array = NDArray[Any]


def change(
    images: Array, targets: Array, *, kind: Kind, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Change each image on its own draw.

    Args:
        images: `(examples, 64)`.
        targets: Rows of probabilities, `(examples, 10)`.
        kind: One of `KINDS`.
        generator: The source of randomness; it advances.

    Returns:
        Images and targets. The targets are those that were given, or mixed as the images are.

    Raises:
        ValueError: If `kind` is not known.

    Example:
        >>> import numpy as np
        >>> rng, images = np.random.default_rng(0), np.tile(np.arange(64.0), (2, 1))
        >>> mirrored, _ = change(images, np.eye(10)[:2], kind="mirror", generator=rng)
        >>> mirrored[:, :8]
        array([[0., 1., 2., 3., 4., 5., 6., 7.],
               [7., 6., 5., 4., 3., 2., 1., 0.]])
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: it must be one of {', '.join(KINDS)}")
    square, count = images.reshape(-1, SIZE, SIZE), len(images)
    if kind == "noise":
        return images + 0.1 * generator.normal(size=images.shape), targets
    if kind in ("shift", "rotate", "turn", "mirror"):
        return _moved(square, kind, generator).reshape(images.shape), targets
    partner, weight = generator.permutation(count), generator.beta(1, 1, size=count)
    if kind == "mixup":
        mixed = mix(images, images[partner], weight)
    else:
        row, column = generator.integers(0, SIZE, size=(2, count)).astype(float)
        box = cut_box(row, column, weight, height=SIZE, width=SIZE)
        mixed = cut_mix(square, square[partner], box).reshape(images.shape)
        weight = kept_area(box, height=SIZE, width=SIZE)
    return mixed, mix(targets, targets[partner], weight)


def _moved(square: Array, kind: Kind, generator: np.random.Generator) -> Array:
    count = len(square)
    if kind == "mirror":
        flipped = generator.random(count) < 0.5
        return np.where(flipped[:, None, None], square[..., ::-1], square)
    if kind == "shift":
        down, right = generator.uniform(-0.7, 0.7, size=(2, count))
        return np.asarray(warp(square, shift_grid(square, down=down, right=right)))
    most = np.pi / 12 if kind == "rotate" else np.pi
    angle = generator.uniform(-most, most, size=count)
    return np.asarray(warp(square, rotation_grid(square, angle=angle)))


def classify(
    data: Split, *, kind: Kind | None = None, copies: int = 4, ridge: float = 0.03, seed: int = 0
) -> Array:
    """Train on digits and changed copies of them, and classify the test images.

    Args:
        data: One split, or one for each of several seeds.
        kind: One of `KINDS`, or None for the digits alone.
        copies: How many of each image, ≥ 1.
        ridge: Penalty of the regression, multiplied by `1 + copies` where there are copies: copies
            without a change then change nothing.
        seed: Decides the draws.

    Returns:
        Predicted labels, in the shape of the test labels.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> from dlkb.experiments.digits import digits
        >>> data = digits(train=200, test=500)
        >>> found = classify(data, kind="rotate")
        >>> bool((found == data.y_test).mean() > 0.9)
        True
    """
    check_count("copies", copies, 1)
    if data.x_train.ndim == 3:
        splits = [Split(*(part[s] for part in data)) for s in range(len(data.x_train))]
        options: dict[str, Any] = {"kind": kind, "copies": copies, "ridge": ridge}
        return np.stack([classify(one, **options, seed=seed + s) for s, one in enumerate(splits)])
    x, y = data.x_train, np.eye(10)[data.y_train]
    if kind is not None:
        rng = np.random.default_rng(seed)
        parts = [(x, y), *(change(x, y, kind=kind, generator=rng) for _ in range(copies))]
        x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
    penalty = ridge * len(x) / len(data.x_train)
    weights = np.linalg.solve(_kernel(x, x) + penalty * np.eye(len(x)), y)
    return np.asarray((_kernel(data.x_test, x) @ weights).argmax(-1))


def _kernel(a: Array, b: Array) -> Array:
    """Return a Gaussian of the distances, whose width is near that between digits."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.exp(-squares / 8))

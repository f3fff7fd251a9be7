"""The digits of scikit-learn, 1797 images of 8 by 8 pixels: split, relabelled, turned.

They are what this book trains on: real, small, and shipped with a package.
"""

from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlkb.arrays import check_between, check_count

IMAGES = 1797
"""How many images there are."""


class Split(NamedTuple):
    """Images and labels to train on and to test on.

    Attributes:
        x_train: Images, shape (train, 64), or (seeds, train, 64).
        y_train: Labels 0 … 9, shape (train,), or (seeds, train).
        x_test: Images that are not trained on, (test, 64), or (seeds, test, 64).
        y_test: Their labels, (test,), or (seeds, test).
    """

    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]


@cache
def all_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all images and labels, as `load_digits(return_X_y=True)` does.

    They are read from scikit-learn's file, since importing `sklearn.datasets` takes a second.

    Returns:
        Images of shape (1797, 64), pixels 0 … 16, and labels; neither can be written to.

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed.

    Example:
        >>> images, labels = all_digits()
        >>> images.shape, float(images.max()), labels[:5].tolist()
        ((1797, 64), 16.0, [0, 1, 2, 3, 4])
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("scikit-learn is not installed: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",")
    images, labels = table[:, :-1], table[:, -1].astype(np.int64)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def digits(
    *,
    train: int = 1200,
    test: int | None = None,
    noise: float = 0.0,
    scale: str = "unit",
    seeds: int | None = None,
    seed: int = 0,
    dtype: str = "float64",
) -> Split:
    """Return a random split of the digits, or one for each of several seeds.

    Args:
        train: Number of images to train on, 1 … 1796.
        test: Number of images to test on; by default all others.
        noise: Share of the training labels that are drawn anew from all ten. A tenth of these
            comes out right. Images and order do not depend on it: `noise=0` has the true labels.
        scale: "unit" for pixels in [0, 1]; "standard" for pixels whose mean is 0 and standard
            deviation 1 over all training images, one mean and one deviation for all pixels.
        seeds: None for one split. Otherwise the number of splits, stacked along a new first
            axis; entry s is the split of `seed + s`.
        seed: Decides the order of the images and the labels that are drawn.
        dtype: "float64" or "float32", of the images.

    Returns:
        NumPy arrays; `map(torch.tensor, digits())` makes tensors of them.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> x, y, x_test, y_test = digits(train=200, test=500)
        >>> x.shape, y.shape, x_test.shape, float(x.min()), float(x.max())
        ((200, 64), (200,), (500, 64), 0.0, 1.0)
        >>> noisy = digits(train=200, noise=0.4).y_train
        >>> float((noisy != y).mean())  # about nine tenths of 0.4
        0.37
        >>> digits(train=100, seeds=10).x_train.shape
        (10, 100, 64)
    """
    check_count("train", train, 1, IMAGES - 1)
    test = IMAGES - train if test is None else test
    check_count("test", test, 1, IMAGES - train)
    check_between("noise", noise, 0, 1)
    if scale not in ("unit", "standard"):
        raise ValueError(f'scale is {scale!r}: it must be "unit" or "standard"')
    if dtype not in ("float64", "float32"):
        raise ValueError(f'dtype is {dtype!r}: it must be "float64" or "float32"')
    if seeds is not None:
        check_count("seeds", seeds, 1)
        one = partial(digits, train=train, test=test, noise=noise, scale=scale, dtype=dtype)
        splits = [one(seed=seed + s) for s in range(seeds)]
        return Split(*(np.stack(part) for part in zip(*splits, strict=True)))
    images, labels = all_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(IMAGES)
    x, y = images[order] / 16, labels[order]
    if scale == "standard":
        x = (x - x[:train].mean()) / x[:train].std()
    x = x.astype(dtype)
    redrawn = np.where(rng.random(train) < noise, rng.integers(0, 10, train), y[:train])
    return Split(x[:train], redrawn, x[train : train + test], y[train : train + test])


def turned(images: NDArray[Any], *, quarters: int = 1) -> NDArray[Any]:
    """Return the images turned to the left, a new task on which a trained network fails.

    Args:
        images: Shape (..., 64).
        quarters: By how many quarters of a full turn, any integer.

    Returns:
        An array like `images`.

    Raises:
        ValueError: If the last axis has not 64 entries.

    Example:
        >>> import numpy as np
        >>> turned(np.arange(64.0))[:8]  # the right column is the top row
        array([ 7., 15., 23., 31., 39., 47., 55., 63.])
    """
    if images.shape[-1:] != (64,):
        raise ValueError(f"images has shape {images.shape}: its last axis must have 64 entries")
    square = images.reshape(*images.shape[:-1], 8, 8)
    return np.rot90(square, quarters, (-2, -1)).reshape(images.shape)

"""Figures of the page on augmentation."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.augmented import Kind, change, classify
from dlkb.experiments.digits import digits
from dlkb.regularization.augmentation import rotation_grid, warp
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]
SIZES = (20, 50, 100)
START = 1
SEEDS = 30  # of ten draws the shifts looked twice as good at 50 images as at 100
NAMES: dict[Kind, str] = {
    "shift": "shift up to 0.7 pixels",
    "rotate": "rotation up to 15°",
    "noise": "noise, σ = 0.1",
    "mixup": "mixup",
    "cutmix": "CutMix",
    "turn": "rotation by any angle",
    "mirror": "flip",
}


class Gains(NamedTuple):
    """Points of test accuracy that augmentation brings, one row a seed, one column a kind."""

    plain: float
    gain: Array


@kept
def gains_data(images: int) -> Gains:
    """Classify with and without changed copies, over seeds."""
    data = digits(train=images, test=500, seeds=SEEDS)

    def accuracy(kind: Kind | None) -> Array:
        return np.asarray(100 * (classify(data, kind=kind) == data.y_test).mean(1))

    plain = accuracy(None)
    gain = np.stack([accuracy(kind) - plain for kind in NAMES], axis=1)
    return Gains(float(plain.mean()), gain)


def bar(width: float, at: int) -> Array:
    """Return the corners of a horizontal bar."""
    low, high = at - 0.32, at + 0.32
    return np.asarray([[0.0, low], [width, low], [width, high], [0.0, high]])


def gains() -> Explorable:
    """Draw what each augmentation brings, for a number of images to train on."""
    figure, ax = plt.subplots(figsize=(6.8, 3.6))
    bars = []
    for at, _ in enumerate(NAMES):
        patch = Polygon(bar(0.0, at), closed=True, color="C0" if at < 5 else "C1", lw=0)
        bars.append(ax.add_patch(patch))
    dark = plt.rcParams["text.color"]
    spreads = [ax.plot([], [], color=dark, lw=1.5, gid=kind)[0] for kind in NAMES]
    ax.axvline(0, color=plt.rcParams["axes.edgecolor"], lw=1)
    ax.set(xlim=(-10, 6), ylim=(len(NAMES) - 0.4, -0.6), xlabel="gain in points of test accuracy")
    ax.set_yticks(range(len(NAMES)), list(NAMES.values()))

    def show(images: float) -> str:
        data = gains_data(int(images))
        for at, (patch, line) in enumerate(zip(bars, spreads, strict=True)):
            column = data.gain[:, at]
            patch.set_xy(bar(float(column.mean()), at))
            line.set_data(np.percentile(column, [25, 75]), [at, at])
        first, last = data.gain[:, 0], data.gain[:, -1]
        return (
            f"With {images:g} images, {data.plain:.0f} % are right. Shifts bring "
            f"{first.mean():+.1f} points, better in {(first > 0).sum()} of {SEEDS} draws; flips "
            f"{last.mean():+.1f}, better in {(last > 0).sum()}."
        )

    slider = Slider("images to train on", SIZES, START)
    return Explorable(figure, (slider,), (*bars, *spreads), show)


def gains_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    every = [gains_data(n) for n in SIZES]
    data, names = every[START], list(NAMES)
    mean = dict(zip(names, data.gain.mean(0), strict=True))
    return {
        f"Gain in test accuracy on digits, {SIZES[START]} images to train on": True,
        f"Small shifts bring {mean['shift']:+.1f} points": True,
        f"flips {mean['mirror']:+.1f}, rotations by any angle {mean['turn']:+.1f}": True,
        f"CutMix {mean['cutmix']:+.1f}": True,
        "the others change it less than shifts do": all(
            abs(mean[name]) < mean["shift"] for name in ("rotate", "noise", "mixup")
        ),
        "Small shifts keep the label and occur in use, and help; "
        "flips and turns harm, at each number of training images here": all(
            row.gain[:, 0].mean() > 0.5 and row.gain[:, -2:].mean(0).max() < 0 for row in every
        ),
        f"Kernel ridge regression: bars are means over {SEEDS} draws, lines reach from quartile to "
        "quartile": True,
    }


@kept
def changed_data() -> tuple[Array, Array, dict[str, Array]]:
    """Return a six, a three, and the six changed in each way."""
    data = digits(train=200)
    first, other = (int(np.flatnonzero(data.y_train == k)[0]) for k in (6, 3))
    pair, targets = data.x_train[[first, other]], np.eye(10)[[6, 3]]
    found: dict[str, Array] = {}
    for kind in NAMES:
        for seed in range(99):  # until the digit is flipped, or mixed and neither is hidden
            rng = np.random.default_rng(seed)
            images, rows = change(pair, targets, kind=kind, generator=rng)
            if kind not in ("mixup", "cutmix"):
                if not np.array_equal(images[0], pair[0]):
                    break
            elif 0.4 < rows[0, 6] < 0.7:
                break
        found[kind] = images[0].reshape(8, 8)
    found["turn"] = warp(
        pair[0].reshape(8, 8), rotation_grid(pair[0].reshape(8, 8), angle=np.asarray(np.pi))
    )
    return pair[0].reshape(8, 8), pair[1].reshape(8, 8), found


def changed() -> Figure:
    """Draw a six in eight ways, on one sheet: on phones panels would be stacked."""
    six, _, found = changed_data()
    figure, ax = plt.subplots(figsize=(6.4, 3.7))
    short = {"rotate": "rotation", "turn": "half a turn", "mirror": "flip"}
    rows = {"as it is": six} | {short.get(kind, kind): image for kind, image in found.items()}
    for at, (name, image) in enumerate(rows.items()):
        x, y = at % 4, -1.3 * (at // 4)
        place = (x + 0.04, x + 0.96, y + 0.04, y + 0.96)
        ax.imshow(image, cmap="gray", vmin=0, vmax=1, gid=name, extent=place)
        ax.text(x + 0.5, y + 1.0, name, ha="center", va="bottom")
    ax.set(xlim=(0, 4), ylim=(-1.3, 1.25))
    ax.set_axis_off()
    return figure


def changed_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    six, three, found = changed_data()
    both = np.stack([six.ravel(), three.ravel()], axis=1)
    weights, apart, *_ = np.linalg.lstsq(both, found["mixup"].ravel())
    from_three = (found["cutmix"] != six) & (found["cutmix"] == three)
    data = digits(train=1000, test=100)
    shown = np.stack([six, found["turn"]]).reshape(2, 64)
    labels = classify(data._replace(x_test=shown, y_test=np.asarray([6, 6])))
    return {
        "A six in eight ways": len(found) == 7,
        "Half a turn makes a nine of it": labels.tolist() == [6, 9],
        "mixup shows a three through it, CutMix a box of the three": bool(
            weights.min() > 0.2 and apart[0] < 1e-9 and from_three.sum() > 9
        ),
    }


class Turned(NamedTuple):
    """Shares, in percent, by angle in degrees.

    Attributes:
        angle: By which the test digits are turned.
        right: Of digits that a classifier gets right which has seen upright ones.
        nines: Of sixes that it calls nine.
        trained: Of digits that a classifier gets right which has seen all angles.
    """

    angle: Array
    right: Array
    nines: Array
    trained: Array


@kept
def turned_data() -> Turned:
    """Classify turned test digits, having seen upright ones, and having seen all angles."""
    data = digits(train=400, test=700)
    square = data.x_test.reshape(-1, 8, 8)
    angles = np.arange(0.0, 181.0, 15.0)
    turned = [
        warp(square, rotation_grid(square, angle=np.full(len(square), np.radians(angle))))
        for angle in angles
    ]
    everything = data._replace(x_test=np.concatenate(turned).reshape(-1, 64))
    upright, every = (
        classify(everything, kind=kind).reshape(len(angles), -1) for kind in (None, "turn")
    )
    nines = 100 * (upright[:, data.y_test == 6] == 9).mean(1)
    right, trained = (100 * (labels == data.y_test).mean(1) for labels in (upright, every))
    return Turned(angles, right, nines, trained)


def turned() -> Figure:
    """Draw what becomes of digits when they are turned."""
    data = turned_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    (right,) = ax.plot(data.angle, data.right, "o-", color="C0")
    (nines,) = ax.plot(data.angle, data.nines, "o-", color="C1")
    (trained,) = ax.plot(data.angle, data.trained, "o-", color="C2")
    label_line(ax, right, "right, trained upright", 3, offset=(8, 4))
    label_line(ax, trained, "right, trained on all angles", 6, offset=(0, -26), ha="center")
    label_line(ax, nines, "sixes called nine", 10, offset=(-8, 2), ha="right")
    ax.set(xlim=(-4, 184), ylim=(-3, 103), xlabel="turned by, degrees", ylabel="share in %")
    ax.set_xticks(range(0, 181, 30))
    return figure


def turned_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = turned_data()
    return {
        f"Trained on upright digits, {data.right[0]:.0f} % of upright ones are right": True,
        f"by 15 degrees {data.right[1]:.0f} %, by 90 degrees {data.right[6]:.0f} %": bool(
            data.angle[1] == 15 and data.angle[6] == 90
        ),
        f"upside down, {data.nines[-1]:.0f} % of the sixes are called nine": True,
        f"Trained on all angles, at least {np.floor(data.trained.min()):.0f} % are right": True,
        "A classifier that saw upright digits alone does not tell which turns keep the label": bool(
            data.right[2] < 70 and data.trained[2] > 80
        ),
        "one that has seen all angles reads most digits at each": bool(data.trained.min() > 70),
        "A six upside down is a nine all the same": bool(data.nines[-1] > 60),
    }

"""Figures of the page on metrics of generated images."""

import math
from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from dlkb.book.draw.kept import kept
from dlkb.vision.gan_metrics import (
    Moments,
    feature_moments,
    fid_bias,
    frechet_distance,
    kid,
)
from dlkb.vision.image_similarity import psnr, ssim
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

SIZES = np.asarray([50, 100, 200, 500, 1000, 2000])
FEATURES = (8, 16, 32, 64)
TRUTHS = (0.1, 0.5, 2.0, 10.0)
SEEDS = 10


class Bias(NamedTuple):
    """Distances of samples of two Gaussians with covariance I.

    Attributes:
        measured: Mean over seeds, at each of `SIZES`.
        law: The truth plus the leading term of the bias.
    """

    measured: Array
    law: Array


@kept
def _parts(features: int) -> tuple[Array, Array]:
    """Return the covariances' part of each distance, and the means' differences, by seed, size."""
    rest, apart = [], []
    for seed in range(SEEDS):
        x, y = np.random.default_rng(seed).normal(size=(2, SIZES[-1], features))
        pairs = [(feature_moments(x[:n]), feature_moments(y[:n])) for n in SIZES]
        zero = np.zeros(features)
        covs = [(Moments(zero, a.cov), Moments(zero, b.cov)) for a, b in pairs]
        rest.append([frechet_distance(*pair) for pair in covs])
        apart.append([a.mean - b.mean for a, b in pairs])
    return np.asarray(rest), np.asarray(apart)


@cache
def bias_data(features: int, truth: float) -> Bias:
    """Return what is measured where one mean lies √truth away, and what the law says."""
    rest, apart = _parts(features)
    shift = np.zeros(features)
    shift[0] = math.sqrt(truth)
    measured = (rest + ((apart + shift) ** 2).sum(-1)).mean(0)
    equal = np.ones(features)
    law = [truth + fid_bias(equal, first=int(n), second=int(n)) for n in SIZES]
    return Bias(measured, np.asarray(law))


def bias() -> Explorable:
    """Draw the measured distance against the size of both samples."""
    figure, ax = plt.subplots(figsize=(6.2, 2.5))
    (truth_line,) = ax.plot([], [], color="C2", linestyle="--", label="truth")
    (law,) = ax.plot([], [], color="C1", label="truth + bias, equation 2")
    (measured,) = ax.plot([], [], "o", color="C0", markersize=5, label="measured")
    ax.set(xscale="log", yscale="log", xlim=(45, 2300), ylim=(0.08, 90))
    ax.set(xlabel="images in each sample", ylabel="Fréchet distance")
    ax.legend(loc="upper right")

    def show(features: float, truth: float) -> str:
        data = bias_data(int(features), truth)
        truth_line.set_data(SIZES[[0, -1]], [truth, truth])
        law.set_data(SIZES, data.law)
        measured.set_data(SIZES, data.measured)
        first, last = data.measured[[1, -1]]
        return (
            f"From 100 images a distance of {first:.2f} is measured, from 2000 {last:.2f}; "
            f"the truth is {truth:g}."
        )

    sliders = (Slider("features", FEATURES, 2), Slider("true distance", TRUTHS, 1))
    return Explorable(figure, sliders, (truth_line, law, measured), show)


def bias_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = bias_data(FEATURES[2], TRUTHS[1])
    beyond = data.measured[1:] / data.law[1:]
    return {
        f"With {FEATURES[2]} features the measured distance falls from {data.measured[1]:.2f} "
        f"for 100 images to {data.measured[-1]:.2f} for 2000": bool(
            (np.diff(data.measured) < 0).all()
        ),
        f"The truth, {TRUTHS[1]}, is a dashed line below": bool((data.measured > TRUTHS[1]).all()),
        "Truth plus bias lies on the points from 100 images on": bool(
            (abs(beyond - 1) < 0.05).all()
        ),
        "Few images, many features: most of the distance is bias": bool(
            data.measured[1] > 10 * TRUTHS[1]
        ),
    }


@kept
def shapes_data() -> dict[str, Array]:
    """Return three sets of 400 points in the plane with mean 0 and covariance I."""
    rng = np.random.default_rng(0)
    drawn = {
        "normal": rng.normal(size=(400, 2)),
        "corners": rng.integers(0, 2, size=(400, 2)) * 2.0 - 1 + 0.1 * rng.normal(size=(400, 2)),
        "exponential": rng.exponential(size=(400, 2)),
    }
    found = {}
    for name, x in drawn.items():
        mean, cov = feature_moments(x)
        found[name] = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T).T
    return found


@kept
def shape_scores() -> dict[str, tuple[float, float]]:
    """Return the Fréchet and the kernel distance of each set from the normal one's law.

    The other set of the kernel distance is a second normal sample, of 2000 points.
    """
    rng = np.random.default_rng(1)
    other = rng.normal(size=(2000, 2))
    law = Moments(np.zeros(2), np.eye(2))
    return {
        name: (float(frechet_distance(feature_moments(x), law)), float(kid(x, other)))
        for name, x in shapes_data().items()
    }


def shapes() -> Figure:
    """Draw what the Fréchet distance takes for one distribution."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), sharex=True, sharey=True)
    for ax, (name, x) in zip(axes, shapes_data().items(), strict=True):
        fid, kernel = shape_scores()[name]
        ax.plot(*x.T, "o", color="C0", markersize=2, alpha=0.7, label=name)
        ax.set(title=f"{name}\nFID {abs(fid):.2f}, KID {kernel:.2f}")
        ax.set(xlim=(-4.4, 4.4), ylim=(-4.4, 4.4), aspect="equal", xticks=[-3, 0, 3])
        ax.set(yticks=[-3, 0, 3])
    axes[0].set_ylabel("feature 2")
    for ax in axes:
        ax.set_xlabel("feature 1")
    return figure


def shapes_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    scores = shape_scores()
    corners, skewed = scores["corners"], scores["exponential"]
    normal = scores["normal"]
    return {
        "Three clouds of points with equal mean and covariance: normal, four corners, and "
        "exponential": all(
            np.allclose(np.cov(x.T), np.eye(2)) and np.allclose(x.mean(0), 0)
            for x in shapes_data().values()
        ),
        "The Fréchet distance from the normal law is 0.00 for each": all(
            abs(fid) < 0.005 for fid, _ in scores.values()
        ),
        f"The kernel distance is {skewed[1]:.2f} for the exponential one, "
        f"{corners[1]:.2f} for the corners": bool(
            skewed[1] > 5 * max(abs(corners[1]), abs(normal[1]))
        ),
        "KID compares third moments, too; neither tells the corners from the normal cloud": bool(
            abs(corners[1]) < 0.1
        ),
    }


@kept
def photo(left: int = 240) -> Array:
    """Return a part of a photograph, (3, 96, 96), in [0, 1]."""
    image = load_sample_image("china.jpg")[150:246, left : left + 96]
    return np.asarray(image.transpose(2, 0, 1).astype(np.float64) / 255)


@kept
def distorted() -> dict[str, Array]:
    """Return the photograph shifted by a pixel, and changed by as large a squared error."""
    x = photo()
    moved = photo(239)
    rms = float(np.sqrt(((moved - x) ** 2).mean()))
    noise = np.random.default_rng(0).normal(size=x.shape)
    noise *= rms / np.sqrt((noise**2).mean())
    return {"brighter": x + rms, "noise": x + noise, "one pixel to the right": moved}


def distortions() -> Figure:
    """Draw the photograph and what one squared error can do to it."""
    figure, ax = plt.subplots(figsize=(6.4, 4.6))
    rows = {"as it is": photo()} | distorted()
    for at, (name, image) in enumerate(rows.items()):
        x, y = 1.1 * (at % 2), -1.35 * (at // 2)
        shown = np.clip(image, 0, 1).transpose(1, 2, 0)
        ax.imshow(shown, gid=name, extent=(x, x + 1, y, y + 1))
        scores = ""
        if at:
            ratio = psnr(image, photo(), data_range=1.0)
            scores = f"\n{ratio:.1f} dB, SSIM {ssim(image, photo(), data_range=1.0):.2f}"
        ax.text(x + 0.5, y + 1.02, name + scores, ha="center", va="bottom")
    ax.set(xlim=(0, 2.1), ylim=(-1.35, 1.3), aspect="equal")
    ax.set_axis_off()
    return figure


def distortions_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    ratios = [float(psnr(x, photo(), data_range=1.0)) for x in distorted().values()]
    bright, noisy, moved = (float(ssim(x, photo(), data_range=1.0)) for x in distorted().values())
    step = math.sqrt(float(((distorted()["brighter"] - photo()) ** 2).mean()))
    dark = float(ssim(0.1 * photo() + step, 0.1 * photo(), data_range=1.0))
    return {
        "A part of a photograph, and three changed copies": len(distorted()) == 3,
        f"All three have a PSNR of {ratios[0]:.1f} dB": bool(np.ptp(ratios) < 1e-9),
        f"SSIM is {bright:.2f} for the brighter one, {noisy:.2f} for the noisy one and "
        f"{moved:.2f} for the one moved by a pixel": True,
        "PSNR rates all alike": bool(np.ptp(ratios) < 1e-9),
        "SSIM forgives the brightness, unless the picture is dark; both punish a shift of one "
        "pixel": bool(bright > noisy and bright > moved + 0.1 and dark < moved),
    }

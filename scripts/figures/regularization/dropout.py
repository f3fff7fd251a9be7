"""Figures of the page on dropout."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import Split
from dlkb.experiments.digits import digits as split_digits
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import adam_rule
from dlkb.experiments.scores import cross_entropy, evaluate
from dlkb.experiments.training import train
from dlkb.regularization.dropout import (
    dropout,
    keep_mask,
    linear_moments,
    ridge_equivalent_solution,
)
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]


def mask_matrices() -> tuple[Array, Array]:
    """Return what multiplies a 12×16 weight matrix under dropout and under DropConnect, p = 1/2."""
    rng, like = np.random.default_rng(3), np.zeros((12, 16))
    units = keep_mask(like[0], p=0.5, generator=rng)
    connections = keep_mask(like, p=0.5, generator=rng)
    return dropout(like + 1, units, p=0.5), dropout(like + 1, connections, p=0.5)


def masks() -> Figure:
    """Draw which weights take part in one training step."""
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 2.9))
    titles = ("dropout: columns", "DropConnect: entries")
    for ax, matrix, title in zip(axes, mask_matrices(), titles, strict=True):
        ax.imshow(matrix, vmin=-0.6, vmax=2.6)
        ax.set(title=title, xlabel="input unit", ylabel="output unit", xticks=[], yticks=[])
        ax.grid(visible=False)
    return figure


def masks_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    units, connections = mask_matrices()
    columns = bool((units == units[0]).all())
    mixed = all(len(np.unique(line)) == 2 for line in (*connections, *connections.T))
    return {
        "Two weight matrices as images, of one shape": units.shape == connections.shape,
        "Left: whole columns are dark": columns,
        "Right: single entries are dark, scattered": mixed,
        "p = 1/2": bool(units.max() == connections.max() == 2),
        "Dropping an input unit removes a column of the next weight matrix": columns,
        "DropConnect removes single entries": mixed,
    }


class Paths(NamedTuple):
    """Weights of linear regression under dropout, `(len(p), d)`."""

    p: Array
    closed: Array
    sampled: Array


def path_data(copies: int = 2000) -> Paths:
    """Compare the closed form with least squares on many masked copies of the data."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 4)) * np.asarray([1.0, 1.0, 2.0, 0.5])
    X[:, 1] += 0.8 * X[:, 0]
    y = X @ np.asarray([1.5, -1.0, 0.5, 2.0]) + rng.normal(size=40)
    p = np.asarray([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    closed = np.stack([ridge_equivalent_solution(X, y, p=q) for q in p])
    stacked, targets = np.tile(X, (copies, 1)), np.tile(y, copies)
    sampled = []
    for q in p:
        masked = dropout(stacked, keep_mask(stacked, p=q, generator=rng), p=q)
        sampled.append(np.linalg.lstsq(masked, targets, rcond=None)[0])
    return Paths(p, closed, np.stack(sampled))


def ridge_paths() -> Figure:
    """Draw each weight against p, closed form and sampled."""
    data = path_data()
    figure, ax = plt.subplots()
    for j in range(data.closed.shape[1]):
        ax.plot(data.p, data.closed[:, j], color=f"C{j}", label=f"$w_{j + 1}$")
        ax.plot(data.p, data.sampled[:, j], "o", color=f"C{j}", ms=5, gid=f"sampled {j + 1}")
    ax.axhline(0, lw=0.8, color=plt.rcParams["axes.edgecolor"])
    ax.set(xlabel="p, probability of dropping an input", ylabel="weight")
    ax.legend(ncols=2)
    return figure


def ridge_paths_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = path_data()
    near = bool(np.abs(data.sampled - data.closed).max() < 0.05)
    return {
        "Four weights against p": data.closed.shape[1] == 4,
        "Dots from sampling lie on the lines of the closed form": near,
        "all go towards zero": bool(
            (np.diff(np.abs(data.closed), axis=0) < 0).all()
            and np.abs(data.closed[-1]).max() < 0.15
        ),
        "Linear regression under dropout of the inputs": near,
        "Lines: the closed form": near,
        "least squares on 2000 masked copies of the data": near,
    }


class Bands(NamedTuple):
    """A regression on the line and two kinds of spread around its prediction."""

    x: Array
    y: Array
    grid: Array
    mean: Array
    mc: Array
    refit: Array


def bumps(x: Array) -> Array:
    """Return 12 Gaussian features of points on the line, `(n, 12)`."""
    return np.exp(-0.5 * ((x[:, None] - np.linspace(-3, 3, 12)) / 0.6) ** 2)


@kept
def band_data(p: float, n: int, refits: int = 60) -> Bands:
    """Fit under dropout; compute the spread of MC dropout, and that over fresh data sets."""
    rng, grid = np.random.default_rng(0), np.linspace(-3, 3, 61)
    weights = []
    for _ in range(refits):
        x = rng.uniform(-3, 3, n)
        y = np.sin(2 * x) + 0.3 * rng.normal(size=n)
        weights.append(ridge_equivalent_solution(bumps(x), y, p=p))
    moments = linear_moments(bumps(grid), weights[-1], p=p)
    refit = np.std([bumps(grid) @ w for w in weights], axis=0)
    return Bands(x, y, grid, moments.mean, np.sqrt(moments.variance), refit)


def explore_bands() -> Explorable:
    """Draw the bands of MC dropout for any p and several sizes of the data set."""
    figure, ax = plt.subplots(figsize=(6.6, 3.9))
    line = np.linspace(-3, 3, 241)
    ax.plot(
        line, np.sin(2 * line), color=plt.rcParams["axes.edgecolor"], lw=1, ls="--", gid="truth"
    )
    (wide,) = ax.fill([0], [0], color="C0", alpha=0.3, lw=0, label="± 2 MC-dropout std")
    (narrow,) = ax.fill([0], [0], color="C1", alpha=0.7, lw=0, label="± 2 std over data sets")
    (mean,) = ax.plot([], [], color="C0", label="prediction")
    ax.set(xlim=(-3, 3), ylim=(-2.6, 2.6), xlabel="x", ylabel="y")
    figure.legend(loc="outside lower center", ncols=3)

    def show(p: float, n: float) -> str:
        data = band_data(p, int(n))
        mean.set_data(data.grid, data.mean)
        around = np.concatenate([data.grid, data.grid[::-1]])
        for band, spread in ((wide, data.mc), (narrow, data.refit)):
            low, high = data.mean - 2 * spread, data.mean + 2 * spread
            band.set_xy(np.stack([around, np.concatenate([low, high[::-1]])], axis=1))
        return (
            f"On average over x, the standard deviation of MC dropout is {data.mc.mean():.2f}; "
            f"that of the prediction over fresh data sets of {n:,.0f} examples is "
            f"{data.refit.mean():.2g}."
        )

    sliders = (
        Slider("dropout p", (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7), 3),
        Slider("examples", (30, 100, 500, 5000), 1, "{:,.0f}"),
    )
    return Explorable(figure, sliders, (wide, narrow, mean), show)


def explore_bands_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    rates, sizes = (slider.values for slider in explore_bands().sliders)
    here, truth = band_data(0.2, 100), np.sin(2 * band_data(0.2, 100).grid)
    widths = [[band_data(p, int(n)).mc.mean() for n in sizes] for p in rates]
    refits = [[band_data(p, int(n)).refit.mean() for n in sizes] for p in rates]
    heights = [np.abs(band_data(p, 5000).mean).mean() for p in rates]
    shares = [band_data(p, 5000).mc.mean() / h for p, h in zip(rates, heights, strict=True)]
    return {
        "a prediction that is flatter than the dashed sine": bool(
            np.abs(here.mean).mean() < np.abs(truth).mean()
        ),
        "a wide one of MC dropout": bool((here.mc > here.refit).mean() > 0.9),
        "a narrow one over data sets": bool(here.refit.mean() < 0.5 * here.mc.mean()),
        "Linear regression on twelve features": bumps(here.x).shape[1] == 12,
        "More examples narrow the band over data sets": bool((np.diff(refits) < 0).all()),
        "not that of MC dropout": all(0.9 < w[-1] / w[0] < 1.2 for w in widths),
        "A larger p flattens the prediction": bool((np.diff(heights) < 0).all()),
        "the MC band widens relative to it": bool((np.diff(shares) > 0).all()),
    }


SEEDS, STEPS, RATES = 10, 150, (0.0, 0.2, 0.4, 0.6, 0.8)
IMAGES, UNITS = (100, 300, 1000), (4, 16, 64)


class Losses(NamedTuple):
    """Cross-entropy without dropout after training with it, `(len(RATES), SEEDS)`."""

    train: Array
    validation: Array


@kept
def digit_losses(images: int, units: int) -> Losses:
    """Train networks on digits, 30 % of whose labels are drawn at random, for validation, too."""
    x, y, _, _ = split_digits(train=images + 500, test=1, noise=0.3, seeds=SEEDS, dtype="float32")
    data = Split(x[:, :images], y[:, :images], x[:, images:], y[:, images:])
    start = draw((64, units, 10), seeds=SEEDS, dtype="float32")
    rows = []
    for p in RATES:
        run = train(start, data, rule=adam_rule(lr=0.01), steps=STEPS, batch=32, dropout=p)
        x_fit, y_fit = torch.tensor(data.x_train), torch.tensor(data.y_train)
        fit = evaluate(run.networks, x_fit, y_fit, loss=cross_entropy)
        rows.append((fit.loss, run.test_loss[:, -1]))
    trained, tested = np.asarray(rows, dtype=np.float64).swapaxes(0, 1)
    return Losses(trained, tested)


def when_it_helps() -> Explorable:
    """Draw training and validation loss against p, for any number of images and of units."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    (fit,) = ax.plot([], [], color="C1", label="training")
    (tested,) = ax.plot([], [], color="C0", label="validation")
    ax.set(xlim=(-0.03, 0.83), ylim=(0, 3.6), xlabel="p, probability of dropping")
    ax.set(ylabel="loss in eval()", xticks=RATES)
    ax.legend(loc="upper right", ncols=2)

    def show(images: float, units: float) -> str:
        data = digit_losses(int(images), int(units))
        training, validation = data.train.mean(1), data.validation.mean(1)
        fit.set_data(RATES, training)
        tested.set_data(RATES, validation)
        best = validation.argmin()
        found = (
            f"p = {RATES[best]} lowers the validation loss to {validation[best]:.2f}."
            if best
            else "No p lowers the validation loss."
        )
        return (
            f"Without dropout the training loss is {training[0]:.2f}, the validation loss "
            f"{validation[0]:.2f}. {found}"
        )

    sliders = (Slider("images", IMAGES, 0, "{:,.0f}"), Slider("hidden units", UNITS, 2, "{:.0f}"))
    return Explorable(figure, sliders, (fit, tested), show)


def when_it_helps_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    wide, between, wider = (digit_losses(*at) for at in ((100, 64), (300, 16), (300, 64)))
    training, validation = wide.train.mean(1), wide.validation.mean(1)
    return {
        "Training and validation loss against p, for any of three numbers of images and of units": (
            len(IMAGES) == len(UNITS) == 3
        ),
        f"100 images and 64 units, the validation loss falls from {validation[0]:.1f} to "
        f"{validation[-1]:.1f} as p goes from 0 to {RATES[-1]}": bool(
            (np.diff(validation) < 0).all()
        ),
        f"the training loss rises from {training[0]:.1f} to {training[-1]:.1f}": bool(
            (np.diff(training) > 0).all()
        ),
        f"after {STEPS} steps, mean of {SEEDS} networks": wide.train.shape == (len(RATES), SEEDS),
        "Dropout narrows the gap": all(
            (np.diff((d.validation - d.train).mean(1)) < 0).all()
            for d in (digit_losses(n, units) for n in IMAGES for units in UNITS)
        ),
        f"With 64 units it lowers the validation loss, on {IMAGES[0]} images at each p": bool(
            (validation[1:] < validation[0]).all()
        ),
        f"on {IMAGES[1]} up to p = {RATES[3]}": bool(
            (wider.validation[1:4].mean(1) < wider.validation[0].mean()).all()
        ),
        f"With 300 images and 16 units p = {RATES[3]} raises it": bool(
            (between.validation[3] > between.validation[0]).mean() > 0.8
        ),
    }

"""Figures of the page on diffusion."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.denoisers import (
    Denoiser,
    fit,
    gaussian_law,
    moon_distance,
    moons,
    sample,
)
from dlkb.experiments.digits import digits
from dlkb.vision.diffusion import ddpm_step, guide
from dlkb.vision.noise_schedules import alpha_bar, cosine_beta, linear_beta
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]
SHOWN = tuple(range(0, 21, 2))
"""The states of the 20 steps that the slider visits."""


def cosine(steps: int) -> Array:
    """Return the share of the data at t = 0 … steps of the cosine schedule."""
    return np.concatenate([[1.0], alpha_bar(cosine_beta(np.arange(1.0, steps + 1), steps=steps))])


def linear(steps: int) -> Array:
    """Return the same of the linear one, its βs times 1000 / steps."""
    t, scale = np.arange(1.0, steps + 1), 1000 / steps
    beta = linear_beta(t, steps=steps, first=1e-4 * scale, last=0.02 * scale)
    return np.concatenate([[1.0], alpha_bar(beta)])


@kept
def moon_walks() -> dict[float, Array]:
    """Train on two moons, and return 20 steps of 180 samples for η = 0 and 1."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    share = cosine(100)
    net = Denoiser(2, steps=100, waves=(1, 2, 4))
    fit(net, moons(1000), share=share, steps=1000)
    start = torch.tensor(np.random.default_rng(1).normal(size=(180, 2)), dtype=torch.float32)

    def predict(x: Tensor, t: int) -> Tensor:
        return net(x, torch.full((len(x),), t))

    times = list(range(100, -1, -5))
    return {
        eta: np.stack(
            [
                state.double().numpy()
                for state in sample(predict, start, share=share, times=times, eta=eta, clip=2.5)
            ]
        )
        for eta in (0.0, 1.0)
    }


def near(points: Array) -> float:
    """Return the share of points within 0.15 of a half circle, three deviations of the data."""
    return float((moon_distance(points) < 0.15).mean())


def from_noise() -> Explorable:
    """Draw samples on their way from noise to two moons, step by step."""
    figure, ax = plt.subplots(figsize=(6.2, 3.9))
    data = moons(250, seed=3)
    edge = plt.rcParams["axes.edgecolor"]
    ax.plot(*data.T, "o", color=edge, markersize=2, alpha=0.45, label="data")
    (dots,) = ax.plot([], [], "o", color="C0", markersize=4, label="samples")
    ax.set(xlim=(-2.9, 2.9), ylim=(-2.5, 2.5), xticks=[], yticks=[])
    ax.legend(loc="upper right")

    def show(step: float, eta: float) -> str:
        points = moon_walks()[eta][int(step)]
        dots.set_data(*points.T)
        return f"After {step:.0f} of 20 steps {100 * near(points):.0f} % are near a moon."

    return Explorable(
        figure,
        (
            Slider("steps taken of 20", SHOWN, len(SHOWN) - 1),
            Slider("fresh noise η", (0.0, 1.0), 0),
        ),
        (dots,),
        show,
    )


def from_noise_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    walk, visited = moon_walks()[0.0], cosine(100)[::-5]
    now, before = visited[:-1], visited[1:]
    fresh = (1 - before) * (1 - now / before)  # up to a factor, its variance
    return {
        "A cloud of dots lies along two half circles that reach into each other": near(walk[-1])
        > 0.85,
        "Move the slider back, and the samples are noise": near(walk[0]) < 0.4,
        "at η = 1 each step but the last adds fresh noise": bool(
            np.array_equal(fresh > 0, np.arange(20) < 19)
            and not np.array_equal(walk[1], moon_walks()[1.0][1])
        ),
    }


def schedules() -> Figure:
    """Draw how much of the data is left under both schedules, and its ratio to the noise."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
    t = np.arange(1, 1001)
    for share, name, at, color in (
        (linear(1000), "linear", 330, "C1"),
        (cosine(1000), "cosine", 560, "C0"),
    ):
        kept = share[1:]
        (line,) = left.plot(t, kept, color=color)
        label_line(left, line, name, at, offset=(5, 4))
        right.plot(t, kept / (1 - kept), color=color, label=name)
    left.set(xlabel="step t", title="share of the data ᾱ")
    right.set(xlabel="step t", title="signal by noise ᾱ / (1 − ᾱ)", yscale="log", ylim=(1e-6, 1e5))
    right.legend()
    return figure


def schedules_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    line, curve = linear(1000), cosine(1000)
    low = [int((share[1:] < 0.05).sum()) for share in (line, curve)]
    return {
        "Two falling curves": bool((np.diff(line) < 0).all() and (np.diff(curve) < 0).all()),
        "the linear one is lower from step 100 to step 900": bool(
            (line[100:901] < curve[100:901]).all()
        ),
        f"spends {low[0]} of 1000 steps below 5 % of data": True,
        f"the cosine schedule {low[1]}": True,
    }


def notes_step(
    x: Array, noise: Array, z: Array, now: float, before: float, *, total: bool
) -> Array:
    """Take the notes' step, whose ε₀ is the noise of all steps, or that of the last alone."""
    beta = 1 - now / before
    own = noise if total else noise * (beta / (1 - now)) ** 0.5
    return x - beta**0.5 * own + (beta**0.5 * z if before < 1 else 0.0)


STEPS = {
    "DDPM": partial(ddpm_step, variance="beta"),
    "notes, ε₀ of all steps": partial(notes_step, total=True),
    "notes, ε₀ of one step": partial(notes_step, total=False),
}


@kept
def laws() -> dict[str, Array]:
    """Return mean and deviation of each state, for data N(2, 0.5²) and best predictions."""
    times = range(1000, -1, -1)
    return {
        name: gaussian_law(step, share=linear(1000), times=times, mean=2.0, std=0.5)
        for name, step in STEPS.items()
    }


def reverse_steps() -> Figure:
    """Draw the deviation and the mean of the states on the way back, for three steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.3))
    t = np.arange(1000, -1, -1)
    edge = plt.rcParams["axes.edgecolor"]
    for (name, law), color in zip(laws().items(), ("C0", "C1", "C3"), strict=True):
        right.plot(t, law[0], color=color, label=name)
        left.plot(t, law[1], color=color, label=name)
    for ax, value, title in ((left, 0.5, "standard deviation"), (right, 2.0, "mean")):
        ax.plot([0], [value], "o", color=edge, label="data")
        ax.set(xlim=(1000, -30), xlabel="step t", title=title)
    left.set(ylim=(0, 2.1))
    left.legend(loc="upper right")
    return figure


def reverse_steps_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    right, total, one = laws().values()
    return {
        f"DDPM ends at the data's standard deviation, {right[1, -1]:.2f}": True,
        f"The notes' step ends at {total[1, -1]:.2f} in one reading and {one[1, -1]:.2f} in the "
        "other": True,
        f"with means of {total[0, -1]:.2f} and {one[0, -1]:.2f} in the place of 2": True,
        "Even with the best predictions the notes' step misses the data": max(
            abs(right[1, -1] - 0.5), 0.1
        )
        < min(abs(total[1, -1] - 0.5), abs(one[0, -1] - 2)),
        "Standard deviation and mean over the steps, three curves each": len(laws()) == 3,
    }


CLASSES, COLUMNS = 10, 8


@kept
def generated() -> dict[float, Array]:
    """Train on the digits, and return 8 samples of each class without and with guidance."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    share = cosine(100)
    data = digits(train=1700)
    net = Denoiser(64, steps=100, classes=CLASSES, width=192)
    images = 2 * data.x_train - 1
    fit(net, images, data.y_train, share=share, steps=700, predicts="velocity", lr=5e-3)
    label = torch.arange(CLASSES).repeat_interleave(COLUMNS)
    start = np.random.default_rng(1).normal(size=(len(label), 64))

    def predict(x: Tensor, t: int, scale: float) -> Tensor:
        now = torch.full((len(x),), t)
        return guide(net(x, now, label), net(x, now), scale=scale)

    found = {}
    for scale in (1.0, 3.0):
        states = sample(
            partial(predict, scale=scale),
            torch.tensor(start, dtype=torch.float32),
            share=share,
            times=list(range(100, -1, -5)),
            predicts="velocity",
            clip=1.0,
        )
        found[scale] = states[-1].double().numpy()
    return found


def sheet(images: Array) -> Array:
    """Lay 8 images of each class side by side, a class a row, with a margin of one pixel."""
    padded = np.full((CLASSES, COLUMNS, 9, 9), -1.0)
    padded[:, :, :8, :8] = images.reshape(CLASSES, COLUMNS, 8, 8)
    return padded.transpose(0, 2, 1, 3).reshape(9 * CLASSES, 9 * COLUMNS)


def class_spread(images: Array) -> float:
    """Return the mean standard deviation of a pixel among the images of a class."""
    return float(images.reshape(CLASSES, COLUMNS, 64).std(1).mean())


def digit_samples() -> Figure:
    """Draw digits that the network made, without and with guidance."""
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 4.2))
    for ax, (scale, images) in zip(axes, generated().items(), strict=True):
        image = ax.imshow(sheet(images), cmap="gray", vmin=-1, vmax=1)
        image.set_label(f"s = {scale:g}")
        ax.set(title=f"guidance s = {scale:g}", xticks=[], yticks=[])
        ax.grid(visible=False)
    return figure


def digit_samples_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    plain, guided = (class_spread(images) for images in generated().values())
    return {
        "Two sheets of small images, ten rows of eight": sheet(generated()[1.0]).shape == (90, 72),
        "A class a row, from equal noise": all(len(x) == 80 for x in generated().values()),
        "look more alike under guidance": guided < 0.9 * plain,
    }

"""Figures of the page on ReLU and its relatives."""

from functools import partial
from itertools import product
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.activations.relu import (
    elu,
    elu_vjp,
    leaky_relu,
    leaky_relu_vjp,
    prelu,
    relu,
    relu_vjp,
)
from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import Networks, draw, forward
from dlkb.experiments.rules import sgd_rule
from dlkb.experiments.scores import evaluate
from dlkb.experiments.training import train
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

RATES = (0.1, 0.3, 1.0, 2.0, 4.0)
SLOPES = (0.0, 0.01, 0.1)
SETTINGS = (*product(RATES, SLOPES), (2.0, 0.3))
STEPS, EVERY, NETWORKS = 600, 10, 10


class Deaths(NamedTuple):
    """Ten networks of 32 hidden units, trained on the digits.

    Attributes:
        inactive: Share of hidden units that are positive for none of 400 training images, a row
            a network, a column every ten steps, from 0 to 600.
        accuracy: On test images, at the end, one number a network.
    """

    inactive: Vector
    accuracy: Vector


@kept
def trained() -> Deaths:
    """Train with steps of one size, and count units that are inactive on all images.

    Returns:
        A row for each of `SETTINGS`, of what `deaths` returns for it.
    """
    torch.set_num_threads(1)
    data = digits(dtype="float32")
    images = torch.tensor(data.x_train[:400])
    lr, slope = torch.tensor(SETTINGS).repeat_interleave(NETWORKS, 0).T[:, :, None]
    drawn = draw((64, 32, 10), seeds=NETWORKS, dtype="float32")
    networks = drawn._replace(
        theta=drawn.theta.repeat(len(SETTINGS), 1),
        activation=partial(prelu, alpha=slope[..., None]),
    )

    def inactive(networks: Networks) -> Vector:
        hidden = forward(networks, images)[0]
        return (~(hidden > 0)).all(1).double().mean(1).numpy()

    shares = [inactive(networks)]
    untested = data._replace(x_test=data.x_test[:1], y_test=data.y_test[:1])
    for done in range(0, STEPS, EVERY):
        rule, seed = sgd_rule(lr=lr), done * len(networks.theta)
        run = train(networks, untested, rule=rule, steps=EVERY, batch=32, seed=seed)
        networks = run.networks
        shares.append(inactive(networks))
    accuracy = evaluate(networks, data.x_test, data.y_test).accuracy
    rows = (len(SETTINGS), NETWORKS)
    return Deaths(np.stack(shares, 1).reshape(*rows, -1), accuracy.reshape(rows))


def deaths(lr: float = 2.0, slope: float = 0.0) -> Deaths:
    """Return what training with one size of step and one slope came to."""
    row = SETTINGS.index((lr, slope))
    return Deaths(*(found[row] for found in trained()))


def dying() -> Explorable:
    """Draw how many units are inactive on all images while a network is trained."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    (band,) = ax.fill([], [], color="C3", alpha=0.25, linewidth=0)
    (line,) = ax.plot([], [], color="C3", label="median of ten networks")
    ax.set(xlim=(0, STEPS), ylim=(-2, 102), xlabel="step")
    ax.set(ylabel="units inactive on all images, %")

    def show(lr: float, slope: float) -> str:
        data = deaths(lr, slope)
        steps, percent = np.arange(0, STEPS + 1, EVERY), 100 * data.inactive
        low, middle, high = percent.min(0), np.median(percent, 0), percent.max(0)
        band.set_xy(np.concatenate([np.stack([steps, low], 1), np.stack([steps, high], 1)[::-1]]))
        line.set_data(steps, middle)
        return (
            f"In the end {middle[-1]:.0f} % of the units are inactive on all images, in the "
            f"median of ten networks; test accuracy is {100 * np.median(data.accuracy):.0f} %."
        )

    sliders = (Slider("learning rate", RATES, 3), Slider("slope below 0", SLOPES, 0))
    return Explorable(figure, sliders, (band, line), show)


def dying_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = deaths()
    middle = 100 * np.median(data.inactive, 0)
    small = [deaths(lr).inactive.max() for lr in (0.1, 0.3)]
    leaky = [deaths(slope=slope) for slope in (0.01, 0.1)]
    return {
        f"start at {middle[0]:.0f} %": True,
        "and are all or nearly all inactive in the end": bool(data.inactive[:, -1].min() > 0.9),
        "with a learning rate of 2": bool(np.array_equal(data.inactive, deaths(2.0).inactive)),
        "The band is all ten networks of 32 units": data.inactive.shape[0] == 10,
        "Too large a step kills units": bool(max(small) < 0.3),
        "A slope of 0.01 or 0.1 below 0 does not prevent it": bool(
            all(np.median(found.inactive[:, 6]) > 0.5 for found in leaky)  # after 60 steps
        ),
        "one of 0.3 does not": bool((deaths(slope=0.3).accuracy < 0.2).all()),
        "but lets most (0.01) or some (0.1) networks come back": bool(
            (data.accuracy < 0.2).all()
            and (leaky[0].accuracy > 0.4).mean() > 0.5
            and (leaky[1].accuracy > 0.4).any()
        ),
    }


class Shapes(NamedTuple):
    """The functions and their slopes, by name.

    Attributes:
        x: Inputs.
        values: A row for each of `NAMES`.
        slopes: Likewise.
    """

    x: Vector
    values: Vector
    slopes: Vector


NAMES = ("ReLU", "leaky, α = 0.1", "ELU, α = 1")


def shapes_data() -> Shapes:
    """Compute ReLU, leaky ReLU and ELU, and what their gradients are multiplied with."""
    x = np.linspace(-3, 3, 241)
    ones = np.ones_like(x)
    values = [relu(x), leaky_relu(x, negative_slope=0.1), elu(x)]
    slopes = [relu_vjp(x, ones), leaky_relu_vjp(x, ones, negative_slope=0.1), elu_vjp(x, ones)]
    return Shapes(x, np.stack(values), np.stack(slopes))


def shapes() -> Figure:
    """Draw the functions and their slopes side by side."""
    data = shapes_data()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2), sharex=True)
    for i, name in enumerate(NAMES):
        left.plot(data.x, data.values[i], color=f"C{i}", label=name)
        # A line a side, so that no vertical stroke joins them where the slope jumps.
        for side, where in (("below", data.x <= 0), ("above", data.x > 0)):
            x, slope = data.x[where], data.slopes[i][where]
            right.plot(x, slope, color=f"C{i}", gid=f"{name}, {side}")
    left.legend(loc="upper left")
    left.set(xlabel="x", title="value", ylim=(-1.5, 3))
    right.set(xlabel="x", title="slope", ylim=(-0.05, 1.1))
    return figure


def shapes_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = shapes_data()
    at_zero = data.slopes[:, np.flatnonzero(np.isclose(data.x, 0))[0]]
    left, right = data.x < 0, data.x > 0
    return {
        "are the identity for positive inputs": bool(
            np.array_equal(data.values[:, right], np.stack([data.x[right]] * 3))
        ),
        "with slope 1": bool((data.slopes[:, right] == 1).all()),
        "ReLU is 0 with slope 0": bool(
            (data.values[0, left] == 0).all() and (data.slopes[0, left] == 0).all()
        ),
        "leaky ReLU falls with slope 0.1": bool((data.slopes[1, left] == 0.1).all()),
        "ELU levels off at minus one, its slope decays to 0": bool(
            -1 < data.values[2].min() < -0.95 and (np.diff(data.slopes[2, left]) > 0).all()
        ),
        "Two of the slopes jump at 0": bool((at_zero[:2] < 0.2).all()),
        "that of ELU with α = 1 does not": bool(at_zero[2] == 1),
    }

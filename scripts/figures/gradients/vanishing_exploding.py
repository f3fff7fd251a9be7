"""Figures of the page on vanishing and exploding gradients."""

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import Rule, adam_rule, sgd_rule
from dlkb.experiments.signals import propagate
from dlkb.experiments.training import train
from dlkb.gradients.vanishing_exploding import rectifier_gradient_factor, residual_gradient_factor
from scripts.figures.explorable import Explorable, Slider

Matrix = NDArray[np.float64]
SEEDS = 10
ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "ReLU": torch.relu}

LAYERS, WIDTH = 30, 64
HIDDEN, STEPS = 32, 100
SCALES = (0.5, 0.7, 1.0, 1.2, 2**0.5, 1.7, 2.0, 3.0, 4.0)
SKIPS = (0.0, LAYERS**-0.5, 1.0)


class Ratios(NamedTuple):
    """Logarithms to base 10 of the gradient's norm, over that at the last hidden layer.

    Attributes:
        layers: 1 … `LAYERS`.
        found: For each activation, shape (seeds, layers).
        expected: Of the ReLU's mean square, by the closed form, halved.
    """

    layers: Matrix
    found: dict[str, Matrix]
    expected: Matrix

    @property
    def medians(self) -> dict[str, Matrix]:
        """What is drawn of each activation, shape (layers,)."""
        return {name: np.median(rows, axis=0) for name, rows in self.found.items()}


@kept
def ratios(scale: float, skip: float) -> Ratios:
    """Measure untrained networks with weights of one scale and branches of one factor."""
    torch.set_num_threads(1)
    x = np.random.default_rng(1000).normal(size=(4, WIDTH))
    widths = (WIDTH,) * (LAYERS + 2)
    found = {}
    for name, activation in ACTIVATIONS.items():
        networks = draw(
            widths, activation=activation, gain=scale, bias=False, skip=skip, seeds=SEEDS
        )
        hidden = np.log10(propagate(networks, x).gradient[:, :LAYERS]) / 2
        found[name] = hidden - hidden[:, -1:]
    plain = rectifier_gradient_factor(sigma_w=scale)
    factor = residual_gradient_factor(np.asarray(plain), scale=skip) if skip else plain
    layers = np.arange(1.0, LAYERS + 1)
    return Ratios(layers, found, (LAYERS - layers) * np.log10(float(factor)) / 2)


def weight_scale() -> Explorable:
    """Draw the gradient's norm layer by layer, for any scale of weights and of branches."""
    figure, ax = plt.subplots(figsize=(6.4, 3.8))
    ax.set(xlim=(1, LAYERS), ylim=(-30, 18), xlabel="layer")
    ax.set(ylabel="log₁₀ of the gradient's norm")
    ax.set_xticks([1, 10, 20, 30])
    ax.axhline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1, linestyle=":")
    (theory,) = ax.plot([], [], color=plt.rcParams["text.color"], linestyle="--", linewidth=1)
    theory.set_label("ReLU, closed form")
    lines = {
        name: ax.plot([], [], color=f"C{i}", label=name)[0] for i, name in enumerate(ACTIVATIONS)
    }
    ax.legend(handles=[*lines.values(), theory], loc="upper center", ncols=4)

    def show(scale: float, skip: float) -> str:
        data = ratios(scale, skip)
        theory.set_data(data.layers, data.expected)
        for name, line in lines.items():
            line.set_data(data.layers, data.medians[name])
        ends = [
            f"{rows[0]:.1f} for {name}".replace("-", "−") for name, rows in data.medians.items()
        ]
        return (
            f"From layer {LAYERS} back to layer 1 the logarithm of the gradient's norm changes by "
            f"{ends[0]}, {ends[1]}, {ends[2]}."
        )

    sliders = (
        Slider("weight scale σ_w", SCALES, SCALES.index(1.0), "{:.2g}"),
        Slider("skip: factor α of the branch, 0 for none", SKIPS, 0, "{:.2g}"),
    )
    return Explorable(figure, sliders, (theory, *lines.values()), show)


def weight_scale_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    start = ratios(1.0, 0.0)
    sigmoid, tanh, relu = (rows[0] for rows in start.medians.values())
    plain = {scale: ratios(scale, 0.0) for scale in SCALES}
    skips = {scale: ratios(scale, 1.0) for scale in SCALES}
    scaled = [ratios(scale, SKIPS[1]) for scale in SCALES if scale <= 1.7]
    return {
        "logarithm of the gradient's norm at the layers of three untrained networks, relative to "
        f"layer {LAYERS}": True,
        f"With weight scale 1 and no skip, sigmoid falls by {-sigmoid:.0f} powers of ten": bool(
            -18.5 < sigmoid < -17.5
        ),
        f"tanh by {-tanh:.1f}": True,
        f"ReLU by {-relu:.1f}, along its dashed closed form": bool(
            abs(start.medians["ReLU"] - start.expected).max() < 0.5
        ),
        f"Width {WIDTH}, no biases, medians of {SEEDS} networks": True,
        "Without a skip no scale here saves sigmoid": all(
            (one.found["sigmoid"][:, 0] < -3).all() for one in plain.values()
        ),
        "ReLU needs 1.4": bool((abs(plain[2**0.5].found["ReLU"][:, 0]) < 1).all())
        and all(abs(one.medians["ReLU"][0]) > 1.5 for s, one in plain.items() if s != 2**0.5),
        "A skip of 1 ends the vanishing but lets large ReLU weights explode": all(
            (rows[:, 0] > -0.2).all() for one in skips.values() for rows in one.found.values()
        )
        and all((one.found["ReLU"][:, 0] > 3).all() for s, one in skips.items() if s >= 2**0.5),
        "with 0.18 = 1/√L all keep the norm up to scale 1.7": all(
            (abs(rows[:, 0]) < 0.5).all() for one in scaled for rows in one.found.values()
        ),
    }


class Training(NamedTuple):
    """What is changed of a network and of its training.

    Attributes:
        activation, gain, init, norm, skip: As `dlkb.experiments.networks.draw` takes them.
        depth: Hidden layers.
        rule: Update rule.
        batch: Examples in a step.
        clip: Largest norm of the gradient, None for no clipping.
    """

    activation: Callable[[Tensor], Tensor] = torch.sigmoid
    gain: float = 1.0
    init: str = "fan_in"
    norm: str = ""
    skip: float = 0.0
    depth: int = 20
    rule: Rule = sgd_rule(lr=0.1)
    batch: int = 32
    clip: float | None = None


def vanishing_remedies() -> dict[str, Training]:
    """Return what is tried on 20 sigmoid layers."""
    base = Training()
    return {
        "nothing": base,
        "lr × 100": base._replace(rule=sgd_rule(lr=10.0)),
        "clipping at 1": base._replace(clip=1.0),
        "L2 penalty": base._replace(rule=sgd_rule(lr=0.1, weight_decay=1e-3)),
        "batch × 4": base._replace(batch=128),
        "Adam": base._replace(rule=adam_rule(lr=1e-2)),
        "weights × 4": base._replace(gain=4.0),
        "layer norm": base._replace(norm="layer"),
        "batch norm": base._replace(norm="batch"),
        "residual": base._replace(skip=1.0),
        "ReLU, He": base._replace(activation=torch.relu, gain=2**0.5),
        "tanh, orthogonal": base._replace(activation=torch.tanh, init="orthogonal"),
        "4 layers, lr × 10": base._replace(depth=4, rule=sgd_rule(lr=1.0)),
        "4 layers, Adam": base._replace(depth=4, rule=adam_rule(lr=1e-2)),
        "1 layer, lr × 10": base._replace(depth=1, rule=sgd_rule(lr=1.0)),
    }


def exploding_remedies() -> dict[str, Training]:
    """Return what is tried on 20 ReLU layers whose weights are too large."""
    base = Training(torch.relu, 2.5)
    return {
        "nothing": base,
        "lr / 10⁵": base._replace(rule=sgd_rule(lr=1e-6)),
        "clipping at 1": base._replace(clip=1.0),
        "L2 penalty": base._replace(rule=sgd_rule(lr=0.1, weight_decay=1e-2)),
        "batch × 4": base._replace(batch=128),
        "Adam": base._replace(rule=adam_rule(lr=1e-2)),
        "batch norm": base._replace(norm="batch"),
        "residual / √L": base._replace(skip=20**-0.5),
        "He": base._replace(gain=2**0.5),
        "2 layers": base._replace(depth=2),
    }


class Outcome(NamedTuple):
    """What training came to, one entry a seed.

    Attributes:
        accuracy: On the images that were not trained on, after the last step.
        finite: Whether the training loss was finite at each step.
    """

    accuracy: Matrix
    finite: NDArray[np.bool_]


def outcome(run: Training) -> Outcome:
    """Train `SEEDS` networks on the digits, in single precision."""
    torch.set_num_threads(1)
    networks = draw(
        (64, *[HIDDEN] * run.depth, 10),
        activation=run.activation,
        init=run.init,
        gain=run.gain,
        norm=run.norm,
        skip=run.skip,
        seeds=SEEDS,
        dtype="float32",
    )
    data = digits(scale="standard", dtype="float32")
    found = train(networks, data, rule=run.rule, steps=STEPS, batch=run.batch, clip=run.clip)
    return Outcome(found.test_accuracy[:, -1], np.asarray(np.isfinite(found.loss).all(axis=1)))


@kept
def remedies_data() -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Train with each remedy: against vanishing, and against exploding gradients."""
    vanishing, exploding = (
        {name: outcome(run) for name, run in part.items()}
        for part in (vanishing_remedies(), exploding_remedies())
    )
    return vanishing, exploding


def remedies() -> Figure:
    """Draw the accuracy of every seed for every remedy."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 4.4))
    titles = ("20 sigmoid layers", "20 ReLU layers, σ_w = 2.5")
    ink = plt.rcParams["text.color"]
    for ax, title, part in zip(axes, titles, remedies_data(), strict=True):
        for row, (name, found) in enumerate(part.items()):
            rows = np.full(SEEDS, float(row))
            ax.plot(found.accuracy, rows, "o", color=ink, alpha=0.4, markersize=5, label=name)
            if bad := int((~found.finite).sum()):
                ax.annotate(f"NaN, {bad} of {SEEDS}", (0.2, row), va="center")
        ax.axvline(0.1, color=plt.rcParams["axes.edgecolor"], linestyle=":", linewidth=1)
        ax.set(title=title, xlabel=f"accuracy after {STEPS} steps", xlim=(0, 1))
        ax.set_yticks(range(len(part)), part)
        ax.invert_yaxis()
    return figure


CURES = ("batch norm", "residual", "tanh, orthogonal", "1 layer, lr × 10")
PARTLY = ("ReLU, He", "4 layers, Adam")
DIVERGED = ("nothing", "L2 penalty", "batch × 4")
SLOW = ("lr / 10⁵", "clipping at 1", "Adam", "He", "batch norm")


def remedies_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    vanishing, exploding = remedies_data()
    middle = {name: float(np.median(one.accuracy)) for name, one in vanishing.items()}
    of_exploding = {name: float(np.median(one.accuracy)) for name, one in exploding.items()}
    chance = [name for name in vanishing if name not in (*CURES, *PARTLY)]
    return {
        f"Accuracy of {SEEDS} networks for each remedy": True,
        f"Of {len(vanishing)} on the left, {len(chance)} stay at chance": all(
            (vanishing[name].accuracy < 0.15).all() and vanishing[name].finite.all()
            for name in chance
        ),
        f"batch norm reaches {middle['batch norm']:.1f}, a residual network "
        f"{middle['residual']:.1f}, orthogonal tanh {middle['tanh, orthogonal']:.1f}": all(
            (vanishing[name].accuracy > 0.5).all() for name in CURES
        ),
        f"Adam {middle['4 layers, Adam']:.1f} with 4 layers": bool(
            (vanishing["4 layers, Adam"].accuracy > 0.2).all()
        ),
        "On the right, nothing, L2 and a larger batch end in NaN": not any(
            exploding[name].finite.any() for name in DIVERGED
        ),
        "what stays finite and slow is below 0.5 in the median": all(
            exploding[name].finite.all() and np.median(exploding[name].accuracy) < 0.5
            for name in SLOW
        ),
        f"scaled branches reach {of_exploding['residual / √L']:.1f}, "
        f"2 layers {of_exploding['2 layers']:.1f}": all(
            (exploding[name].accuracy > 0.65).all() for name in ("residual / √L", "2 layers")
        ),
        f"Width {HIDDEN}, digits, {STEPS} steps": True,
        "At 20 layers only changes of the network pass 0.5": all(
            run.depth < 20 or run._replace(rule=base.rule, batch=base.batch, clip=None) != base
            for base, runs, found in (
                (Training(), vanishing_remedies(), vanishing),
                (Training(torch.relu, 2.5), exploding_remedies(), exploding),
            )
            for name, run in runs.items()
            if (found[name].accuracy > 0.5).any()
        ),
        "layer norm and weights × 4 do not": all(
            (vanishing[name].accuracy < 0.5).all() for name in ("layer norm", "weights × 4")
        ),
    }

"""Figures of the page on what to train."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import Split
from dlkb.experiments.finetuning import Pretrained, Tuned, finetune, pretrained, rotated
from dlkb.experiments.networks import draw
from dlkb.experiments.scores import evaluate
from dlkb.finetuning.regimes import step_macs, trained_parameters
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

ANGLES = (15, 45, 90)
RATES = (0.003, 0.01, 0.03)
WIDTH, IMAGES, STEPS = 32, 100, 60
REGIMES = (
    "from scratch",
    "full",
    "layer-wise rates",
    "last two layers",
    "head only",
    "LoRA, r = 8",
    "LoRA and head",
)
FACTORS = {
    "layer-wise rates": (0.1, 0.32, 1.0),
    "last two layers": (0.0, 1.0, 1.0),
    "head only": (0.0, 0.0, 1.0),
}
MARKERS = ("X", "o", "D", "s", "^", "v", "P")


class Result(NamedTuple):
    """Errors at the rate that is best on the new task, one a network.

    Attributes:
        new: On the new task, shape (10,).
        old: On the upright digits.
    """

    new: Array
    old: Array


@kept
def upright() -> Pretrained:
    """Return ten networks that know the upright digits, and a hundred more of these."""
    return pretrained(width=WIDTH, new=IMAGES, angle=0)


@kept
def start(angle: int) -> Pretrained:
    """Return the ten networks, and the hundred digits turned, to tune on."""
    x, y, x_test, y_test = upright().new
    turned = [rotated(images, angle=angle) for images in (x, x_test)]
    return upright()._replace(new=Split(turned[0], y, turned[1], y_test))


@kept
def tune(regime: str, angle: int, steps: int = STEPS) -> Tuned:
    """Tune in one regime at all rates."""
    begin = start(angle)
    if regime == "from scratch":
        fresh = draw((64, WIDTH, WIDTH, 10), seed=100, dtype="float32")
        begin = begin._replace(networks=fresh)
    r = 8 if regime.startswith("LoRA") else None
    head = regime == "LoRA and head"
    return finetune(begin, rates=RATES, r=r, head=head, factors=FACTORS.get(regime), steps=steps)


def result(regime: str, angle: int, steps: int = STEPS) -> Result:
    """Keep the rate that errs least on the new task."""
    tuned = tune(regime, angle, steps)
    best = int(tuned.new_error.mean(1).argmin())
    new, old = (np.asarray(e[best], np.float64) for e in (tuned.new_error, tuned.old_error))
    return Result(new, old)


def untrained(angle: int) -> Result:
    """Return the errors of the pretrained networks as they are."""
    networks, old, new = start(angle)
    errors = [1 - evaluate(networks, t.x_test, t.y_test).accuracy for t in (new, old)]
    return Result(*(np.asarray(e, np.float64) for e in errors))


def by_angle() -> Explorable:
    """Draw what each regime learns and forgets, for a task that is near or far."""
    figure, ax = plt.subplots(figsize=(6.2, 4.6))
    moving = []
    for k, (regime, marker) in enumerate(zip(REGIMES, MARKERS, strict=True)):
        (point,) = ax.plot([], [], marker, color=f"C{k}", ms=9, label=regime)
        moving.append(point)
    (before,) = ax.plot([], [], "+", color=plt.rcParams["text.color"], ms=11, label="before tuning")
    ticks = [0.05, 0.1, 0.2, 0.5, 1]
    ax.set(xscale="log", yscale="log", xlim=(0.07, 1), ylim=(0.04, 1.1), xticks=ticks[1:])
    ax.set(yticks=ticks, xlabel="error on the new task", ylabel="error on the old task")
    ax.set_xticklabels([f"{tick:g}" for tick in ticks[1:]])
    ax.set_yticklabels([f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    figure.legend(loc="outside lower center", ncols=3)

    def show(angle: float) -> str:
        for point, regime in zip(moving, REGIMES, strict=True):
            found = result(regime, int(angle))
            point.set_data([found.new.mean()], [found.old.mean()])
        start_at = untrained(int(angle))
        before.set_data([start_at.new.mean()], [start_at.old.mean()])
        scratch, full, lora, both = (
            result(name, int(angle)).new.mean() for name in (*REGIMES[:2], *REGIMES[-2:])
        )
        return (
            f"Digits turned by {angle:g} degrees: error {full:.2f} in full, {lora:.2f} with LoRA, "
            f"{both:.2f} with its head trained, too, {scratch:.2f} from scratch."
        )

    sliders = (Slider("turned by", ANGLES, 0),)
    return Explorable(figure, sliders, (*moving, before), show)


def by_angle_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    near = {regime: result(regime, 15) for regime in REGIMES}
    far = {regime: result(regime, 90) for regime in REGIMES}
    scratch, full = (near[k] for k in (REGIMES[0], "full"))
    worst = max(near, key=lambda name: near[name].old.mean())
    return {
        "Digits turned by 15 degrees": ANGLES[0] == 15,
        f"full fine-tuning has {full.new.mean():.2f} errors on the new task": True,
        f"training from scratch {scratch.new.mean():.2f}": bool((scratch.new > full.new).all()),
        "and it errs most on the old task, too": worst == REGIMES[0],
        "Near, each regime beats training from scratch; turned by 90 degrees, none does": bool(
            all(
                found.new.mean() < scratch.new.mean() - 0.02
                for k, found in near.items()
                if k != REGIMES[0]
            )
            and all(
                found.new.mean() > far[REGIMES[0]].new.mean() + 0.02
                for k, found in far.items()
                if k != REGIMES[0]
            )
        ),
        "Means over ten networks, each regime at the best of three rates": bool(
            len(full.new) == 10 and len(RATES) == 3
        ),
    }


DEPTH, UNITS = 12, 768


def costs() -> dict[str, Array]:
    """Return the shares that training the last layers takes, for 1 … 12 layers."""
    widths = (UNITS,) * (DEPTH + 1)
    firsts = range(DEPTH, 0, -1)
    parameters = [trained_parameters(widths, first=k) / trained_parameters(widths) for k in firsts]
    products = [step_macs(widths, first=k) / step_macs(widths) for k in firsts]
    return {
        "gradients and Adam's state": 100 * np.asarray(parameters),
        "multiplications of a step": 100 * np.asarray(products),
    }


def last_layers() -> Figure:
    """Draw what training the last layers costs, as a share of training all."""
    figure, ax = plt.subplots(figsize=(6.2, 2.9))
    for (name, shares), style in zip(costs().items(), ("o-", "s--"), strict=True):
        ax.plot(np.arange(1, DEPTH + 1), shares, style, label=name)
    ax.set(xlabel="last layers that are trained, of 12", ylabel="% of training all", ylim=(0, 105))
    ax.legend(loc="lower right")
    return figure


def last_layers_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    memory, products = costs().values()
    return {
        "Memory for gradients and Adam grows in proportion to the layers": bool(
            np.allclose(np.diff(memory), memory[0])
        ),
        f"the multiplications start at {products[0]:.0f} %": True,
        "A third of the work is the forward pass, and stays": bool(abs(products[0] - 100 / 3) < 5),
        "All layers are 768 wide": UNITS == 768,
    }

"""Figures of the page on linear models."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.activations.sigmoid import sigmoid
from dlkb.classic_ml.kernels import smo_step, svm_intercept
from dlkb.classic_ml.linear_models import irls_step
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

POINTS = np.asarray([-2.5, -1.8, -1.2, -0.5, 0.9, 1.3, 2.0, 2.6])
LABELS = np.asarray([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
GRID = np.linspace(-3, 3, 121)
STRENGTHS = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)


class Machine(NamedTuple):
    """A support vector machine on features.

    Attributes:
        w: Its weights.
        b: Its intercept.
        alpha: Its dual weights.
    """

    w: Vector
    b: float
    alpha: Vector


def machine(features: Vector, labels: Vector, *, C: float, steps: int = 400) -> Machine:
    """Train a linear support vector machine by its dual."""
    K, alpha = features @ features.T, np.zeros(len(labels))
    for _ in range(steps):
        alpha = smo_step(K, labels, alpha, C=C)
    w = features.T @ ((2 * labels - 1) * alpha)
    return Machine(w, float(svm_intercept(K, labels, alpha, C=C)), alpha)


class Separable(NamedTuple):
    """Both models at one strength of the penalty.

    Attributes:
        logistic: Weight and intercept of logistic regression.
        margin: Weight and intercept of the support vector machine.
    """

    logistic: Vector
    margin: Vector


def fits(l2: float = 0.1) -> Separable:
    """Fit both to the separable points, with free intercepts."""
    ones = np.stack([POINTS, np.ones(8)], axis=1)
    w = np.zeros(2)
    for _ in range(60):
        w = irls_step(ones, LABELS, w, l2=np.asarray([l2, 0.0]))
    svm = machine(POINTS[:, None], LABELS, C=1 / l2)
    return Separable(w, np.asarray([svm.w[0], svm.b]))


def separable() -> Explorable:
    """Draw the probability of logistic regression and the score of an SVM on a line."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    for kind in (0, 1):
        x = POINTS[kind == LABELS]
        y = np.full(4, 2.0 * kind - 1)
        ax.plot(x, y, "os"[kind], color=f"C{3 * kind}", label=f"class {kind}", zorder=1.9)
    (curve,) = ax.plot([], [], color="C0", label="logistic: 2 σ(z) − 1")
    (line,) = ax.plot([], [], color="C1", linestyle="--", label="SVM: z")
    ax.set(xlim=(-3, 3), ylim=(-2, 2), xlabel="feature x", yticks=[-1, 0, 1])
    ax.legend(loc="upper left")

    def show(l2: float) -> str:
        data = fits(l2)
        logistic, score = curves(data)
        curve.set_data(*logistic)
        line.set_data(*score)
        return (
            f"λ = {l2:g}: the logistic slope is {data.logistic[0]:.2f}, that of the support "
            f"vector machine {data.margin[0]:.2f}."
        )

    return Explorable(figure, (Slider("strength λ", STRENGTHS, 2),), (curve, line), show)


def curves(data: Separable) -> tuple[tuple[Vector, Vector], tuple[Vector, Vector]]:
    """Return x and y of twice the probability less 1, and of the score, from end to end."""
    w, b = data.logistic
    probability = sigmoid(w * GRID + b)
    w, b = data.margin
    ends = np.clip((np.asarray([-2.0, 2.0]) - b) / w, -3, 3)
    along = np.linspace(ends[0], ends[1], 9)
    return (GRID, 2 * probability - 1), (along, w * along + b)


def separable_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = fits()
    slopes = [fits(l2).logistic[0] for l2 in STRENGTHS]
    margins = [fits(l2).margin[0] for l2 in STRENGTHS]
    (w, b), half = data.margin, -data.logistic[1] / data.logistic[0]
    threshold = (POINTS[3] + POINTS[4]) / 2
    touches = np.allclose([w * POINTS[3] + b, w * POINTS[4] + b], [-1, 1])
    return {
        "Eight points of two classes that a threshold separates": bool(
            ((threshold < POINTS) == (LABELS == 1)).all() and len(POINTS) == 8
        ),
        f"at λ = 0.1, has slope {data.logistic[0]:.2f} and passes a half at {half:.2f}": True,
        f"has slope {w:.2f}: it is −1 and 1 at the two nearest points": bool(touches),
        "the smaller λ, the steeper the logistic curve": bool((np.diff(slopes) > 0.5).all()),
        "stops where its margins touch the data": bool(
            touches and np.allclose(margins[2:], w) and margins[1] < w
        ),
    }


LINE = np.asarray([-2.0, -1.6, -1.3, -0.7, -0.3, 0.2, 0.6, 1.4, 1.7, 2.1])
INNER = (np.abs(LINE) < 1).astype(float)


def lift(x: Vector) -> Vector:
    """Return x and x² beside each other: up to scale, the degree-2 kernel's features."""
    return np.stack([x, x**2], 1)


def lifted_data() -> Machine:
    """Separate the inner points from the outer ones by x and x²: a hard margin."""
    return machine(lift(LINE), INNER, C=1e4, steps=2000)


def street(data: Machine, level: float) -> Vector:
    """Return the height x² on the grid where the score has a level."""
    return (level - data.b - data.w[0] * GRID) / data.w[1]


def lifted() -> Figure:
    """Draw points on a line, and the same points on a parabola, with the widest street."""
    data = lifted_data()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2), sharex=True)
    for kind, name in ((1, "inner"), (0, "outer")):
        x = LINE[kind == INNER]
        left.plot(x, 0 * x, "os"[kind], color=f"C{3 * kind}", label=name)
        right.plot(x, x**2, "os"[kind], color=f"C{3 * kind}", label=name)
    for level, style in ((-1, ":"), (0, "-"), (1, ":")):
        height = street(data, level)
        right.plot(GRID, height, style, color="C0", label=f"score {level}".replace("-", "−"))
    left.set(xlim=(-3, 3), ylim=(-1, 1), yticks=[], xlabel="x", title="one feature")
    right.set(ylim=(-0.5, 5), xlabel="x", title="x and x²")
    left.legend(loc="upper center", ncols=2)
    return figure


def lifted_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = lifted_data()
    z = lift(LINE) @ data.w + data.b
    t = 2 * INNER - 1
    mixed = np.diff(INNER[np.argsort(LINE)])
    parabola = np.polyfit(LINE, lift(LINE)[:, 1], 2)
    directions = np.linspace(0, 2 * np.pi, 2001)
    v = np.stack([np.cos(directions), np.sin(directions)])
    side = lift(LINE) @ v
    widths = side[INNER == 1].min(0) - side[INNER == 0].max(0)
    return {
        "one class between two parts of the other": bool((mixed[mixed != 0] == [1, -1]).all()),
        "the same points at height x², where a straight line separates them": bool(
            (t * z).min() > 0
        ),
        "two parallel lines touch the nearest points": bool(abs((t * z).min() - 1) < 1e-6),
        "lifts the points onto a parabola": bool(np.allclose(parabola, [1, 0, 0])),
        "takes the one in the middle of the widest street": bool(
            0 < 2 / np.linalg.norm(data.w) - widths.max() < 0.02
        ),
    }

"""Figures of the page on gated linear units."""

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.activations.glu import gated, gated_vjp
from dlkb.book.draw.kept import kept
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

WIDTH, BATCH, SEEDS, DEPTH = 32, 4, 10, 16


class Layer(NamedTuple):
    """What a layer makes of its two projections, and of the gradient that comes back."""

    forward: Callable[[Vector, Vector], Vector]
    backward: Callable[[Vector, Vector, Vector], tuple[Vector, Vector]]


GATES: Vector = np.linspace(-4, 4, 161)
NAMES = {"bilinear": "bilinear", "glu": "GLU", "reglu": "ReGLU", "geglu": "GEGLU",
         "swiglu": "SwiGLU"}  # fmt: skip


def factors() -> dict[str, Vector]:
    """Return what a value of 1 becomes for each gate, by variant."""
    return {name: gated(np.ones_like(GATES), GATES, variant=name) for name in NAMES}


def gates() -> Figure:
    """Draw the factor by which each variant multiplies the value."""
    figure, ax = plt.subplots(figsize=(6.2, 3.3))
    colors = {"bilinear": "C4", "glu": "C0", "reglu": "C3", "geglu": "C1", "swiglu": "C2"}
    for name, factor in factors().items():
        ax.plot(GATES, factor, color=colors[name], label=NAMES[name])
    ax.set(xlim=(-4, 4), ylim=(-1.6, 4), xlabel="gate g", ylabel="factor of the value")
    ax.legend(loc="upper left")
    return figure


def gates_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    found = factors()
    left, right = GATES < -3.5, GATES > 3.5
    others = ("reglu", "geglu", "swiglu")
    return {
        "GLU's factor rises from 0 to 1": bool(
            (np.diff(found["glu"]) > 0).all() and found["glu"].min() > 0 and found["glu"].max() < 1
        ),
        "ReGLU's, GEGLU's and SwiGLU's from about 0 to about the gate itself": all(
            bool(
                (abs(found[name][left]) < 0.12).all()
                and (abs(found[name][right] / GATES[right] - 1) < 0.05).all()
            )
            for name in others
        ),
        "the bilinear layer's is the gate": bool(np.allclose(found["bilinear"], GATES)),
        "Only GLU bounds the factor": found["glu"].max() < 1
        and all(found[name].max() > 3.9 for name in NAMES if name != "glu"),
    }


def gtu(value: Vector, gate: Vector) -> Vector:
    """Return the gated tanh unit, tanh(value) σ(gate)."""
    return gated(np.tanh(value), gate)


def gtu_vjp(value: Vector, gate: Vector, cotangent: Vector) -> tuple[Vector, Vector]:
    """Pull a gradient back through `gtu`."""
    squashed = np.tanh(value)
    of_value, of_gate = gated_vjp(squashed, gate, cotangent)
    return of_value * (1 - squashed**2), of_gate


LAYERS = {
    "ReLU": Layer(
        lambda value, gate: np.maximum(value, 0),
        lambda value, gate, cotangent: (cotangent * (value > 0), 0 * gate),
    ),
    "GLU": Layer(gated, gated_vjp),
    "GTU": Layer(gtu, gtu_vjp),
}


@kept
def gradients(gain: float) -> dict[str, Vector]:
    """Return the gradient that arrives at the first layer, of the last one's.

    The layers have 32 inputs and outputs, and normal weights of standard deviation
    gain / √32.

    Returns:
        By name of the layer, the ratio of the norms for each network and depth, shape
        (seeds, depth).
    """
    found = {}
    for name, layer in LAYERS.items():
        rows = []
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            shape = (DEPTH, 2, WIDTH, WIDTH)
            weights = gain / WIDTH**0.5 * rng.normal(size=shape)
            x = rng.normal(size=(BATCH, WIDTH))
            seen = []
            for W, V in weights:
                seen.append((x @ V.T, x @ W.T))
                x = layer.forward(*seen[-1])
            ratios = []
            for depth in range(1, DEPTH + 1):
                cotangent = start = np.random.default_rng([seed, 1]).normal(size=x.shape)
                for k in reversed(range(depth)):
                    of_value, of_gate = layer.backward(*seen[k], cotangent)
                    W, V = weights[k]
                    cotangent = of_value @ V + of_gate @ W
                ratios.append(np.linalg.norm(cotangent) / np.linalg.norm(start))
            rows.append(ratios)
        found[name] = np.asarray(rows)
    return found


GAINS = (1.0, 1.2, 1.41, 1.5, 1.6, 1.7, 1.8)


def gradient_by_depth() -> Explorable:
    """Draw the gradient that is left after each number of layers, for any scale of weights."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    colors = {"ReLU": "C3", "GLU": "C0", "GTU": "C1"}
    lines = [ax.plot([], [], color=colors[name], label=name)[0] for name in LAYERS]
    ax.axhline(1, color=plt.rcParams["axes.edgecolor"], linewidth=0.8, zorder=1.8)
    ax.set(xlim=(0.5, DEPTH + 0.5), yscale="log", ylim=(1e-6, 1e3), xlabel="layers")
    ax.set(ylabel="gradient, last layer = 1")
    ax.set_yticks([1e-6, 1e-3, 1, 1e3])
    ax.set_xticks([1, 4, 8, 12, 16])
    ax.legend(loc="lower left")

    def show(gain: float) -> str:
        data = gradients(gain)
        for line, ratios in zip(lines, data.values(), strict=True):
            line.set_data(np.arange(1, DEPTH + 1), np.median(ratios, 0))
        glu, gtu = (np.median(data[name], 0)[-1] for name in ("GLU", "GTU"))
        return (
            f"At gain {gain:g} the gradient after {DEPTH} layers of GLU is {glu:.1e} of the "
            f"last layer's, after layers of GTU {gtu:.1e}."
        )

    return Explorable(figure, (Slider("gain of the weights", GAINS, 2),), tuple(lines), show)


def gradient_by_depth_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    start = {name: np.median(rows, 0) for name, rows in gradients(1.41).items()}
    ends = {gain: gradients(gain)["GLU"][:, -1] for gain in GAINS}
    above = all(
        (gradients(gain)["GLU"][:, -1] > gradients(gain)["GTU"][:, -1]).all() for gain in GAINS
    )
    return {
        f"The gradient after up to {DEPTH} layers at gain 1.41, medians of ten networks": bool(
            gradients(1.41)["GLU"].shape == (10, DEPTH)
        ),
        "ReLU's stays near 1": bool((np.abs(np.log10(start["ReLU"])) < 0.5).all()),
        "GLU's falls to about a hundredth, GTU's to less than half of that": bool(
            3e-3 < start["GLU"][-1] < 3e-2 and start["GTU"][-1] < 0.5 * start["GLU"][-1]
        ),
        "GLU keeps more than GTU, whose value goes through tanh, at each gain": above,
        "at 1 GLU's gradient vanishes": bool((ends[1.0] < 1e-4).all()),
        "at 1.8 it explodes": bool((ends[1.8] > 1).all() and np.median(ends[1.8]) > 20),
    }

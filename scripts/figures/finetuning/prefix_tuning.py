"""Figures of the page on prefix tuning."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.finetuning.lora import lora_parameters
from dlkb.finetuning.prefix_tuning import prefix_attention, prefix_gate, prefix_parameters
from dlkb.transformers.attention import attention
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

SCORES = tuple(float(score) for score in np.arange(-6, 7))
LENGTHS = (1, 5, 20)
VALUES = np.asarray([[-2.0, -1.0], [-1.2, 1.3], [-0.4, -1.6], [0.3, 0.9], [1.0, -0.5]])
OWN = np.asarray([[0.5], [1.0], [-0.5], [0.0], [0.7]])
"""The own tokens: their values in a plane, and their scores for the one query."""
PREFIX_VALUE = np.asarray([[3.0, 2.0]])
QUERY = np.ones((1, 1))


class Mixed(NamedTuple):
    """What one query reads when all positions of the prefix have one score and one value.

    Attributes:
        own: Output without the prefix.
        output: Output with it.
        gate: Share of the attention that the prefix gets.
    """

    own: Array
    output: Array
    gate: float


def mixed(score: float, length: int) -> Mixed:
    """Compute it from keys and values."""
    prefix_k, prefix_v = np.full((length, 1), score), np.repeat(PREFIX_VALUE, length, axis=0)
    own = attention(QUERY, OWN, VALUES, scale=1.0)[0]
    output = prefix_attention(QUERY, OWN, VALUES, prefix_k, prefix_v, scale=1.0)[0]
    return Mixed(own, output, float(prefix_gate(QUERY, OWN, prefix_k, scale=1.0)[0]))


def gates(length: int) -> Array:
    """Return λ for every score."""
    return np.asarray([mixed(score, length).gate for score in SCORES])


def mixture() -> Explorable:
    """Draw where a query's output lies, and how much it reads from the prefix."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.3))
    line = plt.rcParams["axes.edgecolor"]
    own = mixed(0.0, 1).own
    ends = np.stack([own, PREFIX_VALUE[0]])
    left.plot(*ends.T, "--", color=line, lw=1, label="between both")
    left.plot(*VALUES.T, "o", color="C0", ms=4, label="own values")
    left.plot(*own[:, None], "s", color="C0", ms=8, label="output without prefix")
    left.plot(*PREFIX_VALUE.T, "^", color="C1", ms=8, label="prefix value")
    (output,) = left.plot([], [], "X", color="C3", ms=9, label="output")
    left.set(xlim=(-2.6, 3.6), ylim=(-2.2, 2.8), title="values of one head")
    (curve,) = right.plot([], [], color=line, label="gate")
    (here,) = right.plot([], [], "X", color="C3", ms=9, label="this score")
    right.set(xlim=(-6.3, 6.3), ylim=(-0.04, 1.04), xlabel="score of the prefix keys")
    right.set_title("share read from the prefix, λ")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)

    def show(score: float, length: float) -> str:
        data = mixed(score, int(length))
        output.set_data(*data.output[:, None])
        curve.set_data(SCORES, gates(int(length)))
        here.set_data([score], [data.gate])
        return (
            f"With {length:g} positions of score {score:g} the query reads {100 * data.gate:.0f} % "
            "from the prefix."
        )

    sliders = (Slider("score of the prefix", SCORES, 6), Slider("length", LENGTHS, 1))
    return Explorable(figure, sliders, (output, curve, here), show)


def mixture_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = mixed(0.0, 5)
    line = (1 - data.gate) * data.own + data.gate * PREFIX_VALUE[0]
    return {
        "Left, five values of tokens and one of the prefix": len(VALUES) == 5,
        "the output lies between the output without prefix and the prefix value": bool(
            np.allclose(data.output, line) and 0 < data.gate < 1
        ),
        f"Right, the share read from the prefix grows with its score; at score 0 and length 5 it "
        f"is {data.gate:.2f}": bool((np.diff(gates(5)) > 0).all()),
        "A prefix pulls the output of a query towards its values": bool(
            np.linalg.norm(data.output - PREFIX_VALUE) < np.linalg.norm(data.own - PREFIX_VALUE)
        ),
        "the gate λ says how far": bool(np.allclose(data.output, line)),
    }


WIDTH, LAYERS, RANK = 768, 12, 8
POSITIONS = (1, 2, 5, 10, 20, 50, 100, 200)


def counts() -> dict[str, Array]:
    """Return how many parameters each method trains, for every length."""
    length = np.asarray(POSITIONS)
    same = np.ones(len(POSITIONS))
    prefix = [prefix_parameters(WIDTH, length=n, layers=LAYERS) for n in POSITIONS]
    return {
        "prefix, all layers": np.asarray(prefix, dtype=np.float64),
        "LoRA, r = 8": 2 * LAYERS * lora_parameters(WIDTH, WIDTH, r=RANK) * same,
        "(IA)³": LAYERS * 6 * WIDTH * same,
        "prompt": length * float(WIDTH),
    }


def trained() -> Figure:
    """Draw how many parameters each method trains against the length."""
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    for (name, row), style in zip(counts().items(), ("-", "--", "-.", ":"), strict=True):
        ax.plot(POSITIONS, row, style, label=name)
    ax.set(xscale="log", yscale="log", xlabel="length ℓ", ylabel="trained parameters")
    ax.set(xticks=(1, 10, 100), ylim=(5e2, 2e7))
    ax.set_xticklabels(["1", "10", "100"])
    ax.legend(loc="upper left", ncols=2)
    return figure


def trained_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = counts()
    prefix, lora, ia3, prompt = data.values()
    return {
        "Prefix and prompt grow with the length": bool(
            (np.diff(prefix) > 0).all() and (np.diff(prompt) > 0).all()
        ),
        "LoRA and (IA)³ do not": bool(np.ptp(lora) == np.ptp(ia3) == 0),
        f"a prefix trains {2 * LAYERS} times what a prompt of its length does": bool(
            np.allclose(prefix, 2 * LAYERS * prompt)
        ),
        f"For d = {WIDTH} and {LAYERS} layers, LoRA on queries and values": RANK == 8,
        "(IA)³ on keys, values and inner activations": bool(ia3[0] == LAYERS * (1 + 1 + 4) * WIDTH),
    }
